//! What a record of an act tells, by stable names and arguments. Records are state and events, which headers root: no
//! sentence may stand here, else a build that words it better would refuse older blocks. Words are made when shown.

use crate::execution::assets::Recovery;
use crate::execution::channel::Subject;
use crate::formats::config::{Approvals, ConfigChange, Witnesses};
use crate::formats::rights::{Grant, Grantee, Rights};
use crate::keys::Address;
use crate::primitives::identity::{Identity, is_label};
use serde::{Serialize, Serializer};
use std::fmt;

/// Most changes of a proposal, and most certificates, that a record tells of; proposal and receipt have them all.
pub(in crate::execution) const CHANGES_TOLD_MAX: usize = 16;

/// Who acted.
#[derive(Debug)]
pub(in crate::execution) enum Who<'a> {
    /// A participant, by its SPIFFE ID.
    Participant(&'a Identity),
    /// A CA's key, by the organizations it is listed for: `ca:alpha`, `ca:alpha,beta`.
    Authority(Vec<&'a str>),
}

impl Serialize for Who<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Participant(identity) => identity.serialize(serializer),
            Self::Authority(organizations) => serializer.collect_str(&format_args!("ca:{}", organizations.join(","))),
        }
    }
}

/// One of a proposal's changes: the name of the change, and what of it is short. Proposal and receipt have the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(in crate::execution) enum Told {
    Grant {
        to: Option<String>,
        rights: Rights,
    },
    Deny {
        to: Option<String>,
        rights: Rights,
    },
    PutOrganization {
        name: Option<String>,
        /// How many CA certificates.
        authorities: usize,
    },
    RemoveOrganization {
        name: Option<String>,
    },
    SetLimits,
    SetFees,
    SetApprovals {
        approvals: Approvals,
    },
    SetPeers {
        /// How many.
        peers: usize,
        threshold: u64,
    },
    SetPublicRead {
        public_read: bool,
    },
    SetOpenSubmit {
        open_submit: bool,
    },
    SetRules {
        rules: u32,
    },
    SetWitnesses {
        witnesses: Witnesses,
    },
    SetBudgets,
    /// Not a change of the configuration: one account has what was another's.
    Recover {
        from: Address,
        to: Address,
        /// What can be moved now, of one asset only.
        asset: Option<String>,
    },
}

/// What is proposed: the first [`CHANGES_TOLD_MAX`] changes, and how many there are beside these.
pub(in crate::execution) fn told(subject: &Subject) -> (Vec<Told>, usize) {
    match subject {
        Subject::Configuration(changes) => {
            let told = changes.iter().take(CHANGES_TOLD_MAX).map(Told::of).collect();
            (told, changes.len().saturating_sub(CHANGES_TOLD_MAX))
        }
        Subject::Recovery(Recovery { from, to, asset }) => {
            let asset = asset.as_deref().and_then(name);
            (vec![Told::Recover { from: *from, to: *to, asset }], 0)
        }
    }
}

/// What is proposed, in words: to be shown, and never hashed.
pub fn in_words(subject: &Subject) -> Vec<String> {
    let (told, more) = told(subject);
    let more = (more > 0).then(|| format!("and {more} more"));
    told.iter().map(ToString::to_string).chain(more).collect()
}

impl Told {
    fn of(change: &ConfigChange) -> Self {
        match change {
            ConfigChange::Grant(Grant { to, rights }) => Self::Grant { to: grantee(to), rights: *rights },
            ConfigChange::Deny(Grant { to, rights }) => Self::Deny { to: grantee(to), rights: *rights },
            ConfigChange::PutOrganization(member) => {
                Self::PutOrganization { name: name(&member.name), authorities: member.authorities.len() }
            }
            ConfigChange::RemoveOrganization { name: organization } => {
                Self::RemoveOrganization { name: name(organization) }
            }
            ConfigChange::SetLimits(_) => Self::SetLimits,
            ConfigChange::SetFees(_) => Self::SetFees,
            ConfigChange::SetApprovals { approvals } => Self::SetApprovals { approvals: *approvals },
            ConfigChange::SetPeers { peers, threshold } => Self::SetPeers { peers: peers.len(), threshold: *threshold },
            ConfigChange::SetPublicRead { public_read } => Self::SetPublicRead { public_read: *public_read },
            ConfigChange::SetOpenSubmit { open_submit } => Self::SetOpenSubmit { open_submit: *open_submit },
            ConfigChange::SetRules { rules } => Self::SetRules { rules: *rules },
            ConfigChange::SetWitnesses { witnesses } => Self::SetWitnesses { witnesses: *witnesses },
            ConfigChange::SetBudgets(_) => Self::SetBudgets,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &Option<String>| name.clone().unwrap_or_else(|| "(no name)".into());
        match self {
            Self::Grant { to, rights } => write!(f, "grant {} to {}", list(rights), named(to)),
            Self::Deny { to, rights } => write!(f, "deny {} to {}", list(rights), named(to)),
            Self::PutOrganization { name, authorities } => {
                write!(f, "organization {} with {authorities} CA certificates", named(name))
            }
            Self::RemoveOrganization { name } => write!(f, "remove organization {}", named(name)),
            Self::SetLimits => f.write_str("set limits"),
            Self::SetFees => f.write_str("set fees"),
            Self::SetApprovals { approvals } => write!(f, "approvals: {}", approvals.text()),
            Self::SetPeers { peers, threshold } => write!(f, "set {peers} ordering peers, threshold {threshold}"),
            Self::SetPublicRead { public_read: true } => f.write_str("anybody may read"),
            Self::SetPublicRead { public_read: false } => f.write_str("reading needs a right"),
            Self::SetOpenSubmit { open_submit: true } => f.write_str("anybody may submit"),
            Self::SetOpenSubmit { open_submit: false } => f.write_str("submitting needs a right"),
            Self::SetRules { rules } => write!(f, "rules: {rules}"),
            Self::SetWitnesses { witnesses } => write!(f, "witnesses: {}", witnesses.text()),
            Self::SetBudgets => f.write_str("set budgets"),
            Self::Recover { from, to, asset: None } => write!(f, "{to} has what is {from}'s"),
            Self::Recover { from, to, asset: Some(asset) } => {
                write!(f, "{to} has what is {from}'s, of {asset} now")
            }
        }
    }
}

fn list(rights: &Rights) -> String {
    rights.iter().map(|right| right.to_string()).collect::<Vec<_>>().join(" ")
}

fn grantee(to: &Grantee) -> Option<String> {
    match to {
        Grantee::Organization(organization) => name(organization),
        Grantee::Identity(identity) => Some(identity.to_string()),
    }
}

/// A removed organization may have an invalid name.
fn name(organization: &str) -> Option<String> {
    is_label(organization).then(|| organization.to_owned())
}
