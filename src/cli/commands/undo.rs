//! `spec undo`: takes back what a run landed, or what it landed from one step on, with one new commit. History stays as
//! it is, what others committed since stays, and the boxes of the tasks are opened again, so that the next run does them
//! anew; the state file follows. What was learned stays in the progress file.

use std::collections::{BTreeMap, BTreeSet};

use super::held::{self, Spec};
use super::runs;
use crate::cli::args::UndoArgs;
use crate::cli::{Error, Kind, exit, output};
use crate::document::{self, Document};
use crate::git::{Change, Clash, CommitRequest, Committer, FileEdit, Oid, RunCommit};
use crate::plan;
use crate::report::text::{clean, count, short, short_run};
use crate::runtime::clock;
use crate::store::event::Event;
use crate::store::fs::{self, Outcome};
use crate::store::journal;
use crate::store::recovery::{self, Phase};
use crate::store::state::{self, Fixed, Numbering, Projection, Standing, StateFile};

/// How often a list that somebody writes to is read anew.
const TRIES: usize = 100;

/// Does it.
pub fn run(args: &UndoArgs) -> Result<u8, Error> {
    let spec = Spec::open(args.file.as_deref())?;
    let (run, step) = which(&spec, &args.run)?;
    let _held = (spec.hold()?, spec.hold_tree()?);
    spec.repo.check_idle().map_err(Error::usage)?;
    spec.repo.check_identity().map_err(Error::usage)?;
    let commits = landed(&spec, &run, step)?;
    refuse_unfinished(&spec, &commits)?;
    let changes = spec.repo.without(&commits, &spec.own).map_err(Error::failed)?;
    let changes = changes.map_err(|clash| clashes(&run, &clash))?;
    let opened = Opened::find(&spec, &commits)?;
    let tasks = opened.labels();
    let said = what(&run, step, &commits, &tasks, &changes);
    let mut committer = Committer::new(&spec.repo).map_err(Error::failed)?;
    let refs: Vec<&Change> = changes.iter().collect();
    spec.repo.clear_for(&refs).map_err(|error| held::refused(&error))?;
    if args.dry_run {
        output::print_lines(&format!("{said}nothing was changed\n"))?;
        return Ok(exit::DONE);
    }
    let message = message(&spec, &run, step, &commits);
    let open = |bytes: &[u8]| opened.open(bytes);
    let edits = [FileEdit { path: &spec.own.list, edit: &open }];
    let request = CommitRequest { changes: &changes, edits: &edits, message: &message, trailers: &[], work: None };
    let at = spec.repo.head().map_err(Error::failed)?;
    let prepared = committer.prepare(&at, &request).map_err(|error| held::refused(&error))?;
    // First the boxes: cut off here, a task is done again, and none is ticked whose work is gone.
    let before = open_boxes(&spec, &opened)?;
    let commit = match prepared.commit {
        None => None,
        Some(commit) => {
            let id = commit.id.clone();
            match committer.land(&[(commit, request)], None) {
                Ok(landed) => {
                    if let Some(error) = landed.unfinished {
                        crate::cli::warn(&format!("{error}; `git status` shows what is behind"));
                    }
                }
                Err(error) => {
                    close_boxes(&spec, before)?;
                    return Err(held::refused(&error));
                }
            }
            Some(id)
        }
    };
    follow_state(&spec, &run)?;
    let done = match commit {
        Some(commit) => format!("taken back with commit {}", short(commit.as_str())),
        None => "nothing of it was left in the tree: no commit was needed".to_owned(),
    };
    let progress = spec.paths.progress();
    let kept = if progress.exists() { "; the progress file stays as it is" } else { "" };
    output::print_lines(&format!("{said}{done}{kept}\n"))?;
    Ok(exit::DONE)
}

/// The run and the step that `RUN`, `RUN/STEP` or `last` mean.
fn which(spec: &Spec, wanted: &str) -> Result<(String, Option<usize>), Error> {
    let (run, step) = match wanted.split_once('/') {
        None => (wanted, None),
        Some((run, step)) => {
            let number = step.parse().map_err(|_| {
                Error::usage(format_args!("`{step}` is no step: steps are numbers, as `spec plan --all` shows them"))
            })?;
            (run, Some(number))
        }
    };
    Ok((runs::find(&spec.paths, run)?, step))
}

/// What the run landed from that step on and is still there, newest first.
fn landed(spec: &Spec, run: &str, step: Option<usize>) -> Result<Vec<RunCommit>, Error> {
    let steps = spec.repo.steps_of(run).map_err(Error::failed)?;
    let journal = Journal::read(spec, run)?;
    let shown = short_run(run);
    let from = match (step, journal.there) {
        (Some(step), _) => match steps.get(&step) {
            Some(kept) => Some(journal.before(spec, kept.commit.clone())?),
            // It made the first commit of the repository: nothing was there to be noted.
            None if journal.there && journal.base.is_none() && steps.keys().all(|noted| *noted > step) => None,
            None if steps.is_empty() => {
                return Err(Error::usage(format_args!(
                    "nothing says where the steps of run {shown} began: it landed nothing, or its refs were dropped"
                ))
                .hint(format_args!("`spec undo {shown}` takes back all of it, if its journal is still there")));
            }
            None => {
                let there: Vec<String> = steps.keys().map(ToString::to_string).collect();
                let there = there.join(", ");
                return Err(Error::usage(format_args!("step {step} of run {shown} landed nothing"))
                    .hint(format_args!("steps that did: {there}")));
            }
        },
        // Its first commit may be the first of the repository.
        (None, true) => journal.base.clone(),
        (None, false) => match steps.into_values().next() {
            Some(kept) => Some(kept.commit),
            None => {
                return Err(Error::usage(format_args!(
                    "nothing says where run {shown} began: neither its journal nor its refs are there"
                )));
            }
        },
    };
    let made = &journal.own | &journal.landed;
    let commits = spec.repo.run_commits(run, from.as_ref(), &made).map_err(Error::failed)?;
    let commits = commits.ok_or_else(|| {
        let head = spec.repo.head().ok();
        let branch = head.as_ref().and_then(|head| head.branch_name()).unwrap_or("what is checked out");
        Error::usage(format_args!(
            "{branch} does not have what run {shown} began with: it ran on another branch, or this one was rewritten"
        ))
        .hint("check out the branch that it ran on")
    })?;
    if commits.is_empty() {
        return Err(Error::usage(format_args!(
            "nothing is left of run {shown} to take back: it landed nothing, or all of it is undone"
        )));
    }
    Ok(commits)
}

/// What the journal of a run has of its commits.
#[derive(Default)]
struct Journal {
    /// Whether it is there.
    there: bool,
    /// The commit that the run began with; none before the first commit of a repository.
    base: Option<Oid>,
    /// Commits that executors made themselves, of tasks that landed.
    own: BTreeSet<Oid>,
    /// Those that it put on the branch; some may be made by the run before, which was killed.
    landed: BTreeSet<Oid>,
}

impl Journal {
    fn read(spec: &Spec, run: &str) -> Result<Self, Error> {
        let path = spec.paths.journal(run);
        if !path.exists() {
            return Ok(Self::default());
        }
        let (records, _) = journal::read(&path).map_err(Error::failed)?;
        let oid = |text: &String| Oid::parse(text.as_bytes());
        let mut journal = Self::default();
        let mut own: BTreeMap<&str, &[String]> = BTreeMap::new();
        for record in &records {
            match &record.event {
                Event::RunStart { base, .. } => (journal.there, journal.base) = (true, base.as_ref().and_then(oid)),
                Event::TaskTaken { task, commits, .. } => drop(own.insert(&task.key, commits)),
                Event::Commit { commit, .. } => journal.landed.extend(oid(commit)),
                Event::TaskComplete { task, .. } => {
                    journal.own.extend(own.remove(task.key.as_str()).into_iter().flatten().filter_map(oid));
                }
                _ => {}
            }
        }
        Ok(journal)
    }

    /// What was there before a step: commits of executors stand before the first that landed.
    fn before(&self, spec: &Spec, mut commit: Oid) -> Result<Oid, Error> {
        while self.own.contains(&commit) {
            let parent = spec.repo.parent_of(&commit).map_err(Error::failed)?;
            let Some(parent) = parent else { break };
            commit = parent;
        }
        Ok(commit)
    }
}

/// A landing that was cut off would be finished by the next run, and tick what is taken back here.
fn refuse_unfinished(spec: &Spec, commits: &[RunCommit]) -> Result<(), Error> {
    let before = recovery::read(&spec.paths).map_err(Error::failed)?.recovered;
    let unfinished = before.tasks.values().find(|record| {
        let made = record.made.as_ref().map(|made| made.commit.as_str());
        record.phase == Phase::Landing && commits.iter().any(|commit| Some(commit.id.as_str()) == made)
    });
    unfinished.map_or(Ok(()), |record| {
        Err(Error::usage(format_args!("task {} was being landed when its run was killed", record.task.task))
            .hint("let `spec run` finish that first (`spec cancel` ends it then)"))
    })
}

fn clashes(run: &str, clash: &Clash) -> Error {
    let by = if clash.commits.is_empty() { "" } else { "\nby" };
    let commits: Vec<_> = clash.commits.iter().take(10).map(|commit| format!("\n  {}", clean(commit))).collect();
    let (paths, commits) = (held::lines(&clash.paths), commits.concat());
    let message = format!("what run {} landed was changed since:{paths}{by}{commits}", short_run(run));
    Error::new(Kind::Conflict, message)
        .hint("nothing was changed; take these back or change them first, or undo by hand with `git revert`")
}

/// ` from step 2 on`, or nothing for all of a run.
fn from_step(step: Option<usize>) -> String {
    step.map_or_else(String::new, |step| format!(" from step {step} on"))
}

/// What is taken back, for people.
fn what(run: &str, step: Option<usize>, commits: &[RunCommit], tasks: &[String], changes: &[Change]) -> String {
    let commit = |commit: &RunCommit| format!("  {} {}", short(commit.id.as_str()), clean(&commit.subject));
    let how_many = count(commits.len(), "commit", "commits");
    let mut lines = vec![format!("run {}{}: {how_many}", short_run(run), from_step(step))];
    lines.extend(commits.iter().map(commit));
    if !tasks.is_empty() {
        lines.push(format!("tasks to do again: {}", tasks.join(" ")));
    }
    if !changes.is_empty() {
        lines.push(format!("files:{}", held::lines(changes.iter().map(|change| &change.path))));
    }
    lines.join("\n") + "\n"
}

/// As `git revert` has it, so that git's users and `spec undo` itself know what is taken back.
fn message(spec: &Spec, run: &str, step: Option<usize>, commits: &[RunCommit]) -> String {
    let subject = format!("revert({}): what run {} landed{}", spec.paths.name(), short_run(run), from_step(step));
    let reverts: Vec<_> = commits.iter().map(|commit| format!("\nThis reverts commit {}.", commit.id)).collect();
    format!("{subject}\n{}", reverts.concat())
}

/// The boxes to be opened again, by the versions of the list that the commits ticked them in.
struct Opened {
    path: String,
    versions: Vec<(Document, Vec<usize>)>,
}

impl Opened {
    fn find(spec: &Spec, commits: &[RunCommit]) -> Result<Self, Error> {
        let path = spec.paths.list().to_string_lossy().into_owned();
        let mut versions: Vec<(Document, Vec<usize>)> = Vec::new();
        for commit in commits {
            let Some(task) = &commit.task else { continue };
            let bytes = spec.repo.file_at(&commit.id, &spec.own.list).map_err(Error::failed)?;
            let bytes = match bytes {
                Some(bytes) => bytes,
                // Git does not have the list: what there is is on disk.
                None => fs::read_if_exists(spec.paths.list()).map_err(Error::failed)?.unwrap_or_default(),
            };
            let (doc, _) = document::parse(bytes, &path);
            if let Some(index) = doc.item_of_label(task) {
                versions.push((doc, vec![index]));
            }
        }
        Ok(Self { path, versions })
    }

    fn labels(&self) -> Vec<String> {
        let labels = self.versions.iter().flat_map(|(doc, items)| items.iter().map(|item| doc.label(*item)));
        let mut labels: Vec<String> = labels.collect();
        labels.reverse();
        labels
    }

    /// The same boxes in another version of the list, and those of the parents around them; none where none is ticked.
    fn open(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (doc, _) = document::parse(bytes.to_vec(), &self.path);
        let mut items: BTreeSet<usize> = BTreeSet::new();
        for (version, ticked) in &self.versions {
            let places = version.rematch(&doc);
            items.extend(ticked.iter().filter_map(|index| places[*index]));
        }
        let parents: Vec<usize> = items.iter().flat_map(|item| doc.parents(*item)).collect();
        items.extend(parents);
        let edits: Vec<_> = items.into_iter().filter_map(|item| doc.untick(item)).collect();
        (!edits.is_empty()).then(|| document::apply(bytes, &edits))
    }
}

/// The list on disk before its boxes were opened, and with them.
struct Edited {
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Opens the boxes on disk; none where none is ticked.
fn open_boxes(spec: &Spec, opened: &Opened) -> Result<Option<Edited>, Error> {
    let path = spec.paths.list();
    let mut bytes = fs::read_if_exists(path).map_err(Error::failed)?.unwrap_or_default();
    for _ in 0..TRIES {
        let Some(new) = opened.open(&bytes) else { return Ok(None) };
        match fs::edit(path, &bytes, &new).map_err(Error::failed)? {
            Outcome::Done => return Ok(Some(Edited { old: bytes, new })),
            Outcome::Changed(found) => bytes = found,
        }
    }
    Err(Error::failed(format_args!("{}: it is written to all the time", spec.list.display())))
}

/// The state file, where it is about this list, says the same as the boxes.
fn follow_state(spec: &Spec, run: &str) -> Result<(), Error> {
    let (Some(old), None) = state::load(&spec.paths).map_err(Error::failed)? else { return Ok(()) };
    let bytes = fs::read_if_exists(spec.paths.list()).map_err(Error::failed)?.unwrap_or_default();
    let (doc, _) = document::parse(bytes, &spec.paths.list().to_string_lossy());
    let (plan, _) = plan::build(&doc, &plan::Options::default());
    let standing = |index: usize| if doc.items[index].checked { Standing::Done } else { Standing::Open };
    let work = (0..doc.items.len()).filter(|index| doc.is_work(*index, false, false));
    let tasks: Vec<(usize, Standing)> = work.map(|index| (index, standing(index))).collect();
    let groups: Vec<Vec<usize>> = plan.groups.iter().map(|group| group.tasks.clone()).collect();
    let numbering = if spec.paths.is_ralph() {
        Numbering::of_ralph(&doc.source, doc.items.iter().map(|item| item.line))
    } else {
        Numbering::by_index(doc.items.len())
    };
    let unknown = || state::Run {
        id: run.to_owned(),
        pid: std::process::id(),
        session_id: None,
        started_at: clock::timestamp(),
        approval_before: None,
    };
    let new = state::project(&Projection {
        name: &old.name,
        base_path: &old.base_path,
        tasks_file: &spec.paths.list_name(),
        numbering: &numbering,
        tasks: &tasks,
        groups: &groups,
        at: None,
        attempt: 0,
        max_attempts: old.max_task_iterations,
        attempts_made: old.global_iteration,
        fixed: &Fixed::all(&doc, |_| None),
        run: old.run.clone().unwrap_or_else(unknown),
    });
    let (mut file, _) = StateFile::take(&spec.paths).map_err(Error::failed)?;
    file.finish(&new).map_err(Error::failed)
}

/// Puts the ticks back, unless somebody has changed the list since.
fn close_boxes(spec: &Spec, edited: Option<Edited>) -> Result<(), Error> {
    let Some(Edited { old, new }) = edited else { return Ok(()) };
    if let Outcome::Changed(_) = fs::edit(spec.paths.list(), &new, &old).map_err(Error::failed)? {
        crate::cli::warn(&format!("{}: changed meanwhile, its boxes stay open", spec.list.display()));
    }
    Ok(())
}
