//! How much may be put into a list on behalf of one task, so that a run always ends.

/// How many tasks, and how deep: what is put in for a task that was put in itself is one deeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tasks for one task.
    pub per_task: usize,
    /// How deep they may be; those for a task that a person wrote are at 1.
    pub depth: usize,
}

impl Limits {
    /// For what executors ask for.
    pub const REQUESTED: Self = Self { per_task: 3, depth: 2 };
    /// For fixes of what failed.
    pub const FIXES: Self = Self { per_task: 3, depth: 3 };

    /// Whether so many `more` may be put in for a task that is at `depth` (0 where a person wrote it) and has `there`
    /// already; an error says why not.
    pub fn allow(self, there: usize, more: usize, depth: usize) -> Result<(), String> {
        if depth >= self.depth {
            return Err(format!("it was put in itself, {depth} deep; {} is the limit", self.depth));
        }
        if there + more > self.per_task {
            let had = if there == 0 { String::new() } else { format!("{there} tasks were put in for it before, and ") };
            return Err(format!("{had}{} for one task is the limit", self.per_task));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_limit_is_refused() {
        let limits = Limits::REQUESTED;
        assert_eq!(limits.allow(0, 3, 1), Ok(()));
        assert_eq!(limits.allow(0, 4, 0).unwrap_err(), "3 for one task is the limit");
        let why = limits.allow(2, 2, 0).unwrap_err();
        assert_eq!(why, "2 tasks were put in for it before, and 3 for one task is the limit");
        assert_eq!(limits.allow(0, 1, 2).unwrap_err(), "it was put in itself, 2 deep; 2 is the limit");
        assert_eq!(Limits::FIXES.allow(2, 1, 2), Ok(()));
    }
}
