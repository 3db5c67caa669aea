//! Which counter is read between samples, and why it is not the processor's own.

use std::path::Path;

use serde::Serialize;
use truechimer::{CounterKind, Report};

use super::files::first_line_of;
use crate::output::Page;
use crate::reading::wider_drift_ppm;

/// The counter, and the clocksource by which the kernel keeps its own time.
#[derive(Serialize)]
pub struct CounterView {
    /// The one that is read.
    pub kind: CounterKind,
    /// Why it is not the processor's own; `null` if it is, or was not asked for.
    pub why_not_hardware: Option<String>,
    pub hertz: f64,
    pub uncertainty_ppb: f64,
    /// By how many ppm its rate may be off nominal, as intervals are widened by it.
    pub drift_ppm: u32,
    /// The same, if it is more than the limit that was set; `null` if not.
    pub wider_drift_ppm: Option<u32>,
    /// By how many ppm its rate may stray from its own mean; `null` if nothing is assumed.
    pub wander_ppm: Option<u32>,
    /// How often the evidence has refuted that, and it was doubled.
    pub wander_refutations: u64,
    /// By how much intervals widen either way, as the rate is known by now.
    pub rate_error_ppb: f64,
    /// The kernel's clocksource; `null` if the kernel does not say.
    pub clocksource: Option<String>,
    pub clocksources_available: Vec<String>,
}

const CLOCKSOURCES: &str = "/sys/devices/system/clocksource/clocksource0";

impl CounterView {
    pub fn gather(report: &Report, root: &Path) -> CounterView {
        let counter = &report.counter;
        CounterView {
            kind: counter.kind,
            why_not_hardware: counter.why_not_hardware.clone(),
            hertz: counter.hertz,
            uncertainty_ppb: counter.uncertainty_ppb,
            drift_ppm: counter.drift_ppm,
            wider_drift_ppm: wider_drift_ppm(report),
            wander_ppm: counter.wander_ppm,
            wander_refutations: counter.wander_refutations,
            rate_error_ppb: counter.rate_error_ppb,
            clocksource: current(root),
            clocksources_available: available(root),
        }
    }

    /// What is learnt of the counter's rate, and by which assumption.
    fn rate(&self, wander_ppm: u32) -> String {
        let known = self.rate_error_ppb / 1000.0;
        let refuted = match self.wander_refutations {
            0 => String::new(),
            1 => ", after the evidence has refuted less".to_owned(),
            times => format!(", after the evidence has refuted less {times} times"),
        };
        format!(
            "learnt to {known:.1} ppm so far; it is assumed to stay within {wander_ppm} ppm of its \
             means of two hours{refuted}"
        )
    }

    pub fn lines(&self, page: &mut Page) {
        page.heading("Counter");
        let kind = self.kind;
        if kind == CounterKind::MonotonicRaw {
            page.line("read", &format!("{kind}, in nanoseconds"));
        } else {
            let mhz = self.hertz / 1e6;
            let known = self.uncertainty_ppb / 1000.0;
            page.line("read", &format!("{kind}, {mhz:.3} MHz, known to {known:.3} ppm"));
        }
        if let Some(drift_ppm) = self.wider_drift_ppm {
            let why =
                "the time daemon corrects an oscillator that is further off than max_drift_ppm";
            page.line("widened by", &format!("{drift_ppm} ppm: {why}"));
        }
        if let Some(wander_ppm) = self.wander_ppm {
            page.line("rate", &self.rate(wander_ppm));
        }
        if let Some(why) = &self.why_not_hardware {
            page.line(
                if cfg!(target_arch = "aarch64") { "why not CNTVCT" } else { "why not TSC" },
                why,
            );
        }
        let current = self.clocksource.as_deref().unwrap_or("unknown");
        let others: Vec<_> =
            self.clocksources_available.iter().filter(|name| *name != current).cloned().collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        page.line("clocksource", &format!("{current}; others available: {others}"));
    }
}

fn current(root: &Path) -> Option<String> {
    first_line_of(root, &format!("{CLOCKSOURCES}/current_clocksource"))
}

/// The clocksources that the kernel could use.
pub fn available(root: &Path) -> Vec<String> {
    let names = first_line_of(root, &format!("{CLOCKSOURCES}/available_clocksource"));
    names.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}
