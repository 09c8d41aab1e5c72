//! Verifier shards: decode strictly, check time, signatures in batches, and the sender's standing. What a shard passes goes
//! to the machine in the same process, so nothing is signed: a thread that vouched for another one by a key made at start
//! would cost as much as three transactions and prove nothing.
//!
//! What arrives is queued and dealt out in jobs ([`crate::pipeline::batcher`]); the work ([`Screening::screen`]) runs on the
//! verification pool. One job at a time a shard: what arrives meanwhile makes the next batch larger, which is when batches
//! pay. Jobs are numbered in the order of arrival, and the machine takes them in that order, whichever shard is done
//! first. A job that takes longer than it may gives its thread to others and goes on in its next turn.
//! A bad transaction never rejects its neighbours. Early refusals only spare a failed receipt; execution decides.

use crate::block::disk_needs;
use crate::block::error::ChannelError;
use crate::block::key_cache::with_keys;
use crate::block::refusal::SubmitRefusal;
use crate::limits::{VERIFY_ALONE_MICROS_MAX, VERIFY_JOB_CHECKS_MICROS_MAX};
use crate::pipeline::batcher::{Content, Findings, Submitted, cost_at_the_door};
use crate::pipeline::door::Doors;
use crate::pipeline::outcomes::OutcomeLookup;
use crate::pipeline::part::Held;
use crate::pipeline::places::Places;
use crate::pipeline::submission::{Credit, Waiter};
use crate::runtime::asker::Asker;
use crate::runtime::place::Place;
use crate::store::{ChannelStore, DiskQuota, NoRoom};
use foldhash::quality::RandomState;
use ledger_classes::execution::{self, BlockInput, ConfigRecord};
use ledger_classes::formats::outcome::Refusal;
use ledger_classes::formats::transaction;
use ledger_classes::formats::transaction::{
    ParsedTransaction, TransactionError, Unverified, VerifiedTransaction, verify_screened,
};
use ledger_classes::keys::{Address, KeyCache};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::CertificatePaths;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A verified transaction on its way to a block.
pub(crate) struct PendingTransaction {
    pub(crate) transaction: VerifiedTransaction,
    /// Beside whom its sender has turns.
    pub(crate) place: Place,
    pub(crate) waiter: Waiter,
    pub(crate) credit: Credit,
    pub(crate) arrived: Instant,
}

/// The result of a job.
pub(crate) struct VerifiedBatch {
    /// The job's number. One that passed nothing only has its turn.
    pub(crate) sequence: u64,
    pub(crate) flights: Vec<PendingTransaction>,
    /// What would be refused today, and may have been taken before. It is in no block.
    pub(crate) maybe_committed: Vec<OutcomeLookup>,
}

/// Input of a screening.
pub(crate) struct Screening {
    pub(crate) channel: Hash,
    pub(crate) sequence: u64,
    /// Configuration in force when the job was made.
    pub(crate) config: Arc<ConfigRecord>,
    pub(crate) store: ChannelStore,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) doors: Doors,
    pub(crate) quota: DiskQuota,
    /// The earliest time that the block may have.
    pub(crate) now: Time,
    /// What is over before this time, and is not in the index, is in no block: the time of the last block that is applied,
    /// or any where this peer orders alone.
    pub(crate) decided: Time,
    /// Unpredictable to senders.
    pub(crate) seed: [u8; 32],
    /// After this time of judging others have a turn.
    pub(crate) slice: Duration,
    /// Whether the thread that does it remembers the keys that it meets.
    pub(crate) remembers: bool,
}

/// The result of a screening.
pub(crate) struct Screened {
    pub(crate) passed: VerifiedBatch,
    /// What was refused, by stable name.
    pub(crate) refused: Vec<&'static str>,
    pub(crate) findings: Findings,
}

/// Progress of a screening.
#[must_use]
pub(crate) enum Step {
    Done(Box<Screened>),
    /// It took its time: others have their turn before it goes on.
    Paused(Box<Judging>),
}

/// A waiting submitter.
struct Company {
    caller: Asker,
    waiter: Waiter,
    credit: Credit,
    arrived: Instant,
}

/// Decoded transactions of a job.
#[derive(Default)]
struct Parsed {
    transactions: Vec<ParsedTransaction>,
    company: Vec<Company>,
    aside: Vec<Submitted>,
    refused: Vec<&'static str>,
    maybe_committed: Vec<OutcomeLookup>,
}

type Verdict = Result<VerifiedTransaction, (Hash, Unverified<Refusal>)>;

impl Screening {
    /// Does the work, or begins it. An error is a store that cannot be read: the channel halts.
    pub(crate) fn screen(self, batch: Vec<Submitted>) -> Result<Step, ChannelError> {
        let Parsed { transactions, company, aside, refused, maybe_committed } = self.parse(batch);
        let view = self.store.view()?;
        let record = execution::config_since(&view, &self.config)?;
        let members = execution::Members::new(&record.config, &*self.certificates);
        let standing = |one: &ParsedTransaction| {
            execution::screen_standing(&view, &members, one.claimed_sender(), one.actions(), self.now).map(|_| ())
        };
        let verify = |keys: &mut KeyCache| verify_screened(transactions, self.seed, keys, standing);
        let verdicts: Vec<Verdict> = if self.remembers { with_keys(verify) } else { verify(&mut KeyCache::default()) };
        let todo: Vec<_> = verdicts.into_iter().zip(company).collect();
        Judging {
            flights: Vec::with_capacity(todo.len()),
            screening: self,
            todo: todo.into_iter(),
            maybe_committed,
            refused,
            findings: Findings { aside, ..Findings::default() },
            held: HashMap::default(),
            owed: HashMap::default(),
        }
        .go_on()
    }

    /// Decodes, and sets aside what costs more than a job may spend on it beside others.
    fn parse(&self, batch: Vec<Submitted>) -> Parsed {
        let (transactions, company) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut parsed = Parsed { transactions, company, ..Parsed::default() };
        // What is verified on a thread that executes and persists keeps others from the disk.
        let checks_max = if self.remembers { VERIFY_JOB_CHECKS_MICROS_MAX } else { VERIFY_ALONE_MICROS_MAX };
        let mut checks = 0;
        self.quota.look(self.store.waiting_bytes());
        for Submitted { content, caller, waiter, credit, arrived, cost } in batch {
            let (whole, decoded) = match content {
                Content::Envelope(envelope) => {
                    (true, transaction::parse(envelope, self.channel, &self.config.config.limits))
                }
                Content::Parsed(parsed) => (false, Ok(*parsed)),
            };
            let timely = decoded.and_then(|parsed| {
                let timely = parsed.check_time(self.now);
                timely.map_err(|error| (parsed.id(), error)).map(|()| parsed)
            });
            match timely {
                Ok(transaction) => {
                    let (actions, bytes) = (transaction.actions(), transaction.payload_bytes());
                    // What was taken before keeps its outcome here, too.
                    if let Some(used) = self.quota.full(disk_needs::room(actions, bytes, credit.is_of_peer())) {
                        let refusal = Some(SubmitRefusal::ChannelFull(used));
                        parsed.maybe_committed.push(OutcomeLookup { id: transaction.id(), waiter, credit, refusal });
                        continue;
                    }
                    let cost_here = if whole { cost_at_the_door(transaction.actions()) } else { 0 };
                    if cost_here > 0 && checks + cost_here > checks_max {
                        let (content, cost) = (Content::Parsed(Box::new(transaction)), cost + cost_here);
                        parsed.aside.push(Submitted { content, caller, waiter, credit, arrived, cost });
                        continue;
                    }
                    checks += cost_here;
                    parsed.transactions.push(transaction);
                    parsed.company.push(Company { caller, waiter, credit, arrived });
                }
                // Exactly once: however late it comes again, also under narrower limits, an id that was taken keeps its
                // outcome.
                Err((
                    id,
                    error @ (TransactionError::Expired(_)
                    | TransactionError::TooFarAhead(_)
                    | TransactionError::Oversize(_)),
                )) => {
                    let refusal = match error {
                        TransactionError::Expired(until) if until >= self.decided => SubmitRefusal::OutcomeUnknown,
                        error => error.into(),
                    };
                    parsed.maybe_committed.push(OutcomeLookup { id, waiter, credit, refusal: Some(refusal) });
                }
                Err((id, error)) => refuse(waiter, id, error, &mut parsed.refused),
            }
        }
        parsed
    }
}

/// A screening whose signatures are checked.
pub(crate) struct Judging {
    screening: Screening,
    todo: std::vec::IntoIter<(Verdict, Company)>,
    flights: Vec<PendingTransaction>,
    maybe_committed: Vec<OutcomeLookup>,
    refused: Vec<&'static str>,
    findings: Findings,
    /// Amounts held by the places of this job.
    held: HashMap<Place, Arc<Held>, RandomState>,
    /// Fees reserved by this job's accepted transactions, so that a balance is not spent twice.
    owed: HashMap<Address, Amount, RandomState>,
}

impl Judging {
    /// Judges by the state as it is now, until all are judged or it has taken its time.
    pub(crate) fn go_on(mut self) -> Result<Step, ChannelError> {
        let began = Instant::now();
        let view = self.screening.store.view()?;
        let record = execution::config_since(&view, &self.screening.config)?;
        let config = &record.config;
        let members = execution::Members::new(config, &*self.screening.certificates);
        let places = Places::new(config);
        let height = view.height().map_or(0, |height| height + 1);
        while let Some((verdict, Company { caller, mut waiter, mut credit, arrived })) = self.todo.next() {
            let transaction = match verdict {
                Ok(transaction) => {
                    self.findings.right += 1;
                    transaction
                }
                Err((id, Unverified::Wrong(error))) => {
                    if self.findings.forgers.last() != Some(&caller) {
                        self.findings.forgers.push(caller);
                    }
                    refuse(waiter, id, error, &mut self.refused);
                    continue;
                }
                Err((id, Unverified::Refused(refusal))) => {
                    look_up(&mut self.maybe_committed, id, refusal, waiter, credit)?;
                    continue;
                }
            };
            let Screening { channel, certificates, doors, quota, now, .. } = &self.screening;
            let input = BlockInput {
                channel: *channel,
                height,
                time: *now,
                certificates: &**certificates,
                transactions: std::slice::from_ref(&transaction),
            };
            let at_the_door = || match doors.refuses(&transaction.transaction().actions) {
                Some((code, detail)) => Err(Refusal::Rejected { code, detail }),
                None => Ok(()),
            };
            let owes = self.owed.get(&transaction.sender()).copied().unwrap_or_default();
            let screened = execution::screen(&view, &members, &transaction, *now).and_then(|record| {
                at_the_door()?;
                execution::screen_exempt(&view, config, &input)?;
                let fee = execution::screen_fee(&view, config, &transaction, *now, owes)?;
                Ok((fee, places.of(transaction.sender(), record.as_ref())))
            });
            match screened {
                Ok((fee, place)) => {
                    let held = self.held.entry(place).or_insert_with(|| credit.credits().of_place(place));
                    if !credit.is_for(held) {
                        self.refused.push(BUSY);
                        waiter.refuse(Some(transaction.id()), SubmitRefusal::BUSY);
                        continue;
                    }
                    let (actions, bytes) = (&transaction.transaction().actions, transaction.payload_bytes() as usize);
                    let whose = disk_needs::room(actions, bytes, credit.is_of_peer());
                    let of_whom = || disk_needs::place(transaction.transaction(), place, &**certificates);
                    match credit.takes_disk(
                        quota,
                        whose,
                        disk_needs::disk_bytes(actions, transaction.payload_bytes(), || codec::encode(config).len()),
                        of_whom,
                    ) {
                        Ok(()) => {}
                        Err(NoRoom::Soon) => {
                            self.refused.push(BUSY);
                            waiter.refuse(Some(transaction.id()), SubmitRefusal::BUSY);
                            continue;
                        }
                        Err(NoRoom::Full(used)) => {
                            let refusal = Some(SubmitRefusal::ChannelFull(used));
                            self.maybe_committed.push(OutcomeLookup { id: transaction.id(), waiter, credit, refusal });
                            continue;
                        }
                    }
                    if !fee.is_zero() {
                        self.owed.insert(transaction.sender(), Amount(owes.0.saturating_add(fee.0)));
                    }
                    waiter.accept(transaction.id());
                    self.flights.push(PendingTransaction { transaction, place, waiter, credit, arrived });
                }
                Err(refusal) => look_up(&mut self.maybe_committed, transaction.id(), refusal, waiter, credit)?,
            }
            let left = self.todo.len();
            if left > 0 && left.is_multiple_of(CLOCK_EVERY) && began.elapsed() > self.screening.slice {
                return Ok(Step::Paused(Box::new(self)));
            }
        }
        let Self { screening, flights, maybe_committed, refused, findings, .. } = self;
        let passed = VerifiedBatch { sequence: screening.sequence, flights, maybe_committed };
        Ok(Step::Done(Box::new(Screened { passed, refused, findings })))
    }
}

/// It would be refused today, and may have been taken before. An error is a store that cannot be read.
fn look_up(
    maybe_committed: &mut Vec<OutcomeLookup>,
    id: Hash,
    refusal: Refusal,
    waiter: Waiter,
    credit: Credit,
) -> Result<(), ChannelError> {
    match refusal {
        Refusal::Broken(error) => Err(error.into()),
        Refusal::Rejected { code, detail } => {
            let refusal = Some(SubmitRefusal::Rejected { code, detail });
            maybe_committed.push(OutcomeLookup { id, waiter, credit, refusal });
            Ok(())
        }
    }
}

/// After how many transactions a screening looks at the clock: most take a few microseconds.
const CLOCK_EVERY: usize = 4;

/// The reason of a refusal for want of room, as metrics name it.
const BUSY: &str = "busy";

fn refuse(waiter: Waiter, id: Hash, error: TransactionError, refused: &mut Vec<&'static str>) {
    refused.push(error.name());
    waiter.refuse(Some(id), error);
}

#[cfg(test)]
mod tests;
