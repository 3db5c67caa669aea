//! [`PhcScale`]: what a PTP hardware clock counts, and whether the wall clock excludes it.

use std::fmt;

use crate::host::ptp::PtpReading;
use crate::scale::{LeapTable, Smear};
use crate::timestamp::NANOS_PER_SECOND;

/// 2000-01-01. A clock that was reset shows the time since then from 1970 on.
pub(super) const PLAUSIBLE_FROM_NS: i64 = 946_684_800 * NANOS_PER_SECOND;

/// What a PTP hardware clock counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PhcScale {
    /// TAI, as the PTP protocol does: network cards under ptp4l.
    Tai,
    /// UTC, as Unix time counts it: AWS's ENA, `ptp_kvm` and `ptp_hyperv`.
    Utc,
    /// UTC that is smeared in this way around a leap second: `ptp_kvm` on hosts that smear.
    Smeared(Smear),
}

impl fmt::Display for PhcScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PhcScale::Tai => f.write_str("TAI"),
            PhcScale::Utc => f.write_str("UTC"),
            PhcScale::Smeared(smear) => write!(f, "UTC smeared as by {smear}"),
        }
    }
}

/// What a clock with this reading shows, by the wall clock.
pub(super) fn looks_like(reading: &PtpReading) -> Option<PhcScale> {
    if reading.clock_ns < PLAUSIBLE_FROM_NS {
        return None;
    }
    let shown = reading.realtime_before_ns.div_euclid(NANOS_PER_SECOND);
    let (least, most) = LeapTable::builtin().offsets_near(shown, 2)?;
    let is_near = |least, most| is_ahead_by(reading, least, most);
    match (is_near(least, most), is_near(0, 0)) {
        (true, false) => Some(PhcScale::Tai),
        (false, true) => Some(PhcScale::Utc),
        _ => None,
    }
}

/// Whether the clock is ahead of the wall clock by so many seconds, to within one second.
pub(super) fn is_ahead_by(reading: &PtpReading, least: i32, most: i32) -> bool {
    let PtpReading { realtime_before_ns, clock_ns, realtime_after_ns, .. } = *reading;
    let seconds = |count: i32, and: i64| (i64::from(count) + and) * NANOS_PER_SECOND;
    clock_ns.saturating_sub(realtime_before_ns) >= seconds(least, -1)
        && clock_ns.saturating_sub(realtime_after_ns) <= seconds(most, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_guessed_only_where_one_choice_fits() {
        let realtime_ns = 1_714_521_600 * NANOS_PER_SECOND;
        let ms = 1_000_000;
        for (ahead_ms, expected) in [
            (0, Some(PhcScale::Utc)),
            (-999, Some(PhcScale::Utc)),
            (1_001, None),
            (18_000, None),
            (36_100, Some(PhcScale::Tai)),
            (37_000, Some(PhcScale::Tai)),
            (38_001, None),
            (-37_000, None),
        ] {
            let clock_ns = realtime_ns + ahead_ms * ms;
            let reading = PtpReading {
                realtime_before_ns: realtime_ns,
                clock_ns,
                realtime_after_ns: realtime_ns,
                raw_ns: None,
            };
            assert_eq!(looks_like(&reading), expected, "{ahead_ms} ms");
        }
        let reset =
            PtpReading { realtime_before_ns: 5, clock_ns: 5, realtime_after_ns: 5, raw_ns: None };
        assert_eq!(looks_like(&reset), None);
    }
}
