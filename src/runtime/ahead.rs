//! Has briefs written for tasks that will start soon, while others run (`[prepare]`, off by default). Each writer works in
//! a tree of its own that is thrown away; where it changed something there, so is its brief. Writers have a limit of their
//! own, count as load on the machine, and end with the run. Nothing of it fails a task.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::attempt::{Attempt, Brake, aside};
use super::brief;
use super::driver::{Driver, Job};
use super::process::Stop;
use super::signals::{Asked, Signals};
use super::slots::{Claim, Workspace};
use super::tree;
use crate::document::quota::Quota;
use crate::engine::{Kind, Node, Phase};
use crate::prompt::ahead::{self, State};
use crate::store::fs::{Durability, write_atomic};

/// The writers of a run.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) writers: JoinSet<Written>,
    under_way: BTreeMap<Node, Brake>,
    /// Tasks that have a brief or get none, as of this step.
    settled: BTreeSet<Node>,
}

/// What came of one writer.
pub(super) struct Written {
    node: Node,
    file: PathBuf,
    /// The brief, or why there is none.
    brief: Result<String, String>,
    space: Option<Box<Workspace>>,
}

impl Ahead {
    /// How many are at work.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Sources may be others now.
    pub(super) fn look_again(&mut self) {
        self.settled.clear();
    }

    /// The task begins: a brief comes too late.
    pub(super) fn begins(&self, node: Node) {
        if let Some(brake) = self.under_way.get(&node) {
            brake.pull(Stop::Cancel);
        }
    }

    /// Ends all of them.
    pub(super) fn stop(&self, stop: Stop) {
        self.under_way.values().for_each(|brake| brake.pull(stop));
    }
}

impl Driver {
    /// Starts writers for the tasks that come next, as far as there is room.
    pub(super) fn look_ahead(&mut self) {
        let settings = &self.parts.settings;
        let (Some(command), Some(_)) = (settings.prepare_command(), &self.parts.slots) else { return };
        let command = command.to_owned();
        let engine = &self.parts.engine;
        // What nobody does beside it would only be late.
        if self.outside.is_some() || engine.halt().is_some() || engine.running() == 0 {
            return;
        }
        let waits = |node: &Node| {
            matches!(engine.phase(*node), Phase::Waiting | Phase::Ready)
                && engine.kind(*node) == Kind::Exec
                && self.parts.lives[*node].attempt == 0
                && !self.parts.board.entries[*node].gone
        };
        let state = |node: Node| match () {
            () if self.ahead.settled.contains(&node) => State::Settled,
            () if self.ahead.under_way.contains_key(&node) => State::UnderWay,
            () => State::Open,
        };
        let waiting = (0..engine.len()).filter(waits).map(|node| (node, state(node)));
        for node in ahead::next(waiting, settings.prepare.max, self.ahead.len()) {
            if let Err(why) = self.write_ahead(node, &command) {
                self.ahead.settled.insert(node);
                self.notice("info", "not-prepared", &why);
            }
        }
    }

    /// Starts the writer of one task's brief, unless there is one that holds, or no room.
    fn write_ahead(&mut self, node: Node, command: &str) -> Result<(), String> {
        if self.parts.engine.running() + self.ahead.len() >= self.admission.ceiling() {
            return Ok(());
        }
        let job = self.new_job(node);
        let asked = self.asked(node, 1, &job);
        let file = brief::prepared_file(&asked);
        if file.exists() {
            self.ahead.settled.insert(node);
            return Ok(());
        }
        let task = self.task(node);
        let words = brief::sources(&asked).words(&self.parts.shown, &task.task);
        let words = self.parts.mask.text(&words).into_owned();
        let tip = self.parts.tree.as_ref().and_then(|tree| tree.head.commit.clone());
        let tip = tip.ok_or_else(|| format!("no brief of {}: the branch has no commit", task.task))?;
        let Some(slots) = &mut self.parts.slots else { return Ok(()) };
        let claim = slots.claim(tip, None, &task.key, Vec::new());
        let attempt = self.writer(node, &job, &claim);
        let (command, brake) = (command.to_owned(), Brake::new());
        self.ahead.under_way.insert(node, brake.clone());
        self.admission.started();
        self.ahead.writers.spawn(async move {
            let (brief, space) = match attempt.enter(claim, &brake).await {
                Ok(space) => write(attempt, command, words, brake, space).await,
                Err(why) => (Err(why), None),
            };
            Written { node, file, brief, space }
        });
        Ok(())
    }

    /// How the writer is run.
    fn writer(&self, node: Node, job: &Job, claim: &Claim) -> Attempt {
        let made = self.in_tree(node, 0, job, Some(&claim.root()), Some(claim.base()), []);
        Attempt {
            log: made.log.with_extension("prepare.log"),
            timeout: self.parts.settings.prepare.timeout,
            quota: Quota::default(),
            // No try of its task: nobody is told.
            display: None,
            spawned: mpsc::unbounded_channel().0,
            in_use: mpsc::unbounded_channel().0,
            ..made
        }
    }

    /// A writer ended.
    pub(super) fn written(&mut self, written: Result<Written, JoinError>) {
        // A writer neither panics nor is aborted.
        let Ok(Written { node, file, brief, space }) = written else { return };
        self.give_back(space);
        let stopped = self.ahead.under_way.remove(&node).is_some_and(|brake| brake.pulled());
        self.ahead.settled.insert(node);
        if stopped {
            return;
        }
        let task = self.task(node).task;
        let kept = brief.and_then(|brief| keep(&file, &brief));
        match kept {
            Ok(()) => self.notice("info", "prepared", &format!("a brief of task {task} was written ahead")),
            Err(why) => self.notice("warning", "not-prepared", &format!("no brief of task {task}: {why}")),
        }
    }

    /// Ends all writers and waits for their ends; gives the exit code where a second signal came first.
    pub(super) async fn end_writers(&mut self, signals: &mut Signals) -> Option<u8> {
        self.ahead.stop(Stop::Cancel);
        loop {
            tokio::select! {
                biased;
                asked = signals.next() => match asked {
                    Asked::End(_, 1) => {}
                    Asked::End(signal, _) => return Some(signal.exit_code()),
                    Asked::StandStill => tree::suspend(),
                },
                written = self.ahead.writers.join_next() => match written {
                    Some(written) => self.written(written),
                    None => return None,
                },
            }
        }
    }
}

/// Runs a writer in its tree; what it printed is the brief.
async fn write(
    attempt: Attempt,
    command: String,
    words: String,
    brake: Brake,
    mut space: Box<Workspace>,
) -> (Result<String, String>, Option<Box<Workspace>>) {
    let log = attempt.log.display().to_string();
    let worked = attempt.executor(command, words, brake).await;
    let looked = aside(move || space.look_after_verify().map(|changes| (space, changes))).await;
    let (space, changes) = match looked {
        Ok(looked) => looked,
        Err(why) => return (Err(why), None),
    };
    let outcome = worked.ran.first().map(|ran| &ran.outcome);
    let brief = match outcome {
        _ if !changes.is_empty() => {
            let names: Vec<String> = changes.iter().take(5).map(|change| change.path.to_string()).collect();
            Err(format!("who wrote it was to change nothing, and changed {}", names.join(", ")))
        }
        Some(Ok(outcome)) if outcome.success() => {
            let printed = String::from_utf8_lossy(&outcome.stdout_tail);
            ahead::brief(&printed).ok_or_else(|| "nothing was printed".to_owned())
        }
        Some(Err(error)) => Err(error.to_string()),
        _ => Err(format!("prepare.command failed; its log is {log}")),
    };
    (brief, Some(space))
}

/// Keeps a brief in place of those that the task had before.
fn keep(file: &Path, brief: &str) -> Result<(), String> {
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let of_task = name.split_inclusive('-').next().unwrap_or_default();
    for old in fs::read_dir(folder).into_iter().flatten().flatten() {
        if old.file_name().to_string_lossy().starts_with(of_task) {
            fs::remove_file(old.path()).ok();
        }
    }
    write_atomic(file, brief.as_bytes(), Durability::Fast).map_err(|error| error.to_string())
}
