//! The progress file: what the executors learned, kept for those that come after.
//!
//! Each executor writes a file of its own (`.progress-task-N.md`); [`merge`] puts what is in it into the spec's
//! `.progress.md`, and [`land`] does that on disk and only then takes the isolated file away. Merging is pure and may be
//! repeated after a crash: what is there already is not written again.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::fs::{self, Durability, Outcome, PathError};
use super::paths::SpecPaths;
use super::time;
use crate::mask::Masker;

/// What is to be merged about one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The task's label, as in signals.
    pub label: &'a str,
    /// Its id.
    pub id: Option<&'a str>,
    /// Its title.
    pub title: &'a str,
    /// Which one it is among tasks of the same id and title, from 0.
    pub ordinal: usize,
    /// How it ended.
    pub ended: Ended<'a>,
    /// The text of its isolated file.
    pub text: &'a str,
}

/// How a task ended, as far as its progress is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// It landed, and enters Completed Tasks.
    Landed {
        /// The commit, where it is known before the progress is written.
        commit: Option<&'a str>,
    },
    /// It failed; what it learned is kept and says so.
    Failed {
        /// The failure code.
        code: &'a str,
    },
    /// The program died, or nobody knows.
    Unfinished,
}

/// Where the run is, for the places of the file that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now<'a> {
    /// Tasks done, this one included.
    pub done: usize,
    /// Tasks in all.
    pub total: usize,
    /// For `Current Task`; null: awaiting the next one.
    pub current: Option<&'a str>,
    /// For `Next`; null: all are complete.
    pub next: Option<&'a str>,
    /// For `updated` of the front matter.
    pub time: Timestamp,
}

/// The progress file with the entries of tasks in it, in their order. `spec` is the spec's name, for the title of a file
/// that is new.
///
/// A landed task enters `Completed Tasks`; what is in its isolated file enters `Learnings`, whatever heading it stands
/// under. `Current Task`, `Next` and the front matter's `task` and `updated` are rewritten where they are there. What is
/// in the file already is not repeated, and every other byte stays.
#[must_use]
pub fn merge(progress: &[u8], spec: &str, entries: &[Entry<'_>], now: Option<&Now<'_>>) -> Vec<u8> {
    let mut text = Text::new(progress);
    if text.lines.iter().all(|line| is_blank(line)) {
        text.lines = vec![format!("# Progress: {spec}").into_bytes()];
    }
    text.close_fence();
    text.complete(entries);
    for entry in entries {
        text.learn(entry);
    }
    if let Some(now) = now {
        text.front_matter("task", &format!("{}/{}", now.done, now.total));
        text.front_matter("updated", &time::format(now.time));
        text.rewrite("current task", now.current.unwrap_or("Awaiting next task"));
        text.rewrite("next", now.next.unwrap_or("All tasks complete"));
    }
    text.into_bytes()
}

/// Merges entries into the spec's progress file on disk with one synced write, and then removes the isolated files that
/// they came from. What a person writes to the progress file meanwhile stays; so does an isolated file that is still being
/// written to. What is read from one goes through the `mask`.
pub fn land(
    paths: &SpecPaths,
    mask: &Masker,
    entries: &[Entry<'_>],
    now: Option<&Now<'_>>,
    isolated: &[&Path],
) -> Result<(), PathError> {
    write(paths, entries, now)?;
    for (entry, isolated) in entries.iter().zip(isolated) {
        let mut merged = entry.text.as_bytes().to_vec();
        while let Some(found) = fs::read_if_exists(isolated)? {
            if found == merged {
                fs::remove_if_exists(isolated)?;
                break;
            }
            write(paths, &[Entry { text: &mask.text(&String::from_utf8_lossy(&found)), ..*entry }], now)?;
            merged = found;
        }
    }
    Ok(())
}

/// Merges the isolated files that a run left behind when it died. `label` names the task of an index, or is `None` where
/// the file is to be left alone because its task goes on. Returns which were merged.
pub fn land_orphans(
    paths: &SpecPaths,
    mask: &Masker,
    mut label: impl FnMut(usize) -> Option<String>,
) -> Result<Vec<PathBuf>, PathError> {
    let mut merged = Vec::new();
    for (index, path) in paths.isolated_progress_files()? {
        let Some(label) = label(index) else { continue };
        let entry = Entry { label: &label, id: None, title: "", ordinal: 0, ended: Ended::Unfinished, text: "" };
        land(paths, mask, &[entry], None, &[&path])?;
        merged.push(path);
    }
    Ok(merged)
}

fn write(paths: &SpecPaths, entries: &[Entry<'_>], now: Option<&Now<'_>>) -> Result<(), PathError> {
    let path = paths.progress();
    let mut found = fs::read_if_exists(path)?;
    loop {
        let old = found.as_deref().unwrap_or_default();
        let says = |entry: &Entry<'_>| matches!(entry.ended, Ended::Landed { .. }) || !blocks(entry.text).is_empty();
        if found.is_none() && !entries.iter().any(says) {
            return Ok(());
        }
        let new = merge(old, &paths.name(), entries, now);
        if found.is_none() {
            if fs::write_new(path, &new, Durability::Synced)? {
                return Ok(());
            }
            found = fs::read_if_exists(path)?;
            continue;
        }
        if new == old {
            return Ok(());
        }
        match fs::edit(path, old, &new)? {
            Outcome::Done => return Ok(()),
            Outcome::Changed(bytes) => found = Some(bytes),
        }
    }
}

/// A progress file as lines with their ends.
struct Text {
    lines: Vec<Vec<u8>>,
    end: &'static [u8],
}

/// A heading and what stands below it.
struct Section {
    level: usize,
    title: String,
    /// The line of the heading.
    heading: usize,
    /// Up to the next heading of any level.
    own: usize,
    /// Up to the next heading that is not below it.
    all: usize,
}

impl Text {
    fn new(bytes: &[u8]) -> Self {
        let lines: Vec<_> = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        let crlf = lines.first().is_some_and(|line| line.ends_with(b"\r\n"));
        Self { lines, end: if crlf { b"\r\n" } else { b"\n" } }
    }

    fn into_bytes(self) -> Vec<u8> {
        self.lines.concat()
    }

    /// Ends a code block that nobody has ended, so that what is appended is not code.
    fn close_fence(&mut self) {
        let mut fence = Fence::default();
        for line in &self.lines {
            fence.holds(&clean(line));
        }
        if let Some(mark) = fence.open.filter(|_| !fence.nested) {
            self.insert_behind(0..self.lines.len(), &[mark]);
        }
    }

    fn sections(&self) -> Vec<Section> {
        let mut fence = Fence::default();
        let mut sections: Vec<Section> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let line = clean(line);
            if fence.holds(&line) {
                continue;
            }
            let Some((level, title)) = heading(&line) else { continue };
            for open in &mut sections {
                open.own = open.own.min(at);
                if level <= open.level {
                    open.all = open.all.min(at);
                }
            }
            let end = self.lines.len();
            sections.push(Section { level, title: title.to_owned(), heading: at, own: end, all: end });
        }
        sections
    }

    /// The last section of one of these names: these files are logs, the newest part is at the end.
    fn section(&self, is: impl Fn(&str) -> bool) -> Option<Section> {
        self.sections().into_iter().rfind(|section| is(&section.title.to_lowercase()))
    }

    /// The section of that name, made at the end of the file where there is none.
    fn section_or_new(&mut self, name: &str, is: impl Fn(&str) -> bool + Copy) -> Section {
        if let Some(section) = self.section(is) {
            return section;
        }
        self.insert_behind(0..self.lines.len(), &[String::new(), format!("## {name}")]);
        let heading = self.lines.len() - 1;
        let (own, all) = (self.lines.len(), self.lines.len());
        Section { level: 2, title: name.to_owned(), heading, own, all }
    }

    /// Inserts lines behind the last line of a range that is not blank (its first line, if all are).
    fn insert_behind(&mut self, range: std::ops::Range<usize>, lines: &[String]) {
        let last = range.clone().rev().find(|&at| !is_blank(&self.lines[at])).unwrap_or(range.start);
        if let Some(line) = self.lines.get_mut(last)
            && !line.ends_with(b"\n")
        {
            line.extend_from_slice(self.end);
        }
        let end = self.end;
        let new = lines.iter().map(|line| [line.as_bytes(), end].concat());
        let at = (last + 1).min(self.lines.len());
        self.lines.splice(at..at, new);
    }

    /// Appends list items to a section; what follows stays apart from them.
    fn append_items(&mut self, section: &Section, end: usize, mut items: Vec<String>) {
        let last = (section.heading + 1..end).rev().find(|&at| !is_blank(&self.lines[at]));
        // A blank line stands between a heading or a paragraph and a list.
        let joins = last.is_some_and(|at| {
            let line = clean(&self.lines[at]);
            line.starts_with([' ', '\t']) || bullet(&line).is_some()
        });
        if !joins {
            items.insert(0, String::new());
        }
        let next = last.unwrap_or(section.heading) + 1;
        if self.lines.get(next).is_some_and(|line| !is_blank(line)) {
            items.push(String::new());
        }
        self.insert_behind(section.heading..end, &items);
    }

    /// Enters the landed ones that are not there yet, in one go.
    fn complete(&mut self, entries: &[Entry<'_>]) {
        let sections = self.sections();
        let completed = sections.iter().filter(|section| section.title.to_lowercase().starts_with("completed"));
        // By its first word, so that many entries cost one look at the file.
        let mut present: HashMap<String, Vec<String>> = HashMap::new();
        for line in completed.flat_map(|section| &self.lines[section.heading + 1..section.own]) {
            if let Some(text) = ticked(&clean(line)) {
                present.entry(first_word(text)).or_default().push(text.to_owned());
            }
        }
        let mut items = Vec::new();
        for entry in entries {
            let Ended::Landed { commit } = entry.ended else { continue };
            let name = entry.id.map_or_else(|| entry.title.to_owned(), |id| format!("{id} {}", entry.title));
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            let alike = present.entry(first_word(&name)).or_default();
            if alike.iter().filter(|text| is_entry(text, entry.id, &name)).count() <= entry.ordinal {
                let commit = commit.map(|commit| format!(" - {commit}")).unwrap_or_default();
                items.push(format!("- [x] {name}{commit}"));
                alike.push(name);
            }
        }
        if !items.is_empty() {
            let section = self.section_or_new("Completed Tasks", is_completed);
            let own = section.own;
            self.append_items(&section, own, items);
        }
    }

    fn learn(&mut self, entry: &Entry<'_>) {
        let found = blocks(entry.text);
        if found.is_empty() {
            return;
        }
        let whole = self.lines.concat();
        let mut known: HashSet<String> =
            blocks(&String::from_utf8_lossy(&whole)).iter().map(|block| essence(&block.lines)).collect();
        let says = match entry.ended {
            Ended::Landed { .. } => String::new(),
            Ended::Failed { code } => format!("({} failed: {code}) ", entry.label),
            Ended::Unfinished => format!("({} unfinished) ", entry.label),
        };
        for block in found {
            if !known.insert(essence(&block.lines)) {
                continue;
            }
            let item = as_item(&block.lines, &says);
            let learnings = self.section_or_new("Learnings", is_learnings);
            let Some(group) = block.group else {
                self.append_items(&learnings, learnings.own, item);
                continue;
            };
            let below = self.sections().into_iter().rfind(|section| {
                section.title == group && section.heading > learnings.heading && section.heading < learnings.all
            });
            if let Some(below) = below {
                self.append_items(&below, below.own, item);
            } else {
                let level = "#".repeat((learnings.level + 1).min(6));
                let mut lines = vec![String::new(), format!("{level} {group}"), String::new()];
                lines.extend(item);
                if learnings.all < self.lines.len() && !is_blank(&self.lines[learnings.all - 1]) {
                    lines.push(String::new());
                }
                self.insert_behind(learnings.heading..learnings.all, &lines);
            }
        }
    }

    /// Rewrites a section's own text, if the section is there.
    fn rewrite(&mut self, name: &str, text: &str) {
        let Some(section) = self.section(|title| title == name) else { return };
        let own = section.heading + 1..section.own;
        let old: Vec<_> =
            self.lines[own.clone()].iter().map(|line| clean(line)).filter(|line| !line.is_empty()).collect();
        if old == [text] {
            return;
        }
        let behind = if section.own < self.lines.len() { vec![String::new()] } else { Vec::new() };
        self.lines.drain(own);
        let lines = [vec![String::new(), text.to_owned()], behind].concat();
        self.insert_behind(section.heading..section.heading + 1, &lines);
    }

    /// Rewrites a field of the front matter, if it is there.
    fn front_matter(&mut self, key: &str, value: &str) {
        if self.lines.first().is_none_or(|line| clean(line) != "---") {
            return;
        }
        for line in self.lines.iter_mut().skip(1) {
            let old = clean(line);
            if old == "---" {
                return;
            }
            if old.split_once(':').is_some_and(|(name, _)| name == key) {
                *line = [format!("{key}: {value}").as_bytes(), self.end].concat();
                return;
            }
        }
    }
}

/// Something that was learned: a list item or a paragraph, with the heading it stood under where that says more than
/// that it was learned.
struct Block {
    group: Option<String>,
    lines: Vec<String>,
    /// 1-based, in the text without its front matter.
    line: usize,
    /// It stands below a heading that says that it was learned.
    learned: bool,
}

/// What was learned, by a whole progress file: what stands below its headings `Learnings` and the like, each with its
/// 1-based line.
#[must_use]
pub fn learnings(text: &str) -> Vec<(usize, String)> {
    let before = text.len() - body(text).len();
    let first = text[..before].matches('\n').count();
    let said = blocks(text).into_iter().filter(|block| block.learned);
    said.map(|block| (first + block.line, plain(&block.lines))).collect()
}

/// What was learned, by the isolated file of a task: all that it says.
#[must_use]
pub fn notes(text: &str) -> Vec<String> {
    blocks(text).iter().map(|block| plain(&block.lines)).collect()
}

/// What a block says, in one line and without its bullet.
fn plain(lines: &[String]) -> String {
    let words = lines.join(" ");
    let words = words.trim_start();
    let text = bullet(words).map_or(words, |(_, text)| text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was learned, from an isolated file (or from a whole progress file: agents copy it).
fn blocks(text: &str) -> Vec<Block> {
    /// What a heading says about the lines below it.
    enum Kind {
        Learned(Option<String>),
        Completed,
        Position,
    }
    let mut kind = Kind::Learned(None);
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut blank = false;
    let mut fence = Fence::default();
    // The level of the heading `Learnings` that the lines stand below.
    let mut below: Option<usize> = None;
    for (at, line) in body(text).lines().enumerate() {
        let line = clean(line.as_bytes());
        let fenced = fence.holds(&line);
        if !fenced && let Some((level, title)) = heading(&line) {
            open = false;
            below = below.filter(|above| level > *above);
            if below.is_none() && title_says_learned(title) {
                below = Some(level);
            }
            kind = match title.to_lowercase().as_str() {
                title if is_learnings(title) => Kind::Learned(None),
                title if title.starts_with("completed") => Kind::Completed,
                "current task" | "next" => Kind::Position,
                _ if level == 1 => Kind::Learned(None),
                _ => Kind::Learned(Some(title.to_owned())),
            };
            continue;
        }
        let group = match &kind {
            Kind::Position => continue,
            Kind::Completed => None,
            Kind::Learned(group) => group.clone(),
        };
        if line.is_empty() && !fenced {
            blank = true;
            continue;
        }
        // Who is done, `spec` says itself.
        if matches!(kind, Kind::Completed) && !fenced && ticked(&line).is_some() {
            open = false;
            continue;
        }
        let indented = line.starts_with([' ', '\t']) || fenced;
        let goes_on = open && (indented || !blank && bullet(&line).is_none());
        if goes_on {
            if let Some(block) = blocks.last_mut() {
                if blank {
                    block.lines.push(String::new());
                }
                block.lines.push(line.into_owned());
            }
        } else {
            blocks.push(Block { group, lines: vec![line.into_owned()], line: at + 1, learned: below.is_some() });
        }
        open = true;
        blank = false;
    }
    blocks.retain(|block| !matches!(essence(&block.lines).to_lowercase().as_str(), "" | "none" | "none yet" | "n/a"));
    blocks
}

/// The text without a front matter.
fn body(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}');
    text.strip_prefix("---\n")
        .or_else(|| text.strip_prefix("---\r\n"))
        .and_then(|rest| rest.split_once("\n---\n").or_else(|| rest.split_once("\n---\r\n")))
        .map_or(text, |(_, body)| body)
}

/// A block as a list item; `says` is put before its text.
fn as_item(lines: &[String], says: &str) -> Vec<String> {
    let first = lines[0].trim_start();
    let (mark, text) = bullet(first).map_or(("-", first), |(mark, text)| (mark, text));
    let indent = lines[0].len() - first.len();
    // What stood below a bullet stays below it; what stood beside it (a paragraph, a fence) is put below.
    let below = bullet(first).is_some();
    let mut fence = Fence::default();
    fence.holds(first);
    let mut item = if says.is_empty() || fence.open.is_none() {
        vec![format!("{mark} {says}{text}")]
    } else {
        vec![format!("{mark} {}", says.trim_end()), format!("  {text}")]
    };
    for line in &lines[1..] {
        fence.holds(line);
        let cut = line.len() - line.trim_start_matches(' ').len();
        let line = &line[cut.min(indent)..];
        item.push(match line {
            "" => String::new(),
            line if below && line.starts_with([' ', '\t']) => line.to_owned(),
            line => format!("  {line}"),
        });
    }
    // An executor that died while it wrote may have left one open.
    if let Some(mark) = fence.open {
        item.push(format!("  {mark}"));
    }
    item
}

/// What a block says, whatever it is dressed in: two that say the same are one learning.
fn essence(lines: &[String]) -> String {
    let words = lines.join(" ");
    let words = words.trim_start();
    let mut text = bullet(words).map_or(words, |(_, text)| text);
    while let Some((says, rest)) = text.strip_prefix('(').and_then(|text| text.split_once(") "))
        && (says.ends_with(" unfinished") || says.contains(" failed: "))
    {
        text = rest.trim_start();
    }
    // The end of a fence may be missing in one and there in the other.
    let said = |word: &&str| !word.trim_matches(['`', '~']).is_empty();
    text.split_whitespace().filter(said).collect::<Vec<_>>().join(" ")
}

fn is_completed(title: &str) -> bool {
    matches!(title, "completed tasks" | "completed")
}

fn is_learnings(title: &str) -> bool {
    matches!(title, "learnings" | "learning" | "lessons learned")
}

/// Whether what stands below a heading was learned: more names than those that `spec` itself writes to.
fn title_says_learned(title: &str) -> bool {
    let title = title.to_lowercase();
    ["learning", "lesson", "gotcha", "pitfall"].iter().any(|word| title.contains(word))
}

/// Whether the text of a ticked line in Completed Tasks is about this task.
fn is_entry(text: &str, id: Option<&str>, name: &str) -> bool {
    let rest = match id {
        Some(id) => text.strip_prefix(id).filter(|rest| rest.is_empty() || rest.starts_with([' ', ':'])),
        None => text.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(" - ")),
    };
    rest.is_some()
}

/// What equal entries have in common: an id is followed by a blank or a colon.
fn first_word(text: &str) -> String {
    text.split([' ', ':']).next().unwrap_or_default().to_owned()
}

/// The text of a ticked box in a list item.
fn ticked(line: &str) -> Option<&str> {
    let (_, text) = bullet(line.trim_start())?;
    text.strip_prefix("[x] ").or_else(|| text.strip_prefix("[X] "))
}

/// The mark and the text of a list item that begins at the margin.
fn bullet(line: &str) -> Option<(&str, &str)> {
    let mark = match line.find(|c: char| !c.is_ascii_digit())? {
        0 => line.starts_with(['-', '*', '+']).then_some(1)?,
        digits => line[digits..].starts_with(['.', ')']).then_some(digits + 1)?,
    };
    let (mark, text) = line.split_at(mark);
    Some((mark, text.strip_prefix([' ', '\t'])?.trim_start()))
}

/// The level and the text of a heading at the margin.
fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let title = text.strip_prefix([' ', '\t'])?.trim();
    ((1..=6).contains(&level) && !title.is_empty()).then_some((level, title))
}

/// A line as text, without its end and a byte order mark.
fn clean(line: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(line) {
        Cow::Borrowed(line) => Cow::Borrowed(line.trim_start_matches('\u{feff}').trim_end()),
        Cow::Owned(line) => Cow::Owned(line.trim_start_matches('\u{feff}').trim_end().to_owned()),
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// Whether the lines that go by are inside a fenced code block.
#[derive(Default)]
struct Fence {
    /// The mark that closes it.
    open: Option<String>,
    /// It stands in a list item, and ends with it.
    nested: bool,
}

impl Fence {
    /// Takes the next line; says whether it belongs to a fence, its first and last line included.
    fn holds(&mut self, line: &str) -> bool {
        let inner = line.trim_start();
        if let Some(mark) = &self.open {
            if self.nested && !line.is_empty() && inner.len() == line.len() && !inner.starts_with(mark.as_str()) {
                self.open = None;
            } else {
                if inner.starts_with(mark.as_str()) && inner.trim_start_matches(&mark[..1]).is_empty() {
                    self.open = None;
                }
                return true;
            }
        }
        let text = bullet(inner).map_or(inner, |(_, text)| text);
        let mark = match text.as_bytes() {
            [b'`', b'`', b'`', ..] => '`',
            [b'~', b'~', b'~', ..] => '~',
            _ => return false,
        };
        let rest = text.trim_start_matches(mark);
        if mark == '`' && rest.contains('`') {
            return false;
        }
        self.open = Some(text[..text.len() - rest.len()].to_owned());
        self.nested = text.len() < line.len();
        // Its first line begins a block like any other.
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn landed<'a>(id: &'a str, title: &'a str, text: &'a str) -> Entry<'a> {
        Entry { label: id, id: Some(id), title, ordinal: 0, ended: Ended::Landed { commit: None }, text }
    }

    fn masker() -> Masker {
        Masker::new(&crate::mask::Config::default(), []).unwrap()
    }

    fn show(progress: &str, entry: &Entry<'_>, now: Option<&Now<'_>>) -> String {
        let once = merge(progress.as_bytes(), "demo", &[*entry], now);
        assert_eq!(merge(&once, "demo", &[*entry], now), once, "merging twice changes nothing");
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn a_new_file_gets_what_it_needs() {
        let entry = landed("1.1", "Add the job table", "## Learnings\n- sqlite locks\n  on write\n");
        insta::assert_snapshot!(show("", &entry, None), @r"
        # Progress: demo

        ## Completed Tasks

        - [x] 1.1 Add the job table

        ## Learnings

        - sqlite locks
          on write
        ");
    }

    #[test]
    fn a_file_of_smart_ralph_is_carried_on() {
        let progress = "---\nspec: demo\ntask: 1/4\nupdated: 2026-01-01T00:00:00Z\n---\n# Progress: demo\n\n## Original Goal\n\nExport.\n\n## Completed Tasks\n- [x] 1.1 Add the job table - 3f2a9c1\n\n## Current Task\n1.2 CSV writer\n\n## Learnings\n- known already\n\n### Verification: 1.1\n- PASS\n\n## Next\n1.2 CSV writer\n\n### PR Created\n- kept\n";
        let text = "# Progress: 1.2\n\n## Completed Tasks\n- [x] 1.2 CSV writer - <pending commit>\n- [x] 1.3 not done by anybody\n\n## Current Task\nAwaiting next task\n\n## Learnings\n- known  already\n- new one\n\n## Key Findings\n\nA paragraph\nof two lines.\n\n1. first\n2. second\n";
        let entry = Entry { ended: Ended::Landed { commit: Some("a1b2c3d") }, ..landed("1.2", "CSV writer", text) };
        let now = Now { done: 2, total: 4, current: None, next: Some("1.3 Rate limiter"), time: Timestamp::UNIX_EPOCH };
        insta::assert_snapshot!(show(progress, &entry, Some(&now)), @r"
        ---
        spec: demo
        task: 2/4
        updated: 1970-01-01T00:00:00.000Z
        ---
        # Progress: demo

        ## Original Goal

        Export.

        ## Completed Tasks
        - [x] 1.1 Add the job table - 3f2a9c1
        - [x] 1.2 CSV writer - a1b2c3d

        ## Current Task

        Awaiting next task

        ## Learnings
        - known already
        - new one

        ### Verification: 1.1
        - PASS

        ### Key Findings

        - A paragraph
          of two lines.
        1. first
        2. second

        ## Next

        1.3 Rate limiter

        ### PR Created
        - kept
        ");
    }

    #[test]
    fn what_a_failed_task_learned_is_kept_and_says_so() {
        let text = "- the port is taken\n";
        let failed = Entry { ended: Ended::Failed { code: "verify_failed" }, ..landed("1.2", "CSV", text) };
        let progress = show("", &failed, None);
        insta::assert_snapshot!(progress, @r"
        # Progress: demo

        ## Learnings

        - (1.2 failed: verify_failed) the port is taken
        ");
        // It lands in a later run, having learned the same.
        insta::assert_snapshot!(show(&progress, &landed("1.2", "CSV", text), None), @r"
        # Progress: demo

        ## Learnings

        - (1.2 failed: verify_failed) the port is taken

        ## Completed Tasks

        - [x] 1.2 CSV
        ");
    }

    #[test]
    fn tasks_are_told_apart_by_their_whole_id_and_by_their_place_among_equals() {
        let progress = "## Completed Tasks\n- [x] 1.10 Other\n- [ ] 1.1 Not ticked\n";
        assert!(show(progress, &landed("1.1", "One", ""), None).contains("- [x] 1.1 One\n"));
        let check = |ordinal| Entry { id: None, ordinal, ..landed(":3", "Quality checkpoint", "") };
        let once = show("", &check(0), None);
        let twice = show(&once, &check(1), None);
        assert_eq!(twice.matches("Quality checkpoint").count(), 2);
    }

    #[test]
    fn line_ends_and_bytes_that_are_not_utf8_stay() {
        let progress = b"\xef\xbb\xbf# P\r\n\r\n## Learnings\r\n- caf\xe9\r\n\r\n## Notes\r\n\tx \r\n";
        let merged = merge(progress, "demo", &[landed("1", "T", "- new\n")], None);
        assert_eq!(
            merged,
            b"\xef\xbb\xbf# P\r\n\r\n## Learnings\r\n- caf\xe9\r\n- new\r\n\r\n## Notes\r\n\tx \r\n\r\n## Completed Tasks\r\n\r\n- [x] 1 T\r\n"
        );
    }

    #[test]
    fn headings_in_code_are_code() {
        let progress = "## Learnings\n- see\n  ```\n  ## Learnings\n  ```\n\n```\n## Completed Tasks\n```\n";
        let merged = show(progress, &landed("1", "T", "```sh\n# a comment\n\nmake\n```\n"), None);
        insta::assert_snapshot!(merged, @r"
        ## Learnings
        - see
          ```
          ## Learnings
          ```

        ```
        ## Completed Tasks
        ```

        - ```sh
          # a comment

          make
          ```

        ## Completed Tasks

        - [x] 1 T
        ");
    }

    #[test]
    fn a_file_that_was_cut_short_in_a_fence_does_not_swallow_the_rest() {
        let merged = show("", &landed("1", "T", "- see\n  ```\n  half"), None);
        let again = show(&merged, &landed("2", "U", "- more"), None);
        insta::assert_snapshot!(again, @r"
        # Progress: demo

        ## Completed Tasks

        - [x] 1 T
        - [x] 2 U

        ## Learnings

        - see
          ```
          half
          ```
        - more
        ");
    }

    #[test]
    fn landing_removes_the_isolated_file_after_it_is_merged() {
        let folder = tempfile::tempdir().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        let isolated = paths.isolated_progress(1);
        fs::write_atomic(&isolated, b"- written after the journal had it\n", Durability::Fast).unwrap();
        land(&paths, &masker(), &[landed("1.2", "CSV", "- in the journal\n")], None, &[&isolated]).unwrap();
        let merged = std::fs::read_to_string(paths.progress()).unwrap();
        assert!(merged.contains("- in the journal\n- written after the journal had it\n"), "{merged}");
        assert!(!isolated.exists());
    }

    #[test]
    fn an_isolated_file_stays_where_the_merge_fails() {
        let folder = tempfile::tempdir().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        std::fs::create_dir(paths.progress()).unwrap();
        let isolated = paths.isolated_progress(1);
        fs::write_atomic(&isolated, b"- kept\n", Durability::Fast).unwrap();
        land(&paths, &masker(), &[landed("1.2", "CSV", "")], None, &[&isolated]).unwrap_err();
        assert_eq!(std::fs::read(&isolated).unwrap(), b"- kept\n");
    }

    #[test]
    fn what_a_crash_left_is_merged_however_old_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        for index in [1, 2] {
            let path = paths.isolated_progress(index);
            fs::write_atomic(&path, format!("- learned {index}\n").as_bytes(), Durability::Fast).unwrap();
            let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        }
        let merged = land_orphans(&paths, &masker(), |index| (index == 2).then(|| "1.3".to_owned())).unwrap();
        assert_eq!(merged, [paths.isolated_progress(2)]);
        assert!(paths.isolated_progress(1).exists(), "its task goes on");
        insta::assert_snapshot!(std::fs::read_to_string(paths.progress()).unwrap().lines().last().unwrap(), @"- (1.3 unfinished) learned 2");
    }

    #[test]
    fn an_empty_isolated_file_of_a_task_that_did_not_land_makes_no_progress_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        fs::write_atomic(&paths.isolated_progress(0), b"\n", Durability::Fast).unwrap();
        land_orphans(&paths, &masker(), |_| Some("1".to_owned())).unwrap();
        assert!(!paths.progress().exists() && !paths.isolated_progress(0).exists());
    }

    /// Real progress files take an entry with nothing but what is new, and none is touched twice.
    #[test]
    fn real_files_keep_every_line() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .skip(1)
            .map(|up| up.join("shared/corpus/files/ralph-progress"));
        let Some(folder) = corpus.into_iter().find(|folder| folder.is_dir()) else {
            println!("skipped: the corpus is not here");
            return;
        };
        let mut files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let old = std::fs::read(file.unwrap().path()).unwrap();
            let entry = landed("99.1", "A task of ours", "- something nobody wrote before\n");
            let new = merge(&old, "demo", &[entry], None);
            assert_eq!(merge(&new, "demo", &[entry], None), new);
            let mut rest = new.split_inclusive(|&b| b == b'\n');
            for line in old.split_inclusive(|&b| b == b'\n') {
                let found = rest.any(|new| new.trim_ascii_end() == line.trim_ascii_end());
                assert!(found, "{}", String::from_utf8_lossy(line));
            }
            files += 1;
        }
        assert!(files > 100);
    }

    /// Lines as agents write them, and as they do not.
    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            3 => "- [a-c]{1,2}",
            1 => "  - [a-c]",
            1 => "  [a-c]",
            1 => "[a-c]{1,2}",
            1 => "[12]\\. [a-c]",
            1 => "- \\[x\\] 1\\.[1-3] [a-c]",
            1 => Just("## Learnings".to_owned()),
            1 => Just("## Completed Tasks".to_owned()),
            1 => Just("## Current Task".to_owned()),
            1 => Just("## Next".to_owned()),
            1 => "#{1,3} [A-B]",
            1 => Just("```".to_owned()),
            1 => Just("- ```sh".to_owned()),
            1 => Just("  ```".to_owned()),
            1 => Just("- (1.1 unfinished) a".to_owned()),
            3 => Just(String::new()),
        ];
        prop::collection::vec(line, 0..14).prop_map(|lines| lines.join("\n"))
    }

    fn entries() -> impl Strategy<Value = Vec<(usize, bool, String)>> {
        prop::collection::vec((1..4_usize, any::<bool>(), text()), 1..4)
    }

    fn apply(progress: Vec<u8>, entries: &[(usize, bool, String)]) -> Vec<u8> {
        let mut progress = progress;
        for (at, (number, lands, text)) in entries.iter().enumerate() {
            let id = format!("1.{number}");
            let ended = if *lands { Ended::Landed { commit: None } } else { Ended::Failed { code: "crash" } };
            let entry = Entry { ended, ..landed(&id, "T", text) };
            let next = format!("after {at}");
            let now = Now { done: at, total: 9, current: None, next: Some(&next), time: Timestamp::UNIX_EPOCH };
            progress = merge(&progress, "demo", &[entry], Some(&now));
        }
        progress
    }

    proptest! {
        #[test]
        fn merges_interrupted_anywhere_and_repeated_give_the_same_as_once(
            progress in text(), entries in entries(), stop in any::<prop::sample::Index>()
        ) {
            let once = apply(progress.clone().into_bytes(), &entries);
            let partly = apply(progress.into_bytes(), &entries[..stop.index(entries.len() + 1)]);
            let again = apply(partly, &entries);
            prop_assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(once).unwrap());
        }

        #[test]
        fn no_learning_is_lost(progress in text(), text in text(), lands in any::<bool>()) {
            let merged = apply(progress.into_bytes(), &[(1, lands, text.clone())]);
            let merged = String::from_utf8(merged).unwrap();
            let known: HashSet<_> = blocks(&merged).iter().map(|block| essence(&block.lines)).collect();
            for block in blocks(&text) {
                prop_assert!(known.contains(&essence(&block.lines)), "{:?} is not in\n{merged}", block.lines);
            }
        }
    }
}
