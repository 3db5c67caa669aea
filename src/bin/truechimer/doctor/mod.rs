//! `truechimer doctor`: may this host's clock be believed, why, and what to do.
//!
//! The verdict is the clock's own: a [`Clock`](truechimer::Clock) is built, and
//! asked. All the rest explains it, and is read from files that any user may
//! read. A file that is not there, or may not be read, is a fact about the
//! host and no error: each part says what it could see.
//!
//! Each part gathers its facts below a root directory, so that tests can give
//! it the host they need, and is written down twice: as data for `--json`, and
//! as lines for people.

mod advice;
mod clocksource;
mod container;
mod daemons;
mod devices;
mod kernel;
mod leap_tables;
mod machine;
mod scales;
mod sources;
mod suspend;

use std::path::Path;

use serde::Serialize;
use truechimer::{BuildError, LeapTable, RealtimeScale, Report, UnixTime};

use crate::args::{DoctorArgs, with_option_names};
use crate::output::{self, Page, Paint, Tone};
use crate::reading::{Reading, plus_minus};
use crate::{CommandError, Outcome};

/// All that was found.
#[derive(Serialize)]
struct Diagnosis {
    /// The first line for people.
    verdict: String,
    #[serde(flatten)]
    reading: Reading,
    counter_details: clocksource::CounterView,
    kernel: kernel::KernelView,
    daemons: Vec<daemons::DaemonView>,
    tai: scales::TaiView,
    leap: scales::LeapView,
    leap_tables: leap_tables::TablesView,
    virtual_machine: machine::MachineView,
    container: container::ContainerView,
    suspend: suspend::SuspendView,
    devices: devices::Devices,
    sources: Vec<sources::SourceView>,
    sampler: sources::SamplerView,
    limits: sources::LimitsView,
    next_steps: Vec<String>,
}

pub fn run(args: &DoctorArgs) -> Result<Outcome, CommandError> {
    // With its thread, so that what the thread may not do shows too.
    let clock = match args.clock.builder().build() {
        // Asking for a counter that may not be trusted is a question for the doctor.
        Err(BuildError::CounterUntrusted { kind, why }) => {
            let refusal = with_option_names(&BuildError::CounterUntrusted { kind, why });
            output::print_error(&format!("{refusal}. Going on with `--counter auto`."));
            args.clock.builder().counter(truechimer::CounterKind::Auto).build()?
        }
        built => built?,
    };
    // `build()` does not wait long for the thread's first answers, and a busy host needs longer.
    let _ = clock.refresh();
    let report = clock.report();
    let shows = args.clock.wall_scale.unwrap_or_default();
    let diagnosis = Diagnosis::gather(&report, shows, Path::new("/"));
    if args.json {
        output::write_json(&diagnosis)?;
    } else {
        output::write(&diagnosis.to_text(&report, Paint::for_stdout()))?;
    }
    Ok(if diagnosis.reading.usable { Outcome::Success } else { Outcome::NotSynchronized })
}

impl Diagnosis {
    fn gather(report: &Report, shows: RealtimeScale, root: &Path) -> Diagnosis {
        let reading = Reading::from(report);
        let kernel = kernel::KernelView::read();
        let leap = scales::LeapView::new(kernel.state.as_ref());
        let shown = kernel.state.as_ref().map(|state| UnixTime::from_nanos(state.unix_ns));
        let now = shown.unwrap_or_else(crate::wall_clock);
        let system = LeapTable::system();
        let mut diagnosis = Diagnosis {
            verdict: verdict(report, &reading),
            counter_details: clocksource::CounterView::gather(report, root),
            daemons: daemons::DaemonView::gather(),
            tai: scales::TaiView::new(kernel.state.as_ref()),
            leap_tables: leap_tables::TablesView::new(now, system, &leap, shows),
            leap,
            virtual_machine: machine::MachineView::gather(root),
            container: container::ContainerView::gather(root, &|name| std::env::var(name).ok()),
            suspend: suspend::SuspendView::gather(report.suspended, root),
            devices: devices::Devices::gather(root, kernel.state.as_ref()),
            sources: report.sources.iter().map(sources::SourceView::from).collect(),
            sampler: sources::SamplerView::from(&report.sampler),
            limits: sources::LimitsView::from(report.limits),
            next_steps: Vec::new(),
            reading,
            kernel,
        };
        diagnosis.next_steps = advice::next_steps(&diagnosis);
        diagnosis
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
        daemons::lines(&self.daemons, self.container.inside, &mut page);
        page.heading("Leap seconds and TAI");
        self.tai.lines(&mut page);
        self.leap.lines(&mut page);
        self.leap_tables.lines(&mut page);
        page.heading("Host");
        self.virtual_machine.lines(self.devices.has_vmclock(), &mut page);
        self.container.lines(&mut page);
        self.suspend.lines(&mut page);
        self.devices.lines(&mut page);
        page.heading("What to do next");
        for (i, step) in self.next_steps.iter().enumerate() {
            page.item(i + 1, step);
        }
        page.into_text()
    }
}

/// The answer, in one sentence.
fn verdict(report: &Report, reading: &Reading) -> String {
    let how_well = report.now.map_or_else(|_| String::new(), |interval| plus_minus(&interval));
    match (reading.status, &reading.reason) {
        ("synchronized", None) => {
            format!("This host's clock may be believed: UTC is known to {how_well}.")
        }
        ("assumed", None) => {
            format!("This host's clock is believed on your word alone, to {how_well}.")
        }
        (_, Some(reason)) => format!("This host's clock may not be believed: {reason}."),
        (status, None) => format!("This host's clock is {status}."),
    }
}

/// The first line of a file below `root`, without the space around it or anything that
/// a terminal would obey; `None` if it says nothing.
fn first_line_of(root: &Path, path: &str) -> Option<String> {
    let bytes = std::fs::read(root.join(path.trim_start_matches('/'))).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let word: String = text.lines().next()?.chars().filter(|c| !c.is_control()).collect();
    let word = word.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

/// All of a text file below `root`; empty if it cannot be read.
fn contents_of(root: &Path, path: &str) -> String {
    let bytes = std::fs::read(root.join(path.trim_start_matches('/'))).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a directory below `root` holds, by name; empty if it cannot be read.
fn entries_of(root: &Path, path: &str, prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join(path.trim_start_matches('/'))) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_unstable();
    names
}

/// A host made of files, for tests.
#[cfg(test)]
mod fake_root {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Paths, and what they hold.
    pub type Files<'a> = &'a [(&'a str, &'a str)];

    pub struct Host(PathBuf);

    impl Host {
        pub fn with(files: Files) -> Host {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let unique = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("truechimer-doctor-{}-{unique}", std::process::id());
            let root = std::env::temp_dir().join(name);
            for (path, text) in files {
                let path = root.join(path.trim_start_matches('/'));
                let folder = path.parent().expect("below the root");
                fs::create_dir_all(folder).expect("the temporary directory is ours");
                fs::write(path, text).expect("the temporary directory is ours");
            }
            Host(root)
        }

        pub fn root(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
