//! What agents cost: told as they say it, or by a list of prices; held to the budgets of task, run and day.

use serde_json::Value;

use crate::agents::{command, named};
use crate::env::Output;
use crate::world::{World, signal_of};

fn run(world: &World, args: &[&str]) -> Output {
    world.env.output(&mut command(world, args))
}

/// So many tasks that cost 0.25 USD and 120 tokens each, one after the other or at the same time.
fn tasks(count: usize, parallel: bool) -> String {
    let marker = if parallel { " [P]" } else { "" };
    let task = |n| format!("- [ ] 1.{n}{marker} Do it\n  - **Do**: echo {n} > f{n}; done_\n");
    format!("# Tasks\n\n{}", (1..=count).map(task).collect::<String>())
}

fn landed(world: &World) -> usize {
    world.history().iter().filter(|task| task.starts_with("1.")).count()
}

fn complete(world: &World) -> Value {
    world.events("run_complete").pop().expect("it ended")
}

fn today(world: &World) -> Value {
    let book = world.env.read("../home/.local/state/spec/today.json");
    serde_json::from_str(&book).unwrap_or_else(|error| panic!("{error}: {book}"))
}

#[test]
fn what_tries_cost_adds_up() {
    let more = "\n## More\n\n- [ ] 2.1 [P] Twice\n  - **Do**: if [ $SPEC_ATTEMPT = 1 ]; then say no; result; else echo x > x; done_; fi\n\
                - [ ] 2.2 [P] Once\n  - **Do**: echo y > y; done_\n";
    let world = World::new(&(tasks(3, true) + more));
    let output = run(&world, &["--max-attempts", "2"]);
    assert_eq!(output.code, 0, "{output}");
    let cost = |event: &Value| event["cost"].as_f64().expect("a cost");
    // Claude names what a session cost in all: the second try, which goes on with the first one's, added nothing to it.
    assert!((world.events("task_agent").iter().map(cost).sum::<f64>() - 1.25).abs() < 1e-9);
    assert_eq!(world.events("batch_complete").iter().map(cost).collect::<Vec<_>>(), [0.75, 0.5]);
    let complete = complete(&world);
    assert_eq!((&complete["cost"], &complete["tokens"]), (&1.25.into(), &600.into()));
    assert_eq!(complete["cost_estimated"], Value::Null);
    assert!(output.stderr.contains("Cost 1.25 USD, 600 tokens"), "{output}");
    assert!(output.stderr.contains("0.25 USD)"), "each task's: {output}");
    let today = today(&world);
    assert_eq!((&today["spent"]["usd"], &today["spent"]["tokens"]), (&1.25.into(), &600.into()));
    assert_eq!(today["runs"], Value::Array(Vec::new()));

    let json = |args: &[&str]| -> Value {
        let output = world.env.spec(args);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    };
    let run = complete["run"].as_str().expect("an id");
    let shown = json(&["show", run, "tasks.md", "--format", "json"]);
    let of_tasks = shown["tasks"].as_array().expect("tasks").iter().map(cost).sum::<f64>();
    let of_sessions = shown["sessions"].as_array().expect("sessions").iter().map(cost).sum::<f64>();
    assert_eq!((of_tasks, of_sessions), (1.25, 1.25), "{shown}");
    let status = json(&["status", "tasks.md", "--format", "json"]);
    assert_eq!(
        (&status["cost"], &status["tokens"], &status["today"]["cost"]),
        (&1.25.into(), &600.into(), &1.25.into())
    );
    let told = world.env.spec(["status", "tasks.md"]);
    assert!(told.stdout.contains("Cost: 1.25 USD, 600 tokens; today 1.25 USD in all runs"), "{told}");
    let told = world.env.spec(["history", "tasks.md"]);
    assert!(told.stdout.contains("5 landed, 1.25 USD in "), "{told}");
    let told = world.env.spec(["show", run, "tasks.md"]);
    assert!(told.stdout.contains("  1.1 try 1  claude model-1  20"), "{told}");
    assert!(told.stdout.contains("1 message, 0 tool calls  done, 0.25 USD, 120 tokens"), "{told}");
}

#[test]
fn a_task_that_uses_more_than_its_budget_is_ended_while_it_runs() {
    let world = World::new("# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: x\n").settings("[budget]\ntask = \"0.4 USD\"\n");
    let step = |cost| {
        format!(
            r#"{{"type":"step_finish","sessionID":"s","part":{{"reason":"tool-calls","tokens":{{"input":900,"output":100,"reasoning":0,"cache":{{"read":0,"write":0}}}},"cost":{cost}}}}}"#
        )
    };
    // Many programs end in order when they are asked to, and say that all is well.
    let stays = "trap 'exit 0' TERM\nsleep 1000 &\nwait";
    let script = format!("#!/bin/sh\necho '{}'\necho '{}'\n{stays}\n", step(0.3), step(0.2));
    let output = world.env.output(&mut named(&world, "opencode", &script, &["--max-attempts", "5"]));
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("{output}"));
    assert_eq!((failed["code"].as_str(), output.code), ("quota_cost", 1), "{output}");
    assert_eq!(failed["reason"], "0.50 USD of the task's budget of 0.40 USD are used");
    let agents = world.events("task_agent");
    assert_eq!((agents.len(), &agents[0]["cost"]), (1, &0.5.into()), "no further try");
}

#[test]
fn a_run_stops_at_its_budget_with_what_passed_landed_and_another_goes_on() {
    let world = World::new(&tasks(4, false));
    let output = run(&world, &["--max-cost", "0.60"]);
    assert_eq!(output.code, 5, "{output}");
    assert_eq!(landed(&world), 2, "a third would have cost 0.75");
    assert!(
        output.stderr.contains(
            "the budget of the run is 0.60 USD: 0.50 USD used, and a try is expected to use 0.25 USD; with more for --max-cost"
        ),
        "{output}"
    );
    assert_eq!((&complete(&world)["outcome"], &complete(&world)["cost"]), (&"stopped".into(), &0.5.into()));
    assert!(signal_of(&output.stdout, "TASK_FAILED", "1.3").is_none(), "{output}");
    let output = run(&world, &["--max-tokens", "1k"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(landed(&world), 4);
}

#[test]
fn tokens_are_a_budget_too_and_a_soft_one_is_told_once() {
    let world = World::new(&tasks(4, false)).settings("[budget]\nrun = \"300 tokens\"\nsoft = 0.3\n");
    let output = run(&world, &[]);
    assert_eq!(output.code, 5, "{output}");
    assert_eq!(landed(&world), 2);
    assert_eq!(output.stderr.matches("120 tokens of the run's budget of 300 tokens are used").count(), 1, "{output}");
}

#[test]
fn what_runs_at_the_same_time_is_counted_before_it_says_what_it_used() {
    let world = World::new(&tasks(6, true)).settings("[budget]\nrun = \"1.50 USD\"\nestimate = \"0.5 USD\"\n");
    let output = run(&world, &["-j", "4"]);
    assert_eq!(output.code, 5, "{output}");
    let complete = complete(&world);
    assert_eq!((&complete["most_at_once"], &complete["cost"]), (&2.into(), &1.25.into()), "{output}");
    assert_eq!(landed(&world), 5, "what passed lands though one of the batch was not begun");
    assert!(output.stderr.contains("Waiting budget: the budget of the run is 1.50 USD"), "{output}");
}

#[test]
fn what_waited_for_a_budget_goes_on_when_less_was_used_than_expected() {
    let world = World::new(&tasks(2, true)).settings("[budget]\nrun = \"1 USD\"\nestimate = \"0.5 USD\"\n");
    let output = run(&world, &["-j", "2"]);
    assert_eq!((output.code, landed(&world)), (0, 2), "{output}");
    let said = |words: &str| output.stderr.find(words).unwrap_or_else(|| panic!("{words}: {output}"));
    assert!(said("Waiting budget: ") < said("Resumed the budget has room again"), "{output}");
}

#[test]
fn the_day_is_one_for_two_runs_at_once() {
    let settings = "[budget]\nday = \"1.50 USD\"\nestimate = \"0.5 USD\"\n";
    // The first task of one waits for that of the other: both run at the same time.
    let meet = |first: &str| tasks(6, false).replacen("echo 1 > f1", &format!("{first}; echo 1 > f1"), 1);
    let one = World::new(&meet("echo x > $MEET")).settings(settings);
    let two = World::new(&meet("cat $MEET > /dev/null")).settings(settings);
    let meeting = one.fifo("meet");
    let state = one.env.path("../home/state");
    let start = |world: &World| {
        let mut command = command(world, &[]);
        command.env("MEET", &meeting).env("XDG_STATE_HOME", &state);
        world.start_command(command)
    };
    let (first, second) = (start(&one), start(&two));
    let (first, second) = (one.finish(first), two.finish(second));
    assert_eq!((first.code, second.code), (5, 5), "{first}{second}");
    assert_eq!(landed(&one) + landed(&two), 5, "a sixth is expected to use more than is left: {first}{second}");
    let book = one.env.read("../home/state/spec/today.json");
    let book: Value = serde_json::from_str(&book).expect("JSON");
    assert_eq!(book["spent"]["usd"], 1.25);
    assert!(first.stderr.contains("the budget of the day is 1.50 USD: 1.25 USD used"), "{first}");
    assert!(first.stderr.contains("tomorrow, or with more for budget.day in spec.toml"), "{first}");
}

/// Tries of 0.05 to 0.50 USD; the simulation in `engine::budget` has a thousand such days.
#[test]
fn a_day_s_budget_with_six_agents_at_once_is_not_exceeded_by_more_than_the_error_of_one_estimate() {
    let cents = |n: usize| 5 + n * 17 % 46;
    let task = |n: usize| {
        let used = r#""usage":{"input_tokens":1,"output_tokens":1},"permission_denials":[]"#;
        let result = format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"","total_cost_usd":{},{used}}}"#,
            cents(n) as f64 / 100.0
        );
        format!("- [ ] 1.{n} [P] Do it\n  - **Do**: echo {n} > f{n}; say TASK_COMPLETE; line '{result}'\n")
    };
    let list = format!("# Tasks\n\n{}", (1..=30).map(task).collect::<String>());
    let world = World::new(&list).settings("[budget]\nday = \"4 USD\"\n");
    let output = run(&world, &["-j", "6"]);
    assert_eq!(output.code, 5, "{output}");
    let spent = today(&world)["spent"]["usd"].as_f64().expect("money");
    let most = complete(&world)["most_at_once"].clone();
    println!("six at once ({most} really), tries of 0.05 to 0.50 USD, a day of 4 USD: {spent:.2} USD used");
    assert!(spent <= 4.0 + 0.45, "an estimate errs by the difference of two tries at most: {spent}");
    assert!(spent > 3.0, "what there is may be used: {spent}");
    assert!(most.as_u64() > Some(3), "{output}");
}

#[test]
fn a_damaged_book_of_the_day_is_kept_and_said() {
    let world = World::new(&tasks(1, false));
    world.env.write("../home/.local/state/spec/today.json", "{\"version\": 1, \"da");
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("what was used today could not be read"), "{output}");
    assert_eq!(today(&world)["spent"]["usd"], 0.25);
    assert!(world.env.path("../home/.local/state/spec/today.json.bad-1").exists());
}

#[test]
fn a_task_has_no_further_try_that_its_budget_does_not_allow() {
    let list =
        "# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: say no; result\n- [ ] 1.2 Then\n  - **Do**: echo x > x; done_\n";
    let world = World::new(list).settings("[budget]\ntask = \"0.4 USD\"\n");
    let output = run(&world, &["--max-attempts", "5", "--keep-going"]);
    assert_eq!(output.code, 1, "{output}");
    let failed = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("{output}"));
    assert_eq!(failed["code"], "quota_cost");
    assert!(failed["reason"].starts_with("the budget of the task is 0.40 USD: 0.25 USD used"), "{failed:?}");
    assert_eq!(world.events("task_agent").len(), 2, "one try of each");
    assert!(world.ticked("1.2"));
}

/// The agent says no money; its model is that one.
fn without_money(model: &str) -> String {
    let result = r#"{"type":"result","subtype":"success","is_error":false,"result":"","usage":{"input_tokens":1000,"output_tokens":100}}"#;
    let init = format!(r#"{{"type":"system","subtype":"init","session_id":"s","model":"{model}"}}"#);
    format!("# Tasks\n\n- [ ] 1.1 Do it\n  - **Do**: line '{init}'; echo x > x; say TASK_COMPLETE; line '{result}'\n")
}

#[test]
fn tokens_without_money_are_priced_and_an_unknown_model_is_not() {
    let world = World::new(&without_money("claude-sonnet-5"));
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    let agent = &world.events("task_agent")[0];
    assert_eq!((&agent["cost"], &agent["estimated"]), (&0.003.into(), &"2026-10-07".into()));
    assert_eq!((&complete(&world)["cost"], &complete(&world)["cost_estimated"]), (&0.003.into(), &0.003.into()));
    assert!(output.stderr.contains("Cost ~0.003 USD, 1.1k tokens"), "{output}");

    let world = World::new(&without_money("brand-new-1"));
    let output = run(&world, &[]);
    assert_eq!(output.code, 0, "{output}");
    let agent = &world.events("task_agent")[0];
    assert_eq!(
        (&agent["cost"], &agent["estimated"], &agent["tokens"]["input"]),
        (&Value::Null, &Value::Null, &1000.into())
    );
    assert!(output.stderr.contains("Cost 1.1k tokens"), "{output}");

    let world =
        World::new(&without_money("brand-new-1")).settings("[prices.\"brand-new\"]\ninput = 10\noutput = 100.5\n");
    assert_eq!(run(&world, &[]).code, 0);
    let agent = &world.events("task_agent")[0];
    assert_eq!((&agent["cost"], &agent["estimated"]), (&0.02005.into(), &"spec.toml".into()));
}

#[test]
fn rules_choose_the_model() {
    let list = "# Tasks\n\n- [ ] 1.1 [VERIFY] Look\n  - **Do**: done_\n\
                - [ ] 1.2 Do it\n  - **Do**: if [ $SPEC_ATTEMPT = 3 ]; then echo x > x; done_; else say no; result; fi\n";
    let rules = "[[models]]\nattempt = 3\nmodel = \"strong\"\n\n[[models]]\nmarker = \"VERIFY\"\nmodel = \"cheap\"\n";
    let world = World::new(list).settings(rules);
    let output = run(&world, &["--max-attempts", "3"]);
    assert_eq!(output.code, 0, "{output}");
    let arguments = world.env.read("../home/arguments");
    let model = |line: &str| line.split_once("--model ").map(|(_, rest)| rest.split(' ').next().map(str::to_owned));
    let models: Vec<_> = arguments.lines().map(|line| model(line).flatten()).collect();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(models, [named("cheap"), None, None, named("strong")]);
}
