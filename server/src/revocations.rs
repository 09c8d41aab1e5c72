//! A revocation at a CA ends the participation on every channel that knows the certificate: the peer posts the CA's
//! signed answer there, and execution decides by that answer alone.
//!
//! The peer asks the channel's state before it posts, and the state says for ever what was revoked: a restart, another
//! peer that posts the same, and an answer that was lost on the way do no harm. Nothing is posted where the
//! certificate is not known, so that a channel learns nothing of strangers; who is admitted with a revoked
//! certificate later is found by the next look.
//! Of a CA whose folder is elsewhere this peer has the answers that were brought (`chancery ca publish`,
//! [`crate::trust`]). Whom that CA's CRL names without an answer is told of.
//! Nor is anything posted that the channel's rules refuse: the evidence is judged here first as execution would, and
//! what execution refused all the same is final until the channel has another configuration. Both are told of
//! ([`crate::duties`]).

use crate::{
    certificates::{ParticipantPaths, describe},
    clock,
    duties::{Duties, Duty, Pause},
    limits::{
        COMMIT_WAIT, DUTY_RETRY_MAX, NOTICE_EVERY, OBSTACLES_SHOWN_MAX, PAGE_MAX, REVOCATION_LOOK, REVOCATION_RETRY,
        REVOCATIONS_POSTED_MAX,
    },
    trust::Trust,
};
use ca::{
    CertificateFolder, KeyId, Serial, database::CertificateRecord, evidence::RevocationEvidence, folder::FolderError,
    revocation::RevocationList,
};
use channel_actors::{
    ChannelHandle, ChannelRegistry, LifeCycle, Reader, SubmitRefusal, SubmitResult, Wait, tasks::blocking,
};
use client::submit::{VALIDITY_MS, transaction};
use futures_util::future::join_all;
use ledger_classes::{
    action::{Action, channel::RevokeByEvidence},
    config::ChannelConfig,
    execution::{
        ConfigRecord,
        channel::{NamedParticipant, participants},
    },
    hash::{Hash, HexBytes},
    identity::Identity,
    keys::SigningKey,
    keyspace,
    listing::Span,
    outcome::ResultCode,
    participant::{CertificatePaths as _, KnownCertificate},
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
        spreader.notice().await;
        // The sender lives in the trust.
        changed = tokio::time::timeout(spreader.wait(Instant::now()), changes.changed()).await.is_ok();
    }
}

/// Why a participation goes on that its CA has ended.
const UNPROVEN: &str = "its CA's CRL names it, and the CA's answer was not brought: its organization runs \
    `chancery ca publish`";

/// What was seen of a channel.
struct Seen {
    /// Nothing is to be done up to here.
    height: Option<u64>,
    /// Revoked there, by serial: never asked for again.
    done: HashSet<Vec<u8>>,
    /// Refused there, by serial.
    refused: HashMap<Vec<u8>, Refused>,
    /// It took nothing.
    pause: Pause,
    /// Up to where those whom a CA elsewhere has revoked are known.
    noticed: Option<Noticed>,
    /// They, as they are told of.
    unproven: HashSet<String>,
}

/// When participants were last held against the CRLs of CAs elsewhere.
struct Noticed {
    height: u64,
    config: u64,
    crls: u64,
    at: Instant,
}

impl Default for Seen {
    fn default() -> Self {
        let pause = Pause::new(REVOCATION_RETRY, DUTY_RETRY_MAX);
        let (done, unproven) = (HashSet::new(), HashSet::new());
        Self { height: None, done, refused: HashMap::new(), pause, noticed: None, unproven }
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
    proof: Proof,
}

/// Where what proves it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// In the authorities' folder.
    Folder(Box<CertificateRecord>),
    /// It was brought.
    Brought(Box<RevocationEvidence>),
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

    /// Reads what is revoked in the authorities' folder.
    async fn read(&mut self) {
        let trust = Arc::clone(&self.trust);
        let read = blocking(move || {
            let brought = trust.answers().into_iter().map(|answer| Revoked {
                identity: answer.identity,
                serial: answer.serial,
                proof: Proof::Brought(Box::new(answer.evidence)),
            });
            let mut revoked: Vec<Revoked> = brought.collect();
            let mut own = HashSet::new();
            if let Some(folder) = trust.folder()? {
                let authorities = folder.trust()?;
                let ders = authorities.anchors.iter().chain(&authorities.issuing);
                own.extend(ders.filter_map(|der| KeyId::of_certificate(der)));
                revoked.extend(folder.revoked(clock::now())?.into_iter().map(|record| Revoked {
                    identity: record.identity.clone(),
                    serial: record.serial.clone(),
                    proof: Proof::Folder(Box::new(record)),
                }));
            }
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
        let (mut posts, now) = (Vec::new(), Instant::now());
        for channel in self.registry.list() {
            let serving = channel.state() == LifeCycle::Serving;
            let (Some(id), Some(config), true) = (channel.id(), channel.config(), serving) else { continue };
            let seen = self.seen.entry(id).or_default();
            let height = channel.tip().height;
            if seen.height == Some(height) || !seen.pause.is_over(now) {
                continue;
            }
            seen.refused.retain(|_, refused| refused.config == config.height);
            let is_open = |record: &&Revoked| {
                let serial = record.serial.as_bytes();
                let stands = seen.refused.get(serial).is_some_and(|refused| refused.stands(config.height, now));
                !stands && !seen.done.contains(serial)
            };
            let open: Vec<Revoked> = self.revoked.iter().filter(is_open).cloned().collect();
            match missing(&channel, open).await {
                Ok((missing, done)) => {
                    for record in done {
                        self.duties.done(channel.name(), Duty::Revocation, &subject(&record));
                        seen.done.insert(record.serial.as_bytes().to_vec());
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

    /// Tells of participants whom the CRL of a CA elsewhere names, and whose answer nobody has brought.
    async fn notice(&mut self) {
        let channels = self.registry.list();
        let ids: HashSet<Hash> = channels.iter().filter_map(ChannelHandle::id).collect();
        self.seen.retain(|id, _| ids.contains(id));
        let generation = self.trust.store().revocation().generation();
        for channel in channels {
            let (Some(id), Some(config), LifeCycle::Serving) = (channel.id(), channel.config(), channel.state()) else {
                continue;
            };
            let (name, height) = (channel.name().to_owned(), channel.tip().height);
            let seen = self.seen.entry(id).or_default();
            // Others than those who are there seldom come with a revoked certificate: that has time.
            let is_known = |noticed: &Noticed| {
                let same = (noticed.config, noticed.crls) == (config.height, generation);
                same && (noticed.height == height || noticed.at.elapsed() < NOTICE_EVERY && seen.unproven.is_empty())
            };
            if seen.noticed.as_ref().is_some_and(is_known) {
                continue;
            }
            let lists = self.trust.store().revocation().current();
            let mut of: Vec<(String, Vec<Arc<RevocationList>>)> = Vec::new();
            for member in &config.config.organizations {
                // As the channel lists them: another CA of that name says nothing of its members.
                let keys = member.authorities.iter().filter_map(|der| KeyId::of_certificate(&der.0));
                let keys = keys.filter(|key| !self.own.contains(key));
                let long = keys.filter_map(|key| lists.list(&key).filter(|list| !list.is_empty()).cloned());
                let long: Vec<_> = long.collect();
                if !long.is_empty() {
                    of.push((member.name.clone(), long));
                }
            }
            let at = Noticed { height, config: config.height, crls: generation, at: Instant::now() };
            let proven: HashSet<String> = self.revoked.iter().map(subject).collect();
            let found = if of.is_empty() { Ok(HashSet::new()) } else { unproven(&channel, config, of, proven).await };
            let unproven = match found {
                Ok(unproven) => unproven,
                // It is looked at again.
                Err(error) => {
                    tracing::warn!(channel = name, %error, "participants cannot be held against CRLs");
                    continue;
                }
            };
            for subject in &unproven {
                if self.duties.hinder(&name, Duty::Revocation, subject, UNPROVEN) {
                    tracing::error!(channel = name, certificate = subject, reason = UNPROVEN, "a revocation waits");
                }
            }
            for subject in seen.unproven.difference(&unproven) {
                self.duties.done(&name, Duty::Revocation, subject);
            }
            (seen.noticed, seen.unproven) = (Some(at), unproven);
        }
    }

    /// Notes what became of what was posted.
    fn take_up(&mut self, channel: &str, id: Hash, config: u64, outcomes: Vec<(Revoked, Outcome)>) {
        let (seen, now) = (self.seen.entry(id).or_default(), Instant::now());
        let mut waits = false;
        for (record, outcome) in outcomes {
            let (serial, subject) = (record.serial.as_bytes().to_vec(), subject(&record));
            let hindered = |reason: &str| self.duties.hinder(channel, Duty::Revocation, &subject, reason);
            match outcome {
                Outcome::Done => {
                    self.duties.done(channel, Duty::Revocation, &subject);
                    seen.refused.remove(&serial);
                }
                Outcome::Judged(reason) => {
                    if hindered(&reason) {
                        tracing::error!(channel, certificate = subject, reason, "a revocation is not for the channel");
                    }
                    let before = seen.refused.remove(&serial).and_then(|refused| refused.again);
                    let mut again = before.unwrap_or(Pause::new(REVOCATION_RETRY, DUTY_RETRY_MAX));
                    again.lengthen(now);
                    seen.refused.insert(serial, Refused { config, again: Some(again) });
                    seen.height = None;
                }
                Outcome::Refused(reason) => {
                    hindered(&reason);
                    tracing::error!(
                        channel,
                        certificate = subject,
                        reason,
                        "the channel refuses a revocation, for good"
                    );
                    seen.refused.insert(serial, Refused { config, again: None });
                }
                Outcome::Waits(reason) => {
                    waits = true;
                    if hindered(&reason) {
                        tracing::warn!(channel, certificate = subject, reason, "a revocation waits");
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

/// How a certificate is named to people.
fn subject(record: &Revoked) -> String {
    format!("{} {}", record.identity, record.serial)
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
                let serial = certificate.serial.as_bytes();
                let key = keyspace::certificate(&certificate.identity.to_string(), serial);
                match record::read::<KnownCertificate>(reader.view(), &key)? {
                    None => {}
                    Some(known) if known.revoked_height.is_some() => done.push(certificate),
                    Some(_) if missing.len() < REVOCATIONS_POSTED_MAX => missing.push(certificate),
                    Some(_) => {}
                }
            }
            Ok((missing, done))
        })
        .await
}

/// Admitted participants whom these lists of their organizations' CAs name, without those that are `proven`. As many as
/// status shows are enough.
async fn unproven(
    channel: &ChannelHandle,
    config: Arc<ConfigRecord>,
    of: Vec<(String, Vec<Arc<RevocationList>>)>,
    proven: HashSet<String>,
) -> Result<HashSet<String>, channel_actors::Unavailable> {
    let mut named = HashSet::new();
    let of: Vec<_> =
        of.into_iter().map(|(organization, lists)| (Arc::<str>::from(organization), Arc::new(lists))).collect();
    for (organization, lists) in of {
        let mut span = Span::first(PAGE_MAX);
        loop {
            let (config, organization, asked) = (Arc::clone(&config), Arc::clone(&organization), span.clone());
            // Page by page, so that nobody waits for all of a long list.
            let look =
                move |reader: &Reader<'_>| participants(reader.view(), &config.config, Some(&organization), &asked);
            let page = channel.glance(look).await?;
            for NamedParticipant { record, .. } in page.items {
                let Ok(serial) = hex::encode(&record.serial.0).parse::<Serial>() else { continue };
                let subject = format!("{} {serial}", record.identity);
                let is_named = record.revoked_height.is_none() && lists.iter().any(|list| list.contains(&serial));
                if is_named && !proven.contains(&subject) {
                    named.insert(subject);
                }
            }
            span.after = page.next;
            if span.after.is_none() || named.len() >= OBSTACLES_SHOWN_MAX {
                break;
            }
        }
    }
    Ok(named)
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
    judge(config, &evidence, now).map_err(Outcome::Judged)?;
    let path = evidence.path.into_iter().map(HexBytes).collect();
    let action = Action::ParticipantRevokeByEvidence(RevokeByEvidence { path, evidence: HexBytes(evidence.answer) });
    let sender = key.public().address();
    let transaction = transaction(channel, sender, vec![action], now, VALIDITY_MS);
    let transaction = transaction.map_err(|error| Outcome::Waits(format!("it cannot be signed: {error}")))?;
    Ok(Envelope::sign_binary(&transaction, &[key]))
}

/// Judges evidence as execution would: by the CAs that the channel lists, and by those of the organization alone.
fn judge(config: &ChannelConfig, evidence: &RevocationEvidence, now: Time) -> Result<(), String> {
    let path: Vec<&[u8]> = evidence.path.iter().map(Vec::as_slice).collect();
    let by_roots_of = |organization: Option<&str>| {
        let members = config.organizations.iter();
        let members = members.filter(|member| organization.is_none_or(|name| member.name == name));
        let roots: Vec<&[u8]> = members.flat_map(|member| member.authorities.iter().map(|der| &*der.0)).collect();
        ParticipantPaths.revocation(&path, &evidence.answer, &roots, now)
    };
    let identity = by_roots_of(None)?.identity;
    if identity.consortium() != config.consortium || !config.is_member(identity.organization()) {
        return Err("the organization is not a member of this channel".into());
    }
    by_roots_of(Some(identity.organization())).map(|_| ())
}
