//! Chains of several blocks with real actions, made as a proposer makes them. What a draft makes is accepted with an equal
//! result, whatever is offered; and whatever one thing is broken is refused with its own reason (`breaks.rs`).

mod breaks;
mod generated;
mod rules;
mod witnesses;

use super::{
    Checked, Draft, Drafted, ExecutedBlock, ExecutionError, Given, History, Invalid, Left, RecentIds, check, draft,
    genesis, verify_transactions,
};
use crate::action::{Action, assets, channel, logs};
use crate::execution::channel::{Proposal, ProposalState, Subject};
use crate::execution::contracts::timers::Timer;
use crate::execution::test_support::{address, open_config, signer};
use crate::formats::blinding::{Blinded, Blinder, BlindingSeed};
use crate::formats::block::{Block, Header, Seal};
use crate::formats::config::{ChannelConfig, ConfigChange, Limits};
use crate::formats::detail::{Detail, Part, PathFault, PathRefusal};
use crate::formats::receipt::{Receipt, ReceiptHead};
use crate::formats::transaction::{Encoding, Envelope, Transaction, VerifiedTransaction, parse, verify_all};
use crate::keys::{KeyCache, Signature, SigningKey};
use crate::merkle;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::participant::{CertificatePaths, CertifiedIdentity, NoCertificates, PathRules};
use crate::state::tree::NoPages;
use crate::state::view::{MemoryState, Writes};
use crate::state::{keyspace, record};
use std::collections::BTreeSet;

/// Who orders.
pub(crate) const ORDERER: u8 = 200;
/// What batches are verified with.
const SEED: [u8; 32] = [1; 32];
/// What their blocks are blinded with.
pub(crate) const DRAWN: BlindingSeed = BlindingSeed::new([2; 32]);

/// A channel with the narrowest limits that one can have.
pub(super) fn config() -> ChannelConfig {
    let limits = Limits {
        payload_bytes_max: 96 * 1024,
        actions_max: 4,
        block_transactions_max: 16,
        block_bytes_max: 104 * 1024,
        block_age_ms_max: 50,
    };
    ChannelConfig { limits, ..open_config() }
}

/// Whoever makes a chain: its blocks so far, and the state that they left.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) history: History,
    pub(super) state: MemoryState,
    nonce: u64,
    /// Who makes its blocks.
    pub(super) orderer: u8,
}

/// A sealed block with its receipts.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) block: Block,
    pub(super) receipts: Vec<Receipt>,
}

/// The seal of key `number`.
pub(super) fn seal_of(header: &Header, number: u8) -> Seal {
    Seal::of_one(&signer(number), &header.hash())
}

impl Sealed {
    fn of(executed: &ExecutedBlock) -> Self {
        let (header, transactions) = (executed.header.clone(), executed.envelopes.clone());
        let seal = seal_of(&header, ORDERER);
        let receipts = executed.receipts.iter().map(|receipt| (**receipt).clone()).collect();
        Self { block: Block { header, transactions, batches: Vec::new(), seed: executed.seed, seal }, receipts }
    }
}

impl Maker {
    pub(super) fn new(config: &ChannelConfig) -> Self {
        let mut maker = Self { history: History::new(), state: MemoryState::default(), nonce: 0, orderer: ORDERER };
        let (block, _) = genesis(config).expect("a valid configuration");
        maker.take(&Sealed { block, receipts: Vec::new() });
        maker
    }

    /// The time of the last block.
    pub(super) fn time(&self) -> Time {
        self.history.last().expect("genesis").time
    }

    pub(super) fn channel(&self) -> Hash {
        self.history.last().map(|last| last.channel).unwrap_or_default()
    }

    /// What is signed for the next block.
    pub(super) fn transaction(&mut self, actions: Vec<Action>) -> Transaction {
        self.nonce += 1;
        Transaction {
            channel: self.channel(),
            nonce: self.nonce,
            valid_until: self.time().plus_millis(60_000),
            fee_max: Amount::MAX,
            actions,
            memo: String::new(),
            sender: None,
        }
    }

    pub(super) fn envelope(&mut self, signers: &[u8], actions: Vec<Action>) -> Envelope {
        let keys: Vec<SigningKey> = signers.iter().map(|number| signer(*number)).collect();
        let sender = (signers.len() > 1).then(|| address(signers[0]));
        let transaction = Transaction { sender, ..self.transaction(actions) };
        Envelope::sign_binary(&transaction, &keys.iter().collect::<Vec<_>>())
    }

    pub(super) fn verified(&self, envelope: Envelope) -> VerifiedTransaction {
        let parsed = parse(envelope, self.channel(), &open_config().limits).expect("it is well formed");
        verify_all(vec![parsed], SEED, &mut KeyCache::default()).pop().expect("one").expect("its signatures verify")
    }

    /// Makes the next block of what is offered; the chain stays as it is.
    pub(super) fn draft(&self, millis: u64, offered: Vec<VerifiedTransaction>) -> Drafted {
        let above = self.history.above(&self.state, &NoPages, &NoCertificates).expect("genesis");
        let (proposer, time) = (address(self.orderer), self.time().plus_millis(millis));
        draft(&above, Draft { proposer, time, seed: DRAWN, transactions: offered, batches: Vec::new() })
            .expect("memory does not fail")
    }

    /// What checking the next block says; the chain stays as it is.
    pub(super) fn check(&self, sealed: &Sealed) -> Result<Checked, ExecutionError> {
        self.history.check(&sealed.block, Some(&sealed.receipts), &self.state, &NoPages, &NoCertificates, SEED)
    }

    /// Takes a valid block as the next one.
    pub(super) fn take(&mut self, sealed: &Sealed) {
        let checked = self.check(sealed).expect("a valid block");
        self.state.apply(&checked.writes);
        let _ = self.history.advance(&checked);
    }

    /// The next block of these, taken.
    pub(super) fn next(&mut self, transactions: &[(&[u8], Vec<Action>)]) -> Sealed {
        let offered: Vec<Envelope> =
            transactions.iter().map(|(signers, actions)| self.envelope(signers, actions.clone())).collect();
        let offered = offered.into_iter().map(|envelope| self.verified(envelope)).collect();
        let sealed = Sealed::of(&self.draft(7, offered).block.expect("something is offered"));
        self.take(&sealed);
        sealed
    }
}

pub(super) fn define() -> Action {
    Action::AssetDefine(assets::Define {
        asset: "usd".into(),
        title: "Money".into(),
        kind: assets::Kind::Fungible { decimals: 2, supply_cap: None },
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    })
}

pub(super) fn mint(to: u8, amount: u128) -> Action {
    Action::AssetMint(assets::Mint { asset: "usd".into(), to: address(to), amount: Amount(amount) })
}

pub(super) fn transfer(to: u8, amount: u128) -> Action {
    Action::AssetTransfer(assets::Transfer { asset: "usd".into(), to: address(to), amount: Amount(amount) })
}

pub(super) fn log(bytes: usize) -> Action {
    Action::LogAppend(logs::Append { topic: "test".into(), digest: None, body: "x".repeat(bytes) })
}

/// What anybody may post, which leaves nothing when it fails.
pub(super) fn admission() -> Action {
    let (address, path) = (address(1), vec![HexBytes(vec![0x30])]);
    Action::ParticipantAdmit(channel::Admit { address, path, possession: Signature([0; 64]) })
}

/// Five blocks: money, transfers of which one fails, joint accounts, logs.
pub(super) fn chain() -> (Maker, Vec<Sealed>) {
    let mut maker = Maker::new(&config());
    let keys = [2, 3].map(|number| signer(number).public()).to_vec();
    let joint = Action::AccountCreate(assets::AccountCreate { keys, threshold: 2 });
    let blocks = vec![
        maker.next(&[(&[1], vec![define(), mint(1, 1_000), mint(2, 500)])]),
        maker.next(&[(&[1], vec![transfer(2, 10)]), (&[2], vec![transfer(3, 7)]), (&[4], vec![transfer(1, 1)])]),
        maker.next(&[(&[2, 3], vec![joint]), (&[1], vec![log(10), log(20)])]),
        maker.next(&[(&[3], vec![transfer(1, 1)]), (&[1], vec![transfer(3, 2)])]),
        maker.next(&[(&[1], vec![transfer(2, 3)]), (&[2], vec![transfer(1, 4), log(0)])]),
    ];
    (maker, blocks)
}

#[test]
fn a_chain_of_several_blocks_is_accepted_from_its_genesis_on() {
    let (maker, blocks) = chain();
    let codes: Vec<u16> = blocks.iter().flat_map(|sealed| &sealed.receipts).map(|receipt| receipt.head.code).collect();
    assert_eq!(codes.len(), 10);
    assert_eq!(codes.iter().filter(|code| **code != 0).count(), 1, "one has failed, and is in its block: {codes:?}");
    let mut other = Maker::new(&config());
    blocks.iter().for_each(|sealed| other.take(sealed));
    assert_eq!((other.state, other.history.last()), (maker.state, maker.history.last()));
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % bound
    }
}

/// Something that may be offered: good, failing, late, early, too large, too long, of no use, or one of before.
fn offer(maker: &mut Maker, random: &mut Random, before: &[VerifiedTransaction]) -> VerifiedTransaction {
    let who = u8::try_from(1 + random.below(4)).expect("small");
    let to = u8::try_from(1 + random.below(4)).expect("small");
    let amount = u128::from(1 + random.below(300));
    let actions = vec![transfer(to, amount)];
    let usual = maker.transaction(actions.clone());
    let valid = |millis: u64| Transaction { valid_until: Time::from_millis(millis), ..usual.clone() };
    let now = maker.time().millis();
    let transaction = match random.below(14) {
        0 => valid(now.saturating_sub(1)),
        1 => valid(now + random.below(30)),
        2 => valid(now + crate::limits::VALIDITY_MS_MAX + random.below(30)),
        3 => maker.transaction(vec![log(0); 5]),
        4 => maker.transaction(vec![admission()]),
        5 => maker.transaction(vec![log(16 * 1024); 4]),
        6 => {
            let mut payload = serde_json::to_vec(&usual).expect("a transaction serializes");
            payload.resize(96 * 1024 + 1, b' ');
            return maker.verified(Envelope::sign(Encoding::Json, payload, &[&signer(who)]));
        }
        7 | 8 if !before.is_empty() => {
            let place = usize::try_from(random.below(before.len() as u64)).expect("small");
            return before[place].clone();
        }
        _ => usual,
    };
    maker.verified(Envelope::sign_binary(&transaction, &[&signer(who)]))
}

/// The property that makes one rule of several programs.
#[test]
fn what_a_draft_makes_is_accepted_with_an_equal_result_and_nothing_offered_is_lost() {
    let (mut made, mut timers, mut left_over) = (0, 0, [0; 3]);
    for seed in 0..12 {
        let mut random = Random(seed);
        let mut maker = Maker::new(&config());
        maker.next(&[(&[1], vec![define(), mint(1, 1_000), mint(2, 500)])]);
        let (mut before, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..12 {
            let mut offered: Vec<VerifiedTransaction> = std::mem::take(&mut waiting);
            for _ in 0..random.below(24) {
                offered.push(offer(&mut maker, &mut random, &before));
                before.extend(offered.last().cloned());
            }
            if random.below(3) == 0 {
                // Its receipt, that it failed, comes first.
                let (due, instance, timer) = (maker.time(), "none".to_owned(), "t".to_owned());
                let key = keyspace::timer(due, &instance, &timer);
                let value = record::to_value(&Timer { due, instance, timer });
                maker.state.apply(&Writes::from([(key, Some(value))]));
            }
            let ids: Vec<Hash> = offered.iter().map(VerifiedTransaction::id).collect();
            let Drafted { block, left } = maker.draft(random.below(20), offered);
            let Left { known, refused, deferred, costs } = left;
            left_over = [left_over[0] + known.len(), left_over[1] + refused.len(), left_over[2] + deferred.len()];
            let included: Vec<Hash> = block.iter().flat_map(|block| block.ids.iter().map(|(id, _)| *id)).collect();
            let mut found: Vec<Hash> = included.iter().chain(&known).copied().collect();
            found.extend(refused.iter().map(|(id, _)| *id).chain(deferred.iter().map(VerifiedTransaction::id)));
            assert!(costs.len() >= included.len());
            let place = |id: Hash| ids.iter().position(|offered| *offered == id);
            let first = deferred.first().and_then(|one| place(one.id()));
            assert!(included.iter().all(|id| first.is_none_or(|first| place(*id) < Some(first))), "in their order");
            waiting = deferred;
            let sorted = |mut ids: Vec<Hash>| {
                ids.sort_unstable();
                ids
            };
            assert_eq!(sorted(found), sorted(ids), "seed {seed}: everything offered is somewhere, once");
            let Some(block) = block else {
                assert!(included.is_empty());
                continue;
            };
            let sealed = Sealed::of(&block);
            let keys = &mut KeyCache::default();
            let again = verify_transactions(&sealed.block.transactions, maker.channel(), SEED, keys)
                .expect("they were verified");
            let above = maker.history.above(&maker.state, &NoPages, &NoCertificates).expect("genesis");
            for seal in [Some(&sealed.block.seal), None] {
                let header = &sealed.block.header;
                let (transactions, receipts) = (again.clone(), Some(sealed.receipts.as_slice()));
                let given = Given { header, seed: DRAWN, seal, batches: &[], transactions, receipts };
                assert_eq!(check(&above, given, keys).as_ref(), Ok(&block), "seed {seed}");
            }
            for (id, place) in &block.ids {
                assert_eq!(
                    block.receipt_of(id).map(|receipt| (receipt.head.id, receipt.head.index)),
                    Some((*id, *place))
                );
            }
            timers += block.receipts.len() - block.ids.len();
            maker.take(&sealed);
            made += 1;
        }
    }
    assert!(timers > 20, "{timers}");
    assert!(made > 50 && left_over.iter().all(|count| *count > 20), "{made} blocks, left {left_over:?}");
}

/// A block may be executed before it is sealed; who may seal it is asked then.
#[test]
fn a_draft_of_nobody_who_orders_is_refused_and_so_is_time_that_goes_back() {
    let (mut maker, _) = chain();
    let envelope = maker.envelope(&[1], vec![log(1)]);
    let transactions = vec![maker.verified(envelope)];
    let above = maker.history.above(&maker.state, &NoPages, &NoCertificates).expect("genesis");
    let offer = |proposer, time, seed| {
        draft(&above, Draft { proposer, time, seed, transactions: transactions.clone(), batches: Vec::new() })
    };
    let refused = |proposer, time| match offer(proposer, time, DRAWN) {
        Err(ExecutionError::Invalid(invalid)) => invalid.name(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(address(1), maker.time()), "proposer");
    let earlier = Time::from_millis(maker.time().millis() - 1);
    assert_eq!(refused(address(ORDERER), earlier), "time-goes-back");
    let nothing_drawn = offer(address(ORDERER), maker.time(), BlindingSeed::GENESIS);
    assert_eq!(nothing_drawn.map(|_| ()), Err(ExecutionError::Invalid(Invalid::BlindingSeed)));
    assert_eq!(above.parent.time_at(earlier), maker.time(), "whatever the clock does");
    let later = maker.time().plus_millis(86_400_000);
    assert_eq!(above.parent.time_at(later), later, "no rule asks a clock");
}

/// Everybody who may read anything has headers: no root in them is a hash that can be guessed.
#[test]
fn a_header_shows_no_root_without_its_blinding() {
    let (_, blocks) = chain();
    let mut maker = Maker::new(&config());
    for sealed in &blocks {
        let checked = maker.check(sealed).expect("a valid block");
        let plain = |receipt: &Receipt| {
            let events: Vec<Hash> = receipt.events.iter().map(|event| merkle::leaf_hash(event)).collect();
            let head = ReceiptHead { events_root: merkle::root(&events), ..receipt.head.clone() };
            let detail = receipt.head.detail.map(|_| merkle::leaf_hash(&codec::encode(&receipt.detail)));
            assert!(detail.is_none() || detail != receipt.head.detail, "why it failed has its blinding");
            [ReceiptHead { detail, ..head }, receipt.head.clone()].map(|head| merkle::leaf_hash(&codec::encode(&head)))
        };
        let leaves: Vec<[Hash; 2]> = sealed.receipts.iter().map(plain).collect();
        let (written, header) = (crate::formats::block::write_leaves(&checked.writes), codec::encode(&checked.header));
        let mut roots = vec![merkle::root(&written), checked.tree.root()];
        roots.extend([0, 1].map(|which| merkle::root(&leaves.iter().map(|leaf| leaf[which]).collect::<Vec<_>>())));
        roots.extend(leaves.concat());
        let shown = |hash: &Hash| header.windows(32).any(|window| window == hash.0);
        assert!(!roots.iter().any(shown), "block {}", checked.header.height);
        let blinder = sealed.block.blinder();
        for (receipt, head) in (0u32..).zip(sealed.receipts.iter().map(|receipt| &receipt.head)) {
            let leaf = |(index, event): (u32, &Vec<u8>)| blinder.leaf(Blinded::Event { receipt, index }, event);
            let leaves: Vec<Hash> = (0u32..).zip(&sealed.receipts[receipt as usize].events).map(leaf).collect();
            assert_eq!(head.events_root, merkle::root(&leaves), "each event by its own");
            let detail = codec::encode(&sealed.receipts[receipt as usize].detail);
            let detail = (head.code != 0).then(|| blinder.leaf(Blinded::Detail { receipt }, &detail));
            assert_eq!(head.detail, detail, "why it failed by its own");
        }
        maker.take(sealed);
    }
}

/// A walk from genesis on keeps no more ids than can come again.
#[test]
fn ids_are_forgotten_when_no_block_can_hold_them_any_more() {
    let (mut maker, _) = chain();
    let envelope = maker.envelope(&[1], vec![log(1)]);
    let one = maker.verified(envelope);
    let (id, until) = (one.id(), one.transaction().valid_until);
    let mut ids = RecentIds::default();
    let knows = |ids: &RecentIds| super::CommittedIds::have(ids, std::slice::from_ref(&one)).expect("memory") == [true];
    ids.take(maker.time(), [(until, id)]);
    assert!(knows(&ids));
    ids.take(until, []);
    assert!(knows(&ids), "it is valid at that time, too");
    ids.take(until.plus_millis(1), []);
    assert!(!knows(&ids));
}

/// Blocks that their proposer broke are all alike in this: header and seal fit what is in them.
pub(crate) fn forced(
    above: &super::Above<'_>,
    time: Time,
    transactions: &[VerifiedTransaction],
) -> (Block, Vec<Receipt>) {
    let record = crate::execution::config_of(above.view).expect("memory does not fail");
    let input = crate::execution::BlockInput {
        channel: above.parent.channel,
        height: above.parent.height + 1,
        time,
        certificates: above.certificates,
        transactions,
    };
    let mut ran = crate::execution::run(above.view, &record.config, &input).expect("memory does not fail");
    let blinder = Blinder::new(&DRAWN, &above.parent.hash);
    ran.executed.receipts.iter_mut().for_each(|receipt| receipt.blind(&blinder));
    let leaves: Vec<Hash> = transactions.iter().map(VerifiedTransaction::leaf).collect();
    let tree = above.tree.update(above.pages, &ran.executed.writes).expect("memory does not fail");
    let count = |number: usize| u32::try_from(number).expect("few");
    let header = Header {
        version: crate::formats::block::BLOCK_VERSION,
        channel: above.parent.channel,
        height: above.parent.height + 1,
        previous: above.parent.hash,
        time,
        transaction_root: merkle::root(&leaves),
        receipt_root: merkle::root(&crate::formats::block::receipt_leaves(&ran.executed.receipts, &blinder)),
        batch_root: merkle::empty_root(),
        writes_root: crate::formats::block::writes_root(&ran.executed.writes, &blinder),
        state_root: tree.state_root(above.pages, &blinder).expect("memory does not fail"),
        history_root: above.parent.history_root,
        orderers_root: above.parent.orderers_root,
        config_height: record.height,
        proposer: address(ORDERER),
        transactions: count(transactions.len()),
        receipts: count(ran.executed.receipts.len()),
        batches: 0,
    };
    let seal = seal_of(&header, ORDERER);
    let envelopes: Vec<Vec<u8>> = transactions.iter().map(|one| one.envelope().to_vec()).collect();
    (Block { header, transactions: envelopes.into(), batches: Vec::new(), seed: DRAWN, seal }, ran.executed.receipts)
}

/// Refuses every path, for this reason.
struct Refuses(PathFault);

impl CertificatePaths for Refuses {
    fn verify(&self, _: PathRules, _: &[&[u8]], _: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        Err(self.0.into())
    }

    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("alpha".into())
    }
}

/// What a receipt tells beside its code is hashed as everything else of it: two builds whose certificate rules disagree about
/// a reason disagree about the block.
#[test]
fn a_build_that_refuses_a_path_for_another_reason_is_told_apart() {
    let (mut maker, _) = chain();
    let envelope = maker.envelope(&[1], vec![log(1), admission()]);
    let transactions = vec![maker.verified(envelope)];
    let paths = Refuses(PathFault::UnknownIssuer);
    let above = maker.history.above(&maker.state, &NoPages, &paths).expect("genesis");
    let (proposer, time) = (address(ORDERER), maker.time());
    let drafted = draft(&above, Draft { proposer, time, seed: DRAWN, transactions, batches: Vec::new() });
    let made = drafted.expect("memory does not fail").block.expect("it has failed, and stays");
    assert_eq!(made.receipts[0].head.code, 300, "path-refused");
    let refusal = PathFault::UnknownIssuer.into();
    assert_eq!(made.receipts[0].detail, Detail::Path { refusal });
    let Sealed { block, receipts } = Sealed::of(&made);
    for (fault, verdict) in
        [(PathFault::UnknownIssuer, Ok(made.hash)), (PathFault::Expired, Err(Invalid::ReceiptRoot.into()))]
    {
        let checked = maker.history.check(&block, Some(&receipts), &maker.state, &NoPages, &Refuses(fault), SEED);
        assert_eq!(checked.map(|checked| checked.hash), verdict, "{fault}");
    }
}

/// Ids that come back to a chain after it has moved on, through every way in.
#[test]
fn an_id_is_in_one_block_for_ever() {
    let (mut maker, _) = chain();
    let envelope = maker.envelope(&[1], vec![log(1)]);
    let one = maker.verified(envelope);
    let mut heights = BTreeSet::new();
    for _ in 0..4 {
        let Drafted { block, left } = maker.draft(5, vec![one.clone(), one.clone()]);
        match block {
            Some(block) => {
                assert_eq!((block.ids.len(), left.known.as_slice()), (1, &[one.id()][..]), "the second is left out");
                heights.insert(block.header.height);
                maker.take(&Sealed::of(&block));
            }
            None => assert_eq!(left.known, [one.id(); 2]),
        }
    }
    assert_eq!(heights.len(), 1);
}

fn leaf_of(envelope: &[u8]) -> Hash {
    crate::formats::transaction::leaf(&crate::formats::transaction::id_of(envelope).expect("an envelope"), envelope)
}
