//! Reading the leap seconds of a TZif file of the `right/` kind.
//!
//! Such a file counts seconds including leap seconds, so it has a record for
//! each leap second. The record contains the count at which it begins and the number of leap
//! seconds so far. The count is TAI minus 10 s.
//!
//! The leap seconds are known until the file's expiry. A version 4 file ends with a record
//! that changes nothing, at the count of the expiry. Older versions of `zic` write a transition
//! that changes nothing instead, and newer ones a transition to the type `-00`, which means
//! "unknown".
//!
//! `zic -r` cuts a file: only the records of a range of time are in it. If the first ones are
//! missing, the first record counts more than one leap second. If the last ones are missing,
//! then the expiry is before leap seconds that the built-in table has. Both are refused,
//! because by such a table every later moment would be seconds off.
//!
//! Read: RFC 9636, sections 3.1 and 3.2 (RFC 8536 before it).

use super::builtin;
use super::file_kind::{FileKind, MOST_BYTES};
use super::leap_table::LeapTable;
use super::table_error::{LeapTableError, START};

const HEADER: usize = 44;

/// How many records of each kind follow a header.
struct Counts {
    version: u8,
    isut: usize,
    isstd: usize,
    leap: usize,
    time: usize,
    types: usize,
    chars: usize,
}

impl LeapTable {
    /// Reads a TZif file with leap seconds, such as `/usr/share/zoneinfo/right/UTC`.
    ///
    /// # Errors
    ///
    /// See [`LeapTableError`]. A file without leap seconds, such as those outside of
    /// `right/`, is [`LeapTableError::OtherFormat`], and one that was cut by `zic -r`
    /// [`LeapTableError::Partial`].
    pub fn from_tzif(file: &[u8]) -> Result<LeapTable, LeapTableError> {
        FileKind::TzIf.require(file)?;
        let counts = Counts::read(file)?;
        let (block, counts, width) = match counts.version {
            0 => (file, counts, 4),
            // Skip the first block, which is for old readers. The second has 64 bits.
            _ => {
                let second =
                    file.get(counts.leaps_at(4) + counts.leap * 8 + counts.isstd + counts.isut..);
                let second = second.ok_or(damaged("it ends within its first block"))?;
                (second, Counts::read(second)?, 8)
            }
        };
        if counts.leap == 0 {
            return Err(LeapTableError::OtherFormat {
                found: "a time zone without leap seconds",
                remedy: "give the path of a zone in tzdata's folder `right` (Debian: package \
                         tzdata-legacy), or of a leap-seconds.list",
            });
        }
        let (from, size) = (counts.leaps_at(width), width + 4);
        let records = block
            .get(from..from + counts.leap * size)
            .ok_or(damaged("it ends within its leap seconds"))?;
        let records = records.chunks_exact(size).map(|record| {
            let (count, correction) = record.split_at(width);
            (signed(count), signed(correction) as i32)
        });
        let known_until = counts.known_until(&block[..from], width);
        from_records(records, known_until)
    }
}

/// A table from records: the count at which a leap second begins, and how many there are by then.
/// `known_until` is the count at which the rest of the file ends, if it does.
fn from_records(
    records: impl Iterator<Item = (i64, i32)>,
    known_until: Option<i64>,
) -> Result<LeapTable, LeapTableError> {
    let mut entries = vec![(0, START)];
    let (mut before, mut last, mut expires) = (0i32, i64::MIN, None);
    for (i, (count, correction)) in records.enumerate() {
        if expires.is_some() {
            return Err(damaged("its expiry is not its last record"));
        }
        if i == 0 && correction.unsigned_abs() != 1 {
            return Err(LeapTableError::Partial { what: "before its first record" });
        }
        // An inserted second is not yet in the count at its beginning. A skipped one is already
        // subtracted from it.
        let unix = count.checked_sub(i64::from(correction.min(before)));
        let unix = unix.ok_or(damaged("a count is out of range"))?;
        if correction == before {
            expires = Some(unix);
            continue;
        }
        let offset = correction.checked_add(START.1);
        entries.push((i + 1, (unix, offset.ok_or(damaged("a correction is out of range"))?)));
        (before, last) = (correction, count);
    }
    // A transition before the last leap second is the beginning of a file that was cut.
    let end = known_until.filter(|&end| end > last).map(|end| end.saturating_sub(before.into()));
    let expires = expires.or(end);
    let table = LeapTable::from_lines(entries, expires)?;
    match expires {
        Some(expires) if expires < builtin::LAST => {
            Err(LeapTableError::Partial { what: "after its end" })
        }
        _ => Ok(table),
    }
}

fn damaged(what: &'static str) -> LeapTableError {
    LeapTableError::TzIf { what }
}

/// A big-endian number of 4 or 8 bytes.
fn signed(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |sum, &byte| sum << 8 | i64::from(byte))
}

impl Counts {
    fn read(block: &[u8]) -> Result<Counts, LeapTableError> {
        let header = block.get(..HEADER).ok_or(damaged("it ends within its header"))?;
        if &header[..4] != b"TZif" {
            return Err(damaged("it does not begin with `TZif`"));
        }
        // Each count is below the size limit of the file, so that their sums cannot overflow.
        let count = |i: usize| match signed(&header[20 + 4 * i..24 + 4 * i]) {
            count if (0..MOST_BYTES as i64).contains(&count) => Ok(count as usize),
            _ => Err(damaged("its header announces more than it can hold")),
        };
        Ok(Counts {
            version: header[4],
            isut: count(0)?,
            isstd: count(1)?,
            leap: count(2)?,
            time: count(3)?,
            types: count(4)?,
            chars: count(5)?,
        })
    }

    /// The count of the last transition, if it says that nothing is known from there on. `before`
    /// is the block as far as its leap seconds.
    fn known_until(&self, before: &[u8], width: usize) -> Option<i64> {
        let times = before.get(HEADER..HEADER + self.time * width)?;
        let types = before.get(HEADER + self.time * (width + 1)..)?;
        let last = signed(times.chunks_exact(width).last()?);
        if self.types == 1 {
            // There is no other type to change to.
            return Some(last);
        }
        let of_last = usize::from(*before.get(HEADER + self.time * (width + 1) - 1)?);
        let name = usize::from(*types.get(of_last * 6 + 5)?);
        types.get(self.types * 6 + name..)?.starts_with(b"-00\0").then_some(last)
    }

    /// Where the leap seconds begin, in a block whose times have `width` bytes.
    fn leaps_at(&self, width: usize) -> usize {
        HEADER + self.time * (width + 1) + self.types * 6 + self.chars
    }
}
