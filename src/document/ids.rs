//! Ids as lists write them, compared number by number.

use std::cmp::Ordering;

/// Compares ids number by number: 1.9 before 1.10, `T9` before `T010`.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match x.cmp(&y) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

/// An id as it is reported: without the marks behind it.
#[must_use]
pub fn bare(id: &str) -> &str {
    id.trim().trim_end_matches(['.', ':', ')'])
}

/// The parts of an id: runs of digits (without leading zeros; by length, then digits) and other characters.
fn parts(id: &str) -> impl Iterator<Item = (u8, usize, String)> {
    let mut rest = id;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let number = rest[..digits].trim_start_matches('0');
            rest = &rest[digits..];
            return Some((0, number.len(), number.to_owned()));
        }
        rest = &rest[first.len_utf8()..];
        Some((1, 0, first.to_uppercase().collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_number_by_number() {
        let mut ids = ["1.10", "1.9", "T010", "1.1", "T9", "2", "1.1a", "1.1.1", "1"];
        ids.sort_by(|a, b| compare(a, b));
        assert_eq!(ids, ["1", "1.1", "1.1.1", "1.1a", "1.9", "1.10", "2", "T9", "T010"]);
        assert_eq!(compare("T1", "t001"), Ordering::Equal);
    }
}
