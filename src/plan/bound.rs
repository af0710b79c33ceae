//! How long a plan takes at least, whatever the scheduler does.

use super::build::topological;
use super::{Mode, Plan};

/// What the time of a run cannot go below.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bound {
    /// The chain of open tasks that takes longest, barriers between steps counted as they are; in order.
    pub critical_path: Vec<usize>,
    /// How long that chain takes.
    pub length: f64,
    /// The time of all open tasks added up.
    pub work: f64,
    /// max(critical path, work / tasks at once).
    pub bound: f64,
}

/// The bound of a plan whose open tasks take as long as `weight` says.
#[must_use]
pub fn bound(plan: &Plan, weight: impl Fn(usize) -> f64) -> Bound {
    let chain = if plan.mode == Mode::Graph {
        longest(plan, &plan.open, &weight)
    } else {
        // A step begins when the one before it is over, so the longest chains of the steps add up.
        plan.steps.iter().flat_map(|step| longest(plan, &step.tasks, &weight)).collect()
    };
    let length = chain.iter().map(|&task| weight(task)).sum::<f64>();
    let work = plan.open.iter().map(|&task| weight(task)).sum::<f64>();
    let bound = length.max(work / plan.max_parallel as f64);
    Bound { critical_path: chain, length, work, bound }
}

/// Of each open task, in their order, how many tasks the longest chain has that waits for it. Where there is no barrier
/// those that hold up most are better begun first.
#[must_use]
pub fn waiting(plan: &Plan) -> Vec<usize> {
    let place = |task: usize| plan.open.binary_search(&task).ok();
    let pairs = plan.edges.iter().filter_map(|edge| Some((place(edge.from)?, place(edge.to)?)));
    let (order, _) = topological(plan.open.len(), pairs.clone());
    let mut rank = vec![0; plan.open.len()];
    for (at, &task) in order.iter().enumerate() {
        rank[task] = at;
    }
    let mut pairs: Vec<(usize, usize)> = pairs.collect();
    // From the end: what comes after a task is known before it is its turn.
    pairs.sort_unstable_by_key(|&(from, _)| std::cmp::Reverse(rank[from]));
    let mut waiting = vec![0; plan.open.len()];
    for (from, to) in pairs {
        waiting[from] = waiting[from].max(waiting[to] + 1);
    }
    waiting
}

/// The longest chain among some tasks (ascending), by the edges between them; done ones left out.
fn longest(plan: &Plan, tasks: &[usize], weight: impl Fn(usize) -> f64) -> Vec<usize> {
    let place = |task: usize| tasks.binary_search(&task).ok().filter(|_| plan.open.binary_search(&task).is_ok());
    let into = |task: usize| {
        let first = plan.edges.partition_point(|edge| edge.to < task);
        plan.edges[first..].iter().take_while(move |edge| edge.to == task)
    };
    let pairs = tasks
        .iter()
        .enumerate()
        .flat_map(|(to, &task)| into(task).filter_map(move |edge| place(edge.from)).map(move |from| (from, to)));
    let (order, _) = topological(tasks.len(), pairs);
    // For each task how long the longest chain up to its end is, and who is before it in that chain.
    let mut best: Vec<(f64, Option<usize>)> = vec![(0.0, None); tasks.len()];
    for at in order {
        let before =
            into(tasks[at]).filter_map(|edge| place(edge.from)).max_by(|&a, &b| best[a].0.total_cmp(&best[b].0));
        if place(tasks[at]).is_some() {
            best[at] = (before.map_or(0.0, |before| best[before].0) + weight(tasks[at]), before);
        }
    }
    let mut at = (0..tasks.len())
        .filter(|&at| place(tasks[at]).is_some())
        .max_by(|&a, &b| best[a].0.total_cmp(&best[b].0).then(b.cmp(&a)));
    let mut chain = Vec::new();
    while let Some(here) = at {
        chain.push(tasks[here]);
        at = best[here].1;
    }
    chain.reverse();
    chain
}
