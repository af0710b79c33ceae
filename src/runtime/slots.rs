//! Which task has which slot, and what is done in one before and after an executor. The driver claims and gives back;
//! what takes time (making a tree ready, looking at it) is done by the worker of a try, off the driver's loop.
//!
//! See `docs/design/005-trees-and-landing.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::settings::Worktree;
use crate::git::{Attribution, Change, Declared, Error, Oid, Repo, RepoPath, Slot, Snapshot, SpecFiles, Work};
use crate::store::event::TreeEntry;
use crate::store::fs::{Durability, write_atomic};
use crate::store::recovery::HandedOut;

/// How many ports each slot has for itself, and where the first ones are.
const PORTS: (usize, usize) = (20, 20_000);

/// What all slots of a spec have in common.
#[derive(Debug)]
pub(super) struct Yard {
    repo: Repo,
    /// Where they are.
    folder: PathBuf,
    own: SpecFiles,
    most_new: usize,
    settings: Worktree,
}

/// The slots of a run.
pub(super) struct Slots {
    pub(super) yard: Arc<Yard>,
    free: Vec<Place>,
    /// Every number that is taken, by a tree of ours or by something else in its place.
    taken: BTreeSet<usize>,
}

/// A slot, or where one is to be made.
#[derive(Debug)]
enum Place {
    There(Box<Slot>),
    New(usize),
}

/// A task's tree while it is the task's.
pub(super) struct Workspace {
    slot: Box<Slot>,
    snapshot: Snapshot,
    ledger: Attribution,
    /// The commit that the task began with.
    pub(super) base: Oid,
    links: Links,
}

/// Links to the user's own that a tree has in place of ignored folders. Git may see new files in them: what is ignored as
/// a folder is not ignored as a link.
#[derive(Default)]
struct Links {
    /// The root of the user's tree.
    to: PathBuf,
    paths: Vec<RepoPath>,
}

/// What a try needs done to its tree before it begins.
pub(super) struct Claim {
    yard: Arc<Yard>,
    tree: Tree,
    key: String,
    declared: Vec<Declared>,
    /// The list and the progress file, as they are on disk.
    files: [(RepoPath, Option<Vec<u8>>); 2],
}

enum Tree {
    /// Its own, as the try before left it.
    Kept(Box<Workspace>),
    /// One to be made ready, with what an earlier try made put into it.
    Fresh { place: Place, base: Oid, saved: Option<Oid> },
}

impl Yard {
    /// The root of a slot.
    pub(super) fn place(&self, number: usize) -> PathBuf {
        self.folder.join(format!("slot-{number}"))
    }

    /// Where `path`, which is in the user's tree, is in another.
    pub(super) fn inside(&self, path: &Path, root: &Path) -> PathBuf {
        match path.strip_prefix(self.repo.root()) {
            // Joined, it would end in a slash.
            Ok(inside) if inside.as_os_str().is_empty() => root.to_owned(),
            inside => root.join(inside.unwrap_or(path)),
        }
    }

    /// What a process in the slot at `root` is told of it, on top of what all are told.
    pub(super) fn variables(&self, root: &Path) -> Vec<(&'static str, std::ffi::OsString)> {
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        let number = name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1_usize);
        // Other specs have other ports, as far as there are enough.
        let spec = crc32fast::hash(self.folder.as_os_str().as_encoded_bytes()) as usize % 100;
        let port = PORTS.1 + (spec * 16 + (number.max(1) - 1) % 16) * PORTS.0;
        vec![
            ("SPEC_SLOT", number.to_string().into()),
            ("SPEC_PORT_BASE", port.to_string().into()),
            ("TMPDIR", self.scratch(number).into()),
        ]
    }

    fn scratch(&self, number: usize) -> PathBuf {
        self.folder.join(format!("tmp-{number}"))
    }
}

impl Slots {
    /// The slots that are there already, from this run's list on.
    pub(super) fn find(
        repo: &Repo,
        folder: PathBuf,
        own: SpecFiles,
        most_new: usize,
        settings: Worktree,
    ) -> Result<Self, Error> {
        let mut free = Vec::new();
        repo.sweep_unmade(&folder)?;
        let taken: BTreeSet<usize> = Repo::slot_numbers(&folder).into_iter().collect();
        for number in &taken {
            free.extend(repo.slot(&folder, *number)?.map(|slot| Place::There(Box::new(slot))));
        }
        let yard = Arc::new(Yard { repo: repo.clone(), folder, own, most_new, settings });
        Ok(Self { yard, free, taken })
    }

    /// What is in slots that nobody had finished with, by their numbers; `bases` are the commits they began with, as far
    /// as a journal has them.
    pub(super) fn left(&self, bases: &BTreeMap<usize, Oid>) -> Result<Vec<(usize, Oid)>, Error> {
        let mut left = Vec::new();
        for place in &self.free {
            let Place::There(slot) = place else { continue };
            // What we linked there ourselves is nobody's work.
            for path in filled(&filled_mark(slot)?, None).unwrap_or_default() {
                let path = path.on_disk(slot.root());
                if path.is_symlink() {
                    fs::remove_file(&path).ok();
                }
            }
            let message = "what was left in a working tree\n";
            if let Some(found) = slot.found(bases.get(&slot.number), self.yard.own.clone(), message)? {
                left.push((slot.number, found));
            }
        }
        Ok(left)
    }

    /// Takes a slot out of those that are free: somebody is at work in it. None where it is gone.
    pub(super) fn keep_out(&mut self, number: usize) -> Option<Box<Slot>> {
        let at = self.free.iter().position(|place| matches!(place, Place::There(slot) if slot.number == number))?;
        match self.free.swap_remove(at) {
            Place::There(slot) => Some(slot),
            Place::New(_) => None,
        }
    }

    /// Whether a slot is free that exists already.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.taken.len()
    }

    /// A slot for a task that begins at `base`, with what it had made before put into it.
    pub(super) fn claim(&mut self, base: Oid, saved: Option<Oid>, key: &str, declared: Vec<Declared>) -> Claim {
        let place = self.free.pop().unwrap_or_else(|| {
            let number = (1..=self.taken.len() + 1).find(|number| !self.taken.contains(number)).unwrap_or(1);
            self.taken.insert(number);
            Place::New(number)
        });
        self.with(Tree::Fresh { place, base, saved }, key, declared)
    }

    /// The tree that a task has already, for its next try.
    pub(super) fn claim_again(&self, space: Box<Workspace>, key: &str, declared: Vec<Declared>) -> Claim {
        self.with(Tree::Kept(space), key, declared)
    }

    fn with(&self, tree: Tree, key: &str, declared: Vec<Declared>) -> Claim {
        let yard = &self.yard;
        let on_disk = |path: &RepoPath| (path.clone(), fs::read(path.on_disk(yard.repo.root())).ok());
        let files = [on_disk(&yard.own.list), on_disk(&yard.own.progress)];
        Claim { yard: Arc::clone(yard), tree, key: key.to_owned(), declared, files }
    }

    /// A task is through with its tree.
    pub(super) fn give_back(&mut self, space: Workspace) {
        space.slot.settle(space.snapshot.tree());
        self.free.push(Place::There(space.slot));
    }
}

impl Claim {
    /// The number of its slot.
    pub(super) fn number(&self) -> usize {
        match &self.tree {
            Tree::Kept(space) => space.slot.number,
            Tree::Fresh { place: Place::There(slot), .. } => slot.number,
            Tree::Fresh { place: Place::New(number), .. } => *number,
        }
    }

    /// The commit that the task begins with.
    pub(super) fn base(&self) -> &Oid {
        match &self.tree {
            Tree::Kept(space) => &space.base,
            Tree::Fresh { base, .. } => base,
        }
    }

    /// The root of its tree.
    pub(super) fn root(&self) -> PathBuf {
        self.yard.place(self.number())
    }

    /// Makes the tree ready; blocks. The script that is to be run in it first, if there is one.
    pub(super) fn ready(self) -> Result<(Workspace, Option<Setup>), Error> {
        let Self { yard, tree, key, declared, files } = self;
        let mut space = match tree {
            Tree::Kept(space) => *space,
            Tree::Fresh { place, base, saved } => {
                let slot = match place {
                    Place::There(slot) => slot,
                    Place::New(number) => Box::new(yard.repo.make_slot(&yard.folder, number, &base)?),
                };
                let mut snapshot = slot.ready(&base, yard.own.clone(), yard.most_new)?;
                let links = yard.fill(&slot)?;
                links.make(slot.root())?;
                snapshot.leave_out(&links.paths);
                if let Some(saved) = saved {
                    slot.put(&base, &saved)?;
                }
                yard.sweep(&slot)?;
                Workspace { slot, snapshot, ledger: Attribution::new(&[]), base, links }
            }
        };
        for (path, bytes) in files {
            let Some(bytes) = bytes else { continue };
            write(&path.on_disk(space.slot.root()), &bytes)?;
        }
        // What was put back, and what a Verify wrote since.
        let seen = space.snapshot.look()?;
        space.ledger.start(&key, declared);
        space.ledger.record(&seen);
        let setup = yard.setup(&space.slot)?;
        Ok((space, setup))
    }
}

/// A script that makes a slot fit for work, and where it is noted once it has.
pub(super) struct Setup {
    pub(super) script: String,
    mark: PathBuf,
    sum: String,
}

impl Setup {
    /// It need not be run again.
    pub(super) fn done(&self) -> Result<(), Error> {
        write(&self.mark, self.sum.as_bytes())
    }
}

impl Yard {
    /// Puts copies of the ignored files that are named into a slot that has not got them. Gives what is to be linked.
    fn fill(&self, slot: &Slot) -> Result<Links, Error> {
        let mark = filled_mark(slot)?;
        let sum = crc32fast::hash(format!("{:?}", (&self.settings.copy, &self.settings.link)).as_bytes());
        if let Some(paths) = filled(&mark, Some(sum)) {
            return Ok(Links { to: self.repo.root().to_owned(), paths });
        }
        let mut links = Links { to: self.repo.root().to_owned(), paths: Vec::new() };
        let named = |patterns: &[String]| patterns.iter().map(|it| Declared::new(it, true)).collect::<Vec<_>>();
        let (copy, link) = (named(&self.settings.copy), named(&self.settings.link));
        if copy.is_empty() && link.is_empty() {
            return Ok(links);
        }
        for path in self.repo.ignored()? {
            let path = RepoPath::new(path.as_bytes().strip_suffix(b"/").unwrap_or(path.as_bytes()));
            if self.own.has(&path) {
                continue;
            }
            let (from, to) = (path.on_disk(self.repo.root()), path.on_disk(slot.root()));
            let means = |patterns: &[Declared]| patterns.iter().any(|pattern| pattern.covers(&path));
            if means(&link) {
                links.paths.push(path);
            } else if means(&copy) && to.symlink_metadata().is_err() {
                folder_of(&to).and_then(|()| copy_all(&from, &to)).map_err(|source| Error::Io {
                    action: "fill a working tree with",
                    path: from,
                    source,
                })?;
            }
        }
        let mut bytes = format!("{sum:08x}").into_bytes();
        for path in &links.paths {
            bytes.push(0);
            bytes.extend_from_slice(path.as_bytes());
        }
        write(&mark, &bytes)?;
        Ok(links)
    }

    /// Empties the scratch folder, and takes away progress files of tasks before.
    fn sweep(&self, slot: &Slot) -> Result<(), Error> {
        let scratch = self.scratch(slot.number);
        let io = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { action, path, source }
        };
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("empty", &scratch)(error)),
            _ => {}
        }
        fs::create_dir_all(&scratch).map_err(io("make the folder", &scratch))?;
        let folder = self.own.list.on_disk(slot.root());
        let Some(folder) = folder.parent() else { return Ok(()) };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".progress-task-") {
                fs::remove_file(entry.path()).map_err(io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// The tree of a task as it was handed out; `again` says what of it was taken for the task's already. Blocks.
    pub(super) fn take_back(
        &self,
        slot: Box<Slot>,
        handed: &HandedOut,
        task: (&str, &Oid, Vec<Declared>),
        again: Option<&[Change]>,
    ) -> Result<Box<Workspace>, Error> {
        let (key, base, declared) = task;
        let tree = handed.tree.as_ref().and_then(|tree| Oid::parse(tree.as_bytes()));
        let tree = tree.map_or_else(|| self.repo.tree_of(Some(base)), Ok)?;
        let mut snapshot = Snapshot::resume(slot.repo(), self.own.clone(), self.most_new, base, tree)?;
        let links = self.fill(&slot)?;
        snapshot.leave_out(&links.paths);
        let mut ledger = Attribution::new(&[]);
        let changes = |entries: &[TreeEntry]| entries.iter().map(Change::from_wire).collect::<Vec<_>>();
        let nobodys = changes(&handed.nobodys);
        ledger.leave(&nobodys, &[]);
        let mut seen = snapshot.look()?;
        if let Some(taken) = again {
            // It had ended in a call that was cut off: what there is beyond that, a Verify wrote.
            ledger.restore(key, taken);
            seen.changes.retain(|change| !taken.iter().any(|it| it.path == change.path && it.new == change.new));
            ledger.record_verify(&seen);
            ledger.start(key, declared);
        } else {
            ledger.restore(key, &changes(&handed.made));
            ledger.start(key, declared);
            ledger.record(&seen);
        }
        Ok(Box::new(Workspace { slot, snapshot, ledger, base: base.clone(), links }))
    }

    /// The setup script, where it has not been run in this slot, or its inputs are others now.
    fn setup(&self, slot: &Slot) -> Result<Option<Setup>, Error> {
        let Some(script) = &self.settings.setup else { return Ok(None) };
        let mut sum = crc32fast::Hasher::new();
        sum.update(script.as_bytes());
        for input in &self.settings.setup_inputs {
            sum.update(input.as_bytes());
            sum.update(&fs::read(slot.root().join(input)).unwrap_or_default());
        }
        let sum = format!("{:08x}", sum.finalize());
        let mark = slot.own_dir()?.join("setup");
        if fs::read(&mark).is_ok_and(|known| known == sum.as_bytes()) {
            return Ok(None);
        }
        Ok(Some(Setup { script: script.clone(), mark, sum }))
    }
}

impl Workspace {
    /// Goes to another commit, with its warm caches; blocks.
    pub(super) fn go_to(&mut self, commit: &Oid) -> Result<(), Error> {
        self.slot.go_to(commit)?;
        self.links.make(self.slot.root())
    }

    /// Looks at what an executor did; blocks.
    pub(super) fn look(&mut self) -> Result<(), Error> {
        let seen = self.snapshot.look()?;
        self.ledger.record(&seen);
        Ok(())
    }

    /// Looks at what a Verify wrote, which is nobody's; blocks.
    pub(super) fn look_after_verify(&mut self) -> Result<Vec<Change>, Error> {
        let seen = self.snapshot.look()?;
        self.ledger.record_verify(&seen);
        Ok(seen.changes)
    }

    /// An executor ended: what is its task's since the first try.
    pub(super) fn end(&mut self, key: &str, reported: impl IntoIterator<Item = RepoPath>) -> crate::git::Taken {
        self.ledger.end(key, reported);
        self.ledger.taken(key)
    }

    /// What there is to know of it while somebody outside works in it: the tree that was in it, what of it is the task's,
    /// and what is nobody's.
    pub(super) fn handed_out(&self, key: &str) -> (String, Vec<TreeEntry>, Vec<TreeEntry>) {
        let made = self.ledger.taken(key).changes.iter().map(Change::to_wire).collect();
        let nobodys = self.ledger.unattributed().iter().map(|it| it.change.to_wire()).collect();
        (self.snapshot.tree().to_string(), made, nobodys)
    }

    /// The slot, without what was known of it.
    pub(super) fn into_slot(self) -> Box<Slot> {
        self.slot
    }

    /// A path that an executor reports, as git has it.
    pub(super) fn relative(&self, path: &str) -> Option<RepoPath> {
        self.slot.repo().relative(&self.slot.root().join(path))
    }

    /// Keeps everything that is in it as a commit; none where there is nothing.
    pub(super) fn save(&self, message: &str) -> Result<Option<Work>, Error> {
        let repo = self.slot.repo();
        if *self.snapshot.tree() == repo.tree_of(Some(&self.base))? {
            return Ok(None);
        }
        let commit = repo.commit_object(self.snapshot.tree(), &self.base, message)?;
        Ok(Some(Work { base: self.base.clone(), commit }))
    }

    /// Keeps these changes, which are its task's, as a commit; none where there are none.
    pub(super) fn keep(&self, changes: &[Change], message: &str) -> Result<Option<Work>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        self.slot.bring_submodules(changes)?;
        let repo = self.slot.repo();
        let tree = match self.ledger.unattributed()[..] {
            [] => self.snapshot.tree().clone(),
            // Less than what is there: what a Verify wrote is left out.
            _ => repo.tree_with(&self.base, changes)?,
        };
        let commit = repo.commit_object(&tree, &self.base, message)?;
        Ok(Some(Work { base: self.base.clone(), commit }))
    }
}

impl Links {
    /// Makes those that are not there.
    fn make(&self, root: &Path) -> Result<(), Error> {
        for path in &self.paths {
            let (from, to) = (path.on_disk(&self.to), path.on_disk(root));
            if to.symlink_metadata().is_err() {
                folder_of(&to).and_then(|()| std::os::unix::fs::symlink(&from, &to)).map_err(|source| Error::Io {
                    action: "link into a working tree",
                    path: from,
                    source,
                })?;
            }
        }
        Ok(())
    }
}

/// Where it is noted that a slot was filled, by which settings and with which links.
fn filled_mark(slot: &Slot) -> Result<PathBuf, Error> {
    Ok(slot.own_dir()?.join("filled"))
}

/// The links that were noted there; none where it was filled by other settings than these, or not at all.
fn filled(mark: &Path, sum: Option<u32>) -> Option<Vec<RepoPath>> {
    let known = fs::read(mark).ok()?;
    let mut parts = known.split(|&byte| byte == 0);
    let by = parts.next()?;
    let same = sum.is_none_or(|sum| by == format!("{sum:08x}").as_bytes());
    same.then(|| parts.map(RepoPath::new).collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    folder_of(path)
        .and_then(|()| write_atomic(path, bytes, Durability::Fast).map_err(io::Error::other))
        .map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}

fn folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Copies a file, a link or a folder with all that is in it. The file system shares the bytes where it can.
pub(super) fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    } else if kind.is_file() {
        fs::copy(from, to).map(drop)
    } else {
        // Sockets and pipes of what runs there are of no use here.
        Ok(())
    }
}
