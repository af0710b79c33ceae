//! A repository with a list, a real agent program that works on it, and the model that tells the program what to do.

use std::process::Command;

use serde_json::Value;

use crate::env::Output;
use crate::model::{Asked, Model};
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
        let spec = std::path::Path::new(env!("CARGO_BIN_EXE_spec")).parent().expect("a folder");
        let rest = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{rest}", folder.display(), spec.display());
        let (world, model) = (World::new(list), Model::start());
        let variables = program.set_up(&world.env.path("../home"), &model.url());
        Some(Self { world, model, program, path, variables })
    }

    /// Another program beside it, which talks to the same model.
    pub(crate) fn beside(mut self, program: Program) -> Self {
        self.variables.extend(program.set_up(&self.world.env.path("../home"), &self.model.url()));
        self
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

    /// The same, with what `spec plugin install` gives the program, so that people can stay in it.
    pub(crate) fn inside(program: Program, list: &str) -> Option<Self> {
        let scene = Self::new(program, list)?;
        let mut install = scene.world.env.spec_command(["plugin", "install", program.name()]);
        let output = scene.world.env.output(install.env("PATH", &scene.path));
        assert_eq!(output.code, 0, "{output}");
        // Codex has a login shell run its commands, which asks for a path of its own.
        scene.world.env.write("../home/.profile", format!("PATH='{}'\n", scene.path));
        Some(scene)
    }

    /// The program itself, as its headless mode is used, without `spec` around it.
    pub(crate) fn program(&self, args: &[&str]) -> Command {
        let mut command = self.world.env.command(self.program.name());
        command.args(args).env("PATH", &self.path);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `spec run` with the program and these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.env.spec_command(["run", "tasks.md", "--agent", self.program.name()]);
        if !args.contains(&"--run-timeout") {
            // A run that hangs is ended, and then says how far it came.
            command.args(["--run-timeout", "10m"]);
        }
        command.args(args).env("PATH", &self.path);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.world.env.output(&mut self.command(args))
    }

    /// What the journal has of each try.
    pub(crate) fn used(&self) -> Vec<Used> {
        let text = |event: &Value, key: &str| event[key].as_str().map(str::to_owned).unwrap_or_default();
        let used = |event: Value| Used {
            task: text(&event, "task"),
            session: text(&event, "session"),
            outcome: text(&event, "outcome"),
            tool_calls: event["tool_calls"].as_u64(),
            tokens: ["input", "cache_read", "cache_write", "output"].map(|kind| event["tokens"][kind].as_u64()),
            cost: event["cost"].as_f64(),
        };
        self.world.events("task_agent").into_iter().map(used).collect()
    }

    /// What the model was asked and answered, a line each, for the message of a test that fails.
    pub(crate) fn talk(&self) -> String {
        let line = |asked: &Asked| {
            let prompt =
                asked.prompt.lines().find(|line| line.contains("[[stub:")).unwrap_or_default().trim().to_owned();
            format!("{} {} results={} `{prompt}` -> {}\n", asked.path, asked.model, asked.results, asked.answer)
        };
        self.model.log().iter().map(line).collect()
    }
}

/// What one try used, by its journal.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) task: String,
    pub(crate) session: String,
    pub(crate) outcome: String,
    tool_calls: Option<u64>,
    /// Input, out of the cache, into the cache, output.
    tokens: [Option<u64>; 4],
    cost: Option<f64>,
}

impl Used {
    /// Holds it to what the model told in these answers: 1000 tokens each, 200 more out of the cache, 50 of output. What
    /// a program asks beside the work is without tools, and told of no tokens.
    pub(crate) fn is_what_the_model_told<'a>(&self, answers: impl Iterator<Item = &'a Asked>, names_a_price: bool) {
        let answers = answers.filter(|asked| !asked.tools.is_empty()).count() as u64;
        assert_eq!(self.tokens, [1000 * answers, 200 * answers, 0, 50 * answers].map(Some), "{self:?}");
        assert!(answers >= 2 && self.tool_calls == Some(answers - 1) && !self.session.is_empty(), "{self:?}");
        // The same price for each of them, where the program knows any.
        let cent = self.cost.map(|cost| (cost / answers as f64 * 1e5).round());
        assert!(!names_a_price || cent.is_some_and(|cent| cent > 0.0), "{self:?}");
    }
}
