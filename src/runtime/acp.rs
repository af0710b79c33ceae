//! `spec __acp ACCESS MODEL PROGRAM ARGS...`: stands between a try and an agent that speaks the Agent Client Protocol. It
//! gives the agent the prompt from its standard input, answers what it asks, and prints each message that it sends, one
//! JSON object a line, for [`crate::agent`] to read; and of its own `{"denied": ...}` and, last, `{"end": ...}`.
//!
//! Questions are answered by what the agent may do: to look at things always, to change and run them unless it is only to
//! read, outside its tree and what is none of these only with full access. What is not allowed is denied, and said. It
//! offers the agent no files and no terminal: the agent has its own.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    ContentBlock, Implementation, InitializeRequest, NewSessionRequest, NewSessionResponse, PermissionOption,
    PermissionOptionKind, PromptRequest, RequestPermissionOutcome, RequestPermissionRequest, RequestPermissionResponse,
    SelectedPermissionOutcome, SessionConfigKind, SessionConfigOption, SessionConfigOptionCategory,
    SessionConfigSelectOptions, SetSessionConfigOptionRequest, SetSessionModeRequest, StopReason, TextContent,
    ToolCallUpdate, ToolKind,
};
use agent_client_protocol::{Agent, Client, Lines};
use clap::ValueEnum as _;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use crate::agent::Access;

/// The hidden first argument of [`exec`].
pub const COMMAND: &str = "__acp";
/// The code of the protocol for what cannot be asked for.
const INVALID_PARAMS: i32 = -32602;
/// How long an agent may take to end once its input is closed.
const GRACE: Duration = Duration::from_secs(2);

/// This program, as what stands between is started. Its own path, not that of the running process: a sandbox around it
/// is another program.
pub(crate) fn program() -> OsString {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    own.map_or_else(super::quota::own_program, OsString::from)
}

/// Runs it and gives the exit code.
#[must_use]
pub fn exec(args: impl Iterator<Item = OsString>) -> u8 {
    let error = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(talk(args)).err(),
        Err(error) => Some(error.to_string()),
    };
    say(&json!({ "end": { "error": error } }));
    u8::from(error.is_some())
}

/// Prints one of our own lines. Nobody reading is the end of the run, which ends us, too.
fn say(line: &serde_json::Value) {
    print(&line.to_string());
}

fn print(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// The whole conversation.
async fn talk(mut args: impl Iterator<Item = OsString>) -> Result<(), String> {
    let access = args.next().and_then(|access| Access::from_str(access.to_str()?, false).ok());
    let (Some(access), Some(model), Some(program)) = (access, args.next(), args.next()) else {
        return Err("there is no agent to start".to_owned());
    };
    let model = (model != "-").then(|| model.to_string_lossy().into_owned());
    let prompt = io::read_to_string(io::stdin()).map_err(|error| format!("cannot read the prompt: {error}"))?;
    let here = std::env::current_dir().map_err(|error| format!("there is no folder to work in: {error}"))?;
    let mut child = start(&program, args)?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("the agent has no input and output".to_owned());
    };
    // With a `Dir` of its own it is started in a part of the tree.
    let tree = std::env::var_os("SPEC_WORKTREE").map(PathBuf::from).filter(|tree| here.starts_with(tree));
    let place = Place { tree: tree.unwrap_or_else(|| here.clone()), here: here.clone() };
    let reason = Client
        .v1()
        .name("spec")
        .on_receive_request(
            async move |asked: RequestPermissionRequest, responder, _connection| {
                responder.respond(RequestPermissionResponse::new(answer(access, &place, &asked)))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .connect_with(lines(stdin, stdout), async move |connection: ConnectionTo<Agent>| {
            let hello = InitializeRequest::new(ProtocolVersion::V1)
                .client_info(Implementation::new("spec", env!("CARGO_PKG_VERSION")));
            connection.send_request(hello).block_task().await?;
            let session = connection.send_request(NewSessionRequest::new(here)).block_task().await?;
            if access == Access::Read {
                only_read(&connection, &session).await?;
            }
            if let Some(model) = &model {
                choose_model(&connection, &session, model).await?;
            }
            let words = vec![ContentBlock::Text(TextContent::new(prompt))];
            let turn = connection.send_request(PromptRequest::new(session.session_id, words)).block_task().await?;
            Ok(turn.stop_reason)
        })
        .await;
    let ended = tokio::time::timeout(GRACE, child.wait()).await;
    match (reason, ended) {
        (Ok(StopReason::EndTurn), _) => Ok(()),
        (Ok(StopReason::MaxTokens), _) => Err("the model's limit of tokens was reached".to_owned()),
        (Ok(StopReason::MaxTurnRequests), _) => Err("the agent's limit of turns was reached".to_owned()),
        (Ok(StopReason::Refusal), _) => Err("the agent refused to go on".to_owned()),
        (Ok(reason), _) => Err(format!("the agent stopped: {reason:?}")),
        (Err(error), Ok(Ok(status))) if !status.success() => {
            Err(format!("{} (the agent ended: {status})", why(&error)))
        }
        (Err(error), _) => Err(why(&error)),
    }
}

#[expect(clippy::disallowed_methods, reason = "it belongs to the process that the run started, and ends with it")]
fn start(program: &OsStr, args: impl Iterator<Item = OsString>) -> Result<tokio::process::Child, String> {
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|error| format!("cannot start `{}`: {error}", program.display()))
}

/// The agent's input and output as the protocol takes them; everything that it sends is printed on the way.
fn lines(
    stdin: ChildStdin,
    stdout: ChildStdout,
) -> Lines<
    impl futures::Sink<String, Error = io::Error> + Send + 'static,
    impl futures::Stream<Item = io::Result<String>> + Send + 'static,
> {
    let outgoing = futures::sink::unfold(stdin, async |mut stdin: ChildStdin, line: String| {
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        stdin.flush().await?;
        Ok(stdin)
    });
    let incoming = futures::stream::unfold(BufReader::new(stdout).lines(), async |mut lines| {
        loop {
            match lines.next_line().await.transpose()? {
                // Some print other things there, too.
                Ok(line) if !line.trim_start().starts_with('{') => {}
                Ok(line) => {
                    print(&line);
                    return Some((Ok(line), lines));
                }
                Err(error) => return Some((Err(error), lines)),
            }
        }
    });
    Lines::new(outgoing, incoming)
}

/// An error of the protocol in one line.
fn why(error: &agent_client_protocol::Error) -> String {
    match &error.data {
        None => error.message.clone(),
        Some(serde_json::Value::String(more)) => format!("{}: {more}", error.message),
        Some(more) => format!("{}: {more}", error.message),
    }
}

/// Puts the agent into a mode in which it only reads; an error where it has none, since some never ask.
async fn only_read(
    connection: &ConnectionTo<Agent>,
    session: &NewSessionResponse,
) -> Result<(), agent_client_protocol::Error> {
    // Copilot's have addresses.
    let fits = |id: &str| ["plan", "read-only"].contains(&id.rsplit('#').next().unwrap_or(id));
    let modes = session.modes.iter().flat_map(|modes| &modes.available_modes);
    if let Some(mode) = modes.map(|mode| &mode.id).find(|id| fits(&id.0)) {
        connection
            .send_request(SetSessionModeRequest::new(session.session_id.clone(), mode.clone()))
            .block_task()
            .await?;
        return Ok(());
    }
    let no_mode = "the agent has no mode in which it only reads";
    choose(connection, session, &SessionConfigOptionCategory::Mode, fits, no_mode).await
}

/// Has the agent use that model.
async fn choose_model(
    connection: &ConnectionTo<Agent>,
    session: &NewSessionResponse,
    model: &str,
) -> Result<(), agent_client_protocol::Error> {
    let unknown =
        format!("the agent offers no model `{model}` by the protocol; leave it out, or name it in its arguments");
    choose(connection, session, &SessionConfigOptionCategory::Model, |id| id == model, &unknown).await
}

/// Sets the option of that category to the first of its values that fits.
async fn choose(
    connection: &ConnectionTo<Agent>,
    session: &NewSessionResponse,
    category: &SessionConfigOptionCategory,
    fits: impl Fn(&str) -> bool,
    none: &str,
) -> Result<(), agent_client_protocol::Error> {
    let options = session.config_options.iter().flatten().filter(|option| option.category.as_ref() == Some(category));
    let found = options.flat_map(|option| values(option).into_iter().map(move |value| (option, value)));
    let Some((option, value)) = found.into_iter().find(|(_, value)| fits(value)) else {
        return Err(agent_client_protocol::Error::new(INVALID_PARAMS, none));
    };
    let request = SetSessionConfigOptionRequest::new(session.session_id.clone(), option.id.clone(), value.as_str());
    connection.send_request(request).block_task().await?;
    Ok(())
}

/// The values that an option can have.
fn values(option: &SessionConfigOption) -> Vec<String> {
    let SessionConfigKind::Select(select) = &option.kind else { return Vec::new() };
    let of = |options: &[_]| -> Vec<String> {
        options
            .iter()
            .map(|it: &agent_client_protocol::v1::schema::SessionConfigSelectOption| it.value.0.to_string())
            .collect()
    };
    match &select.options {
        SessionConfigSelectOptions::Ungrouped(options) => of(options),
        SessionConfigSelectOptions::Grouped(groups) => groups.iter().flat_map(|group| of(&group.options)).collect(),
        _ => Vec::new(),
    }
}

/// What to answer to a question.
fn answer(access: Access, place: &Place, asked: &RequestPermissionRequest) -> RequestPermissionOutcome {
    let allowed = allows(access, place, &asked.tool_call);
    if !allowed {
        say(&json!({ "denied": title(&asked.tool_call) }));
    }
    match option(&asked.options, allowed) {
        Some(option) => RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(option.option_id.clone())),
        None => RequestPermissionOutcome::Cancelled,
    }
}

/// The option that says so, for this once before for ever.
fn option(options: &[PermissionOption], allowed: bool) -> Option<&PermissionOption> {
    let kinds = if allowed {
        [PermissionOptionKind::AllowOnce, PermissionOptionKind::AllowAlways]
    } else {
        [PermissionOptionKind::RejectOnce, PermissionOptionKind::RejectAlways]
    };
    kinds.iter().find_map(|kind| options.iter().find(|option| option.kind == *kind))
}

/// Where an agent works: the tree that it may write to, and the folder in it that it was started in.
struct Place {
    tree: PathBuf,
    here: PathBuf,
}

/// Whether a tool may be used.
fn allows(access: Access, place: &Place, call: &ToolCallUpdate) -> bool {
    let kind = call.fields.kind.unwrap_or(ToolKind::Other);
    let looks = matches!(kind, ToolKind::Read | ToolKind::Search | ToolKind::Think | ToolKind::Fetch);
    let changes = matches!(kind, ToolKind::Edit | ToolKind::Delete | ToolKind::Move);
    match access {
        Access::Full => true,
        Access::Read => looks,
        Access::Edit if changes => paths(call).iter().all(|path| place.has(path)),
        Access::Edit => looks || kind == ToolKind::Execute,
    }
}

/// The files that a call names.
fn paths(call: &ToolCallUpdate) -> Vec<PathBuf> {
    call.fields.locations.iter().flatten().map(|location| location.path.clone()).collect()
}

impl Place {
    /// Whether a path, relative or not, lies in the tree, by its words alone.
    fn has(&self, path: &Path) -> bool {
        let mut plain = PathBuf::new();
        for part in self.here.join(path).components() {
            match part {
                std::path::Component::ParentDir => {
                    plain.pop();
                }
                part => plain.push(part),
            }
        }
        plain.starts_with(&self.tree)
    }
}

/// What a person would call it.
fn title(call: &ToolCallUpdate) -> String {
    let fields = &call.fields;
    let named = fields.title.clone().or_else(|| fields.kind.map(|kind| format!("{kind:?}").to_lowercase()));
    named.unwrap_or_else(|| "a tool".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: &str, path: &str) -> ToolCallUpdate {
        let call = json!({ "toolCallId": "1", "kind": kind, "locations": [{ "path": path }], "title": "Do it" });
        serde_json::from_value(call).unwrap()
    }

    #[test]
    fn what_is_asked_is_answered_by_what_the_agent_may_do() {
        let place = |here: &str| Place { tree: "/w/tree".into(), here: here.into() };
        let may = |access, kind, path| allows(access, &place("/w/tree"), &call(kind, path));
        let cases = [
            ("read", "/etc/hosts", [true, true, true]),
            ("search", "/w/tree", [true, true, true]),
            ("fetch", "", [true, true, true]),
            ("edit", "/w/tree/a", [false, true, true]),
            ("edit", "a", [false, true, true]),
            ("edit", "/w/tree/../other/a", [false, false, true]),
            ("edit", "/w/treehouse/a", [false, false, true]),
            ("delete", "/etc/hosts", [false, false, true]),
            ("execute", "", [false, true, true]),
            ("switch_mode", "", [false, false, true]),
            ("other", "", [false, false, true]),
            ("a_kind_to_come", "", [false, false, true]),
        ];
        for (kind, path, expected) in cases {
            let answers = [Access::Read, Access::Edit, Access::Full].map(|access| may(access, kind, path));
            assert_eq!(answers, expected, "{kind} {path}");
        }
        // Started in a part of its tree.
        let below = |path| allows(Access::Edit, &place("/w/tree/web"), &call("edit", path));
        let answers = ["a", "../a", "/w/tree/a", "../../a", "/w/other"].map(below);
        assert_eq!(answers, [true, true, true, false, false]);
    }

    #[test]
    fn it_is_answered_for_this_once_and_never_with_the_wrong_word() {
        let options = |kinds: &[&str]| -> Vec<PermissionOption> {
            let options = kinds.iter().map(|kind| json!({ "optionId": kind, "name": kind, "kind": kind }));
            serde_json::from_value(options.collect()).unwrap()
        };
        let all = options(&["allow_always", "reject_always", "allow_once", "reject_once"]);
        let said = |options: &[PermissionOption], allowed| {
            option(options, allowed).map(|option| option.option_id.0.to_string())
        };
        assert_eq!(said(&all, true).as_deref(), Some("allow_once"));
        assert_eq!(said(&all, false).as_deref(), Some("reject_once"));
        assert_eq!(said(&options(&["allow_always"]), true).as_deref(), Some("allow_always"));
        assert_eq!(said(&options(&["allow_once"]), false), None);
    }
}
