//! [`Probe`]: what the operating system shows a thread about itself.
//!
//! This file only reads. `classify.rs` decides what the readings mean. What there is to
//! read depends on the system: `linux` has all of it. `other` has nothing, so that a
//! monitor there sees by its own lateness alone.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod other;

use std::fs::File;
use std::time::{Duration, Instant};

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as system;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use other as system;

use super::observation::{Observation, RtcReading};

pub(super) use system::{open_run_queue, queued, suspended_time};

/// The least time between two readings of the real-time clock chip. A reading costs tens
/// of microseconds on a real chip, and an exit to the hypervisor on a virtual one.
const RTC_PERIOD: Duration = Duration::from_secs(1);

/// If an observation took longer than this, the thread was interrupted in between.
const MAX_DURATION: Duration = Duration::from_millis(1);

/// Which traces of a pause this host lets a monitor read. All of them are Linux's, and
/// without them a late thread is a pause of the kind
/// [`Unknown`](super::PauseKind::Unknown).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Probes {
    /// `/proc/thread-self/schedstat`: distinguishes a busy scheduler from other causes.
    pub run_queue: bool,
    /// `getrusage` of a thread: distinguishes a stopped process from a late timer.
    pub switches: bool,
    /// `CLOCK_BOOTTIME`: shows a suspend.
    pub boot_time: bool,
    /// `/sys/class/rtc/rtc0/since_epoch`: the only probe that shows the stop of a virtual
    /// machine.
    pub real_time_clock: bool,
}

/// The open files of one thread, which it reads again and again.
pub(super) struct Probe {
    run_queue: Option<File>,
    rtc: Option<File>,
    last_rtc: Option<(Instant, RtcReading)>,
}

impl Probe {
    /// The probe of the calling thread. Only this thread may use it.
    pub(super) fn of_this_thread() -> Probe {
        let run_queue = open_run_queue();
        Probe { run_queue, rtc: system::open_rtc(), last_rtc: None }
    }

    /// An observation whose readings belong together.
    ///
    /// If the thread was stopped in the middle of it, it is repeated. Otherwise one
    /// reading would show the stop and another would not.
    pub(super) fn observe(&mut self) -> Observation {
        let mut began = Instant::now();
        let mut observation = self.observe_once();
        for _ in 0..3 {
            if observation.at.saturating_duration_since(began) < MAX_DURATION {
                break;
            }
            began = Instant::now();
            observation = self.observe_once();
        }
        observation
    }

    fn observe_once(&mut self) -> Observation {
        let suspended = suspended_time();
        let queued = self.run_queue.as_ref().and_then(queued);
        let switches = system::switches();
        let rtc = self.read_rtc();
        Observation { at: Instant::now(), suspended, queued, switches, rtc }
    }

    /// A reading of the chip that is not older than [`RTC_PERIOD`].
    fn read_rtc(&mut self) -> Option<RtcReading> {
        let file = self.rtc.as_ref()?;
        let now = Instant::now();
        if let Some((taken, reading)) = self.last_rtc {
            if now.saturating_duration_since(taken) < RTC_PERIOD {
                return Some(reading);
            }
        }
        let reading = system::read_rtc(file)?;
        self.last_rtc = Some((now, reading));
        Some(reading)
    }

    /// Which of the readings this host offers.
    pub(super) fn offers(&mut self) -> Probes {
        let Observation { suspended, queued, switches, rtc, .. } = self.observe();
        Probes {
            run_queue: queued.is_some(),
            switches: switches.is_some(),
            boot_time: suspended.is_some(),
            real_time_clock: rtc.is_some(),
        }
    }
}
