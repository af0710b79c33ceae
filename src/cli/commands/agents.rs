//! `spec agents`: which agents there are, which of them are installed, and how each would be started. Nothing of them is
//! used: their programs are asked for their version, in an empty folder and with a time limit, and whether somebody is
//! signed in is told from what lies there. What a variable or a file contains is never shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::agent::{self, Agent, Call, Prompt, SignIn, Start};
use crate::cli::args::{AgentsArgs, Format};
use crate::cli::settings::RunSettings;
use crate::cli::{Error, exit, output, warn};
use crate::report::text::word;
use crate::runtime::acp;
use crate::runtime::process::{self, CommandLine, SpawnSpec};

/// How long a program may take to say its version. Some are interpreters that load a lot.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// `spec agents --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    schema: &'static str,
    /// The one that is used where a run names none; null where none is installed.
    default: Option<String>,
    agents: Vec<Entry>,
}

/// One agent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    title: String,
    /// Where its program is; null where it is not installed.
    program: Option<PathBuf>,
    /// What it says of its version; null where it says nothing in time.
    version: Option<String>,
    /// `likely`, or `unknown`: a keychain cannot be looked into, a key can be a wrong one.
    signed_in: &'static str,
    /// By what it was told, or how one signs in.
    sign_in: String,
    /// Whose limits it shares.
    account: String,
    /// What is run for a task.
    command: Vec<String>,
    /// How the prompt gets in.
    prompt: &'static str,
}

/// Lists the agents.
pub fn run(args: &AgentsArgs) -> Result<u8, Error> {
    let (settings, warnings) = RunSettings::here()?;
    for warning in warnings {
        warn(&warning);
    }
    let agents = agent::all(&settings.agents);
    let starts: Vec<Start> = agents.iter().map(|agent| start(agent, &settings)).collect();
    let mut entries: Vec<Entry> = agents.iter().zip(&starts).map(|(agent, start)| entry(agent, start)).collect();
    ask_versions(&starts, &mut entries)?;
    let installed = |entry: &&Entry| entry.program.is_some();
    let named = settings.agent.clone();
    let default = named.or_else(|| entries.iter().find(installed).map(|entry| entry.name.clone()));
    match args.format {
        Format::Json => output::print_json(&Listed { schema: "spec.agents/1", default, agents: entries })?,
        Format::Human => output::print(&human(&entries, default.as_deref()))?,
    }
    Ok(exit::DONE)
}

/// How it would be started for a task.
fn start(agent: &Agent, settings: &RunSettings) -> Start {
    agent.start(&Call {
        program: agent.programs().first().copied().unwrap_or_default(),
        cwd: Path::new("."),
        also: &[],
        model: settings.model.as_deref(),
        resume: None,
        access: settings.access,
        args: &[],
        prompt_file: Path::new("PROMPT.md"),
        git: true,
    })
}

fn entry(agent: &Agent, start: &Start) -> Entry {
    let (signed_in, sign_in) = match agent.known().map(agent::Adapter::signs_in) {
        Some(how) => match credentials(&how, start) {
            Some(by) => ("likely", by),
            None => ("unknown", how.how.to_owned()),
        },
        None => ("unknown", "nothing is known of it".to_owned()),
    };
    Entry {
        name: agent.name().to_owned(),
        title: agent.title().to_owned(),
        program: agent.programs().iter().find_map(|name| process::on_path(name)),
        version: None,
        signed_in,
        sign_in,
        account: agent.account().to_owned(),
        prompt: match start.prompt {
            Prompt::Stdin => "stdin",
            Prompt::File => "file",
            Prompt::Argument => "argument",
        },
        command: command(start),
    }
}

/// The command line as one would type it; our own program by its name.
fn command(start: &Start) -> Vec<String> {
    let program = if start.program == acp::program() { "spec".into() } else { start.program.clone() };
    let words = std::iter::once(&program).chain(&start.args);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

/// What is there to sign in with.
fn credentials(how: &SignIn, start: &Start) -> Option<String> {
    let given = |name: &str| {
        let configured = start.env.iter().rev().find(|(set, _)| set.as_os_str() == name);
        let value = configured.map_or_else(|| std::env::var_os(name), |(_, value)| value.clone());
        value.filter(|value| !value.is_empty())
    };
    if let Some(name) = how.variables.iter().find(|name| given(name).is_some()) {
        return Some(format!("{name} is set"));
    }
    how.files.iter().find_map(|(variable, folder, file)| {
        let home = || given("HOME").map(|home| Path::new(&home).join(folder));
        let folder = given(variable).map(PathBuf::from).or_else(home)?;
        let file = folder.join(file);
        file.is_file().then(|| format!("{} is there", file.display()))
    })
}

/// Asks every program that is there for its version, all at once.
fn ask_versions(starts: &[Start], entries: &mut [Entry]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::failed(format_args!("cannot ask agents for their versions: {error}"));
    let folder = tempfile::tempdir().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for (place, (start, entry)) in starts.iter().zip(entries.iter()).enumerate() {
            let Some(program) = &entry.program else { continue };
            let call = CommandLine::new(program, ["--version"]);
            let mut spec = SpawnSpec::new(call, folder.path(), folder.path().join(place.to_string()), "agents");
            spec.env.clone_from(&start.env);
            spec.timeout = Some(VERSION_LIMIT);
            spec.grace = Duration::from_millis(200);
            asked.spawn(async move {
                let outcome = process::spawn(spec).await.ok()?.wait().await;
                Some((place, version(&String::from_utf8_lossy(&outcome.stdout_tail))?))
            });
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok(Some((place, version))) = answer {
                entries[place].version = Some(version);
            }
        }
    });
    Ok(())
}

/// The first word that looks like a version.
fn version(said: &str) -> Option<String> {
    said.split_whitespace()
        .map(|word| word.trim_start_matches('v').trim_end_matches([',', ';', ')', '.']))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(|word| word.chars().take(40).collect())
}

/// For people: those that are installed with all about them, the others by name.
fn human(entries: &[Entry], default: Option<&str>) -> String {
    let (here, missing): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.program.is_some());
    let mut blocks: Vec<String> = here.iter().map(|entry| block(entry, default == Some(&entry.name))).collect();
    if here.is_empty() {
        blocks.push(NONE.to_owned());
    }
    let names: Vec<_> = missing.iter().map(|entry| entry.name.as_str()).collect();
    if !names.is_empty() {
        blocks.push(format!("not installed: {}\n", names.join(", ")));
    }
    blocks.join("\n")
}

/// What to do where there is none.
const NONE: &str = "no agent that spec knows is installed
  install one, or name yours in spec.toml ([agents.NAME] with a program);
  or run `spec run --exec 'CMD'`, or give the tasks a Run field, which needs no agent
";

fn block(entry: &Entry, default: bool) -> String {
    let version = entry.version.as_deref().unwrap_or("of an unknown version");
    let program = entry.program.as_deref().unwrap_or(Path::new("")).display();
    let mark = if default { "  (used where none is named)" } else { "" };
    let input = match entry.prompt {
        "stdin" => " < PROMPT.md",
        "argument" => " PROMPT",
        _ => "",
    };
    let line = entry.command.iter().map(|it| word(it)).collect::<Vec<_>>().join(" ");
    let Entry { name, title, signed_in, sign_in, account, .. } = entry;
    let account = if account == name { String::new() } else { format!("\n  account    {account}") };
    format!(
        "{name}: {title} {version}{mark}\n  program    {program}\n  signed in  {signed_in}: {sign_in}{account}\n  runs       {line}{input}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_programs_say_them() {
        let cases = [
            ("2.1.329 (Claude Code)\n", "2.1.329"),
            ("codex-cli 0.169.0\n", "0.169.0"),
            ("aider 0.86.2\n", "0.86.2"),
            ("crush version v0.40.1\n", "0.40.1"),
            ("GitHub Copilot CLI 1.0.102.\nRun 'copilot update'", "1.0.102"),
        ];
        for (said, expected) in cases {
            assert_eq!(version(said).as_deref(), Some(expected), "{said}");
        }
        assert_eq!(version("error: no such option"), None);
    }
}
