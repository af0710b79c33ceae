//! The signals that ask the whole run to end, or to stand still. The first to end lets the driver end in order, a second
//! ends at once.

use std::io;
use std::os::fd::AsFd as _;

use nix::sys::signal::Signal as Os;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that asks for the end of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`.
    Terminate,
    /// The terminal is gone.
    Hangup,
}

impl Signal {
    /// The exit code of a run that it ended: 130, or 143 for the other two.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate | Self::Hangup => 143,
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The end of the run, so many times with this one: 1 means in order, more means at once.
    End(Signal, u32),
    /// To stand still until we are told to go on: Ctrl-Z.
    StandStill,
}

/// Listens for the signals from its creation on; they no longer end the program by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
    /// None where the run was started to outlive its terminal (`nohup`).
    hangup: Option<Stream>,
    /// None where whoever started us wants no job control.
    stop: Option<Stream>,
    /// Standard input, where its end means that whoever started us is gone.
    starter: Option<ChildStdout>,
    seen: u32,
}

impl Signals {
    /// Starts to listen. Needs a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: unless_ignored(Os::SIGHUP)?,
            stop: unless_ignored(Os::SIGTSTP)?,
            starter: None,
            seen: 0,
        })
    }

    /// The same for a program that is not to outlive the one that started it, which holds the other end of our standard
    /// input: its end is taken for SIGTERM.
    pub fn with_starter() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let starter = ChildStdout::from_std(std::process::ChildStdout::from(input))?;
        Ok(Self { starter: Some(starter), ..Self::new()? })
    }

    /// What the next signal asks for.
    pub async fn next(&mut self) -> Asked {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            () = received(&mut self.hangup) => Signal::Hangup,
            () = ended(&mut self.starter) => Signal::Terminate,
            () = received(&mut self.stop) => return Asked::StandStill,
        };
        self.seen += 1;
        Asked::End(signal, self.seen)
    }
}

/// Ends when the signal has come; never where nobody listens for it.
async fn received(stream: &mut Option<Stream>) {
    match stream {
        Some(stream) => drop(stream.recv().await),
        None => std::future::pending().await,
    }
}

/// Ends, once, when nobody holds the other end any more.
async fn ended(input: &mut Option<ChildStdout>) {
    match input {
        Some(pipe) => while pipe.read(&mut [0; 16]).await.is_ok_and(|read| read > 0) {},
        None => std::future::pending().await,
    }
    *input = None;
}

/// Listens for a signal, unless whoever started us had it ignored.
fn unless_ignored(os: Os) -> io::Result<Option<Stream>> {
    if is_ignored(os) { Ok(None) } else { signal(SignalKind::from_raw(os as i32)).map(Some) }
}

/// Must be asked before a handler is set.
fn is_ignored(signal: Os) -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[tokio::test]
    async fn the_second_signal_is_told_from_the_first() {
        let mut signals = Signals::new().unwrap();
        raise(Os::SIGINT).unwrap();
        assert_eq!(signals.next().await, Asked::End(Signal::Interrupt, 1));
        raise(Os::SIGTSTP).unwrap();
        if signals.stop.is_some() {
            assert_eq!(signals.next().await, Asked::StandStill);
        }
        raise(Os::SIGTERM).unwrap();
        assert_eq!(signals.next().await, Asked::End(Signal::Terminate, 2));
        raise(Os::SIGHUP).unwrap();
        if signals.hangup.is_some() {
            assert_eq!(signals.next().await, Asked::End(Signal::Hangup, 3));
        }
        assert_eq!([Signal::Interrupt, Signal::Terminate, Signal::Hangup].map(Signal::exit_code), [130, 143, 143]);
    }
}
