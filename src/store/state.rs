//! The state file: where a run stands, for people and other programs. A projection of the list's boxes and the journal,
//! and rebuilt from them whenever it is missing or damaged; nothing is ever decided by it.
//!
//! The driver builds a [`State`] with [`project`] and hands it to [`StateFile::write`]. In a folder with a
//! `.ralph-state.json` that file is used instead, and stays true for the tool that made it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fs::{
    self, Context, Durability, PathError, create_folders, keep_bad_copy, read_if_exists, remove_if_exists, write_atomic,
};
use super::paths::SpecPaths;
use crate::document::Document;

/// The version of the format. Fields are only ever added within one.
pub const VERSION: u32 = 1;

/// What the state file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// [`VERSION`].
    pub version: u32,
    /// Who made it: `spec`, or what another tool has put there.
    pub source: String,
    /// The spec's name.
    pub name: String,
    /// The folder of the list.
    pub base_path: String,
    /// The file name of the list that this is about.
    pub tasks_file: String,
    /// `execution` until all is done, then `completed`.
    pub phase: String,
    /// Index of the current task, or of the first of the current group; `totalTasks` when all is done.
    pub task_index: usize,
    /// How many checkbox items there are to count in.
    pub total_tasks: usize,
    /// Which try of the current task it is, from 1.
    pub task_iteration: u32,
    /// How many tries a task has.
    pub max_task_iterations: u32,
    /// Tries made in this run, at least 1.
    pub global_iteration: usize,
    /// For readers that stop at it; never stops a run.
    pub max_global_iterations: usize,
    /// The parallel group that is being worked on, done members included.
    pub parallel_group: Option<ParallelGroup>,
    /// How the members of that group (or else failed tasks) stand, by index.
    pub task_results: BTreeMap<String, TaskResult>,
    /// Fix tasks by the task that they are for.
    pub fix_task_map: Map<String, Value>,
    /// Keeps the stop hook of smart-ralph out while a run goes on; only in its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaiting_approval: Option<bool>,
    /// The run that wrote this.
    pub run: Option<Run>,
    /// Fields that are not ours, kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A parallel group, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParallelGroup {
    /// Its first member.
    pub start_index: usize,
    /// Its last member.
    pub end_index: usize,
    /// All its members.
    pub task_indices: Vec<usize>,
    /// Always true: a group of one is no group.
    #[serde(default)]
    pub is_parallel: bool,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskResult {
    /// How.
    pub status: Status,
    /// Failure code and reason, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not landed, not failed.
    Pending,
    /// Landed.
    Success,
    /// Failed for good.
    Failed,
}

/// The run that wrote the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// The agent session that it belongs to, where it runs inside one.
    #[serde(default)]
    pub session_id: Option<String>,
    /// When it began.
    pub started_at: String,
    /// What `awaitingApproval` was before, to be put back even after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_before: Option<Approval>,
}

/// What `awaitingApproval` was before a run set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// It was not there.
    Absent,
    /// False.
    No,
    /// True.
    Yes,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            source: "spec".to_owned(),
            name: String::new(),
            base_path: String::new(),
            tasks_file: String::new(),
            phase: "execution".to_owned(),
            task_index: 0,
            total_tasks: 0,
            task_iteration: 1,
            max_task_iterations: 5,
            global_iteration: 1,
            max_global_iterations: 100,
            parallel_group: None,
            task_results: BTreeMap::new(),
            fix_task_map: Map::new(),
            awaiting_approval: None,
            run: None,
            other: Map::new(),
        }
    }
}

/// How a task stands, as the driver knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// To be done, or being done.
    Open,
    /// Its box is ticked.
    Done,
    /// It failed for good in this run; failure code and reason.
    Failed(String),
}

/// What a [`State`] is made of.
#[derive(Debug, Clone)]
pub struct Projection<'a> {
    /// The spec's name.
    pub name: &'a str,
    /// The folder of the list.
    pub base_path: &'a str,
    /// The file name of the list.
    pub tasks_file: &'a str,
    /// How indices are counted.
    pub numbering: &'a Numbering,
    /// Items of role task, as included, ascending by index.
    pub tasks: &'a [(usize, Standing)],
    /// Members of each parallel group of two or more, ascending, done or not. None in graph mode.
    pub groups: &'a [Vec<usize>],
    /// Where the run is, if not at the lowest open task: behind the group that just ended.
    pub at: Option<usize>,
    /// Which try of the current task it is; 0 before the first.
    pub attempt: u32,
    /// How many tries a task has.
    pub max_attempts: u32,
    /// Tries made in this run.
    pub attempts_made: usize,
    /// Tasks that have fixes.
    pub fixed: &'a [Fixed],
    /// The run.
    pub run: Run,
}

/// A task that has fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// What it is called.
    pub task: String,
    /// Its fixes, done or not.
    pub fixes: Vec<String>,
    /// Why it failed last, where that is known.
    pub error: Option<String>,
}

impl Fixed {
    /// Those of a list, by their `[FIX 1.3]` marks. `error` says why an item failed last.
    #[must_use]
    pub fn all(doc: &Document, error: impl Fn(usize) -> Option<String>) -> Vec<Self> {
        let mut fixes: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for index in 0..doc.items.len() {
            if let Some(of) = doc.mends(index) {
                fixes.entry(of).or_default().push(doc.label(index));
            }
        }
        fixes.into_iter().map(|(of, fixes)| Self { task: doc.label(of), fixes, error: error(of) }).collect()
    }

    /// As smart-ralph has it.
    fn to_wire(&self) -> Value {
        let mut entry = serde_json::json!({ "attempts": self.fixes.len(), "fixTaskIds": self.fixes });
        if let Some(error) = &self.error {
            entry["lastError"] = Value::from(error.as_str());
        }
        entry
    }
}

/// Computes the state. Pure.
#[must_use]
pub fn project(input: &Projection<'_>) -> State {
    let number = |index| input.numbering.of(index);
    let lowest_open = input.tasks.iter().find(|(_, standing)| *standing != Standing::Done).map(|(index, _)| *index);
    let group = match (input.at, lowest_open) {
        (None, Some(open)) => input.groups.iter().find(|group| group.contains(&open)),
        _ => None,
    };
    let task_index = match (input.at, group, lowest_open) {
        // Behind the last task its stop hook no longer asks whether it is to keep out, and orders what is open.
        (Some(at), _, Some(open)) if input.numbering.of_ralph && number(at) >= input.numbering.total() => number(open),
        (Some(at), _, _) => number(at),
        (None, Some(group), _) => number(group[0]),
        (None, None, Some(open)) => number(open),
        (None, None, None) => input.numbering.total(),
    };
    let result = |standing: &Standing| match standing {
        Standing::Open => TaskResult { status: Status::Pending, error: None },
        Standing::Done => TaskResult { status: Status::Success, error: None },
        Standing::Failed(error) => TaskResult { status: Status::Failed, error: Some(error.clone()) },
    };
    let shown = |index: &usize, standing: &Standing| match (input.at, group) {
        (None, Some(group)) => group.binary_search(index).is_ok(),
        (None, None) => matches!(standing, Standing::Failed(_)),
        (Some(_), _) => false,
    };
    let task_results = input.tasks.iter().filter(|(index, standing)| shown(index, standing));
    let numbers = |group: &Vec<usize>| {
        let mut indices: Vec<_> = group.iter().map(|index| number(*index)).collect();
        indices.dedup();
        indices
    };
    State {
        name: input.name.to_owned(),
        base_path: input.base_path.to_owned(),
        tasks_file: input.tasks_file.to_owned(),
        phase: if lowest_open.is_none() { "completed" } else { "execution" }.to_owned(),
        task_index,
        total_tasks: input.numbering.total(),
        task_iteration: input.attempt.max(1),
        max_task_iterations: input.max_attempts,
        global_iteration: input.attempts_made.max(1),
        max_global_iterations: (input.tasks.len() * input.max_attempts as usize).max(100),
        parallel_group: group.map(numbers).and_then(|indices| {
            Some(ParallelGroup {
                start_index: *indices.first()?,
                end_index: *indices.last()?,
                task_indices: indices,
                is_parallel: true,
            })
        }),
        task_results: task_results.map(|(index, standing)| (number(*index).to_string(), result(standing))).collect(),
        fix_task_map: input.fixed.iter().map(|fixed| (fixed.task.clone(), fixed.to_wire())).collect(),
        run: Some(input.run.clone()),
        ..State::default()
    }
}

/// How items are counted in a state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    /// The number of each item; the last entry is the total.
    numbers: Vec<usize>,
    /// They are those of smart-ralph.
    of_ralph: bool,
}

impl Numbering {
    /// By index: every checkbox item counts.
    #[must_use]
    pub fn by_index(items: usize) -> Self {
        Self { numbers: (0..=items).collect(), of_ralph: false }
    }

    /// As smart-ralph counts: lines that begin with `- [ ]` or `- [x]`, wherever they stand. An item that it does not
    /// count has the number of the last one before it that it does. `lines` are the 1-based lines of the items.
    #[must_use]
    pub fn of_ralph(source: &[u8], lines: impl IntoIterator<Item = usize>) -> Self {
        let counted: Vec<usize> = (1..)
            .zip(source.split(|&b| b == b'\n'))
            .filter(|(_, line)| line.starts_with(b"- [ ]") || line.starts_with(b"- [x]"))
            .map(|(number, _)| number)
            .collect();
        let number = |line| counted.partition_point(|&counted| counted <= line).saturating_sub(1);
        let mut numbers: Vec<_> = lines.into_iter().map(number).collect();
        numbers.push(counted.len());
        Self { numbers, of_ralph: true }
    }

    fn of(&self, index: usize) -> usize {
        self.numbers.get(index).copied().unwrap_or(self.total())
    }

    fn total(&self) -> usize {
        self.numbers.last().copied().unwrap_or(0)
    }
}

/// What was wrong with the state file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is empty or not the JSON object that it should be.
    Corrupt {
        /// Why it cannot be read.
        reason: String,
    },
    /// It is about another list of this folder.
    OtherList {
        /// Which.
        tasks_file: String,
    },
}

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A newer program wrote it.
    #[error("{path} has version {version}, this program knows up to {VERSION}; use the newer `spec`", path = path.display())]
    Newer {
        /// The state file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Reads the state file and changes nothing, for commands that look on.
pub fn load(paths: &SpecPaths) -> Result<(Option<State>, Option<Problem>), StateError> {
    let Some(bytes) = read_if_exists(&paths.state())? else { return Ok((None, None)) };
    let state = match parse(&bytes) {
        Ok(state) => state,
        Err(reason) => return Ok((None, Some(Problem::Corrupt { reason }))),
    };
    if state.version > VERSION {
        return Err(StateError::Newer { path: paths.state(), version: state.version.into() });
    }
    if !paths.is_ralph() && state.tasks_file.is_empty() {
        return Ok((None, Some(Problem::Corrupt { reason: "it does not say which list it is about".to_owned() })));
    }
    if !paths.is_ralph() && state.tasks_file != paths.list_name() {
        return Ok((None, Some(Problem::OtherList { tasks_file: state.tasks_file })));
    }
    Ok((Some(state), None))
}

/// Reads a state. A field of ours that has another type than it should is rebuilt anyway, the rest is kept.
pub fn parse(bytes: &[u8]) -> Result<State, String> {
    let fields: Map<String, Value> = match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err("not a JSON object".to_owned()),
        Err(_) if bytes.trim_ascii().is_empty() => return Err("empty".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let fits = |name: &String, value: &Value| {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<State>(Value::Object(alone)).is_ok()
    };
    let fields = fields.into_iter().filter(|(name, value)| fits(name, value)).collect();
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

/// The state file of a run, which holds the lock.
#[derive(Debug)]
pub struct StateFile {
    paths: SpecPaths,
    /// What was found, or is kept of it: foreign fields, and in the file of smart-ralph its own.
    base: State,
    approval: Approval,
    written: Vec<u8>,
}

/// What was found when a run took the state file over.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The state of the run before, if there is one that is about this list.
    pub state: Option<State>,
    /// What was wrong with it.
    pub problem: Option<Problem>,
    /// Where the copy of a bad one, or of another list's, is kept.
    pub kept: Option<PathBuf>,
}

impl StateFile {
    /// Takes the state file over for a run. A bad one is copied aside, one of another list is archived.
    pub fn take(paths: &SpecPaths) -> Result<(Self, Taken), StateError> {
        let (state, problem) = load(paths)?;
        let path = paths.state();
        let kept = match &problem {
            None => None,
            Some(problem) => {
                let bytes = read_if_exists(&path)?.unwrap_or_default();
                let kept = match problem {
                    Problem::Corrupt { .. } => keep_bad_copy(&path, &bytes)?,
                    Problem::OtherList { tasks_file } => archive(paths, tasks_file, &bytes)?,
                };
                Some(kept)
            }
        };
        let base = state.clone().unwrap_or_default();
        let approval = match (base.run.as_ref().and_then(|run| run.approval_before), base.awaiting_approval) {
            // A run before this one died before it could put it back.
            (Some(before), _) => before,
            (None, None) => Approval::Absent,
            (None, Some(false)) => Approval::No,
            (None, Some(true)) => Approval::Yes,
        };
        Ok((Self { paths: paths.clone(), base, approval, written: Vec::new() }, Taken { state, problem, kept }))
    }

    /// Writes the state, as a whole, unless it is there already. Returns whether it was written.
    pub fn write(&mut self, state: &State) -> Result<bool, PathError> {
        // smart-ralph knows no such phase; its file goes in a moment.
        if self.paths.is_ralph() && state.phase == "completed" {
            return Ok(false);
        }
        let bytes = self.encode(state, true)?;
        if bytes == self.written {
            return Ok(false);
        }
        write_atomic(&self.paths.state(), &bytes, Durability::Whole)?;
        self.written = bytes;
        Ok(true)
    }

    /// Writes the last state of a run that is over. The file of smart-ralph gets its `awaitingApproval` back, and goes
    /// when all is done, as that tool has it.
    pub fn finish(&mut self, state: &State) -> Result<(), PathError> {
        if !self.paths.is_ralph() {
            self.write(state)?;
            return Ok(());
        }
        if state.phase == "completed" {
            remove_if_exists(&self.paths.state())?;
            return Ok(());
        }
        let bytes = self.encode(state, false)?;
        write_atomic(&self.paths.state(), &bytes, Durability::Whole)
    }

    fn encode(&mut self, state: &State, running: bool) -> Result<Vec<u8>, PathError> {
        let mut state = state.clone();
        if self.paths.is_ralph() {
            // The other tool may write to it while we run: what is not ours is taken from what is there now.
            if let Some(now) = read_if_exists(&self.paths.state())?.and_then(|bytes| parse(&bytes).ok()) {
                self.base = now;
            }
            state.source.clone_from(&self.base.source);
            for (field, theirs) in [(&mut state.name, &self.base.name), (&mut state.base_path, &self.base.base_path)] {
                if !theirs.is_empty() {
                    field.clone_from(theirs);
                }
            }
            if running {
                state.awaiting_approval = Some(true);
                if let Some(run) = &mut state.run {
                    run.approval_before = Some(self.approval);
                }
            } else {
                state.awaiting_approval = match self.approval {
                    Approval::Absent => None,
                    Approval::No => Some(false),
                    Approval::Yes => Some(true),
                };
                state.run = None;
                // Its stop hook orders the task at the index, so that is one that is open, also within a group.
                let open = state.task_results.iter().filter(|(_, result)| result.status != Status::Success);
                let lowest = open.filter_map(|(index, _)| index.parse().ok()).min();
                if let Some(lowest) = lowest.filter(|_| state.parallel_group.is_some()) {
                    state.task_index = lowest;
                }
            }
        }
        if state.fix_task_map.is_empty() {
            state.fix_task_map.clone_from(&self.base.fix_task_map);
        }
        state.other.extend(self.base.other.clone());
        let encoded = if self.paths.is_ralph() { without_nulls(&state) } else { serde_json::to_vec_pretty(&state) };
        let mut bytes = encoded.map_err(std::io::Error::from).context("write", self.paths.state())?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The schema of smart-ralph knows no null for these.
fn without_nulls(state: &State) -> serde_json::Result<Vec<u8>> {
    let mut value = serde_json::to_value(state)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, value| !(value.is_null() && (name == "parallelGroup" || name == "run")));
    }
    serde_json::to_vec_pretty(&value)
}

/// Puts the state of another list of this folder away: `.spec/archive/LIST.state-1.json`.
fn archive(paths: &SpecPaths, tasks_file: &str, bytes: &[u8]) -> Result<PathBuf, PathError> {
    create_folders(&paths.archive())?;
    let list: String = tasks_file.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    let mut number = 1;
    loop {
        let path = paths.archive().join(format!("{list}.state-{number}.json"));
        if fs::write_new(&path, bytes, Durability::Synced)? {
            return Ok(path);
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(folder: &tempfile::TempDir) -> SpecPaths {
        SpecPaths::find(&folder.path().join("tasks.md")).unwrap()
    }

    fn put(folder: &tempfile::TempDir, name: &str, text: &str) {
        write_atomic(&folder.path().join(name), text.as_bytes(), Durability::Fast).unwrap();
    }

    fn run() -> Run {
        Run {
            id: "r1".into(),
            pid: 123,
            session_id: None,
            started_at: "2026-02-03T04:05:06.000Z".into(),
            approval_before: None,
        }
    }

    /// Projects a list whose tasks are `o`pen, `d`one or `f`ailed; `-` is an item that is no task.
    fn projected(standings: &str, groups: &[Vec<usize>], at: Option<usize>) -> State {
        counted(&Numbering::by_index(standings.len()), standings, groups, at)
    }

    fn counted(numbering: &Numbering, standings: &str, groups: &[Vec<usize>], at: Option<usize>) -> State {
        let tasks: Vec<_> = standings
            .chars()
            .enumerate()
            .filter_map(|(index, c)| match c {
                'o' => Some((index, Standing::Open)),
                'd' => Some((index, Standing::Done)),
                'f' => Some((index, Standing::Failed("verify_failed: exit 1".into()))),
                _ => None,
            })
            .collect();
        project(&Projection {
            name: "rate-limit",
            base_path: "./specs/rate-limit",
            tasks_file: "tasks.md",
            numbering,
            tasks: &tasks,
            groups,
            at,
            attempt: 1,
            max_attempts: 5,
            attempts_made: 3,
            fixed: &[],
            run: run(),
        })
    }

    #[test]
    fn fixes_are_those_of_the_list() {
        let list = "- [ ] 1.3 A\n- [x] 1.3.1 [FIX 1.3] b\n- [ ] 1.3.2 [FIX 1.3] c\n- [ ] 1.3.2.1 [FIX 1.3.2] d\n- [ ] 2 [FIX 9] e\n";
        let (doc, _) = crate::document::parse(list.as_bytes(), "");
        let fixed = Fixed::all(&doc, |index| (index == 0).then(|| "verify_failed: exit 1".to_owned()));
        let map: Map<String, Value> = fixed.iter().map(|fixed| (fixed.task.clone(), fixed.to_wire())).collect();
        let wanted = serde_json::json!({
            "1.3": { "attempts": 2, "fixTaskIds": ["1.3.1", "1.3.2"], "lastError": "verify_failed: exit 1" },
            "1.3.2": { "attempts": 1, "fixTaskIds": ["1.3.2.1"] },
        });
        assert_eq!(Value::Object(map), wanted);
    }

    #[test]
    fn the_file_is_that_of_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, taken) = StateFile::take(&paths(&folder)).unwrap();
        assert_eq!(taken, Taken { state: None, problem: None, kept: None });
        let state = projected("dofo", &[vec![1, 2]], None);
        assert!(file.write(&state).unwrap());
        let text = std::fs::read_to_string(folder.path().join(".spec-state.json")).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "version": 1,
          "source": "spec",
          "name": "rate-limit",
          "basePath": "./specs/rate-limit",
          "tasksFile": "tasks.md",
          "phase": "execution",
          "taskIndex": 1,
          "totalTasks": 4,
          "taskIteration": 1,
          "maxTaskIterations": 5,
          "globalIteration": 3,
          "maxGlobalIterations": 100,
          "parallelGroup": {
            "startIndex": 1,
            "endIndex": 2,
            "taskIndices": [
              1,
              2
            ],
            "isParallel": true
          },
          "taskResults": {
            "1": {
              "status": "pending"
            },
            "2": {
              "status": "failed",
              "error": "verify_failed: exit 1"
            }
          },
          "fixTaskMap": {},
          "run": {
            "id": "r1",
            "pid": 123,
            "sessionId": null,
            "startedAt": "2026-02-03T04:05:06.000Z"
          }
        }
        "#);
        assert_eq!(load(&paths(&folder)).unwrap(), (Some(state.clone()), None));
        assert!(!file.write(&state).unwrap(), "nothing new, nothing written");
    }

    type Place<'a> = (usize, Option<Vec<usize>>, Vec<(&'a str, Status)>);

    fn place(state: &State) -> Place<'_> {
        let results = state.task_results.iter().map(|(index, result)| (index.as_str(), result.status)).collect();
        (state.task_index, state.parallel_group.as_ref().map(|group| group.task_indices.clone()), results)
    }

    #[test]
    fn the_group_is_whole_as_long_as_one_of_it_is_left() {
        use Status::{Failed, Pending, Success};
        let groups = [vec![1, 2, 4]];
        // 1 landed in a run before; 3 is a note between.
        let state = projected("dd-oo", &[vec![1, 3, 4]], None);
        assert_eq!(place(&state), (1, Some(vec![1, 3, 4]), vec![("1", Success), ("3", Pending), ("4", Pending)]));
        let state = projected("ddf-do", &groups, None);
        assert_eq!(place(&state), (1, Some(vec![1, 2, 4]), vec![("1", Success), ("2", Failed), ("4", Success)]));
        // The batch has landed: behind it, and cleared.
        let state = projected("ddd-do", &groups, Some(5));
        assert_eq!(place(&state), (5, None, vec![]));
        let state = projected("ddd-dd", &groups, None);
        assert_eq!((place(&state), state.phase.as_str()), ((6, None, vec![]), "completed"));
    }

    #[test]
    fn the_current_task_is_the_lowest_open_one_and_not_the_number_of_ticks() {
        let state = projected("odd-o", &[], None);
        assert_eq!(place(&state), (0, None, vec![]));
        assert_eq!(state.phase, "execution");
        assert_eq!((state.total_tasks, state.max_global_iterations), (5, 100));
        assert_eq!(projected(&"o".repeat(50), &[], None).max_global_iterations, 250);
        // A failed one is never done.
        assert_eq!(place(&projected("dfd", &[], None)), (1, None, vec![("1", Status::Failed)]));
    }

    #[test]
    fn what_cannot_be_read_is_kept_beside_and_not_taken_for_done() {
        for (text, reason) in [("", "empty"), ("{\"taskIndex\": 3", "EOF"), ("[]", "object"), ("{}", "which list")] {
            let folder = tempfile::tempdir().unwrap();
            put(&folder, ".spec-state.json", text);
            let (mut file, taken) = StateFile::take(&paths(&folder)).unwrap();
            let Some(Problem::Corrupt { reason: said }) = &taken.problem else { panic!("{taken:?}") };
            assert!(said.contains(reason), "{said}");
            assert_eq!(std::fs::read_to_string(folder.path().join(".spec-state.json.bad-1")).unwrap(), text);
            assert!(file.write(&projected("o", &[], None)).unwrap());
            assert_eq!(load(&paths(&folder)).unwrap().0.unwrap().task_index, 0);
        }
    }

    #[test]
    fn looking_on_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, ".spec-state.json", "half");
        load(&paths(&folder)).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_state_of_another_list_is_archived() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = StateFile::take(&paths(&folder)).unwrap();
        file.write(&projected("o", &[], None)).unwrap();
        let before = std::fs::read(folder.path().join(".spec-state.json")).unwrap();
        let other = SpecPaths::find(&folder.path().join("later.md")).unwrap();
        let (_, taken) = StateFile::take(&other).unwrap();
        assert_eq!(taken.problem, Some(Problem::OtherList { tasks_file: "tasks.md".into() }));
        let kept = taken.kept.unwrap();
        assert!(kept.ends_with(".spec/archive/tasks.md.state-1.json"), "{kept:?}");
        assert_eq!(std::fs::read(kept).unwrap(), before);
    }

    #[test]
    fn a_newer_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, ".spec-state.json", "{\"version\": 2, \"tasksFile\": \"tasks.md\"}");
        let error = StateFile::take(&paths(&folder)).unwrap_err();
        assert!(error.to_string().contains("has version 2"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn fields_that_are_not_ours_stay_and_a_wrong_type_costs_only_its_field() {
        let folder = tempfile::tempdir().unwrap();
        put(
            &folder,
            ".spec-state.json",
            r#"{"tasksFile": "tasks.md", "taskIndex": "three", "mine": {"a": [1, null]}}"#,
        );
        let (mut file, taken) = StateFile::take(&paths(&folder)).unwrap();
        assert_eq!((taken.problem, taken.state.unwrap().task_index), (None, 0));
        file.write(&projected("o", &[], None)).unwrap();
        let state = load(&paths(&folder)).unwrap().0.unwrap();
        assert_eq!(state.other["mine"], serde_json::json!({"a": [1, null]}));
    }

    const RALPH: &str = r#"{"source": "plan", "name": "export", "basePath": "./specs/export", "phase": "execution",
        "taskIndex": 0, "totalTasks": 9, "awaitingApproval": false, "commitSpec": true, "relatedSpecs": [],
        "fixTaskMap": {"1.1": {"attempts": 1, "fixTaskIds": ["1.1.1"]}}}"#;

    #[test]
    fn numbers_that_are_not_ours_stay_as_they_are() {
        // As many digits as make the short way of reading them miss by one.
        let budget =
            |text: &str| parse(format!(r#"{{"budget": {text}}}"#).as_bytes()).unwrap().other["budget"].to_string();
        let read = budget(&format!("{}5", "2".repeat(74)));
        assert_eq!(read, "2.2222222222222223e+74");
        assert_eq!(budget(&read), read);
    }

    #[test]
    fn the_file_of_smart_ralph_stays_true_for_it() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, ".ralph-state.json", RALPH);
        let (mut file, taken) = StateFile::take(&paths(&folder)).unwrap();
        assert_eq!(taken.problem, None);
        file.write(&projected("dooo", &[vec![1, 2]], None)).unwrap();
        assert!(!folder.path().join(".spec-state.json").exists());
        let text = std::fs::read_to_string(folder.path().join(".ralph-state.json")).unwrap();
        insta::assert_snapshot!(text, @r#"
        {
          "version": 1,
          "source": "plan",
          "name": "export",
          "basePath": "./specs/export",
          "tasksFile": "tasks.md",
          "phase": "execution",
          "taskIndex": 1,
          "totalTasks": 4,
          "taskIteration": 1,
          "maxTaskIterations": 5,
          "globalIteration": 3,
          "maxGlobalIterations": 100,
          "parallelGroup": {
            "startIndex": 1,
            "endIndex": 2,
            "taskIndices": [
              1,
              2
            ],
            "isParallel": true
          },
          "taskResults": {
            "1": {
              "status": "pending"
            },
            "2": {
              "status": "pending"
            }
          },
          "fixTaskMap": {
            "1.1": {
              "attempts": 1,
              "fixTaskIds": [
                "1.1.1"
              ]
            }
          },
          "awaitingApproval": true,
          "run": {
            "id": "r1",
            "pid": 123,
            "sessionId": null,
            "startedAt": "2026-02-03T04:05:06.000Z",
            "approvalBefore": "no"
          },
          "commitSpec": true,
          "relatedSpecs": []
        }
        "#);
        file.finish(&projected("dddo", &[vec![1, 2]], Some(3))).unwrap();
        let after: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join(".ralph-state.json")).unwrap()).unwrap();
        assert_eq!(after["awaitingApproval"], Value::Bool(false));
        assert_eq!((after.get("run"), after.get("parallelGroup")), (None, None));
        assert_eq!((&after["taskIndex"], &after["commitSpec"]), (&3.into(), &true.into()));
    }

    #[test]
    fn the_stop_hook_of_smart_ralph_gets_its_gate_back_even_after_a_crash() {
        for (before, after) in
            [("", None), (",\"awaitingApproval\":true", Some(true)), (",\"awaitingApproval\":false", Some(false))]
        {
            let folder = tempfile::tempdir().unwrap();
            put(&folder, ".ralph-state.json", &format!("{{\"name\":\"x\"{before}}}"));
            let (mut crashed, _) = StateFile::take(&paths(&folder)).unwrap();
            crashed.write(&projected("oo", &[], None)).unwrap();
            drop(crashed);
            assert_eq!(load(&paths(&folder)).unwrap().0.unwrap().awaiting_approval, Some(true));
            let (mut file, _) = StateFile::take(&paths(&folder)).unwrap();
            file.write(&projected("do", &[], None)).unwrap();
            file.finish(&projected("do", &[], None)).unwrap();
            assert_eq!(load(&paths(&folder)).unwrap().0.unwrap().awaiting_approval, after);
        }
    }

    #[test]
    fn what_smart_ralph_writes_during_a_run_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, ".ralph-state.json", RALPH);
        let (mut file, _) = StateFile::take(&paths(&folder)).unwrap();
        put(&folder, ".ralph-state.json", &RALPH.replace("\"relatedSpecs\": []", "\"relatedSpecs\": [1]"));
        file.write(&projected("oo", &[], None)).unwrap();
        assert_eq!(load(&paths(&folder)).unwrap().0.unwrap().other["relatedSpecs"], serde_json::json!([1]));
    }

    #[test]
    fn when_all_is_done_the_file_of_smart_ralph_goes_and_ours_stays() {
        for (name, stays) in [(".ralph-state.json", false), (".spec-state.json", true)] {
            let folder = tempfile::tempdir().unwrap();
            if !stays {
                put(&folder, name, RALPH);
            }
            let (mut file, _) = StateFile::take(&paths(&folder)).unwrap();
            file.finish(&projected("dd", &[], None)).unwrap();
            assert_eq!(folder.path().join(name).exists(), stays);
        }
    }

    /// What its stop hook orders is the task at the index, and all marked ones behind it.
    #[test]
    fn the_file_of_smart_ralph_points_at_an_open_task_when_a_run_is_over() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, ".ralph-state.json", RALPH);
        let (mut file, _) = StateFile::take(&paths(&folder)).unwrap();
        for (tasks, index) in [("ddfo", 2), ("dfdo", 1), ("dddo", 3), ("dofo", 1), ("fooo", 0)] {
            file.finish(&projected(tasks, &[vec![1, 2]], None)).unwrap();
            assert_eq!(load(&paths(&folder)).unwrap().0.unwrap().task_index, index, "{tasks}");
        }
    }

    /// At an index of the total it no longer asks whether it is to keep out.
    #[test]
    fn the_index_of_smart_ralph_is_below_the_total_while_something_is_open() {
        let source = b"- [x] a\n- [ ] b\n- [x] c\n- [x] d\n";
        let at = |numbering: &Numbering| counted(numbering, "dfdd", &[vec![2, 3]], Some(4)).task_index;
        assert_eq!(at(&Numbering::by_index(4)), 4);
        assert_eq!(at(&Numbering::of_ralph(source, 1..=4)), 1);
    }

    #[test]
    fn smart_ralph_never_reads_of_a_phase_that_it_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder, ".ralph-state.json", RALPH);
        let (mut file, _) = StateFile::take(&paths(&folder)).unwrap();
        assert!(!file.write(&projected("dd", &[], None)).unwrap());
        assert_eq!(load(&paths(&folder)).unwrap().0.unwrap().phase, "execution");
    }

    #[test]
    fn smart_ralph_counts_boxes_at_the_margin() {
        let source = b"# T\n- [ ] 1.1 a\n  - [ ] nested\n```\n- [ ] in code, and counted\n```\n- [x] 1.2 b\n* [ ] 1.3 star\n- [X] 1.4 c\n";
        // Our items: lines 2, 3, 7, 8 and 9.
        let numbering = Numbering::of_ralph(source, [2, 3, 7, 8, 9]);
        assert_eq!((numbering.numbers.as_slice(), numbering.total()), ([0, 0, 2, 2, 2, 3].as_slice(), 3));
    }
}
