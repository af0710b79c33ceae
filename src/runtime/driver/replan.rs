//! The list while a run goes on: a person may edit it. It is looked at before each step and each edit, and planned anew
//! where it is not as it was.

use super::{Driver, Fatal, Life};
use crate::cli::settings::RunSettings;
use crate::document::{self, Document, Severity};
use crate::engine::{Event as Told, Halt, Kind, Node, Steer};
use crate::plan;
use crate::runtime::board;
use crate::store::event::Event;
use crate::store::fs::PathError;

impl Driver {
    /// The list is looked at before each step, and planned anew where it is not as it was.
    pub(super) fn next_stage(&mut self) -> Result<(), Fatal> {
        self.look_at_list()?;
        self.grow()?;
        if self.list_changed {
            self.replan()?;
        } else {
            self.told.push_back(Told::Next);
        }
        Ok(())
    }

    pub(super) fn replan(&mut self) -> Result<(), Fatal> {
        self.list_changed = false;
        let (mut plan, diagnostics) = plan::build(&self.parts.board.doc, &self.plan_options());
        let errors: Vec<_> = diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
        if let Some(error) = errors.first() {
            let (line, _) = self.parts.board.doc.position(error.span.start);
            let message = format!("{}:{line}: {}; mend the list and run it again", self.parts.shown, error.message);
            return Err(Fatal { message, halt: Halt::Fatal });
        }
        let missing = unrunnable(&self.parts.board.doc, &plan, &self.parts.settings);
        if let Some(index) = missing.first() {
            let label = self.parts.board.doc.label(*index);
            let message = format!("task {label} was added, and there is neither a Run nor --exec to run it");
            return Err(Fatal { message, halt: Halt::Fatal });
        }
        plan.mode = self.parts.board.plan.mode;
        self.parts.board.plan = plan;
        let known = self.parts.board.entries.len();
        let mut replan = self.parts.board.lay_out(&self.parts.settings);
        self.parts.lives.resize_with(self.parts.board.entries.len(), Life::default);
        let checked = |node: &Node| {
            let entry = &self.parts.board.entries[*node];
            !entry.gone && self.parts.board.doc.items[entry.task.index].checked
        };
        replan.done = (0..known).filter(checked).collect();
        replan.again = std::mem::take(&mut self.growth.again);
        self.wait_for_prerequisites(&mut replan.specs);
        self.told.push_back(Told::Replan(Box::new(replan)));
        Ok(())
    }

    /// Reads the list if somebody wrote to it. Ticks that came while executors ran are taken back: nobody can tell
    /// whose they are.
    pub(in crate::runtime) fn look_at_list(&mut self) -> Result<(), Fatal> {
        if let Some(found) = self.parts.list.changed()? {
            self.adopt(found)?;
        }
        if self.parts.engine.running() == 0 {
            self.executors_ran = false;
        }
        Ok(())
    }

    /// Takes these bytes for the list.
    pub(in crate::runtime) fn adopt(&mut self, mut found: Vec<u8>) -> Result<(), Fatal> {
        let path = self.parts.list.path.to_string_lossy().into_owned();
        for _ in 0..100 {
            let (new, _) = document::parse(found.clone(), &path);
            if new.items.is_empty() {
                let message =
                    format!("{}: there is no checkbox in it any more; mend it and run it again", self.parts.shown);
                return Err(Fatal { message, halt: Halt::Fatal });
            }
            let old: Vec<(bool, String)> = (0..self.parts.board.doc.items.len())
                .map(|at| (self.parts.board.doc.items[at].checked, self.parts.board.doc.label(at)))
                .collect();
            let places = self.parts.board.adopt(new);
            self.parts.list.bytes = found;
            let ticked: Vec<usize> = places
                .iter()
                .zip(&old)
                .filter_map(|(place, (checked, _))| {
                    place.filter(|place| !checked && self.parts.board.doc.items[*place].checked)
                })
                .collect();
            self.list_changed = true;
            self.say_what_changed(&old, &places)?;
            // Where executors have trees of their own only a person can have ticked it.
            for node in ticked.iter().filter_map(|at| self.parts.board.node(*at)) {
                if self.parts.engine.own_tree(node) && self.outside.is_none() {
                    self.told.push_back(Told::Steer(Steer::Done(node)));
                }
            }
            if ticked.is_empty() || !self.executors_ran {
                return Ok(());
            }
            let labels: Vec<String> = ticked.iter().map(|at| self.parts.board.doc.label(*at)).collect();
            let message = format!(
                "{}: taken back, as nobody can tell who ticked it while tasks run in this tree: {}",
                self.parts.shown,
                labels.join(", ")
            );
            self.notice("warning", "tick-taken-back", &message);
            let edits: Vec<_> = ticked.iter().filter_map(|at| self.parts.board.doc.untick(*at)).collect();
            let Some(other) = self.parts.list.edit(&edits)? else {
                let (doc, _) = document::parse(self.parts.list.bytes.clone(), &path);
                self.parts.board.adopt(doc);
                return Ok(());
            };
            found = other;
        }
        Err(Fatal::written_all_the_time(&self.parts.shown))
    }

    pub(super) fn say_what_changed(
        &mut self,
        old: &[(bool, String)],
        places: &[Option<usize>],
    ) -> Result<(), PathError> {
        let doc = &self.parts.board.doc;
        let mut known = vec![false; doc.items.len()];
        for place in places.iter().flatten() {
            known[*place] = true;
        }
        let added = (0..doc.items.len()).filter(|at| !known[*at]).map(|at| doc.label(at)).collect();
        let removed =
            places.iter().zip(old).filter(|(place, _)| place.is_none()).map(|(_, (_, label))| label.clone()).collect();
        let (tasks, done) = self.count();
        self.emit(Event::ListChanged { tasks, done, added, removed })
    }

    /// Tasks in the list, and how many of them are done.
    pub(in crate::runtime) fn count(&self) -> (usize, usize) {
        let settings = &self.parts.settings;
        let doc = &self.parts.board.doc;
        let work =
            (0..doc.items.len()).filter(|at| doc.is_work(*at, settings.include_notes, settings.include_optional));
        work.fold((0, 0), |(tasks, done), at| (tasks + 1, done + usize::from(doc.items[at].checked)))
    }
}

/// Tasks of the plan that nothing can run.
#[must_use]
pub fn unrunnable(doc: &Document, plan: &plan::Plan, settings: &RunSettings) -> Vec<usize> {
    if settings.has_executor() {
        return Vec::new();
    }
    let needs = |index: &usize| board::kind(&doc.items[*index], settings) == Kind::Exec;
    plan.open.iter().copied().filter(needs).collect()
}
