//! The driver: carries out what the engine asks for and tells it what happened. One loop owns all state; processes run
//! beside it and send their ends back.
//!
//! ```text
//! engine::step -> effects -> journal, processes, git, list, progress, state file -> events -> engine::step
//! ```
//!
//! Journal first: an event is appended before its effect is carried out. Events that come together are synced together,
//! and only where something outside is to be believed after a power cut: before a box is ticked and before a branch
//! moves (`docs/design/001-what-is-synced-when.md`). The store can fail a run, reporters cannot.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::admission::Admission;
use super::ahead::Ahead;
use super::attempt::{self, Attempt, Brake, Order, Ran, Spawned, Worked, aside, last_word};
use super::batch::{Batch, Merged};
use super::board::{self, Board, ListFile};
use super::brief;
use super::clock;
use super::control::{Command, LOOK_EVERY, Mailbox, Request};
use super::growth::Growth;
use super::outside::Outside;
use super::process::{self, Line, SpawnError, Stop};
use super::sandbox::{Cell, Sandbox};
use super::shared::SharedTree;
use super::shell::Shell;
use super::signals::{Asked, Signal, Signals};
use super::slots::{Claim, Slots, Workspace};
use super::spending::{InUse, Spending};
use super::tree;
use crate::agent::{Agent, Limit, Session, Used};
use crate::cli::exit;
use crate::cli::settings::RunSettings;
use crate::document::quota::Quota;
use crate::document::{self, Document, FileEntry, Severity};
use crate::engine::budget::{Money, Scope, Spend, Total};
use crate::engine::gates::{self, End, Gate, Head, Seen, Verdict};
use crate::engine::output::Report;
use crate::engine::{
    self, Account, Code, Effect, Event as Told, Failure, Finish, Halt, Kind, Millis, Node, Phase, RunState, Steer,
};
use crate::git::{Attribution, Change, Declared, Oid, Refusal, Refused, RepoPath, Taken, Work};
use crate::mask::Masker;
use crate::plan;
use crate::report::Reporters;
use crate::store::event::{Envelope, Event, SCHEMA, Summary, TaskRef, TreeEntry};
use crate::store::fs::PathError;
use crate::store::journal::Journal;
use crate::store::lock::SpecLock;
use crate::store::paths::SpecPaths;
use crate::store::recovery::Made;
use crate::store::state::{self, Numbering, Projection, Standing, StateFile};

/// What a task without a repository has taken.
static NOTHING: LazyLock<Taken> = LazyLock::new(Taken::default);
/// Lines for display that may wait; more are dropped, the log has them all.
const LINES: usize = 256;
/// How often the live view is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How often the lock says that we are there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The state file is written at most this often, and late by no more than a frame.
const STATE_EVERY: Duration = Duration::from_millis(50);
/// An isolated progress file is read up to here.
const PROGRESS_MAX: usize = 1024 * 1024;
/// How long nothing starts for an account at its limit, at least.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The exit code by which an executor says "later": `EX_TEMPFAIL` of sysexits.
const LATER: i32 = 75;

/// What the driver keeps of a task beside the engine.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub(super) struct Life {
    pub(super) attempt: u32,
    /// The block it started with: an edit of the list does not reach a task under way.
    pub(super) job: Option<Arc<Job>>,
    /// Its place in the list at that time, which its progress file is named by.
    pub(super) place: Option<usize>,
    pub(super) failure: Option<Box<Failure>>,
    pub(super) started: Option<Instant>,
    /// How long its newest try may take, its Verify included.
    pub(super) limit: Duration,
    /// Time of its tries in this run.
    pub(super) seconds: f64,
    pub(super) brake: Brake,
    /// Its Verify was run, and passed.
    pub(super) verified: bool,
    pub(super) taken: Option<Box<Taken>>,
    pub(super) commit: Option<String>,
    /// A commit that an earlier run made for it, which may be on the branch or not.
    pub(super) made: Option<Box<Made>>,
    /// What its executors wrote to its progress file.
    pub(super) progress: String,
    /// What is known of its own tree, where it has or had one.
    pub(super) own: Option<Box<Own>>,
    /// Its signal was printed.
    pub(super) told: bool,
    /// What it had made before is in its tree no more.
    pub(super) gone: bool,
    /// Where what it had made is kept, once it failed for good.
    pub(super) salvage: Option<String>,
    /// It failed for good, and something was put in to mend it.
    pub(super) mended: bool,
    /// The agent of its newest try, and the session to go on with.
    pub(super) agent: Option<Box<Chosen>>,
    /// Its agent was ended for it used more than the task may: how much.
    pub(super) over_budget: Option<String>,
}

/// The agent of a try.
pub(super) struct Chosen {
    agent: Agent,
    model: Option<String>,
    /// What it can be gone on with, and what it had used in all.
    session: Option<(String, Used)>,
}

impl Life {
    /// Its changes, as they were taken.
    pub(super) fn changes(&self) -> &[Change] {
        self.taken.as_ref().map_or(&[], |taken| &taken.changes)
    }
}

/// What is known of a task that works in a tree of its own.
#[derive(Default)]
pub(super) struct Own {
    /// Its tree, while it is not being worked in.
    pub(super) space: Option<Box<Workspace>>,
    /// The root of the tree it had last.
    pub(super) root: PathBuf,
    /// What it had made when it gave its tree to another, for its next try.
    pub(super) saved: Option<Work>,
    /// What it made, once it passed.
    pub(super) work: Option<Work>,
    /// Its next try starts from nothing.
    pub(super) afresh: bool,
    /// Its next try starts from what it had made, merged onto the tip.
    pub(super) onto_tip: bool,
    /// What came of its landing, which was decided for the whole batch.
    pub(super) outcome: Option<Result<(), Failure>>,
}

/// What a task said when it started.
pub(super) struct Job {
    run: Box<[String]>,
    pub(super) verify: Box<[String]>,
    pub(super) files: Box<[FileEntry]>,
    files_none: bool,
    pub(super) dir: Option<String>,
    quota: Quota,
    pub(super) commit: Option<String>,
    /// For the prompt; empty where the shell does the work.
    pub(super) block: String,
    verify_marker: bool,
}

impl Job {
    /// What an item says, with its block for the prompt.
    pub(super) fn new(item: &document::Item, block: String, settings: &RunSettings) -> Self {
        let fields = &item.fields;
        let scripts = |commands: &[document::Command]| commands.iter().map(|it| it.script.clone()).collect();
        Self {
            run: scripts(&fields.run),
            verify: scripts(&fields.verify),
            files: fields.files.clone().into(),
            files_none: fields.files_none,
            dir: fields.dir.clone(),
            quota: board::quota(item, settings),
            commit: fields.commit.clone(),
            block,
            verify_marker: board::is_verify(item),
        }
    }
}

/// The end of a process.
pub(super) enum Done {
    Executor {
        node: Node,
        ran: Vec<Ran>,
        report: Report,
        session: Option<Box<Session>>,
        space: Option<Box<Workspace>>,
    },
    /// With what the Verify wrote, where the task has a tree of its own.
    Verify {
        node: Node,
        ran: Vec<Ran>,
        space: Option<(Box<Workspace>, Vec<Change>)>,
    },
    /// The tree of a task is not fit for work, or cannot be looked at.
    Unfit {
        node: Node,
        verify: bool,
        reason: String,
    },
    /// A batch was checked as it is merged.
    Merged(Merged),
    /// The tree of a task is ready to be handed out.
    Ready {
        node: Node,
        space: Box<Workspace>,
    },
    /// The tree of a task was looked at that a session says is over.
    Back {
        node: Node,
        space: Box<Workspace>,
    },
}

/// Why a run cannot go on, and which exit code that is.
#[derive(Debug)]
pub(super) struct Fatal {
    pub(super) message: String,
    pub(super) halt: Halt,
}

impl Fatal {
    pub(super) fn written_all_the_time(list: &str) -> Self {
        Self { message: format!("{list}: it is written to all the time"), halt: Halt::Fatal }
    }
}

impl From<PathError> for Fatal {
    fn from(error: PathError) -> Self {
        Self { message: error.to_string(), halt: Halt::Fatal }
    }
}

impl From<crate::git::Error> for Fatal {
    fn from(error: crate::git::Error) -> Self {
        Self { message: error.to_string(), halt: Halt::Fatal }
    }
}

/// Everything that a run has once it may begin; made by [`prepare`](super::prepare).
pub(super) struct Parts {
    pub(super) run: String,
    pub(super) shown: String,
    pub(super) settings: RunSettings,
    pub(super) paths: SpecPaths,
    pub(super) root: PathBuf,
    pub(super) shell: Arc<Shell>,
    /// Takes secrets out of everything that is kept, shown, sent or committed.
    pub(super) mask: Arc<Masker>,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) locks: Vec<SpecLock>,
    pub(super) journal: Journal,
    pub(super) state_file: StateFile,
    pub(super) tree: Option<SharedTree>,
    /// Where tasks may have trees of their own.
    pub(super) slots: Option<Slots>,
    pub(super) board: Board,
    pub(super) list: ListFile,
    pub(super) engine: RunState,
    pub(super) lives: Vec<Life>,
    pub(super) reporters: Reporters,
    pub(super) started: Instant,
    /// What the agents of the run that this one goes on with had used.
    pub(super) used_before: Spend,
}

impl Parts {
    /// The folder of the list as the state file has it: from the root, with a leading `./`.
    fn base_path(&self) -> String {
        let inside = self.paths.folder().strip_prefix(&self.root).unwrap_or(self.paths.folder());
        if inside.as_os_str().is_empty() { ".".to_owned() } else { format!("./{}", inside.display()) }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub(super) struct Driver {
    pub(super) parts: Parts,
    pub(super) told: VecDeque<Told>,
    pub(super) workers: JoinSet<Done>,
    lines: (mpsc::Sender<Line>, mpsc::Receiver<Line>),
    spawned: (mpsc::UnboundedSender<Spawned>, mpsc::UnboundedReceiver<Spawned>),
    /// An executor ran since the list was looked at.
    pub(super) executors_ran: bool,
    /// Events that reporters were told; the journal, which has the durable ones only, counts for itself.
    told_seq: u64,
    /// The list is not the one that was planned.
    pub(super) list_changed: bool,
    /// Why the run cannot go on.
    fatal: Option<Fatal>,
    pub(super) finish: Option<Finish>,
    pub(super) summary: Summary,
    state_dirty: bool,
    state_written: Option<Instant>,
    state_cost: Duration,
    /// State is at a step that just ended: behind its last member.
    at: Option<usize>,
    step_started: Instant,
    /// Files that git does not have: said once.
    pub(super) not_added: bool,
    /// What was said about prompts: said once.
    prompts_said: HashSet<String>,
    /// Tasks of the batch that landed together, without commits.
    pub(super) landed_early: HashSet<Node>,
    current: Option<Node>,
    started_at: String,
    pub(super) admission: Admission,
    /// Who writes briefs of tasks to come.
    pub(super) ahead: Ahead,
    /// A batch that is being checked as it is merged.
    pub(super) batch: Option<Batch>,
    /// Tasks that are about to land.
    pub(super) landing: Vec<Node>,
    /// Steps whose beginning is noted in a ref.
    pub(super) noted: HashSet<usize>,
    /// The step that is going on; 0 for the check of a parent.
    pub(super) step_number: usize,
    /// Landed or failed in graph mode, and not told yet.
    pub(super) to_tell: Vec<Node>,
    /// What is put into the list.
    pub(super) growth: Growth,
    /// What closed accounts last.
    limits: HashMap<Account, Limit>,
    /// What agents use, and may.
    pub(super) spending: Spending,
    in_use: (mpsc::UnboundedSender<InUse>, mpsc::UnboundedReceiver<InUse>),
    /// That tasks wait for a budget was told.
    held_by_budget: bool,
    /// Where an agent session carries out what needs an executor.
    pub(super) outside: Option<Outside>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let started = parts.started;
        let spending = Spending::new(&parts.settings, &parts.run, parts.used_before);
        let disks = vec![parts.root.clone(), parts.paths.folder().to_owned()];
        let settings = &parts.settings;
        let quotas = parts.board.doc.items.iter().filter(|item| !item.checked).map(|item| board::quota(item, settings));
        let memory = quotas.filter_map(|quota| quota.memory).max().unwrap_or_default();
        let admission = Admission::new(settings.admission.clone(), settings.max_parallel, disks, memory);
        Self {
            parts,
            told: VecDeque::new(),
            workers: JoinSet::new(),
            lines: mpsc::channel(LINES),
            spawned: mpsc::unbounded_channel(),
            executors_ran: false,
            told_seq: 0,
            list_changed: false,
            fatal: None,
            finish: None,
            summary: Summary::default(),
            state_dirty: true,
            state_written: None,
            state_cost: Duration::ZERO,
            at: None,
            step_started: started,
            not_added: false,
            prompts_said: HashSet::new(),
            landed_early: HashSet::new(),
            current: None,
            started_at: clock::timestamp(),
            admission,
            ahead: Ahead::default(),
            batch: None,
            landing: Vec::new(),
            noted: HashSet::new(),
            step_number: 0,
            to_tell: Vec::new(),
            growth: Growth::default(),
            limits: HashMap::new(),
            spending,
            in_use: mpsc::unbounded_channel(),
            held_by_budget: false,
            outside: None,
        }
    }

    /// Runs to the end and gives the exit code.
    pub(super) async fn run(mut self, mut signals: Signals, mailbox: Mailbox) -> u8 {
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut beats = tokio::time::interval(HEARTBEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let deadline = self.parts.settings.run_timeout.map(|limit| self.parts.started + limit);
        let mut killed = None;
        if let Err(fatal) = self.next_stage() {
            self.give_up(fatal);
        }
        self.turn();
        while self.finish.is_none() && !self.waits_outside() {
            if let Some(tree) = &mut self.parts.tree {
                tree.stale();
            }
            let wake = self.parts.engine.next_wake().map(|at| self.parts.started + Duration::from_millis(at));
            tokio::select! {
                biased;
                asked = signals.next() => match asked {
                    // What a session has stays its own, as after a kill: the next call goes on from there.
                    Asked::End(signal, _) if self.outside.is_some() => {
                        killed = Some(signal.exit_code());
                        break;
                    }
                    Asked::End(Signal::Interrupt, 1) => self.halt(Halt::Interrupt),
                    Asked::End(_, 1) => self.halt(Halt::Terminate),
                    Asked::End(signal, _) => {
                        killed = Some(signal.exit_code());
                        break;
                    }
                    Asked::StandStill => {
                        self.parts.reporters.clear();
                        tree::suspend();
                    }
                },
                Some(spawned) = self.spawned.1.recv() => self.spawned(&spawned),
                Some(in_use) = self.in_use.1.recv() => self.in_use(&in_use),
                Some(done) = self.workers.join_next() => {
                    // What it said last comes before its end.
                    while let Ok(line) = self.lines.1.try_recv() {
                        self.output(line);
                    }
                    self.ended(done);
                    // What ended at the same time is taken in one go.
                    while let Some(done) = self.workers.try_join_next() {
                        self.ended(done);
                    }
                }
                Some(written) = self.ahead.writers.join_next() => self.written(written),
                () = until(wake) => self.told.push_back(Told::Wake),
                () = until(self.admission.again()) => self.make_room(),
                () = until(deadline), if self.parts.engine.halt().is_none() => {
                    self.notice("warning", "run-timeout", "the time limit of the run is reached");
                    self.told.push_back(Told::Halt(Halt::RunTimeout));
                }
                _ = looks.tick() => {
                    if self.parts.engine.may_be_funded() {
                    self.told.push_back(Told::Funds);
                }
                    while let Some(request) = mailbox.take() {
                        self.steer(request);
                    }
                }
                Some(line) = self.lines.1.recv() => self.output(line),
                _ = beats.tick() => self.beat(),
                _ = frames.tick() => self.frame(),
            }
            self.turn();
            if let (Some(fatal), None, true) = (&self.fatal, &self.finish, self.workers.is_empty()) {
                // What failed may be just what the engine still waits to be told.
                self.finish = Some(Finish::Halted(fatal.halt));
            }
        }
        if killed.is_none() {
            killed = self.end_writers(&mut signals).await;
        }
        match killed {
            Some(code) => self.kill(code).await,
            None if self.stays_open() => self.put_down(),
            None => self.close(),
        }
    }

    fn halt(&mut self, halt: Halt) {
        self.notice("warning", "stopping", "stopping: what runs is ended and kept; once more ends at once");
        self.told.push_back(Told::Halt(halt));
    }

    /// Tells the engine what happened and carries out what it asks for, until nothing is left to tell.
    pub(super) fn turn(&mut self) {
        let started = self.summary.workers_started;
        loop {
            while let Some(told) = self.told.pop_front() {
                self.make_room();
                self.step(told);
            }
            if let Err(fatal) = self.end_reported() {
                self.give_up(fatal);
            }
            if self.told.is_empty() {
                break;
            }
        }
        if self.summary.workers_started > started {
            self.summary.most_at_once = self.summary.most_at_once.max(self.parts.engine.running());
        }
        if let Err(error) = self.parts.journal.flush() {
            self.give_up(error.into());
        }
        if let Some(hold) = self.admission.report(self.parts.engine.held()) {
            self.emit(hold).ok();
        }
        self.say_what_budgets_hold();
        // In graph mode no step ends before everything does: each is told as it lands or fails.
        for node in std::mem::take(&mut self.to_tell) {
            if let Err(fatal) = self.signal(node) {
                self.give_up(fatal);
            }
        }
    }

    fn step(&mut self, told: Told) {
        let now = self.now();
        for effect in engine::step(&mut self.parts.engine, now, told) {
            if let Err(fatal) = self.carry_out(effect) {
                self.give_up(fatal);
            }
        }
        if self.parts.engine.halt().is_some() {
            self.ahead.stop(Stop::Cancel);
            if let Some(batch) = &self.batch {
                batch.brake.pull(Stop::Cancel);
            }
        }
    }

    /// Looks at the machine, and starts what it has room for. Before every step, since any may start something.
    fn make_room(&mut self) {
        let ahead = self.ahead.len();
        if let Some(most) = self.admission.look(self.parts.engine.running() + ahead) {
            self.step(Told::Ceiling(most.saturating_sub(ahead).max(1)));
        }
    }

    pub(super) fn give_up(&mut self, fatal: Fatal) {
        self.told.push_back(Told::Halt(fatal.halt));
        if self.fatal.is_none() {
            self.notice("warning", "stopped", &fatal.message);
            self.fatal = Some(fatal);
        }
    }

    fn now(&self) -> Millis {
        (clock::now() - self.parts.started).as_millis().try_into().unwrap_or(u64::MAX)
    }

    // ---- events ---------------------------------------------------------------------------------------------------

    /// Appends events to the journal, with one write, and reports them; without secrets.
    pub(super) fn emit_all(&mut self, mut events: Vec<Event>) -> Result<(), PathError> {
        for event in &mut events {
            event.texts(|text| self.parts.mask.mask(text));
        }
        let time = clock::timestamp();
        // What only says how far a task came may wait for the end of the turn: nothing is started before that.
        let written = if events.iter().all(on_the_way) {
            self.parts.journal.enqueue(&events, &time)
        } else {
            self.parts.journal.append_all(&events, &time).map(drop)
        };
        for event in events {
            self.told_seq += 1;
            let (seq, run) = (self.told_seq, self.parts.run.clone());
            let envelope = Envelope { schema: SCHEMA.to_owned(), seq, time: time.clone(), run, event };
            self.parts.reporters.event(&envelope);
        }
        written
    }

    pub(super) fn emit(&mut self, event: Event) -> Result<(), PathError> {
        self.emit_all(vec![event])
    }

    /// Reports what stops nothing; a journal that cannot be written is found by the next event that matters.
    pub(super) fn notice(&mut self, level: &str, code: &str, message: &str) {
        let event = Event::Notice { level: level.to_owned(), code: code.to_owned(), message: message.to_owned() };
        self.emit(event).ok();
    }

    pub(super) fn task(&self, node: Node) -> TaskRef {
        self.parts.board.entries[node].task.clone()
    }

    pub(super) fn phase(&mut self, node: Node, phase: &str) -> Result<(), PathError> {
        self.emit(Event::TaskPhase { task: self.task(node), phase: phase.to_owned() })
    }

    // ---- effects --------------------------------------------------------------------------------------------------

    fn carry_out(&mut self, effect: Effect) -> Result<(), Fatal> {
        self.state_dirty = true;
        match effect {
            Effect::NextStage => self.next_stage()?,
            Effect::StageBegin { number, nodes } => self.stage_begins(number, &nodes)?,
            Effect::StageEnd { number, landed, failed } => self.stage_ends(number, &landed, &failed)?,
            Effect::Start { node, attempt, round, choice, timeout } => {
                self.start(node, attempt, (round, choice), timeout)?;
            }
            Effect::Closed { account, until } => self.account_closed(account, until)?,
            Effect::Verify { node, attempt, timeout } => self.verify(node, attempt, timeout)?,
            Effect::Stop { node } => {
                self.parts.lives[node].brake.pull(Stop::Cancel);
                self.stop_outside(node);
            }
            Effect::Passed { node } => {
                self.keep_work(node)?;
                self.emit(Event::TaskPassed { task: self.task(node), attempt: self.parts.lives[node].attempt })?;
                self.phase(node, "waiting")?;
                if self.parts.tree.is_none() {
                    // Nothing that it said is needed any more, and thousands may wait to land.
                    self.parts.lives[node].job = None;
                }
            }
            Effect::Landing { nodes } => self.landing(&nodes)?,
            Effect::Land { node } => {
                self.phase(node, "landing")?;
                if !self.is_apart(node) || self.has_outcome(node) || self.land_batch(node)? {
                    let result = self.land(node)?;
                    self.told.push_back(Told::Landed { node, result });
                }
            }
            Effect::Retry { node, attempt, failure, delay, counted } => {
                self.summary.retries += 1;
                let failure = self.masked(failure);
                let event = Event::TaskRetry {
                    task: self.task(node),
                    attempt,
                    code: failure.code.name().to_owned(),
                    reason: failure.reason.clone(),
                    evidence: failure.evidence.clone(),
                    delay_seconds: Duration::from_millis(delay).as_secs_f64(),
                    counted,
                };
                let life = &mut self.parts.lives[node];
                if let Some(own) = &mut life.own {
                    own.afresh |= failure.code == Code::Conflict;
                    // On the tree it began with it would see nothing wrong.
                    own.onto_tip |= failure.code == Code::VerifyMerged;
                    own.saved = own.work.take().or(own.saved.take());
                }
                (life.failure, life.gone) = (Some(Box::new(failure)), false);
                self.emit(event)?;
            }
            Effect::Fail { node, attempt, failure } => {
                let failure = self.masked(failure);
                self.failed(node, attempt, failure)?;
            }
            Effect::Block { node, by } => {
                let event = Event::TaskBlocked { task: self.task(node), by: self.parts.board.labels(&by) };
                // What failed before, and the fix of which failed, has failed.
                if self.parts.engine.kind(node) != Kind::Parent && !self.growth.may_mend(node) {
                    self.emit(event)?;
                }
            }
            Effect::Unblock { node } => {
                let life = std::mem::take(&mut self.parts.lives[node]);
                if self.growth.may_mend(node) {
                    let Life { failure, progress, salvage, seconds, .. } = life;
                    let (gone, mended) = (salvage.is_some(), true);
                    self.parts.lives[node] =
                        Life { failure, seconds, progress, gone, salvage, mended, ..Life::default() };
                }
            }
            Effect::Skip { node } => {
                self.salvage_own(node, true)?;
                self.emit(Event::TaskSkipped { task: self.task(node) })?;
            }
            Effect::Cancel { node } => {
                let started = self.parts.lives[node].attempt > 0;
                self.salvage_own(node, true)?;
                self.emit(Event::TaskCancelled { task: self.task(node), started })?;
            }
            Effect::Finish(finish) => self.finish = Some(finish),
        }
        Ok(())
    }

    /// The failure as it is told, to the next try, too.
    fn masked(&self, mut failure: Failure) -> Failure {
        self.parts.mask.mask(&mut failure.reason);
        self.parts.mask.mask(&mut failure.evidence);
        failure
    }

    /// The list is looked at before each step, and planned anew where it is not as it was.
    fn next_stage(&mut self) -> Result<(), Fatal> {
        self.look_at_list()?;
        self.grow()?;
        if self.list_changed {
            self.replan()?;
        } else {
            self.told.push_back(Told::Next);
        }
        Ok(())
    }

    fn replan(&mut self) -> Result<(), Fatal> {
        self.list_changed = false;
        let (mut plan, diagnostics) = plan::build(&self.parts.board.doc, &self.plan_options());
        let errors: Vec<_> = diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
        if let Some(error) = errors.first() {
            let (line, _) = self.parts.board.doc.position(error.span.start);
            let message = format!("{}:{line}: {}; mend the list and run it again", self.parts.shown, error.message);
            return Err(Fatal { message, halt: Halt::Fatal });
        }
        let missing = unrunnable(&self.parts.board.doc, &plan, &self.parts.settings);
        if let Some(index) = missing.first() {
            let label = self.parts.board.doc.label(*index);
            let message = format!("task {label} was added, and there is neither a Run nor --exec to run it");
            return Err(Fatal { message, halt: Halt::Fatal });
        }
        plan.mode = self.parts.board.plan.mode;
        self.parts.board.plan = plan;
        let known = self.parts.board.entries.len();
        let mut replan = self.parts.board.lay_out(&self.parts.settings);
        self.parts.lives.resize_with(self.parts.board.entries.len(), Life::default);
        let checked = |node: &Node| {
            let entry = &self.parts.board.entries[*node];
            !entry.gone && self.parts.board.doc.items[entry.task.index].checked
        };
        replan.done = (0..known).filter(checked).collect();
        replan.again = std::mem::take(&mut self.growth.again);
        self.wait_for_prerequisites(&mut replan.specs);
        self.told.push_back(Told::Replan(Box::new(replan)));
        Ok(())
    }

    /// Reads the list if somebody wrote to it. Ticks that came while executors ran are taken back: nobody can tell
    /// whose they are.
    pub(super) fn look_at_list(&mut self) -> Result<(), Fatal> {
        if let Some(found) = self.parts.list.changed()? {
            self.adopt(found)?;
        }
        if self.parts.engine.running() == 0 {
            self.executors_ran = false;
        }
        Ok(())
    }

    /// Takes these bytes for the list.
    pub(super) fn adopt(&mut self, mut found: Vec<u8>) -> Result<(), Fatal> {
        let path = self.parts.list.path.to_string_lossy().into_owned();
        for _ in 0..100 {
            let (new, _) = document::parse(found.clone(), &path);
            if new.items.is_empty() {
                let message = format!("{}: there is no checkbox in it any more", self.parts.shown);
                return Err(Fatal { message, halt: Halt::Fatal });
            }
            let old: Vec<(bool, String)> = (0..self.parts.board.doc.items.len())
                .map(|at| (self.parts.board.doc.items[at].checked, self.parts.board.doc.label(at)))
                .collect();
            let places = self.parts.board.adopt(new);
            self.parts.list.bytes = found;
            let ticked: Vec<usize> = places
                .iter()
                .zip(&old)
                .filter_map(|(place, (checked, _))| {
                    place.filter(|place| !checked && self.parts.board.doc.items[*place].checked)
                })
                .collect();
            self.list_changed = true;
            self.say_what_changed(&old, &places)?;
            // Where executors have trees of their own only a person can have ticked it.
            for node in ticked.iter().filter_map(|at| self.parts.board.node(*at)) {
                if self.parts.engine.own_tree(node) && self.outside.is_none() {
                    self.told.push_back(Told::Steer(Steer::Done(node)));
                }
            }
            if ticked.is_empty() || !self.executors_ran {
                return Ok(());
            }
            let labels: Vec<String> = ticked.iter().map(|at| self.parts.board.doc.label(*at)).collect();
            let message = format!(
                "{}: taken back, as nobody can tell who ticked it while tasks run in this tree: {}",
                self.parts.shown,
                labels.join(", ")
            );
            self.notice("warning", "tick-taken-back", &message);
            let edits: Vec<_> = ticked.iter().filter_map(|at| self.parts.board.doc.untick(*at)).collect();
            let Some(other) = self.parts.list.edit(&edits)? else {
                let (doc, _) = document::parse(self.parts.list.bytes.clone(), &path);
                self.parts.board.adopt(doc);
                return Ok(());
            };
            found = other;
        }
        Err(Fatal::written_all_the_time(&self.parts.shown))
    }

    fn say_what_changed(&mut self, old: &[(bool, String)], places: &[Option<usize>]) -> Result<(), PathError> {
        let doc = &self.parts.board.doc;
        let mut known = vec![false; doc.items.len()];
        for place in places.iter().flatten() {
            known[*place] = true;
        }
        let added = (0..doc.items.len()).filter(|at| !known[*at]).map(|at| doc.label(at)).collect();
        let removed =
            places.iter().zip(old).filter(|(place, _)| place.is_none()).map(|(_, (_, label))| label.clone()).collect();
        let (tasks, done) = self.count();
        self.emit(Event::ListChanged { tasks, done, added, removed })
    }

    /// Tasks in the list, and how many of them are done.
    pub(super) fn count(&self) -> (usize, usize) {
        let settings = &self.parts.settings;
        let doc = &self.parts.board.doc;
        let work =
            (0..doc.items.len()).filter(|at| doc.is_work(*at, settings.include_notes, settings.include_optional));
        work.fold((0, 0), |(tasks, done), at| (tasks + 1, done + usize::from(doc.items[at].checked)))
    }

    fn stage_begins(&mut self, number: usize, nodes: &[Node]) -> Result<(), Fatal> {
        self.at = None;
        self.step_number = number;
        self.ahead.look_again();
        self.spending.step = Total::default();
        self.step_started = clock::now();
        if number == 0 {
            return Ok(());
        }
        self.summary.steps += 1;
        let tasks = self.parts.board.labels(nodes);
        let parallel = nodes.len() > 1;
        self.emit(Event::StepStart { step: number, parallel, tasks: tasks.clone() })?;
        if parallel && self.parts.board.plan.mode == plan::Mode::Groups {
            self.emit(Event::BatchStart { step: number, tasks })?;
        }
        self.write_state_now_and_then();
        Ok(())
    }

    fn stage_ends(&mut self, number: usize, landed: &[Node], failed: &[Node]) -> Result<(), Fatal> {
        self.keep_learnings_of_failed(failed)?;
        let mut nodes: Vec<Node> = landed.iter().chain(failed).copied().collect();
        nodes.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        let batch = nodes.len() > 1 && self.parts.board.plan.mode == plan::Mode::Groups;
        // State moves on before anybody is told.
        if number > 0 && failed.is_empty() {
            self.at = nodes.last().map(|node| self.group_end(self.parts.board.entries[*node].task.index) + 1);
        }
        self.write_state_now_and_then();
        if batch {
            let event = Event::BatchComplete {
                step: number,
                completed: self.parts.board.labels(landed),
                failed: self.parts.board.labels(failed),
                duration_seconds: (clock::now() - self.step_started).as_secs_f64(),
                cost: self.spending.step.money.map(Money::usd),
            };
            self.emit(event)?;
        }
        for node in nodes {
            self.signal(node)?;
        }
        Ok(())
    }

    /// The last index of the parallel group that an item is in, or its own.
    fn group_end(&self, index: usize) -> usize {
        self.parts.board.plan.group_of(index).and_then(|group| group.tasks.last().copied()).unwrap_or(index)
    }

    /// Prints the signal of a task that is over, and of its group when it was the last of it.
    pub(super) fn signal(&mut self, node: Node) -> Result<(), Fatal> {
        if std::mem::replace(&mut self.parts.lives[node].told, true) {
            return Ok(());
        }
        let task = self.task(node);
        let life = &self.parts.lives[node];
        let parent = self.parts.engine.kind(node) == Kind::Parent;
        match self.parts.engine.phase(node) {
            Phase::Done if parent => return Ok(()),
            Phase::Done => {
                let verify = if life.verified { "pass" } else { "none" };
                let commit = life.commit.as_deref().map_or("none", |commit| commit.get(..7).unwrap_or(commit));
                let details = vec![
                    ("task".to_owned(), task.task.clone()),
                    ("status".to_owned(), "pass".to_owned()),
                    ("commit".to_owned(), commit.to_owned()),
                    ("verify".to_owned(), verify.to_owned()),
                ];
                self.emit(Event::Signal { signal: "TASK_COMPLETE".to_owned(), details })?;
            }
            // Whether it gets a fix is known when the step is over.
            Phase::Failed if self.growth.may_mend(node) => {
                self.parts.lives[node].told = false;
                return Ok(());
            }
            // Its last fix failed for good.
            Phase::Failed | Phase::Blocked if self.parts.engine.phase(node) == Phase::Failed || self.is_lost(node) => {
                let (code, reason) =
                    life.failure.as_ref().map_or(("", ""), |failure| (failure.code.name(), failure.reason.as_str()));
                let details = vec![
                    ("task".to_owned(), task.task.clone()),
                    ("code".to_owned(), code.to_owned()),
                    ("reason".to_owned(), reason.lines().next().unwrap_or_default().to_owned()),
                ];
                self.emit(Event::Signal { signal: "TASK_FAILED".to_owned(), details })?;
                return Ok(());
            }
            _ => {
                self.parts.lives[node].told = false;
                return Ok(());
            }
        }
        let board = &self.parts.board;
        let group = board.plan.group_of(task.index);
        let Some(group) = group.filter(|_| board.plan.mode == plan::Mode::Groups) else { return Ok(()) };
        // From the back: the last member is told last, so that one look is enough before that.
        let all_told = group.tasks.iter().rev().all(|index| {
            let told = board.node(*index).is_none_or(|node| self.parts.lives[node].told);
            board.doc.items[*index].checked && told
        });
        if all_told {
            let labels: Vec<String> = group.tasks.iter().map(|index| board.doc.label(*index)).collect();
            let details = vec![("tasks".to_owned(), labels.join(" "))];
            self.emit(Event::Signal { signal: "BATCH_COMPLETE".to_owned(), details })?;
        }
        Ok(())
    }

    // ---- a try ----------------------------------------------------------------------------------------------------

    /// What a task said when it started, taken once.
    pub(super) fn job(&mut self, node: Node) -> Arc<Job> {
        if let Some(job) = &self.parts.lives[node].job {
            return Arc::clone(job);
        }
        let job = Arc::new(self.new_job(node));
        self.parts.lives[node].job = Some(Arc::clone(&job));
        job
    }

    /// What a task says now.
    pub(super) fn new_job(&self, node: Node) -> Job {
        let board = &self.parts.board;
        let item = board.item(node);
        let block = match self.parts.engine.kind(node) {
            Kind::Run | Kind::Parent => &[],
            Kind::Exec | Kind::Verify { .. } => board.doc.source.get(item.block.clone()).unwrap_or_default(),
        };
        Job::new(item, String::from_utf8_lossy(block).into_owned(), &self.parts.settings)
    }

    /// Where a task's executors write their progress: in its own tree, if it works in one.
    pub(super) fn progress_file(&mut self, node: Node) -> PathBuf {
        let place = self.parts.lives[node].place.get_or_insert(self.parts.board.entries[node].task.index);
        let file = self.parts.paths.isolated_progress(*place);
        match (&self.parts.slots, life_root(&self.parts, node)) {
            (Some(slots), Some(root)) => slots.yard.inside(&file, &root),
            _ => file,
        }
    }

    pub(super) fn attempt(
        &mut self,
        node: Node,
        attempt: u32,
        timeout: Millis,
        job: &Job,
        claim: Option<&Claim>,
    ) -> Attempt {
        let task = self.task(node);
        let progress_file = self.progress_file(node);
        let entry = &self.parts.board.entries[node];
        let log = SpecPaths::log_name(&self.parts.run, task.index, &entry.title, attempt);
        let life = &mut self.parts.lives[node];
        if life.attempt != attempt {
            // What its Verify gets later is the rest of it.
            life.limit = Duration::from_millis(timeout);
        }
        let parts = &self.parts;
        let own = life_root(parts, node);
        let root = own.clone().unwrap_or_else(|| parts.root.clone());
        let seen = |path: &Path| match &parts.slots {
            Some(slots) if own.is_some() => slots.yard.inside(path, &root),
            _ => path.to_owned(),
        };
        let head = || parts.tree.as_ref().and_then(|tree| tree.head.commit.as_ref());
        let base = claim.map(Claim::base).or_else(head);
        let sandbox = parts.sandbox.as_ref().map(|sandbox| Cell {
            sandbox: sandbox.clone(),
            tree: root.clone(),
            folder: progress_file.parent().unwrap_or(&root).to_owned(),
            work: parts.paths.work(),
            scratch: sandbox.scratch(&format!("{}-{attempt}", task.index)),
        });
        let text = |text: &str| OsString::from(text);
        let mut vars: Vec<(&'static str, OsString)> = vec![
            ("SPEC_TASK_ID", text(&task.task)),
            ("SPEC_TASK_INDEX", text(&task.index.to_string())),
            ("SPEC_TASK_TITLE", text(&entry.title.replace('\0', ""))),
            ("SPEC_FILE", seen(parts.paths.list()).into()),
            ("SPEC_DIR", seen(parts.paths.folder()).into()),
            ("SPEC_PROGRESS_FILE", progress_file.into()),
            ("SPEC_RUN_ID", text(&parts.run)),
            ("SPEC_ATTEMPT", text(&attempt.to_string())),
            ("SPEC_BASE_SHA", text(base.map_or("", |base| base.as_str()))),
            ("SPEC_WORKTREE", root.clone().into()),
        ];
        if let (Some(slots), Some(root)) = (&parts.slots, &own) {
            vars.extend(slots.yard.variables(root));
        }
        Attempt {
            node,
            shell: Arc::clone(&parts.shell),
            cwd: job.dir.as_ref().map_or_else(|| root.clone(), |dir| root.join(dir)),
            root,
            env: attempt::environment(vars),
            run: parts.run.clone(),
            log: parts.paths.folder().join(log),
            timeout: Duration::from_millis(timeout),
            idle: parts.settings.idle_timeout,
            tool_idle: parts.settings.tool_timeout,
            grace: parts.settings.grace,
            quota: job.quota,
            sandbox,
            mask: Arc::clone(&parts.mask),
            display: Some(self.lines.0.clone()),
            spawned: self.spawned.0.clone(),
            in_use: self.in_use.0.clone(),
        }
    }

    fn task_start(&mut self, node: Node, attempt: u32, executor: &str) -> Result<(), PathError> {
        self.summary.attempts += 1;
        self.current = Some(node);
        let life = &mut self.parts.lives[node];
        life.attempt = attempt;
        life.brake = Brake::new();
        life.verified = false;
        life.over_budget = None;
        let task = self.task(node);
        let title = &self.parts.board.entries[node].title;
        let log = SpecPaths::log_name(&self.parts.run, task.index, title, attempt);
        let event = Event::TaskStart {
            task,
            attempt,
            title: self.parts.board.entries[node].title.clone(),
            executor: executor.to_owned(),
            log,
        };
        self.emit(event)
    }

    fn start(&mut self, node: Node, number: u32, chosen: (u32, usize), timeout: Millis) -> Result<(), Fatal> {
        let shell = self.parts.engine.kind(node) == Kind::Run;
        let agent = if shell || self.outside.is_some() { None } else { self.agent(node, chosen) };
        if let Some(agent) = &agent
            && !self.fund(node, agent)?
        {
            return Ok(());
        }
        let job = self.job(node);
        self.ahead.begins(node);
        let claim = self.claim(node, &job)?;
        let attempt = self.attempt(node, number, timeout, &job, claim.as_ref());
        let key = self.task(node).key;
        if let (Some(tree), None) = (&mut self.parts.tree, &claim) {
            let declared = job.files.iter().map(|file| Declared::new(&file.path, file.glob)).collect();
            tree.start(node, &key, declared)?;
        }
        let outside = !shell && self.outside.is_some();
        let name = agent.as_ref().map_or("exec", |order| order.agent.name());
        let name = if outside { "session" } else { name };
        self.task_start(node, number, if shell { "shell" } else { name })?;
        self.tell_slot(node, claim.as_ref())?;
        self.executors_ran |= !shell && claim.is_none();
        let scripts = job.run.to_vec();
        let brake = self.parts.lives[node].brake.clone();
        self.parts.lives[node].started = Some(clock::now());
        self.admission.started();
        self.summary.workers_started += 1;
        if outside {
            self.hand_out(node, attempt, claim)?;
        } else if shell {
            self.workers.spawn(async move {
                let work = |attempt: Attempt, brake| async move {
                    let ran = attempt.scripts(scripts, brake).await;
                    Worked { ran, report: Report::default(), session: None }
                };
                executor(node, attempt, claim, brake, work).await
            });
        } else if let Some(order) = agent {
            let prompt = self.prompt(node, number, &job);
            self.workers.spawn(async move {
                let work = |attempt: Attempt, brake| attempt.agent(order, prompt, brake);
                executor(node, attempt, claim, brake, work).await
            });
        } else {
            let command = self.parts.settings.exec.clone().unwrap_or_default();
            let prompt = self.prompt(node, number, &job);
            self.workers.spawn(async move {
                let work = |attempt: Attempt, brake| attempt.executor(command, prompt, brake);
                executor(node, attempt, claim, brake, work).await
            });
        }
        Ok(())
    }

    /// The agent for a try of a task; none where a command is the executor.
    fn agent(&mut self, node: Node, (round, choice): (u32, usize)) -> Option<Order> {
        let settings = &self.parts.settings;
        let board = &self.parts.board;
        let choice = board::choices(&board.doc, board.item(node), round, settings).into_iter().nth(choice)?;
        let board::Choice { agent, model } = choice;
        let life = &mut self.parts.lives[node];
        let before = life.agent.take().filter(|it| it.agent.name() == agent.name() && it.model == model);
        // Where its changes are gone it would go on from what is not there.
        let afresh = life.failure.as_ref().is_some_and(|it| it.code == Code::Conflict);
        let resumes = settings.resume && agent.resumes() && !afresh;
        let resume = before.and_then(|before| before.session).filter(|_| resumes);
        life.agent = Some(Box::new(Chosen { agent: agent.clone(), model: model.clone(), session: resume.clone() }));
        Some(Order {
            program: process::program(&agent),
            agent,
            model,
            resume,
            access: settings.access,
            git: self.parts.tree.is_some(),
            surroundings: settings.agent_env.clone(),
        })
    }

    /// Reserves what a try is expected to use; false where no budget allows it, so that it is not begun.
    fn fund(&mut self, node: Node, order: &Order) -> Result<bool, Fatal> {
        let class = format!("{} {}", order.agent.name(), order.model.as_deref().unwrap_or_default());
        let reserved = self.spending.reserve(node, &class);
        self.say_warnings_of_spending();
        let refused = match reserved {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(refused)) => refused,
            Err(why) => {
                let message = format!("the budget of the day cannot be held: {why}");
                return Err(Fatal { message, halt: Halt::Fatal });
            }
        };
        self.told.push_back(if refused.scope == Scope::Task {
            Told::Ended { node, result: Err(Failure::new(Code::QuotaCost, refused.to_string())) }
        } else {
            Told::Unfunded { node, wait: refused.wait }
        });
        Ok(false)
    }

    /// Says when tasks begin to wait for a budget, and when they do no more.
    fn say_what_budgets_hold(&mut self) {
        let tasks = self.parts.engine.unfunded();
        if (tasks > 0) != self.held_by_budget && self.parts.engine.halt().is_none() {
            self.held_by_budget = tasks > 0;
            let reason = self.spending.refused.map(|refused| refused.to_string()).unwrap_or_default();
            self.emit(Event::Hold { held: tasks > 0, what: "budget".to_owned(), reason, tasks }).ok();
        }
    }

    fn say_warnings_of_spending(&mut self) {
        for warning in self.spending.warnings() {
            self.notice("warning", "spending", &warning);
        }
    }

    /// An agent that runs has used so much: it is ended where that is more than its task may.
    fn in_use(&mut self, in_use: &InUse) {
        if let Some(over) = self.spending.used(in_use) {
            let life = &mut self.parts.lives[in_use.node];
            if life.over_budget.is_none() {
                life.over_budget = Some(over.to_string());
                life.brake.pull(Stop::Cancel);
            }
        }
    }

    /// A process of a try runs: noted, so that a run after this one can tell what is left.
    fn spawned(&mut self, spawned: &Spawned) {
        let attempt = self.parts.lives[spawned.node].attempt;
        let Spawned { node, pid, start_ticks } = *spawned;
        if let Err(error) = self.emit(Event::TaskSpawned { task: self.task(node), attempt, pid, start_ticks }) {
            self.give_up(error.into());
        }
    }

    /// The tree of its own for a try of a task; none where it works in the shared one.
    fn claim(&mut self, node: Node, job: &Job) -> Result<Option<Claim>, Fatal> {
        if !self.parts.engine.own_tree(node) || self.parts.slots.is_none() {
            return Ok(None);
        }
        let key = self.task(node).key;
        let declared = job.files.iter().map(|file| Declared::new(&file.path, file.glob)).collect();
        let mut own = self.parts.lives[node].own.take().unwrap_or_default();
        if std::mem::take(&mut own.afresh) {
            own.saved = None;
            self.give_back(own.space.take());
        }
        let space = own.space.take();
        let claim = if let (Some(space), Some(slots)) = (space, &self.parts.slots) {
            slots.claim_again(space, &key, declared)
        } else {
            let (base, saved) = match own.saved.take() {
                Some(work) if std::mem::take(&mut own.onto_tip) => {
                    let tip = self.base_for(node)?;
                    let merged = self.parts.tree.as_ref().map(|tree| tree.repo.stack(&tip, &[&work])).transpose()?;
                    match merged.filter(|merged| *merged != tip) {
                        Some(merged) => (tip, Some(merged)),
                        None => (work.base, Some(work.commit)),
                    }
                }
                Some(work) => (work.base, Some(work.commit)),
                None => (self.base_for(node)?, None),
            };
            self.make_place()?;
            let Some(slots) = &mut self.parts.slots else { return Ok(None) };
            slots.claim(base, saved, &key, declared)
        };
        own.root = claim.root();
        self.parts.lives[node].own = Some(own);
        Ok(Some(claim))
    }

    /// The commit that a task starts from: the tip, with what the members of its batch made that go before it.
    fn base_for(&mut self, node: Node) -> Result<Oid, Fatal> {
        // Each began with what went before it in turn, which is no part of its own commit.
        let mut before: Vec<Node> = vec![node];
        for at in 0.. {
            let Some(later) = before.get(at) else { break };
            for need in self.parts.engine.needs(*later) {
                if self.parts.engine.phase(need.node) == Phase::Passed && !before.contains(&need.node) {
                    before.push(need.node);
                }
            }
        }
        before.remove(0);
        before.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        let lives = &self.parts.lives;
        let works: Vec<&Work> = before.iter().filter_map(|it| lives[*it].own.as_ref()?.work.as_ref()).collect();
        let Some(tree) = &mut self.parts.tree else { return Err(no_base()) };
        // A branch that was switched is found when it is to land on it.
        tree.switched()?;
        let tip = tree.head.commit.as_ref().ok_or_else(no_base)?;
        Ok(tree.repo.stack(tip, &works)?)
    }

    /// Sees to it that there are no more slots than tasks at once: one that waits for its next try gives its own away.
    fn make_place(&mut self) -> Result<(), Fatal> {
        let Some(slots) = &self.parts.slots else { return Ok(()) };
        if slots.has_free() || slots.count() < self.parts.settings.max_parallel {
            return Ok(());
        }
        let has_space = |node: &Node| self.parts.lives[*node].own.as_ref().is_some_and(|own| own.space.is_some());
        let waits = |node: &Node| {
            matches!(self.parts.engine.phase(*node), Phase::Waiting | Phase::Ready | Phase::Backoff) && has_space(node)
        };
        let Some(node) = (0..self.parts.lives.len()).find(waits) else { return Ok(()) };
        let Some(own) = &mut self.parts.lives[node].own else { return Ok(()) };
        let space = own.space.take();
        let saved = match &space {
            Some(space) => space.save("what a task had made when it gave its tree away\n")?,
            None => None,
        };
        own.saved.clone_from(&saved);
        if let Some(Work { base, commit }) = saved {
            let (task, attempt) = (self.task(node), self.parts.lives[node].attempt);
            let (base, commit) = (base.to_string(), commit.to_string());
            self.emit(Event::TaskWork { task, attempt, base, commit })?;
        }
        self.give_back(space);
        Ok(())
    }

    pub(super) fn give_back(&mut self, space: Option<Box<Workspace>>) {
        if let (Some(slots), Some(space)) = (&mut self.parts.slots, space) {
            slots.give_back(*space);
        }
    }

    fn tell_slot(&mut self, node: Node, claim: Option<&Claim>) -> Result<(), PathError> {
        let Some(claim) = claim else { return Ok(()) };
        let (slot, base) = (claim.number(), claim.base().to_string());
        let attempt = self.parts.lives[node].attempt;
        self.emit(Event::TaskSlot { task: self.task(node), attempt, slot, base })
    }

    /// A task passed: what it made in its tree is kept as a commit, and the tree is free for another.
    fn keep_work(&mut self, node: Node) -> Result<(), Fatal> {
        let task = self.task(node);
        let life = &mut self.parts.lives[node];
        let attempt = life.attempt;
        let Some(own) = &mut life.own else { return Ok(()) };
        let Some(space) = own.space.take() else { return Ok(()) };
        let changes = life.taken.as_ref().map_or(&[][..], |taken| &taken.changes);
        let work = space.keep(changes, &format!("task {} of {}\n", task.task, self.parts.paths.name()))?;
        own.work.clone_from(&work);
        self.give_back(Some(space));
        if let Some(Work { base, commit }) = work {
            let (base, commit) = (base.to_string(), commit.to_string());
            self.emit(Event::TaskWork { task, attempt, base, commit })?;
        }
        Ok(())
    }

    pub(super) fn prompt(&mut self, node: Node, number: u32, job: &Job) -> String {
        let (prompt, said) = brief::prompt(&self.asked(node, number, job));
        for (code, message) in said {
            if self.prompts_said.insert(message.clone()) {
                self.notice("warning", code, &message);
            }
        }
        prompt.text()
    }

    /// What its prompt is made from.
    pub(super) fn asked<'a>(&'a self, node: Node, number: u32, job: &'a Job) -> brief::Asked<'a> {
        let parts = &self.parts;
        let entry = &parts.board.entries[node];
        let work = brief::Work {
            index: (!entry.gone).then_some(entry.task.index),
            label: &entry.task.task,
            place: parts.lives[node].place.unwrap_or(entry.task.index),
            block: &job.block,
            verify: &job.verify,
            files: &job.files,
            dir: job.dir.as_deref(),
            checkpoint: job.verify_marker,
        };
        brief::Asked {
            doc: &parts.board.doc,
            plan: &parts.board.plan,
            paths: &parts.paths,
            root: &parts.root,
            repo: parts.tree.as_ref().map(|tree| &tree.repo),
            settings: &parts.settings,
            mask: &parts.mask,
            work,
            attempt: number,
            failure: parts.lives[node].failure.as_deref(),
            gone: parts.lives[node].gone,
        }
    }

    fn verify(&mut self, node: Node, number: u32, timeout: Millis) -> Result<(), Fatal> {
        let job = self.job(node);
        // Its own tree as its executor left it, or one made ready where none ran.
        let space = self.parts.lives[node].own.as_mut().and_then(|own| own.space.take());
        let claim = if space.is_none() { self.claim(node, &job)? } else { None };
        let attempt = self.attempt(node, number, timeout, &job, claim.as_ref());
        if self.parts.lives[node].attempt != number {
            // No executor ran in this try: the commands are all of it.
            self.task_start(node, number, "verify")?;
            self.tell_slot(node, claim.as_ref())?;
        }
        self.phase(node, "verifying")?;
        self.parts.lives[node].started = Some(clock::now());
        let scripts = job.verify.to_vec();
        let brake = self.parts.lives[node].brake.clone();
        self.workers.spawn(async move {
            let unfit = |reason| Done::Unfit { node, verify: true, reason };
            let space = match (space, claim) {
                (None, Some(claim)) => match attempt.enter(claim, &brake).await {
                    Ok(space) => Some(space),
                    Err(reason) => return unfit(reason),
                },
                (space, _) => space,
            };
            let ran = attempt.scripts(scripts, brake).await;
            let Some(mut space) = space else { return Done::Verify { node, ran, space: None } };
            let look = move || space.look_after_verify().map(|changes| (space, changes));
            match aside(look).await {
                Ok(seen) => Done::Verify { node, ran, space: Some(seen) },
                Err(reason) => unfit(reason),
            }
        });
        Ok(())
    }

    fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let result = match done {
            Ok(Done::Executor { node, ran, report, session, space }) => {
                self.executor_ended(node, &ran, &report, session, space)
            }
            Ok(Done::Verify { node, ran, space }) => self.verify_ended(node, &ran, space),
            Ok(Done::Unfit { node, verify, reason }) => {
                self.clock_off(node);
                self.give_up(Fatal { message: reason.clone(), halt: Halt::Fatal });
                let result = Err(Failure::new(Code::Spawn, reason));
                self.told.push_back(if verify {
                    Told::Verified { node, result }
                } else {
                    Told::Ended { node, result }
                });
                Ok(())
            }
            Ok(Done::Merged(merged)) => self.merged(merged),
            Ok(Done::Ready { node, space }) => self.handed_out(node, Some(space)),
            Ok(Done::Back { node, space }) => self.came_back(node, Some(space)),
            // A worker neither panics nor is aborted; should it, the task must not hang.
            Err(error) => Err(Fatal { message: error.to_string(), halt: Halt::Fatal }),
        };
        if let Err(fatal) = result {
            self.give_up(fatal);
        }
    }

    fn clock_off(&mut self, node: Node) -> f64 {
        let life = &mut self.parts.lives[node];
        life.brake = Brake::default();
        let seconds = life.started.take().map_or(0.0, |started| (clock::now() - started).as_secs_f64());
        life.seconds += seconds;
        self.summary.work_seconds += seconds;
        seconds
    }

    pub(super) fn executor_ended(
        &mut self,
        node: Node,
        ran: &[Ran],
        report: &Report,
        session: Option<Box<Session>>,
        space: Option<Box<Workspace>>,
    ) -> Result<(), Fatal> {
        let seconds = self.clock_off(node);
        let task = self.task(node);
        let attempt = self.parts.lives[node].attempt;
        let mut events = Vec::new();
        if let Some(Ok(outcome)) = ran.last().map(|ran| &ran.outcome) {
            events.push(Event::TaskEnded {
                task: task.clone(),
                attempt,
                exit: outcome.exit,
                signal: outcome.signal,
                seconds,
                output_bytes: ran.iter().filter_map(|ran| ran.outcome.as_ref().ok()).map(|it| it.output_bytes).sum(),
                left_behind: outcome.left_behind,
            });
            if outcome.success() {
                self.summary.workers_succeeded += 1;
            } else {
                self.summary.workers_failed += 1;
            }
        }
        if let Some(text) = read_progress(&self.progress_file(node), &self.parts.mask) {
            if !text.trim().is_empty() {
                events.push(Event::TaskProgress { task: task.clone(), attempt, text: text.clone() });
            }
            let known = &mut self.parts.lives[node].progress;
            // What an earlier try said may be in another tree, which is not its own any more.
            if text.contains(known.as_str()) {
                *known = text;
            } else if !known.contains(&text) {
                known.push('\n');
                known.push_str(&text);
            }
        }
        if !report.notes.is_empty() {
            // What its result says that others should know is a learning like any other.
            let mut text = format!("## Learnings\n- {}\n", report.notes.join("\n- "));
            self.parts.mask.mask(&mut text);
            let known = &mut self.parts.lives[node].progress;
            if !known.contains(&text) {
                known.push('\n');
                known.push_str(&text);
            }
            events.push(Event::TaskProgress { task: task.clone(), attempt, text });
        }
        let mut head = Head::Fine;
        let mut commits = Vec::new();
        if let Some(mut space) = space {
            let reported: Vec<RepoPath> = report.files.iter().filter_map(|path| space.relative(path)).collect();
            let taken = space.end(&task.key, reported);
            let entries = taken.changes.iter().map(Change::to_wire).collect();
            events.push(Event::TaskTaken { task: task.clone(), attempt, entries, commits: Vec::new() });
            let life = &mut self.parts.lives[node];
            life.taken = Some(Box::new(taken));
            life.own.get_or_insert_default().space = Some(space);
        } else if let Some(tree) = &mut self.parts.tree {
            let root = &self.parts.root;
            let reported = report.files.iter().filter_map(|path| tree.repo.relative(&root.join(path)));
            let reported: Vec<RepoPath> = reported.collect();
            let (taken, moved, made) = tree.end(node, &task.key, reported)?;
            (head, commits) = (moved, made);
            events.push(Event::TaskTaken {
                task: task.clone(),
                attempt,
                entries: taken.changes.iter().map(Change::to_wire).collect(),
                commits: commits.iter().map(ToString::to_string).collect(),
            });
            events.extend(refusals(&mut tree.ledger, &format!("made while {} ran, and never committed", task.task)));
            self.parts.lives[node].taken = Some(Box::new(taken));
        }
        let (gates, result) = self.judge(node, ran, report, session.as_deref(), head, !commits.is_empty());
        if let Some(session) = session {
            let chosen = self.parts.lives[node].agent.as_ref().map(|chosen| chosen.agent.account().to_owned());
            let limited = result.as_ref().err().filter(|failure| failure.code == Code::RateLimited);
            if let (Some(limit), Some(account), Some(_)) = (&session.limit, chosen, limited) {
                self.limited(&account, limit);
            }
            events.extend(self.agent_ended(node, *session, seconds, &result));
            self.say_warnings_of_spending();
        } else {
            self.spending.release(node);
        }
        if self.parts.engine.unfunded() > 0 {
            // What was reserved for it is free, before what waited for that is given up.
            self.told.push_back(Told::Funds);
        }
        let shell = self.parts.engine.kind(node) == Kind::Run;
        for gate in gates {
            if !shell
                || gate.verdict == Verdict::Fail
                || !matches!(gate.verdict, Verdict::NotApplied) && !gate.detail.is_empty()
            {
                events.push(gate_event(&task, attempt, gate));
            }
        }
        let learned = events.iter().any(|event| matches!(event, Event::TaskProgress { .. }));
        self.emit_all(events)?;
        if learned {
            // Other tools delete isolated files: the journal is what keeps what is in them.
            self.parts.journal.sync()?;
        }
        self.look_at_list()?;
        let told = self.heed(node, report, result)?;
        self.told.push_back(told);
        if let Some(Err(error @ (SpawnError::NotFound { .. } | SpawnError::NotExecutable { .. }))) =
            ran.last().map(|ran| &ran.outcome)
        {
            return Err(Fatal { message: error.to_string(), halt: Halt::Fatal });
        }
        Ok(())
    }

    /// The model's service takes no more: nothing starts for that account until it does.
    fn limited(&mut self, account: &str, limit: &Limit) {
        let account = self.parts.board.account(account);
        let wait = limit.resets.as_ref().map(|resets| Duration::from_secs(resets.wait(&clock::wall_zoned())));
        self.limits.insert(account, limit.clone());
        // Where nobody knows when, and waiting is switched off, it would be asked all the time.
        let wait = wait.or_else(|| self.parts.settings.backoff.is_zero().then_some(SHORTEST_WAIT));
        // What is over by the time that it is told is tried again with the shortest wait.
        let until = wait.filter(|wait| !wait.is_zero()).map(|wait| self.now() + wait.as_millis() as Millis);
        self.told.push_back(Told::Closed { account, until });
    }

    /// An earlier run met a limit of an account, which may last.
    pub(super) fn still_closed(&mut self, account: &str, until: &str) {
        let Ok(until) = until.parse::<Timestamp>() else { return };
        let Ok(wait) = Duration::try_from(until.duration_since(clock::wall())) else { return };
        let Some(account) = self.parts.board.accounts.iter().position(|known| known == account) else { return };
        let until = self.now() + wait.as_millis() as Millis;
        self.told.push_back(Told::Closed { account, until: Some(until) });
    }

    fn account_closed(&mut self, account: Account, until: Millis) -> Result<(), PathError> {
        let wait = Duration::from_millis(until.saturating_sub(self.now()));
        let limit = self.limits.get(&account);
        let kind = limit.map_or("usage", |limit| limit.kind.name());
        let event = Event::AccountLimited {
            account: self.parts.board.accounts[account].clone(),
            limit: kind.to_owned(),
            until: clock::in_a_while(wait),
            seconds: wait.as_secs_f64(),
            reason: limit.map(|limit| limit.message.clone()).unwrap_or_default(),
        };
        self.emit(event)
    }

    /// What the agent of a try was and used; its session is kept for the next try.
    fn agent_ended(&mut self, node: Node, session: Session, seconds: f64, result: &Result<(), Failure>) -> Vec<Event> {
        let task = self.task(node);
        let (cost, soft) = self.spending.settle(node, &session);
        let life = &mut self.parts.lives[node];
        let mut agent = String::new();
        if let Some(chosen) = &mut life.agent {
            chosen.agent.name().clone_into(&mut agent);
            let mut used = chosen.session.take().map(|(_, used)| used).unwrap_or_default();
            used.tokens += session.tokens.unwrap_or_default();
            used.cost += session.cost.unwrap_or_default();
            chosen.session = session.id.clone().map(|id| (id, used));
        }
        let ended = Event::TaskAgent {
            task,
            attempt: life.attempt,
            agent,
            model: session.model,
            session: session.id,
            messages: session.messages,
            tool_calls: session.tool_calls,
            tokens: cost.tokens,
            cost: cost.money.map(Money::usd),
            estimated: cost.prices_of,
            seconds,
            outcome: result.as_ref().map_or_else(|failure| failure.code.name(), |()| "done").to_owned(),
        };
        let soft = soft.into_iter().map(|reached| Event::Notice {
            level: "warning".to_owned(),
            code: "budget".to_owned(),
            message: reached.to_string(),
        });
        std::iter::once(ended).chain(soft).collect()
    }

    fn judge(
        &self,
        node: Node,
        ran: &[Ran],
        report: &Report,
        session: Option<&Session>,
        head: Head,
        committed: bool,
    ) -> (Vec<Gate>, Result<(), Failure>) {
        let life = &self.parts.lives[node];
        let taken = life.taken.as_deref().unwrap_or(&NOTHING);
        let Some(job) = &life.job else { return (Vec::new(), Ok(())) };
        let settings = &self.parts.settings;
        let shell = self.parts.engine.kind(node) == Kind::Run;
        let Some(last) = ran.last() else {
            let failure = Failure::new(Code::Cancelled, "ended on request");
            return (Vec::new(), Err(failure));
        };
        let names = |paths: &[RepoPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut changes: Vec<String> = taken.changes.iter().map(|change| change.path.to_string()).collect();
        changes.extend(taken.overlaps.iter().map(ToString::to_string));
        changes.extend(taken.refused.iter().map(|refused| refused.path.to_string()));
        if committed && changes.is_empty() {
            changes.push("its own commits".to_owned());
        }
        let told = self.parts.tree.is_some() && taken.maybe.is_empty();
        let own = life_root(&self.parts, node);
        let root = own.as_deref().unwrap_or(&self.parts.root);
        let there = |path: &str, glob: bool| {
            if glob { glob_matches(root, path) } else { root.join(path).symlink_metadata().is_ok() }
        };
        let files = &job.files;
        let listed = |gone: bool| files.iter().filter(move |file| file.gone == gone);
        let missing: Vec<String> =
            listed(false).filter(|file| !there(&file.path, file.glob)).map(|file| file.path.clone()).collect();
        let still_there: Vec<String> =
            listed(true).filter(|file| there(&file.path, file.glob)).map(|file| file.path.clone()).collect();
        let too_many = taken.refused.iter().filter(|refused| refused.why == Refusal::TooMany).count();
        let secret = |refused: &Refused| match refused.why {
            Refusal::Secret => Some(refused.path.to_string()),
            Refusal::Contains { line, kind } => Some(format!("{}:{line} ({kind})", refused.path)),
            _ => None,
        };
        let secrets: Vec<String> = taken.refused.iter().filter_map(secret).collect();
        let end = match (last.end(life.limit), &life.over_budget) {
            (End::Cancelled, Some(over)) => End::OverQuota(Code::QuotaCost, over.clone()),
            (end, _) => end,
        };
        let agent = life.agent.as_ref().map(|chosen| &chosen.agent);
        let word = session.zip(agent).and_then(|(session, agent)| last_word(&end, session, agent));
        let tail = match session {
            Some(session) if !session.tail.is_empty() => attempt::last_lines(&session.said()),
            _ => last.tail(),
        };
        gates::judge(&Seen {
            end,
            word: word.as_ref(),
            later: (!shell && session.is_none()).then_some(LATER),
            signal: !shell && (settings.exec_signal || session.is_some() || self.outside.is_some()),
            checks: job.verify_marker,
            report,
            head,
            changes: (told || !changes.is_empty()).then_some(&changes[..]),
            // What mended it may have done all there was to do.
            must_change: !shell && !job.verify_marker && !job.files_none && !life.mended,
            missing: &missing,
            still_there: &still_there,
            outside: &names(&taken.outside),
            ownership: settings.ownership,
            too_many: (too_many > 0).then_some(too_many),
            secrets: &secrets,
            tail: &tail,
        })
    }

    fn verify_ended(
        &mut self,
        node: Node,
        ran: &[Ran],
        space: Option<(Box<Workspace>, Vec<Change>)>,
    ) -> Result<(), Fatal> {
        let seconds = self.clock_off(node);
        let task = self.task(node);
        let attempt = self.parts.lives[node].attempt;
        let limit = self.parts.lives[node].limit;
        let mut events = Vec::new();
        let mut result = Ok(());
        for one in ran {
            let outcome = one.outcome.as_ref().ok();
            events.push(Event::TaskVerify {
                task: task.clone(),
                attempt,
                command: one.script.clone(),
                exit: outcome.filter(|it| it.success() || it.signal.is_none()).and_then(|it| it.exit),
                seconds: outcome.map_or(seconds, |it| it.duration.as_secs_f64()),
                tail: one.tail(),
            });
            let command = one.script.lines().next().unwrap_or_default();
            let failure = match one.end(limit) {
                End::Exited(0) => continue,
                End::Exited(code) => Failure::new(Code::VerifyFailed, format!("`{command}`: exit {code}")),
                End::Signalled(signal) => Failure::new(Code::VerifyFailed, format!("`{command}`: signal {signal}")),
                End::TimedOut(limit) => Failure::new(Code::Timeout, format!("Verify `{command}` ran into {limit} s")),
                End::Stalled(limit) => Failure::new(Code::Stalled, format!("Verify `{command}`: silent for {limit} s")),
                End::OverQuota(code, reason) => Failure::new(code, format!("Verify `{command}` {reason}")),
                End::Cancelled => Failure::new(Code::Cancelled, "ended on request"),
                End::NotStarted(why) => Failure::new(Code::VerifyFailed, why),
            };
            result = Err(failure.with_evidence(one.tail()));
        }
        if ran.is_empty() {
            result = Err(Failure::new(Code::Cancelled, "ended on request"));
        }
        if let Some((mut space, changes)) = space {
            // Nothing that it wrote is left in anybody's way: it is said, and that is all.
            if !changes.is_empty() {
                let names: Vec<String> = changes.iter().take(5).map(|change| change.path.to_string()).collect();
                let more = if changes.len() > 5 { ", ..." } else { "" };
                let message =
                    format!("written by the Verify of {}, not committed: {}{more}", task.task, names.join(", "));
                events.push(Event::Notice { level: "info".to_owned(), code: "verify-wrote".to_owned(), message });
            }
            space.end(&task.key, []);
            self.parts.lives[node].own.get_or_insert_default().space = Some(space);
        } else if let Some(tree) = &mut self.parts.tree {
            let changes = tree.verified()?;
            let reason = format!("written by the Verify of {}", task.task);
            events.extend(refusals(&mut tree.ledger, &reason));
            if !changes.is_empty() {
                let entries = changes.iter().map(Change::to_wire).collect();
                events.push(Event::Unattributed { entries, reason });
            }
        }
        let verdict = if result.is_ok() { Verdict::Pass } else { Verdict::Fail };
        let detail = result.as_ref().err().map(|failure| failure.reason.clone()).unwrap_or_default();
        events.push(gate_event(&task, attempt, Gate { code: Code::VerifyFailed, verdict, detail }));
        self.emit_all(events)?;
        self.parts.lives[node].verified = result.is_ok();
        self.look_at_list()?;
        self.told.push_back(Told::Verified { node, result });
        Ok(())
    }

    // ---- people ---------------------------------------------------------------------------------------------------

    fn output(&mut self, line: Line) {
        let event =
            Event::TaskOutput { task: self.task(line.tag), stream: line.stream.name().to_owned(), text: line.text };
        self.emit(event).ok();
    }

    fn frame(&mut self) {
        let now = clock::now() - self.parts.started;
        self.parts.reporters.tick(now);
        self.write_state_now_and_then();
        self.look_ahead();
        let graph = self.parts.board.plan.mode == plan::Mode::Graph;
        // A box that a person ticks ends its task, where only a person can have.
        let apart = !self.executors_ran && self.parts.slots.is_some() && self.parts.engine.running() > 0;
        if (graph || apart) && self.parts.engine.halt().is_none() {
            let looked = self.look_at_list();
            if let Err(fatal) = looked.and_then(|()| if graph && self.list_changed { self.replan() } else { Ok(()) }) {
                self.give_up(fatal);
            }
        }
    }

    fn beat(&mut self) {
        self.spending.beat();
        for at in 0..self.parts.locks.len() {
            if let Err(error) = self.parts.locks[at].heartbeat(Timestamp::now()) {
                self.notice("warning", "heartbeat", &error.to_string());
            }
        }
    }

    fn steer(&mut self, request: Request) {
        let said = self.obey(&request.command);
        if let Err(error) = request.answer(said) {
            self.notice("warning", "control", &error.to_string());
        }
    }

    /// Does what is asked of the run, and says so, or why not.
    pub(super) fn obey(&mut self, command: &Command) -> Result<String, String> {
        match command {
            Command::Cancel => {
                self.told.push_back(Told::Halt(Halt::Interrupt));
                Ok("stopping: what runs is ended and kept".to_owned())
            }
            Command::Pause => self.pause(true),
            Command::Resume => self.pause(false),
            Command::Retry(label) => {
                self.steer_task(label, Steer::Retry, &[Phase::Failed, Phase::Skipped, Phase::Backoff])
            }
            Command::Skip(label) => {
                let open =
                    [Phase::Waiting, Phase::Ready, Phase::Backoff, Phase::Running, Phase::Ended, Phase::Verifying];
                self.steer_task(label, Steer::Skip, &open)
            }
        }
    }

    fn pause(&mut self, paused: bool) -> Result<String, String> {
        self.told.push_back(Told::Steer(if paused { Steer::Pause } else { Steer::Resume }));
        self.emit(Event::Paused { paused }).map_err(|error| error.to_string())?;
        let running = self.parts.engine.running();
        Ok(if paused { format!("paused: nothing new starts; {running} still running") } else { "going on".to_owned() })
    }

    fn steer_task(&mut self, label: &str, steer: fn(Node) -> Steer, from: &[Phase]) -> Result<String, String> {
        let found = self.parts.board.doc.select(label).unwrap_or_default();
        let nodes: Vec<Node> = found.iter().filter_map(|index| self.parts.board.node(*index)).collect();
        let [node] = nodes[..] else { return Err(format!("{label} is not a task of this run")) };
        let phase = self.parts.engine.phase(node);
        let name = self.task(node).task;
        if !from.contains(&phase) {
            return Err(format!("task {name} is {}: nothing to do", format!("{phase:?}").to_lowercase()));
        }
        self.told.push_back(Told::Steer(steer(node)));
        Ok(format!("task {name}: done"))
    }

    // ---- state file -----------------------------------------------------------------------------------------------

    /// Writes the state file when it is not too soon: a projection need not cost more than the run.
    fn write_state_now_and_then(&mut self) {
        let pause = STATE_EVERY.max(self.state_cost * 50);
        let soon = self.state_written.is_some_and(|at| clock::now() - at < pause);
        if self.state_dirty && !soon {
            self.state_dirty = false;
            let begun = clock::now();
            let state = self.state();
            if let Err(error) = self.parts.state_file.write(&state) {
                self.give_up(error.into());
            }
            self.state_cost = clock::now() - begun;
            self.state_written = Some(clock::now());
        }
    }

    pub(super) fn state(&self) -> state::State {
        let (board, settings) = (&self.parts.board, &self.parts.settings);
        let doc = &board.doc;
        let standing = |index: usize| {
            let failure = board.node(index).and_then(|node| {
                let failed = self.parts.engine.phase(node) == Phase::Failed;
                self.parts.lives[node].failure.as_ref().filter(|_| failed)
            });
            match failure {
                _ if doc.items[index].checked => Standing::Done,
                Some(failure) => Standing::Failed(format!("{}: {}", failure.code, failure.reason)),
                None => Standing::Open,
            }
        };
        let tasks: Vec<(usize, Standing)> = (0..doc.items.len())
            .filter(|index| doc.is_work(*index, settings.include_notes, settings.include_optional))
            .map(|index| (index, standing(index)))
            .collect();
        let groups: Vec<Vec<usize>> = board.plan.groups.iter().map(|group| group.tasks.clone()).collect();
        let numbering = if self.parts.paths.is_ralph() {
            Numbering::of_ralph(&doc.source, doc.items.iter().map(|item| item.line))
        } else {
            Numbering::by_index(doc.items.len())
        };
        state::project(&Projection {
            name: &self.parts.paths.name(),
            base_path: &self.parts.base_path(),
            tasks_file: &self.parts.paths.list_name(),
            numbering: &numbering,
            tasks: &tasks,
            groups: &groups,
            at: self.at,
            attempt: self.current.map_or(0, |node| self.parts.lives[node].attempt),
            max_attempts: settings.max_attempts,
            attempts_made: self.summary.attempts,
            fixed: &self.fixed(),
            run: state::Run {
                id: self.parts.run.clone(),
                pid: std::process::id(),
                session_id: self.outside.as_ref().map(|outside| outside.session().to_owned()),
                started_at: self.started_at.clone(),
                approval_before: None,
            },
        })
    }

    // ---- the end --------------------------------------------------------------------------------------------------

    /// A second signal: everything is ended at once, and the next run finds out the rest.
    async fn kill(mut self, code: u8) -> u8 {
        for brake in
            self.parts.lives.iter().map(|life| &life.brake).chain(self.batch.as_ref().map(|batch| &batch.brake))
        {
            brake.pull(Stop::Kill);
        }
        self.ahead.stop(Stop::Kill);
        let all = async {
            while self.workers.join_next().await.is_some() {}
            while self.ahead.writers.join_next().await.is_some() {}
        };
        // Bounded: a process that the kernel does not let go of must not keep us.
        tokio::time::timeout(Duration::from_secs(6), all).await.ok();
        self.parts.reporters.finish();
        code
    }

    fn close(mut self) -> u8 {
        for node in self.lost() {
            self.signal(node).ok();
        }
        for node in 0..self.parts.lives.len() {
            if let Err(fatal) = self.salvage_own(node, true) {
                self.notice("warning", "salvage", &fatal.message);
            }
        }
        let (tasks, done) = self.count();
        let phases: Vec<Phase> = (0..self.parts.engine.len()).map(|node| self.parts.engine.phase(node)).collect();
        let is_task = |node: &Node| self.parts.engine.kind(*node) != Kind::Parent;
        let labels = |wanted: &[Phase]| -> Vec<String> {
            let nodes: Vec<Node> =
                (0..phases.len()).filter(|node| wanted.contains(&phases[*node]) && is_task(node)).collect();
            self.parts.board.labels(&nodes)
        };
        let failed_parents: Vec<Node> =
            (0..phases.len()).filter(|node| !is_task(node) && phases[*node] == Phase::Failed).collect();
        let mut summary = std::mem::take(&mut self.summary);
        (summary.tasks, summary.done) = (tasks, done);
        summary.failed = labels(&[Phase::Failed]);
        summary.failed.extend(self.parts.board.labels(&failed_parents));
        summary.blocked = labels(&[Phase::Blocked]);
        let lost = self.parts.board.labels(&self.lost());
        summary.blocked.retain(|label| !lost.contains(label));
        summary.failed.extend(lost);
        summary.skipped = labels(&[Phase::Skipped]);
        summary.cancelled = labels(&[Phase::Cancelled]);
        let open = [Phase::Waiting, Phase::Ready, Phase::Backoff, Phase::Running, Phase::Ended, Phase::Verifying];
        summary.pending = labels(&open);
        summary.pending.extend(labels(&[Phase::Passed, Phase::Landing]));
        let used = self.spending.run;
        (summary.cost, summary.tokens) = (used.money.map(Money::usd), used.tokens);
        summary.cost_estimated = used.estimated.map(Money::usd);
        let is_work = |node: &Node| self.parts.board.is_open_task(*node);
        let deferred: Vec<Node> = (0..phases.len()).filter(|node| phases[*node] == Phase::Deferred).collect();
        summary.pending.extend(self.parts.board.labels(&deferred.into_iter().filter(is_work).collect::<Vec<_>>()));
        summary.wall_seconds = self.wall_seconds();
        summary.speedup = if summary.wall_seconds > 0.0 { summary.work_seconds / summary.wall_seconds } else { 0.0 };
        let bound = plan::bound(&self.parts.board.plan, |index| {
            self.parts.board.node(index).map_or(0.0, |node| self.parts.lives[node].seconds)
        });
        // Not -0.0, which is what a sum over nothing is.
        summary.bound_seconds = bound.bound + 0.0;
        if let Some(tree) = &self.parts.tree {
            let mut paths: Vec<String> = tree
                .ledger
                .unattributed()
                .iter()
                .filter(|it| !it.persons)
                .map(|it| it.change.path.to_string())
                .chain(tree.ledger.refused().map(ToString::to_string))
                .collect();
            paths.sort();
            summary.unattributed = paths;
        }
        self.close_committer();
        if let (Some(Finish::Halted(Halt::Budget)), Some(refused)) = (&self.finish, self.spending.refused) {
            let next = match refused.scope {
                Scope::Day => "tomorrow, or with more for budget.day in spec.toml,",
                _ => "with more for --max-cost or --max-tokens (budget.run in spec.toml)",
            };
            self.notice("warning", "budget", &format!("{refused}; {next} `spec run` goes on"));
        }
        if let Some(Finish::Deadlock(waiting)) = &self.finish {
            let board = &self.parts.board;
            let lines: Vec<String> = waiting
                .iter()
                .map(|(node, on)| {
                    format!("{} waits for {}", board.labels(&[*node]).concat(), board.labels(on).join(", "))
                })
                .collect();
            self.notice("warning", "deadlock", &format!("nothing can start any more: {}", lines.join("; ")));
        }
        self.at = None;
        let state = self.state();
        if let Err(error) = self.parts.state_file.finish(&state) {
            self.give_up(error.into());
            if !matches!(self.finish, Some(Finish::Halted(_))) {
                self.finish = Some(Finish::Halted(Halt::Fatal));
            }
        }
        let (exit, outcome) = self.verdict(&summary);
        if exit == exit::DONE && tasks == done && tasks > 0 && self.nothing_open() {
            let event = Event::Signal { signal: "ALL_TASKS_COMPLETE".to_owned(), details: Vec::new() };
            self.emit(event).ok();
        }
        let complete = Event::RunComplete { exit, outcome: outcome.to_owned(), summary };
        let written = self.emit(complete).and_then(|()| self.parts.journal.sync());
        if let Err(error) = written {
            self.notice("warning", "stopped", &error.to_string());
        }
        self.parts.reporters.finish();
        self.end_lease(exit, outcome);
        exit
    }

    pub(super) fn close_committer(&mut self) {
        if let Some(committer) = self.parts.tree.as_mut().and_then(|tree| tree.committer.take())
            && let Err(error) = committer.close()
        {
            self.notice("warning", "hooks-tree", &error.to_string());
        }
    }

    /// Whether every item of role task is ticked, whatever the run included.
    fn nothing_open(&self) -> bool {
        self.parts.board.doc.items.iter().all(|item| item.role != document::Role::Task || item.checked)
    }

    /// Exit code and outcome: interrupted before conflict before limits before failures.
    fn verdict(&self, summary: &Summary) -> (u8, &'static str) {
        let skips = !summary.skipped.is_empty() && !self.parts.settings.allow_skips;
        let bad = !summary.failed.is_empty() || !summary.blocked.is_empty() || skips;
        match &self.finish {
            Some(Finish::Halted(Halt::Terminate)) => (exit::TERMINATED, "interrupted"),
            Some(Finish::Halted(Halt::Interrupt)) => (exit::INTERRUPTED, "interrupted"),
            Some(Finish::Halted(Halt::Fatal)) => (exit::USAGE, "stopped"),
            Some(Finish::Halted(Halt::Conflict)) => (exit::CONFLICT, "conflict"),
            Some(Finish::Halted(Halt::RunTimeout | Halt::Budget)) => (exit::STOPPED, "stopped"),
            Some(Finish::Deadlock(_)) => (exit::FAILED, "failed"),
            _ if bad => (exit::FAILED, "failed"),
            _ => (exit::DONE, "done"),
        }
    }
}

/// What is in the tree and was never taken from there: noted, so that the next run does not take it for a person's.
fn refusals(ledger: &mut Attribution, reason: &str) -> Option<Event> {
    let entries: Vec<TreeEntry> = ledger.refusals().iter().map(Refused::to_wire).collect();
    (!entries.is_empty()).then(|| Event::Unattributed { entries, reason: reason.to_owned() })
}

fn gate_event(task: &TaskRef, attempt: u32, gate: Gate) -> Event {
    Event::TaskGate {
        task: task.clone(),
        attempt,
        gate: gate.code.name().to_owned(),
        verdict: gate.verdict.name().to_owned(),
        detail: gate.detail,
    }
}

/// Tasks of the plan that nothing can run.
#[must_use]
pub fn unrunnable(doc: &Document, plan: &plan::Plan, settings: &RunSettings) -> Vec<usize> {
    if settings.has_executor() {
        return Vec::new();
    }
    let needs = |index: &usize| board::kind(&doc.items[*index], settings) == Kind::Exec;
    plan.open.iter().copied().filter(needs).collect()
}

/// Whether a pattern names something that is there. Without git it is taken at its folder.
fn glob_matches(root: &Path, pattern: &str) -> bool {
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    let declared = Declared::new(pattern, true);
    let mut folders = vec![root.join(&fixed)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let inside = path.strip_prefix(root).unwrap_or(&path);
            if declared.covers(&RepoPath::new(inside.as_os_str().as_encoded_bytes())) {
                return true;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != ".git" {
                folders.push(path);
            }
        }
    }
    false
}

fn no_base() -> Fatal {
    Fatal { message: "the branch has no commit any more".to_owned(), halt: Halt::Fatal }
}

/// Whether an event only says how far a task came.
fn on_the_way(event: &Event) -> bool {
    matches!(
        event,
        Event::TaskStart { .. }
            | Event::TaskSpawned { .. }
            | Event::TaskEnded { .. }
            | Event::TaskGate { .. }
            | Event::TaskPhase { .. }
            | Event::TaskPassed { .. }
    )
}

/// The root of a task's own tree, if it works in one.
pub(super) fn life_root(parts: &Parts, node: Node) -> Option<PathBuf> {
    let own = parts.lives[node].own.as_ref()?;
    (!own.root.as_os_str().is_empty()).then(|| own.root.clone())
}

/// A try: the tree made ready where it is the task's own, the executor, and a look at what it did.
async fn executor<W, F>(node: Node, attempt: Attempt, claim: Option<Claim>, brake: Brake, work: W) -> Done
where
    W: FnOnce(Attempt, Brake) -> F,
    F: Future<Output = Worked>,
{
    let unfit = |reason| Done::Unfit { node, verify: false, reason };
    let mut space = match claim {
        None => None,
        Some(claim) => match attempt.enter(claim, &brake).await {
            Ok(space) => Some(space),
            Err(reason) => return unfit(reason),
        },
    };
    let Worked { ran, report, session } = work(attempt, brake).await;
    if let Some(mut inside) = space.take() {
        match aside(move || inside.look().map(|()| inside)).await {
            Ok(inside) => space = Some(inside),
            Err(reason) => return unfit(reason),
        }
    }
    Done::Executor { node, ran, report, session, space }
}

/// What is in an isolated progress file, if it is there, without secrets.
pub(super) fn read_progress(path: &Path, mask: &Masker) -> Option<String> {
    let mut bytes = crate::store::fs::read_if_exists(path).ok().flatten()?;
    bytes.truncate(PROGRESS_MAX);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    mask.mask(&mut text);
    Some(text)
}

/// Sleeps until then; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
