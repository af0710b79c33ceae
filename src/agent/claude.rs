//! Claude Code (`claude`), measured with 2.1.329.
//!
//! `claude -p --output-format stream-json --verbose` prints one JSON object a line and ends with a `result`; one run may
//! have several (a background task starts another turn), the last counts. It exits 0 where a tool was refused, which
//! `permission_denials` tells, and on SIGINT, without a result. The money it names is that of the whole session, the
//! tokens are those of this run.

use serde_json::Value;

use super::{Access, Adapter, Call, Cumulative, Decoder, Limit, LimitKind, Prompt, Resets, Said, Start, Tokens};

/// See the module.
#[derive(Debug)]
pub(super) struct Claude;

impl Adapter for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn title(&self) -> &'static str {
        "Claude Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["claude"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let mut args = vec!["-p", "--output-format", "stream-json", "--verbose"];
        match call.access {
            Access::Read => args.extend(["--permission-mode", "plan"]),
            // Not `bypassPermissions`, which it refuses to root.
            Access::Edit => args.extend(["--permission-mode", "acceptEdits", "--allowedTools", "Bash,Edit,Write,Read"]),
            Access::Full => args.extend(["--permission-mode", "bypassPermissions"]),
        }
        let mut args: Vec<_> = args.into_iter().map(Into::into).collect();
        for folder in call.also {
            args.extend(["--add-dir".into(), folder.into()]);
        }
        for (flag, value) in [("--model", call.model), ("--resume", call.resume)] {
            if let Some(value) = value {
                args.extend([flag.into(), value.into()]);
            }
        }
        args.extend(call.args.iter().map(Into::into));
        let env = [("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("DISABLE_AUTOUPDATER", "1")];
        let env = env.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect();
        Start { program: call.program.into(), args, env, prompt: Prompt::Stdin }
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn cumulative(&self) -> Cumulative {
        Cumulative { cost: true, tokens: false }
    }

    fn resumes(&self) -> bool {
        true
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader {
    /// The service rejected it until then.
    rejected: Option<i64>,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        let kind = event["type"].as_str().unwrap_or_default();
        // What a sub-agent says and does is not the agent's own word.
        let own = event["parent_tool_use_id"].is_null();
        match (kind, event["subtype"].as_str().unwrap_or_default()) {
            ("system", "init") => {
                text(&event["session_id"], say, Said::Session);
                text(&event["model"], say, Said::Model);
            }
            ("system", "api_retry") => say(Said::Retrying {
                error: event["error"].as_str().unwrap_or("unknown").to_owned(),
                delay_ms: event["retry_delay_ms"].as_u64(),
            }),
            ("system", "permission_denied") => {
                say(Said::Denied { tool: event["tool_name"].as_str().unwrap_or("a tool").to_owned() });
            }
            ("assistant", _) if own => {
                for block in event["message"]["content"].as_array().into_iter().flatten() {
                    match block["type"].as_str() {
                        Some("text") => text(&block["text"], say, Said::Text),
                        Some("tool_use") => say(Said::ToolBegins {
                            id: block["id"].as_str().unwrap_or_default().to_owned(),
                            name: block["name"].as_str().unwrap_or_default().to_owned(),
                            detail: detail(&block["input"]),
                        }),
                        _ => {}
                    }
                }
            }
            ("user", _) if own => {
                for block in event["message"]["content"].as_array().into_iter().flatten() {
                    text(&block["tool_use_id"], say, |id| Said::ToolEnds { id });
                }
            }
            ("rate_limit_event", _) => {
                let info = &event["rate_limit_info"];
                let rejected = info["status"] == "rejected";
                self.rejected = info["resetsAt"].as_i64().filter(|_| rejected);
            }
            ("result", _) => self.result(&event, say),
            _ => {}
        }
    }

    fn stderr(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        // "Not logged in · Please run /login" and errors in its arguments come without any event.
        let line = String::from_utf8_lossy(line);
        if line.contains("Please run /login") {
            say(Said::Final { error: Some(line.trim().to_owned()) });
        }
    }
}

impl Reader {
    fn result(&mut self, event: &Value, say: &mut dyn FnMut(Said)) {
        let usage = &event["usage"];
        let count = |key: &str| usage[key].as_u64().unwrap_or_default();
        let tokens = Tokens {
            input: count("input_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_write: count("cache_creation_input_tokens"),
            output: count("output_tokens"),
        };
        say(Said::UsedInAll { tokens, cost: event["total_cost_usd"].as_f64() });
        for denied in event["permission_denials"].as_array().into_iter().flatten() {
            let tool = denied["tool_name"].as_str().unwrap_or("a tool");
            let detail = detail(&denied["tool_input"]);
            say(Said::Denied { tool: if detail.is_empty() { tool.to_owned() } else { format!("{tool}({detail})") } });
        }
        let words = event["result"].as_str().filter(|words| !words.is_empty());
        let failed = event["is_error"] == true || event["subtype"] != "success";
        let status = event["api_error_status"].as_u64();
        if failed && (matches!(status, Some(429 | 529 | 503)) || self.rejected.is_some()) {
            let kind = match status {
                Some(529 | 503) => LimitKind::Overloaded,
                _ if self.rejected.is_some() || event["api_error"] == "usage_limit_reached" => LimitKind::Usage,
                _ => LimitKind::Rate,
            };
            let message = words.unwrap_or("the service takes no more for now").to_owned();
            say(Said::Limited(Limit { kind, resets: self.rejected.map(Resets::At), message }));
        }
        let error = failed.then(|| {
            let errors: Vec<&str> =
                event["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let subtype = event["subtype"].as_str().filter(|subtype| *subtype != "success");
            let why = event["terminal_reason"].as_str().or(subtype).unwrap_or("error");
            match (words, &errors[..]) {
                (Some(words), _) => format!("{why}: {words}"),
                (None, []) => why.to_owned(),
                (None, errors) => format!("{why}: {}", errors.join("; ")),
            }
        });
        say(Said::Final { error });
    }
}

/// Says a text that is there.
fn text(value: &Value, say: &mut dyn FnMut(Said), what: impl FnOnce(String) -> Said) {
    if let Some(text) = value.as_str() {
        say(what(text.to_owned()));
    }
}

/// What a tool is called with, in a few words.
pub(super) fn detail(input: &Value) -> String {
    ["command", "file_path", "path", "pattern", "query", "url", "description"]
        .iter()
        .find_map(|key| input[key].as_str())
        .map(|text| text.lines().next().unwrap_or_default().chars().take(120).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Session;
    use super::*;

    fn read(lines: &[&str]) -> Session {
        let mut session = Session::default();
        let mut reader = Claude.decoder();
        for line in lines {
            reader.stdout(line.as_bytes(), &mut |said| {
                session.take(said);
            });
        }
        session
    }

    #[test]
    fn a_run_that_ends_well() {
        let mut session = read(&[
            r#"{"type":"system","subtype":"init","session_id":"s1","model":"m1"}"#,
            r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t","name":"Write","input":{"file_path":"a"}}]},"parent_tool_use_id":null}"#,
            r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t"}]},"parent_tool_use_id":null}"#,
            r#"{"type":"assistant","message":{"content":[{"type":"text","text":"sub\nTASK_COMPLETE"}]},"parent_tool_use_id":"t"}"#,
            r#"{"type":"result","subtype":"success","is_error":false,"result":"done","total_cost_usd":0.5,"usage":{"input_tokens":7,"output_tokens":2},"permission_denials":[]}"#,
        ]);
        assert_eq!((session.id.as_deref(), session.model.as_deref()), (Some("s1"), Some("m1")));
        assert_eq!((session.tool_calls, session.messages, session.cost), (1, 0, Some(0.5)));
        assert_eq!(session.tokens.map(|tokens| tokens.total()), Some(9));
        assert_eq!(session.last, Some(None));
        assert!(!session.report().complete, "what a sub-agent says is not the agent's word");
    }

    #[test]
    fn a_limit_with_the_time_it_ends() {
        let session = read(&[
            r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795250344}}"#,
            r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"terminal_reason":"api_error","result":"You've hit your limit"}"#,
        ]);
        let limit = session.limit.unwrap();
        assert_eq!((limit.kind, limit.resets), (LimitKind::Usage, Some(Resets::At(1_795_250_344))));
        assert_eq!(session.last, Some(Some("api_error: You've hit your limit".to_owned())));
    }

    #[test]
    fn what_was_refused_is_known_though_it_ends_well() {
        let session = read(&[
            r#"{"type":"result","subtype":"success","is_error":false,"result":"TASK_COMPLETE","permission_denials":[{"tool_name":"Bash","tool_input":{"command":"rm x"}}]}"#,
        ]);
        assert_eq!(session.denied, ["Bash(rm x)"]);
    }
}
