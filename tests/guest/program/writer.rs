//! Stand-ins for the daemons that set the kernel's error bound: honest ones and liars.

use std::io;

use crate::plan::Writer;
use crate::sys;

/// What is added to the true distance by a writer that is honest.
const MARGIN_NS: u64 = 20_000;
/// The bound of the PLL's daemon, beside the offset that the kernel works off: the
/// oscillator's drift for a second, and a little.
const PLL_BOUND_US: u64 = 250;

/// Writes once; `true_utc` tells the truth for a moment of the oscillator.
pub fn write(writer: Writer, true_utc: impl Fn(i64) -> i64) -> io::Result<()> {
    let ((before, after), local) = sys::realtime();
    let distance = (true_utc(before).abs_diff(local)).max(true_utc(after).abs_diff(local));
    let honest = (distance + MARGIN_NS).div_ceil(1000);
    let (maxerror, pll) = match writer {
        Writer::None => return Ok(()),
        Writer::Honest => (honest, false),
        Writer::Zero => (0, true),
        Writer::Sixteen => (16, true),
        Writer::Tenth => (honest / 10, false),
        Writer::Pll => (PLL_BOUND_US, true),
    };
    let (_, current) = sys::adjtimex(sys::nothing())?;
    let mut request = sys::nothing();
    request.modes = libc::ADJ_MAXERROR | libc::ADJ_ESTERROR | libc::ADJ_STATUS;
    request.maxerror = maxerror as libc::c_long;
    request.esterror = maxerror as libc::c_long;
    request.status = current.status & !libc::STA_UNSYNC;
    if pll {
        request.status |= libc::STA_PLL;
    }
    if writer == Writer::Pll {
        let truth = true_utc(before + (after - before) / 2);
        request.modes |= libc::ADJ_OFFSET | libc::ADJ_TIMECONST | libc::ADJ_NANO;
        request.offset = truth - local;
        request.constant = 2;
    }
    sys::adjtimex(request).map(|_| ())
}
