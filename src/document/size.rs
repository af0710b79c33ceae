//! Sizes as people write them in a list and in settings: `512M`, `2G`, `1.5 GiB`; a bare number is bytes. Units are
//! powers of 1024, whatever their spelling.

/// Reads `512M`, `2G`, `64 KiB` or bare bytes.
///
/// # Errors
///
/// A sentence for people that quotes what was read and says how sizes look.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it like `512M` or `2G`");
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = compact.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = compact.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let unit = 1_u64 << shift;
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(unit).ok_or_else(wrong),
        // Half a byte is none, and what is beyond the range of a number is saturated, far above any machine.
        Err(_) => match number.parse::<f64>() {
            Ok(parts) if shift > 0 => Ok((parts * unit as f64) as u64),
            _ => Err(wrong()),
        },
    }
}

/// A size for people: `1.2 GiB`, `300 MiB`.
#[must_use]
pub fn show(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let at = (bytes.max(1).ilog2() / 10).min(4) as usize;
    let number = bytes as f64 / (1_u64 << (at * 10)) as f64;
    if at == 0 || number >= 100.0 { format!("{number:.0} {}", units[at]) } else { format!("{number:.1} {}", units[at]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("1.5 GiB", 3 << 29),
            ("1t", 1 << 40),
            ("10MB", 10 << 20),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        assert_eq!(
            [0, 1023, 1024, 300 << 20, 3 << 29, 1 << 45].map(show),
            ["0 bytes", "1023 bytes", "1.0 KiB", "300 MiB", "1.5 GiB", "32.0 TiB"]
        );
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "G", "-1G", "1.5", "1.2.3G", "2 apples", "10%", "99999999999999999999", "99999999999T", "NaNG"]
        {
            let error = parse(text).expect_err(text);
            assert!(error.contains("512M"), "{error}");
        }
    }
}
