//! Which place a channel's senders have beside each other.

use crate::runtime::place::Place;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::keys::Address;
use ledger_classes::state::participant::Participant;

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
