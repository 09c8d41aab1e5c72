//! What the number `rules` of a channel's configuration names, so that formats can grow after they are kept: the actions and
//! changes, result codes, encodings of payloads, signature schemes, engines, contracts, witness policies, path rules and
//! budgets in force. `docs/formats/rules.txt` lists what came with which number.
//!
//! Relations that always hold: whatever a block does is judged by the number in force at it, and a change that raises the
//! number by the one that it raises; what a later number brings is refused until then, also inside of an action that is
//! older; a channel whose number a build does not know halts there, since that build cannot tell which of its blocks are
//! valid; below it, both decide alike. A later number narrows nothing that a configuration in force may have: else no
//! change would be valid above it.

use crate::action::Action;
use crate::action::channel::Propose;
use crate::formats::config::{ConfigChange, Engine, Witnesses};
use crate::formats::transaction::Encoding;
use crate::keys::Scheme;
use crate::state::participant::PathRules;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number that programs know, and that new channels have.
pub const RULES: u32 = 1;

/// The next one, as far as it is tried: several ordering peers with the engine `raft`, and witnesses. Nothing of it is
/// fixed before [`RULES`] is this number, and no channel that a program makes or opens has it.
#[doc(hidden)]
pub const NEXT: u32 = 2;

static KNOWS_NEXT: AtomicBool = AtomicBool::new(false);

/// From now on this process knows [`NEXT`], too: for tests and the simulator. No program does this.
#[doc(hidden)]
pub fn know_next() {
    KNOWS_NEXT.store(true, Ordering::Relaxed);
}

/// The highest number that this process knows.
pub fn known() -> u32 {
    if KNOWS_NEXT.load(Ordering::Relaxed) { NEXT } else { RULES }
}

/// The engines, each with the number that it came with.
const ENGINES: &[(u32, Engine)] = &[(1, Engine::Solo), (NEXT, Engine::Raft)];

/// The policies of witnesses, each with the number that it came with.
const WITNESSES: &[(u32, Witnesses)] = &[(1, Witnesses::Own), (NEXT, Witnesses::Quorum), (NEXT, Witnesses::All)];

/// Whether a channel may have this engine where this number is in force.
pub fn has_engine(in_force: u32, engine: Engine) -> bool {
    ENGINES.iter().any(|(since, one)| *one == engine && *since <= in_force)
}

/// Whether a channel may have this policy of witnesses where this number is in force.
pub fn has_witnesses(in_force: u32, policy: Witnesses) -> bool {
    WITNESSES.iter().any(|(since, one)| *one == policy && *since <= in_force)
}

/// The number that a transaction's form came with: how its payload is written, what its signers sign with, and its actions.
/// A program of an earlier number cannot read it at all.
pub fn since(encoding: Encoding, schemes: impl IntoIterator<Item = Scheme>, actions: &[Action]) -> u32 {
    let encoding = match encoding {
        Encoding::Genesis | Encoding::Binary | Encoding::Json => 1,
    };
    let schemes = schemes.into_iter().map(scheme_since);
    schemes.chain(actions.iter().map(action_since)).fold(encoding, u32::max)
}

/// The number that a scheme came with.
pub(crate) const fn scheme_since(scheme: Scheme) -> u32 {
    match scheme {
        Scheme::Ed25519 | Scheme::EcdsaP256 => 1,
    }
}

/// The number that an action came with, with all that is in it. Whoever adds an action, or gives one another form inside,
/// says here that it is of a later number than those of before.
pub(crate) fn action_since(action: &Action) -> u32 {
    match action {
        Action::ChannelPropose(Propose { changes, .. }) => changes.iter().map(change_since).fold(1, u32::max),
        _ => 1,
    }
}

/// The number that a change came with, with all that is in it.
pub(crate) const fn change_since(_: &ConfigChange) -> u32 {
    1
}

/// The rules of certificate paths, each with the number that it came with, ascending.
const PATHS: &[(u32, PathRules)] = &[(1, PathRules::V1)];

/// Which certificate paths are good where this number is in force.
pub fn path_rules(in_force: u32) -> PathRules {
    let newest = PATHS.iter().rev().find(|(since, _)| *since <= in_force);
    newest.map_or(PathRules::V1, |(_, rules)| *rules)
}

/// The version of configuration records that blocks write where this number is in force. So the block that raises the number
/// writes what a program of the number before can write, too.
pub const fn configuration_version(_in_force: u32) -> u8 {
    1
}

/// Whether a change raises a channel's rules to a number that this process does not know. No proposer of this build puts that
/// into a block, neither the proposal nor an approval of it: it could make none after it takes effect.
pub fn is_ahead(changes: &[ConfigChange]) -> bool {
    let raises = |change: &ConfigChange| matches!(change, ConfigChange::SetRules { rules } if *rules > known());
    changes.iter().any(raises)
}

#[cfg(test)]
mod tests;
