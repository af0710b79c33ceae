//! Task lists: bytes in, a [`Document`] with byte spans and [`Diagnostic`]s out. Parsing never fails.
//!
//! One parser reads all dialects (smart-ralph, spec-kit, Kiro, OpenSpec, spec-workflow, spec-kitty, agent-os, BMAD,
//! plain lists). Features are found per item, not per file; the [`Dialect`] only settles defaults. `plan` reads the
//! document, `store` applies [`Edit`]s to the file, `cli` prints it.
//!
//! Pure: no file, no clock. Offsets are bytes into [`Document::source`], lines and columns are 1-based.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub mod codes;
mod commands;
mod depends;
mod dialect;
pub mod duration;
pub mod edit;
mod fields;
mod files;
mod head;
pub mod ids;
mod insert;
mod labels;
mod lookup;
mod marks;
mod mend;
mod parse;
pub mod quota;
mod roles;
mod scan;
pub mod size;
#[cfg(test)]
mod tests;

pub use edit::{Edit, apply};
pub use insert::{Insertion, Proposed, Spot};
pub use lookup::Lookup;
pub use marks::{ParallelMark, Place};
pub use mend::{Mend, mended, mends};
pub use parse::parse;

/// Compiles a pattern of the parser's own, once, in a `LazyLock`.
fn pattern(pattern: &str) -> regex::Regex {
    // What it is made of is no input: the tests compile every one.
    regex::Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
}

/// A parsed task list. Cheap to clone: the source is shared.
#[derive(Debug, Clone)]
pub struct Document {
    /// The bytes as they were read, BOM and all. They need not be UTF-8.
    pub source: Arc<[u8]>,
    /// What the list looks like as a whole; settles defaults only.
    pub dialect: Dialect,
    /// Every checkbox item in document order; an item's place in here is its index.
    pub items: Vec<Item>,
    /// Every heading in document order.
    pub headings: Vec<Heading>,
    /// The byte that a tick writes: the file's own habit, `x` or `X`.
    pub tick: u8,
    /// How it marks a task as parallel: the list's own habit, or that of its dialect.
    pub parallel_mark: ParallelMark,
    /// Byte offset of the start of each line.
    pub line_starts: Vec<usize>,
    /// What selectors and labels are answered from; built when first asked.
    pub lookup: Lookup,
}

/// A heading of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// The text without hashes, trimmed.
    pub text: String,
    /// 1-based line.
    pub line: usize,
    /// Byte offset of its first byte.
    pub start: usize,
}

/// What a list looks like as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// smart-ralph.
    Ralph,
    /// GitHub spec-kit.
    Speckit,
    /// Kiro and cc-sdd.
    Kiro,
    /// `OpenSpec`.
    Openspec,
    /// spec-workflow-mcp and `.claude/specs`.
    Specworkflow,
    /// spec-kitty.
    Speckitty,
    /// agent-os.
    Agentos,
    /// BMAD stories.
    Bmad,
    /// conductor.
    Conductor,
    /// Anything else with checkboxes.
    Plain,
}

/// One checkbox item.
#[derive(Debug, Clone)]
pub struct Item {
    /// 1-based line of the list marker (or of the heading, for heading tasks).
    pub line: usize,
    /// How many list items enclose this one, tasks or not.
    pub depth: usize,
    /// Index of the item this one is a part of, by indentation or by ids standing side by side.
    pub parent: Option<usize>,
    /// The id as reported: without trailing `.`, `:`, `)` and without a leading word (`Task 3.2:` is `3.2`).
    pub id: Option<String>,
    /// What is left of the first line without id, markers and emphasis around them.
    pub title: String,
    /// The source behind the box, first line, trimmed (lossy where it is not UTF-8).
    pub text: String,
    /// Whether the box says done (`x` or `X`).
    pub checked: bool,
    /// The character in the box: ` `, `x`, `X`, `-`, `~`.
    pub box_char: char,
    /// Where the box is and what a tick does.
    pub tick_at: Tick,
    /// False for near misses (`[ ]*`, `[-]`, `[x]1.1`, headings as tasks).
    pub gfm: bool,
    /// What the item is taken for.
    pub role: Role,
    /// Bracket tags of the marker cluster, without brackets, in order; every spelling of parallel is `P`.
    pub markers: Vec<String>,
    /// Marked parallel, and neither `[VERIFY]` nor `[SEQUENTIAL]`.
    pub parallel: bool,
    /// Index into [`Document::headings`] of the heading it stands under.
    pub heading: Option<usize>,
    /// How many headings and thematic breaks stand before it: items of one group share the number.
    pub segment: usize,
    /// What its body says.
    pub fields: Fields,
    /// Its whole block: from the start of its first line to the end of its body (with line end), children included.
    pub block: Range<usize>,
    /// Its own part of the block: up to the first child item, if it has any.
    pub own: Range<usize>,
}

impl Item {
    /// Whether it is marked `[VERIFY]` (or `[VERIFY:X]`).
    #[must_use]
    pub fn is_verify(&self) -> bool {
        self.has_marker("VERIFY")
    }

    /// Whether it is marked `[SEQUENTIAL]`.
    #[must_use]
    pub fn is_sequential(&self) -> bool {
        self.has_marker("SEQUENTIAL")
    }

    /// Whether it has a marker of that name, with or without something behind a colon.
    #[must_use]
    pub fn has_marker(&self, name: &str) -> bool {
        self.markers
            .iter()
            .any(|marker| marker.split(':').next().is_some_and(|own| own.trim().eq_ignore_ascii_case(name)))
    }

    /// Which families of ids count when its text is read once more: that of its own id.
    fn accepts_family(&self) -> impl Fn(&str) -> bool {
        |family| self.id.as_deref().is_some_and(|id| id.starts_with(family))
    }
}

/// How an item is ticked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// Replace the byte at this offset.
    Replace(usize),
    /// Insert `[x] ` at this offset (a heading task without a box).
    Insert(usize),
}

/// What an item is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Work to be run.
    Task,
    /// Has tasks below it; never run, ticked when they are done.
    Parent,
    /// Listed, not run (acceptance lists, steps of a task).
    Note,
    /// Starred; run only when asked for.
    Optional,
    /// `[~]`: set aside, not run.
    Held,
}

/// What the body of an item says, by the fields of the contract. All empty where nothing is said. The fields that few
/// tasks have are read and written like the others, and stand apart: a list has many items, and most have none of them.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    /// `Files`: paths declared to be touched.
    pub files: Vec<FileEntry>,
    /// `Files: None` was said outright.
    pub files_none: bool,
    /// `Verify`: commands; each is one shell call and all must exit 0.
    pub verify: Vec<Command>,
    /// The `Verify` field is there but has no command in it (its prose is for the agent).
    pub verify_prose: bool,
    /// `Run`: what makes a task need no model.
    pub run: Vec<Command>,
    /// `Commit`: the message, text behind the code span dropped; null where it says None.
    pub commit: Option<String>,
    /// Every field found, known or not, in order: name as in the contract (or as written), and value as a span.
    pub all: Vec<Field>,
    rare: Option<Box<Rare>>,
}

/// The fields that few tasks have.
#[derive(Debug, Clone, Default)]
pub struct Rare {
    /// Paths read from the title; they only help the planner.
    pub title_files: Vec<String>,
    /// `Depends`, resolved.
    pub depends: Vec<Dependency>,
    /// `Uses`: names of shared resources.
    pub uses: Vec<String>,
    /// `Requirements`.
    pub requirements: Vec<String>,
    /// `Agent`.
    pub agent: Option<String>,
    /// `Model`.
    pub model: Option<String>,
    /// `Dir`: where its commands run, relative to the repository's root.
    pub dir: Option<String>,
    /// `Timeout`, in seconds.
    pub timeout: Option<u64>,
    /// `Quota`.
    pub quota: Option<quota::Quota>,
    /// `Retries`: how many more tries than one.
    pub retries: Option<u32>,
}

impl Rare {
    const NONE: Self = Self {
        title_files: Vec::new(),
        depends: Vec::new(),
        uses: Vec::new(),
        requirements: Vec::new(),
        agent: None,
        model: None,
        dir: None,
        timeout: None,
        quota: None,
        retries: None,
    };
}

impl std::ops::Deref for Fields {
    type Target = Rare;
    fn deref(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(const { &Rare::NONE })
    }
}

impl std::ops::DerefMut for Fields {
    fn deref_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// One field of a body, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The contract's name (`Done when`), or as written where unknown.
    pub name: Cow<'static, str>,
    /// The value's bytes, nested lines included.
    pub value: Range<usize>,
}

/// A command of `Verify` or `Run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// One shell script, one call.
    pub script: String,
    /// Where it stands.
    pub span: Range<usize>,
}

/// An entry of `Files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the repository's root, `/` between parts, notes and `:lines` cut.
    pub path: String,
    /// It says delete or remove (or is the old name of a rename): it must be gone afterwards.
    pub gone: bool,
    /// It has `*`, `?` or `[` in it.
    pub glob: bool,
}

/// One reference of `Depends`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The reference as written (`1.2`, `T005-T008`).
    pub text: String,
    /// The items that it means (the first of equal ids; a parent means its tasks, expanded by the planner).
    pub items: Vec<usize>,
    /// Where it stands.
    pub span: Range<usize>,
}

/// How bad a diagnostic is. Errors keep a list from being run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something is probably not as meant.
    Warning,
    /// The list cannot be run as it is.
    Error,
}

/// Something to say about a list, with the place it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable kebab-case code, one of [`codes`].
    pub code: &'static str,
    /// What is wrong, as one lower-case sentence without a full stop.
    pub message: String,
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
}
