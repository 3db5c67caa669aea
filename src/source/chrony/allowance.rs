//! [`FitWatch`]: an allowance for what chronyd's line through its last polls cannot follow.
//!
//! chronyd's bound is an estimate. It fits a straight line to its last polls of a server, 3 to 64
//! of them, and takes the line's newest end for the clock's offset. What it states is the distance
//! of its best poll and the spread of the polls around the line. If the oscillator's rate bends
//! within that span the line is wrong, and chronyd states nothing for it: with a rate that swung
//! by 7 ppm in 240 s its own bound was untrue in 44 % of readings, by up to 243 µs.
//!
//! # What a line leaves out, by the wander
//!
//! Say that the clock is off by o(t), and that poll i measured o(tᵢ) + eᵢ. The line's value at its
//! newest end is a weighted sum of the polls, Σ hᵢ · (o(tᵢ) + eᵢ). The weights are those that make
//! it exact where o is a straight line: Σ hᵢ = 1, and Σ hᵢ · tᵢ is the newest moment. So the
//! line is off by Σ hᵢ · eᵢ, for which chronyd's bound stands, and by what o differs from a line:
//!
//! ```text
//! Σ hᵢ · o(tᵢ) − o(newest) = −∫ H(t) · r(t) dt        H(t) = Σ of the hᵢ with tᵢ ≤ t
//! ```
//!
//! where r is the rate (summation by parts). ∫ H is 0, because a constant rate makes no error, so r
//! may be counted from its mean over the span. Many polls at equal distances over a span S have
//! h = 6x − 2 and H = 3x² − 2x, with x from 0 at the oldest to 1 at the newest. If the rate stays
//! within w of its mean, the worst is w where H is above its median (−7/48) and −w where it is
//! below. The error is then
//!
//! ```text
//! w · S · ∫ |3x² − 2x + 7/48| dx = 13/48 · w · S = 0.271 · w · S
//! ```
//!
//! and for fewer polls less: 0.167 for 3, 0.233 for 12, 0.263 for 64. If all rates of the span lie
//! within w of each other, as A3 has it, 13/48 becomes 4/27 (w · ∫ of H where it is positive).
//!
//! chronyd gives polls with a long delay less weight, and it lengthens its poll interval. Both
//! leave fewer polls that count. Computed for intervals that had become up to 64 times as long:
//! up to 0.49. For chronyd's weights and delays that are distributed exponentially, all rates
//! within w of each other: up to 0.40 (5000 draws each of 6 to 40 polls). Here it is 1/2.
//!
//! *After* the newest poll the line goes on with its slope. That is a mean of the rates of the span
//! (their weights, 6x(1 − x), are never negative), so the rate then differs from it by w at most.
//! The 500 ppm by which the kernel's bound grows cover that. Where chronyd's report counts alone,
//! w for each second since the newest poll is added.
//!
//! This is an assumption, and it has a name: **chronyd's fit follows the oscillator within the
//! wander.** Within the span of the polls that chronyd fits its line to, and up to its next update,
//! the rate stays within [`max_wander_ppm`](crate::ClockBuilder::max_wander_ppm) of its mean. Where
//! that is not set, [`FIT_WANDER_PPM`] stands for it.
//!
//! # What the newest poll shows
//!
//! The line's value at the newest poll is there to compare: chronyd tells how far its clock is from
//! what that poll showed, and how far the poll itself may be off (SOURCE_DATA). The clock was
//! therefore within the sum of both at that moment, if the server keeps its bound. That needs no
//! assumption about the oscillator, and no line. Beside a near server it is the smaller of the two
//! by far. After a poll that came late it is not: half of its delay is in it.
//!
//! A measurement of a reference clock is a mean over its poll interval T. A mean of values at moments
//! within T differs from the value at their mean moment by w · T / 2 at most, which is added. What the
//! reference clock itself is off by is in neither, and comes on top (`check`).
//!
//! Both hold, so the smaller counts, and only by what it exceeds chronyd's own statement.
//!
//! # How it is asked
//!
//! Once for each update of chronyd's, over the port that answers any user: the list of its sources,
//! and the fit of those that it follows. chronyd combines them with weights, so the longest span
//! counts. Where they are not to be had, the span is taken for 64 update intervals, the most that
//! chronyd keeps, and the clock's report says so.

use std::fmt;
use std::time::Duration;

use super::chrony_fit::ChronyFit;
use super::source_stats::MAX_SAMPLES;
use super::sources::NewestMeasurement;
use super::tracking::Tracking;
use crate::counter::DEFAULT_MAX_WANDER_PPM;
use crate::source::daemons::TimeDaemons;
use crate::timestamp::{NANOS_PER_SECOND, duration_nanos_i64};

/// By how much the rate may move within the span of chronyd's fit where the clock learns no rate, in
/// ppm: as much as where it does by default.
pub(crate) const FIT_WANDER_PPM: u32 = DEFAULT_MAX_WANDER_PPM;

/// How chronyd's statement is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// Its fit follows an oscillator that wanders by so much, in ppm, and no better.
    Within(u32),
    /// Its report counts as it stands, by the operator's order.
    AsStated,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust::Within(FIT_WANDER_PPM)
    }
}

impl Trust {
    /// With the clock's `max_wander_ppm`, if it is set. The operator's order stays.
    pub(crate) fn with_wander(self, ppm: Option<u32>) -> Trust {
        match (self, ppm) {
            (Trust::Within(_), Some(ppm)) => Trust::Within(ppm),
            _ => self,
        }
    }
}

/// A line is off by at most the wander times its span, divided by this (see the module).
const SPAN_PARTS: u128 = 2;

/// chronyd fits no line to fewer polls.
const LEAST_SAMPLES: u32 = 3;

/// The update interval of a chronyd that states none, in ns: NTP's longest usual one.
const UNKNOWN_INTERVAL_NS: i64 = 1_024 * NANOS_PER_SECOND;

/// How long nothing is asked after a request that failed, in ns.
const RETRY_NS: i64 = 5 * NANOS_PER_SECOND;

/// chronyd rounds spans to seconds.
const SPAN_ROUNDING_NS: i64 = NANOS_PER_SECOND / 2;

/// chronyd hides its reference time by shifting it by up to this, in ns.
const HIDDEN_NS: i64 = NANOS_PER_SECOND;

/// Follows what chronyd's estimate rests on, from update to update.
#[derive(Debug, Default)]
pub(crate) struct FitWatch {
    known: Option<Known>,
    /// The longest update interval that chronyd has stated, in ns.
    longest_interval_ns: i64,
}

/// What is known of one update.
#[derive(Debug)]
struct Known {
    reference_time: Duration,
    /// Or why it is not to be had.
    fit: Result<ChronyFit, String>,
    /// chronyd's bound at this update without the correction that was under way, in ns.
    stated_ns: u64,
    /// How much older than this update its newest measurement is, in ns.
    lag_ns: i64,
    /// When it is asked again if the request failed.
    retry_at_ns: i64,
}

/// For which statement the allowance is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Statement {
    /// The one of the update that was asked about.
    OfUpdate,
    /// A later one, of which nothing is known yet.
    Later,
}

impl FitWatch {
    /// Takes note of a report, which came while the wall clock showed `unix_ns` and the monotonic
    /// clock `now_ns`. If it is of another update, chronyd is asked what that rests on.
    ///
    /// `true` if it was asked.
    pub(crate) fn follow(
        &mut self,
        tracking: &Tracking,
        daemons: &mut dyn TimeDaemons,
        (unix_ns, now_ns): (i64, i64),
    ) -> bool {
        if tracking.bound_ns().is_none() {
            return false;
        }
        let interval_ns = tracking.interval().map_or(0, duration_nanos_i64);
        self.longest_interval_ns = self.longest_interval_ns.max(interval_ns);
        let is_known = self.known.as_ref().is_some_and(|known| {
            !tracking.is_after_update(known.reference_time)
                && (known.fit.is_ok() || now_ns < known.retry_at_ns)
        });
        if is_known {
            return false;
        }
        let fit = match daemons.chrony_fit() {
            Ok(Some(fit)) if fit.samples >= LEAST_SAMPLES => Ok(fit),
            Ok(Some(fit)) => Err(format!("there are only {} polls", fit.samples)),
            Ok(None) => Err("it has no source".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let newest = fit.as_ref().ok().and_then(|fit| fit.newest);
        self.known = Some(Known {
            reference_time: tracking.reference_time,
            stated_ns: stated_at_update_ns(tracking, unix_ns),
            lag_ns: newest.map_or(0, |newest| lag_ns(&newest, tracking, unix_ns)),
            fit,
            retry_at_ns: now_ns.saturating_add(RETRY_NS),
        });
        true
    }

    /// By how much this report may be too small while the wall clock shows `unix_ns`, in ns.
    pub(super) fn live_allowance_ns(
        &self,
        tracking: &Tracking,
        unix_ns: i64,
        wander_ppm: u32,
    ) -> u64 {
        let is_later = |known: &Known| tracking.is_after_update(known.reference_time);
        let statement = match &self.known {
            Some(known) if !is_later(known) => Statement::OfUpdate,
            _ => Statement::Later,
        };
        let age_ns = unix_ns.saturating_sub(duration_nanos_i64(tracking.reference_time));
        self.allowance_ns(wander_ppm, statement)
            .saturating_add(moved_ns(age_ns.saturating_add(HIDDEN_NS), wander_ppm))
    }

    /// By how much chronyd's bound may be too small, in ns.
    pub(crate) fn allowance_ns(&self, wander_ppm: u32, statement: Statement) -> u64 {
        let by_span = bent_ns(self.span_ns(statement), wander_ppm);
        match &self.known {
            Some(known) if statement == Statement::OfUpdate => {
                by_span.min(known.beyond_ns(wander_ppm))
            }
            _ => by_span,
        }
    }

    /// The span of the polls that a statement may rest on, at most, in ns.
    fn span_ns(&self, statement: Statement) -> i64 {
        let interval_ns = match self.longest_interval_ns {
            0 => UNKNOWN_INTERVAL_NS,
            known => known,
        };
        match (self.known.as_ref().map(|known| &known.fit), statement) {
            (Some(Ok(fit)), Statement::OfUpdate) => {
                duration_nanos_i64(fit.span).saturating_add(SPAN_ROUNDING_NS)
            }
            // It goes back no further, and has become longer by the time since.
            (Some(Ok(fit)), Statement::Later) => {
                duration_nanos_i64(fit.span).saturating_add(interval_ns.saturating_mul(2))
            }
            _ => interval_ns.saturating_mul(MAX_SAMPLES.into()),
        }
    }

    /// What the allowance rests on, in words.
    pub(crate) fn details(&self, wander_ppm: u32) -> Option<String> {
        let known = self.known.as_ref()?;
        let allowance = Micros(self.allowance_ns(wander_ppm, Statement::OfUpdate));
        let span_s = self.span_ns(Statement::OfUpdate) / NANOS_PER_SECOND;
        Some(match &known.fit {
            Ok(fit) => format!(
                "its line through {} polls in {span_s} s may be off by {allowance} more",
                fit.samples
            ),
            Err(why) => format!(
                "what its line rests on is not known ({why}), so it may span {MAX_SAMPLES} update \
                 intervals ({span_s} s) and be off by {allowance} more"
            ),
        })
    }
}

/// Nanoseconds that are shown as microseconds, rounded up.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0.div_ceil(1_000))
    }
}

/// By how much a line over this span may be off, if the rate wanders by so much.
fn bent_ns(span_ns: i64, wander_ppm: u32) -> u64 {
    let moved = u128::from(span_ns.max(0).unsigned_abs()) * u128::from(wander_ppm);
    u64::try_from(moved.div_ceil(1_000_000 * SPAN_PARTS)).unwrap_or(u64::MAX)
}

impl Known {
    /// By how much the newest measurement exceeds what chronyd stated at its update, in ns.
    fn beyond_ns(&self, wander_ppm: u32) -> u64 {
        let fit = self.fit.as_ref().ok();
        let Some((fit, newest)) = fit.and_then(|fit| Some((fit, fit.newest?))) else {
            return u64::MAX;
        };
        let averaged_ns = duration_nanos_i64(fit.averaged);
        newest
            .offset_ns
            .saturating_add(newest.error_ns)
            .saturating_add(moved_ns(self.lag_ns, wander_ppm))
            .saturating_add(moved_ns(averaged_ns / 2 + averaged_ns % 2, wander_ppm))
            .saturating_sub(self.stated_ns)
    }
}

/// How much older a measurement is than chronyd's last update, in ns: it has followed another
/// source since, which it had asked before.
fn lag_ns(newest: &NewestMeasurement, tracking: &Tracking, unix_ns: i64) -> i64 {
    // Both ages are known to within a second.
    const SAME_NS: i64 = 3 * NANOS_PER_SECOND;
    let reference_ns = duration_nanos_i64(tracking.reference_time);
    let updated_ns = unix_ns.saturating_sub(reference_ns).saturating_sub(HIDDEN_NS).max(0);
    let lag_ns = duration_nanos_i64(newest.age).saturating_sub(updated_ns);
    if lag_ns > SAME_NS { lag_ns.saturating_add(NANOS_PER_SECOND) } else { 0 }
}

/// chronyd's bound at its last update, without the correction, in ns; rather less than more.
fn stated_at_update_ns(tracking: &Tracking, unix_ns: i64) -> u64 {
    let reference_ns = duration_nanos_i64(tracking.reference_time);
    let age_ns = unix_ns.saturating_sub(reference_ns).saturating_add(HIDDEN_NS).max(0);
    // `maxclockerror`, which is 1 ppm.
    let growth_ppm = tracking.skew_ppm + tracking.residual_frequency_ppm.abs() + 1.0;
    let grown_ns = (age_ns as f64 * growth_ppm / 1e6).max(0.0).ceil() as u64;
    let dispersion_ns = tracking.root_dispersion_ns.saturating_sub(grown_ns);
    (tracking.root_delay_ns / 2).saturating_add(dispersion_ns)
}

/// By how much a clock whose rate is off by so much moves in a time, in ns.
pub(super) fn moved_ns(time_ns: i64, ppm: u32) -> u64 {
    let moved = u128::from(time_ns.max(0).unsigned_abs()) * u128::from(ppm);
    u64::try_from(moved.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
