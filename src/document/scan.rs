//! Layer one: what `CommonMark` and GFM say. List items with a box, headings, thematic breaks, code and HTML, all as byte
//! ranges of the source. What a line *means* is not decided here.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

/// A source is walked in pieces of at least this size, so that the tree that is made of each stays in the caches and all
/// processors take part.
const PIECE: usize = 128 * 1024;

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
    pub found: Found,
}

/// What stands in the source, or in a piece of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
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
    /// The last thing in it is a list.
    ends_in_list: bool,
}

/// A list item that begins with brackets around one character.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BoxItem {
    /// Offset of the list marker.
    pub marker: usize,
    /// How many list items enclose it.
    pub depth: usize,
    /// The enclosing one of [`Found::items`], if any.
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
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeadingAt {
    pub level: u8,
    pub range: Range<usize>,
}

/// A code block.
#[derive(Debug, PartialEq, Eq)]
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
        found: Found::default(),
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
    scan.found = read(&text, body, PIECE);
    scan.text = text;
    scan
}

/// Reads a text from `body` on, in pieces of at least `least` bytes. Where a piece turns out not to be one by itself, all
/// is read in one go.
fn read(text: &str, body: usize, least: usize) -> Found {
    let pieces = pieces(text, body, least);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    let each = |pieces: &[Range<usize>]| pieces.iter().map(|piece| walk(text, piece.clone())).collect::<Vec<_>>();
    let found: Vec<Found> = if threads == 1 {
        each(&pieces)
    } else {
        std::thread::scope(|scope| {
            let share = pieces.chunks(pieces.len().div_ceil(threads));
            let threads: Vec<_> = share.map(|pieces| scope.spawn(move || each(pieces))).collect();
            // What panics in a thread panics here.
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<Found>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().flat_map(join).collect()
        })
    };
    if found.iter().rev().skip(1).any(|piece| !piece.ends_in_list) {
        return walk(text, body..text.len());
    }
    found.into_iter().reduce(Found::followed_by).unwrap_or_default()
}

/// Cuts a text before list items with a bullet at the beginning of a line and a bracket behind it, behind a line that
/// looks like a part of a list, too. If the text before such a cut does end in a list then all that is open there ends
/// with that item, and nothing of it reaches over the cut.
fn pieces(text: &str, body: usize, least: usize) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::with_capacity(text.len() / least + 1);
    let mut start = body;
    let mut line = body;
    for end in memchr::memchr_iter(b'\n', &bytes[body..]).map(|at| body + at + 1) {
        let is_item = matches!(&bytes[end..], [b'-' | b'*' | b'+', b' ', b'[', ..]);
        if is_item && end - start >= least && matches!(bytes[line], b' ' | b'-' | b'*' | b'+') {
            pieces.push(start..end);
            start = end;
        }
        line = end;
    }
    pieces.push(start..text.len());
    pieces
}

impl Found {
    /// Puts what stands behind it into it.
    fn followed_by(mut self, next: Self) -> Self {
        let before = self.items.len();
        let items = next.items.into_iter();
        self.items.extend(items.map(|item| BoxItem { outer: item.outer.map(|outer| outer + before), ..item }));
        self.headings.extend(next.headings);
        self.breaks.extend(next.breaks);
        self.code.extend(next.code);
        self.html.extend(next.html);
        self.without_bullet.extend(next.without_bullet);
        Self { ends_in_list: next.ends_in_list, ..self }
    }
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

/// Reads a piece of a text as a text of its own; offsets are those of the whole.
fn walk(text: &str, piece: Range<usize>) -> Found {
    let mut scan = Found::default();
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    let mut open: Vec<Open> = Vec::new();
    let mut quotes = 0_usize;
    // The item that began just now: the next event tells whether it begins with a box.
    let mut fresh = false;
    // A box at the end of its line is one only if its paragraph goes on.
    let mut at_line_end: Option<usize> = None;
    for (event, range) in Parser::new_ext(&text[piece.clone()], options).into_offset_iter() {
        let range = range.start + piece.start..range.end + piece.start;
        if fresh && begins_with_text(&event) {
            match shape(text.as_bytes(), range.start) {
                Some(Begins::Box(shape)) => found(&mut scan, &mut open, range.start, shape),
                Some(Begins::AtLineEnd) => at_line_end = Some(range.start),
                None => {}
            }
        }
        fresh = false;
        scan.ends_in_list = matches!(event, Event::End(TagEnd::List(_)));
        match event {
            Event::SoftBreak | Event::HardBreak => {
                if let Some(bracket) = at_line_end.take() {
                    found(&mut scan, &mut open, bracket, Shape::Gfm);
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
                    if matches!(boxed, Some(Begins::Box(Shape::Gfm))) {
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
    scan
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

fn found(scan: &mut Found, open: &mut [Open], bracket: usize, shape: Shape) {
    let depth = open.len() - 1;
    let outer = open[..depth].iter().rev().find_map(|item| item.found);
    let item = &mut open[depth];
    item.found = Some(scan.items.len());
    let (marker, range) = (item.marker, item.range.clone());
    scan.items.push(BoxItem { marker, depth, outer, range, bracket, shape });
}

/// What stands at the beginning of a paragraph.
enum Begins {
    Box(Shape),
    /// A box and nothing else on its line.
    AtLineEnd,
}

fn shape(source: &[u8], at: usize) -> Option<Begins> {
    let &[b'[', inside, b']', ref rest @ ..] = &source[at..] else { return None };
    if inside.is_ascii_control() && inside != b'\t' || !inside.is_ascii() {
        return None;
    }
    let blank = |rest: &[u8]| rest.first().is_none_or(u8::is_ascii_whitespace);
    let starred = rest.strip_prefix(b"\\").unwrap_or(rest).strip_prefix(b"*").is_some_and(blank);
    let known = matches!(inside, b' ' | b'\t' | b'x' | b'X' | b'-' | b'~');
    Some(match inside {
        _ if known && starred => Begins::Box(Shape::Star),
        b' ' | b'\t' | b'x' | b'X' => match rest.first() {
            Some(b' ' | b'\t') if !rest_of_line_is_blank(rest) => Begins::Box(Shape::Gfm),
            None | Some(b' ' | b'\t' | b'\n' | b'\r') => Begins::AtLineEnd,
            Some(_) => Begins::Box(Shape::NoSpace),
        },
        b'-' | b'~' if blank(rest) && !rest_of_line_is_blank(rest) => Begins::Box(Shape::State),
        _ if blank(rest) => Begins::Box(Shape::Unknown),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines that open, close, interrupt and look like each other.
    const LINES: &[&str] = &[
        "- [ ] a",
        "- [x] b",
        "* [ ] c",
        "+ [-] d",
        "- [x]",
        "- [ ]",
        "-",
        "- e",
        "1. [ ] f",
        "  - [ ] g",
        "    - [ ] h",
        "   * [x] i",
        "  text",
        "text",
        "",
        "",
        "```",
        "~~~",
        "  ```",
        "    ```",
        "- ```",
        "> ```",
        "<!-- x",
        "-->",
        "<div>",
        "  <pre>",
        "</pre>",
        "    code",
        "\tcode",
        "> q",
        "> - [ ] r",
        "- > s",
        "# H",
        "===",
        "---",
        "[x]: /url",
        "[x]",
        "[ ] t",
        "[^1]: n",
        "    more",
        "| a | b |",
        "|---|---|",
        "- [ ] | a |",
        "- # h",
        "* * *",
        "- [x]: /url",
        "- [ ] `a",
        "b` c",
    ];

    proptest! {
        #[test]
        fn a_text_in_pieces_is_the_same_text(lines in prop::collection::vec(prop::sample::select(LINES), 0..14)) {
            let text = lines.join("\n");
            prop_assert_eq!(read(&text, 0, 1), walk(&text, 0..text.len()), "{}", text);
        }
    }

    #[test]
    fn a_list_is_cut_between_its_tasks_and_only_there() {
        let text = "# H\n- [ ] a\n  - [ ] b\n- [x] c\n  ```\n- [ ] d\n\n- [ ] e\n";
        let cut: Vec<&str> = pieces(text, 0, 1).into_iter().map(|piece| &text[piece]).collect();
        assert_eq!(cut, ["# H\n- [ ] a\n  - [ ] b\n", "- [x] c\n  ```\n", "- [ ] d\n\n- [ ] e\n"]);
        let fence = "- [ ] a\n```\n- [ ] b\n- [ ] c\n```\n- [ ] d\n";
        assert_eq!(read(fence, 0, 1).items.len(), 2);
    }
}
