//! A working tree for a spec of its own, and the merge of what was committed there onto the user's branch.
//!
//! `runtime::epic` says which spec has which tree and when it lands. See `docs/design/007-epics.md`.

use std::fs;
use std::path::Path;

use super::change::{Change, Oid, RepoPath};
use super::commit::{Committer, NewCommit, refused};
use super::error::{CommitError, Error};
use super::land::Work;
use super::repo::{Repo, SpecFiles, unexpected};
use super::snapshot::Snapshot;
use crate::store::fs::{Durability, write_atomic};

/// Where it is noted what a merge is moving the branch from and to, until the user's tree has followed.
const MOVING: &str = "moving";

/// What a merge came to.
#[derive(Debug)]
pub enum Merged {
    /// Everything was there already.
    Already,
    /// The branch is now here.
    Moved {
        /// The commit.
        to: Oid,
        /// The user's tree could not be brought up to date; the next start does it.
        unfinished: Option<Error>,
    },
}

impl Repo {
    /// The linked working tree at `place`, if there is one of this repository.
    pub fn linked(&self, place: &Path) -> Result<Option<Self>, Error> {
        if !place.join(".git").exists() {
            return Ok(None);
        }
        let tree = Self::open(place)?;
        let ours = |tree: &Self| tree.common_dir.canonicalize().ok() == self.common_dir.canonicalize().ok();
        Ok(tree.filter(|tree| tree.root != self.root && ours(tree)))
    }

    /// Makes a linked working tree with the files of `base`: on `branch`, by its short name, or on none. A branch that is
    /// there with commits of its own is gone on with; one that has none goes to `base`.
    pub fn link(&self, place: &Path, base: &Oid, branch: Option<&str>) -> Result<Self, Error> {
        let _lock = self.lock_slots()?;
        if !place.exists() {
            // One that somebody removed by hand is still in git's list. Fails where it is not.
            self.git.call("worktree").args(["remove", "--force"]).arg(place).run()?;
        }
        let add = self.git.plumbing("worktree", &["core.hooksPath=/dev/null"]).args(["add", "-q"]);
        let add = match branch {
            None => add.arg("--detach").arg(place).arg(base.as_str()),
            Some(branch) => match self.branch(branch)? {
                Some(tip) if !self.is_ancestor(&tip, base)? => add.arg(place).arg(branch),
                _ => add.args(["-B", branch]).arg(place).arg(base.as_str()),
            },
        };
        add.ok()?;
        self.linked(place)?.ok_or_else(|| unexpected("worktree add", place.as_os_str().as_encoded_bytes()))
    }

    /// Takes a linked working tree away with everything that is in it.
    pub fn unlink(&self, place: &Path) -> Result<(), Error> {
        let _lock = self.lock_slots()?;
        self.git.call("worktree").args(["remove", "--force", "--force"]).arg(place).ok().map(drop)
    }

    /// Where a branch is, by its short name.
    pub fn branch(&self, name: &str) -> Result<Option<Oid>, Error> {
        let name = format!("refs/heads/{name}^{{commit}}");
        let found = self.git.call("rev-parse").args(["-q", "--verify", &name]).run()?;
        Ok(Oid::parse(&found.stdout))
    }

    /// Makes a branch or moves it.
    pub fn set_branch(&self, name: &str, to: &Oid) -> Result<(), Error> {
        self.git.call("update-ref").args([&format!("refs/heads/{name}"), to.as_str()]).ok().map(drop)
    }

    /// Whether a branch could have that short name.
    pub fn is_branch_name(&self, name: &str) -> Result<bool, Error> {
        Ok(self.git.call("check-ref-format").args(["--branch", name]).run()?.exit == Some(0))
    }

    /// Whether `commit` is in the history of `of`, or that commit itself.
    pub fn is_ancestor(&self, commit: &Oid, of: &Oid) -> Result<bool, Error> {
        let asked = self.git.call("merge-base").args(["--is-ancestor", commit.as_str(), of.as_str()]).run()?;
        Ok(asked.exit == Some(0))
    }

    /// Whether HEAD has that file.
    pub fn is_committed(&self, path: &RepoPath) -> Result<bool, Error> {
        Ok(self.blobs_at(self.head()?.commit.as_ref(), [path])?.contains_key(path))
    }

    /// Whether a file is on disk as HEAD has it.
    pub fn is_as_committed(&self, path: &RepoPath) -> Result<bool, Error> {
        let blobs = self.blobs_at(self.head()?.commit.as_ref(), [path])?;
        Ok(!blobs.is_empty() && self.differs(blobs.iter().map(|(path, blob)| (path, Some(blob))))?.is_empty())
    }

    /// What is in this tree and in no commit, the spec's own files apart, as a commit on its HEAD; none where there is
    /// nothing. `ours` is a file that was put there and goes back first to what HEAD has.
    pub fn rest(&self, own: SpecFiles, ours: Option<&RepoPath>) -> Result<Option<Oid>, Error> {
        let Some(head) = self.head()?.commit else { return Ok(None) };
        let before = self.blobs_at(Some(&head), ours)?;
        self.write_out(ours.map(|path| (path, before.get(path))))?;
        let (snapshot, _) = Snapshot::begin(self, own, usize::MAX)?;
        if *snapshot.tree() == self.tree_of(Some(&head))? {
            return Ok(None);
        }
        self.commit_object(snapshot.tree(), &head, "what was left in the working tree of a spec\n").map(Some)
    }

    /// Finishes what a crash cut off in the middle of [`Committer::merge`]: where the branch has moved, what is still as
    /// it was in the user's index and files follows.
    pub fn finish_merge(&self) -> Result<(), Error> {
        let noted = self.own_dir()?.join(MOVING);
        let Ok(text) = fs::read_to_string(&noted) else { return Ok(()) };
        let mut ids = text.split_whitespace().map(|id| Oid::parse(id.as_bytes()));
        if let (Some(Some(old)), Some(Some(new))) = (ids.next(), ids.next())
            && self.head()?.commit.as_ref() == Some(&new)
        {
            // Nothing of it is edited on disk, the list neither.
            let none = SpecFiles { list: RepoPath::new(""), progress: RepoPath::new("") };
            self.catch_up_tree(Some(&old), &new, &none)?;
        }
        fs::remove_file(&noted).map_err(|source| Error::Io { action: "remove", path: noted, source })
    }
}

impl Committer {
    /// Merges a commit onto the branch that is checked out: forward where that is enough, else by a commit with two
    /// parents. The user's index and files follow for just the paths that differ. Where one of them has an uncommitted
    /// change, or the two sides contradict each other, nothing happens.
    pub fn merge(&mut self, theirs: &Oid, message: &str) -> Result<Merged, CommitError> {
        let at = self.repo.head()?;
        let Some(tip) = at.commit else {
            return Err(unexpected("rev-parse", b"HEAD has no commit").into());
        };
        if self.repo.is_ancestor(theirs, &tip)? {
            return Ok(Merged::Already);
        }
        let to = if self.repo.is_ancestor(&tip, theirs)? {
            theirs.clone()
        } else {
            self.merge_commit(&tip, theirs, message)?
        };
        self.wait_for_index()?;
        let changes = self.repo.changes_between(&self.repo.tree_of(Some(&tip))?, &self.repo.tree_of(Some(&to))?)?;
        let changes: Vec<&Change> = changes.iter().collect();
        let sparse = self.repo.sparse(changes.iter().map(|change| &change.path))?;
        let in_the_way = self.repo.in_the_way(&changes, &sparse)?;
        if !in_the_way.is_empty() {
            return Err(CommitError::Overlap { paths: in_the_way });
        }
        let subject = message.lines().next().unwrap_or_default().to_owned();
        let first = NewCommit::recorded(to.clone(), Some(tip.clone()), at.branch, subject.clone());
        self.still_at(&first)?;
        let noted = self.repo.own_dir()?.join(MOVING);
        write_atomic(&noted, format!("{tip} {to}\n").as_bytes(), Durability::Synced).map_err(|error| Error::Io {
            action: "write",
            path: noted.clone(),
            source: std::io::Error::other(error),
        })?;
        let moved = self.move_branch(&first, &to, &subject, None);
        let done = moved.map(|()| self.repo.bring(&changes, &sparse).err());
        if matches!(done, Ok(None) | Err(_)) {
            fs::remove_file(&noted).ok();
        }
        Ok(Merged::Moved { to, unfinished: done? })
    }

    fn merge_commit(&self, tip: &Oid, theirs: &Oid, message: &str) -> Result<Oid, CommitError> {
        let base = self.repo.git.call("merge-base").args([tip.as_str(), theirs.as_str()]).ok()?;
        let base = Oid::parse(base.split(|&byte| byte == b'\n').next().unwrap_or_default())
            .ok_or_else(|| unexpected("merge-base", &base))?;
        let work = Work { base, commit: theirs.clone() };
        let tree = self.repo.merge_work(tip, &work)?.map_err(|paths| CommitError::Conflict { paths })?;
        let call = self.repo.git.durable("commit-tree").arg(tree.as_str());
        let call = call.args(["-p", tip.as_str(), "-p", theirs.as_str(), "-F", "-"]);
        let call = call.args(self.repo.settings()?.signs.then_some("-S"));
        let output = call.input(message.as_bytes().to_vec()).limit(self.patience.signing).run()?;
        if output.exit != Some(0) {
            return Err(refused(output.stderr).unwrap_or_else(|tail| CommitError::Signing { tail }));
        }
        Ok(Oid::parse(&output.stdout).ok_or_else(|| unexpected("commit-tree", &output.stdout))?)
    }
}
