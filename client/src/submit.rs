//! Building, signing and submitting transactions.
//!
//! Payload bytes are signed once and sent as they were signed. Submitting again, here or by the caller, is safe: a
//! transaction id has one outcome for ever, and the same envelope always has the same id.

use crate::api::{Batch, BatchAnswer, BatchResult, JsonEnvelope, MEDIA_TYPE_BATCH, Outcome, SubmissionStatus};
use crate::connection::{Ask, Connection, JSON, RequestError};
use bytes::Bytes;
use ledger_classes::action::Action;
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use reqwest::Method;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Milliseconds that a transaction stays valid if nothing else is said: 5 minutes, many times a block's way and
/// short enough for a late copy to do no harm.
pub const VALIDITY_MS: u64 = 5 * 60 * 1000;

/// Bytes of a binary batch's answer.
const BATCH_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// When the peer answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Once the transaction is verified and waits for its block.
    Accepted,
    /// Once its block is final and on disk.
    #[default]
    Committed,
}

impl Wait {
    const fn text(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Committed => "committed",
        }
    }
}

/// The system gives no randomness for a nonce.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NonceError;

/// Why a submission has no outcome. The transaction may still be committed, unless the error is a problem that says
/// otherwise; sending it again tells.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request failed or was refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The batch's answer has another number of results than the batch had envelopes.
    #[error("{results} results for {envelopes} envelopes")]
    Results {
        /// Envelopes sent.
        envelopes: usize,
        /// Results that came.
        results: usize,
    },
}

/// A transaction of `sender`, the first signer, with a random nonce, that is valid for `validity_ms` from `now`: see
/// [`crate::window::valid_from`] for a channel whose block time may be ahead.
pub fn transaction(
    channel: Hash,
    sender: Address,
    actions: Vec<Action>,
    now: Time,
    validity_ms: u64,
) -> Result<Transaction, NonceError> {
    let mut nonce = [0; 8];
    SystemRandom::new().fill(&mut nonce).map_err(|_| NonceError)?;
    Ok(Transaction {
        channel,
        nonce: u64::from_le_bytes(nonce),
        valid_until: now.plus_millis(validity_ms),
        fee_max: Amount::ZERO,
        actions,
        memo: String::new(),
        sender: Some(sender),
    })
}

/// Signs a transaction in the JSON encoding, for readers without the binary one. The first key is the sender's.
pub fn sign_json(transaction: &Transaction, keys: &[&SigningKey]) -> Envelope {
    let payload = serde_json::to_vec(transaction).expect("a transaction has only JSON's types");
    Envelope::sign(Encoding::Json, payload, keys)
}

impl Connection {
    /// Submits one transaction. A committed transaction may have failed: its receipt's code says so. What is submitted on
    /// a channel at the same time as others, by this connection and its clones, shares one stream of submissions.
    pub async fn submit(&self, channel: &str, envelope: &Envelope, wait: Wait) -> Result<Outcome, SubmitError> {
        // Counts until there is an outcome, whichever way it comes.
        let posting = self.streams.posting(channel);
        if wait == Wait::Committed
            && let Some(done) = self.submit_on_stream(&posting, channel, envelope).await
        {
            return done;
        }
        self.submit_json(channel, &JsonEnvelope::from(envelope), wait).await
    }

    /// Submits one transaction that is in its JSON form already.
    pub async fn submit_json(
        &self,
        channel: &str,
        envelope: &JsonEnvelope,
        wait: Wait,
    ) -> Result<Outcome, SubmitError> {
        let url = self.url(&["channels", channel, "transactions"], &[("wait", wait.text())])?;
        let body = serde_json::to_vec(envelope).map_err(|error| RequestError::Answer(error.to_string()))?;
        let body = Some((JSON, Bytes::from(body)));
        let outcome: Outcome =
            self.ask(Ask { method: Method::POST, url, accept: JSON, body, again: true }).await?.json()?;
        match outcome.problem {
            Some(problem) if outcome.status == SubmissionStatus::Refused => {
                Err(RequestError::Problem(Box::new(problem)).into())
            }
            _ => Ok(outcome),
        }
    }

    /// Submits many transactions in one request; each has its own result, in order. Results that are refused with
    /// `retry_after_ms` are left to the caller.
    pub async fn submit_batch(
        &self,
        channel: &str,
        envelopes: &[Envelope],
        wait: Wait,
    ) -> Result<Vec<BatchResult>, SubmitError> {
        self.submit_encoded(channel, envelopes.iter().map(codec::encode).collect(), wait).await
    }

    /// [`Connection::submit_batch`] for envelopes that are encoded already.
    pub async fn submit_encoded(
        &self,
        channel: &str,
        envelopes: Vec<Vec<u8>>,
        wait: Wait,
    ) -> Result<Vec<BatchResult>, SubmitError> {
        let url = self.url(&["channels", channel, "transactions"], &[("wait", wait.text())])?;
        let sent = envelopes.len();
        let body = Some((MEDIA_TYPE_BATCH, Bytes::from(codec::encode(&Batch { version: 1, envelopes }))));
        let ask = Ask { method: Method::POST, url, accept: MEDIA_TYPE_BATCH, body, again: true };
        let answer = self.ask(ask).await?;
        if answer.media != MEDIA_TYPE_BATCH {
            return Err(RequestError::Answer(format!("{:?} where a batch's answer was expected", answer.media)).into());
        }
        let decoded: BatchAnswer = codec::decode(&answer.body, BATCH_ANSWER_BYTES_MAX)
            .map_err(|error| RequestError::Answer(error.to_string()))?;
        if decoded.version != 1 {
            return Err(RequestError::Answer(format!("version {} of a batch's answer", decoded.version)).into());
        }
        if decoded.results.len() != sent {
            return Err(SubmitError::Results { envelopes: sent, results: decoded.results.len() });
        }
        Ok(decoded.results)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::action::logs::Append;

    fn envelope(sign: impl Fn(&Transaction, &[&SigningKey]) -> Envelope) -> Envelope {
        let append = Append { topic: "tests.client".into(), digest: None, body: "é\n\"".into() };
        let now = Time::from_millis(1_795_255_554_123);
        let sender = SigningKey::from_seed(&[1; 32]).public().address();
        let actions = vec![Action::LogAppend(append)];
        let transaction = transaction(Hash([7; 32]), sender, actions, now, VALIDITY_MS).unwrap();
        assert_eq!(transaction.valid_until.millis_since(now), VALIDITY_MS);
        sign(&transaction, &[&SigningKey::from_seed(&[1; 32]), &SigningKey::from_seed(&[2; 32])])
    }

    #[test]
    fn the_json_form_keeps_payload_and_signatures_to_the_byte() {
        for envelope in [envelope(sign_json), envelope(Envelope::sign_binary)] {
            let text = serde_json::to_string(&JsonEnvelope::from(&envelope)).unwrap();
            let json: JsonEnvelope = ledger_classes::primitives::json::from_str(&text).unwrap();
            assert_eq!(json.payload.is_some(), envelope.encoding == Encoding::Json);
            let again = Envelope::try_from(json).unwrap();
            assert_eq!(again, envelope);
            assert_eq!(again.id(), envelope.id());
        }
    }

    #[test]
    fn two_transactions_of_the_same_content_have_different_ids() {
        assert_ne!(envelope(sign_json).id(), envelope(sign_json).id());
    }

    #[test]
    fn malformed_json_envelopes_are_refused() {
        let good = serde_json::to_value(JsonEnvelope::from(&envelope(sign_json))).unwrap();
        type Change = fn(&mut serde_json::Value);
        let changes: [(Change, &str); 5] = [
            (|json| json["payload_base64"] = "AA==".into(), "exactly one"),
            (|json| drop(json.as_object_mut().unwrap().remove("payload")), "exactly one"),
            (|json| json["signatures"][0]["key"] = "zz".into(), "a key is hex"),
            (|json| json["signatures"][0]["signature"] = "00".into(), "64 bytes"),
            (|json| json["signatures"][0]["scheme"] = "ecdsa-p256".into(), "65"),
        ];
        for (change, part) in changes {
            let mut json = good.clone();
            change(&mut json);
            let error = Envelope::try_from(ledger_classes::primitives::json::from_value::<JsonEnvelope>(json).unwrap())
                .unwrap_err();
            assert!(error.to_string().contains(part), "{error} should say {part}");
        }
    }
}
