//! Crush (`crush`), after its source.
//!
//! `crush run` allows everything and prints only the answer, as plain text. It has no way to only read.

use super::{Adapter, Call, Decoder, SignIn, Start, text};

/// See the module.
#[derive(Debug)]
pub(super) struct Crush;

impl Adapter for Crush {
    fn name(&self) -> &'static str {
        "crush"
    }

    fn title(&self) -> &'static str {
        "Crush"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["crush"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        Start::new(call, &["run", "-q"])
            .each("-m", call.model)
            .args(call.args)
            .env("CRUSH_DISABLE_PROVIDER_AUTO_UPDATE", "1")
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        text::decoder()
    }

    fn says_its_end(&self) -> bool {
        false
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY", "GROQ_API_KEY"],
            files: &[("XDG_DATA_HOME", ".local/share", "crush/crush.json")],
            how: "run `crush` and choose a provider, or set its key",
        }
    }
}
