//! How much an organization may do in a time of what costs it nothing and a channel keeps for ever.
//!
//! Each kind has a number that may be done at once, after a time without any, and a time after which one more is there.
//! Each organization has its own of each: who uses them up stands in nobody else's way, and what ends rights that the
//! channel knows of is of no kind and never waits. Block time decides, so every peer and every replay decides the same.

use super::super::Context;
use crate::formats::detail::{Detail, Often, Whose};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::limits::{
    ADMISSION_MS, ADMISSIONS_SAVED, CONFIG_CHANGE_MS, CONFIG_CHANGES_SAVED, NAMED_ACT_MS, NAMED_ACTS_SAVED,
    SUCCESSION_MS, SUCCESSIONS_SAVED, UNMET_REVOCATION_MS, UNMET_REVOCATIONS_SAVED,
};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::record::Record;

/// What has a pace. The numbers are in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Changes of the configuration that its proposals make: where another approval was needed it was given.
    Configuration = 1,
    /// Admissions of its people: whoever has a CA's key could make people without end.
    Admission = 2,
    /// Answers of its CAs about certificates that the channel has not met: whoever has a CA's key could make them
    /// without end, too.
    UnmetRevocation = 3,
    /// What its administrators say of names that the channel has not met, and that an identity may come back.
    NamedAct = 4,
    /// CAs that its keys have named as their successors, where a key came or was struck here by such a word itself: whoever
    /// has one key could make more without end.
    Succession = 5,
}

impl Kind {
    /// How many at once, the milliseconds until one more is there, and how a refusal is told.
    const fn figures(self) -> (u64, u64, ResultCode, Often) {
        let often = ResultCode::ActsTooFrequent;
        match self {
            Self::Configuration => {
                (CONFIG_CHANGES_SAVED, CONFIG_CHANGE_MS, ResultCode::ChangesTooFrequent, Often::Configuration)
            }
            Self::Admission => (ADMISSIONS_SAVED, ADMISSION_MS, often, Often::Admission),
            Self::UnmetRevocation => (UNMET_REVOCATIONS_SAVED, UNMET_REVOCATION_MS, often, Often::UnmetRevocation),
            Self::NamedAct => (NAMED_ACTS_SAVED, NAMED_ACT_MS, often, Often::NamedAct),
            Self::Succession => (SUCCESSIONS_SAVED, SUCCESSION_MS, often, Often::Succession),
        }
    }
}

/// Until when an organization has spent what it may do of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::execution) struct Pace {
    /// Block time at which all that may be saved is there again.
    pub(in crate::execution) full: Time,
}

impl Record for Pace {}

/// Takes one of what `organization` may do.
pub(super) fn spend(context: &mut Context<'_>, kind: Kind, organization: &str) -> Result<(), Refusal> {
    spend_several(context, kind, organization, 1)
}

/// Takes several of it at once: more than may be saved are never there.
pub(super) fn spend_several(
    context: &mut Context<'_>,
    kind: Kind,
    organization: &str,
    several: u64,
) -> Result<(), Refusal> {
    let (saved, each, code, often) = kind.figures();
    let key = keyspace::pace(kind as u8, organization);
    let now = context.time();
    let full = context.get::<Pace>(&key)?.map_or(now, |pace| pace.full.max(now));
    let whose = Whose::of(organization);
    if several > saved {
        return reject(code, Detail::TooManyAtOnce { organization: whose, several, saved });
    }
    let full = full.plus_millis(each * several);
    let ahead = full.millis_since(now);
    if ahead > saved * each {
        let next = now.plus_millis(ahead - saved * each);
        return reject(code, Detail::TooOften { organization: whose, often, from: next });
    }
    context.put(key, &Pace { full });
    Ok(())
}

/// Begins with one of what may be saved: whoever makes organizations must not make what each of them may do at once.
pub(super) fn begin(context: &mut Context<'_>, kind: Kind, organization: &str) -> Result<(), Refusal> {
    let (saved, each, ..) = kind.figures();
    let key = keyspace::pace(kind as u8, organization);
    let full = context.time().plus_millis((saved - 1) * each);
    let full = context.get::<Pace>(&key)?.map_or(full, |pace| pace.full.max(full));
    context.put(key, &Pace { full });
    Ok(())
}
