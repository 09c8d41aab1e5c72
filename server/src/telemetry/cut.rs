//! Why answers are cut off, as it is counted.

/// Why an answer was ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Its reader took less than the least pace.
    Pace,
    /// It took too long as a whole.
    Time,
    /// It lasts, and its reader took nothing at all.
    Stalled,
}

impl Cut {
    /// All.
    pub const ALL: [Self; 3] = [Self::Pace, Self::Time, Self::Stalled];

    /// Its name in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pace => "pace",
            Self::Time => "time",
            Self::Stalled => "stalled",
        }
    }
}
