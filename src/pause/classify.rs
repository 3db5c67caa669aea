//! From two observations to the pauses between them: how long, and of which kind.
//!
//! These functions are pure, so that a suspend or the stop of a machine is a row in a
//! table of tests.

use std::time::Duration;

use super::observation::{Observation, RtcReading, SuspendedTime};
use super::pause::{Pause, PauseKind};

/// What the thread planned to do between two observations.
pub(super) struct Schedule {
    /// When it planned to wake, counted from the first observation.
    pub(super) interval: Duration,
    /// The least lateness that counts as a pause.
    pub(super) threshold: Duration,
    /// How often it went to sleep by itself.
    pub(super) sleeps: u64,
}

/// The pauses between `before` and `after`: at most one on each clock.
pub(super) fn classify(
    before: &Observation,
    after: &Observation,
    schedule: &Schedule,
) -> impl Iterator<Item = Pause> {
    [
        late(before, after, schedule),
        suspended(before, after, schedule),
        machine_stopped(before, after),
    ]
    .into_iter()
    .flatten()
}

/// A pause that the monotonic clock counted.
fn late(before: &Observation, after: &Observation, schedule: &Schedule) -> Option<Pause> {
    let elapsed = after.at.saturating_duration_since(before.at);
    let late = elapsed.checked_sub(schedule.interval).filter(|&late| late >= schedule.threshold)?;
    let queued = after.queued.zip(before.queued).map(|(a, b)| a.saturating_sub(b));
    let slept = after.switches.zip(before.switches).map(|(a, b)| a.saturating_sub(b));
    // The queue is checked first. If a thread was stopped and then waited for its turn, the
    // wait is the smaller part.
    let kind = match (queued, slept) {
        (Some(queued), _) if queued >= late / 2 => PauseKind::NotScheduled,
        (_, Some(slept)) if slept > schedule.sleeps => PauseKind::Stopped,
        (Some(_), Some(_)) => PauseKind::Machine,
        _ => PauseKind::Unknown,
    };
    Some(Pause { kind, at_least: late, at_most: elapsed, noticed: after.at })
}

fn suspended(before: &Observation, after: &Observation, schedule: &Schedule) -> Option<Pause> {
    let (at_least, at_most) = suspended_between(&before.suspended?, &after.suspended?);
    // With a threshold of zero, a suspend of length zero must still not count.
    (at_least >= schedule.threshold && !at_least.is_zero()).then_some(Pause {
        kind: PauseKind::Suspended,
        at_least,
        at_most,
        noticed: after.at,
    })
}

/// How long the machine was suspended between two readings, at least and at most.
pub(super) fn suspended_between(
    before: &SuspendedTime,
    after: &SuspendedTime,
) -> (Duration, Duration) {
    (after.at_least.saturating_sub(before.at_most), after.at_most.saturating_sub(before.at_least))
}

/// The stop of a virtual machine: the chip ran on while the time since boot did not.
fn machine_stopped(before: &Observation, after: &Observation) -> Option<Pause> {
    let (before, now) = (before.rtc?, after.rtc?);
    let chip = u64::try_from(now.chip.checked_sub(before.chip)?).ok()?;
    let boot = now.boot.saturating_sub(before.boot);
    // Both readings of the chip are rounded down to a second.
    let second = Duration::from_secs(1);
    let chip = Duration::from_secs(chip);
    let at_least = chip.checked_sub(second)?.checked_sub(boot)?;
    if at_least < second / 2 || was_set_to_the_wall_clock(&before, &now) {
        return None;
    }
    let at_most = (chip + second).saturating_sub(boot);
    Some(Pause { kind: PauseKind::MachineStopped, at_least, at_most, noticed: after.at })
}

/// Whether the wall clock was written into the chip, which also makes the chip jump. The
/// kernel does that every eleven minutes, and `hwclock --systohc` when it is called.
fn was_set_to_the_wall_clock(before: &RtcReading, now: &RtcReading) -> bool {
    // One second for rounding, and one for a chip that changes at its next tick.
    let agree = |reading: &RtcReading| reading.chip.abs_diff(reading.wall) <= 2;
    !agree(before) && agree(now)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Instant;

    const SCHEDULE: Schedule = Schedule {
        interval: Duration::from_millis(20),
        threshold: Duration::from_millis(20),
        sleeps: 1,
    };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn suspended_for(n: u64) -> SuspendedTime {
        SuspendedTime { at_least: ms(n), at_most: ms(n) + Duration::from_micros(3) }
    }

    fn start() -> Observation {
        Observation {
            at: Instant::now(),
            suspended: Some(suspended_for(0)),
            queued: Some(ms(7)),
            switches: Some(40),
            rtc: None,
        }
    }

    #[test]
    fn a_late_wake_is_attributed_by_its_traces() {
        use PauseKind::*;
        let cases = [
            // elapsed, waited in the queue, went to sleep, kind, at least
            (20, Some(0), Some(1), None, 0),
            (39, Some(19), Some(1), None, 0),
            (40, Some(19), Some(1), Some(NotScheduled), 20),
            (520, Some(300), Some(1), Some(NotScheduled), 500),
            (520, Some(300), Some(2), Some(NotScheduled), 500),
            (520, Some(5), Some(2), Some(Stopped), 500),
            (520, Some(249), Some(2), Some(Stopped), 500),
            (520, Some(5), Some(1), Some(Machine), 500),
            (520, None, Some(2), Some(Stopped), 500),
            (520, None, Some(1), Some(Unknown), 500),
            (520, Some(5), None, Some(Unknown), 500),
            (520, Some(300), None, Some(NotScheduled), 500),
            (520, None, None, Some(Unknown), 500),
        ];
        for (elapsed, queued, switches, kind, at_least) in cases {
            let before = start();
            let after = Observation {
                at: before.at + ms(elapsed),
                queued: queued.map(|q| ms(7 + q)),
                switches: switches.map(|s| 40 + s),
                ..before
            };
            let expected = kind.map(|kind| Pause {
                kind,
                at_least: ms(at_least),
                at_most: ms(elapsed),
                noticed: after.at,
            });
            let found: Vec<_> = classify(&before, &after, &SCHEDULE).collect();
            let case = format!("{elapsed} ms, queued {queued:?}, slept {switches:?}");
            assert_eq!(found, Vec::from_iter(expected), "{case}");
        }
    }

    #[test]
    fn a_suspend_shows_though_the_monotonic_clock_stood_still() {
        let before = start();
        let after =
            Observation { at: before.at + ms(20), suspended: Some(suspended_for(9_000)), ..before };
        let found: Vec<_> = classify(&before, &after, &SCHEDULE).collect();
        let us = Duration::from_micros;
        let expected = Pause {
            kind: PauseKind::Suspended,
            at_least: ms(9_000) - us(3),
            at_most: ms(9_000) + us(3),
            noticed: after.at,
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_suspend_and_a_late_wake_are_two_pauses() {
        let before = start();
        let after = Observation {
            at: before.at + ms(120),
            suspended: Some(suspended_for(9_000)),
            ..before
        };
        let kinds: Vec<_> = classify(&before, &after, &SCHEDULE).map(|pause| pause.kind).collect();
        assert_eq!(kinds, [PauseKind::Machine, PauseKind::Suspended]);
    }

    #[test]
    fn the_chip_shows_the_stop_of_a_machine_and_not_its_own_setting() {
        let cases = [
            // chip and wall before, chip and wall after, ms since boot, seconds stopped
            ((1_000, 1_000), (1_001, 1_001), 1_000, None),
            ((1_000, 1_000), (1_002, 1_001), 1_000, None), // rounding
            ((1_000, 1_000), (1_031, 1_001), 1_000, Some((29, 31))), // stopped for 30 s
            ((1_000, 4_600), (1_031, 4_601), 1_000, Some((29, 31))), // a chip in local time
            ((1_000, 1_030), (1_031, 1_031), 1_000, None), // set to the wall clock
            ((1_031, 1_031), (1_001, 1_001), 1_000, None), // set back
            ((1_000, 1_000), (1_031, 1_031), 31_000, None), // suspended, which BOOTTIME counts
            ((i64::MIN, 0), (i64::MAX, 0), 1_000, None),
        ];
        for (from, to, boot, stopped) in cases {
            let reading = |(chip, wall), boot| Some(RtcReading { chip, wall, boot: ms(boot) });
            let before = Observation { rtc: reading(from, 5_000), ..start() };
            let after = Observation { rtc: reading(to, 5_000 + boot), ..before };
            let found: Vec<_> = classify(&before, &after, &SCHEDULE).collect();
            let expected = stopped.map(|(least, most)| Pause {
                kind: PauseKind::MachineStopped,
                at_least: Duration::from_secs(least),
                at_most: Duration::from_secs(most),
                noticed: after.at,
            });
            assert_eq!(found, Vec::from_iter(expected), "{from:?} to {to:?}");
        }
    }
}
