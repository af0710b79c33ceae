//! What is asked of the index: words and files, as the full-text search wants them.

use std::collections::BTreeSet;

use super::Learning;

/// Words that stand in most tasks and tell nothing.
const EMPTY: [&str; 62] = [
    "and",
    "add",
    "all",
    "any",
    "are",
    "but",
    "can",
    "change",
    "check",
    "code",
    "commit",
    "create",
    "done",
    "each",
    "ensure",
    "existing",
    "file",
    "files",
    "for",
    "from",
    "has",
    "have",
    "implement",
    "into",
    "its",
    "make",
    "must",
    "need",
    "new",
    "not",
    "one",
    "only",
    "other",
    "out",
    "pass",
    "passes",
    "requirements",
    "run",
    "set",
    "should",
    "spec",
    "src",
    "step",
    "task",
    "test",
    "tests",
    "that",
    "the",
    "then",
    "there",
    "this",
    "update",
    "use",
    "used",
    "verify",
    "was",
    "when",
    "which",
    "will",
    "with",
    "without",
    "write",
];
/// A question is made of no more words, the first ones.
const WORDS: usize = 60;

/// A question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    words: Vec<String>,
    paths: Vec<String>,
}

impl Query {
    /// The question of a task, by its block and its files. What names commands, files and other pages says little of what
    /// the task is about.
    #[must_use]
    pub fn of_task(block: &str, paths: &[String]) -> Self {
        const NOT_ABOUT: [&str; 7] = ["verify", "commit", "files", "run", "requirements", "design", "depends"];
        let about = |line: &&str| {
            let words = line.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
            !NOT_ABOUT
                .iter()
                .any(|name| words.strip_prefix(name).is_some_and(|rest| rest.trim_start_matches('*').starts_with(':')))
        };
        let words = block.lines().filter(about).flat_map(str::split_whitespace);
        let words: Vec<&str> = words.filter(|word| !word.contains('/')).collect();
        Self::new(&words.join(" "), paths)
    }

    /// The question of these words and files.
    #[must_use]
    pub fn new(text: &str, paths: &[String]) -> Self {
        let mut words: Vec<String> = Vec::new();
        for word in words_of(text) {
            if words.len() < WORDS && !words.contains(&word) {
                words.push(word);
            }
        }
        let plain = |path: &&String| path.contains(char::is_alphanumeric) && !path.contains(['*', '?', '[']);
        Self { words, paths: paths.iter().filter(plain).cloned().collect() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.words.is_empty() && self.paths.is_empty()
    }

    /// The expression of the full-text search: any of the words, any of the paths as a phrase.
    pub(super) fn expression(&self) -> Option<String> {
        let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
        let all: Vec<String> = self.words.iter().chain(&self.paths).map(quoted).collect();
        (!all.is_empty()).then(|| all.join(" OR "))
    }

    /// Whether a hit is about the same file, or has more than one word in common (all, where there are fewer).
    pub(super) fn is_to_the_point(&self, learning: &Learning) -> bool {
        let names = |path: &String| learning.files.contains(path) || learning.text.contains(path.as_str());
        if self.paths.iter().any(names) {
            return true;
        }
        let own: BTreeSet<String> = words_of(&learning.text).collect();
        let shared: Vec<(&String, &String)> = self
            .words
            .iter()
            .flat_map(|word| own.iter().filter(|own| alike(word, own)).map(move |own| (word, own)))
            .collect();
        let asked: BTreeSet<_> = shared.iter().map(|(word, _)| word).collect();
        let there: BTreeSet<_> = shared.iter().map(|(_, own)| own).collect();
        // One word in two forms is one.
        asked.len().min(there.len()) >= 2.min(self.words.len()).max(1)
    }
}

/// The words of a text that tell something, in lower case.
fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= 3 && word.contains(char::is_alphabetic))
        .map(str::to_lowercase)
        .filter(|word| !EMPTY.contains(&word.as_str()))
}

/// Whether two words are most likely forms of one: they begin alike, and differ by an ending.
fn alike(a: &str, b: &str) -> bool {
    const BEGINNING: usize = 4;
    const ENDING: usize = 3;
    let common = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let rest = |word: &str| word.chars().count() - common;
    a == b || common >= BEGINNING && rest(a) <= ENDING && rest(b) <= ENDING
}
