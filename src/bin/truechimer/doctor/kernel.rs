//! What the kernel says about its clock: each field of `adjtimex`, with what it means.

use std::time::Duration;

use serde::Serialize;
use truechimer::source::KernelState;

use super::scales::utc_of_unix;
use crate::output::{Page, rounded_up};
use crate::timex::Timex;

/// The kernel's answer, or why there is none; then the fields are missing.
#[derive(Serialize)]
pub struct KernelView {
    /// Why the kernel's statement cannot be read; `null` if it can.
    pub error: Option<String>,
    pub state_name: Option<&'static str>,
    pub flags: Vec<Flag>,
    /// `unix_ns` as UTC text.
    pub utc: Option<String>,
    /// The fields on which the clock's trust rests.
    #[serde(flatten)]
    pub state: Option<KernelState>,
    /// The others; missing if a filter denies `clock_adjtime` and allows `adjtimex`.
    #[serde(flatten)]
    pub timex: Option<Timex>,
    /// Whether this operating system has no `adjtimex`, so that no permission would help.
    #[serde(skip)]
    pub is_unsupported: bool,
}

/// A bit of `status` that is set.
#[derive(Serialize)]
pub struct Flag {
    pub name: &'static str,
    pub meaning: &'static str,
}

impl KernelView {
    pub fn read() -> KernelView {
        match KernelState::read() {
            Ok(state) => KernelView::of(state, Timex::read()),
            Err(error) => KernelView {
                error: Some(error.to_string()),
                state_name: None,
                flags: Vec::new(),
                utc: None,
                state: None,
                timex: None,
                is_unsupported: error.is_unsupported(),
            },
        }
    }

    fn of(state: KernelState, timex: Option<Timex>) -> KernelView {
        let names = state.status_names();
        KernelView {
            error: None,
            state_name: Some(state.state_name()),
            flags: names.into_iter().map(|name| Flag { name, meaning: meaning(name) }).collect(),
            utc: utc_of_unix(state.unix_ns),
            state: Some(state),
            timex,
            is_unsupported: false,
        }
    }

    pub fn lines(&self, page: &mut Page) {
        page.heading("Kernel (adjtimex)");
        let Some(kernel) = &self.state else {
            page.line("no answer", self.error.as_deref().unwrap_or_default());
            return;
        };
        page.line("time", self.utc.as_deref().unwrap_or("outside of the leap table"));
        page.line("state", &format!("{}: {}", kernel.state, kernel.state_name()));
        page.line("status", &format!("{:#06x}: {}", kernel.status, or_none(&self.flags)));
        for flag in &self.flags {
            page.line("", &format!("{}: {}", flag.name, flag.meaning));
        }
        page.line("maxerror", &max_error(kernel));
        let estimate = micros(kernel.esterror_us);
        page.line("esterror", &format!("{estimate} (an estimate, not a bound)"));
        page.line("offset", &format!("{} ns that the PLL has still to correct", kernel.offset_ns));
        page.line("adjtime", &format!("{} ns that adjtime() has still to do", kernel.adjtime_ns));
        page.line("rate", &format!("{}, freq and tick together", ppm(kernel.rate_ppb)));
        page.line("tai", &format!("{} s, TAI − UTC as the kernel was told", kernel.tai));
        let constant = format!("{}, the PLL's time constant as a power of two", kernel.constant);
        page.line("constant", &constant);
        if let Some(timex) = &self.timex {
            timex_lines(timex, page);
        }
    }
}

fn timex_lines(timex: &Timex, page: &mut Page) {
    let freq = ppm(timex.freq_ppb);
    page.line("freq", &format!("{freq}, by which the oscillator is corrected"));
    page.line("tick", &format!("{} µs (10000 is nominal)", timex.tick_us));
    page.line("precision", &format!("{} µs, as the kernel states it", timex.precision_us));
    page.line("tolerance", &format!("{}, the limit of freq", ppm(timex.tolerance_ppb)));
    pps_lines(timex, page);
}

fn or_none(flags: &[Flag]) -> String {
    if flags.is_empty() {
        return "no flag".to_owned();
    }
    flags.iter().map(|flag| flag.name).collect::<Vec<_>>().join(" ")
}

fn max_error(kernel: &KernelState) -> String {
    let value = micros(kernel.maxerror_us);
    if !kernel.is_synchronized() {
        format!("{value}, which means nothing while the state is ERROR")
    } else if kernel.states_no_bound() {
        format!(
            "{value}, a bare {} µs and its growth, so its writer states no bound",
            kernel.residue_us()
        )
    } else {
        format!("{value}; it grows by 500 µs a second until it is written again")
    }
}

fn pps_lines(timex: &Timex, page: &mut Page) {
    let pps = &timex.pps;
    // All zeros but the interval, which a kernel without PPS leaves at 2^0.
    if pps.calibrations == 0 && pps.jitter_ns == 0 && pps.freq_ppb == 0 && pps.jitter_exceeded == 0
    {
        page.line("PPS", "no pulse per second is fed to the kernel");
        return;
    }
    page.line("ppsfreq", &ppm(pps.freq_ppb));
    page.line("jitter", &format!("{} ns, {} exceeded", pps.jitter_ns, pps.jitter_exceeded));
    page.line(
        "stabil",
        &format!("{}, {} exceeded", ppm(pps.stability_ppb), pps.stability_exceeded),
    );
    page.line(
        "calibration",
        &format!(
            "every {} s, {} made, {} failed",
            pps.interval_s, pps.calibrations, pps.calibration_errors
        ),
    );
}

fn micros(micros: i64) -> String {
    match u64::try_from(micros) {
        Ok(micros) => rounded_up(Duration::from_micros(micros)),
        Err(_) => format!("{micros} µs"),
    }
}

fn ppm(ppb: i64) -> String {
    let sign = if ppb < 0 { '-' } else { '+' };
    let ppb = ppb.unsigned_abs();
    format!("{sign}{}.{:03} ppm", ppb / 1000, ppb % 1000)
}

/// What a bit of `status` means.
fn meaning(name: &str) -> &'static str {
    match name {
        "PLL" => "the kernel's own phase-locked loop steers the clock, as a daemon told it",
        "PPSFREQ" => "a pulse per second steers the frequency",
        "PPSTIME" => "a pulse per second steers the time",
        "FLL" => "the loop locks on frequency and not on phase",
        "INS" => "a leap second will be inserted at the end of the UTC day",
        "DEL" => "a leap second will be deleted at the end of the UTC day",
        "UNSYNC" => "nothing says that the clock is synchronized",
        "FREQHOLD" => "the frequency is held while the time is corrected",
        "PPSSIGNAL" => "the pulse per second is there",
        "PPSJITTER" => "the pulse per second jitters too much",
        "PPSWANDER" => "the pulse per second wanders too much",
        "PPSERROR" => "the pulse per second failed to calibrate",
        "CLOCKERR" => "the clock hardware has a fault",
        "NANO" => "offset and jitter are in nanoseconds",
        "MODE" => "the loop in use is the FLL",
        "CLK" => "the kernel's clock source is B",
        _ => "not known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_their_sign_below_one_ppm() {
        let cases = [
            (0, "+0.000 ppm"),
            (1, "+0.001 ppm"),
            (-1, "-0.001 ppm"),
            (-999, "-0.999 ppm"),
            (12_345, "+12.345 ppm"),
            (-12_345, "-12.345 ppm"),
            (10_000, "+10.000 ppm"),
        ];
        for (ppb, text) in cases {
            assert_eq!(ppm(ppb), text);
        }
    }

    #[test]
    fn every_flag_that_the_kernel_can_set_has_a_meaning() {
        let mut kernel = KernelState::read().expect("no filter denies it in tests");
        kernel.status = 0xffff;
        let view = KernelView::of(kernel, None);
        assert_eq!(view.flags.len(), 16);
        for flag in view.flags {
            assert_ne!(flag.meaning, "not known", "{}", flag.name);
        }
    }

    #[test]
    fn maxerror_without_a_bound_is_called_so() {
        let mut kernel = KernelState::read().expect("no filter denies it in tests");
        kernel.state = 0;
        kernel.status = 0;
        for (maxerror_us, part) in [(1500, "states no bound"), (51, "grows by 500 µs")] {
            kernel.maxerror_us = maxerror_us;
            assert!(max_error(&kernel).contains(part), "{}", max_error(&kernel));
        }
        kernel.state = 5;
        assert!(max_error(&kernel).contains("means nothing"));
    }
}
