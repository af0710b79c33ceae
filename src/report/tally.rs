//! What a run's events add up to: what runs now, what failed and why. The live view, the plain lines, the summary and
//! the commands that look at a journal all read this one fold. Pure; it keeps only what is not over and what went wrong,
//! so that its size does not grow with the tasks that landed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::budget::Total;
use crate::store::event::{Envelope, Event, Summary, TaskRef};

use super::text::clean;

/// A task that a try of is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// Finds it again in the list.
    pub key: String,
    /// As on the command line.
    pub label: String,
    /// Its place in the list.
    pub index: usize,
    /// Its title.
    pub title: String,
    /// `running`, `verifying` ...
    pub phase: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// `shell`, `exec` or `verify`.
    pub executor: String,
    /// When this try began, since the run's start.
    pub since: Duration,
    /// The process, once it runs, with its start time in clock ticks after boot.
    pub process: Option<(u32, u64)>,
    /// The last line it printed.
    pub last_line: String,
}

/// A task that failed for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// Finds it again in the list.
    pub key: String,
    /// As on the command line.
    pub label: String,
    /// Its title.
    pub title: String,
    /// The gate.
    pub code: String,
    /// One line.
    pub reason: String,
    /// The tail of what was seen.
    pub evidence: String,
    /// Tries made.
    pub attempts: u32,
    /// The log of its last try, relative to the folder of the list.
    pub log: Option<String>,
    /// The ref that keeps what it left.
    pub salvage: Option<String>,
}

/// A task that will not be run, for now.
#[derive(Debug, Clone, PartialEq)]
pub struct Out {
    /// Finds it again in the list.
    pub key: String,
    /// As on the command line.
    pub label: String,
    /// Why.
    pub why: Why,
}

/// Why a task is not run.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// These, which it needs, are not done.
    Blocked(Vec<String>),
    /// A person said so.
    Skipped,
    /// It was cancelled, by a person or with the run.
    Cancelled,
}

/// The run so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The run's id.
    pub run: String,
    /// The list, as given.
    pub file: String,
    /// Time since the run's start.
    pub now: Duration,
    /// `groups`, `sequential` or `graph`.
    pub mode: String,
    /// Limit of executors at once.
    pub max_parallel: usize,
    /// Items of role task.
    pub tasks: usize,
    /// How many of them are done.
    pub done: usize,
    /// Landed in this run.
    pub landed: usize,
    /// Time of the tries of what landed, in seconds.
    pub landed_seconds: f64,
    /// What runs, by key.
    pub active: BTreeMap<String, Active>,
    /// What passed and waits to land, by key: its label and its try. Thousands may, so that is all that is kept.
    pub passed: BTreeMap<String, (String, u32)>,
    /// What failed, in the order it did.
    pub failed: Vec<Failed>,
    /// What will not be run, in the order it was told.
    pub out: Vec<Out>,
    /// Landed without any check having been run.
    pub unverified: Vec<String>,
    /// Warnings that were given.
    pub warnings: usize,
    /// Nothing new is started.
    pub paused: bool,
    /// What the machine is short of, and the number, while tasks wait for that.
    pub hold: Option<(String, String)>,
    /// Accounts that take no more for a while: until how long after the run's start, and when that is.
    pub limited: BTreeMap<String, (Duration, String)>,
    /// What agents used.
    pub used: Total,
    /// The same of the task that landed or failed last.
    pub last_used: Total,
    /// How it ended: exit code, outcome, figures; none while it goes on (or where it was killed).
    pub end: Option<(u8, String, Summary)>,
    started: Option<Timestamp>,
    logs: BTreeMap<String, String>,
    /// What tasks that are not over used, by key.
    costs: BTreeMap<String, Total>,
}

impl Tally {
    /// How long after the run's start a record was written; never less than nothing.
    #[must_use]
    pub fn at(&self, time: &str) -> Duration {
        let Some(started) = self.started else { return Duration::ZERO };
        let Ok(time) = time.parse::<Timestamp>() else { return self.now };
        Duration::try_from(time.duration_since(started)).unwrap_or_default()
    }

    /// When the run began, in UTC.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// The log of the last try of a task that is not over, by its key.
    #[must_use]
    pub fn log(&self, key: &str) -> Option<&str> {
        self.logs.get(key).map(String::as_str)
    }

    /// How many tasks wait for an executor or for something else.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tasks
            .saturating_sub(self.done + self.active.len() + self.passed.len() + self.failed.len() + self.out.len())
    }

    /// Takes in one event. [`Tally::now`] is the caller's to set: from a clock, or by [`Tally::at`].
    pub fn add(&mut self, envelope: &Envelope) {
        if let (Some((used, estimated)), Event::TaskAgent { task, .. }) = (envelope.event.used(), &envelope.event) {
            self.used.add(used, estimated);
            self.costs.entry(task.key.clone()).or_default().add(used, estimated);
        }
        match &envelope.event {
            Event::RunStart { file, mode, max_parallel, tasks, done, .. } => {
                self.run.clone_from(&envelope.run);
                (self.file, self.mode) = (clean(file), clean(mode));
                self.started = envelope.time.parse().ok();
                (self.max_parallel, self.tasks, self.done) = (*max_parallel, *tasks, *done);
            }
            Event::TaskStart { task, attempt, title, executor, log } => {
                self.logs.insert(task.key.clone(), log.clone());
                let active = Active {
                    key: task.key.clone(),
                    label: clean(&task.task),
                    index: task.index,
                    title: clean(title),
                    phase: "running".to_owned(),
                    attempt: *attempt,
                    executor: executor.clone(),
                    since: self.now,
                    process: None,
                    last_line: String::new(),
                };
                self.active.insert(task.key.clone(), active);
                self.failed.retain(|failed| failed.key != task.key);
                self.out.retain(|out| out.key != task.key);
            }
            Event::TaskSpawned { task, pid, start_ticks, .. } => {
                self.with(task, |active| active.process = Some((*pid, *start_ticks)));
            }
            Event::TaskPhase { task, phase } => self.with(task, |active| active.phase = clean(phase)),
            Event::TaskOutput { task, text, .. } => {
                let line = clean(text);
                if !line.trim().is_empty() {
                    self.with(task, |active| active.last_line = line);
                }
            }
            Event::TaskEnded { task, .. } => {
                self.with(task, |active| {
                    "verifying".clone_into(&mut active.phase);
                    active.process = None;
                });
            }
            Event::TaskPassed { task, attempt } => {
                self.forget(task);
                self.passed.insert(task.key.clone(), (clean(&task.task), *attempt));
            }
            Event::TaskRetry { task, attempt, .. } => {
                let now = self.now;
                self.passed.remove(&task.key);
                self.with(task, |active| {
                    "waiting".clone_into(&mut active.phase);
                    (active.attempt, active.since, active.process) = (attempt + 1, now, None);
                    active.last_line.clear();
                });
            }
            Event::TaskAsked { task, request, .. } if request != "ADD_FOLLOWUP" => drop(self.forget(task)),
            // What is split is a parent from then on, and no task.
            Event::TaskInserted { kind, inserted, .. } => {
                self.tasks = (self.tasks + inserted.len()).saturating_sub(usize::from(kind == "SPLIT_TASK"));
            }
            Event::TaskSkipped { task } => self.leave_out(task, Why::Skipped),
            Event::TaskCancelled { task, .. } => self.leave_out(task, Why::Cancelled),
            Event::TaskComplete { task, verify, seconds, .. } => {
                self.forget(task);
                self.last_used = self.costs.remove(&task.key).unwrap_or_default();
                self.done += 1;
                self.landed += 1;
                self.landed_seconds += seconds;
                if verify != "pass" {
                    self.unverified.push(clean(&task.task));
                }
            }
            Event::TaskFailed { task, attempt, title, code, reason, evidence, salvage } => {
                let log = self.forget(task);
                self.last_used = self.costs.remove(&task.key).unwrap_or_default();
                self.failed.push(Failed {
                    key: task.key.clone(),
                    label: clean(&task.task),
                    title: clean(title),
                    code: clean(code),
                    reason: clean(reason),
                    evidence: evidence.clone(),
                    attempts: *attempt,
                    log,
                    salvage: salvage.clone(),
                });
            }
            Event::TaskBlocked { task, by } => {
                self.leave_out(task, Why::Blocked(by.iter().map(|label| clean(label)).collect()));
            }
            Event::Paused { paused } => self.paused = *paused,
            Event::AccountLimited { account, until, .. } => {
                self.limited.insert(clean(account), (self.at(until), clean(until)));
            }
            Event::Hold { held, what, reason, .. } => self.hold = held.then(|| (clean(what), clean(reason))),
            Event::Notice { level, .. } if level == "warning" => self.warnings += 1,
            Event::ListChanged { tasks, done, .. } => (self.tasks, self.done) = (*tasks, *done),
            Event::RunComplete { exit, outcome, summary } => {
                self.active.clear();
                self.passed.clear();
                (self.tasks, self.done) = (summary.tasks, summary.done);
                self.end = Some((*exit, outcome.clone(), summary.clone()));
            }
            _ => {}
        }
    }

    /// Takes a task out of what runs or failed: from now on it is out.
    fn leave_out(&mut self, task: &TaskRef, why: Why) {
        self.forget(task);
        self.costs.remove(&task.key);
        self.failed.retain(|failed| failed.key != task.key);
        self.out.retain(|out| out.key != task.key);
        self.out.push(Out { key: task.key.clone(), label: clean(&task.task), why });
    }

    /// It neither runs nor waits to land any more; gives the log of its last try.
    fn forget(&mut self, task: &TaskRef) -> Option<String> {
        self.active.remove(&task.key);
        self.passed.remove(&task.key);
        self.logs.remove(&task.key)
    }

    fn with(&mut self, task: &TaskRef, change: impl FnOnce(&mut Active)) {
        if let Some(active) = self.active.get_mut(&task.key) {
            change(active);
        }
    }
}
