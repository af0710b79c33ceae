//! What agents are told by `spec hook`, over runs that a session really has: held back while there is something to do, let
//! go in every other case. The inputs are those that were recorded of the real programs, where they are there.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests play a session, whose files and times are its own"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::env::Output;
use crate::inside::{Session, tasks};
use crate::world::World;

const LIST: &str = "\
- [ ] 1.1 Begin
  - **Do**: echo one > one.txt
  - **Files**: one.txt
- [ ] 1.2 [P] First
  - **Do**: mkdir -p src; echo a > a.txt; echo a > src/a.rs
  - **Files**: a.txt, src/*.rs
- [ ] 1.3 [P] Second
  - **Do**: echo b > b.txt
  - **Files**: b.txt
- [ ] 1.4 Last
  - **Do**: echo z > z.txt
";

fn hook(world: &World, moment: &str, folder: &Path, input: &str) -> Output {
    let mut command = world.env.spec_command(["hook", moment]);
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = world.env.finished(&child.wait_with_output().expect("it ends"));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "never an error: {output}");
    output
}

/// What a hook says to this input, from the root of the tree; null where it says nothing.
fn ask(world: &World, moment: &str, input: &Value) -> Value {
    let output = hook(world, moment, &world.env.work(), &input.to_string());
    if output.stdout.is_empty() { Value::Null } else { output.json() }
}

/// Claude Code's input at the end of a turn.
fn stop(world: &World, session: &str) -> Value {
    json!({
        "session_id": session, "cwd": world.env.work(), "hook_event_name": "Stop", "stop_hook_active": false,
        "last_assistant_message": "All tasks are done. ALL_TASKS_COMPLETE", "background_tasks": [],
    })
}

fn with(mut input: Value, name: &str, value: Value) -> Value {
    input[name] = value;
    input
}

fn world() -> World {
    World::new(LIST)
}

fn session(world: &World) -> Session<'_> {
    Session { world, name: "s1" }
}

fn held(answer: &Value) -> String {
    assert_eq!(answer["decision"], "block", "{answer}");
    answer["reason"].as_str().expect("a reason").to_owned()
}

/// A session that has task 1.1.
fn begun() -> World {
    let world = world();
    session(&world).next();
    world
}

fn silent_for(world: &World, minutes: u64) {
    let lease = File::options().write(true).open(world.env.path(".spec/lease.json")).unwrap();
    lease.set_modified(SystemTime::now() - Duration::from_secs(minutes * 60)).unwrap();
}

#[test]
fn a_session_with_something_to_do_is_held_back_and_told_what() {
    let world = world();
    let session = session(&world);
    assert_eq!(ask(&world, "stop", &stop(&world, "s1")), Value::Null, "nothing was begun");
    let first = tasks(&session.next());
    let reason = held(&ask(&world, "stop", &stop(&world, "s1")));
    assert!(reason.contains("Not finished: 1.1"), "{reason}");
    assert!(reason.contains("`spec finish --file tasks.md --session s1 1.1`"), "{reason}");
    assert!(reason.len() < 300, "{reason}");
    session.act(&first["1.1"]);
    session.finish(&["1.1"]);
    let reason = held(&ask(&world, "stop", &with(stop(&world, "s1"), "stop_hook_active", json!(true))));
    assert!(reason.contains("3 of 4 tasks of tasks.md are left. Run `spec next tasks.md --session s1`"), "{reason}");
    session.play();
    assert_eq!(ask(&world, "stop", &stop(&world, "s1")), Value::Null, "all is done");
}

/// What is answered to one input each, by a session that has task 1.1. No input changes what the next is answered.
#[test]
fn every_input_has_its_answer() {
    let world = begun();
    let own = || stop(&world, "s1");
    let (root, home) = (world.env.work(), world.env.path("../home"));
    std::fs::create_dir_all(world.env.path("src/deep")).unwrap();
    std::os::unix::fs::symlink(&root, world.env.path("../link")).unwrap();
    let is = |name: &str, value: Value| with(own(), name, value);
    let without = |name: &str| {
        let mut input = own();
        input.as_object_mut().unwrap().remove(name);
        input
    };
    let gemini = |more: Value| {
        let mut input =
            json!({ "session_id": "s1", "cwd": root, "hook_event_name": "AfterAgent", "stop_hook_active": false });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let task = |kind: &str, status: &str| json!([{ "id": "b1", "type": kind, "status": status, "description": "x" }]);
    let (held, let_go) = ("block", "");
    let table = [
        // Claude Code.
        ("the end of a turn", own(), held),
        ("it goes on because of us", is("stop_hook_active", json!(true)), held),
        ("it says that all is done", is("last_assistant_message", json!("ALL_TASKS_COMPLETE")), held),
        ("it says nothing", is("last_assistant_message", json!("")), held),
        ("it quotes what we say", is("last_assistant_message", json!("Not finished: 1.1. Run `spec next`.")), held),
        ("no last words", without("last_assistant_message"), held),
        ("no event", without("hook_event_name"), held),
        ("an event nobody knows", is("hook_event_name", json!("TurnEnd")), held),
        ("whether it goes on is no truth value", is("stop_hook_active", json!("yes")), held),
        ("no word of whether it goes on", without("stop_hook_active"), held),
        ("a transcript", is("transcript_path", json!("/nowhere/t.jsonl")), held),
        ("fields nobody knows", is("weather", json!({ "rain": [1, 2] })), held),
        ("a mode", is("permission_mode", json!("plan")), held),
        ("a server runs behind it", is("background_tasks", task("shell", "running")), held),
        ("a monitor runs behind it", is("background_tasks", task("monitor", "running")), held),
        ("background tasks that are none", is("background_tasks", json!("many")), held),
        ("a sub-agent works behind it", is("background_tasks", task("subagent", "running")), let_go),
        ("a sub-agent waits behind it", is("background_tasks", task("subagent", "pending")), let_go),
        ("a workflow runs behind it", is("background_tasks", task("workflow", "running")), let_go),
        ("another session", stop(&world, "s2"), let_go),
        ("a session of a longer name", stop(&world, "s10"), let_go),
        ("a session of another case", stop(&world, "S1"), let_go),
        ("who has no name", stop(&world, "unnamed"), let_go),
        ("a sub-agent", is("agent_id", json!("a1")), let_go),
        ("a sub-agent with a kind", with(is("agent_id", json!("a1")), "agent_type", json!("executor")), let_go),
        ("the end of a sub-agent", is("hook_event_name", json!("SubagentStop")), let_go),
        ("no session", is("session_id", Value::Null), let_go),
        ("no word of a session", without("session_id"), let_go),
        ("an empty session", is("session_id", json!("")), let_go),
        ("a session that is no text", is("session_id", json!(7)), let_go),
        // Where it works.
        ("a folder below", is("cwd", json!(root.join("src/deep"))), held),
        ("a folder with dots", is("cwd", json!(root.join("src/../src/./deep"))), held),
        ("a folder with a slash", is("cwd", json!(format!("{}/", root.display()))), held),
        ("a link to the folder", is("cwd", json!(world.env.path("../link/src"))), held),
        ("its own folder where none is named", without("cwd"), held),
        ("its own folder where that is no text", is("cwd", json!(["."])), held),
        ("the folder of the program's own files", is("cwd", json!(root.join(".spec"))), held),
        ("another folder", is("cwd", json!(home)), let_go),
        ("the folder above", is("cwd", json!(root.parent())), let_go),
        ("a folder that is not there", is("cwd", json!("/nowhere/at/all")), let_go),
        ("a file for a folder", is("cwd", json!(root.join("tasks.md/x"))), let_go),
        // The others.
        ("Gemini", gemini(json!({ "prompt": "go", "prompt_response": "done" })), "deny"),
        ("Gemini, which says all twice", gemini(json!({ "prompt_response": "a b. a  b." })), "deny"),
        ("Gemini, another session", gemini(json!({ "session_id": "g2" })), let_go),
        ("Codex", with(is("turn_id", json!("t1")), "model", json!("gpt")), held),
        ("Qwen", with(is("context_usage", json!(0.006)), "crons", json!([])), held),
        ("Copilot", with(without("last_assistant_message"), "stop_reason", json!("end_turn")), held),
        ("opencode, by our plugin", json!({ "hook_event_name": "Stop", "session_id": "s1", "cwd": root }), held),
        // No such thing at all.
        ("a list", json!([1, 2]), let_go),
        ("a text", json!("stop"), let_go),
        ("a number", json!(1), let_go),
        ("nothing", Value::Null, let_go),
        ("nothing in it", json!({}), let_go),
    ];
    for (what, input, expected) in &table {
        std::fs::remove_file(world.env.path(".spec/hook.json")).ok();
        let answer = ask(&world, "stop", input);
        assert_eq!(answer["decision"].as_str().unwrap_or_default(), *expected, "{what}: {answer}");
        assert_eq!(world.env.path(".spec/hook.json").exists(), !expected.is_empty(), "{what}");
    }
    let unreadable = ["", " ", "{", "\0\u{1}", "null", "{\"session_id\": \"s1\"", "\u{feff}{}", &"[".repeat(100_000)];
    for input in unreadable {
        assert_eq!(hook(&world, "stop", &world.env.work(), input).stdout, "", "{input:.20}");
    }
    println!("{} inputs, and {} that cannot be read", table.len(), unreadable.len());
}

#[test]
fn it_lets_go_a_run_that_cannot_go_on_now() {
    let silent = begun();
    silent_for(&silent, 31);
    assert_eq!(ask(&silent, "stop", &stop(&silent, "s1")), Value::Null, "its lease is free");

    let paused = begun();
    assert_eq!(paused.env.spec(["pause"]).code, 0);
    assert_eq!(ask(&paused, "stop", &stop(&paused, "s1")), Value::Null, "a person has paused it");
    assert_eq!(paused.env.spec(["resume"]).code, 0);
    held(&ask(&paused, "stop", &stop(&paused, "s1")));

    let cancelled = begun();
    assert_eq!(cancelled.env.spec(["cancel"]).code, 0);
    assert_eq!(ask(&cancelled, "stop", &stop(&cancelled, "s1")), Value::Null, "a person has ended it");

    let failed = World::new(LIST).settings("[run]\nmax_attempts = 1");
    session(&failed).next();
    session(&failed).finish(&["--failed", "1.1=no"]);
    assert_eq!(ask(&failed, "stop", &stop(&failed, "s1")), Value::Null, "a step failed for good");

    let broken = begun();
    broken.env.write("tasks.md", "nothing is left of it\n");
    let output = session(&broken).call(&["finish", "1.1"]);
    assert_eq!(output.code, 2, "{output}");
    broken.env.write(".spec/lease.json", "{\"session\": \"s1\"");
    assert_eq!(ask(&broken, "stop", &stop(&broken, "s1")), Value::Null, "the lease cannot be read");

    let lost = begun();
    for run in std::fs::read_dir(lost.env.path(".spec/runs")).unwrap() {
        std::fs::remove_file(run.unwrap().path().join("journal.jsonl")).unwrap();
    }
    assert_eq!(ask(&lost, "stop", &stop(&lost, "s1")), Value::Null, "nobody knows of such a run");

    let off = World::new(LIST).settings("[hook]\nmax_blocks = 0");
    session(&off).next();
    assert_eq!(ask(&off, "stop", &stop(&off, "s1")), Value::Null, "a person does not want it");
}

#[test]
fn it_lets_go_where_nothing_comes_of_it_and_asks_anew_when_something_does() {
    let world = begun();
    let again = || with(stop(&world, "s1"), "stop_hook_active", json!(true));
    let is_held = |input: &Value| ask(&world, "stop", input) != Value::Null;
    assert_eq!([stop(&world, "s1"), again(), again()].map(|it| is_held(&it)), [true, true, false]);
    // A person's next turn is asked anew; one that only goes on because of us is not.
    assert_eq!([again(), stop(&world, "s1"), again(), again()].map(|it| is_held(&it)), [false, true, true, false]);
    // `spec next` alone is no progress; an end of a try is, even of one that failed.
    session(&world).next();
    assert!(!is_held(&again()));
    session(&world).finish(&["1.1"]);
    assert_eq!([again(), again(), again()].map(|it| is_held(&it)), [true, true, false]);
    // Gemini never says that it goes on because of us.
    let gemini = with(with(stop(&world, "s1"), "hook_event_name", json!("AfterAgent")), "prompt", json!("go"));
    session(&world).next();
    let answer = ask(&world, "stop", &gemini);
    assert_eq!(answer["decision"], "deny", "{answer}");
    assert_eq!([is_held(&gemini), is_held(&gemini)], [true, false]);
}

#[test]
fn its_own_cap_counts_over_the_whole_run() {
    let world = World::new(LIST).settings("[hook]\nmax_blocks = 3");
    let session = session(&world);
    let mut held = 0;
    for _ in 0..8 {
        let step = session.next();
        if step["state"] == "over" {
            break;
        }
        held += usize::from(ask(&world, "stop", &stop(&world, "s1")) != Value::Null);
        let all = tasks(&step);
        for task in all.values() {
            session.act(task);
        }
        let ids: Vec<&str> = all.keys().map(String::as_str).collect();
        session.finish(&ids);
        held += usize::from(ask(&world, "stop", &stop(&world, "s1")) != Value::Null);
    }
    assert_eq!(held, 3);
}

#[test]
fn it_works_from_wherever_the_session_is() {
    let world = begun();
    let below = world.env.path("src/deep");
    std::fs::create_dir_all(&below).unwrap();
    let from = |folder: &Path| {
        let input = with(stop(&world, "s1"), "cwd", json!(folder));
        hook(&world, "stop", folder, &input.to_string()).json()
    };
    held(&from(&below));
    session(&world).act(&tasks(&session(&world).next())["1.1"]);
    session(&world).finish(&["1.1"]);
    let slot = tasks(&session(&world).next())["1.2"]["folder"].as_str().unwrap().replace("$ENV/work", ".");
    held(&from(&world.env.path(slot)));

    // A linked tree of the repository, in which a session of its own works, with the list in a folder.
    let world = World::new("- [ ] 1.1 Something\n");
    world.env.write("specs/x/tasks.md", LIST);
    world.commit("chore: a spec");
    let linked = world.env.path("../linked");
    world.env.git(["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    let mut next = world.env.spec_command(["next", "specs/x", "--session", "s3"]);
    let output = world.env.output(next.current_dir(&linked));
    assert_eq!(output.code, 0, "{output}");
    let deep = linked.join("specs");
    let input = with(stop(&world, "s3"), "cwd", json!(deep));
    let answer = hook(&world, "stop", &deep, &input.to_string()).json();
    assert!(held(&answer).contains("x/tasks.md"), "{answer}");
    assert_eq!(ask(&world, "stop", &stop(&world, "s3")), Value::Null, "the other tree is another folder");

    // Without git.
    let world = World::without_git(LIST);
    session(&world).next();
    held(&ask(&world, "stop", &stop(&world, "s1")));
}

#[test]
fn the_end_of_a_sub_agent_is_noted_and_passes_no_gate() {
    let world = begun();
    let ended = |said: Option<&str>| {
        let input = json!({
            "session_id": "s1", "cwd": world.env.work(), "hook_event_name": "SubagentStop", "agent_id": "a1",
            "last_assistant_message": said,
        });
        assert_eq!(ask(&world, "subagent-stop", &input), Value::Null);
    };
    let reason = || held(&ask(&world, "stop", &stop(&world, "s1")));
    ended(Some("I could not do it."));
    assert!(reason().contains("Not finished: 1.1"));
    ended(Some("Done.\n\nTASK_COMPLETE"));
    assert!(reason().contains("say that they are done: run `spec finish"));
    assert_eq!(session(&world).finish(&["1.1"])["exit"], 1, "nothing was changed");
    assert!(!world.ticked("1.1"));
    session(&world).act(&tasks(&session(&world).next())["1.1"]);
    session(&world).finish(&["1.1"]);
    session(&world).next();
    // Of several the one that says which it was.
    ended(Some("TASK_COMPLETE"));
    ended(Some("1.2 and 1.3 look fine.\nTASK_COMPLETE"));
    assert!(reason().contains("Not finished: 1.2, 1.3"));
    ended(Some("Task 1.3: written.\nTASK_COMPLETE"));
    assert!(reason().contains("Not finished: 1.2, 1.3"));
    session(&world).finish(&["--no-change", "1.3=it was there"]);
    ended(None);
    assert!(reason().contains("The sub-agents of 1.2 say"));
}

#[test]
fn as_many_sub_agents_as_tasks_have_done_them_whoever_had_which() {
    let world = begun();
    session(&world).act(&tasks(&session(&world).next())["1.1"]);
    session(&world).finish(&["1.1"]);
    session(&world).next();
    let ended = |agent: &str| {
        let input = json!({
            "session_id": "s1", "cwd": world.env.work(), "hook_event_name": "SubagentStop", "agent_id": agent,
            "last_assistant_message": "It is done.\n\nTASK_COMPLETE",
        });
        assert_eq!(ask(&world, "subagent-stop", &input), Value::Null);
    };
    let reason = || held(&ask(&world, "stop", &stop(&world, "s1")));
    ended("a1");
    ended("a1");
    assert!(reason().contains("Not finished: 1.2, 1.3"), "one that ended twice is one");
    ended("a2");
    assert!(reason().contains("The sub-agents of 1.2, 1.3 say that they are done: run `spec finish"));
}

/// What the page about it does not name nobody knows whether to remove.
#[test]
fn everything_that_a_run_keeps_beside_its_list_is_documented() {
    let world = world();
    let session = session(&world);
    session.act(&tasks(&session.next())["1.1"]);
    session.finish(&["1.1"]);
    session.next();
    held(&ask(&world, "stop", &stop(&world, "s1")));
    let ended = with(stop(&world, "s1"), "hook_event_name", json!("SubagentStop"));
    ask(&world, "subagent-stop", &with(ended, "last_assistant_message", json!("1.2 is done.\n\nTASK_COMPLETE")));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/state-format.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let mut seen = Vec::new();
    for (folder, name) in [(".spec".to_owned(), ".spec"), (run_folder(&world), ".spec/runs/RUN")] {
        for entry in std::fs::read_dir(world.env.path(folder)).unwrap().flatten() {
            let end = if entry.path().is_dir() { "/" } else { "" };
            seen.push(format!("`{name}/{}{end}", entry.file_name().to_string_lossy()));
        }
    }
    let missing: Vec<&String> = seen.iter().filter(|name| !page.contains(name.as_str())).collect();
    assert!(missing.is_empty() && seen.len() >= 9, "{missing:?} of {seen:?}");
}

fn run_folder(world: &World) -> String {
    let runs = std::fs::read_dir(world.env.path(".spec/runs")).unwrap().flatten();
    let names: Vec<_> = runs.map(|run| run.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    format!(".spec/runs/{}", names[0])
}

/// A tool of Claude Code that writes a file.
fn write(world: &World, path: &Path) -> Value {
    json!({
        "session_id": "s1", "cwd": world.env.work(), "hook_event_name": "PreToolUse", "tool_name": "Write",
        "tool_input": { "file_path": path, "content": "x" },
    })
}

#[test]
fn writes_outside_the_files_of_a_task_are_warned_of_or_refused() {
    for (ownership, refused) in [("warn", false), ("deny", true)] {
        let world = World::new(LIST).settings(&format!("[run]\nownership = \"{ownership}\""));
        let session = session(&world);
        let first = tasks(&session.next());
        let at = |path: &str| world.env.path(path);
        let asked = |path: PathBuf| ask(&world, "pre-tool", &write(&world, &path));
        let why = |answer: &Value| {
            let output = &answer["hookSpecificOutput"];
            assert_eq!(output["hookEventName"], "PreToolUse", "{answer}");
            assert_eq!(output["permissionDecision"] == "deny", refused, "{answer}");
            let name = if refused { "permissionDecisionReason" } else { "additionalContext" };
            output[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
        };
        assert_eq!(asked(at("one.txt")), Value::Null, "its own");
        assert_eq!(asked(at("./src/../one.txt")), Value::Null);
        assert_eq!(asked("one.txt".into()), Value::Null);
        assert_eq!(asked(at(".progress-task-0.md")), Value::Null);
        assert_eq!(asked(at("../home/scratch")), Value::Null, "not of this tree");
        assert!(why(&asked(at("other.txt"))).contains("other.txt is not among the files of task 1.1 (one.txt)"));
        assert!(why(&asked(at("tasks.md"))).contains("spec ticks boxes itself"));
        let mut read = write(&world, &at("other.txt"));
        read["tool_name"] = json!("Read");
        assert_eq!(ask(&world, "pre-tool", &read), Value::Null);
        let patch = json!({
            "session_id": "s1", "cwd": world.env.work(), "hook_event_name": "PreToolUse", "tool_name": "apply_patch",
            "tool_input": { "input": "*** Begin Patch\n*** Update File: one.txt\n+x\n*** Add File: more.txt\n+y\n" },
        });
        assert!(why(&ask(&world, "pre-tool", &patch)).contains("more.txt"));
        let other = with(write(&world, &at("other.txt")), "session_id", json!("s2"));
        assert_eq!(ask(&world, "pre-tool", &other), Value::Null);
        let mut gemini = with(write(&world, &at("other.txt")), "hook_event_name", json!("BeforeTool"));
        gemini["tool_name"] = json!("write_file");
        let answer = ask(&world, "pre-tool", &gemini);
        assert_eq!(answer["decision"] == "deny", refused, "{answer}");

        // Each in a tree of its own: the shared one is nobody's.
        session.act(&first["1.1"]);
        session.finish(&["1.1"]);
        let group = tasks(&session.next());
        let inside = |task: &str, path: &str| {
            let folder = group[task]["folder"].as_str().unwrap().replace("$ENV/work/", "");
            asked(at(&folder).join(path))
        };
        assert_eq!(inside("1.2", "src/x.rs"), Value::Null);
        assert_eq!(inside("1.2", "a.txt"), Value::Null);
        assert!(why(&inside("1.2", "b.txt")).contains("task 1.2"));
        assert!(why(&asked(at("a.txt"))).contains("in no task's working folder; work on 1.2 in"));
    }
    let off = World::new(LIST).settings("[run]\nownership = \"off\"");
    session(&off).next();
    assert_eq!(ask(&off, "pre-tool", &write(&off, &off.env.path("other.txt"))), Value::Null);
}

/// Gemini CLI tells its hooks which session it is, and its shells nothing.
#[test]
fn a_shell_of_gemini_is_told_its_session() {
    let world = world();
    let shell = |command: &str| {
        let input = json!({
            "session_id": "a1-b2", "cwd": world.env.work(), "hook_event_name": "BeforeTool",
            "tool_name": "run_shell_command", "tool_input": { "command": command, "description": "x" },
        });
        ask(&world, "pre-tool", &input)["hookSpecificOutput"]["tool_input"]["command"].clone()
    };
    assert_eq!(shell("spec next tasks.md"), "export SPEC_SESSION=a1-b2; spec next tasks.md");
    assert_eq!(shell("cd x && spec finish 1.1"), "export SPEC_SESSION=a1-b2; cd x && spec finish 1.1");
    assert_eq!(shell("cargo test"), Value::Null);
    let claude = with(write(&world, Path::new("x")), "tool_name", json!("Bash"));
    assert_eq!(ask(&world, "pre-tool", &claude), Value::Null);
}

#[test]
fn a_session_that_begins_is_told_where_the_spec_stands() {
    let world = world();
    let start = |session: &str| json!({ "session_id": session, "cwd": world.env.work(), "hook_event_name": "SessionStart", "source": "compact" });
    assert_eq!(ask(&world, "session-start", &start("s1")), Value::Null, "nothing is worked on");
    session(&world).next();
    let told = |session: &str| {
        let answer = ask(&world, "session-start", &start(session));
        assert_eq!(answer["hookSpecificOutput"]["hookEventName"], "SessionStart", "{answer}");
        answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap().to_owned()
    };
    let own = told("s1");
    assert!(own.contains("0 of 4 tasks of tasks.md are done; handed out to you: 1.1."), "{own}");
    assert!(own.contains("`spec next tasks.md --session s1`"), "{own}");
    assert!(told("s2").contains("Another session (s1) works on it"));
    silent_for(&world, 31);
    assert!(told("s2").contains("`spec next tasks.md --session s2` goes on with it"));
}

#[test]
fn a_session_that_has_ended_is_in_nobodys_way_and_may_come_back() {
    let world = begun();
    let end = |name: &str| {
        let input =
            json!({ "session_id": name, "cwd": world.env.work(), "hook_event_name": "SessionEnd", "reason": "other" });
        assert_eq!(ask(&world, "session-end", &input), Value::Null);
    };
    let second = Session { world: &world, name: "s2" };
    end("s2");
    assert_eq!(second.call(&["next"]).code, 3, "only its own end counts");
    end("s1");
    assert_eq!(ask(&world, "stop", &stop(&world, "s1")), Value::Null, "it is not there any more");
    assert_eq!(tasks(&session(&world).next()).len(), 1, "it is resumed");
    assert_eq!(second.call(&["next"]).code, 3);
    end("s1");
    let given = tasks(&second.next());
    assert_eq!(given.keys().collect::<Vec<_>>(), ["1.1"]);
    second.play();
    assert!(world.list().matches("- [x]").count() == 4, "{}", world.list());
}

/// Everything that was recorded of the real programs is answered, and only where the session has something to do.
#[test]
fn the_recorded_inputs_of_real_agents_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/agents/samples");
    let mut seen = 0;
    for agent in ["claude", "copilot", "gemini", "qwen"] {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{agent}-hook-inputs.jsonl"))) else { continue };
        let inputs = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let inputs = inputs.map(|line| line.get("in").cloned().unwrap_or(line));
        let wanted = inputs.filter(|it| matches!(it["hook_event_name"].as_str(), Some("Stop" | "AfterAgent")));
        let Some(input) = wanted.into_iter().next() else { continue };
        let world = world();
        let name: &'static str = Box::leak(input["session_id"].as_str().expect("a session").to_owned().into());
        assert_eq!(ask(&world, "stop", &input), Value::Null, "another machine's folder");
        Session { world: &world, name }.next();
        let answer = ask(&world, "stop", &with(input, "cwd", json!(world.env.work())));
        let decision = if agent == "gemini" { "deny" } else { "block" };
        assert_eq!(answer["decision"], decision, "{agent}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains("Not finished: 1.1"), "{agent}: {answer}");
        seen += 1;
    }
    if seen == 0 {
        println!("skipped: no recorded inputs beside the project");
    }
}

/// Not a bound in a test, since machines differ: `cargo test --test honesty hooks::time -- --nocapture` says it.
#[test]
fn time_of_the_stop_hook_is_said() {
    let world = begun();
    let input = stop(&world, "s1").to_string();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            assert!(hook(&world, "stop", &world.env.work(), &input).stdout.len() < 2000);
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("the median of {} calls of `spec hook stop` is {:?}", times.len(), times[times.len() / 2]);
}
