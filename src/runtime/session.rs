//! Runs from inside an agent: `spec next`, `spec finish` and what else is asked of a run that an agent session has.
//! A [`Call`] goes in, an [`Answer`] comes out; commands, hooks and the MCP server print it each in their way.
//!
//! A call is a short turn of the same driver that `spec run` is (`outside`); what came of it is read from the journal.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::control::Command;
use super::prepare::{self, Job, RunError};
use super::shell::Shell;
use crate::cli::settings::RunSettings;
use crate::document::Document;
use crate::plan::Plan;
use crate::report::{Output, ReportSettings, Reporters};
use crate::store::event::Event;
use crate::store::journal::{Line, Lines};

/// The schema of [`Answer`].
pub const SCHEMA: &str = "spec.step/1";

/// The session of a caller that does not say which it is.
pub const UNNAMED: &str = "unnamed";

/// Where agents tell what they start which session it belongs to.
const VARIABLES: [&str; 5] =
    ["SPEC_SESSION", "CLAUDE_CODE_SESSION_ID", "GEMINI_SESSION_ID", "CODEX_THREAD_ID", "QWEN_CODE_SESSION_ID"];

/// What is asked of a run that a session has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// What is to be done now.
    Next,
    /// These tries are over.
    Finish(Vec<Report>),
    /// Something that can be asked of any run: `pause`, `resume`, `retry`, `skip`.
    Steer(Command),
    /// To end.
    Cancel,
}

/// What a session says of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The task, as on the command line.
    pub task: String,
    /// Why it failed; none where it is done.
    pub failed: Option<String>,
    /// Why nothing had to be changed.
    pub no_change: Option<String>,
}

/// A call of a session.
pub struct Call {
    /// The list.
    pub list: PathBuf,
    /// The list as a person would write it.
    pub shown: String,
    /// How.
    pub settings: RunSettings,
    /// The list as it was read, and its plan.
    pub read: Option<(Document, Plan)>,
    /// Which session calls.
    pub session: String,
    /// It takes the run over from whoever has it.
    pub take_over: bool,
    /// What it asks.
    pub ask: Ask,
}

/// Which session this is: as given, else as the environment says.
#[must_use]
pub fn name(given: Option<&str>) -> String {
    let from = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let given = given.filter(|name| !name.is_empty()).map(str::to_owned);
    given.or_else(|| VARIABLES.into_iter().find_map(from)).unwrap_or_else(|| UNNAMED.to_owned())
}

/// A task that the session has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handed {
    /// As on the command line: what `spec finish` is to be told.
    pub task: String,
    /// 0-based position among all checkbox items.
    pub index: usize,
    /// Its title.
    pub title: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// The folder that it is to be worked on in, absolute.
    pub folder: PathBuf,
    /// Whether that is a tree of its own.
    pub own_tree: bool,
    /// Where learnings are to be written.
    pub progress_file: PathBuf,
    /// The agent that the list asks for.
    pub agent: Option<String>,
    /// The model that the list asks for.
    pub model: Option<String>,
    /// The session has said that it is over; it is checked when the others in its tree are, too.
    pub reported: bool,
    /// What its sub-agent is to be told.
    pub prompt: String,
    /// A file with just that, so that a session need not repeat it.
    pub prompt_file: Option<PathBuf>,
}

/// What came of a task in a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// As on the command line.
    pub task: String,
    /// `landed`, `passed` (and lands with its siblings), `again` (it failed and is to be tried once more), `failed`,
    /// `blocked`, `skipped` or `cancelled`.
    pub state: String,
    /// Its commit, where it landed with one.
    pub commit: Option<String>,
    /// Which gate it did not pass.
    pub code: Option<String>,
    /// Why, in one line.
    pub reason: Option<String>,
    /// The end of what was seen.
    pub evidence: Option<String>,
}

/// A line of the signal protocol, with its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// `TASK_COMPLETE`, `TASK_FAILED`, `BATCH_COMPLETE` or `ALL_TASKS_COMPLETE`.
    pub signal: String,
    /// The lines below it, `key` and `value`, in order.
    pub details: Vec<(String, String)>,
}

/// What comes next for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has tasks to do: `tasks`.
    Step,
    /// It has nothing to do now, and `spec next` gives it more.
    Next,
    /// A person has paused the run.
    Paused,
    /// The run is over: `outcome`.
    Over,
    /// The call was cut off, or something has to be mended first: `notices`.
    Stopped,
}

/// `spec next --format json`, `spec finish --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// `spec.step/1`.
    pub schema: String,
    /// What comes next.
    pub state: State,
    /// The exit code that goes with it.
    pub exit: u8,
    /// The list.
    pub path: String,
    /// The session.
    pub session: String,
    /// The run.
    pub run: String,
    /// Number of the step in the plan; null between steps.
    pub step: Option<usize>,
    /// How the run ended: `done`, `failed`, `conflict`, `stopped`, `interrupted`; null while it goes on.
    pub outcome: Option<String>,
    /// Items of role task.
    pub total: usize,
    /// How many of them are done.
    pub done: usize,
    /// What the session has to do, in the order of the list.
    pub tasks: Vec<Handed>,
    /// Tasks of the same step that wait for a place.
    pub waiting: Vec<String>,
    /// What came of tasks in this call.
    pub results: Vec<Outcome>,
    /// The signals of this call.
    pub signals: Vec<Signal>,
    /// What people should know.
    pub notices: Vec<String>,
    /// Why what was asked of the run was not done.
    pub refused: Option<String>,
}

/// What the driver knows when a call ends.
pub(super) struct Picture {
    pub(super) exit: u8,
    pub(super) outcome: Option<String>,
    pub(super) run: String,
    pub(super) session: String,
    pub(super) paused: bool,
    pub(super) step: Option<usize>,
    pub(super) total: usize,
    pub(super) done: usize,
    pub(super) tasks: Vec<Handed>,
    pub(super) waiting: Vec<String>,
    pub(super) journal: PathBuf,
    pub(super) from_seq: u64,
}

/// A call on its way through [`prepare`].
pub(super) struct Turn {
    pub(super) session: String,
    pub(super) ask: Ask,
    pub(super) answer: std::sync::mpsc::Sender<Picture>,
}

/// Carries a call out.
pub fn call(call: Call) -> Result<Answer, RunError> {
    let Call { list, shown, mut settings, read, session, take_over, ask } = call;
    // The session is the executor, whatever is configured for runs without one.
    (settings.outside, settings.exec, settings.agent) = (true, None, None);
    let shell = Shell::find().map_err(|error| RunError::Session(error.to_string()))?;
    let quiet = ReportSettings {
        output: Output::Human,
        color: anstream::ColorChoice::Never,
        verbosity: -1,
        is_tty: false,
        out_is_tty: false,
        width: None,
    };
    let reporters = Reporters::to(quiet, Box::new(std::io::sink()), Box::new(std::io::sink()));
    let (answer, picture) = std::sync::mpsc::channel();
    let path = shown.clone();
    let finish = matches!(ask, Ask::Finish(_));
    let turn = Some(Turn { session, ask, answer });
    let exit =
        prepare::run(Job { list, shown, settings, shell, read, part_of_epic: false, take_over, turn }, reporters)?;
    let picture = picture.try_recv().map_err(|_| {
        RunError::Session(format!("the call was cut off (exit {exit}); `spec next` goes on from where it was"))
    })?;
    told(picture, path, finish).map_err(RunError::Store)
}

/// Puts together what the session is told.
fn told(picture: Picture, path: String, finish: bool) -> Result<Answer, crate::store::fs::PathError> {
    let Seen { results, signals, notices, refused } = seen(&picture.journal, picture.from_seq)?;
    let state = match &picture.outcome {
        Some(_) => State::Over,
        None if picture.exit != 0 => State::Stopped,
        None if !picture.tasks.is_empty() => State::Step,
        None if picture.paused => State::Paused,
        None => State::Next,
    };
    let not_passed = results.iter().any(|it| matches!(it.state.as_str(), "again" | "failed"));
    let exit = if picture.exit == 0 && finish && not_passed { crate::cli::exit::FAILED } else { picture.exit };
    Ok(Answer {
        schema: SCHEMA.to_owned(),
        state,
        exit,
        path,
        session: picture.session,
        run: picture.run,
        step: picture.step,
        outcome: picture.outcome,
        total: picture.total,
        done: picture.done,
        tasks: picture.tasks,
        waiting: picture.waiting,
        results,
        signals,
        notices,
        refused,
    })
}

/// What the records of one call say.
#[derive(Default)]
struct Seen {
    results: Vec<Outcome>,
    signals: Vec<Signal>,
    notices: Vec<String>,
    refused: Option<String>,
}

fn seen(journal: &Path, from: u64) -> Result<Seen, crate::store::fs::PathError> {
    let mut seen = Seen::default();
    for line in Lines::open(journal)? {
        let Line::Record(record) = line? else { continue };
        if record.seq <= from {
            continue;
        }
        match record.event {
            Event::TaskComplete { task, commit, .. } => seen.add(task.task, "landed", commit, None),
            Event::TaskPassed { task, .. } => seen.add(task.task, "passed", None, None),
            Event::TaskRetry { task, code, reason, evidence, .. } => {
                seen.add(task.task, "again", None, Some((code, reason, evidence)));
            }
            Event::TaskFailed { task, code, reason, evidence, .. } => {
                seen.add(task.task, "failed", None, Some((code, reason, evidence)));
            }
            Event::TaskBlocked { task, .. } => seen.add(task.task, "blocked", None, None),
            Event::TaskSkipped { task } => seen.add(task.task, "skipped", None, None),
            Event::TaskCancelled { task, .. } => seen.add(task.task, "cancelled", None, None),
            Event::Signal { signal, details } => seen.signals.push(Signal { signal, details }),
            Event::Notice { message, code, .. } if code == "refused" => seen.refused = Some(message),
            Event::Notice { level, message, code } if level == "warning" || code == "steered" => {
                seen.notices.push(message);
            }
            _ => {}
        }
    }
    Ok(seen)
}

impl Seen {
    /// The last that is known of a task counts.
    fn add(&mut self, task: String, state: &str, commit: Option<String>, why: Option<(String, String, String)>) {
        self.results.retain(|it| it.task != task);
        let (code, reason, evidence) = match why {
            Some((code, reason, evidence)) => (Some(code), Some(reason), Some(evidence).filter(|it| !it.is_empty())),
            None => (None, None, None),
        };
        self.results.push(Outcome { task, state: state.to_owned(), commit, code, reason, evidence });
    }
}
