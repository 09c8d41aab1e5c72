//! One channel: what its clients were told, what its blocks say, and whether the two agree.

use super::readers::{Reader, Seen};
use client::api::{BlockView, ReceiptView, SubmissionStatus};
use client::connection::Connection;
use client::query::Range;
use client::submit::{SubmitError, Wait};
use client::subscribe::Cursor;
use ledger_classes::action::Action;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::event::Event;
use ledger_classes::formats::rights::Class;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// What the clients of a channel sent, and the receipts that they were given.
#[derive(Default)]
pub(super) struct Told {
    sent: Mutex<Vec<Envelope>>,
    receipts: Mutex<BTreeMap<Hash, ReceiptView>>,
}

/// Posts to one channel and remembers.
#[derive(Clone)]
pub(super) struct Poster {
    pub(super) connection: Connection,
    pub(super) channel: String,
    pub(super) id: Hash,
    pub(super) told: Arc<Told>,
    /// Gets a permit for each answer.
    pub(super) answered: Arc<Semaphore>,
}

impl Poster {
    /// The same, with its answers counted together with those of others.
    pub(super) fn counting(self, answered: &Arc<Semaphore>) -> Self {
        Self { answered: answered.clone(), ..self }
    }

    /// Posts a transaction; `None` if the peer is gone or going.
    pub(super) async fn post(&self, signer: u8, actions: Vec<Action>) -> Option<ReceiptView> {
        let envelope = crate::harness::signed(self.id, signer, actions);
        self.told.sent.lock().expect("not poisoned").push(envelope.clone());
        self.send(&envelope).await
    }

    /// Posts what must be done.
    pub(super) async fn done(&self, signer: u8, actions: Vec<Action>) -> ReceiptView {
        let receipt = self.post(signer, actions).await.expect("the peer is there");
        assert_eq!(receipt.code, 0, "{}: {receipt:?}", self.channel);
        receipt
    }

    async fn send(&self, envelope: &Envelope) -> Option<ReceiptView> {
        let outcome = match self.connection.submit(&self.channel, envelope, Wait::Committed).await {
            Ok(outcome) => outcome,
            Err(SubmitError::Request(error)) if error.is_unavailable() => return None,
            Err(error) => panic!("{}: {error:?}", self.channel),
        };
        assert_eq!(outcome.status, SubmissionStatus::Committed, "{outcome:?}");
        let receipt = outcome.receipt.expect("committed");
        assert_eq!((outcome.id, receipt.id), (Some(envelope.id()), envelope.id()));
        let before = self.told.receipts.lock().expect("not poisoned").insert(receipt.id, receipt.clone());
        // One outcome for ever.
        assert!(before.is_none_or(|before| before == receipt), "{}: another receipt: {receipt:?}", self.channel);
        self.answered.add_permits(1);
        Some(receipt)
    }
}

/// A channel.
pub(super) struct Ledger {
    pub(super) name: String,
    pub(super) id: Hash,
    pub(super) told: Arc<Told>,
    pub(super) readers: Vec<Reader>,
    genesis: ChannelConfig,
    blocks: Vec<BlockView>,
}

impl Ledger {
    /// A channel whose configuration has not changed yet.
    pub(super) async fn new(connection: &Connection, name: &str) -> Self {
        let view = connection.channel(name).await.expect("readable");
        let readers = vec![Reader::of(None), Reader::of(Some(Class::Logs)), Reader::wire()];
        let genesis = view.config.expect("shown");
        Self { name: name.into(), id: view.id, told: Arc::default(), readers, genesis, blocks: Vec::new() }
    }

    /// Somebody who posts to it.
    pub(super) fn poster(&self, connection: &Connection) -> Poster {
        let (channel, told, answered) = (self.name.clone(), self.told.clone(), Arc::new(Semaphore::new(0)));
        Poster { connection: connection.clone(), channel, id: self.id, told, answered }
    }

    /// Highest height that a client was told of.
    pub(super) fn told_height(&self) -> u64 {
        self.told.receipts.lock().expect("not poisoned").values().map(|receipt| receipt.height).max().unwrap_or(0)
    }

    /// Hash of the block at a height that was read.
    pub(super) fn hash(&self, height: u64) -> Option<Hash> {
        Some(self.blocks.get(usize::try_from(height).ok()?)?.hash)
    }

    /// Reads the blocks that are new. The last of those before is read again: it is as it was.
    pub(super) async fn read_blocks(&mut self, connection: &Connection) {
        let mut from = Some(self.blocks.len().saturating_sub(1).to_string());
        while from.is_some() {
            let range = Range { from: from.as_deref(), limit: None };
            let page = connection.blocks(&self.name, range).await.expect("readable");
            page.items.into_iter().for_each(|block| self.take(block));
            from = page.next;
        }
    }

    fn take(&mut self, block: BlockView) {
        let height = usize::try_from(block.header.height).expect("small");
        if let Some(known) = self.blocks.get(height) {
            return assert_eq!(*known, block, "{}: another block {height}", self.name);
        }
        assert_eq!(height, self.blocks.len(), "{}: blocks follow each other", self.name);
        if let Some(last) = self.blocks.last() {
            assert_eq!(block.header.previous, last.hash, "{}: block {height}", self.name);
        }
        let receipts = block.timers.iter().chain(block.transactions.iter().map(|one| &one.receipt));
        for (index, receipt) in (0..).zip(receipts) {
            assert_eq!((receipt.height, receipt.index), (block.header.height, index), "{}", self.name);
            assert!(receipt.code == 0 || receipt.events.iter().all(failed_timer), "{receipt:?}");
        }
        // The genesis block's one envelope holds the configuration.
        let genesis = usize::from(height == 0);
        let counts = (block.header.transactions as usize, block.header.receipts as usize);
        let (transactions, timers) = (block.transactions.len(), block.timers.len());
        assert_eq!(counts, (transactions + genesis, transactions + timers), "{}: block {height}", self.name);
        self.blocks.push(block);
    }

    fn receipts(&self) -> impl Iterator<Item = &ReceiptView> {
        self.blocks
            .iter()
            .flat_map(|block| block.timers.iter().chain(block.transactions.iter().map(|one| &one.receipt)))
    }

    /// Every event with its place.
    pub(super) fn events(&self) -> Vec<Seen> {
        let mut events = Vec::new();
        for block in &self.blocks {
            let receipts = block.timers.iter().chain(block.transactions.iter().map(|one| &one.receipt));
            for receipt in receipts {
                for (event, view) in (0..).zip(&receipt.events) {
                    let cursor = Cursor::new(receipt.height, receipt.index, event, &block.hash);
                    events.push((cursor, receipt.id, view.event.clone()));
                }
            }
        }
        events
    }

    /// What was acknowledged is in the blocks, once, with the receipt that was given; what is in the blocks was sent,
    /// and is there with all of its effects or with none.
    fn check_told(&self) {
        let mut held = BTreeMap::new();
        for one in self.blocks.iter().flat_map(|block| &block.transactions) {
            assert!(held.insert(one.id, &one.receipt).is_none(), "{}: {} is there twice", self.name, one.id);
            assert_eq!(one.id, one.receipt.id);
            let happened: Vec<&Event> = one.receipt.events.iter().map(|view| &view.event).collect();
            let expected: Option<Vec<Event>> =
                one.transaction.actions.iter().map(|action| effect(one.sender, action)).collect();
            if let Some(expected) = expected.filter(|_| one.receipt.code == 0) {
                assert_eq!(happened, expected.iter().collect::<Vec<_>>(), "{}: {}", self.name, one.id);
            }
        }
        for (id, receipt) in self.told.receipts.lock().expect("not poisoned").iter() {
            assert_eq!(held.get(id), Some(&receipt), "{}: an acknowledged transaction", self.name);
        }
        let sent: BTreeSet<Hash> = self.told.sent.lock().expect("not poisoned").iter().map(Envelope::id).collect();
        for one in self.blocks.iter().flat_map(|block| &block.transactions) {
            // The peer itself posts acts on certificates.
            let audit = one.transaction.actions.iter().all(|action| matches!(action, Action::LogAudit(_)));
            assert!(audit || sent.contains(&one.id), "{}: {} by nobody", self.name, one.id);
        }
    }

    /// Sends again what has no answer, and some of what has one: each has one outcome.
    async fn send_again(&self, poster: &Poster) {
        let told: Vec<Envelope> = self.told.sent.lock().expect("not poisoned").clone();
        let answered = |id: &Hash| self.told.receipts.lock().expect("not poisoned").contains_key(id);
        let (known, unknown): (Vec<_>, Vec<_>) = told.into_iter().partition(|envelope| answered(&envelope.id()));
        for envelope in unknown.iter().chain(known.iter().rev().take(8)) {
            assert!(poster.send(envelope).await.is_some(), "{}: the peer is there", self.name);
        }
        for envelope in known.iter().rev().take(50) {
            let outcome = poster.connection.transaction(&self.name, envelope.id()).await.expect("it is there");
            let receipts = self.told.receipts.lock().expect("not poisoned");
            assert_eq!(outcome.receipt.as_ref(), receipts.get(&envelope.id()), "{}", self.name);
        }
    }

    /// What each account owns, by the events.
    fn balances(&self) -> BTreeMap<Address, u128> {
        let mut balances = BTreeMap::<Address, u128>::new();
        for view in self.receipts().flat_map(|receipt| &receipt.events) {
            match &view.event {
                Event::AssetMinted { to, amount, .. } => *balances.entry(*to).or_default() += amount.0,
                Event::AssetTransferred { from, to, amount, .. } => {
                    let left =
                        balances.get_mut(from).and_then(|owned| owned.checked_sub(amount.0).map(|left| *owned = left));
                    assert!(left.is_some(), "{}: more than {from} has is moved", self.name);
                    *balances.entry(*to).or_default() += amount.0;
                }
                _ => {}
            }
        }
        balances
    }

    /// Accounts own what the events say: nothing was made or lost.
    async fn check_balances(&mut self, connection: &Connection, supply: u128) {
        // The end of an auction may come between two reads: then all is read once more.
        for _ in 0..100 {
            self.read_blocks(connection).await;
            let expected = self.balances();
            assert_eq!(expected.values().sum::<u128>(), supply, "{}: money was made or lost", self.name);
            let mut owned = BTreeMap::new();
            let mut height = 0;
            for address in expected.keys() {
                let account = connection.account(&self.name, *address).await.expect("readable");
                height = height.max(account.height);
                owned.insert(*address, account.balances.iter().map(|balance| balance.owned.0).sum::<u128>());
            }
            if height < self.blocks.len() as u64 {
                return assert_eq!(owned, expected, "{}: at height {height}", self.name);
            }
        }
        panic!("{}: goes on and on", self.name);
    }

    /// The configuration in force is the first one with the changes of every proposal that came through, all of each.
    async fn check_configuration(&self, connection: &Connection) {
        let mut expected = self.genesis.clone();
        let proposals: BTreeMap<Hash, &Action> = self
            .blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .flat_map(|one| one.transaction.actions.iter().map(|action| (one.id, action)))
            .collect();
        for view in self.receipts().flat_map(|receipt| &receipt.events) {
            let Event::ChannelConfigured { proposal, .. } = &view.event else { continue };
            let Some(Action::ChannelPropose(proposed)) = proposals.get(proposal) else { panic!("{proposal}: unknown") };
            proposed.changes.iter().for_each(|change| change.apply(&mut expected));
        }
        let view = connection.channel(&self.name).await.expect("readable");
        assert_eq!(view.config, Some(expected), "{}", self.name);
    }

    /// All of it, with the peer there and nobody posting.
    pub(super) async fn check(&mut self, connection: &Connection, supply: u128) {
        self.read_blocks(connection).await;
        self.check_told();
        self.send_again(&self.poster(connection)).await;
        self.check_balances(connection, supply).await;
        self.check_told();
        self.check_configuration(connection).await;
    }

    /// Every subscriber saw what the ledger holds up to `until`.
    pub(super) fn check_readers(&self, until: Cursor) {
        let held = self.events();
        self.readers.iter().for_each(|reader| reader.check(&self.name, &held, until));
    }
}

/// Timers that fail say so in an event.
fn failed_timer(view: &client::api::EventView) -> bool {
    matches!(view.event, Event::ContractTimerFailed { .. })
}

/// The event of an action that has exactly one.
fn effect(sender: Address, action: &Action) -> Option<Event> {
    match action.clone() {
        Action::AssetTransfer(body) => {
            Some(Event::AssetTransferred { asset: body.asset, from: sender, to: body.to, amount: body.amount })
        }
        Action::LogAppend(body) => {
            Some(Event::LogAppended { topic: body.topic, author: sender, digest: body.digest, body: body.body })
        }
        _ => None,
    }
}
