//! Tries that this program does not make itself: an agent session has its sub-agents make them, between two calls of
//! `spec next` and `spec finish`. Each call is a short turn of the same driver over the same journal. Where everything
//! that is left to do waits for the session, the driver puts the run down; the next call takes it up by recovery.
//!
//! Starting such a try notes [`Event::TaskHandedOut`] and spawns nothing. What the session says of its end is noted
//! ([`Event::TaskReported`]) and then goes through the gates like the end of a process. See
//! `docs/design/009-step-protocol.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use jiff::Timestamp;

use super::attempt::{Attempt, Ran, aside};
use super::clock;
use super::control::Command;
use super::driver::{Done, Driver, Fatal, Job, life_root};
use super::process::{Ended, Outcome, Stop};
use super::session::{Ask, Handed, Picture};
use super::slots::{Claim, Workspace};
use crate::cli::exit;
use crate::document;
use crate::engine::gates::Ownership;
use crate::engine::output::{Report, Status};
use crate::engine::{Code, Event as Told, Failure, Finish, Halt, Node, Phase};
use crate::git::{Change, Declared, HeadState, Oid, Slot};
use crate::store::event::{Event, HeadRecord};
use crate::store::fs::{Durability, create_folders, write_atomic};
use crate::store::lease::{self, Lease, LeasedTask};
use crate::store::recovery::{HandedOut, Reported};

/// What the driver knows of the session whose turn it is.
pub(super) struct Outside {
    pub(super) ask: Ask,
    /// The lease as the last call left it, or a new one.
    pub(super) lease: Lease,
    /// `<git-dir>/spec`, where there is one.
    pub(super) git: Option<PathBuf>,
    /// Where the answer of this call goes.
    pub(super) answer: Sender<Picture>,
    /// Tries that the session has.
    pub(super) out: BTreeMap<Node, Out>,
    /// When the run began.
    pub(super) began: Option<Timestamp>,
    /// The last record before this call.
    pub(super) from_seq: u64,
    /// What a person or the session asked of a task was carried out.
    pub(super) steered: bool,
}

/// A try that the session has.
pub(super) struct Out {
    pub(super) handed: HandedOut,
    /// The slot that it works in, where it has a tree of its own, and the commit that it began with.
    pub(super) slot: Option<(Option<Box<Slot>>, Oid)>,
    /// What was taken for its own already, by a call that was cut off behind that.
    pub(super) taken: Option<Vec<Change>>,
    /// It is to end, whatever the session says.
    pub(super) cancel: bool,
}

impl Outside {
    /// The session's name.
    pub(super) fn session(&self) -> &str {
        &self.lease.session
    }
}

impl Out {
    fn is_over(&self) -> bool {
        self.cancel || self.handed.report.is_some()
    }
}

/// What a task said that stands in no list any more.
pub(super) fn job_of(block: &str, settings: &crate::cli::settings::RunSettings) -> Option<Job> {
    let indent = block.len() - block.trim_start_matches([' ', '\t']).len();
    let cut = |line: &str| -> String {
        let white = line.bytes().take(indent).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        line[white..].to_owned()
    };
    let text: String = block.split_inclusive('\n').map(cut).collect();
    let (doc, _) = document::parse(text.into_bytes(), "tasks.md");
    doc.items.first().map(|item| Job::new(item, block.to_owned(), settings))
}

impl Driver {
    /// A try begins that the session is to make. Its own tree is made ready first.
    pub(super) fn hand_out(&mut self, node: Node, attempt: Attempt, claim: Option<Claim>) -> Result<(), Fatal> {
        let Some(claim) = claim else { return self.handed_out(node, None) };
        let brake = self.parts.lives[node].brake.clone();
        self.workers.spawn(async move {
            match attempt.enter(claim, &brake).await {
                Ok(space) => Done::Ready { node, space },
                Err(reason) => Done::Unfit { node, verify: false, reason },
            }
        });
        Ok(())
    }

    /// All is ready for a try: from here on it is the session's.
    pub(super) fn handed_out(&mut self, node: Node, space: Option<Box<Workspace>>) -> Result<(), Fatal> {
        if self.parts.engine.halt().is_some() {
            self.give_back(space);
            let result = Err(Failure::new(Code::Cancelled, "ended on request"));
            self.told.push_back(Told::Ended { node, result });
            return Ok(());
        }
        let (task, job) = (self.task(node), self.job(node));
        let attempt = self.parts.lives[node].attempt;
        let state = space.as_ref().map(|space| space.handed_out(&task.key));
        let (tree, made, nobodys) = match state {
            Some((tree, made, nobodys)) => (Some(tree), made, nobodys),
            None => (None, Vec::new(), Vec::new()),
        };
        let head = self.parts.tree.as_ref().filter(|_| space.is_none()).map(|tree| tree.head.to_wire());
        let handed = HandedOut {
            block: job.block.clone(),
            tree: tree.clone(),
            made: made.clone(),
            nobodys: nobodys.clone(),
            report: None,
            since: clock::timestamp(),
        };
        self.emit(Event::TaskHandedOut { task, attempt, block: job.block.clone(), tree, made, nobodys, head })?;
        let slot = space.map(|space| {
            let base = space.base.clone();
            (Some(space.into_slot()), base)
        });
        if let Some(outside) = &mut self.outside {
            outside.lease.progress += 1;
            outside.out.insert(node, Out { handed, slot, taken: None, cancel: false });
        }
        Ok(())
    }

    /// A person or the end of the run ends a try that the session has.
    pub(super) fn stop_outside(&mut self, node: Node) {
        let halted = self.parts.engine.halt().is_some();
        let Some(outside) = &mut self.outside else { return };
        // A call that is interrupted leaves the session what it has.
        if (!halted || outside.ask == Ask::Cancel)
            && let Some(out) = outside.out.get_mut(&node)
        {
            out.cancel = true;
        }
    }

    /// Ends the tries that the session says are over. Of those in the shared tree none before all are: until then nobody
    /// can tell whose a change is.
    pub(super) fn end_reported(&mut self) -> Result<(), Fatal> {
        let Some(outside) = &mut self.outside else { return Ok(()) };
        let all_shared = outside.out.values().filter(|out| out.slot.is_none()).all(Out::is_over);
        let mut over: Vec<Node> = Vec::new();
        for (node, out) in &outside.out {
            let together = out.slot.is_some() || out.cancel || all_shared;
            let looked_at = out.slot.as_ref().is_some_and(|(slot, _)| slot.is_none());
            if out.is_over() && together && !looked_at && self.parts.engine.phase(*node) == Phase::Running {
                over.push(*node);
            }
        }
        over.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        for node in over {
            self.bring_back(node)?;
        }
        Ok(())
    }

    /// A try is over: what it did to its tree is looked at, aside where that is its own.
    fn bring_back(&mut self, node: Node) -> Result<(), Fatal> {
        let job = self.job(node);
        let key = self.task(node).key;
        let Some(out) = self.outside.as_mut().and_then(|outside| outside.out.get_mut(&node)) else { return Ok(()) };
        let Some((slot, base)) = &mut out.slot else { return self.came_back(node, None) };
        let (Some(slot), base) = (slot.take(), base.clone()) else { return Ok(()) };
        let (handed, taken) = (out.handed.clone(), out.taken.take());
        let Some(slots) = &self.parts.slots else { return Ok(()) };
        let yard = Arc::clone(&slots.yard);
        let declared = declared(&job);
        self.workers.spawn(async move {
            let look = move || yard.take_back(slot, &handed, (&key, &base, declared), taken.as_deref());
            match aside(look).await {
                Ok(space) => Done::Back { node, space },
                Err(reason) => Done::Unfit { node, verify: false, reason },
            }
        });
        Ok(())
    }

    /// From here on it is as if a process had ended.
    pub(super) fn came_back(&mut self, node: Node, space: Option<Box<Workspace>>) -> Result<(), Fatal> {
        let Some(outside) = &mut self.outside else { return Ok(()) };
        let Some(out) = outside.out.remove(&node) else { return Ok(()) };
        outside.lease.progress += 1;
        let Reported { failed, no_change } = out.handed.report.unwrap_or_default();
        let stopped = out.cancel.then_some(Ended::Stopped(Stop::Cancel));
        let outcome = Outcome {
            exit: stopped.is_none().then_some(0),
            signal: None,
            ended: stopped.unwrap_or(Ended::Exited),
            duration: std::time::Duration::ZERO,
            output_bytes: 0,
            left_behind: 0,
            pipes_held: false,
            stdout_tail: Vec::new(),
            stderr_tail: Vec::new(),
            log_error: None,
            watch: None,
        };
        let report = Report {
            complete: true,
            no_change,
            status: failed.is_some().then_some(Status::Fail),
            blocker: failed,
            ..Report::default()
        };
        self.executor_ended(node, &[Ran { script: "session".to_owned(), outcome: Ok(outcome) }], &report, None, space)
    }

    /// Whether all that is left to do waits for the session.
    pub(super) fn waits_outside(&mut self) -> bool {
        if self.outside.is_none() || !self.told.is_empty() || !self.workers.is_empty() || self.batch.is_some() {
            return false;
        }
        if self.carry_out_ask() {
            return false;
        }
        let held = self.outside.as_ref().is_some_and(|outside| !outside.out.is_empty());
        held || self.parts.engine.paused() || self.parts.engine.next_wake().is_none()
    }

    /// What is asked about a task, once it is known where each is; true where there is something to do now.
    fn carry_out_ask(&mut self) -> bool {
        let Some(outside) = self.outside.as_mut().filter(|outside| !outside.steered) else { return false };
        outside.steered = true;
        let said = match outside.ask.clone() {
            Ask::Steer(Command::Pause) => self.pause_session(true),
            Ask::Steer(Command::Resume) => self.pause_session(false),
            Ask::Steer(command) => self.obey(&command),
            Ask::Cancel => self.obey(&Command::Cancel),
            Ask::Next | Ask::Finish(_) => return false,
        };
        match said {
            Ok(said) => self.notice("info", "steered", &said),
            Err(why) => self.notice("warning", "refused", &why),
        }
        self.turn();
        true
    }

    /// Nothing new is handed out until a person says so.
    fn pause_session(&mut self, paused: bool) -> Result<String, String> {
        self.emit(Event::Paused { paused }).map_err(|error| error.to_string())?;
        if let Some(outside) = &mut self.outside {
            outside.lease.paused = paused;
        }
        Ok(if paused { "paused: nothing new is handed out" } else { "going on with the next `spec next`" }.to_owned())
    }

    /// Whether the run goes on with a later call, although this one ends by a fault.
    pub(super) fn stays_open(&self) -> bool {
        let Some(outside) = &self.outside else { return false };
        match &self.finish {
            None | Some(Finish::Halted(Halt::Fatal | Halt::RunTimeout | Halt::Budget)) => true,
            Some(_) => outside.ask != Ask::Cancel && matches!(self.finish, Some(Finish::Halted(Halt::Terminate))),
        }
    }

    /// How long the run has taken.
    pub(super) fn wall_seconds(&self) -> f64 {
        let began = self.outside.as_ref().and_then(|outside| outside.began);
        began.map_or_else(
            || (clock::now() - self.parts.started).as_secs_f64(),
            |began| clock::wall().duration_since(began).as_secs_f64().max(0.0),
        )
    }

    /// Ends this call and leaves the run to the next one.
    pub(super) fn put_down(mut self) -> u8 {
        let mut exit = self.parts.engine.halt().map_or(exit::DONE, exit_of);
        if let Err(fatal) = self.keep_all(exit != exit::DONE) {
            self.notice("warning", "stopped", &fatal.message);
            exit = exit_of(fatal.halt);
        }
        self.parts.reporters.finish();
        let picture = self.picture(exit, None);
        if let Some(outside) = &self.outside {
            // Nobody may be there to take it.
            outside.answer.send(picture).ok();
        }
        exit
    }

    /// Everything that a later call needs.
    fn keep_all(&mut self, stopped: bool) -> Result<(), Fatal> {
        for node in 0..self.parts.lives.len() {
            self.keep_for_next_try(node)?;
        }
        self.close_committer();
        let state = self.state();
        self.parts.state_file.write(&state)?;
        self.keep_list()?;
        let mut figures = std::mem::take(&mut self.summary);
        // It is counted when it is taken up again.
        figures.steps -= usize::from(self.parts.engine.stage().is_some_and(|number| number > 0)).min(figures.steps);
        let head = self.parts.tree.as_ref().map(|tree| tree.head.to_wire());
        self.emit(Event::CallEnd { head, figures: Box::new(figures) })?;
        self.parts.journal.sync()?;
        self.write_lease(stopped)
    }

    /// What a task has made stays its own until its next try, in whichever tree that is.
    fn keep_for_next_try(&mut self, node: Node) -> Result<(), Fatal> {
        let waits = matches!(self.parts.engine.phase(node), Phase::Waiting | Phase::Ready | Phase::Backoff);
        let task = self.task(node);
        let life = &mut self.parts.lives[node];
        let attempt = life.attempt;
        let Some(own) = life.own.as_mut().filter(|_| waits) else { return Ok(()) };
        let Some(space) = own.space.take() else { return Ok(()) };
        let changes = life.taken.as_ref().map_or(&[][..], |taken| &taken.changes);
        let work = if own.afresh { None } else { space.keep(changes, "what a task had made before its next try\n")? };
        own.saved.clone_from(&work);
        self.give_back(Some(space));
        Ok(self.note_work(task, attempt, work)?)
    }

    /// The list as we know it: what is ticked in it from now on is somebody else's doing. Before `task_complete` is
    /// noted, so that what landed has its box ticked in it.
    pub(super) fn keep_list(&self) -> Result<(), Fatal> {
        if self.outside.is_some() {
            let path = self.parts.paths.kept_list(&self.parts.run);
            write_atomic(&path, &self.parts.list.bytes, Durability::Whole)?;
        }
        Ok(())
    }

    /// Writes the lease; `stopped` where this call ends by a fault.
    pub(super) fn write_lease(&mut self, stopped: bool) -> Result<(), Fatal> {
        let (total, done) = self.count();
        let tasks = self.leased();
        let step = self.parts.engine.stage().unwrap_or_default();
        let paused = self.outside.as_ref().is_some_and(|it| it.lease.paused);
        let ownership = match self.parts.settings.ownership {
            Ownership::Off => "off",
            Ownership::Warn => "warn",
            Ownership::Deny => "deny",
        };
        let parts = &self.parts;
        let Some(outside) = &mut self.outside else { return Ok(()) };
        let lease = &mut outside.lease;
        (lease.tasks, lease.step, lease.paused, lease.stopped) = (tasks, step, paused, stopped);
        // What landed is progress, too.
        lease.progress += done.saturating_sub(lease.done) as u64;
        (lease.total, lease.done) = (total, done);
        lease.run.clone_from(&parts.run);
        lease.host = crate::store::lock::host_name();
        parts.paths.list().clone_into(&mut lease.list);
        lease.root.clone_from(&parts.root);
        ownership.clone_into(&mut lease.ownership);
        lease.max_blocks = parts.settings.max_blocks;
        lease.write(&parts.paths.lease(), outside.git.as_deref())?;
        Ok(())
    }

    /// The run is over, and with it the lease.
    pub(super) fn end_lease(&mut self, exit: u8, outcome: &str) {
        let picture = self.picture(exit, Some(outcome));
        let Some(outside) = &self.outside else { return };
        // A lease that cannot be removed is free after a while.
        lease::end(&self.parts.paths.lease(), outside.git.as_deref()).ok();
        outside.answer.send(picture).ok();
    }

    /// Tries that the session has, in the order of the list.
    fn held(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.outside.iter().flat_map(|outside| outside.out.keys().copied()).collect();
        nodes.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        nodes
    }

    fn leased(&mut self) -> Vec<LeasedTask> {
        let mut leased = Vec::new();
        for node in self.held() {
            let (job, progress_file) = (self.job(node), self.progress_file(node));
            let reported = self.outside.as_ref().and_then(|outside| outside.out.get(&node)).is_some_and(Out::is_over);
            leased.push(LeasedTask {
                task: self.task(node).task,
                attempt: self.parts.lives[node].attempt,
                root: life_root(&self.parts, node).unwrap_or_else(|| self.parts.root.clone()),
                progress_file,
                files: job.files.iter().map(|file| file.path.clone()).collect(),
                reported,
            });
        }
        leased
    }

    /// What the session is to be told.
    fn picture(&mut self, exit: u8, outcome: Option<&str>) -> Picture {
        let mut tasks = Vec::new();
        for node in self.held() {
            let (job, progress_file) = (self.job(node), self.progress_file(node));
            let attempt = self.parts.lives[node].attempt;
            let own = life_root(&self.parts, node);
            let folder = own.clone().unwrap_or_else(|| self.parts.root.clone());
            let place = job.dir.as_ref().map_or_else(|| folder.clone(), |dir| folder.join(dir));
            let prompt = where_to_work(&place, &progress_file) + &self.prompt(node, attempt, &job);
            let file = self.parts.paths.prompt(&self.parts.run, self.parts.board.entries[node].task.index, attempt);
            let written = file.parent().map_or(Ok(()), create_folders);
            let written = written.and_then(|()| write_atomic(&file, prompt.as_bytes(), Durability::Fast));
            let entry = &self.parts.board.entries[node];
            let reported = self.outside.as_ref().and_then(|outside| outside.out.get(&node)).is_some_and(Out::is_over);
            let item = (!entry.gone).then(|| self.parts.board.item(node));
            tasks.push(Handed {
                task: entry.task.task.clone(),
                index: entry.task.index,
                title: entry.title.clone(),
                attempt,
                own_tree: own.is_some(),
                folder,
                progress_file,
                model: item.and_then(|item| item.fields.model.clone()),
                agent: item.and_then(|item| item.fields.agent.clone()),
                reported,
                // Without it the prompt itself has to do.
                prompt_file: written.is_ok().then_some(file),
                prompt,
            });
        }
        let (total, done) = self.count();
        let lease = self.outside.as_ref().map(|outside| &outside.lease);
        Picture {
            exit,
            outcome: outcome.map(str::to_owned),
            run: self.parts.run.clone(),
            session: lease.map(|lease| lease.session.clone()).unwrap_or_default(),
            paused: lease.is_some_and(|lease| lease.paused),
            step: self.parts.engine.stage().filter(|number| *number > 0),
            total,
            done,
            tasks,
            waiting: self.waiting(),
            journal: self.parts.journal.path().to_owned(),
            from_seq: self.outside.as_ref().map_or(0, |outside| outside.from_seq),
        }
    }

    /// Tasks of the step that is going on that the session could have next.
    fn waiting(&self) -> Vec<String> {
        let ready = |node: &Node| {
            matches!(self.parts.engine.phase(*node), Phase::Ready | Phase::Backoff)
                && self.parts.engine.kind(*node) != crate::engine::Kind::Parent
        };
        let mut nodes: Vec<Node> = (0..self.parts.engine.len()).filter(ready).collect();
        nodes.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        self.parts.board.labels(&nodes)
    }
}

/// The exit code of a call that ended by this.
const fn exit_of(halt: Halt) -> u8 {
    match halt {
        Halt::RunTimeout | Halt::Budget => exit::STOPPED,
        Halt::Conflict => exit::CONFLICT,
        Halt::Fatal => exit::USAGE,
        Halt::Interrupt => exit::INTERRUPTED,
        Halt::Terminate => exit::TERMINATED,
    }
}

/// What a sub-agent is told that is not started in the folder that it is to work in.
fn where_to_work(folder: &Path, progress_file: &Path) -> String {
    format!(
        "Your current folder, for all that follows, is {}: you may have been started elsewhere, so change into it first, \
         and write nothing outside of it. The full path of your progress file is {}.\n\n",
        folder.display(),
        progress_file.display()
    )
}

/// The files that a task declares.
pub(super) fn declared(job: &Job) -> Vec<Declared> {
    job.files.iter().map(|file| Declared::new(&file.path, file.glob)).collect()
}

/// Where HEAD was by the journal.
pub(super) fn head_of(record: &HeadRecord) -> HeadState {
    HeadState::from_wire(record)
}

/// Since when a try has been going on, as the clock of this process has it.
pub(super) fn since(handed: &HandedOut) -> Option<tokio::time::Instant> {
    let since: Timestamp = handed.since.parse().ok()?;
    let gone = std::time::Duration::try_from(clock::wall().duration_since(since)).ok()?;
    clock::now().checked_sub(gone)
}

/// The `<git-dir>/spec` of a tree.
pub(super) fn git_place(repo: Option<&crate::git::Repo>) -> Result<Option<PathBuf>, crate::git::Error> {
    repo.map(crate::git::Repo::own_dir).transpose()
}

/// Whether a lease at `path` is another's than that of `session`, and alive.
pub(super) fn held_by_other(path: &Path, session: Option<&str>) -> Result<Option<Lease>, crate::store::fs::PathError> {
    Ok(lease::alive(path, clock::wall())?.filter(|lease| session != Some(lease.session.as_str())))
}
