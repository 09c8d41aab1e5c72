//! What kind of caller somebody is to what there is only so much of.

/// What kind of caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Without a certificate.
    #[default]
    Anonymous,
    /// With a certificate.
    Member,
    /// Administers this peer: what is left when all others have their part is for these.
    Administrator,
}

impl Standing {
    /// All.
    pub const ALL: [Self; 3] = [Self::Anonymous, Self::Member, Self::Administrator];

    /// Its name in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Member => "member",
            Self::Administrator => "administrator",
        }
    }
}
