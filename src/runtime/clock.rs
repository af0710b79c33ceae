//! The only place that reads clocks. Durations and limits come from [`now`], which follows tokio's paused time in tests;
//! what people read comes from [`timestamp`].
//!
//! While a person has the whole program stopped (Ctrl-Z) this clock stands still: nothing that was stopped runs into a
//! limit. Timers do not know that; who waits for an instant of this clock waits by `sleep_until` or `timer`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// For how long the clock stood still so far, in nanoseconds. Only the thread that runs everything changes it.
static STOOD_STILL: AtomicU64 = AtomicU64::new(0);

fn stood_still() -> Duration {
    Duration::from_nanos(STOOD_STILL.load(Ordering::Relaxed))
}

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now() - stood_still()
}

/// Does something that takes no time by this clock.
pub(super) fn stand_still(act: impl FnOnce()) {
    let begun = Instant::now();
    act();
    let nanos = begun.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
    STOOD_STILL.fetch_add(nanos, Ordering::Relaxed);
}

/// When a timer is to ring so that it does not ring before this instant, as far as that is known now: look again then.
pub(super) fn timer(at: Instant) -> Instant {
    at + stood_still()
}

/// Sleeps until this clock is there.
pub(super) async fn sleep_until(at: Instant) {
    while now() < at {
        tokio::time::sleep_until(timer(at)).await;
    }
}

/// The wall clock as RFC 3339 in UTC with milliseconds (`2026-01-31T12:00:00.123Z`). Only ever for people.
#[must_use]
pub fn timestamp() -> String {
    rfc3339(wall())
}

/// The wall clock, for what is compared with another machine's: heartbeats.
#[must_use]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The same by the local clock.
#[must_use]
pub fn wall_zoned() -> jiff::Zoned {
    wall().to_zoned(jiff::tz::TimeZone::system())
}

/// The time after a while, as [`timestamp`] writes it.
#[must_use]
pub fn in_a_while(wait: Duration) -> String {
    wall().checked_add(wait).map_or_else(|_| timestamp(), rfc3339)
}

/// Today, as this machine's clock shows it.
#[must_use]
pub fn today() -> jiff::civil::Date {
    wall_zoned().date()
}

/// A new run id: a UUID v7, so that ids sort by the time their run began.
#[must_use]
pub fn run_id() -> String {
    Uuid::now_v7().to_string()
}

/// When the run with this id began, as far as its id says.
#[must_use]
pub fn began(run: &str) -> Option<std::time::SystemTime> {
    let (seconds, nanoseconds) = Uuid::parse_str(run).ok()?.get_timestamp()?.to_unix();
    std::time::SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::new(seconds, nanoseconds))
}

fn rfc3339(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_milliseconds_and_utc() {
        let at = jiff::Timestamp::from_millisecond(1_769_860_800_007).unwrap();
        assert_eq!(rfc3339(at), "2026-01-31T12:00:00.007Z");
        assert_eq!(rfc3339(jiff::Timestamp::from_second(0).unwrap()), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp().len(), "2026-01-31T12:00:00.123Z".len());
    }

    #[test]
    fn run_ids_sort_by_age() {
        let ids: Vec<String> = (0..50).map(|_| run_id()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.len() == 36));
        let at = began("019c1166-9c07-7000-8000-000000000000").unwrap();
        assert_eq!(rfc3339(at.try_into().unwrap()), "2026-01-31T00:14:23.239Z");
        assert_eq!(began("r1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn now_follows_the_paused_time() {
        let before = now();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(now() - before >= Duration::from_secs(3600));
    }
}
