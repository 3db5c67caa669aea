//! [`Movement`]: whether a clock that is read as a counter moves at all.
//!
//! A read that succeeds may still return the same number for ever: a wrapper around
//! `clock_gettime` that freezes time for a test, an emulator, a broken clocksource. Then every interval
//! stands still while true time passes. So the raw clock is held against `CLOCK_MONOTONIC`,
//! which runs at most 12 % faster or slower, however it is slewed.

use crate::counter::raw_ticks;
use crate::host::{Host, HostClock, HostError};

/// Shorter than this, the steps of a coarse clocksource (10 ms, jiffies) say nothing.
const BASELINE_NS: i64 = 100_000_000;

/// How far both clocks had come when they were compared last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Movement {
    since: Option<(i64, u64)>,
    is_stopped: bool,
}

impl Movement {
    /// Waits until the raw clock moves, which takes up to one step of its clocksource.
    pub(super) fn observe(host: &dyn Host) -> Movement {
        Movement { since: both(host).ok(), is_stopped: !is_seen_to_move(host).unwrap_or(true) }
    }

    /// Whether the raw clock stands still, by what it has done since the last check.
    pub(super) fn is_stopped(&mut self, host: &dyn Host) -> Result<bool, HostError> {
        let (monotonic, raw) = both(host)?;
        let since = *self.since.get_or_insert((monotonic, raw));
        let passed = monotonic.saturating_sub(since.0);
        if passed >= BASELINE_NS {
            let counted = raw.saturating_sub(since.1);
            self.is_stopped = counted < passed.unsigned_abs() / 2;
            self.since = Some((monotonic, raw));
        }
        Ok(self.is_stopped)
    }
}

fn both(host: &dyn Host) -> Result<(i64, u64), HostError> {
    Ok((host.nanos(HostClock::Monotonic)?, raw_ticks(host)?))
}

/// Whether the raw clock is seen to move, before the monotonic one has moved by half of the baseline.
fn is_seen_to_move(host: &dyn Host) -> Result<bool, HostError> {
    // Where neither moves the loop must end too.
    const MOST_READS: u32 = 1_000_000;
    let (since, first) = both(host)?;
    for _ in 0..MOST_READS {
        let (monotonic, raw) = both(host)?;
        if raw != first {
            return Ok(true);
        }
        if monotonic.saturating_sub(since) > BASELINE_NS / 2 {
            break;
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scripted::ScriptedHost;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_raw_clock_that_stops_is_noticed_within_a_tenth_of_a_second_and_so_is_its_return() {
        let host = ScriptedHost::new();
        let mut movement = Movement::observe(&*host);
        let mut check = |pass_ns| {
            host.pass(pass_ns);
            movement.is_stopped(&*host).expect("readable")
        };
        assert!(!check(0) && !check(SECOND));
        host.stop_raw_clock();
        assert!(!check(SECOND / 20), "too early to tell");
        assert!(check(SECOND / 10));
        assert!(check(1), "until it is seen to move");
        host.let_raw_clock_run();
        assert!(check(1), "too early to tell");
        assert!(!check(SECOND));
    }

    #[test]
    fn a_raw_clock_that_never_moves_is_stopped_from_the_beginning() {
        let host = ScriptedHost::new();
        host.stop_raw_clock();
        assert!(Movement::observe(&*host).is_stopped(&*host).expect("readable"));
    }
}
