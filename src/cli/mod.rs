//! The command line: arguments as typed become settings as meant; one file a command.
use std::process::ExitCode;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
