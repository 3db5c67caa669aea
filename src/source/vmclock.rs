//! VMClock: the hypervisor states the time, and that it has moved the machine.
//!
//! A virtual machine that is moved to another host, or restored from a snapshot, does not notice
//! it: its clocks go on as if no time had passed. Some hypervisors show it in a page of memory, the
//! VMClock (`/dev/vmclock0`). The page has two parts, and this crate uses both.
//!
//! - *The disruption marker* changes when the machine is moved or restored. Each reading of the
//!   clock compares it (`snapshot::published`), so none rests on evidence from before. The reading
//!   is [`ClockError::Disrupted`](crate::ClockError::Disrupted) then, the sampler begins again, and
//!   a new epoch begins.
//! - *The time fields* are optional: the time at one value of the counter, the counter's period,
//!   and how far both may be off at most. They make the page a source ([`VmClock`]), the only one
//!   that is right immediately after a move, without a daemon and without a network.
//!
//! [`Clock::new`](crate::ClockBuilder::build) uses `/dev/vmclock0` where it may read it. The node
//! belongs to root, and the mapping survives a change of user: build the clock before privileges
//! are dropped, or allow the node to be read (`chmod a+r`, or a udev rule).
//!
//! # What it does not show
//!
//! A machine that its host stops and continues, without moving it, keeps its marker, and no clock
//! in it shows the gap. The real-time clock ([`rtc`](super::rtc)) and time servers do.
//!
//! A clock that is built soon after a move does not know of it: it reads the marker for the first
//! time. The time daemon's bound is believed then, as on any host (assumption A1), although the
//! daemon may need several updates to notice the move. So keep a clock for as long as the process
//! runs, or give it a source of its own.
//!
//! # After a move
//!
//! Time fields and exchanges with time servers count at the first sample. The kernel's bound counts
//! after 16 updates of its daemon, or after one of a daemon that was started again
//! (`source::after_move`): `systemctl restart chrony` in a hook that runs after migrations saves
//! the wait.
//!
//! # What is believed
//!
//! The interval at a counter value `c` is, with d = c − the page's counter value:
//!
//! ```text
//! time + d × period ± (maximum error of the time + |d| × maximum error of the period)
//! ```
//!
//! | situation | what counts | why |
//! |---|---|---|
//! | status 2 (synchronised) or 3 (free running), both maximum errors are flagged as valid | the interval above, rounded outward | the hypervisor states it as a bound (assumption A1) |
//! | status 0, 1 or 4; a maximum error is not flagged, or 0 | nothing | it states no bound |
//! | the counter of the page is not the one that is read | nothing | the time belongs to the page's counter |
//! | the time is neither UTC nor TAI (a smear, or time since boot) | nothing | its offset to UTC is not known |
//! | the page is being written at each attempt | nothing | its fields do not belong together |
//! | the page's value is more than a day from the counter, or more than a second ahead of it | nothing | it is the value of another counter |
//!
//! UTC becomes TAI by this crate's leap table. The page's own offset to TAI is a check, because its
//! sign is read both ways: where it differs from the table's, the details of the source say so.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::counter::{Counter, CounterKind};
use crate::evidence::{Reason, Sample, Source, SourceError};
use crate::host::{VmClockFields, VmClockPage};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::source::wall_clock::WallClock;
use crate::timestamp::{NANOS_PER_SECOND, Timestamp};

pub use crate::host::VmClockError;

/// The numbers by which the page names a counter.
const ARM_VIRTUAL_COUNTER: u8 = 0;
const X86_TSC: u8 = 1;

/// The scales of the time that can be used.
const UTC: u8 = 0;
const TAI: u8 = 1;

/// What the hypervisor says of its own clock.
const SYNCHRONIZED: u8 = 2;
const FREE_RUNNING: u8 = 3;

const FLAG_TAI_OFFSET: u64 = 1;
const FLAG_DISRUPTION_SOON: u64 = 2;
const FLAG_DISRUPTION_IMMINENT: u64 = 4;
const FLAG_PERIOD_MAX_ERROR: u64 = 16;
const FLAG_TIME_MAX_ERROR: u64 = 64;

/// How far the page's counter value may be from the counter, in s: behind and ahead of it.
const FARTHEST_BEHIND_S: u64 = 86_400;
const FARTHEST_AHEAD_S: u64 = 1;

/// A larger error bounds nothing, in ns.
const LARGEST_ERROR_NS: u64 = 1_000_000_000_000;

/// Times from 2514 on are beyond a [`Timestamp`] anyway, in s.
const LAST_SECOND: u64 = 1 << 34;

/// How near to a leap second both offsets are covered, in s. Between the hypervisor's update and
/// the leap second its count may be one or the other.
const LEAP_SLACK_S: i64 = 2;

/// A leap second that the page announces is at the end of a month, in s.
const MONTH_S: i64 = 32 * 86_400;

/// The time fields of a VMClock, as a source.
///
/// [`Clock::new`](crate::Clock::new) has one where the machine's VMClock states the time. Add it
/// by hand for another device, or beside `without_vmclock()`:
///
/// ```no_run
/// use truechimer::Clock;
/// use truechimer::source::vmclock::VmClock;
///
/// let clock = Clock::builder().source(VmClock::open("/dev/vmclock1")?).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VmClock {
    page: VmClockPage,
    wall_clock: Arc<WallClock>,
    /// Which hardware counter there is. Kept, because CPUID traps in a virtual machine.
    hardware: Option<CounterKind>,
    last: Option<(VmClockFields, Option<String>)>,
}

impl VmClock {
    /// The VMClock at `path`, by the builtin leap table.
    ///
    /// # Errors
    ///
    /// If there is none, this process may not read it, or its format is not known.
    pub fn open(path: impl AsRef<Path>) -> Result<VmClock, VmClockError> {
        let page = VmClockPage::open(path.as_ref())?;
        let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
        Ok(VmClock::of(page, Arc::new(wall_clock)))
    }

    /// The time fields of this page, by the leap table of this clock.
    pub(crate) fn of(page: VmClockPage, wall_clock: Arc<WallClock>) -> VmClock {
        VmClock { page, wall_clock, hardware: None, last: None }
    }

    /// The number by which a page names this counter.
    fn id_of(&mut self, counter: &Counter) -> Option<u8> {
        if !counter.id().is_hardware() {
            return None;
        }
        match self.hardware.get_or_insert_with(|| counter.kind()) {
            CounterKind::Tsc => Some(X86_TSC),
            CounterKind::Cntvct => Some(ARM_VIRTUAL_COUNTER),
            CounterKind::Auto | CounterKind::MonotonicRaw => None,
        }
    }
}

impl Source for VmClock {
    fn name(&self) -> &str {
        "vmclock"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let id = self.id_of(counter);
        let (fields, tick) = self.page.read(|| counter.try_read()).map_err(SourceError::failed)?;
        self.last = Some((fields, None));
        let tick = tick?;
        check(&fields, id)?;
        let (time, remark) = tai(&fields, stated(&fields, tick)?, &self.wall_clock.leaps())?;
        self.last = Some((fields, remark));
        Ok(Sample::new(tick, tick, time))
    }

    fn disrupted(&mut self) {
        self.hardware = None;
        self.last = None;
    }

    fn details(&self) -> Option<String> {
        let (fields, remark) = self.last.as_ref()?;
        let status = match fields.status {
            1 => "initializing",
            SYNCHRONIZED => "synchronized",
            FREE_RUNNING => "free running",
            4 => "unreliable",
            _ => "unknown",
        };
        let mut details = format!("the hypervisor's clock is {status}, marker {}", fields.marker);
        if fields.flags & FLAG_DISRUPTION_IMMINENT != 0 {
            details.push_str(", a disruption is imminent");
        } else if fields.flags & FLAG_DISRUPTION_SOON != 0 {
            details.push_str(", a disruption is announced");
        }
        if let Some(remark) = remark {
            details.push_str("; ");
            details.push_str(remark);
        }
        Some(details)
    }
}

impl fmt::Debug for VmClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmClock").field("last", &self.last).finish_non_exhaustive()
    }
}

/// Whether the page states a bound of the counter that it calls `counter`.
fn check(fields: &VmClockFields, counter: Option<u8>) -> Result<(), SourceError> {
    let no_bound =
        |detail: fmt::Arguments<'_>| Err(SourceError::no_bound(Reason::NoBoundStated, detail));
    if !fields.has_time() {
        return no_bound(format_args!("the VMClock has a disruption marker and no time"));
    }
    if counter != Some(fields.counter_id) {
        return Err(SourceError::failed(format_args!(
            "the VMClock states the time of counter {}, which is not the one that is read",
            fields.counter_id
        )));
    }
    if !matches!(fields.status, SYNCHRONIZED | FREE_RUNNING) {
        return no_bound(format_args!("the hypervisor's clock has status {}", fields.status));
    }
    if !matches!(fields.time_type, UTC | TAI) {
        return no_bound(format_args!(
            "the VMClock states time of type {}, which is neither UTC nor TAI",
            fields.time_type
        ));
    }
    let needed = FLAG_PERIOD_MAX_ERROR | FLAG_TIME_MAX_ERROR;
    if fields.flags & needed != needed {
        return no_bound(format_args!(
            "the VMClock states no maximum error of its time and period (flags {:#x})",
            fields.flags
        ));
    }
    // Nobody knows the time exactly, so 0 means that nothing was written.
    if fields.time_max_error_ns == 0 || fields.period_max_error == 0 {
        return no_bound(format_args!("the VMClock states a maximum error of 0"));
    }
    if fields.period == 0 || fields.shift >= 64 || fields.seconds >= LAST_SECOND {
        return Err(SourceError::failed(format_args!(
            "the VMClock makes no sense: period {}, shift {}, {} s",
            fields.period, fields.shift, fields.seconds
        )));
    }
    Ok(())
}

/// Where the time of the page's own scale is, in ns since 1970, when the counter shows `tick`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stated {
    least_ns: i128,
    most_ns: i128,
}

fn stated(fields: &VmClockFields, tick: u64) -> Result<Stated, SourceError> {
    let away = tick.wrapping_sub(fields.counter_value) as i64;
    let ticks = u128::from(away.unsigned_abs());
    // In units of 2^-64 s, rounded down; up adds one.
    let elapsed = (ticks * u128::from(fields.period)) >> fields.shift;
    let limit_s = if away < 0 { FARTHEST_AHEAD_S } else { FARTHEST_BEHIND_S };
    if elapsed >> 64 >= u128::from(limit_s) {
        return Err(SourceError::failed(format_args!(
            "the VMClock's counter value is {away} ticks from the counter: it is of another counter, \
             or of another time"
        )));
    }
    // All of these are below 2^99.
    let begin = i128::from(fields.seconds) << 64 | i128::from(fields.fraction);
    let elapsed = elapsed as i128;
    let (least, most) = if away < 0 {
        (begin - elapsed - 1, begin - elapsed)
    } else {
        (begin + elapsed, begin + elapsed + 1)
    };
    let drifted = (ticks * u128::from(fields.period_max_error)).div_ceil(1 << fields.shift);
    let drifted_ns = nanos_up(i128::try_from(drifted).unwrap_or(i128::MAX >> 1));
    let error_ns = i128::from(fields.time_max_error_ns) + drifted_ns;
    if error_ns > i128::from(LARGEST_ERROR_NS) {
        return Err(SourceError::no_bound(
            Reason::TooOld,
            format_args!("the VMClock's error has grown to {} s", error_ns / 1_000_000_000),
        ));
    }
    Ok(Stated { least_ns: nanos_down(least) - error_ns, most_ns: nanos_up(most) + error_ns })
}

/// Units of 2^−64 s as ns, rounded down.
fn nanos_down(units: i128) -> i128 {
    let per_second = i128::from(NANOS_PER_SECOND);
    let fraction = units & i128::from(u64::MAX);
    (units >> 64) * per_second + ((fraction * per_second) >> 64)
}

/// The same, rounded up.
fn nanos_up(units: i128) -> i128 {
    -nanos_down(-units)
}

/// The interval in TAI, and what there is to say about the leap table.
fn tai(
    fields: &VmClockFields,
    stated: Stated,
    leaps: &LeapTable,
) -> Result<(Interval, Option<String>), SourceError> {
    let (offsets, doubt, remark) = match fields.time_type {
        TAI => ((0, 0), Duration::ZERO, None),
        _ => {
            let unix_ns = i64::try_from(stated.most_ns).unwrap_or(i64::MAX);
            let doubt = leaps.expiry_margin(unix_ns).map_err(|why| {
                SourceError::failed(format_args!("the VMClock's time, in TAI: {why}"))
            })?;
            let (offsets, remark) = offsets(fields, leaps)?;
            (offsets, doubt, remark)
        }
    };
    let end = |nanos: i128, offset: i64| {
        let tai = nanos + i128::from(offset) * i128::from(NANOS_PER_SECOND);
        let clamped = tai.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Timestamp::from_tai_nanos(clamped as i64)
    };
    let (earliest, latest) = (end(stated.least_ns, offsets.0), end(stated.most_ns, offsets.1));
    Ok((Interval::from_ordered(earliest, latest).widen(doubt), remark))
}

/// TAI − UTC at the moment of the page's counter value: at least and at most, in s. The ticks since
/// then are counted in TAI, in which no second is repeated.
fn offsets(
    fields: &VmClockFields,
    leaps: &LeapTable,
) -> Result<((i64, i64), Option<String>), SourceError> {
    let unix_s = i64::try_from(fields.seconds).unwrap_or(i64::MAX);
    let second = NANOS_PER_SECOND.unsigned_abs();
    let error_s = fields.time_max_error_ns.min(LARGEST_ERROR_NS).div_ceil(second);
    let slack_s = LEAP_SLACK_S.saturating_add(i64::try_from(error_s).unwrap_or(i64::MAX));
    let (least, most) = leaps.offsets_near(unix_s, slack_s).ok_or_else(|| {
        SourceError::failed(format_args!("the VMClock states a time before 1972 ({unix_s} s)"))
    })?;
    let (least, most) = (i64::from(least), i64::from(most));
    let is_listed = leaps.offsets_near(unix_s, MONTH_S).is_some_and(|(least, most)| least != most);
    if fields.leap_indicator != 0 && !is_listed {
        let remark = "it announces a leap second that the leap table does not list: a second wider";
        return Ok(((least - 1, most + 1), Some(remark.to_owned())));
    }
    // Hypervisors write it with either sign.
    let stated = i64::from(fields.tai_offset).abs();
    let differs = fields.flags & FLAG_TAI_OFFSET != 0 && !(least..=most).contains(&stated);
    let remark = differs.then(|| {
        format!("its TAI offset of {} s is not the leap table's ({least} s)", fields.tai_offset)
    });
    Ok(((least, most), remark))
}

#[cfg(test)]
#[path = "vmclock_tests.rs"]
mod tests;
