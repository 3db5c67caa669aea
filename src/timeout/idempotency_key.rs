//! [`IdempotencyKey`]: the name of a request, so that a retry is not a second request.
//!
//! A timeout does not say whether the request was applied. A client that retries may pay
//! twice, and one that does not may not pay at all. The solution is to name the request
//! before it is sent for the first time, and to send the same name with every retry. A
//! server that remembers the names it has applied answers the second time with the first
//! result. (See the Idempotency-Key header field, a draft of the IETF's HTTPAPI group.) It
//! must remember them for longer than any client retries: until the
//! [`Deadline`](super::Deadline) of the request has definitely passed.
//!
//! # Where the randomness comes from
//!
//! Two requests with one key are worse than a request without a key, because the second
//! is silently not applied. So a key is 128 bits from the kernel, read anew for each key.
//! Two keys are likely to be equal only after 2^64 of them. The standard library's own
//! source, the seed of its hash maps, is not suitable. It is cached in the thread, so a
//! process and its `fork` would continue with the *same* keys. A crate for random numbers
//! is not needed to read 16 bytes from `/dev/urandom` (Windows, which has no such file, is
//! asked through one), and a generator in the process
//! needs care at a fork, too.
//!
//! One case cannot be detected: a virtual machine that is resumed twice from one snapshot,
//! with a kernel that is not told so (Linux before 5.18, or no VMGENID).

use std::fmt;
use std::str::FromStr;

use super::error::TimeoutError;
use crate::host::{RANDOM_SOURCE, random_bytes};

/// 128 random bits that name one request through all of its attempts.
///
/// Its text form is 32 lower-case hexadecimal digits. With serde it is that text in
/// human-readable formats, and 16 bytes in others.
///
/// ```
/// use truechimer::timeout::IdempotencyKey;
///
/// let key = IdempotencyKey::random()?; // once for each request, not for each attempt
/// assert_eq!(key.to_string().parse::<IdempotencyKey>()?, key);
/// # Ok::<(), truechimer::timeout::TimeoutError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IdempotencyKey(u128);

impl IdempotencyKey {
    /// A new key, from the kernel's randomness. It costs an open and a read, some microseconds.
    ///
    /// # Errors
    ///
    /// When `/dev/urandom` cannot be read, or this system has no randomness (wasm32: take
    /// the bits from the environment, for [`from_bytes`](Self::from_bytes)). Do not send
    /// the request without a key then.
    pub fn random() -> Result<IdempotencyKey, TimeoutError> {
        let bytes = random_bytes().map_err(|error| TimeoutError::NoRandomness {
            file: RANDOM_SOURCE,
            kind: error.kind(),
            reason: error.to_string(),
        })?;
        Ok(IdempotencyKey::from_bytes(bytes))
    }

    /// The key with these bits, for example from the generator of a simulator.
    pub const fn from_bits(bits: u128) -> IdempotencyKey {
        IdempotencyKey(bits)
    }

    /// Its bits.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// From 16 bytes off the wire.
    pub const fn from_bytes(bytes: [u8; 16]) -> IdempotencyKey {
        IdempotencyKey(u128::from_be_bytes(bytes))
    }

    /// The 16 bytes for the wire, in the order of the text.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Reads 32 hexadecimal digits, of either case.
impl FromStr for IdempotencyKey {
    type Err = TimeoutError;

    fn from_str(text: &str) -> Result<IdempotencyKey, TimeoutError> {
        let is_key = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bits = is_key.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        bits.map(IdempotencyKey)
            .ok_or_else(|| TimeoutError::NotAKey { text: TimeoutError::shown(text) })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for IdempotencyKey {
    fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if output.is_human_readable() {
            output.collect_str(self)
        } else {
            self.to_bytes().serialize(output)
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<IdempotencyKey, D::Error> {
        if !input.is_human_readable() {
            return <[u8; 16]>::deserialize(input).map(IdempotencyKey::from_bytes);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
