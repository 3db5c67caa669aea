//! From two looks to a verdict: was there a pause between them, how long, of which kind.
//!
//! Pure, so that a suspend and the stop of a machine can be tried as tables.

use std::time::Duration;

use super::witness::{Look, RtcLook, Slept};
use super::{Pause, PauseKind};

/// What the thread meant to do between two looks.
pub(super) struct Plan {
    /// When it meant to wake, counted from the first look.
    pub(super) interval: Duration,
    /// From which lateness on it is called a pause.
    pub(super) threshold: Duration,
    /// How often it went to sleep of its own will.
    pub(super) sleeps: u64,
}

/// The pauses between `before` and `after`: at most one of each clock.
pub(super) fn judge(before: &Look, after: &Look, plan: &Plan) -> impl Iterator<Item = Pause> {
    [late(before, after, plan), suspended(before, after, plan), machine_stopped(before, after)]
        .into_iter()
        .flatten()
}

/// A pause that the monotonic clock counted.
fn late(before: &Look, after: &Look, plan: &Plan) -> Option<Pause> {
    let elapsed = after.at.saturating_duration_since(before.at);
    let late = elapsed.checked_sub(plan.interval).filter(|&late| late >= plan.threshold)?;
    let queued = after.queued.zip(before.queued).map(|(a, b)| a.saturating_sub(b));
    let slept = after.switches.zip(before.switches).map(|(a, b)| a.saturating_sub(b));
    // The queue first: who was stopped, and then waited for a turn, was mostly stopped.
    let kind = match (queued, slept) {
        (Some(queued), _) if queued >= late / 2 => PauseKind::NotScheduled,
        (_, Some(slept)) if slept > plan.sleeps => PauseKind::Stopped,
        (Some(_), Some(_)) => PauseKind::Machine,
        _ => PauseKind::Unknown,
    };
    Some(Pause { kind, at_least: late, at_most: elapsed, noticed: after.at })
}

fn suspended(before: &Look, after: &Look, plan: &Plan) -> Option<Pause> {
    let (at_least, at_most) = slept_between(&before.slept?, &after.slept?);
    // Even where every lateness counts: no suspend is not a short one.
    (at_least >= plan.threshold && !at_least.is_zero()).then_some(Pause {
        kind: PauseKind::Suspended,
        at_least,
        at_most,
        noticed: after.at,
    })
}

/// How long the machine was suspended between two readings, at least and at most.
pub(super) fn slept_between(before: &Slept, after: &Slept) -> (Duration, Duration) {
    (after.at_least.saturating_sub(before.at_most), after.at_most.saturating_sub(before.at_least))
}

/// The stop of a virtual machine: the chip ran on while the time since boot did not.
fn machine_stopped(before: &Look, after: &Look) -> Option<Pause> {
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

/// Whether somebody wrote the wall clock into the chip (`hwclock --systohc`, or the
/// kernel every eleven minutes), which also makes it jump.
fn was_set_to_the_wall_clock(before: &RtcLook, now: &RtcLook) -> bool {
    // A second for rounding, and one for a chip that takes it at its next tick.
    let agree = |look: &RtcLook| look.chip.abs_diff(look.wall) <= 2;
    !agree(before) && agree(now)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Instant;

    const PLAN: Plan = Plan {
        interval: Duration::from_millis(20),
        threshold: Duration::from_millis(20),
        sleeps: 1,
    };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn slept(n: u64) -> Slept {
        Slept { at_least: ms(n), at_most: ms(n) + Duration::from_micros(3) }
    }

    fn start() -> Look {
        Look {
            at: Instant::now(),
            slept: Some(slept(0)),
            queued: Some(ms(7)),
            switches: Some(40),
            rtc: None,
        }
    }

    #[test]
    fn a_late_wake_is_laid_to_whoever_left_the_mark() {
        use PauseKind::*;
        let cases = [
            // elapsed, waited in the queue, went to sleep, verdict, at least
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
            let after = Look {
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
            let found: Vec<_> = judge(&before, &after, &PLAN).collect();
            let case = format!("{elapsed} ms, queued {queued:?}, slept {switches:?}");
            assert_eq!(found, Vec::from_iter(expected), "{case}");
        }
    }

    #[test]
    fn a_suspend_shows_though_the_monotonic_clock_stood_still() {
        let before = start();
        let after = Look { at: before.at + ms(20), slept: Some(slept(9_000)), ..before };
        let found: Vec<_> = judge(&before, &after, &PLAN).collect();
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
        let after = Look { at: before.at + ms(120), slept: Some(slept(9_000)), ..before };
        let kinds: Vec<_> = judge(&before, &after, &PLAN).map(|pause| pause.kind).collect();
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
            ((1_000, 1_000), (1_031, 1_031), 31_000, None), // suspended, and BOOTTIME knows
            ((i64::MIN, 0), (i64::MAX, 0), 1_000, None),
        ];
        for (from, to, boot, stopped) in cases {
            let look = |(chip, wall), boot| Some(RtcLook { chip, wall, boot: ms(boot) });
            let before = Look { rtc: look(from, 5_000), ..start() };
            let after = Look { rtc: look(to, 5_000 + boot), ..before };
            let found: Vec<_> = judge(&before, &after, &PLAN).collect();
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
