//! [`SimHost`]: a simulated machine, as the shipping clock reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::hardware::Hardware;
use crate::host::{
    HardwareCounter, HardwareKind, Host, HostClock, HostError, KernelState, ProcessKey,
};

/// A machine of the simulated world.
#[derive(Clone)]
pub(super) struct SimHost {
    hardware: Arc<Mutex<Hardware>>,
    /// True time in the world.
    truth: Arc<AtomicI64>,
}

impl SimHost {
    pub(super) fn new(hardware: Hardware, truth: Arc<AtomicI64>) -> SimHost {
        SimHost { hardware: Arc::new(Mutex::new(hardware)), truth }
    }

    pub(super) fn hardware(&self) -> MutexGuard<'_, Hardware> {
        self.hardware.lock()
    }

    fn now(&self) -> i64 {
        self.truth.load(Ordering::Relaxed)
    }

    /// The last true time that was reached on this machine.
    pub(super) fn reached(&self) -> i64 {
        self.hardware.lock().reached
    }
}

impl Host for SimHost {
    fn ticks_unordered(&self) -> u64 {
        self.hardware().ticks_unordered(self.now())
    }

    fn ticks_ordered(&self) -> u64 {
        self.hardware().ticks(self.now())
    }

    fn ticks_fenced(&self) -> u64 {
        self.hardware().ticks(self.now())
    }

    fn fence(&self) {}

    fn hardware_counter(&self) -> Option<HardwareCounter> {
        self.hardware().has_hardware_counter().then_some(HardwareCounter {
            kind: HardwareKind::Tsc,
            is_invariant: true,
            has_cheap_order: true,
        })
    }

    fn clocksource(&self) -> Result<String, HostError> {
        Ok("tsc".to_owned())
    }

    fn nanos(&self, clock: HostClock) -> Result<i64, HostError> {
        self.hardware().nanos(self.now(), clock)
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        Ok(self.hardware().kernel_state(self.now()))
    }

    fn process(&self) -> ProcessKey {
        ProcessKey::simulated(self.hardware().process_id)
    }

    fn sleep(&self, time: Duration) {
        self.hardware().sleep(self.now(), time);
    }
}
