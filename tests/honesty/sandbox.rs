//! What a task in a sandbox can do, and what it cannot: the same attacks are tried without one, where they succeed.

use std::process::Command;

use crate::env::Output;
use crate::world::World;

#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn skipped(why: &str) {
    println!("skipped: {why}");
}

fn without_bubblewrap() -> bool {
    let mut command = Command::new("bwrap");
    command.args([
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-pid",
        "--unshare-user",
        "true",
    ]);
    let works = command.output().is_ok_and(|output| output.status.success());
    if !works {
        skipped("there is no bubblewrap, or it does not work here");
    }
    !works
}

/// A list with a task that runs this script.
fn script(script: &str) -> String {
    let lines = script.replace('\n', "\n    ");
    format!("- [ ] 1.1 Task\n  - **Run**:\n    ```sh\n    {lines}\n    ```\n")
}

fn run(world: &World, args: &[&str]) -> Output {
    let mut command = world.env.spec_command(["run", "tasks.md"]);
    world.env.output(command.args(args))
}

/// Each line tries something and notes that it could.
const ATTACKS: &str = r#"could() { echo "$1" >> could.txt; }
echo x > "$HOME/outside" && could write-outside
rm -f "$HOME/.gitconfig.victim" && could delete-outside
echo x > .git/hooks/post-commit && could plant-a-hook
mkdir .git/hooks.d && could write-into-git
git config core.fsmonitor evil && could set-git
echo ../evil > .git/commondir && rm .git/commondir && could lead-git-elsewhere
mv .git git && mv git .git && could move-git
ln -s "$HOME" .git/link && rm .git/link && could link-in-git
echo x > .spec/control/x && rm .spec/control/x && could steer
mv .spec spec && mv spec .spec && could move-the-journal
kill -0 $(cat "$HOME/pid") && could reach-others
exec 2>&1
set -e
test -r "$HOME/.gitconfig"
git status --short > status.txt
echo a > a.txt
mkdir -p folder/deep && mv a.txt folder/deep/
echo x > "$(mktemp)"
echo '## Learnings' > "$SPEC_PROGRESS_FILE"
echo '- learned in there' >> "$SPEC_PROGRESS_FILE"
echo x > /dev/null
"#;

const ALL: &str = "write-outside\ndelete-outside\nplant-a-hook\nwrite-into-git\nset-git\nlead-git-elsewhere\nmove-git\nlink-in-git\nsteer\nmove-the-journal\nreach-others\n";

fn attack(sandbox: &str) -> (World, Output) {
    let world = World::new(&script(ATTACKS));
    world.env.write("../home/.gitconfig.victim", "x");
    world.env.write("../home/pid", std::process::id().to_string());
    let output = run(&world, &["--sandbox", sandbox]);
    (world, output)
}

#[test]
fn a_task_writes_to_its_tree_and_nowhere_else() {
    if without_bubblewrap() {
        return;
    }
    for sandbox in ["auto", "required"] {
        let (world, output) = attack(sandbox);
        assert_eq!(output.code, 0, "what it may do, it can: {output}\n{}", world.env.spec(["log", "1.1"]));
        assert!(!world.env.path("could.txt").exists(), "it could:\n{}", world.env.read("could.txt"));
        assert!(world.env.read("folder/deep/a.txt") == "a\n" && world.env.read(".progress.md").contains("learned"));
        assert!(world.env.path("../home/.gitconfig.victim").exists() && !world.env.path(".git/hooks.d").exists());
        assert!(output.stderr.contains("sandbox: bubblewrap; tasks write to their tree"), "{output}");
        let said = world.events("notice").into_iter().find(|event| event["code"] == "sandbox");
        assert!(said.is_some_and(|event| event["level"] == "info"), "it is in the journal");
        assert_eq!(world.history().last().map(String::as_str), Some("1.1"));
    }
}

#[test]
fn without_a_sandbox_all_of_that_succeeds() {
    let (world, output) = attack("none");
    assert_eq!(world.env.read("could.txt"), ALL, "or the attacks would show nothing: {output}");
}

/// A folder for `PATH` without bubblewrap, with all else that is needed.
fn path_without_bubblewrap(world: &World) -> std::path::PathBuf {
    let bin = world.env.path("../bin");
    std::fs::create_dir(&bin).expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in ["git", "bash", "sh", "true", "rm", "mkdir", "mv", "cat", "mktemp", "ln"] {
        let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists());
        std::os::unix::fs::symlink(found.expect("it is there"), bin.join(program)).expect("a link");
    }
    bin
}

#[test]
fn one_that_is_required_and_not_there_keeps_a_run_from_beginning() {
    let world = World::new(&script("echo a > a.txt"));
    let bin = path_without_bubblewrap(&world);
    let mut command = world.env.spec_command(["run", "tasks.md", "--sandbox", "required"]);
    let output = world.env.output(command.env("PATH", &bin));
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("a sandbox is required and bubblewrap does not work: bwrap:"), "{output}");
    assert!(!world.env.path("a.txt").exists() && !world.ticked("1.1"));
}

#[test]
fn landlock_stands_in_and_says_what_it_cannot_keep() {
    let world = World::new(&script(ATTACKS));
    world.env.write("../home/.gitconfig.victim", "x");
    world.env.write("../home/pid", std::process::id().to_string());
    let bin = path_without_bubblewrap(&world);
    let mut command = world.env.spec_command(["run", "tasks.md", "--sandbox", "auto"]);
    let output = world.env.output(command.env("PATH", &bin).env("SPEC_QUOTA_FILES", "100"));
    if output.stderr.contains("no sandbox: bubblewrap does not work here: bwrap:") {
        return skipped("this kernel has no Landlock");
    }
    assert!(
        output.stderr.contains("sandbox: Landlock; tasks write to their tree and to scratch only, but"),
        "{output}"
    );
    assert_eq!(output.code, 0, "what it may do, it can: {output}\n{}", world.env.spec(["log", "1.1"]));
    let could = world.env.read("could.txt");
    for outside in ["write-outside", "delete-outside"] {
        assert!(!could.contains(outside), "{could}");
    }
    assert!(could.contains("plant-a-hook"), "where this is kept, too, the words are to be changed: {could}");
    assert!(world.env.read("folder/deep/a.txt") == "a\n" && world.env.read(".progress.md").contains("learned"));

    // Without network there is none: Landlock does not close it.
    let world = World::new(&script("echo a > a.txt")).settings("[sandbox]\nnetwork = false\n");
    let bin = path_without_bubblewrap(&world);
    let mut command = world.env.spec_command(["run", "tasks.md", "--sandbox", "auto"]);
    let output = world.env.output(command.env("PATH", &bin));
    assert!(output.stderr.contains("no sandbox: bubblewrap does not work here"), "said plainly: {output}");
}

#[test]
fn the_settings_open_folders_and_close_the_network() {
    if without_bubblewrap() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let list = script(&format!(
        "echo state > \"$HOME/.agent/state\" || exit 1\nif exec 3<>/dev/tcp/127.0.0.1/{port}; then echo up > net; else echo none > net; fi"
    ));
    for (toml, found) in [("", "up\n"), ("network = false\n", "none\n")] {
        let world = World::new(&list)
            .settings(&format!("[run]\nsandbox = \"required\"\n[sandbox]\nwrite = [\"~/.agent\"]\n{toml}"));
        world.env.write("../home/.agent/there", "");
        let output = run(&world, &[]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(world.env.read("../home/.agent/state"), "state\n");
        assert_eq!(world.env.read("net"), found);
    }
}

#[test]
fn quotas_and_grace_hold_inside() {
    if without_bubblewrap() {
        return;
    }
    let list = "- [ ] 1.1 [P] Prints\n  - **Run**: `yes`\n  - **Quota**: output 1M, files 100\n\
        - [ ] 1.2 [P] Cleans up\n  - **Run**: `trap 'echo done > cleaned.txt; exit 1' TERM; while :; do sleep 0.1; done`\n  - **Quota**: wall 1s\n\
        - [ ] 1.3 [P] Computes\n  - **Run**: `while :; do :; done`\n  - **Quota**: cpu 1s\n";
    let world = World::new(list);
    let output = run(&world, &["--sandbox", "required", "--grace", "60s"]);
    assert_eq!(output.code, 1, "{output}");
    for code in ["quota_output", "quota_wall", "quota_cpu"] {
        assert!(output.stdout.contains(&format!("code: {code}\n")), "{code}: {output}");
    }
    assert!(world.events("task_ended").len() == 3);
    let saved = world.env.git(["log", "--all", "--format=%H", "--", "cleaned.txt"]);
    assert!(world.env.path("cleaned.txt").exists() || !saved.is_empty(), "it had its grace: {output}");
}

#[test]
fn a_sandbox_of_an_agent_works_inside() {
    if without_bubblewrap() {
        return;
    }
    let world =
        World::new(&script("bwrap --ro-bind / / --dev /dev --proc /proc --unshare-pid sh -c 'echo inside' > a.txt"));
    let mut command = world.env.spec_command(["run", "tasks.md", "--sandbox", "required"]);
    if nix::unistd::geteuid().is_root() {
        // Root's own bubblewrap hides parts of /proc, which keeps one inside from having its own: this is about people.
        let root = world.env.path("..");
        let chowned = Command::new("chown").args(["-R", "65534:65534"]).arg(&root).status();
        let program = command.get_program().to_owned();
        let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = world.env.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program).args(args);
        let starts = world
            .env
            .command("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(env!("CARGO_BIN_EXE_spec"))
            .arg("--version")
            .output();
        if !chowned.is_ok_and(|status| status.success()) || !starts.is_ok_and(|output| output.status.success()) {
            return skipped("this program cannot be run by anybody but root here");
        }
    }
    let output = world.env.output(&mut command);
    assert_eq!(output.code, 0, "{output}\n{}", world.env.spec(["log", "1.1"]));
    assert_eq!(world.env.read("a.txt"), "inside\n");
}

#[test]
fn a_tree_of_its_own_can_be_committed_in_and_leads_git_nowhere_else() {
    if without_bubblewrap() {
        return;
    }
    let world = World::new(&script(
        r#"could() { echo "$1" >> could.txt; }
common=$(git rev-parse --git-common-dir); own=$(git rev-parse --git-dir)
echo x > "$common/../tasks.md" && could write-to-the-shared-tree
echo x > "$common/hooks/post-commit" && could plant-a-hook
git config core.fsmonitor evil && could set-git
echo ../evil > "$own/commondir" && could lead-git-elsewhere
echo gitdir: evil > .git && could be-another-repository
mv "$own" "$own.away" && could move-git
git branch -f main HEAD && could move-the-branch
echo x > "$common/../.spec/x" && could write-to-the-journal
set -e
echo a > a.txt
git add a.txt
git commit -q -m own
echo b > b.txt
"#,
    ));
    let output = run(&world, &["--sandbox", "required", "--isolation", "worktree"]);
    assert_eq!(output.code, 0, "{output}\n{}", world.env.spec(["log", "1.1"]));
    assert_eq!(world.paths_of("1.1"), ["a.txt", "b.txt", "tasks.md"], "its commit is in the one of the task");
    assert_eq!(world.history().len(), 2, "{:?}", world.history());
}
