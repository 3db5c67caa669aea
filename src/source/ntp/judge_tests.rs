use super::*;
use crate::counter::RateBounds;
use crate::scale::{NtpTime, UnixTime};
use crate::timestamp::Timestamp;

const SECOND: i64 = 1_000_000_000;
/// True time in Unix ns when the counter shows 0; the counter counts true nanoseconds.
const BASE: i64 = 1_800_000_000 * SECOND;
const OFFSET: i64 = 37 * SECOND;
const BOUND_NS: u64 = 50_000;

fn ageing() -> Ageing {
    Ageing {
        rates: RateBounds::NANOSECONDS.with_drift(200),
        widening_ppb: 400_000,
        granularity_ns: 10,
        generation: 1,
    }
}

/// An exchange that took 100 µs, around this tick, with a server that is off by this.
fn exchange(tick: u64, off_ns: i64) -> Exchange {
    let stamp = |ns: i64| NtpTime::from_unix(UnixTime::from_nanos(ns));
    let shown = BASE + tick as i64 + off_ns;
    Exchange {
        before: tick - 50_000,
        after: tick + 50_000,
        generation: 1,
        receive: stamp(shown),
        transmit: stamp(shown + 1_000),
        bound_ns: BOUND_NS,
        announced: None,
    }
}

fn word(name: &str, exchanges: &[Exchange]) -> Word {
    Word {
        name: name.into(),
        address: None,
        scale: RealtimeScale::Utc,
        exchanges: exchanges.to_vec(),
        reply: None,
        trouble: None,
        poll: Duration::from_secs(64),
    }
}

const NOW: u64 = 100 * SECOND as u64;

fn verdict(words: &[Word], takes_one: bool) -> Verdict {
    judge(words, takes_one, &ageing(), NOW, &LeapTable::builtin())
}

/// Whether the sample holds the truth.
fn is_right(sample: &Sample) -> bool {
    let truth = Timestamp::from_tai_nanos(BASE + OFFSET + sample.after as i64);
    sample.before == sample.after && sample.time.contains(truth)
}

fn reason(words: &[Word], takes_one: bool) -> Reason {
    verdict(words, takes_one).sample.expect_err("no time").reason()
}

#[test]
fn a_falseticker_is_outvoted_and_named() {
    let at = NOW - 1_000_000;
    for (honest, liars) in [(2, 1), (3, 1), (3, 2), (4, 3)] {
        let mut words: Vec<Word> = (0..honest)
            .map(|i| word(&format!("honest-{i}"), &[exchange(at + 10_000 * i, 20_000)]))
            .collect();
        words.extend((0..liars).map(|i| word(&format!("liar-{i}"), &[exchange(at, SECOND)])));
        let verdict = verdict(&words, false);
        let sample = verdict.sample.expect("a majority agrees");
        assert!(is_right(&sample), "{honest} and {liars}");
        assert!(sample.time.width() < Duration::from_micros(250));
        for i in 0..liars {
            let named = format!("falseticker: liar-{i}");
            assert!(verdict.details.contains(&named), "{}", verdict.details);
        }
        assert!(!verdict.details.contains("falseticker: honest"), "{}", verdict.details);
        assert!(verdict.details.contains("off by 999."), "{}", verdict.details);
    }
}

#[test]
fn without_a_majority_there_is_no_time_and_the_reason_says_who_disagrees() {
    let at = NOW - 1_000_000;
    let [honest, liar] =
        [("honest", 0), ("liar", SECOND)].map(|(n, off)| word(n, &[exchange(at, off)]));
    let silent = Word { trouble: Some("no answer".to_owned()), ..word("silent", &[]) };
    let other = word("other", &[exchange(at, 5)]);
    let cases = [
        (vec![], true, Reason::ServersSilent),
        (vec![silent.clone()], true, Reason::ServersSilent),
        // A lone server, or two that agree, are not believed unless the operator says so.
        (vec![honest.clone()], false, Reason::ServersDisagree),
        (vec![honest.clone(), other.clone()], false, Reason::ServersDisagree),
        // Two have to agree.
        (vec![honest.clone(), liar.clone()], true, Reason::ServersDisagree),
        (vec![honest.clone(), silent.clone()], true, Reason::ServersSilent),
        // A silent server counts: a liar need not wait until it is alone.
        (vec![liar.clone(), silent.clone(), silent.clone()], false, Reason::ServersSilent),
        (vec![honest.clone(), liar.clone(), silent.clone()], false, Reason::ServersDisagree),
        (
            vec![honest.clone(), other.clone(), silent.clone(), liar.clone()],
            false,
            Reason::ServersDisagree,
        ),
    ];
    for (i, (words, takes_one, expected)) in cases.iter().enumerate() {
        assert_eq!(reason(words, *takes_one), *expected, "case {i}");
    }
    let error =
        verdict(&[honest.clone(), liar, silent.clone()], false).sample.expect_err("no time");
    let text = error.to_string();
    assert!(text.contains("liar +1s") && text.contains("silent: no answer"), "{text}");
    for (words, takes_one) in [
        (vec![honest.clone()], true),
        (vec![honest.clone(), other.clone()], true),
        (vec![honest, other, silent], false),
    ] {
        assert!(is_right(&verdict(&words, takes_one).sample.expect("enough")));
    }
}

#[test]
fn two_names_of_one_address_have_one_word() {
    let at = NOW - 1_000_000;
    let address: SocketAddr = "192.0.2.1:123".parse().expect("an address");
    let twin = |name| Word { address: Some(address), ..word(name, &[exchange(at, SECOND)]) };
    let words = [twin("a"), twin("b"), word("c", &[exchange(at, 0)])];
    let verdict = verdict(&words, false);
    assert!(verdict.sample.is_err(), "the liar has one vote");
    assert!(verdict.details.contains("b: it has the address of a"), "{}", verdict.details);
}

#[test]
fn the_last_exchanges_are_intersected_and_a_stepped_server_counts_from_its_step_on() {
    // The truth is late in the first exchange and early in the second.
    let both = [exchange(NOW - 200_000, -40_000), exchange(NOW - 100_000, 40_000)];
    let width = |exchanges: &[Exchange]| {
        let sample = verdict(&[word("a", exchanges)], true).sample.expect("one is enough");
        assert!(is_right(&sample));
        sample.time.width().as_nanos()
    };
    let alone = width(&both[1..]);
    assert!(width(&both) + 70_000 < alone, "{} and {alone}", width(&both));
    // It was a second off, and was corrected.
    let stepped = [exchange(NOW - 300_000, SECOND), both[0], both[1]];
    let verdict = verdict(&[word("a", &stepped)], true);
    assert!(is_right(&verdict.sample.expect("one is enough")));
    assert!(verdict.details.contains("stepped"), "{}", verdict.details);
}

#[test]
fn what_was_measured_by_another_counter_does_not_count() {
    let old = Exchange { generation: 0, ..exchange(NOW - 200_000, 0) };
    assert_eq!(reason(&[word("a", &[old])], true), Reason::ServersSilent);
    // Ticks that the counter has not reached yet cannot be its own.
    assert_eq!(reason(&[word("a", &[exchange(NOW, 0)])], true), Reason::ServersSilent);
}

#[test]
fn servers_that_have_not_answered_lately_are_a_holdover_and_their_word_widens() {
    let at = NOW - 1_000_000;
    let old = NOW - 90 * SECOND as u64;
    let quick =
        |name, tick| Word { poll: Duration::from_secs(1), ..word(name, &[exchange(tick, 0)]) };
    let fresh = verdict(&[quick("a", at), quick("b", at), quick("c", old)], false);
    assert_eq!(fresh.condition.holdover, None);
    assert_eq!(fresh.condition.update_interval, Some(Duration::from_secs(1)));
    let stale = verdict(&[quick("a", at), quick("b", old), quick("c", old)], false);
    assert!(stale.condition.holdover.is_some());
    let sample = stale.sample.expect("their words still hold");
    assert!(is_right(&sample));
    // 90 s at 200 ppm are 18 ms each way, but server a is fresh, and two others hold it.
    assert!(sample.time.width() > Duration::from_millis(30), "{:?}", sample.time.width());
}
