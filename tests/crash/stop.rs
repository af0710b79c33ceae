//! Runs that are stopped in order: by signals, by their time limit, and by `spec cancel`; and the other steering of a run.

use nix::sys::signal::Signal;

use crate::world::{Gate, Kind, LIST, Running, World};

const PAIR: &str = "\
- [ ] 1.1 [P] Slow
  - **Files**: 1.1.txt
- [ ] 1.2 [P] Quick
  - **Files**: 1.2.txt
- [ ] 1.3 After
  - **Files**: 1.3.txt
";

/// 1.1 leaves a process in a session of its own and waits; both are told to take no notice of a friendly signal where the
/// test says so.
const WORK: &str = r#"
test -e "$BESIDE/stubborn" && trap '' TERM INT
echo "start $SPEC_TASK_ID" >> "$BESIDE/log"
if test "$SPEC_TASK_ID" = 1.1 && mkdir "$BESIDE/waited" 2> "$BESIDE/null"; then
    setsid sh -c 'echo "grandchild" >> "$BESIDE/log"; read line < "$BESIDE/never"' &
    echo waiting >> "$BESIDE/log"
    read line < "$BESIDE/gate"
fi
echo "$SPEC_TASK_ID" > "$SPEC_TASK_ID.txt"
"#;

fn world() -> (World, [Gate; 2]) {
    let world = World::new(Kind::Tracked, PAIR.as_bytes(), &[]);
    let gates = [world.gate("gate"), world.gate("never")];
    (world, gates)
}

/// A run in which 1.1 waits, with its grandchild, and 1.2 has passed.
fn under_way<'a>(world: &'a World, more: &[&str]) -> Running<'a> {
    let mut run = world.start(&[&["--exec", WORK], more].concat());
    run.notes("waiting");
    run.notes("grandchild");
    run.reaches("task_passed", "1.2");
    run
}

/// What passed has landed, what was under way has not, nothing runs, and the next run does the rest.
fn ended_well(world: &World) {
    assert_eq!(world.processes(), [], "nothing keeps running, not even in a session of its own");
    assert_eq!(world.landed(), ["1.2"]);
    assert_eq!(world.read(LIST), PAIR.replace("[ ] 1.2", "[x] 1.2"));
    world.run(&["--exec", WORK]).all_done();
    assert_eq!(world.landed(), ["1.2", "1.1", "1.3"]);
    assert_eq!(world.git(["status", "--porcelain"]), "");
}

#[test]
fn one_interrupt_ends_in_order() {
    let (world, _gates) = world();
    let run = under_way(&world, &[]);
    run.signal(Signal::SIGINT);
    run.wait().expect(130);
    ended_well(&world);
}

#[test]
fn a_terminate_ends_in_order() {
    let (world, _gates) = world();
    let run = under_way(&world, &[]);
    run.signal(Signal::SIGTERM);
    run.wait().expect(143);
    ended_well(&world);
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let (world, _gates) = world();
    std::fs::write(world.beside("stubborn"), "").unwrap();
    // Had it to wait for the grace period, the test would never end.
    let mut run = under_way(&world, &["--grace", "1h"]);
    run.signal(Signal::SIGINT);
    let stopping = |journal: &[u8]| String::from_utf8_lossy(journal).contains("\"code\":\"stopping\"");
    assert!(run.comes_to(stopping));
    run.signal(Signal::SIGINT);
    run.wait().expect(130);
    assert_eq!(world.processes(), []);
    std::fs::remove_file(world.beside("stubborn")).unwrap();
    world.run(&["--exec", WORK]).all_done();
    assert_eq!(world.landed().len(), 3);
}

#[test]
fn the_time_limit_of_a_run_ends_in_order() {
    let (world, _gates) = world();
    world.run(&["--exec", WORK, "--run-timeout", "2s"]).expect(5).says("time limit");
    ended_well(&world);
}

#[test]
fn cancel_ends_in_order() {
    let (world, _gates) = world();
    let run = under_way(&world, &[]);
    world.spec(["cancel", LIST]).expect(0);
    run.wait().expect(130);
    ended_well(&world);
}

#[test]
fn a_paused_run_starts_nothing_until_it_is_resumed() {
    let (world, [mut gate, _never]) = world();
    let mut run = under_way(&world, &[]);
    world.spec(["pause", LIST]).expect(0);
    gate.open();
    run.reaches("task_complete", "1.1");
    world.spec(["resume", LIST]).expect(0);
    run.wait().all_done();
    let records = world.records();
    let at = |wanted: &dyn Fn(&serde_json::Value) -> bool| records.iter().position(wanted).unwrap();
    let resumed = at(&|record| record["type"] == "paused" && record["paused"] == false);
    let begun = at(&|record| record["type"] == "task_start" && record["task"] == "1.3");
    assert!(resumed < begun, "it began {begun} before it was resumed {resumed}");
}

#[test]
fn a_task_that_is_skipped_is_not_run_and_not_ticked() {
    let (world, [mut gate, _never]) = world();
    let run = under_way(&world, &[]);
    world.spec(["skip", "1.3", LIST]).expect(0);
    gate.open();
    let ended = run.wait().expect(1);
    assert!(!ended.stdout.contains("ALL_TASKS_COMPLETE"), "{ended}");
    assert_eq!(world.landed(), ["1.1", "1.2"]);
    assert_eq!(world.read(LIST), PAIR.replace("[ ]", "[x]").replace("[x] 1.3", "[ ] 1.3"));
    assert!(!world.log().contains(&"start 1.3".to_owned()));
}

#[test]
fn a_task_that_is_skipped_while_it_runs_is_ended() {
    let (world, _gates) = world();
    let run = under_way(&world, &["--allow-skips"]);
    world.spec(["skip", "1.1", LIST]).expect(0);
    run.wait().expect(0);
    assert_eq!(world.processes(), []);
    assert_eq!(world.landed(), ["1.2", "1.3"]);
}

#[test]
fn a_task_that_failed_is_tried_again_on_request() {
    let (world, [mut gate, _never]) = world();
    let work = format!("{}\ntest \"$SPEC_TASK_ID\" != 1.2 || ! mkdir \"$BESIDE/failed\"", WORK.trim_end());
    let mut run = world.start(&["--exec", &work, "--max-attempts", "1"]);
    run.notes("waiting");
    run.reaches("task_failed", "1.2");
    world.spec(["retry", "1.2", LIST]).expect(0);
    run.reaches("task_passed", "1.2");
    gate.open();
    run.wait().all_done();
    assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
}

#[test]
fn a_second_run_keeps_out() {
    let (world, [mut gate, _never]) = world();
    let run = under_way(&world, &[]);
    let other = world.spec(["run", LIST, "--exec", "true"]).expect(3);
    assert!(other.stderr.contains("another run holds"), "{other}");
    gate.open();
    run.wait().all_done();
}
