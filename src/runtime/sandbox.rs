//! A sandbox around what tasks run: they may read everything, and write to their tree, a scratch folder, and what the
//! settings name. `.git` of a shared tree is read-only, so no task plants a hook or a setting that git would later carry
//! out for `spec` or for a person; a linked tree keeps what a commit in it needs. `.spec`, where a run keeps its journal, is
//! read-only too.
//!
//! It is bubblewrap, where that works when it is tried (`Sandbox::choose`). Where it does not, and a sandbox is not
//! required, it is Landlock, which keeps what is outside the tree but knows no exceptions inside: the program takes it upon
//! itself between the task and its command ([`exec`]). `docs/limits.md` says what each keeps out and what it does not.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::process::CommandLine;
use super::quota;
use crate::cli::settings::{RunSettings, Sandbox as Wanted};

/// What stands before every command in it. Without `--die-with-parent`: on TERM bubblewrap itself ends at once, and what
/// is in it is to have its grace.
const ALWAYS: [&str; 11] =
    ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--unshare-user", "--cap-drop", "ALL"];
/// Root inside would map to root outside, and could not have the user namespaces that a sandbox inside needs.
const AS_ROOT: [&str; 4] = ["--uid", "1000", "--gid", "1000"];
/// In the git directory of a linked tree: what says where git looks for its settings and hooks, and what is ours.
const KEPT: [&str; 7] = ["commondir", "gitdir", "config.worktree", "config", "hooks", "locked", "spec"];

/// The hidden first argument of [`exec`].
pub const COMMAND: &str = "__landlock";
/// Devices: `/dev/null` and the like.
const DEVICES: &str = "/dev";

/// What holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bubblewrap,
    Landlock,
}

/// The sandbox of a run.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    kind: Kind,
    /// Also writable, absolute.
    write: Vec<PathBuf>,
    network: bool,
    is_root: bool,
    /// Goes away with the run.
    scratch: Arc<TempDir>,
}

/// The sandbox of one try.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) sandbox: Sandbox,
    /// The task's working tree.
    pub(super) tree: PathBuf,
    /// Where it leaves its progress file.
    pub(super) folder: PathBuf,
    /// Where the run keeps its journal and logs.
    pub(super) work: PathBuf,
    /// For what is not to stay.
    pub(super) scratch: PathBuf,
}

impl Sandbox {
    /// Tries what is wanted; gives it, and what to say of it.
    pub(super) fn choose(settings: &RunSettings) -> Result<(Option<Self>, Option<String>), String> {
        if settings.sandbox == Wanted::None {
            return Ok((None, None));
        }
        let scratch = tempfile::Builder::new().prefix("spec-scratch-").tempdir();
        let mut sandbox = Self {
            kind: Kind::Bubblewrap,
            scratch: Arc::new(scratch.map_err(|error| format!("cannot make a scratch folder for a sandbox: {error}"))?),
            write: settings.sandbox_write.iter().map(|path| at_home(path)).collect(),
            network: settings.sandbox_network,
            is_root: nix::unistd::geteuid().is_root(),
        };
        match (sandbox.probe(), settings.sandbox) {
            (Ok(()), _) => {
                let network = if sandbox.network { "the network is open" } else { "no network" };
                let said = format!("sandbox: bubblewrap; tasks write to their tree and to scratch only, {network}");
                Ok((Some(sandbox), Some(said)))
            }
            (Err(why), Wanted::Required) => Err(format!("a sandbox is required and bubblewrap does not work: {why}")),
            (Err(why), _) if sandbox.network && landlock_works(sandbox.scratch.path()) => {
                sandbox.kind = Kind::Landlock;
                let said = "Landlock; tasks write to their tree and to scratch only, but also to what is in the tree of \
                            .git and .spec; the network is open";
                Ok((Some(sandbox), Some(format!("sandbox: {said} (bubblewrap does not work here: {why})"))))
            }
            (Err(why), _) => Ok((None, Some(format!("no sandbox: bubblewrap does not work here: {why}")))),
        }
    }

    /// Whether it works is found out by doing it: where the program is there, the system may still refuse.
    fn probe(&self) -> Result<(), String> {
        let mut command = Command::new("bwrap");
        command.args(self.always()).arg("true").stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("bwrap: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match said.lines().next() {
            _ if output.status.success() => Ok(()),
            Some(line) => Err(line.to_owned()),
            None => Err(output.status.to_string()),
        }
    }

    fn always(&self) -> Vec<OsString> {
        let as_root = if self.is_root { &AS_ROOT[..] } else { &[] };
        let network = if self.network { &[][..] } else { &["--unshare-net"] };
        ALWAYS.iter().chain(as_root).chain(network).map(OsString::from).collect()
    }

    /// The scratch folder of that name.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

impl Cell {
    /// The command inside it.
    pub(super) fn wrap(&self, command: CommandLine) -> CommandLine {
        // Where it cannot be made, the first program that needs it says so.
        fs::create_dir_all(&self.scratch).ok();
        if self.sandbox.kind == Kind::Landlock {
            let own = [&self.scratch, &self.tree, &self.folder];
            let writable = own.into_iter().chain(&self.sandbox.write).map(OsString::from);
            let head = [COMMAND.into()].into_iter().chain(writable).chain(["--".into(), command.program]);
            return CommandLine::new(quota::own_program(), head.chain(command.args));
        }
        let mut args = self.sandbox.always();
        for (how, path) in self.mounts(&|path| fs::read_to_string(path).ok(), &Path::exists) {
            args.extend([how.into(), path.clone().into(), path.into()]);
        }
        args.extend(["--setenv".into(), "TMPDIR".into(), self.scratch.clone().into(), "--".into(), command.program]);
        CommandLine::new("bwrap", args.into_iter().chain(command.args))
    }

    /// What is mounted over the read-only root, in order; each is its own mount, so that none can be moved away.
    fn mounts(
        &self,
        read: &dyn Fn(&Path) -> Option<String>,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Vec<(&'static str, PathBuf)> {
        const RW: &str = "--bind";
        const RO: &str = "--ro-bind";
        let mut mounts: Vec<(&str, PathBuf)> = Vec::new();
        mounts.extend(self.sandbox.write.iter().map(|path| ("--bind-try", path.clone())));
        mounts.push((RW, self.scratch.clone()));
        mounts.push((RW, self.tree.clone()));
        if !self.folder.starts_with(&self.tree) {
            mounts.push((RW, self.folder.clone()));
        }
        mounts.push((RO, self.work.clone()));
        let git = self.tree.join(".git");
        mounts.push((RO, git.clone()));
        // A linked tree has a file there that says where its own part of the repository is.
        if let Some(own) = read(&git).and_then(|text| Some(self.tree.join(text.strip_prefix("gitdir:")?.trim()))) {
            let common = read(&own.join("commondir")).map(|text| own.join(text.trim()));
            mounts.extend(common.map(|common| (RW, common.join("objects"))));
            mounts.push((RW, own.clone()));
            mounts.extend(KEPT.iter().map(|name| (RO, own.join(name))));
        }
        mounts.retain(|(how, path)| *how == "--bind-try" || exists(path));
        // What lies in another goes on top of it, whichever it is: a tree may be in `.spec`, and `.spec` in a tree.
        mounts.sort_by_key(|(_, path)| path.components().count());
        mounts
    }
}

/// Whether the kernel keeps a process of ours from writing where it may not, found out by doing it.
fn landlock_works(scratch: &Path) -> bool {
    let mut command = Command::new(quota::own_program());
    command.args([COMMAND.as_ref(), scratch.as_os_str(), "--".as_ref(), "true".as_ref()]);
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// `spec __landlock SCRATCH PATH... -- PROGRAM ARGS...`: gives up to write anywhere but there, and becomes the program.
/// Returns only where that cannot be, with the exit code.
#[must_use]
pub fn exec(args: impl Iterator<Item = OsString>) -> (u8, String) {
    let mut args = args.peekable();
    let mut writable: Vec<PathBuf> = Vec::new();
    while let Some(path) = args.next_if(|arg| arg != "--") {
        writable.push(path.into());
    }
    args.next();
    let (Some(program), Some(scratch)) = (args.next(), writable.first().cloned()) else {
        return (126, "there is no program to start".to_owned());
    };
    writable.push(DEVICES.into());
    if let Err(why) = restrict(&writable) {
        return (126, format!("no sandbox: {why}"));
    }
    quota::become_program(Command::new(program).args(args).env("TMPDIR", scratch))
}

#[cfg(target_os = "linux")]
fn restrict(writable: &[PathBuf]) -> Result<(), String> {
    use landlock::{
        ABI, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
        path_beneath_rules,
    };
    // What the kernel is too old for is left out: the scope, and from version 3 on that truncating is writing.
    let access = AccessFs::from_write(ABI::V3);
    let restrict = || -> Result<RulesetStatus, RulesetError> {
        let rules = path_beneath_rules(writable, access);
        let rules = Ruleset::default().handle_access(access)?.scope(Scope::Signal)?.create()?.add_rules(rules)?;
        Ok(rules.restrict_self()?.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no Landlock".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(target_os = "linux"))]
fn restrict(_: &[PathBuf]) -> Result<(), String> {
    Err("there is no Landlock on this system".to_owned())
}

/// A path of the settings, `~` being the home.
fn at_home(path: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(tree: &str, files: &[(&str, &str)], gone: &[&str]) -> Vec<String> {
        let scratch = Arc::new(TempDir::new().unwrap());
        let sandbox = Sandbox {
            kind: Kind::Bubblewrap,
            write: vec![PathBuf::from("/h/.agent")],
            network: true,
            is_root: false,
            scratch,
        };
        let read =
            |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned());
        let [tree, folder, work] = [tree, "/r/specs/x", "/r/specs/x/.spec"].map(PathBuf::from);
        let cell = Cell { sandbox, tree, folder, work, scratch: PathBuf::from("/s") };
        let exists = |path: &Path| !gone.iter().any(|gone| path == Path::new(gone));
        let mounts = cell.mounts(&read, &exists);
        mounts.iter().map(|(how, path)| format!("{} {}", &how[2..], path.display())).collect()
    }

    #[test]
    fn a_tree_in_the_folder_of_the_run_lies_on_top_of_it() {
        let found = mounts("/r/specs/x/.spec/slots/slot-1", &[], &[]);
        let at = |wanted: &str| found.iter().position(|mount| mount == wanted).unwrap();
        assert!(at("ro-bind /r/specs/x/.spec") < at("bind /r/specs/x/.spec/slots/slot-1"), "{found:?}");
    }

    #[test]
    fn in_a_shared_tree_all_of_git_is_read_only() {
        let found = mounts("/r", &[], &[]);
        assert_eq!(found, ["bind /s", "bind /r", "bind-try /h/.agent", "ro-bind /r/.git", "ro-bind /r/specs/x/.spec"]);
        assert!(!mounts("/r", &[], &["/r/.git"]).contains(&"ro-bind /r/.git".to_owned()), "there need be no git");
    }

    #[test]
    fn a_linked_tree_can_commit_and_not_say_where_its_settings_are() {
        let files = [("/w/.git", "gitdir: /r/.git/worktrees/w\n"), ("/r/.git/worktrees/w/commondir", "../..\n")];
        let own = "/r/.git/worktrees/w";
        let gone = ["config.worktree", "config", "hooks", "locked", "spec"].map(|name| format!("{own}/{name}"));
        let found = mounts("/w", &files, &gone.each_ref().map(String::as_str));
        assert_eq!(
            found[2..],
            [
                "bind-try /h/.agent",
                "ro-bind /w/.git",
                "bind /r/specs/x",
                "ro-bind /r/specs/x/.spec",
                "bind /r/.git/worktrees/w",
                "ro-bind /r/.git/worktrees/w/commondir",
                "ro-bind /r/.git/worktrees/w/gitdir",
                "bind /r/.git/worktrees/w/../../objects",
            ]
        );
    }

    #[test]
    fn the_network_is_kept_unless_asked() {
        let scratch = Arc::new(TempDir::new().unwrap());
        let with = |network| Sandbox {
            kind: Kind::Bubblewrap,
            write: Vec::new(),
            network,
            is_root: false,
            scratch: Arc::clone(&scratch),
        };
        assert!(!with(true).always().contains(&"--unshare-net".into()));
        assert!(with(false).always().contains(&"--unshare-net".into()));
    }
}
