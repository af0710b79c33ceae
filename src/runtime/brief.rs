//! What a try is told: gathers the pages of the spec, the siblings and the learnings for [`prompt::build`]. The driver asks
//! it for every try, and `spec prompt` for one; both get the same bytes.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::settings::RunSettings;
use crate::document::{Document, FileEntry};
use crate::engine::gates::Ownership;
use crate::engine::{Code, Failure};
use crate::git::{self, Repo};
use crate::mask::Masker;
use crate::plan::{self, Mode, Plan};
use crate::prompt::ahead::Sources;
use crate::prompt::{self, Brief, Elsewhere, Failed, Files, Learned, Page, Prompt, References, Sibling};
use crate::store::learnings::{self, Kind, Library, Query};
use crate::store::pages;
use crate::store::paths::SpecPaths;
use crate::store::recovery::{Record, Resume};

/// What is asked for.
pub struct Asked<'a> {
    /// The list as it is now.
    pub doc: &'a Document,
    /// Its plan.
    pub plan: &'a Plan,
    /// What stands beside it.
    pub paths: &'a SpecPaths,
    /// The root of the tree that the list is in.
    pub root: &'a Path,
    /// The repository, where there is one.
    pub repo: Option<&'a Repo>,
    /// How tasks are run.
    pub settings: &'a RunSettings,
    /// Takes secrets out.
    pub mask: &'a Masker,
    /// The task.
    pub work: Work<'a>,
    /// 1 for the first try.
    pub attempt: u32,
    /// Why the try before failed.
    pub failure: Option<&'a Failure>,
    /// What it had made before is not there any more.
    pub gone: bool,
}

/// A task as its try takes it.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Its item in the list; none where it is not in there any more.
    pub index: Option<usize>,
    /// What it is called.
    pub label: &'a str,
    /// Its place in the list that its progress file is named by.
    pub place: usize,
    /// Its block.
    pub block: &'a str,
    /// Its Verify commands.
    pub verify: &'a [String],
    /// What its `Files` field names.
    pub files: &'a [FileEntry],
    /// Where its commands run, relative to the root.
    pub dir: Option<&'a str>,
    /// It is marked `[VERIFY]`.
    pub checkpoint: bool,
}

/// The prompt, and what is to be said about it: a code and a message each.
#[must_use]
pub fn prompt(asked: &Asked<'_>) -> (Prompt, Vec<(&'static str, String)>) {
    let Asked { paths, root, settings, work, .. } = asked;
    let inside = |path: &Path| {
        let inside = path.strip_prefix(root).map_or_else(|_| path.to_owned(), Path::to_path_buf);
        inside.to_string_lossy().into_owned()
    };
    let mut notices = Vec::new();
    let (learnings, said) = learned(asked);
    notices.extend(said.map(|said| ("learnings", said)));
    let pages = pages(asked, &inside);
    let references = if pages.is_empty() { References::default() } else { references(asked) };
    let (siblings, more_siblings) = siblings(asked);
    let brief = Brief {
        list: inside(paths.list()),
        task: work.label.to_owned(),
        attempt: asked.attempt,
        checkpoint: work.checkpoint,
        block: work.block.to_owned(),
        progress_file: from_dir(work.dir, &inside(&paths.isolated_progress(work.place))),
        files: files(work.files, settings.ownership),
        verify: work.verify.to_vec(),
        siblings,
        more_siblings,
        learnings,
        ahead: if settings.prepare.enabled { written_ahead(asked) } else { None },
        failure: asked.failure.map(|failure| Failed {
            code: failure.code.name().to_owned(),
            reason: failure.reason.clone(),
            evidence: failure.evidence.clone(),
            afresh: asked.gone || failure.code == Code::Conflict,
        }),
        pages,
        references,
    };
    let mut prompt = prompt::build(&settings.templates, &brief, settings.prompt_max_tokens);
    prompt.mask(asked.mask);
    if prompt.too_long {
        let (_, tokens) = prompt.size();
        let most = settings.prompt_max_tokens;
        let message = format!(
            "the prompt of task {} has about {tokens} tokens, more than the {most} of prompt.max_tokens: its block, \
             its checks and the rules are never cut",
            work.label
        );
        notices.push(("prompt-too-long", message));
    }
    (prompt, notices)
}

/// The number of the next try of a task that an earlier run began, and why the one before failed: as a run that is started
/// now would have it. `cut_off` says that the earlier run did not end in order.
#[must_use]
pub fn next_try(record: &Record, ticked: bool, cut_off: bool) -> (u32, Option<Failure>) {
    if record.resume(ticked) != Resume::Run {
        return (1, None);
    }
    let failure = record.failure.as_ref().map(|failure| {
        let code = Code::from_name(&failure.code).unwrap_or(Code::Crash);
        Failure::new(code, failure.reason.clone()).with_evidence(failure.evidence.clone())
    });
    // A run that ended counts anew.
    (if cut_off { record.tries + 1 } else { 1 }, failure)
}

/// What a brief of this task is made from that is written ahead.
#[must_use]
pub fn sources(asked: &Asked<'_>) -> Sources {
    /// Of a file no more is looked at.
    const MOST: u64 = 1024 * 1024;
    let read = |path: &str| {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(asked.root.join(path)).ok()?;
        file.take(MOST).read_to_end(&mut bytes).ok().map(|_| bytes)
    };
    let progress = asked.paths.progress().file_name().unwrap_or_default().to_string_lossy();
    Sources {
        block: asked.work.block.to_owned(),
        files: asked.work.files.iter().map(|file| (file.path.clone(), read(&file.path))).collect(),
        // What is learned meanwhile is told apart.
        pages: pages::read(asked.paths).into_iter().filter(|(name, _)| *name != progress).collect(),
    }
}

/// The brief that was written ahead and still holds.
fn written_ahead(asked: &Asked<'_>) -> Option<String> {
    std::fs::read_to_string(prepared_file(asked, &sources(asked))).ok()
}

/// Where such a brief is kept; another one is one of other sources.
#[must_use]
pub fn prepared_file(asked: &Asked<'_>, sources: &Sources) -> PathBuf {
    asked.paths.briefs().join(format!("{}-{:08x}.md", asked.work.place, sources.digest()))
}

/// Where the learnings of a repository are found again: beside git's own files, which are never committed.
pub fn library(root: &Path, repo: Option<&Repo>, own: Option<&Path>) -> Result<Library, git::Error> {
    let folder = match repo {
        Some(repo) => repo.own_dir()?,
        None => root.join(".spec"),
    };
    let folders = learnings::spec_folders(root, own);
    Ok(Library { index: folder.join(learnings::NAME), root: root.to_owned(), folders })
}

/// What was learned before that is of use for the task, and what is to be said about the index. Nothing of it is a reason to
/// fail.
fn learned(asked: &Asked<'_>) -> (Vec<Learned>, Option<String>) {
    let Asked { settings, work, paths, root, .. } = asked;
    let most = settings.learnings_max;
    if most == 0 {
        return (Vec::new(), None);
    }
    let library = match library(root, asked.repo, Some(paths.folder())) {
        Ok(library) => library,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let named: Vec<String> = work.files.iter().map(|file| file.path.clone()).collect();
    let answer = match library.for_task(&Query::of_task(work.block, &named), most.saturating_add(1)) {
        Ok(answer) => answer,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let spec = paths.folder().strip_prefix(root).unwrap_or(paths.folder()).to_string_lossy();
    let spec = if spec.is_empty() { ".".into() } else { spec };
    let mut left = settings.learnings_max_tokens;
    let mut learned = Vec::new();
    for found in answer.learnings {
        // It is told that in full.
        let own = found.kind == Kind::Failure && found.task.as_deref() == Some(work.label) && found.spec == spec;
        let size = prompt::tokens(&found.text) + prompt::tokens(&found.from);
        if own && asked.failure.is_some() || size > left {
            continue;
        }
        left -= size;
        learned.push(Learned { text: found.text, from: found.from });
    }
    learned.truncate(most);
    (learned, answer.rebuilt.map(|why| format!("the index of learnings was damaged: {why}")))
}

/// The pages of the spec; of the progress file what is for all tasks.
fn pages(asked: &Asked<'_>, inside: &impl Fn(&Path) -> String) -> Vec<Page> {
    let progress = asked.paths.progress().file_name().unwrap_or_default().to_string_lossy();
    let page = |(name, text): (String, String)| {
        let text = if name == progress { prompt::progress_page(&text) } else { text };
        Page { name: inside(&asked.paths.folder().join(name)), text }
    };
    pages::read(asked.paths).into_iter().map(page).filter(|page| !page.text.is_empty()).collect()
}

/// What more tasks than this name is not asked for.
const MOST_NAMING: usize = 2000;

/// What the tasks name that share the beginning of the prompt: those of the group, in graph mode all.
fn references(asked: &Asked<'_>) -> References {
    let Some(index) = asked.work.index else { return References::default() };
    let doc = asked.doc;
    let own = [index];
    let everything: Vec<usize>;
    let group = match asked.plan.mode {
        Mode::Graph => {
            everything = (0..doc.items.len()).collect();
            &everything[..]
        }
        _ => asked.plan.group_of(index).map_or(&own[..], |group| &group.tasks),
    };
    // Of so many tasks what they name is most likely everything.
    if group.len() > MOST_NAMING {
        return References::default();
    }
    let mut references = References::default();
    let add = |to: &mut Vec<String>, text: &str| {
        let text = text.trim_matches(|c: char| c.is_whitespace() || "`*_§#.".contains(c));
        if !text.is_empty() && !to.iter().any(|known| known == text) {
            to.push(text.to_owned());
        }
    };
    for item in group.iter().filter_map(|index| doc.items.get(*index)) {
        for wanted in &item.fields.requirements {
            add(&mut references.requirements, wanted);
        }
        for field in item.fields.all.iter().filter(|field| field.name == "Design") {
            let value = String::from_utf8_lossy(doc.source.get(field.value.clone()).unwrap_or_default()).into_owned();
            for wanted in value.split([',', ';', '\n']) {
                add(&mut references.design, wanted);
            }
        }
    }
    references
}

/// Who may be at work at the same time, and how many more.
fn siblings(asked: &Asked<'_>) -> (Vec<Sibling>, usize) {
    /// More are only counted.
    const NAMED: usize = 20;
    let Some(index) = asked.work.index else { return (Vec::new(), 0) };
    let sibling = |index: &usize| {
        let item = &asked.doc.items[*index];
        // What both name they take turns with.
        let own = |path: &String| asked.work.files.iter().any(|file| file.path == *path);
        let files = item.fields.files.iter().map(|file| file.path.clone()).filter(|path| !own(path)).collect();
        Sibling { task: asked.doc.label(*index), title: item.title.clone(), files }
    };
    let mut beside = plan::beside(asked.plan, index);
    beside.retain(|index| !asked.doc.items[*index].checked);
    let named: Vec<Sibling> = beside.iter().take(NAMED).map(sibling).collect();
    let more = beside.len() - named.len();
    (named, more)
}

fn files(declared: &[FileEntry], ownership: Ownership) -> Files {
    let named = |gone: bool| declared.iter().filter(|file| file.gone == gone).map(|file| file.path.clone()).collect();
    let elsewhere = match ownership {
        Ownership::Off => Elsewhere::Free,
        Ownership::Warn => Elsewhere::Reported,
        Ownership::Deny => Elsewhere::Denied,
    };
    Files { there: named(false), gone: named(true), elsewhere }
}

/// A path from the root as it is seen from the folder that the commands of a task run in.
fn from_dir(dir: Option<&str>, path: &str) -> String {
    let parts = dir.into_iter().flat_map(|dir| Path::new(dir).components());
    let depth = parts.filter(|part| matches!(part, std::path::Component::Normal(_))).count();
    if Path::new(path).is_absolute() { path.to_owned() } else { format!("{}{path}", "../".repeat(depth)) }
}
