//! From a [`Document`](crate::document::Document) to a [`Plan`]: what runs, in which steps and groups, what waits for
//! what and why, and how long it must take at least. `engine` runs a plan, `spec plan` prints it. Pure.

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
    /// Members of every parallel group of two or more, done or not.
    pub groups: Vec<Group>,
    /// Whether the list declares any dependency itself.
    pub declares_dependencies: bool,
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

/// Tasks that can start now, given the tasks that are `done` (landed), ascending.
///
/// In groups and sequential mode only the first step with something left counts; within it, and in graph mode over
/// the whole plan, a task is ready when every edge into it comes from a task that is done.
#[must_use]
pub fn ready_tasks(plan: &Plan, done: &BTreeSet<usize>) -> Vec<usize> {
    let _ = (plan, done);
    Vec::new()
}
