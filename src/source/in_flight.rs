//! [`InFlight`]: the part of a correction that the kernel is applying at this moment.
//!
//! The kernel applies a correction of its PLL, or of `adjtime()`, second by second. At the
//! start of each second it takes a part out of the rest, and spreads it over that second. So
//! right after the start of a second the clock is off by the rest that `adjtimex` shows,
//! *and* by the part that is under way, which no call shows. (In a guest whose PLL corrected
//! 300 ms, readings with only the rest added missed the truth by 18 ms.)
//!
//! The part is bounded. The PLL takes at most a quarter (`SHIFT_PLL` is 2, and the time
//! constant only makes it less), so at most a third of the rest that remains. `adjtime()`
//! takes at most 500 µs. A daemon may replace the rest while a part is under way, so the
//! largest rest of the last second counts.

use crate::host::{KernelState, STA_PLL};

/// The longest second of the kernel's clock: a slew of 12 % makes it longer, and its tick may
/// be late.
const SLEWED_SECOND_NS: u64 = 1_200_000_000;

/// The most that `adjtime()` puts into one second, in ns (`MAX_TICKADJ`).
const MAX_TICKADJ_NS: u64 = 500_000;

/// Remembers the largest rest of the last second or two.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    since_ns: Option<i64>,
    now: Left,
    before: Left,
}

/// The largest rest of a correction, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    pll_ns: u64,
    adjtime_ns: u64,
}

impl Left {
    fn max(self, other: Left) -> Left {
        Left {
            pll_ns: self.pll_ns.max(other.pll_ns),
            adjtime_ns: self.adjtime_ns.max(other.adjtime_ns),
        }
    }
}

impl InFlight {
    /// How much may be under way, in ns, when the kernel shows `state` and the monotonic
    /// clock `at_ns`.
    pub(crate) fn note(&mut self, state: &KernelState, at_ns: i64) -> u64 {
        let since = *self.since_ns.get_or_insert(at_ns);
        let age = at_ns.saturating_sub(since).max(0).unsigned_abs();
        if age >= SLEWED_SECOND_NS {
            // After two seconds without a reading, nothing from before is under way.
            let is_recent = age < 2 * SLEWED_SECOND_NS;
            self.before = if is_recent { self.now } else { Left::default() };
            self.now = Left::default();
            self.since_ns = Some(at_ns);
        }
        let has_pll = state.status & STA_PLL != 0;
        let left = Left {
            pll_ns: if has_pll { state.offset_ns.unsigned_abs() } else { 0 },
            adjtime_ns: state.adjtime_ns.unsigned_abs(),
        };
        self.now = self.now.max(left);
        let most = self.now.max(self.before);
        most.pll_ns.div_ceil(3).saturating_add(most.adjtime_ns.min(MAX_TICKADJ_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::STA_NANO;

    fn state(offset_ns: i64, adjtime_ns: i64, status: i32) -> KernelState {
        KernelState { status, maxerror_us: 1, offset_ns, adjtime_ns, ..KernelState::BLANK }
    }

    #[test]
    fn a_third_of_what_was_left_lately_is_under_way() {
        let pll = STA_PLL;
        let mut in_flight = InFlight::default();
        let cases = [
            // ms, left to the PLL, to adjtime(), under way
            (0, 0, 0, 0),
            (100, -300_000_000, 0, 100_000_000),
            (200, 1_000, 0, 100_000_000), // the daemon has replaced it
            (1_300, 1_000, 0, 100_000_000),
            (2_600, 1_000, 0, 334), // a second later it is in the clock
            (2_700, 0, -200_000, 334 + 200_000),
            (2_800, 0, 900_000, 334 + 500_000),
            (9_000, 0, 0, 0), // the last reading was long ago
        ];
        for (ms, offset, adjtime, under_way) in cases {
            let at = ms * 1_000_000;
            assert_eq!(in_flight.note(&state(offset, adjtime, pll), at), under_way, "at {ms} ms");
        }
    }

    #[test]
    fn without_a_pll_no_offset_is_under_way() {
        let mut in_flight = InFlight::default();
        assert_eq!(in_flight.note(&state(300_000_000, 0, STA_NANO), 0), 0);
        let absurd = state(i64::MIN, i64::MIN, STA_PLL);
        assert!(in_flight.note(&absurd, 0) > 1 << 61, "it does not overflow");
    }
}
