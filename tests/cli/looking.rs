//! `status`, `log`, `history` and `show`: what they say of runs whose journals are written here.

use insta::assert_snapshot;
use jiff::Timestamp;
use spec::agent::Tokens;
use spec::cli::commands::status::Status;
use spec::document::parse;
use spec::store::event::{Event, Summary, TaskRef};
use spec::store::journal::Journal;
use spec::store::lock::Owner;

use crate::env::TestEnv;

const LIST: &str = "\
# Tasks

- [x] 1.1 Add the job table
- [ ] 1.2 [P] CSV writer
  - **Files**: src/csv.rs
- [ ] 1.3 [P] Rate limiter
  - **Files**: src/csv.rs
- [ ] 1.4 [P] Docs
  - **Depends**: 1.2
- [ ] 2.1 Release
";
const OLD: &str = "01980000-0000-7000-8000-000000000001";
const RUN: &str = "01990000-0000-7000-8000-000000000002";

/// A run of the list, written record by record.
struct Run<'a> {
    env: &'a TestEnv,
    id: &'static str,
    journal: Journal,
    start: Timestamp,
}

impl<'a> Run<'a> {
    fn new(env: &'a TestEnv, id: &'static str) -> Self {
        let path = env.path(format!(".spec/runs/{id}/journal.jsonl"));
        let start = "2026-11-21T10:00:00Z".parse().expect("a time");
        let mut run = Self { env, id, journal: Journal::create(&path, id).expect("a journal"), start };
        run.at(0, &run_start());
        run
    }

    fn at(&mut self, seconds: i64, event: &Event) -> &mut Self {
        let time = self.start + jiff::SignedDuration::from_secs(seconds);
        self.journal.append(event, &format!("{time:.3}")).expect("a record");
        self
    }

    fn task(&self, label: &str) -> TaskRef {
        let (doc, _) = parse(self.env.read("tasks.md").into_bytes(), "tasks.md");
        let index = doc.item_of_id(label).expect("a task");
        TaskRef { task: label.to_owned(), index, key: doc.key(index) }
    }

    fn start(&mut self, seconds: i64, label: &str, attempt: u32, log: &str) -> &mut Self {
        let name = format!(".spec/runs/{}/logs/{label}.{attempt}.log", self.id);
        self.env.write(&name, log);
        let event = Event::TaskStart {
            task: self.task(label),
            attempt,
            title: format!("Title of {label}"),
            executor: "exec".to_owned(),
            log: name,
        };
        self.at(seconds, &event)
    }

    fn ended(&mut self, seconds: i64, label: &str, attempt: u32, exit: i32) -> &mut Self {
        let event = Event::TaskEnded {
            task: self.task(label),
            attempt,
            exit: Some(exit),
            signal: None,
            seconds: 1.5,
            output_bytes: 12,
            left_behind: 1,
        };
        self.at(seconds, &event)
    }

    fn verified(&mut self, seconds: i64, label: &str, attempt: u32, exit: i32, tail: &str) -> &mut Self {
        let event = Event::TaskVerify {
            task: self.task(label),
            attempt,
            command: "cargo test".to_owned(),
            exit: Some(exit),
            seconds: 0.5,
            tail: tail.to_owned(),
        };
        self.at(seconds, &event)
    }

    fn retry(&mut self, seconds: i64, label: &str, attempt: u32) -> &mut Self {
        let event = Event::TaskRetry {
            task: self.task(label),
            attempt,
            code: "verify_failed".to_owned(),
            reason: "`cargo test` exited 101".to_owned(),
            evidence: String::new(),
            delay_seconds: 0.0,
            counted: true,
        };
        self.at(seconds, &event)
    }

    /// What an agent used, with its money by a price list.
    fn agent(&mut self, seconds: i64, label: &str, attempt: u32) -> &mut Self {
        let event = Event::TaskAgent {
            task: self.task(label),
            attempt,
            agent: "codex".to_owned(),
            model: Some("m".to_owned()),
            session: Some("s".to_owned()),
            messages: 2,
            tool_calls: 1,
            tokens: Some(Tokens { input: 1000, output: 234, ..Tokens::default() }),
            cost: Some(0.25),
            estimated: Some("2026-10-07".to_owned()),
            seconds: 1.0,
            outcome: "done".to_owned(),
        };
        self.at(seconds, &event)
    }

    fn complete(&mut self, seconds: i64, label: &str, attempt: u32) -> &mut Self {
        let event = Event::TaskComplete {
            task: self.task(label),
            attempt,
            title: format!("Title of {label}"),
            commit: Some("a1b2c3d4e5f6a1b2c3d4".to_owned()),
            verify: "pass".to_owned(),
            seconds: 2.0,
        };
        self.at(seconds, &event)
    }

    fn failed(&mut self, seconds: i64, label: &str, attempt: u32) -> &mut Self {
        let event = Event::TaskFailed {
            task: self.task(label),
            attempt,
            title: format!("Title of {label}"),
            code: "verify_failed".to_owned(),
            reason: "`cargo test` exited 101".to_owned(),
            evidence: "assertion failed: limit > 0".to_owned(),
            salvage: None,
        };
        self.at(seconds, &event)
    }

    fn blocked(&mut self, seconds: i64, label: &str, by: &str) -> &mut Self {
        let event = Event::TaskBlocked { task: self.task(label), by: vec![by.to_owned()] };
        self.at(seconds, &event)
    }

    fn end(&mut self, seconds: i64, exit: u8, outcome: &str, summary: Summary) -> &mut Self {
        let summary = Summary { tasks: 5, wall_seconds: seconds as f64, ..summary };
        self.at(seconds, &Event::RunComplete { exit, outcome: outcome.to_owned(), summary })
    }

    /// This test's process holds the spec for the run.
    fn goes_on(&self) {
        let owner = Owner::this_process(self.id, Timestamp::now());
        self.env.write(".spec/lock", serde_json::to_vec(&owner).expect("JSON"));
    }

    /// A process that is gone held it.
    fn was_killed(&self) {
        let mut owner = Owner::this_process(self.id, Timestamp::now());
        // The process table has this id, and it started at another time.
        owner.start_ticks += 1;
        self.env.write(".spec/lock", serde_json::to_vec(&owner).expect("JSON"));
    }
}

fn run_start() -> Event {
    Event::RunStart {
        version: "0.1.0".to_owned(),
        file: "tasks.md".to_owned(),
        mode: "groups".to_owned(),
        max_parallel: 3,
        tasks: 5,
        done: 1,
        steps: 2,
        base: None,
        branch: None,
        pid: 1,
        host: "host".to_owned(),
        boot: "boot".to_owned(),
        resumes: None,
    }
}

/// The status of a task, and what it waits for.
fn status(env: &TestEnv, label: &str) -> (String, Vec<String>) {
    let json = env.spec(["status", "--format", "json"]).json();
    assert_eq!(json["schema"], "spec.status/1");
    let schema = serde_json::to_value(schemars::schema_for!(Status)).expect("a schema");
    assert!(jsonschema::is_valid(&schema, &json), "{json:#}");
    let tasks = json["tasks"].as_array().expect("tasks");
    let task = tasks.iter().find(|task| task["task"] == label).expect("the task");
    let waits = task["waitsFor"].as_array().expect("an array").iter();
    let waits = waits.map(|wait| format!("{} {}", wait["task"], wait["reason"]).replace('"', "")).collect();
    (task["status"].as_str().expect("a status").to_owned(), waits)
}

#[test]
fn status_without_a_run_tells_what_can_start_and_what_waits() {
    let env = TestEnv::with_list(LIST);
    assert_snapshot!(env.spec(["status"]), @r"
    tasks.md: 1/5 done, 4 pending; no run yet

    Pending
      1.2 CSV writer    can start
      1.3 Rate limiter  waits for 1.2 (files: src/csv.rs)
      1.4 Docs          waits for 1.2 (depends)
      2.1 Release       waits for 1.2 1.3 1.4 (step 2)

    Done
      1.1 Add the job table

    Cost: no executor reported any
    ");
    assert_eq!(status(&env, "1.1"), ("done".to_owned(), vec![]));
    assert_eq!(status(&env, "1.2"), ("pending".to_owned(), vec![]));
    assert_eq!(status(&env, "1.3"), ("pending".to_owned(), vec!["1.2 files".to_owned()]));
    assert_eq!(status(&env, "1.4"), ("pending".to_owned(), vec!["1.2 depends".to_owned()]));
    assert_eq!(status(&env, "2.1").1, ["1.2 step", "1.3 step", "1.4 step"]);
    assert_snapshot!(env.spec(["status", "--brief"]), @"1/5 done, 4 pending; no run yet");
}

#[test]
fn status_of_a_run_that_goes_on() {
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "").retry(2, "1.2", 1).start(3, "1.2", 2, "").goes_on();
    assert_eq!(status(&env, "1.2").0, "running");
    run.ended(4, "1.2", 2, 0);
    assert_eq!(status(&env, "1.2").0, "verifying");
    let event = Event::TaskPassed { task: run.task("1.2"), attempt: 2 };
    run.at(5, &event);
    assert_eq!(status(&env, "1.2").0, "landing");
    let json = env.spec(["status", "--brief", "--format", "json"]).json();
    assert_eq!((&json["run"]["state"], &json["run"]["pid"]), (&"going_on".into(), &std::process::id().into()));
    assert_eq!((&json["totals"]["running"], &json["cost"], &json["tasks"]), (&1.into(), &().into(), &().into()));
    let shown = env.spec(["status"]).stdout;
    assert!(
        shown.contains("has been going on for") && shown.contains("landing for") && shown.contains(", try 2"),
        "{shown}"
    );
}

/// FIELD 14: no `ready`, `running` or `failed` for a task whose runner died.
#[test]
fn status_of_a_run_that_was_killed_is_honest() {
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "").start(2, "1.3", 1, "").ended(3, "1.3", 1, 0).was_killed();
    assert_eq!(status(&env, "1.2").0, "unknown");
    assert_eq!(status(&env, "1.3").0, "unknown");
    assert_eq!(status(&env, "1.4").0, "pending");
    assert_snapshot!(env.spec(["status"]), @r"
    tasks.md: 1/5 done, 2 unknown, 2 pending; last run was killed
    run 01990000-0000 was killed after 3.0s at least (groups, at most 3 at once); `spec run` goes on with it

    Unknown
      1.2 CSV writer    was sent out, and the run was killed before it ended; the next `spec run` tells
      1.3 Rate limiter  was being verified when the run was killed; the next `spec run` tells

    Pending
      1.4 Docs     waits for 1.2 (depends)
      2.1 Release  waits for 1.2 1.3 1.4 (step 2)

    Done
      1.1 Add the job table

    Cost: no executor reported any
    ");
    // What a person ticked since is done, whatever the journal has.
    env.write("tasks.md", LIST.replace("- [ ] 1.2", "- [x] 1.2"));
    assert_eq!(status(&env, "1.2").0, "done");
}

#[test]
fn status_after_a_failure_names_code_and_what_is_blocked() {
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "").failed(2, "1.2", 1).blocked(3, "1.4", "1.2");
    let summary = Summary { done: 1, failed: vec!["1.2".to_owned()], ..Summary::default() };
    run.end(4, 1, "failed", summary);
    let shown = env.spec(["status"]).stdout;
    assert_snapshot!(shown.split("\n\nDone").next().expect("text"), @r"
    tasks.md: 1/5 done, 1 failed, 1 blocked, 2 pending; last run: failed
    run 01990000-0000 ended after 4.0s with exit code 1

    Failed
      1.2 CSV writer  verify_failed: `cargo test` exited 101 (after 1 try; `spec log 1.2`)

    Blocked
      1.4 Docs  needs 1.2

    Pending
      1.3 Rate limiter  waits for 1.2 (files: src/csv.rs)
      2.1 Release       waits for 1.2 1.3 1.4 (step 2)
    ");
    // A title that was edited since is still the same task.
    env.write("tasks.md", LIST.replace("CSV writer", "CSV writer, faster"));
    assert_eq!(status(&env, "1.2").0, "failed");
}

#[test]
fn status_takes_no_run_of_another_list_in_the_folder() {
    let env = TestEnv::with_list(LIST);
    env.write("other.md", "- [ ] 1.2 Something else\n");
    Run::new(&env, RUN).start(1, "1.2", 1, "").failed(2, "1.2", 1);
    assert_eq!(env.spec(["status", "other.md", "--brief"]).stdout, "0/1 done, 1 pending; no run yet\n");
    assert_eq!(env.spec(["history", "other.md"]).stdout, "no runs of other.md yet\n");
}

#[test]
fn log_shows_what_was_printed_and_what_was_seen() {
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "first try\n").ended(2, "1.2", 1, 0).verified(3, "1.2", 1, 101, "test failed\n");
    run.retry(3, "1.2", 1).start(4, "1.2", 2, "second \x1b[31mtry\x1b[0m, no line end").ended(5, "1.2", 2, 0);
    let gate = Event::TaskGate {
        task: run.task("1.2"),
        attempt: 2,
        gate: "no_change".to_owned(),
        verdict: "not_applied".to_owned(),
        detail: "no git here".to_owned(),
    };
    run.at(5, &gate).verified(6, "1.2", 2, 0, "").complete(7, "1.2", 2);
    run.end(8, 0, "done", Summary::default());
    assert_snapshot!(env.spec(["log", "1.2"]).stdout.replace('\x1b', "ESC"), @r"
    1.2 Title of 1.2, try 2 of run 01990000-0000 (.spec/runs/01990000-0000-7000-8000-000000000002/logs/1.2.2.log)
    second ESC[31mtryESC[0m, no line end
    What spec saw (exec)
      process: exit 0 after 1.5s, 12 bytes printed, 1 process left behind, ended
      gate no_change: not applied: no git here
      verify: exit 0 after 500ms: cargo test
      landed: verified, a1b2c3d
    ");
    assert_snapshot!(env.spec(["log", "1.2", "--attempt", "1"]), @r"
    1.2 Title of 1.2, try 1 of run 01990000-0000 (.spec/runs/01990000-0000-7000-8000-000000000002/logs/1.2.1.log)
    first try
    What spec saw (exec)
      process: exit 0 after 1.5s, 12 bytes printed, 1 process left behind, ended
      verify: exit 101 after 500ms: cargo test
        | test failed
      failed verify_failed: `cargo test` exited 101; tried again
    ");
    assert_snapshot!(env.spec(["log", "1.2", "--attempt", "3"]), @r"
    --- stderr ---
    error: no run has a try 3 of 1.2
    [exit code: 2]
    ");
    assert_snapshot!(env.spec(["log", "1.3"]), @r"
    --- stderr ---
    error: 1.3 has not been started yet
    [exit code: 2]
    ");
    assert_snapshot!(env.spec(["log", "9.9"]), @r"
    --- stderr ---
    error: there is no task '9.9' in the list or in its runs
    hint: `spec tasks` lists them
    [exit code: 2]
    ");
}

#[test]
fn money_by_a_price_list_is_marked_wherever_it_is_shown() {
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "").ended(2, "1.2", 1, 0).agent(2, "1.2", 1).complete(3, "1.2", 1);
    run.end(4, 0, "done", Summary { cost: Some(0.25), cost_estimated: Some(0.25), ..Summary::default() });
    for args in [&["log", "1.2"][..], &["show", "0199"], &["history"], &["status"]] {
        let output = env.spec(args);
        let told = output.stdout.lines().filter(|line| line.contains("0.25"));
        let told: Vec<&str> = told.inspect(|line| assert!(line.contains("~0.25 USD"), "{line}")).collect();
        assert!(!told.is_empty(), "{output}");
    }
}

#[test]
fn log_of_a_try_that_was_skipped_or_asked_for_tasks_is_over() {
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    let skipped = Event::TaskSkipped { task: run.task("1.2") };
    let asked = |request: &str, task| Event::TaskAsked {
        task,
        attempt: 1,
        request: request.to_owned(),
        reason: "too much at once".to_owned(),
        proposed: Vec::new(),
        salvage: None,
    };
    run.start(1, "1.2", 1, "").at(2, &skipped);
    let split = asked("SPLIT_TASK", run.task("1.3"));
    let followup = asked("ADD_FOLLOWUP", run.task("1.4"));
    run.start(1, "1.3", 1, "").at(2, &split).start(1, "1.4", 1, "").at(2, &followup).goes_on();
    let log = |label: &str| env.spec(["log", label]).stdout.lines().skip(2).collect::<Vec<_>>().join("\n");
    assert_eq!(log("1.2"), "  skipped");
    assert_eq!(log("1.3"), "  asked for SPLIT_TASK: too much at once");
    assert_eq!(log("1.4"), "  asked for ADD_FOLLOWUP: too much at once\n  this try goes on; `spec log -f` follows it");
}

#[test]
fn log_of_a_killed_run_says_that_nobody_knows() {
    let env = TestEnv::with_list(LIST);
    Run::new(&env, RUN).start(1, "1.2", 1, "half\n").was_killed();
    let output = env.spec(["log", "1.2"]);
    assert!(output.stdout.contains("its outcome is unknown"), "{output}");
    // Nobody writes it any more: following it ends at once.
    let followed = env.spec(["log", "1.2", "-f"]);
    assert_eq!(followed.stdout, output.stdout);
}

#[test]
fn log_follows_until_the_try_ends() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let env = TestEnv::with_list(LIST);
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "one\n").goes_on();
    let mut child = env.spec_command(["log", "-f", "1.2"]);
    #[expect(clippy::disallowed_methods, reason = "a program under test")]
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().expect("spec");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = || {
        let mut text = String::new();
        lines.read_line(&mut text).expect("a line");
        text
    };
    assert!(line().starts_with("1.2 Title of 1.2, try 1"));
    assert_eq!(line(), "one\n");
    // It waits: what is written now comes through, and only the end of the try ends it.
    env.write(format!(".spec/runs/{RUN}/logs/1.2.1.log"), "one\ntwo\n");
    assert_eq!(line(), "two\n");
    run.ended(2, "1.2", 1, 0).complete(3, "1.2", 1);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("the rest");
    assert!(rest.starts_with("What spec saw") && rest.contains("landed: verified, a1b2c3d"), "{rest}");
    assert!(child.wait().expect("an end").success());
}

#[test]
fn history_lists_runs_newest_first_and_show_takes_a_prefix() {
    let env = TestEnv::with_list(LIST);
    Run::new(&env, OLD).start(1, "1.2", 1, "").was_killed();
    let mut run = Run::new(&env, RUN);
    run.start(1, "1.2", 1, "")
        .complete(2, "1.2", 1)
        .start(3, "1.3", 1, "")
        .failed(5, "1.3", 1)
        .blocked(5, "1.4", "1.3");
    let summary = Summary {
        done: 2,
        completed: 1,
        failed: vec!["1.3".to_owned()],
        blocked: vec!["1.4".to_owned()],
        pending: vec!["2.1".to_owned()],
        ..Summary::default()
    };
    run.end(6, 1, "failed", summary);
    assert_snapshot!(env.spec(["history"]), @r"
    01990000-0000  2026-11-21 10:00:00 UTC  failed       2 of 5 done, 1 landed, 1 failed, 1 blocked in 6.0s
    01980000-0000  2026-11-21 10:00:00 UTC  killed       last record 2026-11-21 10:00:01 UTC
    ");
    let json = env.spec(["history", "--format", "json"]).json();
    assert_eq!(json["schema"], "spec.history/1");
    assert_eq!((&json["runs"][0]["run"], &json["runs"][0]["exit"]), (&RUN.into(), &1.into()));
    assert_eq!((&json["runs"][1]["state"], &json["runs"][1]["summary"]), (&"killed".into(), &().into()));
    assert_snapshot!(env.spec(["show", "0199"]), @r"
    Run 01990000-0000-7000-8000-000000000002 of tasks.md
    began 2026-11-21 10:00:00 UTC, ended 2026-11-21 10:00:06 UTC

         done 1.2 Title of 1.2 (2.0s, verified, a1b2c3d)
       failed 1.3 Title of 1.3 (verify_failed)
      blocked 1.4

    Failed 1.3 Title of 1.3
      verify_failed: `cargo test` exited 101 (after 1 try)
      | assertion failed: limit > 0
      all it printed: spec log 1.3 (.spec/runs/01990000-0000-7000-8000-000000000002/logs/1.3.1.log)
      next: mend what it met and `spec run tasks.md` tries it again, or tick its box if it is done

    Blocked 1.4: needs 1.3, not done
    Pending 2.1: not started, a task before them failed

      Landed 1 task (0 in parallel steps, 0 alone), 0 steps, most at once 0
       Tries 0, 0 retries; 0 executors started, 0 ended well, 0 did not
        Time 6.0s for 0ms of work: 0.0 times as fast as one after the other, 0ms at best with 3 at once
    Failed: 2 of 5 tasks done, 1 failed, 1 blocked, 1 pending in 6.0s (exit 1)
    ");
    assert_snapshot!(env.spec(["show", "0198"]), @r"
    Run 01980000-0000-7000-8000-000000000001 of tasks.md
    began 2026-11-21 10:00:00 UTC, was killed, its last record is of 2026-11-21 10:00:01 UTC

      unknown 1.2 Title of 1.2

    No figures: run 01980000-0000 did not end in order.
    ");
    assert_eq!(env.spec(["show", "last"]).stdout, env.spec(["show", "0199"]).stdout);
    assert_snapshot!(env.spec(["show", "01"]), @r"
    --- stderr ---
    error: several runs begin with `01`: 01980000-0000-7000-8000-000000000001, 01990000-0000-7000-8000-000000000002; give more of the id
    [exit code: 2]
    ");
    assert_snapshot!(env.spec(["show", "7"]), @r"
    --- stderr ---
    error: no run of tasks.md begins with `7`; `spec history` lists them
    [exit code: 2]
    ");
    let json = env.spec(["show", "0199", "--format", "json"]).json();
    assert_eq!((&json["schema"], &json["tasks"][0]["status"]), (&"spec.run/1".into(), &"done".into()));
}
