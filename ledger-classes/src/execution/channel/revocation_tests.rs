//! Who may end a participation, what is left of it, and who stays out.
#![allow(clippy::unwrap_used)]

use crate::action::Action;
use crate::action::channel::{Admit, Revoke, RevokeByEvidence};
use crate::action::logs::Append;
use crate::execution::test_support::{Ledger, address, open_config, signer};
use crate::execution::{BlockInput, config_of, screen_exempt};
use crate::formats::config::{Fees, Organization};
use crate::formats::detail::{PathFault, PathRefusal};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode as C};
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::limits::{ADDRESSES_MAX, OCSP_BYTES_MAX};
use crate::primitives::amount::Amount;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::{
    AuthorityContinuation, AuthorityFacts, CertificateName, CertificatePaths, CertifiedIdentity, KnownCertificate,
    Participant, PathRules, RevocationCause, RevokedCertificate, possession_message,
};
use crate::state::record;

/// CA certificates read `ca of ORGANIZATION`, with anything behind `#` another of the same key (`wide` without an
/// organization, `elsewhere` of another consortium, `expired`, `early`), and `sub of ORGANIZATION`, which the first has
/// certified under number 200. A leaf reads `CA|SERIAL|ROLE/NAME|KEY`, and an answer `CA|SERIAL|REASON`.
pub(super) struct Readable;

pub(super) fn identity(name: &str) -> Identity {
    Identity::parse(&format!("spiffe://test.example/{name}")).unwrap()
}

pub(super) fn key_of(ca: &str) -> Hash {
    Hash::plain(&[ca.as_bytes()])
}

/// Which key a CA's certificate is of.
fn certified(der: &[u8]) -> &[u8] {
    der.split(|byte| *byte == b'#').next().unwrap_or_default()
}

fn words(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(bytes.to_vec()).unwrap().split('|').map(str::to_owned).collect()
}

/// Whether the CA's path leads to one of the roots, its certificates below that, and its organization.
fn judge(ca: &str, path: &[&[u8]], roots: &[&[u8]]) -> Result<(Vec<CertificateName>, String), PathRefusal> {
    let organization = ca.split_once(" of ").ok_or(PathFault::NoAuthority)?.1.to_owned();
    let root = format!("ca of {organization}");
    let listed = |ca: &str| roots.iter().any(|root| certified(root) == ca.as_bytes());
    match () {
        () if listed(ca) => Ok((Vec::new(), organization)),
        () if ca.starts_with("sub") && path.first() == Some(&ca.as_bytes()) && listed(&root) => {
            Ok((vec![CertificateName { issuer: key_of(&root), serial: HexBytes(vec![200]) }], organization))
        }
        () => Err(PathFault::UnknownIssuer.into()),
    }
}

impl CertificatePaths for Readable {
    fn claimed_organization(&self, _: PathRules, leaf: &[u8]) -> Option<String> {
        Some(words(leaf)[0].split_once(" of ")?.1.to_owned())
    }

    fn verify(&self, _: PathRules, path: &[&[u8]], roots: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        let leaf = words(path[0]);
        let (above, organization) = judge(&leaf[0], &path[1..], roots)?;
        let mut authorities = vec![key_of(&leaf[0])];
        authorities.extend((!above.is_empty()).then(|| key_of(&format!("ca of {organization}"))));
        Ok(CertifiedIdentity {
            identity: identity(&format!("{organization}/{}", leaf[2])),
            serial: vec![leaf[1].parse().unwrap()],
            issuer: key_of(&leaf[0]),
            not_after: Time::from_millis(1_900_000_000_000),
            key: signer(leaf[3].parse().unwrap()).public(),
            authorities,
            above,
        })
    }

    fn authority_key(&self, _: PathRules, certificate: &[u8]) -> Option<Hash> {
        Some(Hash::plain(&[certified(certificate)]))
    }

    fn authority_facts(&self, _: PathRules, certificate: &[u8]) -> Result<AuthorityFacts, PathRefusal> {
        let text = std::str::from_utf8(certificate).map_err(|_| PathFault::NoAuthority)?;
        let (ca, what) = text.split_once('#').unwrap_or((text, ""));
        let organization = ca.split_once(" of ").ok_or(PathFault::NoAuthority)?.1.to_owned();
        let (past, far) = (Time::from_millis(0), Time::from_millis(1_900_000_000_000));
        Ok(AuthorityFacts {
            consortium: if what == "elsewhere" { "other.example" } else { "test.example" }.into(),
            organization: (what != "wide").then_some(organization),
            not_before: if what == "early" { far } else { past },
            not_after: if what == "expired" { past } else { far },
        })
    }

    /// A proof reads the CA and the message.
    fn continuation(
        &self,
        _: PathRules,
        certificate: &[u8],
        listed: &[&[u8]],
        message: &[u8],
        proof: &[u8],
    ) -> Result<AuthorityContinuation, PathRefusal> {
        let replaces =
            listed.iter().rposition(|der| certified(der) == certified(certificate)).ok_or(PathFault::NoListedKey)?;
        if listed[replaces].ends_with(b"#wide") && !certificate.ends_with(b"#wide") {
            return Err(PathFault::SaysOther.into());
        }
        let far = Time::from_millis(1_900_000_000_000);
        match proof == [certified(certificate), message].concat() {
            true => Ok(AuthorityContinuation {
                replaces,
                listed_not_after: far,
                serial: vec![1],
                not_before: Time::from_millis(0),
                not_after: far,
            }),
            false => Err(PathFault::Proof.into()),
        }
    }

    fn revocation(
        &self,
        _: PathRules,
        path: &[&[u8]],
        evidence: &[u8],
        roots: &[&[u8]],
    ) -> Result<RevokedCertificate, PathRefusal> {
        let [ca, serial, reason] = words(evidence).try_into().map_err(|_| PathFault::AnswerMalformed)?;
        let (_, organization) = judge(&ca, path, roots)?;
        Ok(RevokedCertificate {
            certificate: CertificateName { issuer: key_of(&ca), serial: HexBytes(vec![serial.parse().unwrap()]) },
            organization: Some(organization),
            cause: RevocationCause::ALL
                .into_iter()
                .find(|cause| cause.name() == reason)
                .ok_or(PathFault::AnswerUnsupported)?,
        })
    }
}

/// Signer 1 is alpha's client, 2 and 3 are addresses of beta's client under serials 1 and 2, 4 is another client of beta with
/// the key of serial 1, 5 has that key from beta's other CA, 9 is nobody, 20 is beta's administrator.
pub(super) fn ledger_with(open_submit: bool, fees: Fees) -> Ledger {
    let organization = |name: &str, cas: &[&str]| Organization {
        name: name.into(),
        title: name.into(),
        authorities: cas.iter().map(|ca| HexBytes(ca.as_bytes().to_vec())).collect(),
    };
    let mut config = open_config();
    (config.open_submit, config.fees) = (open_submit, fees);
    config.organizations =
        vec![organization("alpha", &["ca of alpha"]), organization("beta", &["ca of beta", "ca2 of beta"])];
    let member = |name: &str, rights| Grant { to: Grantee::Organization(name.into()), rights };
    let admin = Rights::member().union(Rights::from_iter([Right::Admin]));
    config.grants = vec![member("alpha", Rights::member()), member("beta", admin)];
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Readable;
    for (number, leaf) in [
        (1, "ca of alpha|1|client/ann|11"),
        (2, BOB),
        (3, "ca of beta|2|client/bob|13"),
        (4, CY),
        (5, "ca2 of beta|1|client/dan|12"),
        (20, "ca of beta|20|admin/boss|20"),
    ] {
        assert_eq!(admit(&mut ledger, number, leaf), C::Done);
    }
    ledger
}

pub(super) const BOB: &str = "ca of beta|1|client/bob|12";
pub(super) const CY: &str = "ca of beta|4|client/cy|12";

pub(super) fn ledger() -> Ledger {
    ledger_with(false, Fees::default())
}

pub(super) fn bytes(text: &str) -> HexBytes {
    HexBytes(text.as_bytes().to_vec())
}

pub(super) fn admission(ledger: &Ledger, number: u8, leaf: &str) -> Action {
    let words = words(leaf.as_bytes());
    let above = words[0].starts_with("sub").then(|| bytes(&words[0]));
    let key = signer(words[3].parse().unwrap());
    let possession = key.sign(&possession_message(&ledger.channel, &address(number)));
    let path = [bytes(leaf)].into_iter().chain(above).collect();
    Action::ParticipantAdmit(Admit { address: address(number), path, possession })
}

pub(super) fn admit(ledger: &mut Ledger, number: u8, leaf: &str) -> C {
    let action = admission(ledger, number, leaf);
    ledger.one(number, vec![action]).0
}

pub(super) fn evidence(text: &str) -> Action {
    let ca = text.split('|').next().unwrap();
    let path = if ca.starts_with("sub") { vec![bytes(ca)] } else { Vec::new() };
    Action::ParticipantRevokeByEvidence(RevokeByEvidence { path, evidence: bytes(text) })
}

pub(super) fn by_name(name: &str, serial: u8) -> Action {
    let (identity, serial) = (identity(name), HexBytes(vec![serial]));
    Action::ParticipantRevoke(Revoke { identity, serial: Some(serial), reason: "left".into() })
}

pub(super) fn append() -> Action {
    Action::LogAppend(Append { topic: "tests".into(), digest: None, body: String::new() })
}

pub(super) fn participant(ledger: &Ledger, number: u8) -> Participant {
    record::read(&ledger.state, &keyspace::participant(&address(number))).unwrap().unwrap()
}

fn known(ledger: &Ledger, ca: &str, serial: u8) -> KnownCertificate {
    record::read(&ledger.state, &keyspace::certificate(&key_of(ca), &[serial])).unwrap().unwrap_or_default()
}

/// Those who may still sign.
pub(super) fn standing(ledger: &Ledger) -> Vec<u8> {
    [1, 2, 3, 4, 5].into_iter().filter(|number| ledger.clone().one(*number, vec![append()]).0 == C::Done).collect()
}

/// Whom events of a block's last receipt say that a certificate is revoked, and its number.
pub(super) fn told(ledger: &mut Ledger, sender: u8, action: Action) -> Vec<(Option<String>, u8)> {
    let receipt = ledger.run(&[(&[sender], vec![action])]).pop().unwrap();
    assert_eq!(receipt.head.code, C::Done.number(), "{}", receipt.message());
    let events = receipt.decoded_events().unwrap().into_iter();
    let revoked = events.filter_map(|event| match event {
        Event::ParticipantRevoked { identity, serial, .. } => {
            Some((identity.map(|id| id.name().to_owned()), serial.0[0]))
        }
        _ => None,
    });
    revoked.collect()
}

pub(super) fn somebody(name: &str, serial: u8) -> (Option<String>, u8) {
    (Some(name.to_owned()), serial)
}

#[test]
fn evidence_ends_a_participation_whoever_posts_it() {
    let revoked = || evidence("ca of beta|1|superseded");
    for poster in [1, 2, 9] {
        let mut ledger = ledger();
        let height = ledger.height + 1;
        assert_eq!(told(&mut ledger, poster, revoked()), [somebody("bob", 1)]);
        // The identity's other certificate stays, and so do others, of another CA under the same number too.
        assert_eq!(standing(&ledger), [1, 3, 4, 5]);
        assert_eq!(ledger.one(2, vec![append()]).0, C::ParticipantIsRevoked);
        assert_eq!(ledger.one(poster, vec![revoked()]).0, C::CertificateIsRevoked, "{poster}");
        assert_eq!(known(&ledger, "ca of beta", 1).revoked_height, Some(height));
    }
}

/// An administrator's renewed and then revoked certificate, which a channel had not met, was admitted there by anybody who
/// had its key, and took the channel over: evidence about it told nothing.
#[test]
fn a_certificate_that_the_channel_has_not_met_is_revoked_without_a_name_and_never_admitted() {
    let mut ledger = ledger();
    assert_eq!(told(&mut ledger, 9, evidence("ca of beta|30|key-compromise")), [(None, 30)]);
    let body = record::read::<crate::execution::logs::LogRecord>(
        &ledger.state,
        &keyspace::log(crate::execution::audit::CHANNEL, ledger.height, 0, 0),
    );
    let body = body.unwrap().unwrap().body;
    assert_eq!(
        body,
        r#"{"act":"participant.revoke","who":"ca:beta","why":"key-compromise","identity":null,"serial":"1e"}"#
    );
    assert_eq!(admit(&mut ledger, 30, "ca of beta|30|admin/boss|30"), C::CertificateIsRevoked);
    // Under another CA, or another number, it is another certificate.
    assert_eq!(admit(&mut ledger, 30, "ca2 of beta|30|admin/boss|31"), C::Done);
    assert_eq!(admit(&mut ledger, 31, "ca of beta|31|admin/boss|31"), C::Done);
}

/// The sibling of a certificate whose key had been compromised went on, and renewed itself to a new key.
#[test]
fn a_compromised_key_ends_all_that_the_ca_has_certified_of_it_and_stays_out() {
    let mut ledger = ledger();
    let revoked = evidence("ca of beta|1|key-compromise");
    assert_eq!(told(&mut ledger, 9, revoked.clone()), [somebody("bob", 1), somebody("cy", 4)]);
    // What the other CA has certified is for that one to say.
    assert_eq!(standing(&ledger), [1, 3, 5]);
    for (number, leaf) in [(40, "ca of beta|41|client/cy|12"), (4, CY), (2, BOB)] {
        assert_eq!(admit(&mut ledger, number, leaf), C::CertificateIsRevoked, "{leaf}");
    }
    assert_eq!(admit(&mut ledger, 41, "ca2 of beta|41|client/cy|12"), C::Done);
    assert_eq!(admit(&mut ledger, 4, "ca of beta|42|client/cy|42"), C::Done, "a new key");
    for again in [revoked, evidence("ca of beta|4|key-compromise"), evidence("ca of beta|4|superseded")] {
        assert_eq!(ledger.one(9, vec![again]).0, C::CertificateIsRevoked);
    }
}

#[test]
fn that_the_key_was_compromised_is_news_about_a_certificate_that_was_revoked_for_less_once() {
    for (first, sender) in [(evidence("ca of beta|1|superseded"), 9), (by_name("beta/client/bob", 1), 20)] {
        let mut ledger = ledger();
        ledger.done(sender, vec![first]);
        assert_eq!(standing(&ledger), [1, 3, 4, 5]);
        let height = participant(&ledger, 2).revoked_height;
        let worse = || evidence("ca of beta|1|key-compromise");
        assert_eq!(told(&mut ledger, 9, worse()), [somebody("bob", 1), somebody("cy", 4)]);
        assert_eq!(standing(&ledger), [1, 3, 5]);
        assert_eq!(participant(&ledger, 2).revoked_height, height, "it ended when it ended");
        assert_eq!(ledger.one(9, vec![worse()]).0, C::CertificateIsRevoked);
        assert_eq!(ledger.one(9, vec![evidence("ca of beta|1|superseded")]).0, C::CertificateIsRevoked);
    }
}

#[test]
fn an_administrator_revokes_by_name_what_the_channel_knows_and_what_it_does_not() {
    let mut ledger = ledger();
    assert_eq!(told(&mut ledger, 20, by_name("beta/client/bob", 1)), [somebody("bob", 1)]);
    assert_eq!(standing(&ledger), [1, 3, 4, 5]);
    assert!(known(&ledger, "ca of beta", 1).revoked_height.is_some(), "the same record");
    assert_eq!(ledger.one(20, vec![by_name("beta/client/bob", 1)]).0, C::CertificateIsRevoked);
    assert_eq!(ledger.one(9, vec![evidence("ca of beta|1|superseded")]).0, C::CertificateIsRevoked);
    // Whatever CA it comes from.
    assert_eq!(told(&mut ledger, 20, by_name("beta/client/eve", 50)), [somebody("eve", 50)]);
    for leaf in ["ca of beta|50|client/eve|50", "ca2 of beta|50|client/eve|50"] {
        assert_eq!(admit(&mut ledger, 50, leaf), C::CertificateIsRevoked, "{leaf}");
    }
    // By the number alone an administrator would revoke what is another's, of another organization too.
    assert_eq!(admit(&mut ledger, 51, "ca of beta|50|client/fay|51"), C::Done);
    assert_eq!(ledger.one(20, vec![by_name("alpha/client/ann", 1)]).0, C::OtherOrganization);
}

#[test]
fn a_path_through_a_revoked_ca_admits_nobody() {
    let mut ledger = ledger();
    let leaf = |number: u8| format!("sub of beta|{number}|client/n{number}|{number}");
    assert_eq!(admit(&mut ledger, 60, &leaf(60)), C::Done);
    assert_eq!(told(&mut ledger, 9, evidence("ca of beta|200|ca-compromise")), [(None, 200)]);
    assert_eq!(admit(&mut ledger, 61, &leaf(61)), C::CertificateIsRevoked);
    assert_eq!(admit(&mut ledger, 62, "ca of beta|62|client/n62|62"), C::Done);
    // What such a CA says of its own certificates still holds.
    assert_eq!(told(&mut ledger, 9, evidence("sub of beta|60|superseded")), [somebody("n60", 60)]);
}

/// By a second certificate of one number the first would be forgotten: its revocation would end the second alone.
#[test]
fn a_ca_does_not_hide_a_certificate_behind_another_of_its_number() {
    let mut ledger = ledger();
    for second in ["ca of beta|1|client/bob|80", "ca of beta|1|client/zoe|12"] {
        assert_eq!(admit(&mut ledger, 80, second), C::PathRefused, "{second}");
    }
    assert_eq!(admit(&mut ledger, 81, BOB), C::Done, "another address by the same one");
    ledger.done(9, vec![evidence("ca of beta|1|superseded")]);
    assert_eq!(standing(&ledger), [1, 3, 4, 5]);
    assert_eq!(ledger.one(81, vec![append()]).0, C::ParticipantIsRevoked);
}

#[test]
fn a_revocation_touches_a_bounded_number_of_addresses() {
    let mut ledger = ledger();
    let bound = 2;
    for number in 0..=u8::try_from(ADDRESSES_MAX - bound).unwrap() {
        let leaf = format!("ca of beta|{}|client/n{number}|12", 100 + number);
        let expected = if usize::from(number) == ADDRESSES_MAX - bound { C::InvalidField } else { C::Done };
        assert_eq!(admit(&mut ledger, 100 + number, &leaf), expected, "{number}");
    }
    // An address that is bound by another key makes room.
    assert_eq!(admit(&mut ledger, 4, "ca of beta|90|client/cy|90"), C::Done);
    assert_eq!(admit(&mut ledger, 99, "ca of beta|99|client/zoe|12"), C::Done);
    let ended = told(&mut ledger, 9, evidence("ca of beta|1|key-compromise"));
    assert_eq!(ended.len(), ADDRESSES_MAX);
    assert!(!ended.contains(&somebody("cy", 90)));
}

/// A thief admitted 63 addresses, and after the revocation there was no room for whom it had robbed.
#[test]
fn revoked_addresses_leave_room_for_the_next_of_their_identity_and_key() {
    let mut ledger = ledger();
    for number in 100..162 {
        assert_eq!(admit(&mut ledger, number, BOB), C::Done, "{number}");
    }
    // Bob has two by other certificates, and the key binds one more of cy's.
    let (new, same_key) = ("ca of beta|50|client/bob|50", "ca of beta|51|client/bob|12");
    assert_eq!(admit(&mut ledger, 99, new), C::InvalidField, "64 are good");
    ledger.done(20, vec![by_name("beta/client/bob", 1)]);
    assert_eq!(admit(&mut ledger, 99, new), C::Done);
    assert_eq!(admit(&mut ledger, 98, same_key), C::Done);
    assert_eq!(standing(&ledger), [1, 3, 4, 5]);
    // Who comes back counts once.
    for number in 100..161 {
        assert_eq!(admit(&mut ledger, number, same_key), C::Done, "{number}");
    }
    assert_eq!(admit(&mut ledger, 161, same_key), C::InvalidField);
}

/// Two good certificates by turns changed something each time, for nothing, where everything else costs a fee.
#[test]
fn a_certificate_that_was_replaced_does_not_come_back_while_the_later_one_is_good() {
    let mut ledger = ledger();
    let (second, third) = ("ca of beta|60|client/bob|60", "ca2 of beta|61|client/bob|61");
    assert_eq!(admit(&mut ledger, 2, second), C::Done);
    for again in [BOB, second] {
        assert_eq!(admit(&mut ledger, 2, again), C::AddressIsTaken, "{again}");
    }
    assert_eq!(admit(&mut ledger, 2, third), C::Done, "also one that ends no later");
    for again in [BOB, second, third] {
        assert_eq!(admit(&mut ledger, 2, again), C::AddressIsTaken, "{again}");
    }
    ledger.done(9, vec![evidence("ca2 of beta|61|superseded")]);
    assert_eq!(admit(&mut ledger, 2, second), C::Done);
}

/// `0001` is no certificate's number: it was done, and the certificate with the number 1 went on.
#[test]
fn a_number_with_a_zero_before_it_is_refused() {
    let mut ledger = ledger();
    for serial in [vec![0, 1], vec![0], vec![]] {
        let revoke =
            Revoke { identity: identity("beta/client/bob"), serial: Some(HexBytes(serial)), reason: "left".into() };
        assert_eq!(ledger.one(20, vec![Action::ParticipantRevoke(revoke)]).0, C::InvalidField);
    }
}

#[test]
fn what_does_not_convince_changes_nothing() {
    let oversize = format!("ca of beta|1|{}", "x".repeat(OCSP_BYTES_MAX));
    for (word, code) in [
        ("ca of beta 1 superseded", C::PathRefused),
        // A CA that is listed for nobody, or for nobody who is a member.
        ("ca3 of beta|1|superseded", C::PathRefused),
        ("ca of gamma|1|superseded", C::PathRefused),
        ("sub of gamma|1|superseded", C::PathRefused),
        ("", C::InvalidField),
        (&oversize, C::InvalidField),
    ] {
        let mut ledger = ledger();
        assert_eq!(ledger.one(1, vec![evidence(word)]).0, code, "{word:.40}");
        ledger.done(2, vec![append()]);
    }
}

#[test]
fn only_what_carries_its_authority_is_taken_from_a_stranger() {
    let revocation = || evidence("ca of beta|1|superseded");
    for (open, actions, code) in [
        (false, vec![revocation()], C::Done),
        (false, vec![revocation(), append()], C::NotAParticipant),
        (true, vec![revocation(), append()], C::Done),
        (true, vec![by_name("beta/client/bob", 1)], C::NoRight),
    ] {
        assert_eq!(ledger_with(open, Fees::default()).one(9, actions.clone()).0, code, "{open} {actions:?}");
    }
}

fn paying() -> Fees {
    Fees { asset: Some("coin".into()), issuer: Some(address(1)), base: Amount(5), ..Fees::default() }
}

/// A revoked key once went on signing on a channel with fees until the account that posts revocations had funds: a
/// transfer after a revocation for key compromise was done.
#[test]
fn a_revocation_is_done_though_its_poster_has_no_funds() {
    let mut ledger = ledger_with(false, paying());
    let revocation = || evidence("ca of beta|1|superseded");
    // What is done beside it is not free, and a fee that cannot be paid stops it all.
    for actions in [vec![append()], vec![revocation(), append()], vec![append(), revocation()]] {
        assert_eq!(ledger.one(1, actions).0, C::FeeUnpaid);
    }
    let receipt = ledger.run(&[(&[9], vec![revocation()])]).pop().unwrap();
    assert_eq!((receipt.head.code, receipt.head.fee), (C::Done.number(), Amount::ZERO), "{}", receipt.message());
    assert_eq!(ledger.one(2, vec![append()]).0, C::FeeUnpaid, "fees come first");
    assert!(participant(&ledger, 2).revoked_height.is_some());
}

/// Acts are free, also those that fail: strangers with a new key for each filled blocks with them, and each second
/// revocation of one certificate left a receipt.
#[test]
fn what_costs_nothing_and_would_fail_is_refused_at_the_door() {
    let good = || evidence("ca of beta|1|superseded");
    let forged = || evidence("ca of gamma|1|superseded");
    let revoked = |ledger: &mut Ledger| ledger.done(9, vec![good()]);
    let nothing = |_: &mut Ledger| {};
    type Row<'a> = (Fees, &'a dyn Fn(&mut Ledger), Vec<Action>, Option<C>);
    let rows: Vec<Row<'_>> = vec![
        (paying(), &nothing, vec![forged()], Some(C::PathRefused)),
        (paying(), &nothing, vec![good(), good()], Some(C::CertificateIsRevoked)),
        (paying(), &nothing, vec![good()], None),
        // Who pays may fail.
        (paying(), &nothing, vec![forged(), append()], None),
        (Fees::default(), &nothing, vec![forged()], Some(C::PathRefused)),
        (Fees::default(), &nothing, vec![good()], None),
        (Fees::default(), &revoked, vec![good()], Some(C::CertificateIsRevoked)),
        (Fees::default(), &revoked, vec![evidence("ca of beta|1|key-compromise")], None),
        (Fees::default(), &revoked, vec![admission(&ledger(), 2, BOB)], Some(C::CertificateIsRevoked)),
    ];
    for (fees, before, actions, expected) in rows {
        let mut ledger = ledger_with(false, fees);
        before(&mut ledger);
        let transaction = ledger.transaction(&[2], actions.clone());
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
