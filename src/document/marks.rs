//! Marks as they are written: `[P]`, `(P)`, `[verify]`. What they mean is read in `head`; here is how a list writes them,
//! and which of them are written in another way than that.

use super::{Diagnostic, Dialect, Severity, codes};
use std::borrow::Cow;
use std::ops::Range;

/// How a list writes that a task is parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParallelMark {
    /// The mark, brackets and all.
    pub text: &'static str,
    /// Where it stands.
    pub place: Place,
}

impl Default for ParallelMark {
    fn default() -> Self {
        Self { text: SPELLINGS[0], place: Place::BehindId }
    }
}

/// Where a mark stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Right behind the id; where there is none, at the beginning.
    BehindId,
    /// Before the id.
    BeforeId,
    /// At the end of the line.
    EndOfLine,
}

/// The ways to write it, of which the first is the common one.
const SPELLINGS: [&str; 6] = ["[P]", "(P)", "[[P]]", "(∥)", "[∥]", "[PARALLEL]"];

/// A mark of a list.
pub(super) struct Mark {
    pub at: Range<usize>,
    pub means: Means,
    pub place: Place,
}

/// What a mark says, as far as it has a spelling of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Parallel,
    /// The same on a task that runs alone all the same.
    ParallelInVain,
    /// `[VERIFY]` or `[SEQUENTIAL]`.
    Alone,
}

/// The habit of a list: what the tool of its dialect reads, else what most marks of the list look like.
pub(super) fn habit(dialect: Dialect, marks: &[Mark], text: &str) -> ParallelMark {
    let parallel = || marks.iter().filter(|mark| mark.means != Means::Alone);
    let most = |count: &dyn Fn(usize) -> usize, of: usize| {
        // The first of the most: `max_by_key` gives the last.
        (0..of).rev().max_by_key(|&choice| count(choice)).filter(|&choice| count(choice) > 0)
    };
    let written =
        most(&|choice| parallel().filter(|mark| &text[mark.at.clone()] == SPELLINGS[choice]).count(), SPELLINGS.len());
    let text = match (dialect, written) {
        (Dialect::Ralph | Dialect::Speckit | Dialect::Speckitty, _) => SPELLINGS[0],
        (_, Some(written)) => SPELLINGS[written],
        (Dialect::Kiro, None) => "(P)",
        (_, None) => SPELLINGS[0],
    };
    let places = [Place::BehindId, Place::BeforeId, Place::EndOfLine];
    let place = most(&|choice| parallel().filter(|mark| mark.place == places[choice]).count(), places.len());
    ParallelMark { text, place: place.map_or(Place::BehindId, |choice| places[choice]) }
}

/// Says which marks are written in another way than the list has them.
pub(super) fn describe(habit: ParallelMark, marks: &[Mark], text: &str, diagnostics: &mut Vec<Diagnostic>) {
    // A mark in vain is to go, not to be written in another way.
    for mark in marks.iter().filter(|mark| mark.means != Means::ParallelInVain) {
        let written = &text[mark.at.clone()];
        let spelled = spelled(habit, written);
        if spelled != written {
            diagnostics.push(Diagnostic {
                severity: Severity::Info,
                code: codes::MARKER_SPELLING,
                message: format!("`{written}` is read as `{spelled}`, which is how this list or its tool writes it"),
                span: mark.at.clone(),
                help: Some(format!("write `{spelled}`, or have it written with `spec check --fix`")),
            });
        }
    }
}

/// A mark as the list would write it.
pub(super) fn spelled(habit: ParallelMark, written: &str) -> Cow<'static, str> {
    let inside = written.trim_matches(['[', ']']).trim();
    let (name, rest) = inside.split_once(':').map_or((inside, ""), |(name, _)| (name, &inside[name.len()..]));
    let name = name.trim();
    if is_alone(name) { format!("[{}{rest}]", name.to_ascii_uppercase()).into() } else { habit.text.into() }
}

/// Whether a mark makes its task run alone.
pub(super) fn is_alone(name: &str) -> bool {
    ["VERIFY", "SEQUENTIAL"].iter().any(|alone| name.eq_ignore_ascii_case(alone))
}
