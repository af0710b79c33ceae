//! `spec check --fix`: writes the safe mends of lists and says which.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::MendRow;
use crate::cli::Error;
use crate::cli::commands::held::{diff, hold_list, rewrite_list};
use crate::cli::target::{self, List};
use crate::document::{Mend, mended, mends};

/// What was mended in a list.
pub(super) struct Mended {
    path: PathBuf,
    /// One row a mend, in the order of the file.
    pub(super) rows: Vec<MendRow>,
    diff: String,
}

/// Mends lists, or with `dry_run` only finds out what would be mended. Where a run holds one of them none is touched.
pub(super) fn fix(paths: &[PathBuf], dry_run: bool) -> Result<Vec<Mended>, Error> {
    let mut all = Vec::new();
    let mut held = Vec::new();
    for path in paths {
        let list = target::load(Some(path))?;
        let mends = mends(&list.document, &list.diagnostics, &path.to_string_lossy());
        let new = mended(&list.document, &mends);
        if !dry_run && !mends.is_empty() {
            held.push(hold_list(path)?);
        }
        all.push((list, mends, new));
    }
    for (list, mends, new) in &all {
        if !dry_run && !mends.is_empty() {
            rewrite_list(&list.path, &list.document.source, new)?;
        }
    }
    drop(held);
    Ok(all.into_iter().map(|(list, mends, new)| told(&list, &mends, &new)).collect())
}

fn told(list: &List, mends: &[Mend], new: &[u8]) -> Mended {
    let source = &list.document.source;
    // No mend makes or takes a line end: the lines of both have the same numbers.
    let (old_lines, new_lines) = (lines(source), lines(new));
    let row = |mend: &Mend| {
        let line = list.document.position(mend.edit.at.start).0;
        let text = |lines: &[&[u8]]| lines.get(line - 1).map(|line| String::from_utf8_lossy(line).into_owned());
        MendRow {
            line,
            code: mend.code,
            old: text(&old_lines).unwrap_or_default(),
            new: text(&new_lines).unwrap_or_default(),
        }
    };
    Mended { path: list.path.clone(), rows: mends.iter().map(row).collect(), diff: diff(&list.path, source, new) }
}

/// The lines of a text without their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}

impl Mended {
    /// For people: the diff, and how many mends of which kind.
    pub(super) fn shown(&self, dry_run: bool) -> String {
        let path = self.path.display();
        if self.rows.is_empty() {
            return format!("{path}: nothing to mend\n\n");
        }
        let mut of_code: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &self.rows {
            *of_code.entry(row.code).or_default() += 1;
        }
        let counts: Vec<String> = of_code.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let verb = if dry_run { "would mend" } else { "mended" };
        let mut text = self.diff.clone();
        writeln!(text, "{path}: {verb} {}\n", counts.join(", ")).ok();
        text
    }
}
