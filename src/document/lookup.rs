//! How an item is named, selected, and found again in another version of the list.

use super::{Document, Item, Role};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Answers that take a look at all items, built once when first asked.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    tables: OnceLock<Tables>,
}

#[derive(Debug, Clone)]
struct Tables {
    /// Whether the id of an item is its own only.
    unique: Vec<bool>,
    /// Ordinal of an item among those of equal id and text.
    ordinal: Vec<u32>,
    /// Item indices of every parent.
    children: HashMap<usize, Vec<usize>>,
}

impl Document {
    fn tables(&self) -> &Tables {
        self.lookup.tables.get_or_init(|| {
            let mut count: HashMap<&str, usize> = HashMap::new();
            let mut seen: HashMap<(Option<&str>, &str), u32> = HashMap::new();
            let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
            let mut ordinal = Vec::with_capacity(self.items.len());
            for (index, item) in self.items.iter().enumerate() {
                if let Some(id) = &item.id {
                    *count.entry(id).or_default() += 1;
                }
                let times = seen.entry((item.id.as_deref(), &item.text)).or_default();
                ordinal.push(*times);
                *times += 1;
                if let Some(parent) = item.parent {
                    children.entry(parent).or_default().push(index);
                }
            }
            let unique = self.items.iter().map(|item| item.id.as_deref().is_some_and(|id| count[id] == 1)).collect();
            Tables { unique, ordinal, children }
        })
    }

    /// What an item is called on the command line, in signals and in trailers: its id, `ID@LINE` where the id is not
    /// unique, `:INDEX` where there is none.
    #[must_use]
    pub fn label(&self, index: usize) -> String {
        let item = &self.items[index];
        match &item.id {
            None => format!(":{index}"),
            Some(id) if self.tables().unique[index] => id.clone(),
            Some(id) => format!("{id}@{}", item.line),
        }
    }

    /// The item that is [called](Self::label) like this.
    #[must_use]
    pub fn item_of_label(&self, label: &str) -> Option<usize> {
        (0..self.items.len()).find(|index| self.label(*index) == label)
    }

    /// What an item is known by in the journal: id, a sum of its text, and its ordinal among equals of both.
    #[must_use]
    pub fn key(&self, index: usize) -> String {
        let item = &self.items[index];
        let id = item.id.as_deref().unwrap_or_default();
        let sum = crc32fast::hash(item.text.as_bytes());
        format!("{id}~{sum:08x}~{}", self.tables().ordinal[index])
    }

    /// The items right below an item.
    #[must_use]
    pub fn children(&self, index: usize) -> &[usize] {
        self.tables().children.get(&index).map_or(&[], Vec::as_slice)
    }

    /// The items around an item, from the inside out.
    pub fn parents(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.items[index].parent, |&parent| self.items[parent].parent)
    }

    /// Everything below a parent that is not a parent itself, in document order; the item itself if it is none.
    #[must_use]
    pub fn tasks_of(&self, index: usize) -> Vec<usize> {
        let mut tasks = Vec::new();
        let mut open = vec![index];
        while let Some(next) = open.pop() {
            if self.items[next].role == Role::Parent {
                open.extend(self.children(next));
            } else {
                tasks.push(next);
            }
        }
        tasks.sort_unstable();
        tasks
    }

    /// Whether an item is work to be run, given what is included.
    #[must_use]
    pub fn is_work(&self, index: usize, include_notes: bool, include_optional: bool) -> bool {
        match self.items[index].role {
            Role::Task => true,
            Role::Note => include_notes,
            Role::Optional => include_optional,
            Role::Parent | Role::Held => false,
        }
    }

    /// The line and column (in characters) of an offset, both 1-based.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.source.len());
        let line = self.line_starts.partition_point(|&start| start <= offset).max(1);
        let before = &self.source[self.line_starts[line - 1]..offset];
        // Bytes that continue a character are none of their own.
        (line, before.iter().filter(|&&byte| byte & 0b1100_0000 != 0b1000_0000).count() + 1)
    }

    /// The items that a selector of the command line means: an id, `ID@LINE`, `:INDEX`; a parent or a heading (its
    /// text, or its beginning such as `Phase 2`) means the tasks below it. `None` when there is nothing of that name.
    #[must_use]
    pub fn select(&self, selector: &str) -> Option<Vec<usize>> {
        let selector = selector.trim();
        if let Some(index) = selector.strip_prefix(':').and_then(|digits| digits.parse::<usize>().ok()) {
            return (index < self.items.len()).then(|| self.tasks_of(index));
        }
        if let Some((id, line)) = selector.rsplit_once('@')
            && let Ok(line) = line.parse::<usize>()
        {
            let at = |item: &Item| item.line == line && item.id.as_deref() == Some(id);
            return self.items.iter().position(at).map(|index| self.tasks_of(index));
        }
        if let Some(index) = self.item_of_id(selector) {
            return Some(self.tasks_of(index));
        }
        self.heading_of(selector).map(|heading| self.tasks_under(heading))
    }

    /// The first item of an id, compared number by number.
    #[must_use]
    pub fn item_of_id(&self, id: &str) -> Option<usize> {
        let id = super::ids::bare(id);
        let exact = self.items.iter().position(|item| item.id.as_deref() == Some(id));
        exact.or_else(|| {
            let same = |item: &Item| item.id.as_deref().is_some_and(|own| super::ids::compare(own, id).is_eq());
            self.items.iter().position(same)
        })
    }

    /// The heading that a text names: all of it, or its beginning up to a word's end.
    fn heading_of(&self, text: &str) -> Option<usize> {
        let text = text.trim_start_matches('#').trim().to_lowercase();
        if text.is_empty() {
            return None;
        }
        let lower: Vec<String> = self.headings.iter().map(|heading| heading.text.to_lowercase()).collect();
        lower.iter().position(|heading| *heading == text).or_else(|| {
            let begins = |heading: &String| {
                heading.strip_prefix(&text).and_then(|rest| rest.chars().next()).is_some_and(|c| !c.is_alphanumeric())
            };
            lower.iter().position(begins)
        })
    }

    /// The items under a heading and the headings below it, parents left out.
    fn tasks_under(&self, heading: usize) -> Vec<usize> {
        let level = self.headings[heading].level;
        let later = self.headings[heading + 1..].iter().position(|other| other.level <= level);
        let end = later.map_or(self.headings.len(), |offset| heading + 1 + offset);
        let under = |item: &Item| item.heading.is_some_and(|own| (heading..end).contains(&own));
        let tasks = self.items.iter().enumerate().filter(|(_, item)| under(item) && item.role != Role::Parent);
        tasks.map(|(index, _)| index).collect()
    }

    /// For each item here, the same item in an edited list: by id and text, then by id, then by text, then by place.
    #[must_use]
    pub fn rematch(&self, new: &Self) -> Vec<Option<usize>> {
        let mut found: Vec<Option<usize>> = vec![None; self.items.len()];
        let mut taken = vec![false; new.items.len()];
        pair(&self.items, &new.items, &mut found, &mut taken, |item| Some((item.id.as_deref(), item.text.as_str())));
        pair(&self.items, &new.items, &mut found, &mut taken, |item| item.id.as_deref());
        pair(&self.items, &new.items, &mut found, &mut taken, |item| Some(item.text.as_str()));
        pair_by_place(&self.items, &new.items, &mut found, &taken);
        found
    }

    /// Where one item of this list is in another version of it; as [`Document::rematch`].
    #[must_use]
    pub fn find_in(&self, index: usize, other: &Self) -> Option<usize> {
        self.rematch(other)[index]
    }
}

/// Pairs what is left on both sides by a name, equals in order.
fn pair<'a, Name: Eq + std::hash::Hash>(
    old: &'a [Item],
    new: &'a [Item],
    found: &mut [Option<usize>],
    taken: &mut [bool],
    name: impl Fn(&'a Item) -> Option<Name>,
) {
    let mut open: HashMap<Name, std::collections::VecDeque<usize>> = HashMap::new();
    for (index, item) in new.iter().enumerate().filter(|&(index, _)| !taken[index]) {
        if let Some(name) = name(item) {
            open.entry(name).or_default().push_back(index);
        }
    }
    for (index, item) in old.iter().enumerate() {
        if found[index].is_none()
            && let Some(name) = name(item)
            && let Some(place) = open.get_mut(&name).and_then(std::collections::VecDeque::pop_front)
        {
            found[index] = Some(place);
            taken[place] = true;
        }
    }
}

/// Pairs items without an id whose text was changed: between two neighbours that were found, where as many are left
/// on both sides, in order.
fn pair_by_place(old: &[Item], new: &[Item], found: &mut [Option<usize>], taken: &[bool]) {
    let mut gap = 0;
    let mut after = 0;
    for index in 0..=old.len() {
        let anchor = if index == old.len() { Some(new.len()) } else { found[index] };
        let Some(anchor) = anchor else { continue };
        if anchor >= after {
            let left = (gap..index).collect::<Vec<_>>();
            let right = after..anchor;
            let alike = left.len() == right.len()
                && right.clone().all(|place| !taken[place] && new[place].id.is_none())
                && left.iter().all(|&place| old[place].id.is_none());
            if alike {
                for (from, to) in left.into_iter().zip(right) {
                    found[from] = Some(to);
                }
            }
            after = anchor + 1;
        }
        gap = index + 1;
    }
}
