//! Whole lists, read and edited: the promises of the contract, the odd cases of real lists, and properties.

use super::*;
use proptest::prelude::*;

fn read(source: &str) -> Document {
    parse(source.as_bytes(), "tasks.md").0
}

fn codes_of(source: &str) -> Vec<&'static str> {
    parse(source.as_bytes(), "tasks.md").1.into_iter().map(|diagnostic| diagnostic.code).collect()
}

/// One line for each item: line, depth, box, role, id, markers, title.
fn show(source: &str) -> String {
    let document = read(source);
    let rows = document.items.iter().map(|item| {
        let id = item.id.as_deref().unwrap_or("-");
        let gfm = if item.gfm { "" } else { "~" };
        let markers = item.markers.join(",");
        format!(
            "{} {} [{}]{gfm} {:?} {id} {{{markers}}} {}",
            item.line, item.depth, item.box_char, item.role, item.title
        )
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn only(source: &str) -> Item {
    let document = read(source);
    assert_eq!(document.items.len(), 1, "{source}");
    document.items[0].clone()
}

fn scripts(commands: &[Command]) -> Vec<&str> {
    commands.iter().map(|command| command.script.as_str()).collect()
}

const LIST: &str = "\
## Phase 1: Make it work
- [x] 1.1 Add the job table
  - **Do**: Write the migration
  - **Files**: db/migrations/0042.sql
  - **Done when**: it is there
  - **Verify**: `make db-migrate`
  - **Commit**: `feat(export): add job table`
  - _Requirements: FR-1_
- [ ] 1.2 [P] CSV writer
- [ ] 1.3 [P] Rate limiter
- [ ] 1.4 [VERIFY] Quality checkpoint
";

#[test]
fn the_list_of_the_contract_is_read() {
    insta::assert_snapshot!(show(LIST), @"
    2 0 [x] Task 1.1 {} Add the job table
    9 0 [ ] Task 1.2 {P} CSV writer
    10 0 [ ] Task 1.3 {P} Rate limiter
    11 0 [ ] Task 1.4 {VERIFY} Quality checkpoint
    ");
    let document = read(LIST);
    assert_eq!(document.dialect, Dialect::Ralph);
    let fields = &document.items[0].fields;
    assert_eq!(scripts(&fields.verify), ["make db-migrate"]);
    assert_eq!(fields.files[0].path, "db/migrations/0042.sql");
    assert_eq!(fields.commit.as_deref(), Some("feat(export): add job table"));
    assert_eq!(fields.requirements, ["FR-1"]);
    assert_eq!(document.headings[document.items[1].heading.expect("a heading")].text, "Phase 1: Make it work");
    let parallel: Vec<bool> = document.items.iter().map(|item| item.parallel).collect();
    assert_eq!(parallel, [false, true, true, false]);
}

mod what_goes_wrong_in_this_field {
    use super::*;

    /// 1: total, current task and "all done" come from one list of items.
    #[test]
    fn one_count_serves_all() {
        let source = "- [x] 1.1 a\n  - [ ] 1.1.1 b\n1. [X] 1.2 c\n- [ ]* 1.3 d\n- [-] 1.4 e\n* [~] 1.5 f\n";
        insta::assert_snapshot!(show(source), @"
        1 0 [x] Parent 1.1 {} a
        2 1 [ ] Task 1.1.1 {} b
        3 0 [X] Task 1.2 {} c
        4 0 [ ]~ Optional 1.3 {} d
        5 0 [-]~ Task 1.4 {} e
        6 0 [~]~ Held 1.5 {} f
        ");
    }

    /// 2: boxes in fences, comments and indented code are text; `[X]` is done.
    #[test]
    fn only_real_boxes_count() {
        let source =
            "```\n- [ ] 1.1 fenced\n```\n<!--\n- [ ] 1.2 comment\n-->\n\n    - [ ] 1.3 indented\n\n- [X] 1.4 real\n";
        assert_eq!(show(source), "10 0 [X] Task 1.4 {} real");
        assert!(read(source).items[0].checked);
        assert_eq!(codes_of(source), ["checkbox-in-code", "checkbox-in-comment", "checkbox-in-code"]);
    }

    /// 3: `[P]` in prose or backticks is no mark, and `[VERIFY]` beats it.
    #[test]
    fn prose_is_no_mark_and_verify_beats_parallel() {
        let document = read(
            "- [ ] 1.1 Add [P] to it\n- [ ] 1.2 `[P]` x\n- [ ] 1.3 [P] [VERIFY] x\n- [ ] 1.4 [SEQUENTIAL] [P] x\n- [ ] 1.5 [VERIFY:API] [P] x\n- [ ] 1.6 [P1] x\n- [ ] 1.7 (P) x\n",
        );
        let parallel: Vec<bool> = document.items.iter().map(|item| item.parallel).collect();
        assert_eq!(parallel, [false, false, false, false, false, false, true]);
        assert_eq!(document.items[2].markers, ["P", "VERIFY"]);
        assert!(codes_of("- [ ] 1.3 [P] [VERIFY] x\n").contains(&"both-marked"));
        assert!(codes_of("- [ ] 1.1 Add [P] to it\n").contains(&"parallel-in-prose"));
    }

    /// 4: a tick of 1.1 is that of 1.1 and no other.
    #[test]
    fn a_tick_is_one_byte_of_one_item() {
        let source = "text 1x1\n- [ ] 1.10 a\n- [ ] 1.1 b\n- [ ] 1.12 c\n";
        let document = read(source);
        let edit = document.tick(document.item_of_id("1.1").expect("it is there")).expect("it is open");
        let ticked = apply(source.as_bytes(), &[edit]);
        assert_eq!(String::from_utf8_lossy(&ticked), "text 1x1\n- [ ] 1.10 a\n- [x] 1.1 b\n- [ ] 1.12 c\n");
    }

    /// 5: which tasks are open is asked of the boxes, wherever the ticked ones stand.
    #[test]
    fn ticked_boxes_need_not_come_first() {
        let document = read("- [ ] 1.1 a\n- [x] 1.2 b\n- [ ] 1.3 c\n- [x] 1.4 d\n");
        let open: Vec<usize> = (0..4).filter(|&index| !document.items[index].checked).collect();
        assert_eq!(open, [0, 2]);
        assert!(document.tick(1).is_none());
    }

    /// 6: fences, heredocs and comments in a block do not cut it short; tabs are indentation.
    #[test]
    fn blocks_are_whole() {
        let source = "- [ ] 1.1 a\n\n  ```sh\n  cat <<'EOF'\n  # not a heading\n\n  EOF\n  ```\n- [ ] 1.2 b\n\t- **Verify**: `true`\n\n\t\tcode\n- [ ] 1.3 c\n";
        let document = read(source);
        assert_eq!(document.items.len(), 3);
        let tabbed = &document.items[1];
        assert_eq!(scripts(&tabbed.fields.verify), ["true"]);
        assert_eq!(&source[tabbed.block.clone()], "- [ ] 1.2 b\n\t- **Verify**: `true`\n\n\t\tcode\n");
        let fenced = "- [ ] 1.1 a\n  - **Verify**:\n    ```bash\n    cat <<'EOF'\n    ## Summary\n    - [x] text\n    EOF\n    ```\n  - **Commit**: `x: y`\n";
        let item = only(fenced);
        assert_eq!(scripts(&item.fields.verify), ["cat <<'EOF'\n## Summary\n- [x] text\nEOF"]);
        assert_eq!(item.fields.commit.as_deref(), Some("x: y"));
        assert_eq!(item.block, 0..fenced.len());
    }

    /// 7: line ends, BOM and bytes that are not UTF-8 stay.
    #[test]
    fn bytes_stay() {
        let source = b"\xEF\xBB\xBF# T\r\n- [ ] 1.1 \xff\xfe a\r\n\t- b \r\n- [ ] 1.2 b";
        let (document, diagnostics) = parse(&source[..], "tasks.md");
        assert_eq!(document.items.len(), 2);
        assert!(diagnostics.iter().any(|diagnostic| diagnostic.code == "not-utf8"));
        let edits: Vec<Edit> = (0..2).filter_map(|index| document.tick(index)).collect();
        let ticked = apply(source, &edits);
        assert_eq!(ticked, b"\xEF\xBB\xBF# T\r\n- [x] 1.1 \xff\xfe a\r\n\t- b \r\n- [x] 1.2 b");
    }
}

/// The table of odd cases seen in real lists, one test each, in its order.
mod odd_cases {
    use super::*;

    #[test]
    fn no_space_behind_the_box() {
        assert_eq!(show("- [x]1.1 [P] a\n- [ ]no id\n- [x](url) b\n"), "1 0 [x]~ Task 1.1 {P} a");
        assert_eq!(codes_of("- [x]1.1 a\n"), ["checkbox-without-space"]);
        assert!(codes_of("- [ ] a\n- [ ]no id\n").contains(&"checkbox-without-space"));
    }

    #[test]
    fn a_diagnostic_ends_with_its_line() {
        let source = "- [x]1.1 a\n- [x]1.1 b";
        let (_, diagnostics) = parse(source.as_bytes(), "");
        assert!(diagnostics.iter().all(|diagnostic| diagnostic.span.end <= source.len()), "{diagnostics:?}");
    }

    #[test]
    fn an_open_fence_ends_with_its_item() {
        let source = "- [ ] 1.1 a\n  ```text\n  x\n  ```bash\n  y\n  ```\n  z\n  ```\n- [ ] 1.2 b\n  - **Verify**: `true`\n- [ ] 1.3 c\n";
        assert_eq!(read(source).items.len(), 3);
    }

    #[test]
    fn column_0_text_closes_a_fence_in_an_item() {
        let source = "- [ ] 4.1 PR\n  ```bash\n  gh pr create --body \"$(cat <<'EOF'\n## Summary\n- [x] tests pass\nEOF\n)\"\n  ```\n- [ ] 4.2 b\n";
        insta::assert_snapshot!(show(source), @"
        1 0 [ ] Task 4.1 {} PR
        5 0 [x] Note - {} tests pass
        9 0 [ ] Task 4.2 {} b
        ");
    }

    #[test]
    fn a_heredoc_in_a_code_span() {
        let source = "- [ ] 4.1 PR\n  - **Do**: `gh pr create --body \"$(cat <<'EOF'\n## Summary\n- [x] tests pass\nEOF\n)\"`\n- [ ] 4.2 b\n";
        insta::assert_snapshot!(show(source), @"
        1 0 [ ] Task 4.1 {} PR
        4 0 [x] Note - {} tests pass
        7 0 [ ] Task 4.2 {} b
        ");
    }

    #[test]
    fn double_brackets() {
        assert_eq!(show("- [ ] 1.1 [[P]] [[US-1]] a\n"), "1 0 [ ] Task 1.1 {P,US-1} a");
    }

    #[test]
    fn the_mark_before_the_id() {
        assert_eq!(show("- [ ] [P] T007 a\n"), "1 0 [ ] Task T007 {P} a");
    }

    #[test]
    fn the_id_in_brackets() {
        assert_eq!(show("- [ ] [T001] [P1] [US1] a\n"), "1 0 [ ] Task T001 {P1,US1} a");
        assert_eq!(show("- [ ] [T007] [--] [--] a\n"), "1 0 [ ] Task T007 {--,--} a");
    }

    #[test]
    fn bold_around_the_id() {
        assert_eq!(show("- [ ] **T001 [P]** a\n"), "1 0 [ ] Task T001 {P} a");
        assert_eq!(show("- [ ] **T001**: a\n"), "1 0 [ ] Task T001 {} a");
    }

    #[test]
    fn a_doubled_box_is_open() {
        let item = only("- [ ] - [X] T002 a\n");
        assert_eq!((item.checked, item.text.as_str()), (false, "- [X] T002 a"));
    }

    #[test]
    fn x_as_a_tag() {
        assert_eq!(show("- [ ] T056 [X] a\n"), "1 0 [ ] Task T056 {X} a");
    }

    #[test]
    fn a_list_in_a_list_on_one_line() {
        assert_eq!(show("- - [x] 4.1 a\n"), "1 1 [x] Task 4.1 {} a");
    }

    #[test]
    fn other_things_right_behind_the_box() {
        assert_eq!(show("- [x]（Plan#6）a\n- [ ]-6. b\n"), "");
    }

    #[test]
    fn lists_and_ranges_of_ids() {
        assert_eq!(
            show("- [ ] T003-T004: a\n- [ ] 7.2-7.5: b\n- [ ] T110 [P] a · T111 [P] b\n"),
            "1 0 [ ] Task T003-T004 {} a\n2 0 [ ] Task 7.2-7.5 {} b\n3 0 [ ] Task T110 {P} a · T111 [P] b"
        );
        assert_eq!(only("- [ ] T001, T002, T003 a\n").id.as_deref(), Some("T001"));
    }

    #[test]
    fn long_and_odd_ids() {
        for (text, id) in [
            ("2.8.1b", "2.8.1b"),
            ("6.B.10", "6.B.10"),
            ("T068-FIX", "T068-FIX"),
            ("T038-MIN", "T038-MIN"),
            ("任務 8.3:", "8.3"),
        ] {
            assert_eq!(only(&format!("- [ ] {text} a\n")).id.as_deref(), Some(id));
        }
        assert_eq!(read("- [ ] R001 ✅ a\n- [ ] R002 b\n").items[0].id.as_deref(), Some("R001"));
    }

    #[test]
    fn ids_that_come_twice() {
        let document = read("- [ ] T003 a\n- [ ] T004 b\n- [ ] T003 c\n");
        assert_eq!(
            (document.label(0), document.label(1), document.label(2)),
            ("T003@1".into(), "T004".into(), "T003@3".into())
        );
        assert_eq!(document.select("T003"), Some(vec![0]));
        assert_eq!(document.select("T003@3"), Some(vec![2]));
        assert_eq!(codes_of("- [ ] T003 a\n- [ ] T003 c\n"), ["duplicate-id"]);
    }

    #[test]
    fn headings_as_tasks() {
        let source = "# Tasks\n\n## Phase 1\n\n### Task 1.1: Add it\n\n**Verify**: `true`\n\n### [x] Task 1.2: [P] Add more\n\ntext\n\n## Notes\n";
        insta::assert_snapshot!(show(source), @"
        5 0 [ ]~ Task 1.1 {} Add it
        9 0 [x]~ Task 1.2 {P} Add more
        ");
        let document = read(source);
        assert_eq!(scripts(&document.items[0].fields.verify), ["true"]);
        assert_eq!(document.headings[document.items[0].heading.expect("a heading")].text, "Phase 1");
        let ticked = apply(source.as_bytes(), &[document.tick(0).expect("open")]);
        let after = parse(ticked, "").0;
        assert!(
            after.items[0].checked && String::from_utf8_lossy(&after.source).contains("### [x] Task 1.1: Add it\n")
        );
        assert_eq!(apply(&after.source, &[after.untick(0).expect("done")]).len(), after.source.len());
        assert_eq!(show("### Task 1.1: a\n\n- [ ] 1.2 b\n"), "3 0 [ ] Task 1.2 {} b", "not where there is a checkbox");
        assert_eq!(show("# Doc\n\n## 1. Overview\n\n## 2. Details\n"), "", "chapters are no tasks");
    }

    #[test]
    fn tasks_in_a_comment() {
        assert_eq!(show("<!--\n- [ ] 1.1 a\n-->\n- [ ] 1.2 b\n"), "4 0 [ ] Task 1.2 {} b");
    }

    #[test]
    fn struck_out_and_emoji() {
        assert_eq!(show("- [ ] ~~1.8 Add it~~\n"), "1 0 [ ] Task 1.8 {} Add it");
    }

    #[test]
    fn comments_behind_the_title() {
        assert_eq!(only("- [ ] T001 a <!-- id: 9 -->\n").id.as_deref(), Some("T001"));
    }

    #[test]
    fn deep_indentation() {
        assert_eq!(read("- [ ] a\n    - [ ] b\n").items[1].depth, 1);
        assert_eq!(read("- [ ] a\n        - [ ] b\n").items.len(), 1, "a paragraph goes on");
        assert_eq!(read("- [ ] a\n\n          - [ ] b\n").items.len(), 1, "indented code");
    }

    #[test]
    fn a_very_long_line() {
        let item = only(&format!("- [ ] 1.1 {}\n", "word ".repeat(1000)));
        assert_eq!(item.title.len(), 4999);
    }

    #[test]
    fn a_bullet_with_p_is_prose() {
        assert_eq!(show("- [P] tasks = different files\n- [ ] T001 a\n"), "2 0 [ ] Task T001 {} a");
        assert!(codes_of("- [P] tasks = x\n- [ ] T001 a\n").contains(&"parallel-bullet"));
    }

    #[test]
    fn front_matter_is_no_list() {
        assert_eq!(show("---\nspec: x\n- [ ] 1.0 a\n---\n- [ ] 1.1 b\n"), "5 0 [ ] Task 1.1 {} b");
    }
}

mod near_misses {
    use super::*;

    #[test]
    fn stars_dashes_and_tildes() {
        let source = "- [ ] 1.0 a\n- [ ]* 1.1 b\n- [x]\\* 1.2 c\n- [-] 1.3 d\n- [~] 1.4 e\n- [-]* 1.5 f\n- [v] 1.6 g\n";
        insta::assert_snapshot!(show(source), @"
        1 0 [ ] Task 1.0 {} a
        2 0 [ ]~ Optional 1.1 {} b
        3 0 [x]~ Optional 1.2 {} c
        4 0 [-]~ Task 1.3 {} d
        5 0 [~]~ Held 1.4 {} e
        6 0 [-]~ Optional 1.5 {} f
        ");
        assert_eq!(
            codes_of(source),
            [
                "optional-task",
                "optional-task",
                "task-started",
                "task-held",
                "optional-task",
                "task-started",
                "unknown-box"
            ]
        );
        let document = read(source);
        let ticked = apply(source.as_bytes(), &[document.tick(1).expect("open"), document.tick(3).expect("open")]);
        assert!(String::from_utf8_lossy(&ticked).contains("- [x]* 1.1 b\n- [x]\\* 1.2 c\n- [x] 1.3 d\n"));
    }

    #[test]
    fn a_box_without_a_bullet_is_noticed() {
        assert!(codes_of("[ ] 1. Title\n\n- [ ] 1.1 a\n").contains(&"checkbox-without-bullet"));
    }

    #[test]
    fn a_list_without_a_box_is_an_error() {
        let (document, diagnostics) = parse(&b"# Plan\n\n- write it\n"[..], "");
        assert!(document.items.is_empty());
        assert_eq!((diagnostics[0].code, diagnostics[0].severity), ("no-tasks", Severity::Error));
    }
}

mod role {
    use super::*;

    fn roles(source: &str) -> Vec<Role> {
        read(source).items.iter().map(|item| item.role).collect()
    }

    #[test]
    fn parents_by_indentation_and_by_ids() {
        use Role::{Parent, Task};
        assert_eq!(roles("- [ ] 1. a\n  - [ ] 1.1 b\n  - [ ] 1.2 c\n"), [Parent, Task, Task]);
        assert_eq!(roles("- [ ] 1. a\n- [ ] 1.1 b\n- [ ] 1.2 c\n- [ ] 2. d\n"), [Parent, Task, Task, Task]);
        assert_eq!(read("- [ ] 1. a\n- [ ] 1.1 b\n").items[1].parent, Some(0));
        assert_eq!(roles("- [ ] 1.3 a\n- [ ] 1.3.1 b\n"), [Task, Task], "longer ids say nothing");
        assert_eq!(roles("- [ ] 1. a\n- [ ] 1.1 [FIX 1] b\n"), [Task, Task], "fix tasks make no parent");
        assert_eq!(roles("- [ ] 1.10 a\n- [ ] 1. b\n- [ ] 10.1 c\n"), [Task, Task, Task]);
    }

    #[test]
    fn notes_are_what_has_nothing_of_a_task() {
        use Role::{Note, Task};
        assert_eq!(roles("- [ ] 1.1 a\n- [ ] 1.2 b\n- [ ] all is well\n"), [Task, Task, Note]);
        assert_eq!(
            roles("- [ ] 1.1 a\n- [ ] 1.2 b\n- [ ] c\n  - **Verify**: `true`\n- [ ] [P] d\n"),
            [Task, Task, Task, Task]
        );
        assert_eq!(roles("- [ ] a\n  - [ ] step\n- [ ] b\n"), [Task, Note, Task]);
        assert_eq!(roles("- [ ] 1.1 a\n- [ ] b\n- [ ] c\n"), [Task, Task, Task], "most have no id");
        assert!(codes_of("- [ ] 1.1 a\n- [ ] b\n").contains(&"note"));
    }

    #[test]
    fn optional_and_held_ones() {
        use Role::{Held, Optional, Parent, Task};
        assert_eq!(roles("- [ ] 1. a\n- [ ]* 1.1 b\n- [ ] 1.2 c\n- [~] 1.3 d\n"), [Parent, Optional, Task, Held]);
        assert_eq!(roles("- [ ]* 1. a\n  - [ ] 1.1 b\n"), [Parent, Optional], "a star on a parent speaks of its tasks");
        assert_eq!(
            roles("- [ ] 2. a\n  - Write it\n  - [ ]* 2.1 Test it\n"),
            [Task, Optional],
            "it has work of its own"
        );
        assert_eq!(roles("- [ ] 2. Tests\n  - [ ]* 2.1 Test it\n"), [Parent, Optional]);
        assert_eq!(roles("- [ ] 7.9* (P) a\n"), [Optional]);
        let document = read("- [ ]* 1.1 b\n- [ ] 1.2 c\n- [~] 1.3 d\n");
        let work =
            |notes, optional| (0..3).filter(|&index| document.is_work(index, notes, optional)).collect::<Vec<_>>();
        assert_eq!((work(false, false), work(true, true)), (vec![1], vec![0, 1]));
    }

    #[test]
    fn a_parent_with_work_is_noticed() {
        assert!(codes_of("- [ ] 1. a\n  - **Do**: x\n  - [ ] 1.1 b\n").contains(&"parent-with-do"));
    }
}

mod field {
    use super::*;

    #[test]
    fn every_dress_of_a_field() {
        for body in [
            "  - **Verify**: `true`\n",
            "  - **Verify:** `true`\n",
            "  **Verify**: `true`\n",
            "  _Verify: `true`_\n",
            "  - _Verify: `true`_\n",
            "  - Verify: `true`\n",
            "  - **Verify**:\n    - `true`\n",
            "  - **Verify**:\n\n    ```sh\n    true\n    ```\n",
            "  - **Verify**:\n    ```\n    true\n    ```\n",
            "- **Verify**: `true`\n",
            "\n**Verify**: `true`\n",
            "\t- **Verify**: `true`\n",
            "  - detail\n    - _Verify: `true`_\n",
        ] {
            let item = only(&format!("- [ ] 1.1 a\n{body}"));
            assert_eq!(scripts(&item.fields.verify), ["true"], "{body}");
        }
    }

    #[test]
    fn fields_at_column_0_end_at_the_next_task_or_heading() {
        let source = "- [ ] 1.1 a\n- **Do**: x\n- **Verify**: `true`\n\n- [ ] 1.2 b\n- **Verify**: `false`\n\n## Next\n\n**Verify**: `no`\n";
        let document = read(source);
        assert_eq!(scripts(&document.items[0].fields.verify), ["true"]);
        assert_eq!(scripts(&document.items[1].fields.verify), ["false"]);
        assert_eq!(&source[document.items[0].block.clone()], "- [ ] 1.1 a\n- **Do**: x\n- **Verify**: `true`\n");
    }

    #[test]
    fn values_end_where_the_next_field_begins() {
        let item = only(
            "- [ ] 1.1 a\n  - **Do**:\n    1. x\n    - **Verify**: not mine\n  - **Verify**: `true`\n  - other\n  - **Files**: a.rs\n",
        );
        assert_eq!(scripts(&item.fields.verify), ["true"]);
        assert_eq!(item.fields.files.len(), 1);
        let names: Vec<_> = item.fields.all.iter().map(|field| field.name.as_ref()).collect();
        assert_eq!(names, ["Do", "Verify", "Files"]);
    }

    #[test]
    fn all_fields_are_understood() {
        let item = only(
            "- [ ] 1.1 a\n  - **Run**: `make`\n  - **Agent**: claude\n  - **Model**: `opus`\n  - **Timeout**: 1h30m\n  - **Uses**: db, port-80\n  - **Dir**: web/\n  - **Retries**: 2\n  - **Files**: None\n  - **Commit**: None\n  - **Rollback**: undo it\n",
        );
        let fields = &item.fields;
        assert_eq!(scripts(&fields.run), ["make"]);
        assert_eq!(
            (fields.agent.as_deref(), fields.model.as_deref(), fields.dir.as_deref()),
            (Some("claude"), Some("opus"), Some("web"))
        );
        assert_eq!((fields.timeout, fields.retries, fields.files_none), (Some(5400), Some(2), true));
        assert_eq!(fields.uses, ["db", "port-80"]);
        assert_eq!(fields.commit, None);
        assert!(fields.all.iter().any(|field| field.name == "Rollback"));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(codes_of("- [ ] 1.1 a\n  - **Timeout**: soon\n").contains(&"invalid-value"));
        assert!(codes_of("- [ ] 1.1 a\n  - **Verfy**: `x`\n").contains(&"unknown-field"));
        assert!(codes_of("- [ ] 1.1 a\n  - **Verify**: it works\n").contains(&"verify-not-executable"));
        assert!(codes_of("- [ ] 1.1 a\n  - **Run**: it\n").contains(&"run-not-executable"));
        assert!(codes_of("- [ ] 1.1 a\n  - **Verify**: `cargo test | tail -3`\n").contains(&"verify-piped"));
        assert!(codes_of("- [x] **Do**: x\n").contains(&"field-as-task"));
        for field in ["Verify", "Run"] {
            let fence = format!("- [ ] 1.1 a\n  - **{field}**:\n    ```sh\n    cd x\n    make\n    ```\n");
            assert_eq!(codes_of(&fence), ["script-hides-failures"]);
            assert!(codes_of(&fence.replace("cd x", "set -e")).is_empty());
        }
        assert!(codes_of("- [ ] 1.1 a\n  - **Verify**: None\n").is_empty());
    }

    #[test]
    fn a_session_and_its_output() {
        let item = only("- [ ] 1.1 a\n  - **Verify**:\n    ```console\n    $ make\n    done\n    ```\n");
        assert_eq!(scripts(&item.fields.verify), ["make"]);
        let output = only("- [ ] 1.1 a\n  - **Verify**: `make` prints:\n    ```\n    done\n    ```\n");
        assert_eq!(scripts(&output.fields.verify), ["make"]);
        let other = only("- [ ] 1.1 a\n  - **Verify**:\n    ```python\n    x\n    ```\n");
        assert!(other.fields.verify.is_empty() && other.fields.verify_prose);
    }
}

mod dependencies {
    use super::*;

    fn depends(source: &str, index: usize) -> Vec<usize> {
        let document = read(source);
        document.items[index].fields.depends.iter().flat_map(|dependency| dependency.items.clone()).collect()
    }

    #[test]
    fn every_notation_means_the_same() {
        for last in [
            "- [ ] 1.3 c\n  - _Depends: 1.1, 1.2_\n",
            "- [ ] 1.3 c\n  - **Depends on**: 1.1 and 1.2\n",
            "- [ ] 1.3 c\n  - Dependencies: 1.1 (the first), 1.2.\n",
            "- [ ] 1.3 c\n  - depends: [1.1, 1.2]\n",
            "- [ ] 1.3 c\n  - _DependsOn: 1.1-1.2_\n",
            "- [ ] 1.3 c\n  - **依赖**：1.1、1.2\n",
            "- [ ] 1.3 [depends:1.1,1.2] c\n",
            "- [ ] 1.3 c (depends on 1.1, 1.2)\n",
            "- [ ] 1.3 c\n  - **Depends**:\n    - 1.1\n    - Task 1.2\n",
        ] {
            assert_eq!(depends(&format!("- [ ] 1.1 a\n- [ ] 1.2 b\n{last}"), 2), [0, 1], "{last}");
        }
    }

    #[test]
    fn ranges_parents_groups_and_zeros() {
        let list = "- [ ] T001 a\n- [ ] T002 b\n- [ ] T003 c\n- [ ] T004 d\n  - _Depends: T001-T003_\n";
        assert_eq!(depends(list, 3), [0, 1, 2]);
        assert_eq!(depends("- [ ] T001 a\n- [ ] T002 b\n  - _Depends: T1_\n", 1), [0]);
        assert_eq!(depends("- [ ] 1.1 a\n- [ ] 1.2 b\n- [ ] 2.1 c\n  - _Depends: all 1.x tasks_\n", 2), [0, 1]);
        let parent = read("- [ ] 1. a\n  - [ ] 1.1 b\n- [ ] 2. c\n  - _Depends: 1_\n");
        assert_eq!(parent.items[2].fields.depends[0].items, [0]);
        assert_eq!(
            depends(
                "## Phase 1: x\n- [ ] 1.1 a\n- [ ] 1.2 b\n## Phase 2: y\n- [ ] 2.1 c\n  - _Depends: Phase 1 complete_\n",
                2
            ),
            [0, 1]
        );
    }

    #[test]
    fn none_is_no_dependency() {
        for none in ["None", "none", "[]", "なし", "—", "No dependencies"] {
            let list = format!("- [ ] 1.1 a\n- [ ] 1.2 b\n  - _Depends: {none}_\n");
            assert!(depends(&list, 1).is_empty() && codes_of(&list).is_empty(), "{none}");
        }
    }

    #[test]
    fn nowhere_is_an_error_and_prose_a_warning() {
        let (document, diagnostics) = parse(&b"- [ ] 1.1 a\n  - _Depends: 9.9_\n"[..], "");
        assert_eq!((diagnostics[0].code, diagnostics[0].severity), ("unknown-dependency", Severity::Error));
        assert_eq!(document.position(diagnostics[0].span.start), (2, 15));
        assert!(document.items[0].fields.depends[0].items.is_empty());
        assert_eq!(codes_of("- [ ] 1.3 a\n- [ ] 1.4 b\n  - _Depends: entry-flow task 1.3_\n"), ["dependency-unclear"]);
    }

    #[test]
    fn sections_speak_for_their_tasks() {
        let list = "# Tasks\n\n## WP01: First\n- [ ] T001 a\n- [ ] T002 b\n\n## WP02: Second\n\n**Dependencies**: WP01\n\n- [ ] T003 c\n\n## WP03: Third\n- [ ] T004 d\n\n### Dependencies\n- Depends on WP01, WP02 (all of it).\n";
        assert_eq!(depends(list, 2), [0, 1]);
        assert_eq!(depends(list, 3), [0, 1, 2]);
        assert!(depends(list, 0).is_empty());
        assert_eq!(depends(&list.replace("WP01, WP02 (all", "WP01-WP02 (all"), 3), [0, 1, 2]);
        assert_eq!(depends(&list.replace("## WP0", "## Work Package 0"), 3), [0, 1, 2]);
        let groups = "## Task Group 1\n- [ ] a\n## Task Group 2\n- [ ] b\n## Task Group 3\n**Dependencies:** Task Groups 1, 2\n- [ ] c\n";
        assert_eq!(depends(groups, 2), [0, 1]);
        assert_eq!(codes_of("## A\n**Dependencies**: SPEC-004, US2\n- [ ] 1.1 a\n"), ["dependency-unclear"; 2]);
        assert_eq!(codes_of("## WP02\n**Dependencies**: WP01\n- [ ] T001 a\n"), ["unknown-dependency"]);
        assert!(codes_of("---\ndependencies: [\"WP01\"]\n---\n- [ ] T001 a\n").is_empty());
        assert!(depends("# Tasks\n\n**Dependencies**: T001\n\n- [ ] T001 a\n- [ ] T002 b\n", 1).is_empty());
    }

    #[test]
    fn too_many_are_refused_in_time() {
        let task = |number| format!("- [ ] T{number:04} a\n  - _Depends: all previous tasks, T0000-T0400_\n");
        let list: String = (0..2_000).map(task).collect();
        assert!(codes_of(&list).contains(&"too-many-dependencies"));
    }
}

#[test]
fn selectors() {
    let document =
        read("## Phase 1: Make it\n- [ ] 1. a\n  - [ ] 1.1 b\n  - [ ] 1.2 c\n## Phase 10: x\n- [ ] 2.1 d\n- [ ] e\n");
    let select = |selector: &str| document.select(selector);
    assert_eq!(select("1.2"), Some(vec![2]));
    assert_eq!(select("1"), Some(vec![1, 2]));
    assert_eq!(select("Phase 1"), Some(vec![1, 2]));
    assert_eq!(select("phase 10: x"), Some(vec![3, 4]));
    assert_eq!(select(":4"), Some(vec![4]));
    assert_eq!(select(":5"), None);
    assert_eq!(select("3.1"), None);
    assert_eq!(document.label(4), ":4");
}

#[test]
fn keys_tell_equals_apart() {
    let document = read("- [ ] a\n- [ ] a\n- [ ] 1.1 a\n");
    let keys: Vec<String> = (0..3).map(|index| document.key(index)).collect();
    insta::assert_snapshot!(keys.join(" "), @"~e8b7be43~0 ~e8b7be43~1 1.1~901644ed~0");
}

#[test]
fn an_edited_list_is_matched_by_id_then_text_then_place() {
    let old = read("- [ ] 1.1 one\n- [ ] 1.2 two\n- [ ] plain\n- [ ] odd\n- [ ] 1.3 three\n");
    let new =
        read("- [ ] 0.1 new\n- [ ] 1.2 two, edited\n- [ ] 1.1 one\n- [ ] plain\n- [ ] odd, edited\n- [ ] 1.3 three\n");
    assert_eq!(old.rematch(&new), [Some(2), Some(1), Some(3), Some(4), Some(5)]);
    let gone = read("- [ ] 1.1 one\n- [ ] 9.9 another\n");
    assert_eq!(old.rematch(&gone), [Some(0), None, None, None, None], "another task in its place is another task");
    assert_eq!(old.find_in(1, &new), Some(1));
}

#[test]
fn the_same_tick_is_made_in_another_version() {
    let mine = read("- [ ] 1.1 one, edited by a person\n- [ ] 1.2 two\n");
    let head = read("# Head\n\n- [ ] 1.1 one\n- [X] 1.2 two\n");
    let edit = mine.tick_in(0, &head).expect("it is open there");
    assert_eq!(String::from_utf8_lossy(&apply(&head.source, &[edit])), "# Head\n\n- [X] 1.1 one\n- [X] 1.2 two\n");
    assert_eq!(mine.tick_in(1, &head), None, "ticked already");
}

#[test]
fn the_habit_of_the_file_is_kept() {
    assert_eq!(read("- [X] a\n- [X] b\n- [x] c\n- [ ] d\n").tick, b'X');
    assert_eq!(read("- [x] a\n- [X] b\n").tick, b'x');
}

#[test]
fn dialects_are_told_by_path_then_by_content() {
    let dialect = |source: &str, path: &str| parse(source.as_bytes(), path).0.dialect;
    assert_eq!(dialect("- [ ] a\n", "x/.kiro/specs/a/tasks.md"), Dialect::Kiro);
    assert_eq!(dialect("- [ ] a\n", "openspec/changes/a/tasks.md"), Dialect::Openspec);
    assert_eq!(dialect("- [ ] T001 a\n- [ ] T002 b\n", ""), Dialect::Speckit);
    assert_eq!(dialect("## WP01: x\n- [ ] T001 a\n- [ ] T002 b\n", ""), Dialect::Speckitty);
    assert_eq!(dialect("- [ ] 1.1 a\n  - _Requirements: 1.1_\n", ""), Dialect::Kiro);
    assert_eq!(dialect("- [ ] 1. a\n  - _Leverage: x_\n", ""), Dialect::Specworkflow);
    assert_eq!(dialect("## 1. x\n- [ ] 1.1 a\n- [ ] 1.2 b\n", ""), Dialect::Openspec);
    assert_eq!(dialect("- [ ] Task 1: a (AC: 1)\n", ""), Dialect::Bmad);
    assert_eq!(dialect("- [ ] a\n", ""), Dialect::Plain);
}

#[test]
fn every_code_is_listed_once_and_in_the_documentation() {
    let listed: Vec<&str> = codes::CODES.iter().map(|(code, _)| *code).collect();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(listed, sorted);
    let page = include_str!("../../docs/tasks-format.md");
    for (code, meaning) in codes::CODES {
        assert!(
            page.contains(&format!("| `{code}` | {meaning} |")),
            "docs/tasks-format.md does not list `{code}`: {meaning}"
        );
    }
}

/// Hostile lists cost time in step with their length: each of these took minutes or more where something is quadratic.
#[test]
fn hostile_lists_are_read_in_step_with_their_length() {
    let n = 50_000;
    let hostile = [
        "- ".repeat(n),
        "> ".repeat(n),
        "- [ ] ".repeat(n),
        "[".repeat(n),
        "`".repeat(n),
        "- [ ] 1.1 a\n  - **Verify**: ".to_owned() + &"` `` ".repeat(n),
        "- [ ] **".repeat(n / 8) + "\n",
        "- [ ] 1.1 [depends:".to_owned() + &"1,".repeat(n) + "]\n",
        "- [ ] 1.1 a\n  - _Depends: ".to_owned() + &"9.9,".repeat(n) + "_\n",
        "- [ ] 1.1 a\n".repeat(n),
        "- [ ] a\n\n".repeat(n),
        format!("{}\n{}", "- ".repeat(2_000), "\n".repeat(n)),
        format!("- [ ] 1.1 a {}\n", "(depends on ".repeat(n)),
        format!("- [ ] 1.1 a {})\n", "(depends on ".repeat(n)),
        "# a\n".repeat(n),
        "---\n".repeat(n),
        "<!--\n- [ ] a\n".repeat(n),
        "- [ ] 1.1 a\n  ```\n".repeat(n / 4),
        format!("- [ ] 1.1 {}\n", "[a](b) ".repeat(n)),
        format!("- [ ] 1.1 a\n  - **Files**: {}\n", "{a,b}/".repeat(n / 100)),
        format!("- [ ] 1.1 a\n  - **Files**: {}\n", "a.rs, ".repeat(n)),
    ];
    for source in hostile {
        let (document, diagnostics) = parse(source.into_bytes(), "");
        assert!(diagnostics.len() < 200_000 && document.items.len() <= n);
    }
}

/// Pieces that lists are made of, good and bad.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "- [ ] ",
        "- [x] ",
        "* [X] ",
        "1. [ ] ",
        "- [ ]* ",
        "- [-] ",
        "- [~] ",
        "- [x]",
        "- ",
        "> ",
        "\t",
        "  ",
        "    ",
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "1.1 ",
        "1.2 ",
        "2. ",
        "T001 ",
        "T002: ",
        "[P] ",
        "(P) ",
        "[VERIFY] ",
        "[FIX 1.1] ",
        "**Do**: ",
        "- **Verify**: ",
        "- **Files**: ",
        "_Depends: 1.1_",
        "- _Depends: ",
        "**Depends on:** ",
        "`cargo test`",
        "`",
        "```\n",
        "```sh\n",
        "# ",
        "## Phase 1: x\n",
        "### Task 1.1: x\n",
        "---\n",
        "<!--",
        "-->",
        "word ",
        "src/a.rs",
        "（",
        "：",
        "任務 8.3: ",
        "\u{feff}",
        "**",
        "_",
        "~~",
        "[",
        "]",
        "(",
        ")",
        ":",
        "\\",
        "|",
        "\0",
        "é",
    ]);
    prop_oneof![8 => fixed.prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

pub(super) fn list() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat().into_bytes());
    (bytes, prop::option::of((any::<prop::sample::Index>(), any::<u8>()))).prop_map(|(mut bytes, change)| {
        if let Some((index, byte)) = change
            && !bytes.is_empty()
        {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn assert_sound(document: &Document) {
    for (index, item) in document.items.iter().enumerate() {
        let inside = |range: &std::ops::Range<usize>| range.start <= range.end && range.end <= document.source.len();
        assert!(inside(&item.block) && inside(&item.own));
        assert!(item.parent.is_none_or(|parent| parent < index));
        assert!(item.heading.is_none_or(|heading| heading < document.headings.len()));
        assert!(item.fields.all.iter().all(|field| inside(&field.value)));
        assert!(
            item.fields.depends.iter().flat_map(|dependency| &dependency.items).all(|&on| on < document.items.len())
        );
        assert!(document.select(&format!(":{index}")).is_some());
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (document, diagnostics) = parse(bytes, "");
        assert_sound(&document);
        for diagnostic in diagnostics {
            prop_assert!(diagnostic.span.end <= document.source.len());
            prop_assert!(codes::CODES.iter().any(|(code, _)| *code == diagnostic.code));
        }
    }

    #[test]
    fn lists_made_of_pieces_are_sound(source in list()) {
        let (document, diagnostics) = parse(source, "");
        assert_sound(&document);
        for diagnostic in diagnostics {
            prop_assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end <= document.source.len(), "{diagnostic:?}");
        }
        let identity: Vec<Option<usize>> = (0..document.items.len()).map(Some).collect();
        prop_assert_eq!(document.rematch(&document), identity);
    }

    #[test]
    fn a_tick_changes_one_byte_and_one_item(source in list()) {
        let (document, _) = parse(source.clone(), "");
        for index in 0..document.items.len() {
            let Some(edit) = document.tick(index) else { continue };
            let insertion = matches!(document.items[index].tick_at, Tick::Insert(_));
            prop_assert_eq!((edit.at.len(), edit.with.len()), if insertion { (0, 4) } else { (1, 1) });
            let (after, _) = parse(apply(&source, &[edit]), "");
            prop_assert_eq!(after.items.len(), document.items.len());
            for (place, (old, new)) in document.items.iter().zip(&after.items).enumerate() {
                prop_assert_eq!(new.checked, old.checked || place == index);
                prop_assert_eq!((old.line, old.depth, &old.text, &old.id), (new.line, new.depth, &new.text, &new.id));
            }
        }
    }
}

mod safe_mends {
    use super::*;

    /// The list after its mends, and their codes.
    fn mend(source: &str) -> (String, Vec<&'static str>) {
        let (document, diagnostics) = parse(source.as_bytes(), "");
        let mends = mends(&document, &diagnostics, "");
        let codes = mends.iter().map(|mend| mend.code).collect();
        (String::from_utf8(mended(&document, &mends)).expect("UTF-8"), codes)
    }

    #[test]
    fn what_is_written_wrongly_is_written_right() {
        for (source, expected, code) in [
            ("- [x]1.1 a\n", "- [x] 1.1 a\n", "checkbox-without-space"),
            ("* [ ]T001 a", "* [ ] T001 a", "checkbox-without-space"),
            ("- [ ] 1.1 [P] [VERIFY] a\n", "- [ ] 1.1 [VERIFY] a\n", "both-marked"),
            ("- [ ] [P] 1.1 [SEQUENTIAL] a\r\n", "- [ ] 1.1 [SEQUENTIAL] a\r\n", "both-marked"),
            ("- [ ] 1.1 [VERIFY] a [P]\n", "- [ ] 1.1 [VERIFY] a\n", "both-marked"),
            ("- [ ] **1.1 [VERIFY] (P)** a\n", "- [ ] **1.1 [VERIFY]** a\n", "both-marked"),
            ("- [ ] [P] [P] [VERIFY] a\n", "- [ ] [VERIFY] a\n", "both-marked"),
            ("- [ ] 1.1 [P] (P) [VERIFY] a [P]\n", "- [ ] 1.1 [VERIFY] a\n", "both-marked"),
            ("- [ ] 1.1 [verify] a\n", "- [ ] 1.1 [VERIFY] a\n", "marker-spelling"),
            ("- [ ] 1.1 [Verify:api] a\n", "- [ ] 1.1 [VERIFY:api] a\n", "marker-spelling"),
            ("- [ ] 1.1 [Sequential] a\n", "- [ ] 1.1 [SEQUENTIAL] a\n", "marker-spelling"),
            ("- [ ] 1.1 [VERIFY] a\n- [ ] 1.2 (P) b\n", "- [ ] 1.1 [VERIFY] a\n- [ ] 1.2 [P] b\n", "marker-spelling"),
            (
                "- [ ] 1.1 (P) a\n- [ ] 1.2 (P) b\n- [ ] 1.3 [P] c\n",
                "- [ ] 1.1 (P) a\n- [ ] 1.2 (P) b\n- [ ] 1.3 (P) c\n",
                "marker-spelling",
            ),
            ("- [ ] T001 [ P ] a\n- [ ] T002 [[P]] b\n", "- [ ] T001 [P] a\n- [ ] T002 [P] b\n", "marker-spelling"),
        ] {
            let (after, codes) = mend(source);
            assert_eq!(after, expected);
            assert!(!codes.is_empty() && codes.iter().all(|found| *found == code), "{source}: {codes:?}");
            assert!(!codes_of(&after).contains(&code), "{after}");
        }
    }

    /// Each of these would make another list of it.
    #[test]
    fn what_would_change_the_meaning_is_left_alone() {
        for source in [
            "- [ ] 1.1 a\n- [ ]no id\n",
            "- [ ] 1.1 a\n\n[ ] 1.2 b\n",
            "- [ ] 1.1 a\n- [v] 1.2 b\n",
            "- [ ]* 1.1 a\n",
            "- [ ] 1.1 a\n- [-] 1.2 b\n",
            "- [ ] 1.1 a\n- [ ] 1.1 b\n",
            "- [ ] 1.1 a\n  - **Verfy**: `true`\n",
            "- [ ] 1.1 a\n  - **Verify**: `make | tail -1`\n",
            "- [ ] 1.1 a\n- [ ] **Do**: b\n",
            "- [ ] 1.1 Add [P] to it\n",
            "- [ ] 1.1 a\n- [P] prose\n",
            "- [ ] 1.1 (P) a\n- [ ] 1.2 (P) b\n",
        ] {
            assert_eq!(mend(source), (source.to_owned(), vec![]));
        }
    }

    #[test]
    fn a_mend_that_would_change_something_else_is_not_made() {
        // Without its mark the emphasis around it would be another one.
        let source = "- [ ] **[P]** [VERIFY] a\n- [x]1.1 b\n";
        let (after, codes) = mend(source);
        let (before, after) = (read(source), read(&after));
        assert_eq!(after.items.len(), before.items.len());
        for (old, new) in before.items.iter().zip(&after.items) {
            assert_eq!((&old.id, &old.title, old.role), (&new.id, &new.title, new.role), "{codes:?}");
        }
        assert!(codes.contains(&"checkbox-without-space"));
        // Each mark could go, and not both.
        let (after, codes) = mend("- [ ] [P] **[P]** title [VERIFY]\n- [x]1.1 b\n");
        assert_eq!(
            (after.as_str(), codes),
            ("- [ ] [P] **[P]** title [VERIFY]\n- [x] 1.1 b\n", vec!["checkbox-without-space"])
        );
    }

    #[test]
    fn of_many_mends_those_that_do_not_hold_are_left_out() {
        let task = |number: usize| {
            let mark = if number % 40 == 7 { "**[P]** [VERIFY] a" } else { "1.1 [P] [VERIFY] a" };
            format!("- [ ] {mark}\n").replace("1.1", &format!("1.{number}"))
        };
        let (after, codes) = mend(&(0..400).map(task).collect::<String>());
        assert_eq!((codes.len(), after.matches("[P]").count()), (390, 10));
    }

    /// Lines in which there is much to mend.
    fn doubtful() -> impl Strategy<Value = String> {
        let select = |of: &[&'static str]| prop::sample::select(of.to_vec());
        let line = (
            select(&["- ", "- ", "* ", "  - ", "1. ", "### "]),
            select(&["[ ]", "[x]", "[X]", "[-]", "[~]", "[ ]*", r"[x]\*", "[v]", ""]),
            select(&[" ", " ", "", "\t", "\u{a0}"]),
            select(&["1.1", "1.2", "T001", "Task 3.2:", "A1", "A2", "**1.3**", "1.", "", "[T002]"]),
            prop::collection::vec(
                select(&[
                    " [P]",
                    " (P)",
                    " [[P]]",
                    " (∥)",
                    " [PARALLEL]",
                    " [VERIFY]",
                    " [verify:x]",
                    " [sequential]",
                    " [US1]",
                    " **[P]**",
                    "[P]",
                    " [p]",
                ]),
                0..3,
            ),
            select(&[" title", " Add [P] to it", " title (P)", " title [Verify]", " **bold**", "", " `code` [P]"]),
            select(&[
                "\n",
                "\n",
                "\r\n",
                "\n\n",
                "\n  - **Verify**: `true`\n",
                "\n  - Depends: 1.1\n",
                "\n## H\n",
                "\n```\n",
                "\n  - **Files**: a.rs\n",
            ]),
        );
        prop::collection::vec(line, 0..12).prop_map(|lines| {
            let line =
                |(bullet, boxed, blank, id, marks, title, end): (&str, &str, &str, &str, Vec<&str>, &str, &str)| {
                    [bullet, boxed, blank, id, &marks.concat(), title, end].concat()
                };
            lines.into_iter().map(line).collect()
        })
    }

    fn check(source: &[u8]) {
        let shown = String::from_utf8_lossy(source);
        let (before, diagnostics) = parse(source, "");
        let found = mends(&before, &diagnostics, "");
        let (after, left) = parse(mended(&before, &found), "");
        assert_eq!(after.items.len(), before.items.len(), "{shown}");
        for (old, new) in before.items.iter().zip(&after.items) {
            assert_eq!((&old.id, &old.title, old.line), (&new.id, &new.title, new.line), "{shown}");
            assert_eq!(
                (old.checked, old.box_char, old.role, old.parent),
                (new.checked, new.box_char, new.role, new.parent),
                "{shown}"
            );
            assert_eq!(
                (old.parallel, old.is_verify(), old.is_sequential()),
                (new.parallel, new.is_verify(), new.is_sequential()),
                "{shown}"
            );
            assert_eq!(
                (scripts(&old.fields.verify), scripts(&old.fields.run)),
                (scripts(&new.fields.verify), scripts(&new.fields.run)),
                "{shown}"
            );
            assert_eq!((&old.fields.files, &old.fields.commit), (&new.fields.files, &new.fields.commit), "{shown}");
            let depends = |item: &Item| item.fields.depends.iter().flat_map(|on| on.items.clone()).collect::<Vec<_>>();
            assert_eq!(depends(old), depends(new), "{shown}");
        }
        assert_eq!(mends(&after, &left, ""), [], "nothing is left to mend in {shown}");
        // What was said of the list before and is not mended is still said.
        let unmended = |diagnostics: &[Diagnostic]| -> Vec<&'static str> {
            let mendable = ["checkbox-without-space", "both-marked", "marker-spelling"];
            diagnostics.iter().map(|found| found.code).filter(|code| !mendable.contains(code)).collect()
        };
        assert_eq!(unmended(&diagnostics), unmended(&left), "{shown}");
    }

    proptest! {
        #[test]
        fn mends_change_no_task_and_leave_nothing_to_mend(source in doubtful()) {
            check(source.as_bytes());
        }

        #[test]
        fn mends_of_any_list_change_no_task(source in list()) {
            check(&source);
        }
    }
}
