//! The processes below us: whose they are, and how a whole tree of them ends.
//!
//! A group id alone does not hold a tree together: a child may call `setsid`, or fork twice so that its parent is gone.
//! Three things do. We are the *subreaper*, so whatever loses its parent becomes our child; every process we start carries
//! a mark in its environment, [`MARK`], which its descendants inherit; and a tree is stopped before it is killed, so that
//! nothing in it can fork away meanwhile. [`process`](super::process) asks after each exit whether something is left
//! (one small read where nothing is); [`sweep`] does the same for a run that was killed before it could.
//!
//! Where there is no `/proc` (macOS) a tree is its process group.

use std::collections::BTreeMap;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;

use super::clock;

/// The variable that marks a tree: the marks of all trees around a process, outermost first, joined by `/`, each the id
/// of its run, a dot and a number. A run inside a task of another run is part of both.
pub const MARK: &str = "SPEC_TREE";

/// What is left when its leader ended may be just about to end as well (`exec > >(tee log)`): it gets this long.
const SETTLE: Duration = Duration::from_millis(250);
/// How many looks in a row must find nothing: what forks and ends all the time can slip through a single one.
const QUIET: u32 = 4;
/// How long the kernel gets to carry out a KILL before we go on without.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Makes whatever loses its parent below us our child. Once, before anything is started.
pub fn become_subreaper() -> io::Result<()> {
    os::become_subreaper()
}

/// Ends everything that is left of a run which was killed: what carries its mark, of this user, that is neither this
/// process nor one above it. Returns how many there were.
pub async fn sweep(run: &str, grace: Duration) -> usize {
    let prefix = format!("{run}.");
    end(|| os::marked(&prefix), Duration::ZERO, grace).await
}

/// Start time of a process in clock ticks after boot: with the id it names a process for good. 0 where it cannot be told.
#[must_use]
pub fn start_ticks(pid: u32) -> u64 {
    os::start_ticks(pid.cast_signed())
}

/// What a tree uses at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processes that are alive.
    pub(super) processes: u64,
    /// Processor time of them, and of what they waited for.
    pub(super) cpu: Duration,
}

/// A process as seen a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    pid: i32,
    /// See [`start_ticks`].
    start: u64,
    group: i32,
    session: i32,
    parent: i32,
    zombie: bool,
    /// Processor time of it and of the children it waited for, in clock ticks.
    cpu: u64,
}

impl Process {
    /// Sends a signal, unless the id has gone to another process since.
    fn signal(&self, signal: Signal) {
        if os::start_ticks(self.pid) == self.start {
            // It may be gone: that is what we want.
            kill(Pid::from_raw(self.pid), signal).ok();
        }
    }
}

/// The trees that are not over, by their leaders. Of the whole program, as its children are.
static TREES: LazyLock<Mutex<BTreeMap<i32, Known>>> = LazyLock::new(Mutex::default);

/// What is to be known of a tree to find it.
#[derive(Debug, Clone)]
struct Known {
    mark: String,
    /// Its leader's id may be another's.
    leader_reaped: bool,
}

fn trees() -> MutexGuard<'static, BTreeMap<i32, Known>> {
    TREES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nothing that we started runs.
pub(super) fn none() -> bool {
    trees().is_empty()
}

/// Stops everything that we started and this program with it, until somebody lets this program go on (`fg`); then all
/// goes on. What we wait for with a clock counts none of that time.
pub(super) fn suspend() {
    let known = trees().clone();
    let stopped = freeze(|| known.iter().flat_map(|(leader, tree)| os::members(*leader, tree)).collect());
    clock::stand_still(|| {
        // It returns when we go on. Where it cannot be done, everything just goes on.
        raise(Signal::SIGSTOP).ok();
    });
    for process in stopped {
        process.signal(Signal::SIGCONT);
    }
}

/// A process that we started, and everything below it.
#[derive(Debug)]
pub(super) struct Tree {
    leader: i32,
    known: Known,
}

impl Tree {
    /// The tree of a process that was just started in a group of its own with `mark` as the last part of its [`MARK`].
    pub(super) fn new(leader: u32, mark: String) -> Self {
        let leader = leader.cast_signed();
        let known = Known { mark, leader_reaped: false };
        trees().insert(leader, known.clone());
        Self { leader, known }
    }

    /// To be called as soon as the leader was waited for: from then on its id may be another's.
    pub(super) fn leader_reaped(&mut self) {
        self.known.leader_reaped = true;
        trees().insert(self.leader, self.known.clone());
    }

    /// Asks everything in the tree to end. What is stopped goes on, or it could not.
    pub(super) fn terminate(&self) {
        for process in self.members() {
            process.signal(Signal::SIGTERM);
            process.signal(Signal::SIGCONT);
        }
    }

    /// Kills everything in the tree.
    pub(super) fn kill(&self) {
        freeze_and_kill(|| self.members());
    }

    /// Ends what the leader left behind, and reaps it. Returns how many did not end by themselves.
    pub(super) async fn end(&self, grace: Duration) -> usize {
        end(|| self.members(), SETTLE, grace).await
    }

    /// Processor time of the tree so far, in clock ticks. Falls when a process leaves the tree.
    pub(super) fn cpu(&self) -> u64 {
        self.members().iter().map(|process| process.cpu).sum()
    }

    /// What the tree uses now.
    pub(super) fn usage(&self) -> Usage {
        let members = self.members();
        // A tick is a hundredth of a second on every Linux there is.
        let cpu = Duration::from_millis(10 * members.iter().map(|process| process.cpu).sum::<u64>());
        Usage { processes: members.len() as u64, cpu }
    }

    /// Memory of the tree in bytes: what is shared counted with each who has it, or exactly, which is slow.
    pub(super) fn memory(&self, exactly: bool) -> u64 {
        self.members().iter().map(|process| os::memory(process.pid, exactly)).sum()
    }

    /// How many files the process with the most has open.
    pub(super) fn open_files(&self) -> u64 {
        self.members().iter().map(|process| os::open_files(process.pid)).max().unwrap_or_default()
    }

    /// Reaps what died below us and came to us since.
    pub(super) fn reap(&self) {
        drop(self.members());
    }

    /// Everything that is alive in the tree. Reaps what is dead and came to us.
    fn members(&self) -> Vec<Process> {
        os::members(self.leader, &self.known)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        trees().remove(&self.leader);
    }
}

/// TERM, grace, KILL for all that `find` finds, until it finds nothing.
async fn end(mut find: impl FnMut() -> Vec<Process>, settle: Duration, grace: Duration) -> usize {
    if find().is_empty() || gone(&mut find, settle).await {
        return 0;
    }
    let left = find();
    for process in &left {
        process.signal(Signal::SIGTERM);
        process.signal(Signal::SIGCONT);
    }
    // A process that is just ending may not be found by what tells whose it is: those that were told are followed by id.
    let known = left.clone();
    let mut find = move || {
        let mut found = find();
        let lingering = known.iter().filter(|process| os::lingers(process));
        let more: Vec<Process> =
            lingering.filter(|process| !found.iter().any(|other| other.pid == process.pid)).copied().collect();
        found.extend(more);
        found
    };
    if !gone(&mut find, grace).await {
        freeze_and_kill(&mut find);
        let still = || {
            freeze_and_kill(&mut find);
            find()
        };
        if !gone(still, KILL_WAIT).await {
            tracing::warn!(processes = ?find(), "processes survive KILL; going on without");
        }
    }
    left.len()
}

/// Waits until `find` finds nothing, at most so long.
async fn gone(mut find: impl FnMut() -> Vec<Process>, at_most: Duration) -> bool {
    let deadline = clock::now() + at_most;
    let mut pause = Duration::from_millis(1);
    let mut quiet = 0;
    loop {
        if find().is_empty() {
            quiet += 1;
            if quiet == QUIET {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        quiet = 0;
        if clock::now() >= deadline {
            return false;
        }
        clock::sleep_until((clock::now() + pause).min(deadline)).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Stops all, then kills: a stopped process cannot fork.
fn freeze_and_kill(find: impl FnMut() -> Vec<Process>) {
    for process in freeze(find) {
        process.signal(Signal::SIGKILL);
    }
}

/// Stops all, and looks again until nothing new has come.
fn freeze(mut find: impl FnMut() -> Vec<Process>) -> Vec<Process> {
    let mut frozen: BTreeMap<(i32, u64), Process> = BTreeMap::new();
    let mut quiet = 0;
    while quiet < QUIET {
        let before = frozen.len();
        for process in find() {
            frozen.entry((process.pid, process.start)).or_insert_with(|| {
                process.signal(Signal::SIGSTOP);
                process
            });
        }
        // A signal is not instant: what a process did until it stopped is seen in the next round.
        quiet = if frozen.len() == before { quiet + 1 } else { 0 };
    }
    frozen.into_values().collect()
}

#[cfg(target_os = "linux")]
mod os {
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::{geteuid, getpid, getsid};

    use super::{Duration, Known, MARK, Pid, Process, io, trees};

    pub(super) fn become_subreaper() -> io::Result<()> {
        Ok(nix::sys::prctl::set_child_subreaper(true)?)
    }

    pub(super) fn start_ticks(pid: i32) -> u64 {
        stat(pid).map_or(0, |process| process.start)
    }

    pub(super) fn members(leader: i32, tree: &Known) -> Vec<Process> {
        let mut found: Vec<Process> = Vec::new();
        if !tree.leader_reaped {
            found.extend(stat(leader).filter(|process| !process.zombie));
        }
        // What died while we looked may have left a child to us that was not in the list yet.
        let orphans = loop {
            let (orphans, reaped) = orphans(leader, tree);
            if !reaped {
                break orphans;
            }
        };
        found.extend(orphans);
        // Grows while it is walked: each process adds its children.
        let mut next = 0;
        while let Some(process) = found.get(next) {
            for pid in children(process.pid) {
                if let Some(child) = stat(pid)
                    && !child.zombie
                    && !found.iter().any(|known| known.pid == pid)
                {
                    found.push(child);
                }
            }
            next += 1;
        }
        found
    }

    /// The children of ours that we did not start and that are this tree's; and whether any were reaped meanwhile.
    fn orphans(leader: i32, tree: &Known) -> (Vec<Process>, bool) {
        let ours = getpid().as_raw();
        // The kernel gives orphans to the first thread of the subreaper.
        let listed: Vec<i32> = match read(&format!("/proc/self/task/{ours}/children")) {
            Some(list) => numbers(&list).collect(),
            None => all().filter(|process| process.parent == ours).map(|process| process.pid).collect(),
        };
        let trees = trees();
        let unknown: Vec<i32> = listed.into_iter().filter(|pid| !trees.contains_key(pid)).collect();
        if unknown.is_empty() {
            return (Vec::new(), false);
        }
        let session = getsid(None).map_or(0, Pid::as_raw);
        let mut reaped = false;
        let orphans = unknown
            .into_iter()
            .filter_map(stat)
            .filter(|process| {
                let in_group = trees.contains_key(&process.group);
                let left_session = process.session != session;
                if process.zombie {
                    // Never one of our own helpers (git): those stay in our session and in no task's group.
                    if in_group || left_session {
                        reaped |= reap(process.pid);
                    }
                    return false;
                }
                let environ = environ(process.pid);
                if environ.is_empty() && stat(process.pid).is_some_and(|now| now.zombie) {
                    reaped |= (in_group || left_session) && reap(process.pid);
                    return false;
                }
                let marks = marks(&environ);
                process.group == leader
                    || marks.as_deref().is_some_and(|marks| marks.split('/').any(|mark| mark == tree.mark))
                    // With nothing else running it can only be of this tree.
                    || (left_session && trees.len() == 1 && !in_group && marks.is_none() && is_wiped(&environ))
            })
            .collect();
        (orphans, reaped)
    }

    /// Whether a process seen before is still there; one that is dead and ours is reaped.
    pub(super) fn lingers(process: &Process) -> bool {
        let Some(now) = stat(process.pid).filter(|now| now.start == process.start) else { return false };
        if now.zombie && now.parent == getpid().as_raw() {
            reap(now.pid);
        }
        !now.zombie
    }

    pub(super) fn memory(pid: i32, exactly: bool) -> u64 {
        let (file, field) = if exactly { ("smaps_rollup", "Pss:") } else { ("status", "VmRSS:") };
        let text = read(&format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    }

    pub(super) fn open_files(pid: i32) -> u64 {
        fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
    }

    fn reap(pid: i32) -> bool {
        let status = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        matches!(status, Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)))
    }

    /// Everything alive of this user whose marks have one that begins so, without this process and those above it.
    pub(super) fn marked(prefix: &str) -> Vec<Process> {
        let mut above = Vec::new();
        let mut pid = getpid().as_raw();
        while let Some(process) = stat(pid) {
            above.push(pid);
            pid = process.parent;
        }
        let user = geteuid().as_raw();
        all()
            .filter(|process| !process.zombie && !above.contains(&process.pid))
            .filter(|process| fs::metadata(format!("/proc/{}", process.pid)).is_ok_and(|meta| meta.uid() == user))
            .filter(|process| {
                marks(&environ(process.pid)).is_some_and(|marks| marks.split('/').any(|mark| mark.starts_with(prefix)))
            })
            .collect()
    }

    /// Every process there is.
    fn all() -> impl Iterator<Item = Process> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
    }

    fn children(pid: i32) -> Vec<i32> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut found = Vec::new();
        for thread in threads {
            match fs::read_to_string(thread.path().join("children")) {
                Ok(list) => found.extend(numbers(&list)),
                // A thread that just ended.
                Err(_) if Path::new("/proc/thread-self/children").exists() => {}
                // A kernel without such lists.
                Err(_) => return all().filter(|process| process.parent == pid).map(|process| process.pid).collect(),
            }
        }
        found
    }

    fn numbers(list: &str) -> impl Iterator<Item = i32> {
        list.split_ascii_whitespace().filter_map(|number| number.parse().ok())
    }

    /// Empty where there is none, or no process any more. A process that is just being replaced by another program (or
    /// is ending) has none for a moment: it is asked again, or what forks on and on would be missed in between.
    fn environ(pid: i32) -> Vec<u8> {
        for _ in 0..20 {
            let found = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if !found.is_empty() || stat(pid).is_none_or(|now| now.zombie) {
                return found;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Vec::new()
    }

    fn marks(environ: &[u8]) -> Option<String> {
        environ
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Whether most of our own variables are missing: else it has no mark because one of our helpers started it, as git
    /// does with its housekeeping.
    fn is_wiped(environ: &[u8]) -> bool {
        let own = self::environ(getpid().as_raw());
        let own: Vec<&[u8]> = own.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).collect();
        let kept = own.iter().filter(|entry| environ.split(|byte| *byte == 0).any(|other| other == **entry)).count();
        kept * 2 < own.len()
    }

    pub(super) fn stat(pid: i32) -> Option<Process> {
        parse_stat(&read(&format!("/proc/{pid}/stat"))?)
    }

    /// Reads a small file at one go: this is done for every task.
    fn read(path: &str) -> Option<String> {
        let mut text = vec![0; 1024];
        let mut file = File::open(path).ok()?;
        let n = file.read(&mut text).ok()?;
        text.truncate(n);
        if n == 1024 {
            file.read_to_end(&mut text).ok()?;
        }
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// `PID (NAME) STATE PARENT GROUP SESSION ...`; the name may hold anything, parentheses too.
    fn parse_stat(text: &str) -> Option<Process> {
        let (pid, rest) = text.split_once(" (")?;
        let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
        let number = |at: usize| fields.get(at - 3)?.trim_end().parse::<u64>().ok();
        Some(Process {
            pid: pid.parse().ok()?,
            start: number(22)?,
            group: number(5)? as i32,
            session: number(6)? as i32,
            parent: number(4)? as i32,
            zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
            cpu: (14..=17).filter_map(number).sum(),
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_with_parentheses_does_not_shift_the_fields() {
            let text = "42 (a) Z 9) (b) S 7 40 39 0 -1 4194560 1 0 0 0 11 22 33 44 20 0 1 0 777 0 0\n";
            let process = parse_stat(text).unwrap();
            assert_eq!(
                process,
                Process { pid: 42, start: 777, group: 40, session: 39, parent: 7, zombie: false, cpu: 110 }
            );
            assert_eq!(parse_stat("42 (cut"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod os {
    use super::{Known, Pid, Process, io, kill};

    pub(super) fn become_subreaper() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn start_ticks(_: i32) -> u64 {
        0
    }

    /// The group as one: a negative id addresses all of it.
    pub(super) fn members(leader: i32, _: &Known) -> Vec<Process> {
        let group = Process { pid: -leader, start: 0, group: leader, session: 0, parent: 0, zombie: false, cpu: 0 };
        let alive = kill(Pid::from_raw(group.pid), None).is_ok();
        if alive { vec![group] } else { Vec::new() }
    }

    /// Nobody says.
    pub(super) fn memory(_: i32, _: bool) -> u64 {
        0
    }

    /// Nobody says.
    pub(super) fn open_files(_: i32) -> u64 {
        0
    }

    /// The group as one is asked again.
    pub(super) fn lingers(_: &Process) -> bool {
        false
    }

    /// The environment of others cannot be read.
    pub(super) fn marked(_: &str) -> Vec<Process> {
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
