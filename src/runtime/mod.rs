//! The driver's edge to the world: processes, signals, clock, steering.

pub mod clock;
pub mod control;
pub mod process;
pub mod shell;
pub mod signals;
pub mod tree;

#[cfg(test)]
mod testing;
