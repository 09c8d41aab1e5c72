//! Schemas of the OpenAPI document. The forms themselves are `client`'s; a test in this file holds the two together.

mod forms;
mod governance;
mod streams;

pub(super) use forms::{address, hash, height, label, version};
use forms::{amount, body, class, hex, list, list_of, named, number, number_to, object, or_null, text, time};
use ledger_classes::limits::{
    CERTIFICATE_BYTES_MAX, GRANTS_MAX, ORGANIZATIONS_MAX, PAYLOAD_BYTES_MAX, SIGNATURES_MAX, TITLE_BYTES_MAX,
};
use serde_json::{Value, json};

/// Every schema by name.
pub(super) fn schemas() -> Value {
    let any = || json!({ "type": "object" });
    let page = |of: Value| {
        object(json!({ "height": number(), "items": list(of), "next": or_null(text()) }), &["height", "items"])
    };
    let rights = || {
        let word = "^((read|write):(assets|contracts|apps|logs)|admin|audit|order|hold)$";
        list(json!({ "type": "string", "pattern": word }))
    };
    let identity = "^spiffe://[a-z0-9._-]{1,255}/[a-z0-9-]{1,64}/(peer|admin|client|auditor)/[A-Za-z0-9._-]{1,64}$";
    let identity = || json!({ "type": "string", "pattern": identity, "maxLength": 512 });
    let grant = || {
        let organization = body(json!({ "organization": label() }), &["organization"]);
        let to = json!({ "oneOf": [organization, body(json!({ "identity": identity() }), &["identity"])] });
        body(json!({ "to": to, "rights": rights() }), &["to", "rights"])
    };
    let limits = || {
        let each = || number_to(u32::MAX.into());
        let names =
            ["payload_bytes_max", "actions_max", "block_transactions_max", "block_bytes_max", "block_age_ms_max"];
        let properties: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).into(), each())).collect();
        body(properties.into(), &names)
    };
    let budgets = || {
        let names = ["steps", "events", "receipt_bytes", "written_bytes"];
        let budget = || {
            let properties: serde_json::Map<String, Value> =
                names.iter().map(|name| ((*name).into(), number_to(u32::MAX.into()))).collect();
            body(properties.into(), &names)
        };
        body(json!({ "transaction": budget(), "block": budget() }), &["transaction", "block"])
    };
    let why = || or_null(json!({ "type": "string", "maxLength": 256 }));
    let pem = || json!({ "type": "string", "minLength": 1 });
    let signature = || {
        let of = |scheme: &str, key: usize| {
            let digits = |count: usize| json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{count}}}$") });
            body(
                json!({ "scheme": { "const": scheme }, "key": digits(key), "signature": digits(128) }),
                &["scheme", "key", "signature"],
            )
        };
        json!({ "oneOf": [of("ed25519", 64), of("ecdsa-p256", 130)] })
    };
    let envelope = |name: &str, payload: Value| {
        body(json!({ name: payload, "signatures": list_of(signature(), 1, SIGNATURES_MAX) }), &[name, "signatures"])
    };
    let mut all = json!({
        "Problem": object(
            json!({
                "type": { "type": "string", "pattern": "^urn:chancery:problem:[a-z0-9-]+$" }, "title": text(),
                "status": { "type": "integer", "minimum": 400, "maximum": 599 }, "detail": text(),
                "refusal": named("Detail"), "retry_after_ms": number(),
            }),
            &["type", "title", "status"],
        ),
        "Envelope": {
            "oneOf": [
                envelope("payload", json!({
                    "type": "string", "contentMediaType": "application/json", "maxLength": PAYLOAD_BYTES_MAX,
                    "description": "the JSON text of the transaction, as it was signed",
                })),
                envelope("payload_base64", json!({
                    "type": "string", "contentEncoding": "base64", "maxLength": PAYLOAD_BYTES_MAX.div_ceil(3) * 4,
                    "description": "the binary encoding of the transaction",
                })),
            ],
        },
        "Outcome": object(
            json!({
                "id": hash(), "status": { "enum": ["accepted", "committed", "refused"] },
                "receipt": named("Receipt"), "problem": named("Problem"),
            }),
            &["status"],
        ),
        "Outcomes": { "anyOf": [named("Outcome"), list(named("Outcome"))] },
        "Receipt": object(
            json!({
                "id": hash(), "height": number(), "index": number(), "code": number(), "result": text(),
                "message": text(), "detail": named("Detail"), "fee": amount(), "events": list(named("Event")),
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
        "Events": {
            "type": "object",
            "description": "an event of the stream: `id` is the cursor, `data` the text of a CloudEvent (the schema of that name), or of a problem in an `event` of that name",
            "properties": { "id": text(), "event": text(), "data": text() },
        },
        "Queue": object(
            json!({ "transactions": number(), "bytes": number(), "subscriptions": number() }),
            &["transactions", "bytes", "subscriptions"],
        ),
        "DiskUse": object(
            json!({ "bytes": number(), "bytes_waiting": number(), "bytes_max": number() }),
            &["bytes", "bytes_waiting", "bytes_max"],
        ),
        "Channel": object(
            json!({
                "name": label(), "id": hash(), "height": number(), "tip": hash(), "time": time(),
                "state": { "enum": ["opening", "replaying", "serving", "draining", "closed", "halted"] },
                "done": number(), "of": number(), "reason": text(), "rights": rights(), "queue": named("Queue"),
                "public_read": { "type": "boolean" }, "open_submit": { "type": "boolean" }, "config": any(),
                "config_height": number(), "disk": named("DiskUse"),
            }),
            &["name", "id", "height", "tip", "time", "state", "rights", "public_read", "open_submit", "queue"],
        ),
        "ChannelPage": page(named("Channel")),
        "ChannelSpec": body(
            json!({
                "name": label(),
                "engine": or_null(json!({ "enum": ["solo", "raft", "bft"] })),
                "organizations": list_of(
                    body(
                        json!({
                            "name": label(),
                            "title": or_null(json!({ "type": "string", "maxLength": TITLE_BYTES_MAX })),
                            "authorities": list(json!({
                                "type": "string", "pattern": "^([0-9a-f]{2})+$", "maxLength": 2 * CERTIFICATE_BYTES_MAX,
                            })),
                        }),
                        &["name"],
                    ),
                    1,
                    ORGANIZATIONS_MAX,
                ),
                "grants": list_of(grant(), 0, GRANTS_MAX),
                "public_read": { "type": "boolean", "default": false },
                "open_submit": { "type": "boolean", "default": false },
                "limits": or_null(limits()), "budgets": or_null(budgets()),
                "approvals": or_null(json!({ "enum": ["any", "majority", "all"] })),
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
                "waiting": list(object(
                    json!({ "channel": text(), "duty": text(), "count": number() }),
                    &["channel", "duty", "count"],
                )),
                "incarnation": text(), "fenced": text(),
                "tasks": list(object(
                    json!({ "name": text(), "running": number(), "restarts": number() }),
                    &["name", "running", "restarts"],
                )),
                "log_lines_lost": number(), "crl_troubles": list(text()), "channels_incomplete": text(),
                "places": list(object(
                    json!({
                        "what": text(), "total": number(), "strangers": number(), "members": number(),
                        "administrators": number(), "refused": number(),
                    }),
                    &["what", "total", "strangers", "members", "administrators", "refused"],
                )),
                "channels": list(named("Channel")),
            }),
            &["version", "peer", "consortium", "started", "time", "certificate_not_after", "tasks",
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
                "withheld": number(), "timers": list(named("Receipt")),
            }),
            &["hash", "header", "seal", "transactions", "withheld", "timers"],
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
                "balances_next": text(), "items_next": text(),
                "items": list(object(json!({ "asset": text(), "item": text() }), &["asset", "item"])),
                "participant": any(), "joint": any(),
            }),
            &["height", "address", "balances", "items"],
        ),
        "Record": { "type": "object", "description": "a record of its class, with the height that it reflects" },
        "RecordPage": page(any()),
        "Trust": object(
            json!({
                "genesis": object(json!({ "header": hex(), "orderers": hex() }), &["header", "orderers"]),
                "links": list(any()),
            }),
            &["genesis", "links"],
        ),
        "Proof": object(
            json!({ "version": number(), "trust": named("Trust"), "evidence": any(), "later": any() }),
            &["version", "trust", "evidence"],
        ),
        "StateProof": object(
            json!({
                "version": number(), "trust": named("Trust"),
                "state": object(
                    json!({ "header": hex(), "seal": hex(), "key": hex(), "value": or_null(hex()), "path": hex() }),
                    &["header", "seal", "key", "value", "path"],
                ),
            }),
            &["version", "trust", "state"],
        ),
        "Authorities": list(object(
            json!({ "organization": text(), "anchor": { "type": "boolean" }, "link": { "type": "boolean" }, "pem": text() }),
            &["anchor", "pem"],
        )),
        "CertificateRequestBody": body(
            json!({
                "request": pem(), "identity": or_null(identity()),
                "token": or_null(json!({ "type": "string", "pattern": "^[0-9a-f]{16}[.][0-9a-f]{64}$" })),
            }),
            &["request"],
        ),
        "CertificateRequest": object(
            json!({
                "id": text(), "status": { "enum": ["requested", "approved", "rejected", "issued", "lapsed"] },
                "identity": text(), "key": hash(), "requested": time(), "requester": text(),
                "approvals": list(text()), "hosts": list(text()), "days": number(), "approvals_needed": number(), "serial": hex(), "reason": text(),
                "certificate": text(),
            }),
            &["id", "status", "identity", "key", "requested", "approvals_needed"],
        ),
        "ApprovalBody": body(
            json!({ "hosts": list(text()), "days": or_null(height()), "why": why() }),
            &[],
        ),
        "RejectionBody": body(json!({ "reason": text(), "why": why() }), &["reason"]),
        "RenewalBody": body(
            json!({
                "request": pem(), "certificate": or_null(pem()), "at": or_null(time()), "signature": or_null(hex()),
            }),
            &["request"],
        ),
        "AnswerTaken": object(json!({ "new": { "type": "boolean" } }), &["new"]),
        "RevocationAnswer": object(
            json!({
                "path": { "type": "array", "minItems": 1, "maxItems": 5, "items": hex() },
                "evidence": hex(),
            }),
            &["path", "evidence"],
        ),
        "CrlTaken": object(
            json!({ "new": { "type": "boolean" }, "revoked": number(), "older": { "type": "boolean" } }),
            &["new", "revoked"],
        ),
        "IssuedCertificate": object(json!({ "certificate": text() }), &["certificate"]),
    });
    all["Detail"] = object(
        json!({ "name": text(), "arguments": { "type": "object", "additionalProperties": any() } }),
        &["name", "arguments"],
    );
    for more in [governance::schemas(), streams::schemas()] {
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use client::api::{
        ChannelState, ChannelView, DetailView, DiskUseView, Outcome, Problem, QueueView, ReceiptView, StreamLine,
        SubmissionStatus,
    };
    use ledger_classes::formats::detail::Detail;
    use ledger_classes::formats::rights::Rights;
    use ledger_classes::primitives::amount::Amount;
    use ledger_classes::primitives::hash::Hash;
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
        let detail = DetailView::from(&Detail::Fee { fee: Amount::ZERO });
        let problem = Problem {
            type_uri: "x".into(),
            title: "x".into(),
            status: 429,
            detail: Some("x".into()),
            refusal: Some(detail.clone()),
            retry_after_ms: Some(1),
        };
        let receipt = ReceiptView {
            id: Hash::ZERO,
            height: 1,
            index: 0,
            code: 0,
            result: "done".into(),
            message: "x".into(),
            detail: Some(detail.clone()),
            fee: Amount::ZERO,
            events: Vec::new(),
        };
        check("Detail", &detail);
        check("Problem", &problem);
        check("Receipt", &receipt);
        let outcome = Outcome {
            id: Some(Hash::ZERO),
            status: SubmissionStatus::Committed,
            receipt: Some(receipt),
            problem: Some(problem.clone()),
        };
        let line = StreamLine {
            credits: Some(1),
            item_bytes_max: Some(1),
            number: Some(1),
            line: Some(1),
            outcome: Some(outcome.clone()),
            problem: Some(problem),
        };
        check("StreamLine", &line);
        check("Outcome", &outcome);
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
                public_read: false,
                open_submit: false,
                queue: QueueView::default(),
                disk: Some(DiskUseView { bytes: 1, bytes_waiting: 3, bytes_max: 2 }),
                config: None,
                config_height: None,
            },
        );
    }
}
