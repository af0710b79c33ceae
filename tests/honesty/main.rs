//! The promises of a run, held from outside: the real program, real git, and executors that are little shell scripts
//! which do, for good or ill, what the task's own text says. Which test holds which danger of this field is listed in
//! `docs/field-coverage.md`.

#[path = "../cli/env.rs"]
mod env;
mod world;

mod acceptance;
mod agents;
mod corpus;
mod cost;
mod coverage;
mod epics;
mod gates;
mod gc;
mod growth;
mod heads;
mod hooks;
mod input;
mod inside;
mod mcp;
mod options;
mod prepare;
mod processes;
mod prompts;
mod protocol;
mod quotas;
mod repositories;
mod rescue;
mod room;
mod said;
mod sandbox;
mod secrets;
mod trees;
mod undo;
