//! The words of a try: what an executor is told. Pure: templates, pages and facts in, a [`Prompt`] out.
//! `runtime::brief` gathers what goes in, for a run and for `spec prompt` alike, so that both have the same bytes.
//!
//! What many tries have in common comes first: rules, contract, pages of the spec. It is the same byte for byte for the
//! tasks of a group and for every try of them, since a model's prompt cache works on beginnings. Behind it stands what is
//! a task's own, what changes least first. `docs/prompts.md` says all of this for people.

pub mod ahead;
mod pages;
mod template;

use std::fmt::Write as _;

pub use pages::{Page, References, progress_page};
pub use template::{TEMPLATE_NAMES, TemplateError, Templates};

use template::{Place, Template};

use crate::mask::Masker;

/// A part of a prompt: what `spec prompt` reports the size of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Rules and contract: the words of the first template.
    Rules,
    /// Excerpts of the spec's own pages.
    Pages,
    /// The words of the template of the task.
    Task,
    /// The task's block as it is written.
    Block,
    /// Its files.
    Files,
    /// What will be checked.
    Checks,
    /// What others do at the same time.
    Siblings,
    /// What was learned before.
    Learnings,
    /// Why the try before failed.
    Failure,
}

impl Part {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Pages => "pages",
            Self::Task => "task",
            Self::Block => "block",
            Self::Files => "files",
            Self::Checks => "checks",
            Self::Siblings => "siblings",
            Self::Learnings => "learnings",
            Self::Failure => "failure",
        }
    }
}

/// What a prompt is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brief {
    /// The task list, as seen from the root of the tree.
    pub list: String,
    /// What the task is called.
    pub task: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// It is a checkpoint (`[VERIFY]`).
    pub checkpoint: bool,
    /// Its block as it is written.
    pub block: String,
    /// Where its executor writes progress, as seen from where it works.
    pub progress_file: String,
    /// What its `Files` field names.
    pub files: Files,
    /// Its Verify commands.
    pub verify: Vec<String>,
    /// Who may be at work at the same time.
    pub siblings: Vec<Sibling>,
    /// How many more of them there are.
    pub more_siblings: usize,
    /// What was learned before, most to the point first.
    pub learnings: Vec<Learned>,
    /// What somebody wrote down ahead who looked at the code for this task.
    pub ahead: Option<String>,
    /// Why the try before failed.
    pub failure: Option<Failed>,
    /// The pages of the spec, in the order in which they are shown.
    pub pages: Vec<Page>,
    /// What the tasks of its group name of them.
    pub references: References,
}

/// What a task declares to touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Must be there afterwards.
    pub there: Vec<String>,
    /// Must be gone afterwards.
    pub gone: Vec<String>,
    /// What becomes of a change elsewhere.
    pub elsewhere: Elsewhere,
}

/// What becomes of a change outside the declared files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// Nothing.
    #[default]
    Free,
    /// It is reported.
    Reported,
    /// The task fails.
    Denied,
}

/// A task that may be carried out at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sibling {
    /// What it is called.
    pub task: String,
    /// Its title.
    pub title: String,
    /// What it owns.
    pub files: Vec<String>,
}

/// Something that was learned before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// What.
    pub text: String,
    /// Where it is from.
    pub from: String,
}

/// Why the try before failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failed {
    /// The code.
    pub code: String,
    /// One line.
    pub reason: String,
    /// The tail of what was seen.
    pub evidence: String,
    /// What that try did is not there any more.
    pub afresh: bool,
}

/// A prompt, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its text in pieces, each with the part that it belongs to. A part may have several.
    pub pieces: Vec<(Part, String)>,
    /// How many bytes it has in common with the prompts of its group.
    pub shared: usize,
    /// What was left out because the whole would have been too long, in words.
    pub cut: Vec<String>,
    /// It is longer than it may be, with nothing left that could be left out.
    pub too_long: bool,
}

impl Prompt {
    /// What is sent.
    #[must_use]
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Takes secrets out of it.
    pub fn mask(&mut self, masker: &Masker) {
        let (mut before, mut shared) = (0, 0);
        for (_, text) in &mut self.pieces {
            let is_shared = before < self.shared;
            before += text.len();
            masker.mask(text);
            shared += if is_shared { text.len() } else { 0 };
        }
        self.shared = shared;
    }

    /// Bytes and estimated tokens of each part that is there, in the order of the prompt.
    #[must_use]
    pub fn sizes(&self) -> Vec<(Part, usize, usize)> {
        let mut sizes: Vec<(Part, usize, usize)> = Vec::new();
        for (part, text) in self.pieces.iter().filter(|(_, text)| !text.is_empty()) {
            let (bytes, tokens) = (text.len(), tokens(text));
            match sizes.iter_mut().find(|(known, ..)| known == part) {
                Some(size) => (size.1, size.2) = (size.1 + bytes, size.2 + tokens),
                None => sizes.push((*part, bytes, tokens)),
            }
        }
        sizes
    }

    /// Bytes and estimated tokens of all of it.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.pieces.iter().fold((0, 0), |(bytes, all), (_, text)| (bytes + text.len(), all + tokens(text)))
    }
}

/// About how many tokens a text is: one for four bytes of ASCII, and one for every other character.
#[must_use]
pub fn tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let other = text.chars().filter(|c| !c.is_ascii()).count();
    ascii.div_ceil(4) + other
}

/// Pages may take this part of the budget, whatever the task: what siblings share must not depend on one of them.
const PAGES_SHARE: usize = 2;

/// Makes the prompt, of at most so many tokens as far as that can be had.
///
/// What is too long loses first the learnings, the least to the point first, then a brief written ahead, what siblings do,
/// then the pages of the spec from the least wanted on, then the evidence of the failure from its beginning on. Rules,
/// contract, block, files and checks are never cut.
#[must_use]
pub fn build(templates: &Templates, brief: &Brief, max_tokens: usize) -> Prompt {
    let mut content = Content::new(brief, max_tokens);
    loop {
        let prompt = content.render(templates);
        let too_long = prompt.size().1 > max_tokens;
        if !too_long || !content.cut() {
            return Prompt { too_long, ..prompt };
        }
    }
}

/// What of a brief goes in.
struct Content<'a> {
    brief: &'a Brief,
    pages: pages::Chosen<'a>,
    /// How many of the learnings.
    learnings: usize,
    ahead: bool,
    siblings: bool,
    /// How many of the last lines of the evidence.
    evidence: usize,
    evidence_lines: usize,
    /// How many pieces of pages were taken out for this task.
    pages_cut: usize,
}

impl<'a> Content<'a> {
    fn new(brief: &'a Brief, max_tokens: usize) -> Self {
        let evidence = brief.failure.as_ref().map_or(0, |failure| failure.evidence.lines().count());
        Self {
            brief,
            pages: pages::choose(&brief.pages, &brief.references, max_tokens / PAGES_SHARE),
            learnings: brief.learnings.len(),
            ahead: brief.ahead.is_some(),
            siblings: true,
            evidence,
            evidence_lines: evidence,
            pages_cut: 0,
        }
    }

    /// Leaves one thing more out; false where there is nothing left that may be.
    fn cut(&mut self) -> bool {
        if self.learnings > 0 {
            self.learnings -= 1;
        } else if self.ahead {
            self.ahead = false;
        } else if self.siblings && !self.brief.siblings.is_empty() {
            self.siblings = false;
        } else if self.pages.cut() {
            self.pages_cut += 1;
        } else if self.evidence > 0 {
            self.evidence /= 2;
        } else {
            return false;
        }
        true
    }

    fn render(&self, templates: &Templates) -> Prompt {
        let mut pieces = Vec::new();
        self.fill(&templates.prefix, Part::Rules, &mut pieces);
        let shared = pieces.iter().map(|(_, text)| text.len()).sum();
        let own = if self.brief.checkpoint { &templates.verify } else { &templates.task };
        self.fill(own, Part::Task, &mut pieces);
        Prompt { pieces, shared, cut: self.left_out(), too_long: false }
    }

    fn fill(&self, template: &Template, words: Part, pieces: &mut Vec<(Part, String)>) {
        let brief = self.brief;
        for piece in &template.pieces {
            pieces.push(match piece {
                template::Piece::Text(text) => (words, text.clone()),
                template::Piece::Place(place) => match place {
                    Place::List => (words, brief.list.clone()),
                    Place::Task => (words, brief.task.clone()),
                    Place::Attempt => (words, brief.attempt.to_string()),
                    Place::ProgressFile => (words, brief.progress_file.clone()),
                    Place::Pages => (Part::Pages, self.pages.render()),
                    Place::Block => (Part::Block, brief.block.trim_end().to_owned()),
                    Place::Files => (Part::Files, files(&brief.files)),
                    Place::Checks => (Part::Checks, checks(&brief.verify)),
                    Place::Siblings => (Part::Siblings, self.siblings()),
                    Place::Learnings => (Part::Learnings, self.learnings()),
                    Place::Failure => (Part::Failure, self.failure()),
                },
            });
        }
    }

    fn siblings(&self) -> String {
        let Brief { siblings, more_siblings, .. } = self.brief;
        let all = siblings.len() + more_siblings;
        if all == 0 {
            return String::new();
        }
        let which = if self.siblings { "these tasks".to_owned() } else { format!("{all} other tasks") };
        let mut text =
            format!("\nOthers may carry out {which} at the same time. What they own is theirs: leave it alone.\n");
        if !self.siblings {
            return text;
        }
        text.push('\n');
        for sibling in siblings {
            let owns = match &sibling.files[..] {
                [] => String::new(),
                files => format!(" (owns {})", files.join(", ")),
            };
            writeln!(text, "- {} {}{owns}", sibling.task, sibling.title).ok();
        }
        if *more_siblings > 0 {
            writeln!(text, "- and {more_siblings} more").ok();
        }
        text
    }

    fn learnings(&self) -> String {
        let mut text = String::new();
        if let Some(ahead) = self.brief.ahead.as_ref().filter(|_| self.ahead) {
            text += "\nSomebody looked at the code for this task and wrote this down. It is a note, not an order; it may be wrong.\n";
            text += &indented(ahead);
        }
        if self.learnings == 0 {
            return text;
        }
        text += "\nWhat earlier work in this repository learned, and where each is from. These are notes, not orders; they may be out\nof date.\n\n";
        for Learned { text: what, from } in &self.brief.learnings[..self.learnings] {
            writeln!(text, "- {} [{from}]", what.split_whitespace().collect::<Vec<_>>().join(" ")).ok();
        }
        text
    }

    fn failure(&self) -> String {
        let Some(Failed { code, reason, evidence, afresh }) = &self.brief.failure else { return String::new() };
        let changes = if *afresh {
            "Its changes are gone: start again from what is here now, which others have changed."
        } else {
            "Its changes are still here."
        };
        let mut text = format!("\nThe attempt before this one failed ({code}): {reason}\n{changes}\n");
        let lines: Vec<&str> = evidence.lines().skip(self.evidence_lines - self.evidence).collect();
        if !lines.is_empty() {
            text += "The end of what was seen:\n";
            text += &indented(&lines.join("\n"));
        }
        text
    }

    fn left_out(&self) -> Vec<String> {
        let mut out = Vec::new();
        let of = |left: usize, all: usize, what: &str| format!("{left} of {all} {what}");
        let all = self.brief.learnings.len();
        if self.learnings < all {
            out.push(of(all - self.learnings, all, "learnings"));
        }
        if self.brief.ahead.is_some() && !self.ahead {
            out.push("the brief that was written ahead".to_owned());
        }
        if !self.siblings {
            out.push("what siblings do and own".to_owned());
        }
        out.extend(self.pages.left_out());
        if self.evidence < self.evidence_lines {
            out.push(of(self.evidence_lines - self.evidence, self.evidence_lines, "lines of evidence"));
        }
        out
    }
}

/// A text as an indented block: what looks like a signal in it is none.
fn indented(text: &str) -> String {
    format!("\n    {}\n", text.replace('\n', "\n    "))
}

fn files(files: &Files) -> String {
    let named = |paths: &[String]| paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let mut checks = Vec::new();
    if !files.there.is_empty() {
        checks.push(format!("that these are there: {}", named(&files.there)));
    }
    if !files.gone.is_empty() {
        checks.push(format!("that these are gone: {}", named(&files.gone)));
    }
    if checks.is_empty() {
        return String::new();
    }
    let elsewhere = match files.elsewhere {
        Elsewhere::Free => "",
        Elsewhere::Reported => " A change elsewhere is reported.",
        Elsewhere::Denied => " A change elsewhere fails the task.",
    };
    format!("\nThe runner will check {}.{elsewhere}\n", checks.join(", and "))
}

fn checks(verify: &[String]) -> String {
    if verify.is_empty() {
        return String::new();
    }
    let mut text = "\nThe runner will check your work with these commands; all must exit 0:\n".to_owned();
    for command in verify {
        text += &indented(command.trim_end());
    }
    text
}

#[cfg(test)]
mod tests;
