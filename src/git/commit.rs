//! One commit for one task: its changes, the tick on HEAD's version of the list, its progress; nothing else.
//!
//! Two phases, so that a crash between them is told and finished: [`Committer::prepare`] makes objects only,
//! [`Committer::publish`] moves the branch by compare-and-swap and brings the user's index up to date for just those
//! paths. The working tree is not touched, but for what a hook changed in a file that is still as it was.
//!
//! Changes land as changes, not as whole files: where the tip has another content than the one a task began with (a
//! sibling landed, or will land later), the two are merged, and what cannot be merged is a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::call::Asking;
use super::change::{Blob, Change, Mode, Oid, RepoPath};
use super::error::{CommitError, Error};
use super::head::HeadState;
use super::land::Work;
use super::repo::{Repo, index_records, unexpected};
use super::trees::{Trees, Written};

/// How long a lock that someone else holds is left alone before the next try.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How long others are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Tries at a lock that someone else holds.
    pub(super) lock_tries: u32,
    /// For all hooks of a commit.
    pub(super) hooks: Duration,
    /// For a signature: a passphrase that nobody types.
    pub(super) signing: Duration,
}

impl Patience {
    pub(super) const NORMAL: Self =
        Self { lock_tries: 200, hooks: Duration::from_secs(600), signing: Duration::from_secs(120) };

    /// Tries again while someone else holds a lock of git.
    pub(super) fn with_locks<T>(self, mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        for _ in 1..self.lock_tries {
            match attempt() {
                Err(Error::Locked { .. }) => std::thread::sleep(LOCK_PAUSE),
                result => return result,
            }
        }
        attempt()
    }
}

/// Makes commits on the branch that is checked out.
#[derive(Debug)]
pub struct Committer {
    pub(super) repo: Repo,
    /// What was looked at of the tip, as a rule.
    pub(super) trees: Trees,
    pub(super) patience: Patience,
    /// The last commit of a chain that is not published yet, and what is set about commits: no task runs in between.
    pub(super) chain: Option<(Oid, Settings)>,
    /// What the list and the progress file had in the last commit.
    texts: BTreeMap<Oid, Vec<u8>>,
    /// What writes them, as long as a chain grows.
    hash_object: Asking,
}

/// What is to be committed.
#[derive(Clone, Copy)]
pub struct CommitRequest<'a> {
    /// The task's changes, in order.
    pub changes: &'a [Change],
    /// The list and the progress file.
    pub edits: &'a [FileEdit<'a>],
    /// The message, without trailers.
    pub message: &'a str,
    /// `Spec-Task` and the like.
    pub trailers: &'a [(&'a str, &'a str)],
    /// The changes as a whole, where they were made in a slot: merged tree by tree where the tip is another.
    pub work: Option<&'a Work>,
}

/// An edit to be made to HEAD's version of a file, whatever the working tree has.
#[derive(Clone, Copy)]
pub struct FileEdit<'a> {
    /// Which file.
    pub path: &'a RepoPath,
    /// From its bytes to the new ones; none where there is nothing to edit.
    pub edit: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
}

/// A commit that was made and is on no branch yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// Its id.
    pub id: Oid,
    /// The tip it was made on; none for the first of a repository.
    pub parent: Option<Oid>,
    /// The branch that it is for, by its full name; none for a detached HEAD.
    pub branch: Option<String>,
    /// Its first line.
    pub subject: String,
    /// What it was made of, where this process made it, and whether hooks had a hand in it.
    asked: Option<(Vec<Change>, bool)>,
}

impl NewCommit {
    /// What it changes, where that is known without asking git: no hook had a hand in it.
    pub(super) fn made_of(&self) -> Option<&[Change]> {
        self.asked.as_ref().filter(|(_, hooked)| !hooked).map(|(changes, _)| changes.as_slice())
    }

    /// A commit that the journal of an earlier run has as made.
    #[must_use]
    pub const fn recorded(id: Oid, parent: Option<Oid>, branch: Option<String>, subject: String) -> Self {
        Self { id, parent, branch, subject, asked: None }
    }
}

/// What [`Committer::prepare`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The commit; none where there is nothing to commit.
    pub commit: Option<NewCommit>,
    /// Files of [`CommitRequest::edits`] that HEAD does not have (ignored, or never committed): edited on disk only.
    pub not_added: Vec<RepoPath>,
}

/// How a commit landed.
#[derive(Debug, Default)]
pub struct Published {
    /// What hooks changed and was written to the working tree, too.
    pub carried: Vec<Change>,
    /// What hooks changed and was not, because the working tree has something else there.
    pub not_carried: Vec<RepoPath>,
    /// The branch moved, but the rest could not be done; [`Committer::recover`] does it later.
    pub unfinished: Option<Error>,
    /// The branch moved now, and a note was made of where it was.
    pub noted: bool,
}

impl Committer {
    /// Commits to this repository.
    pub fn new(repo: &Repo) -> Result<Self, Error> {
        Ok(Self {
            repo: repo.clone(),
            trees: Trees::default(),
            patience: Patience::NORMAL,
            chain: None,
            texts: BTreeMap::new(),
            hash_object: Asking::default(),
        })
    }

    /// Makes the commit on the tip that `at` names: objects only, nothing that anybody sees.
    pub fn prepare(&mut self, at: &HeadState, request: &CommitRequest<'_>) -> Result<Prepared, CommitError> {
        let prepared = self.extend(at, request);
        if !matches!(prepared, Ok(Prepared { commit: Some(_), .. })) {
            self.end_chain();
        }
        prepared
    }

    /// The chain is published, or is to be begun anew: nothing of git runs on for it.
    pub(super) fn end_chain(&mut self) {
        self.chain = None;
        self.hash_object.end();
        self.trees.rest();
    }

    /// The next commit of the chain.
    fn extend(&mut self, at: &HeadState, request: &CommitRequest<'_>) -> Result<Prepared, CommitError> {
        let parent = at.commit.as_ref();
        let Contents { changes, not_added } = self.contents(parent, request)?;
        if changes.is_empty() {
            return Ok(Prepared { commit: None, not_added });
        }
        let Written { tree, clashes } = self.trees.write(&self.repo, parent, &changes)?;
        if !clashes.is_empty() {
            return Err(CommitError::Conflict { paths: clashes.into_iter().collect() });
        }
        let message = with_trailers(request.message, request.trailers);
        let settings = match self.chain.take() {
            Some((last, settings)) if Some(&last) == parent => settings,
            _ => self.repo.settings()?,
        };
        let Settings { hooks, signs } = &settings;
        let id = match hooks {
            Some(hooks) => self.commit_with_hooks(hooks, parent, &tree, &message)?,
            None => self.commit_tree(parent, &tree, &message, *signs)?,
        };
        if hooks.is_none() {
            self.trees.committed(&id);
        }
        let subject = message.lines().next().unwrap_or_default().to_owned();
        let asked = Some((changes, hooks.is_some()));
        self.chain = Some((id.clone(), settings));
        let commit = NewCommit { id, parent: parent.cloned(), branch: at.branch.clone(), subject, asked };
        Ok(Prepared { commit: Some(commit), not_added })
    }

    /// Moves the branch to a prepared commit, if it is still where it was, and brings the user's index up to date. `note`
    /// is a new ref for where the branch was.
    pub fn publish(
        &mut self,
        commit: &NewCommit,
        request: &CommitRequest<'_>,
        note: Option<&str>,
    ) -> Result<Published, CommitError> {
        self.end_chain();
        // Better to wait now than to have a branch without its index.
        self.wait_for_index()?;
        self.still_at(commit)?;
        self.move_branch(commit, &commit.id, &commit.subject, note)?;
        let published = self
            .finish(commit, request)
            .unwrap_or_else(|error| Published { unfinished: Some(error), ..Published::default() });
        Ok(Published { noted: note.is_some(), ..published })
    }

    /// Whether the branch is where this commit was made on.
    pub(super) fn still_at(&self, commit: &NewCommit) -> Result<(), CommitError> {
        let now = self.repo.head()?;
        if now.branch == commit.branch && now.commit == commit.parent {
            return Ok(());
        }
        let name = commit.branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
        let place = name.unwrap_or("a detached HEAD");
        let expected = match &commit.parent {
            Some(parent) => format!("{place} at {:.7}", parent.as_str()),
            None => format!("{place} without a commit"),
        };
        Err(CommitError::HeadMoved { expected, found: now.describe() })
    }

    /// Moves the branch from what `first` was made on to `new`. By the branch's own name: a checkout in this very moment
    /// cannot turn the commit onto another branch. `note` is a ref that is made for where it was.
    pub(super) fn move_branch(
        &self,
        first: &NewCommit,
        new: &Oid,
        subject: &str,
        note: Option<&str>,
    ) -> Result<(), CommitError> {
        let name = first.branch.as_deref().unwrap_or("HEAD");
        let old = first.parent.as_ref().map_or(self.repo.no_object.as_str(), Oid::as_str);
        let message = format!("commit: {subject}");
        let mut input = format!("start\0option no-deref\0update {name}\0{new}\0{old}\0");
        if let (Some(note), Some(parent)) = (note, &first.parent) {
            input.extend(["create ", note, "\0", parent.as_str(), "\0"]);
        }
        input += "commit\0";
        let moved = self.patience.with_locks(|| {
            let call = self.repo.git.call("update-ref").args(["-m", &message, "-z", "--stdin"]);
            call.input(input.clone().into_bytes()).ok()
        });
        moved.map(drop).map_err(|error| match error {
            Error::Failed { stderr, .. } if stderr.contains("cannot lock ref") => {
                CommitError::HeadMoved { expected: format!("{name} at {old:.7}"), found: stderr.trim().to_owned() }
            }
            Error::Failed { stderr, .. } if stderr.contains("hook") => CommitError::Hook { tail: stderr },
            error => error.into(),
        })
    }

    /// Finishes what a crash cut off after `commit` was prepared on `parent` for `branch`: moves the branch if it is
    /// still at the parent, brings the index up to date. None where the tip is elsewhere and has not got the commit:
    /// it is to be prepared again. Does nothing the second time.
    pub fn recover(
        &mut self,
        commit: &NewCommit,
        request: &CommitRequest<'_>,
        note: Option<&str>,
    ) -> Result<Option<Published>, CommitError> {
        let exists = self.repo.git.call("cat-file").args(["-e", &format!("{}^{{commit}}", commit.id)]).run()?;
        if exists.exit != Some(0) {
            return Ok(None);
        }
        let now = self.repo.head()?;
        if now.branch == commit.branch && now.commit == commit.parent {
            return self.publish(commit, request, note).map(Some);
        }
        let Some(tip) = now.commit else { return Ok(None) };
        let landed =
            self.repo.git.call("merge-base").args(["--is-ancestor", commit.id.as_str(), tip.as_str()]).run()?;
        if landed.exit != Some(0) {
            return Ok(None);
        }
        // Later commits and their index are somebody's; only a tip that is this commit may lack its index.
        if tip != commit.id {
            return Ok(Some(Published::default()));
        }
        self.wait_for_index()?;
        Ok(Some(self.finish(commit, request)?))
    }

    /// What the commit is to change on `parent`, and which edits it leaves out.
    fn contents(&mut self, parent: Option<&Oid>, request: &CommitRequest<'_>) -> Result<Contents, CommitError> {
        let paths = request.changes.iter().map(|change| &change.path).chain(request.edits.iter().map(|edit| edit.path));
        let mut base = self.trees.blobs(&self.repo, parent, paths)?;
        let unlike = |change: &Change| base.get(&change.path) != change.old.as_ref();
        let merged = match (request.work, parent) {
            (Some(work), Some(tip)) if request.changes.iter().any(unlike) => Some(self.merged(tip, work)?),
            _ => None,
        };
        if let Some(merged) = &merged {
            let olds = merged.iter().filter_map(|change| Some((change.path.clone(), change.old.clone()?)));
            base.extend(olds);
        }
        let mut result: BTreeMap<&RepoPath, Option<Blob>> = BTreeMap::new();
        let mut conflicts = BTreeSet::new();
        for change in merged.as_deref().unwrap_or(request.changes) {
            let current = result.entry(&change.path).or_insert_with(|| base.get(&change.path).cloned());
            match self.repo.merge(current.as_ref(), change)? {
                Some(merged) => *current = merged,
                None => {
                    conflicts.insert(change.path.clone());
                }
            }
        }
        if !conflicts.is_empty() {
            return Err(CommitError::Conflict { paths: conflicts.into_iter().collect() });
        }
        let is_text = |blob: &&Blob| matches!(blob.mode, Mode::File | Mode::Executable);
        let known = |edit: &&FileEdit<'_>| base.get(edit.path).as_ref().is_some_and(is_text);
        let (there, absent): (Vec<&FileEdit<'_>>, Vec<&FileEdit<'_>>) = request.edits.iter().partition(known);
        let not_added = absent.into_iter().map(|edit| edit.path.clone()).collect();
        for (edit, blob) in there.iter().zip(self.edited(&there, &base)?) {
            result.insert(edit.path, Some(blob));
        }
        let changes = result
            .into_iter()
            .map(|(path, new)| Change { path: path.clone(), old: base.get(path).cloned(), new })
            .filter(|change| change.old != change.new)
            .collect();
        Ok(Contents { changes, not_added })
    }

    /// What edits make of the files as `base` has them.
    fn edited(&mut self, edits: &[&FileEdit<'_>], base: &BTreeMap<RepoPath, Blob>) -> Result<Vec<Blob>, Error> {
        let mut blobs = Vec::new();
        let mut texts = BTreeMap::new();
        for edit in edits {
            let Some(blob) = base.get(edit.path) else { continue };
            let old = match self.texts.remove(&blob.oid) {
                Some(text) => text,
                None => self.repo.content(&blob.oid)?,
            };
            let (oid, text) = match (edit.edit)(&old).filter(|new| *new != old) {
                Some(new) => (self.stored(&new)?, new),
                None => (blob.oid.clone(), old),
            };
            blobs.push(Blob { mode: blob.mode, oid: oid.clone() });
            texts.insert(oid, text);
        }
        self.texts = texts;
        Ok(blobs)
    }

    /// Keeps a text as a blob.
    fn stored(&mut self, text: &[u8]) -> Result<Oid, Error> {
        let folder = self.repo.own_dir()?;
        let io = |source| Error::Io { action: "write a file in", path: folder.clone(), source };
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(io)?;
        std::io::Write::write_all(&mut file, text).map_err(io)?;
        let hash_object = || self.repo.git.durable("hash-object").args(["-w", "--no-filters", "--stdin-paths"]);
        let line = [file.path().as_os_str().as_encoded_bytes(), b"\n"].concat();
        let oid = self.hash_object.ask(hash_object, line)?;
        Oid::parse(&oid).ok_or_else(|| unexpected("hash-object", &oid))
    }

    /// A commit object without hooks.
    fn commit_tree(&self, parent: Option<&Oid>, tree: &Oid, message: &str, signs: bool) -> Result<Oid, CommitError> {
        let output = self
            .repo
            .git
            .durable("commit-tree")
            .arg(tree.as_str())
            .args(parent.iter().flat_map(|parent| ["-p", parent.as_str()]))
            .args(["-F", "-"])
            .args(signs.then_some("-S"))
            .input(message.as_bytes().to_vec())
            .limit(self.patience.signing)
            .run();
        let output = match output {
            Err(Error::TimedOut { stderr, .. }) if signs => {
                return Err(CommitError::Signing {
                    tail: format!("no answer within {} s {stderr}", self.patience.signing.as_secs()),
                });
            }
            output => output?,
        };
        if output.exit == Some(0) {
            return Ok(Oid::parse(&output.stdout).ok_or_else(|| unexpected("commit-tree", &output.stdout))?);
        }
        Err(refused(output.stderr).unwrap_or_else(|tail| {
            if signs {
                CommitError::Signing { tail }
            } else {
                Error::Failed { command: "commit-tree".into(), exit: output.exit, stderr: tail }.into()
            }
        }))
    }

    /// Brings the user's index up to date for the paths of a commit that landed, and the working tree for what hooks
    /// changed.
    fn finish(&mut self, commit: &NewCommit, request: &CommitRequest<'_>) -> Result<Published, Error> {
        let made_here = commit.asked.is_some();
        let (asked, hooked) = if let Some((changes, hooked)) = &commit.asked {
            (Some(changes.clone()), *hooked)
        } else {
            // What could be made once can only fail for reasons that will show again.
            let contents = self.contents(commit.parent.as_ref(), request).ok();
            self.end_chain();
            (contents.map(|contents| contents.changes), true)
        };
        let landed = match &asked {
            Some(asked) if !hooked => asked.clone(),
            _ => {
                let parent = commit.parent.clone().map_or_else(|| self.repo.tree_of(None), Ok)?;
                self.repo.changes_between(&parent, &commit.id)?
            }
        };
        let staged = self.repo.staged(landed.iter().map(|change| &change.path))?;
        let mut update: Vec<(&RepoPath, Option<Blob>)> = Vec::new();
        for change in &landed {
            let present = staged.get(&change.path);
            if present == change.new.as_ref() {
                continue;
            }
            let edit = request.edits.iter().find(|edit| *edit.path == change.path);
            let blob = match (edit, present) {
                // A person staged an edit of the list: it gets the tick, too.
                (Some(edit), Some(own)) if change.old.as_ref() != Some(own) => Some(self.repo.edited(own, edit)?),
                // Since a crash a person may have staged something of their own; what executors stage is not theirs.
                _ if !made_here && present != change.old.as_ref() && !request.mentions(&change.path, present) => {
                    continue;
                }
                _ => change.new.clone(),
            };
            update.push((&change.path, blob));
        }
        let index = self.repo.git_dir.join("index");
        self.patience
            .with_locks(|| self.repo.set_index(&index, update.iter().map(|(path, blob)| (*path, blob.as_ref()))))?;
        asked.map_or_else(|| Ok(Published::default()), |asked| self.carry(&asked, &landed))
    }

    /// Writes what hooks made of the files of a commit to the working tree, where it still has what they were given.
    fn carry(&self, asked: &[Change], landed: &[Change]) -> Result<Published, Error> {
        let given: BTreeMap<&RepoPath, &Change> = asked.iter().map(|change| (&change.path, change)).collect();
        let made: BTreeMap<&RepoPath, &Change> = landed.iter().map(|change| (&change.path, change)).collect();
        let paths: BTreeSet<&RepoPath> = given.keys().chain(made.keys()).copied().collect();
        let by_hooks: Vec<Change> = paths
            .into_iter()
            .filter_map(|path| {
                let (given, made) = (given.get(path), made.get(path));
                let base = given.or(made).and_then(|change| change.old.clone());
                let old = given.map_or_else(|| base.clone(), |change| change.new.clone());
                let new = made.map_or(base, |change| change.new.clone());
                (old != new).then(|| Change { path: path.clone(), old, new })
            })
            .collect();
        if by_hooks.is_empty() {
            return Ok(Published::default());
        }
        let differing = self.repo.differs(by_hooks.iter().map(|change| (&change.path, change.old.as_ref())))?;
        let (not_carried, carried): (Vec<Change>, Vec<Change>) =
            by_hooks.into_iter().partition(|change| differing.contains(&change.path));
        self.repo.write_out(carried.iter().map(|change| (&change.path, change.new.as_ref())))?;
        let not_carried = not_carried.into_iter().map(|change| change.path).collect();
        Ok(Published { carried, not_carried, ..Published::default() })
    }

    /// Waits until nobody holds the user's index.
    pub(super) fn wait_for_index(&self) -> Result<(), Error> {
        let lock = self.repo.git_dir.join("index.lock");
        self.patience.with_locks(|| if lock.exists() { Err(Error::Locked { path: lock.clone() }) } else { Ok(()) })
    }
}

impl Repo {
    /// Whether the branch has this commit, made on `parent`. If it is the tip, a crash may have come between it and the
    /// user's index: what the index still has as the parent had it is brought up to date.
    pub fn catch_up(&self, commit: &Oid, parent: Option<&Oid>) -> Result<bool, Error> {
        let exists = self.git.call("cat-file").args(["-e", &format!("{commit}^{{commit}}")]).run()?;
        let Some(tip) = self.head()?.commit.filter(|_| exists.exit == Some(0)) else { return Ok(false) };
        if tip != *commit {
            let landed = self.git.call("merge-base").args(["--is-ancestor", commit.as_str(), tip.as_str()]).run()?;
            return Ok(landed.exit == Some(0));
        }
        let changes = self.changes_between(&self.tree_of(parent)?, commit)?;
        let staged = self.staged(changes.iter().map(|change| &change.path))?;
        let behind: Vec<&Change> =
            changes.iter().filter(|change| staged.get(&change.path) == change.old.as_ref()).collect();
        let index = self.git_dir.join("index");
        Patience::NORMAL
            .with_locks(|| self.set_index(&index, behind.iter().map(|change| (&change.path, change.new.as_ref()))))?;
        Ok(true)
    }
}

impl CommitRequest<'_> {
    /// Whether the task's changes have that content at that path.
    fn mentions(&self, path: &RepoPath, blob: Option<&Blob>) -> bool {
        let has =
            |change: &&Change| change.path == *path && [&change.old, &change.new].map(Option::as_ref).contains(&blob);
        self.changes.iter().any(|change| has(&change))
    }
}

/// What the user has set about commits.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The folder of hooks, if there are any for a commit.
    pub(super) hooks: Option<PathBuf>,
    /// Whether commits are signed.
    pub(super) signs: bool,
}

/// What a commit is to change on its parent, each from what the parent has.
struct Contents {
    changes: Vec<Change>,
    not_added: Vec<RepoPath>,
}

impl Repo {
    /// What the user's index has at these paths.
    pub(super) fn staged<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a RepoPath>,
    ) -> Result<BTreeMap<RepoPath, Blob>, Error> {
        let mut staged = BTreeMap::new();
        for paths in in_portions(paths) {
            let listed = self.git.call("ls-files").args(["-s", "-z", "--"]).args(paths).ok()?;
            staged.extend(index_records(&listed).filter_map(|(path, blob)| Some((path, blob?))));
        }
        Ok(staged)
    }

    /// `current` with a change applied: as it is where the change fits, merged where both sides changed; none where
    /// they contradict each other.
    #[expect(clippy::option_option, reason = "the inner one is a path that is not there, the outer one a conflict")]
    fn merge(&self, current: Option<&Blob>, change: &Change) -> Result<Option<Option<Blob>>, Error> {
        if current == change.old.as_ref() || current == change.new.as_ref() {
            return Ok(Some(change.new.clone()));
        }
        let (Some(ours), Some(base), Some(theirs)) = (current, &change.old, &change.new) else { return Ok(None) };
        let blobs = [ours, base, theirs];
        if blobs.iter().any(|blob| !matches!(blob.mode, Mode::File | Mode::Executable)) {
            return Ok(None);
        }
        let mode = if ours.mode == base.mode { theirs.mode } else { ours.mode };
        if ours.oid == base.oid || ours.oid == theirs.oid {
            return Ok(Some(Some(Blob { mode, oid: theirs.oid.clone() })));
        }
        if base.oid == theirs.oid {
            return Ok(Some(Some(Blob { mode, oid: ours.oid.clone() })));
        }
        let folder = self.own_dir()?;
        let folder = tempfile::tempdir_in(&folder).map_err(|source| Error::Io {
            action: "make a folder in",
            path: folder,
            source,
        })?;
        let mut call = self.git.call("merge-file").args(["-p", "-q"]);
        for (name, blob) in ["ours", "base", "theirs"].into_iter().zip(blobs) {
            let path = folder.path().join(name);
            std::fs::File::create(&path)
                .and_then(|mut file| {
                    let bytes = self.content(&blob.oid).map_err(std::io::Error::other)?;
                    std::io::Write::write_all(&mut file, &bytes)
                })
                .map_err(|source| Error::Io { action: "write", path: path.clone(), source })?;
            call = call.arg(path);
        }
        // The exit code counts conflicts; a binary file or an error is 255.
        let merged = call.run()?;
        if merged.exit != Some(0) {
            return Ok(None);
        }
        Ok(Some(Some(Blob { mode, oid: self.store(merged.stdout)? })))
    }

    /// A blob with an edit made to it.
    pub(super) fn edited(&self, blob: &Blob, edit: &FileEdit<'_>) -> Result<Blob, Error> {
        let Some(bytes) = (edit.edit)(&self.content(&blob.oid)?) else { return Ok(blob.clone()) };
        Ok(Blob { mode: blob.mode, oid: self.store(bytes)? })
    }

    /// The bytes of a blob.
    pub(super) fn content(&self, oid: &Oid) -> Result<Vec<u8>, Error> {
        self.git.call("cat-file").args(["blob", oid.as_str()]).ok()
    }

    /// Keeps bytes as a blob.
    fn store(&self, bytes: Vec<u8>) -> Result<Oid, Error> {
        let oid = self.git.durable("hash-object").args(["-w", "--stdin"]).input(bytes).ok()?;
        Oid::parse(&oid).ok_or_else(|| unexpected("hash-object", &oid))
    }

    /// Writes these contents to the working tree, with the user's filters; none takes a path away, and folders that it
    /// leaves empty. Only for paths that were looked at just before.
    pub(super) fn write_out<'a>(
        &self,
        contents: impl IntoIterator<Item = (&'a RepoPath, Option<&'a Blob>)>,
    ) -> Result<(), Error> {
        let (gone, written): (Vec<_>, Vec<_>) = contents.into_iter().partition(|(_, blob)| blob.is_none());
        for (path, _) in gone {
            let on_disk = path.on_disk(&self.root);
            match std::fs::remove_file(&on_disk) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Io { action: "remove", path: on_disk, source });
                }
                _ => {}
            }
            let folders = on_disk.ancestors().skip(1).take_while(|folder| *folder != self.root);
            for folder in folders {
                if std::fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        // Submodules are their own repositories' business.
        let written: Vec<_> =
            written.into_iter().filter(|(_, blob)| blob.is_some_and(|blob| blob.mode != Mode::Submodule)).collect();
        if written.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch_index(written)?;
        self.git.call("checkout-index").args(["-f", "-a", "-q"]).index(&scratch.path()).ok()?;
        Ok(())
    }
}

/// Paths as arguments, in portions that fit a command line.
fn in_portions<'a>(paths: impl IntoIterator<Item = &'a RepoPath>) -> Vec<Vec<&'a std::ffi::OsStr>> {
    use std::os::unix::ffi::OsStrExt;
    let mut portions = vec![Vec::new()];
    let mut length = 0;
    for path in paths.into_iter().collect::<BTreeSet<_>>() {
        if length > 64 * 1024 {
            portions.push(Vec::new());
            length = 0;
        }
        length += path.as_bytes().len() + 1;
        if let Some(portion) = portions.last_mut() {
            portion.push(std::ffi::OsStr::from_bytes(path.as_bytes()));
        }
    }
    portions.retain(|portion| !portion.is_empty());
    portions
}

/// What git's own words say about why it made no commit; the words themselves where they say nothing known.
pub(super) fn refused(stderr: String) -> Result<CommitError, String> {
    if stderr.contains("failed to sign") || stderr.contains("failed to write commit object") {
        return Ok(CommitError::Signing { tail: stderr });
    }
    if stderr.contains("tell me who you are") || stderr.contains("empty ident") || stderr.contains("auto-detect email")
    {
        let detail = stderr.trim().lines().last().unwrap_or_default().to_owned();
        return Ok(Error::NoIdentity { detail }.into());
    }
    Err(stderr)
}

/// A message with trailers behind it: in the block of trailers that it ends with, or in one of their own.
fn with_trailers(message: &str, trailers: &[(&str, &str)]) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
    let mut text = lines.join("\n").replace('\0', "").trim_matches('\n').to_owned();
    let last = text.rsplit_once("\n\n").map(|(_, last)| last);
    let in_block = last.is_some_and(|last| {
        last.lines().enumerate().all(|(number, line)| {
            let token = line.split_once(": ").map_or("", |(token, _)| token);
            let named = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            named || (number > 0 && line.starts_with([' ', '\t']))
        })
    });
    text += if in_block { "\n" } else { "\n\n" };
    for (name, value) in trailers {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        text.extend([*name, ": ", &value, "\n"]);
    }
    text
}
