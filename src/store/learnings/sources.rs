//! The files that learnings come from, and what is in them: progress files as executors and people wrote them, and
//! journals, of which the failures and their cures are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Kind, Learning};
use crate::store::event::{Envelope, Event, TreeEntry};
use crate::store::fs::{Context, PathError};
use crate::store::journal::{Line, Lines};
use crate::store::paths::{SpecPaths, homes};
use crate::store::progress;
use crate::text::first;

/// Longer texts are cut: a learning is read beside others.
const LONGEST: usize = 600;
/// Longer lines of evidence are cut.
const LONGEST_LINE: usize = 240;
/// More changed files of a task are not named.
const FILES: usize = 50;
/// Failures that say nothing about the work.
const NOT_ABOUT_WORK: [&str; 5] = ["rate_limited", "cancelled", "spawn", "conflict", "moved_head"];

/// The folders of the specs of a repository: below the usual places, the root itself, and the one that is given.
#[must_use]
pub fn spec_folders(root: &Path, own: Option<&Path>) -> Vec<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for home in homes(root) {
        let Ok(entries) = fs::read_dir(root.join(home)) else { continue };
        let entries = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(entries.map(|entry| entry.path()));
    }
    folders.insert(root.to_path_buf());
    folders.extend(own.map(Path::to_path_buf));
    folders.into_iter().collect()
}

/// A file that learnings come from.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path relative to the root.
    pub(super) name: String,
    /// Tells this state of the file from others.
    pub(super) stamp: String,
    path: PathBuf,
    length: u64,
    /// The folder of its spec, relative to the root.
    spec: String,
    /// The run whose journal it is; none for a progress file.
    run: Option<String>,
}

/// How far a source was read, and what goes on there.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Bytes.
    pub(super) read: u64,
    open: BTreeMap<String, Open>,
}

/// A task of a journal that has not ended yet.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Open {
    task: String,
    title: String,
    /// Its last try that failed.
    failed: Option<Failed>,
    /// What it had changed by then, and by now: path and content.
    before: BTreeMap<String, String>,
    now: BTreeMap<String, String>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    attempt: u32,
    code: String,
    reason: String,
    seen: String,
}

/// All sources that are there. What cannot be looked at is passed over; only folders that are there matter.
pub(super) fn find(root: &Path, folders: &[PathBuf]) -> Result<Vec<Source>, PathError> {
    let mut found = Vec::new();
    for folder in folders {
        let list = folder.join("tasks.md");
        if !folder.is_dir() {
            continue;
        }
        let paths = SpecPaths::find(&list)?;
        let spec = relative(root, folder);
        let mut add = |path: PathBuf, run: Option<String>| {
            let Ok(file) = fs::metadata(&path) else { return };
            if file.is_file() {
                let stamp = format!("{}:{}.{}:{}", file.ino(), file.mtime(), file.mtime_nsec(), file.len());
                found.push(Source {
                    name: relative(root, &path),
                    stamp,
                    path,
                    length: file.len(),
                    spec: spec.clone(),
                    run,
                });
            }
        };
        add(folder.join(paths.progress().file_name().unwrap_or_default()), None);
        let runs = match fs::read_dir(paths.runs()) {
            Ok(runs) => runs,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context("list", paths.runs()),
        };
        for run in runs.flatten() {
            if let Ok(run) = run.file_name().into_string() {
                add(folder.join(".spec/runs").join(&run).join("journal.jsonl"), Some(run));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    if inside.as_os_str().is_empty() { ".".to_owned() } else { inside.to_string_lossy().into_owned() }
}

impl Source {
    /// Whether this is what it was, and more behind it: journals are only ever appended to.
    pub(super) fn is_continued(&self, stamp: &str, read: u64) -> bool {
        let file = |stamp: &str| stamp.split(':').next().map(str::to_owned);
        self.run.is_some() && file(stamp) == file(&self.stamp) && read <= self.length
    }

    /// What is in it behind what was read before.
    pub(super) fn read(&self, root: &Path, mut following: Following) -> Result<(Vec<Learning>, Following), PathError> {
        let mut file = File::open(&self.path).context("open", &self.path)?;
        file.seek(SeekFrom::Start(following.read)).context("read", &self.path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context("read", &self.path)?;
        let Some(run) = &self.run else {
            let learned =
                progress::learnings(&String::from_utf8_lossy(&bytes)).into_iter().map(|(line, text)| Learning {
                    kind: Kind::Note,
                    text: shortened(&text, LONGEST),
                    spec: self.spec.clone(),
                    task: None,
                    from: format!("{}:{line}", relative(root, &self.path)),
                    files: Vec::new(),
                });
            return Ok((learned.collect(), following));
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        following.read += whole as u64;
        let mut found = Vec::new();
        for line in Lines::new(&bytes[..whole], &self.path) {
            if let Line::Record(record) = line? {
                following.apply(*record, self, run, &mut found);
            }
        }
        Ok((found, following))
    }
}

impl Following {
    pub(super) fn restore(read: u64, open: &str) -> Self {
        Self { read, open: serde_json::from_str(open).unwrap_or_default() }
    }

    pub(super) fn save(&self) -> String {
        serde_json::to_string(&self.open).unwrap_or_default()
    }

    fn apply(&mut self, record: Envelope, source: &Source, run: &str, found: &mut Vec<Learning>) {
        match record.event {
            Event::TaskStart { task, title, .. } => {
                let open = self.open.entry(task.key).or_default();
                (open.task, open.title) = (task.task, title);
            }
            Event::TaskProgress { task, text, .. } => {
                if let Some(open) = self.open.get_mut(&task.key) {
                    open.notes.extend(progress::notes(&text));
                }
            }
            Event::TaskTaken { task, entries, .. } => {
                if let Some(open) = self.open.get_mut(&task.key) {
                    open.now = entries.into_iter().take(FILES).map(path_and_content).collect();
                }
            }
            Event::TaskRetry { task, attempt, code, reason, evidence, .. } => {
                if let Some(open) = self.open.get_mut(&task.key)
                    && !NOT_ABOUT_WORK.contains(&code.as_str())
                {
                    open.failed = Some(Failed { attempt, code, reason, seen: telling_line(&evidence) });
                    open.before.clone_from(&open.now);
                }
            }
            Event::TaskPassed { task, attempt } => {
                if let Some(open) = self.open.get_mut(&task.key) {
                    open.passed(attempt, source, run, found);
                }
            }
            Event::TaskFailed { task, attempt, code, reason, evidence, .. } => {
                if let Some(open) = self.open.remove(&task.key) {
                    let failed = Failed { attempt, code, reason, seen: telling_line(&evidence) };
                    open.failed_for_good(&failed, source, run, found);
                }
            }
            Event::TaskComplete { task, .. } | Event::TaskCancelled { task, .. } => {
                self.open.remove(&task.key);
            }
            Event::RunComplete { .. } => self.open.clear(),
            _ => {}
        }
    }
}

impl Open {
    fn learning(&self, kind: Kind, text: &str, source: &Source, run: &str) -> Learning {
        // As much of a run's id as tells it from others.
        let short = run.get(..13).unwrap_or(run);
        Learning {
            kind,
            text: shortened(text, LONGEST),
            spec: source.spec.clone(),
            task: Some(self.task.clone()),
            from: format!("{}, task {}, run {short}", source.spec, self.task),
            files: self.now.keys().cloned().collect(),
        }
    }

    fn passed(&mut self, attempt: u32, source: &Source, run: &str, found: &mut Vec<Learning>) {
        if let Some(failed) = self.failed.take() {
            let changed: Vec<&str> = self
                .now
                .iter()
                .filter(|(path, content)| self.before.get(*path) != Some(content))
                .map(|(path, _)| path.as_str())
                .chain(self.before.keys().filter(|path| !self.now.contains_key(*path)).map(String::as_str))
                .collect();
            let cure = if changed.is_empty() { "no file".to_owned() } else { changed.join(", ") };
            let text = format!("{} Try {attempt} passed; it had changed {cure}", failed.words(&self.title));
            found.push(self.learning(Kind::Cure, &text, source, run));
        }
        for note in std::mem::take(&mut self.notes) {
            found.push(self.learning(Kind::Note, &note, source, run));
        }
    }

    fn failed_for_good(&self, failed: &Failed, source: &Source, run: &str, found: &mut Vec<Learning>) {
        if !NOT_ABOUT_WORK.contains(&failed.code.as_str()) {
            let text = format!("{} It was the last try", failed.words(&self.title));
            found.push(self.learning(Kind::Failure, &text, source, run));
        }
        found.extend(self.notes.iter().map(|note| self.learning(Kind::Note, note, source, run)));
    }
}

impl Failed {
    fn words(&self, title: &str) -> String {
        let Self { attempt, code, reason, seen } = self;
        let reason = one_line(reason);
        // The reason often quotes the same line.
        let seen =
            if seen.is_empty() || reason.contains(seen.as_str()) { String::new() } else { format!(" `{seen}`.") };
        format!("\"{title}\": try {attempt} failed ({code}): {reason}.{seen}")
    }
}

/// A path, and what tells its content from another.
fn path_and_content(entry: TreeEntry) -> (String, String) {
    (entry.path, entry.oid.unwrap_or_else(|| "gone".to_owned()))
}

/// The line of the evidence that most likely says what was wrong: the first that speaks of an error, else the last.
fn telling_line(evidence: &str) -> String {
    let lines = || evidence.lines().map(str::trim).filter(|line| !line.is_empty());
    let speaks = |line: &&str| {
        let line = line.to_lowercase();
        ["error", "panicked", "assert", "expected", "not found", "fail"].iter().any(|word| line.contains(word))
    };
    let line = lines().find(speaks).or_else(|| lines().next_back()).unwrap_or_default();
    shortened(&one_line(line), LONGEST_LINE)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}...", first(text, most).trim_end())
}
