//! What parties who mean ill can do to an escrow with each action that there is: nothing but to stop it for a time, which is
//! bounded. The list of actions is closed: a new one without its attempts fails the test.
#![allow(clippy::unwrap_used)]

use super::tests::*;
use crate::action::Action;
use crate::action::apps::{Publish, Retire as RetireApp, UpdateSettings};
use crate::action::assets::{
    Approve, ApproveItem, Burn, ItemName, Lock, Recover, TransferBatch, TransferFrom, TransferItem,
};
use crate::action::channel::{
    Approve as ApproveProposal, Propose, Reinstate, RenewAuthority, Revoke, RevokeAuthority, RevokeByEvidence, Withdraw,
};
use crate::action::contracts::Retire;
use crate::action::logs::{Append, Audit};
use crate::execution::config_of;
use crate::execution::test_support::{Ledger, address};
use crate::formats::config::{ConfigChange, Fees};
use crate::formats::outcome::ResultCode as C;
use crate::formats::rights::{Grant, Grantee, Right};
use crate::keys::Address;
use crate::limits::STOPS_MS_MAX;
use crate::primitives::amount::Amount;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::state::keyspace;

/// Sells art/mona and lends: of alpha, as its administrator, who alone can change the channel.
const PARTY: u8 = 2;
const BIDDER: u8 = 3;
const BORROWER: u8 = 4;
const LENDER: u8 = 5;
const BOSS: u8 = 9;
const YEAR_MS: u64 = 365 * 86_400_000;

/// An auction with a bid, a loan that runs with deed/house as its collateral, and a request with a quote, in `eur`.
fn world() -> Ledger {
    let mut ledger = ledger();
    for (number, organization) in [(PARTY, "alpha"), (BIDDER, "beta"), (BORROWER, "beta"), (LENDER, "gamma")] {
        admit(&mut ledger, number, organization);
    }
    let boss = Identity::new("test.example", "alpha", Role::Admin, "boss").unwrap();
    ledger.admit(BOSS, &boss);
    let mut record = config_of(&ledger.state).unwrap();
    let rights = [Right::Admin].into_iter().collect();
    record.config.grants.push(Grant { to: Grantee::Identity(boss), rights });
    ledger.put(keyspace::config_at(record.height), &record);
    let funds = [PARTY, BIDDER, BORROWER, LENDER].map(|who| mint("eur", who, 5_000)).to_vec();
    let items = vec![mint_item("art", "mona", PARTY), mint_item("deed", "house", BORROWER)];
    ledger.done(ISSUER, [funds, items].concat());
    // What was allowed before the escrow is worth nothing in it.
    let (asset, item, spender) = ("art".to_owned(), "mona".to_owned(), Some(address(LENDER)));
    ledger.done(PARTY, vec![Action::AssetApproveItem(ApproveItem { asset, item, spender })]);
    ledger.done(BIDDER, vec![allow("eur", LENDER, 5_000)]);
    ledger.done(PARTY, vec![deploy("sale", "builtin", "auction")]);
    let sale = auction_arguments(&ledger, "mona", "");
    ledger.done(PARTY, vec![create("sale", "a1", &sale)]);
    ledger.done(BIDDER, vec![call("a1", "bid", r#"{"amount":"1000"}"#)]);
    let desk = r#"{"currencies":["eur"],"grace_seconds":86400,"registrars":["alpha"]}"#;
    ledger.done(PARTY, vec![create("lending", "desk", desk)]);
    let borrower = format!(r#"{{"borrower":"{}"}}"#, address(BORROWER));
    ledger.done(PARTY, vec![call("desk", "register_borrower", &borrower)]);
    for (loan, collateral, milliseconds) in
        [("l1", r#","collateral":{"item":{"asset":"deed","item":"house"}}"#, 1_000), ("l2", "", 8_000)]
    {
        let deadline = ledger.time.plus_millis(milliseconds);
        let request = format!(
            r#"{{"loan":"{loan}","asset":"eur","amount":"1000","term_seconds":31536000,"installments":1,"rate_max_bps":2000,"quote_deadline":"{deadline}"{collateral}}}"#
        );
        ledger.done(BORROWER, vec![call("desk", "request", &request)]);
        ledger.done(LENDER, vec![call("desk", "quote", &format!(r#"{{"loan":"{loan}","rate_bps":1000}}"#))]);
        if loan == "l1" {
            ledger.advance(1_000);
            assert_eq!(names(&ledger.run(&[])), ["lending.awarded"]);
        }
    }
    ledger
}

fn allow(asset: &str, spender: u8, amount: u128) -> Action {
    let (asset, spender) = (asset.to_owned(), address(spender));
    Action::AssetApprove(Approve { asset, spender, amount: Amount(amount), expected: None })
}

fn take(from: Address) -> Action {
    let (asset, to) = ("eur".to_owned(), address(LENDER));
    Action::AssetTransferFrom(TransferFrom { asset, from, to, amount: Amount(1) })
}

fn mona() -> ItemName {
    ItemName { asset: "art".into(), item: "mona".into() }
}

fn change(changes: Vec<ConfigChange>) -> Action {
    Action::ChannelPropose(Propose { changes, reason: String::new() })
}

/// Fees that nobody has, in what the lender's friend issues.
fn fees() -> Vec<ConfigChange> {
    vec![ConfigChange::SetFees(Fees {
        asset: Some("eur".into()),
        issuer: Some(address(ISSUER)),
        base: Amount(1 << 100),
        per_byte: Amount::ZERO,
        collector: None,
    })]
}

/// Attempts with one kind of action: who signs, what, and what comes of it.
fn attempts(kind: &str, ledger: &Ledger) -> Vec<(u8, Vec<Action>, C)> {
    let (desk, sale) = (account(ledger, "desk"), account(ledger, "a1"));
    let one = |who, action, code| (who, vec![action], code);
    let item =
        |to| Action::AssetTransferItem(TransferItem { asset: "art".into(), item: "mona".into(), to: address(to) });
    let hash = Hash([1; 32]);
    match kind {
        "asset.define" => ["eur", "art"]
            .map(|asset| one(ISSUER, define(asset, crate::action::assets::Kind::Unique {}), C::AssetExists))
            .to_vec(),
        "asset.mint" => vec![
            one(ISSUER, mint("eur", ISSUER, 1 << 90), C::Done),
            one(LENDER, mint("eur", LENDER, 1), C::NotTheAuthority),
        ],
        "asset.burn" => vec![
            one(ISSUER, Action::AssetBurn(Burn { asset: "eur".into(), amount: Amount(1) }), C::InsufficientBalance),
            (
                ISSUER,
                vec![act(desk), Action::AssetBurn(Burn { asset: "eur".into(), amount: Amount(1) })],
                C::AccountUnknown,
            ),
        ],
        "asset.transfer" => vec![(LENDER, vec![act(desk), transfer("eur", address(LENDER), 1)], C::AccountUnknown)],
        "asset.transfer_batch" => {
            vec![one(LENDER, Action::AssetTransferBatch(TransferBatch { transfers: vec![] }), C::InvalidField)]
        }
        "asset.approve" => vec![(ISSUER, vec![act(sale), allow("eur", ISSUER, 1)], C::AccountUnknown)],
        "asset.transfer_from" => vec![
            one(LENDER, take(desk), C::AllowanceExceeded),
            one(LENDER, take(sale), C::AllowanceExceeded),
            one(ISSUER, take(sale), C::AllowanceExceeded),
        ],
        "asset.freeze" => vec![
            one(LENDER, freeze("eur", desk, 1), C::NotTheAuthority),
            one(ISSUER, freeze("eur", desk, 1_000), C::Done),
            one(ISSUER, freeze("eur", sale, 1_000), C::Done),
            one(ISSUER, freeze("eur", address(BIDDER), 4_000), C::Done),
            one(ISSUER, freeze("eur", address(BORROWER), 1), C::Done),
        ],
        "asset.unfreeze" => vec![one(ISSUER, unfreeze("eur", desk, 1), C::NotFrozen)],
        "asset.lock" => vec![one(
            LENDER,
            Action::AssetLock(Lock { asset: "eur".into(), amount: Amount(1), until: ledger.time.plus_millis(YEAR_MS) }),
            C::Done,
        )],
        "asset.pause" => ["eur", "art", "deed"].map(|asset| one(ISSUER, pause(asset), C::Done)).to_vec(),
        "asset.resume" => vec![one(LENDER, resume("eur"), C::NotTheAuthority)],
        "asset.mint_item" => vec![one(ISSUER, mint_item("art", "mona", ISSUER), C::ItemExists)],
        "asset.burn_item" => vec![
            one(ISSUER, Action::AssetBurnItem(mona()), C::NotTheOwner),
            one(PARTY, Action::AssetBurnItem(mona()), C::NotTheOwner),
        ],
        "asset.transfer_item" => [PARTY, LENDER, ISSUER].map(|who| one(who, item(who), C::NotTheOwner)).to_vec(),
        "asset.approve_item" => {
            let ItemName { asset, item } = mona();
            let approve = Action::AssetApproveItem(ApproveItem { asset, item, spender: Some(address(PARTY)) });
            vec![one(PARTY, approve, C::NotTheOwner)]
        }
        "asset.freeze_item" => vec![
            one(PARTY, freeze_item("art", "mona"), C::NotTheAuthority),
            one(ISSUER, freeze_item("art", "mona"), C::Done),
            one(ISSUER, freeze_item("deed", "house"), C::Done),
        ],
        "asset.unfreeze_item" => vec![one(ISSUER, unfreeze_item("art", "mona"), C::NotFrozen)],
        "account.create" | "account.act" => vec![one(LENDER, act(sale), C::AccountUnknown)],
        "contract.deploy" => vec![one(PARTY, deploy("sale", "builtin", "lending"), C::ContractExists)],
        // Existing instances keep their version, and go on without their contract.
        "contract.upgrade" => vec![one(PARTY, upgrade("sale", "lending"), C::Done)],
        "contract.retire" => vec![one(PARTY, Action::ContractRetire(Retire { contract: "sale".into() }), C::Done)],
        "contract.create" => vec![one(PARTY, create("sale", "a1", "{}"), C::InstanceExists)],
        "contract.call" => vec![
            one(PARTY, call("a1", "cancel", "{}"), C::AuctionHasBids),
            one(LENDER, call("a1", "settle", "{}"), C::WrongPhase),
            one(LENDER, claim("a1", address(LENDER), "eur", None), C::NothingOwed),
            one(LENDER, call("desk", "award", r#"{"loan":"l2"}"#), C::WrongPhase),
            one(LENDER, call("desk", "cancel", r#"{"loan":"l2"}"#), C::CallerRefused),
            one(BORROWER, call("desk", "cancel", r#"{"loan":"l2"}"#), C::WrongPhase),
            one(PARTY, call("desk", "withdraw_quote", r#"{"loan":"l2"}"#), C::QuoteUnknown),
            one(LENDER, call("desk", "review", r#"{"loan":"l2"}"#), C::WrongPhase),
            one(LENDER, call("desk", "review", r#"{"loan":"l1"}"#), C::Done),
        ],
        "app.publish" => vec![one(
            PARTY,
            Action::AppPublish(Publish {
                app: "a1".into(),
                version: "1".into(),
                title: String::new(),
                bundle: hash,
                contracts: vec!["sale".into()],
                settings: "{}".into(),
            }),
            C::Done,
        )],
        "app.update_settings" => {
            vec![one(
                PARTY,
                Action::AppUpdateSettings(UpdateSettings { app: "a1".into(), settings: "{}".into() }),
                C::AppUnknown,
            )]
        }
        "app.retire" => vec![one(PARTY, Action::AppRetire(RetireApp { app: "a1".into() }), C::AppUnknown)],
        "log.append" => vec![one(
            PARTY,
            Action::LogAppend(Append { topic: "desk".into(), digest: None, body: "settled".into() }),
            C::Done,
        )],
        "log.audit" => {
            let body = Audit {
                topic: "audit.desk".into(),
                source: hash,
                previous: Hash::ZERO,
                digest: hash,
                body: String::new(),
            };
            vec![one(PARTY, Action::LogAudit(body), C::NoRight)]
        }
        // Without a CA nobody is admitted or revoked by one here; what revocations do to escrows is in the courses.
        "participant.admit" => {
            let body = crate::action::channel::Admit {
                address: address(LENDER),
                path: vec![HexBytes(vec![1])],
                possession: crate::keys::Signature([0; 64]),
            };
            vec![one(LENDER, Action::ParticipantAdmit(body), C::PathRefused)]
        }
        "participant.revoke_by_evidence" => {
            let body = RevokeByEvidence { path: vec![], evidence: HexBytes(vec![1]) };
            vec![one(LENDER, Action::ParticipantRevokeByEvidence(body), C::PathRefused)]
        }
        "participant.revoke" => {
            let revoke = |number: u8, organization: &str| {
                let identity =
                    Identity::new("test.example", organization, Role::Client, &format!("s{number}")).unwrap();
                Action::ParticipantRevoke(Revoke {
                    identity,
                    serial: Some(HexBytes(vec![number])),
                    reason: String::new(),
                })
            };
            vec![one(BOSS, revoke(BIDDER, "beta"), C::OtherOrganization), one(BOSS, revoke(PARTY, "alpha"), C::Done)]
        }
        "participant.reinstate" => {
            let identity = Identity::new("test.example", "beta", Role::Client, &format!("s{BIDDER}")).unwrap();
            let body = Reinstate { identity, reason: String::new() };
            vec![one(BOSS, Action::ParticipantReinstate(body), C::OtherOrganization)]
        }
        "channel.revoke_authority" => {
            let body = RevokeAuthority { certificate: HexBytes(vec![1]), proof: HexBytes(vec![1]), successor: None };
            vec![one(LENDER, Action::ChannelRevokeAuthority(body), C::AuthorityRefused)]
        }
        "channel.propose" => vec![
            one(BOSS, change(fees()), C::Done),
            one(BOSS, change(vec![ConfigChange::SetOpenSubmit { open_submit: false }]), C::Done),
            one(
                BOSS,
                change(["beta", "gamma"].map(|name| ConfigChange::RemoveOrganization { name: name.into() }).to_vec()),
                C::Done,
            ),
        ],
        "channel.approve" => {
            vec![one(BOSS, Action::ChannelApprove(ApproveProposal { proposal: hash }), C::ProposalUnknown)]
        }
        "channel.withdraw" => {
            vec![one(
                BOSS,
                Action::ChannelWithdraw(Withdraw { proposal: hash, reason: String::new() }),
                C::ProposalUnknown,
            )]
        }
        "channel.renew_authority" => {
            let body = RenewAuthority {
                organization: "beta".into(),
                certificate: HexBytes(vec![1]),
                proof: HexBytes(vec![1]),
            };
            vec![one(BOSS, Action::ChannelRenewAuthority(body), C::AuthorityRefused)]
        }
        // Nobody is revoked, and a contract's account is nobody's who could be.
        "account.recover" => [sale, address(BIDDER)]
            .map(|from| {
                let recover = Recover { from, to: address(PARTY), reason: String::new(), asset: None };
                one(BOSS, Action::AccountRecover(recover), C::RecoveryRefused)
            })
            .to_vec(),
        other => panic!("say what parties could do to an escrow with {other}"),
    }
}

/// What the contracts hold and say of it.
fn held(ledger: &Ledger) -> [String; 4] {
    let (desk, sale) = (account(ledger, "desk"), account(ledger, "a1"));
    let items = (owner(ledger, "art", "mona"), owner(ledger, "deed", "house"));
    let loan = |name: &str| {
        let mut loan = ask(ledger, "desk", "loan", &format!(r#"{{"loan":"{name}"}}"#));
        // What a stop moves.
        for field in ["served", "default_time"] {
            loan.as_object_mut().unwrap().remove(field);
        }
        loan.to_string()
    };
    let state = ask(ledger, "a1", "state", "{}");
    [
        format!("{} {} {items:?}", units(ledger, "eur", desk), units(ledger, "eur", sale)),
        format!("{} {}", state["phase"], state["highest"]),
        loan("l1"),
        loan("l2"),
    ]
}

#[test]
fn no_action_of_a_party_takes_from_an_escrow_and_each_contract_ends() {
    let before = world();
    let all: u128 = [PARTY, BIDDER, BORROWER, LENDER].iter().map(|who| units(&before, "eur", address(*who))).sum();
    assert_eq!((all, held(&before)[0].split(' ').take(2).collect::<Vec<_>>()), (18_000, vec!["1000", "1000"]));
    for kind in Action::TYPES {
        for (who, actions, expected) in attempts(kind, &before) {
            let what = format!("{kind} by {who}: {actions:?}");
            assert!(actions.iter().any(|action| action.type_text() == *kind) || *kind == "account.create", "{what}");
            let mut ledger = before.clone();
            let (code, message) = ledger.one(who, actions);
            assert_eq!(code, expected, "{what}: {message}");
            assert_eq!(held(&ledger), held(&before), "{what}");
            // Nobody does anything any more, and what is stopped stays so: timers end all of it.
            for wait in [20_000, STOPS_MS_MAX, 20_000, YEAR_MS + 86_400_000, STOPS_MS_MAX, 86_400_000] {
                ledger.advance(wait);
                ledger.run(&[]);
            }
            assert_ne!(ask(&ledger, "a1", "state", "{}")["phase"], "open", "{what}");
            for loan in ["l1", "l2"] {
                let status = ask(&ledger, "desk", "loan", &format!(r#"{{"loan":"{loan}"}}"#))["status"].clone();
                assert!(status != "active" && status != "quoting", "{what}: {loan} is {status}");
            }
            assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None, "{what}");
            // What could not move then is owed to whom it belongs, and no contract holds anything else.
            for instance in ["a1", "desk"] {
                let owed = ask(&ledger, instance, "owed", "{}");
                let of = |debt: &serde_json::Value| {
                    debt["what"]["units"]["amount"].as_str().map_or(0, |amount| amount.parse::<u128>().unwrap())
                };
                let sum: u128 = owed.as_array().unwrap().iter().map(of).sum();
                assert_eq!(units(&ledger, "eur", account(&ledger, instance)), sum, "{what}: {instance} owes {owed}");
            }
        }
    }
}
