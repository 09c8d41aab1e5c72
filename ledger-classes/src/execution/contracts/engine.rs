//! The seam between the ledger and what runs contracts. An engine sees state through [`ReadView`] and
//! [`Call`] only and changes it through the call only, so that a contract's writes join the
//! transaction's write set and vanish with it. See `docs/decisions/0005-contracts.md`.
//!
//! An engine must be a pure function of the call: no clock, no randomness, no iteration order of its own, and no
//! message that a library's next release words differently. It must not panic: a panic halts the channel.

use super::Call;
use crate::formats::outcome::Refusal;
use crate::state::keyspace;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view;
use crate::state::view::{ReadError, ReadView};

/// Runs contracts of one kind.
pub trait ContractEngine: Sync {
    /// The number of the rules that `code` came with; `None` if it cannot be run. Asked once, when a version is registered.
    /// A code whose doing changes is another code, or asks for the number in force.
    fn since(&self, code: &str) -> Option<u32>;

    /// Sets up a new instance. An error undoes its creation.
    fn create(&self, code: &str, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal>;

    /// Calls a method. An error undoes the transaction.
    fn call(&self, code: &str, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal>;

    /// Runs a due timer. An error undoes what the timer did; it is not tried again.
    fn timer(&self, code: &str, call: &mut Call<'_, '_>, timer: &str) -> Result<(), Refusal>;

    /// Answers a question with a JSON document.
    fn query(
        &self,
        code: &str,
        view: &dyn ReadView,
        instance: &str,
        method: &str,
        arguments: &str,
    ) -> Result<String, Refusal>;
}

/// An instance's own state, for queries.
pub struct InstanceView<'a> {
    view: &'a dyn ReadView,
    instance: &'a str,
}

impl<'a> InstanceView<'a> {
    /// The state of `instance` in `view`.
    pub const fn new(view: &'a dyn ReadView, instance: &'a str) -> Self {
        Self { view, instance }
    }

    /// The whole state.
    pub const fn state(&self) -> &'a dyn ReadView {
        self.view
    }

    /// Reads a record.
    pub fn read<R: Record>(&self, own: &[u8]) -> Result<Option<R>, ReadError> {
        record::read(self.view, &keyspace::instance_state(self.instance, own))
    }

    /// Up to `limit` records whose own keys start with `prefix`, from the own key `from` on.
    pub fn list<R: Record>(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<R>, ReadError> {
        let prefix = keyspace::instance_state(self.instance, prefix);
        let from = keyspace::instance_state(self.instance, from);
        let entries = view::scan(self.view, &prefix, &from, limit)?;
        entries.iter().map(|(_, value)| record::from_value(value)).collect()
    }
}
