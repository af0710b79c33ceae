//! The frame around the commands: help, usage errors, completions.

use insta::assert_snapshot;

use crate::env::TestEnv;

#[test]
fn nothing_to_do_is_bad_usage_and_shows_the_help() {
    let output = TestEnv::new().spec([""; 0]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("Usage: spec"), "{output}");
}

#[test]
fn help_and_version_are_no_errors() {
    let env = TestEnv::new();
    for args in [["--help", ""], ["-h", ""], ["--version", ""], ["run", "--help"], ["run", "-h"]] {
        let output = env.spec(args.iter().filter(|arg| !arg.is_empty()));
        assert_eq!(output.code, 0, "{output}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{output}");
    }
}

#[test]
fn unknown_options_are_bad_usage() {
    assert_snapshot!(TestEnv::new().spec(["plan", "--paralel"]), @r#"
    --- stderr ---
    error: unexpected argument '--paralel' found

      tip: a similar argument exists: '--parallel'

    Usage: spec plan --parallel [FILE]

    For more information, try '--help'.
    [exit code: 2]
    "#);
}

#[test]
fn limits_of_zero_are_bad_usage() {
    let env = TestEnv::with_list("- [ ] 1.1 A\n");
    for limit in
        [["-j", "0"], ["--max-attempts", "0"], ["--timeout", "0"], ["--idle-timeout", "0s"], ["--run-timeout", "0m"]]
    {
        let output = env.spec(["run", "tasks.md"].iter().chain(&limit));
        assert_eq!(output.code, 2, "{limit:?}: {output}");
        assert!(output.stderr.contains(limit[1]), "{output}");
    }
    assert_snapshot!(env.spec(["plan", "-j", "0"]), @r#"
    --- stderr ---
    error: invalid value '0' for '--max-parallel <N>': must be at least 1

    For more information, try '--help'.
    [exit code: 2]
    "#);
}

#[test]
fn both_names_of_an_option_work() {
    let env = TestEnv::new();
    for args in [["-j", "2"], ["--max-parallel", "2"], ["--max-concurrency", "2"], ["--mode", "groups"]] {
        let output = env.spec(["plan", "missing.md"].iter().chain(&args));
        assert!(output.stderr.contains("no such task list"), "{args:?}: {output}");
    }
    assert_snapshot!(env.spec(["plan", "missing.md", "--parallel"]), @r#"
    --- stderr ---
    error: missing.md: no such task list, folder or spec
    hint: specs are looked for under specs, .kiro/specs, openspec/changes, .spec-workflow/specs
    [exit code: 2]
    "#);
}

#[test]
fn completions_name_the_commands() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = env.spec(["completions", shell]);
        assert_eq!(output.code, 0, "{output}");
        assert!(output.stdout.contains("max-parallel"), "{shell}");
    }
}
