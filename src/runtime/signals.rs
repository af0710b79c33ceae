//! The signals that ask the whole run to stop. The first lets the driver end in order, a second ends at once.

use std::io;

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

/// Listens for the signals from its creation on; they no longer end the program by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
    /// None where the run was started to outlive its terminal (`nohup`).
    hangup: Option<Stream>,
    seen: u32,
}

impl Signals {
    /// Starts to listen. Needs a tokio runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) },
            seen: 0,
        })
    }

    /// The next signal, and how many there have been with it: 1 means end in order, more means at once.
    pub async fn next(&mut self) -> (Signal, u32) {
        let hangup = async {
            match &mut self.hangup {
                Some(stream) => stream.recv().await,
                None => std::future::pending().await,
            }
        };
        let signal = tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hangup => Signal::Hangup,
        };
        self.seen += 1;
        (signal, self.seen)
    }
}

/// Whether whoever started us had hangups ignored. Must be asked before a handler is set.
fn hangup_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Os, raise};

    use super::*;

    #[tokio::test]
    async fn the_second_signal_is_told_from_the_first() {
        let mut signals = Signals::new().unwrap();
        raise(Os::SIGINT).unwrap();
        assert_eq!(signals.next().await, (Signal::Interrupt, 1));
        raise(Os::SIGTERM).unwrap();
        let (signal, nth) = signals.next().await;
        assert_eq!((signal, nth, signal.exit_code()), (Signal::Terminate, 2, 143));
        raise(Os::SIGHUP).unwrap();
        if signals.hangup.is_some() {
            assert_eq!(signals.next().await, (Signal::Hangup, 3));
        }
    }
}
