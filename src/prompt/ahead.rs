//! Briefs that are written ahead: which tasks get one, from what, and whether one still holds. Pure; `runtime::ahead` has
//! them written while other tasks run.

use std::fmt::Write as _;

use crate::text::first;

/// So much of an answer is kept, in bytes.
const MOST: usize = 8 * 1024;

/// What a brief is made from. Where anything of it is another, so is its [`digest`](Self::digest), and the brief is worth
/// nothing any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The task's block as it is written.
    pub block: String,
    /// The files it names and what is in them; none where there is no such file.
    pub files: Vec<(String, Option<Vec<u8>>)>,
    /// The pages of the spec.
    pub pages: Vec<(String, String)>,
}

impl Sources {
    /// Tells these sources from others.
    #[must_use]
    pub fn digest(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        let mut add = |bytes: &[u8]| {
            sum.update(&bytes.len().to_le_bytes());
            sum.update(bytes);
        };
        add(self.block.as_bytes());
        for (name, content) in &self.files {
            add(name.as_bytes());
            add(&[u8::from(content.is_some())]);
            add(content.as_deref().unwrap_or_default());
        }
        add(&[]);
        for (name, text) in &self.pages {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        sum.finalize()
    }

    /// What whoever writes the brief is told.
    #[must_use]
    pub fn words(&self, list: &str, task: &str) -> String {
        let mut text = format!(
            "Somebody else will carry out task {task} of {list} soon. Look at the code in the current folder, change nothing, \
             and answer with a brief for them of at most 40 lines: where in the code it belongs, what there can be used, what \
             is easily overlooked, how it can be checked. No plan and no code of your own, no questions: nobody is there to \
             answer. Your answer is all that is kept.\n\n\
             The task:\n\n{}\n",
            self.block.trim_end()
        );
        if !self.files.is_empty() {
            text += "\nIt names these files:\n\n";
            for (name, content) in &self.files {
                let there = if content.is_some() { "" } else { " (not there yet)" };
                writeln!(text, "- {name}{there}").ok();
            }
        }
        text
    }
}

/// What is known of a task that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no brief.
    Open,
    /// One is being written.
    UnderWay,
    /// It has one, or gets none.
    Settled,
}

/// Of the tasks that wait, in order, those that get a brief now: one of the next `max`, and never more than that at once.
pub fn next<T>(waiting: impl IntoIterator<Item = (T, State)>, max: usize, under_way: usize) -> Vec<T> {
    let soon = waiting.into_iter().take(max);
    let open = soon.filter(|(_, state)| *state == State::Open).map(|(task, _)| task);
    open.take(max.saturating_sub(under_way)).collect()
}

/// The brief in an answer; none where it is empty.
#[must_use]
pub fn brief(answer: &str) -> Option<String> {
    let text = answer.trim();
    let kept = first(text, MOST);
    let whole = if kept.len() < text.len() { kept.rsplit_once('\n').map_or(kept, |(whole, _)| whole) } else { kept };
    (!whole.is_empty()).then(|| whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_tasks_get_a_brief_and_never_more_than_the_limit_at_once() {
        use State::{Open, Settled, UnderWay};
        assert_eq!(next([(1, Open), (2, Open), (3, Open), (4, Open)], 3, 0), [1, 2, 3]);
        assert_eq!(next([(1, Settled), (2, UnderWay), (3, Open), (4, Open)], 3, 1), [3], "4 is not one of the next");
        assert_eq!(next([(1, Open), (2, Open)], 3, 2), [1], "two of tasks that have begun are still being written");
        assert_eq!(next([(1, Open)], 0, 0), [0; 0]);
    }

    #[test]
    fn a_brief_holds_as_long_as_its_sources_are_the_same() {
        let text = |text: &str| text.to_owned();
        let sources = Sources {
            block: text("- [ ] 1.1 Do it\n"),
            files: vec![(text("a"), Some(b"x".to_vec())), (text("b"), None)],
            pages: vec![(text("design.md"), text("how"))],
        };
        let other = |change: fn(&mut Sources)| {
            let mut other = sources.clone();
            change(&mut other);
            other.digest()
        };
        assert_eq!(other(|_| ()), sources.digest());
        for changed in [
            other(|it| it.block += "more"),
            other(|it| it.files[0].1 = Some(b"y".to_vec())),
            other(|it| it.files[1].1 = Some(Vec::new())),
            other(|it| it.files[0].1 = None),
            other(|it| it.pages[0].1 += "!"),
            other(|it| it.pages.clear()),
        ] {
            assert_ne!(changed, sources.digest());
        }
        let words = sources.words("tasks.md", "1.1");
        assert!(words.contains("- [ ] 1.1 Do it\n\nIt names these files:\n\n- a\n- b (not there yet)\n"), "{words}");
    }

    #[test]
    fn a_brief_is_cut_at_a_line() {
        assert_eq!(brief(" \n"), None);
        assert_eq!(brief("\n use x\n- y \n").as_deref(), Some("use x\n- y"));
        let long = "é line\n".repeat(3000);
        let cut = brief(&long).unwrap();
        assert!(cut.len() <= MOST && cut.ends_with("é line"));
    }
}
