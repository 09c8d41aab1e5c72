//! One step of a channel: what it knows already, and the rest posted.

use super::{
    course::{Batch, Outcome},
    source::{Revoked, Word},
};
use crate::{certificates::paths::ParticipantPaths, clock, limits::COMMIT_WAIT};
use ca::office::revocation_evidence::RevocationEvidence;
use channel_actors::runtime::tasks::blocking;
use channel_actors::{ChannelHandle, SubmitRefusal, SubmitResult, Unavailable, Wait};
use client::submit::{VALIDITY_MS, transaction};
use ledger_classes::action::Action;
use ledger_classes::action::channel::RevokeByEvidence;
use ledger_classes::execution::ConfigRecord;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::detail::{PathFault, PathRefusal};
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{CertificatePaths as _, KnownCertificate};
use ledger_classes::state::{keyspace, record};
use std::{iter::repeat_with, sync::Arc};
use tokio::sync::Semaphore;

/// Channels for which evidence is judged and signed at a time: it takes a processor.
const PREPARED_MAX: usize = 2;

/// What became of a step.
pub(super) struct Stepped {
    pub(super) channel: Hash,
    pub(super) outcomes: Vec<(u64, Arc<Revoked>, Outcome)>,
    /// From where on the channel could not be asked what it has met.
    pub(super) unseen: Option<u64>,
}

/// Posts with the peer's key.
#[derive(Clone)]
pub(super) struct Poster {
    key: Arc<SigningKey>,
    preparing: Arc<Semaphore>,
}

impl Poster {
    pub(super) fn new(key: Arc<SigningKey>) -> Self {
        Self { key, preparing: Arc::new(Semaphore::new(PREPARED_MAX)) }
    }

    /// Asks the channel which certificates it has met and knows nothing of yet.
    pub(super) async fn look(channel: ChannelHandle, id: Hash, batch: Batch) -> Stepped {
        let first = batch.first().map(|(number, _)| *number);
        match found(&channel, &batch).await {
            Ok(found) => {
                let met = batch.into_iter().zip(found).filter(|(_, found)| *found == Found::Met);
                let outcomes = met.map(|((number, revoked), _)| (number, revoked, Outcome::Met)).collect();
                Stepped { channel: id, outcomes, unseen: None }
            }
            Err(_) => Stepped { channel: id, outcomes: Vec::new(), unseen: first },
        }
    }

    /// Asks the channel what it knows, posts the rest, and waits for the blocks.
    pub(super) fn post(
        &self,
        channel: ChannelHandle,
        id: Hash,
        config: Arc<ConfigRecord>,
        batch: Batch,
    ) -> impl Future<Output = Stepped> + use<> {
        let Self { key, preparing } = self.clone();
        async move {
            let (mut outcomes, mut missing): (Vec<_>, Batch) = (Vec::new(), Vec::new());
            match found(&channel, &batch).await {
                Ok(found) => {
                    for ((number, revoked), found) in batch.into_iter().zip(found) {
                        match found {
                            Found::Told => outcomes.push((number, revoked, Outcome::Done)),
                            Found::Met | Found::Unmet => missing.push((number, revoked)),
                        }
                    }
                }
                Err(error) => {
                    let waits = |(number, revoked)| (number, revoked, Outcome::Waits(error.to_string()));
                    let outcomes = batch.into_iter().map(waits).collect();
                    return Stepped { channel: id, outcomes, unseen: None };
                }
            }
            if missing.is_empty() {
                return Stepped { channel: id, outcomes, unseen: None };
            }
            let now = clock::now_on(&channel);
            // Never closed.
            let permit = preparing.acquire().await;
            let prepare = move |(number, revoked): (u64, Arc<Revoked>)| {
                let prepared = match &revoked.evidence {
                    Ok(word) => envelope(&key, id, &config.config, now, word),
                    Err(why) => Err(Outcome::Unproven(in_one_line(why))),
                };
                (number, revoked, prepared)
            };
            let prepared = blocking(move || missing.into_iter().map(prepare).collect::<Vec<_>>()).await;
            drop(permit);
            let (mut posted, mut envelopes): (Batch, Vec<Envelope>) = (Vec::new(), Vec::new());
            for (number, revoked, prepared) in prepared {
                match prepared {
                    Ok(envelope) => {
                        posted.push((number, revoked));
                        envelopes.push(envelope);
                    }
                    Err(outcome) => outcomes.push((number, revoked, outcome)),
                }
            }
            if !envelopes.is_empty() {
                let results = submit(&channel, envelopes).await;
                let results = results.into_iter().chain(repeat_with(|| Outcome::Waits("no outcome in time".into())));
                outcomes.extend(posted.into_iter().zip(results).map(|((number, it), outcome)| (number, it, outcome)));
            }
            Stepped { channel: id, outcomes, unseen: None }
        }
    }
}

/// What a channel knows of a certificate that is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// That it is revoked, and compromised if so.
    Told,
    /// Whose it is, or it is a CA of the channel's configuration.
    Met,
    /// Nothing.
    Unmet,
}

/// What a channel knows of these.
async fn found(channel: &ChannelHandle, batch: &Batch) -> Result<Vec<Found>, Unavailable> {
    // Of a CA whose key others have the configuration alone tells, and one that does not list it is not told.
    let asked: Vec<Option<(Vec<u8>, bool)>> = batch
        .iter()
        .map(|(_, revoked)| {
            if revoked.evidence.as_ref().is_ok_and(|word| matches!(**word, Word::Compromise(_))) {
                return None;
            }
            let issuer = Hash(*revoked.id.issuer.as_bytes());
            Some((keyspace::certificate(&issuer, revoked.id.serial.as_bytes()), revoked.compromised))
        })
        .collect();
    // Of a peer with many channels most are suspended and stay so.
    channel
        .glance(move |reader| {
            let found = |asked: &Option<(Vec<u8>, bool)>| {
                let Some((key, compromised)) = asked else { return Ok(Found::Met) };
                let known: Option<KnownCertificate> = record::read(reader.view(), key)?;
                Ok(match known {
                    Some(known) if known.revoked_height.is_some() && (known.compromised || !compromised) => Found::Told,
                    Some(_) => Found::Met,
                    None => Found::Unmet,
                })
            };
            asked.iter().map(found).collect()
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
            if head.code == ResultCode::ActsTooFrequent.number() {
                Outcome::Waits(receipt.message())
            } else if done.iter().any(|code| code.number() == head.code) {
                tracing::info!(channel = channel.name(), "a channel knows of a revocation, on its CA's word");
                Outcome::Done
            } else {
                let name = ResultCode::from_number(head.code).map_or("unknown", ResultCode::name);
                Outcome::Refused(format!("{} {name}: {}", head.code, receipt.message()))
            }
        }
        SubmitResult::Accepted { .. } => Outcome::Waits("its block is under way".into()),
        // What is tried at the door is decided there as it would be in a block.
        SubmitResult::Refused {
            refusal: SubmitRefusal::Rejected { code: ResultCode::CertificateIsRevoked, .. },
            ..
        } => Outcome::Done,
        // The CA has revoked much that the channel has not met: it goes on when the channel takes more.
        SubmitResult::Refused {
            refusal: refusal @ SubmitRefusal::Rejected { code: ResultCode::ActsTooFrequent, .. },
            ..
        } => Outcome::Waits(refusal.to_string()),
        SubmitResult::Refused { refusal: refusal @ SubmitRefusal::Rejected { .. }, .. } => {
            Outcome::Judged(refusal.to_string())
        }
        SubmitResult::Refused { refusal, .. } => Outcome::Waits(refusal.to_string()),
    };
    results.into_iter().map(outcome).collect()
}

/// The transaction that revokes one certificate, if the channel's rules take it. What the peer posts costs it nothing on a
/// channel with fees, and it offers none: such acts are free ([`Action::is_administrative`]).
fn envelope(
    key: &SigningKey,
    channel: Hash,
    config: &ChannelConfig,
    now: Time,
    word: &Word,
) -> Result<Envelope, Outcome> {
    let action = match word {
        Word::Answer(evidence) => answered(config, evidence)?,
        Word::Compromise(said) => Action::ChannelRevokeAuthority(said.to_action()),
    };
    let sender = key.public().address();
    let transaction = transaction(channel, sender, vec![action], now, VALIDITY_MS);
    let transaction = transaction.map_err(|error| Outcome::Waits(format!("it cannot be signed: {error}")))?;
    Ok(Envelope::sign_binary(&transaction, &[key]))
}

/// A CA's answer as a channel takes it, if its rules do.
fn answered(config: &ChannelConfig, evidence: &RevocationEvidence) -> Result<Action, Outcome> {
    let listed = |der: &&Vec<u8>| {
        let mut all = config.organizations.iter().flat_map(|member| &member.authorities);
        all.any(|listed| listed.0 == **der)
    };
    let path: Vec<Vec<u8>> = evidence.path.iter().take_while(|der| !listed(der)).cloned().collect();
    judge(config, &path, &evidence.answer).map_err(|refusal| Outcome::Judged(refusal.to_string()))?;
    let (path, evidence) = (path.into_iter().map(HexBytes).collect(), HexBytes(evidence.answer.clone()));
    Ok(Action::ParticipantRevokeByEvidence(RevokeByEvidence { path, evidence }))
}

/// Judges evidence as execution would: by the CAs that the channel lists, and by those of the organization alone.
fn judge(config: &ChannelConfig, path: &[Vec<u8>], answer: &[u8]) -> Result<(), PathRefusal> {
    let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
    let by_roots_of = |organization: Option<&str>| {
        let members = config.organizations.iter();
        let members = members.filter(|member| organization.is_none_or(|name| member.name == name));
        let roots: Vec<&[u8]> = members.flat_map(|member| member.authorities.iter().map(|der| &*der.0)).collect();
        ParticipantPaths.revocation(config.path_rules(), &path, answer, &roots)
    };
    match by_roots_of(None)?.organization {
        None => Ok(()),
        Some(organization) if config.is_member(&organization) => by_roots_of(Some(&organization)).map(|_| ()),
        Some(_) => Err(PathFault::NoMember.into()),
    }
}
