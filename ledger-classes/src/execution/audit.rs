//! Administrative acts as log records, under topics below `audit.` that `log.append` cannot write.
//!
//! `audit.channel` is written by execution itself, with the act that it tells of, on the channel that the act is on:
//! one record for each action, so that it lies under the same place as the action. The record's transaction is the
//! digest of what was signed, the whole change included; the body is short and for people and programs to read.
//!
//! Every other topic below `audit.` is a sequence of records that an ordering peer posts (`log.audit`) from a source
//! outside the ledger, such as the certificates folder. Each record names the digest of the one before: whoever posts
//! twice, late, or from a source that has been changed is refused, so that a sequence has each record once, in order.

pub use told::in_words;
pub(super) use told::{CHANGES_TOLD_MAX, Told, Who, told};

use super::Context;
use super::logs::{self, is_topic};
use crate::action::logs::Audit;
use crate::formats::detail::{Detail, Part, Party};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::rights::{Class, is_act};
use crate::keys::Address;
use crate::limits::LOG_BODY_BYTES_MAX;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::record::Record;
use serde::Serialize;

mod told;

/// Acts on this channel, written by execution.
pub const CHANNEL: &str = "audit.channel";
/// Acts on certificates: the index of an authorities' folder.
pub const CERTIFICATE: &str = "audit.certificate";

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
        /// The serial number of the certificate.
        certificate: &'a HexBytes,
        /// The address.
        address: Address,
        /// When the certificate expires.
        not_after: Time,
    },
    /// What a certificate admitted ended.
    #[serde(rename = "participant.revoke")]
    Revoke {
        /// The administrator, or the CA whose answer was posted.
        who: Who<'a>,
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
        who: Who<'a>,
        /// The serial number of the certificate.
        certificate: &'a HexBytes,
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
        who: Who<'a>,
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
    /// The subject, of changes the first [`CHANGES_TOLD_MAX`].
    pub(super) changes: Vec<Told>,
    /// How many changes there are beside these.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) more: usize,
    /// Organizations that approved so far.
    pub(super) approvals: usize,
    /// Organizations needed.
    pub(super) needed: usize,
    /// The first height that the changes rule, or the one of the recovery, if this was the last approval needed.
    pub(super) effective: Option<u64>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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

#[cfg(test)]
mod tests;
