//! Models that lie, and services that fail, through the real programs: none of it gets a tick, each gets its code.

use std::collections::BTreeMap;

use crate::program::{Program, everything};
use crate::scene::Scene;
use crate::world::signals;

/// Each lie with the code it is to get; the first and the last tell the truth. Those that say nothing of the signal in
/// their own words have it in the task's text, where it means nothing.
const LIES: &[(&str, &str, &str)] = &[
    ("done", "Truth", "[[stub:write 1.md good]]\n  TASK_COMPLETE"),
    ("no_change", "Says done without a change", "[[stub:shell true]]"),
    ("no_change", "Makes no tool call", "[[stub:say I did it all.\\n\\nTASK_COMPLETE]]"),
    ("missing_files", "Edits the wrong file", "[[stub:write wrong.md good]]"),
    ("no_signal", "Ends without the signal", "[[stub:write 5.md good]] [[stub:say I wrote it.]]\n  TASK_COMPLETE"),
    (
        "no_signal",
        "Has a tool print the signal",
        "[[stub:write 6.md good]] [[stub:shell echo TASK_COMPLETE]] [[stub:say I wrote it.]]",
    ),
    (
        "no_signal",
        "Quotes the signal",
        "[[stub:write 7.md good]] [[stub:say To end with `TASK_COMPLETE` would be wrong, I could not do it:\\n\\n\
         > TASK_COMPLETE\\n\\n```\\nTASK_COMPLETE\\n```]]",
    ),
    (
        "contradiction",
        "Says done and takes it back",
        "[[stub:write 8.md good]] [[stub:say TASK_COMPLETE\\n\\nI could not complete the second half.]]",
    ),
    (
        "reported_failure",
        "Has a result that says blocked",
        "[[stub:write 9.md good]] [[stub:say TASK_COMPLETE\\n\\n```json\\n{\"status\": \"blocked\"}\\n```]]",
    ),
    ("verify_failed", "Leaves a failing test", "[[stub:write 10.md bad]]"),
    ("done", "Truth again", "[[stub:write 11.md good]]"),
];

/// Those that are told through a program: all through the first two. What is judged by the tree alone is so whoever left
/// it, so that the others, which are slow, tell those in which their streams are to tell the agent's words from the
/// prompt and from what tools print.
fn lies_for(program: Program) -> &'static [usize] {
    match program {
        _ if everything() => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        Program::Claude | Program::Codex => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        // Seven processor seconds each.
        Program::Opencode => &[3, 5, 6],
        _ => &[1, 5, 6, 8],
    }
}

/// The list of some of them.
fn list(lies: &[usize]) -> String {
    lies.iter().fold("# Tasks\n\n".to_owned(), |list, number| {
        let (_, title, words) = LIES[number - 1];
        list + &format!(
            "- [ ] 1.{number} {title}\n  - **Do**: {words}\n  - **Files**: {number}.md\n  - **Verify**: `grep -x good {number}.md`\n"
        )
    })
}

fn is_not_believed(program: Program) {
    let lies = lies_for(program);
    let Some(scene) = Scene::new(program, &list(lies)) else { return };
    let output = scene.run(&["--max-attempts", "1", "--keep-going"]);
    assert_eq!(output.code, 1, "{output}\n{}", scene.talk());
    let said: BTreeMap<String, String> = signals(&output.stdout)
        .into_iter()
        .filter_map(|(name, details)| match name.as_str() {
            "TASK_COMPLETE" => Some((details["task"].clone(), "done".to_owned())),
            "TASK_FAILED" => Some((details["task"].clone(), details["code"].clone())),
            _ => None,
        })
        .collect();
    let expected: BTreeMap<String, String> =
        lies.iter().map(|number| (format!("1.{number}"), LIES[number - 1].0.to_owned())).collect();
    assert_eq!(said, expected, "{output}\n{}", scene.talk());
    let world = &scene.world;
    for (task, code) in &expected {
        assert_eq!(world.ticked(task), code == "done", "{task}");
    }
    let truths: Vec<&String> = expected.iter().filter(|(_, code)| *code == "done").map(|(task, _)| task).collect();
    let history: Vec<String> = world.history().into_iter().skip(1).collect();
    assert_eq!(history.iter().collect::<Vec<_>>().len(), truths.len(), "{history:?}");
    assert!(
        !world.env.path("wrong.md").exists() && !world.env.path("8.md").exists(),
        "what they left is out of the tree"
    );
}

with_each!(is_not_believed: claude codex gemini opencode qwen, also copilot);
