//! Where a sender stands beside others, for turns and for its part of the room.

use crate::runtime::asker::Asker;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::keys::Address;
use ledger_classes::state::participant::Participant;

/// A place among senders: an organization has one, since its members make keys as they like; the ordering peers have one,
/// and all senders without a record share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place(Asker);

impl Place {
    pub(crate) fn of_organization(name: &str) -> Self {
        Self(Asker::named(name))
    }
}

/// Knows the places of a configuration.
pub(crate) struct Places {
    peers: Vec<Address>,
}

impl Places {
    pub(crate) fn new(config: &ChannelConfig) -> Self {
        Self { peers: config.peers.iter().map(|peer| peer.key.address()).collect() }
    }

    /// That of a sender with this record on the channel, or without one.
    pub(crate) fn of(&self, sender: Address, record: Option<&Participant>) -> Place {
        match record {
            // No organization has this name.
            _ if self.peers.contains(&sender) => Place::of_organization(""),
            Some(participant) => Place::of_organization(participant.identity.organization()),
            None => Place::default(),
        }
    }
}
