//! A repository with a task list, and an executor that does what the `Do` field of its task says.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::env::{Output, TestEnv};

/// Runs the `Do` field of the task that it is told of, and keeps the prompt as `prompts/ID.ATTEMPT` in the home.
const ACT: &str = r#"
prompt=$(cat)
mkdir -p "$HOME/prompts"
printf '%s\n' "$prompt" > "$HOME/prompts/$SPEC_TASK_ID.$SPEC_ATTEMPT"
eval "$(printf '%s\n' "$prompt" | sed -n 's/^ *- \*\*Do\*\*: //p')"
"#;

/// The executor's command.
pub(crate) const EXEC: &str = "sh \"$HOME/act\"";

pub(crate) struct World {
    pub(crate) env: TestEnv,
}

impl World {
    /// A repository with this list, committed.
    pub(crate) fn new(list: &str) -> Self {
        let world = Self::without_git(list);
        world.env.git(["init", "-q"]);
        world.commit("chore: add the list");
        world
    }

    /// A folder with this list.
    pub(crate) fn without_git(list: &str) -> Self {
        let env = TestEnv::with_list(list);
        env.write("../home/act", ACT);
        // Waiting before a retry is the engine's business, and tested there.
        env.write("spec.toml", "[retry]\nbackoff = \"0s\"\n");
        Self { env }
    }

    /// Settings beside the list, committed.
    pub(crate) fn settings(self, toml: &str) -> Self {
        self.env.write("spec.toml", format!("{toml}\n[retry]\nbackoff = \"0s\"\n"));
        if self.env.path(".git").exists() {
            self.commit("chore: settings");
        }
        self
    }

    pub(crate) fn commit(&self, message: &str) {
        self.env.git(["add", "-A"]);
        self.env.git(["commit", "-q", "-m", message]);
    }

    /// `spec run` with the executor and these arguments, one try for each task unless they say else.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.env.output(&mut self.run_command(args))
    }

    pub(crate) fn run_command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> std::process::Command {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut command = self.env.spec_command(["run", "tasks.md", "--exec", EXEC]);
        if !args.iter().any(|arg| arg == "--max-attempts") {
            command.args(["--max-attempts", "1"]);
        }
        command.args(args);
        command
    }

    /// The same, without waiting for its end.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Child {
        self.start_command(self.run_command(args))
    }

    /// Starts a command whose output is looked at when it has [ended](Self::finish).
    #[expect(clippy::disallowed_methods, clippy::unused_self, reason = "the test does something while it runs")]
    pub(crate) fn start_command(&self, mut command: std::process::Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// The end of what was started.
    pub(crate) fn finish(&self, child: Child) -> Output {
        self.env.finished(&child.wait_with_output().expect("it ends"))
    }

    /// A pipe with a name in the home: who opens it waits for the other side.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.env.path("../home").join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        path
    }

    /// The state file, once it is as asked for: it follows what happens after a moment.
    pub(crate) fn state_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut state = Vec::new();
        // Five minutes and more: what takes longer hangs.
        for _ in 0..300_000 {
            state = std::fs::read(self.env.path(".spec-state.json")).unwrap_or_default();
            match serde_json::from_slice::<Value>(&state) {
                Ok(state) if wanted(&state) => return state,
                _ => std::thread::sleep(std::time::Duration::from_millis(1)), // tidy: a poll
            }
        }
        panic!("it never comes to that: {}", String::from_utf8_lossy(&state));
    }

    pub(crate) fn list(&self) -> String {
        self.env.read("tasks.md")
    }

    /// Whether the box of that task is ticked.
    pub(crate) fn ticked(&self, id: &str) -> bool {
        let list = self.list();
        let line = list
            .lines()
            .find(|line| line.split_once("] ").is_some_and(|(_, text)| text.split_whitespace().next() == Some(id)));
        line.unwrap_or_else(|| panic!("no {id} in\n{list}")).contains("[x]")
    }

    /// What the executor was told.
    pub(crate) fn prompt(&self, id: &str, attempt: u32) -> String {
        self.env.read(format!("../home/prompts/{id}.{attempt}"))
    }

    /// How often the executor was started for a task.
    pub(crate) fn tries(&self, id: &str) -> usize {
        (1..100).take_while(|attempt| self.env.path(format!("../home/prompts/{id}.{attempt}")).exists()).count()
    }

    /// The tasks of the commits, oldest first; commits that are not a task's by their subject.
    pub(crate) fn history(&self) -> Vec<String> {
        let log = self.env.git(["log", "--reverse", "--format=%(trailers:key=Spec-Task,valueonly,separator=%x2C)|%s"]);
        let name = |line: &str| match line.split_once('|') {
            Some(("", subject)) => subject.to_owned(),
            Some((task, _)) => task.to_owned(),
            None => line.to_owned(),
        };
        log.lines().map(name).collect()
    }

    /// The paths of a task's commit, sorted.
    pub(crate) fn paths_of(&self, task: &str) -> Vec<String> {
        let paths = self.env.git(["show", "--name-only", "--format=", &self.commit_of(task)]);
        paths.lines().map(str::to_owned).collect()
    }

    pub(crate) fn commit_of(&self, task: &str) -> String {
        let log = self.env.git(["log", "--format=%H %(trailers:key=Spec-Task,valueonly,separator=%x2C)"]);
        let found = log.lines().find_map(|line| line.split_once(' ').filter(|(_, id)| *id == task));
        found.unwrap_or_else(|| panic!("no commit of {task} in\n{log}")).0.to_owned()
    }

    /// The events of all journals, in the order of the runs.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let runs = self.env.path(".spec");
        let mut files = files_below(&runs);
        files.retain(|path| path.extension() == Some(OsStr::new("jsonl")));
        files.sort();
        let mut events = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a journal");
            for line in text.lines() {
                // Each record stands between its length and its check sum.
                let json = line.find('{').and_then(|from| line.rfind('}').map(|to| &line[from..=to]));
                events.extend(json.and_then(|json| serde_json::from_str::<Value>(json).ok()));
            }
        }
        assert!(!events.is_empty(), "there is a journal");
        events
    }

    /// The events of one type in the journal.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.journal().into_iter().filter(|event| event["type"] == kind).collect()
    }

    /// Every file that is not git's or the program's own, with its bytes.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.env.work())
    }
}

/// Every file below a folder with its bytes; links by where they lead.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let small = path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() < 1 << 20);
        let bytes = match std::fs::read_link(&path) {
            Ok(to) => to.into_os_string().into_encoded_bytes(),
            Err(_) if small => std::fs::read(&path).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        (path, bytes)
    };
    files_below(folder).into_iter().map(read).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
                files.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files
}

/// The blocks of signals on standard output, by name and details.
pub(crate) fn signals(stdout: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut blocks: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in stdout.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some((key, value)) => {
                let (_, details) = blocks.last_mut().expect("details stand below a signal");
                details.insert(key.to_owned(), value.to_owned());
            }
            None => blocks.push((line.to_owned(), BTreeMap::new())),
        }
    }
    blocks
}

/// What a signal says of a task.
pub(crate) fn signal_of(stdout: &str, signal: &str, task: &str) -> Option<BTreeMap<String, String>> {
    let found = |(name, details): &(String, BTreeMap<String, String>)| {
        name == signal && details.get("task").is_some_and(|it| it == task)
    };
    signals(stdout).into_iter().find(found).map(|(_, details)| details)
}

/// What a run said, with the commits by the tasks whose they are: `commit: <1.2>`.
pub(crate) fn by_task(world: &World, stdout: &str) -> String {
    let log = world.env.git(["log", "--format=%H %(trailers:key=Spec-Task,valueonly,separator=%x2C)"]);
    let named: BTreeMap<&str, &str> = log.lines().filter_map(|line| Some((line.get(..7)?, line.get(41..)?))).collect();
    let line = |line: &str| match line.strip_prefix("commit: ").and_then(|commit| named.get(commit)) {
        Some(task) => format!("commit: <{task}>\n"),
        None => format!("{line}\n"),
    };
    stdout.lines().map(line).collect()
}
