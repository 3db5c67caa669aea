//! Random crashes of a clock with a mark, on a disk that loses what was not synced.
//!
//! In each start the clock reads something else, also less than before, so only the mark keeps
//! a stamp from being issued twice. There is no thread, because each world follows from its
//! number.

use std::cell::Cell;
use std::io::ErrorKind;
use std::time::Duration;

use super::builder::HlcBuilder;
use super::error::HlcError;
use super::hlc::Hlc;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::interval::Interval;
use crate::snapshot::ClockError;
use crate::store::crashes::{disturb, first_start};
use crate::store::model::ModelDisk;
use crate::timestamp::Timestamp;

const PATH: &str = "/place/state";
const WINDOW: Duration = Duration::from_nanos(40);

#[derive(Default, Debug)]
struct Happened {
    crashes: u64,
    stamps: u64,
    refused: u64,
}

/// A clock that reads what it is set to, in nanoseconds.
struct Set(Cell<i64>);

impl TrueTime for &Set {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(Interval::from(Timestamp::from_tai_nanos(self.0.get())))
    }
}

fn builder(clock: &Set) -> HlcBuilder<&Set> {
    Hlc::builder(clock).window(WINDOW).open_wait(Duration::ZERO).without_thread()
}

/// What was issued twice or out of order in one world.
fn world(seed: u64, happened: &mut Happened) -> Result<(), String> {
    let disk = ModelDisk::new(seed);
    let (mut is_created, mut greatest) = (false, Stamp::MIN);
    let mut time = 1_000;
    for _ in 0..8 {
        let is_disturbed = disturb(&disk);
        let clock = Set(Cell::new(time));
        let create = || {
            let store = disk.create_new(PATH).map_err(|error| error.to_string())?;
            builder(&clock).create_new_in(store).map_err(|error| error.to_string())
        };
        let open = || {
            let store = disk.open_existing(PATH).map_err(|error| error.to_string())?;
            builder(&clock).open_existing_in(store).map_err(|error| error.to_string())
        };
        let opened = match is_created {
            true => open(),
            false => first_start(&disk, create, open).map(|(hlc, _)| hlc),
        };
        let mut hlc = match opened {
            Ok(hlc) => Some(hlc),
            Err(_) if is_disturbed => None,
            Err(error) => return Err(format!("it does not open: {error}")),
        };
        if let Some(hlc) = &hlc {
            is_created = true;
            for _ in 0..disk.below(12) {
                // Up to twice the window, so that some need a write and some do not.
                time += disk.below(80) as i64;
                clock.0.set(time);
                match hlc.stamp() {
                    Ok(stamp) if stamp <= greatest => {
                        return Err(format!("{stamp:?} is issued after {greatest:?}"));
                    }
                    Ok(stamp) => {
                        greatest = stamp;
                        happened.stamps += 1;
                    }
                    Err(_) => happened.refused += 1,
                }
            }
        }
        if disk.below(4) == 0 {
            drop(hlc.take());
        }
        match disk.below(3) {
            0 => disk.kill(),
            _ => disk.lose_power(),
        }
        happened.crashes += 1;
        drop(hlc);
        // The machine comes back with another time of day.
        time -= disk.below(120) as i64;
    }
    Ok(())
}

/// A new clock at `START` with a mark that is raised by a microsecond at a time.
const START: i64 = 1_000_000;

fn with_a_microsecond<'c>(disk: &ModelDisk, clock: &'c Set) -> Hlc<&'c Set> {
    let store = disk.create_new(PATH).expect("the disk is empty");
    let builder = builder(clock).window(Duration::from_micros(1));
    let hlc = builder.create_new_in(store).expect("the disk works");
    hlc.stamp().expect("the disk works");
    hlc
}

#[test]
fn a_write_that_fails_is_no_error_while_a_part_of_the_window_is_left() {
    let (disk, clock) = (ModelDisk::new(1), Set(Cell::new(START)));
    let hlc = with_a_microsecond(&disk, &clock);
    for ns in [400, 600, 700, 950, 990] {
        clock.0.set(START + ns);
        // The next operation fails, and those after it do not.
        disk.fail_after(0, ErrorKind::Other);
        assert!(hlc.stamp().is_ok(), "after {ns} ns");
    }
    clock.0.set(START + 5_000);
    disk.fail_after(0, ErrorKind::Other);
    assert!(hlc.stamp().is_err(), "the window is used up");
    disk.mend();
    assert!(hlc.stamp().is_ok());
}

#[test]
fn a_stamp_that_may_not_wait_is_issued_up_to_the_mark() {
    let (disk, clock) = (ModelDisk::new(1), Set(Cell::new(START)));
    let hlc = with_a_microsecond(&disk, &clock);
    for ns in [400, 600, 950] {
        clock.0.set(START + ns);
        assert!(hlc.try_stamp().is_ok(), "after {ns} ns");
    }
    clock.0.set(START + 5_000);
    assert!(matches!(hlc.try_stamp(), Err(HlcError::MarkUsedUp { .. })));
}

#[test]
fn a_mark_that_was_renewed_lasts_for_half_of_a_window() {
    let (disk, clock) = (ModelDisk::new(1), Set(Cell::new(START)));
    let hlc = with_a_microsecond(&disk, &clock);
    clock.0.set(START + 700);
    hlc.renew_mark().expect("the disk works");
    disk.fail_after(0, ErrorKind::Other);
    clock.0.set(START + 1_190);
    assert!(hlc.stamp().is_ok(), "less than half of a window later");
}

#[test]
fn no_crash_lets_a_stamp_be_issued_again() {
    let mut happened = Happened::default();
    let mut seed = 0;
    while happened.crashes < 10_000 {
        world(seed, &mut happened).unwrap_or_else(|error| panic!("world {seed}: {error}"));
        seed += 1;
    }
    assert!(happened.stamps > 5_000 && happened.refused > 1_000, "{happened:?}");
}
