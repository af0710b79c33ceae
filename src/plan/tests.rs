//! Plans of small lists by example, and of random ones by property.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::document::{
    Dependency, Diagnostic, Dialect, Document, Fields, FileEntry, Item, Lookup, ParallelMark, Role, Severity, Tick,
};

/// An item under construction; its dependencies are ids until the list is put together.
#[derive(Debug, Clone)]
struct Draft {
    item: Item,
    depends: Vec<String>,
}

/// A task. A leading `[P]`, `[VERIFY]` or `[SEQUENTIAL]` marks it, `x ` ticks it.
fn task(text: &str) -> Draft {
    let (checked, text) = text.strip_prefix("x ").map_or((false, text), |rest| (true, rest));
    let (id, marks) = text.split_once(' ').unwrap_or((text, ""));
    let markers: Vec<String> = marks.split_whitespace().map(|mark| mark.trim_matches(['[', ']']).to_owned()).collect();
    let has = |name: &str| markers.iter().any(|marker| marker == name);
    let item = Item {
        line: 0,
        depth: 0,
        parent: None,
        id: Some(id.to_owned()),
        title: id.to_owned(),
        text: text.to_owned(),
        checked,
        box_char: if checked { 'x' } else { ' ' },
        tick_at: Tick::Replace(0),
        gfm: true,
        role: Role::Task,
        parallel: has("P") && !has("VERIFY") && !has("SEQUENTIAL"),
        markers,
        heading: None,
        segment: 0,
        fields: Fields::default(),
        block: 0..0,
        own: 0..0,
    };
    Draft { item, depends: Vec::new() }
}

impl Draft {
    fn files(mut self, paths: &[&str]) -> Self {
        let entry =
            |path: &&str| FileEntry { path: (*path).to_owned(), gone: false, glob: path.contains(['*', '?', '[']) };
        self.item.fields.files.extend(paths.iter().map(entry));
        self
    }

    fn uses(mut self, name: &str) -> Self {
        self.item.fields.uses.push(name.to_owned());
        self
    }

    fn depends(mut self, ids: &[&str]) -> Self {
        self.depends.extend(ids.iter().map(|id| (*id).to_owned()));
        self
    }

    fn role(mut self, role: Role) -> Self {
        self.item.role = role;
        self
    }

    fn segment(mut self, segment: usize) -> Self {
        self.item.segment = segment;
        self
    }

    fn below(mut self, parent: usize) -> Self {
        self.item.parent = Some(parent);
        self
    }
}

/// A list: item n stands on line n + 1.
fn list(drafts: impl IntoIterator<Item = Draft>) -> Document {
    let drafts: Vec<Draft> = drafts.into_iter().collect();
    let ids: Vec<String> = drafts.iter().map(|draft| draft.item.id.clone().unwrap_or_default()).collect();
    let mut span = 0;
    let mut items = Vec::new();
    for (index, mut draft) in drafts.into_iter().enumerate() {
        draft.item.line = index + 1;
        for text in draft.depends {
            span += 1;
            let target = ids.iter().position(|id| *id == text).expect("an id of the list");
            draft.item.fields.depends.push(Dependency { text, items: vec![target], span: span..span + 1 });
        }
        items.push(draft.item);
    }
    Document {
        source: Vec::new().into(),
        dialect: Dialect::Plain,
        items,
        headings: Vec::new(),
        tick: b'x',
        parallel_mark: ParallelMark::default(),
        line_starts: vec![0],
        lookup: Lookup::default(),
    }
}

fn options(mode: Mode) -> Options {
    Options { mode, ..Options::default() }
}

/// The plan of a list that has no errors.
fn plan(doc: &Document, options: &Options) -> Plan {
    let (plan, diagnostics) = build(doc, options);
    assert!(diagnostics.iter().all(|diagnostic| diagnostic.severity < Severity::Error), "{diagnostics:?}");
    plan
}

/// Steps as `1 parallel 0 1 of 0 1 2`, then edges as `0 -> 1 files a`.
fn show(plan: &Plan) -> String {
    let mut out = String::new();
    let numbers = |tasks: &[usize]| tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    for step in &plan.steps {
        let kind = if step.parallel { "parallel" } else { "sequential" };
        write!(out, "{} {kind} {}", step.number, numbers(&step.tasks)).expect("text");
        if let Some(group) = step.group {
            write!(out, " of {}", numbers(&plan.groups[group].tasks)).expect("text");
        }
        out.push('\n');
    }
    for edge in &plan.edges {
        writeln!(out, "{} -> {} {} {}", edge.from, edge.to, edge.reason.name(), edge.detail).expect("text");
    }
    out
}

fn messages(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| format!("{}: {}", diagnostic.code, diagnostic.message))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_list_of_the_contract() {
    let doc = list([task("x 1.1"), task("1.2 [P]"), task("1.3 [P]"), task("1.4 [VERIFY]")]);
    insta::assert_snapshot!(show(&plan(&doc, &Options::default())), @r#"
    2 parallel 1 2 of 1 2
    3 sequential 3
    "#);
}

#[test]
fn ticked_tasks_stay_members_but_are_not_run_again() {
    let doc = list([task("x 1 [P]"), task("2 [P]"), task("x 3 [P]"), task("4")]);
    insta::assert_snapshot!(show(&plan(&doc, &Options::default())), @r#"
    1 sequential 1 of 0 1 2
    2 sequential 3
    "#);
}

#[test]
fn all_shows_what_is_done() {
    let doc = list([task("x 1 [P]").files(&["a"]), task("2 [P]").files(&["a"]), task("x 3")]);
    insta::assert_snapshot!(show(&plan(&doc, &Options { all: true, ..Options::default() })), @r#"
    1 parallel 0 1 of 0 1
    2 sequential 2
    0 -> 1 files a
    "#);
}

#[test]
fn a_group_of_one_is_no_group() {
    let doc = list([task("1"), task("2 [P]"), task("3")]);
    let plan = plan(&doc, &Options::default());
    assert!(plan.groups.is_empty());
    assert!(plan.steps.iter().all(|step| !step.parallel && step.group.is_none()));
}

#[test]
fn any_other_item_ends_a_group_but_a_note_does_not() {
    for (role, ends) in
        [(Role::Note, false), (Role::Parent, true), (Role::Held, true), (Role::Optional, true), (Role::Task, true)]
    {
        let doc = list([task("1 [P]"), task("2 [P]"), task("3").role(role), task("4 [P]"), task("5 [P]")]);
        let groups = plan(&doc, &Options::default()).groups;
        assert_eq!(groups.len(), if ends { 2 } else { 1 }, "{role:?}");
    }
}

#[test]
fn headings_and_breaks_end_a_group() {
    let doc = list([task("1 [P]"), task("2 [P]"), task("3 [P]").segment(1), task("4 [P]").segment(1)]);
    let groups: Vec<_> = plan(&doc, &Options::default()).groups.into_iter().map(|group| group.tasks).collect();
    assert_eq!(groups, [[0, 1], [2, 3]]);
}

#[test]
fn the_group_of_an_item_is_found() {
    let doc = list([task("1"), task("2 [P]"), task("3 [P]"), task("4"), task("5 [P]"), task("6 [P]"), task("7")]);
    let plan = plan(&doc, &Options::default());
    let group = |index| plan.group_of(index).map(|group| group.tasks.clone());
    let (first, second) = (Some(vec![1, 2]), Some(vec![4, 5]));
    let all: Vec<_> = (0..=7).map(group).collect();
    assert_eq!(all, [None, first.clone(), first, None, second.clone(), second, None, None]);
}

#[test]
fn verify_and_sequential_beat_p() {
    let doc = list([task("1 [P]"), task("2 [P] [VERIFY]"), task("3 [SEQUENTIAL] [P]"), task("4 [P]")]);
    let plan = plan(&doc, &Options::default());
    assert!(plan.groups.is_empty());
    assert_eq!(plan.steps.len(), 4);
}

#[test]
fn optional_tasks_join_groups_where_they_are_included() {
    let doc = list([task("1 [P]"), task("2 [P]").role(Role::Optional), task("3 [P]")]);
    assert!(plan(&doc, &Options::default()).groups.is_empty());
    let with = plan(&doc, &Options { include_optional: true, ..Options::default() });
    assert_eq!(with.groups, [Group { tasks: vec![0, 1, 2] }]);
}

#[test]
fn the_limit_never_splits_a_group() {
    let doc = list((0..7).map(|n| task(&format!("{n} [P]"))));
    let plan = plan(&doc, &Options::default());
    assert_eq!((plan.max_parallel, plan.steps.len(), plan.steps[0].tasks.len()), (3, 1, 7));
}

#[test]
fn members_that_share_a_file_take_turns() {
    let doc = list([
        task("1 [P]").files(&["src/a.rs"]),
        task("2 [P]").files(&["src/b.rs"]),
        task("3 [P]").files(&["src/a.rs", "src/c.rs"]),
        task("4 [P]").files(&["src"]),
        task("5 [P]").files(&["src/a.rs"]),
        task("6 [P]").files(&["src/*.rs"]),
    ]);
    insta::assert_snapshot!(show(&plan(&doc, &Options::default())), @r#"
    1 parallel 0 1 2 3 4 5 of 0 1 2 3 4 5
    0 -> 2 files src/a.rs
    1 -> 3 files src/b.rs
    2 -> 3 files src/a.rs, src/c.rs
    3 -> 4 files src/a.rs
    0 -> 5 files src/a.rs
    1 -> 5 files src/b.rs
    2 -> 5 files src/a.rs, src/c.rs
    3 -> 5 files src
    4 -> 5 files src/a.rs
    "#);
}

#[test]
fn a_done_member_does_not_stand_between_two_that_share_a_file() {
    let doc = list([task("1 [P]").files(&["a"]), task("x 2 [P]").files(&["a"]), task("3 [P]").files(&["a"])]);
    let plan = plan(&doc, &Options::default());
    assert_eq!(ready_tasks(&plan, &BTreeSet::new()), [0]);
    assert_eq!(ready_tasks(&plan, &BTreeSet::from([0])), [2]);
}

#[test]
fn paths_of_titles_count() {
    let mut first = task("1 [P]");
    first.item.fields.title_files.push("src/user.rs".to_owned());
    let doc = list([first, task("2 [P]").files(&["src/user.rs"])]);
    assert_eq!(plan(&doc, &Options::default()).edges.len(), 1);
}

#[test]
fn manifests_and_their_lock_files_are_shared() {
    let doc = list([
        task("1 [P]").files(&["Cargo.toml"]),
        task("2 [P]").files(&["Cargo.lock"]),
        task("3 [P]").files(&["web/package.json"]),
        task("4 [P]").files(&["package-lock.json"]),
        task("5 [P]").files(&["api/package.json"]),
        task("6 [P]").files(&["cli/package.json"]),
    ]);
    insta::assert_snapshot!(show(&plan(&doc, &Options::default())), @r#"
    1 parallel 0 1 2 3 4 5 of 0 1 2 3 4 5
    0 -> 1 resource Cargo.lock
    2 -> 3 resource package-lock.json
    3 -> 4 resource api/package.json
    3 -> 5 resource cli/package.json
    "#);
}

#[test]
fn shared_files_of_the_settings_count() {
    let doc = list([
        task("1 [P]").files(&["db/migrations/1.sql"]),
        task("2 [P]").files(&["db/migrations/2.sql"]),
        task("3 [P]").files(&["x/schema.rb"]),
        task("4 [P]").files(&["y/schema.rb"]),
    ]);
    assert!(plan(&doc, &Options::default()).edges.is_empty());
    let shared_files = vec!["db/migrations/**".to_owned(), "schema.rb".to_owned()];
    insta::assert_snapshot!(show(&plan(&doc, &Options { shared_files, ..Options::default() })), @r#"
    1 parallel 0 1 2 3 of 0 1 2 3
    0 -> 1 resource db/migrations/**
    2 -> 3 resource schema.rb
    "#);
}

#[test]
fn users_of_a_resource_take_turns_up_to_its_count() {
    let doc = list((0..5).map(|n| task(&format!("{n} [P]")).uses("port 80")));
    let turns =
        |options: &Options| plan(&doc, options).edges.iter().map(|edge| (edge.from, edge.to)).collect::<Vec<_>>();
    assert_eq!(turns(&Options::default()), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    let resources = BTreeMap::from([("port 80".to_owned(), 2)]);
    assert_eq!(turns(&Options { resources, ..Options::default() }), [(0, 2), (1, 3), (2, 4)]);
}

#[test]
fn dependencies_are_edges_within_a_group_and_across_steps() {
    let doc = list([task("1 [P]"), task("2 [P]").depends(&["1"]), task("3 [P]"), task("4").depends(&["1"])]);
    insta::assert_snapshot!(show(&plan(&doc, &Options::default())), @r#"
    1 parallel 0 1 2 of 0 1 2
    2 sequential 3
    0 -> 1 depends 1
    0 -> 3 depends 1
    "#);
}

#[test]
fn a_parent_stands_for_its_tasks_on_both_sides() {
    let doc = list([
        task("1").role(Role::Parent),
        task("1.1").below(0),
        task("1.2").below(0),
        task("2").role(Role::Parent).depends(&["1"]),
        task("2.1").below(3),
        task("2.2").below(3),
    ]);
    insta::assert_snapshot!(show(&plan(&doc, &options(Mode::Graph))), @r#"
    1 parallel 1 2
    2 parallel 4 5
    1 -> 4 depends 1
    2 -> 4 depends 1
    1 -> 5 depends 1
    2 -> 5 depends 1
    "#);
}

#[test]
fn sequential_mode_runs_one_at_a_time() {
    let doc = list([task("1 [P]").files(&["a"]), task("2 [P]").files(&["a"]), task("3").depends(&["1"])]);
    insta::assert_snapshot!(show(&plan(&doc, &options(Mode::Sequential))), @r#"
    1 sequential 0
    2 sequential 1
    3 sequential 2
    0 -> 2 depends 1
    "#);
}

#[test]
fn graph_mode_starts_what_needs_nothing() {
    let doc = list([task("T1"), task("T2"), task("T3").depends(&["T1"])]);
    let plan = plan(&doc, &options(Mode::Graph));
    assert_eq!(ready_tasks(&plan, &BTreeSet::new()), [0, 1]);
    assert_eq!(ready_tasks(&plan, &BTreeSet::from([0])), [1, 2]);
    assert_eq!(ready_tasks(&plan, &BTreeSet::from([1])), [0]);
    insta::assert_snapshot!(show(&plan), @r#"
    1 parallel 0 1
    2 sequential 2
    0 -> 2 depends T1
    "#);
}

#[test]
fn graph_mode_keeps_barriers_and_overlaps() {
    let doc = list([
        task("1").files(&["a"]),
        task("2").files(&["a"]),
        task("3 [VERIFY]"),
        task("4"),
        task("5").depends(&["1"]),
        task("6 [SEQUENTIAL]"),
        task("7 [VERIFY]"),
    ]);
    insta::assert_snapshot!(show(&plan(&doc, &options(Mode::Graph))), @r#"
    1 sequential 0
    2 sequential 1
    3 sequential 2
    4 parallel 3 4
    5 sequential 5
    6 sequential 6
    0 -> 1 files a
    0 -> 2 barrier 3
    1 -> 2 barrier 3
    2 -> 3 barrier 3
    0 -> 4 depends 1
    2 -> 4 barrier 3
    3 -> 5 barrier 6
    4 -> 5 barrier 6
    5 -> 6 barrier 7
    "#);
}

#[test]
fn graph_mode_takes_dependencies_on_what_comes_later_and_turns_with_them() {
    let doc = list([task("1").files(&["a"]).depends(&["3"]), task("2"), task("3").files(&["a"])]);
    insta::assert_snapshot!(show(&plan(&doc, &options(Mode::Graph))), @r#"
    1 parallel 1 2
    2 sequential 0
    2 -> 0 depends 3
    2 -> 0 files a
    "#);
}

#[test]
fn how_many_tasks_wait_in_a_row_for_one() {
    let plan = plan(
        &list([
            task("1").depends(&["4"]),
            task("2"),
            task("3").depends(&["1", "2"]),
            task("4"),
            task("5").depends(&["2"]),
        ]),
        &options(Mode::Graph),
    );
    assert_eq!(waiting(&plan), [1, 1, 0, 2, 0]);
}

#[test]
fn graph_mode_without_dependencies_is_groups_and_says_so() {
    let doc = list([task("1 [P]"), task("2 [P]"), task("3")]);
    let (plan, diagnostics) = build(&doc, &options(Mode::Graph));
    assert_eq!(plan.mode, Mode::Groups);
    assert!(!plan.declares_dependencies);
    assert_eq!(
        diagnostics.iter().map(|d| (d.code, d.severity)).collect::<Vec<_>>(),
        [(codes::NO_DEPENDENCIES, Severity::Info)]
    );
}

#[test]
fn cycles_name_every_task_with_its_line() {
    let doc = list([
        task("1").depends(&["3"]),
        task("2").depends(&["1"]),
        task("3").depends(&["2"]),
        task("4").depends(&["3"]),
        task("5").depends(&["6"]),
        task("6").depends(&["5"]),
        task("7").depends(&["7"]),
    ]);
    insta::assert_snapshot!(messages(&build(&doc, &options(Mode::Graph)).1), @r#"
    dependency-cycle: 7 (line 7) depends on itself
    dependency-cycle: tasks wait for each other: 1 (line 1) waits for 3 (line 3), which waits for 2 (line 2), which waits for 1 (line 1)
    dependency-cycle: tasks wait for each other: 5 (line 5) waits for 6 (line 6), which waits for 5 (line 5)
    "#);
}

#[test]
fn a_cycle_through_a_barrier_is_found() {
    let doc = list([task("1").depends(&["3"]), task("2 [VERIFY]"), task("3")]);
    insta::assert_snapshot!(messages(&build(&doc, &options(Mode::Graph)).1), @r#"dependency-cycle: tasks wait for each other: 1 (line 1) waits for 3 (line 3), which waits for 2 (line 2), which waits for 1 (line 1)"#);
}

#[test]
fn what_is_done_closes_no_circle() {
    let doc =
        list([task("x 1").depends(&["2"]), task("x 2").depends(&["1"]), task("3").depends(&["4", "2"]), task("4")]);
    let plan = plan(&doc, &options(Mode::Graph));
    assert_eq!(ready_tasks(&plan, &BTreeSet::new()), [3]);
}

#[test]
fn a_task_further_down_is_an_error_outside_graph_mode() {
    let doc = list([
        task("1").depends(&["2"]),
        task("2"),
        task("x 3").depends(&["4"]),
        task("4"),
        task("5").depends(&["6"]),
        task("x 6"),
    ]);
    for mode in [Mode::Groups, Mode::Sequential] {
        assert_eq!(
            messages(&build(&doc, &options(mode)).1),
            "dependency-forward: 1 (line 1) depends on 2 (line 2), which comes later"
        );
    }
    assert!(build(&doc, &options(Mode::Graph)).1.is_empty());
    assert_eq!(build(&doc, &Options::default()).1.len(), 1);
}

#[test]
fn what_will_not_run_cannot_be_waited_for() {
    let doc = list([
        task("1").role(Role::Held),
        task("2").role(Role::Optional),
        task("3").role(Role::Note),
        task("4").depends(&["1"]),
        task("5").depends(&["2"]),
        task("6").depends(&["3"]),
        task("7").depends(&["4"]),
        task("x 8").role(Role::Held),
        task("9").depends(&["8"]),
    ]);
    insta::assert_snapshot!(messages(&build(&doc, &Options::default()).1), @r#"
    dependency-not-run: 4 (line 4) depends on 1 (line 1), which is open and will not run: it is set aside (`[~]`)
    dependency-not-run: 5 (line 5) depends on 2 (line 2), which is open and will not run: it is optional, see --include-optional
    dependency-not-run: 6 (line 6) depends on 3 (line 3), which is open and will not run: it is a note, see --include-notes
    "#);
    let only = Options { only: vec!["7".to_owned()], ..Options::default() };
    insta::assert_snapshot!(messages(&build(&doc, &only).1), @r#"dependency-not-run: 7 (line 7) depends on 4 (line 4), which is open and will not run: it is not selected by --only or --from"#);
    let with = Options { include_optional: true, include_notes: true, ..Options::default() };
    assert_eq!(build(&doc, &with).1.len(), 1);
}

#[test]
fn only_and_from_select_but_do_not_waive() {
    let doc = list([task("1"), task("2 [P]"), task("3 [P]"), task("4").depends(&["1"])]);
    let only =
        |names: &[&str]| Options { only: names.iter().map(|&name| name.to_owned()).collect(), ..Options::default() };
    let from = |name: &str| Options { from: Some(name.to_owned()), ..Options::default() };
    assert_eq!(show(&plan(&doc, &only(&["3", "1"]))), "1 sequential 0\n2 sequential 2 of 1 2\n");
    assert_eq!(show(&plan(&doc, &only(&[":1"]))), "2 sequential 1 of 1 2\n");
    assert!(messages(&build(&doc, &from("3")).1).contains("4 (line 4) depends on 1 (line 1), which is open"));
    assert_eq!(
        messages(&build(&doc, &only(&["9", "1"])).1),
        "unknown-task: --only 9: there is no such task, parent or heading"
    );
    assert_eq!(build(&doc, &from("nowhere")).1[0].code, codes::UNKNOWN_TASK);
    let held = list([task("1").role(Role::Held)]);
    assert_eq!(
        messages(&build(&held, &only(&["1"])).1),
        "selected-not-run: --only 1: it would not run: it is set aside (`[~]`)"
    );
}

#[test]
fn a_product_of_dependencies_that_does_not_fit_is_an_error() {
    let children = |parent: usize| (0..1500).map(move |n| task(&format!("{parent}.{n}")).below(parent));
    let doc = list(
        std::iter::once(task("1").role(Role::Parent))
            .chain(children(0))
            .chain(std::iter::once(task("2").role(Role::Parent).depends(&["1"])))
            .chain(children(1501)),
    );
    assert_eq!(build(&doc, &Options::default()).1[0].code, codes::TOO_MANY);
}

#[test]
fn the_bound_counts_barriers_as_they_are() {
    // A group of three with a turn between two, then one alone: 1 -> 3 -> 4 is longest.
    let doc = list([task("1 [P]").files(&["a"]), task("2 [P]"), task("3 [P]").files(&["a"]), task("4")]);
    let plan = plan(&doc, &Options { max_parallel: 2, ..Options::default() });
    let seconds = [2.0, 3.0, 2.0, 1.0];
    let bound = bound(&plan, |task| seconds[task]);
    assert_eq!(bound, Bound { critical_path: vec![0, 2, 3], length: 5.0, work: 8.0, bound: 5.0 });
    let narrow = Plan { max_parallel: 1, ..plan };
    assert!((super::bound(&narrow, |task| seconds[task]).bound - 8.0).abs() < 1e-9);
}

/// Carries a plan out, `max_parallel` at a time, whoever is ready first, and gives the time it takes. Panics when tasks
/// are left and none can start.
fn simulate(plan: &Plan, weight: impl Fn(usize) -> f64) -> f64 {
    let mut now = 0.0;
    let mut done = BTreeSet::new();
    let mut running: Vec<(f64, usize)> = Vec::new();
    loop {
        for task in ready_tasks(plan, &done) {
            if running.len() < plan.max_parallel && !running.iter().any(|&(_, other)| other == task) {
                running.push((now + weight(task), task));
            }
        }
        let Some(next) = (0..running.len()).min_by(|&a, &b| running[a].0.total_cmp(&running[b].0)) else { break };
        let (end, task) = running.swap_remove(next);
        now = end;
        done.insert(task);
    }
    assert_eq!(done.iter().copied().collect::<Vec<_>>(), plan.open, "deadlock in\n{}", show(plan));
    now
}

/// Random lists: marks, ticks, roles, headings, files, resources, and dependencies upwards (or anywhere in graph mode
/// lists, which is sorted out by `acyclic`).
fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (
        prop::sample::select(vec!["", " [P]", " [P]", " [P]", " [P] [VERIFY]", " [VERIFY]", " [SEQUENTIAL]"]),
        prop::bool::weighted(0.3),
        prop::sample::select(vec![Role::Task, Role::Task, Role::Task, Role::Task, Role::Note, Role::Optional]),
        prop::bool::weighted(0.1),
        prop::collection::vec(
            prop::sample::select(vec![
                "a",
                "a/b",
                "a/b/c",
                "d",
                "e/*.rs",
                "e/f.rs",
                "**/f.rs",
                "Cargo.toml",
                "Cargo.lock",
            ]),
            0..3,
        ),
        prop::bool::weighted(0.2),
        prop::collection::vec(any::<prop::sample::Index>(), 0..2),
    );
    prop::collection::vec(draft, 1..24).prop_map(|drafts| {
        let mut segment = 0;
        let mut tasks: Vec<usize> = Vec::new();
        let mut list = Vec::new();
        for (index, (marks, checked, role, heading, files, resource, depends)) in drafts.into_iter().enumerate() {
            segment += usize::from(heading);
            let mut draft = task(&format!("{}{index}{marks}", if checked { "x " } else { "" }));
            draft = draft.role(role).segment(segment).files(&files);
            if resource {
                draft = draft.uses("db");
            }
            if role == Role::Task && !tasks.is_empty() {
                for target in depends {
                    draft.depends.push(target.get(&tasks).to_string());
                }
            }
            if role == Role::Task {
                tasks.push(index);
            }
            list.push(draft);
        }
        list
    })
}

fn modes() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Groups, Mode::Sequential, Mode::Graph])
}

proptest! {
    #[test]
    fn steps_cover_every_open_task_once(drafts in drafts(), mode in modes()) {
        let doc = list(drafts);
        let plan = plan(&doc, &options(mode));
        let mut covered: Vec<usize> = plan.steps.iter().flat_map(|step| step.tasks.clone()).collect();
        covered.sort_unstable();
        let open: Vec<usize> =
            (0..doc.items.len()).filter(|&i| doc.items[i].role == Role::Task && !doc.items[i].checked).collect();
        prop_assert_eq!(&covered, &open);
        prop_assert_eq!(&plan.open, &open);
        prop_assert!(plan.steps.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    #[test]
    fn groups_have_only_parallel_tasks_of_one_part(drafts in drafts()) {
        let doc = list(drafts);
        for group in plan(&doc, &Options::default()).groups {
            prop_assert!(group.tasks.len() > 1);
            for &index in &group.tasks {
                let item = &doc.items[index];
                prop_assert!(item.role == Role::Task && item.parallel);
                prop_assert!(!item.markers.iter().any(|marker| marker == "VERIFY" || marker == "SEQUENTIAL"));
                prop_assert_eq!(item.segment, doc.items[group.tasks[0]].segment);
            }
        }
    }

    #[test]
    fn ticking_changes_no_group_and_no_number(drafts in drafts(), mode in modes(), ticks in prop::collection::vec(any::<bool>(), 24)) {
        let before = plan(&list(drafts.clone()), &Options { all: true, ..options(mode) });
        let mut ticked = drafts;
        for (draft, tick) in ticked.iter_mut().zip(ticks) {
            draft.item.checked = tick;
        }
        let after = plan(&list(ticked), &options(mode));
        prop_assert_eq!(&before.groups, &after.groups);
        let number = |plan: &Plan, task| plan.steps.iter().find(|step| step.tasks.contains(&task)).map(|step| step.number);
        for &task in &after.open {
            prop_assert_eq!(number(&before, task), number(&after, task));
        }
    }

    #[test]
    fn edges_go_forward_and_are_sorted(drafts in drafts(), mode in modes()) {
        let plan = plan(&list(drafts), &options(mode));
        prop_assert!(plan.edges.iter().all(|edge| edge.from < edge.to));
        let keys: Vec<_> = plan.edges.iter().map(|edge| (edge.to, edge.from, edge.reason)).collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_is_ready_waits_for_nothing(drafts in drafts(), mode in modes(), landed in prop::collection::vec(any::<bool>(), 24)) {
        let plan = plan(&list(drafts), &options(mode));
        let done: BTreeSet<usize> = plan.open.iter().copied().filter(|&task| landed[task]).collect();
        let left = |task: usize| plan.open.contains(&task) && !done.contains(&task);
        let ready = ready_tasks(&plan, &done);
        let step = plan.steps.iter().find(|step| step.tasks.iter().any(|&task| left(task)));
        for &task in &plan.open {
            let waits = plan.edges.iter().any(|edge| edge.to == task && left(edge.from));
            let turn = plan.mode == Mode::Graph || step.is_some_and(|step| step.tasks.contains(&task));
            prop_assert_eq!(ready.contains(&task), left(task) && !waits && turn, "{}", task);
        }
    }

    #[test]
    fn tasks_that_may_run_at_once_share_nothing(drafts in drafts(), mode in modes(), order in prop::collection::vec(any::<prop::sample::Index>(), 24)) {
        let doc = list(drafts);
        let plan = plan(&doc, &options(mode));
        let mut done = BTreeSet::new();
        for pick in order {
            let ready = ready_tasks(&plan, &done);
            for (place, &a) in ready.iter().enumerate() {
                for &b in &ready[place + 1..] {
                    let (a, b) = (&doc.items[a], &doc.items[b]);
                    prop_assert!(a.fields.uses.is_empty() || b.fields.uses.is_empty());
                    for x in &a.fields.files {
                        for y in &b.fields.files {
                            prop_assert!(!overlap::paths_overlap(&x.path, &y.path), "{} {}", x.path, y.path);
                        }
                    }
                }
            }
            if ready.is_empty() { break }
            done.insert(*pick.get(&ready));
        }
    }

    #[test]
    fn every_plan_finishes_between_its_bounds(drafts in drafts(), mode in modes(), limit in 1_usize..5, weights in prop::collection::vec(1_u32..20, 24)) {
        let plan = plan(&list(drafts), &Options { max_parallel: limit, ..options(mode) });
        let weight = |task: usize| f64::from(weights[task]);
        let time = simulate(&plan, weight);
        let bound = bound(&plan, weight);
        prop_assert!(time >= bound.bound - 1e-9, "{time} below {bound:?}");
        // Graham: whoever never leaves a place empty that somebody could take stays below this.
        prop_assert!(time <= bound.length + bound.work / limit as f64 + 1e-9, "{time} above {bound:?}");
        prop_assert!((bound.critical_path.iter().map(|&task| weight(task)).sum::<f64>() - bound.length).abs() < 1e-9);
        let one = Plan { max_parallel: 1, ..plan };
        prop_assert!((simulate(&one, weight) - bound.work).abs() < 1e-9);
    }

    #[test]
    fn any_graph_finishes_or_is_an_error(edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..16), marks in prop::collection::vec(0..6, 12), files in prop::collection::vec(0_usize..4, 12), ticks in prop::collection::vec(prop::bool::weighted(0.3), 12)) {
        let drafts = (0..12).map(|n: usize| {
            let mark = if marks[n] == 0 { " [VERIFY]" } else { "" };
            let mut draft = task(&format!("{}{n}{mark}", if ticks[n] { "x " } else { "" })).files(&[["a", "b", "c/d", "c"][files[n]]]);
            draft.depends.extend(edges.iter().filter(|edge| edge.0 == n).map(|edge| edge.1.to_string()));
            draft
        });
        let doc = list(drafts);
        let (plan, diagnostics) = build(&doc, &options(Mode::Graph));
        if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            return Ok(());
        }
        simulate(&plan, |_| 1.0);
    }
}

#[test]
fn names_are_those_of_the_contract() {
    let modes = [Mode::Groups, Mode::Sequential, Mode::Graph].map(Mode::name);
    assert_eq!(modes, ["groups", "sequential", "graph"]);
    let reasons = [Reason::Depends, Reason::Files, Reason::Resource, Reason::Barrier];
    assert_eq!(reasons.map(Reason::name), ["depends", "files", "resource", "barrier"]);
    assert_eq!(reasons.map(Reason::blocks), [true, false, false, true]);
}

#[test]
fn who_may_run_beside_a_task() {
    let list = "- [ ] 1.1 [P] a\n- [ ] 1.2 [P] b\n  - Depends: 1.1\n- [ ] 1.3 [P] c\n- [ ] 1.4 d\n  - Depends: 1.2\n";
    let doc = crate::document::parse(list.as_bytes().to_vec(), "tasks.md").0;
    let of = |mode, index| beside(&build(&doc, &Options { mode, ..Options::default() }).0, index);
    assert_eq!(of(Mode::Groups, 0), [1, 2]);
    assert!(of(Mode::Groups, 3).is_empty());
    assert_eq!(of(Mode::Graph, 0), [2], "what needs it, over whatever stands between, is not beside it");
    assert_eq!(of(Mode::Graph, 2), [0, 1, 3]);
    assert_eq!(of(Mode::Graph, 3), [2]);
    assert!(of(Mode::Sequential, 0).is_empty());
}

fn parsed(source: &str, mode: Mode) -> Plan {
    let (doc, _) = crate::document::parse(source.as_bytes(), "");
    let (plan, diagnostics) = build(&doc, &Options { mode, ..Options::default() });
    assert_eq!(diagnostics, []);
    plan
}

#[test]
fn an_open_task_goes_behind_the_open_tasks_that_mend_it() {
    let source = "- [x] 1.1 [P] a\n- [ ] 1.2 [P] b\n- [ ] 1.3 [P] c\n- [ ] 1.2.1 [FIX 1.2] d\n\
                  - [ ] 1.2.1.1 [FIX 1.2.1] e\n- [x] 1.3.1 [FIX 1.3] f\n- [ ] 1.4 [VERIFY] g\n- [ ] 1.4.1 [FIX 1.4] h\n";
    let steps = |mode| -> Vec<(usize, Vec<usize>)> {
        parsed(source, mode).steps.into_iter().map(|step| (step.number, step.tasks)).collect()
    };
    // 1.3 was mended, and keeps its place in the group; 1.2 is still of it.
    let wanted = [(1, vec![2]), (2, vec![4]), (3, vec![3]), (4, vec![1]), (5, vec![7]), (6, vec![6])];
    let groups = parsed(source, Mode::Groups);
    assert_eq!(groups.group_of(1).map(|group| group.tasks.clone()), Some(vec![0, 1, 2]));
    assert_eq!(groups.steps.last().map(|step| step.tasks.clone()), Some(vec![6]));
    let told: Vec<Vec<usize>> = steps(Mode::Groups).into_iter().map(|(_, tasks)| tasks).collect();
    assert_eq!(told, wanted.iter().map(|(_, tasks)| tasks.clone()).collect::<Vec<_>>());
    let edges: Vec<(usize, usize)> = groups.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    assert_eq!(edges, [(3, 1), (4, 3), (7, 6)], "and is blocked where none of them mends it");
    // In graph mode a [VERIFY] holds what is after it, but for what mends it.
    let graph = format!("{source}  - **Depends**: 1.3\n");
    let plan = parsed(&graph, Mode::Graph);
    let waits =
        |to: usize| plan.edges.iter().filter(|edge| edge.to == to).map(|edge| edge.from).collect::<BTreeSet<_>>();
    assert_eq!((waits(1), waits(6)), (BTreeSet::from([3]), BTreeSet::from([1, 2, 3, 4, 7])));
    assert!(!waits(7).contains(&6));
}
