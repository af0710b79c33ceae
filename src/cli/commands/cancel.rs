//! `spec cancel`: ends the run that is going on.

use crate::cli::Error;
use crate::cli::args::SteerArgs;

/// Does it and gives the exit code.
pub fn run(args: &SteerArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec cancel is not built yet"))
}
