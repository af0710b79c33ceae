//! Lists that grow while they are run: by what executors ask for, and by fixes of what failed for good.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::env::Output;
use crate::world::{World, signal_of, signals};

/// A world with an executor of its own: `cases` are those of a `case` over the task's id; what it is told is kept.
fn world(list: &str, cases: &str) -> World {
    let world = World::new(list);
    let script = format!(
        "mkdir -p \"$HOME/prompts\"\ncat > \"$HOME/prompts/$SPEC_TASK_ID.$SPEC_ATTEMPT\"\n\
         ask() {{ cat \"$HOME/$1\"; }}\ncase $SPEC_TASK_ID in\n{cases}\nesac\n"
    );
    world.env.write("../home/grow", script);
    world
}

/// What an executor prints by `ask NAME`.
fn request(world: &World, name: &str, kind: &str, task: &str, tasks: &[&str]) {
    let request = json!({"type": kind, "originalTaskId": task, "reasoning": "it is needed", "proposedTasks": tasks});
    world
        .env
        .write(format!("../home/{name}"), format!("I ask.\n\nTASK_MODIFICATION_REQUEST\n\n```json\n{request}\n```\n"));
}

fn run(world: &World, args: &[&str]) -> Output {
    let mut command = world.env.spec_command(["run", "tasks.md", "--exec", "sh \"$HOME/grow\""]);
    if !args.contains(&"--max-attempts") {
        command.args(["--max-attempts", "1"]);
    }
    world.env.output(command.args(args))
}

fn clean(world: &World) {
    assert_eq!(world.env.git(["status", "--porcelain"]).trim_end(), "?? .progress.md");
    let head = world.env.git(["show", "HEAD:tasks.md"]);
    assert_eq!(head.trim_end(), world.list().trim_end(), "the list is committed as it is");
}

fn state(world: &World) -> Value {
    serde_json::from_str(&world.env.read(".spec-state.json")).expect("a state file")
}

const BIG: &str = "# L

- [ ] 1.1 Big
  - **Verify**: `cat a.txt b.txt`
- [ ] 1.2 Next
  - **Files**: n.txt
";

#[test]
fn a_task_that_is_split_becomes_the_parent_of_its_parts() {
    let world = world(
        BIG,
        "1.1) echo half > half.txt; ask split ;;\n1.1.1) echo a > a.txt ;;\n1.1.2) echo b > b.txt ;;\n1.2) echo n > n.txt ;;",
    );
    let parts =
        ["- [ ] 1.1.1 A\n  - **Files**: a.txt", "- [ ] 1.1.2 B\n  - **Files**: b.txt\n  - **Verify**: `test -s b.txt`"];
    request(&world, "split", "SPLIT_TASK", "1.1", &parts);
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    assert_snapshot!(world.list(), @r"
    # L

    - [x] 1.1 Big
      - **Verify**: `cat a.txt b.txt`
      - [x] 1.1.1 A
        - **Files**: a.txt
      - [x] 1.1.2 B
        - **Files**: b.txt
        - **Verify**: `test -s b.txt`
    - [x] 1.2 Next
      - **Files**: n.txt
    ");
    let added = "chore(work): add 1.1.1, 1.1.2, split of 1.1";
    assert_eq!(world.history()[1..], [added, "1.1.1", "1.1.2", "1.1", "1.2"]);
    clean(&world);
    assert!(!world.env.path("half.txt").exists(), "what it had begun is not landed");
    let kept = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
    assert_eq!(world.env.git(["show", &format!("{kept}:half.txt")]), "half");
    assert_eq!(world.tries("1.1"), 1, "it is not run again");
    assert!(output.stderr.contains("1.1.1 1.1.2 to the list, for 1.1 (SPLIT_TASK)"), "{output}");
    assert!(output.stdout.ends_with("ALL_TASKS_COMPLETE\n\n"), "{output}");
}

const GROUP: &str = "- [ ] 1.1 [P] A
  - **Files**: a.txt
- [ ] 1.2 [P] B
  - **Files**: b.txt
- [ ] 1.3 Last
  - **Files**: c.txt
";

#[test]
fn who_asks_for_a_prerequisite_is_tried_again_behind_it_and_uses_up_no_attempt() {
    for isolation in ["none", "worktree"] {
        let world = world(
            GROUP,
            "1.1) echo a > a.txt ;;\n1.2) if test -e p.txt; then test ! -e b.txt && cp p.txt b.txt; \
             else echo half > b.txt; ask first; fi ;;\n1.2.1) echo p > p.txt ;;\n1.3) echo c > c.txt ;;",
        );
        request(&world, "first", "ADD_PREREQUISITE", "1.2", &["- [ ] Make p\n  - **Files**: p.txt"]);
        let output = run(&world, &["--isolation", isolation]);
        assert_eq!(output.code, 0, "{output}");
        let before = "- [x] 1.2.1 Make p\n  - **Files**: p.txt\n";
        assert_eq!(world.list(), format!("{before}{}", GROUP.replace("[ ]", "[x]")), "the group stays whole");
        let added = "chore(work): add 1.2.1, prerequisite of 1.2";
        assert_eq!(world.history()[1..], ["1.1", added, "1.2.1", "1.2", "1.3"], "{output}");
        clean(&world);
        let told = world.prompt("1.2", 2);
        assert!(told.contains("asked for ADD_PREREQUISITE, which has landed since"), "{told}");
        assert!(told.contains("Its changes are gone") && told.contains("refs/spec/salvage"), "{told}");
        assert_eq!(signals(&output.stdout).iter().filter(|(name, _)| name == "TASK_FAILED").count(), 0);
        assert!(output.stdout.contains("BATCH_COMPLETE\ntasks: 1.1 1.2\n"), "{output}");
    }
}

#[test]
fn in_graph_mode_what_was_asked_for_goes_first_too() {
    let list = "- [ ] 1.1 A\n  - **Files**: a.txt\n- [ ] 1.2 B\n  - **Files**: b.txt\n  - **Depends**: 1.1\n";
    let world = world(
        list,
        "1.1) if test -e p.txt; then echo a > a.txt; else ask first; fi ;;\n1.2) cp a.txt b.txt ;;\n1.1.1) echo p > p.txt ;;",
    );
    request(&world, "first", "ADD_PREREQUISITE", "1.1", &["- [ ] Make p\n  - **Files**: p.txt"]);
    let output = run(&world, &["--mode", "graph"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history()[1..], ["chore(work): add 1.1.1, prerequisite of 1.1", "1.1.1", "1.1", "1.2"]);
}

#[test]
fn without_its_prerequisite_a_task_is_blocked() {
    let world = world(GROUP, "1.1) echo a > a.txt ;;\n1.2) ask first ;;\n1.2.1) exit 1 ;;\n1.3) echo c > c.txt ;;");
    request(&world, "first", "ADD_PREREQUISITE", "1.2", &["- [ ] Make p\n  - **Files**: p.txt"]);
    let output = run(&world, &["--keep-going"]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!((world.ticked("1.2"), world.ticked("1.3"), world.tries("1.2")), (false, true, 1));
    assert!(signal_of(&output.stdout, "TASK_FAILED", "1.2.1").is_some(), "{output}");
    assert_eq!(world.events("run_complete")[0]["blocked"], json!(["1.2"]));
}

#[test]
fn a_followup_stands_behind_its_group_and_is_run() {
    let world = world(
        GROUP,
        "1.1) echo a > a.txt; ask more ;;\n1.1.1) echo m > m.txt ;;\n1.2) echo b > b.txt ;;\n1.3) echo c > c.txt ;;",
    );
    request(&world, "more", "ADD_FOLLOWUP", "1.1", &["- [ ] Clean up\n  - **Files**: m.txt"]);
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    let more = "- [x] 1.1.1 Clean up\n  - **Files**: m.txt\n- [x] 1.3";
    assert_eq!(world.list(), GROUP.replace("[ ]", "[x]").replace("- [x] 1.3", more));
    let added = "chore(work): add 1.1.1, follow-up of 1.1";
    assert_eq!(world.history()[1..], ["1.1", "1.2", added, "1.1.1", "1.3"]);
    clean(&world);
    // What failed asks for nothing.
    let other = self::world(GROUP, "1.1) ask more; exit 1 ;;\n*) echo x > ${SPEC_TASK_ID#1.}.txt ;;");
    request(&other, "more", "ADD_FOLLOWUP", "1.1", &["- [ ] Clean up\n  - **Files**: m.txt"]);
    assert_eq!(run(&other, &[]).code, 1);
    assert!(!other.list().contains("Clean up"));
}

#[test]
fn three_tasks_for_one_two_deep_and_what_is_over_that_is_refused_and_said() {
    // It wants one more each time.
    let list = "- [ ] 1.1 Never enough\n  - **Files**: a.txt\n- [ ] 1.2 Deep\n  - **Files**: b.txt\n";
    let world = world(
        list,
        "1.1) ask first ;;\n1.1.*) echo x > ${SPEC_TASK_ID}.txt ;;\n1.2) echo b > b.txt ;;\n1.2*) ask deep ;;",
    );
    request(&world, "first", "ADD_PREREQUISITE", "1.1", &["- [ ] One more\n  - **Files**: none"]);
    let output = run(&world, &["--max-attempts", "2"]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(world.list().matches("One more").count(), 3, "{output}\n{}", world.list());
    assert_eq!(world.events("task_inserted").len(), 3);
    // Three were granted; of the two tries that count both were refused.
    assert_eq!(world.tries("1.1"), 5);
    let told = world.prompt("1.1", 5);
    assert!(told.contains("reported_failure"), "{told}");
    assert!(told.contains("its request for ADD_PREREQUISITE is refused: 3 tasks were put in for it before"), "{told}");
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").expect("it failed");
    assert_eq!(failed["code"], "reported_failure");

    let list = "- [ ] 1.2 Deep\n  - **Files**: b.txt\n";
    let world = self::world(
        list,
        "*) printf 'TASK_MODIFICATION_REQUEST\\n```\\n{\"type\": \"ADD_PREREQUISITE\", \"proposedTasks\": [\"- [ ] Deeper\"]}\\n```\\n' ;;",
    );
    let output = run(&world, &[]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(world.list(), "- [ ] 1.2.1.1 Deeper\n- [ ] 1.2.1 Deeper\n- [ ] 1.2 Deep\n  - **Files**: b.txt\n");
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.2.1.1").expect("the deepest failed");
    assert!(failed["reason"].contains("refused: it was put in itself, 2 deep; 2 is the limit"), "{failed:?}");
}

#[test]
fn what_cannot_be_read_or_put_in_is_refused() {
    let list = "- [ ] 1.1 A\n  - **Files**: None\n";
    let refused = |text: &str| {
        let world = world(list, "*) ask bad ;;");
        world.env.write("../home/bad", text);
        let output = run(&world, &[]);
        assert_eq!((output.code, world.list().as_str()), (1, list), "{output}");
        signal_of(&output.stdout, "TASK_FAILED", "1.1").expect("it failed")["reason"].clone()
    };
    let why = refused("TASK_MODIFICATION_REQUEST\nplease\n");
    assert_eq!(why, "its TASK_MODIFICATION_REQUEST is refused: no fenced JSON object follows it");
    let asked = |task: &str, proposed: &str| {
        format!(
            "TASK_MODIFICATION_REQUEST\n```json\n{{\"type\": \"SPLIT_TASK\", \"originalTaskId\": \"{task}\", \"proposedTasks\": [\"{proposed}\"]}}\n```\n"
        )
    };
    assert!(refused(&asked("7.7", "- [ ] B")).ends_with("refused: it is about 7.7, not about its own task"));
    assert!(refused(&asked("1.1", "no box")).ends_with("a proposed task is one checkbox item, not 0"));
}

#[test]
fn what_a_person_writes_to_the_list_meanwhile_stays_theirs() {
    let world = world(
        GROUP,
        "1.1) echo a > a.txt; ask more ;;\n*) echo x > $(echo $SPEC_TASK_ID | tr 1-3 a-c | cut -c3-).txt ;;",
    );
    request(&world, "more", "ADD_FOLLOWUP", "1.1", &["- [ ] Clean up\n  - **Files**: None"]);
    world.env.write("tasks.md", format!("{GROUP}\nA person's note, not committed.\n"));
    let output = run(&world, &[]);
    assert!(world.list().contains("Clean up") && world.list().contains("A person's note"), "{output}");
    let head = world.env.git(["show", "HEAD:tasks.md"]);
    assert!(head.contains("Clean up") && !head.contains("A person's note"), "{head}");
    let diff = world.env.git(["diff", "HEAD", "--", "tasks.md"]);
    let lines: Vec<&str> = diff
        .lines()
        .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"))
        .collect();
    assert_eq!(lines, ["+", "+A person's note, not committed."], "{diff}");
}

// ---- fixes ------------------------------------------------------------------------------------------------------------

const BROKEN: &str = "- [ ] 1.1 Make it
  - **Files**: it.txt
  - **Verify**: `grep -q good it.txt`
- [ ] 1.2 Next
  - **Files**: n.txt
";

#[test]
fn what_fails_for_good_gets_a_fix_and_is_tried_again() {
    let world = world(
        BROKEN,
        "1.1) test -e it.txt || echo bad > it.txt; echo '- [ ] 7 evidence' ;;\n1.1.1) echo good > it.txt ;;\n1.2) echo n > n.txt ;;",
    );
    let output = run(&world, &["--recovery", "--max-attempts", "2"]);
    assert_eq!(output.code, 0, "{output}");
    let list = world.list();
    let kept = list.lines().find(|line| line.contains("**Kept**")).expect("what it had made").to_owned();
    assert_snapshot!(list.replace(&kept, "  - **Kept**: ..."), @r"
    - [x] 1.1 Make it
      - **Files**: it.txt
      - **Verify**: `grep -q good it.txt`
    - [x] 1.1.1 [FIX 1.1] Mend what failed in 1.1 (verify_failed)
      - **Do**: find out why task 1.1 failed for good, and mend it; 1.1 is tried again behind this
      - **Failure**: verify_failed: `grep -q good it.txt`: exit 1
      - **Kept**: ...
      - **Files**: `it.txt`
      - **Verify**: `grep -q good it.txt`
      - **Commit**: `fix(work): mend what failed in 1.1`
    - [x] 1.2 Next
      - **Files**: n.txt
    ");
    assert_eq!(world.history()[1..], ["chore(work): add 1.1.1, fix of 1.1", "1.1.1", "1.1", "1.2"]);
    clean(&world);
    assert_eq!(signals(&output.stdout).iter().filter(|(name, _)| name == "TASK_FAILED").count(), 0, "{output}");
    let fixes = json!({"1.1": {"attempts": 1, "fixTaskIds": ["1.1.1"]}});
    assert_eq!(state(&world)["fixTaskMap"], fixes);
    // Two tries before it, one behind it, which had nothing left to change and was verified.
    assert_eq!(world.tries("1.1"), 3);
    let (told, fix) = (world.prompt("1.1", 3), world.prompt("1.1.1", 1));
    assert!(told.contains("Its changes are gone"), "{told}");
    assert!(fix.contains("verify_failed"), "{fix}");
    assert!(kept.contains("refs/spec/salvage/"), "{kept}");
}

#[test]
fn without_recovery_what_fails_stays_failed() {
    let world = world(BROKEN, "*) true ;;");
    assert_eq!(run(&world, &[]).code, 1);
    assert_eq!(world.list(), BROKEN);
    // Nor is there anything to mend it where no executor is.
    let alone = World::new("- [ ] 1.1 A\n  - **Run**: `false`\n");
    let output = alone.env.output(&mut alone.env.spec_command(["run", "tasks.md", "--recovery"]));
    assert_eq!((output.code, alone.list().lines().count()), (1, 2), "{output}");
    assert!(output.stderr.contains("--recovery needs an executor"), "{output}");
}

#[test]
fn three_fixes_and_no_more() {
    // Each fix passes, and it fails all the same.
    let list = "- [ ] 1.1 Never\n  - **Run**: `false`\n- [ ] 1.2 Next\n  - **Run**: `true`\n";
    let world = world(list, "*) echo $SPEC_TASK_ID >> log.txt ;;");
    let output = run(&world, &["--recovery"]);
    assert_eq!(output.code, 1, "{output}");
    let list = world.list();
    let fixes: Vec<&str> = list.lines().filter(|line| line.contains("[FIX 1.1]")).collect();
    assert_eq!(fixes.len(), 3, "{list}");
    assert!(fixes.iter().all(|line| line.starts_with("- [x]")), "{list}");
    assert_eq!(world.env.read("log.txt"), "1.1.1\n1.1.2\n1.1.3\n");
    assert_eq!((world.events("task_failed").len(), world.ticked("1.2")), (4, false));
    let failed: Vec<_> = signals(&output.stdout).into_iter().filter(|(name, _)| name == "TASK_FAILED").collect();
    assert_eq!(failed.len(), 1, "told once, at the end: {output}");
    assert_eq!(state(&world)["fixTaskMap"]["1.1"]["attempts"], 3);
    assert!(output.stderr.contains("task 1.1 gets no fix: 3 tasks were put in for it before"), "{output}");
    // Another run does not begin anew: they are counted in the list.
    let again = run(&world, &["--recovery"]);
    assert_eq!((again.code, world.list()), (1, list), "{again}");
}

#[test]
fn fixes_of_fixes_are_three_deep_and_no_more() {
    let world = world("- [ ] 1.1 Never\n  - **Files**: a.txt\n- [ ] 1.2 Next\n  - **Run**: `true`\n", "*) exit 1 ;;");
    let output = run(&world, &["--recovery"]);
    assert_eq!(output.code, 1, "{output}");
    let ids: Vec<String> = world
        .list()
        .lines()
        .filter(|line| line.starts_with("- ["))
        .map(|line| line[6..].split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["1.1", "1.1.1", "1.1.1.1", "1.1.1.1.1", "1.2"], "{}", world.list());
    let failed: Vec<String> = signals(&output.stdout)
        .into_iter()
        .map(|(name, mut details)| format!("{name} {}", details.remove("task").unwrap_or_default()))
        .collect();
    assert_eq!(
        failed,
        ["TASK_FAILED 1.1.1.1.1", "TASK_FAILED 1.1", "TASK_FAILED 1.1.1", "TASK_FAILED 1.1.1.1"],
        "{output}"
    );
    let summary = &world.events("run_complete")[0];
    assert_eq!(
        (&summary["failed"], &summary["blocked"]),
        (&json!(["1.1.1.1.1", "1.1", "1.1.1", "1.1.1.1"]), &json!([]))
    );
    assert!(!world.ticked("1.2"));
}

#[test]
fn a_member_of_a_group_is_mended_behind_it() {
    let list = "- [ ] 1.1 [P] A\n  - **Files**: a.txt\n- [ ] 1.2 [P] B\n  - **Files**: b.txt\n- [ ] 1.3 C\n  - **Files**: c.txt\n";
    let world = world(
        list,
        "1.1) test -e mended.txt && echo a > a.txt ;;\n1.1.1) echo a > a.txt; echo m > mended.txt ;;\n1.2) echo b > b.txt ;;\n1.3) echo c > c.txt ;;",
    );
    let output = run(&world, &["--recovery"]);
    assert_eq!(output.code, 0, "{output}");
    let ids: Vec<String> = world
        .list()
        .lines()
        .filter(|line| line.starts_with("- ["))
        .map(|line| line[6..].split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["1.1", "1.2", "1.1.1", "1.3"]);
    assert_eq!(world.history()[1..], ["1.2", "chore(work): add 1.1.1, fix of 1.1", "1.1.1", "1.1", "1.3"]);
    assert!(output.stdout.contains("BATCH_COMPLETE\ntasks: 1.1 1.2\n"), "{output}");
}

// ---- checks and words -------------------------------------------------------------------------------------------------

#[test]
fn a_verify_task_needs_no_model_unless_it_fails_and_is_verified_again() {
    let list = "- [ ] 1.1 [VERIFY] Fine\n  - **Verify**: `true`\n- [ ] 1.2 [VERIFY] Not yet\n  - **Verify**: `echo seen; test -e good.txt`\n";
    // It says that all is well at once, and that is not believed.
    let world = world(list, "1.2) if test $SPEC_ATTEMPT = 3; then echo good > good.txt; fi; echo VERIFICATION_PASS ;;");
    let world = world.settings("[exec]\nsignal = true\n");
    let output = run(&world, &["--max-attempts", "4"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.tries("1.1"), 0, "no executor was started");
    assert!(!world.env.path("../home/prompts/1.2.1").exists(), "its first try is the commands");
    let told = world.prompt("1.2", 2);
    assert!(told.contains("verify_failed") && told.contains("seen"), "with the evidence: {told}");
    assert!(world.env.path("../home/prompts/1.2.3").exists());
    // One that says no is heeded before anything is run.
    let world = self::world(list, "1.2) echo good > good.txt; echo 'VERIFICATION_FAIL: the page is blank' ;;");
    let world = world.settings("[exec]\nsignal = true\n");
    let output = run(&world, &["--max-attempts", "2"]);
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.2").expect("it failed");
    assert_eq!(
        (failed["code"].as_str(), failed["reason"].as_str()),
        ("reported_failure", "VERIFICATION_FAIL: the page is blank")
    );
}

#[test]
fn what_a_result_says_is_heeded_and_kept() {
    let list = "- [ ] 1.1 Blocked\n  - **Files**: None\n- [ ] 1.2 Noted\n  - **Files**: None\n";
    let result = |json: &str| format!("printf 'TASK_COMPLETE\\n```json\\n{json}\\n```\\n' ;;");
    let blocked = result(r#"{"status": "blocked", "blocker": "no key", "notes": "ask for a key first"}"#);
    let noted = result(r#"{"status": "pass", "notes": "the cache is warm"}"#);
    let world = world(list, &format!("1.1) {blocked}\n1.2) {noted}")).settings("[exec]\nsignal = true\n");
    let output = run(&world, &["--keep-going"]);
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").expect("it failed");
    assert_eq!(
        (failed["code"].as_str(), failed["reason"].as_str()),
        ("reported_failure", "its own result says blocked: no key")
    );
    let progress = world.env.read(".progress.md");
    assert!(progress.contains("the cache is warm") && progress.contains("ask for a key first"), "{progress}");
}
