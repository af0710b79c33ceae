//! Before a run begins: the locks, what runs before this one left behind, the repository, and the plan. Everything that
//! can be wrong is found here, before anything is started; what an earlier run owes is made up for first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::board::{self, Board, ListFile, OwnTrees};
use super::clock;
use super::control::Mailbox;
pub use super::driver::unrunnable;
use super::driver::{Driver, Life, Own, Parts, read_progress};
use super::growth;
use super::outside::{self, Out, Outside};
use super::quota;
use super::sandbox::Sandbox;
use super::session::{Ask, Turn};
use super::shared::SharedTree;
use super::shell::Shell;
use super::signals::Signals;
use super::slots::Slots;
use super::tree;
use crate::cli::settings::{Isolation, RunSettings};
use crate::document::{self, Diagnostic, Document, Severity};
use crate::engine::budget::Spend;
use crate::engine::output::{Request, Wanted};
use crate::engine::{Code, Failure, Need, Policy, RunState, Seed, Steer};
use crate::git::{
    self, Blob, Change, Committer, Declared, Oid, Refusal, Refused, Repo, RepoPath, Secrets, Seen, SpecFiles, Work,
};
use crate::mask::{Masker, PatternError};
use crate::plan::{self, Mode};
use crate::report::Reporters;
use crate::store::event::{Event, TreeEntry};
use crate::store::fs::{PathError, sweep_temp_files};
use crate::store::journal::{self, Journal};
use crate::store::lease::{self, Lease};
use crate::store::lock::{self, LockError, SpecLock};
use crate::store::paths::SpecPaths;
use crate::store::progress;
use crate::store::recovery::{self, LastRun, Phase, Record, Recovered, Reported, Resume};
use crate::store::state::{self, Problem, StateError, StateFile};

/// How long what a killed run left behind gets to end by itself.
const SWEEP_GRACE: Duration = Duration::from_secs(2);
/// How long a git that a killed run had started is waited for.
const GITS: Duration = Duration::from_secs(5);

/// What to run.
pub struct Job {
    /// The list.
    pub list: PathBuf,
    /// The list as a person would write it.
    pub shown: String,
    /// How.
    pub settings: RunSettings,
    /// With what.
    pub shell: Shell,
    /// The list as it was read before the lock was held, and its plan: they do where it is still the same.
    pub read: Option<(Document, plan::Plan)>,
    /// Started by the run of an epic, and to end with it.
    pub part_of_epic: bool,
    /// It takes over from an agent session that may still be at work.
    pub take_over: bool,
    /// The call of an agent session that it is; none for a run that goes to its end by itself.
    pub(super) turn: Option<Turn>,
}

impl Job {
    /// A run that goes to its end by itself.
    #[must_use]
    pub fn new(list: PathBuf, shown: String, settings: RunSettings, shell: Shell) -> Self {
        Self { list, shown, settings, shell, read: None, part_of_epic: false, take_over: false, turn: None }
    }
}

/// Why a run did not begin. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another run holds the spec or the tree.
    #[error(transparent)]
    Busy(#[from] LockError),
    /// The list cannot be run as it is (any more).
    #[error("{shown}:{line}: {message}")]
    List {
        /// The list.
        shown: String,
        /// 1-based.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The repository cannot be worked in.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// Trees of their own are asked for, and cannot be had.
    #[error("--isolation worktree needs {0}")]
    NoTrees(&'static str),
    /// A person's changes are in the tree.
    #[error("the working tree has uncommitted changes: {}", list(.0))]
    Dirty(Vec<String>),
    /// A file beside the list cannot be used.
    #[error(transparent)]
    Store(#[from] PathError),
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system does not let us.
    #[error("cannot {what}: {source}")]
    System {
        /// Do what.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// An agent session has it.
    #[error(
        "session {session} has {list} (heard of {minutes} min ago on {host}); it is free after 30 min of silence",
        list = list.display()
    )]
    Leased {
        /// Which.
        session: String,
        /// The list.
        list: PathBuf,
        /// The machine of its last call.
        host: String,
        /// For how long nothing was heard of it.
        minutes: u64,
    },
    /// What a session asks cannot be done.
    #[error("{0}")]
    Session(String),
    /// What an earlier run had put into the list cannot be committed.
    #[error("{0}")]
    Growth(String),
    /// These specs cannot be run side by side.
    #[error("{0}")]
    Epic(String),
    /// What is wanted cannot be had.
    #[error("{0}")]
    Sandbox(String),
    /// The patterns of secrets cannot be searched for.
    #[error("what is secret cannot be searched for: it {0}")]
    Secrets(#[from] PatternError),
    /// The mailbox cannot be opened.
    #[error(transparent)]
    Control(#[from] super::control::ControlError),
}

fn list(paths: &[String]) -> String {
    let shown = paths.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > 8 { format!("{shown} and {} more", paths.len() - 8) } else { shown }
}

/// Runs a list to its end and gives the exit code.
pub fn run(job: Job, reporters: Reporters) -> Result<u8, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::System { what: "start the runtime", source })?;
    runtime.block_on(async {
        let signals = if job.part_of_epic { Signals::with_starter() } else { Signals::new() };
        let signals = signals.map_err(|source| RunError::System { what: "listen for signals", source })?;
        let (driver, mailbox) = prepare(job, reporters).await?;
        Ok(Box::pin(driver.run(signals, mailbox)).await)
    })
}

/// The list as it is now, and its plan; an error where it cannot be run.
fn read(
    job: &Job,
    bytes: Vec<u8>,
    before: Option<(Document, plan::Plan)>,
) -> Result<(Vec<u8>, Document, plan::Plan), RunError> {
    if let Some((doc, plan)) = before.filter(|(doc, _)| *doc.source == bytes[..]) {
        return Ok((bytes, doc, plan));
    }
    let (doc, mut found) = document::parse(bytes.clone(), &job.list.to_string_lossy());
    let (plan, more) = plan::build(&doc, &job.settings.plan_options());
    found.extend(more);
    if let Some(error) = found.iter().find(|found| found.severity == Severity::Error) {
        return Err(wrong(job, &doc, error));
    }
    if let Some(index) = unrunnable(&doc, &plan, &job.settings).first() {
        let message = format!("task {} has no Run, and no executor is given", doc.label(*index));
        return Err(RunError::List { shown: job.shown.clone(), line: doc.items[*index].line, message });
    }
    Ok((bytes, doc, plan))
}

fn wrong(job: &Job, doc: &Document, found: &Diagnostic) -> RunError {
    let (line, _) = doc.position(found.span.start);
    RunError::List { shown: job.shown.clone(), line, message: found.message.clone() }
}

/// What was found out and is said once the reporters and the journal are there.
#[derive(Default)]
struct Notices(Vec<(&'static str, &'static str, String)>);

impl Notices {
    fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        self.0.push(("warning", code, message.into()));
    }
    fn info(&mut self, code: &'static str, message: impl Into<String>) {
        self.0.push(("info", code, message.into()));
    }
    fn ended(&mut self, processes: usize) {
        if processes > 0 {
            self.warn("processes-ended", format!("{processes} processes of the run that was killed were ended"));
        }
    }
}

async fn prepare(mut job: Job, reporters: Reporters) -> Result<(Driver, Mailbox), RunError> {
    let started = clock::now();
    let mut notices = Notices::default();
    if let Err(error) = tree::become_subreaper() {
        notices.warn("no-subreaper", format!("what leaves its process group may outlive the run: {error}"));
    }
    let mask = Arc::new(masker(&job.settings)?);
    let (sandbox, said) = Sandbox::choose(&job.settings).map_err(RunError::Sandbox)?;
    if let Some(said) = said {
        let level = if sandbox.is_some() { "info" } else { "warning" };
        notices.0.push((level, "sandbox", said));
    }
    let paths = SpecPaths::find(&job.list)?;
    let leased = lease::load(&paths.lease())?;
    let mut run = run_of(&job, &paths, leased.as_ref())?;
    let secrets = job.settings.secrets_scan.then(|| Secrets::new(Arc::clone(&mask), &job.settings.secrets_allow));
    let repo = Repo::open(paths.folder())?.map(|repo| repo.without_secrets(secrets));
    let lacking = trees_lack(&job.settings, repo.as_ref())?;
    if let (Isolation::Worktree, Some(lacking)) = (job.settings.isolation, lacking) {
        return Err(RunError::NoTrees(lacking));
    }
    if let Some(repo) = &repo {
        repo.check_idle()?;
        if !job.settings.no_commit {
            repo.check_identity()?;
        }
    }
    let lock = SpecLock::acquire(&paths.lock(), &run, Timestamp::now())?;
    if !lock.is_kernel_held() {
        notices.warn("lock-without-kernel", format!("{}: this file system has no locks", paths.lock().display()));
    }
    let mut locks = vec![lock];
    let git_place = outside::git_place(repo.as_ref())?;
    refuse_leased(&job, &paths, git_place.as_deref())?;
    if let Some(repo) = &repo {
        locks.push(SpecLock::acquire(&repo.own_dir()?.join("tree.lock"), &run, Timestamp::now())?);
        repo.exclude()?;
        repo.finish_merge()?;
    }

    sweep_temp_files(paths.folder())?;
    let found = recovery::read(&paths)?;
    for damaged in &found.damaged {
        let repaired = journal::repair(damaged)?;
        let kept = repaired.kept.map_or_else(String::new, |kept| format!(", kept as {}", kept.display()));
        notices.warn("journal-damaged", format!("{}: a part cannot be read{kept}", damaged.display()));
    }
    let before = found.recovered;
    let cut_off = before.last.as_ref().filter(|last| last.outcome.is_none());
    // What an agent session has done so far, where this is a call of one.
    let taken_up = cut_off.filter(|last| job.turn.is_some() && last.session.is_some());
    let same_run = taken_up.is_some_and(|last| last.id == run);
    if !same_run && leased.as_ref().is_some_and(|lease| lease.run == run) {
        // It ended between two looks.
        run = clock::run_id();
    }
    // Where its journal is lost, the state file still names the run that was killed.
    let in_state = state::load(&paths)?.0.and_then(|state| state.run).map(|run| run.id);
    if let Some(id) = in_state.filter(|id| before.last.as_ref().is_none_or(|last| last.id != *id)) {
        notices.ended(tree::sweep(&id, SWEEP_GRACE).await);
    }
    if let Some(last) = cut_off.filter(|last| !last.put_down) {
        end_what_is_left(last, &before, &mut notices).await;
        let here = last.host == lock::host_name();
        if let (Some(repo), Some(since), true) = (&repo, clock::began(&last.id), here) {
            for lock in repo.remove_stale_locks(since) {
                notices.info("lock-removed", format!("{}: left by a git of the run that was killed", lock.display()));
            }
        }
    }

    // Files that a killed run was in the middle of writing, now that nobody of ours writes any more.
    if let Some(repo) = &repo {
        repo.sweep_scratch()?;
    }
    for folder in [paths.folder(), &paths.work()] {
        sweep_temp_files(folder)?;
    }
    // From here on the list is what counts: nobody else of ours writes to it any more.
    let known = job.read.take();
    let there = crate::store::fs::read_if_exists(&job.list)?.unwrap_or_default();
    // Of a session's run as it was put down: what was done to it since is looked at by the driver.
    let kept = match taken_up {
        Some(last) => crate::store::fs::read_if_exists(&paths.kept_list(&last.id))?,
        None => None,
    };
    let (bytes, doc, plan) = match kept.map(|kept| read(&job, kept, None)) {
        Some(Ok(kept)) if !kept.1.items.is_empty() => kept,
        _ => read(&job, there, known)?,
    };
    let (state_file, taken) = StateFile::take(&paths)?;
    if let (Some(problem), Some(kept)) = (&taken.problem, &taken.kept) {
        let what = match problem {
            Problem::Corrupt { reason } => format!("cannot be read ({reason}) and is made anew"),
            Problem::OtherList { tasks_file } => format!("is about {tasks_file}, another list"),
        };
        let message = format!("{} {what}; what it was is kept as {}", paths.state().display(), kept.display());
        notices.warn("state-rebuilt", message);
    }

    let own_trees = own_trees(&job.settings, lacking.is_some(), plan.mode);
    let mut board = Board::new(doc, plan, &job.settings, own_trees);
    let mut laid = board.lay_out(&job.settings);
    let node_of = |key: &str| board.entries.iter().position(|entry| entry.task.key == key).map(|node| (node, false));
    for (of, first) in growth::prerequisites(&before.inserted, node_of) {
        laid.specs[of].1.needs.push(Need { node: first, blocks: true });
    }
    let root = repo.as_ref().map_or_else(|| paths.folder().to_owned(), |repo| repo.root().to_owned());
    let mut lives: Vec<Life> = Vec::new();
    lives.resize_with(board.entries.len(), Life::default);
    let mut steers = Vec::new();
    let records: Vec<Option<&Record>> = match_records(&board, &before);
    let mut seeds = Vec::with_capacity(laid.specs.len());
    // Numbered from 0 in the order of the list.
    for ((node, spec), record) in laid.specs.into_iter().zip(&records) {
        let mut seed = Seed::default();
        if let Some(record) = record {
            let resume = record.resume(board.item(node).checked);
            seed = seed_of(record, resume, spec.max_attempts, &mut lives[node], spec.verify);
            let to_do = matches!(resume, Resume::Run | Resume::Leave);
            if to_do && cut_off.is_none() {
                // A run that ended counts anew; what its last try met is of use only where its changes are there still.
                seed = Seed::default();
                if resume == Resume::Leave {
                    lives[node] = Life::default();
                }
            } else if cut_off.is_none() {
                // It may try again what a person was needed for.
                seed.conflicts = 0;
            } else if resume == Resume::Leave && record.phase == Phase::Skipped {
                steers.push(Steer::Skip(node));
            } else if resume == Resume::Leave && taken_up.is_some() {
                seed.over = true;
                lives[node].told = record.told;
            }
        }
        seeds.push((spec, seed));
    }

    // What the session has: tries that go on.
    let mut out: BTreeMap<usize, Out> = BTreeMap::new();
    let handed = |record: &Record| taken_up.is_some() && record.handed_out.is_some();

    let mut baseline = Vec::new();
    let mut leftovers = Vec::new();
    let mut slots = None;
    let mut to_enter = Vec::new();
    let mut learned = Vec::new();
    let tree = match repo {
        None => {
            for (node, record) in records.iter().enumerate() {
                let Some(record) = record.filter(|record| handed(record)) else { continue };
                out.extend(out_of(record, None).map(|out| (node, out)));
            }
            None
        }
        Some(repo) => {
            let own = repo.spec_files(paths.list(), paths.progress());
            let landed = finish_commits(&repo, &before, &own)?;
            to_enter = behind_each_other(&landed, &records);
            if own_trees != OwnTrees::None || !Repo::slot_numbers(&paths.slots()).is_empty() {
                let settings = job.settings.worktree.clone();
                let there = Slots::find(&repo, paths.slots(), own.clone(), job.settings.too_much, settings)?;
                slots = Some(there);
            }
            for (node, record) in records.iter().enumerate() {
                let Some(record) = record.filter(|record| handed(record)) else { continue };
                let slot = match &record.slot {
                    None => None,
                    Some((number, base)) => {
                        let slot = slots.as_mut().and_then(|slots| slots.keep_out(*number));
                        let base = Oid::parse(base.as_bytes()).filter(|base| repo.has_commit(base));
                        // Without its tree it begins anew.
                        let Some((slot, base)) = slot.zip(base) else { continue };
                        Some((Some(slot), base))
                    }
                };
                out.extend(out_of(record, slot).map(|out| (node, out)));
            }
            if let Some(slots) = &slots {
                let going_on = |record: &Record| {
                    let out = records
                        .iter()
                        .enumerate()
                        .any(|(node, it)| it.is_some_and(|it| std::ptr::eq(it, record)) && out.contains_key(&node));
                    out || taken_up.is_some() && record.phase == Phase::Waiting
                };
                save_what_is_left(slots, &repo, &before, &paths.name(), &going_on, &mut notices)?;
            }
            // What those said that were cut short there: others get their trees.
            for (node, record) in records.iter().enumerate() {
                let cut_short = record.filter(|record| record.cut_short() && !out.contains_key(&node));
                let (Some(slots), Some(record)) = (&slots, cut_short) else { continue };
                let Some((number, _)) = record.slot else { continue };
                let file = paths.isolated_progress(record.task.index);
                let text = read_progress(&slots.yard.inside(&file, &slots.yard.place(number)), &mask);
                let Some(text) = text.filter(|text| !text.trim().is_empty()) else { continue };
                lives[node].progress = format!("{}\n{text}", lives[node].progress);
                learned.push(Event::TaskProgress { task: record.task.clone(), attempt: record.attempt, text });
            }
            // Who is at work in this tree, and since HEAD was where.
            let at_work: Vec<usize> =
                out.iter().filter(|(_, it)| it.slot.is_none() && it.taken.is_none()).map(|(node, _)| *node).collect();
            let head = taken_up.and_then(|last| last.head.as_ref()).map(outside::head_of);
            let since = head.clone().filter(|_| !at_work.is_empty());
            let commits = !job.settings.no_commit;
            let (mut tree, found) = SharedTree::begin(repo, own, commits, job.settings.too_much, since.as_ref())?;
            if let Some(head) = head {
                tree.set_branch(head.branch);
            }
            let sorted = Sorted::new(found.changes, &before, &board, &records, &landed, since.is_some());
            let (by_session, found_refused): (Vec<Refused>, Vec<Refused>) = found.refused.into_iter().partition(|it| {
                let known =
                    was_refused(&it.path, &before.unattributed) || before.baseline.contains_key(&it.path.to_wire());
                since.is_some() && !known
            });
            let (refused, persons): (Vec<Refused>, Vec<Refused>) =
                found_refused.into_iter().partition(|refused| left_refused(&refused.path, &before));
            let mine: Vec<Change> = sorted.nobodys.iter().chain(sorted.tasks.values().flatten()).cloned().collect();
            let mut dirty = tree.repo.dirty(&tree.own, &mine)?;
            let left: BTreeSet<&RepoPath> = refused.iter().map(|refused| &refused.path).collect();
            dirty.retain(|path| !left.contains(path));
            // Where no task works in it, a person's changes are in nobody's way until something lands on them.
            if !dirty.is_empty() && !job.settings.allow_dirty && own_trees != OwnTrees::All && taken_up.is_none() {
                return Err(RunError::Dirty(dirty.iter().map(ToString::to_string).collect()));
            }
            // What a person has in a file with a secret is not known, but that it is a person's.
            let with_secrets = persons.iter().filter(|it| matches!(it.why, Refusal::Contains { .. }));
            let unknown = with_secrets.map(|it| Change { path: it.path.clone(), old: None, new: None });
            let all_persons: Vec<Change> = sorted.persons.iter().cloned().chain(unknown).collect();
            tree.settle(&all_persons, (&sorted.nobodys, &refused), &sorted.tasks);
            if let Some(since) = since {
                let seen = Seen { changes: sorted.outside.clone(), refused: by_session, cleared: Vec::new() };
                let tasks = at_work.iter().map(|node| {
                    let declared = declared_by(&board, *node);
                    (*node, board.entries[*node].task.key.clone(), declared)
                });
                tree.resume(tasks.collect(), since, &seen)?;
            }
            for (node, record) in records.iter().enumerate() {
                let key = &board.entries[node].task.key;
                let mut taken = tree.ledger.taken(key);
                let Some(record) = record else { continue };
                if landed.contains(record.task.key.as_str()) {
                    taken.changes = record.taken.iter().map(Change::from_wire).collect();
                } else if let Some((base, commit)) = &record.work {
                    let (base, commit) = (Oid::parse(base.as_bytes()), Oid::parse(commit.as_bytes()));
                    let there = |oid: &Oid| tree.repo.has_commit(oid);
                    match base.zip(commit).filter(|(base, commit)| there(base) && there(commit)) {
                        Some((base, commit)) if seeds[node].1.passed => {
                            taken.changes = record.taken.iter().map(Change::from_wire).collect();
                            let work = Some(Work { base, commit });
                            lives[node].own = Some(Box::new(Own { work, ..Own::default() }));
                        }
                        // What it had made before its next try, unless that is to begin afresh.
                        Some((base, commit)) if taken_up.is_some() && record.phase == Phase::Waiting => {
                            let code = record.failure.as_ref().map_or("", |failure| failure.code.as_str());
                            let saved = (code != Code::Conflict.name()).then_some(Work { base, commit });
                            let onto_tip = code == Code::VerifyMerged.name();
                            lives[node].own = Some(Box::new(Own { saved, onto_tip, ..Own::default() }));
                        }
                        _ => seeds[node].1.passed = false,
                    }
                } else if record.slot.is_some() {
                    // What it did is saved; only what changed nothing passes without a commit of its own.
                    seeds[node].1.passed &= record.taken.is_empty();
                } else if seeds[node].1.passed && !tree.still_has(&taken.changes, &record.taken)? {
                    seeds[node].1.passed = false;
                    let task = &board.entries[node].task.task;
                    let message =
                        format!("task {task} had passed, and what it did is no longer in the tree: it runs again");
                    notices.warn("work-gone", message);
                }
                lives[node].taken = Some(Box::new(taken));
            }
            let entries = |changes: &[Change], refused: &[Refused]| -> Vec<TreeEntry> {
                changes.iter().map(Change::to_wire).chain(refused.iter().map(Refused::to_wire)).collect()
            };
            baseline = entries(&sorted.persons, &persons);
            leftovers = entries(&sorted.nobodys, &refused);
            Some(tree)
        }
    };

    for (node, out) in &out {
        let Some(record) = records[*node] else { continue };
        let (spec, seed) = &mut seeds[*node];
        // The engine counts a try when it begins.
        *seed = Seed { out: true, passed: false, attempts: seed.attempts + 1, ..*seed };
        spec.own_tree = out.slot.is_some();
        let life = &mut lives[*node];
        (life.attempt, life.place) = (record.attempt, Some(record.task.index));
        life.limit = Duration::from_millis(spec.timeout);
        life.started = outside::since(&out.handed);
        let item = board.item(*node);
        let now = board.doc.source.get(item.block.clone()).map(String::from_utf8_lossy).unwrap_or_default();
        // As the journal has it.
        let mut now = now.into_owned();
        mask.mask(&mut now);
        if now != out.handed.block {
            life.job = outside::job_of(&out.handed.block, &job.settings).map(Arc::new);
        }
        if let (Some(slots), Some((number, _)), true) = (&slots, &record.slot, out.slot.is_some()) {
            life.own.get_or_insert_default().root = slots.yard.place(*number);
        }
    }
    let reports = match &job.turn {
        Some(Turn { ask: Ask::Finish(reports), .. }) => reported(reports, &board, &records, &mut out, taken_up)?,
        _ => Vec::new(),
    };

    let merged = progress::land_orphans(&paths, &mask, |index| orphan(&board, &records, index))?;
    if !merged.is_empty() {
        let names: Vec<String> = merged.iter().map(|path| path.display().to_string()).collect();
        notices.info("progress-recovered", format!("learnings of unfinished tasks were kept: {}", names.join(", ")));
    }

    if job.settings.recovery && !job.settings.has_executor() {
        notices.warn("no-recovery", "nothing can mend what fails: --recovery needs an executor");
    }
    if board.doc.items.iter().any(|item| !item.checked && !board::quota(item, &job.settings).is_none()) {
        notices.info("quotas", quota::HOW);
    }
    let mailbox = Mailbox::open(paths.control(), &run)?;
    let journal = if same_run {
        Journal::open(&paths.journal(&run), &run)?.0
    } else {
        Journal::create(&paths.journal(&run), &run)?
    };
    let policy = Policy {
        max_parallel: job.settings.max_parallel,
        keep_going: job.settings.keep_going || board.plan.declares_dependencies,
        land_each: board.plan.mode == Mode::Graph,
        max_conflicts: job.settings.max_conflicts,
        backoff: millis(job.settings.backoff),
        backoff_max: millis(job.settings.backoff_max),
        seed: u64::from(crc32fast::hash(run.as_bytes())),
    };
    let engine = RunState::new(policy, seeds, laid.stages);
    let resumes = cut_off.map(|last| last.id.clone());
    if job.turn.is_none() {
        lease::end(&paths.lease(), git_place.as_deref())?;
    }
    let from_seq = journal.seq();
    let turn = job.turn.map(|turn| {
        let known = leased.filter(|lease| lease.run == run).unwrap_or_default();
        let paused = taken_up.is_some_and(|last| last.paused);
        // A call that only ends something begins nothing; the next one does.
        if paused || turn.ask != Ask::Next {
            steers.push(Steer::Pause);
        }
        Outside {
            lease: Lease { session: turn.session, paused, ..known },
            ask: turn.ask,
            git: git_place,
            answer: turn.answer,
            out,
            began: taken_up.map_or_else(|| Some(clock::wall()), |last| last.started.parse().ok()),
            from_seq,
            steered: false,
        }
    });
    let figures = taken_up.map(|last| last.figures.clone());
    let list = ListFile::new(paths.list(), &bytes);
    let parts = Parts {
        run,
        shown: job.shown,
        settings: job.settings,
        paths,
        root,
        shell: Arc::new(job.shell),
        mask,
        sandbox,
        locks,
        journal,
        state_file,
        tree,
        slots,
        board,
        list,
        engine,
        lives,
        reporters,
        started,
        used_before: if resumes.is_some() { before.used } else { Spend::default() },
    };
    let mut driver = Driver::new(parts);
    driver.executors_ran = turn.as_ref().is_some_and(|turn| !turn.out.is_empty());
    driver.outside = turn;
    driver.summary = figures.unwrap_or_default();
    driver.begin(!same_run, resumes, baseline, leftovers, steers)?;
    driver.emit_all(reports)?;
    driver.write_lease(false).map_err(|fatal| RunError::Session(fatal.message))?;
    let owed = before
        .followups
        .into_values()
        .map(|(task, reason, tasks)| (task, Request { wanted: Wanted::Followup, task: None, reason, tasks }));
    driver.grow_on(before.inserted, owed.collect());
    // In the order of the commits: others of their batch are to land behind them.
    driver.enter_on_disk(&to_enter)?;
    driver.emit_all(learned)?;
    driver.commit_what_was_put_in().map_err(|fatal| RunError::Growth(fatal.message))?;
    for (level, code, message) in notices.0 {
        driver.notice(level, code, &message);
    }
    for (account, until) in before.closed {
        driver.still_closed(&account, &until);
    }
    Ok((driver, mailbox))
}

/// Knows the secrets of our environment. A variable that names a file that is there has no secret in itself.
pub fn masker(settings: &RunSettings) -> Result<Masker, PatternError> {
    let is_file = |value: &str| value.starts_with(['/', '~', '.']) && std::path::Path::new(value).exists();
    let vars =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let vars = vars.filter(|(_, value)| !is_file(value));
    Masker::new(&settings.secrets, vars)
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The run that this is a part of: a session goes on with its own.
fn run_of(job: &Job, paths: &SpecPaths, leased: Option<&Lease>) -> Result<String, PathError> {
    if let (Some(lease), true) = (leased, job.turn.is_some())
        && let journal = paths.journal(&lease.run)
        && !lease.run.is_empty()
        && journal.exists()
        && journal::ends(&journal)?.is_some_and(|(_, last)| !matches!(last.event, Event::RunComplete { .. }))
    {
        return Ok(lease.run.clone());
    }
    Ok(clock::run_id())
}

/// An agent session keeps everybody else out between its calls: of its spec, and of the tree that it works in.
fn refuse_leased(job: &Job, paths: &SpecPaths, git: Option<&Path>) -> Result<(), RunError> {
    let own = paths.lease();
    if !job.take_over {
        let session = job.turn.as_ref().map(|turn| turn.session.as_str());
        refuse(outside::held_by_other(&own, session)?, &own)?;
    }
    git.map_or(Ok(()), |git| refuse_tree(git, Some(&own)))
}

/// Whether the tree with this `<git-dir>/spec` is a session's, by another lease than `own`.
pub(super) fn refuse_tree(git: &Path, own: Option<&Path>) -> Result<(), RunError> {
    match lease::points_to(git)?.filter(|other| Some(other.as_path()) != own) {
        Some(other) => refuse(outside::held_by_other(&other, None)?, &other),
        None => Ok(()),
    }
}

fn refuse(held: Option<Lease>, path: &Path) -> Result<(), RunError> {
    let Some(lease) = held else { return Ok(()) };
    let minutes = lease::silent_for(path, clock::wall()).unwrap_or_default().as_secs() / 60;
    Err(RunError::Leased { session: lease.session, list: lease.list, host: lease.host, minutes })
}

/// A try that a session has, by the journal.
fn out_of(record: &Record, slot: Option<(Option<Box<git::Slot>>, Oid)>) -> Option<Out> {
    let handed = record.handed_out.as_deref()?.clone();
    let taken = (record.taken_in == Some(record.attempt))
        .then(|| record.taken.iter().map(Change::from_wire).collect::<Vec<_>>());
    Some(Out { handed, slot, taken, cancel: false })
}

/// What a session says of tries, entered where it belongs, and as the journal is to have it. What was said before and
/// has had its effect is no fault.
fn reported(
    reports: &[super::session::Report],
    board: &Board,
    records: &[Option<&Record>],
    out: &mut BTreeMap<usize, Out>,
    taken_up: Option<&LastRun>,
) -> Result<Vec<Event>, RunError> {
    if taken_up.is_none() {
        return Err(RunError::Session("no session has a run of this list; `spec next` begins one".to_owned()));
    }
    let mut events = Vec::new();
    for report in reports {
        let label = report.task.trim();
        let by_label = (0..records.len()).find(|node| {
            board.entries[*node].task.task == label || records[*node].is_some_and(|record| record.task.task == label)
        });
        let selected = || match board.doc.select(label).as_deref() {
            Some([only]) => Some(*only),
            _ => None,
        };
        let node = by_label.or_else(|| board.node(selected()?));
        let record = node.and_then(|node| records[node]);
        if let Some(it) = node.and_then(|node| out.get_mut(&node)) {
            let said = Reported { failed: report.failed.clone(), no_change: report.no_change.clone() };
            let (Some(record), false) = (record, it.handed.report.as_ref() == Some(&said)) else { continue };
            events.push(Event::TaskReported {
                task: record.task.clone(),
                attempt: record.attempt,
                failed: said.failed.clone(),
                no_change: said.no_change.clone(),
            });
            it.handed.report = Some(said);
            continue;
        }
        let settled = record.is_some_and(|it| matches!(it.phase, Phase::Passed | Phase::Landing | Phase::Landed));
        let done = selected().or_else(|| board.doc.item_of_id(label)).is_some_and(|at| board.doc.items[at].checked);
        if !settled && !done {
            let known = selected().is_some() || node.is_some();
            return Err(RunError::Session(if known {
                format!("task {label} is not handed out; `spec next` says what is")
            } else {
                format!("there is no task {label} in this list; `spec next` says what is handed out")
            }));
        }
    }
    Ok(events)
}

/// What a task declares, by the list.
fn declared_by(board: &Board, node: usize) -> Vec<Declared> {
    board.item(node).fields.files.iter().map(|file| Declared::new(&file.path, file.glob)).collect()
}

/// Ends what is left of the processes of a run that was killed, on this machine.
async fn end_what_is_left(last: &LastRun, before: &Recovered, notices: &mut Notices) {
    if last.host != lock::host_name() {
        notices.warn("other-host", format!("the run before this one was killed on {}; it is not looked at", last.host));
        return;
    }
    let mut runs: BTreeSet<&str> = before.processes.values().map(|process| process.run.as_str()).collect();
    runs.insert(&last.id);
    let mut ended = 0;
    for run in runs {
        ended += tree::sweep(run, SWEEP_GRACE).await;
    }
    notices.ended(ended);
}

/// What an earlier run's journal has of each task: by key, and where its text was edited by its id alone.
fn match_records<'a>(board: &Board, before: &'a Recovered) -> Vec<Option<&'a Record>> {
    let mut by_id: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in before.tasks.values() {
        if let Some(id) = record.task.key.split('~').next().filter(|id| !id.is_empty()) {
            by_id.entry(id).or_default().push(record);
        }
    }
    let find = |node: usize| {
        let key = &board.entries[node].task.key;
        let same_id = || match by_id.get(key.split('~').next()?)?[..] {
            [only] => Some(only),
            _ => None,
        };
        before.tasks.get(key).or_else(same_id)
    };
    (0..board.entries.len()).map(find).collect()
}

/// What the engine and the driver are to know of a task that an earlier run left unfinished.
fn seed_of(record: &Record, resume: Resume, max_attempts: u32, life: &mut Life, verify: bool) -> Seed {
    let mut seed = Seed {
        tries: record.tries,
        attempts: record.attempts,
        timeouts: record.timeouts,
        // What did not count (a limit, a request for other tasks) or was mended is no failure of its own.
        failed: record.failure.is_some() && record.attempts > 0,
        conflicts: record.conflicts,
        ..Seed::default()
    };
    life.failure = record.failure.as_ref().map(|failure| {
        let code = Code::from_name(&failure.code).unwrap_or(Code::Crash);
        Box::new(Failure::new(code, failure.reason.clone()).with_evidence(failure.evidence.clone()))
    });
    life.gone = record.gone;
    life.progress = record.progress.join("\n");
    match resume {
        Resume::Done | Resume::RunAnew => {
            *life = Life::default();
            return Seed::default();
        }
        Resume::FinishLanding | Resume::Land => {
            seed.passed = true;
            life.attempt = record.attempt;
            // It could not have passed without.
            life.verified = verify;
            life.made = record.made.clone().map(Box::new);
        }
        Resume::Leave => {
            seed.failed = record.phase == Phase::Failed;
            seed.attempts = if seed.failed { seed.attempts.max(max_attempts) } else { 0 };
        }
        Resume::Run => {}
    }
    seed
}

/// A crash between moving the branch and the user's index is finished before anybody looks at the tree. Gives the tasks
/// whose commits are on the branch, by the keys of their records.
fn finish_commits<'a>(repo: &Repo, before: &'a Recovered, own: &SpecFiles) -> Result<BTreeSet<&'a str>, git::Error> {
    let mut landed = BTreeSet::new();
    let tip = repo.head()?.commit;
    // A batch that was made in slots: from its last commit, which is the tip, back to what was there before it.
    let chain: BTreeMap<&str, Option<&str>> = before
        .tasks
        .values()
        .filter(|record| record.slot.is_some() && record.phase != Phase::Landed && record.commit.is_none())
        .filter_map(|record| record.made.as_ref())
        .map(|made| (made.commit.as_str(), made.parent.as_deref()))
        .collect();
    let mut first = tip.as_ref().map(Oid::as_str);
    while let Some(parent) = first.and_then(|commit| chain.get(commit)) {
        first = *parent;
    }
    if let Some(tip) = tip.as_ref().filter(|tip| Some(tip.as_str()) != first) {
        let first = first.and_then(|first| Oid::parse(first.as_bytes()));
        repo.wait_for_gits(GITS);
        repo.catch_up_tree(first.as_ref(), tip, own)?;
    }
    if let Some(made) = &before.list_commit
        && let Some(commit) = Oid::parse(made.commit.as_bytes())
        && tip.as_ref() == Some(&commit)
    {
        repo.catch_up(&commit, made.parent.as_ref().and_then(|parent| Oid::parse(parent.as_bytes())).as_ref())?;
    }
    for record in before.tasks.values() {
        let Some(made) = &record.made else { continue };
        let Some(commit) = Oid::parse(made.commit.as_bytes()) else { continue };
        let parent = made.parent.as_ref().and_then(|parent| Oid::parse(parent.as_bytes()));
        let settled = record.phase == Phase::Landed;
        let landed_now = (!settled || tip.as_ref() == Some(&commit)) && repo.catch_up(&commit, parent.as_ref())?;
        if settled || landed_now {
            landed.insert(record.task.key.as_str());
        }
    }
    Ok(landed)
}

/// The tasks whose commits are on the branch and that are not done with, in the order of their commits.
fn behind_each_other(landed: &BTreeSet<&str>, records: &[Option<&Record>]) -> Vec<usize> {
    let owed = |record: &&Record| record.phase != Phase::Landed && landed.contains(record.task.key.as_str());
    let made = |record: &Record| record.made.as_ref().map(|made| (made.commit.clone(), made.parent.clone()));
    let parents: BTreeMap<String, Option<String>> =
        records.iter().flatten().copied().filter(owed).filter_map(made).collect();
    let depth = |record: &Record| {
        let parent = record.made.as_ref().and_then(|made| made.parent.as_ref());
        std::iter::successors(parent, |commit| parents.get(*commit)?.as_ref()).count()
    };
    let mut nodes: Vec<(usize, usize)> =
        records.iter().enumerate().filter_map(|(node, record)| Some((depth(record.filter(owed)?), node))).collect();
    nodes.sort_unstable();
    nodes.into_iter().map(|(_, node)| node).collect()
}

/// Whether an earlier run made what is not taken in: by its journal, or because a task was cut short and a person did not
/// have it before. Nobody looks into such files: they go by their names.
fn left_refused(path: &RepoPath, before: &Recovered) -> bool {
    was_refused(path, &before.unattributed) || before.is_cut_short() && !before.baseline.contains_key(&path.to_wire())
}

/// Whether these have a path as one that was not taken in.
fn was_refused(path: &RepoPath, entries: &BTreeMap<String, TreeEntry>) -> bool {
    entries.get(&path.to_wire()).is_some_and(|entry| entry.refused.is_some())
}

/// What is not there that trees of their own need.
fn trees_lack(settings: &RunSettings, repo: Option<&Repo>) -> Result<Option<&'static str>, git::Error> {
    Ok(match repo {
        None => Some("a git repository"),
        Some(_) if settings.no_commit => Some("commits; leave out --no-commit"),
        Some(repo) if repo.head()?.commit.is_none() => Some("a first commit in the repository"),
        Some(_) => None,
    })
}

/// Which tasks get trees of their own.
const fn own_trees(settings: &RunSettings, lacking: bool, mode: Mode) -> OwnTrees {
    match (settings.isolation, mode) {
        (Isolation::None, _) => OwnTrees::None,
        _ if lacking => OwnTrees::None,
        (Isolation::Auto, _) if settings.max_parallel <= 1 => OwnTrees::None,
        (Isolation::Worktree, _) | (Isolation::Auto, Mode::Graph) => OwnTrees::All,
        (Isolation::Auto, _) => OwnTrees::Steps,
    }
}

/// What a killed run left in slots is kept under refs before anybody makes them ready for something else.
fn save_what_is_left(
    slots: &Slots,
    repo: &Repo,
    before: &Recovered,
    spec: &str,
    going_on: &dyn Fn(&Record) -> bool,
    notices: &mut Notices,
) -> Result<(), git::Error> {
    let in_slot = before.slots();
    let base = |record: &&Record| record.slot.as_ref().and_then(|(_, base)| Oid::parse(base.as_bytes()));
    let bases = in_slot.iter().filter_map(|(number, record)| Some((*number, base(record)?))).collect();
    for (number, commit) in slots.left(&bases)? {
        let (task, attempt) = Record::name_for_slot(in_slot.get(&number).copied(), number);
        let name = Committer::new(repo)?.keep_work(spec, &task, attempt, &commit)?;
        notices.warn("salvaged", format!("what task {task} had done when the run was killed is kept as {name}"));
    }
    // What tasks had made that had given their trees to others.
    let had_some = |record: &&Record| (record.phase == Phase::Waiting || record.cut_short()) && !going_on(record);
    for record in before.tasks.values().filter(had_some) {
        let commit = record.work.as_ref().or(record.before.as_ref());
        let commit = commit.and_then(|(_, commit)| Oid::parse(commit.as_bytes()));
        let Some(commit) = commit.filter(|commit| repo.has_commit(commit)) else { continue };
        Committer::new(repo)?.keep_work(spec, &record.task.task, record.attempt, &commit)?;
    }
    Ok(())
}

/// Whose an isolated progress file is that was found: a task's that goes on (none), or one to be merged.
fn orphan(board: &Board, records: &[Option<&Record>], index: usize) -> Option<String> {
    match board.node(index) {
        Some(node) if records[node].is_some() => None,
        Some(node) => Some(board.entries[node].task.task.clone()),
        None if index < board.doc.items.len() => Some(board.doc.label(index)),
        None => Some(format!(":{index}")),
    }
}

/// What differs from HEAD when a run begins, sorted by whose it is.
struct Sorted {
    persons: Vec<Change>,
    nobodys: Vec<Change>,
    /// By key.
    tasks: BTreeMap<String, Vec<Change>>,
    /// Made while a session's tries went on in this tree, and to be judged as if this program had been there.
    outside: Vec<Change>,
}

impl Sorted {
    /// What the journal has as a task's is that task's, as far as it is still there; what it has as nobody's is nobody's;
    /// what a person had before the killed run began is the person's. The rest is that of the tasks that were under way
    /// when the run was killed, if there were any: of the only one, of the only one that declares the path, or nobody's.
    /// Without such a task it is the person's. `landed` are the tasks whose commits HEAD has already; `session` says
    /// whether tries of an agent session go on in this tree, so that the rest is nobody's here.
    fn new(
        changes: Vec<Change>,
        before: &Recovered,
        board: &Board,
        records: &[Option<&Record>],
        landed: &BTreeSet<&str>,
        session: bool,
    ) -> Self {
        let mut sorted = Self { persons: Vec::new(), nobodys: Vec::new(), tasks: BTreeMap::new(), outside: Vec::new() };
        let mut taken: BTreeMap<RepoPath, Vec<(&Record, Change)>> = BTreeMap::new();
        let shared = |record: &&Record| record.slot.is_none();
        for record in before.tasks.values().filter(shared).filter(|it| !landed.contains(it.task.key.as_str())) {
            for entry in &record.taken {
                let change = Change::from_wire(entry);
                taken.entry(change.path.clone()).or_default().push((record, change));
            }
        }
        let nobodys: BTreeMap<RepoPath, Change> = before
            .unattributed
            .values()
            .chain(before.left.values())
            .map(Change::from_wire)
            .map(|change| (change.path.clone(), change))
            .collect();
        let persons: BTreeMap<RepoPath, Change> =
            before.baseline.values().map(Change::from_wire).map(|change| (change.path.clone(), change)).collect();
        let cut_short = || before.tasks.values().filter(shared).filter(|record| record.cut_short());
        let under_way: Vec<(&Record, Vec<Declared>)> = cut_short()
            .filter(|record| record.taken_in != Some(record.attempt))
            .map(|record| (record, declared(board, records, record)))
            .collect();
        let key_now = |key: &str| -> String {
            let node = records.iter().position(|found| found.is_some_and(|found| found.task.key == key));
            node.map_or_else(|| key.to_owned(), |node| board.entries[node].task.key.clone())
        };
        for mut change in changes {
            if let (Some(had), true) = (persons.get(&change.path).filter(|had| had.new != change.new), session) {
                // Written over what a person had there: that is told from the person's own.
                sorted.persons.push(had.clone());
                change.old.clone_from(&had.new);
            }
            let path = &change.path;
            // There may have been too many new files, and now there are few.
            let one_of_too_many = change.old.is_none() && was_refused(path, &before.baseline);
            if persons.get(path).is_some_and(|had| had.new == change.new) || one_of_too_many {
                sorted.persons.push(change);
                continue;
            }
            // One task went on from where another had ended: to each its own part.
            let mut last = change.old.clone();
            for (record, step) in in_turn(taken.remove(path).unwrap_or_default(), change.old.as_ref()) {
                last.clone_from(&step.new);
                sorted.tasks.entry(key_now(&record.task.key)).or_default().push(step);
            }
            let rest = Change { old: last, ..change };
            if rest.old == rest.new {
                continue;
            }
            let path = &rest.path;
            let one_of_too_many = rest.old.is_none() && was_refused(path, &before.unattributed);
            if nobodys.get(path).is_some_and(|left| left.new == rest.new) || one_of_too_many {
                sorted.nobodys.push(rest);
            } else if session {
                sorted.outside.push(rest);
            } else if cut_short().next().is_none() {
                sorted.persons.push(rest);
            } else {
                let declaring: Vec<&Record> = under_way
                    .iter()
                    .filter(|(_, declared)| declared.iter().any(|declared| declared.covers(path)))
                    .map(|(record, _)| *record)
                    .collect();
                match (&declaring[..], &under_way[..]) {
                    ([only], _) | ([], [(only, _)]) => {
                        sorted.tasks.entry(key_now(&only.task.key)).or_default().push(rest);
                    }
                    // Nobody can tell; where all executors had ended, a Verify wrote it.
                    _ => sorted.nobodys.push(rest),
                }
            }
        }
        sorted
    }
}

/// Of the changes that tasks made to a path, those that lead on from this content, in turn. What a task that failed had
/// made may have been taken out again, so it comes last.
fn in_turn<'a>(mut steps: Vec<(&'a Record, Change)>, from: Option<&Blob>) -> Vec<(&'a Record, Change)> {
    steps.sort_by_key(|(record, _)| record.phase == Phase::Failed);
    let mut in_turn: Vec<(&Record, Change)> = Vec::new();
    loop {
        let last = in_turn.last().map_or(from, |(_, step)| step.new.as_ref());
        let Some(next) = steps.iter().position(|(_, step)| step.old.as_ref() == last) else { return in_turn };
        in_turn.push(steps.remove(next));
    }
}

/// What a task of the killed run declares, by the list as it is now.
fn declared(board: &Board, records: &[Option<&Record>], record: &Record) -> Vec<Declared> {
    let node = records.iter().position(|found| found.is_some_and(|found| std::ptr::eq(found, record)));
    let files = node.map(|node| &board.item(node).fields.files);
    files.into_iter().flatten().map(|file| Declared::new(&file.path, file.glob)).collect()
}

impl Driver {
    /// The first records of the journal, or of this call of a session that goes on with its own run.
    fn begin(
        &mut self,
        new: bool,
        resumes: Option<String>,
        baseline: Vec<TreeEntry>,
        leftovers: Vec<TreeEntry>,
        steers: Vec<Steer>,
    ) -> Result<(), PathError> {
        let (tasks, done) = self.count();
        let parts = &self.parts;
        let head = parts.tree.as_ref().map(|tree| &tree.head);
        let start = new.then(|| Event::RunStart {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: parts.shown.clone(),
            mode: parts.board.plan.mode.name().to_owned(),
            max_parallel: if parts.board.plan.mode == Mode::Sequential { 1 } else { parts.settings.max_parallel },
            tasks,
            done,
            steps: parts.board.plan.steps.len(),
            base: head.and_then(|head| head.commit.as_ref()).map(Oid::to_string),
            branch: head.and_then(|head| head.branch_name()).map(str::to_owned),
            pid: std::process::id(),
            host: lock::host_name(),
            boot: lock::boot_id(),
            resumes,
        });
        let call = self.outside.as_ref().map(|outside| Event::CallStart {
            session: outside.session().to_owned(),
            pid: std::process::id(),
            host: lock::host_name(),
            boot: lock::boot_id(),
        });
        let mut events: Vec<Event> = start.into_iter().chain(call).collect();
        events.push(Event::Baseline { entries: baseline });
        if !leftovers.is_empty() {
            events.push(Event::Unattributed { entries: leftovers, reason: "left by an earlier run".to_owned() });
        }
        self.emit_all(events)?;
        for steer in steers {
            self.told.push_back(crate::engine::Event::Steer(steer));
        }
        Ok(())
    }
}
