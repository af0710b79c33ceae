//! From a [`Document`](crate::document::Document) to a [`Plan`]: what runs, in which steps and groups, what waits for
//! what and why, and how long it must take at least. `engine` runs a plan, `spec plan` prints it. Pure.
//!
//! [`build`] asks its files in this order: `select` (which items run), `needs` (what they say they depend on),
//! `overlap` (what they share); `bound` is asked by those who know how long tasks take, `propose` by those who look for
//! more that could run at once.

mod beside;
mod bound;
mod build;
mod needs;
mod overlap;
mod propose;
mod select;
#[cfg(test)]
mod tests;

pub use beside::beside;
pub use bound::{Bound, bound, waiting};
pub use build::build;
pub use propose::{Proposal, propose};

use std::collections::{BTreeMap, BTreeSet};

/// How order is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Steps in document order; runs of `[P]` tasks are one step.
    #[default]
    Groups,
    /// One task at a time.
    Sequential,
    /// Only dependencies, overlaps, `[VERIFY]` and `[SEQUENTIAL]` give order.
    Graph,
}

/// What to plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How order is derived.
    pub mode: Mode,
    /// How many tasks may run at once; at least 1.
    pub max_parallel: usize,
    /// Notes are tasks too.
    pub include_notes: bool,
    /// Optional (starred) tasks are tasks too.
    pub include_optional: bool,
    /// Only these (ids, `ID@LINE`, `:INDEX`; a parent or heading means its tasks); empty means all.
    pub only: Vec<String>,
    /// Only what comes at or after this (same notation).
    pub from: Option<String>,
    /// Items that run whatever is selected.
    pub also: BTreeSet<usize>,
    /// Steps list what is done, too.
    pub all: bool,
    /// Patterns of files everyone shares, besides the built-in ones: tasks that name such files take turns.
    pub shared_files: Vec<String>,
    /// How many tasks may use a resource of `Uses` at once, where it is not 1.
    pub resources: BTreeMap<String, usize>,
}

/// The plan of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How order was derived.
    pub mode: Mode,
    /// How many tasks may run at once.
    pub max_parallel: usize,
    /// What is left to run (or all), in order; numbered over the whole plan.
    pub steps: Vec<Step>,
    /// What waits for what within the tasks of `steps` and what is done; sorted by (to, from, reason).
    pub edges: Vec<Edge>,
    /// Open items of role task (as included) that the steps cover, in document order.
    pub open: Vec<usize>,
    /// Members of every parallel group of two or more, done or not, in document order.
    pub groups: Vec<Group>,
    /// Whether the list declares any dependency itself.
    pub declares_dependencies: bool,
}

impl Plan {
    /// The parallel group that an item is in.
    #[must_use]
    pub fn group_of(&self, index: usize) -> Option<&Group> {
        let at = self.groups.partition_point(|group| group.tasks.last().is_some_and(|last| *last < index));
        self.groups.get(at).filter(|group| group.tasks.binary_search(&index).is_ok())
    }
}

/// One step: tasks that may run at the same time, with a barrier behind it (not in graph mode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// 1-based over the whole plan, done steps counted.
    pub number: usize,
    /// Indices of the tasks to run, ascending.
    pub tasks: Vec<usize>,
    /// Two or more are left to run at once.
    pub parallel: bool,
    /// Index into [`Plan::groups`] of the whole group it belongs to.
    pub group: Option<usize>,
}

/// A parallel group of two or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Ascending indices of all members, done or not.
    pub tasks: Vec<usize>,
}

/// Why a task waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It says so; failure blocks.
    Depends,
    /// Their declared files overlap; order only.
    Files,
    /// They name the same resource, or a file everyone shares; order only.
    Resource,
    /// Graph mode: `[VERIFY]` and `[SEQUENTIAL]` wait for all before and hold all after; failure blocks.
    Barrier,
}

/// `to` waits for `from`.
///
/// Where many tasks share a file only neighbours have an edge: the first, the second, the third ... take turns. Who lets
/// a task start because the one before it will not run at all (blocked, skipped) must therefore first see that what
/// *that* one waited for has ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Index of the task that goes first.
    pub from: usize,
    /// Index of the task that waits.
    pub to: usize,
    /// Why.
    pub reason: Reason,
    /// The path, resource or reference that it is about.
    pub detail: String,
}

/// Codes of the diagnostics that planning gives.
pub mod codes {
    /// Tasks wait for each other, or one for itself.
    pub const CYCLE: &str = "dependency-cycle";
    /// A task depends on an open item that will not run.
    pub const NOT_RUN: &str = "dependency-not-run";
    /// A task depends on one further down, outside graph mode.
    pub const FORWARD: &str = "dependency-forward";
    /// More pairs of tasks depend on each other than can be planned.
    pub const TOO_MANY: &str = "too-many-dependencies";
    /// Graph mode was asked for, and no task depends on anything.
    pub const NO_DEPENDENCIES: &str = "graph-without-dependencies";
    /// `--only` or `--from` names nothing in the list.
    pub const UNKNOWN_TASK: &str = "unknown-task";
    /// `--only` or `--from` names something that is not run.
    pub const SELECTED_NOT_RUN: &str = "selected-not-run";
}

impl Mode {
    /// The name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Sequential => "sequential",
            Self::Graph => "graph",
        }
    }
}

impl Reason {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Depends => "depends",
            Self::Files => "files",
            Self::Resource => "resource",
            Self::Barrier => "barrier",
        }
    }

    /// Whether a task is blocked when the one it waits for fails; else it only waits for its end.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Depends | Self::Barrier)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Groups,
            max_parallel: 3,
            include_notes: false,
            include_optional: false,
            only: Vec::new(),
            from: None,
            also: BTreeSet::new(),
            all: false,
            shared_files: Vec::new(),
            resources: BTreeMap::new(),
        }
    }
}

/// Tasks that can start now, given the tasks that are `done` (landed), ascending.
///
/// In groups and sequential mode only the first step with something left counts; within it, and in graph mode over
/// the whole plan, a task is ready when every edge into it comes from a task that is done. What is not open in the plan
/// was done before.
#[must_use]
pub fn ready_tasks(plan: &Plan, done: &BTreeSet<usize>) -> Vec<usize> {
    let left = |task: &usize| plan.open.binary_search(task).is_ok() && !done.contains(task);
    let mut tasks: BTreeSet<usize> = if plan.mode == Mode::Graph {
        plan.open.iter().copied().filter(left).collect()
    } else {
        let steps = plan.steps.iter().map(|step| step.tasks.iter().copied().filter(left).collect());
        steps.into_iter().find(|tasks: &BTreeSet<usize>| !tasks.is_empty()).unwrap_or_default()
    };
    for edge in plan.edges.iter().filter(|edge| left(&edge.from)) {
        tasks.remove(&edge.to);
    }
    tasks.into_iter().collect()
}
