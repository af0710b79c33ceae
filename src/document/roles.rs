//! What each item is taken for, and which item it is a part of.

use super::{Item, Role};
use std::collections::HashMap;

/// What decides roles and is not kept in an item.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// It has a star behind its box.
    pub starred: bool,
    /// It has a field that the contract knows.
    pub has_field: bool,
    /// It says something of its own below its first line.
    pub has_body: bool,
}

/// Adds the parents that ids tell, and sets every role. `signs` are those of the items.
pub(super) fn assign(items: &mut [Item], signs: &[Signs]) {
    link_by_ids(items);
    let with_id = items.iter().filter(|item| item.id.is_some()).count();
    let mostly_ids = with_id > 0 && with_id * 2 >= items.len();
    for (item, signs) in items.iter_mut().zip(signs) {
        let bare = item.id.is_none() && item.markers.is_empty() && !signs.has_field;
        let nested = item.parent.is_some();
        item.role = if item.box_char == '~' {
            Role::Held
        } else if signs.starred {
            Role::Optional
        } else if bare && (mostly_ids || with_id == 0 && nested) {
            Role::Note
        } else {
            Role::Task
        };
    }
    // From the last to the first: whether something below an item is work decides about the item. Where all below it
    // is optional or set aside, an item that says something of its own is work itself: nobody else would do it.
    for index in (0..items.len()).rev() {
        let Some(parent) = items[index].parent else { continue };
        match items[index].role {
            Role::Note => {}
            Role::Optional | Role::Held if signs[parent].has_body => {}
            _ => items[parent].role = Role::Parent,
        }
    }
    // A star on a parent speaks of everything below it.
    let mut optional = vec![false; items.len()];
    for (index, item) in items.iter_mut().enumerate() {
        let inherited = item.parent.is_some_and(|parent| optional[parent]);
        optional[index] = inherited || signs[index].starred;
        if inherited && item.role == Role::Task {
            item.role = Role::Optional;
        }
    }
}

/// `1.1` is a part of the `1.` before it at the same indentation. Longer ids say nothing: `1.3.1` beside `1.3` is the
/// way that fix tasks are written.
fn link_by_ids(items: &mut [Item]) {
    let plain = |item: &Item| item.id.as_deref().is_some_and(|id| !id.contains('.'));
    if !items.iter().any(plain) || items.iter().all(plain) {
        return;
    }
    let mut containers: HashMap<(Option<usize>, usize, String), usize> = HashMap::new();
    for (index, item) in items.iter_mut().enumerate() {
        let Some(id) = &item.id else { continue };
        let stem = id.split_once('.').map(|(stem, _)| super::ids::same(stem).into_owned());
        match stem {
            None => {
                containers.insert((item.parent, item.depth, super::ids::same(id).into_owned()), index);
            }
            Some(_) if item.has_fix_marker() => {}
            Some(stem) => {
                if let Some(&container) = containers.get(&(item.parent, item.depth, stem)) {
                    item.parent = Some(container);
                }
            }
        }
    }
}

impl Item {
    /// Whether it repairs another task (`[FIX 1.3]`), which makes it no part of that one.
    fn has_fix_marker(&self) -> bool {
        self.markers.iter().any(|marker| marker == "FIX" || marker.starts_with("FIX "))
    }
}
