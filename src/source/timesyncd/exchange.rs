//! [`Exchange`]: where true time was, by an exchange that was made while the clock was watched.
//!
//! The server says: it was T2 when the request arrived, and T3 when the reply was sent, each to
//! within B. So at the moment T4, at which the reply arrived here, true time was
//!
//! ```text
//! from   T3 − B   to   T2 + B + (the true time from the moment T1 to the moment T4)
//! ```
//!
//! Nothing is assumed of the two ways, which may take any time each.
//!
//! The naive way takes `T4 − T1` for that time. Both are stamps of the wall clock, which may have
//! been slewed by 12.5 % in between: it missed true time by up to 14 ms. And it takes the wall
//! clock of the present for one that runs on from T4, which was wrong in up to 97 % of readings.
//! So both moments are looked up in the [`Pairs`], and what counts between them is the counter.

use crate::counter::CounterId;

use super::message::{NtpMessage, NtpMessageError};
use super::pairs::{Break, NotFound, Pairs};

/// While the counter went from `before` to `after`, there was a moment at which Unix time, on the
/// server's scale, was within `unix_ns`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exchange {
    pub(super) counter: CounterId,
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) unix_ns: (i64, i64),
    /// How long the host had been suspended in all.
    pub(super) suspended_ns: Option<i64>,
}

/// Its stamps cannot be looked up.
pub(super) const OTHER_TIME: &str =
    "this process is shown another wall clock than the kernel's, by which timesyncd stamps";

/// Why an exchange was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Dropped {
    #[error("{0}")]
    Message(#[from] NtpMessageError),
    #[error("the wall clock was stepped about then")]
    Stepped,
    #[error("the host was suspended about then")]
    Suspended,
    #[error("the wall clock was not watched about then")]
    Unwatched,
    #[error("{OTHER_TIME}")]
    OtherTime,
    #[error("it was made before this clock watched")]
    Earlier,
    #[error("the wall clock ran at another rate than the kernel states")]
    Inconsistent,
}

/// A time between what the daemon measures and what the bus says of it, in ns. It is some ms, and
/// was 1.4 s on a starved machine.
pub(super) const PUBLISHED_WITHIN_NS: i64 = 2_000_000_000;

/// Where true time was by an exchange that replaced another (or none) after the raw clock showed
/// `known_raw`. `None` if the looks do not reach so far yet.
///
/// The segment of looks must be unbroken since then. A stamp could otherwise be of an earlier time
/// at which the wall clock showed the same.
pub(super) fn judge(
    message: &NtpMessage,
    pairs: &Pairs,
    known_raw: i64,
    max_drift_ppm: u32,
) -> Option<Result<Exchange, Dropped>> {
    if let Err(why) = message.check() {
        return Some(Err(why.into()));
    }
    let broken = |otherwise| match pairs.last_break() {
        Some(Break::Stepped) => Dropped::Stepped,
        Some(Break::Suspended) => Dropped::Suspended,
        Some(Break::Unwatched | Break::Counter) => Dropped::Unwatched,
        Some(Break::OtherTime) => Dropped::OtherTime,
        None => otherwise,
    };
    if pairs.since_raw() > known_raw.saturating_sub(PUBLISHED_WITHIN_NS) {
        return Some(Err(broken(Dropped::Earlier)));
    }
    let find = |stamp_us: i64| match pairs.find(stamp_us * 1_000) {
        Ok(moment) => Some(Ok(moment)),
        Err(NotFound::Later) => None,
        Err(NotFound::Earlier) => Some(Err(Dropped::Earlier)),
        Err(NotFound::Inconsistent) => Some(Err(Dropped::Inconsistent)),
    };
    let (sent, arrived) = match (find(message.origin_us)?, find(message.destination_us)?) {
        (Ok(sent), Ok(arrived)) => (sent, arrived),
        (Err(why), _) | (_, Err(why)) => return Some(Err(why)),
    };
    let elapsed = arrived.raw.1.saturating_sub(sent.raw.0);
    if elapsed < 0 {
        return Some(Err(Dropped::Inconsistent));
    }
    // Both moments are in the segment, so there are looks.
    let last = pairs.last()?;
    let latest = message
        .latest_at_receive_ns()
        .saturating_add(elapsed)
        .saturating_add(drift_of(elapsed, max_drift_ppm));
    let earliest = message.earliest_ns();
    Some(match earliest <= latest {
        true => Ok(Exchange {
            counter: last.counter,
            before: arrived.ticks.0,
            after: arrived.ticks.1,
            unix_ns: (earliest, latest),
            suspended_ns: last.suspended_ns,
        }),
        // The server took longer for its answer than the whole exchange.
        false => Err(Dropped::Inconsistent),
    })
}

/// How far true time may be from so many ns of an oscillator, rounded up.
pub(super) fn drift_of(ns: i64, max_drift_ppm: u32) -> i64 {
    let drift = i128::from(ns.max(0)) * i128::from(max_drift_ppm);
    i64::try_from(drift / 1_000_000 + 1).unwrap_or(i64::MAX)
}
