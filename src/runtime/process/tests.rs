//! Real processes. They wait for each other through files, never by the clock.
#![expect(clippy::disallowed_methods, reason = "helpers of tests, and files that only a test needs")]

use std::fs;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;
use crate::runtime::testing::{again, await_file, gone, pid_in};

fn program(dir: &TempDir, program: &str, args: &[&str]) -> SpawnSpec {
    let log = dir.path().join("logs/try.log");
    SpawnSpec::new(CommandLine::new(program, args), dir.path(), log, "test-run")
}

fn sh(dir: &TempDir, script: &str) -> SpawnSpec {
    program(dir, "sh", &["-c", script])
}

async fn run(spec: SpawnSpec) -> Outcome {
    tree::become_subreaper().unwrap();
    spawn(spec).await.unwrap().wait().await
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A sink and what came through it.
fn lines() -> (LineSink, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    (Box::new(move |line| sink.lock().unwrap().push(String::from_utf8_lossy(line).into_owned())), seen)
}

#[test]
fn a_program_is_looked_for_in_folders_that_are_the_same_from_everywhere() {
    let (first, second) = (folder(), folder());
    fs::create_dir(first.path().join("tool")).unwrap();
    fs::write(first.path().join("plain"), "no program").unwrap();
    for name in ["tool", "plain"] {
        std::os::unix::fs::symlink("/bin/sh", second.path().join(name)).unwrap();
    }
    let find = |name: &str, path: &str| find(name.as_ref(), path.as_ref());
    let (one, two) = (first.path().display(), second.path().display());
    // Neither a folder nor what may not be run is a program.
    assert_eq!(find("tool", &format!("{one}:{two}")), Some(second.path().join("tool")));
    assert_eq!(find("plain", &format!("{one}:{two}")), Some(second.path().join("plain")));
    assert_eq!(find("tool", &format!("bin:{two}")), None, "what is in `bin` is for the system to say");
    assert_eq!(find("tool", &format!(":{two}")), None, "an empty folder is where it is started");
    assert_eq!(find("./tool", &two.to_string()), None);
    assert_eq!(find("", &two.to_string()), None);
}

#[tokio::test]
async fn a_program_is_told_the_name_it_was_started_by() {
    let dir = folder();
    let outcome = run(program(&dir, "sh", &["-c", "echo $0"])).await;
    assert_eq!(outcome.stdout_tail, b"sh\n");
}

#[tokio::test]
async fn exit_codes_and_both_streams_are_kept() {
    let dir = folder();
    let outcome = run(sh(&dir, "echo out; echo err >&2; exit 3")).await;
    assert_eq!((outcome.exit, outcome.signal, outcome.ended), (Some(3), None, Ended::Exited));
    assert!(!outcome.success());
    assert_eq!((outcome.stdout_tail.as_slice(), outcome.stderr_tail.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((outcome.output_bytes, outcome.left_behind, outcome.pipes_held), (8, 0, false));
    let log = fs::read_to_string(dir.path().join("logs/try.log")).unwrap();
    assert!(log.contains("out\n") && log.contains("err\n") && log.len() == 8);
}

#[tokio::test]
async fn merged_streams_keep_their_order_and_the_log_is_appended_to() {
    let dir = folder();
    for _ in 0..2 {
        let mut spec = sh(&dir, "echo 1; echo 2 >&2; echo 3");
        spec.merge_streams = true;
        let outcome = run(spec).await;
        assert_eq!(outcome.stdout_tail, b"1\n2\n3\n");
        assert!(outcome.success());
    }
    assert_eq!(fs::read(dir.path().join("logs/try.log")).unwrap(), b"1\n2\n3\n1\n2\n3\n");
}

#[tokio::test]
async fn a_silent_process_leaves_no_log() {
    let dir = folder();
    assert!(run(program(&dir, "true", &[])).await.success());
    assert!(!dir.path().join("logs").exists());
}

#[tokio::test]
async fn a_signal_is_not_an_exit_code() {
    let dir = folder();
    let outcome = run(sh(&dir, "kill -9 $$")).await;
    assert_eq!((outcome.exit, outcome.signal, outcome.ended), (None, Some(9), Ended::Exited));
    assert!(!outcome.success());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_of_and_stops_nothing() {
    let dir = folder();
    fs::create_dir_all(dir.path().join("logs/try.log")).unwrap();
    let outcome = run(sh(&dir, "echo still here")).await;
    assert!(outcome.success());
    assert_eq!(outcome.stdout_tail, b"still here\n");
    assert!(outcome.log_error.unwrap().contains("try.log"));
}

async fn error(spec: SpawnSpec) -> SpawnError {
    spawn(spec).await.err().expect("it is not started")
}

#[tokio::test]
async fn why_it_cannot_be_started_is_told_apart() {
    let dir = folder();
    let not_found = error(program(&dir, "no-such-program-anywhere", &[])).await;
    insta::assert_snapshot!(not_found, @"cannot start `no-such-program-anywhere`: there is no such program on PATH; install it or name it by its path");
    assert!(matches!(not_found, SpawnError::NotFound { .. }));

    fs::write(dir.path().join("plain.txt"), "text").unwrap();
    assert!(matches!(error(program(&dir, "./plain.txt", &[])).await, SpawnError::NotExecutable { .. }));

    let mut nowhere = program(&dir, "true", &[]);
    nowhere.cwd = dir.path().join("nowhere");
    assert!(matches!(error(nowhere).await, SpawnError::NoDirectory { .. }));

    let mut long = program(&dir, "true", &[]);
    long.command.args.push("x".repeat(4 << 20).into());
    assert!(matches!(error(long).await, SpawnError::System { .. }));
}

#[tokio::test]
async fn the_second_choice_is_run_where_the_first_is_not_there() {
    let dir = folder();
    let mut spec = program(&dir, "no-such-program-anywhere", &[]);
    spec.otherwise = Some(CommandLine::new("sh", ["-c", "exit 127"]));
    assert_eq!(run(spec).await.exit, Some(127));
}

#[tokio::test]
async fn variables_are_set_and_removed() {
    let dir = folder();
    let mut spec = sh(&dir, "echo \"$SPEC_ATTEMPT ${HOME-none} $SPEC_TREE\"").env("SPEC_ATTEMPT", "2");
    spec.env.push(("HOME".into(), None));
    let out = String::from_utf8(run(spec).await.stdout_tail).unwrap();
    assert!(out.starts_with("2 none "), "{out}");
    assert!(out.trim().rsplit('/').next().unwrap().contains("test-run."), "{out}");
}

/// FIELD 24: standard input is empty, so that nobody waits at a prompt.
#[tokio::test]
async fn without_input_standard_input_is_at_its_end() {
    let dir = folder();
    if std::env::var("SPEC_TEST_ROLE").is_err() {
        // Somebody sits at the terminal.
        let test = "runtime::process::tests::without_input_standard_input_is_at_its_end";
        let mut runner = again(test, "runner", dir.path());
        let mut runner = runner.stdin(Stdio::piped()).spawn().unwrap();
        runner.stdin.as_mut().unwrap().write_all(b"yes\n").unwrap();
        assert!(runner.wait().unwrap().success());
        return;
    }
    let outcome = run(sh(&dir, "read -r answer && exit 1; exit 0")).await;
    assert_eq!(outcome.exit, Some(0));
}

#[tokio::test]
async fn input_is_written_in_full_and_closed() {
    let dir = folder();
    let mut spec = program(&dir, "wc", &["-c"]);
    spec.stdin = Some(vec![b'x'; 300_000]);
    assert_eq!(String::from_utf8(run(spec).await.stdout_tail).unwrap().trim(), "300000");
}

#[tokio::test]
async fn who_does_not_read_its_input_is_no_error() {
    let dir = folder();
    for script in ["exit 0", "exec 0<&-; echo closed; exit 0", "head -c 10 >/dev/null; exit 0"] {
        let mut spec = sh(&dir, script);
        spec.stdin = Some(vec![b'x'; 300_000]);
        assert!(run(spec).await.success(), "{script}");
    }
}

#[tokio::test]
async fn lines_are_seen_in_full_wherever_they_stand() {
    let dir = folder();
    let (sink, seen) = lines();
    let mut spec = sh(
        &dir,
        "yes filler | head -c 3500000; echo TASK_COMPLETE; printf 'crlf\\r\\n'; yes filler | head -c 3000000; printf 'no end'; echo not me >&2",
    );
    spec.on_line = Some(sink);
    let outcome = run(spec).await;
    assert_eq!(outcome.stdout_tail.len(), STDOUT_TAIL);
    assert!(outcome.stdout_tail.ends_with(b"no end"));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|line| *line == "TASK_COMPLETE").count(), 1);
    assert!(seen.contains(&"crlf".to_owned()));
    assert!(seen.last().unwrap().ends_with("no end"));
    assert!(!seen.iter().any(|line| line.contains("not me")));
}

#[tokio::test]
async fn a_line_without_end_is_cut_and_what_follows_is_seen() {
    let dir = folder();
    let (sink, seen) = lines();
    let mut spec = sh(&dir, "head -c 3000000 /dev/zero; echo; echo after");
    spec.on_line = Some(sink);
    assert!(run(spec).await.success());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(String::len).collect::<Vec<_>>(), [LINE_MAX, 5]);
}

/// Text for display never makes anybody wait.
#[tokio::test]
async fn lines_that_nobody_takes_are_dropped() {
    let dir = folder();
    let (sender, mut receiver) = mpsc::channel(2);
    let mut spec = sh(&dir, "printf '%05000d\\n' 1; for i in 2 3 4 5 6 7 8 9; do echo $i; done");
    spec.display = Some((sender, 7));
    assert!(run(spec).await.success());
    let first = receiver.recv().await.unwrap();
    assert_eq!((first.tag, first.stream, first.text.len()), (7, Stream::Stdout, DISPLAY_MAX));
    assert_eq!(receiver.recv().await.unwrap().text, "2");
    assert_eq!(receiver.recv().await, None);
}

/// FIELD 25: everything is read, and memory does not grow with it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_bounded_however_much_is_printed() {
    fn peak() -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
    let dir = folder();
    let before = peak();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let (sender, _receiver) = mpsc::channel(8);
    let mut spec = sh(&dir, "yes | head -c 60000000; head -c 60000000 /dev/zero; yes | head -c 60000000 >&2");
    spec.on_line = Some(Box::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    spec.display = Some((sender, 0));
    let outcome = run(spec).await;
    assert_eq!(outcome.output_bytes, 180_000_000);
    assert_eq!(fs::metadata(dir.path().join("logs/try.log")).unwrap().len(), 180_000_000);
    assert_eq!(count.load(Ordering::Relaxed), 30_000_001);
    assert_eq!((outcome.stdout_tail.len(), outcome.stderr_tail.len()), (STDOUT_TAIL, STDERR_TAIL));
    let grown = peak() - before;
    assert!(grown < 12 * 1024, "{grown} KiB more");
}

/// FIELD 21: the process is over, something it started holds its output open.
#[tokio::test]
async fn a_grandchild_that_holds_the_pipe_is_ended() {
    let dir = folder();
    let outcome = run(sh(&dir, "sleep 1000 & echo $! > pid; echo result")).await;
    assert!(outcome.success());
    assert_eq!((outcome.left_behind, outcome.pipes_held), (1, false));
    assert_eq!(outcome.stdout_tail, b"result\n");
    assert!(gone(pid_in(&dir.path().join("pid"))));
}

/// FIELD 21: somebody outside the tree holds it open. Time is paused: the wait for the pipes passes at once.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_pipe_held_by_an_outsider_is_waited_for_only_so_long() {
    let dir = folder();
    let running = spawn(sh(&dir, "while [ ! -e go ]; do sleep 0.01; done; echo result")).await.unwrap();
    let held = OpenOptions::new().write(true).open(format!("/proc/{}/fd/1", running.pid())).unwrap();
    fs::write(dir.path().join("go"), "").unwrap();
    let outcome = running.wait().await;
    assert!(outcome.success());
    assert!(outcome.pipes_held);
    assert_eq!(outcome.stdout_tail, b"result\n");
    drop(held);
}

/// FIELD 21: the result is out and the process lingers.
#[tokio::test]
async fn a_process_that_lingers_behind_its_result_is_ended() {
    let dir = folder();
    let mut spec = sh(&dir, "echo RESULT; exec sleep 1000");
    let (stopper, on_line) = late_stopper(Stop::Finished);
    spec.on_line = Some(on_line);
    let running = spawn(spec).await.unwrap();
    *stopper.lock().unwrap() = Some(running.stopper());
    let outcome = running.wait().await;
    assert_eq!((outcome.ended, outcome.signal), (Ended::Stopped(Stop::Finished), Some(15)));
}

/// Stops with the first line; the stopper comes later than the sink.
fn late_stopper(stop: Stop) -> (Arc<Mutex<Option<Stopper>>>, LineSink) {
    let stopper: Arc<Mutex<Option<Stopper>>> = Arc::default();
    let later = Arc::clone(&stopper);
    let sink = move |_: &[u8]| {
        if let Some(stopper) = &*later.lock().unwrap() {
            stopper.stop(stop);
        }
    };
    (stopper, Box::new(sink))
}

/// FIELD 21: silent, but at work.
#[tokio::test]
async fn activity_keeps_a_silent_process_alive() {
    let dir = folder();
    let mut spec = sh(&dir, "timeout 3 sh -c 'while :; do :; done'; exit 7");
    spec.idle_timeout = Some(Duration::from_secs(1));
    let outcome = run(spec).await;
    assert_eq!((outcome.ended, outcome.exit), (Ended::Exited, Some(7)));
}

#[tokio::test]
async fn output_keeps_a_waiting_process_alive() {
    let dir = folder();
    let mut spec = sh(&dir, "for i in 1 2 3 4 5 6 7 8; do sleep 0.3; echo; done; exit 7");
    spec.idle_timeout = Some(Duration::from_secs(1));
    let outcome = run(spec).await;
    assert_eq!((outcome.ended, outcome.exit), (Ended::Exited, Some(7)));
}

#[tokio::test]
async fn neither_output_nor_activity_is_stalled() {
    let dir = folder();
    let mut spec = program(&dir, "sleep", &["1000"]);
    spec.idle_timeout = Some(Duration::from_millis(300));
    let outcome = run(spec).await;
    assert_eq!((outcome.ended, outcome.signal), (Ended::Idle(Duration::from_millis(300)), Some(15)));
}

/// What real agents were seen to use while they waited for their model (ticks of 10 ms in a minute), and a compiler.
#[test]
fn the_grace_behind_a_result_begins_when_what_it_waited_for_is_over() {
    let (began, second) = (clock::now(), Duration::from_secs(1));
    let mut limits = Limits::new(began, None, (None, None), second, None);
    limits.note(Note::Busy(true));
    limits.note(Note::Final);
    assert_eq!(limits.lingers_until(), None);
    limits.result_at = limits.result_at.map(|at| at - 60 * second);
    limits.note(Note::Busy(false));
    assert!(limits.lingers_until() >= Some(began + second), "that was long ago");
}

#[test]
fn an_agent_that_waits_for_its_model_is_not_at_work() {
    let minute = Duration::from_secs(60);
    for (program, ticks) in [("claude", 5), ("qwen", 3), ("gemini", 16), ("codex", 45), ("opencode", 96)] {
        assert!(!is_activity(ticks, minute, true), "{program}");
    }
    assert!(is_activity(3000, minute, true));
    assert!(is_activity(6, minute, false) && !is_activity(5, minute, false), "a command may say nothing for long");
    assert!(!is_activity(0, Duration::from_millis(10), false));
}

#[tokio::test]
async fn a_timeout_ends_the_tree_even_where_it_ignores_term() {
    let dir = folder();
    let mut spec = sh(
        &dir,
        "trap '' TERM; setsid sh -c 'echo $$ > pid; while :; do sleep 0.01; done' & while :; do sleep 0.01; done",
    );
    spec.timeout = Some(Duration::from_millis(300));
    spec.grace = Duration::from_millis(100);
    let outcome = run(spec).await;
    assert_eq!((outcome.ended, outcome.signal), (Ended::Timeout, Some(9)));
    assert!(gone(pid_in(&dir.path().join("pid"))));
}

#[tokio::test]
async fn a_process_may_end_in_order_within_the_grace() {
    let dir = folder();
    let mut spec = sh(&dir, "trap 'echo cleaned up; exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    let (stopper, on_line) = late_stopper(Stop::Cancel);
    spec.on_line = Some(on_line);
    let running = spawn(spec).await.unwrap();
    *stopper.lock().unwrap() = Some(running.stopper());
    let outcome = running.wait().await;
    assert_eq!((outcome.ended, outcome.exit), (Ended::Stopped(Stop::Cancel), Some(5)));
    assert_eq!(outcome.stdout_tail, b"ready\ncleaned up\n");
}

/// The second Ctrl-C: no grace, though one of an hour was promised.
#[tokio::test]
async fn kill_cuts_the_grace_short() {
    let dir = folder();
    let mut spec = sh(&dir, "trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done");
    spec.grace = Duration::from_secs(3600);
    let stopper: Arc<Mutex<Option<Stopper>>> = Arc::default();
    let later = Arc::clone(&stopper);
    spec.on_line = Some(Box::new(move |line| {
        let stop = if line == b"ready" { Stop::Cancel } else { Stop::Kill };
        later.lock().unwrap().as_ref().unwrap().stop(stop);
    }));
    let running = spawn(spec).await.unwrap();
    *stopper.lock().unwrap() = Some(running.stopper());
    let outcome = running.wait().await;
    assert_eq!((outcome.ended, outcome.signal), (Ended::Stopped(Stop::Kill), Some(9)));
}

#[tokio::test]
async fn a_weaker_stop_does_not_replace_a_stronger() {
    let dir = folder();
    let running = spawn(program(&dir, "sleep", &["1000"])).await.unwrap();
    running.stopper().stop(Stop::Kill);
    running.stopper().stop(Stop::Finished);
    assert_eq!(running.wait().await.ended, Ended::Stopped(Stop::Kill));
}

/// What is just about to end by itself is let: its output is still ours.
#[tokio::test]
async fn a_last_filter_may_finish() {
    let dir = folder();
    let outcome = run(sh(&dir, "(echo early; sleep 0.05; echo late) &")).await;
    assert_eq!((outcome.left_behind, outcome.stdout_tail.as_slice()), (0, &b"early\nlate\n"[..]));
}

/// One task's daemon is not ended because another task is over.
#[tokio::test]
async fn trees_are_told_apart() {
    let dir = folder();
    let with_daemon = "(setsid sh -c 'echo $$ > pid; while [ ! -e go ]; do sleep 0.01; done; echo served > proof' &)
        while [ ! -e proof ]; do sleep 0.01; done; echo done";
    tree::become_subreaper().unwrap();
    let first = spawn(sh(&dir, with_daemon)).await.unwrap();
    let first = tokio::spawn(first.wait());
    await_file(&dir.path().join("pid")).await;
    // Ends while the daemon of the first is already our child.
    assert_eq!(run(sh(&dir, "exit 0")).await.left_behind, 0);
    fs::write(dir.path().join("go"), "").unwrap();
    let outcome = first.await.unwrap();
    assert_eq!(outcome.stdout_tail, b"done\n");
    assert!(gone(pid_in(&dir.path().join("pid"))));
}
