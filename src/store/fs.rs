//! The only way to the disk for what `spec` keeps: errors that name the path, whole-file writes that are either there
//! or not, and edits of files that a person may be editing at the same time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What every temporary file begins with. One that a killed process left behind is recognised by it.
pub const TEMP_PREFIX: &str = ".spec-tmp-";

/// An operation on a path that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {path}: {source}", path = path.display())]
pub struct PathError {
    /// What was tried: `read`, `write`, `lock` ...
    pub op: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it did not work.
    pub source: io::Error,
}

/// Says what an [`io::Error`] was about.
pub trait Context<T> {
    /// Names the operation and the path.
    fn context(self, op: &'static str, path: impl AsRef<Path>) -> Result<T, PathError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, op: &'static str, path: impl AsRef<Path>) -> Result<T, PathError> {
        self.map_err(|source| PathError { op, path: path.as_ref().to_path_buf(), source })
    }
}

/// What a write has survived when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of this process.
    Fast,
    /// A power cut leaves the old content or the new, never a part.
    Whole,
    /// A power cut leaves the new content.
    Synced,
}

/// What became of an edit of a file that a person may be editing too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The file has the new content.
    Done,
    /// The file no longer was what the edit was made for; this is what it has now. Look at it anew and try again.
    Changed(Vec<u8>),
}

/// Reads a whole file, `None` where there is none.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read", path),
    }
}

/// Makes a folder and those above it.
pub fn create_folders(path: &Path) -> Result<(), PathError> {
    std::fs::create_dir_all(path).context("make folder", path)
}

/// Removes a file; that there is none is fine. Returns whether there was one.
pub fn remove_if_exists(path: &Path) -> Result<bool, PathError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("remove", path),
    }
}

/// Moves a file within its file system, over whatever is at the target.
#[expect(clippy::disallowed_methods, reason = "this is the place that the rule sends everyone else to")]
pub fn rename(from: &Path, to: &Path) -> Result<(), PathError> {
    std::fs::rename(from, to).context("move", from)
}

/// Makes the names in a folder survive a power cut.
pub fn sync_folder(path: &Path) -> Result<(), PathError> {
    File::open(path).and_then(|folder| folder.sync_all()).context("sync", path)
}

/// Replaces a file as a whole: whoever reads it sees the old content or the new, never a part. A symbolic link stays,
/// what it points to is replaced; mode and owner stay too.
pub fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), PathError> {
    let target = real_path(path)?;
    let temp = write_temp(&target, bytes, durability)?;
    temp.persist(&target).map_err(|error| error.error).context("replace", &target)?;
    if durability == Durability::Synced {
        sync_folder(folder_of(&target))?;
    }
    Ok(())
}

/// Writes a new file; one that is there already is left alone. Returns whether it was written.
pub fn write_new(path: &Path, bytes: &[u8], durability: Durability) -> Result<bool, PathError> {
    let temp = write_temp(path, bytes, durability)?;
    match temp.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error.error).context("write", path),
    }
    if durability == Durability::Synced {
        sync_folder(folder_of(path))?;
    }
    Ok(true)
}

/// Keeps a copy of bytes that could not be used beside the file they came from: `NAME.bad-1`, `NAME.bad-2` ...
pub fn keep_bad_copy(path: &Path, bytes: &[u8]) -> Result<PathBuf, PathError> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bad-{number}"));
        let copy = PathBuf::from(name);
        if write_new(&copy, bytes, Durability::Fast)? {
            return Ok(copy);
        }
        number += 1;
    }
}

/// Turns a file that has `expected` in it into one that has `new` in it, synced, without losing what a person or an
/// editor writes to it meanwhile.
///
/// Where only single bytes differ (ticks), those are written, in place: whatever else is written to the file at that
/// moment stays, and a crash leaves some ticks and no half of one. Otherwise the file is replaced as a whole, and put
/// back where it turns out that it was not as expected after all.
pub fn edit(path: &Path, expected: &[u8], new: &[u8]) -> Result<Outcome, PathError> {
    let target = real_path(path)?;
    match single_bytes(expected, new) {
        Some(changes) => edit_in_place(&target, expected, new, &changes),
        None => swap(&target, expected, new),
    }
}

/// Where two texts differ, if that is only in bytes that stand alone.
fn single_bytes(old: &[u8], new: &[u8]) -> Option<Vec<usize>> {
    if old.len() != new.len() {
        return None;
    }
    let changes: Vec<_> = (0..old.len()).filter(|&i| old[i] != new[i]).collect();
    changes.windows(2).all(|pair| pair[0] + 1 < pair[1]).then_some(changes)
}

fn edit_in_place(path: &Path, expected: &[u8], new: &[u8], changes: &[usize]) -> Result<Outcome, PathError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).context("open", path)?;
    let mut found = Vec::with_capacity(expected.len());
    file.read_to_end(&mut found).context("read", path)?;
    if found != expected {
        return Ok(Outcome::Changed(found));
    }
    for &at in changes {
        file.write_all_at(&new[at..=at], at as u64).context("write", path)?;
    }
    file.sync_data().context("sync", path)?;
    // An editor that saves by renaming has put another file there: our bytes went into the one that is gone.
    let opened = file.metadata().context("read", path)?;
    let there = std::fs::metadata(path).context("read", path)?;
    found.clear();
    if (opened.dev(), opened.ino()) == (there.dev(), there.ino()) {
        file.rewind().context("read", path)?;
        file.read_to_end(&mut found).context("read", path)?;
    } else {
        found = std::fs::read(path).context("read", path)?;
    }
    Ok(if found == new { Outcome::Done } else { Outcome::Changed(found) })
}

/// Replaces the file by exchanging names, so that what was there is in our hands and can be looked at.
fn swap(path: &Path, expected: &[u8], new: &[u8]) -> Result<Outcome, PathError> {
    let found = std::fs::read(path).context("read", path)?;
    if found != expected {
        return Ok(Outcome::Changed(found));
    }
    let temp = write_temp(path, new, Durability::Synced)?;
    if exchange(temp.path(), path).is_err() {
        // The file system cannot exchange names: the window is the time since the read above.
        temp.persist(path).map_err(|error| error.error).context("replace", path)?;
        sync_folder(folder_of(path))?;
        return Ok(Outcome::Done);
    }
    let displaced = std::fs::read(temp.path()).context("read", temp.path())?;
    if displaced != expected {
        exchange(temp.path(), path).context("put back", path)?;
        return Ok(Outcome::Changed(displaced));
    }
    sync_folder(folder_of(path))?;
    Ok(Outcome::Done)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).map_err(io::Error::from)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes temporary files that a killed process left in a folder. Only for who holds the folder's lock.
pub fn sweep_temp_files(folder: &Path) -> Result<usize, PathError> {
    let mut swept = 0;
    for entry in std::fs::read_dir(folder).context("list", folder)? {
        let entry = entry.context("list", folder)?;
        if entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX) && remove_if_exists(&entry.path())? {
            swept += 1;
        }
    }
    Ok(swept)
}

fn write_temp(target: &Path, bytes: &[u8], durability: Durability) -> Result<tempfile::NamedTempFile, PathError> {
    let old = std::fs::metadata(target).ok();
    let mut temp = tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .suffix("")
        // What a new file gets; the umask takes its part.
        .permissions(PermissionsExt::from_mode(0o666))
        .tempfile_in(folder_of(target))
        .context("make a temporary file for", target)?;
    temp.write_all(bytes).context("write", target)?;
    if let Some(old) = old {
        // Only root can give a file away; for anybody else the owner is right already, or cannot be kept.
        std::os::unix::fs::fchown(temp.as_file(), Some(old.uid()), Some(old.gid())).ok();
        temp.as_file().set_permissions(old.permissions()).context("set the mode of", target)?;
    }
    if durability != Durability::Fast {
        temp.as_file().sync_all().context("sync", target)?;
    }
    Ok(temp)
}

/// Where a path leads to: itself, or what its symbolic link points to (which need not exist).
fn real_path(path: &Path) -> Result<PathBuf, PathError> {
    let mut path = path.to_path_buf();
    // As many links as the kernel follows.
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // No link, or nothing there; whatever else is wrong, the write will say.
            Err(_) => return Ok(path),
        }
    }
    Err(nix::errno::Errno::ELOOP.into()).context("read", &path)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(path: &Path, bytes: &[u8]) {
        write_atomic(path, bytes, Durability::Fast).unwrap();
    }

    #[test]
    fn a_write_keeps_mode_and_links_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        let link = folder.path().join("link");
        write(&real, b"old");
        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        write_atomic(&link, b"new", Durability::Synced).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(real.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["link", "real"]);
    }

    #[test]
    fn a_new_file_gets_an_ordinary_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, b"");
        File::create(&plain).unwrap();
        assert_eq!(ours.metadata().unwrap().mode(), plain.metadata().unwrap().mode());
    }

    #[test]
    fn a_tick_is_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.md");
        write(&path, b"- [ ] a\n- [ ] b\n");
        let inode = path.metadata().unwrap().ino();
        assert_eq!(edit(&path, b"- [ ] a\n- [ ] b\n", b"- [x] a\n- [x] b\n").unwrap(), Outcome::Done);
        assert_eq!(std::fs::read(&path).unwrap(), b"- [x] a\n- [x] b\n");
        assert_eq!(path.metadata().unwrap().ino(), inode);
    }

    #[test]
    fn what_was_not_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.md");
        write(&path, b"edited meanwhile");
        for new in [b"- [x] a\n".as_slice(), b"longer than before\n"] {
            assert_eq!(edit(&path, b"- [ ] a\n", new).unwrap(), Outcome::Changed(b"edited meanwhile".to_vec()));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"edited meanwhile");
        assert_eq!(names(folder.path()), ["tasks.md"]);
    }

    #[test]
    fn an_insertion_replaces_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.md");
        write(&path, b"a\n");
        assert_eq!(edit(&path, b"a\n", b"a\nb\n").unwrap(), Outcome::Done);
        assert_eq!(std::fs::read(&path).unwrap(), b"a\nb\n");
        assert_eq!(names(folder.path()), ["tasks.md"]);
    }

    #[test]
    fn writers_at_the_same_time_never_leave_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let texts = [vec![b'a'; 100_000], vec![b'b'; 70_000]];
        write(&path, &texts[0]);
        std::thread::scope(|scope| {
            for text in &texts {
                scope.spawn(|| (0..40).for_each(|_| write(&path, text)));
            }
            for _ in 0..200 {
                let found = std::fs::read(&path).unwrap();
                assert!(texts.contains(&found), "{} bytes", found.len());
            }
        });
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn bad_copies_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(keep_bad_copy(&path, b"1").unwrap().ends_with("state.bad-1"));
        assert!(keep_bad_copy(&path, b"2").unwrap().ends_with("state.bad-2"));
        assert_eq!(std::fs::read(folder.path().join("state.bad-1")).unwrap(), b"1");
    }

    #[test]
    fn what_a_killed_writer_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let temp = write_temp(&folder.path().join("state"), b"half", Durability::Fast).unwrap();
        temp.keep().unwrap();
        write(&folder.path().join("state"), b"whole");
        assert_eq!(sweep_temp_files(folder.path()).unwrap(), 1);
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn errors_say_what_was_tried_on_what() {
        let error = write_atomic(Path::new("/dev/null/state"), b"", Durability::Fast).unwrap_err();
        assert!(error.to_string().starts_with("cannot make a temporary file for /dev/null/state: "), "{error}");
    }
}
