//! [`Record`]: one number in a store, which no crash takes backwards.
//!
//! A clock's high-water mark and a fencing token are numbers that only grow. A record keeps
//! one of them in a [`Store`], which replaces its content whole. The content has 32 bytes,
//! big-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | [`MAGIC`], which includes the version of this layout |
//! | 8..16 | the [`Kind`], so that a fencing token is not read as a time |
//! | 16..24 | the number |
//! | 24..32 | CRC-64/XZ of the 24 bytes before it |
//!
//! After an error the store holds the old number or the new one. So the number in memory
//! stays the old one, and the record remembers that the store is uncertain: until a write
//! has succeeded, no number counts as stored without a write, not even the same one.

use std::fmt;
use std::path::Path;

use crate::store::{FileStore, Store, StoreError};

/// "truechimer record", first layout.
const MAGIC: [u8; 8] = *b"tchimer1";

/// The length of a whole record in bytes.
const LENGTH: usize = 32;

/// The meaning of a record's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind(pub(crate) [u8; 8]);

/// Why a record cannot be used.
///
/// `place` is the [name](Store::place) of the store that it is in, for a file its path.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The content was not written by this crate.
    #[error("{place} is not a truechimer record ({found}), and was not changed: use another path")]
    Foreign {
        /// The store.
        place: String,
        /// What was found instead.
        found: &'static str,
    },
    /// It is a record, but of another kind of number.
    #[error(
        "{place} holds a record of kind {found:?}, not {expected:?}: use another path for each kind"
    )]
    OtherKind {
        /// The store.
        place: String,
        /// The kind in the store.
        found: String,
        /// The kind that the caller expects.
        expected: String,
    },
    /// The content is too short.
    #[error(
        "{place} is truncated to {length} of {LENGTH} bytes, so its number is lost: check the disk, \
         and remove it only when nothing that was issued under it can still be in use"
    )]
    Truncated {
        /// The store.
        place: String,
        /// How many bytes it has.
        length: u64,
    },
    /// The checksum does not match.
    #[error(
        "{place} is torn, because its checksum does not match, so its number is lost: check the \
         disk, and remove it only when nothing that was issued under it can still be in use"
    )]
    Torn {
        /// The store.
        place: String,
    },
    /// The new number is smaller than the stored one.
    #[error("{place} holds {stands}, and is never lowered, so {asked} was not written")]
    Backwards {
        /// The store.
        place: String,
        /// The stored number.
        stands: u64,
        /// The smaller number.
        asked: u64,
    },
    /// The store failed, is in use, or is not there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RecordError {
    /// Whether the same call can succeed later without anybody changing the program or the store.
    pub fn is_transient(&self) -> bool {
        matches!(self, RecordError::Store(error) if error.is_transient())
    }
}

/// One number in a store, and the exclusive right to change it.
pub(crate) struct Record {
    store: Box<dyn Store>,
    place: String,
    kind: Kind,
    value: u64,
    /// Whether the store holds `value`, and nothing else, and no crash changes that. It is not
    /// certain after a failed write, nor in a file that nobody has synced.
    is_certain: bool,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { store: _, place, kind, value, is_certain } = self;
        f.debug_struct("Record")
            .field("place", place)
            .field("kind", kind)
            .field("value", value)
            .field("is_certain", is_certain)
            .finish_non_exhaustive()
    }
}

impl Record {
    /// A new record in a file that does not exist yet. It holds `first`.
    pub(crate) fn create_new(path: &Path, kind: Kind, first: u64) -> Result<Record, RecordError> {
        Record::create_new_in(FileStore::create_new(path)?, kind, first)
    }

    /// The record in a file that exists.
    pub(crate) fn open_existing(path: &Path, kind: Kind) -> Result<Record, RecordError> {
        Record::open_existing_in(FileStore::open_existing(path)?, kind)
    }

    /// A new record in an empty store. It holds `first`, and when this returns, it is stored.
    pub(crate) fn create_new_in(
        mut store: impl Store + 'static,
        kind: Kind,
        first: u64,
    ) -> Result<Record, RecordError> {
        let place = store.place();
        if store.load()?.is_some() {
            return Err(StoreError::Exists { place }.into());
        }
        let store = Box::new(store);
        let mut record = Record { store, place, kind, value: first, is_certain: false };
        record.replace(first)?;
        Ok(record)
    }

    /// The record in a store that holds one. When this returns, its [`value`](Self::value)
    /// survives a crash.
    pub(crate) fn open_existing_in(
        mut store: impl Store + 'static,
        kind: Kind,
    ) -> Result<Record, RecordError> {
        let place = store.place();
        let Some(content) = store.load()? else {
            return Err(StoreError::Missing { place }.into());
        };
        let value = decode(&content, kind, &place)?;
        Ok(Record { store: Box::new(store), place, kind, value, is_certain: true })
    }

    /// As [`open_existing_in`](Self::open_existing_in), but without a sync if the number is
    /// `synced`, which the caller knows to survive a crash. Of any other it is not known yet:
    /// only [`advance`](Self::advance) makes it certain.
    pub(crate) fn open_shared(
        mut store: FileStore,
        kind: Kind,
        synced: Option<u64>,
    ) -> Result<Record, RecordError> {
        let place = store.place();
        let Some(content) = store.read()? else {
            return Err(StoreError::Missing { place }.into());
        };
        let value = decode(&content, kind, &place)?;
        let is_certain = synced == Some(value);
        Ok(Record { store: Box::new(store), place, kind, value, is_certain })
    }

    /// The number that is stored.
    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    /// The store's name.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Raises the number. After an error the store holds the old number or the new one, and
    /// nothing else. The call may then be repeated.
    pub(crate) fn advance(&mut self, to: u64) -> Result<(), RecordError> {
        if to < self.value {
            let place = self.place.clone();
            return Err(RecordError::Backwards { place, stands: self.value, asked: to });
        }
        if to == self.value && self.is_certain { Ok(()) } else { self.replace(to) }
    }

    /// Sets the number, also to a smaller one. An operator decides that this is safe.
    pub(crate) fn reset(&mut self, to: u64) -> Result<(), RecordError> {
        self.replace(to)
    }

    fn replace(&mut self, to: u64) -> Result<(), RecordError> {
        self.is_certain = false;
        self.store.persist(&encode(self.kind, to))?;
        self.value = to;
        self.is_certain = true;
        Ok(())
    }
}

pub(crate) fn encode(kind: Kind, value: u64) -> Vec<u8> {
    seal(kind, &value.to_be_bytes())
}

/// The number in `bytes`, which are the whole content of the store at `place`.
pub(crate) fn decode(bytes: &[u8], kind: Kind, place: &str) -> Result<u64, RecordError> {
    check_beginning(bytes, place)?;
    let (place, length) = (|| place.to_owned(), bytes.len() as u64);
    if bytes.len() < LENGTH {
        return Err(RecordError::Truncated { place: place(), length });
    }
    if bytes.len() > LENGTH {
        return Err(RecordError::Foreign { place: place(), found: "it is longer than a record" });
    }
    let body = unseal(kind, bytes, &place())?;
    match body.try_into() {
        Ok(number) => Ok(u64::from_be_bytes(number)),
        Err(_) => Err(RecordError::Truncated { place: place(), length }),
    }
}

/// The content of a store: [`MAGIC`], the kind, the body, and CRC-64/XZ of all that.
pub(crate) fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut content = [&MAGIC[..], &kind.0, body].concat();
    let sum = crc64(&content);
    content.extend_from_slice(&sum.to_be_bytes());
    content
}

/// The body of a sealed content of this kind, which was found at `place`.
pub(crate) fn unseal<'c>(
    kind: Kind,
    content: &'c [u8],
    place: &str,
) -> Result<&'c [u8], RecordError> {
    check_beginning(content, place)?;
    let place = || place.to_owned();
    let head = MAGIC.len() + kind.0.len();
    let Some((sealed, sum)) = content.split_last_chunk::<8>().filter(|(all, _)| all.len() >= head)
    else {
        return Err(RecordError::Torn { place: place() });
    };
    if crc64(sealed) != u64::from_be_bytes(*sum) {
        return Err(RecordError::Torn { place: place() });
    }
    let (head, body) = sealed.split_at(head);
    if head[MAGIC.len()..] != kind.0 {
        let name = |kind: &[u8]| String::from_utf8_lossy(kind).into_owned();
        let (found, expected) = (name(&head[MAGIC.len()..]), name(&kind.0));
        return Err(RecordError::OtherKind { place: place(), found, expected });
    }
    Ok(body)
}

/// Whether this crate may have written a content that begins so.
fn check_beginning(content: &[u8], place: &str) -> Result<(), RecordError> {
    // File systems show zeros for a file whose data never reached the disk.
    if !content.is_empty() && content.iter().all(|&byte| byte == 0) {
        return Err(RecordError::Torn { place: place.to_owned() });
    }
    // A short content is compared only as far as it goes, so even an empty one counts as cut off.
    // It may have been a whole one, and then removing it without care would be wrong.
    if content.iter().zip(MAGIC).any(|(&found, magic)| found != magic) {
        let found = "its first bytes are those of something else";
        return Err(RecordError::Foreign { place: place.to_owned(), found });
    }
    Ok(())
}

/// CRC-64/XZ (ECMA-182, reflected). By a table, because a fence with keys has megabytes.
fn crc64(bytes: &[u8]) -> u64 {
    !bytes.iter().fold(!0, |sum, &byte| (sum >> 8) ^ CRC_TABLE[usize::from(sum as u8 ^ byte)])
}

/// The checksum of each byte.
const CRC_TABLE: [u64; 256] = {
    const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    const KIND: Kind = Kind(*b"testmark");

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mark");
        (directory, path)
    }

    fn create(path: &Path) -> Record {
        Record::create_new(path, KIND, 7).expect("new")
    }

    fn open(path: &Path) -> Result<Record, RecordError> {
        Record::open_existing(path, KIND)
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc64(b"123456789"), 0x995D_C9BB_DF19_39FA);
    }

    #[test]
    fn an_advanced_number_is_read_back_after_reopening() {
        let (_directory, path) = place();
        assert_eq!(create(&path).value(), 7);
        let mut record = open(&path).expect("there");
        assert_eq!(record.place(), path.display().to_string());
        record.advance(9).expect("forward");
        record.advance(9).expect("no change");
        drop(record);
        let mut record = open(&path).expect("there");
        assert_eq!(record.value(), 9);
        record.reset(3).expect("asked for");
        drop(record);
        assert_eq!(open(&path).expect("there").value(), 3);
    }

    /// Of the machine's own disk nothing is lost here, but a sync that fails shows itself.
    #[test]
    fn after_a_failed_write_the_same_number_is_written_again() {
        use crate::store::model::ModelDisk;
        let disk = ModelDisk::new(1);
        let store = disk.create_new("/place/mark").expect("new");
        let mut record = Record::create_new_in(store, KIND, 7).expect("new");
        disk.make_read_only();
        record.advance(7).expect("stored before");
        record.advance(9).expect_err("read-only");
        assert_eq!(record.value(), 7);
        record.advance(7).expect_err("nobody knows what is stored");
        disk.mend();
        record.advance(7).expect("written");
        disk.make_read_only();
        record.advance(7).expect("stored before");
    }

    #[test]
    fn no_crash_takes_a_record_back() {
        use crate::store::crashes::Crashes;
        const PATH: &str = "/place/state";
        let campaign = Crashes {
            create: |disk| {
                let store = disk.create_new(PATH).map_err(|e| e.to_string())?;
                Record::create_new_in(store, KIND, 0).map_err(|e| e.to_string())
            },
            open: |disk| {
                let store = disk.open_existing(PATH).map_err(|e| e.to_string())?;
                Record::open_existing_in(store, KIND).map_err(|e| e.to_string())
            },
            held: |record| {
                record.advance(record.value()).map_err(|e| e.to_string())?;
                Ok(record.value())
            },
            promise: |record, number| record.advance(number).map_err(|e| e.to_string()),
        };
        let happened = campaign.run(10_000).expect("nothing is lost");
        assert!(happened.promises > 5_000 && happened.refused > 1_000, "{happened:?}");
    }

    #[test]
    fn it_never_goes_back() {
        let (_directory, path) = place();
        let mut record = create(&path);
        let error = record.advance(6).expect_err("back");
        assert!(matches!(error, RecordError::Backwards { stands: 7, asked: 6, .. }), "{error}");
        assert_eq!(record.value(), 7);
    }

    #[test]
    fn a_record_has_one_owner_at_a_time_under_any_name() {
        let (directory, path) = place();
        let record = create(&path);
        let link = directory.path().join("link");
        symlink(&path, &link).expect("a link");
        for name in [&path, &link] {
            let error = open(name).expect_err("held");
            assert!(
                matches!(error, RecordError::Store(StoreError::Locked { .. }))
                    && error.is_transient()
            );
            assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        }
        drop(record);
        open(&link).expect("free again");
    }

    #[test]
    fn a_file_that_is_not_a_whole_record_is_refused_and_left_unchanged() {
        let good = encode(KIND, 42);
        let changed = |at: usize| {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        let cases: &[(Vec<u8>, &str)] = &[
            (vec![], "truncated"),
            (good[..5].to_vec(), "truncated"),
            (good[..31].to_vec(), "truncated"),
            (vec![0; 32], "torn"),
            (b"hello".to_vec(), "not a truechimer record"),
            ([&good[..], b"x"].concat(), "longer than a record"),
            (changed(3), "not a truechimer record"),
            (changed(12), "torn"),
            (changed(20), "torn"),
            (changed(31), "torn"),
            (encode(Kind(*b"fence tk"), 42).to_vec(), "\"fence tk\", not \"testmark\""),
        ];
        for (bytes, expected) in cases {
            let (_directory, path) = place();
            fs::write(&path, bytes).expect("written");
            let error = open(&path).expect_err(expected);
            assert!(error.to_string().contains(expected), "{bytes:?}: {error}");
            assert!(!error.is_transient(), "{error}");
            assert_eq!(&fs::read(&path).expect("still there"), bytes);
        }
    }

    #[test]
    fn a_read_only_file_is_refused_for_the_superuser_too() {
        let (_directory, path) = place();
        drop(create(&path));
        fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("set");
        let error = open(&path).expect_err("read-only");
        assert!(matches!(error, RecordError::Store(StoreError::ReadOnly { .. })), "{error}");
    }

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let (directory, path) = place();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for path in [path.as_path(), directory.path()] {
            let error = open(path).expect_err("not a file");
            assert!(matches!(error, RecordError::Store(StoreError::NotAFile { .. })), "{error}");
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = open(Path::new("/no such place/mark")).expect_err("nowhere");
        assert!(error.to_string().contains("/no such place/mark"), "{error}");
        open(Path::new("/")).expect_err("no name");
    }

    #[test]
    fn a_half_written_file_from_a_crash_is_not_read() {
        let (directory, path) = place();
        let mut record = create(&path);
        let elsewhere = directory.path().join("elsewhere");
        let scratch = path.with_extension("new");
        symlink(&elsewhere, &scratch).expect("a trap");
        record.advance(8).expect("over it");
        assert!(!elsewhere.exists(), "written through the link");
        fs::write(&scratch, b"half").expect("written");
        drop(record);
        assert_eq!(open(&path).expect("there").value(), 8);
    }

    #[test]
    fn a_replacement_keeps_the_files_permissions() {
        let (_directory, path) = place();
        drop(create(&path));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("set");
        open(&path).expect("there").advance(8).expect("forward");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
