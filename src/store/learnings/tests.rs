//! The index: what is found, that it follows the files, and that nothing of it can be lost or stand in the way.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::store::event::{Event, TaskRef, TreeEntry};
use crate::store::fs::{Durability, write_atomic};
use crate::store::journal::Journal;
use crate::store::testing::run_start;

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_atomic(&path, text.as_bytes(), Durability::Fast).unwrap();
    }

    fn library(&self) -> Library {
        let root = self.path("");
        Library { index: self.path(".git/spec/learnings.db"), folders: spec_folders(&root, None), root }
    }

    fn found(&self, words: &str) -> Vec<String> {
        let answer = self.library().search(&Query::new(words, &[]), 20).unwrap();
        assert_eq!(answer.rebuilt, None);
        answer.learnings.into_iter().map(|learning| format!("{} [{}]", learning.text, learning.from)).collect()
    }
}

const PROGRESS: &str = "---\nspec: x\n---\n# Progress\n\nintro of sqlite\n\n## Completed Tasks\n\n- [x] 1.1 sqlite\n\n## Learnings\n\n- sqlite locks\n  on write\n- the parser keeps bytes\n\n### Traps\n\n- never sleep\n\n## Next\n\nsqlite\n";

#[test]
fn progress_files_of_all_specs_are_found_with_their_lines() {
    let world = World::new();
    assert_eq!(world.found("sqlite"), [""; 0]);
    assert!(!world.path(".git").exists(), "nothing is made where there is nothing to learn from");
    world.write("specs/x/.progress.md", PROGRESS);
    world.write(".kiro/specs/y/progress.md", "## Lessons learned\n\n1. locking needs a timeout\n");
    assert_eq!(world.found("sqlite"), ["sqlite locks on write [specs/x/.progress.md:14]"]);
    assert_eq!(world.found("lock").len(), 2, "words are stemmed");
    assert_eq!(world.found("sleeping"), ["never sleep [specs/x/.progress.md:20]"]);
    assert_eq!(world.found("").len(), 4, "everything");
    assert_eq!(world.found("\" OR * NEAR("), [""; 0], "words only, whatever is typed");
}

#[test]
fn the_index_follows_the_files() {
    let world = World::new();
    world.write("specs/x/.progress.md", PROGRESS);
    world.write("specs/y/.progress.md", PROGRESS);
    assert_eq!(world.library().search(&Query::new("sqlite", &[]), 20).unwrap().total, 6);
    assert_eq!(world.found("sqlite").len(), 1, "the same text once");
    world.write("specs/x/.progress.md", "## Learnings\n- only this\n");
    fs::remove_dir_all(world.path("specs/y")).unwrap();
    assert_eq!(world.found(""), ["only this [specs/x/.progress.md:2]"]);
    fs::remove_file(world.path(".git/spec/learnings.db")).unwrap();
    assert_eq!(world.found("").len(), 1, "it may be deleted at any time");
}

#[test]
fn a_damaged_index_is_made_anew_and_that_is_said() {
    let world = World::new();
    world.write("specs/x/.progress.md", PROGRESS);
    assert_eq!(world.found("sqlite").len(), 1);
    let index = world.path(".git/spec/learnings.db");
    let whole = fs::read(&index).unwrap();
    let torn = |bytes: &[u8]| {
        write_atomic(&index, bytes, Durability::Fast).unwrap();
        let answer = world.library().search(&Query::new("sqlite", &[]), 20).unwrap();
        assert_eq!(answer.learnings.len(), 1);
        answer.rebuilt
    };
    assert!(torn(b"this is no database at all, and long enough to be looked at".repeat(40).as_slice()).is_some());
    let mut bad = whole.clone();
    bad[4096..].fill(0xa5);
    let said = torn(&bad).unwrap();
    assert!(said.contains("learnings.db") && said.contains("made anew"), "{said}");
    assert!(torn(&whole[..whole.len() / 2]).is_some());
    // One of another version is made anew without a word.
    let db = rusqlite::Connection::open(&index).unwrap();
    db.execute_batch("DROP TABLE source; CREATE TABLE source (other); PRAGMA user_version = 99").unwrap();
    drop(db);
    assert_eq!(world.found("sqlite").len(), 1);
}

#[test]
fn several_runs_use_it_at_once() {
    let world = World::new();
    for n in 0..20 {
        world.write(&format!("specs/s{n}/.progress.md"), &format!("## Learnings\n- lock number{n}\n"));
    }
    std::thread::scope(|scope| {
        for n in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..5 {
                    world.write(
                        &format!("specs/s{n}/.progress.md"),
                        &format!("## Learnings\n- lock {n} round{round}\n"),
                    );
                    world.library().search(&Query::new("lock", &[]), 100).unwrap();
                }
            });
        }
    });
    let all = world.library().search(&Query::new("", &[]), 100).unwrap();
    assert_eq!((all.total, all.rebuilt), (20, None), "each once");
    assert_eq!(world.found("round4").len(), 8);
}

fn task(label: &str) -> TaskRef {
    TaskRef { task: label.to_owned(), index: 1, key: format!("{label}~0~0") }
}

fn taken(attempt: u32, files: &[(&str, &str)]) -> Event {
    let entry = |(path, oid): &(&str, &str)| TreeEntry {
        path: (*path).to_owned(),
        oid: Some((*oid).to_owned()),
        ..TreeEntry::default()
    };
    Event::TaskTaken { task: task("1.2"), attempt, entries: files.iter().map(entry).collect(), commits: Vec::new() }
}

fn start(attempt: u32) -> Event {
    let (title, executor, log) = ("CSV writer".to_owned(), "exec".to_owned(), String::new());
    Event::TaskStart { task: task("1.2"), attempt, title, executor, log }
}

fn retry(attempt: u32, code: &str, evidence: &str) -> Event {
    Event::TaskRetry {
        task: task("1.2"),
        attempt,
        code: code.to_owned(),
        reason: "`cargo test csv`: exit 101".to_owned(),
        evidence: evidence.to_owned(),
        delay_seconds: 0.0,
        counted: true,
    }
}

#[test]
fn failures_and_what_cured_them_are_learnt_as_the_journal_grows() {
    let world = World::new();
    let run = "01990000-0000-7000-8000-000000000002";
    let path = world.path(&format!("specs/x/.spec/runs/{run}/journal.jsonl"));
    let mut journal = Journal::create(&path, run).unwrap();
    let mut append = |event: Event| journal.append(&event, "2026-01-01T00:00:00.000Z").unwrap();
    append(run_start("specs/x/tasks.md", None));
    append(start(1));
    append(taken(1, &[("src/csv.rs", "a"), ("src/lib.rs", "b")]));
    append(retry(1, "verify_failed", "running 2 tests\nerror: quote is not escaped\nnote: more\n"));
    assert_eq!(world.found(""), [""; 0], "no cure yet");
    append(start(2));
    let text = "## Learnings\n- quotes are doubled\n".to_owned();
    append(Event::TaskProgress { task: task("1.2"), attempt: 2, text });
    append(taken(2, &[("src/csv.rs", "c"), ("src/lib.rs", "b"), ("src/quote.rs", "d")]));
    append(Event::TaskPassed { task: task("1.2"), attempt: 2 });
    let cure = "\"CSV writer\": try 1 failed (verify_failed): `cargo test csv`: exit 101. `error: quote is not escaped`. \
                Try 2 passed; it had changed src/csv.rs, src/quote.rs [specs/x, task 1.2, run 01990000-0000]";
    assert_eq!(
        world.found(""),
        [cure.to_owned(), "quotes are doubled [specs/x, task 1.2, run 01990000-0000]".to_owned()]
    );
    // Being told to come back later teaches nothing; failing for good does.
    append(start(1));
    append(retry(1, "rate_limited", "later"));
    append(Event::TaskPassed { task: task("1.2"), attempt: 2 });
    assert_eq!(world.found("").len(), 2);
    append(start(3));
    append(Event::TaskFailed {
        task: task("1.2"),
        attempt: 3,
        title: "CSV writer".to_owned(),
        code: "crash".to_owned(),
        reason: "exit 3".to_owned(),
        evidence: "out of memory".to_owned(),
        salvage: None,
    });
    assert_eq!(
        world.found("memory"),
        [
            "\"CSV writer\": try 3 failed (crash): exit 3. `out of memory`. It was the last try [specs/x, task 1.2, run 01990000-0000]"
        ]
    );
    // Read from the beginning it is the same.
    let all = world.found("");
    fs::remove_file(world.path(".git/spec/learnings.db")).unwrap();
    assert_eq!(world.found(""), all);
}

#[test]
fn a_task_gets_what_is_about_its_files_or_shares_words() {
    let world = World::new();
    world.write(
        "specs/x/.progress.md",
        "## Learnings\n- the migration needs a lock\n- a parser of tasks\n- src/csv.rs quotes by hand\n- locking a migration twice hangs\n",
    );
    let asked = |text: &str, files: &[&str]| -> Vec<String> {
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        let answer = world.library().for_task(&Query::of_task(text, &files), 8).unwrap();
        answer.learnings.into_iter().map(|learning| learning.text).collect()
    };
    let mut both = asked("- [ ] 1.2 Take the lock before a migration\n", &[]);
    both.sort();
    assert_eq!(both, ["locking a migration twice hangs", "the migration needs a lock"]);
    assert_eq!(
        asked("- [ ] 1.3 Refactor the parser boldly\n", &["src/csv.rs"]),
        ["src/csv.rs quotes by hand"],
        "one word is none"
    );
    let checks = "- [ ] 1.3 Refactor all\n  - **Verify**: `migration lock`\n  - _Requirements: parser tasks_\n";
    assert_eq!(asked(checks, &[]), [""; 0], "what is checked is not what it is about");
    assert_eq!(asked("- [ ] 1.4 Update docs, add tests\n", &[]), [""; 0]);
}
