//! What counts as done: facts about a finished try go in, a verdict for every gate comes out, in the order of the
//! contract (section 3). The driver collects the facts; nothing here asks an executor for its opinion, it only lets it
//! take back a success.

use super::output::{Report, Status};
use super::{Code, Failure};

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal, which nobody here sent.
    Signalled(i32),
    /// It was ended at its time limit, in seconds.
    TimedOut(u64),
    /// It was ended after so many seconds without output or activity.
    Stalled(u64),
    /// It was ended because it used up its quota, or failed by it: which, and how much.
    OverQuota(Code, String),
    /// A person or the end of the run ended it.
    Cancelled,
    /// It could not be started: why.
    NotStarted(String),
}

/// What went wrong by an agent's own account, where its process was not ended by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Its last word, in its own words.
    Error(String),
    /// It exited with 0, and without the last word that it gives when it comes to its end.
    Interrupted,
    /// The model's service takes no more for now: in its words.
    Limited(String),
    /// It was not allowed to do what it wanted to: what, and what to configure.
    Denied(String),
}

/// How changes outside a task's declared files are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// Not looked at.
    Off,
    /// Said.
    #[default]
    Warn,
    /// A failure.
    Deny,
}

/// What happened to HEAD while the task ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Nothing, or commits of its own that it may keep.
    Fine,
    /// Something that cannot be told apart: what.
    Moved(String),
}

/// Facts about a try whose executor ended.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// How the process ended.
    pub end: End,
    /// What went wrong by its own account.
    pub word: Option<&'a Word>,
    /// Exit code by which an executor says "later" (75, `EX_TEMPFAIL` of sysexits); none for `shell`.
    pub later: Option<i32>,
    /// The completion line is asked for.
    pub signal: bool,
    /// It is a `[VERIFY]` task: `VERIFICATION_PASS` stands for the completion line.
    pub checks: bool,
    /// What it printed that means something.
    pub report: &'a Report,
    /// HEAD.
    pub head: Head,
    /// Paths that are its changes since its first try; `None` where that cannot be told.
    pub changes: Option<&'a [String]>,
    /// It must have changed something (an executor's task that is neither `[VERIFY]` nor `Files: None`).
    pub must_change: bool,
    /// Files it names that are not there.
    pub missing: &'a [String],
    /// Files it says are deleted that are still there.
    pub still_there: &'a [String],
    /// Paths it changed outside its declared files.
    pub outside: &'a [String],
    /// What that means.
    pub ownership: Ownership,
    /// New files, where they are too many.
    pub too_many: Option<usize>,
    /// Files among its changes that look like secrets.
    pub secrets: &'a [String],
    /// The tail of its output.
    pub tail: &'a str,
}

/// What one gate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The code it gives on failure.
    pub code: Code,
    /// Passed, failed, or not applied.
    pub verdict: Verdict,
    /// One line on what was seen; empty where there is nothing to say.
    pub detail: String,
}

/// See [`Gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Looked at, and fine.
    Pass,
    /// Looked at, and not fine.
    Fail,
    /// Not looked at; the detail says why.
    NotApplied,
}

impl Verdict {
    /// The name in events and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplied => "not_applied",
        }
    }
}

/// Looks at every gate that an ended executor has to pass, in order, up to the first that it does not.
pub fn judge(seen: &Seen<'_>) -> (Vec<Gate>, Result<(), Failure>) {
    let mut gates = Vec::new();
    for gate in [process, signal, taken_back, head, change, files, bounds, amount] {
        let gate = gate(seen);
        let failed = (gate.verdict == Verdict::Fail).then(|| Failure::new(gate.code, gate.detail.clone()));
        gates.push(gate);
        if let Some(failure) = failed {
            return (gates, Err(failure.with_evidence(seen.tail)));
        }
    }
    (gates, Ok(()))
}

fn pass(code: Code) -> Gate {
    Gate { code, verdict: Verdict::Pass, detail: String::new() }
}

fn fail(code: Code, detail: impl Into<String>) -> Gate {
    Gate { code, verdict: Verdict::Fail, detail: detail.into() }
}

fn not_applied(code: Code, detail: &str) -> Gate {
    Gate { code, verdict: Verdict::NotApplied, detail: detail.to_owned() }
}

fn process(seen: &Seen<'_>) -> Gate {
    match seen.word {
        Some(Word::Error(why)) => return fail(Code::Crash, why.clone()),
        Some(Word::Interrupted) => return fail(Code::Crash, "it ended without its final event: it was interrupted"),
        Some(Word::Limited(words)) => return fail(Code::RateLimited, words.clone()),
        Some(Word::Denied(what)) => return fail(Code::PermissionDenied, what.clone()),
        None => {}
    }
    match &seen.end {
        End::Exited(0) => pass(Code::Crash),
        End::Exited(code) if seen.later == Some(*code) => {
            fail(Code::RateLimited, format!("the executor asks to come back later (exit {code})"))
        }
        End::Exited(127) => fail(Code::Crash, "exit 127: a command was not found"),
        End::Exited(code) => fail(Code::Crash, format!("exit {code}")),
        End::Signalled(signal) => fail(Code::Crash, format!("ended by signal {signal}")),
        End::TimedOut(seconds) => fail(Code::Timeout, format!("took longer than {seconds} s")),
        End::Stalled(seconds) => fail(Code::Stalled, format!("neither output nor activity for {seconds} s")),
        End::OverQuota(code, reason) => fail(*code, reason.clone()),
        End::Cancelled => fail(Code::Cancelled, "ended on request"),
        End::NotStarted(why) => fail(Code::Spawn, why.clone()),
    }
}

fn signal(seen: &Seen<'_>) -> Gate {
    let report = seen.report;
    match (seen.signal, report.complete || seen.checks && report.verification == Some(true), report.status) {
        (false, ..) => not_applied(Code::NoSignal, "the exit code is enough for this executor"),
        (true, true, _) => pass(Code::NoSignal),
        (true, false, Some(Status::Fail | Status::Blocked)) => not_applied(Code::NoSignal, "it says that it failed"),
        (true, false, _) => fail(Code::NoSignal, "no line TASK_COMPLETE in its output"),
    }
}

fn taken_back(seen: &Seen<'_>) -> Gate {
    let report = seen.report;
    if seen.checks && report.verification == Some(false) {
        return fail(Code::ReportedFailure, with_why("VERIFICATION_FAIL", report));
    }
    if !seen.signal {
        return not_applied(Code::ReportedFailure, "the exit code is enough for this executor");
    }
    match (report.status, &report.takes_back) {
        (Some(Status::Fail), _) => fail(Code::ReportedFailure, with_why("its own result says fail", report)),
        (Some(Status::Blocked), _) => fail(Code::ReportedFailure, with_why("its own result says blocked", report)),
        (_, Some(phrase)) => fail(Code::Contradiction, format!("says done, and \"{phrase}\"")),
        _ => pass(Code::ReportedFailure),
    }
}

/// Longest reason that is taken from an executor's own words, in characters.
const WHY_MAX: usize = 400;

/// What it said, and why by its own account, in one line.
fn with_why(said: &str, report: &Report) -> String {
    let Some(why) = report.blocker.as_ref().or(report.notes.last()) else { return said.to_owned() };
    let line: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{said}: {}", line.chars().take(WHY_MAX).collect::<String>())
}

/// Whether a try that came to this may ask for other tasks: what it was to do is not done, and nothing else is wrong.
#[must_use]
pub fn may_ask(result: &Result<(), Failure>) -> bool {
    let about_its_work = |code| {
        use Code::{Contradiction, MissingFiles, NoChange, NoSignal, ReportedFailure};
        matches!(code, NoSignal | ReportedFailure | Contradiction | NoChange | MissingFiles)
    };
    result.as_ref().err().is_none_or(|failure| about_its_work(failure.code))
}

fn head(seen: &Seen<'_>) -> Gate {
    match &seen.head {
        Head::Fine => pass(Code::MovedHead),
        Head::Moved(what) => fail(Code::MovedHead, what.clone()),
    }
}

fn change(seen: &Seen<'_>) -> Gate {
    if !seen.must_change {
        return not_applied(Code::NoChange, "this task need not change anything");
    }
    match (seen.changes, &seen.report.no_change) {
        (_, Some(reason)) => Gate { detail: format!("no change, and says why: {reason}"), ..pass(Code::NoChange) },
        (None, None) => not_applied(Code::NoChange, "whether it changed anything cannot be told"),
        (Some([]), None) => fail(Code::NoChange, "nothing changed, and no line NO_CHANGE says why"),
        (Some(changes), None) => Gate { detail: format!("{} changed", changes.len()), ..pass(Code::NoChange) },
    }
}

fn files(seen: &Seen<'_>) -> Gate {
    match (seen.missing, seen.still_there) {
        ([], []) => pass(Code::MissingFiles),
        ([], there) => fail(Code::MissingFiles, format!("still there: {}", there.join(", "))),
        (missing, _) => fail(Code::MissingFiles, format!("not there: {}", missing.join(", "))),
    }
}

fn bounds(seen: &Seen<'_>) -> Gate {
    let detail = format!("changed outside its files: {}", seen.outside.join(", "));
    match (seen.ownership, seen.outside) {
        (Ownership::Off, _) => not_applied(Code::OutOfBounds, "ownership is off"),
        (_, []) => pass(Code::OutOfBounds),
        (Ownership::Warn, _) => Gate { detail, ..pass(Code::OutOfBounds) },
        (Ownership::Deny, _) => fail(Code::OutOfBounds, detail),
    }
}

fn amount(seen: &Seen<'_>) -> Gate {
    match (seen.too_many, seen.secrets) {
        (Some(files), _) => fail(Code::TooMuch, format!("{files} new files; is something missing in .gitignore?")),
        (None, []) => pass(Code::TooMuch),
        (None, secrets) => fail(Code::TooMuch, format!("looks like a secret: {}", secrets.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(report: &Report) -> Seen<'_> {
        Seen {
            word: None,
            end: End::Exited(0),
            later: Some(75),
            signal: true,
            checks: false,
            report,
            head: Head::Fine,
            changes: Some(&[]),
            must_change: false,
            missing: &[],
            still_there: &[],
            outside: &[],
            ownership: Ownership::Warn,
            too_many: None,
            secrets: &[],
            tail: "the tail",
        }
    }

    fn code(seen: &Seen<'_>) -> Option<Code> {
        judge(seen).1.err().map(|failure| {
            assert_eq!(failure.evidence, "the tail");
            failure.code
        })
    }

    fn report(text: &str) -> Report {
        Report::read(text)
    }

    #[test]
    fn a_process_that_did_not_end_well_is_its_code() {
        let done = report("TASK_COMPLETE\n");
        let with = |end| code(&Seen { end, ..seen(&done) });
        assert_eq!(with(End::Exited(0)), None);
        assert_eq!(with(End::Exited(1)), Some(Code::Crash));
        assert_eq!(with(End::Exited(127)), Some(Code::Crash));
        assert_eq!(with(End::Exited(75)), Some(Code::RateLimited));
        assert_eq!(with(End::Signalled(9)), Some(Code::Crash));
        assert_eq!(with(End::TimedOut(9)), Some(Code::Timeout));
        assert_eq!(with(End::Stalled(9)), Some(Code::Stalled));
        assert_eq!(with(End::Cancelled), Some(Code::Cancelled));
        assert_eq!(with(End::NotStarted("no such file".into())), Some(Code::Spawn));
        assert_eq!(code(&Seen { end: End::Exited(75), later: None, ..seen(&done) }), Some(Code::Crash));
    }

    #[test]
    fn exit_0_is_not_enough_where_the_signal_is_asked_for() {
        let silent = report("all done!\n");
        assert_eq!(code(&seen(&silent)), Some(Code::NoSignal));
        assert_eq!(code(&Seen { signal: false, ..seen(&silent) }), None);
    }

    #[test]
    fn a_success_can_be_taken_back() {
        let failed = report("TASK_COMPLETE\n```json\n{\"status\": \"fail\"}\n```\n");
        assert_eq!(code(&seen(&failed)), Some(Code::ReportedFailure));
        let blocked = report("TASK_COMPLETE\n```json\n{\"status\": \"blocked\"}\n```\n");
        assert_eq!(code(&seen(&blocked)), Some(Code::ReportedFailure));
        let doubtful = report("TASK_COMPLETE\n\nI could not complete the second part.\n");
        assert_eq!(code(&seen(&doubtful)), Some(Code::Contradiction));
        assert_eq!(code(&Seen { signal: false, ..seen(&doubtful) }), None);
    }

    #[test]
    fn why_it_failed_is_in_its_own_words() {
        let reason = |text: &str, checks: bool, signal: bool| {
            let report = report(text);
            let failure = judge(&Seen { signal, checks, ..seen(&report) }).1.err();
            failure.map(|failure| format!("{}: {}", failure.code, failure.reason))
        };
        let result = |json: &str| format!("```json\n{json}\n```\n");
        // Without the completion line too: what it says is more than that the line is not there.
        let blocked = result(r#"{"status": "blocked", "blocker": "no\n  key", "notes": "x"}"#);
        assert_eq!(reason(&blocked, false, true).unwrap(), "reported_failure: its own result says blocked: no key");
        let failed = result(r#"{"status": "fail", "notes": "two tests"}"#);
        assert_eq!(reason(&failed, false, true).unwrap(), "reported_failure: its own result says fail: two tests");
        assert_eq!(reason("VERIFICATION_FAIL", true, true).unwrap(), "reported_failure: VERIFICATION_FAIL");
        assert_eq!(
            reason("VERIFICATION_FAIL: lint", true, false).unwrap(),
            "reported_failure: VERIFICATION_FAIL: lint"
        );
        assert_eq!(reason("VERIFICATION_FAIL", false, false), None, "the exit code is enough for another task");
        assert_eq!(reason("VERIFICATION_PASS", true, true), None, "stands for the completion line");
        assert_eq!(reason("VERIFICATION_PASS", false, true).unwrap(), "no_signal: no line TASK_COMPLETE in its output");
    }

    #[test]
    fn only_a_try_with_nothing_else_wrong_may_ask() {
        assert!(may_ask(&Ok(())) && may_ask(&Err(Failure::new(Code::NoSignal, ""))));
        assert!(!may_ask(&Err(Failure::new(Code::Crash, ""))) && !may_ask(&Err(Failure::new(Code::MovedHead, ""))));
    }

    #[test]
    fn no_change_needs_a_reason() {
        let done = report("TASK_COMPLETE\n");
        let must = Seen { must_change: true, ..seen(&done) };
        assert_eq!(code(&must), Some(Code::NoChange));
        assert_eq!(code(&Seen { changes: Some(&["a".into()]), ..must.clone() }), None);
        let (gates, result) = judge(&Seen { changes: None, ..must.clone() });
        assert_eq!(result, Ok(()));
        let gate = gates.iter().find(|gate| gate.code == Code::NoChange).unwrap();
        assert_eq!((gate.verdict, gate.verdict.name()), (Verdict::NotApplied, "not_applied"), "and it is said");
        let why = report("NO_CHANGE: it was there already\nTASK_COMPLETE\n");
        assert_eq!(code(&Seen { report: &why, ..must }), None);
    }

    #[test]
    fn files_heads_bounds_and_amounts() {
        let done = report("TASK_COMPLETE\n");
        let a = ["a".to_owned()];
        assert_eq!(code(&Seen { missing: &a, ..seen(&done) }), Some(Code::MissingFiles));
        assert_eq!(code(&Seen { still_there: &a, ..seen(&done) }), Some(Code::MissingFiles));
        assert_eq!(code(&Seen { head: Head::Moved("reset".into()), ..seen(&done) }), Some(Code::MovedHead));
        assert_eq!(code(&Seen { outside: &a, ..seen(&done) }), None);
        assert_eq!(code(&Seen { outside: &a, ownership: Ownership::Off, ..seen(&done) }), None);
        assert_eq!(code(&Seen { outside: &a, ownership: Ownership::Deny, ..seen(&done) }), Some(Code::OutOfBounds));
        assert_eq!(code(&Seen { too_many: Some(9000), ..seen(&done) }), Some(Code::TooMuch));
        assert_eq!(code(&Seen { secrets: &a, ..seen(&done) }), Some(Code::TooMuch));
    }

    #[test]
    fn every_gate_is_named_once_and_in_order() {
        let done = report("TASK_COMPLETE\n");
        let (gates, _) = judge(&seen(&done));
        let names: Vec<_> = gates.iter().map(|gate| (gate.code.name(), gate.verdict.name())).collect();
        insta::assert_debug_snapshot!(names, @r#"
        [
            (
                "crash",
                "pass",
            ),
            (
                "no_signal",
                "pass",
            ),
            (
                "reported_failure",
                "pass",
            ),
            (
                "moved_head",
                "pass",
            ),
            (
                "no_change",
                "not_applied",
            ),
            (
                "missing_files",
                "pass",
            ),
            (
                "out_of_bounds",
                "pass",
            ),
            (
                "too_much",
                "pass",
            ),
        ]
        "#);
    }
}
