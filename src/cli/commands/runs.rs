//! The runs of a list, as their journals tell; what `status`, `log`, `history` and `show` have in common.

use std::path::Path;

use jiff::Timestamp;

use crate::cli::{Error, config};
use crate::report::tally::Tally;
use crate::runtime::{clock, epic};
use crate::store::event::Envelope;
use crate::store::history::{self, HistoryError};
use crate::store::journal::{self, Tail};
use crate::store::lease::{self, Lease};
use crate::store::lock::{self, Owner};
use crate::store::paths::SpecPaths;

/// Whether a run goes on.
#[derive(Debug, Clone)]
pub(super) enum Life {
    /// Its process is there, or was within the last minute as far as can be told from here.
    GoingOn(Owner),
    /// An agent session has it, and calls for it from time to time.
    InSession(Lease),
    /// It ended in order.
    Ended,
    /// Its journal has no end and its process is gone.
    Killed,
}

impl Life {
    /// The word for it in JSON.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::GoingOn(_) => "going_on",
            Self::InSession(_) => "in_session",
            Self::Ended => "ended",
            Self::Killed => "killed",
        }
    }

    /// Whether what it has sent out is being worked on.
    pub(super) const fn goes_on(&self) -> bool {
        matches!(self, Self::GoingOn(_) | Self::InSession(_))
    }
}

/// A run, read from its journal.
pub(super) struct Run {
    /// Its id.
    pub(super) id: String,
    /// Its records.
    pub(super) records: Vec<Envelope>,
    /// What they add up to.
    pub(super) tally: Tally,
    /// Whether it goes on.
    pub(super) life: Life,
    /// Whether records of it are damaged, a torn end apart.
    pub(super) damaged: bool,
}

/// What stands beside a list.
pub(super) fn paths(list: &Path) -> Result<SpecPaths, Error> {
    SpecPaths::find(list).map_err(Error::failed)
}

/// What is to be said of a spec that an epic has begun: it works in a tree of its own, and so do its runs.
pub(super) fn in_epic(paths: &SpecPaths) -> Option<String> {
    let tree = epic::place(&config::root(paths.folder()), &paths.name());
    let here = std::env::current_dir().ok();
    let shown = here.and_then(|here| tree.strip_prefix(here).ok()).unwrap_or(&tree).display().to_string();
    let is_there = tree.join(".git").is_file();
    is_there.then(|| format!("an epic has begun {} in a tree of its own: `cd {shown}` and look there", paths.name()))
}

/// The ids of all runs of this list, newest first.
pub(super) fn ids(paths: &SpecPaths) -> Result<Vec<String>, Error> {
    let mut ids = history::ids(paths).map_err(Error::failed)?;
    ids.reverse();
    Ok(ids)
}

/// The id of the one run that is meant by as much of its beginning as is unique, or by `last`.
pub(super) fn find(paths: &SpecPaths, wanted: &str) -> Result<String, Error> {
    history::find(paths, wanted).map_err(|error| match error {
        HistoryError::Path(error) => Error::failed(error),
        which => Error::usage(which),
    })
}

/// Every run of this list that began, newest first. A run that was killed before its first record did nothing.
pub(super) fn all(paths: &SpecPaths) -> Result<impl Iterator<Item = Result<Run, Error>>, Error> {
    let ids = ids(paths)?.into_iter().filter(|id| paths.journal(id).exists());
    Ok(ids.map(|id| read(paths, &id)).filter(|run| run.as_ref().map_or(true, |run| !run.records.is_empty())))
}

/// Reads a run.
pub(super) fn read(paths: &SpecPaths, id: &str) -> Result<Run, Error> {
    let (records, tail) = journal::read(&paths.journal(id)).map_err(Error::failed)?;
    let mut tally = Tally::default();
    for record in &records {
        tally.now = tally.at(&record.time);
        tally.add(record);
    }
    let life = life(paths, id, tally.end.is_some())?;
    Ok(Run { id: id.to_owned(), records, tally, life, damaged: matches!(tail, Tail::Corrupt { .. }) })
}

/// Whether a run goes on, given whether its journal has an end.
pub(super) fn life(paths: &SpecPaths, id: &str, ended: bool) -> Result<Life, Error> {
    if ended {
        return Ok(Life::Ended);
    }
    let owner = lock::owner(&paths.lock()).map_err(Error::failed)?;
    Ok(match owner {
        Some(owner) if owner.run == id && owner.is_alive(now()) => Life::GoingOn(owner),
        _ => match lease::load(&paths.lease()).map_err(Error::failed)? {
            Some(lease) if lease.run == id => Life::InSession(lease),
            _ => Life::Killed,
        },
    })
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    clock::timestamp().parse().unwrap_or_default()
}

/// A record's time as people read it, to the second, in UTC.
pub(super) fn when(time: &str) -> String {
    time.parse::<Timestamp>()
        .map_or_else(|_| time.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
