//! Certificate authorities: the only code that signs with a CA key.
//!
//! A consortium's root certifies issuing CAs and never leaves; an organization's issuing CA certifies leaves of that
//! organization and nothing else. Everything in a certificate but the public key is decided here: nothing that a
//! request asks for is copied. A leaf is linted before it is signed, under a key that is thrown away.

use crate::{
    keys::{
        error::KeyError,
        pair::{KeyPair, RcgenPublicKey},
        signer::Signer,
    },
    limits::ALTERNATIVE_NAMES_MAX,
};
use ledger_classes::primitives::identity::{Identity, ParseIdentityError, Role};
use ledger_classes::primitives::time::Time;
use pki::{
    limits::BACKDATE_MS,
    trust::{
        path::{Usage, verify_path},
        validation::PathError,
    },
    x509::{
        certificate::{Certificate, ProfileError},
        identifiers::{AlternativeName, KeyId, RevocationReason, Serial},
        ocsp::{self, OcspError},
        profile::AuthorityScope,
        public_key::{KeyAlgorithm, PublicKey},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    SigningKey,
};
use ring::rand::SystemRandom;
use rustls::pki_types::CertificateDer;
use std::{cell::RefCell, sync::Arc};
use time::OffsetDateTime;

/// From when to when a certificate holds. Certificates count whole seconds: fractions are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Time,
    /// The last second.
    pub not_after: Time,
}

impl Validity {
    /// From `start` for `millis`.
    pub const fn starting(start: Time, millis: u64) -> Self {
        Self { not_before: start, not_after: start.plus_millis(millis) }
    }

    /// From a little before `now` for `millis`.
    pub(crate) fn backdated(now: Time, millis: u64) -> Self {
        Self::starting(Time::from_millis(now.millis().saturating_sub(BACKDATE_MS)), millis)
    }
}

/// Certificates count whole seconds.
pub(crate) const fn whole_second(time: Time) -> Time {
    Time::from_millis(time.millis() / 1000 * 1000)
}

/// What a leaf is asked for: decided by the administrator or the policy, never copied from a request.
#[derive(Clone, Debug)]
pub struct LeafRequest<'a> {
    /// Who it stands for.
    pub identity: &'a Identity,
    /// Its key, of which the caller has a proof of possession.
    pub public_key: &'a PublicKey,
    /// Host names and addresses of a peer's TLS endpoint; empty for every other role.
    pub alternative_names: &'a [AlternativeName],
    /// Within that of the CA.
    pub validity: Validity,
}

/// An entry of a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedSerial {
    /// Which certificate.
    pub serial: Serial,
    /// When it was revoked.
    pub at: Time,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a CA does not sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Consortium or organization has no acceptable name.
    #[error("not an acceptable name")]
    Name(#[source] ParseIdentityError),
    /// The CA is not the consortium's root, and only that certifies issuing CAs.
    #[error("only the consortium's root certifies issuing CAs")]
    NotRoot,
    /// The consortium's root does not issue leaves.
    #[error("the consortium's root does not issue leaves")]
    NotIssuing,
    /// The identity is of another organization or consortium.
    #[error("{identity} does not belong to {organization}, or to its consortium")]
    ForeignIdentity {
        /// Whose certificate was asked for.
        identity: Box<Identity>,
        /// The CA's organization.
        organization: String,
    },
    /// Host names are for peers.
    #[error("only a peer has host names and addresses, at most {ALTERNATIVE_NAMES_MAX}")]
    AlternativeNames,
    /// Ends before it begins, or reaches beyond the CA's own.
    #[error("the validity is empty or reaches beyond the CA's own")]
    Validity,
    /// The CA's certificate has a name or a key identifier that a new one would not have.
    #[error("the CA's certificate was not made by this profile: another one would have another name")]
    OtherName,
    /// The key does not belong to the certificate.
    #[error("the CA's key does not belong to its certificate")]
    KeyMismatch,
    /// The key cannot be made or used.
    #[error("the key")]
    Key(#[from] KeyError),
    /// The CA certificate, or what was about to be signed, breaks its profile.
    #[error("the certificate breaks its profile")]
    Profile(#[from] ProfileError),
    /// What was signed does not verify: it is not handed out.
    #[error("the issued certificate does not verify")]
    Issued(#[from] PathError),
    /// An OCSP answer.
    #[error("the OCSP answer")]
    Ocsp(#[from] OcspError),
    /// The encoder refused.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(#[from] rcgen::Error),
}

/// A CA: its certificate and its key, with which nothing signs but the methods here.
#[derive(Debug)]
pub struct Authority {
    certificate: Vec<u8>,
    key: Arc<dyn Signer>,
    scope: AuthorityScope,
    validity: Validity,
    key_id: KeyId,
    serial: Serial,
    subject_key_identifier: Vec<u8>,
}

impl Authority {
    /// A consortium's root with a fresh key: certifies issuing CAs (path length 1).
    pub fn new_root(
        consortium: &str,
        key: impl Into<Arc<dyn Signer>>,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        Self::self_signed(AuthorityScope { consortium: consortium.into(), organization: None }, key.into(), validity)
    }

    /// An organization's CA that is a root of its own, with a fresh key: certifies leaves (path length 0).
    pub fn new_organization_root(
        consortium: &str,
        organization: &str,
        key: impl Into<Arc<dyn Signer>>,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        let scope = AuthorityScope { consortium: consortium.into(), organization: Some(organization.into()) };
        Self::self_signed(scope, key.into(), validity)
    }

    fn self_signed(scope: AuthorityScope, key: Arc<dyn Signer>, validity: Validity) -> Result<Self, AuthorityError> {
        let signing = RcgenKey::new(&*key);
        let params = authority_params(&scope, key.public(), validity, &Self::draw_serial()?)?;
        let certificate = signing.outcome(params.self_signed(&signing))?;
        Self::load(certificate.der(), Arc::clone(&key))
    }

    /// A new issuing CA of an organization under this root, with a fresh key.
    pub fn issue_intermediate(
        &self,
        organization: &str,
        key: impl Into<Arc<dyn Signer>>,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        let key = key.into();
        Self::load(&self.certify_intermediate(organization, key.public(), validity)?, key)
    }

    /// The certificate of an issuing CA whose organization keeps the key itself.
    pub fn certify_intermediate(
        &self,
        organization: &str,
        public_key: &PublicKey,
        validity: Validity,
    ) -> Result<Vec<u8>, AuthorityError> {
        if self.scope.organization.is_some() {
            return Err(AuthorityError::NotRoot);
        }
        self.check_validity(validity)?;
        let consortium = self.scope.consortium.clone();
        let scope = AuthorityScope { consortium, organization: Some(organization.into()) };
        self.certify(authority_params(&scope, public_key, validity, &Self::draw_serial()?)?, public_key)
    }

    /// Another certificate for a CA that has one (DER), under a serial that was drawn and recorded before: signed by
    /// this root, or by the CA itself if it is a root. Name, key and key identifier stay, so that everything that the
    /// CA has signed holds under both (RFC 5280 §4.2.1.1, §5.1.2.3).
    pub fn certify_again(
        &self,
        current: &[u8],
        validity: Validity,
        serial: &Serial,
    ) -> Result<Vec<u8>, AuthorityError> {
        let current = Certificate::parse(current)?;
        let scope = current.check_authority()?;
        let public_key = PublicKey::from_spki(current.spki()).map_err(KeyError::from)?;
        let params = authority_params(&scope, &public_key, validity, serial)?;
        if current.spki() == self.key.public().spki() {
            let signing = RcgenKey::new(&*self.key);
            return same_names(&current, signing.outcome(params.self_signed(&signing))?.der());
        }
        if self.scope.organization.is_some() || scope.organization.is_none() {
            return Err(AuthorityError::NotRoot);
        }
        self.check_validity(validity)?;
        same_names(&current, &self.certify(params, &public_key)?)
    }

    /// A link certificate (RFC 4210 §4.4): the key and name of another root of this consortium (DER), certified by this
    /// one, for those who trust only this one. Path length 0: it introduces a root, and no path goes through it.
    pub fn certify_root(&self, root: &[u8], validity: Validity, serial: &Serial) -> Result<Vec<u8>, AuthorityError> {
        let root = Certificate::parse(root)?;
        let scope = root.check_authority()?;
        if self.scope.organization.is_some() || scope != self.scope {
            return Err(AuthorityError::NotRoot);
        }
        self.check_validity(validity)?;
        let public_key = PublicKey::from_spki(root.spki()).map_err(KeyError::from)?;
        let mut params = authority_params(&scope, &public_key, validity, serial)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        same_names(&root, &self.certify(params, &public_key)?)
    }

    /// Signs the certificate of another CA.
    fn certify(&self, mut params: CertificateParams, public_key: &PublicKey) -> Result<Vec<u8>, AuthorityError> {
        params.use_authority_key_identifier_extension = true;
        let signing = RcgenKey::new(&*self.key);
        let certificate = signing.outcome(params.signed_by(&RcgenPublicKey(public_key), &self.issuer(&signing)?))?;
        Certificate::parse(certificate.der())?.check_authority()?;
        Ok(certificate.der().to_vec())
    }

    /// A CA from its files. Refuses a key that is not the certificate's.
    pub fn load(certificate: &[u8], key: impl Into<Arc<dyn Signer>>) -> Result<Self, AuthorityError> {
        let key = key.into();
        let parsed = Certificate::parse(certificate)?;
        let scope = parsed.check_authority()?;
        if parsed.spki() != key.public().spki() {
            return Err(AuthorityError::KeyMismatch);
        }
        let validity = Validity { not_before: parsed.not_before(), not_after: parsed.not_after() };
        Ok(Self {
            scope,
            validity,
            key_id: parsed.key_id(),
            serial: parsed.serial().clone(),
            subject_key_identifier: parsed.subject_key_identifier().unwrap_or_default().to_vec(),
            certificate: certificate.to_vec(),
            key,
        })
    }

    /// The CA certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// For whom it vouches.
    pub const fn scope(&self) -> &AuthorityScope {
        &self.scope
    }

    /// From when to when.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// From a little before `now` for `lifetime_ms`, within its own validity.
    pub(crate) fn within(&self, now: Time, lifetime_ms: u64) -> Validity {
        let start = Validity::backdated(now, lifetime_ms).not_before.max(self.validity.not_before);
        Validity { not_before: start, not_after: now.plus_millis(lifetime_ms).min(self.validity.not_after) }
    }

    /// What its certificates and CRLs are indexed by.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The CA certificate's own serial.
    pub const fn serial(&self) -> &Serial {
        &self.serial
    }

    /// A fresh serial: draw it and record the intention before [`Authority::issue_leaf`].
    pub fn draw_serial() -> Result<Serial, AuthorityError> {
        Serial::random(&SystemRandom::new()).map_err(|_| KeyError::Random.into())
    }

    /// A leaf certificate, DER, under a serial that was drawn and recorded before.
    pub fn issue_leaf(&self, request: &LeafRequest<'_>, serial: Serial) -> Result<Vec<u8>, AuthorityError> {
        let params = self.leaf_params(request, serial)?;
        // Lint before signing, as Let's Encrypt does: the same content under a key that nobody trusts.
        let throwaway = KeyPair::generate(self.key.public().algorithm())?;
        let draft = params.signed_by(&RcgenPublicKey(request.public_key), &self.issuer(&throwaway)?)?;
        let facts = Certificate::parse(draft.der())?.check_leaf()?;
        if facts.identity != *request.identity || facts.public_key != *request.public_key {
            return Err(ProfileError::Malformed.into());
        }
        let signing = RcgenKey::new(&*self.key);
        let issued = signing.outcome(params.signed_by(&RcgenPublicKey(request.public_key), &self.issuer(&signing)?))?;
        let leaf = issued.der().to_vec();
        let at = request.validity.not_before;
        verify_path(&[&leaf], &[&self.certificate], None, at, Usage::Participant)?;
        Ok(leaf)
    }

    /// Refuses what this CA may not certify.
    fn leaf_params(&self, request: &LeafRequest<'_>, serial: Serial) -> Result<CertificateParams, AuthorityError> {
        let identity = request.identity;
        let organization = self.scope.organization.as_deref().ok_or(AuthorityError::NotIssuing)?;
        if identity.organization() != organization || identity.consortium() != self.scope.consortium {
            return Err(AuthorityError::ForeignIdentity {
                identity: Box::new(identity.clone()),
                organization: organization.into(),
            });
        }
        let names = request.alternative_names;
        if (identity.role() != Role::Peer && !names.is_empty()) || names.len() > ALTERNATIVE_NAMES_MAX {
            return Err(AuthorityError::AlternativeNames);
        }
        self.check_validity(request.validity)?;

        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
        (params.not_before, params.not_after) = dates(request.validity);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, identity.name());
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if identity.role() == Role::Peer {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        for name in names {
            params.subject_alt_names.push(match name {
                AlternativeName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
                AlternativeName::Ip(address) => SanType::IpAddress(*address),
            });
        }
        Ok(params)
    }

    /// A CRL, DER. The caller sees to it that numbers only grow.
    pub fn issue_crl(
        &self,
        revoked: &[RevokedSerial],
        number: u64,
        this_update: Time,
        next_update: Time,
    ) -> Result<Vec<u8>, AuthorityError> {
        let entry = |entry: &RevokedSerial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(entry.serial.as_bytes()),
            revocation_time: date(entry.at),
            reason_code: reason_code(entry.reason),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date(this_update),
            next_update: date(next_update),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(self.subject_key_identifier.clone()),
        };
        let signing = RcgenKey::new(&*self.key);
        Ok(signing.outcome(params.signed_by(&self.issuer(&signing)?))?.der().to_vec())
    }

    /// An OCSP answer about a certificate of this CA, DER (RFC 6960 §4.2), to be served by anybody until `next_update`.
    pub fn answer_ocsp(
        &self,
        serial: &Serial,
        status: ocsp::Status,
        this_update: Time,
        next_update: Time,
    ) -> Result<Vec<u8>, AuthorityError> {
        let data = ocsp::response_data(&self.certificate, serial, status, this_update, next_update)?;
        let algorithm: &[u8] = match self.key.public().algorithm() {
            // RFC 8410 §3: 1.3.101.112 without parameters.
            KeyAlgorithm::Ed25519 => &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70],
            // RFC 5758 §3.2: ecdsa-with-SHA256 without parameters.
            KeyAlgorithm::P256 => &[0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
        };
        Ok(ocsp::response(&data, algorithm, &self.key.sign(&data)?))
    }

    fn issuer<K: SigningKey>(&self, key: K) -> Result<Issuer<'static, K>, AuthorityError> {
        Ok(Issuer::from_ca_cert_der(&CertificateDer::from(self.certificate.as_slice()), key)?)
    }

    /// Signs what one of our own formats asks of a CA's key; never the content of a certificate or list.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        Ok(self.key.sign(message)?)
    }

    fn check_validity(&self, validity: Validity) -> Result<(), AuthorityError> {
        let within = self.validity.not_before <= validity.not_before && validity.not_after <= self.validity.not_after;
        if within && validity.not_before < validity.not_after { Ok(()) } else { Err(AuthorityError::Validity) }
    }
}

/// A certificate that was made for a CA that has one, if its name and key identifier are what they were.
fn same_names(current: &Certificate<'_>, der: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    let made = Certificate::parse(der)?;
    made.check_authority()?;
    let same = made.subject() == current.subject()
        && made.spki() == current.spki()
        && made.subject_key_identifier() == current.subject_key_identifier();
    if same { Ok(der.to_vec()) } else { Err(AuthorityError::OtherName) }
}

/// The profile of CA certificates (docs/formats/certificates.md).
fn authority_params(
    scope: &AuthorityScope,
    key: &PublicKey,
    validity: Validity,
    serial: &Serial,
) -> Result<CertificateParams, AuthorityError> {
    let organization = scope.organization.as_deref();
    Identity::new(&scope.consortium, organization.unwrap_or("x"), Role::Peer, "x").map_err(AuthorityError::Name)?;
    if validity.not_after <= validity.not_before {
        return Err(AuthorityError::Validity);
    }
    // The key's first octets make the name of a renewed CA differ from its predecessor's, so that CRLs and paths
    // never mix the two up. RFC 5280 appendix A.1: a common name has at most 64 characters.
    let key_id = hex::encode(&KeyId::of_spki(&key.spki()).as_bytes()[..4]);
    let whose: String = organization.unwrap_or(&scope.consortium).chars().take(40).collect();
    let kind = if organization.is_some() { "CA" } else { "root CA" };

    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    (params.not_before, params.not_after) = dates(validity);
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, format!("{whose} {kind} {key_id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(u8::from(organization.is_none())));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{}", scope.consortium).try_into()?)];
    Ok(params)
}

fn date(time: Time) -> OffsetDateTime {
    let seconds = i64::try_from(time.millis() / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).expect("a Time lies before the year 10000")
}

fn dates(validity: Validity) -> (OffsetDateTime, OffsetDateTime) {
    (date(validity.not_before), date(validity.not_after))
}

/// RFC 5280 §5.3.1: `unspecified` is expressed by leaving the code out.
const fn reason_code(reason: RevocationReason) -> Option<rcgen::RevocationReason> {
    match reason {
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(rcgen::RevocationReason::KeyCompromise),
        RevocationReason::CaCompromise => Some(rcgen::RevocationReason::CaCompromise),
        RevocationReason::AffiliationChanged => Some(rcgen::RevocationReason::AffiliationChanged),
        RevocationReason::Superseded => Some(rcgen::RevocationReason::Superseded),
        RevocationReason::CessationOfOperation => Some(rcgen::RevocationReason::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(rcgen::RevocationReason::PrivilegeWithdrawn),
    }
}

/// A signer as rcgen takes it. rcgen cannot carry the reason why a key did not sign: it waits here.
pub(crate) struct RcgenKey<'a> {
    signer: &'a dyn Signer,
    failure: RefCell<Option<KeyError>>,
}

impl<'a> RcgenKey<'a> {
    pub(crate) const fn new(signer: &'a dyn Signer) -> Self {
        Self { signer, failure: RefCell::new(None) }
    }

    /// The result of a call to rcgen that signed with this key.
    pub(crate) fn outcome<R>(&self, result: Result<R, rcgen::Error>) -> Result<R, AuthorityError> {
        result.map_err(|error| match self.failure.take() {
            Some(failure) => failure.into(),
            None => error.into(),
        })
    }
}

impl rcgen::PublicKeyData for RcgenKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.signer.public().as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        RcgenPublicKey(self.signer.public()).algorithm()
    }
}

impl SigningKey for RcgenKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign(message).map_err(|error| {
            self.failure.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Authority, Validity};
    use ledger_classes::primitives::time::Time;
    use pki::KeyAlgorithm;

    /// A key whose token was pulled out.
    #[derive(Debug)]
    struct Absent(PublicKey);

    impl Signer for Absent {
        fn public(&self) -> &PublicKey {
            &self.0
        }

        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
            Err(KeyError::Rejected("no token".into()))
        }
    }

    #[test]
    fn why_a_key_did_not_sign_reaches_the_caller() {
        let public = KeyPair::generate(KeyAlgorithm::P256).unwrap().public().clone();
        let validity = Validity::starting(Time::from_millis(1_800_000_000_000), 1_000_000);
        let refused = Authority::new_root("harbour.example", Arc::new(Absent(public)) as Arc<dyn Signer>, validity);
        let Err(AuthorityError::Key(KeyError::Rejected(why))) = refused else { panic!("{refused:?}") };
        assert_eq!(why, "no token");
    }
}
