//! [`LeapTableError`]: why a leap table is refused, and the checks of its lines.

use std::io;
use std::path::PathBuf;

use super::civil::DAY;
use super::step::Step;
use crate::timestamp::NANOS_PER_SECOND;

/// The remedy for a damaged table.
const REMEDY: &str = FETCH;

/// How to get a good table.
pub(super) const FETCH: &str = "fetch the list again (<https://data.iana.org/time-zones/data/leap-seconds.list>) \
                     or update tzdata";

/// Why a leap table is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeapTableError {
    /// The table has no line of data.
    #[error(
        "the table has no entries: it is empty, or cut off before its first data line; {}",
        REMEDY
    )]
    Empty,
    /// The contents are something else than a table of the expected kind.
    #[error("it is {found}: {remedy}")]
    OtherFormat {
        /// What it is.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The file is far larger than any real table.
    #[error(
        "the table is {bytes} bytes long, more than the limit of {limit}, so it cannot be a \
         leap table: give the path of a leap-seconds.list, of tzdata's leapseconds, or of a TZif file \
         with leap seconds"
    )]
    TooLarge {
        /// The file's length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The table has more entries than there can be.
    #[error(
        "line {line}: the table has more than {limit} entries, although only 28 were known in \
         2026; {}",
        REMEDY
    )]
    TooMany {
        /// The line of the first entry beyond the limit.
        line: usize,
        /// The limit.
        limit: usize,
    },
    /// A line does not follow the format.
    #[error("line {line}: expected {expected}; if this is a leap-seconds.list, {}", REMEDY)]
    Malformed {
        /// The line.
        line: usize,
        /// What the format requires.
        expected: &'static str,
    },
    /// The table does not begin where UTC does.
    #[error(
        "line {line}: the first entry must be 1972-01-01 (NTP 2272060800) with 10 s, because \
         UTC with whole seconds begins there: the beginning of the table is missing; {}",
        REMEDY
    )]
    BadStart {
        /// The line.
        line: usize,
    },
    /// An entry is not later than the one before it.
    #[error(
        "line {line}: the entry is not later than the one before it, so the table is out of order; {}",
        REMEDY
    )]
    OutOfOrder {
        /// The line.
        line: usize,
    },
    /// A leap second is not at the end of a UTC day.
    #[error("line {line}: the entry is not at midnight UTC, but all leap seconds are; {}", REMEDY)]
    NotMidnight {
        /// The line.
        line: usize,
    },
    /// The offset does not change by exactly one second.
    #[error(
        "line {line}: TAI − UTC goes from {from} to {to} s, but must change by exactly one, so a line \
         is missing or wrong; {}",
        REMEDY
    )]
    BadStep {
        /// The line.
        line: usize,
        /// The offset before, in seconds.
        from: i32,
        /// The offset after, in seconds.
        to: i32,
    },
    /// The table skips more seconds than UTC began with and inserted.
    #[error(
        "line {line}: TAI − UTC falls to {offset} s, but UTC has never been ahead of TAI, so the \
         table is wrong; {}",
        REMEDY
    )]
    NegativeOffset {
        /// The line.
        line: usize,
        /// The negative offset, in seconds.
        offset: i32,
    },
    /// A time does not fit into 64 bits of nanoseconds.
    #[error(
        "line {line}: the time is after 2262-04-11 and does not fit into 64 bits of nanoseconds; {}",
        REMEDY
    )]
    OutOfRange {
        /// The line.
        line: usize,
    },
    /// The table expires before its last entry.
    #[error("the table expires before its last entry, so one of the two is damaged; {}", REMEDY)]
    ExpiresTooEarly,
    /// A published text `leapseconds` lacks its end.
    #[error(
        "the text states no expiry after its last leap second, as all published ones do, so it \
         is cut off; {}",
        REMEDY
    )]
    CutOff,
    /// A TZif file has only a part of its leap seconds.
    #[error(
        "the TZif file lacks the leap seconds {what}, as after `zic -r`: give a complete one \
         (Debian: package tzdata-legacy), a leap-seconds.list, or use the built-in table"
    )]
    Partial {
        /// Which are missing.
        what: &'static str,
    },
    /// A published list lacks its last line.
    #[error(
        "the list has a `#$` line but no `#h` line, so it is cut off before its hash; {}",
        REMEDY
    )]
    HashMissing,
    /// The contents do not agree with the hash.
    #[error(
        "the list's hash is {computed}, but its `#h` line states {stated}, so the contents were \
         changed or damaged; {}",
        REMEDY
    )]
    HashMismatch {
        /// The hash in the list.
        stated: String,
        /// The hash of the contents.
        computed: String,
    },
    /// The file is a TZif file that is damaged or ends too early.
    #[error(
        "the TZif file is damaged: {what}; update or reinstall tzdata, or use the built-in table"
    )]
    TzIf {
        /// The damage.
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
    /// The path is not a regular file, and reading it might never end.
    #[error(
        "it is {found}, not a regular file: give the path of a leap-seconds.list, of tzdata's \
         leapseconds, or of a TZif file with leap seconds"
    )]
    NotAFile {
        /// What the path is instead.
        found: &'static str,
    },
    /// A file could not be read.
    #[error(
        "{}: {error}; give the path of a table that this process may read, update tzdata, or use \
         the built-in table",
        .path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// A file was refused after it was found.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        error: Box<LeapTableError>,
    },
}

fn display_all(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Real tables have 28 entries after half a century. The limit fits into a `u8`.
const MOST_ENTRIES: usize = 255;

/// The greatest Unix time of an entry, a day before the end of the range, so that no sum with an
/// offset and a smear overflows.
const MOST_SECONDS: u64 = (i64::MAX / NANOS_PER_SECOND - DAY) as u64;

/// The Unix time at which UTC with whole seconds begins, and TAI − UTC there, in seconds.
pub(super) const START: (i64, i32) = (63_072_000, 10);

impl LeapTableError {
    /// Whether trying again can help, which is so only if a file could not be found or read.
    pub fn is_transient(&self) -> bool {
        matches!(self, LeapTableError::Io { .. } | LeapTableError::NotFound { .. })
    }

    /// The steps of a leap table from its lines, each with its number, Unix seconds and offset.
    pub(super) fn check_lines(
        lines: impl IntoIterator<Item = (usize, (i64, i32))>,
        expires: Option<i64>,
    ) -> Result<Vec<Step>, LeapTableError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut before: Option<(i64, i32)> = None;
        for (line, (unix, offset)) in lines {
            if unix.unsigned_abs() > MOST_SECONDS {
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
                // Without negative offsets no difference with an offset overflows upward.
                _ if offset < 0 => return Err(LeapTableError::NegativeOffset { line, offset }),
                _ => {}
            }
            steps.push(Step::new(unix, before.map(|(_, offset)| offset), offset));
            before = Some((unix, offset));
        }
        match (before, expires) {
            (None, _) => Err(LeapTableError::Empty),
            (Some((last, _)), Some(expires)) if expires < last => {
                Err(LeapTableError::ExpiresTooEarly)
            }
            _ => Ok(steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_about_damage_or_a_missing_file_states_a_remedy() {
        let hash = || "0".repeat(40);
        let errors = [
            LeapTableError::Empty,
            LeapTableError::Malformed { line: 1, expected: "a number" },
            LeapTableError::BadStart { line: 1 },
            LeapTableError::OutOfOrder { line: 2 },
            LeapTableError::BadStep { line: 2, from: 10, to: 12 },
            LeapTableError::HashMissing,
            LeapTableError::ExpiresTooEarly,
            LeapTableError::CutOff,
            LeapTableError::Partial { what: "before its first one" },
            LeapTableError::OtherFormat { found: "JSON", remedy: FETCH },
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
