//! Executors that do to git what they were told not to do; repositories in a state that is not the usual one.

use crate::world::{World, signal_of};

#[test]
fn a_task_alone_keeps_its_commits_and_the_tick_follows_in_one_of_ours() {
    let act = "echo a > a.txt; git add a.txt; git commit -qm 'mine, all mine'; echo b > b.txt";
    let world = World::new(&format!("- [ ] 1.1 Commits\n  - **Do**: {act}\n"));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "mine, all mine", "1.1"]);
    assert_eq!(world.paths_of("1.1"), ["b.txt", "tasks.md"]);
    assert_eq!(world.env.git(["show", "HEAD:tasks.md"]).lines().next(), Some("- [x] 1.1 Commits"));
}

#[test]
fn its_own_commit_is_a_change() {
    let act = "echo a > a.txt; git add a.txt; git commit -qm mine";
    let world = World::new(&format!("- [ ] 1.1 Commits\n  - **Do**: {act}\n"));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.paths_of("1.1"), ["tasks.md"], "only the tick is left for ours");
}

#[test]
fn commits_beside_siblings_fail_all_who_may_have_made_them_and_nothing_is_undone() {
    let world = World::new(
        "- [ ] 1.1 [P] Commits\n  - **Do**: echo a > a.txt; git add a.txt; git commit -qm whose; echo go > \"$HOME/gate\"\n  - **Files**: a.txt\n\
         - [ ] 1.2 [P] Beside it\n  - **Do**: read go < \"$HOME/gate\"; echo b > b.txt\n  - **Files**: b.txt\n",
    );
    world.fifo("gate");
    let output = world.run(["--isolation", "none"]);
    assert_eq!(output.code, 1, "{output}");
    for id in ["1.1", "1.2"] {
        let failed = signal_of(&output.stdout, "TASK_FAILED", id).unwrap_or_else(|| panic!("{output}"));
        assert_eq!(failed["code"], "moved_head");
        assert!(!world.ticked(id));
        assert!(world.env.spec(["log", id]).stdout.contains("moved_head"));
    }
    assert_eq!(world.history(), ["chore: add the list", "whose"]);
    assert_eq!(world.env.read("a.txt"), "a\n");
}

#[test]
fn who_resets_checks_out_stashes_or_rewrites_fails_and_nothing_is_undone() {
    for (act, head) in [
        ("git reset -q --hard HEAD~1; echo a > a.txt", "refs/heads/main"),
        ("git commit -q --amend -m rewritten; echo a > a.txt", "refs/heads/main"),
        ("git checkout -q -b other; echo a > a.txt", "refs/heads/other"),
        ("git checkout -q --detach; echo a > a.txt", ""),
        ("echo changed > keep.txt; git stash -q; echo a > a.txt", "refs/heads/main"),
    ] {
        let world = World::new(&format!(
            "- [ ] 1.1 Moves HEAD\n  - **Do**: {act}; git rev-parse HEAD > \"$HOME/left\"\n- [ ] 1.2 After\n  - **Do**: echo b > b.txt\n"
        ));
        world.env.write("keep.txt", "kept\n");
        world.commit("chore: keep");
        let output = world.run([""; 0]);
        assert_eq!(output.code, 1, "{act}: {output}");
        let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("{act}: {output}"));
        assert_eq!(failed["code"], "moved_head", "{act}: {output}");
        assert!(!world.ticked("1.1") && world.tries("1.2") == 0, "{act}");
        assert_eq!(world.env.git(["rev-parse", "HEAD"]), world.env.read("../home/left").trim(), "{act}");
        let symbolic = world.env.output(world.env.command("git").args(["symbolic-ref", "-q", "HEAD"]));
        assert_eq!(symbolic.stdout.trim(), head, "{act}");
        if act.contains("stash") {
            assert_eq!(world.env.git(["stash", "list"]).lines().count(), 1);
        }
    }
}

#[test]
fn what_a_hook_that_calls_us_has_set_points_nobody_elsewhere() {
    let world =
        World::new("- [ ] 1.1 A\n  - **Do**: [ -z \"$GIT_DIR$GIT_INDEX_FILE$GIT_WORK_TREE\" ] && echo a > a.txt\n");
    let mut run = world.run_command([""; 0]);
    run.envs([("GIT_DIR", "/nowhere/.git"), ("GIT_INDEX_FILE", "/nowhere/index"), ("GIT_WORK_TREE", "/nowhere")]);
    let output = world.env.output(&mut run);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.paths_of("1.1"), ["a.txt", "tasks.md"]);
}

#[test]
fn a_repository_in_the_middle_of_something_is_not_worked_in() {
    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n");
    world.env.write("f", "one\n");
    world.commit("chore: one");
    world.env.git(["checkout", "-q", "-b", "side"]);
    world.env.write("f", "side\n");
    world.commit("chore: side");
    world.env.git(["checkout", "-q", "main"]);
    world.env.write("f", "main\n");
    world.commit("chore: main");
    let merge = world.env.output(world.env.command("git").args(["merge", "side"]));
    assert_eq!(merge.code, 1);
    let before = world.everything();
    let output = world.run(["--allow-dirty"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("merge") && output.stderr.contains("git merge --abort"), "{output}");
    assert_eq!(world.everything(), before);
}

#[test]
fn a_repository_without_a_commit_and_a_detached_head_are_worked_in() {
    let world = World::without_git("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n");
    world.env.git(["init", "-q"]);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["1.1"]);

    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n");
    world.env.git(["checkout", "-q", "--detach"]);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "1.1"]);
    assert_eq!(world.env.git(["rev-list", "--count", "main"]), "1", "the branch is not touched");
}

#[test]
fn a_progress_file_that_git_ignores_is_kept_on_disk_and_that_is_said_once() {
    let world = World::without_git(
        "- [ ] 1.1 A\n  - **Do**: echo a > a.txt; echo '- learned one' > \"$SPEC_PROGRESS_FILE\"\n\
         - [ ] 1.2 B\n  - **Do**: echo b > b.txt; echo '- learned two' > \"$SPEC_PROGRESS_FILE\"\n",
    );
    world.env.write(".gitignore", ".progress.md\n");
    world.env.git(["init", "-q"]);
    world.commit("chore: add the list");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.stderr.matches(".progress.md").count(), 1, "{output}");
    let progress = world.env.read(".progress.md");
    assert!(progress.contains("learned one") && progress.contains("learned two"), "{progress}");
    assert_eq!(world.paths_of("1.2"), ["b.txt", "tasks.md"]);
    assert_eq!(world.env.git(["status", "--short"]), "");
}

#[test]
fn a_branch_that_somebody_switched_meanwhile_gets_no_commit() {
    // The task's Verify stands for a person at another terminal.
    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n  - **Verify**: `git checkout -q -b other`\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 4, "{output}");
    assert!(output.stderr.contains("main") && output.stderr.contains("other"), "{output}");
    assert_eq!(world.history(), ["chore: add the list"]);
    assert!(!world.ticked("1.1"));
    world.env.git(["checkout", "-q", "main"]);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.tries("1.1"), world.history()), (1, vec!["chore: add the list".to_owned(), "1.1".to_owned()]));
}
