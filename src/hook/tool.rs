//! A tool is about to write: into the files of a task that the session has, or into something else? And the shells of Gemini CLI
//! are told which session they belong to, which it tells its hooks only.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::{Input, find};
use crate::git::{Declared, RepoPath};
use crate::runtime::clock;
use crate::store::lease::{self, Lease, LeasedTask};

/// Parts of the names of tools that write files.
const WRITING: [&str; 6] = ["write", "edit", "replace", "patch", "create", "delete"];
/// Where tools have the path.
const PATHS: [&str; 4] = ["file_path", "notebook_path", "absolute_path", "path"];

/// The answer: a warning or a refusal, or nothing.
pub(super) fn answer(input: &Input) -> Option<String> {
    let (name, args) = input.tool.as_ref()?;
    let name = name.to_ascii_lowercase();
    if input.is_gemini() && name == "run_shell_command" {
        return named(args, &input.session);
    }
    if !WRITING.iter().any(|word| name.contains(word)) {
        return None;
    }
    let (path, lease) = find::lease(&input.cwd)?;
    if lease.session != input.session || lease.ownership == "off" {
        return None;
    }
    lease::renew(&path, clock::wall());
    let why = written(args).iter().find_map(|path| outside(&lease, &plain(&input.cwd.join(path))))?;
    let deny = lease.ownership == "deny";
    Some(
        match (input.is_gemini(), deny) {
            (true, true) => json!({ "decision": "deny", "reason": why }),
            (true, false) => json!({ "systemMessage": why }),
            (false, true) => json!({ "hookSpecificOutput": {
                "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": why,
            } }),
            (false, false) => json!({
                "systemMessage": why,
                "hookSpecificOutput": { "hookEventName": "PreToolUse", "additionalContext": why },
            }),
        }
        .to_string(),
    )
}

/// The command with the name of the session in its environment, where it is one of a session.
fn named(args: &Value, session: &str) -> Option<String> {
    let command = args.get("command")?.as_str()?;
    let of_session = command.contains("spec next") || command.contains("spec finish");
    if !of_session || !session.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return None;
    }
    let command = format!("export SPEC_SESSION={session}; {command}");
    let output = json!({ "hookEventName": "BeforeTool", "tool_input": { "command": command } });
    Some(json!({ "hookSpecificOutput": output }).to_string())
}

/// The paths that are to be written.
fn written(args: &Value) -> Vec<PathBuf> {
    let named = PATHS.iter().filter_map(|name| args.get(name)?.as_str()).map(PathBuf::from);
    let text = args.as_str().or_else(|| args.get("input")?.as_str()).or_else(|| args.get("patch")?.as_str());
    let patched = text.into_iter().flat_map(str::lines).filter_map(|line| {
        let line = line.strip_prefix("*** ")?;
        let path =
            ["Add File: ", "Update File: ", "Delete File: ", "Move to: "].iter().find_map(|it| line.strip_prefix(it));
        path.map(|path| PathBuf::from(path.trim()))
    });
    named.chain(patched).collect()
}

/// Without `.` and `..`; the file need not be there.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    // As the lease has its paths: with the links on the way resolved, as far as there is something.
    let there = plain.ancestors().find(|it| it.exists()).map(Path::to_path_buf).unwrap_or_default();
    match (there.canonicalize(), plain.strip_prefix(&there)) {
        (Ok(resolved), Ok(rest)) if !rest.as_os_str().is_empty() => resolved.join(rest),
        (Ok(resolved), Ok(_)) => resolved,
        _ => plain,
    }
}

/// Why a path is none of those that the session's tasks may write; nothing where it is, or where it is not ours to say.
fn outside(lease: &Lease, path: &Path) -> Option<String> {
    let tasks: Vec<&LeasedTask> = lease.tasks.iter().filter(|it| !it.reported).collect();
    if tasks.is_empty() || !path.starts_with(&lease.root) || tasks.iter().any(|it| it.progress_file == path) {
        return None;
    }
    // The innermost tree that it is in.
    let root = tasks
        .iter()
        .map(|it| it.root.as_path())
        .filter(|root| path.starts_with(root))
        .max_by_key(|it| it.as_os_str().len());
    let Some(root) = root else {
        let folders: Vec<String> = tasks.iter().map(|it| format!("{} in {}", it.task, it.root.display())).collect();
        return Some(format!("{} is in no task's working folder; work on {}", path.display(), folders.join(", ")));
    };
    let inside = path.strip_prefix(root).ok()?;
    let inside = RepoPath::new(inside.as_os_str().as_encoded_bytes());
    let here: Vec<&&LeasedTask> = tasks.iter().filter(|it| it.root == root).collect();
    let list = lease.list.strip_prefix(&lease.root).ok()?;
    if inside.as_bytes() == list.as_os_str().as_encoded_bytes() {
        return Some(
            "the task list is not a task's to edit: spec ticks boxes itself, once it has checked a task".to_owned(),
        );
    }
    let covers = |file: &String| Declared::new(file, file.contains(['*', '?', '['])).covers(&inside);
    if here.iter().any(|it| it.files.is_empty() || it.files.iter().any(covers)) {
        return None;
    }
    let names: Vec<String> = here.iter().map(|it| format!("{} ({})", it.task, it.files.join(", "))).collect();
    Some(format!("{inside} is not among the files of task {}", names.join(" or ")))
}
