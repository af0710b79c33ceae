//! [`RunState`]: what is known of a run, and the transitions that [`step`](super::step) makes. An event costs what it
//! changes (the logarithm of the number of tasks for the ordered sets), never a look at all tasks; only a new reading of
//! the list looks at what is left as a whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::policy::Next;
use super::{
    Account, Code, Effect, Event, Failure, Finish, Halt, Kind, Millis, Need, Node, Policy, Replan, Seed, Stage, Steer,
    TaskSpec,
};

/// Where a task is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// For what it needs, or for its stage.
    Waiting,
    /// For a place.
    Ready,
    /// For its next try.
    Backoff,
    /// Its executor runs.
    Running,
    /// Its executor ended well; its Verify is to come.
    Ended,
    /// Its Verify runs.
    Verifying,
    /// Only landing is left.
    Passed,
    /// It is landing.
    Landing,
    /// It landed.
    Done,
    /// Its tries are used up.
    Failed,
    /// Something it needs did not land.
    Blocked,
    /// A person left it out.
    Skipped,
    /// It was ended with the run.
    Cancelled,
    /// It asked for other tasks, or needs one that did: it waits for the next reading of the list.
    Deferred,
    /// It is no longer in the list.
    Removed,
}

impl Phase {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Done
            | Self::Failed
            | Self::Blocked
            | Self::Skipped
            | Self::Cancelled
            | Self::Deferred
            | Self::Removed => true,
            Self::Waiting
            | Self::Ready
            | Self::Backoff
            | Self::Running
            | Self::Ended
            | Self::Verifying
            | Self::Passed
            | Self::Landing => false,
        }
    }
}

/// Why the processes of a task were told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Skip,
    Done,
    Halt,
}

/// One task.
#[derive(Debug, Clone)]
struct Task {
    spec: TaskSpec,
    phase: Phase,
    seed: Seed,
    /// Crashes and limits in a row.
    strikes: u32,
    /// How many of its needs are not met.
    unmet: usize,
    /// What waits for it, and whether its failure blocks that.
    dependents: Vec<(Node, bool)>,
    /// Others may build on it: passed, or landed where tasks land one by one.
    released: bool,
    /// When its executor or Verify was started.
    started: Millis,
    /// Time used by this try's executor.
    used: Millis,
    stopping: Option<Stopping>,
    /// What its executor works for.
    account: Option<Account>,
    /// Number of its stage.
    stage: usize,
    /// Its stage is going on.
    active: bool,
    /// Its stage is over.
    past: bool,
}

/// The stage that is going on; an empty one before the first, between two and behind the last.
#[derive(Debug, Clone, Default)]
struct Active {
    going: bool,
    number: usize,
    nodes: BTreeSet<Node>,
    /// Tasks of it that are not final.
    open: usize,
    landed: Vec<Node>,
    /// Members whose first try failed; when that is all of two or more, the rest goes one at a time.
    first_failed: usize,
    serial: bool,
}

/// What is known of a run.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub struct RunState {
    policy: Policy,
    now: Millis,
    tasks: Vec<Task>,
    stages: VecDeque<Stage>,
    active: Active,
    /// First tries before others, then who holds up more, then index order.
    ready: BTreeSet<(bool, Reverse<usize>, usize, Node)>,
    /// Ready, but no budget allowed their start.
    unfunded: BTreeSet<Node>,
    /// That may change although nothing of this run ends.
    may_be_funded: bool,
    ended: BTreeSet<(usize, Node)>,
    passed: BTreeSet<(usize, Node)>,
    landing: VecDeque<Node>,
    landing_now: Option<Node>,
    verifying: Option<Node>,
    running: usize,
    timers: BTreeSet<(Millis, Node)>,
    paused: bool,
    /// What the machine has room for.
    ceiling: usize,
    /// Accounts that take no more for now: until when, and how often in a row nobody knew that.
    closed: BTreeMap<Account, (Millis, u32)>,
    halt: Option<Halt>,
    asked: bool,
    /// A stage ended with something that did not land.
    broken: bool,
    finished: bool,
}

impl RunState {
    /// A run at its beginning. `tasks` are the nodes 0, 1, 2 ... with what an earlier run that was killed left of them;
    /// `stages` names each node once. Begin it with [`Event::Next`].
    #[must_use]
    pub fn new(policy: Policy, tasks: Vec<(TaskSpec, Seed)>, stages: Vec<Stage>) -> Self {
        let mut state = Self {
            policy,
            now: 0,
            tasks: Vec::with_capacity(tasks.len()),
            stages: stages.into(),
            active: Active::default(),
            ready: BTreeSet::new(),
            unfunded: BTreeSet::new(),
            may_be_funded: false,
            ended: BTreeSet::new(),
            passed: BTreeSet::new(),
            landing: VecDeque::new(),
            landing_now: None,
            verifying: None,
            running: 0,
            timers: BTreeSet::new(),
            paused: false,
            ceiling: usize::MAX,
            closed: BTreeMap::new(),
            halt: None,
            asked: true,
            broken: false,
            finished: false,
        };
        for (spec, seed) in tasks {
            state.tasks.push(Task::new(spec, seed));
        }
        state.relink();
        state
    }

    /// Where a task is.
    #[must_use]
    pub fn phase(&self, node: Node) -> Phase {
        self.tasks[node].phase
    }

    /// Tries of a task so far, this run's and those of the run it goes on with.
    #[must_use]
    pub fn tries(&self, node: Node) -> u32 {
        self.tasks[node].seed.tries
    }

    /// What does the work of a task.
    #[must_use]
    pub fn kind(&self, node: Node) -> Kind {
        self.tasks[node].spec.kind
    }

    /// Whether a task works in a tree of its own.
    #[must_use]
    pub fn own_tree(&self, node: Node) -> bool {
        self.tasks[node].spec.own_tree
    }

    /// How often a task did not fit the tip.
    #[must_use]
    pub fn conflicts(&self, node: Node) -> u32 {
        self.tasks[node].seed.conflicts
    }

    /// What a task waits for, in its newest version.
    #[must_use]
    pub fn needs(&self, node: Node) -> &[Need] {
        &self.tasks[node].spec.needs
    }

    /// How many tasks the run has known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether the run never had a task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Executors that run now.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running
    }

    /// How many tasks wait for a budget to allow their start.
    #[must_use]
    pub fn unfunded(&self) -> usize {
        self.unfunded.len()
    }

    /// When an account takes more; long ago where it was never closed.
    #[must_use]
    pub fn opens(&self, account: Account) -> Millis {
        self.closed.get(&account).map_or(0, |(until, _)| *until)
    }

    /// Whether a budget may come to allow what it does not, although nothing of this run ends: [`Event::Funds`] is wanted
    /// now and then.
    #[must_use]
    pub const fn may_be_funded(&self) -> bool {
        self.may_be_funded
    }

    /// The number of the stage that is going on.
    #[must_use]
    pub fn stage(&self) -> Option<usize> {
        self.active.going.then_some(self.active.number)
    }

    /// Whether nothing new is started until a person says so.
    #[must_use]
    pub const fn paused(&self) -> bool {
        self.paused
    }

    /// Why the run is stopping, if it is.
    #[must_use]
    pub const fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// When [`Event::Wake`] is wanted.
    #[must_use]
    pub fn next_wake(&self) -> Option<Millis> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn step(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        let mut fx = Vec::new();
        if self.finished {
            return fx;
        }
        self.now = self.now.max(now);
        match event {
            Event::Next => self.asked = false,
            Event::Replan(replan) => self.replan(*replan, &mut fx),
            Event::Ended { node, result } => self.executor_ended(node, result, &mut fx),
            Event::Asked { node } => self.asks(node, &mut fx),
            Event::Verified { node, result } => self.verified(node, result, &mut fx),
            Event::Landed { node, result } => self.landed(node, result, &mut fx),
            Event::Wake => {}
            Event::Steer(steer) => self.steer(steer, &mut fx),
            Event::Ceiling(most) => self.ceiling = most,
            Event::Closed { account, until } => self.close_account(account, until, &mut fx),
            Event::Unfunded { node, wait } => self.not_begun(node, wait, &mut fx),
            Event::Funds => self.ask_again(),
            Event::Halt(halt) => self.halt_now(halt, &mut fx),
        }
        self.wake(&mut fx);
        self.pump(&mut fx);
        fx
    }

    // ---- what can go on now -------------------------------------------------------------------------------------

    /// Does everything that can be done now.
    fn pump(&mut self, fx: &mut Vec<Effect>) {
        loop {
            if let Some(halt) = self.halt {
                return self.wind_down(halt, fx);
            }
            if !self.active.going && !self.next_stage(fx) {
                return;
            }
            self.start_ready(fx);
            self.verify_next(fx);
            self.land_next(fx);
            if !self.end_stage(fx) {
                return;
            }
        }
    }

    /// Begins the next stage with something left in it; false while there is nothing to begin.
    fn next_stage(&mut self, fx: &mut Vec<Effect>) -> bool {
        if self.asked {
            return false;
        }
        if self.broken && !self.policy.keep_going {
            self.finish(Finish::Done, fx);
            return false;
        }
        while let Some(stage) = self.stages.pop_front() {
            let open: Vec<Node> =
                stage.nodes.iter().copied().filter(|node| !self.tasks[*node].phase.is_final()).collect();
            for node in &stage.nodes {
                self.tasks[*node].past = true;
            }
            if open.is_empty() {
                continue;
            }
            fx.push(Effect::StageBegin { number: stage.number, nodes: open.clone() });
            for node in &open {
                let task = &mut self.tasks[*node];
                (task.active, task.past, task.stage) = (true, false, stage.number);
            }
            self.active = Active {
                going: true,
                number: stage.number,
                open: open.len(),
                nodes: open.iter().copied().collect(),
                ..Active::default()
            };
            for node in open {
                self.enter(node, fx);
            }
            return true;
        }
        self.finish(Finish::Done, fx);
        false
    }

    /// A task's stage began, or what it waited for is there.
    fn enter(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        if !task.active || task.phase != Phase::Waiting || task.unmet > 0 {
            return;
        }
        if task.seed.passed {
            self.pass(node, fx);
        } else if std::mem::take(&mut task.seed.out) {
            (task.phase, task.started) = (Phase::Running, self.now);
            self.running += 1;
        } else if task.seed.over {
            self.close(node, Phase::Failed, fx);
        } else if task.seed.failed && task.seed.attempts >= task.spec.max_attempts {
            // Its tries were used up in a run that was killed before it could end.
            let failure = Failure::new(Code::Crash, "its attempts were used up before the run was killed");
            fx.push(Effect::Fail { node, attempt: task.seed.tries, failure });
            self.close(node, Phase::Failed, fx);
        } else {
            task.phase = Phase::Ready;
            self.queue(node);
        }
    }

    fn queue(&mut self, node: Node) {
        let task = &self.tasks[node];
        self.ready.insert((task.seed.tries > 0, Reverse(task.spec.held_up), task.spec.index, node));
    }

    /// A start that no budget allowed: no try was begun.
    fn not_begun(&mut self, node: Node, wait: bool, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        if task.phase != Phase::Running {
            return;
        }
        task.seed.tries -= 1;
        task.seed.attempts = task.seed.attempts.saturating_sub(1);
        self.running -= 1;
        if task.stopping.is_some_and(Stopping::by_person) {
            return self.stopped(node, fx);
        }
        (task.phase, task.stopping) = (Phase::Ready, None);
        self.unfunded.insert(node);
        self.may_be_funded |= wait;
    }

    /// What no budget allowed is asked for again.
    fn ask_again(&mut self) {
        self.may_be_funded = false;
        for node in std::mem::take(&mut self.unfunded) {
            self.queue(node);
        }
    }

    /// How many may run at once, as far as the run itself goes.
    fn limit(&self) -> usize {
        if self.active.serial { 1 } else { self.policy.max_parallel.max(1) }
    }

    /// Whether tasks may be started at all now.
    fn may_start(&self) -> bool {
        // A batch lands in a tree that nobody works in; tasks that land one by one do so beside the others.
        let landing = (self.landing_now.is_some() || !self.landing.is_empty()) && !self.policy.land_each;
        !self.paused && !landing && self.verifying.is_none() && self.halt.is_none()
    }

    /// How many tasks only wait for the machine: with a higher [`Event::Ceiling`] they would start.
    #[must_use]
    pub fn held(&self) -> usize {
        if self.running < self.ceiling || !self.may_start() {
            return 0;
        }
        self.limit().saturating_sub(self.running).min(self.ready.len())
    }

    fn start_ready(&mut self, fx: &mut Vec<Effect>) {
        while self.may_start() && self.running < self.limit().min(self.ceiling.max(1)) {
            let Some((.., node)) = self.ready.pop_first() else { return };
            let now = self.now;
            let verify_first = match self.tasks[node].spec.kind {
                Kind::Parent | Kind::Verify { executor: false } => true,
                Kind::Verify { executor: true } => !self.tasks[node].seed.failed,
                Kind::Run | Kind::Exec => false,
            };
            let choice = match self.choose(node) {
                _ if verify_first => 0,
                Ok(choice) => choice,
                Err(opens) => {
                    let at = opens + self.policy.spread(node as u64);
                    self.tasks[node].phase = Phase::Backoff;
                    self.timers.insert((at, node));
                    continue;
                }
            };
            let task = &mut self.tasks[node];
            task.seed.tries += 1;
            task.seed.attempts += 1;
            task.used = 0;
            if verify_first && task.spec.own_tree {
                self.running += 1;
                self.verify_in_own_tree(node, fx);
            } else if verify_first {
                task.phase = Phase::Ended;
                self.ended.insert((task.spec.index, node));
            } else {
                task.phase = Phase::Running;
                task.started = now;
                self.running += 1;
                let timeout = task.budget();
                let (attempt, round) = (task.seed.tries, task.seed.attempts);
                task.account = task.spec.accounts_for(round).and_then(|accounts| accounts.get(choice).copied());
                fx.push(Effect::Start { node, attempt, round, choice, timeout });
            }
        }
    }

    /// The first account that takes more, of those for the next attempt of a task; else when the first one will.
    fn choose(&self, node: Node) -> Result<usize, Millis> {
        let task = &self.tasks[node];
        let Some(accounts) = task.spec.accounts_for(task.seed.attempts + 1) else { return Ok(0) };
        let open = accounts.iter().position(|account| self.opens(*account) <= self.now);
        open.ok_or_else(|| accounts.iter().map(|account| self.opens(*account)).min().unwrap_or_default())
    }

    fn close_account(&mut self, account: Account, until: Option<Millis>, fx: &mut Vec<Effect>) {
        let (now, (before, strikes)) = (self.now, self.closed.get(&account).copied().unwrap_or_default());
        // Several that run when it happens are one strike.
        let strikes = if before > now { strikes } else { strikes + 1 };
        let at = until.unwrap_or_else(|| now + self.policy.delay(strikes.saturating_sub(1), account as u64));
        let until = at.max(before);
        self.closed.insert(account, (until, strikes));
        if until > before {
            fx.push(Effect::Closed { account, until });
        }
    }

    /// In a tree of its own nobody is in the way. It keeps its place in the limit.
    fn verify_in_own_tree(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        task.phase = Phase::Verifying;
        task.started = self.now;
        let timeout = task.budget().saturating_sub(task.used);
        fx.push(Effect::Verify { node, attempt: task.seed.tries, timeout });
    }

    /// Executors share the tree: a Verify runs when none of them does and none can be started.
    fn verify_next(&mut self, fx: &mut Vec<Effect>) {
        if self.running > 0 || self.verifying.is_some() || self.landing_now.is_some() {
            return;
        }
        if let Some((_, node)) = self.ended.pop_first() {
            let task = &mut self.tasks[node];
            task.phase = Phase::Verifying;
            task.started = self.now;
            self.verifying = Some(node);
            let timeout = task.budget().saturating_sub(task.used);
            fx.push(Effect::Verify { node, attempt: task.seed.tries, timeout });
        }
    }

    /// Whether a task can still go on without anything landing first.
    fn busy(&self) -> bool {
        self.running > 0 || self.verifying.is_some() || !self.ended.is_empty() || !self.ready.is_empty()
    }

    fn land_next(&mut self, fx: &mut Vec<Effect>) {
        if self.landing_now.is_some() {
            return;
        }
        if self.landing.is_empty() && !self.passed.is_empty() {
            let all_passed = self.active.open == self.passed.len();
            // A batch waits for what other runs may give back of a budget: its history is not to depend on that.
            let stuck = !self.busy() && self.timers.is_empty() && !self.may_be_funded;
            if self.policy.land_each || all_passed || stuck || self.halt.is_some() {
                self.landing = std::mem::take(&mut self.passed).into_iter().map(|(_, node)| node).collect();
                fx.push(Effect::Landing { nodes: self.landing.iter().copied().collect() });
            }
        }
        if let Some(node) = self.landing.pop_front() {
            self.tasks[node].phase = Phase::Landing;
            self.landing_now = Some(node);
            fx.push(Effect::Land { node });
        }
    }

    /// Ends the stage if it is over; true if another may begin.
    fn end_stage(&mut self, fx: &mut Vec<Effect>) -> bool {
        if self.active.open > 0 {
            let idle = !self.busy() && self.timers.is_empty() && self.landing_now.is_none() && self.passed.is_empty();
            if idle && !self.unfunded.is_empty() {
                if !self.may_be_funded {
                    self.halt_now(Halt::Budget, fx);
                }
                return self.halt.is_some();
            }
            if idle {
                let waits = |node: &Node| {
                    let unmet = |need: &&Need| !self.met(**need);
                    (*node, self.tasks[*node].spec.needs.iter().filter(unmet).map(|need| need.node).collect())
                };
                let open = |node: &&Node| !self.tasks[**node].phase.is_final();
                let waiting = self.active.nodes.iter().filter(open).map(waits).collect();
                self.finish(Finish::Deadlock(waiting), fx);
            }
            return false;
        }
        self.close_stage(fx);
        self.asked = true;
        fx.push(Effect::NextStage);
        true
    }

    fn close_stage(&mut self, fx: &mut Vec<Effect>) {
        let active = std::mem::take(&mut self.active);
        let mut failed = Vec::new();
        for node in active.nodes {
            let task = &mut self.tasks[node];
            (task.active, task.past) = (false, true);
            if task.phase != Phase::Done {
                failed.push(node);
            }
            self.broken |= matches!(task.phase, Phase::Failed | Phase::Blocked);
        }
        fx.push(Effect::StageEnd { number: active.number, landed: active.landed, failed });
    }

    /// A stopping run: waits for what runs, lands what passed, and ends.
    fn wind_down(&mut self, halt: Halt, fx: &mut Vec<Effect>) {
        if self.running > 0 || self.verifying.is_some() || self.landing_now.is_some() {
            return;
        }
        while let Some((_, node)) = self.ended.pop_first() {
            self.close(node, Phase::Cancelled, fx);
        }
        if matches!(halt, Halt::Conflict | Halt::Fatal) {
            // Landing is what went wrong: what passed is known from the journal and lands in the next run. Of a batch
            // that was made in trees of its own the rest is on the branch already.
            self.landing.retain(|node| halt == Halt::Conflict && self.tasks[*node].spec.own_tree);
            self.passed.clear();
        }
        self.land_next(fx);
        if self.landing_now.is_none() {
            if self.active.going {
                self.close_stage(fx);
            }
            self.finish(Finish::Halted(halt), fx);
        }
    }

    fn finish(&mut self, finish: Finish, fx: &mut Vec<Effect>) {
        self.finished = true;
        fx.push(Effect::Finish(finish));
    }

    // ---- what happened to a task --------------------------------------------------------------------------------

    fn executor_ended(&mut self, node: Node, result: Result<(), Failure>, fx: &mut Vec<Effect>) {
        let now = self.now;
        let task = &mut self.tasks[node];
        if task.phase != Phase::Running {
            return;
        }
        task.used = now.saturating_sub(task.started);
        let limited = matches!(&result, Err(failure) if failure.code == Code::RateLimited);
        if let Some(account) = task.account.take().filter(|_| !limited) {
            // It works again. While it is closed that says nothing: others met its limit later.
            self.closed.retain(|closed, (until, _)| *closed != account || *until > now);
        }
        if result.is_ok() && task.stopping.is_none() && task.spec.verify && task.spec.own_tree {
            return self.verify_in_own_tree(node, fx);
        }
        self.running -= 1;
        match result {
            Ok(()) if task.stopping.is_some_and(Stopping::by_person) => self.stopped(node, fx),
            Ok(()) if task.spec.verify => {
                task.phase = Phase::Ended;
                self.ended.insert((task.spec.index, node));
            }
            Ok(()) => self.pass(node, fx),
            Err(failure) => self.failed(node, failure, fx),
        }
    }

    /// It asked for other tasks: neither a success nor a failure.
    fn asks(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        if task.phase != Phase::Running {
            return;
        }
        self.running -= 1;
        task.seed.attempts -= 1;
        match task.stopping {
            Some(_) => self.stopped(node, fx),
            None => self.close(node, Phase::Deferred, fx),
        }
    }

    fn verified(&mut self, node: Node, result: Result<(), Failure>, fx: &mut Vec<Effect>) {
        let task = &self.tasks[node];
        if task.phase != Phase::Verifying {
            return;
        }
        if task.spec.own_tree {
            self.running -= 1;
        } else {
            self.verifying = None;
        }
        match result {
            Ok(()) if task.stopping.is_some_and(Stopping::by_person) => self.stopped(node, fx),
            Ok(()) => self.pass(node, fx),
            Err(failure) => self.failed(node, failure, fx),
        }
    }

    fn pass(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        task.phase = Phase::Passed;
        task.strikes = 0;
        self.passed.insert((task.spec.index, node));
        fx.push(Effect::Passed { node });
        if !self.policy.land_each {
            self.release(node, fx);
        }
    }

    /// A try failed: stopped, once more, or for good.
    fn failed(&mut self, node: Node, failure: Failure, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        if task.stopping.is_some() {
            return self.stopped(node, fx);
        }
        if failure.code == Code::Timeout {
            task.seed.timeouts += 1;
        }
        task.seed.passed = false;
        task.seed.failed = true;
        if task.seed.attempts == 1 && failure.code != Code::RateLimited && !self.policy.land_each {
            self.first_try_failed();
        }
        let task = &mut self.tasks[node];
        let attempt = task.seed.tries;
        let salt = (node as u64) << 20 | u64::from(attempt);
        let max = task.spec.max_attempts;
        match self.policy.after(&failure, task.spec.kind, max, task.seed, task.strikes, salt) {
            Next::Fail => {
                fx.push(Effect::Fail { node, attempt, failure });
                self.close(node, Phase::Failed, fx);
            }
            Next::Retry { mut delay, counted } => {
                if failure.code == Code::RateLimited && !task.spec.accounts.is_empty() {
                    // Its account is closed, and another may take it.
                    delay = 0;
                }
                if !counted {
                    task.seed.attempts = task.seed.attempts.saturating_sub(1);
                }
                task.strikes = if delay > 0 { task.strikes + 1 } else { 0 };
                task.phase = if delay > 0 { Phase::Backoff } else { Phase::Waiting };
                if delay > 0 {
                    self.timers.insert((self.now + delay, node));
                }
                fx.push(Effect::Retry { node, attempt, failure, delay, counted });
                self.enter(node, fx);
            }
        }
    }

    /// Its processes ended because they were told to.
    fn stopped(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let phase = match self.tasks[node].stopping {
            Some(Stopping::Skip) => Phase::Skipped,
            Some(Stopping::Done) => Phase::Done,
            _ => Phase::Cancelled,
        };
        if phase == Phase::Done {
            fx.push(Effect::Cancel { node });
        }
        self.close(node, phase, fx);
    }

    /// When every first try of a batch failed, the cause is likely to be common: the rest goes one at a time.
    fn first_try_failed(&mut self) {
        let active = &mut self.active;
        active.first_failed += 1;
        active.serial = active.first_failed == active.nodes.len() && active.first_failed > 1;
    }

    fn landed(&mut self, node: Node, result: Result<(), Failure>, fx: &mut Vec<Effect>) {
        if self.landing_now != Some(node) {
            return;
        }
        self.landing_now = None;
        match result {
            Ok(()) => {
                self.active.landed.push(node);
                self.close(node, Phase::Done, fx);
            }
            // It stays passed, for a later run: where a person's uncommitted change is in the way (which the driver
            // knows and halts for), where it did not fit often enough, and where the run ended before it could land.
            Err(failure)
                if failure.code == Code::Cancelled
                    || failure.code == Code::Conflict
                        && (self.halt.is_some() || self.tasks[node].seed.conflicts >= self.policy.max_conflicts) =>
            {
                self.hold_back(node);
                if failure.code == Code::Conflict {
                    self.halt_now(Halt::Conflict, fx);
                }
            }
            Err(failure) => {
                self.tasks[node].seed.conflicts += u32::from(failure.code == Code::Conflict);
                self.withdraw(node, fx);
                self.failed(node, failure, fx);
            }
        }
    }

    /// It has passed and lands in a later run, and so does what builds on it.
    fn hold_back(&mut self, node: Node) {
        self.tasks[node].phase = Phase::Passed;
        for at in 0..self.tasks[node].dependents.len() {
            let (dependent, blocks) = self.tasks[node].dependents[at];
            if blocks && self.landing.contains(&dependent) {
                self.landing.retain(|other| *other != dependent);
                self.hold_back(dependent);
            }
        }
    }

    /// What builds on a task that could not land after all waits for it again.
    fn withdraw(&mut self, node: Node, fx: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.tasks[node].released, false) {
            return;
        }
        for at in 0..self.tasks[node].dependents.len() {
            let (dependent, blocks) = self.tasks[node].dependents[at];
            let task = &mut self.tasks[dependent];
            task.unmet += 1;
            if task.phase == Phase::Ready {
                task.phase = Phase::Waiting;
                self.unqueue(dependent);
            } else if blocks && task.phase == Phase::Passed {
                task.phase = Phase::Waiting;
                task.seed.passed = false;
                // None was counted yet where it passed in a run that was killed.
                task.seed.attempts = task.seed.attempts.saturating_sub(1);
                // In a tree of its own it started from what did not land, and starts again without it.
                let code = if task.spec.own_tree { Code::Conflict } else { Code::CommitFailed };
                let failure = Failure::new(code, "builds on a task that could not land");
                fx.push(Effect::Retry { node: dependent, attempt: task.seed.tries, failure, delay: 0, counted: false });
                self.landing.retain(|other| *other != dependent);
                self.withdraw(dependent, fx);
            }
        }
    }

    /// A task is final; tells what waits for it.
    fn close(&mut self, node: Node, phase: Phase, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        task.phase = phase;
        task.stopping = None;
        self.active.open -= usize::from(task.active);
        match phase {
            Phase::Done => self.release(node, fx),
            Phase::Skipped => fx.push(Effect::Skip { node }),
            Phase::Cancelled => fx.push(Effect::Cancel { node }),
            _ => {}
        }
        // With a run that ends nothing is blocked: it is open, as before. What is gone from the list blocks nothing.
        if matches!(phase, Phase::Failed | Phase::Blocked | Phase::Skipped | Phase::Deferred) {
            self.refuse(node, fx);
        }
    }

    /// Others may build on it now.
    fn release(&mut self, node: Node, fx: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.tasks[node].released, true) {
            return;
        }
        for at in 0..self.tasks[node].dependents.len() {
            let (dependent, _) = self.tasks[node].dependents[at];
            self.tasks[dependent].unmet -= 1;
            self.enter(dependent, fx);
        }
    }

    /// It will not land: what only goes after it may start, what needs it is blocked (or waits for the next reading of
    /// the list as it does itself), and so on from there.
    fn refuse(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let deferred = self.tasks[node].phase == Phase::Deferred;
        for at in 0..self.tasks[node].dependents.len() {
            let (dependent, blocks) = self.tasks[node].dependents[at];
            let task = &mut self.tasks[dependent];
            if !blocks {
                task.unmet -= 1;
                self.inherit(dependent, node);
                self.enter(dependent, fx);
            } else if matches!(task.phase, Phase::Waiting | Phase::Backoff) {
                self.unqueue(dependent);
                self.inherit(dependent, node);
                if deferred {
                    self.close(dependent, Phase::Deferred, fx);
                } else {
                    fx.push(Effect::Block { node: dependent, by: self.missing(dependent) });
                    self.close(dependent, Phase::Blocked, fx);
                }
            }
        }
    }

    /// Only neighbours in a row of tasks that take turns wait for each other. Where one drops out of the row before its
    /// turn came, the next one waits for what that one was waiting for.
    fn inherit(&mut self, dependent: Node, dropped: Node) {
        let needs = self.tasks[dropped].spec.needs.iter().map(|need| Need { blocks: false, ..*need });
        let unmet: Vec<Need> = needs.filter(|need| !self.met(*need)).collect();
        for need in unmet {
            self.tasks[dependent].spec.needs.push(need);
            self.tasks[dependent].unmet += 1;
            self.tasks[need.node].dependents.push((dependent, false));
        }
    }

    /// Which of a task's dependencies will not land.
    fn missing(&self, node: Node) -> Vec<Node> {
        let lost = |need: &&Need| {
            let phase = self.tasks[need.node].phase;
            need.blocks && phase.is_final() && phase != Phase::Done
        };
        self.tasks[node].spec.needs.iter().filter(lost).map(|need| need.node).collect()
    }

    fn met(&self, need: Need) -> bool {
        let task = &self.tasks[need.node];
        task.released || (!need.blocks && task.phase.is_final())
    }

    fn wake(&mut self, fx: &mut Vec<Effect>) {
        while let Some((at, node)) = self.timers.first().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop_first();
            self.tasks[node].phase = Phase::Waiting;
            self.enter(node, fx);
        }
    }

    // ---- what a person wants ------------------------------------------------------------------------------------

    fn steer(&mut self, steer: Steer, fx: &mut Vec<Effect>) {
        match steer {
            Steer::Pause => self.paused = true,
            Steer::Resume => self.paused = false,
            Steer::Skip(node) => self.skip(node, fx),
            Steer::Done(node) => self.ticked(node, fx),
            Steer::Retry(node) => self.retry(node, fx),
        }
    }

    fn skip(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        match task.phase {
            Phase::Running | Phase::Verifying => {
                task.stopping = Some(Stopping::Skip);
                fx.push(Effect::Stop { node });
            }
            Phase::Waiting | Phase::Ready | Phase::Backoff | Phase::Ended => {
                self.unqueue(node);
                self.close(node, Phase::Skipped, fx);
            }
            _ => {}
        }
    }

    /// A person ticked it while it was under way. What has not begun is taken from the list; what passed lands.
    fn ticked(&mut self, node: Node, fx: &mut Vec<Effect>) {
        let task = &mut self.tasks[node];
        if matches!(task.phase, Phase::Running | Phase::Verifying) && task.stopping.is_none() {
            task.stopping = Some(Stopping::Done);
            fx.push(Effect::Stop { node });
        }
    }

    fn unqueue(&mut self, node: Node) {
        let TaskSpec { index, held_up, .. } = self.tasks[node].spec;
        self.ready.remove(&(false, Reverse(held_up), index, node));
        self.ready.remove(&(true, Reverse(held_up), index, node));
        self.unfunded.remove(&node);
        self.may_be_funded &= !self.unfunded.is_empty();
        self.ended.remove(&(index, node));
        self.timers.retain(|(_, other)| *other != node);
    }

    /// Tries a task again from its first attempt, and gives what it blocked another chance.
    fn retry(&mut self, node: Node, fx: &mut Vec<Effect>) {
        match self.tasks[node].phase {
            Phase::Backoff => {
                self.unqueue(node);
                self.tasks[node].phase = Phase::Waiting;
                self.enter(node, fx);
            }
            // With something it needs lost, it would only be blocked: that one is to be tried again.
            Phase::Failed | Phase::Skipped if self.missing(node).is_empty() => {
                let mut again = BTreeSet::new();
                self.revive(node, &mut again);
                let number = self.tasks[node].stage;
                let mut late = Vec::new();
                for (_, node) in again {
                    if self.tasks[node].phase == Phase::Waiting && self.tasks[node].past {
                        self.tasks[node].past = false;
                        late.push(node);
                    }
                    fx.push(Effect::Unblock { node });
                    self.enter(node, fx);
                }
                self.broken = self.tasks.iter().any(|task| matches!(task.phase, Phase::Failed) && task.past);
                if !late.is_empty() {
                    self.stages.push_front(Stage { number, nodes: late });
                }
            }
            _ => {}
        }
    }

    fn revive(&mut self, node: Node, again: &mut BTreeSet<(usize, Node)>) {
        let task = &mut self.tasks[node];
        (task.phase, task.seed, task.strikes) = (Phase::Waiting, Seed::default(), 0);
        again.insert((task.spec.index, node));
        self.active.open += usize::from(task.active);
        // One whose stage is over runs in a stage of its own, with a barrier around it.
        let apart = task.past;
        let (needing, after): (Vec<_>, Vec<_>) = task.dependents.drain(..).partition(|(_, blocks)| *blocks);
        task.dependents.clone_from(&needing);
        for (dependent, _) in after {
            self.take_turns_anew(node, dependent, apart);
        }
        for (dependent, _) in needing {
            if self.tasks[dependent].phase == Phase::Blocked && self.missing(dependent).is_empty() {
                self.revive(dependent, again);
            }
            self.recount(dependent);
        }
        self.recount(node);
    }

    /// `dependent` only went after `node`, which is to run once more: where it has not begun it waits again, where it is
    /// under way the order is turned round, and what is in another stage has a barrier between.
    fn take_turns_anew(&mut self, node: Node, dependent: Node, apart: bool) {
        let phase = self.tasks[dependent].phase;
        if !apart && matches!(phase, Phase::Waiting | Phase::Ready | Phase::Backoff) {
            if phase == Phase::Ready {
                self.unqueue(dependent);
                self.tasks[dependent].phase = Phase::Waiting;
            }
            self.tasks[node].dependents.push((dependent, false));
        } else {
            self.tasks[dependent].spec.needs.retain(|need| need.node != node || need.blocks);
            if !apart && !phase.is_final() {
                self.tasks[node].spec.needs.push(Need { node: dependent, blocks: false });
                self.tasks[dependent].dependents.push((node, false));
            }
        }
        self.recount(dependent);
    }

    fn recount(&mut self, node: Node) {
        self.tasks[node].unmet = self.tasks[node].spec.needs.iter().filter(|need| !self.met(**need)).count();
    }

    fn halt_now(&mut self, halt: Halt, fx: &mut Vec<Effect>) {
        let first = self.halt.is_none();
        self.halt = self.halt.max(Some(halt));
        if !first {
            return;
        }
        for node in &self.active.nodes {
            let task = &mut self.tasks[*node];
            if matches!(task.phase, Phase::Running | Phase::Verifying) {
                task.stopping = Some(Stopping::Halt);
                fx.push(Effect::Stop { node: *node });
            }
        }
    }

    // ---- a new reading of the list ------------------------------------------------------------------------------

    fn replan(&mut self, replan: Replan, fx: &mut Vec<Effect>) {
        self.asked = false;
        for (node, spec) in replan.specs {
            let Some(task) = self.tasks.get_mut(node) else {
                self.tasks.push(Task::new(spec, Seed::default()));
                continue;
            };
            let past = task.past;
            match task.phase {
                // It is under way, if not yet in a stage.
                _ if task.seed.out => task.spec.index = spec.index,
                Phase::Waiting | Phase::Blocked => task.spec = spec,
                // Named again: a person opened its box, or put it back. What failed, was skipped or was ended stays so
                // until `spec retry`: an edit elsewhere in the list is no reason to try it again.
                Phase::Done | Phase::Removed => *task = Task { past, ..Task::new(spec, Seed::default()) },
                // In the middle of a stage what it asked for is not there yet. As a parent it begins anew.
                Phase::Deferred if !self.active.going => {
                    let seed = if spec.kind == Kind::Parent { Seed::default() } else { task.seed };
                    *task = Task { past, ..Task::new(spec, seed) };
                }
                Phase::Failed if replan.again.contains(&node) => {
                    let seed = Seed { tries: task.seed.tries, ..Seed::default() };
                    *task = Task::new(spec, seed);
                    fx.push(Effect::Unblock { node });
                }
                _ => {}
            }
        }
        let not_begun = |phase| matches!(phase, Phase::Waiting | Phase::Ready | Phase::Backoff);
        for node in replan.done {
            if not_begun(self.tasks[node].phase) {
                self.unqueue(node);
                self.close(node, Phase::Done, fx);
            }
        }
        self.stages = replan.stages.into();
        if self.active.going {
            // Graph mode, in the middle of its one stage: what is new joins it, what is gone leaves it.
            let listed: BTreeSet<Node> = self.stages.drain(..).flat_map(|stage| stage.nodes).collect();
            for node in self.active.nodes.clone() {
                if not_begun(self.tasks[node].phase) && self.tasks[node].active && !listed.contains(&node) {
                    self.unqueue(node);
                    self.close(node, Phase::Removed, fx);
                }
            }
            for node in listed {
                let task = &mut self.tasks[node];
                if task.phase == Phase::Waiting && !task.active {
                    task.active = true;
                    self.active.open += 1;
                    self.active.nodes.insert(node);
                }
            }
        }
        self.relink();
        if !replan.again.is_empty() {
            self.unblock(replan.again, fx);
            self.relink();
            self.broken =
                self.tasks.iter().any(|task| task.past && matches!(task.phase, Phase::Failed | Phase::Blocked));
        }
        // What now needs something that did not land will not be started.
        let lost = [Phase::Failed, Phase::Blocked, Phase::Skipped];
        for node in 0..self.tasks.len() {
            let needs = &self.tasks[node].spec.needs;
            if self.tasks[node].phase == Phase::Waiting
                && needs.iter().any(|need| need.blocks && lost.contains(&self.tasks[need.node].phase))
            {
                fx.push(Effect::Block { node, by: self.missing(node) });
                self.close(node, Phase::Blocked, fx);
            }
        }
        for node in self.active.nodes.clone() {
            self.enter(node, fx);
        }
    }

    /// What only failed tasks blocked that are tried again may be started after all.
    fn unblock(&mut self, again: BTreeSet<Node>, fx: &mut Vec<Effect>) {
        let mut open: Vec<Node> = again.into_iter().collect();
        while let Some(node) = open.pop() {
            for at in 0..self.tasks[node].dependents.len() {
                let (dependent, _) = self.tasks[node].dependents[at];
                if self.tasks[dependent].phase == Phase::Blocked && self.missing(dependent).is_empty() {
                    (self.tasks[dependent].phase, self.tasks[dependent].past) = (Phase::Waiting, false);
                    fx.push(Effect::Unblock { node: dependent });
                    open.push(dependent);
                }
            }
        }
    }

    /// Works out anew what waits for what.
    fn relink(&mut self) {
        for task in &mut self.tasks {
            task.dependents.clear();
        }
        for node in 0..self.tasks.len() {
            for at in 0..self.tasks[node].spec.needs.len() {
                let need = self.tasks[node].spec.needs[at];
                self.tasks[need.node].dependents.push((node, need.blocks));
            }
            self.recount(node);
        }
    }
}

impl Stopping {
    /// Ended by a person, so that it does not count how it ended.
    fn by_person(self) -> bool {
        matches!(self, Self::Skip | Self::Done)
    }
}

impl Task {
    fn new(spec: TaskSpec, seed: Seed) -> Self {
        Self {
            spec,
            phase: Phase::Waiting,
            seed,
            strikes: 0,
            unmet: 0,
            dependents: Vec::new(),
            released: false,
            started: 0,
            used: 0,
            stopping: None,
            account: None,
            stage: 0,
            active: false,
            past: false,
        }
    }

    /// How long this try may take: twice the time after one that ran into its limit.
    fn budget(&self) -> Millis {
        self.spec.timeout.saturating_mul(1 << self.seed.timeouts.min(1))
    }
}
