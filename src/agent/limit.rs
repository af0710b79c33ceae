//! Limits as services and agents put them into words. Only what a program says of its own failure is read here, never the
//! words of a model.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Limit, LimitKind, Resets};

/// A limit that ends sooner than this is one on requests, whatever it is called.
const SOON: u64 = 10 * 60;

/// The limit that an error means, by the HTTP status where it is known, and the message.
pub(super) fn told(status: Option<u64>, message: &str) -> Option<Limit> {
    let words = message.to_lowercase().replace('’', "'");
    let has = |any: &[&str]| any.iter().any(|part| words.contains(part));
    let used_up = has(&["usage limit", "usage_limit", "hit your limit", "quota", "credit balance", "out of credits"])
        || has(&["limit reached", "spending limit", "session limit", "weekly limit", "free_usage_limit"]);
    let often =
        has(&["rate limit", "rate_limit", "ratelimit", "rate-limit", "too many requests", "resource_exhausted"])
            || number(&words, "429");
    let busy = has(&["overloaded", "service unavailable", "high demand", "at capacity"])
        || number(&words, "503")
        || number(&words, "529");
    let mut kind = match status {
        Some(402) => LimitKind::Usage,
        Some(403 | 429) | None if used_up => LimitKind::Usage,
        Some(429) => LimitKind::Rate,
        Some(503 | 529) => LimitKind::Overloaded,
        None if often => LimitKind::Rate,
        None if busy => LimitKind::Overloaded,
        _ => return None,
    };
    let resets = resets(message);
    if kind == LimitKind::Usage && matches!(resets, Some(Resets::In(seconds)) if seconds <= SOON) {
        kind = LimitKind::Rate;
    }
    Some(Limit { kind, resets, message: message.trim().to_owned() })
}

/// Whether a number stands in the words by itself, as a status does.
fn number(words: &str, number: &str) -> bool {
    words.match_indices(number).any(|(at, _)| {
        let beside = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = words.as_bytes();
        !beside(at.checked_sub(1).and_then(|before| bytes.get(before))) && !beside(bytes.get(at + number.len()))
    })
}

/// When a limit ends, in any of the shapes that were met.
pub(super) fn resets(message: &str) -> Option<Resets> {
    /// Each with what to make of it, the surest first.
    static SHAPES: LazyLock<Vec<(Regex, Shape)>> = LazyLock::new(|| {
        let clock = r"(?<hour>[0-9]{1,2})(?::(?<minute>[0-9]{2}))?(?::[0-9]{2})?(?: ?(?<half>[ap])\.?m\b\.?)?(?<zone> *\(?(?:UTC|GMT)\b)?";
        let shapes: [(String, Shape); 6] = [
            // `2026-11-21T08:39:00Z`
            (
                r"(?<stamp>20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2}))".to_owned(),
                stamp,
            ),
            // `usage limit reached|1795250344`, `"resets_at": 1795250344`
            (r#"(?:\||resets?[_-]?at"?[:= ]+"?|reset"?[:=] ?"?)(?<epoch>[0-9]{10})(?:[0-9]{3})?\b"#.to_owned(), epoch),
            // `retry-after: 30`, `retry_after_seconds: 30`
            (r#"retry[-_ ]?after(?:[-_ ]?(?:seconds|secs))?"?\s*[:=]\s*"?(?<seconds>[0-9]+)(?:\.[0-9]+)?s?\b"#.to_owned(), seconds),
            // `in 3 days 4 hours`, `after 5h23m15s`, `retry in 12.5s`
            (
                r"\b(?:in|after|for|wait)\s+(?:about\s+|another\s+|approximately\s+)?(?<span>(?:[0-9]+(?:\.[0-9]+)?\s*(?:milliseconds?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)\b?[\s,]*(?:and\s+)?)+)".to_owned(),
                span,
            ),
            // `resets Nov 25, 3pm (UTC)`, `try again at Nov 25th, 2026 9:17 AM`
            (
                format!(r"\b(?<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? (?<day>[0-9]{{1,2}})(?:st|nd|rd|th)?,?(?: (?<year>20[0-9]{{2}}),?)?(?: at)? {clock}"),
                date,
            ),
            // `resets 8:39am (UTC)`, `try again at 9:17 AM`, `at 21:05`
            (format!(r"\b(?:at|resets?|until)\s+{clock}"), time),
        ];
        // Patterns that the tests compile one by one.
        shapes
            .into_iter()
            .filter_map(|(pattern, shape)| Some((Regex::new(&format!("(?i){pattern}")).ok()?, shape)))
            .collect()
    });
    SHAPES.iter().find_map(|(regex, shape)| regex.captures_iter(message).find_map(|found| shape(&found)))
}

/// What to make of a shape that was found.
type Shape = fn(&Captures<'_>) -> Option<Resets>;

fn stamp(found: &Captures<'_>) -> Option<Resets> {
    found["stamp"].parse::<jiff::Timestamp>().ok().map(|at| Resets::At(at.as_second()))
}

fn epoch(found: &Captures<'_>) -> Option<Resets> {
    found["epoch"].parse().ok().map(Resets::At)
}

fn seconds(found: &Captures<'_>) -> Option<Resets> {
    found["seconds"].parse().ok().map(Resets::In)
}

fn span(found: &Captures<'_>) -> Option<Resets> {
    let mut seconds = 0.0;
    let mut rest = &found["span"];
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        seconds += number
            * match rest[..end].to_lowercase().as_str() {
                "ms" | "millisecond" | "milliseconds" => 0.001,
                unit => match unit.chars().next()? {
                    'd' => 86400.0,
                    'h' => 3600.0,
                    'm' => 60.0,
                    _ => 1.0,
                },
            };
        rest = &rest[end..];
    }
    // Rather a second too late than too early.
    Some(Resets::In(seconds.ceil() as u64))
}

fn date(found: &Captures<'_>) -> Option<Resets> {
    const MONTHS: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    let month = (MONTHS.find(&found["month"].to_lowercase())? / 3 + 1) as i8;
    let day = found["day"].parse().ok().filter(|day| (1..=31).contains(day))?;
    let year = found.name("year").and_then(|year| year.as_str().parse().ok());
    let (hour, minute, utc) = clock(found)?;
    Some(Resets::On { year, month, day, hour, minute, utc })
}

fn time(found: &Captures<'_>) -> Option<Resets> {
    let (hour, minute, utc) = clock(found)?;
    Some(Resets::Clock { hour, minute, utc })
}

/// Hour, minute, and whether of UTC. A bare number is no time.
fn clock(found: &Captures<'_>) -> Option<(u8, u8, bool)> {
    let hour: u8 = found["hour"].parse().ok()?;
    let minute = found.name("minute").map(|minute| minute.as_str());
    let half = found.name("half").map(|half| half.as_str().to_ascii_lowercase());
    let hour = match half.as_deref() {
        Some(half) => (hour <= 12).then_some(hour % 12 + if half == "p" { 12 } else { 0 })?,
        None => minute.map(|_| hour)?,
    };
    let minute = minute.map_or(Ok(0), str::parse).ok()?;
    (hour < 24 && minute < 60).then_some((hour, minute, found.name("zone").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_a_reset_is_understood() {
        let clock = |hour, minute, utc| Some(Resets::Clock { hour, minute, utc });
        let cases = [
            ("You've hit your limit · resets 8:39am (UTC)", clock(8, 39, true)),
            ("You've hit your limit · resets 3pm (Europe/Berlin)", clock(15, 0, false)),
            ("purchase more credits or try again at 9:17 AM.", clock(9, 17, false)),
            ("try again at 12:05 a.m.", clock(0, 5, false)),
            ("Your quota will reset at 21:05 UTC", clock(21, 5, true)),
            (
                "You've hit your weekly limit · resets Nov 25, 3pm (UTC)",
                Some(Resets::On { year: None, month: 11, day: 25, hour: 15, minute: 0, utc: true }),
            ),
            (
                "try again at Nov 25th, 2026 9:17 AM.",
                Some(Resets::On { year: Some(2026), month: 11, day: 25, hour: 9, minute: 17, utc: false }),
            ),
            ("Claude AI usage limit reached|1795250344", Some(Resets::At(1_795_250_344))),
            ("{\"resets_at\": 1795250344}", Some(Resets::At(1_795_250_344))),
            ("limit resets at 2026-11-21T08:39:04Z", Some(Resets::At(1_795_250_344))),
            ("Your quota will reset after 5h23m15s.", Some(Resets::In(19_395))),
            ("Please retry in 12.5s", Some(Resets::In(13))),
            ("Please try again in 3 days, 4 hours and 5 minutes.", Some(Resets::In(273_900))),
            ("Please try again in 20ms.", Some(Resets::In(1))),
            ("retry-after: 120", Some(Resets::In(120))),
            ("retry after 30 seconds", Some(Resets::In(30))),
            ("rate limit reached for requests at 3", None),
            ("line 12 in 3 files", None),
            ("resets 45:99", None),
        ];
        for (message, expected) in cases {
            assert_eq!(resets(message), expected, "{message}");
        }
    }

    #[test]
    fn limits_are_told_from_failures() {
        let kind = |status, message| told(status, message).map(|limit| limit.kind);
        let usage = "You’ve hit your usage limit. Upgrade to Pro or try again at 9:17 AM.";
        assert_eq!(kind(None, usage), Some(LimitKind::Usage));
        assert_eq!(kind(Some(429), "slow down"), Some(LimitKind::Rate));
        assert_eq!(kind(Some(429), "You have exhausted your daily quota on this model."), Some(LimitKind::Usage));
        assert_eq!(kind(Some(429), "You exceeded your quota, retry in 31.2s"), Some(LimitKind::Rate));
        assert_eq!(kind(None, "exceeded retry limit, last status: 429 Too Many Requests"), Some(LimitKind::Rate));
        assert_eq!(kind(Some(529), ""), Some(LimitKind::Overloaded));
        assert_eq!(kind(None, "API Error: 529 {\"type\":\"overloaded_error\"}"), Some(LimitKind::Overloaded));
        assert_eq!(kind(Some(400), "quota field is unknown"), None);
        assert_eq!(kind(Some(500), "Internal server error"), None);
        assert_eq!(kind(None, "cannot read file 14290.txt"), None);
    }
}
