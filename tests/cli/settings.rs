//! Flags beat the environment, that beats `spec.toml`, that the defaults.

use insta::assert_snapshot;

use crate::env::{Output, TestEnv};

const LIST: &str = "- [ ] 1.1 A task\n";

/// `spec plan` with a variable of the environment; says how many at once.
fn plan(env: &TestEnv, args: &[&str], variable: &str) -> Output {
    let mut command = env.spec_command(["plan", "specs/x/tasks.md", "--format", "json"]);
    if let Some((name, value)) = variable.split_once('=') {
        command.env(name, value);
    }
    env.output(command.args(args))
}

#[test]
fn each_layer_beats_the_one_below() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", LIST);
    let limit = |args: &[&str], variable: &str| plan(&env, args, variable).json()["maxParallel"].clone();
    assert_eq!(limit(&[], ""), 3);
    env.write("spec.toml", "[run]\nmax_parallel = 4\n");
    assert_eq!(limit(&[], ""), 4);
    assert_eq!(limit(&[], "SPEC_MAX_PARALLEL="), 4);
    assert_eq!(limit(&[], "SPEC_MAX_PARALLEL=5"), 5);
    assert_eq!(limit(&["-j", "6"], "SPEC_MAX_PARALLEL=5"), 6);
    let mode = |args: &[&str]| plan(&env, args, "SPEC_MODE=sequential").json()["mode"].clone();
    assert_eq!(mode(&[]), "sequential");
    assert_eq!(mode(&["--parallel"]), "groups");
}

#[test]
fn a_flag_takes_back_what_the_settings_include() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", "- [ ] 1.1 A task\n- [ ]* 1.2 Optional\n");
    env.write("spec.toml", "[run]\ninclude_optional = true\n");
    let steps = |args: &[&str]| plan(&env, args, "").json()["steps"].as_array().map(Vec::len);
    assert_eq!(steps(&[]), Some(2));
    assert_eq!(steps(&["--include-optional=false"]), Some(1));
}

#[test]
fn the_nearest_file_counts_up_to_the_root_of_the_repository() {
    let env = TestEnv::new();
    env.write("spec.toml", "[run]\nmax_parallel = 7\n");
    env.write("repo/specs/x/tasks.md", LIST);
    env.git(["init", "--quiet", "repo"]);
    let limit = || {
        let mut command = env.spec_command(["plan", "specs/x", "--format", "json"]);
        env.output(command.current_dir(env.path("repo"))).json()["maxParallel"].clone()
    };
    assert_eq!(limit(), 3);
    env.write("repo/spec.toml", "[run]\nmax_parallel = 8\n");
    assert_eq!(limit(), 8);
    env.write("repo/specs/x/spec.toml", "[run]\nmax_parallel = 9\n");
    assert_eq!(limit(), 9);
}

#[test]
fn unknown_keys_warn_with_their_line() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", LIST);
    env.write("spec.toml", "max-parallel = 2\n\n[run]\nmax_paralel = 2\ncolour = \"never\"\n\n[exec]\nagent = \"x\"\n");
    let output = plan(&env, &[], "");
    assert_eq!(output.code, 0, "{output}");
    assert_snapshot!(output.stderr, @r#"
    warning: spec.toml:1: max-parallel is not a setting and is ignored (did you mean run.max_parallel?)
    warning: spec.toml:4: run.max_paralel is not a setting and is ignored (did you mean run.max_parallel?)
    warning: spec.toml:5: run.colour is not a setting and is ignored (did you mean run.color?)
    warning: spec.toml:8: exec.agent is not a setting and is ignored
    "#);
}

#[test]
fn bad_values_are_errors_with_their_line() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", LIST);
    let mut said = String::new();
    for text in [
        "[run]\nmax_parallel = 0\n",
        "[run]\nmax_parallel = -1\n",
        "[run]\nmax_parallel = \"many\"\n",
        "[run]\n\ntimeout = \"soon\"\n",
        "[run]\ntimeout = 0\n",
        "[run]\nmode = \"fast\"\n",
        "[run]\nkeep_going = 1\n",
        "[run]\nshared_files = \"a,b\"\n[run]\n",
        "[run]\nshared_files = [1]\n",
        "[exec]\ncommand = \" \"\n",
        "[resources]\ndb = 0\n",
        "[run\n",
    ] {
        env.write("spec.toml", text);
        let output = plan(&env, &[], "");
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{text}: {output}");
        said += &output.stderr;
    }
    assert_snapshot!(said, @r#"
    error: spec.toml:2: run.max_parallel must be at least 1
    error: spec.toml:2: run.max_parallel must be a whole number of 0 or more
    error: spec.toml:2: run.max_parallel must be a whole number
    error: spec.toml:3: run.timeout `soon` is not a duration; write it like `90s`, `10m` or `1h30m`
    error: spec.toml:2: run.timeout must be more than 0
    error: spec.toml:2: run.mode must be one of groups, sequential, graph
    error: spec.toml:2: run.keep_going must be true or false
    error: spec.toml:3: not valid TOML: duplicate key
    error: spec.toml:2: run.shared_files must be a list of texts
    error: spec.toml:2: exec.command must not be empty
    error: spec.toml:2: resources.db must be at least 1
    error: spec.toml:1: not valid TOML: unclosed table, expected `]`
    "#);
}

#[test]
fn bad_variables_are_errors_with_their_name() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", LIST);
    assert_snapshot!(plan(&env, &[], "SPEC_MAX_PARALLEL=0"), @r#"
    --- stderr ---
    error: the environment variable SPEC_MAX_PARALLEL must be at least 1: '0'
    hint: unset SPEC_MAX_PARALLEL, or give a flag, which beats it
    [exit code: 2]
    "#);
    assert_snapshot!(plan(&env, &[], "SPEC_KEEP_GOING=maybe"), @r#"
    --- stderr ---
    error: the environment variable SPEC_KEEP_GOING must be true or false: 'maybe'
    hint: unset SPEC_KEEP_GOING, or give a flag, which beats it
    [exit code: 2]
    "#);
}

#[test]
fn an_agent_of_the_environment_beats_a_command_of_the_file() {
    let env = TestEnv::with_list(LIST);
    env.write("spec.toml", "[exec]\ncommand = \"true\"\n[agents.mine]\nprogram = \"not-there\"\n");
    let run = |variables: &[(&str, &str)]| {
        let mut command = env.spec_command(["run", "tasks.md", "--max-attempts", "1"]);
        env.output(command.envs(variables.iter().copied()))
    };
    let agent = run(&[("SPEC_AGENT", "mine")]);
    assert!(agent.code == 2 && agent.stderr.contains("no `not-there` on PATH"), "{agent}");
    // Of two in the same place it is the command.
    let both = run(&[("SPEC_AGENT", "mine"), ("SPEC_EXEC", "false")]);
    assert!(both.code == 1 && both.stdout.contains("reason: exit 1"), "{both}");
    let file = run(&[]);
    assert_eq!(file.code, 0, "{file}");
}

#[test]
fn resources_and_shared_files_reach_the_plan() {
    let env = TestEnv::new();
    let task = |id: &str, more: &str| format!("- [ ] {id} [P] Task\n  - **Uses**: db\n  - **Files**: {more}\n");
    env.write("specs/x/tasks.md", task("1.1", "m/1.sql") + &task("1.2", "b") + &task("1.3", "m/2.sql"));
    let edges = || plan(&env, &[], "").json()["edges"].as_array().map(Vec::len);
    assert_eq!(edges(), Some(2));
    env.write("spec.toml", "[resources]\ndb = 2\n");
    assert_eq!(edges(), Some(1));
    env.write("spec.toml", "[resources]\ndb = 9\n[run]\nshared_files = [\"m/**\"]\n");
    assert_eq!(edges(), Some(1));
}

#[test]
fn agents_are_tables_in_a_table() {
    let env = TestEnv::new();
    env.write("specs/x/tasks.md", LIST);
    let said = |file: &str| {
        env.write("spec.toml", file);
        plan(&env, &[], "").stderr
    };
    let good = "[agents.mine]\nprogram = \"./mine\"\nargs = [\"--model\", \"{model}\"]\nformat = \"claude\"\n[agents.mine.env]\nQUIET = \"1\"\n[agents.claude]\nmodel = \"haiku\"\naccess = \"full\"\n";
    assert_eq!(said(good), "");
    let bad = [
        "[agents]\nclaude = 3\n",
        "[agents.mine]\nprogramm = \"x\"\nprogram = \"x\"\n",
        "[agents.mine]\nmodel = \"x\"\n",
        "[agents.claude]\nprompt = \"file\"\n",
        "[agents.mine]\nprogram = \"x\"\nformat = \"claud\"\n",
        "[agents.mine]\nprogram = \"x\"\nprotocol = \"mcp\"\n",
        "[agents.mine]\nprogram = \"x\"\nargs = \"--yes\"\n",
        "[agents.mine]\nprogram = \"x\"\n[agents.mine.env]\nA = 1\n",
        "[agents.claude]\naccess = \"all\"\n",
    ];
    assert_snapshot!(bad.map(said).concat(), @r"
    warning: spec.toml:2: agents.claude is a table of settings; this value of it is ignored
    warning: spec.toml:2: agents.mine.programm is not a setting and is ignored (did you mean agents.mine.program?)
    error: spec.toml:1: agents.mine needs a `program`: no agent of that name is known (claude, codex, gemini, opencode, qwen, copilot, cursor, amp, goose, crush, aider)
    error: spec.toml:1: agents.claude cannot have `format`, `prompt` or `resume`: how claude is driven is known; give yours another name
    error: spec.toml:3: agents.mine.format must be `text` or the name of a known agent whose stream it speaks: claude, codex, gemini, opencode, qwen, copilot, cursor, amp, goose, crush, aider
    error: spec.toml:3: agents.mine.protocol must be `acp`
    error: spec.toml:3: agents.mine.args must be a list of texts
    error: spec.toml:4: agents.mine.env.A must be a text
    error: spec.toml:2: agents.claude.access must be one of read, edit, full
    ");
}
