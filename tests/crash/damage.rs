//! What a run keeps is damaged or gone when the next one starts: that one goes on all the same, and keeps the bad copy.

use std::fs;
use std::path::PathBuf;

use crate::world::{Kind, LIST, PROGRESS, TASKS, World};

/// 1.2 waits at its first try until it is ended.
const WORK: &str = r#"
echo "start $SPEC_TASK_ID" >> "$BESIDE/log"
echo "- learned by $SPEC_TASK_ID" >> "$SPEC_PROGRESS_FILE"
if test "$SPEC_TASK_ID" = 1.2 && mkdir "$BESIDE/waited"; then
    echo waiting >> "$BESIDE/log"
    read line < "$BESIDE/gate"
fi
echo "$SPEC_TASK_ID" > "$SPEC_TASK_ID.txt"
"#;

/// The last task needs what the one before it made.
fn list() -> String {
    format!("{TASKS}  - **Verify**: `test -f 1.2.txt`\n")
}

/// A run was killed when 1.1 had landed and 1.2 was under way; this is what is damaged then. The next run ends what is
/// left of the one before, and does the rest.
fn after(damage: impl FnOnce(&World)) -> World {
    let world = World::new(Kind::Tracked, list().as_bytes(), &[]);
    let _gate = world.gate("gate");
    let mut run = world.start(&["--exec", WORK]);
    run.notes("waiting");
    // The state file may come a moment after what it tells.
    world.wait_until("the state file says where the run is", || {
        serde_json::from_str(&world.read(STATE)).is_ok_and(|state: serde_json::Value| state["taskIndex"] == 1)
    });
    run.kill();
    assert!(!world.processes().is_empty(), "the executor outlives its runner");
    damage(&world);
    world.run(&["--exec", WORK]).all_done();
    assert_eq!(world.processes(), []);
    assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
    let begun = |id: &str| world.log().iter().filter(|line| **line == format!("start {id}")).count();
    assert_eq!([begun("1.1"), begun("1.2"), begun("1.3")], [1, 2, 1]);
    let progress = world.read(PROGRESS);
    for id in ["1.1", "1.2", "1.3"] {
        assert_eq!(progress.matches(&format!("learned by {id}\n")).count(), 1, "{id} in\n{progress}");
    }
    assert_eq!(world.read(LIST), list().replace("[ ]", "[x]"));
    let state: serde_json::Value = serde_json::from_str(&world.read(STATE)).unwrap();
    assert_eq!(state["phase"], "completed");
    world
}

const STATE: &str = "specs/crash/.spec-state.json";

/// The newest journal.
fn journal(world: &World) -> PathBuf {
    world.journal(world.runs().last().unwrap())
}

/// Files in the folder whose names begin so and that have this content.
fn kept(world: &World, folder: PathBuf, begin: &str, content: &[u8]) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let found = entries.filter(|entry| {
        entry.file_name().to_str().unwrap().starts_with(begin) && fs::read(entry.path()).unwrap() == content
    });
    let count = found.count();
    assert!(count <= 1, "{}", world.said());
    count
}

#[test]
fn a_state_file_that_is_gone() {
    after(|world| fs::remove_file(world.path(STATE)).unwrap());
}

#[test]
fn a_state_file_that_is_damaged_is_kept() {
    for bad in [&b""[..], b"{\"version\": 1, \"tas", b"not JSON \xff\n"] {
        let world = after(|world| fs::write(world.path(STATE), bad).unwrap());
        assert_eq!(kept(&world, world.path("specs/crash"), ".spec-state.json.", bad), 1, "{}", world.said());
    }
}

#[test]
fn a_journal_that_is_torn_in_the_middle_of_a_line() {
    after(|world| {
        let bytes = fs::read(journal(world)).unwrap();
        fs::write(journal(world), &bytes[..bytes.len() - 7]).unwrap();
    });
}

#[test]
fn garbage_in_a_journal_is_kept() {
    const BAD: &[u8] = b"\0garbage\xff\n";
    let world = after(|world| {
        let bytes = fs::read(journal(world)).unwrap();
        let middle = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        fs::write(journal(world), [&bytes[..middle], BAD, &bytes[middle..]].concat()).unwrap();
    });
    let first = world.runs()[0].clone();
    assert_eq!(kept(&world, world.path("specs/crash/.spec/runs").join(first), "journal.jsonl.", BAD), 1);
}

#[test]
fn a_journal_that_is_empty_or_gone() {
    after(|world| fs::write(journal(world), b"").unwrap());
    after(|world| fs::remove_file(journal(world)).unwrap());
}

#[test]
fn a_lock_that_is_gone_or_of_nobody() {
    after(|world| fs::remove_file(world.path("specs/crash/.spec/lock")).unwrap());
    after(|world| {
        let lock = world.path("specs/crash/.spec/lock");
        let mut owner: serde_json::Value = serde_json::from_slice(&fs::read(&lock).unwrap()).unwrap();
        owner["host"] = "elsewhere".into();
        owner["boot"] = "another".into();
        owner["heartbeat"] = "2026-01-01T00:00:00.000Z".into();
        fs::write(lock, owner.to_string()).unwrap();
    });
}

#[test]
fn everything_a_run_keeps_is_gone() {
    after(|world| fs::remove_dir_all(world.path("specs/crash/.spec")).unwrap());
}
