//! How a `Run` or `Verify` script and an `--exec` command are run.
//!
//! `--exec` is for `sh -c`. Scripts of a list go to bash, where there is one, with `pipes` made honest: real lists pipe
//! their tests into `tail`. A script that is one simple command is started without a shell, as make does; where that
//! cannot be done the shell gets it and says why, with exit code 127 or 126.

mod pipes;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::process::{CommandLine, SpawnSpec, is_executable};

/// Words that mean something to a shell at the beginning of a command although there may be programs of that name.
/// `true` and `false` are not among them: the programs do the same.
const OF_THE_SHELL: &[&str] = &[
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
];

/// The shells of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    sh: PathBuf,
    bash: Option<PathBuf>,
    /// The environment holds functions or a start file, which only bash would know.
    has_own_words: bool,
}

/// There is no shell to run anything with.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no `sh` and no `bash` on PATH; commands of Run and Verify and --exec need one: add its folder to PATH"
)]
pub struct NoShell;

/// What to start for a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// First choice.
    pub command: CommandLine,
    /// Where that one cannot be started.
    pub otherwise: Option<CommandLine>,
}

impl Script {
    /// As something to spawn; see [`SpawnSpec::new`].
    pub fn spec(self, cwd: impl Into<PathBuf>, log: impl Into<PathBuf>, run: impl Into<String>) -> SpawnSpec {
        SpawnSpec { otherwise: self.otherwise, ..SpawnSpec::new(self.command, cwd, log, run) }
    }
}

impl Shell {
    /// Looks for `bash` and `sh` on `PATH`.
    pub fn find() -> Result<Self, NoShell> {
        let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        let has_own_words = env::vars_os()
            .any(|(name, _)| name == "BASH_ENV" || name == "ENV" || name.as_encoded_bytes().starts_with(b"BASH_FUNC_"));
        Self::on(&path, has_own_words)
    }

    fn on(path: &OsStr, has_own_words: bool) -> Result<Self, NoShell> {
        let bash = on_path("bash", path);
        let sh = on_path("sh", path).or_else(|| bash.clone()).ok_or(NoShell)?;
        Ok(Self { sh, bash, has_own_words })
    }

    /// An `--exec` command: `sh -c`.
    #[must_use]
    pub fn exec(&self, command: &str) -> CommandLine {
        CommandLine::new(&self.sh, ["-c".into(), no_option(command)])
    }

    /// A script of `Run` or `Verify`.
    #[must_use]
    pub fn script(&self, script: &str) -> Script {
        let in_shell = match &self.bash {
            Some(bash) => {
                let script = pipes::wrap(script).unwrap_or_else(|| no_option(script));
                CommandLine::new(bash, ["-o", "pipefail", "-c", &script])
            }
            None => self.exec(script),
        };
        match simple_command(script).filter(|_| !self.has_own_words) {
            Some(command) => Script { command, otherwise: Some(in_shell) },
            None => Script { command: in_shell, otherwise: None },
        }
    }
}

/// A script that begins with a dash would be taken for an option.
fn no_option(script: &str) -> String {
    if script.starts_with(['-', '+']) { format!(" {script}") } else { script.to_owned() }
}

/// The command line of a script that any shell would read as exactly that: plain words, none of them its own.
fn simple_command(script: &str) -> Option<CommandLine> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte);
    let mut words = script.trim_matches([' ', '\t', '\n']).split([' ', '\t']).filter(|word| !word.is_empty());
    let program = words.next()?;
    let of_the_shell = program == "." || program == ":" || OF_THE_SHELL.contains(&program);
    let odd = program.contains('=') || program.starts_with(['-', '+', '%']);
    let args: Vec<&str> = words.collect();
    let all_plain = args.iter().chain([&program]).all(|word| word.bytes().all(plain));
    (all_plain && !of_the_shell && !odd).then(|| CommandLine::new(program, args))
}

/// The first executable of that name in the folders of `path`.
fn on_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

#[cfg(test)]
mod tests;
