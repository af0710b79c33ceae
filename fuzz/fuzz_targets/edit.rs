//! A tick changes one byte and one item; it can be taken back; an insertion leaves all other bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::document::{Proposed, Spot, Tick, apply, parse};

fuzz_target!(|bytes: &[u8]| {
    let (document, _) = parse(bytes, "tasks.md");
    for index in (0..document.items.len()).take(8) {
        let new = Proposed::read("- [ ] 9.9 new\n  - **Verify**: `true`").expect("a task");
        for spot in [Spot::Before(index), Spot::Behind(index), Spot::Below(index)] {
            let Ok(insertion) = document.insert(spot, index, std::slice::from_ref(&new), "tasks.md") else { continue };
            let (edit, inserted) = (insertion.edit, &insertion.document.source);
            let behind = edit.at.start + edit.with.len();
            assert_eq!((&inserted[..edit.at.start], &inserted[behind..]), bytes.split_at(edit.at.start));
        }

        let Some(edit) = document.tick(index) else { continue };
        let replaced = matches!(document.items[index].tick_at, Tick::Replace(_));
        let ticked = apply(bytes, &[edit]);
        assert!(!replaced || ticked.iter().zip(bytes).filter(|(new, old)| new != old).count() == 1);
        let (after, _) = parse(ticked, "tasks.md");
        assert_eq!(after.items.len(), document.items.len());
        for (place, (old, new)) in document.items.iter().zip(&after.items).enumerate() {
            assert_eq!(new.checked, old.checked || place == index);
            assert_eq!((old.line, old.depth, &old.text, &old.id), (new.line, new.depth, &new.text, &new.id));
        }
        if replaced && document.items[index].box_char == ' ' && bytes[document_tick(&document, index)] == b' ' {
            assert_eq!(apply(&after.source, &[after.untick(index).expect("it is ticked")]), bytes);
        }
    }
});

fn document_tick(document: &spec::document::Document, index: usize) -> usize {
    match document.items[index].tick_at {
        Tick::Replace(at) | Tick::Insert(at) => at,
    }
}
