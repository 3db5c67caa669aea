//! Duration leases in random histories, with a known true time: stopwatches drift, and the
//! network delays, repeats and reorders messages.
//!
//! 1. At every moment of true time at most one holder passes its check.
//! 2. The time that a check promises ends within a term, in true time, of sending the request.
//! 3. Tokens are strictly increasing.
//!
//! Each rule is also broken on purpose, and the test has to catch it.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};
use truechimer::fence::FencingToken;
use truechimer::lease::{
    Command, Decision, DurationGrant, DurationGrantor, DurationLease, GrantError, Holder, HolderId,
    LeaseError, Reading, Request, RequestId, SectionOutcome, Sender, Stopwatch,
};

const HOLDERS: usize = 3;
const TERM: Duration = Duration::from_millis(100);
/// Drifts of 10 %, so that a rule that ignores them fails soon.
const DRIFT_PPM: i64 = 100_000;
/// How far a reading extends to either side.
const ERROR: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Broken {
    Nothing,
    HolderCountsFromTheAnswer,
    HolderTakesTheLastRequest,
    HolderForgetsItsDrift,
    GrantorForgetsItsDrift,
    RestartIsNotQuiet,
}

/// A stopwatch with a set value.
struct FixedStopwatch {
    value: Option<Duration>,
    error: Duration,
    drift: u32,
}

impl Stopwatch for FixedStopwatch {
    fn read(&self) -> Option<Reading> {
        let value = self.value?;
        let (earliest, latest) = (value.saturating_sub(self.error), value + self.error);
        Some(Reading { earliest, latest })
    }

    fn max_drift_ppm(&self) -> u32 {
        self.drift
    }
}

/// The drift of each machine, in millionths. The last is the grantor's.
type Drifts = [i64; HOLDERS + 1];

#[derive(Clone, Debug)]
enum Step {
    /// Lets true milliseconds pass, with other drifts than usual if some are given.
    Wait(u64, Option<Drifts>),
    Send(usize, What),
    /// Sends, decides and answers without delay.
    Ask(usize, What),
    /// Delivers a request to the grantor, perhaps not for the first time.
    Arrive(prop::sample::Index),
    /// Delivers a grant to its holder, perhaps not for the first time.
    Answer(prop::sample::Index),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Acquire,
    Renew,
    Release,
}

struct World {
    broken: Broken,
    usual: Drifts,
    truth: Duration,
    /// The value of each machine's stopwatch. The last is the grantor's.
    stopwatches: [Duration; HOLDERS + 1],
    grantor: DurationGrantor,
    holders: Vec<Holder>,
    leases: Vec<Option<DurationLease>>,
    /// The requests of each holder, with the true time of sending.
    requests: Vec<HashMap<RequestId, (Request, Duration)>>,
    last_request: Vec<Option<Request>>,
    /// The earliest true time at which the present lease of each holder may end.
    ends: Vec<Duration>,
    to_grantor: Vec<Command>,
    to_holders: Vec<DurationGrant>,
    progress: u64,
}

impl World {
    fn new(broken: Broken, usual: Drifts) -> World {
        let start = Duration::from_secs(10);
        let mut world = World {
            broken,
            usual,
            truth: start,
            stopwatches: [start; HOLDERS + 1],
            grantor: DurationGrantor::after_restart(
                TERM,
                0,
                FencingToken::MIN,
                Reading { earliest: Duration::ZERO, latest: Duration::ZERO },
            )
            .expect("a term"),
            holders: (0..HOLDERS).map(|id| Holder::new(HolderId(id as u64))).collect(),
            leases: (0..HOLDERS).map(|_| None).collect(),
            requests: vec![HashMap::new(); HOLDERS],
            last_request: vec![None; HOLDERS],
            ends: vec![Duration::ZERO; HOLDERS],
            to_grantor: Vec::new(),
            to_holders: Vec::new(),
            progress: 0,
        };
        world.grantor = world.fresh_grantor(Duration::ZERO);
        world
    }

    fn stopwatch(&self, machine: usize) -> FixedStopwatch {
        let ignores_drift = match machine {
            HOLDERS => self.broken == Broken::GrantorForgetsItsDrift,
            _ => self.broken == Broken::HolderForgetsItsDrift,
        };
        let drift = if ignores_drift { 0 } else { DRIFT_PPM as u32 };
        FixedStopwatch { value: Some(self.stopwatches[machine]), error: ERROR, drift }
    }

    /// A grantor that started when its stopwatch had the value `when`.
    fn fresh_grantor(&self, when: Duration) -> DurationGrantor {
        let stopwatch = FixedStopwatch { value: Some(when), ..self.stopwatch(HOLDERS) };
        let now = stopwatch.read().expect("it has a value");
        DurationGrantor::after_restart(TERM, stopwatch.drift, self.last_token(), now)
            .expect("a term")
    }

    fn last_token(&self) -> FencingToken {
        self.to_holders.iter().map(|grant| grant.token).max().unwrap_or_default()
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Wait(millis, drifts) => {
                let passed = Duration::from_millis(*millis);
                self.truth += passed;
                let drifts = drifts.unwrap_or(self.usual);
                for (value, drift) in self.stopwatches.iter_mut().zip(drifts) {
                    // Whole milliseconds times whole millionths are whole nanoseconds.
                    *value += Duration::from_nanos(millis * (1_000_000 + drift) as u64);
                }
            }
            Step::Send(holder, what) => self.send(*holder, *what),
            Step::Ask(holder, what) => {
                let (sent, granted) = (self.to_grantor.len(), self.to_holders.len());
                self.send(*holder, *what);
                if self.to_grantor.len() > sent {
                    self.arrive(self.to_grantor[sent])?;
                }
                if self.to_holders.len() > granted {
                    self.answer(self.to_holders[granted]);
                }
            }
            Step::Arrive(which) if !self.to_grantor.is_empty() => {
                let message = self.to_grantor[recent(which, self.to_grantor.len())];
                self.arrive(message)?;
            }
            Step::Answer(which) if !self.to_holders.is_empty() => {
                let grant = self.to_holders[recent(which, self.to_holders.len())];
                self.answer(grant);
            }
            Step::Arrive(_) | Step::Answer(_) => {}
            Step::Restart => {
                let quiet = self.broken != Broken::RestartIsNotQuiet;
                let when = if quiet { self.stopwatches[HOLDERS] } else { Duration::ZERO };
                self.grantor = self.fresh_grantor(when);
            }
        }
        self.check_promises()
    }

    fn send(&mut self, holder: usize, what: What) {
        self.progress += 1;
        if let What::Release = what {
            if let Some(lease) = self.leases[holder].take() {
                self.to_grantor.push(lease.release());
            }
            return;
        }
        let stopwatch = self.stopwatch(holder);
        let request = match (what, &self.leases[holder]) {
            (What::Acquire, _) => self.holders[holder].request(&stopwatch),
            (_, Some(lease)) => lease.renewal(&stopwatch, self.progress),
            (_, None) => return,
        };
        let request = request.expect("it can be read");
        let id = request.command().id().expect("it has a number");
        self.requests[holder].insert(id, (request, self.truth));
        self.last_request[holder] = Some(request);
        self.to_grantor.push(request.command());
    }

    fn arrive(&mut self, command: Command) -> TestCaseResult {
        let now = self.stopwatch(HOLDERS).read();
        let (before, last) = (self.grantor.clone(), self.last_token());
        let answer = self.grantor.apply(now, command);
        match answer {
            Ok(decision) => {
                let is_repeat = before == self.grantor;
                if let (Decision::Granted(grant), false) = (decision, is_repeat) {
                    prop_assert!(grant.token > last, "{grant:?} after {last}");
                }
                self.to_holders.extend(decision.grant());
            }
            Err(refusal) => {
                prop_assert_eq!(before.last_token(), self.grantor.last_token(), "{}", refusal);
                if let Command::Acquire { holder, .. } = command {
                    self.holders[holder.0 as usize].refused(&refusal);
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, grant: DurationGrant) {
        let holder = grant.holder.0 as usize;
        let (mut request, sent) = self.requests[holder][&grant.request];
        let mut grant = grant;
        match self.broken {
            Broken::HolderCountsFromTheAnswer => {
                let stopwatch = self.stopwatch(holder);
                request = self.holders[holder].request(&stopwatch).expect("it can be read");
                grant.request = request.command().id().expect("it has a number");
            }
            Broken::HolderTakesTheLastRequest => {
                request = self.last_request[holder].expect("it sent something");
                grant.request = request.command().id().expect("it has a number");
            }
            _ => {}
        }
        let end = sent + TERM;
        match &self.leases[holder] {
            Some(lease) if lease.token() == grant.token => {
                if lease.renewed(request, &grant) {
                    self.ends[holder] = end;
                }
            }
            _ => {
                if let Ok(lease) = self.holders[holder].accept_duration(request, &grant) {
                    self.leases[holder] = Some(lease);
                    self.ends[holder] = end;
                }
            }
        }
    }

    fn check_promises(&self) -> TestCaseResult {
        let mut held = Vec::new();
        for (holder, lease) in self.leases.iter().enumerate() {
            let Some(lease) = lease else { continue };
            let perfect = FixedStopwatch { error: Duration::ZERO, ..self.stopwatch(holder) };
            if let Ok(remaining) = lease.check(&perfect) {
                held.push(holder);
                let within = self.truth + remaining.at_least() <= self.ends[holder];
                prop_assert!(within || self.broken != Broken::Nothing, "{remaining:?} is too long");
            }
            let unreadable = FixedStopwatch { value: None, ..perfect };
            prop_assert_eq!(lease.check(&unreadable), Err(LeaseError::NoStopwatch));
        }
        prop_assert!(held.len() <= 1, "two holders: {held:?} at {:?}", self.truth);
        Ok(())
    }
}

/// The index of one of the last few messages. Much older ones change nothing any more.
fn recent(which: &prop::sample::Index, length: usize) -> usize {
    length - 1 - which.index(length.min(3))
}

fn histories() -> impl Strategy<Value = (Drifts, Vec<Step>)> {
    let drift = prop_oneof![Just(-DRIFT_PPM), Just(DRIFT_PPM), -DRIFT_PPM..=DRIFT_PPM];
    let drifts = prop::array::uniform4(drift);
    let unusual = prop::option::weighted(0.1, drifts.clone());
    let wait = prop_oneof![0u64..20, 80u64..130];
    let what = prop_oneof![
        5 => Just(What::Acquire),
        2 => Just(What::Renew),
        1 => Just(What::Release)
    ];
    let step = prop_oneof![
        6 => (wait, unusual).prop_map(|(millis, drifts)| Step::Wait(millis, drifts)),
        6 => (0..HOLDERS, what.clone()).prop_map(|(holder, what)| Step::Ask(holder, what)),
        2 => (0..HOLDERS, what).prop_map(|(holder, what)| Step::Send(holder, what)),
        3 => any::<prop::sample::Index>().prop_map(Step::Arrive),
        3 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => Just(Step::Restart),
    ];
    (drifts, prop::collection::vec(step, 1..60))
}

/// The first failure whose message contains `words`, in `cases` histories.
fn first_failure(broken: Broken, words: &str, cases: u32) -> Option<String> {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    // Unbroken rules are tried on new histories in each run. A broken rule must be caught in each
    // run, so its histories are always the same.
    let mut runner = match broken {
        Broken::Nothing => TestRunner::new(config),
        _ => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&histories(), |(usual, steps)| {
        let mut world = World::new(broken, usual);
        match steps.iter().try_for_each(|step| world.step(step)) {
            // A broken rule can fail in several ways. Only failures with these words count.
            Err(TestCaseError::Fail(why)) if !why.message().contains(words) => Ok(()),
            other => other,
        }
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(why, _)) => Some(why.to_string()),
        Err(TestError::Abort(why)) => panic!("proptest aborted: {why}"),
    }
}

#[test]
fn at_every_moment_of_true_time_there_is_at_most_one_holder() {
    assert_eq!(first_failure(Broken::Nothing, "", 1_500), None);
}

#[test]
fn each_broken_rule_is_caught() {
    for broken in [
        Broken::HolderCountsFromTheAnswer,
        Broken::HolderTakesTheLastRequest,
        Broken::HolderForgetsItsDrift,
        Broken::GrantorForgetsItsDrift,
        Broken::RestartIsNotQuiet,
    ] {
        let found = first_failure(broken, "two holders", 50_000);
        assert!(found.is_some(), "{broken:?} was not caught with two holders");
    }
}

#[test]
fn a_grantor_without_a_clock_or_in_its_quiet_term_grants_nothing() {
    let now = |ms| {
        let value = Duration::from_millis(ms);
        Some(Reading { earliest: value, latest: value })
    };
    let last = FencingToken(41);
    let started = now(1_000).expect("set");
    let refused = DurationGrantor::after_restart(Duration::ZERO, 200, last, started);
    assert_eq!(refused, Err(LeaseError::ZeroTerm));
    let mut grantor = DurationGrantor::after_restart(TERM, 200, last, started).expect("a term");
    let (mut first, mut second) = (Holder::new(HolderId(1)), Holder::new(HolderId(2)));
    assert_eq!(grantor.apply(None, acquire_after(&mut first, last)), Err(GrantError::NoClock));
    let quiet = |micros| Err(GrantError::Quiet { retry_after: Duration::from_micros(micros) });
    assert_eq!(grantor.apply(now(1_000), first.acquire()), quiet(100_020));
    assert_eq!(grantor.apply(now(1_100), first.acquire()), quiet(20));
    let command = first.acquire();
    let request = command.id().expect("it has a number");
    let granted = grantor.apply(now(1_101), command);
    let (holder, token) = (first.id(), FencingToken(42));
    let grant = DurationGrant { holder, request, token, term: TERM };
    assert_eq!(granted, Ok(Decision::Granted(grant)));
    // A term is 100 ms, plus 20 µs for a drift of 200 ppm.
    assert!(grantor.apply(now(1_201), acquire_after(&mut second, last)).is_err());
    assert!(grantor.apply(now(1_202), second.acquire()).is_ok());
    // A repeat gets the same answer, and counts from when it was sent first.
    assert_eq!(grantor.apply(now(1_300), command), granted);
    let handed = Command::Transfer { token, number: 1, to: HolderId(2) };
    assert_eq!(grantor.apply(now(1_300), handed), Err(GrantError::NotTransferable));
}

/// A request of a holder that has seen this token.
fn acquire_after(holder: &mut Holder, newest: FencingToken) -> Command {
    holder.refused(&GrantError::MayBeRepeated { newest });
    holder.acquire()
}

#[test]
fn a_request_from_before_a_restart_is_not_granted_again() {
    let now = Some(Reading { earliest: Duration::from_secs(9), latest: Duration::from_secs(9) });
    let zero = Reading { earliest: Duration::ZERO, latest: Duration::ZERO };
    let start = |last| DurationGrantor::after_restart(TERM, 200, FencingToken(last), zero);
    let mut grantor = start(0).expect("a term");
    let mut holder = Holder::new(HolderId(1));
    let acquire = holder.acquire();
    let grant = grantor.apply(now, acquire).ok().and_then(Decision::grant).expect("free");
    let mut restarted = start(grant.token.get()).expect("a term");
    let refusal = GrantError::MayBeRepeated { newest: grant.token };
    assert_eq!(restarted.apply(now, acquire), Err(refusal));
    holder.refused(&refusal);
    assert!(restarted.apply(now, holder.acquire()).is_ok(), "a living holder asks again");
}

#[test]
fn a_grant_is_accepted_only_with_the_request_that_it_answers() {
    let stopwatch =
        |ms| FixedStopwatch { value: Some(Duration::from_millis(ms)), error: ERROR, drift: 200 };
    let mut holder = Holder::new(HolderId(1));
    let (first, second) = (holder.request(&stopwatch(10)), holder.request(&stopwatch(500)));
    let (first, second) = (first.expect("readable"), second.expect("readable"));
    let (request, token) = (first.command().id().expect("it has a number"), FencingToken(7));
    let grant = DurationGrant { holder: holder.id(), request, token, term: TERM };
    assert_eq!(holder.accept_duration(second, &grant).err(), Some(LeaseError::OtherRequest));
    let lease = holder.accept_duration(first, &grant).expect("it answers the first");
    assert!(lease.check(&stopwatch(50)).is_ok());
    let over = lease.check(&stopwatch(200)).expect_err("100 ms have passed");
    assert!(matches!(over, LeaseError::TermPassed { .. }));
    assert!(!lease.renewed(second, &grant), "the same holds for a renewal");
    // A renewal with the number of the request for the lease is another request.
    let renewal = lease.renewal(&stopwatch(90), 1).expect("readable");
    let number = renewal.command().id().expect("it has a number").number;
    assert_eq!(request, RequestId { sender: Sender::Holder(holder.id()), number });
    assert!(!lease.renewed(renewal, &grant), "it would count from a later moment");
    let answer = DurationGrant { request: renewal.command().id().expect("a number"), ..grant };
    assert!(lease.renewed(renewal, &answer));
    assert!(lease.check(&stopwatch(180)).is_ok());
}

#[test]
fn an_asynchronous_section_is_checked_when_its_future_has_ended() {
    let stopwatch = |ms| {
        let value = Cell::new(Some(Duration::from_millis(ms)));
        SharedStopwatch { value }
    };
    let clock = stopwatch(10);
    let mut holder = Holder::new(HolderId(1));
    let request = holder.request(&clock).expect("readable");
    let lease = DurationLease::new(request, FencingToken(7), TERM);
    let mut waiting = true;
    let section = lease.run_async(&clock, |token| {
        let clock = &clock;
        poll_fn(move |_| {
            if std::mem::take(&mut waiting) {
                return Poll::Pending;
            }
            clock.value.set(Some(Duration::from_millis(300)));
            Poll::Ready(token)
        })
    });
    let mut section = pin!(section);
    let mut context = Context::from_waker(Waker::noop());
    assert!(section.as_mut().poll(&mut context).is_pending());
    let Poll::Ready(Ok(outcome)) = section.poll(&mut context) else { panic!("it has ended") };
    assert!(matches!(outcome, SectionOutcome::Overran { result: FencingToken(7), .. }));
    assert_eq!(lease.abandoned(), 0);

    clock.value.set(Some(Duration::from_millis(20)));
    let mut dropped = Box::pin(lease.run_async(&clock, |_| std::future::pending::<()>()));
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    drop(dropped);
    assert_eq!(lease.abandoned(), 1);
}

struct SharedStopwatch {
    value: Cell<Option<Duration>>,
}

impl Stopwatch for SharedStopwatch {
    fn read(&self) -> Option<Reading> {
        self.value.get().map(|value| Reading { earliest: value, latest: value })
    }

    fn max_drift_ppm(&self) -> u32 {
        200
    }
}
