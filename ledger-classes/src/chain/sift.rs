//! What may be in a block before anything is executed: ids, the channel's limits, the rules in force. A draft leaves the
//! others out ([`sift`]); a block that was given is refused for one of them.

use super::Invalid;
use super::above::{Above, ExecutionError};
use crate::action::Action;
use crate::formats::config::{ChannelConfig, Limits};
use crate::formats::detail::{Detail, Part};
use crate::formats::outcome::ResultCode;
use crate::formats::transaction::{TransactionError, VerifiedTransaction};
use crate::primitives::hash::Hash;
use crate::state::view::{ReadError, ReadView};
use crate::{execution, rules};
use std::collections::BTreeMap;

/// What was offered for a block and is not in it.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// It has its outcome in this chain already, or comes a second time.
    pub known: Vec<Hash>,
    /// It may be in no block now: it leaves nothing, and may be sent again.
    pub refused: Vec<(Hash, Refused)>,
    /// It comes first in the next block, in order: this one was full, or had used its budget.
    pub deferred: Vec<VerifiedTransaction>,
    /// What each of those cost that were executed: its part of a block's budget, where
    /// [`execution::budget::BLOCK_COST`] is all of it. For turns; no rule is about it.
    pub costs: Vec<(Hash, u64)>,
}

/// Why a transaction may be in no block now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is above the limits of the configuration in force.
    Limits(TransactionError),
    /// It leaves nothing.
    Execution {
        /// Why.
        code: ResultCode,
        /// What the code leaves open.
        detail: Detail,
    },
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a block's transactions and timers are limited")
}

/// Whether a transaction is of the rules in force, with all that is in it.
pub(super) fn check_actions(in_force: u32, place: u32, transaction: &VerifiedTransaction) -> Result<(), Invalid> {
    let needed = transaction.since();
    match needed > in_force {
        true => Err(Invalid::TransactionAheadOfRules { place, rules: needed }),
        false => Ok(()),
    }
}

/// Whether one transaction is within the channel's limits.
fn check_size(limits: &Limits, place: u32, transaction: &VerifiedTransaction) -> Result<(), Invalid> {
    let (bytes, actions) = (transaction.payload_bytes(), count(transaction.transaction().actions.len()));
    if bytes > limits.payload_bytes_max {
        return Err(Invalid::PayloadTooLarge { place, bytes, max: limits.payload_bytes_max });
    }
    if actions > limits.actions_max {
        return Err(Invalid::TooManyActions { place, actions, max: limits.actions_max });
    }
    Ok(())
}

/// Whether the transactions of a block are within the channel's limits.
pub(super) fn check_limits(limits: &Limits, transactions: &[VerifiedTransaction]) -> Result<(), Invalid> {
    let (number, max) = (count(transactions.len()), limits.block_transactions_max);
    if number > max {
        return Err(Invalid::TooManyTransactions { count: number, max });
    }
    let (bytes, max) = (bytes_of(transactions), limits.block_bytes_max);
    if bytes > u64::from(max) {
        return Err(Invalid::TooManyBytes { bytes, max });
    }
    (0u32..).zip(transactions).try_for_each(|(place, transaction)| check_size(limits, place, transaction))
}

fn bytes_of(transactions: &[VerifiedTransaction]) -> u64 {
    transactions.iter().map(|transaction| transaction.envelope().len() as u64).sum()
}

/// Ids with the places of their transactions, in the order of the ids.
pub(super) fn places(transactions: &[VerifiedTransaction]) -> Vec<(Hash, u32)> {
    let mut places: Vec<(Hash, u32)> = transactions.iter().map(VerifiedTransaction::id).zip(0u32..).collect();
    places.sort_unstable();
    places
}

/// The later places of ids that come twice.
fn repeated(places: &[(Hash, u32)]) -> impl Iterator<Item = u32> + '_ {
    places.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1)
}

/// Whether each id of a block is new to the chain.
pub(super) fn check_ids(
    above: &Above<'_>,
    transactions: &[VerifiedTransaction],
) -> Result<Vec<(Hash, u32)>, ExecutionError> {
    let places = places(transactions);
    let known = (0u32..).zip(above.ids.have(transactions)?).find(|(_, known)| *known).map(|(place, _)| place);
    match known.into_iter().chain(repeated(&places)).min() {
        None => Ok(places),
        Some(place) => Err(Invalid::Duplicate { place, id: transactions[place as usize].id() }.into()),
    }
}

/// What of a draft fits the block.
pub(super) struct Sifted {
    pub(super) transactions: Vec<VerifiedTransaction>,
    /// As [`places`] gives them.
    pub(super) ids: Vec<(Hash, u32)>,
    pub(super) left: Left,
}

/// What becomes of a transaction before anything is executed.
enum Sieve {
    Fits,
    Known,
    Refused(Refused),
    /// The block is full.
    Later,
}

/// Leaves out what the chain has, what is above the channel's limits, and what the block has no room for.
pub(super) fn sift(
    above: &Above<'_>,
    config: &ChannelConfig,
    offered: Vec<VerifiedTransaction>,
) -> Result<Sifted, ReadError> {
    let limits = &config.limits;
    let ids = places(&offered);
    let mut known = above.ids.have(&offered)?;
    repeated(&ids).for_each(|place| known[place as usize] = true);
    let (mut room, mut bytes_left) = (limits.block_transactions_max, limits.block_bytes_max as usize);
    let mut proposals = Proposals { read: BTreeMap::new(), steps: 0 };
    let mut judge = |known: bool, transaction: &VerifiedTransaction| -> Result<Sieve, ReadError> {
        if known {
            return Ok(Sieve::Known);
        }
        if let Err(beyond) = check_size(limits, 0, transaction) {
            return Ok(Sieve::Refused(Refused::Limits(oversize(beyond))));
        }
        // As where a block's budget is used up.
        if room == 0 || proposals.steps >= u64::from(config.budgets.block.steps) {
            room = 0;
            return Ok(Sieve::Later);
        }
        if let Some(refused) = of_later_rules(above, config.rules, transaction, &mut proposals)? {
            return Ok(Sieve::Refused(refused));
        }
        Ok(match (room.checked_sub(1), bytes_left.checked_sub(transaction.envelope().len())) {
            (Some(places), Some(bytes)) => {
                (room, bytes_left) = (places, bytes);
                Sieve::Fits
            }
            // What comes after it waits, too.
            _ => {
                room = 0;
                Sieve::Later
            }
        })
    };
    let verdicts = known.into_iter().zip(&offered).map(|(known, one)| judge(known, one));
    let verdicts = verdicts.collect::<Result<Vec<Sieve>, ReadError>>()?;
    let mut left = Left::default();
    if verdicts.iter().all(|verdict| matches!(verdict, Sieve::Fits)) {
        return Ok(Sifted { transactions: offered, ids, left });
    }
    let mut transactions = Vec::with_capacity(offered.len());
    for (transaction, verdict) in offered.into_iter().zip(verdicts) {
        match verdict {
            Sieve::Fits => transactions.push(transaction),
            Sieve::Known => left.known.push(transaction.id()),
            Sieve::Refused(refused) => left.refused.push((transaction.id(), refused)),
            Sieve::Later => left.deferred.push(transaction),
        }
    }
    let ids = places(&transactions);
    Ok(Sifted { transactions, ids, left })
}

/// The proposals that a draft's transactions approve: each is read once.
struct Proposals {
    /// Whether it would have the channel go on under rules that this build lacks.
    read: BTreeMap<Hash, bool>,
    /// The work of reading them, as execution counts its own. A transaction is looked at only while this is below what a block
    /// may use: more of them would not fit, and whoever approves many large proposals would keep a draft for that long.
    steps: u64,
}

impl Proposals {
    fn raise_beyond_known(&mut self, view: &dyn ReadView, id: &Hash) -> Result<bool, ReadError> {
        if let Some(raises) = self.read.get(id) {
            return Ok(*raises);
        }
        let (changes, steps) = execution::channel::changes(view, id)?;
        self.steps = self.steps.saturating_add(steps);
        let raises = changes.is_some_and(|changes| rules::raises_beyond_known(&changes));
        self.read.insert(*id, raises);
        Ok(raises)
    }
}

/// Why a transaction may be in no block of this build's: its form is of later rules than those in force, or it would have
/// the channel go on under rules that this build lacks.
fn of_later_rules(
    above: &Above<'_>,
    in_force: u32,
    transaction: &VerifiedTransaction,
    proposals: &mut Proposals,
) -> Result<Option<Refused>, ReadError> {
    let actions = &transaction.transaction().actions;
    if transaction.since() > in_force {
        let later = actions.iter().find(|action| rules::action_since(action) > in_force);
        let kind = later.map_or("transaction", Action::type_text);
        return Ok(Some(Refused::Limits(TransactionError::UnknownAction(kind.into()))));
    }
    for action in actions {
        let raises = match action {
            Action::ChannelPropose(proposed) => rules::raises_beyond_known(&proposed.changes),
            Action::ChannelApprove(approved) => proposals.raise_beyond_known(above.view, &approved.proposal)?,
            _ => false,
        };
        if raises {
            let detail = Detail::AtMost { part: Part::Rules, most: rules::known().into() };
            return Ok(Some(Refused::Execution { code: ResultCode::ConfigurationInvalid, detail }));
        }
    }
    Ok(None)
}

/// A sender is told the same as at the door.
fn oversize(beyond: Invalid) -> TransactionError {
    TransactionError::Oversize(match beyond {
        Invalid::PayloadTooLarge { bytes, max, .. } => format!("{bytes} payload bytes, at most {max}"),
        Invalid::TooManyActions { actions, max, .. } => format!("{actions} actions, at most {max}"),
        other => other.to_string(),
    })
}
