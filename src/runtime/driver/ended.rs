//! The end of a process: what an executor changed is taken and judged, what a Verify said is noted, and the engine is told.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Done, Driver, Fatal, life_root};
use crate::agent::Session;
use crate::engine::gates::{self, End, Gate, Head, Seen, Verdict};
use crate::engine::output::Report;
use crate::engine::{Code, Event as Told, Failure, Halt, Kind, Node};
use crate::git::{Attribution, Change, Declared, Refusal, Refused, RepoPath, Taken};
use crate::mask::Masker;
use crate::runtime::attempt::{self, Brake, Ran, last_word};
use crate::runtime::clock;
use crate::runtime::process::SpawnError;
use crate::runtime::slots::Workspace;
use crate::store::event::{Event, TaskRef, TreeEntry};

/// What a task without a repository has taken.
static NOTHING: LazyLock<Taken> = LazyLock::new(Taken::default);
/// An isolated progress file is read up to here.
const PROGRESS_MAX: usize = 1024 * 1024;
/// The exit code by which an executor says "later": `EX_TEMPFAIL` of sysexits.
const LATER: i32 = 75;

impl Driver {
    pub(super) fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let result = match done {
            Ok(Done::Executor { node, ran, report, session, space }) => {
                self.executor_ended(node, &ran, &report, session, space)
            }
            Ok(Done::Verify { node, ran, space }) => self.verify_ended(node, &ran, space),
            Ok(Done::Unfit { node, verify, reason }) => {
                self.clock_off(node);
                self.give_up(Fatal { message: reason.clone(), halt: Halt::Fatal });
                let result = Err(Failure::new(Code::Spawn, reason));
                self.told.push_back(if verify {
                    Told::Verified { node, result }
                } else {
                    Told::Ended { node, result }
                });
                Ok(())
            }
            Ok(Done::Merged(merged)) => self.merged(merged),
            Ok(Done::Ready { node, space }) => self.handed_out(node, Some(space)),
            Ok(Done::Back { node, space }) => self.came_back(node, Some(space)),
            // A worker neither panics nor is aborted; should it, the task must not hang.
            Err(error) => Err(Fatal { message: error.to_string(), halt: Halt::Fatal }),
        };
        if let Err(fatal) = result {
            self.give_up(fatal);
        }
    }

    pub(super) fn clock_off(&mut self, node: Node) -> f64 {
        let life = &mut self.parts.lives[node];
        life.brake = Brake::default();
        let seconds = life.started.take().map_or(0.0, |started| (clock::now() - started).as_secs_f64());
        life.seconds += seconds;
        self.summary.work_seconds += seconds;
        seconds
    }

    pub(in crate::runtime) fn executor_ended(
        &mut self,
        node: Node,
        ran: &[Ran],
        report: &Report,
        session: Option<Box<Session>>,
        space: Option<Box<Workspace>>,
    ) -> Result<(), Fatal> {
        let seconds = self.clock_off(node);
        let task = self.task(node);
        let attempt = self.parts.lives[node].attempt;
        let mut events = Vec::new();
        if let Some(Ok(outcome)) = ran.last().map(|ran| &ran.outcome) {
            events.push(Event::TaskEnded {
                task: task.clone(),
                attempt,
                exit: outcome.exit,
                signal: outcome.signal,
                seconds,
                output_bytes: ran.iter().filter_map(|ran| ran.outcome.as_ref().ok()).map(|it| it.output_bytes).sum(),
                left_behind: outcome.left_behind,
            });
            if outcome.success() {
                self.summary.workers_succeeded += 1;
            } else {
                self.summary.workers_failed += 1;
            }
        }
        if let Some(text) = read_progress(&self.progress_file(node), &self.parts.mask) {
            if !text.trim().is_empty() {
                events.push(Event::TaskProgress { task: task.clone(), attempt, text: text.clone() });
            }
            let known = &mut self.parts.lives[node].progress;
            // What an earlier try said may be in another tree, which is not its own any more.
            if text.contains(known.as_str()) {
                *known = text;
            } else if !known.contains(&text) {
                known.push('\n');
                known.push_str(&text);
            }
        }
        if !report.notes.is_empty() {
            // What its result says that others should know is a learning like any other.
            let mut text = format!("## Learnings\n- {}\n", report.notes.join("\n- "));
            self.parts.mask.mask(&mut text);
            let known = &mut self.parts.lives[node].progress;
            if !known.contains(&text) {
                known.push('\n');
                known.push_str(&text);
            }
            events.push(Event::TaskProgress { task: task.clone(), attempt, text });
        }
        let mut head = Head::Fine;
        let mut commits = Vec::new();
        if let Some(mut space) = space {
            let reported: Vec<RepoPath> = report.files.iter().filter_map(|path| space.relative(path)).collect();
            let taken = space.end(&task.key, reported);
            let entries = taken.changes.iter().map(Change::to_wire).collect();
            events.push(Event::TaskTaken { task: task.clone(), attempt, entries, commits: Vec::new() });
            let life = &mut self.parts.lives[node];
            life.taken = Some(Box::new(taken));
            life.own.get_or_insert_default().space = Some(space);
        } else if let Some(tree) = &mut self.parts.tree {
            let root = &self.parts.root;
            let reported = report.files.iter().filter_map(|path| tree.repo.relative(&root.join(path)));
            let reported: Vec<RepoPath> = reported.collect();
            let (taken, moved, made) = tree.end(node, &task.key, reported)?;
            (head, commits) = (moved, made);
            events.push(Event::TaskTaken {
                task: task.clone(),
                attempt,
                entries: taken.changes.iter().map(Change::to_wire).collect(),
                commits: commits.iter().map(ToString::to_string).collect(),
            });
            events.extend(refusals(&mut tree.ledger, &format!("made while {} ran, and never committed", task.task)));
            self.parts.lives[node].taken = Some(Box::new(taken));
        }
        let (gates, result) = self.judge(node, ran, report, session.as_deref(), head, !commits.is_empty());
        if let Some(session) = session {
            let chosen = self.parts.lives[node].agent.as_ref().map(|chosen| chosen.agent.account().to_owned());
            let limited = result.as_ref().err().filter(|failure| failure.code == Code::RateLimited);
            if let (Some(limit), Some(account), Some(_)) = (&session.limit, chosen, limited) {
                self.limited(&account, limit);
            }
            events.extend(self.agent_ended(node, *session, seconds, &result));
            self.say_warnings_of_spending();
        } else {
            self.spending.release(node);
        }
        if self.parts.engine.unfunded() > 0 {
            // What was reserved for it is free, before what waited for that is given up.
            self.told.push_back(Told::Funds);
        }
        let shell = self.parts.engine.kind(node) == Kind::Run;
        for gate in gates {
            if !shell
                || gate.verdict == Verdict::Fail
                || !matches!(gate.verdict, Verdict::NotApplied) && !gate.detail.is_empty()
            {
                events.push(gate_event(&task, attempt, gate));
            }
        }
        let learned = events.iter().any(|event| matches!(event, Event::TaskProgress { .. }));
        self.emit_all(events)?;
        if learned {
            // Other tools delete isolated files: the journal is what keeps what is in them.
            self.parts.journal.sync()?;
        }
        self.look_at_list()?;
        let told = self.heed(node, report, result)?;
        self.told.push_back(told);
        if let Some(Err(error @ (SpawnError::NotFound { .. } | SpawnError::NotExecutable { .. }))) =
            ran.last().map(|ran| &ran.outcome)
        {
            return Err(Fatal { message: error.to_string(), halt: Halt::Fatal });
        }
        Ok(())
    }

    pub(super) fn judge(
        &self,
        node: Node,
        ran: &[Ran],
        report: &Report,
        session: Option<&Session>,
        head: Head,
        committed: bool,
    ) -> (Vec<Gate>, Result<(), Failure>) {
        let life = &self.parts.lives[node];
        let taken = life.taken.as_deref().unwrap_or(&NOTHING);
        let Some(job) = &life.job else { return (Vec::new(), Ok(())) };
        let settings = &self.parts.settings;
        let shell = self.parts.engine.kind(node) == Kind::Run;
        let Some(last) = ran.last() else {
            let failure = Failure::new(Code::Cancelled, "ended on request");
            return (Vec::new(), Err(failure));
        };
        let names = |paths: &[RepoPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut changes: Vec<String> = taken.changes.iter().map(|change| change.path.to_string()).collect();
        changes.extend(taken.overlaps.iter().map(ToString::to_string));
        changes.extend(taken.refused.iter().map(|refused| refused.path.to_string()));
        if committed && changes.is_empty() {
            changes.push("its own commits".to_owned());
        }
        let told = self.parts.tree.is_some() && taken.maybe.is_empty();
        let own = life_root(&self.parts, node);
        let root = own.as_deref().unwrap_or(&self.parts.root);
        let there = |path: &str, glob: bool| {
            if glob { glob_matches(root, path) } else { root.join(path).symlink_metadata().is_ok() }
        };
        let files = &job.files;
        let listed = |gone: bool| files.iter().filter(move |file| file.gone == gone);
        let missing: Vec<String> =
            listed(false).filter(|file| !there(&file.path, file.glob)).map(|file| file.path.clone()).collect();
        let still_there: Vec<String> =
            listed(true).filter(|file| there(&file.path, file.glob)).map(|file| file.path.clone()).collect();
        let too_many = taken.refused.iter().filter(|refused| refused.why == Refusal::TooMany).count();
        let secret = |refused: &Refused| match refused.why {
            Refusal::Secret => Some(refused.path.to_string()),
            Refusal::Contains { line, kind } => Some(format!("{}:{line} ({kind})", refused.path)),
            _ => None,
        };
        let secrets: Vec<String> = taken.refused.iter().filter_map(secret).collect();
        let end = match (last.end(life.limit), &life.over_budget) {
            (_, Some(over)) if last.was_stopped() => End::OverQuota(Code::QuotaCost, over.clone()),
            (end, _) => end,
        };
        let agent = life.agent.as_ref().map(|chosen| &chosen.agent);
        let word = session.zip(agent).and_then(|(session, agent)| last_word(&end, session, agent));
        let tail = match session {
            Some(session) if !session.tail.is_empty() => attempt::last_lines(&session.said()),
            _ => last.tail(),
        };
        gates::judge(&Seen {
            end,
            word: word.as_ref(),
            later: (!shell && session.is_none()).then_some(LATER),
            signal: !shell && (settings.exec_signal || session.is_some() || self.outside.is_some()),
            checks: job.verify_marker,
            report,
            head,
            changes: (told || !changes.is_empty()).then_some(&changes[..]),
            // What mended it may have done all there was to do.
            must_change: !shell && !job.verify_marker && !job.files_none && !life.mended,
            missing: &missing,
            still_there: &still_there,
            outside: &names(&taken.outside),
            ownership: settings.ownership,
            too_many: (too_many > 0).then_some(too_many),
            secrets: &secrets,
            tail: &tail,
        })
    }

    pub(super) fn verify_ended(
        &mut self,
        node: Node,
        ran: &[Ran],
        space: Option<(Box<Workspace>, Vec<Change>)>,
    ) -> Result<(), Fatal> {
        let seconds = self.clock_off(node);
        let task = self.task(node);
        let attempt = self.parts.lives[node].attempt;
        let limit = self.parts.lives[node].limit;
        let mut events = Vec::new();
        let mut result = Ok(());
        for one in ran {
            let outcome = one.outcome.as_ref().ok();
            events.push(Event::TaskVerify {
                task: task.clone(),
                attempt,
                command: one.script.clone(),
                exit: outcome.filter(|it| it.success() || it.signal.is_none()).and_then(|it| it.exit),
                seconds: outcome.map_or(seconds, |it| it.duration.as_secs_f64()),
                tail: one.tail(),
            });
            let command = one.script.lines().next().unwrap_or_default();
            let failure = match one.end(limit) {
                End::Exited(0) => continue,
                End::Exited(code) => Failure::new(Code::VerifyFailed, format!("`{command}`: exit {code}")),
                End::Signalled(signal) => Failure::new(Code::VerifyFailed, format!("`{command}`: signal {signal}")),
                End::TimedOut(limit) => Failure::new(Code::Timeout, format!("Verify `{command}` ran into {limit} s")),
                End::Stalled(limit) => Failure::new(Code::Stalled, format!("Verify `{command}`: silent for {limit} s")),
                End::OverQuota(code, reason) => Failure::new(code, format!("Verify `{command}` {reason}")),
                End::Cancelled => Failure::new(Code::Cancelled, "ended on request"),
                End::NotStarted(why) => Failure::new(Code::VerifyFailed, why),
            };
            result = Err(failure.with_evidence(one.tail()));
        }
        if ran.is_empty() {
            result = Err(Failure::new(Code::Cancelled, "ended on request"));
        }
        if let Some((mut space, changes)) = space {
            // Nothing that it wrote is left in anybody's way: it is said, and that is all.
            if !changes.is_empty() {
                let names: Vec<String> = changes.iter().take(5).map(|change| change.path.to_string()).collect();
                let more = if changes.len() > 5 { ", ..." } else { "" };
                let message =
                    format!("written by the Verify of {}, not committed: {}{more}", task.task, names.join(", "));
                events.push(Event::Notice { level: "info".to_owned(), code: "verify-wrote".to_owned(), message });
            }
            space.end(&task.key, []);
            self.parts.lives[node].own.get_or_insert_default().space = Some(space);
        } else if let Some(tree) = &mut self.parts.tree {
            let changes = tree.verified()?;
            let reason = format!("written by the Verify of {}", task.task);
            events.extend(refusals(&mut tree.ledger, &reason));
            if !changes.is_empty() {
                let entries = changes.iter().map(Change::to_wire).collect();
                events.push(Event::Unattributed { entries, reason });
            }
        }
        let verdict = if result.is_ok() { Verdict::Pass } else { Verdict::Fail };
        let detail = result.as_ref().err().map(|failure| failure.reason.clone()).unwrap_or_default();
        events.push(gate_event(&task, attempt, Gate { code: Code::VerifyFailed, verdict, detail }));
        self.emit_all(events)?;
        self.parts.lives[node].verified = result.is_ok();
        self.look_at_list()?;
        self.told.push_back(Told::Verified { node, result });
        Ok(())
    }
}

/// What is in the tree and was never taken from there: noted, so that the next run does not take it for a person's.
fn refusals(ledger: &mut Attribution, reason: &str) -> Option<Event> {
    let entries: Vec<TreeEntry> = ledger.refusals().iter().map(Refused::to_wire).collect();
    (!entries.is_empty()).then(|| Event::Unattributed { entries, reason: reason.to_owned() })
}

fn gate_event(task: &TaskRef, attempt: u32, gate: Gate) -> Event {
    Event::TaskGate {
        task: task.clone(),
        attempt,
        gate: gate.code.name().to_owned(),
        verdict: gate.verdict.name().to_owned(),
        detail: gate.detail,
    }
}

/// Whether a pattern names something that is there. Without git it is taken at its folder.
fn glob_matches(root: &Path, pattern: &str) -> bool {
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect();
    let declared = Declared::new(pattern, true);
    let mut folders = vec![root.join(&fixed)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let inside = path.strip_prefix(root).unwrap_or(&path);
            if declared.covers(&RepoPath::new(inside.as_os_str().as_encoded_bytes())) {
                return true;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != ".git" {
                folders.push(path);
            }
        }
    }
    false
}

/// What is in an isolated progress file, if it is there, without secrets.
pub(in crate::runtime) fn read_progress(path: &Path, mask: &Masker) -> Option<String> {
    let mut bytes = crate::store::fs::read_if_exists(path).ok().flatten()?;
    bytes.truncate(PROGRESS_MAX);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    mask.mask(&mut text);
    Some(text)
}
