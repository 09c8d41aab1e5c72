//! The contracts class: registered contracts with versions, their instances, calls and timers. What a contract
//! does is an engine's matter ([`engine::ContractEngine`]); the first engine is the built-in library.
//!
//! An instance keeps the version it was made with: an upgrade rules new instances only, so nobody's escrow comes
//! under rules that it did not agree to. A retired contract makes no new instances; running ones finish.

pub mod builtin;
mod call;
#[cfg(test)]
mod conservation;
pub mod deadlines;
pub mod engine;
pub mod escrow;
mod forms;
#[cfg(test)]
mod hostile_tests;
mod records;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod rights_tests;
#[cfg(test)]
mod tests;
pub mod timers;

pub use call::Call;
pub use records::{ContractRecord, ContractVersion, InstanceRecord};

use super::Context;
use crate::action;
use crate::action::contracts::{Create, Deploy, Retire};
use crate::formats::detail::{Detail, Part, Text, Thing};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::{CALL_BYTES_MAX, NAME_BYTES_MAX};
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::identity::is_label;
use crate::state::keyspace;
use crate::state::listing;
use crate::state::listing::{Listed, Span, list};
use crate::state::record;
use crate::state::view::{ReadError, ReadView};
use engine::ContractEngine;
use timers::Timer;

/// The engines, each with the number of the rules that it came with.
const ENGINES: &[(u32, &str, &dyn ContractEngine)] = &[(1, "builtin", &builtin::Library)];

/// The engine with this name, of those that there are where a number of rules is in force.
fn find_engine(in_force: u32, name: &str) -> Option<&'static dyn ContractEngine> {
    let found = ENGINES.iter().find(|(since, known, _)| *known == name && *since <= in_force);
    found.map(|(.., engine)| *engine)
}

/// The account of an instance: no key has this address, so only the instance's own code moves what it holds.
pub fn account_of(channel: &Hash, instance: &str) -> Address {
    Address::from_hash(Hash::tagged(Tag::ContractAddress, &[&channel.0, instance.as_bytes()]))
}

pub(super) fn deploy(context: &mut Context<'_>, body: &Deploy) -> Result<(), Refusal> {
    if !is_label(&body.contract) {
        return reject(ResultCode::InvalidField, Detail::Named { thing: Thing::Contract });
    }
    check_code(context.config().rules, body)?;
    if context.get_value(&keyspace::contract(&body.contract))?.is_some() {
        return reject(
            ResultCode::ContractExists,
            Detail::Exists { thing: Thing::Contract, name: Text::from(&body.contract) },
        );
    }
    let owner = context.acting();
    put_version(context, body, owner, 1)
}

pub(super) fn upgrade(context: &mut Context<'_>, body: &Deploy) -> Result<(), Refusal> {
    let contract = owned(context, &body.contract)?;
    if contract.retired {
        return reject(ResultCode::ContractIsRetired, Detail::Retired { name: Text::from(&body.contract) });
    }
    check_code(context.config().rules, body)?;
    let Some(version) = contract.version.checked_add(1) else {
        return reject(ResultCode::InvalidField, Detail::NoMoreVersions {});
    };
    put_version(context, body, contract.owner, version)
}

pub(super) fn retire(context: &mut Context<'_>, body: &Retire) -> Result<(), Refusal> {
    let mut contract = owned(context, &body.contract)?;
    if contract.retired {
        return reject(ResultCode::ContractIsRetired, Detail::Retired { name: Text::from(&body.contract) });
    }
    contract.retired = true;
    contract.height = context.height();
    context.put(keyspace::contract(&body.contract), &contract);
    context.emit(Event::ContractRetired { contract: body.contract.clone() })
}

pub(super) fn create(context: &mut Context<'_>, body: &Create) -> Result<(), Refusal> {
    if !is_label(&body.instance) {
        return reject(ResultCode::InvalidField, Detail::Named { thing: Thing::Instance });
    }
    check_arguments(&body.arguments)?;
    let contract = contract(context, &body.contract)?;
    if contract.retired {
        return reject(ResultCode::ContractIsRetired, Detail::Retired { name: Text::from(&body.contract) });
    }
    let key = keyspace::instance(&body.instance);
    if context.get_value(&key)?.is_some() {
        return reject(
            ResultCode::InstanceExists,
            Detail::Exists { thing: Thing::Instance, name: Text::from(&body.instance) },
        );
    }
    let by = context.acting();
    let record = InstanceRecord {
        instance: body.instance.clone(),
        contract: contract.name,
        version: contract.version,
        created_by: by,
        account: account_of(&context.channel(), &body.instance),
        height: context.height(),
    };
    context.put(key, &record);
    context.put_value(keyspace::contract_instance(&record.contract, &record.instance), [1u8].as_slice().into());
    context.emit(Event::ContractCreated {
        contract: record.contract.clone(),
        instance: record.instance.clone(),
        by,
        account: record.account,
    })?;
    let engine = engine_of(&contract.engine)?;
    engine.create(&contract.code, &mut Call::of_transaction(context, &record), &body.arguments)
}

pub(super) fn call(context: &mut Context<'_>, body: &action::contracts::Call) -> Result<(), Refusal> {
    if body.method.len() > NAME_BYTES_MAX {
        return reject(ResultCode::MethodUnknown, Detail::AtMost { part: Part::Method, most: 64 });
    }
    check_arguments(&body.arguments)?;
    let (record, engine, code) = running(context, &body.instance)?;
    engine.call(&code, &mut Call::of_transaction(context, &record), &body.method, &body.arguments)
}

/// Runs a due timer. The timer is off the list already, whatever becomes of it, so that one that fails is not
/// tried for ever: contracts offer a method that does the same work.
pub(super) fn run_timer(context: &mut Context<'_>, timer: &Timer) -> Result<(), Refusal> {
    context.set_timer(timer.clone());
    let (record, engine, code) = running(context, &timer.instance)?;
    engine.timer(&code, &mut Call::of_timer(context, &record), &timer.timer)
}

/// Asks an instance. The answer is a JSON document; nothing changes.
pub fn query(view: &dyn ReadView, instance: &str, method: &str, arguments: &str) -> Result<String, Refusal> {
    check_arguments(arguments)?;
    let (record, engine, code) = running(view, instance)?;
    engine.query(&code, view, &record.instance, method, arguments)
}

/// A contract by name.
pub fn contract(view: &dyn ReadView, name: &str) -> Result<ContractRecord, Refusal> {
    match record::read(view, &keyspace::contract(name))? {
        Some(contract) => Ok(contract),
        None => reject(ResultCode::ContractUnknown, Detail::PLAIN),
    }
}

/// A version of a contract.
pub fn version(view: &dyn ReadView, name: &str, version: u32) -> Result<ContractVersion, Refusal> {
    match record::read(view, &keyspace::contract_version(name, version))? {
        Some(version) => Ok(version),
        None => reject(ResultCode::ContractUnknown, Detail::PLAIN),
    }
}

/// An instance by name.
pub fn instance(view: &dyn ReadView, name: &str) -> Result<InstanceRecord, Refusal> {
    match record::read(view, &keyspace::instance(name))? {
        Some(instance) => Ok(instance),
        None => reject(ResultCode::InstanceUnknown, Detail::PLAIN),
    }
}

/// Contracts by name.
pub fn contracts(view: &dyn ReadView, span: &Span) -> Result<Listed<ContractRecord>, ReadError> {
    list(view, &keyspace::contract(""), span, |_, _, value| record::from_value(value))
}

/// Instances of all contracts by name.
pub fn instances(view: &dyn ReadView, span: &Span) -> Result<Listed<InstanceRecord>, ReadError> {
    list(view, &keyspace::instance(""), span, |_, _, value| record::from_value(value))
}

/// Instances of a contract by name.
pub fn instances_of(view: &dyn ReadView, contract: &str, span: &Span) -> Result<Listed<InstanceRecord>, ReadError> {
    list(view, &keyspace::contract_instance(contract, ""), span, |view, name, _| {
        let name = listing::text(name)?;
        let damaged = || ReadError(format!("the list of instances of {contract} is damaged at {name:?}"));
        record::read(view, &keyspace::instance(&name))?.ok_or_else(damaged)
    })
}

/// The contract `name`, if the acting account owns it.
fn owned(context: &Context<'_>, name: &str) -> Result<ContractRecord, Refusal> {
    let contract = contract(context, name)?;
    if super::assets::heir(context, &contract.owner)? != context.acting() {
        return reject(ResultCode::NotTheContractOwner, Detail::OwnedBy { name: name.into(), owner: contract.owner });
    }
    Ok(contract)
}

fn check_code(in_force: u32, body: &Deploy) -> Result<(), Refusal> {
    match find_engine(in_force, &body.engine) {
        Some(engine) if engine.since(&body.code).is_some_and(|since| since <= in_force) => Ok(()),
        Some(_) => reject(ResultCode::CodeUnknown, Detail::NoSuchCode { engine: Text::from(&body.engine) }),
        None => {
            reject(ResultCode::CodeUnknown, Detail::Unknown { thing: Thing::Engine, name: Text::from(&body.engine) })
        }
    }
}

fn check_arguments(arguments: &str) -> Result<(), Refusal> {
    if arguments.len() > CALL_BYTES_MAX {
        return reject(
            ResultCode::ArgumentsInvalid,
            Detail::AtMost { part: Part::Arguments, most: CALL_BYTES_MAX as u64 },
        );
    }
    Ok(())
}

fn put_version(context: &mut Context<'_>, body: &Deploy, owner: Address, version: u32) -> Result<(), Refusal> {
    let height = context.height();
    let Deploy { contract, engine, code } = body.clone();
    let name = contract.clone();
    let record = ContractVersion { contract, version, engine, code, height };
    context.put(keyspace::contract_version(&name, version), &record);
    let ContractVersion { engine, code, .. } = record;
    let record = ContractRecord { name, owner, engine, code, version, retired: false, height };
    context.put(keyspace::contract(&record.name), &record);
    let ContractRecord { name, engine, code, .. } = record;
    context.emit(Event::ContractDeployed { contract: name, version, engine, code })
}

/// The engine of a registered contract. Its name was checked when it was registered: a build without it cannot
/// execute this channel at all, and guessing would part its state from the others'.
fn engine_of(name: &str) -> Result<&'static dyn ContractEngine, ReadError> {
    find_engine(u32::MAX, name).ok_or_else(|| ReadError(format!("this build has no contract engine {name}")))
}

fn running(view: &dyn ReadView, name: &str) -> Result<(InstanceRecord, &'static dyn ContractEngine, String), Refusal> {
    let record = instance(view, name)?;
    let key = keyspace::contract_version(&record.contract, record.version);
    let version: ContractVersion = record::read(view, &key)?
        .ok_or_else(|| ReadError(format!("version {} of {} is missing", record.version, record.contract)))?;
    Ok((record, engine_of(&version.engine)?, version.code))
}
