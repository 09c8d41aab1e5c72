//! Execution of a block: state and transactions in, receipts and writes out. Deterministic: the only inputs are
//! the view, the header's height and time, and the transactions in order.
//!
//! Relations that always hold: a failed transaction writes nothing but its fee; a timer is a unit of its own;
//! writes of a block become visible to the transactions after them, and to nobody else until the block is sealed.
//! What may be in a block and what its header says of it is decided above, in [`crate::chain`].

pub mod apps;
pub mod assets;
pub mod audit;
pub mod budget;
#[cfg(test)]
mod budget_tests;
pub mod channel;
mod configuration;
mod context;
pub mod contracts;
mod ended;
mod fees;
#[cfg(test)]
mod largest_tests;
pub mod logs;
pub mod service;
mod standing;
#[cfg(test)]
pub(crate) mod test_support;

pub use configuration::{ConfigRecord, InForce, config_at, config_in, config_of, config_since, genesis_writes};
pub(crate) use configuration::{config_from, rules_in, value_in_force};
pub use context::{BlockInput, Context, Sender};
pub use ended::{Mark, changed_marks, marks_in, marks_of};
pub use fees::screen_fee;
pub use standing::Members;

use crate::action::Action;
use crate::formats::config::ChannelConfig;
use crate::formats::detail::{Detail, Part, Party, Text};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::receipt::Receipt;
use crate::formats::rights::{Right, Rights};
use crate::formats::transaction::VerifiedTransaction;
use crate::keys::Address;
use crate::limits;
use crate::primitives::amount::Amount;
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::time::Time;
use crate::state::participant::Participant;
use crate::state::view::{ReadError, ReadView, Writes};
use crate::state::{keyspace, record};

/// What a block did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Executed {
    /// Receipts: that of a mark or an outage, those of timers, then one for each transaction in order.
    pub(crate) receipts: Vec<Receipt>,
    /// How many of the receipts are timers'.
    pub(crate) timers: u32,
    /// What the block wrote.
    pub(crate) writes: Writes,
}

/// When the next block is due by time alone, if one is: for a timer, or as a mark while a timer is set.
pub fn next_timer(view: &dyn ReadView) -> Result<Option<Time>, ReadError> {
    let (timer, mark) = (contracts::timers::next_due(view)?, service::next_mark(view)?);
    Ok(timer.into_iter().chain(mark).min())
}

/// What becomes of a transaction that is offered for a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the block, done or failed, with a receipt.
    Included,
    /// It leaves nothing: it came at the wrong time, cannot pay its fee, or failed and had nothing to lose, as what anybody
    /// may post and what is free where others pay. It has no outcome, and may be sent again.
    Dropped {
        /// Why.
        code: ResultCode,
        /// What the code leaves open.
        detail: Detail,
    },
    /// The block had used its budget: it waits for the next one, and so does all that comes after it.
    Deferred,
}

/// What running transactions gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// What the included ones did.
    pub(crate) executed: Executed,
    /// What became of each transaction, in order.
    pub(crate) fates: Vec<Fate>,
    /// What each of those cost that were executed, which are the first: its part of a block's budget, where
    /// [`budget::BLOCK_COST`] is all of it. For turns; no rule is about it.
    pub(crate) costs: Vec<u64>,
}

/// Runs transactions as a block above `view`, where `config` is in force. An error means that the store failed and nothing
/// is known.
/// The included ones alone run to the same: what is dropped writes nothing, and only makes the block end earlier.
pub(crate) fn run(view: &dyn ReadView, config: &ChannelConfig, input: &BlockInput<'_>) -> Result<Ran, ReadError> {
    let mut context = Context::new(view, input, config);
    let (mut executed, fates, costs) = run_all(&mut context, input)?;
    executed.writes = context.into_writes();
    Ok(Ran { executed, fates, costs })
}

/// What such a block uses.
#[cfg(test)]
fn usage(view: &dyn ReadView, input: &BlockInput<'_>) -> Result<budget::Usage, ReadError> {
    let config = config_of(view)?.config;
    let mut context = Context::new(view, input, &config);
    run_all(&mut context, input)?;
    Ok(context.block_usage())
}

/// What was written stays in the context.
fn run_all<'a>(
    context: &mut Context<'a>,
    input: &'a BlockInput<'_>,
) -> Result<(Executed, Vec<Fate>, Vec<u64>), ReadError> {
    let mut receipts = Vec::with_capacity(input.transactions.len());
    service::begin_block(context, &mut receipts)?;
    run_timers(context, &mut receipts)?;
    let timers = u32::try_from(receipts.len()).expect("timers are limited");
    let mut fates = Vec::with_capacity(input.transactions.len());
    let mut costs = Vec::with_capacity(input.transactions.len());
    for transaction in input.transactions {
        let before = context.block_usage();
        if !before.is_below(&context.allowed().block) {
            fates.resize(input.transactions.len(), Fate::Deferred);
            break;
        }
        let index = u32::try_from(receipts.len()).expect("transactions are limited");
        fates.push(match run_transaction(context, index, transaction)? {
            Outcome::Receipt(receipt) => {
                receipts.push(receipt);
                Fate::Included
            }
            Outcome::Nothing { code, detail } => Fate::Dropped { code, detail },
        });
        costs.push(context.block_usage().since(&before).cost(&context.allowed().block));
    }
    service::end_block(context)?;
    Ok((Executed { receipts, timers, writes: Writes::new() }, fates, costs))
}

fn run_timers(context: &mut Context<'_>, receipts: &mut Vec<Receipt>) -> Result<(), ReadError> {
    let mut after = keyspace::key(keyspace::Family::Timer, &[]);
    while receipts.len() < limits::BLOCK_TIMERS_MAX && context.block_usage().is_below(&context.allowed().timers) {
        let index = u32::try_from(receipts.len()).expect("timers are limited");
        let Some(due) = contracts::timers::take_due(context, &after)? else { break };
        let id = Hash::tagged(Tag::Timer, &[&context.height().to_le_bytes(), &due.key]);
        context.begin(id, index, Sender::Timer);
        let ran = contracts::run_timer(context, &due.timer).and_then(|()| context.check_budget());
        let receipt = match ran {
            Ok(()) => context.finish(Amount::ZERO),
            Err(Refusal::Broken(error)) => return Err(error),
            Err(Refusal::Rejected { code, detail }) => context.fail(code, detail, Amount::ZERO),
        };
        receipts.push(receipt);
        after = due.key;
    }
    Ok(())
}

/// What running a transaction gives.
enum Outcome {
    /// It stays in the block.
    Receipt(Receipt),
    /// It leaves nothing.
    Nothing { code: ResultCode, detail: Detail },
}

fn run_transaction<'a>(
    context: &mut Context<'a>,
    index: u32,
    transaction: &'a VerifiedTransaction,
) -> Result<Outcome, ReadError> {
    context.begin(transaction.id(), index, Sender::Transaction(transaction));
    context.work(budget::SIGNATURE.saturating_mul(transaction.signers().len() as u64));
    let paid = match fees::charge(context, transaction) {
        Ok(paid) => paid,
        Err(Refusal::Broken(error)) => return Err(error),
        Err(Refusal::Rejected { code, detail }) => {
            context.discard();
            return Ok(Outcome::Nothing { code, detail });
        }
    };
    match run_actions(context, transaction).and_then(|()| context.check_budget()) {
        Ok(()) => Ok(Outcome::Receipt(context.finish(paid.fee))),
        Err(Refusal::Rejected { code, detail }) if paid.leaves_nothing => {
            context.discard();
            Ok(Outcome::Nothing { code, detail })
        }
        Err(Refusal::Rejected { code, detail }) => Ok(Outcome::Receipt(context.fail(code, detail, paid.fee))),
        Err(Refusal::Broken(error)) => Err(error),
    }
}

fn run_actions(context: &mut Context<'_>, transaction: &VerifiedTransaction) -> Result<(), Refusal> {
    let actions = &transaction.transaction().actions;
    let admissions = actions.iter().filter(|action| matches!(action, Action::ParticipantAdmit(_))).count();
    if admissions > limits::ADMISSIONS_MAX {
        let (part, most) = (Part::Admissions, limits::ADMISSIONS_MAX as u64);
        let detail = Detail::NotBetween { part, least: 0, most, found: admissions as u64 };
        return reject(ResultCode::TooManyAdmissions, detail);
    }
    let rights = sender_rights(context, transaction)?;
    for (number, action) in actions.iter().enumerate() {
        context.set_action(u32::try_from(number).expect("actions are limited"));
        if let Some(right) = action.right()
            && !rights.allows(right)
        {
            return lacks(action, right);
        }
        run_action(context, action)?;
    }
    Ok(())
}

fn lacks<T>(action: &Action, right: Right) -> Result<T, Refusal> {
    reject(ResultCode::NoRight, Detail::RightMissing { action: action.type_text().into(), right: Text::of(right) })
}

/// The sender's rights by its participant record: what has ended leaves none, and the public's are for senders without any.
/// Whoever has none may still post what carries its own authority: an admission, a revocation by evidence.
fn sender_rights(context: &mut Context<'_>, transaction: &VerifiedTransaction) -> Result<Rights, Refusal> {
    let record: Option<Participant> = context.get(&keyspace::participant(&transaction.sender()))?;
    match context.members().rights(context, record.as_ref(), context.time())? {
        Ok(rights) => {
            context.set_participant(record.map(|participant| participant.identity), rights);
            Ok(rights)
        }
        Err(_) if transaction.transaction().actions.iter().all(Action::carries_authority) => Ok(Rights::NONE),
        Err(code) => reject(code, Detail::MayNotSign { address: transaction.sender() }),
    }
}

fn run_action(context: &mut Context<'_>, action: &Action) -> Result<(), Refusal> {
    match action {
        Action::AssetDefine(body) => assets::define(context, body),
        Action::AssetMint(body) => assets::mint(context, body),
        Action::AssetBurn(body) => assets::burn(context, body),
        Action::AssetTransfer(body) => assets::transfer(context, body),
        Action::AssetTransferBatch(body) => assets::transfer_batch(context, body),
        Action::AssetApprove(body) => assets::approve(context, body),
        Action::AssetTransferFrom(body) => assets::transfer_from(context, body),
        Action::AssetFreeze(body) => assets::freeze(context, body),
        Action::AssetUnfreeze(body) => assets::unfreeze(context, body),
        Action::AssetLock(body) => assets::lock(context, body),
        Action::AssetPause(body) => assets::pause(context, body),
        Action::AssetResume(body) => assets::resume(context, body),
        Action::AssetMintItem(body) => assets::mint_item(context, body),
        Action::AssetBurnItem(body) => assets::burn_item(context, body),
        Action::AssetTransferItem(body) => assets::transfer_item(context, body),
        Action::AssetApproveItem(body) => assets::approve_item(context, body),
        Action::AssetFreezeItem(body) => assets::freeze_item(context, body),
        Action::AssetUnfreezeItem(body) => assets::unfreeze_item(context, body),
        Action::AccountCreate(body) => assets::create_account(context, body),
        Action::AccountAct(body) => assets::act(context, body),
        Action::AccountRecover(body) => channel::recover(context, body),
        Action::ContractDeploy(body) => contracts::deploy(context, body),
        Action::ContractUpgrade(body) => contracts::upgrade(context, body),
        Action::ContractRetire(body) => contracts::retire(context, body),
        Action::ContractCreate(body) => contracts::create(context, body),
        Action::ContractCall(body) => contracts::call(context, body),
        Action::AppPublish(body) => apps::publish(context, body),
        Action::AppUpdateSettings(body) => apps::update_settings(context, body),
        Action::AppRetire(body) => apps::retire(context, body),
        Action::LogAppend(body) => logs::append(context, body),
        Action::LogAudit(body) => audit::append(context, body),
        Action::ParticipantAdmit(body) => channel::admit(context, body),
        Action::ParticipantRevoke(body) => channel::revoke(context, body),
        Action::ParticipantRevokeByEvidence(body) => channel::revoke_by_evidence(context, body),
        Action::ChannelPropose(body) => channel::propose(context, body),
        Action::ChannelApprove(body) => channel::approve(context, body),
        Action::ChannelWithdraw(body) => channel::withdraw(context, body),
        Action::ChannelRenewAuthority(body) => channel::authority::renew(context, body),
        Action::ParticipantReinstate(body) => channel::reinstate(context, body),
        Action::ChannelRevokeAuthority(body) => channel::authority::revoke(context, body),
    }
}

/// Refuses early what brings an authority that cannot be good: strangers must not fill a channel with failed receipts.
fn screen_authority(config: &ChannelConfig, sender: Address, action: &Action) -> Result<(), Refusal> {
    match action {
        Action::LogAudit(_) if !config.peers.iter().any(|peer| peer.key.address() == sender) => {
            reject(ResultCode::NoRight, Detail::Only { party: Party::OrderingPeer })
        }
        Action::ChannelRenewAuthority(body) if !config.is_member(&body.organization) => {
            reject(ResultCode::AuthorityRefused, Detail::NotAMember { organization: Text::from(&body.organization) })
        }
        _ => Ok(()),
    }
}

/// Refuses early what execution would refuse for the sender's standing or rights, or for missing signatures, so that it
/// costs no failed receipt.
/// `view` may be older than the block in which the transaction would execute: execution decides.
/// Gives the sender's record, if it has one.
pub fn screen(
    view: &dyn ReadView,
    members: &Members<'_>,
    transaction: &VerifiedTransaction,
    now: Time,
) -> Result<Option<Participant>, Refusal> {
    let (config, sender, actions) = (members.config(), transaction.sender(), &transaction.transaction().actions);
    let (record, rights) = screen_standing(view, members, sender, actions, now)?;
    let Some(rights) = rights else { return Ok(record) };
    for action in actions {
        if let Some(right) = action.right()
            && !rights.allows(right)
        {
            return lacks(action, right);
        }
        // They are free, so nobody may fill blocks with those that fail.
        if action.carries_authority() {
            screen_authority(config, sender, action)?;
        }
        match action {
            Action::AccountAct(body) => assets::screen_act(view, members, transaction.signers(), body, now)?,
            Action::AccountCreate(body) => assets::require_consent(&body.keys, transaction.signers())?,
            _ => {}
        }
    }
    Ok(record)
}

/// Refuses early what execution would refuse for its sender's standing alone. Gives the sender's record, and its rights:
/// none if what it posts carries its own authority.
pub fn screen_standing(
    view: &dyn ReadView,
    members: &Members<'_>,
    sender: Address,
    actions: &[Action],
    now: Time,
) -> Result<(Option<Participant>, Option<Rights>), Refusal> {
    let record: Option<Participant> = record::read(view, &keyspace::participant(&sender))?;
    match members.rights(view, record.as_ref(), now)? {
        Ok(rights) => Ok((record, Some(rights))),
        Err(_) if actions.iter().all(Action::carries_authority) => {
            actions.iter().try_for_each(|action| screen_authority(members.config(), sender, action))?;
            Ok((record, None))
        }
        Err(code) => {
            let address = sender;
            let detail = match (code, &record) {
                (ResultCode::ParticipantIsUnvouched, Some(participant)) => {
                    Detail::Unvouched { address, organization: participant.identity.organization().into() }
                }
                (_, Some(Participant { revoked_height: Some(height), .. })) => {
                    Detail::RevokedIn { address, height: *height }
                }
                (_, Some(Participant { not_after, .. })) => Detail::ExpiredAt { address, time: *not_after },
                (_, None) => Detail::MayNotSign { address },
            };
            reject(code, detail)
        }
    }
}

/// Refuses early what would fail and costs its sender nothing: else whoever has no funds, or a key made a moment ago,
/// could fill blocks with failed acts. On every channel that is what carries its own authority, on one with fees
/// whatever is exempt from them. All of it is done above `view`, and nothing is kept. The cost is that of executing it
/// once more: for each of its actions, of which the channel's limits allow at most 256, two certificate paths and an
/// answer of a CA, or a recovery ([`limits::RECOVERY_LOOKS_MAX`] records read and [`limits::RECOVERY_MOVES_MAX`]
/// moved), which needs an administrator. Records of sequences are left to execution: their author is an ordering peer,
/// which posts on before the last one is in a block.
pub fn screen_exempt(view: &dyn ReadView, config: &ChannelConfig, input: &BlockInput<'_>) -> Result<(), Refusal> {
    // Hardly any transaction is tried, and a context costs something.
    let mut context = None;
    for transaction in input.transactions {
        if fees::must_succeed(view, config, transaction)? {
            let context = context.get_or_insert_with(|| Context::new(view, input, config));
            context.begin(transaction.id(), 0, Sender::Transaction(transaction));
            run_actions(context, transaction)?;
        }
    }
    Ok(())
}
