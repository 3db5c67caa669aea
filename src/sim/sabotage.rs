//! [`Sabotage`]: the rules of the clock, broken one at a time.
//!
//! A check that has never failed may be unable to. Each variant here breaks one
//! of the rules that keep an interval right, in the way somebody would who
//! wrote this crate in a hurry; the soundness campaign must catch every one of
//! them. Use them on your own program too: a test that passes on a clock that
//! is [`TooSure`](Sabotage::TooSure) does not test what the clock is for.
//!
//! All of it happens in the simulated sampler and the simulated reading, around
//! the code that ships and never in it.

use std::fmt;
use std::str::FromStr;

/// One rule broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Rule 1: samples and readings are rounded inward, by a nanosecond at each end.
    RoundInward,
    /// Rule 1: the counter is taken to have no granularity.
    NoGranularity,
    /// Rule 2: where there is no evidence, the wall clock ± 1 ms is given.
    Guess,
    /// Rule 3: a `maxerror` of 0 is taken at its word.
    BelieveZero,
    /// Rule 4: a reader waits until the writer has finished its round.
    WaitForWriter,
    /// Rule 5: `latest` is made of an unordered read of the counter.
    UnorderedLatest,
    /// Rule 6: nobody looks whether the host was suspended.
    IgnoreSuspend,
    /// Rule 6: TAI − UTC is looked up without a margin around leap seconds.
    IgnoreLeapWindow,
    /// Rule 6: what the kernel's clock shows after a step is believed as before it.
    IgnoreStep,
    /// Rule 6: the lines do not diverge, so a stopped sampler goes unnoticed.
    NeverAge,
    /// Rule 7: the newest sample replaces what was known, in the same epoch.
    LatestWins,
    /// Rule 8: arithmetic on what the kernel says is not checked.
    UncheckedArithmetic,
    /// Rule 9: a contradiction is settled for the newer side, in silence.
    SwallowContradictions,
    /// The interval is a quarter as wide as it must be, around the same middle.
    TooSure,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 14] = [
        Sabotage::RoundInward,
        Sabotage::NoGranularity,
        Sabotage::Guess,
        Sabotage::BelieveZero,
        Sabotage::WaitForWriter,
        Sabotage::UnorderedLatest,
        Sabotage::IgnoreSuspend,
        Sabotage::IgnoreLeapWindow,
        Sabotage::IgnoreStep,
        Sabotage::NeverAge,
        Sabotage::LatestWins,
        Sabotage::UncheckedArithmetic,
        Sabotage::SwallowContradictions,
        Sabotage::TooSure,
    ];

    /// Which of the nine rules it breaks; `None` for the one that breaks the promise itself.
    pub fn rule(self) -> Option<u8> {
        Some(match self {
            Sabotage::RoundInward | Sabotage::NoGranularity => 1,
            Sabotage::Guess => 2,
            Sabotage::BelieveZero => 3,
            Sabotage::WaitForWriter => 4,
            Sabotage::UnorderedLatest => 5,
            Sabotage::IgnoreSuspend
            | Sabotage::IgnoreLeapWindow
            | Sabotage::IgnoreStep
            | Sabotage::NeverAge => 6,
            Sabotage::LatestWins => 7,
            Sabotage::UncheckedArithmetic => 8,
            Sabotage::SwallowContradictions => 9,
            Sabotage::TooSure => return None,
        })
    }
}

/// In words with hyphens, as the campaign's command line takes it.
impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Sabotage::RoundInward => "round-inward",
            Sabotage::NoGranularity => "no-granularity",
            Sabotage::Guess => "guess",
            Sabotage::BelieveZero => "believe-zero",
            Sabotage::WaitForWriter => "wait-for-writer",
            Sabotage::UnorderedLatest => "unordered-latest",
            Sabotage::IgnoreSuspend => "ignore-suspend",
            Sabotage::IgnoreLeapWindow => "ignore-leap-window",
            Sabotage::IgnoreStep => "ignore-step",
            Sabotage::NeverAge => "never-age",
            Sabotage::LatestWins => "latest-wins",
            Sabotage::UncheckedArithmetic => "unchecked-arithmetic",
            Sabotage::SwallowContradictions => "swallow-contradictions",
            Sabotage::TooSure => "too-sure",
        })
    }
}

/// There is no such sabotage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no known sabotage: use one of the words that `Sabotage::ALL` prints")]
pub struct UnknownSabotage(String);

impl FromStr for Sabotage {
    type Err = UnknownSabotage;

    fn from_str(text: &str) -> Result<Sabotage, UnknownSabotage> {
        let found = Sabotage::ALL.into_iter().find(|sabotage| sabotage.to_string() == text);
        found.ok_or_else(|| UnknownSabotage(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_broken_by_something_and_each_name_reads_back() {
        for rule in 1..=9 {
            assert!(Sabotage::ALL.iter().any(|s| s.rule() == Some(rule)), "rule {rule}");
        }
        for sabotage in Sabotage::ALL {
            assert_eq!(sabotage.to_string().parse(), Ok(sabotage));
        }
        assert!("quietly".parse::<Sabotage>().unwrap_err().to_string().contains("quietly"));
    }
}
