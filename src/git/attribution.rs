//! Whose a change in a shared working tree is. Pure: no git, no file, no clock.
//!
//! `runtime` tells which tasks run and what was seen between two moments; this decides:
//!
//! * what changed while exactly one task ran is that task's;
//! * else it is the one running task's that declares the path; of several that do, or of all where none does, the one
//!   that reports the path at its end;
//! * else it is nobody's: it stays in the tree and is listed.
//!
//! What a person had changed before the run is never a task's, nor what changes while no task runs, nor what a Verify
//! writes. A task keeps what it made in all its attempts.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Blob, Change, RepoPath};
use super::glob::Declared;
use super::snapshot::{Refusal, Refused, Seen};

/// The ledger of a run in a shared tree. A task is named by its key.
#[derive(Debug, Clone, Default)]
pub struct Attribution {
    running: BTreeSet<String>,
    tasks: BTreeMap<String, Task>,
    /// What several tasks may have written, in the order in which it was seen.
    open: Vec<Open>,
    /// What is no task's, by path: from when to when, and why.
    nobody: BTreeMap<RepoPath, (Option<Blob>, Option<Blob>, Why)>,
}

/// From what to what.
type Step = (Option<Blob>, Option<Blob>);

#[derive(Debug, Clone, Default)]
struct Task {
    declared: Vec<Declared>,
    reported: BTreeSet<RepoPath>,
    /// Path by path, changes in order; several where someone else changed it in between.
    own: BTreeMap<RepoPath, Vec<Step>>,
    refused: BTreeMap<RepoPath, Refusal>,
    /// Paths of a person that it wrote to.
    overlaps: BTreeSet<RepoPath>,
}

#[derive(Debug, Clone)]
struct Open {
    change: Change,
    candidates: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    Person,
    Verify,
    Several,
}

/// What is one task's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Its changes since its first attempt, path by path; a path comes again where someone else changed it in between.
    pub changes: Vec<Change>,
    /// Paths with a person's uncommitted changes that it wrote to: a person has to decide.
    pub overlaps: Vec<RepoPath>,
    /// What it made that is never taken: secrets, thousands of files.
    pub refused: Vec<Refused>,
    /// Of its changes, those that it does not declare; empty where it declares nothing.
    pub outside: Vec<RepoPath>,
}

/// A change that is no task's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unattributed {
    /// From what to what.
    pub change: Change,
    /// Why it is nobody's, for people.
    pub reason: String,
}

impl Attribution {
    /// A ledger for a tree in which a person has these changes.
    #[must_use]
    pub fn new(person: &[Change]) -> Self {
        let mut ledger = Self::default();
        for change in person {
            ledger.note(change, Why::Person);
        }
        ledger
    }

    /// Gives a task what an earlier run's journal has as its own.
    pub fn restore(&mut self, task: &str, changes: &[Change]) {
        let own = &mut self.tasks.entry(task.to_owned()).or_default().own;
        for change in changes {
            own.entry(change.path.clone()).or_default().push((change.old.clone(), change.new.clone()));
        }
    }

    /// An attempt of a task begins. Call after a look at the tree, so that what was there before is not taken for its.
    pub fn start(&mut self, task: &str, declared: Vec<Declared>) {
        self.running.insert(task.to_owned());
        self.tasks.entry(task.to_owned()).or_default().declared = declared;
    }

    /// An attempt ends, with the paths that the executor says it touched. Call after a look at the tree.
    pub fn end(&mut self, task: &str, reported: impl IntoIterator<Item = RepoPath>) {
        self.running.remove(task);
        if let Some(task) = self.tasks.get_mut(task) {
            task.reported.extend(reported);
        }
        self.settle();
    }

    /// What was seen since the last record, while just the tasks ran that are running now.
    pub fn record(&mut self, seen: &Seen) {
        for path in &seen.cleared {
            for task in self.tasks.values_mut() {
                task.refused.remove(path);
            }
        }
        for refused in &seen.refused {
            // Where it cannot be told whose it is, every task that may have made it has to answer for it.
            let candidates = self.candidates(&refused.path);
            for name in candidates {
                if let Some(task) = self.tasks.get_mut(&name) {
                    task.refused.insert(refused.path.clone(), refused.why);
                }
            }
        }
        for change in &seen.changes {
            let candidates = self.candidates(&change.path);
            match candidates.len() {
                0 => self.note(change, Why::Person),
                1 => candidates.iter().for_each(|task| self.give(task, change)),
                _ => self.open.push(Open { change: change.clone(), candidates }),
            }
        }
    }

    /// What was seen while a Verify ran (and no task).
    pub fn record_verify(&mut self, seen: &Seen) {
        for change in &seen.changes {
            self.note(change, Why::Verify);
        }
    }

    /// What `spec` itself did to the tree: what hooks changed in a commit, what a salvage took out.
    pub fn record_own(&mut self, seen: &Seen) {
        for change in &seen.changes {
            // Whoever's it was, it is settled now.
            self.nobody.remove(&change.path);
            self.open.retain(|open| open.change.path != change.path);
        }
    }

    /// What is this task's. Final once no task that ran beside it is running any more: until then, what a sibling may
    /// still report is left out.
    #[must_use]
    pub fn taken(&self, task: &str) -> Taken {
        let Some(task) = self.tasks.get(task) else { return Taken::default() };
        let change =
            |path: &RepoPath, (old, new): &Step| Change { path: path.clone(), old: old.clone(), new: new.clone() };
        let undeclared = |path: &&RepoPath| !task.declared.iter().any(|declared| declared.covers(path));
        let outside =
            if task.declared.is_empty() { Vec::new() } else { task.own.keys().filter(undeclared).cloned().collect() };
        let persons = |path: &&RepoPath| matches!(self.nobody.get(*path), Some((_, _, Why::Person)));
        let overlaps: BTreeSet<&RepoPath> = task.overlaps.iter().chain(task.own.keys().filter(persons)).collect();
        Taken {
            changes: task
                .own
                .iter()
                .flat_map(|(path, steps)| steps.iter().map(move |step| change(path, step)))
                .collect(),
            overlaps: overlaps.into_iter().cloned().collect(),
            refused: task.refused.iter().map(|(path, &why)| Refused { path: path.clone(), why }).collect(),
            outside,
        }
    }

    /// The task landed, or what it left was saved: nothing is its any more. What of it is still in the tree, because
    /// it could not be told apart, is nobody's.
    pub fn forget(&mut self, task: &str, left: &[Change]) {
        self.running.remove(task);
        self.tasks.remove(task);
        self.settle();
        for change in left {
            self.note(change, Why::Several);
        }
    }

    /// Everything in the tree that is no task's, by path. What several running tasks may still report is not in it.
    #[must_use]
    pub fn unattributed(&self) -> Vec<Unattributed> {
        let reason = |why: &Why| match why {
            Why::Person => "changed while no task ran",
            Why::Verify => "written by a Verify command",
            Why::Several => "several tasks may have written it",
        };
        self.nobody
            .iter()
            .map(|(path, (old, new, why))| Unattributed {
                change: Change { path: path.clone(), old: old.clone(), new: new.clone() },
                reason: reason(why).to_owned(),
            })
            .collect()
    }

    /// Which running tasks may have written `path`; one, where it can be told.
    fn candidates(&self, path: &RepoPath) -> BTreeSet<String> {
        let declares = |name: &&String| {
            self.tasks.get(*name).is_some_and(|task| task.declared.iter().any(|declared| declared.covers(path)))
        };
        let declaring: BTreeSet<String> = self.running.iter().filter(declares).cloned().collect();
        if declaring.is_empty() { self.running.clone() } else { declaring }
    }

    /// Decides what several tasks may have written, once all of them have ended and said what they touched.
    fn settle(&mut self) {
        let (settled, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|open| open.candidates.iter().all(|name| !self.running.contains(name)));
        self.open = open;
        for Open { change, candidates } in settled {
            let reports =
                |name: &&String| self.tasks.get(*name).is_some_and(|task| task.reported.contains(&change.path));
            let reporting: Vec<String> = candidates.iter().filter(reports).cloned().collect();
            match &reporting[..] {
                [task] => self.give(task, &change),
                _ => self.note(&change, Why::Several),
            }
        }
    }

    /// Adds a change to a task's own.
    fn give(&mut self, name: &str, change: &Change) {
        let mut old = change.old.clone();
        let task = self.tasks.entry(name.to_owned()).or_default();
        match self.nobody.get_mut(&change.path) {
            Some((_, last, Why::Person)) => {
                last.clone_from(&change.new);
                task.overlaps.insert(change.path.clone());
                return;
            }
            // It goes on from what a Verify wrote: that is its own now.
            Some((before, last, Why::Verify)) if *last == old => {
                old.clone_from(before);
                self.nobody.remove(&change.path);
            }
            _ => {}
        }
        let steps = task.own.entry(change.path.clone()).or_default();
        if let Some((_, last)) = steps.last_mut().filter(|(_, last)| *last == old) {
            last.clone_from(&change.new);
        } else if let Some((first, _)) = steps.first_mut().filter(|(first, _)| *first == change.new) {
            // What was open until now came before what was its own at once.
            *first = old;
        } else {
            steps.push((old, change.new.clone()));
        }
        steps.retain(|(old, new)| old != new);
        if steps.is_empty() {
            task.own.remove(&change.path);
        }
    }

    /// Adds a change to what is nobody's; what is as it was before is not listed any more.
    fn note(&mut self, change: &Change, why: Why) {
        let entry = self
            .nobody
            .entry(change.path.clone())
            .or_insert_with(|| (change.old.clone(), change.old.clone(), why.clone()));
        entry.1.clone_from(&change.new);
        // A person's stays a person's.
        if entry.2 != Why::Person {
            entry.2 = why;
        }
        if entry.0 == entry.1 {
            self.nobody.remove(&change.path);
        }
    }
}
