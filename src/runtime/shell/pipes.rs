//! Makes a pipeline fail when any of its members fails, but not because a reader had enough.
//!
//! With bash's `pipefail`, `yes | head -1` gives 141: `yes` was ended by SIGPIPE. Real lists are full of
//! `make test | grep -q PASS && echo ok`, where that is no failure, and bash has no option for it. What decides about `&&`,
//! `||`, `if` and `set -e` is the status of each pipeline, so it has to be put right there and then: a pipeline `a | b`
//! becomes `{ a | b || __spec_pipe; }`, and the [function](FUNCTION) looks at the statuses of the members.
//!
//! That takes finding the pipelines, and no more of the grammar than that. A script that is not understood stays as it is:
//! then 141 is a failure, which is the safe side.

/// The status of the last pipeline: of its rightmost member that failed, where 141 of any but the last is none.
pub(super) const FUNCTION: &str = "__spec_pipe() { local s=(\"${PIPESTATUS[@]}\") r=0 i; \
     for ((i = 0; i < ${#s[@]}; i++)); do \
     if ((s[i] != 0 && (s[i] != 141 || i == ${#s[@]} - 1))); then r=${s[i]}; fi; done; return $r; }; ";

/// The script with its pipelines wrapped; none where there are none or it is not understood.
pub(super) fn wrap(script: &str) -> Option<String> {
    let mut scanner = Scanner { text: script.as_bytes(), at: 0, end: 0, edits: Vec::new(), documents: Vec::new() };
    scanner.list(&[])?;
    if scanner.edits.is_empty() {
        return None;
    }
    scanner.edits.sort_by_key(|(at, _)| *at);
    let mut wrapped = String::with_capacity(FUNCTION.len() + script.len() + 32);
    wrapped.push_str(FUNCTION);
    let mut from = 0;
    for (at, text) in scanner.edits {
        wrapped.push_str(&script[from..at]);
        wrapped.push_str(text);
        from = at;
    }
    wrapped.push_str(&script[from..]);
    Some(wrapped)
}

/// Words that only ever end a list; elsewhere at the place of a command they are a mistake.
const CLOSERS: [&str; 8] = ["then", "do", "done", "fi", "else", "elif", "esac", "}"];

/// Walks through a script once. Every step gives `None` for what it does not understand.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Behind the last token, without the blanks after it.
    end: usize,
    edits: Vec<(usize, &'static str)>,
    /// Delimiters of the here-documents whose bodies begin at the next newline; whether tabs before them count for nothing.
    documents: Vec<(Vec<u8>, bool)>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn sees(&self, token: &str) -> bool {
        self.text[self.at..].starts_with(token.as_bytes())
    }

    fn eat(&mut self, token: &str) -> Option<()> {
        self.sees(token).then(|| self.step(token.len()))
    }

    fn step(&mut self, bytes: usize) {
        self.at += bytes;
        self.end = self.at;
    }

    /// Whether this reserved word stands here, as a word of its own.
    fn sees_word(&self, word: &str) -> bool {
        let behind = self.text.get(self.at + word.len());
        self.sees(word) && behind.is_none_or(|byte| b" \t\n;&|()<>".contains(byte))
    }

    fn eat_word(&mut self, word: &str) -> Option<()> {
        self.sees_word(word).then(|| self.step(word.len()))
    }

    /// Blanks and continued lines.
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) || self.sees("\\\n") {
            self.at += 1 + usize::from(self.peek() == Some(b'\\'));
        }
    }

    /// Blanks, comments and newlines, with the here-documents behind those.
    fn lines(&mut self) {
        loop {
            self.blanks();
            match self.peek() {
                Some(b'#') => self.at += self.text[self.at..].iter().take_while(|byte| **byte != b'\n').count(),
                Some(b'\n') => self.newline(),
                _ => return,
            }
        }
    }

    fn newline(&mut self) {
        self.at += 1;
        for (delimiter, tabs) in std::mem::take(&mut self.documents) {
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let line = &rest[..rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())];
                self.at = (self.at + line.len() + 1).min(self.text.len());
                let skip = if tabs { line.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
                if line[skip..] == delimiter {
                    break;
                }
            }
        }
    }

    /// Commands up to one of `ends`, which is left to the caller, or to the end of the script where there are none.
    fn list(&mut self, ends: &[&str]) -> Option<()> {
        loop {
            self.lines();
            while matches!(self.peek(), Some(b';' | b'&')) && !self.sees(";;") && !self.sees(";&") && !self.sees("&&") {
                if self.sees("&>") {
                    break;
                }
                self.at += 1;
                self.lines();
            }
            match self.peek() {
                None => return ends.is_empty().then_some(()),
                Some(_) if ends.iter().any(|end| self.ends_with(end)) => return Some(()),
                Some(_) => self.and_or()?,
            }
        }
    }

    fn ends_with(&self, end: &str) -> bool {
        match end {
            ")" => self.sees(")"),
            ";;" => self.sees(";;") || self.sees(";&"),
            word => self.sees_word(word),
        }
    }

    fn and_or(&mut self) -> Option<()> {
        self.pipeline()?;
        loop {
            self.blanks();
            if self.eat("&&").or_else(|| self.eat("||")).is_none() {
                return Some(());
            }
            self.lines();
            self.pipeline()?;
        }
    }

    fn pipeline(&mut self) -> Option<()> {
        while self.eat_word("!").or_else(|| self.eat_word("time")).is_some() {
            self.blanks();
            if self.eat_word("-p").is_some() {
                self.blanks();
            }
        }
        let start = self.at;
        self.command()?;
        let mut members = 1;
        loop {
            self.blanks();
            if self.sees("||") || self.eat("|&").or_else(|| self.eat("|")).is_none() {
                break;
            }
            self.lines();
            self.command()?;
            members += 1;
        }
        if members > 1 {
            self.edits.push((start, "{ "));
            self.edits.push((self.end, " || __spec_pipe; }"));
        }
        Some(())
    }

    fn command(&mut self) -> Option<()> {
        if CLOSERS.iter().any(|word| self.sees_word(word)) || self.sees_word("coproc") {
            return None;
        }
        if self.sees("((") {
            self.balanced()?;
        } else if self.eat("(").is_some() {
            self.list(&[")"])?;
            self.eat(")")?;
        } else if self.eat_word("{").is_some() {
            self.list(&["}"])?;
            self.eat("}")?;
        } else if self.eat_word("if").is_some() {
            self.list(&["then"])?;
            while self.eat_word("then").or_else(|| self.eat_word("else")).is_some() {
                self.list(&["elif", "else", "fi"])?;
                if self.eat_word("elif").is_some() {
                    self.list(&["then"])?;
                }
            }
            self.eat_word("fi")?;
        } else if self.eat_word("while").or_else(|| self.eat_word("until")).is_some() {
            self.list(&["do"])?;
            self.body()?;
        } else if self.eat_word("for").or_else(|| self.eat_word("select")).is_some() {
            self.blanks();
            if self.sees("((") {
                self.balanced()?;
            }
            // `name in words` reads like a command.
            while !matches!(self.peek(), None | Some(b';' | b'\n')) {
                self.word()?;
                self.blanks();
            }
            self.list(&["do"])?;
            self.body()?;
        } else if self.eat_word("case").is_some() {
            self.case()?;
        } else if self.eat_word("[[").is_some() {
            self.condition()?;
        } else if self.eat_word("function").is_some() {
            self.blanks();
            self.word()?;
            self.blanks();
            self.eat("()");
            self.lines();
            return self.command();
        } else {
            return self.simple();
        }
        self.redirections()
    }

    fn body(&mut self) -> Option<()> {
        self.eat_word("do")?;
        self.list(&["done"])?;
        self.eat_word("done")
    }

    fn case(&mut self) -> Option<()> {
        self.blanks();
        self.word()?;
        self.lines();
        self.eat_word("in")?;
        loop {
            self.lines();
            if self.eat_word("esac").is_some() {
                return Some(());
            }
            self.eat("(");
            while self.eat(")").is_none() {
                self.blanks();
                if self.eat("|").is_none() && !self.sees(")") {
                    self.word()?;
                }
            }
            self.list(&[";;", "esac"])?;
            if self.eat(";;&").or_else(|| self.eat(";;")).or_else(|| self.eat(";&")).is_none() {
                self.lines();
                return self.eat_word("esac");
            }
        }
    }

    /// Behind `[[`, whose operators are not those of commands.
    fn condition(&mut self) -> Option<()> {
        loop {
            self.lines();
            if self.eat_word("]]").is_some() {
                return Some(());
            }
            match self.peek()? {
                b'&' | b'|' | b'<' | b'>' => self.step(1),
                b'(' => self.balanced()?,
                _ => self.word()?,
            }
        }
    }

    fn simple(&mut self) -> Option<()> {
        let start = self.at;
        let mut words = 0;
        loop {
            self.blanks();
            match self.peek() {
                Some(b'<' | b'>') if !self.sees("<(") && !self.sees(">(") => self.redirection()?,
                Some(b'&') if self.sees("&>") => self.redirection()?,
                None | Some(b'\n' | b';' | b'&' | b'|' | b')' | b'#') => break,
                // A function: its body is a command.
                Some(b'(') if words == 1 => {
                    self.eat("()")?;
                    self.lines();
                    return self.command();
                }
                Some(b'(') => return None,
                Some(_) => {
                    self.word()?;
                    words += 1;
                }
            }
        }
        (self.end > start).then_some(())
    }

    fn redirections(&mut self) -> Option<()> {
        loop {
            self.blanks();
            let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            match self.text.get(self.at + digits) {
                Some(b'<' | b'>') => self.at += digits,
                Some(b'&') if digits == 0 && self.sees("&>") => {}
                _ => return Some(()),
            }
            self.redirection()?;
        }
    }

    fn redirection(&mut self) -> Option<()> {
        let operators = ["<<<", "<<-", "<<", "&>>", "&>", ">>", ">|", ">&", "<&", "<>", ">", "<"];
        let operator = operators.into_iter().find(|operator| self.sees(operator))?;
        self.step(operator.len());
        self.blanks();
        let from = self.at;
        self.word()?;
        if matches!(operator, "<<" | "<<-") {
            let delimiter = self.text[from..self.at].iter().copied().filter(|byte| !b"'\"\\".contains(byte)).collect();
            self.documents.push((delimiter, operator == "<<-"));
        }
        Some(())
    }

    /// One word, with all that may be in it.
    fn word(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'<' | b'>' if self.sees("<(") || self.sees(">(") => {
                    self.at += 2;
                    self.substitution()?;
                }
                b'(' if self.at > start && b"=?*+@!".contains(&self.text[self.at - 1]) => self.balanced()?,
                byte if b" \t\n;&|()<>".contains(&byte) => break,
                _ => self.piece(byte)?,
            }
        }
        self.end = self.at;
        (self.at > start).then_some(())
    }

    /// A character, a quotation or an expansion.
    fn piece(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'\\' => self.at = (self.at + 2).min(self.text.len()),
            b'\'' => self.until(b'\'', false)?,
            b'"' => {
                self.at += 1;
                self.quoted(b'"')?;
            }
            b'`' => self.until(b'`', true)?,
            b'$' if self.sees("$((") => {
                self.at += 1;
                self.balanced()?;
            }
            b'$' if self.sees("$(") => {
                self.at += 2;
                self.substitution()?;
            }
            b'$' if self.sees("${") => {
                self.at += 2;
                self.quoted(b'}')?;
            }
            b'$' if self.sees("$'") => {
                self.at += 1;
                self.until(b'\'', true)?;
            }
            _ => self.at += 1,
        }
        Some(())
    }

    /// Behind `$(`, `<(` or `>(`.
    fn substitution(&mut self) -> Option<()> {
        self.list(&[")"])?;
        self.eat(")")
    }

    /// From an opening quote to behind its closing one.
    fn until(&mut self, quote: u8, escapes: bool) -> Option<()> {
        self.at += 1;
        while self.peek()? != quote {
            self.at += if escapes && self.peek() == Some(b'\\') { 2 } else { 1 };
        }
        self.at += 1;
        Some(())
    }

    /// To behind the closing `"` or `}`.
    fn quoted(&mut self, close: u8) -> Option<()> {
        loop {
            match self.peek()? {
                byte if byte == close => break,
                // A single quote is only a quote where there are no double ones around it.
                b'\'' if close == b'"' => self.at += 1,
                byte => self.piece(byte)?,
            }
        }
        self.at += 1;
        Some(())
    }

    /// From `(` to behind its `)`, whatever is in between.
    fn balanced(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'(' => {
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        self.end = self.at;
                        return Some(());
                    }
                }
                byte => self.piece(byte)?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script with pipelines shown in guillemets.
    fn marked(script: &str) -> String {
        // The script's own braces are told apart by a tab.
        match wrap(&script.replace("{ ", "{\t")) {
            Some(wrapped) => {
                let wrapped = wrapped[FUNCTION.len()..].replace(" || __spec_pipe; }", "»");
                wrapped.replace("{ ", "«").replace("{\t", "{ ")
            }
            None => "as it is".to_owned(),
        }
    }

    #[test]
    fn pipelines_are_found_and_nothing_else() {
        for (script, expected) in [
            ("a", "as it is"),
            ("a || b", "as it is"),
            ("echo 'a | b' \"c | d\" e\\|f # g | h", "as it is"),
            ("a | b", "«a | b»"),
            ("a 2>&1 | b >x  # why", "«a 2>&1 | b >x»  # why"),
            ("a | b && c || d |& e; f", "«a | b» && c || «d |& e»; f"),
            ("! a | b", "! «a | b»"),
            ("a |\n  b\nc", "«a |\n  b»\nc"),
            ("a | b &", "«a | b» &"),
            ("x=$(a | b) && echo \"$(c | d)\" | e", "x=$(«a | b») && «echo \"$(«c | d»)\" | e»"),
            ("if a | b; then c | d; else e; fi | f", "«if «a | b»; then «c | d»; else e; fi | f»"),
            ("for i in 1 2; do a | b; done", "for i in 1 2; do «a | b»; done"),
            ("for ((i=0; i<2; i++)); do a | b; done", "for ((i=0; i<2; i++)); do «a | b»; done"),
            ("a | while read -r x; do echo $x; done > out", "«a | while read -r x; do echo $x; done > out»"),
            ("(a | b) && (cd x; c)", "(«a | b») && (cd x; c)"),
            ("case $x in a|b) c | d ;; *) e;; esac", "case $x in a|b) «c | d» ;; *) e;; esac"),
            ("[[ $a =~ (x|y) || b ]] && c | d", "[[ $a =~ (x|y) || b ]] && «c | d»"),
            ("f() { a | b; }; f | c", "f() { «a | b»; }; «f | c»"),
            ("cat <<E | b\nx | y\nE\nc | d", "«cat <<E | b»\nx | y\nE\n«c | d»"),
            ("a=(1 2) b=${c:-\"x | y\"} | d", "«a=(1 2) b=${c:-\"x | y\"} | d»"),
            ("diff <(a | b) <(c) | d", "«diff <(«a | b») <(c) | d»"),
            ("jq '.[] | x' f | wc -l | tr -d ' '", "«jq '.[] | x' f | wc -l | tr -d ' '»"),
            ("a &>log | b", "«a &>log | b»"),
            ("{ a; b; } | c", "«{ a; b; } | c»"),
            // Not understood, so left alone.
            ("a | | b", "as it is"),
            ("a | b )", "as it is"),
            ("a | 'b", "as it is"),
            ("if a | b; then", "as it is"),
        ] {
            assert_eq!(marked(script), expected, "{script}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_looked_at_without_panic(script in r#"([a-z|&;(){}<>$'"`\\# \n=!*\[\]]|if |then |fi|do |done|case |esac|<<E|é){0,40}"#) {
            if let Some(wrapped) = wrap(&script) {
                let inner = wrapped[FUNCTION.len()..].replace(" || __spec_pipe; }", "").replace("{ ", "");
                assert_eq!(inner, script.replace("{ ", ""));
            }
        }
    }
}
