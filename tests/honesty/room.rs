//! A machine that is short: nothing new starts beside what runs, it is said why, and it goes on when there is room. What
//! the machine has is made up in a folder that stands in for `/proc`; the limit of open files is a real one.

use std::io::Write as _;

use spec::store::fs::{Durability, write_atomic};

use crate::env::Output;
use crate::world::World;

const THREE: &str = "- [ ] 1.1 [P] Runs until the last one ran\n  - **Do**: echo up > \"$HOME/gate\"; read go < \"$HOME/go\"; echo a > a.txt\n  - **Files**: a.txt\n\
    - [ ] 1.2 [P] Second\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n\
    - [ ] 1.3 [P] Third\n  - **Do**: echo c > c.txt; echo go > \"$HOME/go\"\n  - **Files**: c.txt\n";

const GIB: u64 = 1 << 30;

/// A machine of 16 GiB with so much of it available.
fn memory(world: &World, available: u64) {
    let text = format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 16 * GIB / 1024, available / 1024);
    let path = world.env.path("../machine/meminfo");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    write_atomic(&path, text.as_bytes(), Durability::Fast).expect("at one go");
}

fn pressure(world: &World, what: &str, line: &str, share: &str) {
    let text = format!("{line} avg10={share} avg60=0.00 avg300=0.00 total=0\n");
    world.env.write(format!("../machine/pressure/{what}"), text);
}

/// `spec run` with backpressure, on the machine that is made up.
fn run_command(world: &World, args: &[&str]) -> std::process::Command {
    let mut command = world.run_command(args);
    command.env("SPEC_ADMISSION", "on").env("SPEC_TEST_PROC", world.env.path("../machine"));
    command
}

fn run(world: &World, args: &[&str]) -> Output {
    world.env.output(&mut run_command(world, args))
}

#[test]
fn a_short_machine_holds_what_could_start_and_goes_on_when_it_has_room_again() {
    let world = World::new(THREE);
    let (gate, _) = (world.fifo("gate"), world.fifo("go"));
    memory(&world, GIB);
    let child = world.start_command(run_command(&world, &["-v"]));
    assert_eq!(std::fs::read_to_string(gate).expect("it runs"), "up\n");
    while world.events("hold").is_empty() {}
    let hold = &world.events("hold")[0];
    assert_eq!((&hold["held"], &hold["what"], &hold["tasks"]), (&true.into(), &"memory".into(), &2.into()));
    assert_eq!(hold["reason"], "1.0 GiB available, needs 1.7 GiB");
    let status = world.env.spec(["status"]);
    assert!(status.stdout.contains("; waiting: memory 1.0 GiB available, needs 1.7 GiB"), "{status}");
    let status = world.env.spec(["status", "--format", "json"]).json();
    assert_eq!(status["run"]["hold"]["what"], "memory");
    assert_eq!((world.tries("1.2"), world.tries("1.3")), (0, 0), "nothing starts beside the one that runs");

    // The first ends only when the third ran: nothing but the memory can let that one start.
    memory(&world, 8 * GIB);
    let output = world.finish(child);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stderr.contains("Waiting memory: 1.0 GiB available, needs 1.7 GiB (2 tasks)"), "{output}");
    assert!(output.stderr.contains("Resumed the machine has room again"), "{output}");
    let in_turn: Vec<bool> = world.events("hold").iter().filter_map(|event| event["held"].as_bool()).collect();
    assert_eq!(in_turn, [true, false]);
    assert_eq!(world.env.spec(["status", "--format", "json"]).json()["run"]["hold"], serde_json::Value::Null);
    assert_eq!(world.history()[1..], ["1.1", "1.2", "1.3"]);
}

#[test]
fn however_short_the_machine_is_one_task_runs() {
    let list = "- [ ] 1.1 [P] A\n  - **Do**: echo a > a.txt\n- [ ] 1.2 [P] B\n  - **Do**: echo b > b.txt\n\
        - [ ] 1.3 [P] C\n  - **Do**: echo c > c.txt\n";
    let world = World::new(list);
    memory(&world, 0);
    let output = run(&world, &["--output", "json"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.lines().any(|line| line.contains("\"type\":\"hold\"") && line.contains("0 bytes available")));
    assert_eq!(world.events("run_complete")[0]["most_at_once"], 1);

    // Each of the things that can be short, by its own threshold.
    for (what, toml) in [("disk", "disk_reserve = \"900T\""), ("memory", "memory_reserve = \"900T\"")] {
        let world = World::new(list).settings(&format!("[admission]\n{toml}\n"));
        memory(&world, 8 * GIB);
        let output = run(&world, &[]);
        assert_eq!(output.code, 0, "{output}");
        assert_eq!(world.events("run_complete")[0]["most_at_once"], 1);
        assert_eq!(world.events("hold")[0]["what"], what);
    }
    let world = World::new(list);
    memory(&world, 8 * GIB);
    pressure(&world, "cpu", "some", "0.00");
    pressure(&world, "memory", "full", "40.00");
    assert_eq!(run(&world, &[]).code, 0);
    assert!(world.events("hold")[0]["reason"].as_str().is_some_and(|reason| reason.contains("40 % of the time")));
}

#[test]
fn who_does_not_want_it_is_not_held() {
    let world = World::new(THREE).settings("[admission]\nenabled = false\n");
    let (gate, _) = (world.fifo("gate"), world.fifo("go"));
    memory(&world, 0);
    let mut command = run_command(&world, &[]);
    command.env_remove("SPEC_ADMISSION");
    let child = world.start_command(command);
    assert_eq!(std::fs::read_to_string(gate).expect("it runs"), "up\n");
    let output = world.finish(child);
    assert_eq!(output.code, 0, "{output}");
    assert!(world.events("hold").is_empty());
}

#[test]
fn no_more_tasks_run_than_there_are_files_for() {
    let task = |at| format!("- [ ] {at}. [P] Task {at}\n  - **Run**: `sh -c \"test -d . && true\"`\n");
    let world = World::new(&(1..=40).map(task).collect::<String>());
    memory(&world, 8 * GIB);
    let mut file = std::fs::File::create(world.env.path("../home/limited")).expect("a script");
    writeln!(file, "ulimit -n 64 && exec \"$@\"").expect("written");
    let spec = world.env.spec_command(["run", "tasks.md", "-j", "40", "--no-commit"]);
    let mut command = world.env.command("sh");
    command.arg(world.env.path("../home/limited")).arg(spec.get_program()).args(spec.get_args());
    let output =
        world.env.output(command.env("SPEC_ADMISSION", "on").env("SPEC_TEST_PROC", world.env.path("../machine")));
    assert_eq!(output.code, 0, "{output}");
    let most = world.events("run_complete")[0]["most_at_once"].as_u64().expect("a number");
    assert!((1..=8).contains(&most), "51 files and 6 for each task: {most}");
    let hold = &world.events("hold")[0];
    assert!(hold["what"] == "files" && hold["reason"].as_str().is_some_and(|it| it.contains("open of 64")), "{hold}");
}
