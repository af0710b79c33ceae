//! One file a command: `run(args)` does it and gives the exit code.

pub mod cancel;
pub mod check;
pub mod completions;
pub mod history;
pub mod init;
pub mod log;
pub mod pause;
pub mod plan;
pub mod resume;
pub mod retry;
pub mod run;
mod runs;
pub mod show;
pub mod skip;
pub mod status;
pub mod tasks;

use super::Error;
use super::args::{Cli, Command};

/// Does what was asked for and gives the exit code.
pub fn run(cli: &Cli) -> Result<u8, Error> {
    match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Tasks(args) => tasks::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Run(args) => run::run(args, cli.color),
        Command::Status(args) => status::run(args),
        Command::Cancel(args) => cancel::run(args),
        Command::Pause(args) => pause::run(args),
        Command::Resume(args) => resume::run(args),
        Command::Retry(args) => retry::run(args),
        Command::Skip(args) => skip::run(args),
        Command::Log(args) => log::run(args),
        Command::History(args) => history::run(args),
        Command::Show(args) => show::run(args),
        Command::Completions(args) => completions::run(args),
    }
}
