//! `spec tasks`: lists the tasks of a list as they are understood.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::{Format, TasksArgs};
use crate::cli::target::{self, List};
use crate::cli::{Error, exit, output};
use crate::document::{self, Dialect, Document, Item, Role, Severity};
use crate::report::text;

/// Does it and gives the exit code.
pub fn run(args: &TasksArgs) -> Result<u8, Error> {
    let list = target::load(args.file.as_deref())?;
    match args.format {
        Format::Human => output::print(&human(&list))?,
        Format::Json => output::print_json(&TaskList::new(&list))?,
    }
    Ok(exit::DONE)
}

/// What `spec tasks --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskList {
    /// `spec.tasks/1`.
    pub schema: &'static str,
    /// The list.
    pub path: String,
    /// What the list looks like as a whole: `ralph`, `speckit`, `kiro`, `openspec`, `specworkflow`, `speckitty`,
    /// `agentos`, `bmad`, `conductor` or `plain`.
    pub dialect: &'static str,
    /// Every checkbox item, in document order.
    pub tasks: Vec<Task>,
    /// What the parser has to say.
    pub diagnostics: Vec<DiagnosticRow>,
}

/// One checkbox item.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// 0-based position among all checkbox items.
    pub index: usize,
    /// 1-based line of its list marker.
    pub line: usize,
    /// How many list items are around it.
    pub depth: usize,
    /// Index of the item it is a part of.
    pub parent: Option<usize>,
    /// Its id.
    pub id: Option<String>,
    /// What it is called on the command line: id, `ID@LINE` or `:INDEX`.
    pub label: String,
    /// Its first line without id and markers.
    pub title: String,
    /// The source behind the box, first line, trimmed.
    pub text: String,
    /// Whether the box says done.
    pub checked: bool,
    /// The character in the box.
    #[serde(rename = "box")]
    pub box_char: char,
    /// False for what Markdown shows no checkbox for.
    pub gfm: bool,
    /// `task`, `parent`, `note`, `optional` or `held`.
    pub role: &'static str,
    /// Bracket tags; every spelling of parallel is `P`.
    pub markers: Vec<String>,
    /// Marked parallel, and neither `[VERIFY]` nor `[SEQUENTIAL]`.
    pub parallel: bool,
    /// The heading it stands under.
    pub heading: Option<String>,
    /// Paths of `Files`, or of the title where there is no such field.
    pub files: Vec<String>,
    /// Those of `files` that must be gone afterwards.
    pub files_gone: Vec<String>,
    /// Where `files` are from: `field`, `title`, or null where there are none.
    pub files_from: Option<&'static str>,
    /// Commands of `Verify`.
    pub verify: Vec<String>,
    /// Commands of `Run`.
    pub run: Vec<String>,
    /// The commit message.
    pub commit: Option<String>,
    /// Labels of the items it depends on; what could not be resolved, as written.
    pub depends: Vec<String>,
    /// Members of `Requirements`.
    pub requirements: Vec<String>,
    /// Shared resources of `Uses`.
    pub uses: Vec<String>,
    /// `Agent`.
    pub agent: Option<String>,
    /// `Model`.
    pub model: Option<String>,
    /// `Dir`.
    pub dir: Option<String>,
    /// `Timeout` in seconds.
    pub timeout_seconds: Option<u64>,
    /// `Retries`.
    pub retries: Option<u32>,
    /// Names of all fields found, known or not, in order.
    pub fields: Vec<String>,
}

/// A diagnostic, as `spec tasks` and `spec check` print it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DiagnosticRow {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl TaskList {
    /// The list as other programs see it.
    #[must_use]
    pub fn new(list: &List) -> Self {
        let document = &list.document;
        Self {
            schema: "spec.tasks/1",
            path: list.path.to_string_lossy().into_owned(),
            dialect: dialect(document.dialect),
            tasks: (0..document.items.len()).map(|index| task(document, index)).collect(),
            diagnostics: list.diagnostics.iter().map(|diagnostic| DiagnosticRow::new(document, diagnostic)).collect(),
        }
    }
}

impl DiagnosticRow {
    /// A diagnostic with its place in lines and columns.
    #[must_use]
    pub fn new(document: &Document, diagnostic: &document::Diagnostic) -> Self {
        let (line, column) = document.position(diagnostic.span.start);
        Self {
            line,
            column,
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            },
            code: diagnostic.code,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

fn task(document: &Document, index: usize) -> Task {
    let item = &document.items[index];
    let fields = &item.fields;
    let declared = !fields.files.is_empty() || fields.files_none;
    let files =
        if declared { fields.files.iter().map(|file| file.path.clone()).collect() } else { fields.title_files.clone() };
    let files_from = match files.is_empty() {
        true => None,
        false if declared => Some("field"),
        false => Some("title"),
    };
    let scripts = |commands: &[document::Command]| commands.iter().map(|command| command.script.clone()).collect();
    Task {
        index,
        line: item.line,
        depth: item.depth,
        parent: item.parent,
        id: item.id.clone(),
        label: document.label(index),
        title: item.title.clone(),
        text: item.text.clone(),
        checked: item.checked,
        box_char: item.box_char,
        gfm: item.gfm,
        role: role(item.role),
        markers: item.markers.clone(),
        parallel: item.parallel,
        heading: item.heading.map(|heading| document.headings[heading].text.clone()),
        files,
        files_gone: fields.files.iter().filter(|file| file.gone).map(|file| file.path.clone()).collect(),
        files_from,
        verify: scripts(&fields.verify),
        run: scripts(&fields.run),
        commit: fields.commit.clone(),
        depends: depends(document, item),
        requirements: fields.requirements.clone(),
        uses: fields.uses.clone(),
        agent: fields.agent.clone(),
        model: fields.model.clone(),
        dir: fields.dir.clone(),
        timeout_seconds: fields.timeout,
        retries: fields.retries,
        fields: fields.all.iter().map(|field| field.name.to_string()).collect(),
    }
}

fn depends(document: &Document, item: &Item) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for dependency in &item.fields.depends {
        if dependency.items.is_empty() {
            labels.push(dependency.text.clone());
        }
        labels.extend(dependency.items.iter().map(|&index| document.label(index)));
    }
    let mut seen = std::collections::HashSet::new();
    labels.retain(|label| seen.insert(label.clone()));
    labels
}

/// The name of a role.
#[must_use]
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Task => "task",
        Role::Parent => "parent",
        Role::Note => "note",
        Role::Optional => "optional",
        Role::Held => "held",
    }
}

const fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Ralph => "ralph",
        Dialect::Speckit => "speckit",
        Dialect::Kiro => "kiro",
        Dialect::Openspec => "openspec",
        Dialect::Specworkflow => "specworkflow",
        Dialect::Speckitty => "speckitty",
        Dialect::Agentos => "agentos",
        Dialect::Bmad => "bmad",
        Dialect::Conductor => "conductor",
        Dialect::Plain => "plain",
    }
}

/// The list for people: headings, boxes, labels, titles, marks, and the role where it is not `task`.
fn human(list: &List) -> String {
    let document = &list.document;
    let tasks = document.items.iter().filter(|item| item.role == Role::Task);
    let (all, done) = (tasks.clone().count(), tasks.filter(|item| item.checked).count());
    let mut out = format!("{} ({}): {done} of {all} tasks done\n", list.path.display(), dialect(document.dialect));
    let mut heading = None;
    for (index, item) in document.items.iter().enumerate() {
        if index == 0 || item.heading != heading {
            heading = item.heading;
            let title = heading.map_or("", |heading| &document.headings[heading].text);
            write!(out, "\n{}{}", text::clean(title), if title.is_empty() { "" } else { "\n" }).ok();
        }
        let level = document.parents(index).take(16).count();
        write!(out, "  {:indent$}[{}] {}", "", item.box_char, document.label(index), indent = level * 2).ok();
        for part in [text::clean(&item.title), marks(item)] {
            if !part.is_empty() {
                write!(out, " {part}").ok();
            }
        }
        out.push('\n');
    }
    out
}

fn marks(item: &Item) -> String {
    let marks = item.markers.iter().map(|marker| format!("[{}]", text::clean(marker)));
    let role = (item.role != Role::Task).then(|| format!("({})", role(item.role)));
    marks.chain(role).collect::<Vec<_>>().join(" ")
}
