//! [`KernelClock`]: how Linux keeps the wall clock.
//!
//! `CLOCK_REALTIME` runs on the oscillator. Three things make it run faster or slower: `freq`
//! and `tick`, the PLL that corrects an offset, and `adjtime()`. Once a second, at a timer tick
//! that comes up to 8 ms late, the kernel does its accounts: `maxerror` grows by 500 µs, the
//! PLL takes its share, and a leap second is made. Until that tick a leap second has not been
//! made, and the clock runs on past midnight.
//!
//! The clock has no events of its own. Each reading first carries it forward to the present,
//! through all the seconds that have passed.

use super::oscillator::FRACTION;
use super::random::Random;
use crate::host::{
    KernelState, STA_DEL, STA_INS, STA_PLL, STA_UNSYNC, TIME_DEL, TIME_ERROR, TIME_INS, TIME_OK,
    TIME_OOP, TIME_WAIT,
};
use crate::timestamp::NANOS_PER_SECOND as SECOND;

const DAY_S: i64 = 86_400;
/// The PLL's time constant until a daemon sets another: it takes a sixteenth of the rest a second.
const PLL_CONSTANT: i64 = 2;
/// The kernel's NTP_PHASE_LIMIT, in µs: beyond it there is no bound.
const MAXERROR_LIMIT_US: i64 = 16_000_000;
const GROWTH_US: i64 = 500;
/// How late the tick that does the accounts may be, in ns.
const LATE_NS: i64 = 8_000_000;

/// The kernel's clock of one simulated machine.
#[derive(Clone, Debug)]
pub(super) struct KernelClock {
    random: Random,
    /// The raw clock when this was last carried forward.
    raw: u128,
    /// REALTIME then, in ns of the Unix scale with [`FRACTION`] bits.
    realtime: i128,
    monotonic: i128,
    freq_ppb: i64,
    pll_offset_ns: i64,
    pll_constant: i64,
    pll_rate_ppb: i64,
    adjtime_ns: i64,
    adjtime_rate_ppb: i64,
    status: i32,
    leap_state: i32,
    maxerror_us: i64,
    tai: i32,
    /// No account is due before the raw clock shows this. 0 if that is not known.
    quiet_until: u128,
    /// The second whose accounts are done next, and how late that will be.
    next_second: i64,
    lateness: i64,
    /// The second up to which they are done.
    counted_second: i64,
    leap_at: Option<i64>,
    leaps_made: i64,
    steps: u64,
}

impl KernelClock {
    /// A clock that shows `unix_ns` and has not been set yet.
    pub(super) fn new(random: Random, raw: u128, unix_ns: i64) -> KernelClock {
        let mut clock = KernelClock {
            random,
            raw,
            realtime: i128::from(unix_ns) << FRACTION,
            monotonic: 0,
            freq_ppb: 0,
            pll_offset_ns: 0,
            pll_constant: PLL_CONSTANT,
            pll_rate_ppb: 0,
            adjtime_ns: 0,
            adjtime_rate_ppb: 0,
            status: STA_UNSYNC,
            leap_state: TIME_OK,
            maxerror_us: MAXERROR_LIMIT_US,
            tai: 0,
            quiet_until: 0,
            next_second: 0,
            lateness: 0,
            counted_second: 0,
            leap_at: None,
            leaps_made: 0,
            steps: 0,
        };
        clock.expect_next_second();
        clock
    }

    /// Carries the clock forward to where the raw clock shows `raw`.
    pub(super) fn advance(&mut self, raw: u128) {
        self.do_accounts_until(raw);
        self.run_to(raw);
        // The caller is about to change the clock.
        self.quiet_until = 0;
    }

    /// Does the accounts that are due until the raw clock shows `raw`, so that it can be read.
    pub(super) fn do_accounts_until(&mut self, raw: u128) {
        while raw >= self.quiet_until {
            let due = i128::from(self.next_second * SECOND + self.lateness) << FRACTION;
            let wait = due - self.realtime;
            let needed =
                if wait <= 0 { 0 } else { wait as u128 * SECOND as u128 / self.rate() + 1 };
            self.quiet_until = self.raw + needed;
            if raw >= self.quiet_until {
                self.run_to(self.quiet_until);
                self.do_accounts();
                self.quiet_until = 0;
            }
        }
    }

    /// REALTIME where the raw clock shows `raw`, near the last `advance`.
    pub(super) fn realtime_ns(&self, raw: u128) -> i64 {
        (self.scaled(self.realtime, raw) >> FRACTION) as i64
    }

    /// MONOTONIC where the raw clock shows `raw`, near the last `advance`.
    pub(super) fn monotonic_ns(&self, raw: u128) -> i64 {
        (self.scaled(self.monotonic, raw) >> FRACTION) as i64
    }

    /// What `adjtimex` returns.
    pub(super) fn state(&self, raw: u128) -> KernelState {
        let unix_ns = self.realtime_ns(raw);
        let now_s = unix_ns / SECOND;
        // In the window before the late tick this call already knows of the leap.
        let in_window = self.leap_state == TIME_INS && self.leap_at.is_some_and(|at| now_s >= at);
        let leap_state = if in_window { TIME_OOP } else { self.leap_state };
        let state = if self.status & STA_UNSYNC != 0 { TIME_ERROR } else { leap_state };
        KernelState {
            state,
            status: self.status,
            maxerror_us: self.maxerror_us,
            esterror_us: self.maxerror_us / 8,
            constant: self.pll_constant,
            offset_ns: self.pll_offset_ns,
            adjtime_ns: self.adjtime_ns,
            rate_ppb: self.freq_ppb,
            tai: self.tai.saturating_add(i32::from(in_window)),
            unix_ns,
        }
    }

    /// The second of REALTIME up to which `maxerror` has grown, in ns: what the coarse clock shows.
    pub(super) fn counted_until_ns(&self) -> i64 {
        self.counted_second * SECOND
    }

    /// How many leap seconds have been inserted, less those that were left out.
    pub(super) fn leaps_made(&self) -> i64 {
        self.leaps_made
    }

    /// TAI − UTC as it was told, and counted on from there at leap seconds.
    pub(super) fn tai(&self) -> i32 {
        self.tai
    }

    /// How often the clock has been set.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// `clock_settime`: a step. The kernel forgets the daemon's bound.
    pub(super) fn step_by(&mut self, by_ns: i64) {
        self.realtime += i128::from(by_ns) << FRACTION;
        self.steps += 1;
        self.status |= STA_UNSYNC;
        self.maxerror_us = MAXERROR_LIMIT_US;
        (self.pll_offset_ns, self.pll_rate_ppb) = (0, 0);
        (self.adjtime_ns, self.adjtime_rate_ppb) = (0, 0);
        // A leap second that is still announced is expected anew from the new time.
        if matches!(self.leap_state, TIME_INS | TIME_DEL) {
            self.leap_state = TIME_OK;
        }
        self.leap_at = None;
        self.expect_next_second();
    }

    /// Resumes after a suspend, whose length the board's real-time clock shows approximately.
    pub(super) fn resume(&mut self, slept_ns: i64, rtc_error_ns: i64) {
        self.realtime += i128::from(slept_ns.saturating_add(rtc_error_ns)) << FRACTION;
        self.steps += 1;
        self.expect_next_second();
    }

    /// ADJ_FREQUENCY and ADJ_TICK together.
    pub(super) fn set_rate(&mut self, ppb: i64) {
        self.freq_ppb = ppb.clamp(-100_000_000, 100_000_000);
    }

    /// ADJ_MAXERROR and ADJ_STATUS: a daemon's statement of its error.
    pub(super) fn state_error(&mut self, maxerror_us: i64, status: i32, tai: i32) {
        self.maxerror_us = maxerror_us;
        let leap = self.status & (STA_INS | STA_DEL);
        self.status = status | leap;
        self.tai = tai;
    }

    /// ADJ_OFFSET and ADJ_TIMECONST: the PLL is to correct this offset, so fast.
    pub(super) fn set_pll(&mut self, offset_ns: i64, constant: i64) {
        self.pll_offset_ns = offset_ns.clamp(-500_000_000, 500_000_000);
        self.pll_constant = constant.clamp(0, 10);
    }

    /// ADJ_FREQUENCY as it was set.
    pub(super) fn frequency_ppb(&self) -> i64 {
        self.freq_ppb
    }

    /// `adjtime()`: 500 ppm until it is done.
    pub(super) fn adjtime(&mut self, by_ns: i64) {
        self.adjtime_ns = by_ns;
    }

    /// STA_INS or STA_DEL: a leap second at the end of the day.
    pub(super) fn announce_leap(&mut self, leap: i32) {
        self.status &= !(STA_INS | STA_DEL);
        self.status |= if leap > 0 { STA_INS } else { STA_DEL };
    }

    fn rate(&self) -> u128 {
        let ppb = self.freq_ppb + self.pll_rate_ppb + self.adjtime_rate_ppb;
        (SECOND + ppb).max(1).unsigned_abs().into()
    }

    fn scaled(&self, clock: i128, raw: u128) -> i128 {
        let elapsed = raw.abs_diff(self.raw);
        let part = (elapsed * self.rate() / SECOND as u128) as i128;
        if raw >= self.raw { clock + part } else { clock - part }
    }

    fn run_to(&mut self, raw: u128) {
        self.realtime = self.scaled(self.realtime, raw);
        self.monotonic = self.scaled(self.monotonic, raw);
        self.raw = raw;
    }

    fn expect_next_second(&mut self) {
        let now = (self.realtime >> FRACTION) as i64;
        self.counted_second = now.div_euclid(SECOND);
        self.next_second = self.counted_second + 1;
        self.lateness = self.random.between(0, LATE_NS);
    }

    /// `second_overflow()`.
    fn do_accounts(&mut self) {
        let second = self.next_second;
        self.maxerror_us = self.maxerror_us.saturating_add(GROWTH_US);
        if self.maxerror_us > MAXERROR_LIMIT_US {
            self.maxerror_us = MAXERROR_LIMIT_US;
            self.status |= STA_UNSYNC;
        }
        self.work_off();
        self.make_leap(second);
        self.expect_next_second();
    }

    fn work_off(&mut self) {
        // By SHIFT_PLL, which is 2, and the time constant.
        let is_pll = self.status & STA_PLL != 0;
        let share = if is_pll { self.pll_offset_ns / (4 << self.pll_constant) } else { 0 };
        self.pll_offset_ns -= share;
        self.pll_rate_ppb = share;
        let share = self.adjtime_ns.clamp(-500_000, 500_000);
        self.adjtime_ns -= share;
        self.adjtime_rate_ppb = share;
    }

    fn make_leap(&mut self, second: i64) {
        let step = |clock: &mut KernelClock, by: i64| {
            clock.realtime += i128::from(by * SECOND) << FRACTION;
            clock.leaps_made -= by;
            clock.tai = clock.tai.saturating_sub(by as i32);
        };
        match self.leap_state {
            TIME_OK if self.status & STA_INS != 0 => {
                self.leap_at = Some(second + DAY_S - second.rem_euclid(DAY_S));
                self.leap_state = TIME_INS;
            }
            TIME_OK if self.status & STA_DEL != 0 => {
                self.leap_at = Some(second + DAY_S - (second + 1).rem_euclid(DAY_S));
                self.leap_state = TIME_DEL;
            }
            TIME_INS if self.leap_at == Some(second) => {
                step(self, -1);
                self.leap_state = TIME_OOP;
            }
            TIME_DEL if self.leap_at == Some(second) => {
                step(self, 1);
                self.leap_state = TIME_WAIT;
            }
            TIME_OOP => self.leap_state = TIME_WAIT,
            TIME_WAIT if self.status & (STA_INS | STA_DEL) == 0 => {
                self.leap_state = TIME_OK;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now_raw(clock: &KernelClock) -> u128 {
        clock.raw
    }

    fn at_midnight_less(seconds: i64) -> KernelClock {
        let mut clock = KernelClock::new(Random::new(1, 1), 0, (DAY_S - seconds) * SECOND);
        clock.state_error(100, 0, 37);
        clock
    }

    fn raw(nanos: i64) -> u128 {
        (nanos as u128) << FRACTION
    }

    #[test]
    fn maxerror_grows_by_500_a_second_and_ends_unsynchronized() {
        let mut clock = at_midnight_less(80_000);
        clock.advance(raw(10 * SECOND + LATE_NS));
        assert_eq!(clock.state(now_raw(&clock)).maxerror_us, 100 + 10 * 500);
        assert_eq!(clock.state(now_raw(&clock)).state, TIME_OK);
        clock.advance(raw(40_000 * SECOND));
        assert_eq!(clock.state(now_raw(&clock)).maxerror_us, MAXERROR_LIMIT_US);
        assert_eq!(clock.state(now_raw(&clock)).state, TIME_ERROR);
    }

    #[test]
    fn an_inserted_leap_second_comes_at_a_late_tick_and_repeats_a_second() {
        let mut clock = at_midnight_less(10);
        clock.announce_leap(1);
        let mut ran_past = 0;
        let mut now = 0;
        while now < 10 * SECOND + LATE_NS {
            now += 100_000;
            clock.advance(raw(now));
            let shown = clock.realtime_ns(raw(now));
            if shown >= DAY_S * SECOND {
                ran_past += 1;
                assert_eq!(
                    (clock.state(now_raw(&clock)).state, clock.state(now_raw(&clock)).tai),
                    (TIME_OOP, 38)
                );
                assert_eq!(clock.leaps_made(), 0);
            }
        }
        assert!(ran_past > 0, "the tick was not late");
        clock.advance(raw(10 * SECOND + SECOND / 2));
        assert_eq!(clock.realtime_ns(raw(10 * SECOND + SECOND / 2)), DAY_S * SECOND - SECOND / 2);
        assert_eq!((clock.leaps_made(), clock.state(now_raw(&clock)).tai), (1, 38));
        clock.advance(raw(13 * SECOND));
        assert_eq!(clock.realtime_ns(raw(13 * SECOND)), (DAY_S + 2) * SECOND);
        assert_eq!(clock.state(now_raw(&clock)).state, TIME_WAIT);
    }

    #[test]
    fn a_deleted_second_is_left_out() {
        let mut clock = at_midnight_less(10);
        clock.announce_leap(-1);
        clock.advance(raw(12 * SECOND));
        assert_eq!(clock.realtime_ns(raw(12 * SECOND)), (DAY_S + 3) * SECOND);
        assert_eq!((clock.leaps_made(), clock.state(now_raw(&clock)).tai), (-1, 36));
    }

    #[test]
    fn the_pll_and_adjtime_work_off_what_they_are_told() {
        let mut clock = at_midnight_less(80_000);
        let ahead = |clock: &KernelClock, at: i64| {
            clock.realtime_ns(raw(at)) - (DAY_S - 80_000) * SECOND - at
        };
        clock.state_error(0, STA_PLL, 37);
        clock.set_pll(100_000_000, PLL_CONSTANT);
        clock.advance(raw(200 * SECOND));
        // A share is worked off in a second of the clock itself, which is then as much shorter.
        let done = ahead(&clock, 200 * SECOND);
        assert!((99_500_000..=100_000_100).contains(&done), "{done}");
        clock.adjtime(-2_000_000);
        clock.advance(raw(220 * SECOND));
        let slewed = ahead(&clock, 220 * SECOND) - done;
        assert!((-2_003_000..=-1_997_000).contains(&slewed), "{slewed}");
    }

    #[test]
    fn a_step_takes_the_stated_bound_back() {
        let mut clock = at_midnight_less(80_000);
        let offset = |clock: &KernelClock| clock.realtime_ns(raw(0)) - clock.monotonic_ns(raw(0));
        let before = offset(&clock);
        clock.step_by(5_000_000);
        assert_eq!(offset(&clock), before + 5_000_000);
        assert_eq!(clock.state(now_raw(&clock)).maxerror_us, MAXERROR_LIMIT_US);
        assert_eq!(clock.state(now_raw(&clock)).state, TIME_ERROR);
    }
}
