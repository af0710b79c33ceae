//! The plan itself: groups, steps and edges.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::needs::{self, Need, named};
use super::overlap::Overlaps;
use super::select::{Selection, select};
use super::{Edge, Group, Mode, Options, Plan, Reason, Step, codes};
use crate::document::{Diagnostic, Document, Role, Severity};

/// Plans a list. A plan with an error among the diagnostics must not be run.
#[must_use]
pub fn build(doc: &Document, options: &Options) -> (Plan, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let selection = select(doc, options, &mut diagnostics);
    let declares_dependencies = needs::declared(doc);
    let mode = if options.mode == Mode::Graph && !declares_dependencies {
        diagnostics.push(no_dependencies());
        Mode::Groups
    } else {
        options.mode
    };
    let needs = needs::needs(doc, &selection, mode, &mut diagnostics);
    let open: Vec<usize> = (0..doc.items.len()).filter(|&index| selection.runs(doc, index)).collect();
    let shown: Vec<usize> = if options.all {
        (0..doc.items.len()).filter(|&index| selection.chosen[index]).collect()
    } else {
        open.clone()
    };
    let work: Vec<usize> = (0..doc.items.len()).filter(|&index| selection.work[index]).collect();

    let groups = if mode == Mode::Groups { groups(doc, &selection) } else { Vec::new() };
    let fixes = fixes(doc, &open);
    let (order, whole) = order(doc, (&needs, &fixes), mode, &work, &open, &mut diagnostics);

    let scope = Scope { doc, options, mode, needs: &needs, fixes: &fixes, groups: &groups, order: &order };
    let mut edges = scope.edges(&open);
    if options.all {
        edges.extend(scope.edges(&shown));
    }
    let edges = tidy(edges);
    let numbers = match mode {
        Mode::Graph if open == work => waves(doc, &order, &edges),
        Mode::Graph => waves(doc, &order, &tidy(scope.edges(if whole { &work } else { &open }))),
        Mode::Groups | Mode::Sequential => numbers(doc, &behind_fixes(work, &fixes), &groups),
    };
    let steps = steps(&shown, &numbers);
    let max_parallel = options.max_parallel.max(1);
    (Plan { mode, max_parallel, steps, edges, open, groups, declares_dependencies }, diagnostics)
}

fn no_dependencies() -> Diagnostic {
    Diagnostic {
        severity: Severity::Info,
        code: codes::NO_DEPENDENCIES,
        message: "no task of this list depends on another, so graph mode is groups mode".to_owned(),
        span: 0..0,
        help: Some("say what a task needs with `Depends: 1.1, 1.2` below it".to_owned()),
    }
}

/// Whether a task waits for everything before it and holds everything after it.
fn is_barrier(doc: &Document, index: usize) -> bool {
    let item = &doc.items[index];
    item.is_verify() || item.is_sequential()
}

/// Maximal runs of two or more parallel tasks between which there is nothing but notes.
fn groups(doc: &Document, selection: &Selection) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut run: Vec<usize> = Vec::new();
    let mut end = |run: &mut Vec<usize>| {
        let tasks = std::mem::take(run);
        if tasks.len() > 1 {
            groups.push(Group { tasks });
        }
    };
    for (index, item) in doc.items.iter().enumerate() {
        let work = selection.work[index];
        if item.role == Role::Note && !work {
            continue;
        }
        let joins = work && item.parallel && !is_barrier(doc, index);
        if !joins || run.last().is_some_and(|&last| doc.items[last].segment != item.segment) {
            end(&mut run);
        }
        if joins {
            run.push(index);
        }
    }
    end(&mut run);
    groups
}

/// Open tasks that repair another open one (`[FIX 1.3]`), each with that one: it is tried again behind them, wherever
/// they stand.
fn fixes(doc: &Document, open: &[usize]) -> Vec<(usize, usize)> {
    let of = |fix: &usize| doc.mends(*fix).filter(|of| open.binary_search(of).is_ok());
    open.iter().filter_map(|fix| Some((*fix, of(fix)?))).collect()
}

/// Tasks in the order in which they are numbered: that of the list, but each behind the last of its fixes.
fn behind_fixes(mut tasks: Vec<usize>, fixes: &[(usize, usize)]) -> Vec<usize> {
    // From the last to the first, so that the fix of a fix is in its place before that goes behind it.
    for (_, of) in fixes.iter().rev() {
        let is_fix = |task: &usize| fixes.contains(&(*task, *of));
        if let (Some(last), Some(at)) = (tasks.iter().rposition(is_fix), tasks.iter().position(|task| task == of))
            && at < last
        {
            tasks[at..=last].rotate_left(1);
        }
    }
    tasks
}

/// The order that `[VERIFY]` and `[SEQUENTIAL]` give to tasks: pairs of who goes first and who waits.
fn barriers(doc: &Document, tasks: &[usize]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut barrier = None;
    let mut since = Vec::new();
    for &task in tasks {
        if !is_barrier(doc, task) {
            pairs.extend(barrier.map(|barrier| (barrier, task)));
            since.push(task);
            continue;
        }
        if since.is_empty() {
            pairs.extend(barrier.map(|barrier| (barrier, task)));
        }
        pairs.extend(since.drain(..).map(|before| (before, task)));
        barrier = Some(task);
    }
    pairs
}

/// Who must go first and who waits, among some tasks (ascending): what they say, and in graph mode what marks say.
fn pairs(
    doc: &Document,
    (needs, fixes): (&[Need<'_>], &[(usize, usize)]),
    mode: Mode,
    tasks: &[usize],
) -> Vec<(usize, usize)> {
    let mut within = vec![false; doc.items.len()];
    for &task in tasks {
        within[task] = true;
    }
    let said = needs.iter().map(|need| (need.from, need.to)).chain(fixes.iter().copied());
    let said = said.filter(|&(from, to)| within[from] && within[to]);
    let marked = if mode == Mode::Graph { barriers(doc, &behind_fixes(tasks.to_vec(), fixes)) } else { Vec::new() };
    said.chain(marked).collect()
}

/// All items so that each task comes behind what it needs, and in the order of the list as far as that goes; and whether
/// that is so for all tasks or, because done ones form a circle, for the open ones only. Open ones that wait for each
/// other are an error.
fn order(
    doc: &Document,
    said: (&[Need<'_>], &[(usize, usize)]),
    mode: Mode,
    work: &[usize],
    open: &[usize],
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<usize>, bool) {
    let all = pairs(doc, said, mode, work);
    if all.iter().all(|(from, to)| from < to) {
        return ((0..doc.items.len()).collect(), true);
    }
    let (order, stuck) = topological(doc.items.len(), all.into_iter());
    if stuck.is_empty() {
        return (order, true);
    }
    let left = pairs(doc, said, mode, open);
    let (mut order, stuck) = topological(doc.items.len(), left.iter().copied());
    let mut waits: Vec<Vec<usize>> = vec![Vec::new(); doc.items.len()];
    for (from, to) in left {
        if stuck.binary_search(&from).is_ok() && stuck.binary_search(&to).is_ok() {
            waits[to].push(from);
        }
    }
    diagnostics.extend(cycles(&stuck, &waits).iter().map(|cycle| circle(doc, cycle, said.0)));
    order.extend(stuck);
    (order, false)
}

/// Indices below `count` in topological order, smallest first, and those that no such order has.
pub(super) fn topological(
    count: usize,
    pairs: impl Iterator<Item = (usize, usize)> + Clone,
) -> (Vec<usize>, Vec<usize>) {
    let mut waits = vec![0_usize; count];
    let mut starts = vec![0_usize; count + 1];
    for (from, to) in pairs.clone() {
        waits[to] += 1;
        starts[from + 1] += 1;
    }
    for index in 0..count {
        starts[index + 1] += starts[index];
    }
    let mut next = starts.clone();
    let mut followers = vec![0_usize; starts[count]];
    for (from, to) in pairs {
        followers[next[from]] = to;
        next[from] += 1;
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..count).filter(|&index| waits[index] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &follower in &followers[starts[index]..starts[index + 1]] {
            waits[follower] -= 1;
            if waits[follower] == 0 {
                ready.push(Reverse(follower));
            }
        }
    }
    let left = (0..count).filter(|&index| waits[index] > 0).collect();
    (order, left)
}

/// Circles among tasks that are stuck: at least one, no task in two of them. Each begins with its smallest index, and
/// each member waits for the next.
fn cycles(stuck: &[usize], waits: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut cycles = Vec::new();
    // In which walk a task was passed, and as the how manieth.
    let mut passed: Vec<Option<(usize, usize)>> = vec![None; waits.len()];
    for (walk, &start) in stuck.iter().enumerate() {
        let mut path = Vec::new();
        let mut at = start;
        while passed[at].is_none() {
            passed[at] = Some((walk, path.len()));
            path.push(at);
            // Whoever is stuck waits for somebody who is; somebody new is preferred, then somebody of this walk.
            let rank = |next: &&usize| passed[**next].map_or(0, |(other, _)| if other == walk { 1 } else { 2 });
            let Some(&next) = waits[at].iter().min_by_key(rank) else { break };
            at = next;
        }
        if let (Some(last), Some((this, place))) = (path.last(), passed[at])
            && this == walk
            && waits[*last].contains(&at)
        {
            let mut cycle = path.split_off(place);
            let first = (0..cycle.len()).min_by_key(|&place| cycle[place]).unwrap_or(0);
            cycle.rotate_left(first);
            cycles.push(cycle);
        }
    }
    cycles
}

/// The error about a circle: every task of it with its line.
fn circle(doc: &Document, cycle: &[usize], needs: &[Need<'_>]) -> Diagnostic {
    let waits: Vec<_> = cycle.iter().skip(1).chain(&cycle[..1]).map(|&task| named(doc, task)).collect();
    let message =
        format!("tasks wait for each other: {} waits for {}", named(doc, cycle[0]), waits.join(", which waits for "));
    let said = needs.iter().find(|need| cycle.contains(&need.to) && cycle.contains(&need.from));
    let barrier = cycle.iter().any(|&task| is_barrier(doc, task));
    let help = if barrier {
        "take one of the dependencies out; in graph mode a [VERIFY] or [SEQUENTIAL] also waits for everything before it"
    } else {
        "take one of the dependencies out"
    };
    Diagnostic {
        severity: Severity::Error,
        code: codes::CYCLE,
        message,
        span: said.map_or(0..0, |need| need.said.span.clone()),
        help: Some(help.to_owned()),
    }
}

/// What edges are made of, for any set of tasks.
struct Scope<'a> {
    doc: &'a Document,
    options: &'a Options,
    mode: Mode,
    needs: &'a [Need<'a>],
    /// Tasks that repair another, with that one.
    fixes: &'a [(usize, usize)],
    groups: &'a [Group],
    order: &'a [usize],
}

impl Scope<'_> {
    /// The edges between `tasks`, and from what is done to them.
    ///
    /// Turns are taken among these only: a task that is done must not stand between two that are not.
    fn edges(&self, tasks: &[usize]) -> Vec<Edge> {
        let mut within = vec![false; self.doc.items.len()];
        for &task in tasks {
            within[task] = true;
        }
        let needs = self.needs.iter().filter(|need| within[need.to]);
        let depends = |need: &Need<'_>| Edge {
            from: need.from,
            to: need.to,
            reason: Reason::Depends,
            detail: need.said.text.clone(),
        };
        let mut edges: Vec<Edge> = needs.map(depends).collect();
        edges.extend(self.fixes.iter().filter(|(_, of)| within[*of]).map(|&(from, to)| Edge {
            from,
            to,
            reason: Reason::Depends,
            detail: format!("[FIX {}]", self.doc.label(to)),
        }));
        let turns = |members: &mut dyn Iterator<Item = usize>, edges: &mut Vec<Edge>| {
            let mut overlaps = Overlaps::new(&self.options.shared_files, &self.options.resources);
            members.filter(|&task| within[task]).for_each(|task| overlaps.add(task, &self.doc.items[task]));
            edges.extend(overlaps.into_edges());
        };
        match self.mode {
            Mode::Sequential => {}
            Mode::Groups => {
                for group in self.groups {
                    turns(&mut group.tasks.iter().copied(), &mut edges);
                }
            }
            Mode::Graph => {
                turns(&mut self.order.iter().copied(), &mut edges);
                let barrier = |(from, to): (usize, usize)| {
                    let marked = if is_barrier(self.doc, to) { to } else { from };
                    Edge { from, to, reason: Reason::Barrier, detail: self.doc.label(marked) }
                };
                let tasks = behind_fixes(tasks.to_vec(), self.fixes);
                edges.extend(barriers(self.doc, &tasks).into_iter().map(barrier));
            }
        }
        edges
    }
}

/// Sorted by who waits, for whom, and why; several details of one reason become one edge.
fn tidy(mut edges: Vec<Edge>) -> Vec<Edge> {
    let key = |edge: &Edge| (edge.to, edge.from, edge.reason);
    edges.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.detail.cmp(&b.detail)));
    edges.dedup();
    edges.dedup_by(|next, kept| {
        let same = key(next) == key(kept);
        if same {
            kept.detail.push_str(", ");
            kept.detail.push_str(&next.detail);
        }
        same
    });
    edges
}

/// The step of each task, from 1: a group is one, any other task is one.
fn numbers(doc: &Document, work: &[usize], groups: &[Group]) -> Vec<(usize, Option<usize>)> {
    let mut numbers = vec![(0, None); doc.items.len()];
    for (group, members) in groups.iter().enumerate() {
        members.tasks.iter().for_each(|&task| numbers[task].1 = Some(group));
    }
    let mut number = 0;
    let mut last = None;
    for &task in work {
        let group = numbers[task].1;
        if group.is_none() || group != last {
            number += 1;
        }
        last = group;
        numbers[task].0 = number;
    }
    numbers
}

/// The wave of each task, from 1: how long the longest chain of tasks before it is.
fn waves(doc: &Document, order: &[usize], edges: &[Edge]) -> Vec<(usize, Option<usize>)> {
    let mut waves = vec![(1, None); doc.items.len()];
    for &task in order {
        let first = edges.partition_point(|edge| edge.to < task);
        let before = edges[first..].iter().take_while(|edge| edge.to == task).map(|edge| waves[edge.from].0);
        waves[task].0 = before.max().map_or(1, |wave: usize| wave + 1);
    }
    waves
}

fn steps(shown: &[usize], numbers: &[(usize, Option<usize>)]) -> Vec<Step> {
    let mut numbered: Vec<_> = shown.iter().map(|&task| (numbers[task], task)).collect();
    numbered.sort_unstable();
    let mut steps: Vec<Step> = Vec::new();
    for ((number, group), task) in numbered {
        match steps.last_mut().filter(|step| step.number == number) {
            Some(step) => {
                step.tasks.push(task);
                step.parallel = true;
            }
            None => steps.push(Step { number, tasks: vec![task], parallel: false, group }),
        }
    }
    steps
}
