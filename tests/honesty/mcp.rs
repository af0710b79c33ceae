//! The MCP server, by the lines that go over its pipes: what its tools do passes the same gates as everything else.

#![expect(clippy::disallowed_methods, reason = "the tests play a session, whose files and times are its own")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};

use serde_json::{Value, json};

use crate::world::World;

struct Client {
    server: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    id: u64,
    /// Progress that came in between.
    progress: Vec<String>,
}

impl Client {
    fn start(world: &World) -> Self {
        let mut command = world.env.spec_command(["mcp"]);
        command.stdin(std::process::Stdio::piped());
        let mut server = world.start_command(command);
        let to = server.stdin.take().expect("a pipe");
        let from = BufReader::new(server.stdout.take().expect("a pipe"));
        let mut client = Self { server, to, from, id: 0, progress: Vec::new() };
        let about = json!({"name": "test", "version": "1"});
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": about});
        let answer = client.ask("initialize", &hello);
        assert_eq!(answer["serverInfo"]["name"], "spec");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.to, "{message}").expect("taken");
        self.to.flush().expect("taken");
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).expect("readable"), 0, "the server ended");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["method"] == "notifications/progress" {
                self.progress.push(message["params"]["message"].as_str().expect("a text").to_owned());
            }
            if message["id"] == id {
                assert!(message["error"].is_null(), "{message}");
                return message["result"].clone();
            }
        }
    }

    /// What a tool answers: whether that is an error, and its text.
    fn call(&mut self, tool: &str, arguments: &Value) -> (bool, String) {
        let meta = json!({"progressToken": 7});
        let result = self.ask("tools/call", &json!({"name": tool, "arguments": arguments, "_meta": meta}));
        (result["isError"] == true, result["content"][0]["text"].as_str().expect("a text").to_owned())
    }

    fn end(mut self) {
        drop(self.to);
        assert!(self.server.wait().expect("it ends").success());
    }
}

const LIST: &str = "# Tasks\n\n\
    - [ ] 1.1 [P] A\n  - **Files**: a.txt\n  - **Verify**: `test -s a.txt`\n\
    - [ ] 1.2 [P] B\n  - **Files**: b.txt\n  - **Verify**: `test -s b.txt`\n\
    - [ ] 1.3 Wait\n  - **Run**: `cat a.txt b.txt > c.txt`\n  - **Files**: c.txt\n";

#[test]
fn a_list_is_carried_out_by_tools_and_a_claim_alone_is_worth_nothing() {
    let world = World::new(LIST);
    let mut client = Client::start(&world);
    let tools = client.ask("tools/list", &json!({}));
    let names: Vec<&str> =
        tools["tools"].as_array().expect("tools").iter().filter_map(|it| it["name"].as_str()).collect();
    for name in ["tasks", "plan", "next", "finish", "status", "cancel", "note_learning", "log_issue", "note_follow_up"]
    {
        assert!(names.contains(&name), "{names:?}");
    }

    let (failed, text) = client.call("next", &json!({}));
    assert!(!failed, "{text}");
    let step: Value = serde_json::from_str(&text).expect("JSON");
    let tasks = step["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), 2, "{step}");
    // One does its work, the other only says so.
    std::fs::write(format!("{}/a.txt", tasks[0]["folder"].as_str().expect("a folder")), "a\n").expect("written");
    assert_eq!(client.call("log_issue", &json!({"task": "1.1", "text": "the tap drips"})), (false, "noted".to_owned()));
    assert!(client.call("log_issue", &json!({"task": "9.9", "text": "x"})).0, "not its task");

    let (_, text) = client.call("finish", &json!({"done": ["1.1", "1.2"]}));
    assert!(text.contains("missing_files") || text.contains("no_change"), "{text}");
    assert!(!world.ticked("1.2"), "{text}");

    let (_, text) = client.call("next", &json!({}));
    let step: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(step["tasks"][0]["task"], "1.2", "handed out again: {step}");
    std::fs::write(format!("{}/b.txt", step["tasks"][0]["folder"].as_str().expect("a folder")), "b\n")
        .expect("written");
    client.call("finish", &json!({"done": ["1.2"]}));
    // What needs no agent is run by spec itself.
    let (_, text) = client.call("next", &json!({}));
    assert!(world.ticked("1.3") && text.contains("ALL_TASKS_COMPLETE"), "{text}");
    assert_eq!(
        world.history().into_iter().filter(|task| task.starts_with("1.")).collect::<Vec<_>>(),
        ["1.1", "1.2", "1.3"]
    );
    assert!(world.env.read(".progress.md").contains("Issue met on the way: the tap drips"));
    assert!(!client.progress.is_empty(), "it says what it does while it does it");

    let read = client.ask("resources/read", &json!({"uri": "spec://list"}));
    assert!(read["contents"][0]["text"].as_str().expect("a text").contains("spec.tasks/1"));
    client.end();
}

#[test]
fn what_is_wrong_comes_as_an_error_of_the_tool() {
    let world = World::new("- [ ] 1 [P] a\n  - **Depends**: 9\n");
    let mut client = Client::start(&world);
    let (failed, text) = client.call("next", &json!({}));
    assert!(failed && text.contains("exit code 2"), "{text}");
    let (failed, text) = client.call("tasks", &json!({"file": "nowhere.md"}));
    assert!(failed && text.contains("nowhere.md"), "{text}");
    client.end();
}
