//! The runs of a list, by their folders: ids begin with the time, so they sort by age.

use std::io;
use std::path::Path;

use super::event::Event;
use super::fs::{Context, PathError};
use super::journal::{Line, Lines};
use super::paths::SpecPaths;

/// Why a run cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is none at all.
    #[error("no runs of {list} yet")]
    NoneYet {
        /// The list's name.
        list: String,
    },
    /// There is none like that.
    #[error("no run of {list} begins with `{prefix}`; `spec history` lists them")]
    None {
        /// The list's name.
        list: String,
        /// What was asked for.
        prefix: String,
    },
    /// There are several.
    #[error("several runs begin with `{prefix}`: {}; give more of the id", found.join(", "))]
    Several {
        /// What was asked for.
        prefix: String,
        /// Their ids.
        found: Vec<String>,
    },
    /// They cannot be looked at.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// The ids of all runs of this list, oldest first. A run whose journal cannot be read counts: it may be of this list.
pub fn ids(paths: &SpecPaths) -> Result<Vec<String>, PathError> {
    let folder = paths.runs();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("list", &folder),
    };
    let mut ids = Vec::new();
    for entry in entries {
        if let Ok(id) = entry.context("list", &folder)?.file_name().into_string()
            && list_of(&paths.journal(&id)).is_none_or(|list| list == paths.list_name())
        {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The one run of this list whose id begins like this; the newest for `last`.
pub fn find(paths: &SpecPaths, prefix: &str) -> Result<String, HistoryError> {
    let mut found = ids(paths)?;
    if prefix == "last" {
        return found.pop().ok_or_else(|| HistoryError::NoneYet { list: paths.list_name() });
    }
    // No beginning at all, of an empty variable, is that of none.
    found.retain(|id| id.starts_with(prefix) && !prefix.is_empty());
    match found.len() {
        0 => Err(HistoryError::None { list: paths.list_name(), prefix: prefix.to_owned() }),
        1 => Ok(found.remove(0)),
        _ => Err(HistoryError::Several { prefix: prefix.to_owned(), found }),
    }
}

/// The file name of the list that a journal is about, as its first record has it.
fn list_of(journal: &Path) -> Option<String> {
    let Line::Record(record) = Lines::open(journal).ok()?.next()?.ok()? else { return None };
    let Event::RunStart { file, .. } = record.event else { return None };
    Some(Path::new(&file).file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Journal;
    use crate::store::testing::run_start;

    #[test]
    fn runs_are_those_of_this_list_and_found_by_a_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        assert!(ids(&paths).unwrap().is_empty());
        insta::assert_snapshot!(find(&paths, "last").unwrap_err(), @"no runs of tasks.md yet");
        for (id, file) in [("b2", "specs/x/tasks.md"), ("a1", "tasks.md"), ("b1", "specs/x/other.md")] {
            Journal::create(&paths.journal(id), id).unwrap().append(&run_start(file, None), "t").unwrap();
        }
        std::fs::create_dir(paths.run("b3")).unwrap();
        assert_eq!(ids(&paths).unwrap(), ["a1", "b2", "b3"]);
        assert_eq!((find(&paths, "a").unwrap(), find(&paths, "last").unwrap()), ("a1".to_owned(), "b3".to_owned()));
        insta::assert_snapshot!(find(&paths, "b").unwrap_err(), @"several runs begin with `b`: b2, b3; give more of the id");
        insta::assert_snapshot!(find(&paths, "").unwrap_err(), @"no run of tasks.md begins with ``; `spec history` lists them");
        insta::assert_snapshot!(find(&paths, "b1").unwrap_err(), @"no run of tasks.md begins with `b1`; `spec history` lists them");
    }
}
