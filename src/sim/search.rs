//! [`search`]: runs a check in many random worlds, and reduces a failing one.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::mix::Mix;
use super::scenario::Scenario;

/// A world in which the check failed, reduced as far as it still fails.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// The smallest that still fails.
    pub scenario: Scenario,
    /// The check's error there, or the text of its panic.
    pub why: String,
    /// The scenario that was found first.
    pub found: Scenario,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails: {}", self.found.seed(), self.why)?;
        writeln!(f, "the smallest scenario that does: {}", self.scenario)?;
        for (at, fault) in self.scenario.faults() {
            writeln!(f, "  {:>12.6} s  {fault}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Runs `check` in the world of each seed until one fails. Returns how many passed.
///
/// A check builds a world of the scenario, runs it, and returns what is wrong. A panic in it
/// counts as a failure too. A failing scenario is reduced, node by node and fault by fault, as
/// long as it still fails.
///
/// ```
/// use truechimer::sim::{Mix, search};
///
/// // A user's own invariant: no clock ever contradicts itself.
/// let worlds = search(Mix::Honest, 0..3, |scenario| {
///     let mut world = scenario.world(|_| ());
///     world.run_for(scenario.run());
///     world.audit().complaint().map_or(Ok(()), Err)
/// })?;
/// assert_eq!(worlds, 3);
/// # Ok::<(), Box<truechimer::sim::Failure>>(())
/// ```
///
/// # Errors
///
/// The first failure, reduced.
pub fn search(
    mix: Mix,
    seeds: Range<u64>,
    check: impl Fn(&Scenario) -> Result<(), String>,
) -> Result<u64, Box<Failure>> {
    search_in(seeds.map(|seed| Scenario::random(mix, seed)), check)
}

/// Like [`search`], in scenarios of your own choice, for example worlds of five nodes.
///
/// ```
/// use truechimer::sim::{Mix, Scenario, search_in};
///
/// let of_five = (0..2).map(|seed| Scenario::with_nodes(Mix::Honest, seed, 5));
/// assert!(search_in(of_five, |scenario| match scenario.nodes().count() {
///     5 => Ok(()),
///     other => Err(format!("{other} nodes")),
/// })
/// .is_ok());
/// ```
///
/// # Errors
///
/// The first failure, reduced.
pub fn search_in(
    scenarios: impl IntoIterator<Item = Scenario>,
    check: impl Fn(&Scenario) -> Result<(), String>,
) -> Result<u64, Box<Failure>> {
    let mut worlds = 0;
    for scenario in scenarios {
        if let Err(why) = guarded(&check, &scenario) {
            return Err(Box::new(reduce(&check, scenario, why)));
        }
        worlds += 1;
    }
    Ok(worlds)
}

/// The check's result. A panic is an error.
pub(super) fn guarded<T>(
    check: impl Fn(&Scenario) -> Result<T, String>,
    scenario: &Scenario,
) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(|| check(scenario))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(format!("it panicked: {}", text.unwrap_or("no message")))
    })
}

fn reduce(
    check: &impl Fn(&Scenario) -> Result<(), String>,
    found: Scenario,
    why: String,
) -> Failure {
    let mut failure = Failure { scenario: found.clone(), why, found };
    // Each step takes something away, so this ends.
    while let Some((scenario, why)) = failure
        .scenario
        .smaller()
        .into_iter()
        .find_map(|smaller| guarded(check, &smaller).err().map(|why| (smaller, why)))
    {
        failure.scenario = scenario;
        failure.why = why;
    }
    failure
}
