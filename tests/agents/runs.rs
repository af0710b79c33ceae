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

/// The list; each answer of the model tells of so many tokens.
fn list() -> String {
    let task = |(at, words): (usize, &&str)| {
        let (id, parallel) = (at + 1, if (1..4).contains(&at) { " [P]" } else { "" });
        format!("- [ ] 1.{id}{parallel} Task {id}\n  - **Do**: [[stub:usage 1000 50 200]] {words}\n")
    };
    "# Tasks\n\n".to_owned() + &LIST.iter().enumerate().map(task).collect::<String>()
}

fn runs_to_the_end(program: Program, names_a_price: bool) {
    let Some(scene) = Scene::new(program, &list()) else { return };
    let output = scene.run(&["--max-attempts", "1"]);
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
    assert_eq!(used.len(), 6, "{used:?}");
    for one in used {
        let words = LIST[one.task[2..].parse::<usize>().expect("1.N") - 1].lines().next().expect("words");
        one.is_what_the_model_told(
            scene.model.log().iter().filter(|asked| asked.prompt.contains(words)),
            names_a_price,
        );
    }
}

/// The task fails its first check and passes the second: the program goes on with the session that it has, and what it
/// used is counted for each try by itself.
fn goes_on_with_its_session(program: Program, names_a_price: bool) {
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
        one.is_what_the_model_told(log.iter().filter(|asked| (asked.before > 0) == again), names_a_price);
    }
}

#[test]
fn claude_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Claude, true);
}

#[test]
fn codex_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Codex, false);
}

#[test]
fn gemini_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Gemini, false);
}

#[test]
fn opencode_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Opencode, true);
}

#[test]
fn qwen_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Qwen, false);
}

#[test]
fn claude_goes_on_with_its_session() {
    goes_on_with_its_session(Program::Claude, true);
}

#[test]
fn codex_goes_on_with_its_session() {
    goes_on_with_its_session(Program::Codex, false);
}

#[test]
fn gemini_goes_on_with_its_session() {
    goes_on_with_its_session(Program::Gemini, false);
}

#[test]
fn opencode_goes_on_with_its_session() {
    goes_on_with_its_session(Program::Opencode, true);
}

#[test]
fn qwen_goes_on_with_its_session() {
    goes_on_with_its_session(Program::Qwen, false);
}
