//! The smallest edits: a tick is one byte, nothing is rendered again. Whole tasks are put in by `insert`.

use super::{Document, Place, Tick, head};
use std::ops::Range;

/// A change of some bytes of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that go; empty for an insertion.
    pub at: Range<usize>,
    /// What comes in their place.
    pub with: Vec<u8>,
}

/// Applies edits that all speak of the same `source`; where they overlap the first one wins.
#[must_use]
pub fn apply(source: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut order: Vec<&Edit> = edits.iter().collect();
    order.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let mut result = Vec::with_capacity(source.len() + edits.iter().map(|edit| edit.with.len()).sum::<usize>());
    let mut copied = 0;
    for edit in order {
        if edit.at.start < copied || edit.at.end > source.len() {
            continue;
        }
        result.extend_from_slice(&source[copied..edit.at.start]);
        result.extend_from_slice(&edit.with);
        copied = edit.at.end;
    }
    result.extend_from_slice(&source[copied..]);
    result
}

impl Document {
    /// Ticks an item; `None` when it is ticked already.
    #[must_use]
    pub fn tick(&self, index: usize) -> Option<Edit> {
        let item = &self.items[index];
        match item.tick_at {
            _ if item.checked => None,
            Tick::Replace(at) => Some(Edit { at: at..at + 1, with: vec![self.tick] }),
            Tick::Insert(at) => Some(Edit { at: at..at, with: vec![b'[', self.tick, b']', b' '] }),
        }
    }

    /// Takes a tick back; `None` when the item is not ticked.
    #[must_use]
    pub fn untick(&self, index: usize) -> Option<Edit> {
        let item = &self.items[index];
        match item.tick_at {
            Tick::Replace(at) if item.checked => Some(Edit { at: at..at + 1, with: vec![b' '] }),
            _ => None,
        }
    }

    /// Makes the same tick in another version of the list (that of `HEAD`): the edit of `other`, or `None` where the
    /// item is not in there or is ticked already. See [`Document::find_in`].
    #[must_use]
    pub fn tick_in(&self, index: usize, other: &Self) -> Option<Edit> {
        other.tick(self.find_in(index, other)?)
    }

    /// Marks an item as parallel, in the way and at the place that the list has its marks; `None` where it is marked
    /// already, or where the mark would be read as something else there.
    #[must_use]
    pub fn mark_parallel(&self, index: usize) -> Option<Edit> {
        let item = &self.items[index];
        let start = self.text_start(index)?;
        let before = head::read(&item.text, item.accepts_family());
        let mark = self.parallel_mark;
        let (at, with) = match mark.place {
            Place::EndOfLine => (item.text.len(), format!(" {}", mark.text)),
            Place::BehindId if before.id.is_some() => (before.id_end, format!(" {}", mark.text)),
            Place::BehindId | Place::BeforeId => (0, format!("{} ", mark.text)),
        };
        let marked = [&item.text[..at], &with, &item.text[at..]].concat();
        let after = head::read(&marked, item.accepts_family());
        let others: Vec<&&str> = after.markers.iter().filter(|marker| **marker != "P").collect();
        let same = (after.id, &after.title, after.starred) == (before.id, &before.title, before.starred);
        let only_mark = others.iter().copied().eq(&before.markers) && others.len() + 1 == after.markers.len();
        (same && only_mark).then(|| Edit { at: start + at..start + at, with: with.into_bytes() })
    }

    /// Where the text of an item begins; `None` where its bytes are not UTF-8.
    pub(super) fn text_start(&self, index: usize) -> Option<usize> {
        let item = &self.items[index];
        let from = match item.tick_at {
            Tick::Replace(at) => at + 2,
            Tick::Insert(at) => at,
        };
        let line = self.line_starts.partition_point(|&start| start <= from);
        let end = self.line_starts.get(line).copied().unwrap_or(self.source.len());
        memchr::memmem::find(&self.source[from..end], item.text.as_bytes()).map(|at| from + at)
    }

    /// Where the list marker (or the first hash) of an item stands.
    pub(super) fn marker(&self, index: usize) -> usize {
        let item = &self.items[index];
        let start = self.line_starts[item.line - 1];
        let end = match item.tick_at {
            Tick::Replace(at) => at - 1,
            Tick::Insert(at) => at,
        };
        let before = self.source[start..end.max(start)].trim_ascii_end();
        let one_of = |set: &'static [u8]| move |byte: &&u8| set.contains(byte);
        let bullets = before.iter().rev().take_while(one_of(b"-*+")).count().min(1);
        let hashes = before.iter().rev().take_while(one_of(b"#")).count();
        let ordered = before.iter().rev().take_while(one_of(b"0123456789.)")).count();
        start + before.len() - bullets.max(hashes).max(ordered)
    }

    pub(super) fn line_ends_with_crlf(&self) -> bool {
        let first = memchr::memchr(b'\n', &self.source);
        first.is_some_and(|at| at > 0 && self.source[at - 1] == b'\r')
    }
}
