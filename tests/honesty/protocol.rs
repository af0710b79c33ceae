//! Agents behind the Agent Client Protocol: what they ask is answered by what they may do, and nothing of what they say is
//! believed more than what the others say.

use std::os::unix::fs::PermissionsExt as _;

use crate::env::Output;
use crate::world::{World, signal_of};

/// An agent that does what the `Do` field of its task says, with words for what the protocol can say.
const AGENT: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> "$HOME/arguments"
send() { printf '%s\n' "$1"; }
update() { send "{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"params\":{\"sessionId\":\"s1\",\"update\":$1}}"; }
say() { update "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"$1\"}}"; }
ask() {
  send "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"session/request_permission\",\"params\":{\"sessionId\":\"s1\",\"options\":[{\"optionId\":\"yes\",\"name\":\"Yes\",\"kind\":\"allow_once\"},{\"optionId\":\"no\",\"name\":\"No\",\"kind\":\"reject_once\"}],\"toolCall\":{\"toolCallId\":\"t\",\"kind\":\"$1\",\"title\":\"Change $2\",\"locations\":[{\"path\":\"$2\"}]}}}"
  read -r answer
  case $answer in *yes*) true ;; *) false ;; esac
}
reply() { send "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$1}"; }
finish() { reply "{\"stopReason\":\"${1:-end_turn}\",\"usage\":{\"inputTokens\":100,\"outputTokens\":20,\"totalTokens\":120}}"; }
echo 'a line that is not of the protocol'
while read -r line; do
  id=$(printf '%s' "$line" | sed -E 's/.*"id":("[^"]*"|[0-9]+).*/\1/')
  case $line in
  *'"method":"initialize"'*) reply '{"protocolVersion":1,"agentCapabilities":{}}' ;;
  *'"method":"session/new"'*) reply "{\"sessionId\":\"s1\"$MORE}" ;;
  *'"method":"session/set_'*) printf '%s\n' "$line" >> "$HOME/set"; reply '{"configOptions":[]}' ;;
  *'"method":"session/prompt"'*)
    eval "$(printf '%s\n' "$line" | sed 's/\\n/\
/g; s/\\"/"/g' | sed -n 's/^ *- \*\*Do\*\*: //p' | tail -n 1)" ;;
  esac
done
"#;

/// The list with one task that does this, run once.
fn run(what: &str, args: &[&str], more: &str) -> (World, Output) {
    let list = format!("# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: {what}\n");
    let world = World::new(&list).settings("[agents.mine]\nprogram = \"../home/mine\"\nprotocol = \"acp\"\n");
    let program = world.env.path("../home/mine");
    world.env.write("../home/mine", AGENT);
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = world.env.spec_command(["run", "tasks.md", "--agent", "mine", "--max-attempts", "1"]);
    let output = world.env.output(command.args(args).env("MORE", more));
    (world, output)
}

/// The task does this, and gets that code; gives the reason.
fn fails(what: &str, args: &[&str], code: &str) -> String {
    let (world, output) = run(what, args, "");
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("no TASK_FAILED: {output}"));
    assert_eq!(failed["code"], code, "{output}");
    assert!(!world.ticked("1.1"));
    failed["reason"].clone()
}

#[test]
fn what_it_may_do_it_does_and_that_lands() {
    let (world, output) = run("ask edit $PWD/a.txt && echo x > a.txt; say TASK_; say COMPLETE; finish", &[], "");
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(world.paths_of("1.1"), ["a.txt", "tasks.md"]);
    let used = &world.events("task_agent")[0];
    assert_eq!((&used["agent"], &used["session"]), (&"mine".into(), &"s1".into()));
    assert_eq!((&used["tokens"]["input"], &used["tokens"]["output"]), (&100.into(), &20.into()));
}

#[test]
fn what_it_may_not_do_is_denied_and_fails_the_task() {
    let anyway = "ask edit /etc/hosts || echo x > a.txt; say TASK_COMPLETE; finish";
    let reason = fails(anyway, &[], "permission_denied");
    assert!(reason.contains("Change /etc/hosts"), "{reason}");
    let (world, output) = run("ask other x && echo x > a.txt; say TASK_COMPLETE; finish", &["--access", "full"], "");
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1"));
}

#[test]
fn an_end_that_is_none_is_none() {
    let reason = fails("echo x > a.txt; say TASK_COMPLETE; finish refusal", &[], "crash");
    assert!(reason.contains("refused to go on"), "{reason}");
    let reason = fails("echo x > a.txt; say TASK_COMPLETE; exit 3", &[], "crash");
    assert!(reason.contains("exit status: 3"), "{reason}");
    fails("echo x > a.txt; finish", &[], "no_signal");
}

#[test]
fn what_it_asks_that_nobody_knows_is_answered_so_that_it_goes_on() {
    let ask = r#"send '{"jsonrpc":"2.0","id":5,"method":"craft/queue","params":{}}'; read -r answer"#;
    let (world, output) =
        run(&format!("{ask}; case $answer in *-32601*) echo x > a.txt ;; esac; say TASK_COMPLETE; finish"), &[], "");
    assert_eq!(output.code, 0, "{output}");
    assert!(world.ticked("1.1"));
}

#[test]
fn a_model_is_chosen_by_the_protocol_or_the_task_fails() {
    let offers = r#","configOptions":[{"id":"m","name":"Model","category":"model","type":"select","currentValue":"big","options":[{"value":"big","name":"Big"},{"value":"small","name":"Small"}]}]"#;
    let does = "echo x > a.txt; say TASK_COMPLETE; finish";
    let (world, output) = run(does, &["--model", "small"], offers);
    assert_eq!(output.code, 0, "{output}");
    let set = world.env.read("../home/set");
    assert!(set.contains("session/set_config_option") && set.contains("small"), "{set}");
    let reason = fails(does, &["--model", "small"], "crash");
    assert!(reason.contains("offers no model `small`"), "{reason}");
}

#[test]
fn who_is_only_to_read_is_put_into_a_mode_for_that_or_not_started() {
    let modes = r#","modes":{"currentModeId":"default","availableModes":[{"id":"default","name":"Default"},{"id":"plan","name":"Plan"}]}"#;
    let does = "say 'NO_CHANGE: looked'; say '\\nTASK_COMPLETE'; finish";
    let (world, output) = run(does, &["--access", "read"], modes);
    assert!(world.env.read("../home/set").contains("plan"), "{output}");
    let reason = fails(does, &["--access", "read"], "crash");
    assert!(reason.contains("no mode in which it only reads"), "{reason}");
}
