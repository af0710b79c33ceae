//! `spec hook`: answers a hook of an agent. Whatever happens, the agent goes on.

use std::io::Read as _;

use crate::cli::args::{HookArgs, HookMoment};
use crate::cli::{exit, output};
use crate::hook::{self, Moment};

/// More than this is no hook's input.
const MOST: u64 = 16 * 1024 * 1024;

/// Reads the question and prints the answer, if there is one.
#[must_use]
pub fn run(args: &HookArgs) -> u8 {
    let mut input = Vec::new();
    let moment = match args.moment {
        HookMoment::Stop => Moment::Stop,
        HookMoment::SessionStart => Moment::SessionStart,
        HookMoment::SessionEnd => Moment::SessionEnd,
        HookMoment::SubagentStop => Moment::SubagentStop,
        HookMoment::PreTool => Moment::PreTool,
    };
    if std::io::stdin().take(MOST).read_to_end(&mut input).is_ok()
        && let Some(answer) = hook::answer(moment, &input)
    {
        // Nobody there to read it is no error of a person's.
        output::print(&(answer + "\n")).ok();
    }
    exit::DONE
}
