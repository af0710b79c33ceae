//! `spec cancel`, `pause`, `resume`, `retry` and `skip`: steer the run that is going on.

use std::path::Path;
use std::time::Duration;

use super::step;
use crate::cli::args::{SteerArgs, TaskArgs};
use crate::cli::{Error, exit, output, target};
use crate::runtime::control::{self, Command, ControlError};
use crate::runtime::session::Ask;
use crate::store::lease;
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
    let leased = lease::load(&paths.lease()).map_err(Error::failed)?;
    let sent = control::send(&paths.control(), command.clone(), PATIENCE);
    if let (Err(ControlError::NotRunning), Some(lease)) = (&sent, leased) {
        // A session has it, and nobody is there to be asked: it is taken up for just that.
        return in_session(&list, &lease.session, command);
    }
    let said = sent.map_err(|error| match error {
        ControlError::NotRunning => Error::usage(format_args!("{}: {error}", list.display())),
        _ => Error::failed(error),
    })?;
    output::print_lines(&format!("{said}\n"))?;
    Ok(exit::DONE)
}

/// Does what is asked in a run that is put down between two calls of a session.
fn in_session(list: &Path, session: &str, command: Command) -> Result<u8, Error> {
    let ask = if command == Command::Cancel { Ask::Cancel } else { Ask::Steer(command) };
    let answer = step::call(Some(list), Some(session), false, false, ask)?;
    if let Some(why) = answer.refused {
        return Err(Error::failed(why));
    }
    output::print_lines(&(answer.notices.join("\n") + "\n"))?;
    Ok(exit::DONE)
}
