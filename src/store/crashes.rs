//! [`Crashes`]: thousands of random crashes of whatever keeps a number in a store.
//!
//! Each world is a [`ModelDisk`] and several starts of one program after each other. In a start
//! the program opens its store and makes promises, each larger than the one before, until it
//! ends: of itself, by a kill in the middle of an operation, or because power fails. Some
//! operations return errors. What was promised must hold at the next start.

use std::io::ErrorKind;

use super::model::ModelDisk;

/// How something that keeps a number is opened and used.
pub(crate) struct Crashes<P> {
    /// Makes it, for the first start. It has promised 0.
    pub(crate) create: fn(&ModelDisk) -> Result<P, String>,
    /// Opens it at a later start.
    pub(crate) open: fn(&ModelDisk) -> Result<P, String>,
    /// The largest number that it has promised, as it says itself.
    pub(crate) held: fn(&mut P) -> Result<u64, String>,
    /// Promises this number.
    pub(crate) promise: fn(&mut P, u64) -> Result<(), String>,
}

/// What happened, so that a test can see that all of it did.
#[derive(Default, Debug)]
pub(crate) struct Happened {
    pub(crate) crashes: u64,
    pub(crate) promises: u64,
    /// Promises that were refused, because an operation failed or the program had ended.
    pub(crate) refused: u64,
    /// Starts that found a number which was never promised, because a crash fell in between.
    pub(crate) found_more: u64,
    /// First starts that had to be repeated.
    pub(crate) created_again: u64,
}

impl<P> Crashes<P> {
    /// Runs worlds until there were as many crashes.
    ///
    /// # Errors
    ///
    /// What was lost, and in which world.
    pub(crate) fn run(&self, crashes: u64) -> Result<Happened, String> {
        let mut happened = Happened::default();
        for seed in 0.. {
            self.world(seed, &mut happened).map_err(|lost| format!("world {seed}: {lost}"))?;
            if happened.crashes >= crashes {
                break;
            }
        }
        Ok(happened)
    }

    fn world(&self, seed: u64, happened: &mut Happened) -> Result<(), String> {
        let disk = ModelDisk::new(seed);
        // Nothing is promised before the first creation has succeeded.
        let mut promised = None;
        let mut asked = 0;
        for _ in 0..8 {
            let is_disturbed = disturb(&disk);
            let opened = match promised {
                None => self.first_start(&disk, happened),
                Some(_) => (self.open)(&disk),
            };
            let mut program = match opened {
                Ok(program) => Some(program),
                Err(_) if is_disturbed => None,
                Err(error) => return Err(format!("{promised:?} was promised, but {error}")),
            };
            if let Some(program) = &mut program {
                self.check(program, &mut promised, asked, is_disturbed, happened)?;
                for _ in 0..disk.below(4) {
                    asked += 1 + disk.below(3);
                    // A program repeats what has failed.
                    for _ in 0..1 + disk.below(2) {
                        match (self.promise)(program, asked) {
                            Ok(()) => {
                                promised = Some(asked);
                                happened.promises += 1;
                            }
                            Err(_) => happened.refused += 1,
                        }
                    }
                    if disk.below(3) == 0 {
                        self.check(program, &mut promised, asked, true, happened)?;
                    }
                }
            }
            // One that ends of itself may tidy up. A crash does not wait for that.
            if disk.below(4) == 0 {
                drop(program.take());
            }
            match disk.below(3) {
                0 => disk.kill(),
                _ => disk.lose_power(),
            }
            happened.crashes += 1;
            drop(program);
        }
        Ok(())
    }

    /// What an operator does until the first start succeeds.
    fn first_start(&self, disk: &ModelDisk, happened: &mut Happened) -> Result<P, String> {
        let error = match (self.create)(disk) {
            Ok(program) => return Ok(program),
            Err(error) => error,
        };
        happened.created_again += 1;
        match (self.open)(disk) {
            // The creation was complete, only nobody had been told.
            Ok(program) => Ok(program),
            Err(_) if error.contains("its first creation was interrupted") => {
                disk.delete("/place/state.lock");
                (self.create)(disk)
            }
            Err(_) => Err(error),
        }
    }

    /// What it says must not be less than was promised, nor more than was asked.
    fn check(
        &self,
        program: &mut P,
        promised: &mut Option<u64>,
        asked: u64,
        is_disturbed: bool,
        happened: &mut Happened,
    ) -> Result<(), String> {
        let held = match (self.held)(program) {
            Ok(held) => held,
            Err(_) if is_disturbed => return Ok(()),
            Err(error) => return Err(error),
        };
        let least = promised.unwrap_or(0);
        if held < least {
            return Err(format!("{least} was promised, and {held} is there"));
        }
        if held > asked {
            return Err(format!("{held} is there, and only {asked} was asked for"));
        }
        happened.found_more += u64::from(held > least);
        // It stands by this number from now on.
        *promised = Some(held);
        Ok(())
    }
}

/// Plans a stop or a failure in two of three starts.
fn disturb(disk: &ModelDisk) -> bool {
    disk.mend();
    let operations = disk.below(60);
    match disk.below(6) {
        0 | 1 => disk.stop_after(operations),
        2 => disk.fail_after(operations, ErrorKind::Other),
        3 => disk.fail_after(operations, ErrorKind::StorageFull),
        _ => return false,
    }
    true
}
