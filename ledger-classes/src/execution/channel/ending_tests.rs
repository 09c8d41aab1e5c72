//! What ends more than a certificate: an identity, by its organization; a CA whose key others have, by that key. And how
//! much of what is free an organization may have a channel keep.
#![allow(clippy::unwrap_used)]

use super::pace::{Kind, Pace};
use super::revocation_tests::{
    BOB, CY, Readable, admission, admit, append, by_name, bytes, evidence, identity, key_of, ledger, participant,
    somebody, standing, told,
};
use crate::action::Action;
use crate::action::channel::{Approve, Propose, Reinstate, Revoke, RevokeAuthority};
use crate::execution::config_of;
use crate::execution::test_support::Ledger;
use crate::formats::config::{Approvals, ConfigChange, Organization};
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode as C;
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::limits::{
    ADDRESSES_MAX, ADMISSION_MS, ADMISSIONS_SAVED, AUTHORITY_PROOF_BYTES_MAX, MEMO_BYTES_MAX, NAMED_ACT_MS,
    NAMED_ACTS_SAVED, UNMET_REVOCATION_MS, UNMET_REVOCATIONS_SAVED,
};
use crate::primitives::hash::HexBytes;
use crate::state::keyspace;
use crate::state::participant::authority_compromise_message;

fn end(name: &str) -> Action {
    Action::ParticipantRevoke(Revoke { identity: identity(name), serial: None, reason: "left".into() })
}

fn reinstate(name: &str) -> Action {
    Action::ParticipantReinstate(Reinstate { identity: identity(name), reason: "back".into() })
}

const BOBS: &str = "beta/client/bob";

/// An administrator revoked a certificate by its number; the earlier one of the same person was admitted again, and so was
/// what it was renewed to.
#[test]
fn an_identity_ends_with_all_its_certificates_and_none_of_them_comes_back() {
    let mut ledger = ledger();
    let renewed = "ca of beta|50|client/bob|50";
    assert_eq!(told(&mut ledger, 20, end(BOBS)), [somebody("bob", 1), somebody("bob", 2)]);
    // Another of the same key, and one of another CA under the same number, are others.
    assert_eq!(standing(&ledger), [1, 4, 5]);
    for (number, leaf) in
        [(2, BOB), (3, "ca of beta|2|client/bob|13"), (70, renewed), (71, "ca2 of beta|1|client/bob|71")]
    {
        assert_eq!(admit(&mut ledger, number, leaf), C::IdentityIsEnded, "{leaf}");
    }
    assert_eq!(ledger.one(20, vec![end(BOBS)]).0, C::IdentityIsEnded);
    ledger.done(20, vec![reinstate(BOBS)]);
    // Who had them when it ended has them still.
    for (number, leaf) in [(2, BOB), (70, BOB), (3, "ca of beta|2|client/bob|13")] {
        assert_eq!(admit(&mut ledger, number, leaf), C::CertificateIsRevoked, "{leaf}");
    }
    assert_eq!(admit(&mut ledger, 2, renewed), C::Done);
    assert_eq!(standing(&ledger), [1, 2, 4, 5]);
    assert_eq!(participant(&ledger, 2).revoked_before, participant(&ledger, 3).revoked_height, "offers stay void");
    // Once more, and then this one is out as well.
    assert_eq!(told(&mut ledger, 20, end(BOBS)), [somebody("bob", 50)]);
    ledger.done(20, vec![reinstate(BOBS)]);
    assert_eq!(admit(&mut ledger, 2, renewed), C::CertificateIsRevoked);
    assert_eq!(admit(&mut ledger, 2, "ca of beta|51|client/bob|51"), C::Done);
}

#[test]
fn who_may_end_and_reinstate_an_identity() {
    let long = "x".repeat(MEMO_BYTES_MAX + 1);
    let (to_long, back_long) = (
        Revoke { identity: identity(BOBS), serial: None, reason: long.clone() },
        Reinstate { identity: identity(BOBS), reason: long },
    );
    let ended = |ledger: &mut Ledger| ledger.done(20, vec![end(BOBS)]);
    let nothing = |_: &mut Ledger| {};
    type Row<'a> = (&'a dyn Fn(&mut Ledger), u8, Action, C);
    let rows: [Row<'_>; 10] = [
        (&nothing, 1, end(BOBS), C::NoRight),
        (&nothing, 5, end(BOBS), C::NoRight),
        (&nothing, 20, end("alpha/client/ann"), C::OtherOrganization),
        (&nothing, 20, end("beta/client/nobody"), C::Done),
        (&nothing, 20, reinstate(BOBS), C::ParticipantUnknown),
        (&nothing, 20, Action::ParticipantRevoke(to_long), C::InvalidField),
        (&ended, 20, Action::ParticipantReinstate(back_long), C::InvalidField),
        (&ended, 20, reinstate("alpha/client/ann"), C::OtherOrganization),
        (&ended, 5, reinstate(BOBS), C::NoRight),
        (&ended, 20, reinstate(BOBS), C::Done),
    ];
    for (before, sender, action, expected) in rows {
        let mut ledger = ledger();
        before(&mut ledger);
        assert_eq!(ledger.one(sender, vec![action.clone()]).0, expected, "{sender} {action:?}");
    }
    // In one block what is admitted again could not be told from what ended.
    let mut ledger = ledger();
    let receipts = ledger.run(&[(&[20], vec![end(BOBS)]), (&[20], vec![reinstate(BOBS)])]);
    assert_eq!(receipts[1].head.code, C::IdentityIsEnded.number());
    // An end and its return leave a record each, in words.
    ledger.done(20, vec![reinstate(BOBS)]);
    let (head, body) = (ledger.height, |height| {
        let place = keyspace::log(crate::execution::audit::CHANNEL, height, 0, 0);
        let log: crate::execution::logs::LogRecord =
            crate::state::record::read(&ledger.state, &place).unwrap().unwrap();
        log.body
    });
    let who = "\"who\":\"spiffe://test.example/beta/admin/boss\"";
    let of = "\"identity\":\"spiffe://test.example/beta/client/bob\"";
    assert_eq!(body(head - 1), format!("{{\"act\":\"participant.end\",{who},\"why\":\"left\",{of}}}"));
    assert_eq!(body(head), format!("{{\"act\":\"participant.reinstate\",{who},\"why\":\"back\",{of}}}"));
}

#[test]
fn an_identity_ends_at_all_its_addresses_and_leaves_room() {
    let mut ledger = ledger();
    for number in 100..162 {
        assert_eq!(
            admit(&mut ledger, number, &format!("ca of beta|{number}|client/bob|{number}")),
            C::Done,
            "{number}"
        );
    }
    assert_eq!(admit(&mut ledger, 162, "ca of beta|162|client/bob|162"), C::InvalidField, "64 are good");
    assert_eq!(told(&mut ledger, 20, end(BOBS)).len(), ADDRESSES_MAX);
    ledger.done(20, vec![reinstate(BOBS)]);
    assert_eq!(admit(&mut ledger, 100, "ca of beta|163|client/bob|163"), C::Done);
    // The key of two of them binds cy still, and nothing of bob's.
    assert_eq!(told(&mut ledger, 9, evidence("ca of beta|4|key-compromise")), [somebody("cy", 4)]);
}

fn compromise(ca: &str, by: &str) -> Action {
    let proof = [by.as_bytes(), &authority_compromise_message(&key_of(ca))].concat();
    Action::ChannelRevokeAuthority(RevokeAuthority { certificate: bytes(ca), proof: HexBytes(proof), successor: None })
}

/// A stolen CA made administrators of its organization until the other members had approved its removal.
#[test]
fn a_cas_key_takes_itself_off_the_channel_at_once_and_whom_it_vouched_for_signs_nothing() {
    let mut ledger = ledger();
    let stolen = || compromise("ca of beta", "ca of beta");
    // Nobody could change this channel without beta's administrator.
    assert_eq!(ledger.one(9, vec![stolen()]).0, C::ConfigurationInvalid);
    assert_eq!(standing(&ledger), [1, 2, 3, 4, 5]);
    assert_eq!(admit(&mut ledger, 21, "ca2 of beta|21|admin/bess|21"), C::Done);
    let receipt = ledger.run(&[(&[9], vec![stolen()])]).pop().unwrap();
    assert_eq!(receipt.head.code, C::Done.number(), "{}", receipt.message());
    let events = receipt.decoded_events().unwrap();
    let revoked =
        Event::AuthorityRevoked { organization: "beta".into(), authority: key_of("ca of beta"), successor: None };
    assert!(events.contains(&revoked) && events.iter().any(|event| matches!(event, Event::ChannelConfigured { .. })));
    let listed = |ledger: &Ledger| config_of(&ledger.state).unwrap().config.organizations[1].authorities.clone();
    assert_eq!(listed(&ledger), [bytes("ca2 of beta")]);
    assert_eq!(standing(&ledger), [1, 5]);
    assert_eq!(ledger.one(2, vec![append()]).0, C::ParticipantIsUnvouched);
    for leaf in [BOB, "ca of beta|99|admin/thief|99"] {
        assert_eq!(admit(&mut ledger, 99, leaf), C::PathRefused, "{leaf}");
    }
    assert_eq!(ledger.one(9, vec![stolen()]).0, C::AuthorityRefused, "it is not listed");
    // By a certificate of the CA that is left everybody comes back, at the same address.
    assert_eq!(admit(&mut ledger, 2, "ca2 of beta|71|client/bob|71"), C::Done);
    assert_eq!(standing(&ledger), [1, 2, 5]);
}

/// A thief listed another certificate of the same key, or a member one as its own, and the key's word was refused for ever.
#[test]
fn whatever_else_of_a_compromised_key_is_listed_and_by_whom_goes_with_it() {
    for (member, wide) in [(1, "ca of beta#wide"), (0, "ca of beta#wide")] {
        let mut config = config_of(&ledger().state).unwrap().config;
        config.organizations[member].authorities.push(bytes(wide));
        let mut ledger = Ledger::with_config(config);
        ledger.certificates = &Readable;
        for (number, leaf) in [
            (10, "ca of alpha|10|admin/ada|10"),
            (20, "ca of beta|20|admin/boss|20"),
            (21, "ca2 of beta|21|admin/bess|21"),
        ] {
            assert_eq!(admit(&mut ledger, number, leaf), C::Done);
        }
        ledger.done(9, vec![compromise("ca of beta", "ca of beta")]);
        let listed: Vec<HexBytes> = config_of(&ledger.state)
            .unwrap()
            .config
            .organizations
            .into_iter()
            .flat_map(|one| one.authorities)
            .collect();
        assert_eq!(listed, [bytes("ca of alpha"), bytes("ca2 of beta")], "{member}");
        assert_eq!(ledger.one(20, vec![append()]).0, C::ParticipantIsUnvouched);
    }
}

/// Of a channel that both must agree on, one lost its CA: the other goes on, and gives it another one; then both are needed.
#[test]
fn a_member_that_lost_its_last_ca_is_not_asked_until_its_first_administrator_is_there_again() {
    let mut config = config_of(&ledger().state).unwrap().config;
    config.approvals = Approvals::All;
    let admin = Rights::member().union(Rights::from_iter([Right::Admin]));
    let grant = |name: &str| Grant { to: Grantee::Organization(name.into()), rights: admin };
    config.grants = vec![grant("alpha"), grant("beta")];
    config.organizations[1].authorities.truncate(1);
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    for (number, leaf) in [(10, "ca of alpha|10|admin/ada|10"), (20, "ca of beta|20|admin/boss|20")] {
        assert_eq!(admit(&mut ledger, number, leaf), C::Done);
    }
    let put = |cas: &[&str]| {
        let authorities = cas.iter().map(|ca| bytes(ca)).collect();
        ConfigChange::PutOrganization(Organization { name: "beta".into(), title: "beta".into(), authorities })
    };
    let propose = |changes| Action::ChannelPropose(Propose { changes, reason: String::new() });
    let listed = |ledger: &Ledger| config_of(&ledger.state).unwrap().config.organizations[1].authorities.len();
    // What beta had proposed before, and approved, is void afterwards: the thief may have.
    let receipt = ledger.run(&[(&[20], vec![propose(vec![put(&["ca of beta", "ca9 of beta"])])])]).pop().unwrap();
    ledger.done(9, vec![compromise("ca of beta", "ca of beta")]);
    assert_eq!(listed(&ledger), 0);
    let approve = Action::ChannelApprove(Approve { proposal: receipt.head.id });
    assert_eq!(ledger.one(10, vec![approve]).0, C::ProposalLapsed);
    ledger.done(10, vec![propose(vec![put(&["ca2 of beta"])])]);
    assert_eq!(listed(&ledger), 1, "alpha alone is all");
    ledger.done(10, vec![propose(vec![ConfigChange::SetApprovals { approvals: Approvals::Majority }])]);
    assert_eq!(admit(&mut ledger, 20, "ca2 of beta|21|admin/boss|21"), C::Done);
    ledger.done(10, vec![propose(vec![ConfigChange::SetApprovals { approvals: Approvals::All }])]);
    assert_eq!(config_of(&ledger.state).unwrap().config.approvals, Approvals::Majority, "beta is asked again");
}

#[test]
fn what_does_not_say_that_a_listed_key_is_compromised_changes_nothing() {
    let long = AUTHORITY_PROOF_BYTES_MAX + 1;
    let bad = |proof: usize| {
        let proof = HexBytes(vec![7; proof]);
        Action::ChannelRevokeAuthority(RevokeAuthority { certificate: bytes("ca of beta"), proof, successor: None })
    };
    for (action, expected) in [
        (compromise("ca of beta", "ca2 of beta"), C::AuthorityRefused),
        (compromise("ca of gamma", "ca of gamma"), C::AuthorityRefused),
        (bad(0), C::InvalidField),
        (bad(long), C::InvalidField),
        (bad(9), C::AuthorityRefused),
        // Another certificate of the same key speaks of that key.
        (compromise("ca2 of beta", "ca2 of beta"), C::Done),
    ] {
        let mut ledger = ledger();
        let before = config_of(&ledger.state).unwrap();
        assert_eq!(ledger.one(9, vec![action.clone()]).0, expected, "{action:?}");
        assert_eq!(config_of(&ledger.state).unwrap() == before, expected != C::Done);
    }
}

/// Revocations of certificates that do not exist were free and without end: each left a record for ever.
#[test]
fn what_is_free_and_kept_for_ever_has_a_pace_and_what_ends_rights_has_none() {
    use Kind::{Admission, NamedAct, UnmetRevocation};
    let figures = |kind| match kind {
        Admission => (ADMISSIONS_SAVED, ADMISSION_MS),
        UnmetRevocation => (UNMET_REVOCATIONS_SAVED, UNMET_REVOCATION_MS),
        _ => (NAMED_ACTS_SAVED, NAMED_ACT_MS),
    };
    let gone = |ledger: &mut Ledger| ledger.done(20, vec![end(BOBS)]);
    let nothing = |_: &mut Ledger| {};
    let new = admission(&ledger(), 70, "ca of beta|70|client/eve|70");
    type Row<'a> = (Kind, &'a dyn Fn(&mut Ledger), u8, Action, bool);
    let rows: Vec<Row<'_>> = vec![
        (NamedAct, &nothing, 20, by_name("beta/client/eve", 50), true),
        (NamedAct, &nothing, 20, by_name("beta/client/bob", 50), true),
        (NamedAct, &nothing, 20, by_name(BOBS, 1), false),
        (NamedAct, &nothing, 20, end("beta/client/eve"), true),
        (NamedAct, &nothing, 20, end(BOBS), false),
        (NamedAct, &gone, 20, reinstate(BOBS), false),
        (Admission, &gone, 20, reinstate(BOBS), true),
        (NamedAct, &nothing, 9, evidence("ca of beta|50|superseded"), false),
        (NamedAct, &nothing, 70, new.clone(), false),
        (UnmetRevocation, &nothing, 9, evidence("ca of beta|50|superseded"), true),
        (UnmetRevocation, &nothing, 9, evidence("sub of beta|50|superseded"), true),
        (UnmetRevocation, &nothing, 9, evidence("ca of beta|1|superseded"), false),
        (UnmetRevocation, &nothing, 9, evidence("ca of alpha|50|superseded"), false),
        (UnmetRevocation, &nothing, 20, by_name("beta/client/eve", 50), false),
        (Admission, &nothing, 70, new, true),
        (Admission, &nothing, 70, admission(&ledger(), 70, "ca of alpha|70|client/eve|70"), false),
        (Admission, &nothing, 9, evidence("ca of beta|50|superseded"), false),
    ];
    for (kind, before, sender, action, paced) in rows {
        let mut ledger = ledger();
        before(&mut ledger);
        let (saved, each) = figures(kind);
        let spent = |ledger: &mut Ledger, acts: u64| {
            let full = ledger.time.plus_millis(acts * each);
            ledger.put(keyspace::pace(kind as u8, "beta"), &Pace { full });
        };
        spent(&mut ledger, saved);
        let (code, message) = ledger.clone().one(sender, vec![action.clone()]);
        assert_eq!(code, if paced { C::ActsTooFrequent } else { C::Done }, "{kind:?} {action:?}: {message}");
        assert!(!paced || message.contains(&ledger.time.plus_millis(each).to_string()), "{message}");
        // One more is there after its time.
        let mut later = ledger.clone();
        later.advance(each);
        assert_eq!(later.one(sender, vec![action.clone()]).0, C::Done, "{kind:?} {action:?}");
        spent(&mut ledger, saved - 1);
        ledger.done(sender, vec![action]);
    }
}

#[test]
fn an_administrator_names_so_many_certificates_that_nobody_has_and_then_waits() {
    let mut ledger = ledger();
    let number = |number: u64| {
        Some(HexBytes(vec![1 + u8::try_from(number / 250).unwrap(), u8::try_from(number % 250).unwrap()]))
    };
    let named = |serial| Action::ParticipantRevoke(Revoke { identity: identity(BOBS), serial, reason: String::new() });
    let all: Vec<Action> = (0..=NAMED_ACTS_SAVED).map(|it| named(number(it))).collect();
    let (last, first) = all.split_last().unwrap();
    for part in first.chunks(64) {
        ledger.done(20, part.to_vec());
    }
    // Blocks take some milliseconds, in which nothing comes back.
    assert_eq!(ledger.one(20, vec![last.clone()]).0, C::ActsTooFrequent);
    // What is known of is not numbered.
    ledger.done(20, vec![by_name(BOBS, 1)]);
    ledger.done(20, vec![by_name("beta/client/cy", 4)]);
    assert_eq!(admit(&mut ledger, 4, CY), C::CertificateIsRevoked);
    ledger.advance(NAMED_ACT_MS);
    ledger.done(20, vec![last.clone()]);
}
