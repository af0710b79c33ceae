//! Which excerpts of the spec's pages go in. Pages that fit go in whole; otherwise the sections that the tasks of the
//! group name come first, then the rest in order. The choice does not look at the one task, so that siblings share it.

use std::fmt::Write as _;

use super::tokens;
use crate::engine::output::Report;

/// A page of the spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its path, as seen from the root of the tree.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What tasks name of the pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Of their `Requirements` fields: `FR-2`, `1.3`.
    pub requirements: Vec<String>,
    /// Of their `Design` fields: names of sections.
    pub design: Vec<String>,
}

/// A section of a page: a heading and its own text, up to the next heading.
struct Section<'a> {
    page: usize,
    /// Level and text of its heading; none for what stands before the first.
    heading: Option<(usize, &'a str)>,
    text: &'a str,
    rank: Rank,
}

/// Who goes in first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Its heading, or that of a section around it, is named.
    Named,
    /// What is named stands in it.
    Mentions,
    Rest,
}

/// The sections that go in.
pub(super) struct Chosen<'a> {
    pages: &'a [Page],
    sections: Vec<Section<'a>>,
    /// How much of each goes in, in bytes.
    taken: Vec<usize>,
    /// Those of which something goes in, who was taken last comes last.
    order: Vec<usize>,
}

/// Chooses, up to so many tokens.
pub(super) fn choose<'a>(pages: &'a [Page], references: &References, most: usize) -> Chosen<'a> {
    /// A beginning that is shorter than this is of no use.
    const LEAST: usize = 100;
    let mut sections: Vec<Section<'a>> = Vec::new();
    for (at, page) in pages.iter().enumerate() {
        sections.extend(split(&page.text).into_iter().map(|(heading, text)| Section {
            page: at,
            heading,
            text,
            rank: Rank::Rest,
        }));
    }
    rank(&mut sections, references);
    let mut by_rank: Vec<usize> = (0..sections.len()).collect();
    by_rank.sort_by_key(|at| (sections[*at].rank, *at));
    let mut chosen = Chosen { pages, taken: vec![0; sections.len()], sections, order: Vec::new() };
    let mut left = most;
    for at in by_rank {
        let text = chosen.sections[at].text;
        let size = tokens(text);
        if size <= left {
            left -= size;
            chosen.taken[at] = text.len();
            chosen.order.push(at);
            continue;
        }
        // The first that does not fit fills up what is left; none of less weight overtakes it.
        if left >= LEAST {
            chosen.taken[at] = beginning(text, left);
            chosen.order.push(at);
        }
        break;
    }
    chosen
}

impl Chosen<'_> {
    /// Leaves out what was taken last; false where nothing is left.
    pub(super) fn cut(&mut self) -> bool {
        let Some(last) = self.order.pop() else { return false };
        self.taken[last] = 0;
        true
    }

    /// The excerpts, and what is not in them.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (at, page) in self.pages.iter().enumerate() {
            let mut excerpt = String::new();
            let mut gap = false;
            for (section, taken) in self.sections.iter().zip(&self.taken).filter(|(section, _)| section.page == at) {
                if *taken > 0 {
                    if gap {
                        excerpt += "[...]\n\n";
                    }
                    for line in section.text[..*taken].split_inclusive('\n') {
                        excerpt += if is_signal(line) { "    " } else { "" };
                        excerpt += line;
                    }
                }
                gap = *taken < section.text.len();
            }
            if excerpt.is_empty() {
                continue;
            }
            let more = if gap { "\n\n[...]" } else { "" };
            write!(text, "<page file=\"{}\">\n{}{more}\n</page>\n\n", page.name, excerpt.trim_end()).ok();
        }
        if text.is_empty() && self.pages.is_empty() {
            return text;
        }
        let mut about =
            "\n# The spec\n\nWhat its pages say, as material for your task; the task's own words count for more.\n\n"
                .to_owned();
        let left_out = self.left_out();
        if !left_out.is_empty() {
            about = format!("{about}Left out for length: {}. Read there what you need.\n\n", left_out.join(", "));
        }
        about + &text
    }

    /// The pages that are not there, or not all of them.
    pub(super) fn left_out(&self) -> Vec<String> {
        let of_page = |at: usize| self.sections.iter().zip(&self.taken).filter(move |(section, _)| section.page == at);
        let mut out = Vec::new();
        for (at, page) in self.pages.iter().enumerate() {
            if of_page(at).all(|(_, taken)| *taken == 0) {
                out.push(format!("`{}`", page.name));
            } else if of_page(at).any(|(section, taken)| *taken < section.text.len()) {
                out.push(format!("parts of `{}`", page.name));
            }
        }
        out
    }
}

/// Whether an executor that repeats its prompt would say something by this line: indented, it is only a quote.
fn is_signal(line: &str) -> bool {
    let may_be = ["TASK_", "TASK ", "VERIFICATION_", "NO_CHANGE"].iter().any(|word| line.contains(word));
    may_be && Report::read(line) != Report::default()
}

/// The whole lines of a text's beginning that are so many tokens at most, as a number of bytes.
fn beginning(text: &str, most: usize) -> usize {
    let mut end = 0;
    let mut left = most;
    for line in text.split_inclusive('\n') {
        let size = tokens(line);
        if size > left {
            break;
        }
        left -= size;
        end += line.len();
    }
    end
}

/// A text by its headings (outside of fences), each with what stands below it up to the next.
fn split(text: &str) -> Vec<(Option<(usize, &str)>, &str)> {
    let mut sections = Vec::new();
    let mut fence: Option<&str> = None;
    let (mut start, mut at, mut heading) = (0, 0, None);
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let mark = ["```", "~~~"].into_iter().find(|mark| bare.starts_with(mark));
        match (fence, mark) {
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, Some(mark)) => fence = Some(mark),
            (None, None) => {
                if let Some(found) = heading_of(line) {
                    if at > start {
                        sections.push((heading, &text[start..at]));
                    }
                    (start, heading) = (at, Some(found));
                }
            }
            _ => {}
        }
        at += line.len();
    }
    if at > start {
        sections.push((heading, &text[start..at]));
    }
    sections
}

fn heading_of(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    ((1..=6).contains(&level) && text.starts_with([' ', '\t'])).then(|| (level, text.trim()))
}

fn rank(sections: &mut [Section<'_>], references: &References) {
    // The level of the named heading that the sections are below, page by page.
    let mut inside: Option<(usize, usize)> = None;
    for section in sections {
        if inside
            .is_some_and(|(page, level)| page != section.page || section.heading.is_some_and(|(own, _)| own <= level))
        {
            inside = None;
        }
        let named = section.heading.is_some_and(|(_, heading)| {
            references.requirements.iter().any(|wanted| heading_is(heading, wanted))
                || references.design.iter().any(|wanted| title_is(heading, wanted) || heading_is(heading, wanted))
        });
        if let (true, None, Some((level, _))) = (named, inside, section.heading) {
            inside = Some((section.page, level));
        }
        section.rank = if inside.is_some() {
            Rank::Named
        } else if references.requirements.iter().any(|wanted| is_code(wanted) && says(section.text, wanted)) {
            Rank::Mentions
        } else {
            Rank::Rest
        };
    }
}

/// Whether a reference is a code (`FR-2`, `AC-1.1`), that is found wherever it stands. `1.2` is none: it is anything.
fn is_code(wanted: &str) -> bool {
    wanted.contains(|c: char| c.is_ascii_digit()) && wanted.starts_with(char::is_alphabetic) && !wanted.contains(' ')
}

/// Whether a heading is that of a requirement: has its code, begins with its number, or is that of the requirement that
/// the criterion is of (`1.2` is of `Requirement 1`).
fn heading_is(heading: &str, wanted: &str) -> bool {
    let wanted = wanted.trim();
    if is_code(wanted) {
        return says(heading, wanted);
    }
    if !wanted.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let number = wanted.split('.').next().unwrap_or_default();
    let begins = |text: &str, number: &str| {
        text.strip_prefix(number).is_some_and(|rest| {
            let rest = rest.strip_prefix(['.', ':', ')']).unwrap_or(rest);
            rest.is_empty() || rest.starts_with(char::is_whitespace)
        })
    };
    let word = heading.split([' ', '-']).next().unwrap_or_default().to_lowercase();
    let of_word = ["requirement", "req", "story", "us"].contains(&word.as_str())
        && begins(heading[word.len().min(heading.len())..].trim_start_matches([' ', '-']), number);
    begins(heading, wanted) || of_word
}

/// Whether a heading is what a `Design` field names.
fn title_is(heading: &str, wanted: &str) -> bool {
    /// Shorter ones are in too much else.
    const LEAST: usize = 4;
    let (heading, wanted) = (heading.to_lowercase(), wanted.trim().to_lowercase());
    wanted.len() >= LEAST && heading.contains(&wanted) || heading.len() >= LEAST && wanted.contains(&heading)
}

/// Whether a code stands in a text as a word of its own: `FR-1` is neither in `FR-12` nor in `NFR-1` or `FR-1.2`.
fn says(text: &str, code: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let lower = text.to_ascii_lowercase();
    lower.match_indices(&code.to_ascii_lowercase()).any(|(at, found)| {
        let before = lower[..at].chars().next_back();
        let mut after = lower[at + found.len()..].chars();
        let goes_on = match after.next() {
            Some('.' | '-') => after.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => inside(c),
            None => false,
        };
        !goes_on && before.is_none_or(|c| !inside(c))
    })
}

/// What of a progress file is for all tasks and stays as it is while they run: goals, decisions and the like. What is
/// done, what is next and what was learned changes with every task; learnings come by their own way.
#[must_use]
pub fn progress_page(text: &str) -> String {
    let body = text.trim_start_matches('\u{feff}');
    let body = body.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(body, |(_, body)| body);
    let mut kept = String::new();
    let mut says_something = false;
    let mut leave: Option<usize> = None;
    for (heading, text) in split(body) {
        let level = heading.map_or(1, |(level, _)| level);
        if leave.is_some_and(|above| level > above) {
            continue;
        }
        let title = heading.map_or(String::new(), |(_, title)| title.to_lowercase());
        let changes = title.starts_with("completed")
            || matches!(title.as_str(), "current task" | "next")
            || title.contains("learning")
            || title.contains("lessons");
        leave = changes.then_some(level);
        if !changes {
            kept += text;
            says_something |= text.lines().skip(usize::from(heading.is_some())).any(|line| !line.trim().is_empty());
        }
    }
    if says_something { kept } else { String::new() }
}
