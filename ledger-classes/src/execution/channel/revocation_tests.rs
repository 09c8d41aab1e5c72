//! Who may end a participation, and what is left of it.
#![allow(clippy::unwrap_used)]

use crate::action::Action;
use crate::action::channel::{Revoke, RevokeByEvidence};
use crate::action::logs::Append;
use crate::amount::Amount;
use crate::config::{Fees, Organization};
use crate::execution::test_support::{Ledger, address, open_config};
use crate::execution::{BlockInput, config_of, screen_exempt};
use crate::hash::HexBytes;
use crate::identity::Identity;
use crate::keyspace;
use crate::limits::OCSP_BYTES_MAX;
use crate::outcome::{Refusal, ResultCode};
use crate::participant::{CertificatePaths, CertifiedIdentity, KnownCertificate, Participant, RevokedCertificate};
use crate::record;
use crate::rights::{Grant, Grantee, Rights};
use crate::time::Time;

/// Certificates of `ca of X` read `X/role/name`, and evidence against them `revoked X/role/name`; their serial is 1.
struct Readable;

fn identity(name: &str) -> Identity {
    Identity::parse(&format!("spiffe://test.example/{name}")).unwrap()
}

impl CertificatePaths for Readable {
    fn verify(&self, _: &[&[u8]], _: &[&[u8]], _: Time) -> Result<CertifiedIdentity, String> {
        Err("nobody is admitted here".into())
    }

    fn revocation(
        &self,
        path: &[&[u8]],
        evidence: &[u8],
        roots: &[&[u8]],
        _: Time,
    ) -> Result<RevokedCertificate, String> {
        let name = String::from_utf8(path[0].to_vec()).unwrap();
        let (issuer, name) = name.split_once(' ').unwrap();
        if !roots.contains(&format!("ca of {issuer}").as_bytes()) {
            return Err("unknown issuer".into());
        }
        if evidence != format!("revoked {name}").as_bytes() {
            return Err("no evidence".into());
        }
        Ok(RevokedCertificate { identity: identity(name), serial: vec![1], reason: "superseded".into() })
    }
}

/// Signer 1 is alpha's client, 2 and 3 are addresses of beta's client under serials 1 and 2, 9 is nobody.
fn ledger(open_submit: bool) -> Ledger {
    ledger_with(open_submit, Fees::default())
}

fn ledger_with(open_submit: bool, fees: Fees) -> Ledger {
    let organization = |name: &str| Organization {
        name: name.into(),
        title: name.into(),
        authorities: vec![HexBytes(format!("ca of {name}").into_bytes())],
    };
    let mut config = open_config();
    (config.open_submit, config.fees) = (open_submit, fees);
    config.organizations = vec![organization("alpha"), organization("beta")];
    for name in ["alpha", "beta"] {
        config.grants.push(Grant { to: Grantee::Organization(name.into()), rights: Rights::member() });
    }
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    for (number, name, serial) in [(1, "alpha/client/ann", 1), (2, "beta/client/bob", 1), (3, "beta/client/bob", 2)] {
        let participant = Participant {
            identity: identity(name),
            serial: HexBytes(vec![serial]),
            not_after: Time::from_millis(1_900_000_000_000),
            admitted_height: 0,
            revoked_height: None,
            revoked_before: None,
        };
        ledger.put(keyspace::participant(&address(number)), &participant);
        let text = identity(name).to_string();
        ledger.put(keyspace::certificate(&text, &[serial]), &KnownCertificate { revoked_height: None });
        let listed = keyspace::identity_address(&text, &address(number));
        ledger.state.apply(&crate::state::Writes::from([(listed, Some([1u8].as_slice().into()))]));
    }
    ledger
}

fn evidence(certificate: &str, evidence: &str) -> Action {
    let bytes = |text: &str| HexBytes(text.as_bytes().to_vec());
    Action::ParticipantRevokeByEvidence(RevokeByEvidence { path: vec![bytes(certificate)], evidence: bytes(evidence) })
}

fn append() -> Action {
    Action::LogAppend(Append { topic: "tests".into(), digest: None, body: String::new() })
}

#[test]
fn evidence_ends_a_participation_whoever_posts_it() {
    let revoked = "revoked beta/client/bob";
    for poster in [1, 2, 9] {
        let mut ledger = ledger(false);
        ledger.done(2, vec![append()]);
        ledger.done(poster, vec![evidence("beta beta/client/bob", revoked)]);
        assert_eq!(ledger.one(2, vec![append()]).0, ResultCode::ParticipantIsRevoked);
        // The identity's other certificate stays, and so do others.
        ledger.done(3, vec![append()]);
        ledger.done(1, vec![append()]);
        let again = ledger.one(poster, vec![evidence("beta beta/client/bob", revoked)]);
        assert_eq!(again.0, ResultCode::CertificateIsRevoked, "{poster}");
        let key = keyspace::certificate(&identity("beta/client/bob").to_string(), &[1]);
        let known: KnownCertificate = record::read(&ledger.state, &key).unwrap().unwrap();
        assert_eq!(known.revoked_height, Some(2));
    }
}

#[test]
fn a_certificate_that_was_never_admitted_is_recorded_as_revoked() {
    let mut ledger = ledger(false);
    ledger.done(9, vec![evidence("beta beta/client/carl", "revoked beta/client/carl")]);
    let key = keyspace::certificate(&identity("beta/client/carl").to_string(), &[1]);
    let known: KnownCertificate = record::read(&ledger.state, &key).unwrap().unwrap();
    assert_eq!(known.revoked_height, Some(1));
}

#[test]
fn what_does_not_convince_changes_nothing() {
    let oversize = "x".repeat(OCSP_BYTES_MAX + 1);
    for (certificate, word, code) in [
        ("beta beta/client/bob", "good beta/client/bob", ResultCode::PathRefused),
        ("beta beta/client/bob", "revoked beta/client/carl", ResultCode::PathRefused),
        // Another member's CA does not speak of beta's certificates, and a stranger's of none.
        ("alpha beta/client/bob", "revoked beta/client/bob", ResultCode::PathRefused),
        ("gamma beta/client/bob", "revoked beta/client/bob", ResultCode::PathRefused),
        ("beta gamma/client/bob", "revoked gamma/client/bob", ResultCode::PathRefused),
        ("beta beta/client/bob", "", ResultCode::InvalidField),
        ("beta beta/client/bob", &oversize, ResultCode::InvalidField),
    ] {
        let mut ledger = ledger(false);
        assert_eq!(ledger.one(1, vec![evidence(certificate, word)]).0, code, "{certificate}: {word:.40}");
        ledger.done(2, vec![append()]);
    }
}

#[test]
fn only_what_carries_its_authority_is_taken_from_a_stranger() {
    let revocation = || evidence("beta beta/client/bob", "revoked beta/client/bob");
    let by_hand = Revoke { identity: identity("beta/client/bob"), serial: HexBytes(vec![1]), reason: String::new() };
    for (open, actions, code) in [
        (false, vec![revocation()], ResultCode::Done),
        (false, vec![revocation(), append()], ResultCode::NotAParticipant),
        (true, vec![revocation(), append()], ResultCode::Done),
        (true, vec![Action::ParticipantRevoke(by_hand)], ResultCode::NoRight),
    ] {
        assert_eq!(ledger(open).one(9, actions.clone()).0, code, "{open} {actions:?}");
    }
}

/// A revoked key once went on signing on a channel with fees until the account that posts revocations had funds: a
/// transfer after a revocation for key compromise was done.
#[test]
fn a_revocation_is_done_though_its_poster_has_no_funds() {
    let fees = Fees { asset: Some("coin".into()), base: Amount(5), per_byte: Amount::ZERO, collector: None };
    let mut ledger = ledger_with(false, fees);
    let revocation = || evidence("beta beta/client/bob", "revoked beta/client/bob");
    // What is done beside it is not free, and a fee that cannot be paid stops it all.
    for actions in [vec![append()], vec![revocation(), append()], vec![append(), revocation()]] {
        assert_eq!(ledger.one(1, actions).0, ResultCode::FeeUnpaid);
    }
    let receipt = ledger.run(&[(&[9], vec![revocation()])]).pop().unwrap();
    assert_eq!(
        (receipt.head.code, receipt.head.fee),
        (ResultCode::Done.number(), Amount::ZERO),
        "{}",
        receipt.head.message
    );
    assert_eq!(ledger.one(2, vec![append()]).0, ResultCode::FeeUnpaid, "fees come first");
    assert!(
        record::read::<Participant>(&ledger.state, &keyspace::participant(&address(2)))
            .unwrap()
            .unwrap()
            .revoked_height
            .is_some()
    );
}

/// Acts are free, also those that fail: strangers with a new key for each filled blocks with them.
#[test]
fn an_exempt_act_that_would_fail_is_refused_at_the_door_of_a_channel_with_fees() {
    let paying = Fees { asset: Some("coin".into()), base: Amount(5), per_byte: Amount::ZERO, collector: None };
    let good = || evidence("beta beta/client/bob", "revoked beta/client/bob");
    let forged = || evidence("beta beta/client/bob", "forged");
    for (fees, actions, expected) in [
        (paying.clone(), vec![forged()], Some(ResultCode::PathRefused)),
        (paying.clone(), vec![good(), good()], Some(ResultCode::CertificateIsRevoked)),
        (paying.clone(), vec![good()], None),
        // Who pays may fail.
        (paying, vec![forged(), append()], None),
        (Fees::default(), vec![forged()], None),
    ] {
        let mut ledger = ledger_with(false, fees);
        let transaction = ledger.transaction(&[9], actions.clone());
        let input = BlockInput {
            channel: ledger.channel,
            height: ledger.height + 1,
            time: ledger.time,
            certificates: ledger.certificates,
            transactions: std::slice::from_ref(&transaction),
        };
        let config = config_of(&ledger.state).unwrap().config;
        let refused = match screen_exempt(&ledger.state, &config, &input) {
            Err(Refusal::Rejected { code, .. }) => Some(code),
            other => other.map(|()| None).unwrap(),
        };
        assert_eq!(refused, expected, "{actions:?}");
    }
}
