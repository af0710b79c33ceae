//! `spec gc`: nothing with work in it goes.

use crate::world::World;

const LIST: &str = "\
- [ ] 1.1 [P] A
  - **Do**: echo a > a.txt
  - **Files**: a.txt
- [ ] 1.2 [P] B
  - **Do**: echo b > b.txt
  - **Files**: b.txt
- [ ] 1.3 [P] Fails
  - **Do**: echo c > c.txt; exit 1
  - **Files**: c.txt
";

fn ran() -> World {
    let world = World::without_git(LIST);
    world.env.write(".progress.md", "# Progress\n");
    world.env.git(["init", "-q"]);
    world.commit("begin");
    let output = world.run(["-j", "3"]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(trees(&world), 4, "{output}");
    world
}

/// The user's tree and the slots, as git knows them.
fn trees(world: &World) -> usize {
    world.env.git(["worktree", "list", "--porcelain"]).lines().filter(|line| line.starts_with("worktree ")).count()
}

#[test]
fn slots_are_removed_with_all_that_is_theirs_and_made_again_when_needed() {
    let world = ran();
    let dry = world.env.spec(["gc", "--dry-run"]);
    assert_eq!((dry.code, trees(&world)), (0, 4), "{dry}");
    assert_eq!(dry.stdout.lines().filter(|line| line.starts_with("would be removed ")).count(), 3, "{dry}");
    // One was removed by hand; another working tree is a person's own.
    std::fs::remove_dir_all(world.env.path(".spec/slots/slot-2")).expect("a slot");
    world.env.git(["worktree", "add", "-q", "--detach", "../mine"]);
    std::fs::remove_dir_all(world.env.path("../mine")).expect("a tree");
    let output = world.env.spec(["gc"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("1 working tree that had been removed by hand"), "{output}");
    assert!(!world.env.path(".spec/slots").exists());
    assert_eq!(trees(&world), 2, "the person's entry is the person's to prune");
    assert_eq!(world.env.git(["status", "--porcelain"]), "");
    assert_eq!(world.env.spec(["gc"]).stdout, "nothing to remove\n");
    world.env.write(
        "tasks.md",
        world.list().replace("exit 1", "true")
            + "- [ ] 2.1 [P] D\n  - **Do**: echo d > d.txt\n- [ ] 2.2 [P] E\n  - **Do**: echo e > e.txt\n",
    );
    let output = world.run(["-j", "2"]);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn work_in_a_slot_stays_until_it_is_saved() {
    let world = ran();
    work_stays(&world);
}

#[test]
fn without_a_journal_commits_in_a_slot_are_work_too() {
    let world = ran();
    std::fs::remove_dir_all(world.env.path(".spec/runs")).expect("the journals");
    work_stays(&world);
}

fn work_stays(world: &World) {
    world.env.write(".spec/slots/slot-1/late.txt", "somebody's work\n");
    // Committed there: the slot looks clean to git.
    let slot = world.env.path(".spec/slots/slot-2");
    world.env.write(".spec/slots/slot-2/own.txt", "own\n");
    let git = |args: &[&str]| {
        let mut command = world.env.command("git");
        assert_eq!(world.env.output(command.arg("-C").arg(&slot).args(args)).code, 0);
    };
    git(&["add", "-A"]);
    git(&["commit", "-qm", "own"]);
    for args in [["gc", "--dry-run"].as_slice(), &["gc"]] {
        let output = world.env.spec(args);
        assert_eq!(output.code, 0, "{output}");
        for slot in ["slot-1", "slot-2"] {
            assert!(output.stdout.lines().any(|line| line.starts_with("left ") && line.contains(slot)), "{output}");
        }
    }
    assert_eq!(trees(world), 3, "only the third went");
    assert_eq!(world.env.read(".spec/slots/slot-1/late.txt"), "somebody's work\n");
    let output = world.env.spec(["gc", "--save", "--format", "json"]).json();
    assert_eq!((trees(world), output["schema"].as_str()), (1, Some("spec.gc/1")), "{output}");
    for (at, file) in [(0, "late.txt"), (1, "own.txt")] {
        let name = output["slots"][at]["saved"].as_str().unwrap_or_else(|| panic!("{output}"));
        assert!(world.env.git(["show", "--name-only", "--format=", name]).contains(file), "{output}");
    }
}

#[test]
fn what_is_no_slot_of_ours_is_left() {
    let world = World::new("- [ ] 1.1 One\n");
    world.env.write(".spec/slots/slot-1/mine.txt", "mine\n");
    world.env.write(".spec/slots/notes.txt", "mine\n");
    let output = world.env.spec(["gc", "--save"]);
    assert!(output.code == 0 && output.stdout.contains("not a working tree of this repository"), "{output}");
    assert!(world.env.path(".spec/slots/slot-1/mine.txt").exists() && world.env.path(".spec/slots/notes.txt").exists());
}

#[test]
fn refs_go_only_when_asked_and_only_old_ones_of_this_spec() {
    let world = ran();
    let refs = || world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec"]);
    let salvage = "refs/spec/salvage/work/1.3/1";
    world.env.git(["update-ref", "refs/spec/salvage/other/1.1/1", salvage]);
    let before = refs();
    let output = world.env.spec(["gc", "--refs"]);
    assert!(output.code == 2 && output.stderr.contains("--older-than"), "{output}");
    assert_eq!((world.env.spec(["gc"]).code, refs()), (0, before.clone()));
    // Commits are of 2024 in these tests, and the run of now.
    let output = world.env.spec(["gc", "--refs", "--older-than", "30d", "--dry-run"]);
    assert_eq!((output.stdout.as_str(), refs()), (format!("would be dropped {salvage}\n").as_str(), before.clone()));
    let output = world.env.spec(["gc", "--refs", "--older-than", "30d"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(refs(), before.replace(&format!("{salvage}\n"), "").replace(&format!("\n{salvage}"), ""));
    let output = world.env.spec(["gc", "--refs", "--older-than", "0"]);
    assert_eq!((output.code, refs().as_str()), (0, "refs/spec/salvage/other/1.1/1"), "{output}");
    let output = world.env.spec(["undo", "last/1"]);
    assert!(output.code == 2 && output.stderr.contains("refs were dropped"), "{output}");
    let output = world.env.spec(["undo", "last"]);
    assert_eq!(output.code, 0, "the journal still has where the run began: {output}");
    assert!(!world.env.path("a.txt").exists());
}

#[test]
fn what_a_killed_run_had_in_its_slots_is_kept_by_the_name_of_its_task() {
    let wait =
        "[ -e \"$HOME/free\" ] || { echo up > \"$HOME/up-$SPEC_TASK_ID\"; read go < \"$HOME/gate-$SPEC_TASK_ID\"; }";
    let world = World::new(&format!(
        "- [ ] 1.1 [P] A\n  - **Do**: echo half > a.txt; {wait}\n- [ ] 1.2 [P] B\n  - **Do**: {wait}; echo b > b.txt\n"
    ));
    let ups = ["up-1.1", "up-1.2"].map(|name| world.fifo(name));
    let gates = ["gate-1.1", "gate-1.2"].map(|name| world.fifo(name));
    let mut run = world.start([""; 0]);
    for up in ups {
        assert_eq!(std::fs::read_to_string(up).expect("it runs"), "up\n");
    }
    run.kill().expect("it is there");
    assert!(!run.wait().expect("it ends").success());
    let output = world.env.spec(["gc", "--save"]);
    let still = output.stdout.lines().filter(|line| line.contains("of the run that was killed still works in it"));
    assert_eq!((output.code, still.count(), trees(&world)), (0, 2, 3), "{output}");
    for gate in gates {
        world.env.write(gate, "go\n");
    }
    // They end as soon as they can.
    while world.env.spec(["gc"]).stdout.contains("still works in it") {}
    let output = world.env.spec(["gc"]);
    for task in ["1.1", "1.2"] {
        assert!(output.stdout.contains(&format!("there is work of task {task} in it")), "{output}");
    }
    let output = world.env.spec(["gc", "--save"]);
    assert_eq!((output.code, trees(&world)), (0, 1), "{output}");
    assert_eq!(world.env.git(["show", "refs/spec/salvage/work/1.1/1:a.txt"]), "half");
    assert!(world.env.spec(["rescue"]).stdout.contains("1.1/1  2024-01-02 03:04:05 UTC, 1 file"));
    world.env.write("../home/free", "");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
}
