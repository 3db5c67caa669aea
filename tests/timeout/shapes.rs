//! RTO, EWMA and phi on recorded shapes of delay, beside a fixed timeout.
//!
//! `cargo test --test timeout shapes:: -- --nocapture` prints the tables. The
//! shapes are made from a seed, so every run sees the same ones, and what the
//! documentation claims of each is asserted.

use std::time::Duration;

use truechimer::timeout::{EwmaSettings, EwmaTimeout, PhiDetector, PhiSettings, Rto, RtoSettings};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// SplitMix64: numbers from 0 to 1.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, about normal: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// At least 1, mean 3, with a tail that has no variance.
    fn pareto(&mut self) -> f64 {
        (1.0 - self.unit()).powf(-1.0 / 1.5)
    }
}

const COUNT: usize = 4_000;

/// The delay in ms of the `i`th attempt, made at `now` ms; `None` if it is lost.
fn delay(shape: &str, i: usize, now: f64, random: &mut Random) -> Option<f64> {
    let usual = 20.0 + random.normal();
    match shape {
        "steady" => Some(usual),
        "heavy-tailed" => Some((5.0 * random.pareto()).min(5_000.0)),
        "step change" if i < COUNT / 2 => Some(usual),
        "step change" => Some(500.0 + 10.0 * random.normal()),
        // For a second in every ten nothing comes through.
        "burst loss" => (now % 10_000.0 > 1_000.0).then_some(usual),
        // Every 500 attempts we are stopped for 3 s while one is under way.
        "local pause" => Some(usual + if i % 500 == 250 { 3_000.0 } else { 0.0 }),
        other => unreachable!("{other}"),
    }
}

/// A rule for how long to wait for an answer.
trait Waits {
    fn timeout(&self) -> Duration;
    fn answered(&mut self, after: Duration, attempts: u32);
    fn timed_out(&mut self);
}

struct Fixed(Duration);
impl Waits for Fixed {
    fn timeout(&self) -> Duration {
        self.0
    }
    fn answered(&mut self, _: Duration, _: u32) {}
    fn timed_out(&mut self) {}
}

impl Waits for Rto {
    fn timeout(&self) -> Duration {
        Rto::timeout(self)
    }
    fn answered(&mut self, after: Duration, attempts: u32) {
        self.observe(after, attempts);
    }
    fn timed_out(&mut self) {
        self.on_timeout();
    }
}

impl Waits for EwmaTimeout {
    fn timeout(&self) -> Duration {
        EwmaTimeout::timeout(self)
    }
    fn answered(&mut self, after: Duration, _: u32) {
        self.observe(after);
    }
    fn timed_out(&mut self) {
        self.on_timeout();
    }
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    /// Timeouts of attempts whose answer was on its way.
    early: usize,
    /// Attempts that were lost and had to be waited for.
    lost: usize,
    /// How long such an attempt was waited for, ms: the median.
    noticed: f64,
    /// The timeout at the end, ms.
    last: f64,
}

/// Attempts one after the other, 10 ms apart; a request is tried until it is answered.
fn run(shape: &str, timer: &mut dyn Waits) -> Tally {
    let mut random = Random(20_260_101);
    let mut tally = Tally { early: 0, lost: 0, noticed: 0.0, last: 0.0 };
    let (mut now, mut attempts, mut waits) = (5_000.0, 1, Vec::new());
    for i in 0..COUNT {
        let timeout = timer.timeout();
        let delay = delay(shape, i, now, &mut random).map(|ms| Duration::from_secs_f64(ms / 1e3));
        now += delay.unwrap_or(timeout).min(timeout).as_secs_f64() * 1e3 + 10.0;
        match delay {
            Some(delay) if delay <= timeout => {
                timer.answered(delay, attempts);
                attempts = 1;
                continue;
            }
            Some(_) => tally.early += 1,
            None => {
                tally.lost += 1;
                waits.push(timeout);
            }
        }
        timer.timed_out();
        attempts += 1;
    }
    waits.sort_unstable();
    tally.noticed = waits.get(waits.len() / 2).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3);
    tally.last = timer.timeout().as_secs_f64() * 1e3;
    tally
}

const SHAPES: [&str; 5] = ["steady", "heavy-tailed", "step change", "burst loss", "local pause"];

/// In the order of the table's columns: fixed 100 ms, fixed 1 s, RTO, EWMA.
fn tallies(shape: &str) -> [Tally; 4] {
    let rto = || Rto::new(RtoSettings::DATACENTER).expect("its own limits");
    let ewma = || EwmaTimeout::new(EwmaSettings::default()).expect("the defaults");
    [
        run(shape, &mut Fixed(ms(100))),
        run(shape, &mut Fixed(ms(1_000))),
        run(shape, &mut rto()),
        run(shape, &mut ewma()),
    ]
}

#[test]
fn timeouts_that_learn_beside_fixed_ones() {
    println!("\n{COUNT} attempts; early: timed out while the answer was on its way;");
    println!("noticed: median wait for a lost attempt; last: the timeout at the end (ms)\n");
    println!(
        "{:<13}{:>10}{:>8}{:>8}{:>10}{:>9}",
        "shape", "timeout", "early", "lost", "noticed", "last"
    );
    for shape in SHAPES {
        for (name, t) in ["100 ms", "1 s", "RTO", "EWMA"].iter().zip(tallies(shape)) {
            let noticed = if t.lost == 0 { "-".into() } else { format!("{:.0}", t.noticed) };
            println!(
                "{shape:<13}{name:>10}{:>8}{:>8}{noticed:>10}{:>9.0}",
                t.early, t.lost, t.last
            );
        }
    }

    let [_, second, rto, ewma] = tallies("steady");
    assert_eq!((rto.early, ewma.early, second.early), (0, 0, 0));
    assert!(rto.last < 30.0 && ewma.last > 300.0, "RTO sees the spread, EWMA does not");

    let [short, _, rto, ewma] = tallies("heavy-tailed");
    assert!(rto.early > COUNT / 20, "a limit: four deviations are not enough here");
    assert!(rto.early < COUNT / 5, "{rto:?}");
    assert!(ewma.early < short.early, "the cruder rule is the more patient one: {ewma:?}");

    let [short, long, rto, ewma] = tallies("step change");
    assert_eq!(short.early, COUNT / 2, "too short for ever after the step");
    assert!(rto.early < 40 && ewma.early < 40, "learned in a few attempts");
    assert!(rto.last < long.last, "and as tight again as the new delay allows");

    let [short, long, rto, _] = tallies("burst loss");
    assert_eq!((short.early, long.early, rto.early), (0, 0, 0));
    assert!(rto.lost < short.lost, "fewer attempts in vain than 100 ms: {rto:?}, {short:?}");
    assert!(rto.noticed < long.noticed, "and noticed sooner than with 1 s: {rto:?}");
    assert!(rto.last < 60.0, "and tight again after it: {rto:?}");

    let [short, long, rto, _] = tallies("local pause");
    assert_eq!(long.early, COUNT / 500, "a pause of ours looks like a lost answer");
    assert_eq!((short.early, rto.early), (long.early, long.early), "once, and nothing is learned");
}

/// Gaps between heartbeats in ms, and how much of each was a pause of ours.
fn gaps(shape: &str) -> Vec<(f64, f64)> {
    let mut random = Random(20_260_102);
    let mut gap = |i: usize| match shape {
        "steady" => (1_000.0 + 20.0 * random.normal(), 0.0),
        "heavy-tailed" => (900.0 + (50.0 * random.pareto()).min(4_000.0), 0.0),
        "step change" if i < COUNT / 2 => (1_000.0 + 20.0 * random.normal(), 0.0),
        "step change" => (3_000.0 + 60.0 * random.normal(), 0.0),
        // Every 100 heartbeats two are lost in a row.
        "burst loss" => {
            (if i % 100 == 50 { 3_000.0 } else { 1_000.0 + 20.0 * random.normal() }, 0.0)
        }
        // Every 100 heartbeats we are stopped for 10 s: what waited comes at once.
        "local pause" => match i % 100 {
            50 => (10_500.0, 10_000.0),
            51..=59 => (0.1, 0.0),
            _ => (1_000.0 + 20.0 * random.normal(), 0.0),
        },
        other => unreachable!("{other}"),
    };
    (0..COUNT).map(&mut gap).collect()
}

/// False suspicions of a live peer, and the silence after which a dead one is suspected, ms.
#[derive(Clone, Copy, Debug)]
struct Suspicions {
    wrong: usize,
    dead_after: f64,
}

fn fixed(gaps: &[(f64, f64)], timeout: f64) -> Suspicions {
    let wrong = gaps.iter().filter(|(gap, _)| *gap >= timeout).count();
    Suspicions { wrong, dead_after: timeout }
}

fn accrual(gaps: &[(f64, f64)], discount: bool) -> Suspicions {
    let mut peer = PhiDetector::new(PhiSettings::default(), ms(0)).expect("the defaults");
    let (mut now, mut wrong) = (Duration::ZERO, 0);
    for &(gap, pause) in gaps {
        now += Duration::from_secs_f64(gap / 1e3);
        if discount && pause > 0.0 {
            peer.paused(Duration::from_secs_f64(pause / 1e3));
        }
        wrong += usize::from(peer.is_suspected(now));
        peer.heartbeat(now);
    }
    let dead_after = peer.suspects_after();
    assert!(peer.is_suspected(now + dead_after));
    Suspicions { wrong, dead_after: dead_after.as_secs_f64() * 1e3 }
}

fn suspicions(shape: &str) -> [Suspicions; 4] {
    let gaps = gaps(shape);
    [fixed(&gaps, 2_000.0), fixed(&gaps, 10_000.0), accrual(&gaps, true), accrual(&gaps, false)]
}

#[test]
fn suspicion_beside_fixed_timeouts() {
    println!("\n{COUNT} heartbeats of a live peer, about one a second, threshold 8;");
    println!(
        "wrong: suspicions; dead after: the silence after which a dead peer is suspected (ms)\n"
    );
    println!("{:<13}{:>16}{:>8}{:>12}", "shape", "detector", "wrong", "dead after");
    for shape in SHAPES {
        let names = ["2 s", "10 s", "phi", "phi, no discount"];
        for (name, c) in names.iter().zip(suspicions(shape)) {
            println!("{shape:<13}{name:>16}{:>8}{:>12.0}", c.wrong, c.dead_after);
        }
    }

    let [short, long, phi, _] = suspicions("steady");
    assert_eq!((short.wrong, long.wrong, phi.wrong), (0, 0, 0));
    assert!(phi.dead_after < 2_000.0, "sooner than either: {phi:?}");

    // A limit: the normal distribution underrates a heavy tail, so phi 8 is not one in 10^8 here.
    let [_, _, phi, _] = suspicions("heavy-tailed");
    let as_soon = fixed(&gaps("heavy-tailed"), phi.dead_after);
    assert!(phi.wrong > 0 && phi.wrong < COUNT / 50, "{phi:?}");
    assert!(phi.wrong < as_soon.wrong * 3 / 2, "as a fixed timeout of that length: {as_soon:?}");

    let [short, _, phi, _] = suspicions("step change");
    assert_eq!(short.wrong, COUNT / 2, "suspected at every heartbeat for ever");
    assert!(phi.wrong < COUNT / 10, "learned: {phi:?}");

    let [short, _, phi, _] = suspicions("burst loss");
    assert!(phi.wrong <= short.wrong, "{phi:?}");

    let [short, long, phi, blind] = suspicions("local pause");
    assert_eq!(phi.wrong, 0, "our pauses raise no suspicion");
    assert_eq!((short.wrong, long.wrong), (COUNT / 100, COUNT / 100));
    assert!(blind.wrong > 0, "the broken variant suspects it, and is slow from then on");
    assert!(phi.dead_after < 2_000.0 && blind.dead_after > phi.dead_after, "{phi:?}, {blind:?}");
}
