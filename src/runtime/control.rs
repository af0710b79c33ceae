//! Steering a run that is going on, from another process: `spec cancel`, `pause`, `resume`, `retry`, `skip`.
//!
//! A mailbox of files in `.spec/control/`, so that it works in containers and over network folders alike. The run puts
//! its card there ([`Mailbox::open`]); [`send`] reads whom to ask, puts a request beside it and waits for the answer. All
//! files come into being whole, by rename. What was meant for a run that is dead is never carried out by another.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{clock, tree};

/// How often the run looks for requests.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a sender looks for its answer.
const ANSWER_EVERY: Duration = Duration::from_millis(20);
/// The card of the run that answers.
const CARD: &str = "run.json";
const REQUEST: &str = "request.json";
const ANSWER: &str = "answer.json";

/// What a run can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", content = "task", rename_all = "snake_case")]
pub enum Command {
    /// End in order.
    Cancel,
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Try this task (its label) again.
    Retry(String),
    /// Leave this task (its label) out.
    Skip(String),
}

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody is there to ask.
    #[error("no run is going on here; start one with `spec run`")]
    NotRunning,
    /// The run said no, and why.
    #[error("{0}")]
    Refused(String),
    /// It is there and did not answer.
    #[error(
        "the run (process {pid} on {host}) did not answer within {seconds} s; see `spec status`, or end it with Ctrl-C"
    )]
    NoAnswer {
        /// Its process.
        pid: u32,
        /// Its machine.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The mailbox cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Who answers here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Card {
    run: String,
    pid: u32,
    /// Tells a recycled process id; see [`tree::start_ticks`].
    start_ticks: u64,
    host: String,
}

impl Card {
    /// Whether that run is still there, as far as can be told from this machine.
    fn is_alive(&self) -> bool {
        self.host != host()
            || (nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid.cast_signed()), None)
                != Err(nix::errno::Errno::ESRCH)
                && tree::start_ticks(self.pid) == self.start_ticks)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    /// Of which run it is asked.
    run: String,
    #[serde(flatten)]
    command: Command,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    ok: bool,
    message: String,
}

/// Asks the run whose mailbox `folder` is, and waits at most so long for what it says. Blocks.
pub fn send(folder: &Path, command: Command, at_most: Duration) -> Result<String, ControlError> {
    let card: Card = read(&folder.join(CARD)).ok_or(ControlError::NotRunning)?;
    if !card.is_alive() {
        return Err(ControlError::NotRunning);
    }
    let id = clock::run_id();
    let (request, answer) = (folder.join(format!("{id}.{REQUEST}")), folder.join(format!("{id}.{ANSWER}")));
    write(&request, &Letter { run: card.run.clone(), command })?;
    let deadline = clock::now() + at_most;
    loop {
        // Before the answer is looked for: a run may answer and be over before we look again.
        let ended = !card.is_alive() || read::<Card>(&folder.join(CARD)).as_ref() != Some(&card);
        let over = ended || clock::now() >= deadline;
        if let Some(said) = read::<Answer>(&answer) {
            fs::remove_file(&answer).ok();
            return if said.ok { Ok(said.message) } else { Err(ControlError::Refused(said.message)) };
        }
        if over {
            // If it is still there nobody has taken it, and now nobody will.
            fs::remove_file(&request).ok();
            return Err(if ended {
                ControlError::NotRunning
            } else {
                ControlError::NoAnswer { pid: card.pid, host: card.host, seconds: at_most.as_secs() }
            });
        }
        std::thread::sleep(ANSWER_EVERY);
    }
}

/// The receiving end, of the run that is going on. Takes its card away when it is dropped.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    run: String,
}

/// A request that waits for its [answer](Request::answer).
#[derive(Debug)]
#[must_use = "somebody waits for the answer"]
pub struct Request {
    /// What is asked.
    pub command: Command,
    answer: PathBuf,
}

impl Request {
    /// Says what came of it: a line for people, `Err` where it was not done.
    pub fn answer(self, said: Result<String, String>) -> Result<(), ControlError> {
        let ok = said.is_ok();
        write(&self.answer, &Answer { ok, message: said.unwrap_or_else(|message| message) })
    }
}

impl Mailbox {
    /// Opens the mailbox for this run, which must hold the lock of its list. What lies there is of dead runs, and goes.
    pub fn open(folder: impl Into<PathBuf>, run: impl Into<String>) -> Result<Self, ControlError> {
        let mailbox = Self { folder: folder.into(), run: run.into() };
        let failed = |source| ControlError::Io { path: mailbox.folder.clone(), source };
        fs::create_dir_all(&mailbox.folder).map_err(failed)?;
        for entry in fs::read_dir(&mailbox.folder).map_err(failed)?.flatten() {
            fs::remove_file(entry.path()).ok();
        }
        let pid = std::process::id();
        let card = Card { run: mailbox.run.clone(), pid, start_ticks: tree::start_ticks(pid), host: host() };
        write(&mailbox.folder.join(CARD), &card)?;
        Ok(mailbox)
    }

    /// The oldest request, if there is one.
    pub(super) fn take(&self) -> Option<Request> {
        let entries = fs::read_dir(&self.folder).ok()?.flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        // Their ids sort by age.
        names.sort_unstable();
        names.iter().find_map(|name| {
            let id = name.strip_suffix(REQUEST)?;
            let path = self.folder.join(name);
            let letter: Option<Letter> = read(&path);
            // Whoever removes it has it: its sender may just have given up.
            fs::remove_file(&path).ok()?;
            let letter = letter.filter(|letter| letter.run == self.run)?;
            Some(Request { command: letter.command, answer: self.folder.join(format!("{id}{ANSWER}")) })
        })
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        fs::remove_file(self.folder.join(CARD)).ok();
    }
}

fn host() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What the file says; none where it is not there or not of ours.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file that is there in full or not at all. It need not survive a power cut: no sync.
fn write(path: &Path, content: &impl Serialize) -> Result<(), ControlError> {
    let failed = |source| ControlError::Io { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    serde_json::to_writer(&mut file, content).map_err(io::Error::from).map_err(failed)?;
    file.flush().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn asked(folder: &Path, command: Command) -> std::thread::JoinHandle<Result<String, ControlError>> {
        let folder = folder.to_owned();
        std::thread::spawn(move || send(&folder, command, LONG))
    }

    async fn next(mailbox: &Mailbox) -> Request {
        loop {
            match mailbox.take() {
                Some(request) => return request,
                None => tokio::time::sleep(ANSWER_EVERY).await,
            }
        }
    }

    #[tokio::test]
    async fn a_request_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(dir.path().join("control"), "run-1").unwrap();
        let folder = &mailbox.folder;
        for (command, said) in [
            (Command::Pause, Ok("paused".to_owned())),
            (Command::Retry("1.2@7".to_owned()), Err("1.2@7 has not failed".to_owned())),
        ] {
            let sender = asked(folder, command.clone());
            let request = next(&mailbox).await;
            assert_eq!(request.command, command);
            request.answer(said.clone()).unwrap();
            let heard = sender.join().unwrap().map_err(|error| error.to_string());
            assert_eq!(heard, said);
        }
        // Only the card stays.
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn where_nothing_runs_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = send(dir.path(), Command::Cancel, LONG).unwrap_err();
        insta::assert_snapshot!(error, @"no run is going on here; start one with `spec run`");

        drop(Mailbox::open(dir.path(), "run-1").unwrap());
        assert!(matches!(send(dir.path(), Command::Cancel, LONG), Err(ControlError::NotRunning)));
    }

    #[test]
    fn a_killed_run_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(dir.path(), "run-1").unwrap();
        let card = dir.path().join(CARD);
        let mut killed: Card = read(&card).unwrap();
        // The id went to another process.
        killed.start_ticks += 1;
        write(&card, &killed).unwrap();
        assert!(matches!(send(dir.path(), Command::Cancel, LONG), Err(ControlError::NotRunning)));
        // There is no such process.
        killed.pid = i32::MAX as u32;
        write(&card, &killed).unwrap();
        assert!(matches!(send(dir.path(), Command::Cancel, LONG), Err(ControlError::NotRunning)));
        drop(mailbox);
    }

    #[test]
    fn who_gives_up_takes_the_request_back() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::open(dir.path(), "run-1").unwrap();
        let error = send(dir.path(), Command::Cancel, Duration::ZERO).unwrap_err();
        assert!(matches!(error, ControlError::NoAnswer { .. }), "{error}");
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn what_was_meant_for_a_dead_run_is_not_carried_out() {
        let dir = tempfile::tempdir().unwrap();
        let old = Letter { run: "run-1".to_owned(), command: Command::Cancel };
        write(&dir.path().join(format!("0.{REQUEST}")), &old).unwrap();
        write(&dir.path().join(format!("0.{ANSWER}")), &Answer { ok: true, message: String::new() }).unwrap();
        let mailbox = Mailbox::open(dir.path(), "run-2").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // And one that comes late.
        write(&dir.path().join(format!("1.{REQUEST}")), &old).unwrap();
        write(&dir.path().join(format!("2.{REQUEST}")), &Letter { run: "run-2".to_owned(), command: Command::Resume })
            .unwrap();
        assert_eq!(mailbox.take().unwrap().command, Command::Resume);
        assert!(mailbox.take().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_format_of_a_request() {
        let text = |command| serde_json::to_string(&Letter { run: "r".to_owned(), command }).unwrap();
        insta::assert_snapshot!(text(Command::Cancel), @r#"{"run":"r","command":"cancel"}"#);
        insta::assert_snapshot!(text(Command::Skip("1.2".to_owned())), @r#"{"run":"r","command":"skip","task":"1.2"}"#);
    }
}
