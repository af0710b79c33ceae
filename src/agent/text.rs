//! Agents that print plain text: every line of standard output is the agent's word, its end is the end of the process.

use super::reading::{Errors, Pieces};
use super::{Decoder, Said};

/// A reader of plain text.
pub(super) fn decoder() -> Box<dyn Decoder> {
    Box::<Reader>::default()
}

/// See the module.
#[derive(Default)]
struct Reader {
    words: Pieces,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        self.words.push(&String::from_utf8_lossy(line), say);
        self.words.push("\n", say);
    }

    fn stderr(&mut self, line: &[u8], _say: &mut dyn FnMut(Said)) {
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        self.words.end(say);
        self.errors.end(exit, say);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LimitKind, Resets, Session, testing};
    use super::*;

    fn read(lines: &[&str], errors: &[&str], exit: i32) -> Session {
        testing::read(decoder(), lines, errors, exit)
    }

    #[test]
    fn all_lines_are_one_message_and_its_last_paragraph_counts() {
        let mut session = read(&["Did it.", "", "TASK_COMPLETE", "It needs human review."], &[], 0);
        assert_eq!((session.messages, session.last.clone()), (1, None));
        let report = session.report();
        assert!(report.complete);
        assert_eq!(report.takes_back.as_deref(), Some("needs human"));
    }

    #[test]
    fn what_it_says_of_limits_is_no_limit_unless_it_fails_of_one() {
        let words = ["I met `429 Too Many Requests` in the code.", "TASK_COMPLETE"];
        assert_eq!(read(&words, &["warning: usage limit reached soon"], 0).limit, None);
        let session = read(&[], &["error: 429 Too Many Requests, retry after 30 seconds", ""], 1);
        let limit = session.limit.unwrap();
        assert_eq!((limit.kind, limit.resets), (LimitKind::Rate, Some(Resets::In(30))));
    }
}
