//! What people and programs see of a run. The driver hands over each event in order; standard output carries the
//! signals or JSON events and nothing else, everything for people goes to standard error.
//!
//! Reporters never feed back and never fail a run: a stream that cannot be written to any more goes quiet.

pub mod diagnostics;
pub mod live;
mod machine;
pub mod plain;
pub mod step;
pub mod summary;
pub mod tally;
pub mod text;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};

use crate::store::event::{Envelope, Event};

pub use self::machine::signal as write_signal;

use self::live::Screen;
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
    /// Standard output is a terminal, likely the same.
    pub out_is_tty: bool,
    /// Columns to draw in; none asks the terminal each time.
    pub width: Option<usize>,
}

impl ReportSettings {
    /// Settings for the streams this program was started with.
    #[must_use]
    pub fn detect(output: Output, color: ColorChoice, verbosity: i8) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let (is_tty, out_is_tty) = (io::stderr().is_terminal() && !dumb, io::stdout().is_terminal());
        Self { output, color, verbosity, is_tty, out_is_tty, width: None }
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
    /// The live view, where there is one.
    screen: Option<Screen>,
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
        let screen = (settings.is_tty && settings.verbosity >= 0).then(Screen::default);
        Self { settings, paint, out: Quiet(Some(out)), err: Quiet(Some(err)), tally: Tally::default(), screen }
    }

    /// Reports the next event.
    pub fn event(&mut self, envelope: &Envelope) {
        if self.screen.is_none() {
            self.tally.now = self.tally.at(&envelope.time);
        }
        self.tally.add(envelope);
        if let Some(line) = plain::line(&envelope.event, &self.tally, self.settings.verbosity, self.paint) {
            let foreign = matches!(envelope.event, Event::TaskOutput { .. });
            let columns = self.columns().filter(|_| !foreign).unwrap_or(usize::MAX);
            let lines = text::wrap(&line, columns, plain::INDENT);
            match &mut self.screen {
                // The frame says itself what runs.
                Some(_) if matches!(envelope.event, Event::TaskStart { .. }) => {}
                Some(screen) => lines.into_iter().for_each(|line| screen.print(line)),
                None => self.err.write(|err| lines.iter().try_for_each(|line| writeln!(err, "{line}"))),
            }
        }
        let wanted = match self.settings.output {
            Output::Human => matches!(envelope.event, Event::Signal { .. }),
            Output::Json => envelope.event.public(),
        };
        if wanted {
            // Where both streams are the same terminal, the frame makes room for what is printed.
            if self.settings.out_is_tty {
                self.draw(false);
            }
            match self.settings.output {
                Output::Human => self.out.write(|out| machine::signal(out, &envelope.event)),
                Output::Json => self.out.write(|out| machine::json(out, envelope)),
            }
            if self.settings.out_is_tty {
                self.draw(true);
            }
        }
    }

    /// Draws what runs anew; `now` is the time since the run's start. Does nothing without a terminal.
    pub fn tick(&mut self, now: Duration) {
        if self.screen.is_some() {
            self.tally.now = now;
            self.draw(true);
        }
    }

    /// Takes the live view away until it is drawn anew: something else is to have the terminal.
    pub fn clear(&mut self) {
        self.draw(false);
    }

    /// Takes the live view away and prints the summary.
    pub fn finish(&mut self) {
        self.draw(false);
        self.screen = None;
        let lines = if self.settings.verbosity < 0 {
            summary::last_line(&self.tally, self.paint).into_iter().collect()
        } else {
            summary::summary(&self.tally, self.paint)
        };
        let columns = self.columns().unwrap_or(usize::MAX);
        let lines = lines.iter().flat_map(|line| text::wrap(line, columns, summary::INDENT));
        self.err.write(|err| {
            lines.into_iter().try_for_each(|line| writeln!(err, "{line}"))?;
            err.flush()
        });
    }

    /// The width of the terminal that people read; none where they do not.
    fn columns(&self) -> Option<usize> {
        let of_terminal =
            || terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        self.settings.is_tty.then(|| self.settings.width.unwrap_or_else(of_terminal))
    }

    /// Writes the lines that wait, and below them the frame or nothing.
    fn draw(&mut self, frame: bool) {
        let Some(screen) = &mut self.screen else { return };
        if !frame && screen.is_empty() {
            return;
        }
        let size = terminal_size::terminal_size_of(io::stderr());
        let columns = self.settings.width.or(size.map(|(width, _)| usize::from(width.0))).unwrap_or(80);
        // The bar, and a line for how many more there are, want room as well.
        let rows = size.map_or(24, |(_, height)| usize::from(height.0)).saturating_sub(3);
        let frame = if frame { live::render(&self.tally, columns, rows, self.paint) } else { Vec::new() };
        let text = screen.update(&frame, columns);
        self.err.write(|err| {
            err.write_all(text.as_bytes())?;
            err.flush()
        });
    }
}

impl Drop for Reporters {
    /// A run that ends by an error leaves no frame on the terminal.
    fn drop(&mut self) {
        self.draw(false);
    }
}
