//! A brief that a real program writes ahead, which may only look, while another task runs.

use crate::program::Program;
use crate::scene::Scene;

/// The first task runs until there is a brief of the second, or none is coming.
const LIST: &str = r#"# Tasks

- [ ] 1.1 First
  - **Run**: `until grep -qE '"code":"(not-)?prepared"' "$SPEC_DIR"/.spec/runs/*/journal.jsonl; do sleep 0.05; done; echo a > a.md`
- [ ] 1.2 Second
  - **Do**: [[stub:usage 1000 50 200]] [[stub:write b.md x]]
  - **Files**: b.md
"#;

fn writes_a_brief(program: Program) {
    let Some(scene) = Scene::new(program, LIST) else { return };
    let scene = scene.settings("[prepare]\nenabled = true");
    let output = scene.run(&["--max-attempts", "1"]);
    assert_eq!(output.code, 0, "{output}\n{}", scene.talk());
    assert!(output.stderr.contains("a brief of task 1.2 was written ahead"), "{output}\n{}", scene.talk());
    // What it was not to write it did not write: whoever came second did.
    assert_eq!(scene.world.history()[2..], ["1.1", "1.2"]);
    assert_eq!(scene.world.paths_of("1.2"), ["b.md", "tasks.md"]);
    let log = scene.model.log();
    let told = &log.iter().rfind(|asked| !asked.tools.is_empty()).expect("a try").prompt;
    assert!(told.contains("looked at the code") && told.contains("\n    It is done."), "{told}");
    let used = scene.used();
    let outcomes: Vec<&str> = used.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["prepared", "done"], "{output}");
}

with_each!(writes_a_brief: claude codex, also gemini opencode copilot);
