//! Commits with hooks: in a tree of its own that has nothing but the commit.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::call::{DURABLE, Git};
use super::change::Oid;
use super::commit::{Committer, Settings, refused};
use super::error::{CommitError, Error};
use super::repo::{Repo, unexpected};

/// The hooks that `git commit` runs.
const COMMIT_HOOKS: [&str; 4] = ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"];
/// Where the first commit of a repository is made; belongs to one working tree only.
const FIRST: &str = "refs/worktree/spec-first";

impl Repo {
    /// What is set about commits. Asked each time: a task may have installed hooks.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let names = r"^(core\.hookspath|commit\.gpgsign)$";
        let set = self.git.call("config").args(["-z", "--get-regexp", names]).run()?;
        // `name<LF>value`, the last one counts; a name without a value is true.
        let (mut elsewhere, mut signs) = (false, false);
        for setting in set.stdout.split(|&byte| byte == 0) {
            let mut parts = setting.splitn(2, |&byte| byte == b'\n');
            match (parts.next(), parts.next()) {
                (Some(b"core.hookspath"), _) => elsewhere = true,
                (Some(b"commit.gpgsign"), value) => {
                    let value = value.unwrap_or(b"true").to_ascii_lowercase();
                    signs = !matches!(value.as_slice(), b"false" | b"no" | b"off" | b"0" | b"");
                }
                _ => {}
            }
        }
        let mut folder = self.common_dir.join("hooks");
        if elsewhere {
            // Relative ones mean the root of the user's tree, where an installed but uncommitted folder is.
            let path = self.git.call("rev-parse").args(["--git-path", "hooks"]).ok()?;
            folder = self.root.join(OsString::from_vec(path.trim_ascii_end().to_vec()));
        }
        let runs = |name: &&str| {
            fs::metadata(folder.join(name)).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        let hooks = COMMIT_HOOKS.iter().any(runs).then_some(folder);
        Ok(Settings { hooks, signs })
    }
}

impl Committer {
    /// Makes a commit of `tree` with hooks, in a linked working tree of its own; what hooks change and stage is in it.
    pub(super) fn commit_with_hooks(
        &self,
        hooks: &Path,
        parent: Option<&Oid>,
        tree: &Oid,
        message: &str,
    ) -> Result<Oid, CommitError> {
        let own = self.repo.own_dir()?;
        let place = self.hook_tree(&own, parent)?;
        place.call("read-tree").args(["--reset", "-u", tree.as_str()]).env("GIT_LFS_SKIP_SMUDGE", "1").ok()?;
        place.call("clean").args(["-ffdq"]).ok()?;
        let ignores = self.link_ignored(&own, &place.folder)?;
        let file = own.join("message");
        write(&file, message.as_bytes())?;
        let hooks = format!("core.hooksPath={}", hooks.display());
        let ignores = format!("core.excludesFile={}", ignores.display());
        let config = [DURABLE[0], DURABLE[1], "maintenance.auto=false", "submodule.recurse=false", &hooks, &ignores];
        let output = place
            .call_for_hooks("commit", &config)
            .args(["-q", "--cleanup=whitespace", "-F"])
            .arg(&file)
            .limit(self.patience.hooks)
            .run_merged();
        let (exit, said) = match output {
            Ok(output) => (output.exit, output.stderr),
            Err(Error::TimedOut { seconds, stderr, .. }) => (None, format!("{stderr}\nstopped after {seconds} s")),
            Err(error) => return Err(error.into()),
        };
        let made = place.call("rev-parse").args(["-q", "--verify", "HEAD^{commit}"]).run()?;
        let made = Oid::parse(&made.stdout).filter(|made| Some(made) != parent);
        // A hook that runs after the commit cannot refuse it any more.
        match made {
            Some(commit) => {
                let parents = place.call("rev-list").args(["--parents", "-1", commit.as_str()]).ok()?;
                let parents = String::from_utf8_lossy(&parents);
                let mut parents = parents.split_whitespace().skip(1);
                if parents.next() != parent.map(Oid::as_str) || parents.next().is_some() {
                    return Err(CommitError::Hook { tail: format!("{said}\na hook made further commits") });
                }
                Ok(commit)
            }
            None if exit == Some(0) => Err(unexpected("commit", said.as_bytes()).into()),
            None => Err(refused(said).unwrap_or_else(|tail| CommitError::Hook { tail })),
        }
    }

    /// Takes the tree for hooks away again, at the end of a run.
    pub fn close(self) -> Result<(), Error> {
        let folder = self.repo.own_dir()?.join("hooks-tree");
        if folder.exists() {
            self.repo.git.call("worktree").args(["remove", "--force", "--force"]).arg(&folder).ok()?;
        }
        Ok(())
    }

    /// The linked working tree for hooks, its HEAD at `parent`. Detached: no branch is tracked or blocked by it.
    fn hook_tree(&self, own: &Path, parent: Option<&Oid>) -> Result<Git, Error> {
        let git = &self.repo.git;
        let mut place = Git { folder: own.join("hooks-tree"), ..git.clone() };
        // Should its link be lost, it must not be taken for a part of the user's repository around it.
        place.inherited.push(("GIT_CEILING_DIRECTORIES".to_owned(), own.into()));
        let usable = place.folder.is_dir() && place.call("rev-parse").arg("--git-dir").run()?.exit == Some(0);
        if !usable {
            if place.folder.exists() {
                fs::remove_dir_all(&place.folder).map_err(|source| Error::Io {
                    action: "remove",
                    path: place.folder.clone(),
                    source,
                })?;
            }
            let start = if let Some(parent) = parent {
                parent.clone()
            } else {
                // Git can only link a tree to a commit; nothing ever points to this one.
                let empty = self.repo.tree_of(None)?;
                let commit = git.call("commit-tree").args([empty.as_str(), "-m", "empty"]).ok()?;
                Oid::parse(&commit).ok_or_else(|| unexpected("commit-tree", &commit))?
            };
            let add = git.call("worktree").args(["add", "-f", "-f", "--detach", "--no-checkout"]);
            add.arg(&place.folder).arg(start.as_str()).ok()?;
        }
        // Locks of a hook that was killed are ours alone.
        let git_dir = place.call("rev-parse").arg("--absolute-git-dir").ok()?;
        let git_dir = PathBuf::from(OsString::from_vec(git_dir.trim_ascii_end().to_vec()));
        for lock in ["index.lock", "HEAD.lock"] {
            fs::remove_file(git_dir.join(lock)).ok();
        }
        if let Some(parent) = parent {
            place.call("update-ref").args(["--no-deref", "HEAD", parent.as_str()]).ok()?;
        } else {
            place.call("update-ref").args(["-d", FIRST]).ok()?;
            place.call("symbolic-ref").args(["HEAD", FIRST]).ok()?;
        }
        Ok(place)
    }

    /// Links what the user's tree ignores (installed packages, caches) into the tree for hooks, which could
    /// not run without, and gives a file of patterns that keeps the links out of commits.
    fn link_ignored(&self, own: &Path, place: &Path) -> Result<PathBuf, Error> {
        let git = &self.repo.git;
        let listed = git.call("ls-files").args(["-z", "-o", "-i", "--exclude-standard", "--directory"]).ok()?;
        let mut patterns = Vec::new();
        let global = git.call("config").args(["--type=path", "--get", "core.excludesFile"]).run()?;
        let global = if global.exit == Some(0) {
            Some(PathBuf::from(OsString::from_vec(global.stdout.trim_ascii_end().to_vec())))
        } else {
            let config = std::env::var_os("XDG_CONFIG_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
            config
                .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))
                .map(|it| it.join("git/ignore"))
        };
        patterns.extend(global.and_then(|path| fs::read(path).ok()).unwrap_or_default());
        patterns.push(b'\n');
        for path in listed.split(|&byte| byte == 0) {
            let name = path.strip_suffix(b"/").unwrap_or(path);
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+@".contains(byte);
            if name.is_empty()
                || !name.iter().all(plain)
                || name.starts_with(b".spec")
                || name.starts_with(b".progress")
            {
                continue;
            }
            let name = Path::new(std::ffi::OsStr::from_bytes(name));
            // There already: the commit has something of that name.
            if std::os::unix::fs::symlink(self.repo.root.join(name), place.join(name)).is_ok() {
                patterns.push(b'/');
                patterns.extend_from_slice(name.as_os_str().as_bytes());
                patterns.push(b'\n');
            }
        }
        let file = own.join("ignore");
        write(&file, &patterns)?;
        Ok(file)
    }
}

/// Writes a file of ours.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::File::create(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, bytes))
        .map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}
