//! The operator's word: "this host's wall clock is within so much of UTC".
//!
//! Many hosts have a clock that somebody knows to be good, and a kernel that
//! says nothing about it: a laptop under systemd-timesyncd, a machine on PTP. The
//! operator may vouch for it. It is an assumption like any other source's
//! bound (A1), and it is called one: the status is `Assumed`, not
//! `Synchronized`.
//!
//! The word is about the clock as it stands. When somebody steps it, or the
//! host sleeps, the word has ended, and only the operator can give it again.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::bound::Sample;
use crate::clock::counter::Counter;
use crate::clock::status::Reason;
use crate::source::adjtimex::KernelState;
use crate::source::realtime::{Realtime, SUSPEND_NOISE_NS, suspended_ns};
use crate::source::{Calendar, Source, SourceError};

/// REALTIME is within an error that the operator has stated.
#[derive(Debug)]
pub struct Assumed {
    error: Duration,
    calendar: Arc<Calendar>,
    vouched_at: Option<Vouched>,
    ended: Option<&'static str>,
}

/// How the clocks stood when the operator gave the word.
#[derive(Debug)]
struct Vouched {
    realtime: Realtime,
    suspended_ns: i64,
}

impl Assumed {
    /// The word that REALTIME, which shows what `calendar` says, is within `error` of
    /// it, from the first sample on.
    pub(crate) fn by(error: Duration, calendar: Arc<Calendar>) -> Assumed {
        Assumed { error, calendar, vouched_at: None, ended: None }
    }

    /// The operator gives the word again, for the clock as it stands at the next sample.
    pub fn renew(&mut self) {
        self.vouched_at = None;
        self.ended = None;
    }

    /// Why the word has ended, if it has.
    fn end(&self, now: &Realtime, vouched: &Vouched) -> Option<&'static str> {
        if suspended_ns() - vouched.suspended_ns > SUSPEND_NOISE_NS {
            Some("the host was suspended")
        } else if self.calendar.was_stepped(&vouched.realtime, now) {
            Some("the wall clock was stepped")
        } else {
            None
        }
    }
}

impl Source for Assumed {
    fn name(&self) -> &str {
        "assume_error"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        // The best of a few: one look alone may have been interrupted.
        let look = |_| Realtime::look(counter);
        let now = (0..4).map(look).min_by_key(|r| r.after.wrapping_sub(r.before));
        let now = now.unwrap_or_else(|| Realtime::look(counter));
        if let Some(vouched) = &self.vouched_at {
            self.ended = self.ended.or_else(|| self.end(&now, vouched));
        } else {
            self.vouched_at = Some(Vouched { realtime: now, suspended_ns: suspended_ns() });
        }
        if let Some(why) = self.ended {
            return Err(SourceError::cannot_vouch(Reason::AssumptionEnded, why));
        }
        let kernel = KernelState::read().ok();
        let time = self.calendar.tai(&now, self.error, kernel.as_ref(), None)?;
        Ok(Sample::new(now.before, now.after, time))
    }
}
