//! Joint accounts: m-of-n keys under one address. The address is a hash of threshold and keys, so nobody can take
//! another's, and units can be sent to it before it is registered.
//!
//! Each of its keys signs its creation: whoever is listed stands behind the account ([`controllers`]), which counts against
//! them in contracts, and a stranger's key must not be made to.

use super::heirs::heir;
use super::records::JointAccount;
use crate::action::assets::{AccountAct, AccountCreate};
use crate::execution::{Context, Members, budget};
use crate::formats::detail::{Detail, Part};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::rights::{Class, Right};
use crate::keys::{Address, PublicKey};
use crate::limits::JOINT_KEYS_MAX;
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::Participant;
use crate::state::record;
use crate::state::view::{ReadError, ReadView};
use std::collections::BTreeSet;

/// The address of a joint account: hash of the threshold, then of each key's scheme byte and bytes, ascending.
/// The order of `keys` does not matter.
pub fn joint_address(threshold: u8, keys: &[PublicKey]) -> Address {
    let mut keys: Vec<&PublicKey> = keys.iter().collect();
    keys.sort_unstable();
    let mut bytes = vec![threshold];
    for key in keys {
        bytes.push(key.scheme().byte());
        bytes.extend_from_slice(key.bytes());
    }
    Address::from_hash(Hash::tagged(Tag::JointAddress, &[&bytes]))
}

pub(in crate::execution) fn create_account(context: &mut Context<'_>, body: &AccountCreate) -> Result<(), Refusal> {
    let threshold = body.threshold;
    if body.keys.is_empty() || body.keys.len() > JOINT_KEYS_MAX {
        return reject(
            ResultCode::InvalidField,
            Detail::Between { part: Part::JointKeys, least: 1, most: JOINT_KEYS_MAX as u64 },
        );
    }
    if threshold == 0 || usize::from(threshold) > body.keys.len() {
        return reject(
            ResultCode::InvalidField,
            Detail::Between { part: Part::Threshold, least: 1, most: body.keys.len() as u64 },
        );
    }
    let mut keys = body.keys.clone();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() != body.keys.len() {
        return reject(ResultCode::InvalidField, Detail::KeyTwice {});
    }
    require_consent(&keys, context.signers())?;
    for key in &keys {
        context.work(budget::KEY);
        if let Err(error) = key.check_registrable() {
            return reject(ResultCode::InvalidField, Detail::KeyRefused { key: *key, fault: error.into() });
        }
    }
    let account = joint_address(threshold, &keys);
    let key = keyspace::joint_account(&account);
    if context.get_value(&key)?.is_some() {
        return reject(ResultCode::AccountExists, Detail::AccountExists { account });
    }
    let count = u32::try_from(keys.len()).expect("keys are limited");
    context.put(key, &JointAccount { keys, threshold });
    context.emit(Event::AccountCreated { account, threshold, keys: count })
}

/// Refuses a joint account of which a key has not signed.
pub(in crate::execution) fn require_consent(keys: &[PublicKey], signers: &[PublicKey]) -> Result<(), Refusal> {
    match keys.iter().find(|key| !signers.contains(key)) {
        Some(key) => reject(ResultCode::ThresholdNotMet, Detail::ConsentMissing { key: *key }),
        None => Ok(()),
    }
}

pub(in crate::execution) fn act(context: &mut Context<'_>, body: &AccountAct) -> Result<(), Refusal> {
    let joint: Option<JointAccount> = context.get(&keyspace::joint_account(&body.account))?;
    let Some(joint) = joint else {
        return reject(ResultCode::AccountUnknown, Detail::UnknownAccount { account: body.account });
    };
    // Signers are distinct keys (`transaction::parse`), so each counts once.
    let controllers = joint_controllers(context, &joint)?;
    let mut signed = 0;
    for signer in context.signers().iter().map(PublicKey::address).filter(|signer| controllers.contains(signer)) {
        signed += usize::from(may_sign(context, context.members(), &signer, context.time())?);
    }
    let needed = needed(&joint, &controllers);
    if signed < needed {
        let detail = Detail::SignaturesMissing { signed: signed as u64, needed: needed as u64 };
        return reject(ResultCode::ThresholdNotMet, detail);
    }
    context.set_acting(body.account);
    Ok(())
}

/// Refuses early what too few keys of a known joint account have signed. Whoever holds the payload could send it with a
/// part of its signatures; a failed receipt would be its outcome for ever. An account's keys never change.
pub(in crate::execution) fn screen_act(
    view: &dyn ReadView,
    members: &Members<'_>,
    signers: &[PublicKey],
    body: &AccountAct,
    now: Time,
) -> Result<(), Refusal> {
    let Some(joint) = record::read::<JointAccount>(view, &keyspace::joint_account(&body.account))? else {
        return Ok(());
    };
    let controllers = joint_controllers(view, &joint)?;
    let mut signed = 0;
    for signer in signers.iter().map(PublicKey::address).filter(|signer| controllers.contains(signer)) {
        signed += usize::from(may_sign(view, members, &signer, now)?);
    }
    let needed = needed(&joint, &controllers);
    if signed < needed {
        let detail = Detail::SignaturesMissing { signed: signed as u64, needed: needed as u64 };
        return reject(ResultCode::ThresholdNotMet, detail);
    }
    Ok(())
}

/// The addresses whose signatures count for a joint account: its keys', or their successors'. Two keys of one successor
/// count once.
fn joint_controllers(view: &dyn ReadView, joint: &JointAccount) -> Result<BTreeSet<Address>, ReadError> {
    joint.keys.iter().map(|key| heir(view, &key.address())).collect()
}

/// How many of the controllers must sign. Where a successor stands for several keys there may be fewer controllers than
/// the threshold: all of them then, or nobody could move what the account owns any more.
fn needed(joint: &JointAccount, controllers: &BTreeSet<Address>) -> usize {
    usize::from(joint.threshold).min(controllers.len())
}

/// The addresses that control `account`: its owner's, or those of a joint account.
pub(in crate::execution) fn controllers(
    view: &dyn ReadView,
    account: &Address,
) -> Result<(usize, BTreeSet<Address>), ReadError> {
    match record::read::<JointAccount>(view, &keyspace::joint_account(account))? {
        Some(joint) => {
            let controllers = joint_controllers(view, &joint)?;
            Ok((needed(&joint, &controllers), controllers))
        }
        None => Ok((1, BTreeSet::from([*account]))),
    }
}

/// Whether what `account` offered or approved at `height` is void: its participant was revoked since. A joint account's is
/// when of the keys that it was made with too few were never revoked since: a successor of one has not said it.
pub(in crate::execution) fn is_void(view: &dyn ReadView, account: &Address, height: u64) -> Result<bool, ReadError> {
    let (threshold, keys) = match record::read::<JointAccount>(view, &keyspace::joint_account(account))? {
        Some(joint) => (usize::from(joint.threshold), joint.keys.iter().map(PublicKey::address).collect()),
        None => (1, vec![*account]),
    };
    let mut good = 0;
    for address in &keys {
        let record: Option<Participant> = record::read(view, &keyspace::participant(address))?;
        let revoked = record.and_then(|record| record.revoked_height.or(record.revoked_before));
        good += usize::from(revoked.is_none_or(|revoked| revoked < height));
    }
    Ok(good < threshold)
}

/// Whether a co-signer counts: who could send the action itself. A participant whose record has ended could not, nor an
/// auditor, and somebody without a record only on an open channel.
fn may_sign(view: &dyn ReadView, members: &Members<'_>, signer: &Address, time: Time) -> Result<bool, ReadError> {
    let record: Option<Participant> = record::read(view, &keyspace::participant(signer))?;
    let rights = members.rights(view, record.as_ref(), time)?;
    Ok(rights.is_ok_and(|rights| rights.allows(Right::Write(Class::Assets))))
}
