//! [`Oscillator`]: what a counter counts, and how far it is from nominal.
//!
//! A quartz is off by a constant, ages, follows the temperature, and wanders. Together these
//! are one number at each moment: by how many parts per million a nominal nanosecond is too
//! long. The number is drawn anew each second of true time and held in between. So the count
//! is a sum of straight pieces, in integers with 32 fractional bits, and it is the same on
//! every machine.

use std::time::Duration;

use super::random::{Random, nanos};
use crate::timestamp::NANOS_PER_SECOND;

/// The errors of an oscillator, in parts per million. A positive error means slow.
///
/// ```
/// use std::time::Duration;
/// use truechimer::sim::Oscillator;
///
/// let server = Oscillator::off_by(12.0)
///     .wander(0.02)
///     .temperature(1.5, Duration::from_secs(3600))
///     .ageing(0.01);
/// # let _ = server;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Oscillator {
    off_by_ppm: f64,
    wander_ppm: f64,
    temperature_ppm: f64,
    temperature_period: Duration,
    ageing_ppm_per_day: f64,
    limit_ppm: f64,
}

impl Oscillator {
    /// An oscillator that is too slow by a constant: a nominal nanosecond is `ppm` too long.
    pub fn off_by(ppm: f64) -> Oscillator {
        Oscillator {
            off_by_ppm: ppm,
            wander_ppm: 0.0,
            temperature_ppm: 0.0,
            temperature_period: Duration::from_secs(3600),
            ageing_ppm_per_day: 0.0,
            limit_ppm: 100_000.0,
        }
    }

    /// The frequency also walks, each second by up to this much either way.
    pub fn wander(mut self, ppm_per_second: f64) -> Oscillator {
        self.wander_ppm = ppm_per_second;
        self
    }

    /// It also follows a temperature that rises and falls once in `period`, by this much either way.
    pub fn temperature(mut self, ppm: f64, period: Duration) -> Oscillator {
        self.temperature_ppm = ppm;
        self.temperature_period = period.max(Duration::from_secs(1));
        self
    }

    /// It also ages.
    pub fn ageing(mut self, ppm_per_day: f64) -> Oscillator {
        self.ageing_ppm_per_day = ppm_per_day;
        self
    }

    /// It stays within this much of nominal, whatever its other errors are.
    pub fn limit(mut self, ppm: f64) -> Oscillator {
        self.limit_ppm = ppm;
        self
    }
}

/// Fractional bits of a count.
pub(super) const FRACTION: u32 = 32;
/// Fractional bits of a rate.
const RATE_FRACTION: u32 = 48;
/// For how long a frequency is held, in ns of true time.
const PIECE_NS: i64 = NANOS_PER_SECOND;

/// An oscillator that runs: true time in, a count out.
#[derive(Clone, Debug)]
pub(super) struct Ticker {
    kind: Oscillator,
    random: Random,
    began: i64,
    /// The piece that is being counted: since when, the count then, and the rate.
    since: i64,
    count: u128,
    rate: u64,
    walked_ppm: f64,
    phase: f64,
}

impl Ticker {
    /// One that shows `first_nanos` at the moment `began`.
    pub(super) fn new(
        kind: Oscillator,
        mut random: Random,
        began: i64,
        first_nanos: u64,
    ) -> Ticker {
        let phase = random.unit();
        let count = u128::from(first_nanos) << FRACTION;
        let mut ticker =
            Ticker { kind, random, began, since: began, count, rate: 0, walked_ppm: 0.0, phase };
        ticker.choose_rate();
        ticker
    }

    /// Draws as many pieces as begin by `t`.
    pub(super) fn advance(&mut self, t: i64) {
        while t - self.since >= PIECE_NS {
            self.count = self.at(self.since + PIECE_NS);
            self.since += PIECE_NS;
            if self.kind.wander_ppm > 0.0 {
                self.walked_ppm += self.kind.wander_ppm * self.random.signed_unit();
            }
            self.choose_rate();
        }
    }

    /// Nominal nanoseconds at `t`, with 32 fractional bits. `t` may be a little
    /// before the last `advance`: the present piece is continued backwards.
    pub(super) fn at(&self, t: i64) -> u128 {
        let elapsed = t - self.since;
        let part = (u128::from(elapsed.unsigned_abs()) * u128::from(self.rate))
            >> (RATE_FRACTION - FRACTION);
        if elapsed >= 0 { self.count + part } else { self.count.saturating_sub(part) }
    }

    /// Does not count from `from` to `to`.
    pub(super) fn stand_still(&mut self, from: i64, to: i64) {
        self.advance(from);
        self.count = self.at(from);
        self.since = to;
    }

    /// Goes on with another constant part.
    pub(super) fn change_frequency(&mut self, t: i64, off_by_ppm: f64) {
        self.advance(t);
        self.count = self.at(t);
        self.since = t;
        self.kind.off_by_ppm = off_by_ppm;
        self.choose_rate();
    }

    /// How long `nominal` nanoseconds take, in true time, at the present rate.
    pub(super) fn true_nanos(&self, nominal: i64) -> i64 {
        let true_nanos =
            (u128::from(nominal.unsigned_abs()) << RATE_FRACTION) / u128::from(self.rate.max(1));
        i64::try_from(true_nanos).unwrap_or(i64::MAX)
    }

    /// By how much a nominal nanosecond is too long at this moment, in ppm.
    pub(super) fn off_by_ppm(&self) -> f64 {
        let days = (self.since - self.began) as f64 / 86_400e9;
        let off = self.kind.off_by_ppm
            + self.walked_ppm
            + self.kind.temperature_ppm * self.season()
            + self.kind.ageing_ppm_per_day * days;
        off.clamp(-self.kind.limit_ppm, self.kind.limit_ppm)
    }

    /// A triangle wave between −1 and 1. The last digits of a sine differ between libraries.
    fn season(&self) -> f64 {
        let period = nanos(self.kind.temperature_period) as f64;
        let turns = (self.since - self.began) as f64 / period + self.phase;
        let part = turns - turns.floor();
        4.0 * (part - 0.5).abs() - 1.0
    }

    fn choose_rate(&mut self) {
        let nominal = (1u64 << RATE_FRACTION) as f64;
        self.rate = (nominal / (1.0 + self.off_by_ppm() * 1e-6)) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos_at(ticker: &mut Ticker, t: i64) -> u64 {
        ticker.advance(t);
        (ticker.at(t) >> FRACTION) as u64
    }

    #[test]
    fn a_slow_oscillator_counts_less_by_its_parts_per_million() {
        for (ppm, expected) in
            [(0.0, 1_000_000_000_000), (100.0, 999_900_009_999), (-100.0, 1_000_100_010_001)]
        {
            let mut ticker = Ticker::new(Oscillator::off_by(ppm), Random::new(1, 1), 0, 0);
            let counted = nanos_at(&mut ticker, 1_000_000_000_000);
            assert!(counted.abs_diff(expected) <= 5, "{ppm} ppm: {counted}");
        }
    }

    #[test]
    fn it_never_leaves_its_limit_and_never_runs_backwards() {
        let wild = Oscillator::off_by(150.0)
            .wander(20.0)
            .temperature(80.0, Duration::from_secs(100))
            .ageing(100.0)
            .limit(200.0);
        let mut ticker = Ticker::new(wild, Random::new(3, 1), 0, 5);
        let (mut before, mut seen) = (nanos_at(&mut ticker, 0), (f64::MAX, f64::MIN));
        for second in 1..2_000 {
            let now = nanos_at(&mut ticker, second * NANOS_PER_SECOND + 7);
            let counted = (now - before) as f64;
            assert!((counted - 1e9).abs() < 1e9 * 201e-6, "{counted}");
            seen = (seen.0.min(counted), seen.1.max(counted));
            before = now;
        }
        assert!(seen.1 - seen.0 > 10_000.0, "it hardly moved: {seen:?}");
    }

    #[test]
    fn it_stands_still_when_told_and_goes_on_from_there() {
        let mut ticker = Ticker::new(Oscillator::off_by(0.0), Random::new(1, 1), 0, 0);
        ticker.stand_still(1_500_000_000, 9_500_000_000);
        assert_eq!(nanos_at(&mut ticker, 9_500_000_000), 1_500_000_000);
        assert_eq!(nanos_at(&mut ticker, 19_500_000_000), 11_500_000_000);
    }
}
