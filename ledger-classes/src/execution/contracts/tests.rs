//! Rules of contracts as such: registration, versions, instances, and what a timer that fails leaves behind. Also
//! the fixture that tests of single contracts use.
#![allow(clippy::unwrap_used)]

use crate::action::Action;
use crate::action::assets::{
    AccountAct, AccountCreate, AssetName, Define, Freeze, ItemName, Kind, Mint, MintItem, Transfer,
};
use crate::action::contracts::{Call, Create, Deploy, Retire};
use crate::execution::assets;
use crate::execution::test_support::{Ledger, address};
use crate::formats::config::Organization;
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode};
use crate::formats::receipt::Receipt;
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::hash::Hash;
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::listing::Span;
use crate::state::participant::Participant;

/// Signer 1 controls the assets `eur` and `usd` (fungible) and `art` and `deed` (unique).
pub(super) const ISSUER: u8 = 1;

pub(super) fn define(asset: &str, kind: Kind) -> Action {
    Action::AssetDefine(Define {
        asset: asset.into(),
        title: asset.into(),
        kind,
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    })
}

pub(super) fn mint(asset: &str, to: u8, amount: u128) -> Action {
    Action::AssetMint(Mint { asset: asset.into(), to: address(to), amount: Amount(amount) })
}

pub(super) fn mint_item(asset: &str, item: &str, to: u8) -> Action {
    Action::AssetMintItem(MintItem { asset: asset.into(), item: item.into(), to: address(to), metadata: Hash::ZERO })
}

pub(super) fn transfer(asset: &str, to: Address, amount: u128) -> Action {
    Action::AssetTransfer(Transfer { asset: asset.into(), to, amount: Amount(amount) })
}

pub(super) fn pause(asset: &str) -> Action {
    Action::AssetPause(AssetName { asset: asset.into() })
}

pub(super) fn resume(asset: &str) -> Action {
    Action::AssetResume(AssetName { asset: asset.into() })
}

pub(super) fn freeze_item(asset: &str, item: &str) -> Action {
    Action::AssetFreezeItem(ItemName { asset: asset.into(), item: item.into() })
}

pub(super) fn unfreeze_item(asset: &str, item: &str) -> Action {
    Action::AssetUnfreezeItem(ItemName { asset: asset.into(), item: item.into() })
}

pub(super) fn deploy(contract: &str, engine: &str, code: &str) -> Action {
    Action::ContractDeploy(Deploy { contract: contract.into(), engine: engine.into(), code: code.into() })
}

pub(super) fn upgrade(contract: &str, code: &str) -> Action {
    Action::ContractUpgrade(Deploy { contract: contract.into(), engine: "builtin".into(), code: code.into() })
}

pub(super) fn create(contract: &str, instance: &str, arguments: &str) -> Action {
    Action::ContractCreate(Create { contract: contract.into(), instance: instance.into(), arguments: arguments.into() })
}

pub(super) fn call(instance: &str, method: &str, arguments: &str) -> Action {
    Action::ContractCall(Call { instance: instance.into(), method: method.into(), arguments: arguments.into() })
}

/// A ledger with assets and with the contracts `auction` and `lending` of signer 1.
pub(super) fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.done(
        ISSUER,
        vec![
            define("eur", Kind::Fungible { decimals: 2, supply_cap: None }),
            define("usd", Kind::Fungible { decimals: 2, supply_cap: None }),
            define("art", Kind::Unique {}),
            define("deed", Kind::Unique {}),
            deploy("auction", "builtin", "auction"),
            deploy("lending", "builtin", "lending"),
        ],
    );
    ledger
}

/// Makes signer `number` a participant of `organization`.
pub(super) fn admit(ledger: &mut Ledger, number: u8, organization: &str) {
    let peer_rights = crate::formats::rights::Grant {
        to: crate::formats::rights::Grantee::Organization(organization.into()),
        rights: ["write:assets", "write:contracts"].iter().map(|right| right.parse().unwrap()).collect(),
    };
    join(ledger, organization);
    let identity = Identity::new("test.example", organization, Role::Client, &format!("s{number}")).unwrap();
    ledger.admit(number, &identity);
    let mut record = super::super::config_of(&ledger.state).unwrap();
    crate::formats::config::ConfigChange::Grant(peer_rights).apply(&mut record.config);
    ledger.put(keyspace::config_at(record.height), &record);
}

/// Makes `organization` a member of the channel.
pub(super) fn join(ledger: &mut Ledger, organization: &str) {
    let member = Organization {
        name: organization.into(),
        title: String::new(),
        authorities: vec![crate::primitives::hash::HexBytes(vec![0x30])],
    };
    let mut record = super::super::config_of(&ledger.state).unwrap();
    crate::formats::config::ConfigChange::PutOrganization(member).apply(&mut record.config);
    ledger.put(keyspace::config_at(record.height), &record);
}

/// Revokes participant `number` in the last block.
pub(super) fn revoke(ledger: &mut Ledger, number: u8) {
    let key = keyspace::participant(&address(number));
    let mut participant: Participant = crate::state::record::read(&ledger.state, &key).unwrap().unwrap();
    participant.revoked_height = Some(ledger.height);
    ledger.put(key, &participant);
}

/// Freezes units of `of`.
pub(super) fn freeze(asset: &str, of: Address, amount: u128) -> Action {
    Action::AssetFreeze(Freeze { asset: asset.into(), account: of, amount: Amount(amount) })
}

/// Frees them.
pub(super) fn unfreeze(asset: &str, of: Address, amount: u128) -> Action {
    Action::AssetUnfreeze(Freeze { asset: asset.into(), account: of, amount: Amount(amount) })
}

/// Claims what an instance owes to `of`.
pub(super) fn claim(instance: &str, of: Address, asset: &str, item: Option<&str>) -> Action {
    let item = item.map(|item| format!(r#","item":"{item}""#)).unwrap_or_default();
    call(instance, "claim", &format!(r#"{{"account":"{of}","asset":"{asset}"{item}}}"#))
}

/// A joint account of `members`, one of whom is enough.
pub(super) fn joint(ledger: &mut Ledger, members: &[u8]) -> Address {
    let keys: Vec<_> = members.iter().map(|number| crate::execution::test_support::signer(*number).public()).collect();
    let account = assets::joint_address(1, &keys);
    let (code, message) = ledger.signed(members, vec![Action::AccountCreate(AccountCreate { keys, threshold: 1 })]);
    assert_eq!(code, ResultCode::Done, "{message}");
    account
}

pub(super) fn act(account: Address) -> Action {
    Action::AccountAct(AccountAct { account })
}

pub(super) fn units(ledger: &Ledger, asset: &str, of: Address) -> u128 {
    assets::balance_of(&ledger.state, asset, &of).unwrap().owned.0
}

pub(super) fn owner(ledger: &Ledger, asset: &str, item: &str) -> Address {
    assets::item(&ledger.state, asset, item).unwrap().unwrap().owner
}

pub(super) fn account(ledger: &Ledger, instance: &str) -> Address {
    super::account_of(&ledger.channel, instance)
}

pub(super) fn ask(ledger: &Ledger, instance: &str, method: &str, arguments: &str) -> serde_json::Value {
    crate::primitives::json::from_str(&super::query(&ledger.state, instance, method, arguments).unwrap()).unwrap()
}

pub(super) fn events(receipt: &Receipt) -> Vec<Event> {
    receipt.events.iter().map(|event| codec::decode(event, 1 << 20).unwrap()).collect()
}

/// Names of the contract events of a block's receipts, in order.
pub(super) fn names(receipts: &[Receipt]) -> Vec<String> {
    let name = |event: Event| match event {
        Event::ContractEmitted { name, .. } => Some(name),
        _ => None,
    };
    receipts.iter().flat_map(events).filter_map(name).collect()
}

/// Result codes of a block's receipts, in order.
pub(super) fn codes(receipts: &[Receipt]) -> Vec<ResultCode> {
    receipts.iter().map(|receipt| ResultCode::from_number(receipt.head.code).unwrap()).collect()
}

/// Runs rows of: signer, action, expected code.
pub(super) fn check(ledger: &mut Ledger, rows: Vec<(u8, Action, ResultCode)>) {
    for (signer, action, expected) in rows {
        let text = format!("{signer}: {action:?}");
        let (code, message) = ledger.one(signer, vec![action]);
        assert_eq!(code, expected, "{text}: {message}");
    }
}

/// An auction of art/mona by signer 2 in eur that ends 10 seconds from now, with `more` arguments.
pub(super) fn auction_arguments(ledger: &Ledger, item: &str, more: &str) -> String {
    let ends = ledger.time.plus_millis(10_000);
    format!(
        r#"{{"item":{{"asset":"art","item":"{item}"}},"currency":"eur","ends":"{ends}","reserve":"50","minimum_increment":"5"{more}}}"#
    )
}

#[test]
fn contracts_are_registered_once_and_changed_by_their_owner() {
    use ResultCode as C;
    let mut ledger = ledger();
    ledger.done(ISSUER, vec![mint_item("art", "mona", 2)]);
    let arguments = auction_arguments(&ledger, "mona", "");
    let long = format!("{{}}{}", " ".repeat(16 * 1024));
    let retire = |contract: &str| Action::ContractRetire(Retire { contract: contract.into() });
    check(
        &mut ledger,
        vec![
            (2, deploy("Sale", "builtin", "auction"), C::InvalidField),
            (2, deploy("sale", "wasm", "auction"), C::CodeUnknown),
            (2, deploy("sale", "builtin", "lottery"), C::CodeUnknown),
            (2, deploy("sale", "builtin", "auction"), C::Done),
            (3, deploy("sale", "builtin", "auction"), C::ContractExists),
            (3, upgrade("sale", "auction"), C::NotTheContractOwner),
            (2, upgrade("nothing", "auction"), C::ContractUnknown),
            (2, upgrade("sale", "lottery"), C::CodeUnknown),
            (2, create("nothing", "a1", "{}"), C::ContractUnknown),
            (2, create("sale", "A 1", "{}"), C::InvalidField),
            (2, create("sale", "a1", "{}"), C::ArgumentsInvalid),
            (2, create("sale", "a1", &long), C::ArgumentsInvalid),
            (2, create("sale", "a1", &arguments), C::Done),
            (2, create("sale", "a1", &arguments), C::InstanceExists),
            (2, call("a2", "bid", "{}"), C::InstanceUnknown),
            (2, call("a1", "sing", "{}"), C::MethodUnknown),
            (2, call("a1", &"x".repeat(65), "{}"), C::MethodUnknown),
            (2, call("a1", "bid", &long), C::ArgumentsInvalid),
            (2, upgrade("sale", "lending"), C::Done),
            (3, retire("sale"), C::NotTheContractOwner),
            (2, retire("nothing"), C::ContractUnknown),
            (2, retire("sale"), C::Done),
            (2, retire("sale"), C::ContractIsRetired),
            (2, upgrade("sale", "auction"), C::ContractIsRetired),
            (2, create("sale", "a2", "{}"), C::ContractIsRetired),
            // Made with version 1, an auction, which neither the upgrade nor the end of the contract changed.
            (2, call("a1", "cancel", "{}"), C::Done),
        ],
    );
    assert_eq!(super::instance(&ledger.state, "a1").unwrap().version, 1);
    assert_eq!(super::version(&ledger.state, "sale", 2).unwrap().code, "lending");
    let contract = super::contract(&ledger.state, "sale").unwrap();
    assert_eq!((contract.version, contract.retired), (2, true));
    let behind = Span { after: Some(b"auction".to_vec()), ..Span::first(9) };
    let listed: Vec<String> =
        super::contracts(&ledger.state, &behind).unwrap().items.into_iter().map(|contract| contract.name).collect();
    assert_eq!(listed, ["lending", "sale"]);
    assert_eq!(super::instances(&ledger.state, &Span::first(9)).unwrap().items.len(), 1);
    let of = |contract| {
        let listed = super::instances_of(&ledger.state, contract, &Span::first(9)).unwrap().items;
        listed.into_iter().map(|instance| instance.instance).collect::<Vec<_>>()
    };
    assert_eq!((of("sale"), of("lending"), of("sal")), (vec!["a1".to_owned()], vec![], vec![]));
    let refusal = super::query(&ledger.state, "a1", "sing", "{}");
    assert!(matches!(refusal, Err(Refusal::Rejected { code: C::MethodUnknown, .. })));
}

#[test]
fn a_timer_that_fails_tells_it_changes_nothing_and_is_not_tried_again() {
    let mut ledger = ledger();
    admit(&mut ledger, 2, "alpha");
    let desk = r#"{"currencies":["eur"],"grace_seconds":1,"registrars":["alpha"]}"#;
    ledger.done(2, vec![create("lending", "desk", desk)]);
    // No contract of ours sets such a timer.
    let (due, instance, timer) = (ledger.time, "desk".to_owned(), "none".to_owned());
    let record = super::timers::Timer { due, instance, timer };
    ledger.put(keyspace::timer(due, "desk", "none"), &record);
    ledger.put(keyspace::timer_time("desk", "none"), &record);
    let before = ledger.state.clone();
    let receipts = ledger.run(&[]);
    assert_eq!(codes(&receipts), [ResultCode::LoanUnknown]);
    let told = events(&receipts[0]);
    assert!(
        matches!(&told[..], [Event::ContractTimerFailed { instance, timer, code: 461, .. }] if instance == "desk" && timer == "none"),
        "{told:?}"
    );
    let changed: Vec<u8> = before
        .entries()
        .filter(|(key, value)| crate::state::view::ReadView::get(&ledger.state, key).unwrap().as_ref() != Some(value))
        .map(|(key, _)| key[0])
        .collect();
    assert_eq!(changed, [keyspace::Family::Timer as u8, keyspace::Family::TimerTime as u8]);
    assert_eq!(ledger.run(&[]), []);
    assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
}

/// An instance that set timers for the past could make a channel cut blocks without end, or run one block for ever.
#[test]
fn a_timer_is_never_due_in_its_own_block_and_a_timers_timer_a_second_later_at_the_earliest() {
    let ledger = ledger();
    let config = super::super::config_of(&ledger.state).unwrap().config;
    let input = crate::execution::BlockInput {
        channel: ledger.channel,
        height: 9,
        time: ledger.time,
        certificates: &crate::state::participant::NoCertificates,
        transactions: &[],
    };
    let instance = super::InstanceRecord {
        instance: "a1".into(),
        contract: "auction".into(),
        version: 1,
        created_by: Address::ZERO,
        account: Address::ZERO,
        height: 1,
    };
    let mut context = super::Context::new(&ledger.state, &input, &config);
    let next = |context: &super::Context<'_>| crate::execution::next_timer(context).unwrap().unwrap();
    for asked in [0, 500, 5_000] {
        let due = Time::from_millis(ledger.time.millis() - 100 + asked);
        super::Call::of_transaction(&mut context, &instance).set_timer("t", due).unwrap();
        assert_eq!(next(&context), due.max(ledger.time.plus_millis(1)));
        super::Call::of_timer(&mut context, &instance).set_timer("t", due).unwrap();
        assert_eq!(next(&context), due.max(ledger.time.plus_millis(1_000)));
    }
    let mut call = super::Call::of_timer(&mut context, &instance);
    assert!(call.pull_units("eur", Amount(1)).is_err(), "a timer has no caller to take from");
    let refused =
        |result: Result<(), Refusal>| matches!(result, Err(Refusal::Rejected { code: ResultCode::TooManyEffects, .. }));
    assert!(refused(call.set_timer("", ledger.time)));
    assert!(refused(call.set_timer("a\0b", ledger.time)));
    assert!(refused(call.emit("big", "x".repeat(crate::limits::CALL_DATA_BYTES_MAX + 1))));
    assert!(refused(call.write_value(&[7; 161], [1u8].as_slice().into())));
    let writes = (0..3_000).map(|_| call.write_value(b"k", [1u8].as_slice().into())).filter(Result::is_ok).count();
    assert_eq!(writes, crate::limits::CALL_EFFECTS_MAX);
}

/// Who copies an example from the documentation must not be refused.
#[test]
fn the_documents_examples_work() {
    let document = include_str!("../../../../docs/contracts.md");
    let examples: Vec<&str> = document.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [auction, desk, request] = examples[..] else { panic!("{} examples", examples.len()) };
    let mut ledger = ledger();
    admit(&mut ledger, 2, "credit-office");
    ["north-bank", "south-bank", "gallery"].iter().for_each(|name| join(&mut ledger, name));
    ledger.done(ISSUER, vec![mint_item("art", "mona", 3), mint_item("deed", "house-7", 3)]);
    let register = format!(r#"{{"borrower":"{}"}}"#, address(3));
    let rows = vec![
        (3, create("auction", "a1", auction), ResultCode::Done),
        (3, create("lending", "desk", desk), ResultCode::Done),
        (2, call("desk", "register_borrower", &register), ResultCode::Done),
        (3, call("desk", "request", request), ResultCode::Done),
    ];
    check(&mut ledger, rows);
}

/// Counts how often a state is asked for what comes next.
struct Counting<'a>(&'a crate::state::view::MemoryState, std::cell::Cell<usize>);

impl crate::state::view::ReadView for Counting<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<crate::state::view::Value>, crate::state::view::ReadError> {
        self.0.get(key)
    }

    fn first_in(
        &self,
        from: &[u8],
        end: &[u8],
    ) -> Result<Option<(Vec<u8>, crate::state::view::Value)>, crate::state::view::ReadError> {
        self.1.set(self.1.get() + 1);
        self.0.first_in(from, end)
    }
}

/// Each due timer was looked for from the first on, past all that were taken before it: a thousand auctions that end
/// at the same time cost the store half a million steps, in one block.
#[test]
fn many_timers_due_at_once_cost_the_store_a_few_steps_each() {
    const TIMERS: usize = 200;
    let mut ledger = Ledger::new();
    for number in 0..TIMERS {
        let (due, instance, timer) = (ledger.time, format!("i{number}"), "t".to_owned());
        let key = keyspace::timer(due, &instance, &timer);
        ledger.put(key, &super::timers::Timer { due, instance, timer });
    }
    let view = Counting(&ledger.state, std::cell::Cell::new(0));
    let input = crate::execution::BlockInput {
        channel: ledger.channel,
        height: 1,
        time: ledger.time,
        certificates: ledger.certificates,
        transactions: &[],
    };
    let config = crate::execution::config_of(&ledger.state).unwrap().config;
    let executed = crate::execution::run(&view, &config, &input).unwrap().executed;
    assert_eq!(executed.timers as usize, TIMERS);
    assert_eq!(executed.writes.values().filter(|value| value.is_none()).count(), 2 * TIMERS);
    assert!(view.1.get() <= 3 * TIMERS, "{} steps", view.1.get());
}
