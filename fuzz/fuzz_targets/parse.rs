//! Parsing never panics, and what it hands out lies inside the source.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::document::parse;

fuzz_target!(|bytes: &[u8]| {
    let (document, diagnostics) = parse(bytes, "tasks.md");
    let end = document.source.len();
    assert_eq!(&*document.source, bytes);
    for (index, item) in document.items.iter().enumerate() {
        assert!(item.block.start <= item.block.end && item.block.end <= end);
        assert!(item.own.start <= item.own.end && item.own.end <= end);
        assert!(item.parent.is_none_or(|parent| parent < index));
        assert!(item.fields.all.iter().all(|field| field.value.start <= field.value.end && field.value.end <= end));
        assert!(item.fields.depends.iter().flat_map(|on| &on.items).all(|&on| on < document.items.len()));
        assert!(document.select(&document.label(index)).is_some());
        let _key = document.key(index);
    }
    for diagnostic in &diagnostics {
        assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end <= end);
        let _shown = spec::report::diagnostics::render("tasks.md", &document, diagnostic, 80);
    }
    assert!(document.rematch(&document).into_iter().enumerate().all(|(old, new)| new == Some(old)));
});
