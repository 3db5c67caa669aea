//! What a bounded drift makes of a duration, to each side.
//!
//! A stopwatch with a drift of at most ρ that shows m has run for between
//! m / (1 + ρ) and m / (1 − ρ) of true time. So at most D has passed while it
//! shows no more than D × (1 − ρ), and at least D once it shows D × (1 + ρ).

use std::time::Duration;

const MILLION: u128 = 1_000_000;

/// `duration × (1 − ppm / 10⁶)`, rounded down: nothing where the drift has no bound.
pub(super) fn shrink(duration: Duration, ppm: u32) -> Duration {
    let kept = MILLION.saturating_sub(u128::from(ppm));
    from_nanos(scale(duration, kept, 0))
}

/// `duration × (1 + ppm / 10⁶)`, rounded up.
pub(super) fn stretch(duration: Duration, ppm: u32) -> Duration {
    from_nanos(scale(duration, MILLION + u128::from(ppm), MILLION - 1))
}

/// `duration × parts / 10⁶` in nanoseconds; a duration of 2⁹⁴ ns times 2³³ does not overflow.
fn scale(duration: Duration, parts: u128, round: u128) -> u128 {
    (duration.as_nanos() * parts + round) / MILLION
}

fn from_nanos(nanos: u128) -> Duration {
    let second = 1_000_000_000;
    match u64::try_from(nanos / second) {
        Ok(seconds) => Duration::new(seconds, (nanos % second) as u32),
        Err(_) => Duration::MAX,
    }
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
