//! What one organization hands to another's peer or member: its CAs and their CRLs in one file, checked as a whole before
//! anything of it is trusted.

use crate::{
    pem::{self, PemError},
    trust::{
        bundle::TrustBundle,
        files::{CertificateFileError, TrustPart, certificates_pem, crl_pem, read_certificates},
        revocation::{RevocationError, RevocationPolicy},
        store::{TrustError, TrustStore},
    },
    x509::{
        certificate::{Certificate, ProfileError},
        identifiers::KeyId,
        profile::AuthorityScope,
    },
};
use ledger_classes::primitives::time::Time;
use std::path::Path;

/// A CA as those who trust it see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TrustedAuthority {
    /// The organization that it vouches for; none of a consortium's root, which certifies CAs of any.
    pub organization: Option<String>,
    /// Whether it is a root; else an issuing CA below one.
    pub root: bool,
    /// SHA-256 of its key, hex.
    pub key: String,
    /// Until when it is valid.
    pub not_after: Time,
    /// When its CRL should have been replaced; none where there is no CRL, and nobody is admitted.
    pub crl_until: Option<Time>,
}

/// What became of trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TrustAdded {
    /// CAs that were not trusted before.
    pub authorities: Vec<TrustedAuthority>,
    /// CRLs that are new or newer than those that were held.
    pub crls: usize,
}

/// Why nothing is trusted that was not trusted before.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The folder of those who trust.
    #[error("the folder")]
    Files(#[from] CertificateFileError),
    /// What was brought is not whole, or not PEM.
    #[error("what was brought, {0}")]
    Form(PemError),
    /// Something else than CAs and CRLs.
    #[error("what was brought, line {0}: {1} is neither a CA certificate nor a CRL")]
    Other(usize, String),
    /// Nothing in it.
    #[error("what was brought holds no CA certificate")]
    Empty,
    /// A certificate that is none of a CA.
    #[error("what was brought, line {0}: not a CA's certificate")]
    NotAuthority(usize, #[source] ProfileError),
    /// A certificate that is held and is none of a CA.
    #[error("a certificate that is not a CA's")]
    Scope(#[source] ProfileError),
    /// CAs of several consortia in one file.
    #[error("what was brought, line {line}: a CA of the consortium {is}, and those before are of {of}")]
    Mixed {
        /// Where it begins.
        line: usize,
        /// Whose.
        is: String,
        /// Whose the others are.
        of: String,
    },
    /// CAs of another consortium than the folder's.
    #[error("what was brought is of the consortium {is}, and who is to trust it is of {of}")]
    Consortium {
        /// Whose.
        is: String,
        /// Whose the folder is.
        of: String,
    },
    /// Not acceptable beside what is trusted.
    #[error("the CA certificates")]
    Trust(#[from] TrustError),
    /// A root that may certify CAs of every organization.
    #[error(
        "the root with key {0} may certify CAs of every organization: trust it only if it is your consortium's (--root)"
    )]
    Root(String),
    /// Another CA of an organization.
    #[error(
        "another CA of {organization} is trusted already, with key {known}; the new one has key {new}: ask that \
         organization, and say --beside if both are its own"
    )]
    Beside {
        /// Whose.
        organization: String,
        /// The key of the one that is trusted.
        known: String,
        /// The key of the other one.
        new: String,
    },
    /// No CA that is trusted has this key.
    #[error("no CA with key {0} is trusted")]
    Unknown(String),
    /// It names too many, or too little of one.
    #[error("{0} is no beginning of a key: give 8 hex digits of it or more (`chancery ca trust list`)")]
    Short(String),
    /// It is the beginning of several keys.
    #[error("{1} CAs that are trusted have keys that begin with {0}: give more digits")]
    Ambiguous(String, usize),
    /// The holder's own certificate is below it.
    #[error("the folder's own certificate is issued under the CA with key {0}: its holder would trust itself no more")]
    OwnPath(String),
    /// It is in the authorities' folder, which says who they are.
    #[error("the CA with key {0} is in the authorities' folder: what is trusted by that cannot be taken away here")]
    Own(String),
    /// It has expired.
    #[error("the CA of {0} expired at {1}")]
    Expired(String, Time),
    /// No CRL of a CA, or one that has expired: nobody would be admitted.
    #[error("the CA of {0} comes without a CRL that is in force: have its folder sign one (`chancery ca crl`)")]
    NoCrl(String),
    /// A CRL.
    #[error("a CRL")]
    Revocation(#[from] RevocationError),
}

/// What the caller knows and accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accepting {
    /// Roots that may certify CAs of every organization.
    pub roots: bool,
    /// CAs of organizations of which another one is trusted.
    pub beside: bool,
}

impl TrustBundle {
    /// The whole as one PEM text, with a line before each CA that says whose it is.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for der in self.anchors.iter().chain(&self.issuing) {
            let whose = scope(der).ok().map(|scope| scope.organization.unwrap_or_else(|| "the consortium".into()));
            let key = KeyId::of_certificate(der).map(|key| key.to_string()).unwrap_or_default();
            text.push_str(&format!("{}, key {key}\n", whose.unwrap_or_default()));
            text.push_str(&certificates_pem(std::slice::from_ref(der)));
        }
        text + &self.crls.iter().map(|crl| crl_pem(crl)).collect::<String>()
    }

    /// Reads such a text. Roots are told from issuing CAs by who signed them.
    pub fn of_text(text: &str) -> Result<Self, ExchangeError> {
        let scan = pem::scan(text.as_bytes());
        if let Some(damage) = scan.damage {
            return Err(ExchangeError::Form(damage));
        }
        let (mut certificates, mut bundle) = (Vec::new(), Self::default());
        let mut first: Option<String> = None;
        for object in scan.objects {
            match object.label.as_str() {
                "CERTIFICATE" => certificates.push((object.line, object.der.to_vec())),
                "X509 CRL" => bundle.add(TrustPart::Crls, vec![object.der.to_vec()]),
                _ => return Err(ExchangeError::Other(object.line, object.label)),
            }
        }
        for (line, der) in certificates {
            let not = |error| ExchangeError::NotAuthority(line, error);
            let certificate = Certificate::parse(&der).map_err(not)?;
            let is = certificate.check_authority().map_err(not)?.consortium;
            match &first {
                Some(of) if *of != is => return Err(ExchangeError::Mixed { line, is, of: of.clone() }),
                _ => first = Some(is),
            }
            let (link, root) = (certificate.is_link(), certificate.is_self_issued());
            drop(certificate);
            match (link, root) {
                // For those who replace a root; nobody's anchor.
                (true, _) => {}
                (false, true) => bundle.add(TrustPart::Anchors, vec![der]),
                (false, false) => bundle.add(TrustPart::Issuing, vec![der]),
            }
        }
        match bundle.anchors.is_empty() && bundle.issuing.is_empty() {
            true => Err(ExchangeError::Empty),
            false => Ok(bundle),
        }
    }

    /// Whom it has trusted, as of a moment.
    pub fn describe(&self, consortium: &str) -> Result<Vec<TrustedAuthority>, ExchangeError> {
        let store =
            TrustStore::new(consortium, self.anchors.clone(), self.issuing.clone(), RevocationPolicy::default())?;
        for crl in &self.crls {
            match store.install_crl(crl) {
                Ok(_) | Err(RevocationError::UnknownIssuer) => {}
                Err(error) if error.is_needless() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let lists = store.revocation().current();
        let described = |der: &Vec<u8>, root| -> Result<TrustedAuthority, ExchangeError> {
            let scope = scope(der)?;
            let key = KeyId::of_certificate(der);
            Ok(TrustedAuthority {
                organization: scope.organization,
                root,
                crl_until: key.as_ref().and_then(|key| lists.list(key)).map(|list| list.next_update()),
                key: key.map(|key| key.to_string()).unwrap_or_default(),
                not_after: not_after(der),
            })
        };
        let roots = self.anchors.iter().map(|der| described(der, true));
        roots.chain(self.issuing.iter().map(|der| described(der, false))).collect()
    }
}

fn scope(der: &[u8]) -> Result<AuthorityScope, ExchangeError> {
    AuthorityScope::of_certificate(der).map_err(ExchangeError::Scope)
}

fn not_after(der: &[u8]) -> Time {
    let parsed = Certificate::parse(der).ok();
    let seconds = parsed.map_or(0, |certificate| certificate.x509().validity().not_after.timestamp());
    Time::from_millis(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000))
}

/// Has a folder with `ca.pem` trust what was brought, too; nothing changes unless all of it is acceptable. Each file is
/// replaced whole, and a peer that runs takes them into force. CRLs that are older than those that are held stay out.
pub fn add_trust(
    folder: &Path,
    consortium: &str,
    brought: TrustBundle,
    accepting: Accepting,
    now: Time,
) -> Result<TrustAdded, ExchangeError> {
    let _held = hold(folder)?;
    let held = TrustBundle::load(folder)?;
    let known = held.describe(consortium)?;
    for der in brought.anchors.iter().chain(&brought.issuing) {
        let is = scope(der)?.consortium;
        if is != consortium {
            return Err(ExchangeError::Consortium { is, of: consortium.to_owned() });
        }
    }
    let mut merged = held.clone();
    merged.extend(TrustBundle { links: Vec::new(), ..brought });
    let all = merged.describe(consortium)?;
    let new: Vec<TrustedAuthority> = all.iter().filter(|one| !known.iter().any(|of| same(of, one))).cloned().collect();
    for one in &new {
        let whose = one.organization.clone().unwrap_or_else(|| "the consortium".into());
        if one.organization.is_none() && !accepting.roots {
            return Err(ExchangeError::Root(one.key.clone()));
        }
        let other = all
            .iter()
            .find(|other| one.organization.is_some() && other.organization == one.organization && other.key != one.key);
        if let Some(other) = other.filter(|_| !accepting.beside) {
            let (organization, known, new) = (whose, other.key.clone(), one.key.clone());
            return Err(ExchangeError::Beside { organization, known, new });
        }
        if one.not_after <= now {
            return Err(ExchangeError::Expired(whose, one.not_after));
        }
        if one.crl_until.is_none_or(|until| until <= now) {
            return Err(ExchangeError::NoCrl(whose));
        }
    }
    // One CRL for each CA: the newest.
    let store =
        TrustStore::new(consortium, merged.anchors.clone(), merged.issuing.clone(), RevocationPolicy::default())?;
    let mut crls = 0;
    for (position, crl) in merged.crls.iter().enumerate() {
        match store.install_crl(crl) {
            Ok(Some(_)) if position >= held.crls.len() => crls += 1,
            Ok(_) => {}
            Err(error) if error.is_needless() => {}
            // Of a CA that is trusted no more: it was here before.
            Err(RevocationError::UnknownIssuer) if position < held.crls.len() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if new.is_empty() && crls == 0 {
        return Ok(TrustAdded::default());
    }
    merged.crls = store.revocation().current().ders().map(<[u8]>::to_vec).collect();
    merged.save(folder)?;
    Ok(TrustAdded { authorities: new, crls })
}

/// Takes away a folder's trust in the CA with this key (its beginning, at least 8 hex digits, is enough if one CA alone
/// has it), with the issuing CAs below it and the CRLs of both. Channels that list it are not changed. Returns those that
/// are trusted no more.
pub fn remove_trust(folder: &Path, consortium: &str, key: &str) -> Result<Vec<TrustedAuthority>, ExchangeError> {
    let _held = hold(folder)?;
    let held = TrustBundle::load(folder)?;
    let known = held.describe(consortium)?;
    let keys = keys_beginning(&held, key)?;
    let only = match keys[..] {
        [only] => only,
        [] => return Err(ExchangeError::Unknown(key.to_owned())),
        _ => return Err(ExchangeError::Ambiguous(key.to_owned(), keys.len())),
    };
    if is_under(folder, &only) {
        return Err(ExchangeError::OwnPath(only.to_string()));
    }
    let mut left = held.clone();
    left.remove_roots(&keys);
    left.issuing.retain(|der| KeyId::of_certificate(der) != Some(only));
    let store = TrustStore::new(consortium, left.anchors.clone(), left.issuing.clone(), RevocationPolicy::default())?;
    left.crls.retain(|crl| !matches!(store.install_crl(crl), Err(RevocationError::UnknownIssuer)));
    let still = left.describe(consortium)?;
    left.save(folder)?;
    Ok(known.into_iter().filter(|one| !still.iter().any(|of| same(of, one))).collect())
}

/// The keys of a bundle's CAs that begin so.
///
/// # Errors
/// It is no beginning of a key, or too short.
pub fn keys_beginning(bundle: &TrustBundle, key: &str) -> Result<Vec<KeyId>, ExchangeError> {
    if key.len() < 8 || !key.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ExchangeError::Short(key.to_owned()));
    }
    let begins = |of: &KeyId| of.to_string().starts_with(&key.to_ascii_lowercase());
    let ders = bundle.anchors.iter().chain(&bundle.issuing);
    let mut keys: Vec<KeyId> = ders.filter_map(|der| KeyId::of_certificate(der)).filter(begins).collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// Whether the certificate of a folder's holder, if there is one, was issued under a CA.
fn is_under(folder: &Path, key: &KeyId) -> bool {
    let path = read_certificates(&folder.join("cert.pem")).unwrap_or_default();
    path.iter().any(|der| {
        let parsed = Certificate::parse(der).ok();
        // docs/formats/certificates.md: a key identifier is the first 20 octets of the same hash.
        parsed.as_ref().and_then(Certificate::authority_key_identifier).is_some_and(|id| key.as_bytes()[..20] == *id)
    })
}

/// Holds the folder of those who trust: whoever reads it and then writes it must not lose what another one writes.
///
/// # Errors
/// It cannot be opened.
pub fn hold(folder: &Path) -> Result<std::fs::File, CertificateFileError> {
    let error = |source| CertificateFileError::File { path: folder.display().to_string(), source };
    files::hold_folder(folder).map_err(error)
}

/// Whether two descriptions are of one certificate, as far as they go; CRLs change.
fn same(one: &TrustedAuthority, other: &TrustedAuthority) -> bool {
    (&one.key, &one.organization, one.root, one.not_after)
        == (&other.key, &other.organization, other.root, other.not_after)
}
