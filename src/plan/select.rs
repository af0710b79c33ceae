//! Which items run: roles, what is included, `--only` and `--from`.

use super::{Options, codes};
use crate::document::{Diagnostic, Document, Role, Severity};

/// What is true of each item, by index.
pub(super) struct Selection {
    /// It is a task, as included; done or not, selected or not.
    pub(super) work: Vec<bool>,
    /// It is a task and selected; done or not.
    pub(super) chosen: Vec<bool>,
}

impl Selection {
    /// Whether it is left to run.
    pub(super) fn runs(&self, doc: &Document, index: usize) -> bool {
        self.chosen[index] && !doc.items[index].checked
    }
}

/// Says which items run.
pub(super) fn select(doc: &Document, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Selection {
    let items = 0..doc.items.len();
    let work: Vec<bool> =
        items.map(|index| doc.is_work(index, options.include_notes, options.include_optional)).collect();
    let mut chosen = work.clone();
    if !options.only.is_empty() {
        chosen.fill(false);
        for name in &options.only {
            for index in named(doc, &work, "--only", name, diagnostics) {
                chosen[index] = work[index];
            }
        }
    }
    if let Some(name) = &options.from {
        let first = named(doc, &work, "--from", name, diagnostics).into_iter().min().unwrap_or(0);
        chosen[..first].fill(false);
    }
    for &index in options.also.iter().filter(|index| **index < work.len()) {
        chosen[index] = work[index];
    }
    Selection { work, chosen }
}

/// The items that a name means, with an error where that is none or none that runs.
fn named(doc: &Document, work: &[bool], option: &str, name: &str, diagnostics: &mut Vec<Diagnostic>) -> Vec<usize> {
    let mut error = |code, message, help: &str| {
        let help = Some(help.to_owned());
        diagnostics.push(Diagnostic { severity: Severity::Error, code, message, span: 0..0, help });
    };
    let Some(items) = doc.select(name) else {
        let message = format!("{option} {name}: there is no such task, parent or heading");
        error(codes::UNKNOWN_TASK, message, "`spec tasks` lists them; a task without an id is `:INDEX`");
        return Vec::new();
    };
    if !items.iter().any(|&index| work[index]) {
        let message = match items[..] {
            [index] => format!("{option} {name}: it would not run: {}", why_not(doc.items[index].role)),
            _ => format!("{option} {name}: no task of it would run"),
        };
        error(codes::SELECTED_NOT_RUN, message, "name a task, or include what is left out");
    }
    items
}

/// Why an item of a role that is not included does not run.
pub(super) fn why_not(role: Role) -> &'static str {
    match role {
        Role::Held => "it is set aside (`[~]`)",
        Role::Optional => "it is optional, see --include-optional",
        Role::Note => "it is a note, see --include-notes",
        Role::Parent => "nothing below it runs",
        Role::Task => "it is not selected by --only or --from",
    }
}
