//! [`Block`]: all that a reader needs, in the seven words of one cache line.
//!
//! A reader has one comparison to make: is the counter within `horizon` ticks
//! of `origin`? The writer has put everything that can be wrong with a reading
//! into that number. Too old and too wide are beyond it; a counter that went
//! backwards wraps round to far beyond it; with no evidence at all it is zero.
//! Only when the comparison fails does anybody ask which of these it was.

use std::time::Duration;

use crate::clock::bound::{Bound, Pace};
use crate::clock::counter::Counter;
use crate::clock::publish::WORDS;
use crate::clock::status::{Reason, Status};
use crate::clock::truetime::ClockError;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// The pair of lines as it is published, what counts it, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    bound: Bound,
    pace: Pace,
    /// Readings are good for fewer ticks than this from the bound's origin.
    horizon: u64,
    label: Label,
}

/// What a bound is worth, and which counter it counts in: one word, which a
/// reader takes apart only if it has to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(u64);

impl Label {
    pub(crate) fn new(counter: Counter, status: Status, epoch: u32) -> Label {
        let (status, reason) = pack_status(status);
        Label(
            u64::from(epoch) << 32
                | u64::from(reason) << 24
                | u64::from(status) << 16
                | u64::from(counter.to_byte()),
        )
    }

    /// The byte that is left over holds the pace's shift.
    fn with_shift(self, shift: u32) -> Label {
        Label(self.0 | u64::from(shift) << 8)
    }

    #[inline]
    fn shift(self) -> u32 {
        // The mask is the hardware's own, so the compiler drops it.
        (self.0 >> 8) as u32 & 63
    }

    #[inline]
    fn counter(self) -> Counter {
        Counter::from_byte(self.0 as u8)
    }

    /// A counter that is read directly, and a shift of zero, in one comparison.
    #[inline]
    fn is_direct_without_shift(self) -> bool {
        self.0 as u16 == u16::from(Counter::DIRECT.to_byte())
    }
}

/// No clock runs for so many ticks, so a distance beyond it is one backwards; and
/// a distance within it keeps its upper bits when it is shifted.
const MAX_HORIZON: u64 = 1 << 62;

impl Block {
    /// What is published when there is nothing to read: every reading is an error.
    pub(crate) fn empty(pace: Pace, label: Label) -> Block {
        let bound = Bound { origin: 0, time: Interval::EVERYTHING };
        Block { bound, pace, horizon: 0, label: label.with_shift(pace.shift) }
    }

    /// What is published of a bound, for readings up to `max_width` wide.
    pub(crate) fn new(bound: Bound, pace: Pace, max_width: Duration, label: Label) -> Block {
        let horizon = horizon(&bound, &pace, max_width);
        // A reader rounds its product down. What that takes from `latest`, less
        // than a nanosecond, is added here, once.
        let latest = bound.time.latest().saturating_add(Duration::from_nanos(1));
        let time = Interval::from_ordered(bound.time.earliest(), latest);
        let bound = Bound { time, ..bound };
        Block { bound, pace, horizon, label: label.with_shift(pace.shift) }
    }

    /// The same, for readings before `tick` only.
    pub(crate) fn until(mut self, tick: u64) -> Block {
        self.horizon = self.horizon.min(tick.saturating_sub(self.bound.origin));
        self
    }

    /// The counter that its ticks are of.
    #[inline]
    pub(crate) fn counter(&self) -> Counter {
        self.label.counter()
    }

    /// What the bound was worth when it was published.
    pub(crate) fn status(&self) -> Status {
        unpack_status((self.label.0 >> 16) as u8, (self.label.0 >> 24) as u8)
    }

    /// The epoch that it belongs to.
    pub(crate) fn epoch(&self) -> u32 {
        (self.label.0 >> 32) as u32
    }

    /// Where true time is when the counter shows `tick`; `None` beyond the horizon.
    #[inline]
    pub(crate) fn interval_at(&self, tick: u64) -> Option<Interval> {
        let ticks = tick.wrapping_sub(self.bound.origin);
        if ticks >= self.horizon {
            return None;
        }
        let shifted = ticks << self.pace.shift;
        let start = self.bound.time;
        let earliest = advance(start.earliest(), shifted, self.pace.slowest);
        let latest = advance(start.latest(), shifted, self.pace.fastest);
        Some(Interval::from_ordered(earliest, latest))
    }

    /// Whether readers take the short way: a counter that is read by one or two
    /// instructions, and on x86-64 one faster than 1.25 GHz. There a shift by a
    /// variable would be a hundredth of a reading.
    #[inline]
    pub(crate) fn is_direct(&self) -> bool {
        if cfg!(target_arch = "x86_64") {
            self.label.is_direct_without_shift()
        } else {
            self.counter() == Counter::DIRECT
        }
    }

    /// The first half of [`interval_at`](Self::interval_at).
    #[inline]
    pub(crate) fn earliest_at(&self, tick: u64) -> Option<Timestamp> {
        let ticks = tick.wrapping_sub(self.bound.origin);
        if ticks >= self.horizon {
            return None;
        }
        Some(advance(self.bound.time.earliest(), ticks << self.pace.shift, self.pace.slowest))
    }

    /// The pair of lines, if there is anything to read.
    pub(crate) fn bound(&self) -> Option<Bound> {
        self.is_readable().then_some(self.bound)
    }

    /// Whether there is anything to read, at least at the origin.
    pub(crate) fn is_readable(&self) -> bool {
        self.horizon > 0
    }

    /// Whether `tick` is before the sample that the block rests on.
    pub(crate) fn is_before(&self, tick: u64) -> bool {
        tick.wrapping_sub(self.bound.origin) > MAX_HORIZON
    }

    /// Why there is no reading at `tick`, where [`interval_at`](Self::interval_at) gave none.
    pub(crate) fn refusal(&self, tick: u64, max_width: Duration) -> ClockError {
        match self.status() {
            Status::Unsynchronized(reason) => ClockError::Unsynchronized(reason),
            _ if self.is_readable() && self.is_before(tick) => ClockError::CounterWentBackwards,
            Status::Contradicted => ClockError::Contradicted,
            _ => ClockError::TooWide { limit: max_width },
        }
    }

    /// How long ago, at `tick`, the evidence was: at most this.
    pub(crate) fn age_at(&self, tick: u64) -> Duration {
        let ticks = tick.saturating_sub(self.bound.origin);
        Duration::from_nanos(self.pace.most_nanos(ticks))
    }

    /// Whether `newer` says nothing that contradicts this: carried to the newer
    /// one's origin, it contains it. (DESIGN rule 7; nothing contradicts nothing.)
    pub(crate) fn contains(&self, newer: &Block) -> bool {
        if !self.is_readable() || !newer.is_readable() || self.counter() != newer.counter() {
            return true;
        }
        let carried = self.bound.carried_to(newer.bound.origin, &self.pace);
        carried.is_some_and(|old| old.time.hull(&newer.bound.time) == old.time)
    }

    /// Seven words, for the ring.
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        [
            self.bound.origin,
            self.horizon,
            self.bound.time.earliest().tai_nanos() as u64,
            self.bound.time.latest().tai_nanos() as u64,
            self.pace.slowest,
            self.pace.fastest,
            self.label.0,
        ]
    }

    /// The block that [`to_words`](Self::to_words) was given.
    #[inline]
    pub(crate) fn from_words(words: [u64; WORDS]) -> Block {
        let [origin, horizon, earliest, latest, slowest, fastest, label] = words;
        let end = |word: u64| Timestamp::from_tai_nanos(word as i64);
        Block {
            bound: Bound { origin, time: Interval::from_ordered(end(earliest), end(latest)) },
            pace: Pace { shift: Label(label).shift(), slowest, fastest },
            horizon,
            label: Label(label),
        }
    }
}

/// `start + shifted * rate`, rounded down: the upper half of a product in fixed
/// point. The horizon keeps the sum in range.
#[inline]
fn advance(start: Timestamp, shifted: u64, rate: u64) -> Timestamp {
    let nanos = (u128::from(shifted) * u128::from(rate)) >> 64;
    Timestamp::from_tai_nanos(start.tai_nanos().wrapping_add(nanos as i64))
}

/// For how many ticks a reading stays within `max_width` and within the range of time.
fn horizon(bound: &Bound, pace: &Pace, max_width: Duration) -> u64 {
    let time = bound.time;
    // An open end is no evidence, and would not survive the reader's wrapping sum.
    if time.earliest() == Timestamp::MIN || time.latest() == Timestamp::MAX {
        return 0;
    }
    // A reading rounds both ends outward, by less than 1 ns each.
    let Some(room) = max_width.checked_sub(time.width() + Duration::from_nanos(2)) else {
        return 0;
    };
    let room = u64::try_from(room.as_nanos()).unwrap_or(u64::MAX);
    let until_the_end = Timestamp::MAX.tai_nanos().abs_diff(time.latest().tai_nanos());
    let widening = pace.fastest - pace.slowest;
    let ticks = |nanos: u64, rate: u64| match rate {
        0 => MAX_HORIZON,
        _ => {
            u64::try_from((u128::from(nanos) << 64) / u128::from(rate)).unwrap_or(u64::MAX)
                >> pace.shift
        }
    };
    ticks(room, widening)
        .min(ticks(until_the_end.saturating_sub(1), pace.fastest))
        .min(MAX_HORIZON >> pace.shift)
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

    fn label() -> Label {
        Label::new(Counter::MONOTONIC_RAW, Status::Synchronized, 7)
    }

    /// A bound anywhere, the ends of time included, and a pace of up to 10 % drift.
    fn any_block() -> impl Strategy<Value = (Bound, Pace, Duration)> {
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
                    Pace::NANOSECONDS.with_drift(ppm),
                    Duration::from_nanos(limit),
                )
            },
        )
    }

    proptest! {
        #[test]
        fn a_reading_is_no_narrower_than_the_lines_and_no_wider_than_the_limit(
            (bound, pace, limit) in any_block(), part in 0.0..1.0f64, step in 0u64..3,
        ) {
            let block = Block::new(bound, pace, limit, label());
            let ticks = ((block.horizon as f64 * part) as u64).saturating_add(step);
            let reading = block.interval_at(bound.origin.wrapping_add(ticks));
            prop_assert_eq!(reading.is_some(), ticks < block.horizon);
            if let Some(reading) = reading {
                prop_assert!(reading.width() <= limit, "{reading:?} {limit:?}");
                // In i128, where nothing can wrap.
                let scaled = |rate: u64| u128::from(ticks << pace.shift) * u128::from(rate);
                let earliest = i128::from(bound.time.earliest().tai_nanos()) + (scaled(pace.slowest) >> 64) as i128;
                let latest = i128::from(bound.time.latest().tai_nanos()) + scaled(pace.fastest).div_ceil(1 << 64) as i128;
                prop_assert!(i128::from(reading.earliest().tai_nanos()) <= earliest);
                prop_assert!(i128::from(reading.latest().tai_nanos()) >= latest);
                prop_assert_eq!(block.earliest_at(bound.origin.wrapping_add(ticks)), Some(reading.earliest()));
            }
        }

        #[test]
        fn the_horizon_is_not_much_short_of_the_limit(
            (bound, pace, limit) in any_block(),
        ) {
            let block = Block::new(bound, pace, limit, label());
            let far_from_the_end = bound.time.latest().tai_nanos() < i64::MAX - (1 << 62)
                && bound.time.earliest() > Timestamp::MIN;
            if block.horizon > 0 && far_from_the_end {
                let last = block.interval_at(bound.origin.wrapping_add(block.horizon - 1)).expect("within");
                let room = limit - last.width();
                prop_assert!(room <= Duration::from_micros(1), "{room:?} to spare");
            }
        }

        #[test]
        fn words_read_back_as_what_was_written((bound, pace, limit) in any_block(), epoch: u32) {
            let statuses = [
                Status::Synchronized, Status::Holdover, Status::Assumed, Status::Contradicted,
                Status::Unsynchronized(Reason::Slewing), Status::Unsynchronized(Reason::TooOld),
            ];
            for status in statuses {
                let label = Label::new(Counter::DIRECT, status, epoch);
                let block = Block::new(bound, pace, limit, label);
                let read = Block::from_words(block.to_words());
                prop_assert_eq!(read, block);
                prop_assert_eq!((read.status(), read.epoch(), read.counter()), (status, epoch, Counter::DIRECT));
                prop_assert_eq!(Block::from_words(Block::empty(pace, label).to_words()).status(), status);
            }
        }

        #[test]
        fn a_counter_that_went_backwards_reads_nothing((bound, pace, limit) in any_block(), back in 1u64..1 << 40) {
            let block = Block::new(bound, pace, limit, label());
            let tick = bound.origin.wrapping_sub(back);
            prop_assert_eq!(block.interval_at(tick), None);
            prop_assert_eq!(block.earliest_at(tick), None);
            prop_assert!(block.is_before(tick));
        }
    }

    #[test]
    fn nothing_is_read_from_no_evidence() {
        let block = Block::empty(Pace::NANOSECONDS, label());
        for tick in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(block.interval_at(tick), None);
        }
        assert_eq!(block.bound(), None);
    }

    #[test]
    fn every_reason_fits_its_byte() {
        for byte in 0..=8 {
            assert_eq!(Reason::from_u8(byte) as u8, byte);
        }
    }

    #[test]
    fn a_newer_block_inside_the_older_one_contradicts_nothing() {
        let pace = Pace::NANOSECONDS.with_drift(200);
        let block = |origin, a, b| {
            let time = Interval::new(at(a), at(b)).expect("in order");
            Block::new(Bound { origin, time }, pace, Duration::from_secs(1), label())
        };
        let old = block(1_000, 500, 700);
        let cases = [
            (block(2_000, 1_500, 1_700), true),
            (block(2_000, 1_600, 1_600), true),
            (block(2_000, 1_498, 1_700), false), // a little too early
            (block(2_000, 1_500, 1_703), false), // a little too late
            (block(2_000, 9_000, 9_001), false),
            (Block::empty(pace, label()), true),
        ];
        for (newer, inside) in cases {
            assert_eq!(old.contains(&newer), inside, "{newer:?}");
        }
    }
}
