//! One line an event that matters: what a terminal without cursor control, a file or a CI log gets, and what stands
//! above the live view. Pure.

use crate::engine::budget::Total;
use crate::store::event::Event;

use super::tally::Tally;
use super::text::{Paint, clean, clock, count, short, short_run, took};

/// Notices of why a run ends before it is done: who reads the last line only is told that, too.
const ENDS: [&str; 5] = ["stopped", "conflict", "budget", "run-timeout", "deadlock"];

/// From which verbosity on an event is shown: -1 is `-q`, 0 the default, 1 is `-v`, 2 is `-vv`.
fn level(event: &Event) -> i8 {
    match event {
        Event::TaskFailed { .. } => -1,
        Event::Notice { code, .. } if ENDS.contains(&code.as_str()) => -1,
        Event::RunStart { .. }
        | Event::TaskStart { .. }
        | Event::TaskRetry { .. }
        | Event::TaskComplete { .. }
        | Event::TaskBlocked { .. }
        | Event::TaskAsked { .. }
        | Event::TaskInserted { .. }
        | Event::TaskSkipped { .. }
        | Event::TaskCancelled { .. }
        | Event::ParentComplete { .. }
        | Event::Unattributed { .. }
        | Event::Paused { .. }
        | Event::Hold { .. }
        | Event::AccountLimited { .. }
        | Event::Notice { .. }
        | Event::ListChanged { .. } => 0,
        Event::TaskOutput { .. } | Event::StepStart { .. } | Event::BatchComplete { .. } | Event::TaskVerify { .. } => {
            1
        }
        Event::TaskPhase { .. }
        | Event::TaskGate { .. }
        | Event::TaskAgent { .. }
        | Event::TaskSpawned { .. }
        | Event::TaskEnded { .. } => 2,
        _ => i8::MAX,
    }
}

/// What stands behind the time and the verb of a line begins here.
pub const INDENT: usize = 18;

/// The line for an event that has just been added to the tally; none where it is not shown.
#[must_use]
pub fn line(event: &Event, tally: &Tally, verbosity: i8, paint: Paint) -> Option<String> {
    if verbosity < level(event) {
        return None;
    }
    if let Event::TaskOutput { task, text, .. } = event {
        return Some(format!("{} {}", paint.dim(format!("[{}]", clean(&task.task))), clean(text)));
    }
    let time = paint.dim(format!("{:>7}", clock(tally.now.as_secs_f64())));
    Some(format!("{time} {}", told(event, tally, paint)?))
}

fn told(event: &Event, tally: &Tally, paint: Paint) -> Option<String> {
    let good = |verb: &str| paint.good(format!("{verb:>9}"));
    let bad = |verb: &str| paint.bad(format!("{verb:>9}"));
    let warn = |verb: &str| paint.warn(format!("{verb:>9}"));
    let dim = |verb: &str| paint.dim(format!("{verb:>9}"));
    Some(match event {
        Event::RunStart { mode, max_parallel, tasks, done, steps, branch, base, resumes, .. } => {
            let place = match (branch, base) {
                (Some(branch), Some(base)) => format!(" on {} at {}", clean(branch), short(base)),
                (None, Some(base)) => format!(" at {}", short(base)),
                _ => String::new(),
            };
            let earlier = resumes
                .as_deref()
                .map_or_else(String::new, |earlier| format!(", goes on where run {} was killed", short_run(earlier)));
            format!(
                "{} {}: {} of {} to do in {} ({mode}, at most {max_parallel} at once){place}{earlier}",
                good("Running"),
                tally.file,
                tasks.saturating_sub(*done),
                count(*tasks, "task", "tasks"),
                count(*steps, "step", "steps"),
            )
        }
        Event::StepStart { step, parallel, tasks } => {
            let how = if *parallel { "at the same time" } else { "alone" };
            format!("{} {step}, {how}: {}", dim("Step"), labels(tasks))
        }
        Event::TaskStart { task, attempt, title, .. } => {
            let again = if *attempt > 1 { format!(" (try {attempt})") } else { String::new() };
            format!("{} {} {}{again}", dim("Start"), clean(&task.task), clean(title))
        }
        Event::TaskSpawned { task, pid, .. } => format!("{} {} process {pid}", dim("Spawned"), clean(&task.task)),
        Event::TaskPhase { task, phase } => format!("{} {} {}", dim("Phase"), clean(&task.task), clean(phase)),
        Event::TaskEnded { task, exit, signal, seconds, left_behind, .. } => {
            let how = match (exit, signal) {
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "unknown exit".to_owned(),
            };
            let left = if *left_behind > 0 {
                format!(", {} left behind, ended", count(*left_behind, "process", "processes"))
            } else {
                String::new()
            };
            format!("{} {} {how} after {}{left}", dim("Ended"), clean(&task.task), took(*seconds))
        }
        Event::TaskGate { task, gate, verdict, detail, .. } => {
            let detail = if detail.is_empty() { String::new() } else { format!(": {}", clean(detail)) };
            format!("{} {} {} {}{detail}", dim("Gate"), clean(&task.task), clean(gate), clean(verdict))
        }
        Event::TaskVerify { task, command, exit, seconds, .. } => {
            let how = exit.map_or_else(|| "was ended".to_owned(), |code| format!("exit {code}"));
            format!("{} {} `{}` {how} ({})", dim("Verify"), clean(&task.task), one_line(command), took(*seconds))
        }
        Event::TaskRetry { task, attempt, code, reason, delay_seconds, counted, .. } => {
            let again =
                if *delay_seconds >= 0.5 { format!("again in {}", took(*delay_seconds)) } else { "again".to_owned() };
            let free = if *counted { "" } else { ", not counted" };
            format!(
                "{} {} {}: {} (try {attempt}{free}, {again})",
                warn("Retry"),
                clean(&task.task),
                clean(code),
                clean(reason)
            )
        }
        Event::TaskAgent { task, agent, model, messages, tool_calls, seconds, outcome, .. } => {
            let model = model.as_deref().map_or_else(String::new, |model| format!(" {}", clean(model)));
            let used = event.used().and_then(|(used, estimated)| Total::of(used, estimated).show());
            format!(
                "{} {} {}{model}: {}, {}, {} in {} ({})",
                dim("Agent"),
                clean(&task.task),
                clean(agent),
                used.as_deref().unwrap_or("says no cost"),
                count(*messages as usize, "message", "messages"),
                count(*tool_calls as usize, "tool call", "tool calls"),
                took(*seconds),
                clean(outcome),
            )
        }
        Event::TaskComplete { task, attempt, title, commit, verify, seconds } => {
            let verified = if verify == "pass" { "verified" } else { "nothing verified it" };
            let commit = commit.as_deref().map_or("no commit", short);
            let tries =
                if *attempt > 1 { format!(", {}", count(*attempt as usize, "try", "tries")) } else { String::new() };
            let cost = tally.last_used.show_money().map_or_else(String::new, |cost| format!(", {cost}"));
            format!(
                "{} {} {} ({}, {verified}, {commit}{tries}{cost})",
                good("Done"),
                clean(&task.task),
                clean(title),
                took(*seconds)
            )
        }
        Event::TaskFailed { task, title, code, reason, .. } => {
            let cost = tally.last_used.show_money().map_or_else(String::new, |cost| format!(" ({cost})"));
            format!(
                "{} {} {}: {}: {}{cost}",
                bad("Failed"),
                clean(&task.task),
                clean(title),
                clean(code),
                clean(reason)
            )
        }
        Event::TaskBlocked { task, by } => format!("{} {} needs {}", warn("Blocked"), clean(&task.task), labels(by)),
        Event::TaskAsked { task, request, reason, .. } => {
            format!("{} {} for {}: {}", warn("Asked"), clean(&task.task), clean(request), clean(reason))
        }
        Event::TaskInserted { task, kind, inserted, .. } => {
            let names: Vec<String> = inserted.iter().map(|task| task.task.clone()).collect();
            format!("{} {} to the list, for {} ({})", dim("Added"), labels(&names), clean(&task.task), clean(kind))
        }
        Event::TaskSkipped { task } => format!("{} {} by a person, not done", warn("Skipped"), clean(&task.task)),
        Event::TaskCancelled { task, started } => {
            let when = if *started { "while it ran" } else { "before it began" };
            format!("{} {} {when}", warn("Cancelled"), clean(&task.task))
        }
        Event::ParentComplete { task, .. } => format!("{} {}, all its tasks are", good("Done"), clean(&task.task)),
        Event::Unattributed { entries, reason } => {
            let mut paths: Vec<String> = entries.iter().map(|entry| entry.path.clone()).collect();
            paths.dedup();
            format!("{} {} ({}): left in the tree, not committed", warn("Left over"), labels(&paths), clean(reason))
        }
        Event::BatchComplete { step, completed, failed, duration_seconds, .. } => {
            let failed = if failed.is_empty() { String::new() } else { format!(", not {}", labels(failed)) };
            format!("{} {step} over: {}{failed} ({})", dim("Step"), labels(completed), took(*duration_seconds))
        }
        Event::Paused { paused: true } => format!("{} nothing new is started until `spec resume`", warn("Paused")),
        Event::Paused { paused: false } => format!("{} goes on", good("Resumed")),
        Event::Hold { held: true, what, reason, tasks } => {
            format!("{} {}: {} ({})", warn("Waiting"), clean(what), clean(reason), count(*tasks, "task", "tasks"))
        }
        Event::AccountLimited { account, limit, until, seconds, reason } => {
            let what = match limit.as_str() {
                "usage" => "is used up",
                "rate" => "takes no more requests",
                _ => "has too much to do",
            };
            let (until, wait) = (clean(until), took(seconds.round()).replace(".0s", "s"));
            format!("{} {} {what}: again in {wait}, at {until} ({})", warn("Limit"), clean(account), clean(reason))
        }
        Event::Hold { what, .. } => {
            let whose = if what == "budget" { "budget" } else { "machine" };
            format!("{} the {whose} has room again", good("Resumed"))
        }
        Event::Notice { level, message, .. } => {
            let verb = if level == "warning" { warn("Warning") } else { dim("Note") };
            format!("{verb} {}", clean(message))
        }
        Event::ListChanged { tasks, added, removed, .. } => {
            let named = |what: &str, which: &[String]| {
                if which.is_empty() { String::new() } else { format!(", {what} {}", labels(which)) }
            };
            let (added, removed) = (named("added", added), named("removed", removed));
            format!("{} read anew, {} now{added}{removed}", dim("List"), count(*tasks, "task", "tasks"))
        }
        _ => return None,
    })
}

/// Labels or paths on one line; many are cut short and counted.
#[must_use]
pub fn labels(labels: &[String]) -> String {
    const SHOWN: usize = 12;
    if labels.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = labels.iter().take(SHOWN).map(|label| clean(label)).collect();
    let shown = shown.join(" ");
    if labels.len() > SHOWN { format!("{shown} and {} more", labels.len() - SHOWN) } else { shown }
}

/// The first line of a script, with a mark where there is more.
fn one_line(script: &str) -> String {
    let mut lines = script.trim().lines();
    let first = clean(lines.next().unwrap_or_default());
    if lines.next().is_some() { format!("{first} …") } else { first }
}
