//! What other languages read of the formats is what the program does: the JSON Schema of transactions takes and refuses
//! what the types take and refuse, `docs/formats/actions.md` has every field of it, and an example of each action is
//! committed on a channel.

use crate::foreign_clients::python;
use crate::harness::{Consortium, Peer, key, text};
use crate::wait;
use client::api::JsonEnvelope;
use client::connection::Connection;
use client::submit::Wait;
use ledger_classes::action::Action;
use ledger_classes::formats::proof::Proof;
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::process::Stdio;

const SCHEMA: &str = include_str!("../../../docs/formats/transaction.schema.json");
const PAGE: &str = include_str!("../../../docs/formats/actions.md");

fn schema() -> Value {
    ledger_classes::primitives::json::from_str(SCHEMA).expect("JSON")
}

/// The examples of an action's schema.
fn examples(schema: &Value, kind: &str) -> Vec<Value> {
    schema["$defs"][kind]["examples"].as_array().unwrap_or_else(|| panic!("{kind} has no examples")).clone()
}

/// The first action's first example of a type, which has every field.
fn example(schema: &Value, kind: &str) -> Value {
    examples(schema, kind).remove(0)
}

fn transaction_of(actions: &[Value]) -> Value {
    json!({ "channel": "07".repeat(32), "nonce": "7", "valid_until": "2026-11-21T10:05:54.123Z", "fee_max": "3",
        "actions": actions, "memo": "invoice 12", "sender": "0x52908400098527886E0F7030069857D2E4169EE7" })
}

/// What the schema says of each document, by Python's `jsonschema`.
fn verdicts(documents: &[Value]) -> Vec<bool> {
    const PROGRAM: &str = "import json, sys, jsonschema\n\
        kind = jsonschema.Draft202012Validator\n\
        given = json.load(sys.stdin)\n\
        kind.check_schema(given['schema'])\n\
        print(json.dumps([kind(given['schema']).is_valid(document) for document in given['documents']]))";
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("given.json");
    let given = json!({ "schema": schema(), "documents": documents });
    std::fs::write(&file, given.to_string()).expect("writable");
    let output = python()
        .args(["-c", PROGRAM])
        .stdin(std::fs::File::open(&file).expect("readable"))
        .stderr(Stdio::inherit())
        .output()
        .expect("runs");
    assert!(output.status.success(), "Python's `jsonschema` is needed: pip install -r tests/requirements.txt");
    ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON")
}

/// A committed transaction, by its proof, is valid by the schema and has an action of this type.
pub(crate) fn describes(proof: Value, kind: &str) {
    let proof: Proof = ledger_classes::primitives::json::from_value(proof).expect("a proof");
    let envelope = proof.verify(None).expect("holds").envelope.expect("with its transaction");
    let transaction = client::verify::decode_payload(&envelope).expect("readable");
    let transaction = serde_json::to_value(transaction).expect("serializes");
    let kinds: Vec<&Value> =
        transaction["actions"].as_array().expect("a list").iter().map(|action| &action["type"]).collect();
    assert!(kinds.contains(&&Value::from(kind)), "{kinds:?}");
    assert_eq!(verdicts(std::slice::from_ref(&transaction)), [true], "{transaction}");
}

/// Every document that differs from this one in one place: a field that is gone, that is null, that is of another kind,
/// or that nobody knows.
fn changed(value: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let with = |inner: Option<Value>| {
                    let mut fields = fields.clone();
                    match inner {
                        Some(inner) => drop(fields.insert(name.clone(), inner)),
                        None => drop(fields.remove(name)),
                    }
                    Value::Object(fields)
                };
                all.push((format!("without {name}"), with(None)));
                all.push((format!("{name} null"), with(Some(Value::Null))));
                all.push((format!("{name} true"), with(Some(true.into()))));
                all.push((format!("{name} []"), with(Some(json!([7])))));
                all.extend(
                    changed(inner).into_iter().map(|(how, inner)| (format!("{name}: {how}"), with(Some(inner)))),
                );
            }
            let mut fields: Map<String, Value> = fields.clone();
            fields.insert("stranger".into(), "x".into());
            all.push(("a stranger".into(), Value::Object(fields)));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let with = |item: Value| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                };
                all.extend(changed(item).into_iter().map(|(how, item)| (format!("{at}: {how}"), with(item))));
            }
        }
        _ => {}
    }
    all
}

#[test]
fn the_schema_takes_and_refuses_what_the_types_take_and_refuse() {
    let schema = schema();
    let listed = schema["$defs"]["action"]["oneOf"].as_array().expect("a list").iter();
    let listed: Vec<_> = listed.map(|of| of["$ref"].as_str().expect("text").trim_start_matches("#/$defs/")).collect();
    assert_eq!(listed, Action::TYPES, "every action, in the order of its number");
    let mut rows: Vec<(String, Value)> = Vec::new();
    for kind in Action::TYPES {
        for example in examples(&schema, kind) {
            assert_eq!(example["type"], *kind);
            let read: Action = ledger_classes::primitives::json::from_value(example.clone())
                .unwrap_or_else(|error| panic!("{kind}: {error}"));
            rows.push(((*kind).to_owned(), transaction_of(std::slice::from_ref(&example))));
            // The first example has every field that the type has, optional ones too: what is written of it is all.
            if example == self::example(&schema, kind) {
                let fields =
                    |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
                let written = serde_json::to_value(&read).expect("serializes");
                assert_eq!(fields(&written), fields(&example), "{kind}: the example has all fields");
                assert_eq!(
                    fields(&schema["$defs"][*kind]["properties"]),
                    fields(&example),
                    "{kind}: the schema has them"
                );
            }
            let changes = changed(&example).into_iter().filter(|(how, _)| !how.contains("type"));
            rows.extend(changes.map(|(how, action)| (format!("{kind}, {how}"), transaction_of(&[action]))));
        }
    }
    let whole = transaction_of(&[example(&schema, "asset.pause")]);
    rows.extend(changed(&whole).into_iter().filter(|(how, _)| !how.contains("type")));
    assert!(rows.len() > 500, "{}", rows.len());
    let documents: Vec<Value> = rows.iter().map(|(_, document)| document.clone()).collect();
    let mut taken = 0;
    for ((how, document), by_schema) in rows.iter().zip(verdicts(&documents)) {
        let read = ledger_classes::primitives::json::from_str::<Transaction>(&document.to_string());
        assert_eq!(by_schema, read.is_ok(), "{how}: the schema says {by_schema}, the program {:?}", read.err());
        taken += usize::from(by_schema);
    }
    assert!(taken > 60, "{taken} of {} are taken", rows.len());
}

#[test]
fn the_page_of_actions_has_every_field_of_the_schema() {
    let schema = schema();
    for (number, kind) in Action::TYPES.iter().enumerate() {
        let (_, section) = PAGE.split_once(&format!("\n## `{kind}`\n")).unwrap_or_else(|| panic!("no section {kind}"));
        let section = section.split("\n## ").next().expect("a part");
        assert!(section.contains(&format!("Number {number}; ")), "{kind} has number {number}");
        let required = schema["$defs"][*kind]["required"].as_array().expect("a list");
        for name in
            schema["$defs"][*kind]["properties"].as_object().expect("an object").keys().filter(|name| *name != "type")
        {
            let row = section.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{kind} has no row {name}"));
            assert_eq!(row.contains("*optional*"), !required.contains(&name.as_str().into()), "{kind}: {row}");
        }
        let code = section.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("an example");
        let shown: Value = ledger_classes::primitives::json::from_str(code).expect("JSON");
        assert_eq!(shown, example(&schema, kind), "{kind}");
    }
}

/// A channel on which anybody may act, and one key for each small number.
struct World {
    consortium: Consortium,
    peer: Peer,
    connection: Connection,
    id: Hash,
}

impl World {
    /// Commits actions as they are, in one transaction.
    async fn commit(&self, signers: &[&SigningKey], actions: &[Value]) {
        let mut transaction = transaction_of(actions);
        transaction["channel"] = self.id.to_string().into();
        transaction["valid_until"] = client::now().plus_millis(600_000).to_string().into();
        transaction["nonce"] = next_nonce().into();
        transaction["fee_max"] = "0".into();
        transaction["sender"] = signers[0].public().address().to_string().into();
        let envelope = Envelope::sign(Encoding::Json, transaction.to_string().into_bytes(), signers);
        let outcome = self.connection.submit_json("trade", &JsonEnvelope::from(&envelope), Wait::Committed).await;
        let receipt = outcome.unwrap_or_else(|error| panic!("{actions:?}: {error:?}")).receipt.expect("committed");
        assert_eq!(receipt.code, 0, "{actions:?}: {} {}", receipt.result, receipt.message);
    }
}

/// A nonce that no other transaction of this process has.
fn next_nonce() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

#[tokio::test]
async fn an_example_of_each_action_is_committed() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let made = peer.run(&admin, &["channel", "create", "trade", "--org", "bank", "--open-submit"]);
    let id = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect(&admin);
    let world = World { consortium, peer, connection, id };
    let served: Value = world.connection.get(&["schemas", "transaction"], &[]).await.expect("served");
    let schema = schema();
    assert_eq!(served, schema, "the peer serves the document");

    let (one, two) = (key(1), key(2));
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut story = Vec::new();
    for kind in ["asset.define", "asset.mint", "asset.burn", "asset.transfer", "asset.transfer_batch", "asset.approve"]
    {
        story.extend(examples(&schema, kind).into_iter().map(|action| (&one, action)));
    }
    story.push((&two, example(&schema, "asset.transfer_from")));
    for kind in [
        "asset.freeze",
        "asset.unfreeze",
        "asset.lock",
        "asset.pause",
        "asset.resume",
        "asset.mint_item",
        "asset.approve_item",
        "asset.freeze_item",
        "asset.unfreeze_item",
        "asset.transfer_item",
        "account.create",
        "contract.deploy",
        "contract.upgrade",
        "contract.create",
        "contract.call",
        "app.publish",
        "app.update_settings",
        "app.retire",
        "contract.retire",
        "asset.burn_item",
        "log.append",
    ] {
        story.push((&one, example(&schema, kind)));
    }
    for (signer, mut action) in story {
        seen.insert(action["type"].as_str().expect("text").to_owned());
        if let Some(arguments) = action.get_mut("arguments") {
            // The page's auction ends at Christmas; this one must end after now.
            let ends = client::now().plus_millis(600_000).to_string();
            *arguments = arguments.as_str().expect("text").replace("2026-12-24T12:00:00.000Z", &ends).into();
        }
        // A joint account is made by all of its keys.
        let both: &[&SigningKey] = if action["type"] == "account.create" { &[&one, &two] } else { &[signer] };
        world.commit(both, &[action]).await;
    }
    // What acts for somebody needs something to do.
    world.commit(&[&one], &[example(&schema, "account.act"), example(&schema, "log.append")]).await;
    seen.insert("account.act".into());

    // What needs certificates is done by the commands, and read back from the blocks.
    let World { consortium, peer, .. } = &world;
    for profile in [&admin, &ann] {
        peer.run(profile, &["key", "new"]);
        peer.run(profile, &["participant", "admit", "--channel", "trade"]);
    }
    let serial_of = |profile: &std::path::Path| {
        let shown = peer.run(profile, &["participant", "show", "--channel", "trade"]);
        shown["serial"].as_str().expect("a serial").to_owned()
    };
    let identity = "spiffe://test.example/bank/client/ann";
    peer.run(&admin, &["participant", "revoke", identity, &serial_of(&ann), "--channel", "trade", "--reason", "left"]);
    let nobody = "spiffe://test.example/bank/client/nobody";
    for act in ["revoke", "reinstate"] {
        peer.run(&admin, &["participant", act, nobody, "--channel", "trade"]);
    }
    let cat = consortium.profile("bank", "client", "cat");
    let address_of = |profile: &std::path::Path| {
        let shown = peer.run(profile, &["key", "show"]);
        shown["address"].as_str().expect("an address").to_owned()
    };
    peer.run(&cat, &["key", "new"]);
    peer.run(&cat, &["participant", "admit", "--channel", "trade"]);
    let (from, to) = (address_of(&ann), address_of(&cat));
    peer.run(&admin, &["account", "recover", &from, &to, "--reason", "left", "--channel", "trade"]);
    let changed = peer.run(&admin, &["channel", "update", "trade", "--approvals", "all", "--reason", "a new year"]);
    assert_eq!(changed["status"], "committed", "{changed}");
    let bob = consortium.profile("bank", "client", "bob");
    peer.run(&bob, &["key", "new"]);
    peer.run(&bob, &["participant", "admit", "--channel", "trade"]);
    let bob = "spiffe://test.example/bank/client/bob";
    crate::harness::run(&["ca", "--dir", text(&consortium.dir()), "revoke", bob, "--reason", "key-compromise"]);
    let documents = wait::until("the peer posts revocation and acts", async || {
        let mut documents = Vec::new();
        for channel in ["main", "trade"] {
            let part = client::query::Paging { after: None, limit: Some(100) };
            let blocks: client::api::Page<Value> = world
                .connection
                .page(&["channels", channel, "blocks"], &[("from", "1")], part)
                .await
                .expect("readable");
            for transaction in blocks.items.iter().flat_map(|block| block["transactions"].as_array().expect("a list")) {
                if transaction["receipt"]["code"] == 0 {
                    let actions = transaction["transaction"]["actions"].as_array().expect("a list");
                    documents.push(transaction_of(actions));
                    seen.extend(actions.iter().map(|action| action["type"].as_str().expect("text").to_owned()));
                }
            }
        }
        (seen.contains("participant.revoke_by_evidence") && seen.contains("log.audit")).then_some(documents)
    })
    .await;
    assert!(verdicts(&documents).into_iter().all(|valid| valid), "what was committed is valid by the schema");
    let left: Vec<&str> = Action::TYPES.iter().copied().filter(|kind| !seen.contains(*kind)).collect();
    // Those need other organizations and another time: `expiry` commits them and asks `describes`, `governance` withdraws,
    // `stolen_ca` revokes an authority.
    assert_eq!(left, ["channel.approve", "channel.renew_authority", "channel.withdraw", "channel.revoke_authority"]);
}
