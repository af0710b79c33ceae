//! Landing what was made in slots: the commits of a batch as a chain on the tip, checked as they are merged where that is
//! asked for, one move of the branch, and the user's tree brought to it. See `docs/design/005-trees-and-landing.md`.
//!
//! The engine lands one task after the other; the first of them decides for all that follow it, and what came of each is
//! noted in its [`Own::outcome`](super::driver::Own) until its turn comes.

use std::collections::HashSet;

use super::attempt::{Attempt, Brake, Ran, aside};
use super::clock;
use super::driver::{Done, Driver, Fatal};
use super::landing::{MOVED_TRIES, commit_made, committed, learn, tick};
use super::slots::{Claim, Workspace};
use crate::cli::settings::LandingVerify;
use crate::engine::{Code, Event as Told, Failure, Halt, Kind, Node, Phase};
use crate::git::{CommitError, CommitRequest, FileEdit, NewCommit, Oid};

/// A batch on its way.
pub(super) struct Batch {
    /// The task whose turn it is; it answers for the batch.
    first: Node,
    /// All of it, in order.
    nodes: Vec<Node>,
    /// What does not land this time.
    out: HashSet<Node>,
    /// The chain.
    commits: Vec<(Node, NewCommit)>,
    /// How often the branch was moved by somebody else.
    moved: usize,
    /// Ends the check of the merged tree.
    pub(super) brake: Brake,
}

/// How the check of a merged batch came out.
pub(super) struct Merged {
    result: Result<Checked, String>,
    space: Option<Box<Workspace>>,
}

enum Checked {
    /// It passes.
    Good,
    /// With this commit of the chain it does not pass any more.
    Bad(usize, Failure),
    /// It does not pass without any of it.
    BadBefore(Failure),
    /// The run is ending.
    Stopped,
}

/// What is to be run on a commit of the chain.
struct Check {
    commit: Oid,
    scripts: Vec<String>,
}

impl Driver {
    /// Whether what a task did is to land from a tree of its own.
    pub(super) fn is_apart(&self, node: Node) -> bool {
        let life = &self.parts.lives[node];
        let has_work = life.own.as_ref().is_some_and(|own| own.work.is_some());
        has_work || (self.parts.engine.own_tree(node) && life.changes().is_empty())
    }

    pub(super) fn has_outcome(&self, node: Node) -> bool {
        self.parts.lives[node].own.as_ref().is_some_and(|own| own.outcome.is_some())
    }

    fn outcome(&mut self, node: Node, outcome: Result<(), Failure>) {
        self.parts.lives[node].own.get_or_insert_default().outcome = Some(outcome);
    }

    /// Lands a task and those of its batch that follow it; false while the merged tree is being checked.
    pub(super) fn land_batch(&mut self, first: Node) -> Result<bool, Fatal> {
        let behind = self.landing.iter().skip_while(|node| **node != first).copied();
        let mut nodes: Vec<Node> = behind.take_while(|node| self.is_apart(*node)).collect();
        if nodes.is_empty() {
            nodes.push(first);
        }
        self.look_at_list()?;
        let (out, commits) = (HashSet::new(), Vec::new());
        self.go_on(Batch { first, nodes, out, commits, moved: 0, brake: Brake::new() })
    }

    fn go_on(&mut self, mut batch: Batch) -> Result<bool, Fatal> {
        while batch.moved < MOVED_TRIES {
            if !self.make_chain(&mut batch)? {
                return Ok(true);
            }
            if let Some(checks) = self.checks(&batch) {
                self.check(batch, checks)?;
                return Ok(false);
            }
            if self.publish(&batch)? {
                return Ok(true);
            }
            batch.moved += 1;
        }
        self.stop_all(&batch, "the branch is moved by somebody else all the time; run `spec run` once more");
        Ok(true)
    }

    /// Nothing of it lands, and a person is needed.
    fn stop_all(&mut self, batch: &Batch, reason: &str) {
        self.notice("warning", "conflict", reason);
        self.told.push_front(Told::Halt(Halt::Conflict));
        for node in &batch.nodes {
            if !batch.out.contains(node) {
                self.outcome(*node, Err(Failure::new(Code::Conflict, reason)));
            }
        }
    }

    /// Makes the commits, each on the one before it. What does not fit stays out, and what builds on that. False where
    /// nothing can land at all.
    fn make_chain(&mut self, batch: &mut Batch) -> Result<bool, Fatal> {
        batch.commits.clear();
        let Some(tree) = &mut self.parts.tree else { return Ok(false) };
        if let Some(what) = tree.switched()? {
            self.stop_all(batch, &what);
            return Ok(false);
        }
        let mut at = tree.head.clone();
        let (list, progress) = (tree.own.list.clone(), tree.own.progress.clone());
        let spec = self.parts.paths.name();
        let mut before: Vec<usize> = Vec::new();
        let mut made = Vec::new();
        for at_node in 0..batch.nodes.len() {
            let node = batch.nodes[at_node];
            let needs = self.parts.engine.needs(node);
            if batch.out.contains(&node) || needs.iter().any(|need| need.blocks && batch.out.contains(&need.node)) {
                batch.out.insert(node);
                continue;
            }
            let draft = self.draft(node, &before);
            let prepared = {
                let parts = &mut self.parts;
                let own = parts.lives[node].own.as_deref();
                let tick = tick(&parts.board, &parts.list, &before, &draft.ticks);
                let learn = learn(&spec, &draft);
                let edits = [FileEdit { path: &list, edit: &tick }, FileEdit { path: &progress, edit: &learn }];
                let edits = if draft.parent { &edits[..1] } else { &edits[..] };
                let request = CommitRequest {
                    changes: parts.lives[node].changes(),
                    edits,
                    message: &draft.message,
                    trailers: &draft.trailers(&parts.run),
                    work: own.and_then(|own| own.work.as_ref()),
                };
                let Some(committer) = parts.tree.as_mut().and_then(|tree| tree.committer.as_mut()) else { continue };
                committer.prepare(&at, &request)
            };
            let failure = match prepared {
                Ok(prepared) => {
                    before.extend(&draft.ticks);
                    self.say_not_added(&prepared.not_added);
                    if let Some(commit) = prepared.commit {
                        at.commit = Some(commit.id.clone());
                        made.push(commit_made(&draft.task, &commit));
                        batch.commits.push((node, commit));
                    }
                    self.outcome(node, Ok(()));
                    continue;
                }
                Err(CommitError::Conflict { paths }) => {
                    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                    let tip = at.commit.as_ref().map_or("", |tip| tip.as_str().get(..7).unwrap_or_default());
                    let reason = format!("does not fit what is on the branch ({tip}): {}", paths.join(", "));
                    Failure::new(Code::Conflict, reason)
                }
                Err(error) => {
                    let text = error.to_string();
                    let (reason, rest) = text.split_once('\n').unwrap_or((&text, ""));
                    Failure::new(Code::CommitFailed, reason.trim_end_matches(':')).with_evidence(rest)
                }
            };
            batch.out.insert(node);
            self.outcome(node, Err(failure));
        }
        if !made.is_empty() {
            self.parts.journal.append_all(&made, &clock::timestamp())?;
            self.parts.journal.sync()?;
        }
        Ok(true)
    }

    /// A ref for where the branch was before this step landed anything, where there is none yet: `spec undo` needs it.
    pub(super) fn note(&self) -> Option<String> {
        let step = self.step_number;
        // Parents that are checked between two steps belong to the one before.
        let first = !self.noted.contains(&step) && (step > 0 || self.noted.is_empty());
        first.then(|| format!("refs/spec/run/{}/{step}", self.parts.run))
    }

    /// Moves the branch to the end of the chain. False where it has been moved by somebody else.
    fn publish(&mut self, batch: &Batch) -> Result<bool, Fatal> {
        if batch.commits.is_empty() {
            return Ok(true);
        }
        let Some(tree) = &self.parts.tree else { return Ok(true) };
        let (list, progress) = (tree.own.list.clone(), tree.own.progress.clone());
        let spec = self.parts.paths.name();
        let mut before: Vec<usize> = Vec::new();
        let mut drafts = Vec::new();
        for (node, _) in &batch.commits {
            let draft = self.draft(*node, &before);
            before.extend(&draft.ticks);
            drafts.push(draft);
        }
        let note = self.note();
        let landed = {
            let parts = &mut self.parts;
            let ticks: Vec<_> = drafts.iter().map(|it| tick(&parts.board, &parts.list, &[], &it.ticks)).collect();
            let learns: Vec<_> = drafts.iter().map(|draft| learn(&spec, draft)).collect();
            let edits: Vec<[FileEdit<'_>; 2]> = ticks
                .iter()
                .zip(&learns)
                .map(|(tick, learn)| [FileEdit { path: &list, edit: tick }, FileEdit { path: &progress, edit: learn }])
                .collect();
            let requests = drafts.iter().zip(&edits).map(|(draft, edits)| CommitRequest {
                changes: &[],
                edits: if draft.parent { &edits[..1] } else { edits },
                message: &draft.message,
                trailers: &[],
                work: None,
            });
            let chain: Vec<(NewCommit, CommitRequest<'_>)> =
                batch.commits.iter().map(|(_, commit)| commit.clone()).zip(requests).collect();
            let Some(committer) = parts.tree.as_mut().and_then(|tree| tree.committer.as_mut()) else { return Ok(true) };
            committer.land(&chain, note.as_deref())
        };
        match landed {
            Ok(landed) => {
                self.noted.insert(self.step_number);
                if let Some(tree) = &mut self.parts.tree {
                    tree.own_change(&landed.paths)?;
                }
                let mut events = Vec::new();
                for (node, commit) in &batch.commits {
                    events.push(committed(&self.task(*node), commit));
                    self.parts.lives[*node].commit = Some(commit.id.to_string());
                }
                self.emit_all(events)?;
                if let Some(error) = landed.unfinished {
                    let message = format!("{error}; the next `spec run` makes up for it");
                    self.notice("warning", "tree-not-updated", &message);
                }
            }
            Err(CommitError::HeadMoved { .. }) => return Ok(false),
            Err(error @ CommitError::Overlap { .. }) => {
                self.stop_all(batch, &format!("{error}; commit or stash them and run `spec run` once more"));
            }
            Err(error) => {
                for (node, _) in &batch.commits {
                    self.outcome(*node, Err(Failure::new(Code::CommitFailed, error.to_string())));
                }
            }
        }
        Ok(true)
    }

    // ---- green after, not only before ----------------------------------------------------------------------------

    /// What is to be run on which commit: first of all on the one before the chain, then on each of it. None where nothing
    /// is.
    fn checks(&mut self, batch: &Batch) -> Option<Vec<Check>> {
        let verify = self.parts.settings.landing_verify;
        let tip = self.parts.tree.as_ref()?.head.commit.clone()?;
        if verify == LandingVerify::None || batch.commits.is_empty() {
            return None;
        }
        let mut scripts: Vec<String> = match verify {
            LandingVerify::Command => self.parts.settings.landing_command.iter().cloned().collect(),
            _ => Vec::new(),
        };
        let mut checks = vec![Check { commit: tip, scripts: scripts.clone() }];
        for (node, commit) in &batch.commits {
            if verify == LandingVerify::Task && self.parts.engine.kind(*node) != Kind::Parent {
                scripts.extend(self.job(*node).verify.iter().cloned());
            }
            checks.push(Check { commit: commit.id.clone(), scripts: scripts.clone() });
        }
        (!scripts.is_empty()).then_some(checks)
    }

    /// Has the chain checked, in a slot.
    fn check(&mut self, batch: Batch, checks: Vec<Check>) -> Result<(), Fatal> {
        let node = batch.first;
        let job = self.job(node);
        let Some(slots) = &mut self.parts.slots else { return Ok(()) };
        let Some(last) = checks.last() else { return Ok(()) };
        let claim = slots.claim(last.commit.clone(), None, "", Vec::new());
        let timeout = self.parts.settings.timeout.as_millis().try_into().unwrap_or(u64::MAX);
        let own = self.parts.lives[node].own.get_or_insert_default();
        let root = std::mem::replace(&mut own.root, claim.root());
        let mut attempt = self.attempt(node, self.parts.lives[node].attempt, timeout, &job, Some(claim.base()));
        if let Some(own) = &mut self.parts.lives[node].own {
            own.root = root;
        }
        attempt.cwd.clone_from(&attempt.root);
        let brake = batch.brake.clone();
        self.phase(node, "merging")?;
        self.batch = Some(batch);
        self.workers.spawn(async move { Done::Merged(examine(attempt, claim, checks, brake).await) });
        Ok(())
    }

    /// The check of a batch came out.
    pub(super) fn merged(&mut self, merged: Merged) -> Result<(), Fatal> {
        self.give_back(merged.space);
        let Some(mut batch) = self.batch.take() else { return Ok(()) };
        let first = batch.first;
        let done = match merged.result {
            Ok(Checked::Good) => {
                self.publish(&batch)? || {
                    batch.moved += 1;
                    self.go_on(batch)?
                }
            }
            Ok(Checked::Bad(at, failure)) => {
                let guilty = batch.commits[at].0;
                batch.out.insert(guilty);
                self.outcome(guilty, Err(failure));
                self.go_on(batch)?
            }
            Ok(Checked::BadBefore(failure)) => {
                self.cancel(&batch);
                let message = format!(
                    "{}: the branch does not pass before anything lands on it; mend that first",
                    failure.reason
                );
                self.give_up(Fatal { message, halt: Halt::Fatal });
                true
            }
            Ok(Checked::Stopped) => {
                self.cancel(&batch);
                true
            }
            Err(message) => {
                self.cancel(&batch);
                self.give_up(Fatal { message, halt: Halt::Fatal });
                true
            }
        };
        if done {
            let result = self.land(first)?;
            self.told.push_back(Told::Landed { node: first, result });
        }
        Ok(())
    }

    /// It passed and lands in a later run.
    fn cancel(&mut self, batch: &Batch) {
        for node in batch.nodes.iter().filter(|node| !batch.out.contains(node)) {
            self.outcome(*node, Err(Failure::new(Code::Cancelled, "the run ended before it could land")));
        }
    }

    // ---- what does not land ---------------------------------------------------------------------------------------

    /// What a task left in its own tree, or had made before, is kept under a ref; the tree is free for others.
    pub(super) fn salvage_own(&mut self, node: Node, say: bool) -> Result<Option<String>, Fatal> {
        // What passed lands in a later run: the journal knows its commit.
        let waits = matches!(self.parts.engine.phase(node), Phase::Passed | Phase::Landing);
        let Some(mut own) = self.parts.lives[node].own.take_if(|_| !waits) else { return Ok(None) };
        let (task, spec) = (self.task(node), self.parts.paths.name());
        let mut work = own.work.take().or(own.saved.take());
        if let Some(space) = &own.space {
            work = space.save(&format!("what task {} of {spec} left\n", task.task))?;
        }
        self.give_back(own.space.take());
        let attempt = self.parts.lives[node].attempt;
        let committer = self.parts.tree.as_mut().and_then(|tree| tree.committer.as_mut());
        let (Some(work), Some(committer)) = (work, committer) else { return Ok(None) };
        let name = committer.keep_work(&spec, &task.task, attempt, &work.commit)?;
        if say {
            self.notice(
                "info",
                "salvaged",
                &format!("what task {} had done is kept as {name}; see `spec rescue`", task.task),
            );
        }
        Ok(Some(name))
    }

    /// A task that did not fit often enough: both sides are kept, and said.
    pub(super) fn keep_both_sides(&mut self, node: Node, failure: &Failure) -> Result<(), Fatal> {
        let (task, spec) = (self.task(node), self.parts.paths.name());
        let attempt = self.parts.lives[node].attempt;
        let own = self.parts.lives[node].own.as_deref();
        let Some(work) = own.and_then(|own| own.work.clone()) else { return Ok(()) };
        let Some(tree) = &mut self.parts.tree else { return Ok(()) };
        let (Some(tip), Some(committer)) = (&tree.head.commit, &mut tree.committer) else { return Ok(()) };
        let theirs = committer.keep_work(&spec, &task.task, attempt, &work.commit)?;
        let ours = committer.keep_work(&spec, &format!("{}-tip", task.task), attempt, tip)?;
        let message = format!(
            "task {} {}; its side is kept as {theirs}, the branch's as {ours}; merge them and tick its box, or `spec run` tries it anew",
            task.task, failure.reason
        );
        self.notice("warning", "conflict", &message);
        Ok(())
    }
}

/// Finds out whether the chain passes as a whole, and if not, with which commit it does not pass any more.
async fn examine(attempt: Attempt, claim: Claim, checks: Vec<Check>, brake: Brake) -> Merged {
    let mut space = match attempt.enter(claim, &brake).await {
        Ok(space) => space,
        Err(reason) => return Merged { result: Err(reason), space: None },
    };
    let (mut good, mut bad) = (None, checks.len() - 1);
    let mut at = bad;
    let mut seen: Option<Failure> = None;
    loop {
        let commit = checks[at].commit.clone();
        space = match aside(move || space.go_to(&commit).map(|()| space)).await {
            Ok(space) => space,
            Err(reason) => return Merged { result: Err(reason), space: None },
        };
        let scripts = checks[at].scripts.clone();
        let wanted = scripts.len();
        let ran = attempt.clone().scripts(scripts, brake.clone()).await;
        if brake.pulled() {
            return Merged { result: Ok(Checked::Stopped), space: Some(space) };
        }
        if ran.len() == wanted && ran.iter().all(Ran::success) {
            good = Some(at);
        } else {
            bad = at;
            let last = ran.last();
            let what = last.map_or("", |ran| ran.script.lines().next().unwrap_or_default());
            let reason = format!("`{what}` does not pass once it is merged");
            seen =
                Some(Failure::new(Code::VerifyMerged, reason).with_evidence(last.map(Ran::tail).unwrap_or_default()));
        }
        // All of it passes, or the two are neighbours: `bad` is the first that does not.
        let from = good.map_or(0, |good| good + 1);
        at = match (seen.is_some(), from < bad) {
            (false, _) => return Merged { result: Ok(Checked::Good), space: Some(space) },
            (true, true) => usize::midpoint(from, bad - 1),
            (true, false) => break,
        };
    }
    let failure = seen.unwrap_or_else(|| Failure::new(Code::VerifyMerged, "does not pass once it is merged"));
    let result = if bad == 0 { Checked::BadBefore(failure) } else { Checked::Bad(bad - 1, failure) };
    Merged { result: Ok(result), space: Some(space) }
}
