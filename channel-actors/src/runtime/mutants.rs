//! Defects that are planted on purpose, in the code that serves, to show that the simulator finds them. The product has none:
//! without the feature `simulation` [`planted`] is false when it is compiled, and nothing of them is left.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The write-ahead log is not synced, and says that it was.
    SyncLeftOut,
    /// A block is acknowledged before its record is synced.
    AcknowledgedBeforeSync,
    /// Execution does not ask which ids the chain has.
    DuplicateLetThrough,
    /// A block's transactions are cut in the opposite order.
    OrderTurned,
    /// What an ordering engine's record promises is said before that is on the disk.
    RecordedBeforeSync,
    /// What was in a block that did not become final is forgotten.
    DiscardForgets,
    /// What this peer alone has signed counts as witnessed.
    WitnessAlone,
    /// A block of another peer's is accepted before this peer's clock is at its time.
    ClockNotAsked,
    /// For whom a peer has voted is left out of its record.
    VoteNotKept,
    /// A block is signed when it is executed.
    SealBeforeFinal,
    /// What was sent twice gives its second credit to nobody.
    CreditKept,
    /// A page that is read is held against no checksum.
    ChecksumUnchecked,
}

/// Whether this defect is planted on this thread.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn planted(mutant: Mutant) -> bool {
    crate::simulation::PLANTED.get() == Some(mutant)
}

/// Never.
#[cfg(not(any(test, feature = "simulation")))]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}
