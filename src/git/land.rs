//! Landing a batch that was made in slots: a chain of commits on the tip, one move of the branch, and the user's index
//! and files brought to it for just those paths.
//!
//! The chain is made by [`Committer::prepare`], each commit on the one before it. See
//! `docs/design/005-trees-and-landing.md` for the order of events and what a crash at each point leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::change::{Blob, Change, Mode, Oid, RepoPath};
use super::commit::{CommitRequest, Committer, NewCommit};
use super::error::{CommitError, Error};
use super::repo::{Repo, SpecFiles, index_records, unexpected};

/// What a task made in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The commit it began with.
    pub base: Oid,
    /// What it made of it; `base` is its parent.
    pub commit: Oid,
}

/// How a batch landed.
#[derive(Debug, Default)]
pub struct Landed {
    /// What the user's tree has been given.
    pub paths: Vec<RepoPath>,
    /// The branch moved, but the user's tree could not be brought up to date; the next start does it.
    pub unfinished: Option<Error>,
}

impl Committer {
    /// Moves the branch to the end of a chain of commits, if it is still where the chain begins, and brings the user's
    /// index and files to it. `note` is a new ref for where the branch was.
    pub fn land(
        &mut self,
        chain: &[(NewCommit, CommitRequest<'_>)],
        note: Option<&str>,
    ) -> Result<Landed, CommitError> {
        let (Some((first, _)), Some((last, _))) = (chain.first(), chain.last()) else { return Ok(Landed::default()) };
        self.end_chain();
        // Better to wait now than to have a branch without its index.
        self.wait_for_index()?;
        self.still_at(first)?;
        let changes = self.composed(chain)?;
        let edited: BTreeSet<&RepoPath> =
            chain.iter().flat_map(|(_, request)| request.edits).map(|edit| edit.path).collect();
        let plain: Vec<&Change> = changes.iter().filter(|change| !edited.contains(&change.path)).collect();
        let sparse = self.repo.clear_for(&plain)?;
        let edits = self.index_edits(chain, &changes)?;
        self.move_branch(first, &last.id, &last.subject, note)?;
        let mut index = entries(&plain);
        index.extend(edits.iter().map(|(path, blob)| (*path, Some(blob))));
        let done = self.repo.index_to(&index, &sparse).and_then(|()| self.repo.files_to(&plain, &sparse));
        Ok(Landed { paths: plain.into_iter().map(|change| change.path.clone()).collect(), unfinished: done.err() })
    }

    /// What the chain changes as a whole, path by path.
    fn composed(&self, chain: &[(NewCommit, CommitRequest<'_>)]) -> Result<Vec<Change>, Error> {
        let mut whole: BTreeMap<RepoPath, Change> = BTreeMap::new();
        for (commit, _) in chain {
            let changes = match commit.made_of() {
                Some(changes) => changes.to_vec(),
                None => self.repo.changes_between(&self.repo.tree_of(commit.parent.as_ref())?, &commit.id)?,
            };
            for change in changes {
                let new = change.new.clone();
                whole.entry(change.path.clone()).or_insert(change).new = new;
            }
        }
        Ok(whole.into_values().filter(|change| change.old != change.new).collect())
    }

    /// What the user's index is to have of the list and the progress file: as landed, or where a person staged an edit,
    /// with ours made to it.
    fn index_edits<'a>(
        &self,
        chain: &[(NewCommit, CommitRequest<'_>)],
        changes: &'a [Change],
    ) -> Result<Vec<(&'a RepoPath, Blob)>, Error> {
        let edited: BTreeSet<&RepoPath> =
            chain.iter().flat_map(|(_, request)| request.edits).map(|edit| edit.path).collect();
        let staged = self.repo.staged(edited.iter().copied())?;
        let mut update = Vec::new();
        for change in changes.iter().filter(|change| edited.contains(&change.path)) {
            let (present, Some(new)) = (staged.get(&change.path), &change.new) else { continue };
            let mut blob = new.clone();
            if let Some(own) = present.filter(|own| change.old.as_ref() != Some(own)) {
                blob = own.clone();
                for edit in chain.iter().flat_map(|(_, request)| request.edits).filter(|it| *it.path == change.path) {
                    blob = self.repo.edited(&blob, edit)?;
                }
            }
            update.push((&change.path, blob));
        }
        Ok(update)
    }

    /// What `work` makes of the tip, path by path, by a merge of the three trees.
    pub(super) fn merged(&self, tip: &Oid, work: &Work) -> Result<Vec<Change>, CommitError> {
        let merged = self.repo.merge_work(tip, work)?.map_err(|paths| CommitError::Conflict { paths })?;
        Ok(self.repo.changes_between(&self.repo.tree_of(Some(tip))?, &merged)?)
    }
}

/// What an index is to have at a path; none where it is to have nothing there.
type Entry<'a> = (&'a RepoPath, Option<&'a Blob>);

/// What an index is to have for these changes to be in it.
fn entries<'a>(changes: &[&'a Change]) -> Vec<Entry<'a>> {
    changes.iter().map(|change| (&change.path, change.new.as_ref())).collect()
}

impl Repo {
    /// The tree of `tip` with what a task made; or the paths where the two contradict each other.
    pub fn merge_work(&self, tip: &Oid, work: &Work) -> Result<Result<Oid, Vec<RepoPath>>, Error> {
        // A merge looks for its base itself: the tip is given the one that is meant as its parent.
        let ours = self.commit_object(&self.tree_of(Some(tip))?, &work.base, "tip\n")?;
        let merge = self.git.call("merge-tree").args(["--write-tree", "-z", "--name-only", "--no-messages"]);
        let output = merge.args([ours.as_str(), work.commit.as_str()]).run()?;
        let mut parts = output.stdout.split(|&byte| byte == 0);
        let tree = parts.next().and_then(Oid::parse);
        match (output.exit, tree) {
            (Some(0), Some(tree)) => Ok(Ok(tree)),
            (Some(1), Some(_)) => Ok(Err(parts.filter(|path| !path.is_empty()).map(RepoPath::new).collect())),
            _ => Err(unexpected("merge-tree", output.stderr.as_bytes())),
        }
    }

    /// A commit that has what several tasks made on top of `base`, in this order; what contradicts is left out.
    pub fn stack(&self, base: &Oid, works: &[&Work]) -> Result<Oid, Error> {
        let mut top = base.clone();
        for work in works {
            if work.base == top {
                top.clone_from(&work.commit);
            } else if let Ok(tree) = self.merge_work(&top, work)? {
                top = self.commit_object(&tree, &top, "what goes before\n")?;
            }
        }
        Ok(top)
    }

    /// Whether a commit is there, on a branch or not.
    #[must_use]
    pub fn has_commit(&self, commit: &Oid) -> bool {
        let exists = self.git.call("cat-file").args(["-e", &format!("{commit}^{{commit}}")]).run();
        exists.is_ok_and(|exists| exists.exit == Some(0))
    }

    /// Finishes what a crash cut off after the branch went from `old` to `new`: what the user's index and files still
    /// have as `old` had it, or half of `new`, is brought to `new`. The list and the progress file are left out, they are edited.
    pub fn catch_up_tree(&self, old: Option<&Oid>, new: &Oid, own: &SpecFiles) -> Result<(), Error> {
        let changes = self.changes_between(&self.tree_of(old)?, &self.tree_of(Some(new))?)?;
        let sparse = self.sparse(changes.iter().map(|change| &change.path))?;
        let staged = self.staged(changes.iter().map(|change| &change.path))?;
        let differing = self.differs(changes.iter().map(|change| (&change.path, change.old.as_ref())))?;
        let behind = |change: &&Change| {
            let at = staged.get(&change.path);
            at == change.old.as_ref() || at == change.new.as_ref()
        };
        let (own, plain): (Vec<&Change>, Vec<&Change>) =
            changes.iter().filter(behind).partition(|change| own.has(&change.path));
        let mut files = Vec::new();
        for change in &plain {
            if !differing.contains(&change.path) || self.half_written(change)? {
                files.push(*change);
            }
        }
        let index: Vec<&Change> = plain.into_iter().chain(own).collect();
        self.index_to(&entries(&index), &sparse)?;
        self.files_to(&files, &sparse)
    }

    /// Refuses where these changes would write over what is not committed in the user's tree; gives what a sparse
    /// checkout leaves out of it.
    pub fn clear_for(&self, changes: &[&Change]) -> Result<BTreeSet<RepoPath>, CommitError> {
        let sparse = self.sparse(changes.iter().map(|change| &change.path))?;
        let paths = self.in_the_way(changes, &sparse)?;
        if paths.is_empty() { Ok(sparse) } else { Err(CommitError::Overlap { paths }) }
    }

    /// Whether a file looks like one that git was in the middle of writing: it takes the old one away, and writes the new
    /// one from its beginning.
    fn half_written(&self, change: &Change) -> Result<bool, Error> {
        let Some(new) = change.new.as_ref().filter(|new| new.mode != Mode::Submodule) else { return Ok(false) };
        let path = change.path.on_disk(&self.root);
        match path.symlink_metadata() {
            Err(_) => Ok(true),
            Ok(entry) if entry.is_file() => {
                let begun = fs::read(&path).unwrap_or_default();
                Ok(begun.is_empty() || self.content(&new.oid)?.starts_with(&begun))
            }
            Ok(_) => Ok(false),
        }
    }

    /// Brings the user's index and files to what landed.
    pub(super) fn bring(&self, changes: &[&Change], sparse: &BTreeSet<RepoPath>) -> Result<(), Error> {
        self.index_to(&entries(changes), sparse)?;
        self.files_to(changes, sparse)
    }

    fn index_to(&self, to: &[Entry<'_>], sparse: &BTreeSet<RepoPath>) -> Result<(), Error> {
        let index = self.git_dir.join("index");
        super::commit::Patience::NORMAL.with_locks(|| {
            self.set_index(&index, to.iter().copied())?;
            let mut input = Vec::new();
            for (path, _) in to.iter().filter(|(path, blob)| blob.is_some() && sparse.contains(*path)) {
                input.extend_from_slice(path.as_bytes());
                input.push(0);
            }
            if !input.is_empty() {
                self.git.call("update-index").args(["-z", "--skip-worktree", "--stdin"]).input(input).ok()?;
            }
            Ok(())
        })
    }

    pub(super) fn files_to(&self, changes: &[&Change], sparse: &BTreeSet<RepoPath>) -> Result<(), Error> {
        let written = changes.iter().filter(|change| !sparse.contains(&change.path));
        self.write_out(written.clone().map(|change| (&change.path, change.new.as_ref())))?;
        for change in written.filter(|change| change.new.as_ref().is_some_and(|new| new.mode == Mode::Submodule)) {
            let update = self.git.plumbing("submodule", &["protocol.file.allow=always"]);
            let update = update.args(["-q", "update", "--checkout", "--"]);
            update.arg(change.path.on_disk(Path::new(""))).ok()?;
        }
        Ok(())
    }

    /// What a sparse checkout leaves out of the user's tree, of these paths.
    pub(super) fn sparse<'a>(&self, paths: impl Iterator<Item = &'a RepoPath>) -> Result<BTreeSet<RepoPath>, Error> {
        let set = self.git.call("config").args(["--type=bool", "--get", "core.sparseCheckout"]).run()?;
        if set.stdout.trim_ascii() != b"true" {
            return Ok(BTreeSet::new());
        }
        let paths: BTreeSet<&RepoPath> = paths.collect();
        let listed = self.git.call("ls-files").args(["-t", "-s", "-z"]).ok()?;
        let skipped = listed.split(|&byte| byte == 0).filter_map(|record| record.strip_prefix(b"S "));
        let skipped: BTreeSet<RepoPath> =
            skipped.flat_map(|record| index_records(record).map(|(path, _)| path).collect::<Vec<_>>()).collect();
        // A new path in a folder that is left out as a whole is left out, too.
        let rules = self.git.call("sparse-checkout").arg("check-rules").args(["-z"]);
        let mut input = Vec::new();
        for path in &paths {
            input.extend_from_slice(path.as_bytes());
            input.push(0);
        }
        let inside = rules.input(input).run()?;
        let inside: Option<BTreeSet<RepoPath>> =
            (inside.exit == Some(0)).then(|| inside.stdout.split(|&byte| byte == 0).map(RepoPath::new).collect());
        let out = |path: &&RepoPath| match &inside {
            Some(inside) => !inside.contains(*path) && !path.on_disk(&self.root).exists(),
            None => skipped.contains(*path),
        };
        Ok(paths.into_iter().filter(out).cloned().collect())
    }

    /// Which of these changes would write over what is not committed in the user's tree: staged, edited, or in the way
    /// of a new file, ignored or not.
    pub(super) fn in_the_way(&self, changes: &[&Change], sparse: &BTreeSet<RepoPath>) -> Result<Vec<RepoPath>, Error> {
        let staged = self.staged(changes.iter().map(|change| &change.path))?;
        let mut found: BTreeSet<RepoPath> = changes
            .iter()
            .filter(|change| {
                let at = staged.get(&change.path);
                at != change.old.as_ref() && at != change.new.as_ref()
            })
            .map(|change| change.path.clone())
            .collect();
        let files: Vec<&&Change> = changes.iter().filter(|change| !sparse.contains(&change.path)).collect();
        let gone: BTreeSet<&RepoPath> =
            files.iter().filter(|change| change.new.is_none()).map(|change| &change.path).collect();
        let unlike_old = self.differs(files.iter().map(|change| (&change.path, change.old.as_ref())))?;
        let unlike_old = files.iter().filter(|change| unlike_old.contains(&change.path));
        // Somebody may have put the very same there.
        let unlike_both = self.differs(unlike_old.map(|change| (&change.path, change.new.as_ref())))?;
        let emptied = |path: &RepoPath| self.holds_only(&path.on_disk(&self.root), &gone);
        found.extend(unlike_both.into_iter().filter(|path| !emptied(path)));
        for change in files.iter().filter(|change| change.new.is_some() && change.old.is_none()) {
            for folder in change.path.folders().skip(1).map(RepoPath::new) {
                let file = folder.on_disk(&self.root).symlink_metadata().is_ok_and(|entry| !entry.is_dir());
                if file && !gone.contains(&folder) {
                    found.insert(folder);
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Whether a folder has nothing in it but these files.
    fn holds_only(&self, folder: &Path, files: &BTreeSet<&RepoPath>) -> bool {
        if !folder.symlink_metadata().is_ok_and(|entry| entry.is_dir()) {
            return false;
        }
        let inside = |path: &Path| {
            let path = path.strip_prefix(&self.root).unwrap_or(path);
            files.contains(&RepoPath::new(path.as_os_str().as_encoded_bytes()))
        };
        fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().all(|entry| inside(&entry.path()) || self.holds_only(&entry.path(), files))
        })
    }
}
