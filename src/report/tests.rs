//! What a run looks like, from a made-up stream of events.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anstream::ColorChoice;
use insta::assert_snapshot;

use super::tally::Tally;
use super::text::Paint;
use super::*;
use crate::agent::Tokens;
use crate::engine::budget::Money;
use crate::store::event::{Event, SCHEMA, Summary, TaskRef, TreeEntry};

const RUN: &str = "01990000-0000-7000-8000-000000000001";

/// An event `at` milliseconds after the start of the run.
fn at(millis: u64, event: Event) -> Envelope {
    let start: jiff::Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let time = start + Duration::from_millis(millis);
    Envelope { schema: SCHEMA.to_owned(), seq: 1, time: format!("{time:.3}"), run: RUN.to_owned(), event }
}

fn task(label: &str, index: usize) -> TaskRef {
    TaskRef { task: label.to_owned(), index, key: format!("{label}~00000000~0") }
}

fn run_start(tasks: usize, done: usize) -> Event {
    Event::RunStart {
        version: "0.1.0".to_owned(),
        file: "specs/x/tasks.md".to_owned(),
        mode: "groups".to_owned(),
        max_parallel: 3,
        tasks,
        done,
        steps: 2,
        base: Some("3f2a9c1d00000000000000000000000000000000".to_owned()),
        branch: Some("main".to_owned()),
        pid: 7,
        host: "host".to_owned(),
        boot: "boot".to_owned(),
        resumes: None,
    }
}

fn start(label: &str, index: usize, attempt: u32, title: &str) -> Event {
    Event::TaskStart {
        task: task(label, index),
        attempt,
        title: title.to_owned(),
        executor: "exec".to_owned(),
        log: format!(".spec/runs/{RUN}/logs/{index}.{attempt}.log"),
    }
}

fn output(label: &str, index: usize, text: &str) -> Event {
    Event::TaskOutput { task: task(label, index), stream: "stdout".to_owned(), text: text.to_owned() }
}

fn complete(label: &str, index: usize, verify: &str, seconds: f64) -> Event {
    Event::TaskComplete {
        task: task(label, index),
        attempt: 1,
        title: format!("Title of {label}"),
        commit: Some("a1b2c3d4e5f6".to_owned()),
        verify: verify.to_owned(),
        seconds,
    }
}

fn failed(label: &str, index: usize, evidence: &str) -> Event {
    Event::TaskFailed {
        task: task(label, index),
        attempt: 5,
        title: "Rate limiter".to_owned(),
        code: "verify_failed".to_owned(),
        reason: "`cargo test` exited 101".to_owned(),
        evidence: evidence.to_owned(),
        salvage: Some("refs/spec/salvage/x/1.3/5".to_owned()),
    }
}

fn signal(name: &str, details: &[(&str, &str)]) -> Event {
    let details = details.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Event::Signal { signal: name.to_owned(), details }
}

fn run_complete(exit: u8, outcome: &str, summary: Summary) -> Event {
    Event::RunComplete { exit, outcome: outcome.to_owned(), summary }
}

/// A stream that the test can look at.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader is gone; counts who tries.
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<usize>>);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        *self.0.lock().unwrap() += 1;
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

const PLAIN: ReportSettings = ReportSettings {
    output: Output::Human,
    color: ColorChoice::Never,
    verbosity: 0,
    is_tty: false,
    out_is_tty: false,
    width: Some(80),
};

/// Standard output and standard error of a run.
fn report(settings: ReportSettings, events: &[Envelope]) -> (String, String) {
    let (out, err) = (Sink::default(), Sink::default());
    let mut reporters = Reporters::to(settings, Box::new(out.clone()), Box::new(err.clone()));
    for event in events {
        reporters.event(event);
    }
    reporters.finish();
    (out.text(), err.text())
}

/// A run with a bit of everything.
fn story() -> Vec<Envelope> {
    let summary = Summary {
        tasks: 6,
        done: 3,
        completed: 2,
        failed: vec!["1.3".to_owned()],
        blocked: vec!["1.4".to_owned()],
        skipped: vec!["1.5".to_owned()],
        pending: vec!["2.1".to_owned()],
        parallel: 2,
        sequential: 0,
        steps: 1,
        most_at_once: 3,
        attempts: 7,
        retries: 4,
        workers_started: 7,
        workers_succeeded: 2,
        workers_failed: 5,
        wall_seconds: 12.5,
        work_seconds: 30.0,
        speedup: 2.4,
        bound_seconds: 11.0,
        unattributed: vec!["coverage.xml".to_owned()],
        ..Summary::default()
    };
    vec![
        at(0, run_start(6, 1)),
        at(
            1,
            Event::StepStart {
                step: 1,
                parallel: true,
                tasks: vec!["1.2".to_owned(), "1.3".to_owned(), "1.6".to_owned()],
            },
        ),
        at(2, start("1.2", 1, 1, "CSV writer")),
        at(3, start("1.3", 2, 1, "Rate limiter")),
        at(4, start("1.6", 5, 1, "Docs")),
        at(5, Event::TaskSpawned { task: task("1.2", 1), attempt: 1, pid: 4711, start_ticks: 9 }),
        at(900, output("1.2", 1, "\x1b[32mCompiling\x1b[0m csv")),
        at(
            2000,
            Event::TaskEnded {
                task: task("1.2", 1),
                attempt: 1,
                exit: Some(0),
                signal: None,
                seconds: 1.9,
                output_bytes: 10,
                left_behind: 1,
            },
        ),
        at(
            2500,
            Event::TaskVerify {
                task: task("1.2", 1),
                attempt: 1,
                command: "cargo test csv\necho more".to_owned(),
                exit: Some(0),
                seconds: 0.5,
                tail: String::new(),
            },
        ),
        at(2600, complete("1.2", 1, "pass", 2.6)),
        at(
            2601,
            signal("TASK_COMPLETE", &[("task", "1.2"), ("status", "pass"), ("commit", "a1b2c3d"), ("verify", "pass")]),
        ),
        at(3000, complete("1.6", 5, "none", 3.0)),
        at(
            3500,
            Event::TaskRetry {
                task: task("1.3", 2),
                attempt: 1,
                code: "verify_failed".to_owned(),
                reason: "`cargo test` exited 101".to_owned(),
                evidence: String::new(),
                delay_seconds: 10.0,
                counted: true,
            },
        ),
        at(
            4000,
            Event::Notice {
                level: "warning".to_owned(),
                code: "progress_ignored".to_owned(),
                message: ".progress.md is ignored by git: merged on disk, not committed".to_owned(),
            },
        ),
        at(4100, Event::TaskSkipped { task: task("1.5", 4) }),
        at(
            5000,
            Event::Unattributed {
                entries: vec![TreeEntry { path: "coverage.xml".to_owned(), ..TreeEntry::default() }],
                reason: "written by a Verify".to_owned(),
            },
        ),
        at(12_000, failed("1.3", 2, "running 1 test\n\x1b[31merror\x1b[0m: too slow\n\n")),
        at(12_100, Event::TaskBlocked { task: task("1.4", 3), by: vec!["1.3".to_owned()] }),
        at(12_500, run_complete(1, "failed", summary)),
    ]
}

#[test]
fn plain_tells_what_matters_with_its_time_and_a_summary() {
    assert_snapshot!(report(PLAIN, &story()).1, @r"
       0:00   Running specs/x/tasks.md: 5 of 6 tasks to do in 2 steps (groups, at most 3 at once) on main at 3f2a9c1
       0:00     Start 1.2 CSV writer
       0:00     Start 1.3 Rate limiter
       0:00     Start 1.6 Docs
       0:02      Done 1.2 Title of 1.2 (2.6s, verified, a1b2c3d)
       0:03      Done 1.6 Title of 1.6 (3.0s, nothing verified it, a1b2c3d)
       0:03     Retry 1.3 verify_failed: `cargo test` exited 101 (try 1, again in 10.0s)
       0:04   Warning .progress.md is ignored by git: merged on disk, not committed
       0:04   Skipped 1.5 by a person, not done
       0:05 Left over coverage.xml (written by a Verify): left in the tree, not committed
       0:12    Failed 1.3 Rate limiter: verify_failed: `cargo test` exited 101
       0:12   Blocked 1.4 needs 1.3

    Failed 1.3 Rate limiter
      verify_failed: `cargo test` exited 101 (after 5 tries)
      | running 1 test
      | error: too slow
      all it printed: spec log 1.3 specs/x/tasks.md (.spec/runs/01990000-0000-7000-8000-000000000001/logs/2.1.log)
      what it left is kept: git show refs/spec/salvage/x/1.3/5
      next: mend what it met and `spec run specs/x/tasks.md` tries it again, or tick its box if it is done

    Blocked 1.4: needs 1.3, not done
    Skipped 1.5: by a person, their boxes stay open
    Pending 2.1: not started, a task before them failed
    Not verified 1.6: landed, but there was nothing to verify them with
    Left over coverage.xml: changed, but no task's: left in the tree, not committed

      Landed 2 tasks (2 in parallel steps, 0 alone), 1 step, most at once 3
       Tries 7, 4 retries; 7 executors started, 2 ended well, 5 did not
        Time 12.5s for 30.0s of work: 2.4 times as fast as one after the other, 11.0s at best with 3 at once
    Failed: 3 of 6 tasks done, 1 failed, 1 blocked, 1 skipped, 1 pending, 1 not verified, 1 warning in 12.5s (exit 1)
    ");
}

#[test]
fn quiet_leaves_failures_and_the_last_line() {
    let settings = ReportSettings { verbosity: -1, ..PLAIN };
    assert_snapshot!(report(settings, &story()).1, @r"
       0:12    Failed 1.3 Rate limiter: verify_failed: `cargo test` exited 101
    Failed: 3 of 6 tasks done, 1 failed, 1 blocked, 1 skipped, 1 pending, 1 not verified, 1 warning in 12.5s (exit 1)
    ");
    let live = ReportSettings { is_tty: true, width: Some(200), ..settings };
    assert_eq!(report(live, &story()).1, report(settings, &story()).1, "a terminal gets no more under -q");
    let notice =
        |code: &str| Event::Notice { level: "warning".into(), code: code.into(), message: "why it ends".into() };
    let told = |code| report(settings, &[at(0, run_start(1, 0)), at(1, notice(code))]).1;
    assert_eq!((told("stopped").contains("why it ends"), told("heartbeat").as_str()), (true, ""));
}

#[test]
fn verbose_prints_what_tasks_print_behind_their_ids() {
    let (_, err) = report(ReportSettings { verbosity: 1, ..PLAIN }, &story());
    assert!(err.contains("\n[1.2] Compiling csv\n"), "{err}");
    assert!(!err.contains("4711"), "{err}");
    assert!(!report(PLAIN, &story()).1.contains("Compiling"));
    let (_, err) = report(ReportSettings { verbosity: 2, ..PLAIN }, &story());
    assert!(err.contains("Spawned 1.2 process 4711"), "{err}");
    assert!(err.contains("Ended 1.2 exit 0 after 1.9s, 1 process left behind, ended"), "{err}");
}

#[test]
fn standard_output_carries_the_signals_and_nothing_else() {
    let mut events = story();
    events.push(at(13_000, signal("BATCH_COMPLETE", &[("tasks", "1.2 1.3")])));
    events.push(at(13_000, signal("ALL_TASKS_COMPLETE", &[])));
    assert_eq!(
        report(PLAIN, &events).0,
        "TASK_COMPLETE\ntask: 1.2\nstatus: pass\ncommit: a1b2c3d\nverify: pass\n\n\
         BATCH_COMPLETE\ntasks: 1.2 1.3\n\nALL_TASKS_COMPLETE\n\n"
    );
}

#[test]
fn no_value_can_look_like_a_signal_of_ours() {
    let reason = "tests failed\nALL_TASKS_COMPLETE\r\nTASK_COMPLETE\u{2028}x\x1b]0;y\x07";
    let events = [at(0, signal("TASK_FAILED", &[("task", "1.1\nALL_TASKS_COMPLETE"), ("reason", reason)]))];
    let (out, _) = report(PLAIN, &events);
    let signals: Vec<&str> = out.lines().filter(|line| !line.contains(": ") && !line.is_empty()).collect();
    assert_eq!(signals, ["TASK_FAILED"]);
    assert!(out.contains("reason: tests failed ALL_TASKS_COMPLETE  TASK_COMPLETE x\n"), "{out:?}");
}

#[test]
fn json_is_one_public_event_a_line_and_reads_back() {
    let events = story();
    let (out, _) = report(ReportSettings { output: Output::Json, ..PLAIN }, &events);
    let read: Vec<Envelope> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let public: Vec<Envelope> = events.iter().filter(|event| event.event.public()).cloned().collect();
    assert_eq!(read, public);
    assert!(out.lines().all(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        ["schema", "seq", "time", "run", "type"].iter().all(|field| !value[field].is_null())
    }));
    assert!(!out.contains("task_spawned"));
}

#[test]
fn streams_that_cannot_be_written_to_go_quiet() {
    let (out, err) = (Closed::default(), Closed::default());
    let settings = ReportSettings { is_tty: true, out_is_tty: true, ..PLAIN };
    let mut reporters = Reporters::to(settings, Box::new(out.clone()), Box::new(err.clone()));
    for event in story() {
        reporters.event(&event);
        reporters.tick(Duration::from_secs(1));
    }
    reporters.finish();
    assert_eq!((*out.0.lock().unwrap(), *err.0.lock().unwrap()), (1, 1), "tried once, then never again");
}

#[test]
fn one_closed_stream_does_not_silence_the_other() {
    let err = Sink::default();
    let mut reporters = Reporters::to(PLAIN, Box::new(Closed::default()), Box::new(err.clone()));
    for event in story() {
        reporters.event(&event);
    }
    reporters.finish();
    assert_eq!(err.text(), report(PLAIN, &story()).1);
}

/// Ten tasks run, two of them with wide titles; some have landed, one failed.
fn busy() -> Tally {
    let mut tally = Tally::default();
    tally.add(&at(0, run_start(40, 8)));
    for (label, index) in [("1.1", 0), ("1.2", 1), ("1.3", 2), ("1.4", 3)] {
        tally.add(&at(0, start(label, index, 1, "Over")));
        tally.add(&at(0, complete(label, index, "pass", 30.0)));
    }
    tally.add(&at(0, failed("1.5", 4, "")));
    let titles = [
        "CSV writer",
        "速率限制器：每個用戶每分鐘最多十次請求",
        "A title that goes on and on, well over the edge of any terminal",
        "Docs",
    ];
    for index in 5..15 {
        tally.now = Duration::from_secs(index as u64);
        tally.add(&at(0, start(&format!("2.{index}"), index, 1, titles[index % 4])));
    }
    tally.add(&at(
        0,
        output("2.5", 5, "\x1b[2J\x1b[31mCompiling\x1b[0m serde v1.0.219\r10%\r20 of 97 crates built, a line too long"),
    ));
    tally.add(&at(0, output("2.6", 6, "測試通過\x07")));
    tally.add(&at(0, start("2.7", 7, 2, titles[2])));
    tally.add(&at(0, Event::TaskPhase { task: task("2.8", 8), phase: "verifying".to_owned() }));
    tally.now = Duration::from_secs(75);
    tally
}

fn frame(columns: usize) -> String {
    let lines = live::render(&busy(), columns, 20, Paint(false));
    assert!(lines.iter().all(|line| text::width(line) < columns), "{lines:?}");
    lines.join("\n")
}

#[test]
fn a_frame_fits_80_columns() {
    assert_snapshot!(frame(80), @r"
    2.5  速率限制器：每個用戶每分鐘…  running       1:10  20 of 97 crates built, a…
    2.6  A title that goes on and o…  running       1:09  測試通過
    2.7  A title that goes on and o…  running try 2 1:01
    2.8  CSV writer                   verifying     1:07
    2.9  速率限制器：每個用戶每分鐘…  running       1:06
    2.10 A title that goes on and o…  running       1:05
    2.11 Docs                         running       1:04
    2.12 CSV writer                   running       1:03
    +2 more
    [=======>                ]  12/40  30%  10 running  1 failed  ~1m31s left  1:15
    ");
}

#[test]
fn a_frame_says_what_the_machine_is_short_of() {
    let mut tally = busy();
    let hold = |held, what: &str| Event::Hold {
        held,
        what: what.to_owned(),
        reason: "1.2 GiB available, needs 2.0 GiB".to_owned(),
        tasks: 2,
    };
    tally.add(&at(0, hold(true, "memory")));
    let bar = |tally: &Tally| live::render(tally, 80, 20, Paint(false)).pop().unwrap();
    assert!(bar(&tally).contains("12/40  30%  waits for memory  10 running"), "{}", bar(&tally));
    tally.add(&at(0, hold(false, "")));
    assert!(!bar(&tally).contains("waits for"));
    let line = |event: Event| plain::line(&event, &tally, 0, Paint(false)).unwrap();
    assert!(line(hold(false, "memory")).ends_with(" Resumed the machine has room again"));
    assert!(line(hold(false, "budget")).ends_with(" Resumed the budget has room again"));
}

#[test]
fn a_frame_counts_down_to_the_end_of_a_limit() {
    let mut tally = busy();
    let until = |seconds| at(seconds, Event::Paused { paused: false }).time;
    tally.add(&at(
        0,
        Event::AccountLimited {
            account: "claude".to_owned(),
            limit: "usage".to_owned(),
            until: until(200_000),
            seconds: 125.0,
            reason: "resets soon".to_owned(),
        },
    ));
    let bar = |tally: &Tally| live::render(tally, 80, 20, Paint(false)).pop().unwrap();
    assert!(bar(&tally).contains("claude again in 2:05  10 running"), "{}", bar(&tally));
    tally.now = std::time::Duration::from_secs(200);
    assert!(!bar(&tally).contains("again in"));
}

#[test]
fn a_frame_fits_40_columns() {
    assert_snapshot!(frame(40), @r"
    2.5  速率限制器：…   running       1:10
    2.6  A title that …  running       1:09
    2.7  A title that …  running try 2 1:01
    2.8  CSV writer      verifying     1:07
    2.9  速率限制器：…   running       1:06
    2.10 A title that …  running       1:05
    2.11 Docs            running       1:04
    2.12 CSV writer      running       1:03
    +2 more
    12/40  30%  10 running  1 failed
    ");
}

#[test]
fn a_frame_fits_20_columns() {
    assert_snapshot!(frame(20), @r"
    2.5  速率限制… 1:10
    2.6  A title … 1:09
    2.7  A title … 1:01
    2.8  CSV writ… 1:07
    2.9  速率限制… 1:06
    2.10 A title … 1:05
    2.11 Docs      1:04
    2.12 CSV writ… 1:03
    +2 more
    12/40  30%
    ");
}

#[test]
fn a_frame_has_no_more_rows_than_the_terminal() {
    let lines = live::render(&busy(), 80, 2, Paint(false));
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2], "+8 more");
}

#[test]
fn a_frame_fits_any_terminal() {
    for columns in 0..120 {
        for line in live::render(&busy(), columns, 5, Paint(false)) {
            // Below that not even the shortest label and a time fit; the screen counts wrapped rows.
            assert!(text::width(&line) < columns.max(12), "{columns}: {line:?}");
        }
    }
}

#[test]
fn no_time_left_is_told_before_it_means_something() {
    let mut tally = Tally::default();
    tally.add(&at(0, run_start(10, 0)));
    tally.now = Duration::from_secs(20);
    for (index, expect) in [(0, None), (1, None), (2, Some(46.7))] {
        tally.add(&at(0, start("x", index, 1, "x")));
        tally.add(&at(0, complete("x", index, "pass", 10.0)));
        // Three landed, 30 s of work in 20 s: seven more take 70 s of work at that rate.
        assert_eq!(live::time_left(&tally).map(|left| (left * 10.0).round() / 10.0), expect);
    }
    tally.now = Duration::ZERO;
    assert_eq!(live::time_left(&tally), None, "no figure out of nothing");
}

#[test]
fn all_is_said_only_when_all_is_done() {
    let mut tally = Tally::default();
    tally.add(&at(0, run_start(1000, 999)));
    assert!(live::render(&tally, 80, 5, Paint(false))[0].contains("999/1000  99%"));
}

/// What stands on a terminal of that size after the reporters wrote to it, both streams on it.
fn screen(rows: u16, columns: u16, act: impl FnOnce(&mut Reporters)) -> String {
    let terminal = Sink::default();
    let settings = ReportSettings { is_tty: true, out_is_tty: true, width: Some(usize::from(columns)), ..PLAIN };
    let mut reporters = Reporters::to(settings, Box::new(terminal.clone()), Box::new(terminal.clone()));
    act(&mut reporters);
    let mut parser = vt100::Parser::new(rows, columns, 0);
    // The terminal driver turns a line end into carriage return and line feed.
    parser.process(terminal.text().replace("\r\n", "\n").replace('\n', "\r\n").as_bytes());
    parser.screen().contents()
}

#[test]
fn the_live_view_stands_below_what_was_printed_and_leaves_no_ghosts() {
    let shown = screen(16, 60, |reporters| {
        for event in &story()[..11] {
            reporters.event(event);
            reporters.tick(Duration::from_millis(2_700));
        }
    });
    assert_snapshot!(shown, @r"
       0:00   Running specs/x/tasks.md: 5 of 6 tasks to do in 2
                   steps (groups, at most 3 at once) on main at
                   3f2a9c1
       0:02      Done 1.2 Title of 1.2 (2.6s, verified, a1b2c3d)
    TASK_COMPLETE
    task: 1.2
    status: pass
    commit: a1b2c3d
    verify: pass

    1.3 Rate limiter  running 0:00
    1.6 Docs          running 0:00
    [==========>                   ]  2/6  33%  2 running  0:02
    ");
}

#[test]
fn no_word_is_torn_on_a_narrow_terminal() {
    for (columns, verbosity) in [(80, 0), (40, 0), (20, 0), (40, -1)] {
        let settings = ReportSettings { is_tty: true, width: Some(columns), verbosity, ..PLAIN };
        let err = anstream::adapter::strip_str(&report(settings, &story()).1).to_string();
        let torn = |line: &&str| text::width(line) > columns && line.trim().contains(' ');
        let torn: Vec<&str> = err.lines().map(|line| line.trim_start_matches('\r')).filter(torn).collect();
        assert_eq!(torn, [""; 0], "at {columns} columns");
    }
}

#[test]
fn the_live_view_is_gone_at_the_end() {
    let shown = screen(50, 100, |reporters| {
        for event in story() {
            reporters.event(&event);
            reporters.tick(Duration::from_secs(3));
        }
        reporters.finish();
    });
    assert!(!shown.contains("running  0:0") && !shown.contains("3 running"), "{shown}");
    assert!(shown.trim_end().ends_with("(exit 1)"), "{shown}");
    assert_eq!(shown.matches("Done 1.2").count(), 1, "{shown}");
}

#[test]
fn a_run_that_ends_by_an_error_leaves_no_frame() {
    let terminal = Sink::default();
    let settings = ReportSettings { is_tty: true, ..PLAIN };
    let mut reporters = Reporters::to(settings, Box::new(io::sink()), Box::new(terminal.clone()));
    for event in &story()[..5] {
        reporters.event(event);
    }
    reporters.tick(Duration::from_secs(1));
    drop(reporters);
    let mut parser = vt100::Parser::new(20, 80, 0);
    parser.process(terminal.text().as_bytes());
    let shown = parser.screen().contents();
    assert!(shown.contains("Running specs/x/tasks.md") && !shown.contains("3 running"), "{shown}");
}

#[test]
fn colours_are_there_when_asked_for_and_never_else() {
    let always = ReportSettings { color: ColorChoice::Always, ..PLAIN };
    assert!(
        report(always, &story()).1.contains("\x1b[1m\x1b[31m") || report(always, &story()).1.contains("\x1b[31;1m")
    );
    assert!(!report(always, &story()).0.contains('\x1b'), "signals are for programs");
    assert!(!report(PLAIN, &story()).1.contains('\x1b'));
}

#[test]
fn the_summary_does_not_say_verified_for_what_was_not() {
    let summary = Summary { tasks: 1, done: 1, completed: 1, ..Summary::default() };
    let events =
        [at(0, run_start(1, 0)), at(1, complete("1", 0, "none", 1.0)), at(2, run_complete(0, "done", summary))];
    let (_, err) = report(PLAIN, &events);
    assert!(err.contains("nothing verified it") && err.contains("Not verified 1:"), "{err}");
    assert!(err.ends_with("All done: 1 of 1 task done, 1 not verified in 0ms (exit 0)\n"), "{err}");
}

#[test]
fn what_was_not_started_is_told_with_the_reason() {
    let why = |exit, outcome| {
        let summary = Summary { tasks: 1, pending: vec!["1".to_owned()], ..Summary::default() };
        let (_, err) = report(PLAIN, &[at(0, run_start(1, 0)), at(1, run_complete(exit, outcome, summary))]);
        let line = err.lines().find(|line| line.starts_with("Pending 1: ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{err}"))
    };
    assert_eq!(why(5, "stopped"), "Pending 1: not started, a limit of the run was reached");
    assert_eq!(why(2, "stopped"), "Pending 1: not started, the run could not go on");
    assert_eq!(why(130, "interrupted"), "Pending 1: not started, the run was interrupted");
}

/// Task, tokens, money in millionths and what is known of it.
type Tried = (usize, u64, u64, i32);

#[test]
fn all_done_is_not_said_while_something_is_open() {
    let summary = Summary { tasks: 2, done: 1, completed: 1, pending: vec!["2".to_owned()], ..Summary::default() };
    let events = [at(0, run_start(2, 0)), at(2, run_complete(0, "done", summary))];
    let (_, err) = report(PLAIN, &events);
    assert!(err.contains("\nDone: 1 of 2 tasks done, 1 pending"), "{err}");
}

proptest::proptest! {
    /// What tries cost adds up to what their tasks cost and to what the run does, however they are mixed, and through the
    /// journal's JSON.
    #[test]
    fn costs_add_up(tries in proptest::collection::vec((0_usize..6, 0_u64..5_000_000, 0_u64..1_000_000, 0..3), 0..60)) {
        let mut tally = Tally::default();
        let add = |tally: &mut Tally, event: Event| {
            let json = serde_json::to_string(&at(1, event)).unwrap();
            tally.add(&serde_json::from_str(&json).unwrap());
        };
        let label = |n: &usize| format!("1.{n}");
        for (n, micros, tokens, known) in &tries {
            let event = Event::TaskAgent {
                task: task(&label(n), *n),
                attempt: 1,
                agent: "claude".to_owned(),
                model: None,
                session: None,
                messages: 1,
                tool_calls: 0,
                tokens: (*known > 0).then(|| Tokens { output: *tokens, ..Tokens::default() }),
                cost: (*known > 1).then(|| Money::from_micros(*micros).usd()),
                estimated: (micros % 2 == 0).then(|| "2026-11-21".to_owned()),
                seconds: 1.0,
                outcome: "done".to_owned(),
            };
            add(&mut tally, event);
        }
        let of = |wanted: &dyn Fn(&Tried) -> bool| {
            let some = tries.iter().filter(|it| wanted(it));
            let priced = some.clone().filter(|it| it.3 > 1).map(|it| it.1).collect::<Vec<_>>();
            let counted = some.filter(|it| it.3 > 0).map(|it| it.2).collect::<Vec<_>>();
            let sum = |all: Vec<u64>| (!all.is_empty()).then(|| all.into_iter().sum::<u64>());
            (sum(priced).map(Money::from_micros), sum(counted))
        };
        proptest::prop_assert_eq!((tally.used.money, tally.used.tokens), of(&|_| true));
        proptest::prop_assert_eq!(tally.used.estimated, of(&|it| it.1 % 2 == 0).0);
        let (mut money, mut tokens) = (0, 0);
        for n in 0..6 {
            add(&mut tally, complete(&label(&n), n, "pass", 1.0));
            let used = tally.last_used;
            proptest::prop_assert_eq!((used.money, used.tokens), of(&|it| it.0 == n));
            money += used.money.unwrap_or_default().micros();
            tokens += used.tokens.unwrap_or_default();
        }
        proptest::prop_assert_eq!(tally.used.money.unwrap_or_default().micros(), money);
        proptest::prop_assert_eq!(tally.used.tokens.unwrap_or_default(), tokens);
    }
}
