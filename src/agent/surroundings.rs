//! What of our environment an agent gets. Pure; the runtime asks it for every start of an agent, and of nothing else:
//! what a list's own commands need is for the person who starts `spec` to decide.
//!
//! By default an agent gets all of it, its own key and what the project's tests need included, as it would when started by
//! hand: which of a person's variables an agent can do without is nothing that we could tell, and what it prints of
//! them is masked. Only what says "you run inside another agent" is left out: it would make the agent take itself for
//! a part of that session.

use crate::mask::matches_name;

/// What an agent sets for the commands it runs, so that they know it. Not what people set for the agent itself
/// (`CLAUDE_CODE_OAUTH_TOKEN`, `CODEX_HOME`, `GEMINI_API_KEY`).
const NESTED: [&str; 25] = [
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_*",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_MESSAGING_*",
    "CLAUDE_CODE_SESSION_*",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_CODE_TASK_*",
    "CLAUDE_EFFORT",
    "CLAUDE_ENV_FILE",
    "CLAUDE_PID",
    "CLAUDE_PLUGIN_DATA",
    "CLAUDE_PLUGIN_ROOT",
    "CLAUDE_PROJECT_DIR",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_*",
    "CODEX_SESSION*",
    "CODEX_THREAD_ID",
    "GEMINI_CLI",
    "GEMINI_SESSION_*",
    "QWEN_CODE",
    "OPENCODE",
    "OPENCODE_PID",
    "OPENCODE_SESSION*",
    "COPILOT_SESSION*",
    "AI_AGENT",
];
/// Without these hardly a program works; they are passed whatever is configured.
const NEEDED: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SPEC_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "*_proxy",
    "SSL_CERT_*",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSH_AUTH_SOCK",
];

/// What of our environment agents get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Names that are passed; `*` stands for anything. Empty: all are.
    pub pass: Vec<String>,
    /// Names that are not, whatever else is said.
    pub remove: Vec<String>,
}

impl Surroundings {
    /// Of these variables, those that an agent does not get.
    pub fn kept_back<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let any = |patterns: &[&str], name: &str| patterns.iter().any(|pattern| matches_name(pattern, name));
        let listed = |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches_name(pattern, name));
        let gets = |name: &str| {
            let wanted = listed(&self.pass, name) || self.pass.is_empty() && !any(&NESTED, name) || any(&NEEDED, name);
            wanted && !listed(&self.remove, name)
        };
        names.into_iter().filter(|name| !gets(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_back<'a>(pass: &[&str], remove: &[&str], names: &[&'a str]) -> Vec<&'a str> {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Surroundings { pass: texts(pass), remove: texts(remove) }.kept_back(names.iter().copied())
    }

    #[test]
    fn by_default_only_what_marks_a_session_inside_another_is_kept_back() {
        let names = [
            "PATH",
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CONFIG_DIR",
            "CLAUDECODE",
            "CLAUDE_CODE_CHILD_SESSION",
            "CLAUDE_CODE_SESSION_ID",
            "CLAUDE_PROJECT_DIR",
            "CODEX_HOME",
            "CODEX_SANDBOX",
            "CODEX_THREAD_ID",
            "GEMINI_CLI",
            "GEMINI_API_KEY",
            "GEMINI_CLI_TRUST_WORKSPACE",
            "OPENCODE",
            "OPENCODE_CONFIG",
            "QWEN_CODE",
            "QWEN_CODE_NO_RELAUNCH",
            "DATABASE_URL",
        ];
        assert_eq!(
            kept_back(&[], &[], &names),
            [
                "CLAUDECODE",
                "CLAUDE_CODE_CHILD_SESSION",
                "CLAUDE_CODE_SESSION_ID",
                "CLAUDE_PROJECT_DIR",
                "CODEX_SANDBOX",
                "CODEX_THREAD_ID",
                "GEMINI_CLI",
                "OPENCODE",
                "QWEN_CODE"
            ]
        );
    }

    #[test]
    fn what_is_named_is_passed_and_what_is_removed_is_not() {
        let names = ["PATH", "LC_ALL", "ANTHROPIC_API_KEY", "DATABASE_URL", "CLAUDECODE", "SPEC_FILE", "https_proxy"];
        assert_eq!(kept_back(&["ANTHROPIC_*"], &[], &names), ["DATABASE_URL", "CLAUDECODE"]);
        assert_eq!(kept_back(&[], &["DATABASE_URL"], &names), ["DATABASE_URL", "CLAUDECODE"]);
        assert_eq!(kept_back(&["*"], &[], &names), [""; 0], "a marker that is asked for");
        assert_eq!(kept_back(&["*"], &["*_KEY", "PATH"], &names), ["PATH", "ANTHROPIC_API_KEY"]);
    }
}
