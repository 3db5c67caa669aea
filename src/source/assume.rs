//! The operator's own statement: "this host's wall clock is within so much of UTC".
//!
//! On many hosts the operator knows that the clock is good, but the kernel has no bound: a
//! laptop under systemd-timesyncd, for example, or a machine on PTP. The operator may state
//! the clock's error. That is an assumption like any other source's bound (A1), and the
//! status shows it: it is `Assumed` and not `Synchronized`.
//!
//! The statement is about the clock as it is. When the clock is stepped, or the host is
//! suspended, the statement ends, and only the operator can make it again.

use std::sync::Arc;
use std::time::Duration;

use crate::counter::Counter;
use crate::evidence::{Reason, Sample, Source, SourceError};
use crate::host::{HostError, SUSPEND_NOISE_NS, suspended_ns};
use crate::source::realtime::Realtime;
use crate::source::wall_clock::WallClock;

/// REALTIME is within an error that the operator has stated.
#[derive(Debug)]
pub(crate) struct Assumed {
    error: Duration,
    wall_clock: Arc<WallClock>,
    /// Whether the kernel is asked about leap seconds.
    asks_kernel: bool,
    since: Option<Beginning>,
    ended: Option<&'static str>,
}

/// The clocks when the statement was made.
#[derive(Debug)]
struct Beginning {
    realtime: Realtime,
    suspended_ns: Option<i64>,
}

impl Assumed {
    /// The statement that REALTIME, which is `wall_clock`, is within `error` of UTC, from
    /// the first sample on.
    pub(crate) fn new(error: Duration, wall_clock: Arc<WallClock>) -> Assumed {
        Assumed { error, wall_clock, asks_kernel: false, since: None, ended: None }
    }

    /// Asks the kernel too which leap seconds it was told of: for a clock that reads its state
    /// anyway. Any other must not make the call, because a filter may kill the process for it.
    pub(crate) fn asking_kernel(self, asks_kernel: bool) -> Assumed {
        Assumed { asks_kernel, ..self }
    }

    /// The operator states it again, of the clock as it stands at the next sample.
    pub(crate) fn renew(&mut self) {
        self.since = None;
        self.ended = None;
    }

    /// The clock may be another one now, for this reason.
    pub(crate) fn end(&mut self, why: &'static str) {
        self.ended = Some(why);
    }

    /// Why the statement has ended by `now`, if it has.
    fn ended_by(&self, now: &Beginning, since: &Beginning) -> Option<&'static str> {
        let slept = now.suspended_ns.zip(since.suspended_ns).map(|(now, then)| now - then);
        if slept.is_some_and(|slept| slept > SUSPEND_NOISE_NS) {
            Some("the host was suspended")
        } else if self.wall_clock.was_stepped(&since.realtime, &now.realtime) {
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
        let now = read(counter)?;
        let read = now.realtime;
        match &self.since {
            Some(since) => self.ended = self.ended.or_else(|| self.ended_by(&now, since)),
            None => self.since = Some(now),
        }
        if let Some(why) = self.ended {
            return Err(SourceError::no_bound(Reason::AssumptionEnded, why));
        }
        // What the kernel knows of leap seconds that the table does not list.
        let kernel = if self.asks_kernel { counter.host().kernel_state().ok() } else { None };
        let time = self.wall_clock.tai(&read, self.error, kernel.as_ref(), None)?;
        Ok(Sample::new(read.before, read.after, time))
    }
}

fn read(counter: &Counter) -> Result<Beginning, HostError> {
    Ok(Beginning {
        realtime: Realtime::read_narrowest(counter)?,
        suspended_ns: suspended_ns(counter.host())?,
    })
}
