//! Arguments as typed. The doc comments are the help texts: the first paragraph is what `-h` shows, `--help` shows all.
//! What is meant, after the environment and `spec.toml`, is in [`super::settings`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::settings::{Color, Isolation, Mode, Output, Sandbox};
use crate::agent::Access;
use crate::document::duration;
use crate::engine::budget::{self, Money};
use crate::plugin::Target;

/// Runs a markdown task list with coding agents, checks every result itself and commits one task after the other.
///
/// FILE is a task list, a folder with a tasks.md, or the name of a spec under specs/, .kiro/specs/, openspec/changes/
/// or .spec-workflow/specs/. Without it: ./tasks.md, the spec that specs/.current-spec names, or the only one there is.
///
/// Flags beat the environment (`SPEC_MAX_PARALLEL` and so on), that beats spec.toml, that the defaults.
#[derive(Debug, Parser)]
#[command(
    name = "spec",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_long_help = "Exit codes: 0 done; 1 tasks failed, blocked or skipped, or errors found; 2 bad usage, input or \
                       configuration; 3 another run holds this spec; 4 a conflict needs a person; 5 stopped by a limit; \
                       130, 143 interrupted."
)]
pub struct Cli {
    /// When to use colours
    ///
    /// `auto` uses them on a terminal, unless `NO_COLOR` is set.
    #[arg(long, global = true, value_enum, value_name = "WHEN", env = "SPEC_COLOR", hide_env = true)]
    pub color: Option<Color>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new spec from templates
    #[command(after_long_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Say what is wrong or doubtful in task lists
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Write a list in a better way, where that is safe
    #[command(after_long_help = FMT_EXAMPLES)]
    Fmt(FmtArgs),
    /// List the tasks of a list, as they are understood
    #[command(after_long_help = TASKS_EXAMPLES)]
    Tasks(TasksArgs),
    /// Show what would run, in which order, and why
    #[command(after_long_help = PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// Run a task list
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Inside an agent: say what its sub-agents are to do now
    #[command(after_long_help = NEXT_EXAMPLES)]
    Next(NextArgs),
    /// Inside an agent: check and land what its sub-agents have done
    #[command(after_long_help = FINISH_EXAMPLES)]
    Finish(FinishArgs),
    /// Answer a hook of an agent: JSON on standard input, the answer in the agent's form on standard output
    ///
    /// Made to be called by the hooks of Claude Code, Codex, Gemini CLI, Qwen Code and Copilot. It never fails: what it
    /// cannot read lets the agent go on as it would.
    Hook(HookArgs),
    /// Show what runs, what is done, and what waits for what
    Status(StatusArgs),
    /// End the run that is going on
    Cancel(SteerArgs),
    /// Start nothing new in the run that is going on
    Pause(SteerArgs),
    /// Go on with a paused run
    Resume(SteerArgs),
    /// Try a failed task again in the run that is going on
    Retry(TaskArgs),
    /// Leave a task out of the run that is going on
    Skip(TaskArgs),
    /// Show what the executor of a task printed
    Log(LogArgs),
    /// Print what the executor of a task would be told
    #[command(after_long_help = PROMPT_EXAMPLES)]
    Prompt(PromptArgs),
    /// Search what earlier work in this repository learned
    #[command(after_long_help = LEARNINGS_EXAMPLES)]
    Learnings(LearningsArgs),
    /// List earlier runs
    History(HistoryArgs),
    /// Show one earlier run
    Show(ShowArgs),
    /// Show and restore what was kept of tasks that failed or were cut off
    #[command(after_long_help = RESCUE_EXAMPLES)]
    Rescue(RescueArgs),
    /// Take back what a run landed, with one new commit
    #[command(after_long_help = UNDO_EXAMPLES)]
    Undo(UndoArgs),
    /// Remove working trees and refs that runs left and nobody needs
    #[command(after_long_help = GC_EXAMPLES)]
    Gc(GcArgs),
    /// Serve the Model Context Protocol on standard input and output, for the agent that starts it
    Mcp,
    /// Put what agents need to carry out lists from inside where they look for it
    #[command(after_long_help = PLUGIN_EXAMPLES)]
    Plugin(PluginArgs),
    /// List the agents that can carry out tasks, and how each is started
    #[command(after_long_help = AGENTS_EXAMPLES)]
    Agents(AgentsArgs),
    /// Print a completion script for a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
}

const PLUGIN_EXAMPLES: &str = "Examples:
  spec plugin install                   for every agent that is on PATH
  spec plugin install claude --dry-run  show what would change
  spec plugin install agents-md         a block in the AGENTS.md of this repository
  spec plugin remove                    take all of it away again";

const INIT_EXAMPLES: &str = "Examples:
  spec init rate-limit    make specs/rate-limit/ with research, requirements, design and tasks to fill in
  spec init rate-limit --template kiro
                          the same as Kiro has it, in .kiro/specs/rate-limit/
  spec init               only make spec.toml";

const CHECK_EXAMPLES: &str = "Examples:
  spec check                            the list that `spec run` would take
  spec check specs/*/tasks.md           many lists; exit 1 if one has errors
  spec check tasks.md --format json
  spec check --fix --dry-run            what could be mended without a change of meaning, as a diff
  spec check --watch                    beside an editor: again whenever the list changes";

const FMT_EXAMPLES: &str = "Examples:
  spec fmt --mark-parallel              which tasks could run at the same time, as a diff that marks them
  spec fmt --mark-parallel rate-limit --write
                                        put the marks into specs/rate-limit/tasks.md";

const TASKS_EXAMPLES: &str = "Examples:
  spec tasks rate-limit                 the tasks of specs/rate-limit/tasks.md
  spec tasks tasks.md --format json | jq '.tasks[] | select(.checked | not) | .id'";

const PLAN_EXAMPLES: &str = "Examples:
  spec plan tasks.md                    steps, what waits for what, and the bound
  spec plan tasks.md -j 8 --mode graph  what eight at once would do without barriers
  spec plan tasks.md --format mermaid   a graph for a markdown page
  spec plan tasks.md --format dot | dot -Tsvg > plan.svg";

const RUN_EXAMPLES: &str = "Examples:
  spec run                              the list of this folder or spec
  spec run rate-limit -j 4              four tasks at once
  spec run tasks.md --exec 'my-agent --yes'
                                        an executor that reads its prompt on standard input
  spec run tasks.md --only 1.2,1.3      two tasks
  spec run tasks.md --from 'Phase 2'    that heading and what comes after it
  spec run tasks.md --dry-run           say what would run, change nothing
  spec run specs/a specs/b              two specs at once, each in a tree of its own
  spec run specs/_epics/shop            the specs of an epic, in the order of their dependencies";

const PROMPT_EXAMPLES: &str = "Examples:
  spec prompt 1.2                       the prompt of task 1.2; its size by part on standard error
  spec prompt 1.2 rate-limit --attempt 2
                                        with why its first try failed
  spec prompt 1.2 --format json | jq .parts";

const LEARNINGS_EXAMPLES: &str = "Examples:
  spec learnings                        everything that is known
  spec learnings sqlite locks           what has one of these words, most to the point first
  spec learnings src/csv.rs             what is about that file";

const NEXT_EXAMPLES: &str = "Examples:
  spec next                             the next step of the list of this folder or spec
  spec next rate-limit --session 7ddd   for a session that is not told apart otherwise
  spec next --take-over                 go on with what another session has";

const FINISH_EXAMPLES: &str = "Examples:
  spec finish 1.2 1.3                   two sub-agents have ended
  spec finish 1.2 --failed 1.3=\"the API is not there\"
  spec finish --no-change 1.4=\"it was there already\"";

const RESCUE_EXAMPLES: &str = "Examples:
  spec rescue                           what is kept, and why
  spec rescue show 1.2                  what task 1.2 had changed when it failed last
  spec rescue restore 1.2/3             the same of its third try, back into the working tree
  spec rescue restore 1.2 --branch wip  a branch of it, no file is touched";

const UNDO_EXAMPLES: &str = "Examples:
  spec undo last --dry-run              what would be taken back of the last run
  spec undo last/4                      what it landed from step 4 on
  spec undo 0199a3 rate-limit           all of a run of specs/rate-limit/tasks.md";

const GC_EXAMPLES: &str = "Examples:
  spec gc --dry-run                     what would be removed, and what has work in it
  spec gc --save                        keep such work under refs/spec/salvage/, then remove
  spec gc --refs --older-than 30d       also drop refs of runs and of rescued work";

const AGENTS_EXAMPLES: &str = "Examples:
  spec agents                           what is installed, its version, whether it can be signed in
  spec agents --format json | jq -r '.agents[] | select(.program) | .name'";

const COMPLETIONS_EXAMPLES: &str = "Examples:
  spec completions bash > ~/.local/share/bash-completion/completions/spec
  spec completions fish > ~/.config/fish/completions/spec.fish";

/// How a list or status command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// How `spec plan` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
}

/// Arguments of `spec init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Name of the new spec, which is that of its folder
    ///
    /// Without it only spec.toml is made. Nothing that is there is overwritten.
    pub name: Option<String>,
    /// Whose pages, in the files and folders which that tool has
    #[arg(long, value_enum, default_value_t, requires = "name")]
    pub template: Template,
}

/// Whose pages `spec init` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Template {
    /// smart-ralph: specs/NAME/ with research, requirements, design, tasks and .progress.md.
    #[default]
    Ralph,
    /// GitHub spec-kit: specs/001-NAME/ with spec, research, plan and tasks.
    Speckit,
    /// Kiro and cc-sdd: .kiro/specs/NAME/ with requirements, research, design and tasks.
    Kiro,
    /// `OpenSpec`: openspec/changes/NAME/ with proposal, specs/NAME/spec.md, design and tasks.
    Openspec,
    /// No tool: specs/NAME/ with research, requirements, design and a list without ids.
    Plain,
}

/// Arguments of `spec check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Task lists, folders or names of specs
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Mend what can be mended without a change of meaning
    ///
    /// Shows each change as a diff, then says what is left. No task becomes another one by it. A list that a run is
    /// working on is left alone, with exit code 3.
    #[arg(long)]
    pub fix: bool,
    /// With --fix: show the diff and change nothing
    #[arg(long, requires = "fix")]
    pub dry_run: bool,
    /// Check again whenever a list, or the spec.toml that counts for it, changes, until Ctrl-C
    #[arg(long, conflicts_with = "fix")]
    pub watch: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// Mark tasks that could run at the same time
    ///
    /// Consecutive tasks that declare their files, share none of them and say nothing of an order between them. They are
    /// shown as a diff; look at it, for tasks may need each other in ways that nobody wrote down.
    #[arg(long)]
    pub mark_parallel: bool,
    /// Change the list, instead of only showing what would change
    #[arg(long)]
    pub write: bool,
}

/// Arguments of `spec tasks`.
#[derive(Debug, Args)]
pub struct TasksArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What to run and in which order: shared by `spec plan` and `spec run`.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// How many tasks may run at once [default: 3]
    #[arg(short = 'j', long, visible_alias = "max-concurrency", value_name = "N", value_parser = at_least_one)]
    pub max_parallel: Option<usize>,
    /// How order is derived [default: groups]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Another name for `--mode groups`
    #[arg(long, conflicts_with = "mode")]
    pub parallel: bool,
    /// Only these tasks: ids, or a parent or a heading for all its tasks
    ///
    /// Separated by commas. Without an id a task is `:INDEX`; where an id is not unique it is `ID@LINE`. What these
    /// tasks depend on must be done already.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only this task and what comes after it; also a parent or a heading
    #[arg(long, value_name = "ID")]
    pub from: Option<String>,
    /// Run notes, too: items that are taken for acceptance lists or steps
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub include_notes: Option<bool>,
    /// Run optional (starred) tasks, too
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub include_optional: Option<bool>,
}

/// Arguments of `spec plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// What to run and in which order.
    #[command(flatten)]
    pub selection: Selection,
    /// Show what is done, too
    #[arg(long)]
    pub all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// Arguments of `spec run`.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct RunArgs {
    /// Task list, folder or name of a spec; several, or an .epic-state.json, are an epic
    ///
    /// Each spec of an epic runs in a working tree of its own and is merged onto your branch when all of its tasks are
    /// done. Their lists must be committed. Options hold for each spec.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How many specs of an epic run at once [default: 2]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub max_specs: Option<usize>,
    /// Each spec of an epic works on a branch of its own, spec/NAME, which stays
    #[arg(long)]
    pub branch_per_spec: bool,
    /// Started by the run of an epic: ends when the other end of standard input closes.
    #[arg(long, hide = true)]
    pub part_of_epic: bool,
    /// What to run and in which order.
    #[command(flatten)]
    pub selection: Selection,
    /// Command that carries out a task, run by `sh -c`, the prompt on its standard input
    ///
    /// Tasks with a Run field do without it. Exit code 0 means that the task says it is done; what counts is what spec
    /// then sees.
    #[arg(long, value_name = "CMD", conflicts_with = "agent")]
    pub exec: Option<String>,
    /// The agent that carries out tasks: claude, codex, gemini, ... (`spec agents` lists them)
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Its model, in its own words
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// What it may do without asking [default: edit]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub access: Option<Access>,
    /// Where executors work
    #[arg(long, value_enum)]
    pub isolation: Option<Isolation>,
    /// Whether what tasks run is kept from writing outside their tree [default: none]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub sandbox: Option<Sandbox>,
    /// How often a task is tried [default: 5; 1 for tasks with a Run field]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: Option<u32>,
    /// How long a task may take, its Verify included [default: 60m]
    ///
    /// Durations are 90s, 10m, 1h30m; a bare number is seconds.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
    /// How long a task may go without output or activity [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub idle_timeout: Option<Duration>,
    /// How long a process may take to end when asked to, before it is killed [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub grace: Option<Duration>,
    /// How long the whole run may take; ends it with exit code 5 [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub run_timeout: Option<Duration>,
    /// What agents of the run may cost, in US dollars; ends it with exit code 5 [default: no limit]
    #[arg(long, value_name = "USD", value_parser = budget::parse_usd)]
    pub max_cost: Option<Money>,
    /// How many tokens agents of the run may use, as in 2M or 500k; ends it with exit code 5 [default: no limit]
    #[arg(long, value_name = "N", value_parser = budget::parse_tokens)]
    pub max_tokens: Option<u64>,
    /// After a failure go on with everything that does not need the failed task
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub keep_going: Option<bool>,
    /// Put FIX tasks into the list for what fails for good, and try it again behind them
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub recovery: Option<bool>,
    /// A skipped task does not make the exit code 1
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub allow_skips: Option<bool>,
    /// Refuse to run tasks whose Verify has no command
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub require_verify: Option<bool>,
    /// Say what would run and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Tick boxes and merge progress, but commit nothing
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub no_commit: Option<bool>,
    /// Work in a tree that has uncommitted changes; they are never committed, stashed or lost
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    pub allow_dirty: Option<bool>,
    /// Take the run over from an agent session that may still be at work
    #[arg(long)]
    pub take_over: bool,
    /// What goes to standard output: signals for people, or one JSON event a line [default: human]
    #[arg(long, value_enum)]
    pub output: Option<Output>,
    /// Show more: what executors print; twice: details
    #[arg(short, long, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Show less: failures, why a run ends early, and the last line only
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub quiet: u8,
}

impl RunArgs {
    /// The same options again, as a command line of one spec of an epic; without FILE.
    #[must_use]
    pub fn for_one_spec(&self) -> Vec<OsString> {
        // All of them by name: a new option must say here whether it is for each spec.
        let Self {
            files: _,
            max_specs: _,
            branch_per_spec: _,
            part_of_epic: _,
            selection: Selection { max_parallel, mode, parallel, only: _, from: _, include_notes, include_optional },
            exec,
            agent,
            model,
            access,
            isolation,
            sandbox,
            max_attempts,
            timeout,
            idle_timeout,
            grace,
            run_timeout,
            max_cost,
            max_tokens,
            keep_going,
            recovery,
            allow_skips,
            require_verify,
            dry_run: _,
            take_over: _,
            no_commit: _,
            allow_dirty,
            output: _,
            verbose,
            quiet,
        } = self;
        let mut args: Vec<OsString> = vec!["--output=json".into(), "--part-of-epic".into()];
        let mut option = |name: &str, value: Option<String>| {
            args.extend(value.map(|value| OsString::from(format!("--{name}={value}"))));
        };
        option("max-parallel", max_parallel.map(|value| value.to_string()));
        option("mode", mode.map(named));
        option("mode", parallel.then(|| "groups".to_owned()));
        option("include-notes", include_notes.map(|value| value.to_string()));
        option("include-optional", include_optional.map(|value| value.to_string()));
        option("exec", exec.clone());
        option("agent", agent.clone());
        option("model", model.clone());
        option("access", access.map(named));
        option("isolation", isolation.map(named));
        option("sandbox", sandbox.map(named));
        option("max-attempts", max_attempts.map(|value| value.to_string()));
        for (name, time) in [("timeout", timeout), ("idle-timeout", idle_timeout), ("grace", grace)] {
            option(name, time.map(|time| format!("{}ms", time.as_millis())));
        }
        option("run-timeout", run_timeout.map(|time| format!("{}ms", time.as_millis())));
        option("max-cost", max_cost.map(|money| money.usd().to_string()));
        option("max-tokens", max_tokens.map(|tokens| tokens.to_string()));
        option("keep-going", keep_going.map(|value| value.to_string()));
        option("recovery", recovery.map(|value| value.to_string()));
        option("allow-skips", allow_skips.map(|value| value.to_string()));
        option("require-verify", require_verify.map(|value| value.to_string()));
        option("allow-dirty", allow_dirty.map(|value| value.to_string()));
        args.extend((0..*verbose).map(|_| OsString::from("--verbose")));
        args.extend((0..*quiet).map(|_| OsString::from("--quiet")));
        args
    }
}

/// A value as it is typed.
#[expect(clippy::needless_pass_by_value, reason = "values of enums are as small as references to them")]
pub(super) fn named(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// How `spec next` and `spec finish` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum StepFormat {
    /// For the model that reads it.
    #[default]
    Md,
    /// For programs.
    Json,
}

/// What the calls of a session have in common.
#[derive(Debug, Args)]
pub struct StepOptions {
    /// Which agent session this is [default: as the agent says in the environment]
    ///
    /// Read from `SPEC_SESSION`, `CLAUDE_CODE_SESSION_ID` or `GEMINI_SESSION_ID`. While a session has a run nobody else goes on
    /// with it, until nothing was heard of it for 30 minutes.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Take the run over from a session that may still be at work
    #[arg(long)]
    pub take_over: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: StepFormat,
}

/// Arguments of `spec next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// Whose call it is.
    #[command(flatten)]
    pub options: StepOptions,
    /// Begin in a tree that has uncommitted changes; they are never committed, stashed or lost
    #[arg(long)]
    pub allow_dirty: bool,
}

/// Arguments of `spec finish`.
#[derive(Debug, Args)]
pub struct FinishArgs {
    /// Tasks that are done: ids, as `spec next` gives them
    #[arg(value_name = "ID")]
    pub tasks: Vec<String>,
    /// A task that could not be done, and why
    #[arg(long, value_name = "ID=REASON")]
    pub failed: Vec<String>,
    /// A task that is done without a change, and why
    #[arg(long, value_name = "ID=REASON")]
    pub no_change: Vec<String>,
    /// Task list, folder or name of a spec
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Whose call it is.
    #[command(flatten)]
    pub options: StepOptions,
}

/// Arguments of `spec hook`.
#[derive(Debug, Args)]
pub struct HookArgs {
    /// Which moment
    #[arg(value_enum)]
    pub moment: HookMoment,
}

/// When an agent asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum HookMoment {
    /// It wants to end its turn: held back while its session has something to do now.
    Stop,
    /// A session begins: told where the spec stands.
    SessionStart,
    /// A session has ended: whoever comes next may go on with what it had.
    SessionEnd,
    /// A sub-agent has ended: noted that its task is said to be done.
    SubagentStop,
    /// A tool is about to write: warned of or refused outside the files of a task, as `run.ownership` says.
    PreTool,
}

/// Arguments of `spec status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// One line only
    #[arg(long)]
    pub brief: bool,
}

/// Arguments of `spec cancel`, `spec pause` and `spec resume`.
#[derive(Debug, Args)]
pub struct SteerArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
}

/// Arguments of `spec retry` and `spec skip`.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// The task: its id, `ID@LINE` where that is not unique, `:INDEX` where there is none
    #[arg(value_name = "ID")]
    pub task: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
}

/// Arguments of `spec log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The task: its id, `ID@LINE` where that is not unique, `:INDEX` where there is none
    #[arg(value_name = "ID")]
    pub task: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// Go on printing until the try ends
    #[arg(short, long)]
    pub follow: bool,
    /// Which try [default: the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: Option<u32>,
    /// Print what an agent printed as it is, not what it says
    #[arg(long)]
    pub raw: bool,
}

/// Arguments of `spec prompt`.
#[derive(Debug, Args)]
pub struct PromptArgs {
    /// The task: its id, `ID@LINE` where that is not unique, `:INDEX` where there is none
    #[arg(value_name = "ID")]
    pub task: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// How order is derived, as for the run [default: groups]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Which try; later ones are told why the one before failed [default: the next]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: Option<u32>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec learnings`.
#[derive(Debug, Args)]
pub struct LearningsArgs {
    /// Words and files to look for; without any, everything
    pub query: Vec<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value = "20", value_parser = at_least_one)]
    pub limit: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec agents`.
#[derive(Debug, Args)]
pub struct AgentsArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The run: as much of the beginning of its id as is unique, or `last`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec rescue`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct RescueArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// What else to do than to list.
    #[command(subcommand)]
    pub action: Option<RescueAction>,
}

/// What to do with what is kept.
#[derive(Debug, Subcommand)]
pub enum RescueAction {
    /// Print what a task had changed, as a diff
    Show(RescueShowArgs),
    /// Put what a task had changed into the working tree, uncommitted
    Restore(RescueRestoreArgs),
}

/// Arguments of `spec rescue show`.
#[derive(Debug, Args)]
pub struct RescueShowArgs {
    /// The task, as `spec rescue` lists it; without a try the newest
    #[arg(value_name = "TASK[/TRY]")]
    pub task: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
}

/// Arguments of `spec rescue restore`.
#[derive(Debug, Args)]
pub struct RescueRestoreArgs {
    /// The task, as `spec rescue` lists it; without a try the newest
    ///
    /// Its changes are merged with what is there now. Where they do not fit, or uncommitted changes are in the way,
    /// nothing is touched and the exit code is 4.
    #[arg(value_name = "TASK[/TRY]")]
    pub task: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// Make this branch of it instead, and touch no file
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
}

/// Arguments of `spec undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// The run, or `last`; with a step, only what it landed from that step on
    ///
    /// A run is as much of the beginning of its id as is unique. What others committed since stays; where they changed
    /// the same lines, or uncommitted changes are in the way, nothing is touched and the exit code is 4.
    #[arg(value_name = "RUN[/STEP]")]
    pub run: String,
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// Say what would be taken back and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `spec gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Task list, folder or name of a spec
    pub file: Option<PathBuf>,
    /// Say what would be removed and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Keep work that is in a working tree under refs/spec/salvage/ and remove the tree; without it such a tree is left
    #[arg(long)]
    pub save: bool,
    /// Also drop refs: those that `spec undo` needs, and what `spec rescue` lists
    #[arg(long, requires = "older_than")]
    pub refs: bool,
    /// Which refs: those of runs that began, and of work that was kept, longer ago
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "refs")]
    pub older_than: Option<Duration>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `spec plugin`.
#[derive(Debug, Args)]
pub struct PluginArgs {
    /// What to do
    #[command(subcommand)]
    pub action: PluginAction,
}

/// See [`PluginArgs`].
#[derive(Debug, Subcommand)]
pub enum PluginAction {
    /// Put commands, hooks and the MCP server where agents look for them
    ///
    /// Files that you have changed are left as they are, and doing it again changes nothing.
    Install {
        /// For which [default: the agents that are on PATH]
        #[arg(value_enum, value_name = "AGENT")]
        agents: Vec<Target>,
        /// Show what would change, and change nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Take away what was put in
    Remove {
        /// For which [default: all that it was put in for]
        #[arg(value_enum, value_name = "AGENT")]
        agents: Vec<Target>,
        /// Show what would change, and change nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

/// Arguments of `spec completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// A number of 1 or more.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a whole number".to_owned()),
    }
}

/// A duration of more than 0.
fn some_time(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[OsString]) -> RunArgs {
        let program: Vec<OsString> = vec!["spec".into(), "run".into()];
        match Cli::try_parse_from(program.iter().chain(args)).expect("valid").command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_options_of_an_epic_are_those_of_its_specs() {
        for typed in [
            "-j 7 --mode graph --include-notes --include-optional=false --exec --x --isolation none --sandbox auto -vv",
            "--parallel --max-attempts 9 --timeout 90s --idle-timeout 1500ms --grace 0 --run-timeout 2h -q --keep-going",
            "--allow-skips --require-verify=false --allow-dirty",
        ] {
            let typed: Vec<OsString> = typed.replace("--exec --x", "--exec=--x").split(' ').map(Into::into).collect();
            let mut once = run(&typed);
            let again = run(&once.for_one_spec());
            (once.output, once.part_of_epic) = (Some(Output::Json), true);
            if once.selection.parallel {
                (once.selection.parallel, once.selection.mode) = (false, Some(Mode::Groups));
            }
            assert_eq!(format!("{again:?}"), format!("{once:?}"));
        }
    }
}
