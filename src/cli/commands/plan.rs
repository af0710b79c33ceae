//! `spec plan`: shows what would run, in which order, and why.

use crate::cli::args::PlanArgs;
use crate::cli::settings::RunSettings;
use crate::cli::{Error, target, warn};

/// Does it and gives the exit code.
pub fn run(args: &PlanArgs) -> Result<u8, Error> {
    let list = target::open(args.file.as_deref())?;
    let (_, warnings) = RunSettings::resolve_plan(&args.selection, &list.path)?;
    for warning in &warnings {
        warn(warning);
    }
    Err(Error::usage("spec plan is not built yet"))
}
