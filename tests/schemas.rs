//! The JSON Schemas in `schemas/` are made from the types and checked here. `UPDATE_SCHEMAS=1 cargo test --test schemas`
//! writes them anew.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};
use spec::cli::commands::check::Check;
use spec::cli::commands::learnings::LearningsJson;
use spec::cli::commands::plan::PlanJson;
use spec::cli::commands::prompt::PromptJson;
use spec::cli::commands::status::Status;
use spec::cli::commands::tasks::TaskList;
use spec::runtime::epic::EpicEvent;
use spec::runtime::session::Answer;
use spec::store::event::Envelope;
use spec::store::fs::{Durability, write_atomic};
use spec::store::state::State;

fn check<T: JsonSchema>(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    let made = serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        write_atomic(&path, made.as_bytes(), Durability::Fast).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "schemas/{name} is not that of the types: UPDATE_SCHEMAS=1 cargo test --test schemas");
}

#[test]
fn schemas_are_those_of_the_types() {
    check::<State>("state.json");
    check::<Envelope>("event.json");
    check::<PlanJson>("plan.json");
    check::<TaskList>("tasks.json");
    check::<Check>("check.json");
    check::<Status>("status.json");
    check::<PromptJson>("prompt.json");
    check::<LearningsJson>("learnings.json");
    check::<Answer>("step.json");
    check::<EpicEvent>("epic.json");
}

fn validator<T: JsonSchema>() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::to_value(schema_for!(T)).unwrap()).unwrap()
}

#[test]
fn the_state_of_the_contract_is_valid_and_nonsense_is_not() {
    let schema = validator::<State>();
    let state = json!({
        "version": 1, "source": "spec", "name": "rate-limit", "basePath": "./specs/rate-limit", "tasksFile": "tasks.md",
        "phase": "execution",
        "taskIndex": 1, "totalTasks": 4, "taskIteration": 1, "maxTaskIterations": 5,
        "globalIteration": 3, "maxGlobalIterations": 100,
        "parallelGroup": { "startIndex": 1, "endIndex": 2, "taskIndices": [1, 2], "isParallel": true },
        "taskResults": { "1": { "status": "pending" }, "2": { "status": "failed", "error": "verify_failed: ..." } },
        "fixTaskMap": {}, "run": { "id": "...", "pid": 123, "sessionId": null, "startedAt": "..." },
        "someoneElses": [1]
    });
    assert!(schema.is_valid(&state), "{:?}", schema.iter_errors(&state).map(|e| e.to_string()).collect::<Vec<_>>());
    let mut wrong = state.clone();
    wrong["taskResults"]["1"]["status"] = "done".into();
    assert!(!schema.is_valid(&wrong));
    // What is read comes out again as it was.
    let read: State = serde_json::from_value(state.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), state);
}

#[test]
fn a_line_of_a_journal_is_a_valid_event() {
    let schema = validator::<Envelope>();
    let line = json!({
        "schema": "spec.event/1", "seq": 3, "time": "2026-01-01T00:00:00.000Z", "run": "r", "type": "task_passed",
        "task": "1.2", "index": 1, "key": "1.2~0badcafe~0", "attempt": 1, "crc": "00000000"
    });
    assert!(schema.is_valid(&line), "{:?}", schema.iter_errors(&line).map(|e| e.to_string()).collect::<Vec<_>>());
    let mut wrong = line;
    wrong["attempt"] = Value::Null;
    assert!(!schema.is_valid(&wrong));
}
