//! [`Names`]: one moment on every scale, for people to read.

use std::fmt;

use super::error::ScaleError;
use super::gps::GpsTime;
use super::leap::{Expiry, HashState, LeapTable, TableSource};
use super::ntp::{NtpDate, NtpTime};
use super::ptp::PtpTime;
use super::rfc3339::{Line, Scale, civil_from_nanos};
use super::smear::{Smear, Smeared};
use super::unix::UnixReading;
use super::utc::Utc;
use crate::timestamp::Timestamp;

/// One moment on every scale, by one table; where a scale has no name for it, the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Names {
    /// The moment.
    pub tai: Timestamp,
    /// Civil UTC.
    pub utc: Result<Utc, ScaleError>,
    /// Unix time, and whether it is repeating a second.
    pub unix: Result<UnixReading, ScaleError>,
    /// GPS week and time of week.
    pub gps: Result<GpsTime, ScaleError>,
    /// NTP's 64-bit stamp.
    pub ntp: Result<NtpTime, ScaleError>,
    /// NTP's 128-bit date.
    pub ntp_date: Result<NtpDate, ScaleError>,
    /// PTP.
    pub ptp: Result<PtpTime, ScaleError>,
    /// What a clock with each smear shows.
    pub smeared: Vec<(Smear, Result<Smeared, ScaleError>)>,
    /// Whether the table may lack a leap second that came before the moment.
    pub table_expired: bool,
}

impl LeapTable {
    /// The moment's name on every scale.
    pub fn names_of(&self, t: Timestamp) -> Names {
        let unix = self.tai_to_unix(t);
        let smeared = |smear| (smear, self.tai_to_smeared(t, smear));
        Names {
            tai: t,
            utc: self.tai_to_utc(t),
            unix,
            gps: GpsTime::from_tai(t),
            ntp: unix.map(|reading| NtpTime::from_unix(reading.time)),
            ntp_date: unix.map(|reading| NtpDate::from_unix(reading.time)),
            ptp: PtpTime::from_tai(t),
            smeared: Smear::ALL.map(smeared).into(),
            table_expired: self.is_expired_at(t),
        }
    }
}

impl Names {
    /// (scale, text or the reason why there is none), in the order to print them.
    pub fn rows(&self) -> Vec<(String, Result<String, ScaleError>)> {
        fn text<T: fmt::Display>(name: &Result<T, ScaleError>) -> Result<String, ScaleError> {
            name.as_ref().map(T::to_string).map_err(|&error| error)
        }
        let unix = self.unix.map(|UnixReading { time, in_leap_second }| {
            let note = if in_leap_second { " (second showing, in a leap second)" } else { "" };
            format!("{time}{note}")
        });
        let mut rows = vec![
            ("utc".to_owned(), text(&self.utc)),
            ("tai".to_owned(), Ok(tai_text(self.tai))),
            ("tai nanoseconds".to_owned(), Ok(self.tai.tai_nanos().to_string())),
            ("unix".to_owned(), unix),
            ("gps week, second".to_owned(), text(&self.gps)),
            ("ntp".to_owned(), text(&self.ntp)),
            ("ntp date".to_owned(), text(&self.ntp_date)),
            ("ptp".to_owned(), text(&self.ptp)),
        ];
        rows.extend(
            self.smeared.iter().map(|(smear, name)| (format!("smear {smear}"), text(name))),
        );
        rows
    }
}

/// Civil TAI, whatever the date.
fn tai_text(t: Timestamp) -> String {
    let mut line = Line::<40>::new();
    match line.civil(civil_from_nanos(t.tai_nanos(), Scale::Tai), 9) {
        Ok(()) => line.as_str().to_owned(),
        Err(_) => format!("{} ns", t.tai_nanos()),
    }
}

impl fmt::Display for TableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableSource::BuiltIn => f.write_str("built into truechimer"),
            TableSource::Given => f.write_str("given by the program"),
            TableSource::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for HashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HashState::Verified => "verified",
            HashState::Absent => "absent: the list does not vouch for itself",
            HashState::NotApplicable => "none in this kind of table",
        })
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expiry::Ignore => "go on with the last offset",
            Expiry::Widen => "widen intervals, refuse single moments",
            Expiry::Error => "refuse",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_row_for_each_scale_and_reasons_where_it_has_no_name() {
        let names = LeapTable::builtin().names_of("2016-12-31T23:59:60.5Z".parse().expect("valid"));
        let rows = names.rows();
        assert_eq!(rows.len(), 8 + Smear::ALL.len());
        assert!(rows.iter().all(|(_, text)| text.is_ok()));
        let old = LeapTable::builtin().names_of(Timestamp::MIN);
        let missing = old.rows().into_iter().filter(|(_, text)| text.is_err()).count();
        assert_eq!(missing, rows.len() - 2, "only TAI reaches there");
        assert_eq!(old.rows()[1].1.as_deref(), Ok("1677-09-21T00:12:43.145224192 TAI"));
    }
}
