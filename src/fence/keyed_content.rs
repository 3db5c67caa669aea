//! What a [`DurableKeyedFence`](super::DurableKeyedFence) keeps in its store, as bytes.
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | "tchimer1", as of every record of this crate |
//! | 8..16 | "fencekey", which includes the version of this layout |
//! | 16..24 | the floor |
//! | then, for each key | its length (8 bytes), the key, its largest token (8 bytes) |
//! | the last 8 | CRC-64/XZ of all bytes before |
//!
//! All numbers are big-endian.

use super::fencing_token::FencingToken;
use super::keyed_snapshot::KeyedSnapshot;
use crate::durable::{Kind, RecordError, seal, unseal};

/// The kind of this content, so that it is not read as one token or as a time.
const KIND: Kind = Kind(*b"fencekey");

/// A content that is being written.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(floor: FencingToken) -> Writer {
        Writer(floor.get().to_be_bytes().to_vec())
    }

    /// Adds a key, which must not be added twice.
    pub(super) fn add(&mut self, key: &[u8], newest: FencingToken) {
        self.0.extend_from_slice(&(key.len() as u64).to_be_bytes());
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(&newest.get().to_be_bytes());
    }

    /// The whole content.
    pub(super) fn finish(self) -> Vec<u8> {
        seal(KIND, &self.0)
    }
}

/// Reads a content that was found in `place`.
pub(super) fn read(content: &[u8], place: &str) -> Result<KeyedSnapshot<Vec<u8>>, RecordError> {
    parts(unseal(KIND, content, place)?).ok_or_else(|| RecordError::Foreign {
        place: place.to_owned(),
        found: "its keys do not fit its length",
    })
}

fn parts(mut rest: &[u8]) -> Option<KeyedSnapshot<Vec<u8>>> {
    let floor = FencingToken(u64::from_be_bytes(*take(&mut rest)?));
    let mut newest = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u64::from_be_bytes(*take(&mut rest)?)).ok()?;
        let (key, after) = rest.split_at_checked(length)?;
        rest = after;
        newest.push((key.to_vec(), FencingToken(u64::from_be_bytes(*take(&mut rest)?))));
    }
    Some(KeyedSnapshot { floor, newest })
}

/// The first `N` bytes of `rest`, which then begins after them.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::durable;
    use proptest::prelude::*;

    fn content(floor: u64, keys: &[(Vec<u8>, u64)]) -> Vec<u8> {
        let mut writer = Writer::new(FencingToken(floor));
        keys.iter().for_each(|(key, newest)| writer.add(key, FencingToken(*newest)));
        writer.finish()
    }

    #[test]
    fn what_is_not_a_whole_content_is_refused() {
        let good = content(7, &[(b"shard-7".to_vec(), 34)]);
        let record = durable::encode(durable::Kind(*b"fence\0\0\0"), 34);
        let longer = {
            let mut writer = Writer::new(FencingToken(7));
            writer.0.extend_from_slice(&u64::MAX.to_be_bytes());
            writer.finish()
        };
        let cases: &[(&[u8], &str)] = &[
            (b"", "torn"),
            (&good[..5], "torn"),
            (&good[..31], "torn"),
            (&good[..good.len() - 1], "torn"),
            (&[0; 64], "torn"),
            (b"hello", "not a truechimer record"),
            (&record, "holds a record of kind"),
            (&longer, "do not fit its length"),
        ];
        for (bytes, expected) in cases {
            let error = read(bytes, "the place").expect_err(expected).to_string();
            assert!(error.contains(expected) && error.contains("the place"), "{bytes:?}: {error}");
        }
        let read_as_a_number = durable::decode(&good, durable::Kind(*b"fence\0\0\0"), "the place");
        read_as_a_number.expect_err("it is not one token");
    }

    proptest! {
        #[test]
        fn it_is_read_back_and_no_changed_byte_goes_unnoticed(
            floor: u64, keys in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), any::<u64>()), 0..5),
            at: prop::sample::Index, change in 1u8..,
        ) {
            let mut bytes = content(floor, &keys);
            let found = read(&bytes, "").expect("as it was written");
            prop_assert_eq!(found.floor, FencingToken(floor));
            let tokens = keys.into_iter().map(|(key, token)| (key, FencingToken(token)));
            prop_assert_eq!(found.newest, tokens.collect::<Vec<_>>());
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(read(&bytes, "").is_err());
        }
    }
}
