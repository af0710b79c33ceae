//! Trees that try to get away.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests, and files that only a test needs"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::runtime::process::{CommandLine, Ended, Outcome, SpawnSpec, Stop, spawn};
use crate::runtime::testing::{again, alone, await_file, ended, gone, pid_in};

fn sh(dir: &TempDir, script: &str, run: &str) -> SpawnSpec {
    SpawnSpec::new(CommandLine::new("sh", ["-c", script]), dir.path(), dir.path().join("log"), run)
}

async fn run(dir: &TempDir, script: &str) -> Outcome {
    become_subreaper().unwrap();
    spawn(sh(dir, script, &clock::run_id())).await.unwrap().wait().await
}

/// FIELD 22: left the group, lost its parent, wiped its environment.
#[tokio::test]
async fn nothing_outlives_its_task() {
    if !alone("runtime::tree::tests::nothing_outlives_its_task") {
        return;
    }
    for escape in [
        "setsid sh -c 'echo $$ > pid; exec sleep 1000' &",
        "(setsid sh -c 'echo $$ > pid; exec sleep 1000' &)",
        "(setsid sh -c '(sh -c \"echo \\$\\$ > pid; exec sleep 1000\" &)' &)",
        "(env -i PATH=\"$PATH\" setsid sh -c 'echo $$ > pid; exec sleep 1000' &)",
        "(trap '' TERM HUP INT; setsid sh -c 'echo $$ > pid; while :; do sleep 1000; done' &)",
        "(setsid sh -c 'echo $$ > pid; kill -STOP $$; exec sleep 1000' &)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("{escape}\nwhile [ ! -s pid ]; do sleep 0.01; done");
        let outcome = run(&dir, &script).await;
        assert!(outcome.success(), "{escape}");
        assert!(outcome.left_behind >= 1, "{escape}");
        assert!(gone(pid_in(&dir.path().join("pid"))), "{escape}");
    }
}

/// A relay: each runner starts the next in a session of its own and ends, so that there is always one to miss.
#[tokio::test]
async fn a_tree_that_forks_away_is_caught() {
    if !alone("runtime::tree::tests::a_tree_that_forks_away_is_caught") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let relay = "trap '' TERM; echo $$ > pid.$$; mv pid.$$ pid; [ -e stop ] || setsid sh relay & exit 0";
    fs::write(dir.path().join("relay"), relay).unwrap();
    let id = clock::run_id();
    become_subreaper().unwrap();
    let script = "setsid sh relay & while [ ! -s pid ]; do sleep 0.01; done";
    let outcome = spawn(sh(&dir, script, &id)).await.unwrap().wait().await;
    let caught = fs::read_to_string(dir.path().join("pid")).unwrap();
    fs::write(dir.path().join("stop"), "").unwrap();
    assert!(outcome.left_behind >= 1);
    // Had one got away it would have written its own id by now, or would still be there to be found.
    assert!(os::marked(&id).is_empty());
    assert_eq!(fs::read_to_string(dir.path().join("pid")).unwrap(), caught);
}

/// What dies below a long task and comes to us does not stay a zombie until the end. Time is paused: it passes at once.
#[tokio::test(start_paused = true)]
async fn the_dead_are_reaped_while_a_task_runs() {
    if !alone("runtime::tree::tests::the_dead_are_reaped_while_a_task_runs") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    become_subreaper().unwrap();
    let script = "(setsid sh -c 'echo $$ > pid' &); while [ ! -e go ]; do sleep 0.01; done";
    let running = spawn(sh(&dir, script, &clock::run_id())).await.unwrap();
    let task = tokio::spawn(running.wait());
    await_file(&dir.path().join("pid")).await;
    let pid = pid_in(&dir.path().join("pid"));
    while !ended(pid) {
        std::thread::yield_now();
    }
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if gone(pid) {
            break;
        }
    }
    assert!(gone(pid));
    fs::write(dir.path().join("go"), "").unwrap();
    assert!(task.await.unwrap().success());
}

/// A process that is killed before it is stopped could have started another meanwhile.
#[test]
fn a_tree_is_stopped_and_looked_at_again_before_it_is_killed() {
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let process = os::stat(child.id().cast_signed()).unwrap();
    let mut looks = 0;
    freeze_and_kill(|| {
        looks += 1;
        let stopped = || fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap().contains(") T ");
        let seen = looks == 1 || (0..1_000_000).any(|_| stopped());
        assert!(seen, "not stopped at look {looks}");
        vec![process]
    });
    assert_eq!(looks, 1 + QUIET);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
}

/// The helpers of other modules (git) are waited for by those.
#[tokio::test]
async fn children_of_other_modules_are_left_alone() {
    if !alone("runtime::tree::tests::children_of_other_modules_are_left_alone") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let start = |script: &str| Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap();
    // A thread that ends leaves its children to the main thread, where the program itself has all of its own.
    let both = std::thread::scope(|scope| scope.spawn(|| (start("exec sleep 1000"), start("exit 4"))).join());
    let (mut alive, mut dead) = both.unwrap();
    let main_thread = format!("/proc/self/task/{}/children", std::process::id());
    while !ended(dead.id()) || !fs::read_to_string(&main_thread).unwrap().contains(&dead.id().to_string()) {
        std::thread::yield_now();
    }
    assert_eq!(run(&dir, "exit 0").await.left_behind, 0);
    assert_eq!(dead.wait().unwrap().code(), Some(4));
    assert!(alive.try_wait().unwrap().is_none());
    alive.kill().unwrap();
    alive.wait().unwrap();
}

/// Git starts its housekeeping in a session of its own and goes.
#[tokio::test]
async fn what_helpers_leave_behind_is_left_alone() {
    if !alone("runtime::tree::tests::what_helpers_leave_behind_is_left_alone") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    become_subreaper().unwrap();
    let script = "setsid sh -c 'echo $$ > pid; exec sleep 1000' & while [ ! -s pid ]; do sleep 0.01; done";
    assert!(Command::new("sh").args(["-c", script]).current_dir(&dir).status().unwrap().success());
    let pid = pid_in(&dir.path().join("pid"));
    assert_eq!(run(&dir, "exit 0").await.left_behind, 0);
    assert!(!ended(pid));
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
}

/// FIELD 22, 23: a runner that was killed leaves its trees; the next run ends them, and nothing else.
#[tokio::test]
async fn a_sweep_ends_what_a_killed_run_left() {
    if std::env::var("SPEC_TEST_ROLE").is_ok_and(|role| role == "runner") {
        let dir = std::env::var("SPEC_TEST_DIR").unwrap();
        become_subreaper().unwrap();
        let script = "(trap '' TERM; setsid sh -c 'echo $$ > daemon; while :; do sleep 1000; done' &)
            while [ ! -s daemon ]; do sleep 0.01; done; echo $$ > leader; exec sleep 1000";
        let log = Path::new(&dir).join("log");
        spawn(SpawnSpec::new(CommandLine::new("sh", ["-c", script]), dir, log, "dead-run")).await.unwrap().wait().await;
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "runtime::tree::tests::a_sweep_ends_what_a_killed_run_left";
    let mut runner = again(test, "runner", dir.path()).spawn().unwrap();
    let other = spawn(sh(&dir, "exec sleep 1000", "other-run")).await.unwrap();
    let (leader, daemon) = (dir.path().join("leader"), dir.path().join("daemon"));
    await_file(&leader).await;
    runner.kill().unwrap();
    runner.wait().unwrap();
    let (leader, daemon) = (pid_in(&leader), pid_in(&daemon));
    assert!(!ended(leader) && !ended(daemon), "the test is of no use where they end with the runner");

    assert!(sweep("dead-run", Duration::from_millis(100)).await >= 2);
    assert!(ended(leader) && ended(daemon));
    assert_eq!(sweep("dead-run", Duration::ZERO).await, 0);

    let stopper = other.stopper();
    stopper.stop(Stop::Kill);
    assert_eq!(other.wait().await.ended, Ended::Stopped(Stop::Kill));
}

/// A run that was started inside a task of the dead one sweeps neither itself nor those above.
#[tokio::test]
async fn a_sweep_spares_itself_and_those_above() {
    if std::env::var("SPEC_TEST_ROLE").is_ok_and(|role| role == "inner") {
        assert_eq!(sweep("outer-run", Duration::ZERO).await, 0);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "runtime::tree::tests::a_sweep_spares_itself_and_those_above";
    let status = again(test, "inner", dir.path()).env(MARK, "outer-run.0").status().unwrap();
    assert!(status.success());
}
