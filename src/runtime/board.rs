//! What a run knows of its list: the document as it was read last, the plan of what is left, and which task of the run
//! ([`Node`]) is which item. Pure but for [`ListFile`], which reads and ticks the file. The driver owns it.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::agent::{self, Agent, choose};
use crate::cli::settings::RunSettings;
use crate::document::quota::Quota;
use crate::document::{self, Document, Edit, Item, Role, Tick};
use crate::engine::{Account, Kind, Need, Node, Replan, Stage, TaskSpec};
use crate::plan::{self, Mode, Plan};
use crate::store::event::TaskRef;
use crate::store::fs::{self, PathError};

/// A task of the run, or a parent with a Verify of its own.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where it is in the list now, and what it is called; the key stays that of when it was first seen.
    pub(super) task: TaskRef,
    /// Its title.
    pub(super) title: String,
    /// It is no longer in the list.
    pub(super) gone: bool,
}

/// The list and the plan of what is left of it.
pub(super) struct Board {
    pub(super) doc: Document,
    pub(super) plan: Plan,
    pub(super) entries: Vec<Entry>,
    /// Which task an item is, by its index now.
    nodes: Vec<Option<u32>>,
    /// How many children of a parent are not done yet.
    open_children: HashMap<usize, usize>,
    include_optional: bool,
    pub(super) own_trees: OwnTrees,
    /// What executors work for, by number.
    pub(super) accounts: Vec<String>,
}

/// Which tasks work in trees of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnTrees {
    /// None.
    None,
    /// Those of a step with several.
    Steps,
    /// All.
    All,
}

impl Board {
    /// A board without tasks; [`lay_out`](Self::lay_out) puts them on it.
    pub(super) fn new(doc: Document, plan: Plan, settings: &RunSettings, own_trees: OwnTrees) -> Self {
        let mut board = Self {
            doc,
            plan,
            entries: Vec::new(),
            nodes: Vec::new(),
            open_children: HashMap::new(),
            include_optional: settings.include_optional,
            own_trees,
            accounts: Vec::new(),
        };
        board.count_children();
        board
    }

    /// The item of a task.
    pub(super) fn item(&self, node: Node) -> &Item {
        &self.doc.items[self.entries[node].task.index]
    }

    /// The task that an item is.
    pub(super) fn node(&self, index: usize) -> Option<Node> {
        self.nodes.get(index).copied().flatten().map(|node| node as Node)
    }

    /// Whether a task is in the list as one that is to be done.
    pub(super) fn is_open_task(&self, node: Node) -> bool {
        let item = self.item(node);
        !self.entries[node].gone && !item.checked && item.role != Role::Parent
    }

    fn place(&mut self, index: usize, node: Node) {
        if self.nodes.len() <= index {
            self.nodes.resize(self.doc.items.len().max(index + 1), None);
        }
        self.nodes[index] = u32::try_from(node).ok();
    }

    /// What an item is called.
    pub(super) fn task_ref(&self, index: usize) -> TaskRef {
        TaskRef { task: self.doc.label(index), index, key: self.doc.key(index) }
    }

    /// The number of an account.
    pub(super) fn account(&mut self, name: &str) -> Account {
        let known = self.accounts.iter().position(|account| account == name);
        known.unwrap_or_else(|| {
            self.accounts.push(name.to_owned());
            self.accounts.len() - 1
        })
    }

    /// The accounts for an item, as [`TaskSpec::accounts`] has them.
    fn accounts_for(&mut self, index: usize, settings: &RunSettings) -> Vec<Vec<Account>> {
        if !matches!(kind(&self.doc.items[index], settings), Kind::Exec | Kind::Verify { executor: true }) {
            return Vec::new();
        }
        // Rules may name others for later attempts.
        let last = settings.preferences.rules.iter().filter_map(|rule| rule.attempt).max().unwrap_or(1).clamp(1, 100);
        let of_attempt = |attempt| {
            let choices = choices(&self.doc, &self.doc.items[index], attempt, settings);
            choices.iter().map(|choice| choice.agent.account().to_owned()).collect::<Vec<_>>()
        };
        let named: Vec<_> = (1..=last).map(of_attempt).filter(|choices| !choices.is_empty()).collect();
        named.into_iter().map(|choices| choices.into_iter().map(|name| self.account(&name)).collect()).collect()
    }

    /// Labels of tasks.
    pub(super) fn labels(&self, nodes: &[Node]) -> Vec<String> {
        nodes.iter().map(|node| self.entries[*node].task.task.clone()).collect()
    }

    /// Stages and tasks of the plan, new tasks numbered behind the known ones.
    pub(super) fn lay_out(&mut self, settings: &RunSettings) -> Replan {
        let parents = self.parents_to_check();
        let mut listed: Vec<usize> =
            self.plan.open.iter().copied().chain(parents.iter().map(|(index, _)| *index)).collect();
        listed.sort_unstable();
        self.entries.reserve_exact(listed.len().saturating_sub(self.entries.len()));
        for index in &listed {
            if self.node(*index).is_none() {
                self.place(*index, self.entries.len());
                let title = self.doc.items[*index].title.clone();
                self.entries.push(Entry { task: self.task_ref(*index), title, gone: false });
            }
        }
        let mut needs: HashMap<usize, Vec<Need>> = HashMap::new();
        for edge in &self.plan.edges {
            let open = self.plan.open.binary_search(&edge.from).is_ok();
            if let (true, Some(node)) = (open, self.node(edge.from)) {
                needs.entry(edge.to).or_default().push(Need { node, blocks: edge.reason.blocks() });
            }
        }
        for (parent, children) in &parents {
            let needed = children.iter().filter_map(|child| self.node(*child));
            needs.insert(*parent, needed.map(|node| Need { node, blocks: true }).collect());
        }
        let mut together: BTreeSet<usize> = BTreeSet::new();
        if self.own_trees == OwnTrees::Steps {
            together.extend(self.plan.steps.iter().filter(|step| step.tasks.len() > 1).flat_map(|step| &step.tasks));
        }
        let waiting = if self.plan.mode == Mode::Graph { plan::waiting(&self.plan) } else { Vec::new() };
        let mut accounts: HashMap<usize, _> = HashMap::new();
        if settings.agent.is_some() {
            accounts = listed.iter().map(|index| (*index, self.accounts_for(*index, settings))).collect();
        }
        let own_tree = |index: &usize| self.own_trees == OwnTrees::All || together.contains(index);
        let specs = listed
            .iter()
            .filter_map(|index| Some((self.node(*index)?, *index)))
            .map(|(node, index)| {
                let mut spec = spec(&self.doc.items[index], index, needs.remove(&index), settings);
                spec.accounts = accounts.remove(&index).unwrap_or_default();
                let held_up = self.plan.open.binary_search(&index).ok().and_then(|at| waiting.get(at).copied());
                (node, TaskSpec { own_tree: own_tree(&index), held_up: held_up.unwrap_or_default(), ..spec })
            })
            .collect();
        Replan { stages: self.stages(&parents), specs, ..Replan::default() }
    }

    /// The plan's steps, each with the parents behind it whose last task is in it.
    fn stages(&self, parents: &[(usize, Vec<usize>)]) -> Vec<Stage> {
        let node = |index: &usize| self.node(*index);
        if self.plan.mode == Mode::Graph {
            let mut all: Vec<usize> = self.plan.open.iter().copied().chain(parents.iter().map(|(at, _)| *at)).collect();
            all.sort_unstable();
            return vec![Stage { number: 1, nodes: all.iter().filter_map(node).collect() }];
        }
        let mut after: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        let step_of: HashMap<usize, usize> = self
            .plan
            .steps
            .iter()
            .enumerate()
            .flat_map(|(at, step)| step.tasks.iter().map(move |task| (*task, at)))
            .collect();
        let mut last_of: HashMap<usize, Option<usize>> = HashMap::new();
        // Inner parents come behind outer ones in the list, and before them in time.
        for (parent, children) in parents.iter().rev() {
            let place = |child: &usize| step_of.get(child).copied().or_else(|| last_of.get(child).copied().flatten());
            let last = children.iter().filter_map(place).max();
            last_of.insert(*parent, last);
            after.entry(last).or_default().push(*parent);
        }
        let check = |at: Option<usize>| -> Vec<Stage> {
            let parents = after.get(&at).into_iter().flatten();
            parents.map(|parent| Stage { number: 0, nodes: node(parent).into_iter().collect() }).collect()
        };
        let mut stages = check(None);
        for (at, step) in self.plan.steps.iter().enumerate() {
            stages.push(Stage { number: step.number, nodes: step.tasks.iter().filter_map(node).collect() });
            stages.extend(check(Some(at)));
        }
        stages
    }

    /// Open parents with a Verify of their own whose open children are all in the plan, with those children.
    fn parents_to_check(&self) -> Vec<(usize, Vec<usize>)> {
        let mut parents: Vec<(usize, Vec<usize>)> = Vec::new();
        // From the inside out, so that a parent knows whether the parents in it will be ticked.
        for index in (0..self.doc.items.len()).rev() {
            let item = &self.doc.items[index];
            if item.role != Role::Parent || item.checked || item.fields.verify.is_empty() {
                continue;
            }
            let open: Vec<usize> =
                self.doc.children(index).iter().copied().filter(|child| self.counts(*child)).collect();
            let open: Vec<usize> = open.into_iter().filter(|child| !self.doc.items[*child].checked).collect();
            if open.iter().all(|child| self.will_be_done(*child)) {
                parents.push((index, open.into_iter().flat_map(|child| self.work_below(child)).collect()));
            }
        }
        parents.reverse();
        parents
    }

    fn will_be_done(&self, index: usize) -> bool {
        let item = &self.doc.items[index];
        item.checked
            || self.plan.open.binary_search(&index).is_ok()
            || (item.role == Role::Parent
                && self.doc.children(index).iter().all(|child| !self.counts(*child) || self.will_be_done(*child)))
    }

    /// What has to land before an item is done: itself, or below a parent its open tasks and itself if it is checked.
    fn work_below(&self, index: usize) -> Vec<usize> {
        let item = &self.doc.items[index];
        if item.role != Role::Parent {
            return vec![index];
        }
        let open = |child: &usize| self.counts(*child) && !self.doc.items[*child].checked;
        let below = self.doc.children(index).iter().copied().filter(open);
        let mut work: Vec<usize> = below.flat_map(|child| self.work_below(child)).collect();
        if !item.fields.verify.is_empty() {
            work.push(index);
        }
        work
    }

    /// Whether an item has to be done before its parent is.
    fn counts(&self, index: usize) -> bool {
        match self.doc.items[index].role {
            Role::Task | Role::Parent | Role::Held => true,
            Role::Optional => self.include_optional,
            Role::Note => false,
        }
    }

    fn count_children(&mut self) {
        self.open_children.clear();
        for index in 0..self.doc.items.len() {
            if let (false, true, Some(parent)) =
                (self.doc.items[index].checked, self.counts(index), self.doc.items[index].parent)
            {
                *self.open_children.entry(parent).or_default() += 1;
            }
        }
    }

    /// Parents that are done once these items are, and need no Verify of their own: from the inside out.
    pub(super) fn parents_done_with(&self, indices: &[usize]) -> Vec<usize> {
        let mut left: HashMap<usize, usize> = HashMap::new();
        let mut done = Vec::new();
        let mut queue: Vec<usize> = indices.to_vec();
        while let Some(index) = queue.pop() {
            let item = &self.doc.items[index];
            let Some(parent) = item.parent.filter(|_| !item.checked && self.counts(index)) else { continue };
            let open =
                left.entry(parent).or_insert_with(|| self.open_children.get(&parent).copied().unwrap_or_default());
            *open = open.saturating_sub(1);
            let parent_item = &self.doc.items[parent];
            let plain = parent_item.role == Role::Parent && parent_item.fields.verify.is_empty();
            if *open == 0 && plain && !parent_item.checked {
                done.push(parent);
                queue.push(parent);
            }
        }
        done
    }

    /// Items are ticked in the file, by single bytes: the document follows without being read anew.
    fn ticked(&mut self, indices: &[usize]) {
        for index in indices {
            let counted = self.counts(*index);
            let tick = char::from(self.doc.tick);
            let item = &mut self.doc.items[*index];
            if !item.checked {
                item.checked = true;
                item.box_char = tick;
                if let (true, Some(parent)) = (counted, item.parent) {
                    self.open_children.entry(parent).and_modify(|open| *open = open.saturating_sub(1));
                }
            }
        }
    }

    /// Takes a new version of the list: every task is found again or gone. Returns where each old item is now.
    pub(super) fn adopt(&mut self, new: Document) -> Vec<Option<usize>> {
        let places = self.doc.rematch(&new);
        self.doc = new;
        self.nodes.clear();
        for node in 0..self.entries.len() {
            let old = self.entries[node].task.index;
            if self.entries[node].gone {
                continue;
            }
            match places[old] {
                Some(index) => {
                    self.place(index, node);
                    let task = TaskRef { key: self.entries[node].task.key.clone(), ..self.task_ref(index) };
                    self.entries[node].task = task;
                    self.entries[node].title.clone_from(&self.doc.items[index].title);
                }
                None => self.entries[node].gone = true,
            }
        }
        self.count_children();
        places
    }
}

/// What the engine is to know of an item.
fn spec(item: &Item, index: usize, needs: Option<Vec<Need>>, settings: &RunSettings) -> TaskSpec {
    let kind = kind(item, settings);
    let once = matches!(kind, Kind::Run | Kind::Parent | Kind::Verify { executor: false });
    let asked = if once && !settings.max_attempts_given { 1 } else { settings.max_attempts };
    let timeout = item.fields.timeout.map_or(settings.timeout, std::time::Duration::from_secs);
    TaskSpec {
        index,
        kind,
        verify: !item.fields.verify.is_empty(),
        max_attempts: item.fields.retries.map_or(asked, |retries| retries.saturating_add(1)).max(1),
        timeout: timeout.as_millis().try_into().unwrap_or(u64::MAX),
        own_tree: false,
        held_up: 0,
        accounts: Vec::new(),
        needs: needs.unwrap_or_default(),
    }
}

/// An agent for a try of a task.
pub(super) struct Choice {
    pub(super) agent: Agent,
    pub(super) model: Option<String>,
}

/// The agents for an attempt of an item (1 for the first), in order of preference; none where a command is the executor.
pub(super) fn choices(doc: &Document, item: &Item, attempt: u32, settings: &RunSettings) -> Vec<Choice> {
    if settings.exec.is_some() {
        return Vec::new();
    }
    let known = |name: &str| agent::find(name, &settings.agents).is_some();
    let found = choose::choose(doc, item, attempt, &settings.preferences, known);
    let choice = |choice: choose::Choice| {
        let name = choice.agent.as_deref().or(settings.agent.as_deref())?;
        Some(Choice { agent: agent::find(name, &settings.agents)?, model: choice.model })
    };
    found.into_iter().filter_map(choice).collect()
}

/// What an item may use up: as it says, or as the settings say for all.
pub(super) fn quota(item: &Item, settings: &RunSettings) -> Quota {
    item.fields.quota.unwrap_or_default().or(settings.quota)
}

/// What does the work of an item.
pub(super) fn kind(item: &Item, settings: &RunSettings) -> Kind {
    if item.role == Role::Parent {
        Kind::Parent
    } else if !item.fields.run.is_empty() {
        Kind::Run
    } else if item.is_verify() && !item.fields.verify.is_empty() {
        Kind::Verify { executor: settings.has_executor() }
    } else {
        Kind::Exec
    }
}

/// What tells that a file was not written to since, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64, i64, i64);

/// The list on disk, as it was read or written last.
pub(super) struct ListFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    stamp: Option<Stamp>,
}

impl ListFile {
    /// The list with these bytes, as they were read a moment ago.
    pub(super) fn new(path: &Path, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.to_vec(), stamp: None }
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = std::fs::metadata(&self.path).ok()?;
        Some(Stamp(file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
    }

    /// The bytes of the file, if they are not what is known. An untouched file is not read: every edit compares the
    /// bytes anyway.
    pub(super) fn changed(&mut self) -> Result<Option<Vec<u8>>, PathError> {
        let stamp = self.stamp();
        if stamp.is_some() && stamp == self.stamp {
            return Ok(None);
        }
        let found = fs::read_if_exists(&self.path)?.unwrap_or_default();
        self.stamp = stamp;
        Ok((found != self.bytes).then_some(found))
    }

    /// Makes these edits, which speak of the known bytes; gives the bytes that are there if they are others.
    pub(super) fn edit(&mut self, edits: &[Edit]) -> Result<Option<Vec<u8>>, PathError> {
        let new = document::apply(&self.bytes, edits);
        if new == self.bytes {
            return Ok(None);
        }
        match fs::edit(&self.path, &self.bytes, &new)? {
            fs::Outcome::Done => {
                self.bytes = new;
                self.stamp = self.stamp();
                Ok(None)
            }
            fs::Outcome::Changed(found) => Ok(Some(found)),
        }
    }
}

impl Board {
    /// The edits that tick these items, and whether they are single bytes (so that no offset moves).
    pub(super) fn ticks(&self, indices: &[usize]) -> (Vec<Edit>, bool) {
        let edits = indices.iter().filter_map(|index| self.doc.tick(*index)).collect();
        let single = indices.iter().all(|index| matches!(self.doc.items[*index].tick_at, Tick::Replace(_)));
        (edits, single)
    }

    /// Follows ticks that were made in the file.
    pub(super) fn follow_ticks(&mut self, indices: &[usize], single: bool, bytes: &[u8], path: &str) {
        if single {
            self.ticked(indices);
        } else {
            let (doc, _) = document::parse(bytes.to_vec(), path);
            self.adopt(doc);
        }
    }
}
