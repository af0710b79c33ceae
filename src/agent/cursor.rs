//! Cursor's agent (`cursor-agent`), after its documentation.
//!
//! `cursor-agent -p --output-format stream-json` prints Claude Code's stream but for tools, which have events of their own
//! (`tool_call`, `started` and `completed`); it says nothing of tokens and money. A failure is told on standard error and
//! by the exit code, without a result. Its program is also installed as `agent`, a name that other agents have, too.

use serde_json::Value;

use super::claude;
use super::reading::{call, detail, string};
use super::{Access, Acp, Adapter, Call, Decoder, Prompt, Said, SignIn, Start};

/// See the module.
#[derive(Debug)]
pub(super) struct Cursor;

impl Adapter for Cursor {
    fn name(&self) -> &'static str {
        "cursor"
    }

    fn title(&self) -> &'static str {
        "Cursor"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cursor-agent"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let access: &[&str] = match call.access {
            Access::Read => &["--mode", "ask"],
            // Without it changes are proposed, not made.
            Access::Edit => &["--force"],
            Access::Full => &["--force", "--approve-mcps", "--sandbox", "disabled"],
        };
        Start::new(call, &["-p", "--output-format", "stream-json", "--trust"])
            .args(access)
            .each("--model", call.model)
            .each("--resume", call.resume)
            .args(call.args)
            .prompt(Prompt::Argument)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &["CURSOR_API_KEY"],
            files: &[("XDG_CONFIG_HOME", ".config", "cursor/auth.json")],
            how: "run `cursor-agent login`, or set CURSOR_API_KEY",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: None, args: &["acp"], model: Some("--model") })
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader(claude::Reader);

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        if event["type"] != "tool_call" {
            return self.0.event(&event, say);
        }
        let id = string(&event["call_id"]);
        // One entry, named after the tool: `shellToolCall`.
        let Some((name, tool)) = event["tool_call"].as_object().and_then(|tool| tool.iter().next()) else { return };
        let name = name.strip_suffix("ToolCall").unwrap_or(name);
        let detail = detail(&tool["args"]);
        if event["subtype"] == "started" {
            say(Said::ToolBegins { id, name: name.to_owned(), detail });
        } else {
            if ["rejected", "permissionDenied"].iter().any(|key| tool["result"][*key].is_object()) {
                say(Said::Denied { tool: call(name, &detail) });
            }
            say(Said::ToolEnds { id });
        }
    }

    fn stderr(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        self.0.stderr(line, say);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        self.0.end(exit, say);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn tools_have_events_of_their_own() {
        let lines = [
            r#"{"type":"system","subtype":"init","session_id":"c1","model":"m"}"#,
            r#"{"type":"tool_call","subtype":"started","call_id":"1","tool_call":{"shellToolCall":{"args":{"command":"make"}}}}"#,
            r#"{"type":"tool_call","subtype":"completed","call_id":"1","tool_call":{"shellToolCall":{"args":{"command":"make"},"result":{"rejected":{"reason":""}}}}}"#,
            r#"{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"TASK_COMPLETE"}]},"session_id":"c1"}"#,
            r#"{"type":"result","subtype":"success","is_error":false,"result":"TASK_COMPLETE","session_id":"c1","duration_ms":5}"#,
        ];
        let mut session = testing::read(Cursor.decoder(), &lines, &[], 0);
        assert_eq!((session.id.as_deref(), session.tool_calls, session.tokens), (Some("c1"), 1, None));
        assert_eq!((session.denied.as_slice(), &session.last), (&["shell(make)".to_owned()][..], &Some(None)));
        assert!(session.report().complete);
    }
}
