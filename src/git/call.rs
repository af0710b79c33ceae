//! One place that starts git: its environment, its input, its limit in time.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::error::Error;

/// Variables that name a repository or a part of one. A hook that called us has them set.
pub(super) const REPOSITORY_VARIABLES: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_REFLOG_ACTION",
    "GIT_INTERNAL_SUPER_PREFIX",
];

/// What an executor may not inherit of what is set: what names a repository, and what Gemini CLI sets for git in its
/// shells. Nobody would know there who commits, and no hook would run.
#[must_use]
pub fn foreign_variables() -> &'static [OsString] {
    /// Ours stay as they were when we were started, so one look is enough.
    static SET: LazyLock<Vec<OsString>> = LazyLock::new(|| foreign(std::env::vars_os()));
    &SET
}

/// The same where these variables are set.
fn foreign(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<OsString> {
    let vars: Vec<(OsString, OsString)> = vars.into_iter().collect();
    let is_set = |name: &str, value: &str| vars.iter().any(|(key, is)| key == name && is == value);
    let gemini = is_set("GEMINI_CLI", "1") && is_set("GIT_CONFIG_GLOBAL", "/dev/null");
    let is_foreign = |name: &OsString| {
        let of_gemini = gemini && name.as_encoded_bytes().starts_with(b"GIT_CONFIG_");
        of_gemini || REPOSITORY_VARIABLES.iter().any(|variable| name == variable)
    };
    vars.iter().map(|(name, _)| name).filter(|name| is_foreign(name)).cloned().collect()
}

/// Objects are on the disk before a branch points to them.
pub(super) const DURABLE: [&str; 2] = ["core.fsync=committed", "core.fsyncMethod=batch"];

/// For an index that nobody but us reads: short, and without a sum over all of it. What is written is on the disk, too.
pub(super) const PRIVATE: [&str; 4] = [DURABLE[0], DURABLE[1], "index.skipHash=true", "index.version=4"];

/// No call of plumbing takes longer, filters included.
const LIMIT: Duration = Duration::from_secs(300);
/// How long a call that was told to end may take to clean up its lock files.
const GRACE: Duration = Duration::from_secs(2);
/// How much of what git or a hook said is kept.
const TAIL: usize = 8 * 1024;

/// The program, and the folder it works in.
#[derive(Debug, Clone)]
pub(super) struct Git {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
    /// Variables as if they were inherited; tests keep their machine's configuration out with them.
    pub(super) inherited: Vec<(String, std::ffi::OsString)>,
}

impl Git {
    /// A call of plumbing: paths are literal, messages are git's own English, nothing optional is locked.
    pub(super) fn call(&self, subcommand: &str) -> Call {
        self.plumbing(subcommand, &[])
    }

    /// The same, and what it writes is on the disk when it ends.
    pub(super) fn durable(&self, subcommand: &str) -> Call {
        self.plumbing(subcommand, &DURABLE)
    }

    /// The same with settings of its own.
    pub(super) fn plumbing(&self, subcommand: &str, config: &[&str]) -> Call {
        let mut call = self.call_for_hooks(subcommand, config);
        call.command.env("LC_MESSAGES", "C").env("GIT_LITERAL_PATHSPECS", "1").env("GIT_OPTIONAL_LOCKS", "0");
        // It would beat LC_MESSAGES; what it says about characters still holds.
        if let Some(all) = std::env::var_os("LC_ALL") {
            call.command.env_remove("LC_ALL").env("LC_CTYPE", all);
        }
        call
    }

    /// A call whose environment hooks inherit: only what keeps it from asking, and from guessing the repository.
    pub(super) fn call_for_hooks(&self, subcommand: &str, config: &[&str]) -> Call {
        let mut command = Command::new(&self.program);
        command.envs(self.inherited.iter().map(|(key, value)| (key, value)));
        for variable in REPOSITORY_VARIABLES {
            command.env_remove(variable);
        }
        for variable in foreign_variables() {
            command.env_remove(variable);
        }
        command
            .current_dir(&self.folder)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", ":")
            .process_group(0)
            // No daemon of ours outlives us; and a warning about line ends is no error.
            .args(["-c", "core.fsmonitor=false", "-c", "core.safecrlf=false", "-c", "gc.auto=0"])
            .args(config.iter().flat_map(|setting| ["-c", setting]))
            .arg(subcommand);
        Call { command, name: subcommand.to_owned(), input: None, limit: LIMIT }
    }
}

/// A call that is being put together.
pub(super) struct Call {
    command: Command,
    name: String,
    input: Option<Vec<u8>>,
    limit: Duration,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) exit: Option<i32>,
    pub(super) stdout: Vec<u8>,
    /// The tail.
    pub(super) stderr: String,
}

impl Call {
    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(super) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Works on this index file instead of the user's.
    pub(super) fn index(self, index: &Path) -> Self {
        self.env("GIT_INDEX_FILE", index)
    }

    pub(super) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Some(bytes);
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it; its exit code is the caller's to judge.
    pub(super) fn run(self) -> Result<Output, Error> {
        self.finish(false)
    }

    /// Runs it with both streams into one file, so that nothing a hook leaves behind can hold it open.
    pub(super) fn run_merged(self) -> Result<Output, Error> {
        self.finish(true)
    }

    /// Runs it and gives what it printed; any exit code but 0 is an error.
    pub(super) fn ok(self) -> Result<Vec<u8>, Error> {
        let command = self.name.clone();
        let output = self.run()?;
        output.ok(&command)
    }

    /// Starts it, to be asked one thing after the other.
    fn talk(mut self) -> Result<Talk, Error> {
        let program = PathBuf::from(self.command.get_program());
        let io = |action| io(&program, action);
        let said = tempfile::tempfile().map_err(io("make a file for the output of"))?;
        let stderr = said.try_clone().map_err(io("make a file for the output of"))?;
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = self.spawn().map_err(io("start"))?;
        let group = Pid::from_raw(child.id().cast_signed());
        let (questions, asked) = mpsc::channel::<Vec<u8>>();
        let (answer, answers) = mpsc::channel();
        let worker = thread::spawn(move || {
            if let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) {
                let mut stdout = BufReader::new(stdout);
                for question in asked {
                    let mut line = Vec::new();
                    let answered = stdin
                        .write_all(&question)
                        .and_then(|()| stdin.flush())
                        .and_then(|()| stdout.read_until(b'\n', &mut line));
                    if answer.send(answered.map(|_| line)).is_err() {
                        break;
                    }
                }
            }
            // It was asked all there was: how it ends does not matter.
            child.wait().ok();
        });
        Ok(Talk { name: self.name, group, limit: self.limit, said, answers, running: Some((questions, worker)) })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts git")]
    fn spawn(&mut self) -> std::io::Result<Child> {
        self.command.spawn()
    }

    fn finish(mut self, merged: bool) -> Result<Output, Error> {
        let program = PathBuf::from(self.command.get_program());
        let io = |action| io(&program, action);
        // A file and no pipe: git may print before it has read everything.
        let stdin = match self.input.take() {
            None => Stdio::null(),
            Some(bytes) => Stdio::from(with_content(&bytes).map_err(io("write the input of"))?),
        };
        let mut file = None;
        if merged {
            let both = tempfile::tempfile().map_err(io("make a file for the output of"))?;
            self.command.stdout(both.try_clone().map_err(io("make a file for the output of"))?);
            self.command.stderr(both.try_clone().map_err(io("make a file for the output of"))?);
            file = Some(both);
        } else {
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        self.command.stdin(stdin);
        let child = self.spawn().map_err(io("start"))?;
        let group = Pid::from_raw(child.id().cast_signed());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        let (ended, late) = if let Ok(ended) = receiver.recv_timeout(self.limit) {
            (ended, false)
        } else {
            // It may be gone by now, which is as good.
            killpg(group, Signal::SIGTERM).ok();
            let ended = receiver.recv_timeout(GRACE).or_else(|_| {
                killpg(group, Signal::SIGKILL).ok();
                receiver.recv_timeout(GRACE)
            });
            (ended.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())), true)
        };
        let said = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned();
        let mut printed = String::new();
        if let Some(mut file) = file {
            printed = said(&read_back(&mut file).map_err(io("read the output of"))?);
        }
        if late {
            let stderr = ended.map_or(printed.clone(), |output| printed + &said(&output.stderr));
            return Err(Error::TimedOut { command: self.name, seconds: self.limit.as_secs(), stderr });
        }
        let output = ended.map_err(io("wait for"))?;
        Ok(Output { exit: output.status.code(), stdout: output.stdout, stderr: printed + &said(&output.stderr) })
    }
}

/// A call that is asked one thing after the other: begun with the first, there for all that follow until it is told to
/// end, and begun anew where it failed.
#[derive(Debug, Default)]
pub(super) struct Asking(Option<Talk>);

impl Asking {
    /// Takes the line that answers this, without its end.
    pub(super) fn ask(&mut self, begin: impl FnOnce() -> Call, question: Vec<u8>) -> Result<Vec<u8>, Error> {
        let talk = match &mut self.0 {
            Some(talk) => talk,
            none => none.insert(begin().talk()?),
        };
        let answer = talk.ask(question);
        if answer.is_err() {
            self.end();
        }
        answer
    }

    /// It ends; returns when it has.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

/// A call that answers each question with a line. It ends when this is dropped.
#[derive(Debug)]
struct Talk {
    name: String,
    group: Pid,
    limit: Duration,
    /// What it says beside its answers.
    said: File,
    answers: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    running: Option<(mpsc::Sender<Vec<u8>>, thread::JoinHandle<()>)>,
}

impl Talk {
    /// Gives it this, and takes the line that it answers, without its end.
    fn ask(&mut self, question: Vec<u8>) -> Result<Vec<u8>, Error> {
        if let Some((questions, _)) = &self.running {
            // Where nobody takes it, nobody answers either.
            questions.send(question).ok();
        }
        let answer = self.answers.recv_timeout(self.limit);
        if let Ok(Ok(line)) = &answer
            && let Some(line) = line.strip_suffix(b"\n")
        {
            return Ok(line.to_vec());
        }
        killpg(self.group, Signal::SIGKILL).ok();
        let command = self.name.clone();
        let stderr = String::from_utf8_lossy(&read_back(&mut self.said).unwrap_or_default()).into_owned();
        Err(match answer {
            Err(mpsc::RecvTimeoutError::Timeout) => Error::TimedOut { command, seconds: self.limit.as_secs(), stderr },
            _ => Error::Failed { command, exit: None, stderr },
        })
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some((questions, worker)) = self.running.take() {
            drop(questions);
            worker.join().ok();
        }
    }
}

impl Output {
    /// What it printed; any exit code but 0 is an error.
    pub(super) fn ok(self, command: &str) -> Result<Vec<u8>, Error> {
        if self.exit == Some(0) {
            return Ok(self.stdout);
        }
        Err(self.into_error(command))
    }

    /// The error that it is.
    pub(super) fn into_error(self, command: &str) -> Error {
        // "Unable to create '/path/index.lock': File exists."
        let lock = self.stderr.split_once("Unable to create '").and_then(|(_, rest)| rest.split_once("': File exists"));
        match lock {
            Some((path, _)) => Error::Locked { path: path.into() },
            None => Error::Failed { command: command.to_owned(), exit: self.exit, stderr: self.stderr },
        }
    }
}

/// Makes an error of the system one that names the program and what could not be done.
fn io(program: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = program.to_owned();
    move |source| Error::Io { action, path, source }
}

/// A file without a name that holds `bytes`, to be read from its start.
fn with_content(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Everything that was written to `file`.
fn read_back(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
