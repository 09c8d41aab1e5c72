//! Transactions: one in JSON or many in a binary batch, answered when they are accepted or committed; what became of
//! them later; and their offline proofs.

use super::{
    answer::{Pieces, Slices, Source, found, in_json, made, sent, sliced, streamed},
    body,
    media::{negotiated, preferred},
    parameters::Query,
    query::hash,
    slices::{Outcomes, ProofSlices},
};
use crate::{
    api::{access::Visible, budget::Use, context::PeerContext},
    limits::{
        BATCH_ENVELOPES_MAX, BATCH_SLICE, COMMIT_WAIT, FRAMES_INLINE_MAX, JSON_BODY_BYTES_MAX,
        OUTCOMES_INLINE_BYTES_MAX, OUTCOMES_INLINE_MAX, RETRY_AFTER_MS,
    },
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::StatusCode,
    web::{Data, Path, Payload},
};
use channel_actors::{Reader, SubmitResult, Wait};
use client::api::{Batch, BatchResult, JsonEnvelope, MEDIA_TYPE_BATCH, Outcome, ReceiptView, SubmissionStatus};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::Rights;
use ledger_classes::formats::transaction::{ENVELOPE_BYTES_MAX, Envelope, TransactionError};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::yield_now;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WaitFor {
    Accepted,
    #[default]
    Committed,
}

/// How long an answer may take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitQuery {
    #[serde(default)]
    wait: WaitFor,
}

pub(super) async fn submit(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<SubmitQuery>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    // Before anything else, so that a channel that the caller cannot see behaves as one that does not exist.
    let visible = context.channel(&caller, &path)?;
    visible.post()?;
    context.accepting()?;
    let wait = match query.wait {
        WaitFor::Accepted => Wait::Accepted,
        WaitFor::Committed => Wait::Committed,
    };
    match body::media_type(&request, &[body::JSON, MEDIA_TYPE_BATCH])? {
        body::JSON => {
            let (bytes, _until_done) = body::read(&request, payload, JSON_BODY_BYTES_MAX).await?.into_parts();
            let envelope: JsonEnvelope = body::parse(&bytes)?;
            drop(bytes);
            let visible = again(&context, &caller, &path)?;
            let result = one(&context, &visible, envelope, wait).await?;
            let rights = by_now(&context, &caller, &path);
            answer_one(&context, &caller, &visible, result, rights).await
        }
        _ => {
            let body = body::read(&request, payload, context.limits.body_bytes_max).await?;
            let (bytes, _until_done) = body.into_parts();
            let envelopes = decode_batch(&bytes).await?;
            drop(bytes);
            let visible = again(&context, &caller, &path)?;
            let results = batch(&context, &visible, envelopes, wait).await?;
            let rights = by_now(&context, &caller, &path);
            let bytes = results.iter().map(Answered::bytes).sum();
            let mut held = visible.purse.hold(Use::Answers);
            // They are committed, whatever room there is: who posts them waits with what it asks for next.
            held.add(bytes);
            if preferred(&request, &[body::JSON, MEDIA_TYPE_BATCH]) == MEDIA_TYPE_BATCH {
                let short = results.len() <= OUTCOMES_INLINE_MAX;
                let write = |result: Answered, out: &mut Pieces| {
                    let bytes = result.bytes();
                    out.raw(&codec::encode(&binary(result))).map(|()| bytes)
                };
                let outcomes = Outcomes::binary(results, write, held);
                answered_with(context, &caller, &visible, negotiated(MEDIA_TYPE_BATCH), outcomes, short).await
            } else {
                let short = bytes <= OUTCOMES_INLINE_BYTES_MAX;
                let write = move |result: Answered, out: &mut Pieces| {
                    let bytes = result.bytes();
                    out.json(&outcome(result, rights)).map(|()| bytes)
                };
                let outcomes = Outcomes::in_json(results, write, held);
                answered_with(context, &caller, &visible, in_json(), outcomes, short).await
            }
        }
    }
}

/// Answers with the outcomes of a batch. What is `short` is encoded at once; what takes more than a moment has its turn on
/// the threads for that.
async fn answered_with(
    context: Data<PeerContext>,
    caller: &Caller,
    visible: &Visible,
    response: HttpResponseBuilder,
    mut outcomes: impl Slices,
    short: bool,
) -> Result<HttpResponse, ApiError> {
    if short {
        return sent(visible, response, |out| {
            while outcomes.next(None, out)? {}
            Ok(())
        });
    }
    let source = Source::Nothing(context.into_inner(), caller.clone());
    streamed(source, &visible.purse, response, outcomes).await
}

/// What the caller may do by now: the body may have come slowly.
fn again(context: &PeerContext, caller: &Caller, channel: &str) -> Result<Visible, ApiError> {
    let visible = context.channel(caller, channel)?;
    visible.post()?;
    Ok(visible)
}

/// What the caller may read by now: a block that was waited for may have ended its rights. Whose are gone altogether is still
/// told what became of its own transaction, and nothing of what it did.
fn by_now(context: &PeerContext, caller: &Caller, channel: &str) -> Rights {
    let visible = caller.check(&context.trust).and_then(|()| context.channel(caller, channel));
    visible.map(|visible| visible.rights).unwrap_or_default()
}

async fn one(
    context: &PeerContext,
    visible: &Visible,
    envelope: JsonEnvelope,
    wait: Wait,
) -> Result<Option<Answered>, ApiError> {
    let envelope = Envelope::try_from(envelope);
    let envelope = envelope.map_err(|error| ApiError::new(Kind::Malformed, error.to_string()))?;
    Ok(batch(context, visible, vec![Ok(envelope)], wait).await?.pop())
}

/// Answers with one outcome, as far as these rights show it.
async fn answer_one(
    context: &PeerContext,
    caller: &Caller,
    visible: &Visible,
    done: Option<Answered>,
    rights: Rights,
) -> Result<HttpResponse, ApiError> {
    match done {
        Some(Answered::Refused(_, refusal)) => Err(refusal),
        // What takes more than a moment to encode has its turn on the threads for that.
        Some(Answered::Committed(id, receipt)) if receipt.events.len() > FRAMES_INLINE_MAX => {
            let encode = move |out: &mut Pieces| out.json(&outcome(Answered::Committed(id, receipt), rights));
            made(context, caller, in_json(), encode).await
        }
        Some(done) => {
            let outcome = outcome(done, rights);
            let mut response = in_json();
            if outcome.status != SubmissionStatus::Committed {
                response.status(StatusCode::ACCEPTED);
            }
            sent(visible, response, |out| out.json(&outcome))
        }
        None => Err(Kind::Broken.into()),
    }
}

/// What became of one envelope.
pub(super) enum Answered {
    Accepted(Hash),
    Committed(Hash, Arc<Receipt>),
    Refused(Option<Hash>, ApiError),
}

impl Answered {
    /// Its name in metrics.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Committed(..) => "committed",
            Self::Refused(_, refusal) => refusal.name(),
        }
    }

    /// Bytes that it holds in memory until it is encoded, about.
    fn bytes(&self) -> usize {
        let receipt = match self {
            Self::Committed(_, receipt) => receipt.events.iter().map(Vec::len).sum(),
            Self::Accepted(_) | Self::Refused(..) => 0,
        };
        size_of::<Self>() + size_of::<Receipt>() + receipt
    }
}

/// A batch's envelopes; each that does not decode is refused by itself. Others have their turn meanwhile.
async fn decode_batch(bytes: &[u8]) -> Result<Vec<Result<Envelope, ApiError>>, ApiError> {
    let malformed = |what: String| ApiError::new(Kind::Malformed, what);
    let batch: Batch = codec::decode(bytes, bytes.len()).map_err(|error| malformed(error.to_string()))?;
    if batch.version != 1 {
        return Err(malformed(format!("batch version {} is not known", batch.version)));
    }
    if batch.envelopes.len() > BATCH_ENVELOPES_MAX {
        return Err(ApiError::new(Kind::Oversize, format!("a batch has at most {BATCH_ENVELOPES_MAX} envelopes")));
    }
    let mut envelopes = Vec::with_capacity(batch.envelopes.len());
    for (place, bytes) in batch.envelopes.iter().enumerate() {
        if place > 0 && place.is_multiple_of(BATCH_SLICE) {
            yield_now().await;
        }
        let refused = |error: codec::DecodeError| match error {
            codec::DecodeError::Oversize { .. } => TransactionError::Oversize(error.to_string()).into(),
            error => TransactionError::Malformed(error.to_string()).into(),
        };
        envelopes.push(codec::decode(bytes, ENVELOPE_BYTES_MAX).map_err(refused));
    }
    Ok(envelopes)
}

/// Submits what decoded and answers everything in order. An error is of the batch as a whole: nothing was taken.
async fn batch(
    context: &PeerContext,
    visible: &Visible,
    envelopes: Vec<Result<Envelope, ApiError>>,
    wait: Wait,
) -> Result<Vec<Answered>, ApiError> {
    let channel = &visible.channel;
    let mut answers: Vec<Option<Answered>> = Vec::with_capacity(envelopes.len());
    let mut decoded = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        match envelope {
            Ok(envelope) => {
                decoded.push(envelope);
                answers.push(None);
            }
            Err(refusal) => answers.push(Some(Answered::Refused(None, refusal))),
        }
    }
    let results = if decoded.is_empty() {
        Vec::new()
    } else {
        let submitted = match decoded.len() {
            1 => channel.submit_with_others(decoded, wait).await,
            _ => channel.submit(decoded, wait),
        };
        let submitted = submitted.inspect_err(|refusal| {
            let refusal = ApiError::from(refusal.clone());
            context.metrics.submitted(channel.name(), refusal.name(), 1);
        });
        let mut submitted = submitted?;
        let answered = async {
            tokio::select! {
                biased;
                results = &mut submitted => Ok(results),
                trouble = channel.disk_trouble() => Err(trouble),
            }
        };
        match tokio::time::timeout(COMMIT_WAIT, answered).await {
            Ok(Ok(results)) => results,
            // They are in the pipeline and are committed once there is room: whoever sends them again finds them.
            Ok(Err(trouble)) => return Err(ApiError::disk(trouble)),
            Err(_) => return Err(ApiError::from(Kind::CommitPending).retry_after_ms(RETRY_AFTER_MS)),
        }
    };
    let mut results = results.into_iter().map(answered);
    let missing = || Answered::Refused(None, Kind::Broken.into());
    let answers = answers.into_iter().map(|answer| answer.or_else(|| results.next()).unwrap_or_else(missing));
    let answers: Vec<Answered> = answers.collect();
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for answer in &answers {
        *counts.entry(answer.name()).or_default() += 1;
    }
    for (outcome, count) in counts {
        context.metrics.submitted(channel.name(), outcome, count);
    }
    Ok(answers)
}

pub(super) fn answered(result: SubmitResult) -> Answered {
    match result {
        SubmitResult::Accepted { id } => Answered::Accepted(id),
        SubmitResult::Committed { id, receipt } => Answered::Committed(id, receipt),
        SubmitResult::Refused { id, refusal } => Answered::Refused(id, refusal.into()),
    }
}

/// JSON for whoever has posted it, with the events that the caller may read.
pub(super) fn outcome(answered: Answered, rights: Rights) -> Outcome {
    let nothing = Outcome { id: None, status: SubmissionStatus::Refused, receipt: None, problem: None };
    match answered {
        Answered::Accepted(id) => Outcome { id: Some(id), status: SubmissionStatus::Accepted, ..nothing },
        Answered::Committed(id, receipt) => {
            let receipt = Some(ReceiptView::posted(&receipt, rights));
            Outcome { id: Some(id), status: SubmissionStatus::Committed, receipt, ..nothing }
        }
        Answered::Refused(id, refusal) => Outcome { id, problem: Some(refusal.problem()), ..nothing },
    }
}

pub(super) fn binary(answered: Answered) -> BatchResult {
    match answered {
        Answered::Accepted(id) => BatchResult::Accepted { id },
        Answered::Committed(id, receipt) => {
            let head = &receipt.head;
            BatchResult::Committed { id, height: head.height, index: head.index, code: head.code }
        }
        Answered::Refused(id, refusal) => BatchResult::Refused {
            id: id.unwrap_or(Hash::ZERO),
            problem: refusal.name().into(),
            detail: refusal.detail().into(),
            retry_after_ms: u32::try_from(refusal.retry_hint_ms().unwrap_or_default()).unwrap_or(u32::MAX),
        },
    }
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, id) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    let id = hash(&id)?;
    let rights = visible.rights;
    let outcome = move |reader: &Reader<'_>| {
        let committed = reader.transaction(&id)?.ok_or_else(|| ApiError::from(Kind::TransactionUnknown))?;
        let receipt = Some(ReceiptView::new(&committed.receipt, rights));
        Ok(Outcome { id: Some(id), status: SubmissionStatus::Committed, receipt, problem: None })
    };
    found(&visible, outcome).await
}

/// Which later header a proof is tied to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofQuery {
    later: Option<u64>,
}

pub(super) async fn proof(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<ProofQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, id) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    let id = hash(&id)?;
    let (reads_all, rights) = (visible.reads_all(), visible.rights);
    let proof = ProofSlices { id, later: query.later, reads_all, rights, found: None };
    sliced(&context, &caller, &visible, proof).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[actix_web::test]
    async fn an_envelope_that_does_not_decode_does_not_spoil_its_batch() {
        let batch = |version, envelopes| codec::encode(&Batch { version, envelopes });
        let good = Envelope {
            encoding: ledger_classes::formats::transaction::Encoding::Json,
            payload: b"{}".to_vec(),
            signatures: Vec::new(),
        };
        let bytes = batch(1, vec![codec::encode(&good), vec![9], vec![0; ENVELOPE_BYTES_MAX + 1]]);
        let names: Vec<Result<Envelope, &str>> = decode_batch(&bytes)
            .await
            .unwrap()
            .into_iter()
            .map(|envelope| envelope.map_err(|error| error.name()))
            .collect();
        assert_eq!(names, [Ok(good), Err("malformed"), Err("oversize")]);
        for (bytes, name) in [
            (batch(2, Vec::new()), "malformed"),
            (vec![1, 2, 3], "malformed"),
            (batch(1, vec![Vec::new(); BATCH_ENVELOPES_MAX + 1]), "oversize"),
        ] {
            assert_eq!(decode_batch(&bytes).await.unwrap_err().name(), name);
        }
    }

    #[test]
    fn a_refusal_keeps_its_name_and_hint_in_both_forms() {
        let refusal = || ApiError::from(Kind::Busy).retry_after_ms(250);
        let refused = || Answered::Refused(Some(Hash([7; 32])), refusal());
        let json = outcome(refused(), Rights::NONE);
        assert_eq!((json.id, json.status), (Some(Hash([7; 32])), SubmissionStatus::Refused));
        assert_eq!(json.problem.unwrap().name(), "busy");
        match binary(refused()) {
            BatchResult::Refused { id, problem, retry_after_ms, .. } => {
                assert_eq!((id, problem.as_str(), retry_after_ms), (Hash([7; 32]), "busy", 250));
            }
            other => panic!("{other:?}"),
        }
    }
}
