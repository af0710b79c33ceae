//! How each agent program is driven. Pure: a [`Call`] becomes a [`Start`], and the lines that the program prints become
//! what it [`Said`], which a [`Session`] adds up. `runtime::attempt` starts the program and feeds its decoder; the gates
//! decide what all that is worth.
//!
//! One file an agent, with what was measured of it and the version it was measured with. An agent that is not among them
//! is described in `spec.toml` ([`Configured`]), or driven by `--exec`. [`find`] gives an [`Agent`], ready for use.

mod acp;
mod aider;
mod amp;
pub mod choose;
mod claude;
mod codex;
mod configured;
mod copilot;
mod crush;
mod cursor;
mod gemini;
mod goose;
mod limit;
mod opencode;
pub mod prices;
mod qwen;
mod reading;
#[cfg(test)]
mod samples;
mod session;
pub mod surroundings;
#[cfg(test)]
mod testing;
mod text;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use configured::{Agent, Configured, all, find};
pub use session::{Note, Session, Used};

/// An agent program.
pub trait Adapter: Sync + fmt::Debug {
    /// As in `--agent NAME`.
    fn name(&self) -> &'static str;
    /// As its makers call it.
    fn title(&self) -> &'static str;
    /// What its program is called on PATH, the usual name first.
    fn programs(&self) -> &'static [&'static str];
    /// What is to be started.
    fn start(&self, call: &Call<'_>) -> Start;
    /// A reader for what one start of it prints.
    fn decoder(&self) -> Box<dyn Decoder>;
    /// What it counts over the whole of a session that was resumed, not for the newest part of it.
    fn cumulative(&self) -> Cumulative {
        Cumulative::default()
    }
    /// Whether it says by an event that it is done, so that an end without one is an interruption.
    fn says_its_end(&self) -> bool {
        true
    }
    /// Whether a session can be gone on with ([`Call::resume`]).
    fn resumes(&self) -> bool {
        false
    }
    /// Where it keeps what it signs in with.
    fn signs_in(&self) -> SignIn;
    /// How it is made to speak the Agent Client Protocol, where it can.
    fn acp(&self) -> Option<Acp> {
        None
    }
}

impl PartialEq for dyn Adapter {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Adapter {}

/// By what it can be told that an agent is signed in, without using it.
#[derive(Debug, Clone, Copy)]
pub struct SignIn {
    /// Variables with a key or a token.
    pub variables: &'static [&'static str],
    /// Files that it writes when somebody signs in: below the folder that the variable names, else that one of the home.
    pub files: &'static [(&'static str, &'static str, &'static str)],
    /// How one signs in.
    pub how: &'static str,
}

/// How an agent is made to speak the Agent Client Protocol.
#[derive(Debug, Clone, Copy)]
pub struct Acp {
    /// The program, where that is another one.
    pub program: Option<&'static str>,
    /// Its arguments.
    pub args: &'static [&'static str],
    /// Its option for the model, where it is not chosen by the protocol.
    pub model: Option<&'static str>,
}

/// Every agent that is known by name, in the order in which one is looked for where none is named.
pub static ALL: &[&dyn Adapter] = &[
    &claude::Claude,
    &codex::Codex,
    &gemini::Gemini,
    &opencode::Opencode,
    &qwen::Qwen,
    &copilot::Copilot,
    &cursor::Cursor,
    &amp::Amp,
    &goose::Goose,
    &crush::Crush,
    &aider::Aider,
];

/// The agent of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Adapter> {
    ALL.iter().copied().find(|adapter| adapter.name() == name)
}

/// The names of [`ALL`].
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|adapter| adapter.name())
}

/// What an agent may do without asking; nobody is there to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum Access {
    /// Look at files; change nothing.
    Read,
    /// Edit files and run commands in its working tree, within the agent's own sandbox where it has one.
    #[default]
    Edit,
    /// Everything: its own checks are switched off.
    Full,
}

/// What is asked of an agent.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The program: its name, or the path that the configuration gives.
    pub program: &'a str,
    /// Where it is to work.
    pub cwd: &'a Path,
    /// Folders outside `cwd` that it may write to: its working tree, where `cwd` is a part of it.
    pub also: &'a [&'a Path],
    /// The model, in the agent's own words; none means its default.
    pub model: Option<&'a str>,
    /// The session to go on with.
    pub resume: Option<&'a str>,
    /// What it may do.
    pub access: Access,
    /// More arguments from the configuration.
    pub args: &'a [String],
    /// A file of our own that may be used for the prompt, outside the tree.
    pub prompt_file: &'a Path,
    /// Whether it works in a git repository.
    pub git: bool,
}

/// How an agent is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// On top of its environment: set, or removed.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// How the prompt gets in.
    pub prompt: Prompt,
    /// A file of our own, outside the tree, into which it writes what it used, where it says so nowhere else.
    pub usage: Option<PathBuf>,
}

impl Start {
    /// The program of the call with these arguments, the prompt on its standard input.
    fn new(call: &Call<'_>, args: &[&str]) -> Self {
        let args = args.iter().map(Into::into).collect();
        Self { program: call.program.into(), args, env: Vec::new(), prompt: Prompt::Stdin, usage: None }
    }

    /// With the prompt some other way.
    fn prompt(self, prompt: Prompt) -> Self {
        Self { prompt, ..self }
    }

    /// With more arguments.
    fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With an option for each of the values.
    fn each(self, option: &str, values: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        values.into_iter().fold(self, |start, value| start.args([option.into(), value.into()]))
    }

    /// With a variable.
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }
}

/// How the prompt gets in. Standard input is closed behind it in any case: several agents wait for ever where it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Prompt {
    /// On standard input.
    Stdin,
    /// In [`Call::prompt_file`], which an argument names.
    File,
    /// As the last argument; a long one in the file, which the argument then names (Linux takes 128 KiB for one).
    Argument,
}

/// Which figures of a resumed session are those of the whole of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cumulative {
    /// The money.
    pub cost: bool,
    /// The tokens.
    pub tokens: bool,
}

/// Reads the lines that an agent prints, without their ends.
pub trait Decoder: Send {
    /// A line of standard output.
    fn stdout(&mut self, line: &[u8], say: &mut dyn FnMut(Said));
    /// A line of standard error.
    fn stderr(&mut self, _line: &[u8], _say: &mut dyn FnMut(Said)) {}
    /// What it wrote into [`Start::usage`], before its end is told.
    fn usage(&mut self, _written: &[u8], _say: &mut dyn FnMut(Said)) {}
    /// It ended, with this exit code if no signal ended it.
    fn end(&mut self, _exit: Option<i32>, _say: &mut dyn FnMut(Said)) {}
}

/// Something that an agent made known.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// The id of its session.
    Session(String),
    /// The model that works.
    Model(String),
    /// Words of its own for the reader, a whole message or a piece of one that ends with a line.
    Text(String),
    /// It calls a tool.
    ToolBegins {
        /// Tells calls that are going on from each other.
        id: String,
        /// The tool.
        name: String,
        /// What with, in a few words: the command, the file.
        detail: String,
    },
    /// The tool answered.
    ToolEnds {
        /// See `ToolBegins`.
        id: String,
    },
    /// So many helpers and commands work in the background now, and it waits for them though no tool runs.
    Helpers(usize),
    /// It used so much since it last said so.
    Used {
        /// Tokens.
        tokens: Tokens,
        /// Money in US dollars.
        cost: Option<f64>,
    },
    /// It used so much in all: replaces what it said before.
    UsedInAll {
        /// Tokens.
        tokens: Tokens,
        /// Money in US dollars.
        cost: Option<f64>,
    },
    /// It was not allowed to use a tool, or asks and nobody answers.
    Denied {
        /// The tool, and what with.
        tool: String,
    },
    /// The model's service failed and it tries again by itself.
    Retrying {
        /// Why, in its own words.
        error: String,
        /// How long it waits, in milliseconds, where it says so.
        delay_ms: Option<u64>,
    },
    /// The model's service takes no more for now.
    Limited(Limit),
    /// It came to its end: the last such word counts.
    Final {
        /// What went wrong, if something did.
        error: Option<String>,
    },
}

impl Said {
    /// Passes every text in it that may have a secret in it to `each`.
    pub fn texts(&mut self, mut each: impl FnMut(&mut String)) {
        match self {
            Self::Text(text)
            | Self::ToolBegins { detail: text, .. }
            | Self::Denied { tool: text }
            | Self::Retrying { error: text, .. }
            | Self::Limited(Limit { message: text, .. })
            | Self::Final { error: Some(text) } => each(text),
            Self::Session(_)
            | Self::Model(_)
            | Self::ToolEnds { .. }
            | Self::Helpers(_)
            | Self::Used { .. }
            | Self::UsedInAll { .. }
            | Self::Final { error: None } => {}
        }
    }

    /// For people, by lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Text(text) => text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect(),
            Self::ToolBegins { name, detail, .. } if detail.is_empty() => vec![format!("[{name}]")],
            Self::ToolBegins { name, detail, .. } => vec![format!("[{name}] {detail}")],
            Self::Denied { tool } => vec![format!("[not allowed] {tool}")],
            Self::Retrying { error, .. } => vec![format!("[the model's service: {error}; it tries again]")],
            Self::Limited(limit) => vec![format!("[limit] {}", limit.message)],
            Self::Final { error: Some(error) } => vec![format!("[error] {error}")],
            _ => Vec::new(),
        }
    }
}

/// A limit of the model's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Of which kind.
    pub kind: LimitKind,
    /// When there is more.
    pub resets: Option<Resets>,
    /// In its own words.
    pub message: String,
}

/// See [`Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// What the account may use up in some hours or days is used up.
    Usage,
    /// Too many requests at once (429).
    Rate,
    /// The service has too much to do (529, 503).
    Overloaded,
}

impl LimitKind {
    /// The name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Rate => "rate",
            Self::Overloaded => "overloaded",
        }
    }
}

/// When a limit ends, as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resets {
    /// In seconds since 1970.
    At(i64),
    /// In so many seconds.
    In(u64),
    /// When a clock shows that time next.
    Clock {
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// Of UTC, not of the local clock.
        utc: bool,
    },
    /// On a day, at a time.
    On {
        /// The year, where it is said.
        year: Option<i16>,
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// Of UTC, not of the local clock.
        utc: bool,
    },
}

impl Resets {
    /// How long that is from now, in seconds: 0 where it is over or can be no time. `now` has the local clock's time
    /// zone. A day without its year that has been this year is one of next year.
    #[must_use]
    pub fn wait(&self, now: &jiff::Zoned) -> u64 {
        let zone = |utc: bool| if utc { now.with_time_zone(jiff::tz::TimeZone::UTC) } else { now.clone() };
        let on = |now: &jiff::Zoned, day: jiff::civil::Date, hour: u8, minute: u8| {
            let time = jiff::civil::Time::new(hour.try_into().ok()?, minute.try_into().ok()?, 0, 0).ok()?;
            let at = day.to_datetime(time).to_zoned(now.time_zone().clone()).ok()?;
            Some(at.timestamp().as_second() - now.timestamp().as_second())
        };
        let seconds = match *self {
            Self::At(at) => Some(at.saturating_sub(now.timestamp().as_second())),
            Self::In(seconds) => return seconds,
            Self::Clock { hour, minute, utc } => {
                let now = zone(utc);
                let days = [Some(now.date()), now.date().tomorrow().ok()];
                days.into_iter().flatten().filter_map(|day| on(&now, day, hour, minute)).find(|seconds| *seconds > 0)
            }
            Self::On { year, month, day, hour, minute, utc } => {
                let now = zone(utc);
                let years = year.map_or_else(|| vec![now.year(), now.year() + 1], |year| vec![year]);
                let days = years.into_iter().filter_map(|year| jiff::civil::Date::new(year, month, day).ok());
                days.filter_map(|day| on(&now, day, hour, minute)).find(|seconds| *seconds > 0)
            }
        };
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()
    }
}

/// Tokens, by what they are paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Tokens {
    /// Sent, and not found in a cache.
    pub input: u64,
    /// Sent, and found in the cache.
    pub cache_read: u64,
    /// Sent, and put into the cache.
    pub cache_write: u64,
    /// Answered, thoughts included.
    pub output: u64,
}

impl Tokens {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.output
    }

    /// What is more than in `before`.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            input: self.input.saturating_sub(before.input),
            cache_read: self.cache_read.saturating_sub(before.cache_read),
            cache_write: self.cache_write.saturating_sub(before.cache_write),
            output: self.output.saturating_sub(before.output),
        }
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, more: Self) {
        self.input += more.input;
        self.cache_read += more.cache_read;
        self.cache_write += more.cache_write;
        self.output += more.output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_next_today_or_tomorrow() {
        let now: jiff::Zoned = "2026-11-21T09:00:00+02:00[+02:00]".parse().expect("a time");
        let clock = |hour, minute, utc| Resets::Clock { hour, minute, utc }.wait(&now);
        assert_eq!(clock(9, 17, false), 17 * 60);
        assert_eq!(clock(9, 0, false), 24 * 3600, "it is that time now");
        assert_eq!(clock(8, 39, true), 99 * 60, "07:00 by that clock");
        assert_eq!(Resets::At(now.timestamp().as_second() + 5).wait(&now), 5);
        assert_eq!(Resets::At(0).wait(&now), 0, "over");
        assert_eq!(Resets::In(3).wait(&now), 3);
        let on = |year, month, day| Resets::On { year, month, day, hour: 7, minute: 1, utc: true }.wait(&now);
        assert_eq!(on(Some(2026), 11, 22), 24 * 3600 + 60);
        assert_eq!(on(None, 11, 21), 60);
        assert_eq!(on(None, 11, 20), 364 * 24 * 3600 + 60, "next year's");
        assert_eq!((on(Some(2026), 11, 20), on(None, 2, 31)), (0, 0), "over; there is no such day");
    }

    #[test]
    fn names_are_their_own_and_fit_to_be_typed() {
        let names: std::collections::BTreeSet<_> = names().collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase())), "{names:?}");
    }
}
