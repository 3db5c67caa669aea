//! [`Header`]: the 48 bytes of an NTP packet (RFC 5905, section 7.3), and what is refused in them.
//!
//! The header states three numbers of which the bound is made. The *root delay* is the round trip
//! to the primary source, of which a packet may have spent all in one direction. The *root
//! dispersion* is what the clocks on that path may have drifted. The *precision* is how well the
//! server reads its own clock:
//!
//! ```text
//! |server's clock − UTC| ≤ root delay / 2 + root dispersion + 2^precision
//! ```
//!
//! Delay and dispersion have 16 bits of fraction, so one unit is 15.3 µs. Some servers cut the rest
//! off, so one unit is added to each of them before anything else is done. Everything is rounded
//! up.

use crate::scale::NtpTime;
use crate::timestamp::NANOS_PER_SECOND;

/// The length of a packet without extension fields, in bytes.
pub const HEADER: usize = 48;

/// The longest packet that is read, in bytes: what fits an Ethernet frame.
pub const LONGEST: usize = 1_472;

/// A bound above this is none: RFC 5905 calls such a server unfit (MAXDIST).
pub const MAX_DISTANCE_NS: u64 = NANOS_PER_SECOND as u64;

/// The version of the protocol.
const VERSION: u8 = 4;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
/// The leap indicator of a clock that is not synchronised.
const LEAP_UNSYNCHRONIZED: u8 = 3;
/// From this stratum on a clock is not synchronised.
const STRATUM_LIMIT: u8 = 16;
/// What a client sends as its precision, because its own says nothing to the server (the draft
/// on data minimisation).
const NO_PRECISION: i8 = 0x20;

/// A packet's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The leap indicator: 1 and 2 announce a leap second, 3 means "not synchronised".
    pub leap: u8,
    /// The version of the protocol.
    pub version: u8,
    /// 3 for a request, 4 for a reply.
    pub mode: u8,
    /// Hops from a primary source. 0 is a kiss of death.
    pub stratum: u8,
    /// The server's poll exponent, in log2 s.
    pub poll: i8,
    /// How well the server reads its clock, in log2 s.
    pub precision: i8,
    /// The round trip to the primary source, in units of 2^-16 s.
    pub root_delay: u32,
    /// What the clocks on that path may be off, in units of 2^-16 s.
    pub root_dispersion: u32,
    /// What the server follows, or a kiss code.
    pub reference_id: [u8; 4],
    /// When the server's clock was last corrected.
    pub reference: NtpTime,
    /// The request's transmit time, repeated: our random bits.
    pub origin: NtpTime,
    /// When the request arrived, by the server's clock.
    pub receive: NtpTime,
    /// When the reply left, by the server's clock.
    pub transmit: NtpTime,
}

/// Why a packet's bytes or its header are not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Shorter than a header, longer than any packet, or no whole number of 32-bit words.
    #[error(
        "a packet of {0} bytes: an NTP packet has {HEADER} or more, in fours, and up to {LONGEST}"
    )]
    Length(usize),
    /// Not version 4.
    #[error("a packet of NTP version {0}, where the request was of version {VERSION}")]
    Version(u8),
    /// Not a server's reply.
    #[error("a packet of mode {0}, where a server's reply has mode {MODE_SERVER}")]
    Mode(u8),
    /// The server is not synchronised.
    #[error("the server says that it is not synchronised (leap indicator 3)")]
    Unsynchronized,
    /// The server is not synchronised.
    #[error("the server's stratum is {0}: a synchronised one has 1 to 15")]
    Stratum(u8),
    /// The server sends a kiss of death.
    #[error("the server refuses to serve ({})", .0.escape_ascii())]
    Kiss([u8; 4]),
    /// The server follows its own clock, by its operator's order.
    #[error(
        "the server follows nothing but its own clock ({}): its bound of next to nothing is not \
         measured. Let it follow a time server, or take another",
        local_name(.0)
    )]
    LocalClock([u8; 4]),
    /// A time stamp is missing.
    #[error("the server's reply has no time in it (a receive or transmit stamp of zero)")]
    NoTime,
    /// The reply left before the request arrived.
    #[error("by the server's own clock the reply left before the request arrived: it was stepped")]
    Backwards,
    /// The bound is too large.
    #[error("the server may be {0} ns off by its own account: more than 1 s is no bound")]
    RootDistance(u64),
}

fn local_name(id: &[u8; 4]) -> &'static str {
    if id == b"LOCL" { "LOCL" } else { "127.127.1.x" }
}

/// The header of a packet, and the extension fields behind it.
///
/// # Errors
///
/// [`PacketError::Length`].
pub fn split(packet: &[u8]) -> Result<(&[u8; HEADER], &[u8]), PacketError> {
    let length = packet.len();
    match packet.split_first_chunk() {
        Some(parts) if length <= LONGEST && length % 4 == 0 => Ok(parts),
        _ => Err(PacketError::Length(length)),
    }
}

impl Header {
    /// A client's request. It tells the server nothing but `random`, which the reply repeats.
    pub fn request(random: u64) -> Header {
        let unset = NtpTime::from_bits(0);
        Header {
            leap: 0,
            version: VERSION,
            mode: MODE_CLIENT,
            stratum: 0,
            poll: 0,
            precision: NO_PRECISION,
            root_delay: 0,
            root_dispersion: 0,
            reference_id: [0; 4],
            reference: unset,
            origin: unset,
            receive: unset,
            transmit: NtpTime::from_bits(random),
        }
    }

    /// Reads the bytes. Any bytes are a header; [`check`](Self::check) judges it.
    pub fn decode(bytes: &[u8; HEADER]) -> Header {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let number = |at| u32::from_be_bytes(word(at));
        let stamp =
            |at| NtpTime::from_bits(u64::from(number(at)) << 32 | u64::from(number(at + 4)));
        Header {
            leap: bytes[0] >> 6,
            version: bytes[0] >> 3 & 7,
            mode: bytes[0] & 7,
            stratum: bytes[1],
            poll: bytes[2] as i8,
            precision: bytes[3] as i8,
            root_delay: number(4),
            root_dispersion: number(8),
            reference_id: word(12),
            reference: stamp(16),
            origin: stamp(24),
            receive: stamp(32),
            transmit: stamp(40),
        }
    }

    /// The bytes of this header. Bits that do not fit a field are left out.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.leap << 6 | (self.version & 7) << 3 | self.mode & 7;
        bytes[1] = self.stratum;
        bytes[2] = self.poll as u8;
        bytes[3] = self.precision as u8;
        bytes[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.reference_id);
        let stamps = [self.reference, self.origin, self.receive, self.transmit];
        for (place, stamp) in bytes[16..].chunks_exact_mut(8).zip(stamps) {
            place.copy_from_slice(&stamp.to_bits().to_be_bytes());
        }
        bytes
    }

    /// Whether the header is a reply with a bound.
    ///
    /// It does not look at the random bits, which only the client knows.
    ///
    /// # Errors
    ///
    /// The first reason against it, from the outside in: what is not a reply has no stratum.
    pub fn check(&self) -> Result<(), PacketError> {
        if self.version != VERSION {
            return Err(PacketError::Version(self.version));
        }
        if self.mode != MODE_SERVER {
            return Err(PacketError::Mode(self.mode));
        }
        if self.stratum == 0 {
            return Err(PacketError::Kiss(self.reference_id));
        }
        if self.leap == LEAP_UNSYNCHRONIZED {
            return Err(PacketError::Unsynchronized);
        }
        if self.stratum >= STRATUM_LIMIT {
            return Err(PacketError::Stratum(self.stratum));
        }
        if self.follows_itself() {
            return Err(PacketError::LocalClock(self.reference_id));
        }
        if self.receive.is_unset() || self.transmit.is_unset() {
            return Err(PacketError::NoTime);
        }
        if self.held_for().is_none() {
            return Err(PacketError::Backwards);
        }
        match self.bound_ns() {
            0..=MAX_DISTANCE_NS => Ok(()),
            bound => Err(PacketError::RootDistance(bound)),
        }
    }

    /// Whether the server follows nothing but its own clock, by its operator's order.
    ///
    /// `LOCL` is a name only at stratum 1. Below, these bytes are the address 76.79.67.76.
    fn follows_itself(&self) -> bool {
        let is_named = self.stratum == 1 && self.reference_id == *b"LOCL";
        is_named || matches!(self.reference_id, [127, 127, 1, _])
    }

    /// For how long the server says that it kept the packet, rounded down to units of 2^-32 s.
    /// `None` if that is negative. The era of the two stamps may differ.
    pub fn held_for(&self) -> Option<u64> {
        let held = self.transmit.to_bits().wrapping_sub(self.receive.to_bits());
        (held <= i64::MAX as u64).then_some(held)
    }

    /// How far the server's clock may be off when it stamps, by its own account, in ns.
    pub fn bound_ns(&self) -> u64 {
        // One unit more, because the server may have cut off the rest.
        let units = |of: u32| u64::from(of) + 1;
        let nanos = |units: u64, per_second: u64| {
            let nanos = u128::from(units) * NANOS_PER_SECOND as u128;
            u64::try_from(nanos.div_ceil(u128::from(per_second))).unwrap_or(u64::MAX)
        };
        let delay = nanos(units(self.root_delay), 2 << 16);
        let dispersion = nanos(units(self.root_dispersion), 1 << 16);
        delay.saturating_add(dispersion).saturating_add(self.precision_ns())
    }

    fn precision_ns(&self) -> u64 {
        let second = NANOS_PER_SECOND as u64;
        match self.precision {
            // A server that reads its clock to the second or worse has no bound.
            precision @ 0.. => second.saturating_mul(1 << precision.min(30)),
            precision => second.div_ceil(1 << precision.unsigned_abs().min(63)),
        }
    }

    /// What the server follows, for people: an address, or the name of a reference clock.
    pub fn follows(&self) -> String {
        let id = self.reference_id;
        if self.stratum > 1 {
            return id.map(|byte| byte.to_string()).join(".");
        }
        let name = id.iter().copied().take_while(u8::is_ascii_graphic);
        name.map(char::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A good reply, to random bits 7.
    pub(crate) fn reply() -> Header {
        Header {
            leap: 0,
            version: 4,
            mode: 4,
            stratum: 2,
            poll: 6,
            precision: -20,
            root_delay: 65,
            root_dispersion: 131,
            reference_id: [192, 0, 2, 1],
            reference: NtpTime::from_bits(0xe8f0_0000 << 32),
            origin: NtpTime::from_bits(7),
            receive: NtpTime::from_bits(0xe8f0_0001 << 32),
            transmit: NtpTime::from_bits(0xe8f0_0001 << 32 | 0x1000),
        }
    }

    #[test]
    fn the_bytes_are_where_rfc_5905_puts_them() {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&[0b01_100_100, 2, 6, 0xec]);
        bytes[4..16].copy_from_slice(&[0, 0, 0, 65, 0, 0, 0, 131, 192, 0, 2, 1]);
        for (i, seconds) in [0xe8f0_0000u32, 0, 0xe8f0_0001, 0xe8f0_0001].into_iter().enumerate() {
            bytes[16 + 8 * i..20 + 8 * i].copy_from_slice(&seconds.to_be_bytes());
        }
        bytes[31] = 7;
        bytes[46] = 0x10;
        assert_eq!(Header::decode(&bytes), Header { leap: 1, ..reply() });
        assert_eq!(Header { leap: 1, ..reply() }.encode(), bytes);
        let request = Header::request(0x0102_0304_0506_0708).encode();
        assert_eq!(request[..4], [0x23, 0, 0, 0x20]);
        assert!(request[4..40].iter().all(|&byte| byte == 0), "it tells nothing");
        assert_eq!(request[40..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_is_refused_and_why() {
        let good = reply();
        let at = |bits| NtpTime::from_bits(bits);
        let cases = [
            (good, Ok(())),
            (Header { leap: 2, ..good }, Ok(())),
            (Header { leap: 3, ..good }, Err(PacketError::Unsynchronized)),
            (Header { version: 3, ..good }, Err(PacketError::Version(3))),
            (Header { mode: 3, ..good }, Err(PacketError::Mode(3))),
            (Header { mode: 5, ..good }, Err(PacketError::Mode(5))),
            (
                Header { stratum: 0, reference_id: *b"RATE", ..good },
                Err(PacketError::Kiss(*b"RATE")),
            ),
            // A kiss is told as one, whatever else the packet has.
            (
                Header { stratum: 0, leap: 3, reference_id: *b"DENY", ..good },
                Err(PacketError::Kiss(*b"DENY")),
            ),
            (Header { stratum: 15, ..good }, Ok(())),
            (Header { stratum: 16, ..good }, Err(PacketError::Stratum(16))),
            (Header { stratum: 255, ..good }, Err(PacketError::Stratum(255))),
            (
                Header { stratum: 1, reference_id: *b"LOCL", ..good },
                Err(PacketError::LocalClock(*b"LOCL")),
            ),
            (Header { stratum: 2, reference_id: *b"LOCL", ..good }, Ok(())),
            (
                Header { reference_id: [127, 127, 1, 9], ..good },
                Err(PacketError::LocalClock([127, 127, 1, 9])),
            ),
            (
                Header { stratum: 1, reference_id: [127, 127, 1, 1], ..good },
                Err(PacketError::LocalClock([127, 127, 1, 1])),
            ),
            (Header { reference_id: [127, 0, 0, 1], ..good }, Ok(())),
            (Header { receive: at(0), ..good }, Err(PacketError::NoTime)),
            (Header { transmit: at(0), ..good }, Err(PacketError::NoTime)),
            (
                Header { transmit: at(good.receive.to_bits() - 1), ..good },
                Err(PacketError::Backwards),
            ),
            (Header { transmit: good.receive, ..good }, Ok(())),
            // The era ends between the two stamps.
            (Header { receive: at(u64::MAX), transmit: at(5), ..good }, Ok(())),
            (
                Header { root_dispersion: 1 << 16, ..good },
                Err(PacketError::RootDistance(1_000_519_754)),
            ),
            (
                Header { root_delay: u32::MAX, ..good },
                Err(PacketError::RootDistance(32_768_002_015_115)),
            ),
            (Header { precision: 0, ..good }, Err(PacketError::RootDistance(1_002_517_702))),
        ];
        for (header, verdict) in cases {
            assert_eq!(header.check(), verdict, "{header:?}");
            if let Err(error) = verdict {
                assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn the_bound_is_rounded_up_and_covers_what_the_server_cut_off() {
        let bound = |root_delay, root_dispersion, precision| {
            Header { root_delay, root_dispersion, precision, ..reply() }.bound_ns()
        };
        // Nothing stated: a unit of each is 15 258.8 ns, half of it counts for the delay.
        assert_eq!(bound(0, 0, -32), 7_630 + 15_259 + 1);
        assert_eq!(bound(65_535, 0, -32), 500_000_000 + 15_259 + 1);
        assert_eq!(bound(0, 65_535, -32), 7_630 + 1_000_000_000 + 1);
        assert_eq!(bound(0, 0, -20), 7_630 + 15_259 + 954);
        assert_eq!(bound(0, 0, -128), 7_630 + 15_259 + 1);
        assert!(bound(u32::MAX, u32::MAX, 127) > MAX_DISTANCE_NS);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_and_are_written_back(bytes: [u8; 32], rest: [u8; 16]) {
            let mut all = [0; HEADER];
            all[..32].copy_from_slice(&bytes);
            all[32..].copy_from_slice(&rest);
            let header = Header::decode(&all);
            prop_assert_eq!(header.encode(), all);
            let (_, _) = (header.check(), header.follows());
        }

        #[test]
        fn a_packet_is_split_or_refused(length in 0usize..2_000) {
            let packet = vec![0; length];
            let fits = (HEADER..=LONGEST).contains(&length) && length % 4 == 0;
            prop_assert_eq!(split(&packet).is_ok(), fits, "{} bytes", length);
        }
    }
}
