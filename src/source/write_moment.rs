//! [`WriteMoment`]: when the kernel's bound was written, as far as that was seen.
//!
//! `maxerror` does not show its age. The kernel adds a second's growth at each second of its clock,
//! so what it shows was true when that was done last, or when it was written since then. A bound
//! that was written 10 ms ago is therefore aged by up to a second, which is 500 µs. At a poll
//! interval of 16 s that was 593 µs of a width of 4655.
//!
//! But a clock looks ten times a second. If a look shows another number than the look before, and
//! one that growth does not explain, then it was written *between the two*. So it is no older than
//! the earlier look, and 50 µs are left of the 500.
//!
//! This slack has hidden what chronyd's bound leaves out: in a run with a rate that swung by 7 ppm,
//! replayed without it, the misses were 69 and not 3. So it is taken off only from a bound with an
//! allowance for that (`source::chrony::allowance`), and not from one of another writer.

use crate::host::KernelState;

/// Watches when the bound is written.
#[derive(Debug, Default)]
pub(crate) struct WriteMoment {
    last: Option<Look>,
    /// What the last look showed was written at this moment of the monotonic clock, or later.
    not_before_ns: Option<i64>,
}

/// What a look at the kernel showed.
#[derive(Clone, Copy, Debug)]
struct Look {
    maxerror_us: i64,
    mark_us: i64,
    /// It was taken at this moment, or later.
    from_ns: i64,
}

impl WriteMoment {
    /// Takes note of what the kernel showed at `from_ns` of the monotonic clock, or later.
    pub(crate) fn note(&mut self, kernel: &KernelState, from_ns: i64) {
        let (maxerror_us, mark_us) = (kernel.maxerror_us, kernel.residue_us());
        let before = self.last.replace(Look { maxerror_us, mark_us, from_ns });
        // Growth adds whole multiples of 500 µs, and takes nothing away.
        let written_since =
            |before: &Look| mark_us != before.mark_us || maxerror_us < before.maxerror_us;
        if let Some(before) = before.filter(written_since) {
            self.not_before_ns = Some(before.from_ns);
        }
    }

    /// From which moment of the monotonic clock on the bound may have been written that the kernel
    /// showed in two reads, the second of which was noted last. `None` if it is not known.
    pub(crate) fn not_before_ns(
        &self,
        (before, after): &(KernelState, KernelState),
    ) -> Option<i64> {
        let is_one_write =
            before.residue_us() == after.residue_us() && before.maxerror_us <= after.maxerror_us;
        self.not_before_ns.filter(|_| is_one_write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(maxerror_us: i64) -> KernelState {
        KernelState { maxerror_us, ..KernelState::BLANK }
    }

    /// After these looks, each at its moment: since when the bound is that the last one showed.
    fn after(looks: &[(i64, i64)]) -> Option<i64> {
        let mut moment = WriteMoment::default();
        for &(at_ns, maxerror_us) in looks {
            moment.note(&kernel(maxerror_us), at_ns);
        }
        let (_, last) = *looks.last().expect("a look");
        moment.not_before_ns(&(kernel(last), kernel(last)))
    }

    #[test]
    fn a_bound_is_no_older_than_the_last_look_that_showed_another_one() {
        assert_eq!(after(&[(10, 1_234)]), None, "the first look shows no write");
        assert_eq!(after(&[(10, 1_234), (20, 1_734), (30, 2_234)]), None, "it only grows");
        assert_eq!(after(&[(10, 1_734), (20, 1_735)]), Some(10), "another mark");
        assert_eq!(after(&[(10, 1_734), (20, 1_234)]), Some(10), "smaller");
        let grown = [(10, 1_734), (20, 1_234), (30, 1_234), (40, 1_734)];
        assert_eq!(after(&grown), Some(10), "it has grown since");
        let again = [(10, 1_734), (20, 1_234), (30, 1_235)];
        assert_eq!(after(&again), Some(20), "it was written again");
    }

    #[test]
    fn a_write_between_the_two_reads_of_one_sample_has_no_moment() {
        let mut moment = WriteMoment::default();
        moment.note(&kernel(1_234), 10);
        moment.note(&kernel(1_001), 20);
        for (before, after) in [(1_234, 1_001), (1_501, 1_001)] {
            assert_eq!(moment.not_before_ns(&(kernel(before), kernel(after))), None);
        }
        assert_eq!(moment.not_before_ns(&(kernel(1_001), kernel(1_001))), Some(10));
        assert_eq!(moment.not_before_ns(&(kernel(1_001), kernel(1_501))), Some(10));
    }
}
