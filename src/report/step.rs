//! What an agent session reads: an [`Answer`] as markdown, with the instruction of what to do now.

use std::fmt::Write as _;

use super::text::{clean, word};
use crate::runtime::session::{Answer, Handed, State, UNNAMED};
use crate::store::event::Event;
use crate::text::last_lines;

/// How much of the evidence of a failed try is shown; all of it is in the prompt of the next one.
const EVIDENCE: usize = 1200;

/// The answer to `spec next`.
#[must_use]
pub fn next(answer: &Answer) -> String {
    let told = match answer.state {
        State::Step => step(answer),
        State::Next => format!("Nothing is handed out. Run `{}`.\n", next_command(answer)),
        State::Paused => "The run is paused by a person: stop here. `spec resume` lets it go on.\n".to_owned(),
        State::Over => over(answer),
        State::Stopped => "The run cannot go on before this is mended. Tell the person.\n".to_owned(),
    };
    happened(answer) + &told
}

/// The answer to `spec finish`.
#[must_use]
pub fn finish(answer: &Answer) -> String {
    let mut text = happened(answer);
    match answer.state {
        State::Over => text += &over(answer),
        State::Paused => text += "The run is paused by a person: stop here. `spec resume` lets it go on.\n",
        State::Stopped => text += "The run cannot go on before this is mended. Tell the person.\n",
        State::Step | State::Next => {
            let (reported, open): (Vec<&Handed>, Vec<&Handed>) = answer.tasks.iter().partition(|it| it.reported);
            if !reported.is_empty() {
                let names = labels(&reported);
                writeln!(text, "Noted: {names}. They work in one tree and are checked together.").ok();
            }
            if open.is_empty() {
                writeln!(text, "Next: run `{}`.", next_command(answer)).ok();
            } else {
                let names = labels(&open);
                writeln!(text, "Still to be done: {names}. When they are, run `{}`.", finish_command(answer)).ok();
            }
        }
    }
    text
}

fn labels(tasks: &[&Handed]) -> String {
    tasks.iter().map(|it| clean(&it.task)).collect::<Vec<_>>().join(", ")
}

/// Signals, then what did not pass, then what people should know.
fn happened(answer: &Answer) -> String {
    let mut out = Vec::new();
    for signal in &answer.signals {
        let event = Event::Signal { signal: signal.signal.clone(), details: signal.details.clone() };
        // A vector takes everything.
        super::write_signal(&mut out, &event).ok();
    }
    let mut text = String::from_utf8_lossy(&out).into_owned();
    for result in &answer.results {
        let task = clean(&result.task);
        let why = |text: &mut String| {
            let (code, reason) = (result.code.as_deref(), result.reason.as_deref());
            writeln!(text, " ({}): {}", clean(code.unwrap_or_default()), clean(reason.unwrap_or_default())).ok();
            for line in last_lines(result.evidence.as_deref().unwrap_or_default(), EVIDENCE).lines() {
                writeln!(text, "    {}", clean(line)).ok();
            }
        };
        match result.state.as_str() {
            "again" => {
                write!(text, "{task} did not pass").ok();
                why(&mut text);
                writeln!(text, "It is handed out again by the next `spec next`.").ok();
            }
            "failed" => {
                write!(text, "{task} failed for good").ok();
                why(&mut text);
            }
            "passed" => {
                writeln!(text, "{task} passed every check; it lands together with the others of its group.").ok();
            }
            "landed" => {}
            state => {
                writeln!(text, "{task}: {state}").ok();
            }
        }
    }
    for notice in &answer.notices {
        writeln!(text, "note: {}", clean(notice)).ok();
    }
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
    text
}

fn over(answer: &Answer) -> String {
    let done = format!("{} of {} tasks are done", answer.done, answer.total);
    match answer.outcome.as_deref() {
        Some("done") => format!("The run is over: {done}. Nothing is left to do.\n"),
        Some("conflict") => format!("The run is over: {done}. A conflict needs a person: stop here and say so.\n"),
        outcome => format!(
            "The run is over ({}): {done}. Stop here and tell the person what failed. `spec next` tries the rest anew.\n",
            clean(outcome.unwrap_or_default())
        ),
    }
}

fn step(answer: &Answer) -> String {
    let open: Vec<&Handed> = answer.tasks.iter().filter(|it| !it.reported).collect();
    let mut text = String::new();
    let number = answer.step.map_or_else(String::new, |number| format!("Step {number} of "));
    let many = if open.len() == 1 { "one task".to_owned() } else { format!("{} tasks at once", open.len()) };
    writeln!(text, "# {number}{}: {many} ({} of {} done)\n", clean(&answer.path), answer.done, answer.total).ok();
    let how = if open.len() == 1 {
        "Start one sub-agent with the prompt below, as it is. When it has ended, run".to_owned()
    } else {
        format!(
            "Start {} sub-agents, all of them in ONE message, so that they work at the same time: one for each of the\n\
             prompts below, as they are. When they have ended, run",
            open.len()
        )
    };
    let id = open.first().map_or_else(String::new, |task| word(&task.task));
    writeln!(
        text,
        "{how}\n`{}`\n\
         or, if it could not do it, the same with `--failed {id}=\"why\"` in place of `{id}`; if nothing had to be changed, with\n\
         `--no-change {id}=\"why\"`. Do not commit and do not tick boxes: spec checks every result itself, commits it and ticks the\n\
         box.\n",
        finish_command(answer)
    )
    .ok();
    if !answer.waiting.is_empty() {
        writeln!(text, "After these, of the same step: {}.\n", clean(&answer.waiting.join(", "))).ok();
    }
    for task in &open {
        let attempt = if task.attempt > 1 { format!(" (attempt {})", task.attempt) } else { String::new() };
        writeln!(text, "## {} {}{attempt}\n", clean(&task.task), clean(&task.title)).ok();
        writeln!(text, "- Folder: {}", task.folder.display()).ok();
        writeln!(text, "- Progress file: {}", task.progress_file.display()).ok();
        for (name, value) in [("Agent", &task.agent), ("Model", &task.model)] {
            if let Some(value) = value {
                writeln!(text, "- {name}: {}", clean(value)).ok();
            }
        }
        // Long prompts are read by whom they are for, and not repeated by the session.
        let prompt = task.prompt_file.as_ref().map_or_else(
            || task.prompt.clone(),
            |file| {
                let (file, folder) = (file.display(), task.folder.display());
                // Gemini CLI's own tools refuse what git ignores.
                format!(
                    "Read {file} and carry out the task that it describes, in the folder {folder}.\n\
                     Where a tool refuses to read it, use `cat`."
                )
            },
        );
        let fence = fence(&prompt);
        writeln!(text, "\n{fence}text\n{}\n{fence}\n", prompt.trim_end()).ok();
    }
    text
}

/// A fence that nothing in the text closes.
fn fence(text: &str) -> String {
    let longest = text.lines().map(|line| line.trim_start().bytes().take_while(|byte| *byte == b'`').count()).max();
    "`".repeat(longest.unwrap_or_default().max(3) + 1)
}

/// The command that gives a session its next step.
#[must_use]
pub fn next_call(list: &str, session: Option<&str>) -> String {
    format!("spec next {}{}", word(list), of(session))
}

/// The command that ends these tasks.
#[must_use]
pub fn finish_call(list: &str, session: Option<&str>, tasks: &[&str]) -> String {
    let mut words = vec![format!("spec finish --file {}{}", word(list), of(session))];
    words.extend(tasks.iter().map(|task| word(task)));
    words.join(" ")
}

fn of(session: Option<&str>) -> String {
    session.filter(|session| *session != UNNAMED).map_or_else(String::new, |it| format!(" --session {}", word(it)))
}

fn next_command(answer: &Answer) -> String {
    next_call(&answer.path, Some(&answer.session))
}

/// The command that ends everything that is handed out.
fn finish_command(answer: &Answer) -> String {
    let open: Vec<&str> = answer.tasks.iter().filter(|it| !it.reported).map(|it| it.task.as_str()).collect();
    finish_call(&answer.path, Some(&answer.session), &open)
}
