//! What is said of a block that is ahead of this peer's clock.

/// What becomes of a valid block of another peer's that is ahead of this peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// It is not accepted before the clock arrives.
    Withheld,
    /// It is too far ahead, and is not accepted.
    Refused,
}

impl Ahead {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Withheld => "withheld",
            Self::Refused => "refused",
        }
    }
}
