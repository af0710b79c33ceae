//! What a task may use up: the `Quota` field of a list and `[quota]` of the settings, `memory 2G, cpu 10m, processes 50`.

use std::time::Duration;

use super::{duration, size};

/// Limits of one task; what is `None` has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Time on the clock.
    pub wall: Option<Duration>,
    /// Processor time.
    pub cpu: Option<Duration>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Processes at the same time.
    pub processes: Option<u64>,
    /// Open files of one process.
    pub files: Option<u64>,
    /// Printed bytes.
    pub output: Option<u64>,
}

impl Quota {
    /// Reads a comma list, or bullets, of a name and an amount each: `memory 2G, cpu: 10m, files = 256`.
    ///
    /// # Errors
    ///
    /// A sentence for people that quotes the part that was not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut quota = Self::default();
        for part in text.split([',', ';', '\n']) {
            let part = part.trim().trim_start_matches(['-', '*', '+']).trim().trim_matches(['`', '*', '_']).trim();
            if part.is_empty() {
                continue;
            }
            let (name, amount) = part.split_once([' ', ':', '=']).unwrap_or((part, ""));
            quota.set(name.trim(), amount.trim_matches([' ', ':', '=', '`', '*', '_', '.']))?;
        }
        Ok(quota)
    }

    /// Sets one limit by its name.
    ///
    /// # Errors
    ///
    /// A sentence for people.
    pub fn set(&mut self, name: &str, amount: &str) -> Result<(), String> {
        let time = || duration::parse(amount).and_then(|time| some(time, time.is_zero()));
        let bytes = || size::parse(amount).and_then(|bytes| some(bytes, bytes == 0));
        let count = || {
            let number = amount.parse::<u64>().map_err(|_| format!("`{amount}` is not a whole number"));
            number.and_then(|number| some(number, number == 0))
        };
        match name.to_ascii_lowercase().as_str() {
            "wall" => self.wall = Some(time()?),
            "cpu" => self.cpu = Some(time()?),
            "memory" => self.memory = Some(bytes()?),
            "processes" => self.processes = Some(count()?),
            "files" => self.files = Some(count()?),
            "output" => self.output = Some(bytes()?),
            _ => return Err(format!("`{name}` is not one of wall, cpu, memory, processes, files, output")),
        }
        Ok(())
    }

    /// These limits, and for what has none those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            wall: self.wall.or(other.wall),
            cpu: self.cpu.or(other.cpu),
            memory: self.memory.or(other.memory),
            processes: self.processes.or(other.processes),
            files: self.files.or(other.files),
            output: self.output.or(other.output),
        }
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit of nothing would let nothing run.
fn some<T>(amount: T, is_zero: bool) -> Result<T, String> {
    if is_zero { Err("must be more than 0".to_owned()) } else { Ok(amount) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_bullets_in_any_dress() {
        let all = Quota {
            wall: Some(Duration::from_secs(3600)),
            cpu: Some(Duration::from_secs(600)),
            memory: Some(2 << 30),
            processes: Some(50),
            files: Some(256),
            output: Some(10 << 20),
        };
        for text in [
            "memory 2G, cpu 10m, processes 50, files 256, output 10M, wall 1h",
            "\n    - Memory: 2 GiB\n    - CPU: 600\n    - `processes = 50`\n    - files: 256\n    - output: 10MB\n    - wall: 60m",
            "`memory 2G`; `cpu 10m`; processes=50; files =256; output 10M; wall 1h.",
        ] {
            assert_eq!(Quota::parse(text), Ok(all), "{text}");
        }
        assert!(Quota::parse("").unwrap().is_none());
    }

    #[test]
    fn says_which_part_is_wrong() {
        for (text, said) in [
            ("disk 2G", "`disk` is not one of wall"),
            ("memory lots", "`lots` is not a size"),
            ("memory 2G, cpu soon", "`soon` is not a duration"),
            ("processes many", "`many` is not a whole number"),
            ("files 0", "must be more than 0"),
            ("memory", "`` is not a size"),
        ] {
            let error = Quota::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_task_goes_before_the_settings() {
        let own = Quota { cpu: Some(Duration::from_secs(1)), ..Quota::default() };
        let all = Quota { cpu: Some(Duration::from_secs(9)), files: Some(9), ..Quota::default() };
        assert_eq!(own.or(all), Quota { files: Some(9), ..own });
    }
}
