//! Durations as people write them in a list, on the command line and in settings: `90s`, `10m`, `1h30m`; a bare
//! number is seconds.

use std::time::Duration;

/// A hundred years: no clock of ours runs over.
const MOST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Reads `90s`, `10m`, `1h30m`, `2d`, `500ms` or bare seconds; the units go from large to small, each at most once. What is
/// longer than a hundred years is taken for that.
///
/// # Errors
///
/// A sentence for people that quotes what was read and says how durations look.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it like `90s`, `10m` or `1h30m`");
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if !compact.is_empty() && compact.bytes().all(|b| b.is_ascii_digit()) {
        return compact.parse().map(|seconds| Duration::from_secs(seconds).min(MOST)).map_err(|_| wrong());
    }
    let mut rest = compact.as_str();
    let mut total = Duration::ZERO;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_millis = match rest[..letters].to_ascii_lowercase().as_str() {
            "ms" => 1,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return Err(wrong()),
        };
        if unit_millis >= last_unit {
            return Err(wrong());
        }
        last_unit = unit_millis;
        rest = &rest[letters..];
        let part = number.checked_mul(unit_millis).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    if last_unit == u64::MAX { Err(wrong()) } else { Ok(total.min(MOST)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_contract_names() {
        for (text, seconds) in
            [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), ("0", 0), ("1h 30m", 5400), ("2d", 172_800)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for text in ["18446744073709551615", "99999999999h"] {
            assert_eq!(parse(text), Ok(MOST), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", " ", "m", "10x", "1m1h", "1m1m", "-5s", "1.5h", "ten minutes", "99999999999999999999s"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("1h30m"), "{error}");
        }
    }
}
