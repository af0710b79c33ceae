//! The tree of a commit with some paths changed, made folder by folder: what that costs depends on what changes, and
//! not, as it would with an index, on how many files there are.
//!
//! [`Committer`](super::Committer) looks paths up here and has its trees written; git reads and writes the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::call::Asking;
use super::change::{Blob, Change, Oid, RepoPath, split};
use super::error::Error;
use super::repo::{Repo, unexpected};

/// What git has as the mode of a folder.
const FOLDER: &str = "40000";

/// The folders of one commit, as far as they were looked at.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// Whose; none where that is no commit (yet).
    commit: Option<Oid>,
    /// By path, the root's is empty. Without entries where there is no such folder.
    folders: BTreeMap<Vec<u8>, Folder>,
    /// What writes them.
    mktree: Asking,
}

/// What is in a folder, by name.
type Folder = BTreeMap<Vec<u8>, Entry>;

/// What becomes of names, by the folder that they are in.
type Inside<'a, T> = BTreeMap<&'a [u8], Vec<(&'a [u8], T)>>;

/// Git's two columns: a mode in octal digits, without the zero that some old programs put before it, and the object.
#[derive(Debug, Clone)]
struct Entry {
    mode: String,
    oid: Oid,
}

impl Entry {
    fn is_folder(&self) -> bool {
        self.mode == FOLDER
    }

    /// As `git mktree` reads it.
    fn kind(&self) -> &'static str {
        match self.mode.as_str() {
            FOLDER => "tree",
            "160000" => "commit",
            _ => "blob",
        }
    }
}

/// A tree that was written.
pub(super) struct Written {
    pub(super) tree: Oid,
    /// Where a folder took the place of a file that was not to go, or a file that of a folder with others in it.
    pub(super) clashes: BTreeSet<RepoPath>,
}

impl Trees {
    /// What a commit has at these paths.
    pub(super) fn blobs<'a>(
        &mut self,
        repo: &Repo,
        commit: Option<&Oid>,
        paths: impl Iterator<Item = &'a RepoPath> + Clone,
    ) -> Result<BTreeMap<RepoPath, Blob>, Error> {
        self.look(repo, commit, paths.clone())?;
        let blob = |path: &RepoPath| {
            let (folder, name) = path.split();
            let entry = self.folders.get(folder)?.get(name)?;
            Blob::parse(entry.mode.as_bytes(), entry.oid.as_str().as_bytes())
        };
        Ok(paths.filter_map(|path| Some((path.clone(), blob(path)?))).collect())
    }

    /// The tree of a commit with these changes, of which the last of a path counts. What writes trees stays for the next
    /// until [`rest`](Self::rest).
    pub(super) fn write(&mut self, repo: &Repo, commit: Option<&Oid>, changes: &[Change]) -> Result<Written, Error> {
        self.look(repo, commit, changes.iter().map(|change| &change.path))?;
        // Until the commit is made, these are nobody's.
        self.commit = None;
        let last: BTreeMap<&RepoPath, Option<&Blob>> =
            changes.iter().map(|change| (&change.path, change.new.as_ref())).collect();
        let folders: BTreeSet<&[u8]> = last.keys().flat_map(|path| path.folders()).collect();
        let mut made: Inside<'_, Option<Oid>> = Inside::new();
        let mut direct: Inside<'_, Option<&Blob>> = Inside::new();
        for (path, blob) in &last {
            let (folder, name) = path.split();
            direct.entry(folder).or_default().push((name, *blob));
        }
        let (mut clashes, mut root) = (BTreeSet::new(), None);
        // What is inside goes first: a folder names the trees of those in it.
        for folder in folders.into_iter().rev() {
            let entries = self.folders.entry(folder.to_vec()).or_default();
            let mut clash = |name: &[u8]| clashes.insert(RepoPath::join(folder, name));
            let direct = direct.remove(folder).unwrap_or_default();
            for (name, _) in direct.iter().filter(|(_, blob)| blob.is_none()) {
                if entries.get(*name).is_some_and(|entry| !entry.is_folder()) {
                    entries.remove(*name);
                }
            }
            for (name, tree) in made.remove(folder).unwrap_or_default() {
                if let Some(oid) = tree {
                    let before = entries.insert(name.to_vec(), Entry { mode: FOLDER.to_owned(), oid });
                    if before.is_some_and(|before| !before.is_folder()) {
                        clash(name);
                    }
                } else if entries.get(name).is_some_and(Entry::is_folder) {
                    entries.remove(name);
                }
            }
            for (name, blob) in direct {
                let Some(Blob { mode, oid }) = blob else { continue };
                let entry = Entry { mode: mode.as_str().to_owned(), oid: oid.clone() };
                if entries.insert(name.to_vec(), entry).is_some_and(|before| before.is_folder()) {
                    clash(name);
                }
            }
            let is_root = folder.is_empty();
            let tree = if entries.is_empty() && !is_root {
                None
            } else {
                let mktree = || repo.git.durable("mktree").args(["-z", "--missing", "--batch"]);
                let answer = self.mktree.ask(mktree, listed(entries))?;
                Some(Oid::parse(&answer).ok_or_else(|| unexpected("mktree", &answer))?)
            };
            if is_root {
                root = tree;
            } else {
                let (above, name) = split(folder);
                made.entry(above).or_default().push((name, tree));
            }
        }
        let tree = match root {
            Some(tree) => tree,
            // Nothing changes.
            None => repo.tree_of(commit)?,
        };
        Ok(Written { tree, clashes })
    }

    /// No more trees are to be written for now.
    pub(super) fn rest(&mut self) {
        self.mktree.end();
    }

    /// The tree that was written last is that of this commit now.
    pub(super) fn committed(&mut self, commit: &Oid) {
        self.commit = Some(commit.clone());
    }

    /// Reads what is not known yet of the folders on the way to these paths, with one call.
    fn look<'a>(
        &mut self,
        repo: &Repo,
        commit: Option<&Oid>,
        paths: impl Iterator<Item = &'a RepoPath>,
    ) -> Result<(), Error> {
        if commit.is_none() || self.commit.as_ref() != commit {
            self.folders.clear();
            self.commit = commit.cloned();
        }
        let Some(commit) = commit else { return Ok(()) };
        let unknown: BTreeSet<&[u8]> =
            paths.flat_map(RepoPath::folders).filter(|folder| !self.folders.contains_key(*folder)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut input = Vec::new();
        for folder in &unknown {
            input.extend_from_slice(commit.as_str().as_bytes());
            input.push(b':');
            input.extend_from_slice(folder);
            input.push(0);
        }
        let answers = repo.git.call("cat-file").args(["--batch", "-z"]).input(input).ok()?;
        let mut rest = answers.as_slice();
        let raw = repo.no_object.len() / 2;
        for folder in unknown {
            let (entries, behind) = answer(rest, commit, folder, raw).ok_or_else(|| unexpected("cat-file", rest))?;
            self.folders.insert(folder.to_vec(), entries);
            rest = behind;
        }
        Ok(())
    }
}

impl Repo {
    /// What a commit or a tree has at these paths.
    pub(super) fn blobs_at<'a>(
        &self,
        at: Option<&Oid>,
        paths: impl IntoIterator<Item = &'a RepoPath>,
    ) -> Result<BTreeMap<RepoPath, Blob>, Error> {
        let paths: Vec<&RepoPath> = paths.into_iter().collect();
        Trees::default().blobs(self, at, paths.into_iter())
    }
}

/// What `cat-file --batch` says of a folder, and what stands behind it: `oid type size<LF>content<LF>`, or what was asked
/// for and ` missing<LF>`. A file in its place is no folder, and neither is a submodule: git 2.51 and later say
/// `oid submodule<LF>` of it, older ones that it is missing.
fn answer<'a>(said: &'a [u8], commit: &Oid, folder: &[u8], raw: usize) -> Option<(Folder, &'a [u8])> {
    let absent = said.strip_prefix(commit.as_str().as_bytes());
    let absent = absent.and_then(|said| said.strip_prefix(b":")).and_then(|said| said.strip_prefix(folder));
    if let Some(behind) = absent.and_then(|said| said.strip_prefix(b" missing\n")) {
        return Some((Folder::new(), behind));
    }
    let end = said.iter().position(|&byte| byte == b'\n')?;
    let head = std::str::from_utf8(&said[..end]).ok()?;
    let [_, kind, size] = match head.split(' ').collect::<Vec<_>>()[..] {
        [_, "submodule"] => return Some((Folder::new(), &said[end + 1..])),
        [oid, kind, size] => [oid, kind, size],
        _ => return None,
    };
    let (content, behind) = said[end + 1..].split_at_checked(size.parse().ok()?)?;
    let behind = behind.strip_prefix(b"\n")?;
    if kind != "tree" {
        return Some((Folder::new(), behind));
    }
    let mut folder = Folder::new();
    let mut rest = content;
    while !rest.is_empty() {
        // `mode name<NUL>` and the bytes of the object's name.
        let space = rest.iter().position(|&byte| byte == b' ')?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        let mode = std::str::from_utf8(&rest[..space]).ok()?.trim_start_matches('0').to_owned();
        let name = rest.get(space + 1..end)?.to_vec();
        let (oid, behind) = rest[end + 1..].split_at_checked(raw)?;
        let mut hex = String::new();
        for byte in oid {
            write!(hex, "{byte:02x}").ok()?;
        }
        folder.insert(name, Entry { mode, oid: Oid::parse(hex.as_bytes())? });
        rest = behind;
    }
    Some((folder, behind))
}

/// A folder as `git mktree -z --batch` reads it.
fn listed(folder: &Folder) -> Vec<u8> {
    let mut input = Vec::new();
    for (name, entry) in folder {
        input.extend_from_slice(format!("{} {} {}\t", entry.mode, entry.kind(), entry.oid).as_bytes());
        input.extend_from_slice(name);
        input.push(0);
    }
    input.push(0);
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn what_is_no_folder_is_an_empty_one() {
        let commit = Oid::parse(OID.as_bytes()).unwrap();
        let said = [
            format!("{OID}:sub missing\nrest"),
            format!("{OID} submodule\nrest"),
            format!("{OID} blob 3\nab\n\nrest"),
            format!("{OID} tree 0\n\nrest"),
        ];
        for said in said {
            let (folder, behind) = answer(said.as_bytes(), &commit, b"sub", 20).unwrap_or_else(|| panic!("{said}"));
            assert!(folder.is_empty() && behind == b"rest", "{said}");
        }
        assert!(answer(b"what else\n", &commit, b"sub", 20).is_none());
        assert!(answer(format!("{OID} tree 9\ncut").as_bytes(), &commit, b"sub", 20).is_none());
    }

    #[test]
    fn a_mode_is_the_same_with_a_zero_before_it() {
        let commit = Oid::parse(OID.as_bytes()).unwrap();
        let content = [b"040000 old\0".as_slice(), &[0xaa; 20], b"40000 sub\0", &[0xaa; 20]].concat();
        let said = [format!("{OID} tree {}\n", content.len()).as_bytes(), &content, b"\n"].concat();
        let (folder, _) = answer(&said, &commit, b"", 20).unwrap();
        assert!(folder.len() == 2 && folder.values().all(Entry::is_folder), "{folder:?}");
    }
}
