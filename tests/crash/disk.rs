//! A disk that is full: the run stops and says so, and goes on when there is room again.

use std::fs;
use std::process::Command;

use crate::world::{Kind, LIST, TASKS, World};

/// 1.2 leaves no room.
const WORK: &str = r#"
test "$SPEC_TASK_ID" != 1.2 || test -e "$BESIDE/full" || cat /dev/zero > "$BESIDE/full" || true
echo "$SPEC_TASK_ID" > "$SPEC_TASK_ID.txt"
true
"#;

/// Unmounts what was mounted.
struct Mount(tempfile::TempDir);

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_run_stops_on_a_full_disk_and_goes_on_when_there_is_room() {
    for kind in [Kind::Tracked, Kind::Plain] {
        let folder = tempfile::Builder::new().prefix("spec-crash-").tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            println!("skipped: no small disk can be mounted here");
            return;
        }
        let mount = Mount(folder);
        let root = mount.0.path().canonicalize().unwrap();
        let world = World::at(kind, root, None, TASKS.as_bytes(), &[]);
        let ended = world.run(&["--exec", WORK, "--max-attempts", "1"]);
        let ended = ended.expect(2).says("No space left on device");
        assert!(!ended.stdout.contains("ALL_TASKS_COMPLETE"), "{ended}");
        assert!(world.read(LIST).contains("[x] 1.1") && world.read(LIST).contains("[ ] 1.3"), "{}", world.read(LIST));
        assert_eq!(world.read(LIST).len(), TASKS.len());
        fs::remove_file(world.beside("full")).unwrap();
        world.run(&["--exec", "echo $SPEC_TASK_ID > $SPEC_TASK_ID.txt"]).all_done();
        assert_eq!(world.read(LIST), TASKS.replace("[ ]", "[x]"));
        if kind == Kind::Tracked {
            assert_eq!(world.landed(), ["1.1", "1.2", "1.3"]);
            assert_eq!(world.git(["status", "--porcelain"]), "");
        }
    }
}
