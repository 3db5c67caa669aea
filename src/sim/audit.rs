//! [`Audit`]: every reading of a simulated clock, compared with the truth.
//!
//! The clock itself keeps the count, so a test of your own program also checks the clocks
//! below it.

use std::fmt;

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// A reading that did not contain the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The true time of the reading.
    pub truth: Timestamp,
    /// The clock's interval.
    pub said: Interval,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (early, late) = (self.said.earliest(), self.said.latest());
        match early.duration_since(self.truth) {
            Some(by) => write!(f, "at {} the clock's earliest was {by:?} later", self.truth),
            None => {
                let by = self.truth.duration_since(late).unwrap_or_default();
                write!(f, "at {} the clock's latest was {by:?} earlier", self.truth)
            }
        }
    }
}

/// The readings of one clock, or of all clocks together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Readings that gave an interval.
    pub readings: u64,
    /// Readings that gave an error.
    pub refusals: u64,
    /// Intervals that did not contain the truth.
    pub misses: u64,
    /// The first of them.
    pub first_miss: Option<Miss>,
    /// Samples that contradicted the earlier evidence.
    pub contradictions: u64,
    /// When the first of these came.
    pub first_contradiction: Option<Timestamp>,
    /// How often the evidence has refuted what was assumed of the rate's wander (A3).
    pub wander_refutations: u64,
    /// When it first did.
    pub first_refutation: Option<Timestamp>,
    /// Intervals that reach beyond an earlier one of the same epoch, carried forward.
    pub disowned: u64,
}

impl Audit {
    /// The sum of both.
    pub fn plus(mut self, other: &Audit) -> Audit {
        let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.readings += other.readings;
        self.refusals += other.refusals;
        self.misses += other.misses;
        self.first_miss = match (self.first_miss, other.first_miss) {
            (Some(a), Some(b)) => Some(if b.truth < a.truth { b } else { a }),
            (a, b) => a.or(b),
        };
        self.contradictions += other.contradictions;
        self.first_contradiction = earlier(self.first_contradiction, other.first_contradiction);
        self.wander_refutations += other.wander_refutations;
        self.first_refutation = earlier(self.first_refutation, other.first_refutation);
        self.disowned += other.disowned;
        self
    }

    /// What went wrong. `None` if every promise was kept.
    pub fn complaint(&self) -> Option<String> {
        if let Some(miss) = self.first_miss {
            return Some(format!("{} misses of {}: {miss}", self.misses, self.readings));
        }
        (self.disowned > 0).then(|| {
            format!("{} readings were excluded by an earlier one of the same epoch", self.disowned)
        })
    }

    pub(super) fn judge(&mut self, truth: i64, said: Interval) {
        self.readings += 1;
        let truth = Timestamp::from_tai_nanos(truth);
        if !said.contains(truth) {
            self.misses += 1;
            self.first_miss = self.first_miss.or(Some(Miss { truth, said }));
        }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} readings, {} refusals, {} contradictions, misses: {}",
            self.readings, self.refusals, self.contradictions, self.misses
        )
    }
}
