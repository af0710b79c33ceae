//! `spec rescue`: what runs kept of tasks that failed or were cut off, under `refs/spec/salvage/`: a list, the changes of
//! one, and back into the working tree with them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::held::{self, Spec};
use crate::cli::args::{Format, RescueAction, RescueArgs, RescueRestoreArgs, RescueShowArgs};
use crate::cli::{Error, Kind, exit, output};
use crate::git::{CommitError, Kept};
use crate::report::text::{clean, count, short_run};
use crate::store::event::Event;
use crate::store::history;
use crate::store::journal::{self, Lines};

/// `spec rescue --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rescue {
    schema: &'static str,
    path: String,
    kept: Vec<Entry>,
}

/// What is kept of one try of a task.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    task: String,
    attempt: String,
    #[serde(rename = "ref")]
    name: String,
    commit: String,
    /// When it was made.
    time: String,
    /// How many files it changes.
    files: usize,
    /// What the journals know of it, as long as they are there.
    #[serde(flatten)]
    why: Why,
}

/// Why something was kept; all null where no journal has it any more.
#[derive(Debug, Clone, Default, Serialize)]
struct Why {
    run: Option<String>,
    code: Option<String>,
    reason: Option<String>,
}

/// Does it.
pub fn run(args: &RescueArgs) -> Result<u8, Error> {
    match &args.action {
        None => list(args),
        Some(RescueAction::Show(args)) => show(args),
        Some(RescueAction::Restore(args)) => restore(args),
    }
}

fn list(args: &RescueArgs) -> Result<u8, Error> {
    let spec = Spec::open(args.file.as_deref())?;
    let kept = spec.repo.salvaged(&spec.paths.name()).map_err(Error::failed)?;
    let why = if kept.is_empty() { HashMap::new() } else { reasons(&spec)? };
    let mut entries = Vec::new();
    for kept in kept {
        let files = spec.repo.changes_of(&kept.commit, &spec.own).map_err(Error::failed)?.len();
        let (task, attempt) = kept.place();
        entries.push(Entry {
            task: task.to_owned(),
            attempt: attempt.to_owned(),
            commit: kept.commit.to_string(),
            time: Timestamp::from_second(kept.made).unwrap_or_default().to_string(),
            files,
            why: why.get(&kept.name).cloned().unwrap_or_default(),
            name: kept.name,
        });
    }
    let path = spec.list.display().to_string();
    match args.format {
        Format::Json => output::print_json(&Rescue { schema: "spec.rescue/1", path, kept: entries })?,
        Format::Human if entries.is_empty() => output::print_lines(&format!("nothing is kept of {path}\n"))?,
        Format::Human => output::print_lines(&entries.iter().map(line).collect::<String>())?,
    }
    Ok(exit::DONE)
}

fn line(entry: &Entry) -> String {
    let mut parts = vec![super::runs::when(&entry.time), count(entry.files, "file", "files")];
    parts.extend(entry.why.run.as_ref().map(|run| format!("run {}", short_run(run))));
    parts.extend(entry.why.code.clone());
    let reason = entry.why.reason.as_ref().map_or_else(String::new, |reason| format!("    {}\n", clean(reason)));
    format!("{}/{}  {}\n{reason}", entry.task, entry.attempt, parts.join(", "))
}

/// By ref, what the journals say of it.
fn reasons(spec: &Spec) -> Result<HashMap<String, Why>, Error> {
    let mut reasons = HashMap::new();
    for id in history::ids(&spec.paths).map_err(Error::failed)? {
        let journal = spec.paths.journal(&id);
        if !journal.exists() {
            continue;
        }
        let read = |record: crate::store::event::Envelope| match record.event {
            Event::TaskFailed { salvage: Some(name), code, reason, .. } => {
                reasons.insert(name, Why { run: Some(record.run), code: Some(code), reason: Some(reason) });
            }
            Event::Notice { code, message, .. } if matches!(code.as_str(), "salvaged" | "conflict") => {
                let names = message.split([' ', ',', ';']).filter(|word| word.starts_with("refs/spec/salvage/"));
                let names: Vec<String> = names.map(str::to_owned).collect();
                for name in names {
                    let why = || Why { run: Some(record.run.clone()), code: None, reason: Some(message.clone()) };
                    reasons.entry(name).or_insert_with(why);
                }
            }
            _ => {}
        };
        journal::scan(Lines::open(&journal).map_err(Error::failed)?, read).map_err(Error::failed)?;
    }
    Ok(reasons)
}

fn show(args: &RescueShowArgs) -> Result<u8, Error> {
    let spec = Spec::open(args.file.as_deref())?;
    let kept = find(&spec, &args.task)?;
    let color = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let diff = spec.repo.diff_of(&kept.commit, &spec.own, color).map_err(Error::failed)?;
    output::write_raw(&diff)?;
    Ok(exit::DONE)
}

fn restore(args: &RescueRestoreArgs) -> Result<u8, Error> {
    let spec = Spec::open(args.file.as_deref())?;
    let kept = find(&spec, &args.task)?;
    let (task, attempt) = kept.place();
    if let Some(branch) = &args.branch {
        spec.repo.make_branch(branch, &kept.commit).map_err(Error::usage)?;
        output::print_lines(&format!("branch {branch} has what task {task} had done in try {attempt}\n"))?;
        return Ok(exit::DONE);
    }
    let _held = (spec.hold()?, spec.hold_tree()?);
    spec.repo.check_idle().map_err(Error::usage)?;
    let paths = spec.repo.restore(&kept.commit, &spec.own).map_err(|error| match error {
        CommitError::Conflict { paths } => Error::new(
            Kind::Conflict,
            format_args!("what task {task} had done does not fit what is there now:{}", held::lines(&paths)),
        )
        .hint(format_args!(
            "nothing was changed; `spec rescue restore {} --branch NAME` makes a branch of it",
            args.task
        )),
        error => held::refused(&error),
    })?;
    if paths.is_empty() {
        output::print_lines(&format!("all that task {task} had done in try {attempt} is there already\n"))?;
    } else {
        let files = count(paths.len(), "file", "files");
        output::print_lines(&format!("{files} put back, not committed:{}\n", held::lines(&paths)))?;
    }
    Ok(exit::DONE)
}

/// What is meant by `TASK` or `TASK/ATTEMPT`: without an attempt the newest.
fn find(spec: &Spec, wanted: &str) -> Result<Kept, Error> {
    let all = spec.repo.salvaged(&spec.paths.name()).map_err(Error::failed)?;
    // In a ref `:7` is `-7`.
    let plain = |task: &str| crate::git::ref_part(task);
    let mut found: Vec<Kept> = match wanted.rsplit_once('/') {
        Some((task, attempt)) => all.into_iter().filter(|kept| kept.place() == (&plain(task), attempt)).collect(),
        None => all.into_iter().filter(|kept| kept.place().0 == plain(wanted)).collect(),
    };
    let number = |kept: &Kept| kept.place().1.split('-').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    found.sort_by_key(|kept| (kept.made, number(kept)));
    found.pop().ok_or_else(|| {
        let list = spec.list.display();
        Error::usage(format_args!("nothing is kept of task {wanted} of {list}"))
            .hint("`spec rescue` lists what is kept")
    })
}
