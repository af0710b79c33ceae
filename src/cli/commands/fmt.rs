//! `spec fmt`: writes a list in a better way, where that is safe. One mode so far: `--mark-parallel`.

use super::held::{diff, hold_list, rewrite_list};
use crate::cli::args::{FmtArgs, Selection};
use crate::cli::settings::RunSettings;
use crate::cli::{Error, exit, output, target, warn};
use crate::document::apply;
use crate::plan;
use crate::report::text::count;

/// Shows what would change and, if asked to, changes it.
pub fn run(args: &FmtArgs) -> Result<u8, Error> {
    if !args.mark_parallel {
        return Err(Error::usage("it takes a mode to say what is to be done to the list").hint(
            "--mark-parallel shows which tasks could be marked to run at the same time; with --write it marks them",
        ));
    }
    let list = target::load(args.file.as_deref())?;
    let (settings, warnings) = RunSettings::resolve_plan(&Selection::default(), &list.path)?;
    for warning in &warnings {
        warn(warning);
    }
    // A list that could not be run has no order that could be kept.
    let (_, planned) = plan::build(&list.document, &settings.plan_options());
    list.refuse_errors(&planned)?;
    let proposal = plan::propose(&list.document, &settings.plan_options());
    let source = &list.document.source;
    let new = apply(source, &proposal.edits);
    if args.write && !proposal.edits.is_empty() {
        let _lock = hold_list(&list.path)?;
        rewrite_list(&list.path, source, &new)?;
    }
    output::print(&diff(&list.path, source, &new))?;
    let shown = list.path.display();
    let marks = count(proposal.edits.len(), "task", "tasks");
    let groups = count(proposal.groups.len(), "group", "groups");
    output::say(&match (proposal.edits.is_empty(), args.write) {
        (true, _) => format!("{shown}: no further task could be marked"),
        (false, true) => format!("{shown}: marked {marks} in {groups}; see `spec plan`"),
        (false, false) => format!("{shown}: {marks} could be marked, in {groups}; `--write` does it"),
    });
    if proposal.without_files > 0 {
        let tasks = count(proposal.without_files, "task declares", "tasks declare");
        output::say(&format!("{shown}: {tasks} no files; what is not known to be apart is not marked"));
    }
    Ok(exit::DONE)
}
