//! `spec status`: what runs, what is done, what waits and for what.
//!
//! The boxes say what is done, the plan says what waits for what, and the journal of the newest run, with the owner of
//! the lock, says what runs. What a run that was killed had sent out is `unknown`: neither running nor failed nor ready.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::runs::{self, Life, Run};
use crate::cli::args::{Format, Selection, StatusArgs};
use crate::cli::settings::RunSettings;
use crate::cli::{Error, exit, output, target};
use crate::document::{Document, parse};
use crate::engine::budget::{Money, Total};
use crate::plan::{self, Mode, Plan};
use crate::report::plain::labels;
use crate::report::tally::{Active, Failed, Why};
use crate::report::text::{Paint, clean, clock, count, fit, of_list, short_run, took, width, word};
use crate::runtime;
use crate::store::{lock, spending};

/// Lines of one kind that people are shown; JSON has all.
const SHOWN: usize = 30;
/// Tasks of the step before that a task is said to wait for, by name; more are counted.
const NAMED: usize = 12;
/// Colours are taken out on the way where they are not wanted.
const PAINT: Paint = Paint(true);

/// `spec status --format json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `spec.status/1`.
    pub schema: String,
    /// The list.
    pub path: String,
    /// The newest run of the list; null where there was none.
    pub run: Option<RunStatus>,
    /// How many tasks are in which state.
    pub totals: Totals,
    /// Money in US dollars that the newest run cost, where agents name it or their tokens have a price.
    pub cost: Option<f64>,
    /// The part of it that is by a list of prices.
    pub cost_estimated: Option<f64>,
    /// Tokens that agents used in it, where they say so.
    pub tokens: Option<u64>,
    /// What agents used today in all runs of this user.
    pub today: Spent,
    /// Every item that is work, in the order of the list; left out under `--brief`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskStatus>>,
}

/// Money and tokens.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Spent {
    /// In US dollars.
    pub cost: f64,
    /// Of every kind.
    pub tokens: u64,
}

/// The newest run.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Its id.
    pub id: String,
    /// `going_on`, `in_session` (an agent session has it), `ended`, or `killed`: its journal has no end and its process is
    /// gone.
    pub state: String,
    /// The agent session that has it.
    pub session: Option<String>,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it has been going on or took, in seconds.
    pub seconds: f64,
    /// `groups`, `sequential` or `graph`.
    pub mode: String,
    /// Limit of executors at once.
    pub max_parallel: usize,
    /// Nothing new is started.
    pub paused: bool,
    /// What the machine is short of, while tasks that could start wait for that; null where none does.
    pub hold: Option<HoldStatus>,
    /// Accounts that take no more for a while.
    pub limits: Vec<LimitStatus>,
    /// Process id of the runner, while it goes on.
    pub pid: Option<u32>,
    /// The machine it goes on on.
    pub host: Option<String>,
    /// `done`, `failed`, `conflict`, `stopped`, `interrupted`; null unless it ended.
    pub outcome: Option<String>,
    /// Its exit code; null unless it ended.
    pub exit: Option<u8>,
}

/// See [`RunStatus::limits`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct LimitStatus {
    /// The agent, or what the configuration calls it.
    pub account: String,
    /// When it is tried again, RFC 3339 in UTC.
    pub until: String,
}

/// Why tasks that could start do not.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HoldStatus {
    /// `memory`, `cpu`, `io`, `load`, `files` or `disk`.
    pub what: String,
    /// The number when it was found, and what it would have to be.
    pub reason: String,
}

/// How many tasks are in which state.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// All items that are work.
    pub tasks: usize,
    /// Their box is ticked.
    pub done: usize,
    /// Preparing, running, verifying or landing.
    pub running: usize,
    /// Failed for good in the newest run.
    pub failed: usize,
    /// Something they need failed.
    pub blocked: usize,
    /// Left out by a person.
    pub skipped: usize,
    /// Cancelled in the newest run.
    pub cancelled: usize,
    /// Sent out by a run that was killed; what became of them nobody knows yet.
    pub unknown: usize,
    /// Not started yet.
    pub pending: usize,
}

/// Where one task stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// As on the command line.
    #[serde(rename = "task")]
    pub label: String,
    /// 0-based position among all checkbox items.
    pub index: usize,
    /// 1-based line.
    pub line: usize,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its title.
    pub title: String,
    /// `pending`, `running`, `verifying`, `landing`, `done`, `failed`, `blocked`, `skipped`, `cancelled` or `unknown`.
    pub status: String,
    /// The try that goes on or was the last in the newest run.
    pub attempt: Option<u32>,
    /// How long this try has been going on, in seconds.
    pub seconds: Option<f64>,
    /// Why it failed.
    pub code: Option<String>,
    /// One line: why it failed, what is not known.
    pub reason: Option<String>,
    /// The log of its last try, relative to the folder of the list.
    pub log: Option<String>,
    /// What must be done before it can start; empty for a pending task that can.
    pub waits_for: Vec<Wait>,
}

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wait {
    /// The task it waits for.
    pub task: String,
    /// `depends`, `files`, `resource`, `barrier`, or `step`: it stands in an earlier step.
    pub reason: String,
    /// The path, the resource, the reference.
    pub detail: String,
}

/// Shows the status.
pub fn run(args: &StatusArgs) -> Result<u8, Error> {
    let target = target::open(args.file.as_deref())?;
    let paths = runs::paths(&target.path)?;
    let (mut settings, _) = RunSettings::resolve_plan(&Selection::default(), &target.path)?;
    let (doc, _) = parse(target.source, &target.path.to_string_lossy());
    let newest = runs::all(&paths)?.next().transpose()?;
    if let Some(run) = &newest
        && run.life.goes_on()
        && let Some(mode) =
            [Mode::Groups, Mode::Sequential, Mode::Graph].into_iter().find(|m| m.name() == run.tally.mode)
    {
        settings.mode = mode;
    }
    let (plan, _) = plan::build(&doc, &settings.plan_options());
    let is_work = |index: usize| doc.is_work(index, settings.include_notes, settings.include_optional);
    let tasks = tasks(&doc, &plan, newest.as_ref(), is_work);
    let used = newest.as_ref().map(|run| run.tally.used).unwrap_or_default();
    let book = spending::folder(|name| std::env::var_os(name));
    let today = book.map(|folder| spending::spent(&folder, runtime::clock::today())).unwrap_or_default();
    let status = Status {
        schema: "spec.status/1".to_owned(),
        path: target.path.display().to_string(),
        run: newest.as_ref().map(run_status),
        totals: totals(&tasks),
        cost: used.money.map(Money::usd),
        cost_estimated: used.estimated.map(Money::usd),
        tokens: used.tokens,
        today: Spent { cost: today.money.usd(), tokens: today.tokens },
        tasks: Some(tasks),
    };
    match args.format {
        Format::Json if args.brief => output::print_json(&Status { tasks: None, ..status })?,
        Format::Json => output::print_json(&status)?,
        Format::Human if args.brief => output::print_lines(&(brief(&status) + "\n"))?,
        Format::Human => {
            output::print_lines(&human(&status))?;
            if let Some(said) = runs::in_epic(&paths) {
                output::say(&said);
            }
        }
    }
    Ok(exit::DONE)
}

fn run_status(run: &Run) -> RunStatus {
    let owner = match &run.life {
        Life::GoingOn(owner) => Some(owner),
        Life::InSession(_) | Life::Ended | Life::Killed => None,
    };
    let session = match &run.life {
        Life::InSession(lease) => Some(clean(&lease.session)),
        _ => None,
    };
    let ended = run.tally.end.as_ref();
    RunStatus {
        id: run.id.clone(),
        state: run.life.name().to_owned(),
        session,
        started_at: run.tally.started().map(|started| format!("{started:.3}")).unwrap_or_default(),
        seconds: ended.map_or(elapsed(run).as_secs_f64(), |(.., figures)| figures.wall_seconds),
        mode: run.tally.mode.clone(),
        max_parallel: run.tally.max_parallel,
        paused: run.tally.paused && run.life.goes_on(),
        limits: limits(run),
        hold: run.tally.hold.clone().filter(|_| owner.is_some()).map(|(what, reason)| HoldStatus { what, reason }),
        pid: owner.map(|owner| owner.pid),
        host: owner.map(|owner| clean(&owner.host)),
        outcome: ended.map(|(_, outcome, _)| clean(outcome)),
        exit: ended.map(|(exit, ..)| *exit),
    }
}

/// Since a run began: until now, or until its last record where it was killed.
fn elapsed(run: &Run) -> Duration {
    match (&run.life, run.tally.started()) {
        (life, Some(started)) if life.goes_on() => {
            Duration::try_from(runs::now().duration_since(started)).unwrap_or_default().max(run.tally.now)
        }
        _ => run.tally.now,
    }
}

/// Where each task stands.
fn tasks(doc: &Document, plan: &Plan, run: Option<&Run>, is_work: impl Fn(usize) -> bool) -> Vec<TaskStatus> {
    let waits = waits(doc, plan);
    let told = run.map(Told::of).unwrap_or_default();
    let work = (0..doc.items.len()).filter(|&index| is_work(index));
    let mut tasks: Vec<TaskStatus> = work
        .map(|index| {
            let item = &doc.items[index];
            let label = doc.label(index);
            let mut task = TaskStatus {
                index,
                line: item.line,
                id: item.id.clone(),
                title: clean(&item.title),
                status: if item.checked { "done" } else { "pending" }.to_owned(),
                attempt: None,
                seconds: None,
                code: None,
                reason: None,
                log: None,
                waits_for: Vec::new(),
                label,
            };
            // A box that is ticked is done, whatever the journal has; a run may be about to land it all the same.
            if let Some(run) = run
                && !item.checked
            {
                told.tell(&mut task, &doc.key(index), run);
            }
            if task.status == "pending" {
                task.waits_for = waits.get(&index).cloned().unwrap_or_default();
            }
            task
        })
        .collect();
    tasks.sort_by_key(|task| task.index);
    tasks
}

/// What is known of a task that passed and did not land.
const PASSED: &str = "passed, and the run was killed before it landed; the next `spec run` lands it";

/// What the newest run tells about open tasks, by key and, where a title was edited since, by label.
#[derive(Default)]
struct Told<'a> {
    active: HashMap<&'a str, &'a Active>,
    passed: HashMap<&'a str, u32>,
    failed: HashMap<&'a str, &'a Failed>,
    out: HashMap<&'a str, &'a Why>,
}

impl<'a> Told<'a> {
    fn of(run: &'a Run) -> Self {
        let mut told = Self::default();
        for (key, active) in &run.tally.active {
            told.active.insert(&active.label, active);
            told.active.insert(key, active);
        }
        for (key, (label, attempt)) in &run.tally.passed {
            told.passed.insert(label, *attempt);
            told.passed.insert(key, *attempt);
        }
        for failed in &run.tally.failed {
            told.failed.insert(&failed.label, failed);
            told.failed.insert(&failed.key, failed);
        }
        for out in &run.tally.out {
            told.out.insert(&out.label, &out.why);
            told.out.insert(&out.key, &out.why);
        }
        told
    }

    fn tell(&self, task: &mut TaskStatus, key: &str, run: &Run) {
        let label = task.label.clone();
        if let Some(active) = self.active.get(key).or_else(|| self.active.get(label.as_str())) {
            task.attempt = Some(active.attempt);
            task.seconds = Some(elapsed(run).saturating_sub(active.since).as_secs_f64());
            task.log = run.tally.log(&active.key).map(str::to_owned);
            match (&run.life, active.phase.as_str()) {
                (Life::GoingOn(_), "waiting") => task.reason = Some(format!("waits for try {}", active.attempt)),
                (Life::InSession(_) | Life::Ended | Life::Killed, "waiting") => {}
                (Life::GoingOn(_) | Life::InSession(_), phase) => phase.clone_into(&mut task.status),
                (Life::Ended | Life::Killed, phase) => {
                    "unknown".clone_into(&mut task.status);
                    task.seconds = None;
                    task.reason = Some(unknown(active, phase));
                }
            }
        } else if let Some(attempt) = self.passed.get(key).or_else(|| self.passed.get(label.as_str())) {
            task.attempt = Some(*attempt);
            if run.life.goes_on() {
                "landing".clone_into(&mut task.status);
            } else {
                "unknown".clone_into(&mut task.status);
                task.reason = Some(PASSED.to_owned());
            }
        } else if let Some(failed) = self.failed.get(key).or_else(|| self.failed.get(label.as_str())) {
            "failed".clone_into(&mut task.status);
            task.attempt = Some(failed.attempts);
            (task.code, task.reason) = (Some(failed.code.clone()), Some(failed.reason.clone()));
            task.log = failed.log.as_deref().map(clean);
        } else if let Some(why) = self.out.get(key).or_else(|| self.out.get(label.as_str())) {
            match why {
                Why::Blocked(by) => {
                    "blocked".clone_into(&mut task.status);
                    let wait = |label: &String| Wait {
                        task: label.clone(),
                        reason: "depends".to_owned(),
                        detail: String::new(),
                    };
                    task.waits_for = by.iter().map(wait).collect();
                }
                Why::Skipped => "skipped".clone_into(&mut task.status),
                Why::Cancelled => "cancelled".clone_into(&mut task.status),
            }
        }
    }
}

/// What can be said of a task whose run was killed.
fn unknown(active: &Active, phase: &str) -> String {
    let left = match active.process {
        Some((pid, ticks)) if lock::start_ticks(pid) == Some(ticks) => format!("; its process {pid} is still there"),
        _ => String::new(),
    };
    match phase {
        "verifying" => format!("was being verified when the run was killed; the next `spec run` tells{left}"),
        _ => format!("was sent out, and the run was killed before it ended; the next `spec run` tells{left}"),
    }
}

/// What each open task waits for: edges from tasks that are not done, and the step before its own.
fn waits(doc: &Document, plan: &Plan) -> BTreeMap<usize, Vec<Wait>> {
    let mut waits: BTreeMap<usize, Vec<Wait>> = BTreeMap::new();
    let mut add = |to: usize, from: usize, reason: &str, detail: &str| {
        let wait = Wait { task: doc.label(from), reason: reason.to_owned(), detail: clean(detail) };
        waits.entry(to).or_default().push(wait);
    };
    for edge in plan.edges.iter().filter(|edge| !doc.items[edge.from].checked) {
        add(edge.to, edge.from, edge.reason.name(), &edge.detail);
    }
    if plan.mode != Mode::Graph {
        for pair in plan.steps.windows(2) {
            let before: Vec<usize> = pair[0].tasks.iter().copied().filter(|from| !doc.items[*from].checked).collect();
            let detail = match before.len() {
                open if open > NAMED => format!("step {}, {open} tasks", pair[0].number),
                _ => format!("step {}", pair[0].number),
            };
            for &to in &pair[1].tasks {
                for &from in before.iter().take(NAMED) {
                    add(to, from, "step", &detail);
                }
            }
        }
    }
    waits
}

fn totals(tasks: &[TaskStatus]) -> Totals {
    let mut totals = Totals { tasks: tasks.len(), ..Totals::default() };
    for task in tasks {
        *match task.status.as_str() {
            "done" => &mut totals.done,
            "failed" => &mut totals.failed,
            "blocked" => &mut totals.blocked,
            "skipped" => &mut totals.skipped,
            "cancelled" => &mut totals.cancelled,
            "unknown" => &mut totals.unknown,
            "pending" => &mut totals.pending,
            _ => &mut totals.running,
        } += 1;
    }
    totals
}

/// Where it stands, in one line.
fn brief(status: &Status) -> String {
    let totals = &status.totals;
    let mut parts = vec![format!("{}/{} done", totals.done, totals.tasks)];
    let counts = [
        (totals.running, "running"),
        (totals.unknown, "unknown"),
        (totals.failed, "failed"),
        (totals.blocked, "blocked"),
        (totals.skipped, "skipped"),
        (totals.cancelled, "cancelled"),
        (totals.pending, "pending"),
    ];
    parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    let run = match &status.run {
        None => "no run yet".to_owned(),
        Some(run) if run.paused => "run paused".to_owned(),
        Some(run) => match run.state.as_str() {
            "going_on" => "run goes on".to_owned(),
            "in_session" => "run in an agent session".to_owned(),
            "killed" => "last run was killed".to_owned(),
            _ => format!("last run: {}", run.outcome.as_deref().unwrap_or("ended")),
        },
    };
    format!("{}; {run}", parts.join(", "))
}

/// What an account's limit is still about: an end of the run does not end it.
fn limits(run: &Run) -> Vec<LimitStatus> {
    let now = runtime::clock::timestamp();
    let limited = run.tally.limited.iter().map(|(account, (_, until))| (account.clone(), until.clone()));
    // Timestamps of one form sort by time.
    limited.filter(|(_, until)| *until > now).map(|(account, until)| LimitStatus { account, until }).collect()
}

fn human(status: &Status) -> String {
    let mut lines = vec![format!("{}: {}", PAINT.strong(&status.path), brief(status))];
    if let Some(run) = &status.run {
        let id = short_run(&run.id);
        let how = format!("{}, at most {} at once", run.mode, run.max_parallel);
        let paused = if run.paused { "; paused, `spec resume` goes on" } else { "" };
        lines.push(match (run.state.as_str(), &run.pid) {
            ("going_on", Some(pid)) => {
                let host = run.host.as_deref().unwrap_or_default();
                let hold = run
                    .hold
                    .as_ref()
                    .map_or_else(String::new, |hold| format!("; waiting: {} {}", hold.what, hold.reason));
                format!(
                    "run {id} has been going on for {}: process {pid} on {host} ({how}){paused}{hold}",
                    took(run.seconds)
                )
            }
            ("in_session", _) => {
                let session = run.session.as_deref().unwrap_or_default();
                format!("run {id} has been going on for {} in session {session} ({how}){paused}", took(run.seconds))
            }
            ("killed", _) => {
                format!("run {id} was killed after {} at least ({how}); `spec run` goes on with it", took(run.seconds))
            }
            _ => format!("run {id} ended after {} with exit code {}", took(run.seconds), run.exit.unwrap_or_default()),
        });
    }
    for limit in status.run.iter().flat_map(|run| &run.limits) {
        lines.push(format!("{} takes no more until {}", limit.account, limit.until));
    }
    let tasks = status.tasks.as_deref().unwrap_or_default();
    let of = |wanted: &[&str]| tasks.iter().filter(|task| wanted.contains(&task.status.as_str())).collect::<Vec<_>>();
    let mut section = |head: String, tasks: &[&TaskStatus], tell: &dyn Fn(&TaskStatus) -> String| {
        if tasks.is_empty() {
            return;
        }
        lines.push(String::new());
        lines.push(head);
        let shown = &tasks[..tasks.len().min(SHOWN)];
        let label = shown.iter().map(|task| width(&task.label)).max().unwrap_or(0);
        let title = shown.iter().map(|task| width(&task.title)).max().unwrap_or(0).min(40);
        for task in shown {
            let line = format!("  {} {}  {}", fit(&task.label, label), fit(&task.title, title), tell(task));
            lines.push(line.trim_end().to_owned());
        }
        if tasks.len() > shown.len() {
            lines.push(format!("  and {} more; `--format json` lists all", tasks.len() - shown.len()));
        }
    };
    section(PAINT.good("Running"), &of(&["preparing", "running", "verifying", "landing"]), &|task| {
        let again = task.attempt.filter(|n| *n > 1).map_or_else(String::new, |n| format!(", try {n}"));
        format!("{} for {}{again}", task.status, clock(task.seconds.unwrap_or_default()))
    });
    section(PAINT.warn("Unknown"), &of(&["unknown"]), &|task| task.reason.clone().unwrap_or_default());
    section(PAINT.bad("Failed"), &of(&["failed"]), &|task| {
        let tries = count(task.attempt.unwrap_or(1) as usize, "try", "tries");
        let (code, reason) = (task.code.as_deref().unwrap_or_default(), task.reason.as_deref().unwrap_or_default());
        let log = format!("spec log {}{}", word(&task.label), of_list(&status.path));
        format!("{code}: {reason} (after {tries}; `{log}`)")
    });
    section(PAINT.warn("Blocked"), &of(&["blocked"]), &waits_for);
    section(PAINT.warn("Skipped or cancelled"), &of(&["skipped", "cancelled"]), &|task| task.status.clone());
    section(PAINT.strong("Pending"), &of(&["pending"]), &waits_for);
    section(PAINT.strong("Done"), &of(&["done"]), &|_| String::new());
    lines.push(String::new());
    let money = |usd: Option<f64>| usd.map(Money::from_usd);
    let used = Total { money: money(status.cost), estimated: money(status.cost_estimated), tokens: status.tokens };
    let today = match status.today.cost {
        0.0 => String::new(),
        cost => format!("; today {} in all runs", Money::from_usd(cost)),
    };
    lines.push(format!("Cost: {}{today}", used.show().as_deref().unwrap_or("no executor reported any")));
    lines.join("\n") + "\n"
}

/// What a task waits for, in words; tasks of one reason together.
fn waits_for(task: &TaskStatus) -> String {
    if let Some(reason) = &task.reason {
        return reason.clone();
    }
    if task.waits_for.is_empty() {
        return "can start".to_owned();
    }
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for wait in &task.waits_for {
        let why = match (wait.reason.as_str(), wait.detail.as_str()) {
            ("step", detail) => format!(" ({detail})"),
            ("depends", _) if task.status == "blocked" => String::new(),
            ("depends", _) => " (depends)".to_owned(),
            (reason, "") => format!(" ({reason})"),
            (reason, detail) => format!(" ({reason}: {detail})"),
        };
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, tasks)) => tasks.push(wait.task.clone()),
            None => reasons.push((why, vec![wait.task.clone()])),
        }
    }
    let told: Vec<String> = reasons.iter().map(|(why, tasks)| format!("{}{why}", labels(tasks))).collect();
    let verb = if task.status == "blocked" { "needs" } else { "waits for" };
    format!("{verb} {}", told.join(", "))
}
