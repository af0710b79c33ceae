//! One try of a task: what is started, with which words and surroundings, and what came of it. The driver makes an
//! [`Attempt`] and awaits it; nothing in here decides anything.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::clock;
use super::process::{
    self, CommandLine, DISPLAY_MAX, Ended, Line, LineSink, Outcome, Running, SpawnError, SpawnSpec, Stop, Stopper,
    Stream,
};
use super::quota::{self, Watch};
use super::sandbox::Cell;
use super::shell::Shell;
use super::slots::{Claim, Workspace};
use super::spending::InUse;
use crate::agent::surroundings::Surroundings;
use crate::agent::{self, Access, Agent, Call, Cumulative, Decoder, Said, Session, Used};
use crate::document::quota::Quota;
use crate::engine::Node;
use crate::engine::gates::{End, Word};
use crate::engine::output::{Report, Scanner};
use crate::git::foreign_variables;
use crate::mask::Masker;
use crate::store::fs::{self, PathError};
use crate::text;

/// Where and how the commands of a try are run.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) node: Node,
    pub(super) shell: Arc<Shell>,
    pub(super) cwd: PathBuf,
    /// The root of its working tree.
    pub(super) root: PathBuf,
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) run: String,
    pub(super) log: PathBuf,
    /// For all commands of the try together.
    pub(super) timeout: Duration,
    pub(super) idle: Duration,
    /// The same while an agent's tool runs.
    pub(super) tool_idle: Duration,
    pub(super) grace: Duration,
    pub(super) quota: Quota,
    pub(super) sandbox: Option<Cell>,
    pub(super) mask: Arc<Masker>,
    pub(super) display: Option<mpsc::Sender<Line>>,
    pub(super) spawned: mpsc::UnboundedSender<Spawned>,
    pub(super) in_use: mpsc::UnboundedSender<InUse>,
}

/// A process of a try runs.
pub(super) struct Spawned {
    pub(super) node: Node,
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
}

/// Ends whatever a try is running, and keeps it from starting more.
#[derive(Clone, Default)]
pub(super) struct Brake(Option<Arc<Mutex<Slot>>>);

/// Whether the brake was pulled, and what it stops.
type Slot = (Option<Stop>, Option<Stopper>);

impl Brake {
    /// The brake of a try; the default one, of no try, does nothing.
    pub(super) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Ends the try.
    pub(super) fn pull(&self, stop: Stop) {
        let Some(slot) = &self.0 else { return };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.0 = slot.0.max(Some(stop));
        if let Some(stopper) = &slot.1 {
            stopper.stop(stop);
        }
    }

    /// A process of the try runs now.
    fn hold(&self, running: &Running) {
        let Some(slot) = &self.0 else { return };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let stopper = running.stopper();
        if let Some(stop) = slot.0 {
            stopper.stop(stop);
        }
        slot.1 = Some(stopper);
    }

    pub(super) fn pulled(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).0.is_some())
    }
}

/// What came of one command.
pub(super) struct Ran {
    pub(super) script: String,
    pub(super) outcome: Result<Outcome, SpawnError>,
}

/// What came of an executor.
pub(super) struct Worked {
    pub(super) ran: Vec<Ran>,
    pub(super) report: Report,
    /// Where it was an agent.
    pub(super) session: Option<Box<Session>>,
}

/// An agent, and what is asked of it.
pub(super) struct Order {
    pub(super) agent: Agent,
    pub(super) program: String,
    pub(super) model: Option<String>,
    /// The session to go on with, and what that had used.
    pub(super) resume: Option<(String, Used)>,
    pub(super) access: Access,
    /// It works in a git repository.
    pub(super) git: bool,
    /// What of our environment it gets.
    pub(super) surroundings: Surroundings,
}

impl Order {
    /// By what its tries are known to be alike in what they use.
    pub(super) fn class(&self) -> String {
        format!("{} {}", self.agent.name(), self.model.as_deref().unwrap_or_default())
    }
}

/// Reads what an agent prints, as it comes.
struct Reading {
    decoder: Box<dyn Decoder>,
    session: Session,
    notes: mpsc::UnboundedSender<agent::Note>,
    display: Option<mpsc::Sender<Line>>,
    in_use: mpsc::UnboundedSender<InUse>,
    /// What the agent had used before it resumed its session, and which figures are those of the whole of it.
    before: Option<(Used, Cumulative)>,
    node: Node,
    mask: Arc<Masker>,
}

impl Reading {
    fn line(&mut self, stream: Stream, line: &[u8]) {
        let Self { decoder, session, notes, display, node, in_use, before, mask } = self;
        let had = (session.tokens, session.cost);
        let mut say = |mut said: Said| {
            said.texts(|text| mask.mask(text));
            for text in display.iter().flat_map(|display| said.lines().into_iter().map(move |text| (display, text))) {
                let (display, mut text) = text;
                text.truncate(text::first(&text, DISPLAY_MAX).len());
                // Lines that nobody takes are dropped.
                display.try_send(Line { tag: *node, stream, text }).ok();
            }
            if let Some(note) = session.take(said) {
                notes.send(note).ok();
            }
        };
        match stream {
            Stream::Stdout => decoder.stdout(line, &mut say),
            Stream::Stderr => decoder.stderr(line, &mut say),
        }
        // What it says with its last word is looked at when it has ended.
        if (session.tokens, session.cost) != had && session.last.is_none() {
            let (tokens, cost) = session.since(before.as_ref());
            in_use.send(InUse { node: *node, model: session.model.clone(), tokens, cost }).ok();
        }
    }
}

/// What went wrong with an agent by its own account; nothing where its process was ended by us, or never ran.
pub(super) fn last_word(end: &End, session: &Session, agent: &Agent) -> Option<Word> {
    if !matches!(end, End::Exited(_) | End::Signalled(_)) {
        return None;
    }
    if let (Some(limit), false) = (&session.limit, session.ended_well()) {
        return Some(Word::Limited(limit.message.clone()));
    }
    if !session.denied.is_empty() {
        let (title, name, what) = (agent.title(), agent.name(), session.denied.join(", "));
        return Some(Word::Denied(format!(
            "{title} was not allowed to use {what}; agent.access and agents.{name}.args in spec.toml say what it may do"
        )));
    }
    match (&session.last, end) {
        (Some(Some(error)), _) => Some(Word::Error(error.clone())),
        (None, End::Exited(0)) if agent.says_its_end() => Some(Word::Interrupted),
        _ => None,
    }
}

impl Ran {
    /// How it ended, for the gates; `limit` is the time of the try.
    pub(super) fn end(&self, limit: Duration) -> End {
        match &self.outcome {
            Err(error) => End::NotStarted(error.to_string()),
            Ok(outcome) => match (outcome.ended, outcome.exit, outcome.signal) {
                (Ended::Timeout, ..) => End::TimedOut(limit.as_secs()),
                (Ended::Quota(over), ..) => End::OverQuota(over.code(), over.reason()),
                (Ended::Idle(limit), ..) => End::Stalled(limit.as_secs()),
                // It ended well before the request to end reached it, or had said its last word.
                (Ended::Stopped(_), Some(0), _) | (Ended::Stopped(Stop::Finished), ..) => End::Exited(0),
                (Ended::Stopped(_), ..) => End::Cancelled,
                (Ended::Exited, Some(exit), _) => End::Exited(exit),
                (Ended::Exited, None, signal) => End::Signalled(signal.unwrap_or_default()),
            },
        }
    }

    /// The tail of what it printed, standard error last.
    pub(super) fn tail(&self) -> String {
        let Ok(outcome) = &self.outcome else { return String::new() };
        let mut tail = String::from_utf8_lossy(&outcome.stdout_tail).into_owned();
        if !outcome.stderr_tail.is_empty() {
            if !tail.is_empty() && !tail.ends_with('\n') {
                tail.push('\n');
            }
            tail += &String::from_utf8_lossy(&outcome.stderr_tail);
        }
        last_lines(&tail)
    }

    /// Whether it was told to end while it ran.
    pub(super) fn was_stopped(&self) -> bool {
        self.outcome
            .as_ref()
            .is_ok_and(|outcome| matches!(outcome.ended, Ended::Stopped(stop) if stop != Stop::Finished))
    }

    pub(super) fn success(&self) -> bool {
        self.outcome.as_ref().is_ok_and(Outcome::success)
    }
}

/// What an agent left for us in a file of no more than a megabyte, which is then removed.
fn read_once(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(1 << 20).read_to_end(&mut bytes).ok()?;
    std::fs::remove_file(file).ok();
    Some(bytes)
}

/// How much evidence is kept in the journal and shown to the next try.
const EVIDENCE: usize = 4 * 1024;

/// The last lines of a text, at most [`EVIDENCE`] bytes.
pub(super) fn last_lines(text: &str) -> String {
    text::last_lines(text.trim_end(), EVIDENCE).to_owned()
}

impl Attempt {
    /// How one script of `Run` or `Verify` is started.
    fn script(&self, script: &str, timeout: Duration) -> SpawnSpec {
        let line = self.shell.script(script);
        // What stands between starts in any case: it is the shell that says that a program is not there.
        let (command, otherwise) = match line.otherwise {
            Some(in_shell) if quota::wraps(&self.quota) || self.sandbox.is_some() => (in_shell, None),
            otherwise => (line.command, otherwise),
        };
        let mut spec = self.spec(command, timeout);
        spec.otherwise = otherwise;
        spec.merge_streams = true;
        spec
    }

    /// The command with what is to hold it around it.
    fn wrap(&self, command: CommandLine) -> CommandLine {
        let command = match &self.sandbox {
            Some(cell) => cell.wrap(command),
            None => command,
        };
        quota::wrap(command, &self.quota)
    }

    fn spec(&self, command: CommandLine, timeout: Duration) -> SpawnSpec {
        let mut spec = SpawnSpec::new(self.wrap(command), &self.cwd, &self.log, &self.run);
        spec.env.clone_from(&self.env);
        spec.timeout = Some(timeout);
        spec.idle_timeout = Some(self.idle);
        spec.grace = self.grace;
        spec.watch = Watch::new(self.quota);
        spec.mask = Some(Arc::clone(&self.mask));
        spec.display = self.display.clone().map(|lines| (lines, self.node));
        spec
    }

    /// Runs the executor with the prompt on its standard input, and reads what it says.
    pub(super) async fn executor(self, command: String, prompt: String, brake: Brake) -> Worked {
        let scanner = Arc::new(Mutex::new(Scanner::default()));
        let sink = Arc::clone(&scanner);
        let mask = Arc::clone(&self.mask);
        // What it asks for gets into the list, and what it says into the journal.
        let on_line: LineSink =
            Box::new(move |line| sink.lock().unwrap_or_else(PoisonError::into_inner).line(&mask.bytes(line)));
        let mut spec = self.spec(self.shell.exec(&command), self.timeout);
        spec.stdin = Some(prompt.into_bytes());
        spec.on_line = Some(on_line);
        let outcome = self.process(spec, &brake).await;
        let report = std::mem::take(&mut *scanner.lock().unwrap_or_else(PoisonError::into_inner)).finish();
        Worked { ran: vec![Ran { script: command, outcome }], report, session: None }
    }

    /// Runs an agent with the prompt, and reads what it says.
    pub(super) async fn agent(self, order: Order, prompt: String, brake: Brake) -> Worked {
        let prompt_file = self.log.with_extension("prompt.md");
        // With a `Dir` of its own it works in a part of the tree, and all of that is its to write to.
        let tree = [self.root.as_path()];
        let call = Call {
            program: &order.program,
            cwd: &self.cwd,
            also: if self.cwd == self.root { &[] } else { &tree },
            model: order.model.as_deref(),
            resume: order.resume.as_ref().map(|(id, _)| id.as_str()),
            access: order.access,
            args: &[],
            prompt_file: &prompt_file,
            git: order.git,
        };
        let mut start = order.agent.start(&call);
        let name = order.program.clone();
        let by = match start.prompt {
            // Linux takes 128 KiB for one argument.
            agent::Prompt::Argument if prompt.len() > 100 * 1024 => {
                let words = format!("Read the file {} and do what it says.", prompt_file.display());
                start.args.push(words.into());
                agent::Prompt::File
            }
            by => by,
        };
        let mut stdin = Vec::new();
        match by {
            agent::Prompt::Stdin => stdin = prompt.into_bytes(),
            agent::Prompt::Argument => start.args.push(prompt.into()),
            agent::Prompt::File => {
                let written = prompt_file.parent().map_or(Ok(()), fs::create_folders);
                let written =
                    written.and_then(|()| fs::write_atomic(&prompt_file, prompt.as_bytes(), fs::Durability::Fast));
                if let Err(PathError { source, .. }) = written {
                    let program = prompt_file.display().to_string();
                    let outcome = Err(SpawnError::System { program, source });
                    return Worked {
                        ran: vec![Ran { script: name, outcome }],
                        report: Report::default(),
                        session: None,
                    };
                }
            }
        }
        let mut spec = self.spec(CommandLine { program: start.program, args: start.args }, self.timeout);
        let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        let kept_back = order.surroundings.kept_back(names.iter().map(String::as_str));
        let ours = std::mem::take(&mut spec.env);
        spec.env = kept_back.into_iter().map(|name| (name.into(), None)).chain(ours).chain(start.env).collect();
        spec.stdin = Some(stdin);
        // People see what it says, not the lines that it prints.
        let (notes, receiver) = mpsc::unbounded_channel();
        let display = spec.display.take().map(|(lines, _)| lines);
        let (decoder, session) = (order.agent.decoder(), Session::new(order.model.clone()));
        let before = order.resume.as_ref().map(|(_, used)| (*used, order.agent.cumulative()));
        let (in_use, node, mask) = (self.in_use.clone(), self.node, Arc::clone(&self.mask));
        let reading = Reading { decoder, session, notes, display, in_use, before, node, mask };
        let reading = Arc::new(Mutex::new(reading));
        let sink = |stream| -> LineSink {
            let reading = Arc::clone(&reading);
            Box::new(move |line| reading.lock().unwrap_or_else(PoisonError::into_inner).line(stream, line))
        };
        (spec.on_line, spec.on_error_line) = (Some(sink(Stream::Stdout)), Some(sink(Stream::Stderr)));
        (spec.notes, spec.busy_timeout) = (Some(receiver), Some(self.tool_idle));
        let outcome = self.process(spec, &brake).await;
        let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
        let exit = outcome.as_ref().ok().and_then(|outcome| outcome.exit);
        let Reading { decoder, session, mask, .. } = &mut *reading;
        let mut say = |mut said: Said| {
            said.texts(|text| mask.mask(text));
            session.take(said);
        };
        if let Some(written) = start.usage.and_then(|file| read_once(&file)) {
            decoder.usage(&written, &mut say);
        }
        decoder.end(exit, &mut say);
        let mut session = std::mem::take(session);
        (session.tokens, session.cost) = session.since(before.as_ref());
        let report = session.report();
        Worked { ran: vec![Ran { script: name, outcome }], report, session: Some(Box::new(session)) }
    }

    /// Makes the tree of a try ready, and runs the setup script in it where that is due. What goes wrong is nothing that
    /// another try could mend.
    pub(super) async fn enter(&self, claim: Claim, brake: &Brake) -> Result<Box<Workspace>, String> {
        let (mut space, setup) = aside(move || claim.ready()).await?;
        let Some(setup) = setup else { return Ok(Box::new(space)) };
        let mut spec = self.script(&setup.script, self.timeout);
        spec.cwd.clone_from(&self.root);
        let ran = Ran { script: setup.script.clone(), outcome: self.process(spec, brake).await };
        if !ran.success() && !brake.pulled() {
            let (log, tail) = (self.log.display(), ran.tail());
            return Err(format!("the setup script of working trees (worktree.setup) failed; its log is {log}\n{tail}"));
        }
        aside(move || {
            if ran.success() {
                setup.done()?;
            }
            // What it wrote is no task's.
            space.look_after_verify()?;
            Ok(Box::new(space))
        })
        .await
    }

    /// Starts a process, says so, and waits for its end.
    async fn process(&self, spec: SpawnSpec, brake: &Brake) -> Result<Outcome, SpawnError> {
        let running = process::spawn(spec).await?;
        let spawned = Spawned { node: self.node, pid: running.pid(), start_ticks: running.start_ticks() };
        // Nobody listens any more when the run was ended at once.
        self.spawned.send(spawned).ok();
        brake.hold(&running);
        Ok(running.wait().await)
    }

    /// Runs scripts one after the other until one does not exit 0.
    pub(super) async fn scripts(self, scripts: Vec<String>, brake: Brake) -> Vec<Ran> {
        let deadline = clock::now() + self.timeout;
        let mut ran = Vec::new();
        let mut watch = Watch::new(self.quota);
        for script in scripts {
            if brake.pulled() {
                break;
            }
            let left = deadline.saturating_duration_since(clock::now());
            let mut spec = self.script(&script, left);
            spec.watch = watch;
            let outcome = self.process(spec, &brake).await;
            if let (Some(used), Ok(outcome)) = (&mut watch, &outcome) {
                *used = outcome.watch.unwrap_or(*used).next(outcome.duration, outcome.output_bytes);
            }
            let one = Ran { script, outcome };
            let go_on = one.success();
            ran.push(one);
            if !go_on {
                break;
            }
        }
        ran
    }
}

/// Does what blocks on a thread of its own.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::git::Error> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The environment of a try on top of our own: who it is, and nothing that points git elsewhere.
pub(super) fn environment(vars: Vec<(&'static str, OsString)>) -> Vec<(OsString, Option<OsString>)> {
    let cleared = foreign_variables().iter().map(|name| (name.clone(), None));
    cleared.chain(vars.into_iter().map(|(name, value)| (name.into(), Some(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_cut_at_a_line() {
        let long = "x\u{e9}".repeat(3000) + "\nlast line\n";
        assert_eq!(last_lines(&long), "last line");
        assert_eq!(last_lines("short\n"), "short");
    }
}
