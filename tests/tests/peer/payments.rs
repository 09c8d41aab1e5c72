//! Money moves to whom it was meant, in the amount that was meant: checksums in addresses, addresses that a channel has
//! never seen, and the decimals of assets, by commands as people type them.
//!
//! Before, an address had no checksum and nothing asked about strangers: one typing error moved five coins to nobody.

use crate::harness::{Consortium, Peer, address, chancery, define, mint, signed, text, transaction, transfer};
use client::api::JsonEnvelope;
use client::connection::{Connection, RequestError};
use client::submit::{SubmitError, Wait};
use ledger_classes::formats::transaction::{Encoding, Envelope};
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

/// A peer with the channel `trade`, whose administrator has an account key.
struct World {
    admin: PathBuf,
    own: String,
    peer: Peer,
    connection: Connection,
    id: Hash,
    _consortium: Consortium,
}

impl World {
    fn new() -> Self {
        let consortium = Consortium::new();
        let peer = consortium.serve();
        let admin = consortium.admin();
        let made = peer.run(&admin, &["channel", "create", "trade", "--org", "bank", "--open-submit"]);
        let id = made["id"].as_str().expect("an id").parse().expect("hex");
        let own = peer.run(&admin, &["key", "new"])["address"].as_str().expect("an address").to_owned();
        let connection = peer.connect(&admin);
        Self { admin, own, peer, connection, id, _consortium: consortium }
    }

    /// Runs a command on `trade` as people do, without `--json` and without a terminal.
    fn type_in(&self, words: &[&str]) -> Output {
        let mut command = chancery();
        command.args(["--profile", text(&self.admin), "--peer", &self.peer.url]).args(words);
        command.args(["--channel", "trade"]).output().expect("runs")
    }

    /// What a command prints, which must succeed.
    fn printed(&self, words: &[&str]) -> String {
        let output = self.type_in(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The code and the reason of a command that must not succeed.
    fn refused(&self, words: &[&str]) -> (i32, String) {
        let output = self.type_in(words);
        assert!(!output.status.success(), "{words:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        (output.status.code().expect("a code"), said)
    }

    fn json(&self, words: &[&str]) -> Value {
        self.peer.run(&self.admin, &[words, &["--channel", "trade"]].concat())
    }
}

/// The line of a table that begins with a word, as words.
fn line<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    line.unwrap_or_else(|| panic!("no {first} in {table}")).split_whitespace().collect()
}

#[test]
fn every_command_reads_and_shows_amounts_with_the_decimals_of_their_asset() {
    let world = World::new();
    let own = world.own.as_str();
    let (two, one) = (address(2).to_string(), address(1).to_string());
    world.printed(&["asset", "define", "coin", "--decimals", "2", "--supply-cap", "5000.00"]);
    world.printed(&["asset", "define", "share", "--decimals", "0"]);
    let minted = world.printed(&["asset", "mint", "coin", own, "2000"]);
    assert!(minted.contains("amount=2000.00"), "{minted}");
    world.printed(&["asset", "mint", "share", own, "7"]);
    let sent = world.printed(&["asset", "transfer", "coin", &two, "0.17", "--new"]);
    assert!(sent.contains("amount=0.17"), "{sent}");

    let shown = world.printed(&["account", "show"]);
    assert_eq!(line(&shown, "coin"), ["coin", "1999.83", "1999.83", "0.00", "0.00"]);
    assert_eq!(line(&shown, "share"), ["share", "7", "7", "0", "0"]);
    assert_eq!(line(&world.printed(&["asset", "balance", &two]), "coin")[1], "0.17");
    let balances = world.json(&["account", "show"])["balances"].clone();
    assert_eq!((&balances[0]["owned"], &balances[0]["decimals"]), (&"199983".into(), &2.into()), "{balances}");

    let listed = world.printed(&["asset", "list"]);
    assert!(listed.contains("2000.00") && line(&listed, "share").contains(&"7"), "{listed}");
    let record = world.printed(&["asset", "show", "coin"]);
    assert!(record.contains("5000.00") && record.contains("2000.00"), "{record}");
    let record = world.json(&["asset", "show", "coin"]);
    assert_eq!((&record["supply"], &record["kind"]["fungible"]["supply_cap"]), (&"200000".into(), &"500000".into()));

    world.printed(&["asset", "approve", "coin", &two, "12.5"]);
    assert!(world.printed(&["account", "allowance", "coin", &two]).contains("12.50"));
    assert_eq!(world.json(&["account", "allowance", "coin", &two])["amount"], "1250");
    let (code, said) = world.refused(&["asset", "approve", "coin", &two, "1", "--expected", "12"]);
    assert!(code == 1 && said.contains("allowance-differs"), "{code}: {said}");
    world.printed(&["asset", "approve", "coin", &two, "3.25", "--expected", "12.50"]);
    assert_eq!(world.json(&["account", "allowance", "coin", &two])["amount"], "325");
    world.printed(&["asset", "freeze", "coin", own, "1.01"]);
    world.printed(&["asset", "unfreeze", "coin", own, "0.01"]);
    world.printed(&["asset", "lock", "coin", "2.5", "--until", "2090-01-01T00:00:00Z"]);
    world.printed(&["asset", "burn", "coin", "0.83"]);
    world.printed(&["asset", "transfer-batch", "coin", &format!("{two}=1.50"), &format!("{one}=7.50"), "--new"]);
    let shown = world.printed(&["account", "show"]);
    assert_eq!(line(&shown, "coin"), ["coin", "1990.00", "1986.50", "1.00", "2.50"]);
    // Base units, where somebody wants them.
    world.printed(&["asset", "transfer", "coin", &two, "3", "--base-units"]);
    assert_eq!(line(&world.printed(&["asset", "balance", &two]), "coin")[1], "1.70");

    for (words, reason) in [
        (&["asset", "transfer", "coin", two.as_str(), "1.505"][..], "3 digits after the point, and the asset has 2"),
        (&["asset", "burn", "share", "0.5"], "1 digits after the point, and the asset has 0"),
        (&["asset", "burn", "coin", "1,50"], "no separators of thousands"),
        (&["asset", "burn", "coin", "3402823669209384634633746074317682115"], "more than 2^128 - 1"),
        (&["asset", "burn", "coin", "1.5", "--base-units"], "--base-units takes whole numbers"),
        (&["asset", "burn", "coin", "0"], "does nothing"),
        (&["asset", "burn", "coin", "-1"], "an amount reads like"),
        (&["asset", "burn", "coin", "1", "--fee-max", "0.5"], "the channel has no fees"),
    ] {
        let (code, said) = world.refused(words);
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?} should say {reason}: {said}");
    }
    let (code, said) = world.refused(&["asset", "burn", "nothing", "1"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no asset nothing"), "{said}");
}

#[test]
fn a_contract_is_told_an_amount_with_its_asset_and_fees_have_their_point() {
    let world = World::new();
    let own = world.own.as_str();
    world.printed(&["asset", "define", "coin", "--decimals", "2"]);
    world.printed(&["asset", "mint", "coin", own, "100"]);
    world.printed(&["asset", "define", "art", "--unique"]);
    let digest = "ab".repeat(32);
    world.printed(&["asset", "mint-item", "art", "mona", own, "--metadata", &digest]);
    world.printed(&["contract", "deploy", "art-auction", "auction"]);
    let ends = client::now().plus_millis(600_000);
    let arguments = format!(
        r#"{{"item": {{"asset": "art", "item": "mona"}}, "currency": "coin", "ends": "{ends}", "reserve": "5.00 coin",
            "minimum_increment": "0.25", "starting_price": "1.5"}}"#
    );
    for (wrong, why) in [
        (arguments.replace("5.00 coin", "5.00 art"), "reserve is in coin, and not in art"),
        (arguments.replace("\"0.25\"", "25"), "minimum_increment: an amount is a text"),
        (arguments.replace("0.25", "0.255"), "3 digits after the point"),
        (arguments.replace("0.25", "a quarter"), "minimum_increment: an amount reads like"),
    ] {
        let (code, said) = world.refused(&["contract", "create", "art-auction", "lot-7", &wrong]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why), "{said}");
    }
    world.printed(&["contract", "create", "art-auction", "lot-7", &arguments]);
    let shown = world.printed(&["contract", "query", "lot-7", "state"]);
    for expected in ["reserve 5.00", "minimum increment 0.25", "starting price 1.50", "least bid 1.50"] {
        let words: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(words.iter().any(|line| line == expected), "{expected} in {shown}");
    }
    let state = world.json(&["contract", "query", "lot-7", "state"]).to_string();
    for expected in [r#""reserve":"500""#, r#""minimum_increment":"25""#, r#""starting_price":"150""#] {
        assert!(state.contains(expected), "{expected} in {state}");
    }
    let (code, said) = world.refused(&["contract", "call", "lot-7", "bid", r#"{"amount": "2.505"}"#]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("3 digits after the point"), "{said}");
    let bidder = world.admin.join("bidder.key");
    let made = world.peer.run(&world.admin, &["key", "new", "--out", text(&bidder)]);
    let address = made["address"].as_str().expect("an address");
    world.printed(&["asset", "transfer", "coin", address, "20", "--new"]);
    let bid = |amount: &str| format!(r#"{{"amount": "{amount}"}}"#);
    let call = |amount: &str, more: &[&str]| {
        let (bid, key) = (bid(amount), ["--key", text(&bidder)]);
        [&["contract".to_owned(), "call".into(), "lot-7".into(), "bid".into(), bid][..], &key.map(str::to_owned)]
            .concat()
            .into_iter()
            .chain(more.iter().map(|word| (*word).to_owned()))
            .collect::<Vec<String>>()
    };
    let run = |words: Vec<String>| world.type_in(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let out = |output: Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let made = out(run(call("2.50", &[])));
    assert!(made.contains("\"amount\":\"2.50\"") && made.contains("amount=2.50"), "{made}");
    let low = out(run(call("2.60", &[])));
    assert!(low.contains("275 (in base units)"), "{low}");
    let raised = out(run(call("300", &["--base-units"])));
    assert!(raised.contains("\"amount\":\"3.00\""), "{raised}");
    let watched = world.printed(&["watch", "--from", "0", "--until", "now", "--human"]);
    let lines = |word: &str| watched.lines().filter(|line| line.contains(word)).collect::<Vec<_>>().join("\n");
    assert!(lines("asset.minted").contains("amount=100.00"), "{watched}");
    assert!(lines("auction.bid").contains("\"amount\":\"3.00\""), "{watched}");
    let cursor = world.admin.join("cursor");
    let watch = |more: &[&str]| world.printed(&[&["watch", "--from", "0"], more].concat());
    let kept = ["--cursor-file", text(&cursor)];
    let first = watch(&[&["--count", "3"], &kept[..]].concat());
    assert_eq!(first.lines().count(), 3);
    let rest = watch(&[&["--until", "now"], &kept[..]].concat());
    assert_eq!(first + &rest, watch(&["--until", "now"]), "each event once, though the first was cut off");
    assert_eq!(watch(&[&["--until", "now"], &kept[..]].concat()), "", "nothing twice");
    // The file says of which channel it is.
    world.peer.run(&world.admin, &["channel", "create", "other", "--org", "bank"]);
    let watch_other = ["watch", "other", "--until", "now", "--cursor-file", text(&cursor)];
    let output =
        chancery().args(["--profile", text(&world.admin), "--peer", &world.peer.url]).args(watch_other).output();
    let said = String::from_utf8_lossy(&output.expect("runs").stderr).into_owned();
    assert!(said.contains("holds a cursor of the channel trade") && said.contains("name another file"), "{said}");
    // Another history than the file's: the file is what to remove, since --from stands behind it.
    let kept_text = std::fs::read_to_string(&cursor).expect("readable");
    std::fs::write(&cursor, format!("9{kept_text}")).expect("writable");
    let (code, said) = world.refused(&[&["watch", "--from", "1", "--until", "now"], &kept[..]].concat());
    assert!(code == 1 && said.contains("goes before --from") && said.contains("remove it"), "{said}");
    std::fs::write(&cursor, "7\n").expect("writable");
    let (code, said) = world.refused(&[&["watch", "--until", "now"], &kept[..]].concat());
    assert!(code == 2 && said.contains("holds no cursor"), "{said}");

    // An instance of an older version: what its code has for amounts is not known any more.
    world.printed(&["contract", "upgrade", "art-auction", "auction"]);
    let (code, said) = world.refused(&["contract", "call", "lot-7", "bid", r#"{"amount": "350"}"#]);
    assert!(code == 2 && said.contains("give --base-units"), "{said}");
    let shown = world.printed(&["contract", "query", "lot-7", "state"]);
    assert!(shown.contains("500 base units") && !shown.contains("5.00"), "{shown}");
    let raised = out(run(call("350", &["--base-units"])));
    assert!(raised.contains(r#""amount":"350 base units""#), "{raised}");

    let file = world.admin.join("fees.json");
    let fees = serde_json::json!([{
        "change": "set_fees", "asset": "coin", "issuer": world.own, "base": "3", "per_byte": "0", "collector": null,
    }]);
    std::fs::write(&file, fees.to_string()).expect("writable");
    world.printed(&["participant", "admit"]);
    let update = [text(&world.admin), &world.peer.url, text(&file)];
    let [profile, url, file] = update;
    let output = chancery()
        .args(["--profile", profile, "--peer", url, "channel", "update", "trade", "--changes", file])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    let paid = world.printed(&["asset", "burn", "coin", "1", "--fee-max", "0.05"]);
    assert_eq!(line(&paid, "fee"), ["fee", "0.03", "coin"]);
    let (code, said) = world.refused(&["asset", "burn", "coin", "1", "--fee-max", "0.02"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn nobody_is_paid_whom_the_channel_has_never_seen_unless_somebody_says_so() {
    let world = World::new();
    let own = world.own.as_str();
    let stranger = address(77).to_string();
    // The own account owns nothing yet, but its key signs.
    world.printed(&["asset", "define", "coin", "--decimals", "2"]);
    world.printed(&["asset", "mint", "coin", own, "100"]);
    world.printed(&["asset", "define", "deed", "--unique"]);
    let height = || world.peer.run(&world.admin, &["channel", "show", "trade"])["height"].clone();
    let before = height();
    let digest = "ab".repeat(32);
    let share = format!("{stranger}=1");
    for words in [
        &["asset", "mint", "coin", stranger.as_str(), "1"][..],
        &["asset", "transfer", "coin", &stranger, "1"],
        &["asset", "transfer-batch", "coin", &share],
        &["asset", "transfer-from", "coin", own, &stranger, "1"],
        &["asset", "mint-item", "deed", "lot", &stranger, "--metadata", &digest],
        &["asset", "transfer-item", "deed", "lot", &stranger],
        &["asset", "define", "gold", "--mint-authority", &stranger],
    ] {
        let (code, said) = world.refused(words);
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(said.contains("never seen") && said.contains("--new") && said.contains(&stranger), "{words:?}: {said}");
    }
    let unsigned = serde_json::to_string(&transaction(world.id, vec![transfer("coin", 77, 1)])).expect("serializes");
    let file = world.admin.join("transfer.json");
    std::fs::write(&file, unsigned).expect("writable");
    let submit = ["--profile", text(&world.admin), "--peer", &world.peer.url, "tx", "submit", text(&file)];
    let output = chancery().args(submit).output().expect("runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(height(), before, "nothing was sent");

    // A person at a terminal is asked. `script` is one.
    let pay = ["asset", "transfer", "coin", &stranger, "1", "--channel", "trade"];
    let at_terminal = |answer: &str| {
        let words = [&["--profile", text(&world.admin), "--peer", &world.peer.url][..], &pay].concat().join(" ");
        let program = chancery().get_program().to_str().expect("UTF-8").to_owned();
        let mut script = std::process::Command::new("script")
            .args(["--quiet", "--return", "--command", &format!("{program} {words}"), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (util-linux) is installed");
        script.stdin.take().expect("piped").write_all(answer.as_bytes()).expect("reads");
        let output = script.wait_with_output().expect("ends");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = at_terminal("n\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Is it right? [y/N]") && said.contains("nothing was sent"), "{said}");
    assert_eq!(height(), before, "nothing was sent");
    let (code, said) = at_terminal("y\n");
    assert_eq!(code, Some(0), "{said}");
    // Now it owns something, and is no stranger any more.
    world.printed(&["asset", "transfer", "coin", &stranger, "1"]);
    assert_eq!(line(&world.printed(&["asset", "balance", &stranger]), "coin")[1], "2.00");
}

#[tokio::test]
async fn a_mistyped_address_is_refused_wherever_it_is_written() {
    let world = World::new();
    let right = address(5).to_string();
    let lower = right.to_lowercase();
    assert_ne!(right, lower, "the address has letters");
    let place = right.rfind(|letter: char| letter.is_ascii_alphabetic() && letter != 'x').expect("a letter");
    let mut wrong = right.clone();
    let flipped = (right.as_bytes()[place] ^ 0x20) as char;
    wrong.replace_range(place..=place, &flipped.to_string());

    let connection = &world.connection;
    let setup = signed(world.id, 9, vec![define("usd"), mint("usd", 9, 1000)]);
    connection.submit("trade", &setup, Wait::Committed).await.expect("taken");
    let post = async |to: &str| {
        let payload = serde_json::to_string(&transaction(world.id, vec![transfer("usd", 5, 10)])).expect("serializes");
        assert!(payload.contains(&right), "addresses are shown with their checksum: {payload}");
        let payload = payload.replace(&right, to).into_bytes();
        let envelope = Envelope::sign(Encoding::Json, payload, &[&crate::harness::key(9)]);
        connection.submit_json("trade", &JsonEnvelope::from(&envelope), Wait::Committed).await
    };
    for taken in [&right, &lower] {
        let outcome = post(taken).await.expect("taken");
        assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0), "{taken}");
    }
    for text in [&wrong, &format!("0x{}", right[2..].to_uppercase())] {
        let Err(SubmitError::Request(RequestError::Problem(problem))) = post(text).await else {
            panic!("taken: {text}")
        };
        assert_eq!(problem.type_uri.rsplit(':').next(), Some("malformed"), "{problem:?}");
        assert!(problem.detail.as_deref().is_some_and(|detail| detail.contains("checksum (EIP-55)")), "{problem:?}");
    }

    // Paths: of accounts, allowances, participants.
    for path in [
        &["accounts", wrong.as_str()][..],
        &["accounts", &right, "allowances", &wrong, "usd"],
        &["participants", &wrong],
    ] {
        let asked = connection.get::<Value>(&[&["channels", "trade"], path].concat(), &[]).await;
        let Err(RequestError::Problem(problem)) = asked else { panic!("{path:?}") };
        assert_eq!((problem.status, problem.type_uri.rsplit(':').next()), (400, Some("invalid-parameter")));
        assert!(problem.detail.as_deref().is_some_and(|detail| detail.contains("checksum")), "{problem:?}");
    }
    let same = connection.account("trade", lower.parse::<Address>().expect("lower case")).await.expect("readable");
    assert_eq!(serde_json::to_value(&same).expect("serializes")["address"], right.as_str());

    // Commands, and what contracts are told.
    for words in [&["asset", "transfer", "usd", wrong.as_str(), "1"][..], &["account", "show", &wrong]] {
        let (code, said) = world.refused(words);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("mistyped"), "{said}");
    }
    world.printed(&["contract", "deploy", "desk", "lending"]);
    world.printed(&["asset", "define", "eur"]);
    let create = r#"{"currencies": ["eur"], "grace_seconds": 10, "registrars": ["bank"]}"#;
    world.printed(&["contract", "create", "desk", "desk-1", create]);
    world.printed(&["participant", "admit"]);
    let register = |borrower: &str| format!(r#"{{"borrower": "{borrower}"}}"#);
    let (code, said) = world.refused(&["contract", "call", "desk-1", "register_borrower", &register(&wrong)]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("arguments-invalid") && said.contains("checksum"), "{said}");
    world.printed(&["contract", "call", "desk-1", "register_borrower", &register(&right)]);
}

#[test]
fn a_loan_is_asked_for_and_shown_in_the_decimals_of_each_asset() {
    let world = World::new();
    world.printed(&["participant", "admit"]);
    world.printed(&["asset", "define", "coin", "--decimals", "2"]);
    world.printed(&["asset", "define", "gold", "--decimals", "3"]);
    world.printed(&["contract", "deploy", "desk", "lending"]);
    let create = r#"{"currencies": ["coin"], "grace_seconds": 10, "registrars": ["bank"]}"#;
    world.printed(&["contract", "create", "desk", "desk-1", create]);
    let key = world.admin.join("borrower.key");
    let made = world.peer.run(&world.admin, &["key", "new", "--out", text(&key)]);
    let borrower = made["address"].as_str().expect("an address");
    let register = format!(r#"{{"borrower": "{borrower}"}}"#);
    world.printed(&["contract", "call", "desk-1", "register_borrower", &register]);
    world.printed(&["asset", "mint", "gold", borrower, "1", "--new"]);
    let request = format!(
        r#"{{"loan": "l-1", "asset": "coin", "amount": "1000.50", "term_seconds": 31536000, "installments": 12,
            "rate_max_bps": 800, "quote_deadline": "{}",
            "collateral": {{"units": {{"asset": "gold", "amount": "0.03"}}}}}}"#,
        client::now().plus_millis(600_000)
    );
    let asked = world.printed(&["contract", "call", "desk-1", "request", &request, "--key", text(&key)]);
    assert!(asked.contains(r#""amount":"1000.50""#) && asked.contains("amount=0.030"), "{asked}");
    let question = r#"{"loan": "l-1"}"#;
    let told = world.json(&["contract", "query", "desk-1", "loan", question])["result"].clone();
    assert_eq!((&told["amount"], &told["collateral"]["units"]["amount"]), (&"100050".into(), &"30".into()));
    let shown = world.printed(&["contract", "query", "desk-1", "loan", question]);
    // Every amount of the answer has its point: no field of the contract's own types is forgotten.
    fn amounts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) if text.parse::<ledger_classes::primitives::amount::Amount>().is_ok() => {
                found.push(text.clone())
            }
            Value::Array(items) => items.iter().for_each(|item| amounts(item, found)),
            Value::Object(fields) => fields.values().for_each(|field| amounts(field, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    amounts(&told, &mut found);
    let points = shown.split_whitespace().filter(|word| ["1000.50", "0.030", "0.00"].contains(word)).count();
    let points = points + shown.matches("amount=0.030").count();
    assert!(found.len() >= 6 && points == found.len(), "{found:?} in {shown}");
}
