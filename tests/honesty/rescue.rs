//! `spec rescue`: what a failed task had done is not lost.

use crate::world::World;

/// 1.2 and 1.3 fail in trees of their own; run with `--isolation none` all share one.
const LIST: &str = "\
- [ ] 1.1 [P] Passes
  - **Do**: echo a > a.txt
  - **Files**: a.txt
- [ ] 1.2 [P] Fails
  - **Do**: echo half >> kept.txt; echo new > deep.txt; exit 1
  - **Files**: kept.txt, deep.txt
- [ ] 1.3 [P] Fails, too
  - **Do**: echo c > c.txt
  - **Files**: c.txt
  - **Verify**: `grep d c.txt`
";

fn failed(args: &[&str]) -> World {
    let world = World::without_git(LIST);
    world.env.write("kept.txt", "one\ntwo\nthree\nfour\nfive\n");
    world.env.write(".progress.md", "# Progress\n");
    world.env.git(["init", "-q"]);
    world.commit("begin");
    let output = world.run(args);
    assert_eq!(output.code, 1, "{output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), "", "{output}");
    world
}

#[test]
fn what_failed_tasks_had_done_is_listed_shown_and_put_back() {
    for args in [["--isolation", "none"].as_slice(), &[]] {
        let world = failed(args);
        let output = world.env.spec(["rescue", "--format", "json"]);
        let list = output.json();
        assert_eq!(list["schema"], "spec.rescue/1");
        let kept = list["kept"].as_array().expect("a list");
        let brief = |it: &serde_json::Value| {
            let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {}", text("ref"), text("attempt"), it["files"], text("code"))
        };
        let spec = "refs/spec/salvage/work";
        let wanted = [format!("{spec}/1.2/1 1 2 crash"), format!("{spec}/1.3/1 1 1 verify_failed")];
        assert_eq!(kept.iter().map(brief).collect::<Vec<_>>(), wanted, "{output}");
        let run = world.events("run_start")[0]["run"].clone();
        assert_eq!(kept[0]["run"], run);
        let people = world.env.spec(["rescue"]);
        assert!(people.stdout.contains("1.3/1  2024-01-02 03:04:05 UTC, 1 file, run "), "{people}");
        let diff = world.env.spec(["rescue", "show", "1.2/1"]);
        assert!(diff.stdout.contains("\n+half\n") && diff.stdout.contains("\n+new\n"), "{diff}");
        assert!(!diff.stdout.contains("tasks.md"), "{diff}");
        // Something else was committed meanwhile.
        world.env.write("kept.txt", world.env.read("kept.txt").replace("one", "first"));
        world.commit("feat: mine");
        let output = world.env.spec(["rescue", "restore", "1.2"]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(world.env.git(["status", "--porcelain"]), " M kept.txt\n?? deep.txt", "uncommitted: {output}");
        assert_eq!(world.env.read("kept.txt"), "first\ntwo\nthree\nfour\nfive\nhalf\n");
        assert!(!world.ticked("1.2"));
    }
}

#[test]
fn nothing_is_written_over_and_what_does_not_fit_is_named() {
    let world = failed(&[]);
    world.env.write("deep.txt", "mine, not committed\n");
    let output = world.env.spec(["rescue", "restore", "1.2/1"]);
    assert!(output.code == 4 && output.stderr.contains("deep.txt"), "{output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), "?? deep.txt");
    assert_eq!(world.env.read("deep.txt"), "mine, not committed\n");
    world.env.write("kept.txt", "one\ntwo\nthree\nfour\nfive\nanother end\n");
    world.commit("feat: mine");
    let output = world.env.spec(["rescue", "restore", "1.2/1"]);
    assert!(output.code == 4 && output.stderr.contains("\n  kept.txt\n"), "{output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), "");
    let output = world.env.spec(["rescue", "restore", "1.2/1", "--branch", "rescued"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["show", "rescued:kept.txt"]), "one\ntwo\nthree\nfour\nfive\nhalf");
    assert_eq!(world.env.git(["status", "--porcelain", "--branch"]), "## main");
    let again = world.env.spec(["rescue", "restore", "1.2/1", "--branch", "rescued"]);
    assert!(again.code == 2 && again.stderr.contains("already exists"), "{again}");
}

#[test]
fn what_is_not_kept_is_said() {
    let world = failed(&[]);
    let output = world.env.spec(["rescue", "show", "1.1"]);
    assert!(output.code == 2 && output.stderr.contains("nothing is kept of task 1.1"), "{output}");
    let output = world.env.spec(["rescue", "restore", "1.2/7"]);
    assert_eq!(output.code, 2, "{output}");
    let empty = World::new("- [ ] 1.1 One\n");
    let output = empty.env.spec(["rescue"]);
    assert_eq!((output.code, output.stdout.as_str()), (0, "nothing is kept of tasks.md\n"));
    assert!(!empty.env.path(".spec").exists(), "looking leaves nothing");
}
