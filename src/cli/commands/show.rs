//! `spec show`: one earlier run.

use crate::cli::Error;
use crate::cli::args::ShowArgs;

/// Does it and gives the exit code.
pub fn run(args: &ShowArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec show is not built yet"))
}
