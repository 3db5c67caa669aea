//! True time in the guest: a line over its oscillator, which the plan defines.

use std::io;

use crate::plan::Plan;
use crate::{read_plan, sys};

/// True UTC in ns, `elapsed` ns of the oscillator after the plan's start; `gained` is what
/// truth has gained while the oscillator stood still.
pub fn utc(plan: &Plan, elapsed: i64, gained: i64) -> i64 {
    plan.utc_of(plan.true_tai(elapsed) + gained)
}

/// In whose environment a process finds where the oscillator was at the plan's start.
pub const RAW0: &str = "RAW0";

/// The truth as a process beside the conductor knows it, in a guest that never stands still.
pub struct Truth {
    plan: Plan,
    raw0: i64,
}

impl Truth {
    pub fn of_this_process() -> io::Result<Truth> {
        let raw0 = std::env::var(RAW0).map_err(io::Error::other)?;
        Ok(Truth { plan: read_plan()?, raw0: raw0.parse().map_err(io::Error::other)? })
    }

    /// True UTC now, in ns.
    pub fn now(&self) -> i64 {
        utc(&self.plan, sys::raw() - self.raw0, 0)
    }
}
