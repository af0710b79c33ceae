//! What a failed task left: saved as a commit nobody sees, then taken out of the shared tree where it can be told.

use std::collections::BTreeMap;

use super::change::{Change, Oid, RepoPath};
use super::commit::Committer;
use super::error::Error;
use super::repo::unexpected;

/// What was saved of a failed task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The ref that keeps it.
    pub name: String,
    /// What was taken out of the tree again.
    pub removed: Vec<Change>,
    /// What was left in the tree, because someone else changed it, too.
    pub left: Vec<Change>,
}

impl Committer {
    /// Saves the changes of a failed task under `refs/spec/salvage/<spec>/<task>/<attempt>` and restores what is still
    /// as it left it; none where it changed nothing. After a crash it can be called again.
    pub fn salvage(
        &mut self,
        spec: &str,
        task: &str,
        attempt: u32,
        changes: &[Change],
    ) -> Result<Option<Salvaged>, Error> {
        if changes.is_empty() {
            return Ok(None);
        }
        let head = self.repo.head()?.commit;
        let tree = self.trees.write(&self.repo, head.as_ref(), changes)?.tree;
        self.trees.rest();
        let message = format!("what task {task} of {spec} left after attempt {attempt}\n");
        let call = self.repo.git.durable("commit-tree").arg(tree.as_str());
        let call = call.args(head.iter().flat_map(|head| ["-p", head.as_str()])).args(["-F", "-"]);
        let commit = call.input(message.into_bytes()).ok()?;
        let commit = Oid::parse(&commit).ok_or_else(|| unexpected("commit-tree", &commit))?;
        let name =
            self.keep(&format!("refs/spec/salvage/{}/{}/{attempt}", ref_part(spec), ref_part(task)), &commit, &tree)?;

        // Of a path that others changed in between, nobody can say what is whose.
        let mut steps: BTreeMap<&RepoPath, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            steps.entry(&change.path).or_default().push(change);
        }
        let (single, mut left): (Vec<Change>, Vec<Change>) =
            changes.iter().cloned().partition(|change| steps[&change.path].len() == 1);
        let differing = self.repo.differs(single.iter().map(|change| (&change.path, change.new.as_ref())))?;
        let (others, removed): (Vec<Change>, Vec<Change>) =
            single.into_iter().partition(|change| differing.contains(&change.path));
        left.extend(others);
        self.repo.write_out(removed.iter().map(|change| (&change.path, change.old.as_ref())))?;
        self.unstage(head.as_ref(), &removed)?;
        Ok(Some(Salvaged { name, removed, left }))
    }

    /// Keeps a commit that has what a task made under `refs/spec/salvage/<spec>/<task>/<attempt>`; the name it got.
    pub fn keep_work(&self, spec: &str, task: &str, attempt: u32, commit: &Oid) -> Result<String, Error> {
        let tree = self.repo.tree_of(Some(commit))?;
        self.keep(&format!("refs/spec/salvage/{}/{}/{attempt}", ref_part(spec), ref_part(task)), commit, &tree)
    }

    /// Points a new ref at a commit. An earlier run's of the same name is kept, unless it holds the same.
    fn keep(&self, wanted: &str, commit: &Oid, tree: &Oid) -> Result<String, Error> {
        let mut name = wanted.to_owned();
        for number in 2.. {
            let present =
                self.repo.git.call("rev-parse").args(["-q", "--verify", &format!("{name}^{{tree}}")]).run()?;
            match Oid::parse(&present.stdout) {
                Some(present) if present == *tree => break,
                Some(_) => name = format!("{wanted}-{number}"),
                None => {
                    let none = self.repo.no_object.as_str();
                    self.repo.git.durable("update-ref").args([&name, commit.as_str(), none]).ok()?;
                    break;
                }
            }
        }
        Ok(name)
    }

    /// Takes what a task staged out of the user's index again.
    fn unstage(&self, head: Option<&Oid>, removed: &[Change]) -> Result<(), Error> {
        let staged = self.repo.staged(removed.iter().map(|change| &change.path))?;
        let at_head = self.repo.blobs_at(head, removed.iter().map(|change| &change.path))?;
        let update: Vec<_> = removed
            .iter()
            .filter(|change| staged.get(&change.path) == change.new.as_ref())
            .map(|change| (&change.path, at_head.get(&change.path)))
            .collect();
        self.repo.set_index(&self.repo.git_dir.join("index"), update)
    }
}

/// A text as one part of a ref's name.
#[must_use]
pub fn ref_part(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    let text: String = text.chars().map(|char| if plain(char) { char } else { '-' }).collect();
    let text = text.replace("..", "-");
    let text = text.trim_matches('.').trim_end_matches(".lock");
    if text.is_empty() { "unnamed".to_owned() } else { text.to_owned() }
}
