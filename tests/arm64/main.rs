//! The clock on a real arm64 kernel: the counter that it takes, and each reading's truth.
//!
//! The tests of this crate run on the machine at hand, which is usually not an arm64
//! one. So a guest is booted under qemu's emulator, with Debian's kernel. It counts one
//! nanosecond an instruction (`-icount`). Therefore reading the counter takes as long as
//! it does on a processor, and the crate, unmodified, takes `CNTVCT_EL0`. The
//! program inside (`program/main.rs`) holds every reading between two readings of true
//! time. True time is `CLOCK_MONOTONIC_RAW`, which the kernel computes from the same
//! counter, so an error in the counter's granularity would not be seen here.
//!
//! Two frequencies are tried: 24 MHz, as on many boards, where a tick is 41.7 ns, and
//! 1 GHz, which Armv8.6 prescribes. At 24 MHz the guest also runs `tests/readers.rs` as it is.
//!
//! ```text
//! apt-get update && tests/arm64/fetch.sh     # once, about 90 MB; it says what else is needed
//! TRUECHIMER_GUEST=1 cargo test --test arm64 -- --nocapture
//! ```
//!
//! Without the environment variable the guests are listed as ignored.

mod guest;
#[path = "../guest/initrd.rs"]
mod initrd;

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use guest::Ground;

/// Set to run the guests.
const ASK: &str = "TRUECHIMER_GUEST";

fn main() {
    let mut arguments = Arguments::from_args();
    let is_asked = std::env::var_os(ASK).is_some();
    if !is_asked {
        println!("arm64: ignored; to run the guests, set {ASK}=1");
    }
    // Each guest keeps one core busy.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let ground = Arc::new(Ground::find());
    let at = |name: &'static str, hertz: u64, with_readers: bool| {
        let ground = ground.clone();
        let run = move || match ground.as_ref() {
            Ok(ground) => every_reading_holds(ground, name, hertz, with_readers),
            Err(missing) => Err(Failed::from(missing)),
        };
        Trial::test(name, run).with_ignored_flag(!is_asked)
    };
    let trials = vec![
        at("every_reading_holds_at_24_mhz", 24_000_000, true),
        at("every_reading_holds_at_1_ghz", 1_000_000_000, false),
        Trial::test("a_bad_report_is_refused", a_bad_report_is_refused),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn every_reading_holds(
    ground: &Ground,
    name: &str,
    hertz: u64,
    with_readers: bool,
) -> Result<(), Failed> {
    let program = ground.program()?;
    let readers = if with_readers { Some(ground.readers()?) } else { None };
    let initrd = ground.initrd(&program, readers.as_deref())?;
    let lines = ground.run(name, hertz, &initrd)?;
    println!("{}", judge(&lines, hertz, with_readers)?);
    Ok(())
}

/// One line about a guest's report, or everything that is wrong with it.
fn judge(lines: &[String], hertz: u64, with_readers: bool) -> Result<String, Failed> {
    let value = |key: &str| {
        let of_key = |line: &String| Some(line.strip_prefix(key)?.trim().to_owned());
        lines.iter().find_map(of_key).unwrap_or_else(|| "missing".to_owned())
    };
    let hertz = hertz.to_string();
    let mut expected = vec![
        ("COUNTER ", "CNTVCT"),
        ("FREQUENCY ", &hertz),
        ("READINGS ", "2000000"),
        ("MISSES ", "0"),
        ("CONTRADICTIONS ", "0"),
        // The check itself has to see a source that is wrong.
        ("WRONG -3000 ", "seen"),
        ("WRONG 3000 ", "seen"),
        ("END", ""),
    ];
    if with_readers {
        expected.push(("READERS ", "passed"));
    }
    let found: Vec<_> =
        expected.into_iter().map(|(key, wanted)| (key, wanted, value(key))).collect();
    let wrong: Vec<_> = found.iter().filter(|(_, wanted, found)| found != wanted).collect();
    if !wrong.is_empty() {
        let wrong = wrong.iter().map(|(key, wanted, found)| {
            format!("{}: {found:?} where {wanted:?} was expected", key.trim())
        });
        let wrong: Vec<_> = wrong.collect();
        return Err(format!("{}\n{}", wrong.join("\n"), lines.join("\n")).into());
    }
    let mut line = format!(
        "{} at {hertz} Hz: {} readings, {} misses, least width {} ns",
        value("COUNTER "),
        value("READINGS "),
        value("MISSES "),
        value("WIDTH "),
    );
    if with_readers {
        line += "; tests/readers.rs passed";
    }
    Ok(line)
}

/// Each figure that may go wrong fails the judgement.
fn a_bad_report_is_refused() -> Result<(), Failed> {
    let good = "FREQUENCY 24000000\nCOUNTER CNTVCT\nREADINGS 2000000\nMISSES 0\nWIDTH 244\n\
                CONTRADICTIONS 0\nWRONG -3000 seen\nWRONG 3000 seen\nREADERS passed\nEND";
    let judged = |report: &str| {
        let lines: Vec<_> = report.lines().map(str::to_owned).collect();
        judge(&lines, 24_000_000, true)
    };
    judged(good)?;
    let spoilt = [
        ("CNTVCT", "CLOCK_MONOTONIC_RAW"),
        ("FREQUENCY 24000000", "FREQUENCY 25000000"),
        ("READINGS 2000000", "READINGS 0"),
        ("MISSES 0", "MISSES 1"),
        ("CONTRADICTIONS 0", "CONTRADICTIONS 1"),
        ("WRONG -3000 seen", "WRONG -3000 unseen"),
        ("WRONG 3000 seen", ""),
        ("READERS passed", "READERS failed"),
        ("END", ""),
    ];
    for (from, to) in spoilt {
        if judged(&good.replace(from, to)).is_ok() {
            return Err(format!("{to:?} in place of {from:?} passes").into());
        }
    }
    Ok(())
}
