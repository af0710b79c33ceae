//! What an agent program asks, out of the request's body in any of the four protocols.

use std::collections::BTreeMap;

use serde_json::Value;

/// The protocols, by who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Anthropic's Messages.
    Messages,
    /// `OpenAI`'s Responses.
    Responses,
    /// `OpenAI`'s chat completions, which many services speak.
    Chat,
    /// Gemini's `generateContent`.
    Gemini,
}

/// A tool that the program offers.
#[derive(Debug, Clone, Default)]
pub(super) struct Tool {
    /// The JSON schema of its arguments.
    pub(super) schema: Value,
    /// Its argument is one text instead.
    pub(super) text: bool,
}

/// A conversation that waits for the model's next word.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) protocol: Protocol,
    pub(super) model: String,
    pub(super) stream: bool,
    /// Only the number of tokens is asked for.
    pub(super) counts_tokens: bool,
    /// The last text of the person with words for this server, or the first one.
    pub(super) prompt: String,
    /// Results of tools before it: it goes on with a session.
    pub(super) before: usize,
    /// Results of tools since the prompt.
    pub(super) results: usize,
    pub(super) tools: BTreeMap<String, Tool>,
    /// The schema of the JSON that is asked for instead of text.
    pub(super) json: Option<Value>,
    /// It has no tools: files are what stands behind their names in the answer, as a whole (aider).
    pub(super) listings: bool,
    /// The folder that the program says it works in.
    pub(super) folder: Option<String>,
    /// Another folder that the task says it is to be worked on in.
    pub(super) elsewhere: Option<String>,
    /// All of it, in order.
    pub(super) turns: Vec<Turn>,
}

/// What stands in a conversation, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// By a person, a hook or the program.
    Said(String),
    /// What a tool gave.
    Result(String),
}

impl Turn {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Said(text) | Self::Result(text) => text,
        }
    }
}

impl Talk {
    /// Reads a request; nothing where the path is no protocol's.
    pub(super) fn read(path: &str, body: &Value) -> Option<Self> {
        let (protocol, counts_tokens) = match path.rsplit_once('/')?.1 {
            "messages" => (Protocol::Messages, false),
            "count_tokens" => (Protocol::Messages, true),
            "responses" => (Protocol::Responses, false),
            "completions" => (Protocol::Chat, false),
            action if action.ends_with("enerateContent") => (Protocol::Gemini, false),
            action if action.ends_with(":countTokens") => (Protocol::Gemini, true),
            _ => return None,
        };
        let (turns, tools, json) = match protocol {
            Protocol::Messages => (messages(body), flat_tools(body, "input_schema"), &body["output_config"]["format"]),
            Protocol::Responses => (responses(body), flat_tools(body, "parameters"), &body["text"]["format"]),
            Protocol::Chat => (chat(body), chat_tools(body), &body["response_format"]),
            Protocol::Gemini => (gemini(body), gemini_tools(body), &body["generationConfig"]),
        };
        let last = turns.iter().rposition(|turn| matches!(turn, Turn::Said(text) if text.contains("[[stub:")));
        let at = last.or_else(|| turns.iter().position(|turn| matches!(turn, Turn::Said(_))));
        let since = at.map_or(&turns[..], |at| &turns[at..]);
        let prompt = match since.first() {
            Some(Turn::Said(text)) => text.clone(),
            _ => String::new(),
        };
        let in_path = path.rsplit_once('/').map_or("", |(_, last)| last.split(':').next().unwrap_or_default());
        Some(Self {
            protocol,
            model: body["model"].as_str().unwrap_or(in_path).to_owned(),
            stream: body["stream"].as_bool().unwrap_or_else(|| path.contains(":stream")),
            counts_tokens,
            prompt,
            before: at.map_or(0, |at| turns[..at].iter().filter(|turn| matches!(turn, Turn::Result(_))).count()),
            results: since.iter().filter(|turn| matches!(turn, Turn::Result(_))).count(),
            tools,
            json: schema(json),
            listings: texts(body).contains("*file listing*"),
            folder: folder(&texts(body)),
            elsewhere: None,
            turns,
        })
    }
}

/// The schema in a request for JSON, if it is one.
fn schema(format: &Value) -> Option<Value> {
    let places = ["/schema", "/json_schema/schema", "/responseJsonSchema", "/responseSchema"];
    places.iter().find_map(|place| format.pointer(place)).cloned()
}

/// All text below a value.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(texts).collect::<Vec<_>>().join("\n"),
        Value::Object(object) => {
            let inside = [
                "system",
                "instructions",
                "systemInstruction",
                "messages",
                "input",
                "contents",
                "parts",
                "content",
                "text",
            ];
            inside.iter().filter_map(|key| object.get(*key)).map(texts).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// The folder behind the first of the words by which programs name it: tools that insist on whole paths get them.
fn folder(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let named = [
        "working directory",
        "working in the directory",
        "<cwd>",
        "current directory",
        "workspace directories",
        "workspace directory",
    ];
    named.iter().flat_map(|name| lower.match_indices(name)).find_map(|(at, name)| {
        let behind = lower.get(at + name.len()..)?;
        let slash = behind.find('/').filter(|slash| *slash < 60)? + at + name.len();
        let path = text.get(slash..)?;
        let end = path.find(|c: char| c.is_whitespace() || "<`'\",".contains(c)).unwrap_or(path.len());
        Some(path[..end].trim_end_matches('.').to_owned())
    })
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn messages(body: &Value) -> Vec<Turn> {
    let mut turns = Vec::new();
    for message in list(body, "messages").filter(|message| message["role"] == "user") {
        if let Value::String(text) = &message["content"] {
            turns.push(Turn::Said(text.clone()));
        }
        // Block by block, for programs put several turns into one message.
        turns.extend(list(message, "content").map(|block| match block["type"].as_str() {
            Some("tool_result") => Turn::Result(texts(&block["content"])),
            _ => Turn::Said(texts(block)),
        }));
    }
    turns
}

fn responses(body: &Value) -> Vec<Turn> {
    if let Value::String(text) = &body["input"] {
        return vec![Turn::Said(text.clone())];
    }
    let turn = |item: &Value| match item["type"].as_str() {
        Some(kind) if kind.ends_with("_call_output") => Some(Turn::Result(texts(&item["output"]))),
        Some("message") | None if item["role"] == "user" => Some(Turn::Said(texts(&item["content"]))),
        _ => None,
    };
    list(body, "input").filter_map(turn).collect()
}

fn chat(body: &Value) -> Vec<Turn> {
    let turn = |message: &Value| match message["role"].as_str() {
        Some("tool") => Some(Turn::Result(texts(&message["content"]))),
        Some("user") => Some(Turn::Said(texts(&message["content"]))),
        _ => None,
    };
    list(body, "messages").filter_map(turn).collect()
}

fn gemini(body: &Value) -> Vec<Turn> {
    let parts =
        list(body, "contents").filter(|content| content["role"] != "model").flat_map(|content| list(content, "parts"));
    parts
        .map(|part| match part.get("functionResponse") {
            Some(given) => Turn::Result(texts(&given["response"]["output"])),
            None => Turn::Said(texts(part)),
        })
        .collect()
}

/// Tools that stand side by side, with the schema under a key.
fn flat_tools(body: &Value, key: &str) -> BTreeMap<String, Tool> {
    let named = |tool: &Value| {
        let name = tool["name"].as_str().or_else(|| tool["type"].as_str())?;
        Some((
            name.to_owned(),
            Tool { schema: tool[key].clone(), text: tool["type"] == "custom" && tool[key].is_null() },
        ))
    };
    list(body, "tools").filter_map(named).collect()
}

fn chat_tools(body: &Value) -> BTreeMap<String, Tool> {
    let named = |tool: &Value| {
        let function = &tool["function"];
        Some((function["name"].as_str()?.to_owned(), Tool { schema: function["parameters"].clone(), text: false }))
    };
    list(body, "tools").filter_map(named).collect()
}

fn gemini_tools(body: &Value) -> BTreeMap<String, Tool> {
    let named = |tool: &Value| {
        let schema = ["parametersJsonSchema", "parameters"].iter().find_map(|key| tool.get(*key));
        Some((tool["name"].as_str()?.to_owned(), Tool { schema: schema.cloned().unwrap_or_default(), text: false }))
    };
    list(body, "tools").flat_map(|tools| list(tools, "functionDeclarations")).filter_map(named).collect()
}
