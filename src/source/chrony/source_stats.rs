//! [`SourceStats`]: the line that chronyd has fitted to the polls of a source, by SOURCESTATS.
//!
//! It is open to any user, as TRACKING is. The number of a source is the same as in SOURCE_DATA.

use std::net::IpAddr;
use std::time::Duration;

use super::sources::{Command, SOURCE_DATA_LENGTH};
use super::tracking::TrackingError;

const SOURCESTATS_COMMAND: u16 = 34;
const SOURCESTATS_REPLY: u16 = 6;
const SOURCESTATS_LENGTH: usize = 84;

/// The statistics of one source.
pub(super) const STATS: Command =
    Command::new(SOURCESTATS_COMMAND, SOURCESTATS_REPLY, SOURCESTATS_LENGTH);

// chronyd answers no request that is shorter than its reply.
const _: () = assert!(SOURCESTATS_LENGTH > SOURCE_DATA_LENGTH);

/// chronyd keeps no more polls of a source than this, and fits its line to the last of them.
pub const MAX_SAMPLES: u32 = 64;

/// The line that chronyd has fitted to the polls of a source.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SourceStats {
    /// NTP's reference identifier: of an IPv4 server its address, of a reference clock its name.
    pub id: u32,
    /// Its address. None for a reference clock, or a name that is not looked up yet.
    pub address: Option<IpAddr>,
    /// To how many polls the line is fitted, at most [`MAX_SAMPLES`].
    pub samples: u32,
    /// How many runs of polls on one side of the line there are.
    pub runs: u32,
    /// The time between the oldest and the newest of these polls, to half a second.
    pub span: Duration,
    /// The standard deviation of the polls around the line, seconds.
    pub deviation: f64,
    /// How far the source's frequency is from the one in use, ppm.
    pub residual_frequency_ppm: f64,
    /// How uncertain the frequency is, ppm.
    pub skew_ppm: f64,
    /// How far the clock is ahead of the source by the line, seconds.
    pub offset: f64,
    /// chronyd's estimate of that offset's error, seconds.
    pub offset_error: f64,
}

impl SourceStats {
    /// Reads the reply to a request with this sequence number.
    ///
    /// # Errors
    ///
    /// As [`Tracking::decode`](super::Tracking::decode).
    pub fn decode(packet: &[u8], sequence: u32) -> Result<SourceStats, TrackingError> {
        let fields = STATS.check(packet, sequence)?;
        let bad = |field, value| TrackingError::Field { field, value };
        let samples = fields.u32(52);
        if samples > MAX_SAMPLES {
            return Err(bad("number of samples", samples.into()));
        }
        let not_negative = |field, at| match fields.float(at).value() {
            value if value < 0.0 => Err(bad(field, value)),
            value => Ok(value),
        };
        Ok(SourceStats {
            id: fields.u32(28),
            address: fields.address_at(32)?,
            samples,
            runs: fields.u32(56),
            span: Duration::from_secs(fields.u32(60).into()),
            deviation: not_negative("standard deviation", 64)?,
            residual_frequency_ppm: fields.float(68).value(),
            skew_ppm: not_negative("skew", 72)?,
            offset: fields.float(76).value(),
            offset_error: not_negative("offset's error", 80)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The statistics of so many polls.
    pub(in crate::source::chrony) fn stats(samples: u32, span_s: u64) -> SourceStats {
        let stats = SourceStats::decode(&reply(), 77).expect("a good reply");
        SourceStats { samples, span: Duration::from_secs(span_s), ..stats }
    }

    /// What chronyd 4.3 answered, as the bytes came.
    const REPLY: &str = "060200000022000600000000000000000000004d0000000000000000\
        7f0000017f00000100000000000000000000000000010000\
        000000130000000b00000008da848c33f4ab03dcfec1310bc6ccedf1e0be80bc";

    fn reply() -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&REPLY[at..at + 2], 16).expect("hex");
        (0..REPLY.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn the_answer_of_a_real_chronyd_is_read() {
        let stats = SourceStats::decode(&reply(), 77).expect("a good reply");
        assert_eq!(stats.address, Some([127, 0, 0, 1].into()));
        assert_eq!((stats.id, stats.samples, stats.runs), (0x7f00_0001, 19, 11));
        assert_eq!(stats.span, Duration::from_secs(8));
        let is_near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 1e-4;
        assert!(is_near(stats.deviation, 4.937_78e-7), "{stats:?}");
        assert!(is_near(stats.residual_frequency_ppm, 0.005_218_97), "{stats:?}");
        assert!(is_near(stats.skew_ppm, 0.188_664), "{stats:?}");
        assert!(is_near(stats.offset, 7.455_29e-10), "{stats:?}");
        assert!(is_near(stats.offset_error, 5.677_43e-6), "{stats:?}");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let good = reply();
        assert_eq!(SourceStats::decode(&good, 78), Err(TrackingError::Stray));
        assert_eq!(SourceStats::decode(&good[..83], 77), Err(TrackingError::Length { length: 83 }));
        assert!(SourceStats::decode(&good[..19], 77).is_err());
        let with = |at: usize, byte: u8| {
            let mut packet = good.clone();
            packet[at] = byte;
            SourceStats::decode(&packet, 77)
        };
        assert_eq!(with(5, 15), Err(TrackingError::Stray), "another command");
        assert_eq!(with(7, 5), Err(TrackingError::Stray), "another reply");
        assert_eq!(with(9, 4), Err(TrackingError::Refused { status: 4 }));
        assert_eq!(with(0, 5), Err(TrackingError::Version { version: 5 }));
        assert!(with(55, 64).is_ok());
        for (at, byte) in [(49, 7), (55, 65), (64, 0xdb), (72, 0xff), (80, 0xe1)] {
            let answer = with(at, byte);
            assert!(matches!(answer, Err(TrackingError::Field { .. })), "byte {at}: {answer:?}");
        }
    }

    #[test]
    fn a_request_is_as_long_as_its_reply() {
        let request = STATS.request(0x0102_0304, 5);
        assert_eq!(request.len(), SOURCESTATS_LENGTH);
        assert_eq!(request[..12], [6, 1, 0, 0, 0, 34, 0, 0, 1, 2, 3, 4]);
        assert_eq!(request[20..24], [0, 0, 0, 5]);
    }
}
