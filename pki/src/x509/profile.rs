//! What a single certificate must look like, whoever issued it: the rules of RFC 5280, of the SPIFFE X.509-SVID
//! profile and of Chancery (docs/formats/certificates.md), each cited at its check.
//!
//! Signatures and paths are judged in [`crate::trust::path`]; nothing here trusts what it parses.

use crate::x509::{
    algorithms::PROFILE_ALGORITHMS,
    certificate::{Certificate, ProfileError},
    identifiers::AlternativeName,
    public_key::PublicKey,
};
use ledger_classes::primitives::identity::{Identity, Role, is_label};
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;

/// For whom a CA may vouch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityScope {
    /// The trust domain in its URI.
    pub consortium: String,
    /// The organization in its subject. `None` is the consortium's root: it certifies issuing CAs, never leaves.
    pub organization: Option<String>,
}

impl AuthorityScope {
    /// What a CA certificate claims: look at this before accepting it as an anchor, and compare it with the
    /// organization that it was handed in for. Its signature is not judged.
    pub fn of_certificate(der: &[u8]) -> Result<Self, ProfileError> {
        Certificate::parse(der)?.check_authority()
    }
}

/// What a well-formed leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// Who it stands for.
    pub identity: Identity,
    /// Whether it is for connections that its holder opens.
    pub client_auth: bool,
    /// Whether it is for connections that its holder answers.
    pub server_auth: bool,
    /// Its key.
    pub public_key: PublicKey,
}

impl<'a> Certificate<'a> {
    /// Checks that this is a leaf of ours.
    pub fn check_leaf(&self) -> Result<LeafFacts, ProfileError> {
        // X509-SVID §4.1: a leaf is not a CA; RFC 5280's rules for the end of a path.
        self.check_end_entity(PROFILE_ALGORITHMS)?;
        // RFC 5280 §4.2.1.3; X509-SVID §4.3.
        let (critical, usage) = self.key_usage().ok_or(ProfileError::LeafKeyUsage)?;
        if !critical || !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
            return Err(ProfileError::LeafKeyUsage);
        }
        let identity = self.identity()?;
        // RFC 5280 §4.2.1.12; X509-SVID §4.4: present, and not for anything else.
        let purposes = self.extended_key_usage().ok_or(ProfileError::ExtendedKeyUsage)?;
        let others = purposes.any
            || purposes.code_signing
            || purposes.email_protection
            || purposes.time_stamping
            || purposes.ocsp_signing
            || !purposes.other.is_empty();
        let server_in_wrong_hands = purposes.server_auth && identity.role() != Role::Peer;
        if others || server_in_wrong_hands || !(purposes.client_auth || purposes.server_auth) {
            return Err(ProfileError::ExtendedKeyUsage);
        }
        let public_key = PublicKey::from_spki(self.spki()).map_err(|_| ProfileError::LeafKey)?;
        Ok(LeafFacts { identity, client_auth: purposes.client_auth, server_auth: purposes.server_auth, public_key })
    }

    /// Checks that this is a CA of ours and says for whom it may vouch.
    pub fn check_authority(&self) -> Result<AuthorityScope, ProfileError> {
        self.check_ca()?;
        // RFC 5280 §4.2.1.3: a CA's key usage is present.
        if self.key_usage().is_none() {
            return Err(ProfileError::AuthorityKeyUsage);
        }
        let uri = self.only_uri(false)?;
        // X509-SVID §3.1: a CA's SPIFFE ID has no path. The consortium's characters are an identity's.
        let consortium = uri.strip_prefix("spiffe://").ok_or(ProfileError::AuthorityUri)?;
        Identity::new(consortium, "x", Role::Peer, "x").map_err(|_| ProfileError::AuthorityUri)?;
        // docs/decisions/0002: the organization stands in the subject.
        let mut organizations = self.x509().subject().iter_organization();
        let organization = match (organizations.next(), organizations.next()) {
            (None, _) => None,
            (Some(name), None) => match name.as_str() {
                Ok(name) if is_label(name) => Some(name.to_owned()),
                _ => return Err(ProfileError::AuthorityOrganization),
            },
            (Some(_), Some(_)) => return Err(ProfileError::AuthorityOrganization),
        };
        Ok(AuthorityScope { consortium: consortium.to_owned(), organization })
    }

    /// Whether this is a consortium's root that another one certified: it introduces that root to those who trust the
    /// other (RFC 4210 §4.4), and is neither an anchor nor part of a path.
    pub fn is_link(&self) -> bool {
        !self.is_self_issued() && self.check_authority().is_ok_and(|scope| scope.organization.is_none())
    }

    /// Host names and addresses, beside the URI.
    pub fn server_names(&self) -> Result<Vec<AlternativeName>, ProfileError> {
        let mut names = Vec::new();
        for name in self.alternative_names()? {
            let text = match name {
                GeneralName::URI(_) => continue,
                GeneralName::DNSName(name) => (*name).to_owned(),
                GeneralName::IPAddress(octets) => match (<[u8; 4]>::try_from(*octets), <[u8; 16]>::try_from(*octets)) {
                    (Ok(octets), _) => IpAddr::from(octets).to_string(),
                    (_, Ok(octets)) => IpAddr::from(octets).to_string(),
                    _ => return Err(ProfileError::ForeignName),
                },
                _ => return Err(ProfileError::ForeignName),
            };
            names.push(text.parse().map_err(|_| ProfileError::ForeignName)?);
        }
        Ok(names)
    }

    fn identity(&self) -> Result<Identity, ProfileError> {
        let identity = Identity::parse(self.only_uri(true)?).map_err(ProfileError::Identity)?;
        // Server names are for peers: a client with a host name could stand in for one.
        if identity.role() != Role::Peer && self.alternative_names()?.len() > 1 {
            return Err(ProfileError::ForeignName);
        }
        Ok(identity)
    }

    fn alternative_names(&self) -> Result<&[GeneralName<'a>], ProfileError> {
        let names = self.x509().subject_alternative_name().ok().flatten().ok_or(ProfileError::NoAlternativeName)?;
        Ok(&names.value.general_names)
    }

    /// X509-SVID §2: exactly one URI. Host names and addresses only where `server_names` allows them.
    fn only_uri(&self, server_names: bool) -> Result<&'a str, ProfileError> {
        let names = self.alternative_names()?;
        let mut uris = Vec::new();
        for name in names {
            match name {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::DNSName(_) | GeneralName::IPAddress(_) if server_names => {}
                _ => return Err(ProfileError::ForeignName),
            }
        }
        match uris[..] {
            [uri] => Ok(uri),
            _ => Err(ProfileError::UriCount(uris.len())),
        }
    }
}
