//! Bodies of what concerns the channel itself: who takes part, and its configuration.

use crate::formats::config::ConfigChange;
use crate::keys::{Address, Signature};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::Identity;
use serde::{Deserialize, Serialize};

/// `participant.admit`: needs no right, since path and possession carry the authority. The address's own key is among
/// the transaction's signers: an address is bound by its owner only.
/// A later admission of the same address renews its record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admit {
    /// The address to bind.
    pub address: Address,
    /// DER certificates, leaf first, without the root.
    pub path: Vec<HexBytes>,
    /// By the leaf's key, over tag `chancery/possession/1`, channel id and address.
    pub possession: Signature,
}

/// `participant.revoke`, by an administrator of the identity's organization: one certificate of it, or, without a serial
/// number, the identity: whatever it is admitted with ends, and no certificate of it is admitted until it is reinstated.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Whose certificate.
    pub identity: Identity,
    /// The certificate's serial number, big-endian; all of the identity if absent.
    #[serde(default)]
    pub serial: Option<HexBytes>,
    /// Why, for people to read.
    #[serde(default)]
    pub reason: String,
}

/// `participant.reinstate`, by an administrator of the identity's organization: certificates of it are admitted again, but
/// none that was admitted before the identity ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reinstate {
    /// Whose participation ended.
    pub identity: Identity,
    /// Why, for people to read.
    #[serde(default)]
    pub reason: String,
}

/// `participant.revoke_by_evidence`: anybody may post it, since the CA's answer carries the authority. It tells the
/// certificate by its CA's key and its serial number, and nobody's name, so that it may go to channels that have not met
/// whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeByEvidence {
    /// DER certificates of CAs: that of the CA that answers first, up to one that the channel lists and without it. Empty
    /// where the channel lists the CA that answers.
    pub path: Vec<HexBytes>,
    /// DER of an OCSP answer of that CA that says revoked.
    pub evidence: HexBytes,
}

/// `channel.renew_authority`: anybody may post it, since the CA's key signs. Another certificate of a listed CA takes
/// the place of the one that comes to its end or has passed it: the same name, key and extensions, valid at block time
/// and for at least 30 days longer, and no earlier than a year before that end. It takes effect as a change of
/// configuration does, from the next block on, and needs no approval: the key is the one that the channel lists.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewAuthority {
    /// The member whose CA it is.
    pub organization: String,
    /// The new certificate, DER.
    pub certificate: HexBytes,
    /// By the CA's key, over tag `chancery/authority/1`, channel id and certificate; an ECDSA signature in ASN.1.
    pub proof: HexBytes,
}

/// `channel.revoke_authority`: anybody may post it, since the CA's key signs that others have it. From the next block on
/// no member lists that key, and whom it vouched for may sign nothing. It takes effect as a change of configuration does and
/// needs no approval, since whoever has the key takes only from itself. Where nobody could change the channel afterwards the
/// successor takes its place; it is refused there if none is named, and the successor is not looked at anywhere else.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeAuthority {
    /// A certificate of the CA, DER, with the name and extensions of the one that is listed.
    pub certificate: HexBytes,
    /// By the CA's key, over tag `chancery/authority-compromise/1` and the SHA-256 of its SubjectPublicKeyInfo; an ECDSA
    /// signature in ASN.1.
    pub proof: HexBytes,
    /// The CA that takes its place where nobody could list another one.
    #[serde(default)]
    pub successor: Option<NamedSuccessor>,
}

/// A CA that another one's key has named as its successor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSuccessor {
    /// A CA certificate of the same organization with another key, DER.
    pub certificate: HexBytes,
    /// By the key of the CA that ends, over tag `chancery/authority-successor/1`, the SHA-256 of that key's
    /// SubjectPublicKeyInfo and the certificate; an ECDSA signature in ASN.1.
    pub proof: HexBytes,
    /// By the key of this CA over the same: whoever names it has, or was given, its word.
    pub possession: HexBytes,
}

/// `channel.propose`: the proposal's id is the transaction's id. The proposer approves.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    /// Applied in order, all or nothing.
    pub changes: Vec<ConfigChange>,
    /// Why, for people to read.
    #[serde(default)]
    pub reason: String,
}

/// `channel.withdraw`, by an administrator of the proposer's organization: the proposal can no longer be approved.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// The proposal.
    pub proposal: Hash,
    /// Why, for people to read.
    #[serde(default)]
    pub reason: String,
}

/// `channel.approve`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The proposal.
    pub proposal: Hash,
}
