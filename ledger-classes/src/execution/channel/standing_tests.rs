//! Who may sign, at the door and in a block, by what a participant record is worth.
#![allow(clippy::unwrap_used)]

use super::revocation_tests::{BOB, admit, append, bytes, evidence, identity, ledger_with, participant};
use crate::action::Action;
use crate::execution::test_support::{Ledger, address};
use crate::execution::{Members, config_of, screen};
use crate::formats::config::{ChannelConfig, Fees};
use crate::formats::outcome::{Refusal, ResultCode as C};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::Participant;

/// What the door and the next block say; they must agree.
fn verdict(ledger: &mut Ledger, number: u8, actions: Vec<Action>) -> C {
    let transaction = ledger.transaction(&[number], actions.clone());
    let config = config_of(&ledger.state).unwrap().config;
    let members = Members::new(&config, ledger.certificates);
    let screened = match screen(&ledger.state, &members, &transaction, ledger.time) {
        Ok(_) => C::Done,
        Err(Refusal::Rejected { code, .. }) => code,
        Err(broken) => panic!("{broken:?}"),
    };
    assert_eq!(ledger.one(number, actions).0, screened);
    screened
}

fn configure(ledger: &mut Ledger, change: impl FnOnce(&mut ChannelConfig)) {
    let mut record = config_of(&ledger.state).unwrap();
    change(&mut record.config);
    ledger.put(keyspace::config_at(record.height), &record);
}

/// Beta's CAs from here on.
fn list(ledger: &mut Ledger, cas: &[&str]) {
    configure(ledger, |config| config.organizations[1].authorities = cas.iter().map(|ca| bytes(ca)).collect());
}

fn put(ledger: &mut Ledger, number: u8, change: impl FnOnce(&mut Participant)) {
    let mut record = participant(ledger, number);
    change(&mut record);
    ledger.put(keyspace::participant(&address(number)), &record);
}

/// On channels with public rights a revoked participant went on by those: all that it had was moved after the revocation.
#[test]
fn the_publics_rights_are_for_senders_without_any_record() {
    type Before = fn(&mut Ledger);
    let nothing: Before = |_| {};
    let revoked: Before = |ledger| ledger.done(9, vec![evidence("ca of beta|1|superseded")]);
    let expired: Before = |ledger| put(ledger, 2, |bob| bob.not_after = Time::from_millis(1));
    let auditor: Before = |ledger| put(ledger, 2, |bob| bob.identity = identity("beta/auditor/bob"));
    let revoked_auditor: Before = |ledger| {
        put(ledger, 2, |bob| (bob.identity, bob.revoked_height) = (identity("beta/auditor/bob"), Some(1)));
    };
    let left: Before = |ledger| {
        configure(ledger, |config| {
            config.organizations.remove(1);
            config.grants.remove(1);
        });
    };
    for (what, before, number, on_open, on_closed) in [
        ("no record", nothing, 9, C::Done, C::NotAParticipant),
        ("a record", nothing, 2, C::Done, C::Done),
        ("revoked", revoked, 2, C::ParticipantIsRevoked, C::ParticipantIsRevoked),
        ("expired", expired, 2, C::ParticipantIsExpired, C::ParticipantIsExpired),
        ("an auditor", auditor, 2, C::NoRight, C::NoRight),
        ("a revoked auditor", revoked_auditor, 2, C::ParticipantIsRevoked, C::ParticipantIsRevoked),
        ("of no member", left, 2, C::ParticipantIsUnvouched, C::ParticipantIsUnvouched),
    ] {
        for (open, expected) in [(true, on_open), (false, on_closed)] {
            let mut ledger = ledger_with(open, Fees::default());
            before(&mut ledger);
            assert_eq!(verdict(&mut ledger, number, vec![append()]), expected, "{what}, open {open}");
            // What carries its own authority is still taken, and nothing with it.
            let act = || evidence("ca of alpha|77|superseded");
            assert_eq!(verdict(&mut ledger, number, vec![act()]), C::Done, "{what}, open {open}");
            let beside = if expected == C::Done { C::CertificateIsRevoked } else { expected };
            assert_eq!(ledger.one(number, vec![append(), act()]).0, beside, "{what}, open {open}");
        }
    }
}

#[test]
fn who_has_expired_renews_itself_with_the_next_certificate() {
    for open in [true, false] {
        let mut ledger = ledger_with(open, Fees::default());
        put(&mut ledger, 2, |bob| bob.not_after = Time::from_millis(1));
        assert_eq!(verdict(&mut ledger, 2, vec![append()]), C::ParticipantIsExpired);
        assert_eq!(admit(&mut ledger, 2, "ca of beta|70|client/bob|70"), C::Done);
        assert_eq!(verdict(&mut ledger, 2, vec![append()]), C::Done);
    }
}

/// The documented remedy for a stolen CA left all that it had vouched for able to write.
#[test]
fn a_replaced_ca_vouches_for_nobody_any_more() {
    for open in [true, false] {
        let mut ledger = ledger_with(open, Fees::default());
        for (cas, first, second) in [
            (&["ca of beta", "ca2 of beta"][..], C::Done, C::Done),
            // Another certificate of the same key.
            (&["ca of beta#2"], C::Done, C::ParticipantIsUnvouched),
            (&["ca2 of beta"], C::ParticipantIsUnvouched, C::Done),
            (&["ca3 of beta"], C::ParticipantIsUnvouched, C::ParticipantIsUnvouched),
            // Another organization's list says nothing of this one.
            (&["ca of alpha"], C::ParticipantIsUnvouched, C::ParticipantIsUnvouched),
            (&[], C::ParticipantIsUnvouched, C::ParticipantIsUnvouched),
        ] {
            list(&mut ledger, cas);
            let found = [2, 5].map(|number| verdict(&mut ledger, number, vec![append()]));
            assert_eq!(found, [first, second], "{cas:?}");
        }
        list(&mut ledger, &["ca2 of beta"]);
        assert_eq!(admit(&mut ledger, 2, BOB), C::PathRefused);
        assert_eq!(admit(&mut ledger, 2, "ca2 of beta|71|client/bob|71"), C::Done);
        assert_eq!(verdict(&mut ledger, 2, vec![append()]), C::Done);
    }
}

#[test]
fn a_revoked_ca_between_ends_what_it_vouched_for_and_another_certificate_of_it_brings_it_back() {
    let mut ledger = ledger_with(false, Fees::default());
    let leaf = "sub of beta|72|client/sue|72";
    assert_eq!(admit(&mut ledger, 72, leaf), C::Done);
    assert_eq!(verdict(&mut ledger, 72, vec![append()]), C::Done);
    ledger.done(9, vec![evidence("ca of beta|200|ca-compromise")]);
    assert_eq!(verdict(&mut ledger, 72, vec![append()]), C::ParticipantIsUnvouched);
    // As a listed CA it stands for itself.
    list(&mut ledger, &["sub of beta"]);
    assert_eq!(admit(&mut ledger, 72, leaf), C::Done);
    assert_eq!(verdict(&mut ledger, 72, vec![append()]), C::Done);
}
