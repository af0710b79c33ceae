//! One file a command: `run(args)` does it and gives the exit code.

pub mod agents;
pub mod check;
pub mod completions;
pub mod fmt;
pub mod gc;
mod held;
pub mod history;
pub mod hook;
pub mod init;
pub mod learnings;
pub mod log;
pub mod mcp;
pub mod plan;
pub mod plugin;
pub mod prompt;
pub mod rescue;
pub mod run;
mod runs;
pub mod show;
pub mod status;
pub mod steer;
pub mod step;
pub mod tasks;
pub mod undo;

use super::Error;
use super::args::{Cli, Command};
use crate::runtime::control;

/// Does what was asked for and gives the exit code.
pub fn run(cli: &Cli) -> Result<u8, Error> {
    match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Tasks(args) => tasks::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Run(args) => run::run(args, cli.color),
        Command::Next(args) => step::next(args),
        Command::Finish(args) => step::finish(args),
        Command::Hook(args) => Ok(hook::run(args)),
        Command::Status(args) => status::run(args),
        Command::Cancel(args) => steer::run(args, control::Command::Cancel),
        Command::Pause(args) => steer::run(args, control::Command::Pause),
        Command::Resume(args) => steer::run(args, control::Command::Resume),
        Command::Retry(args) => steer::task(args, control::Command::Retry),
        Command::Skip(args) => steer::task(args, control::Command::Skip),
        Command::Log(args) => log::run(args),
        Command::Prompt(args) => prompt::run(args),
        Command::Learnings(args) => learnings::run(args),
        Command::History(args) => history::run(args),
        Command::Show(args) => show::run(args),
        Command::Rescue(args) => rescue::run(args),
        Command::Undo(args) => undo::run(args),
        Command::Gc(args) => gc::run(args),
        Command::Mcp => mcp::run(),
        Command::Plugin(args) => plugin::run(args),
        Command::Agents(args) => agents::run(args),
        Command::Completions(args) => completions::run(args),
    }
}
