//! What earlier work learned, found again by words and files: the learnings of all progress files of a repository, and
//! the failures and cures that journals have.
//!
//! An index (`SQLite` with FTS5) follows those files by their stamps: it holds nothing of its own, may be deleted at any
//! time, and is made anew when it is damaged. Several runs may use it at once. `sources` says which files, and what is
//! in them; `runtime::brief` and `spec learnings` ask.

mod query;
mod sources;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

pub use query::Query;
pub use sources::spec_folders;

use super::fs::{PathError, create_folders, remove_if_exists};
use sources::{Following, Source};

/// The name of the index.
pub const NAME: &str = "learnings.db";
/// What is in the index has this form; another one is made anew.
const VERSION: i32 = 1;
/// How long another run that writes to the index is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
/// Of how many hits a task gets those that are to the point.
const HITS: usize = 64;
/// What has less than this share of the score of the best hit is not to the point.
const GOOD: f64 = 0.4;

const TABLES: &str = "
    CREATE TABLE source (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, read INTEGER NOT NULL, open TEXT NOT NULL);
    CREATE TABLE learning (
        id INTEGER PRIMARY KEY, source TEXT NOT NULL, kind TEXT NOT NULL, spec TEXT NOT NULL, task TEXT,
        place TEXT NOT NULL, text TEXT NOT NULL, files TEXT NOT NULL);
    CREATE INDEX learning_of_source ON learning (source);
    CREATE VIRTUAL TABLE words USING fts5(text, files, tokenize = 'porter unicode61 remove_diacritics 2');
";

/// What kind of thing was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An executor noted it.
    Note,
    /// A try failed and a later one passed: what failed, and what was changed.
    Cure,
    /// A task failed for good.
    Failure,
}

impl Kind {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Cure => "cure",
            Self::Failure => "failure",
        }
    }

    fn from_name(name: &str) -> Self {
        [Self::Cure, Self::Failure].into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Note)
    }
}

/// Something that was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learning {
    /// What kind of thing.
    pub kind: Kind,
    /// What, in one line.
    pub text: String,
    /// The folder of the spec that it is from, relative to the root of the repository; `.` is the root.
    pub spec: String,
    /// The label of the task that it is from, where that is known.
    pub task: Option<String>,
    /// Where it is from: `specs/x/.progress.md:14`, or a run.
    pub from: String,
    /// Files that the task had changed, where that is known.
    pub files: Vec<String>,
}

/// Where the index is, and what it is about.
#[derive(Debug, Clone)]
pub struct Library {
    /// The file of the index.
    pub index: PathBuf,
    /// The root of the repository.
    pub root: PathBuf,
    /// The folders of specs.
    pub folders: Vec<PathBuf>,
}

/// What the index gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What was found, most to the point first.
    pub learnings: Vec<Learning>,
    /// How many there are in all.
    pub total: usize,
    /// Why the index was made anew, where it was damaged.
    pub rebuilt: Option<String>,
}

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LearningsError {
    /// `SQLite` says so.
    #[error("cannot use {path}: {source}; it may be deleted at any time and is made anew")]
    Database {
        /// The index.
        path: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// A file or a folder does not let us.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Library {
    /// What is of use for a task: what shares a file with it, or more than one word.
    pub fn for_task(&self, query: &Query, most: usize) -> Result<Answer, LearningsError> {
        self.ask(|db| {
            let found = search(db, query, HITS)?;
            // Scores are below 0, the best is the lowest.
            let best = found.first().map_or(0.0, |(score, _)| *score);
            let good = |(score, found): &(f64, Learning)| *score <= best * GOOD && query.is_to_the_point(found);
            Ok(found.into_iter().filter(good).map(|(_, found)| found).take(most).collect())
        })
    }

    /// What has one of these words; everything where none are given.
    pub fn search(&self, query: &Query, most: usize) -> Result<Answer, LearningsError> {
        self.ask(|db| {
            if query.is_empty() {
                return all(db, most);
            }
            Ok(search(db, query, most)?.into_iter().map(|(_, found)| found).collect())
        })
    }

    /// Brings the index up to date and asks it. A damaged one is made anew, once.
    fn ask(&self, question: impl Fn(&Connection) -> rusqlite::Result<Vec<Learning>>) -> Result<Answer, LearningsError> {
        let found = sources::find(&self.root, &self.folders)?;
        // Nothing is made where there is nothing to learn from.
        if found.is_empty() && !self.index.exists() {
            return Ok(Answer::default());
        }
        if let Some(folder) = self.index.parent() {
            create_folders(folder)?;
        }
        let once = || -> rusqlite::Result<Answer> {
            let mut db = open(&self.index)?;
            follow(&mut db, &self.root, &found)?;
            let total = db.query_row("SELECT count(*) FROM learning", [], |row| row.get::<_, i64>(0))? as usize;
            Ok(Answer { learnings: question(&db)?, total, rebuilt: None })
        };
        let wrong = |source| LearningsError::Database { path: self.index.display().to_string(), source };
        match once() {
            Ok(answer) => Ok(answer),
            Err(error) if is_damage(&error) => {
                remove_if_exists(&self.index)?;
                remove_if_exists(&self.index.with_extension("db-journal"))?;
                let rebuilt = Some(format!("{}: {error}; it was made anew", self.index.display()));
                once().map(|answer| Answer { rebuilt, ..answer }).map_err(wrong)
            }
            Err(error) => Err(wrong(error)),
        }
    }
}

/// Whether an error says that the file is not what it should be, rather than that it cannot be used now.
fn is_damage(error: &rusqlite::Error) -> bool {
    let passing = [
        ErrorCode::DatabaseBusy,
        ErrorCode::DatabaseLocked,
        ErrorCode::CannotOpen,
        ErrorCode::ReadOnly,
        ErrorCode::DiskFull,
        ErrorCode::PermissionDenied,
        ErrorCode::SystemIoFailure,
        ErrorCode::OutOfMemory,
    ];
    error.sqlite_error_code().is_none_or(|code| !passing.contains(&code))
}

fn open(index: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open(index)?;
    db.busy_timeout(PATIENCE)?;
    // It can be made anew: nothing waits for the disk.
    db.pragma_update(None, "synchronous", "off")?;
    let version = |db: &Connection| db.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0));
    if version(&db)? != VERSION {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another run may just have done it.
        if version(&change)? != VERSION {
            change.execute_batch(
                "DROP TABLE IF EXISTS source; DROP TABLE IF EXISTS learning; DROP TABLE IF EXISTS words;",
            )?;
            change.execute_batch(TABLES)?;
            change.pragma_update(None, "user_version", VERSION)?;
        }
        change.commit()?;
    }
    Ok(db)
}

/// What the index knows of a source: its stamp, how far it was read, and what goes on there.
type Known = HashMap<String, (String, u64, String)>;

fn known(db: &Connection) -> rusqlite::Result<Known> {
    let mut rows = db.prepare("SELECT path, stamp, read, open FROM source")?;
    let rows =
        rows.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs(), row.get(3)?))))?;
    rows.collect()
}

/// Brings the index up to date with the files. While another run does it, what is there has to do.
fn follow(db: &mut Connection, root: &Path, found: &[Source]) -> rusqlite::Result<()> {
    let same = |known: &Known| {
        known.len() == found.len()
            && found.iter().all(|source| known.get(&source.name).is_some_and(|known| known.0 == source.stamp))
    };
    if same(&known(db)?) {
        return Ok(());
    }
    let change = match db.transaction_with_behavior(TransactionBehavior::Immediate) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Ok(()),
        change => change?,
    };
    let mut known = known(&change)?;
    for source in found {
        let before = known.remove(&source.name);
        if before.as_ref().is_some_and(|before| before.0 == source.stamp) {
            continue;
        }
        // A journal that has grown is read on; anything else is read anew.
        let following = before
            .filter(|before| source.is_continued(&before.0, before.1))
            .map(|(_, read, open)| Following::restore(read, &open));
        if following.is_none() {
            forget(&change, &source.name)?;
        }
        // What cannot be read now is looked at again the next time.
        let Ok((learned, following)) = source.read(root, following.unwrap_or_default()) else { continue };
        enter(&change, &source.name, &learned)?;
        change.prepare("INSERT OR REPLACE INTO source VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            source.name,
            source.stamp,
            following.read.cast_signed(),
            following.save()
        ])?;
    }
    for gone in known.keys() {
        forget(&change, gone)?;
    }
    change.commit()
}

fn forget(db: &Connection, source: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM learning WHERE source = ?1)", [source])?;
    db.execute("DELETE FROM learning WHERE source = ?1", [source])?;
    db.execute("DELETE FROM source WHERE path = ?1", [source])?;
    Ok(())
}

fn enter(db: &Connection, source: &str, learned: &[Learning]) -> rusqlite::Result<()> {
    let mut row = db.prepare(
        "INSERT INTO learning (source, kind, spec, task, place, text, files) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut words = db.prepare("INSERT INTO words (rowid, text, files) VALUES (?1, ?2, ?3)")?;
    for Learning { kind, text, spec, task, from, files } in learned {
        let files = files.join("\n");
        let id = row.insert(params![source, kind.name(), spec, task, from, text, files])?;
        words.execute(params![id, text, files])?;
    }
    Ok(())
}

const COLUMNS: &str = "kind, text, spec, task, place, files";

fn learning(row: &rusqlite::Row<'_>) -> rusqlite::Result<Learning> {
    Ok(Learning {
        kind: Kind::from_name(&row.get::<_, String>("kind")?),
        text: row.get("text")?,
        spec: row.get("spec")?,
        task: row.get("task")?,
        from: row.get("place")?,
        files: row.get::<_, String>("files")?.lines().map(str::to_owned).collect(),
    })
}

fn all(db: &Connection, most: usize) -> rusqlite::Result<Vec<Learning>> {
    let mut rows = db.prepare(&format!("SELECT {COLUMNS} FROM learning ORDER BY source, id LIMIT ?1"))?;
    let rows = rows.query_map([i64::try_from(most).unwrap_or(i64::MAX)], learning)?;
    rows.collect()
}

/// The best hits, each text once; what shares files counts more than what shares words.
fn search(db: &Connection, query: &Query, most: usize) -> rusqlite::Result<Vec<(f64, Learning)>> {
    let Some(expression) = query.expression() else { return Ok(Vec::new()) };
    let mut rows = db.prepare(
        "SELECT kind, learning.text AS text, spec, task, place, learning.files AS files,
         bm25(words, 1.0, 2.0) AS score FROM words JOIN learning ON learning.id = words.rowid
         WHERE words MATCH ?1 ORDER BY score, learning.id DESC",
    )?;
    let mut found: Vec<(f64, Learning)> = Vec::new();
    for one in rows.query_map([expression], |row| Ok((row.get("score")?, learning(row)?)))? {
        let one: (f64, Learning) = one?;
        if !found.iter().any(|(_, known)| known.text == one.1.text) {
            found.push(one);
        }
        if found.len() == most {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
