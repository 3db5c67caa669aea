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

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::timestamp::NANOS_PER_SECOND;

/// The length of a segment of version 3.
const LENGTH: usize = 104;
const MAGIC: [u32; 2] = [0x414D_5A4E, 0x4342_0200];
const VERSION: u16 = 0x0303;
const SYNCHRONIZED: i32 = 1;
const FREE_RUNNING: i32 = 2;
/// How old a segment may be.
const FRESH_NS: i64 = 300 * NANOS_PER_SECOND;
/// By how much its moment may lie ahead, because the clock may have been slewed since.
const AHEAD_NS: i64 = NANOS_PER_SECOND;

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
    /// Where ClockBound 3 writes.
    pub(crate) const PATH: &str = "/var/run/clockbound/shm1";

    /// Reads the segment at `path`, while the wall clock shows `unix_ns`.
    pub(crate) fn read(path: &Path, unix_ns: i64) -> SegmentState {
        let Ok(mut file) = File::open(path) else { return SegmentState::Missing };
        if let Err(why) = belongs_to_root(&file) {
            return SegmentState::Useless(why);
        }
        let mut bytes = [0; LENGTH];
        match file.read_exact(&mut bytes) {
            Ok(()) => SegmentState::of(&bytes, unix_ns),
            Err(error) => SegmentState::Useless(format!("its segment cannot be read: {error}")),
        }
    }

    /// What these bytes show, while the wall clock shows `unix_ns`.
    fn of(bytes: &[u8; LENGTH], unix_ns: i64) -> SegmentState {
        match as_of_ns(bytes) {
            Err(why) => SegmentState::Useless(why),
            Ok(at) if !(-AHEAD_NS..=FRESH_NS).contains(&unix_ns.saturating_sub(at)) => {
                let age = unix_ns.saturating_sub(at) / NANOS_PER_SECOND;
                SegmentState::Useless(format!("its segment is {age} s old"))
            }
            Ok(_) => SegmentState::Fresh,
        }
    }
}

/// The moment for which a synchronised segment was written, in ns of Unix time.
fn as_of_ns(bytes: &[u8; LENGTH]) -> Result<i64, String> {
    let u16_at = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let four = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let i64_at = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        i64::from_ne_bytes(eight)
    };
    let magic = [u32::from_ne_bytes(four(0)), u32::from_ne_bytes(four(4))];
    if magic != MAGIC {
        return Err("its segment does not begin as ClockBound's do".to_owned());
    }
    let (version, generation) = (u16_at(12), u16_at(14));
    if version != VERSION {
        return Err(format!("its segment has version {version:#06x}, and not {VERSION:#06x}"));
    }
    // Odd while it is written, which takes less than a microsecond: the next look decides.
    if generation == 0 || generation % 2 == 1 {
        return Err("its segment is being written, or never was".to_owned());
    }
    let status = i32::from_ne_bytes(four(92));
    if status != SYNCHRONIZED && status != FREE_RUNNING {
        return Err(format!("its status is {status}, which is not synchronised"));
    }
    let (seconds, nanos) = (i64_at(24), i64_at(32));
    if !(0..NANOS_PER_SECOND).contains(&nanos) {
        return Err("its segment is damaged".to_owned());
    }
    Ok(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
}

#[cfg(unix)]
fn belongs_to_root(file: &File) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    match file.metadata() {
        Ok(metadata) if metadata.uid() == 0 => Ok(()),
        Ok(metadata) => Err(format!("its segment belongs to user {}", metadata.uid())),
        Err(error) => Err(format!("its segment cannot be read: {error}")),
    }
}

#[cfg(not(unix))]
fn belongs_to_root(_file: &File) -> Result<(), String> {
    Err("ClockBound does not run on this system".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_764_000_000;

    fn segment(status: i32, as_of_s: i64) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..4].copy_from_slice(&MAGIC[0].to_ne_bytes());
        bytes[4..8].copy_from_slice(&MAGIC[1].to_ne_bytes());
        bytes[12..14].copy_from_slice(&VERSION.to_ne_bytes());
        bytes[14..16].copy_from_slice(&4u16.to_ne_bytes());
        bytes[24..32].copy_from_slice(&as_of_s.to_ne_bytes());
        bytes[92..96].copy_from_slice(&status.to_ne_bytes());
        bytes
    }

    fn is_fresh(bytes: &[u8; LENGTH]) -> bool {
        SegmentState::of(bytes, NOW_S * NANOS_PER_SECOND) == SegmentState::Fresh
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
    }

    #[test]
    fn where_there_is_no_segment_none_is_read() {
        let nowhere = Path::new("/nonexistent/shm1");
        assert_eq!(SegmentState::read(nowhere, 0), SegmentState::Missing);
    }
}
