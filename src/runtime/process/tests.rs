//! Real processes. They wait for each other through files, never by the clock.

use std::fs;

use super::*;

fn sh(dir: &tempfile::TempDir, script: &str) -> SpawnSpec {
    let log = dir.path().join("logs/try.log");
    SpawnSpec::new(CommandLine::new("sh", ["-c", script]), dir.path(), log, "test-run")
}

async fn run(spec: SpawnSpec) -> Outcome {
    tree::become_subreaper().unwrap();
    spawn(spec).unwrap().wait().await
}

#[tokio::test]
async fn exit_codes_and_both_streams_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(sh(&dir, "echo out; echo err >&2; exit 3")).await;
    assert_eq!((outcome.exit, outcome.signal, outcome.ended), (Some(3), None, Ended::Exited));
    assert_eq!((outcome.stdout_tail.as_slice(), outcome.stderr_tail.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(outcome.output_bytes, 8);
    let log = fs::read_to_string(dir.path().join("logs/try.log")).unwrap();
    assert!(log.contains("out\n") && log.contains("err\n") && log.len() == 8);
}
