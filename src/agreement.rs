//! [`agree`]: several intervals, some of them wrong, one answer that is right.
//!
//! Ask five clocks for the time and each states an interval. At most `f` of
//! them lie, nobody knows which. What is the time?
//!
//! The naive answers are the mean and the median of the midpoints. One liar
//! drags the mean as far as it likes. The median resists, but it is a point: it
//! has thrown away what the honest clocks said about their own error, and has
//! nothing to say about its own. Intersecting all intervals keeps the error
//! but lets one liar make the answer empty, or worse, narrow and wrong.
//!
//! The insight is Marzullo's: count. The true time is inside every honest
//! interval, so it is a moment that at least `n - f` of the `n` inputs contain.
//! Call such moments *possible*. Whatever is not possible is not the time.
//!
//! # Why the answer is the hull, and why `n > 2f`
//!
//! Possible moments may fall apart into several pieces, and the time may be in
//! any of them. Marzullo's best-known program answers with the piece of highest
//! coverage; a liar can choose which one that is. [`agree`] answers with the
//! smallest interval around all of them. From the count alone it follows, with
//! `E` and `L` its two ends:
//!
//! 1. *Right*, if at most `f` inputs are wrong: the true time is possible, and
//!    the hull holds every possible moment.
//! 2. *Anchored*, if `n > 2f` as well: `E` is covered by `n - f > f` inputs, one
//!    of which is honest; so is `L`. The answer reaches no further than the
//!    honest inputs do, whatever the liars say.
//! 3. *Narrow*: the `n - f` inputs around `E` and the `n - f` around `L` have at
//!    least `n - 2f` in common. Each of those spans the whole answer. So the
//!    answer is no wider than some input, and with `n > 3f` (then `n - 2f > f`)
//!    no wider than some *honest* input.
//!
//! With `n <= 2f` the liars alone can make a moment possible, anywhere. The
//! hull would be right and useless, and nobody could see that it is useless, so
//! the answer is `None`.
//!
//! Intervals are closed: two that touch in one moment share that moment.
//!
//! # Which inputs lied
//!
//! [`examine`] gives the pieces, and says of each input what follows about it
//! from "at most `f` are wrong" and nothing else. An input without any possible
//! moment in it is wrong, certainly: a falseticker. An input around the whole
//! hull is right, certainly. Between the two nobody knows, and [`Standing`]
//! says so. Note that an input may lie inside the hull and still be a
//! falseticker, if it lies in a gap between the pieces.
//!
//! # What to read
//!
//! K. Marzullo, S. Owicki, "Maintaining the time in a distributed system"
//! (PODC 1983). K. Marzullo, "Tolerating failures of continuous-valued sensors"
//! (ACM TOCS 8(4), 1990), where the three cases above are theorems. RFC 5905,
//! section 11.2.1, for the variant in NTP; it also counts midpoints, which
//! gives up point 1 for a tidier selection.

use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// The smallest interval around every moment that at least `n - faulty` of the `n` inputs contain.
///
/// It contains the true time if at most `faulty` of the inputs do not. `None`
/// if no moment is in so many inputs, which proves that more than `faulty` are
/// wrong; and if `n <= 2 * faulty`, for then the liars could outvote the rest.
/// [`examine`] tells the two apart, and says who lied.
///
/// Costs two sorts of `n` integers, O(n log n); up to 32 inputs it does not allocate.
///
/// ```
/// use truechimer::{Interval, Timestamp, agreement::agree};
///
/// let at = |a, b| Interval::new(Timestamp::from_tai_nanos(a), Timestamp::from_tai_nanos(b));
/// let inputs: Vec<Interval> = [at(8, 12), at(11, 13), at(40, 41)].into_iter().flatten().collect();
/// assert_eq!(agree(&inputs, 1), at(11, 12)); // the third lied, and does no harm
/// assert_eq!(agree(&inputs, 0), None); // somebody lied
/// assert_eq!(agree(&inputs, 2), None); // two liars of three could say anything
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

/// Up to this many inputs are sorted on the stack: more clocks than any host asks.
const FEW: usize = 32;

/// How many inputs must contain a moment to make it possible; `None` if liars could reach it alone.
fn needed(inputs: usize, faulty: usize) -> Option<usize> {
    let needed = inputs.checked_sub(faulty)?;
    (needed > faulty).then_some(needed)
}

/// The first moment in at least `needed` inputs. It is where some input starts.
fn first_possible(starts: &[i64], ends: &[i64], needed: usize) -> Option<i64> {
    let mut ended = 0;
    for (i, &start) in starts.iter().enumerate() {
        // Strictly before: an input that ends exactly here still contains this moment. The
        // index stays in range, since what ended before `start` is among the `i` that started.
        while ends[ended] < start {
            ended += 1;
        }
        if i + 1 - ended >= needed {
            return Some(start);
        }
    }
    None
}

/// The last moment in at least `needed` inputs: [`first_possible`] seen from the other side.
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

/// What follows from several intervals of which at most some are wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    interval: Interval,
    pieces: Vec<Interval>,
    standings: Vec<Standing>,
}

/// What is certain about one input, if no more inputs are wrong than was assumed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// Right: it contains every possible moment.
    Truechimer,
    /// Right or wrong, and nobody can tell: it contains some possible moments.
    Undecided,
    /// Wrong: it contains no possible moment.
    Falseticker,
}

impl Agreement {
    /// What [`agree`] answers: the smallest interval around every possible moment.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The possible moments, in order of time: the truth is in one of these, and not between them.
    pub fn pieces(&self) -> &[Interval] {
        &self.pieces
    }

    /// What is certain about each input, in the order in which they were given.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The inputs that are certainly wrong, by their place in the list.
    pub fn falsetickers(&self) -> impl Iterator<Item = usize> + '_ {
        let wrong = |(i, standing)| (standing == Standing::Falseticker).then_some(i);
        self.standings.iter().copied().enumerate().filter_map(wrong)
    }

    /// What is certain about an interval, whether or not it was an input.
    pub fn standing_of(&self, interval: &Interval) -> Standing {
        if interval.contains(self.interval.earliest()) && interval.contains(self.interval.latest())
        {
            return Standing::Truechimer;
        }
        // The pieces are in order and apart, so the first that does not end too early decides.
        let next = self.pieces.partition_point(|piece| piece.definitely_before(interval));
        match self.pieces.get(next) {
            Some(piece) if piece.overlaps(interval) => Standing::Undecided,
            _ => Standing::Falseticker,
        }
    }
}

/// Why there is no agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// There was nothing to agree on.
    #[error("there are no intervals to agree on: give at least one")]
    NoInputs,
    /// `n > 2f` does not hold, so the liars could outvote the rest.
    #[error(
        "{faulty} wrong intervals of {inputs} could outvote the others: ask at least {} clocks, \
         or allow for at most {} wrong ones",
        faulty.saturating_mul(2).saturating_add(1), inputs.saturating_sub(1) / 2
    )]
    TooManyFaulty {
        /// How many intervals there were.
        inputs: usize,
        /// How many of them may be wrong.
        faulty: usize,
    },
    /// No moment is in enough inputs, so more of them are wrong than was allowed for.
    #[error(
        "no moment is in {needed} of the {inputs} intervals, only in {most}: at least {} of them \
         are wrong; find out which clocks are, or allow for more wrong ones",
        inputs.saturating_sub(*most)
    )]
    NoCommonMoment {
        /// How many intervals there were.
        inputs: usize,
        /// How many of them had to share a moment: all but the faulty.
        needed: usize,
        /// The most that do share one. `inputs - most` are wrong at least.
        most: usize,
    },
}

impl Disagreement {
    /// Whether the same clocks may agree when they are asked again later.
    pub fn is_transient(&self) -> bool {
        match self {
            Disagreement::NoInputs | Disagreement::TooManyFaulty { .. } => false,
            Disagreement::NoCommonMoment { .. } => true,
        }
    }
}

/// [`agree`] in full: the pieces, what is certain about each input, or which rule failed.
///
/// # Errors
///
/// Exactly where [`agree`] answers `None`: no inputs, `n <= 2 * faulty`, or no
/// moment in `n - faulty` of them.
///
/// ```
/// use truechimer::{Interval, Timestamp, agreement::{Standing, examine}};
///
/// let at = |a, b| Interval::new(Timestamp::from_tai_nanos(a), Timestamp::from_tai_nanos(b));
/// let inputs: Vec<Interval> = [at(8, 12), at(11, 13), at(40, 41)].into_iter().flatten().collect();
/// let agreement = examine(&inputs, 1)?;
/// assert_eq!(agreement.falsetickers().collect::<Vec<_>>(), [2]);
/// assert_eq!(agreement.standings()[0], Standing::Truechimer);
/// # Ok::<(), truechimer::agreement::Disagreement>(())
/// ```
pub fn examine(inputs: &[Interval], faulty: usize) -> Result<Agreement, Disagreement> {
    let n = inputs.len();
    if n == 0 {
        return Err(Disagreement::NoInputs);
    }
    let needed = needed(n, faulty).ok_or(Disagreement::TooManyFaulty { inputs: n, faulty })?;
    let (pieces, most) = sweep(inputs, needed);
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return Err(Disagreement::NoCommonMoment { inputs: n, needed, most });
    };
    let interval = first.hull(last);
    let mut agreement = Agreement { interval, pieces, standings: Vec::new() };
    agreement.standings = inputs.iter().map(|input| agreement.standing_of(input)).collect();
    Ok(agreement)
}

/// The most inputs that any one moment is in.
pub(crate) fn most_at_once(inputs: &[Interval]) -> usize {
    sweep(inputs, usize::MAX).1
}

/// The longest runs of moments in at least `needed` inputs, and the most inputs at any moment.
fn sweep(inputs: &[Interval], needed: usize) -> (Vec<Interval>, usize) {
    // `false` sorts first: at one moment inputs start before others end, since ends are included.
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
