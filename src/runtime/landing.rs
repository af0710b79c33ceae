//! Landing: of each task that passed, in index order, its commit, its progress and its tick; and what becomes of a task
//! that failed for good.
//!
//! In this order, so that a crash at any point can be finished by the next start: the intent is in the journal and
//! synced (`landing`); a commit object is made and noted (`commit_made`, synced); the branch moves to it; progress is
//! merged on disk; the box is ticked on disk; `task_complete` is noted. Whatever is done twice changes nothing.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::board::{Board, ListFile};
use super::clock;
use super::driver::{Driver, Fatal};
use crate::document;
use crate::engine::{Code, Event as Told, Failure, Halt, Kind, Node, Phase};
use crate::git::{Change, CommitError, CommitRequest, FileEdit, NewCommit, Oid, Prepared, RepoPath};
use crate::plan::Mode;
use crate::store::event::{Event, TaskRef};
use crate::store::fs::PathError;
use crate::store::progress::{self, Ended, Entry, Now};

/// How many tasks without commits are entered and ticked with one write: what is held for it stays small.
const TOGETHER: usize = 500;
/// How often a commit is made anew because somebody else moved the branch in between.
pub(super) const MOVED_TRIES: usize = 5;

impl Driver {
    /// These are about to land. From here on it is finished, whatever happens.
    pub(super) fn landing(&mut self, nodes: &[Node]) -> Result<(), Fatal> {
        self.landing = nodes.to_vec();
        for some in nodes.chunks(TOGETHER) {
            let mut events: Vec<Event> = some.iter().filter_map(|node| self.take_again(*node)).collect();
            events.push(Event::Landing { tasks: some.iter().map(|node| self.task(*node)).collect() });
            self.emit_all(events)?;
        }
        self.parts.journal.sync()?;
        let commits = self.parts.tree.as_ref().is_some_and(|tree| tree.committer.is_some());
        if !commits && nodes.len() > 1 {
            // Nothing comes between two tasks that a person could see: one write for many.
            for some in nodes.chunks(TOGETHER) {
                self.land_on_disk(some)?;
                self.landed_early.extend(some);
            }
        }
        Ok(())
    }

    /// What is a task's is final only when no task runs any more that ran beside it: one that ended later may have said
    /// whose a change was.
    fn take_again(&mut self, node: Node) -> Option<Event> {
        if self.is_apart(node) {
            return None;
        }
        let task = self.task(node);
        let taken = self.parts.tree.as_ref()?.ledger.taken(&task.key);
        let life = &mut self.parts.lives[node];
        if life.taken.as_deref().is_some_and(|known| *known == taken) || self.parts.engine.kind(node) == Kind::Parent {
            return None;
        }
        let entries = taken.changes.iter().map(Change::to_wire).collect();
        life.taken = Some(Box::new(taken));
        Some(Event::TaskTaken { task, attempt: life.attempt, entries, commits: Vec::new() })
    }

    /// Lands one task. An error of the store or of git ends the run; what the task did wrong is the inner result.
    pub(super) fn land(&mut self, node: Node) -> Result<Result<(), Failure>, Fatal> {
        if self.parts.tree.is_some() {
            self.job(node);
        }
        let outcome = self.parts.lives[node].own.as_mut().and_then(|own| own.outcome.take());
        if let Some(outcome) = outcome {
            if let Err(failure) = outcome {
                let last = self.parts.engine.conflicts(node) >= self.parts.settings.max_conflicts;
                if failure.code == Code::Conflict && last && self.parts.engine.halt().is_none() {
                    self.keep_both_sides(node, &failure)?;
                }
                return Ok(Err(failure));
            }
            self.land_on_disk(&[node])?;
        } else if !self.landed_early.remove(&node) {
            if let Err(failure) = self.commit(node)? {
                return Ok(Err(failure));
            }
            self.land_on_disk(&[node])?;
        }
        self.complete(node)?;
        Ok(Ok(()))
    }

    fn complete(&mut self, node: Node) -> Result<(), Fatal> {
        let task = self.task(node);
        let commit = self.parts.lives[node].commit.clone();
        if self.parts.engine.kind(node) == Kind::Parent {
            self.emit(Event::ParentComplete { task, commit })?;
            return Ok(());
        }
        if let Some(tree) = &mut self.parts.tree {
            tree.ledger.forget(&task.key, &[]);
        }
        let life = &mut self.parts.lives[node];
        life.own = None;
        (life.job, life.taken, life.made, life.failure) = (None, None, None, None);
        life.progress = String::new();
        let event = Event::TaskComplete {
            task,
            attempt: life.attempt,
            title: self.parts.board.entries[node].title.clone(),
            commit,
            verify: if life.verified { "pass" } else { "none" }.to_owned(),
            seconds: life.seconds,
        };
        self.emit(event)?;
        self.summary.completed += 1;
        if self.parts.board.plan.group_of(self.parts.board.entries[node].task.index).is_some() {
            self.summary.parallel += 1;
        } else {
            self.summary.sequential += 1;
        }
        self.tell_in_graph(node);
        Ok(())
    }

    fn tell_in_graph(&mut self, node: Node) {
        if self.parts.board.plan.mode == Mode::Graph {
            self.to_tell.push(node);
        }
    }

    /// Makes the task's commit and moves the branch to it.
    fn commit(&mut self, node: Node) -> Result<Result<(), Failure>, Fatal> {
        self.look_at_list()?;
        let Some(tree) = &mut self.parts.tree else { return Ok(Ok(())) };
        let taken = self.parts.lives[node].taken.as_deref();
        let overlaps: Vec<String> = taken.iter().flat_map(|it| &it.overlaps).map(ToString::to_string).collect();
        if !overlaps.is_empty() {
            let reason = format!(
                "uncommitted changes of yours are in its way: {}; commit or stash them and run `spec run` once more",
                overlaps.join(", ")
            );
            return Ok(Err(self.conflict(reason)));
        }
        if tree.committer.is_none() {
            return Ok(Ok(()));
        }
        for _ in 0..MOVED_TRIES {
            match self.try_commit(node)? {
                Ok(None) => return Ok(Ok(())),
                Ok(Some(failure)) => return Ok(Err(failure)),
                Err(CommitError::HeadMoved { .. }) => {}
                Err(CommitError::Conflict { paths }) => {
                    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                    return Ok(Err(self.conflict(format!("does not fit what is on the branch: {}", paths.join(", ")))));
                }
                Err(error) => {
                    let text = error.to_string();
                    let (reason, rest) = text.split_once('\n').unwrap_or((&text, ""));
                    let failure = Failure::new(Code::CommitFailed, reason.trim_end_matches(':'));
                    return Ok(Err(failure.with_evidence(rest)));
                }
            }
        }
        Ok(Err(self.conflict("the branch is moved by somebody else all the time; run `spec run` once more".to_owned())))
    }

    /// In the shared tree: a person is needed.
    fn conflict(&mut self, reason: String) -> Failure {
        self.notice("warning", "conflict", &reason);
        self.told.push_front(Told::Halt(Halt::Conflict));
        Failure::new(Code::Conflict, reason)
    }

    /// One try: no failure, the failure of the task, or an error of the commit.
    fn try_commit(&mut self, node: Node) -> Result<Result<Option<Failure>, CommitError>, Fatal> {
        let Some(tree) = &mut self.parts.tree else { return Ok(Ok(None)) };
        if let Some(what) = tree.switched()? {
            return Ok(Ok(Some(self.conflict(what))));
        }
        let head = tree.head.clone();
        let (list, progress_path) = (tree.own.list.clone(), tree.own.progress.clone());
        let spec = self.parts.paths.name();
        let draft = self.draft(node, &[]);
        let made = self.parts.lives[node].made.take();
        let beginning = self.note();
        let tick = tick(&self.parts.board, &self.parts.list, &[], &draft.ticks);
        let learn = learn(&spec, &draft);
        let edits = [FileEdit { path: &list, edit: &tick }, FileEdit { path: &progress_path, edit: &learn }];
        let edits = if draft.parent { &edits[..1] } else { &edits[..] };
        let trailers = draft.trailers(&self.parts.run);
        let changes: &[Change] = self.parts.lives[node].changes();
        let Draft { message, task, .. } = &draft;
        let request = CommitRequest { changes, edits, message, trailers: &trailers, work: None };
        let Some(tree) = &mut self.parts.tree else { return Ok(Ok(None)) };
        let Some(committer) = &mut tree.committer else { return Ok(Ok(None)) };
        let mut events = Vec::new();
        let mut published = None;
        let mut prepared = Prepared { commit: None, not_added: Vec::new() };
        // A run that was killed may have made the commit already, and moved the branch or not.
        let made = made.and_then(|made| {
            let id = Oid::parse(made.commit.as_bytes())?;
            let parent = made.parent.and_then(|parent| Oid::parse(parent.as_bytes()));
            let subject = message.lines().next().unwrap_or_default().to_owned();
            Some(NewCommit::recorded(id, parent, head.branch.clone(), subject))
        });
        if let Some(commit) = made {
            match committer.recover(&commit, &request, beginning.as_deref()) {
                Ok(Some(done)) => {
                    published = Some(done);
                    events.push(committed(task, &commit));
                    prepared.commit = Some(commit);
                }
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        if prepared.commit.is_none() {
            prepared = match committer.prepare(&head, &request) {
                Ok(prepared) => prepared,
                Err(error) => return Ok(Err(error)),
            };
        }
        if let (Some(commit), true) = (&prepared.commit, published.is_none()) {
            let made = commit_made(task, commit);
            let journal = &mut self.parts.journal;
            journal.append(&made, &clock::timestamp())?;
            journal.sync()?;
            match committer.publish(commit, &request, beginning.as_deref()) {
                Ok(done) => published = Some(done),
                Err(error) => return Ok(Err(error)),
            }
            events.push(committed(task, commit));
        }
        let carried: Vec<RepoPath> =
            published.iter().flat_map(|it| &it.carried).map(|change| change.path.clone()).collect();
        tree.own_change(&carried)?;
        self.parts.lives[node].commit = prepared.commit.as_ref().map(|commit| commit.id.to_string());
        drop((tick, learn));
        self.emit_all(events)?;
        self.say_not_added(&prepared.not_added);
        if let Some(published) = published {
            if published.noted {
                self.noted.insert(self.step_number);
            }
            if let Some(error) = published.unfinished {
                self.notice("warning", "index-not-updated", &format!("{error}; the next `spec run` makes up for it"));
            }
            if !published.not_carried.is_empty() {
                let names: Vec<String> = published.not_carried.iter().map(ToString::to_string).collect();
                let message =
                    format!("a hook changed these in the commit, your tree has other contents: {}", names.join(", "));
                self.notice("warning", "not-carried", &message);
            }
        }
        Ok(Ok(None))
    }

    /// Files that git does not have: said once.
    pub(super) fn say_not_added(&mut self, paths: &[RepoPath]) {
        if !paths.is_empty() && !std::mem::replace(&mut self.not_added, true) {
            let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
            let message = format!("not in git, so kept up to date on disk only: {}", names.join(", "));
            self.notice("info", "not-added", &message);
        }
    }

    /// What the commit of a task says, when it lands behind the items `before`, which are ticked by then.
    pub(super) fn draft(&mut self, node: Node, before: &[usize]) -> Draft {
        self.job(node);
        let index = self.parts.board.entries[node].task.index;
        let mut all = before.to_vec();
        all.push(index);
        let parents = self.parts.board.parents_done_with(&all);
        let mut ticks = vec![index];
        ticks.extend(parents.into_iter().filter(|parent| !before.contains(parent)));
        all.extend(&ticks);
        Draft {
            words: self.words(node),
            now: self.progress_now(&all),
            message: self.message(node),
            task: self.task(node),
            attempt: self.parts.lives[node].attempt.to_string(),
            parent: self.parts.engine.kind(node) == Kind::Parent,
            ticks,
        }
    }

    /// The commit's message: the task's own, or one made of its id and title; without secrets.
    fn message(&self, node: Node) -> String {
        let own = self.parts.lives[node].job.as_ref().and_then(|job| job.commit.clone());
        let own = own.filter(|message| !message.trim().is_empty());
        let message = own.unwrap_or_else(|| {
            let item = self.parts.board.item(node);
            let id = item.id.as_ref().map_or_else(String::new, |id| format!("{id} "));
            format!("chore({}): {id}{}", self.parts.paths.name(), item.title)
        });
        self.parts.mask.text(&message).into_owned()
    }

    /// Merges the progress of these tasks on disk and ticks their boxes, and those of parents that are done with them.
    fn land_on_disk(&mut self, nodes: &[Node]) -> Result<(), Fatal> {
        self.enter_on_disk(nodes)?;
        for _ in 0..100 {
            let gone: Vec<Node> = nodes.iter().copied().filter(|node| self.parts.board.entries[*node].gone).collect();
            for node in &gone {
                let message = format!("task {} is no longer in the list: done, and not ticked", self.task(*node).task);
                self.notice("warning", "task-gone", &message);
            }
            let there = nodes.iter().filter(|node| !gone.contains(node));
            let mut ticks: Vec<usize> = there.map(|node| self.parts.board.entries[*node].task.index).collect();
            ticks.extend(self.parts.board.parents_done_with(&ticks));
            let (edits, single) = self.parts.board.ticks(&ticks);
            match self.parts.list.edit(&edits)? {
                None => {
                    let path = self.parts.list.path.to_string_lossy().into_owned();
                    self.parts.board.follow_ticks(&ticks, single, &self.parts.list.bytes, &path);
                    return self.keep_list();
                }
                Some(found) => self.adopt(found)?,
            }
        }
        Err(Fatal::written_all_the_time(&self.parts.shown))
    }

    /// Merges the progress of these tasks on disk.
    pub(super) fn enter_on_disk(&mut self, nodes: &[Node]) -> Result<(), PathError> {
        let indices: Vec<usize> = nodes.iter().map(|node| self.parts.board.entries[*node].task.index).collect();
        let now = self.progress_now(&indices);
        let tasks: Vec<Node> =
            nodes.iter().copied().filter(|node| self.parts.engine.kind(*node) != Kind::Parent).collect();
        let words: Vec<Words> = tasks.iter().map(|node| self.words(*node)).collect();
        let entries: Vec<Entry<'_>> = words.iter().map(|words| words.entry(Ended::Landed { commit: None })).collect();
        let isolated: Vec<PathBuf> = tasks.iter().map(|node| self.progress_file(*node)).collect();
        let isolated: Vec<&Path> = isolated.iter().map(PathBuf::as_path).collect();
        if !entries.is_empty() {
            progress::land(&self.parts.paths, &self.parts.mask, &entries, Some(&now.borrowed()), &isolated)?;
        }
        Ok(())
    }

    fn words(&self, node: Node) -> Words {
        let item = self.parts.board.item(node);
        let task = self.task(node);
        // An id that several tasks have names none of them.
        let (id, title) = match &item.id {
            Some(id) if *id != task.task => (None, format!("{id} {}", item.title)),
            id => (id.clone(), item.title.clone()),
        };
        Words {
            label: task.task,
            id,
            title,
            ordinal: task.key.rsplit('~').next().and_then(|ordinal| ordinal.parse().ok()).unwrap_or_default(),
            text: self.parts.lives[node].progress.clone(),
        }
    }

    /// Where the run is once these items are ticked.
    fn progress_now(&self, ticks: &[usize]) -> Whereabouts {
        let settings = &self.parts.settings;
        let doc = &self.parts.board.doc;
        let work = |index: &usize| doc.is_work(*index, settings.include_notes, settings.include_optional);
        let (total, done) = self.count();
        let more = ticks.iter().filter(|index| work(index) && !doc.items[**index].checked).count();
        let open = |index: &usize| !doc.items[*index].checked && !ticks.contains(index);
        let next = self.parts.board.plan.open.iter().copied().find(open);
        let next = next.map(|index| match &doc.items[index].id {
            Some(id) => format!("{id} {}", doc.items[index].title),
            None => doc.items[index].title.clone(),
        });
        Whereabouts { done: done + more, total, next, time: Timestamp::now() }
    }

    /// What a task left is saved and taken out of the tree where it can be told apart; gives the name it is kept by.
    /// `in_place`: it stays in the shared tree.
    pub(super) fn set_aside(&mut self, node: Node, in_place: bool) -> Result<Option<String>, Fatal> {
        let task = self.task(node);
        let attempt = self.parts.lives[node].attempt;
        let salvage = self.salvage_own(node, false)?;
        if self.parts.engine.own_tree(node) || salvage.is_some() {
            return Ok(salvage);
        }
        let Some(tree) = &mut self.parts.tree else { return Ok(None) };
        let spec = self.parts.paths.name();
        let changes = self.parts.lives[node].taken.take().unwrap_or_default().changes;
        let saved = match &mut tree.committer {
            Some(_) if in_place => {
                tree.ledger.forget(&task.key, &changes);
                None
            }
            Some(committer) => committer.salvage(&spec, &task.task, attempt, &changes)?,
            // Nothing is committed, so what was made before is in the tree only: it stays as it is.
            None => None,
        };
        let Some(saved) = saved else { return Ok(None) };
        tree.ledger.forget(&task.key, &saved.left);
        let removed: Vec<RepoPath> = saved.removed.iter().map(|change| change.path.clone()).collect();
        tree.own_change(&removed)?;
        Ok(Some(saved.name))
    }

    /// A task failed for good.
    pub(super) fn failed(&mut self, node: Node, attempt: u32, failure: Failure) -> Result<(), Fatal> {
        let task = self.task(node);
        // Nothing is undone, and what is told apart against another HEAD would be taken out wrongly.
        let salvage = self.set_aside(node, failure.code == Code::MovedHead)?;
        let life = &mut self.parts.lives[node];
        life.salvage.clone_from(&salvage);
        // Where its attempts were used up before the run was killed, what happened then says more.
        let failure = match life.failure.take() {
            Some(known) if life.attempt == 0 && self.parts.settings.recovery => *known,
            _ => failure,
        };
        self.failed_for_good(node);
        let event = Event::TaskFailed {
            task,
            attempt,
            title: self.parts.board.entries[node].title.clone(),
            code: failure.code.name().to_owned(),
            reason: failure.reason.clone(),
            evidence: failure.evidence.clone(),
            salvage,
        };
        self.parts.lives[node].failure = Some(Box::new(failure));
        self.emit(event)?;
        self.tell_in_graph(node);
        Ok(())
    }

    /// What failed tasks learned is kept and says so, in index order, behind what landed.
    pub(super) fn keep_learnings_of_failed(&mut self, nodes: &[Node]) -> Result<(), Fatal> {
        for node in nodes {
            // What passed and waits for a person has not failed.
            if self.parts.lives[*node].job.is_none() || self.parts.engine.phase(*node) == Phase::Passed {
                continue;
            }
            let words = self.words(*node);
            let file = self.progress_file(*node);
            let life = &self.parts.lives[*node];
            let code = life.failure.as_ref().map(|failure| failure.code.name());
            let ended = code.map_or(Ended::Unfinished, |code| Ended::Failed { code });
            if !words.text.trim().is_empty() {
                progress::land(&self.parts.paths, &self.parts.mask, &[words.entry(ended)], None, &[&file])?;
            }
        }
        Ok(())
    }
}

pub(super) fn committed(task: &TaskRef, commit: &NewCommit) -> Event {
    Event::Commit { task: task.clone(), commit: commit.id.to_string(), subject: commit.subject.clone() }
}

pub(super) fn commit_made(task: &TaskRef, commit: &NewCommit) -> Event {
    Event::CommitMade {
        task: task.clone(),
        commit: commit.id.to_string(),
        parent: commit.parent.as_ref().map(ToString::to_string),
    }
}

/// What the commit of a task says, beside what the task did.
pub(super) struct Draft {
    /// The boxes that it ticks.
    pub(super) ticks: Vec<usize>,
    words: Words,
    now: Whereabouts,
    pub(super) message: String,
    pub(super) task: TaskRef,
    attempt: String,
    /// It is the check of a parent, of which there is no progress.
    pub(super) parent: bool,
}

impl Draft {
    /// The trailers of its commit.
    pub(super) fn trailers<'a>(&'a self, run: &'a str) -> [(&'static str, &'a str); 3] {
        [("Spec-Task", self.task.task.as_str()), ("Spec-Run", run), ("Spec-Attempt", &self.attempt)]
    }
}

/// Ticks boxes in a version of the list, in which those of `before` may be ticked already.
pub(super) fn tick<'a>(
    board: &'a Board,
    list: &'a ListFile,
    before: &[usize],
    ticks: &'a [usize],
) -> impl Fn(&[u8]) -> Option<Vec<u8>> + 'a {
    let known = document::apply(&list.bytes, &board.ticks(before).0);
    let path = list.path.to_string_lossy().into_owned();
    let both: Vec<usize> = before.iter().chain(ticks).copied().collect();
    move |bytes| {
        if *bytes == known[..] {
            return Some(document::apply(&list.bytes, &board.ticks(&both).0));
        }
        let (other, _) = document::parse(bytes.to_vec(), &path);
        let edits: Vec<_> = ticks.iter().filter_map(|index| board.doc.tick_in(*index, &other)).collect();
        (!edits.is_empty()).then(|| document::apply(bytes, &edits))
    }
}

/// Enters a task in a version of the progress file.
pub(super) fn learn<'a>(spec: &'a str, draft: &'a Draft) -> impl Fn(&[u8]) -> Option<Vec<u8>> + 'a {
    move |bytes| {
        let entry = draft.words.entry(Ended::Landed { commit: None });
        Some(progress::merge(bytes, spec, &[entry], Some(&draft.now.borrowed())))
    }
}

/// What is said of a task in the progress file.
struct Words {
    label: String,
    id: Option<String>,
    title: String,
    ordinal: usize,
    text: String,
}

impl Words {
    fn entry<'a>(&'a self, ended: Ended<'a>) -> Entry<'a> {
        let Self { label, id, title, ordinal, text } = self;
        Entry { label, id: id.as_deref(), title, ordinal: *ordinal, ended, text }
    }
}

/// Where the run is, for the progress file.
struct Whereabouts {
    done: usize,
    total: usize,
    next: Option<String>,
    time: Timestamp,
}

impl Whereabouts {
    fn borrowed(&self) -> Now<'_> {
        Now { done: self.done, total: self.total, current: None, next: self.next.as_deref(), time: self.time }
    }
}
