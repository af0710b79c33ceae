//! What can go wrong with a repository, in words that say what to do next.

use std::path::PathBuf;

use super::change::RepoPath;

/// A repository that cannot be worked in, or a call to git that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a repository, but no git.
    #[error("{} is in a git repository, but the program git was not found; install git 2.38 or later, or use --no-commit", folder.display())]
    NotInstalled {
        /// The folder of the list.
        folder: PathBuf,
    },
    /// The git that is installed is too old.
    #[error("git {found} is too old; install git 2.38 or later")]
    TooOld {
        /// What `git version` said.
        found: String,
    },
    /// The repository has no working tree.
    #[error("{} is in a bare repository, which has no working tree; run this in a clone or a worktree of it", folder.display())]
    Bare {
        /// The folder of the list.
        folder: PathBuf,
    },
    /// The list is inside the git directory itself.
    #[error("{} is inside a git directory; move the list into the working tree", folder.display())]
    InGitDir {
        /// The folder of the list.
        folder: PathBuf,
    },
    /// A merge, rebase or the like is under way.
    #[error("{what} is under way in {}; finish it (`{finish}`) or give it up (`{abort}`) first", root.display())]
    UnderWay {
        /// `a rebase`, `a merge`, ...
        what: &'static str,
        /// How to go on with it.
        finish: &'static str,
        /// How to give it up.
        abort: &'static str,
        /// The repository's root.
        root: PathBuf,
    },
    /// The index has paths with unresolved conflicts.
    #[error("unresolved conflicts in {}; resolve them and `git add` the files first", join(.paths))]
    Unmerged {
        /// Which.
        paths: Vec<RepoPath>,
    },
    /// Nobody to commit as.
    #[error("git does not know who commits; set it with `git config user.name` and `git config user.email` ({detail})")]
    NoIdentity {
        /// The last line that git said.
        detail: String,
    },
    /// A call to git ended with an error.
    #[error("`git {command}` failed{}{}", status(*.exit), said(.stderr))]
    Failed {
        /// Its subcommand.
        command: String,
        /// Its exit code; none where a signal ended it.
        exit: Option<i32>,
        /// The tail of what it said.
        stderr: String,
    },
    /// A call to git took too long and was ended.
    #[error("`git {command}` did not end within {seconds} s and was stopped{}", said(.stderr))]
    TimedOut {
        /// Its subcommand.
        command: String,
        /// Its limit.
        seconds: u64,
        /// The tail of what it said.
        stderr: String,
    },
    /// Git said something that it should not.
    #[error("`git {command}` printed something unexpected: {output}")]
    Unexpected {
        /// Its subcommand.
        command: String,
        /// The beginning of what it printed.
        output: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Someone holds a lock file of git.
    #[error("{} is there: another git works in this repository, or one was killed; wait for it, or remove the file if no git is running", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

/// Why a task was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A hook refused it.
    #[error("a hook refused the commit{}", said(.tail))]
    Hook {
        /// The tail of what it printed.
        tail: String,
    },
    /// It could not be signed.
    #[error("the commit could not be signed{}; unlock the key beforehand or set commit.gpgSign to false", said(.tail))]
    Signing {
        /// The tail of what was said.
        tail: String,
    },
    /// The change does not fit what is on the tip.
    #[error("the change does not fit what is on the tip: {}", join(.paths))]
    Conflict {
        /// Which paths.
        paths: Vec<RepoPath>,
    },
    /// A person's uncommitted changes are where it would land.
    #[error("uncommitted changes of yours are in its way: {}", join(.paths))]
    Overlap {
        /// Which paths.
        paths: Vec<RepoPath>,
    },
    /// The branch is not where it was, or another one is checked out.
    #[error("{found}, expected {expected}; nothing was committed")]
    HeadMoved {
        /// Where it should be.
        expected: String,
        /// Where it is.
        found: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] Error),
}

/// ` with exit code 1`, or ` by a signal`.
fn status(exit: Option<i32>) -> String {
    exit.map_or_else(|| " by a signal".to_owned(), |code| format!(" with exit code {code}"))
}

/// What was said, behind a colon, or nothing.
fn said(text: &str) -> String {
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}

/// The first few paths, for one line.
fn join(paths: &[RepoPath]) -> String {
    let text = paths.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if paths.len() > 5 { format!("{text} and {} more", paths.len() - 5) } else { text }
}
