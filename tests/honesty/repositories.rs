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

/// Whatever a file can be: links, modes, bytes, names, folders that become files and back, renames on both sides.
const ANYTHING: &str = "\
# Tasks

- [ ] 1.1 [P] Links and modes
  - **Do**: ln -s keep.txt link; printf '#!/bin/sh\\n' > run.sh; chmod +x run.sh; chmod +x keep.txt
- [ ] 1.2 [P] Bytes and names
  - **Do**: printf 'a\\0b\\r\\n' > bytes; mkdir 'a b'; echo x > 'a b/\"q\".txt'; echo x > \"$(printf 'no\\tutf8\\377')\"; echo x > Case; echo y > case
- [ ] 1.3 [P] A folder becomes a file
  - **Do**: rm -r folder; echo now a file > folder
- [ ] 1.4 [P] A file becomes a folder
  - **Do**: rm single; mkdir single; echo inside > single/inside
- [ ] 1.5 [P] Renames
  - **Do**: mkdir moved; git mv lines moved/lines
- [ ] 1.6 [P] Edits what another renames
  - **Do**: sed -i 's/^line 40$/line forty/' lines
";

fn anything(world: &World) {
    let output = world.run(["-j", "3"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), "", "{output}");
    let kinds = world.env.git(["ls-tree", "HEAD", "link", "run.sh", "keep.txt", "folder", "single"]);
    let modes: Vec<&str> = kinds.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(modes, ["100644", "100755", "120000", "100755", "040000"], "{kinds}");
    assert_eq!(world.env.read("bytes"), "a\0b\r\n");
    assert_eq!((world.env.read("Case"), world.env.read("case")), ("x\n".into(), "y\n".into()));
    assert_eq!(world.env.read("a b/\"q\".txt"), "x\n");
    assert_eq!(world.env.read("single/inside"), "inside\n");
    assert!(world.env.read("moved/lines").contains("line forty\n"), "the edit follows the rename");
    assert!(!world.env.path("lines").exists());
    let listed = world.env.git(["ls-files"]);
    assert!(listed.contains("no\\tutf8\\377"), "{listed}");
    // What is on disk is what was committed, links and modes too.
    assert_eq!(world.env.git(["diff", "HEAD", "--stat"]), "");
    assert_eq!(std::fs::read_link(world.env.path("link")).expect("a link"), std::path::Path::new("keep.txt"));
}

fn with_anything() -> World {
    let world = World::without_git(ANYTHING);
    world.env.write(".progress.md", "# Progress\n");
    world.env.write("keep.txt", "kept\n");
    world.env.write("folder/one", "1\n");
    world.env.write("folder/two", "2\n");
    world.env.write("single", "s\n");
    world.env.write("lines", (0..80).fold(String::new(), |text, at| text + &format!("line {at}\n")));
    world
}

#[test]
fn whatever_a_file_can_be_lands_from_a_tree_of_its_own() {
    let world = with_anything();
    world.env.git(["init", "-q"]);
    world.commit("begin");
    anything(&world);
}

#[test]
fn a_linked_tree_of_a_bare_repository_is_worked_in() {
    let world = with_anything();
    let bare = world.env.path("../home/bare.git");
    let bare = bare.to_str().expect("a path");
    world.env.git(["init", "-q"]);
    world.commit("begin");
    world.env.git(["clone", "-q", "--bare", ".", bare]);
    // The folder of the list becomes a linked tree of it.
    std::fs::remove_dir_all(world.env.path(".git")).expect("no repository any more");
    world.env.git(["-C", bare, "worktree", "add", "-q", "-f", "--no-checkout", "-B", "work", "../linked", "HEAD"]);
    let link = std::fs::read_to_string(world.env.path("../home/linked/.git")).expect("a link");
    world.env.write(".git", link);
    world.env.git(["-C", bare, "worktree", "repair", world.env.path(".").to_str().expect("a path")]);
    world.env.git(["reset", "-q"]);
    anything(&world);
    assert_eq!(world.env.git(["rev-parse", "--abbrev-ref", "HEAD"]), "work");
}
