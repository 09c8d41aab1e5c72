//! Every decoder of bytes from outside, with what must hold for any bytes whatever: nothing panics, and what is
//! accepted has one form. The fuzz targets and the tests that replay their corpora both run these functions.

mod folders;
mod peer_log;
mod wal;

use channel_actors::pipeline::ordering::recode_message;
use channel_actors::pipeline::witness_message::WitnessMessage;
use client::api::{Batch, BatchAnswer, CutError, Cutter, Form, Outcome, StreamFrame, StreamLine, read_submission};
use client::sse;
use ledger_classes::execution::{ConfigRecord, apps, assets, channel, contracts, logs};
use ledger_classes::formats::block::{Block, Header, Seal};
use ledger_classes::formats::config::{ChannelConfig, Limits};
use ledger_classes::formats::proof::{Proof, StateProof, Trust};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::transaction::{Encoding, Envelope, SignedBy, Transaction, parse, verify_all};
use ledger_classes::keys::KeyCache;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::codec::{Decode, Encode};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::state::participant::{
    CertificateKey, KnownCertificate, KnownIdentity, NamedCertificate, Participant,
};
use ledger_classes::state::record::{Record, from_value, to_value};
use ledger_classes::state::tree;
use pki::x509::ocsp;
use server::api::cursor::{Cursor, Start};
use std::fmt::Debug;

/// A decoder by the name of its corpus.
pub type Decoder = (&'static str, fn(&[u8]));

/// All of them. Those of X.509 structures, which need other certificates beside them, are in `ca`'s own tests.
pub const DECODERS: &[Decoder] = &[
    ("transaction_binary", transaction_binary),
    ("transaction_json", transaction_json),
    ("backup", backup),
    ("batch", batch),
    ("block", block),
    ("block_file", block_file),
    ("block_folder", block_folder),
    ("bundle", bundle),
    ("channel_config", channel_config),
    ("cursor", cursor),
    ("fence", fence),
    ("identity", identity),
    ("ordering_message", ordering_message),
    ("peer_log", peer_log),
    ("wal", wal),
    ("ocsp", ocsp_messages),
    ("proof", proof),
    ("record", record),
    ("witness_message", witness_message),
    ("server_sent_events", server_sent_events),
    ("submissions", submissions),
    ("state_proof", state_proof),
];

pub use folders::{backup, block_file, block_folder, bundle, fence};
pub use peer_log::{SegmentRecord, peer_log, peer_log_segment, segment_channel};
pub use wal::wal;

/// Bytes of any input that is decoded as a whole here.
const BYTES_MAX: usize = 1 << 20;

/// What decodes encodes to the same bytes again.
fn one_form<T: Encode + Decode<()>>(bytes: &[u8]) -> Option<T> {
    let value: T = codec::decode(bytes, BYTES_MAX).ok()?;
    assert_eq!(codec::encode(&value), bytes, "a second form");
    Some(value)
}

/// A payload under one signature that nobody made: everything but the signature is judged.
fn payload(encoding: Encoding, bytes: &[u8], channel: Hash) -> Option<Envelope> {
    let key = ledger_classes::keys::SigningKey::from_seed(&[7; 32]);
    let signature = key.sign(b"something else");
    let signatures = vec![SignedBy { key: key.public(), signature }];
    let envelope = Envelope { encoding, payload: bytes.to_vec(), signatures };
    let parsed = parse(envelope.clone(), channel, &Limits::default()).ok()?;
    assert_eq!(parsed.id(), envelope.id());
    let verdicts = verify_all(vec![parsed], [1; 32], &mut KeyCache::default());
    assert!(verdicts.iter().all(Result::is_err), "a signature over something else");
    Some(envelope)
}

/// A transaction in the binary encoding.
pub fn transaction_binary(bytes: &[u8]) {
    let named: Option<Transaction> = one_form(bytes);
    let channel = named.as_ref().map_or(Hash([0; 32]), |transaction| transaction.channel);
    if payload(Encoding::Binary, bytes, channel).is_some() {
        let transaction = named.expect("it was parsed");
        // The same transaction in JSON is the same transaction.
        let json = serde_json::to_vec(&transaction).expect("what decodes has a JSON form");
        let again: Transaction = ledger_classes::primitives::json::from_slice(&json).expect("our own JSON");
        assert_eq!(again, transaction);
    }
    one_form::<Envelope>(bytes);
}

/// A transaction in JSON.
pub fn transaction_json(bytes: &[u8]) {
    let named: Option<Transaction> = ledger_classes::primitives::json::from_slice(bytes).ok();
    let channel = named.as_ref().map_or(Hash([0; 32]), |transaction| transaction.channel);
    payload(Encoding::Json, bytes, channel);
    if let Some(transaction) = named {
        let binary = codec::encode(&transaction);
        assert_eq!(codec::decode::<Transaction>(&binary, binary.len()).as_ref(), Ok(&transaction));
    }
}

/// A batch, its answer, and an answer in JSON.
pub fn batch(bytes: &[u8]) {
    if let Some(batch) = one_form::<Batch>(bytes) {
        for envelope in &batch.envelopes {
            one_form::<Envelope>(envelope);
        }
    }
    one_form::<BatchAnswer>(bytes);
    let _ = ledger_classes::primitives::json::from_slice::<Outcome>(bytes);
}

/// A block, its header and seal.
pub fn block(bytes: &[u8]) {
    if let Ok(block) = Block::decode(bytes) {
        assert_eq!(codec::encode(&block), bytes, "a second form");
        let _ = block.check_body();
        let _ = block.genesis_config();
    }
    one_form::<Header>(bytes);
    one_form::<Seal>(bytes);
    one_form::<Receipt>(bytes);
}

/// A channel's configuration in both encodings.
pub fn channel_config(bytes: &[u8]) {
    let json = ledger_classes::primitives::json::from_slice::<ChannelConfig>(bytes).ok();
    for config in json.into_iter().chain(one_form::<ChannelConfig>(bytes)) {
        let _ = config.check(config.rules);
        let _ = config.rights_of(None);
    }
}

/// A cursor, and where a subscription starts.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text, "a second form");
    }
    let (from, last) = text.split_once('\n').unwrap_or((text, ""));
    let _ = Start::parse(Some(from), Some(last));
}

/// Names in text: identities, hashes, addresses, amounts, times.
pub fn identity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(identity) = Identity::parse(text) {
        assert_eq!(identity.to_string(), text, "a second form");
    }
    if let Ok(hash) = Hash::parse(text) {
        assert_eq!(hash.to_string(), text, "a second form");
    }
    if let Ok(address) = text.parse::<ledger_classes::keys::Address>() {
        // Lower case is taken, too: it is what people had before there was a checksum.
        let shown = address.to_string();
        assert!(text == shown || text == shown.to_lowercase(), "a third form: {text}");
    }
    if let Ok(amount) = text.parse::<ledger_classes::primitives::amount::Amount>() {
        assert_eq!(amount.to_string(), text, "a second form");
    }
    if let Ok(number) = text.parse::<ledger_classes::primitives::amount::Decimal>()
        && let Ok(amount) = number.to_amount(38)
    {
        let again = amount.to_decimal(38).parse::<ledger_classes::primitives::amount::Decimal>();
        assert_eq!(again.map(|again| again.to_amount(38)), Ok(Ok(amount)), "another amount");
    }
}

/// An OCSP request. Answers are judged beside the CA that signed them, in `ca`'s tests.
pub fn ocsp_messages(bytes: &[u8]) {
    if let Ok(Some(query)) = ocsp::parse_request(bytes) {
        assert!(!query.serial().as_bytes().is_empty());
        assert!(!ocsp::answers(bytes, &query), "a request is no answer");
    }
}

/// A proof of what a key has in a state.
pub fn state_proof(bytes: &[u8]) {
    if let Ok(proof) = tree::Proof::decode(bytes) {
        assert_eq!(proof.encode(), bytes, "a second form");
        let root = Hash([1; 32]);
        let holds = [None, Some(&b"value"[..])].map(|value| proof.verify(&root, b"key", value));
        assert!(holds.iter().all(Result::is_err), "nobody finds a preimage");
    }
}

/// A proof of inclusion, and the way to a configuration.
pub fn proof(bytes: &[u8]) {
    if let Ok(proof) = ledger_classes::primitives::json::from_slice::<StateProof>(bytes) {
        let _ = proof.verify(None);
    }
    if let Ok(proof) = ledger_classes::primitives::json::from_slice::<Proof>(bytes) {
        let _ = proof.verify(None);
    }
    if let Ok(trust) = ledger_classes::primitives::json::from_slice::<Trust>(bytes) {
        let _ = trust.verify(None);
    }
}

fn stored<R: Record + Encode + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(record) = from_value::<R>(bytes) {
        assert_eq!(&*to_value(&record), bytes, "a second form");
    }
}

/// What the state stores.
pub fn record(bytes: &[u8]) {
    stored::<ConfigRecord>(bytes);
    stored::<Participant>(bytes);
    stored::<KnownCertificate>(bytes);
    stored::<NamedCertificate>(bytes);
    stored::<KnownIdentity>(bytes);
    stored::<CertificateKey>(bytes);
    stored::<channel::Proposal>(bytes);
    stored::<assets::AssetRecord>(bytes);
    stored::<assets::Balance>(bytes);
    stored::<assets::Allowance>(bytes);
    stored::<assets::ItemRecord>(bytes);
    stored::<assets::JointAccount>(bytes);
    stored::<apps::AppRecord>(bytes);
    stored::<apps::AppVersion>(bytes);
    stored::<contracts::ContractRecord>(bytes);
    stored::<contracts::ContractVersion>(bytes);
    stored::<contracts::InstanceRecord>(bytes);
    stored::<logs::LogRecord>(bytes);
}

/// What another peer's engine over Raft says.
pub fn ordering_message(bytes: &[u8]) {
    if let Ok(again) = recode_message(bytes) {
        assert_eq!(again, bytes, "a second form");
    }
}

/// What another peer says about witnesses.
pub fn witness_message(bytes: &[u8]) {
    if let Ok(message) = WitnessMessage::decode(bytes) {
        assert_eq!(message.encode(), bytes, "a second form");
        if let WitnessMessage::Asks { envelopes, .. } = message {
            envelopes.iter().for_each(|envelope| drop(one_form::<Envelope>(envelope)));
        }
    }
}

/// A stream of events: however it is cut, the same frames come out.
pub fn server_sent_events(bytes: &[u8]) {
    let whole = frames(&[bytes]);
    let middle = bytes.len() / 2;
    let (left, right) = bytes.split_at(middle);
    assert_eq!(frames(&[left, right]), whole);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(frames(&single), whole);
}

/// Both directions of a stream of submissions, in both forms: its items do not depend on how it comes.
pub fn submissions(bytes: &[u8]) {
    for form in [Form::Lines, Form::Frames] {
        let whole = items(form, &[bytes]);
        let (left, right) = bytes.split_at(bytes.len() / 2);
        assert_eq!(items(form, &[left, right]), whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(items(form, &single), whole);
        for item in &whole.0 {
            let (number, envelope) = read_submission(form, item);
            match (form, envelope) {
                (Form::Frames, Ok(envelope)) => {
                    let number = number.expect("what has an envelope has a number");
                    assert_eq!([&number.to_le_bytes()[..], &codec::encode(&envelope)].concat(), *item, "a second form");
                }
                (Form::Lines, Ok(_)) => assert!(number.is_some()),
                (_, Err(_)) => {}
            }
            match form {
                Form::Lines => drop(ledger_classes::primitives::json::from_slice::<StreamLine>(item)),
                Form::Frames => drop(one_form::<StreamFrame>(item)),
            }
        }
    }
}

fn items(form: Form, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<CutError>) {
    let (mut cutter, mut items) = (Cutter::new(form, 4096), Vec::new());
    let mut cut = || {
        for piece in pieces {
            cutter.push(piece);
            while let Some(item) = cutter.cut()? {
                items.push(item.to_vec());
            }
        }
        items.extend(cutter.finish()?.map(<[u8]>::to_vec));
        Ok(())
    };
    let error = cut().err();
    (items, error)
}

fn frames(pieces: &[&[u8]]) -> Result<Vec<sse::Frame>, sse::SseError> {
    let (mut parser, mut frames) = (sse::Parser::new(), Vec::new());
    for piece in pieces {
        parser.push(piece, &mut frames)?;
    }
    Ok(frames)
}
