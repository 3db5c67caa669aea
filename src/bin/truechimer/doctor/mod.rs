//! `truechimer doctor`: whether this host's clock can be trusted, why, and what to do.
//!
//! The verdict is the clock's own, because a [`Clock`](truechimer::Clock) is built and read.
//! Everything else explains it, and comes from files that any user may read. A file that is
//! missing or cannot be read is a fact about the host, not an error, so each part reports
//! what it could see.
//!
//! Each part reads its facts below a root directory, so that tests can make the host they
//! need. Each is printed in two forms: as data for `--json`, and as lines for people.

mod advice;
mod clockbound;
mod clocksource;
mod container;
mod daemons;
mod devices;
mod files;
mod kernel;
mod leap_tables;
mod machine;
mod scales;
mod sources;
mod suspend;
#[cfg(unix)]
mod timesyncd;
mod writer;

use std::path::Path;

use serde::Serialize;
use truechimer::source::phc;
use truechimer::{BuildError, CounterKind, LeapTable, RealtimeScale, Report, Role, UnixTime};

use advice::Facts;

use crate::args::{DoctorArgs, with_option_names};
use crate::now::wait_for_servers;
use crate::outcome::{CommandError, Outcome};
use crate::output::{self, Page, Paint, Tone};
use crate::reading::{Reading, plus_minus};

/// The facts, and what follows from them.
#[derive(Serialize)]
struct Diagnosis {
    /// The first line for people.
    verdict: String,
    #[serde(flatten)]
    reading: Reading,
    counter_details: clocksource::CounterView,
    kernel: kernel::KernelView,
    daemons: Vec<daemons::DaemonView>,
    writer: writer::WriterView,
    tai: scales::TaiView,
    leap: scales::LeapView,
    leap_tables: leap_tables::TablesView,
    virtual_machine: machine::MachineView,
    container: container::ContainerView,
    suspend: suspend::SuspendView,
    devices: devices::Devices,
    clockbound: clockbound::ClockBoundView,
    #[cfg(unix)]
    timesyncd: timesyncd::TimesyncdView,
    sources: Vec<sources::SourceView>,
    sampler: sources::SamplerView,
    limits: sources::LimitsView,
    next_steps: Vec<String>,
}

pub fn run(args: &DoctorArgs) -> Result<Outcome, CommandError> {
    // With its thread, so that a denied call of the thread shows too.
    let clock = match args.clock.builder().build() {
        // A counter that cannot be trusted is a finding, so the diagnosis goes on without it.
        Err(BuildError::CounterUntrusted { kind, why }) => {
            let reason = with_option_names(&BuildError::CounterUntrusted { kind, why });
            output::print_error(&format!("{reason}. Going on with `--counter auto`."));
            args.clock.builder().counter(CounterKind::Auto).build()?
        }
        built => built?,
    };
    // `build()` does not wait long for the thread's first samples, and a busy host needs longer.
    let _ = clock.refresh();
    if args.clock.asks_servers() {
        wait_for_servers(&clock);
    }
    let report = clock.report();
    let scale = args.clock.wall_scale.unwrap_or_default();
    let diagnosis = Diagnosis::gather(&report, scale, Path::new("/"));
    if args.json {
        output::write_json(&diagnosis)?;
    } else {
        output::write(&diagnosis.to_text(&report, Paint::for_stdout()))?;
    }
    Ok(if diagnosis.reading.usable { Outcome::Success } else { Outcome::NotSynchronized })
}

impl Diagnosis {
    fn gather(report: &Report, scale: RealtimeScale, root: &Path) -> Diagnosis {
        let reading = Reading::from(report);
        let kernel = kernel::KernelView::read();
        let leap = scales::LeapView::new(kernel.state.as_ref());
        let shown = kernel.state.as_ref().map(|state| UnixTime::from_nanos(state.unix_ns));
        let now = shown.unwrap_or_else(crate::wall_clock::wall_clock);
        let system = LeapTable::system();
        let mut diagnosis = Diagnosis {
            verdict: verdict(report, &reading),
            counter_details: clocksource::CounterView::gather(report, root),
            daemons: daemons::DaemonView::gather(),
            writer: writer::WriterView::gather(),
            tai: scales::TaiView::new(kernel.state.as_ref()),
            leap_tables: leap_tables::TablesView::new(now, system, &leap, scale),
            leap,
            virtual_machine: machine::MachineView::gather(root),
            container: container::ContainerView::gather(root, &|name| std::env::var(name).ok()),
            suspend: suspend::SuspendView::new(report.suspended, report.time_namespace),
            devices: devices::Devices::gather(
                root,
                kernel.state.as_ref(),
                report.vmclock.clone(),
                phc::devices(),
            ),
            clockbound: clockbound::ClockBoundView::gather(),
            #[cfg(unix)]
            timesyncd: timesyncd::TimesyncdView::gather(crate::wall_clock::wall_clock()),
            sources: report.sources.iter().map(sources::SourceView::from).collect(),
            sampler: sources::SamplerView::from(&report.sampler),
            limits: sources::LimitsView::from(report.limits),
            next_steps: Vec::new(),
            reading,
            kernel,
        };
        diagnosis.next_steps = facts(&diagnosis).steps();
        diagnosis
    }

    /// Whether the kernel's bound counts, by the clock's own judgement.
    fn kernel_states_bound(&self) -> bool {
        self.sources.iter().any(|source| source.name == "kernel" && source.vouches)
    }

    /// Whether a source other than the kernel and the operator states a bound.
    fn another_states_bound(&self) -> bool {
        self.sources.iter().any(|source| {
            let is_other = !matches!(source.name.as_str(), "kernel" | "assume_error");
            is_other && source.vouches && source.role == Role::Evidence
        })
    }

    /// Whether time servers are asked, or were to be.
    fn asks_servers(&self) -> bool {
        self.sources.iter().any(|source| source.name == "ntp")
    }

    fn to_text(&self, report: &Report, paint: Paint) -> String {
        let mut page = Page::new(paint);
        let tone = match self.reading.status {
            "synchronized" => Tone::Good,
            "assumed" => Tone::Careful,
            _ => Tone::Bad,
        };
        page.paragraph(Some(tone), &self.verdict);
        if let Some(warning) = &self.leap_tables.untold {
            page.paragraph(Some(Tone::Bad), &format!("{warning}."));
        }
        if let Some(remedy) = &self.reading.remedy {
            page.paragraph(None, &format!("To do: {remedy}."));
        }
        if let Ok(interval) = report.now {
            page.paragraph(None, &interval.to_string());
        }
        sources::lines(&self.sources, &self.sampler, &self.limits, &mut page);
        self.counter_details.lines(&mut page);
        self.kernel.lines(&mut page);
        let inside = self.container.inside;
        daemons::lines(&self.daemons, self.kernel_states_bound(), inside, &mut page);
        self.writer.lines(&mut page);
        page.heading("Leap seconds and TAI");
        self.tai.lines(&mut page);
        self.leap.lines(&mut page);
        self.leap_tables.lines(&mut page);
        page.heading("Host");
        self.virtual_machine.lines(self.devices.has_vmclock(), &mut page);
        self.container.lines(&mut page);
        self.suspend.lines(&mut page);
        self.devices.lines(&mut page);
        self.clockbound.lines(&mut page);
        #[cfg(unix)]
        self.timesyncd.lines(&mut page);
        page.heading("What to do next");
        for (i, step) in self.next_steps.iter().enumerate() {
            page.item(i + 1, step);
        }
        page.into_text()
    }
}

/// The verdict in one sentence.
fn verdict(report: &Report, reading: &Reading) -> String {
    let how_well = report.now.map_or_else(|_| String::new(), |interval| plus_minus(&interval));
    match (reading.status, &reading.reason) {
        ("synchronized", None) => {
            format!("This host's clock can be trusted: UTC is known to {how_well}.")
        }
        ("assumed", None) => {
            format!("This host's clock is assumed to be right because you say so, to {how_well}.")
        }
        (_, Some(reason)) => format!("This host's clock cannot be trusted: {reason}."),
        (status, None) => format!("This host's clock is {status}."),
    }
}

/// The facts on which the advice rests.
fn facts(diagnosis: &Diagnosis) -> Facts<'_> {
    let kernel = diagnosis.kernel.state;
    let ptp = diagnosis.devices.ptp.first();
    let counter = &diagnosis.counter_details;
    Facts {
        kernel_states_bound: diagnosis.kernel_states_bound(),
        another_states_bound: diagnosis.another_states_bound(),
        asks_servers: diagnosis.asks_servers(),
        near_server: diagnosis.writer.near_server(),
        kernel_is_denied: kernel.is_none() && !diagnosis.kernel.is_unsupported,
        kernel_is_unsupported: diagnosis.kernel.is_unsupported,
        kernel_synchronized: kernel.is_some_and(|kernel| kernel.is_synchronized()),
        tai: (diagnosis.tai.kernel_s, diagnosis.tai.table_s),
        leap_is_untold: diagnosis.leap_tables.untold.is_some(),
        leap_is_not_in_use: diagnosis.leap_tables.untold_and_not_in_use,
        used_table_expired: diagnosis.leap_tables.used.expired,
        tables_differ: diagnosis.leap_tables.agree == Some(false),
        reason_code: diagnosis.reading.reason_code.as_deref(),
        assumed: diagnosis.reading.status == "assumed",
        daemons: diagnosis.daemons.iter().map(|view| view.daemon).collect(),
        reference_clock: diagnosis.writer.reference_clock(),
        chrony_is_local: diagnosis.writer.is_local(),
        update_interval: diagnosis.writer.update_interval(),
        rate_error_ppm: counter.wander_ppm.unwrap_or(counter.drift_ppm).min(counter.drift_ppm),
        learns_rate: counter.wander_ppm.is_some(),
        root_distance: diagnosis.writer.root_distance(),
        width: diagnosis.reading.width(),
        moves_show: diagnosis.devices.moves_show(),
        in_container: diagnosis.container.inside,
        hypervisor: diagnosis.virtual_machine.hypervisor,
        ptp: ptp.map(|ptp| {
            let path = ptp.path.to_str().unwrap_or_default();
            (path, ptp.clock_name.as_deref().unwrap_or_default())
        }),
        tsc_is_not_used: counter.kind == CounterKind::MonotonicRaw
            && counter.why_not_hardware.is_some(),
        steps_are_polled: diagnosis.sampler.step_timer_error.is_some(),
    }
}
