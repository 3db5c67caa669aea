//! ClockBound's shared memory, as evidence that its daemon disciplines the clock.
//!
//! ClockBound 3 is a time daemon: it polls servers, steers the clock and writes its bound as
//! `maxerror`. It replaces chronyd. Earlier versions ran beside chronyd and wrote a segment
//! only, so the segment of version 3 is what counts (`shm1`). Its numbers are not used here,
//! because the kernel has them. What it shows is *that* the writer is ClockBound:
//!
//! - The file is root's, in a directory that only root can write to.
//! - Its status is synchronised or free running, and its moment (`as_of`) is at most five
//!   minutes ago. The daemon writes each 2 s, and under jitter has been seen to pause for 136 s.
//!   A daemon that was killed leaves the status as it was, so only the moment shows its end.
//!
//! A program that replaced ClockBound within those minutes would be taken for it.

use std::path::Path;

use crate::source::clockbound::{
    self, AHEAD_NS, ClockBoundError, FRESH_NS, Segment, SegmentStatus,
};
use crate::timestamp::NANOS_PER_SECOND;

/// What the segment shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SegmentState {
    /// Another writer is known, so it was not looked at.
    NotAsked,
    /// There is none.
    Missing,
    /// There is one, and it shows no working daemon.
    Useless(String),
    /// ClockBound's daemon works.
    Fresh,
}

impl SegmentState {
    /// Reads the segment at `path`, while the wall clock shows `unix_ns`.
    pub(crate) fn read(path: &Path, unix_ns: i64) -> SegmentState {
        match clockbound::read_of(path, |owner| owner == 0) {
            Ok(segment) => SegmentState::of(&segment, unix_ns),
            Err(ClockBoundError::Open { .. }) => SegmentState::Missing,
            Err(ClockBoundError::Owner { owner, .. }) => {
                SegmentState::Useless(format!("its segment belongs to user {owner}"))
            }
            Err(ClockBoundError::Segment { source, .. }) => {
                SegmentState::Useless(source.to_string())
            }
        }
    }

    /// What this segment shows, while the wall clock shows `unix_ns`.
    fn of(segment: &Segment, unix_ns: i64) -> SegmentState {
        if segment.version < 3 {
            return SegmentState::Useless(
                "its segment is of a version that sets no clock".to_owned(),
            );
        }
        match segment.status {
            SegmentStatus::Synchronized | SegmentStatus::FreeRunning => {}
            status => return SegmentState::Useless(format!("its status is {status}")),
        }
        let age_ns = unix_ns.saturating_sub(segment.as_of_unix_ns);
        if !(-AHEAD_NS..=FRESH_NS).contains(&age_ns) {
            let age = age_ns / NANOS_PER_SECOND;
            return SegmentState::Useless(format!("its segment is {age} s old"));
        }
        SegmentState::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clockbound::segment::tests::segment_3;

    const NOW_S: i64 = 1_764_000_000;

    fn is_fresh(bytes: &[u8]) -> bool {
        let segment = Segment::parse(bytes);
        let now_ns = NOW_S * NANOS_PER_SECOND;
        segment.is_ok_and(|segment| SegmentState::of(&segment, now_ns) == SegmentState::Fresh)
    }

    fn segment(status: i32, as_of_s: i64) -> [u8; clockbound::segment::LENGTH] {
        segment_3(status, 1, as_of_s.saturating_mul(NANOS_PER_SECOND), 1_000)
    }

    #[test]
    fn only_a_synchronised_segment_of_the_last_minutes_shows_a_daemon() {
        for (status, age, fresh) in [
            (1, 0, true),
            (2, 136, true),
            (1, 300, true),
            (1, 301, false),
            (1, -1, true),
            (1, -2, false),
            (0, 0, false),
            (3, 0, false),
            (-1, 0, false),
        ] {
            assert_eq!(is_fresh(&segment(status, NOW_S - age)), fresh, "{status}, {age} s");
        }
    }

    #[test]
    fn a_segment_of_another_kind_or_in_the_middle_of_a_write_is_useless() {
        let good = segment(1, NOW_S);
        assert!(is_fresh(&good));
        // Magic, version, generation, and a moment that is none.
        for at in [0, 7, 12, 14, 39] {
            let mut bytes = good;
            bytes[at] ^= 0x41;
            assert!(!is_fresh(&bytes), "byte {at}");
        }
        let mut never = good;
        never[14..16].fill(0);
        assert!(!is_fresh(&never));
        let latest = segment(1, i64::MAX);
        assert!(!is_fresh(&latest), "arithmetic saturates");
        // Version 2 ran beside chronyd and set no clock.
        let mut older = good;
        older[12..14].copy_from_slice(&2u16.to_ne_bytes());
        older[16..32].copy_from_slice(&good[24..40]);
        older[40..48].fill(0);
        older[48..56].copy_from_slice(&1_000i64.to_ne_bytes());
        older[68..72].copy_from_slice(&1i32.to_ne_bytes());
        older[72] = 0;
        let segment = Segment::parse(&older).expect("a segment of version 2");
        let state = SegmentState::of(&segment, segment.as_of_unix_ns);
        assert!(matches!(state, SegmentState::Useless(why) if why.contains("sets no clock")));
    }

    #[test]
    fn where_there_is_no_segment_none_is_read() {
        let nowhere = Path::new("/nonexistent/shm1");
        assert_eq!(SegmentState::read(nowhere, 0), SegmentState::Missing);
    }
}
