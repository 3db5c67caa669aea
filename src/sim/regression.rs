//! [`Regression`]: how a real chronyd estimates its clock.
//!
//! chronyd fits a straight line to the offsets of its last polls. The line gives an offset and a
//! frequency that are better than any single poll. Its bound then adds the spread of the
//! samples around the line, and not how far the line itself may be off: with a server that is
//! always early, or an oscillator whose rate bends, all samples agree on a line that is wrong.

/// The most polls that a line is fitted to. (chronyd keeps up to 64, and fewer when they bend.)
const MOST_SAMPLES: usize = 12;

/// The last polls: the raw clock in ns, and by how much UTC was ahead of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Regression {
    samples: Vec<(i64, i64)>,
}

/// A line through the last polls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// By how much UTC is ahead of the raw clock at the last poll, in ns.
    pub(super) ahead_ns: i64,
    /// How fast that grows, in ppb.
    pub(super) rate_ppb: i64,
    /// The standard deviation of the polls around the line, in ns.
    pub(super) spread_ns: i64,
    /// How many polls it goes through.
    pub(super) samples: u32,
    /// The time between the oldest and the newest of them, in ns.
    pub(super) span_ns: i64,
}

impl Regression {
    /// Adds a poll, and fits the line again.
    pub(super) fn add(&mut self, raw_ns: i64, ahead_ns: i64) -> Line {
        if self.samples.len() == MOST_SAMPLES {
            self.samples.remove(0);
        }
        self.samples.push((raw_ns, ahead_ns));
        // Relative to the last poll, so that floats keep the nanoseconds.
        let seconds = |&(at, _): &(i64, i64)| (at - raw_ns) as f64 / 1e9;
        let nanos = |&(_, ahead): &(i64, i64)| (ahead - ahead_ns) as f64;
        let count = self.samples.len() as f64;
        let mean_s = self.samples.iter().map(seconds).sum::<f64>() / count;
        let mean_ns = self.samples.iter().map(nanos).sum::<f64>() / count;
        let variance: f64 = self.samples.iter().map(|s| (seconds(s) - mean_s).powi(2)).sum();
        let covariance: f64 =
            self.samples.iter().map(|s| (seconds(s) - mean_s) * (nanos(s) - mean_ns)).sum();
        let rate = if variance > 0.0 { covariance / variance } else { 0.0 };
        let at_last = mean_ns - rate * mean_s;
        let off = |s: &(i64, i64)| nanos(s) - (mean_ns + rate * (seconds(s) - mean_s));
        let freedom = (count - 2.0).max(1.0);
        let spread = (self.samples.iter().map(|s| off(s).powi(2)).sum::<f64>() / freedom).sqrt();
        Line {
            ahead_ns: ahead_ns.saturating_add(at_last as i64),
            rate_ppb: rate as i64,
            spread_ns: spread as i64 + 1,
            samples: self.samples.len() as u32,
            span_ns: raw_ns - self.samples.first().map_or(raw_ns, |&(oldest, _)| oldest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_on_a_line_give_the_line() {
        let mut regression = Regression::default();
        for poll in 0..20 {
            let line = regression.add(poll * 16_000_000_000, 7_000_000 + poll * 16 * 250);
            if poll > 0 {
                assert!((line.rate_ppb - 250).abs() <= 1, "{line:?}");
            }
            assert!((line.ahead_ns - (7_000_000 + poll * 16 * 250)).abs() <= 2, "{line:?}");
            assert!(line.spread_ns <= 2, "{line:?}");
        }
    }

    #[test]
    fn a_rate_that_bends_leaves_the_line_behind_by_more_than_the_spread() {
        let mut regression = Regression::default();
        let mut worst = 0;
        for poll in 0..12i64 {
            // The rate grows by 1 ppm each poll.
            let ahead = poll * poll * 8_000;
            let line = regression.add(poll * 16_000_000_000, ahead);
            worst = worst.max((line.ahead_ns - ahead).abs() - line.spread_ns);
        }
        assert!(worst > 20_000, "{worst}");
    }
}
