//! Stand-ins for the daemons that set the kernel's error bound: honest ones and liars.

use std::io;

use crate::plan::Writer;
use crate::sys;

/// What is added to the true distance by a writer that is honest.
const MARGIN_NS: u64 = 20_000;
/// The bound of the PLL's daemon, beside the offset that the kernel works off: the
/// oscillator's drift for a second, and a little.
const PLL_BOUND_US: u64 = 250;

/// Writes once; `true_utc` tells the truth for a moment of the oscillator, which is off
/// by no more than `rate_ppb`.
///
/// On a busy host it may take long from the measuring to the writing, and then what is
/// written is no longer true: an honest writer looks, and writes again.
pub fn write(writer: Writer, rate_ppb: i64, true_utc: impl Fn(i64) -> i64) -> io::Result<()> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let began = sys::raw();
        let slewed_ppb = write_once(writer, &true_utc)?;
        let took = i128::from(sys::raw() - began);
        let moved = took * i128::from(rate_ppb.abs() + slewed_ppb.abs()) / 1_000_000_000;
        if writer != Writer::Honest || moved < i128::from(MARGIN_NS / 2) {
            break;
        }
    }
    Ok(())
}

/// By how much the clock is slewed comes back.
fn write_once(writer: Writer, true_utc: impl Fn(i64) -> i64) -> io::Result<i64> {
    let ((before, after), local) = sys::realtime();
    let distance = (true_utc(before).abs_diff(local)).max(true_utc(after).abs_diff(local));
    let honest = (distance + MARGIN_NS).div_ceil(1000);
    let (maxerror, pll) = match writer {
        Writer::None => return Ok(0),
        Writer::Honest => (honest, false),
        Writer::Zero => (0, true),
        Writer::Sixteen => (16, true),
        Writer::Tenth | Writer::TenthFlagged => (honest / 10, false),
        Writer::Pll => (PLL_BOUND_US, true),
    };
    let (_, current) = sys::adjtimex(sys::nothing())?;
    let mut request = sys::nothing();
    request.modes = libc::ADJ_MAXERROR | libc::ADJ_ESTERROR | libc::ADJ_STATUS;
    request.maxerror = maxerror as libc::c_long;
    request.esterror = maxerror as libc::c_long;
    request.status = current.status & !libc::STA_UNSYNC;
    if writer == Writer::TenthFlagged {
        request.status |= libc::STA_UNSYNC;
    }
    if pll {
        request.status |= libc::STA_PLL;
    }
    if writer == Writer::Pll {
        let truth = true_utc(before + (after - before) / 2);
        request.modes |= libc::ADJ_OFFSET | libc::ADJ_TIMECONST | libc::ADJ_NANO;
        request.offset = truth - local;
        request.constant = 2;
    }
    let (_, written) = sys::adjtimex(request)?;
    Ok(sys::rate_ppb(&written))
}
