//! Programs that hang, services that fail, and tools that are refused: no tick, the right code, nothing left running.

use crate::program::Program;
use crate::scene::Scene;
use crate::world::signal_of;

/// One task that is told this, with `a.md` for its file.
fn scene(program: Program, words: &str) -> Option<Scene> {
    Scene::new(program, &format!("# Tasks\n\n- [ ] 1.1 One\n  - **Do**: {words}\n  - **Files**: a.md\n"))
}

/// Runs the task, which is to fail by this code; gives the reason.
fn fails(scene: &Scene, code: &str, args: &[&str]) -> String {
    let output = scene.run(&[&["--max-attempts", "1", "--grace", "1s"], args].concat());
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1");
    let failed = failed.unwrap_or_else(|| panic!("{output}\n{}", scene.talk()));
    assert_eq!(failed["code"], code, "{output}\n{}", scene.talk());
    assert_eq!(output.code, 1, "{output}");
    assert!(!scene.world.ticked("1.1"), "{}", scene.world.list());
    assert!(!scene.world.history().contains(&"1.1".to_owned()));
    failed["reason"].clone()
}

/// The process that a tool named in the file `pid` is not there any more. Tools need `--access full` for that: in a sandbox
/// they have numbers of their own.
fn is_gone(scene: &Scene) {
    let pid = scene.world.env.read("../home/tmp/pid");
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "{pid} still runs");
}

/// The others have no sandbox, and Claude Code refuses that to root.
fn unconfined(program: Program) -> &'static [&'static str] {
    if program == Program::Codex { &["--access", "full"] } else { &[] }
}

/// The tool writes its file, says who it is, and never comes back.
const HANGS_IN_A_TOOL: &str = "[[stub:write a.md x]] [[stub:shell echo $$ > $TMPDIR/pid; exec sleep 100000]]";

fn a_tool_that_hangs(program: Program) {
    let Some(scene) = scene(program, HANGS_IN_A_TOOL) else { return };
    // opencode says of a tool only that it is over: one that hangs is silence like any other.
    let table = if program == Program::Opencode { "run]\nidle" } else { "agent]\ntool" };
    let scene = scene.settings(&format!("[{table}_timeout = \"3s\""));
    let reason = fails(&scene, "stalled", unconfined(program));
    assert!(reason.ends_with("for 3 s"), "{reason}");
    is_gone(&scene);
}

with_each!(a_tool_that_hangs: claude codex gemini qwen, also opencode copilot);

fn a_model_that_never_answers(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:never]]") else { return };
    fails(&scene, "stalled", &["--idle-timeout", "3s"]);
}

with_each!(a_model_that_never_answers: claude codex, also gemini opencode qwen copilot);

/// A child of the tool has the program's own standard output open, and stays when the program has gone.
const HOLDS_THE_PIPE: &str =
    "[[stub:shell setsid sh -c 'echo $$ > $TMPDIR/pid; exec sleep 100000' > /proc/$PPID/fd/1 2>&1 < /dev/null &]]";

fn a_child_that_holds_the_pipe(program: Program) {
    let Some(liar) = scene(program, HOLDS_THE_PIPE) else { return };
    fails(&liar, "no_change", unconfined(program));
    is_gone(&liar);
}

with_each!(a_child_that_holds_the_pipe: claude codex gemini, also opencode qwen copilot);

/// The stream breaks off after the file was written, each time the program tries again.
fn a_stream_that_is_cut(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:cut]]") else { return };
    // Gemini CLI takes what came for the whole answer.
    let code = if program == Program::Gemini { "no_signal" } else { "crash" };
    fails(&patient(scene), code, &[]);
}

with_each!(a_stream_that_is_cut: claude codex gemini, also opencode qwen copilot);

/// Programs try again by themselves: where that can be set, once only.
fn patient(scene: Scene) -> Scene {
    scene.variable("CLAUDE_CODE_MAX_RETRIES", "1")
}

/// A busy service: the task goes on when it is free again, and the try does not count.
fn no_try_is_used_up(scene: &Scene) {
    let output = scene.run(&["--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    assert!(scene.world.ticked("1.1"));
    let mut outcomes: Vec<_> = scene.used().into_iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes.pop().as_deref(), Some("done"), "{output}");
    assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| outcome == "rate_limited"), "{output}");
}

fn a_service_that_is_overloaded(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:status 529 x5]]") else { return };
    no_try_is_used_up(&patient(scene));
}

with_each!(a_service_that_is_overloaded: claude codex);

/// The run comes to its end meanwhile, and nothing is done: whoever tries again by itself for so long, or gives up.
fn nothing_is_done_while_it_lasts(program: Program, words: &str) {
    let Some(scene) = scene(program, &format!("[[stub:write a.md x]] [[stub:{words}]]")) else { return };
    let output = scene.run(&["--run-timeout", "12s", "--grace", "1s"]);
    assert_eq!(output.code, 5, "{output}\n{}", scene.talk());
    assert!(!scene.world.ticked("1.1") && signal_of(&output.stdout, "TASK_FAILED", "1.1").is_none(), "{output}");
}

fn a_service_that_stays_overloaded(program: Program) {
    nothing_is_done_while_it_lasts(program, "status 529");
}

with_each!(a_service_that_stays_overloaded: gemini, also claude codex opencode qwen copilot);

fn an_account_that_stays_used_up(program: Program) {
    // Codex names a time of the clock, in minutes.
    nothing_is_done_while_it_lasts(program, "limit 3600");
}

with_each!(an_account_that_stays_used_up: codex qwen, also claude gemini opencode copilot);

fn an_account_that_is_used_up_for_a_while(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:limit 2 x1]]") else { return };
    no_try_is_used_up(&subscribed(scene));
}

/// Only who is signed in to Claude Code with a subscription is told of its limits.
fn subscribed(scene: Scene) -> Scene {
    scene.variable("ANTHROPIC_API_KEY", "").variable("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-stub")
}

with_each!(an_account_that_is_used_up_for_a_while: claude gemini);

/// Whoever is out of quota for an hour is stood in for, in all tasks, and the limit is nobody else's.
#[test]
fn another_program_stands_in_for_one_whose_account_is_used_up() {
    let list = "# Tasks\n\n- [ ] 1.1 One\n  - **Do**: [[stub:limit 3600 x1]] [[stub:write a.md x]]\n\
                - [ ] 1.2 Two\n  - **Do**: [[stub:write b.md x]]\n\
                - [ ] 1.3 Of its own\n  - **Do**: [[stub:write c.md x]]\n  - **Agent**: codex\n";
    if Program::Codex.folder().is_none() {
        return;
    }
    let Some(scene) = Scene::new(Program::Claude, list) else { return };
    let scene = subscribed(scene.beside(Program::Codex)).settings("[agent]\nfallback = [\"codex\"]\n");
    let output = scene.run(&["--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    assert_eq!(scene.world.history()[2..], ["1.1", "1.2", "1.3"]);
    let text = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let who = |event: serde_json::Value| ["task", "agent", "outcome"].map(|key| text(&event, key)).join(" ");
    let who: Vec<String> = scene.world.events("task_agent").into_iter().map(who).collect();
    assert_eq!(who, ["1.1 claude rate_limited", "1.1 codex done", "1.2 codex done", "1.3 codex done"], "{output}");
    let limits = scene.world.events("account_limited");
    assert_eq!(limits.iter().map(|limit| text(limit, "account")).collect::<Vec<_>>(), ["claude"], "{output}");
}

/// What the service refuses for good is no success, in whatever way the program says so.
fn a_service_that_refuses(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:status 400]]") else { return };
    fails(&scene, "crash", &[]);
}

with_each!(a_service_that_refuses: claude codex gemini aider, also opencode qwen copilot);

/// Where only looking is allowed nothing is written, and what was refused is named where the program tells.
fn who_may_only_look(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]]") else { return };
    let code = match program {
        Program::Claude | Program::Codex | Program::Copilot => "permission_denied",
        // The model is not offered what it may not use. Qwen Code has a helper begin then, and comes back without a word.
        Program::Qwen => "no_signal",
        _ => "no_change",
    };
    fails(&scene, code, &["--access", "read"]);
    assert!(!scene.world.env.path("a.md").exists());
}

with_each!(who_may_only_look: claude codex gemini qwen, also opencode copilot);

#[test]
fn claude_may_not_use_a_tool() {
    let Some(scene) = scene(Program::Claude, "[[stub:write a.md x]] [[stub:shell touch b.md]]") else { return };
    scene.world.env.write("../home/.claude/settings.json", r#"{ "permissions": { "ask": ["Bash(touch:*)"] } }"#);
    let reason = fails(&scene, "permission_denied", &[]);
    assert!(reason.contains("Bash(touch b.md)"), "{reason}");
}

/// Its result may come before what it waits for, and another turn behind that.
#[test]
fn claude_is_given_the_time_that_what_it_left_in_the_background_takes() {
    let list = "# Tasks\n\n- [ ] 1.1 [P] One\n  - **Do**: [[stub:later sleep 8; echo x > a.md]]\n  - **Files**: a.md\n\
                - [ ] 1.2 [P] Two\n  - **Do**: [[stub:helper sleep 8; echo x > b.md]]\n  - **Files**: b.md\n";
    let Some(scene) = Scene::new(Program::Claude, list) else { return };
    let output = scene.run(&["--max-attempts", "1", "--grace", "1s"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    assert_eq!(scene.world.paths_of("1.1"), ["a.md", "tasks.md"]);
    assert_eq!(scene.world.paths_of("1.2"), ["b.md", "tasks.md"]);
}
