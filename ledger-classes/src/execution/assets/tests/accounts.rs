//! Rules of joint accounts.

use super::*;
use crate::execution::test_support::signer;
use crate::execution::{Members, config_of};
use crate::keys::PublicKey;
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::{NoCertificates, Participant};

fn keys(numbers: &[u8]) -> Vec<PublicKey> {
    numbers.iter().map(|number| signer(*number).public()).collect()
}

fn create(threshold: u8, keys: Vec<PublicKey>) -> Action {
    Action::AccountCreate(AccountCreate { keys, threshold })
}

fn act(account: Address) -> Action {
    Action::AccountAct(AccountAct { account })
}

/// Ed25519's neutral element: a point of small order, for which anybody can sign.
fn weak() -> PublicKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    PublicKey::ed25519(bytes)
}

/// The market with a 2-of-3 account of signers 5, 6, 7 that owns 20 `gold`.
fn joint() -> (Ledger, Address) {
    let mut ledger = market();
    let account = joint_address(2, &keys(&[5, 6, 7]));
    assert_eq!(ledger.signed(&[4, 5, 6, 7], vec![create(2, keys(&[7, 5, 6]))]).0, Code::Done);
    ledger.done(1, vec![mint("gold", account, 20)]);
    (ledger, account)
}

#[test]
fn every_rule_of_creation_has_its_code() {
    let numbers: Vec<u8> = (10..27).collect();
    let rows = [
        ("2 of 2", create(2, keys(&[5, 6])), Code::Done),
        ("1 of 1", create(1, keys(&[5])), Code::Done),
        ("16 of 16", create(16, keys(&numbers[..16])), Code::Done),
        ("17 keys", create(1, keys(&numbers)), Code::InvalidField),
        ("no keys", create(1, Vec::new()), Code::InvalidField),
        ("no threshold", create(0, keys(&[5, 6])), Code::InvalidField),
        ("a threshold above the number of keys", create(3, keys(&[5, 6])), Code::InvalidField),
        ("a key twice", create(1, keys(&[5, 6, 5])), Code::InvalidField),
        ("a key that anybody can sign for, and nobody did", create(1, vec![weak()]), Code::ThresholdNotMet),
        ("a stranger's key", create(1, keys(&[4, 99])), Code::ThresholdNotMet),
        ("a stranger's key alone", create(1, keys(&[99])), Code::ThresholdNotMet),
        ("the account exists, whatever the order of its keys", create(2, keys(&[6, 5, 7])), Code::AccountExists),
        ("another threshold is another account", create(3, keys(&[6, 5, 7])), Code::Done),
    ];
    let signers: Vec<u8> = [4, 5, 6, 7].into_iter().chain(numbers).collect();
    for (rule, action, expected) in rows {
        check_on(joint().0, rule, &signers, vec![action], expected);
    }
}

/// An account of 1 of {the attacker's key, a rival's} made the rival a co-owner of the attacker's, who was refused
/// everywhere for it; with a key beside the borrower's in control of its currency a lender's pause was no stop of its own.
#[test]
fn a_joint_account_is_made_by_all_of_its_keys() {
    let (ledger, _) = joint();
    let config = config_of(&ledger.state).unwrap().config;
    let members = Members::new(&config, &NoCertificates);
    let screened = |signers: &[u8]| {
        let transaction = ledger.clone().transaction(signers, vec![create(1, keys(&[8, 9]))]);
        crate::execution::screen(&ledger.state, &members, &transaction, ledger.time)
    };
    for (signers, code) in [(&[8][..], Code::ThresholdNotMet), (&[8, 4], Code::ThresholdNotMet), (&[9, 8], Code::Done)]
    {
        check_on(ledger.clone(), "all of its keys", signers, vec![create(1, keys(&[8, 9]))], code);
        assert_eq!(screened(signers).is_ok(), code == Code::Done, "{signers:?} before it costs a receipt");
    }
}

/// Point checks were work that nobody counted: 0.8 ms for 16 keys.
#[test]
fn keys_of_an_account_are_work_of_a_block() {
    let (mut ledger, _) = joint();
    let members: Vec<u8> = (10..26).collect();
    let made = ledger.transaction(&members, vec![create(1, keys(&members))]);
    let other = ledger.transaction(&members, vec![transfer("gold", address(4), 1)]);
    let steps = ledger.usage(&[made]).steps - ledger.usage(&[other]).steps;
    assert!((16 * 50..16 * 100).contains(&steps), "{steps}");
}

#[test]
fn an_address_covers_threshold_and_keys_in_ascending_order() {
    let mut ascending = keys(&[5, 6]);
    ascending.sort();
    let bytes: Vec<u8> = ascending.iter().flat_map(|key| [&[1], key.bytes()].concat()).collect();
    let expected = Hash::plain(&[b"chancery/joint-address/1\0\x02", &bytes]);
    assert_eq!(joint_address(2, &keys(&[5, 6])), Address::from_hash(expected));
    assert_eq!(joint_address(2, &keys(&[6, 5])), Address::from_hash(expected));
    let (ledger, account) = joint();
    let record = joint_account(&ledger.state, &account).unwrap().unwrap();
    assert_eq!((record.threshold, record.keys.len()), (2, 3));
    assert!(record.keys.is_sorted());
}

/// Each row: rule, signers, actions, code, what the joint account and signers 4 and 5 own of `gold` afterwards.
#[test]
fn every_rule_of_acting_has_its_code() {
    let (_, account) = joint();
    let pay = |to: u8, amount| transfer("gold", address(to), amount);
    let untouched = [20, 0, 0];
    #[rustfmt::skip]
    let rows: Vec<(&str, &[u8], Vec<Action>, Code, [u128; 3])> = vec![
        ("two of three", &[5, 7], vec![act(account), pay(4, 20)], Code::Done, [0, 20, 0]),
        ("all three", &[5, 6, 7], vec![act(account), pay(4, 20)], Code::Done, [0, 20, 0]),
        ("sent by a stranger", &[4, 6, 7], vec![act(account), pay(4, 1)], Code::Done, [19, 1, 0]),
        ("one of three", &[5], vec![act(account), pay(4, 1)], Code::ThresholdNotMet, untouched),
        ("one of three and a stranger", &[5, 4], vec![act(account), pay(4, 1)], Code::ThresholdNotMet, untouched),
        ("no such account", &[5, 6], vec![act(address(5)), pay(4, 1)], Code::AccountUnknown, untouched),
        ("actions before it are the sender's", &[5, 6], vec![pay(4, 1), act(account)], Code::InsufficientBalance, untouched),
        ("later actions are all the account's", &[5, 6], vec![act(account), pay(5, 5), pay(4, 5)], Code::Done, [10, 5, 5]),
    ];
    for (rule, signers, actions, expected, after) in rows {
        let ledger = check_on(joint().0, rule, signers, actions, expected);
        let own = |account| balance_of(&ledger.state, "gold", &account).unwrap().owned.0;
        assert_eq!([own(account), own(address(4)), own(address(5))], after, "{rule}");
    }
}

#[test]
fn too_few_signatures_are_refused_before_they_become_an_outcome() {
    let (ledger, account) = joint();
    let config = config_of(&ledger.state).unwrap().config;
    let members = Members::new(&config, &NoCertificates);
    let screened = |account, signers: &[u8]| {
        screen_act(&ledger.state, &members, &keys(signers), &AccountAct { account }, ledger.time)
    };
    for signers in [&[5][..], &[5, 4], &[4, 1]] {
        let refused = screened(account, signers);
        let few = matches!(refused, Err(Refusal::Rejected { code: Code::ThresholdNotMet, .. }));
        assert!(few, "{signers:?}: {refused:?}");
    }
    assert!(screened(account, &[4, 5, 6]).is_ok());
    assert!(screened(address(5), &[4]).is_ok(), "an account that is not known yet: execution decides");
}

#[test]
fn a_transaction_does_not_act_for_the_account_of_the_one_before() {
    let (mut ledger, account) = joint();
    let pay = || transfer("gold", address(4), 1);
    let receipts = ledger.run(&[(&[5, 6], vec![act(account), pay()]), (&[5, 6], vec![pay()])]);
    let codes: Vec<u16> = receipts.iter().map(|receipt| receipt.head.code).collect();
    assert_eq!(codes, [Code::Done.number(), Code::InsufficientBalance.number()]);
}

/// Once, the threshold counted every key that signed, also that of a participant who had been revoked since.
#[test]
fn a_co_signer_who_could_not_sign_alone_does_not_count() {
    let (mut ledger, account) = joint();
    let record = ledger.admit(5, &Identity::new("test.example", "alpha", Role::Client, "five").unwrap());
    let auditor = Identity::new("test.example", "alpha", Role::Auditor, "five").unwrap();
    let pay = || vec![act(account), transfer("gold", address(4), 1)];
    let ledger = check_on(ledger, "in good standing", &[6, 5], pay(), Code::Done);
    for (rule, changed) in [
        ("revoked", Participant { revoked_height: Some(2), ..record.clone() }),
        ("expired", Participant { not_after: Time::ZERO, ..record.clone() }),
        ("vouched for by nobody", Participant { authorities: Vec::new(), ..record.clone() }),
        ("an auditor", Participant { identity: auditor, ..record }),
    ] {
        let mut ledger = ledger.clone();
        ledger.put(keyspace::participant(&address(5)), &changed);
        check_on(ledger, rule, &[6, 5], pay(), Code::ThresholdNotMet);
    }
}

/// With a stolen key a thief approved an accomplice, who took everything after the key had been revoked.
#[test]
fn what_was_approved_before_a_revocation_is_void() {
    let spend = || vec![transfer_from("gold", 2, address(3), 10)];
    let take = || vec![transfer_item("art", "a", address(3))];
    let ann = Identity::new("test.example", "alpha", Role::Client, "ann").unwrap();
    let approved = |revoked: Option<u64>, before: Option<u64>| {
        let mut ledger = market();
        let record = ledger.admit(2, &ann);
        ledger.done(2, vec![approve("gold", address(3), 20), approve_item("art", "a", Some(address(3)))]);
        let height = ledger.height;
        let at = |since: Option<u64>| since.map(|since| height - 1 + since);
        let record = Participant { revoked_height: at(revoked), revoked_before: at(before), ..record };
        ledger.put(keyspace::participant(&address(2)), &record);
        ledger
    };
    for (what, revoked, before, money, item) in [
        ("good", None, None, Code::Done, Code::Done),
        ("revoked and back before", None, Some(0), Code::Done, Code::Done),
        ("revoked in that block", Some(1), None, Code::AllowanceExceeded, Code::NotTheOwner),
        ("revoked", Some(2), None, Code::AllowanceExceeded, Code::NotTheOwner),
        ("revoked and back", None, Some(2), Code::AllowanceExceeded, Code::NotTheOwner),
    ] {
        let ledger = approved(revoked, before);
        let left = allowance(&ledger.state, &address(2), &address(3), "gold").unwrap().0;
        assert_eq!(left, if money == Code::Done { 20 } else { 0 }, "{what}");
        check_on(ledger.clone(), what, &[3], spend(), money);
        check_on(ledger, what, &[3], take(), item);
    }
    // Who is back approves anew.
    let mut ledger = approved(None, Some(2));
    ledger.run(&[]);
    ledger.run(&[]);
    ledger.done(2, vec![approve("gold", address(3), 10), approve_item("art", "a", Some(address(3)))]);
    ledger.done(3, spend());
    ledger.done(3, take());
}

/// Whoever had been approved nothing was told by the refusal's words whether somebody had ever been revoked.
#[test]
fn whether_somebody_was_revoked_is_told_only_to_whom_it_had_approved_something() {
    let ann = Identity::new("test.example", "alpha", Role::Client, "ann").unwrap();
    let told = |revoked: bool, approves: bool| {
        let mut ledger = market();
        let record = ledger.admit(2, &ann);
        if approves {
            ledger.done(2, vec![approve("gold", address(4), 20)]);
        }
        let record = Participant { revoked_height: revoked.then_some(ledger.height), ..record };
        ledger.put(keyspace::participant(&address(2)), &record);
        ledger.one(4, vec![transfer_from("gold", 2, address(4), 30)])
    };
    assert_eq!(told(true, false), told(false, false));
    assert_eq!(told(true, false).0, Code::AllowanceExceeded);
    assert_ne!(told(true, true), told(false, true), "its own spender is told why");
}
