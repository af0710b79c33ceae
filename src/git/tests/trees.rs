//! Trees made folder by folder are those that an index would give.

use super::*;
use crate::git::trees::{Trees, Written};

/// Some way to go, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn a_tree_is_the_one_that_an_index_gives() {
    each(|fixture| {
        let repo = fixture.repo();
        let oids: Vec<Oid> = (0..4)
            .map(|number| {
                fixture.write("../content", format!("{number}\n"));
                let oid = fixture.git(&["hash-object", "-w", fixture.path("../content").to_str().unwrap()]);
                Oid::parse(oid.as_bytes()).unwrap()
            })
            .collect();
        let tip = repo.head().unwrap().commit.unwrap();
        // Names that a folder sorts differently from a file, and files where others have folders.
        let names = ["a", "a.b", "a-b", "a/b", "a/b/c", "a/b/d", "a0", "d/e/f/g", "d/e/f/h", "d/e/i", "z\u{e9} \"\n"];
        let modes = [Mode::File, Mode::Executable, Mode::Symlink, Mode::Submodule];
        let index = fixture.temp.path().join("index");
        let mut chance = Chance(7);
        let mut trees = Trees::default();
        let mut parent: Option<Oid> = None;
        let mut has: std::collections::BTreeMap<RepoPath, Blob> = std::collections::BTreeMap::new();
        for round in 0..60 {
            let mut changes = Vec::new();
            for _ in 0..=chance.below(4) {
                let path = RepoPath::from(names[chance.below(names.len())]);
                let mode = modes[chance.below(4)];
                let oid = if mode == Mode::Submodule { &tip } else { &oids[chance.below(4)] };
                let blob = Blob { mode, oid: oid.clone() };
                let new = (chance.below(3) > 0).then_some(blob);
                // What a path cannot be together with goes, as on a disk.
                let against = |other: &RepoPath| {
                    *other != path && (other.is_within(path.as_bytes()) || path.is_within(other.as_bytes()))
                };
                let gone: Vec<RepoPath> = has.keys().filter(|other| new.is_some() && against(other)).cloned().collect();
                for path in gone {
                    changes.push(Change { old: has.remove(&path), path, new: None });
                }
                let old = has.remove(&path);
                has.extend(new.clone().map(|new| (path.clone(), new)));
                changes.push(Change { path, old, new });
            }
            let looked = trees.blobs(&repo, parent.as_ref(), changes.iter().map(|change| &change.path)).unwrap();
            let first = |change: &&Change| {
                changes.iter().find(|other| other.path == change.path).is_some_and(|it| std::ptr::eq(it, *change))
            };
            for change in changes.iter().filter(first) {
                assert_eq!(looked.get(&change.path), change.old.as_ref(), "{change:?} in round {round}");
            }
            let Written { tree, clashes } = trees.write(&repo, parent.as_ref(), &changes).unwrap();
            assert_eq!(clashes, BTreeSet::new());
            fs::remove_file(&index).ok();
            repo.set_index(&index, has.iter().map(|(path, blob)| (path, Some(blob)))).unwrap();
            let wanted = repo.git.call("write-tree").arg("--missing-ok").index(&index).ok().unwrap();
            assert_eq!(Some(&tree), Oid::parse(&wanted).as_ref(), "{changes:?} in round {round}");
            // Some are not landed, some are landed by another.
            match chance.below(4) {
                0 => {
                    let commit = fixture.git(&["commit-tree", tree.as_str(), "-m", "x"]);
                    parent = Oid::parse(commit.as_bytes());
                }
                1 => {
                    let at = parent.clone();
                    has = at.map(|at| all(&fixture, &at)).unwrap_or_default();
                }
                _ => {
                    let commit = fixture.git(&["commit-tree", tree.as_str(), "-m", "x"]);
                    parent = Oid::parse(commit.as_bytes());
                    trees.committed(parent.as_ref().unwrap());
                }
            }
        }
    });
}

/// All that a commit has.
fn all(fixture: &Fixture, commit: &Oid) -> std::collections::BTreeMap<RepoPath, Blob> {
    let listed = fixture.git(&["ls-tree", "-r", "-z", commit.as_str()]);
    let records = listed.split('\0').filter(|record| !record.is_empty());
    let entry = |record: &str| {
        let (columns, path) = record.split_once('\t').unwrap();
        let columns: Vec<&str> = columns.split(' ').collect();
        (RepoPath::from(path), Blob::parse(columns[0].as_bytes(), columns[2].as_bytes()).unwrap())
    };
    records.map(entry).collect()
}

#[test]
fn modes_of_old_repositories_stay_as_they_are() {
    each(|fixture| {
        let repo = fixture.repo();
        let oid = fixture.git(&["rev-parse", "HEAD:README"]);
        let raw: Vec<u8> =
            (0..oid.trim().len() / 2).map(|at| u8::from_str_radix(&oid[2 * at..2 * at + 2], 16).unwrap()).collect();
        fixture.put(&fixture.path("../tree"), &[b"100664 old\0".as_slice(), &raw].concat());
        let path = fixture.path("../tree");
        let tree = fixture.git(&["hash-object", "-t", "tree", "-w", "--literally", path.to_str().unwrap()]);
        let commit = Oid::parse(fixture.git(&["commit-tree", tree.trim(), "-m", "x"]).as_bytes()).unwrap();
        let new = Some(Blob { mode: Mode::File, oid: Oid::parse(oid.as_bytes()).unwrap() });
        let change = Change { path: "new".into(), old: None, new };
        let written = Trees::default().write(&repo, Some(&commit), &[change]).unwrap();
        assert!(fixture.git(&["ls-tree", written.tree.as_str()]).starts_with("100644 blob"), "as git shows it");
        let raw = fixture.try_git(&["cat-file", "tree", written.tree.as_str()]).1;
        assert!(raw.contains("100664 old"), "{raw:?}");
    });
}
