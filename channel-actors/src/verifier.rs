//! Verifier shards: decode strictly, check time, signatures in batches, and the sender's standing. A shard signs the
//! digest of what it passed, the witness, which the collector checks.
//!
//! What arrives is queued and dealt out in jobs ([`Dealer`]); the work ([`Screening::screen`]) runs on the verification
//! pool. One job at a time a shard: what arrives meanwhile makes the next batch larger, which is when batches pay.
//! Jobs are numbered in the order of arrival, and the collector takes them in that order, whichever shard is done first.
//! A bad transaction never rejects its neighbours. Early refusals only spare a failed receipt; execution decides.

use crate::door::Doors;
use crate::limits::{
    VERIFY_JOB_BYTES_MAX, VERIFY_JOB_CROWDED_SIGNATURES_MAX, VERIFY_JOB_SIGNATURES_MAX,
    VERIFY_JOB_SUSPECT_SIGNATURES_MAX, VERIFY_JOB_TRANSACTIONS_MAX, VERIFY_JOB_WORTH,
};
use crate::part::Held;
use crate::place::{Place, Places};
use crate::production::in_full;
use crate::recall::Recall;
use crate::store::ChannelStore;
use crate::ticket::{Credit, SubmitRefusal, Waiter};
use ledger_classes::amount::Amount;
use ledger_classes::config::Limits;
use ledger_classes::execution::{self, BlockInput};
use ledger_classes::hash::{Hash, Tag};
use ledger_classes::keys::{self, Address, KeyCache, PublicKey, Signature, SigningKey};
use ledger_classes::outcome::Refusal;
use ledger_classes::participant::CertificatePaths;
use ledger_classes::time::Time;
use ledger_classes::transaction::{self, Envelope, TransactionError, VerifiedTransaction};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// A transaction on its way to a shard.
pub(crate) struct Arrival {
    pub(crate) envelope: Envelope,
    pub(crate) waiter: Waiter,
    pub(crate) credit: Credit,
    pub(crate) arrived: Instant,
}

/// A verified transaction on its way to a block.
pub(crate) struct Flight {
    pub(crate) transaction: VerifiedTransaction,
    /// Beside whom its sender has turns.
    pub(crate) place: Place,
    pub(crate) waiter: Waiter,
    pub(crate) credit: Credit,
    pub(crate) arrived: Instant,
}

/// A shard's signature over what it passed.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) shard: usize,
    pub(crate) sequence: u64,
    /// None over nothing: such a job only has its turn.
    pub(crate) signature: Option<Signature>,
}

/// Verified transactions with their witness.
pub(crate) struct Passed {
    pub(crate) flights: Vec<Flight>,
    /// What would be refused today, and may have been taken before. It is in no block, and the witness is not over it.
    pub(crate) doubted: Vec<Recall>,
    pub(crate) witness: Witness,
}

/// The message that a witness signs.
fn witness_message(channel: &Hash, shard: usize, sequence: u64, flights: &[Flight]) -> Vec<u8> {
    let ids: Vec<u8> = flights.iter().flat_map(|flight| flight.transaction.id().0).collect();
    let digest = Hash::plain(&[&ids]);
    Tag::Witness.message(&[&channel.0, &(shard as u64).to_le_bytes(), &sequence.to_le_bytes(), &digest.0])
}

impl Passed {
    /// Signs for `flights`.
    pub(crate) fn sign(channel: &Hash, shard: usize, sequence: u64, key: &SigningKey, flights: Vec<Flight>) -> Self {
        let sign = || key.sign(&witness_message(channel, shard, sequence, &flights));
        let signature = (!flights.is_empty()).then(sign);
        Self { flights, doubted: Vec::new(), witness: Witness { shard, sequence, signature } }
    }

    /// Whether the witness is `key`'s over exactly these transactions.
    pub(crate) fn check(&self, channel: &Hash, key: &PublicKey) -> bool {
        let Witness { shard, sequence, signature } = &self.witness;
        match signature {
            Some(signature) => {
                keys::verify(key, &witness_message(channel, *shard, *sequence, &self.flights), signature)
            }
            None => self.flights.is_empty(),
        }
    }
}

/// Work for a shard.
#[must_use]
pub(crate) struct Job {
    pub(crate) shard: usize,
    /// Jobs of a channel are numbered from 1 in the order of arrival.
    pub(crate) sequence: u64,
    pub(crate) batch: Vec<Arrival>,
}

/// What waits for a shard, and which shards wait.
pub(crate) struct Dealer {
    queue: VecDeque<Arrival>,
    /// Those of the queue.
    signatures: usize,
    sequence: u64,
    idle: Vec<usize>,
    shards: usize,
    /// The job before held bad signatures: the next are short, so that another channel has its turn soon.
    suspect: bool,
}

impl Dealer {
    /// Deals to `shards` shards, at least 1.
    pub(crate) fn new(shards: usize) -> Self {
        let idle = (0..shards).rev().collect();
        Self { queue: VecDeque::new(), signatures: 0, sequence: 0, idle, shards, suspect: false }
    }

    /// Transactions arrive. `crowded` tells whether other channels verify, too.
    pub(crate) fn arrive(&mut self, arrivals: Vec<Arrival>, crowded: impl Fn() -> bool) -> Vec<Job> {
        self.signatures += arrivals.iter().map(weight).sum::<usize>();
        self.queue.extend(arrivals);
        self.deal(crowded)
    }

    /// A shard's job is done.
    pub(crate) fn screened(&mut self, shard: usize, bad_signatures: bool, crowded: impl Fn() -> bool) -> Vec<Job> {
        self.idle.push(shard);
        self.suspect = bad_signatures;
        self.deal(crowded)
    }

    fn deal(&mut self, crowded: impl Fn() -> bool) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            // Small jobs beside each other cost more than one after the other, in which more have gathered.
            let worth = if self.idle.len() == self.shards { 1 } else { VERIFY_JOB_WORTH };
            if self.signatures < worth || self.idle.is_empty() {
                return jobs;
            }
            let max = match () {
                () if self.suspect => VERIFY_JOB_SUSPECT_SIGNATURES_MAX,
                () if crowded() => VERIFY_JOB_CROWDED_SIGNATURES_MAX,
                () => VERIFY_JOB_SIGNATURES_MAX,
            };
            let share = self.signatures.div_ceil(self.idle.len()).max(VERIFY_JOB_WORTH);
            let (size, signatures) = self.size(share.min(max));
            let Some(shard) = self.idle.pop() else { return jobs };
            self.sequence += 1;
            self.signatures -= signatures;
            jobs.push(Job { shard, sequence: self.sequence, batch: self.queue.drain(..size).collect() });
        }
    }

    /// How many of the queue make a job of at most so many signatures, and how many those have.
    fn size(&self, signatures_max: usize) -> (usize, usize) {
        let (mut size, mut signatures, mut bytes) = (0, 0, 0);
        for arrival in self.queue.iter().take(VERIFY_JOB_TRANSACTIONS_MAX) {
            bytes += arrival.envelope.payload.len();
            if size > 0 && (signatures + weight(arrival) > signatures_max || bytes > VERIFY_JOB_BYTES_MAX) {
                break;
            }
            signatures += weight(arrival);
            size += 1;
        }
        (size, signatures)
    }
}

/// The signatures of a transaction; one without is work, too.
fn weight(arrival: &Arrival) -> usize {
    arrival.envelope.signatures.len().max(1)
}

thread_local! {
    /// Keys of recent senders, of all channels: bounded by the threads of the pool and not by the channels.
    static KEYS: RefCell<KeyCache> = RefCell::default();
}

/// What a screening needs to know.
pub(crate) struct Screening {
    pub(crate) channel: Hash,
    pub(crate) shard: usize,
    pub(crate) sequence: u64,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) limits: Limits,
    pub(crate) store: ChannelStore,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) doors: Doors,
    /// The earliest time that the block may have.
    pub(crate) now: Time,
    /// Unpredictable to senders.
    pub(crate) seed: [u8; 32],
}

/// What came of a screening.
pub(crate) struct Screened {
    pub(crate) passed: Passed,
    /// What was refused, by stable name.
    pub(crate) refused: Vec<&'static str>,
    /// Whether some signatures were bad.
    pub(crate) bad_signatures: bool,
}

impl Screening {
    /// Does the work. An error is a store that cannot be read: the channel halts.
    pub(crate) fn screen(self, batch: Vec<Arrival>) -> Result<Screened, String> {
        let (mut refused, mut doubted) = (Vec::new(), Vec::new());
        let mut parsed = Vec::with_capacity(batch.len());
        let mut company = Vec::with_capacity(batch.len());
        for Arrival { envelope, waiter, credit, arrived } in batch {
            let timely = transaction::parse(envelope, self.channel, &self.limits).and_then(|parsed| {
                let timely = parsed.check_time(self.now);
                timely.map_err(|error| (parsed.id(), error)).map(|()| parsed)
            });
            match timely {
                Ok(transaction) => {
                    parsed.push(transaction);
                    company.push((waiter, credit, arrived));
                }
                // Exactly once: however late it comes again, also under narrower limits, an id that was taken keeps its
                // outcome.
                Err((
                    id,
                    error @ (TransactionError::Expired(_)
                    | TransactionError::TooFarAhead(_)
                    | TransactionError::Oversize(_)),
                )) => doubted.push(Recall { id, waiter, credit, refusal: Some(error.into()) }),
                Err((id, error)) => refuse(waiter, id, error, &mut refused),
            }
        }
        let view = self.store.view().map_err(in_full)?;
        let config = execution::config_of(&view).map_err(|error| error.to_string())?.config;
        let members = execution::Members::new(&config, &*self.certificates);
        let places = Places::new(&config);
        // What the places of this job hold.
        let mut held = HashMap::<Place, Arc<Held>>::new();
        let mut flights = Vec::with_capacity(parsed.len());
        // What those of this job owe who passed: what a sender has is spent once.
        let mut owed = HashMap::<Address, Amount>::new();
        let mut bad_signatures = false;
        let verdicts = KEYS.with_borrow_mut(|keys| transaction::verify_all(parsed, self.seed, keys));
        for (verdict, (mut waiter, mut credit, arrived)) in verdicts.into_iter().zip(company) {
            let transaction = match verdict {
                Ok(transaction) => transaction,
                Err((id, error)) => {
                    bad_signatures = true;
                    refuse(waiter, id, error, &mut refused);
                    continue;
                }
            };
            let input = BlockInput {
                channel: self.channel,
                height: view.height().map_or(0, |height| height + 1),
                time: self.now,
                certificates: &*self.certificates,
                transactions: std::slice::from_ref(&transaction),
            };
            let at_the_door = || match self.doors.refuses(&transaction.transaction().actions) {
                Some((code, message)) => Err(Refusal::Rejected { code, message }),
                None => Ok(()),
            };
            let screened = execution::screen(&view, &members, &transaction, self.now).and_then(|record| {
                at_the_door()?;
                execution::screen_exempt(&view, &config, &input)?;
                let before = owed.get(&transaction.sender()).copied().unwrap_or_default();
                let fee = execution::screen_fee(&view, &config, &transaction, self.now, before)?;
                Ok((fee, places.of(transaction.sender(), record.as_ref())))
            });
            match screened {
                Ok((fee, place)) => {
                    let held = held.entry(place).or_insert_with(|| credit.credits().of_place(place));
                    if !credit.is_for(held) {
                        refused.push(BUSY);
                        waiter.refuse(Some(transaction.id()), SubmitRefusal::BUSY);
                        continue;
                    }
                    if !fee.is_zero() {
                        let owed = owed.entry(transaction.sender()).or_default();
                        *owed = Amount(owed.0.saturating_add(fee.0));
                    }
                    waiter.accept(transaction.id());
                    flights.push(Flight { transaction, place, waiter, credit, arrived });
                }
                Err(Refusal::Broken(error)) => return Err(error.to_string()),
                Err(Refusal::Rejected { code, message }) => {
                    let refusal = Some(SubmitRefusal::Rejected { code, message });
                    doubted.push(Recall { id: transaction.id(), waiter, credit, refusal });
                }
            }
        }
        let passed = Passed::sign(&self.channel, self.shard, self.sequence, &self.key, flights);
        Ok(Screened { passed: Passed { doubted, ..passed }, refused, bad_signatures })
    }
}

/// The reason of a refusal for want of room, as metrics name it.
const BUSY: &str = "busy";

fn refuse(waiter: Waiter, id: Hash, error: TransactionError, refused: &mut Vec<&'static str>) {
    refused.push(error.name());
    waiter.refuse(Some(id), error);
}

#[cfg(test)]
mod tests;
