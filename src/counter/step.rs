//! The step of a counter: how far it may be ahead of what it shows.
//!
//! A counter need not count one by one. The TSCs seen so far add 25 ticks of
//! 2.5 GHz a hundred million times a second; a counter of 1 GHz, which Armv8.6
//! asks for, may add 40 ticks 25 million times a second. What it shows is then
//! up to a step old, and `latest` would be too small by as much. Nothing states
//! the step, so it is measured.

use super::{RateBounds, raw_ticks};
use crate::host::Host;

/// The step of the TSCs seen so far: they count a 100 MHz reference. The
/// kernel's clocks are read from the same counter and share its steps.
pub(crate) const GRANULARITY_NS: u64 = 10;

const READS: usize = 64;

/// The step of the kernel's raw clock, and of its wall clock on top, where the
/// kernel may keep time by anything: hpet steps by 70 ns, acpi_pm by 279, jiffies
/// by milliseconds. No two different readings are nearer than one step.
pub(super) fn kernel_step_ns(host: &dyn Host) -> u64 {
    const JIFFY_NS: u64 = 10_000_000;
    // Readings that fail show no movement, and then the widest step is assumed.
    let read = || raw_ticks(host).unwrap_or(0);
    let step = least_gap(read, READS).unwrap_or(JIFFY_NS);
    2 * step.max(GRANULARITY_NS)
}

/// The step of the processor's counter, which ticks at `ratio`; `None` if it stands still.
pub(super) fn hardware_step_ns(host: &dyn Host, ratio: &RateBounds) -> Option<u64> {
    longest_step(|| host.ticks_unordered()).map(|ticks| GRANULARITY_NS.max(ratio.most_nanos(ticks)))
}

/// At least any step of a counter whose steps are equal, except that each is rounded to
/// whole ticks: 24 MHz shown as 1 GHz adds 41 at times and 42 at others.
///
/// A counter that was seen to move by single ticks, and never by two, counts one by one.
/// Of any other the least distance seen may be a step that was rounded down, so one tick
/// is added.
fn longest_step(mut read: impl FnMut() -> u64) -> Option<u64> {
    const UNTIL_IT_MOVES: usize = 100_000;
    let mut moves = Moves::default();
    let mut last = read();
    for _ in 0..UNTIL_IT_MOVES {
        let now = read();
        moves.saw(now.saturating_sub(std::mem::replace(&mut last, now)));
        if moves.count >= READS {
            break;
        }
    }
    match moves.least? {
        1 if moves.twos == 0 && moves.count >= READS => Some(1),
        least => least.checked_add(1),
    }
}

/// The distances between readings in a row that differ.
#[derive(Default)]
struct Moves {
    count: usize,
    least: Option<u64>,
    /// How many were of two ticks.
    twos: usize,
}

impl Moves {
    fn saw(&mut self, gap: u64) {
        if gap > 0 {
            self.count += 1;
            self.least = Some(self.least.map_or(gap, |least| least.min(gap)));
            self.twos += usize::from(gap == 2);
        }
    }
}

/// The least distance of two readings in a row that differ, among `reads`: no less
/// than a step, and no more than a step and the time that a reading takes.
fn least_gap(mut read: impl FnMut() -> u64, reads: usize) -> Option<u64> {
    let mut last = read();
    let mut gap = || {
        let now = read();
        now.saturating_sub(std::mem::replace(&mut last, now))
    };
    (1..reads).map(|_| gap()).filter(|&gap| gap > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scripted::ScriptedHost;

    #[test]
    fn the_raw_clocks_step_counts_twice_because_the_wall_clock_has_one_too() {
        // Each reading of the host comes 10 ns later.
        assert_eq!(kernel_step_ns(&*ScriptedHost::new()), 20);
    }

    #[test]
    fn a_counter_that_adds_many_ticks_at_once_is_known_by_its_step() {
        // At each reading `cost` more ticks have passed; shown are those in whole steps.
        let shown = |step: u64, cost: u64| {
            let mut ticks = 12_345;
            move || {
                ticks += cost;
                ticks / step * step
            }
        };
        let cases = [
            // step, cost, the least gap among 64 readings
            (1, 0, None),
            (1, 25, Some(25)),
            (40, 7, Some(40)),
            (40, 15, Some(40)),
            (40, 40, Some(40)),
            (40, 100, Some(80)),
            (1_000_000, 3, None),
        ];
        for (step, cost, gap) in cases {
            assert_eq!(least_gap(shown(step, cost), 64), gap, "{step} ticks, {cost} a reading");
        }
        assert_eq!(least_gap(shown(1_000, 3), 1_000), Some(1_000));
        // Steps that are rounded to whole ticks: the longer ones count.
        let mut time = 0;
        let rounded = || {
            time += 1;
            time * 125 / 3
        };
        assert!(longest_step(rounded).is_some_and(|step| step >= 42));
        let mut time = 0;
        let mut one_and_two = || {
            time += 1;
            time * 5 / 4
        };
        assert_eq!(longest_step(&mut one_and_two), Some(2), "1.25 ticks, rounded");
        // A counter that counts one by one, read four times a tick.
        let mut time = 0;
        let one_by_one = || {
            time += 1;
            time / 4
        };
        assert_eq!(longest_step(one_by_one), Some(1));
        assert_eq!(longest_step(|| 7), None, "one that never moves is not one of step 1");
        let mut backwards = (0..u64::MAX).rev();
        assert_eq!(least_gap(|| backwards.next().unwrap_or(0), 64), None, "never taken for a step");
    }
}
