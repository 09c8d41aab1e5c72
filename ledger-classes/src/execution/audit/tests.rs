//! Who may write under `audit.`, that a sequence has each record once, and that each act on a channel is told.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::action::Action;
use crate::action::channel::{Approve, Propose, Revoke};
use crate::action::logs::Append;
use crate::execution::channel::Subject;
use crate::execution::logs::LogRecord;
use crate::execution::test_support::{Ledger, address, open_config, signer};
use crate::formats::config::{Approvals, ChannelConfig, ConfigChange, Engine, OrderingPeer, Organization};
use crate::formats::event::Event;
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::primitives::identity::Role;
use crate::rules::NEXT;
use crate::state::record;
use crate::state::view::scan;
use ResultCode as Code;

/// The signer whose key seals blocks of [`open_config`].
const ORDERER: u8 = 200;

fn next(topic: &str, source: u8, previous: u8, digest: u8) -> Action {
    let hash = |byte| Hash([byte; 32]);
    let (source, previous, digest) = (hash(source), hash(previous), hash(digest));
    Action::LogAudit(Audit { topic: topic.into(), source, previous, digest, body: "{}".into() })
}

fn append(topic: &str) -> Action {
    Action::LogAppend(Append { topic: topic.into(), digest: None, body: String::new() })
}

/// All records of `topic`, in order.
fn records(ledger: &Ledger, topic: &str) -> Vec<LogRecord> {
    let prefix = keyspace::key(keyspace::Family::Log, &[topic.as_bytes(), &[0]]);
    let found = scan(&ledger.state, &prefix, &prefix, 100).unwrap();
    found.iter().map(|(_, value)| record::from_value(value).unwrap()).collect()
}

#[test]
fn nobody_forges_an_administrative_act() {
    let big = Action::LogAudit(Audit {
        topic: CERTIFICATE.into(),
        source: Hash::ZERO,
        previous: Hash::ZERO,
        digest: Hash([1; 32]),
        body: "x".repeat(LOG_BODY_BYTES_MAX + 1),
    });
    for (rule, sender, action, code) in [
        ("a word that only begins like it", 1, append("auditors.notes"), Code::Done),
        ("the word alone", 1, append("audit"), Code::Done),
        ("below it", 1, append("audit.certificate"), Code::TopicIsReserved),
        ("an orderer has its own action", ORDERER, append("audit.certificate"), Code::TopicIsReserved),
        ("execution's own topic", ORDERER, append(CHANNEL), Code::TopicIsReserved),
        ("execution's own topic as a sequence", ORDERER, next(CHANNEL, 1, 0, 1), Code::InvalidField),
        ("a topic outside", ORDERER, next("certificates", 1, 0, 1), Code::InvalidField),
        ("no topic below", ORDERER, next("audit.", 1, 0, 1), Code::InvalidField),
        ("anybody", 1, next(CERTIFICATE, 1, 0, 1), Code::NoRight),
        ("an orderer", ORDERER, next(CERTIFICATE, 1, 0, 1), Code::Done),
        ("no digest", ORDERER, next(CERTIFICATE, 1, 0, 0), Code::InvalidField),
        ("a body above the limit", ORDERER, big, Code::InvalidField),
    ] {
        let mut ledger = Ledger::new();
        let before = ledger.state.clone();
        let (result, message) = ledger.one(sender, vec![action]);
        assert_eq!(result, code, "{rule}: {message}");
        assert_eq!(ledger.state == before, code != Code::Done, "{rule}");
    }
}

#[test]
fn a_sequence_has_each_record_once_and_in_order() {
    let mut ledger = Ledger::new();
    let rows = [
        ("the first", next(CERTIFICATE, 1, 0, 10), Code::Done),
        ("the first again", next(CERTIFICATE, 1, 0, 10), Code::AuditOutOfSequence),
        ("a gap", next(CERTIFICATE, 1, 11, 12), Code::AuditOutOfSequence),
        ("the second", next(CERTIFICATE, 1, 10, 11), Code::Done),
        ("another second", next(CERTIFICATE, 1, 10, 99), Code::AuditOutOfSequence),
        ("itself", next(CERTIFICATE, 1, 11, 11), Code::InvalidField),
        ("another source", next(CERTIFICATE, 2, 0, 10), Code::Done),
        ("another topic", next("audit.peer", 1, 0, 10), Code::Done),
        ("the third", next(CERTIFICATE, 1, 11, 12), Code::Done),
    ];
    for (rule, action, code) in rows {
        let (result, message) = ledger.one(ORDERER, vec![action]);
        assert_eq!(result, code, "{rule}: {message}");
    }
    let digests: Vec<u8> = records(&ledger, CERTIFICATE).iter().map(|record| record.digest.unwrap().0[0]).collect();
    assert_eq!(digests, [10, 11, 10, 12]);
    let head: AuditHead =
        record::read(&ledger.state, &keyspace::audit_head(CERTIFICATE, &Hash([1; 32]))).unwrap().unwrap();
    assert_eq!(head, AuditHead { digest: Hash([12; 32]), height: 9, author: address(ORDERER) });
    // Several at once, as a peer posts them.
    ledger.done(ORDERER, vec![next(CERTIFICATE, 1, 12, 13), next(CERTIFICATE, 1, 13, 14)]);
    assert_eq!(records(&ledger, CERTIFICATE).len(), 6);
}

/// One faulty peer of several could have put an end to the records of all others.
#[test]
fn a_sequence_is_its_authors_while_that_one_orders() {
    let with = |peers: &[u8]| {
        let mut config = open_config();
        let peer = |number: &u8| OrderingPeer {
            identity: Identity::new("test.example", "alpha", Role::Peer, &format!("p{number}")).unwrap(),
            key: signer(*number).public(),
            weight: 1,
        };
        config.peers = peers.iter().map(peer).collect();
        config.threshold = peers.len() as u64;
        (config.rules, config.engine) = (NEXT, Engine::Raft);
        Ledger::with_config(config)
    };
    let mut ledger = with(&[ORDERER, 8]);
    ledger.done(ORDERER, vec![next(CERTIFICATE, 1, 0, 10)]);
    let (result, message) = ledger.one(8, vec![next(CERTIFICATE, 1, 10, 11)]);
    assert_eq!(result, Code::NoRight, "{message}");
    ledger.done(8, vec![next(CERTIFICATE, 2, 0, 20)]);
    // Its author has left: the next one goes on.
    let mut after = with(&[8]);
    let head = keyspace::audit_head(CERTIFICATE, &Hash([1; 32]));
    after.put(head.clone(), &record::read::<AuditHead>(&ledger.state, &head).unwrap().unwrap());
    after.done(8, vec![next(CERTIFICATE, 1, 10, 11)]);
}

/// A channel of two organizations whose administrators are signers 1 and 2; both must approve.
fn of_two() -> Ledger {
    let mut config = ChannelConfig { public_read: false, open_submit: false, ..open_config() };
    config.organizations.push(Organization {
        name: "beta".into(),
        title: String::new(),
        authorities: vec![HexBytes(vec![0x30])],
    });
    config.approvals = Approvals::All;
    let admin = Rights::from_iter([Right::Admin]);
    for name in ["alpha", "beta"] {
        config.grants.push(Grant { to: Grantee::Organization(name.into()), rights: admin });
    }
    let mut ledger = Ledger::with_config(config);
    for (number, organization) in [(1, "alpha"), (2, "beta")] {
        ledger.admit(number, &Identity::new("test.example", organization, Role::Admin, "ann").unwrap());
    }
    ledger
}

#[test]
fn an_act_on_the_channel_is_told_with_who_and_why() {
    let mut ledger = of_two();
    let carl = Identity::new("test.example", "beta", Role::Client, "carl").unwrap();
    let rights = Rights::from_iter([Right::Write(Class::Logs)]);
    let changes = vec![
        ConfigChange::Grant(Grant { to: Grantee::Identity(carl.clone()), rights }),
        ConfigChange::Deny(Grant { to: Grantee::Organization("beta".into()), rights }),
        ConfigChange::SetApprovals { approvals: Approvals::Any },
    ];
    let reason = "carl takes \"over\"".to_owned();
    let receipts = ledger.run(&[(&[1], vec![Action::ChannelPropose(Propose { changes, reason })])]);
    let proposal = receipts[0].head.id;
    ledger.done(2, vec![Action::ChannelApprove(Approve { proposal })]);
    let revoke = Revoke { identity: carl.clone(), serial: Some(HexBytes(vec![7])), reason: "left".into() };
    ledger.done(2, vec![Action::ParticipantRevoke(revoke)]);

    let told = records(&ledger, CHANNEL);
    let bodies: Vec<&str> = told.iter().map(|record| record.body.as_str()).collect();
    let (ann, other) = ("spiffe://test.example/alpha/admin/ann", "spiffe://test.example/beta/admin/ann");
    let rest = format!(
        r#""why":"carl takes \"over\"","proposal":"{proposal}","changes":[{{"change":"grant","to":"{carl}","rights":["write:logs"]}},{{"change":"deny","to":"beta","rights":["write:logs"]}},{{"change":"set_approvals","approvals":"any"}}]"#
    );
    assert_eq!(
        bodies,
        [
            format!(r#"{{"act":"channel.propose","who":"{ann}",{rest},"approvals":1,"needed":2,"effective":null}}"#),
            format!(r#"{{"act":"channel.approve","who":"{other}",{rest},"approvals":2,"needed":2,"effective":3}}"#),
            format!(r#"{{"act":"participant.revoke","who":"{other}","why":"left","identity":"{carl}","serial":"07"}}"#),
        ]
    );
    assert_eq!((told[0].author, told[0].transaction), (address(1), proposal));
    // The same is in the receipt, where it can be proven.
    let events = receipts[0].decoded_events().unwrap();
    let appended =
        Event::LogAppended { topic: CHANNEL.into(), author: address(1), digest: None, body: bodies[0].to_owned() };
    assert_eq!(events.last(), Some(&appended));
}

#[test]
fn an_act_that_is_refused_is_not_told() {
    let mut ledger = of_two();
    let carl = Identity::new("test.example", "beta", Role::Client, "carl").unwrap();
    let revoke = Revoke { identity: carl, serial: Some(HexBytes(vec![7])), reason: "not mine".into() };
    assert_eq!(ledger.one(1, vec![Action::ParticipantRevoke(revoke)]).0, Code::OtherOrganization);
    assert_eq!(records(&ledger, CHANNEL), []);
}

/// An orderer of a private channel is no participant there; a stranger brings no authority.
#[test]
fn an_orderer_appends_without_a_participant_record() {
    let mut ledger = of_two();
    ledger.done(ORDERER, vec![next(CERTIFICATE, 1, 0, 1)]);
    assert_eq!(ledger.one(9, vec![next(CERTIFICATE, 1, 1, 2)]).0, Code::NoRight);
}

/// A proposal may change things of names that no configuration could hold.
#[test]
fn the_longest_record_is_within_the_limit() {
    let label = |letter: &str| letter.repeat(64);
    let long = Identity::new(&"c".repeat(255), &label("o"), Role::Auditor, &label("n")).unwrap();
    let all = Rights::member().union(Rights::from_iter([Right::Admin, Right::Audit, Right::Order, Right::Hold]));
    let to = [Grantee::Identity(long.clone()), Grantee::Organization("\u{1}".repeat(100_000))];
    let changes: Vec<ConfigChange> =
        (0..17).map(|number| ConfigChange::Deny(Grant { to: to[number / 16].clone(), rights: all })).collect();
    let subject = Subject::Configuration(changes);
    assert_eq!(in_words(&subject)[16], "and 1 more");
    let (changes, more) = told(&subject);
    assert_eq!((changes.len(), more), (16, 1));
    let why = "\u{1}".repeat(crate::limits::MEMO_BYTES_MAX);
    let ballot = Ballot {
        who: &long,
        why: &why,
        proposal: Hash::ZERO,
        changes,
        more,
        approvals: usize::MAX,
        needed: usize::MAX,
        effective: Some(u64::MAX),
    };
    let bytes = serde_json::to_string(&Act::Approve(ballot)).unwrap().len();
    assert!((10_000..LOG_BODY_BYTES_MAX).contains(&bytes), "{bytes}");
}
