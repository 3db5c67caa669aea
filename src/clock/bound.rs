//! [`Bound`]: the pair of lines that everything else is made of.
//!
//! A sample says: while the counter went from `before` to `after`, true time
//! was somewhere in an interval. From there true time advances by at least
//! `slowest` and at most `fastest` nanoseconds a tick, so at every later tick
//! it lies between two straight lines. A [`Bound`] is where those lines start;
//! a [`Pace`] is how steep they are.
//!
//! ```text
//!   true time                              ___/  latest: + fastest a tick
//!        |                         ____----
//!        |            ____----
//!        |   [sample]              ______--/  earliest: + slowest a tick
//!        |           ______-----
//!        +---before-after---------------------> counter
//! ```
//!
//! The lines diverge, which is ageing. Two bounds carried to the same tick
//! intersect, which is fusing. If they do not intersect, something lied.
//!
//! Everything is in integers, and every rounding is outward.

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// What a source says: while the counter went from `before` to `after`, there
/// was a moment at which true time was within `time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// A counter reading taken before the evidence, in ticks.
    pub before: u64,
    /// A counter reading taken after the evidence, in ticks.
    pub after: u64,
    /// Where true time was in between.
    pub time: Interval,
}

impl Sample {
    /// Puts the three together.
    pub fn new(before: u64, after: u64, time: Interval) -> Sample {
        Sample { before, after, time }
    }
}

/// How fast time passes on a counter: between `slowest` and `fastest` nanoseconds a tick.
///
/// Fixed point: `ticks << shift`, times the rate, is nanoseconds × 2⁶⁴. The
/// shift comes first so that a rate is always below one, and a reading needs
/// only the upper half of a 64 × 64 bit product. A counter faster than 1 GHz
/// needs no shift; `CLOCK_MONOTONIC_RAW`, at 1 GHz less the drift, needs 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    pub(crate) shift: u32,
    pub(crate) slowest: u64,
    pub(crate) fastest: u64,
}

/// A counter slower than this is no clock: 2²⁰ ns a tick is 1 kHz.
const MAX_SHIFT: u32 = 20;

impl Pace {
    /// One tick is one nanosecond, as on the kernel's own clocks.
    pub(crate) const NANOSECONDS: Pace = Pace { shift: 1, slowest: 1 << 63, fastest: 1 << 63 };

    /// The shift for a counter of which at least `ticks` pass in at most `nanos`.
    ///
    /// `None` if it stood still or is slower than 1 kHz.
    pub(crate) fn shift_for(ticks: u64, nanos: u64) -> Option<u32> {
        // Room for a drift of 25 %, so that adding the allowed 10 % stays below one.
        let ceiling = u128::from(nanos) + u128::from(nanos) / 4 + 1;
        (0..=MAX_SHIFT).find(|shift| u128::from(ticks) << shift > ceiling)
    }

    /// The pace of a counter that went at least `ticks.0` and at most `ticks.1`
    /// ticks while at least `nanos.0` and at most `nanos.1` nanoseconds passed.
    ///
    /// `None` if that cannot be, or is too slow for `shift`.
    pub(crate) fn measured(shift: u32, ticks: (u64, u64), nanos: (u64, u64)) -> Option<Pace> {
        if ticks.0 == 0 || ticks.0 > ticks.1 || nanos.0 > nanos.1 || shift > MAX_SHIFT {
            return None;
        }
        let scaled = |nanos: u64| u128::from(nanos) << (64 - shift);
        let slowest = scaled(nanos.0) / u128::from(ticks.1);
        let fastest = scaled(nanos.1).div_ceil(u128::from(ticks.0));
        Some(Pace {
            shift,
            slowest: u64::try_from(slowest).ok()?,
            // After a moment too short to exclude a rate of one or more, this
            // end is open; the format's last value stands for that.
            fastest: u64::try_from(fastest).unwrap_or(u64::MAX),
        })
    }

    /// This pace when the oscillator behind it may be off by `ppm` either way.
    pub(crate) fn with_drift(self, ppm: u32) -> Pace {
        let part = |rate: u64| {
            let part = (u128::from(rate) * u128::from(ppm)).div_ceil(1_000_000);
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        Pace {
            shift: self.shift,
            slowest: self.slowest.saturating_sub(part(self.slowest)),
            fastest: self.fastest.saturating_add(part(self.fastest)),
        }
    }

    /// What both paces allow, or `None` if they exclude each other.
    pub(crate) fn intersect(self, other: Pace) -> Option<Pace> {
        let slowest = self.slowest.max(other.slowest);
        let fastest = self.fastest.min(other.fastest);
        (self.shift == other.shift && slowest <= fastest).then_some(Pace {
            shift: self.shift,
            slowest,
            fastest,
        })
    }

    /// The nanoseconds that pass at least in `ticks`, rounded down.
    pub(crate) fn least_nanos(&self, ticks: u64) -> u64 {
        let nanos =
            (u128::from(ticks) << self.shift).saturating_mul(u128::from(self.slowest)) >> 64;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The nanoseconds that pass at most in `ticks`, rounded up.
    pub(crate) fn most_nanos(&self, ticks: u64) -> u64 {
        let product = (u128::from(ticks) << self.shift).saturating_mul(u128::from(self.fastest));
        u64::try_from(product.div_ceil(1 << 64)).unwrap_or(u64::MAX)
    }

    /// The ticks that pass at most in `nanos`, rounded up.
    pub(crate) fn most_ticks(&self, nanos: u64) -> u64 {
        let per_shifted_tick = u128::from(self.slowest.max(1));
        let ticks = (u128::from(nanos) << 64).div_ceil(per_shifted_tick) >> self.shift;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The middle of the pace in ticks a second: the counter's frequency, for people.
    pub(crate) fn hertz(&self) -> f64 {
        let rate = (self.slowest as f64 + self.fastest as f64) / 2.0 * self.scale();
        1e9 / rate
    }

    /// Half of the pace's own width, in parts per billion: how well the rate is known.
    pub(crate) fn uncertainty_ppb(&self) -> f64 {
        (self.fastest as f64 - self.slowest as f64) / self.fastest as f64 / 2.0 * 1e9
    }

    fn scale(&self) -> f64 {
        2f64.powi(self.shift as i32 - 64)
    }
}

/// Where the two lines start: when the counter showed `origin`, true time was within `time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    pub(crate) origin: u64,
    pub(crate) time: Interval,
}

impl Bound {
    /// The bound that a sample gives from its `after` on; `None` if `after` is before `before`.
    ///
    /// A counter of granularity `g` shows its last step: when it shows `c`, it
    /// may stand anywhere from `c` to `c + g`. So true time may have advanced
    /// by `g` less since `after` than the ticks say, and by `g` more until any
    /// later reading: both ends give way by `g`.
    pub(crate) fn from_sample(sample: &Sample, pace: &Pace, granularity_ns: u64) -> Option<Bound> {
        let elapsed = sample.after.checked_sub(sample.before)?;
        let slack = granularity_ns;
        let earliest = retreat(sample.time.earliest(), slack);
        let latest =
            advance_latest(sample.time.latest(), pace.most_nanos(elapsed).saturating_add(slack));
        Some(Bound { origin: sample.after, time: Interval::new(earliest, latest)? })
    }

    /// The same knowledge at a later tick. At an earlier one: `None`.
    pub(crate) fn carried_to(&self, tick: u64, pace: &Pace) -> Option<Bound> {
        let ticks = tick.checked_sub(self.origin)?;
        let earliest = advance_earliest(self.time.earliest(), pace.least_nanos(ticks));
        let latest = advance_latest(self.time.latest(), pace.most_nanos(ticks));
        Some(Bound { origin: tick, time: Interval::new(earliest, latest)? })
    }

    /// Both bounds at the later of their two origins.
    pub(crate) fn aligned(a: &Bound, b: &Bound, pace: &Pace) -> Option<(Bound, Bound)> {
        let tick = a.origin.max(b.origin);
        Some((a.carried_to(tick, pace)?, b.carried_to(tick, pace)?))
    }
}

/// `t + nanos` as the later end of an interval: at the end of the range it stays there.
fn advance_latest(t: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_tai_nanos(t.tai_nanos().saturating_add_unsigned(nanos))
}

/// `t + nanos` as the earlier end. `MIN` says "or anything before", which no
/// amount of time turns into knowledge.
fn advance_earliest(t: Timestamp, nanos: u64) -> Timestamp {
    if t == Timestamp::MIN { t } else { advance_latest(t, nanos) }
}

/// `t - nanos` as the earlier end of an interval.
fn retreat(t: Timestamp, nanos: u64) -> Timestamp {
    Timestamp::from_tai_nanos(t.tai_nanos().saturating_sub_unsigned(nanos))
}
