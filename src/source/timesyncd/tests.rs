//! Exchanges of a modelled timesyncd on a modelled kernel, with a truth that is known.

mod model;

use super::exchange::{Dropped, Exchange};
use super::late::TooLate;
use super::watch::Refusal;
use crate::host::STA_PLL;
use model::{GOOD, MS, Model, Random, SECOND, Server};

/// A server that is off by exactly its bound, or honest, on a way that may have one slow side.
fn any_server(random: &mut Random) -> Server {
    let dispersion_us = random.between(0, 5_000);
    let most = dispersion_us * 1_000;
    let off_ns = [most, -most, random.between(-most, most)][random.next() as usize % 3];
    let way = |random: &mut Random| match random.chance(20) {
        true => random.between(100 * MS, 450 * MS),
        false => random.between(50_000, 30 * MS),
    };
    Server { off_ns, dispersion_us: dispersion_us as u64, ways: (way(random), way(random)) }
}

/// A life of a machine: what happens, and how often something was known and missed.
fn live(seed: u64, check: &mut impl FnMut(&mut Model, &mut Random)) {
    let random = &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut model = Model::new(random.between(-190, 190));
    model.poll_min_s = if random.chance(50) { 32 } else { 16 };
    model.poll_s = model.poll_min_s;
    model.looks_every = [100 * MS, 100 * MS, 400 * MS, 1_000 * MS][random.next() as usize % 4];
    model.freq_ppb = random.between(-500_000, 500_000);
    // It starts up to 3 s off.
    let off = random.between(-3 * SECOND, 3 * SECOND) / if random.chance(50) { 20 } else { 1 };
    model.step(off);
    model.start();
    for _ in 0..12 {
        model.pass(random.between(SECOND, 3 * SECOND));
        model.ask();
        model.pass(model.poll_s.min(64) * SECOND + random.between(0, SECOND));
        model.ask();
        if random.chance(10) {
            model.foreign_step(random.between(-2 * SECOND, 2 * SECOND));
            model.pass(random.between(0, 300 * MS));
        }
        let server = any_server(random);
        let spike = random.chance(25) && model.status == STA_PLL;
        let message = model.exchange(server, spike);
        model.poll_s = match random.chance(70) {
            true => (model.poll_s * 2).min(2_048),
            false => model.poll_min_s,
        };
        model.adjust(message, random);
        check(&mut model, random);
        model.pass(random.between(0, 10 * SECOND));
        check(&mut model, random);
    }
}

#[test]
fn no_exchange_that_was_watched_misses_the_truth() {
    let (mut known, mut reported) = (0, 0);
    for seed in 1..400 {
        live(seed, &mut |model, _| {
            model.pass(model.looks_every + MS);
            reported += 1;
            if let Some(exchange) = model.known() {
                known += 1;
                assert_eq!(model.miss(&exchange), 0, "seed {seed}: {exchange:?}");
            }
        });
    }
    assert!(known * 10 > reported * 7, "only {known} of {reported} were known");
}

#[test]
fn no_exchange_of_before_the_process_misses_the_truth() {
    let (mut known, mut asked) = (0, 0);
    for seed in 1..400 {
        live(seed, &mut |model, _| {
            asked += 1;
            if let Ok(exchange) = model.late() {
                known += 1;
                assert_eq!(model.miss(&exchange), 0, "seed {seed}: {exchange:?}");
            }
        });
    }
    assert!(known * 10 > asked * 3, "only {known} of {asked} were known");
}

/// A machine that is watched, and quiet.
fn quiet() -> (Model, Random) {
    let mut model = Model::new(0);
    model.status = STA_PLL;
    model.start();
    model.pass(3 * SECOND);
    model.ask();
    model.pass(3 * SECOND);
    (model, Random(7))
}

fn refusal(model: &Model) -> Option<Refusal> {
    model.watch.as_ref().expect("it runs").refusal()
}

#[test]
fn an_exchange_in_a_slew_is_counted_by_the_counter_and_not_by_the_wall_clock() {
    // The wall clock runs 10 % slow all the way, and the server is at the edge of its bound.
    for sign in [-1, 1] {
        let (mut model, mut random) = quiet();
        model.offset_ns = sign * 399 * MS;
        model.pass(2 * SECOND);
        let server = Server { off_ns: 0, ways: (0, 300 * MS), dispersion_us: 0 };
        let message = model.exchange(server, false);
        model.adjust(message, &mut random);
        model.pass(SECOND);
        let known = model.known().expect("watched");
        assert_eq!(model.miss(&known), 0, "{known:?}");
        // As wide as the way there and back, the bound, and how well T1 and T4 are known.
        let width = known.unix_ns.1 - known.unix_ns.0;
        assert!((300 * MS..312 * MS).contains(&width), "{width}");
        // The wall clock's own time between the two stamps is off by much more than all of that.
        let stamps = (message.destination_us - message.origin_us) * 1_000;
        assert!((stamps - 300 * MS).abs() > 10 * MS, "{stamps}");
    }
}

#[test]
fn the_oscillator_may_be_slow_between_t1_and_t4() {
    // All of 700 ms is the way back, so true time is at the late end, and the raw clock is slow.
    let mut random = Random(3);
    let mut model = Model::new(199);
    model.status = STA_PLL;
    model.looks_every = 10 * MS;
    model.start();
    model.pass(3 * SECOND);
    model.ask();
    model.pass(3 * SECOND);
    let server = Server { off_ns: 0, dispersion_us: 0, ways: (0, 700 * MS) };
    let message = model.exchange(server, false);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    let known = model.known().expect("watched");
    assert_eq!(model.miss(&known), 0, "{known:?}");
}

#[test]
fn an_outlier_is_evidence_too() {
    let (mut model, mut random) = quiet();
    let message = model.exchange(GOOD, true);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert!(model.known().is_some(), "{:?}", refusal(&model));
}

#[test]
fn an_exchange_about_a_step_is_dropped_and_the_next_one_counts() {
    for by in [-2 * SECOND, -10 * MS, 10 * MS, 2 * SECOND] {
        let (mut model, mut random) = quiet();
        let message = model.exchange(GOOD, false);
        model.foreign_step(by);
        model.heard = Some(message);
        model.ask();
        model.pass(5 * SECOND);
        assert_eq!(model.known(), None, "by {by}");
        assert_eq!(refusal(&model), Some(Refusal::Dropped(Dropped::Stepped)), "by {by}");
        // The clock passes the old stamps again.
        model.ask();
        model.pass(5 * SECOND);
        assert_eq!(model.known(), None, "by {by}");
        // At the first exchange timesyncd may step the clock itself, and then that one is dropped.
        for _ in 0..2 {
            let message = model.exchange(GOOD, false);
            model.adjust(message, &mut random);
            model.pass(5 * SECOND);
            model.ask();
            model.pass(5 * SECOND);
        }
        let known = model.known().expect("nothing broke since");
        assert_eq!(model.miss(&known), 0, "by {by}");
    }
}

#[test]
fn a_stamp_from_before_a_backward_step_is_not_looked_up_after_it() {
    // The message of before the step is heard 2 s later, when the clock shows T4 again.
    let (mut model, _) = quiet();
    let message = model.exchange(GOOD, false);
    model.foreign_step(-1_500 * MS);
    model.pass(2 * SECOND);
    model.heard = Some(message);
    model.ask();
    model.pass(SECOND);
    assert_eq!(model.known(), None);
    // Nor if the step was not looked at before the message was heard.
    let (mut model, _) = quiet();
    model.looks_every = SECOND;
    model.look();
    model.foreign_step(-300 * MS);
    let message = model.exchange(GOOD, false);
    model.heard = Some(message);
    model.ask();
    assert_eq!(model.known(), None, "not yet judged");
    model.pass(2 * SECOND);
    assert_eq!(model.known(), None);
}

#[test]
fn the_last_message_of_before_the_process_is_not_looked_up() {
    // A process starts after a step back, and then the clock shows T4 again.
    let mut model = Model::new(0);
    let message = model.exchange(GOOD, false);
    model.pass(10 * SECOND);
    model.heard = Some(message);
    model.foreign_step(-13 * SECOND);
    model.start();
    for _ in 0..20 {
        model.pass(SECOND);
        model.ask();
        assert_eq!(model.known(), None);
    }
}

#[test]
fn nothing_is_made_of_a_time_in_which_nobody_looked() {
    let (mut model, mut random) = quiet();
    model.looks_every = 2 * SECOND;
    model.look();
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(5 * SECOND);
    assert_eq!(model.known(), None);
    assert_eq!(refusal(&model), Some(Refusal::Dropped(Dropped::Unwatched)));
}

#[test]
fn what_was_known_before_a_suspend_is_void_after_it() {
    let (mut model, mut random) = quiet();
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert!(model.known().is_some());
    model.suspended_ns = 5 * SECOND;
    model.step(5 * SECOND);
    model.pass(SECOND);
    assert_eq!((model.known(), refusal(&model)), (None, Some(Refusal::Suspended)));
    assert_eq!(model.late(), Err(TooLate::Suspended));
}

#[test]
fn a_process_that_is_shown_another_wall_clock_looks_nothing_up_in_it() {
    for ahead in [-1_500 * MS, -50 * MS, 50 * MS, 1_500 * MS] {
        let mut random = Random(5);
        let mut model = Model::new(0);
        model.status = STA_PLL;
        model.shown_ahead = ahead;
        model.start();
        model.pass(3 * SECOND);
        model.ask();
        model.pass(3 * SECOND);
        let message = model.exchange(GOOD, false);
        model.adjust(message, &mut random);
        for _ in 0..5 {
            model.pass(SECOND);
            assert_eq!(model.known(), None, "{ahead}");
            assert_eq!(refusal(&model), Some(Refusal::Dropped(Dropped::OtherTime)), "{ahead}");
            assert_eq!(model.late(), Err(TooLate::OtherTime), "{ahead}");
        }
    }
}

#[test]
fn after_a_move_of_the_machine_only_an_exchange_made_since_counts() {
    let (mut model, mut random) = quiet();
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert!(model.known().is_some());
    // The wall clock stood still for 30 s, which the kernel's state does not show.
    model.watch.as_mut().expect("it runs").disrupted();
    model.step(-30 * SECOND);
    for _ in 0..3 {
        model.pass(SECOND);
        model.ask();
        assert_eq!((model.known(), refusal(&model)), (None, Some(Refusal::Moved)));
        assert!(!model.watch.as_ref().expect("it runs").needs_late(), "it would be carried on");
    }
    // The first exchange is answered by a step, and the next one is not.
    for _ in 0..2 {
        let message = model.exchange(GOOD, false);
        model.adjust(message, &mut random);
        model.pass(3 * SECOND);
        model.ask();
        model.pass(3 * SECOND);
    }
    let known = model.known().expect("it was watched");
    assert_eq!(model.miss(&known), 0);
}

#[test]
fn a_message_that_repeats_changes_nothing_and_a_restart_counts_anew() {
    let (mut model, mut random) = quiet();
    let first = model.exchange(GOOD, false);
    model.adjust(first, &mut random);
    model.pass(SECOND);
    let known = model.known();
    model.ask();
    model.pass(SECOND);
    assert_eq!(model.known(), known);
    // The daemon stops, starts and counts from 1.
    model.heard = None;
    model.ask();
    model.pass(SECOND);
    assert_eq!(model.known(), known, "the last one ages");
    model.packets = 0;
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(SECOND);
    assert_ne!(model.known(), known);
    assert!(model.known().is_some());
}

/// A machine whose last exchange was before the process: 700 s ago, at a poll of 1024 s.
fn late(change: impl FnOnce(&mut Model)) -> Result<Exchange, TooLate> {
    let mut random = Random(9);
    let mut model = Model::new(30);
    model.poll_s = 1_024;
    model.constant = 6;
    let message = model.exchange(GOOD, false);
    model.adjust(message, &mut random);
    model.pass(700 * SECOND);
    change(&mut model);
    let outcome = model.late();
    if let Ok(exchange) = &outcome {
        assert_eq!(model.miss(exchange), 0, "{exchange:?}");
    }
    outcome
}

#[test]
fn an_exchange_of_before_the_process_is_carried_on_only_if_the_kernel_confirms_it() {
    let fine = late(|_| {}).expect("nothing happened");
    // 700 s by 200 ppm either way, the exchange, and what cannot be seen.
    let width = fine.unix_ns.1 - fine.unix_ns.0;
    assert!((300 * MS..320 * MS).contains(&width), "{width}");
    let refused = |change: fn(&mut Model)| late(change).expect_err("refused");
    assert_eq!(refused(|model| model.foreign_step(SECOND)), TooLate::Unsynchronized);
    assert_eq!(refused(|model| model.step(5 * SECOND)), TooLate::OtherSeconds);
    assert_eq!(refused(|model| model.step(-3 * SECOND)), TooLate::OtherSeconds);
    assert_eq!(refused(|model| model.maxerror_us -= 2_000), TooLate::OtherSeconds);
    assert_eq!(refused(|model| model.maxerror_us += 1), TooLate::OtherWriter);
    assert_eq!(refused(|model| model.freq_ppb = 600_000), TooLate::OtherWriter);
    assert_eq!(refused(|model| model.status = 0), TooLate::StepOrSlew);
    assert_eq!(refused(|model| model.suspended_ns = SECOND), TooLate::Suspended);
    assert_eq!(
        refused(|model| model.heard.as_mut().expect("one").origin_us -= 1_000_000),
        TooLate::RoundTrip
    );
}

#[test]
fn a_jump_of_timesyncd_s_own_is_taken_off_and_what_is_near_its_limit_is_refused() {
    let jumped = |off_ns: i64| {
        let mut random = Random(11);
        let mut model = Model::new(0);
        model.step(-5 * MS);
        model.wall -= i128::from(off_ns) << 20;
        let server = Server { ways: (MS, MS), ..GOOD };
        let message = model.exchange(server, false);
        model.adjust(message, &mut random);
        model.pass(5 * SECOND);
        let late = model.late();
        if let Ok(exchange) = &late {
            assert_eq!(model.miss(exchange), 0, "{off_ns}: {exchange:?}");
        }
        late
    };
    for off_ns in [-3 * SECOND, -450 * MS, -300 * MS, 300 * MS, 450 * MS, 3 * SECOND] {
        assert!(jumped(off_ns).is_ok(), "{off_ns}: {:?}", jumped(off_ns));
    }
    for off_ns in [400 * MS, -400 * MS] {
        assert_eq!(jumped(off_ns), Err(TooLate::StepOrSlew), "{off_ns}");
    }
}

#[test]
fn the_previous_correction_counts_that_ran_on_unseen() {
    // A large correction is replaced right after a second began, so it runs for nearly all of it.
    for sign in [-1, 1] {
        let mut random = Random(13);
        let mut model = Model::new(0);
        model.status = STA_PLL;
        model.constant = 1;
        model.offset_ns = sign * 399 * MS;
        let to_second = SECOND - model.wall_ns().rem_euclid(SECOND);
        model.pass(to_second + 20 * MS);
        let message =
            model.exchange(Server { ways: (MS, MS), dispersion_us: 10, off_ns: 0 }, false);
        model.adjust(message, &mut random);
        model.pass(3 * SECOND);
        let late = model.late().expect("nothing else happened");
        assert_eq!(model.miss(&late), 0, "{late:?}");
        // Half of it at least is what the previous correction may have done.
        assert!(late.unix_ns.1 - late.unix_ns.0 > 50 * MS, "{late:?}");
    }
}

#[test]
fn a_large_correction_is_less_than_what_the_kernel_takes_off() {
    // With a constant of 0 a tenth of a second is taken in the first second, which lasts that much
    // shorter or longer. T4 is at the end of a second, so that nothing else is unseen.
    for ahead in [-395 * MS, 395 * MS] {
        let mut random = Random(17);
        let mut model = Model::new(0);
        model.poll_min_s = 1_024;
        model.poll_s = 16;
        model.step(-5 * MS - ahead);
        let to_second = SECOND - model.wall_ns().rem_euclid(SECOND);
        model.pass(to_second + 900 * MS);
        let message =
            model.exchange(Server { ways: (MS, MS), dispersion_us: 10, off_ns: 0 }, false);
        model.adjust(message, &mut random);
        model.pass(20 * SECOND);
        let late = model.late().expect("nothing else happened");
        assert_eq!(model.miss(&late), 0, "{late:?}");
    }
}
