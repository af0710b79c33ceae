//! `spec init`.

use insta::assert_snapshot;

use crate::env::TestEnv;

#[test]
fn makes_a_spec_and_settings_on_the_first_use() {
    let env = TestEnv::new();
    assert_snapshot!(env.spec(["init", "rate-limit"]), @r#"
    made specs/rate-limit/research.md
    made specs/rate-limit/requirements.md
    made specs/rate-limit/design.md
    made specs/rate-limit/tasks.md
    made specs/rate-limit/.progress.md
    made spec.toml

    fill in, in this order: research.md, requirements.md, design.md, tasks.md
    then: spec check rate-limit, spec plan rate-limit, spec run rate-limit
    "#);
    assert!(env.read("specs/rate-limit/tasks.md").contains("\n# Tasks: rate-limit\n"));
    assert_snapshot!(env.spec(["init", "other", "--template", "plain"]), @r#"
    made specs/other/research.md
    made specs/other/requirements.md
    made specs/other/design.md
    made specs/other/tasks.md

    fill in, in this order: research.md, requirements.md, design.md, tasks.md
    then: spec check other, spec plan other, spec run other
    "#);
}

#[test]
fn each_template_has_the_files_and_folders_of_its_tool() {
    let env = TestEnv::new();
    assert_eq!(env.spec(["init"]).code, 0);
    assert_snapshot!(env.spec(["init", "quota", "--template", "speckit"]), @r#"
    made specs/001-quota/spec.md
    made specs/001-quota/research.md
    made specs/001-quota/plan.md
    made specs/001-quota/tasks.md

    fill in, in this order: spec.md, research.md, plan.md, tasks.md
    then: spec check 001-quota, spec plan 001-quota, spec run 001-quota
    "#);
    assert_snapshot!(env.spec(["init", "quota", "--template", "kiro"]), @r#"
    made .kiro/specs/quota/requirements.md
    made .kiro/specs/quota/research.md
    made .kiro/specs/quota/design.md
    made .kiro/specs/quota/tasks.md

    fill in, in this order: requirements.md, research.md, design.md, tasks.md
    then: spec check quota, spec plan quota, spec run quota
    "#);
    assert_snapshot!(env.spec(["init", "quota2", "--template", "openspec"]), @r#"
    made openspec/changes/quota2/proposal.md
    made openspec/changes/quota2/specs/quota2/spec.md
    made openspec/changes/quota2/design.md
    made openspec/changes/quota2/tasks.md

    fill in, in this order: proposal.md, specs/quota2/spec.md, design.md, tasks.md
    then: spec check quota2, spec plan quota2, spec run quota2
    "#);
    assert_eq!(env.spec(["init", "--template", "kiro"]).code, 2, "a template of what?");
    assert_eq!(env.spec(["init", "x", "--template", "waterfall"]).code, 2);
}

/// What each template makes, read by the program itself: in its dialect, nothing to say about it, and a plan in which two
/// tasks run at once.
#[test]
fn what_it_makes_has_nothing_doubtful_and_can_be_planned() {
    for (template, dialect, steps, name) in [
        ("ralph", "ralph", 3, "x"),
        ("speckit", "speckit", 3, "001-x"),
        ("kiro", "kiro", 3, "x"),
        ("openspec", "openspec", 3, "x"),
        ("plain", "plain", 3, "x"),
    ] {
        let env = TestEnv::new();
        let made = env.spec(["init", "x", "--template", template]);
        assert_eq!(made.code, 0, "{made}");
        for path in made.stdout.lines().filter_map(|line| line.strip_prefix("made ")) {
            assert!(!env.read(path).contains("{{"), "{path} has something left in it that was to be filled in");
        }
        let check = env.spec(["check", name, "--format", "json"]);
        assert_eq!(check.code, 0, "{template}: {check}");
        assert!(!check.stdout.contains("\"severity\""), "{template}: {check}");
        let tasks = env.spec(["tasks", name, "--format", "json"]).json();
        assert_eq!(tasks["dialect"], dialect, "{template}: {tasks}");
        let plan = env.spec(["plan", name, "--format", "json"]);
        assert_eq!((plan.code, plan.stderr.as_str()), (0, ""), "{template}: {plan}");
        let plan = plan.json();
        assert_eq!(plan["steps"].as_array().map(Vec::len), Some(steps), "{template}: {plan}");
        assert_eq!(plan["steps"][1]["tasks"].as_array().map(Vec::len), Some(2), "{template}: {plan}");
        let edges = plan["edges"].as_array().expect("edges");
        assert!(edges.iter().all(|edge| edge["reason"] == "depends"), "{template}: {plan}");
    }
}

#[test]
fn a_spec_of_smart_ralph_goes_where_its_settings_have_new_ones() {
    let env = TestEnv::new();
    env.write(".claude/ralph-specum.local.md", "---\nspecs_dirs: [\"./packages/api/specs\", \"./specs\"]\n---\n");
    assert_eq!(env.spec(["init", "auth"]).code, 0);
    assert!(env.path("packages/api/specs/auth/tasks.md").exists());
    assert_eq!(env.spec(["check", "auth"]).code, 0, "and is found there");
    assert_eq!(env.spec(["init", "other", "--template", "plain"]).code, 0);
    assert!(env.path("specs/other/tasks.md").exists());
}

#[test]
fn a_number_of_spec_kit_is_the_next_one() {
    let env = TestEnv::new();
    env.write("specs/007-old/tasks.md", "- [ ] T001 a\n");
    env.write("specs/notes/tasks.md", "- [ ] T001 a\n");
    for (name, folder) in [("new", "008-new"), ("newer", "009-newer"), ("042-mine", "042-mine")] {
        assert_eq!(env.spec(["init", name, "--template", "speckit"]).code, 0);
        assert!(env.path("specs").join(folder).join("tasks.md").exists(), "{folder}");
    }
    let again = env.spec(["init", "new", "--template", "speckit"]);
    assert!(again.stdout.starts_with("kept specs/008-new/spec.md"), "{again}");
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
