//! Amp (`amp`), after its help and manual: it has no service of one's own to be run against.
//!
//! `amp -x --stream-json` prints Claude Code's stream and ends with a `result`. What it may do stands in its settings alone
//! (`amp.permissions`, `amp.dangerouslyAllowAll`): there is no option for it, and so no way to have it only read.

use super::claude::Reader;
use super::{Adapter, Call, Decoder, SignIn, Start};

/// See the module.
#[derive(Debug)]
pub(super) struct Amp;

impl Adapter for Amp {
    fn name(&self) -> &'static str {
        "amp"
    }

    fn title(&self) -> &'static str {
        "Amp"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["amp"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let thread: &[&str] = if call.resume.is_some() { &["threads", "continue"] } else { &[] };
        Start::new(call, thread)
            .args(call.resume)
            .args(["-x", "--stream-json"])
            // It has modes (low, medium, high, ultra), not models.
            .each("-m", call.model)
            .args(call.args)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &["AMP_API_KEY"],
            files: &[("XDG_DATA_HOME", ".local/share", "amp/secrets.json")],
            how: "run `amp login`, or set AMP_API_KEY",
        }
    }
}
