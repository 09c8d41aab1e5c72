//! Checking what a peer says without trusting it: proof files, and the evidence that events carry.
//!
//! A verifier needs one thing that it did not get from the peer: the channel's id. Where none is given, what is
//! checked is that everything belongs together, and the id is reported for a person to compare.

use crate::api::{CloudEvent, DetailView};
use crate::connection::{Connection, RequestError};
use crate::fork::SealedBytes;
use crate::known::KnownError;
use crate::query::Range;
use crate::seen::SeenError;
use crate::subscribe::{Cursor, Delivery};
use ledger_classes::formats::block::Header;
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::event::Event;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::proof::{
    Evidence, Proof, ProofError, ProvenDetail, StateProof, VerifiedState, VerifiedTrust,
};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::keys;
use ledger_classes::keys::Address;
use ledger_classes::limits::PAYLOAD_BYTES_MAX;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::time::Time;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a proof file: a genesis block and a long way of configuration changes, in hex.
const PROOF_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why something is not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a proof's JSON.
    #[error("not a proof")]
    Form(#[source] serde_json::Error),
    /// The proof does not hold.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] ProofError),
    /// A signature of the transaction does not verify.
    #[error("the signature of {0} does not verify")]
    Signature(Address),
    /// The evidence holds, but proves something else than it came with.
    #[error("the evidence is about another {0} than the event's")]
    Mismatch(&'static str),
    /// The peer leaves out who may seal, where it has shown it before.
    #[error("the peer leaves out changes of who may seal that it has shown before")]
    Shortened,
    /// An event came without evidence.
    #[error("the event came without evidence")]
    Absent,
    /// It contradicts what was verified before, or the peer lacks that.
    #[error(transparent)]
    Seen(#[from] SeenError),
    /// The proof is of another channel than the one that the name meant before.
    #[error(transparent)]
    Known(#[from] KnownError),
    /// The configuration that rules the block cannot be fetched.
    #[error("the channel's configuration cannot be fetched")]
    Trust(#[source] RequestError),
}

/// What a proof has proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// The channel's id.
    pub channel: Hash,
    /// The block.
    pub height: u64,
    /// The block's time.
    pub time: Time,
    /// Hash of the block's header.
    pub block: Hash,
    /// The receipt's position.
    pub index: u32,
    /// The transaction's id.
    pub id: Hash,
    /// Result code number.
    pub code: u16,
    /// Result code name.
    pub result: &'static str,
    /// What the sender paid.
    pub fee: Amount,
    /// Who signed, sender first; empty if the proof carries no transaction.
    pub signers: Vec<Address>,
    /// What was signed, if the proof carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Transaction>,
    /// An event of the receipt, if the proof carries one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// Why it failed, in words, if the proof carries that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it failed, for programs, if the proof carries it and the code leaves it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<DetailView>,
    /// The later header that the block is tied to, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later: Option<LaterBlock>,
}

/// A later sealed header whose history holds the proven one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LaterBlock {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Reads a proof file.
pub fn read_proof(path: &Path) -> Result<Proof, VerifyError> {
    ledger_classes::primitives::json::from_slice(&read_file(path)?).map_err(VerifyError::Form)
}

fn read_file(path: &Path) -> Result<Vec<u8>, VerifyError> {
    use io::Read as _;
    let fail = |source| VerifyError::Read { path: path.into(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(PROOF_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// A proof of one of both kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyProof {
    /// Of a transaction.
    Transaction(Box<Proof>),
    /// Of what a key has in the state.
    State(Box<StateProof>),
}

/// Reads a proof file of either kind.
pub fn read_any_proof(path: &Path) -> Result<AnyProof, VerifyError> {
    let bytes = read_file(path)?;
    match ledger_classes::primitives::json::from_slice(&bytes) {
        Ok(proof) => Ok(AnyProof::Transaction(Box::new(proof))),
        Err(error) => match ledger_classes::primitives::json::from_slice(&bytes) {
            Ok(proof) => Ok(AnyProof::State(Box::new(proof))),
            Err(_) => Err(VerifyError::Form(error)),
        },
    }
}

/// What a proof of the state has proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProvenState {
    /// The channel's id.
    pub channel: Hash,
    /// The block that leaves this state.
    pub height: u64,
    /// The block's time.
    pub time: Time,
    /// Hash of the block's header.
    pub block: Hash,
    /// The key.
    pub key: HexBytes,
    /// Its value; none if it is absent.
    pub value: Option<HexBytes>,
}

/// Checks a proof of the state. `channel` is the id that the verifier knows.
pub fn verify_state_proof(proof: &StateProof, channel: Option<Hash>) -> Result<ProvenState, VerifyError> {
    let VerifiedState { channel, header, key, value } = proof.verify(channel)?;
    Ok(ProvenState {
        channel,
        height: header.height,
        time: header.time,
        block: header.hash(),
        key: HexBytes(key),
        value: value.map(HexBytes),
    })
}

/// Checks a proof. `channel` is the id that the verifier knows.
pub fn verify_proof(proof: &Proof, channel: Option<Hash>) -> Result<Proven, VerifyError> {
    let checked = proof.verify(channel)?;
    let (mut signers, mut transaction) = (Vec::new(), None);
    if let Some(envelope) = &checked.envelope {
        let message = envelope.message();
        for signed in &envelope.signatures {
            if !keys::verify(&signed.key, &message, &signed.signature) {
                return Err(VerifyError::Signature(signed.key.address()));
            }
            signers.push(signed.key.address());
        }
        transaction = decode_payload(envelope);
    }
    let later = match &proof.later {
        None => None,
        Some(later) => {
            let header: Header =
                codec::decode(&later.header.0, 4096).map_err(|_| ProofError::Malformed("the later header"))?;
            Some(LaterBlock { height: header.height, hash: header.hash() })
        }
    };
    let receipt = checked.receipt;
    let code = ResultCode::from_number(receipt.code);
    let (message, detail) = match checked.detail {
        None => (None, None),
        Some(ProvenDetail::Known(detail)) => {
            let message = code.map_or_else(|| detail.to_string(), |code| detail.words(code));
            (Some(message), (detail != Detail::PLAIN).then(|| DetailView::from(&detail)))
        }
        Some(ProvenDetail::Unknown { number }) => {
            (Some(format!("detail {number}, for which this build is too old")), None)
        }
    };
    Ok(Proven {
        channel: checked.channel,
        height: checked.header.height,
        time: checked.header.time,
        block: checked.header.hash(),
        index: receipt.index,
        id: receipt.id,
        code: receipt.code,
        result: code.map_or("unknown", ResultCode::name),
        fee: receipt.fee,
        signers,
        transaction,
        event: checked.event,
        message,
        detail,
        later,
    })
}

/// What an envelope's payload says, if it can be read.
pub fn decode_payload(envelope: &Envelope) -> Option<Transaction> {
    match envelope.encoding {
        Encoding::Genesis => None,
        Encoding::Binary => codec::decode(&envelope.payload, PAYLOAD_BYTES_MAX).ok(),
        Encoding::Json => ledger_classes::primitives::json::from_slice(&envelope.payload).ok(),
    }
}

/// Checks that an event's evidence holds and is about this event.
pub fn verify_event(trust: &VerifiedTrust, event: &CloudEvent) -> Result<(), VerifyError> {
    let text = event.evidence.as_deref().ok_or(VerifyError::Absent)?;
    let evidence: Evidence = ledger_classes::primitives::json::from_str(text).map_err(VerifyError::Form)?;
    let checked = trust.verify(&evidence)?;
    let place = evidence
        .event
        .as_ref()
        .map(|proof| Cursor::new(checked.header.height, checked.receipt.index, proof.index, &checked.header.hash()));
    for (agrees, what) in [
        (checked.event.as_ref() == Some(&event.data), "content"),
        (place.is_some_and(|place| place.to_string() == event.id), "place"),
        (checked.receipt.id == event.transaction, "transaction"),
        (checked.header.time == event.time, "time"),
        (event.data.class() == event.class, "class"),
        (event.data.topic() == event.subject, "topic"),
        (event.type_text.strip_prefix("chancery.") == Some(event.data.kind()), "type"),
    ] {
        if !agrees {
            return Err(VerifyError::Mismatch(what));
        }
    }
    Ok(())
}

fn evidence_of(event: &CloudEvent) -> Option<Evidence> {
    ledger_classes::primitives::json::from_str(event.evidence.as_deref()?).ok()
}

impl Connection {
    /// Fetches the proof of a committed transaction, checks it, and holds it against what was verified before of the
    /// channel. `known` is the channel's id that the verifier knows.
    pub async fn verified_proof(
        &self,
        channel: &str,
        id: Hash,
        later: Option<u64>,
        known: Option<Hash>,
    ) -> Result<(Proof, Proven), VerifyError> {
        let proof = self.proof(channel, id, later).await.map_err(VerifyError::Trust)?;
        let proven = verify_proof(&proof, known)?;
        if proven.id != id {
            return Err(VerifyError::Mismatch("transaction"));
        }
        if proven.later.as_ref().map(|header| header.height) != later {
            return Err(VerifyError::Mismatch("later header"));
        }
        if known.is_none() {
            self.known().hold_channel(channel, proven.channel)?;
        }
        let trust = proof.trust.verify(known)?;
        let later = proof.later.as_ref().map(|later| (&later.header, &later.seal));
        for (header, seal) in [(&proof.evidence.header, &proof.evidence.seal)].into_iter().chain(later) {
            self.meet(&trust, &SealedBytes { header: header.clone(), seal: seal.clone() })?;
        }
        Ok((proof, proven))
    }
}

impl Connection {
    /// Fetches the proof of what a key has in the state, checks it, and holds it against what was verified before of the
    /// channel. `known` is the channel's id that the verifier knows.
    pub async fn verified_state(
        &self,
        channel: &str,
        key: &[u8],
        known: Option<Hash>,
    ) -> Result<(StateProof, ProvenState), VerifyError> {
        let proof = self.state_proof(channel, key).await.map_err(VerifyError::Trust)?;
        let proven = verify_state_proof(&proof, known)?;
        if proven.key.0 != key {
            return Err(VerifyError::Mismatch("key"));
        }
        if known.is_none() {
            self.known().hold_channel(channel, proven.channel)?;
        }
        let trust = proof.trust.verify(known)?;
        let shown = SealedBytes { header: proof.state.header.clone(), seal: proof.state.seal.clone() };
        self.meet(&trust, &shown)?;
        Ok((proof, proven))
    }
}

/// Checks the events of a subscription, fetching the way from genesis to those who seal again when a seal is of others.
#[derive(Debug)]
pub struct EventVerifier {
    connection: Connection,
    channel: String,
    id: Hash,
    trust: VerifiedTrust,
    /// The header of the last event.
    met: Option<HexBytes>,
}

impl EventVerifier {
    /// Fetches the way to those who may seal. `id` is the channel's id that the verifier knows. What the connection
    /// has seen of the channel before is asked for again, if the caller may read blocks: a peer that goes on with another
    /// history is found at once.
    pub async fn open(connection: &Connection, channel: &str, id: Hash) -> Result<Self, VerifyError> {
        let trust = Self::fetch(connection, channel, id).await?;
        let verifier = Self { connection: connection.clone(), channel: channel.into(), id, trust, met: None };
        verifier.recall().await?;
        Ok(verifier)
    }

    /// Holds the block at the newest height that was seen against what was seen.
    async fn recall(&self) -> Result<(), VerifyError> {
        let Some(height) = self.connection.newest_seen(&self.id) else { return Ok(()) };
        let from = height.to_string();
        let range = Range { from: Some(&from), limit: Some(1) };
        let page = match self.connection.blocks(&self.channel, range).await {
            Ok(page) => page,
            // Not everybody may read blocks.
            Err(RequestError::Problem(problem)) if matches!(problem.status, 403 | 404) => return Ok(()),
            Err(error) => return Err(VerifyError::Trust(error)),
        };
        match page.items.first() {
            Some(block) if block.header.height == height => {
                Ok(self.connection.meet(&self.trust, &SealedBytes::new(&block.header, &block.seal))?)
            }
            _ if page.height < height => Err(SeenError::Behind { channel: self.id, height, tip: page.height }.into()),
            _ => Ok(()),
        }
    }

    async fn fetch(connection: &Connection, channel: &str, id: Hash) -> Result<VerifiedTrust, VerifyError> {
        let trust = connection.trust(channel).await.map_err(VerifyError::Trust)?;
        Ok(trust.verify(Some(id))?)
    }

    /// Checks one event.
    pub async fn verify(&mut self, delivery: &Delivery) -> Result<(), VerifyError> {
        if let Err(VerifyError::Proof(ProofError::Seal { .. })) = verify_event(&self.trust, &delivery.event) {
            // Others may seal by now.
            self.refresh().await?;
        }
        verify_event(&self.trust, &delivery.event)?;
        let Some(Evidence { header, seal, .. }) = evidence_of(&delivery.event) else { return Ok(()) };
        if self.met.as_ref() != Some(&header) {
            self.met = Some(header.clone());
            let shown = SealedBytes { header, seal };
            match self.connection.meet(&self.trust, &shown) {
                // Something else on this connection has verified a newer way than this one.
                Err(SeenError::Shortened { .. }) => {
                    self.refresh().await?;
                    self.connection.meet(&self.trust, &shown)?;
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Fetches the way to those who may seal now.
    async fn refresh(&mut self) -> Result<(), VerifyError> {
        let trust = Self::fetch(&self.connection, &self.channel, self.id).await?;
        if !trust.extends(&self.trust) {
            return Err(VerifyError::Shortened);
        }
        self.trust = trust;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::submit::sign_json;
    use ledger_classes::action::{Action, assets::AssetName};
    use ledger_classes::chain::genesis;
    use ledger_classes::formats::blinding::{Blinded, Blinder, BlindingSeed};
    use ledger_classes::formats::block::{Seal, receipt_leaves, transaction_leaves};
    use ledger_classes::formats::config::{ChannelConfig, Engine, OrderingPeer, Organization};
    use ledger_classes::formats::proof::{EventProof, ReceiptProof, TransactionProof, Trust, TrustRoot, part};
    use ledger_classes::formats::receipt::Receipt;
    use ledger_classes::keys::SigningKey;
    use ledger_classes::merkle;
    use ledger_classes::primitives::identity::Identity;

    /// A proof of a transaction that paused `coin` at height 1 of a channel that one peer orders, and the event.
    fn proof() -> (Proof, CloudEvent) {
        let peer = SigningKey::from_seed(&[1; 32]);
        let config = ChannelConfig {
            rules: ledger_classes::rules::RULES,
            name: "main".into(),
            consortium: "harbour".into(),
            created: Time::from_millis(1_000),
            salt: HexBytes(vec![0; 16]),
            engine: Engine::Solo,
            peers: vec![OrderingPeer {
                identity: Identity::parse("spiffe://harbour/bank/peer/p1").unwrap(),
                key: peer.public(),
                weight: 1,
            }],
            threshold: 1,
            organizations: vec![Organization { name: "bank".into(), title: String::new(), authorities: vec![] }],
            grants: vec![],
            public_read: true,
            open_submit: true,
            limits: Default::default(),
            fees: Default::default(),
            approvals: Default::default(),
            witnesses: Default::default(),
            budgets: Default::default(),
        };
        let (genesis, _) = genesis(&config).unwrap();
        let channel = genesis.header.hash();

        let pause = Action::AssetPause(AssetName { asset: "coin".into() });
        let (sender, now) = (SigningKey::from_seed(&[2; 32]).public().address(), Time::from_millis(2_000));
        let transaction = crate::submit::transaction(channel, sender, vec![pause], now, 1_000).unwrap();
        let envelope = sign_json(&transaction, &[&SigningKey::from_seed(&[2; 32])]);
        let event = Event::AssetPaused { asset: "coin".into() };
        let blinder = Blinder::new(&BlindingSeed::new([4; 32]), &channel);
        let mut receipt =
            Receipt::new(envelope.id(), 1, 0, ResultCode::Done, Detail::PLAIN, Amount(3), std::slice::from_ref(&event));
        receipt.blind(&blinder);
        let encoded = codec::encode(&envelope);
        let header = Header {
            channel,
            height: 1,
            previous: channel,
            time: Time::from_millis(2_000),
            transaction_root: merkle::root(&transaction_leaves(std::slice::from_ref(&encoded)).unwrap()),
            receipt_root: merkle::root(&receipt_leaves(std::slice::from_ref(&receipt), &blinder)),
            history_root: merkle::root(&[merkle::leaf_hash(&channel.0)]),
            proposer: peer.public().address(),
            transactions: 1,
            receipts: 1,
            ..genesis.header.clone()
        };
        let seal = Seal::of_one(&peer, &header.hash());
        let evidence = Evidence {
            header: part(&header),
            seal: part(&seal),
            receipt: ReceiptProof {
                head: part(&receipt.head),
                blinding: blinder.of(Blinded::Receipt { index: 0 }),
                path: vec![],
            },
            transaction: Some(TransactionProof { envelope: HexBytes(encoded), index: 0, path: vec![] }),
            event: Some(EventProof {
                event: HexBytes(receipt.events[0].clone()),
                index: 0,
                blinding: blinder.of(Blinded::Event { receipt: 0, index: 0 }),
                path: vec![],
            }),
            detail: None,
        };
        let cloud = CloudEvent {
            specversion: "1.0".into(),
            id: Cursor::new(1, 0, 0, &header.hash()).to_string(),
            source: "/v1/channels/main".into(),
            type_text: "chancery.asset.paused".into(),
            subject: "coin".into(),
            time: header.time,
            datacontenttype: "application/json".into(),
            class: event.class(),
            transaction: envelope.id(),
            data: event,
            evidence: Some(serde_json::to_string(&evidence).unwrap()),
        };
        let trust = Trust { genesis: TrustRoot::new(&genesis.header, &config.orderers()), links: vec![] };
        (Proof { version: 1, trust, evidence, later: None }, cloud)
    }

    #[test]
    fn a_proof_file_says_what_was_proven() {
        let (proof, event) = proof();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.json");
        std::fs::write(&path, serde_json::to_vec(&proof).unwrap()).unwrap();
        let read = read_proof(&path).unwrap();
        let proven = verify_proof(&read, None).unwrap();
        assert_eq!((proven.height, proven.code), (1, 0));
        assert_eq!((proven.id, proven.fee), (event.transaction, Amount(3)));
        assert_eq!(proven.signers, [SigningKey::from_seed(&[2; 32]).public().address()]);
        assert_eq!(proven.transaction.as_ref().unwrap().actions.len(), 1);
        assert!(verify_proof(&read, Some(proven.channel)).is_ok());
        let error = verify_proof(&read, Some(Hash([9; 32]))).unwrap_err();
        assert!(matches!(error, VerifyError::Proof(ProofError::OtherChannel(_))), "{error}");
    }

    #[test]
    fn a_changed_proof_does_not_hold() {
        let (good, _) = proof();
        let change: [fn(&mut Proof); 6] = [
            |proof| proof.evidence.receipt.blinding.0[0] ^= 1,
            |proof| proof.version = 2,
            |proof| *proof.evidence.header.0.last_mut().unwrap() ^= 1,
            |proof| *proof.evidence.seal.0.last_mut().unwrap() ^= 1,
            |proof| *proof.evidence.receipt.head.0.last_mut().unwrap() ^= 1,
            |proof| *proof.evidence.transaction.as_mut().unwrap().envelope.0.last_mut().unwrap() ^= 1,
        ];
        for (row, change) in change.into_iter().enumerate() {
            let mut proof = good.clone();
            change(&mut proof);
            assert!(verify_proof(&proof, None).is_err(), "row {row}");
        }
    }

    #[test]
    fn evidence_counts_for_its_own_event_only() {
        let (proof, good) = proof();
        let trust = proof.trust.verify(None).unwrap();
        verify_event(&trust, &good).unwrap();
        type Change = fn(&mut CloudEvent);
        let changes: [(Change, &str); 9] = [
            (|event| event.evidence = None, "without evidence"),
            (|event| event.data = Event::AssetPaused { asset: "gold".into() }, "content"),
            (|event| event.id = event.id.replacen("1.0.0", "1.0.1", 1), "place"),
            (|event| event.id.replace_range(6..8, "zz"), "place"),
            (|event| event.transaction = Hash::ZERO, "transaction"),
            (|event| event.time = Time::ZERO, "time"),
            (|event| event.class = ledger_classes::formats::rights::Class::Logs, "class"),
            (|event| event.subject = "gold".into(), "topic"),
            (|event| event.type_text = "chancery.asset.resumed".into(), "type"),
        ];
        for (change, part) in changes {
            let mut event = good.clone();
            change(&mut event);
            let error = verify_event(&trust, &event).unwrap_err();
            assert!(error.to_string().contains(part), "{error} should say {part}");
        }
    }
}
