//! `spec check`: says what is wrong or doubtful in task lists.

use crate::cli::Error;
use crate::cli::args::CheckArgs;

/// Does it and gives the exit code.
pub fn run(args: &CheckArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec check is not built yet"))
}
