//! [`Reading`]: what the clock states at one moment, in the stable shape of `--json`.
//!
//! The shape is the command's own, so that scripts need not change when the crate's types
//! do. Names are in snake_case. Each moment is given both as a count of TAI nanoseconds and
//! as UTC text, and each width in nanoseconds. What is counted in nanoseconds or microseconds
//! (`_ns`, `_us`) is decimal text, because such counts need up to 64 bits, and a reader whose
//! numbers are doubles would round them. Read them as integers of 64 bits or more.

use std::time::Duration;

use serde::Serialize;
use truechimer::clock::{Said, SourceReport};
use truechimer::{CounterKind, Interval, Report, Role, Status, Timestamp};

use crate::output::rounded_up;
use crate::problem::Problem;

/// One moment.
#[derive(Clone, Serialize, Debug)]
pub struct MomentView {
    /// Nanoseconds of TAI since 1970-01-01T00:00:00 TAI.
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub tai_ns: i64,
    pub utc: String,
}

/// Two moments, and the true time is between them.
#[derive(Clone, Serialize, Debug)]
pub struct IntervalView {
    pub earliest: MomentView,
    pub latest: MomentView,
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub width_ns: u64,
    /// Half of the width, rounded up: the ± of other clocks.
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub error_ns: u64,
}

/// What the clock states, and the sources that it rests on.
#[derive(Clone, Serialize, Debug)]
pub struct Reading {
    /// synchronized, assumed, holdover, contradicted or unsynchronized.
    pub status: &'static str,
    /// Whether it can be trusted: synchronized, or assumed.
    pub usable: bool,
    pub interval: Option<IntervalView>,
    /// The names of the sources that stated a bound when they were sampled last.
    pub vouched_by: Vec<String>,
    pub counter: CounterKind,
    /// By how many ppm intervals widen, if the time daemon corrects an oscillator that is further
    /// off than `--max-drift-ppm` allows.
    pub wider_drift_ppm: Option<u32>,
    pub epoch: u64,
    pub contradictions: u64,
    pub reason_code: Option<String>,
    pub reason: Option<String>,
    pub remedy: Option<String>,
}

impl From<Timestamp> for MomentView {
    fn from(t: Timestamp) -> MomentView {
        MomentView { tai_ns: t.tai_nanos(), utc: t.to_string() }
    }
}

impl From<Interval> for IntervalView {
    fn from(interval: Interval) -> IntervalView {
        let width_ns = interval.latest().tai_nanos().abs_diff(interval.earliest().tai_nanos());
        IntervalView {
            earliest: interval.earliest().into(),
            latest: interval.latest().into(),
            width_ns,
            error_ns: width_ns.div_ceil(2),
        }
    }
}

impl Reading {
    /// How wide the interval is, if there is one.
    pub fn width(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.interval.as_ref()?.width_ns))
    }
}

impl From<&Report> for Reading {
    fn from(report: &Report) -> Reading {
        let problem = Problem::of(report);
        let stated = |source: &&SourceReport| {
            source.role == Role::Evidence && matches!(source.said, Some(Said::Time { .. }))
        };
        Reading {
            status: status_name(report),
            usable: problem.is_none(),
            interval: report.now.ok().map(IntervalView::from),
            vouched_by: report.sources.iter().filter(stated).map(|s| s.name.clone()).collect(),
            counter: report.counter.kind,
            wider_drift_ppm: wider_drift_ppm(report),
            epoch: report.epoch,
            contradictions: report.contradictions,
            reason_code: problem.as_ref().map(|p| p.reason_code.clone()),
            reason: problem.as_ref().map(|p| p.reason.clone()),
            remedy: problem.map(|p| p.remedy),
        }
    }
}

/// The drift by which intervals widen, if it is more than the limit that was set.
pub fn wider_drift_ppm(report: &Report) -> Option<u32> {
    let drift_ppm = report.counter.drift_ppm;
    (drift_ppm > report.limits.max_drift_ppm).then_some(drift_ppm)
}

/// The same in words.
pub fn describe_wider_drift(drift_ppm: u32) -> String {
    format!("oscillator off by up to {drift_ppm} ppm")
}

/// The status without its reason. A clock that gives no interval is called unsynchronized.
fn status_name(report: &Report) -> &'static str {
    match report.status {
        Status::Contradicted => "contradicted",
        _ if report.now.is_err() => "unsynchronized",
        Status::Synchronized => "synchronized",
        Status::Assumed => "assumed",
        Status::Holdover => "holdover",
        _ => "unsynchronized",
    }
}

/// A source, for people who have not read the code.
pub fn describe_source(source: &str) -> &str {
    match source {
        "kernel" => "the kernel, whose error bound its time daemon writes",
        "assume_error" => "you (--assume)",
        "ntp" => "the NTP servers that were asked",
        "timesyncd" => {
            "systemd-timesyncd's exchanges with one server, which does not authenticate itself"
        }
        "vmclock" => "the hypervisor, by its VMClock",
        other => other,
    }
}

/// "± half of the width", rounded up.
pub fn plus_minus(interval: &Interval) -> String {
    let half = interval.width().as_nanos().div_ceil(2);
    format!(
        "± {}",
        rounded_up(std::time::Duration::from_nanos(half.try_into().unwrap_or(u64::MAX)))
    )
}
