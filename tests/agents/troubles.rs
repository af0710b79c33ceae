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

/// Claude Code, which has no sandbox, refuses that to root.
fn unconfined(program: Program) -> &'static [&'static str] {
    if program == Program::Codex { &["--access", "full"] } else { &[] }
}

/// The tool writes its file, says who it is, and never comes back.
const HANGS_IN_A_TOOL: &str = "[[stub:write a.md x]] [[stub:shell echo $$ > $TMPDIR/pid; exec sleep 100000]]";

fn a_tool_that_hangs_runs_into_its_limit(program: Program) {
    let Some(scene) = scene(program, HANGS_IN_A_TOOL) else { return };
    let scene = scene.settings("[agent]\ntool_timeout = \"3s\"");
    let reason = fails(&scene, "stalled", unconfined(program));
    assert!(reason.ends_with("for 3 s"), "{reason}");
    is_gone(&scene);
}

#[test]
fn a_tool_of_claude_that_hangs() {
    a_tool_that_hangs_runs_into_its_limit(Program::Claude);
}

#[test]
fn a_tool_of_codex_that_hangs() {
    a_tool_that_hangs_runs_into_its_limit(Program::Codex);
}

fn a_model_that_never_answers(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:never]]") else { return };
    fails(&scene, "stalled", &["--idle-timeout", "3s"]);
}

#[test]
fn the_model_of_claude_never_answers() {
    a_model_that_never_answers(Program::Claude);
}

#[test]
fn the_model_of_codex_never_answers() {
    a_model_that_never_answers(Program::Codex);
}

/// A child of the tool has the program's own standard output open, and stays when the program has gone.
const HOLDS_THE_PIPE: &str =
    "[[stub:shell setsid sh -c 'echo $$ > $TMPDIR/pid; exec sleep 100000' > /proc/$PPID/fd/1 2>&1 < /dev/null &]]";

fn a_child_that_holds_the_pipe(program: Program) {
    let Some(liar) = scene(program, HOLDS_THE_PIPE) else { return };
    fails(&liar, "no_change", unconfined(program));
    is_gone(&liar);
}

#[test]
fn a_child_of_claude_holds_the_pipe() {
    a_child_that_holds_the_pipe(Program::Claude);
}

#[test]
fn a_child_of_codex_holds_the_pipe() {
    a_child_that_holds_the_pipe(Program::Codex);
}

/// The stream breaks off after the file was written, each time the program tries again.
#[test]
fn the_stream_of_claude_is_cut() {
    let Some(scene) = scene(Program::Claude, "[[stub:write a.md x]] [[stub:cut]]") else { return };
    fails(&scene.variable("CLAUDE_CODE_MAX_RETRIES", "1"), "crash", &[]);
}

#[test]
fn the_stream_of_codex_is_cut() {
    let Some(scene) = scene(Program::Codex, "[[stub:write a.md x]] [[stub:cut]]") else { return };
    fails(&scene, "crash", &[]);
}

/// A busy service: the task goes on when it is free again, and the try does not count.
fn no_try_is_used_up(scene: &Scene) {
    let output = scene.run(&["--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    assert!(scene.world.ticked("1.1"));
    let outcomes: Vec<_> = scene.world.events("task_agent").iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rate_limited", "done"], "{output}");
}

#[test]
fn the_service_of_claude_is_overloaded() {
    let Some(scene) = scene(Program::Claude, "[[stub:write a.md x]] [[stub:status 529 x3]]") else { return };
    no_try_is_used_up(&scene.variable("CLAUDE_CODE_MAX_RETRIES", "1"));
}

#[test]
fn the_account_of_claude_is_used_up_for_a_while() {
    let Some(scene) = scene(Program::Claude, "[[stub:write a.md x]] [[stub:limit 2 x1]]") else { return };
    // Only who is signed in with a subscription is told of its limits.
    no_try_is_used_up(
        &scene.variable("ANTHROPIC_API_KEY", "").variable("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-stub"),
    );
}

#[test]
fn claude_may_not_use_a_tool() {
    let Some(scene) = scene(Program::Claude, "[[stub:write a.md x]] [[stub:shell touch b.md]]") else { return };
    scene.world.env.write("../home/.claude/settings.json", r#"{ "permissions": { "ask": ["Bash(touch:*)"] } }"#);
    let reason = fails(&scene, "permission_denied", &[]);
    assert!(reason.contains("Bash(touch b.md)"), "{reason}");
}

#[test]
fn the_account_of_codex_is_used_up() {
    // It names a time of the clock, in minutes, so that this cannot be waited for.
    let Some(scene) = scene(Program::Codex, "[[stub:write a.md x]] [[stub:limit 3600]]") else { return };
    let output = scene.run(&["--run-timeout", "8s", "--grace", "1s"]);
    assert_eq!(output.code, 5, "{output}\n{}", scene.talk());
    assert!(!scene.world.ticked("1.1"));
    assert_eq!(scene.used().iter().map(|one| &one.outcome[..]).collect::<Vec<_>>(), ["rate_limited"], "{output}");
}

#[test]
fn the_account_of_gemini_is_used_up_for_a_while() {
    let Some(scene) = scene(Program::Gemini, "[[stub:write a.md x]] [[stub:limit 2 x1]]") else { return };
    no_try_is_used_up(&scene);
}

#[test]
fn the_service_of_codex_is_overloaded() {
    // Four requests before it gives up.
    let Some(scene) = scene(Program::Codex, "[[stub:write a.md x]] [[stub:status 529 x5]]") else { return };
    no_try_is_used_up(&scene);
}

/// What the service refuses for good is no success, in whatever way the program says so.
fn the_service_refuses(program: Program) {
    let Some(scene) = scene(program, "[[stub:write a.md x]] [[stub:status 400]]") else { return };
    fails(&scene, "crash", &[]);
}

#[test]
fn the_service_of_gemini_refuses() {
    the_service_refuses(Program::Gemini);
}

#[test]
fn the_service_of_opencode_refuses() {
    the_service_refuses(Program::Opencode);
}

#[test]
fn the_service_of_qwen_refuses() {
    the_service_refuses(Program::Qwen);
}

/// Where only looking is allowed nothing is written, and what was refused is named where the program tells.
fn only_looks(program: Program, code: &str) {
    let Some(scene) = scene(program, "[[stub:write a.md x]]") else { return };
    fails(&scene, code, &["--access", "read"]);
    assert!(!scene.world.env.path("a.md").exists());
}

#[test]
fn claude_only_looks() {
    only_looks(Program::Claude, "permission_denied");
}

#[test]
fn codex_only_looks() {
    only_looks(Program::Codex, "permission_denied");
}
