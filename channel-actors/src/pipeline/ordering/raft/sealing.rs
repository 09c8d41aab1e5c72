//! Collects the signatures that seal a block. A peer signs what it has executed and knows to be final, one block of each
//! height, and says so only when a record of that is on its disk.

use super::records::{Item, Out};
use super::window::Mark;
use super::wire::{Said, Signed};
use crate::pipeline::ordering::{OrderingEffect, Sealing, Ticket};
use ledger_classes::formats::block::{Seal, SealSignature, seal_message};
use ledger_classes::formats::config::Orderers;
use ledger_classes::keys::{Address, SigningKey, verify_strict};
use ledger_classes::primitives::hash::Hash;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Signatures of blocks so far above the last final one are kept for when they are final here.
const EARLY_HEIGHTS_MAX: u64 = 1_024;

/// A final block that is not sealed yet.
struct Open {
    hash: Hash,
    place: u64,
    given: BTreeMap<Address, SealSignature>,
}

pub(super) struct Seals {
    key: Arc<SigningKey>,
    own: Address,
    orderers: Orderers,
    open: BTreeMap<u64, Open>,
    /// Of blocks that are not final here yet; nothing of them is checked.
    early: BTreeMap<(u64, Address), (u64, SealSignature)>,
    /// What this peer has signed, and the record of it if that is of this life of the program.
    signed: BTreeMap<u64, (Hash, u64, Option<Ticket>)>,
    /// Own signatures that wait for their records.
    waiting: VecDeque<(Ticket, u64)>,
}

impl Seals {
    pub(super) fn new(key: Arc<SigningKey>, orderers: Orderers, signed: BTreeMap<u64, (Hash, u64)>) -> Self {
        let signed = signed.into_iter().map(|(height, (hash, place))| (height, (hash, place, None))).collect();
        let own = key.public().address();
        let (open, early, waiting) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { key, own, orderers, open, early, signed, waiting }
    }

    /// A block is final here.
    pub(super) fn open(&mut self, block: Mark, out: &mut Out) {
        let Mark { height, hash, term: place, .. } = block;
        self.open.insert(height, Open { hash, place, given: BTreeMap::new() });
        self.sign(block, None, false, out);
        while let Some(entry) = self.early.first_entry().filter(|entry| entry.key().0 <= height) {
            let ((height, from), (at, signed)) = entry.remove_entry();
            self.take(from, height, at, signed);
        }
        self.seal(height, out);
    }

    /// Signs a final block, for one peer or all others. What is signed for the first time is recorded first.
    pub(super) fn sign(&mut self, block: Mark, only: Option<Address>, asks: bool, out: &mut Out) {
        let Mark { height, hash, term: place, .. } = block;
        let after = match self.signed.get(&height) {
            Some((before, _, _)) if *before != hash => {
                return out.halt(format!("this peer has signed block {height} {before}, and {hash} is to be signed"));
            }
            Some((_, at, _)) if *at != place => {
                return out.halt(format!("this peer has signed block {height} of place {at}, and not of {place}"));
            }
            Some((_, _, ticket)) => *ticket,
            None => {
                let ticket = out.persist(&[Item::Signed { height, hash, place }]);
                self.signed.insert(height, (hash, place, Some(ticket)));
                self.waiting.push_back((ticket, height));
                Some(ticket)
            }
        };
        if after.is_none() {
            self.take_own(height);
        }
        let (key, signature) = (self.key.public(), self.key.sign(&seal_message(&hash, place)));
        let said = Said::Signed(Signed { height, place, signed: SealSignature { key, signature }, asks });
        let others = self.orderers.peers.iter().map(|peer| peer.key.address()).filter(|to| *to != self.own);
        for to in others.filter(|to| only.is_none_or(|only| only == *to)) {
            out.say(to, &said, after);
        }
    }

    fn take_own(&mut self, height: u64) {
        let Some(open) = self.open.get_mut(&height) else { return };
        let (key, signature) = (self.key.public(), self.key.sign(&seal_message(&open.hash, open.place)));
        open.given.insert(self.own, SealSignature { key, signature });
    }

    /// Another peer's signature, if it is one.
    fn take(&mut self, from: Address, height: u64, place: u64, signed: SealSignature) {
        let Some(open) = self.open.get_mut(&height).filter(|open| open.place == place) else { return };
        let message = seal_message(&open.hash, place);
        let is = |key| signed.key == key && verify_strict(&key, &message, &signed.signature).is_ok();
        if self.orderers.peers.iter().any(|peer| peer.key.address() == from && is(peer.key)) {
            open.given.insert(from, signed);
        }
    }

    /// Another peer says that a block is final.
    pub(super) fn hears(&mut self, from: Address, said: Signed, last_final: u64, out: &mut Out) {
        let Signed { height, place, signed, .. } = said;
        if height > last_final {
            let near = height - last_final <= EARLY_HEIGHTS_MAX;
            if near && self.orderers.peers.iter().any(|peer| peer.key.address() == from) {
                self.early.insert((height, from), (place, signed));
            }
            return;
        }
        self.take(from, height, place, signed);
        self.seal(height, out);
    }

    /// A record is on the disk, and all before it.
    pub(super) fn persisted(&mut self, ticket: Ticket, out: &mut Out) {
        while let Some((_, height)) = self.waiting.pop_front_if(|(waits, _)| *waits <= ticket) {
            self.take_own(height);
            self.seal(height, out);
        }
    }

    /// Seals a block, if there are signatures enough.
    fn seal(&mut self, height: u64, out: &mut Out) {
        let Some(open) = self.open.get(&height) else { return };
        let given = self.orderers.peers.iter().filter_map(|peer| Some((peer, open.given.get(&peer.key.address())?)));
        let given: Vec<_> = given.collect();
        if given.iter().map(|(peer, _)| u64::from(peer.weight)).sum::<u64>() < self.orderers.threshold {
            return;
        }
        let signatures = given.into_iter().map(|(_, signed)| signed.clone()).collect();
        let seal = Sealing::Signed(Seal::Quorum { place: open.place, signatures });
        self.open.remove(&height);
        out.push(OrderingEffect::Seal { height, seal });
    }

    /// Heights whose blocks are final and not sealed.
    pub(super) fn unsealed(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    /// The log is cut up to a height, whose block is sealed.
    pub(super) fn cut(&mut self, height: u64) {
        self.signed = self.signed.split_off(&(height + 1));
    }

    /// Parts of a record that stands for all before it.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        self.signed.iter().map(|(height, (hash, place, _))| Item::Signed {
            height: *height,
            hash: *hash,
            place: *place,
        })
    }

    #[cfg(test)]
    pub(super) fn early(&self) -> usize {
        self.early.len()
    }
}
