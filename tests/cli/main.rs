//! The program as people and programs meet it: each test is a session in a folder of its own. One binary, one file a
//! command; [`env::TestEnv`] is what they share.

mod env;

mod agents;
mod demo;
mod docs;
mod frame;
mod init;
mod lists;
mod looking;
mod plan;
mod plugin;
mod prompt;
mod settings;
mod target;
mod writing;
