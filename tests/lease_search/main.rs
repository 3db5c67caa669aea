//! Every history of a small world of leases: two holders that take commit stamps, a grantor that
//! restarts, a network that repeats and delays, and every honest reading of every clock.
//!
//! # What is searched
//!
//! The state machine is the shipping code: [`Grantor::apply`], `Holder`, `Lease`, `Hlc` and `Fence`.
//! A driver around it (`world.rs`) knows the true time, an integer on a small grid, and decides
//! what happens next. It tries everything:
//!
//! - A holder asks, renews, releases, transfers, drops its lease, takes a commit stamp, shows a
//!   commit, or writes under a token that may be stale.
//! - The network delivers any command or answer that was ever sent, at any time later, again and
//!   again, or never. So it delays, reorders, repeats and loses.
//! - The grantor restarts without its state, or with an old one. A restart with the last state
//!   is no step of its own here: `lease_stored` reads a state back, and the crashes of
//!   `DurableGrantor` do it on a disk.
//! - At each reading of a clock `earliest` is any grid point from `error` before true time up to
//!   it, and `latest` any from true time on. Two readings in a row need not be alike.
//!
//! The search (`search.rs`) is breadth first, with a set of all states. It ends when no state is
//! new, so a promise that it does not see broken is kept in each history of that world; and the
//! counterexample to a broken rule is as short as can be.
//!
//! # What is promised
//!
//! 1. At no moment of true time two holders believe that they hold the lease.
//! 2. The commit stamps of a later lease are above those of an earlier one, and each stamp is above
//!    every commit that had been shown. Each lies below its lease's end.
//! 3. Tokens rise, also across restarts. The fence refuses a token after a larger one, and admits
//!    whoever holds the lease.
//! 4. A repeat of a command gets the same decision. After lost state it may be refused, but what
//!    was granted is not granted again.
//!
//! # Why fewer states suffice
//!
//! - **The nodes are alike** until one has asked, so A asks first. Every history in which B does is
//!   one of these with the names exchanged, and the grantor only compares names. (In a world with restarts
//!   they are not alike: A asks once, B may ask twice, and A first. That makes the world smaller.)
//! - **What has passed is forgotten.** A stamp of a lease is forgotten when every honest `earliest`
//!   is beyond it: the lease can be handed over, as one without a stamp. Every later stamp is at or
//!   above true time, so how far an old one lies below true time decides nothing, and of all
//!   tokens with passed stamps only the newest one matters.
//! - **Ends that are not used do not vary.** `Hlc::commit_stamp` uses only `latest`; releasing,
//!   transferring and granting use only `earliest` (`latest` is in the hint `retry_after` alone).
//!   The worlds with `both_ends` vary both. They have no hand-over, renewal or restart.
//! - **A holder that crashes** is one that does nothing more, so it needs no step of its own unless
//!   it asks again.
//!
//! Time is not counted from the present, though that would make many states one: tokens are
//! numbered by the clock, so a moved history has other tokens. So true time begins at one place
//! and ends after some ticks.
//!
//! One assumption had to be built in, and it is one that the crate states: a grant takes more than
//! a nanosecond. Actions take no time here, so tokens can run ahead of true time when the lease is
//! transferred within a tick. A restart without state then waits until true time has caught up.
//!
//! # How it is known to see anything
//!
//! Each [`Fault`] breaks one rule around the shipping code, and the search has to break the promise
//! that the rule is for. `cargo test --test lease_search -- --nocapture` prints how many states there
//! are, and the shortest history to each broken promise. With the environment variable
//! `TRUECHIMER_LEASE_SEARCH` set to a number, true time goes on for as many ticks more.

mod fault;
mod node;
mod search;
mod world;

use fault::Fault;
use search::search;
use world::Size;

const ONE_HOLDER: &str = "at each moment there is at most one holder";
const STAMP_ORDER: &str = "commit stamps are in the order of the leases";
const BELOW_END: &str = "stamps lie below the lease's end";
const TOKENS_RISE: &str = "tokens rise";
const FENCE: &str = "no stale token passes the fence";
const SAME_DECISION: &str = "a repeat gets the same decision";

/// Leases that are granted and expire.
const PLAIN: Size = Size {
    ticks: 3,
    error: 1,
    term: 2,
    requests: 1,
    commands: 0,
    transfers: 0,
    stamps: 0,
    restarts: 0,
    writes: false,
    both_ends: false,
};
const STAMPS: Size = Size { stamps: 1, ..PLAIN };
const RELEASES: Size = Size { commands: 1, ..STAMPS };
const TRANSFERS: Size = Size { transfers: 1, ..RELEASES };
const RENEWALS: Size = Size { commands: 2, ticks: 2, ..PLAIN };
const REPEATS: Size = Size { requests: 2, commands: 1, ticks: 0, error: 0, ..PLAIN };
const WRITES: Size = Size { writes: true, commands: 1, ..PLAIN };
/// A grantor without its state refuses each holder once, so B asks twice.
const RESTARTS: Size = Size { requests: 2, term: 1, ticks: 2, restarts: 1, ..PLAIN };
/// So long a term that a lease is held while time goes on, and so large an error that a rule which
/// is wrong by one tick is not hidden by the strict comparisons.
const HELD: Size = Size { error: 2, term: 2, ticks: 1, ..RESTARTS };

#[test]
fn no_history_of_a_small_world_breaks_a_promise() {
    let more = std::env::var("TRUECHIMER_LEASE_SEARCH").ok().and_then(|text| text.parse().ok());
    let worlds = [
        ("stamps, with both ends of all readings", Size { both_ends: true, ..STAMPS }),
        ("releases", RELEASES),
        ("releases and transfers", TRANSFERS),
        ("renewals", RENEWALS),
        ("repeats of many commands", REPEATS),
        ("late writes", WRITES),
        ("restarts with an old state", Size { requests: 1, ..RESTARTS }),
        ("restarts", Size { error: 0, ..RESTARTS }),
        ("restarts with wide readings", Size { error: 1, ticks: 1, ..RESTARTS }),
    ];
    let mut all = 0;
    for (name, size) in worlds {
        let size = Size { ticks: size.ticks + more.unwrap_or(0), ..size };
        let found = search(size, Fault::Nothing, "");
        let (states, steps, depth, took) = (found.states, found.steps, found.depth, found.took);
        println!("{name}: {states} states, {steps} steps, depth {depth}, {took:.1?}");
        if let Some(found) = found.counterexample {
            panic!("{name}: {}\n{}", found.broken, found.timeline.join("\n"));
        }
        all += states;
    }
    println!("{all} states in all, and every promise is kept in each of them");
}

#[test]
fn each_broken_rule_has_a_shortest_counterexample() {
    let cases = [
        (Fault::NoQuietTerm, HELD, ONE_HOLDER),
        (Fault::OldStateTakenAsTheLast, Size { requests: 1, ..RESTARTS }, SAME_DECISION),
        (Fault::TokensBeginAgain, RESTARTS, TOKENS_RISE),
        (Fault::GrantorUsesTheMidpoint, Size { error: 2, ..PLAIN }, ONE_HOLDER),
        (Fault::HolderUsesTheMidpoint, Size { error: 3, ..PLAIN }, ONE_HOLDER),
        (Fault::HandOverWithoutTheWait, RELEASES, STAMP_ORDER),
        (Fault::HandOverWithoutTheWait, TRANSFERS, STAMP_ORDER),
        (Fault::ReleaseKeepsTheLease, RELEASES, ONE_HOLDER),
        (Fault::StampBeyondTheLease, STAMPS, BELOW_END),
        (Fault::RenewalIgnoresTheToken, Size { both_ends: true, ..RENEWALS }, ONE_HOLDER),
        (Fault::RepeatsAreAppliedAgain, REPEATS, SAME_DECISION),
        (Fault::GrantAcceptedTwice, Size { commands: 1, ..PLAIN }, ONE_HOLDER),
        (Fault::FenceForgets, WRITES, FENCE),
        (Fault::QuietFromTheEarliest, HELD, ONE_HOLDER),
    ];
    let mut missed = Vec::new();
    for (fault, size, promise) in cases {
        let found = search(size, fault, promise);
        println!("\n{fault:?} ({} states were seen in {:.1?})", found.states, found.took);
        match found.counterexample {
            Some(found) => println!("{}\nBroken: {}", found.timeline.join("\n"), found.broken),
            None => missed.push((fault, promise)),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
