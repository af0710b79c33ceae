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

/// What an executor may ask to be put into the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `SPLIT_TASK`: tasks in the place of its own.
    Split,
    /// `ADD_PREREQUISITE`: tasks that are to land before its own.
    Prerequisite,
    /// `ADD_FOLLOWUP`: tasks behind its own, which is done.
    Followup,
}

impl Wanted {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Split, Self::Prerequisite, Self::Followup];

    /// The name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split => "SPLIT_TASK",
            Self::Prerequisite => "ADD_PREREQUISITE",
            Self::Followup => "ADD_FOLLOWUP",
        }
    }
}

/// A `TASK_MODIFICATION_REQUEST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub wanted: Wanted,
    /// `originalTaskId`: the task that it is about, where it is said.
    pub task: Option<String>,
    /// `reasoning`.
    pub reason: String,
    /// `proposedTasks`: each a checkbox item in markdown.
    pub tasks: Vec<String>,
}

impl Request {
    /// Reads the JSON object behind the line; an error says what is wrong with it.
    fn read(text: &str) -> Result<Self, String> {
        let object: Value = serde_json::from_str(text).map_err(|error| format!("its JSON cannot be read: {error}"))?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(|text| text.trim().to_owned());
        let asked = text("type").unwrap_or_default();
        let wanted = Wanted::ALL.into_iter().find(|wanted| wanted.name() == asked);
        let wanted = wanted.ok_or("its `type` is not SPLIT_TASK, ADD_PREREQUISITE or ADD_FOLLOWUP")?;
        let proposed = object.get("proposedTasks").and_then(Value::as_array).into_iter().flatten();
        let tasks: Option<Vec<String>> = proposed.map(|task| task.as_str().map(str::to_owned)).collect();
        let tasks = tasks.filter(|tasks| !tasks.is_empty()).ok_or("its `proposedTasks` is not a list of texts")?;
        Ok(Self { wanted, task: text("originalTaskId"), reason: text("reasoning").unwrap_or_default(), tasks })
    }
}

/// What an executor said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A line `TASK_COMPLETE` (or `TASK COMPLETE`) is there.
    pub complete: bool,
    /// The last of the lines `VERIFICATION_PASS` and `VERIFICATION_FAIL`: whether it was the first.
    pub verification: Option<bool>,
    /// The reason behind a line `NO_CHANGE:`.
    pub no_change: Option<String>,
    /// `status` of the last structured result, or what `VERIFICATION_PASS` / `VERIFICATION_FAIL` says.
    pub status: Option<Status>,
    /// Why it failed or is blocked: `blocker` of that result, else its `test_results`; or the words behind
    /// `VERIFICATION_FAIL`.
    pub blocker: Option<String>,
    /// `notes` of structured results, for those that come after.
    pub notes: Vec<String>,
    /// What the last line `TASK_MODIFICATION_REQUEST` asks for, or why that cannot be read.
    pub request: Option<Result<Request, String>>,
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
    /// A line `TASK_MODIFICATION_REQUEST` is there, and what it asks for is still to come.
    asked: bool,
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
            (self.report.status, self.report.verification) = (Some(Status::Pass), Some(true));
        } else if first == "VERIFICATION_FAIL" {
            (self.report.status, self.report.verification) = (Some(Status::Fail), Some(false));
            self.report.blocker = words(&bare[first.len()..]);
        } else if bare == "TASK_MODIFICATION_REQUEST" {
            self.asked = true;
            self.report.request = Some(Err("no fenced JSON object follows it".to_owned()));
        } else if let Some(reason) = bare.strip_prefix("NO_CHANGE:") {
            let reason = reason.trim();
            if !reason.is_empty() {
                self.report.no_change = Some(reason.to_owned());
            }
        }
    }

    /// A fenced block ended: a request, a structured result, or nothing.
    fn block(&mut self, text: &str) {
        if std::mem::take(&mut self.asked) {
            self.report.request = Some(Request::read(text));
            return;
        }
        let Ok(Value::Object(result)) = serde_json::from_str(text) else { return };
        let status = match result.get("status").and_then(Value::as_str) {
            Some("pass") => Status::Pass,
            Some("fail") => Status::Fail,
            Some("blocked") => Status::Blocked,
            _ => return,
        };
        self.report.status = Some(status);
        let said = |key: &str| result.get(key).and_then(said);
        self.report.blocker = said("blocker").or_else(|| said("test_results"));
        self.report.notes.extend(said("notes"));
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

/// Words behind a signal.
fn words(text: &str) -> Option<String> {
    let text = text.trim_start_matches([':', '-', ' ', '\t']).trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A value of a structured result, as a text; what is empty says nothing.
fn said(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => words(text).filter(|text| !text.eq_ignore_ascii_case("none")),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "))
        }
        Value::Object(fields) if fields.is_empty() => None,
        other => Some(other.to_string()),
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
    fn a_result_says_why_and_what_others_should_know() {
        let read = |json: &str| Report::read(&format!("```json\n{json}\n```"));
        let report =
            read(r#"{"status": "blocked", "blocker": " no key ", "notes": "ask for one", "duration_minutes": 3}"#);
        assert_eq!((report.status, report.blocker.as_deref()), (Some(Status::Blocked), Some("no key")));
        assert_eq!(report.notes, ["ask for one"]);
        let report = read(r#"{"status": "fail", "blocker": null, "test_results": {"failed": 2}, "notes": ["a", "b"]}"#);
        assert_eq!((report.blocker.as_deref(), &report.notes[..]), (Some(r#"{"failed":2}"#), &["a; b".to_owned()][..]));
        let report = read(r#"{"status": "pass", "blocker": "None", "test_results": [], "notes": {}}"#);
        assert_eq!((report.blocker, report.notes), (None, vec![]));
        let report = read(r#"{"status": "fail", "blocker": [1, 2], "test_results": true}"#);
        assert_eq!(report.blocker.as_deref(), Some("[1,2]"));
        let report = Report::read("VERIFICATION_PASS\nVERIFICATION_FAIL: 3 tests\n");
        assert_eq!((report.verification, report.blocker.as_deref()), (Some(false), Some("3 tests")));
        assert_eq!(Report::read("VERIFICATION_PASS").verification, Some(true));
    }

    #[test]
    fn a_request_is_a_line_and_a_fenced_object_behind_it() {
        let json = r#"{"type": "SPLIT_TASK", "originalTaskId": "1.3", "reasoning": "too big",
            "proposedTasks": ["- [ ] 1.3.1 A\n  - **Do**: a"]}"#;
        let report = Report::read(&format!("TASK_MODIFICATION_REQUEST\n\n```json\n{json}\n```\nTASK_COMPLETE"));
        let tasks = vec!["- [ ] 1.3.1 A\n  - **Do**: a".to_owned()];
        let (task, reason) = (Some("1.3".to_owned()), "too big".to_owned());
        assert_eq!(report.request, Some(Ok(Request { wanted: Wanted::Split, task, reason, tasks })));
        assert!(report.complete && report.status.is_none());
        // Quoted, it asks for nothing; without the line the object is nothing.
        assert_eq!(Report::read(&format!("> TASK_MODIFICATION_REQUEST\n```json\n{json}\n```")).request, None);
        let fault = |after: &str| {
            let report = Report::read(&format!("TASK_MODIFICATION_REQUEST\n{after}"));
            report.request.expect("asked").expect_err("not like this")
        };
        assert_eq!(fault("I want more tasks.\n"), "no fenced JSON object follows it");
        assert!(fault("```\n{\n```").starts_with("its JSON cannot be read: "));
        assert!(fault("```\n{\"type\": \"DROP_TASK\"}\n```").starts_with("its `type` is not SPLIT_TASK"));
        for proposed in ["[]", "[1]", "\"- [ ] a\""] {
            let json = format!("```\n{{\"type\": \"ADD_FOLLOWUP\", \"proposedTasks\": {proposed}}}\n```");
            assert_eq!(fault(&json), "its `proposedTasks` is not a list of texts");
        }
        // What comes behind is a result again.
        let both = "TASK_MODIFICATION_REQUEST\n```\n{}\n```\n```json\n{\"status\": \"pass\"}\n```";
        assert_eq!(Report::read(both).status, Some(Status::Pass));
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
