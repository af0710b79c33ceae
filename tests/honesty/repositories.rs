//! Repositories of a less common kind: other object names, and filters between the tree and the objects.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::World;

const LIST: &str = "\
# Tasks

- [ ] 1.1 [P] A
  - **Do**: echo a > a.bin
  - **Files**: a.bin
- [ ] 1.2 [P] B
  - **Do**: echo b >> b.bin; echo new > b.txt
  - **Files**: b.bin, b.txt
- [ ] 1.3 Fails
  - **Do**: echo c > b.bin; exit 1
";

/// 1.1 and 1.2 land, what 1.3 did is kept and taken out again; then 1.3 is done by hand and the next run ends.
fn runs_to_its_end(world: &World) {
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), "", "{output}");
    assert_eq!(world.paths_of("1.1"), [".progress.md", "a.bin", "tasks.md"]);
    assert_eq!(world.paths_of("1.2"), [".progress.md", "b.bin", "b.txt", "tasks.md"]);
    let salvaged = world.events("task_failed")[0]["salvage"].as_str().expect("it is kept").to_owned();
    assert_eq!(world.env.git(["diff", "--name-only", "HEAD", &salvaged]), "b.bin");
    assert_eq!((world.env.read("a.bin").as_str(), world.env.read("b.bin").as_str()), ("a\n", "was\nb\n"));
    world.env.write("tasks.md", world.list().replace("echo c > b.bin; exit 1", "echo c > b.bin"));
    world.commit("mend the list");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("b.bin"), "c\n");
    assert_eq!(world.env.git(["status", "--porcelain"]), "");
    assert_eq!(world.paths_of("1.3"), [".progress.md", "b.bin", "tasks.md"]);
}

#[test]
fn a_repository_with_sha_256_names_is_worked_in_like_any_other() {
    let world = World::without_git(LIST);
    let made = world.env.output(world.env.command("git").args(["init", "-q", "--object-format=sha256"]));
    if made.code != 0 {
        println!("skipped: this git has no sha256: {made}");
        return;
    }
    world.env.write(".progress.md", "# Progress\n");
    world.env.write("b.bin", "was\n");
    world.commit("begin");
    runs_to_its_end(&world);
    assert_eq!(world.commit_of("1.3").len(), 64);
    assert_eq!(world.env.git(["fsck", "--no-dangling"]), "");
}

/// As Git LFS does it, but that the content is turned around and not replaced by a pointer.
#[test]
fn what_lands_is_what_a_filter_makes_of_it_and_the_tree_keeps_what_it_had() {
    for hooks in [false, true] {
        let world = World::without_git(LIST);
        world.env.git(["init", "-q"]);
        world.env.git(["config", "filter.turn.clean", "rev"]);
        world.env.git(["config", "filter.turn.smudge", "rev"]);
        world.env.git(["config", "filter.turn.required", "true"]);
        if hooks {
            world.env.write(".git/hooks/pre-commit", "#!/bin/sh\ngrep -q . tasks.md\n");
            let hook = world.env.path(".git/hooks/pre-commit");
            std::fs::set_permissions(hook, std::fs::Permissions::from_mode(0o755)).expect("a hook");
        }
        world.env.write(".gitattributes", "*.bin filter=turn -text\n");
        world.env.write(".progress.md", "# Progress\n");
        world.env.write("b.bin", "was\n");
        world.commit("begin");
        runs_to_its_end(&world);
        let landed = |id: &str, path: &str| world.env.git(["show", &format!("{}:{path}", world.commit_of(id))]);
        assert_eq!(landed("1.2", "b.bin"), "saw\nb");
        assert_eq!(landed("1.2", "b.txt"), "new");
    }
}
