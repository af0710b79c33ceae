//! Who may be at work at the same time as a task.

use std::collections::{HashMap, HashSet};

use super::{Mode, Plan};

/// Of larger plans without groups nobody is named: looking through them for each task would cost more than it is worth.
const MOST: usize = 2000;

/// The tasks that may run at the same time as this one, ascending: of its group, whatever is selected; in graph mode all
/// that are planned, without those that it waits for and those that wait for it.
#[must_use]
pub fn beside(plan: &Plan, index: usize) -> Vec<usize> {
    let mut tasks = match plan.mode {
        Mode::Sequential => Vec::new(),
        Mode::Groups => plan.group_of(index).map_or_else(Vec::new, |group| group.tasks.clone()),
        Mode::Graph if plan.open.len() > MOST => Vec::new(),
        Mode::Graph => {
            let ordered: HashSet<usize> = [true, false].into_iter().flat_map(|way| reached(plan, index, way)).collect();
            plan.open.iter().copied().filter(|task| !ordered.contains(task)).collect()
        }
    };
    tasks.retain(|task| *task != index);
    tasks
}

/// Everything that waits for a task (or that it waits for), over whatever stands between.
fn reached(plan: &Plan, index: usize, waits: bool) -> HashSet<usize> {
    let mut next: HashMap<usize, Vec<usize>> = HashMap::new();
    for edge in &plan.edges {
        let (from, to) = if waits { (edge.from, edge.to) } else { (edge.to, edge.from) };
        next.entry(from).or_default().push(to);
    }
    let mut reached = HashSet::new();
    let mut queue = vec![index];
    while let Some(task) = queue.pop() {
        queue.extend(next.get(&task).into_iter().flatten().copied().filter(|task| reached.insert(*task)));
    }
    reached
}
