//! `spec init`: makes a new spec from the templates. What is there already is never overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::cli::args::{InitArgs, Template};
use crate::cli::{Error, config, exit, output};
use crate::store::fs::{Durability, write_new};
use crate::store::paths::homes_of_ralph;

/// The pages of one template, in the order in which they are filled in: where each goes in the folder of the spec, and
/// its text. `{{name}}` stands for the name of the spec, in both.
type Pages = &'static [(&'static str, &'static str)];

/// A file of `templates/specs/`.
macro_rules! page {
    ($file:literal) => {
        include_str!(concat!("../../../templates/specs/", $file))
    };
}

const RALPH: Pages = &[
    ("research.md", page!("ralph/research.md")),
    ("requirements.md", page!("ralph/requirements.md")),
    ("design.md", page!("ralph/design.md")),
    ("tasks.md", page!("ralph/tasks.md")),
    (".progress.md", page!("progress.md")),
];
const SPECKIT: Pages = &[
    ("spec.md", page!("speckit/spec.md")),
    ("research.md", page!("speckit/research.md")),
    ("plan.md", page!("speckit/plan.md")),
    ("tasks.md", page!("speckit/tasks.md")),
];
const KIRO: Pages = &[
    ("requirements.md", page!("kiro/requirements.md")),
    ("research.md", page!("kiro/research.md")),
    ("design.md", page!("kiro/design.md")),
    ("tasks.md", page!("kiro/tasks.md")),
];
/// OpenSpec has no page for research: what was found out stands in the Context of its design.
const OPENSPEC: Pages = &[
    ("proposal.md", page!("openspec/proposal.md")),
    ("specs/{{name}}/spec.md", page!("openspec/spec.md")),
    ("design.md", page!("openspec/design.md")),
    ("tasks.md", page!("openspec/tasks.md")),
];
const PLAIN: Pages = &[
    ("research.md", page!("plain/research.md")),
    ("requirements.md", page!("plain/requirements.md")),
    ("design.md", page!("plain/design.md")),
    ("tasks.md", page!("plain/tasks.md")),
];

/// The settings of a repository.
const SETTINGS: &str = include_str!("../../../templates/spec.toml");

/// Where the tool of a template keeps its specs, and the pages of one.
const fn layout(template: Template) -> (&'static str, Pages) {
    match template {
        Template::Ralph => ("specs", RALPH),
        Template::Speckit => ("specs", SPECKIT),
        Template::Kiro => (".kiro/specs", KIRO),
        Template::Openspec => ("openspec/changes", OPENSPEC),
        Template::Plain => ("specs", PLAIN),
    }
}

/// Makes the folder of a spec below the current one, and `spec.toml` where there is none for it yet.
pub fn run(args: &InitArgs) -> Result<u8, Error> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let mut next = String::new();
    if let Some(name) = &args.name {
        check_name(name)?;
        let (home, pages) = layout(args.template);
        // smart-ralph makes new specs in the first of the folders that its settings have.
        let own = homes_of_ralph(Path::new("")).into_iter().next().filter(|_| args.template == Template::Ralph);
        let home = own.as_deref().unwrap_or(home);
        let folder = if args.template == Template::Speckit { numbered(name) } else { name.clone() };
        let path = |page: &str| Path::new(home).join(&folder).join(page.replace("{{name}}", name));
        files.extend(pages.iter().map(|(page, text)| (path(page), text.replace("{{name}}", name))));
        let visible =
            pages.iter().map(|(page, _)| page.replace("{{name}}", name)).filter(|page| !page.starts_with('.'));
        let order = visible.collect::<Vec<_>>().join(", ");
        next = format!(
            "\nfill in, in this order: {order}\nthen: spec check {folder}, spec plan {folder}, spec run {folder}"
        );
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
    if !next.is_empty() {
        said.push(next);
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

/// The folder of a spec as spec-kit names it, `001-NAME`: the one that is there, else with the next number. A name that
/// has a number already is left as it is.
fn numbered(name: &str) -> String {
    let number = |folder: &str| -> Option<(u32, bool)> {
        let (digits, rest) = folder.split_once('-')?;
        Some((digits.parse().ok()?, rest == name))
    };
    if number(name).is_some() {
        return name.to_owned();
    }
    let entries = fs::read_dir("specs").into_iter().flatten().flatten();
    let folders: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let own = folders.iter().filter(|folder| number(folder).is_some_and(|(_, own)| own)).min();
    let highest = folders.iter().filter_map(|folder| number(folder)).map(|(taken, _)| taken).max().unwrap_or(0);
    own.cloned().unwrap_or_else(|| format!("{:03}-{name}", highest.saturating_add(1)))
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
