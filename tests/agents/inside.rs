//! Lists that are carried out from inside the real programs, with what `spec plugin install` puts into a home of the test: the
//! program is told `/spec:run` once, and its model does just what the command, `spec` itself and the hooks then say
//! (`model::naive`). It ends its turn after each step, so that only the stop hook brings a list to its end.

#![expect(clippy::disallowed_methods, reason = "the tests play a person, who writes as any other program does")]

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use serde_json::Value;

use crate::env::Output;
use crate::model::Manner;
use crate::program::Program;
use crate::scene::Scene;

/// Task by task: what its sub-agent does and how it is checked.
fn list(tasks: &[(&str, &str)]) -> String {
    let task = |(at, (marks, words)): (usize, &(&str, &str))| {
        let id = at + 1;
        format!(
            "- [ ] 1.{id} {marks}Task {id}\n  - **Do**: {words}\n  - **Files**: {id}.md\n  - **Verify**: `grep -x good {id}.md`\n"
        )
    };
    "# Tasks\n\n".to_owned() + &tasks.iter().enumerate().map(task).collect::<String>()
}

/// A task that is done as it should be.
fn good(id: usize) -> String {
    format!("[[stub:write {id}.md good]]")
}

/// Claude Code as a script would start it.
fn claude(scene: &Scene, args: &[&str]) -> Said {
    Said::of(scene.world.env.output(&mut command(scene, args)))
}

fn command(scene: &Scene, args: &[&str]) -> Command {
    let (words, options) = args.split_last().expect("a prompt");
    let mut command = scene.program(&["-p", "--output-format", "stream-json", "--verbose"]);
    command.args(options);
    command.args([
        "--permission-mode",
        "acceptEdits",
        "--allowedTools",
        "Bash,Edit,Write,Read,Task,mcp__plugin_spec_spec",
        "--",
        words,
    ]);
    command
}

/// What a program printed.
struct Said {
    output: Output,
    /// Its last words.
    result: String,
    session: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let events: Vec<Value> = output.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let last = events.iter().rev().find(|event| event["type"] == "result").cloned().unwrap_or_default();
        let text = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
        Self { result: text("result"), session: text("session_id"), output }
    }
}

/// How often the stop hook held a session back.
fn blocks(scene: &Scene) -> u64 {
    let record: Value = serde_json::from_str(&scene.world.env.read(".spec/hook.json")).expect("JSON");
    record["blocks"].as_u64().expect("a number")
}

/// Every task landed once, in order, and is ticked.
fn is_done(scene: &Scene, tasks: usize) {
    let landed: Vec<String> = scene.world.history().into_iter().filter(|it| !it.starts_with("chore: ")).collect();
    let expected: Vec<String> = (1..=tasks).map(|id| format!("1.{id}")).collect();
    assert_eq!(landed, expected, "{}", scene.talk());
    assert_eq!(scene.world.list().matches("- [x]").count(), tasks, "{}", scene.world.list());
    assert!(!scene.world.env.path(".spec/lease.json").exists(), "nobody has it any more");
}

/// Eight tasks in four steps; of the group the first three wait for each other at the model.
fn eight() -> String {
    let together = |id| format!("[[stub:meet 3]] {}", good(id));
    let words: Vec<String> = (1..=8).map(|id| if (2..=4).contains(&id) { together(id) } else { good(id) }).collect();
    let marks = |at| if (1..6).contains(&at) { "[P] " } else { "" };
    list(&words.iter().enumerate().map(|(at, words)| (marks(at), words.as_str())).collect::<Vec<_>>())
}

#[test]
fn claude_carries_out_a_list_to_its_end_by_the_stop_hook_alone() {
    let Some(scene) = Scene::inside(Program::Claude, &eight()) else { return };
    let said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    is_done(&scene, 8);
    assert!(said.result.contains("ALL_TASKS_COMPLETE"), "{}", said.result);
    assert!(scene.model.most_at_once() >= 3, "{}", scene.talk());
    // Five times something was handed out: the group is one of five, at most three at once.
    assert_eq!(blocks(&scene), 4, "{}", scene.talk());
}

#[test]
fn claude_carries_out_twenty_steps_although_it_ends_a_turn_by_force_after_eight_blocks_in_a_row() {
    let words: Vec<String> = (1..=20).map(good).collect();
    let tasks: Vec<(&str, &str)> = words.iter().map(|words| ("", words.as_str())).collect();
    let Some(scene) = Scene::inside(Program::Claude, &list(&tasks)) else { return };
    let said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    is_done(&scene, 20);
    assert!(said.result.contains("ALL_TASKS_COMPLETE"), "{}", said.result);
    assert_eq!(blocks(&scene), 19, "{}", scene.talk());
}

/// The first time it waits in the pipe `go`, when it has said in `begun` that it is there.
fn waits(id: usize) -> String {
    format!(
        "[[stub:shell test -e $HOME/was || {{ touch $HOME/was; echo > $HOME/begun; cat $HOME/go; }}; echo good > {id}.md]]"
    )
}

fn plain(words: &[String]) -> String {
    list(&words.iter().map(|words| ("", words.as_str())).collect::<Vec<_>>())
}

#[test]
fn claude_is_not_believed_and_what_failed_is_done_again() {
    // The number of the try is that of the lines in a file of the home.
    let from = |id: usize, tries: usize, before: &str| {
        format!(
            "[[stub:shell echo x >> $HOME/{id}; if test $(wc -l < $HOME/{id}) -lt {tries}; then {before}; else echo good > {id}.md; fi]]"
        )
    };
    let words = [good(1), from(2, 2, "true"), from(3, 3, "echo bad > 3.md"), from(4, 4, "true"), good(5)];
    let marks = ["", "[P] ", "[P] ", "", ""];
    let list = list(&marks.into_iter().zip(words.iter().map(String::as_str)).collect::<Vec<_>>());
    let Some(scene) = Scene::inside(Program::Claude, &list) else { return };
    let scene = scene.settings("[run]\nmax_attempts = 3");
    let said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    let codes: Vec<_> =
        scene.world.events("task_retry").iter().map(|it| [it["task"].clone(), it["code"].clone()]).collect();
    assert_eq!(
        codes,
        [
            ["1.2", "no_change"],
            ["1.3", "verify_failed"],
            ["1.3", "verify_failed"],
            ["1.4", "no_change"],
            ["1.4", "no_change"]
        ],
        "{}",
        scene.talk()
    );
    assert_eq!([1, 2, 3, 4, 5].map(|id| scene.world.ticked(&format!("1.{id}"))), [true, true, true, false, false]);
    assert!(said.result.contains("TASK_FAILED"), "{}", said.result);
    // What failed for good is a person's to mend; then the same command goes on.
    let said = claude(&scene, &["--resume", &said.session, "/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    is_done(&scene, 5);
}

#[test]
fn claude_goes_on_with_the_same_step_when_its_conversation_was_compacted() {
    let Some(scene) = Scene::inside(Program::Claude, &eight()) else { return };
    // Its fifth answer asks for the second step, whose text it then never sees.
    scene.model.behave(Manner { full_at: 5, ..Manner::default() });
    let said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    assert!(said.output.stdout.contains("compact_boundary"), "{}\n{}", said.output, scene.talk());
    is_done(&scene, 8);
    assert_eq!(scene.world.events("task_handed_out").len(), 8, "{}", scene.talk());
}

#[test]
fn a_second_claude_in_the_same_folder_is_told_and_never_held_back() {
    let Some(scene) = Scene::inside(Program::Claude, &plain(&[waits(1), good(2)])) else { return };
    let (begun, go) = (scene.world.fifo("begun"), scene.world.fifo("go"));
    let first = scene.world.start_command(command(&scene, &["/spec:run tasks.md"]));
    std::fs::read(begun).expect("it is at work");
    let second = claude(&scene, &["/spec:run tasks.md"]);
    let third = claude(&scene, &["Say hello."]);
    std::fs::write(go, "").expect("it goes on");
    let first = Said::of(scene.world.finish(first));
    for other in [&second, &third] {
        assert_eq!(other.output.code, 0, "{}", other.output);
        assert!(!other.output.stdout.contains("Stop hook feedback"), "{}", other.output);
    }
    assert!(second.result.contains("--take-over"), "{}", second.result);
    assert_eq!(first.output.code, 0, "{}\n{}", first.output, scene.talk());
    assert_ne!(first.session, second.session);
    is_done(&scene, 2);
}

#[test]
fn claude_lets_go_when_a_person_stops_it_and_a_new_session_goes_on() {
    let Some(scene) = Scene::inside(Program::Claude, &plain(&[good(1), waits(2), good(3)])) else { return };
    let (begun, _go) = (scene.world.fifo("begun"), scene.world.fifo("go"));
    let first = scene.world.start_command(command(&scene, &["/spec:run tasks.md"]));
    std::fs::read(begun).expect("it is at work");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .expect("sent");
    let first = Said::of(scene.world.finish(first));
    assert!(!scene.world.ticked("1.2"), "{}", first.output);
    let second = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(second.output.code, 0, "{}\n{}", second.output, scene.talk());
    assert_ne!(first.session, second.session);
    is_done(&scene, 3);
}

#[test]
fn claude_goes_on_over_a_state_file_and_a_lease_that_are_damaged() {
    let damage = |id: usize, file: &str| format!("[[stub:shell echo good > {id}.md; echo '{{' > {file}]]");
    let words = [good(1), damage(2, ".spec-state.json"), good(3), damage(4, ".spec/lease.json"), good(5)];
    let Some(scene) = Scene::inside(Program::Claude, &plain(&words)) else { return };
    let mut said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    if !said.result.contains("ALL_TASKS_COMPLETE") {
        said = claude(&scene, &["--resume", &said.session, "/spec:run tasks.md"]);
    }
    assert!(said.result.contains("ALL_TASKS_COMPLETE"), "{}\n{}", said.output, scene.talk());
    is_done(&scene, 5);
}

#[test]
fn claude_ends_a_turn_by_force_and_the_next_goes_on() {
    let Some(scene) = Scene::inside(Program::Claude, &plain(&[good(1), good(2), good(3)])) else { return };
    // It is held back twice without a tool in between: once too often, by this.
    let scene = scene.variable("CLAUDE_CODE_STOP_HOOK_BLOCK_CAP", "1");
    scene.model.behave(Manner { deaf: 1, ..Manner::default() });
    let said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!((said.output.code, said.result.as_str()), (0, ""), "{}\n{}", said.output, scene.talk());
    assert!(scene.world.ticked("1.1") && !scene.world.ticked("1.2"), "{}", scene.world.list());
    let said = claude(&scene, &["--resume", &said.session, "/spec:run tasks.md"]);
    assert!(said.result.contains("ALL_TASKS_COMPLETE"), "{}\n{}", said.output, scene.talk());
    is_done(&scene, 3);
}

#[test]
fn claude_waits_for_sub_agents_that_work_behind_its_back() {
    let Some(scene) = Scene::inside(Program::Claude, &eight()) else { return };
    scene.model.behave(Manner { background: true, ..Manner::default() });
    let said = claude(&scene, &["/spec:run tasks.md"]);
    assert_eq!(said.output.code, 0, "{}\n{}", said.output, scene.talk());
    is_done(&scene, 8);
    let begun: usize = scene.model.log().iter().map(|asked| asked.answer.matches("call Agent").count()).sum();
    assert_eq!(begun, 8, "none was begun twice: {}", scene.talk());
    // And once more for those of which one ended while the other's end was told.
    assert!((4..=6).contains(&blocks(&scene)), "{}", scene.talk());
}

/// A client of MCP that nobody here wrote calls every tool, and what they do passes the same gates.
#[test]
fn claude_uses_every_tool_of_the_server() {
    let Some(scene) = Scene::inside(Program::Claude, &plain(&[good(1), good(2), good(3)])) else { return };
    let note = |tool: &str| format!("[[stub:tool {tool} {{\"task\": \"1.1\", \"text\": \"of {tool}\"}}]] ");
    let words = ["tasks", "plan", "status", "next"].map(|tool| format!("[[stub:tool {tool} {{}}]] ")).concat()
        + &["note_learning", "log_issue", "note_follow_up"].map(note).concat()
        + "[[stub:write 1.md good]] [[stub:tool finish {\"done\": [\"1.1\"]}]] [[stub:tool next {}]] "
        + "[[stub:tool finish {\"done\": [\"1.2\"]}]] [[stub:tool cancel {}]] [[stub:say So much for that.]]";
    let said = claude(&scene, &[&words]);
    assert_eq!((said.output.code, said.result.as_str()), (0, "So much for that."), "{}\n{}", said.output, scene.talk());
    assert_eq!(scene.world.history(), ["chore: add the list", "1.1"], "{}", said.output);
    assert!(!scene.world.ticked("1.2"), "nothing was done for it: {}", said.output);
    let progress = scene.world.env.read(".progress.md");
    for tool in ["note_learning", "log_issue", "note_follow_up"] {
        assert!(progress.contains(&format!("of {tool}")), "{progress}");
    }
    let ends = scene.world.events("run_complete");
    assert_eq!((ends.len(), &ends[0]["outcome"]), (1, &Value::from("interrupted")), "cancelled: {}", said.output);
    assert!(said.output.stdout.contains(&format!("\\\"session\\\": \\\"{}\\\"", said.session)), "{}", said.output);
}

/// The same loop in programs without sub-agents that work at once: they do the tasks of a step themselves, and are held back
/// by the hook of their own form.
fn carries_out_a_list(program: Program, words: &str, options: &[&str]) {
    let Some(scene) = Scene::inside(program, &eight().replace("[[stub:meet 3]] ", "")) else { return };
    let mut command = scene.program(options);
    command.arg(words);
    let output = scene.world.env.output(&mut command);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    is_done(&scene, 8);
    assert_eq!(blocks(&scene), 4, "{output}\n{}", scene.talk());
}

#[test]
fn gemini_carries_out_a_list_to_its_end_by_its_hook_alone() {
    carries_out_a_list(
        Program::Gemini,
        "/spec:run tasks.md",
        &["-m", "gemini-2.5-flash", "-y", "-o", "stream-json", "-p"],
    );
}

#[test]
fn codex_carries_out_a_list_to_its_end_by_its_hook_alone() {
    let options = ["exec", "--json", "--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust"];
    carries_out_a_list(Program::Codex, "Run `spec next tasks.md` and do what it says.", &options);
}

/// opencode has no hook that holds it back: its plugin sends the next message when the session is idle. Of `opencode run`
/// nobody is there any more then, of a server is.
#[test]
fn opencode_carries_out_a_list_to_its_end_by_its_plugin() {
    let Some(scene) = Scene::inside(Program::Opencode, &plain(&[good(1), good(2), good(3)])) else { return };
    let mut server = scene.world.start_command(scene.program(&["serve", "--hostname", "127.0.0.1", "--port", "0"]));
    let mut lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    let address =
        lines.find_map(|line| Some(line.ok()?.split_once("http://")?.1.trim().to_owned())).expect("an address");
    let attach = format!("http://{address}");
    let run = ["run", "--attach", &attach, "--format", "json", "--command", "spec-run", "tasks.md"];
    let output = scene.world.env.output(&mut scene.program(&run));
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    let lease = scene.world.env.path(".spec/lease.json");
    scene.world.state_when(|state| state["phase"] == "completed" && !lease.exists());
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    is_done(&scene, 3);
    assert_eq!(blocks(&scene), 2, "{}", scene.talk());
}
