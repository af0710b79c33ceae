//! The exit codes of the contract, by name. Where several hold: interrupted, conflict, stopped, failed.

/// Done; also when nothing was left to do.
pub const DONE: u8 = 0;
/// Tasks failed, were blocked or skipped; or `spec check` found errors.
pub const FAILED: u8 = 1;
/// Bad usage, input or configuration; a list without one checkbox.
pub const USAGE: u8 = 2;
/// Another run holds this spec.
pub const BUSY: u8 = 3;
/// A conflict needs a person.
pub const CONFLICT: u8 = 4;
/// Stopped by a budget, a limit or `--run-timeout`.
pub const STOPPED: u8 = 5;
/// Interrupted by Ctrl-C (SIGINT).
pub const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: u8 = 143;
