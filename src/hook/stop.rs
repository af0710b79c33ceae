//! Whether an agent may end its turn: not while its session has a run with something left that can be done now.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Input, find, subagent};
use crate::report::step;
use crate::runtime::clock;
use crate::runtime::session::UNNAMED;
use crate::store::event::Event;
use crate::store::fs::{Durability, read_if_exists, write_atomic};
use crate::store::journal;
use crate::store::lease::{self, Lease};
use crate::store::paths::SpecPaths;

/// Held back so often without anything having come of it, it is let go.
const WITHOUT_PROGRESS: u32 = 2;

/// What was asked before: `.spec/hook.json`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    run: String,
    session: String,
    /// The lease's progress when it was held back last.
    progress: u64,
    /// How often in a row at that progress.
    in_a_row: u32,
    /// How often in this run.
    blocks: u32,
}

/// The answer: why it has to go on, or nothing.
pub(super) fn answer(input: &Input) -> Option<String> {
    if input.subagent.is_some() || input.event == "SubagentStop" || input.awaits {
        return None;
    }
    let (path, lease) = find::lease(&input.cwd)?;
    if lease.session != input.session || lease.session == UNNAMED || lease.paused || lease.stopped {
        return None;
    }
    if lease::silent_for(&path, clock::wall())? >= lease::SILENCE || is_over(&lease) {
        return None;
    }
    let reason = reason(&lease);
    let record = path.with_file_name("hook.json");
    let before: Option<Record> = read_if_exists(&record).ok()?.and_then(|it| serde_json::from_slice(&it).ok());
    let now = next_record(&before.unwrap_or_default(), &lease, input)?;
    // What cannot be counted could be without end.
    write_atomic(&record, &serde_json::to_vec(&now).ok()?, Durability::Fast).ok()?;
    lease::renew(&path, clock::wall());
    let decision = if input.is_gemini() { "deny" } else { "block" };
    Some(json!({ "decision": decision, "reason": reason }).to_string())
}

/// The record with one more block in it; none where that would be one too many.
fn next_record(before: &Record, lease: &Lease, input: &Input) -> Option<Record> {
    let same_run = before.run == lease.run && before.session == lease.session;
    let blocks = if same_run { before.blocks } else { 0 };
    // Where a person has begun a new turn, it is asked anew. Gemini does not tell.
    let goes_on = input.held_back || input.is_gemini();
    let in_a_row = if same_run && before.progress == lease.progress && goes_on { before.in_a_row } else { 0 };
    if in_a_row >= WITHOUT_PROGRESS || blocks >= lease.max_blocks {
        return None;
    }
    Some(Record {
        run: lease.run.clone(),
        session: lease.session.clone(),
        progress: lease.progress,
        in_a_row: in_a_row + 1,
        blocks: blocks + 1,
    })
}

/// Whether the run has ended, although its lease could not be removed.
fn is_over(lease: &Lease) -> bool {
    let Ok(paths) = SpecPaths::find(&lease.list) else { return true };
    let Ok(ends) = journal::ends(&paths.journal(&lease.run)) else { return true };
    ends.is_none_or(|(_, last)| matches!(last.event, Event::RunComplete { .. } | Event::Paused { paused: true }))
}

/// What is to be done, in one or two lines.
fn reason(lease: &Lease) -> String {
    let session = Some(lease.session.as_str());
    let list = shown(&lease.list);
    let next = step::next_call(&list, session);
    let open: Vec<&str> = lease.tasks.iter().filter(|it| !it.reported).map(|it| it.task.as_str()).collect();
    if open.is_empty() {
        let left = lease.total.saturating_sub(lease.done);
        return format!("{left} of {} tasks of {list} are left. Run `{next}` and do what it says.", lease.total);
    }
    let claimed = subagent::claimed(lease);
    let finish = |tasks: &[&str]| step::finish_call(&list, session, tasks);
    if open.iter().all(|task| claimed.contains(*task)) {
        return format!("The sub-agents of {} say that they are done: run `{}`.", open.join(", "), finish(&open));
    }
    format!(
        "Not finished: {}. Have each done by a sub-agent (`{next}` gives the prompts again), then run `{}`.",
        open.join(", "),
        finish(&open)
    )
}

/// The list as it is best written from where the agent is.
pub(super) fn shown(list: &Path) -> String {
    let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
    let inside = here.as_ref().and_then(|here| list.strip_prefix(here).ok());
    inside.unwrap_or(list).display().to_string()
}
