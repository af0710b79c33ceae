//! Slots: working trees of the repository that tasks use one after the other, each its own. Detached, never tracking,
//! and warm: what git ignores in one stays from task to task.
//!
//! `runtime::slots` says which task gets which slot. See `docs/design/005-trees-and-landing.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::change::{Change, Mode, Oid, RepoPath};
use super::error::Error;
use super::repo::{Repo, SpecFiles, unexpected};
use super::snapshot::Snapshot;
use crate::store::fs::Durability;
use crate::store::lock::wait;

/// No hook is for these commands, and submodules are looked after one by one.
const QUIET: [&str; 3] = ["core.hooksPath=/dev/null", "submodule.recurse=false", "checkout.workers=4"];
/// Where the tree is noted whose contents are settled.
const SETTLED: &str = "settled";
/// What a command that was cut off leaves in the git directory of a tree; `reset` takes care of the others.
const UNDER_WAY: [&str; 4] = ["rebase-merge", "rebase-apply", "sequencer", "BISECT_LOG"];

/// A working tree for one task at a time.
#[derive(Debug)]
pub struct Slot {
    /// Its number, from 1.
    pub number: usize,
    repo: Repo,
    /// The user's tree, where submodules have their repositories.
    main: PathBuf,
    modules: PathBuf,
}

/// The folder of a slot.
fn place(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("slot-{number}"))
}

impl Repo {
    /// The numbers of the slots that are in `folder`, in order.
    #[must_use]
    pub fn slot_numbers(folder: &Path) -> Vec<usize> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let number = |name: &std::ffi::OsStr| name.to_str()?.strip_prefix("slot-")?.parse().ok();
        let found: BTreeSet<usize> = entries.filter_map(|entry| number(&entry.file_name())).collect();
        found.into_iter().collect()
    }

    /// The slot of that number, if it is there and belongs to this repository. One whose repository was moved is
    /// linked again.
    pub fn slot(&self, folder: &Path, number: usize) -> Result<Option<Slot>, Error> {
        let place = place(folder, number);
        if !place.is_dir() {
            return Ok(None);
        }
        let mut slot = self.open_slot(&place, number)?;
        if slot.is_none() {
            // Fails where there is nothing to mend; what counts is whether it can be opened then.
            self.git.call("worktree").arg("repair").arg(&place).run()?;
            slot = self.open_slot(&place, number)?;
        }
        if let Some(slot) = &slot {
            slot.repo.sweep_scratch()?;
        }
        Ok(slot)
    }

    /// Takes away what is left of slots in `folder` whose making was cut off: they have no index and a HEAD that names
    /// nothing, which git's own checks complain of. Nothing was ever in them. For the start of a run.
    pub fn sweep_unmade(&self, folder: &Path) -> Result<(), Error> {
        let _lock = self.lock_slots()?;
        let io = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { action, path, source }
        };
        for entry in fs::read_dir(self.common_dir.join("worktrees")).into_iter().flatten().flatten() {
            let git_dir = entry.path();
            let link = fs::read(git_dir.join("gitdir")).unwrap_or_default();
            let link = PathBuf::from(std::ffi::OsStr::from_bytes(link.trim_ascii_end()));
            let Some(place) = link.parent().filter(|place| place.parent() == Some(folder)) else { continue };
            let head = fs::read(git_dir.join("HEAD")).unwrap_or_default();
            let named = head.starts_with(b"ref:") || Oid::parse(&head).is_some_and(|at| self.has_commit(&at));
            let alone = fs::read_dir(place).into_iter().flatten().flatten().all(|entry| entry.file_name() == ".git");
            if named || !alone || git_dir.join("index").exists() {
                continue;
            }
            if place.exists() {
                fs::remove_dir_all(place).map_err(io("remove", place))?;
            }
            fs::remove_dir_all(&git_dir).map_err(io("remove", &git_dir))?;
        }
        Ok(())
    }

    /// Makes a slot with nothing checked out. One at a time in the whole repository, whoever asks: of several at once git
    /// itself lets some fail.
    pub fn make_slot(&self, folder: &Path, number: usize, base: &Oid) -> Result<Slot, Error> {
        fs::create_dir_all(folder).map_err(|source| Error::Io {
            action: "make the folder",
            path: folder.to_owned(),
            source,
        })?;
        let place = place(folder, number);
        let _lock = self.lock_slots()?;
        // Forced: a tree that somebody removed by hand is still in git's list.
        let add = self.git.plumbing("worktree", &QUIET).args(["add", "-q", "-f", "--detach", "--no-checkout"]);
        add.arg(&place).arg(base.as_str()).ok()?;
        self.open_slot(&place, number)?.ok_or_else(|| unexpected("worktree add", place.as_os_str().as_bytes()))
    }

    /// Git's own commands about working trees race with each other.
    pub(super) fn lock_slots(&self) -> Result<fs::File, Error> {
        let lock = self.common_dir.join("spec/slots.lock");
        wait(&lock).map_err(|error| Error::Io { action: "lock", path: lock, source: std::io::Error::other(error) })
    }

    /// Takes slots out of git's list that are in `folder` by that list and were removed by hand; their number.
    pub fn forget_slots(&self, folder: &Path) -> Result<usize, Error> {
        let _lock = self.lock_slots()?;
        let listed = self.git.call("worktree").args(["list", "--porcelain", "-z"]).ok()?;
        let paths = listed.split(|&byte| byte == 0).filter_map(|line| line.strip_prefix(b"worktree "));
        let mut gone = 0;
        for path in paths.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path))) {
            if path.parent() == Some(folder) && !path.exists() {
                self.git.call("worktree").args(["remove", "--force"]).arg(&path).ok()?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    fn open_slot(&self, place: &Path, number: usize) -> Result<Option<Slot>, Error> {
        let mut git = self.git.clone();
        place.clone_into(&mut git.folder);
        // Should its link be lost, it must not be taken for a part of the tree around it.
        let above = place.parent().unwrap_or(place);
        git.inherited.push(("GIT_CEILING_DIRECTORIES".to_owned(), above.into()));
        let asked = git.call("rev-parse").args(["--path-format=absolute", "--git-dir", "--git-common-dir"]).run()?;
        let lines: Vec<&[u8]> = asked.stdout.split(|&byte| byte == b'\n').collect();
        let [git_dir, common_dir, ..] = lines[..] else { return Ok(None) };
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        if asked.exit != Some(0) || path(common_dir).canonicalize().ok() != self.common_dir.canonicalize().ok() {
            return Ok(None);
        }
        let git_dir = path(git_dir);
        let modules = self.common_dir.join("modules");
        let repo = Self { git, root: place.to_owned(), git_dir, ..self.clone() };
        Ok(Some(Slot { number, repo, main: self.root.clone(), modules }))
    }

    /// What git ignores in the user's tree; folders as a whole, with a slash behind them.
    pub fn ignored(&self) -> Result<Vec<RepoPath>, Error> {
        let listed = self.git.call("ls-files").args(["-z", "-o", "-i", "--exclude-standard", "--directory"]).ok()?;
        Ok(listed.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(RepoPath::new).collect())
    }

    /// The tree of `base` with these changes, the last of a path counting.
    pub fn tree_with(&self, base: &Oid, changes: &[Change]) -> Result<Oid, Error> {
        let last: BTreeMap<_, _> = changes.iter().map(|change| (&change.path, change.new.as_ref())).collect();
        let scratch = self.scratch_index([])?;
        self.git.call("read-tree").arg(base.as_str()).index(&scratch.path()).ok()?;
        self.set_index(&scratch.path(), last)?;
        let tree = self.git.durable("write-tree").arg("--missing-ok").index(&scratch.path()).ok()?;
        Oid::parse(&tree).ok_or_else(|| unexpected("write-tree", &tree))
    }

    /// A commit of `tree` with that parent: an object that nothing points to.
    pub fn commit_object(&self, tree: &Oid, parent: &Oid, message: &str) -> Result<Oid, Error> {
        let call = self.git.durable("commit-tree").args([tree.as_str(), "-p", parent.as_str(), "-F", "-"]);
        let commit = call.input(message.as_bytes().to_vec()).ok()?;
        Oid::parse(&commit).ok_or_else(|| unexpected("commit-tree", &commit))
    }
}

impl Slot {
    /// The root of its tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.repo.root
    }

    /// Its repository: the user's, seen from this tree.
    #[must_use]
    pub const fn repo(&self) -> &Repo {
        &self.repo
    }

    /// A folder for what is known of this slot.
    pub fn own_dir(&self) -> Result<PathBuf, Error> {
        self.repo.own_dir()
    }

    /// Makes it ready for a task: the files of `base`, nothing else but what is ignored. What was in it is gone.
    /// Gives what follows it from there.
    pub fn ready(&self, base: &Oid, own: SpecFiles, most_new: usize) -> Result<Snapshot, Error> {
        // Of a git that was killed: nobody else works in this tree.
        for lock in ["index.lock", "HEAD.lock"] {
            fs::remove_file(self.repo.git_dir.join(lock)).ok();
        }
        // First off any branch: a reset would move it.
        let head = fs::read(self.repo.git_dir.join("HEAD")).unwrap_or_default();
        if head.starts_with(b"ref:") {
            self.repo.git.call("update-ref").args(["--no-deref", "HEAD", base.as_str()]).ok()?;
        }
        for left in UNDER_WAY {
            let path = self.repo.git_dir.join(left);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.ok();
        }
        self.go_to(base)?;
        Snapshot::at(&self.repo, own, most_new, base)
    }

    /// The files of another commit, and nothing else but what is ignored.
    pub fn go_to(&self, commit: &Oid) -> Result<(), Error> {
        self.repo.git.plumbing("reset", &QUIET).args(["-q", "--hard", commit.as_str()]).ok()?;
        self.repo.git.plumbing("clean", &QUIET).args(["-ffdq"]).ok()?;
        self.submodules()
    }

    /// Checks out the submodules that the user's tree has, from the user's own copies: no network.
    fn submodules(&self) -> Result<(), Error> {
        if !self.repo.root.join(".gitmodules").is_file() {
            return Ok(());
        }
        let names = self
            .repo
            .git
            .call("config")
            .args(["-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"])
            .run()?;
        for record in names.stdout.split(|&byte| byte == 0) {
            let mut parts = record.splitn(2, |&byte| byte == b'\n');
            let (Some(key), Some(path)) = (parts.next(), parts.next()) else { continue };
            let key = String::from_utf8_lossy(key);
            let Some(name) = key.strip_prefix("submodule.").and_then(|key| key.strip_suffix(".path")) else { continue };
            let module = self.modules.join(name);
            if !module.is_dir() {
                continue;
            }
            let url = format!("submodule.{name}.url={}", module.display());
            let config = [QUIET[0], "protocol.file.allow=always", &url];
            let update = self.repo.git.plumbing("submodule", &config);
            update
                .args(["-q", "update", "--init", "--force", "--checkout", "--"])
                .arg(std::ffi::OsStr::from_bytes(path))
                .ok()?;
        }
        Ok(())
    }

    /// Commits that a task made in submodules are brought to the user's copies, where the landed commit names them.
    pub fn bring_submodules(&self, changes: &[Change]) -> Result<(), Error> {
        for change in changes {
            let Some(new) = change.new.as_ref().filter(|blob| blob.mode == Mode::Submodule) else { continue };
            let (from, to) = (change.path.on_disk(&self.repo.root), change.path.on_disk(&self.main));
            if !to.join(".git").exists() {
                continue;
            }
            let mut git = self.repo.git.clone();
            git.folder = to;
            let kept = format!("{}:refs/spec/{}", new.oid, new.oid);
            let config = ["protocol.file.allow=always", "uploadpack.allowAnySHA1InWant=true"];
            git.plumbing("fetch", &config).arg("-q").arg(&from).arg(kept).ok()?;
        }
        Ok(())
    }

    /// Puts a saved tree into a slot that is ready: the files change, its index and HEAD stay at the base.
    pub fn put(&self, base: &Oid, saved: &Oid) -> Result<(), Error> {
        self.repo.git.plumbing("read-tree", &QUIET).args(["--reset", "-u", saved.as_str()]).ok()?;
        self.repo.git.plumbing("read-tree", &QUIET).args(["-m", base.as_str()]).ok()?;
        Ok(())
    }

    /// What is in it is known and kept: it is not looked for again.
    pub fn settle(&self, tree: &Oid) {
        // Without the mark it would only be saved once more.
        if let Ok(folder) = self.own_dir() {
            crate::store::fs::write_atomic(&folder.join(SETTLED), tree.as_str().as_bytes(), Durability::Fast).ok();
        }
    }

    /// What is in it beyond `base` (its HEAD, where that is not known) and was not settled, as a commit with `base` as
    /// its parent; none where there is nothing.
    pub fn found(&self, base: Option<&Oid>, own: SpecFiles, message: &str) -> Result<Option<Oid>, Error> {
        fs::remove_file(self.repo.git_dir.join("index.lock")).ok();
        let Some(base) = base.cloned().or(self.repo.head()?.commit) else { return Ok(None) };
        if !self.repo.git_dir.join("index").exists() {
            // Made and never made ready.
            return Ok(None);
        }
        let (snapshot, _) = Snapshot::begin(&self.repo, own, usize::MAX)?;
        let settled = fs::read(self.own_dir()?.join(SETTLED)).ok().and_then(|bytes| Oid::parse(&bytes));
        if settled.as_ref() == Some(snapshot.tree()) || snapshot.tree() == &self.repo.tree_of(Some(&base))? {
            return Ok(None);
        }
        self.repo.commit_object(snapshot.tree(), &base, message).map(Some)
    }

    /// Takes the slot away, which the caller knows to hold nothing.
    pub fn remove(self) -> Result<(), Error> {
        let _lock = self.repo.lock_slots()?;
        let mut git = self.repo.git.clone();
        git.folder.clone_from(&self.main);
        // Forced: what is ignored in it, and submodules, are no reason to keep it.
        git.call("worktree").args(["remove", "--force"]).arg(&self.repo.root).ok()?;
        match fs::remove_dir_all(&self.repo.root) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(Error::Io { action: "remove", path: self.repo.root, source })
            }
            _ => Ok(()),
        }
    }
}
