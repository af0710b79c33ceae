//! aider (`aider`), measured with 0.86.2.
//!
//! It prints plain text, the words of the model among its own, and exits 0 even where the service refused it: that is told
//! by a line that names an error of its library and is not followed by a count of tokens. It keeps its history in files
//! that are put beside the prompt, out of the tree.

use std::sync::LazyLock;

use regex::Regex;

use super::reading::{Errors, Pieces};
use super::{Access, Adapter, Call, Decoder, Prompt, Said, SignIn, Start, Tokens, limit};

/// See the module.
#[derive(Debug)]
pub(super) struct Aider;

impl Adapter for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn title(&self) -> &'static str {
        "aider"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["aider"]
    }

    fn start(&self, call: &Call<'_>) -> Start {
        let access: &[&str] = match call.access {
            Access::Read => &["--chat-mode", "ask", "--dry-run"],
            Access::Edit | Access::Full => &[],
        };
        let quiet = ["--no-stream", "--no-pretty", "--no-check-update", "--no-analytics", "--no-show-model-warnings"];
        let beside = |what: &str| call.prompt_file.with_extension(what);
        let git: &[&str] = if call.git { &[] } else { &["--no-git"] };
        Start::new(call, &["--yes-always", "--no-auto-commits", "--no-dirty-commits", "--no-gitignore"])
            .args(quiet)
            .args(access)
            .args(git)
            .each("--model", call.model)
            .each("--message-file", [call.prompt_file])
            .each("--chat-history-file", [beside("aider.history.md")])
            .each("--input-history-file", [beside("aider.input")])
            .args(call.args)
            .prompt(Prompt::File)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<Reader>::default()
    }

    fn says_its_end(&self) -> bool {
        false
    }

    fn signs_in(&self) -> SignIn {
        SignIn {
            variables: &[
                "ANTHROPIC_API_KEY",
                "OPENAI_API_KEY",
                "GEMINI_API_KEY",
                "OPENROUTER_API_KEY",
                "DEEPSEEK_API_KEY",
            ],
            files: &[("", ".aider", "oauth-keys.env")],
            how: "set the key of a provider, such as OPENAI_API_KEY",
        }
    }
}

/// Reads what it prints.
#[derive(Default)]
struct Reader {
    words: Pieces,
    failed: Option<String>,
    errors: Errors,
}

impl Decoder for Reader {
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said)) {
        let line = String::from_utf8_lossy(line);
        if let Some(model) = line.strip_prefix("Model: ") {
            let model = model.split_once(" with ").map_or(model, |(model, _)| model);
            say(Said::Model(model.to_owned()));
        } else if let Some((tokens, cost)) = used(&line) {
            // An answer came: whatever failed before was tried again.
            self.failed = None;
            say(Said::Used { tokens, cost });
        } else if line.starts_with("litellm.") && line.contains(':') {
            self.failed = Some(line.trim().to_owned());
        } else if let (Some(error), true) = (&self.failed, line.starts_with("Retrying in ")) {
            say(Said::Retrying { error: error.clone(), delay_ms: None });
        }
        self.words.push(&line, say);
        self.words.push("\n", say);
    }

    fn stderr(&mut self, line: &[u8], _say: &mut dyn FnMut(Said)) {
        self.errors.line(line);
    }

    fn end(&mut self, exit: Option<i32>, say: &mut dyn FnMut(Said)) {
        self.words.end(say);
        let Some(error) = self.failed.take() else { return self.errors.end(exit, say) };
        if let Some(limit) = limit::told(None, &error) {
            say(Said::Limited(limit));
        }
        say(Said::Final { error: Some(error) });
    }
}

/// `Tokens: 1.2k sent, 300 cache hit, 85 received. Cost: $0.0049 message, $0.0049 session.`
fn used(line: &str) -> Option<(Tokens, Option<f64>)> {
    static COUNT: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"([0-9][0-9,.]*)(k|M)? (sent|cache write|cache hit|received)").ok());
    static COST: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\$([0-9]+(?:\.[0-9]+)?) message").ok());
    let rest = line.strip_prefix("Tokens: ")?;
    let mut tokens = Tokens::default();
    for found in COUNT.as_ref()?.captures_iter(rest) {
        let number: f64 = found[1].replace(',', "").trim_end_matches('.').parse().ok()?;
        let number = match found.get(2).map(|unit| unit.as_str()) {
            Some("k") => number * 1e3,
            Some(_) => number * 1e6,
            None => number,
        } as u64;
        match &found[3] {
            "sent" => tokens.input = number,
            "cache write" => tokens.cache_write = number,
            "cache hit" => tokens.cache_read = number,
            _ => tokens.output = number,
        }
    }
    let cost = COST.as_ref()?.captures(rest).and_then(|found| found[1].parse().ok());
    (tokens.total() > 0).then_some((tokens, cost))
}

#[cfg(test)]
mod tests {
    use super::super::{LimitKind, Session, testing};
    use super::*;

    fn read(lines: &[&str]) -> Session {
        testing::read(Aider.decoder(), lines, &[], 0)
    }

    #[test]
    fn tokens_and_money_of_each_answer_are_added_up() {
        let session = read(&[
            "Model: openai/m with whole edit format",
            "Tokens: 1.2k sent, 300 cache hit, 85 received. Cost: $0.0049 message, $0.0049 session.",
            "Tokens: 2,400 sent, 1 received. Cost: $0.0100 message, $0.0149 session.",
        ]);
        assert_eq!(session.tokens, Some(Tokens { input: 3600, cache_read: 300, cache_write: 0, output: 86 }));
        assert!((session.cost.unwrap() - 0.0149).abs() < 1e-9);
        assert_eq!((session.model.as_deref(), session.last), (Some("openai/m"), None));
    }

    #[test]
    fn it_exits_0_where_the_service_refused_it() {
        let refused = "litellm.RateLimitError: RateLimitError: OpenAIException - slow down, retry in 20s";
        let session = read(&[refused, "Retrying in 0.2 seconds...", refused]);
        assert_eq!(session.last, Some(Some(refused.to_owned())));
        assert_eq!(session.limit.map(|limit| limit.kind), Some(LimitKind::Rate));
        assert_eq!(read(&[refused, "Done.", "Tokens: 1 sent, 1 received."]).last, None, "it got past it");
    }
}
