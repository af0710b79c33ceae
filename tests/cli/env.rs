//! A hermetic place to run `spec` in: a home, a working folder and an environment of its own. What a command printed
//! and how it ended is one text ([`Output`]), made for inline snapshots.

#![expect(clippy::disallowed_methods, reason = "a test sets its files up as any other program does")]

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder to work in, with nothing of the machine around it but the programs on `PATH`.
pub(crate) struct TestEnv {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

/// What a command printed and how it ended. Look at it: snapshot it, or assert on its code.
#[must_use]
pub(crate) struct Output {
    /// Standard output, paths redacted.
    pub(crate) stdout: String,
    /// Standard error, paths redacted.
    pub(crate) stderr: String,
    /// Exit code; negative for the signal that ended it.
    pub(crate) code: i32,
}

impl TestEnv {
    /// An empty working folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("spec-test-").tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("the folder is there");
        let env = Self { root, _folder: folder };
        fs::create_dir_all(env.root.join("home")).expect("a home");
        fs::create_dir_all(env.work()).expect("a working folder");
        let config =
            "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n";
        fs::write(env.root.join("home/.gitconfig"), config).expect("a git configuration");
        env
    }

    /// A working folder with a list in it.
    pub(crate) fn with_list(list: &str) -> Self {
        let env = Self::new();
        env.write("tasks.md", list);
        env
    }

    /// The working folder.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// A path in the working folder.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.work().join(path)
    }

    /// Writes a file of the working folder, its folders too.
    pub(crate) fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, contents).expect("a file");
    }

    #[allow(dead_code, reason = "for the sessions of commands to come")]
    /// Reads a file of the working folder.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path(path);
        String::from_utf8(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).expect("UTF-8")
    }

    /// Any program, in the working folder and the environment of the tests; for what needs more than [`Self::spec`].
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.work()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.root.join("home")).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Coverage of the program under test is written where the measuring tool says.
        for name in ["LLVM_PROFILE_FILE", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs([
            ("COLUMNS", "80"),
            ("GIT_AUTHOR_DATE", "2024-01-02T03:04:05Z"),
            ("GIT_COMMITTER_DATE", "2024-01-02T03:04:05Z"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("LC_ALL", "C"),
            ("NO_COLOR", "1"),
            // How busy the machine is that the tests run on is none of their business.
            ("SPEC_ADMISSION", "off"),
            ("TZ", "UTC"),
        ]);
        command
    }

    /// The program under test.
    pub(crate) fn spec_command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_spec"));
        command.args(args);
        command
    }

    #[allow(dead_code, reason = "some start it in an environment of their own")]
    /// Runs the program under test.
    pub(crate) fn spec<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.output(&mut self.spec_command(args))
    }

    #[allow(dead_code, reason = "for the sessions of commands to come")]
    /// Runs git and asks that it succeeds; gives what it printed, trimmed.
    pub(crate) fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.output(self.command("git").args(args));
        assert_eq!(output.code, 0, "{output}");
        output.stdout.trim_end().to_owned()
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, command: &mut Command) -> Output {
        self.finished(&command.output().expect("the program starts"))
    }

    /// What a command that ended has printed.
    pub(crate) fn finished(&self, output: &std::process::Output) -> Output {
        let code = output
            .status
            .code()
            .unwrap_or_else(|| -std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0));
        Output { stdout: self.redact(&output.stdout), stderr: self.redact(&output.stderr), code }
    }

    /// The text with this environment's folder as `$ENV`.
    pub(crate) fn redact(&self, text: &[u8]) -> String {
        String::from_utf8_lossy(text).replace(self.root.to_str().expect("UTF-8"), "$ENV")
    }
}

impl Output {
    #[allow(dead_code, reason = "for the sessions of commands to come")]
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}):\n{self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stdout)?;
        if !self.stdout.is_empty() && !self.stdout.ends_with('\n') {
            f.write_str("[no line end]\n")?;
        }
        if !self.stderr.is_empty() {
            writeln!(f, "--- stderr ---\n{}", self.stderr.trim_end())?;
        }
        if self.code != 0 {
            writeln!(f, "[exit code: {}]", self.code)?;
        }
        Ok(())
    }
}
