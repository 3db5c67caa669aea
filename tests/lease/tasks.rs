//! Sections whose work is a future.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use truechimer::fence::FencingToken;
use truechimer::lease::{Lease, LeaseError, SectionOutcome};
use truechimer::{ClockError, Interval, ManualClock, Timestamp};

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_tai_nanos(nanos)
}

fn exact(nanos: i64) -> Interval {
    Interval::from(at(nanos))
}

fn lease() -> Lease {
    Lease::new(FencingToken(7), at(1_000))
}

/// Is pending once, and then returns.
fn yield_once() -> impl Future<Output = ()> {
    let mut is_first = true;
    poll_fn(move |context| {
        context.waker().wake_by_ref();
        if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
    })
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}

/// The write of the issue: it runs after the lease has ended.
#[test]
fn the_lease_is_checked_when_the_future_has_ended() {
    let clock = ManualClock::new(exact(500));
    let lease = lease();
    let section = lease.run_async(&clock, |token| async move {
        yield_once().await;
        token
    });
    let mut section = pin!(section);
    assert!(poll(section.as_mut()).is_pending());
    clock.set(exact(1_201));
    let Poll::Ready(Ok(outcome)) = poll(section.as_mut()) else { panic!("it has ended") };
    let error =
        LeaseError::Expired { expires: at(1_000), ago: std::time::Duration::from_nanos(201) };
    assert_eq!(outcome, SectionOutcome::Overran { result: FencingToken(7), error });

    clock.set(exact(500));
    let covered = finish(lease.run_async(&clock, |token| async move {
        yield_once().await;
        token.get() + 1
    }));
    assert_eq!(covered, Ok(SectionOutcome::Covered(8)));
    let failed =
        finish(lease.run_async(&clock, |_| async { clock.fail(ClockError::Contradicted) }));
    let error = LeaseError::NoClock(ClockError::Contradicted);
    assert_eq!(failed, Ok(SectionOutcome::Overran { result: (), error }));
    assert_eq!(lease.abandoned(), 0);
}

#[test]
fn without_a_lease_the_section_does_not_begin() {
    let clock = ManualClock::new(exact(1_001));
    let lease = lease();
    let mut began = false;
    let refused = finish(lease.run_async(&clock, |_| {
        began = true;
        async {}
    }));
    assert!(matches!(refused, Err(LeaseError::Expired { .. })), "{refused:?}");
    assert!(!began);
    assert_eq!(lease.abandoned(), 0);
}

/// The first check is made when the work begins, and not when the future is made.
#[test]
fn a_future_that_waits_for_its_first_poll_checks_then() {
    let clock = ManualClock::new(exact(500));
    let lease = lease();
    let section = lease.run_async(&clock, |_| async {});
    clock.set(exact(2_000));
    assert!(finish(section).is_err());
}

#[test]
fn a_dropped_future_is_counted_if_its_section_began() {
    let clock = ManualClock::new(exact(500));
    let lease = lease();
    drop(lease.run_async(&clock, |_| std::future::pending::<()>()));
    assert_eq!(lease.abandoned(), 0, "it has done nothing");
    for count in 1..3 {
        let mut section = Box::pin(lease.run_async(&clock, |_| std::future::pending::<()>()));
        assert!(poll(section.as_mut()).is_pending());
        assert_eq!(lease.abandoned(), count - 1);
        drop(section);
        assert_eq!(lease.abandoned(), count);
    }
}

#[test]
fn a_section_that_panics_is_counted() {
    let clock = ManualClock::new(exact(500));
    let lease = lease();
    let blocking = || lease.run(&clock, |_| panic!("in the section"));
    assert!(catch_unwind(AssertUnwindSafe(|| _ = blocking())).is_err());
    assert_eq!(lease.abandoned(), 1);
    let section = || finish(lease.run_async(&clock, |_| async { panic!("in the section") }));
    assert!(catch_unwind(AssertUnwindSafe(|| _ = section())).is_err());
    assert_eq!(lease.abandoned(), 2);
}

/// The future can be given to an executor with threads.
#[test]
fn the_future_can_be_sent() {
    let clock = ManualClock::new(exact(500));
    let lease = Arc::new(lease());
    let task = {
        let (clock, lease) = (clock.clone(), lease.clone());
        async move { lease.run_async(&clock, |token| async move { token }).await }
    };
    let outcome = std::thread::spawn(move || finish(task)).join().expect("no panic");
    assert_eq!(outcome, Ok(SectionOutcome::Covered(FencingToken(7))));
}
