//! `spec log`: what the executor of a task printed.

use crate::cli::Error;
use crate::cli::args::LogArgs;

/// Does it and gives the exit code.
pub fn run(args: &LogArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec log is not built yet"))
}
