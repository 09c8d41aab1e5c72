//! What the number `rules` of a channel's configuration names, so that formats can grow after they are kept: the actions and
//! changes, result codes, signature schemes, engines, contracts, witness policies, path rules and budgets in force.
//! `docs/formats/rules.txt` lists what came with which number.
//!
//! Relations that always hold: what a later number brings is refused until a change raises the number; a channel whose
//! number a build does not know halts there, since that build cannot tell which of its blocks are valid; below it, both
//! decide alike.

use crate::action::Action;
use crate::action::channel::Propose;
use crate::formats::config::ConfigChange;
use crate::state::participant::PathRules;

/// The number that this build knows, and that new channels have.
pub const RULES: u32 = 1;

/// The number that an action came with. Whoever adds one says here that it is of a later number than those of before.
pub const fn since(_: &Action) -> u32 {
    1
}

/// The rules of certificate paths, each with the number that it came with, ascending.
const PATHS: &[(u32, PathRules)] = &[(1, PathRules::V1)];

/// Which certificate paths are good where this number is in force.
pub fn path_rules(number: u32) -> PathRules {
    let in_force = PATHS.iter().rev().find(|(since, _)| *since <= number);
    in_force.map_or(PathRules::V1, |(_, rules)| *rules)
}

/// Whether an action would raise a channel's rules to a number that this build does not know: no proposer of this build puts
/// it into a block, because it could make none after it takes effect.
pub fn is_ahead(action: &Action) -> bool {
    let raises = |change: &ConfigChange| matches!(change, ConfigChange::SetRules { rules } if *rules > RULES);
    matches!(action, Action::ChannelPropose(Propose { changes, .. }) if changes.iter().any(raises))
}

#[cfg(test)]
mod tests;
