//! What a prompt costs: the share of it that six siblings have in common, putting it together, and looking for learnings
//! among a thousand.

use std::fmt::Write as _;
use std::path::PathBuf;

use spec::prompt::{self, Brief, Files, Learned, Page, Prompt, References, Sibling, Templates};
use spec::store::fs::{Durability, write_atomic};
use spec::store::learnings::{Library, NAME, Query, spec_folders};

const BUDGET: usize = 24_000;

#[expect(clippy::print_stdout, reason = "a figure that is no time")]
fn main() {
    let prompts: Vec<Prompt> = (0..6).map(sibling).collect();
    let texts: Vec<String> = prompts.iter().map(Prompt::text).collect();
    let same = |at: usize| texts.iter().all(|text| text.as_bytes().get(at) == texts[0].as_bytes().get(at));
    let common = (0..texts[0].len()).take_while(|at| same(*at)).count();
    assert!(common >= prompts[0].shared, "what is said to be shared is");
    let all: usize = texts.iter().map(String::len).sum();
    let share = (common * texts.len() * 100) as f64 / all as f64;
    println!("six siblings: {common} bytes in common of {} on average, {share:.1} %", all / texts.len());
    divan::main();
}

/// Some words, by a number.
fn words(seed: usize, count: usize) -> String {
    const WORDS: [&str; 16] = [
        "export", "writer", "quotes", "limit", "window", "client", "retry", "header", "column", "locks", "buffer",
        "stream", "parser", "batch", "index", "cursor",
    ];
    let mut text = String::new();
    for n in 0..count {
        write!(text, "{} ", WORDS[(seed * 7 + n * n + n / 3) % WORDS.len()]).expect("text");
    }
    text
}

/// A page of so many bytes with a heading every 700.
fn page(name: &str, bytes: usize) -> Page {
    let mut text = format!("# {name}\n\n");
    while text.len() < bytes {
        let number = text.len() / 700;
        write!(text, "## Part {number}\n\n- **FR-{number}**: {}\n\n", words(number, 100)).expect("text");
    }
    Page { name: format!("specs/export/{name}"), text }
}

/// The prompt of one of six siblings of a spec as they are: the pages are of the medians of 34 specs of smart-ralph.
fn sibling(number: usize) -> Prompt {
    let task = |n: usize| Sibling {
        task: format!("1.{n}"),
        title: words(n, 6),
        files: vec![format!("src/part{n}.rs"), format!("tests/part{n}.rs")],
    };
    let block = format!(
        "- [ ] 1.{number} [P] {}\n  - **Do**:\n    1. {}\n    2. {}\n  - **Files**: src/part{number}.rs, tests/part{number}.rs\n  - **Verify**: `cargo test part{number}`\n  - **Commit**: `feat(export): part {number}`\n  - _Requirements: FR-{number}_\n",
        words(number, 6),
        words(number + 1, 40),
        words(number + 2, 40),
    );
    let brief = Brief {
        list: "specs/export/tasks.md".to_owned(),
        task: format!("1.{number}"),
        attempt: 1,
        block,
        progress_file: format!("specs/export/.progress-task-{number}.md"),
        files: Files { there: task(number).files, ..Files::default() },
        verify: vec![format!("cargo test part{number}")],
        siblings: (0..6).filter(|n| *n != number).map(task).collect(),
        learnings: (0..8)
            .map(|n| Learned { text: words(number * 8 + n, 25), from: format!("specs/other/.progress.md:{n}") })
            .collect(),
        pages: vec![page("requirements.md", 8400), page("design.md", 14_900), page("research.md", 7600)],
        references: References { requirements: (0..6).map(|n| format!("FR-{n}")).collect(), design: Vec::new() },
        ..Brief::default()
    };
    prompt::build(&Templates::default(), &brief, BUDGET)
}

#[divan::bench]
fn put_together() -> Prompt {
    sibling(3)
}

/// A repository with a thousand learnings in ten progress files.
struct Repository {
    _folder: tempfile::TempDir,
    library: Library,
}

fn repository() -> Repository {
    let folder = tempfile::tempdir().expect("a folder");
    let root: PathBuf = folder.path().canonicalize().expect("a path");
    for spec in 0..10 {
        let mut text = "# Progress\n\n## Learnings\n\n".to_owned();
        for n in 0..100 {
            writeln!(text, "- number{n} of src/part{n}.rs: {}", words(spec * 100 + n, 20)).expect("text");
        }
        let home = root.join(format!("specs/spec{spec}"));
        std::fs::create_dir_all(&home).expect("a folder");
        write_atomic(&home.join(".progress.md"), text.as_bytes(), Durability::Fast).expect("a file");
    }
    let library = Library { index: root.join(NAME), folders: spec_folders(&root, None), root };
    Repository { _folder: folder, library }
}

fn ask(repository: &Repository) -> usize {
    let query =
        Query::of_task("- [ ] 1.1 Export with quotes\n  - **Do**: the parser locks\n", &["src/part7.rs".to_owned()]);
    repository.library.for_task(&query, 8).expect("an answer").learnings.len()
}

#[divan::bench]
fn index_a_thousand_learnings(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(repository).bench_values(|repository| ask(&repository));
}

#[divan::bench]
fn ask_for_learnings_of_a_task(bencher: divan::Bencher<'_, '_>) {
    let repository = repository();
    assert!(ask(&repository) > 0, "it finds what is about that file");
    bencher.bench(|| ask(&repository));
}

#[divan::bench]
fn ask_when_one_progress_file_has_changed(bencher: divan::Bencher<'_, '_>) {
    let repository = repository();
    ask(&repository);
    let mut round = 0;
    let file = repository.library.root.join("specs/spec3/.progress.md");
    bencher
        .with_inputs(|| {
            round += 1;
            let text = std::fs::read_to_string(&file).expect("a file") + &format!("- round{round}\n");
            write_atomic(&file, text.as_bytes(), Durability::Fast).expect("a file");
        })
        .bench_local_values(|()| ask(&repository));
}
