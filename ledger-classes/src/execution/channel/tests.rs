//! Who may be admitted, by whom, and what a proposal may not do to its channel.

use crate::action::channel::Admit;
use crate::execution::audit;
use crate::execution::logs::LogRecord;
use crate::execution::test_support::{Ledger, address, open_config, signer};
use crate::formats::config::{ChannelConfig, ConfigChange, Organization};
use crate::formats::detail::{PathFault, PathRefusal};
use crate::formats::outcome::ResultCode;
use crate::formats::rights::{Grant, Grantee, Right};
use crate::keys::{Address, PublicKey, Signature};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::{CertificatePaths, CertifiedIdentity, Participant, PathRules, possession_message};
use crate::state::record;
use crate::{action::Action, limits};

/// The "path" of a certificate here is one byte: the number of the identity's name and of its key.
struct Numbered;

impl CertificatePaths for Numbered {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("alpha".into())
    }

    fn verify(&self, _: PathRules, path: &[&[u8]], roots: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        let number = path[0][0];
        let role = if number == ADMIN || number >= MORE_ADMINS { Role::Admin } else { Role::Client };
        let key = if number == WEAK { neutral() } else { signer(number).public() };
        let identity = Identity::new("test.example", "alpha", role, &format!("n{number}")).expect("a valid identity");
        let authorities: Vec<Hash> = roots.iter().map(|der| Hash::plain(&[der])).collect();
        let issuer = authorities.first().copied().ok_or(PathFault::UnknownIssuer)?;
        let (not_after, serial, above) = (Time::from_millis(1_796_000_000_000), vec![number], Vec::new());
        Ok(CertifiedIdentity { identity, serial, issuer, not_after, key, authorities, above })
    }
}

const ADMIN: u8 = 30;
/// Administrators from here on.
const MORE_ADMINS: u8 = 100;
const WEAK: u8 = 66;

/// The neutral element: a signature of zeros and this point holds for every message.
fn neutral() -> PublicKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    PublicKey::ed25519(bytes)
}

fn ledger(config: ChannelConfig) -> Ledger {
    let mut ledger = Ledger::with_config(config);
    ledger.certificates = &Numbered;
    ledger
}

fn closed() -> ChannelConfig {
    let rights = [Right::Admin].into_iter().collect();
    let grants = vec![Grant { to: Grantee::Organization("alpha".into()), rights }];
    ChannelConfig { public_read: false, open_submit: false, grants, ..open_config() }
}

fn admission(ledger: &Ledger, certificate: u8, address: Address) -> Action {
    let possession = if certificate == WEAK {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        Signature(bytes)
    } else {
        signer(certificate).sign(&possession_message(&ledger.channel, &address))
    };
    Action::ParticipantAdmit(Admit { address, path: vec![HexBytes(vec![certificate])], possession })
}

/// Anybody with a certificate could once bind an address whose key was another's: its owner never got onto the
/// channel, and had the other's name when it signed.
#[test]
fn an_address_is_bound_by_its_own_key_only() {
    let mut ledger = ledger(closed());
    let stranger = admission(&ledger, 1, address(2));
    assert_eq!(ledger.one(1, vec![stranger.clone()]).0, ResultCode::PossessionRefused);
    let owner = admission(&ledger, 2, address(2));
    assert_eq!(ledger.one(1, vec![owner.clone()]).0, ResultCode::PossessionRefused, "not even with its own proof");
    ledger.done(2, vec![owner]);
    assert_eq!(ledger.signed(&[1, 2], vec![stranger]).0, ResultCode::AddressIsTaken);
    let joined = admission(&ledger, 3, address(3));
    assert_eq!(ledger.signed(&[1, 3], vec![joined]).0, ResultCode::Done, "who posts it need not be its owner");
}

/// Two addresses that stand for each other would be looked up for ever.
#[test]
fn an_address_whose_owner_was_recovered_is_never_admitted_again() {
    let mut ledger = ledger(closed());
    let successor = crate::execution::assets::Successor { to: address(3), height: 1 };
    ledger.put(keyspace::successor(&address(2)), &successor);
    for (number, expected) in [(2, ResultCode::AddressIsTaken), (3, ResultCode::Done)] {
        let admission = admission(&ledger, number, address(number));
        assert_eq!(ledger.one(number, vec![admission]).0, expected);
    }
}

#[test]
fn a_certificate_of_a_key_that_anybody_can_sign_for_admits_nobody() {
    let mut ledger = ledger(closed());
    let weak = admission(&ledger, WEAK, address(4));
    let (code, message) = ledger.one(4, vec![weak]);
    assert_eq!(code, ResultCode::PossessionRefused);
    assert!(message.contains("small order"), "{message}");
}

#[test]
fn an_admission_is_told_with_its_certificate() {
    let mut ledger = ledger(closed());
    let admit = admission(&ledger, 2, address(2));
    ledger.done(2, vec![admit]);
    let record: LogRecord = record::read(&ledger.state, &keyspace::log(audit::CHANNEL, 1, 0, 0))
        .expect("memory does not fail")
        .expect("a record");
    let expected = format!(
        r#"{{"act":"participant.admit","who":"spiffe://test.example/alpha/client/n2","certificate":"02","address":"{}","#,
        address(2)
    );
    assert!(record.body.starts_with(&expected), "{}", record.body);
}

/// A proposal that was stored but could not be read again halted the channel at the next approval.
#[test]
fn a_proposal_that_could_not_be_read_again_is_refused() {
    let mut ledger = ledger(closed());
    let admit = admission(&ledger, ADMIN, address(ADMIN));
    ledger.done(ADMIN, vec![admit]);
    let organization = |authorities| Organization { name: "beta".into(), title: String::new(), authorities };
    // 8 bytes each in the record, 2 in the JSON text that a payload may be; the second change makes the first vanish.
    let changes = vec![
        ConfigChange::PutOrganization(organization(vec![HexBytes::default(); 70_000])),
        ConfigChange::PutOrganization(organization(Vec::new())),
    ];
    let propose = crate::action::channel::Propose { changes, reason: String::new() };
    let payload = serde_json::to_string(&propose).expect("serializes");
    assert!(payload.len() < limits::PAYLOAD_BYTES_MAX);
    let transaction = ledger.json_transaction(ADMIN, vec![Action::ChannelPropose(propose)]);
    let receipt = ledger.preview(std::slice::from_ref(&transaction)).receipts.pop().expect("a receipt");
    assert_eq!(receipt.head.code, ResultCode::ConfigurationInvalid.number(), "{}", receipt.message());
}

/// An organization with 1,024 addresses of administrators counted as able to govern, unseen.
#[test]
fn no_number_of_revoked_administrators_counts_as_one_who_is_there() {
    let mut ledger = ledger(closed());
    let admit = |ledger: &mut Ledger, number: u8| {
        let admission = admission(ledger, number, address(number));
        ledger.done(number, vec![admission]);
    };
    let revoke = |ledger: &mut Ledger, number: u8| {
        let key = keyspace::participant(&address(number));
        let mut record: Participant = record::read(&ledger.state, &key).expect("readable").expect("a record");
        record.revoked_height = Some(ledger.height);
        ledger.put(key, &record);
    };
    let propose = |public_read| {
        let changes = vec![ConfigChange::SetPublicRead { public_read }];
        vec![Action::ChannelPropose(crate::action::channel::Propose { changes, reason: String::new() })]
    };
    let known = u8::try_from(limits::ADMINISTRATORS_KNOWN_MAX).expect("fits");
    let (first, last) = (MORE_ADMINS, MORE_ADMINS + known);
    (first..last).for_each(|number| admit(&mut ledger, number));
    // One who is gone makes room for the next, and not the first.
    revoke(&mut ledger, first + 9);
    admit(&mut ledger, last);
    (first + 1..=last).for_each(|number| revoke(&mut ledger, number));
    ledger.done(first, propose(true));
    // Of more who were all good the last are known; who is forgotten is known again when it is admitted again.
    (last + 1..=last + known).for_each(|number| admit(&mut ledger, number));
    (last + 1..=last + known).for_each(|number| revoke(&mut ledger, number));
    let (code, message) = ledger.one(first, propose(false));
    assert_eq!(code, ResultCode::ConfigurationInvalid);
    assert!(message.contains("admitted first"), "{message}");
    admit(&mut ledger, first);
    ledger.done(first, propose(false));
}

/// An admission is free, also where nothing else is: the same one could fill blocks for ever.
#[test]
fn an_admission_that_changes_nothing_is_refused() {
    let mut ledger = ledger(closed());
    for number in [2, ADMIN] {
        let admit = admission(&ledger, number, address(number));
        ledger.done(number, vec![admit.clone()]);
        let (code, message) = ledger.one(number, vec![admit.clone()]);
        assert_eq!(code, ResultCode::AddressIsTaken);
        assert!(message.contains("already"), "{message}");
        // What was revoked comes back.
        let key = keyspace::participant(&address(number));
        let mut record: Participant = record::read(&ledger.state, &key).expect("readable").expect("a record");
        (record.serial, record.revoked_height) = (HexBytes(vec![99]), Some(1));
        ledger.put(key, &record);
        ledger.done(number, vec![admit]);
    }
}

/// 31 good ones and a bad one cost nothing, and paths are verified before anything is paid or kept.
#[test]
fn a_transaction_has_few_admissions() {
    let mut ledger = ledger(closed());
    let people: Vec<u8> = (1..=5).collect();
    let admissions: Vec<Action> = people.iter().map(|number| admission(&ledger, *number, address(*number))).collect();
    let (code, message) = ledger.signed(&people, admissions.clone());
    assert_eq!(code, ResultCode::TooManyAdmissions, "{message}");
    let (code, message) =
        ledger.signed(&people[..limits::ADMISSIONS_MAX], admissions[..limits::ADMISSIONS_MAX].to_vec());
    assert_eq!(code, ResultCode::Done, "{message}");
}

/// With the role alone, 64 of them pushed out those who can change the channel.
#[test]
fn administrators_without_the_right_do_not_push_out_those_who_have_it() {
    let right: crate::formats::rights::Rights = [Right::Admin].into_iter().collect();
    let identity = Identity::new("test.example", "alpha", Role::Admin, &format!("n{ADMIN}")).expect("valid");
    let grants = vec![Grant { to: Grantee::Identity(identity), rights: right }];
    let mut ledger = ledger(ChannelConfig { grants, ..closed() });
    let known = u8::try_from(limits::ADMINISTRATORS_KNOWN_MAX).expect("fits");
    for number in [ADMIN].into_iter().chain(MORE_ADMINS..=MORE_ADMINS + known) {
        let admission = admission(&ledger, number, address(number));
        ledger.done(number, vec![admission]);
    }
    let changes = vec![ConfigChange::SetPublicRead { public_read: true }];
    let propose = crate::action::channel::Propose { changes, reason: String::new() };
    ledger.done(ADMIN, vec![Action::ChannelPropose(propose)]);
}
