//! The step of a counter: how far it may be ahead of what it shows.
//!
//! A counter need not count one by one. The TSCs seen so far add 25 ticks of
//! 2.5 GHz a hundred million times a second; a counter of 1 GHz, which Armv8.6
//! asks for, may add 40 ticks 25 million times a second. What it shows is then
//! up to a step old, and `latest` would be too small by as much. Nothing tells
//! the step, so it is measured.

use nix::time::ClockId;

use crate::clock::bound::Pace;
use crate::sys;

/// The step of the TSCs seen so far: they count a 100 MHz reference. The
/// kernel's clocks are read from the same counter and share its steps.
pub(crate) const GRANULARITY_NS: u64 = 10;

const READS: usize = 64;

/// The step of the kernel's raw clock, and of its wall clock on top, where the
/// kernel may keep time by anything: hpet steps by 70 ns, acpi_pm by 279, jiffies
/// by milliseconds. No two different readings are nearer than one step.
pub(crate) fn kernel_step_ns() -> u64 {
    const JIFFY_NS: u64 = 10_000_000;
    let read = || sys::nanos(ClockId::CLOCK_MONOTONIC_RAW) as u64;
    let step = least_gap(read, READS).unwrap_or(JIFFY_NS);
    2 * step.max(GRANULARITY_NS)
}

/// The step of the processor's counter, which ticks at `ratio`; `None` if it stands still.
pub(crate) fn hardware_step_ns(ratio: &Pace) -> Option<u64> {
    longest_step(sys::hardware::ticks_unordered)
        .map(|ticks| GRANULARITY_NS.max(ratio.most_nanos(ticks)))
}

/// No less than any step of a counter whose steps are equal, but that each is rounded to
/// whole ticks: 24 MHz shown as 1 GHz adds 41 at times and 42 at others.
fn longest_step(mut read: impl FnMut() -> u64) -> Option<u64> {
    const UNTIL_IT_MOVES: usize = 100_000;
    let gap = least_gap(&mut read, READS).or_else(|| least_gap(&mut read, UNTIL_IT_MOVES))?;
    gap.checked_add(1)
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
        // A step that is rounded, and a counter that never moves: no step is no step of 1.
        let mut time = 0;
        let rounded = || {
            time += 1;
            time * 125 / 3
        };
        assert!(longest_step(rounded).is_some_and(|step| step >= 42));
        assert_eq!(longest_step(|| 7), None);
        let mut backwards = (0..u64::MAX).rev();
        assert_eq!(least_gap(|| backwards.next().unwrap_or(0), 64), None, "never taken for a step");
    }
}
