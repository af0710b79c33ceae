//! Dependencies: field values, tags on the task line, and labels that speak of a whole section, resolved to items.

use super::commands::bullet;
use super::fields::is_none;
use super::labels;
use super::scan::Scan;
use super::{Dependency, Diagnostic, Heading, Item, Role, Severity, codes, ids};
use std::collections::HashMap;
use std::ops::Range;

/// Words before an id that say nothing.
const LEADING: &[&str] = &["tasks", "task", "subtask", "items", "item", "タスク", "任务", "任務", "on", "depends on"];
/// What sections are called in front of their number.
const SECTIONS: &[&str] = &[
    "task group",
    "group",
    "phase",
    "section",
    "stage",
    "wave",
    "milestone",
    "sprint",
    "epic",
    "story",
    "user story",
    "track",
];

/// What references are looked up in.
struct Names<'a> {
    items: &'a [Item],
    headings: &'a [Heading],
    by_id: HashMap<String, usize>,
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
        self.by_id.get(&ids::same(id)).copied()
    }

    /// What one part means, written on the item `index`. `section` is the word of the part before (`Phases 1, 2`).
    fn resolve(&mut self, part: &str, index: usize, section: &mut Option<&'static str>) -> Part {
        let lower = match *section {
            Some(word) if part.bytes().all(|byte| byte.is_ascii_digit()) => format!("{word} {part}"),
            _ => part.to_lowercase(),
        };
        *section = section_word(&lower);
        if is_none(part) || lower.starts_with("no dependenc") || lower.is_empty() {
            return Part::Nothing;
        }
        if let Some(name) = section_name(&lower) {
            let section = self.sections.get(&name).copied();
            return section.map_or(Part::Unclear, |section| self.section(section));
        }
        if lower.starts_with("all previous") || lower.starts_with("all above") {
            let before: Vec<usize> = (0..index).filter(|&before| self.items[before].role != Role::Note).collect();
            return self.tasks(before);
        }
        let mut rest = part.strip_prefix("all ").or_else(|| part.strip_prefix("All ")).unwrap_or(part);
        for word in LEADING {
            let head = rest.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word));
            if let Some(behind) = head
                .map(|head| &rest[head.len()..])
                .filter(|behind| !behind.starts_with(char::is_alphanumeric) || !word.is_ascii())
            {
                rest = behind.trim_start_matches([' ', ':', '#']);
            }
        }
        let Some(token) = reference(rest) else { return Part::Unclear };
        if let Some(index) = self.item(token) {
            let to = rest[token.len()..].trim_start();
            let to = ["-", "–", "—", "..", "to ", "through "].iter().find_map(|joint| to.strip_prefix(joint));
            return match to.map(|to| to.trim_start_matches('.').trim_start()).and_then(reference) {
                Some(end) => self.range(token, end),
                None => self.tasks(vec![index]),
            };
        }
        if let Some(&section) = self.sections.get(&ids::same(token)) {
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
            } else if let Some(&section) = self.sections.get(&ids::same(&id)) {
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
        names.extend(ids::token(&heading[at..]).map(ids::same));
    }
    names.extend(section_name(&lower));
    if let Some(number) = lower.strip_prefix("work package ").and_then(ids::token) {
        names.push(ids::same(&format!("WP{number}")));
    }
    if let Some(found) = ids::read(heading).filter(|found| found.id.bytes().all(|byte| byte.is_ascii_digit())) {
        names.push(format!("section {}", ids::same(found.id)));
    }
    names
}

/// The word that a section, or several (`phases 1, 2`), is called by.
fn section_word(lower: &str) -> Option<&'static str> {
    let behind = |word: &str| lower.strip_prefix(word).map(|rest| rest.strip_prefix('s').unwrap_or(rest));
    SECTIONS.iter().find(|word| behind(word).is_some_and(|rest| rest.starts_with(' '))).copied()
}

/// `phase 2` of `phase 2: make it work`, without leading zeros.
fn section_name(lower: &str) -> Option<String> {
    let word = section_word(lower)?;
    let rest = &lower[word.len()..];
    let number = rest.strip_prefix('s').unwrap_or(rest).trim_start();
    let len = number.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let number = number[..len].trim_end_matches('.');
    (!number.is_empty()).then(|| format!("{word} {}", ids::same(number)))
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

/// `[depends:T012]` and `(depends on T010)` on the line of a task.
fn on_task_line(scan: &Scan<'_>, item: &Item) -> Vec<Range<usize>> {
    if !item.text.contains("epend") {
        return Vec::new();
    }
    let line = scan.line_starts[item.line - 1];
    let text = &scan.text[line..scan.line_end(item.line - 1)];
    let mut found = Vec::new();
    for (open, close) in [('[', ']'), ('(', ')')] {
        let mut at = 0;
        while let Some(start) = text[at..].find(open).map(|offset| at + offset + 1) {
            at = start;
            let inside = &text[start..];
            let Some(word) = ["depends on", "depends", "dependencies"]
                .iter()
                .find(|word| inside.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
            else {
                continue;
            };
            let value = inside[word.len()..].trim_start_matches([':', ' ']);
            let begin = start + inside.len() - value.len();
            let Some(end) = value.find(close) else { break };
            found.push(line + begin..line + begin + end);
            at = begin + end;
        }
    }
    found
}

/// The parts of a dependency list with their places; notes in brackets cut.
fn parts(text: &str, range: Range<usize>) -> Vec<(&str, Range<usize>)> {
    let value = &text[range.clone()];
    let mut result = Vec::new();
    let mut notes = 0_usize;
    let mut start = 0;
    let mut cut = None;
    let mut push = |part: &str, at: usize| {
        let trimmed = part.trim_start();
        let trimmed_at = at + part.len() - trimmed.len();
        let marker = bullet(trimmed);
        let inner = trimmed[marker..].trim_start_matches(['[', '`', '*', '_', '"', '{', ' ']);
        let begin = trimmed_at + trimmed.len() - inner.len();
        let inner = inner.trim_end_matches([']', '`', '*', '_', '"', '}', '.', ' ', '\n', '\r', '\t', ':']);
        if !inner.is_empty() {
            result.push((begin, inner.len()));
        }
    };
    for (at, c) in value.char_indices() {
        let separator = match c {
            '(' | '（' => {
                if notes == 0 {
                    cut = cut.or(Some(at));
                }
                notes += 1;
                continue;
            }
            ')' | '）' => {
                notes = notes.saturating_sub(1);
                continue;
            }
            ',' | ';' | '、' | '，' | '\n' | '+' | '&' => c.len_utf8(),
            'a' if value[at..].starts_with("and ") && value[..at].ends_with(' ') => 4,
            _ => continue,
        };
        if notes == 0 || c == '\n' {
            notes = 0;
            push(&value[start..cut.take().unwrap_or(at).max(start)], start);
            start = at + separator;
        }
    }
    push(&value[start.min(value.len())..cut.unwrap_or(value.len()).max(start.min(value.len()))], start);
    result.into_iter().map(|(at, len)| (&value[at..at + len], range.start + at..range.start + at + len)).collect()
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
        let code = scan.code.partition_point(|block| block.range.end <= start);
        let in_code = scan.code.get(code).is_some_and(|block| block.range.start <= at);
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
