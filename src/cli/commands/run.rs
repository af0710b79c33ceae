//! `spec run`: runs a task list.

use std::process::{Command, Stdio};

use super::{held, plan};
use crate::cli::args::{PlanArgs, PlanFormat, RunArgs};
use crate::cli::settings::{self, Color, RunSettings};
use crate::cli::{Error, target, warn};
use crate::document::Document;
use crate::git;
use crate::report::{Output, ReportSettings, Reporters};
use crate::runtime::prepare::{self, Job, RunError};
use crate::runtime::shell::Shell;

/// Does it and gives the exit code.
pub fn run(args: &RunArgs, color: Option<Color>) -> Result<u8, Error> {
    let list = target::load(args.file.as_deref())?;
    let (settings, warnings) = RunSettings::resolve(args, color, &list.path)?;
    for warning in warnings {
        warn(&warning);
    }
    let (planned, diagnostics) = crate::plan::build(&list.document, &settings.plan_options());
    list.refuse_errors(&diagnostics)?;
    let shown = list.path.display().to_string();
    if settings.require_verify {
        refuse_unverified(&list.document, &planned, &shown)?;
    }
    refuse_unrunnable(&list.document, &planned, &settings, &shown)?;
    if args.dry_run {
        let (file, selection) = (args.file.clone(), args.selection.clone());
        return plan::run(&PlanArgs { file, selection, all: false, format: PlanFormat::Human });
    }
    let shell = Shell::find().map_err(Error::usage)?;
    if let Some(command) = &settings.exec {
        refuse_missing_program(command)?;
    }
    let output = match settings.output {
        settings::Output::Human => Output::Human,
        settings::Output::Json => Output::Json,
    };
    let color = match settings.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    let reporters = Reporters::new(&ReportSettings::detect(output, color, settings.verbosity));
    let job = Job { list: list.path, shown, settings, shell, read: Some((list.document, planned)) };
    prepare::run(job, reporters).map_err(|error| explain(&error))
}

/// What a run that did not begin says, and which exit code that is.
fn explain(error: &RunError) -> Error {
    match error {
        RunError::Busy(error) => held::busy(error),
        RunError::Dirty(_) => Error::usage(error).hint(
            "commit or stash them, or run with --allow-dirty: they are then left alone, and never committed or lost",
        ),
        RunError::Git(git::Error::NoIdentity { .. }) => {
            Error::usage(error).hint("or run with --no-commit, and nothing is committed")
        }
        RunError::Sandbox(_) => Error::usage(error).hint(
            "install bubblewrap and allow user namespaces, or run with --sandbox auto, which says that there is none",
        ),
        _ => Error::usage(error),
    }
}

/// Every open task without a Verify command, where that is asked for.
fn refuse_unverified(doc: &Document, planned: &crate::plan::Plan, shown: &str) -> Result<(), Error> {
    let bare = planned.open.iter().copied().filter(|index| doc.items[*index].fields.verify.is_empty());
    let lines: Vec<String> = bare.map(|index| place(doc, index, shown)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format_args!("{} without a Verify command:{}", tasks(lines.len()), lines.concat()))
        .hint("give them a **Verify** with a command, or run without --require-verify"))
}

/// Every open task that nothing can run.
fn refuse_unrunnable(
    doc: &Document,
    planned: &crate::plan::Plan,
    settings: &RunSettings,
    shown: &str,
) -> Result<(), Error> {
    let lines: Vec<String> =
        prepare::unrunnable(doc, planned, settings).into_iter().map(|index| place(doc, index, shown)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let most = lines.iter().take(10).cloned().collect::<String>();
    let more = if lines.len() > 10 { format!("\n  and {} more", lines.len() - 10) } else { String::new() };
    Err(Error::usage(format_args!("{} with neither a Run field nor an executor:{most}{more}", tasks(lines.len())))
        .hint("name a command that carries out tasks with --exec 'CMD' (the prompt comes on its standard input)")
        .hint("or give the tasks a **Run** field with the commands to run"))
}

fn tasks(count: usize) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn place(doc: &Document, index: usize, shown: &str) -> String {
    format!("\n  {shown}:{}: {}", doc.items[index].line, doc.items[index].text)
}

/// A simple command whose program is not there is found before anything starts; what is more is the shell's to find.
fn refuse_missing_program(command: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-+".contains(c);
    let Some(program) = command.split_whitespace().next().filter(|word| word.chars().all(plain)) else {
        return Ok(());
    };
    let mut look = Command::new("sh");
    look.args(["-c", "command -v -- \"$1\"", "sh", program]);
    let found = look.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| !status.success()) {
        return Err(Error::usage(format_args!("--exec: there is no program `{program}` on PATH"))
            .hint("install it, or name it by its path"));
    }
    Ok(())
}
