//! A model service for tests, on this machine only: real agent programs talk to it as if it were their own, and it says
//! what the task's own text tells it to. [`talk`] reads what a program asks in each of four protocols, [`script`] finds
//! the `[[stub:...]]` words in it and decides, [`naive`] does the same for who is told to carry out a list with `spec`,
//! [`reply`] puts the answer into the protocol's words. The server itself counts and remembers what it was asked.
//!
//! Each request carries the whole conversation, so nothing of a session is kept here; only words that count (`x2`, `meet`)
//! remember how often they were met.

mod naive;
mod reply;
mod script;
mod talk;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

#[allow(unused_imports, reason = "each user looks at its own part")]
pub(crate) use naive::Manner;
use reply::Response;
use script::{Answer, Script};
use talk::Talk;

/// A server that answers until it is dropped.
pub(crate) struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request as it was understood.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "each user looks at its own part")]
pub(crate) struct Asked {
    /// The path of the request.
    pub(crate) path: String,
    /// The model that was asked for.
    pub(crate) model: String,
    /// The last text of the person with words for this server, or the first one.
    pub(crate) prompt: String,
    /// How many results of tools came before that, in the same session.
    pub(crate) before: usize,
    /// How many came after it.
    pub(crate) results: usize,
    /// The tools that were offered.
    pub(crate) tools: Vec<String>,
    /// The size of the request.
    pub(crate) bytes: usize,
    /// What was answered, in a few words.
    pub(crate) answer: String,
}

#[derive(Default)]
struct Shared {
    closing: AtomicBool,
    state: Mutex<State>,
    /// Somebody came to where others wait.
    came: Condvar,
}

#[derive(Default)]
struct State {
    log: Vec<Asked>,
    in_flight: usize,
    most_in_flight: usize,
    /// How often a word of a script was met: a task's next try goes on counting.
    fired: HashMap<String, usize>,
    /// How many wait, or have waited, at a meeting of that many.
    met: HashMap<usize, usize>,
    manner: Manner,
    /// Answers to sessions that carry out a list.
    of_sessions: usize,
}

impl Model {
    /// Starts on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let of_server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_server.closing.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&of_server);
                // A program that hangs up is none of our business.
                std::thread::spawn(move || stream.and_then(|stream| shared.serve(&stream)));
            }
        });
        Self { address, shared }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How sessions that carry out a list behave from now on.
    #[allow(dead_code, reason = "each user looks at its own part")]
    pub(crate) fn behave(&self, manner: Manner) {
        self.shared.state().manner = manner;
    }

    /// What it was asked until now.
    pub(crate) fn log(&self) -> Vec<Asked> {
        self.shared.state().log.clone()
    }

    /// The most requests that it was answering at once.
    #[allow(dead_code, reason = "each user looks at its own part")]
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.state().most_in_flight
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
    }
}

/// One request of HTTP.
struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the one request of a connection, which it then closes.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(request) = Request::read(&mut reader, stream)? else { return Ok(()) };
        {
            let mut state = self.state();
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
        }
        let done = self.answer(&request).and_then(|response| match response {
            Some(response) => response.write(stream),
            // Nothing is ever said; the other side hangs up.
            None => io::copy(&mut reader, &mut io::sink()).map(drop),
        });
        self.state().in_flight -= 1;
        done
    }

    /// What to send; nothing where the other side is to wait for ever.
    fn answer(&self, request: &Request) -> io::Result<Option<Response>> {
        let path = request.path.split('?').next().unwrap_or_default();
        if request.method != "POST" {
            return Ok(Some(reply::models(path)));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(io::Error::other)?;
        let Some(talk) = Talk::read(path, &body) else {
            return Ok(Some(reply::not_found(path)));
        };
        if talk.counts_tokens {
            return Ok(Some(reply::count(&talk)));
        }
        let script = Script::read(&talk.prompt);
        let manner = self.state().manner;
        let due = &mut |word: &str, due| self.due(word.to_owned(), due);
        let mut usage = script.usage;
        let answer = match naive::answer(&talk, manner, due) {
            Some(answer) => {
                let mut state = self.state();
                state.of_sessions += usize::from(naive::is_session(&talk));
                if state.of_sessions == manner.full_at && naive::is_session(&talk) {
                    usage = [990_000, 50, 0];
                }
                answer
            }
            None => script.answer(&talk, due),
        };
        self.state().log.push(Asked {
            path: path.to_owned(),
            model: talk.model.clone(),
            prompt: talk.prompt.clone(),
            before: talk.before,
            results: talk.results,
            tools: talk.tools.keys().cloned().collect(),
            bytes: request.body.len(),
            answer: answer.to_string(),
        });
        Ok((answer != Answer::Never).then(|| reply::put(&talk, &answer, usage)))
    }

    /// Whether a word of a script is to be followed now. A meeting is waited for in here.
    fn due(&self, word: String, due: script::Due) -> bool {
        let mut state = self.state();
        let fired = state.fired.entry(word).or_default();
        *fired += 1;
        match due {
            script::Due::Times(times) => *fired <= times,
            script::Due::Meeting(all) => {
                if *fired == 1 {
                    *state.met.entry(all).or_default() += 1;
                    self.came.notify_all();
                    // Who waits alone goes on after a while, so that the test can say who was missing.
                    let short = |state: &mut State| state.met.get(&all).is_some_and(|met| *met < all);
                    drop(self.came.wait_timeout_while(state, Duration::from_secs(60), short));
                }
                true
            }
        }
    }
}

impl Request {
    /// The next request; nothing where the connection was closed without one.
    fn read(reader: &mut impl BufRead, mut answer: &TcpStream) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "expect" => answer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size)?;
                let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                reader.by_ref().take(size).read_to_end(&mut body)?;
                reader.read_line(&mut String::new())?;
                if size == 0 {
                    break;
                }
            }
        } else {
            reader.by_ref().take(length).read_to_end(&mut body)?;
        }
        Ok(Some(Self { method, path, body }))
    }
}
