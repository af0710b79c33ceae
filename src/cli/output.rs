//! The one place from which commands write to standard output, and what they say beside it.

use std::io::{self, Write as _};

use super::Error;
use crate::report::text::wrap;

/// How much JSON is written at once.
const BUFFER: usize = 64 * 1024;

/// Writes text to standard output, without its colours where they are not wanted. A reader that went away (`spec tasks |
/// head`) is no error.
pub fn print(text: &str) -> Result<(), Error> {
    print_on(text).map(|_| ())
}

/// The same for sentences: on a terminal lines are broken between words, and go on further in.
pub fn print_lines(text: &str) -> Result<(), Error> {
    match terminal_size::terminal_size_of(io::stdout()) {
        Some((width, _)) => print(&broken(text, usize::from(width.0))),
        None => print(text),
    }
}

fn broken(text: &str, columns: usize) -> String {
    let lines = text.lines().flat_map(|line| {
        let begins = line.len() - line.trim_start_matches(' ').len();
        wrap(line, columns, begins + 4)
    });
    lines.map(|line| line + "\n").collect()
}

/// The same for those who go on printing: tells whether somebody still reads it.
pub fn print_on(text: &str) -> Result<bool, Error> {
    let mut out = anstream::stdout().lock();
    told(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes a line for people to standard error, beside what programs read. That nobody reads it is no error.
pub fn say(line: &str) {
    writeln!(anstream::stderr().lock(), "{line}").ok();
}

/// Writes bytes to standard output as they are, and tells whether somebody still reads them.
pub fn write_raw(bytes: &[u8]) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    told(out.write_all(bytes).and_then(|()| out.flush()))
}

fn told(written: io::Result<()>) -> Result<bool, Error> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed(format_args!("cannot write to standard output: {error}"))),
    }
}

/// Writes a value as indented JSON and a line end.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    // JSON has no colours that would have to be taken out.
    let mut out = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    told(written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())).map(|_| ())
}

/// How many columns to write for: `COLUMNS`, else those of the terminal, else none too many (a file or a pipe).
#[must_use]
pub fn columns() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&columns| columns > 0);
    asked
        .or_else(|| terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0)))
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_terminal_are_broken_between_words() {
        let text = "run 1 ended\n\n  1.2 CSV writer  failed: `make test`\n\u{1b}[31m  red\u{1b}[0m one\n";
        assert_eq!(
            broken(text, 20),
            "run 1 ended\n\n  1.2 CSV writer\n     failed: `make\n     test`\n\u{1b}[31m  red\u{1b}[0m one\n"
        );
        assert_eq!(broken(text, 200), text);
    }
}
