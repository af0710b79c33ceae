//! Takes secrets out of text: what looks like a key of a well-known provider (`shapes`), the values of configured
//! variables, and what configured patterns match. Pure; the runtime, the prompt and git ask it.
//!
//! A secret becomes `[masked:github-token]` (or the name of its variable), everything around it stays as it is, byte for
//! byte, line for line. Text passes in lines: [`Stream`] keeps back a line whose end has not come, so that it does not
//! matter where a pipe cuts, and what has nothing suspicious in it is not copied. A value of several lines is masked line by
//! line, so that it is found indented, numbered or escaped, too.
//!
//! ```
//! use spec::mask::{Config, Masker};
//!
//! let masker = Masker::new(&Config::default(), [("DEPLOY_TOKEN".into(), "correct-horse-7".into())]).unwrap();
//! assert_eq!(masker.text("it is correct-horse-7, still"), "it is [masked:DEPLOY_TOKEN], still");
//! ```

mod shapes;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Captures, Regex, RegexBuilder};

use shapes::{KEY_BEGINS, KEY_BODY, PRIVATE_KEY, SHAPES};

/// Values shorter than this are left alone.
pub const SHORTEST: usize = 8;
/// So much of a line is kept back until its end comes.
const HOLD: usize = 256 * 1024;
/// Of a longer one, so much at its end: what may be the beginning of a secret.
const OVERLAP: usize = 16 * 1024;
/// On a line of a file, these say that what looks like a secret is none: ours, and those of other scanners.
const ALLOWED: [&str; 3] = ["spec:allow-secret", "gitleaks:allow", "pragma: allowlist secret"];

/// What is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether anything is.
    pub on: bool,
    /// Names of variables whose values are secrets; `*` stands for anything.
    pub env: Vec<String>,
    /// Regular expressions; the first group, where there is one, is the secret. They match within a line.
    pub patterns: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        const ENV: [&str; 22] = [
            "TOKEN",
            "*_TOKEN",
            "*_TOKEN_*",
            "*_KEY",
            "*_KEY_BASE64",
            "*_APIKEY",
            "SECRET",
            "*_SECRET",
            "*_SECRET_*",
            "PASSWORD",
            "*_PASSWORD",
            "*_PASSWD",
            "*_PASSPHRASE",
            "*_PAT",
            "*_CREDENTIALS",
            "*_CREDENTIALS_JSON",
            "PGPASSWORD",
            "MYSQL_PWD",
            "*_DSN",
            "*DATABASE_URL",
            "*REDIS_URL",
            "*MONGODB_URI",
        ];
        Self { on: true, env: ENV.map(str::to_owned).to_vec(), patterns: Vec::new() }
    }
}

impl Config {
    /// Of these variables, those whose values are secrets.
    fn secrets_of(&self, vars: impl IntoIterator<Item = (String, String)>) -> impl Iterator<Item = (String, String)> {
        vars.into_iter().filter(|(name, _)| self.on && self.env.iter().any(|pattern| matches_name(pattern, name)))
    }
}

/// Whether a pattern, in which `*` stands for anything, means this name.
#[must_use]
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

/// A pattern that is no regular expression.
#[derive(Debug, thiserror::Error)]
#[error("is not a regular expression: {0}")]
pub struct PatternError(String);

/// Checks a pattern.
pub fn check_pattern(pattern: &str) -> Result<(), PatternError> {
    regex(pattern).map(drop).map_err(|error| PatternError(error.to_string()))
}

fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

/// Knows what is secret. Made once for a run.
pub struct Masker {
    /// Finds the words of shapes, then values.
    words: AhoCorasick,
    /// Which shape, by word.
    shape_of: Vec<usize>,
    /// Made when a word of theirs is met for the first time.
    shapes: Vec<OnceLock<Option<Regex>>>,
    of_values: Vec<Value>,
    patterns: Vec<Regex>,
}

struct Value {
    name: String,
    text: String,
    /// Sure enough to keep a task from landing.
    sure: bool,
}

/// A secret on a line.
struct Span<'m> {
    start: usize,
    end: usize,
    name: &'m str,
    sure: bool,
}

/// What [`Masker::find`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// 1-based.
    pub line: usize,
    /// What it looks like: the name of its shape.
    pub kind: &'static str,
    /// The whole line.
    pub text: &'a [u8],
}

impl fmt::Debug for Masker {
    /// Without what it knows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("values", &self.of_values.len()).finish_non_exhaustive()
    }
}

impl Masker {
    /// Knows the shapes, the patterns, and the values of those of these variables that are configured as secrets.
    pub fn new(config: &Config, vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, PatternError> {
        let mut of_values: Vec<Value> = Vec::new();
        for (name, value) in config.secrets_of(vars) {
            for (text, sure) in needles(&value) {
                if !of_values.iter().any(|known| known.text == text) {
                    of_values.push(Value { name: name.clone(), text, sure });
                }
            }
        }
        let (shapes, patterns) = if config.on { (SHAPES, &config.patterns[..]) } else { (&[][..], &[][..]) };
        let words: Vec<(usize, &str)> =
            shapes.iter().enumerate().flat_map(|(at, shape)| shape.words.iter().map(move |word| (at, *word))).collect();
        let words_and_values =
            words.iter().map(|(_, word)| *word).chain(of_values.iter().map(|value| value.text.as_str()));
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(words_and_values);
        let patterns: Result<_, _> = patterns.iter().map(|pattern| regex(pattern)).collect();
        Ok(Self {
            words: automaton.map_err(|error| PatternError(format!("the values are too many: {error}")))?,
            shape_of: words.iter().map(|(at, _)| *at).collect(),
            shapes: shapes.iter().map(|_| OnceLock::new()).collect(),
            patterns: patterns.map_err(|error: regex::Error| PatternError(error.to_string()))?,
            of_values,
        })
    }

    /// The text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A pattern may have matched a part of a character.
            Cow::Owned(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
        }
    }

    /// The same for bytes.
    #[must_use]
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let spans = self.spans(bytes, &mut Inside::default());
        if spans.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut masked = Vec::with_capacity(bytes.len());
        replace(bytes, &spans, &mut |part| masked.extend_from_slice(part));
        Cow::Owned(masked)
    }

    /// The same in place.
    pub fn mask(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.text(text) {
            *text = masked;
        }
    }

    /// What in a file is surely a secret, line by line, and not allowed there.
    #[must_use]
    pub fn find<'a>(&self, bytes: &'a [u8]) -> Vec<Found<'a>> {
        let mut found: Vec<Found<'a>> = Vec::new();
        // The number of the line, where it begins and where it ends.
        let (mut number, mut begins, mut ends) = (1, 0, 0);
        for span in self.spans(bytes, &mut Inside::default()).iter().filter(|span| span.sure) {
            if span.start < ends {
                continue;
            }
            let start = line_start(bytes, span.start);
            number += memchr::memchr_iter(b'\n', &bytes[begins..start]).count();
            (begins, ends) = (start, line_end(bytes, span.start));
            let text = &bytes[begins..ends];
            let kind = SHAPES.iter().find(|shape| shape.name == span.name).map_or("configured secret", |it| it.name);
            if !ALLOWED.iter().any(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some()) {
                found.push(Found { line: number, kind, text });
            }
        }
        found
    }

    /// The secrets in these lines, in order, none inside another. `inside` says whether the first is of a private key, and
    /// then whether the one behind the last is.
    fn spans(&self, bytes: &[u8], inside: &mut Inside) -> Vec<Span<'_>> {
        let mut spans = Vec::new();
        let mut keys: Vec<usize> = Vec::new();
        if *inside != Inside::No {
            follow_key(bytes, 0, inside, &mut spans);
        }
        // Where the line of the word ends.
        let mut end = 0;
        for word in self.words.find_overlapping_iter(bytes) {
            let at = word.pattern().as_usize();
            let Some(&shape) = self.shape_of.get(at) else {
                let Value { name, sure, .. } = &self.of_values[at - self.shape_of.len()];
                spans.push(Span { start: word.start(), end: word.end(), name, sure: *sure });
                continue;
            };
            let (shape, regex) = (&SHAPES[shape], &self.shapes[shape]);
            let Some(start) = word.start().checked_sub(shape.behind) else { continue };
            if shape.word && !begins_word(&bytes[..start]) {
                continue;
            }
            if end <= start {
                end = line_end(bytes, start);
            }
            let Some(regex) = regex.get_or_init(|| self::regex(&format!("^(?:{})", shape.pattern)).ok()) else {
                continue;
            };
            let line = &bytes[start..end.max(start)];
            if let Some(secret) = regex.captures(line).and_then(|captures| secret_of(&captures)) {
                if (shape.check)(&line[secret.clone()]) {
                    let (start, end) = (start + secret.start, start + secret.end);
                    spans.push(Span { start, end, name: shape.name, sure: shape.sure });
                }
            } else if shape.name == PRIVATE_KEY && KEY.begins(line) {
                keys.push(end + 1);
            }
        }
        for below in keys {
            *inside = Inside::Begun;
            follow_key(bytes, below, inside, &mut spans);
        }
        for regex in &self.patterns {
            for secret in regex.captures_iter(bytes).filter_map(|captures| secret_of(&captures)) {
                let end = secret.end.min(line_end(bytes, secret.start));
                if end > secret.start {
                    spans.push(Span { start: secret.start, end, name: "pattern", sure: true });
                }
            }
        }
        apart(spans)
    }
}

/// The same spans in order, those that overlap as one.
fn apart(mut spans: Vec<Span<'_>>) -> Vec<Span<'_>> {
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let mut apart: Vec<Span<'_>> = Vec::with_capacity(spans.len());
    for span in spans {
        match apart.last_mut().filter(|last| span.start < last.end) {
            Some(last) => {
                last.end = last.end.max(span.end);
                if span.sure && !last.sure {
                    (last.name, last.sure) = (span.name, true);
                }
            }
            None => apart.push(span),
        }
    }
    apart
}

/// Passes on the bytes, with names in place of these.
fn replace(bytes: &[u8], spans: &[Span<'_>], sink: &mut impl FnMut(&[u8])) {
    let mut done = 0;
    for span in spans {
        sink(&bytes[done..span.start]);
        sink(b"[masked:");
        sink(span.name.as_bytes());
        sink(b"]");
        done = span.end;
    }
    if done < bytes.len() {
        sink(&bytes[done..]);
    }
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    memchr::memrchr2(b'\n', b'\r', &bytes[..at]).map_or(0, |end| end + 1)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |end| at + end)
}

/// Whether a word may begin behind this: no letter or digit, a line end as JSON has it, or a colour of the terminal.
fn begins_word(before: &[u8]) -> bool {
    match before {
        [] | [.., b'\\', b'n' | b'r' | b't'] => true,
        [colour @ .., b'm'] => {
            let digits = |byte: &&u8| byte.is_ascii_digit() || **byte == b';';
            let rest = colour.len() - colour.iter().rev().take_while(digits).count();
            colour[..rest].ends_with(b"\x1b[") || colour[..rest].ends_with(b"u001b[")
        }
        [.., last] => !(last.is_ascii_alphanumeric() || *last == b'_'),
    }
}

/// What a match means: its first group, or all of it.
fn secret_of(captures: &Captures<'_>) -> Option<std::ops::Range<usize>> {
    let mut groups = captures.iter();
    let whole = groups.next().flatten();
    groups.flatten().next().or(whole).map(|found| found.range())
}

/// The texts to look for because of a value, and whether each is sure. None where it is too short, or a plain word that
/// is everywhere.
fn needles(value: &str) -> Vec<(String, bool)> {
    let mut texts: BTreeSet<(String, bool)> = BTreeSet::new();
    let mut add = |text: &str, sure: bool| {
        if is_plain(text) {
            return;
        }
        texts.insert((text.to_owned(), sure));
        // As it stands in JSON.
        if let Ok(escaped) = serde_json::to_string(text)
            && escaped.len() > text.len() + 2
        {
            texts.insert((escaped[1..escaped.len() - 1].to_owned(), sure));
        }
    };
    let value = value.trim();
    if value.contains(['\n', '\r']) {
        for line in value.split(['\n', '\r']).map(str::trim).filter(|line| !line.starts_with("-----")) {
            // A line of a longer text may be anything; of a key it is a piece of what nobody types.
            add(line, line.len() >= 32 && !line.contains(' '));
        }
    } else if let Some((_, rest)) = value.split_once("://") {
        let login = rest.split(['/', '?', '#']).next().unwrap_or_default().rsplit_once('@').map(|(login, _)| login);
        if let Some((_, password)) = login.and_then(|login| login.split_once(':')) {
            add(value, true);
            add(password, true);
        } else if login.is_some() {
            add(value, true);
        }
    } else {
        add(value, true);
    }
    texts.into_iter().collect()
}

/// Whether a value is too short to be told from ordinary text, or a word or a number as stands in any text.
fn is_plain(value: &str) -> bool {
    let all = |what: fn(&u8) -> bool| value.as_bytes().iter().all(what);
    value.len() < SHORTEST
        || value.len() < 20 && (all(u8::is_ascii_lowercase) || all(u8::is_ascii_uppercase))
        || value.len() < 12 && all(u8::is_ascii_digit)
}

/// Whether the lines are those of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Inside {
    #[default]
    No,
    /// Behind its first line.
    Begun,
    /// In its body.
    Body,
}

/// How a private key over several lines looks.
struct Key {
    begins: Option<Regex>,
    body: Option<Regex>,
}

static KEY: LazyLock<Key> = LazyLock::new(|| Key { begins: regex(KEY_BEGINS).ok(), body: regex(KEY_BODY).ok() });

impl Key {
    fn begins(&self, line: &[u8]) -> bool {
        self.begins.as_ref().is_some_and(|regex| regex.is_match(line))
    }
}

/// Follows a private key from line to line, until there is one that is none of its body.
fn follow_key(bytes: &[u8], mut at: usize, inside: &mut Inside, spans: &mut Vec<Span<'_>>) {
    while at < bytes.len() {
        let end = line_end(bytes, at);
        let Some(body) = KEY.body.as_ref().and_then(|regex| regex.captures(&bytes[at..end])) else {
            *inside = Inside::No;
            return;
        };
        if let Some(group) = body.get(1).or(body.get(2)) {
            // A word alone below what begins a key is no key yet.
            if *inside == Inside::Begun && body.get(2).is_some_and(|it| it.len() < 16) {
                *inside = Inside::No;
                return;
            }
            *inside = Inside::Body;
            spans.push(Span { start: at + group.start(), end: at + group.end(), name: PRIVATE_KEY, sure: true });
        }
        at = end + 1;
    }
}

/// Takes secrets out of what comes in pieces.
#[derive(Debug)]
pub struct Stream {
    masker: Arc<Masker>,
    /// The beginning of a line whose end has not come.
    held: Vec<u8>,
    inside: Inside,
}

impl Stream {
    /// A stream of its own.
    #[must_use]
    pub fn new(masker: Arc<Masker>) -> Self {
        Self { masker, held: Vec::new(), inside: Inside::No }
    }

    /// Takes a piece, and passes on the lines that are whole by now. A line that was begun in here goes with its end.
    pub fn push(&mut self, mut piece: &[u8], sink: &mut impl FnMut(&[u8])) {
        if !self.held.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', piece).map_or(piece.len(), |end| end + 1);
            let (line, rest) = piece.split_at(end);
            self.held.extend_from_slice(line);
            piece = rest;
            if !line.ends_with(b"\n") && !line.ends_with(b"\r") {
                self.overflow(sink);
                return;
            }
            let mut line = std::mem::take(&mut self.held);
            self.pass(&line, sink);
            if line.capacity() <= OVERLAP {
                line.clear();
                self.held = line;
            }
        }
        let whole = memchr::memrchr2(b'\n', b'\r', piece).map_or(0, |end| end + 1);
        self.pass(&piece[..whole], sink);
        self.held.extend_from_slice(&piece[whole..]);
        self.overflow(sink);
    }

    /// Passes on what was kept back: nothing more comes.
    pub fn finish(&mut self, sink: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.held);
        self.pass(&line, sink);
    }

    fn pass(&mut self, lines: &[u8], sink: &mut impl FnMut(&[u8])) {
        if !lines.is_empty() {
            let spans = self.masker.spans(lines, &mut self.inside);
            replace(lines, &spans, sink);
        }
    }

    /// A line grew too long to be kept: its beginning is passed on, up to where a secret may have begun.
    fn overflow(&mut self, sink: &mut impl FnMut(&[u8])) {
        if self.held.len() <= HOLD {
            return;
        }
        let mut cut = self.held.len() - OVERLAP;
        let mut spans = self.masker.spans(&self.held, &mut Inside::default());
        if let Some(span) = spans.iter().find(|span| (span.start + 1..span.end).contains(&cut)) {
            // It may go on, unless it is longer than any secret.
            cut = if span.end - span.start <= HOLD / 2 { span.start } else { span.end };
        }
        spans.retain(|span| span.end <= cut);
        replace(&self.held[..cut], &spans, sink);
        self.held.drain(..cut);
    }
}

#[cfg(test)]
mod tests;
