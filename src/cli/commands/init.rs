//! `spec init`: makes a new spec from the templates.

use crate::cli::Error;
use crate::cli::args::InitArgs;

/// Does it and gives the exit code.
pub fn run(args: &InitArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec init is not built yet"))
}
