//! What it costs to start an agent for a task, and how much of that is `spec`: `cargo bench --bench agents`.
//!
//! Each program that `.ci/agents.sh` installed does one small task (two calls of the model, which answers at once, and one
//! file) in a fresh repository, by itself and under `spec run`; the two take turns. The figures are medians: seconds,
//! processor seconds of all processes, and the most memory that one process had. `spec` alone is the same with a shell
//! script in place of the agent. The first request is the program's own instructions and tools, and the prompt; four bytes
//! are counted as a token. Behind each program stands what `spec` adds to it.

#![expect(clippy::print_stdout, reason = "its table is for whoever runs it")]
#![expect(clippy::disallowed_methods, reason = "files that only this measurement needs")]

#[path = "../tests/agents/model/mod.rs"]
mod model;
#[path = "../tests/agents/program.rs"]
mod program;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use model::Model;
use program::Program;
use spec::runtime::clock;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const REPEATS: usize = 5;

const LIST: &str =
    "# Tasks\n\n- [ ] 1.1 Write the note\n  - **Do**: [[stub:write note.md noted]]\n  - **Files**: note.md\n";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["measure", program, args @ ..] => measure(program, args),
        [] => table(),
        _ => Err("use: agents".into()),
    }
}

/// Runs a program and prints seconds, processor seconds and KiB. In a process of its own, for the system tells of all
/// children together.
fn measure(program: &str, args: &[&str]) -> Result<()> {
    let before = clock::now();
    let output = Command::new(program).args(args).stdin(Stdio::inherit()).stdout(Stdio::null()).output()?;
    let seconds = (clock::now() - before).as_secs_f64();
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    let processor =
        [used.user_time(), used.system_time()].map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    println!("{seconds} {} {}", processor[0] + processor[1], used.max_rss());
    Ok(())
}

/// What runs in one repetition.
#[derive(Clone, Copy)]
enum Who {
    /// The program by itself.
    Alone(Program),
    /// The program under `spec run`.
    Under(Program),
    /// `spec run` with a script that writes the file.
    Script,
}

/// Figures of one run: seconds, processor seconds, KiB, bytes of the first request, and of the prompt in it.
type Figures = [f64; 5];

fn once(who: Who) -> Result<Figures> {
    let (folder, model) = (tempfile::tempdir()?, Model::start());
    let (home, work) = (folder.path().join("home"), folder.path().join("work"));
    fs::create_dir_all(&home)?;
    fs::create_dir_all(&work)?;
    fs::write(home.join(".gitconfig"), "[user]\n\tname = Bench\n\temail = bench@example.com\n")?;
    fs::write(work.join("tasks.md"), LIST)?;
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    let mut variables = Vec::new();
    if let Who::Alone(program) | Who::Under(program) = who {
        let mut folders = vec![program.folder().ok_or("not installed")?];
        folders.extend(std::env::split_paths(&path));
        path = std::env::join_paths(folders)?;
        variables = program.set_up(&home, &model.url());
    }
    let command = |program: &Path, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(&work).env_clear().env("HOME", &home).env("PATH", &path);
        command.envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    };
    for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "chore: the list"]] {
        command(Path::new("git"), args).status()?;
    }
    let spec = env!("CARGO_BIN_EXE_spec");
    let script = "cat > /dev/null; echo noted > note.md";
    let args: Vec<&str> = match who {
        Who::Alone(program) => vec!["sh", "-c", program.command_line()],
        Who::Under(program) => vec![spec, "run", "tasks.md", "-q", "--agent", program.name()],
        Who::Script => vec![spec, "run", "tasks.md", "-q", "--exec", script],
    };
    let own = std::env::current_exe()?;
    let mut child = command(&own, &[&["measure"], &args[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(LIST.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() || fs::read_to_string(work.join("note.md")).ok().as_deref() != Some("noted\n") {
        return Err(format!("{}: {}", program_of(who), String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut figures = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || figures.next().ok_or("no figures");
    // Not that for a title, which is without tools.
    let log = model.log();
    let first = log.iter().find(|asked| !asked.tools.is_empty() || asked.prompt.contains("[[stub:"));
    let [request, prompt] = first.map_or([0; 2], |asked| [asked.bytes, asked.prompt.len()]).map(|bytes| bytes as f64);
    Ok([next()??, next()??, next()??, request, prompt])
}

fn program_of(who: Who) -> &'static str {
    match who {
        Who::Alone(program) | Who::Under(program) => program.name(),
        Who::Script => "a script",
    }
}

fn table() -> Result<()> {
    println!("| | s | processor s | MiB of the largest process | tokens of the first request | of those the prompt |");
    println!("|---|---|---|---|---|---|");
    let mut rows = vec![("a script, under `spec run`".to_owned(), Who::Script)];
    for program in Program::installed() {
        rows.push((program.name().to_owned(), Who::Alone(program)));
        rows.push((format!("{}, under `spec run`", program.name()), Who::Under(program)));
    }
    let mut seen: Vec<Vec<Figures>> = vec![Vec::new(); rows.len()];
    for _ in 0..REPEATS {
        for ((_, who), seen) in rows.iter().zip(&mut seen) {
            seen.push(once(*who)?);
        }
    }
    let mut alone: Option<[f64; 5]> = None;
    for ((name, who), seen) in rows.iter().zip(&mut seen) {
        let mut median = |figure: usize| {
            seen.sort_by(|a, b| a[figure].total_cmp(&b[figure]));
            seen[REPEATS / 2][figure]
        };
        let figures = [median(0), median(1), median(2) / 1024.0, median(3) / 4.0, median(4) / 4.0];
        let [seconds, processor, memory, request, prompt] = figures;
        println!("| {name} | {seconds:.2} | {processor:.2} | {memory:.0} | {request:.0} | {prompt:.0} |");
        match (who, alone.take()) {
            (Who::Alone(_), _) => alone = Some(figures),
            (Who::Under(_), Some([before, busy, _, asked, _])) => {
                let (wall, busy, asked) = (seconds - before, processor - busy, request - asked);
                println!("| of that `spec` | {wall:.2} | {busy:.2} | | {asked:.0} | |");
            }
            _ => {}
        }
    }
    Ok(())
}
