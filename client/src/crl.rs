//! CRLs between peers: what one has learned, the others fetch or are given. A profile keeps those that it was given, too, in
//! its folder `crls`, and talks to no peer that is revoked by them.

pub use crate::trusted::FOLDER;
use crate::{
    api::{AnswerTaken, CaAnswer, CrlTaken},
    connection::{Ask, Connection, JSON, OpenError, Options, RequestError},
    profile::Profile,
    retry::Retry,
    trusted::{held, store},
};
use bytes::Bytes;
use pki::{
    pem,
    trust::{
        bundle::TrustBundle,
        files::{CertificateFileError, TrustPart},
        store::{Acceptable, acceptable},
    },
};
use reqwest::Method;

/// Why CRLs are not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// No connection can be made of the profile.
    #[error("the profile")]
    Open(#[from] OpenError),
    /// No peer has answered.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// They cannot be kept.
    #[error("the CRLs")]
    Kept(#[from] CertificateFileError),
}

/// Fetches CRLs from the profile's peer, and from the others that it has talked to: who is revoked does not hand out the
/// list that says so. Those that are good are kept for the connections that are opened next. Returns how many are.
///
/// # Errors
/// No peer has answered, or they cannot be kept.
pub async fn refresh(profile: &Profile, options: &Options) -> Result<usize, RefreshError> {
    let first = options.peer.clone().unwrap_or_else(|| profile.peer.clone());
    let mut places = vec![first];
    let known = crate::known::Known::keep_in(&profile.directory).map_err(OpenError::from)?;
    let others = known.peers().filter_map(|address| crate::profile::parse_peer(address).ok());
    others.for_each(|other| {
        if !places.contains(&other) {
            places.push(other)
        }
    });
    let (mut held, mut answered, mut failed) = (held(&profile.directory), false, None);
    for place in places {
        let options = Options { peer: Some(place), retry: Retry::NEVER, ..options.clone() };
        let connection = Connection::open(profile, options)?;
        let fetched = async { Ok::<_, RequestError>((connection.authorities().await?, connection.crls("").await?)) };
        match fetched.await {
            Ok((authorities, crls)) => {
                answered = true;
                held.add(TrustPart::Issuing, authorities);
                held.add(TrustPart::Crls, crls);
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    if let (false, Some(error)) = (answered, failed) {
        return Err(error.into());
    }
    let roots: Vec<Vec<u8>> = profile.authorities.iter().map(|der| der.to_vec()).collect();
    let Acceptable { anchors, issuing, .. } = acceptable(&profile.consortium, &roots, &held.issuing);
    let store = store(profile, &roots, &held).map_err(OpenError::Authorities)?;
    let crls: Vec<Vec<u8>> = store.revocation().current().ders().map(<[u8]>::to_vec).collect();
    let (folder, count) = (profile.directory.join(FOLDER), crls.len());
    files::private_folder(&folder).map_err(|source| CertificateFileError::of_file(&folder, source))?;
    TrustBundle { anchors, issuing, crls, links: Vec::new() }.save(&folder)?;
    Ok(count)
}

impl Connection {
    /// The CRLs in force at the peer, DER. None if the peer's set is `known`, as [`set_tag`] names it;
    /// an empty `known` asks for all.
    pub async fn crls(&self, known: &str) -> Result<Vec<Vec<u8>>, RequestError> {
        let unless = [("unless", known)];
        let url = self.url(&["ca", "crl"], if known.is_empty() { &[] } else { &unless })?;
        let ask = Ask { method: Method::GET, url, accept: "application/x-pem-file", body: None, again: true };
        let answer = self.ask(ask).await?;
        pem::read_all(&answer.body, pem::CRL).map_err(|error| RequestError::Answer(error.to_string()))
    }

    /// Gives the peer a CRL, DER. The peer verifies it under the CAs that it knows.
    pub async fn offer_crl(&self, crl: impl Into<Bytes>) -> Result<CrlTaken, RequestError> {
        let url = self.url(&["ca", "crl"], &[])?;
        let body = Some(("application/pkix-crl", crl.into()));
        self.ask(Ask { method: Method::POST, url, accept: JSON, body, again: true }).await?.json()
    }

    /// Gives the peer a CA's answer that a certificate is revoked, with the certificate's path. The peer verifies it
    /// under the CAs that it trusts, and ends the participation on every channel that knows the certificate.
    pub async fn bring_answer(&self, answer: &CaAnswer) -> Result<AnswerTaken, RequestError> {
        let url = self.url(&["ca", "answers"], &[])?;
        let bytes = serde_json::to_vec(answer).expect("hexadecimal strings");
        let body = Some((JSON, Bytes::from(bytes)));
        self.ask(Ask { method: Method::POST, url, accept: JSON, body, again: true }).await?.json()
    }
}

/// Names a set of CRLs, in whatever order: hexadecimal SHA-256 over the sorted SHA-256 of each.
pub fn set_tag<C: AsRef<[u8]>>(crls: &[C]) -> String {
    use ring::digest::{SHA256, digest};
    let digests = crls.iter().map(|crl| digest(&SHA256, crl.as_ref()).as_ref().try_into().expect("32 octets"));
    tag_of(digests.collect())
}

/// The same, by the SHA-256 of each.
pub fn tag_of(mut digests: Vec<[u8; 32]>) -> String {
    use ring::digest::{SHA256, digest};
    digests.sort_unstable();
    hex::encode(digest(&SHA256, &digests.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_the_set_and_not_its_order() {
        let (one, two) = (vec![1_u8], vec![2_u8]);
        assert_eq!(set_tag(&[&one, &two]), set_tag(&[&two, &one]));
        assert_ne!(set_tag(&[&one, &two]), set_tag(&[&one]));
        assert_ne!(set_tag::<Vec<u8>>(&[]), set_tag(&[Vec::<u8>::new()]));
    }
}
