//! The driver and its edge to the world: processes, signals, clock, steering. [`prepare`] makes a run ready, the driver
//! carries it out.

pub mod acp;
pub mod admission;
mod ahead;
mod attempt;
mod batch;
mod board;
pub mod brief;
pub mod clock;
pub mod control;
mod driver;
pub mod epic;
mod growth;
mod landing;
mod outside;
pub mod prepare;
pub mod process;
pub mod quota;
pub mod sandbox;
pub mod session;
mod shared;
pub mod shell;
pub mod signals;
mod slots;
mod spending;
pub mod tree;

#[cfg(test)]
mod testing;
