//! The scheduler: what starts, what is retried, what is blocked, what lands, and when a run is over. Pure: no file, no
//! process, no clock; the same events give the same effects.

mod code;

pub use code::{Code, Failure};
