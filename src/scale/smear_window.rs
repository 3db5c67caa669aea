//! [`Window`]: the time around a leap second in which a smeared clock is slow or fast.
//!
//! Within it the clock's reading is a rational function of TAI, so it is computed in 128-bit
//! integers and rounded once.

use super::civil::DAY;
use super::smear::Smear;
use super::step::Step;
use crate::timestamp::NANOS_PER_SECOND;

/// When and how a smeared clock absorbs one leap second.
pub(super) struct Window {
    /// TAI.
    pub start: i64,
    pub end: i64,
    /// TAI − Unix before and after.
    before: i64,
    after: i64,
    shape: Shape,
}

enum Shape {
    Linear,
    /// The rate changes linearly during the first half, and back during the second.
    Triangle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Down,
    Up,
}

/// Half of chrony's window in nanoseconds, √(1 s / 0.001 ppm/s). The whole window is twice this,
/// so that it has an exact middle.
const CHRONY_HALF: i64 = 31_622_776_601_684;

impl Window {
    pub fn new(step: &Step, smear: Smear) -> Window {
        let noon = DAY / 2 * NANOS_PER_SECOND;
        let (before, after) = (step.before, step.offset);
        let midnight = step.unix + after;
        let (start, end, shape) = match smear {
            Smear::Google | Smear::Aws => {
                (step.unix - noon + before, midnight + noon, Shape::Linear)
            }
            Smear::UtcSls => (midnight - 1000 * NANOS_PER_SECOND, midnight, Shape::Linear),
            Smear::MetaPtp => (step.tai, step.tai + 65_000 * NANOS_PER_SECOND, Shape::Linear),
            Smear::Meta => (step.tai, step.tai + 62_500 * NANOS_PER_SECOND, Shape::Triangle),
            Smear::Chrony => (step.tai, step.tai + 2 * CHRONY_HALF, Shape::Triangle),
        };
        Window { start, end, before, after, shape }
    }

    /// What the smeared clock shows at `tai`, within the window, rounded.
    pub fn shown(&self, tai: i64, round: Round) -> i64 {
        let length = i128::from(self.end - self.start);
        let (since, left) = (i128::from(tai - self.start), i128::from(self.end - tai));
        // The part of the leap second that is absorbed by now, as the fraction share / whole.
        let (share, whole) = match self.shape {
            Shape::Linear => (since, length),
            Shape::Triangle => {
                let whole = length * length;
                let share = if since < left { 2 * since * since } else { whole - 2 * left * left };
                (share, whole)
            }
        };
        // At most 10^9 × (10^14)², below 2^127.
        let given = i128::from(self.after - self.before) * share;
        let given = match round {
            Round::Down => -(-given).div_euclid(whole),
            Round::Up => given.div_euclid(whole),
        };
        tai - self.before - given as i64
    }

    /// Whether `shown` is what the smeared clock shows somewhere in the window.
    pub fn shows(&self, shown: i64) -> bool {
        (self.start - self.before..=self.end - self.after).contains(&shown)
    }

    /// The moment at which the clock shows `shown`, to the next nanosecond or the one before.
    ///
    /// The moment is found by bisection. The inverse of a triangle has a square root, and to
    /// round that correctly would need a search as well.
    pub fn moment(&self, shown: i64, round: Round) -> i64 {
        let (least, most) = (self.before.min(self.after), self.before.max(self.after));
        let mut low = self.start.max(shown + least);
        let mut high = self.end.min(shown + most);
        while low < high {
            match round {
                Round::Up => {
                    let middle = low + (high - low) / 2;
                    if self.shown(middle, Round::Down) >= shown {
                        high = middle
                    } else {
                        low = middle + 1
                    }
                }
                Round::Down => {
                    let middle = high - (high - low) / 2;
                    if self.shown(middle, Round::Up) <= shown {
                        low = middle
                    } else {
                        high = middle - 1
                    }
                }
            }
        }
        low
    }
}
