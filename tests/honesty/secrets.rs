//! Secrets: whatever a task prints, writes and learns, none gets into a log, a journal, a prompt, the progress, what is
//! shown, or a commit. Each test looks through everything that is there when the run is over.

use std::process::Command;

use crate::env::Output;
use crate::world::{World, contents};

/// In the environment of every run here.
const VALUE: &str = "Zx81-spectrum/48k!";
/// A value of two lines.
const LINES: &str = "first half of it 1\nsecond half of it 2";
/// Makes a key that no one configured, in `$key`. The task's text does not have it.
const MAKE: &str = "key=ghp_$(printf 'aB3dE6gH9j%.0s' 1 2 3 4)";

/// The key that [`MAKE`] makes.
fn key() -> String {
    format!("ghp_{}", "aB3dE6gH9j".repeat(4))
}

fn knowing(mut command: Command) -> Command {
    command.env("DEPLOY_TOKEN", VALUE).env("SIGNING_KEY", LINES);
    command
}

fn run(world: &World, args: &[&str]) -> Output {
    world.env.output(&mut knowing(world.run_command(args)))
}

fn one(what: &str) -> World {
    World::new(&format!("# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: {MAKE}; {what}\n"))
}

/// All that is in the repository's objects.
fn objects(world: &World) -> String {
    world.env.git(["cat-file", "--batch-all-objects", "--batch"])
}

/// None of the secrets is in any file of the world, any object of the repository, or what was printed.
#[track_caller]
fn nowhere(world: &World, output: &Output) {
    nowhere_but(world, output, &[]);
}

/// The same; the tree may have them in these files.
#[track_caller]
fn nowhere_but(world: &World, output: &Output, files: &[&str]) {
    let secrets = [key(), VALUE.to_owned(), VALUE.replace('/', "\\/"), LINES[..18].to_owned(), LINES[19..].to_owned()];
    for secret in &secrets {
        assert!(!output.stdout.contains(secret), "{secret} is in {output}");
        assert!(!output.stderr.contains(secret), "{secret} is in {output}");
        assert!(!objects(world).contains(secret), "{secret} is in an object");
        let all = contents(&world.env.work()).into_iter().chain(contents(&world.env.path("../home")));
        for (path, bytes) in all.filter(|(path, _)| files.iter().all(|file| !path.ends_with(file))) {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(secret), "{secret} is in {}:\n{text}", path.display());
        }
    }
}

#[test]
fn what_an_executor_prints_reaches_neither_log_nor_events_nor_the_next_prompt() {
    let world = one(
        "printf 'on %s and ' \"$key\"; printf '%s\\n' \"$DEPLOY_TOKEN\"; echo \"$SIGNING_KEY\"; echo \"to $key $DEPLOY_TOKEN\" >&2; \
         printf ghp_aB3dE6g; printf 'H9j%s\\n' aB3dE6gH9jaB3dE6gH9jaB3dE6gH9j; echo \"{\\\"key\\\":\\\"$key\\\"}\"; exit 7",
    );
    let output = run(&world, &["--output", "json", "--max-attempts", "2"]);
    assert_eq!(output.code, 1, "{output}");
    nowhere(&world, &output);
    let log = world.env.spec(["log", "1.1"]).stdout;
    assert!(log.contains("on [masked:github-token] and [masked:DEPLOY_TOKEN]\n"), "{log}");
    assert!(log.contains("[masked:SIGNING_KEY]\n[masked:SIGNING_KEY]\n"), "line by line: {log}");
    assert!(output.stdout.contains("to [masked:github-token] [masked:DEPLOY_TOKEN]"), "shown: {output}");
    assert!(world.prompt("1.1", 2).contains("on [masked:github-token] and"), "{}", world.prompt("1.1", 2));
    nowhere(&world, &run(&world, &["-vv", "--max-attempts", "1"]));
}

#[test]
fn what_verify_prints_and_is_stays_out_of_everything() {
    let world = World::new(&format!(
        "# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: echo a > a.txt\n  - **Verify**: `{MAKE}; echo \"$key\" \"$DEPLOY_TOKEN\"; exit 3`\n"
    ));
    let output = run(&world, &["--max-attempts", "2"]);
    assert_eq!(output.code, 1, "{output}");
    nowhere(&world, &output);
    let tail = world.events("task_verify").remove(0)["tail"].to_string();
    assert!(tail.contains("[masked:github-token] [masked:DEPLOY_TOKEN]"), "{tail}");
}

#[test]
fn a_reason_that_has_a_secret_is_told_without_it() {
    let world = one("echo \"NO_CHANGE: $key is there already, and $DEPLOY_TOKEN\"");
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    nowhere(&world, &output);
    let gates = world.events("task_gate");
    assert!(
        gates.iter().any(|gate| gate["detail"].to_string().contains("[masked:github-token] is there")),
        "{gates:?}"
    );
}

#[test]
fn what_was_learned_is_merged_without_secrets() {
    let world = one(
        "echo a > a.txt; printf '## Learnings\\n- use %s\\n- and %s\\n' \"$key\" \"$DEPLOY_TOKEN\" > \"$SPEC_PROGRESS_FILE\"",
    );
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    nowhere(&world, &output);
    let progress = world.env.read(".progress.md");
    assert!(progress.contains("- use [masked:github-token]\n- and [masked:DEPLOY_TOKEN]\n"), "{progress}");
}

#[test]
fn what_a_killed_run_learned_is_merged_without_secrets() {
    let world = one(
        "printf -- '- use %s\\n' \"$key\" > \"$SPEC_PROGRESS_FILE\"; echo began > \"$HOME/began\"; read line < \"$HOME/gate\"",
    );
    // A file of a task that is not in the list any more.
    world.env.write(".progress-task-9.md", format!("- gone {}\n", key()));
    let (began, _gate) = (world.fifo("began"), world.fifo("gate"));
    let mut killed = world.start_command(knowing(world.run_command([""; 0])));
    std::fs::read(began).expect("the executor runs");
    killed.kill().expect("it runs");
    killed.wait().expect("it is over");
    world.env.write("tasks.md", "# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: echo a > a.txt\n");
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    nowhere(&world, &output);
    let progress = world.env.read(".progress.md");
    assert!(progress.contains("gone [masked:github-token]\n- use [masked:github-token]\n"), "{progress}");
}

#[test]
fn a_prompt_and_a_commit_message_have_none() {
    let key = key();
    let world = World::new(&format!(
        "# Tasks\n\n- [ ] 1.1 Use {VALUE}\n  - **Do**: echo a > a.txt\n  - **Commit**: `feat: use {key}`\n"
    ));
    let output = run(&world, &["--output", "json"]);
    assert_eq!(output.code, 0, "{output}");
    let prompt = world.prompt("1.1", 1);
    assert!(prompt.contains("1.1 Use [masked:DEPLOY_TOKEN]") && !prompt.contains(&key), "{prompt}");
    assert!(world.env.git(["log", "-1", "--format=%s"]).contains("feat: use [masked:github-token]"));
    // The list is the person's own.
    let journal = format!("{:?}", world.journal());
    assert!(!journal.contains(&key) && !journal.contains(VALUE) && !output.stdout.contains(&key), "{journal}");
}

#[test]
fn a_change_with_a_secret_in_it_never_lands() {
    for isolation in ["none", "worktree"] {
        let world = one(
            "[ $SPEC_ATTEMPT = 3 ] && { key=none; echo o > old.txt; }; echo a > a.txt; printf 'x\\nkey=%s\\n' \"$key\" > new.txt; echo \"$key\" >> old.txt",
        );
        world.env.write("old.txt", "o\n");
        world.commit("chore: a file");
        let output = run(&world, &["--isolation", isolation, "--max-attempts", "2"]);
        assert!(output.code == 1 && output.stdout.contains("code: too_much"), "{output}");
        assert!(
            output.stdout.contains("looks like a secret: new.txt:2 (github-token), old.txt:2 (github-token)"),
            "{output}"
        );
        assert!(world.prompt("1.1", 2).contains("new.txt:2 (github-token)"), "the next try is told where");
        nowhere_but(&world, &output, &["new.txt", "old.txt"]);
        if isolation == "none" {
            // What is left is the run's own, and is no dirt.
            let again = run(&world, &["--isolation", isolation, "--max-attempts", "1"]);
            assert!(again.code == 1 && again.stdout.contains("code: too_much"), "{again}");
            nowhere_but(&world, &again, &["new.txt", "old.txt"]);
            world.env.git(["checkout", "-q", "old.txt"]);
        }
        let output = run(&world, &["--isolation", isolation, "--max-attempts", "3"]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(world.paths_of("1.1"), ["a.txt", "new.txt", "old.txt", "tasks.md"]);
        nowhere(&world, &output);
    }
}

#[test]
fn a_value_of_the_environment_does_not_land_either() {
    let world = one("printf '%s\\n' \"$DEPLOY_TOKEN\" > a.txt");
    let output = run(&world, &["-j", "1"]);
    assert!(output.code == 1 && output.stdout.contains("a.txt:1 (configured secret)"), "{output}");
    nowhere_but(&world, &output, &["a.txt"]);
}

#[test]
fn what_a_killed_task_left_in_its_own_tree_is_kept_without_secrets() {
    let world = World::new(&format!(
        "- [ ] 1.1 [P] A\n  - **Do**: {MAKE}; echo a > a.txt; echo $key > key.txt; echo began > \"$HOME/began\"; read line < \"$HOME/gate\"\n  - **Files**: a.txt\n\
         - [ ] 1.2 [P] B\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n"
    ));
    let (began, _gate) = (world.fifo("began"), world.fifo("gate"));
    let mut killed = world.start_command(knowing(world.run_command([""; 0])));
    std::fs::read(began).expect("the executor runs");
    killed.kill().expect("it runs");
    killed.wait().expect("it is over");
    world.env.write("tasks.md", "- [ ] 1.2 [P] B\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n");
    let output = run(&world, &["--isolation", "worktree"]);
    assert_eq!(output.code, 0, "{output}");
    let kept = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
    let files = world.env.git(["ls-tree", "--name-only", kept.lines().next().expect("something was kept")]);
    assert!(files.contains("a.txt") && !files.contains("key.txt"), "{files}");
    nowhere_but(&world, &output, &["key.txt"]);
}

#[test]
fn a_secret_that_is_meant_to_be_there_can_be_allowed() {
    let world = one("echo \"$key # spec:allow-secret\" > a.txt");
    assert_eq!(run(&world, &[]).code, 0);
    let write = "mkdir -p fixtures; echo $key > fixtures/a.txt";
    let world = one(write).settings("[secrets]\nallow = [\"fixtures/**\"]\n");
    assert_eq!(run(&world, &[]).code, 0);
    let world = one(write).settings("[secrets]\nscan = false\n");
    assert_eq!(run(&world, &[]).code, 0);
    assert_eq!(world.paths_of("1.1"), ["fixtures/a.txt", "tasks.md"]);
}

#[test]
fn patterns_and_names_of_variables_are_configured() {
    let world = one("echo \"ACME-1234567 $OTHER $key\"; exit 1")
        .settings("[secrets]\npatterns = ['ACME-\\d+']\nenv = [\"OTH*\"]\n");
    let output = world.env.output(knowing(world.run_command(["-j", "1"])).env("OTHER", "not-so-secret"));
    let log = world.env.spec(["log", "1.1"]).stdout;
    assert!(log.contains("[masked:pattern] [masked:OTHER] [masked:github-token]"), "{log} {output}");
    let world = one("echo \"$key $DEPLOY_TOKEN\"; exit 1").settings("[secrets]\nmask = false\n");
    assert_eq!(run(&world, &[]).code, 1);
    assert!(world.env.spec(["log", "1.1"]).stdout.contains(&format!("{} {VALUE}", key())), "as it is asked for");
    let world = one("true").settings("[secrets]\npatterns = [\"(\"]\n");
    let output = run(&world, &[]);
    assert!(
        output.code == 2 && output.stderr.contains("spec.toml:2: secrets.patterns has `(`, which is not a regular"),
        "{output}"
    );
}

/// Runs a list with an agent that the settings describe; it prints its environment.
fn environment(settings: &str) -> (World, Output) {
    let world = World::new("# Tasks\n\n- [ ] 1.1 Do it\n").settings(&format!(
        "[agents.mine]\nprogram = \"sh\"\nargs = [\"-c\", 'env > \"$HOME/env\"; echo a > a.txt; echo \"$DEPLOY_TOKEN\"; echo TASK_COMPLETE']\n\
         prompt = \"stdin\"\nformat = \"text\"\n{settings}"
    ));
    let mut command = knowing(world.env.spec_command(["run", "tasks.md", "--agent", "mine", "--max-attempts", "1"]));
    command.envs([("CLAUDECODE", "1"), ("CODEX_THREAD_ID", "t"), ("PROD_URL", "p"), ("ANTHROPIC_API_KEY", "sk-x")]);
    let output = world.env.output(&mut command);
    assert_eq!(output.code, 0, "{output}");
    (world, output)
}

#[test]
fn an_agent_gets_the_environment_that_is_let_through() {
    let has = |world: &World, name: &str| {
        world.env.read("../home/env").lines().any(|line| line.starts_with(&format!("{name}=")))
    };
    let (world, output) = environment("");
    for name in ["PATH", "HOME", "PROD_URL", "ANTHROPIC_API_KEY", "DEPLOY_TOKEN", "SPEC_TASK_ID"] {
        assert!(has(&world, name), "{name}");
    }
    assert!(!has(&world, "CLAUDECODE") && !has(&world, "CODEX_THREAD_ID"), "it runs inside no other agent");
    std::fs::remove_file(world.env.path("../home/env")).expect("it is there");
    nowhere(&world, &output);
    assert!(world.env.spec(["log", "1.1"]).stdout.contains("[masked:DEPLOY_TOKEN]"));

    let (world, _) = environment("[agent_env]\npass = [\"ANTHROPIC_*\"]\n");
    for name in ["PATH", "ANTHROPIC_API_KEY", "SPEC_TASK_ID"] {
        assert!(has(&world, name), "{name}");
    }
    assert!(!has(&world, "PROD_URL") && !has(&world, "DEPLOY_TOKEN"), "{}", world.env.read("../home/env"));

    let (world, _) = environment("[agent_env]\nremove = [\"PROD_*\"]\n");
    assert!(has(&world, "DEPLOY_TOKEN") && !has(&world, "PROD_URL"));
}

#[test]
fn the_prompt_that_is_shown_is_masked_as_the_one_that_is_sent() {
    let world = World::new(&format!("# Tasks\n\n- [ ] 1.1 Use {VALUE}\n  - **Do**: echo {} > a.txt\n", key()));
    let shown = world.env.output(&mut knowing(world.env.spec_command(["prompt", "1.1"])));
    assert!(
        shown.stdout.contains("1.1 Use [masked:DEPLOY_TOKEN]\n  - **Do**: echo [masked:github-token] >"),
        "{shown}"
    );
}
