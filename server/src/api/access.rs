//! What a caller may do on a channel. A channel that the caller may not see is indistinguishable from one that does not
//! exist: same answer, same work, since it is looked for only among those that the caller may see
//! ([`channel_actors::Scope`]). A halted channel is visible to the administrators of the peer's organization too: they
//! must act.

use crate::{
    api::budget::{Budget, Payer, Purse},
    certificates::authority_keys::key_of,
    identity::trust::Trust,
    limits::RETRY_AFTER_MS,
    net::caller::Caller,
    problem::{ApiError, Kind},
    setup::init::MAIN,
};
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle, Undecided};
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::rights::{Class, Right, Rights};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::{Identity, Role};
use pki::KeyId;
use std::cell::LazyCell;

/// A channel that the caller may know of, with what it may do there.
#[derive(Clone)]
pub struct Visible {
    /// The channel.
    pub channel: ChannelHandle,
    /// Not empty, but for an administrator of the peer's organization who sees that a channel has halted.
    pub rights: Rights,
    /// What pays for what the caller is answered.
    pub purse: Purse,
}

/// Who asks, and whose peer is asked.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The peer.
    pub peer: &'a Identity,
    /// What the peer trusts, and its own certificate.
    pub trust: &'a Trust,
    /// The peer's memory.
    pub budget: &'a Budget,
}

impl Asking<'_> {
    /// What this caller sees of a channel: `None` is nothing at all. `acts`: whether it administers the peer, which is
    /// asked where it matters.
    fn sees(&self, channel: ChannelHandle, acts: impl FnOnce() -> bool) -> Option<Visible> {
        let rights = channel.config().map_or(Rights::NONE, |record| rights_on(&channel, &record.config, self.caller));
        let seen = !rights.is_empty() || (halted(&channel).is_some() && acts());
        seen.then(|| {
            let purse = self.purse(channel.id());
            Visible { channel: channel.asked_by(self.caller.asker()), rights, purse }
        })
    }

    /// What pays for what this caller is answered.
    pub fn purse(&self, channel: Option<Hash>) -> Purse {
        let (standing, asker) = (self.caller.who().standing, self.caller.asker());
        self.budget.purse(Payer { standing, asker, channel })
    }
}

/// Whether somebody administers this peer: an administrator of its organization, whose path leads to a CA that `main`
/// lists for it. Where `main` cannot be read or does not list the organization, to the CA of the peer's own certificate:
/// the name alone is nothing then, either.
pub fn administers(registry: &ChannelRegistry, asking: Asking<'_>) -> bool {
    is_own_administrator(asking.peer, asking.caller.identity()) && is_vouched_for(registry, asking)
}

fn is_own_administrator(peer: &Identity, identity: Option<&Identity>) -> bool {
    identity.is_some_and(|identity| {
        let own = (identity.consortium(), identity.organization()) == (peer.consortium(), peer.organization());
        own && identity.role() == Role::Admin
    })
}

/// Why a channel has halted, if it has.
pub fn halted(channel: &ChannelHandle) -> Option<String> {
    match channel.state() {
        LifeCycle::Halted { reason } => Some(reason),
        _ => None,
    }
}

/// Finds a channel by name or id.
pub fn find(registry: &ChannelRegistry, asking: Asking<'_>, text: &str) -> Result<Visible, ApiError> {
    let acts = LazyCell::new(|| administers(registry, asking));
    // A name may look like an id: names come second, so that an id is never shadowed by a name.
    let of_all = || Hash::parse(text).ok().and_then(|id| registry.by_id(&id)).or_else(|| registry.by_name(text));
    let channel = registry.find(asking.caller.scopes(), text).or_else(|| if *acts { of_all() } else { None });
    match channel.and_then(|channel| asking.sees(channel, || *acts)) {
        Some(visible) => Ok(visible),
        // Who may see a channel is known once it is open, or once its remains were read. Until that is known of all,
        // every other name gets this answer, whether or not it is one of theirs.
        None => Err(match incomplete(registry) {
            Some(why) => ApiError::new(Kind::Unavailable, why).retry_after_ms(RETRY_AFTER_MS),
            None => Kind::ChannelUnknown.into(),
        }),
    }
}

/// Why callers may not see all channels that they have a right on.
pub fn incomplete(registry: &ChannelRegistry) -> Option<&'static str> {
    registry.undecided().map(|undecided| match undecided {
        Undecided::Opening => "channels of this peer are being opened",
        Undecided::Unreadable => "a channel of this peer cannot be opened, and nothing says who may see it",
    })
}

/// Channels that the caller may know of, by name: those behind `after`, `limit` at most.
pub fn list(registry: &ChannelRegistry, asking: Asking<'_>, after: Option<&[u8]>, limit: usize) -> Vec<Visible> {
    let acts = administers(registry, asking);
    let Ok(after) = after.map(std::str::from_utf8).transpose() else { return Vec::new() };
    let mut channels = registry.list_of(asking.caller.scopes(), after);
    if acts {
        let behind = |channel: &ChannelHandle| after.is_none_or(|after| channel.name() > after);
        let halted = registry.list().into_iter().filter(|channel| behind(channel) && halted(channel).is_some());
        channels.extend(halted.map(|channel| (channel.name().to_owned(), channel)));
    }
    channels.into_values().filter_map(|channel| asking.sees(channel, || acts)).take(limit).collect()
}

/// The rights of a caller on a channel. Whose certificate the channel has ended has those of the public: who is not
/// admitted for a revocation does not read either.
pub fn rights_on(channel: &ChannelHandle, config: &ChannelConfig, caller: &Caller) -> Rights {
    if caller.is_ended(&channel.ended()) { config.rights_of(None) } else { visible_rights(config, caller) }
}

/// The rights that a channel's configuration gives a caller, or the public. A name alone is nothing: a CA that the channel
/// lists for the caller's organization stands in the caller's path. It is told by its key, so that a renewed certificate
/// of it counts as the listed one does (docs/decisions/0010). One whose key was replaced, by the folder that is here, counts
/// as the one that a channel still lists: its administrators are to change that.
pub fn visible_rights(config: &ChannelConfig, caller: &Caller) -> Rights {
    rights_by(config, caller.identity(), |der| key_of(der).is_some_and(|key| caller.is_vouched_for_by(&key)))
}

/// Whether the CA that vouches for the peer's organization on this peer stands in the caller's path.
fn is_vouched_for(registry: &ChannelRegistry, asking: Asking<'_>) -> bool {
    let main = registry.by_name(MAIN);
    // Its own organization has ended it there.
    if main.as_ref().is_some_and(|main| asking.caller.is_ended(&main.ended())) {
        return false;
    }
    let main = main.and_then(|main| main.config());
    let organization = asking.peer.organization();
    let member =
        main.as_ref().and_then(|main| main.config.organizations.iter().find(|member| member.name == organization));
    let stands = |key: Option<KeyId>| key.is_some_and(|key| asking.caller.is_vouched_for_by(&key));
    match member {
        Some(member) => member.authorities.iter().any(|der| stands(key_of(&der.0))),
        None => stands(asking.trust.own_issuer()),
    }
}

fn rights_by(config: &ChannelConfig, identity: Option<&Identity>, vouches: impl Fn(&[u8]) -> bool) -> Rights {
    let listed = |identity: &&Identity| {
        let member = config.organizations.iter().find(|member| member.name == identity.organization());
        // Every CA is looked at: where it stands does not show in the time.
        member.is_some_and(|member| member.authorities.iter().filter(|der| vouches(&der.0)).count() > 0)
    };
    config.rights_of(identity.filter(listed))
}

impl Visible {
    /// Needs the right to read one class.
    pub fn read(&self, class: Class) -> Result<(), ApiError> {
        if self.rights.allows(Right::Read(class)) { Ok(()) } else { Err(forbidden(&format!("read:{class}"))) }
    }

    /// Whether every class may be read.
    pub fn reads_all(&self) -> bool {
        Class::ALL.into_iter().all(|class| self.rights.allows(Right::Read(class)))
    }

    /// Needs the right to read every class: blocks hold them all.
    pub fn read_all(&self) -> Result<(), ApiError> {
        Class::ALL.into_iter().try_for_each(|class| self.read(class))
    }

    /// Needs the right to read administrative acts.
    pub fn acts(&self) -> Result<(), ApiError> {
        if self.rights.reads_acts() { Ok(()) } else { Err(forbidden("admin or audit")) }
    }

    /// Needs the right to know who may sign and which changes are proposed: that of those who read the events of it, and
    /// of those who decide.
    pub fn governance(&self) -> Result<(), ApiError> {
        let may = self.rights.allows(Right::Read(Class::Logs)) || self.rights.allows(Right::Admin);
        if may { Ok(()) } else { Err(forbidden("read:logs or admin")) }
    }

    /// Needs some right to post. Which actions are allowed is execution's decision, by the sender's own record.
    pub fn post(&self) -> Result<(), ApiError> {
        if may_post(self.rights) { Ok(()) } else { Err(forbidden("write")) }
    }
}

/// Whether somebody with these rights may post transactions at all.
pub fn may_post(rights: Rights) -> bool {
    let writes = Class::ALL.into_iter().any(|class| rights.allows(Right::Write(class)));
    writes || rights.allows(Right::Admin)
}

/// A right is missing on a channel that the caller may know of.
pub fn forbidden(right: &str) -> ApiError {
    ApiError::new(Kind::Forbidden, format!("the right {right} is needed"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::formats::config::{Approvals, Engine, Fees, Limits, OrderingPeer, Organization};
    use ledger_classes::formats::rights::{Grant, Grantee};
    use ledger_classes::keys::SigningKey;
    use ledger_classes::primitives::hash::HexBytes;
    use ledger_classes::primitives::time::Time;

    fn identity(text: &str) -> Identity {
        Identity::parse(&format!("spiffe://harbour.example/{text}")).unwrap()
    }

    fn rights(text: &str) -> Rights {
        text.split_whitespace().map(|right| right.parse::<Right>().unwrap()).collect()
    }

    fn config(public_read: bool, open_submit: bool) -> ChannelConfig {
        let grant = |to, text| Grant { to, rights: rights(text) };
        let organization = |name: &str| Organization {
            name: name.into(),
            title: name.into(),
            authorities: vec![HexBytes(b"another".to_vec()), HexBytes(name.as_bytes().to_vec())],
        };
        ChannelConfig {
            rules: ledger_classes::rules::RULES,
            name: "deals".into(),
            consortium: "harbour.example".into(),
            created: Time::from_millis(1),
            salt: HexBytes(vec![0; 16]),
            engine: Engine::Solo,
            peers: vec![OrderingPeer {
                identity: identity("north/peer/p"),
                key: SigningKey::from_seed(&[1; 32]).public(),
                weight: 1,
            }],
            threshold: 1,
            organizations: vec![organization("north"), organization("south"), organization("watch")],
            grants: vec![
                grant(Grantee::Organization("north".into()), "read:assets write:assets read:logs"),
                grant(Grantee::Identity(identity("north/admin/root")), "admin"),
                grant(Grantee::Organization("watch".into()), "audit"),
            ],
            public_read,
            open_submit,
            limits: Limits::default(),
            fees: Fees::default(),
            approvals: Approvals::default(),
            witnesses: Default::default(),
            budgets: Default::default(),
        }
    }

    /// The rights of somebody whose path leads to the CA called like the own organization.
    fn by_own(config: &ChannelConfig, identity: Option<&Identity>) -> Rights {
        rights_by(config, identity, |der| identity.is_some_and(|identity| der == identity.organization().as_bytes()))
    }

    /// A second CA of the same name under another trusted root had the rights of the one that the channel lists.
    #[test]
    fn a_name_without_a_path_to_a_listed_ca_has_the_rights_of_the_public() {
        let config = |public_read| config(public_read, false);
        for who in ["north/client/alice", "north/admin/root", "watch/auditor/ann"] {
            let who = identity(who);
            assert!(!by_own(&config(false), Some(&who)).is_empty(), "{who}");
            for vouching in ["", "south", "north-2"] {
                let by = |config| rights_by(&config, Some(&who), |der| der == vouching.as_bytes());
                assert!(by(config(false)).is_empty(), "{who} by {vouching}");
                assert_eq!(by(config(true)), config(true).rights_of(None), "{who} by {vouching}");
            }
        }
    }

    #[test]
    fn rights_decide_what_is_seen_read_and_posted() {
        // public, open, who, seen, reads assets, reads apps, posts
        for (public_read, open_submit, who, seen, assets, apps, posts) in [
            (false, false, None, false, false, false, false),
            (false, false, Some("north/client/alice"), true, true, false, true),
            (false, false, Some("north/admin/root"), true, true, false, true),
            (false, false, Some("south/client/bob"), false, false, false, false),
            (false, false, Some("east/client/eve"), false, false, false, false),
            (false, false, Some("watch/auditor/ann"), true, true, true, false),
            (false, false, Some("north/auditor/nina"), true, true, false, false),
            (true, false, None, true, true, true, false),
            (true, false, Some("south/client/bob"), true, true, true, false),
            (false, true, None, true, false, false, true),
            (true, true, Some("east/client/eve"), true, true, true, true),
        ] {
            let who = who.map(identity);
            let rights = by_own(&config(public_read, open_submit), who.as_ref());
            let reads = |class| rights.allows(Right::Read(class));
            let found = (!rights.is_empty(), reads(Class::Assets), reads(Class::Apps), may_post(rights));
            assert_eq!(found, (seen, assets, apps, posts), "{public_read} {open_submit} {who:?}");
        }
    }

    #[test]
    fn a_peer_is_administered_by_administrators_of_its_own_organization() {
        let peer = identity("north/peer/p");
        for (who, administers_it) in [
            (Some("north/admin/root"), true),
            (Some("north/client/alice"), false),
            (Some("north/auditor/ann"), false),
            (Some("north/peer/p"), false),
            (Some("south/admin/root"), false),
            (None, false),
        ] {
            assert_eq!(is_own_administrator(&peer, who.map(identity).as_ref()), administers_it, "{who:?}");
        }
        let stranger = Identity::parse("spiffe://other.example/north/admin/root").unwrap();
        assert!(!is_own_administrator(&peer, Some(&stranger)));
    }

    #[test]
    fn a_foreign_consortium_has_no_rights_by_equal_names() {
        let stranger = Identity::parse("spiffe://other.example/north/admin/root").unwrap();
        assert!(by_own(&config(false, false), Some(&stranger)).is_empty());
    }
}
