//! [`WallClock`]: what a host's wall clock shows, and by which table that becomes TAI.
//!
//! Most clocks show UTC. Some follow servers that smear. For a day around a leap second these
//! run slower or faster by a hundred-thousandth, on purpose. They are then up to half a second
//! off UTC, while their daemon reports "synchronized". The daemon is right about the scale
//! that it follows, but no program on the host can measure which scale that is. So the
//! operator states it, and then the conversion to TAI is exact. If it is not known, the
//! interval is a second wider in both directions, for a day on both sides of each leap second.
//!
//! The leap table may be replaced while the clock runs, because leap seconds are announced
//! half a year ahead and processes run for longer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::evidence::SourceError;
use crate::host::KernelState;
use crate::interval::Interval;
use crate::scale::{LeapTable, ScaleInterval, Smear, Smeared, UnixTime};
use crate::source::realtime::{PendingLeap, READING_STEP_NS, Realtime, is_step};
use crate::timestamp::duration_nanos_i64;

/// The scale of `CLOCK_REALTIME` around a leap second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum RealtimeScale {
    /// UTC, as POSIX counts it: a second is repeated.
    #[default]
    Utc,
    /// UTC smeared in this way, as the host's time servers do.
    Smeared(Smear),
    /// One or the other, and it is not known which.
    Unknown,
}

/// The scale of the wall clock, and the leap table that converts it to TAI.
#[derive(Debug)]
pub(crate) struct WallClock {
    /// Exchanged without a lock (see `fork`).
    leaps: ArcSwap<LeapTable>,
    shows: RealtimeScale,
}

impl WallClock {
    pub(crate) fn new(leaps: LeapTable, shows: RealtimeScale) -> WallClock {
        WallClock { leaps: ArcSwap::from_pointee(leaps), shows }
    }

    /// The table in use.
    pub(crate) fn leaps(&self) -> Arc<LeapTable> {
        self.leaps.load_full()
    }

    /// What the wall clock shows around a leap second.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn shows(&self) -> RealtimeScale {
        self.shows
    }

    /// Whether `leaps` would give another TAI for this reading of the wall clock. If so, the
    /// evidence that was made with the present table is wrong.
    pub(crate) fn differs(&self, leaps: &LeapTable, read: &Realtime) -> bool {
        let by = |table: &LeapTable| self.tai_by(table, read, Duration::ZERO, None, None).ok();
        by(leaps) != by(&self.leaps())
    }

    /// Uses another table from now on.
    pub(crate) fn replace(&self, leaps: LeapTable) {
        self.leaps.store(Arc::new(leaps));
    }

    /// The moment of TAI that the clock showed, if it may have been off by `error`.
    pub(crate) fn tai(
        &self,
        read: &Realtime,
        error: Duration,
        kernel: Option<&KernelState>,
        pending: Option<PendingLeap>,
    ) -> Result<Interval, SourceError> {
        self.tai_by(&self.leaps(), read, error, kernel, pending)
    }

    fn tai_by(
        &self,
        leaps: &LeapTable,
        read: &Realtime,
        error: Duration,
        kernel: Option<&KernelState>,
        pending: Option<PendingLeap>,
    ) -> Result<Interval, SourceError> {
        let refused = |why| SourceError::failed(format_args!("the wall clock, in TAI: {why}"));
        let error_ns = duration_nanos_i64(error);
        // The clock shows its last step, and may stand just before the next.
        let ends = (
            read.unix_ns.saturating_sub(error_ns),
            read.unix_ns.saturating_add(READING_STEP_NS).saturating_add(error_ns),
        );
        match self.shows {
            RealtimeScale::Utc => {
                let doubt = leaps.expiry_margin(read.unix_ns).map_err(refused)?;
                Ok(read.tai(leaps, error, kernel, pending)?.widen(doubt))
            }
            RealtimeScale::Smeared(smear) => {
                let span = span(ends, |nanos| Smeared::from_nanos(nanos, smear))?;
                leaps.smeared_to_interval(span).map_err(refused)
            }
            RealtimeScale::Unknown => {
                let span = span(ends, UnixTime::from_nanos)?;
                leaps.unknown_smear_to_interval(span).map_err(refused)
            }
        }
    }

    /// Whether the clock was stepped between two readings. A leap second of the table is not
    /// a step, on a clock that makes it at once.
    pub(crate) fn was_stepped(&self, earlier: &Realtime, now: &Realtime) -> bool {
        self.step_ns(earlier, now) != (0, 0)
    }

    /// By how much the clock was stepped between two readings: at least and at most, in ns.
    /// `(0, 0)` if it was not, to within the time that the readings took.
    pub(crate) fn step_ns(&self, earlier: &Realtime, now: &Realtime) -> (i64, i64) {
        let at_once = || Some(now.step_on_tai_since(earlier, &self.leaps()));
        let smeared = || Some(now.step_since(earlier));
        let step = match self.shows {
            RealtimeScale::Utc => at_once().filter(|&step| is_step(step)),
            RealtimeScale::Smeared(_) => smeared().filter(|&step| is_step(step)),
            // Where it is not known which, either of the two may be the one without a step.
            RealtimeScale::Unknown => at_once()
                .filter(|&step| is_step(step))
                .and_then(|_| smeared().filter(|&step| is_step(step))),
        };
        step.unwrap_or((0, 0))
    }
}

/// Both ends on another scale.
fn span<T: Copy + PartialOrd>(
    ends: (i64, i64),
    on: impl Fn(i64) -> T,
) -> Result<ScaleInterval<T>, SourceError> {
    ScaleInterval::new(on(ends.0), on(ends.1))
        .ok_or_else(|| SourceError::failed("an error below zero"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::{NANOS_PER_SECOND as SECOND, Timestamp};

    /// 2016-12-31T23:59:60Z was inserted before this midnight.
    const LEAP: i64 = 1_483_228_800;

    fn reading(unix_ns: i64) -> Realtime {
        Realtime { before: 0, unix_ns, after: 0, offset: (0, 0) }
    }

    fn tai(shows: RealtimeScale, unix_ns: i64, error: Duration) -> Interval {
        let wall_clock = WallClock::new(LeapTable::builtin(), shows);
        wall_clock.tai(&reading(unix_ns), error, None, None).expect("after 1972")
    }

    #[test]
    fn a_host_that_is_known_to_smear_gives_true_tai() {
        let google = Smear::Google;
        let ms = Duration::from_millis(1);
        for hours in [-30, -11, -6, -1, 0, 1, 6, 11, 30] {
            // True time, and what a host that follows such servers shows then.
            let truth = Timestamp::from_tai_nanos((LEAP + 36 + hours * 3600) * SECOND);
            let shown = LeapTable::builtin().tai_to_smeared(truth, google).expect("after 1972");
            let known = tai(RealtimeScale::Smeared(google), shown.nanos(), ms);
            assert!(known.contains(truth), "{hours} h: {known}");
            assert!(known.width() <= Duration::from_micros(2_001), "{hours} h: {known}");
            // Unknown, it is covered, and a second or so wide near the leap only.
            let unknown = tai(RealtimeScale::Unknown, shown.nanos(), ms);
            assert!(unknown.contains(truth), "{hours} h: {unknown}");
            assert_eq!(unknown.width() > Duration::from_secs(1), hours.abs() < 25, "{hours} h");
            // Taken for UTC it is missed where the smear is far off: that is why.
            let missed = !tai(RealtimeScale::Utc, shown.nanos(), ms).contains(truth);
            assert_eq!(missed, (1..12).contains(&hours.abs()), "{hours} h");
        }
    }

    #[test]
    fn a_table_that_is_exchanged_counts_from_then_on() {
        let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
        let now = 1_800_000_000;
        let mut entries: Vec<(i64, i32)> = LeapTable::builtin()
            .entries()
            .map(|e| (e.since.nanos() / SECOND, e.tai_minus_utc))
            .collect();
        let at = |wall_clock: &WallClock| {
            wall_clock.tai(&reading(now * SECOND), Duration::ZERO, None, None).expect("after 1972")
        };
        assert_eq!(at(&wall_clock).earliest().tai_nanos(), (now + 37) * SECOND);
        assert!(!wall_clock.differs(&LeapTable::builtin(), &reading(now * SECOND)), "the same");
        entries.push((1_798_761_600, 38)); // one at the end of 2026
        let newer = LeapTable::from_entries(&entries).expect("in order");
        assert!(wall_clock.differs(&newer, &reading(now * SECOND)));
        wall_clock.replace(newer);
        assert_eq!(at(&wall_clock).earliest().tai_nanos(), (now + 38) * SECOND);
    }

    #[test]
    fn a_smeared_leap_second_is_no_step_and_a_stepped_one_is() {
        let stand = |unix_ns: i64, mono: i64| Realtime {
            before: 0,
            unix_ns,
            after: 0,
            offset: (unix_ns - mono - 60, unix_ns - mono),
        };
        let then = stand((LEAP - 100_000) * SECOND, 0);
        // A smeared clock goes on; one that shows UTC has repeated a second.
        let smeared = stand((LEAP + 100_000) * SECOND, 200_000 * SECOND);
        let repeated = stand((LEAP + 99_999) * SECOND, 200_000 * SECOND);
        let cases = [
            (RealtimeScale::Utc, true, false),
            (RealtimeScale::Smeared(Smear::Google), false, true),
            (RealtimeScale::Unknown, false, false),
        ];
        for (shows, of_smeared, of_repeated) in cases {
            let wall_clock = WallClock::new(LeapTable::builtin(), shows);
            assert_eq!(wall_clock.was_stepped(&then, &smeared), of_smeared, "{shows:?}");
            assert_eq!(wall_clock.was_stepped(&then, &repeated), of_repeated, "{shows:?}");
        }
    }
}
