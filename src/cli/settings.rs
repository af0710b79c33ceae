//! Settings as meant: flags beat the environment, that beats `spec.toml`, that beats the defaults. [`RunSettings`] is
//! what the driver takes; each layer is laid over the one below it, lowest first.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;

use super::args::{RunArgs, Selection};
use super::{Error, config};
use crate::agent::choose::{Preferences, Rule};
use crate::agent::prices::Price;
use crate::agent::surroundings::Surroundings;
use crate::agent::{self, Access};
use crate::document::quota::Quota;
use crate::document::{duration, size};
use crate::engine::budget::{self, Amount, Bounds};
use crate::engine::gates;
use crate::mask;
use crate::plan;
use crate::prompt::Templates;
use crate::runtime::admission::Thresholds;

/// How order is derived, as typed.
#[allow(rustdoc::broken_intra_doc_links, reason = "the comments are the help, which shows markers as they are written")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Mode {
    /// Steps in the order of the list; consecutive [P] tasks run at once.
    Groups,
    /// One task at a time.
    Sequential,
    /// Only dependencies, overlaps, [VERIFY] and [SEQUENTIAL] give order.
    Graph,
}

impl From<Mode> for plan::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Groups => Self::Groups,
            Mode::Sequential => Self::Sequential,
            Mode::Graph => Self::Graph,
        }
    }
}

/// Where executors work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Isolation {
    /// A tree each for the tasks of a parallel group in a git repository, the shared tree for the rest.
    #[default]
    Auto,
    /// All in the one working tree.
    None,
    /// A tree of its own for each task.
    Worktree,
}

/// What is checked of a batch once it is merged, before the branch moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum LandingVerify {
    /// Nothing more.
    #[default]
    None,
    /// The Verify of each of its tasks.
    Task,
    /// The command `landing.command`.
    Command,
}

/// How working trees of tasks are made fit for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Patterns of ignored files and folders that each new tree gets copies of.
    pub copy: Vec<String>,
    /// The same for links to the user's own.
    pub link: Vec<String>,
    /// A script that is run in each new tree.
    pub setup: Option<String>,
    /// Files that the script depends on: where they change it is run again.
    pub setup_inputs: Vec<String>,
}

impl Default for Worktree {
    /// What most projects cannot be built or tested without.
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            copy: texts(&["**/.env", "**/.env.*", "**/.envrc"]),
            link: texts(&["**/node_modules", "**/.venv", "**/venv"]),
            setup: None,
            setup_inputs: Vec::new(),
        }
    }
}

/// How briefs of tasks that will start soon are written while others run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// Whether they are.
    pub enabled: bool,
    /// For how many tasks at once; at least 1.
    pub max: usize,
    /// The agent that writes one, only reading; where neither it nor a command is said, whatever carries out the task.
    pub agent: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// The command that writes one.
    pub command: Option<String>,
    /// How long that may take.
    pub timeout: Duration,
}

impl Default for Prepare {
    fn default() -> Self {
        Self { enabled: false, max: 3, agent: None, model: None, command: None, timeout: Duration::from_secs(10 * 60) }
    }
}

/// Whether what tasks run is kept from writing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Sandbox {
    /// In a sandbox where one works; the run says whether.
    Auto,
    /// In a sandbox; without one nothing is run.
    Required,
    /// As any other program of this user.
    #[default]
    None,
}

/// What goes to standard output of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Output {
    /// Signals; everything for people is on standard error.
    #[default]
    Human,
    /// One JSON event a line.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What happens when a task changes something outside its declared files, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
enum Ownership {
    Off,
    Warn,
    Deny,
}

impl From<Ownership> for gates::Ownership {
    fn from(ownership: Ownership) -> Self {
        match ownership {
            Ownership::Off => Self::Off,
            Ownership::Warn => Self::Warn,
            Ownership::Deny => Self::Deny,
        }
    }
}

/// Every option of `spec run`, resolved.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct RunSettings {
    /// How many tasks may run at once; at least 1.
    pub max_parallel: usize,
    /// How order is derived.
    pub mode: plan::Mode,
    /// The agent that carries out tasks.
    pub agent: Option<String>,
    /// Its model, in its own words.
    pub model: Option<String>,
    /// Which agent and model for which task.
    pub preferences: Preferences,
    /// Prices of models, besides those that are listed.
    pub prices: BTreeMap<String, Price>,
    /// What agents may use up.
    pub budget: budget::Limits,
    /// What it may do without asking.
    pub access: Access,
    /// How long a tool of it may be silent.
    pub tool_timeout: Duration,
    /// Whether a further try goes on with the session of the one before.
    pub resume: bool,
    /// An agent session carries tasks out, from outside.
    pub outside: bool,
    /// How often the stop hook may hold a session back in one run.
    pub max_blocks: u32,
    /// The executor's command.
    pub exec: Option<String>,
    /// Whether the executor must print `TASK_COMPLETE`, too.
    pub exec_signal: bool,
    /// Where executors work.
    pub isolation: Isolation,
    /// How often a task is tried; at least 1.
    pub max_attempts: u32,
    /// Whether that was asked for: tasks with a `Run` field are tried once if not.
    pub max_attempts_given: bool,
    /// How long a try may take.
    pub timeout: Duration,
    /// How long it may go without output or activity.
    pub idle_timeout: Duration,
    /// How long a process may take to end when asked to.
    pub grace: Duration,
    /// How long the whole run may take.
    pub run_timeout: Option<Duration>,
    /// First delay after a crash or a rate limit; doubles each time.
    pub backoff: Duration,
    /// The longest delay.
    pub backoff_max: Duration,
    /// After a failure go on with everything that does not need the failed task.
    pub keep_going: bool,
    /// What fails for good gets `[FIX]` tasks, and is tried again behind them.
    pub recovery: bool,
    /// A skipped task does not make the exit code 1.
    pub allow_skips: bool,
    /// Refuse tasks whose Verify has no command.
    pub require_verify: bool,
    /// Notes are tasks, too.
    pub include_notes: bool,
    /// Optional tasks are tasks, too.
    pub include_optional: bool,
    /// Only these, as typed; empty means all.
    pub only: Vec<String>,
    /// Only this and what comes after it, as typed.
    pub from: Option<String>,
    /// Say what would run and change nothing.
    pub dry_run: bool,
    /// Commit nothing.
    pub no_commit: bool,
    /// Work in a tree with uncommitted changes.
    pub allow_dirty: bool,
    /// What goes to standard output.
    pub output: Output,
    /// When to use colours.
    pub color: Color,
    /// 0 is normal, 1 and 2 show more, -1 and less show less.
    pub verbosity: i8,
    /// What happens to changes outside the declared files.
    pub ownership: gates::Ownership,
    /// Patterns of files everyone shares, besides the built-in ones: tasks that name such files take turns.
    pub shared_files: Vec<String>,
    /// How many tasks may use a resource of `Uses` at once, where it is not 1.
    pub resources: BTreeMap<String, usize>,
    /// How many new files are too many for one task.
    pub too_much: usize,
    /// Whether tasks run in a sandbox.
    pub sandbox: Sandbox,
    /// What tasks may write to in it besides their tree; `~` is the home.
    pub sandbox_write: Vec<String>,
    /// Whether they have the network in it.
    pub sandbox_network: bool,
    /// What each task may use up, where it says nothing else.
    pub quota: Quota,
    /// How working trees of tasks are made fit for work.
    pub worktree: Worktree,
    /// What is checked of a batch once it is merged.
    pub landing_verify: LandingVerify,
    /// The command for that.
    pub landing_command: Option<String>,
    /// How often a task that does not fit the tip starts again.
    pub max_conflicts: u32,
    /// From where on the machine counts as short.
    pub admission: Thresholds,
    /// What is said of agents, by their names.
    pub agents: BTreeMap<String, agent::Configured>,
    /// The folder of the project's own templates of prompts, relative to the root of the repository.
    pub prompt_dir: Option<String>,
    /// The templates that hold.
    pub templates: Templates,
    /// How many tokens a prompt may have, estimated.
    pub prompt_max_tokens: usize,
    /// How many learnings a prompt may have; 0 means none.
    pub learnings_max: usize,
    /// How many tokens those may have.
    pub learnings_max_tokens: usize,
    /// What is taken out of everything that is kept, shown, sent or committed.
    pub secrets: mask::Config,
    /// Whether changed files are searched for secrets.
    pub secrets_scan: bool,
    /// Patterns of files that may have secrets in them.
    pub secrets_allow: Vec<String>,
    /// What of our environment agents get.
    pub agent_env: Surroundings,
    /// Whether and how briefs are written ahead.
    pub prepare: Prepare,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            max_parallel: 3,
            mode: plan::Mode::Groups,
            agent: None,
            model: None,
            preferences: Preferences::default(),
            prices: BTreeMap::new(),
            budget: budget::Limits::default(),
            access: Access::Edit,
            tool_timeout: Duration::from_secs(30 * 60),
            resume: true,
            outside: false,
            max_blocks: 500,
            exec: None,
            exec_signal: false,
            isolation: Isolation::Auto,
            max_attempts: 5,
            max_attempts_given: false,
            timeout: Duration::from_secs(60 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            grace: Duration::from_secs(10),
            run_timeout: None,
            backoff: Duration::from_secs(10),
            backoff_max: Duration::from_secs(5 * 60),
            keep_going: false,
            recovery: false,
            allow_skips: false,
            require_verify: false,
            include_notes: false,
            include_optional: false,
            only: Vec::new(),
            from: None,
            dry_run: false,
            no_commit: false,
            allow_dirty: false,
            output: Output::Human,
            color: Color::Auto,
            verbosity: 0,
            ownership: gates::Ownership::default(),
            shared_files: Vec::new(),
            resources: BTreeMap::new(),
            too_much: 2000,
            sandbox: Sandbox::None,
            sandbox_write: Vec::new(),
            sandbox_network: true,
            quota: Quota::default(),
            worktree: Worktree::default(),
            landing_verify: LandingVerify::None,
            landing_command: None,
            max_conflicts: 2,
            admission: Thresholds::default(),
            agents: BTreeMap::new(),
            prompt_dir: None,
            templates: Templates::default(),
            prompt_max_tokens: 24_000,
            learnings_max: 8,
            learnings_max_tokens: 1500,
            secrets: mask::Config::default(),
            secrets_scan: true,
            secrets_allow: Vec::new(),
            agent_env: Surroundings::default(),
            prepare: Prepare::default(),
        }
    }
}

/// A value of the environment or of `spec.toml`, before its setting gives it a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Text; from the environment always.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
}

/// Where a setting can be given: its path in `spec.toml` and its name in the environment.
pub const KEYS: &[(&str, &str)] = &[
    ("run.max_parallel", "SPEC_MAX_PARALLEL"),
    ("run.mode", "SPEC_MODE"),
    ("run.isolation", "SPEC_ISOLATION"),
    ("run.max_attempts", "SPEC_MAX_ATTEMPTS"),
    ("run.timeout", "SPEC_TIMEOUT"),
    ("run.idle_timeout", "SPEC_IDLE_TIMEOUT"),
    ("run.grace", "SPEC_GRACE"),
    ("run.run_timeout", "SPEC_RUN_TIMEOUT"),
    ("run.keep_going", "SPEC_KEEP_GOING"),
    ("run.recovery", "SPEC_RECOVERY"),
    ("run.allow_skips", "SPEC_ALLOW_SKIPS"),
    ("run.require_verify", "SPEC_REQUIRE_VERIFY"),
    ("run.include_notes", "SPEC_INCLUDE_NOTES"),
    ("run.include_optional", "SPEC_INCLUDE_OPTIONAL"),
    ("run.no_commit", "SPEC_NO_COMMIT"),
    ("run.allow_dirty", "SPEC_ALLOW_DIRTY"),
    ("run.output", "SPEC_OUTPUT"),
    ("run.color", "SPEC_COLOR"),
    ("run.ownership", "SPEC_OWNERSHIP"),
    ("run.shared_files", "SPEC_SHARED_FILES"),
    ("run.too_much", "SPEC_TOO_MUCH"),
    ("agent.name", "SPEC_AGENT"),
    ("agent.model", "SPEC_MODEL"),
    ("agent.access", "SPEC_ACCESS"),
    ("agent.tool_timeout", "SPEC_TOOL_TIMEOUT"),
    ("agent.resume", "SPEC_AGENT_RESUME"),
    ("agent.fallback", "SPEC_AGENT_FALLBACK"),
    ("budget.task", "SPEC_BUDGET_TASK"),
    ("budget.run", "SPEC_BUDGET_RUN"),
    ("budget.day", "SPEC_BUDGET_DAY"),
    ("budget.soft", "SPEC_BUDGET_SOFT"),
    ("budget.estimate", "SPEC_BUDGET_ESTIMATE"),
    ("models.marker", ""),
    ("models.heading", ""),
    ("models.min_files", ""),
    ("models.max_files", ""),
    ("models.min_lines", ""),
    ("models.max_lines", ""),
    ("models.attempt", ""),
    ("models.agent", ""),
    ("models.model", ""),
    ("prices.*.input", ""),
    ("prices.*.cache_read", ""),
    ("prices.*.cache_write", ""),
    ("prices.*.output", ""),
    ("hook.max_blocks", "SPEC_HOOK_MAX_BLOCKS"),
    ("exec.command", "SPEC_EXEC"),
    ("exec.signal", "SPEC_EXEC_SIGNAL"),
    ("retry.backoff", "SPEC_RETRY_BACKOFF"),
    ("retry.backoff_max", "SPEC_RETRY_BACKOFF_MAX"),
    ("run.sandbox", "SPEC_SANDBOX"),
    ("sandbox.write", "SPEC_SANDBOX_WRITE"),
    ("sandbox.network", "SPEC_SANDBOX_NETWORK"),
    ("quota.wall", "SPEC_QUOTA_WALL"),
    ("quota.cpu", "SPEC_QUOTA_CPU"),
    ("quota.memory", "SPEC_QUOTA_MEMORY"),
    ("quota.processes", "SPEC_QUOTA_PROCESSES"),
    ("quota.files", "SPEC_QUOTA_FILES"),
    ("quota.output", "SPEC_QUOTA_OUTPUT"),
    ("admission.enabled", "SPEC_ADMISSION"),
    ("admission.task_memory", "SPEC_ADMISSION_TASK_MEMORY"),
    ("admission.memory_reserve", "SPEC_ADMISSION_MEMORY_RESERVE"),
    ("admission.memory_pressure", "SPEC_ADMISSION_MEMORY_PRESSURE"),
    ("admission.cpu_pressure", "SPEC_ADMISSION_CPU_PRESSURE"),
    ("admission.io_pressure", "SPEC_ADMISSION_IO_PRESSURE"),
    ("admission.load", "SPEC_ADMISSION_LOAD"),
    ("admission.files", "SPEC_ADMISSION_FILES"),
    ("admission.disk_reserve", "SPEC_ADMISSION_DISK_RESERVE"),
    ("worktree.copy", "SPEC_WORKTREE_COPY"),
    ("worktree.link", "SPEC_WORKTREE_LINK"),
    ("worktree.setup", "SPEC_WORKTREE_SETUP"),
    ("worktree.setup_inputs", "SPEC_WORKTREE_SETUP_INPUTS"),
    ("landing.verify", "SPEC_LANDING_VERIFY"),
    ("landing.command", "SPEC_LANDING_COMMAND"),
    ("landing.max_conflicts", "SPEC_LANDING_MAX_CONFLICTS"),
    ("prompt.dir", "SPEC_PROMPT_DIR"),
    ("prompt.max_tokens", "SPEC_PROMPT_MAX_TOKENS"),
    ("learnings.max", "SPEC_LEARNINGS_MAX"),
    ("learnings.max_tokens", "SPEC_LEARNINGS_MAX_TOKENS"),
    ("secrets.mask", "SPEC_SECRETS_MASK"),
    ("secrets.env", "SPEC_SECRETS_ENV"),
    ("secrets.patterns", "SPEC_SECRETS_PATTERNS"),
    ("secrets.scan", "SPEC_SECRETS_SCAN"),
    ("secrets.allow", "SPEC_SECRETS_ALLOW"),
    ("agent_env.pass", "SPEC_AGENT_ENV_PASS"),
    ("agent_env.remove", "SPEC_AGENT_ENV_REMOVE"),
    ("prepare.enabled", "SPEC_PREPARE"),
    ("prepare.max", "SPEC_PREPARE_MAX"),
    ("prepare.agent", "SPEC_PREPARE_AGENT"),
    ("prepare.model", "SPEC_PREPARE_MODEL"),
    ("prepare.command", "SPEC_PREPARE_COMMAND"),
    ("prepare.timeout", "SPEC_PREPARE_TIMEOUT"),
    ("resources.*", ""),
    ("agents.*.program", ""),
    ("agents.*.args", ""),
    ("agents.*.resume", ""),
    ("agents.*.prompt", ""),
    ("agents.*.format", ""),
    ("agents.*.protocol", ""),
    ("agents.*.model", ""),
    ("agents.*.access", ""),
    ("agents.*.account", ""),
    ("agents.*.env.*", ""),
];

impl RunSettings {
    /// The settings of a run of the list at `list`, and warnings about its `spec.toml`.
    pub fn resolve(args: &RunArgs, color: Option<Color>, list: &Path) -> Result<(Self, Vec<String>), Error> {
        let (mut settings, warnings) = Self::below(list)?;
        settings.apply_selection(&args.selection);
        macro_rules! take {
            ($($field:ident),*) => { $(if let Some(value) = args.$field.clone() { settings.$field = value; })* };
        }
        take!(access, sandbox, isolation, timeout, idle_timeout, grace, keep_going, allow_skips, require_verify);
        take!(no_commit, allow_dirty, output, recovery);
        // The one that is named on the command line is meant, whatever the layers below say.
        if args.exec.is_some() {
            settings.agent = None;
        } else if args.agent.is_some() {
            settings.exec = None;
        }
        if let Some(money) = args.max_cost {
            settings.budget.run.money = Some(money);
        }
        if let Some(tokens) = args.max_tokens {
            settings.budget.run.tokens = Some(tokens);
        }
        settings.preferences.asked_agent = args.agent.clone().or(settings.preferences.asked_agent);
        settings.preferences.asked_model = args.model.clone().or(settings.preferences.asked_model);
        for (key, flag, value) in [
            ("exec.command", "--exec", &args.exec),
            ("agent.name", "--agent", &args.agent),
            ("agent.model", "--model", &args.model),
        ] {
            if let Some(value) = value {
                settings
                    .set(key, &Raw::Text(value.clone()))
                    .map_err(|why| Error::usage(format_args!("{flag} {why}")))?;
            }
        }
        if let Some(attempts) = args.max_attempts {
            settings.max_attempts = attempts;
            settings.max_attempts_given = true;
        }
        if args.run_timeout.is_some() {
            settings.run_timeout = args.run_timeout;
        }
        if let Some(color) = color {
            settings.color = color;
        }
        settings.dry_run = args.dry_run;
        settings.verbosity =
            i8::try_from(args.verbose).unwrap_or(i8::MAX) - i8::try_from(args.quiet).unwrap_or(i8::MAX);
        Ok((settings, warnings))
    }

    /// What `spec plan` needs of them, and warnings about the `spec.toml`.
    pub fn resolve_plan(selection: &Selection, list: &Path) -> Result<(Self, Vec<String>), Error> {
        let (mut settings, warnings) = Self::below(list)?;
        settings.apply_selection(selection);
        Ok((settings, warnings))
    }

    /// Whether there is something that carries out tasks without a Run field.
    #[must_use]
    pub fn has_executor(&self) -> bool {
        self.exec.is_some() || self.agent.is_some() || self.outside
    }

    /// The settings of this folder, for what has no list, and warnings about the `spec.toml`.
    pub fn here() -> Result<(Self, Vec<String>), Error> {
        Self::below(Path::new(config::NAME))
    }

    /// What to plan, by these settings.
    #[must_use]
    pub fn plan_options(&self) -> plan::Options {
        plan::Options {
            mode: self.mode,
            max_parallel: self.max_parallel,
            include_notes: self.include_notes,
            include_optional: self.include_optional,
            only: self.only.clone(),
            from: self.from.clone(),
            also: std::collections::BTreeSet::new(),
            all: false,
            shared_files: self.shared_files.clone(),
            resources: self.resources.clone(),
        }
    }

    /// Everything below the flags.
    fn below(list: &Path) -> Result<(Self, Vec<String>), Error> {
        let mut settings = Self::default();
        let mut warnings = match config::find(list) {
            Some(file) => config::apply(&mut settings, &file)?,
            None => Vec::new(),
        };
        settings.preferences.agent.clone_from(&settings.agent);
        settings.preferences.model.clone_from(&settings.model);
        settings.apply_environment(|name| std::env::var_os(name))?;
        settings.templates = config::templates(settings.prompt_dir.as_deref(), list, &mut warnings)?;
        Ok((settings, warnings))
    }

    fn apply_selection(&mut self, typed: &Selection) {
        if let Some(limit) = typed.max_parallel {
            self.max_parallel = limit;
        }
        if let Some(mode) = typed.mode {
            self.mode = mode.into();
        }
        if typed.parallel {
            self.mode = plan::Mode::Groups;
        }
        if let Some(include) = typed.include_notes {
            self.include_notes = include;
        }
        if let Some(include) = typed.include_optional {
            self.include_optional = include;
        }
        self.only.clone_from(&typed.only);
        self.from.clone_from(&typed.from);
    }

    /// Lays the environment over the settings; an empty variable is one that is not set.
    fn apply_environment(&mut self, get: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<(), Error> {
        for &(key, name) in KEYS {
            let Some(value) = get(name).filter(|value| !name.is_empty() && !value.is_empty()) else { continue };
            let Ok(text) = value.into_string() else {
                return Err(Error::usage(format_args!("the environment variable {name} is not UTF-8")));
            };
            self.set(key, &Raw::Text(text.clone())).map_err(|why| {
                Error::usage(format_args!("the environment variable {name} {why}: '{text}'"))
                    .hint(format_args!("unset {name}, or give a flag, which beats it"))
            })?;
            match key {
                "agent.name" => {
                    self.preferences.asked_agent.clone_from(&self.agent);
                    // The command of `spec.toml` is below it; `SPEC_EXEC`, which comes behind it, is not.
                    self.exec = None;
                }
                "agent.model" => self.preferences.asked_model.clone_from(&self.model),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives the setting of that key a value, or says what is wrong with it (behind the name of the setting).
    pub(super) fn set(&mut self, key: &str, raw: &Raw) -> Result<(), String> {
        match key {
            "run.max_parallel" => self.max_parallel = count(raw)?,
            "run.mode" => self.mode = choice::<Mode>(raw)?.into(),
            "run.isolation" => self.isolation = choice(raw)?,
            "run.max_attempts" => {
                self.max_attempts = u32::try_from(count(raw)?).unwrap_or(u32::MAX);
                self.max_attempts_given = true;
            }
            "run.timeout" => self.timeout = more_than_none(raw)?,
            "run.idle_timeout" => self.idle_timeout = more_than_none(raw)?,
            "run.grace" => self.grace = time(raw)?,
            "run.run_timeout" => self.run_timeout = Some(more_than_none(raw)?),
            "run.keep_going" => self.keep_going = flag(raw)?,
            "run.recovery" => self.recovery = flag(raw)?,
            "run.allow_skips" => self.allow_skips = flag(raw)?,
            "run.require_verify" => self.require_verify = flag(raw)?,
            "run.include_notes" => self.include_notes = flag(raw)?,
            "run.include_optional" => self.include_optional = flag(raw)?,
            "run.no_commit" => self.no_commit = flag(raw)?,
            "run.allow_dirty" => self.allow_dirty = flag(raw)?,
            "run.output" => self.output = choice(raw)?,
            "run.color" => self.color = choice(raw)?,
            "run.ownership" => self.ownership = choice::<Ownership>(raw)?.into(),
            "run.shared_files" => self.shared_files = list(raw)?,
            "run.too_much" => self.too_much = count(raw)?,
            "agent.name" => self.agent = Some(command(raw)?),
            "agent.model" => self.model = Some(command(raw)?),
            "agent.access" => self.access = choice(raw)?,
            "agent.tool_timeout" => self.tool_timeout = more_than_none(raw)?,
            "agent.resume" => self.resume = flag(raw)?,
            "agent.fallback" => {
                self.preferences.fallback = list(raw)?;
            }
            "budget.task" => self.budget.task = bounds(raw)?,
            "budget.run" => self.budget.run = bounds(raw)?,
            "budget.day" => self.budget.day = bounds(raw)?,
            "budget.soft" => self.budget.soft = share(raw)?,
            "budget.estimate" => self.budget.estimate = bounds(raw)?,
            "hook.max_blocks" => self.max_blocks = whole(raw)?,
            "exec.command" => self.exec = Some(command(raw)?),
            "worktree.copy" => self.worktree.copy = list(raw)?,
            "worktree.link" => self.worktree.link = list(raw)?,
            "worktree.setup" => self.worktree.setup = Some(command(raw)?),
            "worktree.setup_inputs" => self.worktree.setup_inputs = list(raw)?,
            "landing.verify" => self.landing_verify = choice(raw)?,
            "landing.command" => {
                self.landing_command = Some(command(raw)?);
                self.landing_verify = LandingVerify::Command;
            }
            "landing.max_conflicts" => self.max_conflicts = whole(raw)?,
            "exec.signal" => self.exec_signal = flag(raw)?,
            "run.sandbox" => self.sandbox = choice(raw)?,
            "sandbox.write" => self.sandbox_write = list(raw)?,
            "sandbox.network" => self.sandbox_network = flag(raw)?,
            "retry.backoff" => self.backoff = time(raw)?,
            "retry.backoff_max" => self.backoff_max = time(raw)?,
            "prompt.dir" => self.prompt_dir = Some(command(raw)?),
            "prompt.max_tokens" => self.prompt_max_tokens = count(raw)?,
            "learnings.max" => self.learnings_max = whole(raw)?,
            "learnings.max_tokens" => self.learnings_max_tokens = whole(raw)?,
            "admission.enabled" => self.admission.enabled = flag(raw)?,
            "admission.task_memory" => self.admission.task_memory = bytes(raw)?,
            "admission.memory_reserve" => self.admission.memory_reserve = Some(bytes(raw)?),
            "admission.memory_pressure" => self.admission.memory_pressure = share(raw)?,
            "admission.cpu_pressure" => self.admission.cpu_pressure = share(raw)?,
            "admission.io_pressure" => self.admission.io_pressure = share(raw)?,
            "admission.load" => self.admission.load = number(raw)?,
            "admission.files" => self.admission.files = share(raw)?,
            "admission.disk_reserve" => self.admission.disk_reserve = Some(bytes(raw)?),
            "secrets.mask" => self.secrets.on = flag(raw)?,
            "secrets.env" => self.secrets.env = list(raw)?,
            "secrets.patterns" => {
                let patterns = list(raw)?;
                patterns.iter().try_for_each(|pattern| {
                    mask::check_pattern(pattern).map_err(|error| format!("has `{pattern}`, which {error}"))
                })?;
                self.secrets.patterns = patterns;
            }
            "secrets.scan" => self.secrets_scan = flag(raw)?,
            "secrets.allow" => self.secrets_allow = list(raw)?,
            "prepare.enabled" => self.prepare.enabled = flag(raw)?,
            "prepare.max" => self.prepare.max = count(raw)?,
            "prepare.agent" => self.prepare.agent = Some(command(raw)?),
            "prepare.model" => self.prepare.model = Some(command(raw)?),
            "prepare.command" => self.prepare.command = Some(command(raw)?),
            "prepare.timeout" => self.prepare.timeout = more_than_none(raw)?,
            "agent_env.pass" => self.agent_env.pass = list(raw)?,
            "agent_env.remove" => self.agent_env.remove = list(raw)?,
            _ => match key.split_once('.') {
                Some(("models", key)) => self.set_rule(key, raw)?,
                Some(("quota", name)) => match raw {
                    Raw::Number(number) => self.quota.set(name, &number.to_string())?,
                    raw => self.quota.set(name, text(raw)?)?,
                },
                _ => return Err("is not a setting".to_owned()),
            },
        }
        Ok(())
    }

    /// The same by the names of a setting as they stand in a file: those that are free to choose may have dots in them.
    pub(super) fn set_named(&mut self, names: &[&str], raw: &Raw) -> Result<(), String> {
        match names {
            ["resources", name] => drop(self.resources.insert((*name).to_owned(), count(raw)?)),
            ["agents", name, "env", variable] => {
                let env = &mut self.agents.entry((*name).to_owned()).or_default().env;
                env.insert((*variable).to_owned(), text(raw)?.to_owned());
            }
            ["agents", name, key] => self.set_agent(name, key, raw)?,
            ["prices", model, key] => self.set_price(model, key, raw)?,
            names => self.set(&names.join("."), raw)?,
        }
        Ok(())
    }

    fn set_agent(&mut self, name: &str, key: &str, raw: &Raw) -> Result<(), String> {
        let agent = self.agents.entry(name.to_owned()).or_default();
        match key {
            "program" => agent.program = Some(command(raw)?),
            "args" => agent.args = strings(raw)?,
            "resume" => agent.resume = Some(strings(raw)?),
            "prompt" => agent.prompt = Some(choice(raw)?),
            "format" => match text(raw)?.trim() {
                "text" => agent.format = None,
                name => {
                    let known = agent::names().collect::<Vec<_>>().join(", ");
                    let none =
                        || format!("must be `text` or the name of a known agent whose stream it speaks: {known}");
                    agent.format = Some(agent::by_name(name).ok_or_else(none)?);
                }
            },
            "protocol" if text(raw)?.trim() == "acp" => agent.acp = true,
            "protocol" => return Err("must be `acp`".to_owned()),
            "model" => agent.model = Some(command(raw)?),
            "access" => agent.access = Some(choice(raw)?),
            "account" => agent.account = Some(command(raw)?),
            _ => return Err("is not a setting".to_owned()),
        }
        Ok(())
    }

    /// What is wrong with the table of these names as a whole, once it is read.
    pub(super) fn check(&self, names: &[&str]) -> Result<(), String> {
        match names {
            ["agents", name] => self.agents.get(*name).map_or(Ok(()), |agent| agent.check(name)),
            ["prepare"] => match &self.prepare {
                Prepare { agent: Some(_), command: Some(_), .. } => {
                    Err("cannot have both an `agent` and a `command`: one of them writes".to_owned())
                }
                Prepare { agent: None, model: Some(_), .. } => Err("has a `model` without an `agent`".to_owned()),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl RunSettings {
    /// A table of a section that has several of them begins: `[[models]]`.
    pub(super) fn begin(&mut self, names: &[&str]) {
        if *names == ["models"] {
            self.preferences.rules.push(Rule::default());
        }
    }

    /// Sets what is behind `models.`, of the newest table.
    fn set_rule(&mut self, key: &str, raw: &Raw) -> Result<(), String> {
        let rule = self.preferences.rules.last_mut().ok_or("belongs into a table of its own: `[[models]]`")?;
        match key {
            "marker" => rule.marker = Some(command(raw)?),
            "heading" => rule.heading = Some(command(raw)?),
            "min_files" => rule.min_files = Some(whole(raw)?),
            "max_files" => rule.max_files = Some(whole(raw)?),
            "min_lines" => rule.min_lines = Some(whole(raw)?),
            "max_lines" => rule.max_lines = Some(whole(raw)?),
            "attempt" => rule.attempt = Some(whole(raw)?),
            "agent" => rule.agent = Some(command(raw)?),
            "model" => rule.model = Some(command(raw)?),
            _ => return Err("is not a setting".to_owned()),
        }
        Ok(())
    }

    fn set_price(&mut self, model: &str, key: &str, raw: &Raw) -> Result<(), String> {
        let usd = dollars(raw)?;
        let price = self.prices.entry(model.to_owned()).or_default();
        match key {
            "input" => price.input = usd,
            "cache_read" => price.cache_read = usd,
            "cache_write" => price.cache_write = usd,
            "output" => price.output = usd,
            _ => return Err("is not a setting".to_owned()),
        }
        Ok(())
    }
}

/// Amounts, of each kind at most one.
fn bounds(raw: &Raw) -> Result<Bounds, String> {
    let mut bounds = Bounds::default();
    for text in list(raw).map_err(|_| "must be an amount like `5 USD` or `2M tokens`, or a list of them".to_owned())? {
        bounds.set(Amount::parse(&text).map_err(|why| format!("is wrong: {why}"))?);
    }
    Ok(bounds)
}

/// A price in dollars; nothing is one, too.
fn dollars(raw: &Raw) -> Result<f64, String> {
    match raw {
        Raw::Number(0) => Ok(0.0),
        raw => number(raw).map_err(|_| "must be a number of dollars for a million tokens".to_owned()),
    }
}

fn text(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Text(text) => Ok(text),
        _ => Err("must be a text".to_owned()),
    }
}

fn command(raw: &Raw) -> Result<String, String> {
    match text(raw)? {
        command if command.trim().is_empty() => Err("must not be empty".to_owned()),
        command => Ok(command.to_owned()),
    }
}

fn whole<N: std::str::FromStr + TryFrom<u64>>(raw: &Raw) -> Result<N, String> {
    let number = match raw {
        Raw::Number(number) => N::try_from(*number).ok(),
        Raw::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| "must be a whole number".to_owned())
}

fn count(raw: &Raw) -> Result<usize, String> {
    match whole(raw)? {
        0 => Err("must be at least 1".to_owned()),
        number => Ok(number),
    }
}

fn bytes(raw: &Raw) -> Result<u64, String> {
    match raw {
        Raw::Number(bytes) => Ok(*bytes),
        Raw::Text(text) => size::parse(text),
        _ => Err("is not a size; write it like `512M` or `2G`".to_owned()),
    }
}

/// A number above 0.
fn number(raw: &Raw) -> Result<f64, String> {
    let number = match raw {
        Raw::Number(number) => Some(*number as f64),
        Raw::Text(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    number.filter(|number| *number > 0.0 && number.is_finite()).ok_or_else(|| "must be a number above 0".to_owned())
}

/// A number above 0 and not above 1.
fn share(raw: &Raw) -> Result<f64, String> {
    number(raw).ok().filter(|share| *share <= 1.0).ok_or_else(|| "must be a share, above 0 and at most 1".to_owned())
}

fn time(raw: &Raw) -> Result<Duration, String> {
    match raw {
        Raw::Number(seconds) => duration::parse(&seconds.to_string()),
        Raw::Text(text) => duration::parse(text),
        _ => Err("is not a duration; write it like `90s`, `10m` or `1h30m`".to_owned()),
    }
}

fn more_than_none(raw: &Raw) -> Result<Duration, String> {
    match time(raw)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

fn flag(raw: &Raw) -> Result<bool, String> {
    match raw {
        Raw::Flag(flag) => Ok(*flag),
        Raw::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        },
        _ => Err("must be true or false".to_owned()),
    }
}

fn choice<T: ValueEnum>(raw: &Raw) -> Result<T, String> {
    if let Raw::Text(text) = raw
        && let Ok(value) = T::from_str(text.trim(), true)
    {
        return Ok(value);
    }
    let names: Vec<_> =
        T::value_variants().iter().filter_map(ValueEnum::to_possible_value).map(|v| v.get_name().to_owned()).collect();
    Err(format!("must be one of {}", names.join(", ")))
}

/// A list that is one in the file, too: arguments have commas.
fn strings(raw: &Raw) -> Result<Vec<String>, String> {
    match raw {
        Raw::List(list) => Ok(list.clone()),
        _ => Err("must be a list of texts".to_owned()),
    }
}

fn list(raw: &Raw) -> Result<Vec<String>, String> {
    match raw {
        Raw::List(list) => Ok(list.clone()),
        Raw::Text(text) => {
            Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
        }
        _ => Err("must be a list of texts".to_owned()),
    }
}
