//! [`UnaccountedStep`]: a step of the wall clock that its daemon may not know of.
//!
//! Another program (a script, a hypervisor's tool, an administrator) steps the clock beside a
//! running daemon. The kernel notices, and takes the daemon's bound back. But the daemon goes on
//! with what it measured before the step. Measured with chronyd at a poll of 16 s: after a step
//! of 20 ms its next update stated 1.6 ms, while the clock was 19.8 ms off, and it took
//! several updates until it had corrected the clock.
//!
//! No clock shows who made a step. If the daemon made it, the clock is now within the bound. If
//! it was another program, the clock is off by the step, to within the bound. So until the
//! daemon has made several updates, a sample covers both. If what is known from before the step
//! excludes what the daemon states, that is a contradiction (see `estimator`), and both sides are
//! published for several updates.

use crate::source::realtime::Realtime;
use crate::source::wall_clock::WallClock;

/// After so many updates a daemon has measured the clock as it is after the step.
/// chronyd takes the first samples after a step for outliers, and keeps up to 64 of them.
pub(crate) const UPDATES_UNTIL_TAKEN_IN: u64 = 16;

/// What steps may have added to the error of the wall clock.
#[derive(Debug, Default)]
pub(crate) struct UnaccountedStep {
    last: Option<Realtime>,
    /// By how much the clock is ahead of what the daemon knows: at least and at most, in ns.
    ahead_ns: (i64, i64),
    /// How many updates had been seen at the last step.
    updates: u64,
}

impl UnaccountedStep {
    /// By how much the clock may be ahead of what its daemon takes it for, at least and at
    /// most, in ns, at this reading.
    ///
    /// `is_explained` says whether the clock was meant to make a step of this size now (a leap
    /// second that the table does not list). `updates` counts the daemon's updates. `is_disciplined` says whether a daemon had
    /// stated a bound before this reading. Where none had, it had measured nothing either.
    pub(crate) fn note(
        &mut self,
        read: &Realtime,
        wall_clock: &WallClock,
        is_explained: impl Fn((i64, i64)) -> bool,
        updates: u64,
        is_disciplined: bool,
    ) -> (i64, i64) {
        if updates.saturating_sub(self.updates) >= UPDATES_UNTIL_TAKEN_IN {
            self.ahead_ns = (0, 0);
        }
        let last = self.last.replace(*read);
        let step = last.map_or((0, 0), |last| wall_clock.step_ns(&last, read));
        let misleads = is_disciplined || self.ahead_ns != (0, 0);
        if step != (0, 0) && misleads && !is_explained(step) {
            let (low, high) = self.ahead_ns;
            // The daemon knows of this step and of all before it, or of none, or of some.
            self.ahead_ns =
                (low.saturating_add(step.0).min(low), high.saturating_add(step.1).max(high));
            self.updates = updates;
        }
        self.ahead_ns
    }

    /// Begins anew: after a suspend the clock was set by the kernel itself.
    pub(crate) fn forget(&mut self) {
        *self = UnaccountedStep::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::LeapTable;
    use crate::source::RealtimeScale;

    const MS: i64 = 1_000_000;

    fn read(ahead_ns: i64) -> Realtime {
        let unix_ns = 1_700_000_000_000_000_000 + ahead_ns;
        Realtime { before: 1, unix_ns, after: 2, offset: (unix_ns - 60, unix_ns) }
    }

    #[test]
    fn a_step_counts_until_the_daemon_has_made_several_updates() {
        let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
        let mut steps = UnaccountedStep::default();
        let mut note =
            |ahead_ns, updates| steps.note(&read(ahead_ns), &wall_clock, |_| false, updates, true);
        assert_eq!(note(0, 3), (0, 0));
        assert_eq!(note(0, 4), (0, 0));
        assert_eq!(note(20 * MS, 4), (0, 20 * MS + 60));
        assert_eq!(note(20 * MS, 19), (0, 20 * MS + 60));
        // Back by less, while the first still counts: each may be known or not.
        assert_eq!(note(5 * MS, 19), (-15 * MS - 60, 20 * MS + 60));
        assert_eq!(note(5 * MS, 34), (-15 * MS - 60, 20 * MS + 60));
        assert_eq!(note(5 * MS, 35), (0, 0));
        assert_eq!(note(5 * MS - 30, 35), (0, 0), "reading noise");
    }

    #[test]
    fn a_step_before_the_first_statement_misleads_no_daemon() {
        let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
        let mut steps = UnaccountedStep::default();
        let mut note =
            |ahead_ns, known| steps.note(&read(ahead_ns), &wall_clock, |_| false, 0, known);
        note(0, false);
        assert_eq!(note(3_600_000 * MS, false), (0, 0));
        assert_eq!(note(3_600_001 * MS, true), (0, MS + 60));
        steps.forget();
        assert_eq!(steps.note(&read(9), &wall_clock, |_| false, 0, true), (0, 0));
    }

    #[test]
    fn a_leap_second_that_was_announced_is_known_to_the_daemon() {
        let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
        let mut steps = UnaccountedStep::default();
        let is_second = |(least, most): (i64, i64)| least < -999 * MS && most > -1_001 * MS;
        steps.note(&read(0), &wall_clock, is_second, 0, true);
        let ahead = steps.note(&read(-1_000 * MS), &wall_clock, is_second, 0, true);
        assert_eq!(ahead, (0, 0));
    }
}
