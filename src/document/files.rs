//! Paths: the entries of `Files`, and paths in a title.

use super::FileEntry;
use super::commands::{bullet, code_span};
use std::borrow::Cow;
use std::cell::LazyCell;

const GONE: &[&str] = &["delete", "deleted", "deletes", "remove", "removed", "removes", "rm"];
const RENAME: &[&str] = &["rename", "renamed", "renames", "move", "moved", "moves", "mv"];
const KEPT: &[&str] =
    &["create", "created", "add", "new", "modify", "modified", "update", "updated", "edit", "change", "extend", "keep"];
const TARGET: &[&str] = &["to", "into", "as", "->", "→", "=>"];
/// Names of files that have no ending.
const NAMES: &[&str] = &[
    "Makefile",
    "Dockerfile",
    "Justfile",
    "justfile",
    "Procfile",
    "Gemfile",
    "Rakefile",
    "Vagrantfile",
    "Jenkinsfile",
    "Brewfile",
    "LICENSE",
    "README",
    "CHANGELOG",
    "CODEOWNERS",
    "CONTRIBUTING",
];

/// A piece of a line.
enum Piece<'a> {
    Word(&'a str),
    Code(&'a str),
    /// What stands in round brackets.
    Note(&'a str),
    Comma,
}

/// What the words before a path say about it.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Kept,
    Gone,
    /// The next path is the old name of a rename.
    Rename,
}

/// Reads the entries of a value: lists with commas, nested bullets, code spans or bare paths.
pub(super) fn read(value: &str, entries: &mut Vec<FileEntry>) {
    let mut heading_mode = Mode::Kept;
    for line in value.lines() {
        let line = line.trim();
        let line = &line[bullet(line)..];
        let pieces = pieces(line);
        let has_code =
            LazyCell::new(|| pieces.iter().any(|piece| matches!(piece, Piece::Code(code) if path(code).is_some())));
        let mut mode = heading_mode;
        let mut said = None;
        let first = entries.len();
        // Where the part behind the last comma begins: a note speaks of nothing before it.
        let mut part = first;
        // Whether a bare word may still be a path: the first one of each part is.
        let mut may_be_path = true;
        for piece in &pieces {
            let found = match piece {
                Piece::Comma => {
                    part = entries.len();
                    may_be_path = true;
                    None
                }
                Piece::Note(note) => {
                    let word = note.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default().to_lowercase();
                    if let Some(last) = entries[part..].last_mut() {
                        last.gone |= GONE.contains(&word.as_str());
                    }
                    None
                }
                Piece::Word(word) => {
                    let plain = word.trim_end_matches([':', '.']).trim_matches(['*', '_']);
                    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(plain));
                    if is(GONE) {
                        (mode, said) = (Mode::Gone, Some(Mode::Gone));
                    } else if is(RENAME) {
                        mode = Mode::Rename;
                    } else if is(KEPT) {
                        (mode, said) = (Mode::Kept, Some(Mode::Kept));
                    } else if is(TARGET) {
                        let arrow = !plain.starts_with(|c: char| c.is_alphabetic());
                        if let Some(last) = entries[first..].last_mut()
                            && (arrow || mode == Mode::Rename)
                        {
                            last.gone = true;
                            mode = Mode::Kept;
                            may_be_path = true;
                        }
                    } else if may_be_path {
                        let found = bare_path(word).filter(|path| !*has_code || has_ending(path));
                        may_be_path = found.is_some();
                        if let Some(path) = found {
                            push(path, mode, entries);
                        }
                    } else {
                        may_be_path = false;
                    }
                    None
                }
                Piece::Code(code) => {
                    may_be_path = false;
                    path(code)
                }
            };
            if let Some(path) = found {
                push(path, mode, entries);
            }
        }
        // `Delete:` on a line of its own speaks of the lines below it.
        if entries.len() == first && line.ends_with([':', '：']) {
            heading_mode = said.unwrap_or(Mode::Kept);
        }
    }
}

fn push(path: String, mode: Mode, entries: &mut Vec<FileEntry>) {
    for path in expand(path) {
        let glob = path.contains(['*', '?', '[']);
        // Most tasks name one path.
        if entries.is_empty() {
            entries.reserve_exact(1);
        }
        entries.push(FileEntry { path, gone: mode == Mode::Gone, glob });
    }
}

/// Paths in a title, in code spans or bare with a `/` in them.
pub(super) fn in_title(title: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let mut add = |found: Option<String>| {
        if let Some(path) = found {
            paths.extend(expand(path));
        }
    };
    if memchr::memchr(b'`', title.as_bytes()).is_some() {
        for piece in pieces(title) {
            match piece {
                Piece::Word(word) => add(word_in_title(word)),
                Piece::Code(code) => add(path(code).filter(|path| has_ending(path) || code.ends_with('/'))),
                Piece::Note(_) | Piece::Comma => {}
            }
        }
    } else if memchr::memchr(b'/', title.as_bytes()).is_some() {
        for word in title.split_ascii_whitespace() {
            word.split([',', ';']).for_each(|word| add(word_in_title(word)));
        }
    }
    paths
}

fn word_in_title(word: &str) -> Option<String> {
    memchr::memchr(b'/', word.as_bytes())?;
    path(word.trim_start_matches('(').trim_end_matches(['.', ':', ')'])).filter(|path| has_ending(path))
}

fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == ',' || c == ';' || c == '，' || c == '、' {
            pieces.push(Piece::Comma);
            at += c.len_utf8();
        } else if let Some(span) = code_span(rest) {
            pieces.push(Piece::Code(rest[span.inside].trim()));
            at += span.len;
        } else if c == '(' || c == '（' {
            let end = rest.find([')', '）']).unwrap_or(rest.len());
            pieces.push(Piece::Note(&rest[c.len_utf8()..end]));
            at += end + rest[end..].chars().next().map_or(0, char::len_utf8);
        } else {
            let mut braces = 0_usize;
            let ends = |c: char| {
                match c {
                    '{' => braces += 1,
                    '}' => braces = braces.saturating_sub(1),
                    _ => {}
                }
                c.is_whitespace() || (braces == 0 && matches!(c, ',' | ';' | '，' | '、' | '`' | '（'))
            };
            let end = rest.find(ends).filter(|&end| end > 0).unwrap_or(if c == '`' { 1 } else { rest.len() });
            let (word, note) = match rest[..end].find('(') {
                // A note right behind a path; `(group)/page.tsx` is a path.
                Some(open) if open > 0 && rest[..end].ends_with(')') => (&rest[..open], Some(&rest[open + 1..end - 1])),
                _ => (&rest[..end], None),
            };
            pieces.push(Piece::Word(word));
            pieces.extend(note.map(Piece::Note));
            at += end;
        }
    }
    pieces
}

/// A bare word as a path: stricter, since prose has slashes, too.
fn bare_path(word: &str) -> Option<String> {
    let word = word.trim_matches(['*', '"', '\'']).trim_end_matches([':', '.']);
    let path = path(word)?;
    let parts = path.split('/').count();
    (has_ending(&path)
        || NAMES.contains(&path.as_str())
        || path.starts_with('.')
        || parts > 2
        || word.ends_with('/')
        || parts == 2)
        .then_some(path)
}

fn has_ending(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, ending)) => {
            let plain = !ending.is_empty() && ending.len() <= 12 && ending.chars().all(|c| c.is_ascii_alphanumeric());
            let lettered = ending.chars().any(|c| c.is_ascii_alphabetic());
            let one_case =
                !ending.chars().any(|c| c.is_ascii_uppercase()) || !ending.chars().any(|c| c.is_ascii_lowercase());
            (!stem.is_empty() || plain) && (plain && lettered && one_case || ending.contains(['*', '{']))
        }
        None => name.contains('*'),
    }
}

/// A path as it is reported, or `None` where a text has not the shape of one.
fn path(text: &str) -> Option<String> {
    let text = text.trim();
    // `src/a.rs:10-20`, `src/a.rs::name`, `src/a.rs#L10`.
    let text = if text.contains("://") { return None } else { text.split([':', '#']).next()? };
    let path = if text.contains('\\') { Cow::Owned(text.replace('\\', "/")) } else { Cow::Borrowed(text) };
    let path = path.strip_prefix("./").unwrap_or(&path).trim_end_matches('/');
    let allowed = |c: char| {
        c.is_alphanumeric() || c.is_ascii_punctuation() && !matches!(c, '"' | '\'' | '`' | '<' | '>' | '|' | ';' | '^')
    };
    let shaped = !path.is_empty()
        && path.chars().all(allowed)
        && !path.starts_with(['/', '-', '~', '$', '@', '=', '!', '('])
        && !path.contains("//")
        && path.split('/').all(|part| part != ".." && part != ".")
        && path.chars().any(|c| c.is_alphanumeric() || c == '*')
        && !path.ends_with("()");
    if !shaped || path.eq_ignore_ascii_case("n/a") || path.eq_ignore_ascii_case("and/or") {
        return None;
    }
    let is_path =
        path.contains('/') || text.ends_with('/') || has_ending(path) || NAMES.contains(&path) || is_dotfile(path);
    // `1.2` is a number.
    let is_number = path.chars().all(|c| c.is_ascii_digit() || ".-/".contains(c));
    (is_path && !is_number).then(|| path.to_owned())
}

fn is_dotfile(path: &str) -> bool {
    path.strip_prefix('.').is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Expands `a/{b,c}.rs`; at most 64 of them.
fn expand(path: String) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![path];
    while let Some(next) = open.pop() {
        let braces = next.find('{').and_then(|start| Some((start, start + next[start..].find('}')?)));
        match braces {
            Some((start, end)) if next[start..end].contains(',') && open.len() + done.len() < 64 => {
                let parts: Vec<&str> = next[start + 1..end].split(',').collect();
                open.extend(parts.iter().rev().map(|part| [&next[..start], part.trim(), &next[end + 1..]].concat()));
            }
            // Most paths have no braces.
            _ if open.is_empty() && done.is_empty() => return vec![next],
            _ => done.push(next),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &str) -> Vec<String> {
        let mut entries = Vec::new();
        read(value, &mut entries);
        entries
            .into_iter()
            .map(|entry| {
                format!("{}{}{}", if entry.gone { "!" } else { "" }, if entry.glob { "~" } else { "" }, entry.path)
            })
            .collect()
    }

    #[test]
    fn entries_in_all_forms() {
        for (value, expected) in [
            ("`a.rs`, `src/b.rs`", vec!["a.rs", "src/b.rs"]),
            ("a.rs, src/b.rs", vec!["a.rs", "src/b.rs"]),
            ("\n    - `a.rs`\n    - src/b.rs (new)\n", vec!["a.rs", "src/b.rs"]),
            ("`a.rs` (lines 10-20), `b.rs:42`, c.rs:1-9", vec!["a.rs", "b.rs", "c.rs"]),
            ("`src/a.rs` - the parser, and `src/b.rs`", vec!["src/a.rs", "src/b.rs"]),
            ("src/components/", vec!["src/components"]),
            ("src/**/*.ts, tests/*.rs", vec!["~src/**/*.ts", "~tests/*.rs"]),
            ("./Cargo.toml; Makefile", vec!["Cargo.toml", "Makefile"]),
            ("src/{a,b}.ts", vec!["src/a.ts", "src/b.ts"]),
            ("app/[id]/page.tsx", vec!["~app/[id]/page.tsx"]),
            (".gitignore, .github/workflows/ci.yml", vec![".gitignore", ".github/workflows/ci.yml"]),
            ("src\\win\\a.cs", vec!["src/win/a.cs"]),
            ("Create src/a.rs", vec!["src/a.rs"]),
            ("the modules named above", vec![]),
            ("https://example.org/a.rs, and/or, `foo()`, `fs.readFile`", vec![]),
            ("/etc/passwd, ~/x.rs, ../up.rs", vec![]),
        ] {
            assert_eq!(show(value), expected, "{value}");
        }
    }

    #[test]
    fn deletions_and_renames_are_understood() {
        for (value, expected) in [
            ("`a.rs` (delete)", vec!["!a.rs"]),
            ("a.rs (deleted), b.rs", vec!["!a.rs", "b.rs"]),
            ("a.rs, what is no path (deleted), b.rs", vec!["a.rs", "b.rs"]),
            ("Delete `a.rs`, `b.rs`; create `c.rs`", vec!["!a.rs", "!b.rs", "c.rs"]),
            ("remove src/a.rs", vec!["!src/a.rs"]),
            ("rename `a.rs` to `b.rs`", vec!["!a.rs", "b.rs"]),
            ("`a.rs` -> `b.rs`", vec!["!a.rs", "b.rs"]),
            ("src/a.rs → src/b.rs", vec!["!src/a.rs", "src/b.rs"]),
            ("\n- Delete:\n  - `a.rs`\n- Create:\n  - `b.rs`", vec!["!a.rs", "b.rs"]),
        ] {
            assert_eq!(show(value), expected, "{value}");
        }
    }

    #[test]
    fn titles_name_paths() {
        assert_eq!(in_title("Create User model in src/models/user.py"), ["src/models/user.py"]);
        assert_eq!(in_title("Add `Cargo.toml` and read/write locks"), ["Cargo.toml"]);
        assert_eq!(in_title("Update docs/a.md, docs/b.md."), ["docs/a.md", "docs/b.md"]);
        assert_eq!(in_title("Run `cargo test`"), Vec::<String>::new());
    }
}
