//! The end of a run for people: failures first with what was seen and what to do next, then what was not reached, then
//! the figures, and in one last line how it ended. It says what was not verified. Pure.

use crate::cli::exit;
use crate::store::event::Summary;

use super::plain::labels;
use super::tally::{Failed, Out, Tally, Why};
use super::text::{Paint, clean, clean_lines, count, of_list, took, word};

/// Lines of a failure's evidence that are quoted.
const QUOTED: usize = 12;

/// A line that is too wide goes on here.
pub const INDENT: usize = 6;

/// The whole summary, line by line; nothing while the run goes on.
#[must_use]
pub fn summary(tally: &Tally, paint: Paint) -> Vec<String> {
    let Some((_, _, figures)) = &tally.end else { return Vec::new() };
    let mut lines = Vec::new();
    for failed in &tally.failed {
        lines.push(String::new());
        lines.extend(failure(failed, &tally.file, paint));
    }
    let rest = remainder(tally, figures, paint);
    if !rest.is_empty() {
        lines.push(String::new());
        lines.extend(rest);
    }
    lines.push(String::new());
    lines.extend(figures_lines(tally, figures, paint));
    lines.extend(last_line(tally, paint));
    lines
}

/// Id, title, code, reason, the evidence's last lines, where the rest is, what to do next.
fn failure(failed: &Failed, file: &str, paint: Paint) -> Vec<String> {
    let mut lines = vec![
        format!("{} {} {}", paint.bad("Failed"), paint.strong(&failed.label), failed.title),
        format!("  {}: {} (after {})", failed.code, failed.reason, count(failed.attempts as usize, "try", "tries")),
    ];
    let evidence = clean_lines(&failed.evidence);
    if evidence.len() > QUOTED {
        lines.push(paint.dim(format!("  | … {} above", count(evidence.len() - QUOTED, "line", "lines"))));
    }
    lines.extend(
        evidence.iter().skip(evidence.len().saturating_sub(QUOTED)).map(|line| format!("  {} {line}", paint.dim("|"))),
    );
    let log = failed.log.as_deref().map_or_else(String::new, |log| format!(" ({})", clean(log)));
    lines.push(format!("  all it printed: spec log {}{}{log}", word(&failed.label), of_list(file)));
    if let Some(salvage) = &failed.salvage {
        lines.push(format!("  what it left is kept: git show {}", clean(salvage)));
    }
    let run = format!("spec run {}", word(file));
    lines.push(format!("  next: mend what it met and `{run}` tries it again, or tick its box if it is done"));
    lines
}

/// What is not done and did not fail, and why; what is done and was not checked; what is nobody's.
fn remainder(tally: &Tally, figures: &Summary, paint: Paint) -> Vec<String> {
    let blocked = |out: &Out| match &out.why {
        Why::Blocked(by) => Some(format!("{} {}: needs {}, not done", paint.warn("Blocked"), out.label, labels(by))),
        Why::Skipped | Why::Cancelled => None,
    };
    let mut lines: Vec<String> = tally.out.iter().filter_map(blocked).collect();
    let mut told = |what: &str, which: &[String], why: &str| {
        if !which.is_empty() {
            lines.push(format!("{} {}: {why}", paint.warn(what), labels(which)));
        }
    };
    told("Skipped", &figures.skipped, "by a person, their boxes stay open");
    told("Cancelled", &figures.cancelled, "ended before they were done");
    let why = match tally.end.as_ref().map(|(exit, outcome, _)| (outcome.as_str(), *exit)) {
        Some(("interrupted", _)) => "not started, the run was interrupted",
        Some(("stopped", exit::STOPPED)) => "not started, a limit of the run was reached",
        Some(("stopped", _)) => "not started, the run could not go on",
        Some(("conflict", _)) => "not started, a conflict needs a person first",
        _ if !tally.failed.is_empty() => "not started, a task before them failed",
        _ => "not started, not part of this run",
    };
    told("Pending", &figures.pending, why);
    told("Not verified", &tally.unverified, "landed, but there was nothing to verify them with");
    told("Left over", &figures.unattributed, "changed, but no task's: left in the tree, not committed");
    lines
}

/// What the run took.
fn figures_lines(tally: &Tally, figures: &Summary, paint: Paint) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} {} ({} in parallel steps, {} alone), {}, most at once {}",
            paint.strong("  Landed"),
            count(figures.completed, "task", "tasks"),
            figures.parallel,
            figures.sequential,
            count(figures.steps, "step", "steps"),
            figures.most_at_once,
        ),
        format!(
            "{} {}, {}; {} started, {} ended well, {} did not",
            paint.strong("   Tries"),
            figures.attempts,
            count(figures.retries, "retry", "retries"),
            count(figures.workers_started, "executor", "executors"),
            figures.workers_succeeded,
            figures.workers_failed,
        ),
        format!(
            "{} {} for {} of work: {:.1} times as fast as one after the other, {} at best with {} at once",
            paint.strong("    Time"),
            took(figures.wall_seconds),
            took(figures.work_seconds),
            figures.speedup,
            took(figures.bound_seconds),
            tally.max_parallel,
        ),
    ];
    if let Some(cost) = figures.used().show() {
        let whose = match figures.cost_estimated {
            None => "as the agents say",
            Some(estimated) if Some(estimated) == figures.cost => "by list prices",
            Some(_) => "partly by list prices",
        };
        lines.push(format!("{} {cost} ({whose})", paint.strong("    Cost")));
    }
    lines
}

/// How it ended, in one line; the only one that `-q` leaves.
#[must_use]
pub fn last_line(tally: &Tally, paint: Paint) -> Option<String> {
    let (exit, outcome, figures) = tally.end.as_ref()?;
    let open = figures.tasks.saturating_sub(figures.done);
    let mut parts = vec![format!("{} of {} done", figures.done, count(figures.tasks, "task", "tasks"))];
    let mut say = |n: usize, what: &str| {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    };
    say(figures.failed.len(), "failed");
    say(figures.blocked.len(), "blocked");
    say(figures.skipped.len(), "skipped");
    say(figures.cancelled.len(), "cancelled");
    say(figures.pending.len(), "pending");
    say(tally.unverified.len(), "not verified");
    say(tally.warnings, if tally.warnings == 1 { "warning" } else { "warnings" });
    let word = match outcome.as_str() {
        "done" if open == 0 => paint.good("All done"),
        "done" => paint.good("Done"),
        "failed" => paint.bad("Failed"),
        "conflict" => paint.bad("Conflict"),
        "stopped" => paint.warn("Stopped"),
        "interrupted" => paint.warn("Interrupted"),
        other => paint.warn(clean(other)),
    };
    Some(format!("{word}: {} in {} (exit {exit})", parts.join(", "), took(figures.wall_seconds)))
}
