//! Agents behind the Agent Client Protocol: `spec __acp` talks with them (`runtime::acp`) and prints what they send, one
//! JSON object a line; this is the start of it and the reader of that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reading::{Errors, Pieces, count, detail, short, string, text};
use super::{Access, Call, Decoder, Said, Start, Tokens, limit};
use crate::runtime::acp;

/// What is before the name of an agent that is to be driven by the protocol.
pub(super) const PREFIX: &str = "acp:";
/// `spec __acp ACCESS MODEL PROGRAM ARGS...`, with `-` where the model is not to be chosen by the protocol.
pub(super) fn start(asked: &Call<'_>) -> Start {
    let access = match asked.access {
        Access::Read => "read",
        Access::Edit => "edit",
        Access::Full => "full",
    };
    let head = [acp::COMMAND, access, asked.model.unwrap_or("-"), asked.program];
    let args = head.into_iter().chain(asked.args.iter().map(String::as_str)).map(Into::into).collect();
    Start { program: acp::program(), args, ..Start::new(asked, &[]) }
}

/// A reader for what `spec __acp` prints.
pub(super) fn decoder() -> Box<dyn Decoder> {
    Box::<Reader>::default()
}

/// Reads the messages of the protocol that an agent sends, and two of our own: `{"denied": TOOL}` and
/// `{"end": {"error": ...}}`.
#[derive(Default)]
struct Reader {
    words: Pieces,
    /// Calls that are going on.
    running: BTreeSet<String>,
    /// Money of the session, in US dollars.
    cost: Option<f64>,
    errors: Errors,
    ended: bool,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { return };
        if message["method"] == "session/update" {
            return self.update(&message["params"]["update"], say);
        }
        text(&message["denied"], say, |tool| Said::Denied { tool });
        let result = &message["result"];
        text(&result["sessionId"], say, Said::Session);
        text(&result["models"]["currentModelId"], say, Said::Model);
        if result["stopReason"].is_string() {
            self.words.end(say);
            // Some say it here, Gemini under a name of its own.
            let usage = [&result["usage"], &result["_meta"]["quota"]["token_count"]];
            if let Some(tokens) = usage.into_iter().find_map(tokens) {
                say(Said::UsedInAll { tokens, cost: self.cost });
            }
        }
        if message["end"].is_object() {
            self.words.end(say);
            let error = message["end"]["error"].as_str();
            if let Some(limit) = error.and_then(|error| limit::told(None, error)) {
                say(Said::Limited(limit));
            }
            self.ended = true;
            say(Said::Final { error: error.map(str::to_owned) });
        }
    }

    fn stderr(&mut self, line: &[u8], _say: &mut dyn FnMut(Said)) {
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        self.words.end(say);
        if !self.ended {
            self.errors.end(exit, say);
        }
    }
}

impl Reader {
    fn update(&mut self, update: &Value, say: &mut dyn FnMut(Said)) {
        match update["sessionUpdate"].as_str().unwrap_or_default() {
            "agent_message_chunk" => {
                self.words.push(update["content"]["text"].as_str().unwrap_or_default(), say);
                // Qwen says here what each call of the model used.
                if let Some(tokens) = tokens(&update["_meta"]["usage"]) {
                    say(Said::Used { tokens, cost: None });
                }
            }
            "tool_call" | "tool_call_update" => self.tool(update, say),
            "usage_update" => {
                // The tokens in it are how full the context is, not what was used.
                if let (Some(cost), "USD") = (update["cost"]["amount"].as_f64(), &*string(&update["cost"]["currency"]))
                {
                    say(Said::UsedInAll { tokens: Tokens::default(), cost: Some(cost) });
                }
            }
            _ => {}
        }
    }

    fn tool(&mut self, update: &Value, say: &mut dyn FnMut(Said)) {
        let id = string(&update["toolCallId"]);
        let over = matches!(update["status"].as_str(), Some("completed" | "failed"));
        // Some agents send only the end of a call.
        if !self.running.contains(&id) {
            self.words.end(say);
            let name = update["title"].as_str().or(update["kind"].as_str()).unwrap_or("a tool");
            say(Said::ToolBegins { id: id.clone(), name: short(name), detail: detail(&update["rawInput"]) });
            self.running.insert(id.clone());
        }
        if over {
            self.running.remove(&id);
            say(Said::ToolEnds { id });
        }
    }
}

/// What was used, where it says so.
fn tokens(usage: &Value) -> Option<Tokens> {
    let first = |keys: [&str; 2]| keys.iter().map(|key| count(&usage[*key])).max().unwrap_or_default();
    let cache_read = count(&usage["cachedReadTokens"]);
    let tokens = Tokens {
        input: first(["inputTokens", "input_tokens"]),
        cache_read,
        cache_write: count(&usage["cachedWriteTokens"]),
        output: first(["outputTokens", "output_tokens"]),
    };
    (tokens.total() > 0).then_some(tokens)
}
