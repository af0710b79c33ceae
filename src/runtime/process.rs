//! Starts a process, keeps what it prints, and ends it with everything it started.
//!
//! [`spawn`] starts it in a group of its own; [`Running::wait`] is all the rest: it feeds standard input, moves output to
//! the log in pieces of fixed size, watches the limits, and at the end makes sure through [`tree`] that
//! nothing is left. Memory stays bounded however much is printed: the log has every byte, the [`Outcome`] the tail, a
//! [`LineSink`] sees each line of standard output in full, and lines for display are dropped when nobody takes them. What
//! is kept or shown has passed the [`crate::mask`] before; only the [`LineSink`] gets the lines as they are.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, ErrorKind, PipeReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::clock;
use super::quota::{self, Over, Watch};
use super::tree::{self, Tree};
use crate::agent::{Agent, Note};
use crate::mask::{self, Masker};

/// How long the pipes may stay open after the process and everything it started are gone.
const PIPE_WAIT: Duration = Duration::from_secs(2);
/// The longest grace for what a process leaves behind when it ends by itself.
const LEFT_BEHIND_GRACE: Duration = Duration::from_secs(2);
/// How long the kernel gets to carry out a KILL before we go on without the exit code.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How often a long-running process is looked after: what died below it and came to us is reaped.
const REAP_EVERY: Duration = Duration::from_secs(5);
/// Bytes of standard output (of both, where they are merged) that an [`Outcome`] keeps.
pub const STDOUT_TAIL: usize = 64 * 1024;
/// Bytes of standard error that an [`Outcome`] keeps.
pub const STDERR_TAIL: usize = 16 * 1024;
/// A line longer than this is cut for the [`LineSink`].
pub const LINE_MAX: usize = 1024 * 1024;
/// A line longer than this is cut for display.
pub const DISPLAY_MAX: usize = 4 * 1024;
/// Read at a time.
const CHUNK: usize = 16 * 1024;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Looked up on `PATH` unless it has a slash.
    pub program: OsString,
    /// Without the program itself.
    pub args: Vec<OsString>,
}

impl CommandLine {
    /// A command line.
    pub fn new<A: Into<OsString>>(program: impl Into<OsString>, args: impl IntoIterator<Item = A>) -> Self {
        Self { program: program.into(), args: args.into_iter().map(Into::into).collect() }
    }
}

/// Takes the lines of standard output one by one, without their ends, as bytes.
pub type LineSink = Box<dyn FnMut(&[u8]) + Send>;

/// What to start, and how.
pub struct SpawnSpec {
    /// What to run.
    pub command: CommandLine,
    /// Run instead where `command` itself cannot be started (see [`shell`](super::shell)).
    pub otherwise: Option<CommandLine>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// On top of our own environment: set to a value, or removed.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The run it belongs to; [`tree::sweep`] finds what is left of it by this.
    pub run: String,
    /// Written to its standard input, which is then closed; without, standard input is empty from the start.
    pub stdin: Option<Vec<u8>>,
    /// Gets every byte of both streams, appended, in whole lines where they are masked. Made (with its folder) when there
    /// is a first byte.
    pub log: PathBuf,
    /// Takes secrets out of what is kept and shown.
    pub mask: Option<Arc<Masker>>,
    /// Both streams through one pipe: in the right order, and cheaper, but all of it counts as standard output.
    pub merge_streams: bool,
    /// Sees every line of standard output, as it was printed.
    pub on_line: Option<LineSink>,
    /// The same for standard error.
    pub on_error_line: Option<LineSink>,
    /// What is known of it from what it prints.
    pub notes: Option<mpsc::UnboundedReceiver<Note>>,
    /// Gets lines for display as long as it has room.
    pub display: Option<(mpsc::Sender<Line>, usize)>,
    /// It is ended after so long.
    pub timeout: Option<Duration>,
    /// It is ended after so long without output or activity (processor time of its tree).
    pub idle_timeout: Option<Duration>,
    /// The same while it is [`Note::Busy`].
    pub busy_timeout: Option<Duration>,
    /// Between TERM and KILL, and from its [last word](Note::Final) to TERM.
    pub grace: Duration,
    /// What it may use up.
    pub watch: Option<Watch>,
}

impl SpawnSpec {
    /// A process of `run` with empty input, split streams, no limits, and ten seconds of grace.
    pub fn new(command: CommandLine, cwd: impl Into<PathBuf>, log: impl Into<PathBuf>, run: impl Into<String>) -> Self {
        Self {
            command,
            otherwise: None,
            cwd: cwd.into(),
            env: Vec::new(),
            run: run.into(),
            stdin: None,
            log: log.into(),
            mask: None,
            merge_streams: false,
            on_line: None,
            on_error_line: None,
            notes: None,
            display: None,
            timeout: None,
            idle_timeout: None,
            busy_timeout: None,
            grace: Duration::from_secs(10),
            watch: None,
        }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }
}

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; both, where they are merged.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose: as given in [`SpawnSpec::display`].
    pub tag: usize,
    /// Where it was printed.
    pub stream: Stream,
    /// Without its end, at most [`DISPLAY_MAX`] bytes, what is not UTF-8 replaced.
    pub text: String,
}

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program. Trying again is of no use.
    #[error("cannot start `{program}`: there is no such program on PATH; install it or name it by its path")]
    NotFound {
        /// As given.
        program: String,
    },
    /// The program is there and may not be run, or is not one.
    #[error("cannot start `{program}`: {source}; check that it is executable and its first line")]
    NotExecutable {
        /// As given.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The working directory is not there.
    #[error("cannot start `{program}` in {dir}: there is no such folder")]
    NoDirectory {
        /// As given.
        program: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The system refused for a reason that may pass (too many processes or open files, no memory).
    #[error("cannot start `{program}`: {source}")]
    System {
        /// As given.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SpawnError {
    fn new(command: &CommandLine, cwd: &Path, source: io::Error) -> Self {
        let program = command.program.to_string_lossy().into_owned();
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if !cwd.is_dir() => {
                Self::NoDirectory { program, dir: cwd.to_owned() }
            }
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NotFound { program },
            ErrorKind::PermissionDenied => Self::NotExecutable { program, source },
            _ if source.raw_os_error() == Some(nix::errno::Errno::ENOEXEC as i32) => {
                Self::NotExecutable { program, source }
            }
            _ => Self::System { program, source },
        }
    }
}

/// Why we end a process. A later one replaces an earlier one, never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Its result is out and it lingers.
    Finished,
    /// A person or a signal wants it ended, in order.
    Cancel,
    /// At once, without TERM and grace.
    Kill,
}

/// Ends a process from outside; cheap to clone. What it says after the process ended counts for nothing.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<Option<Stop>>);

impl Stopper {
    /// Asks for the end.
    pub fn stop(&self, stop: Stop) {
        self.0.send_if_modified(|now| {
            let stronger = *now < Some(stop);
            if stronger {
                *now = Some(stop);
            }
            stronger
        });
    }
}

/// Why a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by a signal that was not ours.
    Exited,
    /// It took longer than it may.
    Timeout,
    /// Neither output nor activity for so long.
    Idle(Duration),
    /// It used up its quota.
    Quota(Over),
    /// We were asked to end it.
    Stopped(Stop),
}

/// What is known of a process that is over.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it.
    pub exit: Option<i32>,
    /// The signal that ended it. Neither this nor an exit code: it could not be waited for.
    pub signal: Option<i32>,
    /// Why.
    pub ended: Ended,
    /// From its start until it was waited for.
    pub duration: Duration,
    /// Bytes printed on both streams.
    pub output_bytes: u64,
    /// Processes it left behind that did not end by themselves.
    pub left_behind: usize,
    /// A process outside its tree kept its output open; what that one prints later is lost.
    pub pipes_held: bool,
    /// The last of standard output (of both, where they are merged).
    pub stdout_tail: Vec<u8>,
    /// The last of standard error.
    pub stderr_tail: Vec<u8>,
    /// Why the log lacks something, where it does.
    pub log_error: Option<String>,
    /// What was seen of what it used up, where that was watched.
    pub watch: Option<Watch>,
}

impl Outcome {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.ended == Ended::Exited && self.exit == Some(0)
    }
}

/// A process that was started. It only goes on for long if somebody waits for it.
pub struct Running {
    child: Child,
    tree: Tree,
    pid: u32,
    start_ticks: u64,
    started: Instant,
    input: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    stdout: Pump,
    stderr: Pump,
    log: Log,
    stop: watch::Sender<Option<Stop>>,
    notes: Option<mpsc::UnboundedReceiver<Note>>,
    limits: Limits,
}

/// Starts a process. Needs a tokio runtime. Where the future is dropped before its end, so is the process.
pub async fn spawn(spec: SpawnSpec) -> Result<Running, SpawnError> {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let mark = format!("{}.{}", spec.run, STARTED.fetch_add(1, Ordering::Relaxed));
    let marks = match std::env::var(tree::MARK) {
        Ok(above) => format!("{above}/{mark}"),
        Err(_) => mark.clone(),
    };
    let started = clock::now();
    // The thread that starts a program sleeps until the kernel has loaded it. Where others wait for this thread another
    // one does that, and several can start at once.
    let (spec, begun) = if tree::none() {
        let begun = begin(&spec, &marks);
        (spec, begun)
    } else {
        let begin = move || {
            let begun = begin(&spec, &marks);
            (spec, begun)
        };
        match tokio::task::spawn_blocking(begin).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being shut down: nobody is there to be told.
                Err(_) => std::future::pending().await,
            },
        }
    };
    let (mut child, stdout, stderr) = begun?;

    let pid = child.id().unwrap_or_default();
    let input =
        spec.stdin.zip(child.stdin.take()).map(|(bytes, mut pipe)| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async move {
                // Who does not read it closes it: no error.
                drop(pipe.write_all(&bytes).await);
            })
        });
    Ok(Running {
        pid,
        start_ticks: tree::start_ticks(pid),
        tree: Tree::new(pid, mark),
        stdout: Pump::new(
            Some(stdout),
            spec.on_line,
            spec.mask.as_ref(),
            Kept::new(Stream::Stdout, STDOUT_TAIL, spec.display.clone()),
        ),
        stderr: Pump::new(
            stderr,
            spec.on_error_line,
            spec.mask.as_ref(),
            Kept::new(Stream::Stderr, STDERR_TAIL, spec.display),
        ),
        child,
        started,
        input,
        log: Log { path: spec.log, file: None, error: None },
        stop: watch::Sender::new(None),
        notes: spec.notes,
        limits: Limits::new(started, spec.timeout, (spec.idle_timeout, spec.busy_timeout), spec.grace, spec.watch),
    })
}

type Begun = (Child, ChildStdout, Option<ChildStdout>);

/// Starts the command, or the one for where that cannot be.
fn begin(spec: &SpawnSpec, marks: &str) -> Result<Begun, SpawnError> {
    let begin = |command| start(command, spec, marks).map_err(|source| SpawnError::new(command, &spec.cwd, source));
    match (begin(&spec.command), &spec.otherwise) {
        (Err(_), Some(otherwise)) => begin(otherwise),
        (result, _) => result,
    }
}

/// Starts one command line, with new pipes for its output; the second where the streams are not merged.
fn start(
    command: &CommandLine,
    spec: &SpawnSpec,
    marks: &str,
) -> io::Result<(Child, ChildStdout, Option<ChildStdout>)> {
    // Of its own PATH, where it gets one, the system knows.
    let path = std::env::var_os("PATH").filter(|_| spec.env.iter().all(|(name, _)| name != "PATH"));
    let found = path.and_then(|path| find(&command.program, &path));
    let mut process = tokio::process::Command::new(found.as_deref().map_or(&*command.program, Path::as_os_str));
    process.arg0(&command.program);
    let (stdout, end) = io::pipe()?;
    let stderr = if spec.merge_streams {
        process.stderr(end.try_clone()?);
        None
    } else {
        let (stderr, end) = io::pipe()?;
        process.stderr(end);
        Some(reader(stderr)?)
    };
    process
        .args(&command.args)
        .current_dir(&spec.cwd)
        .env(tree::MARK, marks)
        .stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(end)
        .process_group(0)
        .kill_on_drop(true);
    for (name, value) in &spec.env {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    #[expect(clippy::disallowed_methods, reason = "this is the place for it")]
    let child = process.spawn()?;
    // Here our ends of its pipes are closed with `process`, or the readers would never come to an end.
    Ok((child, reader(stdout)?, stderr))
}

/// Where the system would find a program on `PATH`: looking into each folder costs less than trying to load it from there.
/// None where that is for the system to say: the name has a slash, or a folder is relative to where it is started.
fn find(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let named = !program.is_empty() && !program.as_encoded_bytes().contains(&b'/');
    std::env::split_paths(path)
        .take_while(|folder| named && folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

/// The program of an agent: of the names that it may have the first that could be started, else its usual one.
#[must_use]
pub fn program(agent: &Agent) -> String {
    let names = agent.programs();
    let found = names.iter().find(|name| on_path(name).is_some()).or(names.first());
    found.copied().unwrap_or_default().to_owned()
}

/// The file that is started by that name (or path), if it can be.
#[must_use]
pub fn on_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return is_executable(Path::new(program)).then(|| program.into());
    }
    find(OsStr::new(program), &std::env::var_os("PATH")?)
}

/// Whether a file may be run as a program.
pub(super) fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

impl Running {
    /// Its process id, which is also that of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it started, in clock ticks after boot: tells a recycled id. 0 where the system does not say.
    #[must_use]
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// A handle to end it with.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Looks after the process until it and everything it started are gone.
    pub async fn wait(mut self) -> Outcome {
        let mut stops = self.stop.subscribe();
        // Asked before anybody waited.
        stops.mark_changed();
        let alarm = tokio::time::sleep_until(clock::timer(self.limits.next()));
        tokio::pin!(alarm);
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status.ok(),
                n = self.stdout.read(), if self.stdout.is_open() => {
                    self.limits.last_sign = clock::now();
                    self.stdout.take(n, &mut self.log);
                    self.printed(&mut alarm);
                }
                n = self.stderr.read(), if self.stderr.is_open() => {
                    self.limits.last_sign = clock::now();
                    self.stderr.take(n, &mut self.log);
                    self.printed(&mut alarm);
                }
                () = written(&mut self.input) => self.input = None,
                note = noted(&mut self.notes) => {
                    self.limits.note(note);
                    alarm.as_mut().reset(clock::timer(self.limits.next()));
                }
                Ok(()) = stops.changed() => {
                    if let Some(stop) = *stops.borrow_and_update() {
                        self.limits.end(Ended::Stopped(stop), &self.tree);
                        alarm.as_mut().reset(clock::timer(self.limits.next()));
                    }
                }
                () = &mut alarm => {
                    if self.limits.ring(&self.tree) == Ring::GiveUp {
                        break None;
                    }
                    alarm.as_mut().reset(clock::timer(self.limits.next()));
                }
            }
        };
        let duration = clock::now() - self.started;
        if status.is_some() {
            self.tree.leader_reaped();
        }

        // What is left in the tree is ended while its output is still read: who waits to write cannot end in order.
        let mut left_behind = None;
        let mut pipes_held = false;
        let mut pipes_until = clock::now();
        {
            let ending = self.tree.end(self.limits.grace_for_the_rest());
            tokio::pin!(ending);
            while left_behind.is_none() || self.stdout.is_open() || self.stderr.is_open() {
                tokio::select! {
                    n = &mut ending, if left_behind.is_none() => {
                        left_behind = Some(n);
                        pipes_until = clock::now() + PIPE_WAIT;
                        alarm.as_mut().reset(clock::timer(pipes_until));
                    }
                    n = self.stdout.read(), if self.stdout.is_open() => self.stdout.take(n, &mut self.log),
                    n = self.stderr.read(), if self.stderr.is_open() => self.stderr.take(n, &mut self.log),
                    Ok(()) = stops.changed() => {
                        if *stops.borrow_and_update() == Some(Stop::Kill) {
                            self.tree.kill();
                        }
                    }
                    () = &mut alarm, if left_behind.is_some() => {
                        pipes_held = clock::now() >= pipes_until;
                        if pipes_held {
                            break;
                        }
                        alarm.as_mut().reset(clock::timer(pipes_until));
                    }
                }
            }
        }
        self.stdout.finish(&mut self.log);
        self.stderr.finish(&mut self.log);
        let exit = status.and_then(|status: ExitStatus| status.code());
        let signal = status.and_then(|status| status.signal());
        let tails = [self.stdout.kept.tail.make_contiguous(), self.stderr.kept.tail.make_contiguous()];
        let ended = self.limits.ended.or_else(|| {
            let watch = self.limits.watch?;
            let over = watch.printed(self.stdout.bytes + self.stderr.bytes);
            over.or_else(|| watch.failed(exit, signal, [&*tails[0], &*tails[1]])).map(Ended::Quota)
        });
        Outcome {
            exit,
            signal,
            ended: ended.unwrap_or(Ended::Exited),
            watch: self.limits.watch,
            duration,
            output_bytes: self.stdout.bytes + self.stderr.bytes,
            left_behind: left_behind.unwrap_or_default(),
            pipes_held,
            stdout_tail: self.stdout.kept.tail.into(),
            stderr_tail: self.stderr.kept.tail.into(),
            log_error: self.log.error,
        }
    }
}

/// The timer of [`Running::wait`].
type Alarm<'a> = Pin<&'a mut tokio::time::Sleep>;

impl Running {
    /// Something was printed: ends it where that was too much.
    fn printed(&mut self, alarm: &mut Alarm<'_>) {
        let Some(watch) = self.limits.watch.filter(|_| self.limits.ended.is_none()) else { return };
        if let Some(over) = watch.printed(self.stdout.bytes + self.stderr.bytes) {
            self.limits.end(Ended::Quota(over), &self.tree);
            alarm.as_mut().reset(clock::timer(self.limits.next()));
        }
    }
}

/// Ends when standard input was written; never where there is none to write.
async fn written(input: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match input {
        Some(input) => input.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The next that is known of a process; never where nobody says anything.
async fn noted(notes: &mut Option<mpsc::UnboundedReceiver<Note>>) -> Note {
    match notes {
        Some(notes) => match notes.recv().await {
            Some(note) => note,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// What [`Limits::ring`] asks for.
#[derive(PartialEq, Eq)]
enum Ring {
    GoOn,
    /// Not even KILL ended it.
    GiveUp,
}

/// When a process is to be ended, and how far that has come.
struct Limits {
    ended: Option<Ended>,
    deadline: Option<Instant>,
    idle: Option<Duration>,
    /// The same while it is busy.
    busy_idle: Option<Duration>,
    busy: bool,
    /// When it said its last word.
    result_at: Option<Instant>,
    /// The last output or activity.
    last_sign: Instant,
    /// Processor time when it was last looked at.
    cpu: u64,
    look_at: Instant,
    reap_at: Instant,
    grace: Duration,
    kill_at: Option<Instant>,
    give_up_at: Option<Instant>,
    started: Instant,
    watch: Option<Watch>,
    watch_at: Instant,
}

impl Limits {
    fn new(
        started: Instant,
        timeout: Option<Duration>,
        (idle, busy_idle): (Option<Duration>, Option<Duration>),
        grace: Duration,
        watch: Option<Watch>,
    ) -> Self {
        Self {
            ended: None,
            deadline: timeout.map(|timeout| started + timeout),
            idle,
            busy_idle,
            busy: false,
            result_at: None,
            last_sign: started,
            cpu: 0,
            look_at: started + idle.unwrap_or_default() / 4,
            reap_at: started + REAP_EVERY,
            grace,
            kill_at: None,
            give_up_at: None,
            started,
            watch,
            watch_at: started + quota::LOOK_EVERY,
        }
    }

    /// When to [`ring`](Self::ring) next.
    fn next(&self) -> Instant {
        let end = match self.ended {
            None => {
                let idle = self.idle().map(|_| self.look_at);
                [self.deadline, idle, self.watch.map(|_| self.watch_at), self.lingers_until()]
            }
            Some(_) => [self.kill_at, self.give_up_at, None, None],
        };
        end.into_iter().flatten().fold(self.reap_at, Instant::min)
    }

    /// How long it may be silent as things are.
    fn idle(&self) -> Option<Duration> {
        if self.busy { self.busy_idle } else { self.idle }
    }

    /// Until when it may stay behind its last word: what it still prints gives it more time, for there may be more to
    /// come, but not for ever.
    fn lingers_until(&self) -> Option<Instant> {
        let result_at = self.result_at.filter(|_| !self.busy)?;
        Some((result_at.max(self.last_sign) + self.grace).min(result_at + 6 * self.grace))
    }

    fn note(&mut self, note: Note) {
        let now = clock::now();
        match note {
            Note::Final => self.result_at = Some(now),
            Note::Busy(busy) => {
                self.busy = busy;
                // Another turn began; or what it waited for behind its result is over, and there may be one.
                self.result_at = self.result_at.filter(|_| !busy).map(|_| now);
                // The clock of the one does not count for the other.
                self.last_sign = now;
                self.look_at = now + self.idle().unwrap_or_default() / 4;
            }
        }
    }

    /// Begins to end the tree, or ends it faster. The first reason stays, but a stronger [`Stop`] replaces a weaker.
    fn end(&mut self, reason: Ended, tree: &Tree) {
        match (self.ended, reason) {
            (None, _) | (Some(Ended::Stopped(_)), Ended::Stopped(_)) => self.ended = Some(reason),
            _ => {}
        }
        let urgent = match reason {
            Ended::Quota(over) => over.is_urgent(),
            reason => reason == Ended::Stopped(Stop::Kill),
        };
        if urgent {
            self.kill(tree);
        } else if self.kill_at.is_none() && self.give_up_at.is_none() {
            tree.terminate();
            self.kill_at = Some(clock::now() + self.grace);
        }
    }

    fn kill(&mut self, tree: &Tree) {
        tree.kill();
        self.kill_at = None;
        self.give_up_at = Some(clock::now() + KILL_WAIT);
    }

    /// Does what is due.
    fn ring(&mut self, tree: &Tree) -> Ring {
        let now = clock::now();
        if now >= self.reap_at {
            tree.reap();
            self.reap_at = now + REAP_EVERY;
        }
        if self.give_up_at.is_some_and(|at| now >= at) {
            return Ring::GiveUp;
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill(tree);
        }
        if let (None, Some(watch), true) = (self.ended, &mut self.watch, now >= self.watch_at) {
            self.watch_at = now + quota::LOOK_EVERY;
            if let Some(over) = watch.look(now - self.started, tree) {
                self.end(Ended::Quota(over), tree);
            }
        }
        if self.ended.is_none() {
            if self.lingers_until().is_some_and(|at| now >= at) {
                self.end(Ended::Stopped(Stop::Finished), tree);
            } else if self.deadline.is_some_and(|at| now >= at) {
                self.end(Ended::Timeout, tree);
            } else if let Some(limit) = self.idle().filter(|_| now >= self.look_at) {
                self.look(limit, now, tree);
            }
        }
        Ring::GoOn
    }

    /// Looks for activity where there was no output for a while.
    fn look(&mut self, limit: Duration, now: Instant, tree: &Tree) {
        let quarter = limit / 4;
        if now - self.last_sign >= quarter {
            let cpu = tree.cpu();
            if is_activity(cpu.abs_diff(self.cpu), quarter, self.busy_idle.is_some()) {
                self.last_sign = now;
            }
            self.cpu = cpu;
        }
        if now - self.last_sign >= limit {
            self.end(Ended::Idle(limit), tree);
        } else {
            self.look_at = (now + quarter).min(self.last_sign + limit).max(self.last_sign + quarter);
        }
    }

    /// How long what the leader left behind gets between TERM and KILL.
    fn grace_for_the_rest(&self) -> Duration {
        match (self.give_up_at, self.kill_at) {
            (Some(_), _) => Duration::ZERO,
            (None, Some(at)) => at.saturating_duration_since(clock::now()),
            (None, None) => self.grace.min(LEFT_BEHIND_GRACE),
        }
    }
}

/// Whether so many ticks (10 ms each) in that time are a sign of work. A timer in an idle program is none: a thousandth of a
/// processor is. Agents say what they do, and use up to a sixtieth while they wait for their model: a twentieth is there.
fn is_activity(ticks: u64, time: Duration, agent: bool) -> bool {
    let share = if agent { 20 } else { 1000 };
    ticks >= (time.as_millis() as u64 / 10 / share).max(1)
}

/// The log of a try. A log that cannot be written is told of, and stops nothing.
struct Log {
    path: PathBuf,
    file: Option<File>,
    error: Option<String>,
}

impl Log {
    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let file = match &mut self.file {
            Some(file) => Ok(file),
            None => append_to(&self.path).map(|file| self.file.insert(file)),
        };
        if let Err(error) = file.and_then(|file| file.write_all(bytes)) {
            self.error = Some(format!("cannot write {}: {error}", self.path.display()));
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).open(path);
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            open()
        }
        (opened, _) => opened,
    }
}

/// One stream on its way from the pipe: as it is to whoever reads its lines, masked to what is kept of it.
struct Pump {
    pipe: Option<ChildStdout>,
    buffer: Vec<u8>,
    bytes: u64,
    on_line: Option<(Lines, LineSink)>,
    mask: Option<mask::Stream>,
    kept: Kept,
}

impl Pump {
    fn new(pipe: Option<ChildStdout>, on_line: Option<LineSink>, mask: Option<&Arc<Masker>>, kept: Kept) -> Self {
        Self {
            pipe,
            buffer: Vec::new(),
            bytes: 0,
            on_line: on_line.map(|sink| (Lines::new(LINE_MAX), sink)),
            mask: mask.cloned().map(mask::Stream::new),
            kept,
        }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads into the buffer; 0 at the end.
    async fn read(&mut self) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Ok(0) };
        self.buffer.clear();
        self.buffer.reserve_exact(CHUNK);
        pipe.read_buf(&mut self.buffer).await
    }

    /// Passes on what was [read](Self::read).
    fn take(&mut self, read: io::Result<usize>, log: &mut Log) {
        if !read.is_ok_and(|n| n > 0) {
            self.pipe = None;
            return;
        }
        self.bytes += self.buffer.len() as u64;
        if let Some((lines, sink)) = &mut self.on_line {
            lines.push(&self.buffer, sink);
        }
        match &mut self.mask {
            Some(mask) => mask.push(&self.buffer, &mut |part| self.kept.take(part, log)),
            None => self.kept.take(&self.buffer, log),
        }
    }

    /// Nothing more comes: what is still on its way goes out.
    fn finish(&mut self, log: &mut Log) {
        if let Some((lines, sink)) = &mut self.on_line {
            lines.finish(sink);
        }
        if let Some(mask) = &mut self.mask {
            mask.finish(&mut |part| self.kept.take(part, log));
        }
        self.kept.finish();
    }
}

/// What is kept and shown of a stream.
struct Kept {
    stream: Stream,
    tail: VecDeque<u8>,
    tail_max: usize,
    lines: Lines,
    display: Option<(mpsc::Sender<Line>, usize)>,
}

impl Kept {
    fn new(stream: Stream, tail_max: usize, display: Option<(mpsc::Sender<Line>, usize)>) -> Self {
        Self { stream, tail: VecDeque::new(), tail_max, lines: Lines::new(DISPLAY_MAX), display }
    }

    fn take(&mut self, part: &[u8], log: &mut Log) {
        log.write(part);
        let surplus = (self.tail.len() + part.len()).saturating_sub(self.tail_max);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend(&part[part.len().saturating_sub(self.tail_max)..]);
        if let Some(display) = &self.display {
            self.lines.push(part, &mut |line| show(display, self.stream, line));
        }
    }

    fn finish(&mut self) {
        if let Some(display) = &self.display {
            self.lines.finish(&mut |line| show(display, self.stream, line));
        }
    }
}

/// Shows a line where there is room for it.
fn show((sender, tag): &(mpsc::Sender<Line>, usize), stream: Stream, line: &[u8]) {
    if let Ok(room) = sender.try_reserve() {
        room.send(Line { tag: *tag, stream, text: String::from_utf8_lossy(line).into_owned() });
    }
}

/// Makes lines of pieces.
struct Lines {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// What is longer is cut.
    max: usize,
}

impl Lines {
    const fn new(max: usize) -> Self {
        Self { partial: Vec::new(), max }
    }

    /// Passes on every line that is whole by now.
    fn push(&mut self, mut rest: &[u8], sink: &mut dyn FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            if self.partial.is_empty() {
                self.line(line, sink);
            } else {
                self.keep(line);
                self.finish(sink);
            }
            rest = behind;
        }
        self.keep(rest);
    }

    /// Keeps the beginning of a line, as far as anybody gets to see it.
    fn keep(&mut self, part: &[u8]) {
        self.partial.extend(&part[..part.len().min(self.max.saturating_sub(self.partial.len()))]);
    }

    /// Passes on a line that has come in parts, or the last one, without an end.
    fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            let mut line = std::mem::take(&mut self.partial);
            self.line(&line, sink);
            if line.capacity() <= CHUNK {
                line.clear();
                self.partial = line;
            }
        }
    }

    fn line(&self, line: &[u8], sink: &mut dyn FnMut(&[u8])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        sink(&line[..line.len().min(self.max)]);
    }
}

/// A pipe for tokio, which takes only those of its own kind.
fn reader(pipe: PipeReader) -> io::Result<ChildStdout> {
    ChildStdout::from_std(std::process::ChildStdout::from(OwnedFd::from(pipe)))
}

#[cfg(test)]
mod tests;
