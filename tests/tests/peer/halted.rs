//! A channel that is halted, or that cannot be opened at a start, is never invisible: who had a right on it sees it with
//! the reason, the administrators of the peer's organization always do, and nobody else learns that it exists.

use crate::harness::{Consortium, Peer, append, chancery, signed, text, try_run};
use crate::isolation::ask;
use channel_actors::store::{BlockRecord, ChannelStore, StoreOptions};
use client::api::JsonEnvelope;
use client::submit::Wait;
use ledger_classes::formats::block::Block;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::transaction::{Encoding, Envelope};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::rules::RULES;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A channel `deals` of the organization `dealer` alone, on the peer of `bank`.
struct Deals {
    consortium: Consortium,
    id: Hash,
    member: PathBuf,
    outsider: PathBuf,
}

impl Deals {
    /// Without a transaction; nobody but the members knows of it.
    fn closed() -> Self {
        let (deals, peer) = Self::new(&[]);
        peer.drain();
        deals
    }

    fn new(more: &[&str]) -> (Self, Peer) {
        let consortium = Consortium::new();
        consortium.organization("dealer");
        consortium.organization("carrier");
        let member = consortium.profile("dealer", "client", "ann");
        let outsider = consortium.profile("carrier", "admin", "boss");
        let peer = consortium.serve();
        let create = ["channel", "create", "deals", "--org", "dealer", "--grant", "dealer=member,admin"];
        let made = peer.run(&consortium.admin(), &[&create[..], more].concat());
        let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
        (Self { consortium, id, member, outsider }, peer)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.consortium.dir().join("data/deals").join(name)
    }

    fn serve(&self) -> Peer {
        Peer::start(&self.consortium.dir(), &[("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")])
    }

    fn get(&self, peer: &Peer, profile: &Path, path: &str) -> String {
        ask(peer, Some(profile), &self.consortium.admin().join("ca.pem"), "GET", path, None)
    }
}

/// Bytes at the head of a file that no program has written.
fn break_head(path: &Path) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[..8192].fill(0xa5);
    fs::write(path, bytes).expect("writable");
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\n\n").expect("a body");
    ledger_classes::primitives::json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn channels_of(list: &Value, name: &str) -> Option<Value> {
    let channels = list["items"].as_array().or_else(|| list["channels"].as_array()).expect("a list");
    channels.iter().find(|channel| channel["name"] == name).cloned()
}

#[test]
fn a_channel_that_cannot_be_opened_is_seen_halted_by_its_members_and_the_peers_administrators() {
    let deals = Deals::closed();
    break_head(&deals.file("log.redb"));
    let peer = deals.serve();
    let admin = deals.consortium.admin();
    for profile in [&deals.member, &admin] {
        for list in ["/v1/status", "/v1/channels"] {
            let answer = body(&deals.get(&peer, profile, list));
            let seen = channels_of(&answer, "deals").unwrap_or_else(|| panic!("{list}: {answer}"));
            assert_eq!(seen["state"], "halted", "{seen}");
            assert!(seen["reason"].as_str().is_some_and(|reason| reason.starts_with("opening failed: ")), "{seen}");
        }
        for named in ["deals", &deals.id.to_string()] {
            let shown = deals.get(&peer, profile, &format!("/v1/channels/{named}"));
            assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
            let shown = body(&shown);
            assert_eq!(shown["id"], deals.id.to_string(), "{shown}");
            assert_eq!(shown["config"].is_object(), *profile == deals.member, "who has no right sees no member");
        }
        let envelope = JsonEnvelope::from(&signed(deals.id, 1, vec![append("tests.deals", "more")]));
        let post = serde_json::to_string(&envelope).expect("serializes");
        let ca = admin.join("ca.pem");
        for (method, path, sent) in [
            ("GET", "/blocks", None),
            ("GET", "/events", None),
            ("GET", "/trust", None),
            ("GET", "/assets", None),
            ("POST", "/transactions", Some(post.as_str())),
        ] {
            let answer = ask(&peer, Some(profile), &ca, method, &format!("/v1/channels/deals{path}"), sent);
            assert!(answer.starts_with("HTTP/1.1 503"), "{method} {path}: {answer}");
            assert!(answer.to_lowercase().contains("retry-after: 1"), "{method} {path}: {answer}");
            let problem = body(&answer);
            assert_eq!(problem["type"], "urn:chancery:problem:channel-halted", "{method} {path}");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("opening failed: ")), "{problem}");
        }
    }
    assert_eq!(peer.metric("chancery_channel_halted{channel=\"deals\"}"), "1");
    assert_eq!(peer.metric("chancery_channel_serving{channel=\"deals\"}"), "0");
    let again = ["channel", "create", "deals", "--org", "dealer", "--grant", "dealer=member,admin"];
    let again = try_run(&[&["--profile", text(&admin), "--peer", &peer.url], &again[..]].concat());
    let said = String::from_utf8_lossy(&again.stdout).into_owned() + &String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("has halted: opening failed"), "{said}");
    // To everybody else it is as one that does not exist.
    for (there, not_there) in [("deals", "absen"), (&*deals.id.to_string(), &*"0".repeat(64))] {
        let hidden = deals.get(&peer, &deals.outsider, &format!("/v1/channels/{there}/blocks"));
        let missing = deals.get(&peer, &deals.outsider, &format!("/v1/channels/{not_there}/blocks"));
        assert!(hidden.starts_with("HTTP/1.1 404"), "{hidden}");
        assert_eq!(hidden, missing);
    }
    assert_eq!(channels_of(&body(&deals.get(&peer, &deals.outsider, "/v1/status")), "deals"), None);
    peer.drain();
}

/// Its genesis is as a later program would have made it: this one cannot tell which blocks are valid above it.
#[test]
fn a_channel_of_rules_that_this_program_lacks_is_halted_and_says_which_it_needs() {
    let deals = Deals::closed();
    let directory = deals.file("");
    let (store, _) = ChannelStore::inspect(&directory, StoreOptions::default()).expect("opens");
    let bytes = store.block(0).expect("readable").expect("genesis");
    let receipts = store.receipts(0).expect("readable").expect("its own");
    drop(store);
    let summary = fs::read(deals.file("summary")).expect("readable");
    let mut block = Block::decode(&bytes).expect("a block");
    let header_hash = block.header.hash();
    let later = ChannelConfig { rules: RULES + 1, ..block.genesis_config().expect("a configuration") };
    let envelope = Envelope { encoding: Encoding::Genesis, payload: codec::encode(&later), signatures: Vec::new() };
    block.transactions = vec![codec::encode(&envelope)].into();
    for name in ["log.redb", "state.redb"] {
        fs::remove_file(directory.join(name)).expect("removes");
    }
    let store = ChannelStore::create(&directory, StoreOptions::default()).expect("creates");
    store
        .append(&BlockRecord { height: 0, header_hash, block: codec::encode(&block).into(), receipts })
        .expect("appends");
    store.close().expect("closes");
    fs::write(deals.file("summary"), summary).expect("writable");

    let peer = deals.serve();
    let answer = body(&deals.get(&peer, &deals.member, "/v1/status"));
    let seen = channels_of(&answer, "deals").unwrap_or_else(|| panic!("{answer}"));
    let needs = "the channel has the rules 2, and this build knows those up to 1: it needs a newer one";
    assert_eq!(
        (&seen["state"], &seen["reason"]),
        (&"halted".into(), &format!("opening failed: block 0: {needs}").into())
    );
    peer.drain();
}

#[test]
fn while_nothing_says_who_may_see_a_channel_every_hidden_name_has_one_answer() {
    let deals = Deals::closed();
    break_head(&deals.file("log.redb"));
    break_head(&deals.file("state.redb"));
    fs::remove_file(deals.file("summary")).expect("removes");
    let peer = deals.serve();
    let admin = deals.consortium.admin();
    for caller in [&deals.member, &deals.outsider] {
        let (id, other) = (deals.id.to_string(), "0".repeat(64));
        let answers =
            ["deals", "absen", &id, &other].map(|name| deals.get(&peer, caller, &format!("/v1/channels/{name}")));
        assert!(answers[0].starts_with("HTTP/1.1 503"), "{}", answers[0]);
        assert_eq!(body(&answers[0])["type"], "urn:chancery:problem:unavailable");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        let status = body(&deals.get(&peer, caller, "/v1/status"));
        assert_eq!(channels_of(&status, "deals"), None);
        assert!(status["channels_incomplete"].as_str().is_some_and(|why| why.contains("cannot be opened")), "{status}");
    }
    let status = body(&deals.get(&peer, &admin, "/v1/status"));
    assert_eq!(channels_of(&status, "deals").expect("the peer's administrators see it")["state"], "halted");
    assert!(channels_of(&status, "main").is_some_and(|main| main["state"] == "serving"), "{status}");
    let judged = peer.run(&admin, &["status"]);
    let troubles: Vec<&str> = judged["troubles"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(troubles.contains(&"deals is halted"), "{troubles:?}");
    let shown = deals.get(&peer, &admin, "/v1/channels/deals/blocks");
    assert_eq!(body(&shown)["type"], "urn:chancery:problem:channel-halted");
    peer.drain();
}

/// A watcher took the answer for final and ended.
#[tokio::test]
async fn watching_a_halted_channel_waits_until_it_is_mended_and_says_so_once() {
    let (deals, peer) = Deals::new(&["--open-submit"]);
    let envelope = signed(deals.id, 1, vec![append("tests.deals", "done")]);
    peer.connect(&deals.member).submit("deals", &envelope, Wait::Committed).await.expect("taken");
    peer.drain();
    let sound = fs::read(deals.file("log.redb")).expect("readable");
    break_head(&deals.file("log.redb"));
    let peer = deals.serve();
    let mut watching = chancery()
        .args(["--profile", text(&deals.member), "--peer", &peer.url])
        .args(["watch", "deals", "--from", "0", "--topic", "tests.deals", "--until", "now"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = BufReader::new(watching.stderr.take().expect("piped"));
    let mut first = String::new();
    // While the peer opens its channels, it says so.
    while !first.contains("is halted on this peer") {
        assert!(said.read_line(&mut first).expect("readable") > 0, "{first}");
    }
    assert!(first.contains("opening failed"), "{first}");
    let listen = peer.url.trim_start_matches("https://").to_owned();
    peer.drain();
    fs::write(deals.file("log.redb"), sound).expect("writable");
    // Where it was: the watcher knows no other address.
    let peer = Peer::start(&deals.consortium.dir(), &[("CHANCERY_LISTEN", &listen)]);
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("readable");
    let output = watching.wait_with_output().expect("it ends");
    let events = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && events.lines().count() == 1, "{events}{rest}");
    assert!(!rest.contains("opening failed"), "once: {rest}");
    peer.drain();
}
