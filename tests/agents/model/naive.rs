//! A model without a thought of its own: a session that is told to carry out a list with `spec`, by a command, a hook or
//! what `spec` itself printed, does just what the last of these texts says, and ends its turn after each step. Its
//! sub-agents read the prompt that they are given and follow the `[[stub:...]]` words in it. So what is tried is whether
//! those texts lead to the end of a list.

use serde_json::Value;

use super::script::{Answer, Due, Script, arguments, call};
use super::talk::{Talk, Turn};

/// How a session behaves, where it is not told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Its sub-agents work behind its back, and it ends its turn meanwhile.
    pub(crate) background: bool,
    /// So often it answers a hook that holds it back with words alone.
    pub(crate) deaf: usize,
    /// This answer of it tells that the context is nearly full; the first is 1.
    pub(crate) full_at: usize,
}

/// What programs call the tool that starts a sub-agent.
const AGENTS: [&str; 4] = ["Agent", "Task", "agent", "task"];

/// The next answer, where somebody is told to run `spec` or to carry out one of its prompts.
pub(super) fn answer(talk: &Talk, manner: Manner, due: &mut dyn FnMut(&str, Due) -> bool) -> Option<Answer> {
    let has_words = |turn: &Turn| matches!(turn, Turn::Said(text) if text.contains("[[stub:"));
    if talk.tools.is_empty() || talk.json.is_some() || talk.turns.iter().any(has_words) {
        return None;
    }
    // A sub-agent, which is told nothing else.
    let told = talk.turns.iter().position(|turn| matches!(turn, Turn::Said(text) if !prompts(text).is_empty()));
    if let Some(at) = told {
        return Some(carry_out(talk, prompts(talk.turns[at].text())[0], &results(&talk.turns[at..]), due));
    }
    if let Some(Turn::Said(text)) = talk.turns.last() {
        if text.contains("summary of the conversation") {
            return Some(Answer::Say("<summary>We carry out a task list.</summary>".to_owned()));
        }
        if text.contains("Stop hook feedback") && due("a hook", Due::Times(manner.deaf)) {
            return Some(Answer::Say("I would rather stop.".to_owned()));
        }
    }
    let (at, command) = talk.turns.iter().enumerate().rev().find_map(|(at, turn)| Some((at, command(turn)?)))?;
    let (text, given) = (talk.turns[at].text(), results(&talk.turns[at + 1..]));
    let prompts = prompts(text);
    if !prompts.is_empty() {
        return Some(step(talk, &prompts, command, &talk.turns[at + 1..], manner, due));
    }
    if let Some(given) = given.last() {
        return Some(Answer::Say(format!("It said: {given}")));
    }
    if matches!(&talk.turns[at], Turn::Result(text) if text.contains("Next: run `")) {
        return Some(Answer::Say("That was this step.".to_owned()));
    }
    Some(call(talk, "shell", command))
}

/// Whether this is a session, and no sub-agent of one.
pub(super) fn is_session(talk: &Talk) -> bool {
    !talk.turns.iter().any(|turn| matches!(turn, Turn::Said(text) if !prompts(text).is_empty()))
}

/// The command that a text says is to be run.
fn command(turn: &Turn) -> Option<&str> {
    let text = turn.text();
    // A list of steps is begun with its first.
    let behind = match text.find("1. Run `spec ") {
        Some(at) => &text[at..],
        None if text.contains("gives the prompts again") => text,
        None => {
            let at = ["un `spec ", "un\n`spec "].iter().filter_map(|words| text.find(words)).min();
            at.map(|at| &text[at..]).or_else(|| text.contains("` says what to do now").then_some(text))?
        }
    };
    let from = behind.find("`spec ")? + 1;
    behind[from..].split('`').next()
}

/// The file and the folder of each prompt in a text.
fn prompts(text: &str) -> Vec<(&str, &str)> {
    let parts = text.lines().filter_map(|line| {
        let (file, folder) = line.trim().split_once(" and carry out the task that it describes, in the folder ")?;
        Some((file.strip_prefix("Read ")?, folder.strip_suffix('.')?))
    });
    parts.collect()
}

fn results(turns: &[Turn]) -> Vec<&str> {
    turns.iter().filter(|turn| matches!(turn, Turn::Result(_))).map(Turn::text).collect()
}

/// A prompt of `spec`, by who is to carry it out.
fn carry_out(talk: &Talk, prompt: (&str, &str), given: &[&str], due: &mut dyn FnMut(&str, Due) -> bool) -> Answer {
    let (file, folder) = prompt;
    let refused = given.first().is_some_and(|text| !text.contains("[[stub:"));
    let given = &given[usize::from(refused)..];
    let Some((words, given)) = given.split_first() else {
        return if refused { call(talk, "shell", &format!("cat {file}")) } else { call(talk, "read", file) };
    };
    let talk = Talk {
        results: given.len(),
        elsewhere: Some(folder.to_owned()),
        folder: talk.folder.clone(),
        tools: talk.tools.clone(),
        model: talk.model.clone(),
        prompt: String::new(),
        json: None,
        turns: Vec::new(),
        ..*talk
    };
    Script::read(words).answer(&talk, due)
}

/// A step: a sub-agent for each prompt, all at once, and then the command that says they have ended. Where the program has
/// no sub-agents, the session does it itself, one after the other.
fn step(
    talk: &Talk,
    prompts: &[(&str, &str)],
    finish: &str,
    since: &[Turn],
    manner: Manner,
    due: &mut dyn FnMut(&str, Due) -> bool,
) -> Answer {
    let tool = AGENTS.iter().find_map(|name| talk.tools.get_key_value(*name));
    let (mut given, mut answers) = (results(since), Vec::new());
    if let Some((name, tool)) = tool {
        if given.is_empty() {
            let start = |(file, folder): &(&str, &str)| {
                let prompt = format!("Read {file} and carry out the task that it describes, in the folder {folder}.");
                let kind = if name == "task" { "general" } else { "general-purpose" };
                let values: [(&[&str], &str); 3] =
                    [(&["prompt"], &prompt), (&["description"], "a task"), (&["subagent_type"], kind)];
                let mut arguments = arguments(tool, &values);
                if !tool.schema["properties"]["run_in_background"].is_null() {
                    arguments["run_in_background"] = Value::Bool(manner.background);
                }
                (name.clone(), arguments)
            };
            return Answer::Calls(prompts.iter().map(start).collect());
        }
        if manner.background {
            // What the tool gave is only that they have begun; that they have ended comes as somebody's words.
            let ended = |turn: &Turn| matches!(turn, Turn::Said(text) if text.contains("<task-notification>"));
            let ends: Vec<&str> = since.iter().filter(|turn| ended(turn)).map(Turn::text).collect();
            if ends.len() < prompts.len() {
                return Answer::Say("They are at work.".to_owned());
            }
            given.splice(..prompts.len(), ends);
        }
        if let Some(said) = given.get(prompts.len()) {
            return Answer::Say(format!("It said: {said}"));
        }
        answers.extend(given.iter().map(|text| (*text).to_owned()));
    } else {
        let mut left = &given[..];
        for prompt in prompts {
            match carry_out(talk, *prompt, left, due) {
                Answer::Say(text) => answers.push(text),
                other => return other,
            }
            let words = left.iter().position(|text| text.contains("[[stub:")).unwrap_or_default();
            left = &left[(words + 1 + Script::read(left[words]).calls()).min(left.len())..];
        }
        if let Some(said) = left.first() {
            return Answer::Say(format!("It said: {said}"));
        }
    }
    call(talk, "shell", &with_failures(finish, &answers))
}

/// The command, with those that did not say they are done as failed.
fn with_failures(finish: &str, answers: &[String]) -> String {
    let mut words: Vec<String> = finish.split(' ').map(str::to_owned).collect();
    let from = words.len().saturating_sub(answers.len());
    for (word, answer) in words[from..].iter_mut().zip(answers) {
        if !answer.contains("TASK_COMPLETE") {
            *word = format!("--failed {word}='it said that it could not'");
        }
    }
    words.join(" ")
}
