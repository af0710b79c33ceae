//! What a try uses up, held to its [`Quota`]: [`process`](super::process) looks five times a second while one is set, and
//! counts output as it reads it. Processor time and open files are also limited by the kernel, process by process, through
//! `spec __exec` (`wrap`, `exec`). `docs/limits.md` says what can be outrun.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};

use super::process::CommandLine;
use super::tree::Tree;
use crate::document::quota::Quota;
use crate::document::size;
use crate::engine::Code;

/// How often a tree is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The hidden first argument of [`exec`].
pub const COMMAND: &str = "__exec";
/// How quotas are held, as every run with one says.
pub(super) const HOW: &str = "quotas are held by looking five times a second; open files and processor time of each \
                               process also by the kernel (rlimits), no cgroup is used";
/// From the kernel's signal about processor time to its KILL.
const CPU_GRACE: u64 = 5;

/// What was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Time on the clock: its limit.
    Wall(Duration),
    /// Processor time: used, and the limit.
    Cpu(Duration, Duration),
    /// Memory: used, and the limit.
    Memory(u64, u64),
    /// Processes at once, and the limit.
    Processes(u64, u64),
    /// Open files of one process: the limit.
    Files(u64),
    /// Output: the limit.
    Output(u64),
}

impl Over {
    /// The failure code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Wall(_) => Code::QuotaWall,
            Self::Cpu(..) => Code::QuotaCpu,
            Self::Memory(..) => Code::QuotaMemory,
            Self::Processes(..) => Code::QuotaProcesses,
            Self::Files(_) => Code::QuotaFiles,
            Self::Output(_) => Code::QuotaOutput,
        }
    }

    /// One line for people.
    #[must_use]
    pub fn reason(self) -> String {
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        match self {
            Self::Wall(limit) => format!("took longer than its quota of {}", seconds(limit)),
            Self::Cpu(used, limit) => {
                format!("used {} of processor time, its quota is {}", seconds(used), seconds(limit))
            }
            Self::Memory(used, limit) => {
                format!("used {} of memory, its quota is {}", size::show(used), size::show(limit))
            }
            Self::Processes(used, limit) => format!("had {used} processes, its quota is {limit}"),
            Self::Files(limit) => format!("ran out of open files, its quota is {limit} for each process"),
            Self::Output(limit) => format!("printed more than its quota of {}", size::show(limit)),
        }
    }

    /// Whether it only gets worse while it is asked to end.
    pub(super) const fn is_urgent(self) -> bool {
        matches!(self, Self::Memory(..) | Self::Processes(..) | Self::Output(_))
    }
}

/// Watches what the commands of one try use up, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    quota: Quota,
    /// What the commands before this one used up.
    wall: Duration,
    cpu: Duration,
    output: u64,
    /// The most processor time that was seen of this one: it falls when what was not waited for ends.
    cpu_now: Duration,
}

impl Watch {
    /// For a try with this quota; none where nothing is limited.
    pub(super) fn new(quota: Quota) -> Option<Self> {
        let nothing = Duration::ZERO;
        (!quota.is_none()).then_some(Self { quota, wall: nothing, cpu: nothing, output: 0, cpu_now: nothing })
    }

    /// After a command of the try has ended: what it used up counts for the next.
    pub(super) fn next(self, wall: Duration, output: u64) -> Self {
        Self {
            wall: self.wall + wall,
            cpu: self.cpu + self.cpu_now,
            output: self.output + output,
            cpu_now: Duration::ZERO,
            ..self
        }
    }

    /// Whether the command, `wall` after its start, is beyond what it may.
    pub(super) fn look(&mut self, wall: Duration, tree: &Tree) -> Option<Over> {
        if let Some(limit) = self.quota.wall
            && self.wall + wall >= limit
        {
            return Some(Over::Wall(limit));
        }
        let usage = tree.usage();
        self.cpu_now = self.cpu_now.max(usage.cpu);
        if let Some(limit) = self.quota.cpu
            && self.cpu + self.cpu_now >= limit
        {
            return Some(Over::Cpu(self.cpu + self.cpu_now, limit));
        }
        if let Some(limit) = self.quota.processes
            && usage.processes > limit
        {
            return Some(Over::Processes(usage.processes, limit));
        }
        // What is shared is counted with each who shares it, so this is at least what is used; then it is counted exactly.
        if let Some(limit) = self.quota.memory
            && tree.memory(false) > limit
            && let used = tree.memory(true)
            && used > limit
        {
            return Some(Over::Memory(used, limit));
        }
        let limit = self.quota.files?;
        (tree.open_files() >= limit).then_some(Over::Files(limit))
    }

    /// Whether that much output is too much.
    pub(super) fn printed(&self, bytes: u64) -> Option<Over> {
        self.quota.output.filter(|limit| self.output + bytes > *limit).map(Over::Output)
    }

    /// What can be told only from how a command failed: the kernel ended it for its processor time, or refused it a file
    /// and it says so.
    pub(super) fn failed(&self, exit: Option<i32>, signal: Option<i32>, tails: [&[u8]; 2]) -> Option<Over> {
        const XCPU: i32 = nix::sys::signal::Signal::SIGXCPU as i32;
        if let Some(limit) = self.quota.cpu
            && (signal == Some(XCPU) || exit == Some(128 + XCPU))
        {
            return Some(Over::Cpu(limit.max(self.cpu + self.cpu_now), limit));
        }
        let said = |words: &[u8]| tails.iter().any(|tail| memchr::memmem::find(tail, words).is_some());
        let refused = exit != Some(0) && (said(b"Too many open files") || said(b"EMFILE"));
        self.quota.files.filter(|_| refused).map(Over::Files)
    }
}

/// The command behind `spec __exec`, where the kernel can hold a part of the quota.
pub(super) fn wrap(command: CommandLine, quota: &Quota) -> CommandLine {
    if !wraps(quota) {
        return command;
    }
    let number = |limit: Option<u64>| OsString::from(limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()));
    let cpu = quota.cpu.map(|limit| limit.as_millis().div_ceil(1000) as u64);
    let head = [COMMAND.into(), number(quota.files), number(cpu), command.program];
    CommandLine::new(own_program(), head.into_iter().chain(command.args))
}

/// Whether the kernel can hold a part of the quota, so that [`wrap`] puts `spec __exec` before the command.
pub(super) const fn wraps(quota: &Quota) -> bool {
    quota.files.is_some() || quota.cpu.is_some()
}

/// This very program, even where its file has been replaced since.
pub(super) fn own_program() -> OsString {
    match std::env::current_exe() {
        Ok(path) if cfg!(not(target_os = "linux")) => path.into(),
        _ => "/proc/self/exe".into(),
    }
}

/// `spec __exec FILES CPU PROGRAM ARGS...`: takes the limits upon itself (`-` for none) and becomes the program. Returns
/// only where that cannot be, with the exit code.
#[must_use]
pub fn exec(mut args: impl Iterator<Item = OsString>) -> (u8, String) {
    let mut number = || args.next().and_then(|text| text.to_str()?.parse::<u64>().ok());
    let (files, cpu) = (number(), number());
    let mut limits = Vec::new();
    limits.extend(files.map(|limit| (Resource::RLIMIT_NOFILE, limit, limit)));
    limits.extend(cpu.map(|limit| (Resource::RLIMIT_CPU, limit, limit + CPU_GRACE)));
    for (resource, soft, hard) in limits {
        // A limit above what is there already changes nothing.
        let there = nix::sys::resource::getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
        if let Err(error) = setrlimit(resource, soft.min(there), hard.min(there)) {
            return (126, format!("cannot limit {resource:?}: {error}"));
        }
    }
    let Some(program) = args.next() else { return (126, "there is no program to start".to_owned()) };
    become_program(Command::new(program).args(args))
}

/// Becomes another program. Returns only where that cannot be, with the exit code that a shell would give.
pub(super) fn become_program(command: &mut Command) -> (u8, String) {
    let error = command.exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    (code, format!("cannot start `{}`: {error}", command.get_program().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> Watch {
        Watch::new(Quota::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn output_counts_over_all_commands_of_a_try() {
        let first = watch("output 1k");
        assert_eq!(first.printed(1024), None);
        assert_eq!(first.printed(1025), Some(Over::Output(1024)));
        let second = first.next(Duration::from_secs(1), 1000);
        assert_eq!(second.printed(24), None);
        assert_eq!(second.printed(25), Some(Over::Output(1024)));
    }

    #[test]
    fn a_failure_tells_of_limits_of_the_kernel() {
        let watch = watch("files 20, cpu 2s");
        let none: [&[u8]; 2] = [b"", b""];
        let two = Duration::from_secs(2);
        assert_eq!(watch.failed(None, Some(24), none), Some(Over::Cpu(two, two)));
        assert_eq!(watch.failed(Some(152), None, none), Some(Over::Cpu(two, two)));
        assert_eq!(watch.failed(Some(1), None, none), None);
        let said: [&[u8]; 2] = [b"", b"open: Too many open files\n"];
        assert_eq!(watch.failed(Some(1), None, said), Some(Over::Files(20)));
        assert_eq!(watch.failed(Some(0), None, said), None, "who copes with it has kept to it");
        assert_eq!(super::tests::watch("cpu 2s").failed(Some(1), None, said), None, "another limit than ours");
    }

    #[test]
    fn only_what_the_kernel_limits_is_wrapped() {
        let command = || CommandLine::new("make", ["-j2"]);
        let wrapped = |text: &str| wrap(command(), &Quota::parse(text).unwrap());
        assert_eq!(wrapped("memory 1G, output 1M, wall 1m, processes 5"), command());
        let args = |line: CommandLine| line.args.join(" ".as_ref()).into_string().unwrap();
        assert_eq!(args(wrapped("files 20")), "__exec 20 - make -j2");
        assert_eq!(args(wrapped("cpu 1500ms")), "__exec - 2 make -j2");
    }
}
