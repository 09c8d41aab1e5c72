//! What a block is executed above: its parent, the state that it left, and the configuration in force there.

use super::{CommittedIds, Invalid, Parent};
use crate::execution::ConfigRecord;
use crate::primitives::time::Time;
use crate::state::participant::CertificatePaths;
use crate::state::tree::{Pages, StateTree};
use crate::state::view::{ReadError, ReadView};
use crate::{execution, rules};

/// What a block is executed above.
#[derive(Clone, Copy)]
pub struct Above<'a> {
    /// The block before.
    pub parent: &'a Parent,
    /// The state that it left.
    pub view: &'a dyn ReadView,
    /// The tree over that state.
    pub tree: &'a StateTree,
    /// Where the part of the tree is that is not in memory.
    pub pages: &'a dyn Pages,
    /// The ids that are in the chain up to it.
    pub ids: &'a dyn CommittedIds,
    /// How certificate paths are verified.
    pub certificates: &'a dyn CertificatePaths,
}

/// Why there is no executed block.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExecutionError {
    /// The store failed: nothing is known.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The block breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Whether nothing is due at `time`.
pub(super) fn is_idle(above: &Above<'_>, time: Time) -> Result<bool, ReadError> {
    Ok(execution::next_timer(above.view)?.is_none_or(|due| due > time))
}

/// The configuration in force above `view`; refused if this build does not know what is valid there, whatever form the
/// record of it has.
pub(super) fn config_in_force(view: &dyn ReadView) -> Result<ConfigRecord, ExecutionError> {
    let value = execution::value_in_force(view)?;
    check_number(&value)?;
    Ok(execution::config_from(&value)?)
}

/// Whether this build knows what is valid above `view`: to be asked before the next block is decoded, which may have another
/// form.
pub fn check_rules(view: &dyn ReadView) -> Result<(), ExecutionError> {
    Ok(check_number(&execution::value_in_force(view)?)?)
}

fn check_number(configuration: &[u8]) -> Result<(), Invalid> {
    let known = rules::known();
    match execution::rules_in(configuration) {
        Some(rules) if !(1..=known).contains(&rules) => Err(Invalid::UnknownRules { rules, known }),
        _ => Ok(()),
    }
}
