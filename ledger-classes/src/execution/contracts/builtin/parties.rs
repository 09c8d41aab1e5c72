//! Who may take part, who stands behind an account, and whose offers are void: what keeps people from dealing with
//! themselves as far as the ledger can see it.

use crate::codec::{Decode, Encode};
use crate::execution::assets;
pub(super) use crate::execution::assets::is_void;
use crate::execution::contracts::Call;
use crate::execution::service::Stopped;
use crate::identity::{Identity, is_label};
use crate::keys::Address;
use crate::keyspace;
use crate::limits::ORGANIZATIONS_MAX;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::participant::Participant;
use crate::record;
use crate::state::{ReadError, ReadView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who may take part, by the organization in the participant record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parties {
    /// Whoever may call contracts on this channel.
    #[default]
    Any,
    /// Participants of these organizations.
    Organizations(Vec<String>),
}

impl Parties {
    /// Refuses a list that is empty or names an organization that is not a member of the channel.
    pub(super) fn check(&self, call: &Call<'_, '_>, what: &str) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Organizations(names) => check_organizations(call, names, what),
        }
    }

    pub(super) fn admit(&self, identity: Option<&Identity>) -> bool {
        match self {
            Self::Any => true,
            Self::Organizations(names) => belongs(names, identity),
        }
    }
}

/// Refuses a list of organizations that is empty or names one that is not a member of the channel.
pub(super) fn check_organizations(call: &Call<'_, '_>, names: &[String], what: &str) -> Result<(), Refusal> {
    if !(1..=ORGANIZATIONS_MAX).contains(&names.len()) || !names.iter().all(|name| is_label(name)) {
        return super::invalid(format!("{what} are 1 to {ORGANIZATIONS_MAX} organizations"));
    }
    match names.iter().find(|name| !call.config().is_member(name)) {
        Some(name) => reject(ResultCode::OrganizationUnknown, format!("{name} is not a member of this channel")),
        None => Ok(()),
    }
}

pub(super) fn belongs(names: &[String], identity: Option<&Identity>) -> bool {
    identity.is_some_and(|identity| names.iter().any(|name| name == identity.organization()))
}

fn participant(view: &dyn ReadView, address: &Address) -> Result<Option<Participant>, ReadError> {
    record::read(view, &keyspace::participant(address))
}

/// The identities behind an account.
fn identities(view: &dyn ReadView, account: &Address) -> Result<Vec<Identity>, ReadError> {
    let (_, controllers) = assets::controllers(view, account)?;
    let mut identities = Vec::new();
    for address in &controllers {
        identities.extend(participant(view, address)?.map(|record| record.identity));
    }
    Ok(identities)
}

/// Whether somebody stands behind both accounts: by a key, or by an identity with several keys.
pub(super) fn related(view: &dyn ReadView, one: &Address, other: &Address) -> Result<bool, ReadError> {
    let ((_, mine), (_, theirs)) = (assets::controllers(view, one)?, assets::controllers(view, other)?);
    let known: Vec<Identity> = identities(view, one)?;
    Ok(!mine.is_disjoint(&theirs) || identities(view, other)?.iter().any(|identity| known.contains(identity)))
}

/// Whether `party`, or who stands behind it, controls an asset, and so could pause it and freeze what is of it without
/// anybody else. Of a joint control as many keys as must sign are the party's: what others do with theirs is not its.
pub(super) fn controls(view: &dyn ReadView, asset: &str, party: &Address) -> Result<bool, ReadError> {
    let Some(record) = assets::asset(view, asset)? else { return Ok(false) };
    let party = assets::heir(view, party)?;
    let (needed, controllers) = assets::controllers(view, &assets::heir(view, &record.control_authority)?)?;
    let mut own = 0;
    for controller in &controllers {
        own += usize::from(related(view, controller, &party)?);
    }
    Ok(own >= needed)
}

/// Of what must move for an escrow, what `party` cannot stop: nobody's deadline waits for what it stops itself.
pub(super) fn beyond_control<'a>(
    view: &dyn ReadView,
    concerned: &[Stopped<'a>],
    party: &Address,
) -> Result<Vec<Stopped<'a>>, ReadError> {
    let mut beyond = Vec::new();
    for what in concerned {
        if !controls(view, what.asset(), party)? {
            beyond.push(*what);
        }
    }
    Ok(beyond)
}

/// The organizations behind an account.
pub(super) fn organizations(view: &dyn ReadView, account: &Address) -> Result<BTreeSet<String>, ReadError> {
    Ok(identities(view, account)?.iter().map(|identity| identity.organization().to_owned()).collect())
}
