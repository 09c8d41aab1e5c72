//! Which channels somebody may see, found without a look at any other: by what a configuration gives rights to, as the
//! public, the members of an organization with a role by a listed CA, or one identity by one. Made when a configuration
//! changes, so that no request's time tells of channels that its caller does not see, how many they are, or how long
//! their grants.
//!
//! What is found is a candidate: the configuration in force decides.

use crate::channel::handle::ChannelHandle;
use crate::pipeline::effects::Configured;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::rights::Grantee;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::state::participant::CertificatePaths;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

/// Whom a configuration gives rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Hash);

impl Scope {
    /// Anybody.
    pub const PUBLIC: Self = Self(Hash::ZERO);

    /// The members of an organization with a role, by a CA that is told by its key.
    fn members(consortium: &str, organization: &str, role: Role, authority: &Hash) -> Self {
        let name = format!("members/{consortium}/{organization}/{}", role.text());
        Self(Hash::plain(&[name.as_bytes(), &[0], &authority.0]))
    }

    /// One identity, by a CA.
    fn identity(identity: &Identity, authority: &Hash) -> Self {
        Self(Hash::plain(&[b"identity/", identity.to_string().as_bytes(), &[0], &authority.0]))
    }

    /// What somebody has rights by, beside [`Self::PUBLIC`]: `authorities` are the keys of the CAs of the certificate's path.
    pub fn of(identity: &Identity, authorities: impl Iterator<Item = Hash>) -> Vec<Self> {
        let members = |key: &Hash| Self::members(identity.consortium(), identity.organization(), identity.role(), key);
        authorities.flat_map(|key| [members(&key), Self::identity(identity, &key)]).collect()
    }

    /// What a configuration gives rights to.
    fn given(config: &ChannelConfig, key_of: impl Fn(&[u8]) -> Option<Hash>) -> HashSet<Self> {
        // The others see it by that.
        if !config.rights_of(None).is_empty() {
            return HashSet::from([Self::PUBLIC]);
        }
        let mut given = HashSet::new();
        let mut keys: HashMap<&str, Vec<Hash>> = HashMap::new();
        for member in &config.organizations {
            let of_it: Vec<Hash> = member.authorities.iter().filter_map(|der| key_of(&der.0)).collect();
            for role in Role::ALL.into_iter().filter(|role| !config.rights_of_members(&member.name, *role).is_empty()) {
                given.extend(of_it.iter().map(|key| Self::members(&config.consortium, &member.name, role, key)));
            }
            keys.insert(&member.name, of_it);
        }
        for grant in &config.grants {
            let Grantee::Identity(identity) = &grant.to else { continue };
            if config.rights_of(Some(identity)).is_empty() {
                continue;
            }
            let of_it = keys.get(identity.organization()).into_iter().flatten();
            given.extend(of_it.map(|key| Self::identity(identity, key)));
        }
        given
    }
}

/// Channels of one scope.
#[derive(Default)]
struct Visible {
    by_name: BTreeMap<String, ChannelHandle>,
    by_id: HashMap<Hash, ChannelHandle>,
}

#[derive(Default)]
struct Indexed {
    scopes: HashMap<Scope, Visible>,
    /// Each channel by name, with where it is.
    channels: HashMap<String, (ChannelHandle, HashSet<Scope>)>,
}

impl Indexed {
    fn remove(&mut self, name: &str) -> Option<ChannelHandle> {
        let (handle, scopes) = self.channels.remove(name)?;
        for scope in scopes {
            let Some(seen) = self.scopes.get_mut(&scope) else { continue };
            seen.by_name.remove(name);
            if let Some(id) = handle.id() {
                seen.by_id.remove(&id);
            }
            if seen.by_name.is_empty() {
                self.scopes.remove(&scope);
            }
        }
        Some(handle)
    }

    fn put(&mut self, handle: ChannelHandle, scopes: HashSet<Scope>) {
        let name = handle.name().to_owned();
        self.remove(&name);
        for scope in &scopes {
            let seen = self.scopes.entry(*scope).or_default();
            seen.by_name.insert(name.clone(), handle.clone());
            seen.by_id.extend(handle.id().map(|id| (id, handle.clone())));
        }
        self.channels.insert(name, (handle, scopes));
    }
}

/// The channels of a peer by who may see them.
#[derive(Default)]
pub(crate) struct VisibilityIndex(RwLock<Indexed>);

impl VisibilityIndex {
    /// A channel became known, with this configuration.
    pub(crate) fn put(&self, handle: &ChannelHandle, config: &ChannelConfig, certificates: &dyn CertificatePaths) {
        let scopes = Scope::given(config, |der| certificates.authority_key(config.path_rules(), der));
        self.0.write().unwrap_or_else(PoisonError::into_inner).put(handle.clone(), scopes);
    }

    /// A channel is not there any more.
    pub(crate) fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A channel by id or name, if it is of one of these scopes.
    pub(crate) fn find(&self, scopes: &[Scope], text: &str) -> Option<ChannelHandle> {
        let id = Hash::parse(text).ok();
        let indexed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let seen = || scopes.iter().filter_map(|scope| indexed.scopes.get(scope));
        let by_id = id.and_then(|id| seen().find_map(|seen| seen.by_id.get(&id)));
        by_id.or_else(|| seen().find_map(|seen| seen.by_name.get(text))).cloned()
    }

    /// The channels of these scopes, by name: those behind `after`.
    pub(crate) fn list(&self, scopes: &[Scope], after: Option<&str>) -> BTreeMap<String, ChannelHandle> {
        let indexed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let seen = scopes.iter().filter_map(|scope| indexed.scopes.get(scope));
        let behind = seen.flat_map(|seen| seen.by_name.range::<str, _>((from, Bound::Unbounded)));
        behind.map(|(name, handle)| (name.clone(), handle.clone())).collect()
    }
}

impl Configured for VisibilityIndex {
    fn configure(&self, name: &str, config: &ChannelConfig, certificates: &dyn CertificatePaths) {
        let scopes = Scope::given(config, |der| certificates.authority_key(config.path_rules(), der));
        let mut indexed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((handle, _)) = indexed.channels.get(name) {
            let handle = handle.clone();
            indexed.put(handle, scopes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::config;
    use ledger_classes::formats::config::Organization;
    use ledger_classes::formats::rights::{Grant, Rights};
    use ledger_classes::primitives::hash::HexBytes;

    fn key(der: &[u8]) -> Hash {
        Hash::plain(&[der])
    }

    /// A channel that was missing here would be hidden from who has a right on it.
    #[test]
    fn the_index_holds_a_channel_for_exactly_those_whom_its_configuration_gives_rights() {
        let identity = |text: &str| Identity::parse(&format!("spiffe://test.example/{text}")).expect("valid");
        let rights =
            |text: &str| -> Rights { text.split_whitespace().map(|right| right.parse().expect("a right")).collect() };
        let grants = [
            (Grantee::Organization("north".into()), "admin"),
            (Grantee::Organization("south".into()), "write:logs"),
            (Grantee::Organization("east".into()), "read:assets"),
            (Grantee::Identity(identity("north/client/ann")), "read:logs"),
            (Grantee::Identity(identity("north/auditor/ada")), "write:logs"),
            (Grantee::Identity(identity("west/client/wes")), "admin"),
            (Grantee::Identity(identity("west/admin/wes")), "admin"),
        ];
        let everybody: Vec<Identity> = ["north", "south", "east", "west", "none"]
            .iter()
            .flat_map(|name| Role::ALL.map(|role| (name, role.text())))
            .flat_map(|(name, role)| ["ann", "ada", "wes"].map(|who| identity(&format!("{name}/{role}/{who}"))))
            .collect();
        let (mut seen, mut unseen) = (0, 0);
        for (public_read, open_submit) in [(false, false), (true, false), (false, true)] {
            let member = |name: &&str| Organization {
                name: (*name).into(),
                title: String::new(),
                authorities: vec![HexBytes(b"another".to_vec()), HexBytes(name.as_bytes().to_vec())],
            };
            let config = ChannelConfig {
                public_read,
                open_submit,
                organizations: ["north", "south", "east", "west"].iter().map(member).collect(),
                grants: grants.iter().map(|(to, text)| Grant { to: to.clone(), rights: rights(text) }).collect(),
                ..config()
            };
            let given = Scope::given(&config, |der| Some(key(der)));
            assert_eq!(given.contains(&Scope::PUBLIC), public_read || open_submit);
            for who in &everybody {
                let by = |authority: &[u8]| {
                    let mine = Scope::of(who, [key(b"root"), key(authority)].into_iter());
                    given.contains(&Scope::PUBLIC) || mine.iter().any(|scope| given.contains(scope))
                };
                let has = !config.rights_of(Some(who)).is_empty();
                // An auditor posts nothing, by what anybody may either: what is found for everybody is judged.
                let found = by(who.organization().as_bytes());
                assert!(if public_read || open_submit { found } else { found == has }, "{who}");
                assert_eq!(by(b"stranger"), public_read || open_submit, "{who} by a CA that is not listed");
                *(if has { &mut seen } else { &mut unseen }) += 1;
            }
        }
        assert!(seen > 20 && unseen > 20, "{seen} {unseen}");
    }
}
