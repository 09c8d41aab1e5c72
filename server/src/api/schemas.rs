//! Schemas of the OpenAPI document. The forms themselves are `client`'s; a test in this file holds the two together.

use serde_json::{Value, json};

/// Every schema by name.
pub(super) fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let number = || json!({ "type": "integer", "minimum": 0 });
    let amount = || json!({ "type": "string", "pattern": "^[0-9]+$" });
    let hash = || json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    let hex = || json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let class = || json!({ "enum": ["assets", "contracts", "apps", "logs"] });
    let any = || json!({ "type": "object" });
    let list = |of: Value| json!({ "type": "array", "items": of });
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let page =
        |of: Value| object(json!({ "height": number(), "items": list(of), "next": text() }), &["height", "items"]);
    json!({
        "Problem": object(
            json!({
                "type": { "type": "string", "format": "uri" }, "title": text(), "status": number(),
                "detail": text(), "retry_after_ms": number(),
            }),
            &["type", "title", "status"],
        ),
        "Envelope": object(
            json!({
                "payload": { "type": "string", "description": "the JSON text of the transaction, as it was signed" },
                "payload_base64": { "type": "string", "contentEncoding": "base64" },
                "signatures": list(object(
                    json!({ "scheme": { "enum": ["ed25519", "ecdsa-p256"] }, "key": hex(), "signature": hex() }),
                    &["scheme", "key", "signature"],
                )),
            }),
            &["signatures"],
        ),
        "Outcome": object(
            json!({
                "id": hash(), "status": { "enum": ["accepted", "committed", "refused"] },
                "receipt": named("Receipt"), "problem": named("Problem"),
            }),
            &["status"],
        ),
        "Outcomes": { "oneOf": [named("Outcome"), list(named("Outcome"))] },
        "Receipt": object(
            json!({
                "id": hash(), "height": number(), "index": number(), "code": number(), "result": text(),
                "message": text(), "fee": amount(), "events": list(named("Event")),
            }),
            &["id", "height", "index", "code", "result", "fee", "events"],
        ),
        "Event": object(json!({ "class": class(), "topic": text(), "data": any() }), &["class", "topic", "data"]),
        "CloudEvent": object(
            json!({
                "specversion": { "const": "1.0" }, "id": text(), "source": text(), "type": text(), "subject": text(),
                "time": time(), "datacontenttype": text(), "class": class(), "transaction": hash(), "data": any(),
                "evidence": { "type": "string", "contentMediaType": "application/json" },
            }),
            &["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "class", "transaction",
              "data"],
        ),
        "Queue": object(
            json!({ "transactions": number(), "bytes": number(), "subscriptions": number() }),
            &["transactions", "bytes", "subscriptions"],
        ),
        "Channel": object(
            json!({
                "name": text(), "id": hash(), "height": number(), "tip": hash(), "time": time(),
                "state": { "enum": ["opening", "replaying", "serving", "draining", "closed", "halted"] },
                "done": number(), "of": number(), "reason": text(), "rights": list(text()), "queue": named("Queue"),
                "config": any(),
            }),
            &["name", "id", "height", "tip", "time", "state", "rights", "queue"],
        ),
        "ChannelPage": page(named("Channel")),
        "ChannelSpec": object(
            json!({
                "name": { "type": "string", "pattern": "^[a-z0-9-]{1,64}$" },
                "engine": { "enum": ["solo", "raft", "bft"] },
                "organizations": list(object(
                    json!({ "name": text(), "title": text(), "authorities": list(hex()) }),
                    &["name"],
                )),
                "grants": list(any()), "public_read": { "type": "boolean" }, "open_submit": { "type": "boolean" },
                "limits": any(), "fees": any(), "approvals": { "enum": ["any", "majority", "all"] },
            }),
            &["name", "organizations"],
        ),
        "PeerStatus": object(
            json!({
                "version": text(), "peer": text(), "consortium": text(), "started": time(), "time": time(),
                "caller": text(), "connections": number(), "certificate_not_after": time(), "disk_trouble": text(),
                "obstacles": list(object(
                    json!({ "channel": text(), "duty": text(), "subject": text(), "reason": text() }),
                    &["channel", "duty", "reason"],
                )),
                "incarnation": text(), "fenced": text(),
                "tasks": list(object(
                    json!({ "name": text(), "running": number(), "restarts": number() }),
                    &["name", "running", "restarts"],
                )),
                "log_lines_lost": number(), "channels_incomplete": text(),
                "channels": list(named("Channel")),
            }),
            &["version", "peer", "consortium", "started", "time", "connections", "certificate_not_after", "tasks",
                "log_lines_lost", "channels"],
        ),
        "Block": object(
            json!({
                "hash": hash(), "header": any(), "seal": any(),
                "transactions": list(object(
                    json!({
                        "id": hash(), "sender": text(), "transaction": any(), "receipt": named("Receipt"),
                    }),
                    &["id", "sender", "transaction", "receipt"],
                )),
                "timers": list(named("Receipt")),
            }),
            &["hash", "header", "seal", "transactions", "timers"],
        ),
        "BlockPage": page(named("Block")),
        "Account": object(
            json!({
                "height": number(), "address": text(),
                "balances": list(object(
                    json!({
                        "asset": text(), "decimals": number(), "owned": amount(), "free": amount(), "frozen": amount(),
                        "locked": amount(),
                    }),
                    &["asset", "decimals", "owned", "free", "frozen", "locked"],
                )),
                "items": list(object(json!({ "asset": text(), "item": text() }), &["asset", "item"])),
                "participant": any(), "joint": any(),
            }),
            &["height", "address", "balances", "items"],
        ),
        "Record": { "type": "object", "description": "a record of its class, with the height that it reflects" },
        "RecordPage": page(any()),
        "Trust": object(json!({ "genesis": hex(), "links": list(any()) }), &["genesis", "links"]),
        "Proof": object(
            json!({ "version": number(), "trust": named("Trust"), "evidence": any(), "later": any() }),
            &["version", "trust", "evidence"],
        ),
        "Authorities": list(object(
            json!({ "organization": text(), "anchor": { "type": "boolean" }, "link": { "type": "boolean" }, "pem": text() }),
            &["anchor", "pem"],
        )),
        "CertificateRequestBody": object(
            json!({ "request": text(), "identity": text(), "token": text() }),
            &["request"],
        ),
        "CertificateRequest": object(
            json!({
                "id": text(), "status": { "enum": ["requested", "approved", "rejected", "issued", "lapsed"] },
                "identity": text(), "key": hash(), "requested": time(), "requester": text(),
                "approvals": list(text()), "approvals_needed": number(), "reason": text(), "certificate": text(),
            }),
            &["id", "status", "identity", "key", "requested", "approvals_needed"],
        ),
        "CertificateRequests": list(named("CertificateRequest")),
        "ApprovalBody": object(json!({ "hosts": list(text()), "days": number(), "why": text() }), &[]),
        "RejectionBody": object(json!({ "reason": text(), "why": text() }), &["reason"]),
        "RenewalBody": object(
            json!({ "request": text(), "certificate": text(), "at": time(), "signature": hex() }),
            &["request"],
        ),
        "CrlTaken": object(json!({ "new": { "type": "boolean" }, "revoked": number() }), &["new", "revoked"]),
        "IssuedCertificate": object(json!({ "certificate": text() }), &["certificate"]),
    })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use client::api::{ChannelState, ChannelView, Outcome, Problem, QueueView, ReceiptView, SubmissionStatus};
    use ledger_classes::{amount::Amount, hash::Hash, rights::Rights};
    use std::collections::BTreeSet;

    /// Every field of a full value is documented, and every field of an empty one is what the schema requires.
    fn check(name: &str, full: &impl serde::Serialize) {
        let schemas = schemas();
        let documented: BTreeSet<&String> = schemas[name]["properties"].as_object().unwrap().keys().collect();
        let value = serde_json::to_value(full).unwrap();
        let present: BTreeSet<&String> = value.as_object().unwrap().keys().collect();
        assert!(present.is_subset(&documented), "{name}: {present:?}");
        for required in schemas[name]["required"].as_array().unwrap() {
            let required = required.as_str().unwrap().to_owned();
            assert!(present.contains(&required), "{name}: {required} is required but absent");
        }
    }

    #[test]
    fn schemas_name_the_fields_that_are_sent() {
        let problem = Problem {
            type_uri: "x".into(),
            title: "x".into(),
            status: 429,
            detail: Some("x".into()),
            retry_after_ms: Some(1),
        };
        let receipt = ReceiptView {
            id: Hash::ZERO,
            height: 1,
            index: 0,
            code: 0,
            result: "done".into(),
            message: "x".into(),
            fee: Amount::ZERO,
            events: Vec::new(),
        };
        check("Problem", &problem);
        check("Receipt", &receipt);
        check(
            "Outcome",
            &Outcome {
                id: Some(Hash::ZERO),
                status: SubmissionStatus::Committed,
                receipt: Some(receipt),
                problem: Some(problem),
            },
        );
        check("Queue", &QueueView::default());
        check(
            "Channel",
            &ChannelView {
                name: "x".into(),
                id: Hash::ZERO,
                height: 0,
                tip: Hash::ZERO,
                time: Default::default(),
                state: ChannelState::Replaying { done: 1, of: 2 },
                rights: Rights::NONE,
                queue: QueueView::default(),
                config: None,
            },
        );
    }
}
