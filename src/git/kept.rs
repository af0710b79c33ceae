//! The refs that runs keep: where the branch was before each step (`refs/spec/run/<run>/<step>`), and what failed or
//! was cut off (`refs/spec/salvage/<spec>/<task>/<attempt>`). Looking at them, putting them back, dropping them.

use std::collections::BTreeMap;

use super::change::{Change, Oid, RepoPath};
use super::error::{CommitError, Error};
use super::land::Work;
use super::repo::{Repo, SpecFiles};
use super::salvage::ref_part;

/// A ref of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its full name.
    pub name: String,
    /// What it points to.
    pub commit: Oid,
    /// When that was committed, in seconds since 1970.
    pub made: i64,
}

impl Kept {
    /// The last two parts of its name: task and attempt, or run and step.
    #[must_use]
    pub fn place(&self) -> (&str, &str) {
        let mut parts = self.name.rsplit('/');
        let last = parts.next().unwrap_or_default();
        (parts.next().unwrap_or_default(), last)
    }
}

impl Repo {
    /// What is kept of the tasks of a spec, by name.
    pub fn salvaged(&self, spec: &str) -> Result<Vec<Kept>, Error> {
        self.kept(&format!("refs/spec/salvage/{}/", ref_part(spec)))
    }

    /// Where the branch was before each step of a run.
    pub fn steps_of(&self, run: &str) -> Result<BTreeMap<usize, Kept>, Error> {
        let kept = self.kept(&format!("refs/spec/run/{run}/"))?;
        Ok(kept.into_iter().filter_map(|kept| Some((kept.place().1.parse().ok()?, kept))).collect())
    }

    fn kept(&self, below: &str) -> Result<Vec<Kept>, Error> {
        let format = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)";
        let listed = self.git.call("for-each-ref").args([format, below]).ok()?;
        let text = String::from_utf8_lossy(&listed);
        let read = |line: &str| {
            let mut columns = line.split('\0');
            let (name, commit) = (columns.next()?.to_owned(), Oid::parse(columns.next()?.as_bytes())?);
            Some(Kept { name, commit, made: columns.next()?.parse().unwrap_or_default() })
        };
        Ok(text.lines().filter_map(read).collect())
    }

    /// Drops these refs, all or none: one that points elsewhere by now keeps them all.
    pub fn drop_kept(&self, kept: &[Kept]) -> Result<(), Error> {
        if kept.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = kept.iter().map(|kept| format!("delete {}\0{}\0", kept.name, kept.commit)).collect();
        self.git.call("update-ref").args(["-z", "--stdin"]).input(lines.concat().into_bytes()).ok()?;
        Ok(())
    }

    /// The first parent of a commit.
    pub fn parent_of(&self, commit: &Oid) -> Result<Option<Oid>, Error> {
        let parent = self.git.call("rev-parse").args(["-q", "--verify", &format!("{commit}^")]).run()?;
        Ok(Oid::parse(&parent.stdout))
    }

    /// What a commit changes on its parent, without the files that are `spec`'s own.
    pub fn changes_of(&self, commit: &Oid, own: &SpecFiles) -> Result<Vec<Change>, Error> {
        let old = self.tree_of(self.parent_of(commit)?.as_ref())?;
        let mut changes = self.changes_between(&old, &self.tree_of(Some(commit))?)?;
        changes.retain(|change| !own.has(&change.path));
        Ok(changes)
    }

    /// The same for people, as `git diff` prints it.
    pub fn diff_of(&self, commit: &Oid, own: &SpecFiles, color: bool) -> Result<Vec<u8>, Error> {
        let changes = self.changes_of(commit, own)?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let old = self.tree_of(self.parent_of(commit)?.as_ref())?;
        let color = if color { "--color=always" } else { "--color=never" };
        let diff = self.git.call("diff").args(["--no-ext-diff", color, old.as_str(), commit.as_str(), "--"]);
        diff.args(changes.iter().map(|change| change.path.on_disk(std::path::Path::new("")))).ok()
    }

    /// Puts what a commit changes into the user's files, merged with what is there now, and leaves it uncommitted; the
    /// paths. Nothing is touched where it does not fit, or something uncommitted is in the way.
    pub fn restore(&self, commit: &Oid, own: &SpecFiles) -> Result<Vec<RepoPath>, CommitError> {
        let (Some(base), Some(tip)) = (self.parent_of(commit)?, self.head()?.commit) else {
            return Err(
                Error::Unexpected { command: "rev-parse".into(), output: "no commit to start from".into() }.into()
            );
        };
        let before = self.tree_of(Some(&tip))?;
        // Only what is a task's: the list and the progress file stay out of the merge.
        let tree = self.tree_with(&base, &self.changes_of(commit, own)?)?;
        let work = Work { commit: self.commit_object(&tree, &base, "what is put back\n")?, base };
        let merged = self.merge_work(&tip, &work)?.map_err(|paths| CommitError::Conflict { paths })?;
        let mut changes = self.changes_between(&before, &merged)?;
        changes.retain(|change| !own.has(&change.path));
        let changes: Vec<&Change> = changes.iter().collect();
        let sparse = self.clear_for(&changes)?;
        self.files_to(&changes, &sparse)?;
        Ok(changes.into_iter().map(|change| change.path.clone()).collect())
    }

    /// Makes a branch at a commit; nothing is checked out.
    pub fn make_branch(&self, name: &str, commit: &Oid) -> Result<(), Error> {
        self.git.call("branch").args(["--no-track", "--", name, commit.as_str()]).ok().map(drop)
    }

    /// The newest commit that both have.
    pub fn common(&self, one: &Oid, other: &Oid) -> Result<Option<Oid>, Error> {
        let base = self.git.call("merge-base").args([one.as_str(), other.as_str()]).run()?;
        Ok(Oid::parse(&base.stdout))
    }
}
