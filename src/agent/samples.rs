//! Recorded streams of the real programs, read in place beside the project: what each must come to, and that no decoder
//! falls over whatever is printed to it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{ALL, Decoder, Session, Tokens, acp, by_name, testing, text};

/// The folder with the streams; none where this is built without it.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = ["../shared", "../../shared"].iter().map(|up| root.join(up).join("agents/samples"));
    let found = folder.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: ../shared/agents/samples is not there");
    }
    found
}

/// The lines that a program printed. Those of the protocol were recorded in both directions.
fn lines(folder: &Path, file: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(folder.join(file)).unwrap();
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    if !file.starts_with("acp-") {
        return lines.collect();
    }
    let received = lines.filter_map(|line| Some(serde_json::from_slice::<serde_json::Value>(&line).ok()?["in"].take()));
    received.filter(|line| !line.is_null()).map(|line| line.to_string().into_bytes()).collect()
}

/// The decoder for a sample, by the name of its file.
fn decoder(file: &str) -> Box<dyn Decoder> {
    match file.split('-').next().unwrap() {
        "acp" => acp::decoder(),
        agent => by_name(agent).unwrap().decoder(),
    }
}

/// The samples of streams, each with the exit code of the program.
const STREAMS: [(&str, i32); 31] = [
    ("claude-stream-json.jsonl", 0),
    ("claude-429-retry.jsonl", 0),
    ("claude-api-400.jsonl", 1),
    ("claude-max-budget.json", 1),
    ("claude-max-turns.json", 1),
    ("claude-permission-denied.json", 0),
    ("claude-plugin-stop-hook.jsonl", 0),
    ("claude-rate-limit-warning.jsonl", 0),
    ("claude-stream-json-input.jsonl", 0),
    ("claude-subagent-background.jsonl", 0),
    ("claude-subagent-worktree.jsonl", 0),
    ("claude-usage-limit-oauth.jsonl", 1),
    ("claude-usage-limit-watchdog.jsonl", 1),
    ("codex-exec.jsonl", 0),
    ("codex-exec-gpt.jsonl", 0),
    ("codex-500-retry.jsonl", 0),
    ("codex-read-only-refused.jsonl", 0),
    ("codex-stop-hook.jsonl", 0),
    ("codex-usage-limit.jsonl", 1),
    ("codex-workspace-write.jsonl", 0),
    ("gemini-stream-json.jsonl", 0),
    ("gemini-afteragent-hook.jsonl", 0),
    ("gemini-quota-exhausted.jsonl", 173),
    ("opencode-json.jsonl", 0),
    ("opencode-error.jsonl", 1),
    ("qwen-stream-json.jsonl", 0),
    ("qwen-stop-hook.jsonl", 0),
    ("copilot-json.jsonl", 0),
    ("copilot-stop-hook.jsonl", 0),
    ("aider-text.txt", 0),
    ("acp-opencode.jsonl", 0),
];

#[test]
fn every_recorded_stream_comes_to_what_it_was() {
    let Some(folder) = folder() else { return };
    let mut said = String::new();
    for (file, exit) in STREAMS {
        let mut session = testing::read(decoder(file), &lines(&folder, file), &[], exit);
        let complete = if session.report().complete { " complete" } else { "" };
        let tokens =
            session.tokens.map(|it| format!("{}+{}+{}/{}", it.input, it.cache_read, it.cache_write, it.output));
        let id = session.id.as_deref().map_or("-", |id| &id[..8]);
        let model = session.model.as_deref().unwrap_or("-");
        let (messages, tools) = (session.messages, session.tool_calls);
        let tokens = tokens.as_deref().unwrap_or("-");
        write!(said, "{file}: {id} {model} {messages} messages {tools} tools {tokens} {:?}{complete}", session.cost)
            .unwrap();
        write!(
            said,
            "\n    {:?} {:?} {:?}\n",
            session.last,
            session.limit.map(|it| (it.kind, it.resets)),
            session.denied
        )
        .unwrap();
    }
    insta::assert_snapshot!(said, @r#"
    claude-stream-json.jsonl: b567f882 claude-opus-5-5 1 messages 1 tools 2400+0+0/170 Some(0.013) complete
        Some(None) None []
    claude-429-retry.jsonl: b994efe3 claude-opus-5-5 1 messages 1 tools 2400+0+0/170 Some(0.013) complete
        Some(None) None []
    claude-api-400.jsonl: 8ba97103 claude-opus-5-5 0 messages 0 tools 0+0+0/0 Some(0.0)
        Some(Some("api_error: API Error: 400 stub error 400")) None []
    claude-max-budget.json: e5940d73 - 0 messages 0 tools 400000+0+0/6000 Some(1.7200000000000002)
        Some(Some("budget_exhausted: Reached maximum budget ($1.5)")) None []
    claude-max-turns.json: 7bb3f9b5 - 0 messages 0 tools 2400+0+0/170 Some(0.013)
        Some(Some("max_turns: Reached maximum number of turns (2)")) None []
    claude-permission-denied.json: a01a790b - 0 messages 0 tools 2400+0+0/170 Some(0.013)
        Some(None) None ["Write(/home/u/src/nonallowed/notes/progress-1.2.md)"]
    claude-plugin-stop-hook.jsonl: 7ddd545c claude-opus-5-5 2 messages 1 tools 3600+0+0/255 Some(0.0195) complete
        Some(None) None []
    claude-rate-limit-warning.jsonl: 93b27cb6 claude-sonnet-5-5 1 messages 1 tools 2400+0+0/170 Some(0.0065) complete
        Some(None) None []
    claude-stream-json-input.jsonl: 3c8ad8dc claude-opus-5-5 3 messages 3 tools 7200+0+0/510 Some(0.039) complete
        Some(None) None ["Bash(rm -f /home/u/src/res/zzz; curl -V >/dev/null)"]
    claude-subagent-background.jsonl: 34e12b55 claude-opus-5-5 2 messages 1 tools 6000+0+0/425 Some(0.0325) complete
        Some(None) None []
    claude-subagent-worktree.jsonl: 2fcb63aa claude-opus-5-5 1 messages 1 tools 4800+0+0/340 Some(0.026) complete
        Some(None) None []
    claude-usage-limit-oauth.jsonl: 9eda3b5b claude-sonnet-5-5 0 messages 0 tools 0+0+0/0 Some(0.0)
        Some(Some("api_error: You've hit your limit · resets 8:39am (UTC)")) Some((Usage, Some(At(1795250344)))) []
    claude-usage-limit-watchdog.jsonl: 106cc69d claude-sonnet-5-5 0 messages 0 tools 0+0+0/0 Some(0.0)
        Some(Some("api_error: You've hit your limit · resets 8:17am (UTC)")) Some((Usage, Some(At(1795249060)))) []
    codex-exec.jsonl: 01a1fd0d - 1 messages 1 tools 2400+0+0/170 None complete
        Some(None) None []
    codex-exec-gpt.jsonl: 01a1fd0d - 1 messages 1 tools 2400+0+0/170 None complete
        Some(None) None []
    codex-500-retry.jsonl: 01a1fd2e - 1 messages 1 tools 2400+0+0/170 None complete
        Some(None) None []
    codex-read-only-refused.jsonl: 01a1fd2e - 1 messages 0 tools 2400+0+0/170 None complete
        Some(None) None []
    codex-stop-hook.jsonl: 01a1fd2f - 2 messages 1 tools 3600+0+0/255 None complete
        Some(None) None []
    codex-usage-limit.jsonl: 01a1fd2e - 0 messages 0 tools - None
        Some(Some("You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at 9:17 AM.")) Some((Usage, Some(Clock { hour: 9, minute: 17, utc: false }))) []
    codex-workspace-write.jsonl: 01a1fd2e - 1 messages 1 tools 2400+0+0/170 None complete
        Some(None) None []
    gemini-stream-json.jsonl: 31dc8ca5 gemini-2.5-flash 1 messages 1 tools 2400+0+0/170 None complete
        Some(None) None []
    gemini-afteragent-hook.jsonl: 4e897552 gemini-2.5-flash 2 messages 1 tools 3600+0+0/255 None complete
        Some(None) None []
    gemini-quota-exhausted.jsonl: 658aa1dc gemini-2.5-flash 0 messages 0 tools 0+0+0/0 None
        Some(Some("[API Error: You have exhausted your daily quota on this model.]\nPlease wait and try again later. To increase your limits, request a quota increase through AI Studio, or switch to another /auth method")) Some((Usage, None)) []
    opencode-json.jsonl: ses_e02f - 1 messages 1 tools 2400+0+0/170 Some(0.00975) complete
        Some(None) None []
    opencode-error.jsonl: ses_e02c - 0 messages 0 tools - None
        Some(Some("APIError: stub error 400")) None []
    qwen-stream-json.jsonl: 049fcbb3 stub-model 1 messages 1 tools 2400+0+0/170 None complete
        Some(None) None []
    qwen-stop-hook.jsonl: 363bc6c7 stub-model 2 messages 1 tools 3600+0+0/255 None complete
        Some(None) None []
    copilot-json.jsonl: c50939c3 stub-model 1 messages 1 tools - None complete
        Some(None) None []
    copilot-stop-hook.jsonl: 681a1357 stub-model 9 messages 1 tools - None complete
        Some(None) None []
    aider-text.txt: - openai/stub-model 1 messages 0 tools 1200+0+0/85 None complete
        None None []
    acp-opencode.jsonl: ses_e02c - 1 messages 1 tools 1200+0+0/85 Some(0.0) complete
        None None []
    "#);
}

#[test]
fn the_protocol_reads_the_same_from_every_agent() {
    let Some(folder) = folder() else { return };
    for agent in ["claude", "codex", "copilot", "gemini", "opencode", "qwen"] {
        let mut session = testing::read(acp::decoder(), &lines(&folder, &format!("acp-{agent}.jsonl")), &[], 0);
        assert!(session.id.is_some(), "{agent}");
        assert_eq!((session.messages, session.tool_calls), (1, 1), "{agent}");
        assert!(session.report().complete, "{agent}");
        let told = session.tokens.map(|tokens| tokens.total());
        let expected = match agent {
            // Says nothing but how full its context is.
            "codex" => None,
            "opencode" => Some(1285),
            _ => Some(2570),
        };
        assert_eq!(told, expected, "{agent}");
    }
}

#[test]
fn the_file_in_which_copilot_says_what_it_used_is_read() {
    let Some(folder) = folder() else { return };
    let written = std::fs::read(folder.join("copilot-usage-output-file.json")).unwrap();
    let mut session = Session::default();
    by_name("copilot").unwrap().decoder().usage(&written, &mut |said| {
        session.take(said);
    });
    assert_eq!(session.tokens, Some(Tokens { input: 4800, output: 340, ..Tokens::default() }));
}

/// A line as no program should print it: bytes, or a line of a sample cut, with another in it, or twice.
fn damaged(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let sample = prop::sample::select(samples);
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let cut = (sample.clone(), any::<prop::sample::Index>()).prop_map(|(line, at)| {
        let at = at.index(line.len() + 1);
        line[..at].to_vec()
    });
    let mixed = (sample.clone(), sample.clone(), any::<prop::sample::Index>()).prop_map(|(one, other, at)| {
        let at = at.index(one.len() + 1);
        [&one[..at], &other, &one[at..]].concat()
    });
    // Its values are others: still JSON, of another shape.
    let other = (sample.clone(), prop::sample::select(vec!["null", "-1", "1e400", "\"\"", "[]", "{}", "[[{}]]"]))
        .prop_map(|(line, value)| {
            let line = String::from_utf8_lossy(&line).into_owned();
            line.split_inclusive(':').enumerate().fold(String::new(), |made, (place, part)| {
                match (place % 3, part.find(',')) {
                    (2, Some(at)) => made + value + &part[at..],
                    _ => made + part,
                }
            })
        })
        .prop_map(String::into_bytes);
    prop_oneof![bytes, sample.clone(), sample, cut, mixed, other]
}

#[test]
fn no_decoder_falls_over_whatever_is_printed() {
    let own =
        [&b"{}"[..], b"{\"type\":\"result\",\"usage\":{\"total_tokens\":1,\"output_tokens\":9}}", b"", b"\xff\xfe"];
    let mut samples: Vec<Vec<u8>> = own.iter().map(|line| line.to_vec()).collect();
    if let Some(folder) = folder() {
        samples.extend(STREAMS.iter().flat_map(|(file, _)| lines(&folder, file)).filter(|line| line.len() < 4000));
    }
    let lines = prop::collection::vec((damaged(samples), any::<bool>()), 0..30);
    let exit = prop::option::of(0..256_i32);
    proptest!(ProptestConfig::with_cases(200), |(lines in lines, exit in exit)| {
        let known = ALL.iter().map(|adapter| adapter.decoder());
        for mut decoder in known.chain([text::decoder(), acp::decoder()]) {
            let mut session = Session::default();
            let mut say = |said| {
                session.take(said);
            };
            for (line, error) in &lines {
                if *error { decoder.stderr(line, &mut say) } else { decoder.stdout(line, &mut say) }
                decoder.usage(line, &mut say);
            }
            decoder.end(exit, &mut say);
            session.report();
        }
    });
}
