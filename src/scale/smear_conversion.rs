//! Between TAI and smeared time, by a [`LeapTable`].

use super::civil::DAY;
use super::error::ScaleError;
use super::leap_table::LeapTable;
use super::scale_interval::{ScaleInterval, ends};
use super::smear::{Smear, Smeared};
use super::smear_window::{Round, Window};
use super::unix::UnixTime;
use crate::interval::Interval;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

impl LeapTable {
    /// The reading of a clock with this smear at `t`, rounded down.
    ///
    /// # Errors
    ///
    /// As [`tai_to_unix`](Self::tai_to_unix).
    pub fn tai_to_smeared(&self, t: Timestamp, smear: Smear) -> Result<Smeared, ScaleError> {
        self.at_tai(t.tai_nanos())?;
        let nanos = self.smeared_at(t.tai_nanos(), smear, Round::Down)?;
        Ok(Smeared::from_nanos(nanos, smear))
    }

    /// The first nanosecond at which a clock with this smear shows `reading` or more.
    ///
    /// While a leap second is being inserted the smeared clock is slow, and this is the
    /// exact inverse of [`tai_to_smeared`](Self::tai_to_smeared). While one is being
    /// skipped the clock is fast and leaves out some counts. Such a count gives the moment at
    /// which the clock passes it.
    ///
    /// # Errors
    ///
    /// As [`unix_to_tai`](Self::unix_to_tai).
    pub fn smeared_to_tai(&self, reading: Smeared) -> Result<Timestamp, ScaleError> {
        match self.stops_before(reading.nanos()) {
            true => Err(self.expired()),
            false => self.unsmeared(reading, Round::Up),
        }
    }

    /// Everything that a clock with this smear may show during `interval`, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`interval_to_unix`](Self::interval_to_unix).
    pub fn interval_to_smeared(
        &self,
        interval: &Interval,
        smear: Smear,
    ) -> Result<ScaleInterval<Smeared>, ScaleError> {
        let ends = ends(&self.widened_for_expiry(interval)?)?;
        let first = self.smeared_at(ends.earliest().tai_nanos(), smear, Round::Down)?;
        let last = self.smeared_at(ends.latest().tai_nanos(), smear, Round::Up)?;
        let [first, last] = [first, last].map(|nanos| Smeared::from_nanos(nanos, smear));
        ScaleInterval::new(first, last).ok_or(ScaleError::OutOfRange)
    }

    /// All moments at which a smeared clock may show something in `shown`, rounded outward.
    ///
    /// # Errors
    ///
    /// As [`unix_to_interval`](Self::unix_to_interval).
    pub fn smeared_to_interval(
        &self,
        shown: ScaleInterval<Smeared>,
    ) -> Result<Interval, ScaleError> {
        let earliest = self.unsmeared(shown.earliest(), Round::Down)?;
        let latest = match self.unsmeared(shown.latest(), Round::Up) {
            Err(ScaleError::OutOfRange) => Timestamp::MAX,
            result => result?,
        };
        let interval = Interval::new(earliest, latest).ok_or(ScaleError::OutOfRange)?;
        Ok(interval.widen(self.expiry_margin(shown.latest().nanos())?))
    }

    /// All moments at which a clock may show something in `shown`, if nobody knows whether and
    /// how it smears.
    ///
    /// Within a day of a leap second this adds a second on each side, because no smear is further
    /// off. Elsewhere it is the same as [`unix_to_interval`](Self::unix_to_interval).
    ///
    /// # Errors
    ///
    /// As [`unix_to_interval`](Self::unix_to_interval).
    pub fn unknown_smear_to_interval(
        &self,
        shown: ScaleInterval<UnixTime>,
    ) -> Result<Interval, ScaleError> {
        // A second more, because the clock may be a second off when it reaches the day's end.
        let day = (DAY + 1) * NANOS_PER_SECOND;
        let (first, last) = (shown.earliest().nanos(), shown.latest().nanos());
        let near = self.steps.iter().filter(|step| step.offset != step.before).any(|step| {
            first.saturating_sub(day) <= step.unix && step.unix <= last.saturating_add(day)
        });
        if !near {
            return self.unix_to_interval(shown);
        }
        let first = UnixTime::from_nanos(first.saturating_sub(NANOS_PER_SECOND));
        let last = UnixTime::from_nanos(last.saturating_add(NANOS_PER_SECOND));
        let shown = ScaleInterval::new(first, last).ok_or(ScaleError::OutOfRange)?;
        self.unix_to_interval(shown)
    }

    /// Whether `t` is in the window in which a clock with this smear absorbs a leap second.
    pub fn is_smearing_at(&self, t: Timestamp, smear: Smear) -> bool {
        self.window_at(t.tai_nanos(), smear).is_some()
    }

    /// The windows of a step's leap second and of the next, either of which may contain a moment
    /// between the two.
    fn windows(&self, at: usize, smear: Smear) -> impl Iterator<Item = Window> + '_ {
        let around = self.steps[at..].iter().take(2).filter(|step| step.offset != step.before);
        around.map(move |step| Window::new(step, smear))
    }

    fn window_at(&self, tai: i64, smear: Smear) -> Option<Window> {
        let at = self.position_tai(tai)?;
        self.windows(at, smear).find(|window| window.start <= tai && tai < window.end)
    }

    fn smeared_at(&self, tai: i64, smear: Smear, round: Round) -> Result<i64, ScaleError> {
        let (offset, _) = self.at_tai_unlimited(tai)?;
        match self.window_at(tai, smear) {
            Some(window) => Ok(window.shown(tai, round)),
            // Every window contains the inserted second, so `tai` is not in it and the offset is
            // the settled one.
            None => Ok(tai - offset),
        }
    }

    fn unsmeared(&self, reading: Smeared, round: Round) -> Result<Timestamp, ScaleError> {
        let (nanos, smear) = (reading.nanos(), reading.smear());
        let at = self.position_unix(nanos).ok_or(ScaleError::BeforeUtc)?;
        let window = self.windows(at, smear).find(|window| window.shows(nanos));
        let tai = match window {
            Some(window) => Some(window.moment(nanos, round)),
            None => nanos.checked_add(self.steps[at].offset),
        };
        tai.map(Timestamp::from_tai_nanos).ok_or(ScaleError::OutOfRange)
    }
}
