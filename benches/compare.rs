//! Whole runs of `true`, side by side with other programs that run many processes: `cargo bench --bench compare`.
//!
//! Each line is the median of repeats that take turns, so that a busy machine is unfair to all alike. The ratio is to
//! `bare`, a loop of the standard library's spawn and wait; `threads` is that loop on several threads, `process` our own
//! starting and watching without the rest. `-- --quick` takes a tenth of the tasks. What is not installed is left out.
//! `bare`, `threads`, `process` and `xargs` start the program `true` itself; so do spec and make, for which a plain command
//! needs no shell. Ninja and parallel take one.
//!
//! `-- graph` runs random graphs of sleeping tasks, and compares how long they take with the least that is possible and
//! with what a scheduler without any cost of its own would make of them.

#![expect(clippy::print_stdout, reason = "its table is for whoever runs it")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use spec::runtime::process::{CommandLine, SpawnError, SpawnSpec, spawn};
use spec::runtime::{clock, tree};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const REPEATS: usize = 5;
const TOOLS: [&str; 8] = ["bare", "threads", "process", "spec run", "make", "ninja", "xargs", "parallel"];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["bare", tasks, at_once] => bare(tasks.parse()?, at_once.parse()?),
        ["threads", tasks, at_once] => threads(tasks.parse()?, at_once.parse()?),
        ["process", tasks, at_once] => process(tasks.parse()?, at_once.parse()?),
        ["measure", program, args @ ..] => measure(program, args),
        [] => compare(1),
        ["--quick"] => compare(10),
        ["graph"] => graphs(),
        _ => Err("use: compare [--quick | graph]".into()),
    }
}

/// As little as can be done: one thread starts and waits.
#[expect(clippy::disallowed_methods, reason = "what the program is measured against")]
fn bare(tasks: usize, at_once: usize) -> Result<()> {
    for task in 0..tasks {
        if task >= at_once {
            nix::sys::wait::wait()?;
        }
        Command::new("true").stdin(Stdio::null()).spawn()?;
    }
    while nix::sys::wait::wait().is_ok() {}
    Ok(())
}

/// The same on as many threads as tasks may run at once: starting a process makes its thread wait.
fn threads(tasks: usize, at_once: usize) -> Result<()> {
    let left = AtomicUsize::new(tasks);
    let work = || -> std::io::Result<()> {
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            Command::new("true").stdin(Stdio::null()).status()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    Ok(())
}

/// Ours, without list, engine, journal and reports.
fn process(tasks: usize, at_once: usize) -> Result<()> {
    tree::become_subreaper()?;
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = tokio::task::JoinSet::new();
        for task in 0..tasks {
            if running.len() == at_once {
                running.join_next().await;
            }
            let log = folder.path().join(task.to_string());
            let command = CommandLine::new("true", [""; 0]);
            let mut spec = SpawnSpec::new(command, folder.path(), log, "bench").env("SPEC_TASK_ID", task.to_string());
            spec.merge_streams = true;
            spec.timeout = Some(Duration::from_secs(3600));
            spec.idle_timeout = Some(Duration::from_secs(600));
            running.spawn(async { Ok::<_, SpawnError>(spawn(spec).await?.wait().await) });
        }
        running.join_all().await.into_iter().try_for_each(|outcome| outcome.map(drop))?;
        Ok(())
    })
}

/// Runs a program and prints how long it took (s), and the most memory one of its processes had (KiB). In a process of
/// its own, for the system only tells the most of all children.
fn measure(program: &str, args: &[&str]) -> Result<()> {
    let before = clock::now();
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let seconds = (clock::now() - before).as_secs_f64();
    let memory = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?.max_rss();
    if !status.success() {
        return Err(format!("{program} {args:?}: {status}").into());
    }
    println!("{seconds} {memory}");
    Ok(())
}

/// A random graph: how long each task sleeps (s), and which earlier ones it needs.
struct Graph {
    sleeps: Vec<f64>,
    needs: Vec<Vec<usize>>,
}

impl Graph {
    fn random(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Xorshift: the same graphs everywhere and always.
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let sleeps = (0..60).map(|_| (50 + random(251)) as f64 / 1e3).collect();
        let needs = (0..60)
            .map(|task: usize| {
                let mut needs: Vec<usize> = (0..random(3)).filter_map(|_| task.checked_sub(1 + random(12))).collect();
                needs.sort_unstable();
                needs.dedup();
                needs
            })
            .collect();
        Self { sleeps, needs }
    }

    fn list(&self) -> String {
        let mut list = "# Tasks\n\n".to_owned();
        for (task, (sleep, needs)) in self.sleeps.iter().zip(&self.needs).enumerate() {
            writeln!(list, "- [ ] 1.{task} Task {task}\n  - **Run**: `sleep {sleep}`").ok();
            if !needs.is_empty() {
                let needs: Vec<String> = needs.iter().map(|task| format!("1.{task}")).collect();
                writeln!(list, "  - **Depends**: {}", needs.join(", ")).ok();
            }
        }
        list
    }

    /// No schedule is shorter: the longest chain, and the work shared out evenly.
    fn bound(&self, at_once: usize) -> f64 {
        let mut ends: Vec<f64> = Vec::new();
        for (sleep, needs) in self.sleeps.iter().zip(&self.needs) {
            ends.push(sleep + needs.iter().map(|task| ends[*task]).fold(0.0, f64::max));
        }
        ends.into_iter().fold(self.sleeps.iter().sum::<f64>() / at_once as f64, f64::max)
    }

    /// How long it takes when a task is started as soon as there is room, for free: the first in the list that may start,
    /// or the one with the longest way to the end behind it, whatever is better.
    fn list_schedule(&self, at_once: usize) -> f64 {
        let in_turn: Vec<usize> = (0..self.sleeps.len()).collect();
        let mut ways = self.sleeps.clone();
        for task in (0..ways.len()).rev() {
            for need in &self.needs[task] {
                ways[*need] = ways[*need].max(self.sleeps[*need] + ways[task]);
            }
        }
        let mut longest = in_turn.clone();
        longest.sort_by(|a, b| ways[*b].total_cmp(&ways[*a]));
        f64::min(self.schedule(at_once, &in_turn), self.schedule(at_once, &longest))
    }

    fn schedule(&self, at_once: usize, order: &[usize]) -> f64 {
        let mut ends = vec![None; self.sleeps.len()];
        let mut now = 0.0_f64;
        while ends.contains(&None) {
            let over = |end: &Option<f64>| end.is_some_and(|end| end <= now);
            let running = ends.iter().flatten().filter(|end| **end > now).count();
            let ready = |task: &usize| ends[*task].is_none() && self.needs[*task].iter().all(|need| over(&ends[*need]));
            match order.iter().copied().find(ready).filter(|_| running < at_once) {
                Some(task) => ends[task] = Some(now + self.sleeps[task]),
                None => now = ends.iter().flatten().copied().filter(|end| *end > now).fold(f64::MAX, f64::min),
            }
        }
        ends.into_iter().flatten().fold(0.0, f64::max)
    }
}

#[expect(clippy::disallowed_methods, reason = "files that only this measurement needs")]
fn graphs() -> Result<()> {
    println!("| at once | graph | s | to the bound | to the list schedule |\n|---|---|---|---|---|");
    for at_once in [2, 4, 8] {
        for seed in 1..=5 {
            let graph = Graph::random(seed);
            let folder = tempfile::tempdir()?;
            fs::write(folder.path().join("tasks.md"), graph.list())?;
            let before = clock::now();
            let status = Command::new(env!("CARGO_BIN_EXE_spec"))
                .args(["run", "tasks.md", "--mode", "graph", "--no-commit", "-q", "-j", &at_once.to_string()])
                .current_dir(&folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            let seconds = (clock::now() - before).as_secs_f64();
            if !status.success() {
                return Err(format!("graph {seed}: {status}").into());
            }
            let (bound, schedule) = (seconds / graph.bound(at_once), seconds / graph.list_schedule(at_once));
            println!("| {at_once} | {seed} | {seconds:.2} | {bound:.3} | {schedule:.3} |");
        }
    }
    Ok(())
}

/// One measurement: seconds and KiB.
fn once(tool: &str, tasks: usize, at_once: usize) -> Result<(f64, u64)> {
    let folder = tempfile::tempdir()?;
    let (program, args) = command(tool, folder.path(), tasks, at_once)?;
    let output = Command::new(std::env::current_exe()?)
        .arg("measure")
        .arg(program)
        .args(args)
        .current_dir(&folder)
        .stdin(File::open(folder.path().join("numbers"))?)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let (seconds, memory) = text.trim().split_once(' ').ok_or("no figures")?;
    Ok((seconds.parse()?, memory.parse()?))
}

#[expect(clippy::disallowed_methods, reason = "files that only this measurement needs")]
fn command(tool: &str, folder: &Path, tasks: usize, at_once: usize) -> Result<(PathBuf, Vec<String>)> {
    let numbers: String = (0..tasks).fold(String::new(), |mut text, task| {
        writeln!(text, "{task}").ok();
        text
    });
    fs::write(folder.join("numbers"), &numbers)?;
    let each = |line: &dyn Fn(&str) -> String| numbers.lines().map(line).collect::<String>();
    let jobs = at_once.to_string();
    let own = || std::env::current_exe().map(|exe| (exe, vec![tool.to_owned(), tasks.to_string(), jobs.clone()]));
    let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    Ok(match tool {
        "bare" | "threads" | "process" => own()?,
        "spec run" => {
            let list = each(&|task| format!("- [ ] 1.{task} [P] Task {task}\n  - **Run**: `true`\n"));
            fs::write(folder.join("tasks.md"), format!("# Tasks\n\n{list}"))?;
            (env!("CARGO_BIN_EXE_spec").into(), args(&["run", "tasks.md", "-j", &jobs, "--no-commit", "-q"]))
        }
        "make" => {
            let rules = each(&|task| format!("t{task}:\n\ttrue\n"));
            let all = each(&|task| format!(" t{task}"));
            fs::write(folder.join("Makefile"), format!("all:{all}\n.PHONY: all{all}\n{rules}"))?;
            ("make".into(), args(&["-s", "-j", &jobs]))
        }
        "ninja" => {
            let edges = each(&|task| format!("build t{task}: t\n"));
            fs::write(folder.join("build.ninja"), format!("rule t\n  command = true\n{edges}"))?;
            ("ninja".into(), args(&["--quiet", "-j", &jobs]))
        }
        "xargs" => ("xargs".into(), args(&["-P", &jobs, "-n", "1", "true"])),
        _ => ("parallel".into(), args(&["-j", &jobs, "true"])),
    })
}

fn compare(fraction: usize) -> Result<()> {
    let usable: Vec<&str> = TOOLS
        .into_iter()
        .filter(|tool| match once(tool, 10, 2) {
            Ok(_) => true,
            Err(why) => {
                println!("{tool}: left out ({why})");
                false
            }
        })
        .collect();
    println!("| tasks | at once | tool | s | to bare | us a task | peak MiB |\n|---|---|---|---|---|---|---|");
    for tasks in [1_000, 5_000] {
        for at_once in [2, 4, 16] {
            table(&usable, tasks / fraction, at_once)?;
        }
    }
    println!("\nOf a short list and a long one:\n");
    println!("| tasks | at once | tool | s | to bare | us a task | peak MiB |\n|---|---|---|---|---|---|---|");
    for tasks in [100, 10_000 / fraction] {
        table(&usable, tasks, 4)?;
    }
    Ok(())
}

fn table(tools: &[&str], tasks: usize, at_once: usize) -> Result<()> {
    let mut seen: Vec<Vec<(f64, u64)>> = vec![Vec::new(); tools.len()];
    for _ in 0..REPEATS {
        for (tool, seen) in tools.iter().zip(&mut seen) {
            seen.push(once(tool, tasks, at_once)?);
        }
    }
    let medians: Vec<(f64, u64)> = seen
        .into_iter()
        .map(|mut seen| {
            seen.sort_by(|a, b| a.0.total_cmp(&b.0));
            (seen[REPEATS / 2].0, seen.iter().map(|(_, memory)| *memory).max().unwrap_or_default())
        })
        .collect();
    for (tool, (seconds, memory)) in tools.iter().zip(&medians) {
        let (ratio, each) = (seconds / medians[0].0, seconds / tasks as f64 * 1e6);
        let peak = *memory as f64 / 1024.0;
        println!("| {tasks} | {at_once} | {tool} | {seconds:.3} | {ratio:.2} | {each:.0} | {peak:.1} |");
    }
    Ok(())
}
