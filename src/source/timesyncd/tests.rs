//! Exchanges of a modelled timesyncd on a modelled kernel, with a truth that is known.

use super::exchange::{self, Dropped, Exchange};
use super::late::{self, LateLook, TooLate};
use super::message::NtpMessage;
use super::pairs::Pair;
use super::watch::{Refusal, Watch};
use crate::counter::CounterId;
use crate::host::{KernelState, STA_NANO, STA_PLL, STA_UNSYNC, TIME_ERROR, TIME_OK};
use crate::source::realtime::Realtime;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const BASE: i64 = 1_795_903_200 * SECOND;
const DRIFT_PPM: u32 = 200;

/// Random numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1) as u64) as i64
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// A machine: its oscillator, the kernel's wall clock, and what is looked at.
struct Model {
    raw: i64,
    /// The wall clock, in ns with 20 more bits.
    wall: i128,
    /// All steps of the wall clock.
    stepped: i64,
    /// By how much true time passes faster than the oscillator.
    ppm: i64,
    freq_ppb: i64,
    offset_ns: i64,
    constant: i64,
    correction_ppb: i64,
    maxerror_us: i64,
    status: i32,
    suspended_ns: i64,
    packets: u64,
    poll_s: i64,
    poll_min_s: i64,
    looks_every: i64,
    /// `None` while the process does not run.
    watch: Option<Watch>,
    next_look: i64,
    heard: Option<NtpMessage>,
}

/// A server, and the way to it.
#[derive(Clone, Copy)]
struct Server {
    /// How far it is off; its bound is this or more.
    off_ns: i64,
    dispersion_us: u64,
    /// The ways there and back.
    ways: (i64, i64),
}

const GOOD: Server = Server { off_ns: 0, dispersion_us: 300, ways: (10 * MS, 10 * MS) };

impl Model {
    fn new(ppm: i64) -> Model {
        Model {
            raw: 1_000 * SECOND,
            wall: i128::from(BASE + 5 * MS) << 20,
            stepped: 0,
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

    fn truth(&self) -> i64 {
        self.truth_at(self.raw)
    }

    /// With the raw clock at 1000 s true time is the base.
    fn truth_at(&self, raw: i64) -> i64 {
        let since = raw - 1_000 * SECOND;
        BASE + since + (i128::from(since) * i128::from(self.ppm) / 1_000_000) as i64
    }

    fn wall_ns(&self) -> i64 {
        (self.wall >> 20) as i64
    }

    /// Time passes, and the process looks at the clocks.
    fn pass(&mut self, ns: i64) {
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

    fn run_to(&mut self, raw: i64) {
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

    fn pair(&self) -> Pair {
        Pair {
            counter: CounterId::MONOTONIC_RAW,
            read: Realtime {
                before: self.raw as u64,
                unix_ns: self.wall_ns(),
                after: self.raw as u64,
                // MONOTONIC is slewed too.
                offset: (self.stepped, self.stepped + 1),
            },
            raw: (self.raw, self.raw),
            kernel: self.kernel(),
            suspended_ns: Some(self.suspended_ns),
        }
    }

    fn kernel(&self) -> KernelState {
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

    fn look(&mut self) {
        let pair = self.pair();
        self.next_look = self.raw + self.looks_every;
        if let Some(watch) = &mut self.watch {
            watch.look(pair);
        }
    }

    /// A process begins to watch, and asks for the last message at once.
    fn start(&mut self) {
        self.watch = Some(Watch::new(DRIFT_PPM));
        self.look();
        self.ask();
    }

    fn ask(&mut self) {
        let (raw, heard) = (self.raw, self.heard);
        if let Some(watch) = &mut self.watch {
            watch.hear(heard, (raw, raw));
        }
    }

    /// The wall clock is stepped by timesyncd itself.
    fn step(&mut self, by_ns: i64) {
        self.wall += i128::from(by_ns) << 20;
        self.stepped += by_ns;
    }

    /// Another program steps it.
    fn foreign_step(&mut self, by_ns: i64) {
        self.step(by_ns);
        self.status |= STA_UNSYNC;
        self.maxerror_us = 16_000_000;
        (self.offset_ns, self.correction_ppb) = (0, 0);
    }

    /// An exchange, and the packets on their ways.
    fn exchange(&mut self, server: Server, spike: bool) -> NtpMessage {
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
    fn adjust(&mut self, message: NtpMessage, random: &mut Random) {
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
    fn late(&mut self) -> Result<Exchange, TooLate> {
        let look = LateLook {
            pair: self.pair(),
            message: self.heard.expect("an exchange"),
            after: self.kernel(),
            poll_min_s: self.poll_min_s as u64,
        };
        late::judge(&look, DRIFT_PPM)
    }

    fn known(&self) -> Option<Exchange> {
        let watch = self.watch.as_ref().expect("it runs");
        watch.known(CounterId::MONOTONIC_RAW).map(|known| known.exchange)
    }

    /// By how much an exchange misses the truth now, in ns, if it does.
    fn miss(&self, exchange: &Exchange) -> i64 {
        let drift = |ns: i64| exchange::drift_of(ns, DRIFT_PPM);
        let least = (self.raw - exchange.after as i64).max(0);
        let most = self.raw - exchange.before as i64;
        let earliest = exchange.unix_ns.0 + least - drift(least);
        let latest = exchange.unix_ns.1 + most + drift(most);
        (earliest - self.truth()).max(self.truth() - latest).max(0)
    }
}

/// A server that is off by exactly its bound, or honest, on a way that may have one slow side.
fn any_server(random: &mut Random) -> Server {
    let dispersion_us = random.between(0, 5_000);
    let most = dispersion_us * 1_000;
    let off_ns = [most, -most, random.between(-most, most)][random.next() as usize % 3];
    let way = |random: &mut Random| match random.chance(20) {
        true => random.between(100 * MS, 450 * MS),
        false => random.between(50_000, 30 * MS),
    };
    Server { off_ns, dispersion_us: dispersion_us as u64, ways: (way(random), way(random)) }
}

/// A life of a machine: what happens, and how often something was known and missed.
fn live(seed: u64, check: &mut impl FnMut(&mut Model, &mut Random)) {
    let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut model = Model::new(random.between(-190, 190));
    model.poll_min_s = if random.chance(50) { 32 } else { 16 };
    model.poll_s = model.poll_min_s;
    model.looks_every = [100 * MS, 100 * MS, 400 * MS, 1_000 * MS][random.next() as usize % 4];
    model.freq_ppb = random.between(-500_000, 500_000);
    // It starts up to 3 s off.
    let off = random.between(-3 * SECOND, 3 * SECOND) / if random.chance(50) { 20 } else { 1 };
    model.step(off);
    model.start();
    for _ in 0..12 {
        model.pass(random.between(SECOND, 3 * SECOND));
        model.ask();
        model.pass(model.poll_s.min(64) * SECOND + random.between(0, SECOND));
        model.ask();
        if random.chance(10) {
            model.foreign_step(random.between(-2 * SECOND, 2 * SECOND));
            model.pass(random.between(0, 300 * MS));
        }
        let server = any_server(random);
        let spike = random.chance(25) && model.status == STA_PLL;
        let message = model.exchange(server, spike);
        model.poll_s = match random.chance(70) {
            true => (model.poll_s * 2).min(2_048),
            false => model.poll_min_s,
        };
        model.adjust(message, random);
        check(&mut model, random);
        model.pass(random.between(0, 10 * SECOND));
        check(&mut model, random);
    }
}

#[test]
fn no_exchange_that_was_watched_misses_the_truth() {
    let (mut known, mut reported) = (0, 0);
    for seed in 1..400 {
        live(seed, &mut |model, _| {
            model.pass(model.looks_every + MS);
            reported += 1;
            if let Some(exchange) = model.known() {
                known += 1;
                assert_eq!(model.miss(&exchange), 0, "seed {seed}: {exchange:?}");
            }
        });
    }
    assert!(known * 10 > reported * 7, "only {known} of {reported} were known");
}

#[test]
fn no_exchange_of_before_the_process_misses_the_truth() {
    let (mut known, mut asked) = (0, 0);
    for seed in 1..400 {
        live(seed, &mut |model, _| {
            asked += 1;
            if let Ok(exchange) = model.late() {
                known += 1;
                assert_eq!(model.miss(&exchange), 0, "seed {seed}: {exchange:?}");
            }
        });
    }
    assert!(known * 10 > asked * 3, "only {known} of {asked} were known");
}

/// A machine that is watched, and quiet.
fn quiet() -> (Model, Random) {
    let mut model = Model::new(0);
    model.status = STA_PLL;
    model.start();
    model.pass(3 * SECOND);
    model.ask();
    model.pass(3 * SECOND);
    (model, Random(7))
}

fn refusal(model: &Model) -> Option<Refusal> {
    model.watch.as_ref().expect("it runs").refusal()
}

#[test]
fn an_exchange_in_a_slew_is_counted_by_the_counter_and_not_by_the_wall_clock() {
    // The wall clock runs 10 % slow all the way, and the server is at the edge of its bound.
    for sign in [-1, 1] {
        let (mut model, mut random) = quiet();
        model.offset_ns = sign * 399 * MS;
        model.pass(2 * SECOND);
        let server = Server { off_ns: 0, ways: (0, 300 * MS), dispersion_us: 0 };
        let message = model.exchange(server, false);
        model.adjust(message, &mut random);
        model.pass(SECOND);
        let known = model.known().expect("watched");
        assert_eq!(model.miss(&known), 0, "{known:?}");
        // As wide as the way there and back, the bound, and how well T1 and T4 are known.
        let width = known.unix_ns.1 - known.unix_ns.0;
        assert!((300 * MS..312 * MS).contains(&width), "{width}");
        // The wall clock's own time between the two stamps is off by much more than all of that.
        let stamps = (message.destination_us - message.origin_us) * 1_000;
        assert!((stamps - 300 * MS).abs() > 10 * MS, "{stamps}");
    }
}

#[test]
fn an_outlier_is_evidence_too() {
    let (mut model, mut random) = quiet();
    let message = model.exchange(GOOD, true);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert!(model.known().is_some(), "{:?}", refusal(&model));
}

#[test]
fn an_exchange_about_a_step_is_dropped_and_the_next_one_counts() {
    for by in [-2 * SECOND, -10 * MS, 10 * MS, 2 * SECOND] {
        let (mut model, mut random) = quiet();
        let message = model.exchange(GOOD, false);
        model.foreign_step(by);
        model.heard = Some(message);
        model.ask();
        model.pass(5 * SECOND);
        assert_eq!(model.known(), None, "by {by}");
        assert_eq!(refusal(&model), Some(Refusal::Dropped(Dropped::Stepped)), "by {by}");
        // The clock passes the old stamps again.
        model.ask();
        model.pass(5 * SECOND);
        assert_eq!(model.known(), None, "by {by}");
        // At the first exchange timesyncd may step the clock itself, and then that one is dropped.
        for _ in 0..2 {
            let message = model.exchange(GOOD, false);
            model.adjust(message, &mut random);
            model.pass(5 * SECOND);
            model.ask();
            model.pass(5 * SECOND);
        }
        let known = model.known().expect("nothing broke since");
        assert_eq!(model.miss(&known), 0, "by {by}");
    }
}

#[test]
fn a_stamp_from_before_a_backward_step_is_not_looked_up_after_it() {
    // The message of before the step is heard 2 s later, when the clock shows T4 again.
    let (mut model, _) = quiet();
    let message = model.exchange(GOOD, false);
    model.foreign_step(-1_500 * MS);
    model.pass(2 * SECOND);
    model.heard = Some(message);
    model.ask();
    model.pass(SECOND);
    assert_eq!(model.known(), None);
    // Nor if the step was not looked at before the message was heard.
    let (mut model, _) = quiet();
    model.looks_every = SECOND;
    model.look();
    model.foreign_step(-300 * MS);
    let message = model.exchange(GOOD, false);
    model.heard = Some(message);
    model.ask();
    assert_eq!(model.known(), None, "not yet judged");
    model.pass(2 * SECOND);
    assert_eq!(model.known(), None);
}

#[test]
fn the_last_message_of_before_the_process_is_not_looked_up() {
    // A process starts after a step back, and then the clock shows T4 again.
    let mut model = Model::new(0);
    let message = model.exchange(GOOD, false);
    model.pass(10 * SECOND);
    model.heard = Some(message);
    model.foreign_step(-13 * SECOND);
    model.start();
    for _ in 0..20 {
        model.pass(SECOND);
        model.ask();
        assert_eq!(model.known(), None);
    }
}

#[test]
fn nothing_is_made_of_a_time_in_which_nobody_looked() {
    let (mut model, mut random) = quiet();
    model.looks_every = 2 * SECOND;
    model.look();
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(5 * SECOND);
    assert_eq!(model.known(), None);
    assert_eq!(refusal(&model), Some(Refusal::Dropped(Dropped::Unwatched)));
}

#[test]
fn what_was_known_before_a_suspend_is_void_after_it() {
    let (mut model, mut random) = quiet();
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert!(model.known().is_some());
    model.suspended_ns = 5 * SECOND;
    model.step(5 * SECOND);
    model.pass(SECOND);
    assert_eq!((model.known(), refusal(&model)), (None, Some(Refusal::Suspended)));
    assert_eq!(model.late(), Err(TooLate::Suspended));
}

#[test]
fn a_message_that_repeats_changes_nothing_and_a_restart_counts_anew() {
    let (mut model, mut random) = quiet();
    let first = model.exchange(GOOD, false);
    model.adjust(first, &mut random);
    model.pass(SECOND);
    let known = model.known();
    model.ask();
    model.pass(SECOND);
    assert_eq!(model.known(), known);
    // The daemon stops, starts and counts from 1.
    model.heard = None;
    model.ask();
    model.pass(SECOND);
    assert_eq!(model.known(), known, "the last one ages");
    model.packets = 0;
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert_ne!(model.known(), known);
    assert!(model.known().is_some());
}

/// A machine whose last exchange was before the process: 700 s ago, at a poll of 1024 s.
fn late(change: impl FnOnce(&mut Model)) -> Result<Exchange, TooLate> {
    let mut random = Random(9);
    let mut model = Model::new(30);
    model.poll_s = 1_024;
    model.constant = 6;
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(700 * SECOND);
    change(&mut model);
    let outcome = model.late();
    if let Ok(exchange) = &outcome {
        assert_eq!(model.miss(exchange), 0, "{exchange:?}");
    }
    outcome
}

#[test]
fn an_exchange_of_before_the_process_is_carried_on_only_if_the_kernel_confirms_it() {
    let fine = late(|_| {}).expect("nothing happened");
    // 700 s by 200 ppm either way, the exchange, and what cannot be seen.
    let width = fine.unix_ns.1 - fine.unix_ns.0;
    assert!((300 * MS..320 * MS).contains(&width), "{width}");
    let refused = |change: fn(&mut Model)| late(change).expect_err("refused");
    assert_eq!(refused(|model| model.foreign_step(SECOND)), TooLate::Unsynchronized);
    assert_eq!(refused(|model| model.step(5 * SECOND)), TooLate::OtherSeconds);
    assert_eq!(refused(|model| model.step(-3 * SECOND)), TooLate::OtherSeconds);
    assert_eq!(refused(|model| model.maxerror_us -= 2_000), TooLate::OtherSeconds);
    assert_eq!(refused(|model| model.maxerror_us += 1), TooLate::OtherWriter);
    assert_eq!(refused(|model| model.freq_ppb = 600_000), TooLate::OtherWriter);
    assert_eq!(refused(|model| model.status = 0), TooLate::StepOrSlew);
    assert_eq!(refused(|model| model.suspended_ns = SECOND), TooLate::Suspended);
    assert_eq!(
        refused(|model| model.heard.as_mut().expect("one").origin_us -= 1_000_000),
        TooLate::RoundTrip
    );
}

#[test]
fn a_jump_of_timesyncd_s_own_is_taken_off_and_what_is_near_its_limit_is_refused() {
    let jumped = |off_ns: i64| {
        let mut random = Random(11);
        let mut model = Model::new(0);
        model.step(-5 * MS);
        model.wall -= i128::from(off_ns) << 20;
        let server = Server { ways: (MS, MS), ..GOOD };
        let message = model.exchange(server, false);
        model.adjust(message, &mut random);
        model.pass(5 * SECOND);
        let late = model.late();
        if let Ok(exchange) = &late {
            assert_eq!(model.miss(exchange), 0, "{off_ns}: {exchange:?}");
        }
        late
    };
    for off_ns in [-3 * SECOND, -450 * MS, -300 * MS, 300 * MS, 450 * MS, 3 * SECOND] {
        assert!(jumped(off_ns).is_ok(), "{off_ns}: {:?}", jumped(off_ns));
    }
    for off_ns in [400 * MS, -400 * MS] {
        assert_eq!(jumped(off_ns), Err(TooLate::StepOrSlew), "{off_ns}");
    }
}

#[test]
fn the_previous_correction_counts_that_ran_on_unseen() {
    // A large correction is replaced right after a second began, so it runs for nearly all of it.
    for sign in [-1, 1] {
        let mut random = Random(13);
        let mut model = Model::new(0);
        model.status = STA_PLL;
        model.constant = 1;
        model.offset_ns = sign * 399 * MS;
        let to_second = SECOND - model.wall_ns().rem_euclid(SECOND);
        model.pass(to_second + 20 * MS);
        let message = model.exchange(Server { ways: (MS, MS), dispersion_us: 10, off_ns: 0 }, false);
        model.adjust(message, &mut random);
        model.pass(3 * SECOND);
        let late = model.late().expect("nothing else happened");
        assert_eq!(model.miss(&late), 0, "{late:?}");
        // Half of it at least is what the previous correction may have done.
        assert!(late.unix_ns.1 - late.unix_ns.0 > 50 * MS, "{late:?}");
    }
}

#[test]
fn a_large_correction_is_less_than_what_the_kernel_takes_off() {
    // With a constant of 0 a tenth of a second is taken in the first second, which lasts that much
    // shorter or longer. T4 is at the end of a second, so that nothing else is unseen.
    for ahead in [-395 * MS, 395 * MS] {
        let mut random = Random(17);
        let mut model = Model::new(0);
        model.poll_min_s = 1_024;
        model.poll_s = 16;
        model.step(-5 * MS - ahead);
        let to_second = SECOND - model.wall_ns().rem_euclid(SECOND);
        model.pass(to_second + 900 * MS);
        let message = model.exchange(Server { ways: (MS, MS), dispersion_us: 10, off_ns: 0 }, false);
        model.adjust(message, &mut random);
        model.pass(20 * SECOND);
        let late = model.late().expect("nothing else happened");
        assert_eq!(model.miss(&late), 0, "{late:?}");
    }
}
