//! A whole list with a parallel group, done by each program with its own tools.

use crate::program::Program;
use crate::scene::Scene;

/// Files are written, read and changed by the tools that each program offers; the three of the group wait for each other
/// at the model, so that they get on only if they really run at once.
const LIST: [&str; 6] = [
    "[[stub:write one.md one]]\n  - **Files**: one.md\n  - **Verify**: `grep -x one one.md`",
    "[[stub:meet 3]] [[stub:write notes/left.md left]]\n  - **Files**: notes/left.md\n  - **Verify**: `grep -x left notes/left.md`",
    "[[stub:meet 3]] [[stub:write notes/middle.md middle]]\n  - **Files**: notes/middle.md\n  - **Verify**: `test -s notes/middle.md`",
    "[[stub:meet 3]] [[stub:write notes/right.md right]]\n  - **Files**: notes/right.md\n  - **Verify**: `test -s notes/right.md`",
    "[[stub:read one.md]] [[stub:edit one.md one => uno]]\n  - **Files**: one.md\n  - **Verify**: `grep -x uno one.md`",
    "[[stub:shell cat notes/*.md > all.md]]\n  - **Files**: all.md\n  - **Verify**: `grep -x middle all.md`",
];

/// Those tasks as a list; each answer of the model tells of so many tokens.
fn tasks(words: &[impl std::fmt::Display]) -> String {
    let task = |(at, words): (usize, _)| {
        let (id, parallel) = (at + 1, if (1..4).contains(&at) { " [P]" } else { "" });
        format!("- [ ] 1.{id}{parallel} Task {id}\n  - **Do**: [[stub:usage 1000 50 200]] {words}\n")
    };
    "# Tasks\n\n".to_owned() + &words.iter().enumerate().map(task).collect::<String>()
}

/// A file and the list, as a commit has them.
fn paths(file: &str) -> Vec<String> {
    vec![file.to_owned(), "tasks.md".to_owned()]
}

/// Whether it says what it cost.
fn names_a_price(program: Program) -> bool {
    matches!(program, Program::Claude | Program::Opencode)
}

fn runs_to_the_end(program: Program) {
    let Some(scene) = Scene::new(program, &tasks(&LIST)) else { return };
    // Of several opencodes that begin at once one may find their database locked, and ends: that is a crash, tried again.
    let attempts = if program == Program::Opencode { "3" } else { "1" };
    let output = scene.run(&["--max-attempts", attempts]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    let world = &scene.world;
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]);
    assert_eq!(world.paths_of("1.2"), ["notes/left.md", "tasks.md"]);
    assert_eq!(world.paths_of("1.5"), ["one.md", "tasks.md"]);
    assert_eq!(world.env.read("one.md"), "uno\n");
    assert_eq!(world.env.read("all.md"), "left\nmiddle\nright\n");
    assert_eq!(world.list().matches("- [x]").count(), 6, "{}", world.list());
    assert_eq!(world.env.git(["status", "--porcelain", "--", ":!.progress.md"]), "");
    assert!(scene.model.most_at_once() >= 3, "{}", scene.talk());

    let used = scene.used();
    let (done, crashed): (Vec<_>, Vec<_>) = used.into_iter().partition(|one| one.outcome == "done");
    assert_eq!(done.len(), 6, "{done:?}");
    assert!(crashed.is_empty() || program == Program::Opencode, "{crashed:?}");
    for one in done {
        let words = LIST[one.task[2..].parse::<usize>().expect("1.N") - 1].lines().next().expect("words");
        one.is_what_the_model_told(
            scene.model.log().iter().filter(|asked| asked.prompt.contains(words)),
            names_a_price(program),
        );
    }
}

/// The task fails its first check and passes the second: the program goes on with the session that it has, and what it
/// used is counted for each try by itself.
fn goes_on_with_its_session(program: Program) {
    let words = "[[stub:usage 1000 50 200]] [[stub:shell date > a.md]]\n  - **Verify**: `! rmdir ../home/first`";
    let Some(scene) = Scene::new(program, &format!("# Tasks\n\n- [ ] 1.1 One\n  - **Do**: {words}\n")) else { return };
    std::fs::create_dir(scene.world.env.path("../home/first")).expect("a folder");
    let output = scene.run(&["--max-attempts", "2"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    let log = scene.model.log();
    let prompt = log.iter().rfind(|asked| !asked.tools.is_empty()).expect("a second try");
    assert!(prompt.before > 0 && prompt.prompt.contains("verify_failed"), "{}", scene.talk());
    let used = scene.used();
    assert_eq!((used.len(), &used[0].session), (2, &used[1].session));
    for (one, again) in used.iter().zip([false, true]) {
        one.is_what_the_model_told(log.iter().filter(|asked| (asked.before > 0) == again), names_a_price(program));
    }
}

with_each!(runs_to_the_end: claude codex gemini opencode qwen copilot);
with_each!(goes_on_with_its_session: claude codex gemini opencode qwen copilot);

/// aider has no tools, and no way to run commands unattended: its model writes files as a whole into its answers. It
/// rounds what it says of tokens.
#[test]
fn aider_runs_a_list_to_its_end() {
    let list = LIST.map(|words| words.replace("shell cat notes/*.md > all.md", "write all.md middle"));
    let Some(scene) = Scene::new(Program::Aider, &tasks(&list)) else { return };
    let output = scene.run(&["--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    let world = &scene.world;
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]);
    assert_eq!((world.paths_of("1.2"), world.paths_of("1.5")), (paths("notes/left.md"), paths("one.md")));
    assert_eq!((&world.env.read("one.md")[..], &world.env.read("all.md")[..]), ("uno\n", "middle\n"));
    assert_eq!(world.env.git(["status", "--porcelain", "--", ":!.progress.md"]), "", "its map is nobody's work");
    assert!(scene.model.most_at_once() >= 3, "{}", scene.talk());
    let tokens: Vec<_> = world.events("task_agent").iter().map(|event| event["tokens"].clone()).collect();
    assert_eq!(tokens.len(), 6);
    for tokens in tokens {
        assert_eq!((&tokens["input"], &tokens["output"]), (&1200.into(), &50.into()), "{tokens}");
    }
}
