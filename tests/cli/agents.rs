//! `spec agents`: what is installed, its version, whether it can be signed in, and what would be run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::env::{Output, TestEnv};

/// Programs of that name with that script, in a folder that is all of PATH.
fn programs(env: &TestEnv, scripts: &[(&str, &str)]) -> PathBuf {
    env.write("bin/none", "");
    for (name, script) in scripts {
        let file = format!("bin/{name}");
        env.write(&file, format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(env.path(&file), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    env.path("bin")
}

fn agents(env: &TestEnv, args: &[&str], scripts: &[(&str, &str)], variables: &[(&str, &str)]) -> Output {
    let path = programs(env, scripts);
    let mut command = env.spec_command([&["agents"], args].concat());
    env.output(command.env("PATH", path).envs(variables.iter().copied()))
}

#[test]
fn what_is_installed_is_shown_with_all_that_can_be_told() {
    let env = TestEnv::new();
    env.write(
        "spec.toml",
        "[agents.mine]\nprogram = \"./bin/mine\"\nargs = [\"go fast\", \"{model}\"]\naccount = \"team\"\n",
    );
    let scripts = [("claude", "echo '2.1.329 (Claude Code)'"), ("gemini", "exit 1"), ("mine", "pwd; ls; echo 1.5")];
    assert_snapshot!(agents(&env, &[], &scripts, &[("ANTHROPIC_API_KEY", "sk-ant-very-secret")]), @"
    mine: mine 1.5  (used where none is named)
      program    $ENV/work/bin/mine
      signed in  unknown: nothing is known of it
      account    team
      runs       $ENV/work/bin/mine 'go fast' < PROMPT.md

    claude: Claude Code 2.1.329
      program    $ENV/work/bin/claude
      signed in  likely: ANTHROPIC_API_KEY is set
      runs       claude -p --output-format stream-json --verbose --permission-mode acceptEdits --allowedTools Bash,Edit,Write,Read,NotebookEdit,WebFetch,WebSearch,Task,Skill < PROMPT.md

    gemini: Gemini CLI of an unknown version
      program    $ENV/work/bin/gemini
      signed in  unknown: run `gemini` and sign in, or set GEMINI_API_KEY
      runs       gemini -o stream-json --approval-mode yolo < PROMPT.md

    not installed: codex, opencode, qwen, copilot, cursor, amp, goose, crush, aider
    ");
}

#[test]
fn the_name_of_an_agent_may_have_dots() {
    let env = TestEnv::new();
    let table = |name: &str| format!("[agents.{name}]\nprogram = \"sh\"\n\n[agents.{name}.env]\n\"a.b\" = \"x\"\n\n");
    env.write("spec.toml", ["mine", "\"gpt-5.5\"", "\"local.env\""].map(table).concat());
    let said = agents(&env, &["--format", "json"], &[("sh", "true")], &[]).json();
    let own = said["agents"].as_array().unwrap().iter().filter(|it| it["program"].is_string());
    assert_eq!(own.map(|it| it["name"].clone()).collect::<Vec<_>>(), ["gpt-5.5", "local.env", "mine"]);
    env.write("spec.toml", "[agents.\"gpt-5.5\"]\nprogram = 5\n");
    let refused = agents(&env, &[], &[], &[]);
    assert!(refused.stderr.contains("spec.toml:2: agents.\"gpt-5.5\".program must be a text"), "{refused}");
}

#[test]
fn without_any_it_says_how_to_go_on() {
    assert_snapshot!(agents(&TestEnv::new(), &[], &[], &[]), @"
    no agent that spec knows is installed
      install one, or name yours in spec.toml ([agents.NAME] with a program);
      or run `spec run --exec 'CMD'`, or give the tasks a Run field, which needs no agent

    not installed: claude, codex, gemini, opencode, qwen, copilot, cursor, amp, goose, crush, aider
    ");
}

#[test]
fn no_secret_is_ever_shown() {
    let env = TestEnv::new();
    env.write("home/.codex/auth.json", "{\"token\": \"very-secret\"}");
    env.write("spec.toml", "[agents.claude.env]\nANTHROPIC_API_KEY = \"very-secret\"\n");
    let scripts = [("codex", "echo codex-cli 0.169.0"), ("claude", "echo \"$ANTHROPIC_API_KEY\"")];
    let home = env.path("home").display().to_string();
    let said = agents(&env, &["--format", "json"], &scripts, &[("HOME", &home), ("OPENAI_API_KEY", "")]);
    assert!(!format!("{}{}", said.stdout, said.stderr).contains("very-secret"), "{said}");
    let json = said.json();
    assert_eq!((&json["schema"], &json["default"]), (&"spec.agents/1".into(), &"claude".into()));
    let of = |name: &str| json["agents"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned().unwrap();
    assert_eq!((&of("codex")["signedIn"], &of("codex")["version"]), (&"likely".into(), &"0.169.0".into()));
    assert!(of("codex")["signIn"].as_str().unwrap().ends_with(".codex/auth.json is there"));
    assert_eq!((&of("claude")["signIn"], &of("claude")["version"]), (&"ANTHROPIC_API_KEY is set".into(), &().into()));
    assert_eq!((&of("gemini")["program"], &of("gemini")["signedIn"]), (&().into(), &"unknown".into()));
}
