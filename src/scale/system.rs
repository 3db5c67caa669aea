//! Finding the leap table that the host's tzdata package keeps up to date.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::leap::LeapTable;
use super::table_error::LeapTableError;

/// Where tzdata is installed, in the order of how common it is.
const FOLDERS: [&str; 4] =
    ["/usr/share/zoneinfo", "/etc/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo"];

/// More than the readers accept, so that they can say it is too large.
const MOST_BYTES: u64 = 1 << 20;

impl LeapTable {
    /// The host's table: `leap-seconds.list`, else `right/UTC`, in `$TZDIR` or
    /// where tzdata is usually installed.
    ///
    /// The first file that exists decides: a damaged one is an error, not a
    /// reason to look for another, since somebody has to know of it.
    ///
    /// # Errors
    ///
    /// [`LeapTableError::NotFound`] with the folders that were searched;
    /// [`LeapTableError::Io`] and [`LeapTableError::File`] name the file.
    pub fn system() -> Result<LeapTable, LeapTableError> {
        let chosen = std::env::var_os("TZDIR").filter(|folder| !folder.is_empty());
        let folders: Vec<PathBuf> = match chosen {
            Some(folder) => vec![folder.into()],
            None => FOLDERS.map(PathBuf::from).into(),
        };
        LeapTable::find_in(folders)
    }

    pub(super) fn find_in(folders: Vec<PathBuf>) -> Result<LeapTable, LeapTableError> {
        for folder in &folders {
            for name in ["leap-seconds.list", "right/UTC"] {
                match LeapTable::open(&folder.join(name)) {
                    Err(LeapTableError::Io { error, .. })
                        if matches!(
                            error.kind(),
                            ErrorKind::NotFound | ErrorKind::NotADirectory
                        ) => {}
                    result => return result,
                }
            }
        }
        Err(LeapTableError::NotFound { searched: folders })
    }

    /// Reads a file of either kind: a leap-seconds.list, or TZif with leap seconds.
    ///
    /// # Errors
    ///
    /// [`LeapTableError::Io`] and [`LeapTableError::File`] name the file.
    pub fn open(path: &Path) -> Result<LeapTable, LeapTableError> {
        let read = || {
            let mut bytes = Vec::new();
            File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        };
        let bytes = read().map_err(|error| LeapTableError::Io { path: path.to_owned(), error })?;
        let table = match bytes.starts_with(b"TZif") {
            true => LeapTable::from_tzif(&bytes),
            false => LeapTable::from_list(&bytes),
        };
        match table {
            Ok(table) => Ok(table.read_from(path)),
            Err(error) => {
                Err(LeapTableError::File { path: path.to_owned(), error: Box::new(error) })
            }
        }
    }
}
