//! What tasks say they depend on, between tasks: a parent's dependencies are those of all its tasks, and depending on a
//! parent is depending on all its tasks. What cannot be satisfied is an error here, before anything starts.

use std::collections::HashSet;

use super::select::{Selection, why_not};
use super::{Mode, codes};
use crate::document::{Dependency, Diagnostic, Document, Role, Severity};

/// More edges than this are an error instead of a plan that does not fit into memory.
const LIMIT: usize = 2_000_000;

/// `to` depends on `from`, both tasks.
pub(super) struct Need<'a> {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where that is said.
    pub(super) said: &'a Dependency,
}

/// Whether any item of the list depends on anything.
pub(super) fn declared(doc: &Document) -> bool {
    doc.items.iter().any(|item| item.fields.depends.iter().any(|said| !said.items.is_empty()))
}

/// Everything that tasks depend on, in order of the tasks that wait.
pub(super) fn needs<'a>(
    doc: &'a Document,
    selection: &Selection,
    mode: Mode,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Need<'a>> {
    let mut needs = Vec::new();
    let mut complaints = Complaints { doc, seen: HashSet::new(), diagnostics };
    for to in (0..doc.items.len()).filter(|&index| selection.work[index]) {
        for owner in std::iter::once(to).chain(doc.parents(to)) {
            for said in &doc.items[owner].fields.depends {
                for &target in &said.items {
                    // A parent that names what is below it says nothing new.
                    if owner != to && is_within(doc, target, owner) {
                        continue;
                    }
                    let parent = doc.items[target].role == Role::Parent;
                    let below = if parent { meant(doc, selection, target) } else { Vec::new() };
                    let meant = if parent { below.as_slice() } else { std::slice::from_ref(&target) };
                    for &from in meant {
                        complaints.about(selection, mode, to, from, said);
                        if from != to && selection.work[from] {
                            needs.push(Need { from, to, said });
                        }
                    }
                    if needs.len() > LIMIT {
                        complaints.too_many(said);
                        return needs;
                    }
                }
            }
        }
    }
    needs
}

/// The items that must be done before a dependency on a parent is satisfied.
fn meant(doc: &Document, selection: &Selection, target: usize) -> Vec<usize> {
    let mut below = doc.tasks_of(target);
    below.retain(|&index| selection.work[index] || doc.items[index].role == Role::Held);
    if below.is_empty() { vec![target] } else { below }
}

fn is_within(doc: &Document, index: usize, parent: usize) -> bool {
    index == parent || doc.parents(index).any(|above| above == parent)
}

/// Collects errors, each place and kind once.
struct Complaints<'a> {
    doc: &'a Document,
    seen: HashSet<(usize, &'static str)>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Complaints<'_> {
    fn about(&mut self, selection: &Selection, mode: Mode, to: usize, from: usize, said: &Dependency) {
        let doc = self.doc;
        if !selection.runs(doc, to) || doc.items[from].checked {
            return;
        }
        if from < to && selection.runs(doc, from) {
            return;
        }
        let place = |index: usize| named(doc, index);
        if from == to {
            let message = format!("{} depends on itself", place(to));
            self.error(codes::CYCLE, message, said, "take the reference out");
        } else if !selection.runs(doc, from) {
            let role = if selection.work[from] { Role::Task } else { doc.items[from].role };
            let why = why_not(role);
            let message = format!("{} depends on {}, which is open and will not run: {why}", place(to), place(from));
            self.error(codes::NOT_RUN, message, said, "tick it if it is done, let it run, or take the reference out");
        } else if from > to && mode != Mode::Graph {
            let message = format!("{} depends on {}, which comes later", place(to), place(from));
            self.error(codes::FORWARD, message, said, "move it up, or use --mode graph");
        }
    }

    fn too_many(&mut self, said: &Dependency) {
        let message = format!("more than {LIMIT} pairs of tasks depend on each other");
        self.error(codes::TOO_MANY, message, said, "depend on one task, such as a [VERIFY] at the end of a part");
    }

    fn error(&mut self, code: &'static str, message: String, said: &Dependency, help: &str) {
        if self.seen.insert((said.span.start, code)) {
            let help = Some(help.to_owned());
            let span = said.span.clone();
            self.diagnostics.push(Diagnostic { severity: Severity::Error, code, message, span, help });
        }
    }
}

/// A task and its line, for messages.
pub(super) fn named(doc: &Document, index: usize) -> String {
    format!("{} (line {})", doc.label(index), doc.items[index].line)
}
