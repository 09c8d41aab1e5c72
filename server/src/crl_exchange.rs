//! CRLs spread between peers. What one peer has learned, from its folder or from another, the peers that its
//! configuration names are given at once, and every few seconds the sets are compared in both directions. A list is
//! good by its CA's signature and number alone, so the way that it came does not matter, and lists cannot go in
//! circles: what is not newer is not taken. CA certificates come the same way to peers without the authorities' folder.

use crate::{
    certificates::describe,
    clock,
    limits::CRL_EXCHANGE,
    trust::{LearnError, Trust},
};
use ca::{holder::take_offered, revocation::RevocationError};
use client::{
    certificate::{Credential, certificates},
    connection::{Connection, Options, RequestError},
    crl::set_tag,
    profile::{Profile, Url},
    retry::Retry,
};
use futures_util::future::join_all;
use std::{collections::HashSet, error::Error, sync::Arc, time::Duration};

/// How long one request may take: a peer that hangs must not keep the others waiting for long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Exchanges until the peer stops.
pub(crate) async fn keep(trust: Arc<Trust>, peers: Vec<Url>) {
    let mut changes = trust.subscribe();
    // Which peers did not answer the last time: said once.
    let mut silent = HashSet::new();
    loop {
        // A change that comes while the sets are compared starts another round.
        changes.borrow_and_update();
        let rounds = peers.iter().map(|peer| exchange(&trust, peer));
        for (peer, done) in peers.iter().zip(join_all(rounds).await) {
            match done {
                Ok(()) => {
                    if silent.remove(peer) {
                        tracing::info!(%peer, "CRLs are exchanged again");
                    }
                }
                Err(error) if silent.insert(peer.clone()) => {
                    tracing::warn!(%peer, error = describe(&*error), "CRLs are not exchanged");
                }
                Err(_) => {}
            }
        }
        if let Ok(Err(_)) = tokio::time::timeout(CRL_EXCHANGE, changes.changed()).await {
            return;
        }
    }
}

/// Makes both sets what is newest in either.
async fn exchange(trust: &Arc<Trust>, peer: &Url) -> Result<(), Box<dyn Error + Send + Sync>> {
    let opened = (Arc::clone(trust), peer.clone());
    // Files are read each time: the certificate may have been renewed.
    let connection = tokio::task::spawn_blocking(move || open(&opened.0, opened.1)).await??;
    learn_authorities(trust, connection.authorities().await?).await?;
    let ours = trust.crls();
    let theirs = connection.crls(&set_tag(&ours)).await?;
    if theirs.is_empty() {
        return Ok(());
    }
    let have: HashSet<Vec<u8>> = theirs.iter().cloned().collect();
    let learning = Arc::clone(trust);
    tokio::task::spawn_blocking(move || theirs.iter().try_for_each(|crl| learn(&learning, crl))).await??;
    for crl in trust.crls() {
        if have.contains(&crl) {
            continue;
        }
        match connection.offer_crl(crl).await {
            // Theirs is newer, or of a CA that they do not know.
            Err(RequestError::Problem(problem)) if ["crl-older", "crl-refused"].contains(&problem.name()) => {}
            done => {
                done?;
            }
        }
    }
    Ok(())
}

/// Takes the CAs of another peer, as far as they are proven, where no authorities' folder says who they are: the next
/// root of the consortium must be trusted here before anybody comes with a path under it.
async fn learn_authorities(trust: &Arc<Trust>, offered: Vec<Vec<u8>>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let learning = Arc::clone(trust);
    tokio::task::spawn_blocking(move || {
        if learning.folder()?.is_some() {
            return Ok(());
        }
        let taken = take_offered(learning.certificate_dir(), &offered, learning.store().consortium(), clock::now())?;
        if taken.added > 0 || taken.removed > 0 {
            tracing::info!(added = taken.added, removed = taken.removed, "the consortium's roots have changed");
            learning.poll();
        }
        Ok(())
    })
    .await?
}

/// What is not newer, or not of a CA that is trusted here, changes nothing.
fn learn(trust: &Trust, crl: &[u8]) -> Result<(), LearnError> {
    match trust.learn(crl) {
        Ok(_) | Err(LearnError::Refused(RevocationError::Older { .. } | RevocationError::UnknownIssuer)) => Ok(()),
        Err(error @ LearnError::Refused(_)) => {
            tracing::warn!(error = describe(&error), "another peer has a CRL that is not good");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A connection with the peer's own certificate.
fn open(trust: &Trust, peer: Url) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let directory = trust.certificate_dir();
    let (path, key) = (std::fs::read(directory.join("cert.pem"))?, std::fs::read(directory.join("key.pem"))?);
    let profile = Profile {
        directory: directory.into(),
        peer,
        consortium: trust.store().consortium().into(),
        account_key: directory.join("seal.pem"),
        authorities: certificates(&std::fs::read(directory.join("ca.pem"))?)?,
        credential: Some(Credential::from_pem(&path, &zeroize::Zeroizing::new(key))?),
    };
    let options = Options { peer: None, timeout: TIMEOUT, retry: Retry::NEVER };
    Ok(Connection::open(&profile, options)?)
}
