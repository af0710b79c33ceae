//! `spec history`: earlier runs.

use crate::cli::Error;
use crate::cli::args::HistoryArgs;

/// Does it and gives the exit code.
pub fn run(args: &HistoryArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec history is not built yet"))
}
