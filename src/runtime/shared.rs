//! The one working tree that all executors of a run share, where it is a git repository: who changed what, whether HEAD
//! stood still, and the commits. The driver tells when a try begins and ends; it is the only one that calls git.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Node;
use crate::engine::gates::Head;
use crate::git::{
    Attribution, Change, Committer, Declared, Error, HeadState, Moved, Oid, Refused, Repo, RepoPath, Seen, Snapshot,
    SpecFiles, Taken,
};
use crate::store::event::TreeEntry;

/// See the module.
pub(super) struct SharedTree {
    pub(super) repo: Repo,
    pub(super) own: SpecFiles,
    pub(super) ledger: Attribution,
    /// None where nothing is committed.
    pub(super) committer: Option<Committer>,
    pub(super) head: HeadState,
    snapshot: Snapshot,
    /// The branch that the run works on.
    branch: Option<String>,
    /// Executors that run now, with their names in the ledger.
    running: HashMap<Node, String>,
    moved: HashMap<Node, String>,
    commits: HashMap<Node, Vec<Oid>>,
    /// Nothing can have happened since the last look: the driver has not waited.
    fresh: bool,
}

impl SharedTree {
    /// Begins to follow the tree. What differs from HEAD by now is returned, and is in no ledger yet. Where tasks have
    /// been at work in it since HEAD was at `since`, what they may have committed is among it.
    pub(super) fn begin(
        repo: Repo,
        own: SpecFiles,
        commits: bool,
        most_new: usize,
        since: Option<&HeadState>,
    ) -> Result<(Self, Seen), Error> {
        let head = repo.head()?;
        let from = since.unwrap_or(&head).commit.as_ref().filter(|commit| repo.has_commit(commit));
        let (snapshot, seen) = Snapshot::begin_since(&repo, own.clone(), most_new, from)?;
        let committer = commits.then(|| Committer::new(&repo)).transpose()?;
        let tree = Self {
            own,
            ledger: Attribution::new(&[]),
            committer,
            snapshot,
            branch: head.branch.clone(),
            head,
            running: HashMap::new(),
            moved: HashMap::new(),
            commits: HashMap::new(),
            fresh: true,
            repo,
        };
        Ok((tree, seen))
    }

    /// What the tree held when the run began: a person's, nobody's, and what tasks of an earlier run had done.
    pub(super) fn settle(
        &mut self,
        persons: &[Change],
        nobodys: (&[Change], &[Refused]),
        tasks: &BTreeMap<String, Vec<Change>>,
    ) {
        self.ledger = Attribution::new(persons);
        for (key, changes) in tasks {
            self.ledger.restore(key, changes);
        }
        self.ledger.leave(nobodys.0, nobodys.1);
    }

    /// Tasks, with what they declare, have been at work since HEAD was at `since`, and this is what was seen of it.
    pub(super) fn resume(
        &mut self,
        tasks: Vec<(Node, String, Vec<Declared>)>,
        since: HeadState,
        seen: &Seen,
    ) -> Result<(), Error> {
        for (node, key, declared) in tasks {
            self.ledger.start(&key, declared);
            self.running.insert(node, key);
        }
        self.ledger.record(seen);
        self.head = since;
        self.look_at_head()
    }

    /// The branch that the run works on, where an earlier call of it has found that out.
    pub(super) fn set_branch(&mut self, branch: Option<String>) {
        self.branch = branch;
    }

    /// Whether the tree still has what a task had done by the journal: in what was found of it (`found`), or as somebody
    /// has committed it since.
    pub(super) fn still_has(&self, found: &[Change], done: &[TreeEntry]) -> Result<bool, Error> {
        let done: BTreeMap<RepoPath, Change> =
            done.iter().map(Change::from_wire).map(|change| (change.path.clone(), change)).collect();
        let missing = done.values().filter(|change| !found.iter().any(|found| found.path == change.path));
        let gone = self.repo.differs(missing.map(|change| (&change.path, change.new.as_ref())))?;
        Ok(gone.is_empty())
    }

    /// The driver is about to wait: others may work in the tree from here on.
    pub(super) fn stale(&mut self) {
        self.fresh = false;
    }

    /// Looks at the tree and at HEAD, unless nothing can have changed.
    fn look(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.fresh, true) {
            return Ok(());
        }
        let seen = self.snapshot.look_among(&|path| self.ledger.candidates(path))?;
        self.ledger.record(&seen);
        self.look_at_head()
    }

    fn look_at_head(&mut self) -> Result<(), Error> {
        let now = self.repo.head()?;
        match self.repo.moved(&self.head, &now)? {
            Moved::No => {}
            Moved::Commits(commits) => match self.running.keys().copied().collect::<Vec<_>>()[..] {
                [] => {}
                [alone] => self.commits.entry(alone).or_default().extend(commits),
                _ => self.blame("commits were made while several tasks ran in the same tree, nobody can tell by whom"),
            },
            Moved::Other(what) => self.blame(&what),
        }
        self.head = now;
        Ok(())
    }

    fn blame(&mut self, what: &str) {
        for node in self.running.keys() {
            self.moved.entry(*node).or_insert_with(|| what.to_owned());
        }
    }

    /// A try is about to start.
    pub(super) fn start(&mut self, node: Node, key: &str, declared: Vec<Declared>) -> Result<(), Error> {
        self.look()?;
        self.ledger.start(key, declared);
        self.running.insert(node, key.to_owned());
        Ok(())
    }

    /// A try ended: what is the task's since its first one, what became of HEAD, and which commits it made.
    pub(super) fn end(
        &mut self,
        node: Node,
        key: &str,
        reported: impl IntoIterator<Item = RepoPath>,
    ) -> Result<(Taken, Head, Vec<Oid>), Error> {
        self.look()?;
        self.running.remove(&node);
        self.ledger.end(key, reported);
        let head = self.moved.remove(&node).map_or(Head::Fine, Head::Moved);
        Ok((self.ledger.taken(key), head, self.commits.get(&node).cloned().unwrap_or_default()))
    }

    /// What a Verify wrote is nobody's.
    pub(super) fn verified(&mut self) -> Result<Vec<Change>, Error> {
        let seen = self.snapshot.look()?;
        self.ledger.record_verify(&seen);
        self.fresh = true;
        Ok(seen.changes)
    }

    /// What we did to the tree ourselves is settled.
    pub(super) fn own_change(&mut self, paths: &[RepoPath]) -> Result<(), Error> {
        let seen = self.snapshot.look_among(&|path| self.ledger.candidates(path))?;
        self.ledger.record_own(&seen, paths);
        self.head = self.repo.head()?;
        Ok(())
    }

    /// Whether somebody has checked out another branch since the run began; what, for people.
    pub(super) fn switched(&mut self) -> Result<Option<String>, Error> {
        let now = self.repo.head()?;
        if now.branch == self.branch {
            self.head = now;
            return Ok(None);
        }
        let name = |branch: Option<&str>| branch.unwrap_or("a detached HEAD").to_owned();
        let short = self.branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
        Ok(Some(format!(
            "the run works on {} and {} is checked out now; check it out again and run `spec run` once more",
            name(short),
            name(now.branch_name())
        )))
    }
}
