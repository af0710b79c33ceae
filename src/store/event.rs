//! What happened: the one record of a run. The journal keeps it, reporters show it, `--output json` prints it.
//!
//! A wire type: fields are only ever added within `spec.event/1`. Events that only matter to recovery are not
//! [`public`](Event::public); output text is not [`durable`](Event::durable).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::Tokens;
use crate::engine::budget::{Money, Total, Used};

/// The schema name of [`Envelope`].
pub const SCHEMA: &str = "spec.event/1";

/// One line of the journal and of `--output json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// [`SCHEMA`].
    pub schema: String,
    /// Counts the events of a run from 1; events that are not durable carry the number of the last one that is.
    pub seq: u64,
    /// When, RFC 3339 in UTC with milliseconds. For people; durations are measured on a monotonic clock.
    pub time: String,
    /// The run's id (UUID v7).
    pub run: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Which task an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TaskRef {
    /// As on the command line and in signals: its id, `ID@LINE` where that is not unique, `:INDEX` where there is none.
    pub task: String,
    /// 0-based position among all checkbox items at that time.
    pub index: usize,
    /// Finds it again in an edited list: id, checksum of its text, ordinal among equals, joined by `~`.
    pub key: String,
}

/// A file of a task's changes, as git sees it. A path may come more than once: changes to be applied in that order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TreeEntry {
    /// Relative to the repository's root. Bytes that are not UTF-8 are percent-coded behind a `%//` prefix.
    pub path: String,
    /// Git's mode (`100644`, `100755`, `120000`, `160000`), or null where the path is gone.
    pub mode: Option<String>,
    /// The blob's (or submodule's commit's) object id, or null where the path is gone.
    pub oid: Option<String>,
    /// The mode that was there before the change, absent where the path was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_mode: Option<String>,
    /// The object that was there before the change, absent where the path was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_oid: Option<String>,
    /// Why it was not taken in (`looks like a secret`): it is there, and neither its mode nor its object is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Where HEAD and the stash were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeadRecord {
    /// The full name of the branch that was checked out; null when detached.
    pub branch: Option<String>,
    /// The commit; null before the first one.
    pub commit: Option<String>,
    /// The newest stash.
    pub stash: Option<String>,
    /// How long the record of HEAD's moves was.
    pub log: Option<u64>,
}

/// The figures of a finished run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Items of role task (as included) in the list.
    pub tasks: usize,
    /// Done when the run ended, earlier runs included.
    pub done: usize,
    /// Landed in this run.
    pub completed: usize,
    /// Labels of what failed for good.
    pub failed: Vec<String>,
    /// Labels of what was never started because something it needs failed.
    pub blocked: Vec<String>,
    /// Labels of what a person skipped.
    pub skipped: Vec<String>,
    /// Labels of what was cancelled.
    pub cancelled: Vec<String>,
    /// Labels of what is still open and was not reached.
    pub pending: Vec<String>,
    /// Completed tasks that ran in a parallel step.
    pub parallel: usize,
    /// Completed tasks that ran alone.
    pub sequential: usize,
    /// Steps begun.
    pub steps: usize,
    /// Most executors that ran at once.
    pub most_at_once: usize,
    /// Tries made.
    pub attempts: usize,
    /// Tries that were not a task's first.
    pub retries: usize,
    /// Executors started.
    pub workers_started: usize,
    /// Executors that ended well.
    pub workers_succeeded: usize,
    /// Executors that did not.
    pub workers_failed: usize,
    /// Wall time in seconds.
    pub wall_seconds: f64,
    /// Time of all tries added up, in seconds.
    pub work_seconds: f64,
    /// Work time by wall time.
    pub speedup: f64,
    /// What the wall time could not have gone below: max(critical path, work / limit), from measured times, in seconds.
    pub bound_seconds: f64,
    /// Money in US dollars, where executors report it or their tokens have a price.
    pub cost: Option<f64>,
    /// The part of it that is by a list of prices.
    pub cost_estimated: Option<f64>,
    /// Tokens, where an executor reports them.
    pub tokens: Option<u64>,
    /// Paths that changed and belong to no task: left in the tree, not committed.
    pub unattributed: Vec<String>,
}

impl Summary {
    /// What agents used.
    #[must_use]
    pub fn used(&self) -> Total {
        let money = |usd: Option<f64>| usd.map(Money::from_usd);
        Total { money: money(self.cost), estimated: money(self.cost_estimated), tokens: self.tokens }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run begins. First record of every journal.
    RunStart {
        /// Version of the program.
        version: String,
        /// The list, as given.
        file: String,
        /// `groups`, `sequential` or `graph`.
        mode: String,
        /// Limit of executors at once.
        max_parallel: usize,
        /// Items of role task, and how many of them are done already.
        tasks: usize,
        /// See `tasks`.
        done: usize,
        /// Steps left.
        steps: usize,
        /// The commit it started from; null without git or without a commit.
        base: Option<String>,
        /// The branch it started on; null when detached or without git.
        branch: Option<String>,
        /// Process id of the runner, with the host and the boot it counts on.
        pid: u32,
        /// See `pid`.
        host: String,
        /// See `pid`.
        boot: String,
        /// The run that this one goes on with, where that one did not end in order.
        resumes: Option<String>,
    },
    /// A step begins: its open tasks.
    StepStart {
        /// 1-based number in the plan.
        step: usize,
        /// Whether they may run at once.
        parallel: bool,
        /// Labels.
        tasks: Vec<String>,
    },
    /// A step of two or more tasks begins (follows `step_start`).
    BatchStart {
        /// 1-based number in the plan.
        step: usize,
        /// Labels.
        tasks: Vec<String>,
    },
    /// A try begins. In the journal before its process is started.
    TaskStart {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// 1 for the first.
        attempt: u32,
        /// Its title.
        title: String,
        /// `shell`, `exec`, `verify`, or the agent.
        executor: String,
        /// Its log, relative to the folder of the list.
        log: String,
    },
    /// A try has a working tree of its own.
    TaskSlot {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// The number of its slot.
        slot: usize,
        /// The commit that it began with.
        base: String,
    },
    /// A try was given to an agent session, whose sub-agent makes it: nothing was started.
    TaskHandedOut {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// What the task says, which holds for this try whatever becomes of the list.
        block: String,
        /// In a tree of its own: the git tree that was in it, what of it the task had made before, and what is nobody's.
        tree: Option<String>,
        /// See `tree`.
        made: Vec<TreeEntry>,
        /// See `tree`.
        nobodys: Vec<TreeEntry>,
        /// In the shared tree: where HEAD was.
        head: Option<HeadRecord>,
    },
    /// The session says that a try it was given is over. Nothing is checked yet.
    TaskReported {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// Why it failed; null where it is said to be done.
        failed: Option<String>,
        /// Why nothing had to be changed, where that is said.
        no_change: Option<String>,
    },
    /// A call of a session (`spec next`, `spec finish`) takes the run up.
    CallStart {
        /// The session.
        session: String,
        /// Process id of the call, with the host and the boot it counts on.
        pid: u32,
        /// See `pid`.
        host: String,
        /// See `pid`.
        boot: String,
    },
    /// The call puts the run down again: what is left waits for the session.
    CallEnd {
        /// Where HEAD is; null without git.
        head: Option<HeadRecord>,
        /// The figures so far.
        figures: Box<Summary>,
    },
    /// What a task made in a slot is kept as a commit, before it passes or gives its slot away.
    TaskWork {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// The commit that it began with.
        base: String,
        /// The commit that has what it made.
        commit: String,
    },
    /// The process of a try runs.
    TaskSpawned {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// Its process id, also that of its group.
        pid: u32,
        /// Start time from `/proc/PID/stat`, in clock ticks after boot: tells a recycled id.
        start_ticks: u64,
    },
    /// A try goes from one phase to another; for people.
    TaskPhase {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// `preparing`, `running`, `verifying`, `landing`, `waiting`.
        phase: String,
    },
    /// A line that an executor printed.
    TaskOutput {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// `stdout` or `stderr`.
        stream: String,
        /// The line, without its end, cut at 4 KiB.
        text: String,
    },
    /// The process of a try ended.
    TaskEnded {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// Its exit code; null if a signal ended it.
        exit: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// How long it ran, in seconds.
        seconds: f64,
        /// Bytes it printed.
        output_bytes: u64,
        /// Processes it left behind that were ended.
        left_behind: usize,
    },
    /// What the agent of a try was and used, as far as it says so.
    TaskAgent {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try; 0 for a brief that was written ahead.
        attempt: u32,
        /// The agent, as in `--agent`.
        agent: String,
        /// The model that worked, or was asked for where the agent does not say.
        model: Option<String>,
        /// Its session.
        session: Option<String>,
        /// Messages of the agent.
        messages: u32,
        /// Its tool calls.
        tool_calls: u32,
        /// Tokens of this try.
        tokens: Option<Tokens>,
        /// Money of this try, in US dollars.
        cost: Option<f64>,
        /// Where the agent named none: the day of the prices by which it is estimated, or `spec.toml`.
        estimated: Option<String>,
        /// How long it ran, in seconds.
        seconds: f64,
        /// `done`, or the code of the gate that it did not pass; of a brief `prepared`, `not_prepared` or `cancelled`.
        outcome: String,
    },
    /// What was in the isolated progress file when the executor ended.
    TaskProgress {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// The file's text.
        text: String,
    },
    /// What is the task's own in the tree, as taken before Verify.
    TaskTaken {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// Its changes since the task's first try.
        entries: Vec<TreeEntry>,
        /// Commits it made itself, oldest first.
        commits: Vec<String>,
    },
    /// Paths changed that are no task's: what a Verify wrote, what several may have written.
    Unattributed {
        /// What is there now.
        entries: Vec<TreeEntry>,
        /// Why it is nobody's, for people.
        reason: String,
    },
    /// What a person had changed in the tree when the run began: never a task's, in this run and in one that goes on
    /// with it.
    Baseline {
        /// What was there.
        entries: Vec<TreeEntry>,
    },
    /// One gate was looked at.
    TaskGate {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// The failure code the gate would give (`verify_failed`).
        gate: String,
        /// `pass`, `fail` or `not_applied`.
        verdict: String,
        /// What was seen, one line.
        detail: String,
    },
    /// A Verify command was run by `spec`.
    TaskVerify {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// The script.
        command: String,
        /// Its exit code; null if a signal or a limit ended it.
        exit: Option<i32>,
        /// Seconds.
        seconds: f64,
        /// The tail of its output.
        tail: String,
    },
    /// A try failed and there will be another.
    TaskRetry {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// The try that failed.
        attempt: u32,
        /// Why.
        code: String,
        /// One line.
        reason: String,
        /// The tail of what was seen.
        evidence: String,
        /// Seconds until the next.
        delay_seconds: f64,
        /// Whether it used up an attempt.
        counted: bool,
    },
    /// All gates but landing are passed.
    TaskPassed {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
    },
    /// Landing of these begins: from here on it is finished, even after a crash. Synced.
    Landing {
        /// In index order.
        tasks: Vec<TaskRef>,
    },
    /// A commit object was made; the branch may or may not have moved to it yet. Synced before the branch moves.
    CommitMade {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Its id.
        commit: String,
        /// The tip it was made on; null for the first commit of a repository.
        parent: Option<String>,
    },
    /// A commit landed on the branch.
    Commit {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Its id.
        commit: String,
        /// Its first line.
        subject: String,
    },
    /// A task landed: progress merged, box ticked, committed where there is something to commit.
    TaskComplete {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// Its title.
        title: String,
        /// The commit; null where there was nothing to commit or no git.
        commit: Option<String>,
        /// `pass`, or `none` where there was nothing to run.
        verify: String,
        /// Time of all its tries in this run, in seconds.
        seconds: f64,
    },
    /// A task failed for good.
    TaskFailed {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Tries made.
        attempt: u32,
        /// Its title.
        title: String,
        /// Why.
        code: String,
        /// One line.
        reason: String,
        /// The tail of what was seen.
        evidence: String,
        /// The ref that keeps what it left, where something was saved.
        salvage: Option<String>,
    },
    /// The executor of a task asked for other tasks, which it gets at the end of the step.
    TaskAsked {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Which try.
        attempt: u32,
        /// `SPLIT_TASK`, `ADD_PREREQUISITE` or `ADD_FOLLOWUP`.
        request: String,
        /// Why, in its own words.
        reason: String,
        /// The tasks, in markdown.
        proposed: Vec<String>,
        /// The ref that keeps what it had made, where something was saved.
        salvage: Option<String>,
    },
    /// Tasks are put into the list on behalf of a task. In the journal, and synced, before the list is edited.
    TaskInserted {
        /// On behalf of which.
        #[serde(flatten)]
        task: TaskRef,
        /// What was asked for (as in `task_asked`), or `FIX`.
        kind: String,
        /// Why.
        reason: String,
        /// The tasks, by their places in the list as it is then.
        inserted: Vec<TaskRef>,
        /// How deep they are among what was asked for.
        depth: usize,
    },
    /// A commit of the list alone was made, with what was put into it; the branch may or may not have moved to it yet.
    /// Synced before the branch moves.
    ListCommitMade {
        /// Its id.
        commit: String,
        /// The tip it was made on.
        parent: Option<String>,
    },
    /// A task will not be started: something it needs failed, was skipped or cancelled.
    TaskBlocked {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Labels of what it needs.
        by: Vec<String>,
    },
    /// A person skipped it.
    TaskSkipped {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
    },
    /// It was cancelled, by a person or with the run.
    TaskCancelled {
        /// Which task.
        #[serde(flatten)]
        task: TaskRef,
        /// Whether its process had been started.
        started: bool,
    },
    /// The box of a parent was ticked.
    ParentComplete {
        /// Which item.
        #[serde(flatten)]
        task: TaskRef,
        /// The commit it went in with.
        commit: Option<String>,
    },
    /// A batch (a step of two or more) is over.
    BatchComplete {
        /// 1-based number in the plan.
        step: usize,
        /// Labels of those that landed.
        completed: Vec<String>,
        /// Labels of those that did not.
        failed: Vec<String>,
        /// Seconds.
        duration_seconds: f64,
        /// Money in US dollars that its tries cost, where executors report it or their tokens have a price.
        cost: Option<f64>,
    },
    /// A line of the signal protocol, with its details.
    Signal {
        /// `TASK_COMPLETE`, `TASK_FAILED`, `BATCH_COMPLETE`, `ALL_TASKS_COMPLETE`.
        signal: String,
        /// The lines below it, `key` and `value`, in order.
        details: Vec<(String, String)>,
    },
    /// The service that executors work for takes no more from an account for a while: nothing starts for it till then.
    AccountLimited {
        /// Whose: the agent, or what the configuration calls it.
        account: String,
        /// `usage` (used up), `rate` (too many requests) or `overloaded`.
        limit: String,
        /// When it is tried again, RFC 3339 in UTC.
        until: String,
        /// How long that is, in seconds.
        seconds: f64,
        /// What the service said.
        reason: String,
    },
    /// The run was paused or goes on.
    Paused {
        /// True: nothing new is started.
        paused: bool,
    },
    /// Tasks that could start wait because the machine is short, or go on. One always may run.
    Hold {
        /// True: they wait.
        held: bool,
        /// `memory`, `cpu`, `io`, `load`, `files`, `disk` or `budget`; empty where the machine holds nothing any more.
        what: String,
        /// The number that was found, and what it would have to be.
        reason: String,
        /// How many tasks wait for nothing else.
        tasks: usize,
    },
    /// Something people should know that stops nothing.
    Notice {
        /// `warning` or `info`.
        level: String,
        /// A stable code.
        code: String,
        /// One line.
        message: String,
    },
    /// The list was changed while the run goes on and was read anew.
    ListChanged {
        /// Tasks in it now, and how many of them are done.
        tasks: usize,
        /// See `tasks`.
        done: usize,
        /// Labels of tasks that were not there before.
        added: Vec<String>,
        /// Labels of tasks that are gone.
        removed: Vec<String>,
    },
    /// The run is over in order. Last record of a journal; without it the run was killed.
    RunComplete {
        /// Exit code.
        exit: u8,
        /// `done`, `failed`, `conflict`, `stopped`, `interrupted`.
        outcome: String,
        /// The figures.
        #[serde(flatten)]
        summary: Summary,
    },
}

impl Event {
    /// What a try used, as far as it is known, and whether its money is by a list of prices.
    #[must_use]
    pub fn used(&self) -> Option<(Used, bool)> {
        let Self::TaskAgent { tokens, cost, estimated, .. } = self else { return None };
        let (money, tokens) = (cost.map(Money::from_usd), tokens.map(|tokens| tokens.total()));
        Some((Used { money, tokens }, estimated.is_some()))
    }

    /// Whether `--output json` prints it: everything but what only recovery needs.
    #[must_use]
    pub const fn public(&self) -> bool {
        !matches!(
            self,
            Self::TaskSpawned { .. }
                | Self::TaskProgress { .. }
                | Self::TaskTaken { .. }
                | Self::Baseline { .. }
                | Self::Landing { .. }
                | Self::CommitMade { .. }
                | Self::TaskHandedOut { .. }
                | Self::TaskReported { .. }
                | Self::CallStart { .. }
                | Self::CallEnd { .. }
                | Self::ListCommitMade { .. }
        )
    }

    /// Passes every text in it that somebody else wrote (not names, labels and paths) to `each`: what may have a secret in
    /// it. Lines that executors print have been through the mask already.
    pub fn texts(&mut self, mut each: impl FnMut(&mut String)) {
        match self {
            Self::TaskStart { title: text, .. }
            | Self::TaskComplete { title: text, .. }
            | Self::TaskProgress { text, .. }
            | Self::Unattributed { reason: text, .. }
            | Self::TaskHandedOut { block: text, .. }
            | Self::TaskGate { detail: text, .. }
            | Self::Commit { subject: text, .. }
            | Self::AccountLimited { reason: text, .. }
            | Self::TaskInserted { reason: text, .. }
            | Self::Notice { message: text, .. } => each(text),
            Self::TaskAsked { reason, proposed, .. } => {
                each(reason);
                proposed.iter_mut().for_each(each);
            }
            Self::TaskVerify { command, tail, .. } => [command, tail].into_iter().for_each(each),
            Self::TaskRetry { reason, evidence, .. } => [reason, evidence].into_iter().for_each(each),
            Self::TaskFailed { title, reason, evidence, .. } => [title, reason, evidence].into_iter().for_each(each),
            Self::TaskReported { failed, no_change, .. } => [failed, no_change].into_iter().flatten().for_each(each),
            Self::Signal { details, .. } => details.iter_mut().for_each(|(_, text)| each(text)),
            Self::RunStart { .. }
            | Self::StepStart { .. }
            | Self::BatchStart { .. }
            | Self::TaskSlot { .. }
            | Self::TaskWork { .. }
            | Self::TaskSpawned { .. }
            | Self::TaskPhase { .. }
            | Self::TaskOutput { .. }
            | Self::TaskEnded { .. }
            | Self::TaskAgent { .. }
            | Self::TaskTaken { .. }
            | Self::Baseline { .. }
            | Self::TaskPassed { .. }
            | Self::Landing { .. }
            | Self::CommitMade { .. }
            | Self::ListCommitMade { .. }
            | Self::TaskBlocked { .. }
            | Self::TaskSkipped { .. }
            | Self::TaskCancelled { .. }
            | Self::ParentComplete { .. }
            | Self::BatchComplete { .. }
            | Self::CallStart { .. }
            | Self::CallEnd { .. }
            | Self::Paused { .. }
            | Self::Hold { .. }
            | Self::ListChanged { .. }
            | Self::RunComplete { .. } => {}
        }
    }

    /// Whether the journal keeps it: everything but text and phases, which logs and records around them tell.
    #[must_use]
    pub const fn durable(&self) -> bool {
        !matches!(self, Self::TaskOutput { .. } | Self::TaskPhase { .. })
    }
}
