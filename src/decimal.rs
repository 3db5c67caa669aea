//! Serde for integers that a reader with doubles would change: text for people, numbers for machines.
//!
//! A count of nanoseconds since 1970 needs 61 bits, and a fencing token may need 64. JSON allows
//! such numbers, but many of its readers (JavaScript, `jq`, every reader that keeps one type for
//! all numbers) hold them as doubles of 53 bits. They round without an error. An interval whose
//! ends were rounded may be narrower than it was, and a token may become another one.
//!
//! So the values of this crate, and the `_ns` fields of its reports, are decimal text in formats
//! that are human-readable by serde's definition (JSON, YAML, TOML), and plain integers in the
//! others (bincode, postcard, MessagePack). Use the same for your own fields:
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
//! struct Row {
//!     #[serde(with = "truechimer::decimal")]
//!     revision: u64,
//!     #[serde(with = "truechimer::decimal::option")]
//!     expires_ns: Option<i64>,
//! }
//!
//! let row = Row { revision: u64::MAX, expires_ns: Some(-5) };
//! let json = serde_json::to_string(&row)?;
//! assert_eq!(json, r#"{"revision":"18446744073709551615","expires_ns":"-5"}"#);
//! assert_eq!(serde_json::from_str::<Row>(&json)?, row);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # What is read
//!
//! In a human-readable format exactly the text that is written: ASCII digits, after a `-` if the
//! number is negative. A sign `+`, leading zeros, `-0`, spaces, an exponent and a number beyond the
//! type's range are errors. A bare number is an error too, also a small one, because nothing
//! shows whether a reader with doubles has rounded it on its way.
//!
//! # A limit
//!
//! `#[serde(flatten)]`, untagged and internally tagged enums read a value into a buffer first, and
//! that buffer calls itself human-readable. So below one of them a binary format cannot be read
//! back: the number in it is refused. It is an error and never another number.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An integer of 64 or 128 bits.
pub trait Integer:
    sealed::Sealed + Copy + Display + FromStr + Serialize + for<'de> Deserialize<'de>
{
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl Integer for $type {}
    )*};
}
integers!(i64, u64, i128, u128);

/// Writes decimal text, or the number itself in a binary format.
///
/// # Errors
///
/// Those of the format.
pub fn serialize<N: Integer, S: Serializer>(number: &N, output: S) -> Result<S::Ok, S::Error> {
    if output.is_human_readable() { output.collect_str(number) } else { number.serialize(output) }
}

/// Reads what [`serialize`] writes, and nothing else.
///
/// # Errors
///
/// Those of the format, and text that is not the decimal form of such a number.
pub fn deserialize<'de, N: Integer, D: Deserializer<'de>>(input: D) -> Result<N, D::Error> {
    if input.is_human_readable() {
        input.deserialize_str(DecimalText(PhantomData))
    } else {
        N::deserialize(input)
    }
}

/// The same for an integer that may be missing: `null` in JSON.
pub mod option {
    use super::{Deserialize, Deserializer, Integer, Serialize, Serializer};

    /// One integer, in the form of this module.
    struct Decimal<N>(N);

    impl<N: Integer> Serialize for Decimal<N> {
        fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
            super::serialize(&self.0, output)
        }
    }

    impl<'de, N: Integer> Deserialize<'de> for Decimal<N> {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Decimal<N>, D::Error> {
            super::deserialize(input).map(Decimal)
        }
    }

    /// See [`serialize`](super::serialize).
    ///
    /// # Errors
    ///
    /// Those of the format.
    pub fn serialize<N: Integer, S: Serializer>(
        number: &Option<N>,
        output: S,
    ) -> Result<S::Ok, S::Error> {
        number.map(Decimal).serialize(output)
    }

    /// See [`deserialize`](super::deserialize).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn deserialize<'de, N: Integer, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<N>, D::Error> {
        Ok(Option::<Decimal<N>>::deserialize(input)?.map(|Decimal(number)| number))
    }
}

/// Reads text that is exactly the decimal form of a number.
struct DecimalText<N>(PhantomData<N>);

impl<N: Integer> Visitor<'_> for DecimalText<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an integer as decimal text in quotes, such as \"1700000000000000000\" (a bare number \
             may have been rounded to a double by a program on its way)",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<N, E> {
        // Each number has one text, so what is not written back the same is refused.
        let number = text.parse::<N>().ok().filter(|number| number.to_string() == text);
        number.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use serde_test::{Configure, Token, assert_de_tokens_error, assert_tokens};

    #[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
    struct Pair(#[serde(with = "super")] u64, #[serde(with = "super::option")] Option<i64>);

    #[test]
    fn people_get_text_and_machines_the_number() {
        let (largest, least) = (u64::MAX, i64::MIN);
        let pair = Pair(largest, Some(least));
        let begin = Token::TupleStruct { name: "Pair", len: 2 };
        let text = [
            begin,
            Token::Str("18446744073709551615"),
            Token::Some,
            Token::Str("-9223372036854775808"),
            Token::TupleStructEnd,
        ];
        assert_tokens(&pair.readable(), &text);
        let number =
            [begin, Token::U64(largest), Token::Some, Token::I64(least), Token::TupleStructEnd];
        assert_tokens(&pair.compact(), &number);
        let none = [begin, Token::Str("0"), Token::None, Token::TupleStructEnd];
        assert_tokens(&Pair(0, None).readable(), &none);
        // A machine's format does not fall back to text.
        let text = [begin, Token::Str("5")];
        let error = "invalid type: string \"5\", expected u64";
        assert_de_tokens_error::<serde_test::Compact<Pair>>(&text, error);
    }

    #[test]
    fn whatever_is_not_the_one_text_of_a_number_is_refused() {
        for json in [
            "5",
            "-5",
            "5.0",
            "1e3",
            "9007199254740993",
            "true",
            "null",
            "[]",
            "{}",
            "\"\"",
            "\"+5\"",
            "\"05\"",
            "\"-0\"",
            "\" 5\"",
            "\"5 \"",
            "\"5.0\"",
            "\"1e3\"",
            "\"0x5\"",
            "\"5_000\"",
            "\"\u{665}\"",
            "\"9223372036854775808\"",
            "\"none\"",
        ] {
            let read: Result<i64, _> = deserialize(&mut serde_json::Deserializer::from_str(json));
            let error = read.expect_err(json).to_string();
            assert!(error.contains("decimal text in quotes"), "{json}: {error}");
        }
        for (json, number) in [("\"0\"", 0), ("\"-1\"", -1), ("\"\\u0035\"", 5)] {
            let read: Result<i64, _> = deserialize(&mut serde_json::Deserializer::from_str(json));
            assert_eq!(read.expect(json), number);
        }
    }
}
