//! `spec next` and `spec finish`: the two calls of an agent session whose sub-agents carry a list out.

use std::path::Path;

use super::run;
use crate::cli::args::{FinishArgs, NextArgs, RunArgs, StepFormat, StepOptions};
use crate::cli::{Error, output};
use crate::report::step;
use crate::runtime::session::{self, Answer, Ask, Call, Report};

/// Says what is to be done now.
pub fn next(args: &NextArgs) -> Result<u8, Error> {
    let answer = asked(args.file.as_deref(), &args.options, args.allow_dirty, Ask::Next)?;
    show(&answer, args.options.format, step::next)
}

/// Takes what a session says is over through the gates.
pub fn finish(args: &FinishArgs) -> Result<u8, Error> {
    let done = args.tasks.iter().map(|task| Report { task: task.clone(), failed: None, no_change: None });
    let mut reports: Vec<Report> = done.collect();
    for said in &args.failed {
        let (task, why) = reason("--failed", said)?;
        reports.push(Report { task, failed: Some(why), no_change: None });
    }
    for said in &args.no_change {
        let (task, why) = reason("--no-change", said)?;
        reports.push(Report { task, failed: None, no_change: Some(why) });
    }
    if reports.is_empty() {
        return Err(
            Error::usage("which tasks are over?").hint("`spec finish 1.2 1.3`; `spec next` says what is to be done")
        );
    }
    let answer = asked(args.file.as_deref(), &args.options, false, Ask::Finish(reports))?;
    show(&answer, args.options.format, step::finish)
}

/// `ID=REASON`.
fn reason(option: &str, said: &str) -> Result<(String, String), Error> {
    match said.split_once('=') {
        Some((task, why)) if !task.trim().is_empty() && !why.trim().is_empty() => {
            Ok((task.trim().to_owned(), why.trim().to_owned()))
        }
        _ => Err(Error::usage(format_args!("{option} {said}: a task and a reason are needed"))
            .hint(format_args!("{option} 1.2=\"the reason\""))),
    }
}

/// A call of a session about the list that FILE means, with the settings that a run would have.
pub fn call(
    file: Option<&Path>,
    session: Option<&str>,
    take_over: bool,
    allow_dirty: bool,
    ask: Ask,
) -> Result<Answer, Error> {
    let args = RunArgs { allow_dirty: allow_dirty.then_some(true), ..RunArgs::default() };
    let (list, settings, planned) = run::planned(&args, file, None)?;
    let shown = list.path.display().to_string();
    let (read, session) = (Some((list.document, planned)), session::name(session));
    let call = Call { list: list.path, shown, settings, read, session, take_over, ask };
    session::call(call).map_err(|error| run::explain(&error))
}

fn asked(file: Option<&Path>, options: &StepOptions, allow_dirty: bool, ask: Ask) -> Result<Answer, Error> {
    call(file, options.session.as_deref(), options.take_over, allow_dirty, ask)
}

fn show(answer: &Answer, format: StepFormat, text: fn(&Answer) -> String) -> Result<u8, Error> {
    match format {
        StepFormat::Json => output::print_json(answer)?,
        StepFormat::Md => output::print(&text(answer))?,
    }
    Ok(answer.exit)
}
