//! `spec mcp`: the commands of this program as tools of a Model Context Protocol server, for agents that would rather call
//! a tool than a shell. Each tool starts this same program with `--format json` or for people, so that everything that
//! holds for a command holds for its tool: a task that is claimed done here passes the same gates.
//!
//! The server lives as long as its session: both ends talk over standard input and output.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, ContentBlock, ListResourcesResult, PaginatedRequestParams, ProgressNotificationParam,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, RequestMetaObject, Resource, ResourceContents,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, ServiceExt as _, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::{Error, exit};
use crate::runtime::session;

/// What a session is told of the server.
const INSTRUCTIONS: &str = "Carries out markdown task lists. Call `next`, do what it says (a sub-agent for each task of a \
    batch, all started at once, each with its printed prompt), then `finish`; again until it says that all is done. \
    Never tick boxes, edit the state files or commit yourself.";

/// How often a client is told that a call goes on.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Serves until the client goes away.
pub fn run() -> Result<u8, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format_args!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        let server = Server::new();
        let service = server.serve(rmcp::transport::stdio()).await;
        let service = service.map_err(|error| Error::failed(format_args!("no client of MCP is there: {error}")))?;
        service.waiting().await.map_err(|error| Error::failed(format_args!("the server ended: {error}")))?;
        Ok(exit::DONE)
    })
}

/// The server of one session.
struct Server {
    /// Its name with `spec next`: that of the agent's session where the environment has it.
    session: String,
    /// Where the tasks that were handed out note what others should know.
    progress: Mutex<BTreeMap<String, PathBuf>>,
}

/// Which list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Which {
    /// Task list, folder or name of a spec; without it the one that `spec run` would take.
    file: Option<String>,
}

/// What `next` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Next {
    /// Task list, folder or name of a spec; without it the one that `spec run` would take.
    file: Option<String>,
    /// Take the run over from another session that has it. Only when the person has said so.
    #[serde(default)]
    take_over: bool,
}

/// What `finish` takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Finish {
    /// Task list, folder or name of a spec; without it the one that `spec run` would take.
    file: Option<String>,
    /// Tasks whose sub-agents say that they are done, as `next` names them.
    #[serde(default)]
    done: Vec<String>,
    /// Tasks that could not be done.
    #[serde(default)]
    failed: Vec<Reason>,
    /// Tasks that are done without a change.
    #[serde(default)]
    no_change: Vec<Reason>,
}

/// A task and why.
#[derive(Debug, Deserialize, JsonSchema)]
struct Reason {
    /// The task, as `next` names it.
    task: String,
    /// Why.
    reason: String,
}

/// Something worth knowing that came up with a task.
#[derive(Debug, Deserialize, JsonSchema)]
struct Note {
    /// The task, as `next` names it.
    task: String,
    /// What the next tasks, or the person, should know; one line.
    text: String,
}

#[tool_router]
impl Server {
    fn new() -> Self {
        let session = match session::name(None) {
            unnamed if unnamed == session::UNNAMED => format!("mcp-{}", std::process::id()),
            named => named,
        };
        Self { session, progress: Mutex::default() }
    }

    /// Lists the tasks of a list with their ids, boxes, markers, files and commands, as JSON.
    #[tool]
    async fn tasks(&self, Parameters(which): Parameters<Which>) -> CallToolResult {
        self.call(&["tasks"], which.file.as_deref(), &["--format", "json"]).await
    }

    /// Shows the steps of what is left to do, what waits for what and why, as JSON.
    #[tool]
    async fn plan(&self, Parameters(which): Parameters<Which>) -> CallToolResult {
        self.call(&["plan"], which.file.as_deref(), &["--format", "json"]).await
    }

    /// Shows what is done, what runs and what waits.
    #[tool]
    async fn status(&self, Parameters(which): Parameters<Which>) -> CallToolResult {
        self.call(&["status"], which.file.as_deref(), &[]).await
    }

    /// Gives the next step: for each of its tasks the prompt for a sub-agent and the folder to work in. Calling it again gives
    /// the same step, without what is done.
    #[tool]
    async fn next(
        &self,
        Parameters(next): Parameters<Next>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> CallToolResult {
        let mut more = vec!["--format", "json", "--session", &self.session];
        if next.take_over {
            more.push("--take-over");
        }
        let result = self.step(&["next"], next.file.as_deref(), &more, &meta, &client).await;
        self.remember(&result);
        result
    }

    /// Says which tasks of the step are over. They are checked, merged, committed and ticked by `spec`, which then says what
    /// comes next. A task that does not pass is handed out again by `next`.
    #[tool]
    async fn finish(
        &self,
        Parameters(finish): Parameters<Finish>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> CallToolResult {
        let of = |option: &str, said: &[Reason]| -> Vec<String> {
            said.iter().map(|it| format!("{option}={}={}", it.task, it.reason)).collect()
        };
        let mut args = vec!["--format=json".to_owned(), format!("--session={}", self.session)];
        args.extend(finish.file.iter().map(|file| format!("--file={file}")));
        args.extend(of("--failed", &finish.failed).into_iter().chain(of("--no-change", &finish.no_change)));
        args.push("--".to_owned());
        args.extend(finish.done);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.step(&["finish"], None, &args, &meta, &client).await
    }

    /// Notes something that the tasks after this one should know; it is merged into the spec's progress file.
    #[tool]
    async fn note_learning(&self, Parameters(note): Parameters<Note>) -> CallToolResult {
        self.note(&note, "")
    }

    /// Logs an issue that was met on the way and is not this task's to mend.
    #[tool]
    async fn log_issue(&self, Parameters(note): Parameters<Note>) -> CallToolResult {
        self.note(&note, "Issue met on the way: ")
    }

    /// Notes a task that should follow, for the person to decide on.
    #[tool]
    async fn note_follow_up(&self, Parameters(note): Parameters<Note>) -> CallToolResult {
        self.note(&note, "Follow-up: ")
    }

    /// Ends the run that is going on. What was done is kept.
    #[tool]
    async fn cancel(&self, Parameters(which): Parameters<Which>) -> CallToolResult {
        self.call(&["cancel"], which.file.as_deref(), &[]).await
    }
}

impl Server {
    /// Runs a command of this program and gives what it printed.
    async fn call(&self, command: &[&str], file: Option<&str>, more: &[&str]) -> CallToolResult {
        match spawn(command, file, more).await {
            Ok((code, text)) if matches!(code, exit::DONE | exit::FAILED) && !text.trim().is_empty() => {
                CallToolResult::success(vec![ContentBlock::text(text)])
            }
            Ok((code, text)) => CallToolResult::error(vec![ContentBlock::text(format!("exit code {code}\n{text}"))]),
            Err(error) => {
                CallToolResult::error(vec![ContentBlock::text(format!("cannot start this program again: {error}"))])
            }
        }
    }

    /// The same for one that may take long, since commands of the list are run in it: the client is told every now and then
    /// that it goes on.
    async fn step(
        &self,
        command: &[&str],
        file: Option<&str>,
        more: &[&str],
        meta: &RequestMetaObject,
        client: &Peer<RoleServer>,
    ) -> CallToolResult {
        let Some(token) = meta.get_progress_token() else { return self.call(command, file, more).await };
        let mut ticks = tokio::time::interval(TELL_EVERY);
        let mut told = 0.0;
        let called = self.call(command, file, more);
        tokio::pin!(called);
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    told += 1.0;
                    let words = format!("spec {} is at work", command.join(" "));
                    let progress = ProgressNotificationParam::new(token.clone(), told).with_message(words);
                    // A client that does not listen is none of our business.
                    client.notify_progress(progress).await.ok();
                }
                result = &mut called => return result,
            }
        }
    }

    /// Keeps where the tasks that were handed out have their progress files.
    fn remember(&self, result: &CallToolResult) {
        let text = result.content.first().and_then(|content| content.as_text());
        let Some(answer) = text.and_then(|text| serde_json::from_str::<Value>(&text.text).ok()) else { return };
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        for task in answer["tasks"].as_array().into_iter().flatten() {
            if let (Some(name), Some(file)) = (task["task"].as_str(), task["progressFile"].as_str()) {
                progress.insert(name.to_owned(), file.into());
            }
        }
    }

    /// Adds a learning to the progress file of a task that was handed out.
    fn note(&self, note: &Note, what: &str) -> CallToolResult {
        let file = self.progress.lock().unwrap_or_else(PoisonError::into_inner).get(&note.task).cloned();
        let Some(file) = file else {
            let text = format!("{} is none of the tasks that `next` has given this session", note.task);
            return CallToolResult::error(vec![ContentBlock::text(text)]);
        };
        let line = note.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        let mut text = String::new();
        if !there.contains("## Learnings") {
            writeln!(text, "{}## Learnings\n", if there.is_empty() { "" } else { "\n" }).ok();
        }
        writeln!(text, "- {what}{line}").ok();
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(&file);
        match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => CallToolResult::success(vec![ContentBlock::text("noted")]),
            Err(error) => {
                let text = format!("cannot write {}: {error}", file.display());
                CallToolResult::error(vec![ContentBlock::text(text)])
            }
        }
    }
}

/// Runs this program; gives its exit code and standard output, or what it said where there is no output.
async fn spawn(command: &[&str], file: Option<&str>, more: &[&str]) -> std::io::Result<(u8, String)> {
    let mut program = tokio::process::Command::new(std::env::current_exe()?);
    let output = program.args(command).args(more).args(file).stdin(Stdio::null()).output().await?;
    let code = output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED);
    let out = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((code, if out.trim().is_empty() { said } else { out }.into_owned()))
}

/// What can be read, and the command that prints it.
const RESOURCES: [(&str, &str, &str, &[&str]); 3] = [
    ("spec://list", "list", "The tasks of the list, as JSON", &["tasks", "--format", "json"]),
    ("spec://plan", "plan", "The steps of what is left to do, as JSON", &["plan", "--format", "json"]),
    ("spec://progress", "progress", "What is done, what runs and what waits", &["status"]),
];

#[tool_handler(router = Self::tool_router())]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
            .with_instructions(INSTRUCTIONS);
        "spec".clone_into(&mut info.server_info.name);
        env!("CARGO_PKG_VERSION").clone_into(&mut info.server_info.version);
        info
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resource =
            |(uri, name, about, _): &(&str, &str, &str, &[&str])| Resource::new(*uri, *name).with_description(*about);
        Ok(ListResourcesResult::with_all_items(RESOURCES.iter().map(resource).collect()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let known = RESOURCES.iter().find(|(uri, ..)| *uri == request.uri);
        let Some((uri, .., command)) = known else {
            return Err(ErrorData::resource_not_found(format!("there is no {}", request.uri), None));
        };
        let (code, text) =
            spawn(command, None, &[]).await.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        if code > exit::FAILED {
            return Err(ErrorData::internal_error(text, None));
        }
        Ok(ReadResourceResult::new(vec![ResourceContents::text(text, *uri)]).into())
    }
}
