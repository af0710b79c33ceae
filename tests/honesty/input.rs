//! Bad input: one clear error with the file, the line where there is one, and what to do; and nothing is changed.

use insta::assert_snapshot;

use crate::env::{Output, TestEnv};
use crate::world::{EXEC, World, contents};

/// Runs it and asks that nothing changed, whatever it says.
fn refused(env: &TestEnv, file: &str) -> Output {
    let before = contents(&env.work());
    let output = env.spec(["run", file, "--exec", "true"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stdout.is_empty(), "{output}");
    assert_eq!(contents(&env.work()), before, "{output}");
    output
}

#[test]
fn not_a_list() {
    let env = TestEnv::new();
    env.write("folder/readme.md", "no list\n");
    env.write("empty.md", "");
    env.write("prose.md", "# Nothing to do\n\nJust prose.\n");
    env.write("binary.md", b"- [ ] 1.1 A\n\x00\x01\x02");
    for (name, to) in [("loop.md", "loop.md"), ("gone.md", "nowhere.md"), ("device.md", "/dev/null")] {
        std::os::unix::fs::symlink(to, env.path(name)).expect("a link");
    }
    nix::unistd::mkfifo(&env.path("pipe.md"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert_snapshot!(refused(&env, "missing.md"), @r"
    --- stderr ---
    error: missing.md: no such task list, folder or spec
    hint: specs are looked for under specs, .kiro/specs, openspec/changes, .spec-workflow/specs
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "folder"), @r"
    --- stderr ---
    error: folder: there is no tasks.md in this folder
    hint: give the task list itself, or make a spec with `spec init NAME`
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "empty.md"), @r"
    --- stderr ---
    error: empty.md: the file is empty
    hint: write tasks as `- [ ] 1.1 What to do`, or make a spec with `spec init NAME`
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "prose.md"), @r"
    --- stderr ---
    error: prose.md: there is no checkbox in this list
    hint: write tasks as `- [ ] 1.1 Title`
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "binary.md"), @r"
    --- stderr ---
    error: binary.md:2: not a text file, there is a NUL byte in it
    hint: save it as UTF-8
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "loop.md"), @r"
    --- stderr ---
    error: loop.md: a link that leads back to itself
    hint: give the task list itself, or mend the link
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "gone.md"), @r"
    --- stderr ---
    error: gone.md: a link to nowhere.md, which is not there
    hint: give the task list itself, or mend the link
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "device.md"), @r"
    --- stderr ---
    error: device.md: not a regular file
    hint: give a markdown file with checkboxes
    [exit code: 2]
    ");
    assert_snapshot!(refused(&env, "pipe.md"), @r"
    --- stderr ---
    error: pipe.md: not a regular file
    hint: give a markdown file with checkboxes
    [exit code: 2]
    ");
}

#[test]
fn a_file_of_300_megabytes() {
    let env = TestEnv::new();
    env.write("big.md", "- [ ] 1.1 A\n");
    let file = std::fs::File::options().write(true).open(env.path("big.md")).expect("it is there");
    file.set_len(300 << 20).expect("a sparse file");
    assert_snapshot!(refused(&env, "big.md"), @r"
    --- stderr ---
    error: big.md: larger than 256 MB
    hint: give a task list, or split it: no list needs to be that large
    [exit code: 2]
    ");
}

#[test]
fn a_file_that_may_not_be_read() {
    if nix::unistd::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    let env = TestEnv::with_list("- [ ] 1.1 A\n");
    let chmod = env.output(env.command("chmod").args(["0", "tasks.md"]));
    assert_eq!(chmod.code, 0);
    assert_snapshot!(refused(&env, "tasks.md"), @r"
    --- stderr ---
    error: tasks.md: no permission to read it
    hint: make it readable, for example with `chmod u+r`
    [exit code: 2]
    ");
}

#[test]
fn lists_that_cannot_be_run_as_they_are() {
    let list = |text: &str| refused(&TestEnv::with_list(text), "tasks.md");
    assert_snapshot!(list("- [ ] 1.1 A\n- [ ] 1.2 B\n  - **Depends**: 1.1, 7.7\n"), @r"
    --- stderr ---
    error: tasks.md:3: there is no task `7.7` to depend on
    hint: name a task, a parent or a work package of this list, or take the dependency out
    [exit code: 2]
    ");
    assert_snapshot!(list("- [ ] 1.1 A\n  - **Depends**: 1.2\n- [ ] 1.2 B\n"), @r"
    --- stderr ---
    error: tasks.md:2: 1.1 (line 1) depends on 1.2 (line 3), which comes later
    hint: move it up, or use --mode graph
    [exit code: 2]
    ");
    let env = TestEnv::with_list("- [ ] 1.1 A\n  - **Depends**: 1.2\n- [ ] 1.2 B\n  - **Depends**: 1.1\n");
    env.write("spec.toml", "[run]\nmode = \"graph\"\n");
    assert_snapshot!(refused(&env, "tasks.md"), @r"
    --- stderr ---
    error: tasks.md:2: tasks wait for each other: 1.1 (line 1) waits for 1.2 (line 3), which waits for 1.1 (line 1)
    hint: take one of the dependencies out
    [exit code: 2]
    ");
    assert_snapshot!(list("- [ ] 1.1 A\n- [~] 1.2 Held\n- [ ] 1.3 B\n  - **Depends**: 1.2\n"), @r"
    --- stderr ---
    error: tasks.md:4: 1.3 (line 3) depends on 1.2 (line 2), which is open and will not run: it is set aside (`[~]`)
    hint: tick it if it is done, let it run, or take the reference out
    [exit code: 2]
    ");
}

#[test]
fn a_task_that_nothing_can_run() {
    let env = TestEnv::with_list(
        "- [ ] 1.1 A\n  - **Run**: `true`\n- [ ] 1.2 B\n- [ ] 1.3 [VERIFY] C\n  - **Verify**: all is well\n",
    );
    let before = contents(&env.work());
    // An agent that is installed on this machine would be used.
    let bin = env.path("../bin");
    std::fs::create_dir(&bin).expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in ["git", "sh"] {
        let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists());
        std::os::unix::fs::symlink(found.expect("it is there"), bin.join(program)).expect("a link");
    }
    let output = env.output(env.spec_command(["run", "tasks.md"]).env("PATH", &bin));
    assert_eq!(contents(&env.work()), before);
    assert_snapshot!(output, @r"
    --- stderr ---
    error: 2 tasks with neither a Run field nor an executor:
      tasks.md:3: 1.2 B
      tasks.md:4: 1.3 [VERIFY] C
    hint: name an agent with --agent NAME (none that spec knows is on PATH; `spec agents` lists them)
    hint: or a command that carries out tasks with --exec 'CMD' (the prompt comes on its standard input)
    hint: or give the tasks a **Run** field with the commands to run
    [exit code: 2]
    ");
}

#[test]
fn settings_that_make_no_sense() {
    let env = TestEnv::with_list("- [ ] 1.1 A\n");
    env.write("spec.toml", "[run]\nmax_parallel = 0\n");
    assert_snapshot!(refused(&env, "tasks.md"), @r"
    --- stderr ---
    error: spec.toml:2: run.max_parallel must be at least 1
    [exit code: 2]
    ");
    env.write("spec.toml", "[run\n");
    assert_snapshot!(refused(&env, "tasks.md"), @r"
    --- stderr ---
    error: spec.toml:1: not valid TOML: unclosed table, expected `]`
    [exit code: 2]
    ");
}

#[test]
fn duplicate_ids_are_run_and_told_apart() {
    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n- [ ] 1.1 B\n  - **Do**: echo b > b.txt\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("task: 1.1@1\n") && output.stdout.contains("task: 1.1@3\n"), "{output}");
    assert_eq!(world.history()[1..], ["1.1@1", "1.1@3"]);
    let check = world.env.spec(["check", "tasks.md"]);
    assert!(check.stdout.contains("duplicate-id") || check.stderr.contains("duplicate-id"), "{check}");
}

#[test]
fn a_verify_of_prose_verifies_nothing_and_nobody_says_it_did() {
    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n  - **Verify**: everything looks right\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("verify: none\n"), "{output}");
    assert!(output.stderr.contains("Not verified 1.1"), "{output}");
    let check = world.env.spec(["check", "tasks.md"]);
    assert!(format!("{check}").contains("verify-not-executable"), "{check}");
}

#[test]
fn without_a_shell() {
    let env = TestEnv::with_list("- [ ] 1.1 A\n  - **Run**: `true`\n");
    let git = env.output(env.command("sh").args(["-c", "mkdir ../bin && ln -s \"$(command -v git)\" ../bin/git"]));
    assert_eq!(git.code, 0, "{git}");
    let before = contents(&env.work());
    let output = env.output(env.spec_command(["run", "tasks.md"]).env("PATH", env.path("../bin")));
    assert_eq!(output.code, 2, "{output}");
    assert_eq!(contents(&env.work()), before);
    assert_snapshot!(output.stderr, @"error: there is no `sh` and no `bash` on PATH; commands of Run and Verify and --exec need one: add its folder to PATH");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n");
    let lock = |on: bool| {
        let (root, folder) = (nix::unistd::geteuid().is_root(), world.env.work());
        let mut command = world.env.command(if root { "chattr" } else { "chmod" });
        command.arg(match (root, on) {
            (true, true) => "+i",
            (true, false) => "-i",
            (false, true) => "a-w",
            (false, false) => "u+w",
        });
        let done = command.arg(folder).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !lock(true) {
        println!("skipped: a folder cannot be locked here");
        return;
    }
    let before = world.everything();
    let output = world.run([""; 0]);
    let after = world.everything();
    assert!(lock(false));
    assert_eq!(output.code, 2, "{output}");
    assert_eq!(world.tries("1.1"), 0, "found before anything starts: {output}");
    assert_eq!(before, after);
    assert!(output.stderr.contains("$ENV/work") && output.stderr.lines().count() <= 2, "{output}");
}

#[test]
fn an_executor_needs_a_name() {
    let env = TestEnv::with_list("- [ ] 1.1 A\n");
    let output = env.spec(["run", "tasks.md", "--exec", "  "]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("--exec"), "{output}");
    assert!(!EXEC.is_empty());
}

/// Whatever figures somebody writes, nothing runs over.
#[test]
fn figures_beyond_all_measure_do_no_harm() {
    let most = u64::MAX.to_string();
    let list = format!(
        "- [ ] 1.1 A\n  - **Retries**: {}\n  - **Timeout**: 9999999999999h\n- [ ] 1.2 B\n  - **Timeout**: 1s\n",
        u32::MAX
    );
    let world = World::new(&list);
    // The second one does not end by itself.
    let exec = "test $SPEC_TASK_ID = 1.1 || sleep 100; echo x > a.txt";
    let mut command = world.env.spec_command(["run", "tasks.md", "--max-attempts", "1", "--exec", exec]);
    for name in [
        "MAX_PARALLEL",
        "IDLE_TIMEOUT",
        "GRACE",
        "RUN_TIMEOUT",
        "TOO_MUCH",
        "TOOL_TIMEOUT",
        "RETRY_BACKOFF",
        "RETRY_BACKOFF_MAX",
        "PROMPT_MAX_TOKENS",
        "LEARNINGS_MAX",
        "LEARNINGS_MAX_TOKENS",
        "PREPARE_MAX",
        "PREPARE_TIMEOUT",
        "QUOTA_WALL",
        "QUOTA_CPU",
        "ADMISSION_TASK_MEMORY",
    ] {
        command.env(format!("SPEC_{name}"), &most);
    }
    let output = world.env.output(&mut command);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stdout.contains("TASK_COMPLETE\ntask: 1.1\n"), "{output}");
    assert!(output.stdout.contains("TASK_FAILED\ntask: 1.2\ncode: timeout\n"), "{output}");
}

/// A mark in small letters is read as in capitals: by the plan, by the run and by the prompt.
#[test]
fn a_verify_mark_in_small_letters_is_one() {
    let world = World::new("- [ ] 1.1 [verify] Fine\n  - **Verify**: `true`\n");
    let mut command = world.env.spec_command(["run", "tasks.md"]);
    let output = world.env.output(&mut command);
    assert_eq!(output.code, 0, "without an executor: {output}");
    assert!(output.stdout.contains("verify: pass"), "{output}");
}

#[test]
fn what_needs_a_repository_says_why() {
    let env = TestEnv::with_list("- [ ] 1.1 A\n");
    for args in [&["rescue"][..], &["undo", "last"], &["gc"]] {
        let output = env.spec(args);
        assert!(output.code == 2 && output.stderr.contains("tasks.md: not in a git repository\nhint: "), "{output}");
    }
    let output = env.spec(["run", "--isolation", "worktree", "--exec", "true"]);
    assert!(output.code == 2 && output.stderr.contains("needs a git repository\nhint: "), "{output}");
}
