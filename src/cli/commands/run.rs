//! `spec run`: runs a task list, or several as an epic.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{held, plan, runs};
use crate::agent;
use crate::cli::args::{self, PlanArgs, PlanFormat, RunArgs};
use crate::cli::settings::{self, Color, RunSettings};
use crate::cli::{Error, Kind, config, target, warn};
use crate::document::Document;
use crate::git;
use crate::report::{Output, ReportSettings, Reporters};
use crate::runtime::epic::{self, Epic, Member};
use crate::runtime::prepare::{self, Job, RunError};
use crate::runtime::process;
use crate::runtime::shell::Shell;
use crate::store::epic::{EpicFile, Status};
use crate::store::paths::SpecPaths;

/// Does it and gives the exit code.
pub fn run(args: &RunArgs, color: Option<Color>) -> Result<u8, Error> {
    match &args.files[..] {
        [] => one(args, None, color),
        [file] if EpicFile::find(file).is_none() => one(args, Some(file), color),
        files => several(args, files, color),
    }
}

/// Runs one list.
fn one(args: &RunArgs, file: Option<&Path>, color: Option<Color>) -> Result<u8, Error> {
    let (list, settings, planned) = checked(args, file, color)?;
    if args.dry_run {
        return dry_run(args, file);
    }
    if let Some(said) = runs::in_epic(&runs::paths(&list.path)?) {
        warn(&format!("{said}; this run begins it here once more"));
    }
    let shell = Shell::find().map_err(Error::usage)?;
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
    let shown = list.path.display().to_string();
    let read = Some((list.document, planned));
    let (part_of_epic, take_over) = (args.part_of_epic, args.take_over);
    let mut job = Job::new(list.path, shown, settings, shell);
    (job.read, job.part_of_epic, job.take_over) = (read, part_of_epic, take_over);
    prepare::run(job, reporters).map_err(|error| explain(&error))
}

/// Runs several lists, or those of an epic's file, each in a tree of its own.
fn several(args: &RunArgs, files: &[PathBuf], color: Option<Color>) -> Result<u8, Error> {
    let selects = !args.selection.only.is_empty() || args.selection.from.is_some();
    if selects {
        return Err(Error::usage("--only and --from choose tasks of one spec, and there are several")
            .hint("run one spec at a time"));
    }
    if args.take_over {
        return Err(Error::usage("--take-over is about one spec, and there are several")
            .hint("take that one over by itself, or end its run with `spec cancel`"));
    }
    let file = match files {
        [file] => EpicFile::find(file),
        files => {
            if let Some(epic) = files.iter().find_map(|file| EpicFile::find(file)) {
                return Err(Error::usage(format_args!("{}: an epic among other specs", epic.path().display()))
                    .hint("run the epic alone"));
            }
            None
        }
    };
    let mut members = Vec::new();
    match &file {
        Some(file) => {
            let specs = file.specs().map_err(Error::usage)?;
            for spec in &specs {
                let needs = spec.dependencies.iter().filter_map(|name| specs.iter().position(|it| it.name == *name));
                let open = !matches!(spec.status, Status::Completed | Status::Cancelled);
                let list = if open { list_of(file, &spec.name)? } else { None };
                let list = list.map(|list| member_list(args, &list, color)).transpose()?;
                members.push(Member { name: spec.name.clone(), list, needs: needs.collect(), status: spec.status });
            }
        }
        None => {
            for file in files {
                let list = member_list(args, file, color)?;
                let name = SpecPaths::find(&list.0).map_err(Error::usage)?.name();
                members.push(Member { name, list: Some(list), needs: Vec::new(), status: Status::Pending });
            }
        }
    }
    let lists: Vec<&(PathBuf, Box<RunSettings>, Option<PathBuf>)> =
        members.iter().filter_map(|member| member.list.as_ref()).collect();
    if args.dry_run {
        return lists.iter().try_fold(0, |_, (list, ..)| dry_run(args, Some(list)));
    }
    let first = lists.first().map(|(list, settings, _)| (list.clone(), settings.output, settings.verbosity));
    let beside = file.as_ref().map(|file| file.path().to_path_buf());
    let (at, output, verbosity) = first.unwrap_or((beside.unwrap_or_default(), settings::Output::default(), 0));
    let mut options = args.for_one_spec();
    options.extend(color.map(|color| format!("--color={}", args::named(color)).into()));
    let folder = std::path::absolute(&at).map_err(Error::failed)?.parent().map(Path::to_path_buf).unwrap_or_default();
    let (max_specs, branch_per_spec) = (args.max_specs.unwrap_or(2), args.branch_per_spec);
    let epic = Epic { members, file, folder, options, max_specs, branch_per_spec, output, verbosity };
    epic::run(epic).map_err(|error| explain(&error))
}

/// The list of a spec of an epic: beside the folder of epics, or wherever that name is found; none where there is none yet.
fn list_of(file: &EpicFile, name: &str) -> Result<Option<PathBuf>, Error> {
    if name.is_empty() || Path::new(name).components().count() != 1 || name.starts_with('.') {
        return Err(Error::usage(format_args!("{}: `{name}` is no name of a spec", file.path().display())));
    }
    let specs = file.path().parent().map(|epic| epic.join("../.."));
    let beside = specs.map(|specs| specs.join(name).join("tasks.md")).filter(|list| list.is_file());
    Ok(beside.or_else(|| target::find(Some(Path::new(name))).ok().filter(|list| list.is_file())))
}

/// A list of several, checked like the only one.
fn member_list(
    args: &RunArgs,
    file: &Path,
    color: Option<Color>,
) -> Result<(PathBuf, Box<RunSettings>, Option<PathBuf>), Error> {
    let (list, settings, _) = checked(args, Some(file), color)?;
    if settings.no_commit {
        let shown = list.path.display();
        return Err(Error::usage(format_args!(
            "{shown}: a spec of several lands by its commits, and none are to be made"
        ))
        .hint("run one spec at a time, or without no_commit"));
    }
    let config = config::find(&list.path);
    Ok((list.path, Box::new(settings), config))
}

/// Says what would run.
fn dry_run(args: &RunArgs, file: Option<&Path>) -> Result<u8, Error> {
    let (file, selection) = (file.map(Path::to_path_buf), args.selection.clone());
    plan::run(&PlanArgs { file, selection, all: false, format: PlanFormat::Human })
}

/// The list that FILE means, with settings and plan, whoever is to carry it out.
pub(super) fn planned(
    args: &RunArgs,
    file: Option<&Path>,
    color: Option<Color>,
) -> Result<(target::List, RunSettings, crate::plan::Plan), Error> {
    let list = target::load(file)?;
    let (settings, warnings) = RunSettings::resolve(args, color, &list.path)?;
    for warning in warnings {
        warn(&warning);
    }
    let (planned, diagnostics) = crate::plan::build(&list.document, &settings.plan_options());
    list.refuse_errors(&diagnostics)?;
    if settings.require_verify {
        refuse_unverified(&list.document, &planned, &list.path.display().to_string())?;
    }
    Ok((list, settings, planned))
}

/// The same, if there is something to carry it out.
fn checked(
    args: &RunArgs,
    file: Option<&Path>,
    color: Option<Color>,
) -> Result<(target::List, RunSettings, crate::plan::Plan), Error> {
    let (list, mut settings, planned) = planned(args, file, color)?;
    let shown = list.path.display().to_string();
    if !settings.has_executor() && !prepare::unrunnable(&list.document, &planned, &settings).is_empty() {
        settings.agent = find_agent(&settings);
    }
    refuse_unrunnable(&list.document, &planned, &settings, &shown)?;
    if settings.exec.is_none() && !args.dry_run {
        let rules = settings.preferences.rules.iter().filter_map(|rule| rule.agent.as_ref());
        for name in settings.agent.iter().chain(rules).chain(&settings.preferences.fallback) {
            refuse_missing_agent(name, &settings)?;
        }
    }
    if let Some(name) = settings.prepare.agent.as_ref().filter(|_| settings.prepare.enabled && !args.dry_run) {
        refuse_missing_agent(name, &settings)?;
    }
    if let Some(command) = settings.exec.as_ref().filter(|_| !args.dry_run) {
        refuse_missing_program(command)?;
    }
    Ok((list, settings, planned))
}

/// What a run that did not begin says, and which exit code that is.
pub(super) fn explain(error: &RunError) -> Error {
    match error {
        RunError::Busy(error) => held::busy(error),
        RunError::Leased { .. } => Error::new(Kind::Busy, error).hint("take it over with --take-over"),
        RunError::Dirty(_) => Error::usage(error).hint(
            "commit or stash them, or run with --allow-dirty: they are then left alone, and never committed or lost",
        ),
        RunError::NoTrees(_) => Error::usage(error).hint("leave it away, and all tasks work in the one tree"),
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
        .hint("name an agent with --agent NAME (none that spec knows is on PATH; `spec agents` lists them)")
        .hint("or a command that carries out tasks with --exec 'CMD' (the prompt comes on its standard input)")
        .hint("or give the tasks a **Run** field with the commands to run"))
}

/// The first agent that is installed, where none was named.
fn find_agent(settings: &RunSettings) -> Option<String> {
    let mut agents = agent::all(&settings.agents).into_iter();
    let found = agents.find(|agent| agent.programs().iter().any(|program| process::on_path(program).is_some()))?;
    warn(&format!("no executor was named: {} is installed and is used (--agent {})", found.title(), found.name()));
    Some(found.name().to_owned())
}

/// An agent that nobody has described, or that is not there, is found before anything starts.
fn refuse_missing_agent(name: &str, settings: &RunSettings) -> Result<(), Error> {
    let hint = "name another (`spec agents` lists them), or give a command with --exec 'CMD'";
    let Some(agent) = agent::find(name, &settings.agents) else {
        return Err(Error::usage(format_args!("no agent `{name}` is known"))
            .hint(format_args!("describe it as [agents.{name}] in spec.toml, {hint}")));
    };
    let programs = agent.programs();
    if programs.iter().any(|program| process::on_path(program).is_some()) {
        return Ok(());
    }
    let (title, program) = (agent.title(), programs.join("` or `"));
    Err(Error::usage(format_args!("{title} ({name}) is not installed: no `{program}` on PATH"))
        .hint(format_args!("install it, {hint}")))
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
