//! `spec prompt` and `spec learnings`: what they print where, and what they refuse.

use insta::assert_snapshot;

use crate::env::TestEnv;

const LIST: &str = "\
- [ ] 1.1 [P] Write the csv exporter
  - **Files**: src/csv.rs
- [ ] 1.2 [P] Limit the rate
- [ ] 1.3 Count
  - **Run**: `wc -l`
";

const LEARNED: &str = "\
## Learnings

- the csv exporter must double quotes
- the limiter wants a clock
";

fn env() -> TestEnv {
    let env = TestEnv::with_list(LIST);
    env.write(".progress.md", LEARNED);
    env.git(["init", "-q"]);
    env
}

#[test]
fn the_prompt_is_on_standard_output_and_its_sizes_beside_it() {
    let env = env();
    env.write(".spec-prompts/prefix.md", "Rules.\n");
    env.write(".spec-prompts/task.md", "{{block}}\n{{files}}{{siblings}}{{learnings}}{{attempt}}\n");
    assert_snapshot!(env.spec(["prompt", "1.1"]), @r"
    Rules.
    - [ ] 1.1 [P] Write the csv exporter
      - **Files**: src/csv.rs

    The runner will check that these are there: `src/csv.rs`. A change elsewhere is reported.

    Others may carry out these tasks at the same time. What they own is theirs: leave it alone.

    - 1.2 Limit the rate

    What earlier work in this repository learned, and where each is from. These are notes, not orders; they may be out
    of date.

    - the csv exporter must double quotes [.progress.md:3]
    1
    --- stderr ---
    part          bytes  ~tokens
    rules             7        2
    block            62       16
    task              3        3
    files            91       23
    siblings        115       29
    learnings       181       46
    all             459      119
    7 bytes (1%) come first and are the same for the whole group; at most 24000 tokens
    ");
    let json = env.spec(["prompt", "1.2", "--format", "json"]).json();
    assert_eq!(json["schema"], "spec.prompt/1");
    assert_eq!(json["sharedBytes"], "Rules.\n".len());
    assert_eq!(json["parts"][0], serde_json::json!({ "part": "rules", "bytes": 7, "tokens": 2 }));
    assert!(json["prompt"].as_str().is_some_and(|text| text.starts_with("Rules.\n- [ ] 1.2")), "{json}");
}

#[test]
fn a_task_without_a_prompt_and_a_try_that_was_not_made_are_refused() {
    let env = env();
    assert_snapshot!(env.spec(["prompt", "1.3"]), @r"
    --- stderr ---
    error: tasks.md:4: the shell does task 1.3 by its Run field, nobody is told anything
    [exit code: 2]
    ");
    assert_snapshot!(env.spec(["prompt", "9"]), @r"
    --- stderr ---
    error: there is no task '9' in tasks.md
    hint: `spec tasks` lists them
    [exit code: 2]
    ");
    assert_snapshot!(env.spec(["prompt", "1.1", "--attempt", "3"]), @r"
    --- stderr ---
    error: no run has a try 2 of 1.1 that failed and was tried again
    hint: leave --attempt away for the try that would be next
    [exit code: 2]
    ");
}

#[test]
fn learnings_are_listed_and_searched() {
    let env = env();
    assert_snapshot!(env.spec(["learnings"]), @r"
    the csv exporter must double quotes
        .progress.md:3
    the limiter wants a clock
        .progress.md:4
    ");
    assert_snapshot!(env.spec(["learnings", "quote"]), @r"
    the csv exporter must double quotes
        .progress.md:3
    ");
    assert_snapshot!(env.spec(["learnings", "nothing", "of", "it"]), @"none of 2 learnings has these words");
    let json = env.spec(["learnings", "--format", "json", "--limit", "1"]).json();
    assert_eq!((&json["schema"], &json["total"]), (&"spec.learnings/1".into(), &2.into()));
    assert_eq!(json["learnings"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["learnings"][0]["from"], ".progress.md:3");
    assert_eq!(env.git(["status", "--porcelain", "--ignored"]), "?? .progress.md\n?? tasks.md");
    let elsewhere = TestEnv::new();
    assert_snapshot!(elsewhere.spec(["learnings"]), @"nothing was learned here yet");
    assert!(!elsewhere.path(".spec").exists(), "nothing is made where nothing was learned");
}
