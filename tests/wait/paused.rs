//! Asynchronous waits in a runtime whose time is paused, as in the tests of many programs.
//!
//! Such a runtime leaps to its next timer whenever all tasks are idle. It knows nothing
//! of the real time in which a running clock and the waiter's thread live.

use std::future::{Future, poll_fn};
use std::time::Duration;

use crate::clocks::{LONG, MS, at_ms, manual_ms};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};
use truechimer::wait::WaitSettings;
use truechimer::{
    Clock, ClockError, Counter, Interval, Reason, Sample, Source, SourceError, TrueTime, WaitError,
    Waiter,
};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

#[test]
fn a_wait_on_a_manual_clock_ends_when_the_clock_is_advanced_and_no_paused_time_is_lost() {
    let clock = manual_ms(0, 1);
    let waiter = Waiter::with_settings(clock.clone(), WaitSettings::default().patience(LONG));
    paused().block_on(async {
        let began = Instant::now();
        let time = tokio::spawn(async move {
            for _ in 0..5 {
                sleep(MS).await;
                clock.advance(MS);
            }
        });
        timeout(LONG, waiter.wait_async(at_ms(4))).await.expect("in time").expect("it has passed");
        // In the fifth millisecond by the clock, and by the runtime's time.
        assert_eq!(waiter.clock().earliest(), Ok(at_ms(5)));
        assert!(began.elapsed() < 10 * MS, "{:?} of paused time", began.elapsed());
        time.await.expect("no panic");
    });
}

#[test]
fn a_wait_on_a_manual_clock_that_stands_still_ends_as_stalled() {
    let settings = WaitSettings::default().patience(20 * MS);
    let waiter = Waiter::with_settings(manual_ms(0, 1), settings);
    let result = paused().block_on(async {
        // It is polled again and again, and learns nothing new each time.
        let mut wait = std::pin::pin!(waiter.wait_async(at_ms(4)));
        poll_fn(|context| {
            context.waker().wake_by_ref();
            wait.as_mut().poll(context)
        })
        .await
    });
    match result {
        Err(WaitError::Stalled { stood }) => assert!(stood >= 20 * MS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_clocks_own_waits_end_in_real_time_and_need_no_time_of_the_runtime() {
    let clock = Clock::builder().without_kernel().assume_error(MS).build().expect("a clock");
    paused().block_on(async {
        let began = Instant::now();
        let now = clock.wait_synchronized_async(LONG).await.expect("the operator states it");
        let commit = now.latest();
        tokio::spawn(clock.commit_wait_async(commit)).await.expect("no panic").expect("it passes");
        assert_eq!(clock.after(commit), Ok(true));
        assert_eq!(began.elapsed(), Duration::ZERO, "the runtime's time stood still");
    });
}

#[test]
fn a_wait_for_synchronization_that_is_in_vain_ends_at_its_limit_in_real_time() {
    let clock = Clock::builder().without_kernel().source(Never).build().expect("a clock");
    while clock.report().sampler.rounds == 0 {
        std::thread::yield_now(); // on a busy host its thread may begin late
    }
    let real = std::time::Instant::now();
    let waited = paused().block_on(clock.wait_synchronized_async(20 * MS));
    assert_eq!(waited, Err(ClockError::Unsynchronized(Reason::SourceFailed)));
    assert!(real.elapsed() >= 20 * MS);
}

/// A source that states nothing.
struct Never;

impl Source for Never {
    fn name(&self) -> &str {
        "never"
    }

    fn sample(&mut self, _: &Counter) -> Result<Sample, SourceError> {
        Err(SourceError::failed("for the test"))
    }
}

/// The runtime's time. Outside of the runtime, and so in the waiter's thread, it is real time.
struct PausedTime(Instant);

impl TrueTime for PausedTime {
    fn now(&self) -> Result<Interval, ClockError> {
        Ok(Interval::from(at_ms(0).saturating_add(self.0.elapsed())))
    }
}

#[test]
fn a_wait_that_is_woken_again_and_again_while_its_clock_stands_still_ends_as_stalled() {
    let real = std::time::Instant::now();
    paused().block_on(async {
        let began = Instant::now();
        let settings = WaitSettings::default().patience(20 * MS);
        let waiter = Waiter::with_settings(PausedTime(began), settings);
        // Its thread sees the moment pass in real time. The task never does.
        match waiter.wait_async(at_ms(4)).await {
            Err(WaitError::Stalled { stood }) => assert!(stood >= 20 * MS),
            other => panic!("{other:?}"),
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "the runtime's time stood still");
    });
    assert!(real.elapsed() >= 20 * MS);
}
