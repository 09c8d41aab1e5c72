//! CRLs between peers: what one has learned, the others fetch or are given.

use crate::api::{AnswerTaken, CaAnswer, CrlTaken};
use crate::connection::{Ask, Connection, JSON, RequestError};
use bytes::Bytes;
use ca::pem;
use reqwest::Method;

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
    pub async fn offer_crl(&self, crl: Vec<u8>) -> Result<CrlTaken, RequestError> {
        let url = self.url(&["ca", "crl"], &[])?;
        let body = Some(("application/pkix-crl", Bytes::from(crl)));
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
    let mut digests: Vec<_> = crls.iter().map(|crl| digest(&SHA256, crl.as_ref())).collect();
    digests.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    let joined: Vec<u8> = digests.iter().flat_map(|digest| digest.as_ref().iter().copied()).collect();
    hex::encode(digest(&SHA256, &joined))
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
