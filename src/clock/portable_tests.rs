//! The clock on a system of which std shows a wall clock and a monotonic clock, and nothing
//! else is known: macOS, the BSDs, Windows.

use std::time::Duration;

use crate::clock::core::{ClockCore, Parts};
use crate::clock::driver::SourceKind;
use crate::clock::rig::{evidence, parts, utc};
use crate::evidence::Reason;
use crate::host::portable::System;
use crate::host::scripted::ScriptedHost;
use crate::host::{Host, HostClock};
use crate::interval::Interval;
use crate::snapshot::{ClockError, Status};
use crate::source::assume::Assumed;
use crate::source::daemons::HostDaemons;
use crate::source::kernel::Kernel;
use crate::timestamp::Timestamp;

const SECOND: i64 = 1_000_000_000;
const ERROR: Duration = Duration::from_millis(5);

/// A clock with the default sources, as its builder makes it.
fn core<H: Host + Clone>(host: &H, assume_error: Option<Duration>) -> ClockCore<H> {
    let wall_clock = utc();
    let operator = assume_error
        .map(|error| SourceKind::Operator(Box::new(Assumed::new(error, wall_clock.clone()))));
    let kernel = Kernel::of(wall_clock.clone(), Box::new(HostDaemons::default())).with_chrony();
    let sources = operator.into_iter().chain([evidence(kernel)]).collect();
    let parts = Parts { wall_clock, ..parts(sources) };
    ClockCore::new(host.clone(), parts).expect("the monotonic clock can always be had")
}

/// What the wall clock shows, in TAI.
fn wall(host: &impl Host) -> Timestamp {
    let unix = host.nanos(HostClock::Realtime).expect("readable");
    Timestamp::from_tai_nanos(unix + 37 * SECOND)
}

/// Reads a clock whose wall clock is right, and checks it.
fn check<H: Host + Clone>(core: &ClockCore<H>, host: &H) -> Interval {
    let before = wall(host);
    let now = core.now().expect("the operator's statement holds");
    let after = wall(host);
    assert!(now.earliest() <= after && before <= now.latest(), "{now} at {before}");
    now
}

#[test]
fn without_evidence_reading_is_an_error_whose_remedy_is_possible_there() {
    let host = ScriptedHost::with_two_clocks();
    let core = core(&host, None);
    assert!(core.round());
    let error = core.now().expect_err("nothing states a bound");
    assert_eq!(error, ClockError::Unsynchronized(Reason::Unsupported));
    assert!(error.to_string().contains("assume_error"), "{error}");
    assert!(!error.to_string().contains("chronyd"), "{error}");
}

#[test]
fn the_operators_statement_holds_while_the_wall_clock_is_slewed() {
    let host = ScriptedHost::with_two_clocks();
    let core = core(&host, Some(ERROR));
    for round in 0..1_000 {
        assert!(core.round());
        assert_eq!(core.status(), Status::Assumed);
        assert!(check(&core, &host).width() <= 3 * ERROR);
        host.pass(SECOND / 10);
        // A daemon keeps it within 1 ms, by slews of 500 ppm.
        host.step(if round / 20 % 2 == 0 { 50_000 } else { -50_000 });
    }
}

#[test]
fn a_step_or_a_suspend_ends_the_statement_until_it_is_made_again() {
    type Happens = fn(&ScriptedHost);
    let cases: [(&str, Happens, Result<Status, Reason>); 3] = [
        // What is known from before a step back holds on, because the counter counted.
        ("a step back", |host| host.step(-5 * SECOND), Ok(Status::Holdover)),
        // After the others the counter may have stood still.
        ("a step forwards", |host| host.step(5 * SECOND), Err(Reason::Suspended)),
        ("a suspend", |host| host.suspend(5 * SECOND), Err(Reason::Suspended)),
    ];
    for (what, happens, expected) in cases {
        let host = ScriptedHost::with_two_clocks();
        let core = core(&host, Some(ERROR));
        core.round();
        let before = check(&core, &host);
        happens(&host);
        core.round();
        match expected {
            Ok(status) => assert_eq!(core.status(), status, "{what}"),
            Err(_) => assert!(core.now().is_err(), "{what}: {:?}", core.now()),
        }
        core.reassume();
        assert_eq!(core.status(), Status::Assumed, "{what}");
        let now = check(&core, &host);
        assert_eq!(now.definitely_after(&before), expected.is_err(), "{what}: {now}");
    }
}

#[test]
fn it_works_on_the_clocks_of_this_machine() {
    let host = System;
    let core = core(&host, Some(ERROR));
    assert!(core.round());
    let before = check(&core, &host);
    assert!(core.round());
    assert!(check(&core, &host).latest() > before.earliest());
}
