//! `spec check`: says what is wrong or doubtful in task lists, and what each item was taken for.

mod fix;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::tasks::{DiagnosticRow, role};
use crate::cli::args::{CheckArgs, Format, Selection};
use crate::cli::settings::RunSettings;
use crate::cli::target::{self, List};
use crate::cli::{Error, exit, output, warn};
use crate::document::{Diagnostic, Role, Severity};
use crate::{plan, report};

/// How often a diagnostic of one code is shown in full to a person.
const SHOWN: usize = 10;

/// How wide diagnostics are drawn at most.
const WIDTH: usize = 100;

/// Does it and gives the exit code.
pub fn run(args: &CheckArgs) -> Result<u8, Error> {
    let paths: Vec<PathBuf> = match &args.files[..] {
        [] => vec![target::find(None)?],
        files => files.iter().map(|file| target::find(Some(file))).collect::<Result<_, _>>()?,
    };
    if args.watch {
        return watch::watch(&paths, args.format);
    }
    let mut mended = Vec::new();
    if args.fix {
        mended = fix::fix(&paths, args.dry_run)?;
        if args.format == Format::Human {
            output::print(&mended.iter().map(|list| list.shown(args.dry_run)).collect::<String>())?;
        }
    }
    let mut warnings = BTreeSet::new();
    let checked = paths.iter().map(|path| check(path, &mut warnings)).collect::<Result<Vec<_>, _>>()?;
    for warning in &warnings {
        warn(warning);
    }
    match args.format {
        Format::Human => output::print(&all_human(&checked, output::columns()))?,
        Format::Json => {
            let mut lists: Vec<CheckedList> = checked.iter().map(wire).collect();
            for (list, mended) in lists.iter_mut().zip(mended) {
                list.mended = mended.rows;
            }
            output::print_json(&Check { schema: "spec.check/1", lists })?;
        }
    }
    let errors = checked.iter().flat_map(|list| &list.diagnostics).any(|found| found.severity == Severity::Error);
    // The process ends here: taking a hundred thousand tasks apart first would only take time.
    std::mem::forget(checked);
    Ok(if errors { exit::FAILED } else { exit::DONE })
}

/// A list with what parsing and planning say about it, in the order of the file. What is planned is what `spec run` would
/// run, by the settings that count for the list.
fn check(path: &Path, warnings: &mut BTreeSet<String>) -> Result<List, Error> {
    let mut list = target::load(Some(path))?;
    let (settings, said) = RunSettings::resolve_plan(&Selection::default(), &list.path)?;
    warnings.extend(said);
    list.diagnostics.extend(plan::build(&list.document, &settings.plan_options()).1);
    list.diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    Ok(list)
}

/// Everything for people, one list after the other.
fn all_human(lists: &[List], columns: usize) -> String {
    lists.iter().map(|list| human(list, columns.min(WIDTH))).collect::<Vec<_>>().join("\n")
}

/// What `spec check --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Check {
    /// `spec.check/1`.
    pub schema: &'static str,
    /// One entry for each list that was checked.
    pub lists: Vec<CheckedList>,
}

/// One list that was checked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckedList {
    /// The list.
    pub path: String,
    /// How many errors it has.
    pub errors: usize,
    /// How many warnings it has.
    pub warnings: usize,
    /// How many items were taken for what.
    pub roles: Vec<RoleCount>,
    /// What `--fix` mended, or with `--dry-run` would mend, before the rest was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<MendRow>,
    /// Everything found, in the order of the file.
    pub diagnostics: Vec<DiagnosticRow>,
}

/// One mend.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MendRow {
    /// The line.
    pub line: usize,
    /// The code of the diagnostic that it mends.
    pub code: &'static str,
    /// The line before.
    pub old: String,
    /// The line with all of its mends.
    pub new: String,
}

/// How many items were taken for something, and where they are.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RoleCount {
    /// `task`, `parent`, `note`, `optional` or `held`.
    pub role: &'static str,
    /// How many of them there are.
    pub count: usize,
    /// Their lines.
    pub lines: Vec<usize>,
}

fn wire(list: &List) -> CheckedList {
    CheckedList {
        path: list.path.to_string_lossy().into_owned(),
        errors: count(&list.diagnostics, Severity::Error),
        warnings: count(&list.diagnostics, Severity::Warning),
        roles: roles(list),
        mended: Vec::new(),
        diagnostics: list.diagnostics.iter().map(|found| DiagnosticRow::new(&list.document, found)).collect(),
    }
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
}

fn roles(list: &List) -> Vec<RoleCount> {
    let roles = [Role::Task, Role::Parent, Role::Note, Role::Optional, Role::Held];
    let found = roles.map(|kind| {
        let items = list.document.items.iter().filter(|item| item.role == kind);
        let lines: Vec<usize> = items.map(|item| item.line).collect();
        RoleCount { role: role(kind), count: lines.len(), lines }
    });
    found.into_iter().filter(|role| role.count > 0).collect()
}

/// Diagnostics one by one, what the items were taken for, and the counts.
fn human(list: &List, width: usize) -> String {
    let path = list.path.display().to_string();
    let mut out = String::new();
    let mut of_code: HashMap<&str, usize> = HashMap::new();
    for diagnostic in &list.diagnostics {
        let seen = of_code.entry(diagnostic.code).or_default();
        *seen += 1;
        // Errors are all shown: each of them keeps the list from being run.
        if *seen <= SHOWN || diagnostic.severity == Severity::Error {
            out += &report::diagnostics::render(&path, &list.document, diagnostic, width);
            out.push('\n');
        }
    }
    let mut more: Vec<_> = of_code.into_iter().filter(|&(_, seen)| seen > SHOWN).collect();
    more.sort_unstable();
    for (code, seen) in more {
        writeln!(out, "{code}: {seen} in all (`--format json` lists every one)\n").ok();
    }
    writeln!(out, "{path}:").ok();
    for RoleCount { role, count, lines } in roles(list) {
        let name = if count == 1 { role.to_owned() } else { plural(role) };
        let place = if role == "task" { String::new() } else { format!(": {}", ranges(&lines)) };
        writeln!(out, "  {count} {name}{place}").ok();
    }
    let (errors, warnings) = (count(&list.diagnostics, Severity::Error), count(&list.diagnostics, Severity::Warning));
    writeln!(out, "  {errors} error{}, {warnings} warning{}", s(errors), s(warnings)).ok();
    out
}

fn plural(role: &str) -> String {
    match role {
        "held" | "optional" => role.to_owned(),
        _ => format!("{role}s"),
    }
}

const fn s(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// `lines 3-5, 9`; at most a dozen ranges.
fn ranges(lines: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &line in lines {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => ranges.push((line, line)),
        }
    }
    let shown = ranges.iter().take(12).map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if ranges.len() > 12 { ", ..." } else { "" };
    format!("line{} {shown}{more}", s(lines.len()))
}
