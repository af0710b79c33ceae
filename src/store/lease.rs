//! Which agent session has a run that is put down between two calls of it: `.spec/lease.json`, beside the state.
//!
//! A call (`spec next`, `spec finish`) writes it while it holds the lock of the spec; hooks and other runs read it.
//! When it was last written to is when the session was last heard of: it is free after [`SILENCE`]. In a repository a
//! pointer in the git directory says which spec has the working tree, so that no other runs in it meanwhile and hooks
//! find their spec from wherever they are started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fs::{Durability, PathError, read_if_exists, remove_if_exists, write_atomic};

/// After so long without a word of its session a lease is free.
pub const SILENCE: Duration = Duration::from_secs(30 * 60);
/// The pointer's name in `<git-dir>/spec/`.
const POINTER: &str = "lease";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lease {
    /// The session.
    pub session: String,
    /// The run.
    pub run: String,
    /// The machine of its last call.
    pub host: String,
    /// The list, absolute.
    pub list: PathBuf,
    /// The root of the tree that it works in.
    pub root: PathBuf,
    /// The step that is going on.
    pub step: usize,
    /// Items of role task, and how many of them are done.
    pub total: usize,
    /// See `total`.
    pub done: usize,
    /// Nothing new is handed out until a person says so.
    pub paused: bool,
    /// Its last call ended by a fault that somebody has to mend.
    pub stopped: bool,
    /// What the session has to do, and where.
    pub tasks: Vec<LeasedTask>,
    /// Grows with everything that came of the session's work: hand-outs, ends of tries, landings.
    pub progress: u64,
    /// How changes outside a task's files are taken: `off`, `warn` or `deny`.
    pub ownership: String,
    /// How often the stop hook may hold the session back in this run.
    pub max_blocks: u32,
}

/// A task that a session has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeasedTask {
    /// As on the command line.
    pub task: String,
    /// Which try.
    pub attempt: u32,
    /// The root of its tree.
    pub root: PathBuf,
    /// Its progress file.
    pub progress_file: PathBuf,
    /// The files that it declares, from that root; globs are globs.
    pub files: Vec<String>,
    /// The session said that it is over, and siblings in the same tree are not.
    pub reported: bool,
}

/// Reads a lease; none where there is none, or it cannot be read.
pub fn load(path: &Path) -> Result<Option<Lease>, PathError> {
    Ok(read_if_exists(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// For how long nothing was heard of a lease's session; none where that cannot be told.
#[must_use]
pub fn silent_for(path: &Path, now: Timestamp) -> Option<Duration> {
    let written = path.metadata().and_then(|file| file.modified()).ok()?;
    // A clock that was set back is no silence.
    Some(SystemTime::from(now).duration_since(written).unwrap_or_default())
}

/// The lease at `path`, if its session was heard of lately.
pub fn alive(path: &Path, now: Timestamp) -> Result<Option<Lease>, PathError> {
    let heard = silent_for(path, now).is_some_and(|silent| silent < SILENCE);
    Ok(load(path)?.filter(|_| heard))
}

/// Its session was heard of.
pub fn renew(path: &Path, now: Timestamp) {
    // Should this fail, the next call of the session writes it anyway.
    File::options().write(true).open(path).and_then(|file| file.set_modified(now.into())).ok();
}

/// Its session has ended: free from now on.
pub fn leave(path: &Path, now: Timestamp) {
    // Should this fail, it is free after a while.
    renew(path, now - SILENCE);
}

impl Lease {
    /// Writes it, and the pointer to it where the tree is a repository's (`git` is `<git-dir>/spec`).
    pub fn write(&self, path: &Path, git: Option<&Path>) -> Result<(), PathError> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        write_atomic(path, &bytes, Durability::Whole)?;
        match git {
            Some(git) => write_atomic(&git.join(POINTER), path.as_os_str().as_encoded_bytes(), Durability::Fast),
            None => Ok(()),
        }
    }
}

/// Ends the lease at `path`.
pub fn end(path: &Path, git: Option<&Path>) -> Result<(), PathError> {
    if let Some(git) = git
        && points_to(git)?.as_deref() == Some(path)
    {
        remove_if_exists(&git.join(POINTER))?;
    }
    remove_if_exists(path).map(drop)
}

/// Which lease is for the tree with this `<git-dir>/spec`, alive or not.
pub fn points_to(git: &Path) -> Result<Option<PathBuf>, PathError> {
    use std::os::unix::ffi::OsStringExt as _;
    Ok(read_if_exists(&git.join(POINTER))?.map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(path: &Path, minutes: i64) {
        renew(path, Timestamp::now() - jiff::SignedDuration::from_mins(minutes));
    }

    #[test]
    fn a_lease_is_free_after_half_an_hour_of_silence_and_any_word_renews_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease.json");
        assert_eq!(alive(&path, Timestamp::now()).unwrap(), None);
        let lease = Lease { session: "s1".into(), run: "r1".into(), ..Lease::default() };
        lease.write(&path, None).unwrap();
        assert_eq!(alive(&path, Timestamp::now()).unwrap().as_ref(), Some(&lease));
        silent(&path, 29);
        assert!(alive(&path, Timestamp::now()).unwrap().is_some());
        silent(&path, 31);
        assert_eq!(alive(&path, Timestamp::now()).unwrap(), None);
        assert!(load(&path).unwrap().is_some());
        renew(&path, Timestamp::now());
        assert!(alive(&path, Timestamp::now()).unwrap().is_some());
        leave(&path, Timestamp::now());
        assert_eq!(alive(&path, Timestamp::now()).unwrap(), None, "its session has ended");
        assert!(load(&path).unwrap().is_some());
    }

    #[test]
    fn the_pointer_goes_with_its_own_lease_only() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.json"), folder.path().join("b.json"));
        let lease = Lease::default();
        lease.write(&a, Some(folder.path())).unwrap();
        lease.write(&b, Some(folder.path())).unwrap();
        end(&a, Some(folder.path())).unwrap();
        assert_eq!(points_to(folder.path()).unwrap(), Some(b.clone()));
        end(&b, Some(folder.path())).unwrap();
        assert_eq!(points_to(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_damaged_lease_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease.json");
        write_atomic(&path, b"{\"session\":", Durability::Fast).unwrap();
        assert_eq!(alive(&path, Timestamp::now()).unwrap(), None);
    }
}
