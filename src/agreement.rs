//! [`agree`]: one right answer from several intervals, of which some are wrong.
//!
//! Ask five clocks for the time, and each returns an interval. At most `f` of them are
//! wrong, and it is not known which. What is the time?
//!
//! # The naive answers, and why they fail
//!
//! The naive answers are the mean and the median of the midpoints. One wrong clock can move
//! the mean as far as it likes. The median resists that, but it is a point: it discards what
//! the right clocks state about their error, and has nothing to say about its own. The
//! intersection of all intervals keeps the error. But one wrong clock can make it empty, or
//! worse, narrow and wrong.
//!
//! # The insight
//!
//! Marzullo's insight is to count. The true time is inside every right interval, so it is a
//! moment that at least `n - f` of the `n` inputs contain. Call such moments *possible*. A
//! moment that is not possible is not the true time.
//!
//! # Why the answer is the hull, and why `n > 2f`
//!
//! The possible moments may form several pieces, and the true time may be in any of them.
//! Marzullo's best-known program returns the piece that the most inputs contain, but a wrong
//! clock can choose which piece that is. [`agree`] returns the smallest interval around all
//! pieces, the hull. Let `E` and `L` be its ends. Counting alone shows that it is
//!
//! 1. *right*, if at most `f` inputs are wrong, because the true time is possible and the
//!    hull contains every possible moment;
//! 2. *anchored*, if also `n > 2f`: `n - f > f` inputs contain `E`, so a right one does, and
//!    the same holds for `L`. So the answer reaches no further than the right inputs do,
//!    whatever the wrong ones state;
//! 3. *narrow*: the `n - f` inputs around `E` and the `n - f` inputs around `L` have at
//!    least `n - 2f` in common, and each of those spans the whole answer. So the answer is
//!    no wider than some input. With `n > 3f` (then `n - 2f > f`) it is no wider than some
//!    *right* input.
//!
//! With `n <= 2f`, wrong inputs alone can make any moment possible. The hull would be right
//! but useless, and nobody could see that it is useless. So the answer is `None`.
//!
//! Intervals are closed: two that touch in one moment share that moment.
//!
//! # Which inputs are wrong
//!
//! [`examine`] returns the pieces, and classifies each input by what follows from "at most
//! `f` are wrong" and nothing else. An input that contains no possible moment is certainly
//! wrong: a falseticker. An input that contains the whole hull is certainly right: a
//! truechimer. For all others it is not known, and [`Classification`] says so. Note that an
//! input inside the hull can still be a falseticker, if it lies in a gap between two pieces.
//!
//! # What to read
//!
//! K. Marzullo, S. Owicki, "Maintaining the time in a distributed system" (PODC 1983).
//! K. Marzullo, "Tolerating failures of continuous-valued sensors" (ACM TOCS 8(4), 1990),
//! where the three points above are theorems. RFC 5905, section 11.2.1, for the variant in
//! NTP. It also counts midpoints, which gives up point 1 for a tidier selection.

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// The smallest interval around every moment that at least `n - faulty` of the `n` inputs contain.
///
/// It contains the true time if at most `faulty` of the inputs are wrong. It is `None` if no
/// moment is in so many inputs, which proves that more than `faulty` are wrong. It is also
/// `None` if `n <= 2 * faulty`, because then the wrong inputs could outvote the others.
/// [`examine`] distinguishes the two cases, and shows which inputs are wrong.
///
/// It sorts `n` integers twice, O(n log n). Up to 32 inputs it does not allocate.
///
/// ```
/// use truechimer::{Interval, Timestamp, agreement::agree};
///
/// let at = |a, b| Interval::new(Timestamp::from_tai_nanos(a), Timestamp::from_tai_nanos(b));
/// let inputs: Vec<Interval> = [at(8, 12), at(11, 13), at(40, 41)].into_iter().flatten().collect();
/// assert_eq!(agree(&inputs, 1), at(11, 12)); // the third is wrong, and does no harm
/// assert_eq!(agree(&inputs, 0), None); // at least one is wrong
/// assert_eq!(agree(&inputs, 2), None); // two wrong ones of three can outvote the other
/// ```
pub fn agree(inputs: &[Interval], faulty: usize) -> Option<Interval> {
    let needed = needed(inputs.len(), faulty)?;
    let mut few = [[0i64; FEW]; 2];
    let mut many;
    let (starts, ends) = if inputs.len() <= FEW {
        let [starts, ends] = &mut few;
        (&mut starts[..inputs.len()], &mut ends[..inputs.len()])
    } else {
        many = vec![0i64; 2 * inputs.len()];
        many.split_at_mut(inputs.len())
    };
    for (i, input) in inputs.iter().enumerate() {
        starts[i] = input.earliest().tai_nanos();
        ends[i] = input.latest().tai_nanos();
    }
    starts.sort_unstable();
    ends.sort_unstable();
    let earliest = first_possible(starts, ends, needed)?;
    let latest = last_possible(starts, ends, needed)?;
    Interval::new(Timestamp::from_tai_nanos(earliest), Timestamp::from_tai_nanos(latest))
}

/// Up to this many inputs are sorted on the stack. Few hosts use so many clocks.
const FEW: usize = 32;

/// How many inputs must contain a moment to make it possible. `None` if the wrong inputs alone
/// could be so many.
fn needed(inputs: usize, faulty: usize) -> Option<usize> {
    let needed = inputs.checked_sub(faulty)?;
    (needed > faulty).then_some(needed)
}

/// The first moment in at least `needed` inputs. Some input starts there.
fn first_possible(starts: &[i64], ends: &[i64], needed: usize) -> Option<i64> {
    let mut ended = 0;
    for (i, &start) in starts.iter().enumerate() {
        // Strictly before, because an input that ends exactly here still contains this moment.
        // The index stays in range: every input that ended before `start` is one of the `i` that
        // started before it.
        while ends[ended] < start {
            ended += 1;
        }
        if i + 1 - ended >= needed {
            return Some(start);
        }
    }
    None
}

/// The last moment in at least `needed` inputs: [`first_possible`] from the other side.
fn last_possible(starts: &[i64], ends: &[i64], needed: usize) -> Option<i64> {
    let n = starts.len();
    let mut unstarted = 0;
    for (i, &end) in ends.iter().rev().enumerate() {
        while starts[n - 1 - unstarted] > end {
            unstarted += 1;
        }
        if i + 1 - unstarted >= needed {
            return Some(end);
        }
    }
    None
}

/// What follows from several intervals, if at most a given number of them are wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    interval: Interval,
    pieces: Vec<Interval>,
    classifications: Vec<Classification>,
}

/// What is certain about one input, if no more inputs are wrong than was assumed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Classification {
    /// Certainly right, because it contains every possible moment.
    Truechimer,
    /// Right or wrong. It contains some of the possible moments, so neither is certain.
    Undecided,
    /// Certainly wrong, because it contains no possible moment.
    Falseticker,
}

impl Agreement {
    /// The result of [`agree`]: the smallest interval around every possible moment.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The possible moments, in order of time. True time is in one of these pieces, and not
    /// between them.
    pub fn pieces(&self) -> &[Interval] {
        &self.pieces
    }

    /// What is certain about each input, in the order of the inputs.
    pub fn classifications(&self) -> &[Classification] {
        &self.classifications
    }

    /// The indices of the inputs that are certainly wrong.
    pub fn falsetickers(&self) -> impl Iterator<Item = usize> + '_ {
        let wrong = |(i, class)| (class == Classification::Falseticker).then_some(i);
        self.classifications.iter().copied().enumerate().filter_map(wrong)
    }

    /// What is certain about an interval, which need not be an input.
    pub fn classify(&self, interval: &Interval) -> Classification {
        if interval.contains(self.interval.earliest()) && interval.contains(self.interval.latest())
        {
            return Classification::Truechimer;
        }
        // The pieces are in order and disjoint, so the first one that does not end before the
        // interval decides.
        let next = self.pieces.partition_point(|piece| piece.definitely_before(interval));
        match self.pieces.get(next) {
            Some(piece) if piece.overlaps(interval) => Classification::Undecided,
            _ => Classification::Falseticker,
        }
    }
}

/// Why there is no agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgreementError {
    /// There were no intervals.
    #[error("there are no intervals to agree on: pass at least one")]
    NoInputs,
    /// `n > 2f` does not hold, so the wrong inputs could outvote the others.
    #[error(
        "{faulty} wrong intervals of {inputs} could outvote the others: use at least {} clocks, \
         or allow for at most {} wrong ones",
        faulty.saturating_mul(2).saturating_add(1), inputs.saturating_sub(1) / 2
    )]
    TooManyFaulty {
        /// How many intervals there were.
        inputs: usize,
        /// How many of them may be wrong.
        faulty: usize,
    },
    /// No moment is in enough inputs, so more of them are wrong than was assumed.
    #[error(
        "no moment is in {needed} of the {inputs} intervals, but at most in {most}, so at least {} of \
         them are wrong: find out which clocks are, or allow for more wrong ones",
        inputs.saturating_sub(*most)
    )]
    NoCommonMoment {
        /// How many intervals there were.
        inputs: usize,
        /// How many of them had to share a moment: all but the faulty ones.
        needed: usize,
        /// The most that share one. At least `inputs - most` are wrong.
        most: usize,
    },
}

impl AgreementError {
    /// Whether the same clocks may agree when they are read again later.
    pub fn is_transient(&self) -> bool {
        match self {
            AgreementError::NoInputs | AgreementError::TooManyFaulty { .. } => false,
            AgreementError::NoCommonMoment { .. } => true,
        }
    }
}

/// [`agree`] with its reasons: the pieces, what is certain about each input, or which rule failed.
///
/// # Errors
///
/// [`AgreementError`] exactly if [`agree`] returns `None`: there are no inputs, or
/// `n <= 2 * faulty`, or no moment is in `n - faulty` inputs.
///
/// ```
/// use truechimer::{Interval, Timestamp, agreement::{Classification, examine}};
///
/// let at = |a, b| Interval::new(Timestamp::from_tai_nanos(a), Timestamp::from_tai_nanos(b));
/// let inputs: Vec<Interval> = [at(8, 12), at(11, 13), at(40, 41)].into_iter().flatten().collect();
/// let agreement = examine(&inputs, 1)?;
/// assert_eq!(agreement.falsetickers().collect::<Vec<_>>(), [2]);
/// assert_eq!(agreement.classifications()[0], Classification::Truechimer);
/// # Ok::<(), truechimer::agreement::AgreementError>(())
/// ```
pub fn examine(inputs: &[Interval], faulty: usize) -> Result<Agreement, AgreementError> {
    let n = inputs.len();
    if n == 0 {
        return Err(AgreementError::NoInputs);
    }
    let needed = needed(n, faulty).ok_or(AgreementError::TooManyFaulty { inputs: n, faulty })?;
    let (pieces, most) = sweep(inputs, needed);
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return Err(AgreementError::NoCommonMoment { inputs: n, needed, most });
    };
    let interval = first.hull(last);
    let mut agreement = Agreement { interval, pieces, classifications: Vec::new() };
    agreement.classifications = inputs.iter().map(|input| agreement.classify(input)).collect();
    Ok(agreement)
}

/// The largest number of inputs that share one moment.
pub(crate) fn most_at_once(inputs: &[Interval]) -> usize {
    sweep(inputs, usize::MAX).1
}

/// The maximal intervals of moments in at least `needed` inputs, and the largest number of inputs
/// that share one moment.
fn sweep(inputs: &[Interval], needed: usize) -> (Vec<Interval>, usize) {
    // `false` sorts first. So at one moment inputs start before others end, because the ends are
    // included.
    let mut edges: Vec<(Timestamp, bool)> =
        inputs.iter().flat_map(|i| [(i.earliest(), false), (i.latest(), true)]).collect();
    edges.sort_unstable();
    let (mut pieces, mut since) = (Vec::new(), None);
    let (mut inside, mut most) = (0, 0);
    for (moment, is_end) in edges {
        if !is_end {
            inside += 1;
            most = inside.max(most);
            if inside == needed {
                since = Some(moment);
            }
            continue;
        }
        if inside == needed {
            pieces.extend(since.take().and_then(|since| Interval::new(since, moment)));
        }
        inside -= 1;
    }
    (pieces, most)
}
