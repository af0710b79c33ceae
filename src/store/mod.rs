//! Everything on disk beside the list: paths, atomic writes, the lock, the journal, the state file, progress files,
//! recovery. The driver and the status commands talk to it; nothing else touches these files.

pub mod epic;
pub mod event;
pub mod fs;
pub mod history;
pub mod journal;
pub mod learnings;
pub mod lease;
pub mod lock;
pub mod pages;
pub mod paths;
pub mod progress;
pub mod recovery;
pub mod spending;
pub mod state;
pub mod time;

#[cfg(test)]
mod testing;
