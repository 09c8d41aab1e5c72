//! A channel's configuration: members, rights, ordering, limits, fees, policy. It is on the ledger: genesis holds
//! the first one, `channel.propose` and `channel.approve` change it, and execution reads only that record.

mod budgets;
mod error;
mod orderers;
mod witnesses;

pub use budgets::{Budget, Budgets};
pub use error::ConfigError;
pub use orderers::{Engine, Orderers, OrderingPeer};
pub use witnesses::Witnesses;

use crate::formats::detail::{Detail, Names, Part, Text, Thing};
use crate::formats::rights::{Class, Grant, Grantee, Right, Rights};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::HexBytes;
use crate::primitives::identity::{Identity, Role, is_label};
use crate::primitives::time::Time;
use crate::state::participant::{CertificatePaths, PathRules};
use crate::{limits, rules};
use serde::{Deserialize, Serialize};

/// A member organization with the authorities whose certificates it vouches by.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its name in identities.
    pub name: String,
    /// For people to read.
    #[serde(default)]
    pub title: String,
    /// DER certificates of its accepted CAs; each is a trust anchor for this organization's identities only.
    pub authorities: Vec<HexBytes>,
}

/// Limits of one channel, within those of [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a payload.
    pub payload_bytes_max: u32,
    /// Actions of a transaction.
    pub actions_max: u32,
    /// Transactions of a block.
    pub block_transactions_max: u32,
    /// Bytes of a block's envelopes.
    pub block_bytes_max: u32,
    /// Milliseconds that a transaction may wait for its block to fill while another block is under way.
    pub block_age_ms_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 96 * 1024,
            actions_max: 64,
            block_transactions_max: 8_192,
            block_bytes_max: 4 * 1024 * 1024,
            block_age_ms_max: 50,
        }
    }
}

/// What a transaction costs. Without an asset nothing is charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// The fungible asset that fees are paid in, if any.
    pub asset: Option<String>,
    /// Who issues that asset, its mint authority: whoever approves these fees knows whom all will pay by.
    pub issuer: Option<Address>,
    /// For each transaction.
    pub base: Amount,
    /// For each payload byte.
    pub per_byte: Amount,
    /// Who receives fees; without one they are burnt.
    pub collector: Option<Address>,
}

/// How many member organizations' administrators must approve a configuration change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approvals {
    /// One of them.
    Any,
    /// More than half.
    #[default]
    Majority,
    /// Every one.
    All,
}

impl Approvals {
    /// Organizations needed among `organizations` members.
    pub const fn needed(self, organizations: usize) -> usize {
        match self {
            Self::Any => 1,
            Self::Majority => organizations / 2 + 1,
            Self::All => organizations,
        }
    }

    /// The word in JSON.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Majority => "majority",
            Self::All => "all",
        }
    }
}

/// A channel's configuration at some height.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// What is in force, by its number ([`crate::rules`]). The first field, so that whoever cannot read the others knows why.
    pub rules: u32,
    /// 1 to 64 of a-z, 0-9 and hyphen.
    pub name: String,
    /// The trust domain.
    pub consortium: String,
    /// Time of the genesis block.
    pub created: Time,
    /// 16 random bytes: two channels of the same form have different ids.
    pub salt: HexBytes,
    /// The ordering engine.
    pub engine: Engine,
    /// Who orders.
    pub peers: Vec<OrderingPeer>,
    /// The weight of those who sign a block, at least.
    pub threshold: u64,
    /// The members.
    pub organizations: Vec<Organization>,
    /// Rights of organizations and identities.
    pub grants: Vec<Grant>,
    /// Anybody may read every class.
    pub public_read: bool,
    /// Anybody may submit; the transaction's signature is the authentication.
    pub open_submit: bool,
    /// Limits.
    pub limits: Limits,
    /// Fees.
    pub fees: Fees,
    /// Who must approve changes.
    pub approvals: Approvals,
    /// Who vouches that a block's transactions were verified.
    pub witnesses: Witnesses,
    /// What a transaction and a block may cause.
    pub budgets: Budgets,
}

impl ChannelConfig {
    /// Checks every relation that execution relies on, by the rules that are in force where it is set: those of the block
    /// that sets it. That is the number before, where this one has the next.
    pub fn check(&self, in_force: u32) -> Result<(), ConfigError> {
        let fail = |detail: Detail| Err(ConfigError(detail));
        if !is_label(&self.name) {
            return fail(Detail::Named { thing: Thing::Channel });
        }
        if self.name.len() == 64 && self.name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return fail(Detail::NameIsId {});
        }
        if self.salt.0.len() != 16 {
            return fail(Detail::Between { part: Part::Salt, least: 16, most: 16 });
        }
        if self.organizations.is_empty() || self.organizations.len() > limits::ORGANIZATIONS_MAX {
            return fail(Detail::Between {
                part: Part::Organizations,
                least: 1,
                most: limits::ORGANIZATIONS_MAX as u64,
            });
        }
        if self.grants.len() > limits::GRANTS_MAX {
            return fail(Detail::AtMost { part: Part::Grants, most: limits::GRANTS_MAX as u64 });
        }
        if !rules::has_engine(in_force, self.engine) {
            return fail(Detail::AheadOfRules { part: Part::Engine, rules: in_force.into() });
        }
        if !rules::has_witnesses(in_force, self.witnesses) {
            return fail(Detail::AheadOfRules { part: Part::Witnesses, rules: in_force.into() });
        }
        self.orderers().check()?;
        self.budgets.check()?;
        if self.rules == 0 {
            return fail(Detail::NotBetween { part: Part::Rules, least: 1, most: u32::MAX.into(), found: 0 });
        }
        for organization in &self.organizations {
            let twice = self.organizations.iter().filter(|other| other.name == organization.name).count() > 1;
            if !is_label(&organization.name) || organization.title.len() > limits::TITLE_BYTES_MAX || twice {
                return fail(Detail::OrganizationNames {});
            }
            let oversize = |der: &HexBytes| der.0.len() > limits::CERTIFICATE_BYTES_MAX;
            if organization.authorities.len() > limits::AUTHORITIES_MAX || organization.authorities.iter().any(oversize)
            {
                return fail(Detail::AtMost { part: Part::Authorities, most: limits::AUTHORITIES_MAX as u64 });
            }
        }
        for grant in &self.grants {
            let member = match &grant.to {
                Grantee::Organization(name) => self.is_member(name),
                Grantee::Identity(identity) => {
                    self.is_member(identity.organization()) && identity.consortium() == self.consortium
                }
            };
            if !member {
                return fail(Detail::GrantsToStrangers {});
            }
        }
        let Limits { payload_bytes_max, actions_max, block_transactions_max, block_bytes_max, block_age_ms_max } =
            self.limits;
        for (part, value, least, most) in [
            (Part::PayloadBytes, payload_bytes_max, limits::PAYLOAD_BYTES_MIN, limits::PAYLOAD_BYTES_MAX),
            (Part::Actions, actions_max, limits::ACTIONS_MIN, limits::ACTIONS_MAX),
            (
                Part::BlockTransactions,
                block_transactions_max,
                limits::BLOCK_TRANSACTIONS_MIN,
                limits::BLOCK_TRANSACTIONS_MAX,
            ),
            (
                Part::BlockBytes,
                block_bytes_max,
                payload_bytes_max as usize + limits::ENVELOPE_ROOM_BYTES,
                limits::BLOCK_BYTES_MAX,
            ),
            (Part::BlockAge, block_age_ms_max, 0, limits::BLOCK_AGE_MS_MAX as usize),
        ] {
            // Below the least of a limit nobody could be admitted or revoked, and the limit not be raised again.
            if !(least..=most).contains(&(value as usize)) {
                let (least, most) = (least as u64, most as u64);
                return fail(Detail::NotBetween { part, least, most, found: value.into() });
            }
        }
        if self.fees.asset.is_some() != self.fees.issuer.is_some() {
            return fail(Detail::FeesHalf {});
        }
        if self.fees.asset.as_deref().is_some_and(|asset| !is_label(asset)) {
            return fail(Detail::Named { thing: Thing::Asset });
        }
        // Each block reads it as one record; one that does not fit would halt the channel for ever.
        if codec::encode(self).len() > limits::CONFIG_BYTES_MAX {
            return fail(Detail::AtMost { part: Part::Configuration, most: limits::CONFIG_BYTES_MAX as u64 });
        }
        Ok(())
    }

    /// Who may seal the blocks that this configuration rules.
    pub fn orderers(&self) -> Orderers {
        Orderers { engine: self.engine, peers: self.peers.clone(), threshold: self.threshold }
    }

    /// Checks that a channel can begin with this configuration, by the rules that it begins with and changes are held to: no
    /// asset is there yet, so fees come later, by a change.
    pub fn check_genesis(&self) -> Result<(), ConfigError> {
        let known = rules::known();
        if !(1..=known).contains(&self.rules) {
            let (least, most, found) = (1, known.into(), self.rules.into());
            return Err(ConfigError(Detail::NotBetween { part: Part::Rules, least, most, found }));
        }
        self.check(self.rules)?;
        match &self.fees.asset {
            Some(asset) => Err(ConfigError(Detail::FeeAssetTooEarly { asset: asset.into() })),
            None => Ok(()),
        }
    }

    /// [`Self::check_genesis`], [`Self::check_governable`], and that each CA certificate is its organization's: what who
    /// makes a channel is held to. `certificates` judges them.
    pub fn check_founding(&self, certificates: &dyn CertificatePaths) -> Result<(), ConfigError> {
        self.check_genesis()?;
        self.check_governable()?;
        // A member that is to approve from the beginning has a CA from the beginning.
        self.check_approvals(self.organizations.len())?;
        for member in &self.organizations {
            for der in &member.authorities {
                if let Err(refusal) = certificates.authority(self.path_rules(), &der.0, &self.consortium, &member.name)
                {
                    let organization = Text::from(&member.name);
                    return Err(ConfigError(Detail::AuthorityOf { organization, refusal }));
                }
            }
        }
        Ok(())
    }

    /// Checks that a channel can have this configuration and be changed again: that what it asks for is there, and that
    /// as many organizations could approve a change as its policy needs, of those that have a CA: another has lost it, and
    /// nobody could approve for it. For creation and for every change; [`Self::check`] is what blocks rely on.
    pub fn check_governable(&self) -> Result<(), ConfigError> {
        self.check_ordered()?;
        self.check_changeable()
    }

    /// The part of [`Self::check_governable`] that is about who orders.
    pub(crate) fn check_ordered(&self) -> Result<(), ConfigError> {
        let ordering = Rights::from_iter([Right::Order, Right::Hold]);
        let orders = |to: &Grantee| match to {
            Grantee::Organization(_) => false,
            Grantee::Identity(identity) => self.peers.iter().any(|peer| peer.identity == *identity),
        };
        if let Some(grant) = self.grants.iter().find(|grant| grant.rights.meets(ordering) && !orders(&grant.to)) {
            return Err(ConfigError(Detail::OrderIsThePeers { grantee: Text::of(&grant.to) }));
        }
        Ok(())
    }

    /// The part of [`Self::check_governable`] that is about who could change it again.
    pub(crate) fn check_changeable(&self) -> Result<(), ConfigError> {
        self.check_approvals(self.organizations.iter().filter(|member| !member.authorities.is_empty()).count())
    }

    /// Whether as many organizations could approve a change as the policy needs of `counted` ones.
    fn check_approvals(&self, counted: usize) -> Result<(), ConfigError> {
        let names = self.organizations.iter().map(|member| member.name.as_str());
        let (able, unable): (Vec<&str>, Vec<&str>) = names.partition(|name| self.can_administer(name));
        let needed = self.approvals.needed(counted).max(1);
        if able.len() < needed {
            return Err(ConfigError(Detail::NobodyAble {
                approvals: self.approvals.text().into(),
                counted: counted as u64,
                needed: needed as u64,
                missing: Names::of(unable),
            }));
        }
        Ok(())
    }

    /// Whether an organization's administrators could take part: it has the right, or one of them has, and a CA that can
    /// certify them.
    pub fn can_administer(&self, organization: &str) -> bool {
        let certified = |member: &Organization| member.name == organization && !member.authorities.is_empty();
        let granted =
            self.grants.iter().filter(|grant| grant.rights.allows(Right::Admin)).any(|grant| match &grant.to {
                Grantee::Organization(name) => name == organization,
                Grantee::Identity(identity) => {
                    identity.organization() == organization && identity.role() == Role::Admin
                }
            });
        granted && self.organizations.iter().any(certified)
    }

    /// Which certificate paths are good on this channel.
    pub fn path_rules(&self) -> PathRules {
        rules::path_rules(self.rules)
    }

    /// Whether `organization` is a member.
    pub fn is_member(&self, organization: &str) -> bool {
        self.organizations.iter().any(|member| member.name == organization)
    }

    /// The rights of an identity: its organization's grants and its own. A stranger has those of the public.
    pub fn rights_of(&self, identity: Option<&Identity>) -> Rights {
        let mut rights = Rights::NONE;
        if self.public_read {
            rights = rights.union(Class::ALL.into_iter().map(Right::Read).collect());
        }
        if self.open_submit {
            rights = rights.union(Class::ALL.into_iter().map(Right::Write).collect());
        }
        let Some(identity) = identity else { return rights };
        if identity.consortium() != self.consortium || !self.is_member(identity.organization()) {
            return rights;
        }
        self.granted(identity.role(), |to| match to {
            Grantee::Organization(name) => name == identity.organization(),
            Grantee::Identity(other) => other == identity,
        })
    }

    /// The rights of those of a member organization and a role who have no grants of their own.
    pub fn rights_of_members(&self, organization: &str, role: Role) -> Rights {
        self.granted(role, |to| match to {
            Grantee::Organization(name) => name == organization,
            Grantee::Identity(_) => false,
        })
    }

    /// What the grants give a member of a role, beside what anybody has.
    fn granted(&self, role: Role, mine: impl Fn(&Grantee) -> bool) -> Rights {
        let rights = self.rights_of(None);
        let mine = self.grants.iter().filter(|grant| mine(&grant.to));
        let granted = mine.fold(Rights::NONE, |granted, grant| granted.union(grant.rights));
        // What anybody may read is no reason to show an auditor what only auditors see.
        let reads_all = Class::ALL.into_iter().all(|class| granted.allows(Right::Read(class)));
        let granted = granted.union(rights);
        let administration = Rights::from_iter([Right::Admin]);
        match role {
            // An auditor writes nothing, whatever its organization may, and reads all if that was given every class to read.
            Role::Auditor if reads_all => granted.without(Rights::WRITES).union(Rights::from_iter([Right::Audit])),
            Role::Auditor => granted.without(Rights::WRITES),
            // An organization's right to administer is its administrators'.
            Role::Peer | Role::Client => granted.without(administration),
            Role::Admin => granted,
        }
    }
}

/// One change of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
pub enum ConfigChange {
    /// Adds rights.
    Grant(Grant),
    /// Takes rights away.
    Deny(Grant),
    /// Adds a member, or replaces its title and CA certificates.
    PutOrganization(Organization),
    /// Ends a membership, with its grants.
    RemoveOrganization {
        /// Its name.
        name: String,
    },
    /// Sets the limits.
    SetLimits(Limits),
    /// Sets the fees.
    SetFees(Fees),
    /// Sets who must approve changes.
    SetApprovals {
        /// The new policy.
        approvals: Approvals,
    },
    /// Replaces the ordering peers.
    SetPeers {
        /// The new list.
        peers: Vec<OrderingPeer>,
        /// The weight of those who sign a block, at least.
        threshold: u64,
    },
    /// Sets whether anybody may read.
    SetPublicRead {
        /// Whether anybody may.
        public_read: bool,
    },
    /// Sets whether anybody may submit.
    SetOpenSubmit {
        /// Whether anybody may.
        open_submit: bool,
    },
    /// Raises the number of what is in force, by one.
    SetRules {
        /// The next number.
        rules: u32,
    },
    /// Sets who vouches that transactions were verified.
    SetWitnesses {
        /// The new policy.
        witnesses: Witnesses,
    },
    /// Sets what a transaction and a block may cause.
    SetBudgets(Budgets),
}

crate::tagged!(ConfigChange, "change");

impl ConfigChange {
    /// Applies this change; the caller checks the result.
    pub fn apply(&self, config: &mut ChannelConfig) {
        match self {
            Self::Grant(grant) => match config.grants.iter_mut().find(|mine| mine.to == grant.to) {
                Some(mine) => mine.rights = mine.rights.union(grant.rights),
                None => config.grants.push(grant.clone()),
            },
            Self::Deny(grant) => {
                for mine in config.grants.iter_mut().filter(|mine| mine.to == grant.to) {
                    mine.rights = mine.rights.without(grant.rights);
                }
                config.grants.retain(|mine| !mine.rights.is_empty());
            }
            Self::PutOrganization(organization) => {
                match config.organizations.iter_mut().find(|member| member.name == organization.name) {
                    Some(member) => member.clone_from(organization),
                    None => config.organizations.push(organization.clone()),
                }
            }
            Self::RemoveOrganization { name } => {
                config.organizations.retain(|member| member.name != *name);
                config.grants.retain(|grant| match &grant.to {
                    Grantee::Organization(organization) => organization != name,
                    Grantee::Identity(identity) => identity.organization() != name,
                });
            }
            Self::SetLimits(limits) => config.limits = *limits,
            Self::SetFees(fees) => config.fees.clone_from(fees),
            Self::SetApprovals { approvals } => config.approvals = *approvals,
            Self::SetPeers { peers, threshold } => {
                config.peers.clone_from(peers);
                config.threshold = *threshold;
            }
            Self::SetPublicRead { public_read } => config.public_read = *public_read,
            Self::SetOpenSubmit { open_submit } => config.open_submit = *open_submit,
            Self::SetRules { rules } => config.rules = *rules,
            Self::SetWitnesses { witnesses } => config.witnesses = *witnesses,
            Self::SetBudgets(budgets) => config.budgets = *budgets,
        }
    }
}

#[cfg(test)]
mod tests;
