//! The demo list of the README, from beginning to end: the promises that a stranger sees first.

use std::path::Path;

use crate::env::TestEnv;

const LIST: &str = "specs/demo/tasks.md";

#[test]
fn the_demo_is_a_clean_list_and_runs_to_its_end() {
    let env = TestEnv::new();
    let list = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST)).expect("the demo list");
    env.write(LIST, list);
    env.git(["init", "-q"]);
    env.git(["add", "."]);
    env.git(["commit", "-q", "-m", "chore: add the list"]);

    let check = env.spec(["check", LIST, "--format", "json"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(!check.stdout.contains("\"severity\""), "{check}");

    let run = env.spec(["run", LIST]);
    assert_eq!(run.code, 0, "{run}");
    let tasks: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("task: ")).collect();
    assert_eq!(tasks, ["1.1", "1.2", "1.3", "1.4", "1.5", "2.1", "2.2", "2.3", "2.4"], "{run}");
    let batches: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("tasks: ")).collect();
    assert_eq!(batches, ["1.2 1.3 1.4", "2.1 2.2 2.3"], "{run}");
    assert!(run.stdout.ends_with("\nALL_TASKS_COMPLETE\n\n"), "{run}");
    assert!(run.stderr.contains("Retry 2.3 verify_failed"), "{run}");
    assert!(run.stderr.contains("All done: 9 of 9 tasks done"), "{run}");

    assert!(!env.read(LIST).contains("- [ ]"), "every box is ticked");
    let history = env.git(["log", "--reverse", "--format=%(trailers:key=Spec-Task,valueonly,separator=%x2C)"]);
    assert_eq!(history.split_whitespace().collect::<Vec<_>>(), tasks, "a commit a task, in the order of the list");
    assert_eq!(env.git(["status", "--short", "--", "demo", LIST]), "", "nothing is left uncommitted");

    // What the commands that look say of a real run, not only of one that a test wrote down.
    assert_eq!(env.spec(["status", LIST, "--brief"]).stdout, "9/9 done; last run: done\n");
    let log = env.spec(["log", "2.3", LIST, "--attempt", "1"]).stdout;
    assert!(log.contains("verify: exit 1") && log.contains("tried again"), "{log}");
    assert!(env.spec(["history", LIST]).stdout.contains("9 of 9 done, 9 landed"));
}
