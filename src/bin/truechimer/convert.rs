//! `truechimer convert`: a moment, or an interval, on every scale.

use std::io::{self, Write};

use truechimer::scale::{UnixReading, UnixToTai};
use truechimer::{
    GpsTime, Interval, LeapTable, LeapTableError, NtpDate, NtpTime, ParseTimeError, PtpTime,
    ScaleError, Smear, Smeared, Timestamp, UnixTime,
};

use crate::leaps::TableChoice;

/// The arguments of `truechimer convert`.
#[derive(clap::Args, Debug)]
pub struct ConvertArgs {
    /// Moments: 2016-12-31T23:59:60.5Z, "2017-01-01T00:00:36.5 TAI", unix:1483228799.5,
    /// "gps:1930 17.5", ntp:dc12c4ff.80000000, ntp:0:dc12c4ff.8000000000000000,
    /// ptp:1483228836.5, "2016-12-31T18:00:00 smear:google"; or an interval:
    /// "[2016-12-31T23:59:60Z, 2017-01-01T00:00:00Z]"
    #[arg(required = true, value_name = "MOMENT")]
    pub moments: Vec<String>,
    /// The leap table: builtin, system (tzdata's), or the path of a leap-seconds.list, tzdata's
    /// leapseconds or a TZif file
    #[arg(long, value_name = "TABLE", default_value = "builtin")]
    pub table: TableChoice,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Why a conversion failed.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The leap table cannot be used.
    #[error(transparent)]
    Table(#[from] LeapTableError),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// The text does not name a moment.
    #[error("{text:?}: {reason}")]
    Input {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: ParseTimeError,
    },
}

/// The meaning of a text.
enum Input {
    /// One moment, or the two that a repeated Unix count may mean.
    Moments(Vec<Timestamp>),
    Interval(Interval),
}

type Rows = Vec<(String, Result<String, ScaleError>)>;

/// Prints every moment on every scale. `near` determines the era of 64-bit NTP timestamps.
pub fn run(args: &ConvertArgs, near: UnixTime, out: &mut impl Write) -> Result<(), ConvertError> {
    let table = args.table.load()?;
    for (i, text) in args.moments.iter().enumerate() {
        let input = read(text, &table, near);
        let input = input.map_err(|reason| ConvertError::Input { text: text.clone(), reason })?;
        if i > 0 && !args.json {
            writeln!(out)?;
        }
        match input {
            Input::Moments(moments) => {
                let several = moments.len() > 1;
                for (k, &t) in moments.iter().enumerate() {
                    if several && !args.json {
                        let which = ["the first of two moments", "the second of two moments"];
                        let space = if k > 0 { "\n" } else { "" };
                        writeln!(out, "{space}{text} is {}:", which[k.min(1)])?;
                    }
                    write_rows(out, args.json, &moment_rows(&table, t))?;
                    if table.is_expired_at(t) && !args.json {
                        writeln!(out, "note: the leap table had expired by then")?;
                    }
                }
            }
            Input::Interval(interval) => {
                write_rows(out, args.json, &interval_rows(&table, &interval))?;
            }
        }
    }
    Ok(())
}

/// Reads a text by its prefix or suffix, and as RFC 3339 if it has none.
fn read(text: &str, table: &LeapTable, near: UnixTime) -> Result<Input, ParseTimeError> {
    let one = |t: Timestamp| Ok(Input::Moments(vec![t]));
    if text.starts_with('[') {
        return Ok(Input::Interval(text.parse()?));
    }
    if let Some(unix) = text.strip_prefix("unix:") {
        return unix_moments(unix.parse()?, table);
    }
    if let Some(gps) = text.strip_prefix("gps:") {
        return one(gps.parse::<GpsTime>()?.to_tai()?);
    }
    if let Some(ptp) = text.strip_prefix("ptp:") {
        return one(ptp.parse::<PtpTime>()?.to_tai()?);
    }
    if let Some(ntp) = text.strip_prefix("ntp:") {
        let unix = match ntp.contains(':') {
            true => ntp.parse::<NtpDate>()?.to_unix()?,
            false => ntp.parse::<NtpTime>()?.near(near)?,
        };
        return unix_moments(unix, table);
    }
    if text.contains(" smear:") {
        return one(table.smeared_to_tai(text.parse::<Smeared>()?)?);
    }
    if text.ends_with(" TAI") {
        return one(text.parse::<Timestamp>()?);
    }
    one(table.utc_to_tai(table.parse_utc(text)?)?)
}

fn unix_moments(unix: UnixTime, table: &LeapTable) -> Result<Input, ParseTimeError> {
    match table.unix_to_tai(unix)? {
        UnixToTai::Unique(t) => Ok(Input::Moments(vec![t])),
        UnixToTai::Ambiguous(a, b) => Ok(Input::Moments(vec![a, b])),
        UnixToTai::Skipped => Err(ScaleError::Skipped.into()),
    }
}

fn text<T: std::fmt::Display>(reading: Result<T, ScaleError>) -> Result<String, ScaleError> {
    reading.map(|reading| reading.to_string())
}

/// The moment on each scale, or the reason why that scale cannot express it.
fn moment_rows(table: &LeapTable, t: Timestamp) -> Rows {
    let unix = table.tai_to_unix(t);
    let unix_text = unix.map(|UnixReading { time, in_leap_second }| {
        let note = if in_leap_second { " (second showing, in a leap second)" } else { "" };
        format!("{time}{note}")
    });
    let mut rows = vec![
        ("utc".to_owned(), text(table.tai_to_utc(t))),
        ("tai".to_owned(), Ok(format!("{t:#}"))),
        ("tai nanoseconds".to_owned(), Ok(t.tai_nanos().to_string())),
        ("unix".to_owned(), unix_text),
        ("gps week, second".to_owned(), text(GpsTime::from_tai(t))),
        ("ntp".to_owned(), text(unix.map(|reading| NtpTime::from_unix(reading.time)))),
        ("ntp date".to_owned(), text(unix.map(|reading| NtpDate::from_unix(reading.time)))),
        ("ptp".to_owned(), text(PtpTime::from_tai(t))),
    ];
    rows.extend(
        Smear::ALL.map(|smear| (format!("smear {smear}"), text(table.tai_to_smeared(t, smear)))),
    );
    rows
}

fn interval_rows(table: &LeapTable, interval: &Interval) -> Rows {
    let width = format!("{} ns", interval.width().as_nanos());
    let mut rows = vec![
        ("utc".to_owned(), text(table.interval_to_utc(interval))),
        ("width".to_owned(), Ok(width)),
        ("unix".to_owned(), text(table.interval_to_unix(interval))),
        ("gps week, second".to_owned(), text(GpsTime::from_interval(interval))),
        ("ntp date".to_owned(), text(table.interval_to_ntp(interval))),
        ("ptp".to_owned(), text(PtpTime::from_interval(interval))),
    ];
    rows.extend(
        Smear::ALL.map(|smear| {
            (format!("smear {smear}"), text(table.interval_to_smeared(interval, smear)))
        }),
    );
    rows
}

fn write_rows(out: &mut impl Write, json: bool, rows: &Rows) -> io::Result<()> {
    if json {
        let object: serde_json::Map<String, serde_json::Value> = rows
            .iter()
            .map(|(scale, text)| {
                let value = match text {
                    Ok(text) => serde_json::json!(text),
                    Err(reason) => serde_json::json!({ "none": reason.to_string() }),
                };
                (scale.clone(), value)
            })
            .collect();
        serde_json::to_writer(&mut *out, &object)?;
        return writeln!(out);
    }
    for (scale, text) in rows {
        match text {
            Ok(text) => writeln!(out, "{scale:<17} {text}")?,
            Err(reason) => writeln!(out, "{scale:<17} none: {reason}")?,
        }
    }
    Ok(())
}
