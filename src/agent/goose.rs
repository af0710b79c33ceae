//! goose (`goose`), after its documentation and source.
//!
//! `goose run --output-format stream-json` prints messages, in pieces, and ends with `complete`, which has the tokens.

use serde_json::Value;

use super::reading::{Errors, Pieces, count, detail, items, string, text};
use super::{Access, Acp, Adapter, Call, Decoder, Said, SignIn, Start, Tokens, limit};

/// See the module.
#[derive(Debug)]
pub(super) struct Goose;

impl Adapter for Goose {
    fn name(&self) -> &'static str {
        "goose"
    }

    fn title(&self) -> &'static str {
        "goose"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["goose"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let mode = match call.access {
            // Without any tool: it has nothing between that and all of them that asks nobody.
            Access::Read => "chat",
            Access::Edit | Access::Full => "auto",
        };
        Start::new(call, &["run", "-q", "--no-session", "--output-format", "stream-json"])
            .each("--model", call.model)
            .args(call.args)
            .args(["-i", "-"])
            .env("GOOSE_MODE", mode)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &[
                "ANTHROPIC_API_KEY",
                "OPENAI_API_KEY",
                "GOOGLE_API_KEY",
                "OPENROUTER_API_KEY",
                "DATABRICKS_TOKEN",
            ],
            files: &[("XDG_CONFIG_HOME", ".config", "goose/secrets.yaml")],
            how: "run `goose configure`",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: None, args: &["acp"], model: None })
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader {
    words: Pieces,
    /// The message whose pieces are coming.
    message: Option<String>,
    failed: Option<String>,
    ended: bool,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        match event["type"].as_str().unwrap_or_default() {
            "message" => self.message(&event["message"], say),
            "model_change" => text(&event["model"], say, Said::Model),
            "error" => {
                self.words.end(say);
                let error = event["error"].as_str().or(event["message"].as_str()).unwrap_or("error").to_owned();
                if let Some(limit) = limit::told(None, &error) {
                    say(Said::Limited(limit));
                }
                self.failed = Some(error);
            }
            "complete" => {
                self.words.end(say);
                let output = count(&event["output_tokens"]);
                // Some versions have only the sum.
                let input =
                    event["input_tokens"].as_u64().unwrap_or(count(&event["total_tokens"]).saturating_sub(output));
                if input + output > 0 {
                    say(Said::UsedInAll { tokens: Tokens { input, output, ..Tokens::default() }, cost: None });
                }
                self.ended = true;
                say(Said::Final { error: self.failed.take() });
            }
            _ => {}
        }
    }

    fn stderr(&mut self, line: &[u8], _say: &mut dyn FnMut(Said)) {
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        self.words.end(say);
        match self.failed.take() {
            _ if self.ended => {}
            Some(error) => say(Said::Final { error: Some(error) }),
            None => self.errors.end(exit, say),
        }
    }
}

impl Reader {
    fn message(&mut self, message: &Value, say: &mut dyn FnMut(Said)) {
        let id = message["id"].as_str().map(str::to_owned);
        if id.is_none() || id != self.message {
            self.words.end(say);
        }
        self.message = id;
        let own = message["role"] == "assistant";
        for part in items(&message["content"]) {
            match part["type"].as_str().unwrap_or_default() {
                "text" if own => self.words.push(part["text"].as_str().unwrap_or_default(), say),
                "toolRequest" => {
                    self.words.end(say);
                    let tool = &part["toolCall"]["value"];
                    let (id, name, detail) = (string(&part["id"]), string(&tool["name"]), detail(&tool["arguments"]));
                    say(Said::ToolBegins { id, name, detail });
                }
                "toolResponse" => say(Said::ToolEnds { id: string(&part["id"]) }),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn messages_in_pieces_tools_and_the_end() {
        let lines = [
            r#"{"type":"message","message":{"id":"1","role":"assistant","content":[{"type":"text","text":"I run "}]}}"#,
            r#"{"type":"message","message":{"id":"1","role":"assistant","content":[{"type":"text","text":"it."}]}}"#,
            r#"{"type":"message","message":{"id":"1","role":"assistant","content":[{"type":"toolRequest","id":"t","toolCall":{"status":"success","value":{"name":"developer__shell","arguments":{"command":"make"}}}}]}}"#,
            r#"{"type":"message","message":{"id":"2","role":"user","content":[{"type":"toolResponse","id":"t","toolResult":{}}]}}"#,
            r#"{"type":"message","message":{"id":"3","role":"assistant","content":[{"type":"text","text":"TASK_COMPLETE"}]}}"#,
            r#"{"type":"complete","total_tokens":120}"#,
        ];
        let mut session = testing::read(Goose.decoder(), &lines, &[], 0);
        assert_eq!((session.messages, session.tool_calls, session.last.clone()), (2, 1, Some(None)));
        assert_eq!(session.tokens.map(|tokens| tokens.total()), Some(120));
        assert!(session.report().complete);
    }
}
