//! The scheduler: what starts, what is retried, what is blocked, what lands, and when a run is over. Pure: no file, no
//! process, no clock; the same events give the same effects.
//!
//! [`step`] takes an [`Event`] at a time in milliseconds since the run began and answers with [`Effect`]s, which
//! `runtime::driver` carries out. Tasks are [`Node`]s: numbers that a run gives out once and that edits of the list do
//! not change. A run is a row of [`Stage`]s with a barrier behind each (graph mode: one stage without one).
//!
//! A task goes `Waiting -> Ready -> Running -> Ended -> Verifying -> Passed -> Landing -> Done`. Where executors share a
//! tree, Verify commands run alone: when nothing runs and nothing can be started, one task at a time in index order. A
//! task with a tree of its own is verified there as soon as its executor ended, in its place in the limit.

pub mod budget;
mod code;
pub mod gates;
mod limits;
pub mod output;
mod policy;
mod state;
#[cfg(test)]
mod tests;

pub use code::{Code, Failure};
pub use limits::Limits;
pub use policy::Policy;
pub use state::{Phase, RunState};

use std::collections::BTreeSet;

/// A task of a run: a number given out once, not changed by edits of the list.
pub type Node = usize;

/// Milliseconds since the run began.
pub type Millis = u64;

/// What does the work of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its `Run` commands, by the shell.
    Run,
    /// Its Verify commands first; an executor only when they fail and there is one.
    Verify {
        /// Whether there is an executor to bring in.
        executor: bool,
    },
    /// An executor.
    Exec,
    /// Nothing: a parent with a Verify of its own, looked at when its children are done.
    Parent,
}

/// What the engine needs to know of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its place in the list: the order of landing.
    pub index: usize,
    /// What does its work.
    pub kind: Kind,
    /// It has Verify commands.
    pub verify: bool,
    /// How many tries count.
    pub max_attempts: u32,
    /// How long a try may take, its Verify included.
    pub timeout: Millis,
    /// It works in a tree of its own.
    pub own_tree: bool,
    /// How many tasks wait for it in a row: of those that may start, who holds up more goes first. 0 where the order of
    /// the list counts.
    pub held_up: usize,
    /// The accounts that an executor of it may work for, in order of preference, for its first attempt, its second and so
    /// on; the last are for all further ones. Empty where no account is known that could be used up.
    pub accounts: Vec<Vec<Account>>,
    /// What it waits for.
    pub needs: Vec<Need>,
}

impl TaskSpec {
    /// The accounts for an attempt, 1 for the first; none where none is known.
    #[must_use]
    pub fn accounts_for(&self, attempt: u32) -> Option<&[Account]> {
        let last = self.accounts.len().checked_sub(1)?;
        Some(&self.accounts[last.min(attempt.saturating_sub(1) as usize)])
    }
}

/// Something that may be used up for a while: what several executors have in common at the service of a model.
pub type Account = usize;

/// One thing that a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The task that goes first.
    pub node: Node,
    /// Whether its failure blocks (a dependency), or it only gives order (an overlap).
    pub blocks: bool,
}

/// Tasks with a barrier behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Number of the step in the plan; 0 for the check of a parent, which is no step.
    pub number: usize,
    /// Its tasks in index order.
    pub nodes: Vec<Node>,
}

/// What is known of a task from an earlier run that did not end in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state in disguise")]
pub struct Seed {
    /// Tries that were begun.
    pub tries: u32,
    /// Tries that failed and count; one that was cut short by a kill does not.
    pub attempts: u32,
    /// How many ended by their time limit.
    pub timeouts: u32,
    /// A try failed: Verify commands that stand for the executor have had their turn.
    pub failed: bool,
    /// Every gate but landing was passed.
    pub passed: bool,
    /// How often it did not fit the tip.
    pub conflicts: u32,
    /// It failed for good, and that was told.
    pub over: bool,
    /// Its last try goes on, outside of this program: it is running from the moment its stage begins.
    pub out: bool,
}

/// A new reading of the list while the run goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replan {
    /// What is left, in order.
    pub stages: Vec<Stage>,
    /// New tasks, whose numbers follow on the known ones, and changed ones. A task under way keeps what it started with.
    pub specs: Vec<(Node, TaskSpec)>,
    /// Tasks that somebody ticked: done.
    pub done: BTreeSet<Node>,
    /// Failed tasks that are to be tried again from their first attempt: something that mends them was put before them.
    pub again: BTreeSet<Node>,
}

/// What a person asks of a run that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Try this one again, from the first attempt.
    Retry(Node),
    /// Leave this one out.
    Skip(Node),
    /// A person ticked its box: it is done, whatever it is at.
    Done(Node),
}

/// Why a run is to stop. Ordered: a stronger reason replaces a weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Halt {
    /// The run's own time limit: exit 5.
    RunTimeout,
    /// Nothing runs any more, and no budget allows a further start: exit 5.
    Budget,
    /// Something that needs a person: exit 4.
    Conflict,
    /// The configuration or the surroundings do not allow going on (a program is not there, a disk is full): exit 2.
    Fatal,
    /// Ctrl-C or `spec cancel`: exit 130.
    Interrupt,
    /// A termination signal: exit 143.
    Terminate,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The plan still holds: begin the next stage.
    Next,
    /// The list was read anew. Also an answer to [`Effect::NextStage`].
    Replan(Box<Replan>),
    /// The executor of a task ended and the gates up to Verify were looked at.
    Ended {
        /// Which.
        node: Node,
        /// Passed, or the first gate that was not.
        result: Result<(), Failure>,
    },
    /// The executor of a task ended and asked for other tasks: its own waits for the next reading of the list, and the
    /// try does not count. An [`Event::Replan`] is to follow the stage.
    Asked {
        /// Which.
        node: Node,
    },
    /// The Verify commands of a task were run.
    Verified {
        /// Which.
        node: Node,
        /// All exited 0, or why not.
        result: Result<(), Failure>,
    },
    /// A task landed, or could not.
    Landed {
        /// Which.
        node: Node,
        /// Progress merged, ticked and committed, or why not.
        result: Result<(), Failure>,
    },
    /// The time of [`RunState::next_wake`] has come.
    Wake,
    /// A person steers.
    Steer(Steer),
    /// An account takes no more until then, or nobody knows until when. Comes before the `Ended` of the task that met it.
    Closed {
        /// Which.
        account: Account,
        /// When it takes more.
        until: Option<Millis>,
    },
    /// From now on no task starts beside so many others; the machine has no room for more. One always may.
    Ceiling(usize),
    /// No budget allows the start that was asked for: it was not begun, and the task waits for [`Event::Funds`].
    Unfunded {
        /// Which.
        node: Node,
        /// There may be more although nothing of this run ends.
        wait: bool,
    },
    /// Budgets may allow more than before: a try used less than was reserved for it, or others gave something back.
    Funds,
    /// Stop in order: nothing new, end what runs, land what passed.
    Halt(Halt),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at the list again and answer with [`Event::Next`] or [`Event::Replan`].
    NextStage,
    /// A stage begins.
    StageBegin {
        /// Its number in the plan, 0 for a parent's check.
        number: usize,
        /// Its open tasks in index order.
        nodes: Vec<Node>,
    },
    /// A stage is over.
    StageEnd {
        /// Its number in the plan, 0 for a parent's check.
        number: usize,
        /// What landed in it, in the order of landing.
        landed: Vec<Node>,
        /// What did not, in index order.
        failed: Vec<Node>,
    },
    /// Start the executor of a task.
    Start {
        /// Which.
        node: Node,
        /// 1 for the first try.
        attempt: u32,
        /// 1 for the first attempt; a try that was cut short or met a limit uses up none.
        round: u32,
        /// Which of its [accounts](TaskSpec::accounts) for that attempt; 0 where it has none.
        choice: usize,
        /// How long this try may take.
        timeout: Millis,
    },
    /// Run the Verify commands of a task; in a shared tree nothing else runs meanwhile.
    Verify {
        /// Which.
        node: Node,
        /// Which try.
        attempt: u32,
        /// What is left of the try's time.
        timeout: Millis,
    },
    /// End the processes of a task, which then answers with its `Ended` or `Verified`.
    Stop {
        /// Which.
        node: Node,
    },
    /// All gates but landing are passed.
    Passed {
        /// Which.
        node: Node,
    },
    /// These are about to land, one after the other.
    Landing {
        /// In order.
        nodes: Vec<Node>,
    },
    /// Land this one now.
    Land {
        /// Which.
        node: Node,
    },
    /// A try failed and there will be another.
    Retry {
        /// Which.
        node: Node,
        /// The try that failed.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// Until the next.
        delay: Millis,
        /// Whether it used up an attempt.
        counted: bool,
    },
    /// A task failed for good.
    Fail {
        /// Which.
        node: Node,
        /// Tries made.
        attempt: u32,
        /// Why.
        failure: Failure,
    },
    /// A task will not be started.
    Block {
        /// Which.
        node: Node,
        /// What it needs that did not land.
        by: Vec<Node>,
    },
    /// A blocked task may be started after all.
    Unblock {
        /// Which.
        node: Node,
    },
    /// An account takes no more until then, as far as is known; who may work for no other waits.
    Closed {
        /// Which.
        account: Account,
        /// When it is tried again.
        until: Millis,
    },
    /// A person left it out.
    Skip {
        /// Which.
        node: Node,
    },
    /// It was ended with the run.
    Cancel {
        /// Which.
        node: Node,
    },
    /// The run is over.
    Finish(Finish),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// Everything that was to be done is done, or failed, blocked or skipped.
    Done,
    /// It was stopped.
    Halted(Halt),
    /// Tasks are left and none can start: each with what it waits for.
    Deadlock(Vec<(Node, Vec<Node>)>),
}

/// Takes one event at `now` and says what is to be done. Never fails, never waits.
#[must_use]
pub fn step(state: &mut RunState, now: Millis, event: Event) -> Vec<Effect> {
    state.step(now, event)
}
