//! Who takes turns: tasks whose declared files overlap, that share a file everyone shares, or that use one resource.
//!
//! Tasks are added in their order; each gets edges from the *latest* tasks it overlaps with, not from all: with a file
//! that n tasks name there are n - 1 edges, for the second waits for the first and the third for the second.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Edge, Reason};
use crate::document::Item;

/// Manifests and their lock files: whoever edits one of a family may rewrite the others, in its folder and above.
const FAMILIES: [&[&str]; 15] = [
    &["Cargo.toml", "Cargo.lock"],
    &[
        "package.json",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "pnpm-workspace.yaml",
        "bun.lock",
        "bun.lockb",
    ],
    &["deno.json", "deno.jsonc", "deno.lock"],
    &["go.mod", "go.sum", "go.work", "go.work.sum"],
    &["pyproject.toml", "poetry.lock", "uv.lock", "pdm.lock", "Pipfile", "Pipfile.lock", "requirements.txt"],
    &["Gemfile", "Gemfile.lock"],
    &["composer.json", "composer.lock"],
    &["mix.exs", "mix.lock"],
    &["pubspec.yaml", "pubspec.lock"],
    &["Package.swift", "Package.resolved"],
    &["Podfile", "Podfile.lock"],
    &["flake.nix", "flake.lock"],
    &["pom.xml"],
    &[
        "build.gradle",
        "build.gradle.kts",
        "settings.gradle",
        "settings.gradle.kts",
        "gradle.lockfile",
        "libs.versions.toml",
    ],
    &["Directory.Packages.props", "packages.lock.json"],
];

/// How many different globs are told apart; further ones stand for the whole folder they begin with.
const GLOBS: usize = 64;

/// Deeper paths stand for the folder at this depth.
const DEPTH: usize = 64;

/// The tasks seen so far and what they touch.
pub(super) struct Overlaps<'a> {
    shared: &'a [String],
    resources: &'a BTreeMap<String, usize>,
    paths: Paths<'a>,
    /// Every plain path in the order it was added, for globs to catch up with.
    log: Vec<(usize, Place)>,
    globs: Vec<Glob<'a>>,
    families: HashMap<usize, Paths<'a>>,
    turns: HashMap<(bool, &'a str), VecDeque<usize>>,
    edges: Vec<Edge>,
}

/// A path as its parts. A short one stands for everything below it.
type Parts<'a> = Vec<&'a str>;

struct Glob<'a> {
    parts: Parts<'a>,
    latest: usize,
    /// How much of the log it has been compared with.
    seen: usize,
}

impl<'a> Overlaps<'a> {
    /// Nobody yet. `shared` are further patterns of files everyone shares, `resources` how many may use one at once.
    pub(super) fn new(shared: &'a [String], resources: &'a BTreeMap<String, usize>) -> Self {
        Self {
            shared,
            resources,
            paths: Paths::default(),
            log: Vec::new(),
            globs: Vec::new(),
            families: HashMap::new(),
            turns: HashMap::new(),
            edges: Vec::new(),
        }
    }

    /// Adds the next task.
    pub(super) fn add(&mut self, task: usize, item: &'a Item) {
        let mut turns: Vec<&'a str> = Vec::new();
        let declared = item.fields.files.iter().map(|entry| (entry.path.as_str(), entry.glob));
        let titled = item.fields.title_files.iter().map(|path| (path.as_str(), false));
        for (path, is_glob) in declared.chain(titled) {
            let parts = parts(path);
            for pattern in self.shared {
                if !turns.contains(&pattern.as_str()) && is_shared(pattern, &parts) {
                    turns.push(pattern);
                }
            }
            if is_glob && (self.globs.len() < GLOBS || self.globs.iter().any(|glob| glob.parts == parts)) {
                self.glob(task, parts);
            } else {
                // One glob too many stands for the folder it begins with.
                let plain = parts.iter().take_while(|part| !is_glob || !is_pattern(part)).count();
                self.path(task, &parts[..plain]);
            }
        }
        for pattern in turns {
            self.turn(task, (true, pattern), 1);
        }
        for name in &item.fields.uses {
            let limit = self.resources.get(name).copied().unwrap_or(1);
            self.turn(task, (false, name), limit);
        }
    }

    /// Whether nobody waits for anybody yet.
    pub(super) fn is_free(&self) -> bool {
        self.edges.is_empty()
    }

    /// The edges, in no order; of several between two tasks the reasons differ or the details do.
    pub(super) fn into_edges(self) -> Vec<Edge> {
        self.edges
    }

    fn edge(&mut self, from: usize, to: usize, reason: Reason, detail: String) {
        if from != to {
            self.edges.push(Edge { from, to, reason, detail });
        }
    }

    fn path(&mut self, task: usize, parts: &[&'a str]) {
        let (place, waits) = self.paths.add(task, parts);
        let globs: Vec<usize> =
            self.globs.iter().filter(|glob| overlap(&glob.parts, parts)).map(|glob| glob.latest).collect();
        if let Some((name, folder)) = parts.split_last()
            && let Some(family) = FAMILIES.iter().position(|names| names.contains(name))
        {
            for (from, _) in self.families.entry(family).or_default().add(task, folder).1 {
                if !globs.contains(&from) && !waits.iter().any(|&(other, _)| other == from) {
                    self.edge(from, task, Reason::Resource, parts.join("/"));
                }
            }
        }
        for (from, deeper) in waits {
            let detail = self.paths.parts(deeper).join("/");
            self.edge(from, task, Reason::Files, detail);
        }
        for from in globs {
            self.edge(from, task, Reason::Files, parts.join("/"));
        }
        self.log.push((task, place));
    }

    fn glob(&mut self, task: usize, parts: Parts<'a>) {
        let at = self.globs.iter().position(|glob| glob.parts == parts);
        let seen = at.map_or(0, |at| self.globs[at].seen);
        for entry in seen..self.log.len() {
            let (from, place) = self.log[entry];
            let path = self.paths.parts(place);
            if overlap(&parts, &path) {
                self.edge(from, task, Reason::Files, path.join("/"));
            }
        }
        for other in 0..self.globs.len() {
            if overlap(&parts, &self.globs[other].parts) {
                let other = &self.globs[other];
                let detail = if other.parts == parts {
                    parts.join("/")
                } else {
                    format!("{} and {}", other.parts.join("/"), parts.join("/"))
                };
                self.edge(other.latest, task, Reason::Files, detail);
            }
        }
        let glob = Glob { parts, latest: task, seen: self.log.len() };
        match at {
            Some(at) => self.globs[at] = glob,
            None => self.globs.push(glob),
        }
    }

    /// With a limit of n the task waits for the n-th last user: so there are never more than n at once.
    fn turn(&mut self, task: usize, name: (bool, &'a str), limit: usize) {
        let users = self.turns.entry(name).or_default();
        if users.contains(&task) {
            return;
        }
        users.push_back(task);
        if users.len() > limit
            && let Some(from) = users.pop_front()
        {
            self.edge(from, task, Reason::Resource, name.1.to_owned());
        }
    }
}

/// A path in [`Paths`].
type Place = usize;

/// A tree of paths with the latest task of each.
struct Paths<'a> {
    nodes: Vec<Node<'a>>,
    /// Where a part of a path is, below which place.
    places: HashMap<(Place, &'a str), Place>,
}

struct Node<'a> {
    part: &'a str,
    above: Place,
    /// The latest task that names just this path, unless a path above it was named since.
    latest: Option<usize>,
    /// The places below in which there may be a latest task.
    below: Vec<Place>,
    /// Whether it is among those of the place above.
    listed: bool,
}

impl Default for Paths<'_> {
    fn default() -> Self {
        let root = Node { part: "", above: 0, latest: None, below: Vec::new(), listed: true };
        Self { nodes: vec![root], places: HashMap::new() }
    }
}

impl<'a> Paths<'a> {
    /// Adds a path; gives its place and the tasks it waits for, each with the deeper of the two paths.
    ///
    /// What is above was added after everything that it covers, so the deepest of those counts; what is below is covered
    /// by this path from now on and is dropped.
    fn add(&mut self, task: usize, parts: &[&'a str]) -> (Place, Vec<(usize, Place)>) {
        let mut here = 0;
        let mut above = self.nodes[0].latest;
        for part in parts {
            let next = *self.places.entry((here, part)).or_insert(self.nodes.len());
            if next == self.nodes.len() {
                self.nodes.push(Node { part, above: here, latest: None, below: Vec::new(), listed: false });
            }
            if !std::mem::replace(&mut self.nodes[next].listed, true) {
                self.nodes[here].below.push(next);
            }
            here = next;
            above = self.nodes[here].latest.or(above);
        }
        let mut waits = Vec::new();
        let mut covered = std::mem::take(&mut self.nodes[here].below);
        while let Some(place) = covered.pop() {
            let node = &mut self.nodes[place];
            node.listed = false;
            waits.extend(node.latest.take().map(|from| (from, place)));
            covered.append(&mut node.below);
        }
        waits.extend(above.map(|from| (from, here)));
        self.nodes[here].latest = Some(task);
        (here, waits)
    }

    /// The path of a place.
    fn parts(&self, mut place: Place) -> Parts<'a> {
        let mut parts = Vec::new();
        while place != 0 {
            parts.push(self.nodes[place].part);
            place = self.nodes[place].above;
        }
        parts.reverse();
        parts
    }
}

fn parts(path: &str) -> Parts<'_> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").take(DEPTH).collect()
}

/// Whether a path is one of a pattern of shared files; a pattern without a slash is a name in any folder.
fn is_shared(pattern: &str, path: &[&str]) -> bool {
    let mut pattern_parts = parts(pattern);
    if pattern_parts.len() == 1 && !pattern.ends_with('/') {
        pattern_parts.insert(0, "**");
    }
    overlap(&pattern_parts, path)
}

fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Whether two paths or globs can mean one file; for tests of plans.
#[cfg(test)]
pub(super) fn paths_overlap(a: &str, b: &str) -> bool {
    overlap(&parts(a), &parts(b))
}

/// Whether two paths or globs can mean one file, where each stands for everything below it, too.
///
/// A glob is taken for a little more than it matches rather than for less: `[...]` is any one character.
fn overlap(a: &[&str], b: &[&str]) -> bool {
    // `row[j]` answers for the rest of `a` and the rest of `b` from `j`, filled from the ends.
    let ended = |last: Option<&&str>, rest: &[&str]| {
        // Nothing is below a file: `**/b.rs` has no match in `src/a.rs`.
        rest.first() != Some(&"**")
            || rest.len() == 1
            || last.is_none_or(|name| is_pattern(name) || !name.contains('.'))
    };
    let mut row: Vec<bool> = (0..=b.len()).map(|j| ended(a.last(), &b[j..])).collect();
    for i in (0..a.len()).rev() {
        let mut next = vec![false; b.len() + 1];
        next[b.len()] = ended(b.last(), &a[i..]);
        for j in (0..b.len()).rev() {
            next[j] = if a[i] == "**" || b[j] == "**" {
                row[j] || next[j + 1]
            } else {
                row[j + 1] && part_overlap(a[i], b[j])
            };
        }
        row = next;
    }
    row[0]
}

/// Whether two parts of globs can mean one name.
fn part_overlap(a: &str, b: &str) -> bool {
    /// Longer patterns are taken to match.
    const LONG: usize = 200;
    if a == b || !is_pattern(a) && !is_pattern(b) {
        return a == b;
    }
    let (a, b) = (tokens(a), tokens(b));
    if a.len() > LONG || b.len() > LONG {
        return true;
    }
    let stars = |rest: &[Token]| rest.iter().all(|token| *token == Token::Star);
    let mut row: Vec<bool> = (0..=b.len()).map(|j| stars(&b[j..])).collect();
    for i in (0..a.len()).rev() {
        let mut next = vec![false; b.len() + 1];
        next[b.len()] = stars(&a[i..]);
        for j in (0..b.len()).rev() {
            next[j] = match (a[i], b[j]) {
                (Token::Star, _) | (_, Token::Star) => row[j] || next[j + 1],
                (Token::One, _) | (_, Token::One) => row[j + 1],
                (Token::Is(x), Token::Is(y)) => x == y && row[j + 1],
            };
        }
        row = next;
    }
    row[0]
}

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    One,
    Is(char),
}

fn tokens(part: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let class = rest.strip_prefix('[').and_then(|inside| inside.find(']'));
        let length = class.map_or(first.len_utf8(), |end| end + 2);
        tokens.push(match first {
            '*' => Token::Star,
            '?' => Token::One,
            _ if class.is_some() => Token::One,
            _ => Token::Is(first),
        });
        rest = &rest[length..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_when_equal_or_inside() {
        for (a, b) in [
            ("src/a.rs", "src/a.rs"),
            ("./src//a.rs", "src/a.rs"),
            ("src/", "src/a.rs"),
            (".", "anything/at/all"),
            ("src/*.rs", "src/a.rs"),
            ("src/*.rs", "src"),
            ("src/**", "src/a/b/c.rs"),
            ("**/*.rs", "src/a/b/c.rs"),
            ("**/*.rs", "src"),
            ("src/**/mod.rs", "src/mod.rs"),
            ("src/a*", "src/*b"),
            ("src/?.rs", "src/[abc].rs"),
            ("app/[id]/page.tsx", "app/[id]/page.tsx"),
            ("**/a/**", "x/**/b"),
        ] {
            assert!(overlap(&parts(a), &parts(b)), "{a} {b}");
            assert!(overlap(&parts(b), &parts(a)), "{b} {a}");
        }
    }

    #[test]
    fn paths_beside_each_other_do_not_overlap() {
        for (a, b) in [
            ("src/a.rs", "src/b.rs"),
            ("src/a", "src/ab"),
            ("src/*.rs", "src/a.md"),
            ("src/*.rs", "lib/a.rs"),
            ("**/b.rs", "src/a.rs"),
            ("src/**/*.rs", "src/x/a.md"),
            ("src/a*.rs", "src/b*.rs"),
            ("src/??.rs", "src/a.rs"),
        ] {
            assert!(!overlap(&parts(a), &parts(b)), "{a} {b}");
            assert!(!overlap(&parts(b), &parts(a)), "{b} {a}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        let stars = vec!["**"; DEPTH].join("/") + "/x";
        assert!(overlap(&parts(&stars), &parts(&stars)));
        let long = "*a".repeat(5000);
        assert!(part_overlap(&long, &"a".repeat(5000)));
    }
}
