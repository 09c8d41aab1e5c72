//! Transactions: from bytes that came to a [`VerifiedTransaction`].
//!
//! Payload bytes are kept, hashed and signed exactly as they came; nothing is re-encoded to check a signature or
//! a hash. [`ParsedTransaction`] has a form but no proven sender and nothing here executes it; the only way on is
//! [`verify_all`].

mod encoding;

pub use encoding::Encoding;

use crate::action::Action;
use crate::formats::config::Limits;
use crate::keys::{Address, KeyCache, PublicKey, Signature, SignatureItem};
use crate::primitives::amount::{Amount, u64_text};
use crate::primitives::codec;
use crate::primitives::codec::{Decode, DecodeError, Encode};
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::time::Time;
use crate::{keys, limits, merkle, rules};
use serde::{Deserialize, Serialize};

/// What somebody signs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// The channel's id, so that a transaction is valid on one channel only.
    pub channel: Hash,
    /// Any number that this sender has not used with otherwise equal content.
    #[serde(with = "u64_text")]
    pub nonce: u64,
    /// Block time after which the transaction can no longer be included; at most 24 hours ahead.
    pub valid_until: Time,
    /// The most that the sender pays, in base units of the channel's fee asset.
    #[serde(default)]
    pub fee_max: Amount,
    /// 1 to 256 actions, done in order, all or nothing.
    pub actions: Vec<Action>,
    /// For people to read, at most 256 bytes.
    #[serde(default)]
    pub memo: String,
    /// The first signer's address. The id covers the payload and not the signatures, so without this field whoever
    /// sees the payload before it is committed could sign it as their own and take its one outcome. With more than one
    /// signature it must be there: in another order another signer would be the sender, and pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Address>,
}

/// A key and what it signed with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedBy {
    /// The signer.
    pub key: PublicKey,
    /// Over [`Envelope::message`].
    pub signature: Signature,
}

/// A payload with its signatures. The first signer is the sender.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// How the payload is written.
    pub encoding: Encoding,
    /// The payload, exactly as it was signed.
    pub payload: Vec<u8>,
    /// 1 to 32 signatures by distinct keys.
    pub signatures: Vec<SignedBy>,
}

/// Most bytes of an encoded envelope: payload, signatures and lengths.
pub const ENVELOPE_BYTES_MAX: usize = limits::PAYLOAD_BYTES_MAX + limits::SIGNATURES_MAX * 160 + 32;

impl Envelope {
    /// ASCII `chancery/tx/1`, 0x00, encoding byte, payload.
    pub fn message(&self) -> Vec<u8> {
        Tag::Transaction.message(&[&[self.encoding as u8], &self.payload])
    }

    /// SHA-256 of [`Envelope::message`].
    pub fn id(&self) -> Hash {
        Hash::tagged(Tag::Transaction, &[&[self.encoding as u8], &self.payload])
    }

    /// Signs a transaction in the binary encoding.
    pub fn sign_binary(transaction: &Transaction, keys: &[&keys::SigningKey]) -> Self {
        Self::sign(Encoding::Binary, codec::encode(transaction), keys)
    }

    /// Signs payload bytes.
    pub fn sign(encoding: Encoding, payload: Vec<u8>, keys: &[&keys::SigningKey]) -> Self {
        let mut envelope = Self { encoding, payload, signatures: Vec::with_capacity(keys.len()) };
        let message = envelope.message();
        envelope.signatures =
            keys.iter().map(|key| SignedBy { key: key.public(), signature: key.sign(&message) }).collect();
        envelope
    }
}

/// The id of an encoded envelope, without decoding what follows its payload; `None` if it does not begin as one.
pub fn id_of(envelope: &[u8]) -> Option<Hash> {
    let (encoding, rest) = envelope.split_first()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let payload = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some(Hash::tagged(Tag::Transaction, &[&[*encoding], payload]))
}

/// A transaction's leaf in its block's transaction root: over its id and its envelope's hash (tag `chancery/envelope/1`), so
/// that a list of ids with hashes is enough to check which transactions a block holds.
pub fn leaf(id: &Hash, envelope: &[u8]) -> Hash {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&id.0);
    bytes[32..].copy_from_slice(&Hash::tagged(Tag::Envelope, &[envelope]).0);
    merkle::leaf_hash(&bytes)
}

/// Why a transaction is refused before it reaches a block. Nothing of it is recorded.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TransactionError {
    /// Payload, memo, or number of actions or signatures above the limit.
    #[error("oversize: {0}")]
    Oversize(String),
    /// The payload does not decode as its encoding says.
    #[error("malformed: {0}")]
    Malformed(String),
    /// An action's `type` is unknown.
    #[error("unknown action {0:?}")]
    UnknownAction(String),
    /// The channel id is another channel's.
    #[error("the transaction names another channel")]
    WrongChannel,
    /// `valid_until` has passed.
    #[error("expired at {0}")]
    Expired(Time),
    /// `valid_until` is more than 24 hours ahead.
    #[error("valid until {0}, which is more than 24 hours ahead")]
    TooFarAhead(Time),
    /// No signature, a key that signs twice, or a key that is not usable.
    #[error("signatures: {0}")]
    Signatures(String),
    /// A signature does not verify.
    #[error("the signature of {0} does not verify")]
    WrongSignature(Address),
}

impl TransactionError {
    /// The stable name, as in problem types.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Oversize(_) => "oversize",
            Self::Malformed(_) => "malformed",
            Self::UnknownAction(_) => "unknown-action",
            Self::WrongChannel => "wrong-channel",
            Self::Expired(_) => "expired",
            Self::TooFarAhead(_) => "too-far-ahead",
            Self::Signatures(_) => "signatures",
            Self::WrongSignature(_) => "wrong-signature",
        }
    }
}

/// A decoded transaction whose signatures have not been checked.
#[derive(Clone, Debug)]
pub struct ParsedTransaction {
    id: Hash,
    /// The first signer's address.
    sender: Address,
    message: Vec<u8>,
    envelope: Envelope,
    transaction: Transaction,
}

/// A transaction whose form and signatures were checked. Only [`verify_screened`] makes one. It passes through many hands
/// before it is in a block, and is not copied for it.
#[derive(Clone, Debug)]
pub struct VerifiedTransaction(Box<Verified>);

#[derive(Clone, Debug)]
struct Verified {
    id: Hash,
    envelope: Vec<u8>,
    leaf: Hash,
    encoding: Encoding,
    payload_bytes: u32,
    signers: Vec<PublicKey>,
    sender: Address,
    transaction: Transaction,
}

/// Decodes an envelope's payload and checks everything that needs neither state nor clock. A refusal comes with the id.
pub fn parse(
    envelope: Envelope,
    channel: Hash,
    channel_limits: &Limits,
) -> Result<ParsedTransaction, (Hash, TransactionError)> {
    match check(&envelope, channel, channel_limits) {
        Ok((sender, transaction)) => {
            let message = envelope.message();
            Ok(ParsedTransaction { id: Hash::plain(&[&message]), sender, message, envelope, transaction })
        }
        Err(error) => Err((envelope.id(), error)),
    }
}

/// Gives the first signer's address, too.
fn check(
    envelope: &Envelope,
    channel: Hash,
    channel_limits: &Limits,
) -> Result<(Address, Transaction), TransactionError> {
    let oversize = |what: &str, is: usize, max: usize| {
        if is > max { Err(TransactionError::Oversize(format!("{is} {what}, at most {max}"))) } else { Ok(()) }
    };
    oversize("payload bytes", envelope.payload.len(), channel_limits.payload_bytes_max as usize)?;
    oversize("signatures", envelope.signatures.len(), limits::SIGNATURES_MAX)?;
    let transaction = decode_payload(envelope)?;
    oversize("actions", transaction.actions.len(), channel_limits.actions_max as usize)?;
    oversize("memo bytes", transaction.memo.len(), limits::MEMO_BYTES_MAX)?;
    if transaction.actions.is_empty() {
        return Err(TransactionError::Malformed("a transaction lists at least one action".into()));
    }
    if transaction.channel != channel {
        return Err(TransactionError::WrongChannel);
    }
    let Some(first) = envelope.signatures.first() else {
        return Err(TransactionError::Signatures("at least one is needed".into()));
    };
    for (index, signed) in envelope.signatures.iter().enumerate() {
        if envelope.signatures[..index].iter().any(|earlier| earlier.key == signed.key) {
            return Err(TransactionError::Signatures("a key signs once".into()));
        }
    }
    if transaction.sender.is_none() && envelope.signatures.len() > 1 {
        // The signatures are not signed: in another order they would make another signer the sender, and let it pay.
        return Err(TransactionError::Signatures("with more than one, the payload names its sender".into()));
    }
    let address = first.key.address();
    if transaction.sender.is_some_and(|sender| sender != address) {
        return Err(TransactionError::Signatures("the first signer is not the sender that the payload names".into()));
    }
    Ok((address, transaction))
}

fn decode_payload(envelope: &Envelope) -> Result<Transaction, TransactionError> {
    match envelope.encoding {
        Encoding::Genesis => Err(TransactionError::Malformed("payload encoding 0 is for genesis only".into())),
        Encoding::Binary => codec::decode(&envelope.payload, limits::PAYLOAD_BYTES_MAX).map_err(|error| match error {
            DecodeError::Oversize { .. } => TransactionError::Oversize(error.to_string()),
            error => TransactionError::Malformed(error.to_string()),
        }),
        Encoding::Json => crate::primitives::json::from_slice(&envelope.payload).map_err(|error| {
            unknown_action(&envelope.payload).unwrap_or_else(|| TransactionError::Malformed(error.to_string()))
        }),
    }
}

/// Whether the JSON fails because of an action's type; asked only after decoding failed.
fn unknown_action(payload: &[u8]) -> Option<TransactionError> {
    #[derive(Deserialize)]
    struct Probe {
        actions: Vec<Typed>,
    }
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        type_text: String,
    }
    let probe: Probe = crate::primitives::json::from_slice(payload).ok()?;
    let unknown = probe.actions.into_iter().find(|action| !Action::TYPES.contains(&action.type_text.as_str()))?;
    Some(TransactionError::UnknownAction(unknown.type_text.chars().take(64).collect()))
}

impl ParsedTransaction {
    /// The transaction's id.
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// The first signer's address: who the transaction says it is from. Not proven yet.
    pub const fn claimed_sender(&self) -> Address {
        self.sender
    }

    /// What it asks for. Nothing proves yet that somebody does.
    pub fn actions(&self) -> &[Action] {
        &self.transaction.actions
    }

    fn signature_items(&self) -> impl Iterator<Item = SignatureItem<'_>> {
        self.envelope.signatures.iter().map(|SignedBy { key, signature }| SignatureItem {
            key,
            message: &self.message,
            signature,
        })
    }

    /// Block time after which it cannot be included.
    pub const fn valid_until(&self) -> Time {
        self.transaction.valid_until
    }

    /// Bytes of the payload: what bounds and fair shares count.
    pub fn payload_bytes(&self) -> usize {
        self.envelope.payload.len()
    }

    /// Refuses what is outside its time window at `now`.
    pub fn check_time(&self, now: Time) -> Result<(), TransactionError> {
        let until = self.transaction.valid_until;
        if until < now {
            Err(TransactionError::Expired(until))
        } else if until.millis_since(now) > limits::VALIDITY_MS_MAX {
            Err(TransactionError::TooFarAhead(until))
        } else {
            Ok(())
        }
    }
}

/// Why a transaction was not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unverified<R> {
    /// A signature is wrong.
    Wrong(TransactionError),
    /// It was refused before all of its signatures were looked at.
    Refused(R),
}

/// Checks the signatures of many transactions in one batch; each verdict is its own.
/// `seed` must be unpredictable to senders: see [`keys::verify_batch`].
pub fn verify_all(
    parsed: Vec<ParsedTransaction>,
    seed: [u8; 32],
    keys: &mut KeyCache,
) -> Vec<Result<VerifiedTransaction, (Hash, TransactionError)>> {
    let verdicts = verify_screened(parsed, seed, keys, |_| Ok::<(), std::convert::Infallible>(()));
    let narrow = |(id, unverified)| match unverified {
        Unverified::Wrong(error) => (id, error),
        Unverified::Refused(never) => match never {},
    };
    verdicts.into_iter().map(|verdict| verdict.map_err(narrow)).collect()
}

/// As [`verify_all`], in two steps: the sender's signature first, and of what has more signatures only then, and only if
/// `screen` does not refuse it, the others, up to the first that is found wrong. So whoever may not send, or signs for
/// others, makes nobody check 32 signatures.
pub fn verify_screened<R>(
    parsed: Vec<ParsedTransaction>,
    seed: [u8; 32],
    keys: &mut KeyCache,
    mut screen: impl FnMut(&ParsedTransaction) -> Result<(), R>,
) -> Vec<Result<VerifiedTransaction, (Hash, Unverified<R>)>> {
    let first: Vec<SignatureItem<'_>> = parsed.iter().filter_map(|one| one.signature_items().next()).collect();
    let valid = keys::verify_batch(&first, seed, keys);
    drop(first);
    let wrong = |one: &ParsedTransaction, place: usize| {
        let address = one.envelope.signatures[place].key.address();
        Some(Unverified::Wrong(TransactionError::WrongSignature(address)))
    };
    let mut refused: Vec<Option<Unverified<R>>> = Vec::with_capacity(parsed.len());
    let (mut others, mut whose) = (Vec::new(), Vec::new());
    for (number, (one, valid)) in parsed.iter().zip(valid).enumerate() {
        refused.push(match (valid, one.envelope.signatures.len()) {
            (false, _) => wrong(one, 0),
            (true, 1) => None,
            (true, _) => screen(one).err().map(Unverified::Refused),
        });
        if one.envelope.signatures.len() > 1 && refused[number].is_none() {
            others.push(one.signature_items().skip(1).collect());
            whose.push(number);
        }
    }
    if !others.is_empty() {
        // Another batch is another combination.
        let seed = Hash::plain(&[&seed]).0;
        for (number, place) in whose.into_iter().zip(keys::verify_groups(&others, seed, keys)) {
            refused[number] = place.and_then(|place| wrong(&parsed[number], place + 1));
        }
    }
    parsed
        .into_iter()
        .zip(refused)
        .map(|(parsed, refused)| match refused {
            Some(refused) => Err((parsed.id, refused)),
            None => Ok(VerifiedTransaction::new(parsed)),
        })
        .collect()
}

impl VerifiedTransaction {
    /// All of its signatures are right.
    fn new(ParsedTransaction { id, sender, envelope, transaction, .. }: ParsedTransaction) -> Self {
        let encoded = codec::encode(&envelope);
        Self(Box::new(Verified {
            id,
            encoding: envelope.encoding,
            payload_bytes: u32::try_from(envelope.payload.len()).unwrap_or(u32::MAX),
            sender,
            signers: envelope.signatures.iter().map(|signed| signed.key).collect(),
            leaf: leaf(&id, &encoded),
            envelope: encoded,
            transaction,
        }))
    }

    /// The transaction's id.
    pub fn id(&self) -> Hash {
        self.0.id
    }

    /// The envelope in the binary encoding, as blocks hold it.
    pub fn envelope(&self) -> &[u8] {
        &self.0.envelope
    }

    /// The envelope, without a copy.
    pub fn into_envelope(self) -> Vec<u8> {
        self.0.envelope
    }

    /// Its leaf in its block's tree: hashed when the transaction was verified, where many threads work.
    pub fn leaf(&self) -> Hash {
        self.0.leaf
    }

    /// Bytes of the payload.
    pub fn payload_bytes(&self) -> u32 {
        self.0.payload_bytes
    }

    /// Everybody who signed, sender first.
    pub fn signers(&self) -> &[PublicKey] {
        &self.0.signers
    }

    /// The first signer's address.
    pub fn sender(&self) -> Address {
        self.0.sender
    }

    /// The number of the rules that its form came with.
    pub fn since(&self) -> u32 {
        let schemes = self.0.signers.iter().map(PublicKey::scheme);
        rules::since(self.0.encoding, schemes, &self.0.transaction.actions)
    }

    /// What was signed.
    pub fn transaction(&self) -> &Transaction {
        &self.0.transaction
    }
}

#[cfg(test)]
mod tests;
