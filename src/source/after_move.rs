//! [`AfterMove`]: what a time daemon may not know yet, because the machine was moved under it.
//!
//! A virtual machine that is moved to another host, or restored from a snapshot, goes on as if no
//! time had passed. Its wall clock is off by that time, and its oscillator is another one. The
//! time daemon goes on as well, and its next statements rest on what it measured before. It is
//! the same as with a step by another program (`unaccounted_step`): chronyd takes the first
//! samples for outliers, and its bound leaves the jump out meanwhile. But nobody knows how large
//! the jump is, so nothing can be covered, and the bound is refused.
//!
//! It counts again after as many updates as it takes a daemon to forget what it had measured, or
//! after the first update of a daemon that was started again. That shows by the kernel's bound: a
//! daemon that starts takes it away. So does a step of the clock, but a step shows itself.

use std::fmt;

use crate::source::realtime::Realtime;
use crate::source::unaccounted_step::UPDATES_UNTIL_TAKEN_IN;

/// What was seen of the daemon since the machine was moved.
#[derive(Debug, Default)]
pub(crate) struct AfterMove {
    /// The last reading, and whether the kernel had a bound at it.
    last: Option<(Realtime, bool)>,
    /// How many updates had been seen when the daemon began to measure anew.
    since_updates: u64,
    has_restarted: bool,
    updates: u64,
}

impl AfterMove {
    /// Takes note of a reading of the wall clock, of whether the kernel has a bound at it, and of
    /// how many updates were seen since the move. `true` if the bound counts again.
    pub(crate) fn is_over(&mut self, read: &Realtime, has_bound: bool, updates: u64) -> bool {
        let last = self.last.replace((*read, has_bound));
        let was_stepped = last.is_some_and(|(last, _)| read.was_stepped_since(&last));
        let has_lost_bound = last.is_some_and(|(_, had_bound)| had_bound && !has_bound);
        if was_stepped {
            // It may be of another program, of which the daemon knows as little.
            self.has_restarted = false;
            self.since_updates = updates;
        } else if has_lost_bound {
            self.has_restarted = true;
            self.since_updates = updates;
        }
        self.updates = updates.saturating_sub(self.since_updates);
        self.updates >= self.updates_needed()
    }

    fn updates_needed(&self) -> u64 {
        if self.has_restarted { 1 } else { UPDATES_UNTIL_TAKEN_IN }
    }
}

impl fmt::Display for AfterMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the time daemon has made {} of the {} updates after which it has measured the clock as \
             it is now; one that is started again needs one (`systemctl restart chrony`)",
            self.updates,
            self.updates_needed(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn read(ahead_ns: i64) -> Realtime {
        let unix_ns = 1_700_000_000_000_000_000 + ahead_ns;
        Realtime { before: 1, unix_ns, after: 2, offset: (unix_ns - 60, unix_ns) }
    }

    #[test]
    fn a_daemon_that_was_moved_counts_after_several_updates() {
        let mut after = AfterMove::default();
        for updates in 0..16 {
            assert!(!after.is_over(&read(0), true, updates), "{updates}");
        }
        assert!(after.to_string().contains("15 of the 16"), "{after}");
        assert!(after.is_over(&read(0), true, 16));
    }

    #[test]
    fn a_daemon_that_was_started_again_counts_after_its_first_update() {
        let mut after = AfterMove::default();
        assert!(!after.is_over(&read(0), true, 3));
        assert!(!after.is_over(&read(0), false, 4), "what it took away");
        assert!(!after.is_over(&read(0), true, 4));
        assert!(after.is_over(&read(0), true, 5));
    }

    #[test]
    fn a_step_takes_the_bound_away_too_and_proves_nothing() {
        let mut after = AfterMove::default();
        assert!(!after.is_over(&read(0), true, 0));
        assert!(!after.is_over(&read(30_000 * MS), false, 1));
        assert!(!after.is_over(&read(30_000 * MS), false, 1), "until the daemon's next update");
        assert!(!after.is_over(&read(30_000 * MS), true, 2));
        assert!(!after.is_over(&read(30_000 * MS), true, 16));
        assert!(after.is_over(&read(30_000 * MS), true, 17));
    }
}
