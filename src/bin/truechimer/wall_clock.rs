//! The time that the host shows, whether it can be trusted or not.

use std::time::{SystemTime, UNIX_EPOCH};

use truechimer::UnixTime;

/// What the wall clock shows. Tables only need a time that is near, so its error does not matter.
pub fn wall_clock() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_nanos(since_1970.as_nanos().try_into().unwrap_or(i64::MAX))
}
