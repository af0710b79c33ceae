//! `spec check --watch`: checks again whenever a list changes, beside an editor.
//!
//! It looks at the files a few times a second instead of asking the kernel to be told. Editors replace a file by another
//! one of its name, which a watch on the file itself does not see; network folders tell nobody; and a look is three
//! system calls.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Check, all_human, check, wire};
use crate::cli::args::Format;
use crate::cli::{Error, config, exit, output};

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(150);

/// To the upper left corner, and nothing left of what was drawn. What was scrolled away is the person's own.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Checks lists until a signal ends it, and gives the exit code that goes with the signal. Also ends when nobody reads any
/// more what it prints.
pub(super) fn watch(paths: &[PathBuf], format: Format) -> Result<u8, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format_args!("cannot wait for changes: {error}")))?;
    runtime.block_on(async {
        let listen =
            |kind| signal(kind).map_err(|error| Error::failed(format_args!("cannot listen for signals: {error}")));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let terminal = std::io::stdout().is_terminal();
        // What was drawn, and what it was drawn from; and the look before this one.
        let (mut drawn, mut from, mut last) = (String::new(), None, None);
        loop {
            let now = look(paths, terminal);
            // A file that is being written is looked at once it stays as it is; nothing was drawn yet at the first look.
            let settled = from.is_none() || last.as_ref() == Some(&now);
            if settled && from.as_ref() != Some(&now) {
                let text = draw(paths, format, now.columns)?;
                if text != drawn || from.as_ref().is_some_and(|from| from.columns != now.columns) {
                    let shown = match (terminal, drawn.is_empty()) {
                        (true, _) => format!("{text}\n{}\n", foot(paths)),
                        (false, true) => text.clone(),
                        (false, false) => format!("\n{text}"),
                    };
                    // Past what takes colours out where they are not wanted, which would take this for one.
                    let reads = !terminal || output::write_raw(CLEAR.as_bytes())?;
                    if !(reads && output::print_on(&shown)?) {
                        return Ok(exit::DONE);
                    }
                    drawn = text;
                }
                from = Some(now.clone());
            }
            last = Some(now);
            tokio::select! {
                _ = interrupt.recv() => return Ok(exit::INTERRUPTED),
                _ = terminate.recv() => return Ok(exit::TERMINATED),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    })
}

/// What tells that there may be something else to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    files: Vec<Option<Stamp>>,
    columns: usize,
}

/// What tells that a file is not what it was: its device, node, length and time.
type Stamp = (u64, u64, u64, i64, i64);

fn look(paths: &[PathBuf], terminal: bool) -> Look {
    let stamp = |path: &Path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
    };
    let with_settings = paths.iter().flat_map(|path| [Some(path.clone()), config::find(path)]);
    let files = with_settings.map(|path| stamp(&path?)).collect();
    Look { files, columns: if terminal { output::columns() } else { usize::MAX } }
}

/// All lists, or why they cannot be checked.
fn draw(paths: &[PathBuf], format: Format, columns: usize) -> Result<String, Error> {
    let mut warnings = BTreeSet::new();
    let checked: Result<Vec<_>, Error> = paths.iter().map(|path| check(path, &mut warnings)).collect();
    let warned = warnings.iter().fold(String::new(), |text, warning| text + "warning: " + warning + "\n");
    match (checked, format) {
        (Ok(lists), Format::Human) => Ok(all_human(&lists, columns) + &warned),
        (Ok(lists), Format::Json) => {
            let check = Check { schema: "spec.check/1", lists: lists.iter().map(wire).collect() };
            let text = serde_json::to_string_pretty(&check);
            text.map(|text| text + "\n").map_err(|error| Error::failed(format_args!("cannot write JSON: {error}")))
        }
        // A list that is being moved about is back in a moment.
        (Err(error), Format::Human) => Ok(error.text()),
        (Err(error), Format::Json) => {
            error.print();
            Ok(String::new())
        }
    }
}

fn foot(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("watching {}; Ctrl-C ends it", paths.join(", "))
}
