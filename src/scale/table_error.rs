//! [`LeapTableError`]: why a table is not to be believed, and the checks that say so.

use std::io;
use std::path::PathBuf;

use super::civil::DAY;
use super::step::Step;
use crate::timestamp::NANOS_PER_SECOND;

/// What helps against a damaged table.
const AGAIN: &str = "fetch the list again (<https://data.iana.org/time-zones/data/leap-seconds.list>) \
                     or update tzdata";

/// Why a leap table is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeapTableError {
    /// No line of data.
    #[error(
        "the table has no entries: it is empty, or cut off before its first data line; {}",
        AGAIN
    )]
    Empty,
    /// Larger than any real one by far.
    #[error(
        "the table is {bytes} bytes long, more than the limit of {limit}: this is not a \
         leap table; give the path of a leap-seconds.list or of a TZif file with leap seconds"
    )]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// More entries than can be.
    #[error("line {line}: the table has more than {limit} entries, and 28 were known in 2026")]
    TooMany {
        /// Where the first one too many is.
        line: usize,
        /// The limit.
        limit: usize,
    },
    /// A line that is not what the format wants.
    #[error("line {line}: expected {expected}; if this is a leap-seconds.list, {}", AGAIN)]
    Malformed {
        /// Where.
        line: usize,
        /// What the format wants.
        expected: &'static str,
    },
    /// It does not begin where UTC does.
    #[error(
        "line {line}: the first entry must be 1972-01-01 (NTP 2272060800) with 10 s, where UTC \
         as it is begins: the beginning of the table is missing; {}",
        AGAIN
    )]
    BadStart {
        /// Where.
        line: usize,
    },
    /// Not later than the line before.
    #[error(
        "line {line}: the entry is not later than the one before it: the table is out of order; {}",
        AGAIN
    )]
    OutOfOrder {
        /// Where.
        line: usize,
    },
    /// A leap second elsewhere than at the end of a UTC day.
    #[error("line {line}: the entry is not at midnight UTC, where leap seconds are")]
    NotMidnight {
        /// Where.
        line: usize,
    },
    /// The offset changes by other than one second.
    #[error(
        "line {line}: TAI − UTC goes from {from} to {to} s, and must change by exactly one: a line is missing \
         or wrong; {}",
        AGAIN
    )]
    BadStep {
        /// Where.
        line: usize,
        /// Before, in seconds.
        from: i32,
        /// After, in seconds.
        to: i32,
    },
    /// More skipped seconds than inserted ones and the ten that UTC began with.
    #[error(
        "line {line}: TAI − UTC falls to {offset} s, and UTC has never been ahead of TAI: the table is wrong"
    )]
    NegativeOffset {
        /// Where.
        line: usize,
        /// What it falls to, in seconds.
        offset: i32,
    },
    /// Beyond what 64 bits of nanoseconds hold.
    #[error("line {line}: the time is after 2262-04-11, beyond what 64 bits of nanoseconds hold")]
    OutOfRange {
        /// Where.
        line: usize,
    },
    /// A published list without its last line.
    #[error("the list has a `#$` line and no `#h` line: it is cut off before its hash; {}", AGAIN)]
    HashMissing,
    /// The hash is another.
    #[error(
        "the list's hash is {computed}, and its `#h` line says {stated}: the contents were \
         changed or damaged; {}",
        AGAIN
    )]
    HashMismatch {
        /// What the list says.
        stated: String,
        /// What it has.
        computed: String,
    },
    /// A TZif file that ends too early, or is none.
    #[error(
        "the TZif file is damaged: {what}; update or reinstall tzdata, or use the built-in table"
    )]
    TzIf {
        /// What is wrong with it.
        what: &'static str,
    },
    /// No file was found.
    #[error(
        "no leap table was found in {}: install tzdata (Debian: also tzdata-legacy), set TZDIR, \
         or use the built-in table", display_all(.searched)
    )]
    NotFound {
        /// The folders that were searched.
        searched: Vec<PathBuf>,
    },
    /// What was to be read is no regular file, and reading it might never end.
    #[error(
        "it is {found}, not a regular file: give the path of a leap-seconds.list or of a TZif \
         file with leap seconds"
    )]
    NotAFile {
        /// What it is instead.
        found: &'static str,
    },
    /// A file could not be read.
    #[error(
        "{}: {error}; give the path of a table that this process may read, update tzdata, or use \
         the built-in table",
        .path.display()
    )]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file was read and refused.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: Box<LeapTableError>,
    },
}

fn display_all(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Real tables have 28 entries after half a century; the limit fits a `u8`.
const MOST_ENTRIES: usize = 255;

/// Where UTC with whole seconds begins, and the offset there.
const START: (i64, i32) = (63_072_000, 10);

impl LeapTableError {
    /// Whether trying again can help: only where a file could not be read.
    pub fn is_transient(&self) -> bool {
        matches!(self, LeapTableError::Io { .. } | LeapTableError::NotFound { .. })
    }

    /// The steps that (line, (Unix seconds, offset)) make, if they are those of a leap table.
    pub(super) fn check_lines(
        lines: impl IntoIterator<Item = (usize, (i64, i32))>,
    ) -> Result<Vec<Step>, LeapTableError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut before: Option<(i64, i32)> = None;
        for (line, (unix, offset)) in lines {
            // A day's margin, so that no sum with an offset overflows.
            if unix.abs() > i64::MAX / NANOS_PER_SECOND - DAY {
                return Err(LeapTableError::OutOfRange { line });
            }
            if steps.len() == MOST_ENTRIES {
                return Err(LeapTableError::TooMany { line, limit: MOST_ENTRIES });
            }
            match before {
                None if (unix, offset) != START => return Err(LeapTableError::BadStart { line }),
                Some((earlier, _)) if unix <= earlier => {
                    return Err(LeapTableError::OutOfOrder { line });
                }
                _ if unix % DAY != 0 => return Err(LeapTableError::NotMidnight { line }),
                Some((_, from)) if from.abs_diff(offset) != 1 => {
                    return Err(LeapTableError::BadStep { line, from, to: offset });
                }
                // So no difference with an offset can pass the upper end of the range.
                _ if offset < 0 => return Err(LeapTableError::NegativeOffset { line, offset }),
                _ => {}
            }
            steps.push(Step::new(unix, before.map(|(_, offset)| offset), offset));
            before = Some((unix, offset));
        }
        if steps.is_empty() { Err(LeapTableError::Empty) } else { Ok(steps) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_cannot_be_read_says_what_to_do() {
        let hash = || "0".repeat(40);
        let errors = [
            LeapTableError::Empty,
            LeapTableError::Malformed { line: 1, expected: "a number" },
            LeapTableError::BadStart { line: 1 },
            LeapTableError::OutOfOrder { line: 2 },
            LeapTableError::BadStep { line: 2, from: 10, to: 12 },
            LeapTableError::HashMissing,
            LeapTableError::HashMismatch { stated: hash(), computed: hash() },
            LeapTableError::TzIf { what: "it ends within its header" },
            LeapTableError::Io { path: "/x".into(), error: io::ErrorKind::NotFound.into() },
            LeapTableError::NotFound { searched: Vec::new() },
        ];
        for error in errors {
            let words = error.to_string();
            assert!(words.contains("tzdata"), "{words}");
        }
    }
}
