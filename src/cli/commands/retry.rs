//! `spec retry`: tries a failed task again.

use crate::cli::Error;
use crate::cli::args::TaskArgs;

/// Does it and gives the exit code.
pub fn run(args: &TaskArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec retry is not built yet"))
}
