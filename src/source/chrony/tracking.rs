//! [`Tracking`]: the request and the reply of chrony's TRACKING command, byte by byte.
//!
//! A reply comes from another process, so each field is checked. A field has a range, and a
//! value outside it is an error that names the field. Numbers that go into the error bound
//! are converted to nanoseconds in integers and rounded up. chronyd sends them as floats of
//! 25 bits, which it has rounded *down* by up to one unit. That unit is added too, because
//! half a second would otherwise be understated by up to 30 ns.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::timestamp::NANOS_PER_SECOND;

/// The length of a TRACKING request and of its reply, in bytes.
///
/// Requests are padded to the length of the reply, so that chronyd cannot be used to amplify
/// traffic. It does not answer a shorter one.
pub const PACKET: usize = 104;

pub(super) const VERSION: u8 = 6;
pub(super) const REQUEST: u8 = 1;
pub(super) const REPLY: u8 = 2;
const TRACKING_COMMAND: u16 = 33;
const TRACKING_REPLY: u16 = 5;
pub(super) const SUCCESS: u16 = 0;
/// Stratum 16 is NTP's "unsynchronised".
const MAX_STRATUM: u16 = 16;

/// chronyd's report on its clock.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tracking {
    /// What chronyd follows.
    pub reference: Reference,
    /// Hops from a primary source: 1 is next to one. 0 while unsynchronised.
    pub stratum: u16,
    /// Whether chronyd is synchronised, and whether a leap second is coming.
    pub leap: Leap,
    /// The time of the last measurement of the reference, since 1970-01-01 UTC.
    pub reference_time: Duration,
    /// How far the wall clock is from chronyd's estimate, at most, in ns.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub correction_ns: u64,
    /// The network round trip to the primary source, at most, in ns.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub root_delay_ns: u64,
    /// The error that clocks on the way to the primary source add, at most, in ns.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub root_dispersion_ns: u64,
    /// The last measured offset of the reference, seconds.
    pub last_offset: f64,
    /// A running average of the measured offsets, seconds.
    pub rms_offset: f64,
    /// How fast the clock would run if chronyd did not correct it, ppm.
    pub frequency_ppm: f64,
    /// How far the reference's frequency is from the one in use, ppm.
    pub residual_frequency_ppm: f64,
    /// How uncertain the frequency is, ppm.
    pub skew_ppm: f64,
    /// How long it was between the last two updates, seconds.
    pub update_interval: f64,
}

/// chronyd's leap status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Leap {
    /// Synchronised, and no leap second is announced.
    Normal,
    /// Synchronised, and the day ends with a 61st second.
    Insert,
    /// Synchronised, and the day ends a second early.
    Delete,
    /// Not synchronised.
    Unsynchronized,
}

impl fmt::Display for Leap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Leap::Normal => "no leap second announced",
            Leap::Insert => "a leap second will be inserted",
            Leap::Delete => "a leap second will be deleted",
            Leap::Unsynchronized => "not synchronised",
        })
    }
}

/// chronyd's reference: a server by its address, or a reference clock by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Reference {
    /// NTP's reference identifier.
    pub id: u32,
    /// The server's address; none for a reference clock.
    pub address: Option<IpAddr>,
}

impl Reference {
    /// The identifier of chronyd's `local` directive: it follows nothing but itself.
    pub const LOCAL: u32 = 0x7f7f_0101;
    /// `LOCL`, by which other programs name their own clock.
    const LOCL: u32 = u32::from_be_bytes(*b"LOCL");

    /// Whether chronyd follows nothing but its own clock, by the operator's order.
    pub fn is_local(&self) -> bool {
        self.id == Reference::LOCAL || self.address.is_none() && self.id == Reference::LOCL
    }

    /// Whether chronyd follows a reference clock (PHC, GPS, SHM, PPS) and not a server.
    ///
    /// A server has an address. A reference clock has a name in its place. chronyd takes the
    /// clock behind that name for exact, so its bound leaves that clock's own error out.
    pub fn is_reference_clock(&self) -> bool {
        self.address.is_none() && !self.is_local()
    }
}

/// `192.0.2.1`, `GPS`, `local clock`, or the identifier in hex.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_local() {
            return f.write_str("local clock");
        }
        if let Some(address) = self.address {
            return write!(f, "{address}");
        }
        let bytes = self.id.to_be_bytes();
        let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        match std::str::from_utf8(&bytes[..length]) {
            Ok(name) if length > 0 && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                f.write_str(name)
            }
            _ => write!(f, "{:08X}", self.id),
        }
    }
}

/// Why a reply has no report.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackingError {
    /// Fewer bytes than the reply has.
    #[error("a reply of {length} bytes, where TRACKING has {PACKET}")]
    Length {
        /// The length of the reply.
        length: usize,
    },
    /// Another version of the protocol.
    #[error("chronyd uses version {version} of its command protocol, and this program version 6")]
    Version {
        /// chronyd's version.
        version: u8,
    },
    /// Not a reply to this request: another sequence number, command or kind of packet.
    #[error("a packet that does not answer the request")]
    Stray,
    /// chronyd answered with an error.
    #[error(
        "chronyd refused the request with status {status}: allow it with `cmdallow 127.0.0.1` \
         in chrony.conf"
    )]
    Refused {
        /// `STT_…` of chrony's `candm.h`.
        status: u16,
    },
    /// A field has a value outside its range.
    #[error("chronyd's report is damaged: the field `{field}` holds {value}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}

impl TrackingError {
    /// Whether a later request can succeed without a change to the system.
    pub fn is_transient(&self) -> bool {
        match self {
            TrackingError::Length { .. } | TrackingError::Stray | TrackingError::Field { .. } => {
                true
            }
            TrackingError::Version { .. } | TrackingError::Refused { .. } => false,
        }
    }
}

/// The request for a report, which the reply will repeat `sequence` of.
pub fn request(sequence: u32) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = VERSION;
    packet[1] = REQUEST;
    packet[4..6].copy_from_slice(&TRACKING_COMMAND.to_be_bytes());
    packet[8..12].copy_from_slice(&sequence.to_be_bytes());
    packet
}

impl Tracking {
    /// The time between its last two updates, if it states one.
    pub(crate) fn interval(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.update_interval.max(0.0)).ok()
    }

    /// Whether it is of another update than a report with this reference time.
    ///
    /// chronyd also moves its reference time a little at each slew, and makes no two updates so
    /// soon after each other.
    pub(crate) fn is_after_update(&self, earlier_reference_time: Duration) -> bool {
        const LEAST_UPDATE: Duration = Duration::from_millis(100);
        self.reference_time.abs_diff(earlier_reference_time) >= LEAST_UPDATE
    }

    /// Reads the reply to [`request`]`(sequence)`.
    ///
    /// # Errors
    ///
    /// [`TrackingError::Stray`] for a packet that answers something else: wait
    /// for the next one. Any other error is about the answer itself.
    pub fn decode(packet: &[u8], sequence: u32) -> Result<Tracking, TrackingError> {
        let length = packet.len();
        // The header up to the sequence number says whether the rest is meant for us.
        if length < 20 {
            return Err(TrackingError::Length { length });
        }
        let fields = Fields(packet);
        if fields.u8(1) != REPLY || fields.u16(4) != TRACKING_COMMAND || fields.u32(16) != sequence
        {
            return Err(TrackingError::Stray);
        }
        if fields.u8(0) != VERSION {
            return Err(TrackingError::Version { version: fields.u8(0) });
        }
        let status = fields.u16(8);
        if status != SUCCESS {
            return Err(TrackingError::Refused { status });
        }
        if fields.u16(6) != TRACKING_REPLY {
            return Err(TrackingError::Stray);
        }
        if length < PACKET {
            return Err(TrackingError::Length { length });
        }
        fields.tracking()
    }

    /// How far `REALTIME` may be from UTC by chronyd's report, in ns. `None` if it has no bound.
    ///
    /// The bound is |current correction| + root delay / 2 + root dispersion, rounded up (RFC
    /// 5905, section 11.2). A chronyd that is not synchronised has no bound. Neither has one
    /// that follows only itself (`local`), because its zeros are not measured.
    pub fn bound_ns(&self) -> Option<u64> {
        if self.leap == Leap::Unsynchronized || self.reference.is_local() {
            return None;
        }
        let delay = self.root_delay_ns.div_ceil(2);
        Some(self.correction_ns.saturating_add(delay).saturating_add(self.root_dispersion_ns))
    }
}

/// One line: the reference, its distance, and the parts of the bound.
impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |nanos: u64| nanos.div_ceil(1000);
        if self.leap == Leap::Unsynchronized {
            f.write_str("chronyd is not synchronised; ")?;
        }
        write!(
            f,
            "chronyd follows {} (stratum {}), {}; root delay {} µs, root dispersion {} µs, \
             correction {} µs",
            self.reference,
            self.stratum,
            self.leap,
            micros(self.root_delay_ns),
            micros(self.root_dispersion_ns),
            micros(self.correction_ns),
        )
    }
}

/// A reply of full length.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        // Every caller has checked the length. Missing bytes would read as 0.
        if let Some(from) = self.0.get(at..at + N) {
            bytes.copy_from_slice(from);
        }
        bytes
    }

    pub(super) fn u8(&self, at: usize) -> u8 {
        self.bytes::<1>(at)[0]
    }

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    pub(super) fn float(&self, at: usize) -> Float {
        Float(self.u32(at))
    }

    fn tracking(&self) -> Result<Tracking, TrackingError> {
        let bad = |field, value| TrackingError::Field { field, value };
        let stratum = self.u16(52);
        if stratum > MAX_STRATUM {
            return Err(bad("stratum", stratum.into()));
        }
        let leap = match self.u16(54) {
            0 => Leap::Normal,
            1 => Leap::Insert,
            2 => Leap::Delete,
            3 => Leap::Unsynchronized,
            other => return Err(bad("leap status", other.into())),
        };
        let not_negative = |field, at| match self.float(at) {
            float if float.coefficient() < 0 => Err(bad(field, float.value())),
            float => Ok(float),
        };
        Ok(Tracking {
            reference: Reference { id: self.u32(28), address: self.address_at(32)? },
            stratum,
            leap,
            reference_time: self.reference_time()?,
            correction_ns: self.float(68).nanos_at_most(),
            last_offset: self.float(72).value(),
            rms_offset: not_negative("RMS offset", 76)?.value(),
            frequency_ppm: self.float(80).value(),
            residual_frequency_ppm: self.float(84).value(),
            skew_ppm: not_negative("skew", 88)?.value(),
            root_delay_ns: not_negative("root delay", 92)?.nanos_at_most(),
            root_dispersion_ns: not_negative("root dispersion", 96)?.nanos_at_most(),
            update_interval: not_negative("update interval", 100)?.value(),
        })
    }

    /// 16 bytes of address, the family (0 none, 1 IPv4, 2 IPv6, 3 a name not resolved yet), padding.
    pub(super) fn address_at(&self, at: usize) -> Result<Option<IpAddr>, TrackingError> {
        match self.u16(at + 16) {
            0 | 3 => Ok(None),
            1 => Ok(Some(Ipv4Addr::from(self.bytes::<4>(at)).into())),
            2 => Ok(Some(Ipv6Addr::from(self.bytes::<16>(at)).into())),
            family => Err(TrackingError::Field { field: "address family", value: family.into() }),
        }
    }

    /// Seconds in two halves, then nanoseconds. The upper half may be
    /// 0x7fffffff, which says that the sender has seconds of 32 bits.
    fn reference_time(&self) -> Result<Duration, TrackingError> {
        let (high, low, nanos) = (self.u32(56), self.u32(60), self.u32(64));
        if i64::from(nanos) >= NANOS_PER_SECOND {
            return Err(TrackingError::Field { field: "reference time", value: nanos.into() });
        }
        let high = if high == 0x7fff_ffff { 0 } else { high };
        Ok(Duration::new(u64::from(high) << 32 | u64::from(low), nanos))
    }
}

/// chrony's float: a signed exponent of 7 bits, then a signed coefficient of
/// 25; the value is coefficient × 2^(exponent − 25).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Float(u32);

const COEFFICIENT_BITS: u32 = 25;

impl Float {
    fn exponent(self) -> i32 {
        // Shifting right as a signed number brings the sign down.
        (self.0 as i32 >> COEFFICIENT_BITS) - COEFFICIENT_BITS as i32
    }

    fn coefficient(self) -> i32 {
        (self.0 << (32 - COEFFICIENT_BITS)) as i32 >> (32 - COEFFICIENT_BITS)
    }

    pub(super) fn value(self) -> f64 {
        f64::from(self.coefficient()) * 2f64.powi(self.exponent())
    }

    /// The magnitude in ns if the value is in seconds, rounded up, and with the
    /// unit that chronyd may have cut off when it made the coefficient.
    pub(super) fn nanos_at_most(self) -> u64 {
        if self.0 == 0 {
            return 0; // chronyd's exact zero
        }
        let coefficient = u128::from(self.coefficient().unsigned_abs()) + 1;
        let nanos = coefficient * NANOS_PER_SECOND as u128;
        // At most 2^24 + 1, times 2^30, times 2^38: far below 2^128.
        let nanos = match self.exponent() {
            shift @ 0.. => nanos << shift,
            shift => nanos.div_ceil(1 << shift.unsigned_abs()),
        };
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
