//! What the tests of processes share.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Waits until a process has written the file.
pub(crate) async fn await_file(path: &Path) {
    for _ in 0..10_000 {
        if fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
            return;
        }
        // Of the real time, also where tokio's is paused.
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    panic!("{} was not written", path.display());
}

/// The process id that a file holds.
pub(crate) fn pid_in(path: &Path) -> u32 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// Whether the process is over and, where it was our child, reaped.
pub(crate) fn gone(pid: u32) -> bool {
    !fs::exists(format!("/proc/{pid}")).unwrap()
}

/// Whether the process is over; whoever is its parent may not have reaped it yet.
pub(crate) fn ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Runs the named test in a process of its own, where no other test's processes are about; true in there.
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var("SPEC_TEST_ROLE").is_ok_and(|role| role == "alone") {
        return true;
    }
    let mut own = again(test, "alone", Path::new("."));
    let status = own.stdout(Stdio::inherit()).status().expect("the test starts");
    assert!(status.success(), "{test} failed in a process of its own: see above");
    false
}

/// This test binary once more, as another process, with only the named test.
pub(crate) fn again(test: &str, role: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("SPEC_TEST_ROLE", role).env("SPEC_TEST_DIR", dir).stdin(Stdio::null()).stdout(Stdio::null());
    command
}
