//! `spec.toml`: found upwards from the list to the repository's root, read by hand so that every message has its line.
//! A key nobody knows is a warning, a bad value an error.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use super::settings::{KEYS, Raw, RunSettings};
use crate::git;
use crate::prompt::{TEMPLATE_NAMES, Templates};

/// The name of the file.
pub const NAME: &str = "spec.toml";

/// The nearest `spec.toml`: in the folder of the list or above it, up to the root of the repository; without a
/// repository up to the current folder.
#[must_use]
pub fn find(list: &Path) -> Option<PathBuf> {
    let full = std::path::absolute(list).ok()?;
    let folder = full.parent()?;
    let top = root(folder);
    folder
        .ancestors()
        .take_while(|above| above.starts_with(&top))
        .map(|above| above.join(NAME))
        .find(|file| file.is_file())
}

/// Where a project's own templates of prompts are looked for, where it names no other folder.
const PROMPTS: &str = ".spec-prompts";

/// The templates of prompts: the project's own where it has them, else the built-in ones. `dir` is the folder that the
/// project names, relative to the root of the repository. Adds warnings about files there that mean nothing.
pub(super) fn templates(dir: Option<&str>, list: &Path, warnings: &mut Vec<String>) -> Result<Templates, Error> {
    let full = std::path::absolute(list).map_err(Error::usage)?;
    let folder = root(full.parent().unwrap_or(&full)).join(dir.unwrap_or(PROMPTS));
    let shown = |path: &Path| shown(path).display().to_string();
    let cannot =
        |path: &Path, error: &std::io::Error| Error::usage(format_args!("cannot read {}: {error}", shown(path)));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && dir.is_none() => return Ok(Templates::default()),
        Err(error) => {
            return Err(cannot(&folder, &error).hint("prompt.dir names a folder below the root of the repository"));
        }
    };
    let mut own = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| cannot(&folder, &error))?.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if TEMPLATE_NAMES.contains(&name.as_str()) {
            let text = std::fs::read_to_string(&path).map_err(|error| cannot(&path, &error))?;
            own.push((name, shown(&path), text));
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            let names = TEMPLATE_NAMES.join(", ");
            warnings.push(format!("{}: is none of {names} and is ignored", shown(&path)));
        }
    }
    warnings.sort();
    let of_name =
        |name: &str| own.iter().find(|(own, ..)| own == name).map(|(_, path, text)| (path.clone(), text.clone()));
    Templates::read(of_name).map_err(Error::usage)
}

/// A path as it is seen from here.
fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_path_buf()
}

/// The root of the repository around a folder; without one the current folder if that is above it, else itself.
#[must_use]
pub fn root(folder: &Path) -> PathBuf {
    if let Some(root) = git::root_above(folder) {
        return root.to_path_buf();
    }
    match std::env::current_dir() {
        Ok(current) if folder.starts_with(&current) => current,
        _ => folder.to_path_buf(),
    }
}

/// Lays what the file says over the settings. Gives warnings about keys that mean nothing.
pub(super) fn apply(settings: &mut RunSettings, file: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::usage(format_args!("cannot read {}: {error}", file.display())))?;
    let warnings = apply_text(settings, &text, &shown(file).display().to_string())?;
    // A path of a program is meant from where it stands, wherever tasks then work.
    for program in settings.agents.values_mut().filter_map(|agent| agent.program.as_mut()) {
        let beside = file.parent().filter(|_| program.contains('/')).map(|folder| folder.join(&*program));
        if let Some(full) = beside.and_then(|path| std::path::absolute(path).ok()) {
            *program = full.to_string_lossy().into_owned();
        }
    }
    Ok(warnings)
}

fn apply_text(settings: &mut RunSettings, text: &str, name: &str) -> Result<Vec<String>, Error> {
    let line = |at: usize| 1 + text[..at].matches('\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Error::usage(format_args!("{name}:{}: not valid TOML: {}", line(at), error.message()))
    })?;
    let mut reading = Reading { settings, name, line: &line, warnings: Vec::new() };
    reading.table(&[], table.get_ref())?;
    Ok(reading.warnings)
}

/// A file on its way into the settings.
struct Reading<'a> {
    settings: &'a mut RunSettings,
    /// The file, as it is shown.
    name: &'a str,
    /// The line of a place.
    line: &'a dyn Fn(usize) -> usize,
    warnings: Vec<String>,
}

impl Reading<'_> {
    /// The entries of the table under these names, and of those in it.
    fn table(&mut self, names: &[&str], entries: &DeTable<'_>) -> Result<(), Error> {
        for (key, value) in in_order(entries) {
            let names = [names, &[key.get_ref()]].concat();
            let quoted = |name: &&str| if name.contains('.') { format!("\"{name}\"") } else { (*name).to_owned() };
            let path = names.iter().map(quoted).collect::<Vec<_>>().join(".");
            let (name, line) = (self.name, self.line);
            let wrong = |why: String, at: usize| Error::usage(format_args!("{name}:{}: {path} {why}", line(at)));
            if let (true, Some(tables)) = (leads(&names), tables(value.get_ref())) {
                for entries in tables {
                    self.settings.begin(&names);
                    self.table(&names, entries)?;
                }
            } else if let (true, DeValue::Table(entries)) = (leads(&names), value.get_ref()) {
                self.table(&names, entries)?;
                self.settings.check(&names).map_err(|why| wrong(why, key.span().start))?;
            } else if is_key(&names) {
                raw(value.get_ref())
                    .and_then(|raw| self.settings.set_named(&names, &raw))
                    .map_err(|why| wrong(why, value.span().start))?;
            } else if leads(&names) {
                let line = line(key.span().start);
                self.warnings
                    .push(format!("{name}:{line}: {path} is a table of settings; this value of it is ignored"));
            } else {
                self.warnings.push(unknown(name, line(key.span().start), &path));
            }
        }
        Ok(())
    }
}

/// Whether a setting has these names.
fn is_key(names: &[&str]) -> bool {
    KEYS.iter().any(|(key, _)| beyond(key, names) == Some(0))
}

/// Whether the names of settings begin with these.
fn leads(names: &[&str]) -> bool {
    KEYS.iter().any(|(key, _)| beyond(key, names).is_some_and(|more| more > 0))
}

/// How many more names a key has, in which `*` is any name, where it begins with these.
fn beyond(key: &str, names: &[&str]) -> Option<usize> {
    let known: Vec<_> = key.split('.').collect();
    let begins = known.iter().zip(names).all(|(known, name)| *known == "*" || known == name);
    known.len().checked_sub(names.len()).filter(|_| begins)
}

/// The tables of `[[NAME]]`.
fn tables<'a, 'i>(value: &'a DeValue<'i>) -> Option<Vec<&'a DeTable<'i>>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(|item| item.get_ref().as_table()).collect()
}

/// A key and its value, with their places.
type Entry<'a, 'i> = (&'a Spanned<Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

/// The entries of a table as they stand in the file.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn unknown(name: &str, line: usize, key: &str) -> String {
    // What is said of one of several tables is no help elsewhere.
    let of_section = |section: &&str, known: &str| known.starts_with(*section) && !key.starts_with(*section);
    let elsewhere = |known: &&str| ["models.", "prepare."].iter().any(|section| of_section(section, known));
    let known = KEYS.iter().map(|(known, _)| *known).filter(|known| !elsewhere(known) && similar_names(known, key));
    let near = known.min_by_key(|known| known.len());
    // With the names of the key where those are free to choose.
    let named = |near: &str| {
        let names = near.split('.').zip(key.split('.').chain(std::iter::repeat("NAME")));
        names.map(|(known, name)| if known == "*" { name } else { known }).collect::<Vec<_>>().join(".")
    };
    let help = near.map(|near| format!(" (did you mean {}?)", named(near))).unwrap_or_default();
    format!("{name}:{line}: {key} is not a setting and is ignored{help}")
}

/// Whether a key is most likely a misspelling of a known one, or the known one without its section.
fn similar_names(known: &str, key: &str) -> bool {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().replace('-', "_");
    let (known, key) = (last(known), last(key));
    similar::TextDiff::from_chars(known.as_str(), key.as_str()).ratio() > 0.8
}

fn raw(value: &DeValue<'_>) -> Result<Raw, String> {
    match value {
        DeValue::String(text) => Ok(Raw::Text(text.to_string())),
        DeValue::Boolean(flag) => Ok(Raw::Flag(*flag)),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map(Raw::Number)
            .map_err(|_| "must be a whole number of 0 or more".to_owned()),
        // As it is written: the setting reads it.
        DeValue::Float(number) => Ok(Raw::Text(number.as_str().to_owned())),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map(Raw::List)
            .ok_or_else(|| "must be a list of texts".to_owned()),
        other => Err(format!("must not be a {}", other.type_str())),
    }
}
