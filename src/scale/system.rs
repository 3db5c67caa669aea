//! Finding the leap table that the host's tzdata package keeps up to date.

use std::fs::{self, FileType, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::leap_table::LeapTable;
use super::table_error::LeapTableError;

/// Where tzdata is installed, the most common folder first.
const FOLDERS: [&str; 4] =
    ["/usr/share/zoneinfo", "/etc/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo"];

/// More than the parsers accept, so that they can report a file that is too large.
const MOST_BYTES: u64 = 1 << 20;

impl LeapTable {
    /// The host's table: `leap-seconds.list`, or else the text `leapseconds`, or else
    /// `right/UTC`, from `$TZDIR` or from the usual folders of tzdata.
    ///
    /// The first file that exists is used. If it is damaged the result is an error, because the
    /// operator has to learn of the damage.
    ///
    /// # Errors
    ///
    /// [`LeapTableError::NotFound`] lists the folders that were searched.
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
            for name in ["leap-seconds.list", "leapseconds", "right/UTC"] {
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

    /// Reads a file of any kind that [`from_bytes`](Self::from_bytes) reads.
    ///
    /// # Errors
    ///
    /// [`LeapTableError::Io`] and [`LeapTableError::File`] name the file. Anything but a
    /// regular file is refused before it is opened, because opening a FIFO could block for ever.
    pub fn open(path: &Path) -> Result<LeapTable, LeapTableError> {
        let io = |error| LeapTableError::Io { path: path.to_owned(), error };
        let refused =
            |error| LeapTableError::File { path: path.to_owned(), error: Box::new(error) };
        let found = fs::metadata(path).map_err(io)?;
        if !found.is_file() {
            return Err(refused(LeapTableError::NotAFile { found: kind(found.file_type()) }));
        }
        if found.len() > MOST_BYTES {
            let (bytes, limit) = (found.len(), MOST_BYTES);
            return Err(refused(LeapTableError::TooLarge { bytes, limit }));
        }
        // Between the two calls the file may grow or be replaced by a FIFO.
        let file = without_blocking().open(path);
        let mut bytes = Vec::new();
        file.and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)).map_err(io)?;
        LeapTable::from_bytes(&bytes).map(|table| table.read_from(path)).map_err(refused)
    }
}

/// Options to read a file that do not wait for the other end of a FIFO.
fn without_blocking() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options
}

/// What exists in place of a regular file.
fn kind(found: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if found.is_fifo() {
            return "a FIFO or pipe";
        }
        if found.is_socket() {
            return "a socket";
        }
    }
    if found.is_dir() { "a directory" } else { "a device" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    fn refusal(path: &Path) -> String {
        LeapTable::open(path).expect_err("no table").to_string()
    }

    #[test]
    fn anything_but_a_regular_file_is_refused_without_blocking() {
        let folder = std::env::temp_dir().join(format!("truechimer-leaps-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary directory is ours");
        // `system()` looks for this name in `$TZDIR`.
        let fifo = folder.join("leap-seconds.list");
        mkfifo(&fifo, Mode::S_IRWXU).expect("the temporary directory is ours");
        let found = LeapTable::find_in(vec![folder.clone()]);
        let error = found.expect_err("nobody writes into it").to_string();
        let large = folder.join("large");
        let file = fs::File::create(&large).expect("the temporary directory is ours");
        file.set_len(1 << 40).expect("a hole takes no room");
        let too_large = refusal(&large);
        let directory = refusal(&folder);
        fs::remove_dir_all(&folder).expect("it is ours");
        assert!(error.contains("leap-seconds.list: it is a FIFO"), "{error}");
        assert!(too_large.contains("1099511627776 bytes"), "{too_large}");
        assert!(directory.contains("it is a directory"), "{directory}");
        assert!(refusal(Path::new("/dev/zero")).contains("it is a device"));
    }
}
