//! Drift arithmetic: how far a duration can differ from what a stopwatch shows.
//!
//! When a stopwatch with a drift of at most ρ shows m, between m / (1 + ρ) and
//! m / (1 − ρ) of true time has passed. So at most D has passed while it shows no more
//! than D × (1 − ρ), and at least D has passed once it shows D × (1 + ρ).

use std::time::Duration;

use crate::timestamp::duration_from_nanos;

const MILLION: u128 = 1_000_000;

/// `duration × (1 − ppm / 10⁶)`, rounded down. Zero for a drift of 10⁶ ppm or more, because
/// a clock that may stand still guarantees nothing.
pub(super) fn shrink(duration: Duration, ppm: u32) -> Duration {
    let kept = MILLION.saturating_sub(u128::from(ppm));
    duration_from_nanos(duration.as_nanos() * kept / MILLION)
}

/// `duration × (1 + ppm / 10⁶)`, rounded up.
pub(super) fn stretch(duration: Duration, ppm: u32) -> Duration {
    // No overflow: a duration is below 2⁹⁴ ns, and the factor below 2³³.
    let parts = MILLION + u128::from(ppm);
    duration_from_nanos((duration.as_nanos() * parts).div_ceil(MILLION))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn drift_is_rounded_so_that_the_holder_stops_early_and_the_grantor_late() {
        let ns = Duration::from_nanos;
        let cases = [
            (ns(1_000_000), 200, ns(999_800), ns(1_000_200)),
            (ns(1), 1, ns(0), ns(2)),
            (ns(0), 200, ns(0), ns(0)),
            (ns(5), 0, ns(5), ns(5)),
            (ns(5), 1_000_000, ns(0), ns(10)),
            (ns(5), u32::MAX, ns(0), ns(21_480)),
        ];
        for (term, ppm, shrunk, stretched) in cases {
            assert_eq!(shrink(term, ppm), shrunk, "{term:?} less {ppm} ppm");
            assert_eq!(stretch(term, ppm), stretched, "{term:?} and {ppm} ppm");
        }
        assert_eq!(stretch(Duration::MAX, u32::MAX), Duration::MAX);
    }

    proptest! {
        #[test]
        fn a_drift_never_lengthens_the_holders_term_nor_shortens_the_grantors(
            seconds: u64, nanos in 0u32..1_000_000_000, ppm: u32,
        ) {
            let term = Duration::new(seconds, nanos);
            prop_assert!(shrink(term, ppm) <= term);
            prop_assert!(stretch(term, ppm) >= term);
        }
    }
}
