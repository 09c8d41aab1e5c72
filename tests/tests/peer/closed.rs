//! A channel is closed unless somebody opens it, is never locked, and belongs to the CAs that it lists.

use crate::harness::{Consortium, Peer, append, signed, text, try_run};
use client::connection::{Connection, RequestError};
use client::query::Paging;
use client::submit::Wait;
use client::subscribe::{Filter, Start};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A profile without a certificate.
fn anonymous(consortium: &Consortium) -> PathBuf {
    let folder = consortium.path("anonymous");
    fs::create_dir_all(&folder).expect("writable");
    for file in ["ca.pem", "profile.toml"] {
        fs::copy(consortium.admin().join(file), folder.join(file)).expect("copied");
    }
    folder
}

async fn problem<T: std::fmt::Debug>(answer: impl Future<Output = Result<T, RequestError>>) -> String {
    match answer.await {
        Err(RequestError::Problem(problem)) => problem.name().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The message of a command that is refused.
fn refused(peer: &Peer, profile: &Path, arguments: &[&str]) -> String {
    let output = try_run(&[&["--profile", text(profile), "--peer", &peer.url], arguments].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{arguments:?}: {said}");
    said
}

/// An account key, admitted on channels.
fn admitted(peer: &Peer, profile: &Path, channels: &[&str]) {
    peer.run(profile, &["key", "new"]);
    for channel in channels {
        peer.run(profile, &["participant", "admit", "--channel", channel]);
    }
}

fn rights(view: &Value) -> Vec<&str> {
    view["rights"].as_array().expect("rights").iter().filter_map(Value::as_str).collect()
}

/// `main` could once be read and written by anybody without a certificate, for ever.
#[tokio::test]
async fn a_fresh_main_is_for_members_until_its_administrators_open_it() {
    let consortium = Consortium::closed(&[]);
    consortium.organization("dealer");
    let (admin, boss) = (consortium.admin(), consortium.profile("dealer", "admin", "boss"));
    let (ann, dora) = (consortium.profile("bank", "client", "ann"), consortium.profile("dealer", "client", "dora"));
    let nobody = anonymous(&consortium);
    let peer = consortium.serve();
    let main = peer.connect(&admin).channel("main").await.expect("there").id;
    let posted = signed(main, 9, vec![append("trace", "x")]);
    for stranger in [&nobody, &dora] {
        let stranger = peer.connect_once(stranger);
        assert_eq!(problem(stranger.channel("main")).await, "channel-unknown");
        assert_eq!(problem(stranger.logs("main", None, Default::default())).await, "channel-unknown");
        assert!(stranger.submit("main", &posted, Wait::Committed).await.is_err());
        assert_eq!(stranger.channels(Paging::default()).await.expect("answers").items, []);
    }
    // Members read and write it with certificates.
    admitted(&peer, &ann, &["main"]);
    peer.run(&ann, &["log", "append", "trace", "--channel", "main"]);
    let shown = peer.run(&ann, &["channel", "show", "main"]);
    assert_eq!((&shown["public_read"], &shown["open_submit"]), (&false.into(), &false.into()));
    assert!(!rights(&shown).contains(&"admin"), "a client administers nothing: {shown}");
    assert!(peer.connect(&ann).submit("main", &posted, Wait::Committed).await.is_err(), "a key without a record");
    // Nothing is written to main by leaving the channel out.
    assert_eq!(try_run(&["--profile", text(&ann), "log", "append", "trace"]).status.code(), Some(2));

    // Another organization gets to use it by one command, and takes part in its government from then on.
    admitted(&peer, &admin, &["main"]);
    peer.run(&admin, &["channel", "update", "main", "--add-org", "dealer", "--reason", "dealer joins"]);
    admitted(&peer, &dora, &["main"]);
    peer.run(&dora, &["log", "append", "trace", "--channel", "main"]);
    admitted(&peer, &boss, &["main"]);

    let change = |read: &str, submit: &str| {
        let words = ["channel", "update", "main", "--public-read", read, "--open-submit", submit];
        let proposal = peer.run(&admin, &words)["id"].as_str().expect("an id").to_owned();
        peer.run(&boss, &["channel", "approve", "main", &proposal]);
    };
    let reader = peer.connect_once(&nobody);
    let open = async || match reader.channel("main").await {
        Ok(view) => (view.public_read, view.open_submit),
        Err(_) => (false, false),
    };
    assert_eq!(open().await, (false, false));
    change("true", "false");
    assert_eq!(open().await, (true, false));
    reader.logs("main", None, Default::default()).await.expect("anybody reads");
    assert!(reader.submit("main", &posted, Wait::Committed).await.is_err());
    let status = peer.run(&nobody, &["status"]);
    assert_eq!(status["channels"][0]["public_read"], true, "{status}");
    change("true", "true");
    assert_eq!(open().await, (true, true));
    reader.submit("main", &posted, Wait::Committed).await.expect("anybody posts");
    change("false", "false");
    assert_eq!(problem(reader.channel("main")).await, "channel-unknown");
}

/// The documented quick start once made a channel that nobody could ever change.
#[test]
fn a_channel_of_two_can_be_changed_and_never_locked() {
    let consortium = Consortium::closed(&[]);
    consortium.organization("dealer");
    let (admin, boss) = (consortium.admin(), consortium.profile("dealer", "admin", "boss"));
    let peer = consortium.serve();
    let two = ["--org", "bank", "--org", "dealer"];
    for (more, told) in [
        (&["--grant", "bank=member,admin", "--grant", "dealer=read"][..], "missing in dealer"),
        (
            &["--grant", "bank=member", "--grant", "spiffe://test.example/dealer/client/dora=admin"],
            "nobody could change",
        ),
        (&["--engine", "raft"], "not there yet"),
        (&["--grant", "spiffe://test.example/dealer/peer/p=hold"], "not there yet"),
    ] {
        let said = refused(&peer, &admin, &[&["channel", "create", "locked"], &two[..], more].concat());
        assert!(said.contains("configuration-invalid") && said.contains(told), "{told}: {said}");
    }
    let members = ["--grant", "bank=member", "--grant", "dealer=member"];
    let made = peer.run(&admin, &[&["channel", "create", "trade"], &two[..], &members].concat());
    let grants = made["config"]["grants"].to_string();
    assert_eq!(grants.matches("\"admin\"").count(), 2, "each organization's administrators: {grants}");
    admitted(&peer, &admin, &["trade"]);
    admitted(&peer, &boss, &["trade"]);
    let proposal = peer.run(&admin, &["channel", "grant", "trade", "dealer=audit"])["id"].clone();
    peer.run(&boss, &["channel", "approve", "trade", proposal.as_str().expect("an id")]);
    assert!(rights(&peer.run(&boss, &["channel", "show", "trade"])).contains(&"audit"));

    let changes = consortium.path("changes.json");
    let stranger = serde_json::json!([{ "change": "set_peers", "threshold": 1, "peers": [
        { "identity": "spiffe://test.example/dealer/peer/p", "key": made["config"]["peers"][0]["key"], "weight": 1 }] }]);
    fs::write(&changes, stranger.to_string()).expect("writable");
    let other = consortium.path("other.json");
    let its = &made["config"]["organizations"][0]["authorities"];
    let put = serde_json::json!([{ "change": "put_organization", "name": "carrier", "title": "", "authorities": its }]);
    fs::write(&other, put.to_string()).expect("writable");
    for (change, told) in [
        (&["deny", "trade", "dealer=admin"][..], "nobody could change it again"),
        (&["update", "trade", "--deny", "bank=admin", "--approvals", "all"], "nobody could change it again"),
        (&["update", "trade", "--changes", text(&other)], "it is of another organization"),
        (&["update", "trade", "--changes", text(&changes)], "orders this channel"),
    ] {
        let said = refused(&peer, &admin, &[&["channel"], change].concat());
        assert!(said.contains("configuration-invalid") && said.contains(told), "{change:?}: {said}");
    }
    assert!(
        refused(&peer, &admin, &["channel", "update", "trade", "--add-org", "nobody"])
            .contains("knows no CA of nobody")
    );
    peer.run(&admin, &["log", "append", "trace", "--channel", "trade"]);
}

/// A second CA named `bank` under another root that the peer trusts had the rights of the `bank` that channels list.
#[tokio::test]
async fn rights_follow_the_listed_ca_and_not_a_name() {
    let consortium = Consortium::closed(&[]);
    let other = Consortium::closed(&[]);
    let ann = consortium.profile("bank", "client", "ann");
    let impostors = [other.admin(), other.profile("bank", "client", "ann")];
    for file in ["ca.pem", "issuing.pem", "crl.pem"] {
        let path = consortium.dir().join("peer").join(file);
        let mut held = fs::read_to_string(&path).unwrap_or_default();
        let theirs = match file {
            "ca.pem" => fs::read_to_string(other.dir().join("ca/root.pem")),
            "issuing.pem" => fs::read_to_string(other.dir().join("ca/bank.pem")),
            _ => Ok(["root", "bank"]
                .map(|name| fs::read_to_string(other.dir().join(format!("ca/crl/{name}.pem"))).expect("a CRL"))
                .concat()),
        };
        held.push_str(&theirs.expect("readable"));
        fs::write(&path, held).expect("writable");
    }
    for profile in &impostors {
        fs::copy(consortium.admin().join("ca.pem"), profile.join("ca.pem")).expect("copied");
    }
    let peer = consortium.serve();
    let admin = consortium.admin();
    peer.run(&admin, &["channel", "create", "private", "--org", "bank"]);
    for profile in &impostors {
        let connection: Connection = peer.connect_once(profile);
        // The peer trusts the root, and knows the caller by the name.
        let caller = connection.status().await.expect("admitted").caller.expect("a certificate");
        assert!(caller.starts_with("spiffe://test.example/bank/"), "{caller}");
        assert_eq!(connection.channels(Paging::default()).await.expect("answers").items, []);
        for channel in ["main", "private"] {
            assert_eq!(problem(connection.channel(channel)).await, "channel-unknown");
            assert_eq!(problem(connection.logs(channel, None, Default::default())).await, "channel-unknown");
            let filter = Filter { start: Start::Height(0), ..Filter::default() };
            assert!(connection.subscribe(channel, filter).next().await.expect("an answer").is_err());
        }
        assert!(refused(&peer, profile, &["channel", "create", "taken", "--org", "bank"]).contains("forbidden"));
    }
    // The listed CA's own go on, also once its certificate is renewed under its key.
    assert_eq!(peer.connect(&ann).channels(Paging::default()).await.expect("answers").items.len(), 2);
    crate::harness::run(&["ca", "--dir", text(&consortium.dir()), "reissue", "bank"]);
    let later = consortium.profile("bank", "client", "eve");
    assert_eq!(peer.connect(&later).channels(Paging::default()).await.expect("answers").items.len(), 2);
}

/// With another CA of the same name listed every member got `channel-unknown`, and nobody could change it back.
#[test]
fn another_ca_of_the_same_name_does_not_take_the_place_of_the_one_that_vouches_for_those_who_are_there() {
    let consortium = Consortium::closed(&[]);
    let other = Consortium::closed(&[]);
    let (admin, peer) = (consortium.admin(), consortium.serve());
    let evil = format!("bank={}", text(&other.dir().join("ca/bank.pem")));
    let said = refused(&peer, &admin, &["channel", "create", "hidden", "--org", &evil]);
    assert!(said.contains("configuration-invalid") && said.contains("vouches for your own"), "{said}");
    admitted(&peer, &admin, &["main"]);
    let again = refused(&peer, &admin, &["participant", "admit", "--channel", "main"]);
    assert!(again.contains("address-taken") && again.contains("already"), "{again}");
    let said = refused(&peer, &admin, &["channel", "update", "main", "--put-org", &evil]);
    assert!(said.contains("configuration-invalid") && said.contains("a CA that is listed then"), "{said}");
    let limits = consortium.path("limits.json");
    let narrow = serde_json::json!([{ "change": "set_limits", "payload_bytes_max": 1200, "actions_max": 64,
        "block_transactions_max": 8192, "block_bytes_max": 4_194_304, "block_age_ms_max": 50 }]);
    fs::write(&limits, narrow.to_string()).expect("writable");
    let said = refused(&peer, &admin, &["channel", "update", "main", "--changes", text(&limits)]);
    assert!(said.contains("configuration-invalid") && said.contains("payload_bytes_max"), "{said}");
    assert!(rights(&peer.run(&admin, &["channel", "show", "main"])).contains(&"admin"));
}
