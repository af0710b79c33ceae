//! docs/cli.md is what the help texts say.
#![expect(clippy::disallowed_methods, reason = "the test writes the page anew when it is asked to")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use spec::cli::args::Cli;
use spec::cli::settings::KEYS;

/// What an executor finds in its environment; `tests/honesty/options.rs` holds it to that.
const VARIABLES: [(&str, &str); 7] = [
    ("`SPEC_TASK_ID`, `SPEC_TASK_INDEX`, `SPEC_TASK_TITLE`", "which task"),
    ("`SPEC_FILE`, `SPEC_DIR`", "the task list and its folder, absolute"),
    ("`SPEC_PROGRESS_FILE`", "where it may write progress and learnings"),
    ("`SPEC_RUN_ID`, `SPEC_ATTEMPT`", "this run; 1 for the first try"),
    ("`SPEC_BASE_SHA`, `SPEC_WORKTREE`", "the commit it started from (empty without git); its working tree"),
    ("`SPEC_TREE`", "a mark by which everything that it starts is found and ended; leave it alone"),
    ("the repository's own (`GIT_DIR` and so on)", "removed, so that git finds the repository from the folder"),
];

/// The page: the help of the program and of each command, then where settings can be given.
fn page() -> String {
    let mut program = Cli::command().term_width(100);
    program.build();
    let mut page = String::from(
        "# Commands\n\nGenerated from the help texts: `UPDATE_DOCS=1 cargo test --test cli docs` writes it anew.\n\n",
    );
    let mut section = |title: &str, help: &str| {
        let help: Vec<_> = help.trim().lines().map(str::trim_end).collect();
        write!(page, "## {title}\n\n```text\n{}\n```\n\n", help.join("\n")).expect("text");
    };
    section("spec", &program.render_long_help().to_string());
    for command in program.get_subcommands_mut() {
        let name = format!("spec {}", command.get_name());
        section(&name, &command.render_long_help().to_string());
        for action in command.get_subcommands_mut() {
            section(&format!("{name} {}", action.get_name()), &action.render_long_help().to_string());
        }
    }
    page.push_str("## Settings\n\nFlags beat the environment, that beats `spec.toml` (the nearest one from the list up to the root of the\nrepository), that beats the defaults. `spec init` writes a `spec.toml` with all of them and their defaults.\n\n");
    page.push_str("| in `spec.toml` | in the environment |\n| --- | --- |\n");
    for (key, name) in KEYS {
        let name = if name.is_empty() { String::new() } else { format!("`{name}`") };
        writeln!(page, "| `{key}` | {name} |").expect("text");
    }
    page.push_str(
        "\n## What an executor is told\n\nIn its environment, as are the commands of `Run` and `Verify`:\n\n",
    );
    page.push_str("| variable | value |\n| --- | --- |\n");
    for (names, value) in VARIABLES {
        writeln!(page, "| {names} | {value} |").expect("text");
    }
    page
}

#[test]
fn docs_are_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("docs/cli.md can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/cli.md is not what the help says; run `UPDATE_DOCS=1 cargo test --test cli docs`");
}

#[test]
fn the_template_of_spec_toml_shows_every_setting() {
    let template =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/spec.toml")).expect("a file");
    for (key, _) in KEYS {
        let (section, name) = key.rsplit_once('.').expect("a section and a name");
        // A section whose name is free to choose is shown with an example's.
        let section = section.replace('*', "NAME");
        let body = template.split(&format!("[{section}]")).nth(1).expect(key).split("\n[").next().expect("text");
        assert!(name == "*" || body.contains(&format!("# {name} = ")), "{key}");
    }
}
