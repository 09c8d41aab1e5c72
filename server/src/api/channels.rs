//! Channels: what the caller may see, and creation by this organization's administrators.

use super::{
    answer::{Pieces, in_json, made, sliced},
    body,
    media::json_with,
    parameters::Query,
    query::{PageQuery, write_items},
    slices::TrustSlices,
};
use crate::{
    api::{
        access::{self, Visible},
        context::PeerContext,
    },
    certificates::{authority_keys::key_of, paths::ParticipantPaths},
    clock,
    limits::JSON_BODY_BYTES_MAX,
    net::caller::Caller,
    problem::{ApiError, Kind},
    setup::init::{MAIN, random_salt, usual_grants},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Path, Payload},
};
use channel_actors::{CreateError, LifeCycle, store::DiskUse};
use client::api::{ChannelSpec, ChannelState, ChannelView, DiskUseView, QueueView};
use ledger_classes::formats::config::{ChannelConfig, Engine, Fees, OrderingPeer, Organization, Witnesses};
use ledger_classes::formats::rights::{Grant, Grantee, Right, Rights};
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::state::listing::Span;
use std::{collections::BTreeSet, sync::Arc};

/// A channel as somebody with these rights sees it. Looks at its files, if it did not lately.
pub(super) fn view(visible: &Visible, with_config: bool) -> ChannelView {
    let channel = &visible.channel;
    let (tip, queue, config) = (channel.tip(), channel.queue(), channel.config());
    let open = |choice: fn(&ChannelConfig) -> bool| config.as_ref().is_some_and(|record| choice(&record.config));
    // Who sees only that it has halted is no member.
    let shown = config.as_ref().filter(|_| with_config && !visible.rights.is_empty());
    // As of lists of participants: whoever may only post, or see another class, sees nobody's name.
    let shown = shown.map(|record| {
        let mut config = record.config.clone();
        if visible.governance().is_err() {
            config.grants.retain(|grant| matches!(grant.to, Grantee::Organization(_)));
        }
        (config, record.height)
    });
    ChannelView {
        name: channel.name().into(),
        id: channel.id().unwrap_or_default(),
        height: tip.height,
        tip: tip.hash,
        time: tip.time,
        state: state(channel.state()),
        rights: visible.rights,
        public_read: open(|config| config.public_read),
        open_submit: open(|config| config.open_submit),
        queue: QueueView {
            transactions: queue.transactions.into(),
            bytes: queue.bytes.into(),
            subscriptions: queue.subscriptions,
        },
        disk: [Right::Admin, Right::Audit].iter().any(|right| visible.rights.allows(*right)).then(|| {
            let DiskUse { bytes, waiting, bytes_max } = channel.disk_use();
            DiskUseView { bytes, bytes_waiting: waiting, bytes_max }
        }),
        config_height: shown.as_ref().map(|(_, height)| *height),
        config: shown.map(|(config, _)| config),
    }
}

fn state(state: LifeCycle) -> ChannelState {
    match state {
        LifeCycle::Opening => ChannelState::Opening,
        LifeCycle::Replaying { done, of } => ChannelState::Replaying { done, of },
        LifeCycle::Serving => ChannelState::Serving,
        LifeCycle::Draining => ChannelState::Draining,
        LifeCycle::Closed => ChannelState::Closed,
        LifeCycle::Halted { reason } => ChannelState::Halted { reason },
    }
}

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let Span { after, limit, .. } = query.into_inner().span()?;
    // One more tells whether there is another page.
    let mut visible = access::list(&context.registry, context.asking(&caller), after.as_deref(), limit + 1);
    let more = visible.len() > limit;
    visible.truncate(limit);
    let next = visible.last().filter(|_| more).map(|last| hex::encode(last.channel.name()));
    let page = move |out: &mut Pieces| {
        // A list over channels reflects no single height; the highest one tells how recent it is.
        let height = visible.iter().map(|visible| visible.channel.tip().height).max().unwrap_or_default();
        let items = visible.iter().map(|visible| Ok(view(visible, false)));
        write_items(out, height, items, next, |last| visible.get(last).map(|last| hex::encode(last.channel.name())))
    };
    made(&context, &caller, in_json(), page).await
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.any_channel(&caller, &path)?;
    let channel = move |out: &mut Pieces| out.json(&view(&visible, true));
    made(&context, &caller, in_json(), channel).await
}

/// The way from genesis to the configuration in force: what a verifier needs once.
pub(super) async fn trust(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    let trust = TrustSlices::default();
    sliced(&context, &caller, &visible, trust).await
}

pub(super) async fn create(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let admin = administrator(&context, &caller)?;
    context.accepting()?;
    let spec: ChannelSpec = body::read_json(&request, payload, JSON_BODY_BYTES_MAX).await?;
    // A CA that lies in the folder, but was not looked at yet.
    let trust = Arc::clone(&context.trust);
    web::block(move || trust.poll()).await.map_err(|_| Kind::Unavailable)?;
    // Both may have changed since: who the caller is, and who administers this peer.
    caller.check(&context.trust)?;
    administrator(&context, &caller)?;
    let config = configuration(&context, spec)?;
    check_own_authorities(&config, &caller, admin)?;
    let name = config.name.clone();
    let channel = match context.registry.create(config).await {
        Ok(channel) => channel,
        Err(error @ CreateError::Exists(_)) => {
            let halted = context.registry.by_name(&name).as_ref().and_then(access::halted);
            let halted = halted.map(|reason| format!(", and has halted: {reason}")).unwrap_or_default();
            return Err(ApiError::new(Kind::ChannelExists, format!("{error}{halted}")));
        }
        Err(CreateError::Invalid(what)) => return Err(ApiError::new(Kind::ConfigurationInvalid, what)),
        Err(error @ CreateError::TooMany) => return Err(ApiError::new(Kind::Busy, error.to_string())),
        Err(CreateError::Disk(trouble)) => return Err(ApiError::disk(trouble)),
        Err(error @ CreateError::Broken(_)) => {
            tracing::error!(channel = name, %error, "not created");
            return Err(Kind::Broken.into());
        }
    };
    let record = channel.config().ok_or(Kind::Unavailable)?;
    tracing::info!(channel = name, by = %admin, "a channel was created");
    let rights = access::visible_rights(&record.config, &caller);
    let purse = context.purse(&caller);
    json_with(StatusCode::CREATED, &view(&Visible { channel, rights, purse }, true))
}

/// Only administrators of the peer's own organization make channels on it.
fn administrator<'a>(context: &PeerContext, caller: &'a Caller) -> Result<&'a Identity, ApiError> {
    let identity = caller.identity().ok_or(Kind::CertificateRequired)?;
    match access::administers(&context.registry, context.asking(caller)) {
        true => Ok(identity),
        false => {
            Err(ApiError::new(Kind::Forbidden, "only administrators of the peer's organization create channels on it"))
        }
    }
}

/// The CA certificates of an organization, where a specification names none. A name alone says nothing of a CA: it is one
/// that `main` lists for the organization, or the only one that this peer trusts.
fn known_authorities(context: &PeerContext, organization: &str) -> Result<Vec<HexBytes>, ApiError> {
    let invalid = |what: String| ApiError::new(Kind::ConfigurationInvalid, what);
    let mut known = context.trust.authorities_of(organization);
    let main = context.registry.by_name(MAIN).and_then(|main| main.config());
    let listed = main.and_then(|record| {
        record.config.organizations.iter().find(|member| member.name == organization).map(|of| of.authorities.clone())
    });
    if let Some(listed) = listed {
        // Of several certificates of one CA the newest.
        let keys: BTreeSet<_> = listed.iter().filter_map(|der| key_of(&der.0)).collect();
        known.retain(|der| key_of(&der.0).is_some_and(|key| keys.contains(&key)));
        return Ok(if known.is_empty() { listed } else { known });
    }
    let keys: BTreeSet<_> = known.iter().filter_map(|der| key_of(&der.0)).collect();
    match keys.len() {
        0 => Err(invalid(format!(
            "this peer knows no CA of {organization}: have it trust the one that is elsewhere (`chancery ca trust add`), \
             give its certificates, or make one (`chancery ca organization`)"
        ))),
        1 => Ok(known),
        count => Err(invalid(format!(
            "this peer trusts {count} CAs of {organization}: name the certificates of the one that the channel accepts"
        ))),
    }
}

/// A channel on which no listed CA vouches for its creator would be hidden from it, and from everybody of its organization.
fn check_own_authorities(config: &ChannelConfig, caller: &Caller, admin: &Identity) -> Result<(), ApiError> {
    let Some(own) = config.organizations.iter().find(|member| member.name == admin.organization()) else {
        return Ok(());
    };
    let vouches = |der: &HexBytes| key_of(&der.0).is_some_and(|key| caller.authorities().contains(&key));
    match own.authorities.iter().any(vouches) {
        true => Ok(()),
        false => {
            let what =
                "none of the CA certificates given vouches for your own certificate: you could not see the channel";
            Err(ApiError::new(Kind::ConfigurationInvalid, format!("a CA certificate of {}: {what}", own.name)))
        }
    }
}

/// What the specification leaves open, filled in: this peer orders, members' CAs are those that this peer trusts.
fn configuration(context: &PeerContext, spec: ChannelSpec) -> Result<ChannelConfig, ApiError> {
    let invalid = |what: String| ApiError::new(Kind::ConfigurationInvalid, what);
    let mut organizations = Vec::with_capacity(spec.organizations.len());
    for organization in spec.organizations {
        let given = organization.authorities;
        let authorities = if given.is_empty() { known_authorities(context, &organization.name)? } else { given };
        let title = organization.title.unwrap_or_else(|| organization.name.clone());
        organizations.push(Organization { name: organization.name, title, authorities });
    }
    let member = |name: &str| organizations.iter().any(|organization| organization.name == name);
    let mut grants = spec.grants;
    if grants.is_empty() {
        let names = organizations.iter().map(|organization| organization.name.as_str());
        grants = usual_grants(names, &context.identity);
        if !member(context.identity.organization()) {
            grants.pop();
        }
    } else if !grants.iter().any(|grant| grant.rights.allows(Right::Admin)) {
        // A channel that nobody administers could never change: unless the specification names somebody, the
        // administrators of each member do.
        for organization in &organizations {
            let admin = Grant {
                to: Grantee::Organization(organization.name.clone()),
                rights: Rights::from_iter([Right::Admin]),
            };
            match grants.iter_mut().find(|grant| grant.to == admin.to) {
                Some(grant) => grant.rights = grant.rights.union(admin.rights),
                None => grants.push(admin),
            }
        }
    }
    let config = ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: spec.name,
        consortium: context.identity.consortium().into(),
        created: clock::now(),
        salt: random_salt().map_err(|error| {
            tracing::error!(%error, "a channel needs random numbers");
            ApiError::from(Kind::Broken)
        })?,
        engine: spec.engine.unwrap_or(Engine::Solo),
        peers: vec![OrderingPeer { identity: context.identity.clone(), key: context.seal_key, weight: 1 }],
        threshold: 1,
        organizations,
        grants,
        public_read: spec.public_read,
        open_submit: spec.open_submit,
        limits: spec.limits.unwrap_or_default(),
        fees: Fees::default(),
        approvals: spec.approvals.unwrap_or_default(),
        witnesses: Witnesses::default(),
        budgets: spec.budgets.unwrap_or_default(),
    };
    config.check_founding(&ParticipantPaths).map_err(|error| invalid(error.0.to_string()))?;
    Ok(config)
}
