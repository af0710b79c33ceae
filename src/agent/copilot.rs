//! GitHub Copilot CLI (`copilot`), measured with 1.0.102.
//!
//! `copilot --output-format json` prints one JSON object a line and ends with a `result`, which alone has the session; of
//! tokens it says nothing there, but writes them into the file of `--usage-output-file` when it ends. It blacks out the
//! text of its API key wherever it prints it, so that a very short key breaks the JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reading::{Errors, call, count, detail, string, text};
use super::{Access, Acp, Adapter, Call, Cumulative, Decoder, Said, SignIn, Start, Tokens, limit};

/// See the module.
#[derive(Debug)]
pub(super) struct Copilot;

impl Adapter for Copilot {
    fn name(&self) -> &'static str {
        "copilot"
    }

    fn title(&self) -> &'static str {
        "GitHub Copilot CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["copilot"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let access: &[&str] = match call.access {
            Access::Read => &["--allow-all-tools", "--deny-tool", "write", "--deny-tool", "shell"],
            Access::Edit | Access::Full => &["--allow-all"],
        };
        let usage = call.prompt_file.with_extension("usage.json");
        let start = Start::new(call, &["--output-format", "json", "--no-ask-user", "--no-auto-update"])
            .args(access)
            .each("--usage-output-file", [&usage])
            .each("--add-dir", call.also)
            .each("--model", call.model)
            .args(call.resume.map(|id| format!("--resume={id}")))
            .args(call.args);
        Start { usage: Some(usage), ..start }
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
            variables: &["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "COPILOT_PROVIDER_API_KEY"],
            files: &[],
            how: "run `copilot` and type /login, or set COPILOT_GITHUB_TOKEN",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: None, args: &["--acp"], model: Some("--model") })
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader {
    model: bool,
    /// Tools that run, by their calls: only the beginning has a name.
    running: BTreeMap<String, String>,
    /// The last error of the session.
    failed: Option<String>,
    ended: bool,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        let data = &event["data"];
        match event["type"].as_str().unwrap_or_default() {
            // What a sub-agent says is not the agent's own word.
            "assistant.message" if data["parentToolCallId"].is_null() => {
                if !self.model {
                    self.model = true;
                    text(&data["model"], say, Said::Model);
                }
                self.failed = None;
                text(&data["content"], say, Said::Text);
            }
            "tool.execution_start" => {
                let (id, name) = (string(&data["toolCallId"]), string(&data["toolName"]));
                self.running.insert(id.clone(), name.clone());
                say(Said::ToolBegins { id, name, detail: detail(&data["arguments"]) });
            }
            "tool.execution_complete" => {
                let id = string(&data["toolCallId"]);
                let name = self.running.remove(&id).unwrap_or_else(|| "a tool".to_owned());
                let error = &data["error"];
                if matches!(error["code"].as_str(), Some("denied" | "rejected")) {
                    say(Said::Denied { tool: call(&name, &string(&error["message"])) });
                }
                say(Said::ToolEnds { id });
            }
            "session.error" => {
                let message = string(&data["message"]);
                let of = data["errorType"].as_str().filter(|of| !matches!(*of, "query" | "unknown"));
                let words = of.map_or_else(|| message.clone(), |of| format!("{of}: {message}"));
                if let Some(limit) = limit::told(data["statusCode"].as_u64(), &words) {
                    say(Said::Limited(limit));
                }
                self.failed = Some(words);
            }
            "result" => {
                text(&event["sessionId"], say, Said::Session);
                let exit = event["exitCode"].as_i64().unwrap_or_default();
                let error = self.failed.take().or_else(|| (exit != 0).then(|| format!("exit code {exit}")));
                self.ended = true;
                say(Said::Final { error: error.filter(|_| exit != 0) });
            }
            _ => {}
        }
    }

    fn stderr(&mut self, line: &[u8], _say: &mut dyn FnMut(Said)) {
        self.errors.line(line);
    }

    fn usage(&mut self, written: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(usage) = serde_json::from_slice::<Value>(written) else { return };
        let models: Vec<&Value> = usage["modelMetrics"].as_object().into_iter().flat_map(|it| it.values()).collect();
        let sum = |key: &str| models.iter().map(|model| count(&model["usage"][key])).sum::<u64>();
        let (cache_read, cache_write) = (sum("cacheReadTokens"), sum("cacheWriteTokens"));
        // What came from the cache is counted with the rest.
        let input = sum("inputTokens").saturating_sub(cache_read + cache_write);
        if !models.is_empty() {
            say(Said::UsedInAll {
                tokens: Tokens { input, cache_read, cache_write, output: sum("outputTokens") },
                cost: None,
            });
        }
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        match self.failed.take() {
            _ if self.ended => {}
            Some(error) => say(Said::Final { error: Some(error) }),
            None => self.errors.end(exit, say),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LimitKind, testing};
    use super::*;

    #[test]
    fn an_error_of_the_session_is_why_it_failed() {
        let lines = [
            r#"{"type":"tool.execution_start","data":{"toolCallId":"1","toolName":"bash","arguments":{}}}"#,
            r#"{"type":"session.error","data":{"errorType":"rate_limit","message":"try again in 2 minutes","statusCode":429}}"#,
            r#"{"type":"tool.execution_complete","data":{"toolCallId":"1","success":false,"error":{"code":"denied","message":"not allowed"}}}"#,
            r#"{"type":"result","sessionId":"s","exitCode":1,"usage":{}}"#,
        ];
        let session = testing::read(Copilot.decoder(), &lines, &[], 1);
        assert_eq!(session.limit.map(|limit| limit.kind), Some(LimitKind::Rate));
        assert_eq!(session.last, Some(Some("rate_limit: try again in 2 minutes".to_owned())));
        assert_eq!(
            (session.id.as_deref(), session.denied.as_slice()),
            (Some("s"), &["bash(not allowed)".to_owned()][..])
        );
    }
}
