//! [`Snapshot`]: all that a reader needs, in the seven words of one cache line.
//!
//! A reader makes one comparison: is the counter within `valid_for` ticks of `origin`? The
//! writer has put everything that can be wrong with a reading into that number. A reading
//! that is too old or too wide is beyond it. A counter that went backwards wraps round to
//! far beyond it. Without evidence it is zero. Only if the comparison fails does the reader
//! find out which of these is the cause.
//!
//! Read next: `ring`, which hands snapshots to readers without a lock, `published`, which refuses
//! them on a machine that was moved meanwhile, and [`ClockError`], what a reader is told where there
//! is no interval.

mod error;
pub(crate) mod published;
pub(crate) mod ring;
pub(crate) mod status;

use std::time::Duration;

pub use error::ClockError;
pub use status::Status;

use crate::counter::{CounterId, RateBounds};
use crate::estimator::RateEstimate;
use crate::estimator::bound::Bound;
use crate::evidence::Reason;
use crate::interval::Interval;
use crate::timestamp::{Timestamp, duration_nanos};
use ring::WORDS;

/// The pair of lines as it is published, what counts it, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    bound: Bound,
    rates: RateBounds,
    /// Readings are valid for fewer ticks than this from the bound's origin.
    valid_for: u64,
    flags: SnapshotFlags,
}

/// The status of a bound, its epoch, and the counter of its ticks, in one word. A reader
/// unpacks it only if it has to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotFlags(u64);

impl SnapshotFlags {
    pub(crate) fn new(counter: CounterId, status: Status, epoch: u32) -> SnapshotFlags {
        let (status, reason) = pack_status(status);
        SnapshotFlags(
            u64::from(epoch) << 32
                | u64::from(reason) << 24
                | u64::from(status) << 16
                | u64::from(counter.to_byte()),
        )
    }

    /// The byte that is left over holds the shift of the rates.
    fn with_shift(self, shift: u32) -> SnapshotFlags {
        SnapshotFlags(self.0 | u64::from(shift) << 8)
    }

    #[inline]
    fn shift(self) -> u32 {
        // The mask is the hardware's own, so the compiler drops it.
        (self.0 >> 8) as u32 & 63
    }

    #[inline]
    fn counter(self) -> CounterId {
        CounterId::from_byte(self.0 as u8)
    }

    /// A counter that is read directly, and a shift of zero, in one comparison.
    #[inline]
    fn is_direct_without_shift(self) -> bool {
        self.0 as u16 == u16::from(CounterId::DIRECT.to_byte())
    }
}

/// No clock runs for this many ticks, so a larger distance means that the counter went
/// backwards. A smaller one keeps its upper bits when it is shifted.
const MAX_VALID_FOR: u64 = 1 << 62;

impl Snapshot {
    /// What is published when there is nothing to read: every reading is an error.
    pub(crate) fn empty(rates: RateBounds, flags: SnapshotFlags) -> Snapshot {
        let bound = Bound { origin: 0, time: Interval::EVERYTHING };
        Snapshot { bound, rates, valid_for: 0, flags: flags.with_shift(rates.shift) }
    }

    /// What is published of a bound, for readings up to `max_width` wide.
    pub(crate) fn new(
        bound: Bound,
        rates: RateBounds,
        max_width: Duration,
        flags: SnapshotFlags,
    ) -> Snapshot {
        let valid_for = valid_for(&bound, &rates, max_width);
        // A reader rounds its product down. What that takes from `latest`, less
        // than a nanosecond, is added here, once.
        let latest = bound.time.latest().saturating_add(Duration::from_nanos(1));
        let time = Interval::from_ordered(bound.time.earliest(), latest);
        let bound = Bound { time, ..bound };
        Snapshot { bound, rates, valid_for, flags: flags.with_shift(rates.shift) }
    }

    /// The same, for readings before `tick` only.
    pub(crate) fn until(mut self, tick: u64) -> Snapshot {
        self.valid_for = self.valid_for.min(tick.saturating_sub(self.bound.origin));
        self
    }

    /// The counter that its ticks are of.
    #[inline]
    pub(crate) fn counter(&self) -> CounterId {
        self.flags.counter()
    }

    /// What the bound was worth when it was published.
    pub(crate) fn status(&self) -> Status {
        unpack_status((self.flags.0 >> 16) as u8, (self.flags.0 >> 24) as u8)
    }

    /// The epoch that it belongs to.
    pub(crate) fn epoch(&self) -> u32 {
        (self.flags.0 >> 32) as u32
    }

    /// Where true time is when the counter shows `tick`; `None` beyond `valid_for`.
    #[inline]
    pub(crate) fn interval_at(&self, tick: u64) -> Option<Interval> {
        let ticks = tick.wrapping_sub(self.bound.origin);
        if ticks >= self.valid_for {
            return None;
        }
        let shifted = ticks << self.rates.shift;
        let start = self.bound.time;
        let earliest = advance(start.earliest(), shifted, self.rates.min);
        let latest = advance(start.latest(), shifted, self.rates.max);
        Some(Interval::from_ordered(earliest, latest))
    }

    /// Whether readers take the short way: a counter that is read by one or two
    /// instructions, and on x86-64 one faster than 1.25 GHz. There a shift by a
    /// variable would be a hundredth of a reading.
    #[inline]
    pub(crate) fn is_direct(&self) -> bool {
        if cfg!(target_arch = "x86_64") {
            self.flags.is_direct_without_shift()
        } else {
            self.counter() == CounterId::DIRECT
        }
    }

    /// The first half of [`interval_at`](Self::interval_at).
    #[inline]
    pub(crate) fn earliest_at(&self, tick: u64) -> Option<Timestamp> {
        let ticks = tick.wrapping_sub(self.bound.origin);
        if ticks >= self.valid_for {
            return None;
        }
        Some(advance(self.bound.time.earliest(), ticks << self.rates.shift, self.rates.min))
    }

    /// The pair of lines, if there is anything to read.
    pub(crate) fn bound(&self) -> Option<Bound> {
        self.is_readable().then_some(self.bound)
    }

    /// By which rates readers carry it, and up to which tick.
    pub(crate) fn estimate(&self) -> RateEstimate {
        let until = self.bound.origin.saturating_add(self.valid_for);
        RateEstimate { rates: self.rates, until }
    }

    /// Whether there is anything to read, at least at the origin.
    pub(crate) fn is_readable(&self) -> bool {
        self.valid_for > 0
    }

    /// Whether `tick` is before the sample that the snapshot rests on.
    pub(crate) fn is_before(&self, tick: u64) -> bool {
        tick.wrapping_sub(self.bound.origin) > MAX_VALID_FOR
    }

    /// Why there is no reading at `tick`, where [`interval_at`](Self::interval_at) gave none.
    pub(crate) fn refusal(&self, tick: u64, max_width: Duration) -> ClockError {
        match self.status() {
            Status::Unsynchronized(Reason::Disrupted) => ClockError::Disrupted,
            Status::Unsynchronized(reason) => ClockError::Unsynchronized(reason),
            _ if self.is_readable() && self.is_before(tick) => ClockError::CounterWentBackwards,
            Status::Contradicted => ClockError::Contradicted,
            _ => ClockError::TooWide { limit: max_width },
        }
    }

    /// How long ago, at `tick`, the evidence was: at most this.
    pub(crate) fn age_at(&self, tick: u64) -> Duration {
        let ticks = tick.saturating_sub(self.bound.origin);
        Duration::from_nanos(self.rates.most_nanos(ticks))
    }

    /// Seven words, for the ring.
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        [
            self.bound.origin,
            self.valid_for,
            self.bound.time.earliest().tai_nanos() as u64,
            self.bound.time.latest().tai_nanos() as u64,
            self.rates.min,
            self.rates.max,
            self.flags.0,
        ]
    }

    /// The snapshot that [`to_words`](Self::to_words) was given.
    #[inline]
    pub(crate) fn from_words(words: [u64; WORDS]) -> Snapshot {
        let [origin, valid_for, earliest, latest, min, max, flags] = words;
        let end = |word: u64| Timestamp::from_tai_nanos(word as i64);
        Snapshot {
            bound: Bound { origin, time: Interval::from_ordered(end(earliest), end(latest)) },
            rates: RateBounds { shift: SnapshotFlags(flags).shift(), min, max },
            valid_for,
            flags: SnapshotFlags(flags),
        }
    }
}

/// `start + shifted * rate`, rounded down: the upper half of a product in fixed
/// point. `valid_for` keeps the sum in range.
#[inline]
fn advance(start: Timestamp, shifted: u64, rate: u64) -> Timestamp {
    let nanos = (u128::from(shifted) * u128::from(rate)) >> 64;
    Timestamp::from_tai_nanos(start.tai_nanos().wrapping_add(nanos as i64))
}

/// For how many ticks a reading stays within `max_width` and within the range of time.
fn valid_for(bound: &Bound, rates: &RateBounds, max_width: Duration) -> u64 {
    let time = bound.time;
    // An open end is not evidence, and the reader's wrapping sum would lose it.
    if time.earliest() == Timestamp::MIN || time.latest() == Timestamp::MAX {
        return 0;
    }
    // A reading rounds both ends outward, by less than 1 ns each.
    let Some(room) = max_width.checked_sub(time.width() + Duration::from_nanos(2)) else {
        return 0;
    };
    let room = duration_nanos(room);
    let until_the_end = Timestamp::MAX.tai_nanos().abs_diff(time.latest().tai_nanos());
    let widening = rates.max - rates.min;
    let ticks = |nanos: u64, rate: u64| match rate {
        0 => MAX_VALID_FOR,
        _ => {
            u64::try_from((u128::from(nanos) << 64) / u128::from(rate)).unwrap_or(u64::MAX)
                >> rates.shift
        }
    };
    ticks(room, widening)
        .min(ticks(until_the_end.saturating_sub(1), rates.max))
        .min(MAX_VALID_FOR >> rates.shift)
}

/// A status as two bytes: which, and the reason where there is one.
fn pack_status(status: Status) -> (u8, u8) {
    match status {
        Status::Synchronized => (0, 0),
        Status::Holdover => (1, 0),
        Status::Assumed => (2, 0),
        Status::Contradicted => (3, 0),
        Status::Unsynchronized(reason) => (4, reason as u8),
    }
}

#[inline]
fn unpack_status(status: u8, reason: u8) -> Status {
    match status {
        0 => Status::Synchronized,
        1 => Status::Holdover,
        2 => Status::Assumed,
        3 => Status::Contradicted,
        _ => Status::Unsynchronized(Reason::from_u8(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_tai_nanos(nanos)
    }

    fn flags() -> SnapshotFlags {
        SnapshotFlags::new(CounterId::MONOTONIC_RAW, Status::Synchronized, 7)
    }

    /// A bound anywhere, the ends of time included, and a rates of up to 10 % drift.
    fn any_snapshot() -> impl Strategy<Value = (Bound, RateBounds, Duration)> {
        let start = prop_oneof![
            any::<i64>(),
            (0i64..1 << 40).prop_map(|d| i64::MAX - d),
            (0i64..1 << 40).prop_map(|d| i64::MIN + d),
        ];
        let width = 0u64..20_000_000_000;
        let limit = 1_000u64..20_000_000_000;
        (any::<u64>(), start, width, limit, 1u32..100_000).prop_map(
            |(origin, start, width, limit, ppm)| {
                let earliest = at(start);
                let latest = earliest.saturating_add(Duration::from_nanos(width));
                let time = Interval::new(earliest, latest).expect("in order");
                (
                    Bound { origin, time },
                    RateBounds::NANOSECONDS.with_drift(ppm),
                    Duration::from_nanos(limit),
                )
            },
        )
    }

    proptest! {
        #[test]
        fn a_reading_is_no_narrower_than_the_lines_and_no_wider_than_the_limit(
            (bound, rates, limit) in any_snapshot(), part in 0.0..1.0f64, step in 0u64..3,
        ) {
            let snapshot = Snapshot::new(bound, rates, limit, flags());
            let ticks = ((snapshot.valid_for as f64 * part) as u64).saturating_add(step);
            let reading = snapshot.interval_at(bound.origin.wrapping_add(ticks));
            prop_assert_eq!(reading.is_some(), ticks < snapshot.valid_for);
            if let Some(reading) = reading {
                prop_assert!(reading.width() <= limit, "{reading:?} {limit:?}");
                // In i128, where nothing can wrap.
                let scaled = |rate: u64| u128::from(ticks << rates.shift) * u128::from(rate);
                let earliest = i128::from(bound.time.earliest().tai_nanos()) + (scaled(rates.min) >> 64) as i128;
                let latest = i128::from(bound.time.latest().tai_nanos()) + scaled(rates.max).div_ceil(1 << 64) as i128;
                prop_assert!(i128::from(reading.earliest().tai_nanos()) <= earliest);
                prop_assert!(i128::from(reading.latest().tai_nanos()) >= latest);
                prop_assert_eq!(snapshot.earliest_at(bound.origin.wrapping_add(ticks)), Some(reading.earliest()));
            }
        }

        #[test]
        fn the_validity_is_not_much_short_of_the_limit(
            (bound, rates, limit) in any_snapshot(),
        ) {
            let snapshot = Snapshot::new(bound, rates, limit, flags());
            let far_from_the_end = bound.time.latest().tai_nanos() < i64::MAX - (1 << 62)
                && bound.time.earliest() > Timestamp::MIN;
            if snapshot.valid_for > 0 && far_from_the_end {
                let last = snapshot.interval_at(bound.origin.wrapping_add(snapshot.valid_for - 1)).expect("within");
                let room = limit - last.width();
                prop_assert!(room <= Duration::from_micros(1), "{room:?} to spare");
            }
        }

        #[test]
        fn words_read_back_as_what_was_written((bound, rates, limit) in any_snapshot(), epoch: u32) {
            let statuses = [
                Status::Synchronized, Status::Holdover, Status::Assumed, Status::Contradicted,
                Status::Unsynchronized(Reason::Slewing), Status::Unsynchronized(Reason::TooOld),
            ];
            for status in statuses {
                let flags = SnapshotFlags::new(CounterId::DIRECT, status, epoch);
                let snapshot = Snapshot::new(bound, rates, limit, flags);
                let read = Snapshot::from_words(snapshot.to_words());
                prop_assert_eq!(read, snapshot);
                prop_assert_eq!((read.status(), read.epoch(), read.counter()), (status, epoch, CounterId::DIRECT));
                prop_assert_eq!(Snapshot::from_words(Snapshot::empty(rates, flags).to_words()).status(), status);
            }
        }

        #[test]
        fn a_counter_that_went_backwards_reads_nothing((bound, rates, limit) in any_snapshot(), back in 1u64..1 << 40) {
            let snapshot = Snapshot::new(bound, rates, limit, flags());
            let tick = bound.origin.wrapping_sub(back);
            prop_assert_eq!(snapshot.interval_at(tick), None);
            prop_assert_eq!(snapshot.earliest_at(tick), None);
            prop_assert!(snapshot.is_before(tick));
        }
    }

    #[test]
    fn nothing_is_read_from_no_evidence() {
        let snapshot = Snapshot::empty(RateBounds::NANOSECONDS, flags());
        for tick in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(snapshot.interval_at(tick), None);
        }
        assert_eq!(snapshot.bound(), None);
    }

    #[test]
    fn every_reason_fits_its_byte() {
        for byte in 0..=15 {
            assert_eq!(Reason::from_u8(byte) as u8, byte);
        }
    }

    #[test]
    fn a_reading_stays_within_the_limit_up_to_its_last_nanosecond() {
        let rates = RateBounds::NANOSECONDS.with_drift(200);
        let time = Interval::new(at(1_000), at(1_100)).expect("in order");
        let mut readable = 0;
        for limit in (95..110).map(Duration::from_nanos) {
            let snapshot = Snapshot::new(Bound { origin: 0, time }, rates, limit, flags());
            for ticks in 0..snapshot.valid_for {
                let reading = snapshot.interval_at(ticks).expect("valid");
                assert!(reading.width() <= limit, "{reading} at {ticks}, limit {limit:?}");
                readable += 1;
            }
        }
        assert!(readable > 10_000, "{readable}");
    }

    #[test]
    fn an_end_that_is_open_makes_a_snapshot_unreadable() {
        let ends = [(i64::MIN, i64::MAX), (i64::MIN, 0), (0, i64::MAX)];
        for (earliest, latest) in ends {
            let time = Interval::new(at(earliest), at(latest)).expect("in order");
            let bound = Bound { origin: 5, time };
            let snapshot = Snapshot::new(bound, RateBounds::NANOSECONDS, Duration::MAX, flags());
            assert_eq!(snapshot.interval_at(5), None, "{time:?}");
        }
    }

    #[test]
    fn readers_take_the_short_way_where_it_is_one() {
        let short = RateBounds { shift: 0, ..RateBounds::NANOSECONDS };
        let is_direct = |counter, rates| {
            Snapshot::empty(rates, SnapshotFlags::new(counter, Status::Synchronized, 7)).is_direct()
        };
        assert!(is_direct(CounterId::DIRECT, short));
        assert!(!is_direct(CounterId::MONOTONIC_RAW, short));
        let shifts = !cfg!(target_arch = "x86_64");
        assert_eq!(is_direct(CounterId::DIRECT, RateBounds::NANOSECONDS), shifts);
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let limit = Duration::from_secs(1);
        let of = |status, valid_until: u64| {
            let flags = SnapshotFlags::new(CounterId::MONOTONIC_RAW, status, 0);
            let bound = Bound { origin: 1_000, time: at(1_000).into() };
            Snapshot::new(bound, RateBounds::NANOSECONDS, limit, flags).until(valid_until)
        };
        let refusal = |status, valid_until, tick| of(status, valid_until).refusal(tick, limit);
        let (wide, backwards) = (ClockError::TooWide { limit }, ClockError::CounterWentBackwards);
        assert_eq!(refusal(Status::Synchronized, 2_000, 2_000), wide);
        assert_eq!(refusal(Status::Synchronized, 2_000, 999), backwards);
        assert_eq!(refusal(Status::Synchronized, 1_000, 999), wide, "it was never readable");
        assert_eq!(refusal(Status::Contradicted, 2_000, 2_000), ClockError::Contradicted);
        assert_eq!(refusal(Status::Contradicted, 1_000, 999), ClockError::Contradicted);
        assert_eq!(refusal(Status::Contradicted, 2_000, 999), backwards);
        for reason in [Reason::Disrupted, Reason::Slewing] {
            let error = match reason {
                Reason::Disrupted => ClockError::Disrupted,
                reason => ClockError::Unsynchronized(reason),
            };
            assert_eq!(refusal(Status::Unsynchronized(reason), 2_000, 2_000), error);
        }
        let whole = of(Status::Synchronized, u64::MAX);
        for tick in [1_000, 1_001, 1_000 + MAX_VALID_FOR] {
            assert!(!whole.is_before(tick), "{tick}");
        }
    }

    #[test]
    fn its_age_is_what_may_have_passed_since_its_evidence() {
        let rates = RateBounds::NANOSECONDS.with_drift(200);
        let bound = Bound { origin: 1_000, time: at(1_000).into() };
        let snapshot = Snapshot::new(bound, rates, Duration::from_secs(1), flags());
        assert_eq!(snapshot.age_at(999), Duration::ZERO);
        assert_eq!(snapshot.age_at(1_000), Duration::ZERO);
        let age = snapshot.age_at(1_000 + 1_000_000_000);
        let second = Duration::from_secs(1);
        assert!(age >= second && age < second + Duration::from_micros(201), "{age:?}");
    }

    #[test]
    fn a_reading_long_after_its_evidence_is_right_or_refused() {
        // An exact rate never becomes too wide, but the ticks that are shifted have an end.
        for shift in [0, 1, 20] {
            let rate = 1 << (63 - shift);
            let rates = RateBounds { shift, min: rate, max: rate };
            let bound = Bound { origin: 0, time: at(i64::MIN / 2).into() };
            let snapshot = Snapshot::new(bound, rates, Duration::from_secs(1), flags());
            let last = snapshot.valid_for - 1;
            let reading = snapshot.interval_at(last).expect("valid");
            let passed = ((u128::from(last) << shift) * u128::from(rate)) >> 64;
            let truth = i128::from(i64::MIN / 2) + passed as i128;
            assert_eq!(i128::from(reading.earliest().tai_nanos()), truth, "shift {shift}");
            assert_eq!(snapshot.interval_at(1 << 63 >> shift), None, "shift {shift}");
        }
    }

    #[test]
    fn rates_that_are_known_until_a_tick_are_not_used_at_it() {
        let time = Interval::new(at(0), at(100)).expect("in order");
        let bound = Bound { origin: 1_000, time };
        let limit = Duration::from_secs(1);
        let whole = Snapshot::new(bound, RateBounds::NANOSECONDS, limit, flags());
        let snapshot = whole.until(1_500);
        assert!(snapshot.interval_at(1_499).is_some());
        assert_eq!(snapshot.interval_at(1_500), None);
        assert!(!whole.until(1_000).is_readable());
        assert!(!whole.until(7).is_readable(), "they ended before the bound began");
        assert_eq!(whole.until(u64::MAX), whole);
    }
}
