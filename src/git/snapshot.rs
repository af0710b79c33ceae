//! A private index that follows the working tree, so that what a task made is told apart and kept before anything else
//! touches it.
//!
//! The index starts as a copy of the user's (with what it knows of unchanged files) and lies in the git directory. Each
//! look lists what is unlike it, takes that in, contents and all, and compares two trees: one call where nothing
//! changed, four where something did. The user's index is never touched.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::path::PathBuf;

use super::call::PRIVATE;
use super::change::{Change, Mode, Oid, RepoPath};
use super::error::Error;
use super::repo::{Repo, SpecFiles, Written, unexpected};
use crate::store::event::TreeEntry;

/// Follows the working tree of a repository.
#[derive(Debug)]
pub struct Snapshot {
    repo: Repo,
    own: SpecFiles,
    index: PathBuf,
    tree: Oid,
    /// How many new files one look may take in.
    most_new: usize,
    /// What was not taken in at the last look, and why.
    refused: BTreeMap<RepoPath, Refusal>,
    /// When those of them were written that contain secrets: who writes to one again has to answer for it.
    written: BTreeMap<RepoPath, Written>,
    /// What would have been refused before the run already; left out of everything as long as it is there.
    before: BTreeSet<RepoPath>,
    /// What a slot began with: there, what a task put into the index by force is its change, ignored or not.
    base: Option<Oid>,
}

/// Of how many files that are gone in the same look the contents are asked for, since one may have been moved.
const GONE: usize = 50;

/// Which running tasks may have made a path.
pub type Whose<'a> = dyn Fn(&RepoPath) -> BTreeSet<String> + 'a;

/// What one look saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What changed since the last look, contents kept; the list, progress files and a run's own left out.
    pub changes: Vec<Change>,
    /// What is new, and was not taken in.
    pub refused: Vec<Refused>,
    /// What was refused at the last look and is gone, or taken in now.
    pub cleared: Vec<RepoPath>,
}

/// A path that is not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub path: RepoPath,
    /// Why.
    pub why: Refusal,
}

impl Refused {
    /// As the journal has it.
    #[must_use]
    pub fn to_wire(&self) -> TreeEntry {
        let refused = Some(self.why.describe().to_owned());
        TreeEntry { path: self.path.to_wire(), refused, ..TreeEntry::default() }
    }
}

/// Why a path is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It looks like a secret: a key, a password file, an `.env`.
    Secret,
    /// A line that was added to it looks like one.
    Contains {
        /// 1-based.
        line: usize,
        /// What it looks like.
        kind: &'static str,
    },
    /// It is one of thousands of new files.
    TooMany,
    /// It is a repository of its own.
    Repository,
    /// It cannot be read, or changed while it was read.
    Unreadable,
}

impl Refusal {
    /// For people: `looks like a secret`.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Secret => "looks like a secret",
            Self::Contains { .. } => "contains a secret",
            Self::TooMany => "is one of too many new files",
            Self::Repository => "is a repository of its own",
            Self::Unreadable => "cannot be read",
        }
    }
}

impl Snapshot {
    /// Begins to follow the working tree. What is seen is everything that differs from HEAD by now: a person's changes,
    /// and what an earlier run left.
    pub fn begin(repo: &Repo, own: SpecFiles, most_new: usize) -> Result<(Self, Seen), Error> {
        let head = repo.head()?.commit;
        Self::begin_since(repo, own, most_new, head.as_ref())
    }

    /// The same, as seen from another commit than HEAD.
    pub fn begin_since(
        repo: &Repo,
        own: SpecFiles,
        most_new: usize,
        commit: Option<&Oid>,
    ) -> Result<(Self, Seen), Error> {
        let index = copy_of_index(repo)?;
        // Exits with 1 where a file changed, which is no error.
        repo.git.call("update-index").args(["-q", "--refresh"]).index(&index).run()?;
        let tree = repo.tree_of(commit)?;
        let mut snapshot = Self {
            repo: repo.clone(),
            own,
            index,
            tree,
            most_new,
            refused: BTreeMap::new(),
            written: BTreeMap::new(),
            before: BTreeSet::new(),
            base: None,
        };
        let seen = snapshot.look_at(true, &|_| BTreeSet::new())?;
        Ok((snapshot, seen))
    }

    /// Begins to follow a tree that was just made ready: it has the files of `base` and nothing new.
    pub(super) fn at(repo: &Repo, own: SpecFiles, most_new: usize, base: &Oid) -> Result<Self, Error> {
        let index = copy_of_index(repo)?;
        let tree = repo.tree_of(Some(base))?;
        let (refused, written, before) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Self { repo: repo.clone(), own, index, tree, most_new, refused, written, before, base: Some(base.clone()) })
    }

    /// Goes on following a slot that was made from `base` and had this tree at the last look.
    pub fn resume(repo: &Repo, own: SpecFiles, most_new: usize, base: &Oid, tree: Oid) -> Result<Self, Error> {
        Ok(Self { tree, ..Self::at(repo, own, most_new, base)? })
    }

    /// These new files are nobody's, as long as they are there.
    pub fn leave_out(&mut self, paths: &[RepoPath]) {
        self.before.extend(paths.iter().cloned());
    }

    /// The tree as of the last look.
    #[must_use]
    pub const fn tree(&self) -> &Oid {
        &self.tree
    }

    /// What changed since the last look, while no more than one task ran.
    pub fn look(&mut self) -> Result<Seen, Error> {
        self.look_at(false, &|_| BTreeSet::new())
    }

    /// The same while several tasks ran: `whose` says which of them may have made a path, and too many new files are
    /// counted for each of its answers. What a sibling writes meanwhile is seen now or at the next look.
    pub fn look_among(&mut self, whose: &Whose<'_>) -> Result<Seen, Error> {
        self.look_at(false, whose)
    }

    fn look_at(&mut self, first: bool, whose: &Whose<'_>) -> Result<Seen, Error> {
        let listed = self
            .repo
            .git
            .call("ls-files")
            .args(["-z", "-t", "-m", "-d", "-o", "--exclude-standard"])
            .index(&self.index)
            .ok()?;
        // Path by path, whether it is new. A path that is gone is listed twice.
        let mut unlike: BTreeMap<RepoPath, bool> = BTreeMap::new();
        for record in listed.split(|&byte| byte == 0).filter(|record| record.len() > 2) {
            let path = RepoPath::new(&record[2..]);
            if !self.own.has(&path) {
                unlike.insert(path, record[0] == b'?');
            }
        }
        let forced = self.forced()?;
        for path in forced.iter().filter(|path| !self.own.has(path)) {
            unlike.entry(path.clone()).or_insert(true);
        }
        self.before.retain(|path| unlike.contains_key(path));
        unlike.retain(|path, _| !self.before.contains(path));
        let mut refused = self.judge(&unlike, whose);
        unlike.retain(|path, _| !refused.contains_key(path));
        let found = self.search(&unlike)?;
        unlike.retain(|path, _| !found.contains_key(path));
        let with_secrets: BTreeMap<_, _> = found.iter().map(|(path, (why, _))| (path.clone(), *why)).collect();
        let written: BTreeMap<_, _> = found.into_iter().map(|(path, (_, written))| (path, written)).collect();
        let mut changes = Vec::new();
        if !unlike.is_empty() || first {
            let paths: Vec<&RepoPath> = unlike.keys().collect();
            self.take_in(&paths, &mut refused)?;
            if unlike.keys().any(|path| path.name() == b".gitignore") {
                self.drop_ignored(&forced)?;
            }
            let tree = self.repo.git.plumbing("write-tree", &PRIVATE).arg("--missing-ok").index(&self.index).ok()?;
            let tree = Oid::parse(&tree).ok_or_else(|| unexpected("write-tree", &tree))?;
            changes = self.repo.changes_between(&self.tree, &tree)?;
            changes.retain(|change| !self.own.has(&change.path));
            self.tree = tree;
        }
        if first {
            let seen =
                refused.iter().chain(&with_secrets).map(|(path, &why)| Refused { path: path.clone(), why }).collect();
            // Nobody's fault any more, and not to be counted with what tasks make. A secret may be taken out again.
            self.before = refused.into_keys().collect();
            (self.refused, self.written) = (with_secrets, written);
            return Ok(Seen { changes, refused: seen, cleared: Vec::new() });
        }
        refused.extend(with_secrets);
        let fresh = |(path, why): (&RepoPath, &Refusal)| {
            let known = self.refused.get(path) == Some(why) && self.written.get(path) == written.get(path);
            (!known).then(|| Refused { path: path.clone(), why: *why })
        };
        let seen = Seen {
            changes,
            refused: refused.iter().filter_map(fresh).collect(),
            cleared: self.refused.keys().filter(|path| !refused.contains_key(*path)).cloned().collect(),
        };
        (self.refused, self.written) = (refused, written);
        Ok(seen)
    }

    /// Which of the new paths are not to be taken in.
    fn judge(&self, unlike: &BTreeMap<RepoPath, bool>, whose: &Whose<'_>) -> BTreeMap<RepoPath, Refusal> {
        let new = || unlike.iter().filter(|&(_, &new)| new).map(|(path, _)| path);
        // What was refused before is not held against what comes after it; once there is little of it left, it counts.
        let known = |path: &RepoPath| self.refused.get(path) == Some(&Refusal::TooMany);
        let fresh = || new().filter(|path| !known(path));
        let mut made: BTreeMap<BTreeSet<String>, usize> = BTreeMap::new();
        let all = new().count();
        if fresh().count() > self.most_new {
            fresh().for_each(|path| *made.entry(whose(path)).or_default() += 1);
        }
        let too_many = |path: &RepoPath| {
            if known(path) {
                return all > self.most_new;
            }
            !made.is_empty() && made.get(&whose(path)).is_some_and(|made| *made > self.most_new)
        };
        new()
            .filter_map(|path| {
                let why = if path.as_bytes().ends_with(b"/") {
                    Some(Refusal::Repository)
                } else if too_many(path) {
                    Some(Refusal::TooMany)
                } else {
                    self.is_secret(path).then_some(Refusal::Secret)
                };
                Some((path.clone(), why?))
            })
            .collect()
    }

    /// Whether a new file looks like a secret, by its name, and where names mislead by what is in it.
    fn is_secret(&self, path: &RepoPath) -> bool {
        let name = path.name().to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending.as_bytes()));
        let env = name == b".env" || (name.starts_with(b".env.") && !ends(&["example", "sample", "template", "dist"]));
        let named: [&[u8]; 10] = [
            b"id_rsa",
            b"id_dsa",
            b"id_ecdsa",
            b"id_ed25519",
            b"credentials",
            b"credentials.json",
            b".netrc",
            b".pgpass",
            b".pypirc",
            b".htpasswd",
        ];
        if env || named.contains(&name.as_slice()) || ends(&[".p12", ".pfx", ".jks", ".keystore", ".kdbx"]) {
            return true;
        }
        // A certificate is no secret, and not every `.key` is a key.
        if !ends(&[".pem", ".key"]) {
            return false;
        }
        let mut start = Vec::new();
        let file = std::fs::File::open(path.on_disk(&self.repo.root));
        file.is_ok_and(|file| file.take(64 * 1024).read_to_end(&mut start).is_ok())
            && memchr::memmem::find(&start, b"PRIVATE KEY").is_some()
    }

    /// Which of these files got a line that looks like a secret, by what is in them. Before they are taken in: what git
    /// has once, it keeps.
    fn search(&self, unlike: &BTreeMap<RepoPath, bool>) -> Result<BTreeMap<RepoPath, (Refusal, Written)>, Error> {
        let mut refused = BTreeMap::new();
        let Some(secrets) = &self.repo.secrets else { return Ok(refused) };
        // Lines that were there before, in the file or in one that is gone, are not added.
        let mut moved: Option<HashSet<Vec<u8>>> = None;
        for path in unlike.keys() {
            let Some((bytes, when)) = secrets.read(&self.repo.root, path) else { continue };
            let mut found = secrets.find(&bytes);
            if found.is_empty() {
                continue;
            }
            let old = self.lines_of([path])?;
            found.retain(|found| !old.contains(found.text.trim_ascii_end()));
            if !found.is_empty() {
                let gone = || unlike.keys().filter(|path| path.on_disk(&self.repo.root).symlink_metadata().is_err());
                let moved = match &mut moved {
                    Some(moved) => moved,
                    None => moved.insert(self.lines_of(gone().take(GONE))?),
                };
                found.retain(|found| !moved.contains(found.text.trim_ascii_end()));
            }
            if let Some(found) = found.first() {
                let why = Refusal::Contains { line: found.line, kind: found.kind };
                refused.insert(path.clone(), (why, when));
            }
        }
        Ok(refused)
    }

    /// The lines of these files as of the last look.
    fn lines_of<'a>(&self, paths: impl IntoIterator<Item = &'a RepoPath>) -> Result<HashSet<Vec<u8>>, Error> {
        let mut lines = HashSet::new();
        for blob in self.repo.blobs_at(Some(&self.tree), paths)?.values().filter(|blob| blob.mode != Mode::Submodule) {
            let content = self.repo.content(&blob.oid)?;
            lines.extend(content.split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end().to_vec()));
        }
        Ok(lines)
    }

    /// Takes these paths in as they are now. What cannot be read (or is cut short by someone while git reads it) is
    /// found by halves and left for the next look.
    fn take_in(&self, paths: &[&RepoPath], refused: &mut BTreeMap<RepoPath, Refusal>) -> Result<(), Error> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path.as_bytes());
            input.push(0);
        }
        let call =
            self.repo.git.plumbing("update-index", &PRIVATE).args(["--add", "--remove", "--replace", "-z", "--stdin"]);
        match call.index(&self.index).input(input).ok() {
            Ok(_) => Ok(()),
            // Git itself said no to a path; a lock or a full disk would say no to each of them.
            Err(Error::Failed { exit, .. }) if exit != Some(1) => {
                if let [path] = paths {
                    refused.insert((*path).clone(), Refusal::Unreadable);
                    return Ok(());
                }
                let (first, second) = paths.split_at(paths.len() / 2);
                self.take_in(first, refused)?;
                self.take_in(second, refused)
            }
            Err(error) => Err(error),
        }
    }

    /// What a task added to the index of its slot, committed or not.
    fn forced(&self) -> Result<BTreeSet<RepoPath>, Error> {
        let Some(base) = &self.base else { return Ok(BTreeSet::new()) };
        let added = ["--cached", "--name-only", "--diff-filter=A", "--no-renames", "-z", base.as_str()];
        let listed = self.repo.git.call("diff-index").args(added).ok()?;
        Ok(listed.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(RepoPath::new).collect())
    }

    /// Takes out again what a changed `.gitignore` says is to be ignored, unless HEAD has it.
    fn drop_ignored(&self, forced: &BTreeSet<RepoPath>) -> Result<(), Error> {
        let ignored =
            self.repo.git.call("ls-files").args(["-z", "-c", "-i", "--exclude-standard"]).index(&self.index).ok()?;
        let ignored: Vec<RepoPath> =
            ignored.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(RepoPath::new).collect();
        let ignored: Vec<RepoPath> = ignored.into_iter().filter(|path| !forced.contains(path)).collect();
        if ignored.is_empty() {
            return Ok(());
        }
        let head = self.repo.head()?.commit;
        let kept = self.repo.blobs_at(head.as_ref(), ignored.iter())?;
        let dropped = ignored.iter().filter(|path| !kept.contains_key(*path)).map(|path| (path, None));
        self.repo.set_index(&self.index, dropped)
    }
}

/// A private copy of the index of a working tree.
fn copy_of_index(repo: &Repo) -> Result<PathBuf, Error> {
    let index = repo.own_dir()?.join("snapshot.index");
    let io = |action| {
        let path = index.clone();
        move |source| Error::Io { action, path, source }
    };
    match std::fs::copy(repo.git_dir.join("index"), &index) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("copy the index to")(error)),
        _ => {}
    }
    Ok(index)
}
