//! The directory of a file, opened so that it can be synced.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens the directory for `sync_all`. Unix syncs a directory that is open for reading.
#[cfg(not(windows))]
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Windows opens a directory only with this flag, and syncs only what may be written.
#[cfg(windows)]
pub(super) fn open(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt as _;

    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    File::options().write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}
