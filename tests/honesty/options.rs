//! What each option of `spec run` promises.

use crate::world::{World, signal_of};

const LIST: &str = "# Tasks\n\n\
    ## Phase 1\n- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n- [ ] 1.2 B\n  - **Do**: echo b > b.txt\n\n\
    ## Phase 2\n- [ ] 2.1 C\n  - **Do**: echo c > c.txt\n- [ ] 2.2 D\n  - **Do**: echo d > d.txt\n";

#[test]
fn a_dry_run_says_what_would_run_and_changes_nothing() {
    let world = World::new(LIST);
    let before = world.everything();
    let output = world.run(["--dry-run"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("2.2") && !output.stdout.contains("TASK_COMPLETE"), "{output}");
    assert_eq!(world.everything(), before);
}

#[test]
fn a_dry_run_speaks_of_the_settings_of_the_run() {
    let list = "- [ ] 1.1 [P] A\n  - **Do**: echo a > a\n- [ ] 1.2 [P] B\n  - **Do**: echo b > b\n";
    let world = World::new(list).settings("[run]\nmode = \"sequential\"\n");
    let plan = world.run(["--dry-run"]);
    assert!(!plan.stdout.contains("at the same time"), "{plan}");
    let run = world.run(["-v"]);
    assert!(
        run.stderr.contains("(sequential, at most 1 at once)") && run.stderr.contains("at best with 1 at once"),
        "{run}"
    );
}

#[test]
fn only_and_from_choose_and_waive_no_dependency() {
    let world = World::new(LIST);
    let output = world.run(["--only", "2.1"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "2.1"]);
    let output = world.run(["--from", "Phase 2"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "2.1", "2.2"]);

    let world =
        World::new("- [ ] 1.1 A\n  - **Do**: echo a > a\n- [ ] 1.2 B\n  - **Do**: echo b > b\n  - **Depends**: 1.1\n");
    let before = world.everything();
    let output = world.run(["--only", "1.2"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("tasks.md:5") && output.stderr.contains("1.1"), "{output}");
    let output = world.run(["--only", "9.9"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("9.9"), "{output}");
    assert_eq!(world.everything(), before);
}

#[test]
fn notes_are_run_only_where_asked_for() {
    let list =
        "- [ ] 1.1 A\n  - **Run**: `true`\n- [ ] 1.2 B\n  - **Run**: `true`\n\n## Done when\n- [ ] all is well\n";
    let world = World::new(list);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("ALL_TASKS_COMPLETE") && world.list().contains("- [ ] all is well"), "{output}");
    let output = world.env.spec(["run", "tasks.md", "--include-notes", "--exec", "echo 'NO_CHANGE: it is'"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.list().contains("- [x] all is well"), "{output}");
    assert!(signal_of(&output.stdout, "TASK_COMPLETE", ":2").is_some(), "{output}");
}

#[test]
fn keep_going_goes_on_with_what_does_not_need_the_failed_task() {
    let list = LIST.replace("echo a > a.txt", "exit 3");
    let world = World::new(&list);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(world.history(), ["chore: add the list"], "order is dependency");
    assert!(output.stderr.contains("Pending 1.2 2.1 2.2"), "{output}");
    let world = World::new(&list);
    let output = world.run(["--keep-going"]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "1.2", "2.1", "2.2"]);
}

#[test]
fn require_verify_refuses_before_anything_starts() {
    let world = World::new(LIST);
    let before = world.everything();
    let output = world.run(["--require-verify"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("tasks.md:4: 1.1 A"), "{output}");
    assert_eq!(world.everything(), before);
}

#[test]
fn without_commits_boxes_are_ticked_and_progress_is_merged() {
    let world = World::new(LIST);
    let output = world.run(["--no-commit"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list"]);
    assert!(!world.list().contains("- [ ]"));
    assert!(world.env.read(".progress.md").contains("2.2"));
    assert_eq!(signal_of(&output.stdout, "TASK_COMPLETE", "1.1").expect("said")["commit"], "none");
    assert_eq!(world.env.git(["diff", "--cached", "--name-only"]), "", "nothing is staged either");
}

#[test]
fn one_at_a_time_means_one_at_a_time() {
    let act = "mkdir turn || exit 1; seq 1 20000 | wc -l > \"$SPEC_TASK_ID\"; rmdir turn";
    let list =
        [1, 2, 3, 4].map(|n| format!("- [ ] 1.{n} [P] Task\n  - **Do**: {act}\n  - **Files**: 1.{n}\n")).concat();
    for args in [&["--mode", "sequential"][..], &["-j", "1"][..]] {
        let world = World::new(&list);
        let output = world.run(args);
        assert_eq!(output.code, 0, "{args:?}: {output}");
        let one_by_one = args[0] == "--mode";
        assert_eq!(output.stdout.contains("BATCH_COMPLETE"), !one_by_one, "the limit never splits a group: {output}");
    }
}

#[test]
fn uncommitted_changes_of_a_person_are_left_alone() {
    let world = World::new(LIST);
    world.env.write("theirs.txt", "theirs\n");
    world.commit("chore: theirs");
    world.env.write("theirs.txt", "changed by a person\n");
    world.env.write("new.txt", "new, and a person's\n");
    world.env.git(["add", "new.txt"]);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("theirs.txt") && output.stderr.contains("--allow-dirty"), "{output}");
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["status", "--short"]), "A  new.txt\n M theirs.txt\n?? .progress.md");
    assert_eq!(world.env.git(["log", "--format=%h", "--", "new.txt"]), "");
    assert_eq!(world.env.read("theirs.txt"), "changed by a person\n");
}

#[test]
fn the_variables_of_an_executor_are_those_of_the_documentation() {
    let world = World::new("- [ ] 1.1 Say\n  - **Do**: env > said.txt\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    let said = world.env.read("said.txt");
    let mut found: Vec<&str> = said.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // One setting is the surroundings' of all these tests.
    found.retain(|name| name.starts_with("SPEC_") && *name != "SPEC_ADMISSION");
    found.sort_unstable();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).expect("the page");
    let table = page.split("## What an executor is told").nth(1).expect("a table");
    let mut told: Vec<&str> = table.split('`').filter(|part| part.starts_with("SPEC_")).collect();
    told.sort_unstable();
    assert_eq!(found, told);
}
