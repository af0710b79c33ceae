//! Which tool a list was written for. It settles defaults only: features are found per item.

use super::scan::Scan;
use super::{Dialect, Heading, Item};

/// Parts of a path that leave no doubt.
const PATHS: &[(&str, Dialect)] = &[
    (".kiro/", Dialect::Kiro),
    ("openspec/", Dialect::Openspec),
    (".spec-workflow/", Dialect::Specworkflow),
    (".claude/specs/", Dialect::Specworkflow),
    ("kitty-specs/", Dialect::Speckitty),
    ("agent-os/", Dialect::Agentos),
    ("conductor/", Dialect::Conductor),
];

/// Tells the dialect by path, else by what the list holds, strongest signal first.
pub(super) fn detect(path: &str, scan: &Scan<'_>, items: &[Item], headings: &[Heading]) -> Dialect {
    let path = path.replace('\\', "/");
    if let Some((_, dialect)) = PATHS.iter().find(|(part, _)| path.contains(part)) {
        return *dialect;
    }
    let front = &scan.text[scan.front_matter.clone()];
    let has = |name: &str| items.iter().any(|item| item.fields.all.iter().any(|field| field.name == name));
    if has("Do") && (has("Verify") || has("Done when"))
        || items.iter().any(Item::is_verify)
        || front.contains("phase: tasks") && front.contains("spec:")
    {
        return Dialect::Ralph;
    }
    let spec_kit = |item: &&Item| {
        let digits = item.id.as_deref().and_then(|id| id.strip_prefix('T'));
        digits.is_some_and(|digits| digits.len() >= 3 && digits.bytes().take(3).all(|byte| byte.is_ascii_digit()))
    };
    if items.iter().filter(spec_kit).take(2).count() == 2 {
        let package = |heading: &Heading| heading.text.contains("WP0") || heading.text.contains("WP1");
        return if headings.iter().any(package) { Dialect::Speckitty } else { Dialect::Speckit };
    }
    if has("Leverage") || has("Prompt") {
        return Dialect::Specworkflow;
    }
    let numbered = items.iter().any(|item| item.id.is_some());
    if numbered
        && (has("Requirements") || has("Boundary") || items.iter().any(|item| item.role == super::Role::Optional))
    {
        return Dialect::Kiro;
    }
    if items.iter().any(|item| item.text.contains("(AC: ") || item.text.contains("Subtask ")) {
        return Dialect::Bmad;
    }
    if numbered && sections_number_their_tasks(items, headings) {
        return Dialect::Openspec;
    }
    Dialect::Plain
}

/// `## 2. Section` with `2.1`, `2.2` below it.
fn sections_number_their_tasks(items: &[Item], headings: &[Heading]) -> bool {
    let mut matching = items.iter().filter(|item| {
        let section =
            item.heading.and_then(|heading| headings[heading].text.split_once(". ")).map(|(number, _)| number);
        let first = item.id.as_deref().and_then(|id| id.split_once('.')).map(|(number, _)| number);
        section.is_some() && section == first
    });
    matching.nth(1).is_some()
}
