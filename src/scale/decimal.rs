//! Seconds as people write them, such as `1483228799.5`. No floating point is involved.

use crate::timestamp::NANOS_PER_SECOND;
use std::fmt;

use super::parse_error::ParseTimeError;
/// Reads seconds as nanoseconds: perhaps a sign, then digits, then perhaps a point and 1 to 9 digits.
pub(super) fn read_seconds(text: &str, expected: &'static str) -> Result<i128, ParseTimeError> {
    let malformed = || ParseTimeError::Malformed { expected };
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(malformed()),
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) {
        return Err(malformed());
    }
    if fraction.len() > 9 {
        return Err(ParseTimeError::TooPrecise { digits: fraction.len() });
    }
    let limit = "seconds of at most 20 digits";
    if whole.len() > 20 {
        return Err(ParseTimeError::OutOfRange { limit });
    }
    let digits =
        |text: &str| text.bytes().fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let below = digits(fraction) * 10i128.pow(9 - fraction.len() as u32);
    let nanos = digits(whole) * i128::from(NANOS_PER_SECOND) + below;
    Ok(if negative { -nanos } else { nanos })
}

/// Writes nanoseconds as seconds with nine digits of fraction.
pub(super) fn write_seconds(out: &mut impl fmt::Write, nanos: i128) -> fmt::Result {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, below) =
        (nanos.abs() / i128::from(NANOS_PER_SECOND), nanos.abs() % i128::from(NANOS_PER_SECOND));
    write!(out, "{sign}{whole}.{below:09}")
}
