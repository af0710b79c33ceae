//! The repository behind typed functions: what changed in the working tree, whose it is, and commits of just that.
//!
//! `runtime` is the one owner: it opens a [`Repo`], lets a [`Snapshot`] follow the working tree, gives what it sees to
//! [`Attribution`], and lands tasks through [`Committer::prepare`] and [`Committer::publish`]. Everything goes through the git
//! command line, so that hooks, filters, signing and configuration behave as the user's own. Paths are bytes.
//!
//! Calls block for some milliseconds; those that run a hook, a filter or gpg have an upper bound in time. The working
//! tree, the user's index and the branch are only ever touched for exactly the paths of a commit that landed, or
//! restored where nothing changed since. See `docs/design/003-attribution-and-commits.md`.

mod attribution;
mod call;
mod change;
mod commit;
mod epic;
mod error;
mod glob;
mod head;
mod hooks;
mod kept;
mod land;
mod locks;
mod repo;
mod salvage;
mod slots;
mod snapshot;
#[cfg(test)]
mod tests;
mod trees;
mod undo;

pub use attribution::{Attribution, Taken, Unattributed};
#[cfg(test)]
use call::REPOSITORY_VARIABLES;
pub use call::foreign_variables;
pub use change::{Blob, Change, Mode, Oid, RepoPath};
pub use commit::{CommitRequest, Committer, FileEdit, NewCommit, Prepared, Published};
pub use epic::Merged;
pub use error::{CommitError, Error};
pub use glob::Declared;
pub use head::{HeadState, Moved};
pub use kept::Kept;
pub use land::{Landed, Work};
pub use repo::{Repo, Secrets, SpecFiles, root_above};
pub use salvage::{Salvaged, ref_part};
pub use slots::Slot;
pub use snapshot::{Refusal, Refused, Seen, Snapshot, Whose};
pub use undo::{Clash, RunCommit};
