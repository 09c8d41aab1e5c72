//! What is submitted: accounts with a balance, and transfers between them, signed and encoded beforehand.
//!
//! Keys, nonces and recipients follow from the seed. Transaction `n` is sent by account `n` modulo their number, so
//! that a batch of at most that many transactions has distinct senders, unless the [`Pattern`] says otherwise.

use crate::error::LoadError;
use crate::machine;
use client::api::{BatchResult, JsonEnvelope};
use client::connection::Connection;
use client::submit::{Wait, sign_json};
use ledger_classes::action::Action;
use ledger_classes::action::assets::{Define, Kind, Mint, MintItem, Transfer, TransferBatch};
use ledger_classes::action::contracts::{Call, Create, Deploy};
use ledger_classes::action::logs::Append;
use ledger_classes::formats::config::Limits;
use ledger_classes::formats::transaction::{Envelope, Transaction};
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::limits::{ACTIONS_MAX, BATCH_TRANSFERS_MAX};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;

/// The asset that is transferred.
pub const ASSET: &str = "coin";
/// The contract, and the instance, of an auction.
const AUCTION: &str = "auction";
/// What is sold there.
const LOT: &str = "lot";
/// How long the auction takes bids, milliseconds: longer than any run.
const AUCTION_MS: u64 = 300 * 24 * 60 * 60 * 1000;
/// The contract of heavy transactions.
const LENDING: &str = "lending";
/// Base units of each account: more than it can ever send.
pub const BALANCE: u128 = 1 << 40;
/// Transactions of one request that funds accounts.
const FUNDING_TRANSACTIONS: usize = 16;
/// The golden ratio's part behind the point, of 2^64: its multiples lie far from each other.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Milliseconds that transactions stay valid: what is signed now may be sent much later in a long run.
const VALIDITY_MS: u64 = 12 * 60 * 60 * 1000;

/// Encoded envelopes of one request.
pub type EncodedBatch = Vec<Vec<u8>>;

/// Who pays whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All to all, each sender once in a round.
    Spread,
    /// Everybody else pays the first account.
    Merchant,
    /// Between this many of the accounts, at least 2.
    Few(u64),
}

/// The accounts under load on one channel.
pub struct Workload {
    channel: Hash,
    seed: u64,
    valid_until: Time,
    senders: Vec<SigningKey>,
    addresses: Vec<Address>,
    signed: u64,
    /// Nonce of the issuer's next transaction.
    prepared: u64,
}

/// The definition of the asset.
fn coin() -> Define {
    Define {
        asset: ASSET.into(),
        title: "Load".into(),
        kind: Kind::Fungible { decimals: 0, supply_cap: None },
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    }
}

/// Limits of a channel that takes the heaviest transactions of the protocol: the usual limits have fewer actions.
pub fn heavy_limits() -> Limits {
    Limits { actions_max: u32::try_from(ACTIONS_MAX).expect("256"), ..Limits::default() }
}

/// The key of one account: also of those that only prepare the others.
fn key(seed: u64, role: &str, number: u64) -> SigningKey {
    let secret = Hash::plain(&[b"load-tests", &seed.to_le_bytes(), role.as_bytes(), &number.to_le_bytes()]);
    SigningKey::from_seed(&secret.0)
}

impl Workload {
    /// `senders` accounts on the channel with this id.
    pub fn new(channel: Hash, seed: u64, senders: u32) -> Self {
        let senders = on_all_cores(u64::from(senders), |number| key(seed, "sender", number));
        let addresses = senders.iter().map(|key| key.public().address()).collect();
        Self {
            channel,
            seed,
            valid_until: client::now().plus_millis(VALIDITY_MS),
            senders,
            addresses,
            signed: 0,
            prepared: 0,
        }
    }

    /// Number of senders.
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// What is signed from now on is valid as if this workload had just been made.
    pub fn renew(&mut self) {
        self.valid_until = client::now().plus_millis(VALIDITY_MS);
    }

    fn transaction(&self, sender: Address, nonce: u64, actions: Vec<Action>) -> Transaction {
        Transaction {
            channel: self.channel,
            nonce,
            valid_until: self.valid_until,
            fee_max: Amount::ZERO,
            actions,
            memo: String::new(),
            sender: Some(sender),
        }
    }

    fn sign_one(&self, sender: &SigningKey, address: Address, nonce: u64, actions: Vec<Action>) -> Envelope {
        Envelope::sign_binary(&self.transaction(address, nonce, actions), &[sender])
    }

    /// Defines the asset and gives every account its balance; waits for each step.
    pub async fn fund(&mut self, connection: &Connection, channel: &str) -> Result<(), LoadError> {
        let issuer = key(self.seed, "issuer", 0);
        let all = Amount(BALANCE * self.addresses.len() as u128);
        let mint = Mint { asset: ASSET.into(), to: issuer.public().address(), amount: all };
        for action in [Action::AssetDefine(coin()), Action::AssetMint(mint)] {
            self.prepare(connection, channel, vec![action]).await?;
        }
        let transfer = |to: &Address| Transfer { asset: ASSET.into(), to: *to, amount: Amount(BALANCE) };
        let actions: Vec<Action> = (self.addresses.chunks(BATCH_TRANSFERS_MAX))
            .map(|part| Action::AssetTransferBatch(TransferBatch { transfers: part.iter().map(transfer).collect() }))
            .collect();
        for part in actions.chunks(FUNDING_TRANSACTIONS) {
            self.prepare(connection, channel, part.to_vec()).await?;
        }
        Ok(())
    }

    /// Positions of payer and payee of transfer `number`.
    fn parties(&self, pattern: Pattern, number: u64) -> (usize, usize) {
        let all = self.senders.len() as u64;
        let count = match pattern {
            Pattern::Few(count) => count.clamp(2, all),
            Pattern::Spread | Pattern::Merchant => all,
        };
        let (sender, to) = match pattern {
            Pattern::Merchant => (1 + number % (all - 1), 0),
            // Another stride in each round: the pairs differ, and nobody pays himself. Long ones, so that those who are
            // paid in a block are others than those who pay in it, where there are enough.
            Pattern::Spread | Pattern::Few(_) => {
                let round = (number / count + self.seed + 1).wrapping_mul(GOLDEN);
                let stride = 1 + ((u128::from(round) * u128::from(count - 1)) >> 64) as u64;
                (number % count, (number + stride) % count)
            }
        };
        let position = |number| usize::try_from(number).expect("below the number of accounts");
        (position(sender), position(to))
    }

    fn transfer(&self, pattern: Pattern, number: u64) -> Envelope {
        let (sender, to) = self.parties(pattern, number);
        self.sign_one(&self.senders[sender], self.addresses[sender], number, vec![self.payment(to)])
    }

    /// One unit for the account at this position.
    fn payment(&self, to: usize) -> Action {
        Action::AssetTransfer(Transfer { asset: ASSET.into(), to: self.addresses[to], amount: Amount(1) })
    }

    /// Signs the next `batches` batches of `size` transfers, on all cores.
    pub fn sign(&mut self, pattern: Pattern, batches: u64, size: u32) -> Vec<EncodedBatch> {
        self.sign_each(batches, size, |this, number| codec::encode(&this.transfer(pattern, number)))
    }

    /// The same, each signature with one bit changed: what a peer must refuse after the whole work of verifying it.
    pub fn sign_badly(&mut self, batches: u64, size: u32) -> Vec<EncodedBatch> {
        self.sign_each(batches, size, |this, number| {
            let mut envelope = this.transfer(Pattern::Spread, number);
            for signed in &mut envelope.signatures {
                // In the lower half of s: the number stays below the group's order, so that no cheap check refuses it.
                signed.signature.0[40] ^= 1;
            }
            codec::encode(&envelope)
        })
    }

    /// Transfers with JSON payloads, as bodies to be posted one by one.
    pub fn sign_json(&mut self, count: u64) -> Vec<Vec<u8>> {
        let bodies = self.sign_each(count, 1, |this, number| {
            let (sender, to) = this.parties(Pattern::Spread, number);
            let action = this.payment(to);
            let transaction = this.transaction(this.addresses[sender], number, vec![action]);
            let envelope = sign_json(&transaction, &[&this.senders[sender]]);
            serde_json::to_vec(&JsonEnvelope::from(&envelope)).expect("an envelope has only JSON's types")
        });
        bodies.into_iter().flatten().collect()
    }

    /// Log records of one topic, each a batch of its own.
    pub fn sign_logs(&mut self, count: u64, topic: &str) -> Vec<EncodedBatch> {
        self.sign_each(count, 1, |this, number| {
            let sender = usize::try_from(number % this.senders.len() as u64).expect("below the number of senders");
            let action = Action::LogAppend(Append { topic: topic.into(), digest: None, body: format!("log {number}") });
            codec::encode(&this.sign_one(&this.senders[sender], this.addresses[sender], number, vec![action]))
        })
    }

    /// Log records of one topic with a body of so many bytes, encoded one by one.
    pub fn sign_bulk(&mut self, count: u64, topic: &str, bytes: usize) -> EncodedBatch {
        let signed = self.sign_each(count, 1, |this, number| {
            let sender = usize::try_from(number % this.senders.len() as u64).expect("below the number of senders");
            let body = format!("{number} {}", "x".repeat(bytes));
            let action = Action::LogAppend(Append { topic: topic.into(), digest: None, body });
            codec::encode(&this.sign_one(&this.senders[sender], this.addresses[sender], number, vec![action]))
        });
        signed.into_iter().flatten().collect()
    }

    /// The address of an account, by its number.
    pub fn address(&self, number: usize) -> Address {
        self.addresses[number]
    }

    /// Bids of `from` and up at the auction of [`Workload::open_auction`], by two accounts in turn, each a batch of its
    /// own: they must be sent in order.
    pub fn sign_bids(&mut self, count: u64, from: u64) -> Vec<EncodedBatch> {
        let first = self.signed;
        self.sign_each(count, 1, |this, number| {
            let (amount, sender) = (from + number - first, usize::from(number % 2 == 1));
            let arguments = format!(r#"{{"amount": "{amount}"}}"#);
            let action = Action::ContractCall(Call { instance: AUCTION.into(), method: "bid".into(), arguments });
            codec::encode(&this.sign_one(&this.senders[sender], this.addresses[sender], number, vec![action]))
        })
    }

    /// Opens an auction that ends long after everything else.
    pub async fn open_auction(&mut self, connection: &Connection, channel: &str) -> Result<(), LoadError> {
        let issuer = key(self.seed, "issuer", 0).public().address();
        let define = Define { asset: LOT.into(), kind: Kind::Unique {}, ..coin() };
        let mint = MintItem { asset: LOT.into(), item: "one".into(), to: issuer, metadata: Hash([0; 32]) };
        let deploy = Deploy { contract: AUCTION.into(), engine: "builtin".into(), code: "auction".into() };
        let ends = client::now().plus_millis(AUCTION_MS);
        let arguments = format!(
            r#"{{"item": {{"asset": "{LOT}", "item": "one"}}, "currency": "{ASSET}", "ends": "{ends}",
                "reserve": "1", "minimum_increment": "1"}}"#
        );
        let create = Create { contract: AUCTION.into(), instance: AUCTION.into(), arguments };
        for action in [
            Action::AssetDefine(define),
            Action::AssetMintItem(mint),
            Action::ContractDeploy(deploy),
            Action::ContractCreate(create),
        ] {
            self.prepare(connection, channel, vec![action]).await?;
        }
        Ok(())
    }

    /// The accounts.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Transactions of 256 contract actions: each opens a lending desk, which parses its arguments, writes records and
    /// tells two events. Needs
    /// [`Workload::deploy_lending`] and [`heavy_limits`].
    pub fn sign_heavy(&mut self, batches: u64, size: u32) -> Vec<EncodedBatch> {
        let arguments = format!(r#"{{"currencies": ["{ASSET}"], "grace_seconds": 60, "registrars": ["north"]}}"#);
        self.sign_each(batches, size, |this, number| {
            let desk = |item: usize| {
                let instance = format!("desk-{number}-{item}");
                Action::ContractCreate(Create { contract: LENDING.into(), instance, arguments: arguments.clone() })
            };
            let actions = (0..ACTIONS_MAX).map(desk).collect();
            let sender = usize::try_from(number % this.senders.len() as u64).expect("below the number of senders");
            codec::encode(&this.sign_one(&this.senders[sender], this.addresses[sender], number, actions))
        })
    }

    /// Deploys the contract that heavy transactions use.
    pub async fn deploy_lending(&mut self, connection: &Connection, channel: &str) -> Result<(), LoadError> {
        let deploy = Deploy { contract: LENDING.into(), engine: "builtin".into(), code: "lending".into() };
        self.prepare(connection, channel, vec![Action::ContractDeploy(deploy)]).await
    }

    /// Commits actions of the issuer, each a transaction.
    async fn prepare(&mut self, connection: &Connection, channel: &str, actions: Vec<Action>) -> Result<(), LoadError> {
        let (issuer, what) = (key(self.seed, "issuer", 0), actions[0].type_text());
        let address = issuer.public().address();
        let envelopes: Vec<Envelope> = (self.prepared..)
            .zip(actions)
            .map(|(nonce, action)| self.sign_one(&issuer, address, nonce, vec![action]))
            .collect();
        self.prepared += envelopes.len() as u64;
        let results = connection.submit_batch(channel, &envelopes, Wait::Committed).await?;
        match results.iter().find(|result| !matches!(result, BatchResult::Committed { code: 0, .. })) {
            None if results.len() == envelopes.len() => Ok(()),
            other => Err(LoadError::Setup(format!("{what}: {other:?}"))),
        }
    }

    /// The numbers of the next `batches` times `size` transactions, made into something each by `make`, on all cores.
    fn sign_each<T: Send>(&mut self, batches: u64, size: u32, make: impl Fn(&Self, u64) -> T + Sync) -> Vec<Vec<T>> {
        let (size, first, this) = (u64::from(size), self.signed, &*self);
        let batch = |number: u64| (0..size).map(|item| make(this, first + number * size + item)).collect();
        let signed = on_all_cores(batches, batch);
        self.signed += batches * size;
        signed
    }
}

/// What `make` makes of each number below `count`, in order, on all cores.
fn on_all_cores<T: Send>(count: u64, make: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (parts, make) = (machine::cores() as u64, &make);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parts)
            .map(|part| {
                let range = count * part / parts..count * (part + 1) / parts;
                scope.spawn(move || range.map(make).collect::<Vec<T>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("making does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::formats::transaction;
    use ledger_classes::formats::transaction::{ENVELOPE_BYTES_MAX, TransactionError};
    use ledger_classes::keys::KeyCache;
    use std::collections::BTreeSet;

    #[test]
    fn transfers_are_distinct_reproducible_and_never_to_the_sender() {
        let signed = |batch: u32| {
            let mut workload = Workload::new(Hash([1; 32]), 3, 8);
            workload.valid_until = Time::from_millis(1);
            let spread = Pattern::Spread;
            let batches = [workload.sign(spread, 3, batch), workload.sign(spread, 1, batch)].concat();
            batches.concat()
        };
        let all = signed(16);
        assert_eq!((all.len(), &all), (64, &signed(16)));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 64);
        let mut senders = Vec::new();
        for bytes in &all {
            let envelope: Envelope = codec::decode(bytes, ENVELOPE_BYTES_MAX).unwrap();
            let transaction: Transaction = codec::decode(&envelope.payload, ENVELOPE_BYTES_MAX).unwrap();
            let Action::AssetTransfer(transfer) = &transaction.actions[0] else { panic!("another action") };
            let sender = envelope.signatures[0].key.address();
            assert_ne!(transfer.to, sender);
            senders.push(sender);
        }
        assert_eq!(senders[..8].iter().collect::<BTreeSet<_>>().len(), 8);
        assert_eq!(senders[..8], senders[8..16]);
    }

    #[test]
    fn patterns_choose_who_pays_whom() {
        let workload = Workload::new(Hash([1; 32]), 3, 16);
        for number in 0..1_000 {
            let (sender, to) = workload.parties(Pattern::Merchant, number);
            assert!((1..16).contains(&sender) && to == 0, "{sender} pays {to}");
            let (sender, to) = workload.parties(Pattern::Few(10), number);
            assert!(sender < 10 && to < 10 && sender != to, "{sender} pays {to}");
        }
        let payers: BTreeSet<_> = (0..15).map(|number| workload.parties(Pattern::Merchant, number).0).collect();
        assert_eq!(payers.len(), 15, "everybody but the merchant");
        assert_eq!(workload.parties(Pattern::Few(100), 15).0, 15, "no more than there are");
    }

    #[test]
    fn a_block_of_transfers_touches_two_accounts_for_each_where_there_are_enough() {
        for seed in 0..4 {
            let workload = Workload::new(Hash([1; 32]), seed, 1_000);
            for first in (0..10_000).step_by(100) {
                let parties = (first..first + 100).map(|number| workload.parties(Pattern::Spread, number));
                let touched: BTreeSet<_> = parties.flat_map(|(payer, payee)| [payer, payee]).collect();
                assert!(touched.len() >= 130, "{} by 100 from {first}, seed {seed}", touched.len());
            }
        }
    }

    #[test]
    fn a_bad_signature_is_refused_and_a_heavy_transaction_is_full() {
        let mut workload = Workload::new(Hash([1; 32]), 3, 4);
        let decode = |bytes: &[u8]| -> Envelope { codec::decode(bytes, ENVELOPE_BYTES_MAX).unwrap() };
        let parse = |envelope| transaction::parse(envelope, Hash([1; 32]), &heavy_limits());
        let good = decode(&workload.sign(Pattern::Spread, 1, 1)[0][0]);
        let bad = decode(&workload.sign_badly(1, 1)[0][0]);
        let parsed = [good, bad].map(|envelope| parse(envelope).unwrap());
        let verdicts = transaction::verify_all(parsed.into(), [7; 32], &mut KeyCache::default());
        assert!(verdicts[0].is_ok() && matches!(verdicts[1], Err((_, TransactionError::WrongSignature(_)))));
        let heavy = decode(&workload.sign_heavy(1, 1)[0][0]);
        let transaction: Transaction = codec::decode(&heavy.payload, ENVELOPE_BYTES_MAX).unwrap();
        assert_eq!(transaction.actions.len(), ACTIONS_MAX);
        assert!(parse(heavy).is_ok(), "within the limits of its channel");
    }
}
