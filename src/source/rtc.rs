//! The real-time clock as a second source: coarse, and independent of the kernel's clocks.
//!
//! When a virtual machine is stopped and continued, all of its clocks go on as if no time had
//! passed: the processor's counter, the kernel's clocks, and the kernel's bound. The RTC shows
//! the gap, because the host keeps it. On a real board a battery does.
//!
//! The RTC shows whole seconds and is a little off, so it narrows nothing. But if the RTC and
//! the kernel contradict each other, one of them is wrong. The clock is then `Contradicted`
//! and covers both. Without the RTC, readings after such a stop are wrong until the time
//! daemon has corrected the clock. That is a limit of this crate
//! ([rule 11](crate::_design#rule-11)). A machine that was *moved* to another host, or restored from a
//! snapshot, shows it by its VMClock, if it has one ([`vmclock`](super::vmclock)).
//!
//! The RTC must be kept in UTC, and not in local time as on dual-boot machines. A kernel that
//! chronyd disciplines with `rtcsync` sets it every 11 minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceError};
use crate::host::HostClock;
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, seconds_to_nanos};

/// The RTC, which the operator states to be this close to UTC.
///
/// ```
/// use std::time::Duration;
/// use truechimer::Clock;
/// use truechimer::source::rtc::Rtc;
///
/// let clock = Clock::builder().source(Rtc::new(Duration::from_secs(1))).build()?;
/// # Ok::<(), truechimer::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Rtc {
    path: PathBuf,
    error: Duration,
    leaps: LeapTable,
    last: Option<(i64, Sample)>,
}

/// How often it is read, in ns: a read of a CMOS clock takes a millisecond, and the clock
/// moves once a second.
const READ_EVERY_NS: i64 = NANOS_PER_SECOND;

/// What the kernel does between reading the registers and showing them, and the
/// registers' own lag behind the second, at most.
const LAG: Duration = Duration::from_millis(20);

impl Rtc {
    /// `/sys/class/rtc/rtc0`, by the builtin leap table, within `error` of UTC.
    pub fn new(error: Duration) -> Rtc {
        Rtc::at(Path::new("/sys/class/rtc/rtc0/since_epoch"), error, LeapTable::builtin())
    }

    /// Another RTC's `since_epoch`, by another leap table.
    pub fn at(path: &Path, error: Duration, leaps: LeapTable) -> Rtc {
        Rtc { path: path.to_owned(), error, leaps, last: None }
    }

    fn read(&self) -> Result<i64, SourceError> {
        let failed = |why: &dyn std::fmt::Display| {
            SourceError::failed(format_args!("the RTC at {}: {why}", self.path.display()))
        };
        let text = fs::read_to_string(&self.path).map_err(|error| failed(&error))?;
        text.trim().parse().map_err(|_| failed(&format_args!("shows {text:?}, not seconds")))
    }

    /// Where true time is when the RTC shows `seconds`.
    fn interval(&self, seconds: i64) -> Result<Interval, SourceError> {
        let slack = i64::try_from(self.error.as_secs()).unwrap_or(i64::MAX).saturating_add(2);
        let (least, most) = self.leaps.offsets_near(seconds, slack).ok_or_else(|| {
            SourceError::failed(format_args!(
                "the RTC shows a time before 1972 (Unix time {seconds}): set it with `hwclock -w`"
            ))
        })?;
        let at = |offset: i32| {
            let tai_s = seconds.saturating_add(offset.into());
            Timestamp::from_tai_nanos(seconds_to_nanos(tai_s))
        };
        // The RTC shows the second that began last.
        let latest = at(most).saturating_add(Duration::from_secs(1)).saturating_add(LAG);
        let shown = Interval::new(at(least), latest).ok_or_else(|| {
            SourceError::failed(format_args!(
                "the RTC shows Unix time {seconds}, which cannot be right"
            ))
        })?;
        Ok(shown.widen(self.error))
    }
}

impl Source for Rtc {
    fn name(&self) -> &str {
        "rtc"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let now = counter.host().nanos(HostClock::Monotonic)?;
        if let Some((_, sample)) = self.last.filter(|&(at, _)| now - at < READ_EVERY_NS) {
            return Ok(sample);
        }
        let before = counter.try_read()?;
        let seconds = self.read()?;
        let sample = Sample::new(before, counter.try_read()?, self.interval(seconds)?);
        self.last = Some((now, sample));
        Ok(sample)
    }

    fn disrupted(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::CounterId;
    use crate::host::scripted::ScriptedHost;

    fn rtc(error: Duration) -> Rtc {
        Rtc::at(Path::new("/nonexistent/since_epoch"), error, LeapTable::builtin())
    }

    #[test]
    fn the_interval_covers_the_second_shown_and_the_error_stated() {
        let utc_2024 = 1_714_521_600;
        let cases = [
            // seconds shown, error, earliest and latest in TAI ns from the second shown
            (utc_2024, 0, 37_000_000_000, 38_020_000_000i64),
            (utc_2024, 3, 34_000_000_000, 41_020_000_000),
            // Within the error of a leap second: by both offsets.
            (1_483_228_800, 0, 36_000_000_000, 38_020_000_000),
            (1_483_228_790, 8, 28_000_000_000, 46_020_000_000),
            (1_483_228_700, 3, 33_000_000_000, 40_020_000_000),
        ];
        for (seconds, error, earliest, latest) in cases {
            let interval = rtc(Duration::from_secs(error)).interval(seconds).expect("after 1972");
            let from = |t: Timestamp| t.tai_nanos() - seconds_to_nanos(seconds);
            assert_eq!((from(interval.earliest()), from(interval.latest())), (earliest, latest));
        }
    }

    #[test]
    fn absurd_clocks_are_refused_or_cover_everything_from_there() {
        for (seconds, answers) in [(0, false), (-1, false), (i64::MIN, false), (i64::MAX, true)] {
            for error in [Duration::ZERO, Duration::MAX] {
                let interval = rtc(error).interval(seconds);
                assert!(interval.is_err() || answers, "{seconds}: {interval:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_an_error_that_names_the_file() {
        let path = std::env::temp_dir().join(format!("truechimer-rtc-{}", std::process::id()));
        fs::write(&path, "soon\n").expect("written");
        let mut rtc = Rtc::at(&path, Duration::ZERO, LeapTable::builtin());
        let host = ScriptedHost::new();
        let counter = Counter::new(host.clone(), CounterId::MONOTONIC_RAW);
        let error = rtc.sample(&counter).expect_err("not a number").to_string();
        assert!(error.contains("truechimer-rtc") && error.contains("soon"), "{error}");
        fs::write(&path, "1714521600\n").expect("written");
        let sample = rtc.sample(&counter).expect("a number");
        assert!(sample.before <= sample.after);
        // Within the second the sample is kept, and then the file is read again.
        host.pass(900_000_000);
        assert_eq!(rtc.sample(&counter), Ok(sample));
        fs::write(&path, "1714521601\n").expect("written");
        host.pass(100_000_000);
        assert_ne!(rtc.sample(&counter), Ok(sample));
        let _ = fs::remove_file(&path);
    }
}
