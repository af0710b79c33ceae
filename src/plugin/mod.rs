//! What agents need to carry out lists from inside: commands, hooks, an MCP server, sub-agents and a skill, all made from
//! `templates/plugin/`. Pure: [`package`] is the folder that Claude Code, Codex and Gemini CLI read alike (it is in this
//! repository as `plugin/`), [`parts`] says what belongs where on a machine, and [`edit`] changes settings of theirs.
//!
//! `cli::commands::plugin` compares that with what is there and writes it. What each agent reads was measured with Claude
//! Code 2.1.329, Codex 0.169.0, Gemini CLI 0.61.0 and opencode 1.18.33.

pub mod edit;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Where something can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Target {
    /// Claude Code: a plugin with commands (`/spec:run`), hooks, sub-agents, a skill and the MCP server.
    Claude,
    /// Codex: a plugin with the skill, hooks and the MCP server.
    Codex,
    /// Gemini CLI: an extension with commands (`/spec:run`), hooks, the skill and the MCP server.
    Gemini,
    /// opencode: commands (`/spec-run`), a plugin that goes on while there is a step, and the MCP server.
    Opencode,
    /// The skill for any agent that reads `.agents/skills` of a repository.
    Skill,
    /// A block in the `AGENTS.md` of a repository.
    AgentsMd,
}

impl Target {
    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Skill => "skill",
            Self::AgentsMd => "agents-md",
        }
    }

    /// Its program, where it is an agent's.
    #[must_use]
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Claude | Self::Codex | Self::Gemini | Self::Opencode => Some(self.name()),
            Self::Skill | Self::AgentsMd => None,
        }
    }
}

/// Folders of a person and of a repository.
#[derive(Debug, Clone)]
pub struct Places {
    /// `XDG_DATA_HOME/spec`: the package that settings of agents point to.
    pub data: PathBuf,
    /// Claude Code's: `CLAUDE_CONFIG_DIR`, else `~/.claude`.
    pub claude: PathBuf,
    /// Codex': `CODEX_HOME`, else `~/.codex`.
    pub codex: PathBuf,
    /// Gemini CLI's: `~/.gemini`.
    pub gemini: PathBuf,
    /// opencode's: `XDG_CONFIG_HOME/opencode`.
    pub opencode: PathBuf,
    /// The root of the repository, or the current folder.
    pub project: PathBuf,
}

/// Something that belongs somewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A file that is ours as a whole.
    File {
        /// Where.
        path: PathBuf,
        /// What is in it.
        text: String,
    },
    /// A value in a settings file of somebody else.
    Setting {
        /// The file.
        path: PathBuf,
        /// How it is written.
        format: Format,
        /// The keys down to the value.
        keys: Vec<String>,
        /// The value.
        value: Value,
    },
    /// A block of a markdown file, between marks.
    Block {
        /// The file.
        path: PathBuf,
        /// What is in the block.
        text: String,
    },
}

impl Part {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Setting { path, .. } | Self::Block { path, .. } => path,
        }
    }
}

/// How a settings file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, with comments or without.
    Json,
    /// TOML.
    Toml,
}

/// Name, description and text of a command.
const COMMANDS: [(&str, &str); 7] = [
    ("run", include_str!("../../templates/plugin/commands/run.md")),
    ("next", include_str!("../../templates/plugin/commands/next.md")),
    ("status", include_str!("../../templates/plugin/commands/status.md")),
    ("cancel", include_str!("../../templates/plugin/commands/cancel.md")),
    ("init", include_str!("../../templates/plugin/commands/init.md")),
    ("plan", include_str!("../../templates/plugin/commands/plan.md")),
    ("check", include_str!("../../templates/plugin/commands/check.md")),
];
const SKILL: &str = include_str!("../../templates/plugin/skill/SKILL.md");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The package: paths in it and what is in them.
#[must_use]
pub fn package() -> Vec<(String, String)> {
    let about = |more: Value| {
        let mut about = json!({
            "name": "spec",
            "version": VERSION,
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "author": { "name": "The spec authors" },
            "license": env!("CARGO_PKG_LICENSE"),
            "keywords": ["tasks", "markdown", "runner"],
        });
        if let (Value::Object(about), Value::Object(more)) = (&mut about, more) {
            about.extend(more);
        }
        pretty(&about)
    };
    let server = json!({ "command": "spec", "args": ["mcp"] });
    // Otherwise Claude Code shows its tools only to a model that searches for them.
    let always = json!({ "command": "spec", "args": ["mcp"], "alwaysLoad": true });
    let gemini = json!({ "name": "spec", "version": VERSION, "mcpServers": { "spec": server } });
    let mut files = vec![
        (".claude-plugin/plugin.json".to_owned(), about(json!({}))),
        (".codex-plugin/plugin.json".to_owned(), about(json!({ "skills": "./skills", "mcpServers": "./.mcp.json" }))),
        ("gemini-extension.json".to_owned(), pretty(&gemini)),
        (".mcp.json".to_owned(), pretty(&json!({ "mcpServers": { "spec": always } }))),
        ("hooks/hooks.json".to_owned(), include_str!("../../templates/plugin/hooks.json").to_owned()),
        ("agents/executor.md".to_owned(), include_str!("../../templates/plugin/agents/executor.md").to_owned()),
        ("agents/verifier.md".to_owned(), include_str!("../../templates/plugin/agents/verifier.md").to_owned()),
        ("skills/spec/SKILL.md".to_owned(), SKILL.to_owned()),
        ("README.md".to_owned(), include_str!("../../templates/plugin/README.md").to_owned()),
        ("LICENSE".to_owned(), include_str!("../../LICENSE-MIT").to_owned()),
    ];
    for (name, text) in COMMANDS {
        files.push((format!("commands/{name}.md"), text.to_owned()));
        files.push((format!("commands/spec/{name}.toml"), gemini_command(text)));
    }
    files.sort();
    files
}

/// The file by which a folder with the package in `source` is a marketplace.
#[must_use]
pub fn marketplace(source: &str) -> String {
    pretty(&json!({
        "name": "spec",
        "owner": { "name": "The spec authors" },
        "plugins": [{
            "name": "spec",
            "source": source,
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "version": VERSION,
        }],
    }))
}

/// What belongs where for a target.
#[must_use]
pub fn parts(target: Target, places: &Places) -> Vec<Part> {
    let file = |path: PathBuf, text: String| Part::File { path, text };
    let below = |folder: &Path| -> Vec<Part> {
        package().into_iter().map(|(path, text)| file(folder.join(path), text)).collect()
    };
    let setting = |path: PathBuf, format, keys: &[&str], value| Part::Setting {
        path,
        format,
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
        value,
    };
    let market = places.data.join("plugin");
    let from_market = || {
        let mut parts = below(&market.join("spec"));
        parts.push(file(market.join(".claude-plugin/marketplace.json"), marketplace("./spec")));
        parts
    };
    match target {
        Target::Claude => {
            let settings = places.claude.join("settings.json");
            let source = json!({ "source": { "source": "directory", "path": market } });
            let mut parts = from_market();
            parts.push(setting(settings.clone(), Format::Json, &["extraKnownMarketplaces", "spec"], source));
            parts.push(setting(settings, Format::Json, &["enabledPlugins", "spec@spec"], json!(true)));
            parts
        }
        Target::Codex => {
            let config = places.codex.join("config.toml");
            let mut parts = from_market();
            // It reads an installed plugin from its own copy.
            parts.extend(below(&places.codex.join("plugins/cache/spec/spec").join(VERSION)));
            let source = json!({ "source_type": "local", "source": market });
            parts.push(setting(config.clone(), Format::Toml, &["marketplaces", "spec"], source));
            parts.push(setting(config, Format::Toml, &["plugins", "spec@spec"], json!({ "enabled": true })));
            parts
        }
        Target::Gemini => below(&places.gemini.join("extensions/spec")),
        Target::Opencode => {
            let mut parts: Vec<Part> = COMMANDS
                .iter()
                .map(|(name, text)| {
                    let (description, body) = front_matter(text);
                    let text = format!("---\ndescription: {description}\n---\n{body}");
                    file(places.opencode.join(format!("command/spec-{name}.md")), text)
                })
                .collect();
            let plugin = include_str!("../../templates/plugin/opencode.js");
            parts.push(file(places.opencode.join("plugin/spec.js"), plugin.to_owned()));
            let server = json!({ "type": "local", "command": ["spec", "mcp"], "enabled": true });
            parts.push(setting(places.opencode.join("opencode.json"), Format::Json, &["mcp", "spec"], server));
            parts
        }
        Target::Skill => vec![file(places.project.join(".agents/skills/spec/SKILL.md"), SKILL.to_owned())],
        Target::AgentsMd => {
            let text = include_str!("../../templates/plugin/agents-md.md").to_owned();
            vec![Part::Block { path: places.project.join("AGENTS.md"), text }]
        }
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The description of a command, and its text.
fn front_matter(text: &str) -> (&str, &str) {
    let inner = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    let Some((head, body)) = inner else { return ("", text) };
    let description = head.lines().find_map(|line| line.strip_prefix("description: "));
    (description.unwrap_or_default(), body)
}

/// A command as Gemini CLI has it.
fn gemini_command(text: &str) -> String {
    let (description, body) = front_matter(text);
    let mut command = toml_edit::DocumentMut::new();
    command["description"] = toml_edit::value(description);
    command["prompt"] = toml_edit::value(body.replace("$ARGUMENTS", "{{args}}"));
    command.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_description_and_takes_arguments_in_the_agents_own_way() {
        for (name, text) in COMMANDS {
            let (description, body) = front_matter(text);
            assert!(!description.is_empty() && body.contains("spec "), "{name}");
            let gemini: toml::Table = gemini_command(text).parse().expect("TOML");
            let prompt = gemini["prompt"].as_str().expect("a text");
            assert!(!prompt.contains("$ARGUMENTS") && prompt.contains("{{args}}"), "{name}: {prompt}");
        }
    }

    #[test]
    fn the_package_is_valid_json_where_it_says_so() {
        for (path, text) in package() {
            if Path::new(&path).extension().is_some_and(|extension| extension == "json") {
                serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        }
    }
}
