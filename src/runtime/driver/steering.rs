//! What a person asks of a run that is going on.

use super::Driver;
use crate::engine::{Event as Told, Halt, Node, Phase, Steer};
use crate::runtime::control::{Command, Request};
use crate::store::event::Event;

impl Driver {
    pub(super) fn steer(&mut self, request: Request) {
        let said = self.obey(&request.command);
        if let Err(error) = request.answer(said) {
            self.notice("warning", "control", &error.to_string());
        }
    }

    /// Does what is asked of the run, and says so, or why not.
    pub(in crate::runtime) fn obey(&mut self, command: &Command) -> Result<String, String> {
        match command {
            Command::Cancel => {
                self.told.push_back(Told::Halt(Halt::Interrupt));
                Ok("stopping: what runs is ended and kept".to_owned())
            }
            Command::Pause => self.pause(true),
            Command::Resume => self.pause(false),
            Command::Retry(label) => {
                let from = [Phase::Failed, Phase::Skipped, Phase::Backoff];
                self.steer_task(label, "tried again", Steer::Retry, &from)
            }
            Command::Skip(label) => {
                let open =
                    [Phase::Waiting, Phase::Ready, Phase::Backoff, Phase::Running, Phase::Ended, Phase::Verifying];
                self.steer_task(label, "left out", Steer::Skip, &open)
            }
        }
    }

    pub(super) fn pause(&mut self, paused: bool) -> Result<String, String> {
        self.told.push_back(Told::Steer(if paused { Steer::Pause } else { Steer::Resume }));
        self.emit(Event::Paused { paused }).map_err(|error| error.to_string())?;
        let running = self.parts.engine.running();
        Ok(if paused { format!("paused: nothing new starts; {running} still running") } else { "going on".to_owned() })
    }

    pub(super) fn steer_task(
        &mut self,
        label: &str,
        what: &str,
        steer: fn(Node) -> Steer,
        from: &[Phase],
    ) -> Result<String, String> {
        let found = self.parts.board.doc.select(label).unwrap_or_default();
        let nodes: Vec<Node> = found.iter().filter_map(|index| self.parts.board.node(*index)).collect();
        let [node] = nodes[..] else {
            let done = matches!(found[..], [index] if self.parts.board.doc.items[index].checked);
            return Err(if done {
                format!("task {label} is done: it is not {what}")
            } else {
                format!("{label} is not a task of this run; `spec status` lists them")
            });
        };
        let phase = self.parts.engine.phase(node);
        let name = self.task(node).task;
        if !from.contains(&phase) {
            return Err(format!("task {name} {}: it is not {what}", where_it_is(phase)));
        }
        self.told.push_back(Told::Steer(steer(node)));
        Ok(format!("task {name} is {what}"))
    }
}

/// Where a task is, for people.
const fn where_it_is(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting | Phase::Ready | Phase::Backoff | Phase::Deferred => "waits for its turn",
        Phase::Running => "runs",
        Phase::Ended | Phase::Verifying => "is being verified",
        Phase::Passed | Phase::Landing => "has passed and is about to land",
        Phase::Done => "is done",
        Phase::Failed => "has failed",
        Phase::Blocked => "is blocked",
        Phase::Skipped => "is left out",
        Phase::Cancelled => "was ended with the run",
        Phase::Removed => "is no longer in the list",
    }
}
