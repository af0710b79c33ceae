//! What agents ask `spec` at certain moments of a session (`spec hook stop` and so on): JSON on standard input, an answer in
//! the agent's own form on standard output, or nothing. They look at the lease, the journal and their own record, never
//! at words of a transcript, and what they cannot read lets the agent go on: a hook never traps and never fails.
//!
//! Claude Code, Codex, Qwen and Copilot share one form; Gemini has names of its own.

mod find;
mod input;
mod start;
mod stop;
mod subagent;
mod tool;

pub use input::Input;

/// The moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The agent wants to end its turn.
    Stop,
    /// A session begins, is resumed or was compacted.
    SessionStart,
    /// A session has ended.
    SessionEnd,
    /// A sub-agent has ended.
    SubagentStop,
    /// A tool is about to be used.
    PreTool,
}

/// What is to be printed; nothing lets the agent go on as it would.
#[must_use]
pub fn answer(moment: Moment, input: &[u8]) -> Option<String> {
    let input = Input::read(input)?;
    match moment {
        Moment::Stop => stop::answer(&input),
        Moment::SessionStart => start::answer(&input),
        Moment::SessionEnd => {
            start::left(&input);
            None
        }
        Moment::SubagentStop => {
            subagent::note(&input);
            None
        }
        Moment::PreTool => tool::answer(&input),
    }
}
