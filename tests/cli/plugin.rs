//! `spec plugin`: what is put where, that a person's files are left alone, and that nothing is left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::env::TestEnv;

/// Every file and folder below the home.
fn home(env: &TestEnv) -> BTreeMap<PathBuf, Option<String>> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Option<String>>) {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.insert(path.clone(), None);
                walk(&path, found);
            } else {
                found.insert(path.clone(), Some(std::fs::read_to_string(&path).expect("text")));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&env.path("../home"), &mut found);
    found
}

const AGENTS: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

fn plugin(env: &TestEnv, what: &str, more: &[&str]) -> crate::env::Output {
    env.spec(["plugin", what].iter().chain(&AGENTS).chain(more))
}

#[test]
fn it_comes_once_and_goes_without_a_trace() {
    let env = TestEnv::with_list("- [ ] 1 a\n");
    env.write("../home/.claude/settings.json", "{\n  \"model\": \"opus\",\n  \"enabledPlugins\": {\"x@y\": true}\n}\n");
    env.write("../home/.codex/config.toml", "# mine\nmodel = \"m\"\n\n[plugins.\"x@y\"]\nenabled = true\n");
    let before = home(&env);

    let dry = plugin(&env, "install", &["--dry-run"]);
    assert_eq!(dry.code, 0, "{dry}");
    assert!(dry.stdout.contains("+    \"spec@spec\": true") || dry.stdout.contains("\"spec@spec\": true"), "{dry}");
    assert_eq!(home(&env), before, "a dry run changes nothing");

    let installed = plugin(&env, "install", &[]);
    assert_eq!(installed.code, 0, "{installed}");
    let settings: serde_json::Value = serde_json::from_str(&env.read("../home/.claude/settings.json")).expect("JSON");
    assert_eq!(settings["enabledPlugins"], serde_json::json!({"x@y": true, "spec@spec": true}));
    assert_eq!(settings["model"], "opus");
    assert!(env.read("../home/.codex/config.toml").starts_with("# mine\nmodel = \"m\"\n"));
    for file in [
        ".local/share/spec/plugin/spec/commands/run.md",
        ".local/share/spec/plugin/.claude-plugin/marketplace.json",
        ".gemini/extensions/spec/commands/spec/run.toml",
        ".config/opencode/plugin/spec.js",
    ] {
        assert!(env.path("../home").join(file).is_file(), "{file}");
    }

    let after = home(&env);
    let again = plugin(&env, "install", &[]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "Nothing to change.\n"), "{again}");
    assert_eq!(home(&env), after);

    // One of two that share a folder: the other keeps it.
    assert_eq!(env.spec(["plugin", "remove", "codex"]).code, 0);
    assert!(env.path("../home/.local/share/spec/plugin/spec/commands/run.md").is_file());
    let removed = env.spec(["plugin", "remove"]);
    assert_eq!(removed.code, 0, "{removed}");
    assert_eq!(home(&env), before, "not a trace");
}

#[test]
fn what_a_person_changed_is_left_alone() {
    let env = TestEnv::with_list("- [ ] 1 a\n");
    let command = "../home/.config/opencode/command/spec-run.md";
    env.write(command, "mine\n");
    let installed = plugin(&env, "install", &[]);
    assert_eq!(installed.code, 0, "{installed}");
    assert!(installed.stderr.contains("spec-run.md is left as it is"), "{installed}");
    assert_eq!(env.read(command), "mine\n");

    // Changed later: neither an update nor a removal touches it.
    let agent = "../home/.local/share/spec/plugin/spec/agents/executor.md";
    env.write(agent, "also mine\n");
    env.write(
        "../home/.claude/settings.json",
        env.read("../home/.claude/settings.json").replacen('{', "{\n \"a\": 1,", 1),
    );
    assert!(plugin(&env, "install", &[]).stderr.contains("executor.md is left as it is"));
    let removed = env.spec(["plugin", "remove"]);
    assert!(removed.stderr.contains("executor.md is left as it is"), "{removed}");
    assert_eq!((env.read(command).as_str(), env.read(agent).as_str()), ("mine\n", "also mine\n"));
    let settings: serde_json::Value = serde_json::from_str(&env.read("../home/.claude/settings.json")).expect("JSON");
    assert_eq!(settings, serde_json::json!({"a": 1}), "only what is ours went");
}

#[test]
fn settings_that_cannot_be_read_are_left_alone() {
    let env = TestEnv::with_list("- [ ] 1 a\n");
    env.write("../home/.claude/settings.json", "{ not json");
    let installed = env.spec(["plugin", "install", "claude"]);
    assert!(installed.stderr.contains("settings.json is left as it is"), "{installed}");
    assert_eq!(env.read("../home/.claude/settings.json"), "{ not json");
}

#[test]
fn a_repository_gets_a_block_and_a_skill() {
    let env = TestEnv::with_list("- [ ] 1 a\n");
    env.write("AGENTS.md", "# Mine\n");
    assert_eq!(env.spec(["plugin", "install", "agents-md", "skill"]).code, 0);
    let text = env.read("AGENTS.md");
    assert!(text.starts_with("# Mine\n\n<!-- spec:begin -->\n## Task lists\n"), "{text}");
    assert!(env.read(".agents/skills/spec/SKILL.md").starts_with("---\nname: spec\n"));
    assert_eq!(env.spec(["plugin", "remove"]).code, 0);
    assert_eq!(env.read("AGENTS.md"), "# Mine\n");
    assert!(!env.path(".agents").exists());
}

#[test]
fn without_an_agent_nothing_is_guessed() {
    let env = TestEnv::with_list("- [ ] 1 a\n");
    let mut command = env.spec_command(["plugin", "install"]);
    let output = env.output(command.env("PATH", env.path("../home")));
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("none of claude, codex, gemini, opencode is on PATH"), "{output}");
}

/// The package in this repository is what the program would install. `UPDATE_PLUGIN=1` writes it.
#[test]
#[expect(clippy::disallowed_methods, reason = "files of the repository, written by hand")]
fn the_package_of_the_repository_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<(String, String)> =
        spec::plugin::package().into_iter().map(|(path, text)| (format!("plugin/{path}"), text)).collect();
    files.push((".claude-plugin/marketplace.json".to_owned(), spec::plugin::marketplace("./plugin")));
    let mut stale = Vec::new();
    for (path, text) in files {
        let file = root.join(&path);
        if std::env::var_os("UPDATE_PLUGIN").is_some() {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            std::fs::write(&file, text).expect("written");
        } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "run UPDATE_PLUGIN=1 cargo test --test cli plugin; stale: {stale:?}");
}
