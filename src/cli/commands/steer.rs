//! `spec cancel`, `pause`, `resume`, `retry` and `skip`: steer the run that is going on.

use std::path::Path;
use std::time::Duration;

use crate::cli::args::{SteerArgs, TaskArgs};
use crate::cli::{Error, exit, output, target};
use crate::runtime::control::{self, Command, ControlError};
use crate::store::paths::SpecPaths;

/// How long the run may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the run something about itself.
pub fn run(args: &SteerArgs, command: Command) -> Result<u8, Error> {
    ask(args.file.as_deref(), command)
}

/// Asks the run something about one of its tasks.
pub fn task(args: &TaskArgs, command: fn(String) -> Command) -> Result<u8, Error> {
    ask(args.file.as_deref(), command(args.task.clone()))
}

fn ask(file: Option<&Path>, command: Command) -> Result<u8, Error> {
    let list = target::find(file)?;
    let paths = SpecPaths::find(&list).map_err(Error::usage)?;
    let said = control::send(&paths.control(), command, PATIENCE).map_err(|error| match error {
        ControlError::NotRunning => Error::usage(format_args!("{}: {error}", list.display())),
        _ => Error::failed(error),
    })?;
    output::print(&format!("{said}\n"))?;
    Ok(exit::DONE)
}
