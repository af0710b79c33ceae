//! Putting tasks into a list: whole items between those that are there, every other byte as it was.
//!
//! A [`Proposed`] task is read from markdown (what an executor asks for) or made (a fix). [`Document::insert`] writes it
//! as the list writes its own and gives it an id, and takes that only where reading the result again shows every old
//! item as it was and the new ones as tasks in their place: what a list has no room for is refused, never forced.

use super::{Document, Edit, Item, Role, Tick, apply, ids, parse};
use std::borrow::Cow;

/// Longest markdown of one proposed task.
const MAX: usize = 16 * 1024;

/// A task that is to be put into a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposed {
    /// The id that it would like to have.
    pub id: Option<String>,
    /// Its markers, without brackets.
    pub markers: Vec<String>,
    /// Its title.
    pub title: String,
    /// The lines below it, without the indentation that they have in common.
    pub body: Vec<String>,
}

/// Where tasks are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Before this item.
    Before(usize),
    /// Behind this item and everything below it.
    Behind(usize),
    /// Below this item, as its last children: it becomes their parent.
    Below(usize),
}

/// Tasks that fit into a list.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// What is to be done to the source.
    pub edit: Edit,
    /// The list as it is then.
    pub document: Document,
    /// The new items in it.
    pub items: Vec<usize>,
}

impl Proposed {
    /// Reads one checkbox item; an error says what is wrong with it.
    pub fn read(markdown: &str) -> Result<Self, String> {
        if markdown.len() > MAX {
            return Err(format!("a proposed task has more than {MAX} bytes"));
        }
        let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        let text: String = markdown.trim_matches(['\n', '\r']).chars().filter(shown).collect();
        let text = without_common_indentation(text.lines()).join("\n");
        let (document, _) = parse(text.as_bytes(), "");
        let [item] = &document.items[..] else {
            return Err(format!("a proposed task is one checkbox item, not {}", document.items.len()));
        };
        if item.title.is_empty() || item.block.start != 0 || !text[item.block.end..].trim().is_empty() {
            return Err("a proposed task is a checkbox item with a title, and nothing around it".to_owned());
        }
        Ok(Self {
            id: item.id.clone(),
            // What it would mend is not for it to say.
            markers: item.markers.iter().filter(|marker| !marker.starts_with("FIX")).cloned().collect(),
            title: item.title.clone(),
            body: without_common_indentation(text[item.block.clone()].trim_end().lines().skip(1)),
        })
    }
}

fn without_common_indentation<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let blanks = |line: &'a str| &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
    let mut common: Option<&str> = None;
    for line in lines.clone().filter(|line| !line.trim().is_empty()) {
        let own = blanks(line);
        let before = common.unwrap_or(own);
        let shared = before.bytes().zip(own.bytes()).take_while(|(a, b)| a == b).count();
        common = Some(&before[..shared]);
    }
    let common = common.unwrap_or_default();
    lines.map(|line| line.strip_prefix(common).unwrap_or_default().trim_end().to_owned()).collect()
}

/// How the ids of new items are made from the one of the task that they are for.
#[derive(Debug, Clone, Copy)]
enum Ids {
    /// As they are proposed.
    Proposed,
    /// `1.3.1`.
    Number,
    /// `T012a`.
    Letter,
    /// `V4-1`.
    Dash,
}

/// How an item is written.
struct Dress {
    /// What stands before its list marker on its line.
    prefix: Vec<u8>,
    /// Its list marker or hashes, with the blanks behind.
    bullet: Vec<u8>,
    heading: bool,
    boxed: bool,
    /// Around its id: `Task ` and `:`.
    around: (String, String),
    /// What its body is indented by.
    indent: Vec<u8>,
    /// A blank line stands between items.
    loose: bool,
}

impl Document {
    /// Puts tasks in at a place on behalf of an item, whose dress and id they follow. `path` as for [`parse`]. An error
    /// says why they do not fit.
    pub fn insert(&self, place: Spot, of: usize, tasks: &[Proposed], path: &str) -> Result<Insertion, String> {
        let mut why = "there is no id left for it".to_owned();
        let plain = self.items[of].id.as_ref().is_some_and(|id| !id.contains('.') && !id.starts_with(char::is_numeric));
        let [second, third] = if plain { [Ids::Letter, Ids::Number] } else { [Ids::Number, Ids::Letter] };
        for scheme in [Ids::Proposed, second, third, Ids::Dash] {
            let Some(ids) = self.new_ids(of, tasks, scheme) else { continue };
            let edit = self.insertion(place, of, tasks, &ids);
            match self.as_if(edit, place, &ids, path) {
                Ok(insertion) => return Ok(insertion),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Ids for new items, as far as they can be made this way. A list whose tasks have none stays without.
    fn new_ids(&self, of: usize, tasks: &[Proposed], scheme: Ids) -> Option<Vec<Option<String>>> {
        let Some(base) = &self.items[of].id else { return Some(vec![None; tasks.len()]) };
        let mut new: Vec<String> = Vec::new();
        for task in tasks {
            let free = |id: &String| {
                let same = |other: &str| ids::compare(other, id).is_eq();
                !new.iter().any(|other| same(other)) && !self.items.iter().filter_map(|it| it.id.as_deref()).any(same)
            };
            let id = match scheme {
                Ids::Proposed => task.id.clone().filter(|id| id.len() > base.len() && id.starts_with(base.as_str())),
                Ids::Number => (1..1000).map(|number| format!("{base}.{number}")).find(&free),
                Ids::Letter if !base.ends_with(|c: char| c.is_ascii_digit()) => None,
                Ids::Letter => ('a'..='z').map(|letter| format!("{base}{letter}")).find(&free),
                Ids::Dash => (1..1000).map(|number| format!("{base}-{number}")).find(&free),
            };
            new.push(id.filter(free)?);
        }
        Some(new.into_iter().map(Some).collect())
    }

    /// The edit that puts these in.
    fn insertion(&self, place: Spot, of: usize, tasks: &[Proposed], ids: &[Option<String>]) -> Edit {
        let dress = self.dress(of);
        let newline: &[u8] = if self.line_ends_with_crlf() { b"\r\n" } else { b"\n" };
        let mut prefix = dress.prefix.clone();
        if matches!(place, Spot::Below(_)) {
            prefix.extend_from_slice(&dress.indent);
        }
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let apart = dress.heading || dress.loose && !matches!(place, Spot::Below(_));
        for (task, id) in tasks.iter().zip(ids) {
            if apart && !matches!(place, Spot::Before(_)) {
                lines.push(Vec::new());
            }
            let mut first = [&prefix[..], &dress.bullet].concat();
            if dress.boxed {
                first.extend_from_slice(b"[ ] ");
            }
            let id = id.as_ref().map(|id| format!("{}{id}{}", dress.around.0, dress.around.1));
            let markers = task.markers.iter().map(|marker| match marker.as_str() {
                "P" => self.parallel_mark.text.to_string(),
                marker => format!("[{marker}]"),
            });
            let words: Vec<String> = id.into_iter().chain(markers).chain([task.title.clone()]).collect();
            first.extend_from_slice(words.join(" ").as_bytes());
            lines.push(first);
            if dress.heading && !task.body.is_empty() {
                lines.push(Vec::new());
            }
            lines.extend(task.body.iter().map(|line| match line.as_str() {
                "" => prefix.trim_ascii_end().to_vec(),
                line => [&prefix[..], &dress.indent, line.as_bytes()].concat(),
            }));
            if apart && matches!(place, Spot::Before(_)) {
                lines.push(Vec::new());
            }
        }
        let at = match place {
            Spot::Before(index) => self.begin(index),
            Spot::Behind(index) | Spot::Below(index) => self.end(index),
        };
        let ends_in_newline = at == 0 || self.is_behind_bom(at) || matches!(self.source[at - 1], b'\n' | b'\r');
        let mut with = Vec::new();
        for line in lines {
            let parts: [&[u8]; 2] = if ends_in_newline { [&line, newline] } else { [newline, &line] };
            with.extend_from_slice(&parts.concat());
        }
        Edit { at: at..at, with }
    }

    fn is_behind_bom(&self, at: usize) -> bool {
        at == BOM.len() && self.source.starts_with(BOM)
    }

    /// Where an item begins: its line, behind a byte order mark.
    fn begin(&self, index: usize) -> usize {
        let start = self.line_starts[self.items[index].line - 1];
        if start == 0 && self.source.starts_with(BOM) { BOM.len() } else { start }
    }

    /// Where an item ends with everything below it, without the blank lines behind.
    fn end(&self, index: usize) -> usize {
        let block = &self.items[index].block;
        let text = self.source[block.clone()].trim_ascii_end();
        let end = block.start + text.len();
        let rest = &self.source[end..block.end];
        end + rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |newline| newline + 1)
    }

    fn dress(&self, of: usize) -> Dress {
        let item = &self.items[of];
        let marker = self.marker(of);
        let (boxed, behind) = match item.tick_at {
            Tick::Replace(at) => (true, at - 1),
            Tick::Insert(at) => (false, at),
        };
        // What stands before the marker: blanks and quote marks stay, an outer list marker on the same line does not.
        let prefix = self.source[self.begin(of)..marker].iter();
        let prefix: Vec<u8> =
            prefix.map(|&byte| if matches!(byte, b' ' | b'\t' | b'>') { byte } else { b' ' }).collect();
        let bullet = self.source[marker..behind].to_vec();
        let heading = bullet.starts_with(b"#");
        let around = item.id.as_ref().and_then(|id| {
            let at = item.text.find(id.as_str())?;
            let word = &item.text[..at];
            let is_word = word.ends_with(' ') && word.trim_end().chars().all(char::is_alphabetic);
            let mark = item.text[at + id.len()..].chars().next().filter(|c| matches!(c, '.' | ':' | ')'));
            Some((if is_word { word.to_owned() } else { String::new() }, mark.map(String::from).unwrap_or_default()))
        });
        let indent = if heading { Vec::new() } else { self.body_indent(item, &prefix, bullet.len()) };
        let blank = |line: usize| {
            let start = self.line_starts.get(line - 1)?;
            let end = self.line_starts.get(line).copied().unwrap_or(self.source.len());
            Some(self.source[*start..end].trim_ascii().is_empty())
        };
        let neighbour = |other: Option<usize>| {
            let other = self.items.get(other?)?;
            (other.segment == item.segment && other.parent == item.parent && other.depth == item.depth).then_some(other)
        };
        let next = neighbour((of + 1..self.items.len()).find(|index| self.items[*index].block.start >= item.block.end));
        let before = (0..of).rev().find(|index| self.items[*index].block.end <= item.block.start);
        let lines = [neighbour(before).map(|_| item.line), next.map(|next| next.line)];
        let loose = lines.into_iter().flatten().any(|line| line > 1 && blank(line - 1) == Some(true));
        Dress { prefix, bullet, heading, boxed, around: around.unwrap_or_default(), indent, loose }
    }

    /// What the first line of an item's body is indented by, where it has one; else the width of its marker.
    fn body_indent(&self, item: &Item, prefix: &[u8], width: usize) -> Vec<u8> {
        let own = self.source[item.own.clone()].split(|&byte| byte == b'\n').skip(1);
        let line = own.map(<[u8]>::trim_ascii_end).find(|line| !line.is_empty());
        let indent = line.and_then(|line| {
            let rest = line.strip_prefix(prefix)?;
            let blanks = rest.len() - rest.trim_ascii_start().len();
            (blanks >= width || rest.starts_with(b"\t")).then(|| rest[..blanks].to_vec())
        });
        indent.unwrap_or_else(|| vec![b' '; width])
    }

    /// The list after an edit, if that leaves every item as it was and puts in tasks of these ids at their place.
    fn as_if(&self, edit: Edit, place: Spot, ids: &[Option<String>], path: &str) -> Result<Insertion, String> {
        let (document, _) = parse(apply(&self.source, std::slice::from_ref(&edit)), path);
        let region = edit.at.start..edit.at.start + edit.with.len();
        let (new, old): (Vec<usize>, Vec<usize>) =
            (0..document.items.len()).partition(|index| region.contains(&document.marker(*index)));
        let same = old.len() == self.items.len()
            && self.items.iter().zip(&old).enumerate().all(|(index, (before, now))| {
                let becomes_parent = place == Spot::Below(index);
                before.is_as(&document.items[*now], becomes_parent)
                    && before.parent.map(|parent| old[parent]) == document.items[*now].parent
            });
        if !same {
            return Err("it would change what other items of this list are taken for".to_owned());
        }
        let parent = match place {
            Spot::Below(index) => Some(old[index]),
            Spot::Before(index) | Spot::Behind(index) => self.items[index].parent.map(|parent| old[parent]),
        };
        let is_task = |(index, id): (&usize, &Option<String>)| {
            let item = &document.items[*index];
            let within = item.block.end <= region.end;
            // Where parts are told by ids alone (`2.` and `2.1` side by side) a fix is no part.
            let parent = item.parent == parent || item.parent.is_none() && document.mends(*index).is_some();
            item.role == Role::Task && !item.checked && item.id == *id && parent && within
        };
        if new.len() != ids.len() || !new.iter().zip(ids).all(is_task) {
            return Err("it would not be read as a task at its place in this list".to_owned());
        }
        Ok(Insertion { edit, document, items: new })
    }

    /// Another version of the list (that of `HEAD`) with those of these items that it has not, at their places; `None`
    /// where it has them all, or where their neighbours are not in it either.
    #[must_use]
    pub fn carry(&self, items: &[usize], other: &Self, path: &str) -> Option<Vec<u8>> {
        let mut to: Cow<'_, Self> = Cow::Borrowed(other);
        for &index in items {
            let places = self.rematch(&to);
            if places[index].is_some() {
                continue;
            }
            let item = &self.items[index];
            let beside = |other: &&usize| {
                let other = &self.items[**other];
                other.parent == item.parent && other.segment == item.segment && other.depth == item.depth
            };
            let before = (0..index).rev().collect::<Vec<_>>();
            let behind = (index + 1..self.items.len()).collect::<Vec<_>>();
            let there = |neighbours: &[usize]| neighbours.iter().find(beside).and_then(|other| places[*other]);
            let at = if let Some(place) = there(&before) {
                to.end(place)
            } else if let Some(place) = there(&behind) {
                to.begin(place)
            } else {
                to.end(places[item.parent?]?)
            };
            let mut with = self.source[self.begin(index)..self.end(index)].to_vec();
            let ends = |bytes: &[u8]| bytes.is_empty() || bytes.ends_with(b"\n");
            let newline: &[u8] = if self.line_ends_with_crlf() { b"\r\n" } else { b"\n" };
            match (ends(&to.source[..at]) || to.is_behind_bom(at), ends(&with)) {
                (false, _) => {
                    let kept = with.trim_ascii_end().len();
                    with.truncate(kept);
                    with.splice(0..0, newline.iter().copied());
                }
                (true, false) => with.extend_from_slice(newline),
                (true, true) => {}
            }
            to = Cow::Owned(parse(apply(&to.source, &[Edit { at: at..at, with }]), path).0);
        }
        (to.source != other.source).then(|| to.source.to_vec())
    }

    /// The item that `[FIX 1.3]` on this one names: what it repairs.
    #[must_use]
    pub fn mends(&self, index: usize) -> Option<usize> {
        let id = self.items[index].markers.iter().find_map(|marker| marker.strip_prefix("FIX "))?;
        self.item_of_id(id.trim()).filter(|of| *of != index)
    }

    /// The items that repair this one, done or not.
    #[must_use]
    pub fn fixes(&self, of: usize) -> Vec<usize> {
        (0..self.items.len()).filter(|index| self.mends(*index) == Some(of)).collect()
    }
}

/// What a file of some editors begins with.
const BOM: &[u8] = b"\xEF\xBB\xBF";

impl Item {
    /// Whether this is what that other reading of the same list has in its place.
    fn is_as(&self, other: &Self, becomes_parent: bool) -> bool {
        let role = self.role == other.role || becomes_parent && other.role == Role::Parent;
        let known = |item: &Self| (item.depth, item.checked, item.gfm, item.parallel, item.heading, item.segment);
        let scripts = |commands: &[super::Command]| commands.iter().map(|it| it.script.clone()).collect::<Vec<_>>();
        role && known(self) == known(other)
            && (&self.id, &self.text, &self.markers) == (&other.id, &other.text, &other.markers)
            && scripts(&self.fields.verify) == scripts(&other.fields.verify)
            && scripts(&self.fields.run) == scripts(&other.fields.run)
            && self.fields.files == other.fields.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(source: &str) -> Document {
        parse(source.as_bytes(), "").0
    }

    fn task(markdown: &str) -> Proposed {
        Proposed::read(markdown).expect("a task")
    }

    /// The list with a task put in, and a check that nothing else changed.
    fn with(source: &str, place: Spot, of: usize, tasks: &[Proposed]) -> Result<String, String> {
        let document = read(source);
        let insertion = document.insert(place, of, tasks, "")?;
        let after = apply(source.as_bytes(), std::slice::from_ref(&insertion.edit));
        assert_eq!(after, &*insertion.document.source);
        Ok(String::from_utf8(after).expect("text"))
    }

    const LIST: &str = "# L\n\n- [x] 1.2 B\n- [ ] 1.3 [P] C\n  - **Do**: c\n  - **Verify**: `true`\n- [ ] 1.4 [P] D\n";

    #[test]
    fn a_fix_stands_behind_and_a_prerequisite_before() {
        let fix =
            Proposed { markers: vec!["FIX 1.3".into()], title: "Mend it".into(), ..task("- [ ] a\n  - **Do**: m") };
        let after = with(LIST, Spot::Behind(1), 1, std::slice::from_ref(&fix)).unwrap();
        let block = "- [ ] 1.3.1 [FIX 1.3] Mend it\n  - **Do**: m\n";
        assert_eq!(after, LIST.replace("- [ ] 1.4", &format!("{block}- [ ] 1.4")));
        let document = read(&after);
        assert_eq!((document.mends(2), document.fixes(1), document.fixes(0)), (Some(1), vec![2], vec![]));
        // The next one has the next id.
        let twice = with(&after, Spot::Behind(1), 1, &[fix]).unwrap();
        assert!(twice.contains("- [ ] 1.3.2 [FIX 1.3] Mend it\n"), "{twice}");
        let before = with(LIST, Spot::Before(1), 1, &[task("- [ ] 9.9 First\n  1. Step")]).unwrap();
        assert_eq!(before, LIST.replace("- [ ] 1.3", "- [ ] 1.3.1 First\n  1. Step\n- [ ] 1.3"));
    }

    #[test]
    fn parts_stand_below_with_the_ids_that_they_ask_for() {
        let parts = [task("- [x] 1.3.5 [P] One\n  - **Files**: a"), task("  - [ ] 1.3.7 Two\n    text\n\n    more")];
        let after = with(LIST, Spot::Below(1), 1, &parts).unwrap();
        let block = "  - [ ] 1.3.5 [P] One\n    - **Files**: a\n  - [ ] 1.3.7 Two\n    text\n\n    more\n";
        assert_eq!(after, LIST.replace("- [ ] 1.4", &format!("{block}- [ ] 1.4")));
        let document = read(&after);
        assert_eq!((document.items[1].role, document.items[2].parent), (Role::Parent, Some(1)));
        // Ids that are taken, or another task's, are not given.
        let parts = [task("- [ ] 1.4 One"), task("- [ ] 1.3.1 Two")];
        let after = with(LIST, Spot::Below(1), 1, &parts).unwrap();
        assert!(after.contains("  - [ ] 1.3.1 One\n  - [ ] 1.3.2 Two\n"), "{after}");
    }

    #[test]
    fn the_habit_of_the_list_is_kept() {
        let one = [task("- [ ] New\n  - **Do**: x\n\n    more")];
        let after = |source: &str, of| with(source, Spot::Behind(of), of, &one).unwrap();
        // Spec-kit counts without dots, others put a mark or a word around the id.
        assert!(after("- [ ] T012 A\n- [ ] T013 B\n", 0).starts_with("- [ ] T012 A\n- [ ] T012a New\n  - **Do**: x\n"));
        assert!(
            after("* [ ] 1. A\n* [ ] 2. B\n", 0).contains("\n* [ ] 1a. New\n")
                || after("* [ ] 1. A\n* [ ] 2. B\n", 0).contains("\n* [ ] 1-1. New\n")
        );
        assert!(after("- [ ] Task 3.2: A\n", 0).contains("\n- [ ] Task 3.2.1: New\n"));
        // Line ends, tabs, quotes, a blank line between items, no line end at the end, a byte order mark.
        assert_eq!(
            after("- [ ] 1.1 A\r\n\t- b\r\n- [ ] 1.2 B\r\n", 0),
            "- [ ] 1.1 A\r\n\t- b\r\n- [ ] 1.1.1 New\r\n\t- **Do**: x\r\n\r\n\t  more\r\n- [ ] 1.2 B\r\n"
        );
        assert_eq!(
            after("> - [ ] 1.1 A\n>   b\n", 0),
            "> - [ ] 1.1 A\n>   b\n> - [ ] 1.1.1 New\n>   - **Do**: x\n>\n>     more\n"
        );
        assert_eq!(
            after("- [ ] 1.1 A\n\n- [ ] 1.2 B", 1),
            "- [ ] 1.1 A\n\n- [ ] 1.2 B\n\n- [ ] 1.2.1 New\n  - **Do**: x\n\n    more"
        );
        assert_eq!(
            with("\u{feff}- [ ] 1.1 A\n", Spot::Before(0), 0, &[task("- [ ] N")]).unwrap(),
            "\u{feff}- [ ] 1.1.1 N\n- [ ] 1.1 A\n"
        );
        assert_eq!(
            with("\u{feff}- [ ] 1.1 A\n", Spot::Behind(0), 0, &[task("- [ ] N")]).unwrap(),
            "\u{feff}- [ ] 1.1 A\n- [ ] 1.1.1 N\n"
        );
        assert_eq!(
            with("- [ ] A\n- [ ] B\n", Spot::Behind(0), 0, &[task("- [ ] N")]).unwrap(),
            "- [ ] A\n- [ ] N\n- [ ] B\n"
        );
        let headings = "### Task 1.1: A\n\n- **Do**: a\n\n### Task 1.2: B\n\n- **Do**: b\n";
        let more = after(headings, 0);
        assert!(more.contains("- **Do**: a\n\n### Task 1.1.1: New\n\n- **Do**: x\n"), "{more}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        // Nothing is nested below a heading, and a bare item below another is a note in a list without ids.
        let refused = |source: &str, place| with(source, place, 0, &[task("- [ ] New")]).unwrap_err();
        let why = refused("### Task 1.1: A\n\n- **Do**: a\n", Spot::Below(0));
        assert_eq!(why, "it would not be read as a task at its place in this list");
        assert_eq!(refused("- [ ] A\n- [ ] B\n", Spot::Below(0)), why);
        // A fence that is never closed would take the rest of the list with it.
        let open = task("- [ ] 1 A\n  ```sh\n  x");
        assert!(with(LIST, Spot::Behind(1), 1, &[open]).is_ok(), "it ends with its item");
        for (markdown, what) in [
            ("no box", "a proposed task is one checkbox item, not 0"),
            ("- [ ] a\n- [ ] b", "a proposed task is one checkbox item, not 2"),
            ("- [ ] a\n\n# End", "a proposed task is a checkbox item with a title, and nothing around it"),
            ("text\n\n- [ ] a", "a proposed task is a checkbox item with a title, and nothing around it"),
        ] {
            assert_eq!(Proposed::read(markdown).unwrap_err(), what, "{markdown}");
        }
        assert!(Proposed::read(&"x".repeat(MAX + 1)).unwrap_err().contains("more than 16384 bytes"));
        let odd = task("- [ ] 1.1 [FIX 1.0] [VERIFY] a\u{1b}[0m b");
        assert_eq!((odd.markers, odd.title.as_str()), (vec!["VERIFY".to_owned()], "a[0m b"));
    }

    #[test]
    fn what_was_put_in_is_carried_to_another_version() {
        let mine = read(
            "- [x] 1.1 A, edited\n- [ ] 1.2.1 New\n  - **Do**: n\n- [ ] 1.2 B\n  - [ ] 1.2.2 Part\n- [ ] 1.3 Mine\n  - [ ] 1.3.1 Of mine\n",
        );
        let head = read("# Head\n\n- [ ] 1.1 A\n- [ ] 1.2 B\n");
        let carry = |items: &[usize]| mine.carry(items, &head, "").map(|bytes| String::from_utf8(bytes).unwrap());
        let wanted = "# Head\n\n- [ ] 1.1 A\n- [ ] 1.2.1 New\n  - **Do**: n\n- [ ] 1.2 B\n  - [ ] 1.2.2 Part\n";
        assert_eq!(carry(&[1, 3]).as_deref(), Some(wanted));
        assert_eq!(carry(&[0]), None, "it is there");
        assert_eq!(carry(&[5]), None, "nor is its parent");
        let end = read("- [ ] 1.1 A\n- [ ] 1.1.1 N");
        assert_eq!(end.carry(&[1], &read("- [ ] 1.1 A"), "").unwrap(), b"- [ ] 1.1 A\n- [ ] 1.1.1 N");
        assert_eq!(
            end.carry(&[1], &read("- [ ] 1.1 A\n- [ ] 1.2 B\n"), "").unwrap(),
            b"- [ ] 1.1 A\n- [ ] 1.1.1 N\n- [ ] 1.2 B\n"
        );
        let first = read("- [ ] 1.1.1 N\n- [ ] 1.1 A\n");
        assert_eq!(first.carry(&[0], &read("- [ ] 1.1 A\n"), "").unwrap(), b"- [ ] 1.1.1 N\n- [ ] 1.1 A\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 4000 }))]

        /// Whatever the list: every byte stays, reading it again gives the old items and the new ones, and each old one
        /// is found again.
        #[test]
        fn nothing_else_changes(source in super::super::tests::list(), which in 0_usize..3) {
            let (document, _) = parse(source.clone(), "");
            let tasks = [task("- [ ] 1.1 [P] New\n  - **Do**: a\n  - **Verify**: `true`"), task("- [ ] Other\n  - **Files**: x")];
            for index in 0..document.items.len() {
                let place = [Spot::Before(index), Spot::Behind(index), Spot::Below(index)][which];
                let Ok(insertion) = document.insert(place, index, &tasks, "") else { continue };
                let Insertion { edit, document: after, items } = insertion;
                prop_assert!(edit.at.is_empty());
                let mut bytes = after.source.to_vec();
                bytes.drain(edit.at.start..edit.at.start + edit.with.len());
                prop_assert_eq!(&bytes, &source);
                prop_assert_eq!(after.items.len(), document.items.len() + 2);
                let found = document.rematch(&after);
                let kept: Vec<usize> = (0..after.items.len()).filter(|index| !items.contains(index)).collect();
                prop_assert_eq!(found.iter().flatten().count(), kept.len());
                let titles: Vec<&str> = items.iter().map(|index| after.items[*index].title.as_str()).collect();
                prop_assert_eq!(titles, ["New", "Other"]);
                prop_assert!(items.iter().all(|index| after.items[*index].role == Role::Task));
                for index in items {
                    prop_assert!(after.tick(index).is_some());
                }
            }
        }
    }
}
