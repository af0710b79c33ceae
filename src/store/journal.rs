//! The journal of a run: what happened, one [`Envelope`] a line, only ever appended to.
//!
//! Each line is a JSON object (`jq` reads it) whose last field is a checksum of all before it, so a line that was cut
//! short or damaged is told from one that is whole. The driver appends before it acts and calls [`Journal::sync`] where a
//! power cut must not undo what it says next (see `docs/design/001-what-is-synced-when.md`); recovery and the status
//! commands read it as a stream.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::event::{Envelope, Event, SCHEMA};
use super::fs::{Context, Durability, PathError, create_folders, keep_bad_copy, sync_folder, write_atomic};

/// Longer lines are damage: no record gets near it.
const MAX_LINE: u64 = 1 << 28;
/// `,"crc":"xxxxxxxx"}`.
const CRC_LEN: usize = 18;

/// The journal that a run writes.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    run: String,
    seq: u64,
    /// The number of the last record that waits in `line`.
    next: u64,
    /// Bytes of whole records. What stands behind is of a write that failed.
    len: u64,
    line: Vec<u8>,
    syncs: u64,
    /// Number of the last record that is synced.
    synced: u64,
    /// Names of the file and its folders are not synced yet.
    unnamed: bool,
    /// Bytes of a failed write are still behind the last record.
    torn: bool,
    /// A sync has failed: what the disk has is not known any more.
    lost: bool,
}

/// A record as it is written: [`Envelope`] without owning anything.
#[derive(Serialize)]
struct Record<'a> {
    schema: &'a str,
    seq: u64,
    time: &'a str,
    run: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

impl Journal {
    /// Begins the journal of a new run; its folder is made.
    pub fn create(path: &Path, run: &str) -> Result<Self, PathError> {
        if let Some(folder) = path.parent() {
            create_folders(folder)?;
        }
        let file = OpenOptions::new().append(true).create_new(true).open(path).context("create", path)?;
        Ok(Self::with(file, path, run, 0, 0))
    }

    /// Goes on with a journal, which is repaired first.
    pub fn open(path: &Path, run: &str) -> Result<(Self, Repaired), PathError> {
        let repaired = repair(path)?;
        let mut seq = 0;
        for line in Lines::open(path)? {
            match line? {
                Line::Record(envelope) => seq = envelope.seq,
                Line::Unknown { seq: unknown } => seq = unknown,
                Line::Bad { .. } => {}
            }
        }
        let file = OpenOptions::new().append(true).open(path).context("open", path)?;
        let len = file.metadata().context("read", path)?.len();
        Ok((Self::with(file, path, run, seq, len), repaired))
    }

    fn with(file: File, path: &Path, run: &str, seq: u64, len: u64) -> Self {
        Self {
            file,
            path: path.to_path_buf(),
            run: run.to_owned(),
            seq,
            next: seq,
            len,
            line: Vec::new(),
            syncs: 0,
            synced: 0,
            unnamed: true,
            torn: false,
            lost: false,
        }
    }

    /// Appends an event, with one write, and returns its number. One that is not [durable](Event::durable) is not
    /// written and has the number of the last one that is.
    pub fn append(&mut self, event: &Event, time: &str) -> Result<u64, PathError> {
        self.append_all([event], time)
    }

    /// Appends events that belong together, with one write, and returns the number of the last. All are in the journal
    /// afterwards, or, should this fail, none.
    pub fn append_all<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Event>,
        time: &str,
    ) -> Result<u64, PathError> {
        self.enqueue(events, time)?;
        self.flush()
    }

    /// Appends events that are written with what comes next, at the latest by [`flush`](Self::flush).
    pub fn enqueue<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>, time: &str) -> Result<(), PathError> {
        for event in events.into_iter().filter(|event| event.durable()) {
            self.next += 1;
            let record = Record { schema: SCHEMA, seq: self.next, time, run: &self.run, event };
            write_line(&mut self.line, &record).context("write", &self.path)?;
        }
        Ok(())
    }

    /// Writes what waits, with one write, and returns the number of the last. All of it is in the journal afterwards, or,
    /// should this fail, nothing.
    pub fn flush(&mut self) -> Result<u64, PathError> {
        if self.line.is_empty() {
            return Ok(self.seq);
        }
        let written = self.write();
        if written.is_ok() {
            (self.len, self.seq) = (self.len + self.line.len() as u64, self.next);
        }
        self.next = self.seq;
        self.line.clear();
        written.map(|()| self.seq)
    }

    fn write(&mut self) -> Result<(), PathError> {
        if self.torn {
            self.file.set_len(self.len).context("cut a half-written record off", &self.path)?;
            self.torn = false;
        }
        let written = self.file.write_all(&self.line);
        self.torn = written.is_err() && self.file.set_len(self.len).is_err();
        written.context("write", &self.path)
    }

    /// What was appended so far survives a power cut when this returns. Nothing is done where nothing is new: whoever
    /// needs it calls it, once for all the events that came together.
    pub fn sync(&mut self) -> Result<(), PathError> {
        self.flush()?;
        if self.lost {
            // The kernel has dropped the pages and would say that all is well.
            return Err(io::Error::other("an earlier sync failed")).context("sync", &self.path);
        }
        if self.synced == self.seq {
            return Ok(());
        }
        self.file.sync_data().inspect_err(|_| self.lost = true).context("sync", &self.path)?;
        self.syncs += 1;
        self.synced = self.seq;
        if self.unnamed {
            // The file, the run's folder, `runs`, `.spec`: four names that may all be new.
            for folder in self.path.ancestors().skip(1).take(4).filter(|folder| !folder.as_os_str().is_empty()) {
                sync_folder(folder)?;
            }
            self.unnamed = false;
        }
        Ok(())
    }

    /// Number of the last record.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// How often the file was synced.
    #[must_use]
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_line(line: &mut Vec<u8>, record: &Record<'_>) -> io::Result<()> {
    let start = line.len();
    serde_json::to_writer(&mut *line, record)?;
    line.pop();
    let crc = crc32fast::hash(&line[start..]);
    writeln!(line, ",\"crc\":\"{crc:08x}\"}}")
}

/// A line of a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A record.
    Record(Box<Envelope>),
    /// A whole record of a kind that a newer version of this program writes; to be passed over.
    Unknown {
        /// Its number.
        seq: u64,
    },
    /// A damaged one.
    Bad {
        /// Its bytes.
        at: Range<u64>,
    },
}

/// Reads a journal line by line, in memory that does not grow with it.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    path: PathBuf,
    at: u64,
    line: Vec<u8>,
}

impl Lines<BufReader<File>> {
    /// Opens a journal.
    pub fn open(path: &Path) -> Result<Self, PathError> {
        let file = File::open(path).context("open", path)?;
        Ok(Self::new(BufReader::with_capacity(1 << 16, file), path))
    }
}

impl<R: BufRead> Lines<R> {
    /// Reads from anything; `path` is for messages.
    pub fn new(reader: R, path: &Path) -> Self {
        Self { reader, path: path.to_path_buf(), at: 0, line: Vec::new() }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, PathError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        let start = self.at;
        match self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line) {
            Ok(0) => None,
            Ok(length) => {
                self.at += length as u64;
                Some(Ok(decode(&self.line).unwrap_or(Line::Bad { at: start..self.at })))
            }
            Err(error) => Some(Err(error).context("read", &self.path)),
        }
    }
}

/// A line with its end, or `None` where it is damaged.
fn decode(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let (body, end) = line.split_at_checked(line.len().checked_sub(CRC_LEN)?)?;
    let crc = end.strip_prefix(b",\"crc\":\"")?.strip_suffix(b"\"}")?;
    if format!("{:08x}", crc32fast::hash(body)).as_bytes() != crc {
        return None;
    }
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(line)
        && envelope.schema == SCHEMA
    {
        return Some(Line::Record(Box::new(envelope)));
    }
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(Line::Unknown { seq: record.get("seq")?.as_u64()? })
}

/// How whole a journal is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tail {
    /// Every line is.
    #[default]
    Whole,
    /// The end was being written when the writer died.
    Torn {
        /// Where the whole part ends.
        at: u64,
    },
    /// There is damage with whole records behind it.
    Corrupt {
        /// The damaged bytes, a torn end included.
        bad: Vec<Range<u64>>,
    },
}

/// Reads all records of a journal, those behind damage too, and says how whole it is.
pub fn read(path: &Path) -> Result<(Vec<Envelope>, Tail), PathError> {
    let mut records = Vec::new();
    let tail = scan(Lines::open(path)?, |record| records.push(record))?;
    Ok((records, tail))
}

/// Passes over all records of a journal.
pub fn scan<R: BufRead>(lines: Lines<R>, mut each: impl FnMut(Envelope)) -> Result<Tail, PathError> {
    let mut bad: Vec<Range<u64>> = Vec::new();
    let mut whole_behind = false;
    let mut damaged_before = false;
    for line in lines {
        match line? {
            Line::Bad { at } => match bad.last_mut() {
                Some(last) if last.end == at.start => last.end = at.end,
                _ => {
                    damaged_before |= !bad.is_empty();
                    whole_behind = false;
                    bad.push(at);
                }
            },
            line => {
                whole_behind = true;
                if let Line::Record(record) = line {
                    each(*record);
                }
            }
        }
    }
    Ok(match bad.first() {
        None => Tail::Whole,
        Some(only) if !damaged_before && !whole_behind => Tail::Torn { at: only.start },
        Some(_) => Tail::Corrupt { bad },
    })
}

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// How the journal was found.
    pub tail: Tail,
    /// Where the damaged bytes are kept, if there were any but a torn end.
    pub kept: Option<PathBuf>,
}

/// Makes a journal whole: a torn end is cut off; damaged lines with records behind them are taken out and kept in a file
/// beside it. Only for who holds the lock.
pub fn repair(path: &Path) -> Result<Repaired, PathError> {
    let tail = scan(Lines::open(path)?, |_| ())?;
    let kept = match &tail {
        Tail::Whole => None,
        Tail::Torn { at } => {
            let file = OpenOptions::new().write(true).open(path).context("open", path)?;
            file.set_len(*at).and_then(|()| file.sync_all()).context("cut the torn end off", path)?;
            None
        }
        Tail::Corrupt { bad } => {
            let bytes = std::fs::read(path).context("read", path)?;
            let mut good = Vec::with_capacity(bytes.len());
            let mut damaged = Vec::new();
            let mut from = 0;
            for range in bad {
                let (start, end) = (range.start as usize, range.end as usize);
                good.extend_from_slice(&bytes[from..start]);
                damaged.extend_from_slice(&bytes[start..end]);
                from = end;
            }
            good.extend_from_slice(&bytes[from..]);
            let kept = keep_bad_copy(path, &damaged)?;
            write_atomic(path, &good, Durability::Synced)?;
            Some(kept)
        }
    };
    Ok(Repaired { tail, kept })
}

/// The first and the last record of a journal, without reading what is between them.
pub fn ends(path: &Path) -> Result<Option<(Envelope, Envelope)>, PathError> {
    let mut file = File::open(path).context("open", path)?;
    let length = file.metadata().context("read", path)?.len();
    let Some(first) = first_record(Lines::new(BufReader::new(&file), path))? else { return Ok(None) };
    let mut chunk = 1 << 12;
    loop {
        let start = length.saturating_sub(chunk);
        file.seek(SeekFrom::Start(start)).context("read", path)?;
        let mut last = None;
        // The first line of the chunk is most likely the end of a longer one; it counts as damaged then.
        scan(Lines::new(BufReader::new(&file), path), |record| last = Some(record))?;
        if let Some(last) = last {
            return Ok(Some((first, last)));
        }
        if start == 0 {
            return Ok(None);
        }
        chunk *= 8;
    }
}

fn first_record<R: BufRead>(lines: Lines<R>) -> Result<Option<Envelope>, PathError> {
    for line in lines {
        if let Line::Record(record) = line? {
            return Ok(Some(*record));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "1970-01-01T00:00:00.000Z";

    fn event(text: &str) -> Event {
        Event::Notice { level: "info".into(), code: "test".into(), message: text.into() }
    }

    fn journal(folder: &Path, events: usize) -> PathBuf {
        let path = folder.join("runs/r/journal.jsonl");
        let mut journal = Journal::create(&path, "r").unwrap();
        for i in 0..events {
            assert_eq!(journal.append(&event(&format!("n{i}")), TIME).unwrap(), i as u64 + 1);
        }
        path
    }

    fn messages(records: &[Envelope]) -> Vec<String> {
        let message = |record: &Envelope| match &record.event {
            Event::Notice { message, .. } => message.clone(),
            other => panic!("{other:?}"),
        };
        records.iter().map(message).collect()
    }

    #[test]
    fn a_record_is_one_line_of_json_with_a_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), 1);
        insta::assert_snapshot!(std::fs::read_to_string(path).unwrap(), @r#"
        {"schema":"spec.event/1","seq":1,"time":"1970-01-01T00:00:00.000Z","run":"r","type":"notice","level":"info","code":"test","message":"n0","crc":"daa501ed"}
        "#);
    }

    #[test]
    fn text_and_phases_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::create(&path, "r").unwrap();
        let task = super::super::event::TaskRef { task: "1".into(), index: 0, key: "1".into() };
        let phase = Event::TaskPhase { task, phase: "running".into() };
        assert_eq!(journal.append_all([&event("a"), &phase, &event("b")], TIME).unwrap(), 2);
        assert_eq!(journal.append(&phase, TIME).unwrap(), 2);
        assert_eq!(messages(&read(&path).unwrap().0), ["a", "b"]);
    }

    #[test]
    fn events_that_wait_together_share_one_sync() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&folder.path().join("a/b/c/journal.jsonl"), "r").unwrap();
        for _ in 0..10 {
            journal.append(&event("x"), TIME).unwrap();
        }
        journal.sync().unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.syncs(), 1);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_the_journal_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), 3);
        let whole = std::fs::read(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(whole.len() as u64 - 5).unwrap();
        let (records, tail) = read(&path).unwrap();
        assert_eq!(messages(&records), ["n0", "n1"]);
        assert!(matches!(tail, Tail::Torn { .. }));
        let (mut journal, repaired) = Journal::open(&path, "r").unwrap();
        assert_eq!((repaired.tail, repaired.kept), (tail, None));
        assert_eq!(journal.append(&event("new"), TIME).unwrap(), 3);
        let (records, tail) = read(&path).unwrap();
        assert_eq!((messages(&records), tail), (vec!["n0".into(), "n1".into(), "new".into()], Tail::Whole));
    }

    #[test]
    fn what_is_behind_damage_is_kept_and_the_damage_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), 3);
        let text = std::fs::read_to_string(&path).unwrap().replace("n1", "XX");
        write_atomic(&path, text.as_bytes(), Durability::Fast).unwrap();
        let (records, tail) = read(&path).unwrap();
        assert_eq!(messages(&records), ["n0", "n2"]);
        let Tail::Corrupt { bad } = &tail else { panic!("{tail:?}") };
        assert_eq!(bad.len(), 1);
        let repaired = repair(&path).unwrap();
        assert!(std::fs::read_to_string(repaired.kept.unwrap()).unwrap().contains("XX"));
        assert_eq!(read(&path).unwrap().1, Tail::Whole);
        assert_eq!(messages(&read(&path).unwrap().0), ["n0", "n2"]);
    }

    #[test]
    fn a_record_of_a_newer_version_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), 1);
        let body = r#"{"schema":"spec.event/1","seq":2,"time":"t","run":"r","type":"from_the_future""#;
        let line = format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()));
        std::fs::File::options().append(true).open(&path).unwrap().write_all(line.as_bytes()).unwrap();
        let (records, tail) = read(&path).unwrap();
        assert_eq!((records.len(), tail), (1, Tail::Whole));
        assert_eq!(Journal::open(&path, "r").unwrap().0.append(&event("x"), TIME).unwrap(), 3);
    }

    #[test]
    fn the_ends_are_found_behind_long_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::create(&path, "r").unwrap();
        assert_eq!(ends(&path).unwrap(), None);
        for text in ["first", &"x".repeat(100_000), &"y".repeat(50_000)] {
            journal.append(&event(text), TIME).unwrap();
        }
        let (first, last) = ends(&path).unwrap().unwrap();
        assert_eq!((first.seq, last.seq), (1, 3));
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_journal() {
        let mut journal = Journal::with(
            OpenOptions::new().append(true).open("/dev/full").unwrap(),
            Path::new("/dev/full"),
            "r",
            0,
            0,
        );
        let error = journal.append(&event("x"), TIME).unwrap_err();
        insta::assert_snapshot!(error, @"cannot write /dev/full: No space left on device (os error 28)");
        assert_eq!(journal.seq(), 0);
    }

    proptest! {
        /// Wherever the writer dies, what was whole is read, and nothing else.
        #[test]
        fn every_cut_gives_the_whole_records_before_it(
            texts in prop::collection::vec("\\PC{0,30}", 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            let mut journal = Journal::create(&path, "r").unwrap();
            let mut ends = Vec::new();
            for text in &texts {
                journal.append(&event(text), TIME).unwrap();
                ends.push(std::fs::metadata(&path).unwrap().len());
            }
            let cut = cut.index(*ends.last().unwrap() as usize + 1) as u64;
            File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let (records, tail) = read(&path).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            prop_assert_eq!(messages(&records), &texts[..whole]);
            prop_assert_eq!(tail == Tail::Whole, cut == 0 || ends.contains(&cut));
        }

        /// Damage is never read as something that was not written.
        #[test]
        fn one_changed_byte_loses_at_most_two_records(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let folder = tempfile::tempdir().unwrap();
            let path = journal(folder.path(), 4);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            write_atomic(&path, &bytes, Durability::Fast).unwrap();
            let (records, tail) = read(&path).unwrap();
            prop_assert_ne!(tail, Tail::Whole);
            prop_assert!(records.len() >= 2 && records.len() < 4);
            for message in messages(&records) {
                prop_assert!(["n0", "n1", "n2", "n3"].contains(&message.as_str()));
            }
            repair(&path).unwrap();
            prop_assert_eq!(read(&path).unwrap().0, records);
        }
    }
}
