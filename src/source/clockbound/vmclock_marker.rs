//! The marker of the host's VMClock, which changes when the machine is moved or restored.
//!
//! ClockBound writes the marker under which its statement holds. The device answers `read()` with
//! a copy of its page that the kernel has checked to be consistent, so nothing is mapped here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub(super) const PATH: &str = "/dev/vmclock0";

/// "VCLK", in the byte order of the device.
const MAGIC: u32 = 0x4b4c_4356;
const MARKER_AT: usize = 16;

/// The marker that the device at `path` shows now.
pub(super) fn disruption_marker(path: &Path) -> io::Result<u64> {
    let mut bytes = [0; MARKER_AT + 8];
    File::open(path)?.read_exact(&mut bytes)?;
    let (magic, _) = bytes.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    if u32::from_le_bytes(*magic) != MAGIC {
        return Err(io::Error::other("it is no VMClock"));
    }
    let marker = bytes[MARKER_AT..].first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(u64::from_le_bytes(*marker))
}
