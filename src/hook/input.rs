//! What an agent says of itself, whichever it is.

use std::path::PathBuf;

use serde_json::Value;

/// The parts of a hook's input that count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// Which session.
    pub session: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// The name of the moment in the agent's own words.
    pub event: String,
    /// The sub-agent that it is about.
    pub subagent: Option<String>,
    /// It goes on because a hook held it back.
    pub held_back: bool,
    /// Sub-agents of it are at work behind its back, and wake it when they have ended.
    pub awaits: bool,
    /// The last that was said; some agents do not tell.
    pub message: Option<String>,
    /// The tool, and what it is to do.
    pub tool: Option<(String, Value)>,
}

impl Input {
    /// Reads it; none where it is no such thing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let Value::Object(fields) = serde_json::from_slice(bytes).ok()? else { return None };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let cwd = text("cwd").map(PathBuf::from).or_else(|| std::env::current_dir().ok())?;
        Some(Self {
            session: text("session_id")?.to_owned(),
            cwd,
            event: text("hook_event_name").unwrap_or_default().to_owned(),
            subagent: text("agent_id").map(str::to_owned),
            held_back: fields.get("stop_hook_active").and_then(Value::as_bool).unwrap_or_default(),
            awaits: fields.get("background_tasks").and_then(Value::as_array).is_some_and(|all| all.iter().any(wakes)),
            message: text("last_assistant_message").or_else(|| text("prompt_response")).map(str::to_owned),
            tool: text("tool_name")
                .map(|name| (name.to_owned(), fields.get("tool_input").cloned().unwrap_or_default())),
        })
    }

    /// Gemini has a form of its own.
    #[must_use]
    pub fn is_gemini(&self) -> bool {
        matches!(self.event.as_str(), "AfterAgent" | "BeforeTool" | "BeforeAgent")
    }
}

/// Whether a background task wakes its session at its end. A shell may be a server that never ends.
fn wakes(task: &Value) -> bool {
    matches!(task.get("type").and_then(Value::as_str), Some("subagent" | "workflow"))
}
