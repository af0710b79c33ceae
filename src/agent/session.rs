//! What one start of an agent comes to: everything it [`Said`] added up, in bounded memory.

use std::collections::{BTreeSet, VecDeque};

use super::{Cumulative, Limit, Said, Tokens};
use crate::engine::output::{Report, Scanner};

/// How many refused tools are kept.
const DENIED_MAX: usize = 20;
/// How many of its last lines are kept, and how long each may be, in characters.
const TAIL_LINES: usize = 40;
const LINE_MAX: usize = 400;

/// What is known of one start of an agent.
#[derive(Debug, Default)]
pub struct Session {
    /// Its id, to go on with.
    pub id: Option<String>,
    /// The model that worked, or was asked for as long as the agent does not say.
    pub model: Option<String>,
    /// Messages of the agent.
    pub messages: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// What it used, where it says so.
    pub tokens: Option<Tokens>,
    /// Money, where it says so.
    pub cost: Option<f64>,
    /// Tools that it was not allowed to use.
    pub denied: Vec<String>,
    /// The limit that it met and did not get past.
    pub limit: Option<Limit>,
    /// Its last message.
    pub answer: String,
    /// Its last word: none before there was one, then what went wrong, if something did.
    pub last: Option<Option<String>>,
    /// What the service answered last when it had to try again.
    pub retrying: Option<String>,
    /// The last of what it said and did, by lines, for people and as evidence.
    pub tail: VecDeque<String>,
    /// Tools that run now.
    running: BTreeSet<String>,
    /// Helpers and commands that work in the background now.
    helpers: usize,
    scanner: Scanner,
}

/// What a process that runs an agent is to know at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Tools run now, or none do any more.
    Busy(bool),
    /// Its result is out.
    Final,
}

impl Session {
    /// One of which nothing is known but the model that was asked for.
    #[must_use]
    pub fn new(model: Option<String>) -> Self {
        Self { model, ..Self::default() }
    }

    /// Takes what it said.
    pub fn take(&mut self, said: Said) -> Option<Note> {
        let was_busy = self.is_busy();
        for line in said.lines() {
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(line.chars().take(LINE_MAX).collect());
        }
        match said {
            Said::Session(id) => self.id = Some(id),
            Said::Model(model) => self.model = Some(model),
            Said::Text(text) => {
                self.messages += 1;
                // It came through: what stood in its way before does not any more.
                (self.retrying, self.limit) = (None, None);
                for line in text.lines() {
                    self.scanner.line(line.as_bytes());
                }
                // A message ends a paragraph.
                self.scanner.line(b"");
                self.answer = text;
            }
            Said::ToolBegins { id, .. } => {
                self.tool_calls += 1;
                (self.retrying, self.limit) = (None, None);
                self.running.insert(id);
            }
            Said::ToolEnds { id } => {
                self.running.remove(&id);
            }
            Said::Helpers(helpers) => self.helpers = helpers,
            Said::Used { tokens, cost } => {
                *self.tokens.get_or_insert_default() += tokens;
                if let Some(cost) = cost {
                    *self.cost.get_or_insert_default() += cost;
                }
            }
            Said::UsedInAll { tokens, cost } => {
                self.tokens = Some(tokens);
                self.cost = cost.or(self.cost);
            }
            Said::Denied { tool } => {
                if self.denied.len() < DENIED_MAX && !self.denied.contains(&tool) {
                    self.denied.push(tool);
                }
            }
            Said::Retrying { error, .. } => self.retrying = Some(error),
            Said::Limited(limit) => self.limit = Some(limit),
            Said::Final { error } => {
                self.last = Some(error);
                return Some(Note::Final);
            }
        }
        let busy = self.is_busy();
        (busy != was_busy).then_some(Note::Busy(busy))
    }

    /// Whether something works that says nothing meanwhile.
    fn is_busy(&self) -> bool {
        !self.running.is_empty() || self.helpers > 0
    }

    /// The last of what it said and did, as a text.
    #[must_use]
    pub fn said(&self) -> String {
        self.tail.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Whether it came to its end and nothing was wrong.
    #[must_use]
    pub fn ended_well(&self) -> bool {
        self.last == Some(None)
    }

    /// What its words mean.
    pub fn report(&mut self) -> Report {
        std::mem::take(&mut self.scanner).finish()
    }

    /// Tokens and money of this start only: where the agent counts the whole of a session that it resumed, without what
    /// that had used `before`.
    #[must_use]
    pub fn since(&self, before: Option<&(Used, Cumulative)>) -> (Option<Tokens>, Option<f64>) {
        let (mut tokens, mut cost) = (self.tokens, self.cost);
        if let Some((before, counts)) = before {
            if counts.tokens {
                tokens = tokens.map(|tokens| tokens.since(&before.tokens));
            }
            if counts.cost {
                cost = cost.map(|cost| (cost - before.cost).max(0.0));
            }
        }
        (tokens, cost)
    }
}

/// What a session had used before it was resumed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Tokens.
    pub tokens: Tokens,
    /// Money in US dollars.
    pub cost: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(id: &str) -> Said {
        Said::ToolBegins { id: id.to_owned(), name: "Bash".to_owned(), detail: String::new() }
    }

    #[test]
    fn it_is_busy_while_any_tool_runs() {
        let mut session = Session::default();
        assert_eq!(session.take(tool("a")), Some(Note::Busy(true)));
        assert_eq!(session.take(tool("b")), None);
        assert_eq!(session.take(Said::ToolEnds { id: "a".to_owned() }), None);
        assert_eq!(session.take(Said::ToolEnds { id: "b".to_owned() }), Some(Note::Busy(false)));
        assert_eq!(session.take(tool("c")), Some(Note::Busy(true)));
        assert_eq!(session.take(Said::Final { error: None }), Some(Note::Final));
        assert_eq!(session.take(tool("d")), None, "what it left running still does");
        assert_eq!(session.tool_calls, 4);
    }

    #[test]
    fn it_is_busy_while_a_helper_works_in_the_background() {
        let mut session = Session::default();
        session.take(tool("a"));
        assert_eq!(session.take(Said::Helpers(2)), None);
        assert_eq!(session.take(Said::ToolEnds { id: "a".to_owned() }), None, "they go on");
        assert_eq!(session.take(Said::Helpers(1)), None);
        assert_eq!(session.take(Said::Helpers(0)), Some(Note::Busy(false)));
        assert_eq!(session.tool_calls, 1);
    }

    #[test]
    fn a_limit_that_was_got_past_is_none() {
        let mut session = Session::default();
        let limit = Limit { kind: super::super::LimitKind::Rate, resets: None, message: "429".to_owned() };
        session.take(Said::Limited(limit.clone()));
        session.take(Said::Text("on with it".to_owned()));
        assert_eq!(session.limit, None);
        session.take(Said::Limited(limit));
        session.take(Said::Final { error: Some("429".to_owned()) });
        assert!(session.limit.is_some());
    }

    #[test]
    fn what_a_resumed_session_had_used_before_is_not_counted_again() {
        let mut session = Session::default();
        let tokens = Tokens { input: 30, output: 5, ..Tokens::default() };
        session.take(Said::UsedInAll { tokens, cost: Some(0.03) });
        let before = Used { tokens: Tokens { input: 10, output: 1, ..Tokens::default() }, cost: 0.01 };
        let (all, cost) = session.since(Some(&(before, Cumulative { cost: true, tokens: false })));
        assert_eq!(all, Some(tokens));
        assert!((cost.unwrap() - 0.02).abs() < 1e-9);
        let (since, cost) = session.since(Some(&(before, Cumulative { cost: false, tokens: true })));
        assert_eq!((since, cost), (Some(Tokens { input: 20, output: 4, ..Tokens::default() }), Some(0.03)));
        assert_eq!(session.since(None), (Some(tokens), Some(0.03)));
    }
}
