//! How long it takes to read and edit a list: 100,000 tasks in 10 MB, and the same with full bodies.

use divan::{Bencher, black_box};
use spec::document::{Document, parse};
use std::fmt::Write;
use std::sync::Arc;

fn main() {
    divan::main();
}

/// Ten megabytes of titles with a line of detail each.
fn titles() -> Arc<[u8]> {
    let mut list = String::from("# Tasks: bench\n");
    for number in 0..100_000 {
        if number % 50 == 0 {
            write!(list, "\n## Phase {}: part\n\n", number / 50 + 1).ok();
        }
        let (phase, task) = (number / 50 + 1, number % 50 + 1);
        writeln!(list, "- [ ] {phase}.{task} [P] Add the next part of the module in src/part{number}/mod.rs").ok();
        writeln!(list, "  - **Files**: src/part{number}/mod.rs").ok();
    }
    list.into_bytes().into()
}

/// Tasks with all the fields that smart-ralph writes.
fn bodies() -> Arc<[u8]> {
    let mut list = String::from("# Tasks: bench\n\n## Phase 1\n\n");
    for number in 1..=20_000 {
        write!(
            list,
            "- [x] 1.{number} Add part {number}\n  - **Do**:\n    1. Write the module\n    2. Wire it up and say why\n  \
             - **Files**: `src/part{number}/mod.rs`, `src/lib.rs`\n  - **Done when**: it is there and the tests pass\n  \
             - **Verify**: `cargo test part{number}`\n  - **Commit**: `feat(part): add part {number}`\n  \
             - _Requirements: FR-{number}, AC-1.2_\n\n",
        ).ok();
    }
    list.into_bytes().into()
}

fn parsed() -> Document {
    parse(titles(), "tasks.md").0
}

#[divan::bench(sample_count = 20)]
fn parse_100_000_titles(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(titles)
        .input_counter(|source| divan::counter::BytesCount::new(source.len()))
        .bench_values(|source| parse(source, "tasks.md"));
}

#[divan::bench(sample_count = 20)]
fn parse_20_000_bodies(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(bodies)
        .input_counter(|source| divan::counter::BytesCount::new(source.len()))
        .bench_values(|source| parse(source, "tasks.md"));
}

#[divan::bench(sample_count = 20)]
fn rematch_100_000(bencher: Bencher<'_, '_>) {
    let (old, new) = (parsed(), parsed());
    bencher.bench_local(|| black_box(&old).rematch(black_box(&new)));
}

#[divan::bench]
fn tick_one(bencher: Bencher<'_, '_>) {
    let document = parsed();
    bencher.bench_local(|| black_box(&document).tick(black_box(50_000)));
}
