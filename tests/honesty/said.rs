//! What a run says on standard output, and what its state file has at every moment.

use std::io::Write as _;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{World, by_task};

const LIST: &str = "# Tasks

## Phase 1
- [ ] 1.1 Alone
  - **Do**: echo a > a.txt
  - **Verify**: `test -s a.txt`
- [ ] 1.2 [P] B
  - **Do**: echo b > b.txt
  - **Files**: b.txt
- [ ] 1.3 [P] C
  - **Do**: echo c > c.txt
  - **Files**: c.txt
  - **Verify**: `test -s c.txt`

- [ ] 1.4 [VERIFY] All there
  - **Verify**: `cat a.txt b.txt c.txt`
- [ ] A task without an id
  - **Run**: `true`
";

#[test]
fn the_signals_of_a_list_with_groups() {
    let world = World::new(LIST);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_snapshot!(by_task(&world, &output.stdout), @r"
    TASK_COMPLETE
    task: 1.1
    status: pass
    commit: <1.1>
    verify: pass

    TASK_COMPLETE
    task: 1.2
    status: pass
    commit: <1.2>
    verify: none

    TASK_COMPLETE
    task: 1.3
    status: pass
    commit: <1.3>
    verify: pass

    BATCH_COMPLETE
    tasks: 1.2 1.3

    TASK_COMPLETE
    task: 1.4
    status: pass
    commit: <1.4>
    verify: pass

    TASK_COMPLETE
    task: :4
    status: pass
    commit: <:4>
    verify: none

    ALL_TASKS_COMPLETE
    ");
    // Nothing for people on standard output, nothing for programs on standard error.
    assert!(!output.stderr.contains("TASK_COMPLETE"), "{output}");
    let again = world.run([""; 0]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "ALL_TASKS_COMPLETE\n\n"), "nothing was left: {again}");
}

#[test]
fn a_batch_is_complete_when_its_last_member_lands_in_whichever_run() {
    let list = "- [ ] 1.1 [P] A\n  - **Do**: echo a > a.txt\n  - **Files**: a.txt\n\
                - [ ] 1.2 [P] B\n  - **Do**: exit 1\n  - **Files**: b.txt\n\
                - [ ] 1.3 After\n  - **Do**: echo c > c.txt\n";
    let world = World::new(list);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    assert_snapshot!(by_task(&world, &output.stdout), @r"
    TASK_COMPLETE
    task: 1.1
    status: pass
    commit: <1.1>
    verify: none

    TASK_FAILED
    task: 1.2
    code: crash
    reason: exit 1
    ");
    assert!(!world.ticked("1.3") && world.tries("1.3") == 0, "order is dependency: {output}");
    world.env.write("tasks.md", world.list().replace("exit 1", "echo b > b.txt"));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_snapshot!(by_task(&world, &output.stdout), @r"
    TASK_COMPLETE
    task: 1.2
    status: pass
    commit: <1.2>
    verify: none

    BATCH_COMPLETE
    tasks: 1.1 1.2

    TASK_COMPLETE
    task: 1.3
    status: pass
    commit: <1.3>
    verify: none

    ALL_TASKS_COMPLETE
    ");
    assert_eq!(world.tries("1.1"), 1);
}

#[test]
fn all_tasks_complete_is_said_only_when_it_is_true() {
    let list = "- [ ] 1.1 A\n  - **Run**: `true`\n- [ ] 1.2 B\n  - **Run**: `true`\n- [ ]* 1.3 Optional\n  - **Run**: `true`\n";
    let world = World::new(list);
    let output = world.run(["--only", "1.1"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(!output.stdout.contains("ALL_TASKS_COMPLETE"), "{output}");
    let output = world.run(["--from", "1.2"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.ends_with("ALL_TASKS_COMPLETE\n\n"), "an optional task is not asked for: {output}");
    assert!(!world.list().contains("[x]* 1.3"));
    let output = world.run(["--include-optional"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.list().contains("[x]* 1.3"), "{}", world.list());
}

/// The events of a run with `--output json`, held to what is promised of each.
fn events(stdout: &str) -> Vec<Value> {
    let events: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("a line is an event")).collect();
    let mut last = None;
    for event in &events {
        assert_eq!(event["schema"], "spec.event/1", "{event}");
        for field in ["time", "run", "type"] {
            assert!(event[field].is_string(), "{event}");
        }
        let seq = event["seq"].as_u64().expect("a number");
        assert!(last.is_none_or(|last| seq > last), "strictly increasing: {last:?} then {event}");
        last = Some(seq);
        assert_eq!(event["run"], events[0]["run"]);
    }
    let types: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((types.first(), types.last()), (Some(&"run_start"), Some(&"run_complete")));
    events
}

fn at(events: &[Value], kind: &str, task: Option<&str>) -> usize {
    let found = |event: &Value| event["type"] == kind && task.is_none_or(|task| event["task"] == task);
    events.iter().position(found).unwrap_or_else(|| panic!("no {kind} of {task:?}"))
}

#[test]
fn json_events_tell_the_whole_run_in_order() {
    let world =
        World::new(&LIST.replace("echo b > b.txt", "echo said; echo $SPEC_ATTEMPT > b.txt; [ $SPEC_ATTEMPT = 2 ]"));
    let output = world.run(["--output", "json", "--max-attempts", "2"]);
    assert_eq!(output.code, 0, "{output}");
    let events = events(&output.stdout);
    for kind in [
        "run_start",
        "step_start",
        "batch_start",
        "task_start",
        "task_output",
        "task_retry",
        "task_complete",
        "commit",
        "batch_complete",
        "signal",
        "run_complete",
    ] {
        at(&events, kind, None);
    }
    let batch = at(&events, "batch_start", None);
    let over = at(&events, "batch_complete", None);
    for task in ["1.2", "1.3"] {
        let start = at(&events, "task_start", Some(task));
        let commit = at(&events, "commit", Some(task));
        let complete = at(&events, "task_complete", Some(task));
        assert!(batch < start && start < commit && commit < complete && complete < over);
    }
    assert!(at(&events, "task_complete", Some("1.1")) < at(&events, "task_start", Some("1.2")));
    assert!(at(&events, "task_retry", Some("1.2")) < at(&events, "task_complete", Some("1.2")));
    assert_eq!(events[over]["completed"], json!(["1.2", "1.3"]));
    assert_eq!(events[over]["failed"], json!([]));
    let signals: Vec<&str> =
        events.iter().filter(|event| event["type"] == "signal").filter_map(|event| event["signal"].as_str()).collect();
    assert_eq!(
        signals,
        [
            "TASK_COMPLETE",
            "TASK_COMPLETE",
            "TASK_COMPLETE",
            "BATCH_COMPLETE",
            "TASK_COMPLETE",
            "TASK_COMPLETE",
            "ALL_TASKS_COMPLETE"
        ]
    );
    let summary = &events[events.len() - 1];
    assert_eq!(
        (&summary["exit"], &summary["tasks"], &summary["retries"]),
        (&json!(0), &json!(5), &json!(1)),
        "{summary}"
    );
    for event in &events {
        assert_eq!(event["type"] == "commit", event["commit"].is_string() && event["subject"].is_string(), "{event}");
    }
}

#[test]
fn json_tells_failures_and_what_they_block() {
    let world =
        World::new("- [ ] 1.1 A\n  - **Do**: exit 3\n- [ ] 1.2 B\n  - **Do**: echo b > b\n  - **Depends**: 1.1\n");
    let output = world.run(["--output", "json"]);
    assert_eq!(output.code, 1, "{output}");
    let events = events(&output.stdout);
    let failed = &events[at(&events, "task_failed", Some("1.1"))];
    assert_eq!((&failed["code"], &failed["reason"]), (&json!("crash"), &json!("exit 3")));
    assert_eq!(events[at(&events, "task_blocked", Some("1.2"))]["by"], json!(["1.1"]));
    let last = &events[events.len() - 1];
    assert_eq!((&last["failed"], &last["blocked"]), (&json!(["1.1"]), &json!(["1.2"])), "{last}");
}

#[test]
fn the_state_file_tells_where_the_run_is() {
    let world = World::new(
        "- [ ] 1.1 First\n  - **Do**: echo a > a.txt\n\
         - [ ] 1.2 [P] Fails\n  - **Do**: exit 3\n  - **Files**: b.txt\n\
         - [ ] 1.3 [P] Waits\n  - **Do**: echo c > c.txt; read go < \"$HOME/go\"\n  - **Files**: c.txt\n\
         - [ ] 1.4 Last\n  - **Do**: echo d > d.txt\n",
    );
    let go = world.fifo("go");
    let child = world.start([""; 0]);
    let state = world.state_when(|state| state["taskResults"]["1"]["status"] == "failed");
    assert_eq!(
        state["parallelGroup"],
        json!({"startIndex": 1, "endIndex": 2, "taskIndices": [1, 2], "isParallel": true})
    );
    assert_eq!(state["taskResults"]["1"], json!({"status": "failed", "error": "crash: exit 3"}));
    assert_eq!(state["taskResults"]["2"], json!({"status": "pending"}));
    assert_eq!((&state["phase"], &state["taskIndex"]), (&json!("execution"), &json!(1)));
    assert_eq!(state["run"]["pid"], json!(child.id()));
    for (field, value) in [
        ("version", json!(1)),
        ("source", json!("spec")),
        ("tasksFile", json!("tasks.md")),
        ("totalTasks", json!(4)),
        ("maxTaskIterations", json!(1)),
        ("maxGlobalIterations", json!(100)),
    ] {
        assert_eq!(state[field], value, "{field}: {state}");
    }
    writeln!(std::fs::File::options().write(true).open(go).expect("it waits"), "go").expect("it hears");
    let output = world.finish(child);
    assert_eq!(output.code, 1, "{output}");
    let state: Value = serde_json::from_str(&world.env.read(".spec-state.json")).expect("JSON");
    assert_eq!((&state["phase"], &state["taskIndex"]), (&json!("execution"), &json!(1)), "{state}");
    assert_eq!(state["taskResults"]["1"]["status"], "failed", "{state}");
    assert_eq!(state["taskResults"]["2"]["status"], "success", "{state}");

    world.env.write("tasks.md", world.list().replace("exit 3", "echo b > b.txt"));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    let state: Value = serde_json::from_str(&world.env.read(".spec-state.json")).expect("JSON");
    assert_eq!((&state["phase"], &state["taskIndex"]), (&json!("completed"), &json!(4)), "{state}");
    assert_eq!((&state["parallelGroup"], &state["taskResults"]), (&Value::Null, &json!({})), "{state}");
}

#[test]
fn a_ralph_state_file_stays_true_for_its_tool() {
    let world = World::new(
        "- [ ] 1.1 First\n  - **Do**: echo a > a.txt; cp .ralph-state.json \"$HOME/during\"\n  - [ ] a note below it\n- [ ] 1.2 Second\n  - **Do**: exit 3\n",
    );
    world.env.write(
        ".ralph-state.json",
        r#"{"source":"spec","name":"work","basePath":".","phase":"execution","taskIndex":0,"totalTasks":2,"awaitingApproval":false,"commitSpec":true,"theirs":{"kept":[1]}}"#,
    );
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(!world.env.path(".spec-state.json").exists());
    let during: Value = serde_json::from_str(&world.env.read("../home/during")).expect("JSON");
    assert_eq!(during["awaitingApproval"], true, "its stop hook keeps out: {during}");
    let state: Value = serde_json::from_str(&world.env.read(".ralph-state.json")).expect("JSON");
    assert_eq!(state["awaitingApproval"], false, "the old value is back: {state}");
    assert_eq!((&state["theirs"], &state["commitSpec"]), (&json!({"kept": [1]}), &json!(true)), "{state}");
    assert_eq!((&state["taskIndex"], &state["totalTasks"]), (&json!(1), &json!(2)), "boxes at column 0: {state}");
    world.env.write("tasks.md", world.list().replace("exit 3", "echo b > b.txt"));
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(!world.env.path(".ralph-state.json").exists(), "removed when all is done, as that tool does");
}

/// What would rewrite a list keeps its hands off it while a run works on it, and has it back afterwards.
#[test]
fn a_list_that_is_being_run_is_not_mended() {
    let world = World::new(
        "- [x]0.9 Done\n- [ ] 1.1 One\n  - **Do**: echo > \"$HOME/begun\"; cat \"$HOME/go\"; echo a > a.txt\n  - **Files**: a.txt\n\
         - [ ] 1.2 Two\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n",
    );
    let (begun, go) = (world.fifo("begun"), world.fifo("go"));
    let run = world.start([""; 0]);
    std::fs::read(begun).expect("it is running");
    let before = world.list();
    for args in [["check", "--fix", "tasks.md"], ["fmt", "--mark-parallel", "--write"]] {
        let output = world.env.spec(args);
        assert_eq!(output.code, 3, "{args:?}: {output}");
        assert!(output.stderr.contains("another run holds"), "{output}");
    }
    assert_eq!(world.env.spec(["check", "--fix", "--dry-run"]).code, 0, "to look is free");
    assert_eq!(world.list(), before);
    std::fs::OpenOptions::new().write(true).open(go).expect("it goes on");
    let output = world.finish(run);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.spec(["check", "--fix"]).code, 0);
    assert!(world.list().starts_with("- [x] 0.9 Done\n- [x] 1.1 One\n"), "{}", world.list());
}

/// What the stop hook of smart-ralph looks at, in every phase of a run. It keeps out while `awaitingApproval` is true and
/// the index is below the total; else it orders the task at the index.
#[test]
fn the_stop_hook_of_smart_ralph_reads_what_is_true_in_every_phase() {
    let task = |id: &str, mark: &str, then: &str| {
        format!(
            "- [ ] {id}{mark} x\n  - **Do**: cp \"$HOME/../work/.ralph-state.json\" \"$HOME/{id}\"; {then}\n  - **Files**: {id}.txt\n"
        )
    };
    let list = [
        task("1.1", "", "echo a > 1.1.txt"),
        task("1.2", " [P]", "echo a > 1.2.txt"),
        task("1.3", " [P]", "exit 3"),
        task("1.4", " [P]", "echo a > 1.4.txt"),
        task("1.5", "", "echo a > 1.5.txt"),
    ];
    let world = World::new(&list.concat());
    world.env.write(
        ".ralph-state.json",
        r#"{"source":"spec","name":"work","basePath":"./","phase":"tasks","taskIndex":0,"totalTasks":0,"awaitingApproval":false}"#,
    );
    let read = |path: &str| -> Value { serde_json::from_str(&world.env.read(path)).expect("JSON") };
    // Where it is follows a moment later; that the hook keeps out holds at every moment.
    let during = |id: &str| {
        let state = read(&format!("../home/{id}"));
        assert_eq!((&state["phase"], &state["awaitingApproval"]), (&json!("execution"), &json!(true)), "{id}: {state}");
        assert!(state["taskIndex"].as_u64() < Some(5) && state["totalTasks"] == 5, "{id}: {state}");
    };
    let output = world.run(["--max-attempts", "1", "--allow-dirty"]);
    assert_eq!(output.code, 1, "{output}");
    for id in ["1.1", "1.2", "1.3", "1.4"] {
        during(id);
    }
    // Over: 1.2 and 1.4 of the group have landed, and what it is to go on with is the one that has not.
    let state = read(".ralph-state.json");
    assert_eq!((&state["phase"], &state["awaitingApproval"]), (&json!("execution"), &json!(false)), "{state}");
    assert_eq!((&state["taskIndex"], &state["totalTasks"]), (&json!(2), &json!(5)), "{state}");
    assert_eq!(state.get("run"), None, "{state}");
    assert!(world.ticked("1.2") && !world.ticked("1.3") && world.ticked("1.4"));
    world.env.write("tasks.md", world.list().replace("exit 3", "echo a > 1.3.txt"));
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 0, "{output}");
    for id in ["1.3", "1.5"] {
        during(id);
    }
    assert!(!world.env.path(".ralph-state.json").exists(), "nothing is left to order");
}

#[test]
fn a_state_file_that_cannot_be_written_in_the_end_is_told_and_is_no_success() {
    let world = World::new(
        "- [ ] 1.1 In the way\n  - **Do**: echo a > a.txt; rm -f .spec-state.json; mkdir -p .spec-state.json/x\n",
    );
    let output = world.run(["--no-commit"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains(".spec-state.json"), "{output}");
    assert!(!output.stdout.contains("ALL_TASKS_COMPLETE"), "{output}");
    let end = world.events("run_complete").pop().expect("an end");
    assert_eq!((&end["exit"], &end["outcome"]), (&json!(2), &json!("stopped")));
}
