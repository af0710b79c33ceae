//! A spec held so that no run works on it meanwhile: what `gc`, `rescue` and `undo` have in common; and its list, for
//! `check --fix` and `fmt --write`.

use std::path::{Path, PathBuf};

use owo_colors::OwoColorize as _;
use similar::TextDiff;

use crate::cli::{Error, Kind, target};
use crate::git::{CommitError, Repo, RepoPath, SpecFiles};
use crate::runtime::clock;
use crate::store::fs::{self, Outcome};
use crate::store::lease;
use crate::store::lock::{LockError, SpecLock};
use crate::store::paths::SpecPaths;

/// A spec and the repository that it is in.
pub(super) struct Spec {
    /// The list, as a person would write it from here.
    pub(super) list: PathBuf,
    pub(super) paths: SpecPaths,
    pub(super) repo: Repo,
    pub(super) own: SpecFiles,
}

impl Spec {
    /// The spec that FILE means; an error where it is in no repository.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Error> {
        let list = target::find(file)?;
        let paths = SpecPaths::find(&list).map_err(Error::usage)?;
        let repo = Repo::open(paths.folder()).map_err(Error::usage)?;
        let repo = repo.ok_or_else(|| {
            Error::usage(format_args!("{}: not in a git repository", list.display()))
                .hint("what runs make is kept, taken back and put away as commits: there are none without git")
        })?;
        let own = repo.spec_files(paths.list(), paths.progress());
        Ok(Self { list, paths, repo, own })
    }

    /// Keeps runs of this spec away until what is returned is dropped.
    pub(super) fn hold(&self) -> Result<SpecLock, Error> {
        refuse_session(&self.paths.lease())?;
        self.repo.exclude().map_err(Error::failed)?;
        SpecLock::acquire(&self.paths.lock(), &clock::run_id(), clock::wall()).map_err(|error| busy(&error))
    }

    /// Keeps all runs away that work in the same tree.
    pub(super) fn hold_tree(&self) -> Result<SpecLock, Error> {
        let place = self.repo.own_dir().map_err(Error::failed)?;
        if let Some(lease) = lease::points_to(&place).map_err(Error::failed)? {
            refuse_session(&lease)?;
        }
        let lock = place.join("tree.lock");
        SpecLock::acquire(&lock, &clock::run_id(), clock::wall()).map_err(|error| busy(&error))
    }
}

/// Keeps runs of a list away until what is returned is dropped. Where no run ever was there is nobody to keep away, and
/// nothing is made beside the list.
pub(super) fn hold_list(list: &Path) -> Result<Option<SpecLock>, Error> {
    let paths = SpecPaths::find(list).map_err(Error::usage)?;
    if !paths.lock().exists() {
        return Ok(None);
    }
    refuse_session(&paths.lease())?;
    SpecLock::acquire(&paths.lock(), &clock::run_id(), clock::wall()).map(Some).map_err(|error| busy(&error))
}

/// Turns a list that still is as it was read into what it is to be.
pub(super) fn rewrite_list(list: &Path, read: &[u8], new: &[u8]) -> Result<(), Error> {
    match fs::edit(list, read, new).map_err(Error::failed)? {
        Outcome::Done => Ok(()),
        Outcome::Changed(_) => Err(Error::failed(format_args!("{}: changed while it was read", list.display()))
            .hint("somebody is writing to it; nothing was changed, try again")),
    }
}

/// What would change in a list, as a unified diff that `git apply` and `patch -p1` take; coloured for a terminal.
pub(super) fn diff(list: &Path, old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let path = list.strip_prefix("./").unwrap_or(list).display();
    let diff = TextDiff::from_lines(old.as_ref(), new.as_ref());
    let text = diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
    let coloured = |line: &str| match line.bytes().next() {
        Some(b'+') => line.green().to_string(),
        Some(b'-') => line.red().to_string(),
        Some(b'@') => line.cyan().to_string(),
        _ => line.to_owned(),
    };
    text.split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').map_or_else(|| coloured(line), |line| coloured(line) + "\n"))
        .collect()
}

/// An agent session that has a run keeps everybody else away, as long as it is heard of.
fn refuse_session(path: &Path) -> Result<(), Error> {
    match lease::alive(path, clock::wall()).map_err(Error::failed)? {
        None => Ok(()),
        Some(lease) => {
            let list = lease.list.display();
            Err(Error::new(Kind::Busy, format_args!("session {} has {list}", lease.session))
                .hint("wait for it, or end its run with `spec cancel`"))
        }
    }
}

/// What is said where somebody else holds a spec or a tree.
pub(super) fn busy(error: &LockError) -> Error {
    match error {
        LockError::Path(_) => {
            Error::usage(error).hint("a run keeps its state beside the list: it must be possible to write there")
        }
        _ => Error::new(Kind::Busy, error)
            .hint("see what it does with `spec status`; one run at a time works on a list and in a tree"),
    }
}

/// What is said where git did not do it: nothing was changed.
pub(super) fn refused(error: &CommitError) -> Error {
    match error {
        CommitError::Overlap { .. } => {
            Error::new(Kind::Conflict, error).hint("commit or stash them first; nothing was changed")
        }
        CommitError::Conflict { .. } => Error::new(Kind::Conflict, error),
        _ => Error::failed(error),
    }
}

/// Paths for people, one a line.
pub(super) fn lines<'a>(paths: impl IntoIterator<Item = &'a RepoPath>) -> String {
    paths.into_iter().map(|path| format!("\n  {path}")).collect::<Vec<_>>().concat()
}
