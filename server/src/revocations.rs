//! A revocation at a CA ends the participation on every channel that knows the certificate: the peer posts the CA's
//! signed answer there, and execution decides by that answer alone.
//!
//! The peer asks the channel's state before it posts, and the state says for ever what was revoked: a restart, another
//! peer that posts the same, and an answer that was lost on the way do no harm. Nothing is posted where the
//! certificate is not known, so that a channel learns nothing of strangers; who is admitted with a revoked
//! certificate later is found by the next look.
//! Of a CA whose folder is elsewhere this peer has the answers that were brought (`chancery ca publish`,
//! [`crate::trust`]). Whom that CA's CRL names without an answer is told of ([`elsewhere`]).
//! Nor is anything posted that the channel's rules refuse: the evidence is judged here first as execution would, and
//! what execution refused all the same is final until the channel has another configuration. Both are told of
//! ([`crate::duties`]).

mod elsewhere;

use crate::{
    certificates::{ParticipantPaths, describe},
    clock,
    duties::{Duties, Duty, Pause},
    limits::{COMMIT_WAIT, DUTY_RETRY_MAX, REVOCATION_LOOK, REVOCATION_RETRY, REVOCATIONS_POSTED_MAX},
    trust::Trust,
};
use ca::{
    CertificateFolder, KeyId, Serial, database::CertificateRecord, evidence::RevocationEvidence, folder::FolderError,
};
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle, SubmitRefusal, SubmitResult, Wait, tasks::blocking};
use client::submit::{VALIDITY_MS, transaction};
use elsewhere::Elsewhere;
use futures_util::future::join_all;
use ledger_classes::{
    action::{Action, channel::RevokeByEvidence},
    config::ChannelConfig,
    execution::ConfigRecord,
    hash::{Hash, HexBytes},
    identity::Identity,
    keys::SigningKey,
    keyspace,
    outcome::ResultCode,
    participant::{CertificatePaths as _, KnownCertificate, NamedCertificate},
    record,
    time::Time,
    transaction::Envelope,
};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    iter::repeat_with,
    sync::Arc,
    time::{Duration, Instant},
};

/// Posts revocations until the peer stops.
pub(crate) async fn spread(
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    key: Arc<SigningKey>,
    duties: Arc<Duties>,
) -> Infallible {
    let mut changes = trust.subscribe();
    let mut elsewhere = Elsewhere::new(Arc::clone(&trust), Arc::clone(&registry), Arc::clone(&duties));
    let mut spreader =
        Spreader { trust, registry, key, duties, revoked: Arc::default(), own: HashSet::new(), seen: HashMap::new() };
    let mut changed = true;
    loop {
        let generation = *changes.borrow_and_update();
        if changed {
            spreader.read().await;
        }
        spreader.look().await;
        spreader.trust.has_spread(generation);
        elsewhere.look(&spreader.own, &spreader.revoked).await;
        // The sender lives in the trust.
        changed = tokio::time::timeout(spreader.wait(Instant::now()), changes.changed()).await.is_ok();
    }
}

/// What was seen of a channel.
struct Seen {
    /// Nothing is to be done up to here.
    height: Option<u64>,
    /// Revoked there: never asked for again. By identity and serial: a CA chooses its serials, and another's must not
    /// stand for it.
    done: HashSet<Arc<str>>,
    /// Refused there.
    refused: HashMap<Arc<str>, Refused>,
    /// It took nothing.
    pause: Pause,
}

impl Default for Seen {
    fn default() -> Self {
        let pause = Pause::new(REVOCATION_RETRY, DUTY_RETRY_MAX);
        Self { height: None, done: HashSet::new(), refused: HashMap::new(), pause }
    }
}

/// A revocation that a channel does not take.
struct Refused {
    /// Under the configuration of this block.
    config: u64,
    /// When to judge it again, if nothing was posted; never if the ledger said no.
    again: Option<Pause>,
}

impl Refused {
    fn stands(&self, config: u64, now: Instant) -> bool {
        self.config == config && self.again.as_ref().is_none_or(|pause| !pause.is_over(now))
    }
}

/// What became of a revocation.
enum Outcome {
    /// The channel knows.
    Done,
    /// No, before anything was posted.
    Judged(String),
    /// No, in a block.
    Refused(String),
    /// Not now.
    Waits(String),
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Revoked {
    identity: Identity,
    serial: Serial,
    /// How it is named to people, and told from others ([`name_of`]).
    name: Arc<str>,
    proof: Proof,
}

impl Revoked {
    fn new(identity: Identity, serial: Serial, proof: Proof) -> Self {
        Self { name: name_of(&identity, &serial).into(), identity, serial, proof }
    }
}

/// How a certificate is named.
fn name_of(identity: &Identity, serial: &Serial) -> String {
    format!("{identity} {serial}")
}

/// Where what proves it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// In the authorities' folder.
    Folder(Arc<CertificateRecord>),
    /// It was brought.
    Brought(Arc<RevocationEvidence>),
}

struct Spreader {
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    key: Arc<SigningKey>,
    duties: Arc<Duties>,
    revoked: Arc<Vec<Revoked>>,
    /// Keys of the CAs in the authorities' folder.
    own: HashSet<KeyId>,
    seen: HashMap<Hash, Seen>,
}

impl Spreader {
    /// How long until the next look, if nothing changes: until the first pause of a channel that waits is over.
    fn wait(&self, now: Instant) -> Duration {
        let pauses = self.seen.values().filter_map(|seen| seen.pause.remains(now));
        pauses.fold(REVOCATION_LOOK, Duration::min)
    }

    /// Reads what is revoked in the authorities' folder, and the answers that were brought.
    async fn read(&mut self) {
        let trust = Arc::clone(&self.trust);
        let read = blocking(move || {
            let (mut revoked, mut own) = (Vec::new(), HashSet::new());
            if let Some(folder) = trust.folder()? {
                let authorities = folder.trust()?;
                let ders = authorities.anchors.iter().chain(&authorities.issuing);
                own.extend(ders.filter_map(|der| KeyId::of_certificate(der)));
                revoked.extend(folder.revoked(clock::now())?.into_iter().map(|record| {
                    let (identity, serial) = (record.identity.clone(), record.serial.clone());
                    Revoked::new(identity, serial, Proof::Folder(Arc::new(record)))
                }));
            }
            let known: HashSet<Arc<str>> = revoked.iter().map(|one: &Revoked| Arc::clone(&one.name)).collect();
            let brought = trust
                .answers()
                .into_iter()
                .map(|answer| Revoked::new(answer.identity, answer.serial, Proof::Brought(Arc::new(answer.evidence))));
            revoked.extend(brought.filter(|one| !known.contains(&one.name)));
            Ok::<_, FolderError>((revoked, own))
        });
        match read.await {
            Ok((revoked, own)) => {
                self.own = own;
                if *self.revoked != revoked {
                    self.seen.values_mut().for_each(|seen| {
                        seen.height = None;
                        seen.pause.end();
                    });
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
        let (mut posts, now) = (Vec::new(), Instant::now());
        for channel in channels {
            let serving = channel.state() == LifeCycle::Serving;
            let (Some(id), Some(config), true) = (channel.id(), channel.config(), serving) else { continue };
            let seen = self.seen.entry(id).or_default();
            let height = channel.tip().height;
            if seen.height == Some(height) || !seen.pause.is_over(now) {
                continue;
            }
            seen.refused.retain(|_, refused| refused.config == config.height);
            let is_open = |record: &&Revoked| {
                let refused = seen.refused.get(&record.name);
                let stands = refused.is_some_and(|refused| refused.stands(config.height, now));
                !stands && !seen.done.contains(&record.name)
            };
            let open: Vec<Revoked> = self.revoked.iter().filter(is_open).cloned().collect();
            match missing(&channel, open).await {
                Ok((missing, done)) => {
                    for record in done {
                        self.duties.done(channel.name(), Duty::Revocation, &record.name);
                        seen.done.insert(record.name);
                    }
                    // What is posted moves the height, so that this channel is looked at again.
                    let waits = seen.refused.values().any(|refused| refused.again.is_some());
                    seen.height = (missing.len() < REVOCATIONS_POSTED_MAX && !waits).then_some(height);
                    if !missing.is_empty() {
                        posts.push(self.post(channel, id, config, missing));
                    }
                }
                Err(error) => {
                    seen.pause.lengthen(now);
                    tracing::warn!(channel = channel.name(), %error, "revocations wait");
                }
            }
        }
        for (channel, id, config, outcomes) in join_all(posts).await {
            self.take_up(channel.name(), id, config, outcomes);
        }
    }

    /// Notes what became of what was posted.
    fn take_up(&mut self, channel: &str, id: Hash, config: u64, outcomes: Vec<(Revoked, Outcome)>) {
        let (seen, now) = (self.seen.entry(id).or_default(), Instant::now());
        let mut waits = false;
        for (record, outcome) in outcomes {
            let subject = record.name;
            let hindered = |reason: &str| self.duties.hinder(channel, Duty::Revocation, &subject, reason);
            match outcome {
                Outcome::Done => {
                    self.duties.done(channel, Duty::Revocation, &subject);
                    seen.refused.remove(&subject);
                }
                Outcome::Judged(reason) => {
                    if hindered(&reason) {
                        tracing::error!(
                            channel,
                            certificate = &*subject,
                            reason,
                            "a revocation is not for the channel"
                        );
                    }
                    let before = seen.refused.remove(&subject).and_then(|refused| refused.again);
                    let mut again = before.unwrap_or(Pause::new(REVOCATION_RETRY, DUTY_RETRY_MAX));
                    again.lengthen(now);
                    seen.refused.insert(subject, Refused { config, again: Some(again) });
                    seen.height = None;
                }
                Outcome::Refused(reason) => {
                    hindered(&reason);
                    tracing::error!(
                        channel,
                        certificate = &*subject,
                        reason,
                        "the channel refuses a revocation, for good"
                    );
                    seen.refused.insert(subject, Refused { config, again: None });
                }
                Outcome::Waits(reason) => {
                    waits = true;
                    if hindered(&reason) {
                        tracing::warn!(channel, certificate = &*subject, reason, "a revocation waits");
                    }
                }
            }
        }
        if waits {
            seen.height = None;
            seen.pause.lengthen(now);
        } else {
            seen.pause.end();
        }
    }

    /// Posts revocations to a channel and waits for their blocks.
    fn post(
        &self,
        channel: ChannelHandle,
        id: Hash,
        config: Arc<ConfigRecord>,
        missing: Vec<Revoked>,
    ) -> impl Future<Output = (ChannelHandle, Hash, u64, Vec<(Revoked, Outcome)>)> + use<> {
        let (trust, key, now) = (Arc::clone(&self.trust), Arc::clone(&self.key), clock::now_on(&channel));
        let height = config.height;
        async move {
            let prepared = blocking(move || {
                let folder = trust.folder();
                let prepare = |record: Revoked| {
                    let evidence = evidence(&folder, &record);
                    let prepared = evidence.and_then(|evidence| envelope(&key, id, &config.config, now, evidence));
                    (record, prepared)
                };
                missing.into_iter().map(prepare).collect::<Vec<_>>()
            });
            let (mut outcomes, mut posted, mut envelopes) = (Vec::new(), Vec::new(), Vec::new());
            for (record, prepared) in prepared.await {
                match prepared {
                    Ok(envelope) => {
                        posted.push(record);
                        envelopes.push(envelope);
                    }
                    Err(outcome) => outcomes.push((record, outcome)),
                }
            }
            if !envelopes.is_empty() {
                let results = submit(&channel, envelopes).await;
                let results = results.into_iter().chain(repeat_with(|| Outcome::Waits("no outcome in time".into())));
                outcomes.extend(posted.into_iter().zip(results));
            }
            (channel, id, height, outcomes)
        }
    }
}

/// Which of these certificates a channel knows as good although they are revoked, and those that are done there.
async fn missing(
    channel: &ChannelHandle,
    open: Vec<Revoked>,
) -> Result<(Vec<Revoked>, Vec<Revoked>), channel_actors::Unavailable> {
    // Of a peer with many channels most rest, and go on resting.
    channel
        .glance(move |reader| {
            let (mut missing, mut done) = (Vec::new(), Vec::new());
            for certificate in open {
                let (serial, view) = (certificate.serial.as_bytes(), reader.view());
                let key = keyspace::named_certificate(&certificate.identity.to_string(), serial);
                let named: NamedCertificate = record::read(view, &key)?.unwrap_or_default();
                let (mut good, mut known) = (false, false);
                for issuer in &named.issuers {
                    let found: Option<KnownCertificate> = record::read(view, &keyspace::certificate(issuer, serial))?;
                    known = true;
                    good |= found.is_some_and(|found| found.revoked_height.is_none());
                }
                if good && missing.len() < REVOCATIONS_POSTED_MAX {
                    missing.push(certificate);
                } else if known && !good {
                    done.push(certificate);
                }
            }
            Ok((missing, done))
        })
        .await
}

/// What became of each; fewer than were sent if their blocks did not come in time.
async fn submit(channel: &ChannelHandle, envelopes: Vec<Envelope>) -> Vec<Outcome> {
    let sent = envelopes.len();
    let submission = match channel.submit(envelopes, Wait::Committed) {
        Ok(submission) => submission,
        Err(error) => return repeat_with(|| Outcome::Waits(error.to_string())).take(sent).collect(),
    };
    let results = tokio::time::timeout(COMMIT_WAIT, submission).await.unwrap_or_default();
    let outcome = |result| match result {
        SubmitResult::Committed { receipt, .. } => {
            let head = &receipt.head;
            let done = [ResultCode::Done, ResultCode::CertificateIsRevoked];
            if done.iter().any(|code| code.number() == head.code) {
                tracing::info!(channel = channel.name(), "a participation ended on its CA's word");
                Outcome::Done
            } else {
                let name = ResultCode::from_number(head.code).map_or("unknown", ResultCode::name);
                Outcome::Refused(format!("{} {name}: {}", head.code, head.message))
            }
        }
        SubmitResult::Accepted { .. } => Outcome::Waits("its block is under way".into()),
        // What is tried at the door is decided there as it would be in a block.
        SubmitResult::Refused {
            refusal: SubmitRefusal::Rejected { code: ResultCode::CertificateIsRevoked, .. },
            ..
        } => Outcome::Done,
        SubmitResult::Refused { refusal: refusal @ SubmitRefusal::Rejected { .. }, .. } => {
            Outcome::Judged(refusal.to_string())
        }
        SubmitResult::Refused { refusal, .. } => Outcome::Waits(refusal.to_string()),
    };
    results.into_iter().map(outcome).collect()
}

/// What proves a revocation.
fn evidence(
    folder: &Result<Option<CertificateFolder>, FolderError>,
    revoked: &Revoked,
) -> Result<RevocationEvidence, Outcome> {
    let record = match &revoked.proof {
        Proof::Brought(evidence) => return Ok((**evidence).clone()),
        Proof::Folder(record) => record,
    };
    let folder = match folder {
        Ok(Some(folder)) => folder,
        Ok(None) => return Err(Outcome::Waits("the authorities' folder is gone".into())),
        Err(error) => return Err(Outcome::Waits(describe(error))),
    };
    match folder.evidence(record) {
        Ok(Some(evidence)) => Ok(evidence),
        Ok(None) => Err(Outcome::Waits("its evidence is being written".into())),
        Err(error) => Err(Outcome::Waits(format!("there is no evidence: {}", describe(&error)))),
    }
}

/// The transaction that revokes one certificate, if the channel's rules take it.
fn envelope(
    key: &SigningKey,
    channel: Hash,
    config: &ChannelConfig,
    now: Time,
    evidence: RevocationEvidence,
) -> Result<Envelope, Outcome> {
    // The leaf is not shown: a channel that does not know it must not learn whose it is.
    let listed = |der: &Vec<u8>| {
        let mut all = config.organizations.iter().flat_map(|member| &member.authorities);
        all.any(|listed| listed.0 == *der)
    };
    let path: Vec<Vec<u8>> = evidence.path.into_iter().skip(1).take_while(|der| !listed(der)).collect();
    judge(config, &path, &evidence.answer).map_err(Outcome::Judged)?;
    let path = path.into_iter().map(HexBytes).collect();
    let action = Action::ParticipantRevokeByEvidence(RevokeByEvidence { path, evidence: HexBytes(evidence.answer) });
    let sender = key.public().address();
    let transaction = transaction(channel, sender, vec![action], now, VALIDITY_MS);
    let transaction = transaction.map_err(|error| Outcome::Waits(format!("it cannot be signed: {error}")))?;
    Ok(Envelope::sign_binary(&transaction, &[key]))
}

/// Judges evidence as execution would: by the CAs that the channel lists, and by those of the organization alone.
fn judge(config: &ChannelConfig, path: &[Vec<u8>], answer: &[u8]) -> Result<(), String> {
    let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
    let by_roots_of = |organization: Option<&str>| {
        let members = config.organizations.iter();
        let members = members.filter(|member| organization.is_none_or(|name| member.name == name));
        let roots: Vec<&[u8]> = members.flat_map(|member| member.authorities.iter().map(|der| &*der.0)).collect();
        ParticipantPaths.revocation(&path, answer, &roots)
    };
    match by_roots_of(None)?.organization {
        None => Ok(()),
        Some(organization) if config.is_member(&organization) => by_roots_of(Some(&organization)).map(|_| ()),
        Some(_) => Err("the organization is not a member of this channel".into()),
    }
}
