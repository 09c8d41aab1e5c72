//! What is posted to `…/transactions`, and what it answers.

use super::{Problem, ReceiptView};
use base64::Engine as _;
use ledger_classes::formats::transaction::{Encoding, Envelope, SignedBy};
use ledger_classes::keys::{PublicKey, Scheme, Signature};
use ledger_classes::primitives::codec::{Decode, Encode};
use ledger_classes::primitives::hash::{Hash, read_hex};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// `Content-Type` and `Accept` of binary batches: [`Batch`] in, [`BatchAnswer`] out.
pub const MEDIA_TYPE_BATCH: &str = "application/vnd.chancery.batch";
/// `Accept` of a block in its binary encoding.
pub const MEDIA_TYPE_BLOCK: &str = "application/vnd.chancery.block";
/// The media type of several blocks, each after its length in four bytes, little-endian.
pub const MEDIA_TYPE_BLOCKS: &str = "application/vnd.chancery.blocks";

/// One signature of a [`JsonEnvelope`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonSignature {
    /// `ed25519` or `ecdsa-p256`.
    pub scheme: Scheme,
    /// The public key: 64 hex digits; for P-256 an uncompressed SEC1 point, 130 hex digits.
    pub key: String,
    /// The signature: 128 hex digits; for P-256 r and s, 32 bytes each.
    pub signature: String,
}

/// A transaction as posted in JSON: exactly one of `payload` and `payload_base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonEnvelope {
    /// The JSON text of the transaction, exactly as it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The binary encoding of the transaction, in standard base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// 1 to 32 signatures; the first signer is the sender.
    pub signatures: Vec<JsonSignature>,
}

/// Bytes of every key and signature, and more.
const HEX_BYTES: usize = 80;

/// Reads hex digits, usually without memory of their own: every transaction in JSON has 192 of them.
fn hex_of<'a>(text: &str, place: &'a mut [u8; HEX_BYTES]) -> Option<Cow<'a, [u8]>> {
    match place.get_mut(..text.len() / 2) {
        Some(bytes) => read_hex(text, bytes).then_some(Cow::Borrowed(&*bytes)),
        None => hex::decode(text).ok().map(Cow::Owned),
    }
}

/// Why a JSON envelope is not one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("envelope: {0}")]
pub struct JsonEnvelopeError(pub String);

impl From<&Envelope> for JsonEnvelope {
    fn from(envelope: &Envelope) -> Self {
        let text =
            (envelope.encoding == Encoding::Json).then(|| String::from_utf8(envelope.payload.clone()).ok()).flatten();
        let base64 = text.is_none().then(|| base64::engine::general_purpose::STANDARD.encode(&envelope.payload));
        let signatures = envelope.signatures.iter().map(|signed| JsonSignature {
            scheme: signed.key.scheme(),
            key: hex::encode(signed.key.bytes()),
            signature: hex::encode(signed.signature.0),
        });
        Self { payload: text, payload_base64: base64, signatures: signatures.collect() }
    }
}

impl TryFrom<JsonEnvelope> for Envelope {
    type Error = JsonEnvelopeError;

    fn try_from(json: JsonEnvelope) -> Result<Self, Self::Error> {
        let fail = |what: &str| JsonEnvelopeError(what.into());
        let (encoding, payload) = match (json.payload, json.payload_base64) {
            (Some(text), None) => (Encoding::Json, text.into_bytes()),
            (None, Some(text)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text);
                (Encoding::Binary, bytes.map_err(|_| fail("payload_base64 is not standard base64"))?)
            }
            _ => return Err(fail("exactly one of payload and payload_base64 is needed")),
        };
        let signatures = json.signatures.iter().map(|signed| {
            let (mut key, mut signature) = ([0; HEX_BYTES], [0; HEX_BYTES]);
            let key = hex_of(&signed.key, &mut key).ok_or_else(|| fail("a key is hex digits"))?;
            let signature =
                hex_of(&signed.signature, &mut signature).ok_or_else(|| fail("a signature is hex digits"))?;
            Ok(SignedBy {
                key: PublicKey::new(signed.scheme, &key).map_err(|error| fail(&error.to_string()))?,
                signature: Signature::new(&signature).map_err(|error| fail(&error.to_string()))?,
            })
        });
        Ok(Self { encoding, payload, signatures: signatures.collect::<Result<_, _>>()? })
    }
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmissionStatus {
    /// Verified and waiting for its block.
    Accepted,
    /// In a final block, on disk.
    Committed,
    /// Not taken, with a problem that says why.
    Refused,
}

/// What became of one posted transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The id; absent if the envelope could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Hash>,
    /// How far it has come.
    pub status: SubmissionStatus,
    /// Its receipt, once committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptView>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The body of a binary batch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub struct Batch {
    /// Format version, 1.
    pub version: u8,
    /// Encoded [`Envelope`]s.
    pub envelopes: Vec<Vec<u8>>,
}

/// One result of a binary batch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub enum BatchResult {
    /// Verified and waiting for its block.
    Accepted {
        /// The id.
        id: Hash,
    },
    /// In a final block.
    Committed {
        /// The id.
        id: Hash,
        /// The block.
        height: u64,
        /// The receipt's position.
        index: u32,
        /// Result code.
        code: u16,
    },
    /// Not taken.
    Refused {
        /// The id; zero if the envelope could not be read.
        id: Hash,
        /// Last part of the problem's `type`.
        problem: String,
        /// For people to read.
        detail: String,
        /// Milliseconds after which a retry may help; 0 where none does.
        retry_after_ms: u32,
    },
}

/// The answer to a binary batch, one result an envelope, in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub struct BatchAnswer {
    /// Format version, 1.
    pub version: u8,
    /// The results.
    pub results: Vec<BatchResult>,
}
