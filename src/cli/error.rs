//! What a command hands back when it cannot do its work: a kind that gives the exit code, a message, and what to do
//! next. [`Error::print`] is the one place that shows it.

use std::fmt;
use std::io::Write as _;

use super::exit;

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bad usage, input or configuration.
    Usage,
    /// Another run holds the spec.
    Busy,
    /// A conflict needs a person.
    Conflict,
    /// Stopped by a limit.
    Stopped,
    /// The work itself failed (a disk that is full, tasks that failed).
    Failed,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl Error {
    /// An error of that kind. The message is a lower-case sentence: what happened, and where.
    #[must_use]
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hints: Vec::new() }
    }

    /// Bad usage, input or configuration.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The work itself failed.
    #[must_use]
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The same with a line on what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code that goes with the kind.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => exit::USAGE,
            Kind::Busy => exit::BUSY,
            Kind::Conflict => exit::CONFLICT,
            Kind::Stopped => exit::STOPPED,
            Kind::Failed => exit::FAILED,
        }
    }

    /// Shows it on standard error. A standard error nobody reads is no further error.
    pub fn print(&self) {
        anstream::stderr().lock().write_all(self.text().as_bytes()).ok();
    }

    /// What is shown of it, in colours.
    #[must_use]
    pub fn text(&self) -> String {
        let red = painted(owo_colors::Style::new().red().bold(), "error");
        let cyan = painted(owo_colors::Style::new().cyan(), "hint");
        let hints = self.hints.iter().map(|hint| format!("{cyan}: {hint}\n"));
        format!("{red}: {}\n", self.message) + &hints.collect::<String>()
    }
}

/// Shows a warning on standard error.
pub fn warn(message: &str) {
    let yellow = painted(owo_colors::Style::new().yellow().bold(), "warning");
    writeln!(anstream::stderr().lock(), "{yellow}: {message}").ok();
}

/// A word in a style; `anstream` takes the colours out where they are not wanted.
fn painted(style: owo_colors::Style, word: &str) -> String {
    style.style(word).to_string()
}
