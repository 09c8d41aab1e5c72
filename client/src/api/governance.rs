//! Who takes part in a channel, and what is proposed there.

use ledger_classes::formats::config::ConfigChange;
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::time::Time;
use serde::{Deserialize, Serialize};

/// Whether a participant may sign, as of the block time of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantStanding {
    /// It may.
    Admitted,
    /// Its certificate was revoked.
    Revoked,
    /// Its certificate has expired: it is admitted again with the next one.
    Expired,
    /// No CA that vouches for its certificate is listed for its organization and good: it is admitted again with another.
    Unvouched,
    /// Its organization has ended the identity: nobody is admitted under that name until it is reinstated.
    Ended,
}

/// An address bound to an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantView {
    /// The address.
    pub address: Address,
    /// The identity.
    pub identity: String,
    /// Its organization.
    pub organization: String,
    /// Its role: `peer`, `admin`, `client` or `auditor`.
    pub role: String,
    /// Whether it may sign.
    pub standing: ParticipantStanding,
    /// Serial number of the certificate that admitted it.
    pub serial: HexBytes,
    /// When that certificate expires.
    pub not_after: Time,
    /// Height of the admission or its last renewal.
    pub admitted_height: u64,
    /// Height of the revocation.
    pub revoked_height: Option<u64>,
    /// Height at which its organization ended the identity, if it has not reinstated it since.
    pub ended_height: Option<u64>,
}

/// An administrator's yes to a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// The organization that it counts for.
    pub organization: String,
    /// Who.
    pub by: String,
    /// The block.
    pub approved_height: u64,
    /// Whether it counts now: its giver may sign and administers, was not revoked since, and the organization has been a
    /// member all along.
    pub counts: bool,
}

/// A successor that is proposed for a revoked participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryView {
    /// The revoked participant.
    pub from: Address,
    /// The successor.
    pub to: Address,
    /// What moves at once, if not all.
    pub asset: Option<String>,
}

/// What becomes of a CA by a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorityChange {
    /// Its key is not listed for the member yet, and would be.
    Lists,
    /// Its key is listed for the member, and stays.
    Keeps,
    /// Its key is listed for the member, and would not be any more.
    Drops,
}

/// A CA certificate that a proposal is about, as of the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedAuthorityView {
    /// What becomes of it.
    pub change: AuthorityChange,
    /// The member for which it is listed: whoever has its key can be that member.
    pub member: String,
    /// Its subject.
    pub subject: String,
    /// The organization that it can vouch for; none of a consortium's root, which can certify CAs of any.
    pub organization: Option<String>,
    /// SHA-256 of its SubjectPublicKeyInfo, as `chancery ca trust show` tells it: compare it with what the member says.
    pub key: Hash,
    /// Its serial number.
    pub serial: HexBytes,
    /// Until when it is valid.
    pub not_after: Time,
    /// Whether this peer knows, from a CA's list or from its folder, that others have the key or that the certificate was
    /// revoked.
    pub compromised: bool,
}

/// What waits for approvals, or has ended, with what it needs under the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalView {
    /// The transaction that proposed.
    pub id: Hash,
    /// `configuration` or `recovery`.
    pub kind: String,
    /// `open`, `done`, `withdrawn` or `lapsed`.
    pub state: String,
    /// What is proposed, in words; of changes the first 16.
    pub summary: Vec<String>,
    /// The changes of the configuration; none of a recovery.
    pub changes: Vec<ConfigChange>,
    /// The CAs of the members whose entries would be other ones.
    pub authorities: Vec<ProposedAuthorityView>,
    /// The recovery.
    pub recovery: Option<RecoveryView>,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub by: String,
    /// The block that proposed it.
    pub proposed_height: u64,
    /// The block that ended it.
    pub ended_height: Option<u64>,
    /// Who approved, in order.
    pub approvals: Vec<ApprovalView>,
    /// Organizations whose approval counts now.
    pub approvals_given: usize,
    /// Organizations that must.
    pub approvals_needed: usize,
    /// Members of whom no approval counts now; empty once the proposal has ended.
    pub not_yet: Vec<String>,
}
