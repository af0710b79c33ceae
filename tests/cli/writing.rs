//! What helps those who write lists: `spec check --fix`, `spec check --watch` and `spec fmt`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use expectrl::process::unix::WaitStatus;
use expectrl::{ControlCode, Expect as _, Session};
use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::{Output, TestEnv};

const DOUBTFUL: &str = "\
## Phase 1
- [x]1.1 Add the job table
- [ ] 1.2 [P] [VERIFY] Check it
  - **Verify**: `true`
- [ ] 1.3 (P) CSV writer
- [ ] 1.4 [P] Rate limiter
- [ ]no id
";

#[test]
fn a_mend_is_shown_as_a_diff_and_written() {
    let env = TestEnv::with_list(DOUBTFUL);
    let shown = env.spec(["check", "--fix", "--dry-run"]);
    assert_eq!(env.read("tasks.md"), DOUBTFUL, "{shown}");
    assert!(
        shown.stdout.contains("would mend both-marked 1, checkbox-without-space 1, marker-spelling 1\n"),
        "{shown}"
    );
    assert!(shown.stdout.contains("info[marker-spelling]"), "what is not mended is still said: {shown}");
    assert_snapshot!(env.spec(["check", "--fix"]), @r"
    --- a/tasks.md
    +++ b/tasks.md
    @@ -1,7 +1,7 @@
     ## Phase 1
    -- [x]1.1 Add the job table
    -- [ ] 1.2 [P] [VERIFY] Check it
    +- [x] 1.1 Add the job table
    +- [ ] 1.2 [VERIFY] Check it
       - **Verify**: `true`
    -- [ ] 1.3 (P) CSV writer
    +- [ ] 1.3 [P] CSV writer
     - [ ] 1.4 [P] Rate limiter
     - [ ]no id
    tasks.md: mended both-marked 1, checkbox-without-space 1, marker-spelling 1

    warning[checkbox-without-space]: there is no blank behind the box, so this is no task
     --> tasks.md:7:3
      |
    7 | - [ ]no id
      |   ^^^^^^^^
      |
      = help: put a blank behind `]` if it is meant as one

    tasks.md:
      4 tasks
      0 errors, 1 warning
    ");
    let mended = env.read("tasks.md");
    assert_snapshot!(env.spec(["check", "--fix"]).stdout.lines().next().unwrap_or_default(), @"tasks.md: nothing to mend");
    assert_eq!(env.read("tasks.md"), mended);
    assert!(!env.path(".spec").exists(), "nothing is made beside a list that never was run");
}

#[test]
fn a_mend_is_told_to_programs() {
    let env = TestEnv::with_list("- [ ] 1.1 a\r\n- [x]1.2 b\r\n");
    let output = env.spec(["check", "--fix", "--format", "json"]).json();
    assert_eq!(
        output["lists"][0]["mended"],
        serde_json::json!([{"line": 2, "code": "checkbox-without-space", "old": "- [x]1.2 b", "new": "- [x] 1.2 b"}]),
    );
    assert_eq!(output["lists"][0]["warnings"], 0);
    assert_eq!(env.read("tasks.md"), "- [ ] 1.1 a\r\n- [x] 1.2 b\r\n");
    assert!(env.spec(["check", "--format", "json"]).json()["lists"][0].get("mended").is_none());
}

#[test]
fn errors_that_are_left_give_exit_code_1() {
    let env = TestEnv::with_list("- [x]1.1 a\n- [ ] 1.2 b\n  - **Depends**: 9.9\n");
    let output = env.spec(["check", "--fix"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(env.read("tasks.md").starts_with("- [x] 1.1 a\n"));
}

/// What a run holds is its own: nothing is touched, of no list.
#[test]
fn a_list_that_a_run_holds_is_left_alone() {
    let env = TestEnv::with_list(DOUBTFUL);
    env.write("other.md", "- [x]1.1 a\n");
    env.write("elsewhere/tasks.md", "- [x]1.1 a\n");
    env.write(".spec/lock", "");
    let lock = File::open(env.path(".spec/lock")).expect("a file");
    lock.lock().expect("nobody else has it");
    let output = env.spec(["check", "--fix", "elsewhere", "tasks.md"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stderr.contains("another run holds"), "{output}");
    assert_eq!(
        (env.read("tasks.md"), env.read("elsewhere/tasks.md")),
        (DOUBTFUL.to_owned(), "- [x]1.1 a\n".to_owned())
    );
    assert_eq!(env.spec(["check", "--fix", "--dry-run"]).code, 0, "to look is free");
    let list = "- [ ] 1.1 a\n  - Files: a.rs\n- [ ] 1.2 b\n  - Files: b.rs\n";
    env.write("tasks.md", list);
    assert_eq!(env.spec(["fmt", "--mark-parallel", "--write"]).code, 3);
    assert_eq!(env.spec(["fmt", "--mark-parallel"]).code, 0);
    assert_eq!(env.read("tasks.md"), list);
    drop(lock);
    assert_eq!(env.spec(["fmt", "--mark-parallel", "--write"]).code, 0);
    assert_eq!(env.read("tasks.md"), "- [ ] 1.1 [P] a\n  - Files: a.rs\n- [ ] 1.2 [P] b\n  - Files: b.rs\n");
}

#[test]
fn settings_count_for_a_check() {
    let env = TestEnv::with_list("- [ ]* 1.1 a\n- [ ] 1.2 b\n  - Depends: 1.1\n");
    assert_eq!(env.spec(["check"]).code, 1, "what it depends on will not run");
    env.write("spec.toml", "[run]\ninclude_optional = true\n");
    assert_eq!(env.spec(["check"]).code, 0, "now it will");
    env.write("spec.toml", "[run]\nmode = \"fastest\"\n");
    assert_snapshot!(env.spec(["check"]), @r"
    --- stderr ---
    error: spec.toml:2: run.mode must be one of groups, sequential, graph
    [exit code: 2]
    ");
}

const UNMARKED: &str = "\
## Phase 1
- [ ] 1.1 Add the job table
  - **Files**: db/0042.sql
- [ ] 1.2 CSV writer
  - **Files**: src/csv.rs
- [ ] 1.3 Rate limiter
  - **Files**: src/limit.rs
  - **Depends**: 1.1
- [ ] 1.4 Something
- [ ] 1.5 [VERIFY] All of it
  - **Verify**: `true`
";

#[test]
fn marks_are_proposed_as_a_diff_and_written_when_asked_for() {
    let env = TestEnv::with_list(UNMARKED);
    let shown = env.spec(["fmt", "--mark-parallel"]);
    assert_snapshot!(shown, @r"
    --- a/tasks.md
    +++ b/tasks.md
    @@ -1,7 +1,7 @@
     ## Phase 1
    -- [ ] 1.1 Add the job table
    +- [ ] 1.1 [P] Add the job table
       - **Files**: db/0042.sql
    -- [ ] 1.2 CSV writer
    +- [ ] 1.2 [P] CSV writer
       - **Files**: src/csv.rs
     - [ ] 1.3 Rate limiter
       - **Files**: src/limit.rs
    --- stderr ---
    tasks.md: 2 tasks could be marked, in 1 group; `--write` does it
    tasks.md: 1 task declares no files; what is not known to be apart is not marked
    ");
    assert_eq!(env.read("tasks.md"), UNMARKED);
    let written = env.spec(["fmt", "--mark-parallel", "--write"]);
    assert_eq!((written.code, &written.stdout), (0, &shown.stdout), "what was shown is written");
    assert_snapshot!(written.stderr, @r"
    tasks.md: marked 2 tasks in 1 group; see `spec plan`
    tasks.md: 1 task declares no files; what is not known to be apart is not marked
    ");
    assert_snapshot!(env.spec(["fmt", "--mark-parallel", "--write"]), @r"
    --- stderr ---
    tasks.md: no further task could be marked
    tasks.md: 1 task declares no files; what is not known to be apart is not marked
    ");
    let plan = env.spec(["plan", "--format", "json"]).json();
    assert_eq!(plan["steps"][0]["tasks"], serde_json::json!([0, 1]));
    assert_eq!(plan["edges"].as_array().expect("edges").len(), 1, "{plan}");
}

#[test]
fn the_diff_is_one_that_git_applies() {
    let env = TestEnv::new();
    env.git(["init", "--quiet"]);
    env.write("specs/a b/tasks.md", UNMARKED);
    let diff = env.spec(["fmt", "--mark-parallel", "specs/a b"]);
    env.write("marks.diff", &diff.stdout);
    env.git(["apply", "marks.diff"]);
    assert!(env.read("specs/a b/tasks.md").contains("- [ ] 1.2 [P] CSV writer\n"));
    assert_eq!(env.spec(["fmt", "--mark-parallel", "specs/a b"]).stdout, "");
}

#[test]
fn shared_files_of_the_settings_are_no_files_to_work_on_at_once() {
    let env = TestEnv::with_list("- [ ] 1.1 a\n  - Files: a.rs, gen/api.json\n- [ ] 1.2 b\n  - Files: gen/ui.json\n");
    assert!(env.spec(["fmt", "--mark-parallel"]).stdout.contains("+- [ ] 1.1 [P] a"));
    env.write("spec.toml", "[run]\nshared_files = [\"gen/*.json\"]\n");
    assert_eq!(env.spec(["fmt", "--mark-parallel"]).stdout, "");
}

#[test]
fn fmt_says_what_it_can_do() {
    assert_snapshot!(TestEnv::with_list(UNMARKED).spec(["fmt"]), @r"
    --- stderr ---
    error: it takes a mode to say what is to be done to the list
    hint: --mark-parallel shows which tasks could be marked to run at the same time; with --write it marks them
    [exit code: 2]
    ");
    let broken = TestEnv::with_list("- [ ] 1.1 a\n  - Depends: 9.9\n");
    assert_eq!(broken.spec(["fmt", "--mark-parallel"]).code, 2);
}

/// A `spec check --watch` that goes on.
struct Watch {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the test starts it as a person does")]
    fn start(env: &TestEnv, args: &[&str]) -> Self {
        let mut command = env.spec_command(["check", "--watch"].iter().chain(args));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// Waits for a line that contains a text, and gives everything up to it.
    fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        for line in self.lines.by_ref() {
            seen += &(line.expect("text") + "\n");
            if seen.ends_with('\n') && seen.lines().last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
        panic!("it ended before it said {text:?}:\n{seen}");
    }

    /// Ends it by a signal; what it still had to say, and how it ended.
    fn end(self, env: &TestEnv, signal: Signal) -> Output {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("it is there");
        let rest: Vec<String> = self.lines.map(|line| line.expect("text")).collect();
        let mut output = self.child.wait_with_output().expect("it ends");
        output.stdout = rest.join("\n").into_bytes();
        env.finished(&output)
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an editor does it so")]
fn a_list_is_checked_again_whenever_it_changes() {
    let env = TestEnv::with_list("- [ ] 1.1 a\n");
    let mut watch = Watch::start(&env, &[]);
    assert_eq!(watch.until("warnings"), "tasks.md:\n  1 task\n  0 errors, 0 warnings\n");
    // Written in place.
    env.write("tasks.md", "- [ ] 1.1 a\n- [ ] 1.2 b\n  - Depends: 9.9\n");
    let seen = watch.until("warnings");
    assert!(seen.starts_with("\nerror[unknown-dependency]"), "{seen}");
    assert!(seen.ends_with("  1 error, 0 warnings\n"), "{seen}");
    // Replaced by another file, as editors do.
    env.write("new.md", "- [ ] 1.1 a\n- [ ] 1.2 b\n");
    std::fs::rename(env.path("new.md"), env.path("tasks.md")).expect("it is moved");
    assert_eq!(watch.until("warnings"), "\ntasks.md:\n  2 tasks\n  0 errors, 0 warnings\n");
    // Away, and back again with something else in it; what is the same as before is not said twice.
    std::fs::remove_file(env.path("tasks.md")).expect("it was there");
    let seen = watch.until("error");
    assert!(seen.contains("tasks.md: no such"), "{seen}");
    env.write("tasks.md", "- [ ] 1.1 a\n");
    assert!(watch.until("warnings").ends_with("\ntasks.md:\n  1 task\n  0 errors, 0 warnings\n"));
    let output = watch.end(&env, Signal::SIGINT);
    assert_eq!((output.code, output.stdout.as_str()), (130, ""), "{output}");
}

#[test]
fn settings_that_change_count_for_what_is_watched() {
    let env = TestEnv::with_list("- [ ]* 1.1 a\n- [ ] 1.2 b\n  - Depends: 1.1\n");
    let mut watch = Watch::start(&env, &["tasks.md"]);
    assert!(watch.until("warnings").contains("dependency-not-run"));
    env.write("spec.toml", "[run]\ninclude_optional = true\n");
    assert!(!watch.until("warnings").contains("dependency-not-run"));
    env.write("spec.toml", "[run]\ninclude_optional = 7\n");
    assert!(watch.until("spec.toml:2").contains("error"));
    let output = watch.end(&env, Signal::SIGTERM);
    assert_eq!(output.code, 143, "{output}");
}

/// Also without colours: the screen is no colour.
#[test]
fn on_a_terminal_each_check_stands_alone_until_ctrl_c() {
    let env = TestEnv::with_list("- [ ] 1.1 a\n");
    let mut session = Session::spawn(env.spec_command(["check", "--watch"])).expect("a terminal");
    session.set_expect_timeout(None);
    let mut drawn = || {
        let found = session.expect("watching tasks.md; Ctrl-C ends it").expect("it draws");
        String::from_utf8_lossy(found.before()).replace('\r', "")
    };
    assert_eq!(drawn(), "\u{1b}[H\u{1b}[2Jtasks.md:\n  1 task\n  0 errors, 0 warnings\n\n");
    env.write("tasks.md", "- [ ] 1.1 a\n- [ ] 1.2 b\n");
    assert_eq!(drawn(), "\n\u{1b}[H\u{1b}[2Jtasks.md:\n  2 tasks\n  0 errors, 0 warnings\n\n");
    session.send(ControlCode::EndOfText).expect("Ctrl-C");
    let status = session.get_process().wait().expect("it ends");
    assert!(matches!(status, WaitStatus::Exited(_, 130)), "{status:?}");
}

#[test]
fn who_goes_away_ends_the_watch() {
    let env = TestEnv::with_list("- [ ] 1.1 a\n");
    let mut watch = Watch::start(&env, &[]);
    watch.until("warnings");
    let Watch { mut child, lines } = watch;
    drop(lines);
    env.write("tasks.md", "- [ ] 1.1 a\n- [ ] 1.2 b\n");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_is_not_there_is_not_watched() {
    let env = TestEnv::new();
    assert_eq!(env.spec(["check", "--watch", "missing.md"]).code, 2);
    assert_eq!(env.spec(["check", "--watch", "--fix"]).code, 2);
    assert_eq!(env.spec(["check", "--dry-run"]).code, 2, "of what?");
}
