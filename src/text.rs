//! Text cut at a size in bytes, between characters. Pure; whoever keeps or shows only a part of something long asks here.

/// The beginning of a text, at most so many bytes.
#[must_use]
pub fn first(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or_default()]
}

/// The end of a text, at most so many bytes.
#[must_use]
pub fn last(text: &str, most: usize) -> &str {
    let start = (text.len().saturating_sub(most)..text.len()).find(|&at| text.is_char_boundary(at));
    &text[start.unwrap_or(text.len())..]
}

/// The last lines of a text, at most so many bytes: the first one whole, unless there is only one.
#[must_use]
pub fn last_lines(text: &str, most: usize) -> &str {
    let tail = last(text, most);
    if tail.len() == text.len() {
        return text;
    }
    tail.split_once('\n').map_or(tail, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_between_characters_and_keeps_what_fits() {
        assert_eq!((first("aéb", 2), first("aéb", 3), first("aéb", 9), first("é", 1)), ("a", "aé", "aéb", ""));
        assert_eq!((last("aéb", 2), last("aéb", 3), last("aéb", 9), last("é", 1)), ("b", "éb", "aéb", ""));
        assert_eq!((first("", 0), last("", 0), first("a", 0), last("a", 0)), ("", "", "", ""));
    }

    #[test]
    fn of_lines_that_are_cut_the_first_is_whole() {
        assert_eq!(last_lines("one\ntwo\nthree", 8), "three");
        assert_eq!(last_lines("one\ntwo", 99), "one\ntwo");
        assert_eq!(last_lines("one\ntwo", 7), "one\ntwo");
        assert_eq!(last_lines("a single long line", 9), "long line");
    }
}
