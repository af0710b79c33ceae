//! What `spec` puts into the list while a run goes on: tasks that an executor asked for
//! (`TASK_MODIFICATION_REQUEST`), and with `--recovery` fixes of what failed for good. The driver hands in what was asked
//! for and what failed; at the end of the step it is put in here, and the list is planned anew.
//!
//! In this order, so that a crash at any point loses nothing and forgets no limit: the intent is in the journal and
//! synced (`task_inserted`); the list is edited on disk; a commit of the list alone is made and noted
//! (`list_commit_made`, synced); the branch moves to it. What is missing of it is made up for by the next start.

use std::collections::BTreeSet;

use super::clock;
use super::driver::{Driver, Fatal};
use super::landing::MOVED_TRIES;
use crate::document::{self, Dialect, Document, FileEntry, Item, Proposed, Spot};
use crate::engine::gates;
use crate::engine::output::{Report, Request, Wanted};
use crate::engine::{Code, Event as Told, Failure, Kind, Limits, Need, Node, Phase, TaskSpec};
use crate::git::{CommitError, CommitRequest, FileEdit, RepoPath};
use crate::plan;
use crate::store::event::{Event, TaskRef};
use crate::store::recovery::{Inserted, asked_for};
use crate::store::state::Fixed;

/// What is known of tasks that were put in, and of those that are to be.
#[derive(Default)]
pub(super) struct Growth {
    /// Admitted, and to be put in at the end of the step.
    asked: Vec<(TaskRef, Request)>,
    /// Failed for good, and to be looked at when their step is over.
    failed: BTreeSet<Node>,
    /// Got a fix at some time in this run.
    mended: BTreeSet<Node>,
    /// To be tried again with the next reading of the list.
    pub(super) again: BTreeSet<Node>,
    /// What was put in, by this run and by those that it goes on with.
    inserted: Vec<Inserted>,
}

impl Growth {
    /// How many tasks were put in because the executors of this one asked for them.
    fn requested(&self, key: &str) -> usize {
        let by_request = |it: &&Inserted| it.of == key && it.kind != FIX;
        self.inserted.iter().filter(by_request).map(|it| it.tasks.len()).sum()
    }

    /// How deep a task is among those that were asked for; 0 where a person wrote it.
    fn depth(&self, key: &str) -> usize {
        self.inserted.iter().find(|it| it.tasks.iter().any(|task| task == key)).map_or(0, |it| it.depth)
    }

    /// Whether a failed task waits for a fix, or for whether there will be one.
    pub(super) fn may_mend(&self, node: Node) -> bool {
        self.failed.contains(&node) || self.mended.contains(&node)
    }
}

/// The kind of insertion that fixes are, beside the names of requests.
pub(super) const FIX: &str = "FIX";
/// Most of the evidence that a fix quotes: lines, and characters of a line.
const EVIDENCE: (usize, usize) = (40, 200);
/// Most of a reason that is quoted, in characters.
const REASON: usize = 300;

impl Driver {
    // ---- what executors ask for -----------------------------------------------------------------------------------

    /// What the end of an executor comes to, once what it asks for is heeded.
    pub(super) fn heed(&mut self, node: Node, report: &Report, result: Result<(), Failure>) -> Result<Told, Fatal> {
        let Some(mut request) = report.request.clone().filter(|_| gates::may_ask(&result)) else {
            return Ok(Told::Ended { node, result });
        };
        if let Ok(request) = &mut request {
            // It goes into the list, and that into a commit.
            request.tasks.iter_mut().chain([&mut request.reason]).for_each(|text| self.parts.mask.mask(text));
        }
        let followup = request.as_ref().is_ok_and(|request| request.wanted == Wanted::Followup);
        let refused = match &request {
            Err(why) => Some(format!("its TASK_MODIFICATION_REQUEST is refused: {why}")),
            Ok(request) => {
                let why = self.admit(node, request).err();
                why.map(|why| format!("its request for {} is refused: {why}", request.wanted.name()))
            }
        };
        match (request, refused) {
            (_, Some(why)) if followup => {
                let task = self.task(node).task;
                self.notice("warning", "request-refused", &format!("task {task}: {why}"));
                Ok(Told::Ended { node, result })
            }
            (_, Some(why)) => {
                let evidence = result.err().map(|failure| failure.evidence).unwrap_or_default();
                let failure = Failure::new(Code::ReportedFailure, why).with_evidence(evidence);
                Ok(Told::Ended { node, result: Err(failure) })
            }
            (Ok(request), None) if followup => {
                if result.is_ok() {
                    self.ask(node, &request, None)?;
                }
                Ok(Told::Ended { node, result })
            }
            (Ok(request), None) => {
                let salvage = self.set_aside(node, false)?;
                self.ask(node, &request, salvage.clone())?;
                let reason = asked_for(request.wanted.name(), salvage.as_deref());
                let life = &mut self.parts.lives[node];
                life.failure = Some(Box::new(Failure::new(Code::ReportedFailure, reason)));
                (life.gone, life.job, life.agent) = (salvage.is_some(), None, None);
                Ok(Told::Asked { node })
            }
            (Err(_), None) => Ok(Told::Ended { node, result }),
        }
    }

    fn ask(&mut self, node: Node, request: &Request, salvage: Option<String>) -> Result<(), Fatal> {
        let task = self.task(node);
        self.growth.asked.retain(|(other, _)| other.key != task.key);
        self.growth.asked.push((task.clone(), request.clone()));
        self.emit(Event::TaskAsked {
            task,
            attempt: self.parts.lives[node].attempt,
            request: request.wanted.name().to_owned(),
            reason: request.reason.clone(),
            proposed: request.tasks.clone(),
            salvage,
        })?;
        Ok(())
    }

    /// Whether a request can be granted; an error says why not.
    fn admit(&self, node: Node, request: &Request) -> Result<(), String> {
        let entry = &self.parts.board.entries[node];
        let doc = &self.parts.board.doc;
        let index = entry.task.index;
        self.places_may_move()?;
        if let Some(about) = request.task.as_deref().filter(|about| !about.is_empty())
            && (entry.gone || *about != entry.task.task && doc.item_of_id(about) != Some(index))
        {
            return Err(format!("it is about {about}, not about its own task"));
        }
        let growth = &self.growth;
        let key = &entry.task.key;
        Limits::REQUESTED.allow(growth.requested(key), request.tasks.len(), growth.depth(key))?;
        let tasks = proposals(request)?;
        let doc = self.list_as_it_is();
        doc.insert(self.spot(&doc, request.wanted.name(), index), index, &tasks, &self.list_path()).map(drop)
    }

    /// Whether tasks may be put in at all: not where those to be run are named by their places, which would move.
    fn places_may_move(&self) -> Result<(), String> {
        let settings = &self.parts.settings;
        let by_place = |name: &&String| name.starts_with(':') || name.contains('@');
        match settings.only.iter().chain(&settings.from).find(by_place) {
            Some(name) => Err(format!("the tasks to be run are named by their places ({name})")),
            None => Ok(()),
        }
    }

    fn list_path(&self) -> String {
        self.parts.list.path.to_string_lossy().into_owned()
    }

    /// The list read anew: boxes were ticked since that was done last.
    fn list_as_it_is(&self) -> Document {
        document::parse(self.parts.list.bytes.clone(), &self.list_path()).0
    }

    /// Where something is put in for an item. A parallel group stays whole: what is for a member stands around it.
    fn spot(&self, doc: &Document, kind: &str, index: usize) -> Spot {
        let (plan, _) = plan::build(doc, &self.plan_options());
        let group = plan.group_of(index).map(|group| group.tasks.as_slice()).unwrap_or_default();
        if kind == Wanted::Split.name() {
            Spot::Below(index)
        } else if kind == Wanted::Prerequisite.name() {
            Spot::Before(group.first().copied().unwrap_or(index))
        } else {
            Spot::Behind(group.last().copied().unwrap_or(index))
        }
    }

    // ---- the end of a step ----------------------------------------------------------------------------------------

    /// Puts in what was asked for, and fixes of what failed for good.
    pub(super) fn grow(&mut self) -> Result<(), Fatal> {
        let mut asked = std::mem::take(&mut self.growth.asked);
        asked.sort_by_key(|(task, _)| task.index);
        for (task, request) in asked {
            let node = self.parts.board.entries.iter().position(|entry| entry.task.key == task.key);
            let phase = node.map_or(Phase::Done, |node| self.parts.engine.phase(node));
            match (request.wanted, phase) {
                // Whatever comes of it: it waits for the list to be read.
                (Wanted::Split | Wanted::Prerequisite, Phase::Deferred) => self.list_changed = true,
                (Wanted::Followup, Phase::Done) => {}
                (_, phase) if phase.is_final() => continue,
                _ => {
                    self.growth.asked.push((task, request));
                    continue;
                }
            }
            match proposals(&request) {
                Ok(tasks) => drop(self.put_in(&task, request.wanted.name(), &request.reason, &tasks)?),
                Err(why) => self.notice("warning", "not-inserted", &why),
            }
        }
        for node in std::mem::take(&mut self.growth.failed) {
            if self.parts.engine.phase(node) != Phase::Failed {
                continue;
            }
            match self.mend(node)? {
                None => {
                    self.growth.again.insert(node);
                    self.growth.mended.insert(node);
                }
                Some(why) => {
                    let name = self.task(node).task;
                    self.notice("warning", "not-mended", &format!("task {name} gets no fix: {why}"));
                    self.growth.mended.remove(&node);
                    self.signal(node)?;
                }
            }
        }
        Ok(())
    }

    /// A task failed for good: with `--recovery` its fix is put in at the end of the step.
    pub(super) fn failed_for_good(&mut self, node: Node) {
        if self.parts.settings.recovery && self.parts.settings.has_executor() {
            self.growth.failed.insert(node);
        }
    }

    /// What got fixes and did not land all the same, because a fix of it failed for good: in the order of the list.
    pub(super) fn lost(&self) -> Vec<Node> {
        let mut lost: Vec<Node> = self.growth.mended.iter().copied().filter(|node| self.is_lost(*node)).collect();
        lost.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        lost
    }

    /// Whether it got fixes, and failed for good because one of them did.
    pub(super) fn is_lost(&self, node: Node) -> bool {
        self.finish.is_some() && self.growth.mended.contains(&node) && self.parts.engine.phase(node) == Phase::Blocked
    }

    /// Puts a fix of a failed task in; gives why there is none.
    fn mend(&mut self, node: Node) -> Result<Option<String>, Fatal> {
        let entry = &self.parts.board.entries[node];
        let doc = &self.parts.board.doc;
        let (task, index) = (entry.task.clone(), entry.task.index);
        if entry.gone || self.parts.engine.kind(node) == Kind::Parent {
            return Ok(Some("it is no task of the list".to_owned()));
        }
        if let Err(why) = self.places_may_move() {
            return Ok(Some(why));
        }
        let Some(id) = doc.items[index].id.clone().filter(|id| doc.item_of_id(id) == Some(index)) else {
            return Ok(Some("it has no id of its own that a [FIX] could name".to_owned()));
        };
        let depth = std::iter::successors(doc.mends(index), |of| doc.mends(*of)).take(Limits::FIXES.depth).count();
        if let Err(why) = Limits::FIXES.allow(doc.fixes(index).len(), 1, depth) {
            return Ok(Some(why));
        }
        let failure = self.parts.lives[node].failure.as_deref().cloned();
        let failure = failure.unwrap_or_else(|| Failure::new(Code::Crash, "it failed in an earlier run"));
        let fix = fix(doc, index, &id, &failure, self.parts.lives[node].salvage.as_deref(), &self.parts.paths.name());
        let reason = format!("{}: {}", failure.code, failure.reason);
        let done = self.put_in(&task, FIX, &reason, &[fix])?;
        Ok((!done).then(|| "it cannot be put into the list".to_owned()))
    }

    /// Puts tasks in; false where they do not fit any more, which is said.
    fn put_in(&mut self, of: &TaskRef, kind: &str, reason: &str, tasks: &[Proposed]) -> Result<bool, Fatal> {
        let path = self.list_path();
        let mut told = false;
        for _ in 0..100 {
            let doc = self.list_as_it_is();
            let entry = self.parts.board.entries.iter().find(|entry| entry.task.key == of.key);
            let index = match entry {
                Some(entry) => (!entry.gone).then_some(entry.task.index),
                None => (0..doc.items.len()).find(|index| doc.key(*index) == of.key),
            };
            let fits = index.ok_or_else(|| "the task is no longer in the list".to_owned());
            let fits = fits.and_then(|index| doc.insert(self.spot(&doc, kind, index), index, tasks, &path));
            let insertion = match fits {
                Ok(insertion) => insertion,
                Err(why) => {
                    self.notice("warning", "not-inserted", &format!("nothing is put in for task {}: {why}", of.task));
                    return Ok(false);
                }
            };
            let depth = self.growth.depth(&of.key) + usize::from(kind != FIX);
            let new = &insertion.document;
            let refs = insertion.items.iter();
            let inserted: Vec<TaskRef> =
                refs.map(|at| TaskRef { task: new.label(*at), index: *at, key: new.key(*at) }).collect();
            if !std::mem::replace(&mut told, true) {
                self.emit(Event::TaskInserted {
                    task: of.clone(),
                    kind: kind.to_owned(),
                    reason: reason.to_owned(),
                    inserted: inserted.clone(),
                    depth,
                })?;
                self.parts.journal.sync()?;
            }
            if let Some(found) = self.parts.list.edit(&[insertion.edit])? {
                self.adopt(found)?;
                continue;
            }
            let names: Vec<String> = inserted.iter().map(|task| task.task.clone()).collect();
            let tasks = inserted.into_iter().map(|task| task.key).collect();
            self.growth.inserted.push(Inserted { of: of.key.clone(), kind: kind.to_owned(), tasks, depth });
            self.parts.board.adopt(insertion.document);
            self.list_changed = true;
            let what = match kind {
                FIX => "fix",
                kind if kind == Wanted::Split.name() => "split",
                kind if kind == Wanted::Prerequisite.name() => "prerequisite",
                _ => "follow-up",
            };
            let spec = self.parts.paths.name();
            let subject = format!("chore({spec}): add {}, {what} of {}", names.join(", "), of.task);
            self.commit_list(&insertion.items, &subject)?;
            return Ok(true);
        }
        Err(Fatal::written_all_the_time(&self.parts.shown))
    }

    /// Commits items of the list that `HEAD` does not have, in its version of the list.
    fn commit_list(&mut self, items: &[usize], subject: &str) -> Result<(), Fatal> {
        let path = self.list_path();
        let run = self.parts.run.clone();
        for _ in 0..MOVED_TRIES {
            let doc = &self.parts.board.doc;
            let Some(tree) = &mut self.parts.tree else { return Ok(()) };
            if tree.switched()?.is_some() {
                // Nothing lands any more before it is switched back: that is said then.
                return Ok(());
            }
            let (head, list) = (tree.head.clone(), tree.own.list.clone());
            let Some(committer) = &mut tree.committer else { return Ok(()) };
            let carry = |bytes: &[u8]| {
                let (other, _) = document::parse(bytes.to_vec(), &path);
                doc.carry(items, &other, &path)
            };
            let edits = [FileEdit { path: &list, edit: &carry }];
            let trailers = [("Spec-Run", run.as_str())];
            let request =
                CommitRequest { changes: &[], edits: &edits, message: subject, trailers: &trailers, work: None };
            let prepared = match committer.prepare(&head, &request) {
                Ok(prepared) => prepared,
                Err(error) => {
                    self.not_committed(&error);
                    return Ok(());
                }
            };
            let Some(commit) = prepared.commit else {
                self.say_not_added(&prepared.not_added);
                return Ok(());
            };
            let parent = commit.parent.as_ref().map(ToString::to_string);
            let made = Event::ListCommitMade { commit: commit.id.to_string(), parent };
            self.parts.journal.append(&made, &clock::timestamp())?;
            self.parts.journal.sync()?;
            match committer.publish(&commit, &request, None) {
                Ok(published) => {
                    let carried: Vec<RepoPath> = published.carried.into_iter().map(|change| change.path).collect();
                    tree.own_change(&carried)?;
                    if let Some(error) = published.unfinished {
                        let message = format!("{error}; the next `spec run` makes up for it");
                        self.notice("warning", "index-not-updated", &message);
                    }
                    return Ok(());
                }
                Err(CommitError::HeadMoved { .. }) => {}
                Err(error) => {
                    self.not_committed(&error);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn not_committed(&mut self, error: &CommitError) {
        let message = format!("what was put into the list is not committed: {error}");
        self.notice("warning", "list-not-committed", &message);
    }

    /// Makes up for commits of what earlier runs had put into the list when they were killed.
    pub(super) fn commit_what_was_put_in(&mut self) -> Result<(), Fatal> {
        let doc = &self.parts.board.doc;
        let items = self.items_put_in(doc);
        if items.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = items.iter().map(|at| doc.label(*at)).collect();
        let subject = format!("chore({}): add {}", self.parts.paths.name(), names.join(", "));
        self.commit_list(&items, &subject)
    }

    // ---- the plan -------------------------------------------------------------------------------------------------

    /// What to plan: what was put in runs, whatever is selected.
    pub(super) fn plan_options(&self) -> plan::Options {
        let mut options = self.parts.settings.plan_options();
        if !options.only.is_empty() || options.from.is_some() {
            options.also.extend(self.items_put_in(&self.parts.board.doc));
        }
        options
    }

    /// The items that were put in, as far as they are there.
    fn items_put_in(&self, doc: &Document) -> Vec<usize> {
        let keys: BTreeSet<&str> = self.growth.inserted.iter().flat_map(|it| &it.tasks).map(String::as_str).collect();
        let items = if keys.is_empty() { 0..0 } else { 0..doc.items.len() };
        items.filter(|at| keys.contains(doc.key(*at).as_str())).collect()
    }

    /// Tasks that have fixes, for the state file.
    pub(super) fn fixed(&self) -> Vec<Fixed> {
        let error = |index: usize| {
            let failure = self.parts.lives[self.parts.board.node(index)?].failure.as_ref()?;
            Some(format!("{}: {}", failure.code, failure.reason))
        };
        Fixed::all(&self.parts.board.doc, error)
    }

    /// Goes on with what earlier runs put in, and puts in what they still owe.
    pub(super) fn grow_on(&mut self, mut inserted: Vec<Inserted>, mut owed: Vec<(TaskRef, Request)>) {
        if inserted.is_empty() && owed.is_empty() {
            return;
        }
        // What was about to be put in when the run was killed, and was not, counts for nothing and is still owed.
        let doc = &self.parts.board.doc;
        let there: BTreeSet<String> = (0..doc.items.len()).map(|index| doc.key(index)).collect();
        let ids: BTreeSet<&str> = doc.items.iter().filter_map(|item| item.id.as_deref()).collect();
        let is_there = |key: &String| there.contains(key) || key.split('~').next().is_some_and(|id| ids.contains(id));
        inserted.retain(|it| it.tasks.iter().any(is_there));
        owed.retain(|(task, _)| !inserted.iter().any(|it| it.of == task.key && it.kind == Wanted::Followup.name()));
        for node in 0..self.parts.lives.len() {
            let key = &self.parts.board.entries[node].task.key;
            if inserted.iter().any(|it| it.of == *key && it.kind == FIX) {
                self.parts.lives[node].mended = true;
                self.growth.mended.insert(node);
            }
        }
        (self.growth.inserted, self.growth.asked) = (inserted, owed);
    }

    /// Who asked for prerequisites waits for them, wherever they stand, and is blocked without them.
    pub(super) fn wait_for_prerequisites(&self, specs: &mut [(Node, TaskSpec)]) {
        prerequisites(&self.growth.inserted, |key| {
            let board = &self.parts.board;
            let node = board.entries.iter().position(|entry| entry.task.key == key && !entry.gone)?;
            Some((node, board.item(node).checked))
        })
        .for_each(|(of, first)| {
            if let Some((_, spec)) = specs.iter_mut().find(|(node, _)| *node == of) {
                spec.needs.push(Need { node: first, blocks: true });
            }
        });
    }
}

/// Pairs of who asked for a prerequisite and what was put in for it, where that is still open. `find` gives the task of a
/// key, and whether it is done.
pub(super) fn prerequisites(
    inserted: &[Inserted],
    find: impl Fn(&str) -> Option<(Node, bool)>,
) -> impl Iterator<Item = (Node, Node)> {
    let of_kind = inserted.iter().filter(|it| it.kind == Wanted::Prerequisite.name());
    of_kind.flat_map(move |it| {
        let of = find(&it.of).map(|(node, _)| node);
        let open: Vec<Node> =
            it.tasks.iter().filter_map(|key| find(key)).filter(|(_, done)| !done).map(|(node, _)| node).collect();
        of.into_iter().flat_map(move |of| open.clone().into_iter().map(move |first| (of, first)))
    })
}

fn proposals(request: &Request) -> Result<Vec<Proposed>, String> {
    request.tasks.iter().map(|task| Proposed::read(task)).collect()
}

/// The task that is to mend what failed, with the failed one's own files and checks.
fn fix(doc: &Document, index: usize, id: &str, failure: &Failure, salvage: Option<&str>, spec: &str) -> Proposed {
    let item = &doc.items[index];
    let own = if matches!(doc.dialect, Dialect::Kiro | Dialect::Specworkflow) { Dress::Italic } else { Dress::Bold };
    let says_the_same = |fix: &Proposed| {
        let text = format!("- [ ] {}\n  {}\n", fix.title, fix.body.join("\n  "));
        let (read, _) = document::parse(text.as_bytes(), "");
        let scripts = |item: &Item| item.fields.verify.iter().map(|it| it.script.clone()).collect::<Vec<_>>();
        let [read] = &read.items[..] else { return false };
        scripts(read) == scripts(item) && read.fields.files == item.fields.files
    };
    let fixes = [(own, true), (Dress::Bold, true)].into_iter().chain([(Dress::Bold, false)]);
    let mut fixes = fixes.map(|(dress, evidence)| fix_in(dress, item, id, failure, (salvage, evidence), spec));
    let first = fixes.find(says_the_same);
    first.unwrap_or_else(|| fix_in(Dress::Bold, item, id, failure, (salvage, false), spec))
}

/// How fields are written.
#[derive(Clone, Copy)]
enum Dress {
    /// `- **Files**: a`.
    Bold,
    /// `- _Files: a_`.
    Italic,
}

impl Dress {
    fn field(self, name: &str, value: &str) -> String {
        match self {
            Self::Bold => format!("- **{name}**: {value}"),
            Self::Italic => format!("- _{name}: {value}_"),
        }
    }
}

fn fix_in(
    dress: Dress,
    item: &Item,
    id: &str,
    failure: &Failure,
    (salvage, evidence): (Option<&str>, bool),
    spec: &str,
) -> Proposed {
    let Failure { code, reason, evidence: seen } = failure;
    let reason = line(reason, REASON).replace("<!--", "<! --");
    let mut body = vec![
        format!("- **Do**: find out why task {id} failed for good, and mend it; {id} is tried again behind this"),
        format!("- **Failure**: {code}: {reason}"),
    ];
    if let Some(name) = salvage {
        body.push(format!("- **Kept**: what it had made is kept as {name}"));
    }
    let seen = if evidence { tail(seen) } else { Vec::new() };
    if !seen.is_empty() {
        body.push("- **Evidence**: the end of what was seen".to_owned());
        body.extend(fenced("text", &seen));
    }
    if !item.fields.files.is_empty() {
        let shown =
            |file: &FileEntry| if file.gone { format!("`{}` (delete)", file.path) } else { format!("`{}`", file.path) };
        let files: Vec<String> = item.fields.files.iter().map(shown).collect();
        body.push(dress.field("Files", &files.join(", ")));
    }
    let scripts: Vec<&str> = item.fields.verify.iter().map(|it| it.script.as_str()).collect();
    match &scripts[..] {
        [] => {}
        [one] if !one.contains(['`', '\n']) => body.push(dress.field("Verify", &format!("`{one}`"))),
        several => {
            body.push("- **Verify**:".to_owned());
            for script in several {
                if script.contains(['`', '\n']) {
                    body.extend(fenced("sh", &script.lines().map(str::to_owned).collect::<Vec<_>>()));
                } else {
                    body.push(format!("  - `{script}`"));
                }
            }
        }
    }
    body.push(dress.field("Commit", &format!("`fix({spec}): mend what failed in {id}`")));
    let markers = vec![format!("FIX {id}")];
    Proposed { id: None, markers, title: format!("Mend what failed in {id} ({code})"), body }
}

/// A text in one line of at most so many characters.
fn line(text: &str, most: usize) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(most).collect()
}

/// The last lines of what was seen, fit to be quoted.
fn tail(evidence: &str) -> Vec<String> {
    let (lines, width) = EVIDENCE;
    let clean = |line: &str| -> String {
        let shown = line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).take(width);
        shown.collect::<String>().trim_end().to_owned()
    };
    let all: Vec<String> = evidence.trim_end().lines().map(clean).collect();
    all[all.len().saturating_sub(lines)..].to_vec()
}

/// Lines in a fence below a bullet, which nothing in them ends.
fn fenced(language: &str, lines: &[String]) -> Vec<String> {
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`').map(str::len)).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let mut block = vec![format!("  {fence}{language}")];
    block.extend(lines.iter().map(|line| if line.is_empty() { String::new() } else { format!("  {line}") }));
    block.push(format!("  {fence}"));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(source: &str, failure: &Failure) -> Document {
        let (doc, _) = document::parse(source.as_bytes(), "");
        let id = doc.items[0].id.clone().unwrap();
        let fix = fix(&doc, 0, &id, failure, Some("refs/spec/salvage/x"), "export");
        doc.insert(Spot::Behind(0), 0, &[fix], "").unwrap().document
    }

    fn text(doc: &Document) -> String {
        String::from_utf8(doc.source.to_vec()).unwrap()
    }

    #[test]
    fn a_fix_has_the_failure_and_the_files_and_checks_of_the_task() {
        let source = "- [ ] 1.3 Add it\n  - **Files**: src/a.rs, src/b.rs (delete)\n  - **Verify**: `make test`\n- [ ] 1.4 Next\n";
        let evidence = "```\n- [ ] 9.9 no task\n\u{1b}[31mred\n\n````\nlast\n";
        let failure = Failure::new(Code::VerifyFailed, "`make test`: exit 2\nmore").with_evidence(evidence);
        let doc = mended(source, &failure);
        insta::assert_snapshot!(text(&doc), @r"
        - [ ] 1.3 Add it
          - **Files**: src/a.rs, src/b.rs (delete)
          - **Verify**: `make test`
        - [ ] 1.3.1 [FIX 1.3] Mend what failed in 1.3 (verify_failed)
          - **Do**: find out why task 1.3 failed for good, and mend it; 1.3 is tried again behind this
          - **Failure**: verify_failed: `make test`: exit 2 more
          - **Kept**: what it had made is kept as refs/spec/salvage/x
          - **Evidence**: the end of what was seen
            `````text
            ```
            - [ ] 9.9 no task
            [31mred

            ````
            last
            `````
          - **Files**: `src/a.rs`, `src/b.rs` (delete)
          - **Verify**: `make test`
          - **Commit**: `fix(export): mend what failed in 1.3`
        - [ ] 1.4 Next
        ");
        assert_eq!(doc.items.len(), 3);
        assert_eq!(doc.items[1].fields.files, doc.items[0].fields.files);
    }

    #[test]
    fn a_fix_is_written_as_the_list_writes_its_fields() {
        let source = "- [ ] 1.3 Add it\n  - do it\n  - _Requirements: 1.1_\n  - _Files: a.rs_\n- [ ] 1.4 Next\n  - _Requirements: 1.2_\n";
        let doc = mended(source, &Failure::new(Code::NoChange, "nothing changed"));
        assert!(text(&doc).contains("\n  - _Files: `a.rs`_\n"), "{}", text(&doc));
        // Scripts of several lines, and several of them.
        let source = "- [ ] 1.3 Add it\n  - **Verify**:\n    ```sh\n    echo `date`\n    true\n    ```\n";
        let doc = mended(source, &Failure::new(Code::VerifyFailed, "exit 1"));
        assert_eq!(doc.items[1].fields.verify[0].script, "echo `date`\ntrue", "{}", text(&doc));
        let source = "- [ ] 1.3 Add it\n  - **Verify**: `true` and `make test`\n";
        let doc = mended(source, &Failure::new(Code::VerifyFailed, "exit 1"));
        let scripts: Vec<&str> = doc.items[1].fields.verify.iter().map(|it| it.script.as_str()).collect();
        assert_eq!(scripts, ["true", "make test"], "{}", text(&doc));
    }

    #[test]
    fn evidence_is_cut_to_its_end() {
        let many: Vec<String> = (0..100).map(|line| format!("line {line} {}\n", "x".repeat(300))).collect();
        let many = many.concat();
        let lines = tail(&many);
        assert_eq!((lines.len(), lines[39].len()), (40, 200));
        assert!(lines[39].starts_with("line 99 "));
        assert_eq!(tail("\n"), [] as [&str; 0]);
    }

    #[test]
    fn who_asked_waits_for_what_is_open_of_it() {
        let inserted = |kind: Wanted, tasks: &[&str]| Inserted {
            of: "a".into(),
            kind: kind.name().into(),
            tasks: tasks.iter().map(|&task| task.into()).collect(),
            depth: 1,
        };
        let all = [inserted(Wanted::Prerequisite, &["b", "c", "gone"]), inserted(Wanted::Followup, &["b"])];
        let find = |key: &str| ["a", "b", "c"].iter().position(|it| *it == key).map(|node| (node, node == 2));
        assert_eq!(prerequisites(&all, find).collect::<Vec<_>>(), [(0, 1)]);
        let growth = Growth { inserted: all.to_vec(), ..Growth::default() };
        assert_eq!((growth.requested("a"), growth.depth("c"), growth.depth("a")), (4, 1, 0));
    }
}
