//! Extension fields of an NTP packet (RFC 7822), and the four that NTS adds (RFC 8915, 5.3 to 5.6).
//!
//! A field is a type, its length with these four bytes, and a body that fills words of four bytes:
//!
//! ```text
//! | type | length | body ...        a multiple of 4 |
//! ```

/// 32 random bytes, which the reply repeats.
pub(super) const UNIQUE_IDENTIFIER: u16 = 0x0104;
/// A cookie: the keys and the algorithm, encrypted by the server for itself.
pub(super) const COOKIE: u16 = 0x0204;
/// Room for one more cookie in the reply, which must not be longer than the request.
pub(super) const COOKIE_PLACEHOLDER: u16 = 0x0304;
/// What proves that all of the packet before it, and what is encrypted in it, is authentic.
pub(super) const AUTHENTICATOR: u16 = 0x0404;

/// Type and length.
const HEAD: usize = 4;
/// The least length of a field in a packet: what is shorter could be a MAC.
const LEAST: usize = 16;
/// The tag that AES-SIV puts before what it encrypts.
pub(super) const TAG: usize = 16;

/// One field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Field<'a> {
    pub(super) kind: u16,
    /// Where it begins in the bytes that were given.
    pub(super) at: usize,
    pub(super) body: &'a [u8],
}

/// A field whose length is impossible.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the extension field at byte {at} has an impossible length")]
pub(crate) struct Malformed {
    pub(crate) at: usize,
}

/// The fields of `bytes` from the byte `at` on. Nothing comes after an error.
pub(super) fn fields(bytes: &[u8], at: usize) -> Fields<'_> {
    Fields { bytes, at }
}

pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let field = field(rest);
        self.at = match field {
            Some((_, body)) => at + HEAD + body.len(),
            None => self.bytes.len(),
        };
        Some(field.map(|(kind, body)| Field { kind, at, body }).ok_or(Malformed { at }))
    }
}

fn field(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let body = rest.get(..length.checked_sub(HEAD)?)?;
    (length % 4 == 0).then_some((u16::from_be_bytes([head[0], head[1]]), body))
}

/// Appends a field with this body, followed by zeros where it needs them.
pub(super) fn push(packet: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let length = padded(HEAD + body.len()).max(LEAST);
    let end = packet.len() + length;
    packet.extend(kind.to_be_bytes());
    packet.extend((length as u16).to_be_bytes());
    packet.extend(body);
    packet.resize(end, 0);
}

/// The length of a field with a body of `length` bytes.
pub(super) fn length_of(length: usize) -> usize {
    padded(HEAD + length).max(LEAST)
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The body of an authenticator: the nonce, and what is encrypted, with its tag before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Authenticator<'a> {
    pub(super) nonce: &'a [u8],
    pub(super) encrypted: &'a [u8],
}

impl<'a> Authenticator<'a> {
    /// `None` if the lengths do not fit each other.
    pub(super) fn decode(body: &'a [u8]) -> Option<Authenticator<'a>> {
        let (head, rest) = body.split_first_chunk::<4>()?;
        let nonce_length = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (nonce, rest) = rest.split_at_checked(padded(nonce_length))?;
        let encrypted = rest.get(..padded(length))?;
        // AES-SIV takes a nonce of any length but none.
        let is_whole = nonce_length > 0 && length >= TAG;
        is_whole.then(|| Authenticator {
            nonce: &nonce[..nonce_length],
            encrypted: &encrypted[..length],
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Authenticator { nonce, encrypted } = self;
        let mut body = Vec::with_capacity(4 + padded(nonce.len()) + padded(encrypted.len()));
        body.extend((nonce.len() as u16).to_be_bytes());
        body.extend((encrypted.len() as u16).to_be_bytes());
        body.extend(*nonce);
        body.resize(4 + padded(nonce.len()), 0);
        body.extend(*encrypted);
        body.resize(body.len().next_multiple_of(4), 0);
        body
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<Result<(u16, usize), usize>> {
        let shown = |field: Result<Field<'_>, Malformed>| {
            field.map(|field| (field.kind, field.body.len())).map_err(|error| error.at)
        };
        fields(bytes, 0).map(shown).collect()
    }

    #[test]
    fn fields_and_where_they_end() {
        for (name, bytes, expected) in [
            ("none", &[][..], vec![]),
            ("empty", &[1, 4, 0, 4], vec![Ok((0x0104, 0))]),
            ("two", &[1, 4, 0, 8, 9, 9, 9, 9, 2, 4, 0, 4], vec![Ok((0x0104, 4)), Ok((0x0204, 0))]),
            ("length 0", &[1, 4, 0, 0], vec![Err(0)]),
            ("length 3", &[1, 4, 0, 3], vec![Err(0)]),
            ("no word", &[1, 4, 0, 6, 0, 0], vec![Err(0)]),
            ("beyond the end", &[1, 4, 0, 8, 0, 0, 0], vec![Err(0)]),
            ("cut off", &[1, 4, 0], vec![Err(0)]),
            ("second wrong", &[1, 4, 0, 4, 1, 4, 0, 0, 1, 4, 0, 4], vec![Ok((0x0104, 0)), Err(4)]),
        ] {
            assert_eq!(all(bytes), expected, "{name}");
        }
        assert_eq!(fields(&[0; 8], 9).count(), 0, "a place beyond the end");
    }

    #[test]
    fn short_bodies_are_filled_up() {
        for (length, expected) in [(0, 16), (1, 16), (12, 16), (13, 20), (16, 20), (96, 100)] {
            let mut packet = vec![7; 3];
            push(&mut packet, COOKIE, &vec![1; length]);
            assert_eq!((packet.len() - 3, length_of(length)), (expected, expected), "{length}");
            assert_eq!(packet.iter().filter(|&&byte| byte == 1).count(), length);
        }
    }

    #[test]
    fn bodies_of_authenticators() {
        let tag = [5; 16];
        let whole = |lengths: [u8; 4], rest: &[&[u8]]| [&lengths[..], &rest.concat()].concat();
        for (name, body, expected) in [
            ("usual", whole([0, 4, 0, 16], &[&[1; 4], &tag]), Some((4, 16))),
            ("nonce of one byte", whole([0, 1, 0, 16], &[&[1; 4], &tag]), Some((1, 16))),
            ("more after it", whole([0, 4, 0, 16], &[&[1; 4], &tag, &[0; 8]]), Some((4, 16))),
            ("filled up", whole([0, 4, 0, 17], &[&[1; 4], &tag, &[0; 4]]), Some((4, 17))),
            ("not filled up", whole([0, 4, 0, 17], &[&[1; 4], &tag, &[0; 1]]), None),
            ("no nonce", whole([0, 0, 0, 16], &[&tag]), None),
            ("no tag", whole([0, 4, 0, 15], &[&[1; 4], &tag]), None),
            ("nonce too long", whole([255, 255, 0, 16], &[&[1; 4], &tag]), None),
            ("text too long", whole([0, 4, 255, 255], &[&[1; 4], &tag]), None),
            ("cut off", vec![0, 4, 0], None),
        ] {
            let lengths = Authenticator::decode(&body).map(|a| (a.nonce.len(), a.encrypted.len()));
            assert_eq!(lengths, expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), at in 0..300usize) {
            let fields: Vec<_> = fields(&bytes, at).collect();
            // They lie one after the other, and within.
            let whole = fields.iter().flatten().map(|field| HEAD + field.body.len()).sum::<usize>();
            prop_assert!(whole <= bytes.len().saturating_sub(at));
            prop_assert!(fields.iter().rev().skip(1).all(Result::is_ok));
            let _ = Authenticator::decode(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(
            bodies in vec((any::<u16>(), vec(any::<u8>(), 0..60)), 0..6),
            nonce in vec(any::<u8>(), 1..40),
            encrypted in vec(any::<u8>(), 16..80),
        ) {
            let mut packet = vec![];
            bodies.iter().for_each(|(kind, body)| push(&mut packet, *kind, body));
            let read: Result<Vec<_>, _> = fields(&packet, 0).collect();
            let read = read.expect("as written");
            prop_assert_eq!(read.len(), bodies.len());
            for (field, (kind, body)) in read.iter().zip(&bodies) {
                prop_assert_eq!(field.kind, *kind);
                prop_assert!(field.body.starts_with(body));
                prop_assert!(field.body[body.len()..].iter().all(|&byte| byte == 0));
            }
            let authenticator = Authenticator { nonce: &nonce, encrypted: &encrypted };
            let body = authenticator.encode();
            prop_assert_eq!(body.len() % 4, 0);
            prop_assert_eq!(Authenticator::decode(&body), Some(authenticator));
        }
    }
}
