//! `spec gc`: removes the working trees that runs of a list made for its tasks, and refs that nobody needs any more.
//! Nothing goes that has work in it, unless that was saved.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::held::Spec;
use crate::cli::args::{Format, GcArgs};
use crate::cli::{Error, exit, output};
use crate::git::{Committer, Kept, Oid, Repo};
use crate::report::text::count;
use crate::runtime::clock;
use crate::store::history;
use crate::store::recovery::{self, Record, Recovered};

/// `spec gc --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gc {
    schema: &'static str,
    path: String,
    /// Whether nothing was done but looking.
    dry_run: bool,
    slots: Vec<SlotEntry>,
    /// Slots that were removed by hand and are out of git's list now.
    forgotten: usize,
    /// Refs that were dropped.
    refs: Vec<String>,
}

/// One working tree.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SlotEntry {
    slot: usize,
    path: String,
    /// `removed`, or `left` where there is work in it or it is none of ours.
    outcome: &'static str,
    /// Why it was left.
    reason: Option<String>,
    /// The ref under which what was in it was saved.
    saved: Option<String>,
}

/// Does it.
pub fn run(args: &GcArgs) -> Result<u8, Error> {
    let spec = Spec::open(args.file.as_deref())?;
    // Where no run has been there is nothing to hold.
    let _held = spec.paths.work().exists().then(|| spec.hold()).transpose()?;
    let before = recovery::read(&spec.paths).map_err(Error::failed)?.recovered;
    let folder = spec.paths.slots();
    let mut slots = Vec::new();
    for number in Repo::slot_numbers(&folder) {
        slots.push(slot(&spec, &before, number, args)?);
    }
    let mut forgotten = 0;
    if !args.dry_run {
        forgotten = spec.repo.forget_slots(&folder).map_err(Error::failed)?;
        remove_scratch(&folder)?;
        // Only where nothing is left in it.
        fs::remove_dir(&folder).ok();
    }
    let old = match args.older_than.filter(|_| args.refs) {
        Some(age) => refs_older_than(&spec, age)?,
        None => Vec::new(),
    };
    if !args.dry_run {
        spec.repo.drop_kept(&old).map_err(Error::failed)?;
    }
    let done = Gc {
        schema: "spec.gc/1",
        path: spec.list.display().to_string(),
        dry_run: args.dry_run,
        slots,
        forgotten,
        refs: old.into_iter().map(|kept| kept.name).collect(),
    };
    match args.format {
        Format::Json => output::print_json(&done)?,
        Format::Human => output::print_lines(&human(&done))?,
    }
    Ok(exit::DONE)
}

/// Removes a slot, or says why not.
fn slot(spec: &Spec, before: &Recovered, number: usize, args: &GcArgs) -> Result<SlotEntry, Error> {
    let folder = spec.paths.slots();
    let place = folder.join(format!("slot-{number}"));
    let mut entry =
        SlotEntry { slot: number, path: place.display().to_string(), outcome: "left", reason: None, saved: None };
    let Some(slot) = spec.repo.slot(&folder, number).map_err(Error::failed)? else {
        entry.reason = Some("not a working tree of this repository; it is yours to remove".to_owned());
        return Ok(entry);
    };
    let owner = before.slots().get(&number).copied();
    let (task, attempt) = Record::name_for_slot(owner, number);
    let of_owner = before.processes.values().find(|process| owner.is_some_and(|it| it.task.key == process.task.key));
    if let Some(process) = of_owner.filter(|process| process.is_there()) {
        let pid = process.pid;
        entry.reason =
            Some(format!("process {pid} of the run that was killed still works in it; `spec run` ends what is left"));
        return Ok(entry);
    }
    let noted = owner.and_then(|record| Oid::parse(record.slot.as_ref()?.1.as_bytes()));
    let base = match noted {
        Some(base) => Some(base),
        None => began_at(spec, &slot)?,
    };
    let message = format!("what task {task} of {} left in a working tree\n", spec.paths.name());
    if let Some(commit) = slot.found(base.as_ref(), spec.own.clone(), &message).map_err(Error::failed)? {
        if !args.save {
            entry.reason =
                Some(format!("there is work of task {task} in it; `spec run` saves it, or `spec gc --save`"));
            return Ok(entry);
        }
        if !args.dry_run {
            let committer = Committer::new(&spec.repo).map_err(Error::failed)?;
            let name = committer.keep_work(&spec.paths.name(), &task, attempt, &commit).map_err(Error::failed)?;
            entry.saved = Some(name);
        }
    }
    if !args.dry_run {
        slot.remove().map_err(Error::failed)?;
    }
    entry.outcome = "removed";
    Ok(entry)
}

/// Removes the scratch folders of slots that are not there any more.
fn remove_scratch(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("tmp-")?.parse::<usize>().ok());
        if number.is_some_and(|number| !folder.join(format!("slot-{number}")).exists()) {
            let path = entry.path();
            fs::remove_dir_all(&path)
                .map_err(|error| Error::failed(format_args!("cannot remove {}: {error}", path.display())))?;
        }
    }
    Ok(())
}

/// Where no journal has it: what the slot and the branch have in common, so that an executor's own commits count as work.
fn began_at(spec: &Spec, slot: &crate::git::Slot) -> Result<Option<Oid>, Error> {
    let head = |repo: &Repo| repo.head().map(|head| head.commit).map_err(Error::failed);
    match (head(slot.repo())?, head(&spec.repo)?) {
        (Some(in_slot), Some(tip)) => spec.repo.common(&in_slot, &tip).map_err(Error::failed),
        _ => Ok(None),
    }
}

/// The refs of this spec that are older than that: salvage by when it was made, a run's by when it began.
fn refs_older_than(spec: &Spec, age: Duration) -> Result<Vec<Kept>, Error> {
    let now = SystemTime::from(clock::wall());
    let old = |made: SystemTime| now.duration_since(made).is_ok_and(|passed| passed >= age);
    let mut found = spec.repo.salvaged(&spec.paths.name()).map_err(Error::failed)?;
    found.retain(|kept| old(SystemTime::UNIX_EPOCH + Duration::from_secs(kept.made.try_into().unwrap_or_default())));
    for run in history::ids(&spec.paths).map_err(Error::failed)? {
        if clock::began(&run).is_some_and(old) {
            found.extend(spec.repo.steps_of(&run).map_err(Error::failed)?.into_values());
        }
    }
    Ok(found)
}

fn human(done: &Gc) -> String {
    let would = if done.dry_run { "would be " } else { "" };
    let mut lines = Vec::new();
    for slot in &done.slots {
        let saved = slot.saved.as_ref().map_or_else(String::new, |name| format!(", what was in it is kept as {name}"));
        lines.push(match &slot.reason {
            Some(reason) => format!("left {}: {reason}", slot.path),
            None => format!("{would}removed {}{saved}", slot.path),
        });
    }
    if done.forgotten > 0 {
        let trees = count(done.forgotten, "working tree", "working trees");
        lines.push(format!("{trees} that had been removed by hand taken out of git's list"));
    }
    lines.extend(done.refs.iter().map(|name| format!("{would}dropped {name}")));
    if lines.is_empty() {
        lines.push("nothing to remove".to_owned());
    }
    lines.join("\n") + "\n"
}
