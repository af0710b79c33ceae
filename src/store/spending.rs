//! What agents used today, over all runs and repositories of this user, and what runs that go on have reserved of the
//! day's budget: `spec/today.json` in the user's state folder, under a lock that is held for a moment each time. Runs that
//! are gone are dropped from it, a new day begins with nothing.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::fs::{Durability, PathError, keep_bad_copy, read_if_exists, write_atomic};
use super::lock::{self, Owner};
use crate::engine::budget::{Money, Spend};

/// The file.
const NAME: &str = "today.json";
/// Its lock.
const LOCK: &str = "today.lock";

/// Where the state of this user is kept (`$XDG_STATE_HOME/spec`, or `~/.local/state/spec`); none without a home.
#[must_use]
pub fn folder(get: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("spec"))
}

/// Money and tokens, as they are written.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Amount {
    usd: f64,
    tokens: u64,
}

impl From<Spend> for Amount {
    fn from(spend: Spend) -> Self {
        Self { usd: spend.money.usd(), tokens: spend.tokens }
    }
}

impl From<Amount> for Spend {
    fn from(amount: Amount) -> Self {
        Self { money: Money::from_usd(amount.usd), tokens: amount.tokens }
    }
}

/// The file as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    version: u32,
    day: String,
    spent: Amount,
    runs: Vec<Going>,
}

/// What a run that goes on has reserved.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Going {
    owner: Owner,
    reserved: Amount,
}

/// The day as one run sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Today {
    /// What all runs used.
    pub spent: Spend,
    /// What other runs that go on have reserved.
    pub others: Spend,
}

/// What a run does with the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What it used since it last said so.
    pub used: Spend,
    /// What it has reserved from now on.
    pub reserved: Spend,
}

/// The day's book, as one run keeps it.
#[derive(Debug)]
pub struct Daybook {
    folder: PathBuf,
    owner: Owner,
    /// What this run used on the newest day: what is left to count from where the file is damaged.
    own: (String, Spend),
}

impl Daybook {
    /// The book in the user's state folder.
    #[must_use]
    pub fn new(folder: PathBuf, run: &str, now: Timestamp) -> Self {
        Self { folder, owner: Owner::this_process(run, now), own: (String::new(), Spend::default()) }
    }

    /// Takes a turn: looks at the day, decides by it, and writes what this run used and has reserved. Nobody else looks
    /// or writes meanwhile. Gives what was decided, and a warning where the file was damaged.
    pub fn turn<T>(
        &mut self,
        now: Timestamp,
        day: Date,
        decide: impl FnOnce(Today) -> (T, Turn),
    ) -> Result<(T, Option<String>), PathError> {
        let path = self.folder.join(NAME);
        let _lock = lock::wait(&self.folder.join(LOCK))?;
        let day = day.to_string();
        if self.own.0 != day {
            self.own = (day.clone(), Spend::default());
        }
        let (mut record, warning) = self.read(&path)?;
        if record.day != day {
            (record.day, record.spent) = (day, Amount::default());
        }
        let mine = |going: &Going| going.owner.run == self.owner.run && going.owner.pid == self.owner.pid;
        record.runs.retain(|going| !mine(going) && going.owner.is_alive(now));
        let others = record.runs.iter().map(|going| Spend::from(going.reserved)).sum();
        let (decided, turn) = decide(Today { spent: record.spent.into(), others });
        self.own.1 += turn.used;
        record.version = 1;
        record.spent = (Spend::from(record.spent) + turn.used).into();
        if turn.reserved != Spend::default() {
            self.owner.heartbeat = now;
            record.runs.push(Going { owner: self.owner.clone(), reserved: turn.reserved.into() });
        }
        let mut bytes = serde_json::to_vec_pretty(&record).unwrap_or_default();
        bytes.push(b'\n');
        write_atomic(&path, &bytes, Durability::Fast)?;
        Ok((decided, warning))
    }

    fn read(&self, path: &Path) -> Result<(Record, Option<String>), PathError> {
        let Some(bytes) = read_if_exists(path)? else { return Ok((Record::default(), None)) };
        if let Ok(record) = serde_json::from_slice(&bytes) {
            return Ok((record, None));
        }
        let kept = keep_bad_copy(path, &bytes)?;
        let (day, spent) = &self.own;
        let record = Record { day: day.clone(), spent: (*spent).into(), ..Record::default() };
        let warning = format!(
            "{}: what was used today could not be read, and is counted from what this run used; kept as {}",
            path.display(),
            kept.display()
        );
        Ok((record, Some(warning)))
    }
}

/// What was used on that day, as far as it can be read.
#[must_use]
pub fn spent(folder: &Path, day: Date) -> Spend {
    let record = read_if_exists(&folder.join(NAME)).ok().flatten();
    let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    record.filter(|record| record.day == day.to_string()).map(|record| record.spent.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn day(day: i8) -> Date {
        Date::new(2026, 11, day).unwrap()
    }

    fn spend(micros: u64) -> Spend {
        Spend { money: Money::from_micros(micros), tokens: micros }
    }

    /// Says what was used and is reserved; gives what is seen before that.
    fn turn(book: &mut Daybook, of: i8, used: u64, reserved: u64) -> Today {
        let turn = Turn { used: spend(used), reserved: spend(reserved) };
        let (today, warning) = book.turn(at(0), day(of), |today| (today, turn)).unwrap();
        assert_eq!(warning, None);
        today
    }

    #[test]
    fn runs_see_what_the_others_used_and_reserved() {
        let folder = tempfile::tempdir().unwrap();
        let book = |run: &str| Daybook::new(folder.path().join("spec"), run, at(0));
        let (mut one, mut two) = (book("r1"), book("r2"));
        assert_eq!(turn(&mut one, 21, 0, 500), Today::default());
        assert_eq!(turn(&mut two, 21, 7, 30), Today { spent: spend(0), others: spend(500) });
        assert_eq!(turn(&mut one, 21, 300, 0), Today { spent: spend(7), others: spend(30) });
        assert_eq!(turn(&mut two, 21, 0, 0), Today { spent: spend(307), others: spend(0) });
        assert_eq!(super::spent(&folder.path().join("spec"), day(21)), spend(307));
        assert_eq!(super::spent(&folder.path().join("spec"), day(22)), spend(0));
    }

    #[test]
    fn a_new_day_begins_with_nothing_used_and_what_runs_is_still_reserved() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut two) =
            (Daybook::new(folder.path().into(), "r1", at(0)), Daybook::new(folder.path().into(), "r2", at(0)));
        turn(&mut one, 21, 900, 50);
        assert_eq!(turn(&mut two, 22, 0, 0), Today { spent: spend(0), others: spend(50) });
    }

    #[test]
    fn what_a_run_that_is_gone_reserved_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut gone = Daybook::new(folder.path().into(), "r1", at(0));
        gone.owner.start_ticks += 1;
        turn(&mut gone, 21, 5, 900);
        let mut one = Daybook::new(folder.path().into(), "r2", at(0));
        assert_eq!(turn(&mut one, 21, 0, 0), Today { spent: spend(5), others: spend(0) });
    }

    #[test]
    fn a_damaged_book_is_kept_and_begun_again_from_what_this_run_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut one = Daybook::new(folder.path().into(), "r1", at(0));
        turn(&mut one, 21, 40, 0);
        write_atomic(&path, b"{\"version\":1,\"day\":\"2026-1", Durability::Fast).unwrap();
        let nothing = Turn { used: spend(2), reserved: spend(0) };
        let (today, warning) = one.turn(at(0), day(21), |today| (today, nothing)).unwrap();
        assert_eq!(today.spent, spend(40));
        assert!(warning.unwrap().contains("today.json.bad-1"));
        assert_eq!(turn(&mut one, 21, 0, 0).spent, spend(42));
    }

    #[test]
    fn the_folder_is_the_users_state() {
        let folder = |vars: &[(&str, &str)]| {
            super::folder(|name| vars.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(folder(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/spec".into()));
        assert_eq!(folder(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]), Some("/h/.local/state/spec".into()));
        assert_eq!(folder(&[("XDG_STATE_HOME", "")]), None);
    }
}
