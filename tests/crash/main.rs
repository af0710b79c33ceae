//! What `spec` promises to survive: `kill -9` at any moment, a power cut, damaged files, a full disk, Ctrl-C, and a person
//! who works in the same tree. Real runs of the real program in scratch repositories; [`world`] has the tools.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]
#![expect(clippy::disallowed_methods, reason = "a test sets its files up, and kills what it starts, as it likes")]

mod damage;
mod disk;
mod growth;
mod kills;
mod person;
mod stop;
mod store;
mod trees;
mod world;
