//! `spec` runs a hand-written markdown task list with coding agents and leaves a clean git history behind.
//!
//! The map, left to right, the way the data goes:
//!
//! * [`document`]: bytes of a task list -> items with byte spans, fields and diagnostics; smallest edits. Pure.
//! * [`plan`]: document -> steps, groups, edges and their reasons, bounds. Pure.
//! * [`engine`]: the scheduler, `step(&mut RunState, Event) -> Vec<Effect>`; retry policy; verdicts. Pure.
//! * [`prompt`]: templates, pages and facts -> the words of a try, within a budget. Pure.
//! * [`mask`]: takes secrets out of text. Pure.
//! * [`text`]: cuts text at a size. Pure.
//! * [`runtime`]: the driver, a `tokio` loop that carries out effects and feeds events back; processes, control.
//! * [`git`]: the git command line behind typed functions: snapshots of a tree, attribution, commits.
//! * [`store`]: everything on disk beside the list: paths, atomic writes, lock, journal, state file, progress.
//! * [`report`]: what people and programs see: live terminal, plain lines, JSON events, signals, summary.
//! * [`hook`]: what agents ask at certain moments of a session, answered in their own form.
//! * [`cli`]: arguments as typed -> settings as meant; one file a command; exit codes.
//!
//! The pure modules know no file, no process, no clock. See `ARCHITECTURE.md` for the invariants.
#![forbid(unsafe_code)]

pub mod agent;
pub mod cli;
pub mod document;
pub mod engine;
pub mod git;
pub mod hook;
pub mod mask;
pub mod plan;
pub mod plugin;
pub mod prompt;
pub mod report;
pub mod runtime;
pub mod store;
pub mod text;
