//! `spec status`: what runs, what is done, what waits for what.

use crate::cli::Error;
use crate::cli::args::StatusArgs;

/// Does it and gives the exit code.
pub fn run(args: &StatusArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec status is not built yet"))
}
