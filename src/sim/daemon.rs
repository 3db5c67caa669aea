//! [`Daemon`]: the program that disciplines a machine's clock.
//!
//! A daemon sends requests to a time server over the simulated network. An exchange shows how
//! far the clock is off, to within half of the round trip. The daemon corrects the clock, and
//! writes the remaining error into the kernel. The honest one (chrony) writes root delay / 2 +
//! root dispersion + the offset that it has not corrected yet. Others write 0, nothing, or a lie.

use std::time::Duration;

use super::kernel::KernelClock;
use super::network::Link;
use super::oscillator::FRACTION;
use super::random::{Random, nanos};
use super::regression::Regression;
use super::timesyncd::{Measurement, Stamps, Timesyncd};
use crate::host::{STA_FREQHOLD, STA_PLL, STA_UNSYNC};
use crate::source::chrony::chrony_fit::ChronyFit;
use crate::source::chrony::{Leap, NewestMeasurement, Reference, Tracking};
use crate::source::timesyncd::NtpMessage;
use crate::timestamp::{NANOS_PER_SECOND, seconds_to_nanos};

/// The program that disciplines the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Daemon {
    /// States an honest bound at each update, and answers when it is asked.
    Chrony,
    /// A chronyd as it is: its bound is an estimate, from a line through its last polls. Where its
    /// server is at the edge of its own bound, or the oscillator's rate bends, the bound is untrue
    /// at times, which breaks A1.
    ChronyEstimating,
    /// A chronyd that follows a reference clock, and takes it for exact. The clock that it follows
    /// is off by up to 20 ms, or by what [`Fault::Lie`](super::Fault::Lie) says.
    ChronyOnPhc,
    /// Leaves out of its bound what it has still to correct, as ntpd-rs does. It cannot be asked,
    /// and its process cannot be seen, as in a container.
    NtpdRs,
    /// systemd-timesyncd: it corrects its offset through the kernel's PLL, or steps the clock, and
    /// writes a bound of 0. Its exchanges are on the system bus
    /// ([`Machine::system_bus`](super::Machine::system_bus)).
    Timesyncd,
    /// No daemon, which the kernel reports.
    None,
    /// A script of root's that writes nonsense into the kernel. All of it has a mark by which
    /// the clock refuses it.
    Nonsense,
}

/// The time service that a daemon uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeService {
    /// How often the daemon polls.
    pub poll: Duration,
    /// The way to the server and back; each direction draws its own delay.
    pub link: Link,
    /// The way back, if it is another one.
    pub back: Option<Link>,
    /// How far the server itself may be off. It states that honestly.
    pub server_error: Duration,
    /// Offsets are corrected no faster than this. Beyond 500 ppm the bound is refused while the
    /// correction lasts.
    pub slew_ppm: u32,
}

impl Default for TimeService {
    fn default() -> TimeService {
        TimeService {
            poll: Duration::from_secs(64),
            link: Link::within(Duration::from_micros(150), Duration::from_micros(900)),
            back: None,
            server_error: Duration::from_micros(50),
            slew_ppm: 400,
        }
    }
}

/// An event that a daemon waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DaemonEvent {
    /// The next poll is due.
    Ask,
    /// The server's answer arrives: its time, what the clock showed at the request, and how
    /// often it had been set by then.
    Answer { server_tai: i64, asked_at: i64, steps: (u64, i64) },
    /// The present slew has corrected its offset.
    SlewEnds,
    /// timesyncd comes to act on an exchange, if the clock has been set as often as this by then.
    Act(Measurement, (u64, i64)),
}

/// A daemon at work.
#[derive(Clone, Debug)]
pub(super) struct Discipline {
    kind: Daemon,
    service: TimeService,
    random: Random,
    /// The server's present error, which changes slowly.
    server_off_ns: i64,
    freq_ppb: i64,
    first_freq_ppb: i64,
    synced: bool,
    slew_until: Option<i64>,
    updated_at: i64,
    /// TAI − UTC when the world began.
    offset_s: i64,
    began: i64,
    /// Whether it tells the kernel TAI − UTC; many are not set up to.
    sets_tai: bool,
    /// Whether it tells the kernel that it is synchronised (`rtcsync`).
    has_rtcsync: bool,
    /// The bound that it stated at its last update.
    stated_ns: Option<i64>,
    /// The leap second to come, on the Unix scale in seconds, and which.
    leap: Option<(i64, i32)>,
    /// By how much it keeps the clock off, without stating it.
    lie_ns: i64,
    /// Steps by other programs that it does not know of, in ns, and for how many updates.
    overlooked: (i64, u32),
    /// How far its estimate of the oscillator may be off, in ppb.
    skew_ppb: i64,
    /// To within what it knew the offset at the last update, in ns.
    last_bound_ns: i64,
    /// What [`Daemon::ChronyEstimating`] fits.
    regression: Regression,
    timesyncd: Timesyncd,
    /// What its last estimate rests on, beside when it was made.
    fit: ChronyFit,
    /// What its last update left to be corrected, in ns.
    left_ns: i64,
}

/// What a daemon's estimate rests on that takes its last exchange as it is.
const ONE_EXCHANGE: ChronyFit =
    ChronyFit { samples: 3, span: Duration::ZERO, newest: None, averaged: Duration::ZERO };

impl Discipline {
    pub(super) fn new(
        kind: Daemon,
        service: TimeService,
        mut random: Random,
        oscillator_ppm: f64,
        offset_s: i64,
        began: i64,
    ) -> Discipline {
        let error = nanos(service.server_error);
        // The drift file of the last run, a few ppm off.
        let freq_ppb = (oscillator_ppm * 1000.0) as i64 + random.between(-3_000, 3_000);
        let lie_ns = match kind {
            Daemon::ChronyOnPhc => random.between(-20_000_000, 20_000_000),
            _ => 0,
        };
        Discipline {
            kind,
            service,
            server_off_ns: random.between(-error, error),
            sets_tai: random.chance(500_000),
            has_rtcsync: random.chance(800_000),
            stated_ns: None,
            random,
            freq_ppb,
            first_freq_ppb: freq_ppb,
            synced: false,
            slew_until: None,
            updated_at: 0,
            offset_s,
            began,
            leap: None,
            lie_ns,
            overlooked: (0, 0),
            skew_ppb: 1_000,
            last_bound_ns: 0,
            regression: Regression::default(),
            timesyncd: Timesyncd::new(service.poll),
            fit: ONE_EXCHANGE,
            left_ns: 0,
        }
    }

    /// Does not notice a step by another program for so many updates.
    ///
    /// What it has not stated yet, or has stated within the last seconds, is not known to the
    /// clock either. Then it notices at once.
    pub(super) fn overlook(&mut self, now: i64, by_ns: i64, updates: u32) {
        let is_known = now - self.updated_at > 2 * NANOS_PER_SECOND;
        if self.stated_ns.is_some() && is_known {
            self.overlooked = (self.overlooked.0 + by_ns, self.overlooked.1.max(updates));
        }
    }

    /// Dies. What it wrote into the kernel stays.
    pub(super) fn die(&mut self) {
        self.kind = Daemon::None;
    }

    /// From now on it keeps the clock off by this, and states its bound as before.
    pub(super) fn lie(&mut self, by_ns: i64) {
        self.lie_ns = by_ns;
    }

    /// Its server tells it of a leap second: at this Unix second, 1 or −1.
    pub(super) fn expect_leap(&mut self, at: i64, leap: i32) {
        self.leap = Some((at, leap));
    }

    /// Whether it is a chronyd whose process the clock can see. Of one in ten it cannot.
    pub(super) fn is_visible_chronyd(&self) -> bool {
        let is_chronyd = matches!(self.kind, Daemon::Chrony | Daemon::ChronyEstimating);
        is_chronyd && (self.has_rtcsync || self.sets_tai)
    }

    /// Its answer to a TRACKING request. `None` if no chronyd runs.
    ///
    /// A real chronyd states its present bound. Here it is the bound of the last update, which
    /// grows by 1 ppm, so it never exceeds the kernel's own. Its frequency, its reference time and
    /// its leap status are what it told the kernel at that update.
    pub(super) fn tracking(&self, now: i64) -> Option<Tracking> {
        let reference = match self.kind {
            Daemon::Chrony | Daemon::ChronyEstimating => {
                Reference { id: 0x0a00_0001, address: Some([10, 0, 0, 1].into()) }
            }
            Daemon::ChronyOnPhc => Reference { id: u32::from_be_bytes(*b"PHC0"), address: None },
            _ => return None,
        };
        let age = now.saturating_sub(self.updated_at).max(0);
        let offset_s = self.true_offset_s(self.updated_at);
        let updated_utc = self.updated_at.saturating_sub(seconds_to_nanos(offset_s));
        // The honest one states what is left as part of its dispersion, and as if it stayed.
        let left_ns = match self.kind {
            Daemon::ChronyEstimating => self.left_ns,
            _ => 0,
        };
        let stated = self.stated_ns.unwrap_or(0).saturating_sub(left_ns);
        let lasts = self.slew_until.map_or(1, |until| until - self.updated_at).max(1);
        let to_come = i128::from(lasts - age.min(lasts));
        let correction_ns = (i128::from(left_ns) * to_come / i128::from(lasts)) as i64;
        Some(Tracking {
            reference,
            stratum: 2,
            leap: match (self.stated_ns, self.leap) {
                (None, _) => Leap::Unsynchronized,
                (_, Some((_, 1))) => Leap::Insert,
                (_, Some(_)) => Leap::Delete,
                (_, None) => Leap::Normal,
            },
            reference_time: Duration::from_nanos(updated_utc.max(0).unsigned_abs()),
            correction_ns: correction_ns.unsigned_abs(),
            root_delay_ns: 0,
            root_dispersion_ns: stated.saturating_add(age / 1_000_000).unsigned_abs(),
            last_offset: 0.0,
            rms_offset: 0.0,
            frequency_ppm: -(self.freq_ppb as f64) / 1_000.0,
            residual_frequency_ppm: 0.0,
            skew_ppm: self.skew_ppb as f64 / 1_000.0,
            update_interval: self.service.poll.as_secs_f64(),
        })
    }

    /// Its answer to SOURCE_DATA and SOURCESTATS.
    pub(super) fn fit(&self, now: i64) -> Option<ChronyFit> {
        self.stated_ns?;
        let age_ns = now.saturating_sub(self.updated_at).max(0).unsigned_abs();
        let newest = self.fit.newest.map(|newest| NewestMeasurement {
            age: Duration::from_secs(age_ns / NANOS_PER_SECOND.unsigned_abs()),
            ..newest
        });
        let span = Duration::from_secs(self.fit.span.as_secs_f64().round() as u64);
        Some(ChronyFit { newest, span, ..self.fit })
    }

    /// TAI − UTC in truth, in seconds.
    pub(super) fn true_offset_s(&self, tai: i64) -> i64 {
        match self.leap {
            Some((at, leap)) if tai.div_euclid(NANOS_PER_SECOND) - self.offset_s >= at => {
                self.offset_s + i64::from(leap)
            }
            _ => self.offset_s,
        }
    }

    /// TAI − UTC in truth, in seconds, and the leap indicator that servers show at `tai`.
    pub(super) fn utc_of_servers(&self, tai: i64) -> (i64, u8) {
        let unix = tai.div_euclid(NANOS_PER_SECOND) - self.offset_s;
        let indicator = match self.leap {
            Some((at, leap)) if unix < at => {
                if leap > 0 {
                    1
                } else {
                    2
                }
            }
            _ => 0,
        };
        (self.true_offset_s(tai), indicator)
    }

    /// The leap second to come or just made: at this Unix second, and which.
    pub(super) fn leap(&self) -> Option<(i64, i32)> {
        self.leap
    }

    /// TAI − UTC at this moment, in seconds; `None` around a leap second, when
    /// daemons make no measurements.
    fn offset_s(&self, tai: i64) -> Option<i64> {
        let Some((at, leap)) = self.leap else { return Some(self.offset_s) };
        match tai.div_euclid(NANOS_PER_SECOND) - self.offset_s - at {
            ..-3 => Some(self.offset_s),
            -3..=3 => None,
            _ => Some(self.offset_s + i64::from(leap)),
        }
    }

    /// What timesyncd answers on the bus: its last exchange, if it has made one, and its shortest
    /// poll in seconds; and how often there was news. `None` if it does not run.
    pub(super) fn published(&self) -> Option<(Option<NtpMessage>, u64, u64)> {
        (self.kind == Daemon::Timesyncd).then(|| self.timesyncd.published())
    }

    /// The delay of its first poll.
    pub(super) fn first_event(&mut self) -> Duration {
        Duration::from_millis(self.random.below(2_000))
    }

    /// Handles an event at true time `t`. Returns the next events, each with its delay in ns.
    pub(super) fn act(
        &mut self,
        event: DaemonEvent,
        t: i64,
        kernel: &mut KernelClock,
        raw: u128,
        reachable: bool,
    ) -> Vec<(i64, DaemonEvent)> {
        match (self.kind, event) {
            (Daemon::None, _) => Vec::new(),
            (Daemon::Nonsense, _) => {
                self.write_nonsense(kernel);
                vec![(self.random.between(1, 20_000_000_000), DaemonEvent::Ask)]
            }
            (_, DaemonEvent::Ask) => self.ask(t, kernel, raw, reachable),
            (Daemon::Timesyncd, DaemonEvent::Act(measurement, steps)) => {
                if steps == (kernel.steps(), kernel.leaps_made()) {
                    self.timesyncd.act(measurement, kernel);
                }
                Vec::new()
            }
            (_, DaemonEvent::Act(..)) => Vec::new(),
            (_, DaemonEvent::SlewEnds) => {
                if self.slew_until.is_some_and(|until| t >= until) {
                    self.slew_until = None;
                    kernel.set_rate(self.freq_ppb);
                }
                Vec::new()
            }
            (kind, DaemonEvent::Answer { server_tai, asked_at, steps }) => {
                // If the clock was set meanwhile, the measurement is useless.
                if steps != (kernel.steps(), kernel.leaps_made()) {
                    return Vec::new();
                }
                let Some(offset_s) = self.offset_s(server_tai) else { return Vec::new() };
                let server_utc = server_tai - seconds_to_nanos(offset_s);
                if kind == Daemon::Timesyncd {
                    let server = server_utc + self.lie_ns;
                    let stamps = Stamps { asked_at, server, arrived_at: kernel.realtime_ns(raw) };
                    let (_, leap) = self.utc_of_servers(server_tai);
                    let error = nanos(self.service.server_error);
                    let random = &mut self.random;
                    let measurement = self.timesyncd.measure(stamps, error, leap, random);
                    let late = match random.below(50) {
                        0 => random.between(100_000_000, 1_400_000_000),
                        _ => random.between(200_000, 30_000_000),
                    };
                    return vec![(late, DaemonEvent::Act(measurement, steps))];
                }
                let measured = self.measure(server_utc, asked_at, kernel.realtime_ns(raw));
                self.overlooked = match self.overlooked {
                    (by_ns, updates @ 2..) => (by_ns, updates - 1),
                    _ => (0, 0),
                };
                match kind {
                    Daemon::ChronyEstimating => {
                        let raw_ns = (raw >> FRACTION) as i64;
                        self.estimate(t, measured, raw_ns, kernel, offset_s as i32)
                    }
                    _ => self.correct(t, measured, kernel, offset_s as i32),
                }
            }
        }
    }

    fn ask(
        &mut self,
        t: i64,
        kernel: &KernelClock,
        raw: u128,
        reachable: bool,
    ) -> Vec<(i64, DaemonEvent)> {
        let poll = match self.kind {
            Daemon::Timesyncd => self.timesyncd.poll(),
            _ => self.service.poll,
        };
        let again = (nanos(poll).max(1_000_000), DaemonEvent::Ask);
        let there = self.service.link.draw(&mut self.random, t - self.began, i64::MIN);
        let way_back = self.service.back.unwrap_or(self.service.link);
        let back = way_back.draw(&mut self.random, t - self.began, i64::MIN);
        let (Some(there), Some(back), true) = (there, back, reachable) else { return vec![again] };
        let error = nanos(self.service.server_error);
        let step = error / 8 + 1;
        self.server_off_ns = match self.kind {
            // At the edge of its bound, where an estimate has no room left.
            Daemon::ChronyEstimating => error - error / 20,
            Daemon::Timesyncd if self.random.chance(500_000) => {
                error * self.random.between(0, 1) * 2 - error
            }
            _ => (self.server_off_ns + self.random.between(-step, step)).clamp(-error, error),
        };
        let answer = DaemonEvent::Answer {
            server_tai: t + there + self.server_off_ns,
            asked_at: kernel.realtime_ns(raw),
            steps: (kernel.steps(), kernel.leaps_made()),
        };
        vec![again, (there + back, answer)]
    }

    fn measure(&self, server_utc: i64, asked_at: i64, now: i64) -> Measured {
        let delay = (now - asked_at).max(0);
        let middle = asked_at + delay / 2;
        Measured {
            // It takes the clock for where it would be without the steps it does not know of.
            offset: server_utc + self.lie_ns + self.overlooked.0 - middle,
            // The local clock's rate was off by up to a thousandth during the exchange.
            bound: delay / 2 + delay / 1000 + nanos(self.service.server_error) + 1_000,
        }
    }

    /// Does what chronyd does. It steps a large offset at first. Later it corrects the frequency
    /// a little and slews the offset away, and states what remains.
    fn correct(
        &mut self,
        t: i64,
        measured: Measured,
        kernel: &mut KernelClock,
        tai: i32,
    ) -> Vec<(i64, DaemonEvent)> {
        let Measured { offset, bound } = measured;
        let mut left = offset;
        if !self.synced || offset.abs() > 200_000_000 {
            kernel.step_by(offset);
            left = 0;
        } else if self.slew_until.is_none_or(|until| t >= until) {
            // (What a slew has still to correct says nothing about the rate.)
            let elapsed = (t - self.updated_at).max(NANOS_PER_SECOND);
            // Only the part beyond the measurement's own error shows a wrong rate.
            let sure = (offset.abs() - bound).max(0) * offset.signum();
            let correction = i128::from(sure) * 500_000_000 / i128::from(elapsed);
            // The machine may move to a host whose oscillator is off the other way.
            let most = 200_000 + self.first_freq_ppb.abs() / 200_000 * 500_000;
            let before = self.freq_ppb;
            self.freq_ppb = (self.freq_ppb + correction as i64)
                .clamp(self.first_freq_ppb - most, self.first_freq_ppb + most);
            // A rate that is wrong by less than this does not show between two measurements.
            let unseen = i128::from(bound + self.last_bound_ns) * 1_000_000_000;
            let unseen = (unseen / i128::from(elapsed)) as i64;
            self.skew_ppb = 1_000 + unseen + (self.freq_ppb - before).abs();
        }
        self.last_bound_ns = bound;
        self.fit = ChronyFit { newest: Some(newest(0, bound)), ..ONE_EXCHANGE };
        self.steer(t, left, bound, kernel, tai)
    }

    /// Follows the line through the last polls, and states what chronyd states: half of the delay,
    /// the server's bound, the spread around the line, and what remains to be corrected.
    fn estimate(
        &mut self,
        t: i64,
        measured: Measured,
        raw_ns: i64,
        kernel: &mut KernelClock,
        tai: i32,
    ) -> Vec<(i64, DaemonEvent)> {
        let shown = kernel.realtime_ns((raw_ns.unsigned_abs() as u128) << FRACTION);
        let ahead_ns = shown - raw_ns + measured.offset;
        let line = self.regression.add(raw_ns, ahead_ns);
        self.fit = ChronyFit {
            samples: line.samples.max(ONE_EXCHANGE.samples),
            span: Duration::from_nanos(line.span_ns.max(0).unsigned_abs()),
            newest: Some(newest(ahead_ns - line.ahead_ns, measured.bound)),
            averaged: Duration::ZERO,
        };
        let mut left = line.ahead_ns - (shown - raw_ns);
        if !self.synced || left.abs() > 200_000_000 {
            kernel.step_by(left);
            left = 0;
        } else {
            self.freq_ppb = line.rate_ppb;
        }
        self.skew_ppb = 1_000;
        self.steer(t, left, measured.bound + line.spread_ns, kernel, tai)
    }

    /// Slews away what is left of an offset, and states the bound.
    fn steer(
        &mut self,
        t: i64,
        left: i64,
        bound: i64,
        kernel: &mut KernelClock,
        tai: i32,
    ) -> Vec<(i64, DaemonEvent)> {
        let mut next = Vec::new();
        self.synced = true;
        self.updated_at = t;
        self.left_ns = left.abs();
        self.slew_until = None;
        kernel.set_rate(self.freq_ppb);
        if left.abs() > 100 {
            let fastest = i64::from(self.service.slew_ppm) * 1000;
            // No faster than needed to end at half of the poll interval.
            let wanted = i128::from(left) * 2_000_000_000 / i128::from(nanos(self.service.poll));
            let slew = (wanted as i64).clamp(-fastest, fastest);
            let slew = if slew == 0 { left.signum() } else { slew };
            let lasts = (i128::from(left) * i128::from(NANOS_PER_SECOND) / i128::from(slew)) as i64;
            self.slew_until = Some(t + lasts);
            kernel.set_rate(self.freq_ppb + slew);
            next.push((lasts, DaemonEvent::SlewEnds));
        }
        let left_out = self.kind == Daemon::NtpdRs;
        let maxerror_ns = if left_out { bound } else { bound + left.abs() };
        let tai = if self.sets_tai { tai } else { kernel.tai() };
        self.stated_ns = Some(maxerror_ns);
        let status = if self.has_rtcsync { 0 } else { STA_UNSYNC };
        kernel.state_error((maxerror_ns + 999) / 1000, status, tai);
        next
    }

    /// Writes values that all have the mark of a missing bound.
    fn write_nonsense(&mut self, kernel: &mut KernelClock) {
        let maxerror = [0, -500, i64::MIN, 500, 4_500, i64::MAX, 16_000_000, -1_000];
        let status = [0, STA_PLL, STA_UNSYNC, STA_FREQHOLD | STA_PLL];
        let tai = [0, 1, 36, 38, i32::MAX, i32::MIN];
        let pick = |random: &mut Random, of: usize| random.below(of as u64) as usize;
        let maxerror = maxerror[pick(&mut self.random, maxerror.len())];
        let status = status[pick(&mut self.random, status.len())];
        kernel.state_error(maxerror, status, tai[pick(&mut self.random, tai.len())]);
        if self.random.chance(100_000) {
            kernel.step_by(self.random.between(-5_000_000_000, 5_000_000_000));
        }
    }
}

/// The newest measurement, by which the clock was so far from the daemon's estimate.
fn newest(offset_ns: i64, bound_ns: i64) -> NewestMeasurement {
    NewestMeasurement {
        offset_ns: offset_ns.unsigned_abs(),
        error_ns: bound_ns.max(0).unsigned_abs(),
        age: Duration::ZERO,
    }
}

/// What an exchange with the server has shown.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// By how much the clock is behind.
    offset: i64,
    /// To within this.
    bound: i64,
}
