//! The list, by the part of the crate that is broken.
//!
//! Within a part the order is that of the design's rules. A mutant changes as little as it can,
//! and names the fewest tests that see it, because each one costs a build and their time.

mod agreement;
mod estimator;
mod fence;
mod hlc;
mod lease;
mod reading;
mod rounding;
mod scale;
mod source;
mod timeout;
mod wait;

use crate::mutant::Mutant;

/// Every mutant there is.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    [
        rounding::MUTANTS,
        reading::MUTANTS,
        estimator::MUTANTS,
        source::MUTANTS,
        hlc::MUTANTS,
        lease::MUTANTS,
        fence::MUTANTS,
        wait::MUTANTS,
        agreement::MUTANTS,
        scale::MUTANTS,
        timeout::MUTANTS,
    ]
    .into_iter()
    .flatten()
}
