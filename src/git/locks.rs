//! What is left behind by who was killed, and nobody else will ever take away: lock files of git, and in the git directory
//! our own scratch files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Repo;
use super::error::Error;

/// How the names of scratch files in our own folder of the git directory begin: private indexes with their locks, and
/// folders that go away by themselves unless we are killed.
const SCRATCH: [&str; 3] = ["snapshot.index", "index-", ".tmp"];

/// How long between two looks for a git at work.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Repo {
    /// Takes away the locks of the index, of HEAD and of branches that gits of a killed run left, and gives their paths.
    /// `since` is when that run began: older ones are not its. While any git is at work in the repository, an editor
    /// waiting for a commit message included, or where that cannot be told, all stay.
    #[must_use]
    pub fn remove_stale_locks(&self, since: SystemTime) -> Vec<PathBuf> {
        let mut locks = vec![self.git_dir.join("index.lock"), self.git_dir.join("HEAD.lock")];
        find_locks(&self.common_dir.join("refs"), &mut locks);
        locks.retain(|lock| {
            let modified = fs::symlink_metadata(lock).and_then(|file| file.modified());
            modified.is_ok_and(|modified| modified >= since)
        });
        if locks.is_empty() || self.has_git_at_work() {
            return Vec::new();
        }
        locks.retain(|lock| fs::remove_file(lock).is_ok());
        locks
    }

    /// Takes away the scratch files of a killed run in the git directory of this tree. Only for who holds the lock of the
    /// tree: private indexes have fixed names, and that lock is what keeps two runs from using them at once.
    pub fn sweep_scratch(&self) -> Result<(), Error> {
        let folder = self.own_dir()?;
        let io = |action: &'static str, path: PathBuf| move |source| Error::Io { action, path, source };
        for entry in fs::read_dir(&folder).map_err(io("list", folder.clone()))? {
            let entry = entry.map_err(io("list", folder.clone()))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if SCRATCH.iter().any(|scratch| name.starts_with(scratch)) {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(io("remove", path))?;
            }
        }
        Ok(())
    }

    /// Waits until no git works in here any more, but not longer than that: one that a killed run had started may still be
    /// writing files.
    pub fn wait_for_gits(&self, most: Duration) {
        let mut left = most;
        while self.has_git_at_work() && !left.is_zero() {
            std::thread::sleep(LOOK_AGAIN);
            left = left.saturating_sub(LOOK_AGAIN);
        }
    }

    /// Whether a process of git works in here. Git goes to the root of the tree, or to the git directory, first thing.
    fn has_git_at_work(&self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else { return true };
        let folders: Vec<PathBuf> = [&self.root, &self.git_dir, &self.common_dir]
            .iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        let mut seen_any = false;
        for process in processes.flatten().map(|entry| entry.path()) {
            let Ok(name) = fs::read_to_string(process.join("comm")) else { continue };
            seen_any = true;
            if name.starts_with("git") {
                match fs::read_link(process.join("cwd")) {
                    Ok(cwd) if !folders.iter().any(|folder| cwd.starts_with(folder)) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    _ => return true,
                }
            }
        }
        !seen_any
    }
}

fn find_locks(folder: &Path, locks: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_locks(&path, locks);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            locks.push(path);
        }
    }
}
