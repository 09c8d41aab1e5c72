//! Where a sender stands beside others, for turns and for its part of the room.

use crate::runtime::asker::Asker;

/// A place among senders: an organization has one, since its members make keys as they like; the ordering peers have one,
/// and all senders without a record share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place(Asker);

impl Place {
    pub(crate) fn of_organization(name: &str) -> Self {
        Self(Asker::named(name))
    }
}
