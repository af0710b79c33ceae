//! The command line: arguments as typed become settings as meant; one file a command. The library below never prints;
//! [`output`] and `error` are where the commands do.

pub mod args;
pub mod commands;
pub mod config;
mod error;
pub mod exit;
pub mod output;
pub mod settings;
pub mod target;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser as _;

use crate::runtime::{acp, quota, sandbox};
pub use error::{Error, Kind, warn};

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything else is set up: this is between a task and its program.
    let mut args = std::env::args_os().skip(1);
    let between = match args.next().as_deref().and_then(OsStr::to_str) {
        Some(quota::COMMAND) => Some(quota::exec(args)),
        Some(sandbox::COMMAND) => Some(sandbox::exec(args)),
        Some(acp::COMMAND) => return ExitCode::from(acp::exec(args)),
        _ => None,
    };
    if let Some((code, message)) = between {
        Error::usage(message).print();
        return ExitCode::from(code);
    }
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Also how clap hands over `--help` and `--version`. Nobody reading is no error.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE });
        }
    };
    if let Some(color) = cli.color {
        match color {
            settings::Color::Auto => anstream::ColorChoice::Auto,
            settings::Color::Always => anstream::ColorChoice::Always,
            settings::Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
    log_to_stderr();
    match commands::run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.print();
            ExitCode::from(error.exit_code())
        }
    }
}

/// What the library traces, for those who look into it: `SPEC_LOG=warn` or any other filter of `tracing`.
fn log_to_stderr() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("SPEC_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
