//! Witnesses: who else vouches that what this peer has verified was verified, before it is offered for a block. A part of the
//! machine, and as pure: it says what is to be signed, sent and verified, and does none of it.
//!
//! Under the policy `own` it lets everything pass. Under `quorum` and `all` what passed verification is put into batches, in
//! its order; this peer signs each and asks those who order with it to do the same, with the transactions themselves, since
//! they vouch for nothing that they have not verified. What has the signatures that the policy asks for is offered, batch
//! after batch. Whoever is asked verifies and signs, and remembers nothing: a signature says that a batch's transactions are
//! well formed and signed, which is so for ever, and promises nothing about their order.
//!
//! Always: nothing is offered that the policy in force would refuse; a change of who orders, or of the policy, makes all
//! signatures void, and what had them begins anew; what is lost on the way is asked for again.

use crate::limits::{
    WITNESS_AGAIN_MS, WITNESS_BATCH_BYTES_MAX, WITNESS_BATCH_TRANSACTIONS_MAX, WITNESS_BATCHES_OPEN_MAX,
};
use crate::pipeline::said::Said;
use crate::runtime::mutants::{Mutant, planted};
use ledger_classes::formats::block::{Batch, SealSignature, WitnessedBatch};
use ledger_classes::formats::config::{ChannelConfig, Orderers, Witnesses as Policy};
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::{Address, verify_strict};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Effects of the witnesses' machine.
#[must_use]
pub(crate) enum WitnessEffect {
    /// Sign a batch, if these are its transactions and each is one: what another peer asks for. Of this peer's own there
    /// are none to be looked at again.
    Vouch { to: Address, batch: Batch, envelopes: Option<Vec<Vec<u8>>> },
    /// Send a message to another peer.
    Send { to: Address, bytes: Vec<u8> },
    /// These may be offered for a block.
    Passed(Vec<VerifiedTransaction>),
    /// Look again at this time.
    WakeAt(Time),
}

/// A batch of this peer that lacks witnesses.
struct Open {
    batch: Batch,
    transactions: Vec<VerifiedTransaction>,
    /// By their places among those who order.
    signed: BTreeMap<usize, SealSignature>,
    /// When those who have not signed are asked again.
    again: Time,
}

/// Witnessed, with transactions that may come into a block yet.
struct Known {
    listed: WitnessedBatch,
    left: usize,
}

/// The state.
pub(crate) struct Witnesses {
    channel: Hash,
    own: Address,
    policy: Policy,
    orderers: Orderers,
    /// The number of the next batch. It tells batches of one origin apart for who reads them, and begins with the time of
    /// each life.
    number: u64,
    /// Verified, and in no batch yet.
    waiting: VecDeque<VerifiedTransaction>,
    open: VecDeque<Open>,
    known: BTreeMap<u64, Known>,
    /// In which of the known ones a transaction is.
    of: HashMap<Hash, u64>,
}

impl Witnesses {
    pub(crate) fn new(channel: Hash, own: Address, config: &ChannelConfig) -> Self {
        Self {
            channel,
            own,
            policy: config.witnesses,
            orderers: config.orderers(),
            number: 0,
            waiting: VecDeque::new(),
            open: VecDeque::new(),
            known: BTreeMap::new(),
            of: HashMap::new(),
        }
    }

    /// Whether nobody else is asked.
    pub(crate) fn are_own(&self) -> bool {
        self.policy == Policy::Own
    }

    /// Takes transactions that this peer verified.
    pub(crate) fn verified(&mut self, transactions: Vec<VerifiedTransaction>, now: Time) -> Vec<WitnessEffect> {
        if self.are_own() {
            return vec![WitnessEffect::Passed(transactions)];
        }
        self.waiting.extend(transactions);
        self.begin(now)
    }

    /// Makes batches of what waits, as many as may lack witnesses at a time: meanwhile the next one grows.
    fn begin(&mut self, now: Time) -> Vec<WitnessEffect> {
        let mut effects = Vec::new();
        while !self.waiting.is_empty() && self.open.len() < WITNESS_BATCHES_OPEN_MAX {
            let (mut transactions, mut bytes) = (Vec::new(), 0);
            while transactions.len() < WITNESS_BATCH_TRANSACTIONS_MAX && bytes < WITNESS_BATCH_BYTES_MAX {
                let Some(next) = self.waiting.pop_front() else { break };
                bytes += next.envelope().len();
                transactions.push(next);
            }
            let leaves: Vec<Hash> = transactions.iter().map(VerifiedTransaction::leaf).collect();
            self.number = (self.number + 1).max(now.millis() << 16);
            let batch = Batch::of(self.own, self.number, &leaves);
            self.open.push_back(Open { batch: batch.clone(), transactions, signed: BTreeMap::new(), again: now });
            effects.push(WitnessEffect::Vouch { to: self.own, batch, envelopes: None });
        }
        effects.extend(self.asks(now));
        effects
    }

    /// Asks those who have not signed, and says when to look again.
    fn asks(&mut self, now: Time) -> Vec<WitnessEffect> {
        let (mut effects, mut wake) = (Vec::new(), None);
        for open in &mut self.open {
            if open.again <= now {
                open.again = now.plus_millis(WITNESS_AGAIN_MS);
                let others = self.orderers.peers.iter().enumerate();
                let lacking = others.filter(|(place, _)| !open.signed.contains_key(place));
                let to: Vec<Address> =
                    lacking.map(|(_, peer)| peer.key.address()).filter(|to| *to != self.own).collect();
                if !to.is_empty() {
                    let envelopes = open.transactions.iter().map(|one| one.envelope().to_vec()).collect();
                    let bytes = Said::Asks { batch: open.batch.clone(), envelopes }.encode();
                    effects.extend(to.into_iter().map(|to| WitnessEffect::Send { to, bytes: bytes.clone() }));
                }
            }
            wake = Some(wake.map_or(open.again, |wake: Time| wake.min(open.again)));
        }
        effects.extend(wake.map(WitnessEffect::WakeAt));
        effects
    }

    /// Time has passed. What was to be looked at later is said again: a caller keeps the earliest time only.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<WitnessEffect> {
        self.asks(now)
    }

    /// Takes a message of a peer that orders.
    pub(crate) fn message(&mut self, from: Address, bytes: &[u8], now: Time) -> Vec<WitnessEffect> {
        if self.are_own() || !self.orderers.peers.iter().any(|peer| peer.key.address() == from) {
            return Vec::new();
        }
        match Said::decode(bytes) {
            Ok(Said::Asks { batch, envelopes }) if batch.origin == from && batch.count as usize == envelopes.len() => {
                vec![WitnessEffect::Vouch { to: from, batch, envelopes: Some(envelopes) }]
            }
            Ok(Said::Vouches { batch, signed }) if signed.key.address() == from => self.signed(&batch, signed, now),
            // From a peer that is wrong, or of a later link: who asked will ask again.
            _ => Vec::new(),
        }
    }

    /// This peer has signed a batch, its own or another's.
    pub(crate) fn vouched(
        &mut self,
        to: Address,
        batch: Batch,
        signed: SealSignature,
        now: Time,
    ) -> Vec<WitnessEffect> {
        if to == self.own {
            return self.signed(&batch, signed, now);
        }
        vec![WitnessEffect::Send { to, bytes: Said::Vouches { batch, signed }.encode() }]
    }

    fn signed(&mut self, batch: &Batch, signed: SealSignature, now: Time) -> Vec<WitnessEffect> {
        let place = self.orderers.peers.iter().position(|peer| peer.key == signed.key);
        let open = self.open.iter_mut().find(|open| open.batch == *batch);
        let (Some(place), Some(open)) = (place, open) else { return Vec::new() };
        // A block with a wrong one would be none.
        if open.signed.contains_key(&place)
            || verify_strict(&signed.key, &batch.message(&self.channel), &signed.signature).is_err()
        {
            return Vec::new();
        }
        open.signed.insert(place, signed);
        let mut effects = Vec::new();
        while self.open.front().is_some_and(|open| self.is_met(open)) {
            let Some(Open { batch, transactions, signed, .. }) = self.open.pop_front() else { break };
            let leaves = transactions.iter().map(VerifiedTransaction::leaf).collect();
            self.of.extend(transactions.iter().map(|one| (one.id(), batch.number)));
            let (number, left) = (batch.number, transactions.len());
            let listed = WitnessedBatch { batch, leaves, witnesses: signed.into_values().collect() };
            self.known.insert(number, Known { listed, left });
            effects.push(WitnessEffect::Passed(transactions));
        }
        effects.extend(self.begin(now));
        effects
    }

    fn is_met(&self, open: &Open) -> bool {
        let weight = |place: &usize| self.orderers.peers.get(*place).map_or(0, |peer| u64::from(peer.weight));
        let signed: u64 = open.signed.keys().map(weight).sum();
        let own = open.signed.values().any(|signed| signed.key.address() == self.own);
        own && match self.policy {
            _ if planted(Mutant::WitnessAlone) => true,
            Policy::Own => true,
            Policy::Quorum => signed >= self.orderers.threshold,
            Policy::All => signed == self.orderers.weight(),
        }
    }

    /// The batches of these.
    pub(crate) fn batches_of(&self, transactions: &[VerifiedTransaction]) -> Vec<WitnessedBatch> {
        if self.of.is_empty() {
            return Vec::new();
        }
        let numbers: BTreeSet<u64> = transactions.iter().filter_map(|one| self.of.get(&one.id())).copied().collect();
        numbers.iter().filter_map(|number| self.known.get(number)).map(|known| known.listed.clone()).collect()
    }

    /// Whether what was signed for a transaction holds.
    pub(crate) fn knows(&self, id: &Hash) -> bool {
        self.are_own() || self.of.contains_key(id)
    }

    /// These are in a block for ever, or in none.
    pub(crate) fn gone(&mut self, ids: impl IntoIterator<Item = Hash>) {
        if self.of.is_empty() {
            return;
        }
        for id in ids {
            let Some(number) = self.of.remove(&id) else { continue };
            let Some(known) = self.known.get_mut(&number) else { continue };
            known.left -= 1;
            if known.left == 0 {
                self.known.remove(&number);
            }
        }
    }

    /// This configuration rules from now on. True if what was signed is void: then all that was passed comes back by
    /// [`Self::again`].
    pub(crate) fn configure(&mut self, config: &ChannelConfig) -> bool {
        let (policy, orderers) = (config.witnesses, config.orderers());
        let same = self.policy == policy && (policy == Policy::Own || self.orderers == orderers);
        (self.policy, self.orderers) = (policy, orderers);
        !same
    }

    /// All begins anew: first what was passed, then what was not.
    pub(crate) fn again(&mut self, passed: Vec<VerifiedTransaction>, now: Time) -> Vec<WitnessEffect> {
        self.known.clear();
        self.of.clear();
        let open = std::mem::take(&mut self.open).into_iter().flat_map(|open| open.transactions);
        let all: Vec<_> = passed.into_iter().chain(open).chain(std::mem::take(&mut self.waiting)).collect();
        if all.is_empty() { Vec::new() } else { self.verified(all, now) }
    }
}

#[cfg(test)]
mod tests;
