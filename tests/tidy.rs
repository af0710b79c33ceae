//! The house rules that no compiler checks, over every file that git tracks.

#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every tracked (or about to be tracked) text file with its name; none where this is no clone.
fn files() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(listed) = listed else {
        eprintln!("skipped: not a git clone");
        return Vec::new();
    };
    let names = String::from_utf8_lossy(&listed.stdout);
    let read = |name: &str| Some((name.to_owned(), std::fs::read_to_string(root().join(name)).ok()?));
    names.split_terminator('\0').filter_map(read).collect()
}

fn with_extension(extension: &str) -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(move |(name, _)| Path::new(name).extension().is_some_and(|found| found == extension))
}

/// Fails with every place that is not as it should be.
fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// Every line that the rule finds, as `file:line: text`.
fn lines(files: impl Iterator<Item = (String, String)>, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files {
        let places = text.lines().enumerate().filter(|(_, line)| wrong(line));
        found.extend(places.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
    }
    found
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    // Put together here so that this file does not name them.
    let paths = ["work", "root"].map(|top| format!("/{top}/"));
    let begins = |line: &str, path: &str| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !(c.is_alphanumeric() || "_-.$}~>)/".contains(c)))
        })
    };
    let own = |(name, _): &(String, String)| name != "Cargo.lock" && !name.starts_with("LICENSE");
    let found = lines(files().into_iter().filter(own), |line| paths.iter().any(|path| begins(line, path)));
    none(&found, "write paths relative to the project or take them from the environment");
    let temporary = format!("\"/{}", "tmp");
    none(&lines(with_extension("rs"), |line| line.contains(&temporary)), "take temporary folders from `tempfile`");
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    let found: Vec<String> =
        with_extension("rs").filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    none(&found, "begin the file with a `//!` line");
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    let (ignore, sleep) = (format!("#[{}", "ignore"), format!("thread::{}", "sleep"));
    none(&lines(with_extension("rs"), |line| line.trim_start().starts_with(&ignore)), "mend the test or remove it");
    let tests = with_extension("rs").map(|(name, text)| {
        let at = if name.starts_with("tests/") || name.ends_with("tests.rs") {
            0
        } else {
            text.find("#[cfg(test)]").unwrap_or(text.len())
        };
        (name, text[at..].to_owned())
    });
    // A poll between two looks at what is awaited, and a moment that is itself what is tried, say so in place.
    let sleeps = |line: &str| line.contains(&sleep) && !line.contains("// tidy: ");
    none(&lines(tests, sleeps), "wait for what is awaited, not for a time");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut found = Vec::new();
    for (name, text) in with_extension("md").filter(|(name, _)| !name.starts_with("templates/")) {
        let folder = root().join(&name).parent().map(PathBuf::from).unwrap_or_default();
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            for link in line.split("](").skip(1).filter(|_| !fenced) {
                let target = link.split([')', '#', ' ']).next().unwrap_or_default();
                if !target.is_empty() && !target.contains(':') && !folder.join(target).exists() {
                    found.push(format!("{name}:{}: {target}", number + 1));
                }
            }
        }
    }
    none(&found, "there is nothing at the other end of these links");
}

#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    for (name, text) in files().into_iter().filter(|(name, _)| name == "CHANGELOG.md") {
        assert!(text.contains("\n## Unreleased\n"), "{name} needs a section `## Unreleased`");
    }
}

#[test]
fn ci_runs_the_very_commands_that_the_readme_gives() {
    let all = files();
    let text = |name: &str| all.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str());
    let (Some(readme), Some(ci)) = (text("README.md"), text(".ci/run")) else {
        assert!(all.is_empty(), "README.md and .ci/run are there");
        return;
    };
    for command in ["sh specs/demo/try.sh", "cargo test"] {
        assert!(readme.lines().any(|line| line == command), "the README gives `{command}`");
        assert!(ci.lines().any(|line| line.trim_start() == command), ".ci/run runs `{command}`");
    }
}
