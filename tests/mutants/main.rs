//! Mutation is the proof: each rule is broken in turn, and a test must see it.
//!
//! A test that passes shows little while nobody knows what would make it fail. So there is a
//! list of *mutants*: small changes of the shipping source, each of which breaks a rule of the
//! design or a promise of the toolkit. For each of them a copy of the crate is changed, the
//! fewest tests that should see it are built, and one of them must fail. If all of them pass,
//! the mutant has survived, and a test is missing.
//!
//! Three things would make this worthless, and each is an error here:
//!
//! - The tests fail on the unchanged crate too. So they run on it first.
//! - The mutant does not compile, or its tests hang. Then no test has seen anything.
//! - The text that a mutant changes has moved on. The normal suite checks this for the whole
//!   list, because it needs no build.
//!
//! ```text
//! TRUECHIMER_MUTANTS=all cargo test --test mutants            # the whole list
//! TRUECHIMER_MUTANTS=all cargo test --test mutants lease::    # a part of it
//! TRUECHIMER_MUTANTS=8 cargo test --test mutants              # what fits into 8 minutes
//! ```
//!
//! With a limit, the run begins at a place of the list that follows from the commit, so that
//! each commit tries another part first. The last line says how many were left out.
//!
//! To add one, add an entry to the file in `list` that has its part of the crate.

mod list;
mod mutant;
#[path = "../support/patched.rs"]
mod patched;
mod verdict;
mod workspace;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use mutant::{Broken, Mutant};
use workspace::Workspace;

/// Set to `all`, or to a number of minutes, to try the mutants.
const ASK: &str = "TRUECHIMER_MUTANTS";
/// An example of a limit.
const ASK_MINUTES: u64 = 8;

/// How many of the mutants came to what end.
#[derive(Default)]
struct Tally {
    caught: usize,
    survived: usize,
    left: usize,
}

fn main() {
    let mut arguments = Arguments::from_args();
    // One thread builds while the other runs what was built before.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let mut trials = vec![
        Trial::test("every_mutant_still_applies", every_mutant_still_applies),
        Trial::test("no_rule_is_without_a_mutant", no_rule_is_without_a_mutant),
        Trial::test("what_libtest_prints_is_understood", || {
            Ok(verdict::what_libtest_prints_is_understood()?)
        }),
    ];
    let tally = Arc::new(Mutex::new(Tally::default()));
    let asked = std::env::var(ASK).ok();
    match &asked {
        None => trials.extend(list::all().map(not_asked_for)),
        Some(limit) => trials.extend(tried(limit, &arguments, &tally)),
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if asked.is_some() {
        let Tally { caught, survived, left } =
            *tally.lock().unwrap_or_else(PoisonError::into_inner);
        println!("mutants: {caught} caught, {survived} not, {left} left for want of time");
    }
    conclusion.exit();
}

fn not_asked_for((name, _): (String, &'static Mutant)) -> Trial {
    Trial::ignorable_test(name, || {
        Ok(Completion::ignored_with(format!(
            "set {ASK}=all, or ={ASK_MINUTES} for so many minutes"
        )))
    })
}

/// A trial of each mutant, in the order that this commit begins with.
fn tried(limit: &str, arguments: &Arguments, tally: &Arc<Mutex<Tally>>) -> Vec<Trial> {
    let minutes = match limit {
        "all" => None,
        minutes => Some(minutes.parse::<u64>().unwrap_or_else(|_| {
            panic!("{ASK}={minutes}: give `all`, or how many minutes it may take")
        })),
    };
    let mut mutants: Vec<(String, &'static Mutant)> = list::all().collect();
    let began = Instant::now();
    let end = minutes.map(|minutes| began + Duration::from_secs(minutes * 60));
    if minutes.is_some() {
        let (commit, number) = commit();
        let first = (number % mutants.len() as u64) as usize;
        mutants.rotate_left(first);
        println!("mutants: from number {first} of {} on, by commit {commit}", mutants.len());
    }
    let workspace = match arguments.list {
        true => Err("only listed".to_owned()),
        false => Workspace::open(&target_dir()),
    };
    let workspace = Arc::new(workspace.map(Mutex::new));
    // With a limit, what takes minutes to build unchanged is begun only early.
    let limit = end.map(|end| Limit { end, end_of_first_builds: began + (end - began) / 3 });
    let trial = |(name, mutant): (String, &'static Mutant)| {
        let (workspace, tally) = (workspace.clone(), tally.clone());
        Trial::ignorable_test(name, move || {
            let count = |change: fn(&mut Tally)| {
                change(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
            };
            let workspace = workspace.as_ref().as_ref().map_err(Clone::clone)?;
            match try_one(mutant, workspace, limit) {
                Ok(Some(line)) => {
                    println!("{line}");
                    count(|tally| tally.caught += 1);
                    Ok(Completion::Completed)
                }
                Ok(None) => {
                    count(|tally| tally.left += 1);
                    Ok(Completion::ignored_with("no time left"))
                }
                Err(error) => {
                    println!("{} [{}]: NOT CAUGHT: {}", mutant.name, mutant.breaks, mutant.harm);
                    count(|tally| tally.survived += 1);
                    Err(Failed::from(error))
                }
            }
        })
    };
    mutants.into_iter().map(trial).collect()
}

/// How long it may take.
#[derive(Clone, Copy)]
struct Limit {
    end: Instant,
    /// The tests of a target that was not built yet are built before this only.
    end_of_first_builds: Instant,
}

/// Builds a mutant and runs its tests. `None` if there is no time left.
fn try_one(
    mutant: &Mutant,
    workspace: &Mutex<Workspace>,
    limit: Option<Limit>,
) -> Result<Option<String>, String> {
    let mut held = workspace.lock().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    let is_built = held.has_built(mutant.caught_by.target);
    let is_late = |Limit { end, end_of_first_builds }: Limit| {
        began >= end || (!is_built && began >= end_of_first_builds)
    };
    if limit.is_some_and(is_late) {
        return Ok(None);
    }
    let crate_root = held.crate_root();
    let honest = held.honest(mutant.caught_by.target)?;
    let mutated = held.mutated(mutant)?;
    drop(held);
    let built = began.elapsed();
    // Both are here, so the next mutant is built meanwhile.
    let sound = verdict::run(&honest, &mutant.caught_by, &crate_root)?;
    if !sound.failed.is_empty() {
        return Err(format!("on the unchanged crate these fail too: {}", sound.failed.join(", ")));
    }
    if sound.passed == 0 {
        return Err(format!("none of the tests runs: {:?}", mutant.caught_by.names));
    }
    let broken = verdict::run(&mutated, &mutant.caught_by, &crate_root)?;
    let took = began.elapsed();
    let _ = std::fs::remove_file(mutated);
    match broken.failed.first() {
        Some(first) => Ok(Some(format!(
            "{} [{}]: caught by {first}, {} of {} tests, in {:.1} s ({:.1} s to build)",
            mutant.name,
            mutant.breaks,
            broken.failed.len(),
            sound.passed,
            took.as_secs_f64(),
            built.as_secs_f64(),
        ))),
        None => Err(format!(
            "{} survives {} tests ({:?} of {:?}): {}",
            mutant.name,
            broken.passed,
            mutant.caught_by.names,
            mutant.caught_by.target,
            mutant.harm,
        )),
    }
}

/// The present commit, and a number that follows from it.
fn commit() -> (String, u64) {
    let git = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let hash = git.map(|git| String::from_utf8_lossy(&git.stdout).trim().to_owned());
    let hash = hash.unwrap_or_default();
    let number = u64::from_str_radix(&hash, 16).unwrap_or(0);
    (hash, number)
}

/// `target`, found from where this test itself was built: `target/debug/deps/mutants-…`.
fn target_dir() -> PathBuf {
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(|own| own.ancestors().nth(3)).map(Path::to_path_buf);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))
}

fn every_mutant_still_applies() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    let mut stale = Vec::new();
    for (_, mutant) in list::all() {
        if !names.insert(mutant.name) {
            stale.push(format!("{}: there are two of this name", mutant.name));
        }
        stale.extend(mutant.check(root).err());
    }
    if stale.is_empty() { Ok(()) } else { Err(stale.join("\n").into()) }
}

/// The rules that no mutant breaks, and why not.
const WITHOUT_A_MUTANT: [(u8, &str); 1] = [(11, "it is about limits, which are documented")];

fn no_rule_is_without_a_mutant() -> Result<(), Failed> {
    for number in 1..=11 {
        let has_one = list::all().any(|(_, mutant)| mutant.breaks == Broken::Rule(number));
        let excused = WITHOUT_A_MUTANT.iter().find(|(rule, _)| *rule == number);
        match (has_one, excused) {
            (false, None) => return Err(format!("no mutant breaks rule {number}").into()),
            (true, Some((_, why))) => {
                return Err(format!("rule {number} has a mutant now, though {why}").into());
            }
            _ => {}
        }
    }
    Ok(())
}
