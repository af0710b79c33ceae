//! Several specs in one run: each is run by this very program, as a process of its own in a linked working tree of its
//! own, and what it committed there is merged onto the user's branch once all of its tasks are done.
//!
//! A spec so has its own lock, state, slots and limits by construction; this module only says which one may start, passes
//! on what they print and what a person asks of them, and lands them one after the other. Whatever is wrong with one is
//! its own affair: the others go on, what depends on it does not. See `docs/design/007-epics.md`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal as Os, kill, raise};
use nix::unistd::Pid;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::clock;
use super::prepare::{RunError, refuse_tree};
use super::signals::{Asked, Signal, Signals};
use super::slots::copy_all;
use crate::cli::exit;
use crate::cli::settings::{Isolation, Output, RunSettings, Worktree};
use crate::git::{CommitError, Committer, Declared, Merged, Oid, Repo, RepoPath, SpecFiles, foreign_variables};
use crate::report::write_signal;
use crate::store::epic::{EpicFile, Status};
use crate::store::event::{Envelope, Event};
use crate::store::fs::{Durability, create_folders, read_if_exists, remove_if_exists, rename, write_atomic};
use crate::store::lock::SpecLock;
use crate::store::paths::SpecPaths;

/// Our events' schema; what the specs print is `spec.event/1` with a field `spec`.
const SCHEMA: &str = "spec.epic/1";
/// Where it is noted what a progress file was that git does not have, when a tree was made.
const LENT: &str = "progress-lent";
/// How often a landing is tried where somebody else moves the branch.
const TRIES: usize = 5;
/// How often the lock says that we are there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What to run.
pub struct Epic {
    /// The specs.
    pub members: Vec<Member>,
    /// Where it is noted how far they are, if they come from a file.
    pub file: Option<EpicFile>,
    /// A folder in the repository.
    pub folder: PathBuf,
    /// The options of each spec.
    pub options: Vec<OsString>,
    /// How many specs run at once.
    pub max_specs: usize,
    /// Whether each has a branch, which stays.
    pub branch_per_spec: bool,
    /// What goes to standard output.
    pub output: Output,
    /// As of one run.
    pub verbosity: i8,
}

/// A spec.
pub struct Member {
    /// The name of its folder.
    pub name: String,
    /// Its list, its settings and the file they come from; none where there is no list yet.
    pub list: Option<(PathBuf, Box<RunSettings>, Option<PathBuf>)>,
    /// Which others must have landed before it begins.
    pub needs: Vec<usize>,
    /// How far it was.
    pub status: Status,
}

/// How far a spec is in this run.
enum Stage {
    Waiting,
    Running(Running),
    Over(Outcome),
}

struct Running {
    pid: Pid,
    /// Not waited for yet: its id is no other's. Changed by the task that waits, on this one thread.
    is_there: Arc<AtomicBool>,
}

/// What became of a spec.
enum Outcome {
    /// It is on the branch.
    Landed(Oid),
    /// It was there before this run.
    Before,
    /// Its run ended with that exit code, or by a signal.
    Failed(Option<i32>),
    /// A person has to look at it: why, and at which paths.
    Needs(String, Vec<String>),
    /// It could not be begun, or not landed.
    Broken(String),
    /// It waits for another one that did not land, or has no list.
    Blocked(String),
    /// Another run holds its tree.
    Busy(String),
    /// Never begun, because the end was asked for.
    NotStarted,
}

impl Outcome {
    const fn landed(&self) -> bool {
        matches!(self, Self::Landed(_) | Self::Before)
    }

    /// The word for it in JSON.
    const fn word(&self) -> &'static str {
        match self {
            Self::Landed(_) => "landed",
            Self::Before => "completed",
            Self::Failed(_) => "failed",
            Self::Needs(..) => "conflict",
            Self::Broken(_) => "error",
            Self::Blocked(_) => "blocked",
            Self::Busy(_) => "busy",
            Self::NotStarted => "not_started",
        }
    }

    /// What it makes of the exit code.
    fn exit(&self) -> u8 {
        match self {
            Self::Landed(_) | Self::Before | Self::NotStarted => exit::DONE,
            Self::Failed(code) => code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED),
            Self::Needs(..) => exit::CONFLICT,
            Self::Broken(_) | Self::Blocked(_) => exit::FAILED,
            Self::Busy(_) => exit::BUSY,
        }
    }

    /// For people.
    fn text(&self, name: &str) -> String {
        match self {
            Self::Landed(commit) => format!("landed, {:.7}", commit.as_str()),
            Self::Before => "was completed before".to_owned(),
            Self::Failed(None) => "failed: its run was killed".to_owned(),
            Self::Failed(Some(code)) => {
                let what = match u8::try_from(*code) {
                    Ok(exit::INTERRUPTED | exit::TERMINATED) => "interrupted",
                    Ok(exit::CONFLICT) => "needs a person: a conflict within it",
                    Ok(exit::STOPPED) => "stopped by a limit",
                    Ok(exit::BUSY) => "another run holds it",
                    _ => "failed",
                };
                let tree = place(Path::new(""), name);
                format!("{what} (exit code {code}); `cd {} && spec status {name}` says more", tree.display())
            }
            Self::Needs(why, paths) if paths.is_empty() => format!("needs a person: {why}"),
            Self::Needs(why, paths) => format!("needs a person: {why}: {}", paths.join(", ")),
            Self::Broken(why) => format!("failed: {why}"),
            Self::Blocked(why) => format!("blocked: {why}"),
            Self::Busy(why) => format!("another run holds it: {why}"),
            Self::NotStarted => "not started".to_owned(),
        }
    }
}

/// A line of `--output json` about the specs themselves.
#[derive(Serialize, JsonSchema)]
pub struct EpicEvent {
    /// `spec.epic/1`.
    pub schema: String,
    /// Counts these lines from 1.
    pub seq: u64,
    /// When, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The id of the run of all of them; each spec's own run has another.
    pub run: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What became of specs.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// A spec begins.
    SpecStart {
        /// The name of its folder.
        spec: String,
        /// The working tree it is run in.
        tree: String,
    },
    /// A spec is through.
    SpecEnd {
        /// The name of its folder.
        spec: String,
        /// `landed`, `completed` (before this run), `failed`, `conflict`, `error`, `blocked`, `busy` or `not_started`.
        status: String,
        /// What it makes of the exit code.
        exit: u8,
        /// The commit with which it landed.
        commit: Option<String>,
        /// Where it does not fit the branch.
        paths: Vec<String>,
        /// The same for people.
        reason: String,
    },
    /// A signal for those that wait for one.
    Signal {
        /// `SPEC_COMPLETE` or `ALL_TASKS_COMPLETE`.
        signal: String,
        /// Its lines.
        details: Vec<(String, String)>,
    },
    /// All of them are through: the last line.
    EpicComplete {
        /// How many there were.
        specs: usize,
        /// How many of them are on the branch.
        landed: usize,
        /// The exit code.
        exit: u8,
    },
}

/// What a spec's process does.
enum Told {
    Out(usize, String),
    Err(usize, String),
    Ended(usize, io::Result<ExitStatus>),
}

/// The tree of a spec, in the repository with that root.
#[must_use]
pub fn place(root: &Path, name: &str) -> PathBuf {
    root.join(".spec/epic").join(name)
}

/// The branch of a spec.
fn branch(name: &str) -> String {
    format!("spec/{name}")
}

/// Runs all specs to their end and gives the exit code.
pub fn run(epic: Epic) -> Result<u8, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::System { what: "start the runtime", source })?;
    runtime.block_on(async {
        let signals = Signals::new().map_err(|source| RunError::System { what: "listen for signals", source })?;
        Ok(Supervisor::begin(epic)?.run(signals).await)
    })
}

struct Supervisor {
    epic: Epic,
    run: String,
    repo: Repo,
    /// The branch that all is landed on; none for a detached HEAD.
    branch: Option<String>,
    lock: SpecLock,
    stages: Vec<Stage>,
    /// The lists in the repository.
    lists: Vec<Option<RepoPath>>,
    /// Which said that all of their tasks are done.
    complete: Vec<bool>,
    /// The first signal that asked for the end.
    ending: Option<Signal>,
    told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    /// How many events of our own there were.
    seq: u64,
}

impl Supervisor {
    /// Finds out whether it can begin. Nothing is changed before that is known.
    fn begin(epic: Epic) -> Result<Self, RunError> {
        let wrong = |why: String| RunError::Epic(why);
        let none = || wrong("several specs at once need a git repository".to_owned());
        let repo = Repo::open(&epic.folder)?.ok_or_else(none)?;
        repo.check_idle()?;
        repo.check_identity()?;
        let head = repo.head()?;
        if head.commit.is_none() {
            return Err(wrong("several specs at once need a first commit to begin from".to_owned()));
        }
        let mut lists: Vec<Option<RepoPath>> = Vec::new();
        for (at, member) in epic.members.iter().enumerate() {
            let Some((list, ..)) = &member.list else {
                lists.push(None);
                continue;
            };
            let shown = list.display();
            let path = repo
                .relative(SpecPaths::find(list)?.list())
                .ok_or_else(|| wrong(format!("{shown}: not in the repository {}", repo.root().display())))?;
            if epic.members[..at].iter().any(|other| other.name == member.name) {
                return Err(wrong(format!("{shown}: there are two specs called `{}` here", member.name)));
            }
            if !repo.is_branch_name(&branch(&member.name))? {
                return Err(wrong(format!("{shown}: a branch cannot be called `{}`", branch(&member.name))));
            }
            if !matches!(member.status, Status::Completed | Status::Cancelled) && !repo.is_as_committed(&path)? {
                return Err(wrong(format!(
                    "{shown}: not committed as it is; each of several specs works from what is committed"
                )));
            }
            lists.push(Some(path));
        }
        let run = clock::run_id();
        let lock = SpecLock::acquire(&repo.own_dir()?.join("tree.lock"), &run, Timestamp::now())?;
        refuse_tree(&repo.own_dir()?, None)?;
        repo.exclude()?;
        repo.finish_merge()?;
        let stages = epic.members.iter().map(|member| match (&member.list, member.status) {
            (_, Status::Completed) => Stage::Over(Outcome::Before),
            (_, Status::Cancelled) => Stage::Over(Outcome::Blocked("it is cancelled".to_owned())),
            (None, _) => Stage::Over(Outcome::Blocked("it has no task list yet".to_owned())),
            _ => Stage::Waiting,
        });
        Ok(Self {
            stages: stages.collect(),
            complete: epic.members.iter().map(|member| member.status == Status::Completed).collect(),
            run,
            branch: head.branch,
            repo,
            lock,
            lists,
            ending: None,
            told: mpsc::channel(64),
            seq: 0,
            epic,
        })
    }

    async fn run(mut self, mut signals: Signals) -> u8 {
        let mut beats = tokio::time::interval(HEARTBEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            self.start_what_can();
            if self.running().next().is_none() {
                break;
            }
            tokio::select! {
                biased;
                asked = signals.next() => match asked {
                    Asked::End(signal, _) => {
                        self.ending.get_or_insert(signal);
                        self.pass_on(if signal == Signal::Interrupt { Os::SIGINT } else { Os::SIGTERM });
                    }
                    Asked::StandStill => {
                        self.pass_on(Os::SIGTSTP);
                        // It returns when we go on.
                        raise(Os::SIGSTOP).ok();
                        self.pass_on(Os::SIGCONT);
                    }
                },
                Some(told) = self.told.1.recv() => match told {
                    Told::Out(at, line) => self.out(at, &line),
                    Told::Err(at, line) => {
                        let line = format!("[{}] {line}", self.epic.members[at].name);
                        self.say(line.trim_end());
                    }
                    Told::Ended(at, status) => self.ended(at, status),
                },
                _ = beats.tick() => {
                    if let Err(error) = self.lock.heartbeat(Timestamp::now()) {
                        self.say(&format!("warning: {error}"));
                    }
                }
            }
        }
        self.finish()
    }

    fn running(&self) -> impl Iterator<Item = &Running> {
        self.stages.iter().filter_map(|stage| match stage {
            Stage::Running(running) => Some(running),
            _ => None,
        })
    }

    fn pass_on(&self, signal: Os) {
        for running in self.running().filter(|running| running.is_there.load(Ordering::Relaxed)) {
            kill(running.pid, signal).ok();
        }
    }

    /// Starts specs whose dependencies have landed, in order, as far as there is room; blocks those that never can.
    fn start_what_can(&mut self) {
        let mut at = 0;
        while at < self.stages.len() {
            let needs = self.epic.members[at].needs.clone();
            let over = |stage: &Stage| matches!(stage, Stage::Over(outcome) if outcome.landed());
            let lost = |need: &&usize| matches!(&self.stages[**need], Stage::Over(outcome) if !outcome.landed());
            if !matches!(self.stages[at], Stage::Waiting) {
                at += 1;
            } else if self.ending.is_some() {
                self.over(at, Outcome::NotStarted);
            } else if let Some(lost) = needs.iter().find(lost) {
                let why = format!("it needs {}", self.epic.members[*lost].name);
                self.over(at, Outcome::Blocked(why));
                // What needs this one may stand before it.
                at = 0;
            } else if needs.iter().all(|need| over(&self.stages[*need])) && self.running().count() < self.epic.max_specs
            {
                match self.start(at) {
                    Ok(running) => {
                        self.stages[at] = Stage::Running(running);
                        at += 1;
                    }
                    Err(outcome) => {
                        self.over(at, outcome);
                        at = 0;
                    }
                }
            } else {
                at += 1;
            }
        }
    }

    /// Makes the tree of a spec ready and starts its run there.
    #[expect(clippy::disallowed_methods, reason = "this very program: it ends its own tree, and is not to be killed")]
    fn start(&mut self, at: usize) -> Result<Running, Outcome> {
        let broken = |error: &dyn ToString| Outcome::Broken(error.to_string());
        let member = &self.epic.members[at];
        let (Some((list, settings, config)), Some(inside)) = (&member.list, &self.lists[at]) else {
            return Err(Outcome::NotStarted);
        };
        let tree = self.tree(&member.name)?;
        self.fill(&tree, &settings.worktree).map_err(|error| broken(&error))?;
        // Neither the settings nor the progress need to be committed.
        let of_user = SpecPaths::find(list).map_err(|error| broken(&error))?;
        let progress = self.repo.relative(of_user.progress());
        let committed = |path: &RepoPath| tree.is_committed(path).map_err(|error| broken(&error));
        if let Some(path) = config.as_ref().and_then(|config| self.repo.relative(config)) {
            self.copy(&tree, &path, true).map_err(|error| broken(&error))?;
        }
        if let Some(path) = progress
            && !committed(&path)?
        {
            self.lend(&tree, &path).map_err(|error| broken(&error))?;
        }

        let program = std::env::current_exe().map_err(|error| broken(&error))?;
        let mut command = Command::new(program);
        command.arg("run").args(&self.epic.options);
        if settings.isolation == Isolation::Auto && settings.worktree.setup.is_some() {
            // Only trees of tasks are set up.
            command.arg("--isolation=worktree");
        }
        command.arg("--").arg(inside.on_disk(Path::new(""))).current_dir(tree.root());
        for variable in foreign_variables() {
            command.env_remove(variable);
        }
        // In a group of its own: what the terminal sends comes to us, and from us to all.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| broken(&error))?;
        let pid = Pid::from_raw(child.id().unwrap_or_default().cast_signed());
        let is_there = Arc::new(AtomicBool::new(true));
        let (to, waited) = (self.told.0.clone(), Arc::clone(&is_there));
        tokio::spawn(async move {
            // Never written to: that it ends is how the spec's run finds out that we are gone.
            let _held = child.stdin.take();
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let (status, (), ()) = tokio::join!(
                async {
                    let status = child.wait().await;
                    waited.store(false, Ordering::Relaxed);
                    status
                },
                lines(out, |line| to.send(Told::Out(at, line))),
                lines(err, |line| to.send(Told::Err(at, line))),
            );
            to.send(Told::Ended(at, status)).await.ok();
        });
        let (name, tree) = (member.name.clone(), tree.root().display().to_string());
        self.event(What::SpecStart { spec: name.clone(), tree: tree.clone() });
        if self.epic.verbosity >= 0 {
            self.say(&format!("[{name}] starts in {tree}"));
        }
        self.note(at, Status::InProgress, &[]);
        Ok(Running { pid, is_there })
    }

    /// The tree of a spec: a new one at the tip, or the one that is there, with what came onto the branch since.
    fn tree(&self, name: &str) -> Result<Repo, Outcome> {
        let broken = |error: &dyn ToString| Outcome::Broken(error.to_string());
        let git = |error: crate::git::Error| Outcome::Broken(error.to_string());
        let place = place(self.repo.root(), name);
        let tip = self.repo.head().map_err(git)?.commit.ok_or_else(|| broken(&"the branch is gone"))?;
        let Some(tree) = self.repo.linked(&place).map_err(git)? else {
            create_folders(place.parent().unwrap_or(&place)).map_err(|error| broken(&error))?;
            let branch = self.epic.branch_per_spec.then(|| branch(name));
            return self.repo.link(&place, &tip, branch.as_deref()).map_err(git);
        };
        let lock = tree.own_dir().map_err(git)?.join("tree.lock");
        // After kill -9 of an epic its specs take a moment to end.
        let _lock =
            SpecLock::acquire(&lock, &self.run, Timestamp::now()).map_err(|it| Outcome::Busy(it.to_string()))?;
        tree.check_idle().map_err(|error| Outcome::Needs(error.to_string(), Vec::new()))?;
        tree.finish_merge().map_err(git)?;
        let message = format!("Merge {} into spec '{name}'\n", self.branch_name());
        match Committer::new(&tree).map_err(git)?.merge(&tip, &message) {
            // What a run that was cut off left there is that spec's to clean up.
            Ok(_) | Err(CommitError::Overlap { .. }) => Ok(tree),
            Err(CommitError::Conflict { paths }) => {
                let head = tree.head().map_err(git)?.commit;
                Err(self.conflict(name, head.as_ref(), &paths))
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// Puts what the settings name of the ignored files of the user's tree into another that has not got it. In place of
    /// a folder to be linked there is a folder of links: a link by its name would be no folder to git, and new.
    fn fill(&self, tree: &Repo, settings: &Worktree) -> Result<(), Box<dyn std::error::Error>> {
        let named = |patterns: &[String]| patterns.iter().map(|it| Declared::new(it, true)).collect::<Vec<_>>();
        let (copy, link) = (named(&settings.copy), named(&settings.link));
        for path in self.repo.ignored()? {
            let path = RepoPath::new(path.as_bytes().strip_suffix(b"/").unwrap_or(path.as_bytes()));
            let (from, to) = (path.on_disk(self.repo.root()), path.on_disk(tree.root()));
            let means = |patterns: &[Declared]| patterns.iter().any(|pattern| pattern.covers(&path));
            let (link, copy) = (means(&link), means(&copy));
            if !(link || copy) || to.symlink_metadata().is_ok() {
                continue;
            }
            create_folders(to.parent().unwrap_or(&to))?;
            if link && from.is_dir() {
                create_folders(&to)?;
                for entry in std::fs::read_dir(&from)? {
                    let entry = entry?;
                    std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()))?;
                }
            } else if link {
                std::os::unix::fs::symlink(&from, &to)?;
            } else {
                copy_all(&from, &to)?;
            }
        }
        Ok(())
    }

    fn branch_name(&self) -> &str {
        self.branch.as_deref().map_or("HEAD", |name| name.strip_prefix("refs/heads/").unwrap_or(name))
    }

    /// Copies a file of the user's tree into another, if it is there; over one that is there already only where asked.
    fn copy(&self, tree: &Repo, path: &RepoPath, over: bool) -> Result<(), crate::store::fs::PathError> {
        let (from, to) = (path.on_disk(self.repo.root()), path.on_disk(tree.root()));
        let there = read_if_exists(&to)?;
        match read_if_exists(&from)? {
            Some(bytes) if there.is_none() || (over && there.as_ref() != Some(&bytes)) => {
                create_folders(to.parent().unwrap_or(&to))?;
                write_atomic(&to, &bytes, Durability::Fast)
            }
            _ => Ok(()),
        }
    }

    /// Copies a progress file that git does not have into a new tree, and notes what it was: a person may edit it.
    fn lend(&self, tree: &Repo, path: &RepoPath) -> Result<(), Box<dyn std::error::Error>> {
        let noted = tree.own_dir()?.join(LENT);
        if read_if_exists(&noted)?.is_none() {
            let bytes = read_if_exists(&path.on_disk(self.repo.root()))?.unwrap_or_default();
            write_atomic(&noted, &bytes, Durability::Fast)?;
            self.copy(tree, path, false)?;
        }
        Ok(())
    }

    /// A line of standard output: an event.
    fn out(&mut self, at: usize, line: &str) {
        let name = &self.epic.members[at].name;
        let Ok(mut envelope) = serde_json::from_str::<Envelope>(line) else { return };
        if let Event::Signal { signal, details } = &mut envelope.event {
            if signal == "ALL_TASKS_COMPLETE" {
                self.complete[at] = true;
                // Of one spec it is not said to those who look for it: it would not be true.
            } else if self.epic.output == Output::Human {
                details.push(("spec".to_owned(), name.clone()));
                write_signal(&mut io::stdout(), &envelope.event).ok();
            }
        }
        if self.epic.output == Output::Json
            && let Some(fields) = line.trim_end().strip_suffix('}')
        {
            writeln!(io::stdout(), "{fields},\"spec\":{}}}", Value::from(name.as_str())).ok();
        }
    }

    /// The run of a spec is over: lands it, or says why not.
    fn ended(&mut self, at: usize, status: io::Result<ExitStatus>) {
        let outcome = match status.map(|status| status.code()) {
            Ok(Some(0)) => self.land(at),
            Ok(code) => Outcome::Failed(code),
            Err(error) => Outcome::Broken(error.to_string()),
        };
        self.over(at, outcome);
    }

    fn over(&mut self, at: usize, outcome: Outcome) {
        let name = self.epic.members[at].name.clone();
        match &outcome {
            Outcome::Landed(_) => self.note(at, Status::Completed, &[]),
            Outcome::Needs(_, paths) => self.note(at, Status::InProgress, paths),
            _ => {}
        }
        let (paths, commit) = match &outcome {
            Outcome::Needs(_, paths) => (paths.clone(), None),
            Outcome::Landed(commit) => (Vec::new(), Some(commit.to_string())),
            _ => (Vec::new(), None),
        };
        let text = outcome.text(&name);
        self.event(What::SpecEnd {
            spec: name.clone(),
            status: outcome.word().to_owned(),
            exit: outcome.exit(),
            commit,
            paths,
            reason: text.clone(),
        });
        if self.epic.verbosity >= 0 || !outcome.landed() {
            self.say(&format!("[{name}] {text}"));
        }
        if let Outcome::Landed(commit) = &outcome {
            let details = vec![("spec".to_owned(), name), ("commit".to_owned(), format!("{:.7}", commit.as_str()))];
            self.signal("SPEC_COMPLETE", details);
        }
        self.stages[at] = Stage::Over(outcome);
    }

    fn land(&mut self, at: usize) -> Outcome {
        match self.try_to_land(at) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Broken(format!("its tasks are done, and it could not land: {error}")),
        }
    }

    fn try_to_land(&self, at: usize) -> Result<Outcome, CommitError> {
        let name = &self.epic.members[at].name;
        let place = place(self.repo.root(), name);
        let gone = || Ok(Outcome::Broken("its working tree is gone".to_owned()));
        let Some(tree) = self.repo.linked(&place)? else { return gone() };
        let Some(head) = tree.head()?.commit else { return gone() };
        let branch = branch(name);
        if self.epic.branch_per_spec && self.repo.branch(&branch)?.as_ref() != Some(&head) {
            self.repo.set_branch(&branch, &head)?;
        }
        let message = format!("Merge spec '{name}'\n\nSpec-Run: {}\n", self.run);
        let mut tries = 0;
        let merged = loop {
            tries += 1;
            if self.repo.head()?.branch != self.branch {
                let why = format!("{} is not checked out any more", self.branch_name());
                self.repo.set_branch(&branch, &head)?;
                return Ok(Outcome::Needs(format!("{why}; its work is on {branch}"), Vec::new()));
            }
            match Committer::new(&self.repo)?.merge(&head, &message) {
                Err(CommitError::HeadMoved { .. }) if tries < TRIES => {}
                merged => break merged,
            }
        };
        let to = match merged {
            Ok(Merged::Already) => head,
            Ok(Merged::Moved { to, unfinished }) => {
                if let Some(error) = unfinished {
                    self.say(&format!(
                        "warning: {name} landed, and your files did not follow: {error}; the next run does it"
                    ));
                }
                to
            }
            Err(CommitError::Conflict { paths }) => return Ok(self.conflict(name, Some(&head), &paths)),
            Err(CommitError::Overlap { paths }) => {
                let why = "uncommitted changes of yours are where it would land; commit or stash them and run again";
                return Ok(Outcome::Needs(why.to_owned(), paths.iter().map(ToString::to_string).collect()));
            }
            Err(error) => return Err(error),
        };
        // It has landed whatever becomes of the rest, which the next run does again.
        let cleared = self.bring_back(at, &tree).and_then(|()| self.repo.unlink(&place).map_err(Into::into));
        if let Err(error) = cleared {
            self.say(&format!("warning: {name} landed, and its tree stays: {error}"));
        }
        Ok(Outcome::Landed(to))
    }

    /// Keeps what cannot be merged on a branch, for a person to do it.
    fn conflict(&self, name: &str, head: Option<&Oid>, paths: &[RepoPath]) -> Outcome {
        let branch = branch(name);
        let kept = head.map_or(Ok(()), |head| match self.repo.branch(&branch) {
            Ok(Some(tip)) if tip == *head => Ok(()),
            Ok(_) => self.repo.set_branch(&branch, head),
            Err(error) => Err(error),
        });
        let base = self.branch_name();
        let tree = place(Path::new(""), name);
        let how = format!("`git merge {base}` in {}, then run again", tree.display());
        let why = match kept {
            Ok(()) => format!("what it did is on {branch} and contradicts {base} ({how})"),
            Err(error) => format!("what it did contradicts {base} ({how}; no branch could be made: {error})"),
        };
        Outcome::Needs(why, paths.iter().map(ToString::to_string).collect())
    }

    /// What git does not have of a spec's run, from its tree to where the user looks for it: journals and logs, the
    /// state, and a progress file that was never committed. What is nobody's is kept under a ref, as the work of failed
    /// tasks is. Then the tree can go.
    fn bring_back(&self, at: usize, tree: &Repo) -> Result<(), Box<dyn std::error::Error>> {
        let member = &self.epic.members[at];
        let (Some((list, _, config)), Some(inside)) = (&member.list, &self.lists[at]) else { return Ok(()) };
        let (user, from) = (SpecPaths::find(list)?, SpecPaths::find(&inside.on_disk(tree.root()))?);
        for number in Repo::slot_numbers(&from.slots()) {
            if let Some(slot) = tree.slot(&from.slots(), number)? {
                slot.remove()?;
            }
        }
        let progress = tree.relative(from.progress()).unwrap_or_else(|| inside.clone());
        let own = SpecFiles { list: inside.clone(), progress: progress.clone() };
        let config = config.as_ref().and_then(|config| self.repo.relative(config));
        if let Some(rest) = tree.rest(own, config.as_ref())? {
            let kept = Committer::new(&self.repo)?.keep_work(&member.name, "left", 1, &rest)?;
            self.say(&format!("warning: what was left in the tree of {}, no task's, is kept as {kept}", member.name));
        }
        create_folders(&user.runs())?;
        for entry in std::fs::read_dir(from.runs()).into_iter().flatten().flatten() {
            rename(&entry.path(), &user.runs().join(entry.file_name()))?;
        }
        if user.is_ralph() && self.complete[at] {
            // As that tool has it.
            remove_if_exists(&user.state())?;
        } else if from.state().exists() && !user.is_ralph() {
            rename(&from.state(), &user.state())?;
        }
        if let Some(bytes) = read_if_exists(from.progress())?
            && !tree.is_committed(&progress)?
        {
            let of_user = progress.on_disk(self.repo.root());
            let lent = read_if_exists(&tree.own_dir()?.join(LENT))?.unwrap_or_default();
            let now = read_if_exists(&of_user)?.unwrap_or_default();
            if now == lent {
                write_atomic(&of_user, &bytes, Durability::Synced)?;
            } else if now != bytes {
                let beside = user.work().join(format!("progress-{}.md", self.run));
                write_atomic(&beside, &bytes, Durability::Synced)?;
                let (edited, beside) = (of_user.display(), beside.display());
                self.say(&format!("warning: {edited} was edited meanwhile; what this run wrote is in {beside}"));
            }
        }
        Ok(())
    }

    /// Notes in the file of the epic how far a spec is.
    fn note(&self, at: usize, status: Status, conflict: &[String]) {
        let Some(file) = &self.epic.file else { return };
        if let Err(error) = file.note(&self.epic.members[at].name, status, conflict) {
            self.say(&format!("warning: {error}"));
        }
    }

    /// A line for people.
    #[expect(clippy::unused_self, reason = "what is said is said by the run")]
    fn say(&self, line: &str) {
        writeln!(io::stderr(), "{line}").ok();
    }

    /// A signal of our own, or its event.
    fn signal(&mut self, signal: &str, details: Vec<(String, String)>) {
        if self.epic.output == Output::Human {
            write_signal(&mut io::stdout(), &Event::Signal { signal: signal.to_owned(), details }).ok();
        } else {
            self.event(What::Signal { signal: signal.to_owned(), details });
        }
    }

    /// An event of our own.
    fn event(&mut self, what: What) {
        if self.epic.output != Output::Json {
            return;
        }
        self.seq += 1;
        let (schema, run, time) = (SCHEMA.to_owned(), self.run.clone(), clock::timestamp());
        let event = EpicEvent { schema, seq: self.seq, time, run, what };
        if let Ok(line) = serde_json::to_string(&event) {
            writeln!(io::stdout(), "{line}").ok();
        }
    }

    /// The summary, and the exit code.
    fn finish(mut self) -> u8 {
        let outcomes: Vec<(String, &Outcome)> = (self.epic.members.iter().zip(&self.stages))
            .filter_map(|(member, stage)| match stage {
                Stage::Over(outcome) => Some((member.name.clone(), outcome)),
                _ => None,
            })
            .collect();
        let codes: Vec<u8> = outcomes.iter().map(|(_, outcome)| outcome.exit()).collect();
        let landed = outcomes.iter().filter(|(_, outcome)| outcome.landed()).count();
        let mut text = format!("{landed} of {} specs landed", outcomes.len());
        let width = outcomes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, outcome) in &outcomes {
            write!(text, "\n  {name:width$}  {}", outcome.text(name)).ok();
        }
        // Where several hold.
        let order = [exit::INTERRUPTED, exit::TERMINATED, exit::CONFLICT, exit::STOPPED, exit::FAILED, exit::BUSY];
        let worst = order.into_iter().find(|code| codes.contains(code));
        let code = match self.ending {
            Some(signal) => signal.exit_code(),
            None => worst.or_else(|| codes.iter().copied().find(|code| *code != 0)).unwrap_or(exit::DONE),
        };
        let total = outcomes.len();
        let complete = landed == total && self.complete.iter().all(|complete| *complete);
        self.say(&text);
        if complete {
            self.signal("ALL_TASKS_COMPLETE", Vec::new());
        }
        self.event(What::EpicComplete { specs: total, landed, exit: code });
        code
    }
}

/// Reads a stream line by line to its end.
async fn lines<S, F>(stream: Option<S>, mut line: impl FnMut(String) -> F)
where
    S: AsyncRead + Unpin,
    F: Future,
{
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    while stream.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        line(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()).await;
        bytes.clear();
    }
}
