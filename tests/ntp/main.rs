//! The NTP client on the loopback, with servers whose true time is known.
//!
//! True time is the raw clock, which the client's own counter is measured against, so A2 holds.
//! Nothing here depends on how long something takes, only on what follows: a test waits for what it
//! needs to see. What needs real time (polls of minutes, servers that are silent for hours) is
//! tested in the state machine, by the unit tests of `source::ntp`, and in the simulated world.
#![cfg(target_os = "linux")]

mod forks;
mod server;
mod settings;

use std::time::Duration;

use server::{Behaviour, Server, check, until};
use truechimer::source::ntp::Ntp;
use truechimer::source::ntp::packet::Header;
use truechimer::{Clock, ClockError, NtpTime, Reason, Status};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock on these servers alone, which are asked in quick succession.
fn clock(servers: &[Server]) -> Clock {
    let ntp = Ntp::new(servers.iter().map(Server::name)).poll(20 * MS).trust_single();
    Clock::builder()
        .without_kernel()
        .poll_interval(5 * MS)
        .ntp_with(ntp)
        .build()
        .expect("it builds")
}

/// What the source tells of itself; nothing before the clock's first round.
fn details(clock: &Clock) -> String {
    let sources = clock.report().sources;
    sources.first().and_then(|source| source.details.clone()).unwrap_or_default()
}

fn honest(count: usize) -> Vec<Server> {
    (0..count).map(|_| Server::new(Behaviour::default())).collect()
}

/// Waits until the servers have been asked this often from now on.
fn exchanges(servers: &[Server], count: usize) {
    let before: Vec<usize> = servers.iter().map(Server::requests).collect();
    until("further exchanges", || {
        servers.iter().zip(&before).all(|(server, before)| server.requests() >= before + count)
    });
}

#[test]
fn three_honest_servers_give_an_interval_that_holds_the_truth() {
    let servers = honest(3);
    let clock = clock(&servers);
    clock.wait_synchronized(PATIENCE).expect("they answer");
    until("all three agree", || details(&clock).starts_with("3 of 3 servers agree"));
    for _ in 0..200 {
        assert!(check(&clock).width() >= MS, "twice what the servers state");
    }
    assert_eq!(clock.status(), Status::Synchronized);
    assert_eq!(clock.report().contradictions, 0);
}

#[test]
fn a_server_that_is_a_second_off_is_outvoted_and_named() {
    let servers = honest(2);
    let liar = Server::new(Behaviour { off_ns: 1_000_000_000, ..Behaviour::default() });
    let name = liar.name();
    let all: Vec<Server> = servers.into_iter().chain([liar]).collect();
    let clock = clock(&all);
    clock.wait_synchronized(PATIENCE).expect("two agree");
    until("the liar is named", || details(&clock).contains(&format!("falseticker: {name}")));
    for _ in 0..200 {
        check(&clock);
    }
    assert_eq!(clock.report().contradictions, 0);
}

#[test]
fn of_two_servers_that_disagree_none_is_believed() {
    let servers = honest(1);
    let liar = Server::new(Behaviour { off_ns: -1_000_000_000, ..Behaviour::default() });
    let all: Vec<Server> = servers.into_iter().chain([liar]).collect();
    let clock = clock(&all);
    let disagree = Err(ClockError::Unsynchronized(Reason::ServersDisagree));
    until("both have answered", || clock.now() == disagree);
    exchanges(&all, 3);
    assert_eq!(clock.now(), disagree);
}

/// One way takes 10 ms and the other next to nothing. Half of the round trip would be wrong by 5 ms.
#[test]
fn a_way_that_is_10_ms_longer_in_one_direction_makes_no_reading_wrong() {
    for (there, back) in [(10 * MS, Duration::ZERO), (Duration::ZERO, 10 * MS)] {
        let behaviour = Behaviour { there, back, states: MS / 10, ..Behaviour::default() };
        let servers = [Server::new(behaviour)];
        let clock = clock(&servers);
        clock.wait_synchronized(PATIENCE).expect("it answers");
        for _ in 0..5 {
            exchanges(&servers, 1);
            assert!(check(&clock).width() >= 10 * MS);
        }
        assert_eq!(clock.report().contradictions, 0);
    }
}

#[test]
fn a_server_that_is_stepped_is_a_contradiction_and_both_sides_are_covered() {
    let servers = honest(1);
    let clock = clock(&servers);
    clock.wait_synchronized(PATIENCE).expect("it answers");
    let epoch = clock.epoch();
    servers[0].change(|server| server.off_ns = 400_000_000);
    until("the contradiction", || clock.status() == Status::Contradicted);
    assert!(check(&clock).width() > 390 * MS);
    assert!(clock.epoch() > epoch);
    until("it is told", || details(&clock).contains("stepped"));
}

#[test]
fn readings_go_on_while_servers_are_silent_and_after_they_are_started_again() {
    let mut servers = honest(3);
    let clock = clock(&servers);
    clock.wait_synchronized(PATIENCE).expect("they answer");
    for server in &servers {
        server.change(|server| server.is_silent = true);
    }
    exchanges(&servers, 1);
    check(&clock);
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    servers.clear();
    check(&clock);
    let servers: Vec<Server> =
        addresses.into_iter().map(|at| Server::at(at, Behaviour::default())).collect();
    exchanges(&servers, 2);
    check(&clock);
    assert_eq!(clock.report().contradictions, 0);
}

#[test]
fn old_replies_that_are_repeated_change_nothing() {
    let servers = [Server::new(Behaviour { repeats: true, ..Behaviour::default() })];
    let clock = clock(&servers);
    clock.wait_synchronized(PATIENCE).expect("it answers");
    exchanges(&servers, 5);
    check(&clock);
    assert_eq!(clock.report().contradictions, 0);
    let bits: std::collections::BTreeSet<Vec<u8>> = servers[0].packets().into_iter().collect();
    assert_eq!(bits.len(), servers[0].packets().len(), "each request has bits of its own");
    let first = &servers[0].packets()[0];
    assert_eq!(first.len(), 48);
    assert!(first[4..40].iter().all(|&byte| byte == 0), "a request tells nothing else");
}

#[test]
fn an_answer_from_another_address_is_none() {
    let elsewhere = Behaviour { answers_from_elsewhere: true, ..Behaviour::default() };
    let servers = [Server::new(elsewhere)];
    let clock = clock(&servers);
    exchanges(&servers, 2);
    assert_eq!(clock.now(), Err(ClockError::Unsynchronized(Reason::ServersSilent)));
    servers[0].change(|server| server.answers_from_elsewhere = false);
    clock.wait_synchronized(PATIENCE).expect("it answers");
    check(&clock);
}

#[test]
fn what_is_refused_is_told_with_its_reason() {
    type Tampers = fn(&mut Header);
    let cases: [(Tampers, &str); 9] = [
        (|reply| reply.leap = 3, "not synchronised"),
        (|reply| reply.stratum = 16, "stratum is 16"),
        (|reply| reply.mode = 5, "mode 5"),
        (|reply| reply.version = 3, "version 3"),
        (|reply| (reply.stratum, reply.reference_id) = (1, *b"LOCL"), "own clock (LOCL)"),
        (|reply| reply.reference_id = [127, 127, 1, 1], "own clock (127.127.1.x)"),
        (|reply| reply.transmit = NtpTime::from_bits(0), "no time in it"),
        (|reply| std::mem::swap(&mut reply.receive, &mut reply.transmit), "before the request"),
        (|reply| reply.root_dispersion = 70_000, "more than 1 s"),
    ];
    for (tampers, reason) in cases {
        let servers = [Server::new(Behaviour { tampers, ..Behaviour::default() })];
        let clock = clock(&servers);
        until(reason, || details(&clock).contains(reason));
        assert!(clock.now().is_err(), "{reason}");
        assert!(clock.report().sources[0].to_string().contains(reason), "{reason}");
    }
    // Kept for longer than it was away.
    fn holds(reply: &mut Header) {
        reply.transmit = NtpTime::from_bits(reply.receive.to_bits() + (1 << 33));
    }
    let servers = [Server::new(Behaviour { tampers: holds, ..Behaviour::default() })];
    let clock = clock(&servers);
    until("it is told", || details(&clock).contains("kept the request for"));
    assert!(clock.now().is_err());
}

#[test]
fn a_kiss_of_death_is_obeyed_if_it_is_the_servers() {
    let kiss = |code: &[u8; 4], is_forged| Behaviour {
        kiss: Some((*code, is_forged)),
        ..Behaviour::default()
    };
    let denying = [Server::new(kiss(b"DENY", false))];
    let denied = clock(&denying);
    until("the kiss is told", || details(&denied).contains("not asked any more"));
    assert_eq!(denying[0].requests(), 1, "one request, and no second");

    let slowing = [Server::new(kiss(b"RATE", false))];
    let slowed = clock(&slowing);
    until("the kiss is told", || details(&slowed).contains("RATE"));

    // Anybody can send one with other bits: it stops nobody.
    let forged = [Server::new(kiss(b"DENY", true))];
    let clock = clock(&forged);
    exchanges(&forged, 2);
    forged[0].change(|server| server.kiss = None);
    clock.wait_synchronized(PATIENCE).expect("it answers");
    check(&clock);
    // All the while the other was not asked again.
    assert_eq!(denying[0].requests(), 1);
}

#[test]
fn a_closed_port_is_told_and_a_clock_that_is_dropped_asks_no_more() {
    let gone = Server::new(Behaviour::default()).name();
    let ntp = Ntp::new([gone]).poll(20 * MS).trust_single();
    let closed = Clock::builder().without_kernel().poll_interval(5 * MS).ntp_with(ntp);
    let closed = closed.build().expect("it builds");
    until("it is told", || details(&closed).contains("no program listens"));

    let servers = honest(1);
    let clock = clock(&servers);
    exchanges(&servers, 3);
    drop(clock);
    // The thread may be in the middle of one exchange.
    let last = servers[0].requests() + 1;
    std::thread::sleep(300 * MS);
    assert!(servers[0].requests() <= last, "{} requests", servers[0].requests());
}

#[test]
fn after_the_evidence_is_void_the_servers_are_asked_again() {
    let servers = honest(1);
    let clock = clock(&servers);
    clock.wait_synchronized(PATIENCE).expect("it answers");
    let epoch = clock.epoch();
    clock.restored().ok();
    assert!(clock.epoch() > epoch);
    clock.wait_synchronized(PATIENCE).expect("it answers again");
    check(&clock);
}
