//! Whose lock files are taken away, and whose stay.

use std::time::{Duration, SystemTime};

use super::*;

#[test]
#[expect(clippy::disallowed_methods, reason = "a git that waits is started and not waited for")]
fn locks_of_a_killed_run_go_and_all_others_stay() {
    each(|fixture| {
        let repo = fixture.repo();
        let git = fixture.root.join(".git");
        fs::create_dir_all(git.join("refs/heads/feature")).unwrap();
        let locks: Vec<PathBuf> = ["index.lock", "HEAD.lock", "refs/heads/main.lock", "refs/heads/feature/x.lock"]
            .iter()
            .map(|name| git.join(name))
            .collect();
        for lock in &locks {
            fixture.put(lock, b"");
        }
        let now = SystemTime::now();
        assert_eq!(repo.remove_stale_locks(now + Duration::from_secs(60)), [] as [PathBuf; 0], "older than the run");

        // Git waits for an editor: it has the lock of the index and no file open.
        let mut editor = fixture.command(&["commit", "-a", "--allow-empty"]);
        editor.env("GIT_EDITOR", "read line; false").stdin(std::process::Stdio::piped());
        fs::remove_file(&locks[0]).unwrap();
        let mut waits = editor.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
        while !locks[0].exists() {
            std::thread::yield_now();
        }
        assert_eq!(repo.remove_stale_locks(now - Duration::from_secs(60)), [] as [PathBuf; 0], "git is at work");
        drop(waits.stdin.take());
        waits.wait().unwrap();
        fixture.put(&locks[0], b"");

        let mut removed = repo.remove_stale_locks(now - Duration::from_secs(60));
        removed.sort();
        let mut expected = locks.clone();
        expected.sort();
        assert_eq!(removed, expected);
        assert!(locks.iter().all(|lock| !lock.exists()));
    });
}
