//! Planning lists of a hundred thousand tasks: all in one group, in steps with dependencies, as a graph.

use spec::document::{Document, parse};
use spec::plan::{Mode, Options, bound, build};
use std::fmt::Write as _;

const TASKS: usize = 100_000;

fn main() {
    divan::main();
}

/// A list whose tasks name files, some shared; every tenth checks the ones before it.
fn list(marked: bool, depends: bool) -> Document {
    let mut text = String::new();
    for task in 0..TASKS {
        let mark = match (task % 10, marked) {
            (9, false) => " [VERIFY]",
            (_, true) => " [P]",
            _ => "",
        };
        let folder = task % 1000;
        write!(
            text,
            "- [ ] {}.{} {mark} Do something useful\n  - **Files**: src/m{folder}/f{}.rs, src/m{folder}/mod.rs\n",
            task / 100 + 1,
            task % 100,
            task
        )
        .expect("text");
        if depends && task % 10 > 4 {
            writeln!(text, "  - **Depends**: {}.{}", (task - 3) / 100 + 1, (task - 3) % 100).expect("text");
        }
    }
    parse(text.into_bytes(), "tasks.md").0
}

#[divan::bench(args = [Mode::Groups, Mode::Graph])]
fn one_group_with_shared_files(bencher: divan::Bencher<'_, '_>, mode: Mode) {
    let doc = list(true, true);
    bencher.bench(|| build(&doc, &Options { mode, ..Options::default() }));
}

#[divan::bench(args = [Mode::Groups, Mode::Sequential, Mode::Graph])]
fn steps_and_dependencies(bencher: divan::Bencher<'_, '_>, mode: Mode) {
    let doc = list(false, true);
    bencher.bench(|| build(&doc, &Options { mode, ..Options::default() }));
}

#[divan::bench]
fn critical_path(bencher: divan::Bencher<'_, '_>) {
    let plan = build(&list(true, true), &Options::default()).0;
    bencher.bench(|| bound(&plan, |_| 1.0));
}
