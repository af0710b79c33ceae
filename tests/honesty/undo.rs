//! `spec undo`: what a run landed is taken back, and nothing else.

use crate::world::World;

/// 1.1 alone, 1.2 and 1.3 at once, 1.4 alone.
const LIST: &str = "\
# Tasks

- [ ] 1.1 First
  - **Do**: printf '1\\n2\\n3\\n4\\n5\\n6\\n7\\n' > a.txt
- [ ] 1.2 [P] Second
  - **Do**: echo b > b.txt; sed -i s/1/one/ a.txt
  - **Files**: a.txt, b.txt
- [ ] 1.3 [P] Third
  - **Do**: echo c > c.txt
  - **Files**: c.txt
- [ ] 1.4 Fourth
  - **Do**: echo d > d.txt
";

fn ran() -> World {
    let world = World::without_git(LIST);
    world.env.write(".progress.md", "# Progress\n");
    world.env.git(["init", "-q"]);
    world.commit("chore: add the list");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    world
}

fn head(world: &World) -> String {
    world.env.git(["rev-parse", "HEAD"])
}

fn ticked(world: &World) -> [bool; 4] {
    ["1.1", "1.2", "1.3", "1.4"].map(|id| world.ticked(id))
}

#[test]
fn a_whole_run_is_taken_back_with_one_commit_and_the_next_run_does_it_anew() {
    let world = ran();
    let (before, tree) = (head(&world), world.env.git(["rev-parse", "HEAD^{tree}"]));
    let dry = world.env.spec(["undo", "last", "--dry-run"]);
    assert_eq!((dry.code, head(&world)), (0, before.clone()), "{dry}");
    assert!(dry.stdout.contains("tasks to do again: 1.1 1.2 1.3 1.4\n"), "{dry}");
    assert_eq!(ticked(&world), [true; 4]);
    let output = world.env.spec(["undo", "last"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["rev-parse", "HEAD^"]), before, "history is not rewritten");
    assert_eq!(world.env.git(["status", "--porcelain"]), "", "{output}");
    assert_eq!(ticked(&world), [false; 4]);
    assert_eq!(world.env.git(["diff", "--name-only", &format!("{before}~4"), "HEAD"]), ".progress.md");
    assert!(!world.env.path("a.txt").exists());
    let again = world.env.spec(["undo", "last"]);
    assert!(again.code == 2 && again.stderr.contains("all of it is undone"), "{again}");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    for id in ["1.1", "1.2", "1.3", "1.4"] {
        assert!(output.stdout.contains(&format!("TASK_COMPLETE\ntask: {id}\n")), "{output}");
    }
    assert_eq!(world.env.git(["diff", "--name-only", &tree, "HEAD", "--", ":!.progress.md"]), "", "the same work");
    // What the second run landed is not the first one's to take back.
    let runs = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/run"]);
    let first = runs.split('/').nth(3).expect("a run").to_owned();
    let refused = world.env.spec(["undo", &first]);
    assert!(refused.code == 2 && refused.stderr.contains("all of it is undone"), "{refused}");
    assert_eq!(ticked(&world), [true; 4]);
}

#[test]
fn every_step_can_be_undone_and_what_a_person_committed_since_stays() {
    let world = ran();
    let refs = world.env.git(["for-each-ref", "--format=%(refname:lstrip=4)", "refs/spec/run"]);
    assert_eq!(refs, "1\n2\n3", "steps in the shared tree are noted, too");
    world.env.write("a.txt", world.env.read("a.txt").replace('7', "seven"));
    world.env.write("note.txt", "mine\n");
    world.env.write("tasks.md", world.list().replace("# Tasks", "# My tasks"));
    world.commit("docs: mine");
    let output = world.env.spec(["undo", "last/2"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(ticked(&world), [true, false, false, false]);
    assert_eq!(world.env.read("a.txt"), "1\n2\n3\n4\n5\n6\nseven\n");
    let state = world.state_when(|_| true);
    assert_eq!((&state["phase"], &state["taskIndex"]), (&"execution".into(), &1.into()), "{state}");
    assert_eq!(state["parallelGroup"]["taskIndices"], serde_json::json!([1, 2]));
    assert!(world.list().starts_with("# My tasks") && world.env.path("note.txt").exists());
    for gone in ["b.txt", "c.txt", "d.txt"] {
        assert!(!world.env.path(gone).exists(), "{gone}");
    }
    assert_eq!(world.env.git(["status", "--porcelain"]), "");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(!output.stdout.contains("task: 1.1\n"), "what was not undone is done: {output}");
    assert_eq!(world.env.read("a.txt"), "one\n2\n3\n4\n5\n6\nseven\n");
}

#[test]
fn the_last_step_only() {
    let world = ran();
    let output = world.env.spec(["undo", "last/3"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(ticked(&world), [true, true, true, false]);
    assert!(!world.env.path("d.txt").exists() && world.env.path("c.txt").exists());
    let none = world.env.spec(["undo", "last/7"]);
    assert!(none.code == 2 && none.stderr.contains("steps that did: 1, 2, 3"), "{none}");
    let rest = world.env.spec(["undo", "last"]);
    assert!(rest.code == 0 && rest.stdout.contains("tasks to do again: 1.1 1.2 1.3\n"), "{rest}");
    assert_eq!((ticked(&world), world.env.path("a.txt").exists()), ([false; 4], false));
}

#[test]
fn lines_that_were_changed_since_are_named_and_nothing_is_touched() {
    let world = ran();
    world.env.write("a.txt", world.env.read("a.txt").replace("one", "uno"));
    world.commit("feat: another word");
    let (before, everything) = (head(&world), world.everything());
    let output = world.env.spec(["undo", "last"]);
    assert_eq!(output.code, 4, "{output}");
    assert!(output.stderr.contains("\n  a.txt\n") && output.stderr.contains("feat: another word"), "{output}");
    assert_eq!((head(&world), ticked(&world)), (before, [true; 4]));
    let now = world.everything();
    let unlike = |path: &&std::path::PathBuf| now.get(*path) != everything.get(*path);
    let own = |path: &&std::path::PathBuf| {
        !path.components().any(|part| [".git", ".spec"].iter().any(|it| part.as_os_str() == *it))
    };
    assert_eq!(everything.keys().filter(own).find(unlike), None);
}

#[test]
fn uncommitted_changes_in_the_way_are_left_alone() {
    let world = ran();
    world.env.write("b.txt", "b\nmine\n");
    world.env.write("c.txt", "c\n");
    let before = head(&world);
    for args in [["undo", "last", "--dry-run"].as_slice(), &["undo", "last"]] {
        let output = world.env.spec(args);
        assert_eq!(output.code, 4, "{output}");
        assert!(output.stderr.contains("b.txt") && !output.stderr.contains("c.txt"), "{output}");
        assert_eq!((head(&world), ticked(&world)), (before.clone(), [true; 4]));
        assert_eq!(world.env.read("b.txt"), "b\nmine\n");
    }
    let output = world.env.spec(["undo", "last/3"]);
    assert_eq!(output.code, 0, "what it does not touch is in nobody's way: {output}");
    assert_eq!(world.env.git(["status", "--porcelain"]), " M b.txt");
}

#[test]
fn edits_of_the_list_stay_and_parents_are_opened_with_their_tasks() {
    let world = World::new(
        "# Tasks\n\n- [ ] 1 All\n  - [ ] 1.1 One\n    - **Do**: echo a > a.txt\n  - [ ] 1.2 Two\n    - **Do**: echo b > b.txt\n- [x] 2 Before\n",
    );
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1"));
    world.env.write("tasks.md", world.list().replace("# Tasks", "# Staged"));
    world.env.git(["add", "tasks.md"]);
    world.env.write("tasks.md", world.list().replace("One", "One, as I call it"));
    let output = world.env.spec(["undo", "last/2"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(["1", "1.1", "1.2", "2"].map(|id| world.ticked(id)), [false, true, false, true]);
    assert!(world.list().contains("One, as I call it") && world.list().contains("# Staged"));
    let boxes = "- [ ] 1 All\n  - [x] 1.1 One\n";
    assert!(world.env.git(["show", "HEAD:tasks.md"]).contains(boxes), "{output}");
    let staged = world.env.git(["show", ":tasks.md"]);
    assert!(staged.contains("# Staged") && staged.contains(boxes), "{staged}");
}

#[test]
fn commits_that_an_executor_made_itself_are_taken_back_with_its_task() {
    let act = "echo a > a.txt; git add a.txt; git commit -qm 'mine, all mine'";
    let world = World::new(&format!(
        "- [ ] 1.1 One\n  - **Do**: echo z > z.txt\n- [ ] 1.2 Commits\n  - **Do**: {act}; echo b > b.txt\n"
    ));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    let output = world.env.spec(["undo", "last/2"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("mine, all mine"), "{output}");
    assert!(!world.env.path("a.txt").exists() && !world.env.path("b.txt").exists());
    assert!(world.env.path("z.txt").exists() && world.ticked("1.1") && !world.ticked("1.2"));
}

#[test]
fn a_run_on_another_branch_one_without_commits_and_none_at_all_are_said() {
    let world = World::new(LIST);
    let output = world.env.spec(["undo", "last"]);
    assert!(output.code == 2 && output.stderr.contains("no runs of"), "{output}");
    world.env.git(["checkout", "-q", "-b", "work"]);
    world.env.git(["commit", "-q", "--allow-empty", "-m", "on it"]);
    let output = world.run(["--only", "1.1"]);
    assert_eq!(output.code, 0, "{output}");
    for empty in ["", "/1"] {
        let output = world.env.spec(["undo", empty]);
        assert!(output.code == 2 && output.stderr.contains("no run of tasks.md begins with ``"), "{output}");
    }
    world.env.git(["checkout", "-q", "main"]);
    let output = world.env.spec(["undo", "last"]);
    assert!(output.code == 2 && output.stderr.contains("main does not have"), "{output}");
    world.env.git(["checkout", "-q", "work"]);
    assert_eq!(world.run(["--only", "1.1"]).code, 0);
    let output = world.env.spec(["undo", "last"]);
    assert!(output.code == 2 && output.stderr.contains("landed nothing"), "{output}");
}

#[test]
fn while_a_run_goes_on_nothing_is_undone_put_back_or_removed() {
    let world =
        World::new("- [ ] 1.1 Waits\n  - **Do**: echo up > \"$HOME/up\"; read go < \"$HOME/gate\"; echo a > a.txt\n");
    let (up, gate) = (world.fifo("up"), world.fifo("gate"));
    let run = world.start([""; 0]);
    assert_eq!(std::fs::read_to_string(up).expect("it runs"), "up\n");
    for args in [["undo", "last"].as_slice(), &["gc"]] {
        let output = world.env.spec(args);
        assert!(output.code == 3 && output.stderr.contains("another run holds"), "{output}");
    }
    world.env.write("../home/gate", "go\n");
    assert!(gate.exists());
    let output = world.finish(run);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn a_landing_that_was_cut_off_is_finished_before_it_can_be_undone() {
    let world = World::new("- [ ] 1.1 One\n  - **Do**: echo a > a.txt\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    let run = world.events("run_start")[0]["run"].as_str().expect("an id").to_owned();
    // As if it had been killed when the branch had moved.
    let path = format!(".spec/runs/{run}/journal.jsonl");
    let journal = world.env.read(&path);
    let end =
        journal.find("\"commit_made\"").and_then(|at| Some(at + journal[at..].find('\n')? + 1)).expect("a record");
    world.env.write(&path, &journal[..end]);
    let output = world.env.spec(["undo", "last"]);
    assert!(output.code == 2 && output.stderr.contains("task 1.1 was being landed"), "{output}");
    assert!(world.ticked("1.1") && world.env.path("a.txt").exists());
    let output = world.run([""; 0]);
    assert_eq!((output.code, world.tries("1.1")), (0, 1), "{output}");
    let output = world.env.spec(["undo", &run]);
    assert_eq!(output.code, 0, "{output}");
    assert!(!world.ticked("1.1") && !world.env.path("a.txt").exists());
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1") && world.env.path("a.txt").exists(), "{output}");
}
