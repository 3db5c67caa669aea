//! [`PauseHistory`]: the pauses that were noticed, and the one that may be under way.
//!
//! The monitor's thread is not always the first to run after a pause. Another thread may
//! ask "was I paused?" before it. So the history also holds when the monitor was due. If
//! that is past by more than the threshold, there is a pause that the monitor has not
//! noticed yet, and the answer is yes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::pause::{Pause, PauseKind};

/// How many pauses are remembered. At the default interval that is at least a minute of
/// consecutive pauses.
pub(super) const REMEMBERED: usize = 1024;

#[derive(Clone)]
pub(super) struct PauseHistory {
    /// The newest last.
    pauses: VecDeque<Pause>,
    /// When the monitor last ran.
    seen: Instant,
    /// When the monitor plans to run next.
    due: Instant,
    threshold: Duration,
    counts: [u64; PauseKind::ALL.len()],
    total: Duration,
}

impl PauseHistory {
    pub(super) fn new(seen: Instant, interval: Duration, threshold: Duration) -> PauseHistory {
        PauseHistory {
            pauses: VecDeque::new(),
            seen,
            due: seen + interval,
            threshold,
            counts: [0; PauseKind::ALL.len()],
            total: Duration::ZERO,
        }
    }

    /// The monitor ran at `seen`, plans to run again after `interval`, and noticed `pauses`.
    pub(super) fn record(&mut self, seen: Instant, interval: Duration, pauses: &[Pause]) {
        self.seen = seen;
        self.due = seen + interval;
        for &pause in pauses {
            if self.pauses.len() == REMEMBERED {
                self.pauses.pop_front();
            }
            self.pauses.push_back(pause);
            self.counts[pause.kind as usize] += 1;
            self.total = self.total.saturating_add(pause.at_least);
        }
    }

    pub(super) fn pauses(&self) -> impl DoubleEndedIterator<Item = &Pause> {
        self.pauses.iter()
    }

    pub(super) fn count_of(&self, kind: PauseKind) -> u64 {
        self.counts[kind as usize]
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn total(&self) -> Duration {
        self.total
    }

    pub(super) fn threshold(&self) -> Duration {
        self.threshold
    }

    /// The pause that is under way, or over and not noticed yet.
    pub(super) fn pending(&self, now: Instant) -> Option<Pause> {
        let late = now.checked_duration_since(self.due)?;
        (late >= self.threshold).then_some(Pause {
            kind: PauseKind::Unknown,
            at_least: late,
            at_most: now.saturating_duration_since(self.seen),
            noticed: now,
        })
    }

    /// How much of `[a, b]` the process was paused for, at most.
    ///
    /// It is counted on the monotonic clock, on which a suspend has no length.
    pub(super) fn paused_between(&self, a: Instant, b: Instant, now: Instant) -> Duration {
        let pending = self.pending(now);
        self.pauses
            .iter()
            .chain(&pending)
            .filter(|pause| pause.kind.is_counted_by_instant())
            .map(|pause| {
                let from = pause.noticed.checked_sub(pause.at_most).unwrap_or(pause.noticed);
                pause.noticed.min(b).saturating_duration_since(from.max(a))
            })
            .sum::<Duration>()
            .min(b.saturating_duration_since(a))
    }

    /// The part of `pause` after `began`, if that is still long enough to count.
    pub(super) fn since(&self, pause: &Pause, began: Instant) -> Option<Pause> {
        if !pause.kind.is_counted_by_instant() {
            return (pause.noticed > began).then_some(*pause);
        }
        let at_most = pause.at_most.min(pause.noticed.checked_duration_since(began)?);
        (at_most >= self.threshold).then_some(Pause {
            // It is not known how much of the pause was before `began`. So `at_least` loses
            // as much as may have been.
            at_least: pause.at_least.saturating_sub(pause.at_most - at_most),
            at_most,
            ..*pause
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn pause(noticed: Instant, at_least: u64, at_most: u64) -> Pause {
        Pause { kind: PauseKind::Stopped, at_least: ms(at_least), at_most: ms(at_most), noticed }
    }

    #[test]
    fn only_the_part_of_a_pause_within_the_period_counts() {
        let zero = Instant::now();
        let at = |n| zero + ms(n);
        let mut history = PauseHistory::new(zero, ms(20), ms(20));
        history.record(at(1_000), ms(20), &[pause(at(1_000), 480, 500)]);
        history.record(at(2_000), ms(20), &[pause(at(2_000), 80, 100)]);
        let cases = [
            (0, 400, 0),
            (0, 600, 100),
            (0, 1_500, 500),
            (600, 700, 100),
            (0, 3_000, 600),
            (1_000, 1_900, 0),
            (3_000, 0, 0), // in the wrong order
        ];
        for (a, b, expected) in cases {
            let paused = history.paused_between(at(a), at(b), at(2_001));
            assert_eq!(paused, ms(expected), "{a} to {b}");
        }
    }

    #[test]
    fn a_pause_that_the_monitor_has_not_noticed_yet_counts_already() {
        let zero = Instant::now();
        let at = |n| zero + ms(n);
        let history = PauseHistory::new(zero, ms(20), ms(30));
        assert_eq!(history.pending(at(49)), None);
        assert_eq!(history.paused_between(at(0), at(49), at(49)), ms(0));
        let pending = history.pending(at(700)).expect("680 ms late");
        assert_eq!((pending.at_least, pending.at_most), (ms(680), ms(700)));
        assert_eq!(history.paused_between(at(100), at(700), at(700)), ms(600));
    }

    #[test]
    fn a_suspend_has_no_length_on_the_monotonic_clock() {
        let zero = Instant::now();
        let mut history = PauseHistory::new(zero, ms(20), ms(20));
        let kind = PauseKind::Suspended;
        history.record(
            zero + ms(20),
            ms(20),
            &[Pause { kind, ..pause(zero + ms(20), 9_000, 9_001) }],
        );
        assert_eq!(history.paused_between(zero, zero + ms(30), zero + ms(30)), ms(0));
        assert_eq!((history.count_of(kind), history.total()), (1, ms(9_000)));
    }

    #[test]
    fn the_part_of_a_pause_before_a_guard_began_does_not_count() {
        let zero = Instant::now();
        let at = |n| zero + ms(n);
        let history = PauseHistory::new(zero, ms(20), ms(20));
        let whole = pause(at(1_000), 480, 500);
        let cases = [
            // began, at least, at most
            (0, Some((480, 500))),
            (500, Some((480, 500))),
            (600, Some((380, 400))),
            (980, Some((0, 20))),
            (981, None),
            (1_000, None),
            (1_500, None),
        ];
        for (began, expected) in cases {
            let left = history.since(&whole, at(began)).map(|p| (p.at_least, p.at_most));
            assert_eq!(left, expected.map(|(l, m)| (ms(l), ms(m))), "began at {began}");
        }
    }

    #[test]
    fn a_limited_number_is_remembered_and_all_are_counted() {
        let zero = Instant::now();
        let mut history = PauseHistory::new(zero, ms(20), ms(20));
        for _ in 0..REMEMBERED + 5 {
            history.record(zero, ms(20), &[pause(zero, 1, 2)]);
        }
        assert_eq!(history.pauses().count(), REMEMBERED);
        assert_eq!(history.count(), REMEMBERED as u64 + 5);
    }

    proptest! {
        #[test]
        fn no_period_was_paused_for_longer_than_it_lasted_and_parts_add_up(
            // The running time before each pause, and its length. They never overlap.
            pauses in prop::collection::vec((0u64..500, 0u64..500), 0..20),
            ends in [0u64..5_000, 0..5_000, 0..5_000],
        ) {
            let zero = Instant::now();
            let mut history = PauseHistory::new(zero, ms(20), ms(20));
            let mut noticed = zero;
            for (running, paused) in pauses {
                noticed += ms(running + paused);
                history.record(noticed, ms(20), &[pause(noticed, paused / 2, paused)]);
            }
            let mut ends = ends.map(|n| zero + ms(n));
            ends.sort();
            let [a, cut, b] = ends;
            let paused = |a, b| history.paused_between(a, b, zero);
            prop_assert!(paused(a, b) <= b - a);
            prop_assert_eq!(paused(a, b), paused(a, cut) + paused(cut, b));
            prop_assert_eq!(paused(b, a), ms(0));
        }
    }
}
