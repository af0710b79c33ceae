//! Standard output, for programs: the signals, or with `--output json` one public event a line. Nothing else is ever
//! written there.

use std::io::{self, Write};

use crate::store::event::{Envelope, Event};

use super::text::clean;

/// Writes a signal as a block of its own: its name on a line, `key: value` lines below, a blank line.
///
/// Every value is kept to one line, so that nothing that a task says can look like a signal.
pub fn signal(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    let Event::Signal { signal, details } = event else { return Ok(()) };
    let mut block = format!("{}\n", clean(signal));
    for (key, value) in details {
        block.push_str(&format_detail(key, value));
    }
    block.push('\n');
    out.write_all(block.as_bytes())?;
    out.flush()
}

fn format_detail(key: &str, value: &str) -> String {
    format!("{}: {}\n", clean(key), clean(&value.replace(['\r', '\n'], " ")))
}

/// Writes an event as one line of JSON.
pub(super) fn json(out: &mut dyn Write, envelope: &Envelope) -> io::Result<()> {
    let mut line = serde_json::to_vec(envelope).map_err(io::Error::other)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
