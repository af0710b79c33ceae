//! The pages that stand beside a task list: what the spec says, for those who carry it out.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::paths::SpecPaths;

/// The names of pages in the order in which they are shown, what is wanted first, what was thought about it last.
const NAMES: [&str; 7] =
    ["requirements.md", "spec.md", "proposal.md", "design.md", "plan.md", "data-model.md", "research.md"];
/// Of a page no more is read.
const MOST: u64 = 1024 * 1024;

/// The name and the text of each page that is there and can be read, the progress file last. A page is no reason to
/// fail.
#[must_use]
pub fn read(paths: &SpecPaths) -> Vec<(String, String)> {
    let progress = paths.progress().file_name().unwrap_or_default().to_string_lossy();
    let list = paths.list_name();
    let names = NAMES.into_iter().chain([progress.as_ref()]).filter(|name| *name != list);
    names.filter_map(|name| Some((name.to_owned(), text(&paths.folder().join(name))?))).collect()
}

/// A file's text up to a limit; none where there is nothing to read.
fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    (!text.trim().is_empty()).then_some(text)
}
