//! What one may ask about participants and proposals.

use super::proposals::Proposal;
use super::subject::Subject;
use crate::execution::budget;
use crate::formats::config::{ChannelConfig, ConfigChange};
use crate::keys::Address;
use crate::primitives::hash::Hash;
use crate::state::keyspace::Family;
use crate::state::listing::{Listed, Span, list};
use crate::state::participant::Participant;
use crate::state::view::{ReadError, ReadView};
use crate::state::{keyspace, record};
use serde::Serialize;

/// A participant with its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedParticipant {
    /// The address.
    pub address: Address,
    /// The record.
    #[serde(flatten)]
    pub record: Participant,
}

/// A proposal with its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedProposal {
    /// The transaction that proposed.
    pub id: Hash,
    /// The record.
    #[serde(flatten)]
    pub record: Proposal,
}

/// A proposal, open or not.
pub fn proposal(view: &dyn ReadView, id: &Hash) -> Result<Option<NamedProposal>, ReadError> {
    Ok(record::read(view, &keyspace::proposal(id))?.map(|record| NamedProposal { id: *id, record }))
}

/// What a proposal would change of the configuration, or `None` if it is unknown or about something else; and the work of
/// reading it, in steps.
pub(crate) fn changes(view: &dyn ReadView, id: &Hash) -> Result<(Option<Vec<ConfigChange>>, u64), ReadError> {
    let value = view.get(&keyspace::proposal(id))?;
    let steps = budget::of_value(value.as_ref().map_or(0, |value| value.len()));
    let found: Option<Proposal> = value.map(|value| record::from_value(&value)).transpose()?;
    let changes = found.and_then(|proposal| match proposal.subject {
        Subject::Configuration(changes) => Some(changes),
        Subject::Recovery(_) => None,
    });
    Ok((changes, steps))
}

/// Open proposals in the order in which they were made.
pub fn open_proposals(view: &dyn ReadView, span: &Span) -> Result<Listed<NamedProposal>, ReadError> {
    list(view, &keyspace::key(Family::OpenProposal, &[]), span, |view, place, _| {
        let damaged = || ReadError("the list of open proposals is damaged".into());
        let id = place.get(8..).and_then(|id| id.try_into().ok()).map(Hash).ok_or_else(damaged)?;
        proposal(view, &id)?.ok_or_else(damaged)
    })
}

/// Participants in the order of identity and address, of one member organization if that is given. Those whose
/// certificate was revoked or has expired are among them.
pub fn participants(
    view: &dyn ReadView,
    config: &ChannelConfig,
    organization: Option<&str>,
    span: &Span,
) -> Result<Listed<NamedParticipant>, ReadError> {
    // An identity is `spiffe://<consortium>/<organization>/<role>/<name>`: those of an organization lie together.
    let of = organization.map(|name| format!("spiffe://{}/{name}/", config.consortium)).unwrap_or_default();
    list(view, &keyspace::key(Family::IdentityAddress, &[of.as_bytes()]), span, |view, listed, _| {
        let damaged = || ReadError("the list of participants is damaged".into());
        let at = listed.len().checked_sub(20).ok_or_else(damaged)?;
        let address = Address(listed[at..].try_into().map_err(|_| damaged())?);
        let record = record::read(view, &keyspace::participant(&address))?.ok_or_else(damaged)?;
        Ok(NamedParticipant { address, record })
    })
}
