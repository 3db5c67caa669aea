//! [`FileKind`]: what a file that should be a leap table is, as its first bytes show it.
//!
//! A script that fetches a list stores what arrives. That may be the page of a captive
//! portal, a web server's error, or a compressed copy. The reader of a list would report an error
//! about its first line, and the operator would look for damage in a file that never was a
//! list. So the kind is found first, and the error says what the file is.
//!
//! Two differences are accepted, because they change nothing that is read: a byte order mark
//! before UTF-8 text, and lines that end in CR LF or in CR.

use super::leap_table::LeapTable;
use super::table_error::{FETCH, LeapTableError};

/// The largest file that is read. Real tables have less than 12 kB.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileKind {
    /// A leap-seconds.list, or a text that may be one.
    List,
    /// The text that tzdata's `zic` reads.
    Leapseconds,
    TzIf,
    /// No leap table.
    Foreign {
        found: &'static str,
        remedy: &'static str,
    },
}

const DECOMPRESS: &str = "decompress it, and give the path of the result";
const CONVERT: &str = "convert it to UTF-8, or fetch the list again \
                       (<https://data.iana.org/time-zones/data/leap-seconds.list>)";

/// The first bytes of files that are often found in a table's place.
const BEGINNINGS: [(&[u8], &str, &str); 13] = [
    (b"\x1f\x8b", "compressed by gzip", DECOMPRESS),
    (b"\xfd7zXZ\0", "compressed by xz", DECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", DECOMPRESS),
    (b"BZh", "compressed by bzip2", DECOMPRESS),
    (b"\x1f\x9d", "compressed by compress", DECOMPRESS),
    (b"\x04\x22\x4d\x18", "compressed by lz4", DECOMPRESS),
    (b"LZIP", "compressed by lzip", DECOMPRESS),
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and give the path of the table in it"),
    (b"\xff\xfe", "text in UTF-16", CONVERT),
    (b"\xfe\xff", "text in UTF-16", CONVERT),
    (b"HTTP/", "the answer of a web server with its headers", FETCH),
    (b"404", "the error message of a web server", FETCH),
    (b"{", "JSON", FETCH),
];

impl FileKind {
    /// The kind of a file.
    pub(super) fn of(file: &[u8]) -> FileKind {
        let foreign = |found, remedy| FileKind::Foreign { found, remedy };
        if file.starts_with(b"TZif") {
            return FileKind::TzIf;
        }
        let text = without_mark(file).trim_ascii_start();
        if text.is_empty() {
            return foreign("an empty file, as a failed download leaves it", FETCH);
        }
        let known = BEGINNINGS.iter().find(|(bytes, ..)| text.starts_with(bytes));
        if let Some(&(_, found, remedy)) = known {
            return foreign(found, remedy);
        }
        if text.starts_with(b"<") {
            let found = "an HTML or XML page, as a captive portal, a proxy or a missing page \
                         sends it in a file's place";
            return foreign(found, FETCH);
        }
        match zeros(file) {
            Zeros::None => {}
            Zeros::All => {
                return foreign(
                    "filled with zeros, as a crash while it was written leaves it",
                    FETCH,
                );
            }
            Zeros::EachSecond => return foreign("text in UTF-16", CONVERT),
            Zeros::Some => return foreign("binary data of an unknown kind", FETCH),
        }
        let data = lines(file).find(|(_, line)| !matches!(line, [] | [b'#', ..]));
        match data.and_then(|(_, line)| words(line).next()) {
            Some(word) if is_keyword(word) => FileKind::Leapseconds,
            _ => FileKind::List,
        }
    }

    /// Refuses a file of any other kind.
    ///
    /// # Errors
    ///
    /// [`LeapTableError::TooLarge`] and [`LeapTableError::OtherFormat`].
    pub(super) fn require(self, file: &[u8]) -> Result<(), LeapTableError> {
        if file.len() > MOST_BYTES {
            let (bytes, limit) = (file.len() as u64, MOST_BYTES as u64);
            return Err(LeapTableError::TooLarge { bytes, limit });
        }
        let found = FileKind::of(file);
        let (found, remedy) = match found {
            _ if found == self => return Ok(()),
            FileKind::Foreign { found, remedy } => (found, remedy),
            FileKind::List => ("text", "read it with `from_list`, or any table with `from_bytes`"),
            FileKind::Leapseconds => (
                "tzdata's text `leapseconds`",
                "read it with `from_leapseconds`, or any table with `from_bytes`",
            ),
            FileKind::TzIf => {
                ("a TZif file", "read it with `from_tzif`, or any table with `from_bytes`")
            }
        };
        Err(LeapTableError::OtherFormat { found, remedy })
    }
}

impl LeapTable {
    /// Reads a leap table of any kind: a leap-seconds.list, tzdata's text `leapseconds`, or a
    /// TZif file with leap seconds. The contents show which it is.
    ///
    /// # Errors
    ///
    /// See [`LeapTableError`]. [`LeapTableError::OtherFormat`] says what the file is instead,
    /// such as a web page or a compressed file.
    pub fn from_bytes(file: &[u8]) -> Result<LeapTable, LeapTableError> {
        match FileKind::of(file) {
            FileKind::TzIf => LeapTable::from_tzif(file),
            FileKind::Leapseconds => LeapTable::from_leapseconds(file),
            // The reader of lists reports what is foreign.
            FileKind::List | FileKind::Foreign { .. } => LeapTable::from_list(file),
        }
    }
}

/// How many of a file's bytes are zero. Text has none.
enum Zeros {
    None,
    Some,
    /// As in UTF-16 text without a byte order mark.
    EachSecond,
    All,
}

fn zeros(file: &[u8]) -> Zeros {
    // A table's first line tells enough, and a file may be large.
    let start = &file[..file.len().min(512)];
    let count = |from: usize| start.iter().skip(from).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (count(0), count(1));
    match (even, odd) {
        (0, 0) => Zeros::None,
        _ if even + odd == start.len() => Zeros::All,
        (0, odd) if odd >= start.len() / 4 => Zeros::EachSecond,
        (even, 0) if even >= start.len() / 4 => Zeros::EachSecond,
        _ => Zeros::Some,
    }
}

fn without_mark(file: &[u8]) -> &[u8] {
    file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file)
}

/// The lines of a text with their numbers, without the white space around them. They end in
/// LF, CR LF, or CR.
pub(super) fn lines(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = without_mark(file);
    let end = if text.contains(&b'\n') { b'\n' } else { b'\r' };
    let lines = text.split(move |&byte| byte == end);
    lines.enumerate().map(|(at, line)| (at + 1, line.trim_ascii()))
}

/// The words of a line, which white space separates.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Whether a word begins a line of tzdata's text.
fn is_keyword(word: &[u8]) -> bool {
    [&b"Leap"[..], b"Expires"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_named() {
        let utf_16 = |mark: &[u8], order: fn(u16) -> [u8; 2]| {
            let text = "#\tATOMIC TIME\n2272060800 10\n".encode_utf16().flat_map(order);
            mark.iter().copied().chain(text).collect::<Vec<u8>>()
        };
        let cases: [(&[u8], &str); 17] = [
            (b"", "an empty file"),
            (b"\xef\xbb\xbf \r\n", "an empty file"),
            (b"\x1f\x8b\x08\0\0", "compressed by gzip"),
            (b"\xfd7zXZ\0\0\x04", "compressed by xz"),
            (b"\x28\xb5\x2f\xfd\x24", "compressed by zstd"),
            (b"BZh91AY", "compressed by bzip2"),
            (b"PK\x03\x04\x14", "a ZIP archive"),
            (b"<!DOCTYPE html>\n<html>", "an HTML or XML page"),
            (b"\n  <html><body>404</body></html>", "an HTML or XML page"),
            (b"\xef\xbb\xbf<?xml version=\"1.0\"?>", "an HTML or XML page"),
            (b"404: Not Found", "the error message of a web server"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "the answer of a web server"),
            (b"{\"error\": 1}", "JSON"),
            (&[0; 700], "filled with zeros"),
            (b"\x7fELF\x02\x01\x01\0\0", "binary data"),
            (&utf_16(b"\xff\xfe", u16::to_le_bytes), "text in UTF-16"),
            (&utf_16(b"", u16::to_be_bytes), "text in UTF-16"),
        ];
        for (file, expected) in cases {
            // Each reader says the same.
            let readers = [
                LeapTable::from_bytes,
                LeapTable::from_list,
                LeapTable::from_leapseconds,
                LeapTable::from_tzif,
            ];
            for reader in readers {
                let error = reader(file).expect_err(expected).to_string();
                assert!(error.contains(&format!("it is {expected}")), "{expected}: {error}");
                assert!(error.contains("fetch") || error.contains("path of"), "{error}");
            }
        }
    }

    #[test]
    fn the_kind_is_found_from_the_contents() {
        let cases: [(&[u8], FileKind); 7] = [
            (b"TZif2", FileKind::TzIf),
            (b"2272060800 10\n", FileKind::List),
            (b"# a comment\n\n2272060800 10\n", FileKind::List),
            (b"# a comment", FileKind::List),
            (b"# a comment\r\n\r\nLeap 1972 Jun 30 23:59:60 + S\r\n", FileKind::Leapseconds),
            (b"\xef\xbb\xbfleap\t1972", FileKind::Leapseconds),
            (b"Expires 2026 Jun 28 00:00:00", FileKind::Leapseconds),
        ];
        for (file, kind) in cases {
            assert_eq!(FileKind::of(file), kind, "{:?}", String::from_utf8_lossy(file));
        }
    }
}
