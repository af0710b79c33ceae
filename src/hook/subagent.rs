//! That a sub-agent has ended and says its task is done: noted beside the run, for what is said next. It passes no gate.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Input, find};
use crate::engine::output::Report;
use crate::runtime::clock;
use crate::store::fs::read_if_exists;
use crate::store::lease::{self, Lease, LeasedTask};
use crate::store::paths::SpecPaths;

/// A line of `.spec/runs/RUN/claims.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    /// Which task, where that can be told.
    task: Option<String>,
    attempt: u32,
    /// Who, and how far the session was: enough of them are all that were begun.
    agent: Option<String>,
    progress: u64,
}

fn file(lease: &Lease) -> Option<PathBuf> {
    Some(SpecPaths::find(&lease.list).ok()?.run(&lease.run).join("claims.jsonl"))
}

/// Notes it.
pub(super) fn note(input: &Input) -> Option<()> {
    let (path, lease) = find::lease(&input.cwd)?;
    if lease.session != input.session {
        return None;
    }
    lease::renew(&path, clock::wall());
    if input.message.as_deref().is_some_and(|message| !Report::read(message).complete) {
        return None;
    }
    let task = whose(input, &lease);
    let claim = Claim {
        task: task.map(|task| task.task.clone()),
        attempt: task.map_or(0, |task| task.attempt),
        agent: input.subagent.clone(),
        progress: lease.progress,
    };
    let mut line = serde_json::to_vec(&claim).ok()?;
    line.push(b'\n');
    let mut claims = OpenOptions::new().append(true).create(true).open(file(&lease)?).ok()?;
    claims.write_all(&line).ok()
}

/// The task that a sub-agent had: the only one there is, or the only one whose folder or id it says.
fn whose<'a>(input: &Input, lease: &'a Lease) -> Option<&'a LeasedTask> {
    let open: Vec<&LeasedTask> = lease.tasks.iter().filter(|it| !it.reported).collect();
    if let [only] = open[..] {
        return Some(only);
    }
    let message = input.message.as_deref()?;
    let words: BTreeSet<&str> = message.split(|c: char| c.is_whitespace() || ",;()`'\"*".contains(c)).collect();
    let says = |task: &LeasedTask| {
        let id = words.iter().any(|word| word.trim_end_matches(['.', ':']) == task.task);
        let own_tree = task.root != lease.root;
        id || own_tree && message.contains(&*task.root.to_string_lossy())
    };
    let mut said = open.into_iter().filter(|task| says(task));
    said.next().filter(|_| said.next().is_none())
}

/// The tasks of a lease whose newest try is said to be done.
pub(super) fn claimed(lease: &Lease) -> BTreeSet<String> {
    let text = file(lease).and_then(|file| read_if_exists(&file).ok().flatten()).unwrap_or_default();
    let claims: Vec<Claim> =
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let newest = |claim: &Claim| {
        lease.tasks.iter().any(|it| Some(&it.task) == claim.task.as_ref() && it.attempt == claim.attempt)
    };
    let mut claimed: BTreeSet<String> =
        claims.iter().filter(|claim| newest(claim)).filter_map(|claim| claim.task.clone()).collect();
    // Of who does not say which task it had, the number counts.
    let named: BTreeSet<&str> =
        claims.iter().filter(|claim| claim.task.is_some()).filter_map(|claim| claim.agent.as_deref()).collect();
    let nameless: BTreeSet<&str> = claims
        .iter()
        .filter(|claim| claim.task.is_none() && claim.progress == lease.progress)
        .filter_map(|claim| claim.agent.as_deref().filter(|agent| !named.contains(agent)))
        .collect();
    let open = lease.tasks.iter().filter(|it| !it.reported && !claimed.contains(&it.task));
    let open: Vec<String> = open.map(|it| it.task.clone()).collect();
    if nameless.len() >= open.len() {
        claimed.extend(open);
    }
    claimed
}
