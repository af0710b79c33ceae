//! What a working tree per task costs: a slot made ready again next to `git worktree add` and `remove`, and landing next
//! to `git merge` and `git commit`, on a repository of 20,000 files.
//!
//! `cargo bench --bench landing`; another number of files as an argument behind `--`.

#![expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may panic, and has its own files")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use spec::git::{Change, CommitRequest, Committer, FileEdit, Repo, SpecFiles, Work};

/// Tasks that land, one after the other or together.
const TASKS: usize = 8;
/// How often each is measured; the median counts.
const REPEATS: usize = 7;

fn git(folder: &Path, args: &[&str]) {
    let output = Command::new("git").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let made = work();
    (begun.elapsed(), made)
}

fn repository(files: usize) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    git(root, &["init", "-q"]);
    for (key, value) in [("user.name", "bench"), ("user.email", "bench@example.com"), ("gc.auto", "0")] {
        git(root, &["config", key, value]);
    }
    for number in 0..files {
        let folder = root.join(format!("src/m{}/n{}", number % 40, number / 40 % 25));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("f{number}.txt")), format!("file {number}\n").repeat(40)).unwrap();
    }
    std::fs::create_dir_all(root.join("specs/x")).unwrap();
    std::fs::write(root.join("specs/x/tasks.md"), list(0)).unwrap();
    std::fs::write(root.join("specs/x/.progress.md"), "# Progress: x\n").unwrap();
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "begin"]);
    temp
}

fn list(ticked: usize) -> String {
    let line = |at| if at < ticked { "- [x] Task\n" } else { "- [ ] Task\n" };
    (0..TASKS * 2 * REPEATS).map(line).collect()
}

fn own() -> SpecFiles {
    SpecFiles { list: "specs/x/tasks.md".into(), progress: "specs/x/.progress.md".into() }
}

/// What tasks made in a slot: each a new file and an edit of one that is there.
fn tasks(repo: &Repo, round: usize) -> Vec<(Vec<Change>, Work)> {
    let base = repo.head().unwrap().commit.unwrap();
    let folder = repo.root().join("specs/x/.spec/slots");
    let slot = repo.slot(&folder, 1).unwrap().unwrap();
    let task = |number: usize| {
        let mut snapshot = slot.ready(&base, own(), 1000).unwrap();
        let inside = slot.root().join(format!("src/m{number}/n0"));
        std::fs::write(inside.join(format!("new-{round}-{number}.txt")), "new\n").unwrap();
        std::fs::write(inside.join(format!("f{number}.txt")), format!("changed in {round}\n")).unwrap();
        let changes = snapshot.look().unwrap().changes;
        let commit = repo.commit_object(snapshot.tree(), &base, "task\n").unwrap();
        (changes, Work { base: base.clone(), commit })
    };
    (0..TASKS).map(task).collect()
}

/// Lands these with one move of the branch; how long that takes.
fn land(repo: &Repo, committer: &mut Committer, made: &[(Vec<Change>, Work)]) -> Duration {
    let (spent, ()) = time(|| land_all(repo, committer, made));
    // The list and the progress file on disk are the store's: a few bytes, written elsewhere.
    git(repo.root(), &["checkout", "-q", "--", "specs/x"]);
    spent
}

fn land_all(repo: &Repo, committer: &mut Committer, made: &[(Vec<Change>, Work)]) {
    let mut at = repo.head().unwrap();
    let own = own();
    let tick = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        Some(text.replacen("- [ ]", "- [x]", 1).into_bytes())
    };
    let learn = |bytes: &[u8]| Some([bytes, b"- [x] one more\n"].concat());
    let edits = [FileEdit { path: &own.list, edit: &tick }, FileEdit { path: &own.progress, edit: &learn }];
    let trailers = [("Spec-Task", "1.1"), ("Spec-Run", "r1"), ("Spec-Attempt", "1")];
    let mut chain = Vec::new();
    for (changes, work) in made {
        let request =
            CommitRequest { changes, edits: &edits, message: "chore(x): task", trailers: &trailers, work: Some(work) };
        let commit = committer.prepare(&at, &request).unwrap().commit.unwrap();
        at.commit = Some(commit.id.clone());
        chain.push((commit, request));
    }
    let landed = committer.land(&chain, None).unwrap();
    assert!(landed.unfinished.is_none());
}

fn main() {
    let files = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(20_000);
    let temp = repository(files);
    let repo = Repo::open(temp.path()).unwrap().unwrap();
    repo.exclude().unwrap();
    let base = repo.head().unwrap().commit.unwrap();
    println!("A repository of {files} files, medians of {REPEATS}");

    let folder = repo.root().join("specs/x/.spec/slots");
    let (first, slot) = time(|| {
        let slot = repo.make_slot(&folder, 1, &base).unwrap();
        slot.ready(&base, own(), 1000).unwrap();
        slot
    });
    println!("a slot made                          {:8.0} ms", first.as_secs_f64() * 1000.0);
    let mut again = Vec::new();
    for round in 0..REPEATS {
        for number in 0..50 {
            let path = slot.root().join(format!("src/m{}/n0", number % 40));
            std::fs::write(path.join(format!("f{}.txt", number % 40)), format!("round {round}\n")).unwrap();
            std::fs::write(path.join(format!("scratch-{number}")), "x\n").unwrap();
        }
        again.push(time(|| slot.ready(&base, own(), 1000).unwrap()).0);
    }
    let again = median(again);
    println!("a slot made ready again              {again:8.0} ms");
    let mut added = Vec::new();
    for _ in 0..3 {
        let place = temp.path().join(".git/bench-tree");
        let place = place.to_str().unwrap();
        added.push(
            time(|| {
                git(temp.path(), &["worktree", "add", "-q", "--detach", place]);
                git(temp.path(), &["worktree", "remove", "--force", place]);
            })
            .0,
        );
    }
    let added = median(added);
    println!("git worktree add, git worktree remove{added:8.0} ms, {:.0} times as long", added / again);

    // One for a whole run, as it is. (The first call of it reads the tip.)
    let mut committer = Committer::new(&repo).unwrap();
    land(&repo, &mut committer, &tasks(&repo, 300)[..1]);
    let (mut single, mut batch, mut merges) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..REPEATS {
        let made = tasks(&repo, round);
        single.push(land(&repo, &mut committer, &made[..1]));
        let made = tasks(&repo, 100 + round);
        batch.push(land(&repo, &mut committer, &made) / u32::try_from(TASKS).unwrap());
        let made = tasks(&repo, 200 + round);
        merges.push(
            time(|| {
                git(temp.path(), &["merge", "-q", "--no-ff", "--no-commit", made[0].1.commit.to_string().as_str()]);
                std::fs::write(temp.path().join("specs/x/tasks.md"), list(round)).unwrap();
                git(temp.path(), &["add", "specs/x/tasks.md"]);
                git(temp.path(), &["commit", "-q", "--allow-empty", "-m", "merge"]);
            })
            .0,
        );
    }
    println!("a task landed, tick and progress too {:8.1} ms", median(single));
    println!("a task landed, in a batch of {TASKS}       {:8.1} ms", median(batch));
    println!("git merge, git add, git commit       {:8.1} ms", median(merges));
}
