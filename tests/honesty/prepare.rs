//! Briefs that are written ahead: who gets one, how long it holds, and that its writer changes nothing and stays for
//! nothing.

use crate::agents::command;
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

/// The first task goes on until this is so, with the script of the agents' tests; a brief of the second is written by an
/// agent that does this.
fn with_agent(first: &str, brief: &str, settings: &str) -> World {
    let first = format!("- [ ] 1.1 First\n  - **Do**: {first}; echo a > a.txt; done_\n");
    let second = format!("- [ ] 1.2 Second\n  - **Do**: {brief}; echo b > b.txt; done_\n");
    let more = "[prepare]\nenabled = true\n";
    World::new(&format!("# Tasks\n\n{first}{second}")).settings(&format!("{settings}{more}"))
}

/// What a writer does, and nobody else: tries know their number. What it says is put together, for the prompt has this.
fn brief(what: &str) -> String {
    format!(
        "if [ -z \"$SPEC_ATTEMPT\" ]; then {what}; exit; fi; printf '%s' \"$prompt\" > \"$HOME/told.$SPEC_TASK_ID\""
    )
}

#[test]
fn an_agent_that_only_reads_writes_a_brief_which_is_paid_for() {
    let list = with_agent(&noted("prepared"), &brief("say $(echo Look)ing; say \"use $(echo a).txt\"; result"), "");
    let output = list.env.output(&mut command(&list, &["--max-cost", "5"]));
    assert_eq!(output.code, 0, "{output}");
    assert!(list.env.read("../home/told.1.2").contains("\n    use a.txt\n"), "{}", list.env.read("../home/told.1.2"));
    assert!(!list.env.read("../home/told.1.2").contains("Looking"), "its last message is the brief");
    let arguments = list.env.read("../home/arguments");
    let reads = arguments.lines().filter(|line| line.contains("--permission-mode plan")).count();
    assert_eq!((reads, arguments.lines().count()), (1, 3), "{arguments}");
    let agents = list.events("task_agent");
    let who = |event: &serde_json::Value| format!("{} {} {}", event["task"], event["attempt"], event["outcome"]);
    assert_eq!(
        agents.iter().map(who).collect::<Vec<_>>(),
        [r#""1.2" 0 "prepared""#, r#""1.1" 1 "done""#, r#""1.2" 1 "done""#]
    );
    let complete = list.events("run_complete").pop().expect("it ended");
    assert_eq!((&complete["cost"], &complete["attempts"]), (&0.75.into(), &2.into()));
    let shown = list.env.spec(["show", complete["run"].as_str().expect("an id"), "tasks.md"]);
    assert!(shown.stdout.contains("  1.2 brief  claude model-1"), "{shown}");
}

#[test]
fn an_agent_that_cannot_write_a_brief_is_not_listened_to() {
    for what in [
        "say \"use $(echo a).txt\"; failed 400 'no such model'; exit 1",
        "say \"use $(echo a).txt\"",
        "say \"use $(echo a).txt\"; echo x > mine.txt; result",
        "result",
    ] {
        let world = with_agent(&noted("not-prepared"), &brief(what), "");
        let output = world.env.output(&mut command(&world, &[]));
        assert_eq!(output.code, 0, "{what}: {output}");
        assert!(!world.env.read("../home/told.1.2").contains("use a.txt"), "{what}");
        assert_eq!(world.events("task_agent")[0]["outcome"], "not_prepared", "{what}");
    }
}

#[test]
fn a_brief_is_not_written_where_no_budget_allows_it() {
    let settings = "[budget]\nrun = \"2 USD\"\nestimate = \"0.9 USD\"\n";
    let world = with_agent(&noted("not-prepared"), &brief("say \"use $(echo a).txt\"; result"), settings);
    let output = world.env.output(&mut command(&world, &["-v"]));
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("no brief of 1.2: the budget of the run is 2.00 USD"), "{output}");
    assert_eq!(world.events("task_agent").len(), 2, "one try of each");
}

#[test]
fn who_writes_briefs_is_found_before_anything_starts() {
    let world = with_agent("true", "true", "").settings("[prepare]\nenabled = true\nagent = \"gemini\"\n");
    let mut run = command(&world, &[]);
    let output = world.env.output(run.env("PATH", world.env.path("../home/bin")));
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("Gemini CLI (gemini) is not installed"), "{output}");
    for (settings, why) in [
        ("agent = \"claude\"\ncommand = \"x\"", "prepare cannot have both an `agent` and a `command`"),
        ("model = \"x\"", "prepare has a `model` without an `agent`"),
    ] {
        let world = World::new("- [ ] 1.1 A\n").settings(&format!("[prepare]\n{settings}\n"));
        let output = world.env.output(&mut command(&world, &[]));
        assert_eq!(output.code, 2, "{output}");
        assert!(output.stderr.contains(&format!("spec.toml:1: {why}")), "{output}");
    }
}
