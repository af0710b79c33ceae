//! A scratch repository with a list in it, and the program at work there: started, waited for at points that its journal
//! names, killed, and looked at.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

/// What takes longer than this hangs: the machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(100);
/// Every process below a run of a test has this in its environment.
const MARK: &str = "CRASH_WORLD";

/// Which kind of folder a run is tried in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No repository.
    Plain,
    /// A repository that has neither the list nor the progress file.
    Untracked,
    /// A repository that has both.
    Tracked,
}

/// A folder to work in, with nothing of the machine around it but the programs on `PATH`.
pub(crate) struct World {
    pub(crate) kind: Kind,
    root: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

/// How a run ended and what it printed.
pub(crate) struct Ended {
    /// Exit code; negative for the signal that ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asks that it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{self}");
        self
    }

    /// Asks that standard error has this text in it.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in\n{self}");
        self
    }

    /// Asks that all is done, and said so.
    #[track_caller]
    pub(crate) fn all_done(self) -> Self {
        let ended = self.expect(0);
        assert!(ended.stdout.lines().any(|line| line == "ALL_TASKS_COMPLETE"), "\n{ended}");
        ended
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--- stdout\n{}\n--- stderr\n{}\n--- exit {}", self.stdout, self.stderr, self.code)
    }
}

/// The list of every world, from its working folder.
pub(crate) const LIST: &str = "specs/crash/tasks.md";
/// What is in it where the tasks themselves do not matter: three, one after the other, each with a file of its own.
pub(crate) const TASKS: &str = "\
# What to do

- [ ] 1.1 One
  - **Files**: 1.1.txt
- [ ] 1.2 Two
  - **Files**: 1.2.txt
- [ ] 1.3 Three
  - **Files**: 1.3.txt
";
/// The progress file beside it.
pub(crate) const PROGRESS: &str = "specs/crash/.progress.md";

impl World {
    /// A world with this list and these other files, by kind committed or not.
    pub(crate) fn new(kind: Kind, list: &[u8], files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("spec-crash-").tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let folder = match std::env::var_os("SPEC_TEST_KEEP") {
            Some(_) => {
                drop(folder.keep());
                None
            }
            None => Some(folder),
        };
        Self::at(kind, root, folder, list, files)
    }

    /// The same in a folder that is there.
    pub(crate) fn at(
        kind: Kind,
        root: PathBuf,
        folder: Option<tempfile::TempDir>,
        list: &[u8],
        files: &[(&str, &str)],
    ) -> Self {
        let world = Self { kind, root, _folder: folder };
        let config =
            "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n";
        fs::create_dir_all(world.root.join("home")).unwrap();
        fs::write(world.root.join("home/.gitconfig"), config).unwrap();
        fs::create_dir_all(world.work()).unwrap();
        for (path, text) in files {
            world.write(world.base().join(path), text);
        }
        if kind != Kind::Plain {
            world.git(["init", "-q"]);
            world.git(["commit", "-q", "--allow-empty", "-m", "begin"]);
        }
        if kind == Kind::Untracked {
            world.commit_all();
        }
        world.write(LIST, list);
        if kind == Kind::Tracked {
            world.write(PROGRESS, "# Progress\n\n## Completed Tasks\n\n## Learnings\n");
            world.commit_all();
        }
        world
    }

    fn commit_all(&self) {
        self.git(["add", "-A"]);
        self.git(["commit", "-q", "--allow-empty", "-m", "what was there"]);
    }

    /// The working folder.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The folder that the tasks' files are in: the repository's root, and without one the list's folder.
    pub(crate) fn base(&self) -> PathBuf {
        if self.kind == Kind::Plain { self.path("specs/crash") } else { self.work() }
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.work().join(path)
    }

    /// A path beside the working folder, where executors leave word for the test.
    pub(crate) fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// The text of a file, empty where it is not there.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        fs::read(self.path(path)).map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.work()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.root.join("home")).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for name in ["LLVM_PROFILE_FILE", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("BESIDE", &self.root).env(MARK, self.root.file_name().unwrap());
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C"), ("NO_COLOR", "1"), ("TZ", "UTC")]);
        // How busy the machine is that the tests run on is none of their business.
        command.env("SPEC_ADMISSION", "off");
        command
    }

    /// Runs git and asks that it succeeds; gives what it printed, without the last line end.
    #[track_caller]
    pub(crate) fn git<const N: usize>(&self, args: [&str; N]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The program with these arguments, run to its end.
    pub(crate) fn spec<const N: usize>(&self, args: [&str; N]) -> Ended {
        let output = self.command(env!("CARGO_BIN_EXE_spec")).args(args).output().unwrap();
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or_default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Starts `spec run` on the list.
    pub(crate) fn start(&self, args: &[&str]) -> Running<'_> {
        let before = self.runs();
        let mut command = self.command(env!("CARGO_BIN_EXE_spec"));
        command.args(["run", LIST]).args(args);
        let output = |name: &str| File::create(self.beside(name)).unwrap();
        command.stdout(output("stdout")).stderr(output("stderr"));
        let began = Instant::now();
        Running { world: self, child: command.spawn().unwrap(), before, began }
    }

    /// `spec run` on the list to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }

    /// The ids of the runs that there were.
    pub(crate) fn runs(&self) -> Vec<String> {
        let folder = fs::read_dir(self.path("specs/crash/.spec/runs")).into_iter().flatten().flatten();
        let mut runs: Vec<String> = folder.map(|entry| entry.file_name().into_string().unwrap()).collect();
        runs.sort();
        runs
    }

    pub(crate) fn journal(&self, run: &str) -> PathBuf {
        self.path("specs/crash/.spec/runs").join(run).join("journal.jsonl")
    }

    /// The whole records of all journals.
    pub(crate) fn records(&self) -> Vec<Value> {
        let journals = self.runs().into_iter().map(|run| fs::read(self.journal(&run)).unwrap_or_default());
        journals.flat_map(|bytes| records(&bytes)).collect()
    }

    /// What the executors noted, a line each.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.beside("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Ids of the tasks whose commits are on the branch, oldest first.
    pub(crate) fn landed(&self) -> Vec<String> {
        let format = "--format=%(trailers:key=Spec-Task,valueonly,separator=%x20)";
        let log = self.git(["log", "--reverse", format]);
        log.lines().filter(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect()
    }

    /// Processes that a run of this world started, or a run itself, that are not over.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let mark = format!("{MARK}={}", self.root.file_name().unwrap().to_str().unwrap());
        let has_mark = |pid: i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        pids.filter(|pid| has_mark(*pid)).map(Pid::from_raw).collect()
    }

    /// Kills what is left, as a power cut would.
    pub(crate) fn cut_power(&self) {
        self.wait_until("everything is dead", || {
            let left = self.processes();
            for pid in &left {
                kill(*pid, Signal::SIGKILL).ok();
            }
            left.is_empty()
        });
    }

    /// Looks until it is so.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            assert!(began.elapsed() < PATIENCE, "it never came to be that {what}\n{}", self.said());
            std::thread::sleep(Duration::from_micros(500)); // tidy: a poll
        }
    }

    /// What the last run printed.
    pub(crate) fn said(&self) -> Ended {
        let text = |name: &str| String::from_utf8_lossy(&fs::read(self.beside(name)).unwrap_or_default()).into_owned();
        Ended { code: 0, stdout: text("stdout"), stderr: text("stderr") }
    }

    /// A gate that executors wait at, by `read line < "$BESIDE/NAME"`.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.beside(name);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Open for both, it neither waits for a reader nor loses what was written before one comes.
        Gate(OpenOptions::new().read(true).write(true).open(path).unwrap())
    }
}

/// See [`World::gate`].
pub(crate) struct Gate(File);

impl Gate {
    /// Lets one through.
    pub(crate) fn open(&mut self) {
        self.0.write_all(b"go\n").unwrap();
    }
}

/// The whole records among these bytes.
pub(crate) fn records(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// A run that is going on. Killed when the test fails.
pub(crate) struct Running<'a> {
    world: &'a World,
    child: Child,
    /// The runs before.
    before: Vec<String>,
    began: Instant,
}

impl Running<'_> {
    /// Waits until the journal of this run is so, or the run is over: gives whether it came to be so.
    pub(crate) fn comes_to(&mut self, mut so: impl FnMut(&[u8]) -> bool) -> bool {
        loop {
            let runs = self.world.runs();
            let journal = runs.iter().find(|run| !self.before.contains(run)).map(|run| self.world.journal(run));
            if journal.is_some_and(|journal| so(&fs::read(journal).unwrap_or_default())) {
                return true;
            }
            if self.is_over() {
                return false;
            }
            assert!(self.began.elapsed() < PATIENCE, "the run hangs\n{}", self.world.said());
            std::thread::sleep(Duration::from_micros(200)); // tidy: a poll
        }
    }

    /// Waits until something of this type about this task (any, where it is empty) is in the journal of this run.
    #[track_caller]
    pub(crate) fn reaches(&mut self, event: &str, task: &str) {
        let about = |record: &Value| record["type"] == event && (task.is_empty() || record["task"] == task);
        let reached = self.comes_to(|journal| records(journal).iter().any(about));
        assert!(reached, "the run ended before {event} {task}\n{}", self.world.said());
    }

    /// Waits until an executor has noted this line.
    #[track_caller]
    pub(crate) fn notes(&mut self, line: &str) {
        let world = self.world;
        world.wait_until(line, || world.log().iter().any(|noted| noted == line) || self.is_over());
        assert!(world.log().iter().any(|noted| noted == line), "the run ended before {line}\n{}", world.said());
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Kills the runner, and nothing else.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        let world = self.world;
        world.wait_until("the run ends", || self.is_over());
        let status = self.child.wait().unwrap();
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
        Ended { code, ..world.said() }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It is over, as a rule; a test that fails leaves nothing running.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            for pid in self.world.processes() {
                kill(pid, Signal::SIGKILL).ok();
            }
        }
    }
}
