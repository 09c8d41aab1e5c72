//! Every form of JSON that somebody else sends: a structure is an object. serde reads an array in its place, by
//! position, so that `["north",null]` was an organization.

use client::api::{
    ApprovalBody, AuthorityView, BlockView, CertificateRequestBody, CertificateRequestView, ChannelSpec, ChannelView,
    CloudEvent, CrlTaken, IssuedView, JsonEnvelope, Outcome, Page, ParticipantView, PeerStatus, Position, Problem,
    ProposalView, RegisterPage, RejectionBody, RenewalBody, RevocationBody, RevokedView, TokenBody, TokenView,
};
use ledger_classes::action::Action;
use ledger_classes::formats::block::Seal;
use ledger_classes::formats::config::{ChannelConfig, ConfigChange};
use ledger_classes::formats::proof::Proof;
use ledger_classes::formats::transaction::Transaction;
use ledger_classes::primitives::json;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn h(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn address() -> String {
    format!("0x{}", "1".repeat(40))
}

fn key() -> String {
    "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".into()
}

const TIME: &str = "2026-01-01T00:00:00.000Z";

fn config() -> Value {
    json!({
        "rules": 1, "name": "main", "consortium": "c.example", "created": TIME, "salt": "00112233445566778899aabbccddeeff",
        "engine": "solo", "peers": [{ "identity": "spiffe://c.example/north/peer/a", "key": key(), "weight": 1 }], "threshold": 1,
        "organizations": [organization()], "grants": [grant()], "public_read": false, "open_submit": true,
        "limits": limits(), "fees": fees(), "approvals": "all", "witnesses": "own", "budgets": budgets(),
    })
}

fn organization() -> Value {
    json!({ "name": "north", "title": "North", "authorities": ["aabb"] })
}

fn grant() -> Value {
    json!({ "to": { "organization": "north" }, "rights": ["read:logs", "admin"] })
}

fn limits() -> Value {
    json!({
        "payload_bytes_max": 1, "actions_max": 2, "block_transactions_max": 3, "block_bytes_max": 4,
        "block_age_ms_max": 5,
    })
}

fn budgets() -> Value {
    let budget = || json!({ "steps": 1, "events": 2, "receipt_bytes": 3, "written_bytes": 4 });
    json!({ "transaction": budget(), "block": budget() })
}

fn fees() -> Value {
    json!({ "asset": "eur", "issuer": address(), "base": "1", "per_byte": "2", "collector": address() })
}

fn changes() -> Value {
    let with = |change: &str, body: Value| {
        let mut body = body;
        body["change"] = change.into();
        body
    };
    json!([
        with("grant", grant()),
        with("deny", json!({ "to": { "identity": "spiffe://c.example/north/admin/a" }, "rights": ["write:logs"] })),
        with("put_organization", organization()),
        with("remove_organization", json!({ "name": "north" })),
        with("set_limits", limits()),
        with("set_fees", fees()),
        with("set_approvals", json!({ "approvals": "any" })),
        with(
            "set_peers",
            json!({ "threshold": 1, "peers": [{ "identity": "spiffe://c.example/north/peer/a", "key": key(), "weight": 1 }] }),
        ),
        with("set_public_read", json!({ "public_read": true })),
        with("set_open_submit", json!({ "open_submit": false })),
        with("set_rules", json!({ "rules": 2 })),
        with("set_witnesses", json!({ "witnesses": "quorum" })),
        with("set_budgets", budgets()),
    ])
}

/// One of each, with everything that it may hold.
fn actions() -> Value {
    let transfer = || json!({ "asset": "eur", "to": address(), "amount": "1" });
    let freeze = || json!({ "asset": "eur", "account": address(), "amount": "1" });
    let item = || json!({ "asset": "art", "item": "one" });
    let deploy = || json!({ "contract": "a", "engine": "builtin", "code": "auction" });
    let name = |field: &str| json!({ field: "a" });
    let bodies = [
        (
            "asset.define",
            json!({
                "asset": "eur", "title": "Euro", "kind": { "fungible": { "decimals": 2, "supply_cap": "5" } },
                "mint_authority": address(), "burn_authority": address(), "control_authority": address(),
                "metadata": h('a'),
            }),
        ),
        ("asset.mint", transfer()),
        ("asset.burn", json!({ "asset": "eur", "amount": "1" })),
        ("asset.transfer", transfer()),
        ("asset.transfer_batch", json!({ "transfers": [transfer(), transfer()] })),
        ("asset.approve", json!({ "asset": "eur", "spender": address(), "amount": "1", "expected": "2" })),
        ("asset.transfer_from", json!({ "asset": "eur", "from": address(), "to": address(), "amount": "1" })),
        ("asset.freeze", freeze()),
        ("asset.unfreeze", freeze()),
        ("asset.lock", json!({ "asset": "eur", "amount": "1", "until": TIME })),
        ("asset.pause", name("asset")),
        ("asset.resume", name("asset")),
        ("asset.mint_item", json!({ "asset": "art", "item": "one", "to": address(), "metadata": h('b') })),
        ("asset.burn_item", item()),
        ("asset.transfer_item", json!({ "asset": "art", "item": "one", "to": address() })),
        ("asset.approve_item", json!({ "asset": "art", "item": "one", "spender": address() })),
        ("asset.freeze_item", item()),
        ("asset.unfreeze_item", item()),
        ("account.create", json!({ "keys": [key()], "threshold": 1 })),
        ("account.act", json!({ "account": address() })),
        ("contract.deploy", deploy()),
        ("contract.upgrade", deploy()),
        ("contract.retire", name("contract")),
        ("contract.create", json!({ "contract": "a", "instance": "b", "arguments": "{}" })),
        ("contract.call", json!({ "instance": "b", "method": "m", "arguments": "{}" })),
        (
            "app.publish",
            json!({
                "app": "a", "version": "1", "title": "A", "bundle": h('c'), "contracts": ["a"], "settings": "{}",
            }),
        ),
        ("app.update_settings", json!({ "app": "a", "settings": "{}" })),
        ("app.retire", name("app")),
        ("log.append", json!({ "topic": "t", "digest": h('d'), "body": "b" })),
        ("participant.admit", json!({ "address": address(), "path": ["aabb"], "possession": "00".repeat(64) })),
        (
            "participant.revoke",
            json!({ "identity": "spiffe://c.example/north/client/a", "serial": "01", "reason": "r" }),
        ),
        ("channel.propose", json!({ "changes": changes(), "reason": "r" })),
        ("channel.approve", json!({ "proposal": h('e') })),
        ("participant.revoke_by_evidence", json!({ "path": ["aabb"], "evidence": "cc" })),
        (
            "log.audit",
            json!({ "topic": "audit.x", "source": h('1'), "previous": h('0'), "digest": h('2'), "body": "b" }),
        ),
        ("channel.renew_authority", json!({ "organization": "north", "certificate": "aa", "proof": "bb" })),
        ("account.recover", json!({ "from": address(), "to": address(), "reason": "left", "asset": "eur" })),
        ("channel.withdraw", json!({ "proposal": h('e'), "reason": "r" })),
        ("participant.reinstate", json!({ "identity": "spiffe://c.example/north/client/a", "reason": "r" })),
        (
            "channel.revoke_authority",
            json!({ "certificate": "aa", "proof": "bb", "successor": { "certificate": "aa", "proof": "bb", "possession": "cc" } }),
        ),
    ];
    let typed = bodies.into_iter().map(|(action, mut body)| {
        body["type"] = action.into();
        body
    });
    typed.collect()
}

fn transaction() -> Value {
    json!({
        "channel": h('f'), "nonce": "1", "valid_until": TIME, "fee_max": "3", "actions": actions(), "memo": "m",
        "sender": address(),
    })
}

fn receipt() -> Value {
    let data = json!({ "kind": "asset.minted", "asset": "eur", "to": address(), "amount": "1" });
    json!({
        "id": h('a'), "height": 1, "index": 0, "code": 0, "result": "done", "message": "x", "fee": "0",
        "events": [{ "class": "assets", "topic": "asset.eur", "data": data }],
    })
}

fn problem() -> Value {
    json!({ "type": "urn:chancery:problem:x", "title": "x", "status": 429, "detail": "d", "retry_after_ms": 1 })
}

fn channel() -> Value {
    json!({
        "name": "main", "id": h('a'), "height": 1, "tip": h('b'), "time": TIME, "state": "replaying", "done": 1,
        "of": 2, "rights": ["write:logs"], "queue": { "transactions": 1, "bytes": 2, "subscriptions": 3 },
        "public_read": true, "open_submit": true, "config": config(),
    })
}

fn proof() -> Value {
    let evidence = || {
        json!({
            "header": "aa", "seal": "bb", "receipt": { "head": "cc", "blinding": h('b'), "path": [h('a')] },
            "transaction": { "envelope": "dd", "index": 1, "path": [] },
            "event": { "event": "ee", "index": 0, "blinding": h('b'), "path": [] },
            "detail": { "detail": "ff", "blinding": h('b') },
        })
    };
    json!({
        "version": 1,
        "trust": {
            "genesis": { "header": "aa", "orderers": "cc" },
            "links": [{ "header": "aa", "seal": "bb", "orderers": "cc" }],
        },
        "evidence": evidence(), "later": { "header": "aa", "seal": "bb", "path": [h('c')] },
    })
}

/// Calls `each` with every document that differs from `document` in one object only, which `change` made another.
fn vary(document: &Value, change: &dyn Fn(&serde_json::Map<String, Value>) -> Value, each: &mut dyn FnMut(Value)) {
    match document {
        Value::Object(object) => {
            each(change(object));
            for (name, value) in object {
                vary(value, change, &mut |other| {
                    let mut whole = object.clone();
                    whole.insert(name.clone(), other);
                    each(Value::Object(whole));
                });
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                vary(value, change, &mut |other| {
                    let mut whole = list.clone();
                    whole[at] = other;
                    each(Value::Array(whole));
                });
            }
        }
        _ => {}
    }
}

/// How many documents were refused.
fn check<T: DeserializeOwned>(document: &Value, strange_keys: bool) -> usize {
    let text = document.to_string();
    let read = json::from_str::<T>(&text);
    assert!(read.is_ok(), "{text}: {:?}", read.err());
    let mut refused = 0;
    let mut refuse = |other: Value| {
        assert!(json::from_str::<T>(&other.to_string()).is_err(), "{other}");
        assert!(json::from_value::<T>(other.clone()).is_err(), "{other}");
        refused += 1;
    };
    vary(document, &|object| object.values().cloned().collect(), &mut refuse);
    if strange_keys {
        let strange = |object: &serde_json::Map<String, Value>| {
            let mut object = object.clone();
            object.insert("strange".into(), Value::Null);
            Value::Object(object)
        };
        vary(document, &strange, &mut refuse);
        refuse_repeated_keys::<T>(document);
    }
    refused
}

/// A [`Value`] has no repeated keys: they are put into the text.
fn refuse_repeated_keys<T: DeserializeOwned>(document: &Value) {
    let marked = |object: &serde_json::Map<String, Value>| {
        let mut object = object.clone();
        object.insert("strange".into(), Value::Null);
        Value::Object(object)
    };
    vary(document, &marked, &mut |other| {
        let text = other.to_string();
        // Keys are in order: what stands beside the mark is another key of its object.
        let (before, after) = text.split_once("\"strange\":null").expect("marked");
        let Some(next) = after.strip_prefix(',') else { return };
        let key = next.split_once(':').expect("a key").0;
        let text = format!("{before}{key}:null{after}");
        assert!(json::from_str::<T>(&text).is_err(), "{text}");
    });
}

#[test]
fn every_action_and_change_is_in_the_sample() {
    let actions = actions();
    let have: BTreeSet<&str> =
        actions.as_array().expect("a list").iter().map(|a| a["type"].as_str().expect("a type")).collect();
    assert_eq!(have, Action::TYPES.iter().copied().collect());
    let changes: Vec<ConfigChange> = json::from_value(changes()).expect("changes");
    let numbers: BTreeSet<u8> = changes.iter().map(number).collect();
    assert_eq!(numbers, (0..13).collect(), "a change is not in the sample");
}

/// A new change does not compile here until it has its number, which the test misses then in the sample.
const fn number(change: &ConfigChange) -> u8 {
    match change {
        ConfigChange::Grant(_) => 0,
        ConfigChange::Deny(_) => 1,
        ConfigChange::PutOrganization(_) => 2,
        ConfigChange::RemoveOrganization { .. } => 3,
        ConfigChange::SetLimits(_) => 4,
        ConfigChange::SetFees(_) => 5,
        ConfigChange::SetApprovals { .. } => 6,
        ConfigChange::SetPeers { .. } => 7,
        ConfigChange::SetPublicRead { .. } => 8,
        ConfigChange::SetOpenSubmit { .. } => 9,
        ConfigChange::SetRules { .. } => 10,
        ConfigChange::SetWitnesses { .. } => 11,
        ConfigChange::SetBudgets(_) => 12,
    }
}

#[test]
fn what_others_post_is_made_of_objects_without_strange_or_repeated_keys() {
    assert!(check::<Transaction>(&transaction(), true) > 100);
    let signature = || json!({ "scheme": "ed25519", "key": h('a'), "signature": "00".repeat(64) });
    check::<JsonEnvelope>(&json!({ "payload": "{}", "signatures": [signature(), signature()] }), true);
    check::<JsonEnvelope>(&json!({ "payload_base64": "", "signatures": [signature()] }), true);
    check::<ChannelSpec>(
        &json!({
            "name": "a", "engine": "solo", "organizations": [organization()], "grants": [grant()],
            "public_read": true, "open_submit": false, "limits": limits(), "approvals": "all", "budgets": budgets(),
        }),
        true,
    );
    check::<CertificateRequestBody>(&json!({ "request": "r", "identity": "i", "token": "t" }), true);
    check::<ApprovalBody>(&json!({ "hosts": ["h"], "days": 1, "why": "w" }), true);
    check::<RejectionBody>(&json!({ "reason": "r", "why": "w" }), true);
    check::<RevocationBody>(&json!({ "serial": "01", "identity": "i", "reason": "superseded", "why": "w" }), true);
    check::<TokenBody>(&json!({ "identity": "i", "hours": 1, "hosts": ["h"], "days": 1, "why": "w" }), true);
    check::<RenewalBody>(&json!({ "request": "r", "certificate": "c", "at": TIME, "signature": "aa" }), true);
}

#[test]
fn a_genesis_and_a_proof_are_made_of_objects_without_strange_or_repeated_keys() {
    check::<ChannelConfig>(&config(), true);
    check::<Proof>(&proof(), true);
    let signed = json!({ "key": key(), "signature": "00".repeat(64) });
    let seal = json!({ "kind": "quorum", "place": 1, "signatures": [signed] });
    check::<Seal>(&seal, true);
}

/// A later peer may say more; an array is no answer.
#[test]
fn what_a_peer_answers_is_made_of_objects() {
    check::<Problem>(&problem(), false);
    check::<Position>(&json!({ "tip": 7 }), false);
    check::<Outcome>(
        &json!({ "id": h('a'), "status": "committed", "receipt": receipt(), "problem": problem() }),
        false,
    );
    check::<ChannelView>(&channel(), false);
    check::<PeerStatus>(
        &json!({
            "version": "1", "peer": "p", "consortium": "c", "started": TIME, "time": TIME, "caller": "x",
            "connections": 1, "certificate_not_after": TIME, "disk_trouble": "d", "incarnation": "i", "fenced": "f",
            "crl_troubles": ["the CRL of north lacks what was revoked"],
            "places": [{
                "what": "connections", "total": 9, "strangers": 1, "members": 2, "administrators": 3, "refused": 4,
            }],
            "channels": [channel()],
        }),
        false,
    );
    let header = json!({
        "version": 1, "channel": h('a'), "height": 1, "previous": h('a'), "time": TIME, "transaction_root": h('a'),
        "receipt_root": h('a'), "batch_root": h('a'), "writes_root": h('a'), "state_root": h('a'), "history_root": h('a'),
        "orderers_root": h('a'), "config_height": 0, "proposer": address(), "transactions": 1, "receipts": 1, "batches": 0,
    });
    let signed = json!({ "id": h('a'), "sender": address(), "transaction": transaction(), "receipt": receipt() });
    check::<BlockView>(
        &json!({
            "hash": h('a'), "header": header, "seal": { "kind": "genesis" }, "transactions": [signed],
            "timers": [receipt()],
        }),
        false,
    );
    check::<CloudEvent>(
        &json!({
            "specversion": "1.0", "id": "1.0.0", "source": "s", "type": "t", "subject": "s", "time": TIME,
            "datacontenttype": "application/json", "class": "assets", "transaction": h('a'),
            "data": { "kind": "asset.paused", "asset": "eur" }, "evidence": "{}",
        }),
        false,
    );
    check::<AuthorityView>(&json!({ "organization": "o", "anchor": true, "link": true, "pem": "p" }), false);
    check::<CrlTaken>(&json!({ "new": true, "revoked": 1, "older": true }), false);
    check::<CertificateRequestView>(
        &json!({
            "id": "i", "status": "issued", "identity": "i", "key": "k", "requested": TIME, "requester": "r",
            "approvals": ["a"], "approvals_needed": 1, "hosts": ["h"], "days": 90, "serial": "01", "reason": "r", "certificate": "c",
        }),
        false,
    );
    let issued = json!({
        "serial": "01", "identity": "i", "authority": "a", "status": "revoked", "not_before": TIME, "not_after": TIME,
        "fingerprint": h('a'), "key": h('b'), "request": "r", "renews": "02",
        "revoked": { "at": TIME, "reason": "superseded" },
        "acts": [{ "act": "issued", "at": TIME, "who": "w", "why": "y" }], "certificate": "c",
    });
    check::<RegisterPage<IssuedView>>(&json!({ "line": 1, "items": [issued], "next": "01" }), false);
    check::<RevokedView>(&json!({ "revoked": [issued] }), false);
    check::<TokenView>(&json!({ "token": "t", "identity": "i", "expires": TIME }), false);
    let approval = json!({ "organization": "o", "by": "b", "approved_height": 1, "counts": true });
    let proposal = json!({
        "id": h('a'), "kind": "recovery", "state": "open", "summary": ["s"], "changes": changes(),
        "authorities": [{
            "change": "drops", "member": "o", "subject": "O=o", "organization": "o", "key": h('b'), "serial": "01",
            "not_after": TIME, "compromised": true,
        }],
        "recovery": { "from": address(), "to": address(), "asset": "eur" }, "reason": "r", "by": "b",
        "proposed_height": 1, "ended_height": null, "approvals": [approval], "approvals_given": 1,
        "approvals_needed": 2, "not_yet": ["o"],
    });
    check::<Page<ProposalView>>(&json!({ "height": 1, "items": [proposal], "next": "aa" }), false);
    check::<ParticipantView>(
        &json!({
            "address": address(), "identity": "i", "organization": "o", "role": "admin", "standing": "admitted",
            "serial": "01", "not_after": TIME, "admitted_height": 1, "revoked_height": 2, "ended_height": 2,
        }),
        false,
    );
}
