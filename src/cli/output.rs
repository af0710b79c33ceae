//! The one place from which commands write to standard output.

use std::io::{self, Write as _};

use super::Error;

/// Writes text to standard output as it is. A reader that went away (`spec tasks | head`) is no error.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::failed(format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON and a line end.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => Err(Error::failed(format_args!("cannot write JSON: {error}"))),
    }
}

/// How many columns to write for: `COLUMNS`, else those of the terminal, else none too many (a file or a pipe).
#[must_use]
pub fn columns() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&columns| columns > 0);
    asked
        .or_else(|| terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0)))
        .unwrap_or(usize::MAX)
}
