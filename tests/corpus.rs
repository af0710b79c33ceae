//! Every real task list of the corpus beside the project, compared with an independent reading of it.
//!
//! Line, depth, state and text of the GFM items must be equal; ids and markers are compared, too, and counted, since
//! the oracle's reading of those is a rule of its own.

#![expect(clippy::print_stdout, reason = "what was compared is counted and shown")]

use serde_json::Value;
use spec::document::{Document, Insertion, Item, Proposed, Role, Spot, apply, mended, mends, parse};
use spec::plan::{Options, build, propose};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lists where this program and the oracle see different items on purpose, with the reason.
const DIFFERENT: &[(&str, &str)] = &[];

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        ["../shared/corpus", "../../shared/corpus"].into_iter().map(|path| root.join(path)).find(|path| path.is_dir());
    if found.is_none() {
        println!("skipped: there is no corpus beside the project");
    }
    found
}

struct List {
    name: String,
    source: Vec<u8>,
    oracle: Vec<Value>,
    near: Vec<Value>,
}

fn lists(corpus: &Path) -> Vec<List> {
    let json = |path: PathBuf| -> Vec<Value> {
        std::fs::read(path).map(|bytes| serde_json::from_slice(&bytes).expect("the oracle is JSON")).unwrap_or_default()
    };
    let mut lists = Vec::new();
    for dialect in std::fs::read_dir(corpus.join("files")).expect("the corpus has files") {
        let dialect = dialect.expect("a folder").path();
        for file in std::fs::read_dir(&dialect).expect("a dialect is a folder") {
            let path = file.expect("a file").path();
            let folder = dialect.file_name().expect("it has a name").to_string_lossy().into_owned();
            let file = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            let oracle = corpus.join("oracle").join(&folder);
            lists.push(List {
                source: std::fs::read(&path).expect("a list can be read"),
                oracle: json(oracle.join(format!("{file}.json"))),
                near: json(oracle.join(format!("{file}.near.json"))),
                name: format!("{folder}/{file}"),
            });
        }
    }
    lists.sort_by(|a, b| a.name.cmp(&b.name));
    lists
}

fn row(line: usize, depth: usize, checked: bool, text: &str) -> String {
    format!("{line} {depth} {} {text}", if checked { "x" } else { " " })
}

#[test]
fn items_are_those_of_the_oracle() {
    let Some(corpus) = corpus() else { return };
    let (mut files, mut items, mut wrong) = (0, 0, Vec::new());
    for list in lists(&corpus) {
        let (document, _) = parse(list.source, &list.name);
        let expected: Vec<String> = list
            .oracle
            .iter()
            .map(|item| {
                let number = |key: &str| item[key].as_u64().expect("a number") as usize;
                let text = item["text"].as_str().expect("a text");
                row(number("line"), number("depth"), item["checked"].as_bool().expect("a state"), text)
            })
            .collect();
        let found: Vec<String> = document
            .items
            .iter()
            .filter(|item| item.gfm)
            .map(|item| row(item.line, item.depth, item.checked, &item.text))
            .collect();
        files += 1;
        items += expected.len();
        let known = DIFFERENT.iter().any(|(name, _)| *name == list.name);
        if (found == expected) == known {
            let missed = expected.iter().filter(|row| !found.contains(row)).map(|row| format!("  - {row}"));
            let extra = found.iter().filter(|row| !expected.contains(row)).map(|row| format!("  + {row}"));
            wrong.push(format!("{}\n{}", list.name, missed.chain(extra).collect::<Vec<_>>().join("\n")));
        }
    }
    println!("{files} lists, {items} items of the oracle, {} lists differ on purpose", DIFFERENT.len());
    assert!(wrong.is_empty(), "{} lists differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(files > 1000 && items > 30_000);
}

#[test]
fn near_misses_are_taken_as_the_contract_says() {
    let Some(corpus) = corpus() else { return };
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for list in lists(&corpus) {
        let (document, diagnostics) = parse(list.source, &list.name);
        for near in &list.near {
            let line = near["line"].as_u64().expect("a line") as usize;
            let kind = near["kind"].as_str().expect("a kind");
            let raw = near["raw"].as_str().expect("a line");
            let item = document.items.iter().find(|item| item.line == line && !item.gfm);
            let count = counts.entry(kind.to_owned()).or_default();
            count.0 += 1;
            count.1 += usize::from(item.is_some());
            let right = match kind {
                "star-optional" => item.is_some_and(|item| matches!(item.role, Role::Optional | Role::Parent)),
                "state:-" => item.is_some_and(|item| item.box_char == '-' && !item.checked),
                "state:~" => item.is_some_and(|item| matches!(item.role, Role::Held | Role::Parent)),
                "no-space-after" => item.is_some() == followed_by_id_or_star(raw),
                "heading" => item.is_some() != document.items.iter().any(|item| item.gfm),
                _ => item.is_none(),
            };
            let said = item.is_none()
                || diagnostics.iter().any(|diagnostic| {
                    document.position(diagnostic.span.start).0 == line || diagnostic.code == "heading-task"
                });
            if !right || !said {
                wrong.push(format!("{}:{line} {kind} said={said} {raw}", list.name));
            }
        }
    }
    println!("near misses (lines, taken): {counts:?}");
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

fn followed_by_id_or_star(raw: &str) -> bool {
    let behind = raw.split_once(']').expect("a box").1;
    behind.starts_with("\\*") || behind.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn ids_and_markers_differ_from_the_oracle_only_where_the_contract_does() {
    let Some(corpus) = corpus() else { return };
    let (mut items, mut ids, mut markers) = (0, Vec::new(), Vec::new());
    for list in lists(&corpus) {
        let (document, _) = parse(list.source, &list.name);
        let found: BTreeMap<usize, usize> =
            document.items.iter().enumerate().map(|(index, item)| (item.line, index)).collect();
        for expected in &list.oracle {
            let Some(&index) = found.get(&(expected["line"].as_u64().expect("a line") as usize)) else { continue };
            items += 1;
            let item = &document.items[index];
            let id = expected["id"].as_str().map(reported);
            if id.as_deref() != item.id.as_deref() {
                ids.push(format!("{id:?} {:?} {} {}", item.id, list.name, short(&item.text)));
            }
            let tags: Vec<String> = expected["markers"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|tag| tag.as_str().expect("a tag").replace("(P)", "P").replace("(∥)", "P"))
                .collect();
            if tags != item.markers {
                markers.push(format!("{tags:?} {:?} {} {}", item.markers, list.name, short(&item.text)));
            }
        }
    }
    println!("{items} items; {} other ids, {} other markers", ids.len(), markers.len());
    if std::env::var_os("CORPUS_SHOW").is_some() {
        println!("{}\n\n{}", ids.join("\n"), markers.join("\n"));
    }
    assert!(ids.len() * 100 < items && markers.len() * 50 < items);
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

fn reported(id: &str) -> String {
    let id = spec::document::ids::bare(id);
    id.rsplit_once(' ').map_or(id, |(_, number)| number).to_owned()
}

#[test]
fn every_list_is_ticked_by_one_byte_each() {
    let Some(corpus) = corpus() else { return };
    let mut ticks = 0;
    for list in lists(&corpus) {
        let (document, _) = parse(list.source.clone(), &list.name);
        let edits: Vec<_> = (0..document.items.len()).filter_map(|index| document.tick(index)).collect();
        let ticked = spec::document::apply(&list.source, &edits);
        let (after, _) = parse(ticked, &list.name);
        assert_same_but_ticked(&document, &after, &list.name);
        ticks += edits.len();
    }
    println!("{ticks} ticks");
}

fn assert_same_but_ticked(before: &Document, after: &Document, name: &str) {
    assert_eq!(before.items.len(), after.items.len(), "{name}");
    for (old, new) in before.items.iter().zip(&after.items) {
        assert!(new.checked, "{name}:{}", old.line);
        assert_eq!((old.line, old.depth, &old.text, &old.id), (new.line, new.depth, &new.text, &new.id), "{name}");
    }
}

#[test]
fn mends_of_real_lists_change_no_task() {
    let Some(corpus) = corpus() else { return };
    let (mut lists_mended, mut codes) = (0, BTreeMap::<&str, usize>::new());
    for list in lists(&corpus) {
        let (document, diagnostics) = parse(list.source, &list.name);
        let found = mends(&document, &diagnostics, &list.name);
        let (after, left) = parse(mended(&document, &found), &list.name);
        assert_eq!(document.items.len(), after.items.len(), "{}", list.name);
        for (old, new) in document.items.iter().zip(&after.items) {
            let what = |item: &Item| (item.id.clone(), item.title.clone(), item.checked, item.role, item.parallel);
            assert_eq!((what(old), old.line, old.parent), (what(new), new.line, new.parent), "{}", list.name);
        }
        assert_eq!(mends(&after, &left, &list.name), [], "{}", list.name);
        lists_mended += usize::from(!found.is_empty());
        for mend in &found {
            *codes.entry(mend.code).or_default() += 1;
        }
    }
    println!("{lists_mended} lists mended: {codes:?}");
}

#[test]
fn marks_proposed_for_real_lists_bring_no_conflict() {
    let Some(corpus) = corpus() else { return };
    let options = Options { all: true, ..Options::default() };
    let (mut marked, mut groups, mut lists_marked) = (0, 0, 0);
    for list in lists(&corpus) {
        let (document, _) = parse(list.source, &list.name);
        let proposal = propose(&document, &options);
        let (after, _) = parse(apply(&document.source, &proposal.edits), &list.name);
        let (plan, _) = build(&after, &options);
        for group in &proposal.groups {
            assert!(plan.groups.iter().any(|planned| planned.tasks == *group), "{}: {group:?}", list.name);
            let conflict = plan.edges.iter().find(|edge| group.contains(&edge.from) && group.contains(&edge.to));
            assert_eq!(conflict, None, "{}", list.name);
        }
        assert_eq!(propose(&after, &options).edits, [], "{}", list.name);
        let titles = |document: &Document| -> Vec<_> {
            document.items.iter().map(|item| (item.id.clone(), item.title.clone(), item.role)).collect()
        };
        assert_eq!(titles(&document), titles(&after), "{}", list.name);
        marked += proposal.edits.len();
        groups += proposal.groups.len();
        lists_marked += usize::from(!proposal.groups.is_empty());
    }
    println!("{marked} tasks could be marked, in {groups} groups of {lists_marked} lists");
}

/// Real lists take fixes, prerequisites and parts, and nothing else of them changes: of each the first open tasks.
#[test]
fn real_lists_take_what_is_put_in() {
    let Some(corpus) = corpus() else { return };
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for list in lists(&corpus) {
        let (document, _) = parse(list.source.clone(), &list.name);
        let is_open = |index: &usize| {
            let item = &document.items[*index];
            item.role == Role::Task && !item.checked
        };
        for index in (0..document.items.len()).filter(is_open).take(2) {
            let id = document.items[index].id.clone().unwrap_or_default();
            let fix =
                format!("- [ ] [FIX {id}] Mend it\n  - **Do**: mend\n  - **Files**: a.rs\n  - **Verify**: `true`");
            let fix = Proposed { markers: vec![format!("FIX {id}")], ..Proposed::read(&fix).expect("a task") };
            let parts = ["- [ ] One\n  - **Do**: one", "- [ ] Two\n  - **Do**: two"];
            let parts = parts.map(|part| Proposed::read(part).expect("a task"));
            for (what, spot, tasks) in [
                ("behind", Spot::Behind(index), &[fix][..]),
                ("before", Spot::Before(index), &parts[..1]),
                ("below", Spot::Below(index), &parts[..]),
            ] {
                let count = counts.entry(what).or_default();
                count.0 += 1;
                match document.insert(spot, index, tasks, &list.name) {
                    Ok(Insertion { edit, document: after, items }) => {
                        count.1 += 1;
                        let mut bytes = after.source.to_vec();
                        bytes.drain(edit.at.start..edit.at.start + edit.with.len());
                        assert_eq!(bytes, list.source, "{}: every other byte stays", list.name);
                        let found = document.rematch(&after);
                        assert!(found.iter().all(Option::is_some), "{}: each old one is found", list.name);
                        let id = document.items[index].id.as_deref().and_then(|id| document.item_of_id(id));
                        if what == "behind" && id == Some(index) {
                            assert_eq!(after.mends(items[0]), found[index], "{}: it mends that one", list.name);
                        }
                    }
                    Err(why) => refused.entry(format!("{what}: {why}")).or_default().push(format!(
                        "{}:{}",
                        list.name,
                        document.label(index)
                    )),
                }
            }
        }
    }
    println!("{counts:?}, refused {refused:#?}");
    for (what, (tried, taken)) in counts {
        assert!(taken * 100 >= tried * 96, "{what}: {taken} of {tried}");
    }
}
