//! Who may work: one holder per lock file, of a spec (`.spec/lock`) or of a repository's shared tree
//! (`<git-dir>/spec/tree.lock`).
//!
//! The kernel's lock (`flock(2)`, through fs2) decides and goes away with its holder, however that dies. Locks on
//! network folders lie, so the file also says who holds it, with a heartbeat; a fresh one from elsewhere is believed even
//! where the kernel granted the lock. The file itself is never removed: somebody may be waiting on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::fs::{Context, PathError, create_folders, read_if_exists};

/// How long a heartbeat counts. The holder renews it every ten seconds.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Name of the machine.
    pub host: String,
    /// The boot that `pid` and `start_ticks` count on.
    pub boot: String,
    /// Process id.
    pub pid: u32,
    /// When that process started, in clock ticks after boot: tells a recycled id. 0 where it cannot be told.
    pub start_ticks: u64,
    /// What it runs: the run's id.
    pub run: String,
    /// Since when.
    #[serde(with = "super::time")]
    pub started: Timestamp,
    /// When it last said that it is there.
    #[serde(with = "super::time")]
    pub heartbeat: Timestamp,
}

impl Owner {
    /// This process.
    #[must_use]
    pub fn this_process(run: &str, now: Timestamp) -> Self {
        let pid = std::process::id();
        Self {
            host: host_name(),
            boot: boot_id(),
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
            run: run.to_owned(),
            started: now,
            heartbeat: now,
        }
    }

    /// Whether the owner is there, as far as it can be told from here. On this machine the process table knows;
    /// elsewhere only the heartbeat does.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        if self.is_here() {
            return start_ticks(self.pid).is_some_and(|ticks| self.start_ticks == 0 || ticks == self.start_ticks);
        }
        if self.host == host_name() && boot_time().is_some_and(|boot| self.heartbeat < boot) {
            // This machine was started anew since.
            return false;
        }
        // A clock elsewhere may be ahead of ours; one that is a day ahead is broken.
        let age = now.duration_since(self.heartbeat);
        age < FRESH && age > SignedDuration::from_hours(-24)
    }
}

impl Owner {
    /// Whether it counts on the same kernel as we do. Containers of one machine have names of their own.
    fn is_here(&self) -> bool {
        let boot = boot_id();
        if boot.is_empty() { self.host == host_name() } else { self.boot == boot }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "process {} on {}, run {}, since {}",
            self.pid,
            self.host,
            self.run,
            super::time::format(self.started)
        )
    }
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another run holds {path} ({owner}); wait for it or end it with `spec cancel`", path = path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who.
        owner: Box<Owner>,
    },
    /// Somebody else has it and has not (yet) said who.
    #[error("another run holds {path}; wait for it or end it with `spec cancel`", path = path.display())]
    HeldByUnknown {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Waits for a lock that others hold only for a moment, and holds it until the file is dropped. Where the file system has
/// no locks there is nothing to wait for.
pub fn wait(path: &Path) -> Result<File, PathError> {
    if let Some(folder) = path.parent() {
        create_folders(folder)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).context("open", path)?;
    fs2::FileExt::lock_exclusive(&file).ok();
    Ok(file)
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct SpecLock {
    file: File,
    path: PathBuf,
    owner: Owner,
    kernel: bool,
}

impl SpecLock {
    /// Takes the lock at once or says who has it.
    pub fn acquire(path: &Path, run: &str, now: Timestamp) -> Result<Self, LockError> {
        if let Some(folder) = path.parent() {
            create_folders(folder)?;
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).context("open", path)?;
        let kernel = match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(match owner(path)? {
                    Some(owner) => LockError::Held { path: path.to_path_buf(), owner: Box::new(owner) },
                    None => LockError::HeldByUnknown { path: path.to_path_buf() },
                });
            }
            // A file system without locks: the owner record is all there is.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(nix::libc::ENOLCK | nix::libc::ENOSYS | nix::libc::EOPNOTSUPP)
                ) =>
            {
                false
            }
            Err(error) => return Err(error).context("lock", path)?,
        };
        // A lock of this very kernel is proof that nobody here has it; what somebody elsewhere says is believed.
        if let Some(other) = owner(path)?
            && !(kernel && other.is_here())
            && other.is_alive(now)
        {
            return Err(LockError::Held { path: path.to_path_buf(), owner: Box::new(other) });
        }
        let mut lock = Self { file, path: path.to_path_buf(), owner: Owner::this_process(run, now), kernel };
        lock.write()?;
        Ok(lock)
    }

    /// Says that the holder is still there. To be called every ten seconds.
    pub fn heartbeat(&mut self, now: Timestamp) -> Result<(), PathError> {
        self.owner.heartbeat = now;
        self.write()
    }

    /// Who holds it: this process.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether the kernel holds the lock; if not, the file system has no locks, and people should be warned.
    #[must_use]
    pub const fn is_kernel_held(&self) -> bool {
        self.kernel
    }

    /// In place: a new file would be another lock.
    fn write(&mut self) -> Result<(), PathError> {
        let mut record = serde_json::to_vec(&self.owner).map_err(io::Error::from).context("write", &self.path)?;
        record.push(b'\n');
        let length = record.len() as u64;
        self.file
            .rewind()
            .and_then(|()| self.file.write_all(&record))
            .and_then(|()| self.file.set_len(length))
            .context("write", &self.path)
    }
}

impl Drop for SpecLock {
    fn drop(&mut self) {
        // Should this fail, the next one finds the record of a process that is gone.
        self.file.set_len(0).ok();
        fs2::FileExt::unlock(&self.file).ok();
    }
}

/// Who a lock file says holds it, dead or alive (see [`Owner::is_alive`]); `None` where nobody does or it cannot be read.
pub fn owner(path: &Path) -> Result<Option<Owner>, PathError> {
    Ok(read_if_exists(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The machine's name.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Tells one boot of a machine from another; empty where the system does not say.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process started, in clock ticks after boot; `None` where there is no such process, or it is dead and only
/// waits for its parent to notice.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    let mut stat = String::new();
    File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut stat).ok()?;
    // The name, in brackets, may have anything in it; the state is the first field behind it and the start time the 20th.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn boot_time() -> Option<Timestamp> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(seconds.trim().parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fs::{Durability, write_atomic};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A lock file as a runner elsewhere has left it.
    fn record(path: &Path, change: impl FnOnce(&mut Owner)) {
        let mut owner = Owner::this_process("r0", at(0));
        change(&mut owner);
        write_atomic(path, &serde_json::to_vec(&owner).unwrap(), Durability::Fast).unwrap();
    }

    #[test]
    fn one_holds_it_and_the_next_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".spec/lock");
        let held = SpecLock::acquire(&path, "r1", at(0)).unwrap();
        assert!(held.is_kernel_held());
        let error = SpecLock::acquire(&path, "r2", at(0)).unwrap_err();
        let LockError::Held { owner, .. } = &error else { panic!("{error}") };
        assert_eq!((owner.run.as_str(), owner.pid), ("r1", std::process::id()));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert_eq!(owner_of(&path), None);
        SpecLock::acquire(&path, "r2", at(0)).unwrap();
        assert!(path.exists());
    }

    fn owner_of(path: &Path) -> Option<Owner> {
        super::owner(path).unwrap()
    }

    #[test]
    fn a_lock_of_std_and_one_of_fs2_exclude_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = SpecLock::acquire(&path, "r1", at(0)).unwrap();
        assert!(matches!(File::open(&path).unwrap().try_lock(), Err(std::fs::TryLockError::WouldBlock)));
        drop(held);
        let file = File::open(&path).unwrap();
        file.try_lock().unwrap();
        assert!(matches!(SpecLock::acquire(&path, "r1", at(0)), Err(LockError::HeldByUnknown { .. })));
    }

    #[test]
    fn what_a_dead_owner_left_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        record(&path, |owner| owner.start_ticks += 1);
        assert!(!owner_of(&path).unwrap().is_alive(at(0)), "the same process id, used again");
        SpecLock::acquire(&path, "r1", at(0)).unwrap();
    }

    #[test]
    fn a_fresh_heartbeat_from_elsewhere_is_believed_and_an_old_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let elsewhere = |owner: &mut Owner| {
            owner.host = "elsewhere".into();
            owner.boot = "another".into();
        };
        record(&path, elsewhere);
        assert!(matches!(SpecLock::acquire(&path, "r1", at(59)), Err(LockError::Held { .. })));
        assert!(matches!(SpecLock::acquire(&path, "r1", at(-300)), Err(LockError::Held { .. })), "its clock is ahead");
        SpecLock::acquire(&path, "r1", at(61)).unwrap();
    }

    #[test]
    fn a_machine_that_was_started_anew_has_nobody_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        record(&path, |owner| {
            owner.boot = "the one before".into();
            owner.heartbeat = boot_time().unwrap() - SignedDuration::from_secs(1);
        });
        SpecLock::acquire(&path, "r1", boot_time().unwrap() + SignedDuration::from_secs(5)).unwrap();
    }

    #[test]
    fn a_heartbeat_is_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut lock = SpecLock::acquire(&path, "r1", at(0)).unwrap();
        lock.heartbeat(at(10)).unwrap();
        let owner = owner_of(&path).unwrap();
        assert_eq!((owner.started, owner.heartbeat), (at(0), at(10)));
        assert!(owner.is_alive(at(1000)), "on this machine the process table knows better than the clock");
        assert!(matches!(SpecLock::acquire(&path, "r2", at(10)), Err(LockError::Held { .. })));
    }

    #[test]
    fn a_damaged_record_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        write_atomic(&path, b"{\"host\":", Durability::Fast).unwrap();
        SpecLock::acquire(&path, "r1", at(0)).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = SpecLock::acquire(&file.path().join(".spec/lock"), "r1", at(0)).unwrap_err();
        assert!(error.to_string().starts_with("cannot make folder"), "{error}");
    }
}
