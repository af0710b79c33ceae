//! What the model does: the `[[stub:...]]` words of a prompt, in their order. A prompt without any gets a plain
//! `TASK_COMPLETE`.
//!
//! | word | the model |
//! | --- | --- |
//! | `write PATH TEXT` | has the program's own tool write a file, which ends in a line end |
//! | `read PATH`, `edit PATH OLD => NEW` | reads a file, replaces a text in one |
//! | `shell COMMAND` | has it run a command |
//! | `tool NAME {JSON}` | has it use a tool of a server by that name, with these arguments |
//! | `later COMMAND`, `helper COMMAND` | the same in the background; has a sub-agent run it, in the background |
//! | `say TEXT` | ends its turn with this text (`\n` is a line end) instead of `TASK_COMPLETE` |
//! | `status CODE` | fails with that status of HTTP |
//! | `limit SECONDS` | says that the account's limit is used up, and free again in so many seconds |
//! | `cut` | begins a text and breaks off |
//! | `never` | does not answer |
//! | `meet N` | waits here until N prompts have come as far |
//! | `usage IN OUT CACHED` | has every answer report that many tokens (else 1000, 50 and none) |
//!
//! Words that fail may end in `xN`: only so many times.

use std::fmt;

use serde_json::{Map, Value, json};

use super::talk::{Talk, Tool};

/// Input that was not cached, output, and input out of the cache.
pub(crate) type Usage = [u64; 3];

/// What the words of a prompt ask for.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) words: Vec<String>,
    pub(super) usage: Usage,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Say(String),
    /// Tools by name with their arguments, all at once; a tool that takes one text gets it as a string.
    Calls(Vec<(String, Value)>),
    /// A status of HTTP.
    Fail(u16),
    /// The account's limit is used up for so many seconds.
    Limit(u64),
    Cut,
    Never,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say(text) => write!(f, "say {text}"),
            Self::Calls(calls) => calls.iter().try_for_each(|(name, arguments)| write!(f, "call {name} {arguments} ")),
            Self::Fail(status) => write!(f, "status {status}"),
            Self::Limit(seconds) => write!(f, "limit {seconds}"),
            Self::Cut => write!(f, "cut"),
            Self::Never => write!(f, "never"),
        }
    }
}

/// How often, or with whom, a word is followed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Times(usize),
    Meeting(usize),
}

impl Script {
    pub(super) fn read(prompt: &str) -> Self {
        let mut script = Self { words: Vec::new(), usage: [1000, 50, 0] };
        for word in prompt.split("[[stub:").skip(1).filter_map(|rest| Some(rest.split_once("]]")?.0.trim())) {
            if let Some(usage) = word.strip_prefix("usage ") {
                for (figure, text) in script.usage.iter_mut().zip(usage.split_whitespace()) {
                    *figure = text.parse().expect("a number of tokens");
                }
            } else if !script.words.iter().any(|known| known == word) {
                // Evidence of an earlier try may quote them; they count once.
                script.words.push(word.to_owned());
            }
        }
        script
    }

    /// How many tools it calls.
    pub(super) fn calls(&self) -> usize {
        self.words.iter().filter(|word| is_call(word.split(' ').next().unwrap_or_default())).count()
    }

    /// The next answer. `due` tells whether a word that counts is still to be followed.
    pub(super) fn answer(&self, talk: &Talk, due: &mut dyn FnMut(&str, Due) -> bool) -> Answer {
        if let Some(schema) = &talk.json {
            return Answer::Say(smallest(schema).to_string());
        }
        if talk.tools.is_empty() && !talk.listings {
            // A title or a summary that the program asks for beside the work.
            return Answer::Say("Notes".to_owned());
        }
        let mut calls = 0;
        let mut listed = String::new();
        for word in &self.words {
            let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
            if is_call(verb) {
                if talk.listings {
                    listed += &listing(verb, rest);
                    continue;
                }
                calls += 1;
                if calls > talk.results {
                    return call(talk, verb, rest);
                }
                continue;
            }
            if calls < talk.results && verb != "say" {
                continue;
            }
            let (rest, times) = match rest.rsplit_once('x') {
                Some((rest, times)) if !times.is_empty() && verb != "say" => {
                    (rest.trim(), times.parse().expect("a number"))
                }
                _ => (rest, usize::MAX),
            };
            let number = || rest.parse().unwrap_or_else(|_| panic!("a number in [[stub:{word}]]"));
            let answer = match verb {
                "meet" => {
                    due(&self.named(word), Due::Meeting(number() as usize));
                    continue;
                }
                "say" => Answer::Say(listed.clone() + &rest.replace("\\n", "\n")),
                "status" => Answer::Fail(number() as u16),
                "limit" => Answer::Limit(number()),
                "cut" => Answer::Cut,
                "never" => Answer::Never,
                _ => panic!("no such word: [[stub:{word}]]"),
            };
            if due(&self.named(word), Due::Times(times)) {
                return answer;
            }
        }
        Answer::Say(listed + "It is done.\n\nTASK_COMPLETE")
    }

    /// A word of this script, told from the same in another.
    fn named(&self, word: &str) -> String {
        format!("{word} of {:?}", self.words)
    }
}

/// The whole of a file behind its name: of one that is edited that is the new text.
fn listing(verb: &str, rest: &str) -> String {
    let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let text = text.split_once(" => ").map_or(text, |(_, new)| new);
    match verb {
        "write" | "edit" => format!("{path}\n```\n{text}\n```\n\n"),
        _ => String::new(),
    }
}

/// Whether a word has the program use a tool.
fn is_call(verb: &str) -> bool {
    matches!(verb, "write" | "read" | "edit" | "shell" | "later" | "helper" | "tool")
}

/// A call of the tool that the program has for this.
pub(super) fn call(talk: &Talk, verb: &str, rest: &str) -> Answer {
    let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let whole = match talk.elsewhere.as_ref().or(talk.folder.as_ref()) {
        Some(folder) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    };
    let path = if talk.elsewhere.is_some() { &whole } else { path };
    let path_names: &[&str] = &["file_path", "filePath", "absolute_path", "path"];
    let (old, new) = text.split_once(" => ").unwrap_or((text, ""));
    let file = format!("{text}\n");
    let tool = |names: &[&str], values: &[(&[&str], &str)]| {
        let (name, tool) = names.iter().find_map(|name| talk.tools.get_key_value(*name))?;
        Some((name.clone(), arguments(tool, values)))
    };
    let in_patch = |patch: String| {
        let text = format!("*** Begin Patch\n{patch}\n*** End Patch\n");
        talk.tools.get("apply_patch").filter(|tool| tool.text)?;
        Some(("apply_patch".to_owned(), text.into()))
    };
    let shell = |command: &str| {
        let names = ["Bash", "bash", "run_shell_command", "exec_command", "shell_command", "shell"];
        let elsewhere = talk.elsewhere.as_ref().map(|folder| format!("cd '{folder}' && {{ {command}; }}"));
        let command = elsewhere.as_deref().unwrap_or(command);
        let called = tool(&names, &[(&["command", "cmd"], command), (&["description"], "a step")]);
        called.map(|(name, mut arguments)| {
            if name == "exec_command" {
                // Codex would answer for a command that still runs after ten seconds.
                arguments["yield_time_ms"] = json!(600_000);
            }
            (name, arguments)
        })
    };
    let found = match verb {
        // Copilot's does not make folders.
        "write" => tool(
            &["Write", "write_file", "write", if path.contains('/') { "" } else { "create" }],
            &[(path_names, &whole), (&["content", "file_text"], &file)],
        )
        .or_else(|| in_patch(format!("*** Add File: {path}\n+{text}")))
        .or_else(|| shell(&format!("mkdir -p \"$(dirname {path})\" && echo '{text}' > {path}"))),
        "read" => tool(&["Read", "read_file", "read", "view"], &[(path_names, &whole)])
            .or_else(|| shell(&format!("cat {path}"))),
        "edit" => {
            let values: &[(&[&str], &str)] = &[
                (path_names, &whole),
                (&["old_string", "oldString", "old_str"], old),
                (&["new_string", "newString", "new_str"], new),
                (&["instruction"], "a step"),
            ];
            tool(&["Edit", "replace", "edit"], values)
                .or_else(|| in_patch(format!("*** Update File: {path}\n@@\n-{old}\n+{new}")))
                .or_else(|| shell(&format!("sed -i 's|{old}|{new}|' {path}")))
        }
        "tool" => {
            let named = talk.tools.keys().find(|name| name.strip_suffix(path).is_some_and(|rest| rest.ends_with('_')));
            let arguments = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
            named.map(|name| (name.clone(), arguments))
        }
        "helper" => {
            let words = format!("[[stub:shell {rest}]]");
            in_background(tool(&["Task", "Agent"], &[(&["prompt"], &words), (&["description"], "a step")]))
        }
        "later" => in_background(shell(rest)),
        _ => shell(rest),
    };
    match found {
        Some(call) => Answer::Calls(vec![call]),
        None => Answer::Say(format!("there is no tool to {verb} with")),
    }
}

/// The same call in the background.
fn in_background(call: Option<(String, Value)>) -> Option<(String, Value)> {
    call.map(|(name, mut arguments)| {
        arguments["run_in_background"] = json!(true);
        (name, arguments)
    })
}

/// The values where the schema has a place of one of the names, and the least for whatever else it asks for.
pub(super) fn arguments(tool: &Tool, values: &[(&[&str], &str)]) -> Value {
    let known = &tool.schema["properties"];
    let mut arguments = Map::new();
    for (names, value) in values {
        if let Some(name) = names.iter().find(|name| known.get(**name).is_some()) {
            let several = known[*name]["type"] == "array";
            arguments.insert((*name).to_owned(), if several { json!(["bash", "-lc", value]) } else { json!(value) });
        }
    }
    for name in tool.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !arguments.contains_key(name) {
            arguments.insert(name.to_owned(), smallest(&known[name]));
        }
    }
    Value::Object(arguments)
}

/// The least that fits a schema.
fn smallest(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0).or_else(|| schema.get("const")) {
        return first.clone();
    }
    match schema["type"].as_str().unwrap_or("object").to_ascii_lowercase().as_str() {
        "boolean" => json!(false),
        "integer" => json!(1),
        // How sure Gemini CLI's model is that it goes round in circles, among others.
        "number" => json!(0),
        "array" => json!([]),
        "string" => json!("a step"),
        "null" => Value::Null,
        _ => arguments(&Tool { schema: schema.clone(), text: false }, &[]),
    }
}
