//! How a `Run` or `Verify` script and an `--exec` command are run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::process::CommandLine;

/// The shells of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    sh: PathBuf,
    bash: Option<PathBuf>,
}

/// There is no shell to run anything with.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no `sh` on PATH: commands of Run and Verify, and --exec, need one; add the folder of a POSIX shell to PATH"
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

impl Shell {
    /// Looks for `bash` and `sh` on `PATH`.
    pub fn find() -> Result<Self, NoShell> {
        let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        let bash = on_path("bash", &path);
        let sh = on_path("sh", &path).or_else(|| bash.clone()).ok_or(NoShell)?;
        Ok(Self { sh, bash })
    }

    /// An `--exec` command: `sh -c`.
    #[must_use]
    pub fn exec(&self, command: &str) -> CommandLine {
        CommandLine::new(&self.sh, ["-c", command])
    }

    /// A script of `Run` or `Verify`.
    #[must_use]
    pub fn script(&self, script: &str) -> Script {
        let command = match &self.bash {
            Some(bash) => CommandLine::new(bash, ["-o", "pipefail", "-c", script]),
            None => self.exec(script),
        };
        Script { command, otherwise: None }
    }
}

/// The first executable of that name in the folders of `path`.
fn on_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}
