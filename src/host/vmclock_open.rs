//! Opening a VMClock, where one can be: on 64-bit Linux.
//!
//! What is opened may be anything that an operator has named. So it is not waited for, it has to
//! be a device, and its header is checked before and after it is mapped.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::{VmClockError, VmClockPage};

/// "VCLK", little endian.
pub(super) const MAGIC: u32 = 0x4b4c_4356;

/// The only version there is.
const VERSION: u16 = 1;

/// How long a page must be to have the disruption marker.
const SIZE_WITH_MARKER: u32 = 24;

impl VmClockPage {
    /// Maps the VMClock at `path`, and checks that it is one.
    ///
    /// # Errors
    ///
    /// If there is none, it may not be read, or its format is not known.
    pub(crate) fn open(path: &Path) -> Result<VmClockPage, VmClockError> {
        let failed = |error| open_error(error, path);
        // Without waiting: the path may name a pipe, which nobody writes.
        let mut options = File::options();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
        // Reading a page of a file that somebody has shortened kills the process (SIGBUS).
        if !file.metadata().map_err(failed)?.file_type().is_char_device() {
            return Err(VmClockError::NotADevice(path.to_owned()));
        }
        VmClockPage::map_checked(&file, path)
    }

    /// Maps `file`, and checks what it shows.
    pub(super) fn map_checked(mut file: &File, path: &Path) -> Result<VmClockPage, VmClockError> {
        let io = |error| VmClockError::Io { path: path.to_owned(), error };
        let wrong = |what| VmClockError::Format { path: path.to_owned(), what };
        // The driver gives a copy that belongs together, or ETIMEDOUT after 100 ms. The header
        // never changes, so the mapping may be trusted for it then.
        let mut copy = [0; SIZE_WITH_MARKER as usize];
        match file.read(&mut copy) {
            Ok(length) => check_header(&copy[..length]).map_err(wrong)?,
            Err(error) if error.raw_os_error() == Some(libc::ETIMEDOUT) => {}
            Err(error) => return Err(io(error)),
        }
        let page = VmClockPage::map(file).map_err(io)?;
        let header: Vec<u8> = page.load()[..3].iter().flat_map(|word| word.to_le_bytes()).collect();
        check_header(&header).map_err(wrong)?;
        Ok(page)
    }
}

/// Why `path` cannot be opened.
pub(super) fn open_error(error: io::Error, path: &Path) -> VmClockError {
    match error.kind() {
        io::ErrorKind::NotFound => VmClockError::Absent(path.to_owned()),
        io::ErrorKind::PermissionDenied => VmClockError::Denied(path.to_owned()),
        _ => VmClockError::Io { path: path.to_owned(), error },
    }
}

/// Checks the fields that never change: magic, size and version.
///
/// # Errors
///
/// What is wrong, in words.
pub(super) fn check_header(bytes: &[u8]) -> Result<(), String> {
    let Some((head, _)) = bytes.split_first_chunk::<{ SIZE_WITH_MARKER as usize }>() else {
        return Err(format!("it has {} bytes only", bytes.len()));
    };
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let version = u16::from_le_bytes([head[8], head[9]]);
    let (magic, size) = (u32_at(0), u32_at(4));
    if magic != MAGIC {
        return Err(format!("its magic number is {magic:#010x}, not {MAGIC:#010x}"));
    }
    if version != VERSION {
        return Err(format!("its version is {version}, and {VERSION} is known"));
    }
    if size < SIZE_WITH_MARKER {
        return Err(format!("its size is {size} bytes, too small for a disruption marker"));
    }
    Ok(())
}
