//! Every list of the corpus through the commands that look at lists: whatever people wrote, the answer is one of the
//! exit codes of the contract, and JSON that its schema describes.

#![expect(clippy::print_stdout, reason = "what was skipped and counted is said")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::env::TestEnv;

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        ["../shared", "../../shared"].iter().map(|up| root.join(up).join("corpus/files")).find(|it| it.is_dir());
    if found.is_none() {
        println!("skipped: there is no corpus here");
    }
    found.and_then(|found| found.canonicalize().ok())
}

fn lists(corpus: &Path) -> Vec<PathBuf> {
    let mut lists: Vec<PathBuf> = Vec::new();
    for dialect in std::fs::read_dir(corpus).expect("a folder").flatten() {
        lists.extend(std::fs::read_dir(dialect.path()).expect("a folder").flatten().map(|file| file.path()));
    }
    lists.sort();
    assert!(lists.len() > 1000);
    lists
}

fn schema(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    let schema: Value = serde_json::from_slice(&std::fs::read(path).expect("a schema")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

/// Runs a command for every list, two at a time, and gives how often it ended with 0, 1 and 2.
fn each(command: &str, schema_name: &str) -> Option<[usize; 3]> {
    let lists = lists(&corpus()?);
    let (env, schema) = (TestEnv::new(), schema(schema_name));
    let wrong = Mutex::new(Vec::new());
    let counts = Mutex::new([0; 3]);
    std::thread::scope(|scope| {
        for half in lists.chunks(lists.len().div_ceil(2)) {
            let (env, schema, wrong, counts) = (&env, &schema, &wrong, &counts);
            scope.spawn(move || {
                for list in half {
                    let list = list.to_string_lossy();
                    let output = env.spec([command, &list, "--format", "json"]);
                    let say = |what: &str| wrong.lock().expect("no panic").push(format!("{list}: {what}"));
                    match usize::try_from(output.code) {
                        Ok(code @ 0..=2) => counts.lock().expect("no panic")[code] += 1,
                        _ => say(&format!("exit {}: {}", output.code, output.stderr)),
                    }
                    if output.stderr.contains("panicked") {
                        say(&output.stderr);
                    }
                    if output.code == 2 {
                        // Refused, and said why.
                        if !output.stderr.starts_with("error: ") {
                            say("refused without an error");
                        }
                        continue;
                    }
                    match serde_json::from_str::<Value>(&output.stdout) {
                        Ok(value) => schema.iter_errors(&value).take(1).for_each(|error| say(&error.to_string())),
                        Err(error) => say(&error.to_string()),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{} lists:\n{}", wrong.len(), wrong.join("\n"));
    let counts = counts.into_inner().expect("no panic");
    println!("spec {command}: {counts:?} ended with 0, 1, 2");
    Some(counts)
}

#[test]
fn every_list_can_be_planned_or_is_refused_with_a_reason() {
    if let Some([planned, failed, _]) = each("plan", "plan.json") {
        assert_eq!(failed, 0);
        assert!(planned > 500);
    }
}

#[test]
fn every_list_can_be_checked() {
    if let Some([clean, _, refused]) = each("check", "check.json") {
        assert!(clean > 500 && refused < 50);
    }
}
