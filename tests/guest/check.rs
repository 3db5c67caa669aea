//! The check from outside: was the truth within every reading?
//!
//! The truth is a line over the guest's oscillator, fixed before the guest
//! began. A reading took from one look at the oscillator to another, and what
//! is promised is that at *some* moment between the two the true time was
//! within the interval. So a reading is a miss if the truth's own interval from
//! before to after and the reading's have nothing in common.

use std::fmt;

use crate::machine::Outcome;
use crate::plan::Plan;
use crate::record::{ANSWERED, Kernel, Reading, SIZE};

/// A reading with what the host knows of it.
pub struct Judged {
    /// Milliseconds since the plan began.
    pub ms: f64,
    pub reading: Reading,
    /// How far outside the interval the truth was, ns; 0 within.
    pub outside: i64,
}

impl Judged {
    pub fn answered(&self) -> bool {
        self.reading.answer == ANSWERED
    }

    pub fn width(&self) -> i64 {
        self.reading.latest.saturating_sub(self.reading.earliest)
    }
}

/// Everything that one guest left, decoded.
pub struct Evidence<'a> {
    plan: &'a Plan,
    raw0: i64,
    pub kernel: Vec<Kernel>,
}

impl<'a> Evidence<'a> {
    pub fn new(plan: &'a Plan, outcome: &Outcome) -> Result<Evidence<'a>, String> {
        let kernel = records(outcome, "kernel")?.iter().map(Kernel::decode).collect();
        Ok(Evidence { plan, raw0: outcome.raw0, kernel })
    }

    /// All readings of one observer, each held against the truth.
    pub fn judge(&self, outcome: &Outcome, observer: &str) -> Result<Vec<Judged>, String> {
        let readings = records(outcome, &format!("observer-{observer}"))?;
        Ok(readings.iter().map(Reading::decode).map(|reading| self.judge_one(reading)).collect())
    }

    fn judge_one(&self, reading: Reading) -> Judged {
        let (low, high) = self.gained(&reading);
        let earliest_truth = self.plan.true_tai(reading.raw.0 - self.raw0) + low;
        // The oscillator shows its last step; true_tai rounds down.
        let latest_truth = self.plan.true_tai(reading.raw.1 - self.raw0) + high + 2;
        let outside = (reading.earliest - latest_truth).max(earliest_truth - reading.latest).max(0);
        let outside = if reading.answer == ANSWERED { outside } else { 0 };
        Judged { ms: (reading.raw.1 - self.raw0) as f64 / 1e6, reading, outside }
    }

    /// What the truth had gained over the oscillator, at least and at most, during a reading.
    ///
    /// A suspend is seen by the observer itself; a machine that was stopped is
    /// not, so for the few milliseconds around that both answers are allowed.
    fn gained(&self, reading: &Reading) -> (i64, i64) {
        let known = |suspends: u8| {
            // The looks were taken one after the other, and there are very many.
            let first = self.kernel.partition_point(|k| k.suspends < suspends);
            let end = self.kernel.partition_point(|k| k.suspends <= suspends);
            let same = &self.kernel[first..end];
            let before = same[..same.partition_point(|k| k.raw.0 <= reading.raw.0)].last();
            let after = same[same.partition_point(|k| k.raw.0 < reading.raw.1)..].first();
            let after = after.or(same.last());
            let either = before.or(after).map_or(0, |k| k.gained);
            (either, after.map_or(either, |k| k.gained))
        };
        (known(reading.suspends.0).0, known(reading.suspends.1).1)
    }

    /// How often the kernel vouched, and how often the truth was outside what it said.
    pub fn kernel_lies(&self) -> (usize, usize) {
        let vouched: Vec<_> = self.kernel.iter().filter(|k| k.state != 5).collect();
        let lies = vouched.iter().filter(|k| {
            let tai = self.plan.true_tai(k.raw.0 - self.raw0) + k.gained;
            let distance = self.plan.utc_of(tai).abs_diff(k.realtime) as i64;
            distance > i64::from(k.maxerror) * 1000 + 501_000 + (k.raw.1 - k.raw.0)
        });
        (vouched.len(), lies.count())
    }

    /// Readings that are wider than all that the kernel had vouched for lately.
    ///
    /// A clock may know less than the kernel says while it has not asked yet, or
    /// while it covers both sides of a contradiction; not otherwise.
    pub fn wider_than_justified<'j>(
        &'j self,
        readings: &'j [Judged],
    ) -> impl Iterator<Item = &'j Judged> {
        let mut first = 0;
        readings.iter().filter(move |judged| {
            let reading = &judged.reading;
            while self.kernel.get(first).is_some_and(|k| k.raw.0 + LATELY_NS < reading.raw.0) {
                first += 1;
            }
            let lately = self.kernel[first..].iter().take_while(|k| k.raw.1 <= reading.raw.0);
            // After a suspend nothing is believed until the daemon has written again.
            let settled = |k: &Kernel| k.suspends == reading.suspends.1 && k.is_believable();
            let widest = lately.clone().map(|k| k.maxerror).max();
            let (Some(widest), true) = (widest, lately.clone().all(settled)) else { return false };
            if reading.status == CONTRADICTED || !judged.answered() {
                return false;
            }
            // 200 ppm either way, and what the kernel has not added to its bound yet.
            let growth = LATELY_NS / 2500;
            judged.width() > i64::from(widest) * 2000 + 2 * STALE_NS + growth + SLACK_NS
        })
    }

    /// What the kernel said from a time on, where it vouched.
    pub fn kernel_from(&self, from_ms: u64) -> impl Iterator<Item = &Kernel> {
        let from = self.raw0 + from_ms as i64 * 1_000_000;
        self.kernel.iter().filter(move |k| k.raw.0 >= from && k.state != 5)
    }

    /// The kernel's own bound, narrowest, median and widest, as a full width in ns.
    pub fn kernel_widths(&self) -> Option<Spread> {
        spread(self.kernel.iter().filter(|k| k.state != 5).map(|k| i64::from(k.maxerror) * 2000))
    }
}

/// The readings after a resume that still stood on what was known before it.
///
/// Where the counter stands still in a suspend, a reader cannot know of it
/// before the clock has sampled again. This is the one window in which a
/// reading may be wrong, so it is measured.
pub struct Window {
    from_ms: f64,
    to_ms: f64,
    readings: usize,
}

impl Window {
    pub fn ms(&self) -> f64 {
        self.to_ms - self.from_ms
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { readings, .. } = self;
        write!(f, "the window after the resume: {readings} readings in {:.3} ms", self.ms())
    }
}

/// The window after the (one) resume, if any reading is in it.
pub fn window_after_resume(readings: &[Judged]) -> Option<Window> {
    let resumed = readings.iter().find(|judged| judged.reading.suspends.1 > 0)?;
    let is_in_window = in_window(readings);
    let within: Vec<_> = readings.iter().filter(|judged| is_in_window(judged)).collect();
    let last = within.last()?;
    Some(Window { from_ms: resumed.ms, to_ms: last.ms, readings: within.len() })
}

/// Tells of a reading whether it came after a resume, and was begun before the clock
/// had begun the epoch that follows it.
pub fn in_window(readings: &[Judged]) -> impl Fn(&Judged) -> bool {
    let before = readings.iter().rev().find(|judged| judged.reading.suspends.1 == 0);
    let epoch = before.map(|judged| judged.reading.epoch);
    move |judged| {
        judged.reading.suspends.1 > 0 && judged.answered() && Some(judged.reading.epoch) == epoch
    }
}

/// A daemon writes once a second, and then a clock on a busy guest polls.
const LATELY_NS: i64 = 1_600_000_000;
/// What the kernel adds to its bound each second, and a little for rounding.
const STALE_NS: i64 = 570_000;
/// Reading two clocks on an emulated processor may be interrupted in between.
const SLACK_NS: i64 = 1_000_000;
/// The number of `Status::Contradicted` in a record.
const CONTRADICTED: u8 = 4;

impl Kernel {
    /// Whether its word is a bound by the rules of the crate's `source::kernel`.
    fn is_believable(&self) -> bool {
        let residue = self.maxerror % 500;
        self.state != 5 && residue != 0 && residue != 16 && self.rate_ppb.abs() <= 500_000
    }
}

/// Narrowest, median, widest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread {
    pub least: i64,
    pub median: i64,
    pub most: i64,
}

/// `None` of nothing.
pub fn spread(values: impl Iterator<Item = i64>) -> Option<Spread> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    let (least, most) = (*values.first()?, *values.last()?);
    Some(Spread { least, median: values[values.len() / 2], most })
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |ns: i64| ns as f64 / 1000.0;
        write!(
            f,
            "{:.1} / {:.1} / {:.1} µs",
            micros(self.least),
            micros(self.median),
            micros(self.most)
        )
    }
}

/// The records of one of the guest's logs.
fn records(outcome: &Outcome, name: &str) -> Result<Vec<[u8; SIZE]>, String> {
    let bytes = outcome.logs.get(name).ok_or_else(|| format!("the guest left no log {name}"))?;
    if bytes.is_empty() || bytes.len() % SIZE != 0 {
        return Err(format!("the log {name} has {} bytes, not whole records", bytes.len()));
    }
    let whole = |record: &[u8]| record.try_into().expect("chunks of exactly that size");
    Ok(bytes.chunks_exact(SIZE).map(whole).collect())
}
