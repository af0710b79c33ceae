//! Backpressure: whether the machine has room for one more task. The driver looks before it lets tasks start, and once a
//! second while some wait; the engine is told a ceiling ([`Event::Ceiling`](crate::engine::Event::Ceiling)) and never
//! holds the only task back.
//!
//! [`room`] decides and is pure. What it is told is measured by `Probe`: memory that is available (the machine's, or
//! what the cgroups around us leave), pressure stall information where the kernel has it and the load where it has not,
//! our open files, the space on the disks of the working trees. `docs/limits.md` says what that is worth.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statvfs::statvfs;
use tokio::time::Instant;

use super::clock;
use crate::document::size;
use crate::store::event::Event;

/// A folder in place of `/proc`, for tests: `meminfo`, `pressure/*`, `loadavg`, and `cgroup/` for the cgroup.
const MADE_UP: &str = "SPEC_TEST_PROC";
/// A look is good for so long; what was started since is counted in.
const FRESH: Duration = Duration::from_millis(100);
/// How often the machine is looked at while tasks wait for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A start makes a burst: for so long its own pressure says nothing, and its memory is not in the figures yet.
const BURST: Duration = Duration::from_secs(10);
/// Open files that one running task takes here: three pipes, its log, its pidfd, one for a short while.
const FILES_PER_TASK: u64 = 6;
/// The limit of open files is raised up to here, if it may be: far above what is needed, and low enough for programs
/// that look at every possible number.
const FILES_ENOUGH: u64 = 65_536;

/// From where on the machine counts as short, so that no further task starts: `[admission]` of the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// Whether starts are held back at all.
    pub enabled: bool,
    /// Memory to count for a task until it shows in the machine's figures.
    pub task_memory: u64,
    /// Memory to leave; none means a tenth, at least 1 GiB and at most a quarter of the machine.
    pub memory_reserve: Option<u64>,
    /// Share of time in which everything waits for memory.
    pub memory_pressure: f64,
    /// Share of time in which something waits for a processor.
    pub cpu_pressure: f64,
    /// Share of time in which everything waits for a disk.
    pub io_pressure: f64,
    /// Load by processor, where the kernel does not measure pressure.
    pub load: f64,
    /// Share of the open files that may be.
    pub files: f64,
    /// Space to leave on the disks of the working trees; none means 1 GiB, at most a tenth of the disk.
    pub disk_reserve: Option<u64>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            enabled: true,
            task_memory: 128 << 20,
            memory_reserve: None,
            memory_pressure: 0.1,
            cpu_pressure: 0.6,
            io_pressure: 0.2,
            load: 0.8,
            files: 0.8,
            disk_reserve: None,
        }
    }
}

/// What is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// `memory`, `cpu`, `io`, `load`, `files` or `disk`.
    pub what: &'static str,
    /// The number and what it would have to be.
    pub reason: String,
}

/// What was seen of the machine; `None` where it does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    /// Memory that is available, and all there is, in bytes.
    pub memory: Option<(u64, u64)>,
    /// Shares of the last ten seconds in which tasks waited.
    pub pressure: Option<Pressure>,
    /// Load of the last minute by processor.
    pub load: Option<f64>,
    /// Our open files, and how many there may be.
    pub files: Option<(u64, u64)>,
    /// The disks of the working trees, what is free on each, and its size.
    pub disks: Vec<(PathBuf, u64, u64)>,
}

/// Pressure stall information, each a share of time between 0 and 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Some task waited for a processor.
    pub cpu: f64,
    /// All tasks waited for memory.
    pub memory: f64,
    /// All tasks waited for a disk.
    pub io: f64,
}

/// What is known of the tasks themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Memory that running tasks were given and have not taken yet.
    pub promised: u64,
    /// Memory to count for the next task.
    pub next: u64,
    /// A task was started a moment ago, so what processors and disks say is its own doing.
    pub burst: bool,
}

/// How many more tasks the machine has room for, and what keeps it from more, where anything does.
#[must_use]
pub fn room(thresholds: &Thresholds, machine: &Machine, load: Load) -> (usize, Option<Short>) {
    let mut least = usize::MAX;
    let mut short = None;
    let mut bound = |room: u64, what: &'static str, reason: &dyn Fn() -> String| {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if room < least {
            least = room;
            short = Some(Short { what, reason: reason() });
        }
    };
    let all_or_none = |fits: bool| if fits { u64::MAX } else { 0 };
    if let Some((available, total)) = machine.memory {
        // On a small machine a fixed reserve would be all of it.
        let reserve = thresholds.memory_reserve.unwrap_or((total / 10).max(1 << 30).min(total / 4));
        let free = available.saturating_sub(load.promised);
        let rest = free.checked_sub(reserve);
        let room = rest.map_or(0, |rest| rest.checked_div(load.next).unwrap_or(u64::MAX));
        bound(room, "memory", &|| {
            format!("{} available, needs {}", size::show(free), size::show(reserve.saturating_add(load.next)))
        });
    }
    let share =
        |value: f64, most: f64| format!("{:.0} % of the time, starts wait from {:.0} %", value * 1e2, most * 1e2);
    if let Some(pressure) = machine.pressure {
        let most = thresholds.memory_pressure;
        bound(all_or_none(pressure.memory < most), "memory", &|| {
            format!("everything stalled {}", share(pressure.memory, most))
        });
        if !load.burst {
            let most = thresholds.cpu_pressure;
            bound(all_or_none(pressure.cpu < most), "cpu", &|| {
                format!("processes waited for a processor {}", share(pressure.cpu, most))
            });
            let most = thresholds.io_pressure;
            bound(all_or_none(pressure.io < most), "io", &|| {
                format!("everything waited for a disk {}", share(pressure.io, most))
            });
        }
    } else if let Some(value) = machine.load.filter(|_| !load.burst) {
        let most = thresholds.load;
        bound(all_or_none(value < most), "load", &|| {
            format!("{value:.2} for each processor, starts wait from {most:.2}")
        });
    }
    if let Some((used, limit)) = machine.files {
        let most = (limit as f64 * thresholds.files) as u64;
        bound(most.saturating_sub(used) / FILES_PER_TASK, "files", &|| {
            format!("{used} open of {limit}, a task needs {FILES_PER_TASK} and {most} are used at most")
        });
    }
    for (disk, free, total) in &machine.disks {
        let reserve = thresholds.disk_reserve.unwrap_or((1 << 30).min(total / 10));
        bound(all_or_none(*free >= reserve), "disk", &|| {
            format!("{} free at {}, needs {}", size::show(*free), disk.display(), size::show(reserve))
        });
    }
    (least, short)
}

/// Looks at the machine.
struct Probe {
    proc: PathBuf,
    /// Folders of the cgroups around us that limit memory.
    cgroups: Vec<PathBuf>,
    processors: f64,
    file_limit: Option<u64>,
    disks: Vec<PathBuf>,
}

impl Probe {
    fn new(disks: Vec<PathBuf>) -> Self {
        let made_up = std::env::var_os(MADE_UP).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let cgroups = match &made_up {
            Some(folder) => vec![folder.join("cgroup")],
            None => cgroups(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default(), Path::new("/sys/fs/cgroup")),
        };
        Self {
            proc: made_up.unwrap_or_else(|| PathBuf::from("/proc")),
            cgroups,
            processors: std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64),
            file_limit: raise_file_limit(),
            disks,
        }
    }

    fn look(&self) -> Machine {
        let read = |name: &str| fs::read_to_string(self.proc.join(name)).ok();
        let memory = read("meminfo").and_then(|text| meminfo(&text));
        let limited = self.cgroups.iter().filter_map(|folder| memory_of(folder));
        let pressure = |name: &str, line| read(&format!("pressure/{name}")).and_then(|text| stalled(&text, line));
        Machine {
            memory: memory.into_iter().chain(limited).min(),
            // A cgroup without a processor limit has no `full` for processors.
            pressure: pressure("cpu", "some").map(|cpu| Pressure {
                cpu,
                memory: pressure("memory", "full").unwrap_or_default(),
                io: pressure("io", "full").unwrap_or_default(),
            }),
            load: read("loadavg")
                .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
                .map(|load| load / self.processors),
            files: self.file_limit.and_then(|limit| Some((open_files()?, limit))),
            disks: self.disks.iter().filter_map(|disk| space(disk)).collect(),
        }
    }
}

/// Raises our own limit of open files to what it may be, and gives it. What we start has the same one.
fn raise_file_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = hard.min(FILES_ENOUGH);
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
        return Some(wanted);
    }
    Some(soft)
}

fn open_files() -> Option<u64> {
    // The folder itself is open while it is read.
    Some((fs::read_dir("/dev/fd").ok()?.count() as u64).saturating_sub(1))
}

/// What is free on a disk, and its size.
fn space(disk: &Path) -> Option<(PathBuf, u64, u64)> {
    let found = statvfs(disk).ok()?;
    // Their types differ between systems.
    #[allow(clippy::useless_conversion, reason = "not everywhere")]
    let bytes = |blocks| u64::from(blocks).saturating_mul(found.fragment_size().into());
    Some((disk.to_owned(), bytes(found.blocks_available()), bytes(found.blocks())))
}

/// `MemAvailable` and `MemTotal`.
fn meminfo(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Some((field("MemAvailable:")?, field("MemTotal:")?))
}

/// The share of the last ten seconds in a line of pressure stall information.
fn stalled(text: &str, line: &str) -> Option<f64> {
    let line = text.lines().find(|found| found.split(' ').next() == Some(line))?;
    Some(line.split(' ').find_map(|part| part.strip_prefix("avg10="))?.parse::<f64>().ok()? / 100.0)
}

/// The folders of the cgroups that this process is in, for memory: its own and those above, version 2 and 1.
fn cgroups(own: &str, mount: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let top = match controllers {
            "" => mount.to_owned(),
            list if list.split(',').any(|controller| controller == "memory") => mount.join("memory"),
            _ => continue,
        };
        let own = top.join(path.trim_start_matches('/'));
        folders.extend(own.ancestors().take_while(|folder| folder.starts_with(&top)).map(Path::to_owned));
    }
    folders.retain(|folder| memory_of(folder).is_some());
    folders
}

/// What a cgroup's limit leaves of memory, and the limit; none where it has no limit.
fn memory_of(folder: &Path) -> Option<(u64, u64)> {
    let number = |names: [&str; 2]| {
        let text = names.iter().find_map(|name| fs::read_to_string(folder.join(name)).ok())?;
        text.trim().parse::<u64>().ok()
    };
    // "max" is no number, and version 1 says no limit by one that no machine has.
    let limit = number(["memory.max", "memory.limit_in_bytes"]).filter(|limit| *limit < 1 << 60)?;
    let used = number(["memory.current", "memory.usage_in_bytes"])?;
    // What only caches files is given up when it is needed.
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let of = |name: &str| {
        let field = |line: &str| line.split_once(' ').filter(|(found, _)| *found == name)?.1.parse::<u64>().ok();
        stat.lines().find_map(field)
    };
    let cache = |name: &str| of(&format!("total_{name}")).or_else(|| of(name)).unwrap_or_default();
    let used = used.saturating_sub(cache("inactive_file") + cache("active_file"));
    Some((limit.saturating_sub(used), limit))
}

/// The driver's side: when to look, what to tell the engine, what to say.
pub(super) struct Admission {
    thresholds: Thresholds,
    /// None where nothing is held back: it is switched off, or one task runs at a time anyway.
    probe: Option<Probe>,
    max_parallel: usize,
    looked: Option<Instant>,
    /// Starts of the last while, no more than can run at once.
    starts: VecDeque<Instant>,
    /// Open files before the first task ran.
    own_files: Option<u64>,
    ceiling: usize,
    short: Option<Short>,
    /// What was said last: what is short.
    said: Option<&'static str>,
}

impl Admission {
    /// For a run with at most so many tasks at once in trees on these disks, of which one may take so much memory.
    pub(super) fn new(mut thresholds: Thresholds, max_parallel: usize, disks: Vec<PathBuf>, memory: u64) -> Self {
        thresholds.task_memory = thresholds.task_memory.max(memory);
        let probe = (thresholds.enabled && max_parallel > 1).then(|| Probe::new(disks));
        Self {
            thresholds,
            probe,
            max_parallel,
            looked: None,
            starts: VecDeque::new(),
            own_files: None,
            ceiling: usize::MAX,
            short: None,
            said: None,
        }
    }

    /// A task was started.
    pub(super) fn started(&mut self) {
        if self.probe.is_some() {
            self.starts.truncate(self.max_parallel - 1);
            self.starts.push_front(clock::now());
        }
    }

    /// Looks at the machine if the last look is too old; gives how many may run at once where that is not as it was.
    pub(super) fn look(&mut self, running: usize) -> Option<usize> {
        let probe = self.probe.as_ref()?;
        let now = clock::now();
        if self.looked.is_some_and(|at| now - at < FRESH) {
            return None;
        }
        self.looked = Some(now);
        self.starts.retain(|at| now - *at < BURST);
        let next = self.thresholds.task_memory;
        let young = self.starts.len().min(running);
        // With nothing running yet the pressure is not ours, and one may start anyway: after that it is a burst.
        let burst = running == 0 || !self.starts.is_empty();
        let load = Load { promised: next.saturating_mul(young as u64), next, burst };
        let mut machine = probe.look();
        if let Some((used, _)) = &mut machine.files {
            // Those that were just started have not opened theirs yet.
            let own = *self.own_files.get_or_insert(*used);
            *used = (*used).max(own + FILES_PER_TASK * running as u64);
        }
        let (room, short) = room(&self.thresholds, &machine, load);
        self.short = short;
        let ceiling = running.saturating_add(room);
        (std::mem::replace(&mut self.ceiling, ceiling) != ceiling).then_some(ceiling)
    }

    /// How many may run at once by the last look.
    pub(super) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// When to look again although nothing happened: while tasks wait for the machine.
    pub(super) fn again(&self) -> Option<Instant> {
        self.said.and(self.looked).map(|at| at + LOOK_EVERY)
    }

    /// What to say now that so many tasks wait for the machine: that they do, or do no longer.
    pub(super) fn report(&mut self, held: usize) -> Option<Event> {
        let short = self.short.as_ref().filter(|_| held > 0);
        let what = short.map(|short| short.what);
        if what == self.said {
            return None;
        }
        self.said = what;
        Some(Event::Hold {
            held: short.is_some(),
            what: what.unwrap_or_default().to_owned(),
            reason: short.map(|short| short.reason.clone()).unwrap_or_default(),
            tasks: held,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn fine() -> Machine {
        Machine {
            memory: Some((8 * GIB, 16 * GIB)),
            pressure: Some(Pressure { cpu: 0.1, memory: 0.0, io: 0.0 }),
            load: Some(0.2),
            files: Some((20, 1000)),
            disks: vec![(PathBuf::from("tree"), 50 * GIB, 100 * GIB)],
        }
    }

    fn load() -> Load {
        Load { promised: 0, next: GIB / 4, burst: false }
    }

    /// How many more, and why no more.
    fn told(machine: &Machine, load: Load) -> (usize, String) {
        let (room, short) = room(&Thresholds::default(), machine, load);
        (room, short.map(|short| format!("{}: {}", short.what, short.reason)).unwrap_or_default())
    }

    #[test]
    fn memory_is_counted_in_tasks() {
        // 8 - 1.6 GiB (a tenth of 16) in quarters.
        assert_eq!(told(&fine(), load()), (25, "memory: 8.0 GiB available, needs 1.8 GiB".to_owned()));
        let promised = Load { promised: 6 * GIB, ..load() };
        assert_eq!(told(&fine(), promised).0, 1, "what others will still take is not there");
        let short = Machine { memory: Some((GIB, 16 * GIB)), ..fine() };
        assert_eq!(told(&short, load()), (0, "memory: 1.0 GiB available, needs 1.8 GiB".to_owned()));
        // A fixed reserve of a gibibyte would leave nothing of a small machine.
        let small = Machine { memory: Some((GIB, GIB + GIB / 2)), ..fine() };
        assert_eq!(told(&small, load()).0, 2);
        let set = Thresholds { memory_reserve: Some(2 * GIB), ..Thresholds::default() };
        assert_eq!(room(&set, &fine(), load()).0, 24);
        assert_eq!(room(&set, &fine(), Load { next: 0, ..load() }).0, 130, "then the files are what bounds");
    }

    #[test]
    fn pressure_holds_all_starts_and_is_not_asked_during_a_burst() {
        let with = |pressure| Machine { pressure: Some(pressure), ..fine() };
        let busy = with(Pressure { cpu: 0.75, ..Pressure::default() });
        let said = "cpu: processes waited for a processor 75 % of the time, starts wait from 60 %".to_owned();
        assert_eq!(told(&busy, load()), (0, said));
        let burst = Load { burst: true, ..load() };
        assert_eq!(told(&busy, burst).0, 25);
        let slow = with(Pressure { io: 0.2, ..Pressure::default() });
        assert_eq!(told(&slow, load()).0, 0);
        assert_eq!(told(&slow, burst).0, 25);
        // Memory is another matter: it does not come back by waiting.
        let out = with(Pressure { memory: 0.3, ..Pressure::default() });
        assert_eq!(told(&out, burst).0, 0);
        assert!(told(&out, burst).1.starts_with("memory: everything stalled 30 %"));
    }

    #[test]
    fn the_load_counts_only_where_there_is_no_pressure() {
        let loaded = Machine { load: Some(4.0), ..fine() };
        assert_eq!(told(&loaded, load()).0, 25);
        let old = Machine { pressure: None, ..loaded };
        assert_eq!(told(&old, load()), (0, "load: 4.00 for each processor, starts wait from 0.80".to_owned()));
        assert_eq!(told(&old, Load { burst: true, ..load() }).0, 25);
    }

    #[test]
    fn files_and_disks_bound_too_and_the_tightest_is_told() {
        let files = Machine { files: Some((786, 1000)), ..fine() };
        assert_eq!(
            told(&files, load()),
            (2, "files: 786 open of 1000, a task needs 6 and 800 are used at most".to_owned())
        );
        let small = Machine { disks: vec![(PathBuf::from("tree"), GIB / 2, GIB)], ..fine() };
        assert_eq!(told(&small, load()).0, 25, "a fixed reserve would be more than a small disk");
        let disk = Machine { disks: vec![(PathBuf::from("tree"), GIB / 2, 100 * GIB)], ..files };
        assert_eq!(told(&disk, load()), (0, "disk: 512 MiB free at tree, needs 1.0 GiB".to_owned()));
        assert_eq!(told(&Machine::default(), load()), (usize::MAX, String::new()), "who says nothing holds nothing");
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let text = "MemTotal:       24684344 kB\nMemFree:        20930048 kB\nMemAvailable:   22701288 kB\n";
        assert_eq!(meminfo(text), Some((22_701_288 * 1024, 24_684_344 * 1024)));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
        let text =
            "some avg10=96.91 avg60=75.68 avg300=27.54 total=5\nfull avg10=1.50 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(stalled(text, "some"), Some(0.9691));
        assert_eq!(stalled(text, "full"), Some(0.015));
        assert_eq!(stalled("", "full"), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test sets its files up as any other program does")]
    fn the_cgroups_around_us_limit_memory() {
        let mount = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("a/memory.max", "1000\n");
        file("a/memory.current", "900\n");
        file("a/memory.stat", "anon 5\ninactive_file 300\nactive_file 100\n");
        file("a/b/memory.max", "max\n");
        file("a/b/memory.current", "100\n");
        file("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        file("memory/c/memory.usage_in_bytes", "5\n");
        let found = cgroups("7:cpu,cpuacct:/x\n4:memory:/c\n0::/a/b\n", mount.path());
        assert_eq!(found, [mount.path().join("a")], "only the one with a limit");
        assert_eq!(memory_of(&found[0]), Some((500, 1000)));
        file("memory/c/memory.limit_in_bytes", "2000\n");
        file("memory/c/memory.stat", "inactive_file 1\ntotal_inactive_file 2\n");
        assert_eq!(memory_of(&mount.path().join("memory/c")), Some((1997, 2000)));
    }

    #[test]
    fn the_limit_of_open_files_is_what_it_may_be() {
        let limit = raise_file_limit().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((limit, soft), (soft, hard.min(FILES_ENOUGH).max(soft)));
        assert!(open_files().unwrap() >= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_good_for_a_moment_and_a_hold_is_said_once() {
        let thresholds = Thresholds { disk_reserve: Some(u64::MAX), ..Thresholds::default() };
        let mut admission = Admission::new(thresholds.clone(), 4, vec![PathBuf::from(".")], 0);
        admission.started();
        assert_eq!(admission.look(1), Some(1), "no room beside the one that runs");
        assert_eq!(admission.look(2), None, "a look is good for a moment");
        let Some(Event::Hold { held: true, what, tasks: 2, .. }) = admission.report(2) else { panic!("it is said") };
        assert_eq!(what, "disk");
        assert_eq!(admission.report(1), None, "said once");
        let again = admission.again().unwrap();
        assert!(again <= clock::now() + LOOK_EVERY);
        tokio::time::sleep_until(again).await;
        admission.thresholds.disk_reserve = Some(0);
        assert!(admission.look(1).is_some_and(|ceiling| ceiling > 1));
        assert!(matches!(admission.report(0), Some(Event::Hold { held: false, .. })));
        assert_eq!(admission.again(), None);
        let mut off = Admission::new(Thresholds { enabled: false, ..thresholds }, 4, Vec::new(), 0);
        assert_eq!(off.look(1), None);
    }
}
