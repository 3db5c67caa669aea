//! A machine with a timesyncd, in which nothing happens by itself.

use super::super::exchange::{self, Exchange};
use super::super::late::{self, LateLook, TooLate};
use super::super::message::NtpMessage;
use super::super::pairs::Pair;
use super::super::watch::Watch;
use crate::counter::CounterId;
use crate::host::{KernelState, STA_NANO, STA_PLL, STA_UNSYNC, TIME_ERROR, TIME_OK};
use crate::source::kernel::off_kernel_time_ns;
use crate::source::realtime::Realtime;

pub(super) const MS: i64 = 1_000_000;
pub(super) const SECOND: i64 = 1_000 * MS;
pub(super) const BASE: i64 = 1_795_903_200 * SECOND;
pub(super) const DRIFT_PPM: u32 = 200;

/// The counter, of 2.5 GHz, where the raw clock shows this.
fn ticks(raw: i64) -> u64 {
    raw as u64 * 5 / 2
}

/// Random numbers that are the same in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn between(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1) as u64) as i64
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// A machine: its oscillator, the kernel's wall clock, and what is looked at.
pub(super) struct Model {
    pub(super) raw: i64,
    /// The wall clock, in ns with 20 more bits.
    pub(super) wall: i128,
    /// All steps of the wall clock.
    pub(super) stepped: i64,
    /// By how much the wall clock that the process is shown is ahead of the kernel's.
    pub(super) shown_ahead: i64,
    /// By how much true time passes faster than the oscillator.
    pub(super) ppm: i64,
    pub(super) freq_ppb: i64,
    pub(super) offset_ns: i64,
    pub(super) constant: i64,
    pub(super) correction_ppb: i64,
    pub(super) maxerror_us: i64,
    pub(super) status: i32,
    pub(super) suspended_ns: i64,
    pub(super) packets: u64,
    pub(super) poll_s: i64,
    pub(super) poll_min_s: i64,
    pub(super) looks_every: i64,
    /// `None` while the process does not run.
    pub(super) watch: Option<Watch>,
    pub(super) next_look: i64,
    pub(super) heard: Option<NtpMessage>,
}

/// A server, and the way to it.
#[derive(Clone, Copy)]
pub(super) struct Server {
    /// How far it is off; its bound is this or more.
    pub(super) off_ns: i64,
    pub(super) dispersion_us: u64,
    /// The ways there and back.
    pub(super) ways: (i64, i64),
}

pub(super) const GOOD: Server = Server { off_ns: 0, dispersion_us: 300, ways: (10 * MS, 10 * MS) };

impl Model {
    pub(super) fn new(ppm: i64) -> Model {
        Model {
            raw: 1_000 * SECOND,
            wall: i128::from(BASE + 5 * MS) << 20,
            stepped: 0,
            shown_ahead: 0,
            ppm,
            freq_ppb: 0,
            offset_ns: 0,
            constant: 0,
            correction_ppb: 0,
            maxerror_us: 16_000_000,
            status: STA_UNSYNC,
            suspended_ns: 0,
            packets: 0,
            poll_s: 32,
            poll_min_s: 32,
            looks_every: 100 * MS,
            watch: None,
            next_look: 0,
            heard: None,
        }
    }

    pub(super) fn truth(&self) -> i64 {
        self.truth_at(self.raw)
    }

    /// With the raw clock at 1000 s true time is the base.
    pub(super) fn truth_at(&self, raw: i64) -> i64 {
        let since = raw - 1_000 * SECOND;
        BASE + since + (i128::from(since) * i128::from(self.ppm) / 1_000_000) as i64
    }

    pub(super) fn wall_ns(&self) -> i64 {
        (self.wall >> 20) as i64
    }

    /// Time passes, and the process looks at the clocks.
    pub(super) fn pass(&mut self, ns: i64) {
        let end = self.raw + ns;
        while self.raw < end {
            let look_at = if self.watch.is_some() { self.next_look } else { i64::MAX };
            let to = end.min(look_at).max(self.raw);
            self.run_to(to);
            if self.watch.is_some() && self.raw >= self.next_look {
                self.look();
            }
        }
    }

    pub(super) fn run_to(&mut self, raw: i64) {
        while self.raw < raw {
            let rate = i128::from(SECOND + self.freq_ppb + self.correction_ppb);
            let second = (self.wall_ns().div_euclid(SECOND) + 1) * SECOND;
            let left = (i128::from(second) << 20) - self.wall;
            let needed = (left * i128::from(SECOND) / (rate << 20)) as i64 + 1;
            let step = needed.min(raw - self.raw);
            self.wall += (i128::from(step) << 20) * rate / i128::from(SECOND);
            self.raw += step;
            if self.wall_ns() >= second {
                self.maxerror_us += 500;
                let part = self.offset_ns / (4 << self.constant);
                self.offset_ns -= part;
                self.correction_ppb = part;
            }
        }
    }

    pub(super) fn pair(&self) -> Pair {
        let shown = self.stepped + self.shown_ahead;
        let read = Realtime {
            before: ticks(self.raw),
            unix_ns: self.wall_ns() + self.shown_ahead,
            after: ticks(self.raw),
            // MONOTONIC is slewed too.
            offset: (shown, shown + 1),
        };
        let kernel = self.kernel();
        Pair {
            counter: CounterId::MONOTONIC_RAW,
            read,
            raw: (self.raw, self.raw),
            kernel,
            suspended_ns: Some(self.suspended_ns),
            shows_other_time: off_kernel_time_ns(&kernel, &read, &kernel).is_some(),
        }
    }

    pub(super) fn kernel(&self) -> KernelState {
        KernelState {
            state: if self.status & STA_UNSYNC != 0 { TIME_ERROR } else { TIME_OK },
            status: self.status | STA_NANO,
            maxerror_us: self.maxerror_us,
            esterror_us: 0,
            constant: self.constant,
            offset_ns: self.offset_ns,
            adjtime_ns: 0,
            rate_ppb: self.freq_ppb,
            tai: 0,
            unix_ns: self.wall_ns(),
        }
    }

    pub(super) fn look(&mut self) {
        let pair = self.pair();
        self.next_look = self.raw + self.looks_every;
        if let Some(watch) = &mut self.watch {
            watch.look(pair);
        }
    }

    /// A process begins to watch, and asks for the last message at once.
    pub(super) fn start(&mut self) {
        self.watch = Some(Watch::new(DRIFT_PPM));
        self.look();
        self.ask();
    }

    pub(super) fn ask(&mut self) {
        let (raw, heard) = (self.raw, self.heard);
        if let Some(watch) = &mut self.watch {
            watch.hear(heard, (raw, raw));
        }
    }

    /// The wall clock is stepped by timesyncd itself.
    pub(super) fn step(&mut self, by_ns: i64) {
        self.wall += i128::from(by_ns) << 20;
        self.stepped += by_ns;
    }

    /// Another program steps it.
    pub(super) fn foreign_step(&mut self, by_ns: i64) {
        self.step(by_ns);
        self.status |= STA_UNSYNC;
        self.maxerror_us = 16_000_000;
        (self.offset_ns, self.correction_ppb) = (0, 0);
    }

    /// An exchange, and the packets on their ways.
    pub(super) fn exchange(&mut self, server: Server, spike: bool) -> NtpMessage {
        let us = |ns: i64| ns.div_euclid(1_000);
        let origin = self.wall_ns();
        self.pass(server.ways.0);
        let receive = self.truth() + server.off_ns;
        self.pass(20_000);
        let transmit = self.truth() + server.off_ns;
        self.pass(server.ways.1);
        self.packets += 1;
        NtpMessage {
            leap: 0,
            mode: 4,
            stratum: 2,
            precision: -24,
            root_delay_us: 0,
            root_dispersion_us: server.dispersion_us,
            reference: [10, 0, 0, 1],
            origin_us: us(origin),
            receive_us: us(receive),
            transmit_us: us(transmit),
            destination_us: us(self.wall_ns()),
            spike,
            packet_count: self.packets,
        }
    }

    /// What timesyncd does after it: it corrects the clock, and publishes.
    pub(super) fn adjust(&mut self, message: NtpMessage, random: &mut Random) {
        self.pass(random.between(200_000, 30 * MS));
        if !message.spike {
            let offset = message.offset_ns();
            self.maxerror_us = 0;
            if offset.abs() > 400 * MS {
                self.step(offset);
                self.offset_ns = 0;
                self.status = 0;
            } else {
                self.offset_ns = offset;
                self.status = STA_PLL;
                self.constant = (self.poll_s.ilog2() as i64 - 4).max(0);
                self.freq_ppb = (self.freq_ppb + offset / 64).clamp(-500_000, 500_000);
            }
        }
        self.pass(random.between(100_000, 20 * MS));
        self.heard = Some(message);
        self.ask();
    }

    /// What a process that starts now can tell.
    pub(super) fn late(&mut self) -> Result<Exchange, TooLate> {
        let look = LateLook {
            pair: self.pair(),
            message: self.heard.expect("an exchange"),
            after: self.kernel(),
            poll_min_s: self.poll_min_s as u64,
        };
        late::judge(&look, DRIFT_PPM)
    }

    pub(super) fn known(&self) -> Option<Exchange> {
        let watch = self.watch.as_ref().expect("it runs");
        watch.known(CounterId::MONOTONIC_RAW).map(|known| known.exchange)
    }

    /// By how much an exchange misses the truth now, in ns, if it does.
    pub(super) fn miss(&self, exchange: &Exchange) -> i64 {
        let drift = |ns: i64| exchange::drift_of(ns, DRIFT_PPM);
        let now = ticks(self.raw) as i64;
        let least = (now - exchange.after as i64).max(0) * 2 / 5;
        let most = ((now - exchange.before as i64) * 2 + 4) / 5;
        let earliest = exchange.unix_ns.0 + least - drift(least);
        let latest = exchange.unix_ns.1 + most + drift(most);
        (earliest - self.truth()).max(self.truth() - latest).max(0)
    }
}
