//! Since when an organization is a member, and what is open of it.

use crate::execution::{Context, Members};
use crate::formats::outcome::Refusal;
use crate::limits::PROPOSALS_OPEN_MAX;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::state::keyspace;
use crate::state::keyspace::Family;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

/// Since when an organization is a member, if it was not from the beginning: what it did before it left is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub(in crate::execution) struct Membership {
    /// The block that set the configuration.
    pub(in crate::execution) since: u64,
}

impl Record for Membership {}

/// Whether an organization is a member and was one at a height, without a break.
pub(super) fn was_member(
    view: &dyn ReadView,
    members: &Members<'_>,
    organization: &str,
    height: u64,
) -> Result<bool, ReadError> {
    if !members.config().is_member(organization) {
        return Ok(false);
    }
    let joined: Option<Membership> = record::read(view, &keyspace::membership(organization))?;
    Ok(joined.is_none_or(|joined| joined.since < height))
}

/// Where an organization's open proposals are listed, and their ids.
pub(super) fn own_proposals(context: &Context<'_>, organization: &str) -> Result<Vec<(Vec<u8>, Hash)>, Refusal> {
    let prefix = keyspace::key(Family::OwnProposal, &[organization.as_bytes(), &[0]]);
    let mut found = Vec::new();
    for (place, _) in view::scan(context, &prefix, &prefix, PROPOSALS_OPEN_MAX)? {
        let id = place.get(prefix.len() + 8..).and_then(|id| id.try_into().ok()).map(Hash);
        let id = id.ok_or_else(|| ReadError("the list of an organization's proposals is damaged".into()))?;
        found.push((place.to_vec(), id));
    }
    Ok(found)
}

/// What an organization that leaves has proposed is none of its open proposals if it comes back.
pub(super) fn forget(context: &mut Context<'_>, organization: &str) -> Result<(), Refusal> {
    for (place, _) in own_proposals(context, organization)? {
        context.remove(place);
    }
    Ok(())
}
