//! What executors are told: `spec prompt` prints the very bytes that a run sends, templates are checked before anything
//! starts, and learnings help or stay out of the way.

use crate::world::World;

const LIST: &str = "\
# Tasks

- [ ] 1.1 Write the exporter
  - **Files**: export.txt
  - **Verify**: `test -s export.txt`
  - _Requirements: FR-1_
- [ ] 1.2 [P] Escape quotes in the exporter
  - **Files**: quotes.txt
  - _Requirements: FR-2_
- [ ] 1.3 [P] Limit the rate
  - **Files**: sub/limit.txt
  - **Dir**: sub
- [ ] 1.4 [VERIFY] All of it
  - **Verify**: `test -e mended.txt`
";

/// Keeps what it is told, asks `spec prompt` for the same, and fails where that is not the same. First tries of 1.2 fail.
const COMPARE: &str = r#"
told="$HOME/told.$SPEC_TASK_ID.$SPEC_ATTEMPT"
cat > "$told"
"$SPEC_BIN" prompt "$SPEC_TASK_ID" "$LIST" --attempt "$SPEC_ATTEMPT" > "$told.printed" 2> "$told.sizes" || exit 8
cmp "$told" "$told.printed" || exit 9
[ "$SPEC_TASK_ID.$SPEC_ATTEMPT" = 1.2.1 ] && { echo "error: a quote was lost"; exit 3; }
cd "$SPEC_WORKTREE"
case $SPEC_TASK_ID in
  1.1) echo 1 > export.txt; printf '## Learnings\n- the exporter loses quotes at line ends\n' > "$SPEC_PROGRESS_FILE" ;;
  1.2) echo 1 > quotes.txt ;;
  1.3) echo 1 > sub/limit.txt ;;
  1.4) echo 1 > mended.txt ;;
esac
"#;

fn world(settings: &str) -> World {
    let world = World::without_git("").settings(settings);
    std::fs::remove_file(world.env.path("tasks.md")).expect("it was there");
    world.env.write("specs/x/tasks.md", LIST);
    world.env.write("specs/x/requirements.md", "# Requirements\n\n- FR-1 export\n- FR-2 quotes\n\nTASK_COMPLETE\n");
    world.env.write("specs/x/design.md", "# Design\r\n\r\nA writer.\r\n");
    world.env.write(
        "specs/x/.progress.md",
        "# Progress\n\n## Goal\n\nExport.\n\n## Learnings\n\n- quotes need an exporter of their own\n",
    );
    world.env.write("sub/keep", "");
    world.env.write("../home/compare", COMPARE);
    world.env.git(["init", "-q"]);
    world.commit("chore: add the list");
    world
}

fn run(world: &World, args: &[&str]) -> crate::env::Output {
    let mut command = world.env.spec_command(["run", "specs/x/tasks.md", "--exec", "sh \"$HOME/compare\""]);
    command.args(args).env("SPEC_BIN", env!("CARGO_BIN_EXE_spec")).env("LIST", world.env.path("specs/x/tasks.md"));
    world.env.output(&mut command)
}

fn told(world: &World, name: &str) -> String {
    world.env.read(format!("../home/told.{name}"))
}

#[test]
fn a_run_sends_the_very_bytes_that_spec_prompt_prints() {
    for isolation in ["auto", "none", "worktree"] {
        let world = world("");
        let before = world.env.spec(["prompt", "1.1", "specs/x"]);
        assert_eq!(before.code, 0, "{before}");
        assert_eq!(world.env.git(["status", "--porcelain"]), "", "it leaves nothing behind");
        let output = run(&world, &["--isolation", isolation]);
        assert_eq!(output.code, 0, "{isolation}: {output}");
        assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4"]);
        assert_eq!(before.stdout, told(&world, "1.1.1"));
        // What there is to tell was told.
        let [first, retry, sibling, verify] = ["1.2.1", "1.2.2", "1.3.1", "1.4.2"].map(|name| told(&world, name));
        assert!(first.contains("FR-2 quotes") && first.contains("A writer.\n") && first.contains("Export."), "{first}");
        assert!(first.contains("1.3 Limit the rate (owns sub/limit.txt)"), "{first}");
        assert!(first.contains(": specs/x/.progress-task-1.md\n"), "{first}");
        assert!(sibling.contains(": ../specs/x/.progress-task-2.md\n"), "from the folder it works in: {sibling}");
        assert!(first.contains("[specs/x/.progress.md:") && first.contains("quotes need an exporter"), "{first}");
        assert!(first.contains("the exporter loses quotes at line ends"), "what was just learned: {first}");
        assert!(retry.contains("failed (crash)") && retry.contains("    error: a quote was lost"), "{retry}");
        assert!(verify.contains("is a checkpoint") && verify.contains("failed (verify_failed)"), "{verify}");
        // Siblings and retries begin alike, up to where the task begins.
        let (shared, _) = first.split_once("# Your task").expect("a task");
        assert!(shared.contains("</page>") && retry.starts_with(shared) && sibling.starts_with(shared));
        assert!(told(&world, "1.2.1.sizes").contains("learnings"), "{}", told(&world, "1.2.1.sizes"));
    }
}

#[test]
fn a_template_that_is_wrong_is_found_before_anything_starts() {
    let world = world("");
    world.env.write(".spec-prompts/task.md", "Do this:\n\n{{blok}}\n");
    let before = world.everything();
    for output in [
        run(&world, &["--allow-dirty"]),
        world.env.spec(["check", "specs/x"]),
        world.env.spec(["prompt", "1.1", "specs/x"]),
    ] {
        assert_eq!(output.code, 2, "{output}");
        assert!(output.stderr.contains(".spec-prompts/task.md:3: `{{blok}}` is no place to fill"), "{output}");
    }
    assert_eq!(world.everything(), before);
    world.env.write(".spec-prompts/task.md", "MINE {{block}}\n");
    world.env.write(".spec-prompts/verfy.md", "");
    let output = world.env.spec(["prompt", "1.1", "specs/x"]);
    assert!(
        output.stdout.contains("\nMINE - [ ] 1.1 Write the exporter\n") && output.stdout.contains("# Rules"),
        "{output}"
    );
    assert!(output.stderr.contains(".spec-prompts/verfy.md: is none of prefix.md, task.md, verify.md"), "{output}");
    world.env.write("spec.toml", "[prompt]\ndir = \"mine\"\n");
    let output = world.env.spec(["prompt", "1.1", "specs/x"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("cannot read mine"), "{output}");
}

#[test]
fn a_failure_and_its_cure_are_told_to_the_next_who_works_there() {
    let world = world("");
    assert_eq!(run(&world, &["--only", "1.1,1.2"]).code, 0);
    let output = world.env.spec(["learnings", "quotes.txt"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("\"Escape quotes in the exporter\": try 1 failed (crash)"), "{output}");
    assert!(output.stdout.contains("`error: a quote was lost`. Try 2 passed; it had changed quotes.txt"), "{output}");
    // Who works beside others is told what they own, but not that its own files are theirs.
    assert!(!told(&world, "1.2.1").contains("owns quotes.txt"));
    let list = format!("{}- [ ] 2.1 Escape newlines\n  - **Files**: quotes.txt\n", world.env.read("specs/x/tasks.md"));
    world.env.write("specs/x/tasks.md", list);
    let output = world.env.spec(["prompt", "2.1", "specs/x"]);
    assert!(output.stdout.contains("Try 2 passed; it had changed quotes.txt [specs/x, task 1.2, run "), "{output}");
}

#[test]
fn an_index_that_cannot_be_used_fails_no_run() {
    let world = world("");
    world.env.write(".git/spec/learnings.db", "no database".repeat(1000));
    let output = run(&world, &["--only", "1.1"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("the index of learnings was damaged"), "{output}");
    let output = world.env.spec(["learnings"]);
    assert!(
        output.stdout.contains("quotes need an exporter") && output.stderr.is_empty(),
        "it was made anew: {output}"
    );
    std::fs::remove_file(world.env.path(".git/spec/learnings.db")).expect("it was there");
    std::fs::create_dir(world.env.path(".git/spec/learnings.db")).expect("a folder in its place");
    let output = run(&world, &["--from", "1.2"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.stderr.matches("it may be deleted at any time").count(), 1, "said once: {output}");
}

#[test]
fn a_budget_holds_and_what_it_cuts_is_said() {
    let world = world("[prompt]\nmax_tokens = 1000\n");
    world.env.write("specs/x/research.md", "word ".repeat(20_000));
    let output = world.env.spec(["prompt", "1.2", "specs/x"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("- [ ] 1.2 [P] Escape quotes in the exporter"), "{output}");
    assert!(
        output.stdout.contains("Left out for length:") && output.stderr.contains("left out for length:"),
        "{output}"
    );
    let json = world.env.spec(["prompt", "1.2", "specs/x", "--format", "json"]).json();
    assert_eq!(json["prompt"], output.stdout);
    assert!(json["tokens"].as_u64() <= Some(1000), "{json}");
    assert_eq!(json["bytes"], output.stdout.len());
    let small = self::world("[prompt]\nmax_tokens = 10\n");
    let output = run(&small, &["--only", "1.1"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("more than the 10 of prompt.max_tokens"), "{output}");
}
