//! Every gate between "the executor ended" and "done": what does not pass is reported by its code everywhere, never
//! ticked, never committed, and holds up nothing but what needs it.

use crate::world::{World, signal_of};

/// A bad task, a good one beside it, two that need the bad one, and one that needs neither.
fn list(bad: &str) -> String {
    format!(
        "# Tasks\n\n\
         - [ ] 1.1 [P] Bad\n{bad}\n\
         - [ ] 1.2 [P] Good\n  - **Do**: echo b > b.txt; echo TASK_COMPLETE\n  - **Files**: b.txt\n\n\
         - [ ] 1.3 Needs the bad one\n  - **Do**: echo c > c.txt; echo TASK_COMPLETE\n  - **Depends**: 1.1\n\
         - [ ] 1.4 Needs that\n  - **Do**: echo d > d.txt; echo TASK_COMPLETE\n  - **Depends**: 1.3\n\
         - [ ] 1.5 Needs neither\n  - **Do**: echo e > e.txt; echo TASK_COMPLETE\n"
    )
}

/// Runs the list and holds it to what is promised of any failure; gives what went to standard output.
fn fails(world: &World, code: &str, args: &[&str]) -> String {
    let output = world.run(args);
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("no TASK_FAILED: {output}"));
    assert_eq!(failed["code"], code, "{output}");
    assert!(!failed["reason"].is_empty());
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stdout.lines().all(|line| line != "ALL_TASKS_COMPLETE" && line != "BATCH_COMPLETE"), "{output}");

    let events = world.events("task_failed");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["task"], &events[0]["code"]), (&"1.1".into(), &code.into()));
    let log = world.env.spec(["log", "1.1"]);
    assert!(log.stdout.contains(code), "{log}");

    assert!(!world.ticked("1.1"), "{}", world.list());
    assert!(signal_of(&output.stdout, "TASK_COMPLETE", "1.1").is_none());
    assert!(world.ticked("1.2") && world.ticked("1.5"), "what does not need it goes on: {output}");
    assert_eq!(world.history().iter().filter(|task| task.starts_with("1.")).collect::<Vec<_>>(), ["1.2", "1.5"]);

    let blocked: Vec<_> = world.events("task_blocked").iter().map(|event| event["task"].clone()).collect();
    assert_eq!(blocked, ["1.3", "1.4"], "blocked, also at second hand");
    for id in ["1.3", "1.4"] {
        assert!(!world.ticked(id) && world.tries(id) == 0, "never started");
        assert!(output.stderr.contains(id), "named: {output}");
    }
    let state: serde_json::Value = serde_json::from_str(&world.env.read(".spec-state.json")).expect("JSON");
    assert_eq!(state["phase"], "execution", "not all is done");
    output.stdout
}

#[test]
fn crash_by_exit_code() {
    let world = World::new(&list("  - **Do**: echo half > a.txt; exit 3\n  - **Files**: a.txt\n"));
    let output = fails(&world, "crash", &[]);
    assert!(output.contains("reason: exit 3\n"), "{output}");
    assert!(!world.env.path("a.txt").exists(), "what it left is out of the tree");
    let salvage = world.events("task_failed")[0]["salvage"].as_str().expect("saved").to_owned();
    assert_eq!(world.env.git(["show", &format!("{salvage}:a.txt")]), "half", "and saved");
}

#[test]
fn crash_by_signal_and_by_a_command_that_is_not_there() {
    let world = World::new(&list("  - **Do**: kill -9 $$\n"));
    let output = fails(&world, "crash", &[]);
    assert!(output.contains("signal 9") || output.contains("exit 137"), "{output}");
    let world = World::new(&list("  - **Do**: no-such-program-here; exit $?\n"));
    let output = fails(&world, "crash", &[]);
    assert!(output.contains("exit 127: a command was not found"), "{output}");
}

#[test]
fn an_executor_that_is_not_there_ends_the_run_before_it_starts() {
    let world = World::new(&list("  - **Do**: true\n"));
    let before = world.everything();
    let output = world.env.spec(["run", "tasks.md", "--exec", "no-such-agent --print"]);
    insta::assert_snapshot!(output, @r"
    --- stderr ---
    error: --exec: there is no program `no-such-agent` on PATH
    hint: install it, or name it by its path
    [exit code: 2]
    ");
    assert_eq!(world.everything(), before);
}

#[test]
fn spawn_where_the_folder_is_not_there() {
    let world = World::new(&list("  - **Do**: echo a > a.txt\n  - **Dir**: nowhere\n"));
    let output = fails(&world, "spawn", &[]);
    assert!(output.contains("nowhere"), "{output}");
}

#[test]
fn a_timeout_is_tried_once_more_with_twice_the_time() {
    let world = World::new(&list("  - **Do**: exec sleep 600\n  - **Timeout**: 1s\n"));
    let output = fails(&world, "timeout", &["--max-attempts", "5"]);
    assert_eq!(world.tries("1.1"), 2);
    let first = &world.events("task_retry")[0];
    assert_eq!((&first["code"], &first["reason"]), (&"timeout".into(), &"took longer than 1 s".into()));
    assert!(output.contains("reason: took longer than 2 s\n"), "{output}");
}

#[test]
fn silence_is_stalled() {
    let world = World::new(&list("  - **Do**: exec sleep 600\n"));
    fails(&world, "stalled", &["--idle-timeout", "1s"]);
}

#[test]
fn no_signal_where_it_is_asked_for() {
    let settings = "[exec]\nsignal = true\n";
    let world = World::new(&list("  - **Do**: echo a > a.txt; echo all done\n")).settings(settings);
    fails(&world, "no_signal", &[]);
    // Neither a quoted prompt nor a log in a fence is the signal.
    let world =
        World::new(&list("  - **Do**: echo a > a.txt; echo \"$prompt\"; echo '> TASK_COMPLETE'\n")).settings(settings);
    fails(&world, "no_signal", &[]);
}

#[test]
fn a_prompt_that_quotes_the_signal_of_the_try_before_is_not_the_signal() {
    // The first try says done and fails; the second prints its prompt, which has the end of the first one's output.
    let act = "echo $SPEC_ATTEMPT > a.txt; [ $SPEC_ATTEMPT = 1 ] && { echo TASK_COMPLETE; exit 4; }; echo \"$prompt\"";
    let world = World::new(&list(&format!("  - **Do**: {act}\n"))).settings("[exec]\nsignal = true\n");
    fails(&world, "no_signal", &["--max-attempts", "2"]);
    assert!(world.prompt("1.1", 2).contains("\n    TASK_COMPLETE"), "{}", world.prompt("1.1", 2));
}

#[test]
fn a_success_that_is_taken_back() {
    let settings = "[exec]\nsignal = true\n";
    let result = r#"echo a > a.txt; printf 'TASK_COMPLETE\n```json\n{"status": "%s", "blocker": "no key"}\n```\n'"#;
    for status in ["fail", "blocked"] {
        let world = World::new(&list(&format!("  - **Do**: {result} {status}\n"))).settings(settings);
        let output = fails(&world, "reported_failure", &[]);
        assert!(output.contains(status), "{output}");
    }
    let words = "echo a > a.txt; echo TASK_COMPLETE; echo; echo 'I could not complete the migration.'";
    let world = World::new(&list(&format!("  - **Do**: {words}\n"))).settings(settings);
    fails(&world, "contradiction", &[]);
}

#[test]
fn an_exit_code_0_without_any_change_is_not_done() {
    let world = World::new(&list("  - **Do**: true\n"));
    let output = fails(&world, "no_change", &[]);
    assert!(output.contains("NO_CHANGE"), "it says how to say so: {output}");
}

#[test]
fn changes_of_the_list_and_of_progress_files_are_no_change() {
    let act = "echo learned >> \"$SPEC_PROGRESS_FILE\"; sed -i 's/- \\[ \\] 1.4/- [x] 1.4/' \"$SPEC_FILE\"";
    let world = World::new(&list(&format!("  - **Do**: {act}\n")));
    fails(&world, "no_change", &[]);
    assert!(world.env.read(".progress.md").contains("learned"), "what a failed task learned is kept");
}

#[test]
fn no_change_with_a_reason_is_done_and_the_reason_is_kept() {
    let world = World::new("- [ ] 1.1 There already\n  - **Do**: echo 'NO_CHANGE: it was there'\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1"));
    assert_eq!(world.paths_of("1.1"), ["tasks.md"], "only its tick");
    let log = world.env.spec(["log", "1.1"]);
    assert!(log.stdout.contains("it was there"), "{log}");
}

#[test]
fn files_none_and_verify_tasks_need_not_change_anything() {
    let world = World::new(
        "- [ ] 1.1 Look\n  - **Do**: true\n  - **Files**: None\n- [ ] 1.2 [VERIFY] Look\n  - **Do**: true\n",
    );
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn where_a_change_cannot_be_told_that_is_said() {
    let world = World::without_git("- [ ] 1.1 No git here\n  - **Do**: true\n");
    let output = world.run(["-vv"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("whether it changed anything cannot be told"), "{output}");
    let log = world.env.spec(["log", "1.1"]);
    assert!(log.stdout.contains("whether it changed anything cannot be told"), "{log}");
}

#[test]
fn files_that_are_named_have_to_be_there() {
    for (files, missing) in [
        ("a.txt, never/there.txt", "never/there.txt"),
        ("a.txt, src/**/*.rs", "src/**/*.rs"),
        ("a.txt, keep.txt (delete)", "keep.txt"),
        ("keep.txt -> a.txt (rename)", "keep.txt"),
    ] {
        let world = World::new(&list(&format!("  - **Do**: echo a > a.txt\n  - **Files**: {files}\n")));
        world.env.write("keep.txt", "kept\n");
        world.commit("chore: keep");
        let output = fails(&world, "missing_files", &[]);
        assert!(output.contains(missing), "{files}: {output}");
        assert_eq!(world.env.read("keep.txt"), "kept\n");
    }
}

#[test]
fn files_that_are_there_or_gone_as_named_pass() {
    let act = "mkdir -p src/deep; echo a > src/deep/a.rs; git mv -f old.txt new.txt 2>/dev/null || mv old.txt new.txt; rm keep.txt";
    let world = World::new(&format!(
        "- [ ] 1.1 All as named\n  - **Do**: {act}\n  - **Files**: src/**/*.rs, keep.txt (delete), old.txt -> new.txt (rename)\n"
    ));
    world.env.write("keep.txt", "kept\n");
    world.env.write("old.txt", "old\n");
    world.commit("chore: keep");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    let paths = world.paths_of("1.1");
    for path in ["keep.txt", "new.txt", "src/deep/a.rs"] {
        assert!(paths.iter().any(|it| it == path), "{paths:?}");
    }
    // Nobody added the progress file to git, so it is kept on disk only.
    assert_eq!(world.env.git(["status", "--short"]), "?? .progress.md");
}

#[test]
fn what_lies_outside_the_declared_files_is_said_or_denied() {
    let bad = "  - **Do**: echo a > a.txt; echo o > outside.txt\n  - **Files**: a.txt\n";
    let world = World::new(&list(bad)).settings("[run]\nownership = \"deny\"\n");
    let output = fails(&world, "out_of_bounds", &["-j", "1"]);
    assert!(output.contains("outside.txt"), "{output}");

    let world = World::new(&format!("- [ ] 1.1 Outside\n{bad}"));
    let output = world.run(["-vv"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("changed outside its files: outside.txt"), "{output}");
    assert!(world.env.spec(["log", "1.1"]).stdout.contains("outside.txt"));
}

#[test]
fn thousands_of_new_files_and_secrets_are_too_much() {
    let many = "mkdir many && cd many && seq 2100 | xargs touch";
    let world = World::new(&list(&format!("  - **Do**: {many}\n")));
    let output = fails(&world, "too_much", &["-j", "1"]);
    assert!(output.contains("2100 new files"), "{output}");
    assert!(world.env.path("many/2100").exists(), "what cannot be saved is not taken away");

    let world = World::new(&list("  - **Do**: echo a > a.txt; echo KEY=1 > .env\n"));
    let output = fails(&world, "too_much", &["-j", "1"]);
    assert!(output.contains(".env"), "{output}");
}

/// The list of a world, mended and committed by a person.
fn mended(world: &World) {
    let list = world.list();
    world.env.write("tasks.md", list.replace("**Do**: ", "**Do**: echo b > b.txt; exit 0; "));
    world.env.git(["commit", "-q", "-m", "mend the list", "tasks.md"]);
}

#[test]
fn what_was_too_much_is_the_run_s_own_in_the_next_one_and_stays_uncommitted() {
    let act = "echo a > a.txt; echo KEY=1 > .env; mkdir -p many/more; cd many; seq 30 | xargs touch; git init -q inner";
    let world =
        World::new(&format!("- [ ] 1.1 Makes too much\n  - **Do**: {act}\n")).settings("[run]\ntoo_much = 20\n");
    let output = world.run([""; 0]);
    assert!(output.code == 1 && output.stdout.contains("code: too_much"), "{output}");
    assert!(output.stderr.contains("Left over .env a.txt many/1 "), "{output}");
    mended(&world);
    for text in ["echo c", "echo d"] {
        let output = world.run([""; 0]);
        assert_eq!(output.code, 0, "what is left is no person's dirt: {output}");
        assert!(output.stderr.contains("Left over .env a.txt many/1 "), "and still told of: {output}");
        assert_eq!(world.paths_of("1.1"), ["b.txt", "tasks.md"]);
        assert!(world.env.path("many/30").exists() && world.env.path(".env").exists());
        // One more run, which has it from the journal of this one.
        let reopened = world.list().replace("[x] 1.1", "[ ] 1.1").replace("echo b", text).replace("echo c", text);
        world.env.write("tasks.md", reopened);
        world.env.git(["commit", "-q", "-m", "once more", "tasks.md"]);
    }
    // Few of them are left, and they are still nobody's.
    for number in 5..=30 {
        std::fs::remove_file(world.env.path(format!("many/{number}"))).expect("it is there");
    }
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["ls-files", "many", "a.txt", ".env"]), "");
    // What a person adds is the person's.
    world.env.write("mine/.env", "KEY=2");
    let output = world.run([""; 0]);
    assert!(output.code == 2 && output.stderr.contains("mine/.env") && !output.stderr.contains("many"), "{output}");
}

#[test]
fn what_was_too_much_when_a_run_was_killed_is_told_from_a_person_s() {
    let act = "echo KEY=1 > .env; echo began > \"$HOME/began\"; read line < \"$HOME/gate\"";
    let world = World::new(&format!("- [ ] 1.1 Makes too much\n  - **Do**: {act}\n"));
    world.env.write("mine/.env", "KEY=2");
    let (began, _gate) = (world.fifo("began"), world.fifo("gate"));
    let mut run = world.start(["--allow-dirty"]);
    std::fs::read(began).expect("the executor runs");
    run.kill().expect("it runs");
    run.wait().expect("it is over");
    mended(&world);
    let output = world.run([""; 0]);
    assert!(output.code == 2 && output.stderr.contains("changes: mine/.env\n"), "only the person's: {output}");
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["ls-files", ".env", "mine"]), "");
}

#[test]
fn a_sibling_of_a_task_that_makes_thousands_of_files_keeps_its_own() {
    let world = World::new(
        "- [ ] 1.1 [P] Many\n  - **Do**: mkdir -p many && (cd many && seq 30 | xargs touch); echo go > \"$HOME/made\"; read go < \"$HOME/gate\"\n  - **Files**: many/\n\
         - [ ] 1.2 [P] Few\n  - **Do**: read go < \"$HOME/made\"; echo b > b.txt; echo go > \"$HOME/gate\"\n  - **Files**: b.txt\n",
    )
    .settings("[run]\ntoo_much = 20\n");
    world.fifo("made");
    world.fifo("gate");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    assert!(world.ticked("1.2") && !world.ticked("1.1"), "{output}");
    assert_eq!(world.paths_of("1.2"), ["b.txt", "tasks.md"]);
}

#[test]
fn what_verify_says_counts_and_the_next_try_is_told() {
    let bad = "  - **Do**: echo $SPEC_ATTEMPT > a.txt; echo all tests passed; echo TASK_COMPLETE\n  - **Verify**: `cat a.txt; echo 72 errors; exit 9`\n";
    let world = World::new(&list(bad));
    let output = fails(&world, "verify_failed", &["--max-attempts", "3"]);
    assert!(output.contains("exit 9"), "{output}");
    assert_eq!(world.tries("1.1"), 3);
    assert!(!world.prompt("1.1", 1).contains("72 errors\n"));
    for attempt in [2, 3] {
        let prompt = world.prompt("1.1", attempt);
        assert!(prompt.contains("failed (verify_failed)"), "{prompt}");
        assert!(prompt.contains(&format!("    {}\n    72 errors", attempt - 1)), "the evidence: {prompt}");
    }
    let log = world.env.spec(["log", "1.1"]);
    assert!(log.stdout.contains("\n72 errors") && log.stdout.contains("exit 9"), "{log}");
}

#[test]
fn a_verify_that_cannot_fail_by_its_pipe_does() {
    let world = World::new(&list("  - **Do**: echo a > a.txt\n  - **Verify**: `(echo red; exit 1) | tail -5`\n"));
    fails(&world, "verify_failed", &[]);
}

#[test]
fn a_hook_that_refuses_the_commit() {
    let world = World::new(&list("  - **Do**: echo bad > a.txt\n  - **Files**: a.txt\n"));
    world.env.write(
        ".git/hooks/pre-commit",
        "#!/bin/sh\nif git diff --cached --name-only | grep -q a.txt; then echo 'lint: no a.txt' >&2; exit 1; fi\n",
    );
    let chmod = world.env.output(world.env.command("chmod").args(["+x", ".git/hooks/pre-commit"]));
    assert_eq!(chmod.code, 0, "{chmod}");
    fails(&world, "commit_failed", &[]);
    let log = world.env.spec(["log", "1.1"]);
    assert!(log.stdout.contains("lint: no a.txt"), "what the hook said: {log}");
    assert!(!world.env.path("a.txt").exists(), "what it left is out of the tree");
}

#[test]
fn without_an_identity_nothing_is_started() {
    let world = World::new(&list("  - **Do**: echo a > a.txt\n"));
    world.env.write("../home/.gitconfig", "[user]\n\tuseConfigOnly = true\n");
    let before = world.everything();
    let output = world.run([""; 0]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("git config user.email") && output.stderr.contains("--no-commit"), "{output}");
    assert_eq!(world.everything(), before);
    assert_eq!(world.run(["--no-commit"]).code, 0);
}

#[test]
fn a_persons_change_in_the_way_is_a_conflict() {
    let world =
        World::new("- [ ] 1.1 Edit\n  - **Do**: echo task >> shared.txt\n- [ ] 1.2 After\n  - **Do**: echo x > x\n");
    world.env.write("shared.txt", "first\n");
    world.commit("chore: shared");
    world.env.write("shared.txt", "first, by a person\n");
    let head = world.env.git(["rev-parse", "HEAD"]);
    let refused = world.run([""; 0]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("shared.txt") && refused.stderr.contains("--allow-dirty"), "{refused}");

    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 4, "{output}");
    let told = "in its way: shared.txt; commit or stash them and run `spec run` once more";
    assert!(output.stderr.contains(told), "{output}");
    assert_eq!(world.env.git(["rev-parse", "HEAD"]), head, "the branch does not move");
    assert!(!world.ticked("1.1") && world.tries("1.2") == 0);
    assert_eq!(world.env.read("shared.txt"), "first, by a person\ntask\n", "nothing of theirs is lost");
}

#[test]
fn a_conflict_beats_a_failure() {
    let world = World::new(
        "- [ ] 1.1 [P] Fails\n  - **Do**: exit 3\n  - **Files**: a.txt\n\
         - [ ] 1.2 [P] In the way\n  - **Do**: echo task >> shared.txt\n  - **Files**: shared.txt\n",
    );
    world.env.write("shared.txt", "first\n");
    world.commit("chore: shared");
    world.env.write("shared.txt", "first, by a person\n");
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 4, "{output}");
    assert!(signal_of(&output.stdout, "TASK_FAILED", "1.1").is_some(), "{output}");
}
