//! The fields of an item: which lines of its body are labels, how far a value goes, and what the values mean.

use super::commands::{self, bullet};
use super::labels::{self, Dress, Label};
use super::quota::Quota;
use super::scan::Scan;
use super::{Diagnostic, Field, Fields, Severity, codes, duration, files};
use std::borrow::Cow;
use std::ops::Range;

/// A field whose value is still being read.
struct Open {
    field: Field,
    /// Column of its first character, bullet included.
    column: usize,
    /// Whether it stands in a bullet.
    bulleted: bool,
    closed_by: Option<&'static str>,
}

/// Reads the fields in the lines of some ranges (each begins at a line's begin) into `fields.all`.
pub(super) fn find(scan: &Scan<'_>, ranges: &[Range<usize>], fields: &mut Fields, diagnostics: &mut Vec<Diagnostic>) {
    for range in ranges {
        let mut open: Option<Open> = None;
        let mut after_blank = false;
        for line in Lines::new(scan, range.clone()) {
            match line {
                Line::Code(end) => {
                    if let Some(open) = &mut open {
                        open.field.value.end = end;
                    }
                    after_blank = false;
                }
                Line::Blank => after_blank = true,
                Line::Text { start, column, text } => {
                    let marker = bullet(text);
                    let label = labels::read(&text[marker..])
                        .filter(|label| starts_field(label, marker, column, open.as_ref()));
                    if let Some(label) = label {
                        close(scan, open.take(), fields);
                        warn_of_slip(&label, start + marker, diagnostics);
                        let value = start + marker + label.len;
                        open = Some(Open {
                            field: Field { name: label.name, value: value..start + text.len() },
                            column,
                            bulleted: marker > 0,
                            closed_by: label.closed_by,
                        });
                    } else if open.as_ref().is_some_and(|open| ends(open, marker > 0, column, after_blank)) {
                        close(scan, open.take(), fields);
                    } else if let Some(open) = &mut open {
                        open.field.value.end = start + text.len();
                    }
                    after_blank = false;
                }
            }
        }
        close(scan, open, fields);
    }
    if fields.all.capacity() > fields.all.len() + 1 {
        fields.all.shrink_to_fit();
    }
}

/// Whether a label begins a field, given the one that is open.
fn starts_field(label: &Label<'_>, marker: usize, column: usize, open: Option<&Open>) -> bool {
    // A plain label in running text is a sentence.
    if label.dress == Dress::Plain && marker == 0 {
        return false;
    }
    match open {
        // Within a value only the dress that is used for nothing else counts.
        Some(open) if column > open.column => label.dress == Dress::Italic && label.known,
        _ => true,
    }
}

/// Whether a line that is no label ends the value that is open.
fn ends(open: &Open, is_bullet: bool, column: usize, after_blank: bool) -> bool {
    if is_bullet {
        return if open.bulleted { column <= open.column } else { column < open.column };
    }
    let outside = if open.bulleted { column <= open.column } else { column < open.column };
    after_blank && outside
}

fn close(scan: &Scan<'_>, open: Option<Open>, fields: &mut Fields) {
    let Some(Open { mut field, closed_by, .. }) = open else { return };
    let text = &scan.text[field.value.clone()];
    let mut trimmed = text.trim_end();
    if let Some(mark) = closed_by {
        trimmed = trimmed.strip_suffix(mark).unwrap_or(trimmed).trim_end();
    }
    field.value.end = field.value.start + trimmed.len();
    if fields.all.is_empty() {
        fields.all.reserve_exact(1);
    }
    fields.all.push(field);
}

fn warn_of_slip(label: &Label<'_>, at: usize, diagnostics: &mut Vec<Diagnostic>) {
    if label.known {
        return;
    }
    if let Some(nearest) = labels::nearest(label.written) {
        diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code: codes::UNKNOWN_FIELD,
            message: format!("there is no field `{}`", label.written),
            span: at..at + label.len,
            help: Some(format!(
                "did you mean `{nearest}`? A field of another name is shown to the executor and no more"
            )),
        });
    }
}

/// A line of a body.
enum Line<'a> {
    Blank,
    /// A line of a code block; where it ends.
    Code(usize),
    Text {
        /// Offset of the first character.
        start: usize,
        /// Its column; a tab goes to the next multiple of four.
        column: usize,
        /// Without blanks around it.
        text: &'a str,
    },
}

/// The lines of a range, those of HTML blocks left out.
struct Lines<'a, 's> {
    scan: &'a Scan<'s>,
    range: Range<usize>,
    line: usize,
    code: usize,
    html: usize,
}

impl<'a, 's> Lines<'a, 's> {
    fn new(scan: &'a Scan<'s>, range: Range<usize>) -> Self {
        let line = scan.line_of(range.start);
        let code = scan.found.code.partition_point(|block| block.range.end <= range.start);
        let html = scan.found.html.partition_point(|block| block.end <= range.start);
        Self { scan, range, line, code, html }
    }
}

impl<'a> Iterator for Lines<'a, '_> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.range.start;
        if start >= self.range.end {
            return None;
        }
        let end = self.scan.line_end(self.line).min(self.range.end);
        self.range.start = end;
        self.line += 1;
        let line = &self.scan.text[start..end];
        let text = line.trim();
        let first = start + line.len() - line.trim_start().len();
        while self.scan.found.code.get(self.code).is_some_and(|block| block.range.end <= start) {
            self.code += 1;
        }
        while self.scan.found.html.get(self.html).is_some_and(|block| block.end <= start) {
            self.html += 1;
        }
        // A block begins behind the indentation of its first line, or behind a bullet, where it is no line of its own.
        if self.scan.found.code.get(self.code).is_some_and(|block| block.range.start <= first) {
            return Some(Line::Code(end));
        }
        if text.is_empty() || self.scan.found.html.get(self.html).is_some_and(|block| block.start <= first) {
            return Some(Line::Blank);
        }
        let column = line[..first - start].chars().fold(0, |at, c| if c == '\t' { at / 4 * 4 + 4 } else { at + 1 });
        Some(Line::Text { start: first, column, text })
    }
}

/// Reads what the known fields of an item mean. Dependencies are resolved later, over the whole list.
pub(super) fn interpret(scan: &Scan<'_>, fields: &mut Fields, diagnostics: &mut Vec<Diagnostic>) {
    let all = std::mem::take(&mut fields.all);
    for field in &all {
        let value = &scan.text[field.value.clone()];
        let mut invalid = |help: String| {
            diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                code: codes::INVALID_VALUE,
                message: format!("the value of {} cannot be read", field.name),
                span: field.value.clone(),
                help: Some(help),
            });
        };
        match &*field.name {
            "Files" => {
                if is_none(value) {
                    fields.files_none = true;
                } else {
                    files::read(value, &mut fields.files);
                }
            }
            "Verify" if !is_none(value) => {
                let found = commands::read(&scan.text, &field.value, &scan.found.code);
                fields.verify_prose |= found.is_empty();
                fields.verify.extend(found);
            }
            "Run" if !is_none(value) => {
                let found = commands::read(&scan.text, &field.value, &scan.found.code);
                if found.is_empty() {
                    diagnostics.push(Diagnostic {
                        severity: Severity::Warning,
                        code: codes::RUN_NOT_EXECUTABLE,
                        message: "Run has no command".to_owned(),
                        span: label_span(scan, field),
                        help: Some(
                            "put the command in backticks or in a fence, at the beginning of the value".to_owned(),
                        ),
                    });
                }
                fields.run.extend(found);
            }
            "Commit" => fields.commit = commit(value),
            "Uses" => fields.uses.extend(words(value)),
            "Requirements" => fields.requirements.extend(words(value)),
            "Agent" => fields.agent = word(value),
            "Model" => fields.model = word(value),
            "Dir" => {
                fields.dir = word(value).map(|dir| dir.trim_end_matches('/').to_owned()).filter(|dir| !dir.is_empty());
            }
            "Timeout" => match word(value).as_deref().map(duration::parse) {
                Some(Ok(time)) => fields.timeout = Some(time.as_secs().max(1)),
                Some(Err(help)) => invalid(help),
                None => {}
            },
            "Quota" if !is_none(value) => match Quota::parse(value) {
                Ok(quota) => fields.quota = Some(quota).filter(|quota| !quota.is_none()),
                Err(help) => invalid(help),
            },
            "Retries" => match word(value).map(|word| word.parse()) {
                Some(Ok(number)) => fields.retries = Some(number),
                Some(Err(_)) => invalid("write a whole number".to_owned()),
                None => {}
            },
            _ => {}
        }
    }
    if fields.verify_prose && !fields.verify.is_empty() {
        fields.verify_prose = false;
    }
    // A hundred thousand tasks have one command and one file each: no room for more is kept.
    fields.files.shrink_to_fit();
    fields.verify.shrink_to_fit();
    fields.run.shrink_to_fit();
    fields.all = all;
}

/// The span of the line that a value begins on, its label included.
pub(super) fn label_span(scan: &Scan<'_>, field: &Field) -> Range<usize> {
    let line = scan.line_of(field.value.start.min(scan.text.len().saturating_sub(1)));
    let start = scan.line_starts[line];
    let text = &scan.text[start..scan.line_end(line)];
    let first = start + text.len() - text.trim_start().len();
    first..(start + text.trim_end().len()).max(first)
}

/// Whether a value says that there is none.
pub(super) fn is_none(value: &str) -> bool {
    let plain = value.trim().trim_matches(['`', '*', '_', '"']);
    let word: &str = plain.split([' ', '(', ',', '.', ';', '（', '\n']).next().unwrap_or_default();
    let nothing = ["none", "n/a", "na", "nothing", "なし", "无", "無", "-", "—", "–"];
    let rest = plain[word.len()..].trim_start();
    let alone = rest.is_empty() || rest.starts_with(['(', '（', '.', ',', ';', '-', '—', '–', '\n']);
    alone && nothing.iter().any(|none| word.eq_ignore_ascii_case(none))
}

/// The first code span of a value, or its first line; quotes and emphasis cut.
fn commit(value: &str) -> Option<String> {
    if is_none(value) {
        return None;
    }
    let value = value.trim();
    let span = value.find('`').and_then(|at| commands::code_span(&value[at..]).map(|span| &value[at..][span.inside]));
    let message = span.unwrap_or_else(|| value.lines().next().unwrap_or_default());
    let message: Cow<'_, str> = if message.contains(['\n', '\r']) {
        message.split_whitespace().collect::<Vec<_>>().join(" ").into()
    } else {
        message.into()
    };
    let message = message.trim().trim_matches('"').trim();
    // An empty code span is no message.
    let is_empty = message.trim_matches('`').trim().is_empty();
    (!is_empty && !is_none(message)).then(|| message.to_owned())
}

/// The members of a comma list.
fn words(value: &str) -> Vec<String> {
    if is_none(value) {
        return Vec::new();
    }
    let parts = value.split([',', ';', '、', '，', '\n']);
    let parts = parts.map(|part| {
        let part = part.trim();
        part[bullet(part)..].trim_matches(|c: char| c.is_whitespace() || "`*_[].".contains(c)).to_owned()
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The first word of a value.
fn word(value: &str) -> Option<String> {
    let word = value.split_whitespace().next()?.trim_matches(['`', '*', '_', '"', ',', ';']);
    (!word.is_empty() && !is_none(word)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_messages_lose_what_stands_behind_them() {
        assert_eq!(commit("`feat(x): y` (if fixes needed)").as_deref(), Some("feat(x): y"));
        assert_eq!(commit("feat: y").as_deref(), Some("feat: y"));
        assert_eq!(commit("\"feat: y\"").as_deref(), Some("feat: y"));
        for none in ["None", "none (tests only)", "N/A", "`None`", "", "-", "``", "` `"] {
            assert_eq!(commit(none), None, "{none}");
        }
    }

    #[test]
    fn none_is_said_in_many_ways() {
        for value in [
            "None",
            "none",
            "N/A",
            "None (verification only)",
            "なし",
            "—",
            "`none`",
            "Nothing.",
            "None - it is a check",
        ] {
            assert!(is_none(value), "{value}");
        }
        for value in ["Nonesuch.rs", "none of them fail", "", "-f", "nothing changes"] {
            assert!(!is_none(value), "{value}");
        }
    }
}
