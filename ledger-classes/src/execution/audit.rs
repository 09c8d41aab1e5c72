//! Administrative acts as log records, under topics below `audit.` that `log.append` cannot write.
//!
//! `audit.channel` is written by execution itself, with the act that it tells of, on the channel that the act is on:
//! one record for each action, so that it lies under the same place as the action. The record's transaction is the
//! digest of what was signed, the whole change included; the body is short and for people and programs to read.
//!
//! Every other topic below `audit.` is a sequence of records that an ordering peer posts (`log.audit`) from a source
//! outside the ledger, such as the certificates folder. Each record names the digest of the one before: whoever posts
//! twice, late, or from a source that has been changed is refused, so that a sequence has each record once, in order.

use super::Context;
use super::assets::Recovery;
use super::channel::Subject;
use super::logs::{self, is_topic};
use crate::action::logs::Audit;
use crate::codec::{Decode, Encode};
use crate::config::ConfigChange;
use crate::detail::{Detail, Part, Party};
use crate::hash::{Hash, HexBytes};
use crate::identity::{Identity, is_label};
use crate::keys::Address;
use crate::keyspace;
use crate::limits::LOG_BODY_BYTES_MAX;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::record::Record;
use crate::rights::{Class, Grant, Grantee, is_act};
use crate::time::Time;
use serde::Serialize;

/// Acts on this channel, written by execution.
pub const CHANNEL: &str = "audit.channel";
/// Acts on certificates: the index of an authorities' folder.
pub const CERTIFICATE: &str = "audit.certificate";

/// Most changes of a proposal, and most certificates, that a record tells of; proposal and receipt have them all.
pub(super) const CHANGES_TOLD_MAX: usize = 16;

/// The newest record of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct AuditHead {
    /// Its digest.
    pub digest: Hash,
    /// The block that appended it.
    pub height: u64,
    /// Whose sequence it is: the seal key's address that appended it.
    pub author: Address,
}

impl Record for AuditHead {}

/// The body of an `audit.channel` record, as JSON with these fields in this order.
#[derive(Debug, Serialize)]
#[serde(tag = "act")]
pub(super) enum Act<'a> {
    /// An address was bound to an identity.
    #[serde(rename = "participant.admit")]
    Admit {
        /// The identity, whose certificate's key consented.
        who: &'a Identity,
        /// By which certificate.
        why: String,
        /// The address.
        address: Address,
        /// When the certificate expires.
        not_after: Time,
    },
    /// What a certificate admitted ended.
    #[serde(rename = "participant.revoke")]
    Revoke {
        /// The administrator, or the CA whose answer was posted.
        who: String,
        /// The reason given.
        why: &'a str,
        /// Whose certificate, if it was admitted here.
        identity: Option<&'a Identity>,
        /// Which.
        serial: &'a HexBytes,
        /// Serial numbers of the others of its compromised key that ended with it, the first [`CHANGES_TOLD_MAX`].
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        also: &'a [HexBytes],
    },
    /// A member's CA goes on under another certificate of its key.
    #[serde(rename = "channel.renew_authority")]
    RenewAuthority {
        /// The CA, whose key consented.
        who: String,
        /// By which certificate.
        why: String,
        /// When that expires.
        not_after: Time,
        /// The first height that it is listed for.
        effective: u64,
    },
    /// Configuration changes or a recovery were proposed, which is their proposer's approval.
    #[serde(rename = "channel.propose")]
    Propose(Ballot<'a>),
    /// They were approved.
    #[serde(rename = "channel.approve")]
    Approve(Ballot<'a>),
    /// What had become movable of a recovered account's followed to its successor.
    #[serde(rename = "account.recover")]
    Recover {
        /// The administrator.
        who: &'a Identity,
        /// The reason given.
        why: &'a str,
        /// The recovered account.
        from: Address,
        /// The successor that was decided on.
        to: Address,
        /// Movements.
        moves: usize,
    },
    /// A proposal was taken back.
    #[serde(rename = "channel.withdraw")]
    Withdraw {
        /// The administrator.
        who: &'a Identity,
        /// The reason given.
        why: &'a str,
        /// The proposal.
        proposal: Hash,
    },
    /// An identity ended, with all that it was admitted with.
    #[serde(rename = "participant.end")]
    End {
        /// The administrator.
        who: &'a Identity,
        /// The reason given.
        why: &'a str,
        /// Whose participation.
        identity: &'a Identity,
    },
    /// An identity that ended may be admitted again.
    #[serde(rename = "participant.reinstate")]
    Reinstate {
        /// The administrator.
        who: &'a Identity,
        /// The reason given.
        why: &'a str,
        /// Whose participation.
        identity: &'a Identity,
    },
    /// A CA whose key others have is listed no more.
    #[serde(rename = "channel.revoke_authority")]
    RevokeAuthority {
        /// The CA, whose key said so.
        who: String,
        /// Why, in RFC 5280's words.
        why: &'a str,
        /// Its key.
        authority: Hash,
        /// The key of the CA that took its place, as it had named, if one did.
        #[serde(skip_serializing_if = "Option::is_none")]
        successor: Option<Hash>,
        /// The first height at which it is not listed.
        effective: u64,
    },
}

/// An approval, and what became of the proposal with it.
#[derive(Debug, Serialize)]
pub(super) struct Ballot<'a> {
    /// The administrator.
    pub(super) who: &'a Identity,
    /// The proposal's reason.
    pub(super) why: &'a str,
    /// The proposal: the id of the transaction that proposed.
    pub(super) proposal: Hash,
    /// The subject in words, of changes the first [`CHANGES_TOLD_MAX`].
    pub(super) changes: Vec<String>,
    /// Organizations that approved so far.
    pub(super) approvals: usize,
    /// Organizations needed.
    pub(super) needed: usize,
    /// The first height that the changes rule, or the one of the recovery, if this was the last approval needed.
    pub(super) effective: Option<u64>,
}

/// Records an act on the channel.
pub(super) fn record(context: &mut Context<'_>, act: &Act<'_>) -> Result<(), Refusal> {
    let body = serde_json::to_string(act).expect("texts and numbers serialize");
    logs::write(context, CHANNEL, None, &body)
}

/// `log.audit`.
pub(super) fn append(context: &mut Context<'_>, body: &Audit) -> Result<(), Refusal> {
    if !is_topic(&body.topic) || !is_act(Class::Logs, &body.topic) || body.topic == CHANNEL {
        return reject(ResultCode::InvalidField, Detail::AuditTopic {});
    }
    if body.body.len() > LOG_BODY_BYTES_MAX {
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Body, most: LOG_BODY_BYTES_MAX as u64 });
    }
    let author = context.acting();
    if !context.config().peers.iter().any(|peer| peer.key.address() == author) {
        return reject(ResultCode::NoRight, Detail::Only { party: Party::OrderingPeer });
    }
    let key = keyspace::audit_head(&body.topic, &body.source);
    let head: Option<AuditHead> = context.get(&key)?;
    // One faulty peer of several must not write on in another's name. Who has left the order is followed.
    let orders = |address: Address| context.config().peers.iter().any(|peer| peer.key.address() == address);
    if head.is_some_and(|head| head.author != author && orders(head.author)) {
        return reject(ResultCode::NoRight, Detail::Only { party: Party::SequenceOwner });
    }
    let last = head.map_or(Hash::ZERO, |head| head.digest);
    if body.previous != last {
        return reject(ResultCode::AuditOutOfSequence, Detail::LastDigest { digest: last });
    }
    if body.digest == Hash::ZERO || body.digest == last {
        return reject(ResultCode::InvalidField, Detail::DigestTaken {});
    }
    context.put(key, &AuditHead { digest: body.digest, height: context.height(), author });
    logs::write(context, &body.topic, Some(body.digest), &body.body)
}

/// What is proposed, in words. Long changes and strange names are cut: a record stays within the limit of a body.
pub fn in_words(subject: &Subject) -> Vec<String> {
    let changes = match subject {
        Subject::Configuration(changes) => changes,
        Subject::Recovery(Recovery { from, to, asset }) => {
            let what = asset.as_deref().map(|asset| format!(", of {} now", name(asset))).unwrap_or_default();
            return vec![format!("{to} has what is {from}'s{what}")];
        }
    };
    let mut told: Vec<String> = changes.iter().take(CHANGES_TOLD_MAX).map(words).collect();
    if changes.len() > CHANGES_TOLD_MAX {
        told.push(format!("and {} more", changes.len() - CHANGES_TOLD_MAX));
    }
    told
}

fn words(change: &ConfigChange) -> String {
    match change {
        ConfigChange::Grant(Grant { to, rights }) => format!("grant {} to {}", list(rights.iter()), grantee(to)),
        ConfigChange::Deny(Grant { to, rights }) => format!("deny {} to {}", list(rights.iter()), grantee(to)),
        ConfigChange::PutOrganization(member) => {
            format!("organization {} with {} CA certificates", name(&member.name), member.authorities.len())
        }
        ConfigChange::RemoveOrganization { name: organization } => {
            format!("remove organization {}", name(organization))
        }
        ConfigChange::SetLimits(_) => "set limits".into(),
        ConfigChange::SetFees(_) => "set fees".into(),
        ConfigChange::SetApprovals { approvals } => format!("approvals: {}", approvals.text()),
        ConfigChange::SetPeers { peers, threshold } => {
            format!("set {} ordering peers, threshold {threshold}", peers.len())
        }
        ConfigChange::SetRules { rules } => format!("rules: {rules}"),
        ConfigChange::SetWitnesses { witnesses } => format!("witnesses: {}", witnesses.text()),
        ConfigChange::SetBudgets(_) => "set budgets".into(),
        ConfigChange::SetPublicRead { public_read } => match public_read {
            true => "anybody may read".into(),
            false => "reading needs a right".into(),
        },
        ConfigChange::SetOpenSubmit { open_submit } => match open_submit {
            true => "anybody may submit".into(),
            false => "submitting needs a right".into(),
        },
    }
}

fn list(rights: impl Iterator<Item = crate::rights::Right>) -> String {
    rights.map(|right| right.to_string()).collect::<Vec<_>>().join(" ")
}

fn grantee(to: &Grantee) -> String {
    match to {
        Grantee::Organization(organization) => name(organization).into(),
        Grantee::Identity(identity) => identity.to_string(),
    }
}

/// What a change takes away need not have a name that could have been given.
fn name(organization: &str) -> &str {
    if is_label(organization) { organization } else { "(no name)" }
}

#[cfg(test)]
mod tests;
