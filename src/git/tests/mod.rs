//! The whole module against real repositories, with every git that is on the path.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::git::call::Git;
use crate::git::commit::Patience;
use crate::mask::{self, Masker};

mod commit;
mod head;
mod hooks;
mod land;
mod locks;
mod open;
mod salvage;
mod snapshot;
mod trees;
mod undo;

/// A repository in a temporary folder, with a configuration of its own.
struct Fixture {
    temp: tempfile::TempDir,
    program: PathBuf,
    /// The working tree.
    root: PathBuf,
    /// On top of what keeps the machine's configuration out.
    inherited: Vec<(String, OsString)>,
}

/// Every different git on the path that is recent enough.
fn gits() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut seen = BTreeSet::new();
    std::env::split_paths(&path)
        .map(|folder| folder.join("git"))
        .filter(|git| git.is_file())
        .filter(|git| seen.insert(fs::metadata(git).unwrap().len()))
        .collect()
}

/// Runs a test with each git, in a repository with one commit: `README` and a list.
fn each(test: impl Fn(Fixture)) {
    for program in gits() {
        let fixture = Fixture::empty(program);
        fixture.write("README", "hello\n");
        fixture.write("specs/x/tasks.md", LIST);
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "begin"]);
        test(fixture);
    }
}

const LIST: &str = "# List\n\n- [ ] 1.1 One\n- [ ] 1.2 Two\n";

/// Ticks 1.1.
fn tick(list: &[u8]) -> Option<Vec<u8>> {
    let list = std::str::from_utf8(list).unwrap();
    list.contains("[ ] 1.1").then(|| list.replace("[ ] 1.1", "[x] 1.1").into_bytes())
}

impl Fixture {
    /// A repository without a commit.
    fn empty(program: PathBuf) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap().join("repo");
        fs::create_dir(&root).unwrap();
        let config = "[user]\nname = A\nemail = a@example.com\n[init]\ndefaultBranch = main\n[protocol \"file\"]\nallow = always\n";
        let fixture = Self { temp, program, root, inherited: Vec::new() };
        fixture.put(&fixture.temp.path().join("gitconfig"), config.as_bytes());
        fixture.git(&["init", "-q"]);
        fixture
    }

    fn environment(&self) -> Vec<(String, OsString)> {
        let config = self.temp.path().join("gitconfig");
        let mut variables = vec![
            ("GIT_CONFIG_GLOBAL".to_owned(), config.into_os_string()),
            ("GIT_CONFIG_SYSTEM".to_owned(), "/dev/null".into()),
            ("GIT_AUTHOR_DATE".to_owned(), "2026-01-02T03:04:05Z".into()),
            ("GIT_COMMITTER_DATE".to_owned(), "2026-01-02T03:04:05Z".into()),
        ];
        variables.extend(self.inherited.iter().cloned());
        variables
    }

    fn at(&self, folder: &Path) -> Git {
        Git { program: self.program.clone(), folder: folder.to_owned(), inherited: self.environment() }
    }

    fn open(&self) -> Result<Option<Repo>, Error> {
        Repo::open_with(&self.at(&self.root))
    }

    fn repo(&self) -> Repo {
        self.open().unwrap().unwrap()
    }

    fn committer(&self) -> Committer {
        let mut committer = Committer::new(&self.repo()).unwrap();
        committer.patience =
            Patience { lock_tries: 2, hooks: Duration::from_secs(20), signing: Duration::from_secs(20) };
        committer
    }

    fn own() -> SpecFiles {
        SpecFiles { list: "specs/x/tasks.md".into(), progress: "specs/x/.progress.md".into() }
    }

    fn follow(&self) -> Snapshot {
        Snapshot::begin(&self.repo(), Self::own(), 100).unwrap().0
    }

    /// Git as a person would start it.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for variable in REPOSITORY_VARIABLES {
            command.env_remove(variable);
        }
        command
            .args(args)
            .current_dir(&self.root)
            .envs(self.environment().into_iter().filter(|(key, _)| !REPOSITORY_VARIABLES.contains(&key.as_str())));
        command
    }

    /// Runs git as a person would.
    fn try_git(&self, args: &[&str]) -> (bool, String) {
        let output = self.command(args).output().unwrap();
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            said += &String::from_utf8_lossy(&output.stderr);
        }
        (output.status.success(), said)
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        let (ok, said) = self.try_git(args);
        assert!(ok, "git {args:?}: {said}");
        said.trim_end().to_owned()
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    fn put(&self, path: &Path, bytes: &[u8]) {
        assert!(path.starts_with(self.temp.path()) || path.starts_with(&self.root));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        self.put(&self.path(path), text.as_ref());
    }

    fn read(&self, path: impl AsRef<Path>) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Writes a script that can be run.
    fn script(&self, path: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.path(path);
        self.put(&path, format!("#!/bin/sh\n{text}\n").as_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn hook(&self, name: &str, text: &str) {
        self.script(format!(".git/hooks/{name}"), text);
    }

    fn status(&self) -> String {
        self.git(&["status", "--porcelain", "--untracked-files=all"])
    }

    fn log(&self) -> String {
        self.git(&["log", "--format=%s", "--name-status"])
    }
}

/// A request with the tick of 1.1 in it.
fn land<'a>(changes: &'a [Change], edits: &'a [FileEdit<'a>]) -> CommitRequest<'a> {
    CommitRequest {
        changes,
        edits,
        message: "feat: one",
        trailers: &[("Spec-Task", "1.1"), ("Spec-Run", "r1"), ("Spec-Attempt", "1")],
        work: None,
    }
}

/// Prepares and publishes.
fn commit(committer: &mut Committer, request: &CommitRequest<'_>) -> Result<(NewCommit, Published), CommitError> {
    let head = committer.repo.head().unwrap();
    let commit = committer.prepare(&head, request)?.commit.expect("something to commit");
    let published = committer.publish(&commit, request, None)?;
    assert!(published.unfinished.is_none(), "{published:?}");
    Ok((commit, published))
}

/// The commit as a new process knows it, from its journal.
fn recorded(prepared: Prepared) -> NewCommit {
    let NewCommit { id, parent, branch, subject, .. } = prepared.commit.unwrap();
    NewCommit::recorded(id, parent, branch, subject)
}

/// Changes as `+path`, `-path`, `~path`.
fn brief(changes: &[Change]) -> String {
    let sign = |change: &Change| match (&change.old, &change.new) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    changes.iter().map(|change| format!("{}{}", sign(change), change.path)).collect::<Vec<_>>().join(" ")
}
