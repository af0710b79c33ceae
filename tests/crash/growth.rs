//! `kill -9` while tasks are put into the list: nothing is put in twice, forgotten, or left out of the commits.

use std::time::Duration;

use crate::kills::{Moment, Random, SEED};
use crate::world::{Kind, LIST, World};

const TASKS: &str = "\
# Tasks: growth

- [ ] 1.1 Too big
- [ ] 1.2 Not yet
  - **Files**: 1.2.txt
- [ ] 1.3 Broken
  - **Files**: 1.3.txt
  - **Verify**: `grep -q good 1.3.txt`
- [ ] 1.4 Done, and more
  - **Files**: 1.4.txt
";

/// A try that was killed leaves what it wrote to the next, so a fix notes itself once.
const WORK: &str = r#"
ask() { printf 'TASK_MODIFICATION_REQUEST\n```json\n{"type": "%s", "proposedTasks": [%s]}\n```\n' "$1" "$2"; }
case $SPEC_TASK_ID in
1.1) ask SPLIT_TASK '"- [ ] Part one", "- [ ] Part two"' ;;
1.2) if test -e 1.2.1.txt; then echo x > 1.2.txt; else ask ADD_PREREQUISITE '"- [ ] First"'; fi ;;
1.3) test -e 1.3.txt || echo bad > 1.3.txt ;;
1.3.*) echo good > 1.3.txt; grep -qx "$SPEC_TASK_ID" fixed.txt 2>/dev/null || echo "$SPEC_TASK_ID" >> fixed.txt ;;
1.4) echo x > 1.4.txt; ask ADD_FOLLOWUP '"- [ ] More"' ;;
*) echo x > $SPEC_TASK_ID.txt ;;
esac
"#;

const RUN: [&str; 5] = ["--recovery", "--exec", "sh \"$BESIDE/work.sh\"", "--max-attempts", "1"];

/// The records around which something is put in.
const RECORDS: [&str; 8] = [
    "task_asked",
    "task_inserted",
    "list_commit_made",
    "list_changed",
    "task_failed",
    "task_complete",
    "landing",
    "task_start",
];

#[test]
fn what_is_put_in_survives_kills() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    let mut random = Random(seed);
    let mut hits = 0;
    for kind in [Kind::Tracked, Kind::Tracked, Kind::Untracked, Kind::Plain] {
        let world = World::new(kind, TASKS.as_bytes(), &[]);
        std::fs::write(world.beside("work.sh"), WORK).unwrap();
        let mut landed = Vec::new();
        for _ in 0..6 {
            let record = RECORDS[random.below(RECORDS.len() as u64) as usize];
            let most = [1, 2_000, 20_000][random.below(3) as usize];
            let delay = Duration::from_micros(random.below(most));
            let mut run = world.start(&RUN);
            if !Moment::Record(record, 1 + random.below(2) as usize, delay).comes(&mut run) {
                run.wait().all_done();
                break;
            }
            hits += 1;
            run.kill();
            if random.below(2) == 0 {
                world.cut_power();
            }
            if kind != Kind::Plain {
                // What landed stays landed, and in its order.
                let now = world.landed();
                assert!(now.starts_with(&landed), "{landed:?} and then {now:?}");
                landed = now;
            }
        }
        world.run(&RUN).all_done();
        look_at_the_end(&world);
    }
    assert!(hits > 8, "{hits} kills hit");
}

fn look_at_the_end(world: &World) {
    let list = world.read(LIST);
    let ids: Vec<&str> = list.lines().filter_map(|line| line.trim_start().strip_prefix("- [x] ")).collect();
    let ids: Vec<&str> = ids.iter().filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(ids, ["1.1", "1.1.1", "1.1.2", "1.2.1", "1.2", "1.3", "1.3.1", "1.4", "1.4.1"], "{list}");
    assert!(!list.contains("[ ]"), "{list}");
    let base = world.base();
    assert_eq!(std::fs::read_to_string(base.join("fixed.txt")).unwrap(), "1.3.1\n", "one fix was enough");
    assert_eq!(world.processes(), [], "nothing keeps running");
    if world.kind == Kind::Plain {
        return;
    }
    let mut landed = world.landed();
    let wanted = ["1.1.1", "1.1.2", "1.2.1", "1.2", "1.3.1", "1.4", "1.4.1"];
    // 1.3 was done by its fix: only its tick is left to be committed, where the list is.
    landed.retain(|id| id != "1.3");
    assert_eq!(landed, wanted, "each once");
    world.git(["fsck", "--no-dangling", "--no-progress"]);
    let status = world.git(["status", "--porcelain", "-uall"]);
    if world.kind == Kind::Tracked {
        assert_eq!(status, "", "the list is committed as it is");
        let added = world.git(["log", "--format=%s", "--grep=: add "]);
        assert_eq!(added.lines().count(), 4, "one commit for each: {added}");
    }
}
