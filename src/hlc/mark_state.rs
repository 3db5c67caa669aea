//! [`MarkState`]: when the mark is raised, and how far.
//!
//! It takes no lock, reads no clock and writes nothing, so that its rules can be tested by
//! themselves. Its time is the one that has passed since the mark was opened. A mark without a
//! thread has no time: there it is always zero, and every write is asked for.
//!
//! The thread that writes has no access to the node's clock. It need not have: a stamp that
//! was asked for, plus the time since, is about what the clock reads now. An error of this
//! estimate costs a part of the window and breaks no promise, because a mark is only a limit.
//!
//! So the thread raises the mark by itself when half of the window is left, also between two
//! stamps of a node that issues few. After [`RESTS_AFTER`] writes that no stamp needed it
//! rests. The next stamp after that may have to wait for one write.

use std::time::Duration;

use super::window::Window;
use crate::durable::RecordError;
use crate::timestamp::duration_nanos;

/// How many times the mark is raised by itself, two of them in a window, if no stamp asks.
const RESTS_AFTER: u32 = 16;

/// The shortest and the longest pause after a write that failed. In between it is an eighth of
/// the window, so that there are some attempts before the window is used up.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A change of the number in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    /// To this number, which is not below the present one.
    Raise(u64),
    /// To this number, because an operator asked for it.
    Reset(u64),
}

/// What the threads that take stamps and the one that writes tell each other.
#[derive(Debug)]
pub(super) struct MarkState {
    /// Nothing above it may be issued. The number in the store is not below it, however a write
    /// that is under way ends.
    limit: u64,
    pub(super) window: Window,
    /// The stamp that was asked for last, and when.
    asked: (u64, Duration),
    is_wanted: bool,
    writing_since: Option<Duration>,
    /// When the next write is due, though nobody asks.
    next: Option<Duration>,
    /// The writes since a stamp last asked.
    unused: u32,
    /// The reason if the last write failed.
    error: Option<RecordError>,
    /// The number of writes that failed.
    failures: u64,
    /// The number that an operator wants.
    reset: Option<u64>,
    resets: u64,
    reset_result: Option<Result<(), RecordError>>,
}

impl MarkState {
    /// The state of a mark at `stored`, which its store certainly holds.
    pub(super) fn new(stored: u64, window: Duration) -> MarkState {
        MarkState {
            limit: stored,
            window: Window::new(window),
            asked: (stored, Duration::ZERO),
            is_wanted: false,
            writing_since: None,
            next: None,
            unused: 0,
            error: None,
            failures: 0,
            reset: None,
            resets: 0,
            reset_result: None,
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn error(&self) -> Option<&RecordError> {
        self.error.as_ref()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// How many resets were asked for. What was computed before one no longer counts.
    pub(super) fn resets(&self) -> u64 {
        self.resets
    }

    pub(super) fn writing_since(&self) -> Option<Duration> {
        self.writing_since
    }

    /// Where half of the window is left, so that it is time to look here.
    pub(super) fn renew_at(&self) -> u64 {
        self.limit.saturating_sub(self.window.nanos() / 2)
    }

    /// Notes that a stamp asks. Returns whether the writing thread has something new to do.
    pub(super) fn touch(&mut self, stamp: u64, now: Duration) -> bool {
        self.asked = (stamp, now);
        let rested = self.unused >= RESTS_AFTER;
        self.unused = 0;
        if rested && self.writing_since.is_none() && self.next.is_none() {
            self.next = self.due_at();
            return self.next.is_some();
        }
        false
    }

    /// Asks for a higher mark. Returns whether the writing thread has something new to do. While it
    /// writes it has not, and whoever still needs more asks again after that write.
    pub(super) fn ask(&mut self) -> bool {
        let is_new = self.writing_since.is_none() && !self.is_wanted;
        self.is_wanted |= is_new;
        is_new
    }

    /// Asks for the mark at `to`, also if that is lower. The limit is lowered now, because the
    /// lower number is in the store from some moment of the write on.
    pub(super) fn ask_reset(&mut self, floor: u64, now: Duration) {
        let to = floor.saturating_add(self.window.nanos());
        self.limit = self.limit.min(to);
        self.asked = (floor, now);
        self.is_wanted = false;
        self.unused = 0;
        self.resets += 1;
        self.reset = Some(to);
        self.reset_result = None;
    }

    /// The outcome of the reset, once there is one.
    pub(super) fn take_reset_result(&mut self) -> Option<Result<(), RecordError>> {
        self.reset_result.take()
    }

    /// The write to do now. The caller does it, and then calls [`finish`](Self::finish).
    pub(super) fn begin(&mut self, now: Duration) -> Option<Write> {
        let write = if let Some(to) = self.reset {
            Write::Reset(to)
        } else if self.is_wanted || self.next.is_some_and(|next| next <= now) {
            // The window counts from the beginning of this write, and not from when it was
            // asked for: there may have been another write in between.
            let (stamp, at) = self.asked;
            // Without a window nothing but the stamp is covered.
            let at = if self.window.nanos() == 0 { now } else { at };
            let present = stamp.saturating_add(duration_nanos(now.saturating_sub(at)));
            Write::Raise(present.saturating_add(self.window.nanos()).max(self.limit))
        } else {
            return None;
        };
        self.is_wanted = false;
        self.next = None;
        self.writing_since = Some(now);
        Some(write)
    }

    /// When [`begin`](Self::begin) has something to do, if nobody asks before.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Notes how a write ended.
    pub(super) fn finish(&mut self, write: Write, result: Result<(), RecordError>, now: Duration) {
        if let Some(since) = self.writing_since.take() {
            self.window.took(now.saturating_sub(since));
        }
        self.unused = self.unused.saturating_add(1);
        let is_ok = result.is_ok();
        self.error = result.as_ref().err().cloned();
        self.failures += u64::from(!is_ok);
        match write {
            // While a reset waits, the number is about to be lowered again.
            Write::Raise(to) if is_ok && self.reset.is_none() => self.limit = to,
            Write::Raise(_) => {}
            Write::Reset(to) => {
                if is_ok {
                    self.limit = to;
                }
                self.reset = None;
                self.reset_result = Some(result);
            }
        }
        if is_ok {
            self.next = self.due_at();
        } else {
            let pause = self.window.length() / 8;
            self.next = Some(now.saturating_add(pause.clamp(LEAST_PAUSE, LONGEST_PAUSE)));
        }
        if self.unused >= RESTS_AFTER {
            self.next = None;
        }
    }

    /// Notes that there will be no more writes, and why.
    pub(super) fn give_up(&mut self, error: RecordError) {
        self.writing_since = None;
        self.failures += 1;
        if self.reset.take().is_some() {
            self.reset_result = Some(Err(error.clone()));
        }
        self.error = Some(error);
    }

    /// When half of the window will be left. Never, if there is no window.
    fn due_at(&self) -> Option<Duration> {
        let (stamp, at) = self.asked;
        let until = Duration::from_nanos(self.renew_at().saturating_sub(stamp));
        (self.window.nanos() > 0).then(|| at.saturating_add(until))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::store::StoreError;

    const NOW: u64 = 1 << 40;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn after(time: Duration) -> u64 {
        NOW + duration_nanos(time)
    }

    fn failure() -> Result<(), RecordError> {
        let error = std::io::Error::other("the disk is full");
        Err(StoreError::io("write", "the mark", error).into())
    }

    /// A mark with a window of a second, for which a stamp asked at the time 0.
    fn asked() -> MarkState {
        let mut state = MarkState::new(0, ms(1_000));
        state.touch(NOW, ms(0));
        assert!(state.ask());
        state
    }

    /// Does the write that is due at `from`, which takes until `to`. Returns the number.
    fn raise(state: &mut MarkState, from: Duration, to: Duration) -> Option<u64> {
        match state.begin(from) {
            Some(Write::Raise(number)) => {
                state.finish(Write::Raise(number), Ok(()), to);
                Some(number)
            }
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    #[test]
    fn the_window_counts_from_the_beginning_of_the_write() {
        let mut state = asked();
        assert_eq!(raise(&mut state, ms(1_200), ms(1_201)), Some(after(ms(2_200))));
        assert_eq!(state.limit(), after(ms(2_200)));
        assert_eq!(state.renew_at(), after(ms(1_700)));
    }

    #[test]
    fn with_a_slow_store_the_next_write_ends_before_the_window_does() {
        let mut state = asked();
        let latency = ms(1_200);
        raise(&mut state, ms(0), latency).expect("asked for");
        // The first window was too short, because nothing was known. Waiting threads ask again.
        state.touch(after(latency), latency);
        state.ask();
        raise(&mut state, latency, 2 * latency).expect("asked for");
        for _ in 0..10 {
            let (limit, begins) = (state.limit(), state.next().expect("by itself"));
            assert!(raise(&mut state, begins, begins + latency).is_some());
            assert!(after(begins + latency) < limit, "stamps had to wait");
            state.touch(after(begins + latency), begins + latency);
        }
    }

    #[test]
    fn a_node_without_stamps_rests_and_goes_on_with_the_next_stamp() {
        let mut state = asked();
        raise(&mut state, ms(0), ms(1)).expect("asked for");
        let mut raised = 0;
        while let Some(next) = state.next() {
            assert_eq!(raise(&mut state, next - ms(1), next), None, "too early");
            raise(&mut state, next, next + ms(1)).expect("due");
            raised += 1;
        }
        assert_eq!(raised, RESTS_AFTER - 1);
        assert_eq!(raise(&mut state, ms(3_600_000), ms(3_600_000)), None);
        // A stamp below the mark restarts it, and so does one above the mark.
        let at = ms(8_100);
        assert!(after(at) < state.limit());
        assert!(state.touch(after(at), at), "the thread must be woken");
        let next = state.next().expect("by itself again");
        assert!(raise(&mut state, next, next).is_some());
    }

    #[test]
    fn a_failed_write_is_told_at_once_and_tried_again_before_the_window_ends() {
        let mut state = asked();
        raise(&mut state, ms(0), ms(0)).expect("asked for");
        let limit = state.limit();
        let mut attempts = 0;
        while let Some(next) = state.next().filter(|&next| after(next) < limit) {
            let write = state.begin(next).expect("due");
            state.finish(write, failure(), next);
            attempts += 1;
            assert!(state.error().is_some() && state.failures() == attempts);
            assert_eq!(state.limit(), limit);
        }
        assert_eq!(attempts, 4, "at 500, 625, 750 and 875 ms");
        let next = state.next().expect("it goes on");
        raise(&mut state, next, next).expect("due");
        assert!(state.error().is_none() && state.limit() > limit);
    }

    #[test]
    fn a_reset_lowers_the_limit_first_and_a_raise_under_way_does_not_lift_it() {
        let mut state = asked();
        raise(&mut state, ms(0), ms(0)).expect("asked for");
        let before = state.limit();
        let low = NOW - duration_nanos(ms(60_000));
        let to = low + duration_nanos(ms(1_000));
        // The thread is in the middle of raising the mark.
        let under_way = state.begin(ms(500)).expect("due");
        state.ask_reset(low, ms(600));
        assert_eq!(state.limit(), to);
        state.finish(under_way, Ok(()), ms(700));
        assert_eq!(state.limit(), to, "the write of before was announced");
        assert!(before > to && state.take_reset_result().is_none());

        // The limit is the lower of both numbers after a failure, too.
        assert_eq!(state.begin(ms(700)), Some(Write::Reset(to)));
        state.finish(Write::Reset(to), failure(), ms(800));
        assert_eq!(state.limit(), to);
        assert!(state.take_reset_result().is_some_and(|result| result.is_err()));

        // A reset to a number above the limit does not lift it before it is written.
        let high = NOW + duration_nanos(ms(60_000));
        state.ask_reset(high, ms(900));
        assert_eq!(state.limit(), to);
        let write = state.begin(ms(900)).expect("asked for");
        state.finish(write, Ok(()), ms(901));
        assert_eq!(state.limit(), high + duration_nanos(ms(1_000)));
        assert!(matches!(state.take_reset_result(), Some(Ok(()))));
    }

    #[test]
    fn without_a_window_nothing_is_written_by_itself() {
        let mut state = MarkState::new(0, Duration::ZERO);
        state.touch(NOW, ms(0));
        state.ask();
        assert_eq!(raise(&mut state, ms(5), ms(100)), Some(NOW));
        assert_eq!((state.limit(), state.next()), (NOW, None));
    }
}
