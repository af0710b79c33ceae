//! Steps begin and end, and their signals are given.

use super::{Driver, Fatal};
use crate::engine::budget::{Money, Total};
use crate::engine::{Kind, Node, Phase};
use crate::plan;
use crate::runtime::clock;
use crate::store::event::Event;

impl Driver {
    pub(super) fn stage_begins(&mut self, number: usize, nodes: &[Node]) -> Result<(), Fatal> {
        self.at = None;
        self.step_number = number;
        self.ahead.look_again();
        self.spending.step = Total::default();
        self.step_started = clock::now();
        if number == 0 {
            return Ok(());
        }
        self.summary.steps += 1;
        let tasks = self.parts.board.labels(nodes);
        let parallel = nodes.len() > 1;
        self.emit(Event::StepStart { step: number, parallel, tasks: tasks.clone() })?;
        if parallel && self.parts.board.plan.mode == plan::Mode::Groups {
            self.emit(Event::BatchStart { step: number, tasks })?;
        }
        self.write_state_now_and_then();
        Ok(())
    }

    pub(super) fn stage_ends(&mut self, number: usize, landed: &[Node], failed: &[Node]) -> Result<(), Fatal> {
        self.keep_learnings_of_failed(failed)?;
        let mut nodes: Vec<Node> = landed.iter().chain(failed).copied().collect();
        nodes.sort_by_key(|node| self.parts.board.entries[*node].task.index);
        let batch = nodes.len() > 1 && self.parts.board.plan.mode == plan::Mode::Groups;
        // State moves on before anybody is told.
        if number > 0 && failed.is_empty() {
            self.at = nodes.last().map(|node| self.group_end(self.parts.board.entries[*node].task.index) + 1);
        }
        self.write_state_now_and_then();
        if batch {
            let event = Event::BatchComplete {
                step: number,
                completed: self.parts.board.labels(landed),
                failed: self.parts.board.labels(failed),
                duration_seconds: (clock::now() - self.step_started).as_secs_f64(),
                cost: self.spending.step.money.map(Money::usd),
            };
            self.emit(event)?;
        }
        for node in nodes {
            self.signal(node)?;
        }
        Ok(())
    }

    /// The last index of the parallel group that an item is in, or its own.
    pub(super) fn group_end(&self, index: usize) -> usize {
        self.parts.board.plan.group_of(index).and_then(|group| group.tasks.last().copied()).unwrap_or(index)
    }

    /// Prints the signal of a task that is over, and of its group when it was the last of it.
    pub(in crate::runtime) fn signal(&mut self, node: Node) -> Result<(), Fatal> {
        if std::mem::replace(&mut self.parts.lives[node].told, true) {
            return Ok(());
        }
        let task = self.task(node);
        let life = &self.parts.lives[node];
        let parent = self.parts.engine.kind(node) == Kind::Parent;
        match self.parts.engine.phase(node) {
            Phase::Done if parent => return Ok(()),
            Phase::Done => {
                let verify = if life.verified { "pass" } else { "none" };
                let commit = life.commit.as_deref().map_or("none", |commit| commit.get(..7).unwrap_or(commit));
                let details = vec![
                    ("task".to_owned(), task.task.clone()),
                    ("status".to_owned(), "pass".to_owned()),
                    ("commit".to_owned(), commit.to_owned()),
                    ("verify".to_owned(), verify.to_owned()),
                ];
                self.emit(Event::Signal { signal: "TASK_COMPLETE".to_owned(), details })?;
            }
            // Whether it gets a fix is known when the step is over.
            Phase::Failed if self.growth.may_mend(node) => {
                self.parts.lives[node].told = false;
                return Ok(());
            }
            // Its last fix failed for good.
            Phase::Failed | Phase::Blocked if self.parts.engine.phase(node) == Phase::Failed || self.is_lost(node) => {
                let (code, reason) =
                    life.failure.as_ref().map_or(("", ""), |failure| (failure.code.name(), failure.reason.as_str()));
                let details = vec![
                    ("task".to_owned(), task.task.clone()),
                    ("code".to_owned(), code.to_owned()),
                    ("reason".to_owned(), reason.lines().next().unwrap_or_default().to_owned()),
                ];
                self.emit(Event::Signal { signal: "TASK_FAILED".to_owned(), details })?;
                return Ok(());
            }
            _ => {
                self.parts.lives[node].told = false;
                return Ok(());
            }
        }
        let board = &self.parts.board;
        let group = board.plan.group_of(task.index);
        let Some(group) = group.filter(|_| board.plan.mode == plan::Mode::Groups) else { return Ok(()) };
        // From the back: the last member is told last, so that one look is enough before that.
        let all_told = group.tasks.iter().rev().all(|index| {
            let told = board.node(*index).is_none_or(|node| self.parts.lives[node].told);
            board.doc.items[*index].checked && told
        });
        if all_told {
            let labels: Vec<String> = group.tasks.iter().map(|index| board.doc.label(*index)).collect();
            let details = vec![("tasks".to_owned(), labels.join(" "))];
            self.emit(Event::Signal { signal: "BATCH_COMPLETE".to_owned(), details })?;
        }
        Ok(())
    }
}
