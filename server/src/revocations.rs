//! A revocation at a CA ends the participation on every channel that knows the certificate: the peer posts the CA's
//! signed answer there, and execution decides by that answer alone.
//!
//! The peer asks the channel's state before it posts, and the state says for ever what was revoked: a restart, another
//! peer that posts the same, and an answer that was lost on the way do no harm. Nothing is posted where the
//! certificate is not known, so that a channel learns nothing of strangers; who is admitted with a revoked
//! certificate later is found by the next look.

use crate::{
    certificates::describe,
    clock,
    limits::{COMMIT_WAIT, REVOCATION_LOOK, REVOCATIONS_POSTED_MAX},
    trust::Trust,
};
use ca::{CertificateFolder, database::CertificateRecord};
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle, SubmitResult, Wait, tasks::blocking};
use client::submit::{VALIDITY_MS, transaction};
use futures_util::future::join_all;
use ledger_classes::{
    action::{Action, channel::RevokeByEvidence},
    amount::Amount,
    hash::{Hash, HexBytes},
    keys::SigningKey,
    keyspace,
    outcome::ResultCode,
    participant::KnownCertificate,
    record,
    time::Time,
    transaction::Envelope,
};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
};

/// Posts revocations until the peer stops.
pub(crate) async fn spread(trust: Arc<Trust>, registry: Arc<ChannelRegistry>, key: Arc<SigningKey>) -> Infallible {
    let mut changes = trust.subscribe();
    let mut spreader = Spreader { trust, registry, key, revoked: Arc::default(), seen: HashMap::new() };
    let mut changed = true;
    loop {
        if changed {
            spreader.read().await;
        }
        spreader.look().await;
        // The sender lives in the trust.
        changed = tokio::time::timeout(REVOCATION_LOOK, changes.changed()).await.is_ok();
    }
}

/// What was seen of a channel.
#[derive(Default)]
struct Seen {
    /// Nothing is to be done up to here.
    height: Option<u64>,
    /// Revoked there, by serial: never asked for again.
    done: HashSet<Vec<u8>>,
}

struct Spreader {
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    key: Arc<SigningKey>,
    revoked: Arc<Vec<CertificateRecord>>,
    seen: HashMap<Hash, Seen>,
}

impl Spreader {
    /// Reads what is revoked in the authorities' folder.
    async fn read(&mut self) {
        let trust = Arc::clone(&self.trust);
        let read = blocking(move || match trust.folder() {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(folder)) => folder.revoked(clock::now()),
            Err(error) => Err(error),
        });
        match read.await {
            Ok(revoked) => {
                if revoked.len() != self.revoked.len() {
                    self.seen.values_mut().for_each(|seen| seen.height = None);
                }
                self.revoked = Arc::new(revoked);
            }
            Err(error) => tracing::error!(error = describe(&error), "revocations cannot be read"),
        }
    }

    /// Looks at every channel that has moved, and posts what is missing.
    async fn look(&mut self) {
        if self.revoked.is_empty() {
            return;
        }
        let channels = self.registry.list();
        let ids: HashSet<Hash> = channels.iter().filter_map(ChannelHandle::id).collect();
        self.seen.retain(|id, _| ids.contains(id));
        let mut posts = Vec::new();
        for channel in channels {
            let Some(id) = channel.id().filter(|_| channel.state() == LifeCycle::Serving) else { continue };
            let seen = self.seen.entry(id).or_default();
            let height = channel.tip().height;
            if seen.height == Some(height) {
                continue;
            }
            match missing(&channel, &self.revoked, &seen.done).await {
                Ok((missing, done)) => {
                    seen.done.extend(done);
                    // What is posted moves the height, so that this channel is looked at again.
                    seen.height = Some(height);
                    if missing.len() == REVOCATIONS_POSTED_MAX {
                        seen.height = None;
                    }
                    if !missing.is_empty() {
                        posts.push(post(Arc::clone(&self.trust), Arc::clone(&self.key), channel, id, missing));
                    }
                }
                Err(error) => tracing::warn!(channel = channel.name(), %error, "revocations wait"),
            }
        }
        for (id, complete) in join_all(posts).await {
            if let (false, Some(seen)) = (complete, self.seen.get_mut(&id)) {
                seen.height = None;
            }
        }
    }
}

/// Which certificates a channel knows as good although they are revoked, and the serials that are done there.
async fn missing(
    channel: &ChannelHandle,
    revoked: &Arc<Vec<CertificateRecord>>,
    done: &HashSet<Vec<u8>>,
) -> Result<(Vec<CertificateRecord>, Vec<Vec<u8>>), channel_actors::Unavailable> {
    let open = revoked.iter().filter(|record| !done.contains(record.serial.as_bytes()));
    let open: Vec<CertificateRecord> = open.cloned().collect();
    // Of a peer with many channels most rest, and go on resting.
    channel
        .glance(move |reader| {
            let (mut missing, mut done) = (Vec::new(), Vec::new());
            for certificate in open {
                let serial = certificate.serial.as_bytes();
                let key = keyspace::certificate(&certificate.identity.to_string(), serial);
                match record::read::<KnownCertificate>(reader.view(), &key)? {
                    None => {}
                    Some(known) if known.revoked_height.is_some() => done.push(serial.to_vec()),
                    Some(_) if missing.len() < REVOCATIONS_POSTED_MAX => missing.push(certificate),
                    Some(_) => {}
                }
            }
            Ok((missing, done))
        })
        .await
}

/// Posts revocations to a channel and waits for their blocks. Returns whether everything became of it that could.
async fn post(
    trust: Arc<Trust>,
    key: Arc<SigningKey>,
    channel: ChannelHandle,
    id: Hash,
    missing: Vec<CertificateRecord>,
) -> (Hash, bool) {
    let (wanted, now) = (missing.len(), clock::now_on(&channel));
    let envelopes = blocking(move || match trust.folder() {
        Ok(Some(folder)) => missing.iter().filter_map(|record| envelope(&folder, &key, id, now, record)).collect(),
        _ => Vec::new(),
    });
    let envelopes: Vec<Envelope> = envelopes.await;
    let sent = envelopes.len();
    let submission = match channel.submit(envelopes, Wait::Committed) {
        Ok(submission) => submission,
        Err(error) => {
            tracing::warn!(channel = channel.name(), %error, "revocations wait");
            return (id, false);
        }
    };
    let Ok(results) = tokio::time::timeout(COMMIT_WAIT, submission).await else { return (id, false) };
    let mut complete = sent == wanted;
    for result in results {
        match result {
            SubmitResult::Committed { receipt, .. } if receipt.head.code == ResultCode::Done.number() => {
                tracing::info!(channel = channel.name(), "a participation ended on its CA's word");
            }
            // Somebody else was quicker.
            SubmitResult::Committed { receipt, .. }
                if receipt.head.code == ResultCode::CertificateIsRevoked.number() => {}
            SubmitResult::Committed { receipt, .. } => {
                // A CA that the channel does not accept, a fee that this peer cannot pay: trying at once again would
                // only fill blocks. The next block that somebody else makes is reason enough to look again.
                let (code, message) = (receipt.head.code, receipt.head.message.as_str());
                tracing::error!(channel = channel.name(), code, message, "the channel refuses a revocation");
            }
            SubmitResult::Accepted { .. } => complete = false,
            SubmitResult::Refused { refusal, .. } => {
                complete = false;
                tracing::warn!(channel = channel.name(), error = %refusal, "a revocation waits");
            }
        }
    }
    (id, complete)
}

/// The transaction that revokes one certificate; `None` while its evidence is being written.
fn envelope(
    folder: &CertificateFolder,
    key: &SigningKey,
    channel: Hash,
    now: Time,
    record: &CertificateRecord,
) -> Option<Envelope> {
    let evidence = match folder.evidence(record) {
        Ok(evidence) => evidence?,
        Err(error) => {
            tracing::error!(serial = %record.serial, error = describe(&error), "there is no evidence");
            return None;
        }
    };
    let path = evidence.path.into_iter().map(HexBytes).collect();
    let action = Action::ParticipantRevokeByEvidence(RevokeByEvidence { path, evidence: HexBytes(evidence.answer) });
    let sender = key.public().address();
    match transaction(channel, sender, vec![action], now, VALIDITY_MS) {
        Ok(mut transaction) => {
            // Whatever the channel asks: to be rid of a stolen key is worth it.
            transaction.fee_max = Amount::MAX;
            Some(Envelope::sign_binary(&transaction, &[key]))
        }
        Err(error) => {
            tracing::error!(%error, "a revocation cannot be signed");
            None
        }
    }
}
