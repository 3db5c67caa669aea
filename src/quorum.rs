//! [`Quorum`]: how many members make a majority, and why two majorities always overlap.
//!
//! Every quorum argument is one inequality. Two sets of `a` and `b` out of `n` members share
//! at least `a + b - n` members. What the shared members have to guarantee gives the size:
//!
//! | the shared members must | size | so that | needs |
//! |---|---|---|---|
//! | remember (members only crash) | ⌊n/2⌋ + 1 | two share ≥ 1 | n ≥ 2f + 1 to continue without f |
//! | include an honest one ([`byzantine`](Quorum::byzantine)) | ⌊(n + f)/2⌋ + 1 | two share ≥ f + 1 | n ≥ 3f + 1 |
//! | include a right clock ([`clocks`](Quorum::clocks)) | n − f | each has ≥ f + 1 | n ≥ 2f + 1 |
//!
//! The third row is weaker than the second. It is enough for clocks, because clocks do not
//! decide anything together: each states an interval, there is one truth, and all right
//! intervals contain it (see [`agreement`](crate::agreement)).
//!
//! The usual mistakes are `n / 2` instead of `n / 2 + 1`, a majority of the members that
//! *answered* instead of a majority of all *members*, and a Byzantine `2f + 1` that is kept
//! after `n` has grown beyond `3f + 1`. So the size is computed here, once, and a quorum of 0
//! or of more than its members cannot be made.
//!
//! What to read: D. K. Gifford, "Weighted voting for replicated data" (SOSP 1979), for
//! `a + b > n`; D. Malkhi and M. Reiter, "Byzantine quorum systems" (STOC 1997), for the
//! second row.

/// A number of members that can decide, out of all members.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quorum {
    members: usize,
    size: usize,
}

/// Why a quorum cannot be made, or two quorums cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// There are no members.
    #[error("there are no members: a quorum needs at least one")]
    NoMembers,
    /// The size is 0, or more than there are members.
    #[error("{size} of {members} members cannot be a quorum: use a size from 1 to {members}")]
    ImpossibleSize {
        /// How many members there are.
        members: usize,
        /// How many should decide.
        size: usize,
    },
    /// There are too few members to outweigh the faulty ones.
    #[error(
        "{members} members cannot tolerate {faulty} faulty ones: use at least {} members, or allow \
         for fewer faulty ones",
        times_plus_one(*faulty, *ratio)
    )]
    TooManyFaulty {
        /// How many members there are.
        members: usize,
        /// How many of them may be faulty.
        faulty: usize,
        /// 2 for clocks, 3 for Byzantine quorums: `members > ratio * faulty` must hold.
        ratio: usize,
    },
    /// The two quorums belong to different memberships, so their overlap cannot be computed.
    #[error("one quorum has {0} members and the other {1}: compare two quorums of one membership")]
    DifferentMembers(usize, usize),
}

fn times_plus_one(faulty: usize, ratio: usize) -> usize {
    faulty.saturating_mul(ratio).saturating_add(1)
}

impl QuorumError {
    /// Whether the same call can succeed later. It cannot.
    pub fn is_transient(&self) -> bool {
        false
    }
}

impl Quorum {
    /// A quorum of `size` out of `members`.
    ///
    /// # Errors
    ///
    /// [`QuorumError::NoMembers`]; [`QuorumError::ImpossibleSize`] if `size` is not from 1 to
    /// `members`.
    pub const fn of(members: usize, size: usize) -> Result<Quorum, QuorumError> {
        if members == 0 {
            return Err(QuorumError::NoMembers);
        }
        if size == 0 || size > members {
            return Err(QuorumError::ImpossibleSize { members, size });
        }
        Ok(Quorum { members, size })
    }

    /// More than half: `members / 2 + 1`. Any two majorities share a member.
    ///
    /// Use it for members that may stop or be unreachable, but follow the protocol.
    ///
    /// # Errors
    ///
    /// [`QuorumError::NoMembers`].
    pub const fn majority(members: usize) -> Result<Quorum, QuorumError> {
        Quorum::of(members, members / 2 + 1)
    }

    /// `⌊(members + faulty) / 2⌋ + 1`. Any two such quorums share at least `faulty + 1` members,
    /// so at least one honest member.
    ///
    /// The size is at most `members - faulty`, so `faulty` silent members cannot stop the
    /// others.
    ///
    /// # Errors
    ///
    /// [`QuorumError::NoMembers`]; [`QuorumError::TooManyFaulty`] if `members <= 3 * faulty`.
    pub const fn byzantine(members: usize, faulty: usize) -> Result<Quorum, QuorumError> {
        match checked(members, faulty, 3) {
            // The sum of the two halves does not overflow. Halving loses 1 if both are odd.
            Ok(()) => Quorum::of(members, members / 2 + faulty / 2 + (members & faulty & 1) + 1),
            Err(error) => Err(error),
        }
    }

    /// `members - faulty` clocks. The moments that so many share include the true time.
    ///
    /// # Errors
    ///
    /// [`QuorumError::NoMembers`]; [`QuorumError::TooManyFaulty`] if `members <= 2 * faulty`.
    pub const fn clocks(members: usize, faulty: usize) -> Result<Quorum, QuorumError> {
        match checked(members, faulty, 2) {
            Ok(()) => Quorum::of(members, members - faulty),
            Err(error) => Err(error),
        }
    }

    /// How many members there are, including absent ones.
    pub const fn members(&self) -> usize {
        self.members
    }

    /// How many members are enough to decide.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// How many members may be absent while the others can still decide.
    pub const fn may_be_absent(&self) -> usize {
        self.members - self.size
    }

    /// Whether this number of votes decides.
    ///
    /// More votes than members do not decide, because then a member was counted twice and the
    /// count is meaningless.
    pub const fn is_met_by(&self, votes: usize) -> bool {
        self.size <= votes && votes <= self.members
    }

    /// The least number of members that any quorum of this size shares with any of the other.
    ///
    /// With 0, two quorums can decide without seeing each other. For a read quorum and a write
    /// quorum it must be at least 1. If `f` members may be malicious, it must be at least
    /// `f + 1`.
    ///
    /// # Errors
    ///
    /// [`QuorumError::DifferentMembers`] if the two have different numbers of members.
    ///
    /// ```
    /// use truechimer::quorum::Quorum;
    ///
    /// let (write, read) = (Quorum::of(5, 4)?, Quorum::of(5, 2)?);
    /// assert_eq!(write.overlap(&read)?, 1); // every read sees every write
    /// assert_eq!(read.overlap(&read)?, 0); // two reads may share no member
    /// # Ok::<(), truechimer::quorum::QuorumError>(())
    /// ```
    pub const fn overlap(&self, other: &Quorum) -> Result<usize, QuorumError> {
        if self.members != other.members {
            return Err(QuorumError::DifferentMembers(self.members, other.members));
        }
        // This is a + b - n without the overflow of a + b, because size <= members.
        Ok(self.size.saturating_sub(other.members - other.size))
    }
}

/// How many of `members` may stop while the others are still a majority: `(members - 1) / 2`.
///
/// Among clocks that state intervals, as many may be wrong.
pub const fn max_crashed(members: usize) -> usize {
    members.saturating_sub(1) / 2
}

/// How many of `members` may be malicious, where anything but a time is decided:
/// `(members - 1) / 3`.
pub const fn max_byzantine(members: usize) -> usize {
    members.saturating_sub(1) / 3
}

/// Checks that `members > ratio * faulty`.
const fn checked(members: usize, faulty: usize, ratio: usize) -> Result<(), QuorumError> {
    if members == 0 {
        return Err(QuorumError::NoMembers);
    }
    if faulty > (members - 1) / ratio {
        return Err(QuorumError::TooManyFaulty { members, faulty, ratio });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set of `size` out of `members`, as bits.
    fn sets(members: usize, size: usize) -> impl Iterator<Item = u32> + Clone {
        (0u32..1 << members).filter(move |set| set.count_ones() as usize == size)
    }

    /// The least overlap, by trying all pairs.
    fn least_overlap(members: usize, a: usize, b: usize) -> usize {
        let pairs = sets(members, a).flat_map(|x| sets(members, b).map(move |y| x & y));
        pairs.map(|shared| shared.count_ones() as usize).min().expect("sets exist")
    }

    #[test]
    fn the_overlap_is_that_of_the_worst_two_sets() {
        for members in 1..=7 {
            for (a, b) in (1..=members).flat_map(|a| (1..=members).map(move |b| (a, b))) {
                let [x, y] = [a, b].map(|size| Quorum::of(members, size).expect("possible"));
                assert_eq!(
                    x.overlap(&y),
                    Ok(least_overlap(members, a, b)),
                    "{a}, {b} of {members}"
                );
            }
        }
    }

    #[test]
    fn sizes_are_the_smallest_that_suffice() {
        for members in 1..=10 {
            let majority = Quorum::majority(members).expect("members");
            assert!(least_overlap(members, majority.size(), majority.size()) >= 1);
            assert_eq!(majority.may_be_absent(), max_crashed(members));
            if majority.size() > 1 {
                // The usual mistake, one too few: two halves of an even cluster do not meet.
                let less = Quorum::of(members, majority.size() - 1).expect("possible");
                assert_eq!(less.overlap(&less), Ok(0), "{members}");
            }
            for faulty in 0..=max_byzantine(members) {
                let q = Quorum::byzantine(members, faulty).expect("n > 3f");
                assert!(least_overlap(members, q.size(), q.size()) > faulty);
                assert!(q.may_be_absent() >= faulty, "the honest can decide alone");
                if let Ok(less) = Quorum::of(members, q.size() - 1) {
                    assert!(less.overlap(&less).expect("same members") <= faulty);
                }
            }
            for faulty in 0..=max_crashed(members) {
                let q = Quorum::clocks(members, faulty).expect("n > 2f");
                assert!(q.size() > faulty && q.may_be_absent() == faulty);
            }
        }
    }

    #[test]
    fn impossible_quorums_are_refused() {
        let n = usize::MAX;
        let cases = [
            (Quorum::majority(0), Err(QuorumError::NoMembers)),
            (Quorum::byzantine(0, 0), Err(QuorumError::NoMembers)),
            (Quorum::of(3, 0), Err(QuorumError::ImpossibleSize { members: 3, size: 0 })),
            (Quorum::of(3, 4), Err(QuorumError::ImpossibleSize { members: 3, size: 4 })),
            (
                Quorum::byzantine(3, 1),
                Err(QuorumError::TooManyFaulty { members: 3, faulty: 1, ratio: 3 }),
            ),
            (
                Quorum::clocks(2, 1),
                Err(QuorumError::TooManyFaulty { members: 2, faulty: 1, ratio: 2 }),
            ),
            (
                Quorum::clocks(5, n),
                Err(QuorumError::TooManyFaulty { members: 5, faulty: n, ratio: 2 }),
            ),
            (Quorum::majority(n), Ok(Quorum { members: n, size: n / 2 + 1 })),
            (Quorum::byzantine(n, 1), Ok(Quorum { members: n, size: n / 2 + 2 })),
        ];
        for (answer, expected) in cases {
            assert_eq!(answer, expected);
        }
        let [five, six] = [5, 6].map(|n| Quorum::majority(n).expect("members"));
        assert_eq!(five.overlap(&six), Err(QuorumError::DifferentMembers(5, 6)));
    }

    #[test]
    fn a_vote_counted_twice_decides_nothing() {
        let q = Quorum::majority(3).expect("members");
        let met: Vec<bool> = (0..=4).map(|votes| q.is_met_by(votes)).collect();
        assert_eq!(met, [false, false, true, true, false]);
    }
}
