//! `spec tasks` and `spec check`: what a list is understood as, and what is wrong with it.

use insta::assert_snapshot;

use crate::env::TestEnv;

/// The list of the contract.
const LIST: &str = "\
## Phase 1: Make it work
- [x] 1.1 Add the job table
  - **Files**: db/migrations/0042.sql
  - **Verify**: `make db-migrate`
  - **Commit**: `feat(export): add job table`
  - _Requirements: FR-1_
- [ ] 1.2 [P] CSV writer
- [ ] 1.3 [P] Rate limiter
- [ ] 1.4 [VERIFY] Quality checkpoint
  - **Verify**: all is well
- [ ] nobody complains
- [ ]* 1.5 More tests
";

#[test]
fn a_list_for_people() {
    assert_snapshot!(TestEnv::with_list(LIST).spec(["tasks"]), @"
    tasks.md (ralph): 1 of 4 tasks done

    Phase 1: Make it work
      [x] 1.1 Add the job table
      [ ] 1.2 CSV writer [P]
      [ ] 1.3 Rate limiter [P]
      [ ] 1.4 Quality checkpoint [VERIFY]
      [ ] :4 nobody complains (note)
      [ ] 1.5 More tests (optional)
    ");
}

#[test]
fn a_list_for_programs() {
    let env = TestEnv::with_list(LIST);
    let json = env.spec(["tasks", "tasks.md", "--format", "json"]).json();
    assert_eq!(
        (&json["schema"], &json["path"], &json["dialect"]),
        (&"spec.tasks/1".into(), &"tasks.md".into(), &"ralph".into())
    );
    let expected = serde_json::json!({
        "index": 0, "line": 2, "depth": 0, "parent": null, "id": "1.1", "title": "Add the job table",
        "text": "1.1 Add the job table", "checked": true, "box": "x", "gfm": true, "role": "task", "markers": [],
        "parallel": false, "heading": "Phase 1: Make it work", "files": ["db/migrations/0042.sql"],
        "verify": ["make db-migrate"], "run": [], "commit": "feat(export): add job table", "depends": [],
        "requirements": ["FR-1"],
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&json["tasks"][0][key], value, "{key}");
    }
    let roles: Vec<_> =
        json["tasks"].as_array().expect("a list").iter().map(|task| task["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["task", "task", "task", "task", "note", "optional"]);
    assert_eq!(
        (&json["tasks"][1]["markers"], &json["tasks"][1]["parallel"]),
        (&serde_json::json!(["P"]), &true.into())
    );
    assert_eq!(json["tasks"][5]["gfm"], false);
    let warning = &json["diagnostics"][0];
    assert_eq!(
        (&warning["line"], &warning["column"], &warning["severity"], &warning["code"]),
        (&10.into(), &3.into(), &"warning".into(), &"verify-not-executable".into())
    );
}

#[test]
fn what_is_doubtful_is_shown_with_its_place() {
    assert_snapshot!(TestEnv::with_list(LIST).spec(["check"]), @"
    warning[verify-not-executable]: Verify has no command, so nothing but the agent will check this task
      --> tasks.md:10:3
       |
    10 |   - **Verify**: all is well
       |   ^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: put a command in backticks or in a fence, at the beginning of the value

    info[note]: an item without id, marker and fields is taken for a note and not run
      --> tasks.md:11:3
       |
    11 | - [ ] nobody complains
       |   ^^^^^^^^^^^^^^^^^^^^
       |
       = help: `--include-notes` runs them, too; `spec tasks` lists them

    info[optional-task]: a starred box is an optional task; Markdown shows no checkbox for it
      --> tasks.md:12:3
       |
    12 | - [ ]* 1.5 More tests
       |   ^^^^^^^^^^^^^^^^^^^
       |
       = help: it is run with `--include-optional` only

    tasks.md:
      4 tasks
      1 note: line 11
      1 optional: line 12
      0 errors, 1 warning
    ");
}

#[test]
fn errors_of_any_list_give_exit_code_1() {
    let env = TestEnv::with_list("- [ ] 1.1 a\n  - _Depends: 1.2_\n- [ ] 1.2 b\n  - _Depends: 1.1, 9.9_\n");
    env.write("good.md", "- [ ] 1.1 a\n");
    env.write("empty.md", "# Nothing\n\ntext\n");
    assert_snapshot!(env.spec(["check", "tasks.md", "good.md", "empty.md"]), @"
    error[dependency-forward]: 1.1 (line 1) depends on 1.2 (line 3), which comes later
     --> tasks.md:2:15
      |
    2 |   - _Depends: 1.2_
      |               ^^^
      |
      = help: move it up, or use --mode graph

    error[dependency-cycle]: tasks wait for each other: 1.1 (line 1) waits for 1.2 (line 3), which waits for 1.1 (line 1)
     --> tasks.md:2:15
      |
    2 |   - _Depends: 1.2_
      |               ^^^
      |
      = help: take one of the dependencies out

    error[unknown-dependency]: there is no task `9.9` to depend on
     --> tasks.md:4:20
      |
    4 |   - _Depends: 1.1, 9.9_
      |                    ^^^
      |
      = help: name a task, a parent or a work package of this list, or take the dependency out

    tasks.md:
      2 tasks
      3 errors, 0 warnings

    good.md:
      1 task
      0 errors, 0 warnings

    error[no-tasks]: there is no checkbox in this list
    --> empty.md
     = help: write tasks as `- [ ] 1.1 Title`

    empty.md:
      1 error, 0 warnings
    [exit code: 1]
    ");
    assert_eq!(env.spec(["check", "good.md"]).code, 0);
    let json = env.spec(["check", "empty.md", "--format", "json"]);
    assert_eq!(json.code, 1);
    assert_eq!(json.json()["lists"][0]["diagnostics"][0]["code"], "no-tasks");
}

#[test]
fn a_diagnostic_that_comes_often_is_counted() {
    let env = TestEnv::with_list(&"- [ ] 1.1 a\n".repeat(40));
    let output = env.spec(["check"]);
    assert_eq!(output.stdout.matches("warning[duplicate-id]").count(), 10, "{output}");
    assert!(output.stdout.contains("duplicate-id: 39 in all"), "{output}");
    assert_eq!(
        env.spec(["check", "--format", "json"]).json()["lists"][0]["diagnostics"].as_array().map(Vec::len),
        Some(39)
    );
}
