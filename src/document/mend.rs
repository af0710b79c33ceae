//! Safe mends, for `spec check --fix`: how something is written changes, what it means does not. Every task stays what it
//! was, with its id, box, role, marks, fields and order; what would make another plan of the list is left to its author.
//!
//! | diagnostic | mend |
//! | --- | --- |
//! | `checkbox-without-space`, where an id follows | a blank behind the box |
//! | `both-marked` | the parallel mark goes, which had no effect |
//! | `marker-spelling` | the mark as the list or its tool writes it |

use super::{Diagnostic, Document, Edit, Item, Role, Tick, apply, codes, head, marks, parse};
use std::ops::Range;

/// One mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    /// The diagnostic that goes away with it.
    pub code: &'static str,
    /// What it changes.
    pub edit: Edit,
}

/// The mends of a list, given what was said about it; in the order of the file. What a mend is not supposed to change is
/// looked at in the list that comes out, and a mend that does is left out.
#[must_use]
pub fn mends(document: &Document, diagnostics: &[Diagnostic], path_hint: &str) -> Vec<Mend> {
    // What one diagnostic asks for is done as a whole or not at all.
    let all = diagnostics.iter().map(|found| document.mends_of(found));
    let all: Vec<Vec<Mend>> = all.filter(|mends| !mends.is_empty()).collect();
    let holds = |mends: &[Vec<Mend>]| {
        let (after, _) = parse(mended(document, &mends.concat()), path_hint);
        says_the_same(document, &after)
    };
    if all.is_empty() || holds(&all) {
        return all.concat();
    }
    let kept = kept(&all, &holds);
    if holds(&kept) { kept.concat() } else { Vec::new() }
}

/// Those that hold together with their neighbours, found by halves: of many there are few that do not.
fn kept(mends: &[Vec<Mend>], holds: &impl Fn(&[Vec<Mend>]) -> bool) -> Vec<Vec<Mend>> {
    if holds(mends) {
        return mends.to_vec();
    }
    if mends.len() == 1 {
        return Vec::new();
    }
    let (first, second) = mends.split_at(mends.len() / 2);
    [kept(first, holds), kept(second, holds)].concat()
}

/// The source with its mends.
#[must_use]
pub fn mended(document: &Document, mends: &[Mend]) -> Vec<u8> {
    let edits: Vec<Edit> = mends.iter().map(|mend| mend.edit.clone()).collect();
    apply(&document.source, &edits)
}

impl Document {
    fn mends_of(&self, found: &Diagnostic) -> Vec<Mend> {
        let mend =
            |at: Range<usize>, with: &str| Mend { code: found.code, edit: Edit { at, with: with.as_bytes().to_vec() } };
        match found.code {
            codes::NO_SPACE => {
                let behind = found.span.start + 3;
                self.item_of_box(found.span.start).map(|_| mend(behind..behind, " ")).into_iter().collect()
            }
            codes::BOTH_MARKED => {
                let Some(index) = self.item_of_box(found.span.start) else { return Vec::new() };
                self.parallel_marks(index).into_iter().map(|at| mend(at, "")).collect()
            }
            codes::MARKER_SPELLING => {
                let written = String::from_utf8_lossy(&self.source[found.span.clone()]);
                vec![mend(found.span.clone(), &marks::spelled(self.parallel_mark, &written))]
            }
            _ => Vec::new(),
        }
    }

    /// The item whose box, or whose title where it has none, begins at an offset.
    fn item_of_box(&self, at: usize) -> Option<usize> {
        let begin = |item: &Item| match item.tick_at {
            Tick::Replace(at) => at - 1,
            Tick::Insert(at) => at,
        };
        self.items.binary_search_by_key(&at, begin).ok()
    }

    /// The parallel marks of an item, each with the blanks that separate it from the rest.
    fn parallel_marks(&self, index: usize) -> Vec<Range<usize>> {
        let item = &self.items[index];
        let Some(start) = self.text_start(index) else { return Vec::new() };
        let head = head::read(&item.text, item.accepts_family());
        let blanks = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
        let places = head.markers.iter().zip(&head.places).filter(|(name, _)| **name == "P").map(|(_, place)| place);
        let mut marks: Vec<Range<usize>> = Vec::new();
        for place in places {
            let mut begin = item.text[..place.start].trim_end_matches([' ', '\t']).len();
            // One right behind the other: they go as one.
            if let Some(last) = marks.pop_if(|last| last.end >= begin) {
                begin = last.start;
            }
            // At the beginning the blanks behind it go, else those before it.
            let behind = if begin == 0 { blanks(&item.text[place.end..]) } else { 0 };
            marks.push(begin..place.end + behind);
        }
        marks.into_iter().map(|mark| start + mark.start..start + mark.end).collect()
    }
}

/// Whether two lists say the same: the same items with the same words, boxes, roles and fields. How a mark is written, and
/// one that has no effect, make no difference.
fn says_the_same(before: &Document, after: &Document) -> bool {
    let headings = |document: &Document| -> Vec<(u8, String)> {
        document.headings.iter().map(|heading| (heading.level, heading.text.clone())).collect()
    };
    before.dialect == after.dialect
        && headings(before) == headings(after)
        && before.items.len() == after.items.len()
        && before.items.iter().zip(&after.items).all(|(old, new)| meaning(before, old) == meaning(after, new))
}

/// What an item says, wherever it stands.
#[derive(Debug, PartialEq)]
struct Meaning<'a> {
    words: (Option<&'a str>, &'a str),
    state: (bool, char, Role, bool),
    markers: Vec<String>,
    place: (usize, usize, Option<usize>, Option<usize>, usize),
    fields: Vec<(&'a str, &'a [u8])>,
    scripts: [Vec<&'a str>; 2],
    depends: Vec<(&'a str, &'a [usize])>,
    rest: String,
}

fn meaning<'a>(document: &'a Document, item: &'a Item) -> Meaning<'a> {
    let alone = item.is_verify() || item.is_sequential();
    let marker = |marker: &String| {
        let name = marker.split(':').next().unwrap_or_default().trim();
        if marks::is_alone(name) { marker.to_ascii_uppercase() } else { marker.clone() }
    };
    let fields = &item.fields;
    let scripts = |commands: &'a [super::Command]| commands.iter().map(|command| command.script.as_str()).collect();
    Meaning {
        words: (item.id.as_deref(), &item.title),
        state: (item.checked, item.box_char, item.role, item.parallel),
        markers: item.markers.iter().filter(|marker| !(alone && *marker == "P")).map(marker).collect(),
        place: (item.line, item.depth, item.parent, item.heading, item.segment),
        fields: fields.all.iter().map(|field| (&*field.name, &document.source[field.value.clone()])).collect(),
        scripts: [scripts(&fields.verify), scripts(&fields.run)],
        depends: fields.depends.iter().map(|on| (on.text.as_str(), on.items.as_slice())).collect(),
        rest: format!(
            "{:?}",
            (
                (&fields.files, fields.files_none, fields.verify_prose, &fields.commit, &fields.title_files),
                (&fields.uses, &fields.requirements, &fields.agent, &fields.model, &fields.dir),
                (fields.timeout, &fields.quota, fields.retries),
            )
        ),
    }
}
