//! The table of dangers and tests names tests that are there.

use std::path::Path;

/// All Rust sources below a folder, in one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(path).expect("a source"));
        }
    }
    text
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/field-coverage.md")).expect("the table");
    let sources = sources(&root.join("src")) + &sources(&root.join("tests"));
    let mut named = 0;
    for name in table.split('`').skip(1).step_by(2).filter(|name| name.contains(": ") || name.contains("::")) {
        let test = name.rsplit([':', ' ']).next().unwrap_or_default();
        if test != "tests" {
            // Some are called for each of several programs.
            let is_there =
                ["()", "(program: Program)"].iter().any(|taken| sources.contains(&format!("fn {test}{taken}")));
            assert!(is_there, "{name}");
        }
        named += 1;
    }
    assert!(named > 40, "{named}");
}
