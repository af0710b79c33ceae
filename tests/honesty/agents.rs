//! Agents: how they are started, and that nothing they say is believed. The agent is a script that prints Claude Code's
//! stream; the real programs have tests of their own.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::env::Output;
use crate::world::{World, signal_of};

/// Does what the `Do` field of its task says, with words for what a stream can say.
const CLAUDE: &str = r#"#!/bin/sh
prompt=$(cat)
printf '%s\n' "$*" >> "$HOME/arguments"
line() { printf '%s\n' "$1"; }
say() { line "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}]},\"parent_tool_use_id\":null}"; }
tool() { line "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"id\":\"$1\",\"name\":\"Bash\",\"input\":{\"command\":\"$2\"}}]},\"parent_tool_use_id\":null}"; }
answer() { line "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"$1\"}]},\"parent_tool_use_id\":null}"; }
result() { line "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"\",\"total_cost_usd\":0.25,\"usage\":{\"input_tokens\":100,\"output_tokens\":20},\"permission_denials\":[$1]}"; }
failed() { line "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"terminal_reason\":\"api_error\",\"api_error_status\":$1,\"result\":\"$2\",\"total_cost_usd\":0,\"usage\":{}}"; }
done_() { say 'All done.\nTASK_COMPLETE'; result; }
line '{"type":"system","subtype":"init","session_id":"s-'$SPEC_TASK_ID'","model":"model-1"}'
eval "$(printf '%s\n' "$prompt" | sed -n 's/^ *- \*\*Do\*\*: //p')"
"#;

/// Runs the list with the agent, once for each task unless the arguments say else.
fn run(world: &World, args: &[&str]) -> Output {
    world.env.output(&mut command(world, args))
}

/// The command of that.
pub(crate) fn command(world: &World, args: &[&str]) -> Command {
    named(world, "claude", CLAUDE, args)
}

/// The same with an agent of that name, which is this script.
pub(crate) fn named(world: &World, agent: &str, script: &str, args: &[&str]) -> Command {
    let program = world.env.path(format!("../home/bin/{agent}"));
    world.env.write(format!("../home/bin/{agent}"), script);
    let mut permissions = std::fs::metadata(&program).expect("there").permissions();
    permissions.set_mode(0o755);
    std::fs::set_permissions(&program, permissions).expect("set");
    let path = format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").expect("a path"));
    let mut command = world.env.spec_command(["run", "tasks.md", "--agent", agent]);
    if !args.contains(&"--max-attempts") {
        command.args(["--max-attempts", "1"]);
    }
    command.env("PATH", path).args(args);
    command
}

/// One task that does this.
fn list(what: &str) -> String {
    format!("# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: {what}\n")
}

/// The task does this, and gets that code; gives the reason.
fn fails(what: &str, code: &str) -> String {
    let world = World::new(&list(what));
    let output = run(&world, &[]);
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("no TASK_FAILED: {output}"));
    assert_eq!(failed["code"], code, "{output}");
    assert!(!world.ticked("1.1"));
    assert!(world.history().iter().all(|task| task != "1.1"), "no commit");
    failed["reason"].clone()
}

#[test]
fn what_an_agent_did_lands_and_what_it_used_is_known() {
    let world = World::new(&list("tool t 'make it'; echo x > a.txt; answer t; done_"));
    let output = run(&world, &["--model", "small", "-v"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1"));
    assert_eq!(world.paths_of("1.1"), ["a.txt", "tasks.md"]);
    let arguments = world.env.read("../home/arguments");
    assert!(
        arguments.contains("-p --output-format stream-json --verbose --permission-mode acceptEdits"),
        "{arguments}"
    );
    assert!(arguments.contains("--model small"), "{arguments}");
    let used = &world.events("task_agent")[0];
    assert_eq!(
        (&used["agent"], &used["model"], &used["session"]),
        (&"claude".into(), &"model-1".into(), &"s-1.1".into())
    );
    assert_eq!((&used["tokens"]["input"], &used["tokens"]["output"]), (&100.into(), &20.into()));
    assert_eq!((&used["cost"], &used["tool_calls"], &used["outcome"]), (&0.25.into(), &1.into(), &"done".into()));
    assert!(
        output.stderr.contains("[Bash] make it") && !output.stderr.contains("tool_use"),
        "people see words: {output}"
    );
}

#[test]
fn with_a_folder_of_its_own_it_may_write_to_all_of_its_tree() {
    let list = "- [ ] 1.1 Page\n  - **Do**: echo x > a.txt; done_\n  - **Dir**: web\n\
                - [ ] 1.2 Rest\n  - **Do**: echo y > b.txt; done_\n";
    let world = World::new(list);
    world.env.write("web/index.html", "");
    world.commit("chore: a folder");
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.paths_of("1.1"), ["tasks.md", "web/a.txt"]);
    let arguments = world.env.read("../home/arguments");
    let told: Vec<bool> = arguments.lines().map(|line| line.contains("--add-dir")).collect();
    assert_eq!(told, [true, false], "{arguments}");
    assert!(arguments.contains(&format!("--add-dir {}", world.env.work().display())), "{arguments}");
}

#[test]
fn the_signal_alone_is_not_enough() {
    fails("done_", "no_change");
    fails("echo x > a.txt; say 'All is well'; result", "no_signal");
    fails("echo x > a.txt; say 'TASK_COMPLETE\\n\\nThis needs human review.'; result", "contradiction");
    fails("echo x > a.txt; say 'TASK_COMPLETE'", "crash");
    fails("echo x > a.txt; say 'TASK_COMPLETE'; result; exit 3", "crash");
}

#[test]
fn a_refused_tool_fails_at_once_and_says_what_to_configure() {
    let reason = fails(
        "echo x > a.txt; say 'TASK_COMPLETE'; result '{\"tool_name\":\"Bash\",\"tool_input\":{\"command\":\"rm y\"}}'",
        "permission_denied",
    );
    assert!(reason.contains("Bash(rm y)") && reason.contains("agent.access"), "{reason}");
    let world = World::new(&list("result '{\"tool_name\":\"Bash\",\"tool_input\":{}}'"));
    assert_eq!(run(&world, &["--max-attempts", "5"]).code, 1);
    assert_eq!(world.events("task_start").len(), 1, "another try would meet the same");
}

#[test]
fn an_agent_that_stays_behind_its_result_is_ended_and_its_work_lands() {
    let world = World::new(&list("echo x > a.txt; done_; sleep 1000 & sleep 1000"));
    let output = run(&world, &["--grace", "200ms"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1"));
}

#[test]
fn the_idle_clock_stands_still_while_a_tool_runs_and_a_tool_has_one_of_its_own() {
    // Its own output gives the only signs: a pipe that nobody writes to uses no processor time.
    let world = World::new(&list("tool t wait; cat $HOME/fifo > /dev/null; answer t; echo x > a.txt; done_"));
    world.fifo("fifo");
    let world = world.settings("[agent]\ntool_timeout = \"1s\"");
    let output = run(&world, &["--idle-timeout", "100s", "--grace", "100ms"]);
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("{output}"));
    assert_eq!(failed["code"], "stalled", "the tool's limit: {output}");
}

#[test]
fn a_session_is_gone_on_with_in_the_next_try() {
    let world = World::new(&list("if [ $SPEC_ATTEMPT = 1 ]; then say no; result; else echo x > a.txt; done_; fi"));
    let output = run(&world, &["--max-attempts", "2"]);
    assert_eq!(output.code, 0, "{output}");
    let arguments = world.env.read("../home/arguments");
    assert!(arguments.lines().nth(1).expect("a second").contains("--resume s-1.1"), "{arguments}");
    let costs: Vec<_> = world.events("task_agent").iter().map(|event| event["cost"].clone()).collect();
    assert_eq!(costs, [0.25, 0.0], "the second names what the session cost in all");
}

#[test]
fn an_agent_that_is_not_installed_is_named_before_anything_starts() {
    let world = World::new(&list("done_"));
    let before = world.everything();
    let output = world.env.spec(["run", "tasks.md", "--agent", "claude"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("Claude Code (claude) is not installed"), "{output}");
    assert_eq!(world.everything(), before);
    let output = world.env.spec(["run", "tasks.md", "--agent", "nobody"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("no agent `nobody` is known"), "{output}");
}

/// Says that the account is used up for so long.
fn used_up(seconds: u32) -> String {
    let info = format!(r#"{{\"status\":\"rejected\",\"resetsAt\":$(( $(date +%s) + {seconds} ))}}"#);
    format!(
        r#"line "{{\"type\":\"rate_limit_event\",\"rate_limit_info\":{info}}}"; failed 429 'You have hit your limit'; exit 1"#
    )
}

#[test]
fn a_limit_burns_no_attempt_and_everybody_waits_for_its_end() {
    let met = format!("if mkdir $HOME/met; then {}; fi; echo x > $SPEC_TASK_ID; done_", used_up(1));
    let list = format!("# Tasks\n\n- [ ] 1.1 A\n  - **Do**: {met}\n- [ ] 1.2 B\n  - **Do**: {met}\n");
    let world = World::new(&list);
    let output = run(&world, &["--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}");
    let limited = &world.events("account_limited");
    assert_eq!(limited.len(), 1, "{limited:?}");
    assert_eq!((&limited[0]["account"], &limited[0]["limit"]), (&"claude".into(), &"usage".into()));
    let retry = &world.events("task_retry")[0];
    assert_eq!((&retry["code"], &retry["counted"]), (&"rate_limited".into(), &false.into()));
    let again = world.events("task_start")[1]["time"].clone();
    assert!(again.as_str() >= limited[0]["until"].as_str(), "{again} {limited:?}");
    assert!(output.stderr.contains("claude is used up: again in"), "{output}");
}

#[test]
fn a_limit_is_remembered_over_a_restart() {
    let world = World::new(&list(&used_up(1000)));
    for run_number in 1..=2 {
        let output = run(&world, &["--run-timeout", "1s"]);
        assert_eq!(output.code, 5, "{output}");
        assert_eq!(world.events("task_start").len(), 1, "only the first run asks, not run {run_number}");
    }
    let status = world.env.spec(["status"]);
    assert!(status.stdout.contains("claude takes no more until"), "{status}");
}

#[test]
fn an_agent_of_ones_own_is_described_in_spec_toml() {
    // Its words are the argument of a shell, which does what the Do field says.
    let world = World::new(&list("echo x > a.txt; echo TASK_COMPLETE")).settings(
        r#"
[agents.mine]
program = "sh"
args = ["-c", '''eval "$(sed -n 's/^ *- [*][*]Do[*][*]: //p' {prompt_file})"''']
prompt = "file"
"#,
    );
    let output = world.env.spec(["run", "tasks.md", "--agent", "mine", "--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1"));
    assert_eq!(world.events("task_agent")[0]["agent"], "mine");
}
