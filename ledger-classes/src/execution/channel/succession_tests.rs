//! An organization that alone can change a channel lost its CA to a thief who ended all its administrators. Nobody was left
//! who could have listed another CA, so the stolen one could not go, and stayed for ever.
#![allow(clippy::unwrap_used)]

use super::authority::KnownAuthority;
use super::pace::{Kind, Pace};
use super::revocation_tests::{Readable, admit, append, bytes, identity, key_of, ledger, standing};
use crate::action::Action;
use crate::action::channel::{NamedSuccessor, Propose, Reinstate, Revoke, RevokeAuthority};
use crate::execution::test_support::Ledger;
use crate::execution::{audit, config_of, logs::LogRecord};
use crate::formats::config::{Approvals, ChannelConfig, ConfigChange, Organization};
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode as C;
use crate::formats::receipt::Receipt;
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::limits::{
    AUTHORITY_PROOF_BYTES_MAX, CERTIFICATE_BYTES_MAX, CONFIG_CHANGE_MS, CONFIG_CHANGES_SAVED, SUCCESSION_MS,
    SUCCESSIONS_SAVED,
};
use crate::primitives::hash::HexBytes;
use crate::state::keyspace;
use crate::state::participant::{authority_compromise_message, authority_successor_message};
use crate::state::record;

/// What the key of `ca` says, with the successor that `by` names for it.
fn word(ca: &str, successor: &str, by: &str) -> RevokeAuthority {
    let key = key_of(ca.split('#').next().unwrap());
    let signed = |by: &str, message: Vec<u8>| HexBytes([by.as_bytes(), &message].concat());
    let message = authority_successor_message(&key, successor.as_bytes());
    let possession = signed(successor.split('#').next().unwrap(), message.clone());
    let proof = signed(by, message);
    RevokeAuthority {
        certificate: bytes(ca),
        proof: signed(ca, authority_compromise_message(&key)),
        successor: Some(NamedSuccessor { certificate: bytes(successor), proof, possession }),
    }
}

fn stolen(successor: &str) -> Action {
    Action::ChannelRevokeAuthority(word("ca of beta", successor, "ca of beta"))
}

fn listed(ledger: &Ledger, member: usize) -> Vec<HexBytes> {
    config_of(&ledger.state).unwrap().config.organizations[member].authorities.clone()
}

fn known(ledger: &Ledger, ca: &str) -> Option<KnownAuthority> {
    record::read(&ledger.state, &keyspace::authority(&key_of(ca))).unwrap()
}

fn propose(changes: Vec<ConfigChange>) -> Action {
    Action::ChannelPropose(Propose { changes, reason: String::new() })
}

fn public(public_read: bool) -> Action {
    propose(vec![ConfigChange::SetPublicRead { public_read }])
}

/// The receipt of a transaction that was done, by somebody who has nothing to do with the channel.
fn done(ledger: &mut Ledger, action: Action) -> Receipt {
    let receipt = ledger.run(&[(&[9], vec![action])]).pop().unwrap();
    assert_eq!(receipt.head.code, C::Done.number(), "{}", receipt.message());
    receipt
}

/// Beta alone can change it. A thief with the key of its CA is an administrator, has ended the true one, and has spent all
/// changes of configuration that beta may make.
fn robbed() -> Ledger {
    let mut ledger = ledger();
    assert_eq!(admit(&mut ledger, 30, "ca of beta|30|admin/thief|30"), C::Done);
    let end = Revoke { identity: identity("beta/admin/boss"), serial: None, reason: "mine".into() };
    ledger.done(30, vec![Action::ParticipantRevoke(end)]);
    let full = ledger.time.plus_millis(CONFIG_CHANGES_SAVED * CONFIG_CHANGE_MS);
    ledger.put(keyspace::pace(Kind::Configuration as u8, "beta"), &Pace { full });
    assert_eq!(ledger.one(30, vec![public(false)]).0, C::ChangesTooFrequent);
    ledger
}

#[test]
fn where_nobody_could_list_another_ca_the_one_that_the_stolen_key_has_named_takes_its_place() {
    let mut ledger = robbed();
    let alone = RevokeAuthority { successor: None, ..word("ca of beta", "ca3 of beta", "ca of beta") };
    assert_eq!(ledger.one(9, vec![Action::ChannelRevokeAuthority(alone)]).0, C::ConfigurationInvalid);
    let receipt = done(&mut ledger, stolen("ca3 of beta"));
    let (authority, successor) = (key_of("ca of beta"), Some(key_of("ca3 of beta")));
    let told = Event::AuthorityRevoked { organization: "beta".into(), authority, successor };
    assert!(receipt.decoded_events().unwrap().contains(&told));
    let place = keyspace::log(audit::CHANNEL, ledger.height, 0, 0);
    let body = record::read::<LogRecord>(&ledger.state, &place).unwrap().unwrap().body;
    let said = format!("\"authority\":\"{authority}\",\"successor\":\"{}\"", key_of("ca3 of beta"));
    assert!(body.contains(&said), "{body}");
    assert_eq!(listed(&ledger, 1), [bytes("ca3 of beta"), bytes("ca2 of beta")]);
    // The thief is out, with whomever the stolen key makes, and names nobody else any more.
    assert_eq!(ledger.one(30, vec![append()]).0, C::ParticipantIsUnvouched);
    assert_eq!(admit(&mut ledger, 31, "ca of beta|31|admin/other|31"), C::PathRefused);
    assert_eq!(standing(&ledger), [1, 5]);
    for replayed in ["ca3 of beta", "ca6 of beta"] {
        assert_eq!(ledger.one(9, vec![stolen(replayed)]).0, C::AuthorityRefused, "{replayed}");
    }
    // Beta's own come by the new one, also whom the thief had ended; changes have their pace as before.
    assert_eq!(admit(&mut ledger, 20, "ca3 of beta|40|admin/boss|40"), C::IdentityIsEnded);
    assert_eq!(admit(&mut ledger, 41, "ca3 of beta|41|admin/bess|41"), C::Done);
    let back = Reinstate { identity: identity("beta/admin/boss"), reason: "back".into() };
    ledger.done(41, vec![Action::ParticipantReinstate(back)]);
    assert_eq!(admit(&mut ledger, 20, "ca3 of beta|40|admin/boss|40"), C::Done);
    assert_eq!(ledger.one(20, vec![public(false)]).0, C::ChangesTooFrequent);
    ledger.advance(CONFIG_CHANGE_MS);
    ledger.done(20, vec![public(false)]);
}

/// Keys that were listed by the hundred ended themselves, or named others, one block each, and nobody had to approve.
#[test]
fn a_change_counts_one_more_for_each_key_that_it_lists_anew() {
    let mut ledger = ledger();
    assert_eq!(admit(&mut ledger, 30, "ca of beta|30|admin/ann|30"), C::Done);
    let mut lists = |more: &[&str]| {
        let mut beta = config_of(&ledger.state).unwrap().config.organizations[1].clone();
        beta.authorities = ["ca of beta", "ca2 of beta"].iter().chain(more).map(|ca| bytes(ca)).collect();
        ledger.done(30, vec![propose(vec![ConfigChange::PutOrganization(beta)])]);
        let pace: Pace =
            record::read(&ledger.state, &keyspace::pace(Kind::Configuration as u8, "beta")).unwrap().unwrap();
        pace.full.millis_since(ledger.time).div_ceil(CONFIG_CHANGE_MS)
    };
    assert_eq!(lists(&["ca3 of beta", "ca4 of beta", "ca5 of beta"]), 4);
    assert_eq!(lists(&["ca3 of beta", "ca4 of beta#another"]), 5, "another certificate of a key is no other key");
    assert_eq!(lists(&["ca3 of beta", "ca6 of beta"]), 7);
    // As many as there ever are at once, and one: 96 keys counted 64 times, and each then ended itself.
    let beta = config_of(&ledger.state).unwrap().config.organizations[1].clone();
    ledger.advance(64 * CONFIG_CHANGE_MS);
    for (count, code) in [(CONFIG_CHANGES_SAVED, C::ChangesTooFrequent), (CONFIG_CHANGES_SAVED - 1, C::Done)] {
        let put = |number: u64| {
            let (name, authorities) = (format!("more-{number}"), vec![bytes(&format!("ca of more-{number}"))]);
            ConfigChange::PutOrganization(Organization { name, authorities, ..beta.clone() })
        };
        let receipts = ledger.run(&[(&[30], vec![propose((0..count).map(put).collect())])]);
        assert_eq!(receipts[0].head.code, code as u16, "{count} keys");
    }
}

/// A change listed thirty organizations, each with 64 changes of its own: 8,310 in six minutes.
#[test]
fn an_organization_that_a_change_lists_has_one_change_of_its_own() {
    let mut ledger = shared(Approvals::Any, &["alpha", "beta"]);
    assert_eq!(admit(&mut ledger, 30, "ca of beta|30|admin/ann|30"), C::Done);
    let mut gamma = config_of(&ledger.state).unwrap().config.organizations[1].clone();
    (gamma.name, gamma.authorities) = ("gamma".into(), vec![bytes("ca of gamma")]);
    let rights = Rights::from_iter([Right::Admin]);
    let grant = Grant { to: Grantee::Organization("gamma".into()), rights };
    ledger.done(30, vec![propose(vec![ConfigChange::PutOrganization(gamma), ConfigChange::Grant(grant)])]);
    assert_eq!(admit(&mut ledger, 40, "ca of gamma|40|admin/zoe|40"), C::Done);
    let change = |ledger: &mut Ledger, open_submit: bool| {
        ledger.run(&[(&[40], vec![propose(vec![ConfigChange::SetOpenSubmit { open_submit }])])])[0].head.code
    };
    assert_eq!([change(&mut ledger, true), change(&mut ledger, false)], [C::Done as u16, C::ChangesTooFrequent as u16]);
    ledger.advance(CONFIG_CHANGE_MS);
    assert_eq!([change(&mut ledger, false), change(&mut ledger, true)], [C::Done as u16, C::ChangesTooFrequent as u16]);
}

/// A channel of these members, which all may change it, with administrators of alpha and beta.
fn shared(approvals: Approvals, members: &[&str]) -> Ledger {
    let mut config: ChannelConfig = config_of(&ledger().state).unwrap().config;
    let admin = Rights::member().union(Rights::from_iter([Right::Admin]));
    config.approvals = approvals;
    config.grants =
        members.iter().map(|name| Grant { to: Grantee::Organization((*name).into()), rights: admin }).collect();
    config.organizations = members
        .iter()
        .map(|name| Organization {
            name: (*name).into(),
            title: (*name).into(),
            authorities: vec![bytes(&format!("ca of {name}"))],
        })
        .collect();
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    for (number, leaf) in [(10, "ca of alpha|10|admin/ada|10"), (20, "ca of beta|20|admin/boss|20")] {
        assert_eq!(admit(&mut ledger, number, leaf), C::Done);
    }
    ledger
}

#[test]
fn where_others_can_change_the_channel_they_list_the_new_ca_and_no_successor_is_looked_at() {
    for approvals in [Approvals::Any, Approvals::Majority, Approvals::All] {
        for successor in [("ca3 of beta", "ca of beta"), ("ca3 of beta", "ca6 of beta"), ("nonsense", "ca of beta")] {
            let mut ledger = shared(approvals, &["alpha", "beta"]);
            let action = Action::ChannelRevokeAuthority(word("ca of beta", successor.0, successor.1));
            let receipt = done(&mut ledger, action);
            let events = receipt.decoded_events().unwrap();
            assert!(events.iter().any(|event| matches!(event, Event::AuthorityRevoked { successor: None, .. })));
            assert_eq!(listed(&ledger, 1), []);
            let struck = known(&ledger, "ca of beta").unwrap();
            assert!(struck.struck_height.is_some() && struck.came_height.is_none());
            assert_eq!(known(&ledger, successor.0), None);
        }
    }
}

/// Gamma's administrators are not there, and two of three must approve: without beta nobody could change the channel, with
/// it alpha and beta can. Where all must, beta does not help.
#[test]
fn a_successor_counts_for_its_own_organization_and_no_more() {
    for (approvals, expected, left) in
        [(Approvals::Any, C::Done, 0), (Approvals::Majority, C::Done, 1), (Approvals::All, C::ConfigurationInvalid, 1)]
    {
        let mut ledger = shared(approvals, &["alpha", "beta", "gamma"]);
        assert_eq!(ledger.one(9, vec![stolen("ca3 of beta")]).0, expected, "{approvals:?}");
        assert_eq!(listed(&ledger, 1).len(), left, "{approvals:?}");
        assert_eq!(listed(&ledger, 1) == [bytes("ca3 of beta")], approvals == Approvals::Majority);
    }
}

#[test]
fn what_the_stolen_key_has_not_named_or_is_no_good_ca_of_the_organization_takes_no_place() {
    let with = |change: &dyn Fn(&mut NamedSuccessor)| {
        let mut word = word("ca of beta", "ca3 of beta", "ca of beta");
        change(word.successor.as_mut().unwrap());
        Action::ChannelRevokeAuthority(word)
    };
    let agreed = |by: &str, of: &str| {
        let message = authority_successor_message(&key_of("ca of beta"), of.as_bytes());
        with(&|it| it.possession = HexBytes([by.as_bytes(), &message].concat()))
    };
    let by = |by: &str| Action::ChannelRevokeAuthority(word("ca of beta", "ca3 of beta", by));
    // Each with the words that tell it from the others.
    for (action, code, why) in [
        (by("ca2 of beta"), C::AuthorityRefused, "did not sign what it should have"),
        (by("ca3 of beta"), C::AuthorityRefused, "did not sign what it should have"),
        // What was said of one certificate is not said of another of its key.
        (
            with(&|it| it.certificate = bytes("ca3 of beta#useless")),
            C::AuthorityRefused,
            "did not sign what it should have",
        ),
        (with(&|it| it.proof = HexBytes(Vec::new())), C::InvalidField, "proof"),
        (with(&|it| it.proof = HexBytes(vec![1; AUTHORITY_PROOF_BYTES_MAX + 1])), C::InvalidField, "proof"),
        (with(&|it| it.certificate = HexBytes(vec![1; CERTIFICATE_BYTES_MAX + 1])), C::InvalidField, "certificate"),
        // A thief has the certificate of the true successor, or makes one of its key, and not that key.
        (agreed("ca of beta", "ca3 of beta"), C::AuthorityRefused, "by its own key, the CA's key did not sign"),
        (
            agreed("ca3 of beta", "ca3 of beta#useless"),
            C::AuthorityRefused,
            "by its own key, the CA's key did not sign",
        ),
        (
            with(&|it| it.possession = it.proof.clone()),
            C::AuthorityRefused,
            "by its own key, the CA's key did not sign",
        ),
        (with(&|it| it.possession = HexBytes(Vec::new())), C::InvalidField, "proof"),
        (with(&|it| it.possession = HexBytes(vec![1; AUTHORITY_PROOF_BYTES_MAX + 1])), C::InvalidField, "proof"),
        (stolen("nonsense"), C::AuthorityRefused, "no CA certificate"),
        (stolen("ca of beta"), C::AuthorityRefused, "the key that others have"),
        (stolen("ca of beta#wide"), C::AuthorityRefused, "the key that others have"),
        (stolen("ca3 of beta#wide"), C::AuthorityRefused, "no CA of the organization"),
        (stolen("ca of alpha"), C::AuthorityRefused, "no CA of the organization"),
        (stolen("ca3 of beta#elsewhere"), C::AuthorityRefused, "no CA of the organization"),
        (stolen("ca3 of beta#expired"), C::AuthorityRefused, "not valid"),
        (stolen("ca3 of beta#early"), C::AuthorityRefused, "not valid"),
        (stolen("ca3 of beta"), C::Done, ""),
    ] {
        let mut ledger = robbed();
        let (refused, message) = ledger.one(9, vec![action]);
        assert!(refused == code && message.contains(why), "{why}: {refused:?} {message}");
        let expected = if code == C::Done { "ca3 of beta" } else { "ca of beta" };
        assert_eq!(listed(&ledger, 1)[0], bytes(expected), "{why}");
    }
    // That another change takes effect with the block is refused whatever is named, and leaves no receipt.
    let mut ledger = robbed();
    let both = ledger.run(&[(&[9], vec![stolen("ca3 of beta")]), (&[9], vec![stolen("ca4 of beta")])]);
    assert_eq!(both.iter().map(|one| one.head.code).collect::<Vec<_>>(), [0]);
    assert_eq!(listed(&ledger, 1)[0], bytes("ca3 of beta"));
}

#[test]
fn of_a_chain_each_takes_the_place_of_the_one_before() {
    let mut ledger = robbed();
    let next = || Action::ChannelRevokeAuthority(word("ca3 of beta", "ca4 of beta", "ca3 of beta"));
    assert_eq!(ledger.one(9, vec![next()]).0, C::AuthorityRefused, "not yet");
    done(&mut ledger, stolen("ca3 of beta"));
    done(&mut ledger, next());
    assert_eq!(listed(&ledger, 1), [bytes("ca4 of beta"), bytes("ca2 of beta")]);
    assert_eq!(ledger.one(9, vec![stolen("ca3 of beta")]).0, C::AuthorityRefused);
    assert_eq!(admit(&mut ledger, 41, "ca4 of beta|41|admin/bess|41"), C::Done);
}

/// The word of a key of beta that has named another.
fn goes_on(ca: &str, successor: &str) -> Action {
    Action::ChannelRevokeAuthority(word(ca, successor, ca))
}

/// Two words by turns, by anybody, made a configuration each without end, until no proof from genesis could be read.
#[test]
fn a_key_that_took_a_place_or_was_struck_takes_none_so_no_chain_comes_round() {
    let mut ledger = robbed();
    done(&mut ledger, stolen("ca3 of beta"));
    let refused = |ledger: &mut Ledger, ca: &str, successor: &str| {
        let before = config_of(&ledger.state).unwrap();
        let (code, message) = ledger.one(9, vec![goes_on(ca, successor)]);
        assert!(code == C::AuthorityRefused && message.contains("before, or was struck"), "{code:?} {message}");
        assert_eq!(config_of(&ledger.state).unwrap(), before);
    };
    refused(&mut ledger, "ca3 of beta", "ca of beta");
    refused(&mut ledger, "ca3 of beta", "ca of beta#another");
    done(&mut ledger, goes_on("ca3 of beta", "ca4 of beta"));
    refused(&mut ledger, "ca4 of beta", "ca3 of beta");
    refused(&mut ledger, "ca4 of beta", "ca of beta");
    // Nor does one that is listed beside it, and so free to name another, name it.
    refused(&mut ledger, "ca2 of beta", "ca4 of beta");
    let (first, last) = (known(&ledger, "ca of beta").unwrap(), known(&ledger, "ca4 of beta").unwrap());
    assert!(first.came_height.is_none() && first.struck_height.is_some());
    assert!(last.came_height.is_some() && last.struck_height.is_none());
    let between = known(&ledger, "ca3 of beta").unwrap();
    assert!(between.came_height.is_some() && between.came_height < between.struck_height);
    assert_eq!(between.struck_height, last.came_height);
}

/// Whoever has a key makes others without end, and names one after another.
#[test]
fn a_chain_of_new_keys_is_as_slow_as_changes_of_the_configuration_and_what_is_listed_names_one_at_once() {
    let mut ledger = robbed();
    let mut last = "ca of beta".to_owned();
    let mut next = |ledger: &mut Ledger, number: u64| {
        let named = format!("ca1{number} of beta");
        let (code, message) = ledger.one(9, vec![goes_on(&last, &named)]);
        if code == C::Done {
            last = named;
        }
        (code, message)
    };
    // The first is free, since genesis listed it.
    for number in 0..=SUCCESSIONS_SAVED {
        assert_eq!(next(&mut ledger, number).0, C::Done, "{number}");
    }
    let (code, message) = next(&mut ledger, 90);
    assert!(code == C::ActsTooFrequent && message.contains("each other's place too often"), "{code:?} {message}");
    ledger.advance(SUCCESSION_MS);
    assert_eq!(next(&mut ledger, 91).0, C::Done);
    assert_eq!(next(&mut ledger, 92).0, C::ActsTooFrequent);
    // What another organization does has a pace of its own, and a key that is listed names one free of it; once.
    let spent = ledger.clone();
    done(&mut ledger, goes_on("ca2 of beta", "ca5 of beta"));
    assert_eq!(ledger.one(9, vec![goes_on("ca5 of beta", "ca6 of beta")]).0, C::ActsTooFrequent);
    for (came_height, struck_height) in [(None, Some(1)), (Some(1), None)] {
        let mut ledger = spent.clone();
        ledger.put(keyspace::authority(&key_of("ca2 of beta")), &KnownAuthority { came_height, struck_height });
        assert_eq!(ledger.one(9, vec![goes_on("ca2 of beta", "ca5 of beta")]).0, C::ActsTooFrequent);
        ledger.advance(SUCCESSION_MS);
        done(&mut ledger, goes_on("ca2 of beta", "ca5 of beta"));
    }
}

/// An owner replaced a CA three times while the peer was down.
#[test]
fn an_owners_chain_of_three_is_gone_along_at_once() {
    let mut ledger = robbed();
    let time = ledger.time;
    let chain = ["ca of beta", "ca3 of beta", "ca4 of beta", "ca5 of beta"];
    for (ca, successor) in chain.iter().zip(&chain[1..]) {
        done(&mut ledger, goes_on(ca, successor));
    }
    assert!(ledger.time.millis_since(time) < SUCCESSION_MS);
    assert_eq!(listed(&ledger, 1), [bytes("ca5 of beta"), bytes("ca2 of beta")]);
    assert_eq!(admit(&mut ledger, 41, "ca5 of beta|41|admin/bess|41"), C::Done);
}

/// A thief listed something of the new key beside the old one, by which nobody could be admitted.
#[test]
fn what_a_thief_has_listed_of_the_new_key_gives_way_and_keeps_no_room() {
    let mut config = config_of(&ledger().state).unwrap().config;
    let others = (0..6).map(|number| format!("ca{number}x of beta"));
    let cas = ["ca3 of beta#useless".to_owned(), "ca of beta".to_owned()].into_iter().chain(others);
    config.organizations[1].authorities = cas.map(|ca| bytes(&ca)).collect();
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    assert_eq!(admit(&mut ledger, 20, "ca of beta|20|admin/boss|20"), C::Done);
    done(&mut ledger, stolen("ca3 of beta"));
    let now = listed(&ledger, 1);
    assert_eq!((now.len(), now.iter().filter(|der| **der == bytes("ca3 of beta")).count()), (7, 1));
    assert!(!now.contains(&bytes("ca3 of beta#useless")) && !now.contains(&bytes("ca of beta")));
}
