//! What models cost, for agents that say how many tokens they used and not what that costs. List prices, each with the
//! day of its source; `[prices."model"]` in `spec.toml` says otherwise. A model that is not here has no price: nothing is
//! guessed from its name.
//!
//! A figure from here is an estimate and says so with its day: discounts, batch and priority tiers, and dearer long prompts
//! are not seen in the sums that agents report. Cache writes count as those that are kept for the shortest time.

use std::collections::BTreeMap;

use super::Tokens;
use crate::engine::budget::Money;

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Price {
    /// Sent, and not found in a cache.
    pub input: f64,
    /// Sent, and found in the cache.
    pub cache_read: f64,
    /// Sent, and put into the cache.
    pub cache_write: f64,
    /// Answered, thoughts included.
    pub output: f64,
}

impl Price {
    /// What so many tokens cost.
    #[must_use]
    pub fn of(&self, tokens: &Tokens) -> Money {
        let kinds = [
            (tokens.input, self.input),
            (tokens.cache_read, self.cache_read),
            (tokens.cache_write, self.cache_write),
            (tokens.output, self.output),
        ];
        // Dollars for a million are millionths of a dollar for one.
        Money::from_usd(kinds.iter().map(|(tokens, price)| *tokens as f64 * price).sum::<f64>() / 1e6)
    }
}

/// What tokens cost by a price that was looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// The money.
    pub money: Money,
    /// The day of the price, or `spec.toml`.
    pub prices_of: String,
}

/// What so many tokens of a model cost; none where its price is not known. `own` are the prices of `spec.toml`: those of
/// the longest name that the model's begins with.
#[must_use]
pub fn estimate(model: &str, tokens: &Tokens, own: &BTreeMap<String, Price>) -> Option<Estimated> {
    let model = plain(model);
    let own = own.iter().filter(|(name, _)| model.starts_with(plain(name).as_str())).max_by_key(|(name, _)| name.len());
    if let Some((_, price)) = own {
        return Some(Estimated { money: price.of(tokens), prices_of: "spec.toml".to_owned() });
    }
    let (_, day, price) = LISTED.iter().find(|(name, ..)| model.strip_prefix(name).is_some_and(is_release))?;
    Some(Estimated { money: price.of(tokens), prices_of: (*day).to_owned() })
}

/// A model's name without the provider that it is had through: `anthropic/claude-x`, `us.anthropic.claude-x`, `models/x`.
fn plain(model: &str) -> String {
    let model = model.trim().to_ascii_lowercase();
    let model = model.rsplit('/').next().unwrap_or_default();
    model.rsplit_once("anthropic.").map_or(model, |(_, model)| model).to_owned()
}

/// Whether what follows a model's name is a release of just that model: nothing, a date, `latest`, `preview`, or the size
/// of its window. `-mini`, `-pro`, `.1` are other models with prices of their own.
fn is_release(rest: &str) -> bool {
    let rest = rest.split(['[', '@', ':']).next().unwrap_or_default();
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let named = |part: &str| matches!(part, "latest" | "preview") || part.starts_with('v') && digits(&part[1..]);
    // Two digits at the least: `-5` behind `opus-4` is the next model.
    rest.is_empty()
        || rest
            .strip_prefix('-')
            .is_some_and(|rest| rest.split('-').all(|part| named(part) || part.len() > 1 && digits(part)))
}

/// The day of the price list of Claude models: <https://platform.claude.com/docs/en/about-claude/pricing> and the pages of
/// the models there.
const CLAUDE: &str = "2026-10-07";
/// Of older GPT, Gemini and Qwen models: <https://github.com/anomalyco/models.dev>.
const OLDER: &str = "2026-07-02";
/// Of GPT-5.6: <https://developers.openai.com/api/docs/pricing>, when it was last made cheaper.
const GPT_5_6: &str = "2026-09-22";
/// Of GPT-6 and later: <https://developers.openai.com/api/docs/pricing>. Cache writes cost 1.25 times the input there.
const GPT_6: &str = "2026-10-27";
/// Of the newest Gemini: <https://ai.google.dev/gemini-api/docs/pricing>, half price until the end of that year.
const GEMINI: &str = "2026-09-02";

const fn price(input: f64, cache_read: f64, cache_write: f64, output: f64) -> Price {
    Price { input, cache_read, cache_write, output }
}

/// Where putting something into the cache costs what sending it costs.
const fn plain_cache(input: f64, cache_read: f64, output: f64) -> Price {
    price(input, cache_read, input, output)
}

/// Name, day, price.
static LISTED: &[(&str, &str, Price)] = &[
    ("claude-fable-5-1", CLAUDE, price(10.0, 0.25, 12.5, 50.0)),
    ("claude-fable-5", CLAUDE, price(10.0, 1.0, 12.5, 50.0)),
    ("claude-opus-5-5", CLAUDE, price(4.0, 0.2, 5.0, 20.0)),
    ("claude-opus-5", CLAUDE, price(5.0, 0.5, 6.25, 25.0)),
    ("claude-opus-4-8", CLAUDE, price(5.0, 0.5, 6.25, 25.0)),
    ("claude-opus-4-7", CLAUDE, price(5.0, 0.5, 6.25, 25.0)),
    ("claude-opus-4-6", CLAUDE, price(5.0, 0.5, 6.25, 25.0)),
    ("claude-opus-4-5", CLAUDE, price(5.0, 0.5, 6.25, 25.0)),
    ("claude-opus-4-1", CLAUDE, price(15.0, 1.5, 18.75, 75.0)),
    ("claude-opus-4", CLAUDE, price(15.0, 1.5, 18.75, 75.0)),
    ("claude-sonnet-5-5", CLAUDE, price(2.0, 0.2, 2.5, 10.0)),
    ("claude-sonnet-5", CLAUDE, price(2.0, 0.2, 2.5, 10.0)),
    ("claude-sonnet-4-6", CLAUDE, price(3.0, 0.3, 3.75, 15.0)),
    ("claude-sonnet-4-5", CLAUDE, price(3.0, 0.3, 3.75, 15.0)),
    ("claude-sonnet-4", CLAUDE, price(3.0, 0.3, 3.75, 15.0)),
    // Of prompts of more than 100,000 tokens, as an agent's are before long; short ones cost a fifth.
    ("claude-haiku-5-5", CLAUDE, price(0.5, 0.05, 0.625, 2.5)),
    ("claude-haiku-4-5", CLAUDE, price(1.0, 0.1, 1.25, 5.0)),
    ("gpt-6.1-sol", GPT_6, price(2.0, 0.1, 2.5, 10.0)),
    ("gpt-6.1-terra", GPT_6, price(1.0, 0.05, 1.25, 5.0)),
    ("gpt-6-astra", GPT_6, price(10.0, 1.0, 12.5, 50.0)),
    ("gpt-6-sol", GPT_6, price(2.0, 0.2, 2.5, 10.0)),
    ("gpt-6-luna", GPT_6, price(0.1, 0.01, 0.125, 0.5)),
    ("gpt-5.6-sol", GPT_5_6, plain_cache(4.0, 0.4, 20.0)),
    ("gpt-5.6-terra", GPT_5_6, plain_cache(2.0, 0.2, 12.0)),
    ("gpt-5.6-luna", GPT_5_6, plain_cache(0.2, 0.02, 1.2)),
    ("gpt-5.5", OLDER, plain_cache(5.0, 0.5, 30.0)),
    ("gpt-5.4-mini", OLDER, plain_cache(0.75, 0.075, 4.5)),
    ("gpt-5.4-nano", OLDER, plain_cache(0.2, 0.02, 1.25)),
    ("gpt-5.4", OLDER, plain_cache(2.5, 0.25, 15.0)),
    ("gpt-5.3-codex", OLDER, plain_cache(1.75, 0.175, 14.0)),
    ("gpt-5.2-codex", OLDER, plain_cache(1.75, 0.175, 14.0)),
    ("gpt-5.2", OLDER, plain_cache(1.75, 0.175, 14.0)),
    ("gpt-5.1-codex-max", OLDER, plain_cache(1.25, 0.125, 10.0)),
    ("gpt-5.1-codex-mini", OLDER, plain_cache(0.25, 0.025, 2.0)),
    ("gpt-5.1-codex", OLDER, plain_cache(1.25, 0.125, 10.0)),
    ("gpt-5.1", OLDER, plain_cache(1.25, 0.125, 10.0)),
    ("gpt-5-codex", OLDER, plain_cache(1.25, 0.125, 10.0)),
    ("gpt-5-mini", OLDER, plain_cache(0.25, 0.025, 2.0)),
    ("gpt-5-nano", OLDER, plain_cache(0.05, 0.005, 0.4)),
    ("gpt-5", OLDER, plain_cache(1.25, 0.125, 10.0)),
    ("gemini-3.8-flash", GEMINI, plain_cache(0.75, 0.075, 3.75)),
    ("gemini-3.5-flash", OLDER, plain_cache(1.5, 0.15, 9.0)),
    ("gemini-3.1-pro", OLDER, plain_cache(2.0, 0.2, 12.0)),
    ("gemini-3.1-flash-lite", OLDER, plain_cache(0.25, 0.025, 1.5)),
    ("gemini-3-pro", OLDER, plain_cache(2.0, 0.2, 12.0)),
    ("gemini-3-flash", OLDER, plain_cache(0.5, 0.05, 3.0)),
    ("gemini-2.5-pro", OLDER, plain_cache(1.25, 0.125, 10.0)),
    ("gemini-2.5-flash-lite", OLDER, plain_cache(0.1, 0.01, 0.4)),
    ("gemini-2.5-flash", OLDER, plain_cache(0.3, 0.03, 2.5)),
    ("qwen3.7-max", OLDER, price(2.5, 0.5, 3.125, 7.5)),
    ("qwen3.7-plus", OLDER, price(0.5, 0.05, 0.625, 3.0)),
    ("qwen3.6-plus", OLDER, price(0.5, 0.05, 0.625, 3.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: Tokens = Tokens { input: 1_000_000, cache_read: 0, cache_write: 0, output: 0 };

    fn input_of(model: &str) -> Option<f64> {
        estimate(model, &MILLION, &BTreeMap::new()).map(|it| it.money.usd())
    }

    #[test]
    fn every_kind_of_token_has_its_price() {
        let tokens = Tokens { input: 1000, cache_read: 200_000, cache_write: 10_000, output: 500 };
        let found = estimate("claude-opus-5-5", &tokens, &BTreeMap::new()).unwrap();
        assert_eq!(found.money, Money::from_micros(4_000 + 40_000 + 50_000 + 10_000));
        assert_eq!(found.prices_of, CLAUDE);
    }

    #[test]
    fn a_release_of_a_model_costs_what_the_model_costs() {
        for (model, input) in [
            ("claude-opus-4-1-20250805", 15.0),
            ("claude-opus-4-20250514", 15.0),
            ("claude-opus-4-5-20251101", 5.0),
            ("claude-opus-5-5[1m]", 4.0),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.0),
            ("anthropic/claude-sonnet-5", 2.0),
            ("openai/gpt-5.2-2025-12-11", 1.75),
            ("gpt-5-latest", 1.25),
            ("models/gemini-3-pro-preview", 2.0),
            ("gemini-3.1-pro-preview-06-05", 2.0),
            ("GPT-5-Mini", 0.25),
        ] {
            assert_eq!(input_of(model), Some(input), "{model}");
        }
    }

    #[test]
    fn the_price_of_another_model_is_not_guessed() {
        for model in
            ["", "claude-opus-4-9", "claude-opus-6", "gpt-5.7", "gpt-5-pro", "gpt-5.5-codex", "gpt-4", "qwen3", "m1"]
        {
            assert_eq!(input_of(model), None, "{model}");
        }
    }

    #[test]
    fn the_projects_own_prices_come_first() {
        let own = |names: &[(&str, f64)]| {
            names
                .iter()
                .map(|(name, input)| ((*name).to_owned(), Price { input: *input, ..Price::default() }))
                .collect()
        };
        let own: BTreeMap<String, Price> = own(&[("gpt-5", 7.0), ("gpt-5-mini", 8.0), ("my/local", 0.0)]);
        let of = |model: &str| estimate(model, &MILLION, &own).map(|it| (it.money.usd(), it.prices_of));
        assert_eq!(of("gpt-5-codex"), Some((7.0, "spec.toml".to_owned())));
        assert_eq!(of("gpt-5-mini-2026"), Some((8.0, "spec.toml".to_owned())));
        assert_eq!(of("my/local"), Some((0.0, "spec.toml".to_owned())));
        assert_eq!(of("gemini-2.5-pro"), Some((1.25, OLDER.to_owned())));
    }

    #[test]
    fn a_name_stands_behind_those_that_begin_with_it() {
        for (at, (name, ..)) in LISTED.iter().enumerate() {
            let hidden = LISTED[..at].iter().find(|(before, ..)| name.strip_prefix(before).is_some_and(is_release));
            assert!(hidden.is_none(), "{name} is hidden by {hidden:?}");
        }
    }
}
