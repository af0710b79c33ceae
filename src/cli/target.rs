//! Which list is meant: FILE as typed becomes the path of a task list, and its bytes. Everything wrong with it is found
//! here, before anything else happens.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Error, config};
use crate::document::{self, Diagnostic, Document, Severity};
use crate::store::paths::{HOMES, homes, homes_of_ralph};

/// The largest list that is read.
pub const LIMIT: u64 = 256 * 1024 * 1024;

/// The name of the list in the folder of a spec.
const LIST: &str = "tasks.md";

/// A task list that was found and read.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is, as a person would write it from here.
    pub path: PathBuf,
    /// Its bytes.
    pub source: Arc<[u8]>,
}

/// Finds and reads the list that FILE means.
pub fn open(file: Option<&Path>) -> Result<Target, Error> {
    let path = find(file)?;
    let source = read(&path)?;
    Ok(Target { path, source })
}

/// A list that was read and parsed.
#[derive(Debug)]
pub struct List {
    /// Where it is, as a person would write it from here.
    pub path: PathBuf,
    /// What is in it.
    pub document: Document,
    /// What the parser says about it.
    pub diagnostics: Vec<Diagnostic>,
}

/// Finds, reads and parses the list that FILE means.
pub fn load(file: Option<&Path>) -> Result<List, Error> {
    let Target { path, source } = open(file)?;
    let (document, diagnostics) = document::parse(source, &path.to_string_lossy());
    Ok(List { path, document, diagnostics })
}

impl List {
    /// An error that names everything that keeps the list from being run, with its line; `planned` is what planning
    /// said about it.
    pub fn refuse_errors(&self, planned: &[Diagnostic]) -> Result<(), Error> {
        /// More errors than this are only counted.
        const SHOWN: usize = 20;
        let shown = self.path.display();
        let all = self.diagnostics.iter().chain(planned);
        let errors: Vec<&Diagnostic> = all.filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
        let place = |error: &Diagnostic| match error.span.end {
            0 => format!("{shown}: {}", error.message),
            _ => format!("{shown}:{}: {}", self.document.position(error.span.start).0, error.message),
        };
        let error = match errors[..] {
            [] => return Ok(()),
            [error] => Error::usage(place(error)),
            _ => {
                let mut lines: Vec<_> =
                    errors.iter().take(SHOWN).map(|error| format!("\n  {}", place(error))).collect();
                if errors.len() > SHOWN {
                    lines.push(format!("\n  and {} more, see `spec check`", errors.len() - SHOWN));
                }
                let count = errors.len();
                Error::usage(format_args!("{count} errors keep this list from being run:{}", lines.concat()))
            }
        };
        let mut helps: Vec<&str> = errors.iter().filter_map(|error| error.help.as_deref()).collect();
        helps.dedup();
        Err(helps.into_iter().take(3).fold(error, Error::hint))
    }
}

/// Finds the list that FILE means.
pub fn find(file: Option<&Path>) -> Result<PathBuf, Error> {
    match file {
        Some(file) => named(file),
        None => unnamed(),
    }
}

/// A list, a folder with one, or the name of a spec.
fn named(file: &Path) -> Result<PathBuf, Error> {
    let shown = file.display();
    if file.as_os_str().is_empty() {
        return Err(
            Error::usage("FILE is empty").hint("give a task list, a folder with a tasks.md, or the name of a spec")
        );
    }
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => {
            let list = file.join(LIST);
            if exists(&list) {
                return Ok(list);
            }
            one_of(specs_named(file), file)?.ok_or_else(|| {
                Error::usage(format_args!("{shown}: there is no {LIST} in this folder"))
                    .hint("give the task list itself, or make a spec with `spec init NAME`")
            })
        }
        Ok(_) => Ok(file.to_path_buf()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Ok(to) = fs::read_link(file) {
                return Err(dangling(file, &to));
            }
            one_of(specs_named(file), file)?.ok_or_else(|| {
                Error::usage(format_args!("{shown}: no such task list, folder or spec"))
                    .hint(format_args!("specs are looked for under {}", HOMES.join(", ")))
            })
        }
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Without FILE: `./tasks.md`, the spec that `.current-spec` in a folder of specs names, or the only one there is.
fn unnamed() -> Result<PathBuf, Error> {
    let list = PathBuf::from(LIST);
    if exists(&list) {
        return Ok(list);
    }
    for base in bases() {
        // smart-ralph keeps it in the first of its folders.
        let own = homes_of_ralph(&base).into_iter().next();
        for home in own.iter().map(String::as_str).chain([HOMES[0]]) {
            let pointer = base.join(home).join(".current-spec");
            let Ok(text) = fs::read_to_string(&pointer) else { continue };
            let name = text.lines().next().unwrap_or_default().trim();
            if name.is_empty() {
                continue;
            }
            let places = [base.join(home).join(name).join(LIST), base.join(name).join(LIST)];
            return places.into_iter().find(|list| exists(list)).ok_or_else(|| {
                Error::usage(format_args!("{} names '{name}', which has no {LIST}", pointer.display()))
                    .hint("give the task list, or put the name of a spec into that file")
            });
        }
    }
    let mut lists: Vec<PathBuf> = Vec::new();
    for base in bases() {
        for home in homes(&base) {
            let Ok(entries) = fs::read_dir(base.join(home)) else { continue };
            lists.extend(entries.flatten().map(|entry| entry.path().join(LIST)).filter(|list| exists(list)));
        }
        if !lists.is_empty() {
            break;
        }
    }
    lists.sort();
    match lists.len() {
        0 => Err(Error::usage("no task list here")
            .hint("give one: `spec run path/to/tasks.md`, or make a spec with `spec init NAME`")),
        1 => Ok(lists.remove(0)),
        _ => Err(several("there is more than one spec here", &lists)),
    }
}

/// The lists of all specs of that name.
fn specs_named(name: &Path) -> Vec<PathBuf> {
    if name.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Vec::new();
    }
    for base in bases() {
        let found: Vec<_> =
            homes(&base).iter().map(|home| base.join(home).join(name).join(LIST)).filter(|list| exists(list)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn one_of(mut lists: Vec<PathBuf>, name: &Path) -> Result<Option<PathBuf>, Error> {
    match lists.len() {
        0 | 1 => Ok(lists.pop()),
        _ => Err(several(&format!("'{}' is the name of more than one spec", name.display()), &lists)),
    }
}

fn several(what: &str, lists: &[PathBuf]) -> Error {
    let shown: Vec<_> = lists.iter().map(|list| list.display().to_string()).collect();
    Error::usage(format_args!("{what}:\n  {}", shown.join("\n  "))).hint("give the one you mean")
}

/// Where folders of specs may stand: here, and above up to the root of the repository.
fn bases() -> Vec<PathBuf> {
    let mut bases = vec![PathBuf::new()];
    if let Ok(current) = std::env::current_dir() {
        let root = config::root(&current);
        let above = current.ancestors().skip(1).take_while(|above| above.starts_with(&root));
        bases.extend(above.enumerate().map(|(up, _)| PathBuf::from("../".repeat(up + 1))));
    }
    bases
}

/// Whether something is there by that name, be it a broken link: what is wrong with it is said later.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Reads a list, or says why it cannot be one.
pub fn read(path: &Path) -> Result<Arc<[u8]>, Error> {
    let shown = path.display();
    let wrong = |error: io::Error| unreadable(path, &error);
    let about = fs::metadata(path).map_err(wrong)?;
    if !about.is_file() {
        return Err(
            Error::usage(format_args!("{shown}: not a regular file")).hint("give a markdown file with checkboxes")
        );
    }
    let too_large = || {
        Error::usage(format_args!("{shown}: larger than {} MB", LIMIT / 1024 / 1024))
            .hint("give a task list, or split it: no list needs to be that large")
    };
    if about.len() > LIMIT {
        return Err(too_large());
    }
    let mut source = Vec::new();
    fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut source)).map_err(wrong)?;
    if source.len() as u64 > LIMIT {
        return Err(too_large());
    }
    if source.is_empty() {
        return Err(Error::usage(format_args!("{shown}: the file is empty"))
            .hint("write tasks as `- [ ] 1.1 What to do`, or make a spec with `spec init NAME`"));
    }
    if let Some(at) = memchr::memchr(0, &source) {
        let line = 1 + memchr::memchr_iter(b'\n', &source[..at]).count();
        return Err(Error::usage(format_args!("{shown}:{line}: not a text file, there is a NUL byte in it"))
            .hint("save it as UTF-8"));
    }
    Ok(source.into())
}

fn dangling(path: &Path, to: &Path) -> Error {
    Error::usage(format_args!("{}: a link to {}, which is not there", path.display(), to.display()))
        .hint("give the task list itself, or mend the link")
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(to) => dangling(path, &to),
            Err(_) => Error::usage(format_args!("{shown}: no such file")),
        },
        io::ErrorKind::PermissionDenied => Error::usage(format_args!("{shown}: no permission to read it"))
            .hint("make it readable, for example with `chmod u+r`"),
        _ if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) => {
            Error::usage(format_args!("{shown}: a link that leads back to itself"))
                .hint("give the task list itself, or mend the link")
        }
        _ => Error::usage(format_args!("cannot read {shown}: {error}")),
    }
}
