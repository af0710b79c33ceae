//! An answer in the words of each protocol, as a stream of events or in one piece.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use spec::runtime::clock;

use super::script::{Answer, Usage};
use super::talk::{Protocol, Talk};

/// A response of HTTP.
pub(super) struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    Whole(Value),
    /// Server-sent events with their names, and after how many of them to break off.
    Events(Vec<(Option<&'static str>, Value)>, Option<usize>),
}

impl Response {
    fn whole(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body) }
    }

    /// Sends it; the connection is closed behind it.
    pub(super) fn write(&self, mut to: impl Write) -> io::Result<()> {
        write!(to, "HTTP/1.1 {} stub\r\nconnection: close\r\n", self.status)?;
        for (name, value) in &self.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        match &self.body {
            Body::Whole(body) => {
                let body = body.to_string();
                write!(to, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            Body::Events(events, cut) => {
                write!(to, "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
                for (name, event) in &events[..cut.unwrap_or(events.len())] {
                    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
                    let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
                    let event = format!("{name}data: {data}\n\n");
                    write!(to, "{:x}\r\n{event}\r\n", event.len())?;
                }
                if cut.is_none() {
                    write!(to, "0\r\n\r\n")?;
                }
                Ok(())
            }
        }
    }
}

/// The models that there are.
pub(super) fn models(path: &str) -> Response {
    let body = if path.contains("v1beta") {
        json!({ "models": [{ "name": "models/stub-model" }] })
    } else {
        // `models` for a program that wants a catalogue of its own form, which is empty.
        json!({ "object": "list", "data": [{ "id": "stub-model", "object": "model", "type": "model" }], "models": [] })
    };
    Response::whole(200, body)
}

pub(super) fn not_found(path: &str) -> Response {
    Response::whole(
        404,
        json!({ "error": { "type": "not_found_error", "message": format!("there is no {path} here") } }),
    )
}

/// The number of tokens that a request has.
pub(super) fn count(talk: &Talk) -> Response {
    let tokens = talk.prompt.len() / 4;
    Response::whole(200, json!({ "input_tokens": tokens, "totalTokens": tokens }))
}

/// A name that no other answer has.
fn fresh(kind: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    format!("{kind}_{:08}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The answer in the protocol of who asked.
pub(super) fn put(talk: &Talk, answer: &Answer, usage: Usage) -> Response {
    let begun = Answer::Say("I begin with the first of many steps".to_owned());
    let (answer, cut) = match answer {
        Answer::Fail(status) => return failure(talk.protocol, *status),
        Answer::Limit(seconds) => return limit(talk.protocol, *seconds),
        Answer::Cut | Answer::Never => (&begun, Some(4)),
        Answer::Say(_) | Answer::Calls(_) => (answer, None),
    };
    // What a program asks beside the work costs nothing, so that the figures of a test are those of its words.
    let usage = if talk.tools.is_empty() && !talk.listings { [0; 3] } else { usage };
    let (whole, events) = match talk.protocol {
        Protocol::Messages => messages(talk, answer, usage),
        Protocol::Responses => responses(talk, answer, usage),
        Protocol::Chat => chat(talk, answer, usage),
        Protocol::Gemini => gemini(talk, answer, usage),
    };
    match (talk.stream, cut) {
        (true, _) => Response { status: 200, headers: Vec::new(), body: Body::Events(events, cut) },
        (false, None) => Response::whole(200, whole),
        (false, Some(_)) => failure(talk.protocol, 502),
    }
}

fn failure(protocol: Protocol, status: u16) -> Response {
    let kind = match status {
        429 => "rate_limit_error",
        529 => "overloaded_error",
        401 => "authentication_error",
        400 => "invalid_request_error",
        _ => "api_error",
    };
    let message = format!("the test asked for status {status}");
    Response::whole(
        status,
        match protocol {
            Protocol::Messages => json!({ "type": "error", "error": { "type": kind, "message": message } }),
            Protocol::Gemini => json!({ "error": { "code": status, "message": message, "status": "INTERNAL" } }),
            _ => json!({ "error": { "type": kind, "code": status.to_string(), "message": message } }),
        },
    )
}

/// An account whose limit is used up, in the form in which each service says when it is free again.
fn limit(protocol: Protocol, seconds: u64) -> Response {
    let now = clock::wall().as_second() as u64;
    let at = now + seconds;
    let message = "The usage limit has been reached";
    let (headers, body) = match protocol {
        Protocol::Messages => (
            vec![
                ("anthropic-ratelimit-unified-status", "rejected".to_owned()),
                ("anthropic-ratelimit-unified-reset", at.to_string()),
                ("anthropic-ratelimit-unified-representative-claim", "five_hour".to_owned()),
                ("anthropic-ratelimit-unified-5h-status", "rejected".to_owned()),
                ("anthropic-ratelimit-unified-5h-reset", at.to_string()),
                ("anthropic-ratelimit-unified-5h-utilization", "1.0".to_owned()),
                ("anthropic-ratelimit-unified-overage-status", "rejected".to_owned()),
                ("retry-after", seconds.to_string()),
                ("x-should-retry", "false".to_owned()),
            ],
            json!({ "type": "error", "error": { "type": "rate_limit_error", "message": message } }),
        ),
        Protocol::Responses => (
            vec![
                ("x-codex-primary-used-percent", "100".to_owned()),
                ("x-codex-primary-window-minutes", "300".to_owned()),
                ("x-codex-primary-reset-at", at.to_string()),
            ],
            json!({ "error": { "type": "usage_limit_reached", "message": message, "plan_type": "plus",
                "resets_at": at, "resets_in_seconds": seconds } }),
        ),
        Protocol::Chat => (
            vec![("retry-after", seconds.to_string())],
            json!({ "error": { "type": "insufficient_quota", "code": "insufficient_quota", "message": message } }),
        ),
        Protocol::Gemini => (
            Vec::new(),
            json!({ "error": { "code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": [
                { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{
                    "quotaMetric": "generativelanguage.googleapis.com/generate_requests",
                    "quotaId": "GenerateRequestsPerDayPerProjectPerModel" }] },
                { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s") },
            ] } }),
        ),
    };
    Response { status: 429, headers, body: Body::Whole(body) }
}

type Put = (Value, Vec<(Option<&'static str>, Value)>);

/// An object's `type` is the name of its event.
fn named(names: &[&'static str], event: Value) -> (Option<&'static str>, Value) {
    (names.iter().copied().find(|name| event["type"] == *name), event)
}

/// The pieces in which a text comes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// A block as a whole, as it begins, and the pieces that come between.
type Block = (Value, Value, Vec<Value>);

fn messages(talk: &Talk, answer: &Answer, [input, output, cached]: Usage) -> Put {
    let usage = json!({ "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached,
        "output_tokens": output });
    let (blocks, stop): (Vec<Block>, &str) = match answer {
        Answer::Calls(calls) => {
            let block = |(name, arguments): &(String, Value)| {
                let block = json!({ "type": "tool_use", "id": fresh("toolu"), "name": name, "input": arguments });
                let mut empty = block.clone();
                empty["input"] = json!({});
                (block, empty, vec![json!({ "type": "input_json_delta", "partial_json": arguments.to_string() })])
            };
            (calls.iter().map(block).collect(), "tool_use")
        }
        other => {
            let text = said(other);
            let deltas = pieces(text).map(|piece| json!({ "type": "text_delta", "text": piece })).collect();
            let block = (json!({ "type": "text", "text": text }), json!({ "type": "text", "text": "" }), deltas);
            (vec![block], "end_turn")
        }
    };
    let content: Vec<&Value> = blocks.iter().map(|(block, ..)| block).collect();
    let whole = json!({ "id": fresh("msg"), "type": "message", "role": "assistant", "model": talk.model,
        "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage });
    let mut begun = whole.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(1);
    let mut events = vec![json!({ "type": "message_start", "message": begun })];
    for (at, (_, empty, deltas)) in blocks.into_iter().enumerate() {
        events.push(json!({ "type": "content_block_start", "index": at, "content_block": empty }));
        let delta = |delta| json!({ "type": "content_block_delta", "index": at, "delta": delta });
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({ "type": "content_block_stop", "index": at }));
    }
    events.extend([
        json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ]);
    let names = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    (whole, events.into_iter().map(|event| named(&names, event)).collect())
}

fn responses(talk: &Talk, answer: &Answer, [input, output, cached]: Usage) -> Put {
    let items: Vec<Value> = match answer {
        Answer::Calls(calls) => {
            let item = |(name, arguments): &(String, Value)| match arguments {
                Value::String(text) => json!({ "type": "custom_tool_call", "id": fresh("ctc"),
                    "call_id": fresh("call"), "name": name, "input": text, "status": "completed" }),
                arguments => json!({ "type": "function_call", "id": fresh("fc"), "call_id": fresh("call"),
                    "name": name, "arguments": arguments.to_string(), "status": "completed" }),
            };
            calls.iter().map(item).collect()
        }
        other => vec![json!({ "type": "message", "id": fresh("msg"), "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": said(other), "annotations": [] }] })],
    };
    let whole = json!({ "id": fresh("resp"), "object": "response", "model": talk.model, "status": "completed",
        "output": items, "error": null,
        "usage": { "input_tokens": input + cached, "input_tokens_details": { "cached_tokens": cached },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": input + cached + output } });
    let mut begun = whole.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut events = vec![json!({ "type": "response.created", "response": begun })];
    for (at, item) in items.iter().enumerate() {
        let mut opened = item.clone();
        opened["status"] = json!("in_progress");
        if let Answer::Say(text) = answer {
            opened["content"] = json!([]);
            events.push(json!({ "type": "response.output_item.added", "output_index": at, "item": opened }));
            events.extend(pieces(text).map(|piece| {
                json!({ "type": "response.output_text.delta", "item_id": item["id"], "output_index": at,
                    "content_index": 0, "delta": piece })
            }));
        } else {
            events.push(json!({ "type": "response.output_item.added", "output_index": at, "item": opened }));
        }
        events.push(json!({ "type": "response.output_item.done", "output_index": at, "item": item }));
    }
    events.push(json!({ "type": "response.completed", "response": whole }));
    let names = [
        "response.created",
        "response.output_item.added",
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
    ];
    (whole, events.into_iter().map(|event| named(&names, event)).collect())
}

fn chat(talk: &Talk, answer: &Answer, [input, output, cached]: Usage) -> Put {
    let usage = json!({ "prompt_tokens": input + cached, "completion_tokens": output,
        "prompt_tokens_details": { "cached_tokens": cached }, "total_tokens": input + cached + output });
    let (id, model) = (fresh("chatcmpl"), &talk.model);
    let (message, deltas, reason): (Value, Vec<Value>, &str) = match answer {
        Answer::Calls(calls) => {
            let call = |(at, (name, arguments)): (usize, &(String, Value))| {
                json!({ "index": at, "id": fresh("call"), "type": "function",
                    "function": { "name": name, "arguments": arguments.to_string() } })
            };
            let calls: Vec<Value> = calls.iter().enumerate().map(call).collect();
            let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
            (message, vec![json!({ "tool_calls": calls })], "tool_calls")
        }
        other => {
            let text = said(other);
            let deltas = pieces(text).map(|piece| json!({ "content": piece })).collect();
            (json!({ "role": "assistant", "content": text }), deltas, "stop")
        }
    };
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        json!({ "id": id, "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice] })
    };
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    events.extend(deltas.into_iter().map(|delta| chunk(delta, Value::Null)));
    let mut last = chunk(json!({}), json!(reason));
    events.push(last.clone());
    last["choices"] = json!([]);
    last["usage"] = usage.clone();
    events.extend([last, json!("[DONE]")]);
    let whole = json!({ "id": id, "object": "chat.completion", "created": 1, "model": model, "usage": usage,
        "choices": [{ "index": 0, "message": message, "finish_reason": reason }] });
    (whole, events.into_iter().map(|event| (None, event)).collect())
}

fn gemini(talk: &Talk, answer: &Answer, [input, output, cached]: Usage) -> Put {
    let usage = json!({ "promptTokenCount": input + cached, "cachedContentTokenCount": cached,
        "candidatesTokenCount": output, "totalTokenCount": input + cached + output });
    let chunk = |parts: Vec<Value>, last: bool| {
        let mut candidate = json!({ "content": { "role": "model", "parts": parts }, "index": 0 });
        if last {
            candidate["finishReason"] = json!("STOP");
        }
        json!({ "candidates": [candidate], "usageMetadata": usage, "modelVersion": talk.model, "responseId": fresh("r") })
    };
    match answer {
        Answer::Calls(calls) => {
            let call = |(name, arguments): &(String, Value)| json!({ "functionCall": { "id": fresh("call"), "name": name, "args": arguments } });
            let whole = chunk(calls.iter().map(call).collect(), true);
            (whole.clone(), vec![(None, whole)])
        }
        other => {
            let text = said(other);
            let count = pieces(text).count();
            let part = |(at, piece): (usize, &str)| (None, chunk(vec![json!({ "text": piece })], at + 1 == count));
            (chunk(vec![json!({ "text": text })], true), pieces(text).enumerate().map(part).collect())
        }
    }
}

/// What an answer says.
fn said(answer: &Answer) -> &str {
    match answer {
        Answer::Say(text) => text,
        _ => "",
    }
}
