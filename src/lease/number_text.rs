//! Numbers of 64 bits in serde: text in human-readable formats, a number in the others.
//!
//! JSON readers whose numbers are doubles round above 2^53. A rounded holder id is the id of
//! another holder, and a rounded request number may be one that was answered before.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(number: &u64, output: S) -> Result<S::Ok, S::Error> {
    if output.is_human_readable() {
        output.collect_str(number)
    } else {
        output.serialize_u64(*number)
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    if !input.is_human_readable() {
        return u64::deserialize(input);
    }
    let text = Cow::<'de, str>::deserialize(input)?;
    // `parse` would also accept a sign.
    let is_number = text.bytes().all(|c| c.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| {
        D::Error::custom(format_args!(
            "{text:?} is not a number from 0 to 18446744073709551615, written as text"
        ))
    })
}
