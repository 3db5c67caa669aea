//! [`Stop`] on Linux: signals and standard output are waited for together.
//!
//! A signal handler could only set a flag, and the sleep would have to be cut into pieces
//! to notice it. So the signals are blocked and read from a descriptor instead. `ppoll`
//! waits for it together with standard output, where a closed pipe shows at once and not
//! at the next line.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;

use super::wait::Wait;

/// What stops a wait.
pub struct Stop {
    /// `None` if no descriptor could be opened. Signals then have their default action.
    signals: Option<SignalFd>,
}

impl Stop {
    /// Blocks the signals in this thread and in all that it starts later, so call it before
    /// the clock is built.
    pub fn new() -> Stop {
        let mask: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).ok();
        Stop { signals: signals.filter(|_| mask.thread_block().is_ok()) }
    }

    /// Waits for this time.
    pub fn wait(&self, time: Duration) -> Wait {
        self.poll(PollFlags::empty(), Some(time))
    }

    /// Waits until standard output has room for a line.
    pub fn wait_for_room(&self) -> Wait {
        self.poll(PollFlags::POLLOUT, None)
    }

    fn poll(&self, events: PollFlags, timeout: Option<Duration>) -> Wait {
        let start = Instant::now();
        let stdout = io::stdout();
        loop {
            // An error or a hang-up of standard output is reported whatever `events` are.
            let mut fds = vec![PollFd::new(stdout.as_fd(), events)];
            if let Some(signals) = &self.signals {
                fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            match ppoll(&mut fds, left.map(TimeSpec::from_duration), None) {
                Ok(0) => return Wait::Finished,
                Ok(_) => {
                    let has =
                        |fd: &PollFd, flags| fd.revents().is_some_and(|f| f.intersects(flags));
                    let signalled = fds.get(1).is_some_and(|fd| has(fd, PollFlags::all()));
                    let gone = has(&fds[0], PollFlags::all() - PollFlags::POLLOUT);
                    return if signalled || gone { Wait::Stopped } else { Wait::Finished };
                }
                Err(Errno::EINTR) => {}
                // A filter denies ppoll. Sleep instead; the next write notices a closed pipe.
                Err(_) => {
                    std::thread::sleep(left.unwrap_or_default());
                    return Wait::Finished;
                }
            }
        }
    }
}
