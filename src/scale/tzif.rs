//! Reading the leap seconds of a TZif file of the `right/` kind.
//!
//! Such a file counts seconds including leap seconds, so it has a record for
//! each leap second. The record contains the count at which it begins and the number of leap
//! seconds so far. The count is TAI minus 10 s. A version 4 file may end with a record that
//! changes nothing, and the count of that record is the table's expiry.
//!
//! Read: RFC 9636, sections 3.1 and 3.2 (RFC 8536 before it).

use super::leap_table::LeapTable;
use super::table_error::LeapTableError;

/// Real `right/UTC` files are smaller than 1 kB, and zones with rules have a few kB.
const MOST_BYTES: usize = 256 * 1024;
const HEADER: usize = 44;
/// TAI − UTC when the count of leap seconds began.
const FIRST_OFFSET: i32 = 10;

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
    /// `right/`, is [`LeapTableError::Empty`].
    pub fn from_tzif(file: &[u8]) -> Result<LeapTable, LeapTableError> {
        if file.len() > MOST_BYTES {
            let (bytes, limit) = (file.len() as u64, MOST_BYTES as u64);
            return Err(LeapTableError::TooLarge { bytes, limit });
        }
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
            return Err(LeapTableError::Empty);
        }
        let (from, size) = (counts.leaps_at(width), width + 4);
        let records = block
            .get(from..from + counts.leap * size)
            .ok_or(damaged("it ends within its leap seconds"))?;
        let lines = records.chunks_exact(size).map(|record| {
            let (count, correction) = record.split_at(width);
            (signed(count), signed(correction) as i32)
        });
        from_corrections(lines)
    }
}

/// A table from records: the count at which a leap second begins, and how many there are by then.
fn from_corrections(
    records: impl Iterator<Item = (i64, i32)>,
) -> Result<LeapTable, LeapTableError> {
    let mut entries = vec![(0, (63_072_000, FIRST_OFFSET))];
    let (mut before, mut expires) = (0i32, None);
    for (i, (count, correction)) in records.enumerate() {
        if expires.is_some() {
            return Err(damaged("its expiry is not its last record"));
        }
        // An inserted second is not yet in the count at its beginning. A skipped one is already
        // subtracted from it.
        let unix = count.checked_sub(i64::from(correction.min(before)));
        let unix = unix.ok_or(damaged("a count is out of range"))?;
        if correction == before && i > 0 {
            expires = Some(unix);
            continue;
        }
        let offset = correction.checked_add(FIRST_OFFSET);
        entries.push((i + 1, (unix, offset.ok_or(damaged("a correction is out of range"))?)));
        before = correction;
    }
    LeapTable::from_lines(entries, expires)
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

    /// Where the leap seconds begin, in a block whose times have `width` bytes.
    fn leaps_at(&self, width: usize) -> usize {
        HEADER + self.time * (width + 1) + self.types * 6 + self.chars
    }
}
