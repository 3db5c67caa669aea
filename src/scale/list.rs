//! Reading leap-seconds.list, the file that IERS publishes and tzdata ships.
//!
//! The naive reader splits the lines and trusts them. A file that was cut off by a full
//! disk, or merged by hand, then makes a clock a second wrong, from some
//! moment years ago or years ahead. So this reader checks everything that can be
//! checked: the SHA-1 in the file, the order, the midnights, the steps of one second, the
//! beginning, and that the file did not end early.
//!
//! The hash covers the digits of the `#$` and `#@` lines and of the data, without
//! white space. Its five words are often written without their
//! leading zeros, so they are compared as numbers.

use super::file_kind::{FileKind, lines, words};
use super::leap_table::LeapTable;
use super::sha1::sha1;
use super::table_error::LeapTableError;
use super::table_source::HashState;

/// NTP counts from 1900.
const NTP_TO_UNIX: i64 = 2_208_988_800;

impl LeapTable {
    /// Reads a leap-seconds.list.
    ///
    /// # Errors
    ///
    /// See [`LeapTableError`]. A list with an update line (`#$`), which all published
    /// lists have, must also have a hash.
    pub fn from_list(list: &[u8]) -> Result<LeapTable, LeapTableError> {
        FileKind::List.require(list)?;
        let mut updated: Option<&[u8]> = None;
        let mut expires: Option<(usize, &[u8])> = None;
        let mut stated: Option<[u32; 5]> = None;
        let mut data = Vec::new();
        let mut digits = Vec::new();
        for (line, text) in lines(list) {
            match text {
                [b'#', b'$', rest @ ..] => only_once(&mut updated, rest.trim_ascii(), line)?,
                [b'#', b'@', rest @ ..] => {
                    only_once(&mut expires, (line, rest.trim_ascii()), line)?
                }
                [b'#', b'h', rest @ ..] => only_once(&mut stated, hash(rest, line)?, line)?,
                [b'#', ..] | [] => {}
                _ => {
                    let (time, offset) = entry(text, line)?;
                    digits.extend_from_slice(time);
                    digits.extend_from_slice(offset);
                    let unix = number(time, line)? - NTP_TO_UNIX;
                    let offset = i32::try_from(number(offset, line)?)
                        .map_err(|_| malformed(line, "a TAI − UTC of a few seconds"))?;
                    data.push((line, (unix, offset)));
                }
            }
        }
        // Order and steps are checked before the hash. A list that is out of order fails
        // both checks, and "out of order" is the more helpful error.
        let expiry = expires.map(|(line, text)| number(text, line)).transpose()?;
        let table = LeapTable::from_lines(data, expiry.map(|ntp| ntp - NTP_TO_UNIX))?;
        let hash = match (stated, updated) {
            (Some(stated), _) => {
                let head = [updated.unwrap_or_default(), expires.unwrap_or_default().1].concat();
                verify(stated, &[head, digits].concat())?
            }
            (None, Some(_)) => return Err(LeapTableError::HashMissing),
            (None, None) => HashState::Absent,
        };
        Ok(table.with_hash(hash))
    }
}

fn malformed(line: usize, expected: &'static str) -> LeapTableError {
    LeapTableError::Malformed { line, expected }
}

fn only_once<T>(slot: &mut Option<T>, value: T, line: usize) -> Result<(), LeapTableError> {
    match slot.replace(value) {
        Some(_) => Err(malformed(line, "each of `#$`, `#@` and `#h` once at most")),
        None => Ok(()),
    }
}

/// The time and the offset of a data line. A comment may follow them.
fn entry(text: &[u8], line: usize) -> Result<(&[u8], &[u8]), LeapTableError> {
    let mut words = words(text);
    match (words.next(), words.next(), words.next()) {
        (Some(time), Some(offset), None | Some([b'#', ..])) => Ok((time, offset)),
        _ => Err(malformed(line, "an NTP time and an offset, then nothing or a `#` comment")),
    }
}

/// A count of seconds. Published lists have no sign, since their hash would not cover it.
fn number(digits: &[u8], line: usize) -> Result<i64, LeapTableError> {
    let (sign, figures) = match digits {
        [b'-', figures @ ..] => (-1, figures),
        figures => (1, figures),
    };
    if figures.is_empty() || figures.len() > 12 || !figures.iter().all(u8::is_ascii_digit) {
        return Err(malformed(line, "a whole number of at most 12 digits"));
    }
    Ok(sign * figures.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// Five hexadecimal words, with or without leading zeros.
fn hash(text: &[u8], line: usize) -> Result<[u32; 5], LeapTableError> {
    let bad =
        || malformed(line, "five hexadecimal words after `#h`: the hash is cut off or damaged");
    let mut words = words(text);
    let mut hash = [0; 5];
    for word in &mut hash {
        let text = words.next().and_then(|word| std::str::from_utf8(word).ok()).ok_or_else(bad)?;
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        *word = u32::from_str_radix(text, 16).map_err(|_| bad())?;
    }
    if words.next().is_some() { Err(bad()) } else { Ok(hash) }
}

fn verify(stated: [u32; 5], message: &[u8]) -> Result<HashState, LeapTableError> {
    let computed = sha1(message);
    if stated == computed {
        return Ok(HashState::Verified);
    }
    let text = |words: [u32; 5]| words.map(|word| format!("{word:08x}")).join(" ");
    Err(LeapTableError::HashMismatch { stated: text(stated), computed: text(computed) })
}
