//! Which program wrote the kernel's bound, and whether it may be believed.
//!
//! `maxerror` is a number without an author. The same 57 µs is a bound if chronyd wrote it, the
//! last measured *offset* if ptpd did, and nothing at all if it comes from an ntpd that follows
//! its own local clock. The first version of this module refused what it knew to be bad: the
//! marks of writers that state no bound, and hosts on which only such writers were visible. In a
//! container no process of the host is visible, so everything was believed. With an ntpd-rs on
//! the host, 828 960 of 828 960 readings were wrong.
//!
//! So belief needs positive evidence of a writer that states a bound. Not being able to see the
//! writer is not knowing it ([rule 3](crate::_design#rule-3)).
//!
//! | evidence | what is required of it |
//! |---|---|
//! | chronyd answers TRACKING | it is synchronised, and not to itself; the answer fits the kernel (`source::chrony::fit`); its port belongs to root or to chrony's user |
//! | ntpd or ntpsec answers mode 6 | it follows a server (a system peer; not LOCAL, not orphan; leap, stratum), and the kernel's PLL is in use, as both use it; its port belongs to root or to ntpd's user |
//! | ClockBound's segment | version 3 (older ones belong to a daemon that does not set the clock), root's file, status synchronised or free running, written within five minutes |
//! | `believe_any_writer()` | the operator knows what runs on the host |
//!
//! A process alone is no evidence for a bound, because it does not show what its program
//! follows. It is evidence against one, if it has the privilege to set the clock: where only
//! programs run that state no bound, none of them can have written one.
//!
//! Behind a reference clock (PHC, GPS) chronyd and ntpd state how *steady* it is, because they
//! take the reference itself for exact. Its own error has to come from the operator, from the
//! configured delay, or from the device's driver ([`Reason::ReferenceStatesNoBound`]).
//!
//! All that judge ask here: the [`kernel`](super::kernel) source, the
//! [`chrony`](super::chrony) source, and `truechimer doctor` through both.

mod clockbound_segment;
mod judge;

use std::time::Duration;

use crate::evidence::SourceError;
use crate::host::{Host, HostClock, HostError, KernelState};
use crate::source::chrony::Tracking;
use crate::source::chrony::allowance::Trust;
use crate::source::chrony::check::{ChronyAnswer, ChronyCheck};
use crate::source::daemons::TimeDaemons;
use crate::source::ntpd::check::{NtpdAnswer, NtpdCheck};

pub(crate) use clockbound_segment::SegmentState;
use judge::{Rules, Seen, judge};

/// Asks the daemons of a machine what they state, and judges the kernel's bound by it.
pub(crate) struct WriterCheck {
    daemons: Box<dyn TimeDaemons>,
    chrony: Option<ChronyCheck>,
    ntpd: NtpdCheck,
    rules: Rules,
    seen: Seen,
    /// How chronyd's statement is taken.
    trust: Trust,
}

impl WriterCheck {
    pub(crate) fn new(daemons: Box<dyn TimeDaemons>) -> WriterCheck {
        WriterCheck {
            daemons,
            chrony: None,
            ntpd: NtpdCheck::default(),
            rules: Rules::default(),
            seen: Seen::default(),
            trust: Trust::default(),
        }
    }

    /// How chronyd's statement is taken.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// Sets how chronyd's statement is taken.
    pub(crate) fn trusting(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Requests chronyd's report too.
    pub(crate) fn asks_chrony(&mut self) {
        self.chrony = Some(ChronyCheck::default());
    }

    /// Refuses a bound that chronyd does not confirm.
    pub(crate) fn needs_chrony(&mut self) {
        self.asks_chrony();
        self.rules.needs_chrony = true;
    }

    /// The operator states that the bound is honest, whichever program writes it.
    pub(crate) fn believes_any_writer(&mut self) {
        self.rules.believes_any_writer = true;
    }

    /// The operator states how far a reference clock may be off.
    pub(crate) fn reference_error(&mut self, error: Duration) {
        self.rules.reference_error_ns = Some(u64::try_from(error.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Whether chronyd's report is requested.
    pub(crate) fn has_chrony(&self) -> bool {
        self.chrony.is_some()
    }

    /// How far a reference clock may be off, if the operator has stated it.
    pub(crate) fn reference_error_ns(&self) -> Option<u64> {
        self.rules.reference_error_ns
    }

    /// The daemons of the machine.
    pub(crate) fn daemons(&mut self) -> &mut dyn TimeDaemons {
        &mut *self.daemons
    }

    /// chronyd's last report, if it answered the last request.
    pub(crate) fn tracking(&self) -> Option<&Tracking> {
        self.chrony.as_ref()?.tracking()
    }

    /// Why a chronyd that had answered is taken for gone, if it is.
    pub(crate) fn chronyd_gone(&self) -> Option<String> {
        self.chrony.as_ref()?.gone()
    }

    /// Requests what the daemons state, if there is a bound that they could have written.
    pub(crate) fn ask(&mut self, host: &dyn Host) -> Result<(), HostError> {
        let kernel = host.kernel_state()?;
        if !kernel.has_bound() {
            self.seen = Seen::nothing("the kernel has no bound that it could confirm");
            return Ok(());
        }
        let now_ns = host.nanos(HostClock::Monotonic)?;
        let daemons = &mut *self.daemons;
        self.seen.chrony = match &mut self.chrony {
            Some(chrony) => chrony.answer(daemons, now_ns, host, self.rules.reference_error_ns)?,
            None => ChronyAnswer::Nothing("its report is not used".to_owned()),
        };
        if matches!(self.seen.chrony, ChronyAnswer::Confirms { .. }) {
            self.seen.ntpd = NtpdAnswer::NotAsked;
            self.seen.clockbound = SegmentState::NotAsked;
            return Ok(());
        }
        let reference_ns = self.rules.reference_error_ns;
        self.seen.ntpd = self.ntpd.answer(daemons, now_ns, &kernel, reference_ns);
        self.seen.clockbound = daemons.clockbound(kernel.unix_ns);
        Ok(())
    }

    /// The machine was moved or restored: what the daemons had stated before counts for nothing.
    pub(crate) fn disrupted(&mut self) {
        self.chrony = self.chrony.take().map(|_| ChronyCheck::default());
        self.ntpd = NtpdCheck::default();
        self.seen = Seen::default();
    }

    /// The clock was stepped after the daemons had answered.
    pub(crate) fn note_step(&mut self) {
        self.seen = Seen::nothing("the clock was stepped after it had answered");
    }

    /// By how much the writer's present bound exceeds the kernel's, in ns.
    ///
    /// # Errors
    ///
    /// If the kernel's number is not the bound of a writer that is known to state one.
    pub(crate) fn excess_ns(
        &mut self,
        kernel: &(KernelState, KernelState),
    ) -> Result<u64, SourceError> {
        let excess_ns = judge(kernel, &self.rules, &self.seen, &mut || self.daemons.running())?;
        let allowance_ns = match (self.confirming(), self.trust) {
            (Some(chrony), Trust::Within(ppm)) => chrony.allowance_ns(kernel, ppm),
            _ => 0,
        };
        Ok(excess_ns.saturating_add(allowance_ns))
    }

    /// chronyd's own bound at this moment, where that is believed, in ns.
    pub(crate) fn estimate_ns(
        &self,
        kernel: &(KernelState, KernelState),
        now_ns: i64,
    ) -> Option<u64> {
        let chrony = self.confirming().filter(|_| self.trust == Trust::AsStated)?;
        chrony.estimate_ns(kernel, now_ns)
    }

    /// Whether the bound is one with an allowance for what it leaves out.
    pub(crate) fn has_allowance(&self) -> bool {
        self.confirming().is_some() && self.trust != Trust::AsStated
    }

    /// The chronyd that confirms the kernel's bound.
    fn confirming(&self) -> Option<&ChronyCheck> {
        let confirms = matches!(self.seen.chrony, ChronyAnswer::Confirms { .. });
        self.chrony.as_ref().filter(|_| confirms)
    }

    /// What the writer states, in one line for the report.
    pub(crate) fn details(&self) -> Option<String> {
        if let Some(tracking) = self.tracking() {
            let fit = match (&self.chrony, self.trust) {
                (Some(chrony), Trust::Within(ppm)) => chrony.fit_details(ppm),
                _ => None,
            };
            let fit = fit.map(|fit| format!("; {fit}")).unwrap_or_default();
            return Some(format!("{tracking}{fit}"));
        }
        self.ntpd.variables().map(ToString::to_string)
    }
}

impl std::fmt::Debug for WriterCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriterCheck").field("rules", &self.rules).finish_non_exhaustive()
    }
}
