//! A whole list with a parallel group, done by each program with its own tools.

use crate::program::Program;
use crate::scene::Scene;

/// Files are written, read and changed by the tools that each program offers; the three of the group wait for each other
/// at the model, so that they get on only if they really run at once.
const LIST: &str = "\
# Tasks

- [ ] 1.1 Write the first note
  - **Do**: [[stub:write one.md one]]
  - **Files**: one.md
  - **Verify**: `grep -x one one.md`
- [ ] 1.2 [P] Write on the left
  - **Do**: [[stub:meet 3]] [[stub:write notes/left.md left]]
  - **Files**: notes/left.md
  - **Verify**: `grep -x left notes/left.md`
- [ ] 1.3 [P] Write in the middle
  - **Do**: [[stub:meet 3]] [[stub:write notes/middle.md middle]]
  - **Files**: notes/middle.md
  - **Verify**: `grep -x middle notes/middle.md`
- [ ] 1.4 [P] Write on the right
  - **Do**: [[stub:meet 3]] [[stub:write notes/right.md right]]
  - **Files**: notes/right.md
  - **Verify**: `grep -x right notes/right.md`
- [ ] 1.5 Change the first note
  - **Do**: [[stub:read one.md]] [[stub:edit one.md one => uno]]
  - **Files**: one.md
  - **Verify**: `grep -x uno one.md`
- [ ] 1.6 Put them together
  - **Do**: [[stub:shell cat notes/*.md > all.md]]
  - **Files**: all.md
  - **Verify**: `grep -x middle all.md`
";

fn runs_to_the_end(program: Program) {
    let Some(scene) = Scene::new(program, LIST) else { return };
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
}

#[test]
fn claude_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Claude);
}

#[test]
fn codex_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Codex);
}

#[test]
fn gemini_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Gemini);
}

#[test]
fn opencode_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Opencode);
}

#[test]
fn qwen_runs_a_list_to_its_end() {
    runs_to_the_end(Program::Qwen);
}
