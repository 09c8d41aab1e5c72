//! Verifier shards: decode strictly, check time, signatures in batches, and the sender's standing. A shard signs the
//! digest of what it passed, the witness, which the collector checks.
//!
//! The shard itself only queues and deals out jobs ([`Shard`]); the work ([`screen`]) runs on the verification pool.
//! One job at a time a shard: what arrives meanwhile makes the next batch larger, which is when batches pay.
//! A bad transaction never rejects its neighbours. Early refusals only spare a failed receipt; execution decides.

use crate::limits::{
    VERIFY_JOB_BYTES_MAX, VERIFY_JOB_SIGNATURES_MAX, VERIFY_JOB_SUSPECT_SIGNATURES_MAX, VERIFY_JOB_TRANSACTIONS_MAX,
};
use crate::production::in_full;
use crate::recall::Recall;
use crate::store::ChannelStore;
use crate::ticket::{Credit, SubmitRefusal, Waiter};
use ledger_classes::config::Limits;
use ledger_classes::execution;
use ledger_classes::hash::{Hash, Tag};
use ledger_classes::keys::{self, KeyCache, PublicKey, Signature, SigningKey};
use ledger_classes::outcome::Refusal;
use ledger_classes::time::Time;
use ledger_classes::transaction::{self, Envelope, TransactionError, VerifiedTransaction};
use std::cell::RefCell;
use std::collections::VecDeque;
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
    pub(crate) waiter: Waiter,
    pub(crate) credit: Credit,
    pub(crate) arrived: Instant,
}

/// A shard's signature over what it passed.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) shard: usize,
    pub(crate) sequence: u64,
    pub(crate) signature: Signature,
}

/// Verified transactions with their witness.
pub(crate) struct Passed {
    pub(crate) flights: Vec<Flight>,
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
        let signature = key.sign(&witness_message(channel, shard, sequence, &flights));
        Self { flights, witness: Witness { shard, sequence, signature } }
    }

    /// Whether the witness is `key`'s over exactly these transactions.
    pub(crate) fn check(&self, channel: &Hash, key: &PublicKey) -> bool {
        let Witness { shard, sequence, signature } = &self.witness;
        keys::verify(key, &witness_message(channel, *shard, *sequence, &self.flights), signature)
    }
}

/// What a shard wants done.
#[must_use]
pub(crate) enum ShardEffect {
    /// Screen these on the pool.
    Screen { sequence: u64, batch: Vec<Arrival> },
}

/// The queue of a shard.
#[derive(Default)]
pub(crate) struct Shard {
    queue: VecDeque<Arrival>,
    sequence: u64,
    busy: bool,
    /// The job before held bad signatures: the next is short, so that another channel has its turn soon.
    suspect: bool,
}

impl Shard {
    /// Transactions arrive.
    pub(crate) fn arrive(&mut self, arrivals: Vec<Arrival>) -> Option<ShardEffect> {
        self.queue.extend(arrivals);
        self.next()
    }

    /// The job is done.
    pub(crate) fn screened(&mut self, bad_signatures: bool) -> Option<ShardEffect> {
        (self.busy, self.suspect) = (false, bad_signatures);
        self.next()
    }

    fn next(&mut self) -> Option<ShardEffect> {
        if self.busy || self.queue.is_empty() {
            return None;
        }
        self.busy = true;
        self.sequence += 1;
        let signatures_max = if self.suspect { VERIFY_JOB_SUSPECT_SIGNATURES_MAX } else { VERIFY_JOB_SIGNATURES_MAX };
        let (mut size, mut signatures, mut bytes) = (0, 0, 0);
        for Arrival { envelope, .. } in self.queue.iter().take(VERIFY_JOB_TRANSACTIONS_MAX) {
            signatures += envelope.signatures.len();
            bytes += envelope.payload.len();
            if size > 0 && (signatures > signatures_max || bytes > VERIFY_JOB_BYTES_MAX) {
                break;
            }
            size += 1;
        }
        Some(ShardEffect::Screen { sequence: self.sequence, batch: self.queue.drain(..size).collect() })
    }
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
    /// The earliest time that the block may have.
    pub(crate) now: Time,
    /// Unpredictable to senders.
    pub(crate) seed: [u8; 32],
}

/// How many transactions a screening refused, by stable name, and what it passed.
pub(crate) struct Screened {
    pub(crate) passed: Passed,
    pub(crate) refused: Vec<&'static str>,
    /// Whether some signatures were bad.
    pub(crate) bad_signatures: bool,
    /// What would be refused today, and may have been taken before.
    pub(crate) doubted: Vec<Recall>,
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
        let mut flights = Vec::with_capacity(parsed.len());
        let mut bad_signatures = false;
        let verdicts = KEYS.with_borrow_mut(|keys| transaction::verify_all(parsed, self.seed, keys));
        for (verdict, (mut waiter, credit, arrived)) in verdicts.into_iter().zip(company) {
            let transaction = match verdict {
                Ok(transaction) => transaction,
                Err((id, error)) => {
                    bad_signatures = true;
                    refuse(waiter, id, error, &mut refused);
                    continue;
                }
            };
            match execution::screen(&view, &config, &transaction, self.now) {
                Ok(()) => {
                    waiter.accept(transaction.id());
                    flights.push(Flight { transaction, waiter, credit, arrived });
                }
                Err(Refusal::Broken(error)) => return Err(error.to_string()),
                Err(Refusal::Rejected { code, message }) => {
                    let refusal = Some(SubmitRefusal::Rejected { code, message });
                    doubted.push(Recall { id: transaction.id(), waiter, credit, refusal });
                }
            }
        }
        let passed = Passed::sign(&self.channel, self.shard, self.sequence, &self.key, flights);
        Ok(Screened { passed, refused, bad_signatures, doubted })
    }
}

fn refuse(waiter: Waiter, id: Hash, error: TransactionError, refused: &mut Vec<&'static str>) {
    refused.push(error.name());
    waiter.refuse(Some(id), error);
}

#[cfg(test)]
mod tests;
