//! What is known of the runs before this one: what a run that was killed left unfinished, and what runs left in the tree.
//!
//! [`Recovered`] is a fold over the records of journals, oldest first; [`read`] finds the journals it takes. The list's
//! boxes say what is done, the journal says what happened; [`Record::resume`] puts the two together. The driver
//! carries out what comes of it before it starts anything: ends processes that are left, finishes landings, merges
//! progress, and seeds the scheduler.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::engine::budget::Spend;

use super::event::{Envelope, Event, HeadRecord, Summary, TaskRef, TreeEntry};
use super::fs::PathError;
use super::history;
use super::journal::{Lines, Tail, ends, scan};
use super::lock;
use super::paths::SpecPaths;

/// What is known of the runs before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// The last run.
    pub last: Option<LastRun>,
    /// Tasks that the unfinished runs touched, by key. Empty after a run that ended in order: it counts anew.
    pub tasks: BTreeMap<String, Record>,
    /// Processes that were started and of whose end nothing is known, by task key and try.
    pub processes: BTreeMap<(String, u32), Process>,
    /// What is in the tree and no task's, by path, as far as the runs have seen it.
    pub unattributed: BTreeMap<String, TreeEntry>,
    /// What tasks of runs that ended in order left in the tree without landing, by path.
    pub left: BTreeMap<String, TreeEntry>,
    /// What a person had changed in the tree when the last run began, by path.
    pub baseline: BTreeMap<String, TreeEntry>,
    /// What agents used since the last run that ended in order.
    pub used: Spend,
    /// What these runs put into the list, or were about to when they were killed. Limits count anew after a run that ended in order, as attempts do.
    pub inserted: Vec<Inserted>,
    /// Follow-ups that were asked for, by the key of the task: who asked, why, the tasks. They were put in, or not any more,
    /// if [`inserted`](Self::inserted) has them and the list as well.
    pub followups: BTreeMap<String, (TaskRef, String, Vec<String>)>,
    /// The last commit of the list alone.
    pub list_commit: Option<Made>,
    /// Until when accounts take no more (RFC 3339), by name.
    pub closed: BTreeMap<String, String>,
}

/// Tasks that were put into the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inserted {
    /// On behalf of which task, by its key.
    pub of: String,
    /// `SPLIT_TASK`, `ADD_PREREQUISITE`, `ADD_FOLLOWUP` or `FIX`.
    pub kind: String,
    /// Their keys.
    pub tasks: Vec<String>,
    /// How deep they are among what was asked for.
    pub depth: usize,
}

/// The last run before this one.
#[derive(Debug, Clone, PartialEq)]
pub struct LastRun {
    /// Its id.
    pub id: String,
    /// Its process, with the host and the boot it counts on.
    pub pid: u32,
    /// See `pid`.
    pub host: String,
    /// See `pid`.
    pub boot: String,
    /// The commit it started from.
    pub base: Option<String>,
    /// The branch it started on.
    pub branch: Option<String>,
    /// How it ended (`done`, `failed` ...); none where it was killed, or put down by a session.
    pub outcome: Option<String>,
    /// The agent session that it belongs to, where it is one's.
    pub session: Option<String>,
    /// The session put it down in order: nothing of it runs.
    pub put_down: bool,
    /// Nothing new is to be started until a person says so.
    pub paused: bool,
    /// Where HEAD was when the session had its turn.
    pub head: Option<HeadRecord>,
    /// What earlier calls of the session add up to.
    pub figures: Summary,
    /// When it began, RFC 3339.
    pub started: String,
}

/// A try that a session has.
#[derive(Debug, Clone, PartialEq)]
pub struct HandedOut {
    /// What the task said when it was handed out.
    pub block: String,
    /// See [`Event::TaskHandedOut`].
    pub tree: Option<String>,
    /// See [`Event::TaskHandedOut`].
    pub made: Vec<TreeEntry>,
    /// See [`Event::TaskHandedOut`].
    pub nobodys: Vec<TreeEntry>,
    /// What the session said of its end.
    pub report: Option<Reported>,
    /// When it was handed out, RFC 3339.
    pub since: String,
}

/// What a session says of a try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Why it failed; none where it is done.
    pub failed: Option<String>,
    /// Why nothing had to be changed.
    pub no_change: Option<String>,
}

/// A process of an executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its task.
    pub task: TaskRef,
    /// Its run.
    pub run: String,
    /// Its id, also that of its group.
    pub pid: u32,
    /// Its start time, in clock ticks after boot.
    pub start_ticks: u64,
    /// The machine and the boot that it ran on.
    pub host: String,
    /// See `host`.
    pub boot: String,
}

impl Process {
    /// Whether it still runs, as far as can be told from here.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.boot == lock::boot_id() && lock::start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// How far a task came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A try begun; whether its process was started nobody knows.
    Started,
    /// Its process ran.
    Running,
    /// Its process ended.
    Ended,
    /// A try failed and there was to be another.
    Waiting,
    /// Every gate but landing is passed.
    Passed,
    /// Its landing begun: to be finished.
    Landing,
    /// It landed, tick and all.
    Landed,
    /// It failed for good.
    Failed,
    /// Something it needs failed.
    Blocked,
    /// A person skipped it.
    Skipped,
    /// It was cancelled.
    Cancelled,
}

/// What the journal has of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which task, as it was called last.
    pub task: TaskRef,
    /// Its title.
    pub title: String,
    /// How far it came.
    pub phase: Phase,
    /// Tries begun: the number of the last one.
    pub tries: u32,
    /// Tries that failed and count.
    pub attempts: u32,
    /// Tries that ended by their time limit.
    pub timeouts: u32,
    /// Why the last try that failed did.
    pub failure: Option<LastFailure>,
    /// The run in which it failed for good.
    failed_in: Option<String>,
    /// The try that passed, or was being made.
    pub attempt: u32,
    /// Its changes, as taken before Verify. Not landed, they are still in the tree.
    pub taken: Vec<TreeEntry>,
    /// The try whose changes those are.
    pub taken_in: Option<u32>,
    /// The slot it worked in last, and the commit it began with there. Without one it worked in the shared tree.
    pub slot: Option<(usize, String)>,
    /// What it made in a slot: the commit it began with, and the one that has it.
    pub work: Option<(String, String)>,
    /// What it had made before its newest try began, until that has ended: its tree may not have it yet.
    pub before: Option<(String, String)>,
    /// How often it did not fit the tip.
    pub conflicts: u32,
    /// Commits it made itself.
    pub own_commits: Vec<String>,
    /// The last commit made for it, and what it was made on.
    pub made: Option<Made>,
    /// The commit that is known to be on the branch.
    pub commit: Option<String>,
    /// What it had made was taken out of its tree: its executor asked for other tasks, or it is to be mended.
    pub gone: bool,
    /// What was in its isolated progress file, one text a try, not known to be merged.
    pub progress: Vec<String>,
    /// Its newest try is a session's, and its outcome is not known yet.
    pub handed_out: Option<Box<HandedOut>>,
    /// That it failed was told.
    pub told: bool,
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub commit: String,
    /// What it was made on.
    pub parent: Option<String>,
}

/// Why a try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// The code.
    pub code: String,
    /// One line.
    pub reason: String,
    /// The tail of what was seen.
    pub evidence: String,
}

/// What is to be done about a task of a run that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Nothing: it is done.
    Done,
    /// Finish its landing: merge, tick, commit, whatever of it is missing.
    FinishLanding,
    /// Land it: it passed.
    Land,
    /// Run it, with the tries it had.
    Run,
    /// Run it, as if it never had been: its box was opened again.
    RunAnew,
    /// Leave it: it failed for good (unless it may be tried more often now), or a person skipped it.
    Leave,
}

impl Record {
    fn new(task: &TaskRef) -> Self {
        Self {
            task: task.clone(),
            title: String::new(),
            phase: Phase::Started,
            tries: 0,
            attempts: 0,
            timeouts: 0,
            failure: None,
            failed_in: None,
            attempt: 0,
            taken: Vec::new(),
            taken_in: None,
            slot: None,
            work: None,
            before: None,
            conflicts: 0,
            own_commits: Vec::new(),
            made: None,
            commit: None,
            gone: false,
            progress: Vec::new(),
            handed_out: None,
            told: false,
        }
    }

    /// What is to be done about it, given its box.
    ///
    /// A landing that has begun is finished, whether the box is ticked already or not. Once it has landed, the tick was
    /// there: an open box is one that a person opened again. Before that, a ticked box is a person's, who says that it
    /// is done.
    #[must_use]
    pub const fn resume(&self, ticked: bool) -> Resume {
        match (self.phase, ticked) {
            (Phase::Landing, _) => Resume::FinishLanding,
            (_, true) => Resume::Done,
            (Phase::Landed, false) => Resume::RunAnew,
            (Phase::Passed, false) => Resume::Land,
            (Phase::Failed | Phase::Skipped, false) => Resume::Leave,
            (
                Phase::Started | Phase::Running | Phase::Ended | Phase::Waiting | Phase::Blocked | Phase::Cancelled,
                false,
            ) => Resume::Run,
        }
    }

    /// What is left in a slot is kept by this name: the task that had it last and its try, where that is known.
    #[must_use]
    pub fn name_for_slot(record: Option<&Self>, number: usize) -> (String, u32) {
        record.map_or_else(|| (format!("slot-{number}"), 1), |record| (record.task.task.clone(), record.attempt))
    }

    /// Whether a try was cut short: what it did to the tree is not in the journal, unless it was taken before.
    #[must_use]
    pub const fn cut_short(&self) -> bool {
        matches!(self.phase, Phase::Started | Phase::Running | Phase::Ended)
    }
}

impl Recovered {
    /// Folds records, oldest first, of one run or of several.
    #[must_use]
    pub fn from_records<'a>(records: impl IntoIterator<Item = &'a Envelope>) -> Self {
        let mut recovered = Self::default();
        for record in records {
            recovered.apply(record);
        }
        recovered
    }

    /// What the runs left in the tree, that is no person's: of tasks that did not land, and what is nobody's. As it was
    /// then: what is there now with other content is somebody else's by now. A new run enters what of it is still
    /// there into its own journal ([`Event::Unattributed`]), since the journals before the last are not read again.
    pub fn leftovers(&self) -> impl Iterator<Item = &TreeEntry> {
        let unlanded = self.tasks.values().filter(|record| record.slot.is_none()).flat_map(|record| &record.taken);
        self.left.values().chain(unlanded).chain(self.unattributed.values())
    }

    /// Whether a try in the shared tree was cut short, so that there may be more in the tree than [`leftovers`](Self::leftovers) knows.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        self.tasks.values().any(|record| record.slot.is_none() && record.cut_short())
    }

    /// The task that had each slot last, whose work is in it.
    #[must_use]
    pub fn slots(&self) -> BTreeMap<usize, &Record> {
        let mut slots: BTreeMap<usize, &Record> = BTreeMap::new();
        for record in self.tasks.values() {
            let Some((number, _)) = record.slot else { continue };
            if record.cut_short() || !slots.contains_key(&number) {
                slots.insert(number, record);
            }
        }
        slots
    }

    fn record(&mut self, task: &TaskRef) -> &mut Record {
        let record = self.tasks.entry(task.key.clone()).or_insert_with(|| Record::new(task));
        record.task.clone_from(task);
        record
    }

    /// Takes the next record.
    pub fn apply(&mut self, envelope: &Envelope) {
        match &envelope.event {
            agent @ Event::TaskAgent { .. } => {
                if let Some((used, _)) = agent.used() {
                    self.used.add(used);
                }
            }
            Event::AccountLimited { account, until, .. } => {
                self.closed.insert(account.clone(), until.clone());
            }
            Event::RunStart { pid, host, boot, base, branch, .. } => {
                if self.last.as_ref().is_some_and(|last| last.outcome.is_some()) {
                    self.begin_anew();
                }
                self.last = Some(LastRun {
                    id: envelope.run.clone(),
                    pid: *pid,
                    host: host.clone(),
                    boot: boot.clone(),
                    base: base.clone(),
                    branch: branch.clone(),
                    outcome: None,
                    session: None,
                    put_down: false,
                    paused: false,
                    head: None,
                    figures: Summary::default(),
                    started: envelope.time.clone(),
                });
            }
            Event::CallStart { session, pid, host, boot } => {
                if let Some(last) = &mut self.last {
                    last.session = Some(session.clone());
                    (last.pid, last.put_down) = (*pid, false);
                    last.host.clone_from(host);
                    last.boot.clone_from(boot);
                }
            }
            Event::CallEnd { head, figures } => {
                if let Some(last) = &mut self.last {
                    last.put_down = true;
                    last.figures = (**figures).clone();
                    last.head = head.clone().or(last.head.take());
                }
            }
            Event::Paused { paused } => {
                if let Some(last) = &mut self.last {
                    last.paused = *paused;
                }
            }
            Event::TaskHandedOut { task, block, tree, made, nobodys, head, .. } => {
                self.record(task).handed_out = Some(Box::new(HandedOut {
                    block: block.clone(),
                    tree: tree.clone(),
                    made: made.clone(),
                    nobodys: nobodys.clone(),
                    report: None,
                    since: envelope.time.clone(),
                }));
                if let (Some(last), Some(head)) = (&mut self.last, head) {
                    last.head = Some(head.clone());
                }
            }
            Event::Signal { signal, details } if signal == "TASK_FAILED" => {
                let label = details.iter().find(|(name, _)| name == "task").map(|(_, label)| label);
                if let Some(record) = self.tasks.values_mut().find(|record| Some(&record.task.task) == label) {
                    record.told = true;
                }
            }
            Event::TaskReported { task, failed, no_change, .. } => {
                if let Some(out) = &mut self.record(task).handed_out {
                    out.report = Some(Reported { failed: failed.clone(), no_change: no_change.clone() });
                }
            }
            Event::Baseline { entries } => {
                self.baseline = entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect();
            }
            Event::RunComplete { outcome, .. } => {
                if let Some(last) = &mut self.last {
                    last.outcome = Some(outcome.clone());
                }
                self.processes.clear();
            }
            Event::TaskStart { task, attempt, title, .. } => {
                let record = self.record(task);
                if matches!(record.phase, Phase::Landed) {
                    // Opened again by a person: another life.
                    *record = Record::new(task);
                }
                record.title.clone_from(title);
                record.phase = Phase::Started;
                record.tries = record.tries.max(*attempt);
                record.attempt = *attempt;
                record.made = None;
                record.slot = None;
                (record.handed_out, record.told) = (None, false);
                record.before = record.work.take().or(record.before.take());
                if record.failed_in.take().is_some_and(|run| run == envelope.run) {
                    // A person asked for it: it counts from the first again.
                    (record.attempts, record.timeouts) = (0, 0);
                }
            }
            Event::TaskSlot { task, slot, base, .. } => self.record(task).slot = Some((*slot, base.clone())),
            Event::TaskWork { task, base, commit, .. } => {
                self.record(task).work = Some((base.clone(), commit.clone()));
            }
            Event::TaskSpawned { task, attempt, pid, start_ticks } => {
                self.record(task).phase = Phase::Running;
                if let Some(last) = &self.last {
                    let process = Process {
                        task: task.clone(),
                        run: envelope.run.clone(),
                        pid: *pid,
                        start_ticks: *start_ticks,
                        host: last.host.clone(),
                        boot: last.boot.clone(),
                    };
                    self.processes.insert((task.key.clone(), *attempt), process);
                }
            }
            Event::TaskEnded { task, attempt, .. } => {
                let record = self.record(task);
                record.phase = Phase::Ended;
                record.before = None;
                self.processes.remove(&(task.key.clone(), *attempt));
            }
            Event::TaskProgress { task, text, .. } => {
                let record = self.record(task);
                if !record.progress.contains(text) {
                    record.progress.push(text.clone());
                }
            }
            Event::TaskTaken { task, attempt, entries, commits } => {
                let record = self.record(task);
                record.taken_in = Some(*attempt);
                record.taken.clone_from(entries);
                record.own_commits.clone_from(commits);
            }
            Event::Unattributed { entries, .. } => {
                for entry in entries {
                    self.unattributed.insert(entry.path.clone(), entry.clone());
                }
            }
            Event::TaskRetry { task, code, reason, evidence, counted, .. } => {
                let record = self.record(task);
                (record.phase, record.gone) = (Phase::Waiting, false);
                record.handed_out = None;
                record.fail(code, reason, evidence, *counted);
            }
            Event::TaskPassed { task, attempt } => {
                let record = self.record(task);
                record.phase = Phase::Passed;
                record.attempt = *attempt;
                record.handed_out = None;
            }
            Event::Landing { tasks } => {
                for task in tasks {
                    self.record(task).phase = Phase::Landing;
                }
            }
            Event::CommitMade { task, commit, parent } => {
                self.record(task).made = Some(Made { commit: commit.clone(), parent: parent.clone() });
            }
            Event::Commit { task, commit, .. } => {
                self.record(task).commit = Some(commit.clone());
            }
            Event::TaskComplete { task, commit, title, .. } => {
                let record = self.record(task);
                record.phase = Phase::Landed;
                record.title.clone_from(title);
                record.commit.clone_from(commit);
                record.progress.clear();
                let landed = std::mem::take(&mut record.taken);
                for TreeEntry { path, .. } in landed {
                    self.unattributed.remove(&path);
                    self.left.remove(&path);
                }
            }
            Event::TaskAsked { task, request, reason, proposed, .. } if request == "ADD_FOLLOWUP" => {
                self.followups.insert(task.key.clone(), (task.clone(), reason.clone(), proposed.clone()));
            }
            Event::TaskAsked { task, request, salvage, .. } => {
                let record = self.record(task);
                (record.phase, record.gone) = (Phase::Waiting, salvage.is_some());
                record.handed_out = None;
                record.fail("reported_failure", &asked_for(request, salvage.as_deref()), "", false);
            }
            Event::TaskInserted { task, kind, inserted, depth, .. } => {
                if kind == "FIX" {
                    // It is to be tried again, from its first attempt.
                    let record = self.record(task);
                    (record.phase, record.attempts, record.timeouts, record.conflicts) = (Phase::Waiting, 0, 0, 0);
                    record.failed_in = None;
                }
                let tasks = inserted.iter().map(|task| task.key.clone()).collect();
                let (of, kind, depth) = (task.key.clone(), kind.clone(), *depth);
                self.inserted.push(Inserted { of, kind, tasks, depth });
            }
            Event::ListCommitMade { commit, parent } => {
                self.list_commit = Some(Made { commit: commit.clone(), parent: parent.clone() });
            }
            Event::TaskFailed { task, title, code, reason, evidence, salvage, .. } => {
                self.followups.remove(&task.key);
                let record = self.record(task);
                record.title.clone_from(title);
                record.phase = Phase::Failed;
                record.handed_out = None;
                record.failed_in = Some(envelope.run.clone());
                record.fail(code, reason, evidence, true);
                record.gone = salvage.is_some();
            }
            Event::TaskBlocked { task, .. } => self.record(task).phase = Phase::Blocked,
            Event::TaskSkipped { task } => self.record(task).leave(Phase::Skipped),
            Event::TaskCancelled { task, .. } => self.record(task).leave(Phase::Cancelled),
            Event::StepStart { .. }
            | Event::BatchStart { .. }
            | Event::TaskPhase { .. }
            | Event::TaskOutput { .. }
            | Event::TaskGate { .. }
            | Event::TaskVerify { .. }
            | Event::ParentComplete { .. }
            | Event::BatchComplete { .. }
            | Event::Signal { .. }
            | Event::Notice { .. }
            | Event::Hold { .. }
            | Event::ListChanged { .. } => {}
        }
    }

    /// After a run that ended in order only what passed and did not land (a conflict ended it) goes on, and what it left
    /// in the tree.
    fn begin_anew(&mut self) {
        self.used = Spend::default();
        self.baseline.clear();
        for it in std::mem::take(&mut self.inserted) {
            self.followups.remove(&it.of);
        }
        self.list_commit = None;
        for (key, record) in std::mem::take(&mut self.tasks) {
            if matches!(record.phase, Phase::Passed | Phase::Landing) {
                self.tasks.insert(key, record);
                continue;
            }
            if record.slot.is_some() {
                continue;
            }
            self.left.extend(record.taken.into_iter().map(|entry| (entry.path.clone(), entry)));
        }
    }
}

/// Why a try ended whose executor asked for other tasks, for the next one.
#[must_use]
pub fn asked_for(request: &str, salvage: Option<&str>) -> String {
    let kept = salvage.map_or_else(String::new, |name| format!("; what it had made is kept as {name}"));
    format!("asked for {request}, which has landed since{kept}")
}

impl Record {
    /// Nobody is at it any more.
    fn leave(&mut self, phase: Phase) {
        self.phase = phase;
        self.handed_out = None;
    }

    fn fail(&mut self, code: &str, reason: &str, evidence: &str, counted: bool) {
        self.made = None;
        self.attempts += u32::from(counted);
        self.timeouts += u32::from(code == "timeout");
        self.conflicts += u32::from(code == "conflict");
        self.failure =
            Some(LastFailure { code: code.to_owned(), reason: reason.to_owned(), evidence: evidence.to_owned() });
    }
}

/// What [`read`] found, and how whole it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// What is known.
    pub recovered: Recovered,
    /// Journals with damage in them other than a torn end; for whoever holds the lock to repair and to report.
    pub damaged: Vec<PathBuf>,
}

/// Reads the journals of this list back to the last run that ended in order, that one included. Changes nothing.
pub fn read(paths: &SpecPaths) -> Result<Found, PathError> {
    let mut chain = Vec::new();
    for id in history::ids(paths)?.into_iter().rev() {
        let journal = paths.journal(&id);
        if !journal.exists() {
            // It died before its first record.
            continue;
        }
        let ended = ends(&journal)?.is_some_and(|(_, last)| matches!(last.event, Event::RunComplete { .. }));
        chain.push(journal);
        if ended {
            break;
        }
    }
    let mut found = Found::default();
    for journal in chain.into_iter().rev() {
        let tail = scan(Lines::open(&journal)?, |record| found.recovered.apply(&record))?;
        if matches!(tail, Tail::Corrupt { .. }) {
            found.damaged.push(journal);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::store::event::{SCHEMA, Summary};
    use crate::store::journal::Journal;
    use crate::store::testing::{run_start, task};

    fn envelope(run: &str, event: Event) -> Envelope {
        Envelope { schema: SCHEMA.into(), seq: 1, time: "t".into(), run: run.into(), event }
    }

    fn fold(events: impl IntoIterator<Item = Event>) -> Recovered {
        let records: Vec<_> = events.into_iter().map(|event| envelope("r1", event)).collect();
        Recovered::from_records(&records)
    }

    fn start() -> Event {
        run_start("tasks.md", None)
    }

    #[test]
    fn what_agents_used_is_counted_on_until_a_run_ends_in_order() {
        let used = |tokens: u64, usd: Option<f64>| Event::TaskAgent {
            task: task(1),
            attempt: 1,
            agent: "claude".into(),
            model: None,
            session: None,
            messages: 1,
            tool_calls: 0,
            tokens: Some(crate::agent::Tokens { output: tokens, ..Default::default() }),
            cost: usd,
            estimated: None,
            seconds: 1.0,
            outcome: "done".into(),
        };
        let killed = fold([start(), used(10, Some(0.5)), start(), used(5, None), used(1, Some(0.25))]);
        assert_eq!((killed.used.money.usd(), killed.used.tokens), (0.75, 16));
        let end = Event::RunComplete { exit: 0, outcome: "done".into(), summary: Summary::default() };
        let anew = fold([start(), used(10, Some(0.5)), end, start(), used(1, Some(0.25))]);
        assert_eq!((anew.used.money.usd(), anew.used.tokens), (0.25, 1));
    }

    fn begin(index: usize, attempt: u32) -> Event {
        let (title, executor, log) = ("T".into(), "shell".into(), "l".into());
        Event::TaskStart { task: task(index), attempt, title, executor, log }
    }

    fn spawned(index: usize, attempt: u32) -> Event {
        Event::TaskSpawned { task: task(index), attempt, pid: 100 + index as u32, start_ticks: 5 }
    }

    fn ended(index: usize, attempt: u32) -> Event {
        let task = task(index);
        Event::TaskEnded { task, attempt, exit: Some(0), signal: None, seconds: 0.0, output_bytes: 0, left_behind: 0 }
    }

    fn progress(index: usize, attempt: u32) -> Event {
        Event::TaskProgress { task: task(index), attempt, text: format!("- {index}.{attempt}") }
    }

    fn taken(index: usize, attempt: u32) -> Event {
        let entries = vec![TreeEntry { path: format!("f{index}"), ..TreeEntry::default() }];
        Event::TaskTaken { task: task(index), attempt, entries, commits: vec![] }
    }

    fn retry(index: usize, attempt: u32, code: &str, counted: bool) -> Event {
        Event::TaskRetry {
            task: task(index),
            attempt,
            code: code.into(),
            reason: "r".into(),
            evidence: "e".into(),
            delay_seconds: 0.0,
            counted,
        }
    }

    fn failed(index: usize, attempt: u32) -> Event {
        Event::TaskFailed {
            task: task(index),
            attempt,
            title: "T".into(),
            code: "verify_failed".into(),
            reason: "r".into(),
            evidence: String::new(),
            salvage: None,
        }
    }

    fn passed(index: usize, attempt: u32) -> Event {
        Event::TaskPassed { task: task(index), attempt }
    }

    fn landing(index: usize) -> Event {
        Event::Landing { tasks: vec![task(index)] }
    }

    fn made(index: usize, commit: &str) -> Event {
        Event::CommitMade { task: task(index), commit: commit.into(), parent: None }
    }

    fn commit(index: usize, commit: &str) -> Event {
        Event::Commit { task: task(index), commit: commit.into(), subject: "s".into() }
    }

    fn complete(index: usize, attempt: u32, commit: Option<&str>) -> Event {
        Event::TaskComplete {
            task: task(index),
            attempt,
            title: "T".into(),
            commit: commit.map(str::to_owned),
            verify: "pass".into(),
            seconds: 0.0,
        }
    }

    fn run_complete() -> Event {
        Event::RunComplete { exit: 1, outcome: "failed".into(), summary: Summary::default() }
    }

    fn key(index: usize) -> String {
        task(index).key
    }

    #[test]
    fn the_box_and_the_journal_together_say_what_to_do() {
        let cases = [
            (Phase::Started, Resume::Run, Resume::Done),
            (Phase::Running, Resume::Run, Resume::Done),
            (Phase::Ended, Resume::Run, Resume::Done),
            (Phase::Waiting, Resume::Run, Resume::Done),
            (Phase::Passed, Resume::Land, Resume::Done),
            // Ticked or not: the commit may be missing still.
            (Phase::Landing, Resume::FinishLanding, Resume::FinishLanding),
            // A person opened it again.
            (Phase::Landed, Resume::RunAnew, Resume::Done),
            (Phase::Failed, Resume::Leave, Resume::Done),
            (Phase::Blocked, Resume::Run, Resume::Done),
            (Phase::Skipped, Resume::Leave, Resume::Done),
            (Phase::Cancelled, Resume::Run, Resume::Done),
        ];
        for (phase, open, ticked) in cases {
            let record = Record { phase, ..Record::new(&task(1)) };
            assert_eq!((record.resume(false), record.resume(true)), (open, ticked), "{phase:?}");
        }
    }

    fn handed_out(index: usize, attempt: u32) -> Event {
        let (task, block) = (task(index), "- [ ] it\n".into());
        Event::TaskHandedOut { task, attempt, block, tree: None, made: vec![], nobodys: vec![], head: None }
    }

    #[test]
    fn a_try_is_a_sessions_until_its_outcome_is_known() {
        let reported = Event::TaskReported { task: task(1), attempt: 1, failed: None, no_change: None };
        let call = Event::CallStart { session: "s".into(), pid: 1, host: "h".into(), boot: "b".into() };
        let down = Event::CallEnd { head: None, figures: Box::default() };
        let out = [start(), call.clone(), begin(1, 1), handed_out(1, 1), down];
        let has = |events: &[Event]| fold(events.to_vec()).tasks[&key(1)].handed_out.clone();
        assert_eq!(has(&out).unwrap().report, None);
        let last = fold(out.to_vec()).last.unwrap();
        assert_eq!((last.session.as_deref(), last.put_down, last.outcome), (Some("s"), true, None));
        // A call that was killed behind the end of the try: its gates are looked at again.
        let cut_off = [&out[..], &[call, reported, ended(1, 1), taken(1, 1)]].concat();
        assert_eq!(has(&cut_off).unwrap().report, Some(Reported::default()));
        assert!(!fold(cut_off.clone()).last.unwrap().put_down);
        for outcome in [
            retry(1, 1, "no_change", true),
            passed(1, 1),
            failed(1, 1),
            Event::TaskSkipped { task: task(1) },
            Event::TaskCancelled { task: task(1), started: true },
            begin(1, 2),
        ] {
            assert_eq!(has(&[&cut_off[..], std::slice::from_ref(&outcome)].concat()), None, "{outcome:?}");
        }
    }

    fn asked(index: usize, request: &str) -> Event {
        let (request, reason, salvage) = (request.into(), "r".into(), Some("refs/x".into()));
        Event::TaskAsked { task: task(index), attempt: 1, request, reason, proposed: vec!["- [ ] a".into()], salvage }
    }

    fn inserted(index: usize, kind: &str) -> Event {
        let inserted = vec![task(index + 100)];
        Event::TaskInserted { task: task(index), kind: kind.into(), reason: "r".into(), inserted, depth: 1 }
    }

    #[test]
    fn who_asked_or_is_mended_is_run_again_and_it_does_not_count() {
        let found = fold([start(), begin(1, 1), ended(1, 1), asked(1, "SPLIT_TASK")]);
        let record = &found.tasks[&key(1)];
        assert_eq!((record.resume(false), record.attempts, record.tries, record.gone), (Resume::Run, 0, 1, true));
        let reason = record.failure.as_ref().map(|failure| failure.reason.as_str());
        assert_eq!(reason, Some("asked for SPLIT_TASK, which has landed since; what it had made is kept as refs/x"));
        assert!(found.followups.is_empty());
        let events = [start(), begin(1, 1), retry(1, 1, "timeout", true), begin(1, 2), failed(1, 2)];
        assert_eq!(fold(events.clone()).tasks[&key(1)].resume(false), Resume::Leave);
        let found = fold(events.into_iter().chain([inserted(1, "FIX")]));
        let record = &found.tasks[&key(1)];
        assert_eq!((record.resume(false), record.attempts, record.timeouts, record.tries), (Resume::Run, 0, 0, 2));
        let it = Inserted { of: key(1), kind: "FIX".into(), tasks: vec![key(101)], depth: 1 };
        assert_eq!(found.inserted, [it]);
        // Tried again, it fails by as many tries as before.
        let found =
            fold([start(), begin(1, 1), failed(1, 1), inserted(1, "FIX"), begin(1, 2), retry(1, 2, "crash", true)]);
        assert_eq!(found.tasks[&key(1)].attempts, 1);
    }

    #[test]
    fn a_follow_up_is_owed_until_it_is_put_in() {
        let owed = |events: Vec<Event>| fold([start()].into_iter().chain(events)).followups.len();
        let followup = || asked(1, "ADD_FOLLOWUP");
        assert_eq!(owed(vec![followup(), complete(1, 1, None)]), 1);
        assert_eq!(owed(vec![followup(), failed(1, 1)]), 0, "what failed asks for nothing");
        assert_eq!(owed(vec![followup(), complete(1, 1, None), run_complete(), start()]), 1, "over the end of a run");
        let put_in = vec![followup(), complete(1, 1, None), inserted(1, "ADD_FOLLOWUP"), run_complete(), start()];
        assert_eq!(owed(put_in.clone()), 0);
        assert!(fold([start()].into_iter().chain(put_in)).inserted.is_empty(), "limits count anew");
        let made = Event::ListCommitMade { commit: "c".into(), parent: None };
        assert_eq!(fold([start(), made.clone()]).list_commit.map(|made| made.commit).as_deref(), Some("c"));
        assert_eq!(fold([start(), made, run_complete(), start()]).list_commit, None);
    }

    #[test]
    fn attempts_are_counted_on_over_a_kill_and_anew_after_an_end() {
        let killed = vec![
            start(),
            begin(1, 1),
            retry(1, 1, "verify_failed", true),
            begin(1, 2),
            retry(1, 2, "rate_limited", false),
            begin(1, 3),
            retry(1, 3, "timeout", true),
            begin(1, 4),
        ];
        let again = [killed.clone(), vec![start()]].concat();
        for events in [killed.clone(), again] {
            let record = fold(events).tasks.remove(&key(1)).unwrap();
            assert_eq!((record.tries, record.attempts, record.timeouts), (4, 2, 1));
            assert_eq!(record.failure.unwrap().code, "timeout");
        }
        let ended = [killed, vec![run_complete(), start()]].concat();
        assert!(fold(ended).tasks.is_empty());
    }

    #[test]
    fn a_task_that_is_retried_on_request_counts_from_the_first() {
        let events = [start(), begin(1, 1), retry(1, 1, "timeout", true), begin(1, 2), failed(1, 2), begin(1, 3)];
        let record = fold(events.clone()).tasks.remove(&key(1)).unwrap();
        assert_eq!((record.tries, record.attempts, record.timeouts, record.phase), (3, 0, 0, Phase::Started));
        // In the next run it is not a request, but a limit that is higher now.
        let records = events.map(|event| envelope("r1", event));
        let next = [envelope("r2", start()), envelope("r2", begin(1, 3))];
        let recovered = Recovered::from_records(records[..5].iter().chain(&next));
        assert_eq!(recovered.tasks[&key(1)].attempts, 2);
    }

    #[test]
    fn processes_are_those_whose_end_nobody_saw() {
        let events = [start(), begin(1, 1), spawned(1, 1), begin(2, 1), spawned(2, 1), ended(1, 1)];
        let recovered = fold(events);
        let process = &recovered.processes[&(key(2), 1)];
        assert_eq!((recovered.processes.len(), process.pid, process.start_ticks), (1, 102, 5));
        assert_eq!((process.host.as_str(), process.boot.as_str()), ("here", "b"));
        assert!(recovered.is_cut_short());
    }

    #[test]
    fn what_the_run_left_in_the_tree_is_known_over_an_end() {
        let nobody = TreeEntry { path: "cache".into(), ..TreeEntry::default() };
        let landed = TreeEntry { path: "f1".into(), ..TreeEntry::default() };
        let events = [
            start(),
            Event::Unattributed { entries: vec![nobody, landed], reason: "verify".into() },
            begin(1, 1),
            taken(1, 1),
            complete(1, 1, None),
            begin(2, 1),
            taken(2, 1),
            failed(2, 1),
        ];
        for end in [vec![], vec![run_complete(), start()]] {
            let recovered = fold(events.iter().cloned().chain(end));
            let paths: BTreeSet<_> = recovered.leftovers().map(|entry| entry.path.as_str()).collect();
            assert_eq!(paths, BTreeSet::from(["cache", "f2"]));
        }
    }

    #[test]
    fn a_commit_of_an_earlier_try_is_not_published_for_a_later_one() {
        let first = [start(), begin(1, 1), passed(1, 1), landing(1), made(1, "old")];
        assert_eq!(fold(first.clone()).tasks[&key(1)].made.as_ref().unwrap().commit, "old");
        let second = [retry(1, 1, "conflict", true), begin(1, 2), passed(1, 2), landing(1)];
        let recovered = fold(first.into_iter().chain(second));
        assert_eq!((recovered.tasks[&key(1)].phase, &recovered.tasks[&key(1)].made), (Phase::Landing, &None));
    }

    #[test]
    fn progress_stays_to_be_merged_until_the_task_landed_even_where_it_failed() {
        let events =
            vec![start(), begin(1, 1), progress(1, 1), retry(1, 1, "crash", true), begin(1, 2), progress(1, 2)];
        assert_eq!(fold(events.clone()).tasks[&key(1)].progress, ["- 1.1", "- 1.2"]);
        assert_eq!(fold([events.clone(), vec![failed(1, 2)]].concat()).tasks[&key(1)].progress.len(), 2);
        assert!(fold([events, vec![complete(1, 2, None)]].concat()).tasks[&key(1)].progress.is_empty());
    }

    #[test]
    fn journals_are_read_back_to_the_last_that_ended() {
        let folder = tempfile::tempdir().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        assert_eq!(read(&paths).unwrap(), Found::default());
        let runs = [
            ("r1", vec![start(), begin(9, 1), taken(9, 1), run_complete()]),
            ("r2", vec![start(), begin(1, 1), taken(1, 1), failed(1, 1), run_complete()]),
            ("r3", vec![start(), begin(2, 1), retry(2, 1, "crash", true)]),
            ("r4", vec![run_start("tasks.md", Some("r3")), begin(2, 2)]),
            ("r5", vec![run_start("other.md", None), begin(3, 1)]),
        ];
        for (id, events) in &runs {
            Journal::create(&paths.journal(id), id).unwrap().append_all(events, "t").unwrap();
        }
        std::fs::create_dir_all(paths.run("r6")).unwrap();
        let found = read(&paths).unwrap();
        let recovered = &found.recovered;
        assert_eq!(recovered.last.as_ref().unwrap().id, "r4");
        assert_eq!(recovered.tasks.keys().collect::<Vec<_>>(), [&key(2)]);
        assert_eq!((recovered.tasks[&key(2)].tries, recovered.tasks[&key(2)].attempts), (2, 1));
        assert_eq!(recovered.left.keys().collect::<Vec<_>>(), ["f1"]);
        assert!(found.damaged.is_empty());
    }

    /// What is outside the journal: what a crash leaves as it is.
    #[derive(Default)]
    struct World {
        journal: Vec<Envelope>,
        ticked: BTreeSet<usize>,
        merged: BTreeSet<String>,
        branch: Vec<(usize, String)>,
        /// What may still be done before the power goes.
        budget: usize,
    }

    /// The power went.
    struct Crash;

    impl World {
        fn act(&mut self) -> Result<(), Crash> {
            self.budget = self.budget.checked_sub(1).ok_or(Crash)?;
            Ok(())
        }

        fn log(&mut self, run: usize, event: Event) -> Result<(), Crash> {
            self.act()?;
            self.journal.push(envelope(&format!("r{run}"), event));
            Ok(())
        }

        fn merge(&mut self, texts: &[String]) -> Result<(), Crash> {
            self.act()?;
            self.merged.extend(texts.iter().cloned());
            Ok(())
        }
    }

    const MAX_ATTEMPTS: u32 = 3;

    /// A driver as small as can be: it does what [`Record::resume`] says, and lands as the contract has it. `verdicts`
    /// are how the tries of a task end: 0 passes, 1 fails, 2 is to come back later.
    fn drive(world: &mut World, run: usize, tasks: usize, verdicts: &[u8]) -> Result<(), Crash> {
        let recovered = Recovered::from_records(&world.journal);
        world.log(run, run_start("tasks.md", None))?;
        for index in 0..tasks {
            let record = recovered.tasks.get(&key(index)).cloned();
            let mut texts = record.as_ref().map(|record| record.progress.clone()).unwrap_or_default();
            let (mut tries, mut attempts) = record.as_ref().map_or((0, 0), |record| (record.tries, record.attempts));
            let resume = match &record {
                Some(record) => record.resume(world.ticked.contains(&index)),
                None => Resume::Run,
            };
            match resume {
                Resume::Done => continue,
                Resume::Leave => {
                    world.merge(&texts)?;
                    continue;
                }
                Resume::FinishLanding | Resume::Land => {}
                Resume::RunAnew => panic!("nobody opens a box in this world"),
                Resume::Run => {
                    let passed = loop {
                        tries += 1;
                        world.log(run, begin(index, tries))?;
                        world.log(run, spawned(index, tries))?;
                        world.log(run, ended(index, tries))?;
                        world.log(run, progress(index, tries))?;
                        texts.push(format!("- {index}.{tries}"));
                        world.log(run, taken(index, tries))?;
                        match verdicts[(index * 7 + tries as usize) % verdicts.len()] {
                            0 => break true,
                            1 if attempts + 1 >= MAX_ATTEMPTS => break false,
                            verdict => {
                                attempts += u32::from(verdict == 1);
                                world.log(run, retry(index, tries, "verify_failed", verdict == 1))?;
                            }
                        }
                        if tries > 20 {
                            break false;
                        }
                    };
                    if !passed {
                        world.log(run, failed(index, tries))?;
                        world.merge(&texts)?;
                        continue;
                    }
                    world.log(run, super::tests::passed(index, tries))?;
                }
            }
            // A commit that was made before the crash may be on the branch, or may be put there still.
            let finished = record.as_ref().filter(|_| resume == Resume::FinishLanding);
            let before = finished.and_then(|record| record.made.clone()).map(|made| made.commit);
            world.log(run, landing(index))?;
            world.merge(&texts)?;
            world.act()?;
            world.ticked.insert(index);
            let id = before.unwrap_or_else(|| format!("c{run}.{index}"));
            world.log(run, made(index, &id))?;
            if !world.branch.iter().any(|(_, commit)| *commit == id) {
                world.act()?;
                world.branch.push((index, id.clone()));
            }
            world.log(run, commit(index, &id))?;
            world.log(run, complete(index, tries, Some(&id)))?;
        }
        world.log(run, run_complete())
    }

    proptest! {
        /// Whatever prefix of its work a run got done, and the run after it, and the one after that: the last one
        /// finishes, every task lands once or has used up its tries, and what was learned is merged.
        #[test]
        fn a_run_goes_on_from_every_prefix(
            tasks in 1..4_usize,
            verdicts in prop::collection::vec(prop_oneof![3 => Just(0_u8), 2 => Just(1), 1 => Just(2)], 1..12),
            crashes in prop::collection::vec(0..60_usize, 0..5),
        ) {
            let mut world = World::default();
            for (run, budget) in crashes.iter().copied().chain([10_000]).enumerate() {
                world.budget = budget;
                if drive(&mut world, run, tasks, &verdicts).is_ok() {
                    break;
                }
            }
            let recovered = Recovered::from_records(&world.journal);
            prop_assert!(recovered.last.unwrap().outcome.is_some());
            for index in 0..tasks {
                let record = &recovered.tasks[&key(index)];
                let count = |wanted: fn(&Event) -> bool| {
                    let of = |event: &Event| serde_json::to_value(event).unwrap()["key"] == key(index).as_str();
                    world.journal.iter().filter(|e| of(&e.event) && wanted(&e.event)).count()
                };
                let landed = usize::from(record.phase == Phase::Landed);
                prop_assert_eq!(count(|event| matches!(event, Event::TaskComplete { .. })), landed);
                prop_assert_eq!(world.branch.iter().filter(|(of, _)| *of == index).count(), landed);
                prop_assert_eq!(usize::from(world.ticked.contains(&index)), landed);
                let used = count(|event| matches!(event, Event::TaskRetry { counted: true, .. } | Event::TaskFailed { .. }));
                prop_assert!(used <= MAX_ATTEMPTS as usize);
                prop_assert!(landed == 1 || used == MAX_ATTEMPTS as usize || record.tries > 20);
            }
            for record in &world.journal {
                if let Event::TaskProgress { text, .. } = &record.event {
                    prop_assert!(world.merged.contains(text), "{text} is lost");
                }
            }
        }

        /// Reading is the same whether all is read at once or a journal ends between any two records.
        #[test]
        fn every_prefix_is_a_state(cut in 0..40_usize) {
            let mut world = World { budget: 60, ..World::default() };
            drive(&mut world, 0, 3, &[1, 0, 2]).ok();
            let cut = cut.min(world.journal.len());
            let recovered = Recovered::from_records(&world.journal[..cut]);
            for (at, record) in recovered.tasks.values().enumerate() {
                prop_assert!(record.attempts <= record.tries);
                prop_assert_eq!(record.phase == Phase::Running, recovered.processes.contains_key(&(key(at), record.tries)));
                // What it left is known until it has landed.
                let left = recovered.leftovers().any(|entry| entry.path == format!("f{at}"));
                prop_assert!(!left || record.phase != Phase::Landed);
                prop_assert!(left || !matches!(record.phase, Phase::Passed | Phase::Landing | Phase::Waiting | Phase::Failed));
            }
        }
    }
}
