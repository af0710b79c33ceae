//! Scripts as they stand in real lists, run for real.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::runtime::process::{Outcome, spawn};

async fn run(dir: &TempDir, script: &str) -> Outcome {
    let mut spec = Shell::find().unwrap().script(script).spec(dir.path(), dir.path().join("log"), "test-run");
    spec.merge_streams = true;
    spawn(spec).await.unwrap().wait().await
}

async fn exit(script: &str) -> Option<i32> {
    run(&tempfile::tempdir().unwrap(), script).await.exit
}

fn has_bash() -> bool {
    let found = Shell::find().unwrap().bash.is_some();
    if !found {
        println!("skipped: there is no bash");
    }
    found
}

#[tokio::test]
async fn a_pipeline_fails_with_any_member_but_not_for_a_reader_that_had_enough() {
    if !has_bash() {
        return;
    }
    for (script, expected) in [
        ("yes | head -1", 0),
        ("false | tail", 1),
        ("(exit 3) | tee log2", 3),
        ("(exit 3) | tee log2 | tail -1", 3),
        ("true | tee log2", 0),
        // What comes behind is run, and counts.
        ("yes | head -1 && true", 0),
        ("yes | head -1 && false", 1),
        ("yes | grep -q y && exit 5", 5),
        ("yes | head -1 || exit 5", 0),
        ("false | tail || exit 5", 5),
        ("false | tail; true", 0),
        ("if yes | grep -q y; then exit 5; fi", 5),
        ("if false | cat; then exit 5; fi", 0),
        ("! false | cat", 0),
        ("! yes | head -1", 1),
        ("set -e\nyes | head -1\nexit 5", 5),
        ("set -e\nfalse | cat\nexit 5", 1),
        ("set -eu\ntrue && yes | head -1\nexit 5", 5),
        ("set -eu\nfalse && yes | head -1\nexit 5", 5),
        ("x=$(yes | head -1) && test \"$x\" = y", 0),
        ("x=$(false | cat) || exit 5", 5),
        ("for i in 1 2; do yes | head -1; done", 0),
        ("f() { yes | head -1; }; f && exit 5", 5),
        ("cat <<E | grep -q x\nx\nE", 0),
        ("cat <<E | grep -q y\nx\nE", 1),
        // Only of an earlier member, and only of a pipeline.
        ("true | (exit 141)", 141),
        ("exit 141", 141),
        ("false | yes | head -1", 1),
        ("yes | head -1 | (cat; exit 7)", 7),
    ] {
        assert_eq!(exit(script).await, Some(expected), "{script}");
    }
}

/// Scripts from real lists read the same to bash after the rewriting as before.
#[test]
fn real_scripts_stay_valid() {
    let folder = ["../shared/corpus/files", "../../shared/corpus/files"]
        .into_iter()
        .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .find(|folder| folder.is_dir());
    let (Some(folder), true) = (folder, has_bash()) else {
        println!("skipped: there is no corpus of lists beside the project");
        return;
    };
    let mut scripts = std::collections::BTreeSet::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
                for line in text.lines().filter(|line| line.contains("**Verify**")) {
                    scripts.extend(line.split('`').skip(1).step_by(2).filter(|s| s.contains('|')).map(str::to_owned));
                }
            }
        }
    }
    let valid = |script: &str| {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-n", "-c", script]).stderr(std::process::Stdio::null()).status().unwrap().success()
    };
    let (mut wrapped, mut left) = (0, 0);
    // Every third: a shell is started for each.
    for script in scripts.iter().step_by(3) {
        let rewritten = pipes::wrap(script);
        match &rewritten {
            Some(rewritten) => {
                wrapped += 1;
                assert!(valid(rewritten) || !valid(script), "{script}\n{rewritten}");
            }
            None if valid(script) && !scripts.is_empty() => left += usize::from(script.contains(" | ")),
            None => {}
        }
    }
    println!("{wrapped} rewritten, {left} with a bar left as they are");
    assert!(wrapped > 300 && left * 20 < wrapped, "{wrapped} rewritten, {left} left");
}

#[test]
fn only_what_every_shell_reads_alike_is_started_without_one() {
    for script in [
        "true",
        "cargo test --workspace",
        " make -C sub check \n",
        "./run.sh a=b",
        "/bin/ls -l",
        "git diff HEAD~1..HEAD",
    ] {
        let expected = script != "git diff HEAD~1..HEAD";
        assert_eq!(simple_command(script).is_some(), expected, "{script}");
    }
    for script in [
        "",
        " ",
        "a; b",
        "a && b",
        "a | b",
        "a > b",
        "a $x",
        "a *",
        "a ?",
        "a [b]",
        "a {b,c}",
        "a 'b'",
        "a \"b\"",
        "a \\b",
        "A=1 b",
        "~/a",
        "a ~",
        "a # b",
        "!a",
        "a & ",
        "a\nb",
        "(a)",
        "`a`",
        "cd x",
        "echo x",
        "test -f x",
        "[ -f x ]",
        ". x",
        ": x",
        "exit 3",
        "if x",
        "time a",
        "exec a",
        "-a",
        "%1",
        "a \u{e9}",
        "a\rb",
        "source x",
        "kill 1",
        "pwd",
        "export A",
    ] {
        assert_eq!(simple_command(script), None, "{script:?}");
    }
}

#[tokio::test]
async fn with_or_without_a_shell_it_looks_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for (script, code) in [("true", 0), ("false", 1), ("no-such-program-anywhere -x", 127), ("./plain.txt", 126)] {
        #[expect(clippy::disallowed_methods, reason = "a file that only this test needs")]
        std::fs::write(dir.path().join("plain.txt"), "text").unwrap();
        let direct = run(&dir, script).await;
        let in_shell = run(&dir, &format!("{script} ;")).await;
        assert_eq!((direct.exit, &direct.stdout_tail), (Some(code), &in_shell.stdout_tail), "{script}");
        assert_eq!(in_shell.exit, Some(code), "{script}");
    }
    let said = run(&dir, "no-such-program-anywhere").await.stdout_tail;
    assert!(String::from_utf8(said).unwrap().contains("no-such-program-anywhere: command not found"));
}

#[tokio::test]
async fn a_script_without_a_first_line_is_run_by_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plain");
    #[expect(clippy::disallowed_methods, reason = "a file that only this test needs")]
    std::fs::write(&file, "exit 9").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&file, mode).unwrap();
    assert_eq!(run(&dir, "./plain").await.exit, Some(9));
}

#[tokio::test]
async fn a_dash_in_front_is_no_option() {
    assert_eq!(exit("-x; exit 4").await, Some(4));
}

#[test]
fn without_bash_it_is_sh_and_without_both_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = Shell::on(dir.path().as_os_str(), false).unwrap_err();
    insta::assert_snapshot!(error, @"there is no `sh` and no `bash` on PATH; commands of Run and Verify and --exec need one: add its folder to PATH");
    std::os::unix::fs::symlink("/bin/sh", dir.path().join("sh")).unwrap();
    let shell = Shell::on(dir.path().as_os_str(), false).unwrap();
    assert_eq!(shell.script("a | b").command.program, dir.path().join("sh"));
    assert_eq!(shell.script("a | b").command, shell.exec("a | b"));
}

#[test]
fn functions_in_the_environment_keep_commands_in_the_shell() {
    let path = env::var_os("PATH").unwrap();
    assert!(Shell::on(&path, true).unwrap().script("true").otherwise.is_none());
    assert!(Shell::on(&path, false).unwrap().script("true").otherwise.is_some());
}
