//! The first line of an item: id, marker cluster, title.

use super::{ids, pattern};
use regex::Regex;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// What the first line of an item says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The id, and its family where it counts only in company.
    pub id: Option<(&'a str, Option<&'a str>)>,
    /// Where the id ends, the marks that close it included; 0 where there is none.
    pub id_end: usize,
    /// Tags of the cluster, as reported.
    pub markers: Vec<&'a str>,
    /// Where each of them stands, brackets included.
    pub places: Vec<Range<usize>>,
    /// A star stands right behind the id (`7.1* Write tests`).
    pub starred: bool,
    /// What is left.
    pub title: Cow<'a, str>,
    /// A parallel mark in the middle of the title, which is prose.
    pub parallel_in_prose: Option<Range<usize>>,
}

/// Reads a first line. `accept` says whether a family of ids counts.
pub(super) fn read(text: &str, accept: impl Fn(&str) -> bool) -> Head<'_> {
    let mut head = Head::default();
    let mut at = 0;
    // Behind the last thing that belongs to the cluster, and the emphasis that is open there.
    let mut end = 0;
    let mut open: Vec<&str> = Vec::new();
    let mut open_at_end = 0;
    loop {
        let rest = &text[at..];
        let blanks = rest.len() - rest.trim_start().len();
        if blanks > 0 {
            at += blanks;
            continue;
        }
        if let Some((tag, len)) = tag(rest) {
            let id = ids::read(tag).filter(|found| {
                head.id.is_none() && found.len == tag.len() && found.family.is_none_or(&accept) && tag.len() > 2
            });
            if let Some(found) = id {
                head.id = Some((found.id, found.family));
                head.id_end = at + len;
            } else {
                head.markers.push(tag);
                head.places.push(at..at + len);
            }
            at += len;
        } else if let Some(found) =
            ids::read(rest).filter(|found| head.id.is_none() && found.family.is_none_or(&accept))
        {
            head.id = Some((found.id, found.family));
            at += found.len;
            head.id_end = at;
            let star = rest[found.len..].strip_prefix('\\').unwrap_or(&rest[found.len..]);
            if star.strip_prefix('*').is_some_and(|behind| open.is_empty() && behind.starts_with([' ', '\t'])) {
                head.starred = true;
                at = text.len() - star.len() + 1;
            }
        } else if let Some(mark) = open.last().filter(|mark| end > 0 && rest.starts_with(**mark)) {
            at += mark.len();
            open.pop();
        } else if let Some(mark) = opening(rest) {
            at += mark.len();
            open.push(mark);
            continue;
        } else if end > 0 && rest.starts_with([':', '：']) {
            at += rest.chars().next().map_or(0, char::len_utf8);
        } else {
            break;
        }
        end = at;
        open_at_end = open.len();
    }
    let mut title = text[end..].trim();
    let begin = text.len() - text[end..].trim_start().len();
    if let Some(start) = last_token(title)
        && let Some((tag, len)) = tag(&title[start..])
        && start + len == title.len()
    {
        head.markers.push(tag);
        head.places.push(begin + start..begin + start + len);
        title = title[..start].trim_end();
    }
    head.parallel_in_prose = parallel_mark(title).map(|range| range.start + begin..range.end + begin);
    let dashes = title.trim_start_matches(['-', '—', '–', ':']);
    if head.id.is_some() && dashes.starts_with(' ') {
        title = dashes.trim_start();
    }
    head.title = close_emphasis(title, &open[..open_at_end.min(open.len())]);
    for marker in &mut head.markers {
        if matches!(*marker, "∥" | "PARALLEL") {
            *marker = "P";
        }
    }
    head
}

/// A tag: `[X]`, `[[X]]`, `(P)`, `(∥)`.
static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:\((?:P|∥)\)|\[\[[^\[\]`]+\]\]|\[[^\[\]`]+\])"));
/// What makes it a place to read: `[Source: architecture/x.md#part]`, `[[WP07-search.md]]`, `[^1]`.
static CITATION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:\^|Source:)|[/#]|\.md"));
/// A parallel mark.
static PARALLEL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[P\]|\((?:P|∥)\)"));

/// A bracket tag at the beginning: what is in it, and its bytes. A link is none.
fn tag(text: &str) -> Option<(&str, usize)> {
    if !text.starts_with(['[', '(']) {
        return None;
    }
    let len = TAG.find(text)?.end();
    let tag = text[..len].trim_start_matches(['[', '(']).trim_end_matches([']', ')']).trim();
    let behind = &text[len..];
    let link = behind.starts_with('(') && PARALLEL.find(behind).is_none_or(|mark| mark.start() > 0);
    (!tag.is_empty() && tag.len() <= 120 && !link && !CITATION.is_match(tag)).then_some((tag, len))
}

/// The emphasis mark that opens at the beginning.
fn opening(text: &str) -> Option<&'static str> {
    let mark = ["**", "__", "~~", "*", "_"].into_iter().find(|mark| text.starts_with(mark))?;
    text[mark.len()..].starts_with(|c: char| !c.is_whitespace()).then_some(mark)
}

/// Where the last token begins that could be a tag.
fn last_token(title: &str) -> Option<usize> {
    let start = match title.as_bytes().last()? {
        b']' => title.rfind(" [")? + 1,
        b')' => title.rfind(" (")? + 1,
        _ => return None,
    };
    Some(start)
}

/// A parallel mark in a title, outside code spans.
fn parallel_mark(title: &str) -> Option<Range<usize>> {
    memchr::memchr2(b'[', b'(', title.as_bytes())?;
    let mut at = 0;
    for (number, part) in title.split('`').enumerate() {
        if let Some(mark) = PARALLEL.find(part).filter(|_| number % 2 == 0) {
            return Some(at + mark.start()..at + mark.end());
        }
        at += part.len() + 1;
    }
    None
}

/// Drops emphasis around a title: marks whose partner went with the id, and a pair around all of it.
fn close_emphasis<'a>(title: &'a str, open: &[&str]) -> Cow<'a, str> {
    let mut title = Cow::Borrowed(title);
    for mark in open {
        if let Some(at) = title.rfind(mark).filter(|at| at + mark.len() == title.len()).or_else(|| title.find(mark)) {
            let rest = [&title[..at], &title[at + mark.len()..]].concat();
            title = Cow::Owned(rest.trim().to_owned());
        }
    }
    for mark in ["**", "__", "~~"] {
        let inside = title.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
        if let Some(inside) = inside.filter(|inside| !inside.is_empty() && !inside.contains(mark)) {
            title = Cow::Owned(inside.trim().to_owned());
        }
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let head = read(text, |_| true);
        format!("{} {:?} {}", head.id.map_or("-", |(id, _)| id), head.markers, head.title)
    }

    #[test]
    fn clusters_stand_around_the_id() {
        for (text, expected) in [
            ("1.2 [P] CSV writer", r#"1.2 ["P"] CSV writer"#),
            ("[P] T007 Add it", r#"T007 ["P"] Add it"#),
            ("[T001] [P1] [US1] Add it", r#"T001 ["P1", "US1"] Add it"#),
            ("[T007] [--] [--] Add it", r#"T007 ["--", "--"] Add it"#),
            ("**T001 [P]** Add it", r#"T001 ["P"] Add it"#),
            ("**T001**: Add it", "T001 [] Add it"),
            ("**1.1 Add it**", "1.1 [] Add it"),
            ("~~1.8 Add it~~", "1.8 [] Add it"),
            ("1.1 [[P]] [[US-1]] Add it", r#"1.1 ["P", "US-1"] Add it"#),
            ("2.1 (P) Add it", r#"2.1 ["P"] Add it"#),
            ("2.1 (∥) Add it", r#"2.1 ["P"] Add it"#),
            ("2.1 Add it (P)", r#"2.1 ["P"] Add it"#),
            ("T001 Add it [P]", r#"T001 ["P"] Add it"#),
            ("2.1 [A](P) Add it", r#"2.1 ["A", "P"] Add it"#),
            ("T056 [X] Add it", r#"T056 ["X"] Add it"#),
            ("1.3 [FIX 1.2] [VERIFY:TEST] Add it", r#"1.3 ["FIX 1.2", "VERIFY:TEST"] Add it"#),
            ("1.4 [VERIFY] [P] Check", r#"1.4 ["VERIFY", "P"] Check"#),
            ("T004 [P2-GH] Add it", r#"T004 ["P2-GH"] Add it"#),
            ("T1 — Add it", "T1 [] Add it"),
            ("[P] Add it", r#"- ["P"] Add it"#),
            ("7.9* (P) Add it", r#"7.9 ["P"] Add it"#),
            (r"7.9\* Add it", "7.9 [] Add it"),
            ("[Source: a/b.md#c]", "- [] [Source: a/b.md#c]"),
            ("T001 Add it [[WP01-x.md]]", "T001 [] Add it [[WP01-x.md]]"),
            ("**1.1 Add** the thing", "1.1 [] Add the thing"),
            ("1.1 _Add_ the thing", "1.1 [] _Add_ the thing"),
            ("**Add** the thing", "- [] **Add** the thing"),
            ("**Add the thing**", "- [] Add the thing"),
            ("T001 **[P]** Add", r#"T001 ["P"] Add"#),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn a_mark_in_prose_or_code_is_prose() {
        for (text, expected) in [
            ("2.2 Add [P] to the checklist", "2.2 [] Add [P] to the checklist"),
            ("2.2 Teach `[P]` to the parser", "2.2 [] Teach `[P]` to the parser"),
            ("2.2 `[P]` is parsed", "2.2 [] `[P]` is parsed"),
            ("2.2 Explain `[VERIFY]`", "2.2 [] Explain `[VERIFY]`"),
            ("2.2 [docs](a.md) are read", "2.2 [] [docs](a.md) are read"),
            ("2.2 Route app/[id]", "2.2 [] Route app/[id]"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert!(read("2.2 Add [P] to x", |_| true).parallel_in_prose.is_some());
        assert!(read("2.2 Add `[P]` to x", |_| true).parallel_in_prose.is_none());
    }
}
