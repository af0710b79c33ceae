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
//!
//! Here is the loop and what each effect comes to; the rest of a run, in the order of the life of a task:
//!
//! | module | what it does |
//! | --- | --- |
//! | `replan` | looks at the list, which a person may edit, and plans it anew |
//! | `steps` | begins and ends steps, gives signals |
//! | `start`, `trees` | begins a try, in the tree that is its own or the shared one |
//! | `usage` | takes it from budgets, closes accounts at their limit |
//! | `ended` | takes and judges what it did |
//! | [`landing`](super::landing), [`batch`](super::batch) | commits what passed, one task or a batch of trees |
//! | [`growth`](super::growth) | puts tasks into the list |
//! | `steering`, [`outside`](super::outside) | heeds a person, or an agent session |
//! | `closing` | sums up |

mod closing;
mod ended;
mod replan;
mod start;
mod steering;
mod steps;
mod trees;
mod usage;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use self::ended::read_progress;
pub use self::replan::unrunnable;
use super::admission::Admission;
use super::ahead::Ahead;
use super::attempt::{Brake, Ran, Spawned};
use super::batch::{Batch, Merged};
use super::board::{self, Board, ListFile};
use super::clock;
use super::control::{LOOK_EVERY, Mailbox};
use super::growth::Growth;
use super::outside::Outside;
use super::process::{Line, Stop};
use super::sandbox::Sandbox;
use super::shared::SharedTree;
use super::shell::Shell;
use super::signals::{Asked, Signal, Signals};
use super::slots::{Slots, Workspace};
use super::spending::{InUse, Spending};
use super::tree;
use crate::agent::{Agent, Limit, Session, Used};
use crate::cli::settings::RunSettings;
use crate::document::quota::Quota;
use crate::document::{self, FileEntry};
use crate::engine::budget::Spend;
use crate::engine::output::Report;
use crate::engine::{
    self, Account, Code, Effect, Event as Told, Failure, Finish, Halt, Kind, Millis, Node, Phase, RunState,
};
use crate::git::{Change, Taken, Work};
use crate::mask::Masker;
use crate::plan;
use crate::report::Reporters;
use crate::store::event::{Envelope, Event, SCHEMA, Summary, TaskRef};
use crate::store::fs::PathError;
use crate::store::journal::Journal;
use crate::store::lock::SpecLock;
use crate::store::paths::SpecPaths;
use crate::store::recovery::Made;
use crate::store::state::{self, Numbering, Projection, Standing, StateFile};

/// Lines for display that may wait; more are dropped, the log has them all.
const LINES: usize = 256;
/// How often the live view is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How often the lock says that we are there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The state file is written at most this often, and late by no more than a frame.
const STATE_EVERY: Duration = Duration::from_millis(50);

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
            verify_marker: item.is_verify(),
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
    /// When which try may run into the end of its time soon.
    late: BTreeSet<(Instant, Node, u32)>,
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
            late: BTreeSet::new(),
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
                () = until(self.late.first().map(|(at, ..)| *at)) => self.say_who_is_late(),
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
            Some(code) => Box::pin(self.kill(code)).await,
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

    pub(super) fn now(&self) -> Millis {
        (clock::now() - self.parts.started).as_millis().try_into().unwrap_or(u64::MAX)
    }

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

/// Sleeps until then; for ever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
