//! Commands in the values of Verify and Run: fences of the shell, and code spans that stand where a command stands.

use super::scan::{Code, Language};
use super::{Command, pattern};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// Words that may stand before a command, and between two.
const CONNECTORS: &[&str] = &["and", "then", "run"];

/// Words behind which a fence without a language is what a command prints.
const ANNOUNCE_OUTPUT: &[&str] =
    &["returns", "shows", "prints", "is", "expect", "expected", "output", "outputs", "->", "→"];

/// The commands in a value, in order. `code` are the code blocks of the document that may lie in it.
pub(super) fn read(text: &str, value: &Range<usize>, code: &[Code]) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut at = value.start;
    let first = code.partition_point(|block| block.range.start < value.start);
    for block in code[first..].iter().take_while(|block| block.range.start < value.end) {
        prose(text, at..block.range.start.max(at), &mut commands);
        if is_script(block.language, &text[at.min(block.range.start)..block.range.start]) {
            let script = script(text, block);
            if has_command(&script) {
                commands.push(Command { script, span: block.range.clone() });
            }
        }
        at = block.range.end.min(value.end).max(at);
    }
    prose(text, at..value.end, &mut commands);
    commands
}

fn is_script(language: Language, before: &str) -> bool {
    match language {
        Language::Shell | Language::Console => true,
        Language::None => {
            let last = before.trim_end().trim_end_matches([':', '：', '*', '-']).split_whitespace().next_back();
            !last.is_some_and(|word| {
                ANNOUNCE_OUTPUT.contains(&word.trim_matches(['(', ')', '`']).to_lowercase().as_str())
            })
        }
        Language::Indented | Language::Other => false,
    }
}

/// The text of a fence without its fence lines and its indentation.
fn script(text: &str, block: &Code) -> String {
    let start = text[..block.range.start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let column = columns(&text[start..block.range.start]);
    let fence = text[block.range.start..].chars().next().unwrap_or('`');
    let mut lines: Vec<&str> = text[block.range.clone()].lines().skip(1).collect();
    let closes = |line: &&str| {
        let line = line.trim();
        line.len() >= 3 && line.chars().all(|c| c == fence)
    };
    if lines.last().is_some_and(closes) {
        lines.pop();
    }
    let lines: Vec<&str> = lines.into_iter().map(|line| cut_columns(line, column)).collect();
    let prompts =
        matches!(block.language, Language::Console | Language::None) && lines.iter().any(|line| line.starts_with("$ "));
    if prompts {
        // A session: what is typed stands behind the prompt, the rest is what was printed.
        return lines.iter().filter_map(|line| line.strip_prefix("$ ")).collect::<Vec<_>>().join("\n");
    }
    lines.join("\n").trim_end().to_owned()
}

fn has_command(script: &str) -> bool {
    script.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

/// The width of what stands before a fence; a tab goes to the next multiple of four.
fn columns(before: &str) -> usize {
    before.chars().fold(0, |column, c| if c == '\t' { column / 4 * 4 + 4 } else { column + 1 })
}

/// A line without its first columns, as far as they are blank.
fn cut_columns(line: &str, columns: usize) -> &str {
    let mut column = 0;
    for (at, c) in line.char_indices() {
        match c {
            _ if column >= columns => return &line[at..],
            ' ' => column += 1,
            '\t' => column = column / 4 * 4 + 4,
            _ => return &line[at..],
        }
    }
    ""
}

/// Takes the commands out of prose: bullet by bullet, paragraph by paragraph.
fn prose(text: &str, range: Range<usize>, commands: &mut Vec<Command>) {
    let mut chunk: Option<Range<usize>> = None;
    let mut at = range.start;
    for line in text[range].split_inclusive('\n') {
        let body = line.trim();
        let begin = at + line.len() - line.trim_start().len();
        let bullet = bullet(body);
        if bullet > 0 || body.is_empty() {
            spans(text, chunk.take(), commands);
        }
        if !body.is_empty() {
            let end = begin + body.len();
            match &mut chunk {
                Some(chunk) => chunk.end = end,
                None => chunk = Some(begin + bullet..end),
            }
        }
        at += line.len();
    }
    spans(text, chunk, commands);
}

/// The bytes of a list marker and the blanks behind it.
pub(super) fn bullet(line: &str) -> usize {
    let bytes = line.as_bytes();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let marker = match bytes.get(digits) {
        Some(b'-' | b'*' | b'+') if digits == 0 => 1,
        Some(b'.' | b')') if (1..=9).contains(&digits) => digits + 1,
        _ => return 0,
    };
    let blanks = bytes[marker..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if blanks > 0 { marker + blanks } else { 0 }
}

/// Takes the code spans that are commands: one at the beginning, and what follows it behind connectors only.
fn spans(text: &str, chunk: Option<Range<usize>>, commands: &mut Vec<Command>) {
    let Some(chunk) = chunk else { return };
    let mut at = chunk.start;
    let mut first = true;
    while let Some(next) = text[at..chunk.end].find('`').map(|offset| at + offset) {
        let between = &text[at..next];
        let connected = first || between.contains('\n') || !between.trim().is_empty();
        if !connected || !only_connectors(between) {
            return;
        }
        let Some(span) = code_span(&text[next..chunk.end]) else { return };
        let script = span_text(&text[next + span.inside.start..next + span.inside.end]);
        if !script.is_empty() {
            commands.push(Command { script, span: next..next + span.len });
        }
        at = next + span.len;
        first = false;
    }
}

fn only_connectors(between: &str) -> bool {
    between
        .split(|c: char| c.is_whitespace() || "+;,*_".contains(c))
        .filter(|word| !word.is_empty())
        .all(|word| word == "&&" || CONNECTORS.iter().any(|connector| word.eq_ignore_ascii_case(connector)))
}

/// A code span at the beginning of a text.
pub(super) struct CodeSpan {
    pub len: usize,
    pub inside: Range<usize>,
}

/// The code span that a text begins with: a run of backticks up to the next run as long.
pub(super) fn code_span(text: &str) -> Option<CodeSpan> {
    let ticks = text.bytes().take_while(|&byte| byte == b'`').count();
    if ticks == 0 {
        return None;
    }
    let mut at = ticks;
    while let Some(next) = text[at..].find('`').map(|offset| at + offset) {
        let run = text[next..].bytes().take_while(|&byte| byte == b'`').count();
        if run == ticks {
            return Some(CodeSpan { len: next + run, inside: ticks..next });
        }
        at = next + run;
    }
    None
}

/// What a code span says: a line end is a blank, unless it is escaped as the shell does it.
fn span_text(inside: &str) -> String {
    let mut script = String::with_capacity(inside.len());
    for (number, line) in inside.lines().enumerate() {
        if number > 0 {
            script.push(if script.ends_with('\\') { '\n' } else { ' ' });
        }
        script.push_str(if number > 0 { line.trim_start() } else { line });
    }
    script.trim().to_owned()
}

/// Whether a script throws a result away at the end of a pipe (`cargo test | tail -5`).
pub(super) fn is_piped(script: &str) -> bool {
    const SINKS: &[&str] = &["tail", "head", "tee", "cat", "less", "more"];
    script
        .split("||")
        .flat_map(|part| part.split('|').skip(1))
        .any(|member| member.split_whitespace().next().is_some_and(|word| SINKS.contains(&word)))
}

/// A script that ends at the first command that fails.
static SET_E: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^[ \t]*set +-(?:[a-z]*e|o +errexit)"));
/// What a compound command begins and ends with, on lines of their own.
static BEGINS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:if|for|while|until|case|select) |[{(]$"));
static ENDS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[})]|(?:^|[; ])(?:fi|done|esac)(?:$|[^a-z])"));
/// A line that the next one belongs to.
static GOES_ON: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:\\|&&|\|)$"));

/// Whether a script has several commands of which only the last one's failure is seen. What spans lines (a compound
/// command) is one; a script with a here-document or an open quote is left alone.
pub(super) fn hides_failures(script: &str) -> bool {
    if !script.contains('\n') || script.contains("<<") || SET_E.is_match(script) {
        return false;
    }
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let quoted = |line: &str| line.matches('"').count() % 2 + line.matches('\'').count() % 2 > 0;
    let (mut commands, mut depth, mut goes_on) = (0, 0_usize, false);
    let readable = lines.all(|line| {
        commands += usize::from(depth == 0 && !goes_on);
        depth = (depth + usize::from(BEGINS.is_match(line))).saturating_sub(usize::from(ENDS.is_match(line)));
        goes_on = GOES_ON.is_match(line);
        !quoted(line)
    });
    readable && commands > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(value: &str) -> Vec<String> {
        read(value, &(0..value.len()), &[]).into_iter().map(|command| command.script).collect()
    }

    #[test]
    fn a_span_at_the_beginning_is_a_command() {
        assert_eq!(commands("`cargo test`"), ["cargo test"]);
        assert_eq!(commands("`cargo test` passes"), ["cargo test"]);
        assert_eq!(commands("Run `cargo test`"), ["cargo test"]);
        assert_eq!(commands("``echo `date` ``"), ["echo `date`"]);
        assert_eq!(commands("\n    - `a`\n    - `b`\n"), ["a", "b"]);
        assert_eq!(commands("`a \\\n      --flag`"), ["a \\\n--flag"]);
        assert_eq!(commands("`a\n  b`"), ["a b"]);
    }

    #[test]
    fn spans_behind_connectors_are_commands() {
        for value in [
            "`a` && `b`",
            "`a`, `b`",
            "`a`; `b`",
            "`a` + `b`",
            "`a` and `b`",
            "`a`, then `b`",
            "`a` and then run `b`",
            "`a`\n  `b`",
        ] {
            assert_eq!(commands(value), ["a", "b"], "{value}");
        }
    }

    #[test]
    fn expected_output_is_prose() {
        for value in [
            "`a` returns `b`",
            "`a` shows `b`",
            "`a` prints `b`",
            "`a` is `b`",
            "`a`, expect `b`",
            "`a` -> `b`",
            "`a` `b`",
            "`a` (not `b`)",
        ] {
            assert_eq!(commands(value), ["a"], "{value}");
        }
    }

    #[test]
    fn prose_has_no_command() {
        for value in
            ["all tests pass", "check that `cargo test` passes", "the file `a.rs` exists", "`unclosed", "``", ""]
        {
            assert_eq!(commands(value), Vec::<String>::new(), "{value}");
        }
    }

    #[test]
    fn a_pipe_into_tail_is_noticed() {
        assert!(is_piped("cargo test 2>&1 | tail -5"));
        assert!(is_piped("a | b | head"));
        assert!(!is_piped("a || tail x"));
        assert!(!is_piped("cat x | grep y"));
    }

    #[test]
    fn a_script_that_hides_failures_is_noticed() {
        for script in
            ["a\nb", "cd x\n# why\n\na && b", "for x in 1 2; do\n  a\ndone\nb", "a |\nb\nc", "if a; then b; fi\nc"]
        {
            assert!(hides_failures(script), "{script}");
        }
        for script in [
            "a",
            "a && b",
            "a &&\nb",
            "a \\\n  --flag",
            "a |\n  b",
            "# why\na",
            "set -e\na\nb",
            "# why\nset -euo pipefail\na\nb",
            "set -o errexit\na\nb",
            "for x in 1 2; do\n  a\n  b\ndone",
            "if a; then\n  b\nfi",
            "f() {\n  a\n}",
            "cat <<END\na\nEND",
            "sh -c '\na\nb\n'",
        ] {
            assert!(!hides_failures(script), "{script}");
        }
    }
}
