//! Briefs that are written ahead: who gets one, how long it holds, and that its writer changes nothing and stays for
//! nothing.

use crate::world::World;

/// Waits until that is so.
fn until(what: &str) -> String {
    format!("until {what}; do sleep 0.05; done")
}

/// Until a note with that code is in the journal.
fn noted(code: &str) -> String {
    until(&format!("grep -q '\"code\":\"{code}\"' \"$SPEC_DIR\"/.spec/runs/*/journal.jsonl"))
}

/// Two tasks: the first does this, the second writes `b.txt` and does that.
fn world(first: &str, second: &str, writer: &str) -> World {
    let world = World::new(&format!(
        "# Tasks\n\n- [ ] 1.1 First\n  - **Do**: {first}; echo a > a.txt\n\
         - [ ] 1.2 Second\n  - **Do**: echo b > b.txt; {second}\n  - **Files**: b.txt\n"
    ));
    let count = "cat > \"$HOME/told\"; echo once >> \"$HOME/times\"";
    world.env.write("../home/writer", format!("{count}\n{writer}\n"));
    world.settings("[prepare]\nenabled = true\ncommand = 'sh \"$HOME/writer\"'\n")
}

#[test]
fn a_brief_is_written_while_another_task_runs_and_used_as_long_as_it_holds() {
    let writer = "pwd > \"$HOME/where\"; echo \"use a.txt for $SPEC_TASK_ID, ghp_$(printf 'aB3dE6gH9j%.0s' 1 2 3 4)\"";
    let world = world(&noted("prepared"), "[ -e \"$HOME/good\" ]", writer);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    let brief = "\n    use a.txt for 1.2, [masked:github-token]\n";
    assert!(world.prompt("1.2", 1).contains(brief), "{}", world.prompt("1.2", 1));
    assert!(!world.prompt("1.1", 1).contains("looked at the code"), "{}", world.prompt("1.1", 1));
    let told = world.env.read("../home/told");
    assert!(told.contains("- [ ] 1.2 Second\n") && told.contains("- b.txt (not there yet)\n"), "{told}");
    assert_ne!(world.env.read("../home/where").trim(), world.env.work().to_str().expect("UTF-8"), "a tree of its own");
    assert_eq!(world.env.git(["status", "--porcelain", "-uall"]), "?? .progress.md", "nothing is left");

    // The next run has it again; the one that is shown is the same.
    let shown = world.env.spec(["prompt", "1.2"]);
    assert!(shown.stdout.contains(brief), "{shown}");
    assert_eq!(world.run([""; 0]).code, 1);
    assert!(world.prompt("1.2", 1).contains(brief));
    assert_eq!(world.env.read("../home/times"), "once\n", "used again, not written again");

    // Of other sources it is not used.
    world.env.write("design.md", "# Design\n\nQuite another.\n");
    world.env.write("../home/good", "");
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(!world.prompt("1.2", 1).contains("use a.txt"), "{}", world.prompt("1.2", 1));
}

#[test]
fn a_writer_that_changes_something_is_not_listened_to() {
    let world = world(&noted("not-prepared"), "true", "echo mine > mine.txt; echo take my word");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(
        output.stderr.contains("no brief of task 1.2: who wrote it was to change nothing, and changed mine.txt"),
        "{output}"
    );
    assert!(!world.prompt("1.2", 1).contains("take my word"));
    assert!(!world.env.path("mine.txt").exists() && world.paths_of("1.2") == ["b.txt", "tasks.md"]);
}

#[test]
fn writers_end_with_the_run_and_with_the_wait_of_their_task() {
    let here = until("[ -s \"$HOME/pid\" ]");
    for first in [format!("{here}; exit 1"), here] {
        let world = world(&first, "true", "echo $$ > \"$HOME/pid\"; exec sleep 1000");
        let fails = first.ends_with("exit 1");
        let output = world.run(["--grace", "1s"]);
        assert_eq!(output.code, i32::from(fails), "{output}");
        assert_eq!(world.ticked("1.2"), !fails);
        let pid = world.env.read("../home/pid").trim().parse().expect("a number");
        assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err(), "it still runs");
    }
}

#[test]
fn without_being_asked_for_nothing_is_written() {
    let world = world("true", "true", "echo a brief").settings("[prepare]\ncommand = 'sh \"$HOME/writer\"'\n");
    assert_eq!(world.run([""; 0]).code, 0);
    assert!(!world.env.path("../home/times").exists() && !world.env.path(".spec/briefs").exists());
}
