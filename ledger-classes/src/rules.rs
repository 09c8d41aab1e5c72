//! What the number `rules` of a channel's configuration names, so that formats can grow after they are kept: the actions and
//! changes, result codes with their details, events, encodings of payloads, signature schemes, engines, contracts, witness
//! policies, path rules and budgets in force. `docs/formats/rules.txt` lists what came with which number.
//!
//! Relations that always hold: whatever a block does is judged by the number in force at it, and a change that raises the
//! number by the one that it raises; what a later number brings is refused until then, also inside of an action that is
//! older; a channel whose number a build does not know halts there, since that build cannot tell which of its blocks are
//! valid; below it, both decide alike. A later number narrows nothing that a configuration in force may have: else no
//! change would be valid above it.

mod since;

#[cfg(test)]
pub(crate) use since::with_later;
pub(crate) use since::{action_since, code_since, detail_since, event_since};
pub use since::{raises_beyond_known, since};

use crate::formats::config::{Engine, Witnesses};
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

#[cfg(test)]
mod tests;
