//! `examples/spanner_kv.rs` in short: days that must pass, broken rules that must be found, and
//! the checker compared with one that tries every order.

#[path = "../../examples/spanner_kv/mod.rs"]
#[allow(dead_code, reason = "the rest is for the example")]
mod kv;

use std::collections::HashMap;
use std::rc::Rc;

use kv::checker::{Violation, check};
use kv::cluster::Plan;
use kv::history::{End, History, Kind, Operation};
use kv::layout::{Broken, Key, Txn, Watch};
use kv::log::Log;
use kv::message::Entry;
use kv::story::{Finding, tell};
use truechimer::Timestamp;
use truechimer::fence::FencingToken;
use truechimer::sim::{Disk, Random};

#[test]
fn days_of_an_unbroken_cluster_pass_and_repeat() {
    let day = |seed| {
        let (world, history) = Plan::random(seed, None).run(Watch::Nothing);
        assert_eq!(check(&history.borrow()), Ok(()), "seed {seed}");
        assert_eq!(world.audit().misses, 0, "seed {seed}");
        let count = history.borrow().count();
        assert!(count.committed > 500 && count.read > 1_000, "seed {seed}: {count}");
        format!("{:?}", history.borrow().operations())
    };
    day(1);
    assert_eq!(day(2), day(2), "the same seed gives the same run");
}

/// Days on which the broken rule was found when this was written. When the simulator changes, a
/// seed gives another world, and `--example spanner_kv -- --broken NAME` finds new days.
#[test]
fn each_broken_rule_is_found() {
    let known: [(Broken, &[u64]); Broken::ALL.len()] = [
        (Broken::NoCommitWait, &[0, 1, 2]),
        (Broken::TooSure, &[1, 2]),
        (Broken::LeaseByMidpoint, &[19]),
        (Broken::NoQuietTerm, &[8]),
        (Broken::NoLeaseCheck, &[34]),
        (Broken::NoHandOverWait, &[2]),
        (Broken::BeyondLease, &[27]),
        (Broken::TokenUsedTwice, &[19]),
        (Broken::PromiseNotPersisted, &[3]),
    ];
    for (broken, days) in known {
        let finding = |&seed: &u64| {
            let plan = Plan::random(seed, Some(broken));
            let violation = check(&plan.run(Watch::Nothing).1.borrow()).err()?;
            let faults = plan.faults.len();
            Some(Finding { plan, violation, faults })
        };
        let Some(finding) = days.iter().find_map(finding) else {
            panic!("{broken} is found on none of the days {days:?}");
        };
        // A story takes two more runs, so one of them is enough.
        if broken != Broken::NoCommitWait {
            continue;
        }
        let story = tell(&finding);
        for txn in finding.violation.transactions() {
            let begins = format!("{txn} begins");
            assert!(story.contains(&begins), "{broken}: no `{begins}` in\n{story}");
        }
    }
}

#[test]
fn the_promises_and_the_log_of_a_replica_survive_a_crash() {
    let entry = |n: u64| Rc::new(Entry::Aborted { txn: Txn(n) });
    let disk = Disk::default();
    let mut log = Log::open(&disk);
    log.promise(FencingToken(7)).expect("nobody has led before");
    log.install(&disk, FencingToken(7), &[entry(1), entry(2), entry(3)]);
    log.push(&disk, entry(4));
    // A later leader has a shorter log, so entries that were never chosen are removed.
    log.promise(FencingToken(9)).expect("newer");
    log.install(&disk, FencingToken(9), &[entry(1), entry(5)]);
    log.promise(FencingToken(12)).expect("newer still, but its view has not begun");

    drop(log);
    let mut again = Log::open(&disk);
    assert_eq!(again.entries(), [entry(1), entry(5)]);
    assert_eq!(again.normal(), FencingToken(9));
    again.promise(FencingToken(11)).expect_err("12 was promised");
    assert_eq!(again.promised(), FencingToken(12));
}

/// One event of a history.
enum Event {
    Begins,
    Ends(End),
}

struct Sketch {
    stale: bool,
    reads: Vec<(Key, u64)>,
    writes: Vec<Key>,
}

fn history(sketches: &[Sketch], events: &[(usize, Event)]) -> History {
    let mut history = History::default();
    for (at, event) in events {
        let txn = Txn(*at as u64 + 1);
        match event {
            Event::Begins => {
                let Sketch { stale, reads, writes } = &sketches[*at];
                let stale = stale.then_some(Kind::Stale(Timestamp::MIN));
                history.begin(txn, stale.unwrap_or(Kind::Writing));
                let reads = reads.iter().map(|&(key, writer)| (key, Txn(writer))).collect();
                history.saw(txn, reads, writes.clone());
            }
            Event::Ends(end) => history.end(txn, *end),
        }
    }
    history
}

const COMMITTED: Event = Event::Ends(End::Committed(Timestamp::MIN));

#[test]
fn each_kind_of_violation_is_found() {
    let sketch = |reads: &[(Key, u64)], writes: &[Key]| Sketch {
        stale: false,
        reads: reads.to_vec(),
        writes: writes.to_vec(),
    };
    let one_after_the_other = |sketches: &[Sketch]| {
        let events: Vec<_> =
            (0..sketches.len()).flat_map(|at| [(at, Event::Begins), (at, COMMITTED)]).collect();
        check(&history(sketches, &events))
    };
    // A read after a write sees it, or does not.
    assert_eq!(one_after_the_other(&[sketch(&[(1, 0)], &[1]), sketch(&[(1, 1)], &[])]), Ok(()));
    let stale = one_after_the_other(&[sketch(&[(1, 0)], &[1]), sketch(&[(1, 0)], &[])]);
    assert!(matches!(&stale, Err(Violation::Cycle(cycle)) if cycle.len() == 2), "{stale:?}");
    // Two transactions read the same version and both overwrite it.
    let lost = one_after_the_other(&[sketch(&[(1, 0)], &[1]), sketch(&[(1, 0)], &[1])]);
    assert!(matches!(lost, Err(Violation::LostUpdate { .. })), "{lost:?}");
    // In a write skew, each of two concurrent transactions reads what the other writes.
    let skewed = [sketch(&[(1, 0), (2, 0)], &[1]), sketch(&[(1, 0), (2, 0)], &[2])];
    let at_once = [(0, Event::Begins), (1, Event::Begins), (0, COMMITTED), (1, COMMITTED)];
    let skew = check(&history(&skewed, &at_once));
    assert!(matches!(skew, Err(Violation::Cycle(_))), "{skew:?}");
    // A value comes from an aborted transaction, or from an unknown one.
    let aborted = [(0, Event::Begins), (0, Event::Ends(End::Aborted))];
    let events: Vec<_> = aborted.into_iter().chain([(1, Event::Begins), (1, COMMITTED)]).collect();
    let phantom = check(&history(&[sketch(&[(1, 0)], &[1]), sketch(&[(1, 1)], &[])], &events));
    assert!(matches!(phantom, Err(Violation::Phantom { .. })), "{phantom:?}");
    let unknown = one_after_the_other(&[sketch(&[(1, 7)], &[])]);
    assert!(matches!(unknown, Err(Violation::Phantom { .. })), "{unknown:?}");
}

#[test]
fn a_snapshot_of_another_moment_is_found() {
    let at = Timestamp::from_tai_nanos;
    let verdict_on = |reads_at: i64, saw: u64| {
        let mut history = History::default();
        for (txn, stamp, before) in [(1, 100, 0), (2, 200, 1)] {
            history.begin(Txn(txn), Kind::Writing);
            history.saw(Txn(txn), vec![(1, Txn(before))], vec![1]);
            history.end(Txn(txn), End::Committed(at(stamp)));
        }
        history.begin(Txn(3), Kind::Stale(at(reads_at)));
        history.saw(Txn(3), vec![(1, Txn(saw))], Vec::new());
        history.end(Txn(3), End::Read);
        check(&history)
    };
    for (reads_at, right) in [(99, 0), (100, 1), (199, 1), (200, 2), (201, 2)] {
        for saw in 0..3 {
            let verdict = verdict_on(reads_at, saw);
            assert_eq!(verdict.is_ok(), saw == right, "at {reads_at} it saw {saw}: {verdict:?}");
        }
    }
}

/// The timestamp of a writer whose client got no answer follows from its neighbours.
#[test]
fn a_snapshot_that_misses_an_unknown_writer_is_found() {
    let at = Timestamp::from_tai_nanos;
    let verdict_on = |reads_at: i64, saw: u64| {
        let mut history = History::default();
        // The end of the second is unknown, and the third has read its value.
        for (txn, stamp, before) in [(1, Some(100), 0), (2, None, 1), (3, Some(300), 2)] {
            history.begin(Txn(txn), Kind::Writing);
            history.saw(Txn(txn), vec![(1, Txn(before))], vec![1]);
            if let Some(stamp) = stamp {
                history.end(Txn(txn), End::Committed(at(stamp)));
            }
        }
        history.begin(Txn(4), Kind::Stale(at(reads_at)));
        history.saw(Txn(4), vec![(1, Txn(saw))], Vec::new());
        history.end(Txn(4), End::Read);
        check(&history)
    };
    let explained: [(i64, &[u64]); 4] = [(99, &[0]), (100, &[1, 2]), (299, &[1, 2]), (300, &[3])];
    for (reads_at, may_see) in explained {
        for saw in 0..4 {
            let verdict = verdict_on(reads_at, saw);
            let expected = may_see.contains(&saw);
            assert_eq!(verdict.is_ok(), expected, "at {reads_at} it saw {saw}: {verdict:?}");
        }
    }
}

/// Whether some order of the transactions that happened explains all reads and respects time. It
/// tries every order.
fn some_order_explains(operations: &[Operation]) -> bool {
    let is_answered = |o: &&Operation| matches!(o.end, End::Committed(_));
    let must: Vec<&Operation> = operations.iter().filter(is_answered).collect();
    let may: Vec<&Operation> = operations.iter().filter(|o| o.end == End::Unknown).collect();
    (0..1_u32 << may.len()).any(|chosen| {
        let also = may.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, o)| *o);
        place(&mut HashMap::new(), &must.iter().copied().chain(also).collect::<Vec<_>>())
    })
}

fn place(registers: &mut HashMap<Key, Txn>, left: &[&Operation]) -> bool {
    left.is_empty()
        || left.iter().enumerate().any(|(i, next)| {
            let is_late = |o: &Operation| o.ended.is_some_and(|ended| ended < next.began);
            // A read of the past may come before transactions that had ended when it began.
            let too_late = |o: &&Operation| !matches!(next.kind, Kind::Stale(_)) && is_late(o);
            let holds = |&(key, saw): &(Key, Txn)| {
                registers.get(&key).copied().unwrap_or(Txn::NOBODY) == saw
            };
            if left.iter().any(too_late) || !next.reads.iter().all(holds) {
                return false;
            }
            let mut after = registers.clone();
            after.extend(next.writes.iter().map(|&key| (key, next.txn)));
            let mut others = left.to_vec();
            others.remove(i);
            place(&mut after, &others)
        })
}

#[test]
fn the_checker_agrees_with_one_that_tries_every_order() {
    let mut random = Random::new(7, 7);
    let mut verdicts = [0, 0];
    for round in 0..20_000 {
        let history = random_history(&mut random);
        let explained = some_order_explains(history.operations());
        // Whether a read of the past is exact has a test of its own.
        let verdict = match check(&history) {
            Err(Violation::WrongSnapshot { .. }) => Ok(()),
            other => other,
        };
        assert_eq!(verdict.is_ok(), explained, "{round}: {verdict:?}\n{:#?}", history.operations());
        verdicts[usize::from(explained)] += 1;
    }
    assert!(
        verdicts.iter().all(|&count| count > 2_000),
        "both verdicts must occur often: {verdicts:?}"
    );
}

/// Up to six transactions on two registers, in a random order with random overlaps. Then one of
/// their reads may be changed.
fn random_history(random: &mut Random) -> History {
    let count = 2 + random.below(5) as usize;
    let mut registers: HashMap<Key, u64> = HashMap::new();
    let mut sketches = Vec::new();
    for at in 0..count {
        let keys: Vec<Key> = (0..2).filter(|_| random.chance(700_000)).collect();
        let reads: Vec<_> =
            keys.iter().map(|&key| (key, registers.get(&key).copied().unwrap_or(0))).collect();
        let writes: Vec<Key> = keys.into_iter().filter(|_| random.chance(500_000)).collect();
        registers.extend(writes.iter().map(|&key| (key, at as u64 + 1)));
        let stale = writes.is_empty() && random.chance(300_000);
        sketches.push(Sketch { stale, reads, writes });
    }
    if random.chance(500_000) {
        let at = random.below(count as u64) as usize;
        if let Some(read) = sketches[at].reads.first_mut() {
            read.1 = random.below(count as u64 + 1);
        }
    }
    // Each takes effect at a time that follows its number, begins before it and ends after it.
    let mut times = Vec::new();
    for at in 0..count as i64 {
        let (before, after) = (random.between(0, 250), random.between(0, 250));
        times.push((at * 100 - before, at as usize, Event::Begins));
        let end = match random.below(8) {
            0 => None,
            1 => Some(End::Aborted).filter(|_| random.chance(300_000)),
            _ => Some(End::Committed(Timestamp::MIN)),
        };
        times.extend(end.map(|end| (at * 100 + after + 1, at as usize, Event::Ends(end))));
    }
    times.sort_by_key(|&(time, at, _)| (time, at));
    let events: Vec<_> = times.into_iter().map(|(_, at, event)| (at, event)).collect();
    history(&sketches, &events)
}
