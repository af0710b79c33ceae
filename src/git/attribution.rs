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
    /// What is never taken, why, and which tasks may have made it. It stays known when they are forgotten.
    refused: BTreeMap<RepoPath, (Refusal, BTreeSet<String>)>,
    /// Of that, what [`refusals`](Self::refusals) has not told yet.
    untold: BTreeSet<RepoPath>,
}

/// From what to what.
type Step = (Option<Blob>, Option<Blob>);

#[derive(Debug, Clone, Default)]
struct Task {
    declared: Vec<Declared>,
    reported: BTreeSet<RepoPath>,
    /// Path by path, changes in order; several where someone else changed it in between.
    own: BTreeMap<RepoPath, Vec<Step>>,
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
    /// One of these tasks.
    Several(BTreeSet<String>),
    /// A task that failed; it could not be taken out.
    Left(String),
    /// An earlier run.
    Earlier,
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
    /// What this task or another may have written, so that it is nobody's: whether it changed anything cannot be told.
    pub maybe: Vec<RepoPath>,
}

/// A change that is no task's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unattributed {
    /// From what to what.
    pub change: Change,
    /// It is a person's: there before the run, or made while no task ran.
    pub persons: bool,
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

    /// What an earlier run left in the tree, and nobody can say whose it is.
    pub fn leave(&mut self, changes: &[Change], refused: &[Refused]) {
        for change in changes {
            self.note(change, Why::Earlier);
        }
        for refused in refused {
            self.refused.insert(refused.path.clone(), (refused.why, BTreeSet::new()));
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
        for refused in &seen.refused {
            // Where it cannot be told whose it is, every task that may have made it has to answer for it.
            let candidates = self.candidates(&refused.path);
            if !candidates.is_empty() {
                self.refuse(refused, candidates);
            }
        }
        self.clear(&seen.cleared);
        for change in &seen.changes {
            let candidates = self.candidates(&change.path);
            match candidates.len() {
                0 => self.note(change, Why::Person),
                // Whoever it was wrote over a person's work.
                _ if self.is_persons(&change.path) => candidates.iter().for_each(|task| self.give(task, change)),
                1 => candidates.iter().for_each(|task| self.give(task, change)),
                _ => self.open.push(Open { change: change.clone(), candidates }),
            }
        }
    }

    /// What was seen while a Verify ran (and no task).
    pub fn record_verify(&mut self, seen: &Seen) {
        for refused in &seen.refused {
            self.refuse(refused, BTreeSet::new());
        }
        self.clear(&seen.cleared);
        for change in &seen.changes {
            self.note(change, Why::Verify);
        }
    }

    fn refuse(&mut self, refused: &Refused, candidates: BTreeSet<String>) {
        self.refused.insert(refused.path.clone(), (refused.why, candidates));
        self.untold.insert(refused.path.clone());
    }

    fn clear(&mut self, cleared: &[RepoPath]) {
        for path in cleared {
            self.refused.remove(path);
            self.untold.remove(path);
        }
    }

    /// What was refused since this was asked last, and is still there.
    pub fn refusals(&mut self) -> Vec<Refused> {
        let told = std::mem::take(&mut self.untold);
        let refused = |path| self.refused.get(&path).map(|(why, _)| Refused { path: path.clone(), why: *why });
        told.into_iter().filter_map(refused).collect()
    }

    /// Everything in the tree that runs made and nobody takes, by path.
    pub fn refused(&self) -> impl Iterator<Item = &RepoPath> {
        self.refused.keys()
    }

    /// What was seen after `spec` itself did something to these paths (carried what a hook changed, took out what a
    /// failed task left). The rest is judged as ever.
    pub fn record_own(&mut self, seen: &Seen, paths: &[RepoPath]) {
        // Whoever's it was, it is settled now.
        for path in paths {
            self.nobody.remove(path);
            self.open.retain(|open| open.change.path != *path);
        }
        let changes = seen.changes.iter().filter(|change| !paths.contains(&change.path)).cloned().collect();
        self.record(&Seen { changes, refused: seen.refused.clone(), cleared: seen.cleared.clone() });
    }

    /// What is this task's. Final once no task that ran beside it is running any more: until then, what a sibling may
    /// still report is left out.
    #[must_use]
    pub fn taken(&self, task: &str) -> Taken {
        let name = task;
        let Some(task) = self.tasks.get(name) else { return Taken::default() };
        let open = self.open.iter().filter(|open| open.candidates.contains(name)).map(|open| &open.change.path);
        let several = |why: &Why| matches!(why, Why::Several(tasks) if tasks.contains(name));
        let maybe: BTreeSet<&RepoPath> =
            self.nobody.iter().filter(|(_, (_, _, why))| several(why)).map(|(path, _)| path).chain(open).collect();
        let change =
            |path: &RepoPath, (old, new): &Step| Change { path: path.clone(), old: old.clone(), new: new.clone() };
        let undeclared = |path: &&RepoPath| !task.declared.iter().any(|declared| declared.covers(path));
        let outside =
            if task.declared.is_empty() { Vec::new() } else { task.own.keys().filter(undeclared).cloned().collect() };
        let persons = |path: &&RepoPath| self.is_persons(path);
        let overlaps: BTreeSet<&RepoPath> = task.overlaps.iter().chain(task.own.keys().filter(persons)).collect();
        Taken {
            changes: task
                .own
                .iter()
                .flat_map(|(path, steps)| steps.iter().map(move |step| change(path, step)))
                .collect(),
            overlaps: overlaps.into_iter().cloned().collect(),
            refused: self
                .refused
                .iter()
                .filter(|(_, (_, candidates))| candidates.contains(name))
                .map(|(path, (why, _))| Refused { path: path.clone(), why: *why })
                .collect(),
            outside,
            maybe: maybe.into_iter().cloned().collect(),
        }
    }

    /// The task landed, or what it left was saved: nothing is its any more. What of it is still in the tree, because
    /// it could not be told apart, is nobody's.
    pub fn forget(&mut self, task: &str, left: &[Change]) {
        self.running.remove(task);
        self.tasks.remove(task);
        for (_, candidates) in self.refused.values_mut() {
            candidates.remove(task);
        }
        self.settle();
        for change in left {
            self.note(change, Why::Left(task.to_owned()));
        }
    }

    /// Everything in the tree that is no task's, by path. What several running tasks may still report is not in it.
    #[must_use]
    pub fn unattributed(&self) -> Vec<Unattributed> {
        let reason = |why: &Why| match why {
            Why::Person => "changed while no task ran".to_owned(),
            Why::Verify => "written by a Verify command".to_owned(),
            Why::Several(_) => "several tasks may have written it".to_owned(),
            Why::Left(_) => "left by a task that failed".to_owned(),
            Why::Earlier => "left by an earlier run".to_owned(),
        };
        self.nobody
            .iter()
            .map(|(path, (old, new, why))| Unattributed {
                change: Change { path: path.clone(), old: old.clone(), new: new.clone() },
                persons: *why == Why::Person,
                reason: reason(why),
            })
            .collect()
    }

    /// Whether a person has uncommitted changes in `path`.
    fn is_persons(&self, path: &RepoPath) -> bool {
        matches!(self.nobody.get(path), Some((_, _, Why::Person)))
    }

    /// Which running tasks may have written `path`; one, where it can be told.
    #[must_use]
    pub fn candidates(&self, path: &RepoPath) -> BTreeSet<String> {
        let declares = |name: &&String| {
            self.tasks.get(*name).is_some_and(|task| task.declared.iter().any(|declared| declared.covers(path)))
        };
        let declaring: BTreeSet<String> = self.running.iter().filter(declares).cloned().collect();
        if declaring.is_empty() { self.running.clone() } else { declaring }
    }

    /// Decides what several tasks may have written, once all of them have ended and said what they touched.
    fn settle(&mut self) {
        let mut waiting = BTreeSet::new();
        let (settled, open): (Vec<Open>, Vec<Open>) =
            std::mem::take(&mut self.open).into_iter().partition(|open: &Open| {
                // In order, path by path: a later change begins where an earlier one ended.
                let ended = open.candidates.iter().all(|name| !self.running.contains(name));
                let settled = ended && !waiting.contains(&open.change.path);
                if !settled {
                    waiting.insert(open.change.path.clone());
                }
                settled
            });
        self.open = open;
        for Open { change, candidates } in settled {
            let reports =
                |name: &&String| self.tasks.get(*name).is_some_and(|task| task.reported.contains(&change.path));
            let reporting: Vec<String> = candidates.iter().filter(reports).cloned().collect();
            match &reporting[..] {
                [task] => self.give(task, &change),
                _ => self.note(&change, Why::Several(candidates)),
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
        // A person's stays a person's, unless a person takes it back.
        let taken_back = entry.0 == entry.1 && (entry.2 != Why::Person || why == Why::Person);
        if entry.2 != Why::Person {
            entry.2 = why;
        }
        if taken_back {
            self.nobody.remove(&change.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::change::{Mode, Oid};
    use super::*;

    /// A content; 0 is "not there".
    fn blob(content: u8) -> Option<Blob> {
        let oid = Oid::parse(format!("{content:040x}").as_bytes())?;
        Some(Blob { mode: Mode::File, oid })
    }

    fn change(path: &str, old: u8, new: u8) -> Change {
        Change { path: path.into(), old: blob(old), new: blob(new) }
    }

    fn seen(changes: &[(&str, u8, u8)]) -> Seen {
        Seen { changes: changes.iter().map(|&(path, old, new)| change(path, old, new)).collect(), ..Seen::default() }
    }

    fn declared(paths: &[&str]) -> Vec<Declared> {
        paths.iter().map(|path| Declared::new(path, path.contains('*'))).collect()
    }

    fn own(ledger: &Attribution, task: &str) -> Vec<Change> {
        ledger.taken(task).changes
    }

    fn nobody(ledger: &Attribution) -> Vec<String> {
        ledger.unattributed().into_iter().map(|left| format!("{}: {}", left.change.path, left.reason)).collect()
    }

    #[test]
    fn what_changed_while_one_task_ran_is_its() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", declared(&["src/"]));
        ledger.record(&seen(&[("src/x", 1, 2), ("other", 0, 1)]));
        ledger.end("a", []);
        let taken = ledger.taken("a");
        assert_eq!(taken.changes, [change("other", 0, 1), change("src/x", 1, 2)]);
        assert_eq!(taken.outside, ["other".into()]);
        assert!(nobody(&ledger).is_empty());
    }

    #[test]
    fn of_several_the_one_that_declares_the_path() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", declared(&["src/*.rs"]));
        ledger.start("b", declared(&["docs/"]));
        ledger.record(&seen(&[("src/x.rs", 1, 2), ("docs/y", 0, 1), ("src/z.txt", 0, 1)]));
        // What it reports does not beat what a sibling declares.
        ledger.end("a", ["docs/y".into()]);
        assert_eq!(ledger.taken("a").maybe, ["src/z.txt".into()]);
        ledger.end("b", []);
        assert_eq!(own(&ledger, "a"), [change("src/x.rs", 1, 2)]);
        assert_eq!(own(&ledger, "b"), [change("docs/y", 0, 1)]);
        assert_eq!(nobody(&ledger), ["src/z.txt: several tasks may have written it"]);
        assert_eq!(ledger.taken("b").maybe, ["src/z.txt".into()]);
    }

    #[test]
    fn of_several_the_one_that_reports_the_path_once_all_have_ended() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", Vec::new());
        ledger.start("b", Vec::new());
        ledger.record(&seen(&[("x", 1, 2), ("y", 1, 2), ("z", 1, 2)]));
        ledger.end("a", ["x".into(), "y".into()]);
        assert_eq!(own(&ledger, "a"), [], "b may still report it, too");
        ledger.end("b", ["y".into()]);
        assert_eq!(own(&ledger, "a"), [change("x", 1, 2)]);
        assert_eq!(own(&ledger, "b"), []);
        assert_eq!(nobody(&ledger), ["y: several tasks may have written it", "z: several tasks may have written it"]);
    }

    #[test]
    fn a_task_that_ran_beside_another_and_then_alone() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", Vec::new());
        ledger.start("b", Vec::new());
        ledger.record(&seen(&[("x", 1, 2)]));
        ledger.end("a", []);
        ledger.record(&seen(&[("x", 2, 3), ("y", 0, 1)]));
        ledger.end("b", ["x".into()]);
        assert_eq!(own(&ledger, "b"), [change("x", 1, 3), change("y", 0, 1)]);
        assert!(nobody(&ledger).is_empty());
    }

    #[test]
    fn a_path_that_a_person_changed_before_is_never_a_task_s() {
        let mut ledger = Attribution::new(&[change("x", 1, 2)]);
        ledger.start("a", declared(&["x"]));
        ledger.record(&seen(&[("x", 2, 3), ("y", 0, 1)]));
        ledger.end("a", ["x".into()]);
        let taken = ledger.taken("a");
        assert_eq!((taken.changes, taken.overlaps), (vec![change("y", 0, 1)], vec!["x".into()]));
        assert_eq!(ledger.unattributed()[0].change, change("x", 1, 3));
    }

    #[test]
    fn who_of_several_wrote_over_a_person_s_work_does_not_matter() {
        let mut ledger = Attribution::new(&[change("x", 1, 2)]);
        ledger.start("a", Vec::new());
        ledger.start("b", Vec::new());
        // Even where it looks like HEAD now: the person's work is gone.
        ledger.record(&seen(&[("x", 2, 1)]));
        assert_eq!((ledger.taken("a").overlaps, ledger.taken("b").overlaps), (vec!["x".into()], vec!["x".into()]));
        assert_eq!(nobody(&ledger).len(), 1);
    }

    #[test]
    fn what_changes_while_nothing_runs_is_a_person_s_and_overlaps_what_is_to_land() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", Vec::new());
        ledger.record(&seen(&[("x", 1, 2)]));
        ledger.end("a", []);
        ledger.record(&seen(&[("x", 2, 3), ("y", 0, 1)]));
        assert_eq!(ledger.taken("a").overlaps, ["x".into()]);
        assert_eq!(own(&ledger, "a"), [change("x", 1, 2)]);
        assert_eq!(nobody(&ledger), ["x: changed while no task ran", "y: changed while no task ran"]);
        // Taken back, it is as if it had not been.
        ledger.record(&seen(&[("x", 3, 2), ("y", 1, 0)]));
        assert!(ledger.taken("a").overlaps.is_empty() && nobody(&ledger).is_empty());
    }

    #[test]
    fn what_a_verify_writes_is_nobody_s_until_the_task_goes_on_from_it() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", Vec::new());
        ledger.record(&seen(&[("x", 1, 2)]));
        ledger.end("a", []);
        ledger.record_verify(&seen(&[("x", 2, 3), ("cache", 0, 1)]));
        assert_eq!(own(&ledger, "a"), [change("x", 1, 2)]);
        assert_eq!(nobody(&ledger), ["cache: written by a Verify command", "x: written by a Verify command"]);
        assert!(ledger.taken("a").overlaps.is_empty());
        ledger.start("a", Vec::new());
        ledger.record(&seen(&[("x", 3, 4)]));
        ledger.end("a", []);
        assert_eq!(own(&ledger, "a"), [change("x", 1, 4)]);
        assert_eq!(nobody(&ledger), ["cache: written by a Verify command"]);
    }

    #[test]
    fn retries_keep_what_earlier_attempts_made() {
        let mut ledger = Attribution::new(&[]);
        for (path, old, new) in [("x", 1, 2), ("y", 0, 1), ("x", 2, 3), ("y", 1, 0)] {
            ledger.start("a", Vec::new());
            ledger.record(&seen(&[(path, old, new)]));
            ledger.end("a", []);
        }
        assert_eq!(own(&ledger, "a"), [change("x", 1, 3)]);
    }

    #[test]
    fn what_a_sibling_changed_in_between_is_kept_apart() {
        let mut ledger = Attribution::new(&[]);
        for (task, old, new) in [("a", 1, 2), ("b", 2, 3), ("a", 3, 4)] {
            ledger.start(task, Vec::new());
            ledger.record(&seen(&[("x", old, new)]));
            ledger.end(task, []);
        }
        assert_eq!(own(&ledger, "a"), [change("x", 1, 2), change("x", 3, 4)]);
        assert_eq!(own(&ledger, "b"), [change("x", 2, 3)]);
    }

    #[test]
    fn what_an_earlier_run_took_is_gone_on_from() {
        let mut ledger = Attribution::new(&[]);
        ledger.restore("a", &[change("x", 1, 2)]);
        ledger.start("a", Vec::new());
        ledger.record(&seen(&[("x", 2, 3)]));
        ledger.end("a", []);
        assert_eq!(own(&ledger, "a"), [change("x", 1, 3)]);
    }

    #[test]
    fn what_is_refused_is_answered_for_until_it_is_gone() {
        let mut ledger = Attribution::new(&[]);
        ledger.start("a", declared(&["a/"]));
        ledger.start("b", declared(&["b/"]));
        let refused = |path: &str| Refused { path: path.into(), why: Refusal::Secret };
        ledger.record(&Seen { refused: vec![refused("a/.env"), refused(".env")], ..Seen::default() });
        assert_eq!(ledger.taken("a").refused, [refused(".env"), refused("a/.env")]);
        assert_eq!(ledger.taken("b").refused, [refused(".env")]);
        ledger.record(&Seen { cleared: vec![".env".into()], ..Seen::default() });
        assert!(ledger.taken("b").refused.is_empty());
    }

    #[test]
    fn what_landed_or_was_saved_is_nobody_s_business_any_more() {
        let mut ledger = Attribution::new(&[]);
        for task in ["a", "b"] {
            ledger.start(task, Vec::new());
            ledger.record(&seen(&[(task, 0, 1)]));
            ledger.end(task, []);
        }
        ledger.forget("a", &[]);
        ledger.forget("b", &[change("b", 0, 1)]);
        ledger.start("c", Vec::new());
        ledger.record_own(&seen(&[("a", 1, 2), ("c", 0, 1)]), &["a".into()]);
        assert_eq!((own(&ledger, "a"), own(&ledger, "c")), (vec![], vec![change("c", 0, 1)]));
        assert_eq!(nobody(&ledger), ["b: left by a task that failed"]);
    }

    /// One thing that happens in a run.
    #[derive(Debug, Clone)]
    enum Act {
        Start(u8),
        End(u8, Vec<u8>),
        Write(u8, u8),
        Verify(u8, u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0..3_u8).prop_map(Act::Start),
            (0..3_u8, prop::collection::vec(0..4_u8, 0..3)).prop_map(|(task, paths)| Act::End(task, paths)),
            (0..4_u8, 0..4_u8).prop_map(|(path, content)| Act::Write(path, content)),
            (0..4_u8, 0..4_u8).prop_map(|(path, content)| Act::Verify(path, content)),
        ]
    }

    const TASKS: [&str; 3] = ["a", "b", "c"];
    const PATHS: [&str; 4] = ["p/0", "p/1", "q/2", "q/3"];

    proptest! {
        /// Nothing that a person had is ever a task's, and every path that is not as in HEAD is known: some task's, a
        /// person's, or nobody's.
        #[test]
        fn every_change_is_known_and_a_person_s_is_never_a_task_s(acts in prop::collection::vec(act(), 0..40)) {
            let mut tree = [1_u8; 4];
            tree[3] = 2;
            let mut ledger = Attribution::new(&[change(PATHS[3], 1, 2)]);
            let mut running = BTreeSet::new();
            let mut taken_back = false;
            for act in acts {
                match act {
                    Act::Start(task) if running.insert(task) => {
                        let files = if task == 0 { declared(&["p"]) } else { Vec::new() };
                        ledger.start(TASKS[usize::from(task)], files);
                    }
                    Act::End(task, paths) if running.remove(&task) => {
                        let reported = paths.iter().map(|&path| PATHS[usize::from(path)].into());
                        ledger.end(TASKS[usize::from(task)], reported);
                    }
                    Act::Write(path, content) if tree[usize::from(path)] != content => {
                        let old = std::mem::replace(&mut tree[usize::from(path)], content);
                        ledger.record(&seen(&[(PATHS[usize::from(path)], old, content)]));
                        taken_back |= running.is_empty() && path == 3 && content == 1;
                    }
                    Act::Verify(path, content) if running.is_empty() && tree[usize::from(path)] != content => {
                        let old = std::mem::replace(&mut tree[usize::from(path)], content);
                        ledger.record_verify(&seen(&[(PATHS[usize::from(path)], old, content)]));
                    }
                    _ => {}
                }
            }
            for task in running {
                ledger.end(TASKS[usize::from(task)], []);
            }
            let unattributed = ledger.unattributed();
            for (number, path) in PATHS.into_iter().enumerate() {
                let mut known = unattributed.iter().any(|left| left.change.path == path.into());
                for task in TASKS {
                    let taken = ledger.taken(task);
                    let changes: Vec<_> = taken.changes.iter().filter(|change| change.path == path.into()).collect();
                    prop_assert!(number != 3 || taken_back || changes.is_empty(), "a person's: {changes:?}");
                    prop_assert!(changes.iter().all(|change| change.old != change.new));
                    known |= !changes.is_empty();
                }
                prop_assert!(known || tree[number] == 1, "{path} is {} and nobody knows", tree[number]);
            }
        }

        /// One task after the other, nobody else: each has exactly what it made of the tree.
        #[test]
        fn alone_a_task_has_all_it_changed(runs in prop::collection::vec(prop::collection::vec((0..4_usize, 0..4_u8), 0..8), 1..4)) {
            let mut tree = [1_u8; 4];
            let mut ledger = Attribution::new(&[]);
            for (number, writes) in runs.iter().enumerate() {
                let name = format!("task {number}");
                let before = tree;
                ledger.start(&name, Vec::new());
                for &(path, content) in writes {
                    let old = std::mem::replace(&mut tree[path], content);
                    if old != content {
                        ledger.record(&seen(&[(PATHS[path], old, content)]));
                    }
                }
                ledger.end(&name, []);
                let expected: Vec<Change> = (0..4)
                    .filter(|&path| before[path] != tree[path])
                    .map(|path| change(PATHS[path], before[path], tree[path]))
                    .collect();
                prop_assert_eq!(own(&ledger, &name), expected);
            }
            prop_assert!(ledger.unattributed().is_empty());
        }
    }
}
