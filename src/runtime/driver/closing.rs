//! The end of a run: its summary, its last words and its exit code.

use std::time::Duration;

use super::Driver;
use crate::cli::exit;
use crate::document;
use crate::engine::budget::{Money, Scope};
use crate::engine::{Finish, Halt, Kind, Node, Phase};
use crate::plan;
use crate::runtime::process::Stop;
use crate::store::event::{Event, Summary};

impl Driver {
    /// A second signal: everything is ended at once, and the next run finds out the rest.
    pub(super) async fn kill(mut self, code: u8) -> u8 {
        for brake in
            self.parts.lives.iter().map(|life| &life.brake).chain(self.batch.as_ref().map(|batch| &batch.brake))
        {
            brake.pull(Stop::Kill);
        }
        self.ahead.stop(Stop::Kill);
        let all = async {
            while self.workers.join_next().await.is_some() {}
            while self.ahead.writers.join_next().await.is_some() {}
        };
        // Bounded: a process that the kernel does not let go of must not keep us.
        tokio::time::timeout(Duration::from_secs(6), all).await.ok();
        self.parts.reporters.finish();
        code
    }

    pub(super) fn close(mut self) -> u8 {
        for node in self.lost() {
            self.signal(node).ok();
        }
        for node in 0..self.parts.lives.len() {
            if let Err(fatal) = self.salvage_own(node, true) {
                self.notice("warning", "salvage", &fatal.message);
            }
        }
        let summary = self.sum_up();
        self.close_committer();
        if let (Some(Finish::Halted(Halt::Budget)), Some(refused)) = (&self.finish, self.spending.refused) {
            let next = match refused.scope {
                Scope::Day => "tomorrow, or with more for budget.day in spec.toml,",
                _ => "with more for --max-cost or --max-tokens (budget.run in spec.toml)",
            };
            self.notice("warning", "budget", &format!("{refused}; {next} `spec run` goes on"));
        }
        if let Some(Finish::Deadlock(waiting)) = &self.finish {
            let board = &self.parts.board;
            let lines: Vec<String> = waiting
                .iter()
                .map(|(node, on)| {
                    format!("{} waits for {}", board.labels(&[*node]).concat(), board.labels(on).join(", "))
                })
                .collect();
            self.notice("warning", "deadlock", &format!("nothing can start any more: {}", lines.join("; ")));
        }
        self.at = None;
        let state = self.state();
        if let Err(error) = self.parts.state_file.finish(&state) {
            self.give_up(error.into());
            if !matches!(self.finish, Some(Finish::Halted(_))) {
                self.finish = Some(Finish::Halted(Halt::Fatal));
            }
        }
        let (exit, outcome) = self.verdict(&summary);
        if exit == exit::DONE && summary.tasks == summary.done && summary.tasks > 0 && self.nothing_open() {
            let event = Event::Signal { signal: "ALL_TASKS_COMPLETE".to_owned(), details: Vec::new() };
            self.emit(event).ok();
        }
        let complete = Event::RunComplete { exit, outcome: outcome.to_owned(), summary };
        let written = self.emit(complete).and_then(|()| self.parts.journal.sync());
        if let Err(error) = written {
            self.notice("warning", "stopped", &error.to_string());
        }
        self.parts.reporters.finish();
        self.end_lease(exit, outcome);
        exit
    }

    /// What became of every task, in the order of the list, and what the run took.
    fn sum_up(&mut self) -> Summary {
        let mut summary = std::mem::take(&mut self.summary);
        (summary.tasks, summary.done) = self.count();
        let (engine, board) = (&self.parts.engine, &self.parts.board);
        let those = |wanted: &dyn Fn(Node, Phase) -> bool| {
            let mut nodes: Vec<Node> = (0..engine.len()).filter(|node| wanted(*node, engine.phase(*node))).collect();
            nodes.sort_by_key(|node| board.entries[*node].task.index);
            board.labels(&nodes)
        };
        let is_task = |node: Node| engine.kind(node) != Kind::Parent;
        // A parent has a Verify of its own, which may fail.
        summary.failed = those(&|_, phase| phase == Phase::Failed);
        summary.failed.extend(those(&|node, _| self.is_lost(node)));
        summary.blocked = those(&|node, phase| phase == Phase::Blocked && is_task(node) && !self.is_lost(node));
        summary.skipped = those(&|node, phase| phase == Phase::Skipped && is_task(node));
        summary.cancelled = those(&|node, phase| phase == Phase::Cancelled && is_task(node));
        summary.pending = those(&|node, phase| match phase {
            Phase::Deferred => board.is_open_task(node),
            phase => !phase.is_final() && is_task(node),
        });
        let used = self.spending.run;
        (summary.cost, summary.tokens) = (used.money.map(Money::usd), used.tokens);
        summary.cost_estimated = used.estimated.map(Money::usd);
        summary.wall_seconds = self.wall_seconds();
        summary.speedup = if summary.wall_seconds > 0.0 { summary.work_seconds / summary.wall_seconds } else { 0.0 };
        let seconds = |index| board.node(index).map_or(0.0, |node| self.parts.lives[node].seconds);
        // Not -0.0, which is what a sum over nothing is.
        summary.bound_seconds = plan::bound(&board.plan, seconds).bound + 0.0;
        if let Some(tree) = &self.parts.tree {
            let left = tree.ledger.unattributed();
            let left = left.iter().filter(|it| !it.persons).map(|it| it.change.path.to_string());
            summary.unattributed = left.chain(tree.ledger.refused().map(ToString::to_string)).collect();
            summary.unattributed.sort();
        }
        summary
    }

    pub(in crate::runtime) fn close_committer(&mut self) {
        if let Some(committer) = self.parts.tree.as_mut().and_then(|tree| tree.committer.take())
            && let Err(error) = committer.close()
        {
            self.notice("warning", "hooks-tree", &error.to_string());
        }
    }

    /// Whether every item of role task is ticked, whatever the run included.
    pub(super) fn nothing_open(&self) -> bool {
        self.parts.board.doc.items.iter().all(|item| item.role != document::Role::Task || item.checked)
    }

    /// Exit code and outcome: interrupted before conflict before limits before failures.
    pub(super) fn verdict(&self, summary: &Summary) -> (u8, &'static str) {
        let skips = !summary.skipped.is_empty() && !self.parts.settings.allow_skips;
        let bad = !summary.failed.is_empty() || !summary.blocked.is_empty() || skips;
        match &self.finish {
            Some(Finish::Halted(Halt::Terminate)) => (exit::TERMINATED, "interrupted"),
            Some(Finish::Halted(Halt::Interrupt)) => (exit::INTERRUPTED, "interrupted"),
            Some(Finish::Halted(Halt::Fatal)) => (exit::USAGE, "stopped"),
            Some(Finish::Halted(Halt::Conflict)) => (exit::CONFLICT, "conflict"),
            Some(Finish::Halted(Halt::RunTimeout | Halt::Budget)) => (exit::STOPPED, "stopped"),
            Some(Finish::Deadlock(_)) => (exit::FAILED, "failed"),
            _ if bad => (exit::FAILED, "failed"),
            _ => (exit::DONE, "done"),
        }
    }
}
