//! Rules of the logs class, one row each.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::action::Action;
use crate::execution::test_support::{Ledger, address};
use crate::state::record;
use ResultCode as Code;

fn append(topic: &str, body: &str) -> Action {
    Action::LogAppend(Append { topic: topic.into(), digest: Some(Hash([3; 32])), body: body.into() })
}

#[test]
fn every_rule_of_logs_has_its_code() {
    let long = format!("{}.{}", "a".repeat(63), "b".repeat(64));
    let rows = [
        ("one label", append("audit", "x"), Code::Done),
        ("labels joined by dots", append("a.b-c.9", "x"), Code::Done),
        ("128 bytes", append(&long, "x"), Code::Done),
        ("129 bytes", append(&format!("a{long}"), "x"), Code::InvalidField),
        ("a label of 65 bytes", append(&"a".repeat(65), "x"), Code::InvalidField),
        ("no topic", append("", "x"), Code::InvalidField),
        ("an empty label", append("a..b", "x"), Code::InvalidField),
        ("a dot at the end", append("a.", "x"), Code::InvalidField),
        ("capitals", append("Audit", "x"), Code::InvalidField),
        ("the byte that ends names", append("a\0b", "x"), Code::InvalidField),
        ("the kind of an event", append("participant.revoked", "x"), Code::TopicIsReserved),
        ("the kind of another", append("channel.configured", "x"), Code::TopicIsReserved),
        ("a word of a kind", append("channel", "x"), Code::Done),
        ("no body", append("audit", ""), Code::Done),
        ("a body of 16 KiB", append("audit", &"x".repeat(16 * 1024)), Code::Done),
        ("a body above 16 KiB", append("audit", &"x".repeat(16 * 1024 + 1)), Code::InvalidField),
    ];
    for (rule, action, expected) in rows {
        let mut ledger = Ledger::new();
        let (code, message) = ledger.one(1, vec![action]);
        assert_eq!(code, expected, "{rule}: {message}");
    }
}

#[test]
fn a_record_says_who_when_and_in_which_transaction() {
    let mut ledger = Ledger::new();
    let time = ledger.time;
    let receipts = ledger.run(&[(&[2], vec![append("other", "o")]), (&[1], vec![append("t", "a"), append("t", "b")])]);
    let read = |index, action| -> Option<LogRecord> {
        record::read(&ledger.state, &keyspace::log("t", 1, index, action)).unwrap()
    };
    let expected = LogRecord {
        topic: "t".into(),
        author: address(1),
        time,
        transaction: receipts[1].head.id,
        digest: Some(Hash([3; 32])),
        body: "b".into(),
    };
    assert_eq!(read(1, 1), Some(expected));
    assert_eq!(read(1, 0).map(|record| record.body), Some("a".into()), "records of one transaction do not collide");
    assert_eq!(read(0, 0), None, "another topic");
    let event =
        Event::LogAppended { topic: "t".into(), author: address(1), digest: Some(Hash([3; 32])), body: "a".into() };
    assert_eq!(receipts[1].decoded_events().unwrap()[0], event);
}

#[test]
fn records_of_a_failed_transaction_are_not_kept() {
    let mut ledger = Ledger::new();
    let before = ledger.state.clone();
    let (code, _) = ledger.one(1, vec![append("t", "a"), append("T", "b")]);
    assert_eq!(code, Code::InvalidField);
    assert!(ledger.state == before);
}
