use proptest::prelude::*;

use super::*;
use crate::counter::CounterId;
use crate::host::VMCLOCK_WORDS;
use crate::host::scripted::ScriptedHost;

/// 2026-01-01T00:00:00Z, in Unix seconds.
const BEGIN_S: u64 = 1_767_225_600;

const SECOND: i64 = NANOS_PER_SECOND;

/// A counter of 1 GHz whose page was written an hour after its start, when it was [`BEGIN_S`] to
/// within 5 µs.
fn words() -> [u64; VMCLOCK_WORDS] {
    let mut words = [0; VMCLOCK_WORDS];
    words[0] = 104 << 32 | 0x4b4c_4356;
    words[1] = 2 << 32 | 1 << 16 | 1;
    words[2] = 1;
    words[3] = 16 | 64;
    words[4] = 29 << 56 | 2 << 16;
    words[5] = 3_600_000_000_000;
    // 2^93 / 10^9: a nanosecond, rounded down. Its error is 50 ppm.
    words[6] = ((1_u128 << 93) / 1_000_000_000) as u64;
    words[8] = words[6] / 20_000;
    words[9] = BEGIN_S;
    words[12] = 5_000;
    words
}

/// Sets a byte of a page.
fn with(mut words: [u64; VMCLOCK_WORDS], at: usize, byte: u8) -> [u64; VMCLOCK_WORDS] {
    let shift = 8 * (at % 8);
    words[at / 8] = words[at / 8] & !(0xff << shift) | u64::from(byte) << shift;
    words
}

fn source(host: &Arc<ScriptedHost>, words: [u64; VMCLOCK_WORDS]) -> (VmClock, Counter) {
    for (index, word) in words.into_iter().enumerate() {
        host.set_vmclock_word(index, word);
    }
    let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
    let vmclock = VmClock::of(host.vmclock(), Arc::new(wall_clock));
    (vmclock, Counter::new(host.clone(), CounterId::DIRECT))
}

fn sample(words: [u64; VMCLOCK_WORDS]) -> Result<Sample, SourceError> {
    let host = ScriptedHost::new();
    let (mut vmclock, counter) = source(&host, words);
    vmclock.sample(&counter)
}

/// TAI in ns of a sample of [`words`] with other fields, from what the page states.
fn ends(words: [u64; VMCLOCK_WORDS]) -> (i64, i64) {
    let sample = sample(words).expect("it states the time");
    let elapsed = sample.after as i64 - words[5] as i64;
    let from = |t: Timestamp| t.tai_nanos() - BEGIN_S as i64 * SECOND - elapsed;
    (from(sample.time.earliest()), from(sample.time.latest()))
}

#[test]
fn the_interval_is_what_the_page_states_at_the_counter_that_was_read() {
    let sample = sample(words()).expect("it states the time");
    assert_eq!(sample.before, sample.after, "the statement is of one value of the counter");
    // 37 s are TAI − UTC; the counter moved by some ns since the page was written.
    let (earliest, latest) = ends(words());
    assert!((-5_003..=-5_000).contains(&(earliest - 37 * SECOND)), "{earliest}");
    assert!((5_000..=5_003).contains(&(latest - 37 * SECOND)), "{latest}");
    // An hour after the page was written, by 50 ppm.
    let old = [(5, 0)].into_iter().fold(words(), |mut words, (i, word)| {
        words[i] = word;
        words
    });
    let (earliest, latest) = ends(old);
    let drifted = 3_600 * SECOND / 20_000;
    assert!((-10..=0).contains(&(earliest - 37 * SECOND + 5_000 + drifted)), "{earliest}");
    assert!((0..=10).contains(&(latest - 37 * SECOND - 5_000 - drifted)), "{latest}");
}

#[test]
fn a_counter_that_is_a_little_behind_the_page_is_right_too() {
    let mut words = words();
    words[5] += 100_000;
    let (earliest, latest) = ends(words);
    assert!((-5_010..=-5_005).contains(&(earliest - 37 * SECOND)), "{earliest}");
    assert!((5_005..=5_010).contains(&(latest - 37 * SECOND)), "{latest}");
}

#[test]
fn a_page_that_states_no_bound_is_refused_with_the_reason() {
    let set = |index: usize, word: u64| {
        let mut words = words();
        words[index] = word;
        words
    };
    use Reason::{NoBoundStated, SourceFailed, TooOld};
    let cases = [
        ("status 0", with(words(), 34, 0), Some(NoBoundStated)),
        ("status 1", with(words(), 34, 1), Some(NoBoundStated)),
        ("status 2", with(words(), 34, 2), None),
        ("status 3", with(words(), 34, 3), None),
        ("status 4", with(words(), 34, 4), Some(NoBoundStated)),
        ("status 5", with(words(), 34, 5), Some(NoBoundStated)),
        ("no flags", set(3, 0), Some(NoBoundStated)),
        ("the period's error alone", set(3, 16), Some(NoBoundStated)),
        ("the time's error alone", set(3, 64), Some(NoBoundStated)),
        ("the estimates' flags", set(3, 8 | 32), Some(NoBoundStated)),
        ("an error of 0", set(12, 0), Some(NoBoundStated)),
        ("a period without error", set(8, 0), Some(NoBoundStated)),
        ("an error of an hour", set(12, 3_600_000_000_000), Some(TooOld)),
        ("no counter", with(words(), 10, 0xff), Some(NoBoundStated)),
        ("another counter", with(words(), 10, 0), Some(SourceFailed)),
        ("a short page", set(0, 103 << 32 | 0x4b4c_4356), Some(NoBoundStated)),
        ("UTC", with(words(), 11, 0), None),
        ("TAI", with(words(), 11, 1), None),
        ("monotonic", with(words(), 11, 2), Some(NoBoundStated)),
        ("smeared", with(words(), 11, 3), Some(NoBoundStated)),
        ("perhaps smeared", with(words(), 11, 4), Some(NoBoundStated)),
        ("being written", with(words(), 12, 3), Some(SourceFailed)),
        ("no period", set(6, 0), Some(SourceFailed)),
        ("an absurd shift", with(words(), 39, 64), Some(SourceFailed)),
        ("before 1972", set(9, 60_000_000), Some(SourceFailed)),
        ("absurd seconds", set(9, u64::MAX), Some(SourceFailed)),
        ("a counter 2 s ahead", set(5, 3_602_000_000_000), Some(SourceFailed)),
        ("a counter far ahead", set(5, u64::MAX / 2), Some(SourceFailed)),
        (
            "a counter two days behind",
            set(5, 3_600_000_000_000_u64.wrapping_sub(172_800_000_000_000)),
            Some(SourceFailed),
        ),
    ];
    for (what, words, refused) in cases {
        let got = sample(words).map(|_| ()).map_err(|error| error.reason());
        assert_eq!(got, refused.map_or(Ok(()), Err), "{what}");
    }
}

#[test]
fn without_the_processors_counter_the_page_says_nothing() {
    let host = ScriptedHost::with_raw_clock_only();
    let (mut vmclock, _) = source(&host, words());
    let raw = Counter::new(host.clone(), CounterId::MONOTONIC_RAW);
    let error = vmclock.sample(&raw).expect_err("the time is of the TSC");
    assert_eq!(error.reason(), Reason::SourceFailed);
}

#[test]
fn near_a_leap_second_both_offsets_are_covered_and_tai_needs_none() {
    // 2016-12-31T23:59:60Z was inserted before this midnight.
    let midnight = 1_483_228_800;
    let offsets = |at: u64, error_ns: u64, indicator: u8, time_type: u8| {
        let mut words = with(with(words(), 38, indicator), 11, time_type);
        words[9] = at;
        words[12] = error_ns;
        let sample = sample(words).expect("it states the time");
        let whole = |t: Timestamp, slack: i64| {
            (t.tai_nanos() - at as i64 * SECOND + slack + SECOND / 2).div_euclid(SECOND)
        };
        let error_ns = error_ns as i64;
        (whole(sample.time.earliest(), error_ns), whole(sample.time.latest(), -error_ns))
    };
    assert_eq!(offsets(midnight - 100, 5_000, 1, UTC), (36, 36));
    assert_eq!(offsets(midnight - 2, 5_000, 1, UTC), (36, 37));
    assert_eq!(offsets(midnight, 5_000, 3, UTC), (36, 37));
    assert_eq!(offsets(midnight + 100, 5_000, 4, UTC), (37, 37));
    assert_eq!(offsets(midnight - 20, 30_000_000_000, 0, UTC), (36, 37), "within its error");
    assert_eq!(offsets(midnight, 5_000, 0, TAI), (0, 0));
    // One that the table does not list.
    assert_eq!(offsets(BEGIN_S, 5_000, 1, UTC), (36, 38));
    assert_eq!(offsets(BEGIN_S, 5_000, 5, UTC), (36, 38));
    assert_eq!(offsets(BEGIN_S, 5_000, 0, UTC), (37, 37));
}

#[test]
fn the_pages_own_offset_to_tai_is_only_a_check_and_its_sign_does_not_matter() {
    let details = |offset: i16, flags: u64| {
        let mut words = words();
        words[3] |= flags;
        let offset = u64::from(offset.cast_unsigned());
        words[4] |= offset << 32;
        let host = ScriptedHost::new();
        let (mut vmclock, counter) = source(&host, words);
        let time = vmclock.sample(&counter).expect("it states the time").time;
        (time.earliest().tai_nanos() / SECOND, vmclock.details().expect("it has been sampled"))
    };
    let (second, said) = details(0, 0);
    for (offset, flags, differs) in [(37, 1, false), (-37, 1, false), (36, 1, true), (36, 0, false)]
    {
        let (at, said) = details(offset, flags);
        assert!(second.abs_diff(at) <= 1, "{offset}: the table alone counts");
        assert_eq!(said.contains("not the leap table's"), differs, "{said}");
    }
    assert!(said.contains("synchronized") && said.contains("marker 1"), "{said}");
    assert!(details(0, 2).1.contains("announced") && details(0, 4).1.contains("imminent"));
}

/// Fields that only the arithmetic looks at.
fn fields(words: &[u64; VMCLOCK_WORDS]) -> VmClockFields {
    VmClockFields::from_words(words)
}

#[test]
fn the_smallest_drift_is_rounded_up_to_a_nanosecond() {
    let mut words = words();
    words[8] = 1;
    let at = |away: i64| stated(&fields(&words), words[5].wrapping_add_signed(away)).expect("near");
    let begin = i128::from(BEGIN_S) * i128::from(SECOND);
    // The page's own value: what it states, and a nanosecond for the division.
    let there = at(0);
    assert_eq!((there.least_ns, there.most_ns), (begin - 5_000, begin + 5_001));
    let later = at(1_000);
    assert_eq!(later.least_ns, begin + 999 - 5_001, "rounded down, and 1 ns of drift");
    // The last of the page's units is one too many there, rounded up.
    assert_eq!(later.most_ns, begin + 1_001 + 5_001);
    let earlier = at(-1_000);
    assert_eq!(earlier.least_ns, begin - 1_001 - 5_001);
    assert_eq!(earlier.most_ns, begin - 999 + 5_001);
}

proptest! {
    /// Against the exact quotient, in which nothing is rounded.
    #[test]
    fn the_stated_interval_covers_the_exact_one_and_little_more(
        seconds in 0_u64..1_000,
        fraction: u64,
        away in -(1_i64 << 25)..1 << 33,
        period in 1_u64 << 33..1 << 36,
        error in 1_u64..1 << 24,
        max_ns in 1_u64..1_000_000,
        shift in 0_u8..8,
    ) {
        let mut words = words();
        words[4] = u64::from(shift) << 56 | 2 << 16;
        words[5] = 1 << 40;
        words[6] = period;
        words[8] = error;
        words[9] = seconds;
        words[10] = fraction;
        words[12] = max_ns;
        let got = stated(&fields(&words), (1_u64 << 40).wrapping_add_signed(away));
        let got = got.expect("less than a minute, and near");
        // In units of 2^−(64 + shift) s; times 10^9 it is below 2^123.
        let begin = (i128::from(seconds) << 64 | i128::from(fraction)) << shift;
        let middle = begin + i128::from(away) * i128::from(period);
        let drifted = i128::from(away.unsigned_abs()) * i128::from(error);
        let nanos = |units: i128| units * 1_000_000_000;
        let scaled = |ns: i128| ns << (64 + shift);
        // Compared in units of 2^−(64 + shift) ns, without the whole seconds, which are exact.
        let base = i128::from(seconds) * 1_000_000_000;
        let whole = i128::from(seconds) << (64 + shift);
        let least = nanos(middle - whole - drifted);
        let most = nanos(middle - whole + drifted);
        let max_ns = i128::from(max_ns);
        prop_assert!(scaled(got.least_ns - base + max_ns) <= least);
        prop_assert!(scaled(got.most_ns - base - max_ns) >= most);
        prop_assert!(scaled(got.least_ns - base + max_ns + 3) > least, "no wider than needed");
        prop_assert!(scaled(got.most_ns - base - max_ns - 3) < most, "no wider than needed");
    }

    #[test]
    fn no_page_makes_it_panic(random in prop::array::uniform14(any::<u64>()), keep in 0_u16..1 << 14) {
        let mut words = words();
        for (index, word) in random.into_iter().enumerate() {
            if keep & 1 << index == 0 {
                words[index] = word;
            }
        }
        // The number of the update is even.
        let words = with(words, 12, 2);
        if let Ok(sample) = sample(words) {
            prop_assert!(sample.time.earliest() <= sample.time.latest());
        }
    }
}
