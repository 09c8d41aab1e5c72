//! What a contract may do while it runs, and nothing else: read and write its own state, take assets from whoever
//! calls it, pay out of its own account, set timers, report events.
//!
//! A contract never moves what belongs to a third party: the caller consented by calling, everything else it pays
//! is in its own account already. The number of effects is limited, so that one call cannot fill a block.

use super::{InstanceRecord, timers};
use crate::execution::assets::AssetRecord;
use crate::execution::{Context, assets};
use crate::formats::config::ChannelConfig;
use crate::formats::detail::{Detail, Part, Party, Text};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::rights::{Class, Right};
use crate::keys::Address;
use crate::limits::{CALL_DATA_BYTES_MAX, CALL_EFFECTS_MAX, CALL_KEY_BYTES_MAX, NAME_BYTES_MAX, TIMER_STEP_MS_MIN};
use crate::primitives::amount::Amount;
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{ReadView, Value};

/// Longest name of a timer: a loan's name with a word before it.
const TIMER_BYTES_MAX: usize = 2 * NAME_BYTES_MAX;

/// A running contract's only way to the ledger.
pub struct Call<'c, 'a> {
    context: &'c mut Context<'a>,
    instance: &'c InstanceRecord,
    caller: Option<Address>,
    effects: usize,
}

impl<'c, 'a> Call<'c, 'a> {
    pub(super) fn of_transaction(context: &'c mut Context<'a>, instance: &'c InstanceRecord) -> Self {
        let caller = Some(context.acting());
        Self { context, instance, caller, effects: 0 }
    }

    pub(super) fn of_timer(context: &'c mut Context<'a>, instance: &'c InstanceRecord) -> Self {
        Self { context, instance, caller: None, effects: 0 }
    }

    /// Who calls: the sender's account or the joint account it acts for. [`Address::ZERO`] in a timer.
    pub fn caller(&self) -> Address {
        self.caller.unwrap_or(Address::ZERO)
    }

    /// The sender's identity, if it has a participant record in good standing. Nobody in a timer.
    pub fn identity(&self) -> Option<&Identity> {
        self.context.participant()
    }

    /// Block time.
    pub const fn time(&self) -> Time {
        self.context.time()
    }

    /// Block height.
    pub const fn height(&self) -> u64 {
        self.context.height()
    }

    /// The running instance.
    pub const fn instance(&self) -> &InstanceRecord {
        self.instance
    }

    /// Reads a value of the instance's own state.
    pub fn read_value(&self, own: &[u8]) -> Result<Option<Value>, Refusal> {
        Ok(self.context.get_value(&keyspace::instance_state(&self.instance.instance, own))?)
    }

    /// Writes a value of the instance's own state.
    pub fn write_value(&mut self, own: &[u8], value: Value) -> Result<(), Refusal> {
        too_large(Part::ContractKey, own.len(), CALL_KEY_BYTES_MAX)?;
        too_large(Part::ContractData, value.len(), CALL_DATA_BYTES_MAX)?;
        self.count()?;
        self.context.put_value(keyspace::instance_state(&self.instance.instance, own), value);
        Ok(())
    }

    /// Removes a key of the instance's own state.
    pub fn remove(&mut self, own: &[u8]) -> Result<(), Refusal> {
        self.count()?;
        self.context.remove(keyspace::instance_state(&self.instance.instance, own));
        Ok(())
    }

    /// Reads a record of the instance's own state.
    pub fn read<R: Record>(&self, own: &[u8]) -> Result<Option<R>, Refusal> {
        Ok(self.read_value(own)?.map(|value| record::from_value(&value)).transpose()?)
    }

    /// Writes a record of the instance's own state.
    pub fn write<R: Record>(&mut self, own: &[u8], record: &R) -> Result<(), Refusal> {
        self.write_value(own, record::to_value(record))
    }

    /// Takes units from the caller into the instance's account. Nothing happens for zero.
    pub fn pull_units(&mut self, asset: &str, amount: Amount) -> Result<(), Refusal> {
        let from = self.payer()?;
        self.move_units(asset, from, self.instance.account, amount)
    }

    /// Takes an item of the caller into the instance's account.
    pub fn pull_item(&mut self, asset: &str, item: &str) -> Result<(), Refusal> {
        let from = self.payer()?;
        self.count()?;
        assets::move_item(self.context, asset, item, &from, &self.instance.account)
    }

    /// Pays units out of the instance's account. Nothing happens for zero.
    pub fn pay_units(&mut self, asset: &str, to: Address, amount: Amount) -> Result<(), Refusal> {
        self.move_units(asset, self.instance.account, to, amount)
    }

    /// Hands an item out of the instance's account.
    pub fn pay_item(&mut self, asset: &str, item: &str, to: Address) -> Result<(), Refusal> {
        self.count()?;
        assets::move_item(self.context, asset, item, &self.instance.account, &to)
    }

    /// What the instance's account can pay of a fungible asset now: nothing while the asset is paused.
    pub fn payable(&self, asset: &str) -> Result<Amount, Refusal> {
        match self.asset(asset)? {
            record if record.paused => Ok(Amount::ZERO),
            _ => self.free_balance(asset, &self.instance.account),
        }
    }

    /// The definition of an asset.
    pub fn asset(&self, asset: &str) -> Result<AssetRecord, Refusal> {
        match assets::asset(self.context, asset)? {
            Some(record) => Ok(record),
            None => reject(ResultCode::AssetUnknown, Detail::UnknownAsset { asset: asset.into() }),
        }
    }

    /// Refuses if an item cannot move now, because its asset is paused or it is frozen.
    pub fn require_movable(&self, asset: &str, item: &str) -> Result<(), Refusal> {
        assets::require_movable(self.context, asset, item)
    }

    /// Whether an item can move now.
    pub fn is_movable(&self, asset: &str, item: &str) -> Result<bool, Refusal> {
        match self.require_movable(asset, item) {
            Ok(()) => Ok(true),
            Err(Refusal::Rejected { .. }) => Ok(false),
            Err(broken) => Err(broken),
        }
    }

    /// Who has what is `account`'s: its successor if it was recovered, else itself.
    pub fn heir(&self, account: &Address) -> Result<Address, Refusal> {
        Ok(assets::heir(self.context, account)?)
    }

    /// Whether the caller is `account`, or has what was `account`'s.
    pub fn is_from(&self, account: &Address) -> Result<bool, Refusal> {
        Ok(self.caller == Some(self.heir(account)?))
    }

    /// Everything that is written so far.
    pub fn view(&self) -> &dyn ReadView {
        self.context
    }

    /// The channel's configuration.
    pub const fn config(&self) -> &ChannelConfig {
        self.context.config()
    }

    /// Whether a timer runs.
    pub const fn is_timer(&self) -> bool {
        self.caller.is_none()
    }

    /// What `account` can spend of a fungible asset now.
    pub fn free_balance(&self, asset: &str, account: &Address) -> Result<Amount, Refusal> {
        assets::free_balance(self.context, asset, account)
    }

    /// Who owns an item.
    pub fn item_owner(&self, asset: &str, item: &str) -> Result<Address, Refusal> {
        assets::item_owner(self.context, asset, item)
    }

    /// Reports what happened: a name such as `auction.bid`, and a JSON document.
    pub fn emit(&mut self, name: &str, data: String) -> Result<(), Refusal> {
        too_large(Part::EventName, name.len(), NAME_BYTES_MAX)?;
        too_large(Part::ContractData, data.len(), CALL_DATA_BYTES_MAX)?;
        self.count()?;
        self.context.emit(Event::ContractEmitted {
            instance: self.instance.instance.clone(),
            name: name.to_owned(),
            data,
        })
    }

    /// Sets or moves a timer. It is due after this block: at `due`, or as soon as possible if that has passed; a
    /// timer's own next timer is due a second later at the earliest.
    pub fn set_timer(&mut self, timer: &str, due: Time) -> Result<(), Refusal> {
        if timer.is_empty() || timer.len() > TIMER_BYTES_MAX || timer.contains('\0') {
            let detail = Detail::Between { part: Part::TimerName, least: 1, most: TIMER_BYTES_MAX as u64 };
            return reject(ResultCode::TooManyEffects, detail);
        }
        self.count()?;
        let step = if self.caller.is_some() { 1 } else { TIMER_STEP_MS_MIN };
        let due = due.max(self.time().plus_millis(step));
        timers::set(self.context, &self.instance.instance, timer, due)
    }

    /// Ends a timer, if it is set.
    pub fn cancel_timer(&mut self, timer: &str) -> Result<(), Refusal> {
        self.count()?;
        timers::cancel(self.context, &self.instance.instance, timer)
    }

    /// Does `steps`, or nothing of them if they are refused; the refusal is the inner result.
    pub fn attempt(
        &mut self,
        steps: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<Result<(), ResultCode>, Refusal> {
        let savepoint = self.context.savepoint();
        match steps(self) {
            Ok(()) => Ok(Ok(())),
            // There is nothing left to go on with.
            Err(spent @ Refusal::Rejected { code: ResultCode::BudgetExceeded, .. }) => Err(spent),
            Err(Refusal::Rejected { code, .. }) => {
                self.context.return_to(savepoint);
                Ok(Err(code))
            }
            Err(broken) => Err(broken),
        }
    }

    /// Whom the contract takes from: the caller, who may then move assets by its own rights as well. Everything that a
    /// contract takes comes through here.
    fn payer(&self) -> Result<Address, Refusal> {
        let Some(caller) = self.caller else {
            return reject(ResultCode::CallerRefused, Detail::ContractOnly { party: Party::Caller });
        };
        let right = Right::Write(Class::Assets);
        match self.context.rights().allows(right) {
            true => Ok(caller),
            false => reject(ResultCode::NoRight, Detail::RightToTake { right: Text::of(right) }),
        }
    }

    fn move_units(&mut self, asset: &str, from: Address, to: Address, amount: Amount) -> Result<(), Refusal> {
        self.count()?;
        if amount.is_zero() {
            return Ok(());
        }
        assets::move_units(self.context, asset, &from, &to, amount)
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.effects += 1;
        if self.effects > CALL_EFFECTS_MAX {
            let most = CALL_EFFECTS_MAX as u64;
            return reject(ResultCode::TooManyEffects, Detail::AtMost { part: Part::CallEffects, most });
        }
        Ok(())
    }
}

fn too_large(part: Part, bytes: usize, most: usize) -> Result<(), Refusal> {
    match bytes > most {
        true => reject(ResultCode::TooManyEffects, Detail::AtMost { part, most: most as u64 }),
        false => Ok(()),
    }
}
