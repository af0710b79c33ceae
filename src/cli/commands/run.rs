//! `spec run`: runs a task list.

use crate::cli::Error;
use crate::cli::args::RunArgs;
use crate::cli::settings::Color;

/// Does it and gives the exit code.
pub fn run(args: &RunArgs, color: Option<Color>) -> Result<u8, Error> {
    let _ = (args, color);
    Err(Error::usage("spec run is not built yet"))
}
