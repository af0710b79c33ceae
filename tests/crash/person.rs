//! A person who works in the same tree as a run: edits the list, commits, switches the branch, has changes of their own.

use crate::world::{Gate, Kind, LIST, Running, TASKS, World};

/// 1.2 waits at its first try.
const WORK: &str = r#"
echo "start $SPEC_TASK_ID" >> "$BESIDE/log"
if test "$SPEC_TASK_ID" = 1.2 && mkdir "$BESIDE/waited" 2> "$BESIDE/null"; then
    echo waiting >> "$BESIDE/log"
    read line < "$BESIDE/gate"
fi
echo "$SPEC_TASK_ID" >> "$SPEC_TASK_ID.txt"
"#;

fn world(kind: Kind) -> (World, Gate) {
    let world = World::new(kind, TASKS.as_bytes(), &[("README.md", "hello\n")]);
    let gate = world.gate("gate");
    (world, gate)
}

/// A run in which 1.1 has landed and 1.2 waits.
fn under_way(world: &World) -> Running<'_> {
    let mut run = world.start(&["--exec", WORK]);
    run.notes("waiting");
    run
}

fn begun(world: &World, id: &str) -> usize {
    world.log().iter().filter(|line| **line == format!("start {id}")).count()
}

/// Writes the list as an editor does: anew, and then in the place of the old one.
fn save(world: &World, list: &str) {
    world.write("specs/crash/list.new", list);
    std::fs::rename(world.path("specs/crash/list.new"), world.path(LIST)).unwrap();
}

#[test]
fn added_tasks_run_removed_ones_do_not_and_no_other_byte_changes() {
    for (kind, end) in [(Kind::Tracked, "\n"), (Kind::Untracked, "\r\n"), (Kind::Plain, "\n")] {
        let (world, mut gate) = world(kind);
        let run = under_way(&world);
        let edited = "# What to do, by me\n\n\
            - [ ] 1.0 Added in front\n  - **Files**: 1.0.txt\n\
            - [x] 1.1 One\n  - **Files**: 1.1.txt\n\
            - [ ] 1.2 Two, said in other words\n  - **Files**: 1.2.txt\n\
            * [ ] 1.4 Added behind\n  - **Files**: 1.4.txt\n\nThe end"
            .replace('\n', end);
        save(&world, &edited);
        gate.open();
        run.wait().all_done();
        assert_eq!(world.read(LIST), edited.replace("[ ]", "[x]"), "{kind:?}");
        assert_eq!(["1.0", "1.1", "1.2", "1.3", "1.4"].map(|id| begun(&world, id)), [1, 1, 1, 0, 1]);
        if kind != Kind::Plain {
            let mut landed = world.landed();
            landed.sort();
            assert_eq!(landed, ["1.0", "1.1", "1.2", "1.4"]);
        }
    }
}

#[test]
fn a_box_that_is_opened_again_is_to_be_done_again() {
    let (world, mut gate) = world(Kind::Tracked);
    let run = under_way(&world);
    save(&world, TASKS);
    gate.open();
    let ended = run.wait();
    if world.read(LIST).contains("[ ]") {
        assert!(!ended.stdout.contains("ALL_TASKS_COMPLETE"), "{ended}");
        world.run(&["--exec", WORK]).all_done();
    }
    assert_eq!(begun(&world, "1.1"), 2, "{ended}");
    assert_eq!(world.read(LIST), TASKS.replace("[ ]", "[x]"));
}

#[test]
fn a_tick_that_comes_while_a_task_runs_is_taken_back() {
    let (world, mut gate) = world(Kind::Tracked);
    let run = under_way(&world);
    save(&world, &TASKS.replace("[ ] 1.1", "[x] 1.1").replace("[ ] 1.3", "[x] 1.3"));
    gate.open();
    run.wait().all_done().says("taken back");
    assert_eq!(begun(&world, "1.3"), 1);
    assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
}

#[test]
fn a_commit_of_a_person_stays_and_the_run_goes_on_behind_it() {
    let (world, mut gate) = world(Kind::Tracked);
    let run = under_way(&world);
    world.write("README.md", "hello, world\n");
    world.git(["commit", "-q", "README.md", "-m", "docs: by a person"]);
    gate.open();
    run.wait().all_done();
    assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
    assert_eq!(world.git(["log", "--format=%s", "-1", "HEAD~2"]), "docs: by a person");
    assert_eq!(world.git(["show", "HEAD:README.md"]), "hello, world");
    assert_eq!(world.git(["status", "--porcelain"]), "");
}

#[test]
fn another_branch_is_not_committed_to() {
    // The Verify waits: nobody else works in the tree when the person goes to another branch.
    let list = "- [ ] 1.1 One\n  - **Files**: 1.1.txt\n  - **Verify**: `echo waiting >> $BESIDE/log; read line < $BESIDE/gate`\n";
    let world = World::new(Kind::Untracked, list.as_bytes(), &[]);
    let mut gate = world.gate("gate");
    let mut run = world.start(&["--exec", "echo 1 > 1.1.txt"]);
    run.notes("waiting");
    world.git(["checkout", "-q", "-b", "other"]);
    gate.open();
    run.wait().expect(4).says("main").says("other").says("check it out again");
    assert_eq!(world.landed(), [] as [&str; 0]);
    assert_eq!(world.read(LIST), list);
    world.git(["checkout", "-q", "main"]);
    gate.open();
    world.run(&["--exec", "echo 1 > 1.1.txt"]).all_done();
    assert_eq!(world.landed(), ["1.1"]);
}

#[test]
fn a_dirty_tree_is_not_worked_in() {
    let (world, _gate) = world(Kind::Tracked);
    world.write("README.md", "mine\n");
    world.run(&["--exec", WORK]).expect(2).says("README.md").says("--allow-dirty");
    assert_eq!((world.read(LIST), world.log().len()), (TASKS.to_owned(), 0));
    assert_eq!(world.git(["status", "--porcelain"]), " M README.md");
}

#[test]
fn what_a_person_has_not_committed_is_left_alone() {
    let (world, mut gate) = world(Kind::Tracked);
    world.write("README.md", "mine\n");
    world.write("staged.txt", "mine, too\n");
    world.git(["add", "staged.txt"]);
    gate.open();
    world.run(&["--exec", WORK, "--allow-dirty"]).all_done();
    assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
    assert_eq!(world.git(["status", "--porcelain"]), " M README.md\nA  staged.txt");
    assert_eq!(world.read("README.md"), "mine\n");
}

#[test]
fn a_task_that_writes_where_a_person_has_changes_needs_the_person() {
    let (world, mut gate) = world(Kind::Tracked);
    world.write("README.md", "mine\n");
    gate.open();
    let work = format!("{}\ntest $SPEC_TASK_ID != 1.2 || echo task >> README.md", WORK.trim_end());
    world.run(&["--exec", &work, "--allow-dirty"]).expect(4).says("README.md");
    assert_eq!(world.landed(), ["1.1"], "the branch does not move");
    assert_eq!(world.read("README.md"), "mine\ntask\n", "nothing of it is lost");
    assert_eq!(world.git(["show", "HEAD:README.md"]), "hello");
    assert_eq!(world.read(LIST), TASKS.replace("[ ] 1.1", "[x] 1.1"));
    assert_eq!(world.git(["stash", "list"]), "");
}

/// A killed run, and what a person does before the next one.
#[test]
fn what_a_person_does_after_a_kill_is_theirs() {
    let (world, _gate) = world(Kind::Tracked);
    let run = under_way(&world);
    run.kill();
    world.cut_power();
    // Where nothing tells, what is new may be the task's; what git has of before is not touched.
    world.git(["commit", "-q", "--allow-empty", "-m", "docs: by a person"]);
    world.run(&["--exec", WORK]).all_done();
    assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
    assert_eq!(world.git(["log", "--format=%s", "-1", "HEAD~2"]), "docs: by a person");
}
