//! Taking back what a run landed, in a tree: nothing is rewritten, what others committed before, between and since stays.
//!
//! A run's commits are known by their `Spec-Run` trailer, and those that an executor made itself by the run's journal.
//! Stretches of them, newest first, are taken back by a merge of three trees each: the last commit of the stretch is the
//! base, what is there now is ours, what was before the stretch is theirs. `cli::commands::undo` makes a commit of it.

use std::collections::BTreeSet;

use super::change::{Change, Oid, RepoPath};
use super::error::Error;
use super::land::Work;
use super::repo::{Repo, SpecFiles, unexpected};

/// A commit that a run landed and nobody has taken back yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCommit {
    /// Its id.
    pub id: Oid,
    /// What it was made on.
    pub parent: Option<Oid>,
    /// Its first line.
    pub subject: String,
    /// The task that it is of; none for a commit that an executor made itself.
    pub task: Option<String>,
}

/// What came after contradicts what is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// Where.
    pub paths: Vec<RepoPath>,
    /// Later commits of others that changed these paths, newest first: short id and first line.
    pub commits: Vec<String>,
}

impl Repo {
    /// What a run landed on the branch since `from`, newest first; `made` are commits that its executors made
    /// themselves. None where the branch does not have `from`.
    pub fn run_commits(
        &self,
        run: &str,
        from: Option<&Oid>,
        made: &BTreeSet<Oid>,
    ) -> Result<Option<Vec<RunCommit>>, Error> {
        let Some(tip) = self.head()?.commit else { return Ok(None) };
        if let Some(from) = from {
            let within = self.git.call("merge-base").args(["--is-ancestor", from.as_str(), tip.as_str()]).run()?;
            if within.exit != Some(0) {
                return Ok(None);
            }
        }
        let trailer = |key| format!("%(trailers:key={key},valueonly,separator=%x2C)");
        let format =
            format!("--format=%H%x1f%P%x1f{}%x1f{}%x1f%s%x1f%b%x00", trailer("Spec-Run"), trailer("Spec-Task"));
        let range = from.map(|from| format!("^{from}"));
        let listing =
            self.git.call("rev-list").args(["--topo-order", "--no-commit-header", "--encoding=UTF-8", &format]);
        let listed = listing.arg(tip.as_str()).args(range).ok()?;
        let text = String::from_utf8_lossy(&listed);
        let mut commits = Vec::new();
        // Newest first, so that a commit which is taken back itself takes nothing back any more.
        let mut taken_back: BTreeSet<Oid> = BTreeSet::new();
        for record in text.split('\0').map(str::trim_start).filter(|record| !record.is_empty()) {
            let columns: Vec<&str> = record.splitn(6, '\x1f').collect();
            let [id, parents, of, task, subject, body] = columns[..] else {
                return Err(unexpected("rev-list", record.as_bytes()));
            };
            let id = Oid::parse(id.as_bytes()).ok_or_else(|| unexpected("rev-list", record.as_bytes()))?;
            if taken_back.contains(&id) {
                continue;
            }
            // As `git revert` says it, and `spec undo`.
            let said = body.lines().filter_map(|line| line.strip_prefix("This reverts commit "));
            taken_back.extend(said.filter_map(|rest| Oid::parse(rest.trim_end_matches('.').as_bytes())));
            if of == run || made.contains(&id) {
                let parent = parents.split(' ').next().and_then(|parent| Oid::parse(parent.as_bytes()));
                let task = (!task.is_empty()).then(|| task.to_owned());
                commits.push(RunCommit { id, parent, subject: subject.to_owned(), task });
            }
        }
        Ok(Some(commits))
    }

    /// What the tip has to be changed by so that these commits, newest first, are taken back. The list and the progress
    /// file are left out: they have a meaning.
    pub fn without(&self, commits: &[RunCommit], own: &SpecFiles) -> Result<Result<Vec<Change>, Clash>, Error> {
        let Some(tip) = self.head()?.commit else { return Ok(Ok(Vec::new())) };
        let mut now = tip.clone();
        for stretch in commits.chunk_by(|later, earlier| later.parent.as_ref() == Some(&earlier.id)) {
            let (Some(last), Some(first)) = (stretch.first(), stretch.last()) else { continue };
            let before = self.tree_of(first.parent.as_ref())?;
            // Those of the list and of progress are as in the base: the merge finds nothing to do there.
            let back: Vec<Change> = self.changes_between(&self.tree_of(Some(&last.id))?, &before)?;
            let back: Vec<Change> = back.into_iter().filter(|change| !own.has(&change.path)).collect();
            let tree = self.tree_with(&last.id, &back)?;
            let commit = self.commit_object(&tree, &last.id, "before\n")?;
            match self.merge_work(&now, &Work { base: last.id.clone(), commit })? {
                Ok(tree) => now = self.commit_object(&tree, &now, "without\n")?,
                Err(paths) => {
                    let commits = self.others_since(&last.id, &tip, &paths, commits)?;
                    return Ok(Err(Clash { paths, commits }));
                }
            }
        }
        let mut changes = self.changes_between(&self.tree_of(Some(&tip))?, &self.tree_of(Some(&now))?)?;
        changes.retain(|change| !own.has(&change.path));
        Ok(Ok(changes))
    }

    /// Commits behind `from` that changed one of these paths and are none of `own`.
    fn others_since(&self, from: &Oid, tip: &Oid, paths: &[RepoPath], own: &[RunCommit]) -> Result<Vec<String>, Error> {
        let listing = self.git.call("rev-list").args(["--no-commit-header", "--format=%H %h %s"]);
        let listed = listing.args([tip.as_str(), &format!("^{from}"), "--"]);
        let listed = listed.args(paths.iter().map(|path| path.on_disk(std::path::Path::new("")))).ok()?;
        let text = String::from_utf8_lossy(&listed);
        let others = text.lines().filter_map(|line| line.split_once(' '));
        let others = others.filter(|(id, _)| !own.iter().any(|commit| commit.id.as_str() == *id));
        Ok(others.map(|(_, said)| said.to_owned()).collect())
    }

    /// The bytes of a file as a commit has it.
    pub fn file_at(&self, commit: &Oid, path: &RepoPath) -> Result<Option<Vec<u8>>, Error> {
        let found = self.blobs_at(Some(commit), [path])?;
        found.get(path).map(|blob| self.content(&blob.oid)).transpose()
    }
}
