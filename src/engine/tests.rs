//! The engine against a world of dice: random plans, durations, failures, steering, halts, and a crash at every point
//! of what a journal would hold. A run is replayed from its number alone.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a journal keeps of a run.
#[derive(Debug, Clone, PartialEq)]
enum Fact {
    Started(Node),
    Uncounted(Node),
    TimedOut(Node),
    Failed(Node),
    Passed(Node),
    Landed(Node),
}

struct World {
    number: u64,
    policy: Policy,
    specs: Vec<TaskSpec>,
    stages: Vec<Vec<Node>>,
    /// How bad the world is: one in so many tries fails; 0 for never.
    bad: u64,
}

fn world(number: u64) -> World {
    let mut dice = Dice(number);
    let count = 1 + dice.below(9) as usize;
    let land_each = dice.one_in(3);
    let mut stages: Vec<Vec<Node>> = Vec::new();
    for node in 0..count {
        if stages.is_empty() || (!land_each && dice.one_in(3)) {
            stages.push(Vec::new());
        }
        stages.last_mut().unwrap().push(node);
    }
    let own_trees = dice.below(3);
    let specs = (0..count)
        .map(|node| {
            let kind = match dice.below(10) {
                0 => Kind::Verify { executor: dice.one_in(2) },
                1 => Kind::Run,
                2 => Kind::Parent,
                _ => Kind::Exec,
            };
            let needs = (0..node).filter(|_| dice.one_in(5)).collect::<Vec<_>>();
            TaskSpec {
                index: node,
                kind,
                verify: matches!(kind, Kind::Verify { .. } | Kind::Parent) || dice.one_in(2),
                max_attempts: 1 + dice.below(4) as u32,
                timeout: 1000,
                own_tree: own_trees == 1 || (own_trees == 2 && dice.one_in(2)),
                held_up: if land_each { dice.below(3) as usize } else { 0 },
                // Another agent from the second attempt on, and one to fall back on.
                accounts: if kind == Kind::Exec && dice.one_in(2) { vec![vec![0], vec![1, 0]] } else { Vec::new() },
                needs: needs.into_iter().map(|node| Need { node, blocks: dice.one_in(2) }).collect(),
            }
        })
        .collect();
    let policy = Policy {
        max_parallel: 1 + dice.below(4) as usize,
        keep_going: dice.one_in(2),
        land_each,
        max_conflicts: 2,
        backoff: 10,
        backoff_max: 100,
        seed: number,
    };
    World { number, policy, specs, stages, bad: [0, 2, 4, 8][dice.below(4) as usize] }
}

impl World {
    /// What the try of a task comes to, at one of its three places: the same whenever it is asked.
    fn outcome(&self, node: Node, attempt: u32, place: u64) -> Result<(), Failure> {
        let mut dice = Dice(self.number ^ ((node as u64) << 32) ^ (u64::from(attempt) << 8) ^ place);
        if self.bad == 0 || !dice.one_in(self.bad) {
            return Ok(());
        }
        let code = match (place, dice.below(6)) {
            (0, 0) if attempt < 4 => Code::RateLimited,
            (0, 1) => Code::Timeout,
            (0, _) => Code::Crash,
            (1, _) => Code::VerifyFailed,
            // Never so often that a person is needed.
            (_, 0..3) if self.specs[node].own_tree && self.conflicts(node, attempt) < 2 => Code::Conflict,
            _ => Code::CommitFailed,
        };
        Err(Failure::new(code, "dice"))
    }
}

impl World {
    /// How often the tries of a task before this one did not fit the tip, at most: every third one may.
    fn conflicts(&self, node: Node, attempt: u32) -> usize {
        let conflicts =
            |before: u32| matches!(self.outcome(node, before, 2), Err(failure) if failure.code == Code::Conflict);
        (1..attempt).filter(|before| conflicts(*before)).count()
    }
}

/// What is done to a run from outside.
#[derive(Default, Clone)]
struct Meddling {
    /// Seed of the durations.
    timing: u64,
    /// Events at which a person does something, by count of events.
    steer: BTreeMap<usize, Event>,
    /// How much room the machine has changes all the time.
    ceilings: bool,
    /// Other runs have reserved what is left of a budget now and then.
    budgets: bool,
    /// The runner dies after so many facts.
    crash_after: Option<usize>,
}

struct Seat<'a> {
    world: &'a World,
    state: RunState,
    facts: Vec<Fact>,
    landed: Vec<Node>,
    running: BTreeSet<Node>,
    verifying: Option<Node>,
    /// In trees of their own.
    verifying_apart: BTreeSet<Node>,
    queue: BTreeMap<(Millis, u64), Event>,
    stopped: BTreeSet<Node>,
    passed: BTreeSet<Node>,
    failed: BTreeSet<Node>,
    blocked: BTreeSet<Node>,
    skipped: BTreeSet<Node>,
    /// Done by a person while they were under way.
    ticked: BTreeSet<Node>,
    /// Final at some time without having landed: what only goes after it need not wait any more.
    over_once: BTreeSet<Node>,
    retried: bool,
    finish: Option<Finish>,
}

fn seeds(world: &World, facts: &[Fact]) -> Vec<(TaskSpec, Seed)> {
    let mut seeds = vec![Seed::default(); world.specs.len()];
    for fact in facts {
        match fact {
            Fact::Started(node) => seeds[*node].tries += 1,
            Fact::Uncounted(node) => seeds[*node].attempts -= 1,
            Fact::TimedOut(node) => seeds[*node].timeouts += 1,
            Fact::Failed(node) => {
                seeds[*node].attempts += 1;
                (seeds[*node].failed, seeds[*node].passed) = (true, false);
            }
            Fact::Passed(node) => seeds[*node].passed = true,
            Fact::Landed(_) => {}
        }
    }
    world.specs.iter().cloned().zip(seeds).collect()
}

/// Runs a world, or what is left of it, to its end or to its crash, and holds it to the promises on the way.
fn run(world: &World, before: &[Fact], meddling: &Meddling) -> (Vec<Fact>, Vec<Node>, Option<Finish>, BTreeSet<Node>) {
    let landed: Vec<Node> =
        before.iter().filter_map(|fact| if let Fact::Landed(node) = fact { Some(*node) } else { None }).collect();
    let mut tasks = seeds(world, before);
    for (spec, _) in &mut tasks {
        spec.needs.retain(|need| !landed.contains(&need.node));
    }
    let left = |nodes: &Vec<Node>| nodes.iter().copied().filter(|node| !landed.contains(node)).collect::<Vec<_>>();
    let stages = world.stages.iter().enumerate();
    let stages = stages.map(|(at, nodes)| Stage { number: at + 1, nodes: left(nodes) }).collect();
    let mut seat = Seat {
        world,
        state: RunState::new(world.policy.clone(), tasks, stages),
        facts: before.to_vec(),
        landed,
        running: BTreeSet::new(),
        verifying: None,
        verifying_apart: BTreeSet::new(),
        queue: BTreeMap::new(),
        stopped: BTreeSet::new(),
        passed: BTreeSet::new(),
        failed: BTreeSet::new(),
        blocked: BTreeSet::new(),
        skipped: BTreeSet::new(),
        ticked: BTreeSet::new(),
        over_once: BTreeSet::new(),
        retried: meddling.steer.values().any(|event| matches!(event, Event::Steer(Steer::Retry(_)))),
        finish: None,
    };
    let mut dice = Dice(world.number ^ meddling.timing);
    let mut next = vec![Event::Next];
    let (mut now, mut count, mut tick) = (0, 0, 0);
    let mut room = usize::MAX;
    let (mut closed, mut works_for) = ([0; 2], BTreeMap::new());
    while seat.finish.is_none() {
        count += 1;
        assert!(count < 5000, "run {} does not end", world.number);
        let event = if let Some(event) = meddling.steer.get(&count) {
            event.clone()
        } else if meddling.ceilings && dice.one_in(3) {
            room = dice.below(5) as usize;
            Event::Ceiling(room)
        } else if let Some(event) = next.pop() {
            event
        } else {
            let wake = seat.state.next_wake();
            match (seat.queue.first_key_value().map(|((at, _), _)| *at), wake) {
                (Some(at), wake) if wake.is_none_or(|wake| at <= wake) => {
                    now = at;
                    seat.queue.pop_first().unwrap().1
                }
                (_, Some(wake)) => {
                    now = wake;
                    Event::Wake
                }
                _ if seat.state.paused() => Event::Steer(Steer::Resume),
                _ if seat.state.unfunded() > 0 => Event::Funds,
                _ => panic!("run {} waits for nothing", world.number),
            }
        };
        let event = match event {
            Event::Ended { node, result: Err(failure) }
                if failure.code == Code::RateLimited && works_for.contains_key(&node) =>
            {
                let account = works_for.remove(&node).expect("there");
                let until = (!dice.one_in(3)).then(|| now + dice.below(2000));
                next.push(Event::Ended { node, result: Err(failure) });
                Event::Closed { account, until }
            }
            event => event,
        };
        match &event {
            Event::Ended { node, .. } | Event::Unfunded { node, .. } => drop(seat.running.remove(node)),
            Event::Verified { node, .. } => drop(seat.verifying_apart.remove(node)),
            _ => {}
        }
        for effect in step(&mut seat.state, now, event) {
            if meddling.crash_after.is_some_and(|limit| seat.facts.len() >= limit) {
                return (seat.facts, seat.landed, None, seat.failed);
            }
            tick += 1;
            let took = 1 + dice.below(50);
            match effect {
                Effect::NextStage => next.push(Event::Next),
                Effect::Start { node, attempt, round, choice, timeout } => {
                    seat.may_start(node);
                    let account = world.specs[node].accounts_for(round).map(|accounts| accounts[choice]);
                    let open = |account| closed[account] <= now;
                    assert!(account.is_none_or(open), "run {}: {node} works for a closed account", world.number);
                    works_for.extend(account.map(|account| (node, account)));
                    assert!(timeout == 1000 || timeout == 2000);
                    seat.running.insert(node);
                    seat.keeps_the_limit();
                    if meddling.budgets && dice.one_in(3) {
                        seat.queue.insert((now, tick), Event::Unfunded { node, wait: true });
                        continue;
                    }
                    seat.facts.push(Fact::Started(node));
                    assert!(seat.busy() <= room.max(1), "run {}: the machine has no room", world.number);
                    let result = world.outcome(node, attempt, 0);
                    seat.queue.insert((now + took, tick), Event::Ended { node, result });
                }
                Effect::Verify { node, attempt, .. } => {
                    let apart = world.specs[node].own_tree;
                    assert!(apart || seat.running.is_empty(), "run {}: verified beside a sibling", world.number);
                    if seat.facts.iter().filter(|fact| **fact == Fact::Started(node)).count() < attempt as usize {
                        seat.may_start(node);
                        seat.facts.push(Fact::Started(node));
                    }
                    if apart {
                        seat.verifying_apart.insert(node);
                        seat.keeps_the_limit();
                    } else {
                        seat.verifying = Some(node);
                    }
                    let result = world.outcome(node, attempt, 1);
                    seat.queue.insert((now + took, tick), Event::Verified { node, result });
                }
                Effect::Closed { account, until } => {
                    assert!(until > closed[account]);
                    closed[account] = until;
                }
                Effect::Stop { node } => {
                    seat.stopped.insert(node);
                }
                Effect::Passed { node } => {
                    seat.leave(node);
                    seat.passed.insert(node);
                    seat.facts.push(Fact::Passed(node));
                }
                Effect::Land { node } => {
                    assert!(seat.passed.contains(&node), "run {}: landed without passing", world.number);
                    assert!(!seat.ticked.contains(&node), "run {}: landed what a person had done", world.number);
                    let result = world.outcome(node, seat.state.tries(node), 2);
                    if result.is_ok() {
                        assert!(!seat.landed.contains(&node), "run {}: landed twice", world.number);
                        seat.landed.push(node);
                        seat.facts.push(Fact::Landed(node));
                    }
                    seat.queue.insert((now + 1, tick), Event::Landed { node, result });
                }
                Effect::Retry { node, failure, counted, .. } => {
                    seat.leave(node);
                    seat.passed.remove(&node);
                    seat.facts.push(Fact::Failed(node));
                    if failure.code == Code::Timeout {
                        seat.facts.push(Fact::TimedOut(node));
                    }
                    if !counted {
                        seat.facts.push(Fact::Uncounted(node));
                    }
                }
                Effect::Fail { node, .. } => {
                    seat.facts.push(Fact::Failed(node));
                    seat.leave(node);
                    seat.passed.remove(&node);
                    seat.failed.insert(node);
                    seat.over_once.insert(node);
                }
                Effect::Block { node, by } => {
                    assert!(!by.is_empty(), "run {}: blocked by nothing", world.number);
                    assert!(by.iter().all(|node| !seat.landed.contains(node)));
                    seat.blocked.insert(node);
                    seat.over_once.insert(node);
                }
                Effect::Unblock { node } => {
                    seat.blocked.remove(&node);
                    seat.failed.remove(&node);
                    seat.skipped.remove(&node);
                }
                Effect::Skip { node } => {
                    seat.leave(node);
                    seat.skipped.insert(node);
                    seat.over_once.insert(node);
                }
                Effect::Cancel { node } => {
                    seat.leave(node);
                    if seat.state.phase(node) == Phase::Done {
                        seat.ticked.insert(node);
                    }
                }
                Effect::Finish(finish) => seat.finish = Some(finish),
                Effect::StageBegin { nodes, .. } => assert!(!nodes.is_empty()),
                Effect::Landing { nodes } => assert!(nodes.iter().all(|node| seat.passed.contains(node))),
                Effect::StageEnd { .. } => {}
            }
        }
        // What was told to stop ends at once.
        for node in std::mem::take(&mut seat.stopped) {
            let mine = |event: &Event| matches!(event, Event::Ended { node: other, .. } | Event::Verified { node: other, .. } if *other == node);
            let Some(at) = seat.queue.iter().find(|(_, event)| mine(event)).map(|(at, _)| *at) else { continue };
            let result = Err(Failure::new(Code::Cancelled, "stopped"));
            let event = match seat.queue.remove(&at) {
                Some(Event::Ended { .. }) => Event::Ended { node, result },
                _ => Event::Verified { node, result },
            };
            seat.queue.insert((now, at.1), event);
        }
    }
    assert!(seat.running.is_empty(), "run {}: over, and something runs", world.number);
    for node in 0..world.specs.len() {
        let needs = &world.specs[node].needs;
        let lost = needs.iter().any(|need| need.blocks && (seat.failed.contains(&need.node)));
        if seat.landed.contains(&node) && !before.contains(&Fact::Landed(node)) {
            assert!(!lost, "run {}: {node} landed although what it needs failed", world.number);
        }
    }
    (seat.facts, seat.landed, seat.finish, seat.failed)
}

impl Seat<'_> {
    fn busy(&self) -> usize {
        self.running.len() + self.verifying_apart.len()
    }

    fn keeps_the_limit(&self) {
        assert!(self.busy() <= self.world.policy.max_parallel, "run {}: limit", self.world.number);
    }

    fn leave(&mut self, node: Node) {
        self.running.remove(&node);
        if self.verifying == Some(node) {
            self.verifying = None;
        }
    }

    fn may_start(&self, node: Node) {
        let number = self.world.number;
        assert!(self.verifying.is_none_or(|other| other == node), "run {number}: started beside a Verify");
        assert!(!self.landed.contains(&node), "run {number}: {node} runs again after landing");
        for need in &self.world.specs[node].needs {
            let there =
                self.landed.contains(&need.node) || (!self.world.policy.land_each && self.passed.contains(&need.node));
            let over = self.over_once.contains(&need.node);
            let there = there || self.ticked.contains(&need.node);
            assert!(there || (!need.blocks && over), "run {number}: {node} before {}", need.node);
        }
        // Who takes turns never runs beside one further up the row, whoever dropped out in between. (With several tasks
        // retried by hand only neighbours are held to it.)
        if self.retried {
            return;
        }
        let mut row: Vec<Node> = self.world.specs[node].needs.iter().map(|need| need.node).collect();
        while let Some(above) = row.pop() {
            assert!(!self.running.contains(&above), "run {number}: {node} beside {above}");
            let ran = self.facts.contains(&Fact::Started(above));
            if !ran {
                row.extend(self.world.specs[above].needs.iter().map(|need| need.node));
            }
        }
    }
}

/// Everything that is held over every random run: `from..to` are its numbers.
fn hold(from: u64, to: u64) -> usize {
    let mut runs = 0;
    for number in from..to {
        let world = world(number);
        let (facts, landed, finish, failed) = run(&world, &[], &Meddling::default());
        runs += 1;
        assert_eq!(finish, Some(Finish::Done), "run {number}");
        if world.bad == 0 {
            assert_eq!(landed.len(), world.specs.len(), "run {number}: all land where nothing fails");
        }
        if !world.policy.land_each {
            let other = Meddling { timing: number.wrapping_mul(31) + 1, ..Meddling::default() };
            let again = run(&world, &[], &other);
            runs += 1;
            assert_eq!((&landed, &failed), (&again.1, &again.3), "run {number}: history depends on timing");
            // Nor does it depend on the room that the machine has, and it comes to its end with the least.
            let short = Meddling { ceilings: true, ..Meddling::default() };
            let again = run(&world, &[], &short);
            runs += 1;
            assert_eq!((&landed, &failed), (&again.1, &again.3), "run {number}: history depends on the machine");
            // Nor on what other runs have reserved of a budget.
            let poor = Meddling { budgets: true, ..Meddling::default() };
            let again = run(&world, &[], &poor);
            runs += 1;
            assert_eq!((&landed, &failed), (&again.1, &again.3), "run {number}: history depends on other runs");
        }
        // The runner dies at every point of the journal, and is started again.
        let mut dice = Dice(!number);
        let points: Vec<usize> = if number % 8 == 0 {
            (0..facts.len()).collect()
        } else {
            vec![dice.below(facts.len() as u64 + 1) as usize]
        };
        for point in points {
            let crash = Meddling { crash_after: Some(point), ..Meddling::default() };
            let (kept, _, _, _) = run(&world, &[], &crash);
            let (facts, landed, finish, _) = run(&world, &kept, &Meddling::default());
            runs += 1;
            assert_eq!(finish, Some(Finish::Done), "run {number} after a crash at {point}");
            let unique: BTreeSet<_> = landed.iter().collect();
            assert_eq!(unique.len(), landed.len(), "run {number}: landed twice over a crash at {point}");
            for (node, spec) in world.specs.iter().enumerate() {
                let count = |wanted| facts.iter().filter(|fact| **fact == wanted).count();
                let counted = count(Fact::Failed(node)) - count(Fact::Uncounted(node));
                // One more than its limit only where the crash came between a try that does not count and saying so.
                assert!(counted <= spec.max_attempts as usize + 1, "run {number}: attempts forgotten at {point}");
            }
        }
        // Somebody meddles.
        let mut steer = BTreeMap::new();
        for _ in 0..=dice.below(3) {
            let node = dice.below(world.specs.len() as u64) as usize;
            let event = match dice.below(9) {
                8 => Event::Steer(Steer::Done(node)),
                0 => Event::Halt(Halt::Interrupt),
                1 => Event::Halt(Halt::RunTimeout),
                2 => Event::Steer(Steer::Pause),
                3 => Event::Steer(Steer::Resume),
                4 | 5 => Event::Steer(Steer::Skip(node)),
                _ => Event::Steer(Steer::Retry(node)),
            };
            steer.insert(2 + dice.below(20) as usize, event);
        }
        let halted = steer.values().any(|event| matches!(event, Event::Halt(_)));
        let (_, landed, finish, _) = run(&world, &[], &Meddling { steer, ..Meddling::default() });
        runs += 1;
        assert!(halted || finish == Some(Finish::Done), "run {number}: {finish:?}");
        assert_eq!(landed.iter().collect::<BTreeSet<_>>().len(), landed.len());
    }
    runs
}

#[test]
fn a_hundred_thousand_random_runs_keep_every_promise() {
    let threads: Vec<_> =
        (0..2).map(|half| std::thread::spawn(move || hold(half * 13_000, (half + 1) * 13_000))).collect();
    let runs: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(runs >= 100_000, "{runs}");
}

// ---- single promises, told as stories ---------------------------------------------------------------------------------

fn policy(max_parallel: usize) -> Policy {
    Policy {
        max_parallel,
        keep_going: false,
        land_each: false,
        max_conflicts: 2,
        backoff: 10,
        backoff_max: 100,
        seed: 1,
    }
}

fn exec(index: usize) -> TaskSpec {
    TaskSpec {
        index,
        kind: Kind::Exec,
        verify: false,
        max_attempts: 3,
        timeout: 1000,
        own_tree: false,
        held_up: 0,
        accounts: Vec::new(),
        needs: Vec::new(),
    }
}

fn needing(index: usize, node: Node, blocks: bool) -> TaskSpec {
    TaskSpec { needs: vec![Need { node, blocks }], ..exec(index) }
}

fn start(policy: Policy, specs: Vec<TaskSpec>, stages: &[&[Node]]) -> (RunState, Vec<String>) {
    let specs = specs.into_iter().map(|spec| (spec, Seed::default())).collect();
    let stages = stages.iter().enumerate().map(|(at, nodes)| Stage { number: at + 1, nodes: nodes.to_vec() }).collect();
    let mut state = RunState::new(policy, specs, stages);
    let told = tell(&mut state, 0, Event::Next);
    (state, told)
}

/// Effects in a few words.
fn tell(state: &mut RunState, now: Millis, event: Event) -> Vec<String> {
    let short = |effect: Effect| match effect {
        Effect::NextStage => "next?".to_owned(),
        Effect::StageBegin { number, nodes } => format!("begin {number} {nodes:?}"),
        Effect::StageEnd { number, landed, failed } => format!("end {number} {landed:?} {failed:?}"),
        Effect::Start { node, attempt, round, choice, timeout } => {
            let choice = if choice == 0 { String::new() } else { format!(" choice {choice}") };
            let round = if round == attempt { String::new() } else { format!(" round {round}") };
            format!("start {node} #{attempt} {timeout}{round}{choice}")
        }
        Effect::Verify { node, attempt, timeout } => format!("verify {node} #{attempt} {timeout}"),
        Effect::Stop { node } => format!("stop {node}"),
        Effect::Passed { node } => format!("passed {node}"),
        Effect::Landing { nodes } => format!("landing {nodes:?}"),
        Effect::Land { node } => format!("land {node}"),
        Effect::Retry { node, failure, delay, .. } => format!("retry {node} {} {delay}", failure.code),
        Effect::Fail { node, failure, .. } => format!("fail {node} {}", failure.code),
        Effect::Block { node, by } => format!("block {node} {by:?}"),
        Effect::Closed { account, until } => format!("closed {account} until {until}"),
        Effect::Unblock { node } => format!("unblock {node}"),
        Effect::Skip { node } => format!("skip {node}"),
        Effect::Cancel { node } => format!("cancel {node}"),
        Effect::Finish(finish) => format!("finish {finish:?}"),
    };
    step(state, now, event).into_iter().map(short).collect()
}

fn ended(node: Node) -> Event {
    Event::Ended { node, result: Ok(()) }
}

fn broke(node: Node, code: Code) -> Event {
    Event::Ended { node, result: Err(Failure::new(code, "")) }
}

fn verified(node: Node, good: bool) -> Event {
    Event::Verified { node, result: if good { Ok(()) } else { Err(Failure::new(Code::VerifyFailed, "")) } }
}

fn landed(node: Node) -> Event {
    Event::Landed { node, result: Ok(()) }
}

#[test]
fn a_group_is_one_batch_with_a_rolling_pool_and_lands_in_index_order() {
    let (mut state, told) = start(policy(2), vec![exec(0), exec(1), exec(2), exec(3)], &[&[0, 1, 2], &[3]]);
    assert_eq!(told, ["begin 1 [0, 1, 2]", "start 0 #1 1000", "start 1 #1 1000"]);
    assert_eq!(tell(&mut state, 5, ended(1)), ["passed 1", "start 2 #1 1000"], "the next one at once");
    assert_eq!(state.running(), 2);
    assert_eq!(tell(&mut state, 6, ended(2)), ["passed 2"]);
    assert_eq!(tell(&mut state, 7, ended(0)), ["passed 0", "landing [0, 1, 2]", "land 0"]);
    assert_eq!(tell(&mut state, 8, landed(0)), ["land 1"]);
    assert_eq!(tell(&mut state, 9, landed(1)), ["land 2"]);
    assert_eq!(tell(&mut state, 9, landed(2)), ["end 1 [0, 1, 2] []", "next?"]);
    assert_eq!(tell(&mut state, 9, Event::Next), ["begin 2 [3]", "start 3 #1 1000"]);
    assert_eq!(tell(&mut state, 10, ended(3)), ["passed 3", "landing [3]", "land 3"]);
    assert_eq!(tell(&mut state, 11, landed(3)), ["end 2 [3] []", "next?"]);
    assert_eq!(tell(&mut state, 11, Event::Next), ["finish Done"]);
    assert!(tell(&mut state, 12, ended(3)).is_empty(), "what comes late changes nothing");
    assert_eq!((state.phase(3), state.kind(3), state.len(), state.is_empty()), (Phase::Done, Kind::Exec, 4, false));
}

#[test]
fn what_no_budget_allows_waits_and_its_try_was_not_begun() {
    let (mut state, _) = start(policy(3), vec![exec(0), exec(1)], &[&[0, 1]]);
    assert!(tell(&mut state, 1, Event::Unfunded { node: 1, wait: false }).is_empty());
    assert_eq!((state.running(), state.unfunded(), state.tries(1)), (1, 1, 0));
    assert_eq!(tell(&mut state, 2, Event::Funds), ["start 1 #1 1000"], "asked for again");
    assert!(tell(&mut state, 2, Event::Unfunded { node: 1, wait: false }).is_empty());
    assert_eq!(tell(&mut state, 3, ended(0)), ["passed 0", "landing [0]", "land 0"], "what passed lands");
    assert_eq!(tell(&mut state, 4, landed(0)), ["end 1 [0] [1]", "finish Halted(Budget)"]);
}

#[test]
fn what_other_runs_have_reserved_is_waited_for() {
    let (mut state, _) = start(policy(3), vec![exec(0), exec(1)], &[&[0, 1]]);
    assert!(tell(&mut state, 1, Event::Unfunded { node: 1, wait: true }).is_empty());
    assert!(state.may_be_funded());
    assert_eq!(tell(&mut state, 2, ended(0)), ["passed 0"], "the batch lands as a whole");
    assert_eq!(tell(&mut state, 3, Event::Funds), ["start 1 #1 1000"]);
    assert_eq!(tell(&mut state, 4, ended(1)), ["passed 1", "landing [0, 1]", "land 0"]);
}

#[test]
fn a_person_may_skip_what_no_budget_allows() {
    let (mut state, _) = start(policy(3), vec![exec(0)], &[&[0]]);
    assert!(tell(&mut state, 1, Event::Unfunded { node: 0, wait: true }).is_empty());
    assert_eq!(tell(&mut state, 2, Event::Steer(Steer::Skip(0))), ["skip 0", "end 1 [] [0]", "next?"]);
    let (mut state, _) = start(policy(3), vec![exec(0)], &[&[0]]);
    assert_eq!(tell(&mut state, 1, Event::Steer(Steer::Skip(0))), ["stop 0"]);
    let told = tell(&mut state, 1, Event::Unfunded { node: 0, wait: true });
    assert_eq!(told, ["skip 0", "end 1 [] [0]", "next?"], "before it could be begun");
}

#[test]
fn a_task_that_takes_turns_starts_when_the_earlier_one_has_passed() {
    let mut first = exec(0);
    first.verify = true;
    let (mut state, told) = start(policy(3), vec![first, needing(1, 0, false), exec(2)], &[&[0, 1, 2]]);
    assert_eq!(told, ["begin 1 [0, 1, 2]", "start 0 #1 1000", "start 2 #1 1000"]);
    assert!(tell(&mut state, 10, ended(0)).is_empty(), "no Verify while a sibling runs");
    assert_eq!(tell(&mut state, 40, ended(2)), ["passed 2", "verify 0 #1 990"], "with what is left of its time");
    assert_eq!(tell(&mut state, 50, verified(0, true)), ["passed 0", "start 1 #1 1000"]);
}

#[test]
fn failure_is_isolated_and_blocks_what_needs_it() {
    let specs = vec![
        TaskSpec { max_attempts: 1, ..exec(0) },
        needing(1, 0, true),
        needing(2, 1, true),
        needing(3, 0, false),
        exec(4),
    ];
    let keep = Policy { keep_going: true, ..policy(3) };
    let (mut state, told) = start(keep, specs, &[&[0, 1, 3], &[2], &[4]]);
    assert_eq!(told, ["begin 1 [0, 1, 3]", "start 0 #1 1000"]);
    let told = tell(&mut state, 1, broke(0, Code::NoChange));
    assert_eq!(told, ["fail 0 no_change", "block 1 [0]", "block 2 [1]", "start 3 #1 1000"]);
    assert_eq!(tell(&mut state, 2, ended(3)), ["passed 3", "landing [3]", "land 3"], "its sibling lands");
    assert_eq!(tell(&mut state, 3, landed(3)), ["end 1 [3] [0, 1]", "next?"]);
    assert_eq!(tell(&mut state, 3, Event::Next), ["begin 3 [4]", "start 4 #1 1000"], "a stage all blocked is no step");
}

#[test]
fn who_drops_out_of_a_row_hands_on_what_it_waited_for() {
    let specs = vec![exec(0), needing(1, 0, false), needing(2, 1, false)];
    let (mut state, told) = start(policy(3), specs, &[&[0, 1, 2]]);
    assert_eq!(told, ["begin 1 [0, 1, 2]", "start 0 #1 1000"]);
    assert_eq!(tell(&mut state, 1, Event::Steer(Steer::Skip(1))), ["skip 1"], "2 waits for 0 now");
    assert_eq!(tell(&mut state, 2, ended(0)), ["passed 0", "start 2 #1 1000"]);
}

#[test]
fn without_keep_going_a_failure_ends_the_run_at_the_end_of_its_stage() {
    let specs = vec![TaskSpec { max_attempts: 1, ..exec(0) }, exec(1)];
    let (mut state, _) = start(policy(3), specs, &[&[0], &[1]]);
    assert_eq!(tell(&mut state, 1, broke(0, Code::NoChange)), ["fail 0 no_change", "end 1 [] [0]", "next?"]);
    assert_eq!(tell(&mut state, 1, Event::Next), ["finish Done"]);
    assert_eq!(state.phase(1), Phase::Waiting);
}

#[test]
fn a_batch_that_failed_as_a_whole_goes_on_one_at_a_time() {
    let (mut state, _) = start(policy(3), vec![exec(0), exec(1)], &[&[0, 1]]);
    assert_eq!(tell(&mut state, 1, broke(0, Code::NoSignal)), ["retry 0 no_signal 0", "start 0 #2 1000"]);
    assert_eq!(tell(&mut state, 2, broke(1, Code::NoSignal)), ["retry 1 no_signal 0"], "not beside the other");
    assert_eq!(tell(&mut state, 3, ended(0)), ["passed 0", "start 1 #2 1000"]);
    // A limit is no failure of a first try, and one task is no batch.
    let (mut state, _) = start(policy(3), vec![exec(0), exec(1)], &[&[0, 1]]);
    let _ = tell(&mut state, 1, broke(0, Code::RateLimited));
    assert_eq!(tell(&mut state, 2, broke(1, Code::NoSignal)), ["retry 1 no_signal 0", "start 1 #2 1000"]);
}

#[test]
fn a_timeout_gets_twice_the_time_once() {
    let (mut state, _) = start(policy(1), vec![exec(0)], &[&[0]]);
    assert_eq!(tell(&mut state, 1000, broke(0, Code::Timeout)), ["retry 0 timeout 0", "start 0 #2 2000"]);
    assert_eq!(tell(&mut state, 3000, broke(0, Code::Timeout)), ["fail 0 timeout", "end 1 [] [0]", "next?"]);
}

#[test]
fn a_crash_waits_for_its_time() {
    let (mut state, _) = start(policy(1), vec![exec(0)], &[&[0]]);
    let told = tell(&mut state, 5, broke(0, Code::Crash));
    let wake = state.next_wake().unwrap();
    assert!((8..=10).contains(&(wake - 5)), "{told:?}");
    assert!(tell(&mut state, wake - 1, Event::Wake).is_empty());
    assert_eq!(tell(&mut state, wake, Event::Wake), ["start 0 #2 1000"]);
    assert_eq!(state.next_wake(), None);
}

#[test]
fn a_verify_task_brings_in_the_executor_only_when_it_fails() {
    let verify = |executor| TaskSpec { kind: Kind::Verify { executor }, verify: true, ..exec(0) };
    let (mut state, told) = start(policy(1), vec![verify(true)], &[&[0]]);
    assert_eq!(told, ["begin 1 [0]", "verify 0 #1 1000"]);
    assert_eq!(tell(&mut state, 1, verified(0, false)), ["retry 0 verify_failed 0", "start 0 #2 1000"]);
    assert_eq!(tell(&mut state, 2, ended(0)), ["verify 0 #2 999"]);
    assert_eq!(tell(&mut state, 3, verified(0, true)), ["passed 0", "landing [0]", "land 0"]);
    let once = TaskSpec { max_attempts: 1, ..verify(false) };
    let (mut state, _) = start(policy(1), vec![once], &[&[0]]);
    assert_eq!(tell(&mut state, 1, verified(0, false))[0], "fail 0 verify_failed");
}

#[test]
fn in_graph_mode_tasks_land_as_they_finish_and_free_what_waits() {
    let graph = Policy { land_each: true, ..policy(3) };
    let (mut state, told) = start(graph, vec![exec(0), exec(1), needing(2, 0, true)], &[&[0, 1, 2]]);
    assert_eq!(told, ["begin 1 [0, 1, 2]", "start 0 #1 1000", "start 1 #1 1000"]);
    assert_eq!(tell(&mut state, 1, ended(0)), ["passed 0", "landing [0]", "land 0"]);
    assert_eq!(tell(&mut state, 2, landed(0)), ["start 2 #1 1000"], "beside 1, which still runs");
}

#[test]
fn a_deadlock_names_who_waits_for_what() {
    // Two that wait for each other: the planner refuses such lists, the engine does not rely on it.
    let (state, told) = start(policy(1), vec![needing(0, 1, true), needing(1, 0, true)], &[&[0, 1]]);
    assert_eq!(told, ["begin 1 [0, 1]", "finish Deadlock([(0, [1]), (1, [0])])"]);
    assert_eq!(state.phase(0), Phase::Waiting);
    // What passed lands before it is said.
    let specs = vec![exec(0), needing(1, 2, true), needing(2, 1, true)];
    let (mut state, _) = start(policy(1), specs, &[&[0, 1, 2]]);
    assert_eq!(tell(&mut state, 1, ended(0)), ["passed 0", "landing [0]", "land 0"]);
    assert_eq!(tell(&mut state, 2, landed(0)), ["finish Deadlock([(1, [2]), (2, [1])])"]);
}

#[test]
fn an_interrupt_stops_what_runs_and_lands_what_passed() {
    let (mut state, _) = start(policy(2), vec![exec(0), exec(1), exec(2)], &[&[0, 1, 2]]);
    let _ = tell(&mut state, 1, ended(1));
    assert_eq!(tell(&mut state, 2, Event::Halt(Halt::Interrupt)), ["stop 0", "stop 2"]);
    assert!(tell(&mut state, 2, Event::Halt(Halt::Terminate)).is_empty(), "once is enough");
    assert_eq!(state.halt(), Some(Halt::Terminate), "the stronger reason counts");
    assert_eq!(tell(&mut state, 3, broke(0, Code::Cancelled)), ["cancel 0"]);
    // This one had finished before the signal reached it.
    assert_eq!(tell(&mut state, 3, ended(2)), ["passed 2", "landing [1, 2]", "land 1"]);
    assert_eq!(tell(&mut state, 4, landed(1)), ["land 2"]);
    assert_eq!(tell(&mut state, 4, landed(2)), ["end 1 [1, 2] [0]", "finish Halted(Terminate)"]);
}

#[test]
fn an_interrupt_between_executor_and_verify_cancels() {
    let verify = |index| TaskSpec { verify: true, ..exec(index) };
    let (mut state, _) = start(policy(2), vec![verify(0), verify(1)], &[&[0, 1]]);
    let _ = tell(&mut state, 1, ended(0));
    assert_eq!(tell(&mut state, 2, ended(1)), ["verify 0 #1 999"]);
    assert_eq!(tell(&mut state, 3, Event::Halt(Halt::Interrupt)), ["stop 0"]);
    let stopped = Event::Verified { node: 0, result: Err(Failure::new(Code::Cancelled, "")) };
    let told = tell(&mut state, 4, stopped);
    assert_eq!(told, ["cancel 0", "cancel 1", "end 1 [] [0, 1]", "finish Halted(Interrupt)"]);
    // Before anything began.
    let mut state = RunState::new(policy(1), vec![], vec![]);
    assert_eq!(tell(&mut state, 0, Event::Halt(Halt::Fatal)), ["finish Halted(Fatal)"]);
}

#[test]
fn a_conflict_with_a_persons_change_stops_and_keeps_what_passed() {
    let (mut state, _) = start(policy(2), vec![exec(0), exec(1)], &[&[0, 1]]);
    let _ = tell(&mut state, 1, ended(0));
    assert_eq!(tell(&mut state, 1, ended(1))[1], "landing [0, 1]");
    assert!(tell(&mut state, 2, Event::Halt(Halt::Conflict)).is_empty());
    assert_eq!(tell(&mut state, 2, conflict(0)), ["end 1 [] [0, 1]", "finish Halted(Conflict)"]);
    assert_eq!((state.phase(0), state.phase(1)), (Phase::Passed, Phase::Passed));
}

fn own_tree(index: usize) -> TaskSpec {
    TaskSpec { own_tree: true, verify: true, ..exec(index) }
}

fn conflict(node: Node) -> Event {
    Event::Landed { node, result: Err(Failure::new(Code::Conflict, "")) }
}

#[test]
fn what_does_not_fit_the_tip_starts_again_twice_and_then_needs_a_person() {
    let once = |index| TaskSpec { max_attempts: 1, verify: false, ..own_tree(index) };
    let (mut state, _) = start(policy(2), vec![once(0), once(1), once(2)], &[&[0, 1, 2]]);
    for node in 0..3 {
        let _ = tell(&mut state, 1, ended(node));
    }
    let _ = tell(&mut state, 2, landed(0));
    // The rest of the batch lands first: it is on the branch already.
    assert_eq!(tell(&mut state, 3, conflict(1)), ["retry 1 conflict 0", "land 2"]);
    assert_eq!(tell(&mut state, 3, landed(2)), ["start 1 #2 1000 round 1"]);
    assert_eq!(tell(&mut state, 4, ended(1)), ["passed 1", "landing [1]", "land 1"]);
    assert_eq!(tell(&mut state, 5, conflict(1)), ["retry 1 conflict 0", "start 1 #3 1000 round 1"]);
    let _ = tell(&mut state, 6, ended(1));
    assert_eq!(tell(&mut state, 7, conflict(1)), ["end 1 [0, 2] [1]", "finish Halted(Conflict)"]);
    assert_eq!(state.phase(1), Phase::Passed);
    assert_eq!((state.own_tree(1), state.conflicts(1)), (true, 2));
}

#[test]
fn the_rest_of_a_batch_lands_although_one_of_it_needs_a_person() {
    let specs =
        (0..2).map(|index| (TaskSpec { verify: false, ..own_tree(index) }, Seed { passed: true, ..Seed::default() }));
    let stages = vec![Stage { number: 1, nodes: vec![0, 1] }];
    let mut state = RunState::new(Policy { max_conflicts: 0, ..policy(2) }, specs.collect(), stages);
    let told = tell(&mut state, 0, Event::Next);
    assert_eq!(told[3..], ["landing [0, 1]", "land 0"]);
    assert_eq!(tell(&mut state, 1, conflict(0)), ["land 1"]);
    assert_eq!(tell(&mut state, 2, landed(1)), ["end 1 [1] [0]", "finish Halted(Conflict)"]);
}

#[test]
fn in_a_tree_of_its_own_a_task_is_verified_at_once_and_in_its_place() {
    let (mut state, _) = start(policy(2), vec![own_tree(0), own_tree(1), own_tree(2)], &[&[0, 1, 2]]);
    assert_eq!(tell(&mut state, 100, ended(1)), ["verify 1 #1 900"]);
    assert_eq!(tell(&mut state, 200, ended(0)), ["verify 0 #1 800"]);
    assert_eq!(tell(&mut state, 300, verified(1, true)), ["passed 1", "start 2 #1 1000"]);
    assert_eq!(tell(&mut state, 300, verified(0, false)), ["retry 0 verify_failed 0", "start 0 #2 1000"]);
}

#[test]
fn a_box_that_a_person_ticks_ends_its_task_and_frees_what_waits() {
    let (mut state, _) = start(policy(2), vec![own_tree(0), needing(1, 0, true)], &[&[0, 1]]);
    assert_eq!(tell(&mut state, 1, Event::Steer(Steer::Done(0))), ["stop 0"]);
    assert!(tell(&mut state, 1, Event::Steer(Steer::Done(0))).is_empty(), "once");
    assert_eq!(tell(&mut state, 2, broke(0, Code::Cancelled)), ["cancel 0", "start 1 #1 1000"]);
    assert!(tell(&mut state, 3, Event::Steer(Steer::Done(0))).is_empty());
    assert_eq!(tell(&mut state, 4, ended(1)), ["passed 1", "landing [1]", "land 1"]);
    assert_eq!(tell(&mut state, 5, landed(1)), ["end 1 [1] []", "next?"]);
}

#[test]
fn what_ended_before_it_could_land_stays_passed() {
    let (mut state, _) = start(policy(1), vec![own_tree(0)], &[&[0]]);
    let _ = (tell(&mut state, 1, ended(0)), tell(&mut state, 1, verified(0, true)));
    assert!(tell(&mut state, 2, Event::Halt(Halt::Interrupt)).is_empty());
    let stopped = Event::Landed { node: 0, result: Err(Failure::new(Code::Cancelled, "")) };
    assert_eq!(tell(&mut state, 3, stopped), ["end 1 [] [0]", "finish Halted(Interrupt)"]);
    assert_eq!(state.phase(0), Phase::Passed);
}

#[test]
fn what_builds_on_a_refused_commit_goes_back_too() {
    let once = TaskSpec { max_attempts: 1, ..exec(0) };
    let (mut state, _) = start(policy(2), vec![once, needing(1, 0, true)], &[&[0, 1]]);
    assert_eq!(tell(&mut state, 1, ended(0)), ["passed 0", "start 1 #1 1000"]);
    assert_eq!(tell(&mut state, 2, ended(1)), ["passed 1", "landing [0, 1]", "land 0"]);
    let refused = Event::Landed { node: 0, result: Err(Failure::new(Code::CommitFailed, "hook")) };
    let told = tell(&mut state, 3, refused);
    let back = "retry 1 commit_failed 0";
    assert_eq!(told, [back, "fail 0 commit_failed", "block 1 [0]", "end 1 [] [0, 1]", "next?"]);
}

#[test]
fn a_short_machine_holds_starts_but_never_the_only_one() {
    let tasks = (0..3).map(|index| (exec(index), Seed::default())).collect();
    let mut state = RunState::new(policy(3), tasks, vec![Stage { number: 1, nodes: vec![0, 1, 2] }]);
    assert_eq!(state.held(), 0, "nothing is ready");
    assert!(tell(&mut state, 0, Event::Ceiling(0)).is_empty());
    assert_eq!(tell(&mut state, 0, Event::Next), ["begin 1 [0, 1, 2]", "start 0 #1 1000"]);
    assert_eq!(state.held(), 2);
    assert_eq!(tell(&mut state, 1, Event::Ceiling(2)), ["start 1 #1 1000"]);
    assert_eq!(state.held(), 1);
    // What runs is left alone, and the next one waits until there is room again, or nothing runs.
    assert!(tell(&mut state, 2, Event::Ceiling(1)).is_empty());
    assert_eq!(tell(&mut state, 3, ended(0)), ["passed 0"]);
    assert_eq!(tell(&mut state, 4, ended(1)), ["passed 1", "start 2 #1 1000"]);
    assert_eq!(state.held(), 0);
}

#[test]
fn who_holds_up_more_goes_first_and_a_first_try_before_another() {
    let specs = (0..3).map(|index| TaskSpec { held_up: index % 2, ..exec(index) }).collect();
    let (mut state, told) = start(Policy { land_each: true, ..policy(1) }, specs, &[&[0, 1, 2]]);
    assert_eq!(told[1], "start 1 #1 1000");
    assert_eq!(tell(&mut state, 1, broke(1, Code::NoChange)), ["retry 1 no_change 0", "start 0 #1 1000"]);
    assert_eq!(tell(&mut state, 2, broke(0, Code::NoChange)), ["retry 0 no_change 0", "start 2 #1 1000"]);
    assert_eq!(tell(&mut state, 3, broke(2, Code::NoChange)), ["retry 2 no_change 0", "start 1 #2 1000"]);
}

#[test]
fn a_person_pauses_skips_and_retries() {
    let keep = Policy { keep_going: true, ..policy(1) };
    let specs = vec![TaskSpec { max_attempts: 1, ..exec(0) }, needing(1, 0, true), exec(2), needing(3, 0, false)];
    let (mut state, _) = start(keep, specs, &[&[0, 3], &[1], &[2]]);
    assert!(tell(&mut state, 1, Event::Steer(Steer::Pause)).is_empty());
    let told = tell(&mut state, 2, broke(0, Code::NoSignal));
    assert_eq!(told, ["fail 0 no_signal", "block 1 [0]"], "3 waits for the pause to end");
    assert!(state.paused());
    assert_eq!(tell(&mut state, 3, Event::Steer(Steer::Resume)), ["start 3 #1 1000"]);
    assert_eq!(tell(&mut state, 4, Event::Steer(Steer::Skip(3))), ["stop 3"]);
    assert_eq!(tell(&mut state, 5, broke(3, Code::Cancelled)), ["skip 3", "end 1 [] [0, 3]", "next?"]);
    assert_eq!(tell(&mut state, 5, Event::Next), ["begin 3 [2]", "start 2 #1 1000"], "1 is blocked");
    assert_eq!(tell(&mut state, 6, Event::Steer(Steer::Retry(0))), ["unblock 0", "unblock 1"]);
    let _ = tell(&mut state, 7, ended(2));
    assert_eq!(tell(&mut state, 8, landed(2)), ["end 3 [2] []", "next?"]);
    assert_eq!(tell(&mut state, 8, Event::Next), ["begin 1 [0, 1]", "start 0 #1 1000"], "from its first attempt");
    assert!(tell(&mut state, 8, Event::Steer(Steer::Retry(0))).is_empty(), "it runs");
    assert!(tell(&mut state, 8, Event::Steer(Steer::Skip(2))).is_empty(), "it landed");
    assert_eq!(tell(&mut state, 9, Event::Steer(Steer::Skip(1))), ["skip 1"]);
    let told = tell(&mut state, 10, broke(0, Code::Crash));
    assert_eq!(told[0], "fail 0 crash");
}

#[test]
fn a_person_skips_or_hurries_what_waits() {
    let verify = TaskSpec { verify: true, ..exec(1) };
    let (mut state, _) = start(policy(2), vec![exec(0), verify, exec(2)], &[&[0, 1, 2]]);
    let _ = tell(&mut state, 1, broke(0, Code::Crash));
    assert_eq!(tell(&mut state, 2, Event::Steer(Steer::Retry(0))), [] as [&str; 0], "2 has its place");
    assert_eq!(tell(&mut state, 3, ended(2)), ["passed 2", "start 0 #2 1000"], "no backoff any more");
    let _ = tell(&mut state, 4, ended(1));
    assert_eq!(tell(&mut state, 5, Event::Steer(Steer::Skip(1))), ["skip 1"], "before its Verify");
    let _ = tell(&mut state, 6, broke(0, Code::Crash));
    let told = tell(&mut state, 6, Event::Steer(Steer::Skip(0)));
    assert_eq!(told, ["skip 0", "landing [2]", "land 2"]);
    // Stopped too late: the person's word counts all the same.
    let (mut state, _) = start(policy(1), vec![exec(0), TaskSpec { verify: true, ..exec(1) }], &[&[0, 1]]);
    let _ = tell(&mut state, 1, Event::Steer(Steer::Skip(0)));
    assert_eq!(tell(&mut state, 2, ended(0)), ["skip 0", "start 1 #1 1000"]);
    assert_eq!(tell(&mut state, 3, ended(1)), ["verify 1 #1 999"]);
    assert_eq!(tell(&mut state, 3, Event::Steer(Steer::Skip(1))), ["stop 1"]);
    assert_eq!(tell(&mut state, 4, verified(1, true))[0], "skip 1");
}

#[test]
fn a_list_that_was_edited_is_planned_anew() {
    let (mut state, _) = start(policy(1), vec![exec(0), exec(1), exec(2)], &[&[0], &[1], &[2]]);
    let _ = tell(&mut state, 1, ended(0));
    assert_eq!(tell(&mut state, 2, landed(0)), ["end 1 [0] []", "next?"]);
    // 1 was removed, 2 ticked by a person, 3 added before 2, and 0 opened again.
    let replan = Replan {
        stages: vec![Stage { number: 1, nodes: vec![0] }, Stage { number: 2, nodes: vec![3] }],
        specs: vec![(3, exec(1)), (2, exec(2)), (0, exec(0))],
        done: BTreeSet::from([2]),
        ..Replan::default()
    };
    let told = tell(&mut state, 3, Event::Replan(Box::new(replan)));
    assert_eq!(told, ["begin 1 [0]", "start 0 #1 1000"]);
    let _ = tell(&mut state, 4, ended(0));
    let _ = tell(&mut state, 4, landed(0));
    assert_eq!(tell(&mut state, 5, Event::Next), ["begin 2 [3]", "start 3 #1 1000"]);
    assert_eq!(state.phase(2), Phase::Done);
}

#[test]
fn what_failed_is_not_begun_again_by_an_edit_of_the_list() {
    let keep_going = Policy { keep_going: true, ..policy(1) };
    let once = TaskSpec { max_attempts: 1, ..exec(0) };
    let (mut state, _) = start(keep_going, vec![once, exec(1)], &[&[0], &[1]]);
    assert_eq!(tell(&mut state, 1, broke(0, Code::NoChange)), ["fail 0 no_change", "end 1 [] [0]", "next?"]);
    // The box of 0 is still open, so the new plan names it; 2 is new and needs it.
    let needs = vec![Need { node: 0, blocks: true }];
    let replan = Replan {
        stages: vec![
            Stage { number: 1, nodes: vec![0] },
            Stage { number: 2, nodes: vec![1] },
            Stage { number: 3, nodes: vec![2] },
        ],
        specs: vec![(0, exec(0)), (1, exec(1)), (2, TaskSpec { needs, ..exec(2) })],
        ..Replan::default()
    };
    let told = tell(&mut state, 2, Event::Replan(Box::new(replan)));
    assert_eq!(told, ["block 2 [0]", "begin 2 [1]", "start 1 #1 1000"]);
    assert_eq!((state.phase(0), state.phase(2)), (Phase::Failed, Phase::Blocked));
}

#[test]
fn in_graph_mode_an_edit_joins_the_stage_that_goes_on() {
    let graph = Policy { land_each: true, ..policy(1) };
    let (mut state, _) = start(graph, vec![exec(0), exec(1), exec(2)], &[&[0, 1, 2]]);
    let replan = Replan {
        stages: vec![Stage { number: 1, nodes: vec![0, 2, 3] }],
        specs: vec![(3, exec(1)), (2, exec(2)), (0, exec(9))],
        ..Replan::default()
    };
    assert!(tell(&mut state, 1, Event::Replan(Box::new(replan))).is_empty(), "0 keeps what it started with");
    assert_eq!(state.phase(1), Phase::Removed);
    let _ = tell(&mut state, 2, ended(0));
    let told = tell(&mut state, 2, landed(0));
    assert!(told.is_empty() || told == ["start 3 #1 1000"], "{told:?}");
}

#[test]
fn a_box_that_is_opened_again_in_graph_mode_is_done_once_more_and_counted_once() {
    let graph = Policy { land_each: true, ..policy(1) };
    let (mut state, _) = start(graph, vec![exec(0), needing(1, 0, true)], &[&[0, 1]]);
    let _ = (tell(&mut state, 1, ended(0)), tell(&mut state, 2, landed(0)));
    let replan = Replan {
        stages: vec![Stage { number: 1, nodes: vec![0] }],
        specs: vec![(0, exec(0))],
        done: BTreeSet::from([1]),
        ..Replan::default()
    };
    let told = tell(&mut state, 3, Event::Replan(Box::new(replan)));
    assert_eq!(told, [] as [&str; 0], "1 runs, whatever its box says, and there is one place");
    assert_eq!(state.needs(1), [Need { node: 0, blocks: true }]);
    let _ = tell(&mut state, 4, ended(1));
    assert_eq!(tell(&mut state, 5, landed(1)), [] as [&str; 0], "0 runs");
    for attempt in 1..3 {
        let told = tell(&mut state, 6, broke(0, Code::NoChange));
        assert_eq!(told, ["retry 0 no_change 0".to_owned(), format!("start 0 #{} 1000", attempt + 1)]);
    }
    assert_eq!(tell(&mut state, 7, broke(0, Code::NoChange))[1..], ["end 1 [0, 1] [0]", "next?"]);
}

#[test]
fn a_report_about_what_is_not_under_way_changes_nothing() {
    let (mut state, _) = start(policy(2), vec![exec(0), own_tree(1)], &[&[0, 1]]);
    for late in [verified(0, true), landed(0), verified(1, false), landed(1)] {
        assert!(tell(&mut state, 1, late).is_empty());
    }
    assert_eq!(tell(&mut state, 1, ended(1)), ["verify 1 #1 999"]);
    for late in [ended(1), broke(1, Code::Crash), landed(1)] {
        assert!(tell(&mut state, 2, late).is_empty());
    }
    assert_eq!((state.phase(0), state.phase(1), state.running()), (Phase::Running, Phase::Verifying, 2));
    assert!(tell(&mut state, 3, Event::Unfunded { node: 1, wait: false }).is_empty());
    assert_eq!((state.phase(1), state.running()), (Phase::Verifying, 2), "what was begun was funded");
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was() {
    let seed = Seed { tries: 1, attempts: 1, timeouts: 0, failed: false, passed: true, ..Seed::default() };
    let tried = Seed { tries: 3, attempts: 2, timeouts: 1, failed: true, ..Seed::default() };
    let specs = vec![(exec(0), seed), (exec(1), tried)];
    let mut state = RunState::new(policy(2), specs, vec![Stage { number: 1, nodes: vec![0, 1] }]);
    assert_eq!(tell(&mut state, 0, Event::Next), ["begin 1 [0, 1]", "passed 0", "start 1 #4 2000 round 3"]);
    assert_eq!(tell(&mut state, 1, broke(1, Code::NoChange)), ["fail 1 no_change", "landing [0]", "land 0"]);
}

#[test]
fn a_try_that_goes_on_outside_is_running_and_what_has_failed_is_not_told_again() {
    let out = Seed { tries: 2, attempts: 1, out: true, ..Seed::default() };
    let over = Seed { tries: 5, attempts: 5, failed: true, over: true, ..Seed::default() };
    let specs = vec![(exec(0), out), (exec(1), over), (exec(2), Seed::default()), (exec(3), Seed::default())];
    let mut state = RunState::new(policy(2), specs, vec![Stage { number: 1, nodes: vec![0, 1, 2, 3] }]);
    assert_eq!(tell(&mut state, 0, Event::Next), ["begin 1 [0, 1, 2, 3]", "start 2 #1 1000"]);
    assert_eq!((state.phase(0), state.phase(1), state.running()), (Phase::Running, Phase::Failed, 2));
    assert_eq!(state.stage(), Some(1));
    assert_eq!(tell(&mut state, 1, broke(0, Code::NoChange)), ["retry 0 no_change 0", "start 3 #1 1000"]);
    assert_eq!(tell(&mut state, 2, ended(2)), ["passed 2", "start 0 #3 1000 round 2"]);
}

#[test]
fn a_try_that_goes_on_outside_keeps_what_it_started_with_before_its_stage_too() {
    let out = Seed { tries: 1, attempts: 0, out: true, ..Seed::default() };
    let turn = |node| Stage { number: node + 1, nodes: vec![node] };
    let mut state = RunState::new(policy(1), vec![(exec(0), out)], vec![turn(0)]);
    let changed = TaskSpec { max_attempts: 1, ..exec(3) };
    let replan = Replan { stages: vec![turn(0)], specs: vec![(0, changed)], ..Replan::default() };
    assert_eq!(tell(&mut state, 0, Event::Replan(Box::new(replan))), ["begin 1 [0]"]);
    assert_eq!(tell(&mut state, 1, broke(0, Code::NoChange))[0], "retry 0 no_change 0", "three attempts, as it began");
}

/// An agent with one to fall back on, from its second attempt on the other way round.
fn with_accounts(index: usize) -> TaskSpec {
    TaskSpec { accounts: vec![vec![0, 1], vec![1]], ..exec(index) }
}

fn limited(node: Node) -> Event {
    Event::Ended { node, result: Err(Failure::new(Code::RateLimited, "")) }
}

#[test]
fn a_limit_closes_its_account_for_all_and_others_go_on() {
    let one = |index| TaskSpec { accounts: vec![vec![0]], ..exec(index) };
    let (mut state, told) = start(policy(2), vec![one(0), one(1), exec(2)], &[&[0, 1, 2]]);
    assert_eq!(told, ["begin 1 [0, 1, 2]", "start 0 #1 1000", "start 1 #1 1000"]);
    assert_eq!(tell(&mut state, 10, Event::Closed { account: 0, until: Some(5000) }), ["closed 0 until 5000"]);
    assert_eq!(tell(&mut state, 10, limited(0)), ["retry 0 rate_limited 0", "start 2 #1 1000"]);
    assert_eq!(tell(&mut state, 11, Event::Closed { account: 0, until: Some(4000) }), [""; 0], "not sooner");
    assert_eq!(tell(&mut state, 11, limited(1)), ["retry 1 rate_limited 0"]);
    let wake = state.next_wake().expect("they wait");
    assert!((5000..5010).contains(&wake), "{wake}");
    let told = tell(&mut state, 5010, Event::Wake);
    assert_eq!(told.len(), 1, "as many as may: {told:?}");
    assert!(told[0].ends_with("#2 1000 round 1"), "no attempt is used up: {told:?}");
}

#[test]
fn another_account_takes_the_task_meanwhile() {
    let (mut state, _) = start(policy(1), vec![with_accounts(0)], &[&[0]]);
    tell(&mut state, 10, Event::Closed { account: 0, until: Some(5000) });
    assert_eq!(tell(&mut state, 10, limited(0)), ["retry 0 rate_limited 0", "start 0 #2 1000 round 1 choice 1"]);
    let failed = Event::Ended { node: 0, result: Err(Failure::new(Code::NoSignal, "")) };
    assert_eq!(tell(&mut state, 20, failed), ["retry 0 no_signal 0", "start 0 #3 1000 round 2"], "its own list now");
}

#[test]
fn an_account_without_a_time_is_asked_again_and_again_later_until_it_works() {
    let (mut state, _) = start(policy(1), vec![TaskSpec { accounts: vec![vec![0]], ..exec(0) }], &[&[0]]);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let told = tell(&mut state, now, Event::Closed { account: 0, until: None });
        let until: Millis = told[0].rsplit(' ').next().unwrap().parse().unwrap();
        waits.push(until - now);
        tell(&mut state, now, limited(0));
        now = state.next_wake().expect("it waits");
        assert!(tell(&mut state, now, Event::Wake)[0].starts_with("start 0"));
    }
    assert!(waits[0] <= 10 && waits[1] > 10 && waits[2] > 20, "doubling: {waits:?}");
    tell(&mut state, now, Event::Ended { node: 0, result: Err(Failure::new(Code::NoSignal, "")) });
    let told = tell(&mut state, now + 1, Event::Closed { account: 0, until: None });
    let until: Millis = told[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(until - now - 1 <= 10, "it had worked in between");
}

fn asked(node: Node) -> Event {
    Event::Asked { node }
}

fn stage(number: usize, nodes: &[Node]) -> Stage {
    Stage { number, nodes: nodes.to_vec() }
}

#[test]
fn who_asks_for_other_tasks_waits_for_them_and_uses_up_no_attempt() {
    let specs = vec![exec(0), needing(1, 0, true), needing(2, 0, false), needing(3, 1, true)];
    let (mut state, _) = start(policy(2), specs, &[&[0, 1, 2], &[3]]);
    assert_eq!(tell(&mut state, 1, broke(0, Code::NoSignal)), ["retry 0 no_signal 0", "start 0 #2 1000"]);
    assert_eq!(tell(&mut state, 2, asked(0)), ["start 2 #1 1000"], "who only went after it goes on");
    assert!(tell(&mut state, 2, asked(0)).is_empty(), "it does not run");
    assert_eq!([0, 1, 3].map(|node| state.phase(node)), [Phase::Deferred; 3], "none is blocked");
    let _ = tell(&mut state, 3, ended(2));
    assert_eq!(tell(&mut state, 3, landed(2)), ["end 1 [2] [0, 1]", "next?"]);
    // 4 is what it asked for.
    let replan = Replan {
        stages: vec![stage(1, &[4]), stage(2, &[0, 1]), stage(3, &[3])],
        specs: vec![(4, exec(0)), (0, exec(1)), (1, needing(2, 0, true)), (3, needing(4, 1, true))],
        ..Replan::default()
    };
    assert_eq!(tell(&mut state, 4, Event::Replan(Box::new(replan))), ["begin 1 [4]", "start 4 #1 1000"]);
    let _ = (tell(&mut state, 5, ended(4)), tell(&mut state, 5, landed(4)));
    assert_eq!(tell(&mut state, 5, Event::Next), ["begin 2 [0, 1]", "start 0 #3 1000 round 2"]);
    // Of three tries that count it has had one.
    let told = tell(&mut state, 6, broke(0, Code::NoSignal));
    assert_eq!(told, ["retry 0 no_signal 0", "start 0 #4 1000 round 3"]);
    assert_eq!(tell(&mut state, 7, broke(0, Code::NoSignal))[0], "fail 0 no_signal");
}

#[test]
fn who_asks_when_it_is_to_stop_stops() {
    let (mut state, _) = start(policy(1), vec![exec(0)], &[&[0]]);
    assert_eq!(tell(&mut state, 1, Event::Steer(Steer::Skip(0))), ["stop 0"]);
    assert_eq!(tell(&mut state, 2, asked(0)), ["skip 0", "end 1 [] [0]", "next?"]);
}

#[test]
fn a_task_that_was_split_is_looked_at_as_a_parent_from_its_beginning() {
    let (mut state, _) = start(policy(1), vec![exec(0)], &[&[0]]);
    assert_eq!(tell(&mut state, 1, asked(0)), ["end 1 [] [0]", "next?"]);
    let parent = TaskSpec { kind: Kind::Parent, verify: true, max_attempts: 1, ..needing(0, 1, true) };
    let replan = Replan {
        stages: vec![stage(1, &[1]), stage(0, &[0])],
        specs: vec![(1, exec(1)), (0, parent)],
        ..Replan::default()
    };
    assert_eq!(tell(&mut state, 1, Event::Replan(Box::new(replan)))[1], "start 1 #1 1000");
    let _ = (tell(&mut state, 2, ended(1)), tell(&mut state, 2, landed(1)));
    assert_eq!(tell(&mut state, 2, Event::Next), ["begin 0 [0]", "verify 0 #1 1000"]);
}

#[test]
fn in_graph_mode_an_edit_does_not_start_who_asked_too_soon() {
    let graph = Policy { land_each: true, ..policy(1) };
    let (mut state, _) = start(graph, vec![exec(0), exec(1)], &[&[0, 1]]);
    assert_eq!(tell(&mut state, 1, asked(0)), ["start 1 #1 1000"]);
    let again = || Replan { stages: vec![stage(1, &[0, 1])], specs: vec![(0, exec(0))], ..Replan::default() };
    assert!(tell(&mut state, 2, Event::Replan(Box::new(again()))).is_empty());
    assert_eq!(state.phase(0), Phase::Deferred);
    let _ = tell(&mut state, 3, ended(1));
    assert_eq!(tell(&mut state, 3, landed(1)), ["end 1 [1] [0]", "next?"]);
    assert_eq!(tell(&mut state, 4, Event::Replan(Box::new(again()))), ["begin 1 [0]", "start 0 #2 1000 round 1"]);
}

#[test]
fn what_failed_is_tried_again_behind_its_fix_with_what_it_blocked() {
    let once = TaskSpec { max_attempts: 1, ..exec(0) };
    let specs = vec![once.clone(), needing(1, 0, true), needing(2, 1, true), exec(3)];
    let (mut state, _) = start(policy(1), specs, &[&[0, 1], &[2], &[3]]);
    let told = tell(&mut state, 1, broke(0, Code::NoChange));
    assert_eq!(told, ["fail 0 no_change", "block 1 [0]", "block 2 [1]", "end 1 [] [0, 1]", "next?"]);
    // 4 is its fix.
    let mended = |node| TaskSpec { needs: vec![Need { node, blocks: true }], ..once.clone() };
    let replan = |fix: Node, of: Node| Replan {
        stages: vec![stage(1, &[fix]), stage(2, &[of]), stage(3, &[1]), stage(4, &[2]), stage(5, &[3])],
        specs: vec![(fix, TaskSpec { max_attempts: 1, ..exec(1) }), (of, mended(fix))],
        again: BTreeSet::from([of]),
        ..Replan::default()
    };
    let told = tell(&mut state, 2, Event::Replan(Box::new(replan(4, 0))));
    assert_eq!(told, ["unblock 0", "unblock 1", "unblock 2", "begin 1 [4]", "start 4 #1 1000"]);
    let _ = (tell(&mut state, 3, ended(4)), tell(&mut state, 3, landed(4)));
    assert_eq!(tell(&mut state, 3, Event::Next), ["begin 2 [0]", "start 0 #2 1000 round 1"], "tries are counted on");
    let told = tell(&mut state, 4, broke(0, Code::NoChange));
    assert_eq!(told[..3], ["fail 0 no_change", "block 1 [0]", "block 2 [1]"]);
    // The second fix fails for good: what waits for it is blocked, and nothing goes on.
    assert_eq!(tell(&mut state, 5, Event::Replan(Box::new(replan(5, 0))))[3..], ["begin 1 [5]", "start 5 #1 1000"]);
    let told = tell(&mut state, 6, broke(5, Code::Crash));
    assert_eq!(told[..4], ["fail 5 crash", "block 0 [5]", "block 1 [0]", "block 2 [1]"]);
    assert_eq!(tell(&mut state, 6, Event::Next), ["finish Done"]);
}

#[test]
fn what_two_lost_tasks_block_stays_blocked_when_one_is_tried_again() {
    let once = |index| TaskSpec { max_attempts: 1, ..exec(index) };
    let needs = vec![Need { node: 0, blocks: true }, Need { node: 1, blocks: true }];
    let both = TaskSpec { needs, ..exec(2) };
    let (mut state, _) = start(policy(2), vec![once(0), once(1), both], &[&[0, 1, 2]]);
    let _ = (tell(&mut state, 1, broke(0, Code::NoChange)), tell(&mut state, 1, broke(1, Code::NoChange)));
    let replan = Replan {
        stages: vec![stage(1, &[0, 2])],
        specs: vec![(0, once(0))],
        again: BTreeSet::from([0]),
        ..Replan::default()
    };
    assert_eq!(tell(&mut state, 2, Event::Replan(Box::new(replan))), ["unblock 0", "finish Done"], "1 is lost");
    assert_eq!(state.phase(2), Phase::Blocked);
}

/// A list that grows as the driver lets it grow: what fails for good gets fixes, and executors ask for tasks before
/// theirs.
#[derive(Default)]
struct Growing {
    /// In the order of the list.
    order: Vec<Node>,
    /// Members of one group have the same number.
    group: Vec<Option<usize>>,
    fix_of: Vec<Option<Node>>,
    before: Vec<Option<Node>>,
    /// How deep: as a fix, and as what was asked for.
    depth: Vec<(usize, usize)>,
    landed: BTreeSet<Node>,
}

impl Growing {
    fn add(&mut self, at: usize, group: Option<usize>, depth: (usize, usize)) -> Node {
        let node = self.group.len();
        self.order.insert(at, node);
        self.group.push(group);
        self.fix_of.push(None);
        self.before.push(None);
        self.depth.push(depth);
        node
    }

    fn place(&self, node: Node) -> usize {
        self.order.iter().position(|other| *other == node).unwrap()
    }

    fn fixes(&self, of: Node) -> impl Iterator<Item = Node> {
        (0..self.fix_of.len()).filter(move |node| self.fix_of[*node] == Some(of))
    }

    fn asked_for(&self, by: Node) -> impl Iterator<Item = Node> {
        (0..self.before.len()).filter(move |node| self.before[*node] == Some(by))
    }

    fn plan(&self, max_attempts: u32, again: BTreeSet<Node>) -> Replan {
        let open: Vec<Node> = self.order.iter().copied().filter(|node| !self.landed.contains(node)).collect();
        let mut row = open.clone();
        for node in open.iter().rev() {
            let Some(last) = row.iter().rposition(|other| self.fix_of[*other] == Some(*node)) else { continue };
            let from = row.iter().position(|other| other == node).unwrap();
            row.remove(from);
            row.insert(last, *node);
        }
        let mut stages: Vec<Stage> = Vec::new();
        for node in &row {
            let joins =
                |stage: &&mut Stage| self.group[*node].is_some() && self.group[stage.nodes[0]] == self.group[*node];
            match stages.last_mut().filter(joins) {
                Some(stage) => stage.nodes.push(*node),
                None => stages.push(Stage { number: stages.len() + 1, nodes: vec![*node] }),
            }
        }
        let needs = |node: Node| {
            let first = self.fixes(node).chain(self.asked_for(node)).filter(|first| !self.landed.contains(first));
            first.map(|node| Need { node, blocks: true }).collect()
        };
        let spec = |node: Node| TaskSpec { max_attempts, needs: needs(node), ..exec(self.place(node)) };
        let mut specs: Vec<(Node, TaskSpec)> = open.iter().map(|node| (*node, spec(*node))).collect();
        specs.sort_by_key(|(node, _)| *node);
        Replan { stages, specs, done: BTreeSet::new(), again }
    }
}

#[test]
fn a_list_that_grows_by_fixes_and_requests_comes_to_its_end() {
    let (mut fixes, mut requests, mut mended, mut deepest) = (0, 0, 0, (0, 0));
    for number in 0..4000_u64 {
        let mut dice = Dice(number);
        let mut list = Growing::default();
        for _ in 0..=dice.below(5) {
            let group = (!dice.one_in(3)).then_some(1);
            let _ = list.add(list.order.len(), group, (0, 0));
        }
        let (bad, asks, max_attempts) = (1 + dice.below(4), 2 + dice.below(8), 1 + dice.below(2) as u32);
        let keep_going = dice.one_in(2);
        let first = list.plan(max_attempts, BTreeSet::new());
        let specs = first.specs.into_iter().map(|(_, spec)| (spec, Seed::default())).collect();
        let mut state = RunState::new(Policy { keep_going, ..policy(2) }, specs, first.stages);
        let mut events = std::collections::VecDeque::from([Event::Next]);
        let (mut failed, mut asked, mut finish) = (BTreeSet::new(), Vec::new(), None);
        let mut count = 0;
        while finish.is_none() {
            count += 1;
            assert!(count < 100_000, "run {number} does not end");
            let event = events.pop_front().unwrap_or_else(|| panic!("run {number} waits for nothing"));
            for effect in step(&mut state, count, event) {
                match effect {
                    Effect::Start { node, .. } => {
                        let there = |other: Node| list.landed.contains(&other);
                        assert!(list.fixes(node).all(there), "run {number}: {node} before its fix landed");
                        assert!(list.asked_for(node).all(there), "run {number}: {node} before what it asked for");
                        assert!(!there(node), "run {number}: {node} runs again");
                        mended += usize::from(list.fixes(node).count() > 0);
                        let there = list.asked_for(node).count();
                        events.push_back(
                            if dice.one_in(asks) && Limits::REQUESTED.allow(there, 1, list.depth[node].1).is_ok() {
                                asked.push(node);
                                Event::Asked { node }
                            } else if dice.one_in(bad) {
                                broke(node, Code::NoChange)
                            } else {
                                ended(node)
                            },
                        );
                    }
                    Effect::Land { node } => {
                        assert!(list.landed.insert(node), "run {number}: {node} landed twice");
                        events.push_back(landed(node));
                    }
                    Effect::Fail { node, .. } => drop(failed.insert(node)),
                    Effect::NextStage => {
                        for node in std::mem::take(&mut asked) {
                            let (fixes, requested) = list.depth[node];
                            let new = list.add(list.place(node), None, (fixes, requested + 1));
                            list.before[new] = Some(node);
                            requests += 1;
                        }
                        let mut again = BTreeSet::new();
                        for node in failed.clone() {
                            let (depth, requested) = list.depth[node];
                            let there = list.fixes(node).count();
                            if Limits::FIXES.allow(there, 1, depth).is_ok() {
                                let new = list.add(list.place(node) + 1, None, (depth + 1, requested));
                                list.fix_of[new] = Some(node);
                                failed.remove(&node);
                                again.insert(node);
                                fixes += 1;
                            }
                        }
                        events.push_back(Event::Replan(Box::new(list.plan(max_attempts, again))));
                    }
                    Effect::Finish(how) => finish = Some(how),
                    _ => {}
                }
            }
        }
        assert_eq!(finish, Some(Finish::Done), "run {number}");
        for node in 0..list.group.len() {
            let (depth, requested) = list.depth[node];
            assert!(list.fixes(node).count() <= 3 && list.asked_for(node).count() <= 3 && depth <= 3 && requested <= 2);
            deepest = (depth.max(deepest.0), requested.max(deepest.1));
        }
        assert!(!failed.is_empty() || list.landed.len() == list.group.len(), "run {number}: something was left out");
    }
    assert!(fixes > 5000 && requests > 5000 && mended > 1000, "{fixes} {requests} {mended}");
    assert_eq!(deepest, (3, 2), "the limits were reached");
}
