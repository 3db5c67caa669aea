//! [`NtpMessage`]: the last exchange of systemd-timesyncd with its server, as it publishes it.
//!
//! The property `NTPMessage` has the four stamps of an NTP exchange. T1 and T4 are of this host's
//! wall clock: when the request was sent, and when the reply arrived. T2 and T3 are the server's.
//! All are in whole microseconds, rounded down. What the server states of its own error stands
//! beside them.
//!
//! Before the first exchange everything is 0, but for the server's stamps. These are the NTP
//! time 0 on the Unix scale, which is before 1970 and wraps. The same happens to every stamp from
//! February 2036 on, when NTP's seconds begin again: so what is beyond half of the range is of the
//! next era.

use std::fmt;
use std::time::Duration;

use super::wire::{Malformed, Parser};

/// The type of the property.
pub(super) const SIGNATURE: &str = "(uuuuittayttttbtt)";

/// One exchange. Stamps are in microseconds since 1970, rounded down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NtpMessage {
    /// The server's leap indicator: 3 says that it is not synchronised.
    pub leap: u32,
    /// The server's mode, which is 4.
    pub mode: u32,
    /// The server's distance from a primary clock.
    pub stratum: u32,
    /// The server's clock has steps of 2^precision seconds.
    pub precision: i32,
    /// The round trip from the server to the primary clock, in microseconds.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub root_delay_us: u64,
    /// How far the server's clock may be off beside that, in microseconds.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub root_dispersion_us: u64,
    /// What the server follows.
    pub reference: [u8; 4],
    /// T1: this host's wall clock when the request was sent.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub origin_us: i64,
    /// T2: the server's clock when the request arrived there.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub receive_us: i64,
    /// T3: the server's clock when the reply was sent.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub transmit_us: i64,
    /// T4: this host's wall clock when the reply arrived.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub destination_us: i64,
    /// timesyncd took this exchange for an outlier, and corrected nothing by it.
    pub spike: bool,
    /// How many exchanges the daemon has made.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub packet_count: u64,
}

/// Why an exchange gives no interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NtpMessageError {
    /// The daemon has not reached a server.
    #[error("timesyncd has not reached a server yet")]
    NoExchange,
    /// The server says that it is not synchronised.
    #[error("timesyncd's server says that it is not synchronised (leap {leap}, stratum {stratum})")]
    Unsynchronized {
        /// Its leap indicator.
        leap: u32,
        /// Its stratum.
        stratum: u32,
    },
    /// The packet was not a server's reply.
    #[error("timesyncd's last packet has mode {0}, which is not a server's")]
    Mode(u32),
    /// The server follows nothing but its own clock.
    #[error(
        "timesyncd's server follows its own undisciplined clock: configure a server that follows \
         another one"
    )]
    LocalClock,
    /// The server's stamps are in the wrong order.
    #[error("timesyncd's server sent its reply before it received the request, by its own stamps")]
    Backwards,
    /// The server is further off than NTP allows.
    #[error("timesyncd's server may be off by {0:?}, which is beyond NTP's limit of 16 s")]
    RootDistance(Duration),
    /// A stamp is not in the years from 1970 to 2262.
    #[error("a stamp of timesyncd's last exchange is outside of the years from 1970 to 2262")]
    Range,
}

/// NTP's seconds begin again after 2^32, in microseconds.
const ERA_US: u64 = (1 << 32) * 1_000_000;

/// NTP's largest error: beyond it a clock is not synchronised.
const LARGEST_ROOT_DISTANCE_NS: u64 = 16_000_000_000;

/// Before 1970 by its own count, which wraps: of the next era.
fn of_era(server_us: u64) -> i64 {
    let unwrapped =
        if server_us > u64::MAX / 2 { server_us.wrapping_add(ERA_US) } else { server_us };
    i64::try_from(unwrapped).unwrap_or(i64::MAX)
}

impl NtpMessage {
    /// Reads the value of the property, which has [`SIGNATURE`].
    pub(super) fn parse(body: &mut Parser<'_>) -> Result<NtpMessage, Malformed> {
        body.align(8)?;
        let (leap, _version, mode, stratum) = (body.u32()?, body.u32()?, body.u32()?, body.u32()?);
        let precision = body.i32()?;
        let (root_delay_us, root_dispersion_us) = (body.u64()?, body.u64()?);
        let bytes = body.bytes()?;
        let reference = bytes.try_into().map_err(|_| Malformed("a reference has not 4 bytes"))?;
        let (origin, receive, transmit) = (body.u64()?, body.u64()?, body.u64()?);
        let destination = body.u64()?;
        let own = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
        let message = NtpMessage {
            leap,
            mode,
            stratum,
            precision,
            root_delay_us,
            root_dispersion_us,
            reference,
            origin_us: own(origin),
            receive_us: of_era(receive),
            transmit_us: of_era(transmit),
            destination_us: own(destination),
            spike: body.boolean()?,
            packet_count: body.u64()?,
        };
        let _jitter = body.u64()?;
        Ok(message)
    }

    /// How far the server's clock may be off, in ns, rounded up: half of the root delay, the root
    /// dispersion, its step, and what the microseconds were rounded by.
    pub fn root_distance_ns(&self) -> u64 {
        let delay = self.root_delay_us.saturating_add(1).saturating_mul(1_000).div_ceil(2);
        let dispersion = self.root_dispersion_us.saturating_add(1).saturating_mul(1_000);
        let precision = match self.precision {
            ..=-1 => (1_000_000_000u64 >> self.precision.unsigned_abs().min(63)) + 1,
            0..34 => 1_000_000_000u64 << self.precision,
            _ => u64::MAX,
        };
        delay.saturating_add(dispersion).saturating_add(precision)
    }

    /// Whether the exchange states an interval.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn check(&self) -> Result<(), NtpMessageError> {
        if self.packet_count == 0 {
            return Err(NtpMessageError::NoExchange);
        }
        let NtpMessage { leap, stratum, mode, .. } = *self;
        if leap > 2 || !(1..=15).contains(&stratum) {
            return Err(NtpMessageError::Unsynchronized { leap, stratum });
        }
        if mode != 4 {
            return Err(NtpMessageError::Mode(mode));
        }
        if self.reference[..2] == [127, 127] || self.reference == *b"LOCL" {
            return Err(NtpMessageError::LocalClock);
        }
        let stamps = [self.origin_us, self.receive_us, self.transmit_us, self.destination_us];
        if stamps.iter().any(|us| !(0..=LATEST_US).contains(us)) {
            return Err(NtpMessageError::Range);
        }
        if self.transmit_us < self.receive_us {
            return Err(NtpMessageError::Backwards);
        }
        let distance = self.root_distance_ns();
        if distance > LARGEST_ROOT_DISTANCE_NS {
            return Err(NtpMessageError::RootDistance(Duration::from_nanos(distance)));
        }
        Ok(())
    }

    /// Where true time was at the latest when the reply was sent, in ns of Unix time: what follows
    /// for the moment T4 from below.
    pub(super) fn earliest_ns(&self) -> i64 {
        (self.transmit_us * 1_000).saturating_sub_unsigned(self.root_distance_ns())
    }

    /// The latest that true time was when the request arrived, in ns of Unix time. For the moment
    /// T4 the time since the moment T1 comes on top.
    pub(super) fn latest_at_receive_ns(&self) -> i64 {
        (self.receive_us * 1_000 + STAMP_NS).saturating_add_unsigned(self.root_distance_ns())
    }

    /// By how much timesyncd found the clock to be behind, in ns, to within 1 µs either way.
    pub(super) fn offset_ns(&self) -> i64 {
        let ahead = |server: i64, own: i64| i128::from(server) - i128::from(own);
        let twice =
            ahead(self.receive_us, self.origin_us) + ahead(self.transmit_us, self.destination_us);
        // Within i64 for stamps of this range.
        i64::try_from(twice * 500).unwrap_or(i64::MAX)
    }
}

/// A stamp is rounded down by up to so much, in ns.
pub(super) const STAMP_NS: i64 = 1_000;

/// Ten years short of where i64 nanoseconds end, so that sums of two stamps and an error fit.
const LATEST_US: i64 = i64::MAX / 1_000 - 10 * 366 * 86_400 * 1_000_000;

impl fmt::Display for NtpMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |ns: u64| ns as f64 / 1e6;
        let round_trip_us = self.destination_us.saturating_sub(self.origin_us).max(0);
        write!(
            f,
            "stratum {}, root distance {:.3} ms, round trip {:.3} ms",
            self.stratum,
            millis(self.root_distance_ns()),
            millis(round_trip_us.unsigned_abs().saturating_mul(1_000)),
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 2026-11-28T22:00:00Z.
    pub(crate) const BASE_US: i64 = 1_795_903_200_000_000;

    /// An honest exchange of 20 ms with a server that is 3 ms ahead.
    pub(crate) fn message() -> NtpMessage {
        NtpMessage {
            leap: 0,
            mode: 4,
            stratum: 2,
            precision: -20,
            root_delay_us: 1_000,
            root_dispersion_us: 500,
            reference: [10, 0, 0, 1],
            origin_us: BASE_US,
            receive_us: BASE_US + 13_000,
            transmit_us: BASE_US + 13_100,
            destination_us: BASE_US + 20_100,
            spike: false,
            packet_count: 3,
        }
    }

    /// The property's value in this byte order, as it stands in a message after its signature.
    pub(crate) fn encode(message: &NtpMessage, is_big: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let word = |word: u32| if is_big { word.to_be_bytes() } else { word.to_le_bytes() };
        let long = |word: u64| if is_big { word.to_be_bytes() } else { word.to_le_bytes() };
        let NtpMessage { leap, mode, stratum, precision, .. } = *message;
        for field in [leap, 4, mode, stratum, precision as u32, 0] {
            out.extend(word(field));
        }
        out.extend(long(message.root_delay_us));
        out.extend(long(message.root_dispersion_us));
        out.extend(word(4));
        out.extend(message.reference);
        let stamps = [message.origin_us, message.receive_us, message.transmit_us];
        for stamp in stamps.into_iter().chain([message.destination_us]) {
            out.extend(long(stamp as u64));
        }
        out.extend(word(message.spike.into()));
        out.extend(word(0));
        out.extend(long(message.packet_count));
        out.extend(long(77));
        out
    }

    #[test]
    fn the_property_is_read_in_both_byte_orders() {
        let spike = NtpMessage { spike: true, ..message() };
        for is_big in [false, true] {
            for message in [message(), spike] {
                let bytes = encode(&message, is_big);
                let read = NtpMessage::parse(&mut Parser::new(&bytes, is_big));
                assert_eq!(read, Ok(message));
                for end in 0..bytes.len() {
                    let cut = NtpMessage::parse(&mut Parser::new(&bytes[..end], is_big));
                    assert!(cut.is_err(), "cut at {end}");
                }
            }
        }
    }

    #[test]
    fn the_message_before_the_first_exchange_is_none() {
        let mut zero = NtpMessage {
            leap: 0,
            mode: 0,
            stratum: 0,
            precision: 0,
            root_delay_us: 0,
            root_dispersion_us: 0,
            reference: [0; 4],
            origin_us: 0,
            receive_us: 0,
            transmit_us: 0,
            destination_us: 0,
            spike: false,
            packet_count: 0,
        };
        assert_eq!(zero.check(), Err(NtpMessageError::NoExchange));
        // As it was seen: NTP's time 0.
        let wrapped = 18_444_535_084_909_551_616;
        assert_eq!(of_era(wrapped), of_era(0_u64.wrapping_sub(2_208_988_800_000_000)));
        zero.receive_us = of_era(wrapped);
        assert_eq!(zero.check(), Err(NtpMessageError::NoExchange));
    }

    #[test]
    fn a_stamp_of_the_next_era_is_after_2036() {
        // 2036-02-07T06:28:16Z is second 0 of era 1.
        let first = 2_085_978_496_000_000;
        assert_eq!(of_era(0_u64.wrapping_sub(2_208_988_800_000_000)), first);
        assert_eq!(of_era(5_000_000_u64.wrapping_sub(2_208_988_800_000_000)), first + 5_000_000);
        assert_eq!(of_era(BASE_US as u64), BASE_US);
    }

    #[test]
    fn what_is_not_an_exchange_with_a_synchronised_server_is_refused() {
        use NtpMessageError::{Backwards, LocalClock, Mode, NoExchange, Range};
        let good = message();
        let cases = [
            (NtpMessage { packet_count: 0, ..good }, NoExchange),
            (
                NtpMessage { leap: 3, ..good },
                NtpMessageError::Unsynchronized { leap: 3, stratum: 2 },
            ),
            (
                NtpMessage { stratum: 0, ..good },
                NtpMessageError::Unsynchronized { leap: 0, stratum: 0 },
            ),
            (
                NtpMessage { stratum: 16, ..good },
                NtpMessageError::Unsynchronized { leap: 0, stratum: 16 },
            ),
            (NtpMessage { mode: 3, ..good }, Mode(3)),
            (NtpMessage { reference: [127, 127, 1, 1], ..good }, LocalClock),
            (NtpMessage { reference: *b"LOCL", ..good }, LocalClock),
            (NtpMessage { transmit_us: good.receive_us - 1, ..good }, Backwards),
            (NtpMessage { receive_us: i64::MAX, ..good }, Range),
            (NtpMessage { origin_us: i64::MAX, ..good }, Range),
            (NtpMessage { destination_us: -1, ..good }, Range),
        ];
        for (message, why) in cases {
            assert_eq!(message.check(), Err(why), "{message:?}");
        }
        for leap in 0..3 {
            assert_eq!(NtpMessage { leap, ..good }.check(), Ok(()));
        }
        for (root_delay_us, precision) in [(u64::MAX, -20), (32_000_000, -20), (0, 40), (0, 5)] {
            let far = NtpMessage { root_delay_us, precision, ..good };
            assert!(matches!(far.check(), Err(NtpMessageError::RootDistance(_))), "{far:?}");
        }
    }

    #[test]
    fn every_quantity_was_rounded_down_and_counts_with_what_it_may_have_lost() {
        // (1000 + 1) / 2 + 500 + 1 µs, and a step of 2^-20 s.
        assert_eq!(message().root_distance_ns(), 500_500 + 501_000 + 954);
        let whole =
            NtpMessage { precision: 0, root_delay_us: 0, root_dispersion_us: 0, ..message() };
        assert_eq!(whole.root_distance_ns(), 500 + 1_000 + 1_000_000_000);
        let fine = NtpMessage { precision: i32::MIN, ..whole };
        assert_eq!(fine.root_distance_ns(), 500 + 1_000 + 1);
        let m = message();
        assert_eq!(m.earliest_ns(), (BASE_US + 13_100) * 1_000 - 1_002_454);
        assert_eq!(m.latest_at_receive_ns(), (BASE_US + 13_000) * 1_000 + 1_000 + 1_002_454);
        assert_eq!(m.offset_ns(), 3_000_000);
    }
}
