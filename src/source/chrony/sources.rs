//! [`ChronySource`]: what chronyd follows, by the commands N_SOURCES and SOURCE_DATA.
//!
//! Both are open to any user, as TRACKING is. The first tells how many sources there are, and the
//! second describes one of them.

use std::net::IpAddr;
use std::time::Duration;

use super::tracking::{Fields, REPLY, REQUEST, SUCCESS, TrackingError, VERSION};

const N_SOURCES_COMMAND: u16 = 14;
const N_SOURCES_REPLY: u16 = 2;
const SOURCE_DATA_COMMAND: u16 = 15;
const SOURCE_DATA_REPLY: u16 = 3;

/// The lengths of the two replies, to which requests are padded.
const N_SOURCES_LENGTH: usize = 32;
pub(super) const SOURCE_DATA_LENGTH: usize = 76;

/// chronyd has no more sources than this; a larger number is damage.
const MAX_SOURCES: u32 = 1_024;

/// The age of a measurement that was never made.
const NEVER: u32 = u32::MAX;

/// A source of chronyd's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ChronySource {
    /// Its address. None for a reference clock, or a name that is not looked up yet.
    pub address: Option<IpAddr>,
    /// Whether it is a server, a peer or a reference clock.
    pub mode: SourceMode,
    /// What chronyd thinks of it.
    pub state: SourceState,
    /// Hops from a primary source.
    pub stratum: u16,
    /// The poll interval, in log2 s.
    pub poll: i16,
    /// Which of the last eight polls were answered, a bit each.
    pub reach: u16,
    /// Its newest measurement, if there is one.
    pub newest: Option<NewestMeasurement>,
}

/// The newest measurement of a source by chronyd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NewestMeasurement {
    /// How far chronyd's clock was from what the measurement showed, at most, in ns. What chronyd
    /// has learnt and corrected since is taken off.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub offset_ns: u64,
    /// How far the measurement itself may be off, at most, in ns: half of the round trip to the
    /// primary source, and the dispersion on the way there.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub error_ns: u64,
    /// How long ago it was made, to within a second.
    pub age: Duration,
}

/// What kind of source it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SourceMode {
    /// An NTP server.
    Server,
    /// An NTP peer.
    Peer,
    /// A clock at the host.
    ReferenceClock,
    /// Something that this crate does not know.
    Other,
}

/// What chronyd thinks of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SourceState {
    /// It is followed.
    Selected,
    /// It cannot be followed now.
    Nonselectable,
    /// The others show that it is wrong.
    Falseticker,
    /// It is too unsteady.
    Jittery,
    /// It is combined with the one that is followed.
    Unselected,
    /// It could be followed, and is too far away to be combined with the one that is.
    Selectable,
    /// Something that this crate does not know.
    Other,
}

impl ChronySource {
    /// Whether it is an NTP server that answers, and that chronyd does not take for wrong.
    pub fn is_followed(&self) -> bool {
        let is_good = matches!(
            self.state,
            SourceState::Selected | SourceState::Unselected | SourceState::Selectable
        );
        self.mode == SourceMode::Server && self.reach != 0 && is_good
    }

    /// Whether chronyd's estimate may rest on it.
    pub(super) fn may_be_combined(&self) -> bool {
        matches!(
            self.state,
            SourceState::Selected | SourceState::Unselected | SourceState::Selectable
        )
    }
}

/// A command and its reply.
#[derive(Clone, Copy)]
pub(super) struct Command {
    command: u16,
    reply: u16,
    length: usize,
}

/// How many sources there are.
pub(super) const COUNT: Command =
    Command::new(N_SOURCES_COMMAND, N_SOURCES_REPLY, N_SOURCES_LENGTH);
/// One of them.
pub(super) const DATA: Command =
    Command::new(SOURCE_DATA_COMMAND, SOURCE_DATA_REPLY, SOURCE_DATA_LENGTH);

impl Command {
    pub(super) const fn new(command: u16, reply: u16, length: usize) -> Command {
        Command { command, reply, length }
    }

    /// The request, with its argument.
    pub(super) fn request(&self, sequence: u32, index: u32) -> Vec<u8> {
        let mut packet = vec![0; self.length];
        packet[0] = VERSION;
        packet[1] = REQUEST;
        packet[4..6].copy_from_slice(&self.command.to_be_bytes());
        packet[8..12].copy_from_slice(&sequence.to_be_bytes());
        packet[20..24].copy_from_slice(&index.to_be_bytes());
        packet
    }

    /// Whether a packet is the reply, whole.
    pub(super) fn check<'a>(
        &self,
        packet: &'a [u8],
        sequence: u32,
    ) -> Result<Fields<'a>, TrackingError> {
        let length = packet.len();
        if length < 20 {
            return Err(TrackingError::Length { length });
        }
        let fields = Fields(packet);
        let is_ours = fields.u8(1) == REPLY && fields.u16(4) == self.command;
        if !is_ours || fields.u32(16) != sequence {
            return Err(TrackingError::Stray);
        }
        if fields.u8(0) != VERSION {
            return Err(TrackingError::Version { version: fields.u8(0) });
        }
        match fields.u16(8) {
            SUCCESS if fields.u16(6) != self.reply => Err(TrackingError::Stray),
            SUCCESS if length < self.length => Err(TrackingError::Length { length }),
            SUCCESS => Ok(fields),
            status => Err(TrackingError::Refused { status }),
        }
    }
}

/// How many sources chronyd has.
///
/// # Errors
///
/// As [`Tracking::decode`](super::Tracking::decode).
pub(super) fn decode_count(packet: &[u8], sequence: u32) -> Result<u32, TrackingError> {
    match COUNT.check(packet, sequence)?.u32(28) {
        count @ 0..=MAX_SOURCES => Ok(count),
        count => Err(TrackingError::Field { field: "number of sources", value: count.into() }),
    }
}

impl ChronySource {
    /// Reads the reply to a request with this sequence number.
    ///
    /// # Errors
    ///
    /// As [`Tracking::decode`](super::Tracking::decode).
    pub fn decode(packet: &[u8], sequence: u32) -> Result<ChronySource, TrackingError> {
        let fields = DATA.check(packet, sequence)?;
        let mode = match fields.u16(54) {
            0 => SourceMode::Server,
            1 => SourceMode::Peer,
            2 => SourceMode::ReferenceClock,
            _ => SourceMode::Other,
        };
        let address = match mode {
            // It has the clock's name in the place of an address.
            SourceMode::ReferenceClock => None,
            _ => fields.address_at(28)?,
        };
        let error = fields.float(72);
        if error.value() < 0.0 {
            return Err(TrackingError::Field {
                field: "measurement's error",
                value: error.value(),
            });
        }
        let age_s = fields.u32(60);
        let newest = NewestMeasurement {
            offset_ns: fields.float(68).nanos_at_most(),
            error_ns: error.nanos_at_most(),
            age: Duration::from_secs(age_s.into()),
        };
        Ok(ChronySource {
            address,
            mode,
            state: match fields.u16(52) {
                0 => SourceState::Selected,
                1 => SourceState::Nonselectable,
                2 => SourceState::Falseticker,
                3 => SourceState::Jittery,
                4 => SourceState::Unselected,
                5 => SourceState::Selectable,
                _ => SourceState::Other,
            },
            stratum: fields.u16(50),
            poll: fields.u16(48) as i16,
            reach: fields.u16(58),
            newest: (age_s != NEVER).then_some(newest),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A source whose newest measurement is off by so much.
    pub(in crate::source::chrony) fn source(
        state: SourceState,
        mode: SourceMode,
        offset_ns: u64,
    ) -> ChronySource {
        let source = ChronySource::decode(&reply(1, 0, 0, 255), 7).expect("good");
        let newest = NewestMeasurement { offset_ns, error_ns: 1, age: Duration::ZERO };
        ChronySource { state, mode, newest: Some(newest), ..source }
    }

    /// A reply to SOURCE_DATA, as chronyd 4.9 sends it.
    fn reply(family: u16, state: u16, mode: u16, reach: u16) -> Vec<u8> {
        let mut packet = vec![0; SOURCE_DATA_LENGTH];
        packet[..8].copy_from_slice(&[6, 2, 0, 0, 0, 15, 0, 3]);
        packet[16..20].copy_from_slice(&7u32.to_be_bytes());
        packet[28..32].copy_from_slice(&[192, 0, 2, 9]);
        let words = [(44, family), (48, 6), (50, 2), (52, state), (54, mode), (58, reach)];
        for (at, word) in words {
            packet[at..at + 2].copy_from_slice(&word.to_be_bytes());
        }
        packet
    }

    #[test]
    fn a_source_is_read_and_what_is_followed_is_known() {
        let source = ChronySource::decode(&reply(1, 0, 0, 0o377), 7).expect("good");
        assert_eq!(source.address, Some([192, 0, 2, 9].into()));
        assert_eq!((source.stratum, source.poll, source.reach), (2, 6, 255));
        let followed = |state, mode, reach| {
            ChronySource::decode(&reply(1, state, mode, reach), 7).expect("good").is_followed()
        };
        assert!(followed(0, 0, 1) && followed(4, 0, 1) && followed(5, 0, 255));
        assert!(!followed(2, 0, 255), "a falseticker");
        assert!(!followed(1, 0, 255) && !followed(3, 0, 255) && !followed(9, 0, 255));
        assert!(!followed(0, 2, 255), "a reference clock");
        assert!(!followed(0, 0, 0), "it does not answer");
        let clock = ChronySource::decode(&reply(0, 0, 2, 255), 7).expect("good");
        assert_eq!(clock.address, None);
    }

    #[test]
    fn the_newest_measurement_of_a_real_chronyd_is_read() {
        let mut packet = reply(1, 0, 0, 255);
        // 0.841 µs off, to within 6.579 µs, as chronyd 4.3 answered.
        packet[60..76].copy_from_slice(&[
            0, 0, 0, 9, 0xdc, 0x82, 0xdc, 0xbf, 0xda, 0xe1, 0xcf, 0x81, 0xe0, 0xdc, 0xc3, 0xf1,
        ]);
        let newest = ChronySource::decode(&packet, 7).expect("good").newest;
        let age = Duration::from_secs(9);
        assert_eq!(newest, Some(NewestMeasurement { offset_ns: 842, error_ns: 6_580, age }));
        packet[60..64].fill(0xff);
        assert_eq!(ChronySource::decode(&packet, 7).expect("good").newest, None, "never");
        packet[72] = 0xe1;
        let damaged = ChronySource::decode(&packet, 7);
        assert!(matches!(damaged, Err(TrackingError::Field { .. })), "{damaged:?}");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let good = reply(1, 0, 0, 1);
        assert_eq!(ChronySource::decode(&good, 8), Err(TrackingError::Stray));
        assert_eq!(ChronySource::decode(&good[..75], 7), Err(TrackingError::Length { length: 75 }));
        assert!(ChronySource::decode(&good[..19], 7).is_err());
        let mut refused = good.clone();
        refused[9] = 2;
        assert_eq!(ChronySource::decode(&refused, 7), Err(TrackingError::Refused { status: 2 }));
        let mut other = good.clone();
        other[0] = 5;
        assert_eq!(ChronySource::decode(&other, 7), Err(TrackingError::Version { version: 5 }));
        assert!(ChronySource::decode(&reply(7, 0, 0, 1), 7).is_err(), "an unknown family");
        let mut count = vec![0; N_SOURCES_LENGTH];
        count[..8].copy_from_slice(&[6, 2, 0, 0, 0, 14, 0, 2]);
        count[31] = 4;
        assert_eq!(decode_count(&count, 0), Ok(4));
        count[28] = 1;
        assert!(decode_count(&count, 0).is_err());
    }

    #[test]
    fn requests_are_as_long_as_their_replies() {
        let request = DATA.request(0x0102_0304, 5);
        assert_eq!(request.len(), SOURCE_DATA_LENGTH);
        assert_eq!(request[..12], [6, 1, 0, 0, 0, 15, 0, 0, 1, 2, 3, 4]);
        assert_eq!(request[20..24], [0, 0, 0, 5]);
        assert_eq!(COUNT.request(1, 0).len(), N_SOURCES_LENGTH);
    }
}
