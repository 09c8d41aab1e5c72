//! Participant records: who may sign on a channel. Execution decides by these alone, never by a connection, a
//! local CRL or a clock, so every peer and every replay decides the same.

use crate::formats::detail::{PathFault, PathRefusal};
use crate::keys::{Address, PublicKey};
use crate::primitives::codec;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, HexBytes, Tag};
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::record::Record;
use serde::Serialize;
use std::ops::Range;

/// An address bound to an identity.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Participant {
    /// The identity; its organization and role come with it.
    pub identity: Identity,
    /// Serial number of the certificate that admitted it, big-endian.
    pub serial: HexBytes,
    /// The key of the CA that issued it, as [`CertificatePaths::authority_key`] tells it.
    pub issuer: Hash,
    /// The certificate's own key, as [`certificate_key`] tells it.
    pub key: Hash,
    /// The keys of the CAs on the certificate's path, as [`CertifiedIdentity::authorities`].
    pub authorities: Vec<Hash>,
    /// The CA certificates between this one and the CA that the channel listed: the participation holds as long as they do.
    pub above: Vec<CertificateName>,
    /// When that certificate expires; block time decides.
    pub not_after: Time,
    /// Height of the admission or its last renewal.
    pub admitted_height: u64,
    /// Height of the revocation.
    pub revoked_height: Option<u64>,
    /// Height of the last revocation before this admission, if there was one: what was offered before it stays void.
    pub revoked_before: Option<u64>,
}

impl Record for Participant {}

impl Participant {
    /// What tells this admission from those by another certificate or another path of it, whenever it was made.
    pub fn admission(&self) -> Hash {
        let timeless = Self { admitted_height: 0, revoked_height: None, revoked_before: None, ..self.clone() };
        Hash::tagged(Tag::Admission, &[&codec::encode(&timeless)])
    }
}

/// What a channel keeps of an identity, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct KnownIdentity {
    /// Its addresses that are admitted and not revoked, in the order of admission: at most
    /// [`crate::limits::ADDRESSES_MAX`].
    pub addresses: Vec<Address>,
    /// Height at which its organization ended it last: no certificate that was admitted under this name until then is
    /// admitted again.
    pub ended_height: Option<u64>,
    /// Whether its organization has reinstated it since: other certificates of it are admitted.
    pub reinstated: bool,
}

impl Record for KnownIdentity {}

impl KnownIdentity {
    /// Whether nothing of it is admitted at present.
    pub const fn is_ended(&self) -> bool {
        self.ended_height.is_some() && !self.reinstated
    }
}

/// A certificate as revocations name it: serial numbers are unique for one CA only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct CertificateName {
    /// The key of the CA that issued it, as [`CertificatePaths::authority_key`] tells it.
    pub issuer: Hash,
    /// Serial number, big-endian, as in the certificate without sign byte.
    pub serial: HexBytes,
}

/// A certificate that was admitted or revoked on the channel, by its CA's key and its serial number: a revoked one is not
/// admitted, whether or not the channel had met it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct KnownCertificate {
    /// Whose it is, if it was admitted.
    pub holder: Option<CertificateHolder>,
    /// Height of the revocation.
    pub revoked_height: Option<u64>,
    /// Whether its CA says that its key was compromised.
    pub compromised: bool,
}

impl Record for KnownCertificate {}

/// Who was admitted with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct CertificateHolder {
    /// The identity.
    pub identity: Identity,
    /// The certificate's key, as [`certificate_key`] tells it.
    pub key: Hash,
}

/// What an organization calls a certificate by, and its administrators revoke: the identity and the serial number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct NamedCertificate {
    /// The keys of the CAs that issued such a certificate that was admitted here.
    pub issuers: Vec<Hash>,
    /// Height of the revocation by an administrator.
    pub revoked_height: Option<u64>,
    /// Height of the first admission.
    pub admitted_height: Option<u64>,
}

impl Record for NamedCertificate {}

/// A key that one CA's certificates are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct CertificateKey {
    /// Addresses whose records name this key and CA, in the order of admission.
    pub addresses: Vec<Address>,
    /// The block in which that CA said that the key was compromised.
    pub compromised_height: Option<u64>,
}

impl Record for CertificateKey {}

/// How a certificate's key is told: the hash of its scheme byte and itself, tag `chancery/certificate-key/1`.
pub fn certificate_key(key: &PublicKey) -> Hash {
    Hash::tagged(Tag::CertificateKey, &[&[key.scheme().byte()], key.bytes()])
}

/// What a verified certificate path says of its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedIdentity {
    /// The SPIFFE ID.
    pub identity: Identity,
    /// Serial number, big-endian, as in the certificate without sign byte.
    pub serial: Vec<u8>,
    /// The key of the CA that issued it, as [`CertificatePaths::authority_key`] tells it.
    pub issuer: Hash,
    /// When the leaf expires.
    pub not_after: Time,
    /// The leaf's key.
    pub key: PublicKey,
    /// The keys of the CAs on its verified path, the issuing one first, root included, each as
    /// [`CertificatePaths::authority_key`] tells it.
    pub authorities: Vec<Hash>,
    /// The CA certificates of the path below the root.
    pub above: Vec<CertificateName>,
}

/// A certificate that its own CA says is revoked. Whose it is the answer does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Which.
    pub certificate: CertificateName,
    /// The organization of the CA; `None` for the consortium's root.
    pub organization: Option<String>,
    /// Why.
    pub cause: RevocationCause,
}

/// Why a CA has revoked a certificate: reasons of RFC 5280 §5.3.1 with their numbers. Their names are in events and audit
/// records, which are hashed: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RevocationCause {
    /// Not said.
    Unspecified = 0,
    /// The private key is known or suspected to be known to others.
    KeyCompromise = 1,
    /// The issuing CA's key is.
    CaCompromise = 2,
    /// The holder changed its organization or role.
    AffiliationChanged = 3,
    /// Replaced by another certificate.
    Superseded = 4,
    /// No longer needed.
    CessationOfOperation = 5,
    /// A right that the certificate stood for was withdrawn.
    PrivilegeWithdrawn = 9,
}

impl RevocationCause {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// Whether it says that the certificate's key was compromised.
    pub const fn is_compromise(self) -> bool {
        matches!(self, Self::KeyCompromise)
    }
}

/// A CA certificate that continues one that a channel lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityContinuation {
    /// Which of those listed: of several with this key the one that ends last.
    pub replaces: usize,
    /// When that one expires.
    pub listed_not_after: Time,
    /// Serial number of the new one, as in [`CertifiedIdentity`].
    pub serial: Vec<u8>,
    /// From when the new one holds.
    pub not_before: Time,
    /// When it expires.
    pub not_after: Time,
}

/// What a CA certificate says of itself. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFacts {
    /// The consortium.
    pub consortium: String,
    /// The organization that it may vouch for; `None` for the consortium's root.
    pub organization: Option<String>,
    /// From when it holds.
    pub not_before: Time,
    /// When it expires.
    pub not_after: Time,
}

/// Which certificates, paths and answers of CAs are good: a rule of the channel's configuration, so that two builds never
/// disagree about it. What changes any verdict is a version of its own, and the versions before it stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum PathRules {
    /// The first: the profile of docs/formats/certificates.md.
    V1 = 1,
}

impl PathRules {
    /// The newest.
    pub const NEWEST: Self = Self::V1;

    /// The number.
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// Verifies certificate paths. A trait, because X.509 is `pki`'s matter and not this room's; an implementation must
/// be a pure function of its arguments, since every peer and every replay must get the same answer. What it refuses with
/// is of a closed, numbered enumeration: no words of a certificate library reach a receipt, or decide one.
pub trait CertificatePaths: Send + Sync {
    /// Under `rules` as every question that can be refused: verifies `path` (DER, leaf first, without the root) up to
    /// one of `roots` (DER) at `time`.
    fn verify(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        roots: &[&[u8]],
        time: Time,
    ) -> Result<CertifiedIdentity, PathRefusal>;

    /// The organization that a leaf (DER) says it is of, of which nothing is verified. `None`: it is no leaf of ours.
    fn claimed_organization(&self, rules: PathRules, leaf: &[u8]) -> Option<String>;

    /// From when on and up to when [`Self::verify`] says of these what it says at `time`, as far as can be told without
    /// asking it.
    fn steady(&self, _: PathRules, path: &[&[u8]], roots: &[&[u8]], time: Time) -> Range<Time> {
        let _ = (path, roots);
        time..time.plus_millis(1)
    }

    /// Whether `certificate` (DER) can be a CA of `organization` in `consortium`, as far as it says itself; its dates do
    /// not matter. An implementation without CAs takes all.
    fn authority(
        &self,
        _: PathRules,
        certificate: &[u8],
        consortium: &str,
        organization: &str,
    ) -> Result<(), PathRefusal> {
        let _ = (certificate, consortium, organization);
        Ok(())
    }

    /// What tells the key of a CA certificate (DER): the same for each certificate of one key, under all rules, since it is
    /// kept. `None` if there is none. An implementation without CAs takes each certificate for a key of its own.
    fn authority_key(&self, _: PathRules, certificate: &[u8]) -> Option<Hash> {
        Some(Hash::plain(&[certificate]))
    }

    /// What a CA certificate (DER) says of itself. An implementation without CAs knows none.
    fn authority_facts(&self, _: PathRules, certificate: &[u8]) -> Result<AuthorityFacts, PathRefusal> {
        let _ = certificate;
        Err(PathFault::NoCertificates.into())
    }

    /// Verifies that `certificate` (DER, a CA's) says what one of `listed` says but for its dates, serial number and
    /// issuer, and that the key of both signed `message`. The dates are the caller's to judge. An implementation
    /// without CAs accepts none.
    fn continuation(
        &self,
        _: PathRules,
        certificate: &[u8],
        listed: &[&[u8]],
        message: &[u8],
        proof: &[u8],
    ) -> Result<AuthorityContinuation, PathRefusal> {
        let _ = (certificate, listed, message, proof);
        Err(PathFault::NoCertificates.into())
    }

    /// Verifies that `evidence` is an OCSP answer (DER) of a CA whose own certificate is the first of `path` (DER, CA
    /// certificates only, without the root) or, where that is empty, one of `roots`, that `path` leads to one of `roots`,
    /// and that the answer says that a certificate is revoked. Dates do not matter: what is revoked stays so. An
    /// implementation without CAs accepts none.
    fn revocation(
        &self,
        _: PathRules,
        path: &[&[u8]],
        evidence: &[u8],
        roots: &[&[u8]],
    ) -> Result<RevokedCertificate, PathRefusal> {
        let _ = (path, evidence, roots);
        Err(PathFault::NoCertificates.into())
    }
}

/// No certificate is accepted: for channels and tests without any.
pub struct NoCertificates;

impl CertificatePaths for NoCertificates {
    fn verify(&self, _: PathRules, _: &[&[u8]], _: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        Err(PathFault::NoCertificates.into())
    }

    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        None
    }
}

/// What a certificate's key signs to show that its holder wants `address` bound to it on `channel`.
pub fn possession_message(channel: &Hash, address: &Address) -> Vec<u8> {
    Tag::Possession.message(&[&channel.0, &address.0])
}

/// What a CA's key signs to say that it goes on under `certificate` (DER) on `channel`, where its organization's CAs
/// are those `listed`, by the configuration that the block at `configured` set. A consent is bound to the configuration
/// that it was given for, so it cannot be replayed after the members have decided otherwise, even if the same list
/// comes back.
pub fn authority_message(channel: &Hash, configured: u64, listed: &[HexBytes], certificate: &[u8]) -> Vec<u8> {
    let listed = Hash::tagged(Tag::Authorities, &[&codec::encode(&listed.to_vec())]);
    Tag::Authority.message(&[&channel.0, &configured.to_le_bytes(), &listed.0, certificate])
}

/// What a CA's key signs to say that others have it (RFC 5280 §5.3.1, `cACompromise`). It holds on every channel and for
/// ever: whoever brings it, and wherever the key is listed again, it vouches for nobody.
pub fn authority_compromise_message(key: &Hash) -> Vec<u8> {
    Tag::AuthorityCompromise.message(&[&key.0])
}

/// What the same key signs to name the CA that takes its place where nobody could list another one, by its certificate
/// (DER): a channel knows no root above the CAs that it lists, so of a key alone anybody could show a certificate that is
/// good for nothing. The successor's key signs the same.
pub fn authority_successor_message(key: &Hash, certificate: &[u8]) -> Vec<u8> {
    Tag::AuthoritySuccessor.message(&[&key.0, certificate])
}
