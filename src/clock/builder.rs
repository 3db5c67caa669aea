//! [`ClockBuilder`]: the assumptions, the sources, and how often they are sampled.

#[cfg(feature = "nts")]
mod nts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::build_error::{
    BuildError, MAX_ASSUMED_ERROR, MAX_DRIFT_PPM, MAX_MAX_WIDTH, MAX_POLL_INTERVAL, MIN_MAX_WIDTH,
};
use crate::clock::core::{ClockCore, Parts};
use crate::clock::driver::SourceKind;
use crate::clock::own_sources::OwnSources;
use crate::clock::report::Limits;
use crate::clock::running::Clock;
use crate::clock::thread::ThreadHandle;
use crate::clock::vmclock::VmClockChoice;
use crate::counter::CounterKind;
use crate::evidence::Source;
use crate::host::System;
use crate::scale::LeapTable;
use crate::source::assume::Assumed;
use crate::source::ntp::Ntp;
use crate::source::{RealtimeScale, WallClock};

impl Clock {
    /// A clock on the kernel's evidence, with the default limits.
    ///
    /// # Errors
    ///
    /// If its thread cannot be started, or this thread may not read any clock. A host without
    /// evidence is not an error here. Reading the clock is an error until evidence comes.
    pub fn new() -> Result<Clock, BuildError> {
        Clock::builder().build()
    }

    /// Sets what is assumed, which sources are sampled, and how often.
    pub fn builder() -> ClockBuilder {
        ClockBuilder::default()
    }
}

/// Builds a [`Clock`].
///
/// ```
/// use std::time::Duration;
/// use truechimer::Clock;
///
/// let clock = Clock::builder()
///     .assume_error(Duration::from_millis(250)) // the operator knows that the clock is this good
///     .max_drift_ppm(100)
///     .build()?;
/// println!("{}", clock.now()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until `build()`"]
pub struct ClockBuilder {
    /// Those that the program has given.
    sources: Vec<Box<dyn Source>>,
    own: OwnSources,
    assume_error: Option<Duration>,
    counter: CounterKind,
    leaps: LeapTable,
    wall_scale: RealtimeScale,
    manual: bool,
    vmclock: VmClockChoice,
    limits: Limits,
    /// A3 as the program states it, if it does.
    max_wander_ppm: Option<Option<u32>>,
}

/// How long `build()` waits for the first samples, in addition to the calibration. They take
/// microseconds, but on a busy host the new thread may start tens of ms late.
const BUILD_PATIENCE: Duration = Duration::from_millis(100);

impl Default for ClockBuilder {
    fn default() -> ClockBuilder {
        ClockBuilder {
            sources: Vec::new(),
            own: OwnSources::default(),
            assume_error: None,
            counter: CounterKind::Auto,
            leaps: LeapTable::builtin(),
            wall_scale: RealtimeScale::Utc,
            manual: false,
            vmclock: VmClockChoice::IfThere,
            limits: Limits::default(),
            max_wander_ppm: None,
        }
    }
}

impl ClockBuilder {
    /// Samples this source too. Call it repeatedly for several sources. They are sampled in
    /// this order, after the kernel and timesyncd.
    pub fn source(mut self, source: impl Source + 'static) -> ClockBuilder {
        self.sources.push(Box::new(source));
        self
    }

    /// Asks these NTP servers: names or addresses, with a port if it is not 123. Call it repeatedly
    /// for further ones.
    ///
    /// Three or more, so that a wrong one is outvoted and named in the report; fewer only with
    /// [`ntp_trust_single`](Self::ntp_trust_single). It works on every system, in any container, with
    /// no time daemon.
    ///
    /// The servers are then the evidence, *instead of* the kernel's bound. That becomes a
    /// cross-check ([`Role::CrossCheck`](crate::Role::CrossCheck)): daemons' bounds were measured to
    /// be untrue at times, and exchanges never were. A kernel that excludes what the servers say is
    /// a contradiction: readings cover both sides for a minute after it last showed. The kernel's
    /// bound never makes a reading narrower.
    ///
    /// The clock is built before the servers have answered, except for those that are near. Use
    /// [`wait_synchronized`](Clock::wait_synchronized) to wait for them. How often they are asked
    /// depends on whose they are; see [`source::ntp`](crate::source::ntp).
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use truechimer::Clock;
    ///
    /// let servers = ["ntp1.example.org", "ntp2.example.net:1123", "192.0.2.7"];
    /// let clock = Clock::builder().ntp(servers).build()?;
    /// println!("{}", clock.wait_synchronized(Duration::from_secs(5))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ntp<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> ClockBuilder {
        self.own.ntp = Some(match self.own.ntp.take() {
            Some(ntp) => ntp.and(servers),
            None => Ntp::new(servers),
        });
        self
    }

    /// As [`ntp`](Self::ntp), with all settings of [`Ntp`]. It replaces what was set before.
    pub fn ntp_with(mut self, ntp: Ntp) -> ClockBuilder {
        self.own.ntp = Some(ntp);
        self
    }

    /// Fewer than three NTP servers are enough: one is taken at its word, and two have to agree.
    ///
    /// This is an assumption. A single server that is wrong makes readings wrong.
    pub fn ntp_trust_single(self) -> ClockBuilder {
        self.with_ntp(Ntp::trust_single)
    }

    /// Asks each NTP server this often, from 10 ms to 131 072 s, instead of by its address. Public
    /// servers are asked no more often than once in 64 s, unless
    /// [`Ntp::poll_forced`] says so.
    pub fn ntp_poll(self, every: Duration) -> ClockBuilder {
        self.with_ntp(|ntp| ntp.poll(every))
    }

    /// Asks the servers that the host's chronyd follows now, directly, as
    /// [`ntp`](Self::ntp) does with those that it is given.
    ///
    /// It is worth it where these are near: a cloud's metadata server, or one in the same rack.
    /// Where chronyd follows fewer than three, [`ntp_trust_single`](Self::ntp_trust_single) has to
    /// be called too; else the reason is
    /// [`Reason::ServersDisagree`](crate::Reason::ServersDisagree). What their clocks show around
    /// a leap second is what [`wall_scale`](Self::wall_scale) states, because the host's clock
    /// follows them.
    pub fn ntp_of_daemon(self) -> ClockBuilder {
        self.with_ntp(Ntp::and_of_daemon)
    }

    /// The order of the calls does not matter.
    fn with_ntp(mut self, set: impl FnOnce(Ntp) -> Ntp) -> ClockBuilder {
        self.own.ntp = Some(set(self.own.ntp.take().unwrap_or_else(|| Ntp::new::<String>([]))));
        self
    }

    /// Does not use the kernel's error bound.
    ///
    /// Nor is timesyncd's word used then, which rests on the kernel's state too. Add it with
    /// [`source`](Self::source) to use it alone.
    pub fn without_kernel(mut self) -> ClockBuilder {
        self.own.with_kernel = false;
        self
    }

    /// Does not request chronyd's report.
    ///
    /// The report shows that chronyd wrote the kernel's bound. So without it the bound of a
    /// chronyd is refused as one of an unknown writer, unless
    /// [`believe_any_writer`](Self::believe_any_writer) is called too.
    pub fn without_chrony(mut self) -> ClockBuilder {
        self.own.with_chrony = false;
        self
    }

    /// Does not use what systemd-timesyncd publishes of its exchanges with its server
    /// (`source::timesyncd`, on Linux).
    ///
    /// By default it is used beside the kernel's bound, because timesyncd states no bound to the
    /// kernel. It is one server's word, and unauthenticated.
    pub fn without_timesyncd(mut self) -> ClockBuilder {
        self.own.with_timesyncd = false;
        self
    }

    /// Takes the kernel's `maxerror` for a bound, whichever program writes it.
    ///
    /// By default it is believed only if its writer is known to state a bound: a chronyd, ntpd or
    /// ntpsec that answers on this host, or ClockBound (the table of daemons is in
    /// [`source::daemon`](crate::source::daemon)). Else the reason is
    /// [`Reason::WriterUnknown`](crate::Reason::WriterUnknown). Call this only if you know what
    /// runs on the host, because the bound is then your assumption: an ntpd-rs was seen 8 ms
    /// beyond the bound that it writes.
    ///
    /// # Containers and Kubernetes
    ///
    /// A container uses its host's clock, and sees neither the host's processes nor its chronyd.
    /// The better ways leave the judgement to this crate: share the host's network
    /// (`hostNetwork: true`), so that chronyd answers at 127.0.0.1:323; or mount its socket, which
    /// needs root in the container:
    ///
    /// ```yaml
    /// volumes:
    ///   - name: chrony
    ///     hostPath: { path: /run/chrony, type: Directory }
    /// containers:
    ///   - volumeMounts:
    ///       - { name: chrony, mountPath: /run/chrony }
    /// ```
    ///
    /// Where neither is allowed, and you run the nodes yourself with chronyd and a network source
    /// on each of them, state that you know the writer. Make it a setting of the deployment, so
    /// that it is not true by accident on a cluster whose nodes run something else:
    ///
    /// ```
    /// use truechimer::Clock;
    ///
    /// let mut builder = Clock::builder();
    /// if std::env::var_os("NODES_RUN_CHRONYD").is_some() {
    ///     builder = builder.believe_any_writer();
    /// }
    /// let clock = builder.build()?;
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn believe_any_writer(mut self) -> ClockBuilder {
        self.own.believes_any_writer = true;
        self
    }

    /// Takes chronyd's present estimate of its error for a bound, as it states it.
    ///
    /// By default the bound is the one that chronyd writes into the kernel, or its report if that
    /// is larger, with an allowance for what its line through the last polls cannot follow. With
    /// this call it is root delay / 2 + root dispersion + correction of the report alone, without
    /// an allowance: what ClockBound 2 did. It changes nothing where chronyd does not write the
    /// kernel's bound.
    ///
    /// It is narrower, and it is not always true. On a steady oscillator no reading was wrong. With
    /// a rate that swung by 7 ppm in 240 s, and a server at the edge of its own bound, chronyd's
    /// report was wrong in 5043 of 11 373 readings, by up to 243 µs (44 %). A clock that believes it
    /// was wrong in 572 of 4000 readings of such a world in the simulator (a poll each 16 s), and
    /// with a swing of 14 ppm in 1333. Call it only where an interval that misses by that much does
    /// no harm. Own exchanges ([`ntp`](Self::ntp)) missed nothing in the same runs.
    ///
    /// ```
    /// use truechimer::Clock;
    ///
    /// let clock = Clock::builder().believe_chrony_estimate().build()?;
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn believe_chrony_estimate(mut self) -> ClockBuilder {
        self.own.believes_chrony_estimate = true;
        self
    }

    /// The operator states how far the daemon's reference clock (a PTP clock, a GPS receiver) may
    /// be off. From 1 ns to a day.
    ///
    /// chronyd and ntpd take a reference clock for exact, so their bound leaves its own error
    /// out: on a guest whose PTP clock was 4.65 ms off, chronyd stated 5 µs. This error is added
    /// to their bound while they follow a reference clock, and changes nothing while they follow
    /// a server. Without it the bound is used only if a `delay` of 1 µs or more in chrony.conf
    /// states the error, or the PTP clock's driver does (`phc_error_bound`, on AWS). Else the
    /// reason is [`Reason::ReferenceStatesNoBound`](crate::Reason::ReferenceStatesNoBound).
    ///
    /// ```
    /// use std::time::Duration;
    /// use truechimer::Clock;
    ///
    /// // Google documents that ptp_kvm is within 1 ms on its machines.
    /// let clock = Clock::builder().reference_error(Duration::from_millis(1)).build()?;
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn reference_error(mut self, error: Duration) -> ClockBuilder {
        self.own.reference_error = Some(error);
        self
    }

    /// The operator states that `CLOCK_REALTIME` is within `error` of UTC.
    ///
    /// This is an assumption, so the clock's status is
    /// [`Status::Assumed`](crate::Status::Assumed) while no other source states a bound. A
    /// step of the wall clock or a suspend ends it, until [`Clock::reassume`].
    pub fn assume_error(mut self, error: Duration) -> ClockBuilder {
        self.assume_error = Some(error);
        self
    }

    /// Assumption A2 ([`_design`](crate::_design#the-assumptions)): the counter's rate is
    /// within this many parts per million of nominal. Default 200, from 1 to 100 000.
    pub fn max_drift_ppm(mut self, ppm: u32) -> ClockBuilder {
        self.limits.max_drift_ppm = ppm;
        self
    }

    /// Assumption A3 ([`_design`](crate::_design#the-assumptions)): within any two hours the
    /// counter's rate stays within this many parts per million of each mean that it had over a part of
    /// them. Default 20, or `max_drift_ppm` if that is less; `None` does without.
    ///
    /// The rate is learnt from the samples, and intervals widen by about this much between updates
    /// instead of by `max_drift_ppm`: by 0.04 ms a second instead of 0.4. 20 covers a quartz
    /// through 20 °C and more, and in the simulator a swing by 14 ppm in five minutes. If the
    /// evidence refutes it, it is doubled (as often as it has to be), what was learnt is forgotten,
    /// [`epoch`](Clock::epoch) changes, and [`report`](Clock::report) tells.
    ///
    /// It also sizes the allowance for what the line through chronyd's last polls cannot follow
    /// ([`_design`](crate::_design#the-assumptions)), which is made for 20 with `None`.
    ///
    /// Choose `None` on a virtual machine that may be moved to another host while it runs, unless
    /// its VMClock shows that ([`vmclock`](Self::vmclock)): then the rate is learnt anew. The other
    /// host's quartz may be 50 ppm away, and readings would be wrong until the next
    /// sample that shows it.
    pub fn max_wander_ppm(mut self, ppm: impl Into<Option<u32>>) -> ClockBuilder {
        self.max_wander_ppm = Some(ppm.into());
        self
    }

    /// A reading that would be wider is an error. Default 10 s.
    pub fn max_width(mut self, width: Duration) -> ClockBuilder {
        self.limits.max_width = width;
        self
    }

    /// How often sources are sampled. Default 100 ms, at most an hour.
    pub fn poll_interval(mut self, interval: Duration) -> ClockBuilder {
        self.limits.poll_interval = interval;
        self
    }

    /// Which counter to read. Default [`CounterKind::Auto`].
    pub fn counter(mut self, kind: CounterKind) -> ClockBuilder {
        self.counter = kind;
        self
    }

    /// The leap seconds by which the kernel's UTC becomes TAI. Default
    /// [`LeapTable::builtin`].
    pub fn leap_table(mut self, leaps: LeapTable) -> ClockBuilder {
        self.leaps = leaps;
        self
    }

    /// What the wall clock shows around a leap second. Default [`RealtimeScale::Utc`].
    ///
    /// If the host's time servers smear, state how. If it is not known whether they do,
    /// [`RealtimeScale::Unknown`] widens by a second for a day around each leap.
    ///
    /// ```
    /// use truechimer::{Clock, Smear, RealtimeScale};
    ///
    /// let clock = Clock::builder().wall_scale(RealtimeScale::Smeared(Smear::Google)).build()?;
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn wall_scale(mut self, scale: RealtimeScale) -> ClockBuilder {
        self.wall_scale = scale;
        self
    }

    /// Uses the VMClock at this path. Without this call it is `/dev/vmclock0`, if this process may
    /// read it.
    ///
    /// It shows when the virtual machine is moved to another host or restored from a snapshot, and
    /// may state the time too ([`source::vmclock`](crate::source::vmclock)). The node belongs to
    /// root, and what is mapped stays readable: build the clock before privileges are dropped.
    ///
    /// With this call [`build`](Self::build) fails where the VMClock cannot be used. Without it,
    /// the clock's report says why it is not ([`VmClockReport`](crate::clock::VmClockReport)).
    ///
    /// ```no_run
    /// use truechimer::Clock;
    ///
    /// let clock = Clock::builder().vmclock("/dev/vmclock0").build()?;
    /// println!("the marker is compared {}", clock.report().vmclock.checked);
    /// # Ok::<(), truechimer::BuildError>(())
    /// ```
    pub fn vmclock(mut self, path: impl Into<PathBuf>) -> ClockBuilder {
        self.vmclock = VmClockChoice::At(path.into());
        self
    }

    /// Uses no VMClock. A move of the virtual machine then goes unnoticed until its time daemon
    /// has corrected the wall clock.
    pub fn without_vmclock(mut self) -> ClockBuilder {
        self.vmclock = VmClockChoice::Without;
        self
    }

    /// Starts no thread. The sources are sampled only when [`Clock::refresh`] is called.
    pub fn manual(mut self) -> ClockBuilder {
        self.manual = true;
        self
    }

    /// Chooses and calibrates the counter, starts the thread, and waits for the first samples.
    ///
    /// It takes about 11 ms, because the counter's rate is measured over 10 ms. If a source
    /// blocks, this waits for at most 100 ms more. With [`manual`](Self::manual) it waits until
    /// the source returns, because sources are then sampled in this thread. A host without
    /// evidence is not an error here. The clock returns the error when it is read.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range, the requested counter may not be trusted, or the
    /// thread cannot be started.
    pub fn build(self) -> Result<Clock, BuildError> {
        self.check()?;
        let vmclock = self.vmclock.setup()?;
        let limits = self.limits();
        let wall_clock = Arc::new(WallClock::new(self.leaps, self.wall_scale));
        // One that has no time is not a source, unless the program has named it: then its
        // answer says so.
        let is_named = self.vmclock.is_named();
        let stating = vmclock.page().filter(|page| is_named || page.has_time()).cloned();
        let own = self.own;
        let with_kernel = own.with_kernel;
        let of_own = wall_clock.clone();
        let make_sources = move || own.make(&of_own, stating.as_ref(), &limits);
        let operator = self
            .assume_error
            .map(|error| Assumed::new(error, wall_clock.clone()).asking_kernel(with_kernel))
            .map(|assumed| SourceKind::Operator(Box::new(assumed)));
        let sources = operator
            .into_iter()
            .chain(make_sources())
            .chain(self.sources.into_iter().map(SourceKind::Evidence))
            .collect();
        let parts = Parts {
            limits,
            kind: self.counter,
            wall_clock,
            sources,
            make_sources: Box::new(make_sources),
            vmclock,
        };
        let core = ClockCore::new(System, parts)
            .map_err(|why| BuildError::CounterUntrusted { kind: self.counter, why })?;
        let core = Arc::new(core);
        if self.manual {
            core.round();
            return Ok(Clock::new_from(core, None));
        }
        let thread = ThreadHandle::start(core.clone(), BUILD_PATIENCE)?;
        Ok(Clock::new_from(core, Some(thread)))
    }

    /// The settings, with what follows from others where the program has said nothing.
    fn limits(&self) -> Limits {
        let by_default = self.limits.max_wander_ppm.map(|ppm| ppm.min(self.limits.max_drift_ppm));
        Limits { max_wander_ppm: self.max_wander_ppm.unwrap_or(by_default), ..self.limits }
    }

    fn check(&self) -> Result<(), BuildError> {
        let Limits { max_drift_ppm, max_wander_ppm, max_width, poll_interval } = self.limits();
        if !(1..=MAX_DRIFT_PPM).contains(&max_drift_ppm) {
            return Err(BuildError::MaxDrift(max_drift_ppm));
        }
        if let Some(wander) = max_wander_ppm.filter(|ppm| !(1..=max_drift_ppm).contains(ppm)) {
            return Err(BuildError::MaxWander { wander, drift: max_drift_ppm });
        }
        if poll_interval.is_zero() || poll_interval > MAX_POLL_INTERVAL {
            return Err(BuildError::PollInterval(poll_interval));
        }
        if !(MIN_MAX_WIDTH..=MAX_MAX_WIDTH).contains(&max_width) {
            return Err(BuildError::MaxWidth(max_width));
        }
        let is_out_of_range = |error: &Duration| error.is_zero() || *error > MAX_ASSUMED_ERROR;
        if let Some(error) = self.own.reference_error.filter(is_out_of_range) {
            return Err(BuildError::ReferenceError(error));
        }
        if let Some(error) = self.assume_error {
            if error.is_zero() || error > MAX_ASSUMED_ERROR {
                return Err(BuildError::AssumeError(error));
            }
            if error * 2 >= max_width {
                return Err(BuildError::AssumeTooWide { error, limit: max_width });
            }
        }
        if let Some(ntp) = &self.own.ntp {
            ntp.check()?;
        }
        let has_source = self.own.with_kernel
            || self.own.ntp.is_some()
            || !self.sources.is_empty()
            || self.assume_error.is_some()
            || self.vmclock.is_named();
        if !has_source {
            return Err(BuildError::NoSource);
        }
        // This comes before the first reading of any clock, because the vDSO reads the
        // counter too.
        if !System::counter_is_allowed() {
            return Err(BuildError::CounterForbidden);
        }
        Ok(())
    }
}
