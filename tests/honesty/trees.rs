//! Working trees per task, and how what was made in them lands: who sees what, what a person may do meanwhile, conflicts,
//! retries, hooks, and that no work is lost. See `docs/design/005-trees-and-landing.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, signal_of};

/// A list of parallel tasks: what each does, and its other fields.
fn parallel<const N: usize>(tasks: [(&str, &str); N]) -> String {
    group(1, tasks)
}

/// The same, of tasks that are numbered `number.1` and so on.
fn group<const N: usize>(number: u32, tasks: [(&str, &str); N]) -> String {
    let task = |(at, (act, fields)): (usize, &(&str, &str))| {
        let fields = fields.lines().map(|field| field.replacen(": ", "**: ", 1));
        let lines = [format!("**Do**: {act}")].into_iter().chain(fields.map(|field| format!("**{field}")));
        let lines: Vec<String> = lines.map(|line| format!("  - {line}\n")).collect();
        format!("- [ ] {number}.{} [P] Task\n{}", at + 1, lines.concat())
    };
    let tasks: Vec<String> = tasks.iter().enumerate().map(task).collect();
    format!("## Group {number}\n\n{}", tasks.concat())
}

/// Writes down what the executor is told, and what it finds in its tree.
const TELL: &str = "env > $HOME/env.$SPEC_TASK_ID; pwd -P >> $HOME/env.$SPEC_TASK_ID";

/// What an executor was told.
fn told(world: &World, id: &str) -> BTreeMap<String, String> {
    let text = world.env.read(format!("../home/env.{id}"));
    text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
}

/// A repository with this list, and with a progress file in git.
fn repository(list: &str) -> World {
    let world = World::without_git(list);
    world.env.write(".progress.md", "# Progress\n");
    world.env.git(["init", "-q"]);
    world.commit("chore: add the list");
    world
}

/// Waits until an executor has come to `: > "$HOME/NAME"`, which is a pipe.
fn wait_for(world: &World, name: &str) {
    let path = world.env.path("../home").join(name);
    File::open(path).expect("the pipe").read_to_end(&mut Vec::new()).expect("its end");
}

/// Lets an executor go on that stands at `read go < "$HOME/NAME"`.
fn let_go(world: &World, name: &str) {
    world.env.write(format!("../home/{name}"), "go\n");
}

fn twenty_lines() -> String {
    let lines: Vec<String> = (1..=20).map(|line| line.to_string()).collect();
    lines.join("\n") + "\n"
}

/// An executor that says that it is there, and waits until it is let go.
const STAND: &str = ": > \"$HOME/there\"; read go < \"$HOME/gate\"";

/// A world whose executors may [`STAND`].
fn standing(list: &str) -> World {
    let world = repository(list);
    world.fifo("there");
    world.fifo("gate");
    world
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it is told");
}

/// The refs under `refs/spec/salvage`, without that.
fn salvaged(world: &World) -> Vec<String> {
    let refs = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
    refs.lines().map(|name| name.trim_start_matches("refs/spec/salvage/").to_owned()).collect()
}

fn clean(world: &World) {
    assert_eq!(world.env.git(["status", "--porcelain"]), "");
}

// ---- who sees what ------------------------------------------------------------------------------------------------

#[test]
fn members_of_a_group_have_trees_of_their_own_and_verify_beside_each_other() {
    // All three are there at the same time: 1.1 waits for the two others, and they for it. 1.2 stays until the Verify
    // of 1.1 has run.
    let write = "echo mine > own.$SPEC_TASK_ID; echo mine > \"$TMPDIR/own.$SPEC_TASK_ID\"";
    let look = "ls > \"$HOME/seen.$SPEC_TASK_ID\"; ls \"$TMPDIR\" > \"$HOME/scratch.$SPEC_TASK_ID\"";
    let list = parallel([
        (
            &format!(
                "{TELL}; {write}; read x < \"$HOME/b\"; read x < \"$HOME/c\"; echo x > \"$HOME/rb\"; echo x > \"$HOME/rc\"; {look}"
            ),
            "Files: own.1.1\nVerify: `test -e own.1.1 && test ! -e own.1.2 && echo verified > $HOME/verified`",
        ),
        (
            &format!(
                "{TELL}; {write}; echo x > \"$HOME/b\"; read x < \"$HOME/rb\"; {look}; read x < \"$HOME/verified\"; test \"$x\" = verified"
            ),
            "Files: own.1.2",
        ),
        (&format!("{TELL}; {write}; echo x > \"$HOME/c\"; read x < \"$HOME/rc\"; {look}"), "Files: own.1.3"),
    ]) + &format!("- [ ] 1.4 After\n  - **Do**: {TELL}; {look}; echo mine > own.1.4\n");
    let world = repository(&list);
    for name in ["b", "c", "rb", "rc", "verified"] {
        world.fifo(name);
    }
    let base = world.env.git(["rev-parse", "HEAD"]);
    let output = world.run(["-j", "3", "--timeout", "60s"]);
    assert_eq!(output.code, 0, "{output}");
    let home = world.env.path("../home").canonicalize().expect("it is there");
    let work = world.env.work();
    for (id, index) in [("1.1", 0), ("1.2", 1), ("1.3", 2)] {
        let seen = world.env.read(format!("../home/seen.{id}"));
        assert_eq!(seen, format!("own.{id}\nspec.toml\ntasks.md\n"));
        assert_eq!(world.env.read(format!("../home/scratch.{id}")), format!("own.{id}\n"));
        let told = told(&world, id);
        let tree = &told["SPEC_WORKTREE"];
        assert!(tree.starts_with(work.join(".spec/slots/slot-").to_str().expect("UTF-8")), "{tree}");
        assert!(tree.ends_with(&told["SPEC_SLOT"]), "{told:?}");
        assert_eq!(world.env.read(format!("../home/env.{id}")).lines().last(), Some(tree.as_str()));
        assert_eq!(told["SPEC_FILE"], format!("{tree}/tasks.md"));
        assert_eq!(&told["SPEC_DIR"], tree);
        assert_eq!(told["SPEC_PROGRESS_FILE"], format!("{tree}/.progress-task-{index}.md"));
        assert_eq!(told["SPEC_BASE_SHA"], base);
        assert_ne!(told["TMPDIR"], std::env::temp_dir().to_string_lossy());
        assert!(!home.starts_with(&told["TMPDIR"]));
    }
    for name in ["SPEC_WORKTREE", "SPEC_SLOT", "SPEC_PORT_BASE", "TMPDIR", "SPEC_PROGRESS_FILE"] {
        let each: BTreeSet<String> = ["1.1", "1.2", "1.3"].iter().map(|id| told(&world, id)[name].clone()).collect();
        assert_eq!(each.len(), 3, "{name}: {each:?}");
    }
    let mut ports: Vec<u32> =
        ["1.1", "1.2", "1.3"].iter().map(|id| told(&world, id)["SPEC_PORT_BASE"].parse().expect("a port")).collect();
    ports.sort_unstable();
    assert!(ports.windows(2).all(|two| two[1] - two[0] >= 20) && ports[2] < 65_000, "{ports:?}");
    // A step of its own is done in the user's tree, on what landed.
    let after = told(&world, "1.4");
    assert_eq!(after["SPEC_WORKTREE"], work.to_str().expect("UTF-8"));
    assert!(!after.contains_key("SPEC_SLOT") && !after.contains_key("SPEC_PORT_BASE"), "{after:?}");
    assert_eq!(world.env.read("../home/seen.1.4"), "own.1.1\nown.1.2\nown.1.3\nspec.toml\ntasks.md\n");
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4"]);
    clean(&world);
}

#[test]
fn isolation_says_who_works_where() {
    let list = parallel([
        (&format!("{TELL}; echo a > a.txt"), "Files: a.txt"),
        (&format!("{TELL}; echo b > b.txt"), "Files: b.txt"),
    ]) + &format!("- [ ] 1.3 After\n  - **Do**: {TELL}; echo c > c.txt\n");
    for (isolation, in_slots) in [("none", [false, false, false]), ("worktree", [true, true, true])] {
        let world = repository(&list);
        let output = world.run(["--isolation", isolation]);
        assert_eq!(output.code, 0, "{output}");
        let root = world.env.work().to_str().expect("UTF-8").to_owned();
        let in_slot = |id: &str| told(&world, id)["SPEC_WORKTREE"] != root;
        assert_eq!(["1.1", "1.2", "1.3"].map(in_slot), in_slots, "{isolation}");
        assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3"]);
        clean(&world);
    }
}

#[test]
fn trees_that_cannot_be_had_are_said_before_anything_is_changed() {
    let list = "- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n";
    let without_git = World::without_git(list);
    let no_commit = repository(list);
    let no_first = World::without_git(list);
    no_first.env.git(["init", "-q"]);
    for (world, args, lacking) in [
        (without_git, &["--isolation", "worktree"][..], "a git repository"),
        (no_commit, &["--isolation", "worktree", "--no-commit"], "commits; leave out --no-commit"),
        (no_first, &["--isolation", "worktree"], "a first commit"),
    ] {
        let before = world.everything();
        let output = world.run(args);
        assert_eq!(output.code, 2, "{output}");
        assert!(output.stderr.contains(&format!("--isolation worktree needs {lacking}")), "{output}");
        assert_eq!(world.everything(), before, "{lacking}");
    }
}

#[test]
fn graph_mode_starts_each_from_the_tip_of_that_moment() {
    let list = format!(
        "- [ ] 1.1 A\n  - **Do**: {TELL}; echo a > a.txt\n- [ ] 1.2 B\n  - **Do**: {TELL}; cat a.txt > b.txt\n  - **Depends**: 1.1\n\
         - [ ] 1.3 C\n  - **Do**: {TELL}; read x < \"$HOME/late\"; echo c > c.txt\n- [ ] 1.4 D\n  - **Do**: {TELL}; echo x > \"$HOME/late\"; cat b.txt > d.txt\n  - **Depends**: 1.2\n"
    );
    let world = repository(&list);
    world.fifo("late");
    let base = world.env.git(["rev-parse", "HEAD"]);
    let output = world.run(["--mode", "graph", "-j", "2", "--timeout", "60s"]);
    assert_eq!(output.code, 0, "{output}");
    let started = |id: &str| told(&world, id)["SPEC_BASE_SHA"].clone();
    assert_eq!((started("1.1"), started("1.3")), (base.clone(), base));
    assert_eq!((started("1.2"), started("1.4")), (world.commit_of("1.1"), world.commit_of("1.2")));
    let trees: BTreeSet<String> = ["1.1", "1.3"].iter().map(|id| told(&world, id)["SPEC_WORKTREE"].clone()).collect();
    assert_eq!(trees.len(), 2);
    assert_eq!(world.history()[1..3], ["1.1", "1.2"]);
    assert_eq!(world.env.read("d.txt"), "a\n");
    clean(&world);
}

// ---- what executors do in there -----------------------------------------------------------------------------------

#[test]
fn what_executors_do_to_git_in_their_trees_ends_up_in_one_commit_each() {
    let world = repository(&parallel([
        ("echo a > a1; git add a1; git commit -qm mine; echo a > a2; git add a2; git commit -qm more; echo a > a3", ""),
        ("git checkout -qb theirs; echo b > b1; git add b1; git commit -qm branch; echo b > b2", ""),
        ("echo c > c1; git stash -qu; echo c > c2", ""),
        ("echo d > d1; git add d1; git commit -qm mine; git reset -q --soft HEAD~1; echo d > d2; git add -N d2", ""),
        ("echo e > e1; git add e1; git commit -qm mine; git rm -q e1; echo e > e2; git merge -q --no-edit HEAD", ""),
    ]));
    let output = world.run(["-j", "5"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4", "1.5"]);
    let own = |id: &str| {
        let mut paths = world.paths_of(id);
        paths.retain(|path| path != "tasks.md" && path != ".progress.md");
        paths.join(" ")
    };
    assert_eq!(["1.1", "1.2", "1.3", "1.4", "1.5"].map(own), ["a1 a2 a3", "b1 b2", "c2", "d1 d2", "e2"]);
    assert_eq!(world.env.git(["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(world.env.git(["log", "-1", "--format=%s", "theirs"]), "branch", "what it made is left to it");
    clean(&world);
    // The next tasks in those trees are not on somebody's branch.
    world.env.write("tasks.md", world.list() + "\n" + &group(2, [("echo f > f1", ""), ("echo g > g1", "")]));
    world.commit("more");
    let output = world.run(["-j", "5"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.git(["log", "-1", "--format=%s", "theirs"]), "branch");
    assert_eq!(world.history()[7..], ["2.1", "2.2"]);
    clean(&world);
}

#[test]
fn each_member_stands_before_the_gates_alone() {
    let world = repository(&parallel([
        ("echo learned a >> \"$SPEC_PROGRESS_FILE\"; echo a > a.txt", "Files: a.txt\nCommit: `feat: the first`"),
        ("sed -i 's/\\[ \\]/[x]/' \"$SPEC_FILE\"; echo learned b >> \"$SPEC_PROGRESS_FILE\"; exit 3", ""),
        ("echo 'NO_CHANGE: it is there'", ""),
        ("echo d > d.txt", "Files: missing.txt, d.txt"),
        ("echo e > e.txt; echo e > elsewhere.txt", "Files: e.txt"),
        ("for i in $(seq 30); do echo $i > f$i; done", ""),
        ("echo '-----BEGIN OPENSSH PRIVATE KEY-----' > id_rsa; echo g > g.txt", ""),
        ("true", ""),
        ("sed -i 's/\\[ \\]/[x]/' \"$SPEC_FILE\"; echo i > i.txt", "Verify: `false`"),
    ]))
    .settings("[run]\ntoo_much = 20\nownership = \"deny\"\n");
    let output = world.run(["-j", "9"]);
    assert_eq!(output.code, 1, "{output}");
    for (id, code) in [
        ("1.2", "crash"),
        ("1.4", "missing_files"),
        ("1.5", "out_of_bounds"),
        ("1.6", "too_much"),
        ("1.7", "too_much"),
        ("1.8", "no_change"),
        ("1.9", "verify_failed"),
    ] {
        let failed = signal_of(&output.stdout, "TASK_FAILED", id).unwrap_or_else(|| panic!("{id}: {output}"));
        assert_eq!(failed["code"], code, "{id}");
        assert!(!world.ticked(id), "{id}");
    }
    assert!(world.ticked("1.1") && world.ticked("1.3"), "{}", world.list());
    assert_eq!(world.history()[2..], ["1.1", "1.3"]);
    assert_eq!(world.env.git(["log", "-1", "--format=%s", &world.commit_of("1.1")]), "feat: the first");
    assert_eq!(world.paths_of("1.1"), [".progress.md", "a.txt", "tasks.md"]);
    let progress = world.env.read(".progress.md");
    assert_eq!((progress.matches("learned a").count(), progress.matches("learned b").count()), (1, 1), "{progress}");
    assert!(!progress.contains("- [x] 1.2"), "{progress}");
    for path in ["d.txt", "elsewhere.txt", "f1", "id_rsa", "i.txt"] {
        assert!(!world.env.path(path).exists(), "{path} is in the user's tree");
    }
}

// ---- what a person does meanwhile ---------------------------------------------------------------------------------

#[test]
fn a_box_that_a_person_ticks_ends_its_task() {
    let list = parallel([(&format!("echo a > a.txt; {STAND}"), ""), ("echo b > b.txt", "Depends: 1.1")]);
    let world = standing(&list);
    let run = world.start(["--timeout", "60s"]);
    wait_for(&world, "there");
    world.env.write("tasks.md", world.list().replace("[ ] 1.1", "[x] 1.1"));
    let output = world.finish(run);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1") && world.ticked("1.2"));
    assert_eq!(world.history(), ["chore: add the list", "1.2"], "{output}");
    assert!(!world.env.path("a.txt").exists() && world.env.path("b.txt").exists());
    let saved = salvaged(&world);
    assert_eq!(saved, ["work/1.1/1"], "what it had done is kept: {output}");
    assert_eq!(world.env.git(["show", "refs/spec/salvage/work/1.1/1:a.txt"]), "a");
}

#[test]
fn a_list_that_a_person_edits_meanwhile_is_followed() {
    let world = standing(&parallel([(&format!("echo a > a.txt; {STAND}"), ""), ("echo b > b.txt", "")]));
    let run = world.start(["--timeout", "60s"]);
    wait_for(&world, "there");
    let edited =
        world.list().replace("1.2 [P] Task", "1.2 [P] Renamed") + "\n- [ ] 2.1 Added\n  - **Do**: echo c > c.txt\n";
    world.env.write("tasks.md", edited);
    let_go(&world, "gate");
    let output = world.finish(run);
    assert_eq!(output.code, 0, "{output}");
    assert!(["1.1", "1.2", "2.1"].iter().all(|id| world.ticked(id)), "{}", world.list());
    assert!(world.list().contains("[x] 1.2 [P] Renamed"));
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "2.1"]);
}

#[test]
fn commits_of_a_person_meanwhile_are_landed_on() {
    let lines = twenty_lines();
    let world = standing(&parallel([
        (&format!("sed -i 's/^1$/one/' lines.txt; {STAND}"), "Files: lines.txt"),
        ("echo b > b.txt", "Files: b.txt"),
    ]));
    world.env.write("lines.txt", &lines);
    world.commit("lines");
    let run = world.start(["--timeout", "60s"]);
    wait_for(&world, "there");
    world.env.write("lines.txt", lines.replace("20\n", "twenty\n"));
    world.env.write("theirs.txt", "theirs\n");
    world.env.git(["add", "lines.txt", "theirs.txt"]);
    world.env.git(["commit", "-qm", "a person's"]);
    let_go(&world, "gate");
    let output = world.finish(run);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "lines", "a person's", "1.1", "1.2"]);
    assert_eq!(world.env.read("lines.txt"), lines.replacen("1\n", "one\n", 1).replace("20\n", "twenty\n"));
    clean(&world);
}

#[test]
fn a_branch_that_was_switched_gets_nothing_and_what_is_done_lands_later() {
    let world = standing(&parallel([(&format!("echo a > a.txt; {STAND}"), ""), ("echo b > b.txt", "")]));
    let run = world.start(["--timeout", "60s"]);
    wait_for(&world, "there");
    world.env.git(["checkout", "-qb", "other"]);
    let_go(&world, "gate");
    let output = world.finish(run);
    assert_eq!(output.code, 4, "{output}");
    assert!(output.stderr.contains("main") && output.stderr.contains("other"), "{output}");
    assert_eq!(world.history(), ["chore: add the list"]);
    assert_eq!(world.env.git(["log", "--format=%s", "main"]), "chore: add the list");
    world.env.git(["checkout", "-q", "main"]);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2"]);
    assert_eq!((world.tries("1.1"), world.tries("1.2")), (1, 1), "nothing ran twice");
    clean(&world);
}

#[test]
fn what_a_person_has_not_committed_is_not_landed_on() {
    type Act<'a> = &'a dyn Fn(&World);
    let lines = twenty_lines();
    let edit: Act<'_> = &|world| world.env.write("lines.txt", lines.replace("20\n", "twenty\n"));
    let commit: Act<'_> = &|world| {
        world.env.git(["add", "lines.txt"]);
        world.env.git(["commit", "-qm", "a person's"]);
    };
    let away =
        |path: &'static str| move |world: &World| std::fs::remove_file(world.env.path(path)).expect("it is there");
    let (ignored, untracked) = (away("build.out"), away("b.txt"));
    let cases: [(&str, Act<'_>, Act<'_>); 3] = [
        ("lines.txt", edit, commit),
        ("build.out", &|world| world.env.write("build.out", "mine\n"), &ignored),
        ("b.txt", &|world| world.env.write("b.txt", "mine\n"), &untracked),
    ];
    for (path, meanwhile, later) in cases {
        let world = standing(&parallel([
            (&format!("sed -i 's/^1$/one/' lines.txt; {STAND}"), ""),
            ("echo b > b.txt; echo none > .gitignore; echo x > build.out", ""),
        ]));
        world.env.write("lines.txt", &lines);
        world.env.write(".gitignore", "*.out\n");
        world.commit("lines");
        let tip = world.env.git(["rev-parse", "HEAD"]);
        let run = world.start(["--timeout", "60s"]);
        wait_for(&world, "there");
        meanwhile(&world);
        let mine = world.env.read(path);
        let_go(&world, "gate");
        let output = world.finish(run);
        assert_eq!(output.code, 4, "{path}: {output}");
        assert!(output.stderr.contains(&format!("in its way: {path}; commit or stash them")), "{path}: {output}");
        assert_eq!(world.env.git(["rev-parse", "HEAD"]), tip, "{path}");
        assert!(!world.ticked("1.1") && !world.ticked("1.2"));
        assert_eq!(world.env.read(path), mine);
        later(&world);
        let output = world.run([""; 0]);
        assert_eq!(output.code, 0, "{path}: {output}");
        assert_eq!((world.tries("1.1"), world.tries("1.2")), (1, 1), "{path}: nothing ran twice");
        assert_eq!(world.env.read("b.txt"), "b\n");
        assert!(world.env.read("lines.txt").starts_with("one\n2\n"));
        assert_eq!(world.env.read("lines.txt").contains("twenty"), path == "lines.txt");
        clean(&world);
    }
}

// ---- turns, conflicts, retries ------------------------------------------------------------------------------------

#[test]
fn who_takes_turns_starts_from_what_the_one_before_made() {
    let add = "echo $SPEC_TASK_ID >> shared.txt";
    let world = repository(&parallel([
        (add, "Files: shared.txt"),
        (&format!("{add}; cat other.txt >> shared.txt"), "Files: shared.txt\nDepends: 1.3"),
        ("echo other > other.txt", "Files: other.txt"),
        (add, "Files: shared.txt"),
    ]));
    // 1.2 names one further down, which only graph mode lets it.
    let output = world.run(["--mode", "graph"]);
    assert_eq!(output.code, 0, "{output}");
    let mut lines: Vec<String> = world.env.read("shared.txt").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1.1", "1.2", "1.4", "other"]);
    let world = repository(&parallel([
        (add, "Files: shared.txt"),
        ("echo other > other.txt", "Files: other.txt"),
        (&format!("{add}; cat other.txt >> shared.txt"), "Files: shared.txt\nDepends: 1.2"),
        // What it started from is no tip of a branch, and its Verify is told the same.
        (
            &format!("{add}; echo $SPEC_BASE_SHA > $HOME/base"),
            "Files: shared.txt\nVerify: `test $SPEC_BASE_SHA = $(cat $HOME/base)`",
        ),
        ("cat shared.txt > all.txt", "Files: all.txt\nDepends: 1.4"),
    ]));
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("shared.txt"), "1.1\n1.3\nother\n1.4\n");
    assert_eq!(world.env.read("all.txt"), world.env.read("shared.txt"));
    assert_eq!(world.paths_of("1.5"), [".progress.md", "all.txt", "tasks.md"], "its own part only");
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4", "1.5"]);
    assert_eq!([1, 2, 3, 4, 5].map(|at| world.tries(&format!("1.{at}"))), [1; 5], "{output}");
    clean(&world);
}

#[test]
fn the_later_of_two_that_contradict_starts_again_from_the_result_of_the_other() {
    let world = repository(&parallel([
        ("echo one > line.txt; echo a > a.txt", ""),
        ("echo \"$(cat line.txt) two\" > line.txt; ls > \"$HOME/ls.$SPEC_ATTEMPT\"; echo b > b.$SPEC_ATTEMPT", ""),
        ("echo c > c.txt", "Depends: 1.2"),
        ("echo d > d.txt", ""),
    ]));
    world.env.write("line.txt", "zero\n");
    world.commit("line");
    let output = world.run(["--max-attempts", "3"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.env.read("line.txt"), "one two\n");
    assert_eq!(world.tries("1.2"), 2);
    let prompt = world.prompt("1.2", 2);
    assert!(prompt.contains("conflict") && prompt.contains("line.txt"), "{prompt}");
    let found = world.env.read("../home/ls.2");
    assert!(found.contains("a.txt") && !found.contains("b.1"), "clean, on the new tip: {found}");
    assert!(!world.env.path("b.1").exists() && world.env.path("b.2").exists());
    assert_eq!(world.env.read("c.txt"), "c\n");
    let history = world.history();
    assert_eq!(history.len(), 6, "{history:?}");
    let at = |id: &str| history.iter().position(|it| it == id).unwrap_or_else(|| panic!("{id} in {history:?}"));
    assert!(at("1.1") < at("1.2") && at("1.2") < at("1.3"), "{history:?}");
    clean(&world);
}

#[test]
fn who_contradicts_again_and_again_needs_a_person_and_both_sides_are_kept() {
    // While it works, a person commits to the same line, each time.
    let person = "(cd \"$HOME/../work\" && echo \"person $SPEC_ATTEMPT\" > line.txt && git commit -qm person line.txt)";
    let world = repository(&parallel([
        ("echo a > a.txt", ""),
        (&format!("{person}; echo \"task $SPEC_ATTEMPT\" > line.txt"), ""),
        ("echo c > c.txt", "Depends: 1.2"),
    ]));
    world.env.write("line.txt", "zero\n");
    world.commit("line");
    let output = world.run(["--max-attempts", "9"]);
    assert_eq!(output.code, 4, "{output}");
    assert_eq!(world.tries("1.2"), 3, "max_conflicts is 2: {output}");
    assert_eq!(["1.1", "1.2", "1.3"].map(|id| world.ticked(id)), [true, false, false], "{output}");
    assert!(output.stderr.contains("line.txt"), "{output}");
    let theirs = "refs/spec/salvage/work/1.2/3";
    assert_eq!(world.env.git(["show", &format!("{theirs}:line.txt")]), "task 3");
    let tip = "refs/spec/salvage/work/1.2-tip/3";
    assert_eq!(world.env.git(["show", &format!("{tip}:line.txt")]), "person 3");
    assert!(output.stderr.contains(theirs) && output.stderr.contains(tip), "{output}");
    assert_eq!(world.env.read("line.txt"), "person 3\n");
    clean(&world);
    // Once nobody is in its way any more, the next run gives it another go.
    world.env.write("tasks.md", world.list().replace(person, "true"));
    world.commit("nobody's in the way");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.tries("1.1"), world.tries("1.2")), (1, 4), "{output}");
    assert_eq!(world.env.read("line.txt"), "task 4\n");
    clean(&world);
}

#[test]
fn the_next_try_finds_the_edits_of_the_one_before_wherever_it_is() {
    let first = "test -e half.txt || { echo half > half.txt; echo \"$SPEC_WORKTREE\" > \"$HOME/first\"; exit 1; }; cat half.txt > whole.txt";
    let others =
        "echo x > $SPEC_TASK_ID.txt; test ! -e half.txt; echo \"$SPEC_WORKTREE\" > \"$HOME/tree.$SPEC_TASK_ID\"";
    for (at_once, backoff) in [("1", "300ms"), ("2", "300ms"), ("3", "0s")] {
        let world = repository(&parallel([(first, ""), (others, ""), (others, ""), (others, "")]));
        let mut run = world.run_command(["-j", at_once, "--isolation", "worktree", "--max-attempts", "3"]);
        let output = world.env.output(run.env("SPEC_RETRY_BACKOFF", backoff));
        assert_eq!(output.code, 0, "-j {at_once}: {output}");
        assert_eq!(world.env.read("whole.txt"), "half\n");
        assert_eq!(world.tries("1.1"), 2);
        assert_eq!(world.paths_of("1.1"), [".progress.md", "half.txt", "tasks.md", "whole.txt"]);
        assert_eq!(world.paths_of("1.2"), [".progress.md", "1.2.txt", "tasks.md"]);
        let slots = world.env.path(".spec/slots");
        let made = std::fs::read_dir(slots).expect("slots").flatten();
        let made = made.filter(|it| it.file_name().to_string_lossy().starts_with("slot-")).count();
        assert!(made <= at_once.parse().expect("a number"), "{made} trees at -j {at_once}");
        assert_eq!(salvaged(&world), [""; 0], "nothing was left");
        clean(&world);
    }
}

// ---- no work is lost ----------------------------------------------------------------------------------------------

#[test]
fn what_failed_skipped_and_ended_tasks_made_is_kept() {
    let list = parallel([
        ("echo a > a.txt; exit 1", ""),
        (&format!("echo b > b.txt; {STAND}"), ""),
        ("echo c > c.txt; echo x > \"$HOME/c\"; read go < \"$HOME/never\"", ""),
    ]);
    let world = standing(&list);
    world.fifo("c");
    world.fifo("never");
    let run = world.start(["--timeout", "60s"]);
    wait_for(&world, "there");
    wait_for(&world, "c");
    let skipped = world.env.spec(["skip", "1.2", "tasks.md"]);
    assert_eq!(skipped.code, 0, "{skipped}");
    world.state_when(|_| world.events("task_skipped").len() == 1);
    interrupt(&run);
    let output = world.finish(run);
    assert_eq!(output.code, 130, "{output}");
    assert_eq!(salvaged(&world), ["work/1.1/1", "work/1.2/1", "work/1.3/1"]);
    for (id, file) in [("1.1", "a"), ("1.2", "b"), ("1.3", "c")] {
        assert_eq!(world.env.git(["show", &format!("refs/spec/salvage/work/{id}/1:{file}.txt")]), file);
        assert!(output.stderr.contains(&format!("refs/spec/salvage/work/{id}/1")) || id == "1.1", "{id}: {output}");
    }
    assert_eq!(world.history(), ["chore: add the list"]);
    clean(&world);
    // The same trees are used again, and nothing is in them that is another's; nothing is saved twice.
    let ls = "ls > \"$HOME/ls.$SPEC_TASK_ID\"; echo d > d.$SPEC_TASK_ID";
    world.env.write("tasks.md", parallel([(ls, ""), (ls, ""), (ls, "")]));
    world.commit("another list");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    for id in ["1.1", "1.2", "1.3"] {
        assert_eq!(world.env.read(format!("../home/ls.{id}")), "spec.toml\ntasks.md\n");
    }
    assert_eq!(salvaged(&world).len(), 3);
}

// ---- making trees fit for work ------------------------------------------------------------------------------------

#[test]
fn ignored_files_that_are_named_are_there_and_are_never_committed() {
    for ignore in [".env\nnode_modules\nbig\n", ".env\nnode_modules/\nbig/\n"] {
        let see = "cat .env > env.$SPEC_TASK_ID; cat node_modules/m >> env.$SPEC_TASK_ID; test ! -e big";
        let list = parallel([(see, ""), (see, "")]) + &group(2, [(see, ""), (see, "")]);
        let world = repository(&list);
        world.env.write(".gitignore", ignore);
        world.commit("ignore");
        world.env.write(".env", "SECRET=1\n");
        world.env.write("node_modules/m", "module\n");
        world.env.write("big/file", "big\n");
        let output = world.run([""; 0]);
        assert_eq!(output.code, 0, "{ignore:?}: {output}");
        for id in ["1.1", "1.2", "2.1", "2.2"] {
            assert_eq!(world.env.read(format!("env.{id}")), "SECRET=1\nmodule\n");
            assert_eq!(world.paths_of(id), [".progress.md".to_owned(), format!("env.{id}"), "tasks.md".to_owned()]);
        }
        let link = world.env.path(".spec/slots/slot-1/node_modules").read_link().expect("a link");
        assert_eq!(link, world.env.path("node_modules"));
        assert_eq!(world.env.read("node_modules/m"), "module\n");
        clean(&world);
    }
}

#[test]
fn the_setup_runs_once_in_each_tree_and_again_when_its_inputs_are_others() {
    let see = "cat made.by.setup > seen.$SPEC_TASK_ID";
    let both = |number| group(number, [(see, ""), (see, "")]);
    let list = both(1) + &both(2) + "## Alone\n\n- [ ] 3.1 Others\n  - **Do**: echo 2 > lock.txt\n" + &both(4);
    let world = repository(&list).settings(
        "[worktree]\nsetup = \"cat lock.txt > made.by.setup; echo $SPEC_SLOT >> $HOME/setups\"\nsetup_inputs = [\"lock.txt\"]\n",
    );
    world.env.write("lock.txt", "1\n");
    world.env.write(".gitignore", "made.by.setup\n");
    world.commit("lock");
    let output = world.run(["-j", "2"]);
    assert_eq!(output.code, 0, "{output}");
    let mut ran: Vec<String> = world.env.read("../home/setups").lines().map(str::to_owned).collect();
    ran.sort();
    assert_eq!(ran, ["1", "1", "2", "2"], "once in each of two trees, and once more");
    let seen = |id: &str| world.env.read(format!("seen.{id}"));
    assert_eq!(["1.1", "2.2", "4.1", "4.2"].map(seen), ["1\n", "1\n", "2\n", "2\n"]);
    clean(&world);
}

#[test]
fn a_setup_that_fails_ends_the_run_and_names_the_log() {
    let world = repository(&parallel([("echo a > a.txt", ""), ("echo b > b.txt", "")]))
        .settings("[worktree]\nsetup = \"echo what went wrong; exit 7\"\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("worktree.setup") && output.stderr.contains(".log"), "{output}");
    assert_eq!((world.tries("1.1"), world.history().len()), (0, 2), "{output}");
    let name = output.stderr.split_whitespace().find(|word| word.contains(".log")).expect("it is named");
    let name = name.trim_matches(|char: char| !char.is_alphanumeric() && char != '.' && char != '/' && char != '$');
    let path = name.replace("$ENV", world.env.path("..").to_str().expect("UTF-8"));
    let log =
        std::fs::read_to_string(world.env.path(&path)).unwrap_or_else(|error| panic!("{path}: {error}: {output}"));
    assert!(log.contains("what went wrong"), "{log}");
}

// ---- green after --------------------------------------------------------------------------------------------------

/// 1.1 lowers a limit that 1.2, on the tree before, keeps to. Each passes alone.
fn breaking(verify: &str) -> World {
    let world = repository(&parallel([
        ("echo 3 > limit", "Verify: `test $(cat limit) = 3`"),
        (
            "if [ $(cat limit) = 3 ]; then echo 2 > use; else echo 7 > use; fi",
            "Verify: `test $(cat use) -le $(cat limit) || { echo too much is used; exit 1; }`",
        ),
        ("echo c > c.txt", "Verify: `test -e c.txt`"),
    ]))
    .settings(&format!("[landing]\n{verify}\n"));
    world.env.write("limit", "10\n");
    world.env.write("use", "1\n");
    world.env.write("check.sh", "test $(cat use) -le $(cat limit) || { echo too much is used; exit 1; }\n");
    world.commit("limit");
    world
}

#[test]
fn who_breaks_a_merged_batch_goes_back_with_the_evidence_and_the_others_land() {
    for verify in ["verify = \"task\"", "command = \"sh check.sh\""] {
        let world = breaking(verify);
        let output = world.run(["--max-attempts", "3"]);
        assert_eq!(output.code, 0, "{verify}: {output}");
        assert_eq!(world.history()[3..], ["1.1", "1.3", "1.2"], "{verify}");
        assert_eq!(world.tries("1.2"), 2, "{verify}");
        let prompt = world.prompt("1.2", 2);
        assert!(prompt.contains("verify_merged") && prompt.contains("too much is used"), "{prompt}");
        assert_eq!((world.env.read("limit").as_str(), world.env.read("use").as_str()), ("3\n", "2\n"));
        let log = world.env.git(["log", "--format=%H"]);
        for commit in log.lines().take(4) {
            let at =
                |path: &str| world.env.git(["show", &format!("{commit}:{path}")]).parse::<u32>().expect("a number");
            assert!(at("use") <= at("limit"), "{commit} does not pass");
        }
        clean(&world);
    }
}

#[test]
fn a_branch_that_does_not_pass_before_gets_nothing_and_it_is_said() {
    let world = breaking("command = \"sh check.sh\"");
    world.env.write("use", "99\n");
    world.commit("broken");
    let tip = world.env.git(["rev-parse", "HEAD"]);
    let output = world.run([""; 0]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("the branch does not pass before anything lands on it"), "{output}");
    assert_eq!(world.env.git(["rev-parse", "HEAD"]), tip);
    clean(&world);
    world.env.write("use", "1\n");
    world.commit("mended");
    let output = world.run(["--max-attempts", "3"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.tries("1.1"), world.tries("1.3")), (1, 1), "what had passed lands as it is");
}

#[test]
fn a_merged_check_that_is_ended_lands_nothing_and_the_next_run_does() {
    let world =
        breaking("command = \"test ! -p $HOME/there || { : > $HOME/there; read go < $HOME/gate; }; sh check.sh\"");
    world.fifo("there");
    world.fifo("gate");
    let tip = world.env.git(["rev-parse", "HEAD"]);
    let run = world.start(["--timeout", "60s"]);
    wait_for(&world, "there");
    interrupt(&run);
    let output = world.finish(run);
    assert_eq!(output.code, 130, "{output}");
    assert_eq!(world.env.git(["rev-parse", "HEAD"]), tip);
    clean(&world);
    std::fs::remove_file(world.env.path("../home/there")).expect("it is there");
    let output = world.run(["--max-attempts", "3"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!((world.tries("1.1"), world.tries("1.3")), (1, 1), "{output}");
    clean(&world);
}

// ---- hooks --------------------------------------------------------------------------------------------------------

#[test]
fn hooks_run_once_for_each_task_and_one_that_fails_sends_that_task_back() {
    let world = repository(&parallel([
        ("echo a > a.txt", "Commit: `feat: first`"),
        ("if [ $SPEC_ATTEMPT = 1 ]; then echo bad > b.txt; else echo good > b.txt; fi", "Commit: `feat: second`"),
        ("echo c > c.txt", "Commit: `feat: third`"),
    ]));
    let hook = |name: &str, script: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = world.env.path(".git/hooks").join(name);
        world.env.write(format!(".git/hooks/{name}"), format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    };
    hook(
        "pre-commit",
        "git diff --cached --name-only | tr '\\n' ' ' >> $HOME/hooks; echo >> $HOME/hooks\n\
         test ! -e b.txt || ! grep -q bad b.txt || { echo 'b.txt is bad'; exit 1; }",
    );
    hook("commit-msg", "head -n 1 \"$1\" >> $HOME/messages; grep -q '^Spec-Task: ' \"$1\"");
    let output = world.run(["--max-attempts", "3"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.3", "1.2"]);
    assert_eq!(world.tries("1.2"), 2);
    let prompt = world.prompt("1.2", 2);
    assert!(prompt.contains("commit_failed") && prompt.contains("b.txt is bad"), "{prompt}");
    let hooks = world.env.read("../home/hooks");
    let own: Vec<&str> = hooks.lines().filter_map(|line| line.split(' ').find(|it| it.len() == 5)).collect();
    assert_eq!(own, ["a.txt", "b.txt", "c.txt", "b.txt"], "{hooks}");
    assert_eq!(world.env.read("../home/messages"), "feat: first\nfeat: third\nfeat: second\n");
    clean(&world);
}

#[test]
fn commits_of_a_batch_are_signed_where_git_signs() {
    let world = repository(&parallel([("echo a > a.txt", ""), ("echo b > b.txt", "")]));
    let made =
        world.env.output(world.env.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "../home/key"]));
    if made.code != 0 {
        println!("skipped: no key can be made: {made}");
        return;
    }
    let key = world.env.path("../home/key.pub").canonicalize().expect("a key");
    for (name, value) in
        [("gpg.format", "ssh"), ("user.signingKey", key.to_str().expect("UTF-8")), ("commit.gpgSign", "true")]
    {
        world.env.git(["config", name, value]);
    }
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
    for id in ["1.1", "1.2"] {
        let object = world.env.git(["cat-file", "commit", &world.commit_of(id)]);
        assert!(object.contains("gpgsig -----BEGIN SSH SIGNATURE-----"), "{object}");
    }
}
