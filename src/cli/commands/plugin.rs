//! `spec plugin`: puts what agents need to carry out lists from inside where each of them looks, and takes it away again.
//! What belongs where is said by [`crate::plugin`]; here it is compared with what is there. A record of what was written
//! tells what is ours from what a person has made of it: that is never overwritten and never deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::cli::args::{PluginAction, PluginArgs};
use crate::cli::{Error, config, exit, output, warn};
use crate::plugin::{self, Part, Places, Target, edit};
use crate::runtime::process;
use crate::store::fs;

/// What was written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// By target.
    targets: BTreeMap<String, BTreeMap<PathBuf, Written>>,
    /// Folders that were made.
    folders: BTreeSet<PathBuf>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Written {
    /// Checksum of what was written.
    sum: u32,
    /// What was there before, of a file that is not ours as a whole; none where there was no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// What is to become of a file: its new text, or none where it goes away.
type Changes = BTreeMap<PathBuf, (Option<String>, Option<String>)>;

/// Does it.
pub fn run(args: &PluginArgs) -> Result<u8, Error> {
    let (targets, dry_run, remove) = match &args.action {
        PluginAction::Install { agents, dry_run } => (agents, *dry_run, false),
        PluginAction::Remove { agents, dry_run } => (agents, *dry_run, true),
    };
    let places = places()?;
    let record_path = places.data.join("installed.json");
    let mut record = read_record(&record_path)?;
    let targets = chosen(targets, &record, remove)?;
    let mut changes = Changes::new();
    for target in &targets {
        if remove {
            take_away(*target, &places, &mut record, &mut changes)?;
        } else {
            put_in(*target, &places, &mut record, &mut changes)?;
        }
    }
    changes.retain(|_, (before, after)| before != after);
    show(&changes, &places, dry_run)?;
    if changes.is_empty() {
        output::print("Nothing to change.\n")?;
        return Ok(exit::DONE);
    }
    if dry_run {
        return Ok(exit::DONE);
    }
    let mut folders = std::mem::take(&mut record.folders);
    for path in changes.keys().chain([&record_path]) {
        folders.extend(missing_folders(path));
    }
    record.folders = folders;
    // First what is to be known of what was written, should this end in the middle of it.
    if !record.targets.is_empty() {
        let text = serde_json::to_string_pretty(&record).map_err(Error::failed)?;
        write(&record_path, &text)?;
    }
    for (path, (_, after)) in &changes {
        match after {
            Some(text) => write(path, text)?,
            None => drop(fs::remove_if_exists(path).map_err(Error::failed)?),
        }
    }
    if record.targets.is_empty() {
        fs::remove_if_exists(&record_path).map_err(Error::failed)?;
    }
    if remove {
        // Those that are not empty stay; the innermost go first.
        for folder in record.folders.iter().rev() {
            std::fs::remove_dir(folder).ok();
        }
    }
    if !remove {
        output::print(&what_next(&targets))?;
    }
    Ok(exit::DONE)
}

/// The targets that are meant: without any named, the agents that are installed, or what was put in.
fn chosen(named: &[Target], record: &Record, remove: bool) -> Result<Vec<Target>, Error> {
    let all = [Target::Claude, Target::Codex, Target::Gemini, Target::Opencode, Target::Skill, Target::AgentsMd];
    let chosen: Vec<Target> = match named {
        [] if remove => all.into_iter().filter(|target| record.targets.contains_key(target.name())).collect(),
        [] => all.into_iter().filter(|target| target.program().and_then(process::on_path).is_some()).collect(),
        named => named.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(),
    };
    if chosen.is_empty() && !remove {
        return Err(Error::usage("none of claude, codex, gemini, opencode is on PATH")
            .hint("name one all the same, or `skill` or `agents-md` for this repository"));
    }
    Ok(chosen)
}

fn put_in(target: Target, places: &Places, record: &mut Record, changes: &mut Changes) -> Result<(), Error> {
    let mut known = record.targets.remove(target.name()).unwrap_or_default();
    let mut written = BTreeMap::new();
    for part in plugin::parts(target, places) {
        let path = part.path().to_owned();
        let there = now(&path, changes)?;
        let before = known.get(&path).or_else(|| written.get(&path)).cloned();
        let after = match &part {
            Part::File { text, .. } => match &there {
                Some(there) if there == text => Some(text.clone()),
                Some(there) if !ours(there, before.as_ref()) && !record.has(&path, there) => {
                    left(&path, "it was changed by hand; delete it to have it made again");
                    None
                }
                _ => Some(text.clone()),
            },
            Part::Setting { format, keys, value, .. } => {
                let text = there.clone().unwrap_or_default();
                match edit::set(&text, *format, keys, value) {
                    Ok(with) => Some(with.unwrap_or(text)),
                    Err(why) => {
                        left(&path, &why.to_string());
                        None
                    }
                }
            }
            Part::Block { text, .. } => {
                let whole = there.clone().unwrap_or_default();
                let block = edit::block(&whole);
                let same = edit::set_block(&whole, text).is_none();
                if block.is_some() && !same && !ours(&whole, before.as_ref()) {
                    left(&path, "its block of spec was changed by hand; delete it to have it made again");
                    None
                } else {
                    Some(edit::set_block(&whole, text).unwrap_or(whole))
                }
            }
        };
        let Some(after) = after else {
            written.extend(known.remove_entry(&path));
            continue;
        };
        let whole = matches!(part, Part::File { .. });
        let entry = Written {
            sum: crc32fast::hash(after.as_bytes()),
            before: match before {
                Some(before) => before.before,
                None => there.clone().filter(|_| !whole),
            },
        };
        known.remove(&path);
        written.insert(path.clone(), entry);
        change(changes, path, there, Some(after));
    }
    // What an earlier version had and this one has not.
    for (path, entry) in known {
        let there = now(&path, changes)?;
        if there.as_deref().is_some_and(|there| ours(there, Some(&entry))) {
            change(changes, path, there, None);
        }
    }
    record.targets.insert(target.name().to_owned(), written);
    Ok(())
}

fn take_away(target: Target, places: &Places, record: &mut Record, changes: &mut Changes) -> Result<(), Error> {
    let known = record.targets.remove(target.name()).unwrap_or_default();
    let parts = plugin::parts(target, places);
    for (path, entry) in known {
        if record.targets.values().any(|others| others.contains_key(&path)) {
            continue;
        }
        let Some(there) = now(&path, changes)? else { continue };
        let settings: Vec<&Part> =
            parts.iter().filter(|part| part.path() == path && !matches!(part, Part::File { .. })).collect();
        if ours(&there, Some(&entry)) {
            change(changes, path, Some(there), entry.before);
        } else if settings.is_empty() {
            left(&path, "it was changed by hand; delete it if it is not needed any more");
        } else {
            let mut text = there.clone();
            for part in settings {
                let without = match part {
                    Part::Setting { format, keys, value, .. } => edit::unset(&text, *format, keys, value),
                    Part::Block { .. } => Ok(edit::unset_block(&text)),
                    Part::File { .. } => Ok(None),
                };
                match without {
                    Ok(without) => text = without.unwrap_or(text),
                    Err(why) => left(&path, &why.to_string()),
                }
            }
            change(changes, path, Some(there), Some(text));
        }
    }
    Ok(())
}

impl Record {
    /// Whether another target has written this text there.
    fn has(&self, path: &Path, text: &str) -> bool {
        self.targets.values().any(|files| ours(text, files.get(path)))
    }
}

/// Whether a text is what was written.
fn ours(text: &str, written: Option<&Written>) -> bool {
    written.is_some_and(|written| written.sum == crc32fast::hash(text.as_bytes()))
}

/// What a file will have been before the next change of it.
fn now(path: &Path, changes: &Changes) -> Result<Option<String>, Error> {
    if let Some((_, after)) = changes.get(path) {
        return Ok(after.clone());
    }
    let bytes = fs::read_if_exists(path).map_err(Error::failed)?;
    bytes.map(String::from_utf8).transpose().map_err(|_| Error::usage(format_args!("{} is not UTF-8", path.display())))
}

fn change(changes: &mut Changes, path: PathBuf, before: Option<String>, after: Option<String>) {
    match changes.get_mut(&path) {
        Some((_, last)) => *last = after,
        None => drop(changes.insert(path, (before, after))),
    }
}

fn left(path: &Path, why: &str) {
    warn(&format!("{} is left as it is: {why}", path.display()));
}

/// Folders above a file that are not there, the innermost first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    path.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// Says what changes: by files with their differences where nothing is written, else by folders that are ours.
fn show(changes: &Changes, places: &Places, dry_run: bool) -> Result<(), Error> {
    let ours = [
        places.data.join("plugin"),
        places.codex.join("plugins/cache/spec"),
        places.gemini.join("extensions/spec"),
        places.opencode.join("command"),
    ];
    let mut counts: BTreeMap<(&Path, &str), usize> = BTreeMap::new();
    for (path, (before, after)) in changes {
        let what = match (before, after) {
            (None, _) => "new",
            (_, None) => "removed",
            _ => "changed",
        };
        let folder = ours.iter().find(|folder| !dry_run && path.starts_with(folder));
        *counts.entry((folder.map_or(path, PathBuf::as_path), what)).or_default() += 1;
    }
    for ((path, what), count) in counts {
        let files = if count == 1 { String::new() } else { format!(" ({count} files)") };
        output::print(&format!("{what:>8}  {}{files}\n", path.display()))?;
        if let Some((before, after)) = changes.get(path).filter(|_| dry_run) {
            let (before, after) = (before.as_deref().unwrap_or_default(), after.as_deref().unwrap_or_default());
            let name = path.display().to_string();
            let diff = TextDiff::from_lines(before, after);
            output::print(&diff.unified_diff().header(&name, &name).to_string())?;
        }
    }
    Ok(())
}

fn what_next(targets: &[Target]) -> String {
    let line = |target: &Target| match target {
        Target::Claude => "Claude Code: begin a new session and type /spec:run\n",
        Target::Codex => "Codex: trust its hooks once with /hooks, then mention $spec\n",
        Target::Gemini => "Gemini CLI: begin a new session and type /spec:run\n",
        Target::Opencode => "opencode: begin a new session and type /spec-run\n",
        Target::Skill | Target::AgentsMd => "",
    };
    targets.iter().map(line).collect()
}

fn places() -> Result<Places, Error> {
    let home = std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| Error::usage("there is no home folder: set HOME"))?;
    let folder = |name: &str, otherwise: PathBuf| {
        std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or(otherwise)
    };
    let here = std::env::current_dir().map_err(|error| cannot("use", Path::new("."), &error))?;
    Ok(Places {
        data: folder("XDG_DATA_HOME", home.join(".local/share")).join("spec"),
        claude: folder("CLAUDE_CONFIG_DIR", home.join(".claude")),
        codex: folder("CODEX_HOME", home.join(".codex")),
        gemini: home.join(".gemini"),
        opencode: folder("XDG_CONFIG_HOME", home.join(".config")).join("opencode"),
        project: config::root(&here),
    })
}

fn read_record(path: &Path) -> Result<Record, Error> {
    let Some(bytes) = fs::read_if_exists(path).map_err(Error::failed)? else { return Ok(Record::default()) };
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::usage(format_args!("{}: cannot be read ({error})", path.display()))
            .hint("delete it: what is installed is then taken for your own and left as it is")
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_folders(folder).map_err(Error::failed)?;
    }
    fs::write_atomic(path, text.as_bytes(), fs::Durability::Fast).map_err(Error::failed)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::failed(format_args!("cannot {what} {}: {error}", path.display()))
}
