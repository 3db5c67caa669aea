//! Authenticated NTP against the servers that people run: chronyd, ntpsec and ntpd-rs.
//!
//! ```text
//! tests/nts/fetch.sh                          # once, about 25 MB
//! TRUECHIMER_NTS=1 cargo test --features nts --test nts
//! ```
//!
//! Without the variable everything here is listed as ignored; the unit tests of `source::ntp::nts`
//! have a server of their own, which does what no real one would. The real ones run on
//! the loopback of a network namespace, where ports 123 and 4460 are free. They follow a chronyd
//! that has this host's clock for its own, so that clock is the truth.

#![cfg(target_os = "linux")]

mod servers;

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use truechimer::{Clock, ClockBuilder, LeapTable, Status, UnixTime};

use servers::{ASK, Ground, certificates};

const PATIENCE: Duration = Duration::from_secs(20);

type Test = fn(&Ground) -> Result<(), Failed>;

const TESTS: [(&str, Test); 6] = [
    ("chronyd_gives_authenticated_time", |ground| {
        let _server = ground.chronyd_with_nts(&ground.folder("chronyd")?)?;
        gives_time()
    }),
    ("ntpsec_answers_authentically", ntpsec),
    ("ntpd_rs_gives_authenticated_time", |ground| {
        let _server = ground.ntpd_rs()?;
        gives_time()
    }),
    ("a_server_of_another_authority_gives_none", another_authority),
    ("a_server_that_has_forgotten_its_keys_gives_new_ones", forgotten_keys),
    ("a_server_without_nts_gives_none", without_nts),
];

fn main() {
    let mut arguments = Arguments::from_args();
    // All of them use the same ports.
    arguments.test_threads = Some(1);
    if std::env::var_os(ASK).is_none() || arguments.list {
        let ignored = || Ok(Completion::ignored_with(format!("set {ASK}=1")));
        let trials = TESTS.map(|(name, _)| Trial::ignorable_test(name, ignored));
        libtest_mimic::run(&arguments, trials.into()).exit();
    }
    let ground = Ground::find().and_then(|ground| {
        servers::enter_namespace()
            .map_err(|error| format!("user and network namespaces are needed: {error}"))?;
        let above = ground.above().map_err(|error| error.to_string())?;
        Ok((ground, above))
    });
    let ground = Arc::new(ground);
    let trials = TESTS.map(|(name, test)| {
        let ground = ground.clone();
        Trial::test(name, move || match ground.as_ref() {
            Ok((ground, _)) => test(ground),
            Err(missing) => Err(missing.into()),
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    // `exit` would leave the server running.
    drop(ground);
    conclusion.exit();
}

/// A clock with the one server, whose name is to be certified by this authority.
fn clock_of(authority: &str) -> Result<ClockBuilder, Failed> {
    let authority = fs::read(certificates().join(authority))?;
    Ok(Clock::builder()
        .without_kernel()
        .without_chrony()
        .poll_interval(Duration::from_millis(20))
        .ntp_nts(["localhost"])
        .ntp_nts_authorities(authority)
        .ntp_trust_single())
}

/// What this host's clock shows, as TAI.
fn truth() -> Result<truechimer::Interval, Failed> {
    let shown = UnixTime::try_from(SystemTime::now())?;
    Ok(LeapTable::builtin().unix_to_interval(shown.into())?)
}

fn holds(what: &str, is_so: bool) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(what.into()) }
}

/// Reads the clock for some seconds, which is long enough for cookies to come with the replies:
/// the key exchange gave eight, and the server is asked each second.
fn gives_time() -> Result<(), Failed> {
    let clock = clock_of("authority.pem")?.build()?;
    let first = clock.wait_synchronized(PATIENCE);
    let first = first.map_err(|error| format!("{error}: {:?}", clock.report().sources))?;
    println!("  {} wide: {first}", nanos(first.width()));
    let began = Instant::now();
    let mut readings = 0;
    while began.elapsed() < Duration::from_secs(11) {
        let before = truth()?;
        let now = clock.now()?;
        let after = truth()?;
        holds("the truth is missed", now.earliest() <= after.latest())?;
        holds("the truth is missed", now.latest() >= before.earliest())?;
        holds("a reading is wide", now.width() < Duration::from_secs(1))?;
        readings += 1;
        thread::sleep(Duration::from_millis(5));
    }
    holds("it goes on", clock.status() == Status::Synchronized)?;
    let report = clock.report();
    holds("no contradiction", report.contradictions == 0)?;
    println!("  {readings} readings, the last {} wide", nanos(clock.now()?.width()));
    Ok(())
}

fn nanos(width: Duration) -> String {
    format!("{} ns", width.as_nanos())
}

/// What the report says of the NTP source.
fn said(clock: &Clock) -> String {
    clock.report().sources.iter().map(|source| format!("{source:?}")).collect()
}

/// Waits until the report has one of these words.
fn until_said(clock: &Clock, words: &[&str]) -> Result<(), Failed> {
    let began = Instant::now();
    loop {
        let said = said(clock);
        if words.iter().any(|word| said.contains(word)) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{words:?} was never said: {said}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Without a clock to steer, ntpsec stays unsynchronised. Its replies are refused for that reason,
/// which is looked at only in a reply that is authentic.
fn ntpsec(ground: &Ground) -> Result<(), Failed> {
    let _server = ground.ntpsec()?;
    let clock = clock_of("authority.pem")?.build()?;
    until_said(&clock, &["not synchronised", "the server's stratum is", "(INIT)"])?;
    holds("there is no reading", clock.now().is_err())
}

fn another_authority(ground: &Ground) -> Result<(), Failed> {
    let _server = ground.chronyd_with_nts(&ground.folder("chronyd")?)?;
    let clock = clock_of("stranger.pem")?.build()?;
    until_said(&clock, &["no authority that is trusted here"])?;
    holds("there is no reading", clock.now().is_err())
}

/// A server that was started again has other keys, and says NTSN to the old cookies.
fn forgotten_keys(ground: &Ground) -> Result<(), Failed> {
    let at = ground.folder("chronyd")?;
    let server = ground.chronyd_with_nts(&at)?;
    let clock = clock_of("authority.pem")?.build()?;
    clock.wait_synchronized(PATIENCE)?;
    drop(server);
    let _server = ground.chronyd_with_nts(&at)?;
    until_said(&clock, &["NTSN"])?;
    let began = Instant::now();
    let mut width = clock.now()?.width();
    // Only a new exchange makes a reading narrower than the one before.
    loop {
        thread::sleep(Duration::from_millis(5));
        let next = clock.now()?.width();
        if next < width && !said(&clock).contains("NTSN") {
            return Ok(());
        }
        holds("new keys come", began.elapsed() < PATIENCE)?;
        width = next;
    }
}

/// A server that answers plain NTP alone is not used without NTS.
fn without_nts(ground: &Ground) -> Result<(), Failed> {
    let at = ground.folder("plain")?;
    let _server = ground.chronyd_plain(&at)?;
    let clock = clock_of("authority.pem")?.build()?;
    until_said(&clock, &["cannot be reached"])?;
    holds("there is no reading", clock.now().is_err())
}
