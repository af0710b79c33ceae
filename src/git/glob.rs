//! What a task declares that it touches: paths, folders and globs.

use super::change::RepoPath;

/// A path or glob of a task's `Files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    path: Vec<u8>,
    glob: bool,
}

impl Declared {
    /// An entry of `Files`, relative to the repository's root.
    #[must_use]
    pub fn new(path: &str, glob: bool) -> Self {
        let path = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/');
        Self { path: path.as_bytes().to_vec(), glob }
    }

    /// Whether it means `path`: the path itself, or a folder that the path is in.
    #[must_use]
    pub fn covers(&self, path: &RepoPath) -> bool {
        if !self.glob {
            return path.is_within(&self.path);
        }
        let bytes = path.as_bytes();
        let folders = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| &bytes[..at]);
        matches(&self.path, bytes) || folders.into_iter().any(|folder| matches(&self.path, folder))
    }
}

/// Whether `text` as a whole is what `pattern` means: `*` and `?` do not cross `/`, `**` does, `[a-z]` and `[!a-z]` are
/// one character. Linear in the pattern for each byte of the text: no pattern is slow.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let tokens = tokens(pattern);
    // Which prefixes of the pattern mean the text read so far.
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    skip_stars(&tokens, &mut reached);
    for &byte in text {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|&(at, _)| reached[at]) {
            match token {
                Token::Deep => next[at] = true,
                Token::Star => next[at] |= byte != b'/',
                Token::One(set) => next[at + 1] |= set.has(byte),
            }
        }
        skip_stars(&tokens, &mut next);
        reached = next;
    }
    reached[tokens.len()]
}

enum Token<'a> {
    /// `**`, or `**/` at the start of a part: any number of bytes.
    Deep,
    /// `*`.
    Star,
    One(Set<'a>),
}

enum Set<'a> {
    Byte(u8),
    Any,
    Class { members: &'a [u8], negated: bool },
}

impl Set<'_> {
    fn has(&self, byte: u8) -> bool {
        match *self {
            Self::Byte(own) => own == byte,
            Self::Any => byte != b'/',
            Self::Class { members, negated } => {
                let mut at = 0;
                let mut found = false;
                while at < members.len() {
                    if members.get(at + 1) == Some(&b'-') && at + 2 < members.len() {
                        found |= (members[at]..=members[at + 2]).contains(&byte);
                        at += 3;
                    } else {
                        found |= members[at] == byte;
                        at += 1;
                    }
                }
                byte != b'/' && found != negated
            }
        }
    }
}

fn tokens(pattern: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let rest = &pattern[at..];
        if rest.starts_with(b"**") {
            tokens.push(Token::Deep);
            // `a/**/b` means `a/b`, too.
            let whole_part = at == 0 || pattern[at - 1] == b'/';
            at += if whole_part && rest.get(2) == Some(&b'/') { 3 } else { 2 };
            continue;
        }
        let class = (rest[0] == b'[').then(|| rest.iter().skip(2).position(|&byte| byte == b']')).flatten();
        match (rest[0], class) {
            (b'*', _) => tokens.push(Token::Star),
            (b'?', _) => tokens.push(Token::One(Set::Any)),
            (b'[', Some(end)) => {
                let members = &rest[1..end + 2];
                let negated = matches!(members[0], b'!' | b'^') && members.len() > 1;
                tokens.push(Token::One(Set::Class { members: &members[usize::from(negated)..], negated }));
                at += end + 2;
            }
            (byte, _) => tokens.push(Token::One(Set::Byte(byte))),
        }
        at += 1;
    }
    tokens
}

/// A star may mean nothing at all.
fn skip_stars(tokens: &[Token<'_>], reached: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if reached[at] && matches!(token, Token::Deep | Token::Star) {
            reached[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, path: &str) -> bool {
        let glob = pattern.contains(['*', '?', '[']);
        Declared::new(pattern, glob).covers(&RepoPath::from(path))
    }

    #[test]
    fn a_declared_path_covers_itself_and_what_is_inside() {
        for (pattern, path, expected) in [
            ("src/a.rs", "src/a.rs", true),
            ("./src/a.rs", "src/a.rs", true),
            ("src/", "src/a/b.rs", true),
            ("src", "src/a.rs", true),
            ("src/a", "src/ab", false),
            ("src/a.rs", "a.rs", false),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn globs() {
        for (pattern, path, expected) in [
            ("src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("src/*", "src/a/b.rs", true),
            ("src/**/*.rs", "src/b.rs", true),
            ("src/**/*.rs", "src/a/c/b.rs", true),
            ("**/*_test.go", "x_test.go", true),
            ("**/*_test.go", "a/b/x_test.go", true),
            ("src/**", "src/a/b", true),
            ("src/**", "lib/a", false),
            ("a?.txt", "ab.txt", true),
            ("a?.txt", "a/.txt", false),
            ("m/[0-9]*.sql", "m/0042.sql", true),
            ("m/[!0-9]*.sql", "m/0042.sql", false),
            ("m/[]x].sql", "m/].sql", true),
            ("m/[x", "m/[x", true),
            ("*", "a", true),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn no_glob_takes_long() {
        assert!(!covers(&"*a".repeat(60), &format!("{}b", "a".repeat(400))));
    }
}
