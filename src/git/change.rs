//! Paths, blobs and changes as git sees them, and their wire form in the journal.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::store::event::TreeEntry;

/// What stands before a path on the wire whose bytes are not UTF-8. No path of git begins like that by itself: it has
/// no empty parts.
const CODED: &str = "%//";

/// A path relative to the repository's root: bytes, with `/` between its parts, neither absolute nor empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    /// The path of these bytes, as git prints them with `-z`.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its last part.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.split().1
    }

    /// The folder it is in (empty for the root), and its last part.
    pub(super) fn split(&self) -> (&[u8], &[u8]) {
        split(&self.0)
    }

    /// The folders on the way to it, from the root on, which is empty.
    pub(super) fn folders(&self) -> impl Iterator<Item = &[u8]> {
        let inner = self.0.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| &self.0[..at]);
        std::iter::once(&self.0[..0]).chain(inner)
    }

    /// What has this name in a folder.
    pub(super) fn join(folder: &[u8], name: &[u8]) -> Self {
        let parts = [folder, name];
        Self(if folder.is_empty() { name.to_vec() } else { parts.join(&b'/') })
    }

    /// Where it is on disk.
    #[must_use]
    pub fn on_disk(&self, root: &Path) -> PathBuf {
        root.join(OsStr::from_bytes(&self.0))
    }

    /// Whether it is `folder` or something inside it.
    #[must_use]
    pub fn is_within(&self, folder: &[u8]) -> bool {
        self.0.strip_prefix(folder).is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest[0] == b'/')
    }

    /// As it is written in the journal: text, percent-coded behind a `%//` prefix where it is not UTF-8.
    #[must_use]
    pub fn to_wire(&self) -> String {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return text.to_owned();
        }
        let mut coded = CODED.to_owned();
        for &byte in &self.0 {
            if byte.is_ascii_graphic() && byte != b'%' {
                coded.push(char::from(byte));
            } else {
                for digit in [byte >> 4, byte & 15] {
                    coded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
                coded.insert(coded.len() - 2, '%');
            }
        }
        coded
    }

    /// Reads what [`to_wire`](Self::to_wire) wrote.
    #[must_use]
    pub fn from_wire(text: &str) -> Self {
        let Some(coded) = text.strip_prefix(CODED) else { return Self(text.as_bytes().to_vec()) };
        let coded = coded.as_bytes();
        let mut bytes = Vec::with_capacity(coded.len());
        let mut at = 0;
        while at < coded.len() {
            let byte = (coded[at] == b'%')
                .then(|| std::str::from_utf8(coded.get(at + 1..at + 3)?).ok())
                .flatten()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.unwrap_or(coded[at]));
            at += if byte.is_some() { 3 } else { 1 };
        }
        Self(bytes)
    }
}

/// The folder that a path is in (empty for the root), and its last part.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

impl From<&str> for RepoPath {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

/// For people: readable, on one line.
impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in String::from_utf8_lossy(&self.0).chars() {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The name of an object: hexadecimal digits, SHA-1 or SHA-256.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Box<str>);

impl Oid {
    /// The object of that name; none where it is no object name, or git's "no object" (all zeros).
    #[must_use]
    pub fn parse(hex: &[u8]) -> Option<Self> {
        let hex = std::str::from_utf8(hex).ok()?.trim();
        let valid = matches!(hex.len(), 40 | 64) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        (valid && hex.bytes().any(|byte| byte != b'0')).then(|| Self(hex.into()))
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What git keeps of a file's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// A file.
    File,
    /// A file that may be executed.
    Executable,
    /// A symbolic link.
    Symlink,
    /// The commit of a submodule.
    Submodule,
}

impl Mode {
    /// Git's octal notation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Submodule => "160000",
        }
    }

    /// The kind that git's octal notation means.
    #[must_use]
    pub fn parse(octal: &[u8]) -> Option<Self> {
        match octal {
            b"100755" => Some(Self::Executable),
            b"120000" => Some(Self::Symlink),
            b"160000" => Some(Self::Submodule),
            // Very old repositories have 100664.
            _ if octal.starts_with(b"100") => Some(Self::File),
            _ => None,
        }
    }
}

/// What git keeps of a path: its kind and its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob {
    /// Its kind.
    pub mode: Mode,
    /// Its content (a submodule's commit for [`Mode::Submodule`]).
    pub oid: Oid,
}

impl Blob {
    /// From git's two columns; none for "not there".
    pub(super) fn parse(mode: &[u8], oid: &[u8]) -> Option<Self> {
        Some(Self { mode: Mode::parse(mode)?, oid: Oid::parse(oid)? })
    }
}

/// A path that went from one content to another; none is "not there".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Which path.
    pub path: RepoPath,
    /// What was there.
    pub old: Option<Blob>,
    /// What is there now.
    pub new: Option<Blob>,
}

impl Change {
    /// As it is written in the journal.
    #[must_use]
    pub fn to_wire(&self) -> TreeEntry {
        let mode = |blob: &Option<Blob>| blob.as_ref().map(|blob| blob.mode.as_str().to_owned());
        let oid = |blob: &Option<Blob>| blob.as_ref().map(|blob| blob.oid.to_string());
        TreeEntry {
            path: self.path.to_wire(),
            mode: mode(&self.new),
            oid: oid(&self.new),
            old_mode: mode(&self.old),
            old_oid: oid(&self.old),
            refused: None,
        }
    }

    /// Reads what [`to_wire`](Self::to_wire) wrote.
    #[must_use]
    pub fn from_wire(entry: &TreeEntry) -> Self {
        let blob = |mode: &Option<String>, oid: &Option<String>| {
            Blob::parse(mode.as_deref()?.as_bytes(), oid.as_deref()?.as_bytes())
        };
        Self {
            path: RepoPath::from_wire(&entry.path),
            old: blob(&entry.old_mode, &entry.old_oid),
            new: blob(&entry.mode, &entry.oid),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_are_not_utf8_are_percent_coded() {
        assert_eq!(RepoPath::new(b"src/caf\xe9 %.rs".as_slice()).to_wire(), "%//src/caf%E9%20%25.rs");
        assert_eq!(RepoPath::from("src/café %20.rs").to_wire(), "src/café %20.rs");
        assert_eq!(RepoPath::from("a\nb").to_string(), "a\\nb");
    }

    #[test]
    fn inside_a_folder_is_told_from_a_name_that_begins_alike() {
        let within = |path: &str, folder: &str| RepoPath::from(path).is_within(folder.as_bytes());
        assert!(within("specs/a/x", "specs/a") && within("specs/a", "specs/a") && within("x", ""));
        assert!(!within("specs/ab", "specs/a"));
    }

    #[test]
    fn object_names_are_checked() {
        assert!(Oid::parse(&[b'0'; 40]).is_none());
        assert!(Oid::parse(b"main").is_none());
        assert_eq!(Oid::parse(b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n").unwrap().as_str().len(), 40);
    }

    proptest! {
        #[test]
        fn any_path_comes_back_from_the_wire(bytes in prop::collection::vec(1_u8.., 1..40)) {
            prop_assume!(bytes[0] != b'/' && !bytes.windows(2).any(|pair| pair == b"//"));
            let path = RepoPath::new(bytes);
            prop_assert_eq!(RepoPath::from_wire(&path.to_wire()), path);
        }

        #[test]
        fn any_text_is_read_from_the_wire_without_panic(text in "(%//)?[%a-f0-9é/]{0,20}") {
            prop_assert!(RepoPath::from_wire(&text).as_bytes().len() <= text.len());
        }
    }
}
