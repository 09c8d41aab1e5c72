//! Who may take part, who stands behind an account, and whose offers are void: what keeps people from dealing with
//! themselves as far as the ledger can see it.

use crate::execution::assets;
pub(super) use crate::execution::assets::is_void;
use crate::execution::contracts::Call;
use crate::execution::contracts::forms::invalid;
use crate::execution::service::Stopped;
use crate::formats::detail::{Detail, Part};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::ORGANIZATIONS_MAX;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::identity::{Identity, is_label};
use crate::state::keyspace;
use crate::state::participant::Participant;
use crate::state::record;
use crate::state::view::{ReadError, ReadView};
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
    pub(super) fn check(&self, call: &Call<'_, '_>, part: Part) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Organizations(names) => check_organizations(call, names, part),
        }
    }

    /// Whether all who may sign for `account` are of these.
    pub(super) fn admit(&self, view: &dyn ReadView, account: &Address) -> Result<bool, ReadError> {
        match self {
            Self::Any => Ok(true),
            Self::Organizations(names) => {
                let behind = signing_organizations(view, account)?;
                Ok(behind.is_some_and(|behind| behind.iter().all(|organization| names.contains(organization))))
            }
        }
    }
}

/// Refuses a list of organizations that is empty or names one that is not a member of the channel.
pub(super) fn check_organizations(call: &Call<'_, '_>, names: &[String], part: Part) -> Result<(), Refusal> {
    if !(1..=ORGANIZATIONS_MAX).contains(&names.len()) || !names.iter().all(|name| is_label(name)) {
        return invalid(Detail::Between { part, least: 1, most: ORGANIZATIONS_MAX as u64 });
    }
    match names.iter().find(|name| !call.config().is_member(name)) {
        Some(name) => reject(ResultCode::OrganizationUnknown, Detail::NotAMember { organization: name.into() }),
        None => Ok(()),
    }
}

pub(super) fn belongs(names: &[String], identity: Option<&Identity>) -> bool {
    identity.is_some_and(|identity| names.iter().any(|name| name == identity.organization()))
}

fn participant(view: &dyn ReadView, address: &Address) -> Result<Option<Participant>, ReadError> {
    record::read(view, &keyspace::participant(address))
}

/// Who stands behind an account: it and those who may sign for it, they and their successors, with their identities.
struct Behind {
    addresses: BTreeSet<Address>,
    identities: Vec<Identity>,
}

impl Behind {
    fn of(view: &dyn ReadView, account: &Address) -> Result<Self, ReadError> {
        let heir = assets::heir(view, account)?;
        let mut addresses = BTreeSet::from([*account, heir]);
        for account in [*account, heir] {
            addresses.extend(assets::controllers(view, &account)?.1);
        }
        let mut identities = Vec::new();
        for address in &addresses {
            identities.extend(participant(view, address)?.map(|record| record.identity));
        }
        Ok(Self { addresses, identities })
    }

    /// Whether somebody stands behind both: by a key, or by an identity with several keys.
    fn meets(&self, other: &Self) -> bool {
        !self.addresses.is_disjoint(&other.addresses)
            || self.identities.iter().any(|identity| other.identities.contains(identity))
    }
}

/// Whether somebody stands behind both accounts.
pub(super) fn related(view: &dyn ReadView, one: &Address, other: &Address) -> Result<bool, ReadError> {
    Ok(Behind::of(view, one)?.meets(&Behind::of(view, other)?))
}

/// Whether `party`, or who stands behind it, controls an asset, and so could pause it and freeze what is of it without
/// anybody else. Of a joint control as many keys as must sign are the party's: what others do with theirs is not its.
pub(super) fn controls(view: &dyn ReadView, asset: &str, party: &Address) -> Result<bool, ReadError> {
    let Some(record) = assets::asset(view, asset)? else { return Ok(false) };
    let party = Behind::of(view, party)?;
    let (needed, controllers) = assets::controllers(view, &assets::heir(view, &record.control_authority)?)?;
    let mut own = 0;
    for controller in &controllers {
        own += usize::from(
            party.addresses.contains(controller)
                || participant(view, controller)?.is_some_and(|record| party.identities.contains(&record.identity)),
        );
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
    let identities = Behind::of(view, account)?.identities;
    Ok(identities.iter().map(|identity| identity.organization().to_owned()).collect())
}

/// The organizations of all who may sign for an account, which is not always who signed first; `None` if one of them is no
/// participant.
pub(super) fn signing_organizations(
    view: &dyn ReadView,
    account: &Address,
) -> Result<Option<BTreeSet<String>>, ReadError> {
    let mut organizations = BTreeSet::new();
    for address in &assets::controllers(view, account)?.1 {
        let Some(record) = participant(view, address)? else { return Ok(None) };
        organizations.insert(record.identity.organization().to_owned());
    }
    Ok(Some(organizations))
}
