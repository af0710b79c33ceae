//! Dependencies: field values, tags on the task line, and labels that speak of a whole section, resolved to items.

use super::commands::bullet;
use super::fields::is_none;
use super::labels;
use super::scan::Scan;
use super::{Dependency, Diagnostic, Heading, Item, Role, Severity, codes, ids, pattern};
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

/// Words before an id that say nothing.
static LEADING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:[Aa]ll )?(?:(?:(?i-u:subtask|tasks?|items?|depends on|on)(?-u:\b)|タスク|任务|任務)[ :#]*)*")
});
/// What sections are called, in lower case, and the number behind it (`phase 2`; `phases 1` of `phases 1, 2`).
static SECTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^((?:task )?group|phase|section|stage|wave|milestone|sprint|epic|(?:user )?story|track)s? +([0-9]+(?:\.[0-9]+)*)?",
    )
});
/// Between the ends of a range: `T001-T004`, `1.1 to 1.4`.
static JOINT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^ *(?:[-–—]|\.\.+|to |through ) *"));
/// `[depends:T012]` and `(depends on T010)`.
static TAG: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[\[(](?i-u:depends on|depends|dependencies)[: ]*([^\])\n]*)[\])]"));
/// A part of a list of references, the notes in brackets behind it, and what separates it from the next.
static PART: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"([^(（\n]*?)(?:[(（][^)）\n]*[)）]?[^(（\n]*?)*(?:[,;、，+&\n]| and |$)"));

/// What references are looked up in.
struct Names<'a> {
    items: &'a [Item],
    headings: &'a [Heading],
    by_id: HashMap<Cow<'a, str>, usize>,
    /// Headings by the work package, or the word and number, that they begin with.
    sections: HashMap<String, usize>,
    /// How many resolved references may still be made: lists that name more are not meant to be run.
    budget: usize,
}

/// What one part of a dependency list turned out to be.
enum Part {
    Items(Vec<usize>),
    /// Looks like an id and is nowhere.
    Unknown,
    /// No reference.
    Unclear,
    /// It says that there is none.
    Nothing,
}

/// Resolves every dependency of a list into the fields of its items.
pub(super) fn resolve(scan: &Scan<'_>, items: &mut [Item], headings: &[Heading], diagnostics: &mut Vec<Diagnostic>) {
    let mut wanted: Vec<(usize, Range<usize>)> = Vec::new();
    // Most lists declare none.
    let declares = |item: &Item| item.fields.all.iter().any(|field| field.name == "Depends");
    if memchr::memmem::find(scan.text.as_bytes(), b"epend").is_none() && !items.iter().any(declares) {
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let named = item.fields.all.iter().filter(|field| field.name == "Depends");
        wanted.extend(named.map(|field| (index, field.value.clone())));
        wanted.extend(on_task_line(scan, item).into_iter().map(|range| (index, range)));
    }
    let sections = section_labels(scan, items, headings);
    if wanted.is_empty() && sections.is_empty() {
        return;
    }
    let mut names = Names::new(items, headings, scan.text.len());
    let mut found: Vec<(usize, Dependency)> = Vec::new();
    for (index, range) in wanted {
        let mut section = None;
        for (part, span) in parts(&scan.text, range) {
            match names.resolve(part, index, &mut section) {
                Part::Items(items) => found.push((index, Dependency { text: part.to_owned(), items, span })),
                Part::Unknown => {
                    found.push((index, Dependency { text: part.to_owned(), items: Vec::new(), span: span.clone() }));
                    diagnostics.push(unknown(part, span));
                }
                Part::Unclear => diagnostics.push(unclear(part, span)),
                Part::Nothing => {}
            }
        }
    }
    for (tasks, range) in sections {
        let mut section = None;
        let in_front = range.start < scan.front_matter.end;
        for (part, span) in parts(&scan.text, range) {
            // What is said of a section is often prose; a work package is always meant.
            let package = part.starts_with("WP") && ids::token(part).is_some_and(|token| token == part);
            match names.resolve(part, tasks.start, &mut section) {
                Part::Items(of) => {
                    // A section that contains what it depends on does not mean itself.
                    let of: Vec<usize> = of.into_iter().filter(|index| !tasks.contains(index)).collect();
                    for index in tasks.clone().filter(|&index| items[index].role != Role::Note) {
                        if of.is_empty() || !names.spend(of.len()) {
                            break;
                        }
                        found
                            .push((index, Dependency { text: part.to_owned(), items: of.clone(), span: span.clone() }));
                    }
                }
                // Front matter speaks of the files beside this one, too.
                Part::Unknown | Part::Unclear if in_front => {}
                Part::Unknown if package => diagnostics.push(unknown(part, span)),
                Part::Unknown | Part::Unclear => diagnostics.push(unclear(part, span)),
                Part::Nothing => {}
            }
        }
    }
    if names.budget == 0 {
        diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code: codes::TOO_MANY_DEPENDENCIES,
            message: "the dependencies of this list name too many tasks".to_owned(),
            span: 0..0,
            help: Some("name the last task of each range, or a parent, instead of every task".to_owned()),
        });
    }
    for (index, dependency) in found {
        items[index].fields.depends.push(dependency);
    }
}

fn unknown(part: &str, span: Range<usize>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: codes::UNKNOWN_DEPENDENCY,
        message: format!("there is no task `{part}` to depend on"),
        span,
        help: Some("name a task, a parent or a work package of this list, or take the dependency out".to_owned()),
    }
}

fn unclear(part: &str, span: Range<usize>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: codes::DEPENDENCY_UNCLEAR,
        message: format!("`{part}` names no task of this list"),
        span,
        help: Some("it does not order anything; write the ids of the tasks, separated by commas".to_owned()),
    }
}

impl<'a> Names<'a> {
    fn new(items: &'a [Item], headings: &'a [Heading], budget: usize) -> Self {
        let mut by_id = HashMap::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = &item.id {
                by_id.entry(ids::same(id)).or_insert(index);
            }
        }
        let mut sections = HashMap::new();
        for (number, heading) in headings.iter().enumerate() {
            for name in section_names(&heading.text) {
                sections.entry(name).or_insert(number);
            }
        }
        Self { items, headings, by_id, sections, budget: budget.max(1_000) }
    }

    fn spend(&mut self, count: usize) -> bool {
        let enough = self.budget > count;
        self.budget = if enough { self.budget - count } else { 0 };
        enough
    }

    fn item(&self, id: &str) -> Option<usize> {
        self.by_id.get(ids::same(id).as_ref()).copied()
    }

    /// What one part means, written on the item `index`. `section` is the word of the part before (`Phases 1, 2`).
    fn resolve(&mut self, part: &str, index: usize, section: &mut Option<String>) -> Part {
        let lower = match section.take() {
            Some(word) if part.bytes().all(|byte| byte.is_ascii_digit()) => format!("{word} {part}"),
            _ => part.to_lowercase(),
        };
        if is_none(part) || lower.starts_with("no dependenc") || lower.is_empty() {
            return Part::Nothing;
        }
        if let Some(found) = SECTION.captures(&lower) {
            *section = Some(found[1].to_owned());
            if let Some(name) = section_name(&found) {
                let section = self.sections.get(&name).copied();
                return section.map_or(Part::Unclear, |section| self.section(section));
            }
        }
        if lower.starts_with("all previous") || lower.starts_with("all above") {
            let before: Vec<usize> = (0..index).filter(|&before| self.items[before].role != Role::Note).collect();
            return self.tasks(before);
        }
        let rest = &part[LEADING.find(part).map_or(0, |words| words.end())..];
        let Some(token) = reference(rest) else { return Part::Unclear };
        if let Some(index) = self.item(token) {
            let behind = &rest[token.len()..];
            return match JOINT.find(behind).and_then(|joint| reference(&behind[joint.end()..])) {
                Some(end) => self.range(token, end),
                None => self.tasks(vec![index]),
            };
        }
        if let Some(&section) = self.sections.get(ids::same(token).as_ref()) {
            return self.section(section);
        }
        if let Some(group) = token.strip_suffix(".x").or_else(|| token.strip_suffix(".X")) {
            let begins = |item: &Item| {
                item.id.as_deref().and_then(|id| id.strip_prefix(group)).is_some_and(|rest| rest.starts_with('.'))
            };
            let members: Vec<usize> = (0..self.items.len()).filter(|&index| begins(&self.items[index])).collect();
            if !self.spend(self.items.len() / 8) {
                return Part::Nothing;
            }
            return if members.is_empty() { Part::Unknown } else { self.tasks(members) };
        }
        let joint = ["..", "–", "-"].into_iter().find_map(|joint| token.split_once(joint));
        match joint {
            Some((start, end)) => self.range(start, end),
            None => Part::Unknown,
        }
    }

    fn section(&mut self, heading: usize) -> Part {
        self.tasks(tasks_under(self.items, self.headings, heading).collect())
    }

    fn tasks(&mut self, items: Vec<usize>) -> Part {
        if self.spend(items.len()) { Part::Items(items) } else { Part::Nothing }
    }

    /// The ids, or work packages, between two that differ in their last number only.
    fn range(&mut self, start: &str, end: &str) -> Part {
        let split = |id: &str| {
            let digits = id.len() - id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let (stem, number) = id.split_at(id.len() - digits);
            number.parse::<usize>().ok().map(|number| (stem.to_owned(), number))
        };
        let (Some((stem, from)), Some((other, to))) = (split(start), split(end)) else { return Part::Unknown };
        let alike = other.is_empty() || ids::same(&stem) == ids::same(&other);
        if !alike || from > to || to - from > 500 || !self.spend(to - from) {
            return Part::Unknown;
        }
        let mut members = Vec::new();
        for number in from..=to {
            let id = format!("{stem}{number}");
            if let Some(item) = self.item(&id) {
                members.push(item);
            } else if let Some(&section) = self.sections.get(ids::same(&id).as_ref()) {
                members.extend(tasks_under(self.items, self.headings, section));
            } else if number == from || number == to {
                // A range may have gaps, but its ends are named outright.
                return Part::Unknown;
            }
        }
        self.tasks(members)
    }
}

/// The id or the plain number that a text begins with.
fn reference(text: &str) -> Option<&str> {
    let token = ids::token(text)?;
    let behind = text[token.len()..].chars().next();
    behind.is_none_or(|c| !c.is_alphanumeric() && c != '/' && c != '%').then_some(token)
}

/// The names that a heading can be referred to by.
fn section_names(heading: &str) -> Vec<String> {
    let mut names = Vec::new();
    let lower = heading.to_lowercase();
    if let Some(at) = heading.find("WP").filter(|at| heading[at + 2..].starts_with(|c: char| c.is_ascii_digit())) {
        names.extend(ids::token(&heading[at..]).map(|id| ids::same(id).into_owned()));
    }
    names.extend(SECTION.captures(&lower).and_then(|found| section_name(&found)));
    if let Some(number) = lower.strip_prefix("work package ").and_then(ids::token) {
        names.push(ids::same(&format!("WP{number}")).into_owned());
    }
    if let Some(found) = ids::read(heading).filter(|found| found.id.bytes().all(|byte| byte.is_ascii_digit())) {
        names.push(format!("section {}", ids::same(found.id)));
    }
    names
}

/// `phase 2` of `phase 2: make it work`, without leading zeros.
fn section_name(found: &Captures<'_>) -> Option<String> {
    found.get(2).map(|number| format!("{} {}", &found[1], ids::same(number.as_str())))
}

/// The items under a heading and the headings below it.
fn tasks_under(items: &[Item], headings: &[Heading], heading: usize) -> Range<usize> {
    let level = headings[heading].level;
    let end = headings[heading + 1..].iter().position(|other| other.level <= level);
    let end = end.map_or(headings.len(), |offset| heading + 1 + offset);
    let first = items.partition_point(|item| item.heading.is_none_or(|own| own < heading));
    let last = items.partition_point(|item| item.heading.is_none_or(|own| own < end));
    first..last
}

/// The values of `[depends:T012]` and `(depends on T010)` on the line of a task.
fn on_task_line(scan: &Scan<'_>, item: &Item) -> Vec<Range<usize>> {
    if !item.text.contains("epend") {
        return Vec::new();
    }
    let line = scan.line_starts[item.line - 1];
    let text = &scan.text[line..scan.line_end(item.line - 1)];
    let values = TAG.captures_iter(text).filter_map(|tag| tag.get(1));
    values.map(|value| line + value.start()..line + value.end()).collect()
}

/// The parts of a dependency list with their places; notes in brackets cut.
fn parts(text: &str, range: Range<usize>) -> Vec<(&str, Range<usize>)> {
    let value = &text[range.clone()];
    // Most lists name one task.
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !value.ends_with('.') {
        return vec![(value, range)];
    }
    let parts = PART.captures_iter(value).filter_map(|part| part.get(1)).filter_map(|part| {
        let trimmed = part.as_str().trim_start();
        let inner = trimmed[bullet(trimmed)..].trim_start_matches(['[', '`', '*', '_', '"', '{', ' ']);
        let start = range.start + part.end() - inner.len();
        let inner = inner.trim_end_matches([']', '`', '*', '_', '"', '}', '.', ' ', '\n', '\r', '\t', ':']);
        (!inner.is_empty()).then_some((inner, start..start + inner.len()))
    });
    parts.collect()
}

/// Lines outside tasks that say what a section needs: the section's tasks, and the value.
///
/// They are `**Dependencies**: WP01` anywhere in a section, `- Depends on WP01` below a heading that begins with
/// "Dependencies" and speaks of the section around it, and `dependencies:` of the front matter.
fn section_labels(scan: &Scan<'_>, items: &[Item], headings: &[Heading]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut labels = Vec::new();
    let front = &scan.text[scan.front_matter.clone()];
    if let Some(at) = front.find("dependencies:").filter(|&at| at == 0 || front[..at].ends_with('\n')) {
        let start = scan.front_matter.start + at + "dependencies:".len();
        labels.push((0..items.len(), start..scan.line_end(scan.line_of(start))));
    }
    let bytes = scan.text.as_bytes();
    let mut next_item = 0;
    let mut last_line = usize::MAX;
    for at in memchr::memmem::find_iter(bytes, "epend") {
        let line = scan.line_of(at);
        if line == last_line || at < scan.front_matter.end {
            continue;
        }
        last_line = line;
        let start = scan.line_starts[line];
        // Items at depth 0 do not overlap, and their blocks hold everything below them.
        while items.get(next_item).is_some_and(|item| item.block.end <= start) {
            next_item += 1;
        }
        let in_task = items.get(next_item).is_some_and(|item| item.block.start <= start);
        let code = scan.found.code.partition_point(|block| block.range.end <= start);
        let in_code = scan.found.code.get(code).is_some_and(|block| block.range.start <= at);
        let Some(mut heading) = headings.partition_point(|heading| heading.start <= start).checked_sub(1) else {
            continue;
        };
        if in_task || in_code || headings[heading].line == line + 1 {
            continue;
        }
        let text = &scan.text[start..scan.line_end(line)];
        let content = text.trim_start();
        let content = &content[bullet(content)..];
        let below_heading = headings[heading].text.to_lowercase().starts_with("dependenc");
        let label =
            labels::read(content).filter(|label| label.name == "Depends" && label.dress != labels::Dress::Plain);
        let depends_on = content.get(..11).is_some_and(|head| head.eq_ignore_ascii_case("depends on "));
        let value = match label {
            Some(label) => &content[label.len..],
            None if below_heading && depends_on => &content[11..],
            None => continue,
        };
        if below_heading {
            let level = headings[heading].level;
            let Some(around) = headings[..heading].iter().rposition(|other| other.level < level) else { continue };
            heading = around;
        }
        // What is said under the title of the file is said of nothing in particular.
        if headings[heading].level < 2 {
            continue;
        }
        let end = start + text.trim_end().len();
        let begin = start + text.len() - value.len();
        labels.push((tasks_under(items, headings, heading), begin..end.max(begin)));
    }
    labels
}
