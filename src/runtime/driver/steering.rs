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
                self.steer_task(label, Steer::Retry, &[Phase::Failed, Phase::Skipped, Phase::Backoff])
            }
            Command::Skip(label) => {
                let open =
                    [Phase::Waiting, Phase::Ready, Phase::Backoff, Phase::Running, Phase::Ended, Phase::Verifying];
                self.steer_task(label, Steer::Skip, &open)
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
        steer: fn(Node) -> Steer,
        from: &[Phase],
    ) -> Result<String, String> {
        let found = self.parts.board.doc.select(label).unwrap_or_default();
        let nodes: Vec<Node> = found.iter().filter_map(|index| self.parts.board.node(*index)).collect();
        let [node] = nodes[..] else { return Err(format!("{label} is not a task of this run")) };
        let phase = self.parts.engine.phase(node);
        let name = self.task(node).task;
        if !from.contains(&phase) {
            return Err(format!("task {name} is {}: nothing to do", format!("{phase:?}").to_lowercase()));
        }
        self.told.push_back(Told::Steer(steer(node)));
        Ok(format!("task {name}: done"))
    }
}
