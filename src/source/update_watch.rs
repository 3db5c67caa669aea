//! [`UpdateWatch`]: when a daemon last updated the bound, and how often it does.
//!
//! A daemon that is killed leaves its last bound in the kernel, which lets it grow for up to
//! 9 hours before it says that nothing disciplines its clock. The bound holds all that time,
//! but nothing corrects the clock any more. So this module watches the writes.
//!
//! Between two writes `maxerror` only grows by 500 µs a second. A value that is smaller than
//! the last, or that differs by anything but a multiple of 500, was written. chronyd's report
//! also has the time of its last update.

use std::time::Duration;

use crate::host::KernelState;
use crate::source::chrony::Tracking;
use crate::timestamp::{NANOS_PER_SECOND, duration_nanos_i64};

/// After so many update intervals without an update, nothing updates the bound any more. Daemons lengthen
/// their poll interval by a factor of two at a time, and miss a reply now and then.
const OVERDUE_AFTER: i64 = 4;

/// Daemons poll more often than this only for some seconds after their start, in ns.
const SHORTEST_INTERVAL_NS: i64 = 64 * NANOS_PER_SECOND;

/// The longest usual poll interval (NTP's `maxpoll` 10), in ns: what counts as long as none is known.
const LONGEST_INTERVAL_NS: i64 = 1_024 * NANOS_PER_SECOND;

/// Watches the writes of a daemon.
#[derive(Debug, Default)]
pub(crate) struct UpdateWatch {
    seen: Option<Seen>,
    /// The time between the last two updates.
    measured_ns: Option<i64>,
    /// What the daemon itself says.
    stated_ns: Option<i64>,
    /// How many updates were seen.
    updates: u64,
}

/// What the last update left, and when it was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    maxerror_us: i64,
    mark_us: i64,
    /// The time of chronyd's last update, by its own report.
    reported: Option<Duration>,
    at_ns: i64,
    /// The update itself was seen, and not only what it had left.
    is_update: bool,
}

impl UpdateWatch {
    /// Takes note of what the kernel shows when the monotonic clock shows `now_ns`, and of
    /// chronyd's own report.
    pub(crate) fn note(&mut self, kernel: &KernelState, report: Option<&Tracking>, now_ns: i64) {
        let reported = report.map(|tracking| tracking.reference_time);
        self.stated_ns = report.and_then(Tracking::interval).map(duration_nanos_i64);
        let mark_us = kernel.residue_us();
        let now = Seen {
            maxerror_us: kernel.maxerror_us,
            mark_us,
            reported,
            at_ns: now_ns,
            is_update: false,
        };
        let Some(before) = &mut self.seen else {
            self.seen = Some(now);
            return;
        };
        let is_written = mark_us != before.mark_us || kernel.maxerror_us < before.maxerror_us;
        // Where two reports are at hand they decide alone, because an update between a report
        // and the kernel's answer would count twice.
        let is_update = match (report, before.reported) {
            (Some(now), Some(then)) => now.is_after_update(then),
            _ => is_written,
        };
        before.mark_us = mark_us;
        before.maxerror_us = kernel.maxerror_us;
        // Not the last one: slews that move it little by little would add up to an update.
        before.reported = before.reported.or(reported);
        if is_update {
            if before.is_update {
                self.measured_ns = Some(now_ns.saturating_sub(before.at_ns).max(0));
            }
            self.updates += 1;
            self.seen = Some(Seen { is_update: true, ..now });
        }
    }

    /// How many updates were seen since the watch began.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// The time between two updates, if it is known: the longer of what was seen and what the
    /// daemon says.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let ns = self.measured_ns.max(self.stated_ns)?;
        Some(Duration::from_nanos(ns.max(0).unsigned_abs()))
    }

    /// How long ago the last update was, if that is several update intervals.
    pub(crate) fn overdue(&self, now_ns: i64) -> Option<Duration> {
        let age_ns = now_ns.saturating_sub(self.seen?.at_ns);
        let interval_ns = self.interval().map_or(LONGEST_INTERVAL_NS, duration_nanos_i64);
        let limit_ns = interval_ns.max(SHORTEST_INTERVAL_NS).saturating_mul(OVERDUE_AFTER);
        (age_ns > limit_ns).then(|| Duration::from_nanos(age_ns.max(0).unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::chrony::{Leap, Reference};

    const SECOND: i64 = NANOS_PER_SECOND;

    fn kernel(maxerror_us: i64) -> KernelState {
        KernelState { maxerror_us, ..KernelState::BLANK }
    }

    /// A report of chronyd's whose last update was so many milliseconds after 1970.
    fn report(updated_at_ms: u64) -> Tracking {
        Tracking {
            reference: Reference { id: 0xc000_0201, address: Some([192, 0, 2, 1].into()) },
            stratum: 2,
            leap: Leap::Normal,
            reference_time: Duration::from_millis(updated_at_ms),
            correction_ns: 0,
            root_delay_ns: 0,
            root_dispersion_ns: 0,
            last_offset: 0.0,
            rms_offset: 0.0,
            frequency_ppm: 0.0,
            residual_frequency_ppm: 0.0,
            skew_ppm: 0.0,
            update_interval: 128.0,
        }
    }

    /// A daemon that writes every `poll` seconds until it dies after `writes`, seen once a second.
    fn watch(poll: i64, writes: i64, until: i64) -> (UpdateWatch, Option<i64>) {
        let mut watch = UpdateWatch::default();
        let mut overdue_at = None;
        for second in 0..until {
            let last = (second / poll).min(writes - 1);
            let maxerror_us = 1_000 + last * 7 % 400 + (second - last * poll) * 500;
            watch.note(&kernel(maxerror_us), None, second * SECOND);
            if watch.overdue(second * SECOND).is_some() {
                overdue_at.get_or_insert(second);
            }
        }
        (watch, overdue_at)
    }

    #[test]
    fn a_dead_daemon_is_overdue_after_several_of_its_own_intervals() {
        for (poll, overdue) in [(16, 4 * 64), (64, 4 * 64), (256, 4 * 256), (1_024, 4 * 1_024)] {
            let (watch, at) = watch(poll, 6, 12 * poll.max(64));
            assert_eq!(watch.interval(), Some(Duration::from_secs(poll.unsigned_abs())));
            assert_eq!(watch.updates(), 5);
            assert_eq!(at, Some(5 * poll + overdue + 1), "a poll of {poll} s");
        }
    }

    #[test]
    fn a_daemon_that_lives_is_never_overdue() {
        assert_eq!(watch(1_024, 99, 40 * 1_024).1, None);
    }

    #[test]
    fn a_write_that_leaves_the_same_mark_shows_by_the_smaller_value() {
        let mut watch = UpdateWatch::default();
        for (second, maxerror_us) in [(0, 1_234), (1, 1_734), (64, 33_234), (65, 1_234)] {
            watch.note(&kernel(maxerror_us), None, second * SECOND);
        }
        assert_eq!(watch.updates(), 1);
    }

    #[test]
    fn chronyds_report_shows_an_update_that_the_kernel_does_not() {
        let mut watch = UpdateWatch::default();
        watch.note(&kernel(1_000), None, 0);
        watch.note(&kernel(1_500), Some(&report(7_000)), SECOND);
        assert_eq!(watch.updates(), 0, "the first report");
        watch.note(&kernel(2_000), Some(&report(9_000)), 2 * SECOND);
        // It is the same update that the kernel shows now.
        watch.note(&kernel(1_001), Some(&report(9_000)), 2 * SECOND);
        assert_eq!(watch.updates(), 1);
        assert_eq!(watch.interval(), Some(Duration::from_secs(128)));
        assert_eq!(watch.overdue(4 * 128 * SECOND), None);
        assert!(watch.overdue((4 * 128 + 3) * SECOND).is_some());
    }

    #[test]
    fn a_reference_time_that_slews_move_is_no_update() {
        let mut watch = UpdateWatch::default();
        for (second, ms) in [(0, 7_000), (1, 7_060), (2, 7_099), (3, 6_920)] {
            watch.note(&kernel(1_000 + second * 500), Some(&report(ms)), second * SECOND);
            assert_eq!(watch.updates(), 0, "at {second} s");
        }
        watch.note(&kernel(1_000), Some(&report(23_000)), 4 * SECOND);
        assert_eq!(watch.updates(), 1);
    }

    #[test]
    fn before_two_updates_the_longest_usual_interval_counts() {
        let mut watch = UpdateWatch::default();
        assert_eq!(watch.overdue(i64::MAX), None);
        watch.note(&kernel(1_000), None, 0);
        assert_eq!(watch.overdue(4_096 * SECOND), None);
        assert!(watch.overdue(4_097 * SECOND).is_some());
    }
}
