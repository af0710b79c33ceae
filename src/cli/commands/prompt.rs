//! `spec prompt`: exactly what the executor of a task would be told, and how long each part of it is.

use std::io::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::runs;
use crate::cli::args::{Format, PromptArgs, Selection};
use crate::cli::settings::RunSettings;
use crate::cli::target::{self, List};
use crate::cli::{Error, exit, output, warn};
use crate::engine::{Code, Failure};
use crate::git::Repo;
use crate::plan;
use crate::prompt::Prompt;
use crate::runtime::brief::{self, Asked, Work};
use crate::runtime::prepare::masker;
use crate::store::event::Event;
use crate::store::paths::SpecPaths;
use crate::store::recovery;

/// What `spec prompt --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptJson {
    /// `spec.prompt/1`.
    pub schema: &'static str,
    /// What the task is called.
    pub task: String,
    /// Which try it is for.
    pub attempt: u32,
    /// What is sent.
    pub prompt: String,
    /// How many bytes that is.
    pub bytes: usize,
    /// About how many tokens.
    pub tokens: usize,
    /// How many it may have.
    pub max_tokens: usize,
    /// How many bytes of its beginning it has in common with the tasks of its group.
    pub shared_bytes: usize,
    /// The size of each part that is there, in the order of the prompt.
    pub parts: Vec<PartSize>,
    /// What was left out for length, in words.
    pub cut: Vec<String>,
}

/// The size of a part.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartSize {
    /// `rules`, `pages`, `task`, `block`, `files`, `checks`, `siblings`, `learnings` or `failure`.
    pub part: &'static str,
    /// Its bytes.
    pub bytes: usize,
    /// About how many tokens.
    pub tokens: usize,
}

/// Prints it.
pub fn run(args: &PromptArgs) -> Result<u8, Error> {
    let list = target::load(args.file.as_deref())?;
    let selection = Selection { mode: args.mode, ..Selection::default() };
    let (settings, warnings) = RunSettings::resolve_plan(&selection, &list.path)?;
    for warning in warnings {
        warn(&warning);
    }
    let (planned, diagnostics) = plan::build(&list.document, &settings.plan_options());
    list.refuse_errors(&diagnostics)?;
    let index = the_task(&list, &args.task)?;
    let paths = runs::paths(&list.path)?;
    let (attempt, failure, gone) = the_try(&list, &paths, index, args.attempt)?;
    let repo = Repo::open(paths.folder()).map_err(Error::usage)?;
    let root = repo.as_ref().map_or_else(|| paths.folder().to_owned(), |repo| repo.root().to_owned());
    let item = &list.document.items[index];
    let label = list.document.label(index);
    let block = list.document.source.get(item.block.clone()).unwrap_or_default();
    let block = String::from_utf8_lossy(block);
    let verify: Vec<String> = item.fields.verify.iter().map(|command| command.script.clone()).collect();
    let work = Work {
        index: Some(index),
        label: &label,
        place: index,
        block: &block,
        verify: &verify,
        files: &item.fields.files,
        dir: item.fields.dir.as_deref(),
        checkpoint: item.is_verify(),
    };
    let (prompt, notices) = brief::prompt(&Asked {
        doc: &list.document,
        plan: &planned,
        paths: &paths,
        root: &root,
        repo: repo.as_ref(),
        settings: &settings,
        mask: &masker(&settings).map_err(Error::usage)?,
        work,
        attempt,
        failure: failure.as_ref(),
        gone,
    });
    for (_, notice) in notices {
        warn(&notice);
    }
    let (bytes, tokens) = prompt.size();
    match args.format {
        Format::Human => {
            output::write_raw(prompt.text().as_bytes())?;
            show_sizes(&prompt, settings.prompt_max_tokens);
        }
        Format::Json => {
            let size =
                |(part, bytes, tokens): (crate::prompt::Part, _, _)| PartSize { part: part.name(), bytes, tokens };
            output::print_json(&PromptJson {
                schema: "spec.prompt/1",
                task: label,
                attempt,
                prompt: prompt.text(),
                bytes,
                tokens,
                max_tokens: settings.prompt_max_tokens,
                shared_bytes: prompt.shared,
                parts: prompt.sizes().into_iter().map(size).collect(),
                cut: prompt.cut,
            })?;
        }
    }
    Ok(exit::DONE)
}

/// The one task that is meant, which must be one that an executor is told of.
fn the_task(list: &List, wanted: &str) -> Result<usize, Error> {
    let doc = &list.document;
    let index = match doc.select(wanted).as_deref() {
        Some([one]) => *one,
        Some(several) => {
            let labels: Vec<String> = several.iter().map(|index| doc.label(*index)).collect();
            return Err(Error::usage(format_args!("'{wanted}' means several tasks: {}", labels.join(" ")))
                .hint("each has a prompt of its own: name one"));
        }
        None => {
            return Err(Error::usage(format_args!("there is no task '{wanted}' in {}", list.path.display()))
                .hint("`spec tasks` lists them"));
        }
    };
    let item = &doc.items[index];
    if !item.fields.run.is_empty() {
        let line = item.line;
        return Err(Error::usage(format_args!(
            "{}:{line}: the shell does task {wanted} by its Run field, nobody is told anything",
            list.path.display()
        )));
    }
    Ok(index)
}

/// The number of the try, and why the one before failed.
fn the_try(
    list: &List,
    paths: &SpecPaths,
    index: usize,
    attempt: Option<u32>,
) -> Result<(u32, Option<Failure>, bool), Error> {
    let key = list.document.key(index);
    let Some(attempt) = attempt else {
        let before = recovery::read(paths).map_err(Error::failed)?.recovered;
        let cut_off = before.last.as_ref().is_some_and(|last| last.outcome.is_none());
        let checked = list.document.items[index].checked;
        let Some(record) = before.tasks.get(&key) else { return Ok((1, None, false)) };
        let (attempt, failure) = brief::next_try(record, checked, cut_off);
        return Ok((attempt, failure, record.gone));
    };
    if attempt == 1 {
        return Ok((1, None, false));
    }
    for run in runs::all(paths)? {
        for record in run?.records.into_iter().rev() {
            if let Event::TaskRetry { task, attempt: failed, code, reason, evidence, .. } = record.event
                && task.key == key
                && failed + 1 == attempt
            {
                let code = Code::from_name(&code).unwrap_or(Code::Crash);
                return Ok((attempt, Some(Failure::new(code, reason).with_evidence(evidence)), false));
            }
        }
    }
    let label = list.document.label(index);
    Err(Error::usage(format_args!("no run has a try {} of {label} that failed and was tried again", attempt - 1))
        .hint("leave --attempt away for the try that would be next"))
}

/// The size of each part on standard error, where nobody takes it for a part of the prompt.
fn show_sizes(prompt: &Prompt, most: usize) {
    let mut err = anstream::stderr().lock();
    let (bytes, tokens) = prompt.size();
    writeln!(err, "{:<10} {:>8} {:>8}", "part", "bytes", "~tokens").ok();
    let parts = prompt.sizes().into_iter().map(|(part, bytes, tokens)| (part.name(), bytes, tokens));
    for (name, bytes, tokens) in parts.chain([("all", bytes, tokens)]) {
        writeln!(err, "{name:<10} {bytes:>8} {tokens:>8}").ok();
    }
    let share = prompt.shared * 100 / bytes.max(1);
    writeln!(
        err,
        "{} bytes ({share}%) come first and are the same for the whole group; at most {most} tokens",
        prompt.shared
    )
    .ok();
    if !prompt.cut.is_empty() {
        writeln!(err, "left out for length: {}", prompt.cut.join(", ")).ok();
    }
}
