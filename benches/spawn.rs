//! What one process costs: started and waited for by the standard library alone, and as a try of a task.

use std::path::Path;
use std::process::{Command, Stdio};

use spec::runtime::process::{CommandLine, SpawnSpec, spawn};
use spec::runtime::shell::Shell;
use spec::runtime::tree;

fn main() {
    divan::main();
}

/// A folder for logs, and a runtime as the program has it.
fn place() -> (tempfile::TempDir, tokio::runtime::Runtime) {
    tree::become_subreaper().expect("become the subreaper");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("build a runtime");
    (tempfile::tempdir().expect("make a folder"), runtime)
}

fn one(runtime: &tokio::runtime::Runtime, spec: SpawnSpec) {
    let outcome = runtime.block_on(async { spawn(spec).await.expect("start it").wait().await });
    assert!(outcome.exit == Some(0), "{outcome:?}");
}

fn program(dir: &Path, program: &str) -> SpawnSpec {
    let mut spec = SpawnSpec::new(CommandLine::new(program, [""; 0]), dir, dir.join("log"), "bench");
    spec.merge_streams = true;
    spec
}

#[divan::bench]
fn bare(bencher: divan::Bencher<'_, '_>) {
    bencher.bench_local(|| Command::new("true").stdin(Stdio::null()).status());
}

#[divan::bench]
fn merged_streams(bencher: divan::Bencher<'_, '_>) {
    let (dir, runtime) = place();
    bencher.bench_local(|| one(&runtime, program(dir.path(), "true")));
}

#[divan::bench]
fn two_streams_and_a_prompt(bencher: divan::Bencher<'_, '_>) {
    let (dir, runtime) = place();
    bencher.bench_local(|| {
        let mut spec = program(dir.path(), "true");
        spec.merge_streams = false;
        spec.stdin = Some(b"prompt".to_vec());
        one(&runtime, spec);
    });
}

#[divan::bench]
fn a_script_in_bash(bencher: divan::Bencher<'_, '_>) {
    let (dir, runtime) = place();
    let shell = Shell::find().expect("find a shell");
    bencher
        .bench_local(|| one(&runtime, shell.script("true | true").spec(dir.path(), dir.path().join("log"), "bench")));
}
