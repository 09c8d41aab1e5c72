//! Renewal of a profile's certificate at the peer: the same identity, the same key or a new one.
//!
//! A certificate that is still valid authenticates the connection. One that has expired opens none; then its key signs
//! the renewal itself, which the CA accepts for some time after the end (docs/formats/certificates.md).
//! What must never happen here: a folder whose key and certificate do not fit for longer than the next call; a certificate
//! that is good replaced by one that is not, whatever the peer says.

use crate::{
    api::{AuthorityView, CertificateView, RenewalBody},
    certificate::{Credential, CredentialError, SignError, certificates, leaf},
    connection::{Ask, Connection, JSON, OpenError, Options, RequestError},
    profile::Profile,
};
use bytes::Bytes;
use files::KEY_FILE_BYTES_MAX;
use ledger_classes::keys::Scheme;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::time::Time;
use pki::{
    pem,
    trust::{path::Usage, revocation::RevocationPolicy},
};
use reqwest::Method;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A new path whose key is not in place yet.
const NEXT: &str = "cert.pem.next";
/// The certificate before, and its key if that was replaced, too.
pub const PREVIOUS: [&str; 2] = ["cert.pem.previous", "key.pem.previous"];
/// PKCS#8 version 1 around a 32-octet Ed25519 seed (RFC 8410 §7): OpenSSL 3.0 and curl read no version 2.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// AlgorithmIdentifier of Ed25519 (RFC 8410 §3).
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// AlgorithmIdentifier of ECDSA with SHA-256 (RFC 5758 §3.2).
const ECDSA_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Why a certificate was not renewed. The old files are in place unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// There is nothing to renew.
    #[error("the profile has no certificate")]
    NoCertificate,
    /// The current certificate or the new one.
    #[error("the certificate")]
    Credential(#[from] CredentialError),
    /// The key does not sign.
    #[error("the key")]
    Sign(#[from] SignError),
    /// The system's random source failed.
    #[error("the system's random source failed")]
    Random,
    /// No connection can be made of the profile.
    #[error("the profile")]
    Open(#[from] OpenError),
    /// The peer did not renew.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The peer's certificate is not the one that was asked for.
    #[error("the peer answered with a certificate of another identity or key")]
    Other,
    /// Nobody that the profile trusts has issued it.
    #[error(
        "the peer answered with a certificate that neither ca.pem nor the CA of the current one vouches for; the profile is as \
         it was"
    )]
    Path(#[source] pki::trust::validation::PathError),
    /// A file of the profile.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// When a certificate should be renewed: after two thirds of its life.
pub fn due(credential: &Credential) -> Result<Time, RenewError> {
    let der = credential.path().first().ok_or(RenewError::NoCertificate)?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|_| RenewError::Credential(CredentialError::Malformed(0)))?;
    let millis = |seconds: i64| u64::try_from(seconds).unwrap_or_default().saturating_mul(1000);
    let start = millis(certificate.validity().not_before.timestamp());
    let end = millis(certificate.validity().not_after.timestamp());
    Ok(Time::from_millis(start + end.saturating_sub(start) / 3 * 2))
}

/// The CA certificates that the profile's peer trusts, DER: roots, issuing CAs, and links from one root to another.
/// They prove nothing by having come from there: `pki::trust::root_update` in the command line decides which roots are taken.
pub async fn authorities(profile: &Profile, options: Options) -> Result<Vec<Vec<u8>>, RenewError> {
    let credential = profile.credential.as_ref().filter(|credential| !is_over(credential));
    let connection = Connection::open(&Profile { credential: credential.cloned(), ..profile.clone() }, options)?;
    Ok(connection.authorities().await?)
}

fn is_over(credential: &Credential) -> bool {
    credential.leaf().not_after < i64::try_from(crate::now().millis() / 1000).unwrap_or(i64::MAX)
}

impl Connection {
    /// The CA certificates that the peer trusts, DER, with links between roots.
    pub async fn authorities(&self) -> Result<Vec<Vec<u8>>, RequestError> {
        let url = self.url(&["ca", "certificates"], &[])?;
        let answer = self.ask(Ask { method: Method::GET, url, accept: JSON, body: None, again: true }).await?;
        let views: Vec<AuthorityView> = answer.json()?;
        let mut ders = Vec::new();
        for view in views {
            let of = certificates(view.pem.as_bytes()).map_err(|error| RequestError::Answer(error.to_string()))?;
            ders.extend(of.iter().map(|der| der.to_vec()));
        }
        Ok(ders)
    }
}

/// Renews at the profile's peer, and writes `cert.pem`; also `key.pem`, with a new key, if one of a scheme is asked for.
pub async fn renew(profile: &Profile, options: Options, new_key: Option<Scheme>) -> Result<Credential, RenewError> {
    let current = profile.credential.as_ref().ok_or(RenewError::NoCertificate)?;
    let current_pem = pem::write("CERTIFICATE", current.path().first().ok_or(RenewError::NoCertificate)?);
    let key_path = profile.directory.join("key.pem");
    let key_pem = match new_key {
        Some(scheme) => make_key(scheme)?,
        None => files::read_secret(&key_path, KEY_FILE_BYTES_MAX)
            .map_err(|source| RenewError::File { path: key_path.clone(), source })?,
    };
    // The current certificate stands in until the new one is there: only the key is used.
    let next = Credential::from_pem(current_pem.as_bytes(), &key_pem)?;
    let request = signing_request(&next)?;
    let now = crate::now();
    let mut body = RenewalBody { request: pem::write("CERTIFICATE REQUEST", &request), ..RenewalBody::default() };
    let expired = is_over(current);
    let connection = if expired {
        let message = [b"chancery/renew/1\0", &now.millis().to_be_bytes()[..], &request].concat();
        body.signature = Some(HexBytes(current.sign_as_certificates_do(&message)?.1));
        body.certificate = Some(current_pem);
        body.at = Some(now);
        Connection::open(&Profile { credential: None, ..profile.clone() }, options)?
    } else {
        Connection::open(profile, options)?
    };
    let bytes = serde_json::to_vec(&body).map_err(|error| RequestError::Answer(error.to_string()))?;
    let body = Some((JSON, Bytes::from(bytes)));
    let url = connection.url(&["ca", "renew"], &[])?;
    let answer = connection.ask(Ask { method: Method::POST, url, accept: JSON, body, again: false }).await?;
    let issued: CertificateView = answer.json()?;

    let renewed = Credential::from_pem(issued.certificate.as_bytes(), &key_pem)?;
    let same = renewed.leaf().identity == current.leaf().identity;
    if !same || !fits(&certificates(issued.certificate.as_bytes())?[0], &renewed) {
        return Err(RenewError::Other);
    }
    check_path(profile, current, renewed.path())?;
    keep_previous(&profile.directory, new_key.is_some())?;
    let certificate = profile.directory.join("cert.pem");
    let write = |path: &Path| {
        let written = files::write_public(path, issued.certificate.as_bytes());
        written.map_err(|source| RenewError::File { path: path.into(), source })
    };
    if new_key.is_some() {
        write(&profile.directory.join(NEXT))?;
        files::write_private(&key_path, &key_pem).map_err(|source| RenewError::File { path: key_path, source })?;
        complete(&profile.directory)?;
    } else {
        write(&certificate)?;
    }
    Ok(renewed)
}

/// What a peer answers replaces a certificate that is good, so it must be one: by the profile's roots as they are in its
/// folder now, or by the CA that has issued the current one, where that one's root is not among them.
fn check_path(profile: &Profile, current: &Credential, path: &[CertificateDer<'_>]) -> Result<(), RenewError> {
    let ca = profile.directory.join("ca.pem");
    let anchors = std::fs::read(&ca).map_err(|source| RenewError::File { path: ca, source })?;
    let mut anchors: Vec<Vec<u8>> = certificates(&anchors)?.iter().map(|der| der.to_vec()).collect();
    let revoked = crate::trusted::trust(profile, &anchors).ok();
    let revoked = revoked.as_ref().map(|store| store.revocation().current());
    let policy = RevocationPolicy { accept_missing: true, accept_expired: true };
    let lists = revoked.as_deref().map(|lists| (lists, policy));
    let verdict = pki::trust::path::verify_path(path, &anchors, lists, crate::now(), Usage::ClientAuth);
    let Err(why) = verdict else { return Ok(()) };
    let (Some(leaf), Some(issuer)) = (path.first(), current.path().get(1)) else { return Err(RenewError::Path(why)) };
    anchors = vec![issuer.to_vec()];
    match (&why, pki::trust::path::is_issued_by(leaf, &anchors[0], crate::now(), Usage::ClientAuth)) {
        (pki::trust::validation::PathError::UnknownIssuer, true) => Ok(()),
        _ => Err(RenewError::Path(why)),
    }
}

/// The files that are about to be replaced, beside the new ones: until somebody was let in with those
/// ([`forget_previous`]), or the next renewal.
fn keep_previous(directory: &Path, key: bool) -> Result<(), RenewError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| RenewError::File { path, source }
    };
    let (certificate, previous) = (directory.join("cert.pem"), directory.join(PREVIOUS[0]));
    let pem = std::fs::read(&certificate).map_err(file(&certificate))?;
    files::write_public(&previous, &pem).map_err(file(&previous))?;
    let (current, previous) = (directory.join("key.pem"), directory.join(PREVIOUS[1]));
    match key {
        true => {
            let pem = files::read_secret(&current, KEY_FILE_BYTES_MAX).map_err(file(&current))?;
            files::write_private(&previous, &pem).map_err(file(&previous))
        }
        // One of an earlier renewal belongs to another certificate.
        false => remove(&previous),
    }
}

fn remove(path: &Path) -> Result<(), RenewError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RenewError::File { path: path.into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Removes the certificate and the key before: the new ones were used.
pub fn forget_previous(directory: &Path) -> Result<(), RenewError> {
    PREVIOUS.iter().try_for_each(|name| remove(&directory.join(name)))
}

/// Ends a change of key that a crash interrupted: the new path comes into force if the key is its key, and goes if
/// not. Call it before the profile is opened for renewal.
pub fn complete(directory: &Path) -> Result<(), RenewError> {
    let next = directory.join(NEXT);
    let Ok(pem) = std::fs::read(&next) else { return Ok(()) };
    let file = |source| RenewError::File { path: next.clone(), source };
    let key = files::read_secret(&directory.join("key.pem"), KEY_FILE_BYTES_MAX).map_err(file)?;
    let fits = Credential::from_pem(&pem, &key).is_ok_and(|credential| fits(&credential.path()[0], &credential));
    let done = if fits { std::fs::rename(&next, directory.join("cert.pem")) } else { std::fs::remove_file(&next) };
    done.and_then(|()| files::sync_directory(directory)).map_err(file)
}

/// Whether the key is the certificate's.
fn fits(der: &[u8], credential: &Credential) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { return false };
    leaf(der).is_ok() && credential.public_key_info().is_some_and(|info| info == certificate.public_key().raw)
}

fn make_key(scheme: Scheme) -> Result<Zeroizing<Vec<u8>>, RenewError> {
    let random = SystemRandom::new();
    let pkcs8 = match scheme {
        Scheme::Ed25519 => {
            let mut pkcs8 = Zeroizing::new([ED25519_PKCS8, [0; 16], [0; 16]].concat());
            random.fill(&mut pkcs8[16..]).map_err(|_| RenewError::Random)?;
            pkcs8
        }
        Scheme::EcdsaP256 => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
            Zeroizing::new(made.map_err(|_| RenewError::Random)?.as_ref().to_vec())
        }
    };
    Ok(Zeroizing::new(pem::write("PRIVATE KEY", &pkcs8).into_bytes()))
}

/// The least PKCS#10 request (RFC 2986 §4): a key and its signature. The identity is that of the current certificate,
/// so the request need not name it.
fn signing_request(credential: &Credential) -> Result<Vec<u8>, RenewError> {
    let key = credential.public_key_info().ok_or(CredentialError::KeyKind)?;
    // Version 0, empty subject, key, no attributes.
    let info = sequence(&[&[0x02, 0x01, 0x00, 0x30, 0x00], &key[..], &[0xa0, 0x00]].concat());
    let (scheme, signature) = credential.sign_as_certificates_do(&info)?;
    let algorithm: &[u8] = if scheme == SignatureScheme::ED25519 { &ED25519 } else { &ECDSA_SHA256 };
    let bits = [&[0x03, signature.len() as u8 + 1, 0x00], &signature[..]].concat();
    Ok(sequence(&[&info, algorithm, &bits].concat()))
}

/// A SEQUENCE of at most 65535 octets.
fn sequence(content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head: Vec<u8> = match length {
        0..128 => vec![0x30, length as u8],
        128..256 => vec![0x30, 0x81, length as u8],
        _ => vec![0x30, 0x82, (length >> 8) as u8, length as u8],
    };
    [&head, content].concat()
}
