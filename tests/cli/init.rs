//! `spec init`.

use insta::assert_snapshot;

use crate::env::TestEnv;

#[test]
fn makes_a_spec_and_settings_on_the_first_use() {
    let env = TestEnv::new();
    assert_snapshot!(env.spec(["init", "rate-limit"]), @r#"
    made specs/rate-limit/spec.md
    made specs/rate-limit/tasks.md
    made specs/rate-limit/.progress.md
    made spec.toml

    write the tasks into specs/rate-limit/tasks.md, then: spec check rate-limit
    "#);
    assert!(env.read("specs/rate-limit/tasks.md").starts_with("# Tasks: rate-limit\n"));
    assert!(!env.read("specs/rate-limit/spec.md").contains("{{"));
    assert_snapshot!(env.spec(["init", "other"]), @r#"
    made specs/other/spec.md
    made specs/other/tasks.md
    made specs/other/.progress.md

    write the tasks into specs/other/tasks.md, then: spec check other
    "#);
}

#[test]
fn what_it_makes_has_nothing_doubtful_and_can_be_planned() {
    let env = TestEnv::new();
    let made = env.spec(["init", "x"]);
    assert_eq!(made.code, 0, "{made}");
    let check = env.spec(["check", "x", "--format", "json"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(!check.stdout.contains("\"severity\""), "{check}");
    let plan = env.spec(["plan", "x", "--format", "json"]);
    assert_eq!((plan.code, plan.stderr.as_str()), (0, ""), "{plan}");
    assert_eq!(plan.json()["steps"].as_array().map(Vec::len), Some(3), "{plan}");
}

#[test]
fn settings_alone() {
    let env = TestEnv::new();
    assert_snapshot!(env.spec(["init"]), @r#"made spec.toml"#);
    assert_snapshot!(env.spec(["init"]), @r#"nothing to make: there is a spec.toml; give a name to make a spec"#);
}

#[test]
fn settings_of_the_repository_are_enough() {
    let env = TestEnv::new();
    env.git(["init", "--quiet"]);
    env.write("spec.toml", "");
    env.write("sub/keep", "");
    let output = env.output(env.spec_command(["init", "x"]).current_dir(env.path("sub")));
    assert_eq!(output.code, 0, "{output}");
    assert!(!env.path("sub/spec.toml").exists());
}

#[test]
fn never_overwrites() {
    let env = TestEnv::new();
    env.write("specs/x/.progress.md", "# Progress: x\n\nmine\n");
    assert_snapshot!(env.spec(["init", "x"]), @r#"
    --- specs/x/.progress.md
    +++ template
    @@ -1,3 +1,13 @@
     # Progress: x
     
    -mine
    +## Completed Tasks
    +
    +## Current Task
    +
    +Awaiting the first task
    +
    +## Learnings
    +
    +## Next
    +
    +The first open task of tasks.md
    --- stderr ---
    error: there already, and different: specs/x/.progress.md
    hint: nothing was changed; choose another name, or move what is there away
    [exit code: 2]
    "#);
    assert_eq!(env.read("specs/x/.progress.md"), "# Progress: x\n\nmine\n");
    assert!(!env.path("specs/x/tasks.md").exists() && !env.path("spec.toml").exists());
}

#[test]
fn names_are_one_visible_folder() {
    let env = TestEnv::new();
    for name in ["", ".", "..", ".hidden", "a/b", "../x", "a b", "a\nb"] {
        let output = env.spec(["init", name]);
        assert_eq!(output.code, 2, "{name:?}: {output}");
        assert!(output.stderr.contains("cannot be the name"), "{output}");
    }
    assert!(!env.path("specs").exists());
}
