//! Layer one: what `CommonMark` and GFM say. List items with a box, headings, thematic breaks, code and HTML, all as byte
//! ranges of the source. What a line *means* is not decided here.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

/// What the first layer found.
pub(super) struct Scan<'a> {
    /// The source as text, byte for byte as long: what is not UTF-8 stands as `?`.
    pub text: Cow<'a, str>,
    /// Start of each line.
    pub line_starts: Vec<usize>,
    /// For each line, the last line at or before it that is not blank.
    text_lines: Vec<u32>,
    /// The line that was asked for last: the next one is mostly near.
    last_line: Cell<usize>,
    /// The YAML block at the beginning, without its fences; empty where there is none.
    pub front_matter: Range<usize>,
    /// List items with something like a box, in document order.
    pub items: Vec<BoxItem>,
    /// Headings outside lists and quotes.
    pub headings: Vec<HeadingAt>,
    /// Offsets of thematic breaks outside lists and quotes.
    pub breaks: Vec<usize>,
    /// Code blocks, in document order.
    pub code: Vec<Code>,
    /// HTML blocks, in document order.
    pub html: Vec<Range<usize>>,
    /// Paragraphs that begin with a box but stand in no list.
    pub without_bullet: Vec<usize>,
}

/// A list item that begins with brackets around one character.
pub(super) struct BoxItem {
    /// Offset of the list marker.
    pub marker: usize,
    /// How many list items enclose it.
    pub depth: usize,
    /// The enclosing one of [`Scan::items`], if any.
    pub outer: Option<usize>,
    /// The whole item as Markdown has it.
    pub range: Range<usize>,
    /// Offset of the `[`.
    pub bracket: usize,
    /// What the brackets are taken for.
    pub shape: Shape,
}

/// What the brackets at the beginning of a list item are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A task list item of GFM.
    Gfm,
    /// A box with a star behind it (`[ ]*`, `[ ]\*`); the star's bytes follow the box.
    Star,
    /// `[-]` or `[~]`, and a blank behind it.
    State,
    /// ` ` or `x`, but no blank behind it.
    NoSpace,
    /// Another character in the box (`[v]`, `[P]`).
    Unknown,
}

/// A heading's level and bytes.
pub(super) struct HeadingAt {
    pub level: u8,
    pub range: Range<usize>,
}

/// A code block.
pub(super) struct Code {
    pub range: Range<usize>,
    pub language: Language,
}

/// What a code block says it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// Indented, not fenced.
    Indented,
    /// A fence without a language.
    None,
    /// sh, bash, shell.
    Shell,
    /// console.
    Console,
    /// Anything else.
    Other,
}

/// Reads a source.
pub(super) fn scan(source: &[u8]) -> Scan<'_> {
    let text = readable(source);
    let line_starts = line_starts(source);
    let mut scan = Scan {
        text_lines: text_lines(source, &line_starts),
        line_starts,
        last_line: Cell::new(0),
        front_matter: 0..0,
        items: Vec::new(),
        headings: Vec::new(),
        breaks: Vec::new(),
        code: Vec::new(),
        html: Vec::new(),
        without_bullet: Vec::new(),
        text: Cow::Borrowed(""),
    };
    let begin = if source.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let body = match front_matter(source, begin, &scan.line_starts) {
        Some((inner, end)) => {
            scan.front_matter = inner;
            end
        }
        None => begin,
    };
    walk(&text, body, &mut scan);
    scan.text = text;
    scan
}

/// The source as text of the same length.
fn readable(source: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(source) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(source.len());
    for chunk in source.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(text)
}

/// LF, CRLF and a lone CR end a line.
fn line_starts(source: &[u8]) -> Vec<usize> {
    let ends = memchr::memchr2_iter(b'\n', b'\r', source)
        .filter(|&at| source[at] == b'\n' || source.get(at + 1) != Some(&b'\n'));
    std::iter::once(0).chain(ends.map(|at| at + 1)).collect()
}

fn text_lines(source: &[u8], line_starts: &[usize]) -> Vec<u32> {
    let mut last = 0;
    let ends = line_starts.iter().skip(1).copied().chain([source.len()]);
    let line = |(number, (&start, end)): (usize, (&usize, usize))| {
        if source[start..end].iter().any(|byte| !byte.is_ascii_whitespace()) {
            last = number as u32;
        }
        last
    };
    line_starts.iter().zip(ends).enumerate().map(line).collect()
}

/// The YAML block that a source may begin with: its inside, and where the body begins.
fn front_matter(source: &[u8], begin: usize, line_starts: &[usize]) -> Option<(Range<usize>, usize)> {
    let line = |number: usize| {
        let start = if number == 0 { begin } else { *line_starts.get(number)? };
        let end = line_starts.get(number + 1).copied().unwrap_or(source.len());
        Some(start..end)
    };
    let is_fence = |range: &Range<usize>| source[range.clone()].trim_ascii_end() == b"---";
    let first = line(0)?;
    if !is_fence(&first) {
        return None;
    }
    let last = (1..line_starts.len()).filter_map(line).find(is_fence)?;
    Some((first.end..last.start, last.end))
}

impl Scan<'_> {
    /// The 0-based line of an offset.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        let last = self.last_line.get();
        let near = &self.line_starts[last..self.line_starts.len().min(last + 9)];
        let steps = near.iter().take_while(|&&start| start <= offset).count();
        let line = if (1..9).contains(&steps) {
            last + steps - 1
        } else {
            self.line_starts.partition_point(|&start| start <= offset).saturating_sub(1)
        };
        self.last_line.set(line);
        line
    }

    /// Where a line ends, its line end included.
    pub(super) fn line_end(&self, line: usize) -> usize {
        self.line_starts.get(line + 1).copied().unwrap_or(self.text.len())
    }

    /// The end of the last line before `end` that is not blank, but not before the line of `start`.
    pub(super) fn end_of_text(&self, start: usize, end: usize) -> usize {
        let last = self.line_of(end.saturating_sub(1).max(start));
        self.line_end((self.text_lines[last] as usize).max(self.line_of(start)))
    }
}

/// A list item that is open while walking.
struct Open {
    marker: usize,
    range: Range<usize>,
    /// Which of the found items it became.
    found: Option<usize>,
}

fn walk(text: &str, body: usize, scan: &mut Scan<'_>) {
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    let mut open: Vec<Open> = Vec::new();
    let mut quotes = 0_usize;
    // The item that began just now: the next event tells whether it begins with a box.
    let mut fresh = false;
    // A box at the end of its line is one only if its paragraph goes on.
    let mut at_line_end: Option<usize> = None;
    for (event, range) in Parser::new_ext(&text[body..], options).into_offset_iter() {
        let range = range.start + body..range.end + body;
        if fresh && begins_with_text(&event) {
            match shape(text.as_bytes(), range.start) {
                Some(Found::Box(shape)) => found(scan, &mut open, range.start, shape),
                Some(Found::AtLineEnd) => at_line_end = Some(range.start),
                None => {}
            }
        }
        fresh = false;
        match event {
            Event::SoftBreak | Event::HardBreak => {
                if let Some(bracket) = at_line_end.take() {
                    found(scan, &mut open, bracket, Shape::Gfm);
                }
            }
            Event::Rule if open.is_empty() && quotes == 0 => scan.breaks.push(range.start),
            Event::Start(tag) => match tag {
                Tag::Item => {
                    at_line_end = None;
                    open.push(Open { marker: range.start, range, found: None });
                    fresh = true;
                }
                Tag::BlockQuote(_) => quotes += 1,
                Tag::Heading { level, .. } if open.is_empty() && quotes == 0 => {
                    scan.headings.push(HeadingAt { level: level as u8, range });
                }
                Tag::CodeBlock(kind) => scan.code.push(Code { range, language: language(&kind) }),
                Tag::HtmlBlock => scan.html.push(range),
                Tag::Paragraph if open.is_empty() && quotes == 0 => {
                    let boxed = shape(text.as_bytes(), range.start);
                    if matches!(boxed, Some(Found::Box(Shape::Gfm))) {
                        scan.without_bullet.push(range.start);
                    }
                }
                _ => {}
            },
            Event::End(TagEnd::Item) => {
                at_line_end = None;
                open.pop();
            }
            Event::End(TagEnd::BlockQuote(_)) => quotes = quotes.saturating_sub(1),
            Event::End(TagEnd::Paragraph) => at_line_end = None,
            _ => {}
        }
    }
}

/// Whether an event is the text of a list item's first paragraph.
fn begins_with_text(event: &Event<'_>) -> bool {
    use Tag::{Emphasis, Heading, Image, Link, Paragraph, Strong};
    match event {
        // A heading with hashes does not begin with a bracket; one that is underlined does.
        Event::Start(tag) => {
            matches!(tag, Paragraph | Heading { .. } | Emphasis | Strong | Link { .. } | Image { .. })
        }
        Event::Text(_) | Event::InlineHtml(_) | Event::FootnoteReference(_) => true,
        _ => false,
    }
}

fn found(scan: &mut Scan<'_>, open: &mut [Open], bracket: usize, shape: Shape) {
    let depth = open.len() - 1;
    let outer = open[..depth].iter().rev().find_map(|item| item.found);
    let item = &mut open[depth];
    item.found = Some(scan.items.len());
    let (marker, range) = (item.marker, item.range.clone());
    scan.items.push(BoxItem { marker, depth, outer, range, bracket, shape });
}

/// What stands at the beginning of a paragraph.
enum Found {
    Box(Shape),
    /// A box and nothing else on its line.
    AtLineEnd,
}

fn shape(source: &[u8], at: usize) -> Option<Found> {
    let &[b'[', inside, b']', ref rest @ ..] = &source[at..] else { return None };
    if inside.is_ascii_control() && inside != b'\t' || !inside.is_ascii() {
        return None;
    }
    let blank = |rest: &[u8]| rest.first().is_none_or(u8::is_ascii_whitespace);
    let starred = rest.strip_prefix(b"\\").unwrap_or(rest).strip_prefix(b"*").is_some_and(blank);
    let known = matches!(inside, b' ' | b'\t' | b'x' | b'X' | b'-' | b'~');
    Some(match inside {
        _ if known && starred => Found::Box(Shape::Star),
        b' ' | b'\t' | b'x' | b'X' => match rest.first() {
            Some(b' ' | b'\t') if !rest_of_line_is_blank(rest) => Found::Box(Shape::Gfm),
            None | Some(b' ' | b'\t' | b'\n' | b'\r') => Found::AtLineEnd,
            Some(_) => Found::Box(Shape::NoSpace),
        },
        b'-' | b'~' if blank(rest) && !rest_of_line_is_blank(rest) => Found::Box(Shape::State),
        _ if blank(rest) => Found::Box(Shape::Unknown),
        _ => return None,
    })
}

fn rest_of_line_is_blank(rest: &[u8]) -> bool {
    rest.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).all(|byte| matches!(byte, b' ' | b'\t'))
}

fn language(kind: &CodeBlockKind<'_>) -> Language {
    let CodeBlockKind::Fenced(info) = kind else { return Language::Indented };
    match info.split_whitespace().next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "" => Language::None,
        "sh" | "bash" | "shell" => Language::Shell,
        "console" => Language::Console,
        _ => Language::Other,
    }
}
