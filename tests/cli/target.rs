//! FILE: what it may be, and what is said when it is not.

use insta::assert_snapshot;

use crate::env::{Output, TestEnv};

const LIST: &str = "- [ ] 1.1 A task\n";

/// The list that a command in the working folder takes.
fn taken(env: &TestEnv, file: &[&str]) -> String {
    let output = env.spec(["plan", "--format", "json"].iter().chain(file));
    assert_eq!(output.code, 0, "{output}");
    output.json()["path"].as_str().expect("a path").to_owned()
}

fn refused(env: &TestEnv, file: &str) -> Output {
    let output = env.spec(["plan", file]);
    assert_eq!(output.code, 2, "{output}");
    assert_eq!(output.stdout, "");
    output
}

#[test]
fn a_list_a_folder_or_the_name_of_a_spec() {
    let env = TestEnv::new();
    env.write("todo.md", LIST);
    env.write("folder/tasks.md", LIST);
    for (home, name) in [("specs", "a"), (".kiro/specs", "b"), ("openspec/changes", "c"), (".spec-workflow/specs", "d")]
    {
        let list = format!("{home}/{name}/tasks.md");
        env.write(&list, LIST);
        assert_eq!(taken(&env, &[name]), list);
    }
    assert_eq!(taken(&env, &["todo.md"]), "todo.md");
    assert_eq!(taken(&env, &["folder"]), "folder/tasks.md");
    assert_eq!(taken(&env, &["specs/a"]), "specs/a/tasks.md");
}

#[test]
fn a_folder_without_a_list_does_not_hide_a_spec_of_its_name() {
    let env = TestEnv::new();
    env.write("demo/src.rs", "");
    env.write("specs/demo/tasks.md", LIST);
    assert_eq!(taken(&env, &["demo"]), "specs/demo/tasks.md");
}

#[test]
fn specs_are_found_from_a_folder_inside_the_repository_only() {
    let env = TestEnv::new();
    env.write("specs/demo/tasks.md", LIST);
    env.write("repo/src/keep", "");
    let inside =
        |folder: &str| env.output(env.spec_command(["plan", "demo", "--format", "json"]).current_dir(env.path(folder)));
    assert_eq!(inside("repo/src").code, 2);
    env.git(["init", "--quiet"]);
    assert_eq!(inside("repo/src").json()["path"], "../../specs/demo/tasks.md");
    env.git(["init", "--quiet", "repo"]);
    assert_eq!(inside("repo/src").code, 2);
}

#[test]
fn without_file_the_list_here_then_the_current_spec_then_the_only_one() {
    let env = TestEnv::new();
    env.write("specs/one/tasks.md", LIST);
    assert_eq!(taken(&env, &[]), "specs/one/tasks.md");
    env.write(".kiro/specs/two/tasks.md", LIST);
    assert_snapshot!(env.spec(["plan"]), @r#"
    --- stderr ---
    error: there is more than one spec here:
      .kiro/specs/two/tasks.md
      specs/one/tasks.md
    hint: give the one you mean
    [exit code: 2]
    "#);
    env.write("specs/.current-spec", "one\n");
    assert_eq!(taken(&env, &[]), "specs/one/tasks.md");
    env.write("specs/.current-spec", "./specs/one\n");
    assert_eq!(taken(&env, &[]), "./specs/one/tasks.md");
    env.write("tasks.md", LIST);
    assert_eq!(taken(&env, &[]), "tasks.md");
}

/// Its settings say where smart-ralph has its specs; the pointer to the one it is at stands in the first of them.
#[test]
fn specs_of_smart_ralph_are_found_where_its_settings_have_them() {
    let env = TestEnv::new();
    env.write("packages/api/specs/auth/tasks.md", LIST);
    env.write("packages/web/specs/login/tasks.md", LIST);
    assert_eq!(env.spec(["plan", "auth"]).code, 2);
    env.write(
        ".claude/ralph-specum.local.md",
        "---\nenabled: true\nspecs_dirs: [\"./packages/api/specs\", './packages/web/specs/', \"./gone\"]\n---\n\nspecs_dirs: [\"./x\"]\n",
    );
    assert_eq!(taken(&env, &["auth"]), "packages/api/specs/auth/tasks.md");
    assert_eq!(taken(&env, &["login"]), "packages/web/specs/login/tasks.md");
    env.write("packages/api/specs/.current-spec", "auth\n");
    assert_eq!(taken(&env, &[]), "packages/api/specs/auth/tasks.md");
    env.write("packages/api/specs/.current-spec", "./packages/web/specs/login");
    assert_eq!(taken(&env, &[]), "./packages/web/specs/login/tasks.md");
}

#[test]
fn without_file_and_without_a_list() {
    let env = TestEnv::new();
    assert_snapshot!(env.spec(["plan"]), @r#"
    --- stderr ---
    error: no task list here
    hint: give one: `spec run path/to/tasks.md`, or make a spec with `spec init NAME`
    [exit code: 2]
    "#);
    env.write("specs/.current-spec", "gone\n");
    assert_snapshot!(env.spec(["plan"]), @r#"
    --- stderr ---
    error: specs/.current-spec names 'gone', which has no tasks.md
    hint: give the task list, or put the name of a spec into that file
    [exit code: 2]
    "#);
}

#[test]
fn the_name_of_two_specs() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", LIST);
    env.write("openspec/changes/x/tasks.md", LIST);
    assert_snapshot!(refused(&env, "x"), @r#"
    --- stderr ---
    error: 'x' is the name of more than one spec:
      specs/x/tasks.md
      openspec/changes/x/tasks.md
    hint: give the one you mean
    [exit code: 2]
    "#);
}

#[test]
fn what_is_no_list() {
    let env = TestEnv::new();
    env.write("folder/readme.md", "");
    env.write("empty.md", "");
    env.write("binary.md", b"- [ ] a\n\0\n");
    assert_snapshot!(refused(&env, "folder"), @r#"
    --- stderr ---
    error: folder: there is no tasks.md in this folder
    hint: give the task list itself, or make a spec with `spec init NAME`
    [exit code: 2]
    "#);
    assert_snapshot!(refused(&env, "empty.md"), @r#"
    --- stderr ---
    error: empty.md: the file is empty
    hint: write tasks as `- [ ] 1.1 What to do`, or make a spec with `spec init NAME`
    [exit code: 2]
    "#);
    assert_snapshot!(refused(&env, "binary.md"), @r#"
    --- stderr ---
    error: binary.md:2: not a text file, there is a NUL byte in it
    hint: save it as UTF-8
    [exit code: 2]
    "#);
    assert_snapshot!(refused(&env, "/dev/null"), @r#"
    --- stderr ---
    error: /dev/null: not a regular file
    hint: give a markdown file with checkboxes
    [exit code: 2]
    "#);
    assert_snapshot!(refused(&env, ""), @r#"
    --- stderr ---
    error: a value is required for '[FILE]' but none was supplied

    For more information, try '--help'.
    [exit code: 2]
    "#);
}

#[test]
fn links_that_lead_nowhere() {
    let env = TestEnv::new();
    std::os::unix::fs::symlink("b.md", env.path("a.md")).expect("a link");
    std::os::unix::fs::symlink("a.md", env.path("b.md")).expect("a link");
    std::os::unix::fs::symlink("gone.md", env.path("broken.md")).expect("a link");
    assert_snapshot!(refused(&env, "a.md"), @r#"
    --- stderr ---
    error: a.md: a link that leads back to itself
    hint: give the task list itself, or mend the link
    [exit code: 2]
    "#);
    assert_snapshot!(refused(&env, "broken.md"), @r#"
    --- stderr ---
    error: broken.md: a link to gone.md, which is not there
    hint: give the task list itself, or mend the link
    [exit code: 2]
    "#);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let env = TestEnv::new();
    // Sparse: it takes no room.
    let file = std::fs::File::create_new(env.path("huge.md")).expect("a file");
    file.set_len(256 * 1024 * 1024 + 1).expect("a length");
    assert_snapshot!(refused(&env, "huge.md"), @r#"
    --- stderr ---
    error: huge.md: larger than 256 MB
    hint: give a task list, or split it: no list needs to be that large
    [exit code: 2]
    "#);
}
