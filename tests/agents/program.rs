//! The real agent programs: where they are, and what each needs to talk to the model server instead of its service, with
//! a home of its own.

#![expect(clippy::disallowed_methods, reason = "a test sets its files up as any other program does")]
#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

/// Whether everything is to be tried with every program, which takes eight minutes; said where not.
#[allow(dead_code, reason = "each user looks at its own part")]
pub(crate) fn everything() -> bool {
    const EVERYTHING: &str = "SPEC_TEST_EVERYTHING";
    let asked = std::env::var_os(EVERYTHING).is_some();
    if !asked {
        eprintln!("skipped: takes long (set {EVERYTHING} to have it)");
    }
    asked
}

/// A program that is driven here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Claude,
    Codex,
    Gemini,
    Opencode,
    Qwen,
    Copilot,
    Aider,
}

impl Program {
    const ALL: [Self; 7] =
        [Self::Claude, Self::Codex, Self::Gemini, Self::Opencode, Self::Qwen, Self::Copilot, Self::Aider];

    /// The one of that name.
    #[allow(dead_code, reason = "each user looks at its own part")]
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|program| program.name() == name).expect("a program")
    }

    /// Those that are there.
    #[allow(dead_code, reason = "each user looks at its own part")]
    pub(crate) fn installed() -> Vec<Self> {
        Self::ALL.into_iter().filter(|program| program.folder().is_some()).collect()
    }

    /// Its name, on the command line and as `--agent` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Qwen => "qwen",
            Self::Copilot => "copilot",
            Self::Aider => "aider",
        }
    }

    /// The folder with the programs, to be put in front of `PATH`; nothing, said, where it does not have this one.
    pub(crate) fn folder(self) -> Option<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/agents/bin");
        let there = folder.join("../installed").exists() && folder.join(self.name()).exists();
        if !there {
            let more = if self == Self::Aider { " aider" } else { "" };
            eprintln!("skipped: {} is not installed in target/agents (bash .ci/agents.sh{more})", self.name());
        }
        there.then_some(folder)
    }

    /// Writes what it reads at its start into a home, and gives the variables it needs to find the server. Temporary files
    /// are in the home, too: Codex does without its sandbox's helper, and then without a sandbox that works, where its own
    /// folder is below that of temporary files.
    pub(crate) fn set_up(self, home: &Path, server: &str) -> Vec<(&'static str, String)> {
        let temporary = home.join("tmp");
        fs::create_dir_all(&temporary).expect("a folder");
        let mut variables = self.variables(home, server);
        variables.push(("TMPDIR", temporary.display().to_string()));
        variables
    }

    fn variables(self, home: &Path, server: &str) -> Vec<(&'static str, String)> {
        let write = |path: &str, text: String| {
            let path = home.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        let on = || "1".to_owned();
        match self {
            Self::Claude => vec![
                ("ANTHROPIC_BASE_URL", server.to_owned()),
                ("ANTHROPIC_API_KEY", "sk-ant-stub".to_owned()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", on()),
                ("DISABLE_TELEMETRY", on()),
                ("DISABLE_AUTOUPDATER", on()),
            ],
            Self::Codex => {
                // A model that it knows: it offers its tool for patches to those only.
                let settings = format!(
                    "model = \"gpt-5.5-codex\"\nmodel_provider = \"stub\"\ncheck_for_update_on_startup = false\n\
                     [analytics]\nenabled = false\n[model_providers.stub]\nname = \"stub\"\nbase_url = \"{server}/v1\"\n\
                     wire_api = \"responses\"\nrequest_max_retries = 1\nstream_max_retries = 1\nenv_key = \"STUB_KEY\"\n"
                );
                write(".codex/config.toml", settings);
                vec![("STUB_KEY", "sk-stub-0123456789".to_owned())]
            }
            Self::Gemini => {
                let settings = json!({
                    "general": { "enableAutoUpdate": false },
                    "privacy": { "usageStatisticsEnabled": false },
                    "security": { "auth": { "selectedType": "gemini-api-key" } },
                    "model": { "name": "gemini-2.5-flash" },
                });
                write(".gemini/settings.json", settings.to_string());
                vec![
                    ("GOOGLE_GEMINI_BASE_URL", server.to_owned()),
                    ("GEMINI_API_KEY", "stub-0123456789".to_owned()),
                    ("GEMINI_CLI_TRUST_WORKSPACE", "true".to_owned()),
                    ("GEMINI_CLI_NO_RELAUNCH", "true".to_owned()),
                ]
            }
            Self::Opencode => {
                let model = json!({ "name": "stub", "tool_call": true, "cost": { "input": 3, "output": 15 },
                    "limit": { "context": 200_000, "output": 8000 } });
                let settings = json!({
                    "autoupdate": false, "share": "disabled", "model": "stub/stub-model", "small_model": "stub/stub-model",
                    "provider": { "stub": { "npm": "@ai-sdk/openai-compatible", "models": { "stub-model": model },
                        "options": { "baseURL": format!("{server}/v1"), "apiKey": "sk-stub-0123456789" } } },
                });
                write(".config/opencode/opencode.json", settings.to_string());
                vec![
                    ("OPENCODE_DISABLE_AUTOUPDATE", on()),
                    ("OPENCODE_DISABLE_MODELS_FETCH", on()),
                    ("OPENCODE_DISABLE_LSP_DOWNLOAD", on()),
                ]
            }
            Self::Qwen => {
                let settings = json!({
                    "general": { "enableAutoUpdate": false },
                    "privacy": { "usageStatisticsEnabled": false },
                    "security": { "auth": { "selectedType": "openai" } },
                });
                write(".qwen/settings.json", settings.to_string());
                vec![
                    ("OPENAI_BASE_URL", format!("{server}/v1")),
                    ("OPENAI_API_KEY", "sk-stub-0123456789".to_owned()),
                    ("OPENAI_MODEL", "stub-model".to_owned()),
                    ("QWEN_CODE_NO_RELAUNCH", "true".to_owned()),
                ]
            }
            Self::Copilot => vec![
                ("COPILOT_OFFLINE", "true".to_owned()),
                ("COPILOT_AUTO_UPDATE", "false".to_owned()),
                ("COPILOT_PROVIDER_BASE_URL", format!("{server}/v1")),
                // It blacks out the text of its key wherever it prints it: not one of words.
                ("COPILOT_PROVIDER_API_KEY", "sk-stub-0123456789".to_owned()),
                ("COPILOT_MODEL", "stub-model".to_owned()),
            ],
            Self::Aider => vec![
                ("OPENAI_API_BASE", format!("{server}/v1")),
                ("OPENAI_API_KEY", "sk-stub-0123456789".to_owned()),
                ("AIDER_MODEL", "openai/stub-model".to_owned()),
            ],
        }
    }

    /// A command line that runs it by itself.
    #[allow(dead_code, reason = "for the measurement beside `spec`")]
    pub(crate) const fn command_line(self) -> &'static str {
        match self {
            Self::Claude => {
                "claude -p --output-format stream-json --verbose --permission-mode acceptEdits --allowedTools Bash,Edit,Write,Read"
            }
            Self::Codex => "codex exec --json --dangerously-bypass-approvals-and-sandbox -",
            Self::Gemini => "gemini -m gemini-2.5-flash -y -o stream-json",
            Self::Opencode => "opencode run --format json --auto",
            Self::Qwen => "qwen --auth-type openai -y -o stream-json",
            Self::Copilot => "copilot --allow-all --no-ask-user --no-auto-update --output-format json",
            Self::Aider => {
                "cat > ../prompt.md; aider --yes-always --no-auto-commits --no-gitignore --no-stream --no-pretty --no-check-update --no-analytics --no-show-model-warnings --message-file ../prompt.md"
            }
        }
    }
}
