//! Diagnostics of a task list as people see them: the line they are about, marked, and what to do.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::document::{Diagnostic, Document, Severity};

/// How much of a line is shown around the place a diagnostic is about, in bytes.
const NEAR: usize = 400;

/// Renders one diagnostic in the manner of rustc, with colours; whoever prints it takes them out where not wanted.
#[must_use]
pub fn render(path: &str, document: &Document, diagnostic: &Diagnostic, width: usize) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let place: Element<'_> = if diagnostic.span.end == 0 {
        Origin::path(path).into()
    } else {
        let (line, _) = document.position(diagnostic.span.start);
        let (text, start) = around(document, line, diagnostic.span.start);
        // What is marked ends with the line, and is at least one character.
        let len = document.source.get(diagnostic.span.clone()).map_or(0, |span| harmless_line(span).len());
        let one = text[start..].chars().next().map_or(0, char::len_utf8);
        let mut end = (start + len.max(one)).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        Snippet::source(text)
            .path(path)
            .line_start(line)
            .fold(false)
            .annotation(AnnotationKind::Primary.span(start..end))
            .into()
    };
    let mut group: Group<'_> = title.element(place);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    Renderer::styled().term_width(width).render(&[group]) + "\n"
}

/// The line a diagnostic is about as harmless text, cut where it is very long, and where in it `offset` is.
fn around(document: &Document, line: usize, offset: usize) -> (String, usize) {
    let start = document.line_starts[line - 1];
    let end = document.line_starts.get(line).copied().unwrap_or(document.source.len());
    let from = if offset - start > NEAR { offset - NEAR } else { start };
    let to = end.min(offset + NEAR);
    let mut text = harmless_line(&document.source[from..offset]);
    let at = text.len();
    text.push_str(&harmless_line(&document.source[offset..to]));
    (text, at)
}

/// Text of about the same shape, up to the first line end: what is not UTF-8 and what steers a terminal stands as `?`.
fn harmless_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let text = String::from_utf8_lossy(&line[..line.len().min(2 * NEAR)]);
    text.chars()
        .map(|c| if c == '\u{feff}' || c.is_control() && c != '\t' || is_reordering(c) { '?' } else { c })
        .collect()
}

fn is_reordering(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    fn show(source: &[u8], width: usize) -> String {
        let (document, diagnostics) = parse(source, "tasks.md");
        let shown: Vec<_> =
            diagnostics.iter().map(|diagnostic| render("tasks.md", &document, diagnostic, width)).collect();
        anstream::adapter::strip_str(&shown.join("\n")).to_string()
    }

    #[test]
    fn the_place_is_marked_and_the_way_out_named() {
        let list = b"- [ ] 1.1 Add it\n  - **Verify**: all is well\n- [ ] 1.1 Add it again\n  - _Depends: 9.9_\n";
        insta::assert_snapshot!(show(list, 80), @"
        warning[verify-not-executable]: Verify has no command, so nothing but the agent will check this task
         --> tasks.md:2:3
          |
        2 |   - **Verify**: all is well
          |   ^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: put a command in backticks or in a fence, at the beginning of the value

        warning[duplicate-id]: the id 1.1 is taken by line 1 already
         --> tasks.md:3:3
          |
        3 | - [ ] 1.1 Add it again
          |   ^^^^^^^^^^^^^^^^^^^^
          |
          = help: `1.1` means the first; this one is `1.1@3`

        error[unknown-dependency]: there is no task `9.9` to depend on
         --> tasks.md:4:15
          |
        4 |   - _Depends: 9.9_
          |               ^^^
          |
          = help: name a task, a parent or a work package of this list, or take the dependency out
        ");
    }

    #[test]
    fn odd_bytes_do_no_harm() {
        insta::assert_snapshot!(show(b"- [ ] 1.1 \xff\x1b[31mred\x07\n  - **Verify**:\tall is \xe2\x80\xaewell\r\n", 80), @"
        warning[not-utf8]: some bytes of this list are not UTF-8
        --> tasks.md
         = help: they are read as `?` and stay as they are in the file

        warning[verify-not-executable]: Verify has no command, so nothing but the agent will check this task
         --> tasks.md:2:3
          |
        2 |   - **Verify**:    all is ?well
          |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: put a command in backticks or in a fence, at the beginning of the value
        ");
    }

    #[test]
    fn a_long_line_is_cut() {
        let list = format!("- [ ] 1.1 {}x [P] y{}\n", "word ".repeat(500), " word".repeat(500));
        let shown = show(list.as_bytes(), 60);
        assert!(shown.contains("[P]"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
}
