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
//! apt-get update && tests/guest/fetch.sh      # once, about 60 MB
//! TRUECHIMER_GUEST=1 cargo test --test guest
//! ```
//!
//! Without the environment variable the scenarios are listed as ignored. To
//! add one, add an entry to `table`; what can happen in it is `plan::Act`.

mod check;
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

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use ground::Ground;

type OnGround = Box<dyn FnOnce(&Ground) -> Result<(), String> + Send>;

fn main() {
    let mut arguments = Arguments::from_args();
    let asked = std::env::var_os(ground::ASK).is_some();
    let found = Ground::find();
    if let Err(missing) = &found {
        println!("guests: {missing}");
    }
    if !asked {
        println!("guests: skipped; to run them, set {}=1", ground::ASK);
    }
    // Each guest keeps one core busy.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let ground = Arc::new(found);
    let on_ground = |name: &str, run: OnGround| {
        let ground = ground.clone();
        Trial::test(name, move || match ground.as_ref() {
            Ok(ground) => run(ground).map_err(Failed::from),
            Err(missing) => Err(Failed::from(missing)),
        })
        .with_ignored_flag(!asked)
    };
    let scenarios = table::all();
    let scenarios = scenarios
        .into_iter()
        .map(|scenario| on_ground(scenario.name, Box::new(move |ground| scenario.run(ground))));
    let mut trials = vec![
        Trial::test("every_sabotage_still_applies", every_sabotage_still_applies),
        Trial::test("every_sabotage_is_tried_in_a_scenario", every_sabotage_is_tried),
        on_ground("a_real_chronyd_answers", Box::new(live::a_real_chronyd_answers)),
    ];
    trials.extend(scenarios);
    libtest_mimic::run(&arguments, trials).exit();
}

fn every_sabotage_still_applies() -> Result<(), Failed> {
    for sabotage in sabotage::ALL {
        sabotage.applies_to(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    }
    Ok(())
}

fn every_sabotage_is_tried() -> Result<(), Failed> {
    let scenarios = table::all();
    let tried = |name: &str| {
        let mut observers = scenarios.iter().flat_map(|scenario| &scenario.plan.observers);
        observers.any(|observer| observer.build == name)
    };
    match sabotage::ALL.iter().find(|sabotage| !tried(sabotage.name)) {
        Some(sabotage) => Err(format!("no scenario runs the sabotage {}", sabotage.name).into()),
        None => Ok(()),
    }
}
