//! No traces of a pause: this system shows none of those that Linux shows.
//!
//! A suspend is not looked for here either. The clocks of these systems do not say whether
//! the machine slept or the wall clock was set.

use std::fs::File;
use std::time::Duration;

use crate::pause::observation::{RtcReading, SuspendedTime};

pub(in crate::pause) fn suspended_time() -> Option<SuspendedTime> {
    None
}

pub(in crate::pause) fn open_run_queue() -> Option<File> {
    None
}

pub(in crate::pause) fn queued(_: &File) -> Option<Duration> {
    None
}

pub(super) fn switches() -> Option<u64> {
    None
}

pub(super) fn open_rtc() -> Option<File> {
    None
}

pub(super) fn read_rtc(_: &File) -> Option<RtcReading> {
    None
}
