//! [`Stamp`]: a moment, and a position in an order, in 64 bits.

use std::fmt;

use crate::timestamp::Timestamp;

/// How many low bits hold the logical part of the (wall, logical) form.
const LOGICAL_BITS: u32 = 16;

/// A stamp of a hybrid logical clock: TAI nanoseconds, with the logical part added to them.
///
/// There is one stamp for each [`Timestamp`] and one timestamp for each stamp, in the
/// same order. The 64 bits are the signed count of nanoseconds with its sign bit flipped.
/// So they sort as an unsigned number and as eight big-endian bytes, also before 1970,
/// and every timestamp and every 64-bit number is accepted.
///
/// `Display` prints 16 hexadecimal digits, which sort like the stamps, and `FromStr`
/// reads them back. With the feature `serde` a stamp is that text in human-readable
/// formats, and the 64 bits in the others.
///
/// ```
/// use truechimer::{Stamp, Timestamp};
///
/// let stamp = Stamp::from(Timestamp::from_tai_nanos(1_700_000_000_000_000_000));
/// assert_eq!(stamp.to_string(), "97979cfe362a0000");
/// assert_eq!("97979cfe362a0000".parse::<Stamp>()?, stamp);
/// assert_eq!(Stamp::from_be_bytes(stamp.to_be_bytes()), stamp);
/// # Ok::<(), truechimer::HlcError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// The first stamp: [`Timestamp::MIN`]. A clock never issues it.
    pub const MIN: Stamp = Stamp(0);
    /// The last stamp: [`Timestamp::MAX`].
    pub const MAX: Stamp = Stamp(u64::MAX);

    /// The stamp with these 64 bits. Every number is a stamp.
    #[inline]
    pub const fn from_bits(bits: u64) -> Stamp {
        Stamp(bits)
    }

    /// The 64 bits: nanoseconds since 1970-01-01T00:00:00 TAI, plus 2^63.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The stamp of this moment.
    #[inline]
    pub const fn from_timestamp(t: Timestamp) -> Stamp {
        Stamp(t.tai_nanos() as u64 ^ (1 << 63))
    }

    /// The moment that the stamp counts. For a stamp of [`Hlc::stamp`](super::Hlc::stamp) it is
    /// no later than true time at its issue.
    #[inline]
    pub const fn timestamp(self) -> Timestamp {
        Timestamp::from_tai_nanos((self.0 ^ (1 << 63)) as i64)
    }

    /// Eight bytes that sort like the stamps, for use as a key in a store.
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The stamp that [`to_be_bytes`](Self::to_be_bytes) wrote.
    #[inline]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Stamp {
        Stamp(u64::from_be_bytes(bytes))
    }

    /// The next stamp, or `None` after the last.
    #[inline]
    pub const fn next(self) -> Option<Stamp> {
        match self.0.checked_add(1) {
            Some(bits) => Some(Stamp(bits)),
            None => None,
        }
    }

    /// The two parts that other hybrid clocks use: 48 bits of wall time and 16 logical bits.
    ///
    /// `wall` is the moment rounded down to 2^16 ns (65.536 µs), and `logical` is the
    /// remaining nanoseconds. Pairs sort like stamps. This is the compact form of Kulkarni et al.,
    /// "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases", 2014,
    /// section 5.
    pub const fn to_wall_logical(self) -> (Timestamp, u16) {
        let logical = self.0 as u16;
        (Stamp(self.0 - logical as u64).timestamp(), logical)
    }

    /// The stamp with these parts, or `None` if `wall` is not a multiple of 2^16 ns.
    ///
    /// For a wall time of another resolution, round it down to a multiple, or use
    /// [`from_timestamp`](Self::from_timestamp).
    pub const fn from_wall_logical(wall: Timestamp, logical: u16) -> Option<Stamp> {
        let Stamp(bits) = Stamp::from_timestamp(wall);
        if bits % (1 << LOGICAL_BITS) != 0 {
            return None;
        }
        Some(Stamp(bits + logical as u64))
    }
}

impl From<Timestamp> for Stamp {
    #[inline]
    fn from(t: Timestamp) -> Stamp {
        Stamp::from_timestamp(t)
    }
}

impl From<Stamp> for Timestamp {
    #[inline]
    fn from(stamp: Stamp) -> Timestamp {
        stamp.timestamp()
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({} ns TAI)", self.timestamp().tai_nanos())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_and_the_middle() {
        let cases = [
            (i64::MIN, 0, "0000000000000000", 0),
            (-1, (1 << 63) - 1, "7fffffffffffffff", u16::MAX),
            (0, 1 << 63, "8000000000000000", 0),
            (65_537, (1 << 63) + 65_537, "8000000000010001", 1),
            (i64::MAX, u64::MAX, "ffffffffffffffff", u16::MAX),
        ];
        for (nanos, bits, text, logical) in cases {
            let stamp = Stamp::from(Timestamp::from_tai_nanos(nanos));
            assert_eq!((stamp.to_bits(), stamp.to_string().as_str()), (bits, text));
            assert_eq!(stamp.to_wall_logical().1, logical);
        }
        assert_eq!(Stamp::MAX.next(), None);
        assert_eq!(Stamp::MIN.next(), Some(Stamp(1)));
    }

    #[test]
    fn a_wall_time_between_two_multiples_is_refused() {
        assert_eq!(Stamp::from_wall_logical(Timestamp::from_tai_nanos(1), 0), None);
    }

    proptest! {
        #[test]
        fn every_form_reads_back_and_keeps_the_order(a: i64, b: i64) {
            let [x, y] = [a, b].map(|nanos| Stamp::from(Timestamp::from_tai_nanos(nanos)));
            prop_assert_eq!(x.timestamp().tai_nanos(), a);
            prop_assert_eq!(Stamp::from_bits(x.to_bits()), x);
            prop_assert_eq!(Stamp::from_be_bytes(x.to_be_bytes()), x);
            let (wall, logical) = x.to_wall_logical();
            prop_assert_eq!(Stamp::from_wall_logical(wall, logical), Some(x));
            let order = a.cmp(&b);
            prop_assert_eq!(x.cmp(&y), order);
            prop_assert_eq!(x.to_be_bytes().cmp(&y.to_be_bytes()), order);
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), order);
            prop_assert_eq!(x.to_wall_logical().cmp(&y.to_wall_logical()), order);
        }
    }
}
