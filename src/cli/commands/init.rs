//! `spec init`: makes a new spec from the templates. What is there already is never overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::cli::args::InitArgs;
use crate::cli::{Error, config, exit, output};
use crate::store::fs::{Durability, write_new};

/// The files of a spec, by name.
const SPEC: [(&str, &str); 3] = [
    ("spec.md", include_str!("../../../templates/spec.md")),
    ("tasks.md", include_str!("../../../templates/tasks.md")),
    (".progress.md", include_str!("../../../templates/progress.md")),
];

/// The settings of a repository.
const SETTINGS: &str = include_str!("../../../templates/spec.toml");

/// Makes `specs/NAME/` in the current folder, and `spec.toml` where there is none for it yet.
pub fn run(args: &InitArgs) -> Result<u8, Error> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    if let Some(name) = &args.name {
        check_name(name)?;
        let folder = Path::new("specs").join(name);
        files.extend(SPEC.iter().map(|(file, text)| (folder.join(file), text.replace("{{name}}", name))));
    }
    if config::find(Path::new("tasks.md")).is_none() {
        files.push((PathBuf::from(config::NAME), SETTINGS.to_owned()));
    }
    refuse_others(&files)?;
    let mut said = Vec::new();
    for (path, text) in &files {
        let failed =
            |error: &dyn std::fmt::Display| Error::usage(format_args!("cannot make {}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let made = write_new(path, text.as_bytes(), Durability::Fast).map_err(|error| failed(&error))?;
        said.push(format!("{} {}", if made { "made" } else { "kept" }, path.display()));
    }
    if files.is_empty() {
        said.push("nothing to make: there is a spec.toml; give a name to make a spec".to_owned());
    }
    if let Some(name) = &args.name {
        said.push(format!("\nwrite the tasks into specs/{name}/tasks.md, then: spec check {name}"));
    }
    output::print(&(said.join("\n") + "\n"))?;
    Ok(exit::DONE)
}

/// A name is one folder below specs/, visible and easy to type.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(plain) {
        return Err(Error::usage(format_args!("'{name}' cannot be the name of a spec"))
            .hint("a name has letters, digits, '-', '_' and '.', and begins with a letter or a digit"));
    }
    Ok(())
}

/// Shows how what is there differs from what would be made, if it does, and refuses to go on.
fn refuse_others(files: &[(PathBuf, String)]) -> Result<(), Error> {
    let mut others = Vec::new();
    for (path, text) in files {
        // Whatever is not simply absent is left to whoever made it, be it a folder or a broken link.
        if fs::symlink_metadata(path).is_err() {
            continue;
        }
        let there = fs::read(path).unwrap_or_default();
        if there == text.as_bytes() {
            continue;
        }
        let there = String::from_utf8_lossy(&there);
        let shown = path.display().to_string();
        let diff = TextDiff::from_lines(there.as_ref(), text.as_str());
        output::print(&diff.unified_diff().header(&shown, "template").to_string())?;
        others.push(shown);
    }
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format_args!("there already, and different: {}", others.join(", ")))
        .hint("nothing was changed; choose another name, or move what is there away"))
}
