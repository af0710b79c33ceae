//! `spec plan`: shows what would run, in which order, and why.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::{PlanArgs, PlanFormat};
use crate::cli::settings::RunSettings;
use crate::cli::target::{self, List};
use crate::cli::{Error, exit, output, warn};
use crate::plan::{self, Bound, Edge, Mode, Plan, Reason, Step};
use crate::report::text::{clean, count, cut, width};

/// The schema name of [`PlanJson`].
pub const SCHEMA: &str = "spec.plan/1";

/// What `spec plan --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanJson {
    /// [`SCHEMA`].
    pub schema: String,
    /// The list.
    pub path: String,
    /// How order was derived: `groups`, `sequential` or `graph`.
    pub mode: String,
    /// How many tasks may run at once.
    pub max_parallel: usize,
    /// What is left to run, in order.
    pub steps: Vec<StepJson>,
    /// What waits for what; sorted by `to`.
    pub edges: Vec<EdgeJson>,
    /// What the run cannot go below, with every task counted as 1.
    pub bound: BoundJson,
}

/// A step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepJson {
    /// 1-based over the whole plan, done steps counted.
    pub step: usize,
    /// `parallel` where two or more tasks are left, else `sequential`.
    pub kind: &'static str,
    /// Indices of its tasks.
    pub tasks: Vec<usize>,
    /// The whole group it belongs to, done members too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_group: Option<GroupJson>,
}

/// A parallel group.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupJson {
    /// Index of its first member.
    pub start_index: usize,
    /// Index of its last member.
    pub end_index: usize,
    /// Indices of all members.
    pub task_indices: Vec<usize>,
}

/// `to` waits for `from`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EdgeJson {
    /// Index of the task that goes first.
    pub from: usize,
    /// Index of the task that waits.
    pub to: usize,
    /// `depends`, `files`, `resource` or `barrier`.
    pub reason: &'static str,
    /// The path, resource, reference or task that it is about.
    pub detail: String,
}

/// The bound, with every task counted as 1.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundJson {
    /// Indices of the longest chain of tasks.
    pub critical_path: Vec<usize>,
    /// How many tasks are left.
    pub work: f64,
    /// max(critical path, work / tasks at once).
    pub bound: f64,
}

/// Shows the plan.
pub fn run(args: &PlanArgs) -> Result<u8, Error> {
    let list = target::load(args.file.as_deref())?;
    let (settings, warnings) = RunSettings::resolve_plan(&args.selection, &list.path)?;
    for warning in &warnings {
        warn(warning);
    }
    let options = plan::Options { all: args.all, ..settings.plan_options() };
    let (plan, planned) = plan::build(&list.document, &options);
    list.refuse_errors(&planned)?;
    for note in &planned {
        warn(&note.message);
    }
    let bound = plan::bound(&plan, |_| 1.0);
    match args.format {
        PlanFormat::Human => output::print(&human(&list, &plan, &bound, output::columns()))?,
        PlanFormat::Json => output::print_json(&json(&list, &plan, bound))?,
        PlanFormat::Mermaid => output::print(&mermaid(&list, &plan))?,
        PlanFormat::Dot => output::print(&dot(&list, &plan))?,
    }
    Ok(exit::DONE)
}

fn json(list: &List, plan: &Plan, bound: Bound) -> PlanJson {
    let group = |step: &Step| {
        let tasks = &plan.groups[step.group?].tasks;
        let (&start_index, &end_index) = (tasks.first()?, tasks.last()?);
        Some(GroupJson { start_index, end_index, task_indices: tasks.clone() })
    };
    let step = |step: &Step| StepJson {
        step: step.number,
        kind: if step.parallel { "parallel" } else { "sequential" },
        tasks: step.tasks.clone(),
        parallel_group: group(step),
    };
    let edge = |edge: &Edge| EdgeJson {
        from: edge.from,
        to: edge.to,
        reason: edge.reason.name(),
        detail: edge.detail.clone(),
    };
    PlanJson {
        schema: SCHEMA.to_owned(),
        path: list.path.display().to_string(),
        mode: plan.mode.name().to_owned(),
        max_parallel: plan.max_parallel,
        steps: plan.steps.iter().map(step).collect(),
        edges: plan.edges.iter().map(edge).collect(),
        bound: BoundJson { critical_path: bound.critical_path, work: bound.work, bound: bound.bound },
    }
}

/// For people, lines no wider than `columns`.
fn human(list: &List, plan: &Plan, bound: &Bound, columns: usize) -> String {
    let doc = &list.document;
    let label = |task: usize| doc.label(task);
    let mut lines: Vec<String> = Vec::new();
    let shown = list.path.display();
    if plan.steps.is_empty() {
        return format!("{shown}: nothing is left to run\n");
    }
    lines.push(format!("{shown}: {} left", count(plan.open.len(), "task", "tasks")));
    let at_once = if plan.mode == Mode::Sequential { 1 } else { plan.max_parallel };
    lines.push(format!("mode {}, at most {at_once} at once", plan.mode.name()));
    let indent =
        plan.steps.iter().flat_map(|step| &step.tasks).map(|&task| width(&label(task))).max().unwrap_or(0).min(12);
    for step in &plan.steps {
        let kind = if plan.mode == Mode::Graph { "wave" } else { "step" };
        let many = if step.parallel { format!(", {} tasks in parallel", step.tasks.len()) } else { String::new() };
        lines.push(String::new());
        lines.push(format!("{kind} {}{many}", step.number));
        for &task in &step.tasks {
            let item = &doc.items[task];
            let done = if item.checked { " (done)" } else { "" };
            let name = label(task);
            let pad = indent.saturating_sub(width(&name));
            lines.push(format!("  {name}{:pad$}  {}{done}", "", clean(&item.title)));
            let mut reasons = reasons(list, plan, task);
            reasons.dedup();
            lines.extend(reasons.iter().map(|reason| format!("  {:indent$}  {reason}", "")));
        }
    }
    lines.push(String::new());
    let conflicts: Vec<&Edge> = plan.edges.iter().filter(|edge| !edge.reason.blocks()).collect();
    if !conflicts.is_empty() {
        let tasks: BTreeSet<usize> = conflicts.iter().flat_map(|edge| [edge.from, edge.to]).collect();
        lines.push(format!(
            "{} foreseen: {} take turns",
            count(conflicts.len(), "conflict", "conflicts"),
            count(tasks.len(), "task", "tasks")
        ));
    }
    let chain: Vec<String> = bound.critical_path.iter().map(|&task| label(task)).collect();
    lines.push(format!("longest chain: {}", count(chain.len(), "task", "tasks")));
    lines.extend(wrap(&chain, columns.saturating_sub(2)).into_iter().map(|line| format!("  {line}")));
    let (length, work) = (number(bound.length), number(bound.work));
    lines.push(format!("bound: {} task lengths, max({length}, {work} / {at_once})", number(bound.bound)));
    lines.iter().fold(String::new(), |text, line| text + cut(line, columns).trim_end() + "\n")
}

/// What a task waits for and why, for people; a mark that waits for everything says so in each of its edges.
fn reasons(list: &List, plan: &Plan, task: usize) -> Vec<String> {
    let doc = &list.document;
    let first = plan.edges.partition_point(|edge| edge.to < task);
    let edges = plan.edges[first..].iter().take_while(|edge| edge.to == task);
    let reason = |edge: &Edge| {
        let (from, detail) = (doc.label(edge.from), clean(&edge.detail));
        match edge.reason {
            Reason::Depends => format!("after {from}: depends on {detail}"),
            Reason::Files => format!("after {from}: both touch {detail}"),
            Reason::Resource => format!("after {from}: both use {detail}"),
            Reason::Barrier if edge.detail == doc.label(task) => "after everything before it".to_owned(),
            Reason::Barrier => format!("after {from}: it holds everything behind it"),
        }
    };
    // Marks last, so that what they say is said once.
    let (marks, others): (Vec<&Edge>, Vec<&Edge>) = edges.partition(|edge| edge.reason == Reason::Barrier);
    others.into_iter().chain(marks).map(reason).collect()
}

/// A number of task lengths, with one decimal where it is not whole.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A chain in lines no wider than `columns`; of a long one the beginning and the end.
fn wrap(chain: &[String], columns: usize) -> Vec<String> {
    /// More than this is cut out of the middle.
    const ENDS: usize = 10;
    let mut words: Vec<String> = chain.to_vec();
    if chain.len() > 2 * ENDS {
        words.splice(ENDS..chain.len() - ENDS, [format!("... {} more ...", chain.len() - 2 * ENDS)]);
    }
    let mut lines = vec![String::new()];
    for (place, word) in words.iter().enumerate() {
        let word = if place == 0 { word.clone() } else { format!("-> {word}") };
        let line = lines.last_mut().filter(|line| line.is_empty() || width(line) + 1 + width(&word) <= columns);
        match line {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) => {
                line.push(' ');
                line.push_str(&word);
            }
            None => lines.push(word),
        }
    }
    lines
}

/// A Mermaid flowchart: steps of two and more are boxes, arrows with words are edges, bare ones the order of steps.
fn mermaid(list: &List, plan: &Plan) -> String {
    let quote = |text: &str| {
        let mut out = String::from("\"");
        for c in clean(text).chars() {
            match c {
                '"' | '<' | '>' | '&' | '#' | '`' => write!(out, "#{};", u32::from(c)).unwrap_or_default(),
                c => out.push(c),
            }
        }
        out + "\""
    };
    let mut lines = vec!["flowchart TD".to_owned()];
    let mut before: Option<String> = None;
    for step in &plan.steps {
        let boxed = is_boxed(plan, step);
        if boxed {
            lines.push(format!("  subgraph s{0}[\"step {0}\"]", step.number));
        }
        let pad = if boxed { "    " } else { "  " };
        lines.extend(step.tasks.iter().map(|&task| format!("{pad}t{task}[{}]", quote(&name(list, task)))));
        let this = if boxed { format!("s{}", step.number) } else { format!("t{}", step.tasks[0]) };
        if boxed {
            lines.push("  end".to_owned());
        }
        if plan.mode != Mode::Graph {
            lines.extend(before.map(|before| format!("  {before} --> {this}")));
        }
        before = Some(this);
    }
    lines.extend(drawn(plan).map(|edge| {
        format!("  t{} -->|{}| t{}", edge.from, quote(&format!("{}: {}", edge.reason.name(), edge.detail)), edge.to)
    }));
    lines.join("\n") + "\n"
}

/// A Graphviz digraph: steps of two and more are clusters, arrows with words are edges, bold ones the order of steps.
fn dot(list: &List, plan: &Plan) -> String {
    let quote = |text: &str| format!("\"{}\"", clean(text).replace('\\', "\\\\").replace('"', "\\\""));
    let mut lines = vec!["digraph plan {".to_owned(), "  compound=true;".to_owned(), "  node [shape=box];".to_owned()];
    let mut before: Option<&Step> = None;
    let end = |which: &str, step: &Step| {
        if is_boxed(plan, step) { format!(", {which}=cluster_{}", step.number) } else { String::new() }
    };
    for step in &plan.steps {
        let boxed = is_boxed(plan, step);
        if boxed {
            lines.push(format!(
                "  subgraph cluster_{} {{\n    label={};",
                step.number,
                quote(&format!("step {}", step.number))
            ));
        }
        let pad = if boxed { "    " } else { "  " };
        lines.extend(step.tasks.iter().map(|&task| format!("{pad}t{task} [label={}];", quote(&name(list, task)))));
        if boxed {
            lines.push("  }".to_owned());
        }
        if let Some(before) = before.filter(|_| plan.mode != Mode::Graph) {
            let (from, to) = (before.tasks[0], step.tasks[0]);
            lines.push(format!("  t{from} -> t{to} [style=bold{}{}];", end("ltail", before), end("lhead", step)));
        }
        before = Some(step);
    }
    lines.extend(drawn(plan).map(|edge| {
        let label = quote(&format!("{}: {}", edge.reason.name(), edge.detail));
        format!("  t{} -> t{} [label={label}];", edge.from, edge.to)
    }));
    lines.push("}".to_owned());
    lines.join("\n") + "\n"
}

/// Whether a step is drawn as a box of its own; waves are not.
fn is_boxed(plan: &Plan, step: &Step) -> bool {
    step.parallel && plan.mode != Mode::Graph
}

/// The edges of which both ends are in the picture.
fn drawn(plan: &Plan) -> impl Iterator<Item = &Edge> {
    let shown: BTreeSet<usize> = plan.steps.iter().flat_map(|step| step.tasks.iter().copied()).collect();
    plan.edges.iter().filter(move |edge| shown.contains(&edge.from) && shown.contains(&edge.to))
}

fn name(list: &List, task: usize) -> String {
    format!("{} {}", list.document.label(task), list.document.items[task].title)
}
