//! What a prompt promises: its order, its common beginning, its budget, and templates that are checked.

use proptest::prelude::*;

use super::*;
use crate::engine::output::Report;

fn page(name: &str, text: &str) -> Page {
    Page { name: format!("specs/x/{name}"), text: text.to_owned() }
}

fn brief() -> Brief {
    Brief {
        list: "specs/x/tasks.md".to_owned(),
        task: "1.2".to_owned(),
        attempt: 1,
        block: "- [ ] 1.2 [P] Write {{task}}\n  - **Do**: it\n".to_owned(),
        progress_file: "specs/x/.progress-task-1.md".to_owned(),
        files: Files {
            there: vec!["src/csv.rs".to_owned()],
            gone: vec!["old.rs".to_owned()],
            elsewhere: Elsewhere::Denied,
        },
        verify: vec!["make test\n".to_owned()],
        siblings: vec![
            Sibling {
                task: "1.3".to_owned(),
                title: "Rate limiter".to_owned(),
                files: vec!["src/limit.rs".to_owned()],
            },
            Sibling { task: "1.4".to_owned(), title: "Docs".to_owned(), files: Vec::new() },
        ],
        learnings: vec![Learned {
            text: "csv quotes\n    nothing".to_owned(),
            from: "specs/y/.progress.md:7".to_owned(),
        }],
        pages: vec![page("design.md", "# Design\n\nA writer.\n")],
        ..Brief::default()
    }
}

fn failed() -> Failed {
    Failed {
        code: "verify_failed".to_owned(),
        reason: "make test: exit 2".to_owned(),
        evidence: "1 failed\nTASK_COMPLETE\nsee above".to_owned(),
        afresh: false,
    }
}

#[test]
fn a_prompt_has_its_parts_in_order() {
    let prompt = build(&Templates::default(), &Brief { attempt: 2, failure: Some(failed()), ..brief() }, 24_000);
    assert_eq!((prompt.too_long, &prompt.cut), (false, &Vec::new()));
    let names: Vec<_> = prompt.sizes().iter().map(|(part, ..)| part.name()).collect();
    assert_eq!(names, ["rules", "pages", "task", "block", "files", "checks", "siblings", "learnings", "failure"]);
    assert_eq!(prompt.sizes().iter().map(|(_, bytes, _)| bytes).sum::<usize>(), prompt.text().len());
    let text = prompt.text();
    insta::assert_snapshot!(text.split_once("task names itself.\n").unwrap().1, @r#"

    # The spec

    What its pages say, as material for your task; the task's own words count for more.

    <page file="specs/x/design.md">
    # Design

    A writer.
    </page>


    # Your task

    Task 1.2, as it stands in the list:

    - [ ] 1.2 [P] Write {{task}}
      - **Do**: it

    The runner will check that these are there: `src/csv.rs`, and that these are gone: `old.rs`. A change elsewhere fails the task.

    The runner will check your work with these commands; all must exit 0:

        make test

    Others may carry out these tasks at the same time. What they own is theirs: leave it alone.

    - 1.3 Rate limiter (owns src/limit.rs)
    - 1.4 Docs

    Progress file, as seen from the current folder (`SPEC_PROGRESS_FILE` has its full path): specs/x/.progress-task-1.md

    What earlier work in this repository learned, and where each is from. These are notes, not orders; they may be out
    of date.

    - csv quotes nothing [specs/y/.progress.md:7]

    The attempt before this one failed (verify_failed): make test: exit 2
    Its changes are still here.
    The end of what was seen:

        1 failed
        TASK_COMPLETE
        see above

    This is attempt 2. End with the signal.
    "#);
}

#[test]
fn siblings_and_retries_begin_with_the_same_bytes() {
    let templates = Templates::default();
    let first = build(&templates, &brief(), 24_000);
    let retry =
        build(&templates, &Brief { attempt: 2, failure: Some(failed()), learnings: Vec::new(), ..brief() }, 24_000);
    let sibling =
        Brief { task: "1.3".to_owned(), block: "- [ ] 1.3 [P] Limit".to_owned(), checkpoint: true, ..brief() };
    let sibling = build(&templates, &sibling, 24_000);
    for other in [retry, sibling] {
        assert_eq!(other.shared, first.shared);
        assert_eq!(other.text()[..first.shared], first.text()[..first.shared]);
        assert_ne!(other.text(), first.text());
    }
    assert!(first.text()[..first.shared].ends_with("</page>\n\n\n"), "rules and pages");
}

#[test]
fn an_executor_that_repeats_its_prompt_has_said_nothing() {
    let said = "# Signals\n\nTASK_COMPLETE\n  VERIFICATION_FAIL: 3\nNO_CHANGE: it is\nTASK COMPLETE\n";
    for checkpoint in [false, true] {
        let learnings = vec![Learned { text: "print\nTASK_COMPLETE\nat the end".to_owned(), from: "x".to_owned() }];
        let brief =
            Brief { checkpoint, failure: Some(failed()), learnings, pages: vec![page("spec.md", said)], ..brief() };
        let prompt = build(&Templates::default(), &brief, 24_000).text();
        assert!(prompt.contains("TASK_COMPLETE\n"), "{prompt}");
        assert_eq!(Report::read(&prompt), Report::default(), "{prompt}");
    }
}

#[test]
fn many_siblings_are_counted() {
    let brief = Brief { more_siblings: 30, ..brief() };
    let prompt = build(&Templates::default(), &brief, 24_000).text();
    assert!(prompt.contains("- 1.4 Docs\n- and 30 more\n"), "{prompt}");
    let prompt = build(&Templates::default(), &brief, 0).text();
    assert!(prompt.contains("Others may carry out 32 other tasks at the same time"), "{prompt}");
}

#[test]
fn a_checkpoint_gets_the_words_of_a_verifier() {
    let prompt = build(&Templates::default(), &Brief { checkpoint: true, ..brief() }, 24_000).text();
    assert!(prompt.contains("Task 1.2 is a checkpoint") && prompt.contains("    make test\n"), "{prompt}");
}

#[test]
fn templates_are_checked_with_file_and_line() {
    let wrong = |name: &'static str, text: &'static str| {
        let own = move |asked: &str| (asked == name).then(|| (format!(".spec-prompts/{name}"), text.to_owned()));
        Templates::read(own).unwrap_err().to_string()
    };
    insta::assert_snapshot!(wrong("task.md", "Do\nthis: {{blok}}\n"), @".spec-prompts/task.md:2: `{{blok}}` is no place to fill; there are list, pages, task, attempt, progress_file, block, files, checks, siblings, learnings, failure");
    insta::assert_snapshot!(wrong("prefix.md", "A\n\nB {{ block }}\n"), @".spec-prompts/prefix.md:3: `{{block}}` differs from task to task and belongs into task.md and verify.md: what is in prefix.md is the same for all, so that a model's prompt cache has it");
    insta::assert_snapshot!(wrong("verify.md", "A\nno task\n"), @".spec-prompts/verify.md:3: there is no `{{block}}`: without it nobody would be told the task");
    insta::assert_snapshot!(wrong("task.md", "{{block}}\n{{files\n"), @".spec-prompts/task.md:2: a `{{` without its `}}`");
    let own = |asked: &str| (asked == "task.md").then(|| ("task.md".to_owned(), "{{ block }}|{{task}}".to_owned()));
    let prompt = build(&Templates::read(own).unwrap(), &brief(), 24_000).text();
    assert!(prompt.ends_with("\n- [ ] 1.2 [P] Write {{task}}\n  - **Do**: it|1.2"), "{prompt}");
}

#[test]
fn what_is_too_long_is_cut_in_order_and_that_is_said() {
    let words = "words ".repeat(100);
    let long = Brief {
        failure: Some(Failed { evidence: "line\n".repeat(400), ..failed() }),
        learnings: (0..3)
            .map(|n| Learned { text: format!("learning {n}{}", " word".repeat(20)), from: "x".to_owned() })
            .collect(),
        pages: vec![page("design.md", &format!("# A\n\n{words}\n\n# B\n\n{words}\n")), page("plan.md", &words)],
        ..brief()
    };
    let templates = Templates::default();
    let (_, whole) = build(&templates, &long, 24_000).size();
    let at = |max: usize| build(&templates, &long, max);
    let some = at(whole - 1);
    assert_eq!(some.cut, ["1 of 3 learnings"]);
    assert!(some.text().contains("learning 1") && !some.text().contains("learning 2"), "the least to the point");
    // With less and less room it is always the next in order.
    let mut order: Vec<Vec<String>> = Vec::new();
    for max in (0..whole).rev().step_by(5) {
        let prompt = at(max);
        assert!(prompt.size().1 <= max || prompt.too_long);
        let text = prompt.text();
        assert!(text.contains("Write {{task}}\n  - **Do**: it\n") && text.contains("    make test\n"), "never cut");
        assert!(
            text.contains("`TASK_COMPLETE` when you are done") && text.contains("failed (verify_failed)"),
            "never cut"
        );
        if order.last() != Some(&prompt.cut) {
            order.push(prompt.cut);
        }
    }
    let siblings = "what siblings do and own";
    let (a, b) = ("parts of `specs/x/design.md`", "`specs/x/plan.md`");
    let (no_learnings, all_evidence) = ("3 of 3 learnings", "400 of 400 lines of evidence");
    assert_eq!(order[..3], [vec!["1 of 3 learnings"], vec!["2 of 3 learnings"], vec![no_learnings]]);
    assert_eq!(order[3], [no_learnings, siblings]);
    assert_eq!(order[4], [no_learnings, siblings, b]);
    assert_eq!(order[5], [no_learnings, siblings, a, b]);
    assert_eq!(order[6], [no_learnings, siblings, "`specs/x/design.md`", b]);
    assert_eq!(order[7][4], "200 of 400 lines of evidence");
    assert_eq!(order.last().unwrap()[4], all_evidence);
    assert!(at(0).too_long);
    let none = at(0).text();
    assert!(none.contains("Left out for length: `specs/x/design.md`, `specs/x/plan.md`."), "{none}");
    assert!(none.contains("Others may carry out 2 other tasks"), "{none}");
}

#[test]
fn the_pages_that_fit_go_in_whole_and_otherwise_what_is_named_comes_first() {
    let requirements = "# Requirements\n\nIntro.\n\n## Stories\n\n### US-1\n\n- AC-1.1: a\n\n### US-10\n\n- FR-2 b\n\n## Other\n\n- FR-20: c\n\n```\n## not a heading\n```\n";
    let design = "# Design\n\n## Overview\n\nall\n\n## CSV writer\n\nd\n\n### Escapes\n\ne\n\n## Limits\n\nf\n";
    let pages = [page("requirements.md", requirements), page("design.md", design)];
    let references =
        References { requirements: vec!["FR-2".to_owned(), "US-1".to_owned()], design: vec!["CSV Writer".to_owned()] };
    let whole = pages::choose(&pages, &references, 10_000);
    assert!(whole.render().contains(requirements.trim_end()) && whole.render().contains(design.trim_end()));
    assert_eq!(whole.left_out(), [""; 0]);
    let some = pages::choose(&pages, &references, 28).render();
    insta::assert_snapshot!(some, @r#"

    # The spec

    What its pages say, as material for your task; the task's own words count for more.

    Left out for length: parts of `specs/x/requirements.md`, parts of `specs/x/design.md`. Read there what you need.

    <page file="specs/x/requirements.md">
    # Requirements

    Intro.

    [...]

    ### US-1

    - AC-1.1: a

    ### US-10

    - FR-2 b

    [...]
    </page>

    <page file="specs/x/design.md">
    [...]

    ## CSV writer

    d

    ### Escapes

    e

    [...]
    </page>
    "#);
    assert_eq!(pages::choose(&pages, &references, 0).render().matches("<page").count(), 0);
    assert_eq!(pages::choose(&[], &references, 100).render(), "");
}

#[test]
fn a_criterion_is_found_by_the_requirement_it_is_of() {
    let text = "# Requirements\n\n### Requirement 1\n\n1. WHEN a\n2. WHEN b\n\n### Requirement 12: more\n\nx\n\n## 1.2 Numbered\n\ny\n";
    let pages = [page("requirements.md", text)];
    let some = |wanted: &str| {
        let references = References { requirements: vec![wanted.to_owned()], design: Vec::new() };
        pages::choose(&pages, &references, 15).render()
    };
    assert!(some("1.1").contains("WHEN b") && !some("1.1").contains("12: more"), "{}", some("1.1"));
    assert!(some("12.3").contains("12: more") && !some("12.3").contains("WHEN"), "{}", some("12.3"));
    assert!(some("1.2").contains("WHEN b"), "{}", some("1.2"));
}

#[test]
fn of_a_progress_file_stays_what_does_not_change() {
    let text = "---\nspec: x\n---\n# Progress: x\n\n## Original Goal\n\nExport.\n\n## Completed Tasks\n\n- [x] 1.1\n\n### Sub\n\ny\n\n## Current Task\n\n1.2\n\n## Decisions\n\n- CSV\n\n## Learnings\n\n- l\n\n### Notes\n\n- n\n\n## Next\n\n1.3\n";
    assert_eq!(progress_page(text), "# Progress: x\n\n## Original Goal\n\nExport.\n\n## Decisions\n\n- CSV\n\n");
    assert_eq!(progress_page("# Progress: x\n\n## Completed Tasks\n\n- [x] 1\n\n## Learnings\n"), "");
}

#[test]
fn tokens_are_estimated() {
    assert_eq!([tokens(""), tokens("abcd"), tokens("abcde"), tokens("日本語")], [0, 1, 2, 3]);
}

proptest! {
    #[test]
    fn a_prompt_keeps_to_its_budget_and_its_task(
        pages in proptest::collection::vec("(# [a-c]\n|[a-z ]{0,30}\n|```\n){0,20}", 0..4),
        evidence in "([a-z]{0,10}\n){0,30}",
        learnings in proptest::collection::vec("[a-z ]{0,40}", 0..4),
        max in 0_usize..3000,
    ) {
        let brief = Brief {
            pages: pages.iter().enumerate().map(|(n, text)| page(&format!("{n}.md"), text)).collect(),
            failure: Some(Failed { evidence, ..Failed::default() }),
            learnings: learnings.into_iter().map(|text| Learned { text, from: String::new() }).collect(),
            ..brief()
        };
        let prompt = build(&Templates::default(), &brief, max);
        prop_assert!(prompt.size().1 <= max || prompt.too_long);
        prop_assert!(prompt.text().contains(brief.block.trim_end()));
        let sizes = prompt.sizes();
        prop_assert_eq!(sizes.iter().map(|(_, bytes, _)| *bytes).sum::<usize>(), prompt.text().len());
    }
}
