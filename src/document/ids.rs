//! Ids as lists write them: how one is read off the beginning of a title, and how two are compared.
//!
//! Forms that cannot be anything else (`1.2`, `1.`, `T001`, `V4`, `WP01`, `Task 3.2:`) are ids at once. Others (`A1`,
//! `MIG2-001`, `S3`) are ids only where the list has a second one of the same family.

use std::borrow::Cow;
use std::cmp::Ordering;

/// An id at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// As reported: without a leading word and marks behind it.
    pub id: &'a str,
    /// Bytes it takes, marks behind it included.
    pub len: usize,
    /// The letters it begins with, where it counts only in company.
    pub family: Option<&'a str>,
}

/// Words that stand before a number and are no part of the id.
const WORDS: &[&str] =
    &["Task", "Subtask", "Sub-task", "Story", "Step", "Phase", "AC", "Test", "Day", "Group", "任務", "任务", "タスク"];

/// Reads the id that a text begins with.
pub(super) fn read(text: &str) -> Option<Found<'_>> {
    if let Some(found) = behind_word(text) {
        return Some(found);
    }
    let id = token(text)?;
    let after = &text[id.len()..];
    let closing = closing(after);
    let behind = after[closing..].chars().next();
    let bounded = behind.is_none_or(|c| c.is_whitespace() || !c.is_ascii() || r"[(*~_:,<`|\".contains(c));
    if !bounded {
        return None;
    }
    let found = |family| Some(Found { id, len: id.len() + closing, family });
    if id.starts_with(|c: char| c.is_ascii_digit()) {
        let segmented = id.contains('.') || id.contains('-') && id.starts_with('0') || id.contains(['–', '-']);
        return if segmented || closing > 0 { found(None) } else { None };
    }
    let letters = id.len() - id.trim_start_matches(|c: char| c.is_ascii_uppercase()).len();
    let (family, number) = id.split_at(letters);
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let sure = match family {
        "T" => digits >= 2 || number.contains(['.', '-']),
        "TASK" | "WP" | "V" | "VE" => true,
        "VF" => number.is_empty(),
        _ => matches!(id, "TXXX"),
    };
    found(if sure { None } else { Some(family) })
}

/// The number behind a word such as `Task`, where it counts something: `Test 3 devices` is a sentence.
fn behind_word(text: &str) -> Option<Found<'_>> {
    let (word, rest) = WORDS.iter().find_map(|word| Some((word, text.strip_prefix(word)?)))?;
    let number = rest.trim_start_matches(' ');
    if number.len() == rest.len() && word.is_ascii() {
        return None;
    }
    let number = token(number.strip_prefix('#').unwrap_or(number))?;
    let end = text.len() - rest.len() + rest.find(number)? + number.len();
    let closing = closing(&text[end..]);
    let behind = text[end..].trim_start();
    let counts = closing > 0
        || behind.is_empty()
        || behind.starts_with(['-', '—', '–'])
        || number.contains('.')
        || number.starts_with(|c: char| c.is_ascii_uppercase());
    counts.then_some(Found { id: number, len: end + closing, family: None })
}

/// An id as it is reported: without the marks behind it.
#[must_use]
pub fn bare(id: &str) -> &str {
    id.trim().trim_end_matches(['.', ':', ')', '：'])
}

/// The bytes of the marks that close an id.
fn closing(after: &str) -> usize {
    let open = after.trim_start_matches(['.', ':', ')', '：', '、']);
    let len = after.len() - open.len();
    // `1.. 5` is no id with two marks; `T001).` is.
    if after.starts_with("..") { 0 } else { len }
}

/// The longest run that has the shape of an id: segments of numbers and letters between dots and dashes.
pub(super) fn token(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut end = segment(bytes)?;
    if !bytes[..end].iter().any(u8::is_ascii_digit) && bytes[..end] != *b"VF" && bytes[..end] != *b"TXXX" {
        // Letters alone are the beginning of one (`A.1`, `G-09.1`), not one.
        let joined = matches!(bytes.get(end), Some(b'.' | b'-')) && segment(&bytes[end + 1..]).is_some();
        joined.then_some(())?;
    }
    loop {
        let joint = match &bytes[end..] {
            [b'.', b'.', ..] => 2,
            [b'.' | b'-', ..] => 1,
            rest if rest.starts_with("–".as_bytes()) => "–".len(),
            _ => break,
        };
        match segment(&bytes[end + joint..]) {
            Some(len) => end += joint + len,
            None => break,
        }
    }
    let id = &text[..end];
    (end <= 24 && (id.bytes().any(|b| b.is_ascii_digit()) || matches!(id, "VF" | "TXXX"))).then_some(id)
}

/// One segment: a number with at most one letter behind it, or up to eight capitals with numbers between them.
fn segment(bytes: &[u8]) -> Option<usize> {
    let run = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let word = &bytes[..run];
    let (&last, before) = word.split_last()?;
    let upper = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let fits = if before.is_empty() {
        upper(&last) || last == b'x'
    } else {
        let suffix = before.last().is_some_and(u8::is_ascii_digit) && last.is_ascii_lowercase();
        run <= 9 && before.iter().all(upper) && (upper(&last) || suffix)
    };
    // `2D`, `100MB` and the like are quantities: capitals behind a number are at most one.
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (fits && (digits == 0 || run - digits <= 1)).then_some(run)
}

/// Compares ids number by number: 1.9 before 1.10, `T9` before `T010`.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match x.cmp(&y) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

/// The name that ids share which are equal number by number: capitals, no leading zeros.
pub(super) fn same(id: &str) -> Cow<'_, str> {
    let id = bare(id);
    // Most ids have nothing to change.
    if id.bytes().all(|byte| matches!(byte, b'1'..=b'9' | b'A'..=b'Z' | b'.')) {
        return Cow::Borrowed(id);
    }
    let mut name = String::with_capacity(id.len());
    let mut in_number = false;
    let mut zeros = false;
    for c in id.chars() {
        let digit = c.is_ascii_digit();
        // A number that is all zeros keeps one.
        if !digit && zeros {
            name.push('0');
        }
        zeros = digit && c == '0' && (zeros || !in_number);
        if !zeros {
            name.extend(c.to_uppercase());
        }
        in_number = digit;
    }
    if zeros {
        name.push('0');
    }
    Cow::Owned(name)
}

/// The parts of an id: runs of digits (without leading zeros; by length, then digits) and other characters.
fn parts(id: &str) -> impl Iterator<Item = (u8, usize, String)> {
    let mut rest = id;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let number = rest[..digits].trim_start_matches('0');
            rest = &rest[digits..];
            return Some((0, number.len(), number.to_owned()));
        }
        rest = &rest[first.len_utf8()..];
        Some((1, 0, first.to_uppercase().collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_number_by_number() {
        let mut ids = ["1.10", "1.9", "T010", "1.1", "T9", "2", "1.1a", "1.1.1", "1"];
        ids.sort_by(|a, b| compare(a, b));
        assert_eq!(ids, ["1", "1.1", "1.1.1", "1.1a", "1.9", "1.10", "2", "T9", "T010"]);
        assert_eq!(compare("T1", "t001"), Ordering::Equal);
        assert_eq!(same("t001:"), same("T1"));
        assert_eq!((same("T000"), same("0.10.001")), ("T0".into(), "0.10.1".into()));
        assert_ne!(same("1.1"), same("1.10"));
        assert_ne!(same("1.1"), same("11"));
    }

    #[test]
    fn ids_of_all_tools_are_read() {
        for (text, id) in [
            ("1.1 Refactor", "1.1"),
            ("T025: README.md", "T025"),
            ("1. Add", "1"),
            ("1.1. Add", "1.1"),
            ("1) Add", "1"),
            ("2.8.1b Add", "2.8.1b"),
            ("6.B.10 Add", "6.B.10"),
            ("4G.1 [VERIFY] x", "4G.1"),
            ("1.x.1 lint", "1.x.1"),
            ("V4 [VERIFY] x", "V4"),
            ("VE1 x", "VE1"),
            ("VF All pass", "VF"),
            ("WP01 - x", "WP01"),
            ("T104a x", "T104a"),
            ("T068-FIX x", "T068-FIX"),
            ("T038-MIN x", "T038-MIN"),
            ("TASK-001 x", "TASK-001"),
            ("T1.2 x", "T1.2"),
            ("7.2-7.5: x", "7.2-7.5"),
            ("T003-T004: x", "T003-T004"),
            ("6.2–6.4 x", "6.2–6.4"),
            ("Task 3.2: x", "3.2"),
            ("Subtask 1.1: x", "1.1"),
            ("任務 8.3: x", "8.3"),
            ("Phase 2: x", "2"),
            ("01-02-PLAN.md — x", ""),
            ("00-01: x", "00-01"),
            ("024: x", "024"),
            ("Step 3 - x", "3"),
            ("Task #3: x", "3"),
        ] {
            assert_eq!(read(text).filter(|found| found.family.is_none()).map_or("", |found| found.id), id, "{text}");
        }
    }

    #[test]
    fn families_count_in_company_only() {
        for (text, id, family) in [
            ("A1 chain", "A1", "A"),
            ("S3 bucket", "S3", "S"),
            ("MIG2-001 x", "MIG2-001", "MIG"),
            ("Q3 x", "Q3", "Q"),
            ("R002 ✅ x", "R002", "R"),
            ("T1 x", "T1", "T"),
            ("P1V1 x", "P1V1", "P"),
            ("AC-1: x", "AC-1", "AC"),
            ("V-P5 x", "V-P5", ""),
            ("G-09.1 x", "G-09.1", "G"),
            ("X-70..X-75 x", "X-70..X-75", "X"),
        ] {
            let found = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((found.id, found.family.unwrap_or_default()), (id, family), "{text}");
        }
    }

    #[test]
    fn prose_is_no_id() {
        for text in [
            "Add 1.2",
            "5 users",
            "3D view",
            "100% pass",
            "Test 3 devices",
            "Step 3 (models) is done",
            "AC#1 (overview): x",
            "JSON output",
            "README.md",
            "",
            "src/a.rs",
            "100MB",
            "-6. x",
            "（Plan#6）x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
