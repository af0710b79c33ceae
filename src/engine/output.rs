//! What an executor prints that means something (section 5 of the contract), read line by line in bounded memory.
//!
//! A signal counts on a line of its own, outside code (fenced or indented by four) and quotes, so that a quoted log or
//! the prompt repeated in a fence says nothing; evidence stands indented in a prompt.

use serde_json::Value;

/// Words in the last paragraph by which an executor takes its success back. Compared without case.
pub const TAKES_BACK: [&str; 12] = [
    "needs human",
    "need human",
    "requires human",
    "manual intervention",
    "manually verify",
    "could not complete",
    "couldn't complete",
    "unable to complete",
    "was not able to complete",
    "not fully implemented",
    "remains incomplete",
    "failed to complete",
];

/// Longest fenced block that is read as JSON.
const MAX_BLOCK: usize = 256 * 1024;
/// Longest last paragraph that is looked at.
const MAX_PARAGRAPH: usize = 16 * 1024;

/// The status of a structured result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `pass`.
    Pass,
    /// `fail`.
    Fail,
    /// `blocked`.
    Blocked,
}

/// What an executor said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A line `TASK_COMPLETE` (or `TASK COMPLETE`) is there.
    pub complete: bool,
    /// The reason behind a line `NO_CHANGE:`.
    pub no_change: Option<String>,
    /// `status` of the last structured result, or what `VERIFICATION_PASS` / `VERIFICATION_FAIL` says.
    pub status: Option<Status>,
    /// `files_modified` and `files_created` of structured results.
    pub files: Vec<String>,
    /// The phrase of [`TAKES_BACK`] found in the last paragraph.
    pub takes_back: Option<String>,
}

impl Report {
    /// Reads a whole text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut scanner = Scanner::default();
        for line in text.lines() {
            scanner.line(line.as_bytes());
        }
        scanner.finish()
    }
}

/// Reads lines as they come.
#[derive(Debug, Default)]
pub struct Scanner {
    report: Report,
    /// The fence that is open: its character, its length, and the text in it while that may still be JSON.
    fence: Option<(u8, usize, Option<String>)>,
    /// The paragraph that is being read, and the last one that ended.
    paragraph: String,
    last: String,
}

impl Scanner {
    /// Takes the next line, without its end.
    pub fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let indented = line.starts_with("    ") || line.starts_with('\t');
        let line = line.trim();
        let mark = line.as_bytes().first().copied().filter(|byte| matches!(byte, b'`' | b'~'));
        let length = mark.map_or(0, |mark| line.bytes().take_while(|byte| *byte == mark).count());
        if let Some((open, width, block)) = &mut self.fence {
            if mark == Some(*open) && length >= *width && line.len() == length {
                let block = block.take();
                self.fence = None;
                self.block(block.as_deref().unwrap_or_default());
            } else if let Some(text) = block {
                if text.len() + line.len() < MAX_BLOCK {
                    text.push_str(line);
                    text.push('\n');
                } else {
                    *block = None;
                }
            }
            return;
        }
        if let (Some(mark), true) = (mark, length >= 3) {
            self.fence = Some((mark, length, Some(String::new())));
        } else if line.is_empty() {
            if !self.paragraph.is_empty() {
                self.last = std::mem::take(&mut self.paragraph);
            }
        } else if !line.starts_with('>') && !indented {
            self.text(line);
        }
    }

    fn text(&mut self, line: &str) {
        if self.paragraph.len() + line.len() < MAX_PARAGRAPH {
            self.paragraph.push_str(line);
            self.paragraph.push('\n');
        }
        let bare = line.trim_matches(|c| matches!(c, '*' | '_' | '#' | ' '));
        let first = bare.split([' ', ':', '\t']).next().unwrap_or_default();
        if first == "TASK_COMPLETE" || bare.starts_with("TASK COMPLETE") {
            self.report.complete = true;
        } else if bare == "VERIFICATION_PASS" {
            self.report.status = Some(Status::Pass);
        } else if first == "VERIFICATION_FAIL" {
            self.report.status = Some(Status::Fail);
        } else if let Some(reason) = bare.strip_prefix("NO_CHANGE:") {
            let reason = reason.trim();
            if !reason.is_empty() {
                self.report.no_change = Some(reason.to_owned());
            }
        }
    }

    /// A fenced block ended: a structured result, or nothing.
    fn block(&mut self, text: &str) {
        let Ok(Value::Object(result)) = serde_json::from_str(text) else { return };
        let status = match result.get("status").and_then(Value::as_str) {
            Some("pass") => Status::Pass,
            Some("fail") => Status::Fail,
            Some("blocked") => Status::Blocked,
            _ => return,
        };
        self.report.status = Some(status);
        for key in ["files_modified", "files_created"] {
            let files = result.get(key).and_then(Value::as_array).into_iter().flatten();
            self.report.files.extend(files.filter_map(Value::as_str).map(str::to_owned));
        }
    }

    /// The end of the output.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let last = if self.paragraph.is_empty() { &self.last } else { &self.paragraph };
        let prose = without_code_and_quotes(last).to_lowercase();
        let phrase = TAKES_BACK.into_iter().find(|phrase| prose.contains(phrase));
        self.report.takes_back = phrase.map(str::to_owned);
        self.report
    }
}

/// The text without code spans and what stands in double quotes.
fn without_code_and_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['`', '"', '\u{201c}']) {
        out.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        let close = match chars.next() {
            Some('\u{201c}') => '\u{201d}',
            Some(open) => open,
            None => return out,
        };
        rest = chars.as_str();
        if let Some(end) = rest.find(close) {
            out.push(' ');
            rest = &rest[end + close.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_is_a_line_of_its_own() {
        assert!(Report::read("work\nTASK_COMPLETE\n").complete);
        assert!(Report::read("TASK_COMPLETE 1.2").complete);
        assert!(Report::read("**TASK_COMPLETE**").complete);
        assert!(Report::read("TASK COMPLETE").complete);
        assert!(Report::read("TASK_COMPLETE: 1.2\r").complete);
        assert!(!Report::read("I will print TASK_COMPLETE when done").complete);
        assert!(!Report::read("\"TASK_COMPLETE\"").complete);
        assert!(!Report::read("`TASK_COMPLETE`").complete);
        assert!(!Report::read("> TASK_COMPLETE").complete, "a quoted log");
        assert!(!Report::read("```\nTASK_COMPLETE\n```").complete, "a code block");
        assert!(!Report::read("It printed:\n\n    TASK_COMPLETE\n\tTASK_COMPLETE\n").complete, "an indented one");
        assert!(!Report::read("~~~~\n```\nTASK_COMPLETE\n~~~\n").complete, "a fence closes by its own kind and length");
        assert!(!Report::read("TASK_COMPLETED_NOT").complete);
    }

    #[test]
    fn structured_results() {
        let text =
            "```json\n{\"status\": \"pass\", \"files_modified\": [\"a.rs\", 3], \"files_created\": [\"b.rs\"]}\n```";
        let report = Report::read(text);
        assert_eq!((report.status, report.files), (Some(Status::Pass), vec!["a.rs".to_owned(), "b.rs".to_owned()]));
        assert_eq!(Report::read("```json\n{\"status\": \"maybe\"}\n```").status, None);
        assert_eq!(Report::read("```json\n{\"status\": \n```").status, None);
        assert_eq!(Report::read("{\"status\": \"fail\"}").status, None, "only in a fence");
        assert_eq!(Report::read("VERIFICATION_PASS").status, Some(Status::Pass));
        assert_eq!(Report::read("VERIFICATION_FAIL: 3 tests").status, Some(Status::Fail));
    }

    #[test]
    fn only_the_last_paragraph_takes_back_and_neither_code_nor_quotes() {
        let took = |text: &str| Report::read(text).takes_back;
        assert_eq!(took("done.\n\nThis Needs Human review.\n"), Some("needs human".to_owned()));
        assert_eq!(took("This needs human review.\n\nNow it is done.\n"), None);
        assert_eq!(took("The test `could not complete` passes now."), None);
        assert_eq!(took("It printed \"could not complete\" before."), None);
        assert_eq!(took("It printed \u{201c}could not complete\u{201d} before."), None);
        assert_eq!(took("> could not complete"), None);
        assert_eq!(took("an open \" quote, could not complete"), Some("could not complete".to_owned()));
        assert_eq!(took("could not complete\n\n\n"), Some("could not complete".to_owned()), "blank lines end nothing");
    }

    #[test]
    fn no_change_wants_a_reason() {
        assert_eq!(Report::read("NO_CHANGE: already there").no_change.as_deref(), Some("already there"));
        assert_eq!(Report::read("NO_CHANGE:  ").no_change, None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut scanner = Scanner::default();
        scanner.line(b"```json");
        for _ in 0..100_000 {
            scanner.line(b"xxxxxxxxxxxxxxxxxxxx");
        }
        scanner.line(b"```");
        for _ in 0..100_000 {
            scanner.line(b"xxxxxxxxxxxxxxxxxxxx");
        }
        assert!(scanner.paragraph.len() <= MAX_PARAGRAPH);
        assert_eq!(scanner.finish(), Report::default());
    }
}
