//! What a clock does in a service to which the system denies calls (`ProtectClock=yes`, a
//! `SystemCallFilter=`), by real filters.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::time::Duration;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use truechimer::source::KernelState;
use truechimer::source::chrony::Chrony;
use truechimer::{Clock, ClockError, LeapTable, Reason, TrueTime};

const BY_LIBC: i64 = libc::SYS_clock_adjtime;
const BY_HAND: i64 = libc::SYS_adjtimex;

/// What systemd's `ProtectClock=yes` denies.
const CLOCK: &[i64] = &[BY_LIBC, BY_HAND, libc::SYS_clock_settime, libc::SYS_settimeofday];

/// What `ProtectClock=yes` and most sandboxes answer.
const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM as u32);

/// Whether `test` holds in a process of its own to which the system gives `action` for `calls`.
fn confined(calls: &[i64], action: SeccompAction, test: impl FnOnce() -> bool) -> bool {
    let rules = calls.iter().map(|&call| (call, vec![])).collect();
    let arch = std::env::consts::ARCH.try_into().expect("known");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).expect("a filter");
    let program = BpfProgram::try_from(filter).expect("a program");
    // SAFETY: the child leaves by `_exit`; its alarm ends it if it takes a lock that another
    // thread of this process holds.
    match unsafe { libc::fork() } {
        0 => {
            alarm::set(60);
            let holds = apply_filter(&program).is_ok() && test();
            // SAFETY: ends the child and runs nothing of it.
            unsafe { libc::_exit(if holds { 0 } else { 1 }) }
        }
        child => {
            let status = waitpid(Pid::from_raw(child), None).expect("our own child");
            matches!(status, WaitStatus::Exited(_, 0))
        }
    }
}

#[test]
fn a_filter_that_kills_does_not_meet_a_clock_that_does_not_use_the_kernel() {
    let use_it = || {
        let clock = Clock::builder()
            .without_kernel()
            .without_chrony()
            .assume_error(Duration::from_millis(5))
            .build()
            .expect("a clock");
        let _ = (clock.refresh(), clock.reassume(), clock.restored(), clock.report());
        clock.set_leap_table(LeapTable::builtin());
        clock.reassume().is_ok() && clock.now().is_ok()
    };
    assert!(confined(CLOCK, SeccompAction::KillProcess, use_it));
    let asks = || Clock::new().is_ok();
    assert!(!confined(CLOCK, SeccompAction::KillProcess, asks), "or the filter does not kill");
}

#[test]
fn where_libcs_call_alone_is_denied_the_older_one_is_made() {
    assert!(confined(&[BY_LIBC], EPERM, || KernelState::read().is_ok()));
    assert!(confined(&[BY_LIBC], SeccompAction::Errno(libc::ENOSYS as u32), || {
        KernelState::read().is_ok()
    }));
    assert!(confined(&[BY_LIBC, BY_HAND], EPERM, || KernelState::read().is_err()));
}

#[test]
fn where_both_are_denied_and_chronyd_does_not_answer_the_error_names_both() {
    assert!(confined(CLOCK, EPERM, || {
        // Nothing listens there: port 9 is "discard", and this is the loopback.
        let nowhere = Chrony::udp(([127, 0, 0, 1], 9).into(), LeapTable::builtin());
        let clock = Clock::builder().without_kernel().source(nowhere).manual().build();
        let clock = clock.expect("a clock");
        let said = clock.report().sources[0].to_string();
        clock.now() == Err(ClockError::Unsynchronized(Reason::Denied))
            && TrueTime::now(&clock).is_err()
            && said.contains("adjtimex cannot be read")
            && said.contains("chronyd is not running")
    }));
}
