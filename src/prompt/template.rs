//! Templates of prompts: text with places such as `{{block}}`. Filled in one pass, so that what is put in is never taken
//! for a place. A project may have templates of its own; a place that nobody knows is an error with its line.

/// A place to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    List,
    Task,
    Attempt,
    ProgressFile,
    Pages,
    Block,
    Files,
    Checks,
    Siblings,
    Learnings,
    Failure,
}

/// Every place, its name, and whether it is the same for all tasks of a group.
const PLACES: [(Place, &str, bool); 11] = [
    (Place::List, "list", true),
    (Place::Pages, "pages", true),
    (Place::Task, "task", false),
    (Place::Attempt, "attempt", false),
    (Place::ProgressFile, "progress_file", false),
    (Place::Block, "block", false),
    (Place::Files, "files", false),
    (Place::Checks, "checks", false),
    (Place::Siblings, "siblings", false),
    (Place::Learnings, "learnings", false),
    (Place::Failure, "failure", false),
];

/// Text, and places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Place(Place),
}

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
}

/// The templates of a prompt: the beginning that all have, and what follows for a task and for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    pub(super) prefix: Template,
    pub(super) task: Template,
    pub(super) verify: Template,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct TemplateError {
    /// Its file.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The built-in templates by the names that a project's own have.
const BUILT_IN: [(&str, &str); 3] = [
    ("prefix.md", include_str!("../../templates/prompts/prefix.md")),
    ("task.md", include_str!("../../templates/prompts/task.md")),
    ("verify.md", include_str!("../../templates/prompts/verify.md")),
];

/// The files that a project may have instead of the built-in templates.
pub const TEMPLATE_NAMES: [&str; 3] = [BUILT_IN[0].0, BUILT_IN[1].0, BUILT_IN[2].0];

impl Default for Templates {
    /// The built-in ones.
    fn default() -> Self {
        // What they are made of is no input: the tests read them.
        Self::read(|_| None).unwrap_or_else(|error| unreachable!("{error}"))
    }
}

impl Templates {
    /// Reads templates: `own` gives the path and the text of a project's own of that name, where there is one.
    pub fn read(own: impl Fn(&str) -> Option<(String, String)>) -> Result<Self, TemplateError> {
        let template = |at: usize| {
            let (name, built_in) = BUILT_IN[at];
            let (file, text) = own(name).unwrap_or_else(|| (name.to_owned(), built_in.to_owned()));
            Template::read(&file, &text, at == 0)
        };
        Ok(Self { prefix: template(0)?, task: template(1)?, verify: template(2)? })
    }
}

impl Template {
    fn read(file: &str, text: &str, shared: bool) -> Result<Self, TemplateError> {
        let wrong = |at: usize, message: String| {
            let line = 1 + text[..at].matches('\n').count();
            Err(TemplateError { file: file.to_owned(), line, message })
        };
        let known = |name: &str| PLACES.iter().find(|(_, known, _)| *known == name);
        let may = || {
            let names: Vec<_> = PLACES.iter().filter(|(.., same)| *same || !shared).map(|(_, name, _)| *name).collect();
            names.join(", ")
        };
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|open| at + open) {
            pieces.push(Piece::Text(text[at..open].to_owned()));
            let Some(close) = text[open..].find("}}").map(|close| open + close) else {
                return wrong(open, "a `{{` without its `}}`".to_owned());
            };
            let name = text[open + 2..close].trim();
            match known(name) {
                Some((_, name, false)) if shared => {
                    return wrong(
                        open,
                        format!(
                            "`{{{{{name}}}}}` differs from task to task and belongs into task.md and verify.md: what is in prefix.md is the same for all, so that a model's prompt cache has it"
                        ),
                    );
                }
                Some((place, ..)) => pieces.push(Piece::Place(*place)),
                None => return wrong(open, format!("`{{{{{name}}}}}` is no place to fill; there are {}", may())),
            }
            at = close + 2;
        }
        pieces.push(Piece::Text(text[at..].to_owned()));
        if !shared && !pieces.contains(&Piece::Place(Place::Block)) {
            return wrong(text.len(), "there is no `{{block}}`: without it nobody would be told the task".to_owned());
        }
        Ok(Self { pieces })
    }
}
