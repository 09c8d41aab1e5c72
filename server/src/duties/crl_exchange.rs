//! CRLs spread between peers. What one peer has learned, from its folder or from another, the peers that its
//! configuration names are given at once, and every few seconds the sets are compared in both directions. A list is
//! good by its CA's signature and number alone, so the way that it came does not matter, and lists cannot go in
//! circles: what is not newer is not taken. CA certificates come the same way to peers without the authorities' folder.

use crate::{
    clock,
    identity::trust::{Crl, LearnError, Trust},
    limits::{CRL_EXCHANGE, CRL_ROUND},
};
use ca::office::handout::take_offered;
use channel_actors::runtime::tasks::blocking;
use client::{
    certificate::{Credential, certificates},
    connection::{Connection, Options, RequestError},
    known::Known,
    profile::{Profile, Url},
    retry::Retry,
};
use files::KEY_FILE_BYTES_MAX;
use futures_util::future::join_all;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use pki::trust::revocation::RevocationError;
use std::{collections::HashSet, convert::Infallible, error::Error, sync::Arc, time::Duration};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a round failed.
type Failure = Box<dyn Error + Send + Sync>;

/// Exchanges until the peer stops. The peers do not wait for each other: one that hangs is behind alone.
pub(crate) async fn keep(trust: Arc<Trust>, peers: Vec<Url>) -> Infallible {
    join_all(peers.iter().map(|peer| keep_with(&trust, peer))).await;
    std::future::pending().await
}

/// Exchanges with one peer.
async fn keep_with(trust: &Arc<Trust>, peer: &Url) -> Infallible {
    let mut changes = trust.subscribe();
    // Said once.
    let mut silent = false;
    let mut told = None;
    loop {
        // A change that comes while the sets are compared starts another round.
        changes.borrow_and_update();
        let round = tokio::time::timeout(CRL_ROUND, exchange(trust, peer, &mut told)).await;
        match round.unwrap_or_else(|late| Err(late.into())) {
            Ok(()) if silent => {
                silent = false;
                tracing::info!(%peer, "CRLs are exchanged again");
            }
            Err(error) if !silent => {
                silent = true;
                tracing::warn!(%peer, error = in_one_line(&*error), "CRLs are not exchanged");
            }
            _ => {}
        }
        // After a round that ended too early: what the peer has is not known, and it is told all.
        told.get_or_insert_default();
        // The sender lives in the trust.
        let _ = tokio::time::timeout(CRL_EXCHANGE, changes.changed()).await;
    }
}

/// Makes both sets what is newest in either. `told` are the lists that the peer is known to have; `None` before the
/// first round. What was learned since is given first, and no failure to fetch keeps it from being given: a peer whose
/// set is unusable must hear of revocations all the same.
async fn exchange(trust: &Arc<Trust>, peer: &Url, told: &mut Option<HashSet<Hash>>) -> Result<(), Failure> {
    let opened = (Arc::clone(trust), peer.clone());
    // Files are read each time: the certificate may have been renewed.
    let connection = blocking(move || open(&opened.0, opened.1)).await?;
    let first = match told {
        Some(told) => give(trust, &connection, told).await,
        None => Ok(()),
    };
    let fetched = fetch(trust, &connection, told).await;
    let then = give(trust, &connection, told.get_or_insert_default()).await;
    fetched.and(first).and(then)
}

/// Takes what the peer has and this one has not, and notes what it has.
async fn fetch(trust: &Arc<Trust>, connection: &Connection, told: &mut Option<HashSet<Hash>>) -> Result<(), Failure> {
    learn_authorities(trust, connection.authorities().await?).await?;
    let ours = trust.crl_set();
    let mut theirs = connection.crls(&ours.tag).await?;
    *told = Some(match theirs.is_empty() {
        true => ours.crls.iter().map(|crl| crl.digest).collect(),
        false => theirs.iter().map(|crl| Hash::plain(&[crl])).collect(),
    });
    // A long list does not keep others waiting.
    theirs.sort_by_key(Vec::len);
    let learning = Arc::clone(trust);
    // All of them, also after one that could not be kept.
    let learned = move || theirs.iter().map(|crl| learn(&learning, crl)).fold(Ok(()), Result::and);
    Ok(blocking(learned).await?)
}

/// Offers what the peer is not known to have.
async fn give(trust: &Trust, connection: &Connection, told: &mut HashSet<Hash>) -> Result<(), Failure> {
    let set = trust.crl_set();
    let mut crls: Vec<&Crl> = set.crls.iter().filter(|crl| !told.contains(&crl.digest)).collect();
    crls.sort_by_key(|crl| crl.der.len());
    for Crl { digest, der, .. } in crls {
        match connection.offer_crl(der.clone()).await {
            Err(RequestError::Problem(problem)) => match problem.status {
                // Theirs is newer.
                _ if problem.name() == "crl-older" => {}
                // Of a CA that they do not know, or there is no room for it: the others may do, and this one in the
                // next round.
                409 | 422 | 429 | 503 => continue,
                _ => return Err(RequestError::Problem(problem).into()),
            },
            done => {
                done?;
            }
        }
        told.insert(*digest);
    }
    Ok(())
}

/// Takes the CAs of another peer, as far as they are proven, where no authorities' folder says who they are: the next
/// root of the consortium must be trusted here before anybody comes with a path under it.
async fn learn_authorities(trust: &Arc<Trust>, offered: Vec<Vec<u8>>) -> Result<(), Failure> {
    let learning = Arc::clone(trust);
    blocking(move || {
        if learning.folder()?.is_some() {
            return Ok(());
        }
        let (folder, consortium) = (learning.certificate_dir(), learning.store().consortium());
        let taken = learning.exclusively(|| take_offered(folder, &offered, consortium, clock::now()))?;
        if taken.added > 0 || taken.removed > 0 {
            tracing::info!(added = taken.added, removed = taken.removed, "the consortium's roots have changed");
            learning.poll();
        }
        Ok(())
    })
    .await
}

/// What is not newer, or not of a CA that is trusted here, changes nothing.
fn learn(trust: &Trust, crl: &[u8]) -> Result<(), LearnError> {
    match trust.learn(crl) {
        Ok(_) | Err(LearnError::Refused(RevocationError::Older { .. } | RevocationError::UnknownIssuer)) => Ok(()),
        Err(error @ LearnError::Refused(_)) => {
            tracing::warn!(error = in_one_line(&error), "another peer has a CRL that is not good");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A connection with the peer's own certificate.
fn open(trust: &Trust, peer: Url) -> Result<Connection, Failure> {
    let directory = trust.certificate_dir();
    let path = std::fs::read(directory.join("cert.pem"))?;
    let key = files::read_secret(&directory.join("key.pem"), KEY_FILE_BYTES_MAX)?;
    let profile = Profile {
        directory: directory.into(),
        peer,
        consortium: trust.store().consortium().into(),
        account_key: directory.join("seal.pem"),
        authorities: certificates(&std::fs::read(directory.join("ca.pem"))?)?,
        credential: Some(Credential::from_pem(&path, &key)?),
    };
    let options = Options { peer: None, timeout: TIMEOUT, retry: Retry::NEVER };
    // Not who brings a list matters, but who signed it.
    Ok(Connection::open_knowing(&profile, options, Known::default())?)
}
