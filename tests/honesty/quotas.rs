//! Tasks that use up more than they may: each ends with a code of its own, with all it started, and its siblings land.

use std::collections::BTreeMap;

use crate::env::Output;
use crate::world::{World, signal_of};

/// Runs a task with a quota beside one that behaves; gives how it failed.
fn failed(act: &str, quota: &str) -> (World, Output, BTreeMap<String, String>) {
    let world = World::new(&format!(
        "- [ ] 1.1 [P] Uses too much\n  - **Do**: {act}; echo a > a.txt\n  - **Files**: a.txt\n  - **Quota**: {quota}\n\
         - [ ] 1.2 [P] Behaves\n  - **Do**: echo b > b.txt\n  - **Files**: b.txt\n  - **Quota**: {quota}\n"
    ));
    let output = world.run(["--grace", "1s"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(world.ticked("1.2") && !world.ticked("1.1"), "{output}");
    let signal = signal_of(&output.stdout, "TASK_FAILED", "1.1").unwrap_or_else(|| panic!("it failed: {output}"));
    (world, output, signal)
}

#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn with_perl() -> bool {
    let there = std::process::Command::new("perl").arg("-e1").status().is_ok_and(|status| status.success());
    if !there {
        println!("skipped: there is no perl");
    }
    there
}

#[test]
fn memory() {
    // `tail` keeps the line that has no end.
    let (_, output, signal) = failed("(head -c 200000000 /dev/zero; sleep 600) | tail -n 1 > /dev/null", "memory 64M");
    assert_eq!(signal["code"], "quota_memory", "{output}");
    assert!(signal["reason"].ends_with("of memory, its quota is 64.0 MiB"), "{output}");
}

#[test]
fn what_processes_share_counts_once() {
    if !with_perl() {
        return;
    }
    // Ten processes with the same 40 MB, none of which changed any of it.
    let world = World::new(
        "- [ ] 1.1 Shares\n  - **Do**: perl -e '$x = \"x\" x 40_000_000; for (1..9) { fork or last } select undef, undef, undef, 1.5' && echo a > a.txt\n  - **Quota**: memory 200M\n",
    );
    let output = world.run([""; 0]);
    assert_eq!(output.code, 0, "{output}");
}

#[test]
fn processes() {
    let (world, output, signal) = failed(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do setsid sleep 600 & echo $! >> \"$HOME/pids\"; done; wait",
        "processes 10",
    );
    assert_eq!(signal["code"], "quota_processes", "{output}");
    assert!(signal["reason"].ends_with("processes, its quota is 10"), "{output}");
    for pid in world.env.read("../home/pids").lines() {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} is left");
    }
}

#[test]
fn processor_time_of_all_processes_together() {
    let busy = "while :; do :; done";
    let (_, output, signal) = failed(&format!("({busy}) & ({busy}) & ({busy}) & wait"), "cpu 1s");
    assert_eq!(signal["code"], "quota_cpu", "{output}");
    assert!(signal["reason"].ends_with("of processor time, its quota is 1.0 s"), "{output}");
}

#[test]
fn output() {
    let (world, output, signal) = failed("yes", "output 1M");
    assert_eq!(signal["code"], "quota_output", "{output}");
    assert_eq!(signal["reason"], "printed more than its quota of 1.0 MiB");
    let printed = world.events("task_ended").iter().filter_map(|event| event["output_bytes"].as_u64()).max();
    assert!(printed.is_some_and(|bytes| bytes > 1 << 20 && bytes < 64 << 20), "ended at once: {printed:?}");
}

#[test]
fn time() {
    let (_, output, signal) = failed("exec sleep 600", "wall 1s");
    assert_eq!(signal["code"], "quota_wall", "{output}");
    assert_eq!(signal["reason"], "took longer than its quota of 1.0 s");
}

#[test]
fn open_files() {
    if !with_perl() {
        return;
    }
    // The kernel refuses the next one, whether the program ends by it and says so, or goes on.
    for then in ["die $!", "sleep 600"] {
        let act = format!("perl -e 'for (1..99) {{ open($f[$_], \"<\", \"/dev/null\") or {then} }}' || exit 1");
        let (_, output, signal) = failed(&act, "files 30");
        assert_eq!(signal["code"], "quota_files", "{output}");
        assert_eq!(signal["reason"], "ran out of open files, its quota is 30 for each process");
    }
}

#[test]
fn the_settings_give_every_task_a_quota_and_a_verify_has_it_too() {
    let world = World::new(
        "- [ ] 1.1 [P] Much\n  - **Run**: `head -c 2000 /dev/zero`; `head -c 2000 /dev/zero`\n\
         - [ ] 1.2 [P] May\n  - **Run**: `head -c 4000 /dev/zero`\n  - **Quota**: output 5k\n\
         - [ ] 1.3 [P] Is checked by much\n  - **Do**: echo c > c.txt\n  - **Files**: c.txt\n  - **Verify**: `yes`\n",
    )
    .settings("[quota]\noutput = \"3k\"\nfiles = 100\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    let code = |task| signal_of(&output.stdout, "TASK_FAILED", task).map(|signal| signal["code"].clone());
    assert_eq!(code("1.1").as_deref(), Some("quota_output"), "all its commands together: {output}");
    assert!(world.ticked("1.2"), "its own quota goes before: {output}");
    assert_eq!(code("1.3").as_deref(), Some("quota_output"), "{output}");
    assert!(output.stdout.contains("reason: Verify `yes` printed more than its quota of 3.0 KiB"), "{output}");
    assert!(output.stderr.contains("quotas are held by looking five times a second"), "it is said: {output}");
}

#[test]
fn a_quota_that_cannot_be_read_is_told_of() {
    let world = World::new("- [ ] 1.1 A\n  - **Do**: echo a > a.txt\n  - **Quota**: memory 2G, disk 5G\n");
    let output = world.env.spec(["check", "tasks.md"]);
    assert!(output.stdout.contains("invalid-value") && output.stdout.contains("`disk` is not one of wall"), "{output}");
}

#[test]
fn a_program_that_is_not_there_is_told_as_without_a_quota() {
    let world = World::new("- [ ] 1.1 A\n  - **Run**: `no-such-program --now`\n  - **Quota**: files 50\n");
    let output = world.run([""; 0]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stdout.contains("code: crash\nreason: exit 127: a command was not found"), "{output}");
}
