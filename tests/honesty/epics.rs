//! Several specs in one run: side by side, one after the other, in each other's way, and cut off.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::env::Output;
use crate::world::{EXEC, World, signal_of, signals};

/// A repository with these specs, by name and list, committed.
fn world(specs: &[(&str, &str)]) -> World {
    let world = World::new("- [ ] 9.9 Never run\n");
    for (name, list) in specs {
        world.env.write(format!("specs/{name}/tasks.md"), list);
        world.env.write(format!("specs/{name}/.progress.md"), "# Progress\n");
    }
    world.commit("specs");
    world
}

/// A task that does this.
fn task(id: &str, act: &str) -> String {
    format!("- [ ] {id} Task\n  - **Do**: {act}\n")
}

fn command(world: &World, args: &[&str]) -> std::process::Command {
    let mut command = world.env.spec_command(["run"]);
    // What would wait for ever ends.
    command.args(args).args(["--exec", EXEC, "--max-attempts", "1", "--timeout", "100s", "--grace", "1s"]);
    command
}

fn run(world: &World, args: &[&str]) -> Output {
    world.env.output(&mut command(world, args))
}

fn epic(world: &World, specs: &str) {
    let text =
        format!("{{\"name\":\"shop\",\"goal\":\"g\",\"specs\":{specs},\"output\":\"spec-files\",\"issueNumber\":7}}");
    world.env.write("specs/_epics/shop/.epic-state.json", text);
    world.commit("an epic");
}

fn state(world: &World) -> Value {
    serde_json::from_str(&world.env.read("specs/_epics/shop/.epic-state.json")).expect("JSON")
}

fn statuses(world: &World) -> Vec<String> {
    let state = state(world);
    let specs = state["specs"].as_array().expect("specs").iter();
    specs.map(|spec| format!("{}: {}", spec["name"], spec["status"]).replace('"', "")).collect()
}

fn clean(world: &World) -> bool {
    world.env.git(["status", "--porcelain"]).is_empty()
}

fn trees(world: &World) -> usize {
    world.env.git(["worktree", "list"]).lines().count()
}

#[test]
fn two_specs_run_at_the_same_time_and_both_land() {
    let a = task("1.1", "echo go > \"$HOME/one\"; read x < \"$HOME/two\"; echo a > a.txt");
    let b = task("2.1", "read x < \"$HOME/one\"; echo go > \"$HOME/two\"; echo b > b.txt");
    let world = world(&[("a", &a), ("b", &b)]);
    world.fifo("one");
    world.fifo("two");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.env.read("a.txt").as_str(), world.env.read("b.txt").as_str()), ("a\n", "b\n"));
    for name in ["a", "b"] {
        assert!(world.env.read(format!("specs/{name}/tasks.md")).contains("- [x]"), "{output}");
        assert!(world.env.read(format!("specs/{name}/.progress.md")).contains("Completed"), "{output}");
        let id = if name == "a" { "1.1" } else { "2.1" };
        let log = world.env.spec(["log", id, &format!("specs/{name}")]);
        assert_eq!(log.code, 0, "its log is where one looks for it: {log}");
        assert!(world.env.path(format!("specs/{name}/.spec-state.json")).exists());
    }
    assert!(clean(&world), "{output}");
    assert_eq!(trees(&world), 1, "no tree stays");
    // The second to land found the branch moved.
    assert_eq!(world.env.git(["rev-list", "--merges", "--count", "HEAD"]), "1");
    let said = signal_of(&output.stdout, "TASK_COMPLETE", "2.1").expect("it is said");
    assert_eq!(said["spec"], "b");
    let names: Vec<String> = signals(&output.stdout).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| *name == "SPEC_COMPLETE").count(), 2, "{output}");
    assert_eq!(names.iter().position(|name| name == "ALL_TASKS_COMPLETE"), Some(names.len() - 1), "once, at the end");
    assert!(output.stderr.contains("[a] ") && output.stderr.contains("2 of 2 specs landed"), "{output}");
    // Again there is nothing to do.
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.tries("1.1"), trees(&world)), (1, 1));
}

#[test]
fn at_most_as_many_specs_as_allowed_run_at_once() {
    let turn = |id: &str| {
        task(id, &format!("mkdir \"$HOME/turn\" || exit 1; seq 1 20000 | wc -l > {id}.txt; rmdir \"$HOME/turn\""))
    };
    let world = world(&[("a", &turn("1.1")), ("b", &turn("2.1")), ("c", &turn("3.1"))]);
    let output = run(&world, &["specs/a", "specs/b", "specs/c", "--max-specs", "1"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(
        world.env.git(["rev-list", "--merges", "--count", "HEAD"]),
        "0",
        "each began where the other had landed"
    );
}

#[test]
fn an_epic_goes_in_the_order_of_its_dependencies() {
    let world = world(&[
        ("a", &task("1.1", "echo a > a.txt")),
        ("b", &task("2.1", "cat a.txt > b.txt")),
        ("old", &task("3.1", "echo old > old.txt")),
    ]);
    epic(
        &world,
        r#"[{"name":"b","status":"pending","dependencies":["a","old"],"size":"L"},{"name":"a","status":"pending","dependencies":[]},
            {"name":"old","status":"completed","dependencies":[]}]"#,
    );
    let output = run(&world, &["specs/_epics/shop"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("b.txt"), "a\n");
    assert_eq!(statuses(&world), ["b: completed", "a: completed", "old: completed"]);
    assert_eq!(world.tries("3.1"), 0, "what was completed is not run");
    let state = state(&world);
    assert_eq!((&state["issueNumber"], &state["specs"][0]["size"]), (&Value::from(7), &Value::from("L")), "kept");
    assert!(output.stdout.contains("ALL_TASKS_COMPLETE"), "{output}");
}

#[test]
fn an_epic_that_cannot_be_is_refused_before_anything_starts() {
    let world = world(&[("a", &task("1.1", "echo a > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
    let spec = |name: &str, needs: &str| format!("{{\"name\":\"{name}\",\"dependencies\":[{needs}]}}");
    for (specs, why) in [
        (format!("[{},{}]", spec("a", "\"b\""), spec("b", "\"a\"")), "wait for each other: a, b"),
        (format!("[{}]", spec("a", "\"x\"")), "depends on `x`"),
        (format!("[{},{}]", spec("a", ""), spec("a", "")), "`a` is there twice"),
        (format!("[{}]", spec("../a", "")), "no name of a spec"),
        ("{}".to_owned(), "specs"),
    ] {
        epic(&world, &specs);
        let output = run(&world, &["specs/_epics/shop/.epic-state.json"]);
        assert_eq!(output.code, 2, "{output}");
        assert!(output.stderr.contains(why), "{why}: {output}");
    }
    for args in [&["--only", "1.1"][..], &["--from", "1.1"], &["--no-commit"], &["--take-over"]] {
        let output = run(&world, &[&["specs/a", "specs/b"], args].concat());
        assert_eq!(output.code, 2, "{output}");
    }
    // Twice the same, and a list that git does not have as it is.
    assert_eq!(run(&world, &["specs/a", "specs/a"]).code, 2);
    world.env.write("specs/b/tasks.md", task("2.1", "echo c > b.txt"));
    world.env.write("spec.toml", "[run]\nno_commit = true\n");
    assert_eq!(run(&world, &["specs/a", "specs/b"]).code, 2, "what is not committed could not land");
    world.env.write("spec.toml", "");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert!(output.code == 2 && output.stderr.contains("specs/b/tasks.md: not committed"), "{output}");
    assert!(!world.env.path(".spec").exists() && world.tries("1.1") == 0 && trees(&world) == 1, "nothing was begun");
}

#[test]
fn a_spec_that_contradicts_another_waits_for_a_person_and_the_others_go_on() {
    let world = world(&[
        ("a", &task("1.1", "echo a > same.txt; echo go > \"$HOME/gate\"")),
        ("b", &(task("2.1", "read x < \"$HOME/gate\"; echo b > same.txt") + &task("2.2", "echo b > b.txt"))),
        ("c", &task("3.1", "echo c > c.txt")),
    ]);
    world.fifo("gate");
    epic(&world, r#"[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d","dependencies":["b"]}]"#);
    let output = run(&world, &["specs/_epics/shop", "--max-specs", "3"]);
    assert_eq!(output.code, 4, "{output}");
    assert!(output.stderr.contains("same.txt") && output.stderr.contains("spec/b"), "{output}");
    assert_eq!(world.env.read("same.txt"), "a\n");
    assert_eq!(world.env.read("c.txt"), "c\n", "the others go on");
    assert_eq!(world.env.git(["show", "spec/b:same.txt"]), "b", "what it did is kept");
    assert_eq!(statuses(&world)[..3], ["a: completed", "b: in_progress", "c: completed"]);
    assert_eq!(state(&world)["specs"][1]["conflict"], serde_json::json!(["same.txt"]));
    assert!(!output.stdout.contains("ALL_TASKS_COMPLETE"), "{output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), " M specs/_epics/shop/.epic-state.json");
    // The same again, without a person: still, and nothing runs twice.
    assert_eq!(run(&world, &["specs/_epics/shop"]).code, 4);
    // A person merges, where the message says.
    let tree = world.env.path(".spec/epic/b");
    let git = |args: &[&str]| world.env.output(world.env.command("git").current_dir(&tree).args(args));
    assert_ne!(git(&["merge", "main"]).code, 0);
    world.env.write(".spec/epic/b/same.txt", "a and b\n");
    assert_eq!(git(&["commit", "-qam", "both"]).code, 0);
    world.env.write("specs/d/tasks.md", task("4.1", "cat same.txt > d.txt"));
    world.commit("d is planned");
    let output = run(&world, &["specs/_epics/shop"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.env.read("same.txt").as_str(), world.env.read("d.txt").as_str()), ("a and b\n", "a and b\n"));
    assert_eq!(world.tries("2.1"), 1);
    assert_eq!(state(&world)["specs"][1].get("conflict"), None);
}

#[test]
fn what_needs_a_spec_that_failed_is_blocked_and_the_rest_lands() {
    let broken = task("1.1", "echo one > one.txt") + &task("1.2", "exit 3");
    let world =
        world(&[("a", &broken), ("b", &task("2.1", "cat one.txt > b.txt")), ("c", &task("3.1", "echo c > c.txt"))]);
    epic(&world, r#"[{"name":"b","status":"pending","dependencies":["a"]},{"name":"a"},{"name":"c"}]"#);
    let output = run(&world, &["specs/_epics/shop"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("blocked: it needs a"), "{output}");
    assert_eq!((world.tries("2.1"), world.env.path("one.txt").exists()), (0, false), "half a spec does not land");
    assert_eq!(world.env.read("c.txt"), "c\n");
    assert_eq!(statuses(&world), ["b: pending", "a: in_progress", "c: completed"]);
    // The person mends the list, and it goes on where it was.
    let mended = world.env.read("specs/a/tasks.md").replace("exit 3", "cat one.txt > two.txt");
    world.env.write("specs/a/tasks.md", mended);
    world.commit("mend");
    let output = run(&world, &["specs/_epics/shop"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.env.read("two.txt").as_str(), world.env.read("b.txt").as_str()), ("one\n", "one\n"));
    assert_eq!(world.tries("1.1"), 1);
    assert_eq!(world.env.git(["status", "--porcelain"]), " M specs/_epics/shop/.epic-state.json");
}

#[test]
fn who_asks_for_a_spec_that_an_epic_has_begun_is_told_where_it_is() {
    let world = world(&[("a", &task("1.1", "exit 1")), ("b", &task("2.1", "echo b > b.txt"))]);
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("`cd .spec/epic/a && spec status a` says more"), "{output}");
    let told = "an epic has begun a in a tree of its own: `cd .spec/epic/a` and look there";
    for args in [&["status", "a"][..], &["history", "a"], &["log", "1.1", "a"]] {
        let output = world.env.spec(args);
        assert!(output.stderr.contains(told), "{output}");
    }
    let there = world.env.output(world.env.spec_command(["status", "a"]).current_dir(world.env.path(".spec/epic/a")));
    assert!(there.stdout.contains("1 failed; last run: failed") && there.stderr.is_empty(), "{there}");
    let again = run(&world, &["specs/a"]);
    assert!(again.stderr.contains("this run begins it here once more"), "{again}");
    // Of one that landed there is nothing more to say.
    let landed = world.env.spec(["status", "b"]);
    assert!(landed.stdout.contains("1/1 done") && landed.stderr.is_empty(), "{landed}");
}

#[test]
fn each_spec_has_a_branch_where_that_is_asked_for() {
    let world =
        world(&[("a", &task("1.1", "git branch --show-current > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
    let output = run(&world, &["a", "b", "--branch-per-spec"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("a.txt"), "spec/a\n");
    assert_eq!(world.env.git(["show", "spec/b:b.txt"]), "b");
    assert_eq!(world.env.git(["branch", "--show-current"]), "main");
    assert_eq!(world.env.git(["log", "--format=%s", "--no-merges", "-1", "spec/b"]), "chore(b): 2.1 Task");
    // Used again by the next run.
    world.env.write("specs/b/tasks.md", world.env.read("specs/b/tasks.md") + &task("2.2", "echo more >> b.txt"));
    world.commit("more");
    let output = run(&world, &["a", "b", "--branch-per-spec"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["rev-parse", "spec/b"]), world.env.git(["rev-parse", "HEAD"]));
    let without = self::world(&[("a", &task("1.1", "echo a > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
    assert_eq!(run(&without, &["a", "b"]).code, 0);
    assert_eq!(without.env.git(["branch", "--list", "spec/*"]), "");
}

#[test]
fn changes_of_a_person_in_the_way_are_left_alone() {
    let world = world(&[("a", &task("1.1", "echo a > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
    world.env.write("a.txt", "mine\n");
    world.env.write("own.txt", "mine, too\n");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 4, "{output}");
    assert!(output.stderr.contains("a.txt"), "{output}");
    assert_eq!((world.env.read("a.txt").as_str(), world.env.read("b.txt").as_str()), ("mine\n", "b\n"));
    std::fs::remove_file(world.env.path("a.txt")).expect("it goes");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.env.read("a.txt").as_str(), world.tries("1.1")), ("a\n", 1), "it only had to land");
    assert_eq!(world.env.git(["status", "--porcelain"]), "?? own.txt");
}

#[test]
fn progress_that_git_does_not_have_is_brought_back() {
    let world = world(&[("a", &task("1.1", "echo a > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
    world.env.git(["rm", "-q", "specs/a/.progress.md"]);
    world.commit("no progress file");
    world.env.write("specs/a/.progress.md", "# Progress\n\n## Learnings\n\n- Water is wet\n");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    let progress = world.env.read("specs/a/.progress.md");
    assert!(progress.contains("Water is wet") && progress.contains("1.1"), "{progress}");
    // What a person writes meanwhile is not written over.
    world
        .env
        .write("specs/a/tasks.md", task("1.2", "echo mine > \"$HOME/../work/specs/a/.progress.md\"; echo c > c.txt"));
    world.env.git(["commit", "-q", "-m", "more", "specs/a/tasks.md"]);
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("specs/a/.progress.md"), "mine\n");
    let kept =
        output.stderr.split("is in $ENV/work/").nth(1).expect("it is said where").lines().next().expect("a path");
    assert!(world.env.read(kept).contains("1.2"), "{output}");
}

#[test]
fn a_tree_goes_with_the_trees_of_its_tasks_and_what_is_nobodys_is_kept() {
    let parallel = |id: &str, act: &str| task(id, act).replace(id, &format!("{id} [P]"));
    let list = parallel("1.1", "echo a > a.txt") + &parallel("1.2", "echo b > b.txt");
    let verified = task("2.1", "echo c > c.txt") + "  - **Verify**: `echo seen > seen.txt`\n";
    let world = world(&[("a", &list), ("b", &verified)]);
    world.env.write("spec.toml", "[retry]\nbackoff = \"1s\"\n");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(trees(&world), 1, "{}", world.env.git(["worktree", "list"]));
    let kept = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
    assert!(!kept.is_empty() && output.stderr.contains(&kept), "{kept}\n{output}");
    assert_eq!(world.env.git(["diff", "--name-only", &format!("{kept}^"), &kept]), "seen.txt");
    assert_eq!(world.env.git(["status", "--porcelain"]), " M spec.toml");
}

#[test]
fn ignored_files_that_are_named_are_there_and_no_change() {
    let a = task("1.1", "cat .env node_modules/left/pad > a.txt");
    let b = task("2.1", "test ! -e build && cat .env > b.txt").replace("2.1", "2.1 [P]")
        + &task("2.2", "cat node_modules/left/pad > c.txt").replace("2.2", "2.2 [P]");
    let world = world(&[("a", &a), ("b", &b)]);
    world.env.write(".gitignore", "node_modules/\n.env\nbuild/\n");
    world.commit("ignore");
    world.env.write(".env", "KEY\n");
    world.env.write("node_modules/left/pad", "pad\n");
    world.env.write("build/big", "big\n");
    let output = run(&world, &["specs/a", "specs/b"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("a.txt") + &world.env.read("b.txt") + &world.env.read("c.txt"), "KEY\npad\nKEY\npad\n");
    assert!(clean(&world) && world.env.read("node_modules/left/pad") == "pad\n", "{output}");
    assert_eq!(world.env.git(["for-each-ref", "refs/spec/salvage"]), "");
}

#[test]
fn events_say_which_spec_they_are_of() {
    let world = world(&[("a", &task("1.1", "echo a > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
    let output = run(&world, &["specs/a", "specs/b", "--output", "json"]);
    assert_eq!(output.code, 0, "{output}");
    let events: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for name in ["a", "b"] {
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind && event["spec"] == name).count();
        let kinds = ["spec_start", "run_start", "task_complete", "run_complete", "spec_end"];
        assert_eq!(kinds.map(of), [1; 5], "{output}");
    }
    let schema = include_str!("../../schemas/epic.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).expect("a schema")).expect("a schema");
    for event in &events {
        assert!(event["schema"] != "spec.epic/1" || schema.is_valid(event), "{event}");
        assert!(["spec.event/1", "spec.epic/1"].iter().any(|schema| event["schema"] == *schema), "{event}");
    }
    let last = events.last().expect("events");
    assert_eq!((&last["type"], &last["landed"], &last["exit"]), (&"epic_complete".into(), &2.into(), &0.into()));
}

fn is_there(pid: &str) -> bool {
    Path::new(&format!("/proc/{}", pid.trim())).exists()
}

/// Two specs, the second of which hangs in its second task and says so on the gate.
fn hanging() -> World {
    let hang = "echo $$ > \"$HOME/pid\"; echo up > \"$HOME/gate\"; exec sleep 600";
    let world = world(&[
        ("a", &(task("1.1", "echo one > one.txt") + &task("1.2", hang))),
        ("b", &task("2.1", "echo b > b.txt")),
        ("c", &task("3.1", "echo c > c.txt")),
    ]);
    world.fifo("gate");
    world
}

fn mend(world: &World) {
    let list = world.env.read("specs/a/tasks.md");
    let at = list.find("echo $$").expect("the hanging task");
    world.env.write("specs/a/tasks.md", format!("{}cat one.txt > two.txt\n", &list[..at]));
    world.commit("mend");
}

#[test]
fn an_interrupt_ends_all_specs_and_the_next_run_goes_on() {
    for times in [1, 2] {
        let world = hanging();
        let child = world.start_command(command(&world, &["specs/a", "specs/b", "specs/c", "--max-specs", "1"]));
        assert_eq!(std::fs::read_to_string(world.env.path("../home/gate")).expect("it runs"), "up\n");
        for _ in 0..times {
            kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it is told");
        }
        let output = world.finish(child);
        assert_eq!(output.code, 130, "{output}");
        assert!(!is_there(&world.env.read("../home/pid")), "nothing keeps running");
        assert_eq!(world.tries("2.1") + world.tries("3.1"), 0, "nothing new was started");
        assert!(output.stderr.contains("not started") && !world.env.path("one.txt").exists(), "{output}");
        mend(&world);
        let output = run(&world, &["specs/a", "specs/b", "specs/c"]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!((world.env.read("two.txt").as_str(), world.tries("1.1")), ("one\n", 1), "{output}");
    }
}

#[test]
fn after_kill_nine_the_specs_end_too_and_the_next_run_goes_on() {
    let world = hanging();
    let mut child = world.start_command(command(&world, &["specs/a", "specs/b", "--max-specs", "1"]));
    assert_eq!(std::fs::read_to_string(world.env.path("../home/gate")).expect("it runs"), "up\n");
    child.kill().expect("it is there");
    child.wait().expect("it ends");
    // The run of the spec notices, and ends its task in order.
    while world.events("run_complete").is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(world.events("run_complete")[0]["exit"], 143, "not by the task's limit");
    assert!(!is_there(&world.env.read("../home/pid")));
    mend(&world);
    // It may hold its tree a moment longer, which is said.
    let output = loop {
        let output = run(&world, &["specs/a", "specs/b"]);
        if output.code != 3 {
            break output;
        }
        assert!(output.stderr.contains("another run holds it"), "{output}");
    };
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.env.read("two.txt").as_str(), world.env.read("b.txt").as_str()), ("one\n", "b\n"));
    assert_eq!(world.tries("1.1"), 1, "what had landed in its tree is not run again");
    assert!(clean(&world) && trees(&world) == 1, "{output}");
}

#[test]
fn a_crash_between_moving_the_branch_and_the_files_is_made_up_for() {
    for args in [&["specs/a", "specs/b"][..], &["tasks.md", "--only", "9.9"]] {
        let world = world(&[("a", &task("1.1", "echo a > a.txt")), ("b", &task("2.1", "echo b > b.txt"))]);
        let old = world.env.git(["rev-parse", "HEAD"]);
        world.env.write("landed.txt", "landed\n");
        world.commit("what a spec did");
        let new = world.env.git(["rev-parse", "HEAD"]);
        // As it is when the power goes: the branch is there, index and files are not.
        world.env.git(["reset", "-q", "--hard", &old]);
        world.env.git(["update-ref", "HEAD", &new]);
        world.env.write(".git/spec/moving", format!("{old} {new}\n"));
        let output = run(&world, args);
        assert!(world.env.path("landed.txt").exists(), "{output}");
        assert!(!world.env.git(["status", "--porcelain"]).contains("landed.txt"), "{output}");
        assert!(!world.env.path(".git/spec/moving").exists());
    }
}

#[test]
fn one_run_at_a_time_works_on_the_branch() {
    let world = hanging();
    let child = world.start_command(command(&world, &["specs/a", "specs/b"]));
    assert_eq!(std::fs::read_to_string(world.env.path("../home/gate")).expect("it runs"), "up\n");
    let output = run(&world, &["specs/b", "specs/c"]);
    assert_eq!(output.code, 3, "{output}");
    assert_eq!(run(&world, &["specs/c"]).code, 3);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("it is told");
    assert_eq!(world.finish(child).code, 143);
}
