//! What several decoders share: words that come in pieces, what a program says on standard error before it fails, small
//! helpers for JSON.

use serde_json::Value;

use super::{Said, limit};
use crate::text::last;

/// Longest text that is kept until it is whole.
const MAX: usize = 256 * 1024;
/// Longest last words of a program.
const LAST_WORDS: usize = 2000;

/// Words that come in pieces, said as one message.
#[derive(Default)]
pub(super) struct Pieces(String);

impl Pieces {
    /// A further piece.
    pub(super) fn push(&mut self, piece: &str, say: &mut dyn FnMut(Said)) {
        self.0.push_str(piece);
        if self.0.len() > MAX {
            // At the end of a paragraph if there is one: the last of them is judged as a whole.
            let at = self.0.rfind("\n\n").or_else(|| self.0.rfind('\n')).map_or(self.0.len(), |at| at + 1);
            let rest = self.0.split_off(at);
            say(Said::Text(std::mem::replace(&mut self.0, rest)));
        }
    }

    /// The message is whole.
    pub(super) fn end(&mut self, say: &mut dyn FnMut(Said)) {
        let text = std::mem::take(&mut self.0);
        if !text.trim().is_empty() {
            say(Said::Text(text));
        }
    }
}

/// The last that a program printed on standard error, which is why it failed if it fails.
#[derive(Default)]
pub(super) struct Errors(String);

impl Errors {
    /// A line of standard error.
    pub(super) fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(line);
        if self.0.len() > 2 * LAST_WORDS {
            let from = self.0.len() - last(&self.0, LAST_WORDS).len();
            self.0.drain(..from);
        }
    }

    /// It ended: where it failed, with what it said last.
    pub(super) fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        if exit == Some(0) || self.0.is_empty() {
            return;
        }
        let words = std::mem::take(&mut self.0);
        if let Some(limit) = limit::told(None, &words) {
            say(Said::Limited(limit));
        }
        say(Said::Final { error: Some(last_line(&words).to_owned()) });
    }
}

/// The last line of a text.
fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or_default()
}

/// Says a text that is there.
pub(super) fn text(value: &Value, say: &mut dyn FnMut(Said), what: impl FnOnce(String) -> Said) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        say(what(text.to_owned()));
    }
}

/// A text, empty where there is none.
pub(super) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A number, 0 where there is none.
pub(super) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The items of a list, none where it is none.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a tool is called with, in a few words.
pub(super) fn detail(input: &Value) -> String {
    ["command", "file_path", "filePath", "path", "pattern", "query", "url", "description"]
        .iter()
        .find_map(|key| input[key].as_str())
        .map(short)
        .unwrap_or_default()
}

/// The beginning of the first line of a text.
pub(super) fn short(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(120).collect()
}

/// A tool and what it is called with.
pub(super) fn call(tool: &str, detail: &str) -> String {
    if detail.is_empty() { tool.to_owned() } else { format!("{tool}({detail})") }
}
