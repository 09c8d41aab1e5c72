//! Witnesses: who else vouches that what this peer has verified was verified, before it is offered for a block. A part of the
//! machine, and as pure: it says what is to be signed, sent and verified, and does none of it.
//!
//! Under the policy `own` it lets everything pass. Under `quorum` and `all` what passed verification is put into batches, in
//! its order; this peer signs each and asks those who order with it to do the same, with the transactions themselves, since
//! they vouch for nothing that they have not verified. What has the signatures that the policy asks for is offered, batch
//! after batch. Whoever is asked verifies and signs, and keeps no record: a signature says that a batch's transactions are
//! well formed and signed, which is so for ever, and promises nothing about their order.
//!
//! Always: nothing is offered that the policy in force would refuse; a change of who orders, or of the policy, makes all
//! signatures void, and what had them begins anew; what is lost on the way is asked for again; an id stands in one batch,
//! and of a batch nothing is kept once all that stands in it has its outcome.

use crate::limits::{
    WITNESS_AGAIN_MS, WITNESS_BATCH_BYTES_MAX, WITNESS_BATCH_TRANSACTIONS_MAX, WITNESS_BATCHES_OPEN_MAX,
};
use crate::pipeline::witness_message::WitnessMessage;
use crate::pipeline::witness_requests::{Asked, Requests};
use crate::runtime::mutants::{Mutant, planted};
use ledger_classes::formats::block::{Batch, SealSignature, WitnessedBatch};
use ledger_classes::formats::config::{ChannelConfig, Orderers, Witnesses as Policy};
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::{Address, verify_strict};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::collections::hash_map::Entry;
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
    /// Count a request of another peer's, by what became of it.
    Count(&'static str),
}

/// A batch of this peer that lacks witnesses.
struct Unwitnessed {
    batch: Batch,
    transactions: Vec<VerifiedTransaction>,
    /// How many of them have no outcome.
    left: usize,
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

/// Where a transaction stands that has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// In no batch yet.
    Waits,
    /// In an open batch of this number.
    Open(u64),
    /// In a known one.
    Known(u64),
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
    /// Verified, and in no batch yet, with what has its outcome meanwhile.
    waiting: VecDeque<VerifiedTransaction>,
    /// How many of these have.
    with_outcome: usize,
    open: VecDeque<Unwitnessed>,
    known: BTreeMap<u64, Known>,
    /// Where each stands that has no outcome.
    of: HashMap<Hash, Stands>,
    requests: Requests,
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
            with_outcome: 0,
            open: VecDeque::new(),
            known: BTreeMap::new(),
            of: HashMap::new(),
            requests: Requests::default(),
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
        let mut witnessed = Vec::new();
        for one in transactions {
            match self.of.entry(one.id()) {
                Entry::Vacant(entry) => {
                    entry.insert(Stands::Waits);
                    self.waiting.push_back(one);
                }
                Entry::Occupied(entry) if matches!(entry.get(), Stands::Known(_)) => witnessed.push(one),
                // It comes with the batch in which it stands, or will.
                Entry::Occupied(_) => {}
            }
        }
        let passed = (!witnessed.is_empty()).then_some(WitnessEffect::Passed(witnessed));
        passed.into_iter().chain(self.begin(now)).collect()
    }

    /// Makes batches of what waits, as many as may lack witnesses at a time: meanwhile the next one grows.
    fn begin(&mut self, now: Time) -> Vec<WitnessEffect> {
        let mut effects = self.pass();
        while self.open.len() < WITNESS_BATCHES_OPEN_MAX {
            let number = (self.number + 1).max(now.millis() << 16);
            let (mut transactions, mut bytes) = (Vec::new(), 0);
            while transactions.len() < WITNESS_BATCH_TRANSACTIONS_MAX && bytes < WITNESS_BATCH_BYTES_MAX {
                let Some(next) = self.waiting.pop_front() else { break };
                match self.of.get_mut(&next.id()) {
                    Some(stands) if *stands == Stands::Waits => *stands = Stands::Open(number),
                    // It has its outcome, or came again after that and stands in a batch already.
                    _ => {
                        self.with_outcome = self.with_outcome.saturating_sub(1);
                        continue;
                    }
                }
                bytes += next.envelope().len();
                transactions.push(next);
            }
            if transactions.is_empty() {
                break;
            }
            let leaves: Vec<Hash> = transactions.iter().map(VerifiedTransaction::leaf).collect();
            self.number = number;
            let (batch, left) = (Batch::of(self.own, number, &leaves), transactions.len());
            self.open.push_back(Unwitnessed {
                batch: batch.clone(),
                transactions,
                left,
                signed: BTreeMap::new(),
                again: now,
            });
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
                    let bytes = WitnessMessage::Asks { batch: open.batch.clone(), envelopes }.encode();
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
        self.begin(now)
    }

    /// Takes a message of a peer that orders.
    pub(crate) fn message(&mut self, from: Address, bytes: &[u8], now: Time) -> Vec<WitnessEffect> {
        if self.are_own() || !self.orderers.peers.iter().any(|peer| peer.key.address() == from) {
            return Vec::new();
        }
        match WitnessMessage::decode(bytes) {
            Ok(WitnessMessage::Asks { batch, envelopes })
                if batch.origin == from
                    && batch.count as usize == envelopes.len()
                    && envelopes.len() <= WITNESS_BATCH_TRANSACTIONS_MAX =>
            {
                self.asked(from, batch, envelopes, bytes.len())
            }
            Ok(WitnessMessage::Vouches { batch, signed }) if signed.key.address() == from => {
                self.signed(&batch, signed, now)
            }
            // From a peer that is wrong, or of a later link: who asked will ask again.
            _ => Vec::new(),
        }
    }

    fn asked(&mut self, from: Address, batch: Batch, envelopes: Vec<Vec<u8>>, bytes: usize) -> Vec<WitnessEffect> {
        match self.requests.ask(from, &batch, bytes) {
            Asked::Verify => vec![WitnessEffect::Vouch { to: from, batch, envelopes: Some(envelopes) }],
            Asked::Signed(signed) => vec![WitnessEffect::Count("repeated"), vouches(from, batch, signed)],
            Asked::UnderWay => vec![WitnessEffect::Count("repeated")],
            Asked::Refused => vec![WitnessEffect::Count("refused")],
        }
    }

    /// The signature over a batch, this peer's own or another's; `None` if the batch is not of its transactions.
    pub(crate) fn vouched(
        &mut self,
        to: Address,
        batch: Batch,
        signed: Option<SealSignature>,
        now: Time,
    ) -> Vec<WitnessEffect> {
        if to == self.own {
            return signed.map(|signed| self.signed(&batch, signed, now)).unwrap_or_default();
        }
        self.requests.done(to, &batch, signed.as_ref());
        match signed {
            Some(signed) => vec![WitnessEffect::Count("signed"), vouches(to, batch, signed)],
            None => vec![WitnessEffect::Count("wrong")],
        }
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
        self.begin(now)
    }

    /// Batches whose policy is met pass, in order: one waits for those before it, until they have passed or are gone.
    fn pass(&mut self) -> Vec<WitnessEffect> {
        let mut effects = Vec::new();
        while self.open.front().is_some_and(|open| self.is_met(open)) {
            let Some(Unwitnessed { batch, mut transactions, signed, .. }) = self.open.pop_front() else { break };
            let leaves = transactions.iter().map(VerifiedTransaction::leaf).collect();
            let number = batch.number;
            transactions.retain(|one| match self.of.get_mut(&one.id()) {
                Some(stands) if *stands == Stands::Open(number) => {
                    *stands = Stands::Known(number);
                    true
                }
                _ => false,
            });
            let left = transactions.len();
            let listed = WitnessedBatch { batch, leaves, witnesses: signed.into_values().collect() };
            self.known.insert(number, Known { listed, left });
            effects.push(WitnessEffect::Passed(transactions));
        }
        effects
    }

    fn is_met(&self, open: &Unwitnessed) -> bool {
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
        let number = |one: &VerifiedTransaction| match self.of.get(&one.id()) {
            Some(Stands::Known(number)) => Some(*number),
            _ => None,
        };
        let numbers: BTreeSet<u64> = transactions.iter().filter_map(number).collect();
        numbers.iter().filter_map(|number| self.known.get(number)).map(|known| known.listed.clone()).collect()
    }

    /// Whether what was signed for a transaction holds.
    pub(crate) fn knows(&self, id: &Hash) -> bool {
        self.are_own() || matches!(self.of.get(id), Some(Stands::Known(_)))
    }

    /// What has no outcome and has not passed.
    pub(crate) fn not_passed(&self) -> impl Iterator<Item = &VerifiedTransaction> {
        let open = self.open.iter().flat_map(|open| {
            let stands = Stands::Open(open.batch.number);
            open.transactions.iter().map(move |one| (stands, one))
        });
        let all = open.chain(self.waiting.iter().map(|one| (Stands::Waits, one)));
        all.filter(|(stands, one)| self.of.get(&one.id()) == Some(stands)).map(|(_, one)| one)
    }

    /// These have their outcome, or it is no longer this peer's to bring it about.
    pub(crate) fn gone(&mut self, ids: impl IntoIterator<Item = Hash>) {
        if self.of.is_empty() {
            return;
        }
        for id in ids {
            match self.of.remove(&id) {
                None => {}
                Some(Stands::Waits) => self.with_outcome += 1,
                // The others in it go on asking. A batch of which nothing is left asks for nothing.
                Some(Stands::Open(number)) => {
                    let open = self.open.iter_mut().filter(|open| open.batch.number == number);
                    open.for_each(|open| open.left -= 1);
                    self.open.retain(|open| open.left > 0);
                }
                Some(Stands::Known(number)) => {
                    let Some(known) = self.known.get_mut(&number) else { continue };
                    known.left -= 1;
                    if known.left == 0 {
                        self.known.remove(&number);
                    }
                }
            }
        }
        if 2 * self.with_outcome > self.waiting.len() {
            self.waiting.retain(|one| self.of.get(&one.id()) == Some(&Stands::Waits));
            self.with_outcome = 0;
        }
    }

    /// This configuration rules from now on. True if what was signed is void: then all that was passed comes back by
    /// [`Self::again`].
    pub(crate) fn configure(&mut self, config: &ChannelConfig) -> bool {
        let (policy, orderers) = (config.witnesses, config.orderers());
        let same = self.policy == policy && (policy == Policy::Own || self.orderers == orderers);
        (self.policy, self.orderers) = (policy, orderers);
        let orders = |peer: &Address| self.orderers.peers.iter().any(|orders| orders.key.address() == *peer);
        self.requests.retain(orders);
        !same
    }

    /// All begins anew: first what was passed, then what was not.
    pub(crate) fn again(&mut self, passed: Vec<VerifiedTransaction>, now: Time) -> Vec<WitnessEffect> {
        let not_passed: Vec<_> = self.not_passed().cloned().collect();
        self.known.clear();
        self.of.clear();
        self.open.clear();
        self.waiting.clear();
        self.with_outcome = 0;
        let all: Vec<_> = passed.into_iter().chain(not_passed).collect();
        if all.is_empty() { Vec::new() } else { self.verified(all, now) }
    }
}

fn vouches(to: Address, batch: Batch, signed: SealSignature) -> WitnessEffect {
    WitnessEffect::Send { to, bytes: WitnessMessage::Vouches { batch, signed }.encode() }
}

#[cfg(test)]
mod tests;
