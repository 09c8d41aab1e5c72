//! Those who send. Each has a key, sends its transactions in order, some of them again, and whatever has no outcome until it
//! has one.

use super::Random;
use crate::pipeline::submission::Submission;
use ledger_classes::action::{Action, logs};
use ledger_classes::formats::config::{
    Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization, Witnesses,
};
use ledger_classes::formats::transaction::{Envelope, Transaction};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::rules;
use ledger_classes::rules::RULES;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// When a simulation begins, by the clock on the wall.
pub(super) const BEGIN: Time = Time::from_millis(1_795_000_000_000);
pub(super) const CLIENTS: usize = 5;
/// Transactions of each, at most.
pub(super) const EACH: usize = 500;

/// What all runs share: the configuration, and transactions that are signed once.
pub(super) struct Prepared {
    pub(super) config: ChannelConfig,
    pub(super) channel: Hash,
    /// Of each client, in order.
    pub(super) envelopes: Vec<Vec<(Hash, Envelope)>>,
}

/// The key of the one that orders alone, and those of several.
pub(super) fn seal_key(peer: u8) -> SigningKey {
    SigningKey::from_seed(&[200 + peer; 32])
}

pub(super) static PREPARED: LazyLock<Prepared> =
    LazyLock::new(|| prepare(config(RULES, Engine::Solo, 1, Witnesses::Own), EACH, until));

/// Peers of a channel that several order.
pub(super) const PEERS: u8 = 3;
/// Transactions of each client of it.
pub(super) const EACH_OF_SEVERAL: usize = 120;
/// By the policy of witnesses: as many as seal, or all. Several peers come with the next number of the rules.
pub(super) static OF_SEVERAL: LazyLock<[Prepared; 2]> = LazyLock::new(|| {
    rules::know_next();
    [Witnesses::Quorum, Witnesses::All]
        .map(|policy| prepare(config(rules::NEXT, Engine::Raft, PEERS, policy), EACH_OF_SEVERAL, until_of_several))
});

/// Some expire while a run goes on whose clock jumps by hours.
fn until(number: usize) -> Time {
    let hours = if number % 17 == 3 { 1 } else { 20 };
    BEGIN.plus_millis(hours * 3_600_000 + number as u64 * 40)
}

/// Some are over a second or two after they are sent first: what takes longer, such as an election, is too late for them.
fn until_of_several(number: usize) -> Time {
    match number % 6 == 4 {
        true => BEGIN.plus_millis(1_000 + number as u64 * 110),
        false => until(number),
    }
}

fn prepare(config: ChannelConfig, each: usize, until: fn(usize) -> Time) -> Prepared {
    let (block, _) = ledger_classes::chain::genesis(&config).expect("a valid configuration");
    let channel = block.header.hash();
    let of_client = |client: usize| {
        let key = SigningKey::from_seed(&[u8::try_from(client).expect("few") + 1; 32]);
        let signed = |number: usize| {
            let transaction = Transaction { valid_until: until(number), ..transaction(channel, client, number) };
            let envelope = Envelope::sign_binary(&transaction, &[&key]);
            (envelope.id(), envelope)
        };
        (0..each).map(signed).collect()
    };
    Prepared { config, channel, envelopes: (0..CLIENTS).map(of_client).collect() }
}

fn config(rules: u32, engine: Engine, peers: u8, witnesses: Witnesses) -> ChannelConfig {
    let peer = |number: u8| {
        let identity = Identity::new("test.example", "bank", Role::Peer, &format!("peer{number}")).expect("valid");
        OrderingPeer { identity, key: seal_key(number).public(), weight: 1 }
    };
    ChannelConfig {
        rules,
        name: "main".into(),
        consortium: "test.example".into(),
        created: BEGIN,
        salt: HexBytes(vec![7; 16]),
        engine,
        peers: (0..peers).map(peer).collect(),
        threshold: u64::from(peers) / 2 + 1,
        organizations: vec![Organization { name: "bank".into(), title: "Bank".into(), authorities: vec![] }],
        grants: vec![],
        public_read: true,
        open_submit: true,
        limits: Limits { block_transactions_max: 16, block_age_ms_max: 20, ..Limits::default() },
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses,
        budgets: Default::default(),
    }
}

/// Short and long ones. An id covers no signatures, so the nonce tells whose it is.
fn transaction(channel: Hash, client: usize, number: usize) -> Transaction {
    let length = if number % 13 == 5 { 2_000 } else { number % 40 };
    let append = logs::Append { topic: "test".into(), digest: None, body: "x".repeat(length) };
    let nonce = (client * EACH + number) as u64;
    Transaction {
        channel,
        nonce,
        valid_until: until(number),
        fee_max: Amount::ZERO,
        actions: vec![Action::LogAppend(append)],
        memo: String::new(),
        sender: None,
    }
}

/// What was sent and has no answer yet.
pub(super) struct Out {
    pub(super) numbers: Vec<usize>,
    pub(super) submission: Submission,
}

/// One who sends.
#[derive(Default)]
pub(super) struct Client {
    /// The next one that was never sent.
    next: usize,
    /// Sent, without an outcome that lasts, and perhaps not under way.
    again: BTreeSet<usize>,
    /// Whose outcome is known.
    known: BTreeSet<usize>,
    pub(super) out: Vec<Out>,
}

impl Client {
    /// What it sends next: what has no outcome, then what is new; at times something that was sent before.
    pub(super) fn chooses(&mut self, random: &mut Random, fresh: bool) -> Vec<usize> {
        if self.next > 0 && random.one_in(6) {
            return vec![random.below(self.next)];
        }
        let count = random.choose(&[1, 1, 1, 4]);
        let mut numbers: Vec<usize> = self.again.iter().copied().take(count).collect();
        while fresh && numbers.len() < count && self.next < EACH {
            numbers.push(self.next);
            self.next += 1;
        }
        self.again.retain(|number| !numbers.contains(number));
        numbers
    }

    /// These have no outcome.
    pub(super) fn has_none(&mut self, numbers: impl IntoIterator<Item = usize>) {
        self.again.extend(numbers.into_iter().filter(|number| !self.known.contains(number)));
    }

    pub(super) fn knows(&mut self, number: usize) {
        self.known.insert(number);
        self.again.remove(&number);
    }

    /// Whether something else that was sent holds it, too.
    pub(super) fn is_out(&self, number: usize) -> bool {
        self.out.iter().any(|out| out.numbers.contains(&number))
    }

    /// The peer is gone, and with it all answers.
    pub(super) fn cut_off(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.has_none(out.into_iter().flat_map(|out| out.numbers));
    }

    pub(super) fn is_content(&self) -> bool {
        self.out.is_empty() && self.again.is_empty()
    }
}
