//! Which tree a task works in: the shared one, or one of its own, which is lent for a try and kept as a commit in between.

use super::{Driver, Fatal, Job};
use crate::engine::{Halt, Node, Phase};
use crate::git::{Declared, Oid, Work};
use crate::runtime::slots::{Claim, Workspace};
use crate::store::event::{Event, TaskRef};
use crate::store::fs::PathError;

impl Driver {
    /// The tree of its own for a try of a task; none where it works in the shared one.
    pub(super) fn claim(&mut self, node: Node, job: &Job) -> Result<Option<Claim>, Fatal> {
        if !self.parts.engine.own_tree(node) || self.parts.slots.is_none() {
            return Ok(None);
        }
        let key = self.task(node).key;
        let declared = job.files.iter().map(|file| Declared::new(&file.path, file.glob)).collect();
        let mut own = self.parts.lives[node].own.take().unwrap_or_default();
        if std::mem::take(&mut own.afresh) {
            own.saved = None;
            self.give_back(own.space.take());
        }
        let space = own.space.take();
        let claim = if let (Some(space), Some(slots)) = (space, &self.parts.slots) {
            slots.claim_again(space, &key, declared)
        } else {
            let (base, saved) = match own.saved.take() {
                Some(work) if std::mem::take(&mut own.onto_tip) => {
                    let tip = self.base_for(node)?;
                    let merged = self.parts.tree.as_ref().map(|tree| tree.repo.stack(&tip, &[&work])).transpose()?;
                    match merged.filter(|merged| *merged != tip) {
                        Some(merged) => (tip, Some(merged)),
                        None => (work.base, Some(work.commit)),
                    }
                }
                Some(work) => (work.base, Some(work.commit)),
                None => (self.base_for(node)?, None),
            };
            self.make_place()?;
            let Some(slots) = &mut self.parts.slots else { return Ok(None) };
            slots.claim(base, saved, &key, declared)
        };
        own.root = claim.root();
        self.parts.lives[node].own = Some(own);
        Ok(Some(claim))
    }

    /// The commit that a task starts from: the tip, with what the members of its batch made that go before it.
    pub(super) fn base_for(&mut self, node: Node) -> Result<Oid, Fatal> {
        // Each began with what went before it in turn, which is no part of its own commit.
        let mut before: Vec<Node> = vec![node];
        for at in 0.. {
            let Some(later) = before.get(at) else { break };
            for need in self.parts.engine.needs(*later) {
                if self.parts.engine.phase(need.node) == Phase::Passed && !before.contains(&need.node) {
                    before.push(need.node);
                }
            }
        }
        before.remove(0);
        before.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        let lives = &self.parts.lives;
        let works: Vec<&Work> = before.iter().filter_map(|it| lives[*it].own.as_ref()?.work.as_ref()).collect();
        let Some(tree) = &mut self.parts.tree else { return Err(no_base()) };
        // A branch that was switched is found when it is to land on it.
        tree.switched()?;
        let tip = tree.head.commit.as_ref().ok_or_else(no_base)?;
        Ok(tree.repo.stack(tip, &works)?)
    }

    /// Sees to it that there are no more slots than tasks at once: one that waits for its next try gives its own away.
    pub(super) fn make_place(&mut self) -> Result<(), Fatal> {
        let Some(slots) = &self.parts.slots else { return Ok(()) };
        if slots.has_free() || slots.count() < self.parts.settings.max_parallel {
            return Ok(());
        }
        let has_space = |node: &Node| self.parts.lives[*node].own.as_ref().is_some_and(|own| own.space.is_some());
        let waits = |node: &Node| {
            matches!(self.parts.engine.phase(*node), Phase::Waiting | Phase::Ready | Phase::Backoff) && has_space(node)
        };
        let Some(node) = (0..self.parts.lives.len()).find(waits) else { return Ok(()) };
        let Some(own) = &mut self.parts.lives[node].own else { return Ok(()) };
        let space = own.space.take();
        let saved = match &space {
            Some(space) => space.save("what a task had made when it gave its tree away\n")?,
            None => None,
        };
        own.saved.clone_from(&saved);
        if let Some(Work { base, commit }) = saved {
            let (task, attempt) = (self.task(node), self.parts.lives[node].attempt);
            let (base, commit) = (base.to_string(), commit.to_string());
            self.emit(Event::TaskWork { task, attempt, base, commit })?;
        }
        self.give_back(space);
        Ok(())
    }

    pub(in crate::runtime) fn give_back(&mut self, space: Option<Box<Workspace>>) {
        if let (Some(slots), Some(space)) = (&mut self.parts.slots, space) {
            slots.give_back(*space);
        }
    }

    pub(super) fn tell_slot(&mut self, node: Node, claim: Option<&Claim>) -> Result<(), PathError> {
        let Some(claim) = claim else { return Ok(()) };
        let (slot, base) = (claim.number(), claim.base().to_string());
        let attempt = self.parts.lives[node].attempt;
        self.emit(Event::TaskSlot { task: self.task(node), attempt, slot, base })
    }

    /// A task passed: what it made in its tree is kept as a commit, and the tree is free for another.
    pub(super) fn keep_work(&mut self, node: Node) -> Result<(), Fatal> {
        let task = self.task(node);
        let life = &mut self.parts.lives[node];
        let attempt = life.attempt;
        let Some(own) = &mut life.own else { return Ok(()) };
        let Some(space) = own.space.take() else { return Ok(()) };
        let changes = life.taken.as_ref().map_or(&[][..], |taken| &taken.changes);
        let work = space.keep(changes, &format!("task {} of {}\n", task.task, self.parts.paths.name()))?;
        own.work.clone_from(&work);
        self.give_back(Some(space));
        Ok(self.note_work(task, attempt, work)?)
    }

    /// What a try made is a commit now, if it made anything.
    pub(in crate::runtime) fn note_work(
        &mut self,
        task: TaskRef,
        attempt: u32,
        work: Option<Work>,
    ) -> Result<(), PathError> {
        let Some(Work { base, commit }) = work else { return Ok(()) };
        self.emit(Event::TaskWork { task, attempt, base: base.to_string(), commit: commit.to_string() })
    }
}

fn no_base() -> Fatal {
    Fatal { message: "the branch has no commit any more".to_owned(), halt: Halt::Fatal }
}
