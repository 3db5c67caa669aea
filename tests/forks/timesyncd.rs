//! A forked child listens to timesyncd by itself.
//!
//! The thread that listens is its parent's, and does not exist in the child.

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};
use truechimer::source::timesyncd::Timesyncd;
use truechimer::{Clock, Status};

use crate::bus::Bus;

/// An exchange counts when the wall clock was watched for some seconds before it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Samples until an exchange of now counts, and says whether one did.
fn follow(clock: &Clock) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if clock.refresh().is_ok() && clock.status() == Status::Synchronized {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

#[test]
fn a_forked_child_asks_the_bus_itself() {
    let bus = Bus::new();
    // Without a thread that samples, so that no round is under way at the fork.
    let timesyncd = Timesyncd::at(bus.path());
    let clock =
        Clock::builder().without_kernel().source(timesyncd).manual().build().expect("it builds");
    assert!(follow(&clock), "{:?}", clock.report());
    let before = clock.now().expect("it is synchronised");
    // SAFETY: the child leaves by `_exit` or by its alarm. It uses only the clock, which is made
    // for forks, and takes no lock of the bus's threads.
    match unsafe { libc::fork() } {
        0 => {
            alarm::set(PATIENCE.as_secs() as libc::c_uint + 10);
            let is_carried_on = clock.now().is_ok_and(|now| !now.definitely_before(&before));
            // Its own line begins to listen, and has watched nothing so far.
            let is_refreshed = clock.refresh().is_ok_and(|now| !now.definitely_before(&before));
            let code = match is_carried_on && is_refreshed {
                false => 1,
                true => 2 * i32::from(!follow(&clock)),
            };
            // SAFETY: ends the child and runs nothing of it.
            unsafe { libc::_exit(code) }
        }
        child => {
            let ended = waitpid(Pid::from_raw(child), None).expect("our own child");
            let fine = WaitStatus::Exited(Pid::from_raw(child), 0);
            assert_eq!(ended, fine, "1: not carried on; 2: not synchronised by itself");
            let askers = bus.askers();
            assert!(askers.contains(&(process::id() as i32)), "the parent has asked");
            assert!(askers.contains(&child), "and the child: {askers:?}");
        }
    }
    assert!(follow(&clock), "the parent goes on");
}
