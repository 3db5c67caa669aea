//! [`Exchange`]: a request and its reply, and where true time was by them.
//!
//! The usual client makes an offset of the four stamps, `((T2 − T1) + (T3 − T4)) / 2`, and
//! calls half of the round trip its error. That takes for granted that its own clock kept its rate
//! and was not stepped in between, and the number is one of a clock that somebody else steers.
//!
//! Here the client's own two stamps are readings of the counter, `c1` before the request is
//! sent and `c4` after the reply has come. The server's clock is within `B` of UTC
//! ([`Header::bound_ns`]). Two facts follow, and neither says anything of how the delay was
//! divided between the two ways:
//!
//! ```text
//! at c1, true time was at most  T2 + B   (the request had not arrived yet)
//! at c4, true time was at least T3 − B   (the reply had left already)
//! ```
//!
//! These are the two lines of a bound. From there they are carried on by the counter's rates.
//!
//! # The scale
//!
//! `T2` and `T3` are UTC on NTP's scale, without leap seconds and without the era. The era is not
//! taken from the wall clock, which may be wrong by more than anything: the stamps are read
//! as moments from 1990 to 2126. UTC becomes TAI by the leap table. Within seconds of a leap
//! second both offsets are covered. So they are from the midnight on of a leap second that
//! the server has announced and that the table does not list, until a table decides it.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::counter::Ageing;
use crate::interval::Interval;
use crate::scale::{LeapTable, NtpTime, ScaleError, ScaleInterval, Smeared, UnixTime};
use crate::source::RealtimeScale;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, duration_nanos_i64};

use super::packet::Header;

/// 2058-01-01, in Unix seconds: stamps are read as the moments nearest to it.
const MIDDLE: i64 = 2_776_982_400;

/// For so many seconds around a leap second both offsets are covered, on a server without error.
const LEAP_SLACK_S: i64 = 2;

const DAY: i64 = 86_400;

/// What an accepted reply says, and the readings of the counter around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exchange {
    /// The counter before the request was sent.
    pub(crate) before: u64,
    /// The counter after the reply had come.
    pub(crate) after: u64,
    /// The generation of the counter that both are of.
    pub(crate) generation: u64,
    /// `T2` and `T3`.
    pub(crate) receive: NtpTime,
    pub(crate) transmit: NtpTime,
    /// How far the server's clock may be off, in ns.
    pub(crate) bound_ns: u64,
    /// A leap second that the server has announced.
    pub(crate) announced: Option<AnnouncedLeap>,
}

/// The two lines: true time was at least `earliest` at tick `after`, and at most `latest` at tick
/// `before`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lines {
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) earliest: Timestamp,
    pub(crate) latest: Timestamp,
}

impl Lines {
    /// Where true time was when the counter showed `tick`, which is not before `after`.
    ///
    /// When a counter shows a tick it may stand just before the next, so each way gives up by
    /// one step. `None` if the lines exclude each other there, or `tick` is too early.
    pub(crate) fn at(&self, tick: u64, ageing: &Ageing) -> Option<Interval> {
        let since_after = tick.checked_sub(self.after)?;
        let since_before = tick.checked_sub(self.before)?;
        let step = ageing.granularity_ns;
        let least = ageing.rates.least_nanos(since_after);
        let most = ageing.rates.most_nanos(since_before).saturating_add(step);
        let earliest = self.earliest.tai_nanos().saturating_sub_unsigned(step);
        let earliest = earliest.saturating_add_unsigned(least);
        let latest = self.latest.tai_nanos().saturating_add_unsigned(most);
        Interval::new(Timestamp::from_tai_nanos(earliest), Timestamp::from_tai_nanos(latest))
    }
}

impl Exchange {
    /// The two lines, in TAI.
    ///
    /// # Errors
    ///
    /// If the table cannot convert the server's time.
    pub(crate) fn lines(
        &self,
        leaps: &LeapTable,
        scale: RealtimeScale,
    ) -> Result<Lines, ScaleError> {
        let middle = UnixTime::from_nanos(MIDDLE * NANOS_PER_SECOND);
        let bound = i64::try_from(self.bound_ns).unwrap_or(i64::MAX);
        // Each stamp between the nanoseconds around it.
        let around = |stamp: NtpTime| NtpTime::to_unix_interval([stamp, stamp], middle);
        let left = around(self.transmit)?.earliest().nanos().saturating_sub(bound);
        let arrived = around(self.receive)?.latest().nanos().saturating_add(bound);
        Ok(Lines {
            before: self.before,
            after: self.after,
            earliest: self.moment(left, leaps, scale)?.earliest(),
            latest: self.moment(arrived, leaps, scale)?.latest(),
        })
    }

    /// Every moment of TAI at which a clock within the bound may show `unix_ns`.
    fn moment(
        &self,
        unix_ns: i64,
        leaps: &LeapTable,
        scale: RealtimeScale,
    ) -> Result<Interval, ScaleError> {
        match scale {
            RealtimeScale::Utc => self.of_utc(unix_ns, leaps),
            RealtimeScale::Smeared(smear) => {
                let shown = Smeared::from_nanos(unix_ns, smear);
                leaps.smeared_to_interval(ScaleInterval::from(shown))
            }
            RealtimeScale::Unknown => {
                let shown = UnixTime::from_nanos(unix_ns);
                leaps.unknown_smear_to_interval(ScaleInterval::from(shown))
            }
        }
    }

    fn of_utc(&self, unix_ns: i64, leaps: &LeapTable) -> Result<Interval, ScaleError> {
        let unix = unix_ns.div_euclid(NANOS_PER_SECOND);
        let bound_s = i64::try_from(self.bound_ns.div_ceil(NANOS_PER_SECOND as u64));
        let slack = LEAP_SLACK_S.saturating_add(bound_s.unwrap_or(i64::MAX));
        let (mut least, mut most) = leaps.offsets_near(unix, slack).ok_or(ScaleError::BeforeUtc)?;
        if let Some(leap) = self.announced.filter(|leap| leap.is_in_doubt(unix, slack, leaps)) {
            let offset = leap.offset(leaps).ok_or(ScaleError::BeforeUtc)?;
            least = least.min(offset);
            most = most.max(offset);
        }
        let doubt = duration_nanos_i64(leaps.expiry_margin(unix_ns)?);
        let tai = |offset: i32, doubt: i64| {
            let nanos = unix_ns.saturating_add(i64::from(offset) * NANOS_PER_SECOND);
            Timestamp::from_tai_nanos(nanos.saturating_add(doubt))
        };
        Interval::new(tai(least, -doubt), tai(most, doubt)).ok_or(ScaleError::OutOfRange)
    }
}

/// A leap second that a server has announced.
///
/// The table may not list it. Then nobody here knows whether it is true: servers have announced
/// false ones. From its midnight on both offsets are covered, until a table decides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AnnouncedLeap {
    /// The Unix second at which it takes effect.
    midnight: i64,
    /// 1 or −1.
    step: i32,
}

impl AnnouncedLeap {
    /// What is known of leap seconds after this reply, if `before` was known.
    pub(crate) fn update(before: Option<AnnouncedLeap>, reply: &Header) -> Option<AnnouncedLeap> {
        let step = match reply.leap {
            1 => 1,
            2 => -1,
            // Withdrawn or over: which of them, only the midnight says.
            _ => return before.filter(|leap| leap.has_begun(reply)),
        };
        let unix = unix_of(reply)?;
        // The indicator stays for a while after the midnight, and means the same leap second. Two
        // of them are half a year apart.
        let is_same = |leap: &AnnouncedLeap| leap.step == step && unix < leap.midnight + 150 * DAY;
        if let Some(known) = before.filter(is_same) {
            return Some(known);
        }
        let last_midnight = unix - unix.rem_euclid(DAY);
        // One that is first seen just after a midnight may be of that midnight.
        let is_over = unix < last_midnight + LINGERS_S;
        let midnight = if is_over { last_midnight } else { last_midnight + DAY };
        Some(AnnouncedLeap { midnight, step })
    }

    /// Whether the midnight is near or past at this reply.
    fn has_begun(&self, reply: &Header) -> bool {
        unix_of(reply).is_some_and(|unix| unix >= self.midnight - LEAP_SLACK_S - 1)
    }

    /// TAI − UTC after it.
    fn offset(&self, leaps: &LeapTable) -> Option<i32> {
        let (before, _) = leaps.offsets_near(self.midnight - 1, 0)?;
        Some(before + self.step)
    }

    /// Whether it is not known at this Unix second which offset is in force.
    fn is_in_doubt(&self, unix: i64, slack: i64, leaps: &LeapTable) -> bool {
        if unix < self.midnight.saturating_sub(slack) {
            return false;
        }
        let at = |unix: i64| leaps.offsets_near(unix, 0).map(|(offset, _)| offset);
        if at(self.midnight) == self.offset(leaps) {
            return false;
        }
        // Leap seconds are announced half a year ahead, so a table that expires later knows. But
        // a server that has made a false one needs time to find out.
        let is_denied = leaps.expires().is_some_and(|end| end.seconds() > self.midnight + DAY);
        !(is_denied && unix >= self.midnight + DAY)
    }
}

/// An announced leap second that threads share without a lock, so that the child of a fork finds it
/// whatever its parent's threads were doing.
#[derive(Debug)]
pub(crate) struct SharedLeap(AtomicI64);

impl SharedLeap {
    pub(crate) fn new(leap: Option<AnnouncedLeap>) -> SharedLeap {
        let shared = SharedLeap(AtomicI64::new(0));
        shared.set(leap);
        shared
    }

    pub(crate) fn get(&self) -> Option<AnnouncedLeap> {
        let signed = self.0.load(Ordering::Relaxed);
        let step = i32::try_from(signed.signum()).ok().filter(|&step| step != 0)?;
        Some(AnnouncedLeap { midnight: signed.saturating_abs(), step })
    }

    pub(crate) fn set(&self, leap: Option<AnnouncedLeap>) {
        let signed = leap.map_or(0, |leap| leap.midnight.saturating_mul(leap.step.into()));
        self.0.store(signed, Ordering::Relaxed);
    }
}

/// For so many seconds after a midnight an indicator that is first seen may be of that midnight.
const LINGERS_S: i64 = 3_600;

fn unix_of(reply: &Header) -> Option<i64> {
    let middle = UnixTime::from_nanos(MIDDLE * NANOS_PER_SECOND);
    reply.transmit.near(middle).ok().map(UnixTime::seconds)
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
