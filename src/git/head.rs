//! Where HEAD is, and how it got from one place to another.

use std::io::{Read, Seek, SeekFrom};

use super::change::Oid;
use super::error::Error;
use super::repo::Repo;
use crate::store::event::HeadRecord;

/// Where HEAD and the stash are at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadState {
    /// The full name of the branch that is checked out; none when detached.
    pub branch: Option<String>,
    /// The commit; none before the first one.
    pub commit: Option<Oid>,
    /// The newest stash.
    pub stash: Option<Oid>,
    /// How long the record of HEAD's moves is, where there is one: what comes behind happened since.
    log: Option<u64>,
}

/// What became of HEAD between two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// Nothing.
    No,
    /// Commits were made on top, one after the other; oldest first.
    Commits(Vec<Oid>),
    /// Anything else, for people: a checkout, a reset, a rebase, a merge, a stash.
    Other(String),
}

impl HeadState {
    /// The branch's short name; none when detached.
    #[must_use]
    pub fn branch_name(&self) -> Option<&str> {
        self.branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name))
    }

    /// As the journal has it.
    #[must_use]
    pub fn to_wire(&self) -> HeadRecord {
        let name = |oid: &Option<Oid>| oid.as_ref().map(ToString::to_string);
        HeadRecord { branch: self.branch.clone(), commit: name(&self.commit), stash: name(&self.stash), log: self.log }
    }

    /// Reads what [`to_wire`](Self::to_wire) wrote.
    #[must_use]
    pub fn from_wire(record: &HeadRecord) -> Self {
        let oid = |name: &Option<String>| name.as_ref().and_then(|name| Oid::parse(name.as_bytes()));
        Self { branch: record.branch.clone(), commit: oid(&record.commit), stash: oid(&record.stash), log: record.log }
    }

    /// For people: `main at 3f2a9c1`.
    pub(super) fn describe(&self) -> String {
        let place = self.branch_name().unwrap_or("a detached HEAD");
        match &self.commit {
            Some(commit) => format!("{place} at {:.7}", commit.as_str()),
            None => format!("{place} without a commit"),
        }
    }

    /// Whether HEAD is on the same branch at the same commit.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.branch == other.branch && self.commit == other.commit
    }
}

impl Repo {
    /// Where HEAD is now.
    pub fn head(&self) -> Result<HeadState, Error> {
        // One call tells everything on a branch with a commit.
        let format = "--format=%(HEAD)%(refname)%00%(objectname)";
        let refs = self.git.call("for-each-ref").args([format, "refs/heads", "refs/stash"]).ok()?;
        let mut state = HeadState { branch: None, commit: None, stash: None, log: self.head_log_length() };
        for line in refs.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let Some(nul) = line.iter().position(|&byte| byte == 0) else { continue };
            let (name, oid) = (&line[1..nul], Oid::parse(&line[nul + 1..]));
            if line[0] == b'*' {
                state.branch = Some(String::from_utf8_lossy(name).into_owned());
                state.commit = oid;
            } else if name == b"refs/stash" {
                state.stash = oid;
            }
        }
        if state.commit.is_none() {
            let name = self.git.call("symbolic-ref").args(["-q", "HEAD"]).run()?;
            if name.exit == Some(0) {
                state.branch = Some(String::from_utf8_lossy(&name.stdout).trim_end().to_owned());
            }
            let commit = self.git.call("rev-parse").args(["-q", "--verify", "HEAD^{commit}"]).run()?;
            state.commit = Oid::parse(&commit.stdout);
        }
        Ok(state)
    }

    /// What became of HEAD since `before`, as seen `now`.
    pub fn moved(&self, before: &HeadState, now: &HeadState) -> Result<Moved, Error> {
        let other = |text: String| Ok(Moved::Other(text));
        if before.branch != now.branch {
            return other(format!("HEAD went from {} to {}", before.describe(), now.describe()));
        }
        if before.stash != now.stash {
            return other("the stash was changed".to_owned());
        }
        // A checkout and back, or a reset to the same commit, shows only here.
        let unlike_a_commit = self
            .head_log_since(before)
            .into_iter()
            .find(|message| !["commit", "cherry-pick:", "revert:"].iter().any(|kind| message.starts_with(kind)));
        if let Some(message) = unlike_a_commit {
            return other(format!("HEAD was moved ({message})"));
        }
        if before.commit == now.commit {
            return Ok(Moved::No);
        }
        let Some(tip) = &now.commit else {
            return other(format!("HEAD went from {} to {}", before.describe(), now.describe()));
        };
        let mut range = vec![tip.to_string()];
        range.extend(before.commit.as_ref().map(|commit| format!("^{commit}")));
        let listed = self.git.call("rev-list").args(["--parents", "--topo-order", "--reverse"]).args(range).ok()?;
        let mut commits: Vec<Oid> = Vec::new();
        for line in String::from_utf8_lossy(&listed).lines() {
            let mut names = line.split(' ').filter_map(|name| Oid::parse(name.as_bytes()));
            let commit = names.next();
            let parents: Vec<Oid> = names.collect();
            let expected = commits.last().or(before.commit.as_ref());
            let linear = parents.len() <= 1 && parents.first() == expected;
            match commit {
                Some(commit) if linear => commits.push(commit),
                _ => {
                    return other(format!(
                        "{} is not a line of commits on top of {}",
                        now.describe(),
                        before.describe()
                    ));
                }
            }
        }
        if commits.is_empty() {
            return other(format!("HEAD went back from {} to {}", before.describe(), now.describe()));
        }
        Ok(Moved::Commits(commits))
    }

    /// How long the file that records HEAD's moves is; none where the repository keeps it elsewhere or not at all.
    fn head_log_length(&self) -> Option<u64> {
        std::fs::metadata(self.git_dir.join("logs/HEAD")).ok().map(|file| file.len())
    }

    /// The messages of HEAD's moves since `before`.
    fn head_log_since(&self, before: &HeadState) -> Vec<String> {
        // Cut by `git gc` or never there: the other signs have to do.
        let read = |from: u64| -> Option<Vec<u8>> {
            let mut file = std::fs::File::open(self.git_dir.join("logs/HEAD")).ok()?;
            file.seek(SeekFrom::Start(from)).ok()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        let new = before.log.and_then(read).unwrap_or_default();
        let message = |line: &str| line.split_once('\t').map(|(_, message)| message.to_owned());
        String::from_utf8_lossy(&new).lines().filter_map(message).collect()
    }
}
