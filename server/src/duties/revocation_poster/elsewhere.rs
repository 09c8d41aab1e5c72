//! Participants whom the CRL of a CA elsewhere names, and whose answer nobody has brought: their participation goes on, and
//! this peer can only say so. Nothing is posted here.

use super::source::{Proven, name_of};
use crate::{
    duties::{Duties, Duty},
    identity::trust::Trust,
    limits::{NOTICE_EVERY, OBSTACLES_SHOWN_MAX, PAGE_MAX, REVOCATION_LOOK},
};
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle, Reader, Unavailable};
use ledger_classes::execution::ConfigRecord;
use ledger_classes::execution::channel::{NamedParticipant, participants};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::listing::Span;
use pki::{KeyId, Serial, trust::revocation::RevocationList};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Instant,
};
use tokio::sync::watch;

/// Why such a participation goes on.
const UNPROVEN: &str = "its CA's CRL names it, and the CA's answer was not brought: its organization runs \
    `chancery ca publish`";

/// Holds participants against CRLs.
pub(super) struct Elsewhere {
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    duties: Arc<Duties>,
    seen: HashMap<Hash, ChannelSeen>,
}

/// What was seen of a channel, and when.
struct ChannelSeen {
    height: u64,
    config: u64,
    crls: u64,
    at: Instant,
    /// Who is told of.
    unproven: HashSet<String>,
}

/// Lists of an organization's CAs.
type Lists = (Arc<str>, Arc<Vec<Arc<RevocationList>>>);

impl Elsewhere {
    pub(super) fn new(trust: Arc<Trust>, registry: Arc<ChannelRegistry>, duties: Arc<Duties>) -> Self {
        Self { trust, registry, duties, seen: HashMap::new() }
    }

    /// Looks again and again, at once when something else is proven.
    pub(super) async fn keep(mut self, mut told: watch::Receiver<Arc<Proven>>) -> Infallible {
        loop {
            let proven = Arc::clone(&told.borrow_and_update());
            self.look(&proven.own, &proven.names).await;
            // The sender lives beside this.
            let _ = tokio::time::timeout(REVOCATION_LOOK, told.changed()).await;
        }
    }

    /// Looks at channels that have moved. `own` are the keys of the CAs whose folder is here.
    async fn look(&mut self, own: &HashSet<KeyId>, proven: &HashSet<Arc<str>>) {
        let current = self.trust.store().revocation().current();
        let foreign = current.lists().any(|list| !list.is_empty() && !own.contains(&list.issuer()));
        // Of a peer with thousands of channels most have nothing to do with any of this.
        if !foreign && self.seen.is_empty() {
            return;
        }
        let crls = self.trust.store().revocation().generation();
        let channels = self.registry.list();
        let ids: HashSet<Hash> = channels.iter().filter_map(ChannelHandle::id).collect();
        self.seen.retain(|id, _| ids.contains(id));
        for channel in channels {
            let (Some(id), Some(config), LifeCycle::Serving) = (channel.id(), channel.config(), channel.state()) else {
                continue;
            };
            let height = channel.tip().height;
            // Others than those who are there seldom come with a revoked certificate: that has time.
            let is_known = |seen: &ChannelSeen| {
                let same = (seen.config, seen.crls) == (config.height, crls);
                same && (seen.height == height || seen.at.elapsed() < NOTICE_EVERY && seen.unproven.is_empty())
            };
            if self.seen.get(&id).is_some_and(is_known) {
                continue;
            }
            let mut of: Vec<Lists> = Vec::new();
            for member in &config.config.organizations {
                // As the channel lists them: another CA of that name says nothing of its members.
                let keys = member.authorities.iter().filter_map(|der| KeyId::of_certificate(&der.0));
                let keys = keys.filter(|key| !own.contains(key));
                let lists: Vec<_> = keys.filter_map(|key| current.list(&key).cloned()).collect();
                if lists.iter().any(|list| !list.is_empty()) {
                    of.push((member.name.as_str().into(), Arc::new(lists)));
                }
            }
            let at = Instant::now();
            let unproven = match unproven(&channel, &config, of, proven).await {
                Ok(unproven) => unproven,
                // It is looked at again.
                Err(error) => {
                    tracing::warn!(channel = channel.name(), %error, "participants cannot be held against CRLs");
                    continue;
                }
            };
            let before = self.seen.insert(id, ChannelSeen { height, config: config.height, crls, at, unproven });
            let now = &self.seen[&id].unproven;
            self.tell(channel.name(), before.map(|seen| seen.unproven).unwrap_or_default(), now, proven);
        }
    }

    fn tell(&self, channel: &str, before: HashSet<String>, now: &HashSet<String>, proven: &HashSet<Arc<str>>) {
        for certificate in now {
            if self.duties.hinder(channel, Duty::Revocation, certificate, UNPROVEN) {
                tracing::error!(channel, certificate, reason = UNPROVEN, "a revocation waits");
            }
        }
        // What is proven is told of, or done, by who brings it to the channel.
        for certificate in before.difference(now).filter(|name| !proven.contains(name.as_str())) {
            self.duties.done(channel, Duty::Revocation, certificate);
        }
    }
}

/// Admitted participants whom these lists name, without those that are `proven`. As many as status shows are enough.
async fn unproven(
    channel: &ChannelHandle,
    config: &Arc<ConfigRecord>,
    of: Vec<Lists>,
    proven: &HashSet<Arc<str>>,
) -> Result<HashSet<String>, Unavailable> {
    let mut named = HashSet::new();
    for (organization, lists) in of {
        let mut span = Span::first(PAGE_MAX);
        loop {
            let (config, organization, asked) = (Arc::clone(config), Arc::clone(&organization), span.clone());
            // Page by page, so that nobody waits for all of a long list.
            let look =
                move |reader: &Reader<'_>| participants(reader.view(), &config.config, Some(&organization), &asked);
            let page = channel.glance(look).await?;
            for NamedParticipant { record, .. } in page.items {
                let Ok(serial) = hex::encode(&record.serial.0).parse::<Serial>() else { continue };
                let name = name_of(&record.identity, &serial);
                let is_on = |list: &Arc<RevocationList>| {
                    Hash(*list.issuer().as_bytes()) == record.issuer && list.contains(&serial)
                };
                let is_named = record.revoked_height.is_none() && lists.iter().any(is_on);
                if is_named && !proven.contains(name.as_str()) {
                    named.insert(name);
                }
            }
            span.after = page.next;
            if span.after.is_none() || named.len() >= OBSTACLES_SHOWN_MAX {
                break;
            }
        }
    }
    Ok(named)
}
