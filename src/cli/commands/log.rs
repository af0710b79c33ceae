//! `spec log`: what the executor of a task printed, and what `spec` then saw of it.
//!
//! The log is written as it is, unless it goes to a terminal: there, everything that steers a terminal is taken out.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::runs::{self, Life, Run};
use crate::agent::{self, Decoder};
use crate::cli::args::{LogArgs, Selection};
use crate::cli::settings::RunSettings;
use crate::cli::{Error, exit, output, target};
use crate::document::{Document, parse};
use crate::engine::budget::Total;
use crate::engine::output::Wanted;
use crate::report::text::{Paint, clean, clean_lines, count, short, short_run, took};
use crate::store::event::{Envelope, Event, TaskRef};
use crate::store::journal::{Line, Lines};
use crate::store::paths::SpecPaths;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Colours are taken out on the way where they are not wanted.
const PAINT: Paint = Paint(true);

/// One try of a task.
struct Try {
    run: String,
    task: TaskRef,
    attempt: u32,
    title: String,
    executor: String,
    log: String,
    /// The records of the run so far.
    records: Vec<Envelope>,
}

/// Shows the log.
pub fn run(args: &LogArgs) -> Result<u8, Error> {
    let target = target::open(args.file.as_deref())?;
    let paths = runs::paths(&target.path)?;
    let (doc, _) = parse(target.source, &target.path.to_string_lossy());
    let mut attempt = find(&doc, &paths, &args.task, args.attempt)?;
    let title = format!("{} {}", clean(&attempt.task.task), attempt.title);
    output::print_lines(&format!(
        "{}, try {} of run {} ({})\n",
        PAINT.strong(&title),
        attempt.attempt,
        short_run(&attempt.run),
        clean(&attempt.log)
    ))?;
    let (settings, _) = RunSettings::resolve_plan(&Selection::default(), &target.path)?;
    let decoder = agent::find(&attempt.executor, &settings.agents).filter(|_| !args.raw).map(|agent| agent.decoder());
    let mut log = Log::new(paths.folder().join(&attempt.log), decoder);
    let mut journal = Follower { path: paths.journal(&attempt.run), at: 0 };
    if args.follow {
        attempt.records = journal.read()?;
        loop {
            let over = is_over(&attempt) || !matches!(runs::life(&paths, &attempt.run, false)?, Life::GoingOn(_));
            if !log.print()? {
                return Ok(exit::DONE);
            }
            if over {
                break;
            }
            std::thread::sleep(LOOK);
            attempt.records.extend(journal.read()?);
        }
    } else if !log.print()? {
        return Ok(exit::DONE);
    }
    log.finish()?;
    output::print_lines(&seen(&attempt, &paths)?)?;
    Ok(exit::DONE)
}

/// The try that is asked for: the last one, in the newest run that has it.
fn find(doc: &Document, paths: &SpecPaths, wanted: &str, attempt: Option<u32>) -> Result<Try, Error> {
    let key = match doc.select(wanted).as_deref() {
        Some([one]) => Some(doc.key(*one)),
        Some(several) => {
            let labels: Vec<String> = several.iter().map(|index| doc.label(*index)).collect();
            return Err(Error::usage(format_args!("'{wanted}' means several tasks: {}", labels.join(" ")))
                .hint("each has a log of its own: name one"));
        }
        // It may have been taken out of the list since.
        None => None,
    };
    let means = |task: &TaskRef| key.as_ref().map_or(task.task == wanted, |key| *key == task.key);
    // An edited title changes the key; the label is the next best.
    let same_label = |task: &TaskRef| task.task == wanted;
    for run in runs::all(paths)? {
        let Run { id, records, .. } = run?;
        let start_of = |record: &Envelope, means: &dyn Fn(&TaskRef) -> bool| match &record.event {
            Event::TaskStart { task, attempt: number, title, executor, log }
                if means(task) && attempt.is_none_or(|attempt| attempt == *number) =>
            {
                Some((task.clone(), *number, clean(title), clean(executor), log.clone()))
            }
            _ => None,
        };
        let found = records.iter().rev().find_map(|record| start_of(record, &means));
        let found = found.or_else(|| records.iter().rev().find_map(|record| start_of(record, &same_label)));
        if let Some((task, attempt, title, executor, log)) = found {
            return Ok(Try { run: id, task, attempt, title, executor, log, records });
        }
    }
    Err(match (key, attempt) {
        (None, _) => Error::usage(format_args!("there is no task '{wanted}' in the list or in its runs"))
            .hint("`spec tasks` lists them"),
        (Some(_), Some(attempt)) => Error::usage(format_args!("no run has a try {attempt} of {wanted}")),
        (Some(_), None) => {
            let error = Error::usage(format_args!("{wanted} has not been started yet"));
            runs::in_epic(paths).into_iter().fold(error, Error::hint)
        }
    })
}

/// Whether the try has an end.
fn is_over(attempt: &Try) -> bool {
    let ours = |task: &TaskRef| task.key == attempt.task.key;
    let after = attempt.records.iter().skip_while(|record| {
        !matches!(&record.event, Event::TaskStart { task, attempt: number, .. } if ours(task) && *number == attempt.attempt)
    });
    after.skip(1).any(|record| match &record.event {
        Event::TaskRetry { task, .. }
        | Event::TaskComplete { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskStart { task, .. }
        | Event::TaskSkipped { task }
        | Event::TaskCancelled { task, .. } => ours(task),
        // Who asks for a follow-up goes on.
        Event::TaskAsked { task, request, .. } => ours(task) && request != Wanted::Followup.name(),
        Event::RunComplete { .. } => true,
        _ => false,
    })
}

/// What the journal has about the try, for people.
fn seen(attempt: &Try, paths: &SpecPaths) -> Result<String, Error> {
    let mut lines = Vec::new();
    let mut quote = |head: String, tail: &str| {
        lines.push(head);
        lines.extend(clean_lines(tail).iter().map(|line| format!("    {} {line}", PAINT.dim("|"))));
    };
    let ours = |task: &TaskRef, number: u32| task.key == attempt.task.key && number == attempt.attempt;
    let in_session = attempt.executor == "session";
    for record in &attempt.records {
        match &record.event {
            Event::TaskEnded { task, attempt, exit, signal, seconds, output_bytes, left_behind }
                if ours(task, *attempt) =>
            {
                let how = match (exit, signal) {
                    (Some(code), _) => format!("exit {code}"),
                    (None, Some(signal)) => format!("ended by signal {signal}"),
                    (None, None) => "ended, nobody saw how".to_owned(),
                };
                let printed = count(*output_bytes as usize, "byte", "bytes");
                let left = match left_behind {
                    0 => String::new(),
                    n => format!(", {} left behind, ended", count(*n, "process", "processes")),
                };
                // What an agent session makes has no process of ours.
                let process = if in_session {
                    format!("  session: it was over after {}", took(*seconds))
                } else {
                    format!("  process: {how} after {}, {printed} printed{left}", took(*seconds))
                };
                quote(process, "");
            }
            Event::TaskAgent { task, attempt, agent, model, session, messages, tool_calls, .. }
                if ours(task, *attempt) =>
            {
                let mut figures = vec![clean(agent)];
                figures.extend(model.as_deref().map(clean));
                figures.push(count(*messages as usize, "message", "messages"));
                figures.push(count(*tool_calls as usize, "tool call", "tool calls"));
                figures.extend(record.event.used().and_then(|(used, estimated)| Total::of(used, estimated).show()));
                figures.extend(session.as_deref().map(|session| format!("session {}", clean(session))));
                quote(format!("  agent: {}", figures.join(", ")), "");
            }
            Event::TaskGate { task, attempt, gate, verdict, detail } if ours(task, *attempt) => {
                let verdict = match verdict.as_str() {
                    "pass" => PAINT.good("pass"),
                    "fail" => PAINT.bad("fail"),
                    other => PAINT.warn(clean(other).replace('_', " ")),
                };
                let detail = if detail.is_empty() { String::new() } else { format!(": {}", clean(detail)) };
                quote(format!("  gate {}: {verdict}{detail}", clean(gate)), "");
            }
            Event::TaskVerify { task, attempt, command, exit, seconds, tail } if ours(task, *attempt) => {
                let how = match exit {
                    Some(0) => PAINT.good("exit 0"),
                    Some(code) => PAINT.bad(format!("exit {code}")),
                    None => PAINT.bad("ended by a signal or a limit"),
                };
                let command = clean_lines(command).join("\n      ");
                quote(format!("  verify: {how} after {}: {command}", took(*seconds)), tail);
            }
            Event::TaskRetry { task, attempt, code, reason, .. } if ours(task, *attempt) => {
                quote(format!("  {} {}: {}; tried again", PAINT.warn("failed"), clean(code), clean(reason)), "");
            }
            Event::TaskFailed { task, attempt, code, reason, .. } if ours(task, *attempt) => {
                quote(format!("  {} for good, {}: {}", PAINT.bad("failed"), clean(code), clean(reason)), "");
            }
            Event::TaskComplete { task, attempt, commit, verify, .. } if ours(task, *attempt) => {
                let commit = commit.as_deref().map_or("nothing to commit", short);
                let verify = if verify == "pass" { "verified" } else { "nothing verified it" };
                quote(format!("  {}: {verify}, {commit}", PAINT.good("landed")), "");
            }
            Event::TaskAsked { task, attempt, request, reason, .. } if ours(task, *attempt) => {
                quote(format!("  {} for {}: {}", PAINT.warn("asked"), clean(request), clean(reason)), "");
            }
            Event::TaskSkipped { task } if task.key == attempt.task.key => {
                quote(format!("  {}", PAINT.warn("skipped")), "");
            }
            Event::TaskCancelled { task, .. } if task.key == attempt.task.key => {
                quote(format!("  {}", PAINT.warn("cancelled")), "");
            }
            _ => {}
        }
    }
    if !is_over(attempt) {
        let how = match runs::life(paths, &attempt.run, false)? {
            Life::GoingOn(_) => "this try goes on; `spec log -f` follows it",
            Life::InSession(_) => {
                "an agent session makes this try; what its sub-agent prints is in that agent's own log"
            }
            Life::Ended | Life::Killed => "the run was killed during this try: its outcome is unknown",
        };
        lines.push(format!("  {}", PAINT.warn(how)));
    }
    let head = format!("{} ({})\n", PAINT.strong("What spec saw"), attempt.executor);
    Ok(head + &lines.join("\n") + "\n")
}

/// A log on its way to standard output.
struct Log {
    path: PathBuf,
    at: u64,
    /// Standard output is a terminal.
    terminal: bool,
    /// The line that has no end yet.
    rest: Vec<u8>,
    /// What was printed last was a line end.
    at_line_start: bool,
    /// Makes words of the lines that an agent printed.
    decoder: Option<Box<dyn Decoder>>,
}

impl Log {
    fn new(path: PathBuf, decoder: Option<Box<dyn Decoder>>) -> Self {
        Self { path, at: 0, terminal: io::stdout().is_terminal(), rest: Vec::new(), at_line_start: true, decoder }
    }

    /// Prints what is there and was not printed yet; false when nobody reads it any more.
    fn print(&mut self) -> Result<bool, Error> {
        let wrong =
            |error: io::Error, path: &Path| Error::failed(format_args!("cannot read {}: {error}", path.display()));
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // It is made with the first byte.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(wrong(error, &self.path)),
        };
        file.seek(SeekFrom::Start(self.at)).map_err(|error| wrong(error, &self.path))?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = file.read(&mut buffer).map_err(|error| wrong(error, &self.path))?;
            if length == 0 {
                return Ok(true);
            }
            self.at += length as u64;
            let bytes = &buffer[..length];
            if !(if self.terminal || self.decoder.is_some() {
                self.print_lines(bytes)?
            } else {
                self.print_raw(bytes)?
            }) {
                return Ok(false);
            }
        }
    }

    fn print_raw(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        self.at_line_start = bytes.ends_with(b"\n");
        output::write_raw(bytes)
    }

    fn print_lines(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(true) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let mut text = String::new();
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let mut words = Vec::new();
            if let Some(decoder) = &mut self.decoder {
                decoder.stdout(line, &mut |said| words.extend(said.lines()));
            }
            // What is no event of its stream the agent printed for people.
            if words.is_empty() && !(self.decoder.is_some() && line.starts_with(b"{")) {
                words.push(String::from_utf8_lossy(line).into_owned());
            }
            text.extend(words.iter().flat_map(|line| [clean(line), "\n".to_owned()]));
        }
        output::write_raw(text.as_bytes())
    }

    /// Ends the last line.
    fn finish(&mut self) -> Result<(), Error> {
        if !self.rest.is_empty() {
            self.print_lines(b"\n")?;
        } else if !self.at_line_start {
            output::print("\n")?;
        }
        Ok(())
    }
}

/// A journal that grows.
struct Follower {
    path: PathBuf,
    at: u64,
}

impl Follower {
    /// The whole records that came since.
    fn read(&mut self) -> Result<Vec<Envelope>, Error> {
        let wrong = |error: io::Error| Error::failed(format_args!("cannot read {}: {error}", self.path.display()));
        let mut file = File::open(&self.path).map_err(wrong)?;
        file.seek(SeekFrom::Start(self.at)).map_err(wrong)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(wrong)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.at += whole as u64;
        let mut records = Vec::new();
        for line in Lines::new(&bytes[..whole], &self.path) {
            if let Line::Record(record) = line.map_err(Error::failed)? {
                records.push(*record);
            }
        }
        Ok(records)
    }
}
