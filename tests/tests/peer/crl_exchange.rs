//! CRLs spread between peers: pushed at once, fetched at the start, kept over a restart, and never taken unverified.

use crate::{
    harness::{Consortium, Peer, run, text},
    wait,
};
use ca::KeyPair;
use client::connection::{Connection, RequestError};
use client::crl::set_tag;
use pki::KeyAlgorithm;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A second peer of the same organization, which has no authorities' folder.
pub(crate) fn second_peer(consortium: &Consortium) -> PathBuf {
    let dir = consortium.path("second");
    let own = dir.join("peer");
    fs::create_dir(&dir).expect("a directory");
    let issue = ["issue", "bank", "peer", "peer-2", "--host", "127.0.0.1", "--out", text(&own)];
    run(&[&["ca", "--dir", text(&consortium.dir())], &issue[..]].concat());
    KeyPair::generate(KeyAlgorithm::Ed25519).expect("a key").save(&own.join("seal.pem")).expect("saves");
    let settings = "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"\"\n";
    fs::write(dir.join("chancery.toml"), settings).expect("writes");
    dir
}

fn revoke(consortium: &Consortium, who: &str) {
    let identity = format!("spiffe://test.example/bank/client/{who}");
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", &identity, "--reason", "key-compromise"]);
}

/// Asks until the certificate is refused, and says how long it took.
async fn refused(connection: &Connection) -> Duration {
    let start = Instant::now();
    wait::until("the certificate is refused", async || {
        match connection.status().await {
            Ok(_) => return None,
            Err(RequestError::Problem(problem)) => assert_eq!(problem.name(), "certificate-refused"),
            // The handshake itself is refused.
            Err(error) => assert!(!error.is_unavailable(), "{error:?}"),
        }
        Some(start.elapsed())
    })
    .await
}

#[tokio::test]
async fn a_revocation_reaches_a_peer_without_the_folder() {
    let consortium = Consortium::new();
    let (ann, bob) = (consortium.profile("bank", "client", "ann"), consortium.profile("bank", "client", "bob"));
    let dir = second_peer(&consortium);

    // Pushed by the peer that has the folder.
    let second = Peer::start(&dir, &[]);
    let first = Peer::start(&consortium.dir(), &[("CHANCERY_CRL_PEERS", &second.url)]);
    let (live, good) = (second.connect(&ann), second.connect(&bob));
    live.status().await.expect("admitted");
    revoke(&consortium, "ann");
    let took = refused(&live).await;
    println!("pushed to the second peer and refused there after {took:?}");
    good.status().await.expect("the others go on");

    // Kept over a restart, without anybody to ask.
    second.drain();
    let second = Peer::start(&dir, &[]);
    refused(&second.connect(&ann)).await;

    // Fetched by the other peer, which was off when it happened.
    second.drain();
    revoke(&consortium, "bob");
    refused(&first.connect(&bob)).await;
    let second = Peer::start(&dir, &[("CHANCERY_CRL_PEERS", &first.url)]);
    let took = refused(&second.connect(&bob)).await;
    println!("fetched from the first peer and refused after {took:?}");
}

#[tokio::test]
async fn an_offered_crl_is_taken_only_if_it_is_good_and_newer() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let dir = second_peer(&consortium);
    let second = Peer::start(&dir, &[]);
    let connection = second.connect(&ann);
    let crl = || fs::read(consortium.dir().join("ca/crl/bank.pem")).expect("a CRL");
    let der = |pem: &[u8]| pki::trust::files::crls_of(std::str::from_utf8(pem).expect("PEM")).expect("PEM").remove(0);
    let old = der(&crl());
    assert!(!connection.offer_crl(old.clone()).await.expect("known").new);
    let all = connection.crls("").await.expect("a set");
    assert_eq!(all.len(), 2, "the root's and the bank's");
    assert!(connection.crls(&set_tag(&all)).await.expect("a set").is_empty(), "nothing new");

    consortium.profile("bank", "client", "bob");
    revoke(&consortium, "bob");
    let new = der(&crl());
    let taken = connection.offer_crl(new.clone()).await.expect("newer");
    assert_eq!((taken.new, taken.revoked), (true, 1));

    let refused = |result: Result<_, RequestError>| match result {
        Err(RequestError::Problem(problem)) => problem.name().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(connection.offer_crl(old).await), "crl-older");
    let mut forged = new.clone();
    *forged.last_mut().expect("bytes") ^= 1;
    assert_eq!(refused(connection.offer_crl(forged).await), "crl-refused");
    assert_eq!(refused(connection.offer_crl(b"nonsense".to_vec()).await), "crl-refused");
    let stranger = stranger(&consortium, &ann, &second);
    assert_eq!(refused(stranger.offer_crl(new).await), "certificate-required");
    assert_eq!(stranger.crls("").await.expect("everybody may fetch").len(), 2);
}

/// A connection that shows no certificate.
fn stranger(consortium: &Consortium, like: &Path, peer: &Peer) -> Connection {
    let profile = consortium.path("stranger");
    fs::create_dir(&profile).expect("a directory");
    for name in ["ca.pem", "profile.toml"] {
        fs::copy(like.join(name), profile.join(name)).expect("copies");
    }
    peer.connect(&profile)
}
