//! Qwen Code (`qwen`), measured with 0.24.4.
//!
//! It prints Claude Code's stream, without money; the tokens of a resumed session are those of all of it. Exit code 53 is
//! too many turns, 55 another limit of its own. As with Gemini, from which it comes, a tool that is not allowed is not
//! offered to the model, so nothing is refused.

use super::claude::Reader;
use super::{Access, Acp, Adapter, Call, Cumulative, Decoder, SignIn, Start};

/// See the module.
#[derive(Debug)]
pub(super) struct Qwen;

impl Adapter for Qwen {
    fn name(&self) -> &'static str {
        "qwen"
    }

    fn title(&self) -> &'static str {
        "Qwen Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["qwen"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let mode = match call.access {
            Access::Read => "plan",
            // Less would not run commands, and has no way to ask.
            Access::Edit | Access::Full => "yolo",
        };
        Start::new(call, &["-o", "stream-json", "--approval-mode", mode])
            .each("--add-dir", call.also)
            .each("-m", call.model)
            .each("--resume", call.resume)
            .args(call.args)
            // One process instead of a launcher and its child.
            .env("QWEN_CODE_NO_RELAUNCH", "true")
            .env("QWEN_CODE_SUPPRESS_YOLO_WARNING", "1")
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
            variables: &["OPENAI_API_KEY", "DASHSCOPE_API_KEY", "BAILIAN_CODING_PLAN_API_KEY", "OPENROUTER_API_KEY"],
            files: &[("", ".qwen", "oauth_creds.json")],
            how: "run `qwen` and type /auth, or set OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL",
        }
    }

    fn acp(&self) -> Option<Acp> {
        Some(Acp { program: None, args: &["--acp"], model: Some("-m") })
    }
}
