//! [`phi`]: how unlikely a value this large is, as a negative power of ten.
//!
//! The obvious program computes the probability `P` that a normal variable exceeds `y`,
//! and takes its logarithm. `1 - cdf(y)` is only rounding error beyond `y = 6`, and zero
//! beyond 8.3; even a good `erfc` underflows at 38. Then `phi` is infinite, and a detector
//! breaks that compares it, averages it or sends it as JSON. Akka's detector uses a
//! logistic approximation instead. It returns 9.3 where 8 is right, and 21 instead of 15.
//!
//! In the far tail the logarithm is the easy part, because `P` is `exp(-y²/2)` times a
//! factor of moderate size. So the exponential is never computed:
//!
//! ```text
//! -ln P(y) = x² - ln(erfcx(x) / 2)        x = y / √2,  erfcx(x) = exp(x²) erfc(x)
//! ```
//!
//! `erfcx` is a ratio of polynomials, by W. J. Cody, "Rational Chebyshev
//! approximations for the error function" (Mathematics of Computation 23, 1969,
//! pages 631 to 637), whose coefficients these are. Above the mean it is good
//! to a few units in the last place; the tests compare with 20 digits of mpmath.

use std::f64::consts::{FRAC_1_SQRT_2, LN_10};

/// Beyond this `x²` would overflow. No silence is that unlikely.
const FAR: f64 = 1e150;

/// erf is computed up to here, and erfc above it.
const NEAR: f64 = 0.46875;

/// 1 / √π.
const FRAC_1_SQRT_PI: f64 = 0.564_189_583_547_756_3;

/// `-log10` of the probability that a normal variable with this mean and
/// standard deviation exceeds `elapsed`.
///
/// It is finite and at least 0 for any arguments, including NaN and infinities. It is 0
/// where they make no sense, so that no peer is suspected. A standard deviation that is
/// not above 0 counts as the smallest number that is.
///
/// ```
/// use truechimer::timeout::phi;
///
/// assert!((phi(10.0, 10.0, 1.0) - 2f64.log10()).abs() < 1e-15); // one in two
/// assert!((phi(15.0, 10.0, 1.0) - 6.542_645_672_390_654).abs() < 1e-14); // one in 3.5 million
/// assert!((phi(1e6, 0.0, 1.0) - 217_147_240_958.025).abs() < 1e-3); // and no underflow
/// ```
pub fn phi(elapsed: f64, mean: f64, std_dev: f64) -> f64 {
    // `max` takes the other number for NaN.
    phi_of_deviations((elapsed - mean) / std_dev.max(f64::MIN_POSITIVE))
}

/// `-log10 P(Y > y)` for a standard normal `Y`.
#[expect(clippy::manual_clamp, reason = "`clamp` would let NaN through")]
pub(super) fn phi_of_deviations(y: f64) -> f64 {
    // NaN becomes -FAR, and so no suspicion.
    let x = y.max(-FAR).min(FAR) * FRAC_1_SQRT_2;
    let nats = if x > NEAR {
        x * x - (erfcx(x) / 2.0).ln()
    } else if x >= -NEAR {
        -((1.0 - erf_near(x)) / 2.0).ln()
    } else {
        -(-(-x * x).exp() * erfcx(-x) / 2.0).ln_1p()
    };
    nats / LN_10
}

/// The `y` at which [`phi_of_deviations`] reaches `threshold`, by bisection, because it is
/// monotonic.
pub(super) fn deviations_of_phi(threshold: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 1.0);
    while phi_of_deviations(high) < threshold && high < FAR {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if phi_of_deviations(middle) < threshold {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// erf, for |x| up to [`NEAR`].
#[expect(clippy::excessive_precision, reason = "the digits are those of the source")]
fn erf_near(x: f64) -> f64 {
    const P: [f64; 5] = [
        1.857_777_061_846_031_5e-1,
        3.161_123_743_870_565_6,
        1.138_641_541_510_501_6e2,
        3.774_852_376_853_020_2e2,
        3.209_377_589_138_469_5e3,
    ];
    const Q: [f64; 5] = [
        1.0,
        2.360_129_095_234_412_1e1,
        2.440_246_379_344_441_7e2,
        1.282_616_526_077_372_3e3,
        2.844_236_833_439_170_6e3,
    ];
    x * polynomial(&P, x * x) / polynomial(&Q, x * x)
}

/// exp(x²) erfc(x), for x above [`NEAR`].
#[expect(clippy::excessive_precision, reason = "the digits are those of the source")]
fn erfcx(x: f64) -> f64 {
    if x <= 4.0 {
        const P: [f64; 9] = [
            2.153_115_354_744_038_5e-8,
            5.641_884_969_886_700_9e-1,
            8.883_149_794_388_376,
            6.611_919_063_714_163e1,
            2.986_351_381_974_001_3e2,
            8.819_522_212_417_691e2,
            1.712_047_612_634_070_6e3,
            2.051_078_377_826_071_5e3,
            1.230_339_354_797_997_2e3,
        ];
        const Q: [f64; 9] = [
            1.0,
            1.574_492_611_070_983_5e1,
            1.176_939_508_913_125e2,
            5.371_811_018_620_099e2,
            1.621_389_574_566_690_2e3,
            3.290_799_235_733_459_6e3,
            4.362_619_090_143_247e3,
            3.439_367_674_143_721_6e3,
            1.230_339_354_803_749_4e3,
        ];
        return polynomial(&P, x) / polynomial(&Q, x);
    }
    const P: [f64; 6] = [
        1.631_538_713_730_209_8e-2,
        3.053_266_349_612_323_4e-1,
        3.603_448_999_498_044_4e-1,
        1.257_817_261_112_292_5e-1,
        1.608_378_514_874_227_7e-2,
        6.587_491_615_298_378e-4,
    ];
    const Q: [f64; 6] = [
        1.0,
        2.568_520_192_289_822_4,
        1.872_952_849_923_467_3,
        5.279_051_029_514_284e-1,
        6.051_834_131_244_132e-2,
        2.335_204_976_268_691_8e-3,
    ];
    let t = 1.0 / (x * x);
    (FRAC_1_SQRT_PI - t * polynomial(&P, t) / polynomial(&Q, t)) / x
}

/// The highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `-mpmath.log10(mpmath.erfc(y / mpmath.sqrt(2)) / 2)` with 60 digits, shown with 20.
    #[expect(clippy::excessive_precision, reason = "the digits are mpmath's")]
    const EXACT: [(f64, f64); 30] = [
        (-10.0, 3.309_260_121_306_722_299e-24),
        (-8.0, 2.701_728_849_543_921_287_7e-16),
        (-5.0, 1.244_912_137_388_291_749e-7),
        (-3.0, 0.000_586_649_313_790_066_691_02),
        (-1.0, 0.075_026_012_957_818_023_238),
        (-0.5, 0.160_231_392_277_849_017_33),
        (-0.1, 0.267_744_723_958_664_369_51),
        (0.0, std::f64::consts::LOG10_2),
        (0.1, 0.337_079_656_726_623_481_34),
        (0.5, 0.510_691_989_265_240_774_47),
        (0.66, 0.594_095_692_294_893_540_63),
        (0.67, 0.599_584_813_128_449_773_84),
        (1.0, 0.799_545_541_491_970_500_03),
        (2.0, 1.643_016_080_140_937_048),
        (3.0, 2.869_699_035_929_369_077_2),
        (5.0, 6.542_645_672_390_654_496_3),
        (5.65, 8.095_696_128_888_320_441_2),
        (5.66, 8.120_981_591_776_131_573_7),
        (8.0, 15.206_142_551_017_154_558),
        (10.0, 23.118_053_405_486_075_894),
        (20.0, 88.560_095_343_075_591_92),
        (37.0, 299.242_181_178_609_921_67),
        (38.0, 315.539_789_703_962_507_89),
        (39.0, 332.271_393_093_030_848_21),
        (50.0, 544.966_335_861_996_655),
        (100.0, 2_173.871_542_869_034_376_5),
        (1e3, 217_150.640_041_994_386_28),
        (1e6, 217_147_240_958.025_003_76),
        (1e9, 217_147_240_951_625_923.22),
        (1e12, 2.171_472_409_516_259_138_3e23),
    ];

    #[test]
    fn phi_is_right_to_the_last_digits_from_end_to_end() {
        for (y, exact) in EXACT {
            let error = (phi_of_deviations(y) - exact) / exact;
            // Below the mean exp(-x²) is computed after all, and phi is close to 0.
            let limit = if y < -1.0 { 1e-13 } else { 2e-15 };
            assert!(
                error.abs() < limit,
                "{y}: {} for {exact}, off by {error:e}",
                phi_of_deviations(y)
            );
        }
    }

    /// The two obvious programs fail on the same table.
    #[test]
    fn the_obvious_programs_fail_in_the_tail() {
        let cdf = |y: f64| 1.0 - (-y * y / 2.0).exp() * erfcx(y / 2f64.sqrt()) / 2.0;
        let by_cdf = |y: f64| -(1.0 - cdf(y)).log10();
        let by_erfc = |y: f64| -((-y * y / 2.0).exp() * erfcx(y / 2f64.sqrt()) / 2.0).log10();
        assert!((by_cdf(8.0) - 15.206_142_551).abs() > 1e-2, "{}", by_cdf(8.0));
        assert!(by_cdf(10.0).is_infinite() && by_erfc(40.0).is_infinite());
        // Akka's approximation, as its documentation gives it.
        let logistic = |y: f64| {
            let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
            -(e / (1.0 + e)).log10()
        };
        assert!((logistic(8.0) - 15.206_142_551).abs() > 5.0, "{}", logistic(8.0));
    }

    #[test]
    fn a_threshold_is_met_exactly_where_it_says() {
        for threshold in [1e-3, 0.5, 1.0, 3.0, 8.0, 12.0, 300.0, 1e6] {
            let y = deviations_of_phi(threshold);
            assert!(phi_of_deviations(y) >= threshold);
            assert!(phi_of_deviations(y - y.abs() * 1e-9) < threshold);
        }
    }

    proptest! {
        #[test]
        fn phi_is_finite_for_any_numbers(elapsed: f64, mean: f64, std_dev: f64) {
            let odd = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324];
            let all = |x: f64| odd.into_iter().chain([x]);
            for e in all(elapsed) {
                for m in all(mean) {
                    for s in all(std_dev) {
                        let phi = phi(e, m, s);
                        prop_assert!(phi.is_finite() && phi >= 0.0, "{e}, {m}, {s}: {phi}");
                    }
                }
            }
        }

        #[test]
        fn phi_never_falls_as_time_passes(y in -50.0f64..50.0, step in 0.0f64..1.0) {
            // It may fall by a few units in the last place where the approximations meet.
            prop_assert!(phi_of_deviations(y + step) >= phi_of_deviations(y) * (1.0 - 1e-14));
        }
    }
}
