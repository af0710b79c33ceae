//! The scenario that the program is for: twelve tasks in three groups, done in whatever order, and a history as if one
//! had been done after the other.

use std::io::Write as _;

use crate::world::World;

const GROUPS: usize = 3;
const MEMBERS: usize = 4;

fn ids() -> Vec<String> {
    (1..=GROUPS).flat_map(|group| (1..=MEMBERS).map(move |member| format!("{group}.{member}"))).collect()
}

/// Each task waits until it is let go, so that the test says in which order they end.
fn list() -> String {
    let mut list = "\u{feff}# Tasks\r\n".to_owned();
    for id in ids() {
        if id.ends_with(".1") {
            list.push_str(&["\r\n## Phase ", &id[..1], "\r\n\r\n"].concat());
        }
        let act = format!(
            "read go < \"$HOME/{id}\"; mkdir -p out; echo {id} > out/{id}.txt; echo \"- learned {id}\" > \"$SPEC_PROGRESS_FILE\""
        );
        let task = format!(
            "- [ ] {id} [P] Task {id}\r\n  - **Do**: {act}\r\n  - **Files**: out/{id}.txt\r\n  - **Verify**: `grep -qx {id} out/{id}.txt`\r\n"
        );
        list.push_str(&task);
    }
    list + "\r\nNo line end, 1x1 and [ ] in prose"
}

/// Runs the list, letting the tasks end in this order.
fn run(order: &[String], args: &[&str]) -> World {
    let world = World::without_git(&list());
    world.env.write(
        "../home/act",
        "prompt=$(cat)\neval \"$(printf '%s\\n' \"$prompt\" | tr -d '\\r' | sed -n 's/^ *- \\*\\*Do\\*\\*: //p')\"\n",
    );
    world.env.write(".progress.md", "# Progress\n\n## Completed Tasks\n\n## Learnings\n\n");
    world.env.git(["init", "-q"]);
    world.commit("chore: add the list");
    for id in ids() {
        world.fifo(&id);
    }
    let child = world.start(args);
    for id in order {
        let gate = world.env.path("../home").join(id);
        writeln!(std::fs::File::options().write(true).open(gate).expect("it runs"), "go").expect("it hears");
        // The next one is let go when this one is over.
        let over = |event: &serde_json::Value| event["type"] == "task_ended" && event["task"] == id.as_str();
        while !world.journal().iter().any(over) {}
    }
    let output = world.finish(child);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.ends_with("ALL_TASKS_COMPLETE\n\n"), "{output}");
    world
}

fn check(world: &World) {
    let mut expected = vec!["chore: add the list".to_owned()];
    expected.extend(ids());
    assert_eq!(world.history(), expected, "one commit a task, in the order of the list");
    for id in ids() {
        let paths = world.paths_of(&id);
        assert_eq!(paths, [".progress.md".to_owned(), format!("out/{id}.txt"), "tasks.md".to_owned()], "its own only");
        let commit = world.commit_of(&id);
        let numstat = world.env.git(["show", "--numstat", "--format=", &commit, "--", "tasks.md"]);
        assert_eq!(numstat, "1\t1\ttasks.md", "one line, its box");
    }
    assert_eq!(world.list(), list().replace("- [ ]", "- [x]"), "ticks are the only bytes that changed");
    assert_eq!(world.env.git(["status", "--short"]), "", "nothing is left");
    let progress = world.env.read(".progress.md");
    let learned: Vec<&str> = progress.lines().filter(|line| line.contains("learned")).collect();
    assert_eq!(learned.len(), 12, "{progress}");
    for (line, id) in learned.iter().zip(ids()) {
        assert!(line.contains(&format!("learned {id}")), "in the order of the list: {progress}");
    }
    let left: Vec<_> =
        world.everything().into_keys().filter(|path| path.to_string_lossy().contains(".progress-task")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The tree of HEAD without the progress file, and that without the lines that have the time in them.
fn result(world: &World) -> (String, String) {
    let tree = world.env.git(["ls-tree", "-r", "HEAD"]);
    let tree = tree.lines().filter(|line| !line.ends_with(".progress.md")).collect::<Vec<_>>().join("\n");
    let progress = world.env.git(["show", "HEAD:.progress.md"]);
    let timeless = |line: &&str| !line.to_lowercase().contains("updated");
    (tree, progress.lines().filter(timeless).collect::<Vec<_>>().join("\n"))
}

#[test]
fn twelve_tasks_in_three_groups_give_the_same_history_in_whatever_order_they_end() {
    let backwards: Vec<String> = ids().chunks(MEMBERS).flat_map(|group| group.iter().rev().cloned()).collect();
    let mixed: Vec<String> = ids().chunks(MEMBERS).flat_map(|group| [2, 0, 3, 1].map(|at| group[at].clone())).collect();
    let one = run(&backwards, &["-j", "4"]);
    check(&one);
    let other = run(&mixed, &["-j", "4"]);
    check(&other);
    let sequential = run(&ids(), &["--mode", "sequential"]);
    check(&sequential);
    assert_eq!(result(&one), result(&other));
    assert_eq!(result(&one), result(&sequential), "the same as one after the other");
}
