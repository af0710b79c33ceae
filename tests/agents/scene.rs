//! A repository with a list, a real agent program that works on it, and the model that tells the program what to do.

use std::process::Command;

use crate::env::Output;
use crate::model::Model;
use crate::program::Program;
use crate::world::World;

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) model: Model,
    program: Program,
    path: String,
    variables: Vec<(&'static str, String)>,
}

impl Scene {
    /// A repository with this list, committed, and the program with a home that knows nothing but the model; nothing
    /// where the program is not installed.
    pub(crate) fn new(program: Program, list: &str) -> Option<Self> {
        let folder = program.folder().filter(|_| spec::agent::by_name(program.name()).is_some())?;
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let (world, model) = (World::new(list), Model::start());
        let variables = program.set_up(&world.env.path("../home"), &model.url());
        Some(Self { world, model, program, path, variables })
    }

    /// One more variable for the program, or another value for one.
    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Settings beside the list.
    pub(crate) fn settings(mut self, toml: &str) -> Self {
        self.world = self.world.settings(toml);
        self
    }

    /// `spec run` with the program and these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.env.spec_command(["run", "tasks.md", "--agent", self.program.name()]);
        // A run that hangs is ended, and then says how far it came.
        command
            .args(["--run-timeout", "2m"])
            .args(args)
            .env("PATH", &self.path)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.world.env.output(&mut self.command(args))
    }

    /// What the model was asked and answered, a line each, for the message of a test that fails.
    pub(crate) fn talk(&self) -> String {
        let line = |asked: &crate::model::Asked| {
            let prompt =
                asked.prompt.lines().find(|line| line.contains("[[stub:")).unwrap_or_default().trim().to_owned();
            format!("{} {} results={} `{prompt}` -> {}\n", asked.path, asked.model, asked.results, asked.answer)
        };
        self.model.log().iter().map(line).collect()
    }
}
