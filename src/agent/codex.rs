//! Codex (`codex`), measured with 0.169.0.
//!
//! `codex exec --json` never asks: what its sandbox does not let through fails, and the model is told. It says nothing of
//! money; the tokens of a resumed session are those of all of it. Of a limit there are only words, with a time of the
//! local clock. What was refused is only on standard error.

use serde_json::Value;

use super::reading::{Errors, call, count, detail, items, short, string, text};
use super::{Access, Acp, Adapter, Call, Cumulative, Decoder, Said, SignIn, Start, Tokens, limit};

/// See the module.
#[derive(Debug)]
pub(super) struct Codex;

impl Adapter for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn title(&self) -> &'static str {
        "Codex"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["codex"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let access: &[&str] = match call.access {
            Access::Read => &["-s", "read-only"],
            Access::Edit => &["-s", "workspace-write"],
            Access::Full => &["--dangerously-bypass-approvals-and-sandbox"],
        };
        let anywhere: &[&str] = if call.git { &[] } else { &["--skip-git-repo-check"] };
        Start::new(call, &["exec", "--json"])
            .args(access)
            .args(anywhere)
            .each("--add-dir", call.also)
            .each("-m", call.model)
            .args(call.args)
            .each("resume", call.resume)
            .args(["-"])
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn cumulative(&self) -> Cumulative {
        Cumulative { cost: false, tokens: true }
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &["CODEX_API_KEY", "OPENAI_API_KEY"],
            files: &[("CODEX_HOME", ".codex", "auth.json")],
            how: "run `codex login`, or set CODEX_API_KEY",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: Some("codex-acp"), args: &[], model: None })
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader {
    /// The last error that was not one to try again after.
    failed: Option<String>,
    ended: bool,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        match event["type"].as_str().unwrap_or_default() {
            "thread.started" => text(&event["thread_id"], say, Said::Session),
            "item.started" => begins(&event["item"], say),
            "item.completed" => ends(&event["item"], say),
            "error" => {
                let message = string(&event["message"]);
                if message.starts_with("Reconnecting") {
                    say(Said::Retrying { error: message, delay_ms: None });
                } else {
                    self.failed = Some(message);
                }
            }
            "turn.completed" => {
                let usage = &event["usage"];
                let (cache_read, cache_write) =
                    (count(&usage["cached_input_tokens"]), count(&usage["cache_write_input_tokens"]));
                let input = count(&usage["input_tokens"]).saturating_sub(cache_read + cache_write);
                let tokens = Tokens { input, cache_read, cache_write, output: count(&usage["output_tokens"]) };
                say(Said::UsedInAll { tokens, cost: None });
                self.last(None, say);
            }
            "turn.failed" => self.last(Some(string(&event["error"]["message"])), say),
            _ => {}
        }
    }

    fn stderr(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let words = String::from_utf8_lossy(line);
        // "... ERROR codex_core::tools::router: error=patch rejected: writing is blocked by read-only sandbox; ..."
        if let Some((_, why)) = words.split_once("error=")
            && (why.contains("rejected") || why.contains("blocked by"))
        {
            say(Said::Denied { tool: short(why) });
        }
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        match self.failed.take() {
            _ if self.ended => {}
            Some(error) => self.last(Some(error), say),
            None => self.errors.end(exit, say),
        }
    }
}

impl Reader {
    fn last(&mut self, error: Option<String>, say: &mut dyn FnMut(Said)) {
        if let Some(limit) = error.as_deref().and_then(|error| limit::told(None, error)) {
            say(Said::Limited(limit));
        }
        self.ended = true;
        say(Said::Final { error });
    }
}

/// The tool that an item is, and what with; none where it is none.
fn tool(item: &Value) -> Option<(String, String)> {
    Some(match item["type"].as_str()? {
        "command_execution" => ("shell".to_owned(), detail(item)),
        "file_change" => ("edit".to_owned(), items(&item["changes"]).map(detail).collect::<Vec<_>>().join(" ")),
        "mcp_tool_call" => {
            (format!("{}.{}", string(&item["server"]), string(&item["tool"])), detail(&item["arguments"]))
        }
        "web_search" => ("web_search".to_owned(), detail(item)),
        _ => return None,
    })
}

fn begins(item: &Value, say: &mut dyn FnMut(Said)) {
    if let Some((name, detail)) = tool(item) {
        say(Said::ToolBegins { id: string(&item["id"]), name, detail });
    }
}

fn ends(item: &Value, say: &mut dyn FnMut(Said)) {
    match tool(item) {
        Some((name, detail)) => {
            if item["status"] == "declined" {
                say(Said::Denied { tool: call(&name, &detail) });
            }
            say(Said::ToolEnds { id: string(&item["id"]) });
        }
        None if item["type"] == "agent_message" => text(&item["text"], say, Said::Text),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LimitKind, Resets, Session, testing};
    use super::*;

    fn read(lines: &[&str], errors: &[&str], exit: i32) -> Session {
        testing::read(Codex.decoder(), lines, errors, exit)
    }

    #[test]
    fn tokens_of_the_cache_are_not_counted_twice() {
        let session = read(
            &[
                r#"{"type":"thread.started","thread_id":"t"}"#,
                r#"{"type":"item.completed","item":{"id":"0","type":"error","message":"no metadata for the model"}}"#,
                r#"{"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":60,"cache_write_input_tokens":10,"output_tokens":5}}"#,
            ],
            &[],
            0,
        );
        assert_eq!(session.tokens, Some(Tokens { input: 30, cache_read: 60, cache_write: 10, output: 5 }));
        assert_eq!(session.last, Some(None));
    }

    #[test]
    fn a_limit_is_told_by_its_words() {
        let error = r#"{"type":"turn.failed","error":{"message":"You’ve hit your usage limit. Upgrade to Pro or try again at 9:17 AM."}}"#;
        let limit = read(&[error], &[], 1).limit.unwrap();
        assert_eq!(limit.kind, LimitKind::Usage);
        assert_eq!(limit.resets, Some(Resets::Clock { hour: 9, minute: 17, utc: false }));
    }

    #[test]
    fn what_the_sandbox_refused_is_only_on_standard_error() {
        let end = r#"{"type":"turn.completed","usage":{}}"#;
        let error = "2026-11-21T08:32:29Z ERROR codex_core::tools::router: error=patch rejected: writing is blocked by read-only sandbox";
        assert_eq!(read(&[end], &[error], 0).denied, ["patch rejected: writing is blocked by read-only sandbox"]);
        assert_eq!(
            read(&[], &["error: unexpected argument '--full-auto' found"], 2).last,
            Some(Some("error: unexpected argument '--full-auto' found".to_owned()))
        );
    }
}
