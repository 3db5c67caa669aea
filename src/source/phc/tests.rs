use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::counter::{Ageing, CounterId, RateBounds};
use crate::host::scripted::ScriptedHost;
use crate::host::{Host, KernelState, STA_INS, TIME_INS};
use crate::scale::Smear;

const SECOND: i64 = NANOS_PER_SECOND;
const MS: i64 = 1_000_000;
/// What the scripted wall clock shows when the scripted machine was booted.
const BOOT_UNIX_NS: i64 = 1_700_000_000 * SECOND;

/// A card's clock in a scripted machine.
struct Card {
    host: Arc<ScriptedHost>,
    /// How far it is ahead of UTC, in ns, at the moment `since_ns` of the machine.
    ahead_ns: i64,
    since_ns: i64,
    /// By how much it is faster than true time from there on.
    fast_ppm: i64,
    /// What the next readings take before and after the moment that they show.
    takes_ns: VecDeque<(i64, i64)>,
    /// How the next readings fail.
    fails: VecDeque<i32>,
    /// What the driver states, call by call; the last one stays.
    bounds: VecDeque<StatedBound>,
    reopens: VecDeque<io::Result<()>>,
    /// At which moments of the machine it was read.
    read_at: Vec<i64>,
    /// Its driver pairs it with a raw clock that is off by so much.
    paired_off_ns: Option<i64>,
}

impl Card {
    fn set(&mut self, ahead_ns: i64) {
        (self.ahead_ns, self.since_ns, self.fast_ppm) = (ahead_ns, self.host.truth_ns(), 0);
    }
}

impl Device for Arc<Mutex<Card>> {
    fn read(&mut self) -> io::Result<PtpReading> {
        let mut card = self.lock();
        let host = card.host.clone();
        let (before, after) = card.takes_ns.pop_front().unwrap_or((500, 500));
        let realtime_before_ns = host.nanos(HostClock::Realtime).expect("allowed");
        host.pass(before);
        let now = host.truth_ns();
        let paired_off_ns = card.paired_off_ns;
        let raw_ns = paired_off_ns
            .map(|off_ns| off_ns + host.nanos(HostClock::MonotonicRaw).expect("allowed"));
        host.pass(after);
        if let Some(errno) = card.fails.pop_front() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        card.read_at.push(now);
        let gained = (now - card.since_ns) / 1_000 * card.fast_ppm / 1_000;
        let realtime_after_ns = host.nanos(HostClock::Realtime).expect("allowed");
        let clock_ns = BOOT_UNIX_NS + now + card.ahead_ns + gained;
        Ok(PtpReading { realtime_before_ns, clock_ns, realtime_after_ns, raw_ns })
    }

    fn stated_bound(&mut self) -> StatedBound {
        let mut card = self.lock();
        match card.bounds.len() {
            0 => StatedBound::Absent,
            1 => card.bounds[0].clone(),
            _ => card.bounds.pop_front().expect("it has more than one"),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.lock().reopens.pop_front().unwrap_or_else(|| Err(io::Error::other("none has come")))
    }

    fn describe(&self) -> String {
        "clock scripted, ".to_owned()
    }
}

struct Rig {
    host: Arc<ScriptedHost>,
    card: Arc<Mutex<Card>>,
    phc: Phc,
    counter: Counter,
}

impl Rig {
    /// A card so far ahead of UTC, that is said to show `scale`.
    fn new(scale: PhcScale, ahead_ns: i64) -> Rig {
        let host = ScriptedHost::new();
        let card = Arc::new(Mutex::new(Card {
            host: host.clone(),
            ahead_ns,
            since_ns: host.truth_ns(),
            fast_ppm: 0,
            takes_ns: VecDeque::new(),
            fails: VecDeque::new(),
            bounds: VecDeque::new(),
            reopens: VecDeque::new(),
            read_at: Vec::new(),
            paired_off_ns: None,
        }));
        let phc = Phc::of("phc /dev/ptp7".to_owned(), Box::new(card.clone()), scale);
        let counter = Counter::new(host.clone(), CounterId::HARDWARE);
        Rig { host, card, phc, counter }
    }

    /// A card that shows TAI, by an operator who knows it to 1 µs.
    fn tai() -> Rig {
        Rig::new(PhcScale::Tai, 37 * SECOND).within(Duration::from_micros(1))
    }

    fn within(mut self, error: Duration) -> Rig {
        self.phc = self.phc.error(error);
        self
    }

    fn states(self, bounds: &[StatedBound]) -> Rig {
        self.card.lock().bounds = bounds.iter().cloned().collect();
        self
    }

    fn sample(&mut self) -> Result<Sample, SourceError> {
        self.phc.sample(&self.counter)
    }

    fn refusal(&mut self) -> String {
        self.sample().expect_err("it must be refused").to_string()
    }

    /// True TAI at a moment of the machine, while TAI − UTC is 37 s.
    fn truth(at_ns: i64) -> Timestamp {
        Timestamp::from_tai_nanos(BOOT_UNIX_NS + at_ns + 37 * SECOND)
    }
}

fn around_of(sample: &Sample, moment_ns: i64) -> (i64, i64) {
    let truth = Rig::truth(moment_ns).tai_nanos();
    (truth - sample.time.earliest().tai_nanos(), sample.time.latest().tai_nanos() - truth)
}

#[test]
fn a_sample_is_what_the_clock_showed_within_its_error_and_its_step() {
    for scale in [PhcScale::Tai, PhcScale::Utc, PhcScale::Smeared(Smear::Google)] {
        for off_ns in [-1_000, 0, 1_000] {
            let tai = if scale == PhcScale::Tai { 37 * SECOND } else { 0 };
            let mut rig = Rig::new(scale, tai + off_ns).within(Duration::from_micros(1));
            let sample = rig.sample().expect("it is within its error");
            let read_at = rig.card.lock().read_at.clone();
            let inside = |at: &&i64| sample.before <= **at as u64 && **at as u64 <= sample.after;
            let at = read_at.iter().find(inside).expect("a reading between the counter's");
            let (below, above) = around_of(&sample, *at);
            let step = STEP.as_nanos() as i64;
            assert_eq!(below, 1_000 - off_ns, "{scale}");
            // The conversion from UTC has a step of its own.
            let more = if scale == PhcScale::Tai { 0 } else { 11 };
            assert_eq!(above, 1_000 + off_ns + step + more, "{scale}");
            let details = rig.phc.details().expect("after a sample");
            assert!(details.contains("clock scripted") && details.contains("1µs"), "{details}");
        }
    }
}

#[test]
fn of_several_readings_the_narrowest_counts() {
    let mut rig = Rig::tai();
    rig.sample().expect("steady");
    rig.host.pass(100 * MS);
    let first = rig.card.lock().read_at.len();
    rig.card.lock().takes_ns =
        [(9_000, 9_000), (5_000, 5_000), (100, 300), (2_000, 100), (800, 800)].into();
    let sample = rig.sample().expect("steady");
    let read_at = rig.card.lock().read_at[first..].to_vec();
    assert_eq!(read_at.len(), 5);
    assert!((sample.before..=sample.after).contains(&(read_at[2] as u64)));
    assert!(sample.after - sample.before < 1_000, "{sample:?}");
    assert_eq!(around_of(&sample, read_at[2]).0, 1_000);
}

#[test]
fn a_pair_with_the_raw_clock_shows_where_within_a_slow_call_the_device_was_read() {
    for (paired_off_ns, is_narrow) in [
        (None, false),
        (Some(0), true),
        // No moment of the call: it belongs to another, or the driver is wrong.
        (Some(-SECOND), false),
        (Some(SECOND), false),
        (Some(i64::MIN / 2), false),
    ] {
        for takes_ns in [(40_000, 10_000), (10, 60_000), (60_000, 10)] {
            let mut rig = Rig::tai();
            rig.counter = rig.counter.with_ageing(Ageing {
                rates: RateBounds::NANOSECONDS.with_drift(200),
                widening_ppb: 400_000,
                granularity_ns: 10,
                generation: 1,
            });
            rig.sample().expect("steady");
            rig.host.pass(100 * MS);
            let first = rig.card.lock().read_at.len();
            rig.card.lock().paired_off_ns = paired_off_ns;
            rig.card.lock().takes_ns = [takes_ns; 5].into();
            let sample = rig.sample().expect("steady");
            let width = sample.after - sample.before;
            assert_eq!(width < 200, is_narrow, "{paired_off_ns:?}, {takes_ns:?}: {width}");
            let inside = |at: &i64| (sample.before..=sample.after).contains(&(*at as u64));
            assert!(rig.card.lock().read_at[first..].iter().any(inside), "{sample:?}");
        }
    }
}

#[test]
fn a_slow_device_is_read_once_so_that_nothing_waits_for_long() {
    let mut rig = Rig::tai();
    rig.sample().expect("steady");
    let first = rig.card.lock().read_at.len();
    rig.card.lock().takes_ns = [(900_000, 900_000)].into();
    rig.host.pass(100 * MS);
    let began = rig.host.truth_ns();
    rig.sample().expect("steady");
    assert_eq!(rig.card.lock().read_at.len() - first, 1);
    assert!(rig.host.truth_ns() - began < 2 * MS + 10_000);
}

#[test]
fn only_a_stated_error_is_one_and_the_larger_counts() {
    use StatedBound::{Absent, Nanos, Useless};
    let useless = || Useless("it says \"0\"".to_owned());
    let us = Duration::from_micros;
    let cases = [
        // the driver before and after, the operator, the error in ns or a word of the refusal
        (Absent, Absent, None, Err("phc_error_bound")),
        (Absent, Absent, None, Err("error()")),
        (Absent, Absent, Some(us(3)), Ok(3_000)),
        (Nanos(20_000), Nanos(20_000), None, Ok(20_000)),
        (Nanos(20_000), Nanos(20_000), Some(us(3)), Ok(20_000)),
        (Nanos(20_000), Nanos(20_000), Some(us(30)), Ok(30_000)),
        // It changed around the reading.
        (Nanos(20_000), Nanos(40_000), None, Ok(40_000)),
        (Nanos(40_000), Nanos(20_000), None, Ok(40_000)),
        (Nanos(20_000), Absent, None, Err("phc_error_bound")),
        (useless(), Nanos(20_000), None, Err("it says")),
        (Nanos(20_000), useless(), None, Err("it says")),
        (useless(), useless(), Some(us(3)), Err("it says")),
        (Absent, Absent, Some(Duration::ZERO), Err("more than 0")),
        (Absent, Absent, Some(Duration::MAX), Err("at most")),
        (Nanos(20_000), Nanos(20_000), Some(Duration::ZERO), Err("more than 0")),
    ];
    for (before, after, operator, expected) in cases {
        let mut rig = Rig::new(PhcScale::Tai, 37 * SECOND);
        rig.phc.error = operator;
        let case = format!("{before:?} {after:?} {operator:?}");
        // Once before the pace is known, and once after.
        rig = rig.states(&[before.clone(), after.clone(), before, after]);
        for _ in 0..2 {
            match (rig.sample(), expected) {
                (Ok(sample), Ok(error_ns)) => {
                    let width = 2 * error_ns + STEP.as_nanos() as i64;
                    assert_eq!(sample.time.width().as_nanos() as i64, width, "{case}");
                }
                (Err(error), Err(word)) => {
                    assert!(error.to_string().contains(word), "{case}: {error}");
                    assert_eq!(error.reason(), Reason::ReferenceStatesNoBound, "{case}");
                    // The driver's statement before the reading may have ended the try.
                    break;
                }
                (outcome, expected) => panic!("{case}: {outcome:?}, and not {expected:?}"),
            }
        }
    }
}

#[test]
fn a_scale_that_the_wall_clock_excludes_is_refused_with_the_right_one() {
    let cases = [
        (PhcScale::Tai, 0, Some("use PhcScale::Utc")),
        (PhcScale::Tai, 900 * MS, Some("use PhcScale::Utc")),
        (PhcScale::Tai, 36_100 * MS, None),
        (PhcScale::Utc, 37 * SECOND, Some("use PhcScale::Tai")),
        (PhcScale::Utc, 37_900 * MS, Some("use PhcScale::Tai")),
        (PhcScale::Utc, -900 * MS, None),
        (PhcScale::Smeared(Smear::Google), 37 * SECOND, Some("use PhcScale::Tai")),
        // Neither fits: then the wall clock may be the one that is wrong.
        (PhcScale::Tai, 300 * SECOND, None),
        (PhcScale::Utc, 18 * SECOND, None),
    ];
    for (scale, ahead_ns, expected) in cases {
        let mut rig = Rig::new(scale, ahead_ns).within(Duration::from_secs(2));
        match (rig.sample(), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(choice)) => {
                let error = error.to_string();
                assert!(error.contains(choice) && error.contains("/dev/ptp7"), "{error}");
            }
            (outcome, expected) => panic!("{scale} {ahead_ns}: {outcome:?}, not {expected:?}"),
        }
    }
}

#[test]
fn a_clock_that_was_reset_shows_no_time() {
    for scale in [PhcScale::Tai, PhcScale::Utc] {
        // Twenty years of running since the reset are not enough.
        for years in [0, 1, 20] {
            let mut rig = Rig::new(scale, -BOOT_UNIX_NS + years * 31_536_000 * SECOND);
            rig = rig.within(Duration::from_secs(1));
            assert!(rig.refusal().contains("reset"), "{scale}, {years} years");
        }
    }
    // In mid-run: to 0, and to what CLOCK_REALTIME shows.
    for (to, word) in [(-BOOT_UNIX_NS, "reset"), (0, "PhcScale::Utc")] {
        let mut rig = Rig::tai();
        rig.sample().expect("steady");
        rig.host.pass(100 * MS);
        rig.card.lock().set(to);
        assert!(rig.refusal().contains(word));
    }
}

#[test]
fn a_clock_that_runs_wrong_is_refused_by_name() {
    for (fast_ppm, word) in [(1_600_000, "2.60"), (-1_000_000, "0.00"), (5_000, "1.00")] {
        let mut rig = Rig::tai();
        // It is right when it is looked at first.
        rig.card.lock().fast_ppm = fast_ppm;
        for _ in 0..50 {
            rig.host.pass(100 * MS);
            // Which does not help it.
            if rig.host.truth_ns() % 7 == 0 {
                rig.card.lock().ahead_ns = 37 * SECOND;
            }
            let refusal = rig.refusal();
            assert!(refusal.contains("phc /dev/ptp7: it runs"), "{refusal}");
            assert!(refusal.contains(word), "{refusal}, not {word}");
        }
    }
    // An oscillator's error is another matter.
    let mut rig = Rig::tai();
    rig.card.lock().fast_ppm = 100;
    rig.sample().expect("the raw clock may be as far off");
}

#[test]
fn a_clock_that_runs_wrong_later_is_refused_then() {
    let mut rig = Rig::tai();
    let sample = rig.sample().expect("steady");
    let mut card = rig.card.lock();
    (card.since_ns, card.fast_ppm) = (rig.host.truth_ns(), 1_600_000);
    drop(card);
    rig.host.pass(100 * MS);
    assert!(rig.refusal().contains("it runs 2.6"));
    // Then the sample from before that does not stand in for anything.
    rig.card.lock().fails = [libc::EBUSY; 5].into();
    assert!(rig.refusal().contains("cannot be read"), "{sample:?}");
}

#[test]
fn a_clock_that_was_set_speaks_again_and_says_what_it_shows() {
    let mut rig = Rig::tai();
    rig.sample().expect("steady");
    rig.host.pass(100 * MS);
    rig.card.lock().set(37 * SECOND + 5 * MS);
    let sample = rig.sample().expect("it keeps its pace");
    let at = *rig.card.lock().read_at.last().expect("read");
    assert!(!sample.time.contains(Rig::truth(at)), "the clock's other evidence finds it");
    assert!(rig.phc.details().expect("sampled").contains("it was set"));
}

#[test]
fn a_device_that_is_busy_leaves_the_last_sample_for_a_while() {
    for errno in [libc::EBUSY, libc::ETIME, libc::EAGAIN] {
        let mut rig = Rig::tai();
        rig.card.lock().fails = [errno; 5].into();
        assert!(rig.refusal().contains("cannot be read"), "there is none yet");
        let sample = rig.sample().expect("steady");
        let busy = |rig: &mut Rig| rig.card.lock().fails = [errno; 5].into();
        rig.host.pass(100 * MS);
        busy(&mut rig);
        assert_eq!(rig.sample(), Ok(sample));
        // One reading of five is enough.
        rig.card.lock().fails = [errno; 4].into();
        assert_ne!(rig.sample().expect("steady"), sample);
        let sample = rig.sample().expect("steady");
        rig.host.pass(KEPT_NS - 100_000);
        busy(&mut rig);
        assert_eq!(rig.sample(), Ok(sample));
        rig.host.pass(200_000);
        busy(&mut rig);
        assert!(rig.refusal().contains("phc /dev/ptp7: it cannot be read"));
        // Ticks of another counter mean nothing.
        rig.sample().expect("steady");
        busy(&mut rig);
        let raw = Counter::new(rig.host.clone(), CounterId::MONOTONIC_RAW);
        assert!(rig.phc.sample(&raw).is_err());
        // Nor do those of before the machine was moved.
        rig.sample().expect("steady");
        rig.phc.disrupted();
        busy(&mut rig);
        assert!(rig.refusal().contains("cannot be read"));
    }
}

#[test]
fn a_device_that_has_gone_is_opened_again() {
    let mut rig = Rig::tai();
    let sample = rig.sample().expect("steady");
    rig.host.pass(MS);
    rig.card.lock().fails = [libc::ENODEV].into();
    assert_eq!(rig.sample(), Ok(sample), "none has come yet");
    rig.host.pass(3 * SECOND);
    rig.card.lock().fails = [libc::ENODEV].into();
    assert!(rig.refusal().contains("none has come"));
    rig.card.lock().fails = [libc::ENODEV].into();
    rig.card.lock().reopens.push_back(Ok(()));
    rig.card.lock().fast_ppm = 1_600_000;
    assert!(rig.refusal().contains("it runs 2.6"), "another card is looked at anew");
    rig.card.lock().set(37 * SECOND);
    rig.card.lock().fails = [libc::ENODEV].into();
    rig.card.lock().reopens.push_back(Ok(()));
    rig.sample().expect("it is back");
    // An error that no other try mends is told, after the last sample is too old.
    rig.host.pass(3 * SECOND);
    rig.card.lock().fails = [libc::EOPNOTSUPP; 5].into();
    assert!(rig.refusal().contains("cannot be read"));
}

#[test]
fn near_a_leap_second_a_clock_that_counts_utc_covers_both_sides() {
    const LEAP: i64 = 1_483_228_800;
    let at = |scale: PhcScale, unix_ns: i64| {
        let mut rig = Rig::new(scale, unix_ns - BOOT_UNIX_NS - 3_600 * SECOND);
        rig = rig.within(Duration::from_micros(1));
        let read = Bracketed {
            raw: (0, 0),
            before: 1,
            reading: PtpReading {
                realtime_before_ns: 0,
                clock_ns: unix_ns,
                realtime_after_ns: 0,
                raw_ns: None,
            },
            after: 2,
        };
        let counter = rig.counter.clone();
        rig.phc.tai(&read, Duration::from_micros(1), &counter).expect("after 1972")
    };
    let tai = |unix: i64, offset: i64| Timestamp::from_tai_nanos((unix + offset) * SECOND);
    for (seconds, offsets) in
        [(-60, (36, 36)), (-1, (36, 37)), (0, (36, 37)), (1, (36, 37)), (60, (37, 37))]
    {
        let unix = LEAP + seconds;
        let time = at(PhcScale::Utc, unix * SECOND);
        assert!(
            time.contains(tai(unix, offsets.0)) && time.contains(tai(unix, offsets.1)),
            "{time}"
        );
        assert_eq!(time.width() > Duration::from_millis(900), offsets.0 != offsets.1, "{time}");
        // TAI has no leap seconds.
        let time = at(PhcScale::Tai, unix * SECOND);
        assert!(time.contains(tai(unix, 0)) && time.width() < Duration::from_micros(3), "{time}");
    }
    // Six hours before it a smeared clock is a quarter of a second behind.
    let smeared = at(PhcScale::Smeared(Smear::Google), (LEAP - 6 * 3_600) * SECOND);
    let plain = at(PhcScale::Utc, (LEAP - 6 * 3_600) * SECOND);
    assert!(smeared.intersect(&plain).is_none() && smeared.width() < Duration::from_micros(3));
}

#[test]
fn a_leap_second_that_only_the_kernel_knows_of_is_covered() {
    // The evening before the next midnight, on a machine whose kernel was told to insert one.
    let mut rig = Rig::new(PhcScale::Utc, 0).within(Duration::from_micros(1));
    let midnight = 1_700_006_400;
    let into_day = (midnight - 100 - 1_700_000_000) * SECOND - rig.host.truth_ns();
    rig.host.pass(into_day);
    let quiet = rig.host.kernel_state().expect("allowed");
    rig.host.set_kernel_state(KernelState { status: STA_INS, state: TIME_INS, ..quiet });
    let before = rig.sample().expect("steady");
    assert!(before.time.width() < Duration::from_millis(1));
    rig.host.pass(99 * SECOND);
    let near = rig.sample().expect("steady");
    assert!(near.time.width() > Duration::from_millis(999), "{near:?}");
}

proptest! {
    /// Whatever the brackets are, a clock within its error never gives a sample without the truth.
    #[test]
    fn a_clock_within_its_error_is_never_missed(
        scale in prop_oneof![Just(PhcScale::Tai), Just(PhcScale::Utc)],
        error_ns in 1_000i64..1_000_000,
        off in -1_000i64..=1_000,
        takes in proptest::collection::vec((0i64..50_000, 0i64..50_000), 0..40),
        polls in proptest::collection::vec(1i64..3 * SECOND, 1..8),
    ) {
        let tai = if scale == PhcScale::Tai { 37 * SECOND } else { 0 };
        let off_ns = error_ns * off / 1_000;
        let error = Duration::from_nanos(error_ns as u64);
        let mut rig = Rig::new(scale, tai + off_ns).within(error);
        rig.card.lock().takes_ns = takes.into();
        for wait in polls {
            rig.host.pass(wait);
            let sample = rig.sample().expect("it is steady and within its error");
            let read_at = rig.card.lock().read_at.clone();
            let ticks = sample.before as i64..=sample.after as i64;
            let at = read_at.iter().rev().find(|at| ticks.contains(at)).expect("bracketed");
            prop_assert!(sample.time.contains(Rig::truth(*at)));
        }
    }
}
