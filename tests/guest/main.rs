//! Real kernels in guests: what lies, leaps, steps and stops, and a truth that is known.
//!
//! No host can be asked to step its clock, to take a leap second or to suspend
//! for a test. A guest can. Each scenario boots one under qemu (emulated, so
//! that it runs anywhere), with Debian's kernel and a real chronyd; a program
//! inside knows true time, because it *defines* it over the guest's
//! oscillator, and plays reference clock. Observers read this crate's clock
//! beside it and write every reading down. Outside, every reading is held
//! against the truth (`check`). Sabotaged builds of the crate run beside the
//! honest one and must be caught (`sabotage`).
//!
//! ```text
//! apt-get update && tests/guest/fetch.sh      # once, about 300 MB
//! TRUECHIMER_GUEST=1 cargo test --test guest
//! TRUECHIMER_GUEST=long cargo test --test guest tight   # hours of guests' time as well
//! ```
//!
//! Without the environment variable the scenarios are listed as ignored. To
//! add one, add an entry to `table`; what can happen in it is `plan::Act`.

mod check;
mod daemons;
mod devices;
mod ground;
mod initrd;
mod live;
mod machine;
#[allow(dead_code, reason = "the guest's program uses the other half")]
mod plan;
#[allow(dead_code, reason = "the guest's program uses the other half")]
mod record;
mod sabotage;
mod scenario;
mod table;
mod tightness;
mod timesyncd;
mod vmclock;

use std::path::Path;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use ground::Ground;
use scenario::Failure;

type OnGround = Box<dyn FnOnce(&Ground) -> Result<(), Failure> + Send>;

fn main() {
    let mut arguments = Arguments::from_args();
    let asked = std::env::var(ground::ASK).ok();
    let with_long = asked.as_deref() == Some("long");
    let found = Ground::find();
    if let Err(missing) = &found {
        println!("guests: {missing}");
    }
    if asked.is_none() {
        println!("guests: skipped; to run them, set {}=1, or =long", ground::ASK);
    }
    // Each guest keeps one core busy.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let ground = Arc::new(found);
    let failed = Arc::new(Mutex::new(Vec::new()));
    let on_ground = |name: &str, run: OnGround| {
        let (ground, failed) = (ground.clone(), failed.clone());
        let run = move || {
            let outcome = match ground.as_ref() {
                Ok(ground) => run(ground),
                Err(missing) => Err(Failure::of(missing)),
            };
            outcome.map_err(|Failure { lines, report }| {
                let words = format!("{report}\n{}", lines.join("\n"));
                failed.lock().expect("nobody panics with it").extend(lines);
                Failed::from(words)
            })
        };
        Trial::test(name, run).with_ignored_flag(asked.is_none())
    };
    let scenarios = table::all(with_long);
    let scenarios = scenarios
        .into_iter()
        .map(|scenario| on_ground(scenario.name, Box::new(move |ground| scenario.run(ground))));
    let live = |ground: &Ground| {
        let name = |error: String| Failure::of(&format!("a_real_chronyd_answers: {error}"));
        live::a_real_chronyd_answers(ground).map_err(name)
    };
    let of_vmclock = |story: fn(&Ground) -> Result<(), String>| -> OnGround {
        Box::new(move |ground| {
            story(ground).map_err(|error| Failure::of(&format!("vmclock: {error}")))
        })
    };
    let mut trials = vec![
        Trial::test("every_sabotage_still_applies", every_sabotage_still_applies),
        Trial::test("every_sabotage_is_tried_in_a_scenario", every_sabotage_is_tried),
        Trial::test("the_planned_wander_is_within_a3_of_15_ppm_and_not_of_1_ppm", || {
            Ok(tightness::the_planned_wander_is_within_a3_of_15_ppm_and_not_of_1_ppm()?)
        }),
        on_ground("a_real_chronyd_answers", Box::new(live)),
        on_ground(
            "vmclock_moved",
            of_vmclock(vmclock::a_machine_that_is_moved_gives_no_wrong_reading),
        ),
        on_ground(
            "vmclock_stated",
            of_vmclock(vmclock::the_time_that_the_hypervisor_states_is_believed_as_it_states_it),
        ),
    ];
    trials.extend(scenarios);
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Once more and in short, where a log that was cut off still has it.
    for line in failed.lock().expect("nobody panics with it").iter() {
        println!("FAILED: {line}");
    }
    conclusion.exit();
}

fn every_sabotage_still_applies() -> Result<(), Failed> {
    for sabotage in sabotage::ALL.iter().chain([&sabotage::PREMISE]) {
        sabotage.applies_to(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    }
    Ok(())
}

fn every_sabotage_is_tried() -> Result<(), Failed> {
    let scenarios = table::all(true);
    let tried = |name: &str| {
        let mut observers = scenarios.iter().flat_map(|scenario| &scenario.plan.observers);
        name == vmclock::BUILD || observers.any(|observer| observer.build == name)
    };
    match sabotage::ALL.iter().find(|sabotage| !tried(sabotage.name)) {
        Some(sabotage) => Err(format!("no scenario runs the sabotage {}", sabotage.name).into()),
        None => Ok(()),
    }
}
