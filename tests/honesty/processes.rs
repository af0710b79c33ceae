//! What processes do to a run: they linger, hang, print without end, wait for a person, and are not asked for twice.

use std::io::Write as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, signal_of};

fn gone(world: &World, file: &str) -> bool {
    let pid = world.env.read(format!("../home/{file}"));
    !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()
}

#[test]
fn what_lingers_after_the_result_is_ended_and_not_waited_for() {
    let world = World::new(
        "- [ ] 1.1 Leaves servers behind\n  - **Do**: sleep 600 & echo $! > \"$HOME/child\"; setsid sh -c 'echo $$ > \"$HOME/session\"; exec sleep 600' & while [ ! -s \"$HOME/session\" ]; do :; done; echo a > a.txt\n",
    );
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(gone(&world, "child") && gone(&world, "session"), "nothing keeps running");
}

#[test]
fn nobody_is_there_to_answer() {
    let world = World::new(
        "- [ ] 1.1 Asks\n  - **Do**: read answer; [ $? != 0 ] && echo alone > a.txt\n\
         - [ ] 1.2 Asks, too\n  - **Run**: `if read answer; then exit 1; fi`\n",
    );
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn an_executor_that_does_not_read_its_prompt_is_no_error() {
    let world = World::without_git("- [ ] 1.1 Long\n");
    let text = format!("- [ ] 1.1 Long\n  {}\n", "word ".repeat(100_000));
    world.env.write("tasks.md", text);
    let output = world.env.spec(["run", "tasks.md", "--exec", "true"]);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn much_output_blocks_nobody_and_is_all_in_the_log() {
    let world = World::new("- [ ] 1.1 Chatty\n  - **Do**: seq 1 300000; seq 1 300000 >&2; echo a > a.txt\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    let log = world.env.spec(["log", "1.1"]).stdout;
    assert_eq!(log.lines().filter(|line| *line == "300000").count(), 2, "to the last line");
}

#[test]
fn a_verify_never_runs_beside_a_sibling() {
    // 1.2 is in the middle of its edits when 1.1 has ended.
    let world = World::new(
        "- [ ] 1.1 [P] Quick\n  - **Do**: echo a > a.txt; echo go > \"$HOME/gate\"\n  - **Files**: a.txt\n  - **Verify**: `test ! -e half`\n\
         - [ ] 1.2 [P] Slow\n  - **Do**: echo half > half; read go < \"$HOME/gate\"; seq 1 100000 | wc -l > b.txt; rm half\n  - **Files**: b.txt, half (delete)\n  - **Verify**: `test ! -e half`\n",
    );
    world.fifo("gate");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2"]);
}

#[test]
fn tasks_that_share_a_file_take_turns() {
    let act = "mkdir turn || exit 1; seq 1 20000 | wc -l >> package.json; rmdir turn";
    let world = World::new(&format!(
        "- [ ] 1.1 [P] A\n  - **Do**: {act}\n  - **Files**: package.json\n- [ ] 1.2 [P] B\n  - **Do**: {act}\n  - **Files**: package.json\n"
    ));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["show", &format!("{}:package.json", world.commit_of("1.1"))]), "20000");
    assert_eq!(world.env.git(["show", &format!("{}:package.json", world.commit_of("1.2"))]), "20000\n20000");
}

#[test]
fn in_graph_mode_one_slow_task_blocks_nothing_that_needs_nothing_from_it() {
    // 1.1 ends only when 1.3 runs, which needs 1.2 alone: with a barrier behind the first two this would never end.
    let world = World::new(
        "- [ ] 1.1 [P] Slow\n  - **Do**: read go < \"$HOME/gate\"; echo a > a.txt\n  - **Files**: a.txt\n\
         - [ ] 1.2 [P] Quick\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n\
         - [ ] 1.3 Needs the quick one\n  - **Do**: test -e b.txt; echo go > \"$HOME/gate\"; echo c > c.txt\n  - **Files**: c.txt\n  - **Depends**: 1.2\n",
    );
    world.fifo("gate");
    let output = world.run(["--mode", "graph"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(!output.stdout.contains("BATCH_COMPLETE"), "{output}");
    let history = world.history();
    assert_eq!(history[1], "1.2", "it landed before the slow one ended: {history:?}");
}

#[test]
fn an_interrupt_ends_what_runs_keeps_what_passed_and_beats_other_exit_codes() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let world = World::new(
            "- [ ] 1.1 [P] Fails\n  - **Do**: exit 3\n  - **Files**: no.txt\n\
             - [ ] 1.2 [P] Passes\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n\
             - [ ] 1.3 [P] Runs\n  - **Do**: echo half > c.txt; (setsid sh -c 'echo $$ > \"$HOME/session\"; exec sleep 600' &) ; while [ ! -s \"$HOME/session\" ]; do :; done; echo up > \"$HOME/gate\"; exec sleep 600\n  - **Files**: c.txt\n\
             - [ ] 1.4 After\n  - **Do**: echo d > d.txt\n",
        );
        let gate = world.fifo("gate");
        let child = world.start(["--grace", "1s"]);
        assert_eq!(std::fs::read_to_string(gate).expect("it runs"), "up\n");
        // The other two are over.
        world.state_when(|state| state["taskResults"]["0"]["status"] == "failed");
        while world.events("task_passed").is_empty() {}
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it is told");
        let output = world.finish(child);
        assert_eq!(output.code, code, "{output}");
        assert!(signal_of(&output.stdout, "TASK_COMPLETE", "1.2").is_some(), "what passed lands: {output}");
        assert!(world.ticked("1.2") && !world.ticked("1.3") && !world.ticked("1.1"));
        assert!(signal_of(&output.stdout, "TASK_FAILED", "1.3").is_none(), "ended is not failed: {output}");
        assert_eq!(world.events("task_cancelled").len(), 1);
        assert_eq!(world.tries("1.4"), 0);
        assert!(gone(&world, "session"), "not even what left the group");
        assert_eq!(world.events("run_complete")[0]["exit"], code);
        let status = world.env.spec(["status"]);
        assert!(status.stdout.contains("interrupted"), "{status}");
        // The next run goes on: what landed does not run again.
        world
            .env
            .write("tasks.md", world.list().replace("exit 3", "echo a > no.txt").replace("exec sleep 600\n", "true\n"));
        let drain = std::thread::spawn({
            let gate = world.env.path("../home/gate");
            move || std::fs::read_to_string(gate)
        });
        let output = world.run([""; 0]);
        drain.join().expect("no panic").expect("it ran again");
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(world.tries("1.2"), 1);
        assert!(output.stdout.contains("BATCH_COMPLETE\ntasks: 1.1 1.2 1.3\n"), "{output}");
    }
}

#[test]
fn two_interrupts_end_it_at_once_and_the_next_run_cleans_up() {
    let world = World::new(
        "- [ ] 1.1 Does not want to end\n  - **Do**: trap '' TERM INT; echo $$ > \"$HOME/child\"; echo up > \"$HOME/gate\"; while :; do read x < \"$HOME/never\"; done\n",
    );
    let gate = world.fifo("gate");
    world.fifo("never");
    let child = world.start(["--grace", "600s"]);
    assert_eq!(std::fs::read_to_string(gate).expect("it runs"), "up\n");
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).expect("it is told");
    while !world.journal().iter().any(|event| event["code"] == "stopping") {}
    kill(pid, Signal::SIGINT).expect("it is told again");
    let output = world.finish(child);
    assert_eq!(output.code, 130, "{output}");
    assert!(gone(&world, "child"));
    assert!(!world.ticked("1.1"));
}

#[test]
fn it_is_said_before_a_task_runs_out_of_time() {
    let world =
        World::new("- [ ] 1.1 Quick\n  - **Do**: echo a > a.txt\n- [ ] 1.2 Hangs\n  - **Do**: exec sleep 600\n");
    let output = world.run(["--timeout", "2s", "--grace", "1s"]);
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.2").unwrap_or_else(|| panic!("{output}"));
    assert_eq!((failed["code"].as_str(), output.code), ("timeout", 1), "{output}");
    let late = "has been at it for 1.6s, and is ended after 2.0s";
    assert!(output.stderr.contains(&format!("task 1.2 {late}")), "{output}");
    assert!(!output.stderr.contains(&format!("task 1.1 {late}")), "{output}");
}

#[test]
fn the_time_limit_of_a_run_gives_5_and_beats_a_failure() {
    let world = World::new(
        "- [ ] 1.1 [P] Fails\n  - **Do**: exit 3\n  - **Files**: a.txt\n- [ ] 1.2 [P] Hangs\n  - **Do**: exec sleep 600\n  - **Files**: b.txt\n",
    );
    let output = world.run(["--run-timeout", "5s", "--grace", "1s"]);
    assert_eq!(output.code, 5, "{output}");
    assert!(signal_of(&output.stdout, "TASK_FAILED", "1.1").is_some(), "{output}");
    assert!(!world.ticked("1.2"));
}

#[test]
fn cancel_skip_pause_and_a_second_run() {
    let world = World::new(
        "- [ ] 1.1 Runs\n  - **Do**: echo a > a.txt; echo up > \"$HOME/gate\"; read go < \"$HOME/go\"\n- [ ] 1.2 After\n  - **Do**: echo b > b.txt\n",
    );
    let gate = world.fifo("gate");
    let go = world.fifo("go");
    let child = world.start([""; 0]);
    assert_eq!(std::fs::read_to_string(&gate).expect("it runs"), "up\n");

    let second = world.run([""; 0]);
    assert_eq!(second.code, 3, "{second}");
    assert!(second.stderr.contains("spec cancel") && second.stdout.is_empty(), "{second}");

    let skip = world.env.spec(["skip", "1.2"]);
    assert_eq!(skip.code, 0, "{skip}");
    writeln!(std::fs::File::options().write(true).open(&go).expect("it waits"), "go").expect("it hears");
    let output = world.finish(child);
    assert_eq!(output.code, 1, "a skipped task is not done: {output}");
    assert!(world.ticked("1.1") && !world.ticked("1.2") && world.tries("1.2") == 0);
    assert!(!output.stdout.contains("ALL_TASKS_COMPLETE"), "{output}");

    // Skipped stays skipped only in that run; `cancel` ends one in order.
    world.env.write("tasks.md", world.list().replace("- [x] 1.1", "- [ ] 1.1"));
    let child = world.start([""; 0]);
    assert_eq!(std::fs::read_to_string(&gate).expect("it runs again: its box was reopened"), "up\n");
    let cancel = world.env.spec(["cancel"]);
    assert_eq!(cancel.code, 0, "{cancel}");
    let output = world.finish(child);
    assert_eq!(output.code, 130, "{output}");
    assert!(!world.ticked("1.1"));
}

#[test]
fn a_skip_is_allowed_where_that_is_asked_for() {
    let world = World::new(
        "- [ ] 1.1 Runs\n  - **Do**: echo a > a.txt; echo up > \"$HOME/gate\"; read go < \"$HOME/go\"\n- [ ] 1.2 After\n  - **Do**: echo b > b.txt\n",
    );
    let (gate, go) = (world.fifo("gate"), world.fifo("go"));
    let child = world.start(["--allow-skips"]);
    assert_eq!(std::fs::read_to_string(&gate).expect("it runs"), "up\n");
    assert_eq!(world.env.spec(["skip", "1.2"]).code, 0);
    writeln!(std::fs::File::options().write(true).open(&go).expect("it waits"), "go").expect("it hears");
    let output = world.finish(child);
    assert_eq!(output.code, 0, "{output}");
    assert!(!output.stdout.contains("ALL_TASKS_COMPLETE"), "skipped is not done: {output}");
}

/// The letter of a process's state; none where it is gone.
fn state(pid: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').next()?.to_owned())
}

fn wait_for_state(pids: &[Pid], stopped: bool) {
    while !pids.iter().all(|pid| (state(*pid).as_deref() == Some("T")) == stopped) {
        std::thread::yield_now();
    }
}

#[test]
fn ctrl_z_stops_everything_that_runs_and_the_time_until_fg_counts_for_no_limit() {
    let world = World::new(
        "- [ ] 1.1 Works\n  - **Do**: setsid sh -c 'echo $$ > \"$HOME/other\"; exec sleep 600' & while [ ! -s \"$HOME/other\" ]; do :; done; echo $$ > \"$HOME/pid\"; echo began > \"$HOME/began\"; read go < \"$HOME/gate\"; echo a > a.txt\n",
    );
    let (began, gate) = (world.fifo("began"), world.fifo("gate"));
    let run = world.start(["--timeout", "5s", "--idle-timeout", "5s", "--run-timeout", "5s"]);
    std::fs::read(began).expect("the executor runs");
    let ours = Pid::from_raw(run.id().cast_signed());
    let below = ["pid", "other"]
        .map(|file| Pid::from_raw(world.env.read(format!("../home/{file}")).trim().parse().expect("a process")));
    let all = [ours, below[0], below[1]];
    kill(ours, Signal::SIGTSTP).expect("the run is there");
    wait_for_state(&all, true);
    std::thread::sleep(std::time::Duration::from_secs(6)); // tidy: longer than every limit, while all stands still
    assert!(all.iter().all(|pid| state(*pid).as_deref() == Some("T")), "nobody went on");
    kill(ours, Signal::SIGCONT).expect("the run is there");
    wait_for_state(&all, false);
    std::fs::File::options()
        .write(true)
        .open(gate)
        .expect("the executor goes on")
        .write_all(b"go\n")
        .expect("it reads");
    let output = world.finish(run);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1") && world.events("task_retry").is_empty(), "{output}");
}
