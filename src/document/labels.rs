//! Field labels: the names of the contract, the dresses they come in.

use std::borrow::Cow;

/// Names and the spellings that mean them, in lower case.
const KNOWN: &[(&str, &[&str])] = &[
    ("Do", &["do"]),
    ("Files", &["files", "file", "文件", "ファイル"]),
    ("Done when", &["done when"]),
    ("Verify", &["verify"]),
    ("Commit", &["commit"]),
    ("Run", &["run"]),
    (
        "Depends",
        &[
            "depends",
            "depends on",
            "dependson",
            "dependencies",
            "dependency",
            "deps",
            "依赖",
            "依賴",
            "依存",
            "依存関係",
        ],
    ),
    ("Agent", &["agent"]),
    ("Model", &["model"]),
    ("Timeout", &["timeout"]),
    ("Uses", &["uses"]),
    ("Dir", &["dir"]),
    ("Quota", &["quota"]),
    ("Retries", &["retries"]),
    ("Requirements", &["requirements", "requirement", "需求", "要件", "요구사항"]),
    ("Design", &["design"]),
    ("Leverage", &["leverage"]),
    ("Purpose", &["purpose"]),
    ("Prompt", &["prompt"]),
    ("Boundary", &["boundary"]),
];

/// How a label is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dress {
    /// `**L**:`, `**L:**`.
    Bold,
    /// `_L: value_`, `*L*: value`.
    Italic,
    /// `L:`.
    Plain,
}

/// A label at the beginning of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label<'a> {
    /// The contract's name, or as written.
    pub name: Cow<'static, str>,
    /// As written.
    pub written: &'a str,
    pub known: bool,
    pub dress: Dress,
    /// Bytes up to the value.
    pub len: usize,
    /// The mark that closes the value (`_` of `_L: value_`).
    pub closed_by: Option<&'static str>,
}

/// Reads the label that a line (indentation and bullet cut) begins with.
pub(super) fn read(line: &str) -> Option<Label<'_>> {
    let (mark, dress) = match line.as_bytes() {
        [b'*', b'*', ..] => ("**", Dress::Bold),
        [b'_', b'_', ..] => ("__", Dress::Bold),
        [b'*', ..] => ("*", Dress::Italic),
        [b'_', ..] => ("_", Dress::Italic),
        _ => ("", Dress::Plain),
    };
    let inside = &line[mark.len()..];
    // A name is short: no need to look far for its end.
    let near = &inside.as_bytes()[..inside.len().min(120)];
    let colon = memchr::memchr2(b':', "：".as_bytes()[0], near)?;
    // Other wide characters begin with the same byte as the wide colon.
    let colon = if near[colon] == b':' { colon } else { inside.find([':', '：']).filter(|&at| at < 120)? };
    let colon_len = inside[colon..].chars().next().map_or(1, char::len_utf8);
    let before = &inside[..colon];
    let (name, mut len, closed_by) = if mark.is_empty() {
        (before, colon + colon_len, None)
    } else if let Some(name) = before.trim_end().strip_suffix(mark) {
        (name, mark.len() + colon + colon_len, None)
    } else {
        let behind = &inside[colon + colon_len..];
        let closes = behind.strip_prefix(mark).is_some();
        let marks = if closes { 2 } else { 1 };
        (before, mark.len() * marks + colon + colon_len, (!closes).then_some(mark))
    };
    // `**L: value**` in bold is a sentence in bold, not a field, unless the name is known.
    let written = name.trim().trim_matches('_');
    if written.is_empty() || written.contains(['*', '`', '[', '|', '<', '\n']) {
        return None;
    }
    let known = known(written);
    let is_field = match dress {
        Dress::Plain => known.is_some(),
        Dress::Bold => known.is_some() || closed_by.is_none(),
        Dress::Italic => known.is_some() || written.chars().count() <= 30,
    };
    if !is_field {
        return None;
    }
    len += line[len..].len() - line[len..].trim_start_matches([' ', '\t']).len();
    let name = known.map_or_else(|| Cow::Owned(written.to_owned()), Cow::Borrowed);
    Some(Label { name, written, known: known.is_some(), dress, len, closed_by })
}

/// The contract's name of a label.
pub(super) fn known(written: &str) -> Option<&'static str> {
    let squeezed: Vec<&str> = if written.contains(' ') { written.split_whitespace().collect() } else { Vec::new() };
    let squeezed = squeezed.join(" ");
    let is = |spelling: &&str| spelling.eq_ignore_ascii_case(if squeezed.is_empty() { written } else { &squeezed });
    KNOWN.iter().find(|(_, spellings)| spellings.iter().any(is)).map(|(name, _)| *name)
}

/// The known name that an unknown one was probably meant to be: one or two letters off.
pub(super) fn nearest(written: &str) -> Option<&'static str> {
    let written = written.to_ascii_lowercase();
    if written.len() < 4 || written.len() > 14 {
        return None;
    }
    let near = |name: &str| distance(&written, &name.to_ascii_lowercase()) <= if name.len() > 6 { 2 } else { 1 };
    KNOWN.iter().map(|(name, _)| *name).filter(|name| name.len() >= 4).find(|name| near(name))
}

/// How many letters were added, dropped, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dress_is_read() {
        for (line, name, rest) in [
            ("**Do**: it", "Do", "it"),
            ("**Do:** it", "Do", "it"),
            ("**Do** : it", "Do", "it"),
            ("__Do__: it", "Do", "it"),
            ("_Requirements: 1.1_", "Requirements", "1.1_"),
            ("*Requirements*: 1.1", "Requirements", "1.1"),
            ("_Requirements:_ 1.1", "Requirements", "1.1"),
            ("Files: a.rs", "Files", "a.rs"),
            ("File: a.rs", "Files", "a.rs"),
            ("**done When**: x", "Done when", "x"),
            ("_需求：1.1_", "Requirements", "1.1_"),
            ("**Depends on**: 2.1", "Depends", "2.1"),
            ("_DependsOn: [1.1]_", "Depends", "[1.1]_"),
            ("**Rollback**: x", "Rollback", "x"),
            ("**Verify**:", "Verify", ""),
            ("**_Leverage**: x", "Leverage", "x"),
        ] {
            let label = read(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((&*label.name, &line[label.len..]), (name, rest), "{line}");
        }
    }

    #[test]
    fn prose_is_no_label() {
        for line in [
            "see: this",
            "Note: x",
            "**Bold words** and text: x",
            "",
            "`Verify`: x",
            "http://x",
            "**Note: all of this**",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_slip_is_noticed() {
        assert_eq!(nearest("Verfy"), Some("Verify"));
        assert_eq!(nearest("Dependecies"), None);
        assert_eq!(nearest("Requirments"), Some("Requirements"));
        assert_eq!(nearest("Rollback"), None);
        assert_eq!(nearest("Note"), None);
    }
}
