//! Which lease a hook is about: that of the tree it is started in, from whatever folder of it.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::cli::target;
use crate::store::lease::{self, Lease};
use crate::store::paths::SpecPaths;

/// The lease of the tree around `cwd`, and where it is; alive or not.
pub(super) fn lease(cwd: &Path) -> Option<(PathBuf, Lease)> {
    let cwd = cwd.canonicalize().ok()?;
    let path = out_of_slot(&cwd).ancestors().find_map(beside).or_else(|| unversioned(&cwd))?;
    let found = lease::load(&path).ok()??;
    // Of another folder than the one it is started in.
    let root = found.root.canonicalize().ok()?;
    cwd.starts_with(&root).then_some((path, found))
}

/// The folder of the spec, where a folder is in a tree that was made for a task of it.
fn out_of_slot(cwd: &Path) -> &Path {
    let slots = cwd.ancestors().find(|it| it.ends_with(".spec/slots"));
    slots.and_then(|slots| slots.parent()?.parent()).unwrap_or(cwd)
}

/// The lease that is in a folder, or that its git directory names.
fn beside(folder: &Path) -> Option<PathBuf> {
    let own = folder.join(".spec/lease.json");
    if own.is_file() {
        return Some(own);
    }
    let git = folder.join(".git");
    let git = if git.is_dir() {
        git
    } else {
        // A linked tree: its `.git` is a file that says where.
        let text = fs::read(&git).ok()?;
        let at = text.strip_prefix(b"gitdir: ")?.trim_ascii_end().to_vec();
        folder.join(PathBuf::from(std::ffi::OsString::from_vec(at)))
    };
    lease::points_to(&git.join("spec")).ok().flatten().filter(|path| path.is_file())
}

/// Without git: that of the list which every command takes in this folder.
fn unversioned(cwd: &Path) -> Option<PathBuf> {
    if std::env::current_dir().ok()?.canonicalize().ok()? != cwd {
        return None;
    }
    let paths = SpecPaths::find(&target::find(None).ok()?).ok()?;
    Some(paths.lease()).filter(|path| path.is_file())
}
