//! Which tasks could be marked `[P]`, for `spec fmt --mark-parallel`: neighbours that declare their files, share none and
//! need nothing of each other. What is marked already stays together, and is not joined by a task that does not fit.

use std::collections::{HashMap, HashSet};

use super::needs::needs;
use super::overlap::Overlaps;
use super::select::{Selection, select};
use super::{Mode, Options};
use crate::document::{Document, Edit, Item, Role};

/// Marks of tasks whose order is their point: a test that fails, what makes it pass, what tidies up; a repair.
const ORDERED: [&str; 5] = ["RED", "GREEN", "YELLOW", "REFACTOR", "FIX"];

/// Fields whose numbers and paths are not those of tasks.
const ELSEWHERE: [&str; 3] = ["Requirements", "Design", "Commit"];

/// What could be marked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The groups that would have new marks in them, each with all of its members.
    pub groups: Vec<Vec<usize>>,
    /// The marks, in the list's own way.
    pub edits: Vec<Edit>,
    /// Open tasks that were left as they are because they declare no files.
    pub without_files: usize,
}

/// Proposes marks. Once they are in the list there are no more to propose.
#[must_use]
pub fn propose(doc: &Document, options: &Options) -> Proposal {
    let selection = select(doc, options, &mut Vec::new());
    let mut neighbours: HashMap<usize, Vec<usize>> = HashMap::new();
    for need in needs(doc, &selection, Mode::Groups, &mut Vec::new()) {
        neighbours.entry(need.to).or_default().push(need.from);
        neighbours.entry(need.from).or_default().push(need.to);
    }
    let mut proposal = Proposal::default();
    let mut batch = Batch::new(doc, options, &neighbours);
    // The task before is marked and in no batch: a mark right behind it would be one of its group.
    let mut behind_mark = false;
    for unit in units(doc, &selection) {
        let files = |task: &usize| !doc.items[*task].fields.files.is_empty();
        proposal.without_files += usize::from(!unit.marked && !unit.tasks.iter().all(files));
        if unit.begins {
            batch.end(&mut proposal);
            behind_mark = false;
        }
        if std::mem::take(&mut behind_mark) || batch.takes(&unit) {
            continue;
        }
        if unit.marked {
            // What stands between two groups stays as it is: marked it would make them one.
            batch.units.pop();
            batch.end(&mut proposal);
            behind_mark = !batch.takes(&unit);
        } else if !batch.end(&mut proposal) {
            batch.takes(&unit);
        }
    }
    batch.end(&mut proposal);
    proposal
}

/// An unmarked task, or all of a group that is marked already.
struct Unit {
    tasks: Vec<usize>,
    marked: bool,
    /// Something that ends a group stands before it.
    begins: bool,
}

/// What could be in a group, in the order of the list. The rules are those by which groups are made.
fn units(doc: &Document, selection: &Selection) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut begins = true;
    let mut segment = 0;
    for (index, item) in doc.items.iter().enumerate() {
        let work = selection.work[index];
        if item.role == Role::Note && !work {
            continue;
        }
        begins |= item.segment != segment;
        segment = item.segment;
        let open = !item.checked && !item.is_verify() && !item.is_sequential();
        if !work || !(item.parallel || open) {
            begins = true;
            continue;
        }
        match units.last_mut().filter(|last| last.marked && item.parallel && !begins) {
            Some(group) => group.tasks.push(index),
            None => units.push(Unit { tasks: vec![index], marked: item.parallel, begins }),
        }
        begins = false;
    }
    units
}

/// Units that fit together, one behind the other.
struct Batch<'a> {
    doc: &'a Document,
    options: &'a Options,
    /// What each task depends on, and what depends on it.
    neighbours: &'a HashMap<usize, Vec<usize>>,
    units: Vec<(Vec<usize>, bool)>,
    overlaps: Overlaps<'a>,
    tasks: HashSet<usize>,
    /// The ids and paths of its tasks, and the words in which they speak of others'.
    names: HashSet<String>,
    words: HashSet<String>,
}

impl<'a> Batch<'a> {
    fn new(doc: &'a Document, options: &'a Options, neighbours: &'a HashMap<usize, Vec<usize>>) -> Self {
        Self {
            doc,
            options,
            neighbours,
            units: Vec::new(),
            overlaps: Overlaps::new(&options.shared_files, &options.resources),
            tasks: HashSet::new(),
            names: HashSet::new(),
            words: HashSet::new(),
        }
    }

    /// Takes a unit in if it fits. Where it does not, the batch is to be ended.
    fn takes(&mut self, unit: &Unit) -> bool {
        let fits = unit.tasks.iter().all(|&task| self.adds(task, unit.marked));
        if fits {
            self.units.push((unit.tasks.clone(), unit.marked));
        } else if self.units.is_empty() {
            self.clear();
        }
        fits
    }

    fn adds(&mut self, task: usize, marked: bool) -> bool {
        let item = &self.doc.items[task];
        if item.fields.files.is_empty() || !marked && !is_markable(self.doc, task) {
            return false;
        }
        self.overlaps.add(task, item);
        let depends = self.neighbours.get(&task).is_some_and(|others| others.iter().any(|on| self.tasks.contains(on)));
        let (names, words) = (names(item), words(self.doc, item));
        let speaks = !self.names.is_disjoint(&words) || !self.words.is_disjoint(&names);
        self.tasks.insert(task);
        self.names.extend(names);
        self.words.extend(words);
        self.overlaps.is_free() && !depends && !speaks
    }

    /// Ends the batch with the marks that it lacks; gives whether its tasks are marked now.
    fn end(&mut self, proposal: &mut Proposal) -> bool {
        let tasks: Vec<usize> = self.units.iter().flat_map(|(tasks, _)| tasks).copied().collect();
        let marked = self.units.iter().any(|(_, marked)| *marked);
        let unmarked = self.units.iter().filter(|(_, marked)| !marked).flat_map(|(tasks, _)| tasks);
        if tasks.len() > 1 {
            let edits: Vec<Edit> = unmarked.filter_map(|&task| self.doc.mark_parallel(task)).collect();
            if !edits.is_empty() {
                proposal.edits.extend(edits);
                proposal.groups.push(tasks.clone());
            }
        }
        self.clear();
        marked || tasks.len() > 1
    }

    fn clear(&mut self) {
        *self = Self::new(self.doc, self.options, self.neighbours);
    }
}

/// Whether a task may be marked, looked at by itself.
fn is_markable(doc: &Document, task: usize) -> bool {
    let item = &doc.items[task];
    !ORDERED.iter().any(|&name| item.markers.iter().any(|marker| marker.split(' ').next() == Some(name)))
        && doc.mark_parallel(task).is_some()
}

/// What others may call a task or what it makes: `1.2`, `src/UserStore.swift`, `UserStore.swift`, `UserStore`.
fn names(item: &Item) -> HashSet<String> {
    let paths = item.fields.files.iter().filter(|entry| !entry.glob).map(|entry| bare(&entry.path));
    let forms = paths.flat_map(|path| {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.split('.').next().unwrap_or(file);
        [Some(path), Some(file), Some(stem).filter(|stem| is_of_two_words(stem))].into_iter().flatten()
    });
    // A number alone stands for many things.
    let id = item.id.as_deref().filter(|id| id.contains(|c: char| !c.is_ascii_digit()));
    forms.chain(id).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether a name is no word of the language: `UserStore`, `user_store`, `use-auth`.
fn is_of_two_words(name: &str) -> bool {
    let inner = name.get(1..).unwrap_or_default();
    inner.contains(['_', '-']) || inner.contains(char::is_uppercase) && name.contains(char::is_lowercase)
}

/// The words of a task, without those of fields that speak of other pages.
fn words(doc: &Document, item: &Item) -> HashSet<String> {
    let mut elsewhere: Vec<_> =
        item.fields.all.iter().filter(|field| ELSEWHERE.contains(&&*field.name)).map(|field| &field.value).collect();
    elsewhere.sort_by_key(|range| range.start);
    let mut words = HashSet::new();
    let mut at = item.own.start;
    for (start, end) in elsewhere.iter().map(|range| (range.start, range.end)).chain([(item.own.end, item.own.end)]) {
        if (at..=item.own.end).contains(&start) {
            let text = String::from_utf8_lossy(&doc.source[at..start]);
            let split = text.split(|c: char| c.is_whitespace() || "`'\"()[]{}<>,;:|=*".contains(c));
            words.extend(split.map(bare).filter(|word| !word.is_empty()).map(str::to_owned));
            at = end;
        }
    }
    words
}

/// A path or a word without what may stand around it.
fn bare(word: &str) -> &str {
    word.strip_prefix("./").unwrap_or(word).trim_end_matches(['.', '/'])
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::document::{apply, parse};
    use crate::plan::build;

    fn marked(source: &str) -> String {
        let (doc, _) = parse(source.as_bytes(), "tasks.md");
        let proposal = propose(&doc, &Options::default());
        String::from_utf8(apply(source.as_bytes(), &proposal.edits)).expect("UTF-8")
    }

    /// A list of `id file ...` with one task each, and the ids that are marked then.
    fn ids(tasks: &[&str]) -> Vec<String> {
        let mut source = String::new();
        for task in tasks {
            let (head, files) = task.split_once(": ").unwrap_or((task, ""));
            writeln!(source, "- [ ] {head} x").expect("text");
            if !files.is_empty() {
                let name = |file: &str| if file.len() == 1 { format!("{file}.rs") } else { file.to_owned() };
                let files: Vec<String> = files.split(", ").map(name).collect();
                writeln!(source, "  - **Files**: {}", files.join(", ")).expect("text");
            }
        }
        let (doc, _) = parse(marked(&source).into_bytes(), "");
        doc.items.iter().filter(|item| item.parallel).map(|item| item.id.clone().unwrap_or_default()).collect()
    }

    #[test]
    fn neighbours_that_share_nothing_are_marked() {
        assert_eq!(ids(&["1.1: a", "1.2: b", "1.3: c"]), ["1.1", "1.2", "1.3"]);
        assert_eq!(ids(&["1.1: a", "1.2: a"]), [""; 0], "one file");
        assert_eq!(ids(&["1.1: src", "1.2: src/b"]), [""; 0], "one inside the other");
        assert_eq!(ids(&["1.1: src/*", "1.2: src/b"]), [""; 0], "a glob");
        assert_eq!(ids(&["1.1: Cargo.toml", "1.2: Cargo.lock"]), [""; 0], "one family");
        assert_eq!(ids(&["1.1: a"]), [""; 0], "one is no group");
    }

    #[test]
    fn what_declares_no_files_is_never_marked() {
        assert_eq!(ids(&["1.1: a", "1.2", "1.3: c"]), [""; 0]);
        assert_eq!(ids(&["1.1: a", "1.2: None", "1.3: c", "1.4: d"]), ["1.3", "1.4"]);
        let (doc, _) = parse(&b"- [ ] 1.1 a\n- [ ] 1.2 b\n- [x] 1.3 c\n"[..], "");
        assert_eq!(propose(&doc, &Options::default()).without_files, 2);
    }

    #[test]
    fn a_task_that_does_not_fit_stays_between_two_groups() {
        assert_eq!(ids(&["1.1: a", "1.2: b", "1.3: b", "1.4: c", "1.5: d"]), ["1.1", "1.2", "1.4", "1.5"]);
        assert_eq!(ids(&["1.1: a", "1.2: a", "1.3: c"]), ["1.2", "1.3"]);
    }

    #[test]
    fn order_that_is_said_is_kept() {
        let of = |second: &str| {
            marked(&format!("- [ ] 1.1 a\n  - **Files**: a.rs\n- [ ] 1.2 b\n  - **Files**: b.rs\n{second}"))
        };
        assert!(of("").contains("[P]"));
        for second in [
            "  - **Depends**: 1.1\n",
            "  - **Do**: Use what 1.1 made\n",
            "  - **Verify**: `grep -q b ./a.rs`\n",
            "  - **Do**: Look at a.rs first.\n",
            "  - **Uses**: db\n- [ ] 1.3 c\n  - **Files**: b.rs\n  - **Uses**: db\n",
        ] {
            let list = of(second);
            assert_eq!(list.contains("[P]"), second.contains("1.3"), "{list}");
        }
        assert!(of("  - _Requirements: 1.1_\n").contains("(P)"), "that is no task");
        let store = |text: &str| {
            format!("- [ ] 1.1 a\n  - Files: src/UserStore.swift\n- [ ] 1.2 {text}\n  - Files: src/main.rs\n")
        };
        assert_eq!(marked(&store("Register `UserStore()`")), store("Register `UserStore()`"), "what 1.1 makes");
        assert!(marked(&store("Register the user")).contains("[P]"));
        let numbers = "- [ ] 1. a\n  - Files: a.rs\n- [ ] 2. b\n  - Files: b.rs\n  - Depends: 1\n";
        assert_eq!(marked(numbers), numbers, "a number alone is no word to look for, but a reference it is");
        let tdd = "- [ ] 1.1 [RED] a\n  - **Files**: t.rs\n- [ ] 1.2 [GREEN] b\n  - **Files**: a.rs\n";
        assert_eq!(marked(tdd), tdd);
    }

    #[test]
    fn headings_checks_and_done_tasks_end_a_group() {
        let task = |head: &str, file: &str| format!("{head}\n  - Files: {file}.rs\n");
        for between in
            ["## Next\n", "- [ ] 1.9 [VERIFY] ok\n  - Verify: `true`\n", "- [x] 1.9 done\n  - Files: z.rs\n", "---\n"]
        {
            let list = task("- [ ] 1.1 a", "a") + between + &task("- [ ] 1.2 b", "b");
            assert_eq!(marked(&list), list, "{between}");
        }
    }

    #[test]
    fn marks_that_are_there_stay_and_are_joined_by_what_fits() {
        assert_eq!(ids(&["1.1 [P]: a", "1.2 [P]: b", "1.3: c"]), ["1.1", "1.2", "1.3"]);
        assert_eq!(ids(&["1.1 [P]: a", "1.2 [P]: b", "1.3: b", "1.4: d"]), ["1.1", "1.2"]);
        assert_eq!(ids(&["1.1: x", "1.2: y", "1.3: z", "1.4 [P]: x", "1.5 [P]: w"]), ["1.1", "1.2", "1.4", "1.5"]);
        // Nothing is known of what 1.1 touches.
        assert_eq!(ids(&["1.1 [P]", "1.2: b", "1.3: c", "1.4: d"]), ["1.1", "1.3", "1.4"]);
        // What is marked takes turns already.
        assert_eq!(ids(&["1.1 [P]: a", "1.2 [P]: a", "1.3: c"]), ["1.1", "1.2"]);
    }

    #[test]
    fn marks_stand_where_the_list_has_them() {
        let list = |first: &str, second: &str, third: &str| {
            format!(
                "- [ ] {first}\n  - Files: a.rs\n- [ ] {second}\n  - Files: b.rs\n- [ ] 9.8 [SEQUENTIAL] c\n- [ ] {third}\n  - Files: c.rs\n"
            )
        };
        for (first, second, third, a, b) in [
            ("1.1 A", "1.2 B", "1.4 C", "1.1 [P] A", "1.2 [P] B"),
            ("**1.1 A**", "**1.2**: B", "1.4 C", "**1.1 [P] A**", "**1.2 [P]**: B"),
            ("1. A", "Task 2: B", "9.9 C", "1. [P] A", "Task 2: [P] B"),
            ("1.1 A", "1.2 B", "1.4 (P) C", "1.1 (P) A", "1.2 (P) B"),
            ("1.1 A", "1.2 B", "1.4 C (P)", "1.1 A (P)", "1.2 B (P)"),
            ("[T001] A", "[T002] [US1] B", "[P] [T003] C", "[P] [T001] A", "[P] [T002] [US1] B"),
            ("T001 A", "T002 [US1] B", "T003 C", "T001 [P] A", "T002 [P] [US1] B"),
            ("A", "**B**", "C", "[P] A", "[P] **B**"),
        ] {
            assert_eq!(marked(&list(first, second, third)), list(a, b, third), "{first}");
        }
        let kiro = "- [ ] 1.1 A\r\n  - Files: a.rs\r\n  - _Requirements: 1_\r\n- [ ] 1.2 B\r\n  - Files: b.rs\r\n";
        assert_eq!(marked(kiro), kiro.replace("1.1 A", "1.1 (P) A").replace("1.2 B", "1.2 (P) B"));
        let headings = "### Task 1.1: A\n- Files: a.rs\n### Task 1.2: B\n- Files: b.rs\n";
        assert_eq!(marked(headings), headings.replace("1: A", "1: [P] A").replace("2: B", "2: [P] B"));
    }

    /// Lists of tasks with files, dependencies, marks and headings between them.
    fn lists() -> impl Strategy<Value = String> {
        let task = (
            prop::sample::select(vec![
                "",
                "",
                "",
                "",
                " [P]",
                " [P]",
                " [VERIFY]",
                " [SEQUENTIAL]",
                " [US1]",
                " [RED]",
                " (P)",
            ]),
            prop::collection::vec(
                prop::sample::select(vec![
                    "src/a.rs", "src/b.rs", "src/c.rs", "d.rs", "e.rs", "f/g.rs", "src", "*.rs", "go.mod", "go.sum",
                ]),
                0..3,
            ),
            prop::bool::weighted(0.2),
            prop::option::weighted(0.2, 0..20_usize),
            prop::sample::select(vec![
                "",
                "",
                "",
                "",
                "",
                "## H\n",
                "- [ ] a note\n",
                "  - Uses: db\n",
                "  - Do: as in 1.2\n",
                "---\n",
            ]),
            prop::bool::weighted(0.05),
        );
        prop::collection::vec(task, 1..16).prop_map(|tasks| {
            let mut list = String::new();
            for (index, (mark, files, ticked, depends, behind, bold)) in tasks.into_iter().enumerate() {
                let (tick, bold) = (if ticked { 'x' } else { ' ' }, if bold { "**" } else { "" });
                writeln!(list, "- [{tick}] {bold}1.{}{bold}{mark} task", index + 1).expect("text");
                if !files.is_empty() {
                    writeln!(list, "  - **Files**: {}", files.join(", ")).expect("text");
                }
                if let Some(on) = depends.filter(|on| *on < index) {
                    writeln!(list, "  - **Depends**: 1.{}", on + 1).expect("text");
                }
                list += behind;
            }
            list
        })
    }

    proptest! {
        #[test]
        fn a_new_group_has_no_conflict_and_nothing_is_left_to_propose(source in lists()) {
            let options = Options { all: true, ..Options::default() };
            let (doc, _) = parse(source.as_bytes(), "");
            let proposal = propose(&doc, &options);
            let (after, _) = parse(apply(source.as_bytes(), &proposal.edits), "");
            let (plan, _) = build(&after, &options);
            prop_assert_eq!(after.items.len(), doc.items.len());
            for (index, (old, new)) in doc.items.iter().zip(&after.items).enumerate() {
                let proposed = proposal.groups.iter().any(|group| group.contains(&index));
                prop_assert_eq!((&old.id, &old.title, old.role, old.checked), (&new.id, &new.title, new.role, new.checked));
                prop_assert_eq!(new.parallel, old.parallel || proposed, "{}", source);
                prop_assert!(!new.parallel || old.parallel || !new.fields.files.is_empty());
            }
            for group in &proposal.groups {
                prop_assert!(plan.groups.iter().any(|planned| planned.tasks == *group), "{:?} in {}", group, source);
                let inside = plan.edges.iter().find(|edge| group.contains(&edge.from) && group.contains(&edge.to));
                prop_assert!(inside.is_none(), "{:?} in {}", inside, source);
            }
            prop_assert_eq!(propose(&after, &options), Proposal { groups: vec![], edits: vec![], without_files: proposal.without_files });
        }
    }
}
