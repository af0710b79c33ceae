//! Claude Code (`claude`), measured with 2.1.329.
//!
//! `claude -p --output-format stream-json --verbose` prints one JSON object a line and ends with a `result`; one run may
//! have several (a background task starts another turn), the last counts. It exits 0 where a tool was refused, which
//! `permission_denials` tells, and on SIGINT, without a result. The money it names is that of the whole session, the
//! tokens are those of this run.

use serde_json::Value;

use super::reading::{Errors, call, count, detail, items, string, text};
use super::{
    Access, Acp, Adapter, Call, Cumulative, Decoder, Limit, LimitKind, Resets, Said, SignIn, Start, Tokens, limit,
};

/// What it may do unattended besides editing files in its folder; whatever is not here is refused, and said.
const TOOLS: &str = "Bash,Edit,Write,Read,NotebookEdit,WebFetch,WebSearch,Task,Skill";

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
        let access: &[&str] = match call.access {
            Access::Read => &["--permission-mode", "plan"],
            // Not `bypassPermissions`, which it refuses to root.
            Access::Edit => &["--permission-mode", "acceptEdits", "--allowedTools", TOOLS],
            Access::Full => &["--permission-mode", "bypassPermissions"],
        };
        Start::new(call, &["-p", "--output-format", "stream-json", "--verbose"])
            .args(access)
            .each("--add-dir", call.also)
            .each("--model", call.model)
            .each("--resume", call.resume)
            .args(call.args)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn cumulative(&self) -> Cumulative {
        Cumulative { cost: true, tokens: true }
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &[
                "ANTHROPIC_API_KEY",
                "ANTHROPIC_AUTH_TOKEN",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_USE_BEDROCK",
                "CLAUDE_CODE_USE_VERTEX",
            ],
            files: &[("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json")],
            how: "run `claude` and type /login, or set ANTHROPIC_API_KEY",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: Some("claude-agent-acp"), args: &[], model: None })
    }
}

/// Reads its stream, which Qwen Code, Amp and Cursor speak, too.
#[derive(Default)]
pub(super) struct Reader {
    /// The service rejected it until then.
    rejected: Option<i64>,
    ended: bool,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        if let Ok(event) = serde_json::from_slice::<Value>(line) {
            self.event(&event, say);
        }
    }

    fn stderr(&mut self, line: &[u8], _say: &mut dyn FnMut(Said)) {
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        // "Not logged in · Please run /login" and errors in its arguments come without any event.
        if !self.ended {
            self.errors.end(exit, say);
        }
    }
}

impl Reader {
    /// An event of the stream.
    pub(super) fn event(&mut self, event: &Value, say: &mut dyn FnMut(Said)) {
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
            // It waits for them, for ten minutes at most, and then takes another turn; a result may come before.
            ("system", "background_tasks_changed") => say(Said::Helpers(items(&event["tasks"]).count())),
            // A question that nobody is there to answer.
            ("control_request", _) if event["request"]["subtype"] == "can_use_tool" => {
                let request = &event["request"];
                say(Said::Denied { tool: call(&string(&request["tool_name"]), &detail(&request["input"])) });
            }
            // With an error in it, it is the program's message, not the model's; the result repeats it.
            ("assistant", _) if own && event["error"].is_null() => {
                for block in items(&event["message"]["content"]) {
                    match block["type"].as_str() {
                        Some("text") => text(&block["text"], say, Said::Text),
                        Some("tool_use") => say(Said::ToolBegins {
                            id: string(&block["id"]),
                            name: string(&block["name"]),
                            detail: detail(&block["input"]),
                        }),
                        _ => {}
                    }
                }
            }
            ("user", _) if own => {
                for block in items(&event["message"]["content"]) {
                    text(&block["tool_use_id"], say, |id| Said::ToolEnds { id });
                }
            }
            ("rate_limit_event", _) => {
                let info = &event["rate_limit_info"];
                let rejected = info["status"] == "rejected";
                self.rejected = info["resetsAt"].as_i64().filter(|_| rejected);
            }
            ("result", _) => self.result(event, say),
            _ => {}
        }
    }

    fn result(&mut self, event: &Value, say: &mut dyn FnMut(Said)) {
        text(&event["session_id"], say, Said::Session);
        if let Some(tokens) = used(event) {
            say(Said::UsedInAll { tokens, cost: event["total_cost_usd"].as_f64() });
        }
        for denied in items(&event["permission_denials"]) {
            let tool = denied["tool_name"].as_str().unwrap_or("a tool");
            say(Said::Denied { tool: call(tool, &detail(&denied["tool_input"])) });
        }
        self.ended = true;
        // Not all who speak this have all of these words; Qwen has a place of its own for what went wrong.
        let failed = event["is_error"] == true || event["subtype"].as_str().is_some_and(|subtype| subtype != "success");
        if !failed {
            return say(Said::Final { error: None });
        }
        let errors: Vec<&str> = items(&event["errors"]).filter_map(Value::as_str).collect();
        let words = [&event["result"], &event["error"]["message"], &event["error"]];
        let words = words.iter().filter_map(|words| words.as_str()).find(|words| !words.is_empty());
        let words = words.map_or_else(|| errors.join("; "), str::to_owned);
        let status = event["api_error_status"].as_u64();
        if let Some(until) = self.rejected {
            say(Said::Limited(Limit {
                kind: LimitKind::Usage,
                resets: Some(Resets::At(until)),
                message: words.clone(),
            }));
        } else if let Some(mut limit) = limit::told(status, &words) {
            if event["api_error"] == "usage_limit_reached" {
                limit.kind = LimitKind::Usage;
            }
            say(Said::Limited(limit));
        }
        let subtype = event["subtype"].as_str().filter(|subtype| *subtype != "success");
        let why = event["terminal_reason"].as_str().or(subtype).unwrap_or("error");
        let error = if words.is_empty() { why.to_owned() } else { format!("{why}: {words}") };
        say(Said::Final { error: Some(error) });
    }
}

/// What was used up to a result. `usage` is that of the last turn without sub-agents; `modelUsage`, where it is, that of
/// the session with everything in it, which is what the money is for.
fn used(event: &Value) -> Option<Tokens> {
    let models: Vec<&Value> = event["modelUsage"].as_object().into_iter().flat_map(|models| models.values()).collect();
    if !models.is_empty() {
        let sum = |key: &str| models.iter().map(|model| count(&model[key])).sum();
        return Some(Tokens {
            input: sum("inputTokens"),
            cache_read: sum("cacheReadInputTokens"),
            cache_write: sum("cacheCreationInputTokens"),
            output: sum("outputTokens"),
        });
    }
    let usage = event["usage"].as_object().map(|_| &event["usage"])?;
    let (cache_read, cache_write) =
        (count(&usage["cache_read_input_tokens"]), count(&usage["cache_creation_input_tokens"]));
    let output = count(&usage["output_tokens"]);
    // Where there is a sum, what came from the cache may be counted with the rest.
    let input = match usage["total_tokens"].as_u64() {
        Some(total) => total.saturating_sub(output + cache_read + cache_write),
        None => count(&usage["input_tokens"]),
    };
    Some(Tokens { input, cache_read, cache_write, output })
}

#[cfg(test)]
mod tests {
    use super::super::{Note, Session, testing};
    use super::*;

    fn read(lines: &[&str]) -> Session {
        testing::read(Claude.decoder(), lines, &[], 0)
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
        assert_eq!(session.messages, 0);
    }

    #[test]
    fn without_a_time_the_words_are_read_for_one() {
        let session = read(&[
            r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"api_error":"usage_limit_reached","terminal_reason":"api_error","result":"You've hit your limit · resets 8:39am (UTC)"}"#,
        ]);
        let limit = session.limit.unwrap();
        assert_eq!(limit.kind, LimitKind::Usage);
        assert_eq!(limit.resets, Some(Resets::Clock { hour: 8, minute: 39, utc: true }));
    }

    #[test]
    fn sub_agents_are_paid_for_too() {
        let session = read(&[
            r#"{"type":"result","subtype":"success","is_error":false,"result":"x","total_cost_usd":0.3,"usage":{"input_tokens":7,"output_tokens":2},"modelUsage":{"a":{"inputTokens":20,"outputTokens":3},"b":{"inputTokens":1,"cacheReadInputTokens":5}}}"#,
        ]);
        assert_eq!(session.tokens, Some(Tokens { input: 21, cache_read: 5, cache_write: 0, output: 3 }));
    }

    #[test]
    fn while_something_works_in_the_background_it_is_busy() {
        let changed =
            |tasks: &str| format!(r#"{{"type":"system","subtype":"background_tasks_changed","tasks":[{tasks}]}}"#);
        let mut decoder = Claude.decoder();
        let mut session = Session::default();
        let mut notes = |lines: &[&str]| {
            let mut notes = Vec::new();
            for line in lines {
                decoder.stdout(line.as_bytes(), &mut |said| notes.extend(session.take(said)));
            }
            notes
        };
        let result = r#"{"type":"result","subtype":"success","is_error":false,"result":"x"}"#;
        let works = changed(r#"{"task_id":"a","task_type":"local_agent"},{"task_id":"b","task_type":"local_bash"}"#);
        assert_eq!(notes(&[&works, result]), [Note::Busy(true), Note::Final]);
        assert_eq!(notes(&[&changed(""), result]), [Note::Busy(false), Note::Final]);
    }

    #[test]
    fn what_it_says_without_any_event_is_why_it_failed() {
        let session = testing::read(Claude.decoder(), &[], &["Not logged in · Please run /login"], 1);
        assert_eq!(session.last, Some(Some("Not logged in · Please run /login".to_owned())));
    }

    #[test]
    fn what_was_refused_is_known_though_it_ends_well() {
        let session = read(&[
            r#"{"type":"result","subtype":"success","is_error":false,"result":"TASK_COMPLETE","permission_denials":[{"tool_name":"Bash","tool_input":{"command":"rm x"}}]}"#,
        ]);
        assert_eq!(session.denied, ["Bash(rm x)"]);
    }
}
