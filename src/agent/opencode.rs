//! opencode (`opencode`), measured with 1.18.33.
//!
//! `opencode run --format json` prints one JSON object a line, each with its session. A tool is told only when it is over, so
//! that a long one looks as if nothing happened (`run.idle_timeout`). Tokens and money come step by step. There is no last
//! event: a step that ends with `stop` is the last one, after an error the exit code is 1. What is refused is told on
//! standard error.

use serde_json::Value;

use super::reading::{Errors, call, count, detail, string, text};
use super::{Access, Acp, Adapter, Call, Decoder, Resets, Said, SignIn, Start, Tokens, limit};

/// See the module.
#[derive(Debug)]
pub(super) struct Opencode;

impl Adapter for Opencode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn title(&self) -> &'static str {
        "opencode"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["opencode"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let access: &[&str] = match call.access {
            Access::Read => &["--agent", "plan"],
            // What its configuration denies stays denied; what it would ask for is allowed.
            Access::Edit | Access::Full => &["--auto"],
        };
        Start::new(call, &["run", "--format", "json"])
            .args(access)
            .each("-m", call.model)
            .each("--session", call.resume)
            .args(call.args)
            .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn says_its_end(&self) -> bool {
        false
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &[
                "ANTHROPIC_API_KEY",
                "OPENAI_API_KEY",
                "GEMINI_API_KEY",
                "OPENROUTER_API_KEY",
                "OPENCODE_API_KEY",
            ],
            files: &[("XDG_DATA_HOME", ".local/share", "opencode/auth.json")],
            how: "run `opencode auth login`",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: None, args: &["acp"], model: None })
    }
}

/// Reads its stream.
#[derive(Default)]
struct Reader {
    session: bool,
    failed: bool,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return };
        if !self.session && event["sessionID"].is_string() {
            self.session = true;
            text(&event["sessionID"], say, Said::Session);
        }
        let part = &event["part"];
        match event["type"].as_str().unwrap_or_default() {
            "text" => text(&part["text"], say, Said::Text),
            "tool_use" => {
                let (id, name, state) = (string(&part["callID"]), string(&part["tool"]), &part["state"]);
                let detail = detail(&state["input"]);
                if state["error"].as_str().is_some_and(|error| error.contains("rejected permission")) {
                    say(Said::Denied { tool: call(&name, &detail) });
                }
                say(Said::ToolBegins { id: id.clone(), name, detail });
                say(Said::ToolEnds { id });
            }
            "step_finish" => {
                let (tokens, cache) = (&part["tokens"], &part["tokens"]["cache"]);
                let tokens = Tokens {
                    input: count(&tokens["input"]),
                    cache_read: count(&cache["read"]),
                    cache_write: count(&cache["write"]),
                    output: count(&tokens["output"]) + count(&tokens["reasoning"]),
                };
                say(Said::Used { tokens, cost: part["cost"].as_f64() });
                if part["reason"] == "stop" {
                    say(Said::Final { error: None });
                }
            }
            "error" => self.error(&event["error"], say),
            _ => {}
        }
    }

    fn stderr(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let words = String::from_utf8_lossy(line);
        // "! permission requested: bash (rm *); auto-rejecting"
        if let Some((_, what)) = words.split_once("permission requested: ") {
            let what = what.split_once("; auto-reject").map_or(what, |(what, _)| what);
            return say(Said::Denied { tool: what.trim().to_owned() });
        }
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        if !self.failed {
            self.errors.end(exit, say);
        }
    }
}

impl Reader {
    fn error(&mut self, error: &Value, say: &mut dyn FnMut(Said)) {
        let data = &error["data"];
        let name = error["name"].as_str().unwrap_or("error");
        let message = data["message"].as_str().map_or_else(|| name.to_owned(), |words| format!("{name}: {words}"));
        if let Some(mut limit) = limit::told(data["statusCode"].as_u64(), &message) {
            limit.resets = limit.resets.or_else(|| header(&data["responseHeaders"]));
            say(Said::Limited(limit));
        }
        self.failed = true;
        say(Said::Final { error: Some(message) });
    }
}

/// When a limit ends, by the headers of the answer.
fn header(headers: &Value) -> Option<Resets> {
    let number = |name: &str| headers[name].as_str()?.trim().parse::<f64>().ok().filter(|number| *number >= 0.0);
    let seconds = number("retry-after").or_else(|| number("retry-after-ms").map(|ms| ms / 1000.0));
    let epoch = |name| number(name).filter(|at| *at > 1e9).map(|at| Resets::At(at as i64));
    seconds
        .map(|seconds| Resets::In(seconds.ceil() as u64))
        .or_else(|| epoch("anthropic-ratelimit-unified-reset"))
        .or_else(|| epoch("x-ratelimit-reset"))
        .or_else(|| limit::resets(&format!("resets at {}", headers["retry-after"].as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::super::{LimitKind, Session, testing};
    use super::*;

    fn read(lines: &[&str], errors: &[&str], exit: i32) -> Session {
        testing::read(Opencode.decoder(), lines, errors, exit)
    }

    #[test]
    fn steps_are_added_up() {
        let step = r#"{"type":"step_finish","sessionID":"s","part":{"reason":"tool-calls","tokens":{"input":10,"output":2,"reasoning":3,"cache":{"read":4,"write":1}},"cost":0.25}}"#;
        let last = step.replace("tool-calls", "stop");
        let session = read(&[step, &last], &[], 0);
        assert_eq!(session.tokens, Some(Tokens { input: 20, cache_read: 8, cache_write: 2, output: 10 }));
        assert_eq!((session.cost, session.last, session.id.as_deref()), (Some(0.5), Some(None), Some("s")));
    }

    #[test]
    fn a_limit_has_its_time_in_the_headers() {
        let error = |headers: &str| {
            let line = format!(
                r#"{{"type":"error","sessionID":"s","error":{{"name":"APIError","data":{{"message":"slow down","statusCode":429,"responseHeaders":{headers}}}}}}}"#
            );
            read(&[&line], &[], 1).limit.map(|limit| (limit.kind, limit.resets))
        };
        assert_eq!(error(r#"{"retry-after":"30"}"#), Some((LimitKind::Rate, Some(Resets::In(30)))));
        assert_eq!(error(r#"{"retry-after-ms":"1500"}"#), Some((LimitKind::Rate, Some(Resets::In(2)))));
        let at = Some((LimitKind::Rate, Some(Resets::At(1_795_250_344))));
        assert_eq!(error(r#"{"anthropic-ratelimit-unified-reset":"1795250344"}"#), at);
        assert_eq!(error("{}"), Some((LimitKind::Rate, None)));
    }

    #[test]
    fn what_is_rejected_is_told_on_standard_error() {
        let session = read(&[], &["! permission requested: bash (rm *); auto-rejecting"], 0);
        assert_eq!(session.denied, ["bash (rm *)"]);
    }
}
