//! Duration leases under real interleavings: stopwatches that drift, and a network
//! that delays, repeats and reorders, against a scripted true time.
//!
//! 1. At every true moment at most one holder is `Held`.
//! 2. What `Held` promises ends within a term, in true time, of the request's sending.
//! 3. Tokens are strictly increasing.
//!
//! Each way of breaking the rules is kept, and has to be caught.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};
use truechimer::fence::FencingToken;
use truechimer::lease::{
    AcceptError, DurationGrant, DurationGrantor, DurationLease, DurationLost, Holder, HolderId,
    Reading, Refusal, Request, RequestId, Stopwatch, TermError,
};

const HOLDERS: usize = 3;
const TERM: Duration = Duration::from_millis(100);
/// Drifts of 10 %, so that a rule that forgets them fails soon.
const DRIFT_PPM: i64 = 100_000;
/// How far a reading reaches to either side.
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

/// A stopwatch that stands where it is put.
struct Watch {
    stands: Option<Duration>,
    error: Duration,
    drift: u32,
}

impl Stopwatch for Watch {
    fn read(&self) -> Option<Reading> {
        let stands = self.stands?;
        let (earliest, latest) = (stands.saturating_sub(self.error), stands + self.error);
        Some(Reading { earliest, latest })
    }

    fn max_drift_ppm(&self) -> u32 {
        self.drift
    }
}

/// Of each machine, in millionths; the last is the grantor's.
type Drifts = [i64; HOLDERS + 1];

#[derive(Clone, Debug)]
enum Step {
    /// True milliseconds, and the drift of each machine meanwhile, if it is another than usual.
    Wait(u64, Option<Drifts>),
    Send(usize, What),
    /// Sent, decided and answered without delay.
    Ask(usize, What),
    /// A request reaches the grantor, perhaps not for the first time.
    Arrive(prop::sample::Index),
    /// A grant reaches its holder, perhaps not for the first time.
    Answer(prop::sample::Index),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Acquire,
    Renew,
    Release,
}

#[derive(Clone, Copy)]
enum Message {
    Acquire(HolderId, RequestId),
    Renew(FencingToken, u64, RequestId),
    Release(FencingToken),
}

struct World {
    broken: Broken,
    usual: Drifts,
    truth: Duration,
    /// Where each machine's stopwatch stands; the last is the grantor's.
    stands: [Duration; HOLDERS + 1],
    grantor: DurationGrantor,
    holders: Vec<Holder>,
    leases: Vec<Option<DurationLease>>,
    /// Of each holder: what it sent, and when in true time.
    requests: Vec<HashMap<RequestId, (Request, Duration)>>,
    last_request: Vec<Option<Request>>,
    /// When the present lease of each holder ends in true time, at the earliest.
    ends: Vec<Duration>,
    to_grantor: Vec<Message>,
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
            stands: [start; HOLDERS + 1],
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

    fn watch(&self, machine: usize) -> Watch {
        let forgets = match machine {
            HOLDERS => self.broken == Broken::GrantorForgetsItsDrift,
            _ => self.broken == Broken::HolderForgetsItsDrift,
        };
        let drift = if forgets { 0 } else { DRIFT_PPM as u32 };
        Watch { stands: Some(self.stands[machine]), error: ERROR, drift }
    }

    /// A grantor that was started at `when` on its stopwatch.
    fn fresh_grantor(&self, when: Duration) -> DurationGrantor {
        let watch = Watch { stands: Some(when), ..self.watch(HOLDERS) };
        let now = watch.read().expect("it stands somewhere");
        DurationGrantor::after_restart(TERM, watch.drift, self.last_token(), now).expect("a term")
    }

    fn last_token(&self) -> FencingToken {
        self.to_holders.iter().map(|grant| grant.token).max().unwrap_or_default()
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Wait(millis, drifts) => {
                let passed = Duration::from_millis(*millis);
                self.truth += passed;
                for (stands, drift) in self.stands.iter_mut().zip(drifts.unwrap_or(self.usual)) {
                    // Whole milliseconds times whole millionths are whole nanoseconds.
                    *stands += Duration::from_nanos(millis * (1_000_000 + drift) as u64);
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
                let when = if quiet { self.stands[HOLDERS] } else { Duration::ZERO };
                self.grantor = self.fresh_grantor(when);
            }
        }
        self.look()
    }

    fn send(&mut self, holder: usize, what: What) {
        self.progress += 1;
        if let What::Release = what {
            if let Some(lease) = self.leases[holder].take() {
                self.to_grantor.push(Message::Release(lease.release()));
            }
            return;
        }
        let request = Request::begin(&self.watch(holder)).expect("it can be read");
        let message = match (what, &self.leases[holder]) {
            (What::Acquire, _) => Message::Acquire(self.holders[holder].id(), request.id()),
            (_, Some(lease)) => Message::Renew(lease.token(), self.progress, request.id()),
            (_, None) => return,
        };
        self.requests[holder].entry(request.id()).or_insert((request, self.truth));
        self.last_request[holder] = Some(request);
        self.to_grantor.push(message);
    }

    fn arrive(&mut self, message: Message) -> TestCaseResult {
        let now = self.watch(HOLDERS).read();
        let before = (self.grantor.clone(), self.last_token());
        let grant = match message {
            Message::Acquire(holder, request) => self.grantor.acquire(now, holder, request),
            Message::Renew(token, progress, id) => self.grantor.renew(now, token, progress, id),
            Message::Release(token) => {
                // It may have come late, and then it changes nothing.
                let _ = self.grantor.release(token);
                return Ok(());
            }
        };
        match grant {
            Ok(grant) => {
                if matches!(message, Message::Acquire(..)) {
                    prop_assert!(grant.token > before.1, "{grant:?} after {}", before.1);
                }
                self.to_holders.push(grant);
            }
            Err(refusal) => prop_assert_eq!(&before.0, &self.grantor, "{}", refusal),
        }
        Ok(())
    }

    fn answer(&mut self, grant: DurationGrant) {
        let holder = grant.holder.0 as usize;
        let (mut request, sent) = self.requests[holder][&grant.answers];
        let mut grant = grant;
        match self.broken {
            Broken::HolderCountsFromTheAnswer => {
                request = Request::begin(&self.watch(holder)).expect("it can be read");
                grant.answers = request.id();
            }
            Broken::HolderTakesTheLastRequest => {
                request = self.last_request[holder].expect("it sent something");
                grant.answers = request.id();
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

    fn look(&self) -> TestCaseResult {
        let mut held = Vec::new();
        for (holder, lease) in self.leases.iter().enumerate() {
            let Some(lease) = lease else { continue };
            let perfect = Watch { error: Duration::ZERO, ..self.watch(holder) };
            if let Ok(says) = lease.check(&perfect) {
                held.push(holder);
                let within = self.truth + says.at_least() <= self.ends[holder];
                prop_assert!(within || self.broken != Broken::Nothing, "{says:?} is too long");
            }
            let none = Watch { stands: None, ..perfect };
            prop_assert_eq!(lease.check(&none), Err(DurationLost::NoClock));
        }
        prop_assert!(held.len() <= 1, "two holders: {held:?} at {:?}", self.truth);
        Ok(())
    }
}

/// One of the last few: messages that are much older change nothing any more.
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

fn first_failure(broken: Broken, words: &str, cases: u32) -> Option<String> {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    // A rule that is kept is put to other histories each time; one that is broken has to show.
    let mut runner = match broken {
        Broken::Nothing => TestRunner::new(config),
        _ => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&histories(), |(usual, steps)| {
        let mut world = World::new(broken, usual);
        match steps.iter().try_for_each(|step| world.step(step)) {
            // It shows in several ways; which of them comes first is chance.
            Err(TestCaseError::Fail(why)) if !why.message().contains(words) => Ok(()),
            other => other,
        }
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(why, _)) => Some(why.to_string()),
        Err(TestError::Abort(why)) => panic!("the test itself gave up: {why}"),
    }
}

#[test]
fn at_every_true_moment_at_most_one_holder_is_held() {
    assert_eq!(first_failure(Broken::Nothing, "", 1_500), None);
}

#[test]
fn each_rule_left_out_is_caught() {
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
        let stands = Duration::from_millis(ms);
        Some(Reading { earliest: stands, latest: stands })
    };
    let last = FencingToken(41);
    let started = now(1_000).expect("set");
    let refused = DurationGrantor::after_restart(Duration::ZERO, 200, last, started);
    assert_eq!(refused, Err(TermError::Zero));
    let mut grantor = DurationGrantor::after_restart(TERM, 200, last, started).expect("a term");
    let (holder, id) = (HolderId(1), RequestId(9));
    assert_eq!(grantor.acquire(None, holder, id), Err(Refusal::NoClock));
    let quiet = |micros| Err(Refusal::Quiet { retry_after: Duration::from_micros(micros) });
    assert_eq!(grantor.acquire(now(1_000), holder, id), quiet(100_020));
    assert_eq!(grantor.acquire(now(1_100), holder, id), quiet(20));
    let grant = grantor.acquire(now(1_101), holder, id).expect("the quiet term is over");
    let expected = DurationGrant { holder, answers: id, token: FencingToken(42), term: TERM };
    assert_eq!(grant, expected);
    // 100 ms, and 20 µs for 200 ppm of drift.
    assert!(grantor.acquire(now(1_201), HolderId(2), id).is_err());
    assert!(grantor.acquire(now(1_202), HolderId(2), id).is_ok());
}

#[test]
fn a_grant_is_taken_only_with_the_request_that_it_answers() {
    let watch = |ms| Watch { stands: Some(Duration::from_millis(ms)), error: ERROR, drift: 200 };
    let (first, second) = (Request::begin(&watch(10)), Request::begin(&watch(500)));
    let (first, second) = (first.expect("readable"), second.expect("readable"));
    let mut holder = Holder::new(HolderId(1));
    let (answers, token) = (first.id(), FencingToken(7));
    let grant = DurationGrant { holder: holder.id(), answers, token, term: TERM };
    assert_eq!(holder.accept_duration(second, &grant).err(), Some(AcceptError::OtherRequest));
    let lease = holder.accept_duration(first, &grant).expect("it answers the first");
    assert!(lease.check(&watch(50)).is_ok());
    let over = lease.check(&watch(200)).expect_err("100 ms have passed");
    assert!(matches!(over, DurationLost::Over { .. }));
    assert!(!lease.renewed(second, &grant), "a renewal is no exception");
}
