//! A consortium for tests, with the keys in hand so that bad certificates can be made as well as good ones.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use ca::{Authority, KeyPair, LeafRequest, Validity, limits::DAY_MS};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::{
    AlternativeName, KeyAlgorithm, RevocationPolicy, TrustBundle, TrustStore, trust::revocation::RevocationError,
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;

/// When the tests take place.
pub const NOW: Time = Time::from_millis(1_800_000_000_000);
pub const CONSORTIUM: &str = "harbour.example";

pub fn days(days: u64) -> Validity {
    Validity::starting(Time::from_millis(NOW.millis() - DAY_MS), days * DAY_MS + DAY_MS)
}

pub fn identity(text: &str) -> Identity {
    Identity::parse(&format!("spiffe://{CONSORTIUM}/{text}")).unwrap()
}

pub fn root(algorithm: KeyAlgorithm) -> Authority {
    Authority::new_root(CONSORTIUM, KeyPair::generate(algorithm).unwrap(), days(3650)).unwrap()
}

/// An issuing CA, and a copy of its key for what the authority refuses to sign.
pub struct Issuing {
    pub authority: Authority,
    pub issuer: Issuer<'static, KeyPair>,
}

impl Issuing {
    pub fn under(root: &Authority, organization: &str, algorithm: KeyAlgorithm) -> Self {
        let key = KeyPair::generate(algorithm).unwrap();
        let der = root.certify_intermediate(organization, key.public(), days(1000)).unwrap();
        Self::of(&der, key)
    }

    pub fn of(der: &[u8], key: KeyPair) -> Self {
        let copy = KeyPair::from_pkcs8(key.pkcs8()).unwrap();
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(der), copy).unwrap();
        Self { authority: Authority::load(der, key).unwrap(), issuer }
    }

    pub fn leaf(&self, identity: &Identity, key: &KeyPair) -> Vec<u8> {
        let names: Vec<AlternativeName> = match identity.role() {
            ledger_classes::primitives::identity::Role::Peer => {
                vec!["localhost".parse().unwrap(), "127.0.0.1".parse().unwrap()]
            }
            _ => Vec::new(),
        };
        let request = LeafRequest { identity, public_key: key.public(), alternative_names: &names, validity: days(90) };
        self.authority.issue_leaf(&request, Authority::draw_serial().unwrap()).unwrap()
    }

    /// A leaf of a client as the authority would make it, but for one change.
    pub fn changed_leaf(&self, uri: &str, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = leaf_params(uri);
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

/// What the authority puts into a client's leaf.
pub fn leaf_params(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&[1, 2, 3]));
    (params.not_before, params.not_after) = (date(days(90).not_before), date(days(90).not_after));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "alice");
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params
}

/// A trust store with all that a bundle has in force.
pub fn trust_store(bundle: &TrustBundle) -> TrustStore {
    let TrustBundle { anchors, issuing, crls, .. } = bundle.clone();
    let store = TrustStore::new(CONSORTIUM, anchors, issuing, RevocationPolicy::default()).unwrap();
    for crl in &crls {
        // One that a newer one has made needless.
        let needless = store.install_crl(crl).err();
        assert!(needless.as_ref().is_none_or(RevocationError::is_needless), "{needless:?}");
    }
    store
}

pub fn date(time: Time) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(i64::try_from(time.millis() / 1000).unwrap()).unwrap()
}
