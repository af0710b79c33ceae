//! Which agent and which model carries out a try of a task: its own fields, the flags, the rules of `spec.toml`, its
//! defaults, in that order. Pure.

use crate::document::{Document, Heading, Item};

/// One `[[models]]` of `spec.toml`: what it names must all be so, and then this is what is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// A marker that the task has, without brackets.
    pub marker: Option<String>,
    /// A pattern that a heading above it fits as a whole; `*` is anything, capital letters are as good as small ones.
    pub heading: Option<String>,
    /// It declares at least so many files.
    pub min_files: Option<usize>,
    /// It declares at most so many files.
    pub max_files: Option<usize>,
    /// Its block has at least so many lines.
    pub min_lines: Option<usize>,
    /// Its block has at most so many lines.
    pub max_lines: Option<usize>,
    /// It is at least its so-manieth try.
    pub attempt: Option<u32>,
    /// The agent; without it the default one.
    pub agent: Option<String>,
    /// The model, in the agent's own words; without it the agent's own default.
    pub model: Option<String>,
}

/// What was said about agents and models outside the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// The agent of `--agent` or `SPEC_AGENT`.
    pub asked_agent: Option<String>,
    /// The model of `--model` or `SPEC_MODEL`.
    pub asked_model: Option<String>,
    /// The agent of `spec.toml`.
    pub agent: Option<String>,
    /// The model of `spec.toml`.
    pub model: Option<String>,
    /// `[[models]]`, in their order: the first that fits counts.
    pub rules: Vec<Rule>,
    /// Agents that stand in for one that is out of quota, in their order.
    pub fallback: Vec<String>,
}

/// An agent and a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The agent's name; none where nobody named one, so that the first that is found is taken.
    pub agent: Option<String>,
    /// The model; none for the agent's own default.
    pub model: Option<String>,
}

/// What is used for this try of an item, first choice first; behind it what stands in for it where that agent is out of
/// quota. A task that names its agent waits for it.
///
/// `known` tells agents from other words: in some lists `Agent` is the role of a person.
///
/// A model is said in the words of one agent. So one that was said for another agent than the one that is used is left
/// out: a rule without an agent is for the one of `spec.toml`.
#[must_use]
pub fn choose(
    doc: &Document,
    item: &Item,
    attempt: u32,
    preferences: &Preferences,
    known: impl Fn(&str) -> bool,
) -> Vec<Choice> {
    let task = Task::of(doc, item, attempt);
    let Preferences { asked_agent, asked_model, agent: default, model, rules, fallback } = preferences;
    let of_task = item.fields.agent.as_ref().filter(|name| known(name));
    let fixed = of_task.or(asked_agent.as_ref());
    let rule = |agent: Option<&String>| {
        let of_agent = |rule: &&Rule| match (&rule.agent, agent) {
            (Some(of), Some(agent)) => of == agent,
            (None, Some(agent)) => default.as_ref().is_none_or(|default| default == agent),
            (_, None) => true,
        };
        rules.iter().filter(of_agent).find(|rule| task.fits(rule))
    };
    let found = rule(fixed);
    let agent = fixed.or(found.and_then(|rule| rule.agent.as_ref())).or(default.as_ref());
    let said_for = |of: Option<&String>| of.is_none() || of == agent;
    let model = item
        .fields
        .model
        .as_ref()
        .or(asked_model.as_ref().filter(|_| said_for(asked_agent.as_ref())))
        .or(found.and_then(|rule| rule.model.as_ref()))
        .or(model.as_ref().filter(|_| said_for(default.as_ref())));
    let mut choices = vec![Choice { agent: agent.cloned(), model: model.cloned() }];
    if of_task.is_none() {
        for other in fallback {
            if choices.iter().all(|choice| choice.agent.as_ref() != Some(other)) {
                let own = rules.iter().filter(|rule| rule.agent.as_ref() == Some(other)).find(|rule| task.fits(rule));
                choices.push(Choice { agent: Some(other.clone()), model: own.and_then(|rule| rule.model.clone()) });
            }
        }
    }
    choices
}

/// What rules ask of a task.
struct Task<'a> {
    item: &'a Item,
    headings: Vec<&'a str>,
    lines: usize,
    attempt: u32,
}

impl<'a> Task<'a> {
    fn of(doc: &'a Document, item: &'a Item, attempt: u32) -> Self {
        let block = doc.source.get(item.own.clone()).unwrap_or_default();
        let lines = block.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        Self { item, headings: headings(doc, item), lines, attempt }
    }

    fn fits(&self, rule: &Rule) -> bool {
        let Rule { marker, heading, min_files, max_files, min_lines, max_lines, attempt, agent: _, model: _ } = rule;
        let files = self.item.fields.files.len();
        let within = |n: usize, min: &Option<usize>, max: &Option<usize>| {
            min.is_none_or(|min| n >= min) && max.is_none_or(|max| n <= max)
        };
        marker.as_ref().is_none_or(|marker| self.item.has_marker(marker))
            && heading.as_ref().is_none_or(|pattern| self.headings.iter().any(|heading| is_like(pattern, heading)))
            && within(files, min_files, max_files)
            && within(self.lines, min_lines, max_lines)
            && attempt.is_none_or(|attempt| self.attempt >= attempt)
    }
}

/// The heading that an item stands under, and those that that one stands under.
fn headings<'a>(doc: &'a Document, item: &Item) -> Vec<&'a str> {
    let mut above: Vec<&Heading> = Vec::new();
    for heading in item.heading.and_then(|at| doc.headings.get(..=at)).unwrap_or_default().iter().rev() {
        if above.last().is_none_or(|below| heading.level < below.level) {
            above.push(heading);
        }
    }
    above.into_iter().map(|heading| heading.text.as_str()).collect()
}

/// Whether a text as a whole is what a pattern means, in which `*` is anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.trim().to_lowercase(), text.trim().to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    const LIST: &str = "# Shop
## Phase 1: Make it work
### Database
- [ ] 1.1 Table
  - **Files**: a.sql, b.sql, c.sql
- [ ] 1.2 [VERIFY] Checkpoint
## Phase 2: Polish
- [ ] 2.1 Words
  - **Model**: opus
- [ ] 2.2 Sums
  - **Agent**: codex
- [ ] 2.3 Server
  - **Agent**: backend
";

    fn preferences(rules: &[Rule]) -> Preferences {
        Preferences {
            agent: Some("claude".to_owned()),
            model: Some("sonnet".to_owned()),
            rules: rules.to_vec(),
            ..Preferences::default()
        }
    }

    fn rule(model: &str) -> Rule {
        Rule { model: Some(model.to_owned()), ..Rule::default() }
    }

    fn text<T: From<String>>(text: &str) -> T {
        text.to_owned().into()
    }

    /// `AGENT MODEL`, and so on for the fallbacks.
    fn chosen(id: &str, attempt: u32, preferences: &Preferences) -> String {
        let (doc, _) = document::parse(LIST.as_bytes().to_vec(), "tasks.md");
        let item = doc.items.iter().find(|item| item.id.as_deref() == Some(id)).unwrap();
        let show = |choice: &Choice| {
            format!("{} {}", choice.agent.as_deref().unwrap_or("-"), choice.model.as_deref().unwrap_or("-"))
        };
        choose(&doc, item, attempt, preferences, |name| name != "backend")
            .iter()
            .map(show)
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn a_checkpoint_goes_to_a_cheap_model_and_the_third_try_to_a_strong_one() {
        let rules = [Rule { attempt: Some(3), ..rule("opus") }, Rule { marker: text("verify"), ..rule("haiku") }];
        let preferences = preferences(&rules);
        assert_eq!(chosen("1.2", 1, &preferences), "claude haiku");
        assert_eq!(chosen("1.1", 2, &preferences), "claude sonnet");
        assert_eq!(chosen("1.1", 3, &preferences), "claude opus");
        assert_eq!(chosen("1.2", 4, &preferences), "claude opus", "the first rule that fits");
    }

    #[test]
    fn rules_know_headings_above_files_and_size() {
        let of = |rule: Rule, id: &str| chosen(id, 1, &preferences(&[rule]));
        let heading = |pattern: &str| Rule { heading: text(pattern), ..rule("x") };
        assert_eq!(of(heading("phase 1*"), "1.1"), "claude x", "though it stands under another below it");
        assert_eq!(of(heading("Database"), "1.1"), "claude x");
        assert_eq!(of(heading("Data"), "1.1"), "claude sonnet");
        assert_eq!(of(heading("phase 1*"), "2.1"), "claude opus");
        assert_eq!(of(heading("*Polish"), "2.2"), "codex -", "a model that was said for claude");
        assert_eq!(of(Rule { min_files: Some(3), ..rule("x") }, "1.1"), "claude x");
        assert_eq!(of(Rule { max_files: Some(2), ..rule("x") }, "1.1"), "claude sonnet");
        assert_eq!(of(Rule { min_lines: Some(2), max_lines: Some(2), ..rule("x") }, "1.1"), "claude x");
        assert_eq!(of(Rule { max_lines: Some(1), ..rule("x") }, "1.2"), "claude x");
        assert_eq!(
            of(Rule { min_files: Some(3), marker: text("P"), ..rule("x") }, "1.1"),
            "claude sonnet",
            "all of it"
        );
    }

    #[test]
    fn what_the_task_says_beats_what_was_asked_for_and_that_the_rules() {
        let rules = [Rule { agent: text("gemini"), ..rule("flash") }];
        let file = preferences(&rules);
        assert_eq!(chosen("1.1", 1, &file), "gemini flash");
        assert_eq!(chosen("2.2", 1, &file), "codex -");
        assert_eq!(chosen("2.1", 1, &file), "gemini opus", "the task's word for its model counts");
        let asked = Preferences { asked_agent: text("codex"), ..file.clone() };
        assert_eq!(chosen("1.1", 1, &asked), "codex -", "rules and defaults for others are not for it");
        let asked = Preferences { asked_agent: text("gemini"), ..file.clone() };
        assert_eq!(chosen("1.1", 1, &asked), "gemini flash");
        let asked = Preferences { asked_model: text("pro"), ..file.clone() };
        assert_eq!(chosen("1.1", 1, &asked), "gemini pro");
        let asked = Preferences { asked_agent: text("claude"), asked_model: text("opus"), ..file };
        assert_eq!(chosen("1.1", 1, &asked), "claude opus");
        assert_eq!(chosen("2.2", 1, &asked), "codex -", "the flag's model was said for the flag's agent");
    }

    #[test]
    fn a_role_that_is_no_agent_says_nothing() {
        assert_eq!(chosen("2.3", 1, &preferences(&[])), "claude sonnet");
    }

    #[test]
    fn fallbacks_stand_behind_with_models_of_their_own() {
        let rules = [
            Rule { marker: text("VERIFY"), ..rule("haiku") },
            Rule { marker: text("VERIFY"), agent: text("gemini"), ..rule("flash") },
        ];
        let preferences =
            Preferences { fallback: ["codex", "claude", "gemini"].map(str::to_owned).to_vec(), ..preferences(&rules) };
        assert_eq!(chosen("1.2", 1, &preferences), "claude haiku, codex -, gemini flash");
        assert_eq!(chosen("1.1", 1, &preferences), "claude sonnet, codex -, gemini -");
        assert_eq!(chosen("2.2", 1, &preferences), "codex -", "it waits for the agent that it names");
    }

    #[test]
    fn without_a_word_the_first_that_is_found_is_taken() {
        assert_eq!(chosen("1.1", 1, &Preferences::default()), "- -");
        let rules = Preferences { rules: vec![rule("x")], ..Preferences::default() };
        assert_eq!(chosen("1.1", 1, &rules), "- x");
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            ("a**c", "abc", true),
            ("A C", "a c", true),
            ("a", "ab", false),
            ("*ab*ab", "ab", false),
        ] {
            assert_eq!(is_like(pattern, text), fits, "{pattern} {text}");
        }
    }
}
