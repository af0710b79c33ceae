//! The file of an epic, in smart-ralph's layout: which specs there are, what they depend on, and how far each is.
//!
//! It is that tool's as much as ours: fields that we do not know stay, and `status` only gets words that it knows. What
//! it has no word for is in `conflict`, a field of ours.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fs::{Durability, PathError, read_if_exists, write_atomic};

/// The name of the file.
pub const NAME: &str = ".epic-state.json";

/// How far a spec is, in smart-ralph's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun.
    #[default]
    Pending,
    /// Begun, and not landed.
    InProgress,
    /// Landed.
    Completed,
    /// Not to be done.
    Cancelled,
}

impl Status {
    /// As it is written.
    const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A spec of an epic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Spec {
    /// The name of its folder.
    pub name: String,
    /// How far it is.
    #[serde(default)]
    pub status: Status,
    /// The names of those that must have landed before it begins.
    #[serde(default)]
    pub dependencies: Vec<String>,
}

/// Why the file of an epic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EpicError {
    /// It cannot be read.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is not what smart-ralph writes.
    #[error("{path}: not the state of an epic: {why}", path = path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The file of an epic.
#[derive(Debug, Clone)]
pub struct EpicFile {
    path: PathBuf,
}

impl EpicFile {
    /// The file, if FILE means one: the file itself, or a folder with one and no list of its own.
    #[must_use]
    pub fn find(file: &Path) -> Option<Self> {
        if file.file_name().is_some_and(|name| name == NAME) {
            return Some(Self { path: file.to_owned() });
        }
        let path = file.join(NAME);
        (path.is_file() && !file.join("tasks.md").exists()).then_some(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its specs, in the order of the file. Each name is there once, and what they depend on is there and no circle.
    pub fn specs(&self) -> Result<Vec<Spec>, EpicError> {
        let specs = self.read()?.remove("specs").unwrap_or_default();
        let specs: Vec<Spec> =
            serde_json::from_value(specs).map_err(|error| self.wrong(format!("`specs`: {error}")))?;
        if specs.is_empty() {
            return Err(self.wrong("there is no spec in `specs`"));
        }
        for (at, spec) in specs.iter().enumerate() {
            if specs[..at].iter().any(|other| other.name == spec.name) {
                return Err(self.wrong(format!("`{}` is there twice", spec.name)));
            }
            let unknown = |name: &&String| !specs.iter().any(|other| other.name == **name);
            if let Some(unknown) = spec.dependencies.iter().find(unknown) {
                return Err(self.wrong(format!("`{}` depends on `{unknown}`, which is no spec of it", spec.name)));
            }
        }
        // Those whose dependencies are all settled are settled, until no more are: the rest waits for itself.
        let mut settled: Vec<&str> = Vec::new();
        while let Some(next) = specs.iter().find(|spec| {
            let is = |name: &str| settled.contains(&name);
            !is(&spec.name) && spec.dependencies.iter().all(|name| is(name))
        }) {
            settled.push(&next.name);
        }
        let rest: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).filter(|it| !settled.contains(it)).collect();
        if rest.is_empty() {
            Ok(specs)
        } else {
            Err(self.wrong(format!("these wait for each other: {}", rest.join(", "))))
        }
    }

    /// Notes how far a spec is, and the paths where its landing conflicts.
    pub fn note(&self, name: &str, status: Status, conflict: &[String]) -> Result<(), EpicError> {
        let mut fields = self.read()?;
        let specs = fields.get_mut("specs").and_then(Value::as_array_mut).into_iter().flatten();
        let named = |spec: &&mut Map<String, Value>| spec.get("name").is_some_and(|it| it == name);
        // Somebody may have taken it out.
        let Some(spec) = specs.filter_map(Value::as_object_mut).find(named) else { return Ok(()) };
        spec.insert("status".to_owned(), status.name().into());
        if conflict.is_empty() {
            spec.remove("conflict");
        } else {
            spec.insert("conflict".to_owned(), conflict.into());
        }
        let mut text = serde_json::to_vec_pretty(&fields).map_err(|error| self.wrong(error.to_string()))?;
        text.push(b'\n');
        Ok(write_atomic(&self.path, &text, Durability::Synced)?)
    }

    fn read(&self) -> Result<Map<String, Value>, EpicError> {
        let bytes = read_if_exists(&self.path)?.ok_or_else(|| self.wrong("there is no such file"))?;
        serde_json::from_slice(&bytes).map_err(|error| self.wrong(error.to_string()))
    }

    fn wrong(&self, why: impl Into<String>) -> EpicError {
        EpicError::Wrong { path: self.path.clone(), why: why.into() }
    }
}
