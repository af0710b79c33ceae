//! `spec tasks`: lists the tasks of a list as they are understood.

use crate::cli::Error;
use crate::cli::args::TasksArgs;

/// Does it and gives the exit code.
pub fn run(args: &TasksArgs) -> Result<u8, Error> {
    let _ = args;
    Err(Error::usage("spec tasks is not built yet"))
}
