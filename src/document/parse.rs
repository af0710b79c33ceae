//! From bytes to a [`Document`]: puts the layers together and says what looked odd.

use super::scan::{self, BoxItem, Language, Scan, Shape};
use super::{
    Diagnostic, Document, Fields, Heading, Item, Lookup, Place, Role, Severity, Tick, codes, commands, depends,
    dialect, fields, head, ids, labels, marks, roles,
};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Parses a list. Never fails and never panics, whatever the bytes; `path_hint` (the path as given) only helps to
/// tell the dialect.
#[must_use]
pub fn parse(source: impl Into<Arc<[u8]>>, path_hint: &str) -> (Document, Vec<Diagnostic>) {
    let source = source.into();
    let scan = scan::scan(&source);
    let mut diagnostics = Vec::new();
    let mut raw = boxes(&scan, &mut diagnostics);
    let from_headings = raw.is_empty();
    if from_headings {
        raw = heading_tasks(&scan, &mut diagnostics);
    }
    let tasks: HashSet<usize> = raw.iter().filter(|_| from_headings).map(|raw| raw.marker).collect();
    let headings: Vec<Heading> = scan
        .found
        .headings
        .iter()
        .filter(|heading| !tasks.contains(&heading.range.start))
        .map(|heading| Heading {
            level: heading.level,
            text: heading_text(&scan.text[heading.range.clone()]).to_owned(),
            line: scan.line_of(heading.range.start) + 1,
            start: heading.range.start,
        })
        .collect();
    extend_blocks(&scan, &mut raw);
    let (mut items, signs, marks) = items(&scan, &raw, &headings, &mut diagnostics);
    roles::assign(&mut items, &signs);
    depends::resolve(&scan, &mut items, &headings, &mut diagnostics);
    let dialect = dialect::detect(path_hint, &scan, &items, &headings);
    describe(&scan, &items, &mut diagnostics);
    let parallel_mark = marks::habit(dialect, &marks, &scan.text);
    marks::describe(parallel_mark, &marks, &scan.text, &mut diagnostics);
    diagnostics.sort_by(|a, b| (a.span.start, a.code).cmp(&(b.span.start, b.code)));
    let line_starts = scan.line_starts;
    let tick = habit(&items, &source);
    let lookup = Lookup::default();
    (Document { source, dialect, items, headings, tick, parallel_mark, line_starts, lookup }, diagnostics)
}

/// An item before its words are read.
struct Raw {
    marker: usize,
    depth: usize,
    outer: Option<usize>,
    block: Range<usize>,
    tick_at: Tick,
    box_char: char,
    shape: Option<Shape>,
    /// The source behind the box, first line, trimmed.
    text: Range<usize>,
}

/// The checkbox items among the list items with brackets.
fn boxes(scan: &Scan<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Raw> {
    let mut raw: Vec<Raw> = Vec::with_capacity(scan.found.items.len());
    // Where each of the first layer's items went.
    let mut places: Vec<Option<usize>> = Vec::with_capacity(scan.found.items.len());
    for item in &scan.found.items {
        let outer = item.outer.and_then(|outer| places[outer]);
        let taken = read_box(scan, item, outer, diagnostics);
        places.push(if taken.is_some() { Some(raw.len()) } else { outer });
        raw.extend(taken);
    }
    raw
}

fn read_box(scan: &Scan<'_>, item: &BoxItem, outer: Option<usize>, diagnostics: &mut Vec<Diagnostic>) -> Option<Raw> {
    let line = scan.line_of(item.bracket);
    let end = scan.line_end(line);
    let behind = &scan.text[item.bracket + 3..end];
    let behind =
        if item.shape == Shape::Star { behind.trim_start_matches('\\').trim_start_matches('*') } else { behind };
    let text = behind.trim();
    let start = end - behind.len() + (behind.len() - behind.trim_start().len());
    let mut say = |severity, code, message: &str, help: &str| {
        let place =
            item.bracket..end - (scan.text[item.bracket..end].len() - scan.text[item.bracket..end].trim_end().len());
        let help = (!help.is_empty()).then(|| help.to_owned());
        diagnostics.push(Diagnostic { severity, code, message: message.to_owned(), span: place, help });
    };
    let box_char = char::from(scan.text.as_bytes()[item.bracket + 1]);
    match item.shape {
        Shape::Gfm | Shape::State => {}
        Shape::Star => say(
            Severity::Info,
            codes::OPTIONAL_TASK,
            "a starred box is an optional task; Markdown shows no checkbox for it",
            "it is run with `--include-optional` only",
        ),
        Shape::NoSpace if ids::read(text).is_some_and(|found| found.family.is_none()) => say(
            Severity::Warning,
            codes::NO_SPACE,
            "there is no blank between the box and the id; Markdown shows no checkbox for it",
            "put a blank behind `]`; it is taken for a task all the same",
        ),
        Shape::NoSpace => {
            // `[x](url)` and `[x][ref]` are links, which begin lists of sources.
            if !text.starts_with(['(', '[', ':']) {
                say(
                    Severity::Warning,
                    codes::NO_SPACE,
                    "there is no blank behind the box, so this is no task",
                    "put a blank behind `]` if it is meant as one",
                );
            }
            return None;
        }
        Shape::Unknown => {
            if matches!(box_char, 'P') {
                say(Severity::Info, codes::PARALLEL_BULLET, "a bullet that begins with `[P]` is prose", "");
            } else if !box_char.is_ascii_alphanumeric() || matches!(box_char, 'v' | 'V' | 'o' | 'O') {
                say(
                    Severity::Warning,
                    codes::UNKNOWN_BOX,
                    "this box is neither open, done, begun (`[-]`) nor set aside (`[~]`), so this is no task",
                    "write `[ ]` or `[x]` if it is meant as one",
                );
            }
            return None;
        }
    }
    if box_char == '-' {
        say(
            Severity::Info,
            codes::TASK_STARTED,
            "a box with `-` was begun and counts as open",
            "Markdown shows no checkbox for it",
        );
    } else if box_char == '~' {
        say(Severity::Info, codes::TASK_HELD, "a box with `~` is set aside and not run", "write `[ ]` to have it run");
    }
    let first_line = scan.line_starts[scan.line_of(item.marker)];
    Some(Raw {
        marker: item.marker,
        depth: item.depth,
        outer,
        block: first_line..scan.end_of_text(item.marker, item.range.end),
        tick_at: Tick::Replace(item.bracket + 1),
        box_char: if box_char == '\t' { ' ' } else { box_char },
        shape: Some(item.shape),
        text: start..start + text.len(),
    })
}

/// In a list without one checkbox: headings that read like tasks.
fn heading_tasks(scan: &Scan<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Raw> {
    let mut found: Vec<(usize, u8, Raw)> = Vec::new();
    for (number, heading) in scan.found.headings.iter().enumerate() {
        let source = &scan.text[heading.range.clone()];
        let hashes = source.bytes().take_while(|&byte| byte == b'#').count();
        if !(2..=6).contains(&hashes) {
            continue;
        }
        let text = heading_text(source);
        let at = heading.range.start + hashes + (source[hashes..].len() - source[hashes..].trim_start().len());
        let inside = text.as_bytes().get(1).copied().unwrap_or_default();
        let boxed = text.starts_with('[')
            && text[1..].get(1..3) == Some("] ")
            && matches!(inside, b' ' | b'x' | b'X' | b'-' | b'~');
        let title = if boxed { text[3..].trim_start() } else { text };
        if !(boxed || reads_like_a_task(title, heading.level)) {
            continue;
        }
        let start = at + text.len() - title.len();
        found.push((
            number,
            heading.level,
            Raw {
                marker: heading.range.start,
                depth: 0,
                outer: None,
                block: scan.line_starts[scan.line_of(heading.range.start)]..0,
                tick_at: if boxed { Tick::Replace(at + 1) } else { Tick::Insert(at) },
                box_char: if boxed { char::from(inside) } else { ' ' },
                shape: None,
                text: start..start + title.len(),
            },
        ));
    }
    // A plain number is a task only beside others that are: `## 1. Overview` alone is a chapter.
    let plain = |raw: &Raw| {
        ids::read(&scan.text[raw.text.clone()]).is_some_and(|found| {
            !found.id.contains(['.', '-'])
                && found.id.bytes().all(|byte| byte.is_ascii_digit())
                && scan.text[raw.text.clone()].starts_with(found.id)
        })
    };
    if found.iter().all(|(_, _, raw)| plain(raw) && matches!(raw.tick_at, Tick::Insert(_))) {
        return Vec::new();
    }
    if let Some((_, _, first)) = found.first() {
        diagnostics.push(Diagnostic {
            severity: Severity::Info,
            code: codes::HEADING_TASK,
            message: format!("this list has no checkbox; {} of its headings are taken for tasks", found.len()),
            span: first.marker..first.text.end,
            help: Some("a tick puts `[x] ` in behind the hashes".to_owned()),
        });
    }
    let mut raw: Vec<Raw> = Vec::with_capacity(found.len());
    let mut open: Vec<(u8, usize)> = Vec::new();
    // Each heading's section ends at the next one that is not below it.
    let mut ends = vec![scan.text.len(); scan.found.headings.len()];
    let mut sections: Vec<usize> = Vec::new();
    for (number, heading) in scan.found.headings.iter().enumerate() {
        while let Some(&last) = sections.last().filter(|&&last| scan.found.headings[last].level >= heading.level) {
            ends[last] = heading.range.start;
            sections.pop();
        }
        sections.push(number);
    }
    for (number, level, mut task) in found {
        while open.last().is_some_and(|&(above, index)| above >= level || raw[index].block.end <= task.marker) {
            open.pop();
        }
        task.outer = open.last().map(|&(_, index)| index);
        task.block.end = scan.end_of_text(task.marker, ends[number]);
        open.push((level, raw.len()));
        raw.push(task);
    }
    raw
}

/// `Task 1.1: ...`, `T001 ...`, `WP01 ...`, `1.1 ...`.
fn reads_like_a_task(title: &str, level: u8) -> bool {
    let title = title.trim_start_matches(['*', '_', '~']);
    let Some(found) = ids::read(title) else { return false };
    let word = ["Task", "Subtask", "Sub-task", "任務", "任务"].iter().any(|word| title.starts_with(word));
    let number = title.starts_with(|c: char| c.is_ascii_digit());
    let code = found.family.is_none() && title.starts_with(['T', 'W', 'V']) && title.starts_with(found.id);
    level <= 4 && (word || number || code)
}

/// The text of a heading without hashes or underline.
fn heading_text(source: &str) -> &str {
    let line = source.lines().next().unwrap_or_default().trim();
    if !line.starts_with('#') {
        return line;
    }
    let text = line.trim_start_matches('#').trim();
    let closed = text.trim_end_matches('#');
    if closed.is_empty() || closed.ends_with([' ', '\t']) { closed.trim_end() } else { text }
}

/// Fields that were written at column 0 belong to the task above them, up to the next task, heading or break.
fn extend_blocks(scan: &Scan<'_>, raw: &mut [Raw]) {
    for index in 0..raw.len() {
        if raw[index].depth > 0 || raw[index].shape.is_none() {
            continue;
        }
        let end = raw[index].block.end;
        let next = raw[index + 1..].partition_point(|other| other.block.start < end) + index + 1;
        let heading = scan.found.headings.partition_point(|heading| heading.range.start < end);
        let rule = scan.found.breaks.partition_point(|&at| at < end);
        let limit = [
            raw.get(next).map(|raw| raw.block.start),
            scan.found.headings.get(heading).map(|heading| heading.range.start),
            scan.found.breaks.get(rule).copied(),
        ];
        let limit = limit.into_iter().flatten().min().unwrap_or(scan.text.len());
        let between = &scan.text[end.min(limit)..limit];
        let first = between.trim_start();
        let content = &first[commands::bullet(first)..];
        if labels::read(content).is_some_and(|label| label.known && label.dress != labels::Dress::Plain)
            || commands::bullet(first) > 0 && labels::read(content).is_some_and(|label| label.known)
        {
            raw[index].block.end = scan.end_of_text(end, limit);
        }
    }
}

/// Reads the words and the fields of every item, and where its marks stand.
fn items(
    scan: &Scan<'_>,
    raw: &[Raw],
    headings: &[Heading],
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<Item>, Vec<roles::Signs>, Vec<marks::Mark>) {
    let families = families(scan, raw);
    let accept = |family: &str| families.contains(family);
    let mut items = Vec::with_capacity(raw.len());
    let mut signs = Vec::with_capacity(raw.len());
    let mut marks = Vec::new();
    let children = children(raw);
    let mut heading = 0;
    let mut rule = 0;
    for (index, raw_item) in raw.iter().enumerate() {
        while headings.get(heading).is_some_and(|heading| heading.start < raw_item.marker) {
            heading += 1;
        }
        while scan.found.breaks.get(rule).is_some_and(|&at| at < raw_item.marker) {
            rule += 1;
        }
        let text = &scan.text[raw_item.text.clone()];
        let head = head::read(text, accept);
        let mut all = Fields::default();
        let mut ranges = Vec::with_capacity(1);
        let mut at = scan.line_end(scan.line_of(raw_item.text.start.max(raw_item.marker)));
        let mut own = raw_item.block.clone();
        for &child in children.of(index) {
            let child = &raw[child].block;
            own.end = own.end.min(child.start.max(own.start));
            if at < child.start {
                ranges.push(at..child.start);
            }
            at = at.max(child.end);
        }
        if at < raw_item.block.end {
            ranges.push(at..raw_item.block.end);
        }
        fields::find(scan, &ranges, &mut all, diagnostics);
        fields::interpret(scan, &mut all, diagnostics);
        let title_files = super::files::in_title(text);
        if !title_files.is_empty() {
            all.title_files = title_files;
        }
        let has_body = ranges.iter().any(|range| !scan.text[range.clone()].trim().is_empty());
        let has_field = all.all.iter().any(|field| labels::known(&field.name).is_some());
        signs.push(roles::Signs { starred: raw_item.shape == Some(Shape::Star) || head.starred, has_field, has_body });
        let markers: Vec<String> = head.markers.iter().map(|&marker| marker.to_owned()).collect();
        if let Some(span) = head.parallel_in_prose {
            diagnostics.push(Diagnostic {
                severity: Severity::Info,
                code: codes::PARALLEL_IN_PROSE,
                message: "a parallel mark in the middle of a title is prose".to_owned(),
                span: raw_item.text.start + span.start..raw_item.text.start + span.end,
                help: Some("put it right behind the id if the task is meant to run beside others".to_owned()),
            });
        }
        let mut item = Item {
            line: scan.line_of(raw_item.marker) + 1,
            depth: raw_item.depth,
            parent: raw_item.outer,
            id: head.id.map(|(id, _)| id.to_owned()),
            title: head.title.into_owned(),
            text: text.to_owned(),
            checked: matches!(raw_item.box_char, 'x' | 'X'),
            box_char: raw_item.box_char,
            tick_at: raw_item.tick_at,
            gfm: raw_item.shape == Some(Shape::Gfm),
            role: Role::Task,
            parallel: false,
            markers,
            heading: heading.checked_sub(1),
            segment: heading + rule,
            fields: all,
            block: raw_item.block.clone(),
            own,
        };
        let parallel = item.markers.iter().any(|marker| marker == "P");
        let alone = item.is_verify() || item.is_sequential();
        item.parallel = parallel && !alone;
        marks.extend(marks_of(&head.markers, &head.places, head.id_end, raw_item.text.clone(), alone));
        if parallel && alone {
            diagnostics.push(about(
                &item,
                Severity::Warning,
                codes::BOTH_MARKED,
                "this task is marked parallel and also to run alone; it runs alone".to_owned(),
                "take one of the marks out",
            ));
        }
        items.push(item);
    }
    (items, signs, marks)
}

/// The marks of an item that have a spelling of their own. `text` is where its text stands, `id_end` where its id ends in
/// that, `alone` whether it is marked to run alone.
fn marks_of(
    names: &[&str],
    places: &[Range<usize>],
    id_end: usize,
    text: Range<usize>,
    alone: bool,
) -> Vec<marks::Mark> {
    let mark = |(name, place): (&&str, &Range<usize>)| {
        let means = match *name {
            "P" if alone => marks::Means::ParallelInVain,
            "P" => marks::Means::Parallel,
            name if marks::is_alone(name.split(':').next().unwrap_or_default().trim()) => marks::Means::Alone,
            _ => return None,
        };
        let place_of = if place.end == text.len() {
            Place::EndOfLine
        } else if place.end <= id_end {
            Place::BeforeId
        } else {
            Place::BehindId
        };
        Some(marks::Mark { at: text.start + place.start..text.start + place.end, means, place: place_of })
    };
    names.iter().zip(places).filter_map(mark).collect()
}

/// The direct children of every item, as one list and the part of each.
struct Children {
    starts: Vec<usize>,
    list: Vec<usize>,
}

impl Children {
    fn of(&self, index: usize) -> &[usize] {
        &self.list[self.starts[index]..self.starts[index + 1]]
    }
}

fn children(raw: &[Raw]) -> Children {
    let mut starts = vec![0; raw.len() + 1];
    for outer in raw.iter().filter_map(|raw| raw.outer) {
        starts[outer + 1] += 1;
    }
    for index in 0..raw.len() {
        starts[index + 1] += starts[index];
    }
    let mut next = starts.clone();
    let mut list = vec![0; starts[raw.len()]];
    for (index, raw) in raw.iter().enumerate() {
        if let Some(outer) = raw.outer {
            list[next[outer]] = index;
            next[outer] += 1;
        }
    }
    Children { starts, list }
}

/// Families of ids (`A1`, `A2`) of which the list has at least two different members.
fn families<'a>(scan: &'a Scan<'_>, raw: &[Raw]) -> HashSet<&'a str> {
    let mut first: HashMap<&str, &str> = HashMap::new();
    let mut families = HashSet::new();
    for raw in raw {
        let text = &scan.text[raw.text.clone()];
        // A number at the beginning is no member of a family.
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        if let Some((id, Some(family))) = head::read(text, |_| true).id
            && *first.entry(family).or_insert(id) != id
        {
            families.insert(family);
        }
    }
    families
}

/// `X` where the list has more of them than of `x`.
fn habit(items: &[Item], source: &[u8]) -> u8 {
    let ticked = items.iter().filter(|item| item.checked);
    let capitals =
        ticked.clone().filter(|item| matches!(item.tick_at, Tick::Replace(at) if source[at] == b'X')).count();
    if capitals * 2 > ticked.count() { b'X' } else { b'x' }
}

fn about(item: &Item, severity: Severity, code: &'static str, message: String, help: &str) -> Diagnostic {
    let (start, end) = match item.tick_at {
        Tick::Replace(at) => (at - 1, at + 2),
        Tick::Insert(at) => (at, at),
    };
    let end = (end + 1 + item.text.len()).min(item.block.end);
    Diagnostic { severity, code, message, span: start..end, help: Some(help.to_owned()) }
}

/// Says what looks odd about the list as a whole.
fn describe(scan: &Scan<'_>, items: &[Item], diagnostics: &mut Vec<Diagnostic>) {
    if items.is_empty() {
        diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code: codes::NO_TASKS,
            message: "there is no checkbox in this list".to_owned(),
            span: 0..0,
            help: Some("write tasks as `- [ ] 1.1 Title`".to_owned()),
        });
    }
    if let Cow::Owned(_) = scan.text {
        diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: codes::NOT_UTF8,
            message: "some bytes of this list are not UTF-8".to_owned(),
            span: 0..0,
            help: Some("they are read as `?` and stay as they are in the file".to_owned()),
        });
    }
    describe_ids(items, diagnostics);
    describe_commands(scan, items, diagnostics);
    let notes = items.iter().filter(|item| item.role == Role::Note);
    if let Some(first) = notes.clone().next() {
        let count = notes.count();
        diagnostics.push(about(
            first,
            Severity::Info,
            codes::NOTE,
            if count == 1 {
                "an item without id, marker and fields is taken for a note and not run".to_owned()
            } else {
                format!(
                    "{count} items without id, marker and fields are taken for notes and not run; this is the first"
                )
            },
            "`--include-notes` runs them, too; `spec tasks` lists them",
        ));
    }
    for item in items {
        let own_work = || item.fields.all.iter().any(|field| field.name == "Do" || field.name == "Run");
        if item.role == Role::Parent && own_work() {
            diagnostics.push(about(
                item,
                Severity::Warning,
                codes::PARENT_WITH_DO,
                "this item has tasks below it, so its own Do or Run is never run".to_owned(),
                "move the work into a task of its own",
            ));
        }
        if item.text.starts_with("**")
            && labels::read(&item.text).is_some_and(|label| label.known && label.dress == labels::Dress::Bold)
        {
            diagnostics.push(about(
                item,
                Severity::Warning,
                codes::FIELD_AS_TASK,
                "a box stands before a field, so this is an item of its own".to_owned(),
                "write the field without a box, below its task",
            ));
        }
    }
    for &at in &scan.found.without_bullet {
        let line = scan.line_of(at);
        diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: codes::NO_BULLET,
            message: "a box without a list marker is text, no task".to_owned(),
            span: at..at + scan.text[at..scan.line_end(line)].trim_end().len(),
            help: Some("write `- [ ]` if it is meant as a task".to_owned()),
        });
    }
    hidden_boxes(scan, diagnostics);
}

fn describe_ids(items: &[Item], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(id) = item.id.as_deref() else { continue };
        let owner = *first.entry(id).or_insert(index);
        let line = items[owner].line;
        if owner != index {
            diagnostics.push(about(
                item,
                Severity::Warning,
                codes::DUPLICATE_ID,
                format!("the id {id} is taken by line {line} already"),
                &format!("`{id}` means the first; this one is `{id}@{}`", item.line),
            ));
        }
    }
}

fn describe_commands(scan: &Scan<'_>, items: &[Item], diagnostics: &mut Vec<Diagnostic>) {
    for item in items {
        if item.fields.verify_prose
            && let Some(field) = item.fields.all.iter().find(|field| field.name == "Verify")
        {
            diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                code: codes::VERIFY_NOT_EXECUTABLE,
                message: "Verify has no command, so nothing but the agent will check this task".to_owned(),
                span: fields::label_span(scan, field),
                help: Some("put a command in backticks or in a fence, at the beginning of the value".to_owned()),
            });
        }
        let scripts = item.fields.verify.iter().chain(&item.fields.run);
        for command in scripts.filter(|command| commands::hides_failures(&command.script)) {
            diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                code: codes::SCRIPT_HIDES_FAILURES,
                message: "this is one script, and only its last command says whether it failed".to_owned(),
                span: command.span.clone(),
                help: Some("begin it with `set -e`, or join the commands with `&&`".to_owned()),
            });
        }
        for command in item.fields.verify.iter().filter(|command| commands::is_piped(&command.script)) {
            diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                code: codes::VERIFY_PIPED,
                message: "this Verify pipes into a command that always succeeds; without pipefail it could not fail"
                    .to_owned(),
                span: command.span.clone(),
                help: Some("it is run with `pipefail` where bash exists; better take the pipe out".to_owned()),
            });
        }
    }
}

/// Boxes in code and HTML blocks: one word for each block.
fn hidden_boxes(scan: &Scan<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let code = scan.found.code.iter().map(|block| {
        let message = if block.language == Language::Indented {
            "a box in an indented code block is text, no task"
        } else {
            "a box in a fence is text, no task"
        };
        (&block.range, codes::CHECKBOX_IN_CODE, message)
    });
    let html = scan
        .found
        .html
        .iter()
        .map(|range| (range, codes::CHECKBOX_IN_COMMENT, "a box in an HTML block or comment is text, no task"));
    for (range, code, message) in code.chain(html) {
        let block = &scan.text[range.clone()];
        let boxed = ["[ ] ", "[x] ", "[X] "].iter().filter_map(|boxed| block.find(boxed)).min();
        let Some(at) = boxed else { continue };
        let line_start = block[..at].rfind('\n').map_or(0, |at| at + 1);
        let before = block[line_start..at].trim();
        if matches!(before, "-" | "*" | "+") {
            let end = at + block[at..].find(['\n', '\r']).unwrap_or(block.len() - at);
            diagnostics.push(Diagnostic {
                severity: Severity::Info,
                code,
                message: message.to_owned(),
                span: range.start + at..range.start + end,
                help: Some("move it out if it is meant as one".to_owned()),
            });
        }
    }
}
