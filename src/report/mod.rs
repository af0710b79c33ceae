//! What people and programs see of a run. The driver hands over each event in order; standard output carries the
//! signals or JSON events and nothing else, everything for people goes to standard error.
//!
//! Reporters never feed back and never fail a run: a stream that cannot be written to any more goes quiet.

mod machine;
pub mod plain;
pub mod tally;
pub mod text;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};

use crate::store::event::Envelope;

use self::tally::Tally;
use self::text::Paint;

/// What standard output carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Signals.
    #[default]
    Human,
    /// One JSON event a line.
    Json,
}

/// How to report.
#[derive(Debug, Clone, Copy)]
pub struct ReportSettings {
    /// What standard output carries.
    pub output: Output,
    /// Whether to colour what people see; [`ColorChoice::Auto`] asks the stream and the environment (`NO_COLOR`).
    pub color: ColorChoice,
    /// -1 is `-q`, 0 the default, 1 is `-v`, 2 is `-vv`.
    pub verbosity: i8,
    /// Standard error is a terminal that can be drawn on.
    pub is_tty: bool,
    /// Columns to draw in; none asks the terminal each time.
    pub width: Option<usize>,
}

impl ReportSettings {
    /// Settings for the streams this program was started with.
    #[must_use]
    pub fn detect(output: Output, color: ColorChoice, verbosity: i8) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Self { output, color, verbosity, is_tty: io::stderr().is_terminal() && !dumb, width: None }
    }
}

/// A stream that goes quiet once it cannot be written to.
struct Quiet(Option<Box<dyn Write + Send>>);

impl Quiet {
    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if let Some(stream) = &mut self.0
            && write(stream.as_mut()).is_err()
        {
            self.0 = None;
        }
    }
}

/// Everything that reports a run.
pub struct Reporters {
    settings: ReportSettings,
    paint: Paint,
    out: Quiet,
    err: Quiet,
    tally: Tally,
}

impl Reporters {
    /// Reporters on standard output and standard error.
    #[must_use]
    pub fn new(settings: &ReportSettings) -> Self {
        let color = match settings.color {
            ColorChoice::Auto => AutoStream::choice(&io::stderr()),
            chosen => chosen,
        };
        let settings = ReportSettings { color, ..*settings };
        Self::to(settings, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Reporters on streams of the caller's; [`ColorChoice::Auto`] means no colours.
    #[must_use]
    pub fn to(settings: ReportSettings, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        let paint = Paint(matches!(settings.color, ColorChoice::Always | ColorChoice::AlwaysAnsi));
        Self { settings, paint, out: Quiet(Some(out)), err: Quiet(Some(err)), tally: Tally::default() }
    }

    /// Reports the next event.
    pub fn event(&mut self, envelope: &Envelope) {
        self.tally.now = self.tally.at(&envelope.time);
        self.tally.add(envelope);
        match self.settings.output {
            Output::Human => self.out.write(|out| machine::signal(out, &envelope.event)),
            Output::Json => self.out.write(|out| machine::json(out, envelope)),
        }
        if let Some(line) = plain::line(&envelope.event, &self.tally, self.settings.verbosity, self.paint) {
            self.err.write(|err| writeln!(err, "{line}"));
        }
    }

    /// Draws what runs anew; `now` is the time since the run's start. Does nothing without a terminal.
    pub fn tick(&mut self, now: Duration) {
        let _ = now;
    }

    /// Takes the live view away and prints the summary.
    pub fn finish(&mut self) {}
}
