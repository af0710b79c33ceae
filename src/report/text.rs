//! Text as people may see it: nothing that steers a terminal, cut to a width, durations in words. Pure.

use std::fmt::Display;

use owo_colors::{OwoColorize, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Paints text, or leaves it as it is where colours are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    fn style(self, text: impl Display, style: Style) -> String {
        if self.0 { text.style(style).to_string() } else { text.to_string() }
    }

    /// What went well.
    #[must_use]
    pub fn good(self, text: impl Display) -> String {
        self.style(text, Style::new().green().bold())
    }

    /// What failed.
    #[must_use]
    pub fn bad(self, text: impl Display) -> String {
        self.style(text, Style::new().red().bold())
    }

    /// What deserves a look.
    #[must_use]
    pub fn warn(self, text: impl Display) -> String {
        self.style(text, Style::new().yellow().bold())
    }

    /// Names and headings.
    #[must_use]
    pub fn strong(self, text: impl Display) -> String {
        self.style(text, Style::new().bold())
    }

    /// What is there for whoever looks closer.
    #[must_use]
    pub fn dim(self, text: impl Display) -> String {
        self.style(text, Style::new().dimmed())
    }
}

/// One line of foreign text made harmless: escape sequences, control characters, line ends and characters that reorder
/// text are gone; of a line that rewrote itself with carriage returns the last state is left.
#[must_use]
pub fn clean(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let stripped = anstream::adapter::strip_str(text).to_string();
    let last = stripped.rsplit('\r').next().unwrap_or_default();
    let mut out = String::with_capacity(last.len());
    for c in last.chars() {
        match c {
            '\t' | '\n' | '\u{2028}' | '\u{2029}' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Several lines of foreign text, each made harmless, empty ones at the end dropped.
#[must_use]
pub fn clean_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(clean).collect();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}

/// How many columns it takes.
#[must_use]
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// At most `columns` wide; where something is cut off, its last column is `…`.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Broken at spaces into lines of at most `columns`, those behind the first moved in by `indent`; colours take no room. A
/// word that is wider than a line is left to the terminal.
#[must_use]
pub fn wrap(line: &str, columns: usize, indent: usize) -> Vec<String> {
    let seen = |text: &str| width(&anstream::adapter::strip_str(text).to_string());
    if seen(line) <= columns {
        return vec![line.to_owned()];
    }
    let indent = indent.min(columns / 4);
    let mut lines = Vec::new();
    // What stands in front of the first word is no place to break.
    let start = line.len() - line.trim_start_matches(' ').len();
    let (mut now, mut used, mut first) = (line[..start].to_owned(), start, true);
    for word in line[start..].split(' ') {
        let columns_of_word = seen(word);
        if first {
            first = false;
        } else if used + 1 + columns_of_word > columns {
            lines.push(std::mem::replace(&mut now, " ".repeat(indent)).trim_end().to_owned());
            used = indent;
        } else {
            now.push(' ');
            used += 1;
        }
        now.push_str(word);
        used += columns_of_word;
    }
    lines.push(now);
    lines
}

/// Cut or padded with spaces on the right to exactly `columns`.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    let used = width(&out);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    out
}

/// Time since the start, as a clock shows it: `0:07`, `12:05`, `1:02:03`.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (h, m, s) = (whole / 3600, whole / 60 % 60, whole % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// How long something took: `40ms`, `3.2s`, `2m05s`, `1h02m`.
#[must_use]
pub fn took(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.9995 {
        format!("{:.0}ms", seconds * 1000.0)
    } else if seconds < 59.95 {
        format!("{seconds:.1}s")
    } else {
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{}m{:02}s", whole / 60, whole % 60)
        } else {
            format!("{}h{:02}m", whole / 3600, whole / 60 % 60)
        }
    }
}

/// `1 try`, `2 tries`.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A commit's id as short as people write it.
#[must_use]
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// As much of a run's id as tells it from others: its time, to the millisecond.
#[must_use]
pub fn short_run(run: &str) -> &str {
    run.get(..13).unwrap_or(run)
}

/// A word as a shell takes it.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What names a list behind a command that is to be typed; nothing where every command takes that one without.
#[must_use]
pub fn of_list(file: &str) -> String {
    if file == "tasks.md" { String::new() } else { format!(" {}", word(file)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_drops_what_steers_a_terminal() {
        assert_eq!(clean("\x1b[31mred\x1b[0m \x1b]0;title\x07ok\x08\x00"), "red ok");
        assert_eq!(clean("10%\r50%\r100%\r\n"), "100%");
        assert_eq!(clean("a\tb\nALL_TASKS_COMPLETE"), "a b ALL_TASKS_COMPLETE");
        assert_eq!(clean("\u{202e}evil\u{2066}"), "evil");
        assert_eq!(clean("\u{9b}31mx"), "31mx");
    }

    #[test]
    fn cut_counts_columns_not_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("測試測試", 5), "測試…");
        assert_eq!(cut("測試測試", 6), "測試…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(fit("測", 4), "測  ");
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!([0.0, 59.9, 60.0, 3723.0].map(clock), ["0:00", "0:59", "1:00", "1:02:03"]);
        assert_eq!(
            [0.04, 0.9999, 3.21, 59.96, 125.0, 3720.0].map(took),
            ["40ms", "1.0s", "3.2s", "1m00s", "2m05s", "1h02m"]
        );
        assert_eq!(took(-1.0), "0ms");
    }

    #[test]
    fn commands_can_be_typed_as_they_are_shown() {
        assert_eq!(["a/b-1.md", "my list.md", "it's", ""].map(word), ["a/b-1.md", "'my list.md'", r"'it'\''s'", "''"]);
        assert_eq!(["tasks.md", "specs/x/tasks.md"].map(of_list), ["", " specs/x/tasks.md"]);
    }

    #[test]
    fn wrap_breaks_at_words() {
        assert_eq!(wrap("   0:07 Done 1.2 Write it", 25, 8), ["   0:07 Done 1.2 Write it"]);
        assert_eq!(wrap("   0:07 Done 1.2 Write it", 20, 8), ["   0:07 Done 1.2", "     Write it"]);
        assert_eq!(wrap("  next: mend what it met", 16, 4), ["  next: mend", "    what it met"]);
        assert_eq!(wrap("\x1b[1mbold\x1b[0m and more", 8, 0), ["\x1b[1mbold\x1b[0m and", "more"]);
        assert_eq!(wrap("a/path/that/is/too/wide for it", 10, 0), ["a/path/that/is/too/wide", "for it"]);
    }

    proptest::proptest! {
        #[test]
        fn wrap_loses_nothing_but_spaces(text in "[ a-z]{0,60}", columns in 1_usize..40, indent in 0_usize..10) {
            let bare = |text: &str| text.replace(' ', "");
            let lines = wrap(&text, columns, indent);
            proptest::prop_assert_eq!(bare(&lines.concat()), bare(&text));
            let one_word = |line: &str| !line.trim().contains(' ');
            proptest::prop_assert!(lines.iter().all(|line| width(line) <= columns || one_word(line)), "{lines:?}");
        }

        #[test]
        fn cut_never_exceeds_its_columns(text in "\\PC*", columns in 0usize..50) {
            proptest::prop_assert!(width(&cut(&text, columns)) <= columns);
        }

        #[test]
        fn clean_leaves_no_control_character(text in proptest::prelude::any::<String>()) {
            proptest::prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }
}
