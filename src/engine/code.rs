//! Why a task is not done: the failure codes of the contract, one place for their names.

use std::fmt;

/// The gate that a try did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The process ended with an exit code other than 0, or by a signal nobody here sent.
    Crash,
    /// The process could not be started.
    Spawn,
    /// It took longer than it may.
    Timeout,
    /// Neither output nor activity for as long as the idle limit allows.
    Stalled,
    /// It took longer than its quota allows.
    QuotaWall,
    /// It used more processor time than its quota allows.
    QuotaCpu,
    /// It used more memory than its quota allows.
    QuotaMemory,
    /// It had more processes at once than its quota allows.
    QuotaProcesses,
    /// It ran out of the open files that its quota allows.
    QuotaFiles,
    /// It printed more than its quota allows.
    QuotaOutput,
    /// It used more money or tokens than its budget allows.
    QuotaCost,
    /// The executor was told to come back later; uses up no attempt.
    RateLimited,
    /// The agent was not allowed to use a tool, and nobody is there to ask; another try would meet the same.
    PermissionDenied,
    /// A person or a signal ended it.
    Cancelled,
    /// The completion line is missing where it is asked for.
    NoSignal,
    /// The executor itself says failed or blocked.
    ReportedFailure,
    /// The completion line is there, and words that take it back.
    Contradiction,
    /// Nothing changed, and nothing says why not.
    NoChange,
    /// A file that `Files` names is not there (or is still there where it says deleted).
    MissingFiles,
    /// Something outside its files changed.
    OutOfBounds,
    /// Thousands of new files, or a secrets file.
    TooMuch,
    /// A Verify command did not exit 0.
    VerifyFailed,
    /// The commit was refused (a hook, an identity, signing).
    CommitFailed,
    /// It does not land on the tip without conflict.
    Conflict,
    /// The merged tree does not pass.
    VerifyMerged,
    /// HEAD or the stash moved in a way that cannot be told apart.
    MovedHead,
}

impl Code {
    /// Every code, in the order of the gates.
    pub const ALL: [Self; 26] = [
        Self::Crash,
        Self::Spawn,
        Self::Timeout,
        Self::Stalled,
        Self::RateLimited,
        Self::QuotaWall,
        Self::QuotaCpu,
        Self::QuotaMemory,
        Self::QuotaProcesses,
        Self::QuotaFiles,
        Self::QuotaOutput,
        Self::QuotaCost,
        Self::PermissionDenied,
        Self::Cancelled,
        Self::NoSignal,
        Self::ReportedFailure,
        Self::Contradiction,
        Self::MovedHead,
        Self::NoChange,
        Self::MissingFiles,
        Self::OutOfBounds,
        Self::TooMuch,
        Self::VerifyFailed,
        Self::CommitFailed,
        Self::Conflict,
        Self::VerifyMerged,
    ];

    /// The name in signals, events, state and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Spawn => "spawn",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::RateLimited => "rate_limited",
            Self::QuotaWall => "quota_wall",
            Self::QuotaCpu => "quota_cpu",
            Self::QuotaMemory => "quota_memory",
            Self::QuotaProcesses => "quota_processes",
            Self::QuotaFiles => "quota_files",
            Self::QuotaOutput => "quota_output",
            Self::QuotaCost => "quota_cost",
            Self::PermissionDenied => "permission_denied",
            Self::Cancelled => "cancelled",
            Self::NoSignal => "no_signal",
            Self::ReportedFailure => "reported_failure",
            Self::Contradiction => "contradiction",
            Self::NoChange => "no_change",
            Self::MissingFiles => "missing_files",
            Self::OutOfBounds => "out_of_bounds",
            Self::TooMuch => "too_much",
            Self::VerifyFailed => "verify_failed",
            Self::CommitFailed => "commit_failed",
            Self::Conflict => "conflict",
            Self::VerifyMerged => "verify_merged",
            Self::MovedHead => "moved_head",
        }
    }

    /// The code of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A try that did not pass, with what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which gate.
    pub code: Code,
    /// One line for people.
    pub reason: String,
    /// The tail of what was seen (output of the executor or of the Verify command); may be empty.
    pub evidence: String,
}

impl Failure {
    /// A failure with nothing to quote.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), evidence: String::new() }
    }

    /// The same with the tail of what was seen.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }
}
