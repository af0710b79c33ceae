//! Opening a repository: whether it can be worked in at all, and what in it is a person's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::call::{Git, PRIVATE};
use super::change::{Blob, Change, Oid, RepoPath};
use super::error::Error;
use super::glob::Declared;
use crate::mask::{Found, Masker};
use crate::store::fs::TEMP_PREFIX;

/// What never gets into a commit: a run's own files beside the list, and what is nobody's work.
const EXCLUDED: [&str; 6] = [
    ".spec/",
    ".spec-state.json*",
    ".ralph-state.json*",
    ".progress-task-*",
    ".spec-tmp-*",
    // aider's map of the repository, which it will not have anywhere else.
    ".aider.tags.cache*",
];
/// The oldest git whose output we know.
const OLDEST: (u32, u32) = (2, 38);

/// A repository with a working tree.
#[derive(Debug, Clone)]
pub struct Repo {
    pub(super) git: Git,
    pub(super) root: PathBuf,
    pub(super) git_dir: PathBuf,
    pub(super) common_dir: PathBuf,
    /// How git writes "no object" here.
    pub(super) no_object: String,
    /// What must not get into a commit.
    pub(super) secrets: Option<Arc<Secrets>>,
}

/// When a file was written, and how long it is.
pub(super) type Written = (Option<SystemTime>, u64);

/// Finds secrets in files that are about to be taken in.
#[derive(Debug)]
pub struct Secrets {
    masker: Arc<Masker>,
    allow: Vec<Declared>,
}

impl Secrets {
    /// Larger files are not looked through.
    const LARGEST: u64 = 4 * 1024 * 1024;

    /// All that the masker is sure of, but in files that these patterns name.
    #[must_use]
    pub fn new(masker: Arc<Masker>, allow: &[String]) -> Self {
        Self { masker, allow: allow.iter().map(|pattern| Declared::new(pattern, true)).collect() }
    }

    /// The bytes of a file of text that is to be looked through, when it was written, and how long it is.
    pub(super) fn read(&self, root: &Path, path: &RepoPath) -> Option<(Vec<u8>, Written)> {
        let file = path.on_disk(root);
        let found = file.symlink_metadata().ok()?;
        if !found.is_file() || found.len() > Self::LARGEST || self.allow.iter().any(|allowed| allowed.covers(path)) {
            return None;
        }
        let bytes = std::fs::read(file).ok()?;
        // As git tells what is no text.
        (!bytes[..bytes.len().min(8000)].contains(&0)).then_some((bytes, (found.modified().ok(), found.len())))
    }

    /// What in it is a secret.
    pub(super) fn find<'a>(&self, bytes: &'a [u8]) -> Vec<Found<'a>> {
        self.masker.find(bytes)
    }
}

/// The files of a spec that are `spec`'s to write, relative to the root of the repository.
#[derive(Debug, Clone)]
pub struct SpecFiles {
    /// The task list.
    pub list: RepoPath,
    /// The merged progress file.
    pub progress: RepoPath,
}

impl SpecFiles {
    /// The folder of the list; empty for the root.
    #[must_use]
    pub fn folder(&self) -> &[u8] {
        let list = self.list.as_bytes();
        list.iter().rposition(|&byte| byte == b'/').map_or(&[], |slash| &list[..slash])
    }

    /// Whether `path` is the list, a progress file or a run's own: never a task's.
    #[must_use]
    pub fn has(&self, path: &RepoPath) -> bool {
        if *path == self.list || *path == self.progress {
            return true;
        }
        let folder = self.folder();
        let Some(inside) = path.as_bytes().strip_prefix(folder) else { return false };
        let inside = if folder.is_empty() { Some(inside) } else { inside.strip_prefix(b"/") };
        inside.is_some_and(|inside| {
            inside.starts_with(b".spec/")
                || inside.starts_with(b".spec-state.json")
                || inside.starts_with(b".ralph-state.json")
                || inside.starts_with(b".progress-task-")
                || inside.starts_with(TEMP_PREFIX.as_bytes())
        })
    }

    /// Whether a person's change to `path` is no dirt: the list, its folder and `spec.toml`. A list in the root has no
    /// folder of its own.
    fn excuses(&self, path: &RepoPath) -> bool {
        let folder = self.folder();
        self.has(path) || path.as_bytes() == b"spec.toml" || (!folder.is_empty() && path.is_within(folder))
    }
}

/// The root of the repository around a folder, as its files tell without git.
#[must_use]
pub fn root_above(folder: &Path) -> Option<&Path> {
    // A sandbox may leave an empty `.git` in a folder that everybody writes to: that is no repository.
    folder.ancestors().find(|folder| folder.join(".git").is_file() || folder.join(".git/HEAD").exists())
}

impl Repo {
    /// The repository that `folder` is in; none where it is in none. Refuses one that cannot be worked in.
    pub fn open(folder: &Path) -> Result<Option<Self>, Error> {
        Self::open_with(&Git { program: "git".into(), folder: folder.to_owned(), inherited: Vec::new() })
    }

    /// The same with a given git, which works in the folder.
    pub(super) fn open_with(git: &Git) -> Result<Option<Self>, Error> {
        let folder = git.folder.as_path();
        let version = match git.call("version").ok() {
            Ok(version) => version,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                // Without a repository nobody misses git. (The folder itself is there: its list was read.)
                return if root_above(folder).is_some() {
                    Err(Error::NotInstalled { folder: folder.to_owned() })
                } else {
                    Ok(None)
                };
            }
            Err(error) => return Err(error),
        };
        check_version(&String::from_utf8_lossy(&version))?;
        let facts = git
            .call("rev-parse")
            .args(["--is-bare-repository", "--is-inside-git-dir", "--path-format=absolute", "--git-dir"])
            .args(["--git-common-dir", "--show-object-format"])
            .run()?;
        if facts.exit != Some(0) && facts.stderr.contains("not a git repository (or any") {
            return Ok(None);
        }
        let facts = facts.ok("rev-parse")?;
        let facts: Vec<&[u8]> = facts.split(|&byte| byte == b'\n').collect();
        let [bare, in_git_dir, git_dir, common_dir, hash, ..] = facts[..] else {
            return Err(unexpected("rev-parse", &facts.concat()));
        };
        if bare == b"true" {
            return Err(Error::Bare { folder: folder.to_owned() });
        }
        if in_git_dir == b"true" {
            return Err(Error::InGitDir { folder: folder.to_owned() });
        }
        let mut root = git.call("rev-parse").arg("--show-toplevel").ok()?;
        root.truncate(root.len().saturating_sub(1));
        let root = PathBuf::from(OsStr::from_bytes(&root));
        Ok(Some(Self {
            git: Git { folder: root.clone(), ..git.clone() },
            root,
            git_dir: OsStr::from_bytes(git_dir).into(),
            common_dir: OsStr::from_bytes(common_dir).into(),
            no_object: "0".repeat(if hash == b"sha256" { 64 } else { 40 }),
            secrets: None,
        }))
    }

    /// The same, and no commit made of its trees gets secrets.
    #[must_use]
    pub fn without_secrets(mut self, secrets: Option<Secrets>) -> Self {
        self.secrets = secrets.map(Arc::new);
        self
    }

    /// The root of the working tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The git directory of this working tree.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// A folder of ours in the git directory of this working tree, made if missing: for private indexes and for the
    /// lock of the shared tree.
    pub fn own_dir(&self) -> Result<PathBuf, Error> {
        let folder = self.git_dir.join("spec");
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io {
            action: "make the folder",
            path: folder.clone(),
            source,
        })?;
        Ok(folder)
    }

    /// `path` relative to the root; none where it is outside. Links in the folders above it are followed.
    #[must_use]
    pub fn relative(&self, path: &Path) -> Option<RepoPath> {
        let name = path.file_name()?;
        let parent = match path.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        let root = self.root.canonicalize().ok()?;
        let inside = parent.canonicalize().ok()?.strip_prefix(root).ok()?.join(name);
        Some(RepoPath::new(inside.as_os_str().as_bytes()))
    }

    /// The files of the spec with this list and this progress file.
    #[must_use]
    pub fn spec_files(&self, list: &Path, progress: &Path) -> SpecFiles {
        let relative = |path: &Path| self.relative(path).unwrap_or_else(|| RepoPath::new(b"".as_slice()));
        SpecFiles { list: relative(list), progress: relative(progress) }
    }

    /// Refuses a repository in the middle of a merge, rebase or the like, or with unresolved conflicts.
    pub fn check_idle(&self) -> Result<(), Error> {
        let under_way = [
            ("rebase-merge", "a rebase", "git rebase --continue", "git rebase --abort"),
            ("rebase-apply/applying", "`git am`", "git am --continue", "git am --abort"),
            ("rebase-apply", "a rebase", "git rebase --continue", "git rebase --abort"),
            ("MERGE_HEAD", "a merge", "git merge --continue", "git merge --abort"),
            ("CHERRY_PICK_HEAD", "a cherry-pick", "git cherry-pick --continue", "git cherry-pick --abort"),
            ("REVERT_HEAD", "a revert", "git revert --continue", "git revert --abort"),
            ("sequencer", "a cherry-pick or revert", "git cherry-pick --continue", "git cherry-pick --abort"),
            ("BISECT_LOG", "a bisection", "git bisect good or bad", "git bisect reset"),
        ];
        if let Some(&(_, what, finish, abort)) = under_way.iter().find(|(file, ..)| self.git_dir.join(file).exists()) {
            return Err(Error::UnderWay { what, finish, abort, root: self.root.clone() });
        }
        let unmerged = self.git.call("ls-files").args(["-u", "-z"]).ok()?;
        let paths: BTreeSet<RepoPath> = index_records(&unmerged).map(|(path, _)| path).collect();
        if paths.is_empty() { Ok(()) } else { Err(Error::Unmerged { paths: paths.into_iter().collect() }) }
    }

    /// Refuses where git does not know who commits.
    pub fn check_identity(&self) -> Result<(), Error> {
        for variable in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            let output = self.git.call("var").arg(variable).run()?;
            if output.exit != Some(0) {
                let detail = output.stderr.trim().lines().last().unwrap_or_default().to_owned();
                return Err(Error::NoIdentity { detail });
            }
        }
        Ok(())
    }

    /// Enters what a run keeps beside the list, and what is nobody's work, in the repository's `info/exclude`, once; other
    /// lines are left alone.
    pub fn exclude(&self) -> Result<(), Error> {
        let path = self.common_dir.join("info/exclude");
        let io = |action| {
            let path = path.clone();
            move |source| Error::Io { action, path, source }
        };
        let present = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io("read")(error)),
        };
        let has = |line: &str| present.split(|&byte| byte == b'\n').any(|own| own.trim_ascii_end() == line.as_bytes());
        let missing: Vec<&str> = EXCLUDED.into_iter().filter(|line| !has(line)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut text = if present.is_empty() || present.ends_with(b"\n") { String::new() } else { "\n".to_owned() };
        for line in missing {
            text += line;
            text.push('\n');
        }
        std::fs::create_dir_all(self.common_dir.join("info")).map_err(io("make the folder of"))?;
        let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(io("open"))?;
        file.write_all(text.as_bytes()).map_err(io("write"))
    }

    /// The person's uncommitted changes: everything that differs from HEAD but the list, its folder, `spec.toml`, and
    /// what is still as an earlier run left it (`leftovers`, from its journal).
    pub fn dirty(&self, own: &SpecFiles, leftovers: &[Change]) -> Result<Vec<RepoPath>, Error> {
        let listed = self
            .git
            .call("status")
            .args(["--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"])
            .ok()?;
        let mut dirty: BTreeSet<RepoPath> = listed
            .split(|&byte| byte == 0)
            .filter_map(|record| record.get(3..))
            .map(RepoPath::new)
            .filter(|path| !own.excuses(path))
            .collect();
        // A path may have been left more than once, with one content after the other.
        let mut known: BTreeMap<&RepoPath, Vec<Option<&Blob>>> = BTreeMap::new();
        for left in leftovers.iter().filter(|left| dirty.contains(&left.path)) {
            known.entry(&left.path).or_default().push(left.new.as_ref());
        }
        while !known.is_empty() {
            let last: Vec<_> = known.iter_mut().filter_map(|(path, blobs)| Some((*path, blobs.pop()?))).collect();
            let changed = self.differs(last.iter().copied())?;
            for (path, _) in last.iter().filter(|(path, _)| !changed.contains(*path)) {
                dirty.remove(*path);
            }
            known.retain(|path, blobs| dirty.contains(*path) && !blobs.is_empty());
        }
        Ok(dirty.into_iter().collect())
    }

    /// Which of these paths are not on disk as given (none is "not there"), by content, kind and filters.
    pub fn differs<'a>(
        &self,
        expected: impl IntoIterator<Item = (&'a RepoPath, Option<&'a Blob>)>,
    ) -> Result<BTreeSet<RepoPath>, Error> {
        let mut differing = BTreeSet::new();
        let mut present = Vec::new();
        for (path, blob) in expected {
            match blob {
                Some(blob) => present.push((path, Some(blob))),
                None if std::fs::symlink_metadata(path.on_disk(&self.root)).is_ok() => {
                    differing.insert(path.clone());
                }
                None => {}
            }
        }
        if present.is_empty() {
            return Ok(differing);
        }
        let scratch = self.scratch_index(present)?;
        let listed = self.git.call("ls-files").args(["-z", "-m", "-d"]).index(&scratch.path()).ok()?;
        differing.extend(listed.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(RepoPath::new));
        Ok(differing)
    }

    /// An index of its own with just these entries; goes away with what is returned.
    pub(super) fn scratch_index<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a RepoPath, Option<&'a Blob>)>,
    ) -> Result<ScratchIndex, Error> {
        let folder = self.own_dir()?;
        let folder = tempfile::Builder::new().prefix("index-").tempdir_in(&folder).map_err(|source| Error::Io {
            action: "make a folder in",
            path: folder,
            source,
        })?;
        let scratch = ScratchIndex(folder);
        self.set_index(&scratch.path(), entries)?;
        Ok(scratch)
    }

    /// Puts these entries into an index file; none takes a path out.
    pub(super) fn set_index<'a>(
        &self,
        index: &Path,
        entries: impl IntoIterator<Item = (&'a RepoPath, Option<&'a Blob>)>,
    ) -> Result<(), Error> {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (path, blob) in entries {
            let (record, into) = match blob {
                None => (format!("0 {}\t", self.no_object), &mut removed),
                Some(blob) => (format!("{} {}\t", blob.mode.as_str(), blob.oid), &mut added),
            };
            into.extend_from_slice(record.as_bytes());
            into.extend_from_slice(path.as_bytes());
            into.push(0);
        }
        // Removals first: a file may take the place of a folder.
        removed.append(&mut added);
        if removed.is_empty() {
            return Ok(());
        }
        let users = index == self.git_dir.join("index");
        let call = self.git.plumbing("update-index", if users { &[] } else { &PRIVATE });
        call.args(["-z", "--replace", "--index-info"]).index(index).input(removed).ok()?;
        Ok(())
    }

    /// The tree of a commit; the empty one where there is none.
    pub fn tree_of(&self, commit: Option<&Oid>) -> Result<Oid, Error> {
        let tree = match commit {
            Some(commit) => self.git.call("rev-parse").arg(format!("{commit}^{{tree}}")).ok()?,
            None => self.git.call("mktree").ok()?,
        };
        Oid::parse(&tree).ok_or_else(|| unexpected("rev-parse", &tree))
    }

    /// What differs between two trees, path by path.
    pub(super) fn changes_between(&self, old: &Oid, new: &Oid) -> Result<Vec<Change>, Error> {
        if old == new {
            return Ok(Vec::new());
        }
        let raw = self
            .git
            .call("diff-tree")
            .args(["-r", "-z", "--raw", "--no-renames", "--no-abbrev", old.as_str(), new.as_str()])
            .ok()?;
        let mut fields = raw.split(|&byte| byte == 0);
        let mut changes = Vec::new();
        while let (Some([b':', columns @ ..]), Some(path)) = (fields.next(), fields.next()) {
            let columns: Vec<&[u8]> = columns.split(|&byte| byte == b' ').collect();
            let [old_mode, new_mode, old, new, _] = columns[..] else {
                return Err(unexpected("diff-tree", &raw));
            };
            changes.push(Change {
                path: RepoPath::new(path),
                old: Blob::parse(old_mode, old),
                new: Blob::parse(new_mode, new),
            });
        }
        Ok(changes)
    }
}

/// An index file of its own, in a folder that goes away with this.
pub(super) struct ScratchIndex(tempfile::TempDir);

impl ScratchIndex {
    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("index")
    }
}

/// The records of `ls-files -s -z` and `-u -z`: `mode oid stage<TAB>path`.
pub(super) fn index_records(listed: &[u8]) -> impl Iterator<Item = (RepoPath, Option<Blob>)> + '_ {
    listed.split(|&byte| byte == 0).filter_map(|record| {
        let tab = record.iter().position(|&byte| byte == b'\t')?;
        let mut columns = record[..tab].split(|&byte| byte == b' ');
        let blob = Blob::parse(columns.next()?, columns.next()?);
        Some((RepoPath::new(&record[tab + 1..]), blob))
    })
}

/// The error for output that is not what git documents.
pub(super) fn unexpected(command: &str, output: &[u8]) -> Error {
    let output = String::from_utf8_lossy(&output[..output.len().min(200)]).into_owned();
    Error::Unexpected { command: command.to_owned(), output }
}

/// Refuses a git older than [`OLDEST`].
fn check_version(text: &str) -> Result<(), Error> {
    let version = text.trim().strip_prefix("git version ").unwrap_or(text.trim());
    let mut numbers = version.split(['.', ' ', '-']).map_while(|part| part.parse::<u32>().ok());
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
        return Err(Error::TooOld { found: version.to_owned() });
    }
    Ok(())
}
