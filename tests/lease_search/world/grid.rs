//! Moments and intervals on the grid, and on a time line that begins elsewhere.

use std::time::Duration;

use truechimer::lease::{Decision, Grant};
use truechimer::{Interval, Timestamp};

use super::{START, TICK};

pub(super) fn at(ticks: i64) -> Timestamp {
    Timestamp::from_tai_nanos((START + ticks) * TICK)
}

pub(super) fn span(earliest: i64, latest: i64) -> Interval {
    Interval::new(at(earliest), at(latest)).expect("in order")
}

pub(super) fn ticks(ticks: i64) -> Duration {
    Duration::from_nanos((ticks * TICK) as u64)
}

pub(super) fn moved(now: Interval, by: i64) -> Interval {
    let end = |end: Timestamp| Timestamp::from_tai_nanos(end.tai_nanos() + by);
    Interval::new(end(now.earliest()), end(now.latest())).expect("in order")
}

/// The decision on the time line of all, if it was made on one that begins at `zero`.
pub(super) fn moved_back(decision: Decision, zero: i64) -> Decision {
    let back = |grant: Grant| Grant {
        expires: Timestamp::from_tai_nanos(grant.expires.tai_nanos() + zero),
        ..grant
    };
    match decision {
        Decision::Granted(grant) => Decision::Granted(back(grant)),
        Decision::Renewed(grant) => Decision::Renewed(back(grant)),
        Decision::Transferred(grant) => Decision::Transferred(back(grant)),
        other => other,
    }
}
