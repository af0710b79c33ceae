//! Where everything of a spec stands. The folder is the list's folder; nothing else makes these names.

use std::path::{Path, PathBuf};

use super::fs::{Context, PathError};

/// Where specs live, in the order they are looked for.
pub const HOMES: [&str; 4] = ["specs", ".kiro/specs", "openspec/changes", ".spec-workflow/specs"];

/// The folders of specs below a folder, relative to it.
#[must_use]
pub fn homes(base: &Path) -> Vec<String> {
    let mut homes: Vec<String> = HOMES.iter().map(|&home| home.to_owned()).collect();
    for home in homes_of_ralph(base) {
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    homes
}

/// Where smart-ralph has its specs, by its settings: `specs_dirs: ["./specs", "./packages/api/specs"]` in the front matter
/// of `.claude/ralph-specum.local.md`.
#[must_use]
pub fn homes_of_ralph(base: &Path) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(base.join(".claude/ralph-specum.local.md")) else { return Vec::new() };
    let front = text.lines().skip_while(|line| line.trim_end() != "---").skip(1);
    let mut front = front.take_while(|line| line.trim_end() != "---");
    let Some(dirs) = front.find_map(|line| line.strip_prefix("specs_dirs:")) else { return Vec::new() };
    let dirs = dirs.split(',').map(|dir| dir.trim_matches([' ', '\t', '[', ']', '"', '\'']));
    dirs.map(|dir| dir.trim_start_matches("./").trim_end_matches('/').to_owned())
        .filter(|dir| !dir.is_empty())
        .collect()
}

/// The paths of one spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecPaths {
    folder: PathBuf,
    list: PathBuf,
    progress: PathBuf,
    ralph: bool,
}

impl SpecPaths {
    /// Finds out what stands beside a list: whether the folder has a `.ralph-state.json` (which is about its `tasks.md`),
    /// and which progress file it keeps. The folder's own path has its links resolved, so that every way to it is one.
    pub fn find(list: &Path) -> Result<Self, PathError> {
        let parent = match list.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = parent.canonicalize().context("find", parent)?;
        let name = list
            .file_name()
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::IsADirectory))
            .context("use as a task list", list)?;
        let progress = if !folder.join(".progress.md").exists() && folder.join("progress.md").exists() {
            "progress.md"
        } else {
            ".progress.md"
        };
        Ok(Self {
            list: folder.join(name),
            progress: folder.join(progress),
            ralph: name == "tasks.md" && folder.join(".ralph-state.json").exists(),
            folder,
        })
    }

    /// The folder of the list.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The task list.
    #[must_use]
    pub fn list(&self) -> &Path {
        &self.list
    }

    /// The list's file name (`tasksFile` of the state).
    #[must_use]
    pub fn list_name(&self) -> String {
        self.list.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The spec's name: that of its folder.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `.spec/`: what runs keep.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.join(".spec")
    }

    /// `.spec/slots/`: working trees of tasks.
    #[must_use]
    pub fn slots(&self) -> PathBuf {
        self.work().join("slots")
    }

    /// `.spec/briefs/`: briefs of tasks that were written ahead.
    #[must_use]
    pub fn briefs(&self) -> PathBuf {
        self.work().join("briefs")
    }

    /// `.spec/runs/`.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.work().join("runs")
    }

    /// `.spec/runs/RUN/`.
    #[must_use]
    pub fn run(&self, run: &str) -> PathBuf {
        self.runs().join(run)
    }

    /// `.spec/runs/RUN/journal.jsonl`.
    #[must_use]
    pub fn journal(&self, run: &str) -> PathBuf {
        self.run(run).join("journal.jsonl")
    }

    /// The log of a try, relative to the folder, as `task_start` has it.
    #[must_use]
    pub fn log_name(run: &str, index: usize, title: &str, attempt: u32) -> String {
        let slug = slug(title);
        let dash = if slug.is_empty() { "" } else { "-" };
        format!(".spec/runs/{run}/logs/{index}{dash}{slug}.{attempt}.log")
    }

    /// The log of a try.
    #[must_use]
    pub fn log(&self, run: &str, index: usize, title: &str, attempt: u32) -> PathBuf {
        self.folder.join(Self::log_name(run, index, title, attempt))
    }

    /// `.spec/control/`: requests to the run that is going on.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.work().join("control")
    }

    /// `.spec/lock`.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.work().join("lock")
    }

    /// `.spec/lease.json`: which agent session has the run that is put down.
    #[must_use]
    pub fn lease(&self) -> PathBuf {
        self.work().join("lease.json")
    }

    /// `.spec/runs/RUN/list.md`: the list as it was when a session's run was put down.
    #[must_use]
    pub fn kept_list(&self, run: &str) -> PathBuf {
        self.run(run).join("list.md")
    }

    /// `.spec/runs/RUN/prompts/INDEX.ATTEMPT.md`: what the sub-agent of a session is told.
    #[must_use]
    pub fn prompt(&self, run: &str, index: usize, attempt: u32) -> PathBuf {
        self.run(run).join(format!("prompts/{index}.{attempt}.md"))
    }

    /// `.spec/archive/`: states of other lists that stood in this folder.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.work().join("archive")
    }

    /// `.spec-state.json`, or the `.ralph-state.json` that was there.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join(if self.ralph { ".ralph-state.json" } else { ".spec-state.json" })
    }

    /// Whether the state file is that of smart-ralph.
    #[must_use]
    pub const fn is_ralph(&self) -> bool {
        self.ralph
    }

    /// `.progress.md`, or the `progress.md` that was there.
    #[must_use]
    pub fn progress(&self) -> &Path {
        &self.progress
    }

    /// The name of a task's isolated progress file, in whichever tree its executor works.
    #[must_use]
    pub fn isolated_progress_name(index: usize) -> String {
        format!(".progress-task-{index}.md")
    }

    /// A task's isolated progress file in this folder.
    #[must_use]
    pub fn isolated_progress(&self, index: usize) -> PathBuf {
        self.folder.join(Self::isolated_progress_name(index))
    }

    /// The isolated progress files that are in this folder now, by index.
    pub fn isolated_progress_files(&self) -> Result<Vec<(usize, PathBuf)>, PathError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder).context("list", &self.folder)? {
            let entry = entry.context("list", &self.folder)?;
            let name = entry.file_name();
            let index =
                name.to_str().and_then(|name| name.strip_prefix(".progress-task-")?.strip_suffix(".md")?.parse().ok());
            if let Some(index) = index {
                found.push((index, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A title as a part of a file name: lower-case ASCII letters, digits and dashes, at most 40 of them.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == 40 {
            break;
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        let name = |path: PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        assert_eq!(name(paths.list().into()), "tasks.md");
        assert_eq!(name(paths.journal("r1")), ".spec/runs/r1/journal.jsonl");
        assert_eq!(name(paths.log("r1", 7, "Add the *job* table!", 2)), ".spec/runs/r1/logs/7-add-the-job-table.2.log");
        assert_eq!(name(paths.log("r1", 7, "日本語", 1)), ".spec/runs/r1/logs/7.1.log");
        assert_eq!(name(paths.state()), ".spec-state.json");
        assert_eq!(name(paths.progress().into()), ".progress.md");
        assert_eq!(name(paths.isolated_progress(3)), ".progress-task-3.md");
    }

    #[test]
    fn another_tools_files_are_used_where_they_are_there() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join(".ralph-state.json")).unwrap();
        File::create(folder.path().join("progress.md")).unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        assert!(paths.is_ralph());
        assert!(paths.state().ends_with(".ralph-state.json"));
        assert!(paths.progress().ends_with("progress.md"));
        File::create(folder.path().join(".progress.md")).unwrap();
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        assert!(paths.progress().ends_with(".progress.md"));
    }

    #[test]
    fn isolated_files_are_found_by_index() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".progress-task-10.md", ".progress-task-2.md", ".progress-task-x.md", ".progress-task-3.md.bak"] {
            File::create(folder.path().join(name)).unwrap();
        }
        let paths = SpecPaths::find(&folder.path().join("tasks.md")).unwrap();
        let found: Vec<_> = paths.isolated_progress_files().unwrap().into_iter().map(|(index, _)| index).collect();
        assert_eq!(found, [2, 10]);
    }

    use std::fs::File;
}
