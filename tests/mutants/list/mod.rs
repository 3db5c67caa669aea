//! The list, by the part of the crate that is broken.
//!
//! Within a part the order is that of the design's rules. A mutant changes as little as it can,
//! and names the fewest tests that see it, because each one costs a build and their time.

mod agreement;
mod clock;
mod devices;
mod estimator;
mod fence;
mod fork;
mod hlc;
mod lease;
mod ntp;
mod nts;
mod reading;
mod rounding;
mod scale;
mod source;
mod steering;
mod store;
mod timeout;
mod timesyncd;
mod vmclock;
mod wait;
mod writer;

use crate::mutant::Mutant;

/// Every mutant there is, by its part.
const PARTS: &[(&str, &[Mutant])] = &[
    ("rounding", rounding::MUTANTS),
    ("reading", reading::MUTANTS),
    ("clock", clock::MUTANTS),
    ("estimator", estimator::MUTANTS),
    ("source", source::MUTANTS),
    ("ntp", ntp::MUTANTS),
    ("nts", nts::MUTANTS),
    ("writer", writer::MUTANTS),
    ("devices", devices::MUTANTS),
    ("steering", steering::MUTANTS),
    ("hlc", hlc::MUTANTS),
    ("lease", lease::MUTANTS),
    ("store", store::MUTANTS),
    ("fence", fence::MUTANTS),
    ("fork", fork::MUTANTS),
    ("wait", wait::MUTANTS),
    ("agreement", agreement::MUTANTS),
    ("scale", scale::MUTANTS),
    ("timeout", timeout::MUTANTS),
    ("timesyncd", timesyncd::MUTANTS),
    ("vmclock", vmclock::MUTANTS),
];

/// Every mutant with the name of its trial, which begins with its part.
pub fn all() -> impl Iterator<Item = (String, &'static Mutant)> {
    let named = |part, mutant: &'static Mutant| (format!("{part}::{}", mutant.name), mutant);
    PARTS.iter().flat_map(move |&(part, mutants)| mutants.iter().map(move |m| named(part, m)))
}
