//! Gemini CLI (`gemini`), measured with 0.61.0.
//!
//! `gemini -o stream-json` prints the words of the model in pieces and ends with a `result`; it exits 0 without one where a
//! signal ends it. After an error of the service its exit code is the HTTP status modulo 256: 173 is 429. A tool that is
//! not allowed is not offered to the model, so nothing is refused.

use serde_json::Value;

use super::reading::{Errors, Pieces, count, detail, string, text};
use super::{Access, Acp, Adapter, Call, Decoder, Said, SignIn, Start, Tokens, limit};

/// See the module.
#[derive(Debug)]
pub(super) struct Gemini;

impl Adapter for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn title(&self) -> &'static str {
        "Gemini CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["gemini"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let mode = match call.access {
            Access::Read => "plan",
            // `auto_edit` runs no commands, and has no way to ask.
            Access::Edit | Access::Full => "yolo",
        };
        Start::new(call, &["-o", "stream-json", "--approval-mode", mode])
            .each("--include-directories", call.also)
            .each("-m", call.model)
            .each("--resume", call.resume)
            .args(call.args)
            // In a folder that it does not trust it falls back to asking.
            .env("GEMINI_CLI_TRUST_WORKSPACE", "true")
            // One process instead of a launcher and its child.
            .env("GEMINI_CLI_NO_RELAUNCH", "true")
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"],
            files: &[("", ".gemini", "oauth_creds.json")],
            how: "run `gemini` and sign in, or set GEMINI_API_KEY",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: None, args: &["--acp"], model: Some("-m") })
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader {
    words: Pieces,
    ended: bool,
    /// What went wrong, where the words were those of no limit.
    unclear: Option<String>,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "message" && event["role"] == "assistant" {
            if event["delta"] != true {
                self.words.end(say);
            }
            return self.words.push(event["content"].as_str().unwrap_or_default(), say);
        }
        self.words.end(say);
        match kind {
            "init" => {
                text(&event["session_id"], say, Said::Session);
                text(&event["model"], say, Said::Model);
            }
            "tool_use" => say(Said::ToolBegins {
                id: string(&event["tool_id"]),
                name: string(&event["tool_name"]),
                detail: detail(&event["parameters"]),
            }),
            "tool_result" => say(Said::ToolEnds { id: string(&event["tool_id"]) }),
            "result" => {
                let stats = &event["stats"];
                let (input, cache_read) = (count(&stats["input_tokens"]), count(&stats["cached"]));
                // What is in the sum and was not sent was thought.
                let output = count(&stats["total_tokens"]).saturating_sub(input).max(count(&stats["output_tokens"]));
                let tokens = Tokens { input: input.saturating_sub(cache_read), cache_read, cache_write: 0, output };
                say(Said::UsedInAll { tokens, cost: None });
                let failed = event["status"] != "success";
                self.last(failed.then(|| string(&event["error"]["message"])), say);
            }
            _ => {}
        }
    }

    fn stderr(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let words = String::from_utf8_lossy(line);
        if words.contains("Retrying with backoff") || words.contains("Retrying after") {
            say(Said::Retrying { error: words.trim().to_owned(), delay_ms: None });
        } else {
            self.errors.line(line);
        }
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        self.words.end(say);
        // By the exit code alone a limit can be told, whatever it was called.
        let status = match exit {
            Some(173) => Some(429),
            Some(247) => Some(503),
            _ => None,
        };
        let words = if self.ended { self.unclear.take() } else { Some(String::new()) };
        if let (Some(words), Some(_)) = (words, status)
            && let Some(limit) = limit::told(status, &words)
        {
            say(Said::Limited(limit));
        }
        if !self.ended {
            self.errors.end(exit, say);
        }
    }
}

impl Reader {
    fn last(&mut self, error: Option<String>, say: &mut dyn FnMut(Said)) {
        self.ended = true;
        match error.as_deref().and_then(|error| limit::told(None, error)) {
            Some(limit) => say(Said::Limited(limit)),
            None => self.unclear.clone_from(&error),
        }
        say(Said::Final { error });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LimitKind, Session, testing};
    use super::*;

    fn read(lines: &[&str], exit: i32) -> Session {
        testing::read(Gemini.decoder(), lines, &[], exit)
    }

    #[test]
    fn words_in_pieces_are_one_message() {
        let mut session = read(
            &[
                r#"{"type":"message","role":"user","content":"TASK_COMPLETE"}"#,
                r#"{"type":"message","role":"assistant","content":"Done.\n\nTASK_","delta":true}"#,
                r#"{"type":"message","role":"assistant","content":"COMPLETE","delta":true}"#,
                r#"{"type":"result","status":"success","stats":{"total_tokens":130,"input_tokens":100,"output_tokens":20,"cached":40}}"#,
            ],
            0,
        );
        assert_eq!(session.messages, 1);
        assert_eq!(session.tokens, Some(Tokens { input: 60, cache_read: 40, cache_write: 0, output: 30 }));
        assert!(session.report().complete);
    }

    #[test]
    fn the_exit_code_tells_a_limit_that_the_words_do_not() {
        let result = r#"{"type":"result","status":"error","error":{"type":"unknown","message":"[API Error: try later]"},"stats":{}}"#;
        let kind = |exit| read(&[result], exit).limit.map(|limit| limit.kind);
        assert_eq!((kind(173), kind(247), kind(144)), (Some(LimitKind::Rate), Some(LimitKind::Overloaded), None));
        assert_eq!(read(&[], 173).limit.map(|limit| limit.kind), Some(LimitKind::Rate), "killed by it without a word");
    }
}
