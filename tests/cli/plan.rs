//! `spec plan`.

use insta::assert_snapshot;

use crate::env::TestEnv;

/// The list of the contract.
const LIST: &str = "\
## Phase 1: Make it work
- [x] 1.1 Add the job table
  - **Do**: ...
  - **Files**: db/migrations/0042.sql
  - **Done when**: ...
  - **Verify**: `make db-migrate`
  - **Commit**: `feat(export): add job table`
  - _Requirements: FR-1_
- [ ] 1.2 [P] CSV writer
- [ ] 1.3 [P] Rate limiter
- [ ] 1.4 [VERIFY] Quality checkpoint
";

/// Overlaps, a resource, a dependency, a long title.
const WIDE: &str = "\
# Tasks

## Phase 1
- [ ] T001 [P] Write the \"CSV\" writer with all of its <options> and a title that goes on for rather a long while
  - **Files**: src/a.rs, src/b.rs
- [ ] T002 [P] 速度制限を実装する
  - **Files**: src/a.rs
  - **Uses**: port 8080
- [ ] T003 [P] Migrate
  - **Uses**: port 8080
- [ ] T004 [VERIFY] Quality checkpoint
- [ ] T005 Ship it
  - **Depends**: T001, T003
";

#[test]
fn the_list_of_the_contract_for_programs() {
    let env = TestEnv::with_list(LIST);
    let json = env.spec(["plan", "tasks.md", "--format", "json"]).json();
    assert_eq!(
        (&json["schema"], &json["mode"], &json["maxParallel"], &json["edges"]),
        (&"spec.plan/1".into(), &"groups".into(), &3.into(), &serde_json::json!([]))
    );
    assert_eq!(
        json["steps"],
        serde_json::json!([
            { "step": 2, "kind": "parallel", "tasks": [1, 2],
              "parallelGroup": { "startIndex": 1, "endIndex": 2, "taskIndices": [1, 2] } },
            { "step": 3, "kind": "sequential", "tasks": [3] }
        ])
    );
}

#[test]
fn for_people() {
    let env = TestEnv::with_list(LIST);
    assert_snapshot!(env.spec(["plan"]), @r#"
    tasks.md: 3 tasks left
    mode groups, at most 3 at once

    step 2, 2 tasks in parallel
      1.2  CSV writer
      1.3  Rate limiter

    step 3
      1.4  Quality checkpoint

    longest chain: 2 tasks
      1.2 -> 1.4
    bound: 2 task lengths, max(2, 3 / 3)
    "#);
    assert_snapshot!(env.spec(["plan", "--all", "--mode", "sequential"]), @r#"
    tasks.md: 3 tasks left
    mode sequential, at most 1 at once

    step 1
      1.1  Add the job table (done)

    step 2
      1.2  CSV writer

    step 3
      1.3  Rate limiter

    step 4
      1.4  Quality checkpoint

    longest chain: 3 tasks
      1.2 -> 1.3 -> 1.4
    bound: 3 task lengths, max(3, 3 / 1)
    "#);
}

#[test]
fn reasons_and_conflicts_for_people() {
    let env = TestEnv::with_list(WIDE);
    assert_snapshot!(env.spec(["plan", "-j", "2"]), @r#"
    tasks.md: 5 tasks left
    mode groups, at most 2 at once

    step 1, 3 tasks in parallel
      T001  Write the "CSV" writer with all of its <options> and a title that goes …
      T002  速度制限を実装する
            after T001: both touch src/a.rs
      T003  Migrate
            after T002: both use port 8080

    step 2
      T004  Quality checkpoint

    step 3
      T005  Ship it
            after T001: depends on T001
            after T003: depends on T003

    2 conflicts foreseen: 3 tasks take turns
    longest chain: 5 tasks
      T001 -> T002 -> T003 -> T004 -> T005
    bound: 5 task lengths, max(5, 5 / 2)
    "#);
    assert_snapshot!(env.spec(["plan", "--mode", "graph"]), @r#"
    tasks.md: 5 tasks left
    mode graph, at most 3 at once

    wave 1
      T001  Write the "CSV" writer with all of its <options> and a title that goes …

    wave 2
      T002  速度制限を実装する
            after T001: both touch src/a.rs

    wave 3
      T003  Migrate
            after T002: both use port 8080

    wave 4
      T004  Quality checkpoint
            after everything before it

    wave 5
      T005  Ship it
            after T001: depends on T001
            after T003: depends on T003
            after T004: it holds everything behind it

    2 conflicts foreseen: 3 tasks take turns
    longest chain: 5 tasks
      T001 -> T002 -> T003 -> T004 -> T005
    bound: 5 task lengths, max(5, 5 / 3)
    "#);
}

#[test]
fn in_forty_columns() {
    let env = TestEnv::with_list(WIDE);
    let wide = env.spec(["plan"]).stdout;
    let narrow = env.output(env.spec_command(["plan"]).env("COLUMNS", "40")).stdout;
    assert_eq!(narrow.lines().count(), wide.lines().count(), "{narrow}");
    let cut: Vec<&str> = narrow.lines().filter(|line| !wide.lines().any(|whole| whole == *line)).collect();
    assert_eq!(cut, ["  T001  Write the \"CSV\" writer with all…"], "the rest is short enough");
}

#[test]
fn as_graphs() {
    let env = TestEnv::with_list(WIDE);
    assert_snapshot!(env.spec(["plan", "--format", "mermaid"]), @r#"
    flowchart TD
      subgraph s1["step 1"]
        t0["T001 Write the #34;CSV#34; writer with all of its #60;options#62; and a title that goes on for rather a long while"]
        t1["T002 速度制限を実装する"]
        t2["T003 Migrate"]
      end
      t3["T004 Quality checkpoint"]
      s1 --> t3
      t4["T005 Ship it"]
      t3 --> t4
      t0 -->|"files: src/a.rs"| t1
      t1 -->|"resource: port 8080"| t2
      t0 -->|"depends: T001"| t4
      t2 -->|"depends: T003"| t4
    "#);
    assert_snapshot!(env.spec(["plan", "--format", "dot"]), @r#"
    digraph plan {
      compound=true;
      node [shape=box];
      subgraph cluster_1 {
        label="step 1";
        t0 [label="T001 Write the \"CSV\" writer with all of its <options> and a title that goes on for rather a long while"];
        t1 [label="T002 速度制限を実装する"];
        t2 [label="T003 Migrate"];
      }
      t3 [label="T004 Quality checkpoint"];
      t0 -> t3 [style=bold, ltail=cluster_1];
      t4 [label="T005 Ship it"];
      t3 -> t4 [style=bold];
      t0 -> t1 [label="files: src/a.rs"];
      t1 -> t2 [label="resource: port 8080"];
      t0 -> t4 [label="depends: T001"];
      t2 -> t4 [label="depends: T003"];
    }
    "#);
    assert_snapshot!(env.spec(["plan", "--format", "dot", "--mode", "graph", "--from", "T004"]), @r#"
    --- stderr ---
    error: 2 errors keep this list from being run:
      tasks.md:13: T005 (line 12) depends on T001 (line 4), which is open and will not run: it is not selected by --only or --from
      tasks.md:13: T005 (line 12) depends on T003 (line 9), which is open and will not run: it is not selected by --only or --from
    hint: tick it if it is done, let it run, or take the reference out
    [exit code: 2]
    "#);
}

#[test]
fn selections() {
    let env = TestEnv::with_list(LIST);
    let steps = |args: &[&str]| {
        let output = env.spec(["plan", "--format", "json"].iter().chain(args));
        assert_eq!(output.code, 0, "{output}");
        let steps = output.json()["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().map(|step| step["tasks"].to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(steps(&["--only", "1.3"]), "[2]");
    assert_eq!(steps(&["--only", "1.4,1.2"]), "[1] [3]");
    assert_eq!(steps(&["--from", "1.3"]), "[2] [3]");
    assert_eq!(steps(&["--from", "Phase 1"]), "[1,2] [3]");
    assert_eq!(steps(&["--only", "1.1"]), "");
    assert_snapshot!(env.spec(["plan", "--only", "1.1"]), @r#"tasks.md: nothing is left to run"#);
    assert_snapshot!(env.spec(["plan", "--only", "7.7"]), @r#"
    --- stderr ---
    error: tasks.md: --only 7.7: there is no such task, parent or heading
    hint: `spec tasks` lists them; a task without an id is `:INDEX`
    [exit code: 2]
    "#);
}

#[test]
fn what_cannot_be_run_is_refused_with_lines() {
    let env = TestEnv::with_list(
        "- [ ] 1.1 A\n  - **Depends**: 1.2\n- [ ] 1.2 B\n  - **Depends**: 1.1\n- [~] 1.3 C\n- [ ] 1.4 D\n  - **Depends**: 1.3\n",
    );
    assert_snapshot!(env.spec(["plan", "--mode", "graph"]), @r#"
    --- stderr ---
    error: 2 errors keep this list from being run:
      tasks.md:7: 1.4 (line 6) depends on 1.3 (line 5), which is open and will not run: it is set aside (`[~]`)
      tasks.md:2: tasks wait for each other: 1.1 (line 1) waits for 1.2 (line 3), which waits for 1.1 (line 1)
    hint: tick it if it is done, let it run, or take the reference out
    hint: take one of the dependencies out
    [exit code: 2]
    "#);
    env.write("tasks.md", "- [ ] 1.1 A\n  - **Depends**: 1.2\n- [ ] 1.2 B\n");
    assert_snapshot!(env.spec(["plan"]), @r#"
    --- stderr ---
    error: tasks.md:2: 1.1 (line 1) depends on 1.2 (line 3), which comes later
    hint: move it up, or use --mode graph
    [exit code: 2]
    "#);
    env.write("tasks.md", "- [ ] 1.1 A\n  - **Depends**: 4.2\n");
    assert_snapshot!(env.spec(["plan"]), @r#"
    --- stderr ---
    error: tasks.md:2: there is no task `4.2` to depend on
    hint: name a task, a parent or a work package of this list, or take the dependency out
    [exit code: 2]
    "#);
    env.write("tasks.md", "- [ ] 1.1 A\n  - **Depends**: 4.2\n".repeat(30));
    let many = env.spec(["plan"]).stderr;
    assert!(many.starts_with("error: 30 errors") && many.contains("and 10 more"), "{many}");
    assert_eq!(many.lines().count(), 23, "{many}");
    env.write("tasks.md", "no boxes\n");
    assert_snapshot!(env.spec(["plan"]), @r#"
    --- stderr ---
    error: tasks.md: there is no checkbox in this list
    hint: write tasks as `- [ ] 1.1 Title`
    [exit code: 2]
    "#);
}

#[test]
fn graph_mode_without_dependencies_says_that_it_is_groups() {
    let env = TestEnv::with_list(LIST);
    let output = env.spec(["plan", "--mode", "graph", "--format", "json"]);
    assert_eq!(output.json()["mode"], "groups");
    assert_snapshot!(output.stderr, @r#"warning: no task of this list depends on another, so graph mode is groups mode"#);
}
