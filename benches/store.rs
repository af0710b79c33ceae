//! What the store costs: a record of the journal, a sync, a write of a file, a tick, a merge, a recovery. The figures in
//! `docs/design/001-what-is-synced-when.md` are from here.

use std::cell::RefCell;
use std::path::PathBuf;

use divan::Bencher;
use spec::store::event::{Event, TaskRef};
use spec::store::fs::{self, Durability, Outcome};
use spec::store::journal::{Journal, Lines, scan};
use spec::store::progress::{self, Ended, Entry};
use spec::store::recovery::Recovered;

const TIME: &str = "2026-01-01T00:00:00.000Z";

fn main() {
    divan::main();
}

fn passed(index: usize) -> Event {
    let task = TaskRef { task: format!("1.{index}"), index, key: format!("1.{index}~0badcafe~0") };
    Event::TaskPassed { task, attempt: 1 }
}

/// A folder with a journal of so many records.
fn journal(records: usize) -> (tempfile::TempDir, PathBuf, Journal) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.jsonl");
    let mut journal = Journal::create(&path, "018f0000-0000-7000-8000-000000000000").expect("a journal");
    for index in 0..records {
        journal.append(&passed(index), TIME).expect("a record");
    }
    (folder, path, journal)
}

#[divan::bench(args = [0, 100_000])]
fn append_one(bencher: Bencher<'_, '_>, before: usize) {
    let (_folder, _, journal) = journal(before);
    let journal = RefCell::new(journal);
    let event = passed(7);
    bencher.bench_local(|| journal.borrow_mut().append(&event, TIME).expect("a record"));
}

#[divan::bench]
fn append_a_hundred_at_once(bencher: Bencher<'_, '_>) {
    let (_folder, _, journal) = journal(0);
    let journal = RefCell::new(journal);
    let events: Vec<_> = (0..100).map(passed).collect();
    bencher.bench_local(|| journal.borrow_mut().append_all(&events, TIME).expect("records"));
}

#[divan::bench(args = [1, 100], sample_count = 50, sample_size = 1)]
fn sync_of_so_many_records(bencher: Bencher<'_, '_>, records: usize) {
    let (_folder, _, journal) = journal(1);
    let journal = RefCell::new(journal);
    let events: Vec<_> = (0..records).map(passed).collect();
    bencher.bench_local(|| {
        journal.borrow_mut().append_all(&events, TIME).expect("records");
        journal.borrow_mut().sync().expect("a sync");
    });
}

#[divan::bench(args = [Durability::Fast, Durability::Whole, Durability::Synced], sample_count = 50, sample_size = 1)]
fn write_of_a_state_file(bencher: Bencher<'_, '_>, durability: Durability) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    bencher.bench_local(|| fs::write_atomic(&path, &[b'x'; 1000], durability).expect("a write"));
}

#[divan::bench(args = [100, 5_000], sample_count = 50, sample_size = 1)]
fn tick_in_a_list_of(bencher: Bencher<'_, '_>, tasks: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.md");
    let open = "- [ ] 1.1 A task\n  - **Do**: something\n  - **Verify**: `true`\n".repeat(tasks).into_bytes();
    let mut ticked = open.clone();
    ticked[3] = b'x';
    fs::write_atomic(&path, &open, Durability::Fast).expect("a list");
    let turn = RefCell::new((open, ticked));
    bencher.bench_local(|| {
        let mut turn = turn.borrow_mut();
        assert_eq!(fs::edit(&path, &turn.0, &turn.1).expect("an edit"), Outcome::Done);
        let (old, new) = &mut *turn;
        std::mem::swap(old, new);
    });
}

#[divan::bench(args = [100, 5_000])]
fn merge_into_a_progress_file_of(bencher: Bencher<'_, '_>, tasks: usize) {
    let mut progress = String::from("# Progress\n\n## Completed Tasks\n\n");
    progress.extend((0..tasks).map(|i| format!("- [x] 1.{i} A task\n")));
    progress += "\n## Learnings\n\n";
    progress.extend((0..tasks).map(|i| format!("- something learned by task {i}\n")));
    let ended = Ended::Landed { commit: None };
    let entry = Entry { label: "2.1", id: Some("2.1"), title: "New", ordinal: 0, ended, text: "- new\n" };
    bencher.bench(|| progress::merge(progress.as_bytes(), "demo", &[entry], None));
}

#[divan::bench(args = [1_000, 100_000])]
fn recovery_from_so_many_records(bencher: Bencher<'_, '_>, records: usize) {
    let (_folder, path, _) = journal(records);
    bencher.bench(|| {
        let mut recovered = Recovered::default();
        scan(Lines::open(&path).expect("a journal"), |record| recovered.apply(&record)).expect("records");
        recovered
    });
}
