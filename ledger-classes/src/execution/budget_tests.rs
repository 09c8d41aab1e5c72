//! What a block may cost, whoever makes it expensive.
#![allow(clippy::unwrap_used)]

use super::assets::{AssetRecord, ItemRecord, Successor};
use super::budget::{Allowed, BLOCK_COST};
use super::contracts::timers::Timer;
use super::test_support::{Ledger, address, open_config};
use super::{Fate, Ran};
use crate::action::Action;
use crate::action::assets::{Kind, Recover, Transfer, TransferBatch};
use crate::action::channel::{Propose, Revoke};
use crate::action::logs::Append;
use crate::chain::{Above, ExecutionError, Given, Invalid, Parent, RecentIds, check, tests::forced};
use crate::formats::config::{Budgets, ChannelConfig, ConfigChange, Organization};
use crate::formats::outcome::ResultCode;
use crate::formats::receipt::Receipt;
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::formats::transaction::VerifiedTransaction;
use crate::keys::{Address, KeyCache};
use crate::limits;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::Participant;
use crate::state::tree::{NoPages, StateTree};

const ADMIN: u8 = 20;

fn asset(kind: Kind) -> AssetRecord {
    AssetRecord {
        title: String::new(),
        kind,
        mint_authority: address(1),
        burn_authority: None,
        control_authority: address(1),
        metadata: None,
        supply: Amount(1 << 40),
        paused: false,
        defined_by: address(1),
        defined_height: 0,
    }
}

/// 3 was recovered for 4 and still owns so many items, which an administrator may move 256 at a time.
fn heirloom(items: u32) -> Ledger {
    let rights = [Right::Admin].into_iter().collect();
    let grants = vec![Grant { to: Grantee::Organization("alpha".into()), rights }];
    let mut ledger = Ledger::with_config(ChannelConfig { grants, ..open_config() });
    let who = |role, number: u8| Identity::new("test.example", "alpha", role, &format!("n{number}")).unwrap();
    ledger.admit(ADMIN, &who(Role::Admin, ADMIN));
    ledger.admit(4, &who(Role::Client, 4));
    let gone = Participant { revoked_height: Some(0), ..ledger.admit(3, &who(Role::Client, 3)) };
    ledger.put(keyspace::participant(&address(3)), &gone);
    ledger.put(keyspace::successor(&address(3)), &Successor { to: address(4), height: 0 });
    ledger.put(keyspace::asset("deed"), &asset(Kind::Unique {}));
    for number in 0..items {
        let item = format!("{number:08}");
        let owner = address(3);
        let record = ItemRecord {
            owner,
            metadata: Hash::ZERO,
            frozen: false,
            approved: None,
            approved_height: None,
            minted_height: 0,
            burnt_height: None,
        };
        ledger.put(keyspace::item("deed", &item), &record);
        ledger.list(keyspace::owned_item(&owner, "deed", &item));
    }
    ledger
}

fn recover() -> Action {
    Action::AccountRecover(Recover { from: address(3), to: address(4), reason: String::new(), asset: None })
}

fn bytes_of(receipts: &[Receipt]) -> usize {
    codec::encode(&receipts.to_vec()).len()
}

/// 58 KB of transactions made 12.6 MB of receipts and took 1.07 s, so that a block of the usual size would have taken
/// 70 s, and receipts that nobody could decode.
#[test]
fn a_block_ends_before_it_costs_too_much_and_what_is_left_comes_in_the_next() {
    let mut ledger = heirloom(30_000);
    let mut offered: Vec<VerifiedTransaction> =
        (0..100).map(|_| ledger.transaction(&[ADMIN], vec![recover(); 3])).collect();
    let (mut blocks, mut moved) = (0, 0);
    let Ran { costs, fates, .. } = ledger.draft(&offered);
    let included = fates.iter().filter(|fate| **fate == Fate::Included).count();
    let all: u64 = costs.iter().sum();
    assert_eq!(costs.len(), included, "what did not begin has cost nothing");
    assert!((BLOCK_COST * 98 / 100..2 * BLOCK_COST).contains(&all), "{all} is about a block");
    while !offered.is_empty() && moved < 10_000 {
        let (receipts, fates) = ledger.seal(&offered);
        let included = fates.iter().filter(|fate| **fate == Fate::Included).count();
        assert!(included > 0 && fates[..included].iter().all(|fate| *fate == Fate::Included), "in their order");
        assert!(fates[included..].iter().all(|fate| *fate == Fate::Deferred), "nothing is lost");
        let events: usize = receipts.iter().map(|receipt| receipt.events.len()).sum();
        assert!(receipts.iter().all(Receipt::is_done));
        assert!(bytes_of(&receipts) <= 4 * 1024 * 1024, "{} bytes", bytes_of(&receipts));
        offered.drain(..included);
        (blocks, moved) = (blocks + 1, moved + events);
    }
    assert!(blocks > 1 && moved >= 10_000, "{blocks} blocks, {moved} events");
}

/// Whoever makes a block that holds more is not followed.
#[test]
fn a_block_beyond_the_budget_is_invalid() {
    let mut ledger = heirloom(20_000);
    let offered: Vec<VerifiedTransaction> = (0..30).map(|_| ledger.transaction(&[ADMIN], vec![recover(); 3])).collect();
    let (history_root, orderers_root) = (Hash::ZERO, super::config_of(&ledger.state).unwrap().config.orderers().root());
    let (channel, height, hash, time) = (ledger.channel, 0, Hash([1; 32]), ledger.time);
    let parent = Parent { channel, height, hash, time, history_root, orderers_root };
    let ids = RecentIds::default();
    let (tree, certificates) = (StateTree::default(), ledger.certificates);
    let above = Above { parent: &parent, view: &ledger.state, tree: &tree, pages: &NoPages, ids: &ids, certificates };
    let given = |count: usize| {
        let transactions = offered[..count].to_vec();
        let (block, receipts) = forced(&above, ledger.time, &transactions);
        let (header, seal) = (&block.header, Some(&block.seal));
        let given = Given { header, seed: block.seed, seal, batches: &[], transactions, receipts: Some(&receipts) };
        check(&above, given, &mut KeyCache::default()).map(|block| block.ids.len())
    };
    let fitting = ledger.draft(&offered).fates.iter().filter(|fate| **fate == Fate::Included).count();
    assert!((1..29).contains(&fitting), "{fitting}");
    assert_eq!(given(fitting), Ok(fitting));
    let place = u32::try_from(fitting).expect("few");
    assert_eq!(given(fitting + 1), Err(ExecutionError::Invalid(Invalid::BudgetUsed { place })));
}

#[test]
fn a_transaction_that_does_too_much_fails_with_its_own_code() {
    // It looks at 2,048 items for each of its actions, and moves none.
    let mut ledger = heirloom(3_000);
    let deed = AssetRecord { paused: true, ..asset(Kind::Unique {}) };
    ledger.put(keyspace::asset("deed"), &deed);
    let (code, message) = ledger.one(ADMIN, vec![recover(); 64]);
    assert_eq!(code, ResultCode::BudgetExceeded, "{message}");
    ledger.done(ADMIN, vec![recover(); 2]);
}

/// What the other limits allow is within the budget: 1,024 transfers between balances that hold the most.
#[test]
fn the_largest_transfers_fit_one_transaction() {
    let mut ledger = Ledger::new();
    let locks = (0..limits::LOCKS_MAX as u64)
        .map(|number| super::assets::LockEntry {
            amount: Amount(1),
            until: ledger.time.plus_millis(1_000_000 + number),
        })
        .collect();
    let balance = super::assets::Balance { owned: Amount(1 << 30), frozen: Amount(1), locks };
    let name = "a".repeat(64);
    ledger.put(keyspace::asset(&name), &asset(Kind::Fungible { decimals: 0, supply_cap: None }));
    for number in [1, 2] {
        ledger.put(keyspace::balance(&address(number), &name), &balance);
    }
    let transfers = vec![Transfer { asset: name, to: address(2), amount: Amount(1) }; limits::BATCH_TRANSFERS_MAX];
    ledger.done(1, vec![Action::AssetTransferBatch(TransferBatch { transfers }); 4]);
}

/// Full blocks of what people do are not made shorter by it.
#[test]
fn the_largest_block_of_small_transactions_is_within_the_budget() {
    let mut ledger = Ledger::new();
    let append = |number: u64| {
        vec![Action::LogAppend(Append { topic: "t".into(), digest: None, body: format!("{number:0200}") })]
    };
    let some: Vec<VerifiedTransaction> = (0..256).map(|number| ledger.transaction(&[1], append(number))).collect();
    let few = ledger.usage(&some[..1]);
    let many = ledger.usage(&some);
    let block = Allowed::of(&Budgets::default()).block;
    let each = (many.steps - few.steps) / 255;
    assert!(each * limits::BLOCK_TRANSACTIONS_MAX as u64 <= block.steps, "{each} steps each");
    let each = (many.receipt_bytes - few.receipt_bytes) / 255;
    assert!(each * limits::BLOCK_TRANSACTIONS_MAX as u64 <= block.receipt_bytes, "{each} bytes each");
}

/// Neither keeps the other from a block.
#[test]
fn timers_and_transactions_both_have_their_part_of_each_block() {
    let mut ledger = heirloom(20_000);
    // Timers of instances that are not there fail; each costs little, and there are many.
    for number in 0..3 * limits::BLOCK_TIMERS_MAX {
        let (due, instance) = (Time::from_millis(1), format!("i{number:05}"));
        ledger.put(keyspace::timer(due, &instance, "t"), &Timer { due, instance: instance.clone(), timer: "t".into() });
    }
    let mut offered: Vec<VerifiedTransaction> =
        (0..20).map(|_| ledger.transaction(&[ADMIN], vec![recover(); 3])).collect();
    let mut blocks = Vec::new();
    while !offered.is_empty() {
        let Ran { executed, fates, .. } = ledger.draft(&offered);
        let included = fates.iter().filter(|fate| **fate == Fate::Included).count();
        ledger.seal(&offered);
        offered.drain(..included);
        blocks.push((executed.timers, included));
    }
    assert!(blocks.iter().take(2).all(|(timers, included)| *timers > 0 && *included > 0), "{blocks:?}");
    assert_eq!(blocks.iter().map(|(_, included)| included).sum::<usize>(), 20, "{blocks:?}");
}

/// Free acts that fail were kept with their receipts: copies of one good act filled a channel where all else has a price.
#[test]
fn copies_of_one_free_act_leave_one_receipt_on_a_channel_with_fees() {
    let rights = [Right::Admin].into_iter().collect();
    let grants = vec![Grant { to: Grantee::Organization("alpha".into()), rights }];
    let fees = crate::formats::config::Fees {
        asset: Some("coin".into()),
        issuer: Some(address(1)),
        base: Amount(5),
        ..Default::default()
    };
    let mut ledger = Ledger::with_config(ChannelConfig { grants, fees, ..open_config() });
    let who = Identity::new("test.example", "alpha", Role::Admin, "ann").unwrap();
    ledger.admit(ADMIN, &who);
    let revoke = Revoke { identity: who, serial: Some(HexBytes(vec![9])), reason: String::new() };
    let offered: Vec<VerifiedTransaction> =
        (0..5).map(|_| ledger.transaction(&[ADMIN], vec![Action::ParticipantRevoke(revoke.clone())])).collect();
    let (receipts, fates) = ledger.seal(&offered);
    assert_eq!((receipts.len(), receipts[0].is_done()), (1, true));
    for fate in &fates[1..] {
        assert!(matches!(fate, Fate::Dropped { code: ResultCode::CertificateIsRevoked, .. }), "{fate:?}");
    }
}

/// A channel with narrower budgets makes shorter blocks, and fails what another one would do.
#[test]
fn a_channels_own_budgets_are_those_that_its_blocks_are_held_to() {
    let narrow = |ledger: &mut Ledger| {
        let mut record = super::config_of(&ledger.state).unwrap();
        record.config.budgets = Budgets::least();
        assert_eq!(record.config.check(record.config.rules), Ok(()));
        ledger.put(keyspace::config_at(record.height), &record);
    };
    let (mut wide, mut least) = (heirloom(30_000), heirloom(30_000));
    narrow(&mut least);
    let offered: Vec<VerifiedTransaction> = (0..100).map(|_| wide.transaction(&[ADMIN], vec![recover()])).collect();
    let included = |ledger: &mut Ledger| {
        let Ran { costs, fates, executed } = ledger.draft(&offered);
        assert!(executed.receipts.iter().all(Receipt::is_done));
        assert!(costs.iter().sum::<u64>() >= BLOCK_COST * 98 / 100, "its own budget is used");
        fates.iter().filter(|fate| **fate == Fate::Included).count()
    };
    let (many, few) = (included(&mut wide), included(&mut least));
    assert!(few >= 4 && 2 * few < many, "{few} and {many}");
    // More than 768 events, and 512 are allowed there.
    wide.done(ADMIN, vec![recover(); 3]);
    let (code, message) = least.one(ADMIN, vec![recover(); 3]);
    assert_eq!(code, ResultCode::BudgetExceeded, "{message}");
}

/// The least budget is enough for what nobody may be kept from: the dearest change of a configuration, of 256 organizations
/// of which each has 64 administrators to look at, and the revocation of an identity with the most addresses.
#[test]
fn the_least_budgets_keep_nobody_from_changing_a_channel_or_revoking() {
    let who = |organization: &str, number: usize| {
        Identity::new("test.example", organization, Role::Admin, &format!("n{number}")).unwrap()
    };
    let organizations: Vec<Organization> = (0..limits::ORGANIZATIONS_MAX)
        .map(|number| Organization {
            name: if number == 0 { "alpha".into() } else { format!("o{number}") },
            title: "t".repeat(limits::TITLE_BYTES_MAX),
            authorities: vec![HexBytes(vec![0x30, u8::try_from(number).unwrap()])],
        })
        .collect();
    let admin: Rights = [Right::Admin].into_iter().collect();
    let grants = organizations.iter().map(|one| Grant { to: Grantee::Organization(one.name.clone()), rights: admin });
    let config = ChannelConfig {
        grants: grants.collect(),
        organizations: organizations.clone(),
        budgets: Budgets::least(),
        public_read: false,
        open_submit: false,
        ..open_config()
    };
    let mut ledger = Ledger::with_config(config);
    let first = ledger.admit(ADMIN, &who("alpha", 0));
    for (member, organization) in organizations.iter().enumerate() {
        let mut known = Vec::new();
        for number in 0..limits::ADMINISTRATORS_KNOWN_MAX {
            let mut bytes = [9; 20];
            bytes[..8]
                .copy_from_slice(&[member.to_le_bytes()[..4].to_vec(), number.to_le_bytes()[..4].to_vec()].concat());
            let address = Address::from_hash(Hash::plain(&[&bytes]));
            // All but the last may not sign any more, so that each is looked at.
            let last = number + 1 == limits::ADMINISTRATORS_KNOWN_MAX;
            let revoked_height = (!last).then_some(0);
            let issuer = Hash::plain(&[&organization.authorities[0].0]);
            let identity = who(&organization.name, number + 1);
            ledger.put(
                keyspace::participant(&address),
                &Participant { identity, revoked_height, issuer, ..first.clone() },
            );
            known.push(address);
        }
        ledger.put(keyspace::administrators(&organization.name), &super::channel::Administrators { known });
    }
    let change = |name: &str| {
        let title = "u".repeat(limits::TITLE_BYTES_MAX);
        let changed = Organization { title, ..organizations.iter().find(|one| one.name == name).unwrap().clone() };
        Action::ChannelPropose(Propose { changes: vec![ConfigChange::PutOrganization(changed)], reason: String::new() })
    };
    let one = ledger.transaction(&[ADMIN], vec![change("alpha")]);
    let used = ledger.usage(std::slice::from_ref(&one));
    assert!(used.steps > 20_000, "{used:?} is dear");
    ledger.done(ADMIN, vec![change("alpha")]);

    let leaver = Identity::new("test.example", "alpha", Role::Client, "leaver").unwrap();
    let numbers = 100..100 + u8::try_from(limits::ADDRESSES_MAX).unwrap();
    numbers.for_each(|number| drop(ledger.admit(number, &leaver)));
    let revoke = Revoke { identity: leaver, serial: None, reason: "r".repeat(200) };
    ledger.done(ADMIN, vec![Action::ParticipantRevoke(revoke)]);
}
