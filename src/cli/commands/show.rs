//! `spec show`: one earlier run, task by task, and its summary.

use std::collections::BTreeMap;

use serde::Serialize;

use super::runs::{self, Life, Run};
use crate::agent::Tokens;
use crate::cli::args::{Format, ShowArgs};
use crate::cli::{Error, exit, output, target};
use crate::engine::budget::{Money, Total, Used};
use crate::report::summary::summary;
use crate::report::text::{Paint, clean, count, short, short_run, took};
use crate::store::event::{Envelope, Event, Summary, TaskRef};

/// `spec show RUN --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    schema: &'static str,
    run: String,
    file: String,
    started: String,
    last_record: String,
    /// `ended`, `going_on` or `killed`.
    state: &'static str,
    outcome: Option<String>,
    exit: Option<u8>,
    tasks: Vec<Task>,
    /// Each start of an agent, in the order in which they ended.
    sessions: Vec<Session>,
    summary: Option<Summary>,
}

/// One start of an agent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    task: String,
    /// 0 where it wrote a brief ahead.
    attempt: u32,
    agent: String,
    model: Option<String>,
    /// What the agent calls it.
    id: Option<String>,
    /// When its try began.
    started: Option<String>,
    ended: String,
    seconds: f64,
    messages: u32,
    tool_calls: u32,
    tokens: Option<Tokens>,
    /// In US dollars.
    cost: Option<f64>,
    /// The day of the prices that the cost is by, where the agent named none.
    estimated: Option<String>,
    /// `done`, or the code of the gate that it did not pass.
    outcome: String,
}

/// What became of one task in this run.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    #[serde(rename = "task")]
    label: String,
    index: usize,
    title: String,
    /// `done`, `failed`, `blocked`, `skipped`, `cancelled`, `running`, or `unknown` where the run was killed meanwhile;
    /// `pending` where only a brief was written.
    status: &'static str,
    attempts: u32,
    /// Seconds of all its tries.
    seconds: f64,
    commit: Option<String>,
    /// `pass` or `none`; null unless it is done.
    verify: Option<String>,
    /// What its agents cost in US dollars, where that is known.
    cost: Option<f64>,
    /// Tokens that its agents used, where they say so.
    tokens: Option<u64>,
    /// The two, with what of the cost is by a price list.
    #[serde(skip)]
    used: Total,
    code: Option<String>,
    reason: Option<String>,
    log: Option<String>,
}

/// Shows the run.
pub fn run(args: &ShowArgs) -> Result<u8, Error> {
    let list = target::find(args.file.as_deref())?;
    let paths = runs::paths(&list)?;
    let id = runs::find(&paths, &args.run)?;
    let run = runs::read(&paths, &id)?;
    let time = |record: Option<&Envelope>| record.map(|record| record.time.clone());
    let (Some(started), Some(last_record)) = (time(run.records.first()), time(run.records.last())) else {
        return Err(Error::failed(format_args!("{}: no record can be read", paths.journal(&id).display())));
    };
    let shown = Shown {
        schema: "spec.run/1",
        file: run.tally.file.clone(),
        started,
        last_record,
        state: run.life.name(),
        outcome: run.tally.end.as_ref().map(|(_, outcome, _)| outcome.clone()),
        exit: run.tally.end.as_ref().map(|(exit, ..)| *exit),
        summary: run.tally.end.as_ref().map(|(.., summary)| summary.clone()),
        tasks: tasks(&run),
        sessions: sessions(&run),
        run: id,
    };
    match args.format {
        Format::Json => output::print_json(&shown)?,
        Format::Human => {
            let newest = runs::ids(&paths)?.first() == Some(&shown.run);
            output::print_lines(&human(&shown, &run, newest))?;
        }
    }
    Ok(exit::DONE)
}

/// What became of each task, in the order of the list.
fn tasks(run: &Run) -> Vec<Task> {
    let left = if run.life.goes_on() { "running" } else { "unknown" };
    let mut tasks: BTreeMap<(usize, String), Task> = BTreeMap::new();
    let mut of = |task: &TaskRef, change: &dyn Fn(&mut Task)| {
        let entry = tasks.entry((task.index, task.key.clone())).or_default();
        (entry.label, entry.index) = (clean(&task.task), task.index);
        change(entry);
    };
    for record in &run.records {
        match &record.event {
            Event::TaskStart { task, attempt, title, log, .. } => of(task, &|entry| {
                (entry.status, entry.attempts) = (left, *attempt);
                (entry.title, entry.log) = (clean(title), Some(clean(log)));
            }),
            Event::TaskEnded { task, seconds, .. } => of(task, &|entry| entry.seconds += seconds),
            agent @ Event::TaskAgent { task, .. } => of(task, &|entry| {
                if let Some((used, estimated)) = agent.used() {
                    entry.used.add(used, estimated);
                }
                (entry.cost, entry.tokens) = (entry.used.money.map(Money::usd), entry.used.tokens);
                if entry.status.is_empty() {
                    entry.status = "pending";
                }
            }),
            Event::TaskComplete { task, attempt, title, commit, verify, seconds } => of(task, &|entry| {
                (entry.status, entry.attempts, entry.seconds) = ("done", *attempt, *seconds);
                (entry.title, entry.commit, entry.verify) = (clean(title), commit.clone(), Some(verify.clone()));
                (entry.code, entry.reason) = (None, None);
            }),
            Event::TaskFailed { task, attempt, title, code, reason, .. } => of(task, &|entry| {
                (entry.status, entry.attempts, entry.title) = ("failed", *attempt, clean(title));
                (entry.code, entry.reason) = (Some(clean(code)), Some(clean(reason)));
            }),
            Event::TaskBlocked { task, .. } => of(task, &|entry| entry.status = "blocked"),
            Event::TaskSkipped { task } => of(task, &|entry| entry.status = "skipped"),
            Event::TaskCancelled { task, .. } => of(task, &|entry| entry.status = "cancelled"),
            _ => {}
        }
    }
    tasks.into_values().collect()
}

/// Every start of an agent.
fn sessions(run: &Run) -> Vec<Session> {
    let mut started: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    let mut sessions = Vec::new();
    for record in &run.records {
        match &record.event {
            Event::TaskStart { task, attempt, .. } => drop(started.insert((&task.key, *attempt), &record.time)),
            Event::TaskAgent {
                task,
                attempt,
                agent,
                model,
                session,
                messages,
                tool_calls,
                tokens,
                cost,
                estimated,
                seconds,
                outcome,
            } => sessions.push(Session {
                task: clean(&task.task),
                attempt: *attempt,
                agent: clean(agent),
                model: model.as_deref().map(clean),
                id: session.as_deref().map(clean),
                started: started.get(&(task.key.as_str(), *attempt)).map(|time| (*time).to_owned()),
                ended: record.time.clone(),
                seconds: *seconds,
                messages: *messages,
                tool_calls: *tool_calls,
                tokens: *tokens,
                cost: *cost,
                estimated: estimated.clone(),
                outcome: clean(outcome),
            }),
            _ => {}
        }
    }
    sessions
}

/// A start of an agent in one line.
fn session_line(session: &Session) -> String {
    let (money, tokens) = (session.cost.map(Money::from_usd), session.tokens.map(|tokens| tokens.total()));
    let used = Total::of(Used { money, tokens }, session.estimated.is_some());
    let prices = match session.estimated.as_deref() {
        Some("spec.toml") => " (estimated: prices of spec.toml)".to_owned(),
        Some(day) => format!(" (estimated: prices of {})", clean(day)),
        None => String::new(),
    };
    let what = if session.attempt == 0 { "brief".to_owned() } else { format!("try {}", session.attempt) };
    format!(
        "  {} {what}  {}{}  {}, {}  {}, {}  {}{prices}",
        session.task,
        session.agent,
        session.model.as_deref().map_or_else(String::new, |model| format!(" {model}")),
        session.started.as_deref().map_or_else(String::new, runs::when),
        took(session.seconds),
        count(session.messages as usize, "message", "messages"),
        count(session.tool_calls as usize, "tool call", "tool calls"),
        [Some(session.outcome.clone()), used.show()].into_iter().flatten().collect::<Vec<_>>().join(", "),
    )
}

/// The run for people. Only the newest is gone on with where it was killed.
fn human(shown: &Shown, run: &Run, newest: bool) -> String {
    let paint = Paint(true);
    let mut lines = vec![format!("{} of {}", paint.strong(format!("Run {}", shown.run)), shown.file)];
    let how = match &run.life {
        Life::GoingOn(owner) => format!("goes on: process {} on {}", owner.pid, clean(&owner.host)),
        Life::InSession(lease) => format!("goes on in session {}", clean(&lease.session)),
        Life::Ended => format!("ended {}", runs::when(&shown.last_record)),
        Life::Killed => {
            let next = if newest { "; the next `spec run` goes on with it" } else { "" };
            format!("was killed, its last record is of {}{next}", runs::when(&shown.last_record))
        }
    };
    lines.push(format!("began {}, {how}", runs::when(&shown.started)));
    if run.damaged {
        lines.push(paint.warn("its journal is damaged: what follows is what can still be read"));
    }
    lines.push(String::new());
    for task in &shown.tasks {
        let status = match task.status {
            "done" => paint.good(format!("{:>9}", task.status)),
            "failed" => paint.bad(format!("{:>9}", task.status)),
            _ => paint.warn(format!("{:>9}", task.status)),
        };
        let mut notes = Vec::new();
        if task.seconds > 0.0 {
            notes.push(took(task.seconds));
        }
        if task.attempts > 1 {
            notes.push(count(task.attempts as usize, "try", "tries"));
        }
        notes.extend(task.code.iter().cloned());
        notes.extend(task.used.show_money());
        if let Some(verify) = &task.verify {
            notes.push(if verify == "pass" { "verified" } else { "nothing verified it" }.to_owned());
            notes
                .push(task.commit.as_deref().map_or_else(|| "no commit".to_owned(), |commit| short(commit).to_owned()));
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        lines.push(format!("{status} {} {}{notes}", task.label, task.title).trim_end().to_owned());
    }
    if shown.tasks.is_empty() {
        lines.push("no task was started".to_owned());
    }
    if !shown.sessions.is_empty() {
        lines.push(String::new());
        lines.push(paint.strong("Agents"));
        lines.extend(shown.sessions.iter().map(session_line));
    }
    lines.extend(summary(&run.tally, paint));
    if run.tally.end.is_none() && matches!(run.life, Life::Killed) {
        lines.push(String::new());
        lines.push(format!("No figures: run {} did not end in order.", short_run(&shown.run)));
    }
    lines.join("\n") + "\n"
}
