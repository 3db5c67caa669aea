//! [`SimVmClock`]: the page of a simulated hypervisor, which knows true time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::VmClockModel;
use super::random::{Random, nanos};
use crate::host::{MARKER_WORD, VMCLOCK_WORDS, VmClockPage};
use crate::timestamp::NANOS_PER_SECOND;

/// How often the hypervisor writes the time, in ns.
const EVERY_NS: i64 = 100_000_000;

/// The period is stated to within this, more than A2 allows for in these worlds, in ppm.
const PERIOD_ERROR_PPM: u128 = 250;

/// The page, and what is written there.
pub(super) struct SimVmClock {
    model: VmClockModel,
    words: Arc<[AtomicU64; VMCLOCK_WORDS]>,
    written_at: Option<i64>,
}

impl SimVmClock {
    pub(super) fn new(model: VmClockModel) -> SimVmClock {
        let words: Arc<[AtomicU64; VMCLOCK_WORDS]> = Arc::default();
        // Magic and size, and version 1 with no counter or the TSC; the time is TAI.
        let counter_id = if model == VmClockModel::Marker { 0xff } else { 1 };
        words[0].store(104 << 32 | 0x4b4c_4356, Ordering::Relaxed);
        words[1].store(1 << 24 | counter_id << 16 | 1, Ordering::Relaxed);
        words[MARKER_WORD].store(1, Ordering::Relaxed);
        SimVmClock { model, words, written_at: None }
    }

    /// The page, and whether it states the time.
    pub(super) fn page(&self) -> (VmClockPage, bool) {
        (VmClockPage::simulated(&self.words), matches!(self.model, VmClockModel::Time(_)))
    }

    /// The machine was moved.
    pub(super) fn disrupt(&mut self) {
        self.words[MARKER_WORD].fetch_add(1, Ordering::Relaxed);
        self.written_at = None;
    }

    /// Whether the hypervisor writes the time again at `t`.
    pub(super) fn is_due(&self, t: i64) -> bool {
        let is_old = self.written_at.is_none_or(|at| t - at >= EVERY_NS);
        matches!(self.model, VmClockModel::Time(_)) && is_old
    }

    /// Writes that the time is `t`, to within the stated error, where the counter shows `tick`.
    pub(super) fn write_time(
        &mut self,
        t: i64,
        tick: u64,
        step_ns: u64,
        hertz: u64,
        random: &mut Random,
    ) {
        let VmClockModel::Time(error) = self.model else { return };
        let error_ns = nanos(error).max(10);
        // The counter began to show this up to a step ago.
        let step_ns = i64::try_from(step_ns).unwrap_or(0).min(error_ns - 2);
        let stated = t + random.between(2 - error_ns + step_ns, error_ns - 2 - step_ns);
        let shift = hertz.ilog2();
        let period = ((1_u128 << (64 + shift)) / u128::from(hertz)).min(u128::from(u64::MAX));
        let seconds = stated.div_euclid(NANOS_PER_SECOND);
        let fraction = (stated.rem_euclid(NANOS_PER_SECOND) as u128) << 64;
        let fraction = fraction / NANOS_PER_SECOND as u128;
        let written = [
            // Both maximum errors are valid; synchronised.
            (3, 16 | 64),
            (4, u64::from(shift) << 56 | 2 << 16),
            (5, tick),
            (6, period as u64),
            (8, (period * PERIOD_ERROR_PPM / 1_000_000) as u64 + 1),
            (9, seconds.unsigned_abs()),
            (10, fraction as u64),
            (12, error_ns.unsigned_abs()),
        ];
        for (index, word) in written {
            self.words[index].store(word, Ordering::Relaxed);
        }
        // The number of the update is even: nobody reads while it is written.
        self.words[1].fetch_add(2 << 32, Ordering::Release);
        self.written_at = Some(t);
    }
}
