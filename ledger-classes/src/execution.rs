//! Execution of a block: state and transactions in, receipts and writes out. Deterministic: the only inputs are
//! the view, the header's height and time, and the transactions in order.
//!
//! Relations that always hold: a failed transaction writes nothing but its fee; a timer is a unit of its own;
//! writes of a block become visible to the transactions after them, and to nobody else until the block is sealed.

pub mod apps;
pub mod assets;
pub mod audit;
pub mod channel;
mod context;
pub mod contracts;
pub mod logs;
pub mod service;
#[cfg(test)]
pub(crate) mod test_support;

pub use context::{Context, Sender};

use crate::action::Action;
use crate::amount::Amount;
use crate::config::ChannelConfig;
use crate::hash::{Hash, Tag};
use crate::keyspace;
use crate::limits;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::participant::{CertificatePaths, Participant};
use crate::receipt::Receipt;
use crate::record::{self, Record};
use crate::state::{ReadError, ReadView, Writes};
use crate::time::Time;
use crate::transaction::VerifiedTransaction;

/// What a block is executed with.
pub struct BlockInput<'a> {
    /// The channel's id.
    pub channel: Hash,
    /// The block's height, at least 1.
    pub height: u64,
    /// The block's time.
    pub time: Time,
    /// How certificate paths are verified.
    pub certificates: &'a dyn CertificatePaths,
    /// The transactions, in order.
    pub transactions: &'a [VerifiedTransaction],
}

/// What a block did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Receipts: that of a mark or an outage, those of timers, then one for each transaction in order.
    pub receipts: Vec<Receipt>,
    /// How many of the receipts are timers'.
    pub timers: u32,
    /// What the block wrote.
    pub writes: Writes,
    /// The configuration height that ruled this block.
    pub config_height: u64,
}

/// The configuration with the height whose block set it.
#[derive(Clone, Debug, PartialEq, Eq, crate::codec::Encode, crate::codec::Decode)]
pub struct ConfigRecord {
    /// The configuration.
    pub config: ChannelConfig,
    /// The block that set it; it rules from the next one on.
    pub height: u64,
}

impl Record for ConfigRecord {}

/// What a genesis block writes.
pub fn genesis_writes(config: &ChannelConfig) -> Writes {
    let record = ConfigRecord { config: config.clone(), height: 0 };
    let value = Some(record::to_value(&record));
    Writes::from([(keyspace::config(), value.clone()), (keyspace::config_at(0), value)])
}

/// The configuration in force above `view`.
pub fn config_of(view: &dyn ReadView) -> Result<ConfigRecord, ReadError> {
    record::read(view, &keyspace::config())?.ok_or_else(|| ReadError("the channel has no configuration".into()))
}

/// When the next block is due by time alone, if one is: for a timer, or as a mark while a timer is set.
pub fn next_timer(view: &dyn ReadView) -> Result<Option<Time>, ReadError> {
    let (timer, mark) = (contracts::timers::next_due(view)?, service::next_mark(view)?);
    Ok(timer.into_iter().chain(mark).min())
}

/// Executes a block above `view`. An error means that the store failed and nothing is known.
pub fn execute(view: &dyn ReadView, input: &BlockInput<'_>) -> Result<Executed, ReadError> {
    let ConfigRecord { config, height: config_height } = config_of(view)?;
    let mut context = Context::new(view, input, &config);
    let mut receipts = Vec::with_capacity(input.transactions.len());
    service::begin_block(&mut context, &mut receipts)?;
    run_timers(&mut context, &mut receipts)?;
    let timers = u32::try_from(receipts.len()).expect("timers are limited");
    for transaction in input.transactions {
        let index = u32::try_from(receipts.len()).expect("transactions are limited");
        receipts.push(run_transaction(&mut context, index, transaction)?);
    }
    service::end_block(&mut context)?;
    Ok(Executed { receipts, timers, writes: context.into_writes(), config_height })
}

fn run_timers(context: &mut Context<'_>, receipts: &mut Vec<Receipt>) -> Result<(), ReadError> {
    let mut after = keyspace::key(keyspace::Family::Timer, &[]);
    while receipts.len() < limits::BLOCK_TIMERS_MAX {
        let index = u32::try_from(receipts.len()).expect("timers are limited");
        let Some(due) = contracts::timers::take_due(context, &after)? else { break };
        let id = Hash::tagged(Tag::Timer, &[&context.height().to_le_bytes(), &due.key]);
        context.begin(id, index, Sender::Timer);
        let ran = contracts::timers::run(context, &due).and_then(|()| context.check_writes());
        let receipt = match ran {
            Ok(()) => context.finish(ResultCode::Done, String::new(), Amount::ZERO),
            Err(Refusal::Broken(error)) => return Err(error),
            Err(Refusal::Rejected { code, message }) => context.fail(code, message, Amount::ZERO),
        };
        receipts.push(receipt);
        after = due.key;
    }
    Ok(())
}

fn run_transaction<'a>(
    context: &mut Context<'a>,
    index: u32,
    transaction: &'a VerifiedTransaction,
) -> Result<Receipt, ReadError> {
    context.begin(transaction.id(), index, Sender::Transaction(transaction));
    let fee = match charge(context, transaction) {
        Ok(fee) => fee,
        Err(Refusal::Broken(error)) => return Err(error),
        Err(Refusal::Rejected { code, message }) => return Ok(context.fail(code, message, Amount::ZERO)),
    };
    match run_actions(context, transaction).and_then(|()| context.check_writes()) {
        Ok(()) => Ok(context.finish(ResultCode::Done, String::new(), fee)),
        Err(Refusal::Rejected { code, message }) => Ok(context.fail(code, message, fee)),
        Err(Refusal::Broken(error)) => Err(error),
    }
}

/// Whether a transaction owes no fee.
fn is_exempt(transaction: &VerifiedTransaction) -> bool {
    transaction.transaction().actions.iter().all(Action::is_administrative)
}

/// Takes the fee. What it wrote stays when the actions fail. Administrative acts are free if nothing else is done with
/// them.
fn charge(context: &mut Context<'_>, transaction: &VerifiedTransaction) -> Result<Amount, Refusal> {
    let until = transaction.transaction().valid_until;
    if until < context.time() {
        return reject(ResultCode::Expired, format!("valid until {until}"));
    }
    if until.millis_since(context.time()) > limits::VALIDITY_MS_MAX {
        return reject(ResultCode::TooFarAhead, format!("valid until {until}"));
    }
    let fees = &context.config().fees;
    let Some(asset) = fees.asset.clone() else { return Ok(Amount::ZERO) };
    if is_exempt(transaction) {
        return Ok(Amount::ZERO);
    }
    let bytes = u128::from(transaction.payload_bytes());
    let fee = Amount(fees.base.0.saturating_add(fees.per_byte.0.saturating_mul(bytes)));
    let collector = fees.collector;
    if fee > transaction.transaction().fee_max {
        return reject(ResultCode::FeeAboveMax, format!("the fee is {fee}"));
    }
    assets::pay_fee(context, &transaction.sender(), &asset, fee, collector)?;
    context.keep();
    Ok(fee)
}

fn run_actions(context: &mut Context<'_>, transaction: &VerifiedTransaction) -> Result<(), Refusal> {
    let rights = sender_rights(context, transaction)?;
    for (number, action) in transaction.transaction().actions.iter().enumerate() {
        context.set_action(u32::try_from(number).expect("actions are limited"));
        if let Some(right) = action.right()
            && !rights.allows(right)
        {
            return reject(ResultCode::NoRight, format!("{} needs the right {right}", action.type_text()));
        }
        run_action(context, action)?;
    }
    Ok(())
}

/// The sender's rights by its participant record. On an open channel a sender without record has the public's.
/// A sender without record may still post what carries its own authority: an admission, a revocation by evidence.
fn sender_rights(
    context: &mut Context<'_>,
    transaction: &VerifiedTransaction,
) -> Result<crate::rights::Rights, Refusal> {
    let open = context.config().open_submit;
    let authority_in_itself = transaction.transaction().actions.iter().all(Action::carries_authority);
    let record: Option<Participant> = context.get(&keyspace::participant(&transaction.sender()))?;
    let standing = standing(record.as_ref(), context.time());
    match (&record, standing) {
        (Some(participant), Ok(())) => {
            context.set_participant(participant.identity.clone());
            Ok(context.config().rights_of(Some(&participant.identity)))
        }
        _ if authority_in_itself || open => Ok(context.config().rights_of(None)),
        (_, Err(code)) => reject(code, format!("{} may not sign here", transaction.sender())),
        (None, Ok(())) => reject(ResultCode::NotAParticipant, "no record"),
    }
}

/// Whether a participant record entitles its address to sign at block time `time`.
pub fn standing(record: Option<&Participant>, time: Time) -> Result<(), ResultCode> {
    match record {
        None => Err(ResultCode::NotAParticipant),
        Some(participant) if participant.revoked_height.is_some() => Err(ResultCode::ParticipantIsRevoked),
        Some(participant) if participant.not_after < time => Err(ResultCode::ParticipantIsExpired),
        Some(_) => Ok(()),
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
        Action::AccountRecover(body) => assets::recover(context, body),
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
    }
}

/// Refuses early what brings an authority that cannot be good: strangers must not fill a channel with failed receipts.
fn screen_authority(config: &ChannelConfig, sender: crate::keys::Address, action: &Action) -> Result<(), Refusal> {
    match action {
        Action::LogAudit(_) if !config.peers.iter().any(|peer| peer.key.address() == sender) => {
            reject(ResultCode::NoRight, "only the seal key of an ordering peer appends to an audit sequence")
        }
        Action::ChannelRenewAuthority(body) if !config.is_member(&body.organization) => {
            reject(ResultCode::AuthorityRefused, "the organization is not a member of this channel")
        }
        _ => Ok(()),
    }
}

/// Refuses early what execution would refuse for the sender's standing or rights, or for missing signatures, so that it
/// costs no failed receipt.
/// `view` may be older than the block in which the transaction would execute: execution decides.
pub fn screen(
    view: &dyn ReadView,
    config: &ChannelConfig,
    transaction: &VerifiedTransaction,
    now: Time,
) -> Result<(), Refusal> {
    let actions = &transaction.transaction().actions;
    let record: Option<Participant> = record::read(view, &keyspace::participant(&transaction.sender()))?;
    let rights = match standing(record.as_ref(), now) {
        Ok(()) => config.rights_of(record.as_ref().map(|participant| &participant.identity)),
        Err(_) if config.open_submit => config.rights_of(None),
        Err(_) if actions.iter().all(Action::carries_authority) => {
            return actions.iter().try_for_each(|action| screen_authority(config, transaction.sender(), action));
        }
        Err(code) => {
            let why = match &record {
                Some(Participant { revoked_height: Some(height), .. }) => format!(": revoked in block {height}"),
                Some(Participant { not_after, .. }) => format!(": its certificate expired at {not_after}"),
                None => String::new(),
            };
            return reject(code, format!("{} may not sign here{why}", transaction.sender()));
        }
    };
    for action in actions {
        if let Some(right) = action.right()
            && !rights.allows(right)
        {
            return reject(ResultCode::NoRight, format!("{} needs the right {right}", action.type_text()));
        }
        // They are free, so nobody may fill blocks with those that fail.
        if action.carries_authority() {
            screen_authority(config, transaction.sender(), action)?;
        }
        if let Action::AccountAct(body) = action {
            assets::screen_act(view, transaction.signers(), body)?;
        }
    }
    Ok(())
}

/// Refuses early, on a channel with fees, what is exempt from them and would fail: else whoever has no funds, or a key
/// made a moment ago, could fill blocks with failed acts for nothing. All of it is done above `view`, and nothing is kept.
/// The cost is that of executing it once more: for each of its actions, of which the channel's limits allow at most 256,
/// two certificate paths and an answer of a CA, or a recovery ([`limits::RECOVERY_LOOKS_MAX`] records read and
/// [`limits::RECOVERY_MOVES_MAX`] moved), which needs an administrator. Records of sequences are left to execution: their author is an
/// ordering peer, which posts on before the last one is in a block.
pub fn screen_exempt(view: &dyn ReadView, config: &ChannelConfig, input: &BlockInput<'_>) -> Result<(), Refusal> {
    let mut context = Context::new(view, input, config);
    let sequence = |action: &Action| matches!(action, Action::LogAudit(_));
    for transaction in input.transactions.iter().filter(|transaction| is_exempt(transaction)) {
        if config.fees.asset.is_some() && !transaction.transaction().actions.iter().any(sequence) {
            context.begin(transaction.id(), 0, Sender::Transaction(transaction));
            run_actions(&mut context, transaction)?;
        }
    }
    Ok(())
}
