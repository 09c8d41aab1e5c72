//! The peer whose files are kept in `tests/compatibility`: its keys, clock, certificates and channels, and what it
//! answers. The program that writes the files and the test that reads them share it.

use channel_actors::runtime::clock::Clock;
use channel_actors::runtime::metrics::Metrics;
use channel_actors::store::StoreOptions;
use channel_actors::{ChannelHandle, ChannelRegistry, RegistryOptions, SubmitResult, Wait};
use ledger_classes::action::Action;
use ledger_classes::execution::assets as queries;
use ledger_classes::formats::detail::{PathFault, PathRefusal};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{CertificatePaths, CertifiedIdentity, PathRules};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Block time of the first blocks.
pub(crate) const START: Time = Time::from_millis(1_795_000_000_000);

/// A key from a small number; 200 is the peer's.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// The address of [`key`].
pub(crate) fn address(number: u8) -> Address {
    key(number).public().address()
}

/// A clock that stands still unless it is set.
pub(crate) struct Hand(pub(crate) AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Takes a path of one byte for the certificate of the administrator with that key.
pub(crate) struct Vouching;

impl CertificatePaths for Vouching {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("bank".into())
    }

    fn verify(&self, _: PathRules, path: &[&[u8]], roots: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        let [[number]] = path else { return Err(PathFault::Malformed.into()) };
        let identity = Identity::new("test.example", "bank", Role::Admin, &format!("admin-{number}"));
        let identity = identity.map_err(|_| PathFault::Identity)?;
        let not_after = START.plus_millis(1 << 40);
        let authorities: Vec<Hash> = roots.iter().map(|der| Hash::plain(&[der])).collect();
        let issuer = authorities.first().copied().unwrap_or_default();
        let (serial, key, above) = (vec![*number], key(*number).public(), Vec::new());
        Ok(CertifiedIdentity { identity, serial, issuer, not_after, key, authorities, above })
    }
}

/// Opens every channel in a directory; they are suspended after this time without work, if ever.
pub(crate) async fn open(directory: &Path, clock: Arc<Hand>, suspend_after: Option<Duration>) -> Arc<ChannelRegistry> {
    let registry = ChannelRegistry::open(RegistryOptions {
        memory: Default::default(),
        directory: directory.to_owned(),
        seal_key: Arc::new(key(200)),
        certificates: Arc::new(Vouching),
        clock,
        shards: 1,
        verification_threads: 1,
        store: StoreOptions::default(),
        suspend_after,
        metrics: Metrics::new(&mut prometheus_client::registry::Registry::default()),
        tasks: channel_actors::runtime::tasks::Tasks::default(),
        disk_reserve_bytes: 0,
        channel_bytes_max: 0,
    });
    let registry = registry.expect("opens");
    registry.opened().await;
    registry
}

/// Posts one transaction and returns its result's number. Every other one is in JSON.
pub(crate) async fn post(channel: &ChannelHandle, now: Time, nonce: u64, signers: &[u8], actions: Vec<Action>) -> u16 {
    let transaction = Transaction {
        channel: channel.id().expect("open"),
        nonce,
        valid_until: now.plus_millis(60_000),
        fee_max: Amount::ZERO,
        actions,
        memo: format!("number {nonce}"),
        sender: signers.first().filter(|_| signers.len() > 1).map(|first| address(*first)),
    };
    let keys: Vec<SigningKey> = signers.iter().map(|number| key(*number)).collect();
    let keys: Vec<&SigningKey> = keys.iter().collect();
    let envelope = match nonce % 2 {
        0 => Envelope::sign_binary(&transaction, &keys),
        _ => Envelope::sign(Encoding::Json, serde_json::to_vec(&transaction).expect("serializes"), &keys),
    };
    match channel.submit(vec![envelope], Wait::Committed).expect("room").await.as_slice() {
        [SubmitResult::Committed { receipt, .. }] => receipt.head.code,
        other => panic!("transaction {nonce}: {other:?}"),
    }
}

/// What a channel answers up to a height: all receipts, the balances at its tip, and proofs of its first and its last
/// transaction.
pub(crate) async fn answers(channel: &ChannelHandle, height: u64) -> Value {
    let mut blocks = Vec::new();
    let mut ids = Vec::new();
    for height in 0..=height {
        let block = channel.block(height).await.expect("readable").expect("there");
        let receipts = block.receipts.iter().map(|receipt| {
            ids.push(receipt.head.id);
            json!({"id": receipt.head.id, "code": receipt.head.code, "leaf": receipt.leaf(&block.block.blinder())})
        });
        let receipts: Vec<Value> = receipts.collect();
        blocks.push(json!({"hash": block.block.header.hash(), "receipts": receipts}));
    }
    let proofs = channel.read(move |reader| {
        // Timers have receipts and no proofs.
        let proofs = [(ids.first(), Some(height)), (ids.iter().rev().nth(1), None)];
        proofs
            .into_iter()
            .map(|(id, later)| reader.proof(id.expect("a transaction"), later))
            .collect::<Result<Vec<_>, _>>()
    });
    let proofs = proofs.await.expect("readable");
    let balances = channel.read(|reader| {
        let balance = |number: u8| {
            let balance = queries::balance_of(reader.view(), "usd", &address(number))?;
            Ok(json!({"owned": balance.owned, "frozen": balance.frozen, "locks": balance.locks.len()}))
        };
        (1..=4).map(balance).collect::<Result<Vec<Value>, _>>()
    });
    json!({
        "name": channel.name(), "channel": channel.id(), "height": height,
        "time": channel.block(height).await.expect("readable").expect("there").block.header.time,
        "balances": balances.await.expect("readable"), "proofs": proofs, "blocks": blocks,
    })
}
