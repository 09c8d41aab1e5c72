//! Who may sign on a channel, and what is proposed there, one by one and as lists, under one rule
//! ([`Visible::governance`](crate::api::access::Visible::governance)): members must see what decides about their
//! transactions, whoever may only post or see another class sees nobody's name.

use super::answer::{Pieces, in_json, written};
use super::parameters::Query;
use super::query::{PageQuery, address, hash, one, span, write_page};
use crate::{
    api::context::PeerContext,
    certificates::paths::ParticipantPaths,
    identity::trust::Trust,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use channel_actors::Reader;
use client::api::{
    ApprovalView, AuthorityChange, ParticipantStanding, ParticipantView, ProposalView, ProposedAuthorityView,
    RecoveryView,
};
use ledger_classes::execution::assets::Recovery;
use ledger_classes::execution::audit::in_words;
use ledger_classes::execution::channel::{NamedParticipant, NamedProposal, ProposalState, Subject};
use ledger_classes::execution::{Members, channel, config_of};
use ledger_classes::formats::config::{ChannelConfig, ConfigChange};
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::is_label;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{KnownIdentity, Participant};
use ledger_classes::state::view::{ReadError, ReadView};
use ledger_classes::state::{keyspace, record};
use pki::DescribedAuthority;
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc};

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, participant) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.governance()?;
    let (address, time) = (address(&participant)?, visible.channel.tip().time);
    one(&visible, Kind::ParticipantUnknown, move |view| {
        let record = record::read::<Participant>(view, &keyspace::participant(&address))?;
        let Some(record) = record else { return Ok(None) };
        let config = config_of(view)?.config;
        let members = Members::new(&config, &ParticipantPaths);
        Ok(Some(participant_view(view, &members, &NamedParticipant { address, record }, time)?))
    })
    .await
}

/// Which participants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParticipantsQuery {
    organization: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<ParticipantsQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.governance()?;
    let ParticipantsQuery { organization, after, limit } = query.into_inner();
    if organization.as_deref().is_some_and(|name| !is_label(name)) {
        return Err(ApiError::new(Kind::InvalidParameter, "organization: 1 to 64 of a-z, 0-9 and hyphen"));
    }
    let (span, time) = (span(after.as_deref(), limit)?, visible.channel.tip().time);
    let page = move |reader: &Reader<'_>, out: &mut Pieces| {
        let config = config_of(reader.view())?.config;
        let members = Members::new(&config, &ParticipantPaths);
        let listed = channel::participants(reader.view(), &config, organization.as_deref(), &span)?;
        write_page(out, reader.height(), &listed, |participant| {
            participant_view(reader.view(), &members, participant, time)
        })
    };
    written(&visible, in_json(), page).await
}

fn participant_view(
    view: &dyn ReadView,
    members: &Members<'_>,
    participant: &NamedParticipant,
    time: Time,
) -> Result<ParticipantView, ReadError> {
    let NamedParticipant { address, record } = participant;
    let standing = match members.standing(view, Some(record), time)? {
        Ok(()) => ParticipantStanding::Admitted,
        Err(ResultCode::ParticipantIsExpired) => ParticipantStanding::Expired,
        Err(ResultCode::ParticipantIsUnvouched) => ParticipantStanding::Unvouched,
        Err(_) => ParticipantStanding::Revoked,
    };
    // Who ended is revoked as well, and does not come back by another certificate.
    let known: Option<KnownIdentity> = match standing {
        ParticipantStanding::Admitted => None,
        _ => record::read(view, &keyspace::identity(&record.identity.to_string()))?,
    };
    let ended_height = known.filter(KnownIdentity::is_ended).and_then(|known| known.ended_height);
    let standing = if ended_height.is_some() { ParticipantStanding::Ended } else { standing };
    Ok(ParticipantView {
        address: *address,
        identity: record.identity.to_string(),
        organization: record.identity.organization().into(),
        role: record.identity.role().text().into(),
        standing,
        serial: record.serial.clone(),
        not_after: record.not_after,
        admitted_height: record.admitted_height,
        revoked_height: record.revoked_height,
        ended_height,
    })
}

pub(super) async fn proposal(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, proposal) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.governance()?;
    let (id, time, trust) = (hash(&proposal)?, visible.channel.tip().time, Arc::clone(&context.trust));
    one(&visible, Kind::ProposalUnknown, move |view| {
        let Some(proposal) = channel::proposal(view, &id)? else { return Ok(None) };
        let config = config_of(view)?.config;
        Ok(Some(proposal_view(view, &Members::new(&config, &ParticipantPaths), &trust, &proposal, time)?))
    })
    .await
}

pub(super) async fn proposals(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.governance()?;
    let (span, time) = (query.into_inner().span()?, visible.channel.tip().time);
    let trust = Arc::clone(&context.trust);
    let page = move |reader: &Reader<'_>, out: &mut Pieces| {
        let config = config_of(reader.view())?.config;
        let members = Members::new(&config, &ParticipantPaths);
        let listed = channel::open_proposals(reader.view(), &span)?;
        write_page(out, reader.height(), &listed, |proposal| {
            proposal_view(reader.view(), &members, &trust, proposal, time)
        })
    };
    written(&visible, in_json(), page).await
}

/// The CAs of the members whose entries these changes, all of them done, leave other than they are.
fn authorities(
    config: &ChannelConfig,
    changes: &[ConfigChange],
    trust: &Trust,
) -> Result<Vec<ProposedAuthorityView>, ReadError> {
    let mut next = config.clone();
    changes.iter().for_each(|change| change.apply(&mut next));
    let touched: BTreeSet<&str> = changes
        .iter()
        .filter_map(|change| match change {
            ConfigChange::PutOrganization(member) => Some(member.name.as_str()),
            ConfigChange::RemoveOrganization { name } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let mut all = Vec::new();
    for member in touched {
        let (now, then) = (described(config, member)?, described(&next, member)?);
        let has = |list: &[(&HexBytes, DescribedAuthority)], key| list.iter().any(|(_, one)| one.key == key);
        let kept = |key| if has(&now, key) { AuthorityChange::Keeps } else { AuthorityChange::Lists };
        let stay = then.iter().map(|(der, one)| (kept(one.key), *der, one));
        let go =
            now.iter().filter(|(_, one)| !has(&then, one.key)).map(|(der, one)| (AuthorityChange::Drops, *der, one));
        all.extend(stay.chain(go).map(|(change, der, one)| ProposedAuthorityView {
            change,
            member: member.to_owned(),
            subject: one.subject.clone(),
            organization: one.organization.clone(),
            key: Hash(*one.key.as_bytes()),
            serial: HexBytes(one.serial.as_bytes().to_vec()),
            not_after: one.not_after,
            compromised: trust.knows_as_compromised(der, one.key),
        }));
    }
    Ok(all)
}

/// A member's CAs. Nothing is listed or proposed that is no CA certificate.
fn described<'a>(
    config: &'a ChannelConfig,
    member: &str,
) -> Result<Vec<(&'a HexBytes, DescribedAuthority)>, ReadError> {
    let member = config.organizations.iter().find(|of| of.name == member);
    let all = member.into_iter().flat_map(|member| &member.authorities);
    all.map(|der| Ok((der, DescribedAuthority::of_certificate(&der.0).map_err(|error| ReadError(error.to_string()))?)))
        .collect()
}

/// A proposal, with which of its approvals count now and what it still needs under the configuration in force.
fn proposal_view(
    view: &dyn ReadView,
    members: &Members<'_>,
    trust: &Trust,
    proposal: &NamedProposal,
    time: Time,
) -> Result<ProposalView, ReadError> {
    let (NamedProposal { id, record }, config) = (proposal, members.config());
    let (state, counted) = (record.state_at(view, members, time)?, record.counted(view, members, time)?);
    let organizations: Vec<&str> = counted.iter().map(|approval| approval.by.organization()).collect();
    let names = config.organizations.iter().map(|member| &member.name);
    let missing = names.filter(|name| !organizations.contains(&name.as_str()));
    let open = state == ProposalState::Open;
    let (kind, changes, recovery) = match &record.subject {
        Subject::Configuration(changes) => ("configuration", changes.clone(), None),
        Subject::Recovery(Recovery { from, to, asset }) => {
            ("recovery", Vec::new(), Some(RecoveryView { from: *from, to: *to, asset: asset.clone() }))
        }
    };
    Ok(ProposalView {
        id: *id,
        kind: kind.into(),
        state: serde_json::to_value(state)
            .ok()
            .and_then(|state| Some(state.as_str()?.to_owned()))
            .ok_or_else(|| ReadError("a proposal's state has no name".into()))?,
        summary: in_words(&record.subject),
        authorities: authorities(config, &changes, trust)?,
        changes,
        recovery,
        reason: record.reason.clone(),
        by: record.by.to_string(),
        proposed_height: record.proposed_height,
        ended_height: record.ended_height,
        approvals: record
            .approvals
            .iter()
            .map(|approval| ApprovalView {
                organization: approval.by.organization().into(),
                by: approval.by.to_string(),
                approved_height: approval.approved_height,
                counts: counted.contains(&approval),
            })
            .collect(),
        approvals_given: counted.len(),
        approvals_needed: record.needed(view, config, &counted)?,
        not_yet: if open { missing.cloned().collect() } else { Vec::new() },
    })
}
