//! What follows a failed try: another one, when, and whether it counts. Figures are those of the contract, section 3.

use super::{Code, Failure, Kind, Millis, Seed};

/// How a run goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Executors at once, at least 1.
    pub max_parallel: usize,
    /// Later stages go on although something failed.
    pub keep_going: bool,
    /// Tasks land as they finish (graph mode), not at the end of their stage.
    pub land_each: bool,
    /// How often a task that does not fit the tip starts again; once more needs a person.
    pub max_conflicts: u32,
    /// First delay after a crash or a limit; doubles each time.
    pub backoff: Millis,
    /// Longest delay.
    pub backoff_max: Millis,
    /// Makes the jitter differ between runs; the same seed gives the same delays.
    pub seed: u64,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another try after the delay; the failed one counted, or not.
    Retry { delay: Millis, counted: bool },
    /// None.
    Fail,
}

impl Policy {
    /// Decides. `seed` counts the failed try already; `strikes` counts crashes and limits in a row before this one.
    pub(super) fn after(&self, failure: &Failure, kind: Kind, max: u32, seed: Seed, strikes: u32, salt: u64) -> Next {
        let counted = !matches!(failure.code, Code::RateLimited | Code::Conflict);
        let again = match (failure.code, kind) {
            // A parent is looked at once; nothing could mend it between two looks. Nor would an agent be allowed more, or
            // get a further try of a task for less.
            (_, Kind::Parent) | (Code::PermissionDenied | Code::QuotaCost, _) => false,
            (Code::RateLimited | Code::Conflict, _) => true,
            (Code::Timeout, _) => seed.timeouts < 2 && seed.attempts < max,
            _ => seed.attempts < max,
        };
        if !again {
            return Next::Fail;
        }
        let delay = match failure.code {
            Code::RateLimited | Code::Crash | Code::Spawn => self.delay(strikes, salt),
            _ => 0,
        };
        Next::Retry { delay, counted }
    }

    /// The delay after `strikes` failures in a row: doubling, capped, and between 80 and 100 % of that by jitter.
    pub(super) fn delay(&self, strikes: u32, salt: u64) -> Millis {
        let full = self.backoff.saturating_mul(1 << strikes.min(20)).min(self.backoff_max);
        full - full / 5 * self.thousandths(salt) / 1000
    }

    /// How long after a known moment a task starts, so that not all that wait for it do at once: up to a delay.
    pub(super) fn spread(&self, salt: u64) -> Millis {
        self.backoff * self.thousandths(salt) / 1000
    }

    /// A number from 0 to 999 by chance.
    fn thousandths(&self, salt: u64) -> u64 {
        // SplitMix64: a well-known mixer, so that tries spread without a random number generator in here.
        let mut z = self.seed.wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 32) % 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        max_parallel: 3,
        keep_going: false,
        land_each: false,
        max_conflicts: 2,
        backoff: 10_000,
        backoff_max: 300_000,
        seed: 7,
    };

    fn seed(attempts: u32, timeouts: u32) -> Seed {
        Seed { tries: attempts, attempts, timeouts, failed: true, ..Seed::default() }
    }

    fn after(code: Code, kind: Kind, attempts: u32, strikes: u32) -> Next {
        POLICY.after(&Failure::new(code, ""), kind, 5, seed(attempts, 0), strikes, 1)
    }

    #[test]
    fn a_crash_backs_off_doubling_up_to_five_minutes_with_jitter() {
        let delays: Vec<Millis> = (0..8)
            .map(|strikes| match after(Code::Crash, Kind::Exec, 1, strikes) {
                Next::Retry { delay, counted: true } => delay,
                other => panic!("{other:?}"),
            })
            .collect();
        for (strikes, delay) in delays.iter().enumerate() {
            let full = (10_000u64 << strikes).min(300_000);
            assert!(*delay <= full && *delay >= full * 4 / 5, "{strikes}: {delay} of {full}");
        }
        let other = Policy { seed: 8, ..POLICY };
        assert_ne!(POLICY.delay(0, 1), other.delay(0, 1), "another run waits another time");
        assert_eq!(POLICY.delay(99, 1), POLICY.delay(50, 1), "no overflow");
    }

    #[test]
    fn a_limit_uses_up_no_attempt_however_often() {
        assert!(matches!(after(Code::RateLimited, Kind::Exec, 5, 40), Next::Retry { counted: false, .. }));
        assert!(matches!(after(Code::RateLimited, Kind::Run, 1, 0), Next::Retry { counted: false, .. }));
    }

    #[test]
    fn other_failures_are_retried_at_once_up_to_the_limit() {
        assert_eq!(after(Code::VerifyFailed, Kind::Exec, 4, 0), Next::Retry { delay: 0, counted: true });
        assert_eq!(after(Code::VerifyFailed, Kind::Exec, 5, 0), Next::Fail);
    }

    #[test]
    fn a_timeout_is_retried_once() {
        let failure = Failure::new(Code::Timeout, "");
        let next = |timeouts| POLICY.after(&failure, Kind::Exec, 5, seed(timeouts, timeouts), 0, 1);
        assert_eq!(next(1), Next::Retry { delay: 0, counted: true });
        assert_eq!(next(2), Next::Fail);
    }

    #[test]
    fn what_nobody_can_mend_is_not_tried_again() {
        assert_eq!(after(Code::VerifyFailed, Kind::Parent, 1, 0), Next::Fail);
        assert!(matches!(after(Code::VerifyFailed, Kind::Verify { executor: true }, 1, 0), Next::Retry { .. }));
    }
}
