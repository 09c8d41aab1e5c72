//! Writes the files that `tests/compatibility` keeps: once for a format, before it is first released, never again.
//!
//! ```sh
//! cargo run -p channel-actors --example write_compatibility -- tests/compatibility/5
//! ```
//!
//! Folders are numbered; before the first release only the newest is kept. `main` holds every kind of action that
//! needs no CA, and was closed
//! in order; `notes` holds log records; `behind` was copied while it ran, as a crash leaves it.

#[path = "../tests/compatibility/peer.rs"]
mod peer;

use channel_actors::ChannelHandle;
use channel_actors::store::{ChannelStore, StoreOptions};
use ledger_classes::action::Action;
use ledger_classes::execution::assets::joint_address;
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::rights::{Grant, Grantee, Right};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::state::participant::possession_message;
use peer::{Hand, START, address, answers, key, open, post};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn config(name: &str) -> ChannelConfig {
    let peer = Identity::new("test.example", "bank", Role::Peer, "peer").expect("valid");
    let rights = Right::Admin;
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: name.into(),
        consortium: "test.example".into(),
        created: START,
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: peer, key: key(200).public(), weight: 1 }],
        threshold: 1,
        organizations: vec![Organization {
            name: "bank".into(),
            title: "Bank".into(),
            authorities: vec![HexBytes(vec![0x30])],
        }],
        grants: vec![Grant { to: Grantee::Organization("bank".into()), rights: [rights].into_iter().collect() }],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses: Default::default(),
        budgets: Default::default(),
    }
}

/// What `main` does, a transaction a row: who signs, and its actions.
fn steps(channel: Hash) -> Vec<(Vec<u8>, Value)> {
    let to = |number: u8, amount: &str| json!({"asset": "usd", "to": address(number), "amount": amount});
    let with = |kind: &str, mut body: Value| {
        body["type"] = kind.into();
        body
    };
    let usd = |kind: &str, amount: &str| json!({"type": kind, "asset": "usd", "amount": amount});
    let item = |kind: &str, name: &str| json!({"type": kind, "asset": "cars", "item": name});
    let admit = |number: u8| {
        let possession = key(number).sign(&possession_message(&channel, &address(number)));
        json!({"type": "participant.admit", "address": address(number), "path": [format!("{number:02x}")], "possession": possession})
    };
    let mut keys = vec![key(2).public(), key(3).public()];
    keys.sort_unstable();
    let joint = joint_address(2, &keys);
    let ends = START.plus_millis(60_000);
    let auction = json!({"item": {"asset": "cars", "item": "beetle"}, "currency": "usd", "ends": ends, "reserve": "1", "minimum_increment": "1"});
    let freeze =
        |kind: &str, amount: &str| json!({"type": kind, "asset": "usd", "account": address(2), "amount": amount});
    let limits = Limits { actions_max: 50, ..Limits::default() };
    vec![
        (vec![1], json!([admit(1)])),
        (vec![2], json!([admit(2)])),
        (vec![1], json!([
            {"type": "asset.define", "asset": "usd", "title": "Money", "kind": {"fungible": {"decimals": 2, "supply_cap": null}}, "control_authority": address(1)},
            with("asset.mint", to(1, "10000")),
        ])),
        (vec![1], json!([with("asset.transfer", to(2, "1000"))])),
        (vec![1], json!([{"type": "asset.transfer_batch", "transfers": [to(2, "500"), to(3, "400")]}])),
        (vec![1], json!([{"type": "asset.approve", "asset": "usd", "spender": address(3), "amount": "50"}])),
        (vec![3], json!([{"type": "asset.transfer_from", "asset": "usd", "from": address(1), "to": address(4), "amount": "30"}])),
        (vec![1], json!([freeze("asset.freeze", "20"), freeze("asset.unfreeze", "5")])),
        (vec![2], json!([{"type": "asset.lock", "asset": "usd", "amount": "10", "until": START.plus_millis(1 << 38)}])),
        (vec![3], json!([with("asset.transfer", to(1, "999999"))])),
        (vec![1], json!([{"type": "asset.pause", "asset": "usd"}, {"type": "asset.resume", "asset": "usd"}])),
        (vec![1], json!([usd("asset.burn", "70")])),
        (vec![1], json!([{"type": "asset.define", "asset": "cars", "title": "Cars", "kind": {"unique": {}}, "control_authority": address(1)}])),
        (vec![1], json!(["beetle", "golf", "polo"].map(|name| json!({"type": "asset.mint_item", "asset": "cars", "item": name, "to": address(1), "metadata": Hash([3; 32])})))),
        (vec![1], json!([{"type": "asset.approve_item", "asset": "cars", "item": "golf", "spender": address(2)}])),
        (vec![2], json!([{"type": "asset.transfer_item", "asset": "cars", "item": "golf", "to": address(3)}])),
        (vec![1], json!([item("asset.freeze_item", "golf"), item("asset.unfreeze_item", "golf"), item("asset.burn_item", "polo")])),
        (vec![2, 3], json!([{"type": "account.create", "keys": keys, "threshold": 2}])),
        (vec![1], json!([{"type": "asset.transfer", "asset": "usd", "to": joint, "amount": "300"}])),
        (vec![2, 3], json!([{"type": "account.act", "account": joint}, with("asset.transfer", to(4, "100"))])),
        (vec![1], json!([{"type": "contract.deploy", "contract": "auction", "engine": "builtin", "code": "auction"}])),
        (vec![1], json!([{"type": "contract.create", "contract": "auction", "instance": "lot-1", "arguments": auction.to_string()}])),
        (vec![2], json!([{"type": "contract.call", "instance": "lot-1", "method": "bid", "arguments": "{\"amount\":\"25\"}"}])),
        (vec![1], json!([{"type": "contract.retire", "contract": "auction"}])),
        (vec![1], json!([{"type": "app.publish", "app": "shop", "version": "1.0.0", "title": "Shop", "bundle": Hash([4; 32]), "contracts": [], "settings": "{}"}])),
        (vec![1], json!([{"type": "app.update_settings", "app": "shop", "settings": "{\"a\":1}"}, {"type": "app.retire", "app": "shop"}])),
        (vec![4], json!([{"type": "log.append", "topic": "news", "digest": Hash([5; 32]), "body": "written long ago"}])),
        (vec![1], json!([{"type": "channel.propose", "changes": [{"change": "set_approvals", "approvals": "any"}], "reason": "one is enough"}])),
        (vec![1], json!([{"type": "channel.propose", "changes": [serde_json::to_value(ledger_classes::formats::config::ConfigChange::SetLimits(limits)).expect("JSON")], "reason": "fewer"}])),
        (vec![1], json!([{"type": "participant.revoke", "identity": "spiffe://test.example/bank/admin/admin-2", "serial": "02", "reason": "left"}])),
        (vec![1], json!([{"type": "participant.revoke", "identity": "spiffe://test.example/bank/admin/admin-9", "reason": "never"}])),
        (vec![1], json!([{"type": "participant.reinstate", "identity": "spiffe://test.example/bank/admin/admin-9", "reason": "or so"}])),
    ]
}

async fn notes(channel: &ChannelHandle, now: ledger_classes::primitives::time::Time, count: u64) {
    for nonce in 0..count {
        let body = "x".repeat(nonce as usize * 40);
        let append = json!([{"type": "log.append", "topic": "notes", "body": body}]);
        assert_eq!(
            post(channel, now, nonce, &[5], ledger_classes::primitives::json::from_value(append).expect("actions"))
                .await,
            0
        );
    }
}

#[actix::main]
async fn main() {
    let target = PathBuf::from(std::env::args_os().nth(1).expect("where to write"));
    let channels = target.join("channels");
    let clock = Arc::new(Hand(START.millis().into()));
    let registry = open(&channels, clock.clone(), None).await;
    let main = registry.create(config("main")).await.expect("creates");
    for (number, (signers, actions)) in (0..).zip(steps(main.id().expect("open"))) {
        let now = START.plus_millis(1000 * number);
        clock.0.store(now.millis(), Ordering::SeqCst);
        let text = actions.to_string();
        let actions: Vec<Action> =
            ledger_classes::primitives::json::from_value(actions).unwrap_or_else(|error| panic!("{error}: {text}"));
        let code = post(&main, now, number, &signers, actions).await;
        // The tenth has not the money.
        assert_eq!(code == 0, number != 9, "{code}: {text}");
    }
    // The auction's end makes a block.
    let (height, now) = (main.tip().height, START.plus_millis(61_000));
    clock.0.store(now.millis(), Ordering::SeqCst);
    main.subscribe().expect("open").reached(height + 1).await.expect("the timer makes a block");
    let small = registry.create(config("notes")).await.expect("creates");
    notes(&small, now, 20).await;
    // Last, so that it is copied long before its first checkpoint.
    let behind = registry.create(config("behind")).await.expect("creates");
    notes(&behind, now, 12).await;
    let mut expected = Vec::new();
    for channel in [&behind, &main, &small] {
        expected.push(answers(channel, channel.tip().height).await);
    }
    let crashed = target.join("crashed");
    copy(&channels.join("behind"), &crashed);
    assert!(crashed.join("wal").exists(), "its newest blocks are there");
    registry.drain().await;
    std::fs::remove_dir_all(channels.join("behind")).expect("removes");
    std::fs::rename(&crashed, channels.join("behind")).expect("renames");
    for channel in &mut expected {
        let folder = channels.join(channel["name"].as_str().expect("text"));
        // Opening a store that crashed writes to it.
        let looked_at = tempfile::tempdir().expect("a directory");
        copy(&folder, looked_at.path());
        let (store, broken) = ChannelStore::inspect(looked_at.path(), StoreOptions::default()).expect("opens");
        assert_eq!(broken, None);
        channel["state_height"] = json!(store.state_height());
    }
    let text = serde_json::to_string_pretty(&expected).expect("JSON");
    std::fs::write(target.join("expected.json"), text + "\n").expect("writes");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("makes");
    // A store that is open has its newest blocks in a write-ahead log, if it has one.
    for name in ["log.redb", "state.redb", "wal"] {
        match std::fs::copy(from.join(name), to.join(name)) {
            Err(error) if name == "wal" && error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.expect("copies")),
        }
    }
}
