//! The largest records that a channel takes, by way of the API: each is committed, proven, and shown within a page.

use crate::harness::{Consortium, key};
use client::api::JsonEnvelope;
use client::submit::Wait;
use ledger_classes::execution::assets::joint_address;
use ledger_classes::formats::transaction::{Encoding, Envelope};
use ledger_classes::keys::SigningKey;
use ledger_classes::limits::*;
use ledger_classes::primitives::hash::Hash;
use serde_json::{Value, json};

/// Bytes of JSON after which a page ends (decision 23).
const PAGE_BYTES: usize = 1024 * 1024;

/// Where a record is, one of its fields, and what that says.
type Shown<'a> = (Vec<String>, &'a str, Value);

/// A name of the most bytes.
fn name(number: usize) -> String {
    format!("{number:0>width$}", width = NAME_BYTES_MAX)
}

#[tokio::test]
async fn the_largest_records_are_committed_proven_and_shown_within_a_page() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let admin = consortium.admin();
    let made = peer.run(&admin, &["channel", "create", "trade", "--org", "bank", "--open-submit"]);
    let channel: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect(&admin);
    let keys: Vec<SigningKey> = (1..=u8::try_from(JOINT_KEYS_MAX).expect("few")).map(key).collect();
    let publics: Vec<_> = keys.iter().map(SigningKey::public).collect();
    let own = publics[0].address().to_string();
    let joint = joint_address(16, &publics).to_string();
    let topic = format!("{}.{}", &name(0)[1..], name(1));
    // Text whose JSON is twice as long, or six times where that fits a payload.
    let settings = format!("\"{}\"", "\\\"".repeat(APP_SETTINGS_BYTES_MAX / 2 - 1));
    let body = "\u{1}".repeat(LOG_BODY_BYTES_MAX * 7 / 8);
    let coin = name(2);
    let until = "2090-01-01T00:00:00.000Z";
    let contracts: Vec<String> = (0..APP_CONTRACTS_MAX).map(name).collect();
    let locks = vec![json!({ "type": "asset.lock", "asset": coin, "amount": "1", "until": until }); LOCKS_MAX];
    let moves = vec![json!({ "asset": coin, "to": joint, "amount": "1" }); BATCH_TRANSFERS_MAX];
    let maximum = u128::MAX.to_string();
    let steps: Vec<(usize, Vec<Value>, Option<Shown<'_>>)> = vec![
        (
            1,
            vec![json!({ "type": "asset.define", "asset": coin, "title": "\u{1}".repeat(TITLE_BYTES_MAX),
                "kind": { "fungible": { "decimals": 38, "supply_cap": maximum } },
                "burn_authority": own, "metadata": "ff".repeat(32) })],
            Some((vec!["assets".into(), coin.clone()], "title", "\u{1}".repeat(TITLE_BYTES_MAX).into())),
        ),
        (1, vec![json!({ "type": "asset.mint", "asset": coin, "to": own, "amount": maximum })], None),
        (1, vec![json!({ "type": "asset.transfer_batch", "transfers": moves })], None),
        (1, locks, None),
        (
            JOINT_KEYS_MAX,
            vec![json!({ "type": "account.create", "keys": publics, "threshold": 16 })],
            Some((vec!["accounts".into(), joint.clone()], "address", joint.clone().into())),
        ),
        (
            1,
            vec![
                json!({ "type": "app.publish", "app": name(3), "version": name(4), "title": "t".repeat(TITLE_BYTES_MAX),
                "bundle": "ff".repeat(32), "contracts": contracts, "settings": settings }),
            ],
            Some((vec!["apps".into(), name(3), "versions".into(), name(4)], "settings", settings.clone().into())),
        ),
        (1, vec![json!({ "type": "log.append", "topic": topic, "digest": "ff".repeat(32), "body": body })], None),
    ];
    for (number, (signers, actions, shown)) in steps.into_iter().enumerate() {
        let what = actions[0]["type"].clone();
        let payload = json!({
            "channel": channel, "nonce": number.to_string(), "fee_max": "0", "actions": actions,
            "valid_until": client::now().plus_millis(600_000).to_string(), "memo": "\u{1}".repeat(MEMO_BYTES_MAX),
            "sender": own,
        });
        let signers: Vec<&SigningKey> = keys[..signers].iter().collect();
        let envelope = Envelope::sign(Encoding::Json, payload.to_string().into_bytes(), &signers);
        let outcome = connection.submit_json("trade", &JsonEnvelope::from(&envelope), Wait::Committed).await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let receipt = outcome.receipt.unwrap_or_else(|| panic!("{what}: {:?}", outcome.problem));
        assert_eq!(receipt.code, 0, "{what}: {}", receipt.message);
        let proof = connection.proof("trade", outcome.id.expect("an id"), None).await.expect("a proof");
        let verified = proof.verify(Some(channel)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(verified.envelope.expect("with its transaction").payload, envelope.payload, "{what}");
        if let Some((path, field, expected)) = shown {
            let path: Vec<&str> = ["channels", "trade"].into_iter().chain(path.iter().map(String::as_str)).collect();
            let record: Value = connection.get(&path, &[]).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert!(record.to_string().len() < PAGE_BYTES, "{what}: {} bytes", record.to_string().len());
            assert_eq!(record[field], expected, "{what}");
        }
    }
    for (path, key, many) in [
        (vec!["channels", "trade", "logs"], "body", 1),
        (vec!["channels", "trade", "apps"], "settings", 1),
        (vec!["channels", "trade", "accounts", &own, "balances"], "locked", 1),
        (vec!["channels", "trade", "blocks"], "header", 2),
    ] {
        let page: Value = connection.get(&path, &[]).await.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{path:?}: no items"));
        assert!(items.len() >= many && items.iter().all(|item| !item[key].is_null()), "{path:?}");
        assert!(page.to_string().len() < 2 * PAGE_BYTES, "{path:?}: {} bytes", page.to_string().len());
    }
    let own_balances: Value =
        connection.get(&["channels", "trade", "accounts", &own, "balances"], &[]).await.expect("balances");
    assert_eq!(own_balances["items"][0]["locked"], LOCKS_MAX.to_string());
}
