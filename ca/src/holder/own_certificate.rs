//! A holder's own path and key, as TLS presents them.

use crate::keys::pair::KeyPair;
use arc_swap::ArcSwap;
use rustls::{
    Error, SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring as provider,
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;
use zeroize::Zeroize as _;

/// Our own path and key in TLS, replaceable while connections are served.
#[derive(Debug)]
pub struct OwnCertificate(ArcSwap<CertifiedKey>);

impl OwnCertificate {
    /// A path, leaf first, and the leaf's key. Refuses a key that is not the leaf's.
    pub fn new(path: &[Vec<u8>], key: &KeyPair) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified_key(path, key)?))))
    }

    /// Takes a renewed certificate into use for the next handshake.
    pub fn replace(&self, path: &[Vec<u8>], key: &KeyPair) -> Result<(), Error> {
        self.0.store(Arc::new(certified_key(path, key)?));
        Ok(())
    }

    fn for_schemes(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.0.load_full();
        key.key.choose_scheme(schemes).is_some().then_some(key)
    }
}

fn certified_key(path: &[Vec<u8>], key: &KeyPair) -> Result<CertifiedKey, Error> {
    let path = path.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let mut der = key.to_rustls();
    let signing = provider::sign::any_supported_type(&der);
    der.zeroize();
    let certified = CertifiedKey::new(path, signing?);
    certified.keys_match()?;
    Ok(certified)
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.for_schemes(hello.signature_schemes())
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.for_schemes(schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
