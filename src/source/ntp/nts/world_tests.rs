//! Whole clocks whose server is asked with NTS, on loopback.

use std::thread;
use std::time::{Duration, Instant};

use super::fake::{AUTHORITY, EXPIRED, Manners, OF_STRANGER, SERVER, World};
use crate::clock::Clock;
use crate::source::ntp::Ntp;

const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that has nothing but this server.
fn clock_of(world: &World) -> Clock {
    let ntp = Ntp::nts([format!("localhost:{}", world.port)])
        .nts_authorities(AUTHORITY)
        .trust_single()
        .poll(Duration::from_millis(20));
    let builder = Clock::builder().without_kernel().without_chrony().manual();
    builder.ntp_with(ntp).build().expect("good settings")
}

fn said(clock: &Clock) -> String {
    clock.report().sources.iter().map(|source| format!("{source:?}")).collect()
}

/// Samples until this holds.
fn until(clock: &Clock, what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} never: {}", said(clock));
        let _ = clock.refresh();
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_honest_server_gives_time_and_cookies_for_as_long_as_it_is_asked() {
    let world = World::start(SERVER, Manners::Honest);
    let clock = clock_of(&world);
    until(&clock, "a reading", || clock.now().is_ok());
    until(&clock, "twenty requests", || world.requests() >= 20);
    assert_eq!(world.exchanges(), 1, "the server asserts that no cookie comes twice");
    let width = clock.now().expect("a reading").width();
    assert!(width < Duration::from_secs(1), "{width:?}");
}

#[test]
fn a_server_whose_replies_are_not_authentic_is_never_used() {
    let cases = [
        (Manners::Plain, "no unique identifier"),
        (Manners::Stripped, "no authenticator"),
        (Manners::Changed, "authenticator is wrong"),
    ];
    // Each of them waits for replies that do not come.
    let threads = cases.map(|(manners, why)| {
        thread::spawn(move || {
            let world = World::start(SERVER, manners);
            let clock = clock_of(&world);
            until(&clock, why, || said(&clock).contains(why));
            until(&clock, "more requests", || world.requests() >= 2);
            let _ = clock.refresh();
            assert!(clock.now().is_err(), "{manners:?}: {:?}", clock.now());
            world.be(Manners::Honest);
            until(&clock, "a reading after all", || clock.now().is_ok());
        })
    });
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn a_server_whose_certificate_is_wrong_is_not_asked_for_the_time() {
    for (certificate, why) in [(OF_STRANGER, "no authority"), (EXPIRED, "not valid now")] {
        let world = World::start(certificate, Manners::Honest);
        let clock = clock_of(&world);
        until(&clock, why, || said(&clock).contains(why));
        until(&clock, "a second try", || world.exchanges() >= 2);
        assert_eq!(world.requests(), 0);
        assert!(clock.now().is_err(), "{:?}", clock.now());
    }
}

#[test]
fn a_server_that_has_forgotten_its_cookies_gives_new_ones() {
    let world = World::start(SERVER, Manners::Honest);
    let clock = clock_of(&world);
    until(&clock, "a reading", || clock.now().is_ok());
    world.be(Manners::Forgetful);
    until(&clock, "new keys", || world.exchanges() >= 2);
    let so_far = world.requests();
    until(&clock, "answers", || world.requests() >= so_far + 3);
    assert!(clock.now().is_ok(), "and what was known before still holds");
}
