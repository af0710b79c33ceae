//! Has briefs written for tasks that will start soon, while others run (`[prepare]`, off by default): by an agent that may
//! only read, or by a command. Each writer works in a tree of its own that is thrown away; where it changed something
//! there, so is its brief. Writers have a limit of their own, count as load on the machine and against the budgets, and
//! end with the run. Nothing of it fails a task.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::attempt::{Attempt, Brake, Order, Worked, aside};
use super::driver::{Driver, Job};
use super::process::{self, Stop};
use super::signals::{Asked, Signals};
use super::slots::{Claim, Workspace};
use super::{board, brief, spending, tree};
use crate::agent::{self, Access, Agent, Session};
use crate::document::quota::Quota;
use crate::engine::gates::End;
use crate::engine::{Event as Told, Kind, Node, Phase};
use crate::prompt::ahead::{self, State};
use crate::store::fs::{Durability, write_atomic};

/// The writers of a run.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) writers: JoinSet<Written>,
    under_way: BTreeMap<Node, Brake>,
    /// Tasks that have a brief or get none, as of this step.
    settled: BTreeSet<Node>,
}

/// Who writes.
enum Writer {
    Command(String),
    Agent(Box<Order>),
}

/// What came of one writer.
pub(super) struct Written {
    node: Node,
    file: PathBuf,
    /// The brief, or why there is none.
    brief: Result<String, String>,
    space: Option<Box<Workspace>>,
    /// Where it was an agent that was started: what it used, and in how many seconds.
    used: Option<(Agent, Box<Session>, f64)>,
}

impl Ahead {
    /// How many are at work.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Sources may be others now.
    pub(super) fn look_again(&mut self) {
        self.settled.clear();
    }

    /// The task begins: a brief comes too late.
    pub(super) fn begins(&self, node: Node) {
        if let Some(brake) = self.under_way.get(&node) {
            brake.pull(Stop::Cancel);
        }
    }

    /// Ends all of them.
    pub(super) fn stop(&self, stop: Stop) {
        self.under_way.values().for_each(|brake| brake.pull(stop));
    }
}

impl Driver {
    /// Starts writers for the tasks that come next, as far as there is room.
    pub(super) fn look_ahead(&mut self) {
        let settings = &self.parts.settings;
        if !settings.prepare.enabled || self.parts.slots.is_none() {
            return;
        }
        let engine = &self.parts.engine;
        // What nobody does beside it would only be late.
        if self.outside.is_some() || engine.halt().is_some() || engine.running() == 0 {
            return;
        }
        let waits = |node: &Node| {
            matches!(engine.phase(*node), Phase::Waiting | Phase::Ready)
                && engine.kind(*node) == Kind::Exec
                && self.parts.lives[*node].attempt == 0
                && !self.parts.board.entries[*node].gone
        };
        let state = |node: Node| match () {
            () if self.ahead.settled.contains(&node) => State::Settled,
            () if self.ahead.under_way.contains_key(&node) => State::UnderWay,
            () => State::Open,
        };
        let waiting = (0..engine.len()).filter(waits).map(|node| (node, state(node)));
        for node in ahead::next(waiting, settings.prepare.max, self.ahead.len()) {
            if let Err(why) = self.write_ahead(node) {
                self.ahead.settled.insert(node);
                self.notice("info", "not-prepared", &why);
            }
        }
    }

    /// Starts the writer of one task's brief, unless there is one that holds, or no room.
    fn write_ahead(&mut self, node: Node) -> Result<(), String> {
        if self.parts.engine.running() + self.ahead.len() >= self.admission.ceiling() {
            return Ok(());
        }
        let Some(writer) = self.who_writes(node) else { return Ok(()) };
        if let Writer::Agent(order) = &writer {
            let account = self.parts.board.account(order.agent.account());
            if self.parts.engine.opens(account) > self.now() || self.parts.engine.unfunded() > 0 {
                return Ok(());
            }
        }
        let job = self.new_job(node);
        let asked = self.asked(node, 1, &job);
        let sources = brief::sources(&asked);
        let file = brief::prepared_file(&asked, &sources);
        if file.exists() {
            self.ahead.settled.insert(node);
            return Ok(());
        }
        let task = self.task(node);
        let words = self.parts.mask.text(&sources.words(&self.parts.shown, &task.task)).into_owned();
        let tip = self.parts.tree.as_ref().and_then(|tree| tree.head.commit.clone());
        let tip = tip.ok_or_else(|| format!("no brief of {}: the branch has no commit", task.task))?;
        if let Writer::Agent(order) = &writer {
            let reserved = self.spending.reserve_beside(node, &order.class());
            self.say_warnings_of_spending();
            reserved.map_err(|why| format!("no brief of {}: {why}", task.task))?;
        }
        let Some(slots) = &mut self.parts.slots else { return Ok(()) };
        let claim = slots.claim(tip, None, &task.key, Vec::new());
        let attempt = self.writer(node, &job, &claim);
        let brake = Brake::new();
        self.ahead.under_way.insert(node, brake.clone());
        self.admission.started();
        self.ahead.writers.spawn(async move {
            match attempt.enter(claim, &brake).await {
                Ok(space) => write(attempt, writer, words, brake, (node, file, space)).await,
                Err(why) => Written { node, file, brief: Err(why), space: None, used: None },
            }
        });
        Ok(())
    }

    /// Who writes the brief of a task; none where nobody carries it out either.
    fn who_writes(&self, node: Node) -> Option<Writer> {
        let (settings, board) = (&self.parts.settings, &self.parts.board);
        let prepare = &settings.prepare;
        let command = prepare.command.as_ref().or(settings.exec.as_ref());
        let (agent, model) = match (&prepare.agent, command) {
            (Some(name), _) => (agent::find(name, &settings.agents)?, prepare.model.clone()),
            (None, Some(command)) => return Some(Writer::Command(command.clone())),
            (None, None) => {
                let own = board::choices(&board.doc, board.item(node), 1, settings).into_iter().next()?;
                (own.agent, own.model)
            }
        };
        Some(Writer::Agent(Box::new(Order {
            program: process::program(&agent),
            agent,
            model,
            resume: None,
            access: Access::Read,
            git: true,
            surroundings: settings.agent_env.clone(),
        })))
    }

    /// How the writer is run.
    fn writer(&self, node: Node, job: &Job, claim: &Claim) -> Attempt {
        let made = self.in_tree(node, 0, job, Some(&claim.root()), Some(claim.base()), []);
        Attempt {
            log: made.log.with_extension("prepare.log"),
            timeout: self.parts.settings.prepare.timeout,
            quota: Quota::default(),
            // No try of its task: nobody is told.
            display: None,
            spawned: mpsc::unbounded_channel().0,
            in_use: mpsc::unbounded_channel().0,
            ..made
        }
    }

    /// A writer ended.
    pub(super) fn written(&mut self, written: Result<Written, JoinError>) {
        // A writer neither panics nor is aborted.
        let Ok(Written { node, file, brief, space, used }) = written else { return };
        self.give_back(space);
        let stopped = self.ahead.under_way.remove(&node).is_some_and(|brake| brake.pulled());
        self.ahead.settled.insert(node);
        let task = self.task(node);
        if let Some((agent, session, seconds)) = used {
            let outcome = match &brief {
                _ if stopped => "cancelled",
                Ok(_) => "prepared",
                Err(_) => "not_prepared",
            };
            if let (Some(limit), false) = (&session.limit, session.ended_well()) {
                self.limited(agent.account(), limit);
            }
            let of = (spending::beside(node), task.clone(), 0);
            let events = self.agent_used(of, agent.name().to_owned(), *session, seconds, outcome);
            self.say_warnings_of_spending();
            if let Err(error) = self.emit_all(events) {
                self.give_up(error.into());
            }
        } else {
            self.spending.release(spending::beside(node));
        }
        if self.parts.engine.unfunded() > 0 {
            self.told.push_back(Told::Funds);
        }
        if stopped {
            return;
        }
        let task = task.task;
        let kept = brief.and_then(|brief| keep(&file, &brief));
        match kept {
            Ok(()) => self.notice("info", "prepared", &format!("a brief of task {task} was written ahead")),
            Err(why) => self.notice("warning", "not-prepared", &format!("no brief of task {task}: {why}")),
        }
    }

    /// Ends all writers and waits for their ends; gives the exit code where a second signal came first.
    pub(super) async fn end_writers(&mut self, signals: &mut Signals) -> Option<u8> {
        self.ahead.stop(Stop::Cancel);
        loop {
            tokio::select! {
                biased;
                asked = signals.next() => match asked {
                    Asked::End(_, 1) => {}
                    Asked::End(signal, _) => return Some(signal.exit_code()),
                    Asked::StandStill => tree::suspend(),
                },
                written = self.ahead.writers.join_next() => match written {
                    Some(written) => self.written(written),
                    None => return None,
                },
            }
        }
    }
}

/// Runs a writer in its tree; what it answers is the brief.
async fn write(
    attempt: Attempt,
    writer: Writer,
    words: String,
    brake: Brake,
    (node, file, mut space): (Node, PathBuf, Box<Workspace>),
) -> Written {
    let (log, timeout) = (attempt.log.display().to_string(), attempt.timeout);
    let (worked, agent) = match writer {
        Writer::Command(command) => (attempt.executor(command, words, brake).await, None),
        Writer::Agent(order) => {
            let agent = order.agent.clone();
            (attempt.agent(*order, words, brake).await, Some(agent))
        }
    };
    let answer = answer(&worked, agent.as_ref(), timeout).map_err(|why| format!("{why}; its log is {log}"));
    let seconds = worked.ran.iter().filter_map(|ran| ran.outcome.as_ref().ok()).map(|it| it.duration.as_secs_f64());
    let seconds = seconds.sum();
    let used = agent.zip(worked.session).map(|(agent, session)| (agent, session, seconds));
    let looked = aside(move || space.look_after_verify().map(|changes| (space, changes))).await;
    let (brief, space) = match looked {
        Err(why) => (Err(why), None),
        Ok((space, changes)) if changes.is_empty() => (answer, Some(space)),
        Ok((space, changes)) => {
            let names: Vec<String> = changes.iter().take(5).map(|change| change.path.to_string()).collect();
            let why = format!("who wrote it was to change nothing, and changed {}", names.join(", "));
            (Err(why), Some(space))
        }
    };
    Written { node, file, brief, space, used }
}

/// What a writer answered, or why that is no brief. That an agent was refused what it may not do is as it should be.
fn answer(worked: &Worked, agent: Option<&Agent>, timeout: Duration) -> Result<String, String> {
    let Some(ran) = worked.ran.first() else { return Err("nothing was started".to_owned()) };
    if let Some(session) = &worked.session {
        let limit = session.limit.as_ref().filter(|_| !session.ended_well()).map(|limit| &limit.message);
        if let Some(why) = limit.or(session.last.as_ref().and_then(Option::as_ref)) {
            return Err(why.clone());
        }
    }
    let whole = worked.session.as_ref().zip(agent).is_none_or(|(it, agent)| it.last.is_some() || !agent.says_its_end());
    match (ran.end(timeout), &ran.outcome) {
        (End::NotStarted(why), _) => Err(why),
        (End::Exited(0), Ok(outcome)) if whole => {
            let printed = String::from_utf8_lossy(&outcome.stdout_tail);
            let answer = worked.session.as_ref().map_or(&*printed, |session| &session.answer);
            ahead::brief(answer).ok_or_else(|| "nothing was answered".to_owned())
        }
        _ => Err("who was to write it failed".to_owned()),
    }
}

/// Keeps a brief in place of those that the task had before.
fn keep(file: &Path, brief: &str) -> Result<(), String> {
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let of_task = name.split_inclusive('-').next().unwrap_or_default();
    for old in fs::read_dir(folder).into_iter().flatten().flatten() {
        if old.file_name().to_string_lossy().starts_with(of_task) {
            fs::remove_file(old.path()).ok();
        }
    }
    write_atomic(file, brief.as_bytes(), Durability::Fast).map_err(|error| error.to_string())
}
