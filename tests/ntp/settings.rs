//! What the builder takes, and how the kernel stands beside the servers.

use std::time::Duration;

use crate::server::{Behaviour, Server};
use truechimer::source::ntp::{Ntp, NtpError};
use truechimer::{BuildError, Clock, ClockBuilder, RealtimeScale, Role, Smear};

/// What is wrong with these settings.
fn error(builder: ClockBuilder) -> NtpError {
    match builder.manual().build() {
        Err(BuildError::Ntp(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_setting_is_an_error_when_the_clock_is_built() {
    let builder = Clock::builder;
    let ms = Duration::from_millis;
    let three = || builder().ntp(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    let none: [&str; 0] = [];
    let cases = [
        (builder().ntp(none), NtpError::NoServer),
        (builder().ntp_trust_single(), NtpError::NoServer),
        (builder().ntp(["192.0.2.1"]), NtpError::TooFew(1)),
        (builder().ntp(["192.0.2.1"]).ntp(["192.0.2.2"]), NtpError::TooFew(2)),
        (builder().ntp(["192.0.2.1", "", "192.0.2.3"]), NtpError::Server(String::new())),
        (builder().ntp(["192.0.2.1:0"]).ntp_trust_single(), NtpError::Server("192.0.2.1:0".into())),
        (three().ntp(["192.0.2.1:123"]), NtpError::Twice("192.0.2.1:123".into())),
        (three().ntp_poll(ms(9)), NtpError::Poll(ms(9))),
        (three().ntp_poll(Duration::MAX), NtpError::Poll(Duration::MAX)),
        (
            builder().ntp_with(
                Ntp::new(["a"]).trust_single().server_on_scale("b", RealtimeScale::Unknown),
            ),
            NtpError::NotNamed("b".into()),
        ),
    ];
    for (builder, expected) in cases {
        assert_eq!(error(builder), expected);
    }
    assert_eq!(Ntp::new(["a", "b"]).check(), Err(NtpError::TooFew(2)));
    let smeared = Ntp::new(["a", "b", "c"]).smeared(Smear::Google).poll_forced(ms(100));
    assert_eq!(smeared.check(), Ok(()));
}

#[test]
fn the_kernel_is_a_cross_check_beside_servers_and_evidence_without() {
    let roles = |builder: ClockBuilder| -> Vec<(String, Role)> {
        let clock = builder.manual().build().expect("it builds");
        let sources = clock.report().sources;
        sources.into_iter().map(|source| (source.name, source.role)).collect()
    };
    let servers: Vec<Server> = (0..3).map(|_| Server::new(Behaviour::default())).collect();
    let names = || servers.iter().map(Server::name);
    let named = |name: &str, role| (name.to_owned(), role);
    let with_timesyncd = [named("kernel", Role::Evidence), named("timesyncd", Role::Evidence)];
    let count = if cfg!(target_os = "linux") { 2 } else { 1 };
    assert_eq!(roles(Clock::builder()), with_timesyncd[..count]);
    let without = Clock::builder().without_timesyncd();
    assert_eq!(roles(without), [named("kernel", Role::Evidence)]);
    assert_eq!(
        roles(Clock::builder().ntp(names())),
        [named("kernel", Role::CrossCheck), named("ntp", Role::Evidence)]
    );
    assert_eq!(
        roles(Clock::builder().without_kernel().ntp(names())),
        [named("ntp", Role::Evidence)]
    );
}

#[test]
fn the_daemons_servers_are_those_of_a_chronyd_and_without_one_the_reason_is_told() {
    let clock = Clock::builder().without_kernel().ntp_of_daemon().ntp_trust_single();
    let clock = clock.manual().build().expect("whether it runs shows later");
    crate::server::until("the reason", || {
        let _ = clock.refresh();
        let details = clock.report().sources[0].details.clone().unwrap_or_default();
        details.contains("chronyd")
    });
}
