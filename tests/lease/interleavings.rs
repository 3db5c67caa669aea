//! Leases in random histories, with a known true time.
//!
//! The world knows the true time. Each clock reading is an interval around it, randomly wide
//! and lopsided, or an error. The network delays, repeats, reorders and loses messages.
//! Grantors restart with their state, without it, or with an old one, and their term is
//! changed. After every step each holder checks its lease with a perfect clock, which is the
//! most permissive clock that keeps its promise:
//!
//! 1. At most one holder passes its check.
//! 2. A check never promises time beyond E.
//! 3. Tokens are strictly increasing, also across restarts.
//! 4. The fence admits a holder that passes its check, whatever the others did.
//! 5. No expiry moves backwards, and a refusal changes nothing.
//!
//! Each rule is also broken on purpose, and the test has to catch it.

use proptest::prelude::*;
use proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};
use std::time::Duration;

use truechimer::fence::{Fence, FencingToken};
use truechimer::lease::{Command, Decision, Grant, GrantError, Grantor, Holder, HolderId, Lease};
use truechimer::{ClockError, Interval, ManualClock, Timestamp};

const HOLDERS: usize = 3;
const TERM: i64 = 100_000;
/// How far a reading may extend to either side of the truth.
const ERROR: i64 = 30_000;

/// A rule that is broken on purpose, for the test to catch.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Broken {
    Nothing,
    GrantorUsesTheMidpoint,
    GrantorTreatsNoClockAsExpired,
    HolderUsesTheEarliest,
    HolderKeepsAReleasedLease,
    HolderAcceptsAGrantTwice,
    RestartIsNotQuiet,
    RestartIsQuietFromTheEarliest,
    RestartIsQuietForThePresentTerm,
    OldStateIsQuietForItsPresentTerm,
    TokensBeginAgain,
}

/// A clock with this reading, or with an error.
fn clock_with(reading: Option<Interval>) -> ManualClock {
    let clock = ManualClock::new(reading.unwrap_or(Interval::EVERYTHING));
    if reading.is_none() {
        clock.fail(ClockError::Contradicted);
    }
    clock
}

/// How far a reading extends to either side of the truth. `None` is an error of the clock.
type Reach = Option<(i64, i64)>;

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Ask {
        holder: usize,
        what: What,
        reach: Reach,
        lost: bool,
    },
    /// Delivers an earlier message again, or a lost one late.
    Repeat {
        which: prop::sample::Index,
        reach: Reach,
    },
    /// Stores the grantor's state, for a restart that finds it.
    Store,
    SetTerm(i64),
    Restart {
        finds: Finds,
        reach: (i64, i64),
    },
}

/// What a restarted grantor finds of its state.
#[derive(Clone, Copy, Debug)]
enum Finds {
    All,
    Stored,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Acquire,
    Renew,
    Release,
    Transfer(usize),
    Expire,
}

#[derive(Clone, Copy)]
enum Message {
    ToGrantor(Command),
    ToHolder(Grant),
}

struct World {
    broken: Broken,
    truth: i64,
    grantor: Grantor,
    stored: Grantor,
    /// The longest term so far, which an operator passes to a grantor without state.
    longest: Duration,
    granted_since_restart: u64,
    holders: Vec<Holder>,
    leases: Vec<Option<Lease>>,
    sent: Vec<Message>,
    newest: Option<FencingToken>,
    fence: Fence,
    progress: u64,
}

impl World {
    fn new(broken: Broken) -> World {
        let term = Duration::from_nanos(TERM as u64);
        let grantor = Grantor::durable(term).expect("a term");
        World {
            broken,
            truth: 1_000_000,
            stored: grantor.clone(),
            grantor,
            longest: term,
            granted_since_restart: 0,
            holders: (0..HOLDERS).map(|id| Holder::new(HolderId(id as u64))).collect(),
            leases: (0..HOLDERS).map(|_| None).collect(),
            sent: Vec::new(),
            newest: None,
            fence: Fence::new(),
            progress: 0,
        }
    }

    fn reading(&self, (before, after): (i64, i64)) -> Interval {
        let at = Timestamp::from_tai_nanos;
        Interval::new(at(self.truth - before), at(self.truth + after)).expect("around the truth")
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        // Every step takes some time.
        self.truth += 10;
        match *step {
            Step::Wait(nanos) => self.truth += nanos,
            Step::Ask { holder, what, reach, lost } => {
                if let Some(command) = self.command(holder, what) {
                    self.sent.push(Message::ToGrantor(command));
                    if !lost {
                        self.at_grantor(command, reach)?;
                    }
                }
            }
            Step::Repeat { ref which, reach } => {
                if !self.sent.is_empty() {
                    match self.sent[which.index(self.sent.len())] {
                        Message::ToGrantor(command) => self.at_grantor(command, reach)?,
                        Message::ToHolder(grant) => self.at_holder(grant),
                    }
                }
            }
            Step::Store => self.stored = self.grantor.clone(),
            Step::SetTerm(nanos) => self.set_term(Duration::from_nanos(nanos as u64)),
            Step::Restart { finds, reach } => self.restart(finds, reach),
        }
        self.check_promises()
    }

    fn command(&mut self, holder: usize, what: What) -> Option<Command> {
        self.progress += 1;
        Some(match what {
            What::Acquire => self.holders[holder].acquire(),
            What::Expire => Command::Expire,
            What::Renew => self.leases[holder].as_ref()?.renewal(self.progress),
            What::Release => self.end_lease(holder)?.release(&clock_with(None)).ok()?,
            What::Transfer(to) => {
                let to = HolderId(to as u64);
                self.end_lease(holder)?.transfer(&clock_with(None), to).ok()?
            }
        })
    }

    fn end_lease(&mut self, holder: usize) -> Option<Lease> {
        if self.broken == Broken::HolderKeepsAReleasedLease {
            let lease = self.leases[holder].as_ref()?;
            return Some(Lease::new(lease.token(), lease.expires()));
        }
        self.leases[holder].take()
    }

    fn at_grantor(&mut self, command: Command, reach: Reach) -> TestCaseResult {
        let now = match (reach.map(|reach| self.reading(reach)), self.broken) {
            (Some(now), Broken::GrantorUsesTheMidpoint) => Some(Interval::from(now.midpoint())),
            (None, Broken::GrantorTreatsNoClockAsExpired) => {
                Some(Interval::from(Timestamp::from_tai_nanos(self.truth + 2 * TERM)))
            }
            (now, _) => now,
        };
        let before = self.grantor.clone();
        let answer = self.grantor.decide(&clock_with(now), command);
        if before == self.grantor {
            // A repeat is answered like the first copy, and the answer is a message like another.
            if let Some(grant) = answer.ok().and_then(Decision::grant) {
                self.sent.push(Message::ToHolder(grant));
                self.at_holder(grant);
            }
            return Ok(());
        }
        let (mut grant, renewed) = match answer {
            Ok(Decision::Granted(grant) | Decision::Transferred(grant)) => (grant, false),
            Ok(Decision::Renewed(grant)) => (grant, true),
            Ok(_) => return Ok(()),
            Err(refusal) => {
                // A refusal may be remembered, but it changes nothing else.
                let of = |grantor: &Grantor| (grantor.current(), grantor.last_token());
                prop_assert_eq!(of(&before), of(&self.grantor), "{} changed the lease", refusal);
                if let Command::Acquire { holder, .. } = command {
                    let holder = &mut self.holders[holder.0 as usize];
                    holder.refused(&refusal);
                    if let GrantError::MayBeRepeated { .. } = refusal {
                        let again = holder.acquire();
                        self.sent.push(Message::ToGrantor(again));
                        return self.at_grantor(again, reach);
                    }
                }
                return Ok(());
            }
        };
        if !matches!(command, Command::Acquire { .. }) {
            let held = before.current().expect("there was one to renew or to transfer");
            prop_assert!(grant.expires >= held.expires, "{held:?} went back to {grant:?}");
            prop_assert_eq!(grant.token == held.token, renewed);
        }
        if !renewed {
            self.granted_since_restart += 1;
            if self.broken == Broken::TokensBeginAgain {
                grant.token = FencingToken(self.granted_since_restart);
            }
            let newest = self.newest.replace(grant.token);
            // Without the quiet term, tokens go back as well. But here two holders must show it.
            let is_checked = !matches!(
                self.broken,
                Broken::RestartIsNotQuiet
                    | Broken::RestartIsQuietForThePresentTerm
                    | Broken::OldStateIsQuietForItsPresentTerm
            );
            prop_assert!(
                newest < Some(grant.token) || !is_checked,
                "token {} after {newest:?}",
                grant.token
            );
        }
        self.sent.push(Message::ToHolder(grant));
        self.at_holder(grant);
        Ok(())
    }

    fn at_holder(&mut self, grant: Grant) {
        let holder = grant.holder.0 as usize;
        if let Some(lease) = self.leases[holder].as_ref().filter(|l| l.token() == grant.token) {
            let before = lease.expires();
            let moved = lease.renewed(&grant).is_ok();
            assert_eq!(lease.expires() > before, moved);
            assert!(lease.expires() >= before);
            return;
        }
        let lease = if self.broken == Broken::HolderAcceptsAGrantTwice {
            Some(Lease::new(grant.token, grant.expires))
        } else {
            self.holders[holder].accept(&grant).ok()
        };
        if lease.is_some() {
            self.leases[holder] = lease;
        }
    }

    fn set_term(&mut self, term: Duration) {
        self.grantor.set_term(term).expect("above zero");
        self.longest = self.longest.max(term);
        // As `set_term` demands: store the state before a grant is made under a longer term.
        if term > self.stored.longest_term() {
            self.stored = self.grantor.clone();
        }
    }

    fn restart(&mut self, finds: Finds, reach: (i64, i64)) {
        let (term, now) = (self.grantor.term(), self.reading(reach));
        let without = |term, now| Grantor::after_restart(term, &now).expect("a term");
        self.granted_since_restart = 0;
        self.grantor = match (finds, self.broken) {
            (Finds::All, _) => return,
            (Finds::Stored, Broken::OldStateIsQuietForItsPresentTerm) => {
                without(self.stored.term(), now)
            }
            (Finds::Stored, _) => self.stored.clone().after_lost_updates(&now),
            (Finds::Nothing, Broken::RestartIsNotQuiet) => Grantor::durable(term).expect("a term"),
            (Finds::Nothing, Broken::RestartIsQuietFromTheEarliest) => {
                without(self.longest, Interval::from(now.earliest()))
            }
            (Finds::Nothing, Broken::RestartIsQuietForThePresentTerm) => without(term, now),
            (Finds::Nothing, _) => without(self.longest, now),
        };
        if matches!(finds, Finds::Nothing) {
            // The stored state is lost, too, and the new term is the longest again.
            self.stored = self.grantor.clone();
        }
    }

    /// Checks what must hold at every moment.
    fn check_promises(&mut self) -> TestCaseResult {
        let truth = Timestamp::from_tai_nanos(self.truth);
        let now = match self.broken {
            Broken::HolderUsesTheEarliest => self.reading((ERROR, 0)).earliest(),
            _ => truth,
        };
        let clock = clock_with(Some(Interval::from(now)));
        let failed = clock_with(None);
        let mut held = Vec::new();
        for (id, lease) in self.leases.iter().enumerate() {
            let Some(lease) = lease else { continue };
            prop_assert!(lease.check(&failed).is_err(), "held without a clock");
            if let Ok(remaining) = lease.check(&clock) {
                held.push(id);
                let end = truth.saturating_add(remaining.at_least());
                let honest = self.broken != Broken::HolderUsesTheEarliest;
                prop_assert!(!honest || end <= lease.expires(), "{remaining:?} is beyond E");
            }
        }
        prop_assert!(held.len() <= 1, "two holders: {held:?} at {}", self.truth);
        // First the zombies write.
        for (id, lease) in self.leases.iter().enumerate() {
            let Some(lease) = lease.as_ref().filter(|_| !held.contains(&id)) else { continue };
            let _ = self.fence.admit(lease.token());
        }
        for id in held {
            let token = self.leases[id].as_ref().expect("held").token();
            // With a broken rule a false holder may be fenced out. The other checks must catch it.
            let admitted = self.fence.admit(token).is_ok() || self.broken != Broken::Nothing;
            prop_assert!(admitted, "holder {id} is fenced out with {token}");
        }
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reach = || (0..=ERROR, 0..=ERROR);
    let perhaps = move || prop_oneof![9 => reach().prop_map(Some), 1 => Just(None)];
    let what = prop_oneof![
        6 => Just(What::Acquire),
        3 => Just(What::Renew),
        2 => Just(What::Release),
        2 => (0..HOLDERS).prop_map(What::Transfer),
        1 => Just(What::Expire),
    ];
    let wait = prop_oneof![0..=ERROR, 0..=TERM, TERM - ERROR..=TERM + ERROR];
    let finds = prop_oneof![Just(Finds::All), Just(Finds::Stored), Just(Finds::Nothing)];
    let step = prop_oneof![
        4 => wait.prop_map(Step::Wait),
        8 => (0..HOLDERS, what, perhaps(), prop::bool::weighted(0.1))
            .prop_map(|(holder, what, reach, lost)| Step::Ask { holder, what, reach, lost }),
        2 => (any::<prop::sample::Index>(), perhaps())
            .prop_map(|(which, reach)| Step::Repeat { which, reach }),
        1 => (finds, reach()).prop_map(|(finds, reach)| Step::Restart { finds, reach }),
        1 => Just(Step::Store),
        1 => (TERM / 20..=TERM).prop_map(Step::SetTerm),
    ];
    prop::collection::vec(step, 1..60)
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
    let outcome = runner.run(&steps(), |steps| {
        let mut world = World::new(broken);
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
    assert_eq!(first_failure(Broken::Nothing, "", 4_000), None);
}

#[test]
fn each_broken_rule_is_caught() {
    let cases = [
        (Broken::GrantorUsesTheMidpoint, "two holders"),
        (Broken::GrantorTreatsNoClockAsExpired, "two holders"),
        (Broken::HolderUsesTheEarliest, "two holders"),
        (Broken::HolderKeepsAReleasedLease, "two holders"),
        (Broken::HolderAcceptsAGrantTwice, "two holders"),
        (Broken::RestartIsNotQuiet, "two holders"),
        (Broken::RestartIsQuietFromTheEarliest, "two holders"),
        (Broken::RestartIsQuietForThePresentTerm, "two holders"),
        (Broken::OldStateIsQuietForItsPresentTerm, "two holders"),
        (Broken::TokensBeginAgain, "token"),
    ];
    for (broken, expected) in cases {
        let found = first_failure(broken, expected, 50_000);
        assert!(found.is_some(), "{broken:?} was not caught with {expected}");
    }
}
