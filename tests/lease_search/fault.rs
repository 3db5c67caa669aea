//! [`Fault`]: a rule of the protocol that the driver breaks around the shipping code.

/// What is wrong in a world. The `Grantor`, `Holder`, `Lease`, `Hlc` and `Fence` are always the
/// shipping ones, and a fault is in how they are called or in what they are handed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    Nothing,
    /// A grantor that lost its state grants at once.
    NoQuietTerm,
    /// It is quiet for a term that counts from its `earliest`.
    QuietFromTheEarliest,
    /// A stored state is used as if it were the last one.
    OldStateTakenAsTheLast,
    /// The grantor decides by the midpoint of its interval.
    GrantorUsesTheMidpoint,
    /// A holder checks its lease by the midpoint of its interval.
    HolderUsesTheMidpoint,
    /// A lease is released or transferred before its greatest stamp has passed.
    HandOverWithoutTheWait,
    /// The holder goes on to use the lease that it released or transferred.
    ReleaseKeepsTheLease,
    /// Commit stamps are taken beside the lease, which does not compare them with its end.
    StampBeyondTheLease,
    /// A grantor that lost its state numbers its tokens from the start anew.
    TokensBeginAgain,
    /// A holder applies a renewal to its lease without a look at the token.
    RenewalIgnoresTheToken,
    /// The grantor decides on a repeat as if it were a new command.
    RepeatsAreAppliedAgain,
    /// A holder makes a lease of a grant each time that it comes.
    GrantAcceptedTwice,
    /// The resource does not remember the largest token.
    FenceForgets,
}
