//! A root is replaced under live clients: on each way to each peer nobody is refused, at no moment, until the old root
//! is retired; then a path under it is.

use crate::{
    crl_exchange::second_peer,
    harness::{Consortium, Peer, copy_folder, run, signed, text, try_run},
    wait,
};
use client::connection::{Connection, Options};
use client::profile::Profile;
use client::retry::Retry;
use client::submit::Wait;
use ledger_classes::action::{Action, logs};
use ledger_classes::primitives::hash::Hash;
use pki::pem;
use pki::trust::files::read_certificates;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A connection that tries once: a refusal is not hidden by another attempt.
fn connect(profile: &Path, peer: &str) -> Connection {
    let mut profile = Profile::open(profile).expect("a profile");
    profile.peer = peer.parse().expect("a URL");
    let options = Options { retry: Retry::NEVER, ..Options::default() };
    Connection::open(&profile, options).expect("usable")
}

/// What a client does all the time, over the connection that it opened first and over new ones.
struct Client {
    rounds: AtomicU64,
    stop: AtomicBool,
}

impl Client {
    const fn new() -> Self {
        Self { rounds: AtomicU64::new(0), stop: AtomicBool::new(false) }
    }

    /// Posts and asks until it is stopped; panics at the first thing that is refused.
    fn go_on(&self, profile: &Path, peers: [&str; 2], channel: Hash, signer: u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let live = peers.map(|peer| connect(profile, peer));
            while !self.stop.load(Ordering::Acquire) {
                let round = self.rounds.load(Ordering::Acquire);
                let body = logs::Append { topic: "rounds".into(), digest: None, body: round.to_string() };
                let envelope = signed(channel, signer, vec![Action::LogAppend(body)]);
                let outcome =
                    live[0].submit("mixed", &envelope, Wait::Committed).await.expect("a live connection posts");
                assert_eq!(outcome.receipt.expect("committed").code, 0);
                let caller = |status: client::api::PeerStatus| status.caller.expect("is known");
                for (live, peer) in live.iter().zip(peers) {
                    caller(live.status().await.expect("a live connection asks"));
                    caller(connect(profile, peer).status().await.expect("a new connection asks"));
                }
                self.rounds.fetch_add(1, Ordering::AcqRel);
            }
        });
    }

    /// Waits until some more rounds have gone well.
    fn some_rounds(&self) {
        let target = self.rounds.load(Ordering::Acquire) + 3;
        wait("rounds", || self.rounds.load(Ordering::Acquire) >= target);
    }
}

/// Ends the clients with the test, however it ends.
struct Stop<'c>(&'c [Client]);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|client| client.stop.store(true, Ordering::Release));
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    wait::until_found(what, || done().then_some(()));
}

/// A subscription of somebody else's program, which ends when its connection does.
fn subscribe(peer: &Peer, profile: &Path, into: &Path) -> Child {
    Command::new("curl")
        .args(["--silent", "--no-buffer", "--header", "Accept: text/event-stream", "--cacert"])
        .args([&profile.join("ca.pem"), Path::new("--cert"), &profile.join("cert.pem"), Path::new("--key")])
        .args([&profile.join("key.pem"), Path::new("--output"), into])
        .arg(format!("{}/v1/channels/mixed/events?from=0", peer.url))
        .stdin(Stdio::null())
        .spawn()
        .expect("curl is installed")
}

/// The CA certificate that a peer's TLS sends behind its own.
fn served(peer: &Peer) -> Vec<u8> {
    let address = peer.url.trim_start_matches("https://");
    let shown = Command::new("openssl")
        .args(["s_client", "-connect", address, "-showcerts"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    pem::read_all(&shown.stdout, pem::CERTIFICATE).expect("PEM")[1].clone()
}

fn roots(profile: &Path) -> usize {
    read_certificates(&profile.join("ca.pem")).expect("anchors").len()
}

/// A copy of a profile as it is at this moment.
fn keep(profile: &Path, name: &str) -> PathBuf {
    let copy = profile.with_file_name(name);
    copy_folder(profile, &copy);
    copy
}

/// The peer looks at its files now and then: who renewed before it had seen the new root counted as having it, and was
/// locked out by the switch.
#[test]
fn who_renews_in_the_moment_of_the_start_has_the_new_root() {
    let consortium = Consortium::new();
    let dir = consortium.dir();
    let alice = consortium.profile("bank", "client", "alice");
    let peer = consortium.serve();
    run(&["ca", "--dir", text(&dir), "rollover", "start"]);
    assert_eq!(peer.run(&alice, &["ca", "renew"])["roots_added"], 1);
    assert_eq!(roots(&alice), 2);
}

#[test]
fn a_root_is_replaced_and_nobody_notices_until_the_old_one_is_retired() {
    let consortium = Consortium::new();
    let dir = consortium.dir();
    let ca = |arguments: &[&str]| run(&[&["ca", "--dir", text(&dir)], arguments].concat());
    ca(&["organization", "dealer", "--algorithm", "p256"]);
    let (alice, dora) = (consortium.profile("bank", "client", "alice"), consortium.profile("dealer", "client", "dora"));
    let second_dir = second_peer(&consortium);
    let first = consortium.serve();
    let second = Peer::start(&second_dir, &[("CHANCERY_CRL_PEERS", &first.url)]);
    let grants = ["--grant", "bank=read:logs,write:logs", "--grant", "dealer=read:logs,write:logs", "--open-submit"];
    let create = ["channel", "create", "mixed", "--org", "bank", "--org", "dealer"];
    let made = first.run(&consortium.admin(), &[&create[..], &grants].concat());
    let channel: Hash = made["id"].as_str().expect("an id").parse().expect("hex");

    let waiting = |status: &Value| {
        let names = status["waiting"].as_array().expect("a list").iter();
        let mut names: Vec<String> = names
            .map(|of| of["identity"].as_str().expect("a name").rsplit('/').next().expect("a name").into())
            .collect();
        names.sort_unstable();
        names
    };
    let refused = |step: &str, list: &[&str]| {
        let output = try_run(&["ca", "--dir", text(&dir), "rollover", step]);
        assert_eq!(output.status.code(), Some(1), "{step}");
        assert_eq!(waiting(&ledger_classes::primitives::json::from_slice(&output.stdout).expect("one document")), list);
    };
    let status = || ca(&["rollover", "status"]);
    let renew = |profile: &Path| first.run(profile, &["ca", "renew", "--if-due"]);
    let everybody = || {
        for profile in [&alice, &dora, &consortium.admin()] {
            assert_eq!(renew(profile)["renewed"], true);
            assert_eq!(renew(profile)["renewed"], false, "once is enough");
        }
        ca(&["renew", text(&second_dir.join("peer"))]);
    };

    let clients = [Client::new(), Client::new()];
    let who = [(&alice, 7_u8), (&dora, 8)];
    std::thread::scope(|scope| {
        let _stop = Stop(&clients);
        for (client, (profile, signer)) in clients.iter().zip(who) {
            let peers = [first.url.as_str(), &second.url];
            scope.spawn(move || client.go_on(profile, peers, channel, signer));
        }
        let outputs = ["alice.events", "dora.events"].map(|name| consortium.path(name));
        let mut subscriptions =
            [(&alice, &outputs[0]), (&dora, &outputs[1])].map(|(who, into)| subscribe(&first, who, into));
        let go_on = || clients.iter().for_each(Client::some_rounds);
        go_on();
        let under_old = [keep(&alice, "old-alice"), keep(&dora, "old-dora")];
        let before = served(&first);

        let started = ca(&["rollover", "start"]);
        assert_eq!((started["stage"].as_str(), started["beside"].as_str()), (Some("started"), Some("root-2")));
        // The peer with the folder helps itself, and its neighbour learns the root from it; the others must ask.
        wait("the first peer", || !waiting(&status()).contains(&"peer-1".to_owned()));
        refused("switch", &["admin", "alice", "dora", "peer-2"]);
        wait("the second peer's anchors", || roots(&second_dir.join("peer")) == 2);
        go_on();
        everybody();
        assert_eq!((roots(&alice), roots(&dora)), (2, 2));
        assert!(waiting(&status()).is_empty());
        let both = [keep(&alice, "both-alice"), keep(&dora, "both-dora")];

        assert_eq!(ca(&["rollover", "switch"])["root"], "root-2");
        go_on();
        wait("the first peer's path", || served(&first) != before);
        wait("the first peer", || !waiting(&status()).contains(&"peer-1".to_owned()));
        refused("retire", &["admin", "alice", "dora", "peer-2"]);
        go_on();
        everybody();
        wait("the second peer's path", || served(&second) != before);
        go_on();
        assert_eq!(ca(&["rollover", "retire"])["stage"], "none");
        // Both peers have heard of it when what came under the old root is refused.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for (peer, profile) in [(&first, &both[0]), (&first, &both[1]), (&second, &both[0]), (&second, &both[1])] {
            wait("a path under the old root", || {
                let asked = runtime.block_on(connect(profile, &peer.url).status());
                asked.is_err_and(|error| !error.is_unavailable())
            });
        }
        // Who has slept through all of it does not even believe the peers.
        for profile in &under_old {
            assert!(runtime.block_on(connect(profile, &first.url).status()).is_err());
        }
        go_on();
        wait("the second peer's anchors", || roots(&second_dir.join("peer")) == 1);
        for profile in [&alice, &dora] {
            assert_eq!(renew(profile)["roots_removed"], 1);
            assert_eq!(roots(profile), 1);
        }
        go_on();
        for (subscription, output) in subscriptions.iter_mut().zip(&outputs) {
            assert!(subscription.try_wait().expect("its state").is_none(), "a subscription has ended");
            subscription.kill().expect("it runs");
            subscription.wait().expect("it ends");
            let seen = fs::read_to_string(output).expect("events");
            let rounds: u64 = clients.iter().map(|client| client.rounds.load(Ordering::Acquire)).sum();
            let appended = seen.matches("chancery.log.appended").count() as u64;
            assert!(appended + 4 >= rounds, "{appended} of {rounds} events");
        }
    });
    println!("rounds: {:?}", clients.map(|client| client.rounds.into_inner()));
}
