//! `spec history`: earlier runs of a list, newest first, from the first and the last record of each journal.

use serde::Serialize;

use super::runs;
use crate::cli::args::{Format, HistoryArgs};
use crate::cli::{Error, exit, output, target};
use crate::report::text::{clean, short_run, took};
use crate::store::event::{Event, Summary};
use crate::store::journal;
use crate::store::paths::SpecPaths;

/// `spec history --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    schema: &'static str,
    path: String,
    runs: Vec<Entry>,
}

/// One run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    run: String,
    /// When it began; null where its journal cannot be read.
    started: Option<String>,
    /// When its last record was written.
    last_record: Option<String>,
    /// `ended`, `going_on`, `in_session`, `killed`, or `unreadable`.
    state: &'static str,
    /// `done`, `failed` ...; null unless it ended.
    outcome: Option<String>,
    exit: Option<u8>,
    /// The figures; null unless it ended.
    summary: Option<Summary>,
}

/// Lists the runs.
pub fn run(args: &HistoryArgs) -> Result<u8, Error> {
    let list = target::find(args.file.as_deref())?;
    let paths = runs::paths(&list)?;
    let entries: Vec<Entry> = runs::ids(&paths)?.iter().map(|id| entry(&paths, id)).collect::<Result<_, _>>()?;
    match args.format {
        Format::Json => {
            let path = list.display().to_string();
            output::print_json(&History { schema: "spec.history/1", path, runs: entries })?;
        }
        Format::Human if entries.is_empty() => output::print_lines(&format!("no runs of {} yet\n", list.display()))?,
        Format::Human => {
            let lines = entries.iter().enumerate().map(|(place, entry)| line(entry, place == 0) + "\n");
            output::print_lines(&lines.collect::<String>())?;
        }
    }
    if let (Format::Human, Some(said)) = (args.format, runs::in_epic(&paths)) {
        output::say(&said);
    }
    Ok(exit::DONE)
}

fn entry(paths: &SpecPaths, id: &str) -> Result<Entry, Error> {
    let mut entry = Entry {
        run: id.to_owned(),
        started: None,
        last_record: None,
        state: "unreadable",
        outcome: None,
        exit: None,
        summary: None,
    };
    let Ok(Some((first, last))) = journal::ends(&paths.journal(id)) else { return Ok(entry) };
    entry.started = Some(first.time);
    entry.last_record = Some(last.time);
    if let Event::RunComplete { exit, outcome, summary } = last.event {
        (entry.exit, entry.outcome, entry.summary) = (Some(exit), Some(outcome), Some(summary));
    }
    entry.state = runs::life(paths, id, entry.exit.is_some())?.name();
    Ok(entry)
}

/// A run in one line. Only the newest is gone on with where it was killed.
fn line(entry: &Entry, newest: bool) -> String {
    let began = entry.started.as_deref().map_or_else(|| "-".to_owned(), runs::when);
    let how = match (&entry.outcome, &entry.summary) {
        (Some(outcome), Some(summary)) => {
            let mut parts = vec![format!("{} of {} done", summary.done, summary.tasks)];
            let figures = [
                (summary.completed, "landed"),
                (summary.failed.len(), "failed"),
                (summary.blocked.len(), "blocked"),
                (summary.skipped.len(), "skipped"),
                (summary.cancelled.len(), "cancelled"),
            ];
            parts.extend(figures.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
            parts.extend(summary.used().show_money());
            format!("{:<11}  {} in {}", clean(outcome), parts.join(", "), took(summary.wall_seconds))
        }
        _ => match entry.state {
            "going_on" => "goes on".to_owned(),
            "in_session" => "goes on in an agent session".to_owned(),
            "killed" => {
                let last = entry.last_record.as_deref().map_or_else(String::new, runs::when);
                let next = if newest { "; the next `spec run` goes on with it" } else { "" };
                format!("killed       last record {last}{next}")
            }
            other => format!("{other}   its journal cannot be read"),
        },
    };
    format!("{:<13}  {began:<23}  {how}", short_run(&entry.run))
}
